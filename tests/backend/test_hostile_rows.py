"""One row that lies or cannot be read stops itself alone: every command goes on with the others, and says so."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from commands import run
from conftest import Backend
from owners import adopted
from test_migrate import Metadata as Migrated
from test_migrate import migrated  # noqa: F401 - a fixture
from test_retain import World, array, is_tombstone, on_sqlite

from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.xcom_rows import Rows

DEEP = 60_000
RULE = {"at": "2026-01-01T00:00:00+00:00", "rule": "keep = 1d"}


def changed(row: Any, **fields: Any) -> str:
    return json.dumps({"airflow_xcom": {**row["airflow_xcom"], **fields}})


def reference(row: Any, **fields: Any) -> str:
    return changed(row, ref={**row["airflow_xcom"]["ref"], **fields})


def nested(row: Any) -> str:
    return "[" * DEEP + json.dumps(row) + "]" * DEEP


HOSTILE = {
    "numbers in the coordinate": lambda row: changed(row, of=[7, [], {}, "x", 1.5]),
    "a coordinate too deep": lambda row: changed(row, of=[["x"] * 5] * 5),
    "a key too deep": lambda row: json.dumps(row).replace('"return_value"]', "[" * 1000 + "]" * 1000 + "]"),
    "an unknown version": lambda row: changed(row, version=99),
    "an unknown store": lambda row: reference(row, store="gone", url="s3://gone/xcom"),
    "a row nested too deeply": nested,
    "an envelope nested too deeply": lambda row: json.dumps(row)[:-2] + ', "x": ' + "[" * DEEP + "]" * DEEP + "}}",
    "a size beyond all files": lambda row: reference(row, size=10**400),
    "a size beyond all numbers": lambda row: reference(row, size=0).replace('"size": 0', '"size": 1' + "0" * 5000),
    "a size in the summary beyond all files": lambda row: changed(row, summary={"bytes": 10**400}),
    "a shape of lists": lambda row: changed(row, summary={"shape": [[[]]], "length": {}, "type": []}),
    "a retirement of nothing": lambda row: changed(row, version=2, retired=RULE),
    "suppliers that are a list": lambda row: changed(row, **{"from": []}),
    "a reference that is a number": lambda row: changed(row, ref=5, was=row["airflow_xcom"]["ref"]),
}


@pytest.fixture
def world(migrated: Migrated, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:  # noqa: F811
    backend.options(threshold=2000, keep="1d", stores=json.dumps({"new": f"{backend.folder.as_uri()}-new"}))
    made = World(migrated, backend)
    made.clear()
    monkeypatch.setattr("airflow_xcom.backend.database.xcom_rows.metadata_rows", lambda: adopted(Rows(made.engine)))
    monkeypatch.setattr("airflow_xcom.backend.database.dag_runs.metadata_runs", lambda: Runs(made.engine))
    made.run("old", 30)
    yield made
    made.clear()


def put_text(world: World, text: str, task: str = "hostile") -> None:
    """Write a row as only its text can be: JSON's own writers do not nest so deeply."""
    names = "dag_run_id, dag_id, run_id, task_id, map_index, timestamp"
    key = world.engine.dialect.identifier_preparer.quote("key")
    value = "cast(:text as jsonb)" if world.engine.dialect.name == "postgresql" else ":text"
    with world.transaction() as connection:
        connection.execute(
            sqlalchemy.text(
                f"insert into xcom ({names}, {key}, value) "
                f"values (1, 'flights', 'old', :task, -1, :when, 'return_value', {value})"
            ),
            {"text": text, "task": task, "when": dt.datetime(2024, 1, 1)},
        )


@on_sqlite
@pytest.mark.parametrize("command", ["sweep", "retain", "migrate", "list", "verify"])
@pytest.mark.parametrize("what", HOSTILE)
def test_the_work_goes_on_and_what_the_row_names_is_protected(what: str, command: str, world: World) -> None:
    named = world.backend.push(array(), task_id="hostile", run_id="old")
    put_text(world, HOSTILE[what](named))
    world.push("old", array(2))
    world.push("old", array(3), key="more")
    good = {row["airflow_xcom"]["ref"]["path"] for (_, _), row in readable(world).items()}
    world.backend.push(array(4), task_id="orphan")
    arguments = {
        "sweep": ["--apply", "--grace", "0", "--wait", "0"],
        "retain": ["--apply"],
        "migrate": ["--from", "default", "--to", "new", "--apply"],
    }.get(command, [])
    code, out, errors = run(command, *arguments)
    assert code in {0, 1}, errors
    assert (world.backend.folder / named["airflow_xcom"]["ref"]["path"]).exists(), "what the row names stays"
    rows = readable(world)
    if command == "sweep":
        assert "1 payload of" in out
        assert "deleted" in out
        assert all((world.backend.folder / path).exists() for path in good)
        assert not list(world.backend.folder.rglob("*/orphan/**/*.msgpack")), "the orphan is gone"
    elif command == "retain":
        assert [is_tombstone(rows["old", key]) for key in ("return_value", "more")] == [True, True]
    elif command == "migrate":
        assert {rows["old", key]["airflow_xcom"]["ref"]["store"] for key in ("return_value", "more")} == {"new"}
    else:
        assert ("more" if command == "list" else "2 ok") in out or "3 ok" in out


def readable(world: World) -> dict[tuple[str, str], Any]:
    xcoms = world._xcoms.c
    select = sqlalchemy.select(xcoms.run_id, xcoms.key, xcoms.value).where(xcoms.task_id == "clean")
    with world.engine.connect() as connection:
        return {(run, key): value for run, key, value in connection.execute(select)}


@pytest.mark.parametrize("migrated", ["postgresql", "mariadb"], indirect=True)
def test_so_it_does_with_what_other_databases_take(world: World) -> None:
    """They refuse JSON that is nested too deeply for them."""
    named, refused = {}, set()
    for what, hostile in HOSTILE.items():
        row = world.backend.push(array(), task_id=what, run_id="old")
        try:
            put_text(world, hostile(row), what)
        except sqlalchemy.exc.DBAPIError:
            refused.add(what)
        else:
            named[what] = world.backend.folder / row["airflow_xcom"]["ref"]["path"]
    assert refused <= {what for what in HOSTILE if "deep" in what or "beyond" in what}
    for number in range(2):
        world.push("old", array(2), key=f"{number}")
    world.backend.push(array(4), task_id="orphan")
    before = {path for path in world.backend.blobs() if "orphan" in path.parts}
    for command in (
        ["list"],
        ["verify"],
        ["migrate", "--from", "default", "--to", "new", "--apply"],
        ["sweep", "--apply", "--grace", "0", "--wait", "0"],
        ["retain", "--apply"],
    ):
        code, _, errors = run(*command)
        assert code in {0, 1}, errors
        if command[0] == "migrate":
            assert {row["airflow_xcom"]["ref"]["store"] for row in readable(world).values()} == {"new"}
    assert all(map(is_tombstone, readable(world).values()))
    moved = {"a shape of lists", "a size in the summary beyond all files", "numbers in the coordinate"}
    assert [what for what, path in named.items() if not path.exists() and what not in moved] == []
    assert len(before) == 1
    assert not any(path.exists() for path in before)


@on_sqlite
@pytest.mark.parametrize(("what", "says"), [("an unknown version", "version 99"), ("an unknown store", "'gone'")])
def test_a_sweep_says_which_rows_it_could_not_read(what: str, says: str, world: World) -> None:
    put_text(world, HOSTILE[what](world.backend.push(array())))
    world.push("old", array(2))
    code, out, _ = run("sweep")
    assert code == 0
    assert "1 XComs cannot be read; what they name counts as referenced" in out
    assert says in out
    assert "hostile" in out


def test_a_file_with_a_line_break_in_its_name_is_somebody_elses(world: World) -> None:
    world.push("old", array())
    for name in ("return\rvalue", "return\x85value", "return\x1cvalue"):
        file = world.backend.folder / "flights/old/clean/-1" / f"{name}.{'0' * 32}.arrow"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"theirs")
    code, out, errors = run("sweep", "--apply", "--grace", "0", "--wait", "0")
    assert code == 0, errors
    assert "not written by this backend, and left: 3 of 18 bytes" in out
    assert len(world.backend.blobs()) == 4

"""Rows belong to their XComs, and what cleans up does so, in each database that Airflow runs on, in its own tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from commands import run
from conftest import COORDINATE
from locations import Locations
from sqlalchemy.orm import sessionmaker
from test_binding import WAYS, Supervisor, supervisor  # noqa: F401 - a fixture
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture
from test_retain import World, array, is_tombstone, world  # noqa: F401 - a fixture

from airflow_xcom.backend import CodecXComBackend, ForeignReferenceError, cli
from airflow_xcom.backend.envelope import Coordinate, Envelope

ARCHIVE = "_airflow_deleted__xcom__20260101000000"
SWEEP = ["sweep", "--apply", "--grace", "0", "--wait", "0"]


@pytest.fixture
def configured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Airflow's sessions lead to the database, as if its configuration named it."""
    monkeypatch.setattr("airflow.utils.session.create_session", sessionmaker(world.engine).begin)


@pytest.fixture
def archived(world: World) -> Iterator[None]:  # noqa: F811
    """`airflow db clean` has archived the rows of a run, as it does: into a table of the same columns."""
    archive = sqlalchemy.text(f"create table {ARCHIVE} as select * from xcom where run_id = 'archived'")
    for number in range(2):
        world.push(world.run("archived", 1) if not number else "archived", array(), key=f"{number}")
    with world.transaction() as connection:
        connection.execute(archive)
        connection.execute(sqlalchemy.text("delete from xcom where run_id = 'archived'"))
    yield
    with world.transaction() as connection:
        connection.execute(sqlalchemy.text(f"drop table {ARCHIVE}"))


def paths(world: World) -> set[str]:  # noqa: F811
    return {path.relative_to(world.backend.folder).as_posix() for path in world.backend.blobs()}


def referenced(rows: Any) -> set[str]:
    return {row["airflow_xcom"]["ref"]["path"] for row in rows if "ref" in row.get("airflow_xcom", {})}


@pytest.mark.parametrize("migrated", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.usefixtures("archived", "configured")
def test_copies_retired_values_and_sweeps(world: World) -> None:  # noqa: F811
    world.backend.options(threshold=0, keep="7d")
    for run_id, days in ("old", 30), ("new", 1):
        world.run(run_id, days)
        for key in ("return_value", "Ä/'%"):
            for _ in range(2):  # the first is overwritten
                world.push(run_id, array(), key=key)
    kept = {path for path in paths(world) if path.startswith("flights/archived/")}
    assert len(kept) == 2
    source = ["copy", "--dag", "flights", "--run", "new", "--task", "clean", "--key", "Ä/'%"]
    for command in ([*source, "--to-key", "copied"], ["adopt"], ["retain", "--apply"]):
        assert cli.main(command) == 0
    rows = world.rows()
    assert {at for at, row in rows.items() if is_tombstone(row)} == {("old", "return_value"), ("old", "Ä/'%")}
    envelope = Envelope.from_json(rows["new", "copied"])
    assert envelope is not None
    envelope.check_origin(Coordinate("flights", "new", "clean", -1, "copied"))
    live = referenced(rows.values())
    assert len(live) == 3
    assert cli.main([*SWEEP, "--run", "flights", "new", "--run", "flights", "archived"]) == 0
    assert {path for path in paths(world) if not path.startswith("flights/old/")} == live | kept
    assert len(paths(world)) == 3 + 2 + 4
    world.backend.purge(rows["new", "copied"])
    assert len(paths(world)) == 3 + 2 + 4, "a purge deletes nothing"
    assert cli.main(SWEEP) == 0
    assert paths(world) == live | kept
    assert (world.backend.pull(rows["new", "copied"], key="copied") == array()).all()


def copied_by_hand(world: World, dag: str, to: str) -> None:  # noqa: F811
    """Copy the rows of a Dag to another one, as somebody may who writes to the database."""
    xcoms = world._xcoms
    taken = ("run_id", "task_id", "map_index", "key", "timestamp", "value")
    number = sqlalchemy.literal(world._ids[to, COORDINATE["run_id"]])
    rows = sqlalchemy.select(number, sqlalchemy.literal(to), *(xcoms.c[name] for name in taken))
    insert = xcoms.insert().from_select(["dag_run_id", "dag_id", *taken], rows.where(xcoms.c.dag_id == dag))
    with world.transaction() as connection:
        connection.execute(insert)


def row_of(world: World, dag: str) -> Any:  # noqa: F811
    """What Airflow hands to a task for the only row of a Dag."""
    xcoms = world._xcoms.c
    with world.engine.connect() as connection:
        return connection.execute(sqlalchemy.select(xcoms.value).where(xcoms.dag_id == dag)).scalar_one()


@pytest.mark.parametrize("kind", ["file", "s3"])
@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
@pytest.mark.parametrize("migrated", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.usefixtures("configured")
def test_a_row_that_is_copied_by_hand_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    threshold: int,
    kind: str,
    world: World,  # noqa: F811
    supervisor: Supervisor,  # noqa: F811
    locations: Locations,
    tmp_path: Path,
) -> None:
    world.backend.options(threshold=threshold, path=locations.url(kind))
    for dag in ("salaries", "flights"):
        world.run(COORDINATE["run_id"], 1, dag=dag)
    world.push(COORDINATE["run_id"], array(), dag="salaries", map_index=5)
    copied_by_hand(world, "salaries", "flights")
    supervisor.row = row_of(world, "flights")
    for way in WAYS.values():
        with pytest.raises(ForeignReferenceError, match="salaries"):
            way()
    code, out, _ = run("verify")
    assert (code, "1 foreign" in out) == (1, True)
    for command in (["inspect"], ["export", "--to", str(tmp_path / "x.npy")]):
        code, _, errors = run(*command, "--dag", "flights")
        assert (code, "salaries" in errors) == (1, True)
    CodecXComBackend.delete(key="return_value", **{**COORDINATE, "map_index": 5})
    theirs = row_of(world, "salaries")
    assert (world.backend.pull(theirs) == array()).all(), "nothing was deleted"
    with world.transaction() as connection:
        connection.execute(world._xcoms.delete().where(world._xcoms.c.dag_id == "flights"))
    source = ["--dag", "salaries", "--run", COORDINATE["run_id"], "--task", "clean", "--map-index", "5"]
    assert run("copy", *source, "--key", "return_value", "--to-dag", "flights", "--to-map-index", "-1")[0] == 0
    supervisor.row = row_of(world, "flights")
    assert (CodecXComBackend.get_value(ti_key=SimpleNamespace(**COORDINATE), key="return_value") == array()).all()

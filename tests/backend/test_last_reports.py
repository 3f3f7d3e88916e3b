"""What `sweep` and `retain` last reported is kept as a Variable, and where that cannot be, they work as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy
from commands import run
from conftest import Backend
from test_migrate import migrated  # noqa: F401 - a fixture
from test_ownership import SWEEP, here, production  # noqa: F401 - fixtures
from test_retain import World, array, on_sqlite, world  # noqa: F401 - a fixture
from test_sweep import Metadata

from airflow_xcom.backend.commands import sweep as sweep_command
from airflow_xcom.backend.database import variables
from airflow_xcom.backend.database.variables import keep_report, last_report
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.errors import StoreError
from airflow_xcom.backend.maintenance.sweep import StoreReport, Tally
from airflow_xcom.backend.ui import storage


def test_a_sweep_keeps_figures_of_each_store(production: Metadata, backend: Backend, tmp_path: Path) -> None:  # noqa: F811
    database = production.engine, None
    assert last_report(database, "sweep") == {}
    sizes = [path.stat().st_size for path in backend.blobs()]
    assert run("sweep", "--grace", "0")[0] == 0
    found = last_report(database, "sweep")["default"]
    assert (found["applied"], found["orphans"], found["deleted"]) == (False, 1, 0)
    assert found["bytes"] in sizes
    backend.options(threshold=0, stores=json.dumps({"other": (tmp_path / "other").as_uri()}))
    assert run("sweep", "--grace", "0", "--store", "other")[0] == 0
    assert run("sweep", "--grace", "0", "--run", "no", "run")[0] == 0
    assert last_report(database, "sweep")["default"] == found
    assert last_report(database, "sweep")["other"]["orphans"] == 0
    assert run("adopt")[0] == 0
    assert run(*SWEEP)[0] == 0
    after = last_report(database, "sweep")["default"]
    assert [after[name] for name in ("applied", "orphans", "bytes", "deleted")] == [True, 0, 0, 1]
    assert after["deleted_bytes"] == found["bytes"]


@on_sqlite
@pytest.mark.parametrize("output", ["text", "json"])
def test_retention_keeps_the_figures_of_all_dags(world: World, output: str, here: Any) -> None:  # noqa: F811
    here(world.engine)
    world.clear()
    world.tag("xcom:keep=1d")
    world.push(world.run("old", 30), array())
    world.push(world.run("young", 0), array())
    database = world.engine, None
    keep_report(database, "retain", {"at": "before"})
    before = last_report(database, "retain")
    assert run("retain", "--dag", "flights", "--output", output)[0] == 0
    assert last_report(database, "retain") == before
    assert run("retain", "--output", output)[0] == 0
    found = last_report(database, "retain")
    assert (found["applied"], found["due"], found["retired"]) == (False, 1, 0)
    assert found["in_blobs"] > 0
    assert run("retain", "--apply", "--output", output)[0] == 0
    assert last_report(database, "retain")["retired"] == 1
    world.clear()


@pytest.mark.parametrize("text", ["", "[]", "null", "x", "[" * 100_000])
def test_what_is_no_report_gives_way_to_one(text: str, production: Metadata) -> None:  # noqa: F811
    database = production.engine, None
    keep_report(database, "sweep", {})
    with production.engine.begin() as connection:
        connection.execute(sqlalchemy.text("update variable set val = :text, is_encrypted = true"), {"text": text})
    assert last_report(database, "sweep") == {}
    keep_report(database, "sweep", {"a": 1})
    assert last_report(database, "sweep") == {"a": 1}
    with production.engine.begin() as connection:
        assert not connection.execute(sqlalchemy.text("select is_encrypted from variable")).scalar()


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_database_that_takes_no_variable_stops_no_command(
    output: str,
    production: Metadata,  # noqa: F811
) -> None:
    with production.engine.begin() as connection:
        connection.execute(sqlalchemy.text("drop table variable"))
    code, out, errors = run("sweep", "--grace", "0", "--output", output)
    assert code == 0
    assert "1 payload of" in out if output == "text" else json.loads(out)["stores"]["default"]["orphans"]["count"] == 1
    assert "airflow-xcom: the report is not kept for the page XCom storage: NoSuchTableError\n" in errors


@on_sqlite
def test_no_word_of_a_report_that_is_not_kept_is_in_the_json_of_retain(
    world: World,  # noqa: F811
    here: Any,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Airflow logs to standard output."""
    here(world.engine)
    world.clear()
    with patch.object(variables, "_merged", side_effect=sqlalchemy.exc.NoSuchTableError):
        code, out, errors = run("retain", "--output", "json")
    assert (code, json.loads(out)["dags"], caplog.records) == (0, [], [])
    assert errors.endswith("not kept for the page XCom storage: NoSuchTableError\n")


@on_sqlite
def test_the_figures_of_dags_are_kept_though_the_assets_fail(world: World, here: Any) -> None:  # noqa: F811
    here(world.engine)
    world.clear()
    world.tag("xcom:keep=1d")
    world.push(world.run("old", 30), array())
    keep_report((world.engine, None), "retain", {"retired": 0})
    with patch("airflow_xcom.backend.commands.retain.retire_versions", side_effect=StoreError("s3://b", "is away")):
        assert run("retain", "--apply")[0] == 1
    assert last_report((world.engine, None), "retain")["retired"] == 1
    world.clear()


@pytest.mark.parametrize("before", [{}, {"c": 3}], ids=["no report", "a report"])
def test_reports_of_the_same_moment_are_all_kept(
    before: dict[str, Any],
    production: Metadata,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database, read, others = (production.engine, None), variables.variable, [{"b": 2}]

    def meanwhile(*about: Any) -> str | None:
        found = read(*about)
        if others:
            keep_report(database, "sweep", others.pop())
        return found

    if before:
        keep_report(database, "sweep", before)
    monkeypatch.setattr(variables, "variable", meanwhile)
    assert keep_report(database, "sweep", {"a": 1}) is None
    assert last_report(database, "sweep") == {**before, "a": 1, "b": 2}
    others += [{"b": number} for number in range(100)]
    monkeypatch.setattr(variables, "_ATTEMPTS", 1)
    assert "at the same time" in str(keep_report(database, "sweep", {"a": 2}))


def test_what_another_sweep_took_or_a_row_refers_to_again_is_not_left() -> None:
    found = StoreReport("s3://b", orphans=Tally(6, 60), deleted=Tally(1, 10), gone=Tally(2, 20), kept=Tally(2, 7))
    left = sweep_command._figures("default", found)
    assert (left["orphans"], left["bytes"], left["deleted"], left["deleted_bytes"]) == (1, 23, 1, 10)


def test_figures_of_a_store_are_not_shown_for_the_next_of_its_name(
    production: Metadata,  # noqa: F811
    backend: Backend,
    tmp_path: Path,
) -> None:
    def shown() -> Any:
        return storage.stores_and_reports()["stores"][-1]["sweep"]

    with patch.object(storage, "metadata_rows", lambda: Rows(production.engine)):
        assert run("sweep", "--grace", "0")[0] == 0
        assert shown()["orphans"] == 1
        backend.options(threshold=0, path=(tmp_path / "new").as_uri())
        assert shown() is None

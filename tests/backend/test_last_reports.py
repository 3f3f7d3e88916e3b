"""What `sweep` and `retain` last reported is kept as a Variable, and where that cannot be, they work as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from commands import run
from conftest import Backend
from test_migrate import migrated  # noqa: F401 - a fixture
from test_ownership import SWEEP, here, production  # noqa: F401 - fixtures
from test_retain import World, array, on_sqlite, world  # noqa: F401 - a fixture
from test_sweep import Metadata

from airflow_xcom.backend.database.variables import keep_report, last_report


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


def test_a_database_that_takes_no_variable_stops_no_command(production: Metadata) -> None:  # noqa: F811
    with production.engine.begin() as connection:
        connection.execute(sqlalchemy.text("drop table variable"))
    code, out, _ = run("sweep", "--grace", "0")
    assert code == 0
    assert "1 payload of" in out

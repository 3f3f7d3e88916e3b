"""What cleans up does so in each database that Airflow runs on, in the tables that Airflow itself has made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture
from test_retain import World, array, is_tombstone, world  # noqa: F401 - a fixture

from airflow_xcom.backend.envelope import Coordinate, Envelope

ARCHIVE = "_airflow_deleted__xcom__20260101000000"
COMMANDS = """
import json, sys
from airflow_xcom.backend import cli
sys.exit(max(cli.main(arguments) for arguments in json.loads(sys.argv[1])))
"""
SWEEP = ["sweep", "--apply", "--grace", "0", "--wait", "0"]


def run(world: World, *commands: list[str]) -> str:  # noqa: F811
    """What commands print that run one after the other in a process that has the database configured."""
    line = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(line, env={**os.environ, **world.variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
@pytest.mark.usefixtures("archived")
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
    run(world, [*source, "--to-key", "copied"], ["adopt"], ["retain", "--apply"])
    rows = world.rows()
    assert {at for at, row in rows.items() if is_tombstone(row)} == {("old", "return_value"), ("old", "Ä/'%")}
    envelope = Envelope.from_json(rows["new", "copied"])
    assert envelope is not None
    envelope.check_origin(Coordinate("flights", "new", "clean", -1, "copied"))
    live = referenced(rows.values())
    assert len(live) == 3
    run(world, [*SWEEP, "--run", "flights", "new", "--run", "flights", "archived"])
    assert {path for path in paths(world) if not path.startswith("flights/old/")} == live | kept
    assert len(paths(world)) == 3 + 2 + 4
    world.backend.purge(rows["new", "copied"])
    assert len(paths(world)) == 3 + 2 + 4, "a purge deletes nothing"
    run(world, SWEEP)
    assert paths(world) == live | kept
    assert (world.backend.pull(rows["new", "copied"], key="copied") == array()).all()

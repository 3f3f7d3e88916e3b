"""What cleans up does so in each database that Airflow runs on, in the tables that Airflow itself has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import sessionmaker
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture
from test_retain import World, array, is_tombstone, world  # noqa: F401 - a fixture

from airflow_xcom.backend import cli
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

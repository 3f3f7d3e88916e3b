"""A sweep of single runs takes what none of their rows refers to, touches nothing of other runs, and lists no more."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from conftest import Backend
from locations import Locations
from test_sweep import CONTENTS, KINDS, TABLE, Clock, Metadata, contents, metadata, swept  # noqa: F401 - a fixture

from airflow_xcom.backend import cli
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.errors import OwnerError
from airflow_xcom.backend.maintenance import sweep as sweeping
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.stores import files, open_store
from airflow_xcom.codecs import CodecError

RUN = ("Züge / 2", "manual__2024-01-01T00:00:00+00:00")
# Neighbours whose paths or names begin as the run's do, and the same run of another Dag.
OTHERS = [
    (RUN[0], RUN[1] + "1"),
    (RUN[0], RUN[1][:-1]),
    (RUN[0] + "2", RUN[1]),
    ("flights", RUN[1]),
    (RUN[0], "x" * 200),
]


def path_of(row: Any) -> str:
    return str(row["airflow_xcom"]["ref"]["path"])


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_orphans_of_the_run_go(
    kind: str,
    backend: Backend,
    locations: Locations,
    metadata: Metadata,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    superseded = set()
    for dag, run in [RUN, *OTHERS]:
        for number in range(3):
            for attempt in range(2 + (number == 0)):
                row = backend.push((attempt,), dag_id=dag, run_id=run, map_index=number)
                superseded |= {path_of(row)} if (dag, run) == RUN else set()
                metadata.put(number, row, dag=dag, run=run)
    superseded -= metadata.paths()
    before = contents(kind, url, request)
    dry = swept(metadata.rows, runs=[RUN], apply=False, grace=-4000).stores["default"]
    assert contents(kind, url, request) == before
    report = swept(metadata.rows, runs=[RUN, RUN], grace=-4000)
    found = report.stores["default"]
    assert contents(kind, url, request) == before - superseded
    assert len(superseded) == 4
    assert superseded < before
    assert found.orphans == found.deleted == dry.orphans
    assert (found.deleted.count, found.listed.count, report.references) == (4, 7, 3), "nothing else is looked at"


def test_a_store_of_files_opens_no_folder_of_another_run(
    backend: Backend,
    metadata: Metadata,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend.options(threshold=0)
    for dag, run in [RUN, *OTHERS]:
        backend.push((1,), dag_id=dag, run_id=run)
    rows, seen = metadata.rows, []
    entries = files.FileStore._entries
    monkeypatch.setattr(
        files.FileStore, "_entries", lambda store, folder, prefix: seen.append(folder) or entries(store, folder, prefix)
    )
    assert swept(rows, runs=[RUN]).stores["default"].deleted.count == 1, "although no XCom refers to anything"
    prefix = "Z%C3%BCge%20%2F%202/manual__2024-01-01T00%3A00%3A00%2B00%3A00/"
    assert [folder for folder in seen if not folder.startswith("_/")] == [
        prefix,
        f"{prefix}clean/",
        f"{prefix}clean/-1/",
    ]


def test_no_runs_are_not_all_runs(backend: Backend, metadata: Metadata) -> None:  # noqa: F811
    backend.options(threshold=0)
    backend.push((1,))
    assert swept(metadata.rows, runs=[]).stores["default"].listed.count == 0
    assert len(backend.blobs()) == 1


def test_archived_rows_of_the_run_protect_what_they_may_restore(
    backend: Backend,
    metadata: Metadata,  # noqa: F811
) -> None:
    backend.options(threshold=0)
    archived, foreign, gone = (backend.push((number,), dag_id=RUN[0], run_id=RUN[1]) for number in range(3))
    archive = "_airflow_deleted__xcom__20260101"
    with metadata.engine.begin() as connection:
        connection.execute(sqlalchemy.text(TABLE.format(archive, "json")))
    Metadata(metadata.engine, archive).put(0, archived, dag=RUN[0], run=RUN[1])
    metadata.put(0, foreign, dag="flights", run="another")
    with pytest.raises(CodecError):  # it belongs to the run's XCom, and so the row of another gives nothing of it
        backend.pull({"airflow_xcom": {**foreign["airflow_xcom"], "of": ["flights", "another", "clean", -1, "k"]}})
    swept(metadata.rows, runs=[RUN])
    left = {path.relative_to(backend.folder).as_posix() for path in backend.blobs()}
    assert left == {path_of(archived)}
    assert path_of(gone) not in left


@pytest.mark.parametrize("task", ["clean", "a.b/c", "д" * 100])
def test_on_a_file_system_that_takes_a_for_b_the_other_dag_keeps_its_payloads(
    task: str,
    backend: Backend,
    metadata: Metadata,  # noqa: F811
) -> None:
    backend.options(threshold=0)
    row = backend.push((1,), dag_id="Flights", run_id="one", task_id="clean", map_index=3, key="a.b")
    backend.push((1,), dag_id="flights", run_id="one", task_id=task, map_index=-1, key="a.b")
    metadata.put(0, row, dag="Flights", run="one")
    shown = backend.folder / path_of(row).replace("Flights/", "flights/")
    shown.parent.mkdir(parents=True)
    (backend.folder / path_of(row)).rename(shown)
    assert swept(metadata.rows, runs=[("flights", "one")]).stores["default"].deleted.count == 1
    assert backend.blobs() == [shown]


@pytest.mark.parametrize("run", [("_", "_"), ("flights", "_"), ("_", "manual")])
def test_what_did_not_say_whose_it_is_stays_if_any_row_refers_to_it(
    run: tuple[str, str],
    backend: Backend,
    metadata: Metadata,  # noqa: F811
) -> None:
    """Its folders are named as those of a Dag and a run that are called so."""
    backend.options(threshold=0)
    named = {"dag_id": None if run[0] == "_" else run[0], "run_id": None if run[1] == "_" else run[1]}
    row, orphan = (backend.push((number,), **named) for number in range(2))
    metadata.put(0, row, dag="trains", run="manual")
    swept(metadata.rows, runs=[run])
    assert [path.name for path in backend.blobs()] == [path_of(row).rpartition("/")[2]]
    assert path_of(orphan).startswith("/".join(run))


def test_a_table_that_does_not_name_the_run_is_read_whole(
    backend: Backend,
    metadata: Metadata,  # noqa: F811
) -> None:
    """As Airflow 3.4's own, whose rows belong to an instance of a task."""
    backend.options(threshold=0)
    row, orphan = (backend.push((number,), dag_id=RUN[0], run_id=RUN[1]) for number in range(2))
    with metadata.engine.begin() as connection:
        create = "create table xcom_v2 (id text primary key, task_instance_id text, key text, value json)"
        connection.execute(sqlalchemy.text(create))
        table = sqlalchemy.Table("xcom_v2", sqlalchemy.MetaData(), autoload_with=connection)
        connection.execute(table.insert().values(id="1", task_instance_id="gone", key="return_value", value=row))
    swept(metadata.rows, runs=[RUN])
    assert [path.name for path in backend.blobs()] == [path_of(row).rpartition("/")[2]]
    assert path_of(orphan) != path_of(row)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_every_sweep_hold(
    kind: str,
    backend: Backend,
    locations: Locations,
    metadata: Metadata,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "time", Clock())
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    late = backend.push((1,), dag_id=RUN[0], run_id=RUN[1])
    rows = metadata.rows
    assert swept(rows, runs=[RUN], grace=4000).stores["default"].young.count == 1
    report = Report()
    for _ in sweep(rows, report, runs=[RUN], grace=-4000, wait=0.2, apply=True):
        if report.waited:
            metadata.put(0, late, dag=RUN[0], run=RUN[1])
    assert report.stores["default"].kept.count == 1
    with metadata.engine.begin() as connection:
        connection.execute(sqlalchemy.text("update variable set val = 'of a clone'"))
    metadata.delete("true")
    clone = Rows(metadata.engine)
    for runs in ([RUN], None):
        with pytest.raises(OwnerError):
            swept(clone, runs=runs, grace=-4000, even_all=True)
    assert len(open_store(url).get(path_of(late))) > 0


def test_the_command_sweeps_runs(
    backend: Backend,
    metadata: Metadata,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend.options(threshold=0)
    for dag, run in [RUN, *OTHERS]:
        backend.push((1,), dag_id=dag, run_id=run)
    rows = metadata.rows
    monkeypatch.setattr(xcom_rows, "metadata_rows", lambda: rows)
    command = ["sweep", "--grace", "0", "--wait", "0", "--run", *RUN, "--run", *OTHERS[-1]]
    assert cli.main(command) == 0
    assert "2 payloads of" in capsys.readouterr().out
    assert len(backend.blobs()) == 1 + len(OTHERS)
    assert cli.main([*command, "--apply"]) == 0
    assert len(backend.blobs()) == len(OTHERS) - 1

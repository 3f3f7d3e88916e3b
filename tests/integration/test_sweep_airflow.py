"""Sweeps after what Airflow's own code does to XComs: the REST API, ``airflow db clean``, keys that are overwritten."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_server import DAGS, NOW, RUNS, add_dags, put
from conftest import Backend

from airflow_xcom.backend import cli
from airflow_xcom.backend.errors import SweepError
from airflow_xcom.backend.maintenance import rest_rows as rest
from airflow_xcom.backend.maintenance.rest_rows import RestRows
from airflow_xcom.backend.maintenance.sweep import Report, sweep

KEYS = ("return_value", "a/b ü", "part.2")


@pytest.fixture
def filled(airflow: str, backend: Backend) -> None:
    """Three Dags with three runs of two tasks and three keys each, whose payloads are all in the folder, and old."""
    from airflow.utils.session import create_session

    backend.options(threshold=0)
    with create_session() as session:
        add_dags(session)
    with create_session() as session:
        for dag in DAGS:
            for run in RUNS:
                for task in ("extract", "clean"):
                    for key in KEYS:
                        put(session, backend, (dag, run, task, key), (dag, run, task, key))
    age(backend)
    assert cli.main(["adopt"]) == 0


def age(backend: Backend) -> None:
    then = time.time() - 3 * 86_400
    for file in backend.blobs():
        os.utime(file, (then, then))


def orphans(backend: Backend) -> set[str]:
    """The files that no row refers to, by no code of ours: from SQLite's own file and the folder."""
    from airflow.configuration import conf

    database = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        values = [json.loads(value) for (value,) in connection.execute("select value from xcom")]
    referenced = {value["airflow_xcom"]["ref"]["path"] for value in values}
    files = {path.relative_to(backend.folder).as_posix() for path in backend.blobs()}
    assert referenced <= files, "every live value is there"
    return files - referenced


def delete_some(airflow: str, token: str, backend: Backend) -> None:
    """By everything that leaves payloads behind."""
    from airflow.utils.db_cleanup import run_cleanup
    from airflow.utils.session import create_session

    headers = {"Authorization": f"Bearer {token}"}
    entry = "flights/dagRuns/two/taskInstances/extract/xcomEntries/a%2Fb%20%C3%BC"
    for path in (entry, "flights/dagRuns/three", "ships"):
        answer = httpx.delete(f"{airflow}/api/v2/dags/{path}", headers=headers, timeout=60)
        assert answer.status_code in {200, 204}, answer.text
    run_cleanup(
        clean_before_timestamp=NOW - dt.timedelta(days=25), table_names=["dag_run"], confirm=False, verbose=False
    )
    with create_session() as session:  # keys that are overwritten
        for key in ("return_value", "part.2"):
            put(session, backend, ("trains", "two", "clean", key), {"replaced", key})
    age(backend)
    (backend.folder / "flights/two/clean/-1" / f".return_value.{uuid4().hex}.arrow.tmp").write_bytes(b"killed")
    age(backend)


def test_a_sweep_finds_exactly_the_orphans(
    airflow: str, token: str, filled: None, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orphans(backend) == set()
    delete_some(airflow, token, backend)
    expected = orphans(backend)
    # An entry; a run; a Dag; the oldest run of the other two; two keys; and a file.
    assert len(expected) == 1 + 6 + 18 + 12 + 2 + 1
    everything = len(backend.blobs())
    sources = {"rest": RestRows(airflow, token), "paged": _paged(airflow, token)}
    for name, source in sources.items():
        report = Report()
        for _ in sweep(source, report):
            pass
        found = report.stores["default"]
        assert (found.orphans.count, found.listed.count) == (len(expected), everything), name
        assert report.references == everything - len(expected), name
        assert report.hidden == ["ships"], name
    capsys.readouterr()
    assert cli.main(["sweep", "--output", "json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out[out.index("{\n") :])["stores"]["default"]  # a server in this process may log before it
    assert found["orphans"]["count"] == len(expected)
    assert found["unfinished"]["count"] == 1
    assert orphans(backend) == expected
    assert cli.main(["sweep", "--apply", "--wait", "0"]) == 0
    assert f"{len(expected)} payloads of " in capsys.readouterr().out
    assert orphans(backend) == set()
    assert len(backend.blobs()) == everything - len(expected)


def test_a_sweep_of_runs_reads_their_entries_alone(
    airflow: str, token: str, filled: None, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    delete_some(airflow, token, backend)
    runs = [("flights", "two"), ("trains", "two"), ("ships", "two"), ("flights", "three")]
    folders = tuple("/".join(run) + "/" for run in runs)
    expected = {path for path in orphans(backend) if path.startswith(folders) and not path.endswith(".tmp")}
    kept = [path for path in backend.blobs() if str(path.relative_to(backend.folder)).startswith(folders)]
    for source in (RestRows(airflow, token), _paged(airflow, token)):
        report = Report()
        for _ in sweep(source, report, runs=runs):
            pass
        found = report.stores["default"]
        assert found.orphans.count == len(expected) > 0
        assert report.references == len(kept) - 1 - len(expected)
    assert cli.main(["sweep", "--apply", "--wait", "0", *(part for run in runs for part in ("--run", *run))]) == 0
    assert f"{len(expected)} payloads of " in capsys.readouterr().out
    assert not expected & orphans(backend)


def _paged(airflow: str, token: str) -> RestRows:
    """Rows in small pages."""

    class Small(RestRows):
        def _ask(self, path: str, query: dict[str, Any]) -> dict[str, Any] | None:
            return super()._ask(path, {**query, "limit": 4} if "limit" in query else query)

    return Small(airflow, token)


@pytest.mark.usefixtures("filled")
def test_the_command_reads_through_the_rest_api_and_sweeps(  # noqa: PLR0913, PLR0917 - fixtures
    airflow: str,
    token: str,
    backend: Backend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    kept = len(backend.blobs())
    backend.push((1,))
    age(backend)
    (tmp_path / "token").write_text(f"{token}\n")
    port = airflow.rpartition(":")[2]
    connection = {"conn_type": "http", "host": "127.0.0.1", "port": int(port), "password": token}
    monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps(connection))
    for arguments in (["--rest", airflow, "--token-file", str(tmp_path / "token")], ["--rest", "here"]):
        assert cli.main(["sweep", *arguments]) == 0
        assert "1 payload of " in capsys.readouterr().out
    monkeypatch.setenv("AIRFLOW_XCOM_REST_TOKEN", token)
    apply = ["sweep", "--rest", airflow, "--apply", "--wait", "0"]
    assert cli.main(apply) == 1
    assert "with --no-archives that there are none" in capsys.readouterr().out
    assert cli.main([*apply, "--no-archives"]) == 1
    assert f"this is {airflow} (id " in capsys.readouterr().out, "the database is the owner"
    assert len(backend.blobs()) == kept + 1
    assert cli.main(["adopt", "--rest", airflow]) == 1
    assert cli.main(["adopt", "--rest", airflow, "--force"]) == 0
    assert cli.main([*apply, "--no-archives"]) == 0
    assert len(backend.blobs()) == kept


@pytest.mark.usefixtures("filled")
def test_rows_of_a_dag_that_db_clean_removed_keep_their_payloads(
    airflow: str, backend: Backend, capsys: pytest.CaptureFixture[str], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing of the API joins the table of Dags, and so leaves them out."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session() as session:
        for statement in ("pragma foreign_keys = off", "delete from dag where dag_id = 'ships'"):
            session.execute(text(statement))
    assert orphans(backend) == set()
    monkeypatch.setenv("AIRFLOW_XCOM_REST_TOKEN", token)
    kept = backend.blobs()
    assert cli.main(["adopt", "--rest", airflow, "--force"]) == 0
    assert cli.main(["sweep", "--rest", airflow, "--apply", "--wait", "0", "--no-archives"]) == 0
    assert "and so none of their XComs: ships" in capsys.readouterr().out
    assert backend.blobs() == kept


@pytest.mark.usefixtures("filled")
def test_rows_that_db_clean_archived_keep_their_payloads(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """They may be restored."""
    from airflow.utils.db_cleanup import run_cleanup
    from airflow.utils.session import create_session
    from sqlalchemy import text

    kept = backend.blobs()
    with create_session() as session:
        session.execute(text("update xcom set timestamp = '2020-01-01 00:00:00.000000' where dag_id = 'trains'"))
    before = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    run_cleanup(clean_before_timestamp=before, table_names=["xcom"], confirm=False, verbose=False)
    assert len(orphans(backend)) == 18
    assert cli.main(["sweep", "--apply", "--wait", "0"]) == 0
    assert "0 payloads of 0 bytes deleted" in capsys.readouterr().out
    assert backend.blobs() == kept
    with create_session() as session:
        names = "select name from sqlite_master where name like '_airflow_deleted%xcom%'"
        for (name,) in session.execute(text(names)).fetchall():
            session.execute(text(f"drop table {name}"))
    assert cli.main(["sweep", "--apply", "--wait", "0"]) == 0
    assert orphans(backend) == set()
    assert len(backend.blobs()) == len(kept) - 18


@pytest.mark.parametrize("which", ["nobody", "wrong", "nowhere", "something else"])
@pytest.mark.usefixtures("filled")
def test_an_api_that_does_not_tell_all_stops_a_sweep(  # noqa: PLR0913, PLR0917 - fixtures
    which: str,
    airflow: str,
    token: str,
    backend: Backend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend.push((1,))
    age(backend)
    before = backend.blobs()
    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    monkeypatch.setenv("AIRFLOW_XCOM_REST_TOKEN", {"nobody": "", "wrong": "x"}.get(which, token))
    url = {"nowhere": "http://127.0.0.1:1", "something else": f"{airflow}/nothing"}.get(which, airflow)
    assert cli.main(["sweep", "--rest", url, "--apply", "--grace", "0", "--wait", "0", "--no-archives"]) == 1
    assert "SweepError" in capsys.readouterr().out
    assert backend.blobs() == before


def test_dags_that_the_user_may_not_read_stop_a_sweep(
    airflow: str, token: str, filled: None, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their XComs are left out of the listing, as if nothing referred to their payloads."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    def may(self: Any, *, details: Any = None, **_: Any) -> bool:
        return details is None or details.id in {None, "flights"}

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", may)
    rows, report = RestRows(airflow, token), Report()
    before = backend.blobs()
    monkeypatch.setenv("AIRFLOW_XCOM_REST_TOKEN", token)
    assert cli.main(["adopt", "--rest", airflow, "--force"]) == 0
    with pytest.raises(SweepError, match="ships|trains"):
        for _ in sweep(rows, report, apply=True, wait=0):
            pass
    assert report.stores["default"].orphans.count == 36, "what the listing left out"
    assert backend.blobs() == before


def test_entries_that_go_while_they_are_listed_hide_no_others(
    airflow: str, token: str, filled: None, backend: Backend
) -> None:
    """Pages go by offset, and so what follows an entry that is deleted moves up."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    rows, listed = _paged(airflow, token), 0
    ask = rows._ask

    def asking(path: str, query: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal listed
        found = ask(path, query)
        if "offset" in query:
            listed += 1
            if listed % 3 == 0:
                delete_first()
        return found

    def delete_first() -> None:
        with create_session() as session:
            dag = session.execute(text("select min(dag_id) from xcom")).scalar()
            session.execute(
                text("delete from xcom where rowid = (select rowid from xcom where dag_id = :dag limit 1)"),
                {"dag": dag},
            )

    rows._ask = asking  # type: ignore[method-assign]
    names = {str(row) for row in rows.candidates()}
    with create_session() as session:
        places = session.execute(text("select dag_id, run_id, task_id, map_index, key from xcom")).fetchall()
    assert {f"XCom {tuple(place)}" for place in places} <= names
    assert 30 < len(places) < 54


def test_an_entry_that_is_listed_and_not_given_stops_a_sweep(
    airflow: str, token: str, filled: None, backend: Backend
) -> None:
    class Lossy(RestRows):
        def _ask(self, path: str, query: dict[str, Any]) -> dict[str, Any] | None:
            return None if path.endswith("/part%2E2") else super()._ask(path, query)

    with pytest.raises(SweepError, match="does not give"):
        list(Lossy(airflow, token).candidates())

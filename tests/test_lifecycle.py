"""Values that go when runs end, and the maintenance Dag, in a real Airflow: scheduler, API server and Dag processor."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Backend

from airflow_xcom.backend import lifecycle
from airflow_xcom.backend.lifecycle import RunEndListener

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "example_dags" / "demo"))

from airflow_api import failures, tail  # noqa: E402
from local_airflow import LocalAirflow  # noqa: E402

DEADLINE = 300.0  # seconds; what is waited for takes a few


def until(what: str, attempt: Callable[[], Any]) -> Any:
    """What ``attempt`` gives once that is true."""
    ends = time.monotonic() + DEADLINE
    while not (found := attempt()):
        assert time.monotonic() < ends, f"{what} did not come about"
        time.sleep(0.2)
    return found


class Site:
    """A running Airflow, its database and its blobs."""

    def __init__(self, home: Path, airflow: LocalAirflow) -> None:
        self.home = home
        self.airflow = airflow
        self.call = airflow._api._call

    def execute(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=60)) as database, database:
            return database.execute(statement, values).fetchall()

    def row(self, run_id: str, task: str = "extract") -> Any:
        query = "select value from xcom where run_id = ? and task_id = ? and key = 'return_value'"
        found = self.execute(query, run_id, task)
        return json.loads(found[0][0])["airflow_xcom"] if found else {}

    def blobs(self, run_id: str) -> list[Path]:
        folders = [
            folder
            for folder in self.home.glob("xcom/*/*")
            if folder.name == run_id.replace(":", "%3A").replace("+", "%2B")
        ]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def ended(self, dag_id: str, run_id: str) -> str:
        """The state of a run that has ended, after which this waits."""

        def state() -> str | None:
            found: str = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in {"success", "failed"} else None

        return str(until(f"the end of {run_id}", state))

    def clear(self, dag_id: str, run_id: str, *tasks: str) -> str:
        """Run these tasks of an old run again, and give the state in which it ends."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": tasks, "only_failed": False}
        self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)
        return self.ended(dag_id, run_id)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("airflow")
    dags = tmp_path_factory.mktemp("dags")
    for source in (Path(__file__).with_name("dags") / "kept.py", ROOT / "example_dags" / "maintenance.py"):
        (dags / source.name).write_text(source.read_text().replace('schedule="@daily"', "schedule=None"))
    options = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__XCOM_CODECS__RETAIN_WHEN_RUN_ENDS": "True",
        "AIRFLOW_CONN_XCOM_METADATA": json.dumps(
            {"conn_type": "generic", "password": f"sqlite:///{home / 'airflow.db'}"}
        ),
    }
    with LocalAirflow(home, dags, options, lambda _: None) as airflow:
        yield Site(home, airflow)


def test_values_go_when_a_later_run_ends_and_come_back_when_their_task_runs_again(site: Site) -> None:
    dag = "kept_by_number"
    first = site.airflow.run(dag)
    assert "ref" in site.row(first), "it is kept as long as it is the newest"
    second = site.airflow.run(dag)
    left = until("retirement", lambda: site.row(first).get("retired"))
    assert left["rule"] == "xcom:keep=1run"
    until("deletion of the blob", lambda: not site.blobs(first))
    assert "ref" in site.row(second)
    assert len(site.blobs(second)) == 1

    assert site.clear(dag, first, "use") == "failed"
    said = "\n".join(failures(site.airflow.task_logs(dag, first)))
    assert "RetiredPayloadError: the value was retired at " in said
    assert "by the rule 'xcom:keep=1run'; to have it again, clear the task 'extract' of this run" in said
    assert f"[dag={dag} run={first} task=extract map_index=-1 key=return_value]" in said

    assert site.clear(dag, first, "extract", "use") == "success"
    assert "ref" in site.row(first), "now it is the newest"
    until("retirement", lambda: site.row(second).get("retired"))
    log = site.home / "scheduler.log"
    assert "could be retired" not in log.read_text(), tail(log)


def test_the_maintenance_dag_retires_old_values_and_sweeps_orphans(site: Site) -> None:
    old, young = (site.airflow.run("kept_by_age") for _ in range(2))
    log = site.home / "scheduler.log"
    until("the process after the last run", lambda: f"kept_by_age {young}: " in log.read_text())
    for table, column in (("dag_run", "end_date"), ("xcom", "timestamp")):
        site.execute(f"update {table} set {column} = '2024-01-01 00:00:00.000000' where run_id = ?", old)
    (blob,) = site.blobs(old)
    orphan = blob.with_name("return_value.0123456789abcdef0123456789abcdef.msgpack")
    orphan.write_bytes(b"of a row that is gone")
    os.utime(orphan, (0, 0))

    dag = "/api/v2/dags/maintenance"
    until("the Dag", lambda: site.execute("select 1 from dag where dag_id = 'maintenance'"))
    site.call("PATCH", dag, {"is_paused": False})
    asked = {"logical_date": None, "conf": {"grace": 3600, "wait": 0}}
    run = site.call("POST", f"{dag}/dagRuns", asked)["dag_run_id"]
    state = site.ended("maintenance", run)
    logs = list(site.airflow.task_logs("maintenance", run))
    assert state == "success", "\n".join(str(event) for log in logs for event in log)
    assert site.row(old)["retired"]["rule"] == "xcom:keep=7d"
    assert [len(site.blobs(run)) for run in (old, young)] == [0, 1]
    assert "ref" in site.row(young)
    said = [event["event"] for log in logs for event in log]
    assert "1 of 1 values of 1 runs retired; 0 changed meanwhile, 0 failed" in said
    assert not [event for event in said if "sqlite://" in event], "where the database is, is a secret"


# The listener alone.


def ended(dag_id: str, run_id: str = "r") -> Any:
    return SimpleNamespace(dag_id=dag_id, run_id=run_id)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_GATHER", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_hook_returns_while_the_process_runs_and_runs_that_end_meanwhile_are_gathered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, str]] = []
    go_on = threading.Event()
    busy = threading.Event()

    def see_to(ended: dict[str, str]) -> None:
        seen.append(ended)
        busy.set()
        assert go_on.wait(DEADLINE)

    monkeypatch.setattr(lifecycle, "_see_to", see_to)
    listener = RunEndListener()
    listener.on_dag_run_success(ended("a", "1"))
    assert busy.wait(DEADLINE)
    for number in range(1000):
        listener.on_dag_run_success(ended("a", f"{number}"))
        listener.on_dag_run_failed(ended("b", f"{number}"))
    assert seen == [{"a": "1"}], "it has not ended"
    assert listener._ended == {"a": "999", "b": "999"}, "what waits is bounded by the number of Dags"
    go_on.set()
    until("the second process", lambda: len(seen) == 2)
    assert seen[1] == {"a": "999", "b": "999"}
    until("the end of the thread", lambda: listener._process is None)
    listener.on_dag_run_success(ended("c"))
    until("another thread", lambda: len(seen) == 3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("process", "said"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('the store is away')"), "the store is away"),
        (("/no/such/program",), "FileNotFoundError"),
    ],
)
def test_a_process_that_fails_is_logged_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, process: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(lifecycle, "_PROCESS", process)
    listener = RunEndListener()
    with caplog.at_level(logging.ERROR, "airflow_xcom.backend"):
        listener.on_dag_run_failed(ended("a"))
        until("the end of the thread", lambda: listener._process is None)
    assert said in caplog.text
    assert "could be retired after the runs a r" in caplog.text


def test_a_hook_that_cannot_start_a_thread_does_not_raise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(lifecycle._thread, "start_new_thread", refuse)
    RunEndListener().on_dag_run_success(ended("a", "manual"))
    assert "no values can be retired after the run a manual" in caplog.text


@pytest.mark.parametrize(("option", "count"), [("False", 0), ("True", 1), ("perhaps", 0)])
def test_there_is_a_listener_only_if_the_option_says_so(
    backend: Backend, caplog: pytest.LogCaptureFixture, option: str, count: int
) -> None:
    backend.options(retain_when_run_ends=option)
    assert len(lifecycle._listeners()) == count
    assert ("give True or False" in caplog.text) == (option == "perhaps")


def test_airflow_finds_the_plugin() -> None:
    code = """
from airflow.listeners.listener import get_listener_manager
from airflow_xcom.backend.lifecycle import RunEndListener
print([type(plugin) is RunEndListener for plugin in get_listener_manager().pm.get_plugins()].count(True))
"""
    environment = {**os.environ, "AIRFLOW__XCOM_CODECS__RETAIN_WHEN_RUN_ENDS": "True"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"


def test_the_plugin_is_installed() -> None:
    import configparser

    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    named = metadata["options.entry_points"]["airflow.plugins"].strip().partition(" = ")[2]
    assert named == f"{lifecycle.__name__}:{lifecycle.RetainPlugin.__name__}"

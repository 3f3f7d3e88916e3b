"""Values that go when runs end, and the maintenance Dag, in a real Airflow: scheduler, API server and Dag processor."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from airflow_api import failures, tail
from local_airflow import LocalAirflow

ROOT = Path(__file__).resolve().parents[2]
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

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API server, and again if it fails: SQLite's database may be locked for longer than it waits."""

        def answer() -> Any:
            try:
                return self.airflow._api._call(method, path, body)
            except HTTPError as error:
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return None

        return until(f"{method} {path}", answer)

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
    assert len(site.blobs(first)) == 1, "a sweep finds it"
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
    for path in (blob, orphan):
        os.utime(path, (0, 0))

    adopt = [sys.executable, "-m", "airflow_xcom.backend.cli", "adopt"]
    subprocess.run(adopt, env=site.airflow.environment, check=True)

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

"""A real Airflow run, through its execution API, on SQLite and local files."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_xcom.codecs import decode

JOURNEY = Path(__file__).with_name("dags") / "journey.py"


class Run:
    """A finished run: what it printed, its rows and its blobs."""

    def __init__(self, home: Path, output: str) -> None:
        self.home = home
        self.output = output
        with sqlite3.connect(home / "airflow.db") as database:
            rows = database.execute("select task_id, map_index, key, value from xcom").fetchall()
            states = database.execute("select task_id, map_index, state, try_number from task_instance").fetchall()
        # SQLite gives a JSON number as a number, and every other JSON value as text.
        self.rows = {
            (task, index, key): json.loads(value) if isinstance(value, str) else value
            for task, index, key, value in rows
        }
        self.states = {(task, index): (state, tries) for task, index, state, tries in states}

    def blobs(self, task: str) -> list[Path]:
        return sorted(self.home.glob(f"xcom/journey/*/{task}/*/*"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(JOURNEY.parent),
        "AIRFLOW__XCOM_CODECS__THRESHOLD": "49152",
    }
    environment.pop("AIRFLOW__XCOM_CODECS__PATH", None)
    for command in (["-m", "airflow", "db", "migrate"], [str(JOURNEY)]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return Run(home, done.stdout + done.stderr)


def test_the_run_succeeds(run: Run) -> None:
    assert "state: success" in run.output, run.output


def test_a_type_of_the_dag_file_goes_from_task_to_task(run: Run) -> None:
    assert run.states["use", -1][0] == "success"
    assert run.rows["use", -1, "return_value"] == "used"


def test_a_retry_leaves_the_blob_of_the_previous_try_to_a_sweep(run: Run) -> None:
    assert run.states["flaky", -1] == ("success", 2)
    parts = {
        path: decode(path.read_bytes(), "msgpack")[0] for path in run.blobs("flaky") if path.name.startswith("part.")
    }
    assert {1.0, 3.0} <= set(parts.values()), "a retry deletes nothing: a late answer of the first try may still come"
    referred = json.dumps(list(run.rows.values()))
    assert [first for path, first in parts.items() if path.name in referred] == [3.0]


def test_a_rewritten_key_has_its_new_value(run: Run) -> None:
    assert run.states["check", -1][0] == "success"
    path = run.rows["flaky", -1, "part"]["airflow_xcom"]["ref"]["path"]
    assert decode((run.home / "xcom" / path).read_bytes(), "msgpack")[0] == 3.0


def test_the_scheduler_reads_what_a_branch_wrote(run: Run) -> None:
    assert run.rows["branch", -1, "skipmixin_key"] == {"followed": ["taken"]}
    assert run.states["taken", -1][0] == "success"
    assert run.states["skipped", -1][0] == "skipped"


def test_mapped_tasks_take_and_give_frames(run: Run) -> None:
    assert run.rows["total", -1, "return_value"] == 8
    tags: list[Any] = [run.rows["double", index, "return_value"]["airflow_xcom"]["tag"] for index in range(3)]
    assert tags == ["pandas.DataFrame"] * 3

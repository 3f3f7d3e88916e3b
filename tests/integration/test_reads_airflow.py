"""Hints, and parts of tables, in a real Airflow run, through its execution API."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_xcom.backend import elements_of, table_of

JOURNEY = Path(__file__).with_name("dags") / "reads.py"

Rows = dict[tuple[str, int, str], Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of Airflow in which the Dag ran and succeeded, and what was logged."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(JOURNEY.parent),
        "AIRFLOW__XCOM_CODECS__PATH": (home / "xcom").as_uri(),
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "300",
        "AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO": "True",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(home / "events"), "append": True}
        ),
        "AIRFLOW__XCOM_CODECS__STORES": json.dumps({"archive": (home / "archive").as_uri()}),
    }
    for command in (["-m", "airflow", "db", "migrate"], [str(JOURNEY)]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "state: success" in done.stdout, done.stdout + done.stderr
    return home, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rows(ran: tuple[Path, str]) -> Rows:
    """The rows of the run."""
    with sqlite3.connect(ran[0] / "airflow.db") as database:
        found = database.execute("select task_id, map_index, key, value from xcom").fetchall()
    return {(*place, key): json.loads(value) if isinstance(value, str) else value for *place, key, value in found}


def store(row: Any) -> str | None:
    """Where the blob of a row is, if it has one."""
    return row["airflow_xcom"].get("ref", {}).get("store") if isinstance(row, dict) else None


@pytest.mark.parametrize("task", ["whole", "later", "numbers", "pairs"])
def test_a_returned_value_is_where_its_hint_says(rows: Rows, task: str) -> None:
    assert store(rows[task, -1, "return_value"]) == "archive"


def test_each_of_multiple_outputs_is_where_its_hint_says(rows: Rows) -> None:
    stores = [store(rows["outputs", -1, key]) for key in ("frame", "plain", "count", "return_value")]
    assert stores == ["archive", "default", None, None]


def test_a_pushed_value_is_where_its_hint_says(rows: Rows) -> None:
    assert store(rows["pushes", -1, "part"]) == "archive"


def test_tasks_map_over_a_hinted_value_and_have_hints_themselves(rows: Rows) -> None:
    assert [store(rows["times", index, "return_value"]) for index in range(3)] == ["archive"] * 3
    assert [rows["length", index, "return_value"] for index in range(2)] == [2, 2]


def test_a_hinted_value_that_is_false_stops_a_short_circuit(rows: Rows) -> None:
    assert rows["nothing", -1, "skipmixin_key"] == {"skipped": ["not_reached"]}
    assert ("nothing", -1, "return_value") not in rows


def test_the_values_come_back(rows: Rows) -> None:
    assert rows["use", -1, "return_value"] == "used"


def test_tasks_pull_parts_of_tables_and_take_them_as_arguments(rows: Rows) -> None:
    assert rows["take", -1, "return_value"] == "taken"
    assert [rows["each", index, "return_value"] for index in range(2)] == [1, 2]


def test_a_lazy_argument_is_in_no_event_of_openlineage(ran: tuple[Path, str]) -> None:
    events = [json.loads(line) for line in (ran[0] / "events").read_text().splitlines()]
    tasks: dict[str, set[bool]] = {}
    for event in events:
        tasks.setdefault(event["job"]["name"], set()).add("planted" in json.dumps(event))
    assert tasks["reads.take_secret"] == {True}, "a plain argument is sent whole"
    assert tasks["reads.open_lazily"] == {False}
    assert {name for name, planted in tasks.items() if True in planted} == {"reads.take_secret"}


def test_a_lazy_argument_is_neither_recorded_nor_logged(ran: tuple[Path, str], rows: Rows) -> None:
    """A plain argument is recorded, as the last line shows; Airflow masks what it takes for a secret only there."""
    assert rows["open_lazily", -1, "return_value"] == "opened"
    home, logged = ran
    with sqlite3.connect(home / "airflow.db") as database:
        found = database.execute("select task_id, rendered_fields from rendered_task_instance_fields").fetchall()
    recorded = dict(found)
    assert "lazy(XComArg(<Task(_PythonDecoratedOperator): give_secret>))" in recorded["open_lazily"]
    assert {task for task, fields in recorded.items() if "planted" in fields} == {"take_secret"}
    assert "planted" not in logged


def test_tasks_map_over_elements_that_are_read_singly(rows: Rows) -> None:
    def returned(task: str, count: int) -> list[Any]:
        assert (task, count, "return_value") not in rows
        return [rows[task, index, "return_value"] for index in range(count)]

    total = 1000 * 999 // 2
    assert "index_digest" in rows["large", -1, "return_value"]["airflow_xcom"]["ref"]
    assert returned("add_up", 8) == [total * number * by for number in range(4) for by in (1, 10)]
    assert returned("is_right", 4) == returned("is_small_right", 4) == [True] * 4
    assert returned("numbered", 3) == [-1, -1, -1]
    assert returned("mapped", 4) == [0, 1, 2, 3]
    assert returned("of_mapped", 3) == [1000, 1000, 1000]
    assert returned("group.in_group", 4) == [total * number for number in range(4)]


def test_elements_are_of_what_a_task_gives() -> None:
    with pytest.raises(TypeError, match="not a list"):
        elements_of([1])


def test_a_part_as_an_argument_is_a_dependency_that_is_the_same_at_every_parse() -> None:
    from airflow.sdk import DAG, task

    def parsed() -> Any:
        with DAG("parts", schedule=None) as dag:
            first = task(lambda: None, task_id="first")()
            task(lambda frame: None, task_id="second")(table_of(first, columns=["a"], rows=slice(5)))
        return dag.get_task("second")

    one, other = parsed(), parsed()
    assert one.upstream_task_ids == {"first"}
    assert repr(one.op_args) == repr(other.op_args)
    assert "columns=['a'], rows=slice(None, 5, None)" in repr(one.op_args)


def test_only_what_a_task_gives_has_parts_where_the_dag_is_made() -> None:
    with pytest.raises(TypeError, match="not a list"):
        table_of([1], columns=["a"])

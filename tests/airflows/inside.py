"""Runs inside an environment with one Airflow: the compatibility suite.

::

    python inside.py ways FOLDER         runs the Dags of dags/ and of the demo, and writes FOLDER/ways.json
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import traceback
from collections import defaultdict
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "example_dags"
DEMOS = ("flights", "frames", "mapped_frames", "mixed_dict", "custom_codec")
MAY_SKIP = (".each.", ".not_")  # what is in a task's id if a branch or a short circuit may skip it
LONGEST_PAGE = 4096  # characters
FIRST = datetime(2024, 1, 1, tzinfo=timezone.utc)  # noqa: UP017


def prepare(folder: Path) -> None:
    """An empty Airflow in the folder, with the Dags; before anything of Airflow is imported."""
    dags = folder / "dags"
    dags.mkdir(parents=True)
    from importlib.metadata import version

    for source in [*(HERE / "dags").glob("*.py"), *(EXAMPLES / f"{name}.py" for name in DEMOS)]:
        text = source.read_text()
        if version("apache-airflow").startswith("2."):
            text = text.replace("from airflow.sdk import dag, task", "from airflow.decorators import dag, task")
        (dags / source.name).write_text(text)
    sys.path[:0] = [str(dags), str(HERE), str(EXAMPLES / "demo")]
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": (folder / "former").as_uri(),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "1000",
            "AIRFLOW__XCOM_CODECS__PATH": (folder / "xcom").as_uri(),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )
    from airflow.utils import db

    db.upgradedb()


def run(dag: Any, date: datetime, conf: dict[str, str] | None = None) -> Any:
    """The finished run of a Dag at a date, through the task runner of this Airflow."""
    if hasattr(dag, "sync_to_db"):  # Airflow 2, whose dag.test() leaves that to others
        dag.sync_to_db()
        return dag.test(execution_date=date, run_conf=conf)
    return dag.test(logical_date=date, run_conf=conf)


def run_ids(folder: Path) -> dict[str, str]:
    """Dag -> its latest run."""
    with closing(sqlite3.connect(folder / "airflow.db")) as connection:
        return dict(connection.execute("select dag_id, run_id from dag_run order by id").fetchall())


def judged(instances: list[Any]) -> dict[str, str]:
    """Task group, or Dag if a task is in none -> ``yes`` if all its tasks did what they should, or which did not."""
    bad: dict[str, list[str]] = defaultdict(list)
    for instance in instances:
        group = instance.task_id.split(".")[0] if "." in instance.task_id else instance.dag_id
        found = bad[group]
        may_skip = any(part in instance.task_id for part in MAY_SKIP)
        if instance.state != "success" and not (may_skip and instance.state == "skipped"):
            found.append(f"{instance.task_id}[{instance.map_index}] is {instance.state}")
    return {group: "; ".join(found) or "yes" for group, found in bad.items()}


def ways(folder: Path) -> None:
    """Run everything, and write what became of each way."""
    prepare(folder)
    import ways as module

    results: dict[str, str] = {}
    second = FIRST.replace(day=2)
    for name, dates in (
        {name: [FIRST] for name in module.DAGS} | {"prior_dates": [FIRST, second], "other_dags": [second]}
    ).items():
        for date in dates:
            found = run(module.DAGS[name], date, run_ids(folder))
            instances = found.get_task_instances()
            for group, said in judged(instances).items():
                results[group] = said if results.get(group, "yes") == "yes" else results[group]
            if name == "ways":
                results["cleared"] = reported(cleared, found)
    results["assets"] = results["assets"] if (first := results.pop("producer")) == "yes" else first
    results |= demos(folder)
    results["pages"] = reported(pages, folder)
    (folder / "ways.json").write_text(json.dumps(results, indent=1))


def reported(check: Any, *arguments: Any) -> str:
    """What a check says, or why it could not."""
    try:
        return str(check(*arguments))
    except Exception as error:  # noqa: BLE001 - it is what is reported
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"


def cleared(found: Any) -> str:
    """Whether what branches and short circuits skipped is skipped once more: the scheduler reads what they pushed."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.ti_deps.dep_context import DepContext
    from airflow.ti_deps.deps.not_previously_skipped_dep import NotPreviouslySkippedDep
    from airflow.utils.session import create_session

    wrong, dep = [], NotPreviouslySkippedDep()
    with create_session() as session:
        same_run = (TaskInstance.dag_id == found.dag_id, TaskInstance.run_id == found.run_id)
        skipped = (
            session.query(TaskInstance)
            .filter(*same_run, TaskInstance.state == "skipped", TaskInstance.map_index < 0)
            .all()
        )
        for instance in skipped:
            instance.task = found.dag.get_task(instance.task_id)
            instance.state = None
            statuses = list(dep.get_dep_statuses(instance, session=session, dep_context=DepContext()))
            if instance.state != "skipped" or [status.passed for status in statuses] != [False]:
                wrong.append(f"{instance.task_id}[{instance.map_index}] may run: {statuses}")
        names = sorted(instance.task_id.partition(".")[0] for instance in skipped)
        session.rollback()
    return "; ".join(wrong) or ("yes" if names == ["branches", "short_circuits"] else f"skipped: {names}")


def demos(folder: Path) -> dict[str, str]:
    """The demo's Dags; of ``flights``, every XCom is compared with what its functions give."""
    from importlib import import_module

    import xcoms

    results = {}
    for name in DEMOS:
        module = import_module(name)
        dag = getattr(module, name)() if not hasattr(module, "DAG") else module.DAG
        found = run(dag, FIRST)
        results[name] = judged(found.get_task_instances())[name]
    xcoms.DAGS = folder / "dags"
    rows = stored(folder / "airflow.db", "flights")
    _, exact, passed = xcoms.judge(rows, [])
    if not passed:
        results["flights"] = f"only {exact} of {len(rows)} XComs are exact"
    return results


def pages(folder: Path) -> str:
    """What the server gives for plain, inline and offloaded values, while no store can be reached."""
    from pages import Server
    from ways import PLAIN

    (folder / "xcom").rename(folder / "xcom away")
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = "nowhere"  # nor could be, with such an option
    try:
        server = Server(folder)
        run_id = run_ids(folder)["ways"]
        found = {
            name: server.xcom("ways", run_id, f"taskflow_returns.{name}")
            for name in ("plain", "small", "large", "mixed")
        }
    finally:
        (folder / "xcom away").rename(folder / "xcom")
    wrong = [] if found["plain"][1] == PLAIN else [f"plain is {found['plain'][1]!r}"]
    for name, kind in {"small": "DataFrame", "large": "DataFrame", "mixed": "dict"}.items():
        text, value = found[name]
        summary = value["airflow_xcom"]["summary"]
        if not summary["type"].endswith(kind) or "bytes" not in summary or kind not in text or len(text) > LONGEST_PAGE:
            wrong.append(f"{name} is {text!r}")
    return "; ".join(wrong) or "yes"


def stored(database: Path, dag_id: str) -> list[tuple[str, str, str]]:
    """Task, key and JSON text of every row of a Dag."""
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        if "xcom_v2" in tables:
            query = (
                "select t.task_id, x.key, x.value from xcom_v2 x join task_instance t on x.task_instance_id = t.id "
                "where t.dag_id = ? order by x.timestamp, x.key"
            )
        else:
            query = "select task_id, key, value from xcom where dag_id = ? order by timestamp, key"
        found = connection.execute(query, (dag_id,)).fetchall()
    return [(task, key, value.decode() if isinstance(value, bytes) else str(value)) for task, key, value in found]


if __name__ == "__main__":
    command, target = sys.argv[1:]
    {"ways": ways}[command](Path(target))

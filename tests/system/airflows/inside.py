"""Runs inside an environment with one Airflow: the compatibility suite, over a database of PostgreSQL.

::

    python inside.py ways FOLDER DATABASE         runs the Dags of dags/ and of the demo, and writes FOLDER/ways.json
    python inside.py scheduled FOLDER DATABASE    leaves dags/scheduled.py to a scheduler, and writes scheduled.json
    python inside.py later FOLDER DATABASE OLDER  migrates the database of ``ways OLDER`` to this Airflow, reads what is
                                                  in it, and writes FOLDER/later.json
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[2] / "example_dags"
DEMO = HERE.parent / "demo"
INTEGRATION = HERE.parents[1] / "integration"
DEMOS = ("flights", "frames", "mapped_frames", "mixed_dict", "custom_codec")
LONGEST_PAGE = 4096  # characters
FIRST = datetime(2024, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
RETURNED = "Returned value was"  # in the log of every task that does not switch it off
PATIENCE = 600.0  # seconds for what the scheduler is left to do; it takes one or two minutes


def prepare(folder: Path, database: str, data: Path, *, level: str = "WARNING") -> None:
    """An Airflow in the folder, with the Dags, over a database; blobs are in ``data``; before Airflow is imported."""
    dags = folder / "dags"
    dags.mkdir(parents=True)
    for source in [*(HERE / "dags").glob("*.py"), *(EXAMPLES / f"{name}.py" for name in DEMOS)]:
        text = source.read_text()
        if version("apache-airflow").startswith("2."):
            text = text.replace("from airflow.sdk import dag, task", "from airflow.decorators import dag, task")
        (dags / source.name).write_text(text)
    paths = [str(path) for path in (dags, HERE, DEMO)]
    sys.path[:0] = paths
    drivers = {"SQL_ALCHEMY_CONN": "psycopg2", "SQL_ALCHEMY_CONN_ASYNC": "asyncpg"}
    os.environ.update(
        {
            "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # seconds; of a busy machine
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(bytes(32)).decode(),  # the same in every process
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
            **{
                f"AIRFLOW__DATABASE__{option}": database.replace("postgresql", f"postgresql+{driver}", 1)
                for option, driver in drivers.items()
            },
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": (data / "former").as_uri(),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "1000",
            "AIRFLOW__XCOM_CODECS__PATH": (data / "xcom").as_uri(),
            "AIRFLOW__WORKERS__STATE_STORE_BACKEND": "airflow_xcom.backend.CodecStateStore",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": level,
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
    if version("apache-airflow").startswith("3.0."):  # where assets must be known
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.models.dag import DAG
        from airflow.serialization.serialized_objects import SerializedDAG

        DagBundlesManager().sync_bundles_to_db()
        known = [SerializedDAG.from_dict(SerializedDAG.to_dict(dag))]
        DAG.bulk_write_to_db("dags-folder", None, known)  # noqa: AIR311 - the model's, which 3.0 has
    return dag.test(logical_date=date, run_conf=conf)


def rows(query: str, **parameters: Any) -> list[Any]:
    """What is in the metadata database."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(query), parameters)]
    finally:
        engine.dispose()


def run_ids() -> dict[str, str]:
    """Dag -> its latest run."""
    return dict(rows("select dag_id, run_id from dag_run order by id"))


def judged(instances: Iterable[tuple[str, str, int, str]], skipped: Iterable[tuple[str, int]] = ()) -> dict[str, str]:
    """Task group, or Dag if a task is in none -> ``yes`` if all its tasks did what they should, or which did not.

    Args:
        instances: Dag, task, map index, state.
        skipped: the tasks that should be.
    """
    bad: dict[str, list[str]] = defaultdict(list)
    for dag_id, task_id, map_index, state in sorted(instances):
        found = bad[task_id.split(".")[0] if "." in task_id else dag_id]
        if state != ("skipped" if (task_id, map_index) in skipped else "success"):
            found.append(f"{task_id}[{map_index}] is {state}")
    return {group: "; ".join(found) or "yes" for group, found in bad.items()}


def states(found: Any) -> list[tuple[str, str, int, str]]:
    """The task instances of a run."""
    return [(one.dag_id, one.task_id, one.map_index, str(one.state)) for one in found.get_task_instances()]


def ways(folder: Path, database: str) -> None:
    """Run everything, and write what became of each way."""
    prepare(folder, database, folder, level="INFO")
    import ways as module

    results: dict[str, str] = {}
    second = FIRST.replace(day=2)
    with written(folder / "log.txt"):
        for name, dates in (
            {name: [FIRST] for name in module.DAGS} | {"prior_dates": [FIRST, second], "other_dags": [second]}
        ).items():
            for date in dates:
                for group, said in judged(states(run(module.DAGS[name], date, run_ids()))).items():
                    results[group] = said if results.get(group, "yes") == "yes" else results[group]
    results["assets"] = results["assets"] if (first := results.pop("producer")) == "yes" else first
    if results["lazy_arguments"] == "yes":
        results["lazy_arguments"] = reported(unshown, folder)
    if results["inexact_values"] == "yes":
        results["inexact_values"] = reported(marked)
    results |= demos(folder)
    from releases import RELEASE

    if RELEASE >= (3, 1):
        sys.path.append(str(INTEGRATION))
        import data_tab_pages

        results["data_tab"] = reported(data_tab_pages.check, folder, run_ids()["flights"])
    results["pages"] = reported(pages, folder)
    (folder / "ways.json").write_text(json.dumps(results, indent=1))


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Write to a file what this process prints, the logs of its tasks among it, and print it at the end."""
    outputs = {1: os.dup(1), 2: os.dup(2)}
    with path.open("wb") as file:
        for output in outputs:
            os.dup2(file.fileno(), output)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for output, former in outputs.items():
            os.dup2(former, output)
            os.close(former)
        print(path.read_text(errors="replace"), file=sys.stderr)


def marked() -> str:
    """Whether the rows of ``inexact_values`` say which of their values are not exact."""
    found = {
        key: json.loads(text)["airflow_xcom"].get("inexact")
        for task, key, text in stored("ways")
        if task == "inexact_values.push" and key in {"hint", "option", "exact"}
    }
    expected = {
        "hint": {"count": 1, "places": ['value["note"]']},
        "option": {"count": 1, "places": ['value[0]["note"]']},
        "exact": None,
    }
    return "yes" if found == expected else f"marked as {found}"


def unshown(folder: Path) -> str:
    """Whether the arguments of ``lazy_arguments`` are recorded and logged by their names alone."""
    from ways import PLANTED

    table = "rendered_task_instance_fields r"
    if rows("select 1 from information_schema.tables where table_name = 'rtif_v2'"):
        table = "rtif_v2 r join task_instance t on r.task_instance_id = t.id"
    recorded = rows(
        f"select task_id, cast(rendered_fields as text) from {table} "
        "where dag_id = 'ways' and task_id like 'lazy_arguments.%'"
    )
    taking = [place for place in recorded if "take" in place[0] or "get" in place[0]]
    wrong = [place for place in recorded if PLANTED in place[1]]
    wrong += [place for place in taking if "lazy(" not in place[1]]
    logged = (folder / "log.txt").read_text(errors="replace")
    lines = [line for line in logged.splitlines() if PLANTED in line]
    wrong += [("log", line) for line in lines if "msg=SetXCom(" not in line]  # what the producer pushes, in 3.0
    wrong += [] if RETURNED in logged else [("log", "has no lines of tasks")]
    return "yes" if taking and not wrong else f"recorded as {wrong}"


def reported(check: Any, *arguments: Any) -> str:
    """What a check says, or why it could not."""
    try:
        return str(check(*arguments))
    except Exception as error:  # noqa: BLE001 - it is what is reported
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"


def scheduled(folder: Path, database: str) -> None:
    """What only a scheduler does: skips in mapped groups, runs for assets, triggers, tasks that are cleared."""
    prepare(folder, database, folder)
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder / "scheduled")
    (folder / "scheduled").mkdir()
    (folder / "dags" / "scheduled.py").rename(folder / "scheduled" / "scheduled.py")
    from components import Components

    sys.path.insert(0, str(folder / "scheduled"))
    from scheduled import NOTES, RUNS, SKIPPED

    NOTES.mkdir()
    results: dict[str, str] = {}
    with Components(folder) as components:
        components.wait("scheduled and triggered", lambda: finished(RUNS), PATIENCE)
        results |= judged(every_state(), SKIPPED)
        clear("scheduled", {task_id for task_id, _ in SKIPPED})
        clear("publishers", {"give"})
        components.wait("finished again", lambda: finished(RUNS + 1), PATIENCE)
        again = judged(every_state(), SKIPPED)
        clear("values_of_events", {"read"})
        components.wait("read again", lambda: finished(RUNS + 1), PATIENCE)
        results["pins"] = judged(every_state(), SKIPPED)["values_of_events"]
    notes = sorted(path.read_text().split() for path in NOTES.iterdir())
    if notes != [["1", "1"], ["2", "2"]]:
        results["pins"] = f"the runs have read {notes}"
    results["cleared"] = "; ".join(said for said in again.values() if said != "yes") or "yes"
    results.pop("publishers")
    (folder / "scheduled.json").write_text(json.dumps(results, indent=1))


def every_state() -> list[tuple[str, str, int, str]]:
    """All task instances that there are."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        return [(one.dag_id, one.task_id, one.map_index, str(one.state)) for one in session.query(TaskInstance).all()]


def finished(runs: int) -> bool:
    """Whether there are so many runs, all at their end."""
    found = rows("select state from dag_run")
    return len(found) == runs and all(state in {"success", "failed"} for (state,) in found)


def clear(dag_id: str, task_ids: set[str]) -> None:
    """Clear every instance of these tasks, as the pages do: all but those that were skipped run again."""
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        wanted = session.query(TaskInstance).filter(TaskInstance.dag_id == dag_id, TaskInstance.task_id.in_(task_ids))
        clear_task_instances(wanted.all(), session)
    if set(rows("select clear_number from dag_run where dag_id = :dag", dag=dag_id)) != {(1,)}:
        raise AssertionError(f"the run of {dag_id} was not cleared")


def later(folder: Path, database: str, older: Path) -> None:
    """Read the rows that an older Airflow left, and the blobs where they are."""
    prepare(folder, database, older)
    from later import DAG

    said = judged(states(run(DAG, FIRST.replace(month=2), run_ids())))
    (folder / "later.json").write_text(json.dumps(said, indent=1))


def demos(folder: Path) -> dict[str, str]:
    """The demo's Dags; of ``flights``, every XCom is compared with what its functions give."""
    from importlib import import_module

    import xcoms

    results = {}
    for name in DEMOS:
        module = import_module(name)
        dag = getattr(module, name)() if not hasattr(module, "DAG") else module.DAG
        results[name] = judged(states(run(dag, FIRST)))[name]
    xcoms.DAGS = folder / "dags"
    found = stored("flights")
    _, exact, passed = xcoms.judge(found, [])
    if not passed:
        results["flights"] = f"only {exact} of {len(found)} XComs are exact"
    return results


def pages(folder: Path) -> str:
    """What the server gives for plain, inline and offloaded values, while no store can be reached."""
    from pages import Server
    from ways import PLAIN

    (folder / "xcom").rename(folder / "xcom away")
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = "nowhere"  # nor could be, with such an option
    try:
        server = Server(folder)
        run_id = run_ids()["ways"]
        found = {
            name: server.xcom("ways", run_id, f"taskflow_returns.{name}")
            for name in ("plain", "small", "inline", "large", "mixed")
        }
    finally:
        (folder / "xcom away").rename(folder / "xcom")
    wrong = [] if found["plain"][1] == PLAIN else [f"plain is {found['plain'][1]!r}"]
    for name, kind in {"small": "DataFrame", "inline": "ndarray", "large": "DataFrame", "mixed": "dict"}.items():
        text, value = found[name]
        summary = value["airflow_xcom"]["summary"]
        longest = max(len(text), len(json.dumps(value)))
        if not summary["type"].endswith(kind) or "bytes" not in summary or kind not in text or longest > LONGEST_PAGE:
            wrong.append(f"{name} is {text!r}")
    return "; ".join(wrong) or "yes"


def stored(dag_id: str) -> list[tuple[str, str, str]]:
    """Task, key and JSON text of every row of a Dag."""
    if rows("select 1 from information_schema.tables where table_name = 'xcom_v2'"):
        query = (
            "select t.task_id, x.key, cast(x.value as text) from xcom_v2 x "
            "join task_instance t on x.task_instance_id = t.id where t.dag_id = :dag order by x.timestamp, x.key"
        )
    else:
        text = "convert_from(value, 'UTF8')" if version("apache-airflow").startswith("2.") else "cast(value as text)"
        query = f"select task_id, key, {text} from xcom where dag_id = :dag order by timestamp, key"
    return rows(query, dag=dag_id)


if __name__ == "__main__":
    command, target, url, *others = sys.argv[1:]
    {"ways": ways, "scheduled": scheduled, "later": later}[command](Path(target), url, *map(Path, others))

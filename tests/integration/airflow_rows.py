"""Three Dags with three runs of two tasks each, and their XComs, in the database of the Airflow that runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

DAGS, RUNS = ("flights", "trains", "ships"), ("one", "two", "three")
NOW = dt.datetime.now(dt.UTC)


def add_dags(
    session: Any, dags: Sequence[str] = DAGS, runs: Sequence[str] = RUNS, tasks: Sequence[str] = ("extract", "clean")
) -> None:
    """Add the Dags, their runs and task instances, those that are not there."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    session.merge(DagBundleModel(name="tests"))
    session.flush()
    for dag in dags:
        limits = {"max_active_tasks": 16, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
        session.merge(DagModel(dag_id=dag, bundle_name="tests", fileloc="dags.py", **limits))
        session.flush()
        for number, run in enumerate(runs):
            if session.query(DagRun).filter_by(dag_id=dag, run_id=run).count():
                continue
            day = NOW - dt.timedelta(days=10 * (len(runs) - number))
            session.add(
                DagRun(dag_id=dag, run_id=run, run_type="manual", state="success", start_date=day, logical_date=day)
            )
            session.flush()
            for task in tasks:
                place = {"dag_id": dag, "run_id": run, "task_id": task, "map_index": -1}
                rest_of = {"id": uuid4(), "pool": "default_pool", "state": "success", "try_number": 1}
                session.execute(insert(TaskInstance.__table__).values(**place, **rest_of))


def set_row(session: Any, whose: tuple[str, str, str, str], row: Any) -> None:
    """Write what stands in the row of an XCom: Dag, run, task and key."""
    from airflow.models.xcom import XComModel

    dag, run, task, key = whose
    XComModel.set(key, row, dag_id=dag, run_id=run, task_id=task, serialize=False, session=session)

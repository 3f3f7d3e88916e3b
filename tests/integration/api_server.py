"""Airflow's API server over a database with three Dags, three runs of two tasks each, both in this process."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from conftest import Backend

DAGS, RUNS = ("flights", "trains", "ships"), ("one", "two", "three")
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def airflow() -> Iterator[str]:
    """The URL of an API server over a new database, both in this process."""
    import uvicorn
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import resetdb

    resetdb()
    server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def token(airflow: str) -> str:
    """That of an administrator."""
    return token_of("admin", "ADMIN")


def token_of(name: str, role: str) -> str:
    """What a user with this role logs in with."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return str(get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role)))


def add_dags(session: Any) -> None:
    """Add the Dags, their runs and task instances, those that are not there."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    session.merge(DagBundleModel(name="tests"))
    session.flush()
    for dag in DAGS:
        limits = {"max_active_tasks": 16, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
        session.merge(DagModel(dag_id=dag, bundle_name="tests", fileloc="dags.py", **limits))
        session.flush()
        for number, run in enumerate(RUNS):
            if session.query(DagRun).filter_by(dag_id=dag, run_id=run).count():
                continue
            day = NOW - dt.timedelta(days=10 * (3 - number))
            session.add(
                DagRun(dag_id=dag, run_id=run, run_type="manual", state="success", start_date=day, logical_date=day)
            )
            session.flush()
            for task in ("extract", "clean"):
                place = {"dag_id": dag, "run_id": run, "task_id": task, "map_index": -1}
                rest_of = {"id": uuid4(), "pool": "default_pool", "state": "success", "try_number": 1}
                session.execute(insert(TaskInstance.__table__).values(**place, **rest_of))


def put(session: Any, backend: Backend, whose: tuple[str, str, str, str], value: Any) -> None:
    """Push a value, as the API server does it for a task."""
    from airflow.models.xcom import XComModel

    dag, run, task, key = whose
    place = {"dag_id": dag, "run_id": run, "task_id": task}
    row = backend.push(value, key=key, **place)
    XComModel.set(key, row, **place, serialize=False, session=session)

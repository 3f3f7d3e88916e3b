"""Airflow's API server over a database with three Dags, three runs of two tasks each, both in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from airflow_rows import DAGS, NOW, RUNS, add_dags, set_row

if TYPE_CHECKING:
    from conftest import Backend

__all__ = ["DAGS", "NOW", "RUNS", "add_dags", "airflow", "put", "token", "token_of"]


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


def put(session: Any, backend: Backend, whose: tuple[str, str, str, str], value: Any) -> None:
    """Push a value, as the API server does it for a task."""
    dag, run, task, key = whose
    set_row(session, whose, backend.push(value, key=key, dag_id=dag, run_id=run, task_id=task))

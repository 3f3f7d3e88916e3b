"""What the REST API of the Airflow that runs gives for a row, asked through the server's own application.

The user interface shows the same: it asks this API from 3.0 on, and the model behind it in 2.11.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from releases import RELEASE


class Server:
    """The web server of this Airflow, in this process, without a port."""

    def __init__(self, folder: Path) -> None:
        self._get = _airflow_2(folder) if RELEASE < (3, 0) else _airflow_3()
        self._root = "/api/v1" if RELEASE < (3, 0) else "/api/v2"

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> tuple[str, Any]:
        """The text that the API gives for a row, and the value that it gives where it is asked for JSON.

        The pages ask for the text in 3.0, and later for the value with ``deserialize``, which must be the same here.
        """
        parts = [quote(part, safe="") for part in (dag_id, run_id, task_id, key)]
        path = "{}/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}".format(self._root, *parts)
        value = self._get(f"{path}?stringify=false")["value"]
        if RELEASE >= (3, 1) and (other := self._get(f"{path}?stringify=false&deserialize=true")["value"]) != value:
            raise AssertionError(f"{path} is {value!r} and, with deserialize, {other!r}")
        return self._get(f"{path}?stringify=true")["value"], value


def _airflow_3() -> Any:
    os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    client = TestClient(create_app())
    found = client.get("/auth/token")
    headers = {"Authorization": f"Bearer {found.json()['access_token']}"}

    def get(path: str) -> Any:
        answer = client.get(path, headers=headers)
        if answer.status_code != 200:
            raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    return get


def _airflow_2(folder: Path) -> Any:
    (folder / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n")
    os.environ["AIRFLOW__WEBSERVER__CONFIG_FILE"] = str(folder / "webserver_config.py")
    os.environ["AIRFLOW__API__AUTH_BACKENDS"] = "airflow.api.auth.backend.default"
    from airflow.www.app import create_app

    client = create_app(testing=True).test_client()

    def get(path: str) -> Any:
        answer = client.get(path)
        if answer.status_code != 200:
            raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
        return answer.json

    return get

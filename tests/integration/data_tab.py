"""The Data tab over HTTP, as a page in a browser asks it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from airflow_rows import set_row
from api_server import add_dags, put

if TYPE_CHECKING:
    from conftest import Backend
    from published import Published

PLACE = ("flights", "one", "extract")


class Tab:
    """The XComs of one task, as a user sees them."""

    def __init__(self, url: str, token: str | None, backend: Backend) -> None:
        cookies = {} if token is None else {"_token": token}
        self.client = httpx.Client(base_url=f"{url}/xcom-data", cookies=cookies, timeout=60)
        self._backend = backend
        self.place = PLACE

    def push(self, value: Any, key: str = "return_value", place: tuple[str, str, str] = PLACE) -> None:
        """Push as a task does."""
        from airflow.utils.session import create_session

        with create_session() as session:
            put(session, self._backend, (*place, key), value)

    def write_row(self, row: Any, key: str = "return_value") -> None:
        """Write the JSON of a row past the backend, as an attacker with the database might."""
        from airflow.utils.session import create_session

        with create_session() as session:
            set_row(session, (*PLACE, key), row)

    def path(self, what: str) -> str:
        dag, run, task = (quote(part, safe="") for part in self.place)
        return f"/api/dags/{dag}/runs/{run}/tasks/{task}/-1/{what}"

    def ask(self, what: str, key: str = "return_value", **query: Any) -> httpx.Response:
        return self.client.get(self.path(what), params={"key": key, **query})

    def get(self, what: str, key: str = "return_value", **query: Any) -> Any:
        """What a request gives."""
        answer = self.ask(what, key, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refusal(self, what: str, key: str = "return_value", **query: Any) -> tuple[int, str]:
        """Status and state of a request that fails."""
        answer = self.ask(what, key, **query)
        return answer.status_code, answer.json().get("state", answer.json().get("detail"))

    def last(self, what: str, key: str = "return_value", **query: Any) -> Any:
        """The last line of a response of lines."""
        answer = self.ask(what, key, **query)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text.splitlines()[-1])


@pytest.fixture
def tab(airflow: str, token: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """The XComs of a task, each of which goes to the store; none is left of another test, whose store is gone."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(XComModel).delete()
        add_dags(session)
    backend.options(threshold=0)
    for name in ("asset_versions", "storage", "version_states"):
        monkeypatch.setattr(f"airflow_xcom.backend.ui.{name}._SECONDS", 120)  # of a busy machine
    return Tab(airflow, token, backend)


@pytest.fixture
def published(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Publishes versions that the tab shows."""
    from published import Published  # which imports Airflow, whose folder is not set when fixtures are loaded

    return Published(monkeypatch)

"""What the API server of Airflow 3 shows of rows, asked over HTTP: a real server with the plugin as it is installed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from api_server import add_dags, put
from conftest import Backend

pytestmark = pytest.mark.installation

PLACE = ("flights", "one", "extract")
INLINE = np.arange(4096.0)  # 43 KiB in base64
PLAIN = {"text": "'airflow_xcom'" * 2000, "list": [1.5, None, "'"]}
WAYS = [f"deserialize={a}&stringify={b}" for a in ("true", "false") for b in ("true", "false")]


class Api:
    """The XComs of one task through the REST API."""

    def __init__(self, url: str, token: str, backend: Backend) -> None:
        dag, run, task = PLACE
        headers = {"Authorization": f"Bearer {token}"}
        path = f"{url}/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries"
        self._client = httpx.Client(base_url=path, headers=headers, timeout=60)
        self._backend = backend

    def push(self, key: str, value: Any) -> Any:
        """Push as a task does; gives the row."""
        from airflow.utils.session import create_session

        with create_session() as session:
            put(session, self._backend, (*PLACE, key), value)
        return self.row(key)

    @staticmethod
    def row(key: str) -> Any:
        """What is in the database."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        dag, run, task = PLACE
        with create_session() as session:
            return session.query(XComModel.value).filter_by(dag_id=dag, run_id=run, task_id=task, key=key).scalar()

    def get(self, key: str, query: str = "", **headers: str) -> Any:
        """What the server gives."""
        answer = self._client.get(f"/{key}?{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def write(self, method: str, key: str, value: Any) -> httpx.Response:
        """Write as a page does that was edited, or a client."""
        content = {"value": value, "map_index": -1} | ({"key": key} if method == "POST" else {})
        listing = str(self._client.base_url).rstrip("/")
        return self._client.request(method, listing if method == "POST" else f"{listing}/{key}", json=content)


@pytest.fixture
def api(airflow: str, token: str, backend: Backend) -> Api:
    from airflow.utils.session import create_session

    with create_session() as session:
        add_dags(session)
    backend.options(threshold=49152)
    return Api(airflow, token, backend)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_inline_value_is_shown_without_its_payload(way: str, encoding: str, api: Api) -> None:
    row = api.push("inline", INLINE)
    content = row["airflow_xcom"]
    text = f"{len(json.dumps(content['data']))} bytes of JSON, which are not shown"
    assert len(json.dumps(row)) > 40_000
    expected = {"airflow_xcom": {**content, "data": text}}
    found = api.get("inline", way, **{"Accept-Encoding": encoding})
    assert found == (str(expected) if way.endswith("stringify=true") else expected)
    assert len(json.dumps(found)) < 2048
    assert api.row("inline") == row


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "value",
    [PLAIN, "{'airflow_xcom': " + "x" * 9000, 1.5, None, (1, 2), pd.DataFrame({"a": [1.5]})],
    ids=lambda value: type(value).__name__,
)
def test_what_is_plain_or_short_is_shown_as_it_is(value: Any, way: str, api: Api) -> None:
    row = api.push("other", value)
    assert api.get("other", way) == (str(row) if way.endswith("stringify=true") and row is not None else row)


def test_a_blob_is_shown_as_its_row(api: Api, backend: Backend) -> None:
    backend.options(threshold=0)
    row = api.push("blob", INLINE)
    for path in backend.blobs():
        path.unlink()
    assert "ref" in row["airflow_xcom"]
    assert api.get("blob") == row


@pytest.mark.parametrize("method", ["PATCH", "POST"])
@pytest.mark.parametrize("form", [lambda value: value, json.dumps], ids=["json", "text"])
def test_what_is_shown_is_not_written_back(method: str, form: Any, api: Api) -> None:
    row = api.push("inline", INLINE)
    answer = api.write(method, "inline" if method == "PATCH" else "new", form(api.get("inline")))
    assert answer.status_code == 400
    assert "lacks the payload" in answer.json()["detail"]
    assert api.row("inline") == row
    assert api.row("new") is None


def test_other_values_are_written(api: Api) -> None:
    small = api.push("small", (1, 2))
    for value in ("text", {"airflow_xcom": "of a user"}, api.get("small"), PLAIN):
        answer = api.write("PATCH", "small", value)
        assert answer.status_code == 200, answer.text
        assert api.row("small") == value
    assert api.write("PATCH", "small", small).json()["value"] == small


@pytest.mark.parametrize("method", ["PATCH", "POST"])
@pytest.mark.parametrize("threshold", [0, 49152], ids=["blob", "row"])
def test_a_row_is_not_written_over_another(threshold: int, method: str, api: Api, backend: Backend) -> None:
    backend.options(threshold=threshold)
    theirs, ours = api.push("theirs", INLINE[:9]), api.push("ours", (1, 2))
    answer = api.write(method, "ours" if method == "PATCH" else "copied", theirs)
    assert answer.status_code == 400
    assert "key=theirs" in answer.json()["detail"]
    assert api.row("ours") == ours
    assert api.row("copied") is None


def test_errors_of_the_server_pass(api: Api) -> None:
    with pytest.raises(AssertionError, match="not found"):
        api.get("missing airflow_xcom")
    assert api.write("PATCH", "missing", {"airflow_xcom": 1}).status_code == 404

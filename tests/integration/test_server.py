"""What the API server of Airflow 3 shows of rows, asked over HTTP: a real server with the plugin as it is installed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from api_server import add_dags, put
from conftest import Backend

from airflow_xcom.backend.ui import api_server as server

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


# -- what a server does not do by itself ---------------------------------------------------------------------


def asked(path: str, *sent: dict[str, Any], method: str = "GET", root: str = "") -> list[dict[str, Any]]:
    """What comes of messages that an application sends."""
    out: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in sent:
            await send(message)

    async def send(message: Any) -> None:
        out.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    scope = {"type": "http", "path": path, "method": method, "root_path": root}
    asyncio.run(server.ShortPayloads(app)(scope, receive, send))
    return out


LONG = {"airflow_xcom": {"summary": {}, "data": "x" * 5000}}
ENTRY = "/api/v2/dags/d/dagRuns/r/taskInstances/t/xcomEntries/k"
START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"application/json")]}


def body(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": value if type(value) is bytes else json.dumps(value).encode(), **more}


def test_parts_of_a_response_are_put_together() -> None:
    whole = json.dumps({"value": LONG}).encode()
    parts = [body(whole[:3000], more_body=True), body(whole[3000:])]
    start, found = asked(ENTRY, START, *parts)
    assert json.loads(found["body"])["value"]["airflow_xcom"]["data"] == "5002 bytes of JSON, which are not shown"
    assert dict(start["headers"])[b"content-length"] == str(len(found["body"])).encode()


@pytest.mark.parametrize(
    "path",
    [
        "/execution/xcoms/d/r/t/k",
        "/execution/xcoms/d/r/t/api/v2/dags/xcomEntries/k",
        "/api/v2/dags/d/dagRuns/r/taskInstances/t",
    ],
)
def test_tasks_and_other_requests_get_what_there_is(path: str) -> None:
    sent = [START, body({"value": LONG})]
    assert asked(path, *sent) == sent
    assert asked(f"/below{path}", *sent, root="/below") == sent


def test_a_server_below_another_path() -> None:
    _, found = asked(f"/below{ENTRY}", START, body({"value": LONG}), root="/below")
    assert len(found["body"]) < 200


@pytest.mark.parametrize(
    "sent",
    [
        [START, body(b"\x00airflow_xcom" * 500)],
        [START, body(["airflow_xcom" * 500])],
        [START, body({"value": "{'airflow_xcom': " + "(" * 5000})],
        [START | {"status": 404}, body({"value": LONG})],
        [START | {"headers": [(b"content-type", b"text/html")]}, body({"value": LONG})],
        [START | {"headers": [*START["headers"], (b"content-encoding", b"br")]}, body({"value": LONG})],
        [{"type": "http.response.debug"}],
    ],
)
def test_what_is_not_understood_passes(sent: list[dict[str, Any]]) -> None:
    found = asked(ENTRY, *sent)
    assert [message.get("body") for message in found] == [message.get("body") for message in sent]
    assert [message["type"] for message in found] == [message["type"] for message in sent]


def test_a_huge_text_is_cut() -> None:
    text = str({"airflow_xcom": {"data": "x" * 2_000_000}})
    _, found = asked(ENTRY, START, body({"value": text}))
    assert json.loads(found["body"])["value"].endswith(f"... {len(text)} characters, which are not all shown")
    assert len(found["body"]) < 3000

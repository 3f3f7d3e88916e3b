"""What the API server's plugin does with requests and responses that a real server does not make by itself."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import Any

import pytest

from airflow_xcom.backend.ui import api_server as server


def asked(
    path: str, *sent: dict[str, Any], method: str = "GET", root: str = "", kind: str = "http"
) -> list[dict[str, Any]]:
    """What comes of messages that an application sends."""
    out: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in sent:
            await send(message)

    async def send(message: Any) -> None:
        out.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    scope = {"type": kind, "path": path, "method": method, "root_path": root}
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


@pytest.mark.parametrize("is_on", [True, False])
def test_the_data_tab_is_imported_once_the_server_has_started(is_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(server, "import_module", imported.put)
    monkeypatch.setenv("AIRFLOW__XCOM_CODECS__DATA_TAB", str(is_on))
    sent = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert asked("", *sent, kind="lifespan") == sent
    if is_on:
        assert imported.get(timeout=60) == "airflow_xcom.backend.ui.routes"
    assert imported.empty()

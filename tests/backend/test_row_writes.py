"""What the REST API of Airflow 3 may write into a row, and what reading and writing cost the server's event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import COORDINATE, Backend

from airflow_xcom.backend.ui import api_server as server

ENTRIES = "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries".format(**COORDINATE)
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "escapes": lambda text: text.replace("airflow_xcom", r"airflow\u005fxcom").encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-32-be": lambda text: text.encode("utf-32-be"),
}


def exchanged(method: str, path: str, request: bytes, answer: Any = None) -> tuple[Any, list[bytes]]:
    """The status and body of an answer, and the bodies that reached Airflow."""
    reached: list[bytes] = []
    out: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        reached.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def receive() -> Any:
        return {"type": "http.request", "body": request}

    async def send(message: Any) -> None:
        out.append(message)

    asyncio.run(server.ShortPayloads(app)({"type": "http", "path": path, "method": method}, receive, send))
    return (out[0]["status"], json.loads(out[1]["body"])), reached


def written(value: Any, encode: Callable[[str], bytes] = str.encode, **more: Any) -> Any:
    """The answer to a POST of a value; None if it reached Airflow as it was sent."""
    request = encode(json.dumps({"key": "return_value", "value": value, **more}))
    answer, reached = exchanged("POST", ENTRIES, request)
    assert reached in ([], [request])
    patched, _ = exchanged("PATCH", f"{ENTRIES}/return_value", encode(json.dumps({"value": value, **more})))
    assert patched == answer
    return None if reached else answer


@pytest.mark.parametrize("form", [lambda value: value, json.dumps], ids=["json", "text"])
@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_envelope_of_another_xcom_is_not_written(
    encoding: str, threshold: int, form: Callable[[Any], Any], backend: Backend
) -> None:
    backend.options(threshold=threshold)
    others = [{"dag_id": "salaries"}, {"run_id": "r"}, {"task_id": "t"}, {"key": "k"}, {"map_index": 3}]
    for other in others:
        value = backend.push(np.arange(9), **{"map_index": 7, **other})
        status, detail = written(form(value), ENCODINGS[encoding], map_index=7)
        assert status == 400
        assert "airflow-xcom copy" in detail["detail"]
        assert all(str(part) in detail["detail"] for part in (*COORDINATE.values(), *other.values()) if part != -1)
    own = form(backend.push(np.arange(9), map_index=7))
    assert written(own, ENCODINGS[encoding], map_index=7) is None
    assert written(own, ENCODINGS[encoding], map_index="7") is None
    assert written(own, ENCODINGS[encoding], region_id="a", region_index=7) is None
    assert written(own, ENCODINGS[encoding], map_index="8")[0] == 400, "Airflow takes text for a number"


def test_an_envelope_that_refers_to_the_blob_of_another_is_not_written(backend: Backend) -> None:
    backend.options(threshold=0)
    forged = backend.push((1,))
    for path in (backend.push((1,), dag_id="salaries")["airflow_xcom"]["ref"]["path"], "../x"):
        forged["airflow_xcom"]["ref"]["path"] = path
        assert written(forged)[0] == 400
    assert written({"airflow_xcom": {**backend.push((1,))["airflow_xcom"], "version": 99}})[0] == 400


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_shown_short_is_not_written_back_in_any_encoding(encoding: str) -> None:
    shown = {"airflow_xcom": {"data": "5000 bytes of JSON, which are not shown"}}
    status, detail = written(shown, ENCODINGS[encoding])
    assert (status, "lacks the payload" in detail["detail"]) == (400, True)


@pytest.mark.parametrize(
    "value", [1, "x", None, {"airflow_xcom": "a user's"}, {"airflow_xcom": 1, "b": 2}, ["airflow_xcom"], "[" * 100_000]
)
def test_anything_else_is_written(value: Any) -> None:
    for encode in ENCODINGS.values():
        assert written(value, encode) is None


@pytest.mark.parametrize(
    "request_body", [b"\0", b'{"value": "airflow_xcom"', b"[" * 100_000 + b"\\u", b'"\\u"', b"[]\0"]
)
def test_what_cannot_be_parsed_is_left_to_airflow(request_body: bytes) -> None:
    _, reached = exchanged("POST", ENTRIES, request_body)
    assert reached == [request_body]


def test_a_huge_body_that_may_be_an_envelope_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LARGEST_BODY", 1000)
    assert written("x" * 2000) is None
    assert written("airflow_xcom" * 200)[0] == 400


SECRET = {
    "airflow_xcom": {"version": 1, "tag": "data", "summary": {"data": [1, "}"]}, "data": {"$": ["'\"\\", 5000 * "ü"]}}
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "data", [SECRET["airflow_xcom"]["data"], "a'b" * 2000, "a\"'\\" * 2000, [[]] * 3000, {"a": "}"}]
)
def test_a_text_is_shown_short_wherever_its_payload_stands(order: int, data: Any) -> None:
    content = dict([*{**SECRET["airflow_xcom"], "data": data}.items()][::order])
    (_, shown), _ = exchanged("GET", f"{ENTRIES}/k", b"", {"value": str({"airflow_xcom": content})})
    size = len(repr(data))
    expected = data if size <= 2048 else f"{size} bytes of JSON, which are not shown"
    assert shown["value"] == str({"airflow_xcom": {**content, "data": expected}})


@pytest.mark.parametrize("noise", ["'\\", '"\\', "1,", "[", "'\"", "\\"])
def test_a_forged_text_costs_no_more_than_its_length(noise: str) -> None:
    """Were it searched again from each quote, this would take hours."""
    text = "{'airflow_xcom': {'data': " + noise * (900_000 // len(noise))
    (_, shown), _ = exchanged("GET", f"{ENTRIES}/k", b"", {"value": text})
    assert shown["value"] == text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_work_is_not_done_on_the_event_loop(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    name = "_shortened" if method == "GET" else "_objection"
    work = getattr(server, name)
    monkeypatch.setattr(server, name, lambda *given: threads.append(threading.current_thread()) or work(*given))
    content = {"key": "k", "value": str(SECRET)}
    exchanged(method, ENTRIES if method == "POST" else f"{ENTRIES}/k", json.dumps(content).encode(), content)
    assert threads
    assert threading.main_thread() not in threads

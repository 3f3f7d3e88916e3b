"""What the API server of Airflow 3 shows: a plugin, because the server returns rows without asking the backend.

Its pages and its REST API get the envelope of an inline value without a payload that is too long to read.  Tasks have
an API of their own, under ``/execution``, which is left alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_xcom.backend.compat import has_external_views
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope
from airflow_xcom.backend.errors import ForeignReferenceError, ForgedReferenceError
from airflow_xcom.backend.settings import is_on
from airflow_xcom.backend.ui.row_display import LARGEST_DATA, NOT_SHOWN, is_shortened, shortened
from airflow_xcom.codecs import CodecError, NewerFormatError

Message = MutableMapping[str, Any]  # as ASGI has them
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
log = logging.getLogger("airflow_xcom.backend")

_ENTRIES = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)/taskInstances/([^/]+)/xcomEntries(?:/(.*))?", re.DOTALL)
_MARK = ENVELOPE_KEY.encode()
_MAY_BE_MARK = re.compile(rb"\\u|\0|" + _MARK)  # as itself, with escapes, or in UTF-16 or UTF-32
_READABLE = f"{{'{ENVELOPE_KEY}': "  # how an envelope begins that the server made a text of
_LONGEST_TEXT = 1 << 20  # characters that are searched; larger rows than the threshold allows can be forged
_LARGEST_BODY = 16 << 20  # bytes of a request that are parsed
# What str() makes of JSON: texts in quotes, brackets, and what separates items.  A text that does not end ends there.
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*+\\?(?:'|\Z)|"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[][{},]""", re.DOTALL)
_REFUSED = (
    "this is what is shown of the XCom's value, and lacks the payload; written back, it would overwrite the value. "
    "Write a plain value, or clear the task that pushed it."
)
_FOREIGN = "write a plain value, or copy the value with the command `airflow-xcom copy`"
_TOO_LARGE = f"more than {_LARGEST_BODY >> 20} MiB that may be an envelope are not written; push the value in a task"


class ShortPayloads:
    """ASGI middleware: XComs that are read are shown short; what is shown so, or is another XCom's, is not written.

    Any other request or response passes unchanged, also one that cannot be parsed.  What may take long is done in a
    thread, for the server answers all others meanwhile.  Once the server has started, the Data tab is imported in a
    thread, too, so that its first user does not wait for it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            send = _warming(send)
        is_http = scope["type"] == "http"
        path = _ENTRIES.fullmatch(scope["path"].removeprefix(scope.get("root_path", ""))) if is_http else None
        if path is not None and scope["method"] == "GET":
            send = _Shortener(send).send
        elif path is not None and scope["method"] in {"PATCH", "POST"}:
            body, receive = await _read(receive)
            reason = await asyncio.to_thread(_objection, body, *path.groups()) if _MAY_BE_MARK.search(body) else None
            if reason is not None:
                await _refuse(send, reason)
                return
        await self._app(scope, receive, send)


def _warming(send: Send) -> Send:
    """Return what sends messages on, and imports the Data tab after the one that says that the server has started."""

    async def sent(message: Message) -> None:
        await send(message)
        if message["type"] == "lifespan.startup.complete" and has_external_views() and is_on("data_tab"):
            threading.Thread(target=import_module, args=["airflow_xcom.backend.ui.routes"], daemon=True).start()

    return sent


class _Shortener:
    """Shortens a response once it is whole, and sends it on."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # while the response is held
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Take one part of a response."""
        if message["type"] == "http.response.start" and _is_plain_json(message):
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        start, self._start = self._start, None
        body = bytes(self._body)
        if len(body) > LARGEST_DATA and _MARK in body:
            body = await asyncio.to_thread(_shortened, body)
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        await self._send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self._send({**message, "body": body})


def _is_plain_json(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    is_json = headers.get(b"content-type", b"").startswith(b"application/json")
    return start["status"] == 200 and is_json and b"content-encoding" not in headers  # noqa: PLR2004 - OK


def _shortened(body: bytes) -> bytes:
    """Return the body of a response, the envelope in it without a payload of more than 2 KiB."""
    try:
        entry = json.loads(body)
        value = entry["value"]
        short = _short_text(value) if type(value) is str and value.startswith(_READABLE) else shortened(value)
        return body if short is value else json.dumps({**entry, "value": short}).encode()
    except Exception:
        log.warning("cannot shorten what is shown of an XCom", exc_info=True)
        return body


def _short_text(text: str) -> str:
    """Shorten what the server made of an envelope with ``str()``."""
    if len(text) > _LONGEST_TEXT:
        return f"{text[:LARGEST_DATA]}... {len(text)} characters, which are not all shown"
    start, end = _span_of_data(text)
    if end - start <= LARGEST_DATA:
        return text
    return f"{text[:start]}{NOT_SHOWN.format(end - start)!r}{text[end:]}"


def _span_of_data(text: str) -> tuple[int, int]:
    """Return where the payload begins and ends in what the server made of an envelope; the same twice without one.

    No parser of Python is asked: it takes 2 s for 1 MB, in which the server answers nobody.
    """
    depth, start = 0, -1
    for token in _TOKEN.finditer(text):
        if start >= 0 and depth == 2 and token[0] in ",}":  # noqa: PLR2004 - within the envelope
            return start, token.start()
        if depth == 2 and token[0] == "'data'" and text.startswith(": ", token.end()):  # noqa: PLR2004
            start = token.end() + len(": ")
        depth += (token[0] in "[{") - (token[0] in "]}")
    return 0, 0


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body of a request, and a function that gives it once more."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def _objection(body: bytes, dag_id: str, run_id: str, task_id: str, key: str | None) -> str | None:
    """Return why a request may not write its value; None if it may, or if the server itself refuses it."""
    if len(body) > _LARGEST_BODY:
        return _TOO_LARGE
    try:
        content = json.loads(body)
        value = content["value"]
        value = json.loads(value) if type(value) is str else value
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if is_shortened(value):
        return _REFUSED
    index = content.get("region_index", content.get("map_index"))  # the former from Airflow 3.4 on
    try:
        envelope = Envelope.from_json(value)
        if envelope is not None:
            envelope.check_origin(Coordinate(dag_id, run_id, task_id, _index(index), key or content.get("key")))
    except (ForeignReferenceError, ForgedReferenceError, NewerFormatError) as error:
        return f"{error}; {_FOREIGN}"
    except CodecError:
        return None  # our key alone makes no envelope
    return None


def _index(told: Any) -> int | None:
    """Return a map index as the server takes it, from text too; None where it is -1, as in loops."""
    try:
        return None if told is None or int(told) < 0 else int(told)
    except (ValueError, TypeError):
        return None


async def _refuse(send: Send, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class ShownPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names; Airflow 2 has no use for it."""

    name = "airflow_xcom_shown"
    fastapi_root_middlewares = [{"name": "airflow_xcom_shown", "middleware": ShortPayloads}]  # noqa: RUF012 - Airflow's

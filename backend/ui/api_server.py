"""What the API server of Airflow 3 shows: a plugin, because the server returns rows without asking the backend.

Its pages and its REST API get the envelope of an inline value without a payload that is too long to read.  Tasks have
an API of their own, under ``/execution``, which is left alone.
"""

from __future__ import annotations

import ast
import json
import logging
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from airflow_xcom.backend.envelope import ENVELOPE_KEY
from airflow_xcom.backend.ui.row_display import LARGEST_DATA, is_shortened, shortened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]  # as ASGI has them
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

__all__ = ["ShortPayloads", "ShownPlugin"]

log = logging.getLogger("airflow_xcom.backend")

_DAGS, _ENTRIES = "/api/v2/dags/", "/xcomEntries"  # paths of XComs begin with the one, and have the other
_MARK = ENVELOPE_KEY.encode()
_READABLE = f"{{'{ENVELOPE_KEY}': "  # how an envelope begins that the server made a text of
_LONGEST_TEXT = 1 << 20  # characters that are parsed; larger rows than the threshold allows can be forged
_REFUSED = (
    "this is what is shown of the XCom's value, and lacks the payload; written back, it would overwrite the value. "
    "Write a plain value, or clear the task that pushed it."
)


class ShortPayloads:
    """ASGI middleware: XComs that are read are shown short, and what is shown so is not written back.

    Any other request or response passes unchanged, also one that cannot be parsed.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and _is_of_xcoms(scope):
            if scope["method"] == "GET":
                send = _Shortener(send).send
            elif scope["method"] in {"PATCH", "POST"}:
                body, receive = await _read(receive)
                if _lacks_payload(body):
                    await _refuse(send)
                    return
        await self._app(scope, receive, send)


def _is_of_xcoms(scope: Message) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.startswith(_DAGS) and _ENTRIES in path


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
        body = _short(bytes(self._body))
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        await self._send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self._send({**message, "body": body})


def _is_plain_json(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    is_json = headers.get(b"content-type", b"").startswith(b"application/json")
    return start["status"] == 200 and is_json and b"content-encoding" not in headers  # noqa: PLR2004 - OK


def _short(body: bytes) -> bytes:
    """Return the body of a response, the envelope in it without a payload of more than 2 KiB."""
    if len(body) <= LARGEST_DATA or _MARK not in body:
        return body
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
    return str(shortened(ast.literal_eval(text)))


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body of a request, and a function that gives it once more."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def _lacks_payload(body: bytes) -> bool:
    if _MARK not in body:
        return False
    try:
        value = json.loads(body)["value"]
        return is_shortened(json.loads(value) if type(value) is str else value)
    except Exception:  # noqa: BLE001 - whatever it is, the server refuses it, or it is no envelope
        return False


async def _refuse(send: Send) -> None:
    body = json.dumps({"detail": _REFUSED}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class ShownPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names; Airflow 2 has no use for it."""

    name = "airflow_xcom_shown"
    fastapi_root_middlewares = [{"name": "airflow_xcom_shown", "middleware": ShortPayloads}]  # noqa: RUF012 - Airflow's

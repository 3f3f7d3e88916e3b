"""Answers that a browser can read, whatever a payload has: JSON, streams, and errors that say what happened."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError

from airflow_xcom.backend import errors
from airflow_xcom.codecs import CodecError, CorruptPayloadError, SelectionError
from airflow_xcom.codecs.quoting import described

log = logging.getLogger("airflow_xcom.backend")

# What has happened to a value, in a word, by the error; the first that fits.
_STATES: list[tuple[type[BaseException], int, str]] = [
    (errors.HiddenValueError, 403, "hidden"),
    (errors.XComNotFoundError, 404, "none"),
    (errors.RetiredPayloadError, 410, "retired"),
    (errors.ExpiredPayloadError, 410, "expired"),
    (errors.OtherHostError, 502, "unreachable"),
    (errors.MissingPayloadError, 410, "gone"),
    (errors.ForeignReferenceError, 409, "foreign"),
    (errors.SelectionTooLargeError, 413, "large"),
    (MemoryError, 413, "large"),
    (CorruptPayloadError, 422, "damaged"),
    (errors.StoreError, 502, "unreachable"),
    (errors.UnknownStoreError, 502, "unreachable"),
    (CodecError, 422, "unreadable"),
]


def written(content: Any) -> str:
    """Return JSON as browsers read it, who know no NaN and no infinity: these are null."""
    try:
        return json.dumps(content, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(content), parse_constant=lambda _: None))


@contextmanager
def any_error_typed() -> Iterator[None]:
    """Turn whatever is raised over a payload into an error that says so to people; the log says where it was."""
    try:
        yield
    except (CodecError, MemoryError, SQLAlchemyError, HTTPException):
        raise
    except Exception as error:
        log.warning("a value cannot be shown", exc_info=True)
        raise SelectionError(f"this value cannot be shown: {described(error)}; pull it in a task") from error


def typed(act: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``act`` does; an error that nobody foresaw becomes a SelectionError."""
    with any_error_typed():
        return act(*arguments)


def error_answer(_request: Request, error: Exception) -> Response:
    """Return what an error is to a browser: a state in a word, and what happened in a sentence."""
    status, state = _state(error)
    return _json({"state": state, "detail": str(error) or "there is not enough memory for it"}, status)


def _state(error: BaseException) -> tuple[int, str]:
    return next(((status, state) for known, status, state in _STATES if isinstance(error, known)), (500, "failed"))


def _json(content: Any, status: int = 200) -> Response:
    """Return JSON in ASCII: what is shown may have characters that UTF-8 has not."""
    return Response(written(content), status, media_type="application/json")


async def answer(request: Request, user: Any, act: Callable[..., Any], *arguments: Any) -> Response:
    """Return what ``act`` gives, done in a thread while it is this user's turn."""
    return _json(await request.app.state.turns.run(user.get_id(), typed, act, *arguments))


async def stream(request: Request, user: Any, parts: Iterator[Any], kind: str, name: str | None = None) -> Response:
    """Return a response that is sent as it is made; what fails at once is an error as of any other request."""
    turns, who = request.app.state.turns, user.get_id()
    first = await turns.run(who, next, parts, None)
    headers = {"Content-Encoding": "identity"}  # or Airflow's own middleware would hold it back to compress it
    if name is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return StreamingResponse(turns.pieces(who, parts, first), media_type=kind, headers=headers)


async def stream_lines(request: Request, user: Any, make: Callable[[], Iterable[dict[str, Any]]]) -> Response:
    """Return a response with a line of JSON for each part that ``make`` gives; see :func:`stream`."""
    return await stream(request, user, _lines(make), "application/x-ndjson")


def _lines(make: Callable[[], Iterable[dict[str, Any]]]) -> Iterator[bytes]:
    """Yield the lines; an error after the first is the last line."""
    started = False
    try:
        with any_error_typed():
            for part in make():
                yield written(part).encode() + b"\n"
                started = True
    except (CodecError, MemoryError) as error:
        if not started:
            raise
        yield json.dumps({"state": _state(error)[1], "detail": str(error)}).encode() + b"\n"

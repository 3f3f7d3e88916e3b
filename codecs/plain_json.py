"""Which values JSON keeps exactly, told before any codec is asked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

_CONTAINERS = frozenset({dict, list})
_JSON = frozenset({dict, list, str, int, float, bool, type(None)})
_TEXT = {str}
_EXPONENT = 1e16
_LEAST_FLOAT = -_EXPONENT
_INT64 = 2**63
_LEAST_INT = -_INT64
_NUL = rb"(?<!\\)(?:\\\\)*\\u0000"  # in JSON text; behind an odd number of backslashes "u0000" is just text
_FEW = 64  # containers that are counted as they are gone through
_MOST = 1 << 24  # items, where there is no limit: what is shared within itself may be endless as JSON
_LEVELS = range(64)  # the JSON parser of the API server gives up at 200 levels, and an envelope adds its own


def is_exact_float(value: float) -> bool:
    """Return whether a float survives as a JSON number everywhere: PostgreSQL's JSONB keeps numbers as ``numeric``.

    NaN and the infinities are not JSON; ``-0.0`` loses its sign; from 1e16 on Python writes an exponent, and JSONB
    gives such a number back as an integer.
    """
    return _LEAST_FLOAT < value < _EXPONENT and (value != 0.0 or math.copysign(1.0, value) > 0)


def is_exact_int(value: int) -> bool:
    """Return whether an int survives as a JSON number everywhere: MySQL turns ints beyond 64 bits into doubles."""
    return _LEAST_INT <= value < _INT64


def is_exact_text(value: str) -> bool:
    """Return whether a str survives as JSON text everywhere: JSONB refuses U+0000, UTF-8 has no lone surrogates."""
    if value.isascii():
        return "\0" not in value
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def in_jsonb_order(keys: Any) -> bool:
    """Return whether keys are in the order that JSONB (and MySQL's JSON) keeps: by length in bytes, then bytewise."""
    before = -1, b""
    for key in keys:
        data = key.encode("utf-8", "surrogatepass")
        now = len(data), data
        if now <= before:
            return False
        before = now
    return True


def exact_json(  # noqa: C901, PLR0911, PLR0912 - one loop, in which every call would be felt by small values
    value: Any, *, limit: int | None, ordered: bool, reserved: frozenset[str], most: int | None = None
) -> bytes | None:
    """Return the JSON text of a value that any JSON column, parser and reader gives back exactly, or None.

    It stops at the first item that is not exact, or once the items or the text seen exceed the limit.

    Args:
        value: what a task returned.
        limit: the most bytes that the text may have; None for no limit.
        ordered: whether the order of keys must survive too.
        reserved: keys that mean something to a reader, which no dict may hold.
        most: the most items that it may have at all levels; None for as many as the limit allows.
    """
    cls = type(value)
    if cls is str and (limit is None or len(value) <= limit):
        return _text(value, limit)
    if cls not in _JSON:
        return None
    items_left = most or (_MOST if limit is None else limit)
    text_left = math.inf if limit is None else limit
    level = [value if cls in _CONTAINERS else [value]]
    for _ in _LEVELS:
        deeper: list[Any] = []
        for container in level:
            items_left -= len(container)
            if items_left < 0:
                return None
            items = container
            if type(container) is dict:
                if not container.keys().isdisjoint(reserved):
                    return None
                if ordered and not (set(map(type, container)) <= _TEXT and in_jsonb_order(container)):
                    return None
                items = container.values()
            for item in items:
                cls = type(item)
                if cls is str:  # what text cannot be JSON, the writer finds
                    text_left -= len(item)
                elif cls is int:
                    if not _LEAST_INT <= item < _INT64:
                        return None
                elif cls is bool or item is None:
                    continue
                elif cls is float:
                    if not _LEAST_FLOAT < item < _EXPONENT or (item == 0.0 and not is_exact_float(item)):
                        return None
                elif cls in _CONTAINERS:
                    deeper.append(item)
                else:
                    return None
            if text_left < 0:
                return None
        if not deeper:
            return _text(value, limit)
        if len(deeper) > _FEW and sum(map(len, deeper)) > items_left:  # before so many are gone through
            return None
        level = deeper
    return None


def _text(value: Any, limit: int | None) -> bytes | None:
    try:
        text = _dumps()(value)
    except TypeError:  # a lone surrogate, or a key that is not exactly a str
        return None
    if b"\\u0000" in text and re.search(_NUL, text):
        return None
    return None if limit is not None and len(text) > limit else text


@cache
def _dumps() -> Callable[[Any], bytes]:
    """Return the writer, not imported at the top: a first pull does without."""
    import orjson

    return orjson.dumps

"""What can be told about a tree of JSON natives at C speed, before any codec is asked.

The trees of lists and dicts that tasks return are walked level by level with :func:`gc.get_referents`, which lists
the children of many containers in one call.  (Of a dict whose keys are all text it lists the values only.)
"""

from __future__ import annotations

import gc
import math
import re
from itertools import pairwise, repeat
from typing import Any

import orjson

__all__ = ["exact_json", "in_jsonb_order", "is_exact_float", "is_exact_int", "is_exact_text"]

_CONTAINERS = frozenset({dict, list})
_NATIVES = frozenset({dict, list, str, int, float, bool, type(None)})
_TEXT = {str}
_EXPONENT = 1e16
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in JSON text; behind an odd number of backslashes "u0000" is just text
_DEEPEST = 64  # the JSON parser of the API server gives up at 200 levels, and an envelope adds its own


def is_exact_float(value: float) -> bool:
    """Whether a float survives as a JSON number everywhere: PostgreSQL's JSONB keeps numbers as ``numeric``.

    NaN and the infinities are not JSON; ``-0.0`` loses its sign; from 1e16 on Python writes an exponent, and JSONB
    gives such a number back as an integer.
    """
    return -_EXPONENT < value < _EXPONENT and (value != 0.0 or math.copysign(1.0, value) > 0)


def is_exact_int(value: int) -> bool:
    """Whether an int survives as a JSON number everywhere: MySQL's JSON turns ints beyond 64 bits into doubles."""
    return -(2**63) <= value < 2**63


def is_exact_text(value: str) -> bool:
    """Whether a str survives as JSON text everywhere: JSONB refuses U+0000, and UTF-8 has no lone surrogates."""
    if value.isascii():
        return "\0" not in value
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def in_jsonb_order(keys: Any) -> bool:
    """Whether keys stand in the order that JSONB (and MySQL's JSON) keeps: by length in bytes, then bytewise."""
    encoded = [key.encode() for key in keys]
    return all((len(a), a) < (len(b), b) for a, b in pairwise(encoded))


def exact_json(value: Any, *, limit: int | None, ordered: bool, reserved: frozenset[str]) -> bytes | None:
    """The JSON text of a value that any JSON column, parser and reader gives back exactly, or None.

    Args:
        value: what a task returned.
        limit: the most bytes that the text may have; None for no limit.
        ordered: whether the order of keys must survive too.
        reserved: keys that mean something to a reader, which no dict may hold.
    """
    room = math.inf if limit is None else limit
    level = [value]
    for _ in range(_DEEPEST):
        kinds = set(map(type, level))
        room -= len(level)
        if room < 0 or not kinds <= _NATIVES or not _exact_numbers(level, kinds):
            return None
        if kinds.isdisjoint(_CONTAINERS):
            return _text(value, limit)
        containers = [item for item in level if type(item) in _CONTAINERS]
        for item in containers:
            if type(item) is dict and not _exact_keys(item, reserved, ordered):
                return None
        level = gc.get_referents(*containers)
    return None


def _text(value: Any, limit: int | None) -> bytes | None:
    try:
        text = orjson.dumps(value)
    except TypeError:  # a lone surrogate
        return None
    if b"\\u0000" in text and _NUL.search(text):
        return None
    return None if limit is not None and len(text) > limit else text


def _exact_numbers(level: list[Any], kinds: set[type]) -> bool:
    """As :func:`is_exact_float` and :func:`is_exact_int` of each number in a level, without a call for each."""
    if float in kinds:
        floats = [item for item in level if type(item) is float]
        if not (min(floats) > -_EXPONENT and max(floats) < _EXPONENT and math.isfinite(sum(floats))):
            return False  # a NaN, which min and max may pass over, makes the sum one
        zeros = [item for item in floats if item == 0.0]
        if zeros and min(map(math.copysign, repeat(1.0), zeros)) < 0:
            return False
    if int in kinds:
        ints = [item for item in level if type(item) is int]
        return is_exact_int(min(ints)) and is_exact_int(max(ints))
    return True


def _exact_keys(mapping: dict[Any, Any], reserved: frozenset[str], ordered: bool) -> bool:  # noqa: FBT001
    if not mapping:
        return True
    if set(map(type, mapping)) != _TEXT or not reserved.isdisjoint(mapping) or not is_exact_text("".join(mapping)):
        return False
    return not ordered or in_jsonb_order(mapping)

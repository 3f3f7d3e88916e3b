"""Patterns, records that the system returns, rows of SQLite, and headers and messages of ``email``."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import re
import time
from functools import lru_cache
from typing import Any

from airflow_xcom.codecs.builtin.kinds import codec_of, text_codec
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list, as_text
from airflow_xcom.codecs.quoting import quoted

# -- patterns ------------------------------------------------------------------------------------------------

_MOST_CHARACTERS = 1 << 16
_MOST_NODES = 1 << 20  # for which one pattern may count
_NODES_OF_SET, _NODES_OF_CHARACTER = 128, 8  # re compiles at least two nodes in a microsecond
_CHARACTERS_OF_NODE = 4  # in a range
_LAST = 0xFFFF  # re goes through the characters of a range one by one, and through none that come after
_WIDE_RANGE = re.compile(r"(?<=(.))-(?=\\u([0-9A-Fa-f]{4})|\\[UN]|([^\0-\xff]))", re.DOTALL)


def _nodes(pattern: str | bytes) -> int:
    """Return for how many nodes a pattern counts, by the time that it takes ``re`` at most."""
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    sets = 1 + text.count("[") + text.count("(")  # alternatives of one character each become a set
    return _NODES_OF_SET * sets + _NODES_OF_CHARACTER * len(text) + sum(map(_width, _WIDE_RANGE.finditer(text)))


def _width(found: re.Match[str]) -> int:
    """Return the nodes of what may be a range; one that begins with an escape counts from its last character."""
    first, code, last = found.groups()
    stop = int(code, 16) if code else ord(last) if last else _LAST
    return max(0, min(stop, _LAST) - ord(first)) // _CHARACTERS_OF_NODE


def _cost(node: Any) -> tuple[Any, int]:
    pattern, flags = as_list(node)
    return (type(pattern), pattern, flags), _nodes(pattern)


def _fault(pattern: Any, flags: int) -> str | None:
    """Return why a pattern is not compiled for a payload: in no time, and without a word on standard output."""
    if len(pattern) > _MOST_CHARACTERS or _nodes(pattern) > _MOST_NODES:
        return "is long to compile"
    return "has the flag DEBUG" if flags & re.DEBUG else None


def _encode_pattern(value: re.Pattern[Any]) -> list[Any]:
    if fault := _fault(value.pattern, value.flags):
        raise UnsupportedValueError(f"the pattern {fault}; return (value.pattern, value.flags)")
    return [value.pattern, value.flags]


def _decode_pattern(node: Any, _version: int) -> re.Pattern[Any]:
    pattern, flags = as_list(node)
    if type(pattern) not in (str, bytes) or type(flags) is not int or _fault(pattern, flags):
        raise ValueError(f"{quoted(node)} is not a pattern")
    return re.compile(pattern, flags)


# -- records that the system returns -------------------------------------------------------------------------

_OF_OS = ("stat_result", "statvfs_result", "terminal_size", "times_result", "uname_result")
_RECORDS: dict[str, Any] = {"struct_time": time.struct_time, **{name: getattr(os, name) for name in _OF_OS}}


def _encode_record(value: Any) -> list[Any]:
    _, (items, more) = value.__reduce__()
    return [type(value).__name__, list(items), dict(more)]


def _decode_record(node: Any, _version: int) -> Any:
    name, items, more = as_list(node)
    return _RECORDS[as_text(name)](tuple(as_list(items)), as_dict(more))


_WEEK = type(dt.date.min.isocalendar())


# -- rows of SQLite ------------------------------------------------------------------------------------------


def _take_row(value: Any) -> list[Any]:
    names = value.keys()
    if _cursor(tuple(names)) is None:
        raise UnsupportedValueError(f"SQLite cannot name columns {quoted(names)} again; return tuple(value)")
    return [names, list(value)]


def _make_row(cls: Any, parts: Any) -> Any:
    names, items = parts
    cursor = _cursor(tuple(map(as_text, as_list(names))))
    if cursor is None or len(as_list(items)) != len(names):
        raise ValueError(f"{quoted(names)} are not the columns of a row")
    return cls(cursor, tuple(items))


@lru_cache(maxsize=16)
def _cursor(names: tuple[str, ...]) -> Any:
    """Return a cursor whose columns have these names, of a database that has no table; None if there cannot be one."""
    sqlite3 = importlib.import_module("sqlite3")
    columns = ", ".join('1 AS "{}"'.format(name.replace('"', '""')) for name in names)
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        cursor = connection.execute(f"SELECT {columns}")
    except (sqlite3.Error, ValueError):
        return None
    return cursor if tuple(column[0] for column in cursor.description) == names else None


# -- messages of email, and the headers of http.client -------------------------------------------------------

_MESSAGE = ("_headers", "_payload", "_unixfrom", "preamble", "epilogue", "_default_type")


def _take_message(value: Any) -> list[Any]:
    state = vars(value)
    compat32 = importlib.import_module("email.policy").compat32
    if value.policy is not compat32 or value._charset is not None or value.defects:  # noqa: SLF001
        msg = f"the {type(value).__name__} has a policy, a charset or defects of its own; return value.as_bytes()"
        raise UnsupportedValueError(msg)
    return [list(map(list, state["_headers"])), *(state[name] for name in _MESSAGE[1:])]


def _make_message(cls: Any, parts: Any) -> Any:
    headers, *others = as_list(parts)
    made = cls()
    pairs = [(as_text(name), as_text(text)) for name, text in as_list(headers)]
    for name, part in zip(_MESSAGE, (pairs, *others), strict=True):
        setattr(made, name, part)
    return made


CODECS = (
    text_codec("pattern", (re.Pattern,), _encode_pattern, _decode_pattern, cost=_cost),
    Codec("ellipsis", (type(...),), lambda _value: None, lambda _node, _version: ...),
    text_codec("struct_sequence", tuple(_RECORDS.values()), _encode_record, _decode_record),
    text_codec(
        "iso_week", (_WEEK,), list, lambda node, _version: dt.date.fromisocalendar(*as_list(node)).isocalendar()
    ),
    codec_of("sqlite3_row", [("sqlite3.Row", _take_row, _make_row)]),
    codec_of(
        "email_message",
        [(path, _take_message, _make_message) for path in ("email.message.Message", "http.client.HTTPMessage")],
        attributes=("policy", "defects", "_charset", *_MESSAGE),
    ),
)

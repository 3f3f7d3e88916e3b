"""dateutil's relative durations and recurrence rules, as the arguments that make them."""

from __future__ import annotations

from functools import partial
from typing import Any

from dateutil.relativedelta import relativedelta, weekday
from dateutil.rrule import rrule, rruleset
from dateutil.rrule import weekday as weekday_of_rule

from airflow_xcom.codecs.builtin.kinds import text_codec
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list
from airflow_xcom.codecs.quoting import quoted

_CACHES = ("_cache", "_cache_complete", "_cache_gen", "_cache_lock", "_len")
_PARTS = ("_rrule", "_rdate", "_exrule", "_exdate")


def _same(value: Any, again: Any) -> bool:
    left, right = (
        {name: repr(part) for name, part in vars(one).items() if name not in _CACHES} for one in (value, again)
    )
    return left == right


def _refuse(value: Any, remedy: str) -> UnsupportedValueError:
    return UnsupportedValueError(f"dateutil makes another {type(value).__name__} from the parts of this one; {remedy}")


def _encode_delta(value: relativedelta) -> dict[str, Any]:
    node = {name: part for name, part in vars(value).items() if name[0] != "_" and part not in (0, None)}
    node |= {name: 0 for name, part in vars(value).items() if part == 0 and name in _ABSOLUTE}
    if not _same(value, relativedelta(**node)):
        raise _refuse(value, "return its normalized()")
    return node


_LARGEST = 10**15
_SHORT = (int, type(None))
_ABSOLUTE = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_INTEGERS = ("years", "months", *_ABSOLUTE)


def _decode_delta(node: Any, _version: int) -> relativedelta:
    parts = [part for name, part in as_dict(node).items() if name in _INTEGERS and type(part) not in _SHORT]
    if any(abs(part) > _LARGEST for part in parts):  # dateutil makes ints of them, which takes hours for 1E+999999999
        raise ValueError("a part of it is too large")
    return relativedelta(**node)


def _encode_rule(value: Any) -> dict[str, Any]:
    names = ("freq", "dtstart", "interval", "wkst", "count", "until")
    node: dict[str, Any] = {name: getattr(value, f"_{name}") for name in names} | value._original_rule  # noqa: SLF001
    node |= {"cache": value._cache is not None}  # noqa: SLF001
    if not _same(value, rrule(**node)):
        raise _refuse(value, "return str(value), which rrulestr() reads")
    return node


def _decode_rule(node: Any, _version: int) -> Any:
    if as_dict(node).get("freq") not in range(7):
        raise ValueError("a rule that is neither yearly nor anything down to secondly")
    return rrule(**node)


def _encode_set(value: Any) -> list[Any]:
    return [value._cache is not None, *(getattr(value, name) for name in _PARTS)]  # noqa: SLF001


def _decode_set(node: Any, _version: int) -> Any:
    cached, *parts = as_list(node)
    made = rruleset(cache=cached)
    for name, part in zip(_PARTS, parts, strict=True):
        setattr(made, name, as_list(part))
    return made


def _encode_weekday(value: Any) -> list[int | None]:
    node = [value.weekday, value.n]
    if not _is_weekday(node):  # the classes take anything as these
        raise UnsupportedValueError("the day of a weekday is an int from 0 to 6, and n an int or None; return these")
    return node


def _is_weekday(node: Any) -> bool:
    day, n = node
    return type(day) is int and 0 <= day < 7 and type(n) in _SHORT  # noqa: PLR2004 - Monday is 0


def _decode_weekday(cls: Any, node: Any, _version: int) -> Any:
    if not _is_weekday(node):
        raise ValueError(f"{quoted(node)} is not a weekday")
    return cls(*node)


_RELATIVE = ("years", "months", "days", "leapdays", "hours", "minutes", "seconds", "microseconds", "weekday")
_STATE = ("_", *_ABSOLUTE, *_RELATIVE)
CODECS = (
    text_codec("dateutil.relativedelta", (relativedelta,), _encode_delta, _decode_delta, attributes=_STATE),
    text_codec("dateutil.rrule", (rrule,), _encode_rule, _decode_rule, attributes=("_",)),
    *(
        text_codec(tag, (cls,), _encode_weekday, partial(_decode_weekday, cls))
        for tag, cls in (("dateutil.weekday", weekday), ("dateutil.rrule.weekday", weekday_of_rule))
    ),
    Codec("dateutil.rruleset", (rruleset,), _encode_set, _decode_set, attributes=("_",)),
)

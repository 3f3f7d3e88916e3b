"""Pendulum's dates, times, durations and time zones, which Airflow itself uses.

Pendulum overrides ``replace``, ``combine`` and ``fromisoformat``, so values are rebuilt field by field.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from pendulum import Date, DateTime, Duration, FixedTimezone, Interval, Time, Timezone
from pendulum.duration import AbsoluteDuration
from pendulum.tz.exceptions import InvalidTimezone

from airflow_xcom.codecs.builtin.kinds import attributes_of, text_codec
from airflow_xcom.codecs.builtin.stdlib.times import moment_node, no_such_zone, split_moment, zone_key
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list, as_text
from airflow_xcom.codecs.quoting import quoted

# Attributes in which a Duration caches its properties.
_CACHES = frozenset({"_y", "_m", "_w", "_d", "_h", "_i", "_s"})


def _encode_datetime(value: DateTime) -> list[Any]:
    wall = datetime(value.year, value.month, value.day, *_clock(value))  # noqa: DTZ001 - the node has the zone
    return moment_node(wall.isoformat(), value, Timezone)


def _clock(value: datetime | time) -> tuple[int, int, int, int]:
    return value.hour, value.minute, value.second, value.microsecond


def _decode_datetime(node: list[Any], _version: int) -> DateTime:
    text, zone, fold = split_moment(node, _load_zone)
    wall = datetime.fromisoformat(text)
    return DateTime(wall.year, wall.month, wall.day, *_clock(wall), tzinfo=zone, fold=fold)


def _decode_date(node: str, _version: int) -> Date:
    day = date.fromisoformat(node)
    return Date(day.year, day.month, day.day)


def _decode_time(node: list[Any], _version: int) -> Time:
    text, zone, fold = split_moment(node, _load_zone)
    return Time(*_clock(time.fromisoformat(text)), tzinfo=zone, fold=fold)


def _encode_duration(value: Any) -> dict[str, Any]:
    """Return the arguments of the Duration: ``DateTime.__add__`` distinguishes a day from 24 hours."""
    amounts = sorted(value._signature.items(), key=lambda item: (len(item[0]), item[0]))  # noqa: SLF001 - as in JSONB
    node = {name: amount for name, amount in amounts if amount}
    _check(value, _decode_duration(node, 1))
    return node


def _decode_duration(node: dict[str, Any], _version: int) -> Duration:
    if any(type(part) is bool for part in as_dict(node).values()):  # Duration would keep it, and it equals a number
        raise TypeError(f"a duration is made of numbers, not of {quoted(node)}")
    return Duration(**node)


def _encode_absolute(value: Any) -> list[int]:
    fields = timedelta.__reduce__(value)[1]  # the properties give absolute values
    node = [*fields, value.years, value.months]
    _check(value, _decode_absolute(node, 1))
    return node


def _decode_absolute(node: list[int], _version: int) -> AbsoluteDuration:
    days, seconds, microseconds, years, months = node
    return AbsoluteDuration(days, seconds, microseconds, years=years, months=months)


def _encode_interval(value: Any) -> list[Any]:
    """Return ``[start, end, absolute]`` as they were passed: an absolute interval swaps start and end."""
    ends = [value.start, value.end]
    if value._absolute:  # noqa: SLF001
        ends = [*(ends[::-1] if value.invert else ends), True]
    _check(value, _decode_interval(ends, 1))
    return ends


def _decode_interval(node: list[Any], _version: int) -> Interval[Any]:
    start, end, *absolute = as_list(node)
    for moment in (start, end):
        if not isinstance(moment, date):  # Interval subtracts them: arrays could take terabytes
            raise TypeError(f"a {type(moment).__qualname__} cannot start or end an interval")
    if any(part is not True for part in absolute):  # Interval would keep another one
        raise TypeError("an interval is absolute or says nothing of it")
    return Interval(start, end, *absolute)


def _check(value: Any, rebuilt: Any) -> None:
    if _state(rebuilt) != _state(value) or not timedelta.__eq__(rebuilt, value):
        raise UnsupportedValueError(
            f"pendulum makes another {type(value).__name__} from the parts of this one; return its as_timedelta(), or "
            "make it from whole numbers"
        )


def _state(value: Any) -> dict[str, Any]:
    kept = {name: part for name, part in vars(value).items() if name not in _CACHES}
    kept["_delta"] = repr(kept.get("_delta"))  # its class compares by identity
    return {**kept, "_invert": value.invert}


def _load_zone(key: Any) -> Timezone:
    try:
        return Timezone(as_text(key))
    except InvalidTimezone as error:
        raise no_such_zone(key, "install or upgrade tzdata") from error


def _decode_fixed(node: list[Any], _version: int) -> FixedTimezone:
    offset, name = node
    return FixedTimezone(offset, as_text(name))


def _codec(name: str, cls: Any, encode: Callable[[Any], Any], decode: Callable[[Any, int], Any]) -> Codec[Any]:
    attributes = ("_",) if issubclass(cls, Duration | FixedTimezone) else ()
    return text_codec(f"pendulum.{name}", (cls,), encode, decode, attributes=attributes)


CODECS = (
    _codec("DateTime", DateTime, _encode_datetime, _decode_datetime),
    _codec("Date", Date, date.isoformat, _decode_date),
    _codec("Time", Time, lambda value: moment_node(time(*_clock(value)).isoformat(), value, Timezone), _decode_time),
    _codec("Duration", Duration, _encode_duration, _decode_duration),
    _codec("AbsoluteDuration", AbsoluteDuration, _encode_absolute, _decode_absolute),
    _codec("Interval", Interval, _encode_interval, _decode_interval),
    _codec("Timezone", Timezone, zone_key, lambda node, _version: _load_zone(node)),
    _codec("FixedTimezone", FixedTimezone, attributes_of("offset", "name"), _decode_fixed),
)

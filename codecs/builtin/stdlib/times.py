"""Dates, times, durations and time zones of the standard library, pytz and dateutil.

A datetime or time is ISO 8601 text if that says everything. Otherwise it is ``[text without zone, zone, fold]``; a zone
that is text is the key of a ``zoneinfo`` zone.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_xcom.codecs.builtin.kinds import library, text_codec
from airflow_xcom.codecs.builtin.summaries import summarize_text
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import DecodeError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Tagged, as_list, as_text
from airflow_xcom.codecs.quoting import quoted

log = logging.getLogger("airflow_xcom.codecs")

Moment = TypeVar("Moment", datetime, time)
Node = str | list[Any]


# -- datetime, time, date, timedelta -------------------------------------------------------------------------


def _encode_datetime(value: datetime) -> Node:
    zone = value.tzinfo
    return _encode_moment(value) if value.fold or (zone is not None and zone is not UTC) else _iso_text(value)


def _iso_text(value: datetime) -> str:
    """Return what ``isoformat`` does of a datetime in UTC or without a zone, with Z for UTC, in a third of the time."""
    return _json_writer()(value)[1:-1].decode()


@cache
def _json_writer() -> Callable[[Any], bytes]:
    """Return the writer, not imported at the top: a first pull does without."""
    import orjson

    return partial(orjson.dumps, option=orjson.OPT_UTC_Z)


def _summarize_datetime(value: datetime) -> dict[str, Any]:
    if value.tzinfo is not UTC:
        return summarize_text(value)
    return {"value": f"{_iso_text(value)[:-1].replace('T', ' ')}+00:00"}


def _encode_moment(value: datetime | time) -> Node:
    zone = value.tzinfo
    if not value.fold and (zone is None or zone is UTC or (type(zone) is timezone and _is_in_iso(zone))):
        text = value.isoformat()
        return f"{text[:-6]}Z" if zone is UTC else text  # which would end in +00:00
    return moment_node(value.replace(tzinfo=None).isoformat(), value, ZoneInfo)


def _is_in_iso(zone: Any) -> bool:
    """Return whether ISO 8601 says all of a fixed offset: it has no name, and whole seconds.

    CPython 3.11 reads ``+00:00:00.000001`` as UTC.
    """
    offset, *name = zone.__getinitargs__()
    return not name and not offset.microseconds


def moment_node(text: str, value: datetime | time, zone_class: type[ZoneInfo]) -> list[Any]:
    """Return the node of ``value``, whose date and clock are ``text``; a zone of ``zone_class`` becomes its key."""
    zone: Any = value.tzinfo
    if type(zone).__name__ == "tzlocal" and isinstance(value, datetime):
        zone = Tagged("dateutil.tzlocal", 1, [*_local_facts(value), text, value.fold])
    node = [text, zone.key if _is_key_enough(zone, zone_class) else zone]
    return [*node, value.fold] if value.fold else node


def _local_facts(value: datetime) -> list[Any]:
    try:
        return [value.tzname(), _seconds(value.utcoffset())]
    except (OverflowError, RecursionError) as error:  # in year 1, and of a DateTime of pendulum in an hour that recurs
        msg = "tzlocal() does not tell the offset of this time; give it the zone zoneinfo.ZoneInfo(key) of your region"
        raise UnsupportedValueError(msg) from error


def _is_key_enough(zone: Any, zone_class: type[ZoneInfo]) -> bool:
    """Return whether a zone is the one of its key, and nobody set an attribute of it."""
    return type(zone) is zone_class and is_shared(zone) and not getattr(zone, "__dict__", None)


def split_moment(node: list[Any], load: Callable[[str], ZoneInfo]) -> tuple[str, tzinfo | None, int]:
    """Return the text, zone and fold of a node that :func:`moment_node` made; ``load`` returns the zone of a key."""
    text, zone, *more = as_list(node)
    (fold,) = more or (0,)
    return text, load(zone) if isinstance(zone, str) else zone, fold


def _decode_moment(cls: type[Moment], node: Node, _version: int) -> Moment:
    if isinstance(node, str):
        return cls.fromisoformat(node)
    text, zone, fold = split_moment(node, _load_zone)
    value = cls.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError(f"{quoted(text)} has an offset, but a zone is given too")
    return value.replace(tzinfo=zone, fold=fold)


def _encode_timedelta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _decode_timedelta(node: list[int], _version: int) -> timedelta:
    days, seconds, microseconds = node
    return timedelta(days, seconds, microseconds)


# -- timezone, zoneinfo --------------------------------------------------------------------------------------


def _encode_timezone(value: Any) -> list[Any]:
    offset, *name = value.__getinitargs__()
    return [*_encode_timedelta(offset), *name]


def _decode_timezone(node: list[Any], _version: int) -> timezone:
    days, seconds, microseconds, *name = as_list(node)
    return timezone(timedelta(days, seconds, microseconds), *name)


def is_shared(zone: ZoneInfo) -> bool:
    """Return whether the class returns this very object for its key; ``from_file`` and ``no_cache`` make others."""
    try:
        return zone.key is not None and type(zone)(zone.key) is zone
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def zone_key(value: ZoneInfo) -> str:
    """Return the key that a zone is stored by."""
    if not is_shared(value):
        raise UnsupportedValueError(
            f"{value!r} is not the zone object that its key gives, and datetimes compare zones by identity; use "
            f"{type(value).__name__}(key), not from_file or no_cache, or convert the datetime to UTC"
        )
    return value.key


def _load_zone(key: Any) -> ZoneInfo:
    try:
        return ZoneInfo(as_text(key))  # which compares what it is given with the keys that it has cached
    except ZoneInfoNotFoundError as error:
        raise no_such_zone(key, "install or upgrade tzdata") from error


def checked_zone(zone: Any) -> tzinfo:
    """Return the zone of a payload after a check of its type: pandas would also take text, even the path of a file."""
    if not isinstance(zone, tzinfo):
        raise TypeError(f"{quoted(zone)} is not a time zone")
    return zone


def no_such_zone(name: object, remedy: str) -> DecodeError:
    """Return the error for a zone that this machine does not know."""
    return DecodeError(f"there is no time zone {quoted(name)} here; {remedy} where the value is pulled")


# -- pytz ----------------------------------------------------------------------------------------------------


def _encode_pytz(value: Any) -> int | Node:
    """Return minutes for a fixed offset, a name, or ``[name, offset, dst, abbreviation]`` for what ``localize`` sets.

    A process has one object for each pytz zone, so the check compares identity.
    """
    node: int | Node
    if value.zone is None:
        node = value._minutes  # noqa: SLF001 - pytz._FixedOffset has no public name
    else:
        node = value.zone
        if hasattr(value, "_tzinfos") and _load_pytz(node) is not value:
            seconds = [int(part.total_seconds()) for part in (value._utcoffset, value._dst)]  # noqa: SLF001
            node = [value.zone, *seconds, value._tzname]  # noqa: SLF001
    if _load_pytz(node) is not value:
        msg = f"{value!r} is not one of pytz's own zones; use pytz.timezone(name), or zoneinfo.ZoneInfo(name)"
        raise UnsupportedValueError(msg)
    return node


def _load_pytz(node: int | Node) -> Any:
    pytz = library("pytz", "pytz.timezone")
    if isinstance(node, int):
        return pytz.FixedOffset(node)
    if isinstance(node, str):
        return pytz.timezone(node)
    name, offset, dst, abbreviation = node
    return pytz.timezone(name)._tzinfos[timedelta(seconds=offset), timedelta(seconds=dst), abbreviation]  # noqa: SLF001


def _decode_pytz(node: int | Node, _version: int) -> Any:
    try:
        return _load_pytz(node)
    except KeyError as error:
        raise no_such_zone(node, "upgrade pytz") from error


# -- dateutil ------------------------------------------------------------------------------------------------

_DATEUTIL_ZONES = (
    "dateutil.tz.tz.tzutc",
    "dateutil.tz.tz.tzoffset",
    "dateutil.tz.tz.tzfile",
    "dateutil.tz._tzfile.tzfile",  # from 3.0
    "dateutil.zoneinfo.tzfile",  # where the machine has no time zone database
    "dateutil.tz.tz.tzrange",
    "dateutil.tz.tz.tzstr",
)
# The attributes of a tzfile; most of them it copies, by names that it puts together.
_OF_TZFILE = (
    *("_", "key", "hasdst", "_trans_list", "_trans_list_utc", "_trans_idx"),
    *("_ttinfo_list", "_ttinfo_first", "_ttinfo_std", "_ttinfo_dst", "_ttinfo_before"),
)
# What a payload may ask gettz for: a key, never a path or a POSIX TZ rule.
_KEY = r"[A-Za-z][\w+-]*(/[\w+-]+)*"


def _is_key(name: str) -> bool:
    return re.fullmatch(_KEY, name, re.ASCII) is not None


def _encode_dateutil(value: Any) -> list[Any]:
    class_name = type(value).__name__
    if class_name == "tzutc":
        return []
    if class_name == "tzoffset":
        return [value.tzname(None), *_encode_timedelta(value.utcoffset(None))]
    if class_name == "tzfile":
        for key in _keys_of(value):
            if _is_key(key) and library("dateutil.tz", "dateutil.tz").gettz(key) is value:
                return [key]
    raise UnsupportedValueError(
        f"{value!r} depends on this machine, or has no key in the time zone database; use zoneinfo.ZoneInfo(name) or "
        "dateutil.tz.gettz(name), or convert the datetime to UTC"
    )


def _seconds(offset: Any) -> int:
    return int(offset.total_seconds())


def _encode_local(value: Any) -> list[Any]:
    """Return ``[name, offset]`` of a machine without summer time, or the key of its zone.

    The zone of a datetime is ``[name, offset, text, fold]`` instead: its name and offset at that time.
    """
    if not value._hasdst:  # noqa: SLF001 - dateutil.tz.tzlocal has no public name for it
        return [value._tznames[0], _seconds(value._std_offset)]  # noqa: SLF001
    key = _local_key(value)
    if key is None:
        raise UnsupportedValueError(
            "tzlocal() of this machine has summer time, and no key in the time zone database; set the environment "
            "variable TZ to the key, or use zoneinfo.ZoneInfo(key), or convert it to UTC"
        )
    return [key]


def _local_key(local: Any) -> str | None:
    """Return the key of this machine's zone, if it is known and that zone does as this machine does."""
    key = os.environ.get("TZ", "").removeprefix(":") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    days = [datetime(datetime.now(UTC).year, month, 1, 12) for month in range(1, 13)]  # noqa: DTZ001
    try:
        zone = ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return key if all(zone.utcoffset(day) == local.utcoffset(day) for day in days) else None


def _decode_local(node: list[Any], _version: int) -> Any:
    """Return ``tzlocal()`` if it means the same here, else a zone that does."""
    tz = library("dateutil.tz", "dateutil.tzlocal")
    local, (name, *rest) = tz.tzlocal(), as_list(node)
    if not rest:
        return local if local._hasdst and _local_key(local) == as_text(name) else _elsewhere(_load_zone(name))  # noqa: SLF001
    seconds, *moment = rest
    if type(seconds) is not int:
        raise TypeError(f"{seconds!r:.80} is not an offset")
    if moment:
        text, fold = moment
        at = datetime.fromisoformat(text).replace(tzinfo=local, fold=fold)
        here = [at.tzname(), _seconds(at.utcoffset())]
    else:
        here = [] if local._hasdst else _encode_local(local)  # noqa: SLF001
    return local if here == [name, seconds] else _elsewhere(tz.tzoffset(as_text(name), seconds))


def _elsewhere(zone: tzinfo) -> tzinfo:
    """Return a zone, and say that it stands for another machine's ``tzlocal()``."""
    _say_elsewhere(repr(zone))
    return zone


@lru_cache(maxsize=32)  # once for each zone, not for each time
def _say_elsewhere(zone: str) -> None:
    log.info("times of tzlocal() were pushed where local time is another than here; their zone is now %s", zone)


def _keys_of(value: Any) -> list[str]:
    """Return the keys that ``gettz`` may have been given: dateutil 2 keeps only the name of the file."""
    name = str(value._filename)  # noqa: SLF001
    segments = name.split("/")
    keys = [getattr(value, "key", None), name, *("/".join(segments[at:]) for at in range(1, len(segments)))]
    return [key for key in keys if key]


def _decode_dateutil(node: list[Any], _version: int) -> Any:
    tz = library("dateutil.tz", "dateutil.tz")
    if not node:
        return tz.UTC
    name, *offset = as_list(node)
    if offset:
        return tz.tzoffset(name, _decode_timedelta(offset, 1))
    zone = tz.gettz(name) if _is_key(name) else None
    if not isinstance(zone, tz.tzfile):
        raise no_such_zone(name, "install or upgrade tzdata")
    return zone


# And subclasses: pytz makes a class for every zone.
_PYTZ_ZONES = ("pytz.UTC", "pytz._FixedOffset", "pytz.tzinfo.DstTzInfo", "pytz.tzinfo.StaticTzInfo")
CODECS = (
    Codec("datetime", (datetime,), _encode_datetime, partial(_decode_moment, datetime), summarize=_summarize_datetime),
    text_codec("date", (date,), date.isoformat, lambda node, _version: date.fromisoformat(node)),
    text_codec("time", (time,), _encode_moment, partial(_decode_moment, time)),
    text_codec("timedelta", (timedelta,), _encode_timedelta, _decode_timedelta),
    text_codec("timezone", (timezone,), _encode_timezone, _decode_timezone),
    text_codec("zoneinfo", (ZoneInfo,), zone_key, lambda node, _version: _load_zone(node)),
    text_codec("pytz.timezone", _PYTZ_ZONES, _encode_pytz, _decode_pytz, subclasses=True, attributes=("_",)),
    text_codec("dateutil.tz", _DATEUTIL_ZONES, _encode_dateutil, _decode_dateutil, attributes=_OF_TZFILE),
    text_codec("dateutil.tzlocal", ("dateutil.tz.tz.tzlocal",), _encode_local, _decode_local, attributes=("_",)),
)

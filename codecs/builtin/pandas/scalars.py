"""Timestamp, Timedelta, Period, Interval, NaT and NA of pandas.

pandas 2 and 3 differ in the resolution they choose, so a count always stands with its unit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timezone
from operator import index
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from airflow_xcom.codecs.builtin.kinds import attributes_of, text_codec
from airflow_xcom.codecs.builtin.pandas import dtypes as pandas_dtypes
from airflow_xcom.codecs.builtin.pandas import offsets as pandas_offsets
from airflow_xcom.codecs.builtin.pandas.offsets import checked_offset
from airflow_xcom.codecs.builtin.stdlib.times import checked_zone
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.quoting import quoted

_UNITS = frozenset({"s", "ms", "us", "ns"})
_MADE_ANEW = ("tzlocal", "TzInfo")  # classes of zones that make a new object for each call
_SURE_ZONES = (type(None), timezone, ZoneInfo)


def _encode_timestamp(value: Any) -> list[Any]:
    """Return ``[count since 1970 in UTC, unit, zone, fold]``, as short as it can be."""
    zone, fold = value.tzinfo, value.fold
    node = [value._value, value.unit]  # noqa: SLF001 - asm8 takes twenty times as long
    if fold:
        node += [zone, fold]
    elif zone is not None:
        node.append(zone)
    # pandas keeps a fold that the moment does not call for, and pytz zones that do not fit it.
    if (fold or type(zone) not in _SURE_ZONES) and not _same_timestamp(value, _decode_timestamp(node, 1)):
        raise UnsupportedValueError(
            f"pandas does not build the Timestamp {value!r} with fold={fold} again from its moment and zone; localize "
            "it with tz_localize, or convert it to UTC"
        )
    return node


def _same_timestamp(one: Any, other: Any) -> bool:
    same = one == other and one.unit == other.unit and one.fold == other.fold
    return same and (
        one.tzinfo is other.tzinfo or (type(one.tzinfo).__name__ in _MADE_ANEW and one.tzinfo == other.tzinfo)
    )


def _decode_timestamp(node: list[Any], _version: int) -> Any:
    return _timestamp(*as_list(node))


def _timestamp(count: int, unit: str, zone: Any = None, fold: int = 0) -> Any:
    value: Any = pd.Timestamp(np.datetime64(index(count), _checked_unit(unit)))
    if zone is not None:
        value = value.tz_localize(UTC)
        value = value if zone is UTC else value.tz_convert(checked_zone(zone))
    if fold <= value.fold:
        return value
    folded = value.replace(fold=fold)
    return folded if folded == value else value  # the rules of a zone can change; the moment stays


def _checked_unit(unit: str) -> Any:
    if as_text(unit) not in _UNITS:
        raise ValueError(f"{quoted(unit)} is not a unit of pandas")
    return unit


def _decode_timedelta(node: list[Any], _version: int) -> Any:
    count, unit = node
    return pd.Timedelta(np.timedelta64(index(count), _checked_unit(unit)))


def _decode_period(node: list[Any], _version: int) -> Any:
    ordinal, freq = node
    return pd.Period(ordinal=index(ordinal), freq=checked_offset(freq))


def _decode_interval(node: list[Any], _version: int) -> Any:
    left, right, closed = node
    return pd.Interval(left, right, as_text(closed))


_KEPT = ("_cache", "_seconds", "_microseconds")  # by a Period or a Timedelta that was asked for its parts


def _codec(name: str, cls: Any, encode: Callable[[Any], Any], decode: Callable[[Any, int], Any]) -> Codec[Any]:
    return text_codec(f"pandas.{name}", (cls,), encode, decode, attributes=_KEPT)


CODECS = (
    _codec("Timestamp", pd.Timestamp, _encode_timestamp, _decode_timestamp),
    _codec("Timedelta", pd.Timedelta, attributes_of("_value", "unit"), _decode_timedelta),
    _codec("Period", pd.Period, attributes_of("ordinal", "freq"), _decode_period),
    _codec("Interval", pd.Interval, attributes_of("left", "right", "closed"), _decode_interval),
    _codec("NaT", type(pd.NaT), lambda _value: None, lambda _node, _version: pd.NaT),
    _codec("NA", type(pd.NA), lambda _value: None, lambda _node, _version: pd.NA),
    *pandas_offsets.CODECS,
    *pandas_dtypes.CODECS,
)

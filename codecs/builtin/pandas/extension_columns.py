"""Encode columns of the extension dtypes of pandas as Arrow arrays, and decode them: those that hold no other column.

Each ``encode_…`` returns the *kind* and the Arrow array of a pandas array; see :mod:`.columns`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.dtypes import MASKED
from airflow_xcom.codecs.builtin.pandas.number_columns import (
    NAT,
    NUMBERS,
    TableMemory,
    array_of_ticks,
    array_with_nulls,
    decode_ticks,
    nulls_of,
    one_chunk,
)
from airflow_xcom.codecs.errors import DecodeError, MissingLibraryError, UnsupportedValueError
from airflow_xcom.codecs.nodes import PackCells
from airflow_xcom.codecs.quoting import quoted


def _encode_masked(values: Any, _pack: PackCells) -> tuple[Any, pa.Array]:
    data, mask = np.ascontiguousarray(values._data), values._mask  # noqa: SLF001 - no public way without a copy
    if data.dtype == bool:
        data = data & ~mask  # a bit under a null would not come back
    return "masked", array_with_nulls(data, mask)


def _decode_masked(column: Any, memory: TableMemory) -> Any:
    array = one_chunk(column)
    if array.type == pa.bool_():
        bits = array.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - the name differs by version
        return pd.arrays.BooleanArray(bits, nulls_of(array))
    values = memory.values(array, NUMBERS[array.type])
    if values.dtype.kind == "f":
        return pd.arrays.FloatingArray(values, nulls_of(array))
    made: Any = pd.arrays.IntegerArray
    return made._simple_new(values, nulls_of(array))  # noqa: SLF001 - both are what the constructor checks them for


def _encode_zoned(values: Any, _pack: PackCells) -> tuple[Any, pa.Array]:
    dtype, ticks = values.dtype, np.ascontiguousarray(values.asi8)
    return ["tz", dtype.tz], array_of_ticks(ticks, pa.timestamp(dtype.unit, _zone_name(dtype.tz)))


def _zone_name(zone: Any) -> str:
    """Return a name that other tools know: Polars panics at another, and the instants are the same under ``UTC``."""
    name = str(getattr(zone, "key", None) or getattr(zone, "zone", None) or "UTC")
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        return "UTC"


def _decode_zoned(column: Any, memory: TableMemory, zone: Any) -> Any:
    from airflow_xcom.codecs.builtin.stdlib.times import checked_zone

    dtype = pd.DatetimeTZDtype(column.type.unit, checked_zone(zone))
    made: Any = pd.arrays.DatetimeArray
    ticks = decode_ticks(column, memory).view(f"M8[{dtype.unit}]")
    return made._simple_new(ticks, dtype=dtype)  # noqa: SLF001 - pd.array() looks at each time


def _encode_period(values: Any, _pack: PackCells) -> tuple[Any, pa.Array]:
    return ["period", values.dtype.freq], array_of_ticks(np.ascontiguousarray(values.asi8), pa.int64())


def _decode_period(column: Any, memory: TableMemory, freq: Any) -> Any:
    array = one_chunk(column)
    ordinals = memory.values(array, NUMBERS[array.type])
    if array.null_count:
        ordinals[nulls_of(array)] = NAT
    return pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(freq))


def joined(column: Any) -> Any:
    """Return one chunk if possible: several would split all columns of the table into record batches."""
    try:
        return one_chunk(column)
    except pa.ArrowInvalid:  # 32-bit offsets cannot address the text of all chunks together
        return column


def _encode_arrow(values: Any, _pack: PackCells) -> tuple[Any, Any]:
    column = joined(values.__arrow_array__())
    if _has_nested_dictionary(column.type):
        msg = f"Arrow cannot write {column.type}: a dictionary within a dictionary; cast it to the type of its values"
        raise UnsupportedValueError(msg)
    return (["arrow", str(column.type)] if "extension<" in str(column.type) else "arrow"), column


def _has_nested_dictionary(kind: pa.DataType, *, within: bool = False) -> bool:
    if pa.types.is_dictionary(kind):
        return within or _has_nested_dictionary(kind.value_type, within=True)
    return any(_has_nested_dictionary(kind.field(position).type, within=within) for position in range(kind.num_fields))


def _decode_arrow(column: Any, _memory: TableMemory, name: str | None = None) -> Any:
    if name not in (None, str(column.type)):
        msg = f"the Arrow extension type {quoted(name)} is not registered here; its column would become {column.type}"
        raise DecodeError(msg)
    return pd.arrays.ArrowExtensionArray(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))


def _decode_geometry(column: Any, _memory: TableMemory, crs: Any = None, marks: Any = None) -> Any:
    try:
        from airflow_xcom.codecs.builtin.geo.columns import decode_geometry
    except ImportError as error:
        raise MissingLibraryError("geopandas.GeometryArray", str(error.name).partition(".")[0]) from error
    return decode_geometry(one_chunk(column), crs, marks or {})


ENCODERS: dict[type, Callable[[Any, PackCells], tuple[Any, Any]]] = {
    **dict.fromkeys(MASKED.values(), _encode_masked),
    pd.ArrowDtype: _encode_arrow,
    pd.DatetimeTZDtype: _encode_zoned,
    pd.PeriodDtype: _encode_period,
}
DECODERS: dict[str | None, Callable[..., Any]] = {
    "arrow": _decode_arrow,
    "geometry": _decode_geometry,
    "masked": _decode_masked,
    "period": _decode_period,
    "tz": _decode_zoned,
}

"""Columns in fewer bytes before they are compressed, and back: small integers, and text that repeats as a dictionary.

That, before it compresses, is what makes Parquet so much smaller than Arrow; this is as much of it as an Arrow file can
have that any Arrow library still reads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["narrow", "wide_schema", "wide_size", "widen"]

_SMALL = 1 << 14  # bytes of a column; below this nothing is gained
_SAMPLE, _PARTS = 256, 8  # rows of a part, and parts, that are looked at first
_DISTINCT = 0.9  # of the sample: what has more distinct text than that hardly repeats
_REPEATED = 4  # rows for each distinct text, at least
_NARROW = (pa.int8(), pa.int16(), pa.int32())
_WIDE = {str(kind): kind for kind in (pa.int16(), pa.int32(), pa.int64(), pa.uint16(), pa.uint32(), pa.uint64())}
_WIDE |= {str(kind): kind for kind in (pa.float64(), pa.string(), pa.large_string())}


def narrow(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The table with some columns in fewer bytes, and the types that these had, by their places as text."""
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        found = list(pool.map(_narrow, table.columns, table.schema))
    types = {str(place): str(table.field(place).type) for place, array in enumerate(found) if array is not None}
    return _replaced(table, {place: array for place, array in enumerate(found) if array is not None}), types


def _replaced(table: pa.Table, columns: Mapping[int, Any]) -> pa.Table:
    """The table with other columns in some places; names, metadata, and what may be null stay as they are."""
    fields = [
        field.with_type(columns[place].type) if place in columns else field for place, field in enumerate(table.schema)
    ]
    arrays = [columns.get(place, column) for place, column in enumerate(table.columns)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, table.schema.metadata))


def _narrow(column: pa.ChunkedArray, field: pa.Field) -> pa.Array | None:
    """A column in fewer bytes, or None."""
    if column.num_chunks != 1 or column.nbytes < _SMALL or _WIDE.get(str(field.type)) != field.type:
        return None
    array = column.chunk(0)
    if pa.types.is_integer(array.type):
        return _narrow_integers(array)
    if pa.types.is_floating(array.type):
        return _narrow_floats(array) if field.nullable else None
    return _narrow_text(array)


def _narrow_integers(array: pa.Array) -> pa.Array | None:
    bounds = pc.min_max(array).as_py()
    if bounds["min"] is None:
        return None
    for kind in _NARROW:
        most = 2 ** (kind.bit_width - 1)
        if kind.bit_width < array.type.bit_width and -most <= bounds["min"] and bounds["max"] < most:
            return array.cast(kind)
    return None


def _narrow_floats(array: pa.Array) -> pa.Array | None:
    """Floats that are all small integers or NaN; a NaN becomes null."""
    if array.null_count:
        return None
    values = array.to_numpy()
    for part in (values[: _SAMPLE * _PARTS], values):
        integers, missing = _as_integers(part)
        if integers is None:
            return None
    return pa.array(integers, mask=missing)


def _as_integers(values: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int32).astype(np.int16)
    integers[missing] = 0
    back = integers.astype(np.float64)
    back[missing] = np.nan
    same = np.array_equal(back.view(np.int64), values.view(np.int64))  # neither -0.0 nor another NaN
    return (integers if same else None), missing


def _narrow_text(array: pa.Array) -> pa.Array | None:
    """Text of which much repeats, as a dictionary."""
    step = max(len(array) // _PARTS, _SAMPLE)
    sample = pa.chunked_array([array.slice(start, _SAMPLE) for start in range(0, len(array), step)], array.type)
    if pc.count_distinct(sample).as_py() > _DISTINCT * len(sample):
        return None
    encoded = array.dictionary_encode()
    count = len(encoded.dictionary)
    if count * _REPEATED > len(array):
        return None
    kind = next(kind for kind in _NARROW if count < 2 ** (kind.bit_width - 1))
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(kind), encoded.dictionary)


def wide_schema(schema: pa.Schema, types: Mapping[str, str]) -> pa.Schema:
    """The schema that :func:`widen` makes.

    Raises:
        ValueError, KeyError, IndexError: the types are damaged.
    """
    for place, name in types.items():
        schema = schema.set(int(place), schema.field(int(place)).with_type(_WIDE[name]))
    return schema


def wide_size(table: pa.Table, types: Mapping[str, str]) -> int:
    """The bytes of the columns that :func:`widen` will make.

    Raises:
        ValueError, KeyError, IndexError, pyarrow.ArrowException: the columns or the types are damaged.
    """
    total = 0
    for place, name in types.items():
        kind, column = _WIDE[name], table.column(int(place))
        total += len(column) * 8
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            total += sum(_text_size(chunk) for chunk in column.chunks)
    return total


def _text_size(chunk: pa.DictionaryArray) -> int:
    counts = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)  # which are checked
    return pc.sum(counts.cast(pa.int64())).as_py() or 0


def widen(table: pa.Table, types: Mapping[str, str]) -> pa.Table:
    """The table with the columns that :func:`narrow` was given.

    Raises:
        ValueError, KeyError, IndexError, pyarrow.ArrowException: the columns or the types are damaged.
    """
    places = [int(place) for place in types]
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        made = pool.map(_widen, map(table.column, places), [_WIDE[name] for name in types.values()])
        return _replaced(table, dict(zip(places, made, strict=True)))


def _widen(column: pa.ChunkedArray, kind: Any) -> pa.ChunkedArray:
    return pa.chunked_array([_widen_chunk(chunk, kind) for chunk in column.chunks], kind)


def _widen_chunk(chunk: pa.Array, kind: Any) -> pa.Array:
    if pa.types.is_integer(kind):
        return chunk.cast(kind)
    if pa.types.is_floating(kind):
        integers = chunk.fill_null(0) if chunk.null_count else chunk
        values = integers.to_numpy().astype(np.float64)
        values[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
        return pa.array(values, from_pandas=False)
    return pc.take(chunk.dictionary, chunk.indices)

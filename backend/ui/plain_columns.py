"""Columns in the types that Arrow's functions know, what tells their values apart, and how much a column stands for.

A few bytes of a payload may stand for any number of values, each of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_xcom.backend.errors import SelectionTooLargeError

_DECIMAL = 128  # bits of the decimals that all functions know
_MOST = 256 << 20  # bytes
_VALUE = 16  # bytes of a value of a fixed width, or of none
_ROWS = 1 << 16  # of a piece
_LISTS = (types.is_list, types.is_large_list, types.is_map)
_LIST_VIEWS = (types.is_list_view, types.is_large_list_view)
_TEXTS = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
_VIEWS = (types.is_string_view, types.is_binary_view)
_REPEATING = (types.is_dictionary, types.is_run_end_encoded, types.is_null, types.is_union, *_LIST_VIEWS, *_VIEWS)


def plain_type(data_type: Any) -> Any:
    """Return the type that :func:`plain` gives a column."""
    if isinstance(data_type, pa.BaseExtensionType):
        return plain_type(data_type.storage_type)
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    if types.is_string_view(data_type):
        return pa.large_string()
    if types.is_binary_view(data_type):
        return pa.large_binary()
    if types.is_decimal(data_type) and data_type.bit_width < _DECIMAL:
        return pa.decimal128(data_type.precision, data_type.scale)
    return data_type


def plain(column: Any) -> Any:
    """Return a column without extension, dictionary, runs, views or small decimals; what is within lists stays."""
    check_expansion(column)
    kind = plain_type(column.type)
    return column if kind == column.type else pa.chunked_array([_plain(chunk) for chunk in column.chunks], kind)


def _plain(array: Any) -> Any:
    if isinstance(array.type, pa.BaseExtensionType):
        return _plain(array.storage)
    if types.is_dictionary(array.type):
        return pc.take(_plain(array.dictionary), array.indices)
    if types.is_run_end_encoded(array.type):
        whole = pa.RunEndEncodedArray.from_arrays(array.run_ends, _plain(array.values))
        return pc.run_end_decode(whole.slice(array.offset, len(array)))
    return array.cast(plain_type(array.type))


def is_number(data_type: Any) -> bool:
    """Return whether a column of a type has numbers or times, which have an order and a place on a line."""
    data_type = plain_type(data_type)
    checks = (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal)
    return any(check(data_type) for check in checks) and not types.is_interval(data_type)


def floats(column: Any) -> Any:
    """Return the values of a plain column as floats, NaN for nulls; of times the ticks."""
    if types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())  # noqa: PLR2004
    return column.cast(pa.float64(), safe=False).to_numpy()


def exact(value: Any) -> Any:
    """Return what tells a scalar apart from all others of its type, also where Python has no such value."""
    if not value.is_valid:
        return None
    if types.is_struct(value.type):
        return [exact(value[at]) for at in range(value.type.num_fields)]
    if types.is_nested(value.type) and hasattr(value, "values"):
        return [exact(item) for item in value.values]
    inner = getattr(value, "value", None)
    if isinstance(inner, pa.Scalar):
        return [getattr(value, "type_code", 0), exact(inner)]
    return value.as_py() if inner is None else inner


# -- how much a column stands for ------------------------------------------------------------------------------


def check_expansion(column: Any) -> None:
    """Check that a column can be expanded: dictionaries, runs, views and nulls, of which many take little memory.

    Raises:
        SelectionTooLargeError: It stands for too much, and for more than it holds.
    """
    if _repeats(column.type):
        size = sum(map(_size, column.chunks))
        if size > _MOST and size > column.get_total_buffer_size():
            raise SelectionTooLargeError("what a column stands for", size, _MOST)


def pieces(*columns: Any) -> Iterator[list[Any]]:
    """Yield the same rows of some columns, so few at a time that what they stand for may be made."""
    rows = max(map(len, columns))
    step = _ROWS if any(_repeats(column.type) for column in columns) else max(rows, 1)
    for start in range(0, max(rows, 1), step):
        yield [column.slice(start, step) for column in columns]


@lru_cache(maxsize=1024)
def _repeats(data_type: Any) -> bool:
    """Return whether values of a type may take less memory than they stand for."""
    if isinstance(data_type, pa.BaseExtensionType):
        return _repeats(data_type.storage_type)
    if any(check(data_type) for check in _REPEATING) or _has_no_width(data_type):
        return True
    return any(_repeats(data_type.field(at).type) for at in range(data_type.num_fields))


def _has_no_width(data_type: Any) -> bool:
    if types.is_fixed_size_binary(data_type):
        return not data_type.byte_width
    if types.is_fixed_size_list(data_type):
        return not data_type.list_size
    return types.is_struct(data_type) and not data_type.num_fields


def _size(array: Any) -> int:
    """Return the bytes that an array stands for, or more."""
    array = _storage(array)
    if types.is_dictionary(array.type):
        return _size_of_codes(array)
    if types.is_run_end_encoded(array.type):
        return _within(array.values) + len(array) * _largest(array.values)
    if _is(array, (*_TEXTS, *_VIEWS)):
        return int(_lengths(array).sum(dtype=np.int64))
    if _is(array, (*_LISTS, types.is_fixed_size_list)):
        return _VALUE * len(array) + _size(_items(array))
    if types.is_struct(array.type):
        return _VALUE * len(array) + sum(_size(array.field(at)) for at in range(array.type.num_fields))
    return len(array) * _largest(array)


def _storage(array: Any) -> Any:
    return _storage(array.storage) if isinstance(array.type, pa.BaseExtensionType) else array


def _size_of_codes(array: Any) -> int:
    """Return what :func:`_size` does of an array with a dictionary, which is expanded itself."""
    size = _within(array.dictionary)
    if _is(array.dictionary, (*_TEXTS, *_VIEWS)) and len(array.dictionary):
        return size + int(_lengths(array.dictionary)[array.indices.drop_null().to_numpy()].sum(dtype=np.int64))
    return size + len(array) * _largest(array.dictionary)


def _within(values: Any) -> int:
    return _size(values) if _repeats(values.type) else 0


def _items(array: Any) -> Any:
    """Return the items of the lists of an array, without a copy, those of nulls too."""
    if types.is_fixed_size_list(array.type):
        return array.values.slice(array.offset * array.type.list_size, len(array) * array.type.list_size)
    if not len(array):
        return array.values.slice(0, 0)
    first, last = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
    return array.values.slice(first, last - first)


def _largest(array: Any) -> int:
    """Return the most bytes that one value of an array stands for, or more."""
    array = _storage(array)
    if types.is_dictionary(array.type) or types.is_run_end_encoded(array.type):
        return _largest(array.dictionary if types.is_dictionary(array.type) else array.values)
    if _is(array, (*_LISTS, *_LIST_VIEWS, types.is_fixed_size_list)):
        is_fixed = types.is_fixed_size_list(array.type)
        return _VALUE + (array.type.list_size if is_fixed else _most(_lengths(array))) * _largest(array.values)
    if types.is_struct(array.type) or types.is_union(array.type):
        return _VALUE + sum(_largest(array.field(at)) for at in range(array.type.num_fields))
    if types.is_fixed_size_binary(array.type):
        return max(_VALUE, int(array.type.byte_width))
    return _most(_lengths(array)) if _is(array, (*_TEXTS, *_VIEWS)) else _VALUE


def _is(array: Any, checks: Any) -> bool:
    return any(check(array.type) for check in checks)


def _most(lengths: Any) -> int:
    return max(1, int(lengths.max(initial=0)))


def _lengths(array: Any) -> Any:
    """Return how many bytes or items each value has."""
    if not len(array):
        return np.zeros(0, np.int64)
    if _is(array, _VIEWS):  # each has 16 bytes, which begin with its length
        return np.frombuffer(array.buffers()[1], "<i4")[::4][array.offset : array.offset + len(array)]
    if types.is_map(array.type):
        return np.diff(array.offsets.to_numpy())
    found = pc.binary_length(array) if _is(array, _TEXTS) else pc.list_value_length(array)
    return found.fill_null(0).to_numpy(zero_copy_only=False)

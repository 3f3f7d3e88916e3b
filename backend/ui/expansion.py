"""How much a column stands for: a few bytes of a payload may stand for any number of values, each of any size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_xcom.backend.errors import SelectionTooLargeError

__all__ = ["check_expansion"]

_MOST = 256 << 20  # bytes, or values that take none
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
_TEXTS = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
_VIEWS = (types.is_string_view, types.is_binary_view)


def check_expansion(column: Any) -> None:
    """Check that a column can be expanded: dictionaries, runs, views and nulls, of which many take little memory.

    Raises:
        SelectionTooLargeError: It stands for too much.
    """
    if _repeats(column.type):
        size = sum(map(_size, column.chunks))
        if size > _MOST:
            raise SelectionTooLargeError("what a column stands for", size, _MOST)


@lru_cache(maxsize=1024)
def _repeats(data_type: Any) -> bool:
    """Return whether values of a type may take less memory than they stand for."""
    if isinstance(data_type, pa.BaseExtensionType):
        return _repeats(data_type.storage_type)
    checks = (
        types.is_dictionary,
        types.is_run_end_encoded,
        types.is_null,
        types.is_list_view,
        types.is_large_list_view,
    )
    if any(check(data_type) for check in (*checks, *_VIEWS)):
        return True
    return any(_repeats(data_type.field(at).type) for at in range(data_type.num_fields))


def _size(array: Any) -> int:
    """Return the bytes that an array stands for, or more."""
    if types.is_dictionary(array.type) and _is(array.dictionary, (*_TEXTS, *_VIEWS)):
        return int(_lengths(array.dictionary)[array.indices.drop_null().to_numpy()].sum())
    if _is(array, _VIEWS):
        return int(_lengths(array).sum())
    return len(array) * _largest(array)


def _largest(array: Any) -> int:
    """Return the most bytes that one value of an array stands for, or more."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _largest(array.storage)
    if types.is_dictionary(array.type):
        return _largest(array.dictionary)
    if types.is_run_end_encoded(array.type):
        return _largest(array.values)
    if _is(array, _LISTS) or types.is_map(array.type):
        return 1 + _most(_lengths(array)) * _largest(array.values)
    if types.is_struct(array.type) or types.is_union(array.type):
        return 1 + sum(_largest(array.field(at)) for at in range(array.type.num_fields))
    return _most(_lengths(array)) if _is(array, (*_TEXTS, *_VIEWS)) else 16


def _is(array: Any, checks: Any) -> bool:
    return any(check(array.type) for check in checks)


def _most(lengths: Any) -> int:
    return max(1, int(lengths.max(initial=0)))


def _lengths(array: Any) -> Any:
    """Return how many bytes or items each value has."""
    if _is(array, _VIEWS):  # each has 16 bytes, which begin with its length
        return np.frombuffer(array.buffers()[1], "<i4")[::4][array.offset : array.offset + len(array)]
    if types.is_map(array.type):
        return np.diff(array.offsets.to_numpy())
    found = pc.binary_length(array) if _is(array, _TEXTS) else pc.list_value_length(array)
    return found.fill_null(0).to_numpy(zero_copy_only=False)

"""Encode columns of Python objects as Arrow arrays, and decode them.

Where all objects of a column are of one class (and at most one kind of missing value), the column is a native
Arrow column that other tools read: ``str``, ``bytes``, ``date``, ``bool``, ``int`` within 64 bits, ``float``, and
``Decimal`` with one exponent.  Classes are exact, because Arrow would take a ``numpy.str_`` for text and a ``datetime``
for a date.  Any other column holds, in each cell, a MessagePack document of its own.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.nodes import PackCells, UnpackCells

_NATIVE = {
    str: pa.large_string(),
    bytes: pa.large_binary(),
    dt.date: pa.date32(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}
_MISSING = {"None": None, "nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}
_NAMES = {type(None): "None", float: "nan", type(pd.NA): "NA", type(pd.NaT): "NaT"}
_NAN_BITS = np.float64(np.nan).tobytes()
_MOST_NULLS = 1_000_000  # rows of a null array, which takes no bytes however many they are
_MOST_DIGITS = 38  # of decimal128


def encode_objects(values: np.ndarray, pack: PackCells) -> tuple[Any, pa.Array]:
    """Return the kind and the Arrow array of an object array.

    The kind is ``"object"``, ``["object", missing]`` where a null is not None, or ``["cells", tags]``.
    """
    items = values.tolist()
    classes = set(map(type, items))
    missing = classes & _NAMES.keys()
    rest = classes - missing
    if float in classes and not _are_canonical_nan(items):
        rest, missing = rest | {float}, missing - {float}
    if len(rest) <= 1 and len(missing) <= 1:
        array = _native_array(items, next(iter(rest), type(None)))
        if array is not None:
            name = "".join(_NAMES[kind] for kind in missing)
            return (["object", name] if name not in ("", "None") else "object"), array
    return _encode_cells(items, classes, pack)


def _are_canonical_nan(items: list[Any]) -> bool:
    """Return whether every float is NaN with the bits of ``numpy.nan``, which is what a null comes back as."""
    first = next(item for item in items if type(item) is float)
    if not math.isnan(first):  # as nearly always, where there are many
        return False
    floats = [item for item in items if type(item) is float]
    return np.array(floats).tobytes() == _NAN_BITS * len(floats)


def _native_array(items: list[Any], kind: type) -> pa.Array | None:
    """Return a native Arrow array of objects of one class, missing values as null; None if Arrow cannot hold them."""
    try:
        if kind is float:  # a NaN that stands among numbers is a number
            items = [item if type(item) is float else None for item in items]
            return pa.array(items, pa.float64(), from_pandas=False)
        if kind is Decimal:
            return _decimal_array(items)
        if kind is type(None):
            return pa.nulls(len(items), pa.null() if len(items) <= _MOST_NULLS else pa.bool_())
        return pa.array(items, _NATIVE[kind], from_pandas=True) if kind in _NATIVE else None
    except (pa.ArrowException, UnicodeError, OverflowError):  # lone surrogates, integers beyond 64 bits
        return None


def _decimal_array(items: list[Any]) -> pa.Array | None:
    numbers = [item for item in items if type(item) is Decimal]
    exponent = numbers[0].as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0 or not all(map(numbers[0].same_quantum, numbers)):
        return None
    digits = max(max(map(Decimal.adjusted, numbers)) - exponent + 1, -exponent, 1)
    if digits > _MOST_DIGITS or any(number.is_signed() for number in numbers if not number):
        return None
    return pa.array(items, pa.decimal128(digits, -exponent), from_pandas=True)


def decode_objects(array: pa.Array, missing: str = "None") -> np.ndarray:
    """Return the object array that :func:`encode_objects` wrote as a native Arrow column."""
    kind = array.type
    if pa.types.is_null(kind) and len(array) > _MOST_NULLS:
        raise ValueError(f"{len(array)} objects in a column that takes no bytes")
    if pa.types.is_decimal(kind) or kind in (pa.large_string(), pa.large_binary()):
        values: np.ndarray = array.to_numpy(zero_copy_only=False)
    elif kind == pa.date32():
        values = array.to_numpy(zero_copy_only=False).astype("M8[D]").astype(object)
    elif pa.types.is_null(kind) or kind in _NATIVE.values():
        values = as_objects(array.to_pylist())
    else:
        raise ValueError(f"a column of objects is stored as {kind}")
    if missing != "None" and array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = _MISSING[missing]
    return values


def as_objects(items: Sequence[Any]) -> np.ndarray:
    """Return an object array of ``items``, whatever they are: lists and arrays stay single items."""
    return np.fromiter(items, dtype=object, count=len(items))


def _encode_cells(items: list[Any], classes: set[type], pack: PackCells) -> tuple[Any, pa.Array]:
    tags, cells = pack(items, classes)
    offsets = np.zeros(len(cells) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, cells), np.int64, len(cells)), out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(cells))]
    return ["cells", tags], pa.Array.from_buffers(pa.large_binary(), len(items), buffers, null_count=0)


def decode_cells(array: pa.Array, tags: Sequence[Sequence[Any]], unpack: UnpackCells) -> np.ndarray:
    """Return the object array whose cells :func:`encode_objects` packed one by one."""
    if not pa.types.is_large_binary(array.type) or array.null_count:
        raise ValueError(f"cells are in a column of {array.type} with {array.null_count} nulls")
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return as_objects(unpack(tags, memoryview(data), starts))

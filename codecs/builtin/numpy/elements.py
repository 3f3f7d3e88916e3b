"""The elements of a NumPy array as nodes.

::

    elements := Buffer                      the array's own memory; a copy only where it holds padding
              | bytes                       the same below 4 KiB, where a buffer of its own costs more than a copy
              | list of values              object, StringDType (None is missing there)
              | list of the fields' arrays  structured dtypes that hold objects

Raw memory is never read as objects: an element that holds an object holds its address.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from airflow_xcom.codecs.builtin.numpy.dtypes import mantissa_bits
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Buffer
from airflow_xcom.codecs.quoting import cut

_Array = np.ndarray[Any, np.dtype[Any]]

SMALL = 4096  # bytes
_MOST_EMPTY = 1_000_000  # elements that take no bytes: whatever is done with them takes some for each


def encode_elements(array: _Array) -> Any:
    """Return the node of the elements in memory order: Fortran's if the array is contiguous in that alone, or C's."""
    dtype: Any = array.dtype
    if dtype.hasobject:
        return _encode_values(array.ravel("A"))
    if not dtype.itemsize and array.size > _MOST_EMPTY:
        raise UnsupportedValueError(f"{array.size} elements of {dtype!r}, which take no bytes; return its shape")
    owned = _padding(dtype) if dtype.names is not None or dtype.char in "gG" else None
    if owned is not None:
        elements = array.ravel("A").view(np.uint8).reshape(-1, len(owned)) & owned
        return elements.tobytes() if array.nbytes < SMALL else Buffer(elements.reshape(-1).data)
    if array.nbytes < SMALL:
        return array.tobytes("A")
    return Buffer(array.ravel("A").view(np.uint8).data)


def _encode_values(flat: Any) -> list[Any]:
    dtype = flat.dtype
    if dtype.kind == "T":
        missing = getattr(dtype, "na_object", None)
        return [None if item is missing else item for item in flat.tolist()]
    if dtype.names is None:
        values: list[Any] = flat.tolist()
        return values
    if _is_sparse(dtype):
        msg = "the fields leave most of each element unused; return np.lib.recfunctions.repack_fields(value)"
        raise UnsupportedValueError(msg)
    return [flat[name] for name in dtype.names]


@lru_cache(maxsize=32)
def _padding(dtype: Any) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    owned = _owned_bytes(dtype)
    return None if owned.all() else owned


def _owned_bytes(dtype: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return 255 for each byte of an element that belongs to its value, 0 for padding.

    Padding holds whatever was in memory: the columns that ``table[["a", "b"]]`` leaves out, or addresses.
    """
    base, shape = dtype.subdtype or (dtype, ())
    if base.names is None:
        owned = np.full(base.itemsize, 255, np.uint8)
        if base.char in "gG" and mantissa_bits() == 63:  # noqa: PLR2004 - x87: 10 bytes, stored in 12 or 16
            parts = owned.reshape(1 if base.char == "g" else 2, -1)
            (parts if base.isnative else parts[:, ::-1])[:, 10:] = 0
    else:
        owned = np.zeros(base.itemsize, np.uint8)
        for name in base.names:
            field, offset = base.fields[name][:2]
            owned[offset : offset + field.itemsize] |= _owned_bytes(field)
    return np.tile(owned, prod(shape))


def _is_sparse(dtype: Any) -> bool:
    """Return whether elements are larger than their fields and the alignment of these account for.

    Objects are stored apart from the element, so a payload need not have paid for the memory.
    """
    return bool(dtype.itemsize > sum(dtype.fields[name][0].itemsize + 16 for name in dtype.names))


def decode_elements(dtype: np.dtype[Any], count: int, elements: Any) -> _Array:
    """Return the 1-d array of ``count`` elements; a view of the buffer where that is aligned."""
    if dtype.subdtype is not None:
        raise CorruptPayloadError(f"elements of {cut(repr(dtype))}, which only a field can have")
    if dtype.hasobject:
        return _decode_values(dtype, count, elements)
    if not dtype.itemsize and count > _MOST_EMPTY:
        raise CorruptPayloadError(f"{count} elements of {cut(repr(dtype))}, which take no bytes")
    if len(elements) != count * dtype.itemsize:
        raise CorruptPayloadError(f"{len(elements)} bytes for {count} elements of {dtype.itemsize} bytes")
    if not len(elements):
        return np.ndarray((count,), dtype)
    flat = np.frombuffer(bytearray(elements) if type(elements) is bytes else elements, dtype)
    return flat if flat.flags.aligned else flat.copy()


def _decode_values(dtype: Any, count: int, elements: Any) -> _Array:
    if dtype.names is not None:
        return _decode_fields(dtype, count, elements)
    if type(elements) is not list or len(elements) != count:
        raise CorruptPayloadError(f"{count} values of {cut(repr(dtype))} are expected")
    if dtype.kind == "T":
        if not all(type(item) is str or (item is None and hasattr(dtype, "na_object")) for item in elements):
            raise CorruptPayloadError(f"an array of {cut(repr(dtype))} holds something else than strings")
        elements = [dtype.na_object if item is None else item for item in elements]
    return np.fromiter(elements, dtype, count)


def _decode_fields(dtype: Any, count: int, parts: Any) -> _Array:
    fields = {name: dtype.fields[name][0] for name in dtype.names}
    expected = [(np.ndarray, (count, *field.shape), field.base) for field in fields.values()]
    if [(type(part), part.shape, part.dtype) for part in parts] != expected or _is_sparse(dtype):
        raise CorruptPayloadError(f"the fields do not fill {count} elements of {cut(repr(dtype))}")
    flat = np.zeros(count, dtype)
    for name, part in zip(fields, parts, strict=True):
        flat[name] = part
    return flat

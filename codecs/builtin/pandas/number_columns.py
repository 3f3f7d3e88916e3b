"""Encode columns of numbers and times as Arrow arrays that share memory with NumPy, and decode them so.

An Arrow array says the dtype of most columns; the rest have a *kind* ``["numpy", dtype]``: big-endian ones (whose Arrow
array has native bytes), complex ones (pairs of floats) and long doubles (opaque bytes).  NaT is null; NaN is a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_xcom.codecs.builtin.numpy.dtypes import dtype_to_text, text_to_dtype
from airflow_xcom.codecs.errors import UnsupportedTypeError
from airflow_xcom.codecs.quoting import quoted

_UNITS = ("s", "ms", "us", "ns")
_TICKS = {pa.timestamp(unit): np.dtype(f"M8[{unit}]") for unit in _UNITS} | {
    pa.duration(unit): np.dtype(f"m8[{unit}]") for unit in _UNITS
}
_CODES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
NUMBERS = {pa.from_numpy_dtype(code): np.dtype(code) for code in _CODES}
"""The Arrow types of numbers, and the NumPy dtypes with the same bytes."""
_FIXED = {**_TICKS, **NUMBERS}
_NATIVE = {*_FIXED.values(), np.dtype("?")}
NAT = np.iinfo(np.int64).min  # how NumPy and pandas count it
_KINDS = "iufcmM"  # of numpy.dtype.kind: what has no objects in it


class TableMemory:
    """The writable memory that the columns of a decoded table lie in, and what unpacks the cells of objects there."""

    def __init__(self, memory: memoryview | None, unpack_cells: Any = None) -> None:
        self.unpack_cells = unpack_cells
        usable = memory is not None and not memory.readonly
        self.bytes = np.frombuffer(memory if usable else b"", np.uint8)  # type: ignore[arg-type, unused-ignore]
        self._address: int = self.bytes.__array_interface__["data"][0]
        self._end = self._address + self.bytes.size

    def find(self, buffer: Any, dtype: np.dtype[Any], count: int, offset: int = 0) -> int | None:
        """Return where in this memory ``count`` items of ``dtype`` lie, from item ``offset`` of an Arrow buffer on.

        None if they do not (the buffer was decompressed, or put together from several record batches), or lie at an
        address that the dtype does not allow.
        """
        itemsize = dtype.itemsize
        start, size = offset * itemsize, count * itemsize
        if buffer is None or start + size > buffer.size:
            msg = f"{count} items of {dtype} do not fit into a buffer of {0 if buffer is None else buffer.size} bytes"
            raise ValueError(msg)
        address: int = buffer.address + start
        inside = self._address <= address <= self._end - size
        return address - self._address if inside and not address % dtype.alignment else None

    def view(self, buffer: Any, dtype: np.dtype[Any], count: int, offset: int = 0) -> np.ndarray:
        """Return ``count`` items of an Arrow buffer as a writable array, copied unless they lie in this memory.

        Memory that Arrow made for them, when it decompressed the table, counts as this memory.
        """
        if not count:
            return np.empty(0, dtype)
        start, size = self.find(buffer, dtype, count, offset), count * dtype.itemsize
        if start is None:
            if buffer.is_mutable and not (buffer.address + offset * dtype.itemsize) % dtype.alignment:
                return np.frombuffer(buffer, dtype, count, offset * dtype.itemsize)
            return np.frombuffer(buffer, np.uint8)[offset * dtype.itemsize :][:size].copy().view(dtype)
        return self.bytes[start : start + size].view(dtype)

    def values(self, array: pa.Array, dtype: np.dtype[Any]) -> np.ndarray:
        """Return the values of a primitive array; what stands under a null is unspecified."""
        return self.view(array.buffers()[1], dtype, len(array), array.offset)

    def matrix(self, offsets: Sequence[int], dtype: np.dtype[Any], count: int) -> np.ndarray:
        """Return rows of ``count`` items that begin at ``offsets``, which are at even distances, as one array."""
        step = offsets[1] - offsets[0] if len(offsets) > 1 else count * dtype.itemsize
        return np.ndarray((len(offsets), count), dtype, self.bytes.data, offsets[0], (step, dtype.itemsize))


NOWHERE = TableMemory(None)
"""The memory of labels that lie in none."""


def one_chunk(column: Any) -> Any:
    """Return an Arrow array, chunked or not, as one array."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.nulls(0, column.type)  # combine_chunks() has no empty dictionary of times
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def without_nulls(column: Any) -> Any:
    """Return a column as one Arrow array."""
    array = one_chunk(column)
    if array.null_count:
        raise ValueError(f"{array.null_count} nulls in a column of {array.type} that has none")
    return array


def nulls_of(array: pa.Array) -> np.ndarray:
    """Return where an Arrow array has nulls."""
    validity = array.buffers()[0]
    if validity is None or not array.null_count:
        return np.zeros(len(array), bool)
    start, bit = divmod(array.offset, 8)  # of a part, whose buffers are those of the whole
    held = np.frombuffer(validity, np.uint8)[start : (array.offset + len(array) + 7) // 8]
    return np.unpackbits(~held, count=bit + len(array), bitorder="little")[bit:].view(bool)


def encode_numbers(values: np.ndarray) -> tuple[Any, pa.Array]:
    """Return the kind and the Arrow array of numbers or times."""
    values = np.ascontiguousarray(values)
    text = dtype_to_text(values.dtype)
    if values.dtype in _NATIVE and ":" not in text:
        return None, _array_of(values)
    kind = ["numpy", text]
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    if native.dtype in _NATIVE:
        return kind, _array_of(native)
    if native.dtype.char in "FD":
        return kind, pa.FixedSizeListArray.from_arrays(pa.array(native.view(native.real.dtype)), 2)
    if native.dtype.char in "gG":
        buffers = [None, pa.py_buffer(values)]
        return kind, pa.Array.from_buffers(pa.binary(values.itemsize), len(values), buffers, null_count=0)
    msg = f"no codec handles a column of the NumPy dtype {values.dtype}; convert it with astype(object)"
    raise UnsupportedTypeError(msg)


def _array_of(values: np.ndarray) -> pa.Array:
    """Return an Arrow array in the memory of a NumPy array; pyarrow takes far longer to look for NaT."""
    if values.dtype.kind not in "mM":
        return pa.array(values, from_pandas=False)
    ticks = values.view(np.int64)
    make = pa.timestamp if values.dtype.kind == "M" else pa.duration
    return array_of_ticks(ticks, make(np.datetime_data(values.dtype)[0]))


def array_of_ticks(ticks: np.ndarray, data_type: pa.DataType) -> pa.Array:
    """Return an Arrow array of times as pandas counts them, in their memory; NaT is null."""
    if len(ticks) and ticks.min() == NAT:
        return array_with_nulls(ticks, ticks == NAT).view(data_type)
    return pa.Array.from_buffers(data_type, len(ticks), [None, pa.py_buffer(ticks)], null_count=0)


def array_with_nulls(values: np.ndarray, nulls: np.ndarray) -> pa.Array:
    """Return an Arrow array of numbers in the memory of NumPy arrays."""
    numbers = pa.array(values, from_pandas=False)
    if not nulls.any():
        return numbers
    validity = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    return pa.Array.from_buffers(numbers.type, len(numbers), [validity, numbers.buffers()[1]])


def decode_with_dtype(column: Any, memory: TableMemory, text: str) -> np.ndarray:
    """Return the array of the kind ``["numpy", text]``."""
    dtype = text_to_dtype(text)
    if dtype.kind not in _KINDS:
        raise ValueError(f"{quoted(text)} is not a dtype of numbers or times")
    array = one_chunk(column)
    if pa.types.is_fixed_size_binary(array.type) and array.type.byte_width == dtype.itemsize:
        return memory.values(without_nulls(array), dtype)
    if dtype.kind == "c":
        parts = decode_typed(without_nulls(array).flatten(), memory)
        return parts.view(f"c{2 * parts.itemsize}").astype(dtype, copy=False)
    values = decode_typed(array, memory)
    return values.view(dtype) if values.dtype == dtype else values.astype(dtype)


def decode_typed(column: Any, memory: TableMemory) -> np.ndarray:
    """Return the array whose dtype the Arrow type says."""
    dtype = _FIXED.get(column.type)
    if dtype is not None and not column.null_count:  # as of most columns
        return memory.values(one_chunk(column), dtype)
    if column.type in _TICKS:
        return decode_ticks(column, memory)
    array = without_nulls(column)
    if array.type == pa.bool_():
        bits: np.ndarray = array.to_numpy(zero_copy_only=False)
        return bits
    return memory.values(array, NUMBERS[array.type])


def decode_ticks(column: Any, memory: TableMemory) -> np.ndarray:
    """Return times and durations, with or without a zone, as NumPy counts them; null is NaT."""
    array = one_chunk(column)
    letter = "m" if pa.types.is_duration(array.type) else "M"
    values = memory.values(array, np.dtype(f"{letter}8[{array.type.unit}]"))
    if array.null_count:
        nulls = nulls_of(array)
        if not np.isnat(values[nulls]).all():
            values[nulls] = "NaT"
    return values


def find_numbers(column: pa.ChunkedArray, memory: TableMemory) -> tuple[np.dtype[Any], int] | None:
    """Return the dtype of numbers or times, and their offset in memory; None if they have nulls or lie elsewhere."""
    dtype = _FIXED.get(column.type)
    if dtype is None or column.num_chunks != 1:
        return None
    array = column.chunk(0)
    if array.null_count or not len(array):
        return None
    start = memory.find(array.buffers()[1], dtype, len(array), array.offset)
    return None if start is None else (dtype, start)

"""One-dimensional pandas and NumPy data as Arrow arrays, and back without a copy.

Beside each Arrow array stands its *kind*: what the Arrow type does not say.  It is None where the type says all
(numbers, naive times, and the ``str`` of pandas 3), else a name or ``[name, *arguments]``; docs/FORMAT.md lists them.
The kind names the writer's dtype, so that the reader's pandas infers nothing.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.object_columns import decode_cells, decode_objects, encode_objects
from airflow_xcom.codecs.errors import DecodeError, UnsupportedTypeError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    Column = pa.Array | pa.ChunkedArray

__all__ = [
    "Memory",
    "address",
    "decode_array",
    "decode_dictionary",
    "decode_labels",
    "encode_array",
    "encode_dictionary",
    "encode_labels",
]

_UNITS = ("s", "ms", "us", "ns")
# Arrow types that stand for the NumPy dtype with the same bytes, in which NaT is null.
_TICKS = {pa.timestamp(unit): np.dtype(f"M8[{unit}]") for unit in _UNITS} | {
    pa.duration(unit): np.dtype(f"m8[{unit}]") for unit in _UNITS
}
_INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
_NUMBERS = {pa.from_numpy_dtype(code): np.dtype(code) for code in ("f2", "f4", "f8", *_INTEGERS)}
_BITS = pa.bool_()
_TEXT = pa.large_string()
_NATIVE = {*_TICKS.values(), *_NUMBERS.values(), np.dtype("?")}
_NUMBER_KINDS = "iufcmM"  # of numpy.dtype.kind


def address(array: np.ndarray) -> int:
    """Where the first item of an array lies."""
    place: int = array.__array_interface__["data"][0]
    return place


class Memory:
    """The writable memory that the columns of a decoded table lie in."""

    def __init__(self, memory: memoryview | None) -> None:
        self.bytes = np.frombuffer(b"" if memory is None or memory.readonly else memory, np.uint8)
        self.address = address(self.bytes)

    def view(self, buffer: pa.Buffer | None, dtype: np.dtype[Any], count: int, offset: int = 0) -> np.ndarray:
        """``count`` items of ``dtype``, from item ``offset`` of an Arrow buffer on, as a writable array.

        In place where the buffer lies in this memory, and else (it was decompressed, or put together from several
        record batches, or is not aligned) a copy.

        Raises:
            ValueError: the buffer is too small.
        """
        if not count:
            return np.empty(0, dtype)
        start, size = offset * dtype.itemsize, count * dtype.itemsize
        if buffer is None or start + size > buffer.size:
            msg = f"{count} items of {dtype} do not fit into a buffer of {0 if buffer is None else buffer.size} bytes"
            raise ValueError(msg)
        at = buffer.address + start - self.address
        if 0 <= at <= self.bytes.size - size and (buffer.address + start) % dtype.alignment == 0:
            return self.bytes[at : at + size].view(dtype)
        return np.frombuffer(buffer, np.uint8)[start : start + size].copy().view(dtype)

    def values(self, array: pa.Array, dtype: np.dtype[Any]) -> np.ndarray:
        """The values of a primitive array; what stands under a null is unspecified."""
        return self.view(array.buffers()[1], dtype, len(array), array.offset)

    def holds(self, array: np.ndarray) -> bool:
        """Whether the array is a view of this memory."""
        return 0 <= address(array) - self.address < self.bytes.size

    def matrix(self, rows: list[np.ndarray]) -> np.ndarray:
        """Arrays of one dtype and length that lie in this memory at even distances, as one array of two dimensions."""
        first = rows[0]
        start = address(first)
        step = address(rows[1]) - start if len(rows) > 1 else first.nbytes
        strides = (step, first.itemsize)
        return np.ndarray((len(rows), len(first)), first.dtype, self.bytes.data, start - self.address, strides)


def encode_array(values: Any) -> tuple[Any, Column]:
    """The kind and the Arrow array of a NumPy or pandas array.

    Raises:
        UnsupportedTypeError: its dtype is of another library.
        EncodeError: some object in it cannot be stored exactly.
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _encode_numpy(values if isinstance(values, np.ndarray) else values.asi8.view(dtype))
    encode = _ENCODERS.get(type(dtype))
    if encode is None:
        name = f"{type(dtype).__module__}.{type(dtype).__qualname__}"
        msg = f"no codec handles the dtype {dtype} ({name}); convert it with astype() to a dtype of pandas or NumPy"
        raise UnsupportedTypeError(msg)
    return encode(values)


def decode_array(kind: Any, column: Column, memory: Memory) -> Any:
    """The array that :func:`encode_array` was given: a NumPy array, or a pandas array where the dtype is one of pandas.

    Raises:
        DecodeError: the pandas installed is too old for the dtype.
        ValueError: the column is not one of this kind.
    """
    name, *arguments = [kind] if kind is None or isinstance(kind, str) else kind
    return _DECODERS[name](column, memory, *arguments)


def one_chunk(column: Column) -> Any:
    """A column as one Arrow array."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _without_nulls(column: Column) -> pa.Array:
    array = one_chunk(column)
    if array.null_count:
        msg = f"{array.null_count} nulls in a column of {array.type} that has none"
        raise ValueError(msg)
    return array


def _nulls(array: pa.Array) -> np.ndarray:
    return array.is_null().to_numpy(zero_copy_only=False)


# -- NumPy ---------------------------------------------------------------------------------------------------


def _encode_numpy(values: np.ndarray) -> tuple[Any, pa.Array]:
    dtype = values.dtype
    if dtype.kind == "O":
        return encode_objects(values)
    values = np.ascontiguousarray(values)
    if dtype in _NATIVE:
        return None, pa.array(values, from_pandas=False)
    native = values.astype(dtype.newbyteorder("="), copy=False)
    if native.dtype in _NATIVE:
        array = pa.array(native, from_pandas=False)
    elif native.dtype.char in "FD":
        array = pa.FixedSizeListArray.from_arrays(pa.array(native.view(native.real.dtype)), 2)
    elif dtype.kind in "fc":
        array = pa.Array.from_buffers(pa.binary(dtype.itemsize), len(values), [None, pa.py_buffer(values)], 0)
    else:
        msg = f"no codec handles a column of the NumPy dtype {dtype}; convert it with astype(object)"
        raise UnsupportedTypeError(msg)
    return ["numpy", dtype.str], array


def _decode_numpy(column: Column, memory: Memory, text: str) -> np.ndarray:
    dtype = np.dtype(text)
    array = one_chunk(column)
    if dtype.kind not in _NUMBER_KINDS:
        msg = f"{text!r} is not a dtype of numbers or times"
        raise ValueError(msg)
    if pa.types.is_fixed_size_binary(array.type) and array.type.byte_width == dtype.itemsize:
        return memory.values(_without_nulls(array), dtype)
    if dtype.kind == "c":
        parts = _decode_implied(_without_nulls(array).flatten(), memory)
        return parts.view(f"c{2 * parts.itemsize}").astype(dtype, copy=False)
    return _decode_implied(array, memory).astype(dtype, copy=False)


def _decode_implied(column: Column, memory: Memory) -> Any:
    kind = column.type
    if kind == _TEXT:
        return _string_dtype("pyarrow", "nan").__from_arrow__(column)
    if kind in _TICKS:
        return _decode_ticks(one_chunk(column), _TICKS[kind], memory)
    array = _without_nulls(column)
    if kind == _BITS:
        return array.to_numpy(zero_copy_only=False)
    return memory.values(array, _NUMBERS[kind])


def _decode_ticks(array: pa.Array, dtype: np.dtype[Any], memory: Memory) -> np.ndarray:
    values = memory.values(array, dtype)
    if array.null_count:
        nulls = _nulls(array)
        if not np.isnat(values[nulls]).all():
            values[nulls] = "NaT"
    return values


# -- strings -------------------------------------------------------------------------------------------------


def _encode_string(values: Any) -> tuple[Any, Column]:
    storage = values.dtype.storage
    missing = "NA" if values.dtype.na_value is pd.NA else "nan"
    if storage == "python":
        kind, array = encode_objects(np.asarray(values, dtype=object))
        return ["string", storage, missing, kind], array
    column = _joined(values.__arrow_array__())
    if column.type != _TEXT:
        column = column.cast(_TEXT)
    return (None if missing == "nan" else ["string", "pyarrow", missing]), column


def _joined(column: Column) -> Column:
    """One chunk if possible: several would split all columns of the table into record batches."""
    try:
        return one_chunk(column)
    except pa.ArrowInvalid:  # 32-bit offsets cannot address the text of all chunks together
        return column


def _decode_string(column: Column, memory: Memory, storage: str, missing: str, kind: Any = None) -> Any:
    dtype = _string_dtype(storage, missing)
    if storage == "python":
        return pd.array(decode_array(kind, column, memory), dtype=dtype, copy=False)
    if column.type != _TEXT:
        msg = f"strings are in a column of {column.type}"
        raise ValueError(msg)
    return dtype.__from_arrow__(column)


def _string_dtype(storage: str, missing: str) -> Any:
    try:
        return pd.StringDtype(storage, na_value={"NA": pd.NA, "nan": np.nan}[missing])
    except TypeError:  # before pandas 2.3
        if missing == "NA":
            return pd.StringDtype(storage)
        if storage == "pyarrow":
            return pd.StringDtype("pyarrow_numpy")
        msg = f"a column of StringDtype({storage!r}, na_value=nan) needs pandas 2.3 or newer; this is {pd.__version__}"
        raise DecodeError(msg) from None


# -- nullable numbers ----------------------------------------------------------------------------------------


def _encode_masked(values: Any) -> tuple[Any, pa.Array]:
    data, mask = np.ascontiguousarray(values._data), values._mask  # noqa: SLF001 - no public way without a copy
    return "masked", pa.array(data, mask=mask if mask.any() else None, from_pandas=False)


def _decode_masked(column: Column, memory: Memory) -> Any:
    array = one_chunk(column)
    if array.type == _BITS:
        bits = array.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - the name differs by version
        return pd.arrays.BooleanArray(bits, _nulls(array))
    values = memory.values(array, _NUMBERS[array.type])
    holder = pd.arrays.FloatingArray if values.dtype.kind == "f" else pd.arrays.IntegerArray
    return holder(values, _nulls(array))


# -- times, periods, intervals -------------------------------------------------------------------------------


def _encode_zoned(values: Any) -> tuple[Any, pa.Array]:
    dtype = values.dtype
    ticks = pa.array(np.ascontiguousarray(values.asi8).view(f"M8[{dtype.unit}]"))
    return ["tz", dtype.tz], ticks.view(pa.timestamp(dtype.unit, _zone_name(dtype.tz)))


def _zone_name(zone: Any) -> str:
    """A name that other tools know; the instants are the same under ``UTC``, and Polars panics at an unknown name."""
    name = str(getattr(zone, "key", None) or getattr(zone, "zone", None) or "UTC")
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        return "UTC"


def _decode_zoned(column: Column, memory: Memory, zone: Any) -> Any:
    array = one_chunk(column)
    dtype = pd.DatetimeTZDtype(array.type.unit, _checked(zone, tzinfo))
    values = _decode_ticks(array, np.dtype(f"M8[{array.type.unit}]"), memory)
    return pd.array(values.view(np.int64), dtype=dtype, copy=False)


def _encode_period(values: Any) -> tuple[Any, pa.Array]:
    ordinals = np.ascontiguousarray(values.asi8)
    missing = np.asarray(values.isna())
    return ["period", values.dtype.freq], pa.array(ordinals, mask=missing if missing.any() else None)


def _decode_period(column: Column, memory: Memory, freq: Any) -> Any:
    array = one_chunk(column)
    ordinals = memory.values(array, _NUMBERS[array.type])
    if array.null_count:
        ordinals[_nulls(array)] = pd.NaT._value  # noqa: SLF001 - the ordinal of NaT
    return pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(freq))


def _encode_interval(values: Any) -> tuple[Any, pa.Array]:
    specs, ends = zip(*(encode_labels(labels) for labels in (values.left, values.right)), strict=True)
    return ["interval", values.closed, *specs], pa.StructArray.from_arrays(ends, ["left", "right"])


def _decode_interval(column: Column, memory: Memory, closed: str, *specs: dict[str, Any]) -> Any:
    ends = _without_nulls(column).flatten()
    left, right = (decode_labels(spec, end, memory) for spec, end in zip(specs, ends, strict=True))
    return pd.arrays.IntervalArray.from_arrays(left, right, closed)


# -- Arrow, sparse, and NumPy in pandas' clothes -------------------------------------------------------------


def _encode_arrow(values: Any) -> tuple[Any, Column]:
    column = _joined(values.__arrow_array__())
    if _has_nested_dictionary(column.type):
        msg = f"Arrow cannot write {column.type}: a dictionary within a dictionary; cast it to the type of its values"
        raise UnsupportedValueError(msg)
    return (["arrow", str(column.type)] if "extension<" in str(column.type) else "arrow"), column


def _has_nested_dictionary(kind: pa.DataType, *, within: bool = False) -> bool:
    if pa.types.is_dictionary(kind):
        return within or _has_nested_dictionary(kind.value_type, within=True)
    return any(_has_nested_dictionary(kind.field(place).type, within=within) for place in range(kind.num_fields))


def _decode_arrow(column: Column, _memory: Memory, name: str | None = None) -> Any:
    if name not in (None, str(column.type)):
        msg = f"the Arrow extension type {name} is not registered here, so that its column would become {column.type}"
        raise DecodeError(msg)
    return pd.arrays.ArrowExtensionArray(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))


def _encode_sparse(values: Any) -> tuple[Any, pa.Array]:
    dense = values.to_dense()
    again = pd.arrays.SparseArray(dense, fill_value=values.fill_value, kind=values.kind)
    if again.dtype != values.dtype or not again.sp_index.equals(values.sp_index):
        msg = "the sparse array stores its fill value explicitly; normalise it with SparseArray(array.to_dense())"
        raise UnsupportedValueError(msg)
    kind, array = encode_array(dense)
    return ["sparse", values.kind, values.fill_value, kind], array


def _decode_sparse(column: Column, memory: Memory, layout: str, fill_value: Any, kind: Any) -> Any:
    return pd.arrays.SparseArray(decode_array(kind, column, memory), fill_value=fill_value, kind=layout)


def _encode_boxed(values: Any) -> tuple[Any, Column]:
    kind, array = encode_array(values.to_numpy())
    return ["array", kind], array


def _decode_boxed(column: Column, memory: Memory, kind: Any) -> Any:
    return pd.arrays.NumpyExtensionArray(decode_array(kind, column, memory))


# -- labels: one-dimensional indexes -------------------------------------------------------------------------


def _bare(index: pd.Index) -> Any:
    """The array of an Index, as NumPy where that is what it holds."""
    array = index.array
    return array.to_numpy() if type(array) is pd.arrays.NumpyExtensionArray else array


def encode_labels(index: pd.Index) -> tuple[dict[str, Any], Column | None]:
    """What rebuilds an Index of one level from its Arrow array, and that array; a RangeIndex needs none."""
    named = {} if index.name is None else {"name": index.name}
    if isinstance(index, pd.RangeIndex):
        return {**named, "range": [index.start, index.stop, index.step]}, None
    kind, array = encode_array(_bare(index))
    freq = index.freq if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None
    spec = {"freq": freq, "kind": kind}
    return {key: item for key, item in spec.items() if item is not None} | named, array


def decode_labels(spec: dict[str, Any], column: Column | None, memory: Memory) -> pd.Index:
    """The Index that :func:`encode_labels` was given."""
    name = spec.get("name")
    if "range" in spec:
        return pd.RangeIndex(*spec["range"], name=name)
    if "labels" in spec:
        return _checked(spec["labels"], pd.Index)
    values = decode_array(spec.get("kind"), column, memory)
    index = pd.Index(values, dtype=values.dtype, copy=False, name=name, tupleize_cols=False)
    if "freq" in spec:
        _set_freq(_checked(index, pd.DatetimeIndex | pd.TimedeltaIndex), _checked(spec["freq"], pd.offsets.BaseOffset))
    return index


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        msg = f"{type(value).__qualname__} stands where {kind} should"
        raise TypeError(msg)
    return value


def _set_freq(index: Any, freq: Any) -> None:
    """Give an index its freq unvalidated: after ``tz_convert``, say, pandas keeps one that it would not accept."""
    holder = index._data if hasattr(index._data, "_freq") else index  # noqa: SLF001 - on the array before pandas 3.1
    holder._freq = freq  # noqa: SLF001


def encode_dictionary(codes: np.ndarray, labels: pd.Index, *, ordered: bool = False) -> tuple[Any, pa.DictionaryArray]:
    """Codes into labels, -1 for missing, as an Arrow dictionary array; and what rebuilds the labels."""
    spec, values = encode_labels(labels)
    if values is None:
        values = pa.array(labels.to_numpy())
    elif pa.types.is_dictionary(values.type):  # Arrow cannot write a dictionary within a dictionary
        spec, values = {"labels": labels}, encode_array(_bare(labels.categories.take(labels.codes)))[1]
    elif not len(codes):  # and it writes no dictionary for no rows
        spec = {"labels": labels}
    missing = codes < 0
    if missing.any():  # Polars refuses a negative code even under a null
        indices = pa.array(np.where(missing, codes.dtype.type(0), codes), mask=missing)
    else:
        indices = pa.array(np.ascontiguousarray(codes))
    return spec, pa.DictionaryArray.from_arrays(indices, one_chunk(values), ordered=ordered)


def decode_dictionary(spec: dict[str, Any], column: Column, memory: Memory) -> tuple[np.ndarray, pd.Index]:
    """The codes and labels that :func:`encode_dictionary` was given.

    Raises:
        ValueError: a code has no label.
    """
    if not len(column):
        return np.empty(0, np.int8), decode_labels(spec, None, memory)
    array = one_chunk(column)
    labels = decode_labels(spec, array.dictionary, memory)
    codes = memory.values(array.indices, _NUMBERS[array.indices.type])
    if array.indices.null_count:
        codes[_nulls(array.indices)] = -1
    if len(codes) and not -1 <= codes.min() <= codes.max() < len(labels):
        msg = f"codes from {codes.min()} to {codes.max()} for {len(labels)} labels"
        raise ValueError(msg)
    return codes, labels


def _encode_category(values: pd.Categorical) -> tuple[Any, pa.Array]:
    spec, array = encode_dictionary(values.codes, values.categories, ordered=values.ordered)
    return ["category", spec], array


def _decode_category(column: Column, memory: Memory, spec: dict[str, Any]) -> pd.Categorical:
    codes, categories = decode_dictionary(spec, column, memory)
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, ordered=column.type.ordered))


_MASKED = [f"{name}{size}Dtype" for name in ("Int", "UInt") for size in (8, 16, 32, 64)]
_ENCODERS: dict[type, Callable[[Any], tuple[Any, Column]]] = {
    **{getattr(pd, name): _encode_masked for name in (*_MASKED, "Float32Dtype", "Float64Dtype", "BooleanDtype")},
    pd.ArrowDtype: _encode_arrow,
    pd.CategoricalDtype: _encode_category,
    pd.DatetimeTZDtype: _encode_zoned,
    pd.IntervalDtype: _encode_interval,
    pd.PeriodDtype: _encode_period,
    pd.SparseDtype: _encode_sparse,
    pd.StringDtype: _encode_string,
    type(pd.arrays.NumpyExtensionArray(np.empty(0)).dtype): _encode_boxed,
}
_DECODERS: dict[str | None, Callable[..., Any]] = {
    None: _decode_implied,
    "array": _decode_boxed,
    "arrow": _decode_arrow,
    "category": _decode_category,
    "cells": lambda column, _memory, tags: decode_cells(one_chunk(column), tags),
    "interval": _decode_interval,
    "masked": _decode_masked,
    "numpy": _decode_numpy,
    "object": lambda column, _memory, missing="None": decode_objects(one_chunk(column), missing),
    "period": _decode_period,
    "sparse": _decode_sparse,
    "string": _decode_string,
    "tz": _decode_zoned,
}

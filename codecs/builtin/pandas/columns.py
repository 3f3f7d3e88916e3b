"""Encode one-dimensional pandas data as Arrow arrays, and decode them without a copy.

Beside each Arrow array stands its *kind*: what the Arrow type does not say.  It is None where the type says all
(numbers, naive times, and the ``str`` of pandas 3), else a name or ``[name, *arguments]``; docs/FORMAT.md lists them.
The kind names the writer's dtype, so that the reader's pandas infers nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.dtypes import string_dtype
from airflow_xcom.codecs.builtin.pandas.extension_columns import DECODERS, ENCODERS, joined
from airflow_xcom.codecs.builtin.pandas.number_columns import (
    NUMBERS,
    TableMemory,
    decode_typed,
    decode_with_dtype,
    encode_numbers,
    nulls_of,
    one_chunk,
    without_nulls,
)
from airflow_xcom.codecs.builtin.pandas.object_columns import decode_cells, decode_objects, encode_objects
from airflow_xcom.codecs.builtin.pandas.text_columns import split_texts
from airflow_xcom.codecs.errors import UnsupportedTypeError, UnsupportedValueError
from airflow_xcom.codecs.nodes import PackCells, as_dict, as_list, as_text
from airflow_xcom.codecs.object_state import refuse_other_attributes

# The attributes that pandas itself sets. What stands here is not looked for in its code, which takes 0.3 ms a name.
ARRAY_STATE = ("_", "_cache", "_mgr", "_attrs", "_flags", "_pa_array", "_readonly")
INDEX_STATE = ("_", "_cache", "_data", "_name", "_id", "_levels", "_codes", "_references", "sortorder")
STR = string_dtype("pyarrow", np.nan)
"""The dtype of text whose kind is None: ``str`` of pandas 3."""
_TEXT = pa.large_string()
_TEXTS = {"texts"}
_FEW_LABELS = 100
_MOST_LABELS = 1_000_000  # of a range without rows
_ARGUMENTS = (str, list, dict, bytes)  # of those that have a length


def encode_array(values: Any, pack: PackCells) -> tuple[Any, Any]:
    """Return the kind and the Arrow array, chunked or not, of a NumPy or pandas array."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O":
            return encode_objects(values, pack)
        return encode_numbers(values if isinstance(values, np.ndarray) else values.asi8.view(dtype))
    encode = _ENCODERS.get(type(dtype))
    if encode is None and type(dtype).__module__ == "geopandas.array":
        from airflow_xcom.codecs.builtin.geo.columns import encode_geometry

        return encode_geometry(values)
    if encode is None:
        name = f"{type(dtype).__module__}.{type(dtype).__qualname__}"
        msg = f"no codec handles the dtype {dtype} ({name}); convert it with astype() to a dtype of pandas or NumPy"
        raise UnsupportedTypeError(msg)
    refuse_other_attributes(values, ARRAY_STATE)
    return encode(values, pack)


def decode_array(kind: Any, column: Any, memory: TableMemory) -> Any:
    """Return what :func:`encode_array` was given: a NumPy array, or a pandas array if the dtype is one of pandas."""
    name, *arguments = [kind] if kind is None or isinstance(kind, str) else as_list(kind)
    for argument in arguments:  # pandas compares some of them with words, and an index with a word label by label
        if hasattr(type(argument), "__len__") and type(argument) not in _ARGUMENTS:
            raise TypeError(f"a {type(argument).__name__} in the kind of a column")
    return _DECODERS[name](column, memory, *arguments)


# -- strings -------------------------------------------------------------------------------------------------


def _encode_string(values: Any, pack: PackCells) -> tuple[Any, Any]:
    storage = values.dtype.storage
    missing = "NA" if values.dtype.na_value is pd.NA else "nan"
    if storage == "python":
        kind, array = encode_objects(np.asarray(values, dtype=object), pack)
        return ["string", storage, missing, kind], array
    column = joined(values.__arrow_array__())
    if column.type != _TEXT:
        column = column.cast(_TEXT)
    return (None if missing == "nan" else ["string", "pyarrow", missing]), column


def _decode_string(column: Any, memory: TableMemory, storage: str, missing: str, kind: Any = None) -> Any:
    dtype = string_dtype(storage, {"NA": pd.NA, "nan": np.nan}[missing])
    if storage == "python":
        return pd.array(decode_array(kind, column, memory), dtype=dtype, copy=False)
    if column.type != _TEXT:
        raise ValueError(f"strings are in a column of {column.type}")
    return dtype.__from_arrow__(column)


def _decode_implied(column: Any, memory: TableMemory) -> Any:
    if column.type == _TEXT:
        return STR.__from_arrow__(column)
    return decode_typed(column, memory)


# -- intervals, sparse arrays, and NumPy in a pandas array ----------------------------------------------------


def _encode_interval(values: Any, pack: PackCells) -> tuple[Any, pa.Array]:
    specs, ends = zip(*(encode_labels(labels, pack) for labels in (values.left, values.right)), strict=True)
    return ["interval", values.closed, *specs], pa.StructArray.from_arrays(ends, ["left", "right"])


def _decode_interval(column: Any, memory: TableMemory, closed: Any, *specs: dict[str, Any]) -> Any:
    ends = without_nulls(column).flatten()
    left, right = (decode_labels(spec, end, memory) for spec, end in zip(specs, ends, strict=True))
    return pd.arrays.IntervalArray.from_arrays(left, right, closed)


def _encode_sparse(values: Any, pack: PackCells) -> tuple[Any, Any]:
    dense = values.to_dense()
    again: Any = pd.arrays.SparseArray(dense, fill_value=values.fill_value, kind=values.kind)
    if again.dtype != values.dtype or not again.sp_index.equals(values.sp_index):
        msg = "the sparse array stores its fill value explicitly; normalise it with SparseArray(array.to_dense())"
        raise UnsupportedValueError(msg)
    kind, array = encode_array(dense, pack)
    return ["sparse", values.kind, values.fill_value, kind], array


def _decode_sparse(column: Any, memory: TableMemory, layout: Any, fill_value: Any, kind: Any) -> Any:
    make: Any = pd.arrays.SparseArray
    return make(decode_array(kind, column, memory), fill_value=fill_value, kind=layout)


def _encode_boxed(values: Any, pack: PackCells) -> tuple[Any, Any]:
    kind, array = encode_array(values.to_numpy(), pack)
    return ["array", kind], array


# -- labels: one-dimensional indexes -------------------------------------------------------------------------


def encode_labels(index: Any, pack: PackCells) -> tuple[dict[str, Any], Any]:
    """Return what rebuilds an Index of one level from its Arrow array, and that array: None for a RangeIndex."""
    refuse_other_attributes(index, INDEX_STATE)
    named = {} if index.name is None else {"name": index.name}
    if isinstance(index, pd.RangeIndex):
        return {**named, "range": [index.start, index.stop, index.step]}, None
    values = index.array
    kind, array = encode_array(values.to_numpy() if type(values) is pd.arrays.NumpyExtensionArray else values, pack)
    freq = index.freq if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None
    spec = {"freq": freq, "kind": kind}
    return {key: item for key, item in spec.items() if item is not None} | named, array


def decode_labels(spec: dict[str, Any], column: Any, memory: TableMemory) -> Any:
    """Return the Index that :func:`encode_labels` was given."""
    index = _decode_index(spec, column, memory)
    if column is not None and len(index) != len(column):
        raise ValueError(f"{len(index)} labels for {len(column)} rows or columns")
    return index


def _decode_index(spec: dict[str, Any], column: Any, memory: TableMemory) -> Any:
    if "texts" in as_dict(spec):
        column = split_texts(as_text(spec["texts"]))
    if spec.keys() <= _TEXTS and column.type == _TEXT:  # as most labels are; pd.Index() would look for what they are
        make: Any = pd.Index
        return make._simple_new(STR.__from_arrow__(column), name=None)  # noqa: SLF001
    name = spec.get("name")
    if "range" in spec:
        start, stop, step = spec["range"]
        len(range(start, stop, step))  # pandas would make one that has no len()
        return pd.RangeIndex(start, stop, step, name=name)
    if "labels" in spec:
        return _checked(spec["labels"], pd.Index)
    values = decode_array(spec.get("kind"), column, memory)
    index = pd.Index(values, dtype=values.dtype, copy=False, name=name, tupleize_cols=False)
    if "freq" in spec:
        _set_freq(_checked(index, pd.DatetimeIndex | pd.TimedeltaIndex), _checked(spec["freq"], pd.offsets.BaseOffset))
    return index


def _checked(value: Any, expected: Any) -> Any:
    if not isinstance(value, expected):
        raise TypeError(f"{type(value).__qualname__} stands where {expected} should")
    return value


def _set_freq(index: Any, freq: Any) -> None:
    """Give an index its freq unvalidated: after ``tz_convert``, say, pandas keeps one that it would not accept."""
    holder = index._data if hasattr(index._data, "_freq") else index  # noqa: SLF001 - on the array before pandas 3.1
    holder._freq = freq  # noqa: SLF001


def encode_dictionary(
    codes: np.ndarray, labels: Any, pack: PackCells, *, ordered: bool = False
) -> tuple[dict[str, Any], Any]:
    """Return what rebuilds the labels, and codes into them (-1 for missing) as an Arrow dictionary array."""
    if not len(codes) and _is_unbounded(labels):
        msg = f"it has {len(labels)} categories and no rows; drop the categories that are not used"
        raise UnsupportedValueError(msg)
    spec, values = encode_labels(labels, pack)
    if values is None:
        values = pa.array(labels.to_numpy())
    elif pa.types.is_dictionary(values.type):  # Arrow cannot write a dictionary within a dictionary
        of_pandas = isinstance(labels, pd.CategoricalIndex)
        spec = {"labels": labels}
        taken = labels.categories.take(labels.codes) if of_pandas else None
        values = values.dictionary_decode() if taken is None else encode_labels(taken, pack)[1]
    elif not len(codes):  # and it writes no dictionary for no rows
        spec = {"labels": labels}
    if len(codes) and codes.min() < 0:  # Polars refuses a negative code even under a null
        missing = codes < 0
        indices = pa.array(np.where(missing, codes.dtype.type(0), codes), mask=missing)
    else:
        indices = pa.array(np.ascontiguousarray(codes))
    return spec, pa.DictionaryArray.from_arrays(indices, one_chunk(values), ordered=ordered)


def _is_unbounded(labels: Any) -> bool:
    """Return whether three forged numbers could make pandas allocate more than the payload justifies."""
    return isinstance(labels, pd.RangeIndex) and len(labels) > _MOST_LABELS


def decode_dictionary(spec: dict[str, Any], column: Any, memory: TableMemory) -> tuple[np.ndarray, Any]:
    """Return the codes and labels that :func:`encode_dictionary` was given."""
    if not len(column) and spec.keys() & {"labels", "range"}:
        labels = decode_labels(spec, None, memory)
        if _is_unbounded(labels):
            raise ValueError(f"{len(labels)} labels and no rows")
        return np.empty(0, np.int8), labels
    array = one_chunk(column)
    labels = decode_labels(spec, array.dictionary, memory)
    codes = memory.values(array.indices, NUMBERS[array.indices.type])
    if array.indices.null_count:
        codes[nulls_of(array.indices)] = -1
    if len(codes) and not -1 <= codes.min() <= codes.max() < len(labels):
        raise ValueError(f"codes from {codes.min()} to {codes.max()} for {len(labels)} labels")
    return codes, labels


def _encode_category(values: Any, pack: PackCells) -> tuple[Any, pa.Array]:
    spec, array = encode_dictionary(values.codes, values.categories, pack, ordered=values.ordered)
    return ["category", spec], array


def _decode_category(column: Any, memory: TableMemory, spec: dict[str, Any]) -> Any:
    codes, categories = decode_dictionary(spec, column, memory)
    ordered = column.type.ordered
    if spec or not len(column) or not _are_distinct(one_chunk(column).dictionary):
        return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, ordered=ordered))
    make: Any = pd.Categorical
    dtype: Any = pd.CategoricalDtype
    return make._simple_new(codes, dtype._from_fastpath(categories, ordered))  # noqa: SLF001 - both are checked


def _are_distinct(texts: pa.Array) -> bool:
    """Return whether these are different texts, none of them missing, as pandas would find with a table of hashes."""
    if texts.type != _TEXT or texts.null_count:
        return False
    # Arrow's own way takes forty microseconds before it begins.
    return len(set(texts.to_pylist()) if len(texts) < _FEW_LABELS else texts.unique()) == len(texts)


_ENCODERS: dict[type, Callable[[Any, PackCells], tuple[Any, Any]]] = {
    **ENCODERS,
    pd.CategoricalDtype: _encode_category,
    pd.IntervalDtype: _encode_interval,
    pd.SparseDtype: _encode_sparse,
    pd.StringDtype: _encode_string,
    type(pd.arrays.NumpyExtensionArray(np.empty(0)).dtype): _encode_boxed,
}
_DECODERS: dict[str | None, Callable[..., Any]] = {
    **DECODERS,
    None: _decode_implied,
    "array": lambda column, memory, kind: pd.arrays.NumpyExtensionArray(decode_array(kind, column, memory)),
    "category": _decode_category,
    "cells": lambda column, memory, tags: decode_cells(one_chunk(column), tags, memory.unpack_cells),
    "interval": _decode_interval,
    "numpy": decode_with_dtype,
    "object": lambda column, _memory, missing="None": decode_objects(one_chunk(column), missing),
    "sparse": _decode_sparse,
    "string": _decode_string,
}

"""Encode DataFrame and Series as Arrow tables, and pandas arrays that stand alone.

The table has the data columns under their labels, then the columns of the index.  What Arrow cannot say (labels that
are no text, kinds, freq, attrs, flags) is in the meta; that of a plain frame is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.blocks import decode_columns, encode_columns
from airflow_xcom.codecs.builtin.pandas.columns import (
    ARRAY_STATE,
    INDEX_STATE,
    decode_array,
    decode_labels,
    encode_array,
)
from airflow_xcom.codecs.builtin.pandas.index import decode_index, encode_index, width
from airflow_xcom.codecs.builtin.pandas.labels import (
    decode_names,
    encode_names,
    index_names,
    label_spec,
    names_with_blocks,
    text_of,
)
from airflow_xcom.codecs.builtin.pandas.number_columns import NOWHERE, TableMemory
from airflow_xcom.codecs.builtin.pandas.summary import summarize_array, summarize_frame, summarize_series
from airflow_xcom.codecs.builtin.pandas.wide_blocks import places
from airflow_xcom.codecs.builtin.summaries import unique
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import EncodeError, LibraryVersionError
from airflow_xcom.codecs.nodes import PackCells, Table, as_list, with_cells
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.quoting import quoted

FRAME_VERSION = 3  # 2 has wide blocks, 3 their labels as one text


# -- DataFrame -----------------------------------------------------------------------------------------------


def encode_frame(frame: Any, pack: PackCells) -> Table:
    """Return the table of a frame and what Arrow cannot say of it."""
    wide, encoded, alone = encode_columns(frame, pack)
    if wide:
        types = [array.type.value_type for _, array in encoded[: len(wide)]]
        columns = label_spec(frame.columns, pack)
        names = names_with_blocks(types, frame.columns[alone] if alone else ())
    else:
        columns, names = encode_names(frame.columns, pack)
    kinds = {str(position): kind for position, (kind, _) in enumerate(encoded) if kind is not None}
    arrays = [array for _, array in encoded]
    index = _encode_rows(frame, names, arrays, pack)
    meta = {"index": index, "kinds": kinds or None, "blocks": wide or None, "columns": columns or None}
    return _table(arrays, names, {**_extras(frame), **meta})


def decode_frame(node: Table, _version: int) -> Any:
    """Return the frame that :func:`encode_frame` was given; only versions 2 and 3 have blocks."""
    table, meta, memory = node.table, node.meta, TableMemory(node.memory, node.unpack_cells)
    spec = meta.get("index")
    count = table.num_columns - (0 if spec is None else width(spec))
    index = _decode_rows(spec, table, count, memory)
    placed, labels = _decode_places(meta, table, count)
    frame = decode_columns(table.columns[:count], placed, meta.get("kinds", {}), memory, (index, labels))
    return _with_extras(frame, meta)


def _decode_places(meta: dict[str, Any], table: pa.Table, count: int) -> tuple[Sequence[Any], Any]:
    """Return which columns of the frame each of the first ``count`` Arrow columns holds, and the labels of all."""
    if "blocks" not in meta:
        return range(count), decode_names(meta.get("columns", {}), table.schema.names[:count])
    blocks = as_list(meta["blocks"])
    placed = places(blocks, table.schema, table.num_rows, count - len(blocks))
    labels = decode_labels(meta["columns"], None, NOWHERE)
    held = sum(1 if type(position) is int else len(position) for position in placed)
    if len(labels) != held:
        raise ValueError(f"{len(labels)} labels for {held} columns")
    return placed, labels


# -- Series --------------------------------------------------------------------------------------------------


def encode_series(series: Any, pack: PackCells) -> Table:
    """Return the table of a series and what Arrow cannot say of it."""
    names = ["values" if series.name is None else text_of(series.name)]
    values = series.array
    try:
        values = values.to_numpy() if type(values) is pd.arrays.NumpyExtensionArray else values
        kind, array = encode_array(values, pack)
    except EncodeError as error:
        if series.name is not None:
            from airflow_xcom.codecs.error_location import short_repr

            error.within(f"column {short_repr(series.name)}")
        raise
    arrays = [array]
    index = _encode_rows(series, names, arrays, pack)
    return _table(arrays, names, {"kind": kind, "name": series.name, **_extras(series), "index": index})


def decode_series(node: Table, _version: int) -> Any:
    """Return the series that :func:`encode_series` was given."""
    table, meta, memory = node.table, node.meta, TableMemory(node.memory, node.unpack_cells)
    index = _decode_rows(meta.get("index"), table, 1, memory)
    values = decode_array(meta.get("kind"), table.column(0), memory)
    series = pd.Series(values, index=index, dtype=values.dtype, name=meta.get("name"), copy=False)
    return _with_extras(series, meta)


# -- what both have ------------------------------------------------------------------------------------------


def _table(arrays: list[Any], names: list[str], meta: dict[str, Any]) -> Table:
    return Table(
        pa.Table.from_arrays(arrays, names=names), {key: item for key, item in meta.items() if item is not None}
    )


def _encode_rows(data: Any, names: list[str], arrays: list[Any], pack: PackCells) -> dict[str, Any] | None:
    """Return what rebuilds the index, None for the default index of columns; append its columns to ``arrays``."""
    index = data.index
    refuse_other_attributes(index, INDEX_STATE)
    if arrays and type(index) is pd.RangeIndex and (index.start, index.step, index.name) == (0, 1, None):
        return None
    try:
        spec, columns = encode_index(index, pack)
    except EncodeError as error:
        error.within("index", ".index")
        raise
    names.extend(unique(index_names(index), set(names))[: len(columns)])
    arrays.extend(columns)
    return spec


def _decode_rows(spec: dict[str, Any] | None, table: pa.Table, first: int, memory: TableMemory) -> Any:
    if spec is None:
        make: Any = pd.RangeIndex
        return make._simple_new(range(table.num_rows), name=None)  # noqa: SLF001 - which checks nothing
    index = decode_index(spec, table.columns[first:], memory)
    if table.num_columns and len(index) != table.num_rows:
        raise ValueError(f"{len(index)} labels for {table.num_rows} rows")
    return index


def _extras(data: Any) -> dict[str, Any]:
    duplicates = data.flags.allows_duplicate_labels
    return {"attrs": data.attrs or None, "flags": None if duplicates else {"allows_duplicate_labels": False}}


def _with_extras(data: Any, meta: dict[str, Any]) -> Any:
    if "attrs" in meta:
        data.attrs = meta["attrs"]
    if "flags" in meta:
        data.flags.allows_duplicate_labels = bool(meta["flags"]["allows_duplicate_labels"])
    return data


# -- arrays --------------------------------------------------------------------------------------------------


def encode_values(values: Any, pack: PackCells) -> Table:
    """Return the table of a pandas array."""
    kind, array = encode_array(values, pack)
    freq = getattr(values, "_freq", None)  # before pandas 3.1; since then only an index has one
    return _table([array], ["values"], {"freq": freq, "kind": kind})


def decode_values(node: Table, _version: int) -> Any:
    """Return the pandas array that :func:`encode_values` was given."""
    values = decode_array(node.meta.get("kind"), node.table.column(0), TableMemory(node.memory, node.unpack_cells))
    if isinstance(values, np.ndarray):
        values = pd.array(values, dtype=values.dtype, copy=False)
    freq = node.meta.get("freq")
    if hasattr(values, "_freq"):
        values._freq = freq  # noqa: SLF001
    elif freq is not None:
        what = f"an array with the freq {quoted(freq)} outside of an index (push pandas.Index(array), which keeps it)"
        raise LibraryVersionError(what, "pandas", pd.__version__, "older than 3.1")
    return values


_ARRAYS = (
    *(getattr(pd.arrays, name) for name in dir(pd.arrays) if name.endswith("Array")),
    pd.Categorical,
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
    "pandas.core.arrays.string_.StringArrayNumpySemantics",
)


def _codec(name: str, types: tuple[Any, ...], encode: Any, decode: Any, **options: Any) -> Codec[Any]:
    return Codec(f"pandas.{name}", types, with_cells(encode), decode, attributes=ARRAY_STATE, **options)


CODECS = (
    _codec("DataFrame", (pd.DataFrame,), encode_frame, decode_frame, version=FRAME_VERSION, summarize=summarize_frame),
    _codec("Series", (pd.Series,), encode_series, decode_series, summarize=summarize_series),
    _codec("array", _ARRAYS, encode_values, decode_values, summarize=summarize_array),
)

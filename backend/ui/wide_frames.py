"""Frames whose columns of one dtype lie together in one Arrow column, shown column by column.

Their labels are read without the codecs of what the labels are, since a payload may name any.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgpack
import pandas as pd
import pyarrow as pa

from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.backend.ui.payload_tree import LARGEST, inner, read_json
from airflow_xcom.backend.ui.table_view import TableView, cells, length
from airflow_xcom.codecs import CorruptPayloadError, SelectionError, Table
from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.formats.arrow.file import read_stream
from airflow_xcom.codecs.nodes import as_text
from airflow_xcom.codecs.payload_nodes import Memory
from airflow_xcom.codecs.tables.single_columns import SingleColumns

_PACKED = {pa.binary(), pa.large_binary()}
_COLUMNS = 1_000_000  # of a frame
_LABEL = 1 << 64
_ROWS = 1 << 60


def table_view(source: Any, tag: str, meta: Any, dtypes: dict[str, str], compression: str = "none") -> TableView:
    """Return the view of a table, of which ``source`` gives ``schema``, ``count`` and, by ``table``, parts."""
    count, row_bytes = source.count if len(source.schema) else _height(meta), 0
    meta = meta if isinstance(meta, dict) else {}
    if "blocks" in meta:
        row_bytes = _widest_row(source.schema)
        source = single_columns(source, meta)
        meta = source.meta
    return TableView(tag, meta, source.schema, count, source.table, dtypes, compression, row_bytes)


def nested_table(tag: str, memory: Memory, meta: Any, dtypes: dict[str, str]) -> TableView:
    """Return a table that is a part of a value, which is read as a whole."""
    table = _read_table(memory, "a table within a value")

    def part(columns: Sequence[int], rows: range) -> Any:
        return table.select(list(columns)).slice(rows.start, len(rows))

    return table_view(SimpleNamespace(schema=table.schema, count=table.num_rows, table=part), tag, meta, dtypes)


def _read_table(memory: Memory, what: str) -> Any:
    if len(memory) > LARGEST:
        raise SelectionTooLargeError(what, len(memory), LARGEST)
    return read_stream(memoryview(bytearray(memory.read(0, len(memory)))), None).table


def _widest_row(schema: pa.Schema) -> int:
    """Return the bytes of a row of the widest block."""
    lists = [each.type for each in schema if pa.types.is_fixed_size_list(each.type)]
    blocks = [each for each in lists if pa.types.is_primitive(each.value_type)]
    return max((each.list_size * each.value_type.bit_width // 8 for each in blocks), default=0)


def _height(meta: Any) -> int:
    """Return the rows of a table without columns; raise CorruptPayloadError if no table has so many."""
    rows = 0
    match meta:
        case {"height": int(told)} | {"rows": int(told)}:
            rows = told
        case {"index": {"range": [int(start), int(stop), int(step)]}} if step:
            rows = length(start, stop, step)
    if not 0 <= rows <= _ROWS:
        raise CorruptPayloadError("a table without columns has no such number of rows")
    return rows


def single_columns(source: Any, meta: dict[str, Any]) -> SingleColumns:
    """Return the columns of such a frame one by one.

    Raises:
        DecodeError: The payload does not say which columns these are.
        SelectionError: There are too many.
    """
    with any_error_as_corrupt():
        blocks = [each.type for each in list(source.schema)[: len(meta["blocks"])]]
        count = sum(each.list_size for each in blocks if pa.types.is_fixed_size_list(each))
        if count > _COLUMNS:  # which take no bytes where there are no rows
            raise SelectionError(f"the frame has {count:,} columns, and the Data tab shows up to {_COLUMNS:,}")
        labels = pd.Index(_labels(meta["columns"], count + len(source.schema)), dtype=object)
        return SingleColumns(source, {**meta, "columns": {"labels": labels}})


def _labels(spec: Any, most: int) -> list[str]:
    """Return the labels of the columns, of which there are no more than ``most``, as text."""
    if "range" in spec:
        start, stop, step = spec["range"]
        if length(start, stop, step) > most or max(abs(start), abs(stop)) >= _LABEL:
            raise CorruptPayloadError("the labels of a frame are more than its columns, or no numbers of 64 bits")
        return [str(number) for number in range(start, stop, step)]
    if "texts" in spec:
        text: str = as_text(spec["texts"])
        if text.count("\n") >= most:
            raise CorruptPayloadError("the labels of a frame are more than its columns")
        return text.split("\n")
    table = inner(read_json(spec["labels"]) if type(spec["labels"]) is dict else spec["labels"])
    if isinstance(table, dict):  # an index without columns of its own
        return _labels(table, most)
    if not isinstance(table, Table):
        raise CorruptPayloadError("the labels of a frame are no index")
    texts = [_texts(column) for column in _read_table(table.table, "the labels of this frame").columns]
    return texts[0] if len(texts) == 1 else [str(label) for label in zip(*texts, strict=True)]


def _texts(column: Any) -> list[str]:
    """Return labels as text; of objects, which are packed, the texts in them, for Airflow may mask such names."""
    if column.type in _PACKED:
        return [str(_unpacked(cell)) for cell in column.to_pylist()]
    return ["null" if text is None else text for text in cells(column, LARGEST)]


def _unpacked(cell: bytes) -> Any:
    return msgpack.unpackb(cell, strict_map_key=False, ext_hook=lambda _, data: _unpacked(data))

"""Every pandas Index: the labels of frames, and values in their own right.

A RangeIndex is three numbers, an Index of one level an Arrow column, and each level of a MultiIndex a dictionary
column whose codes and levels (unused ones included) come back as they were, and in which other tools see the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.columns import (
    INDEX_STATE,
    decode_dictionary,
    decode_labels,
    encode_dictionary,
    encode_labels,
)
from airflow_xcom.codecs.builtin.pandas.number_columns import TableMemory
from airflow_xcom.codecs.builtin.pandas.summary import summarize_array
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.nodes import PackCells, Table, as_dict, with_cells
from airflow_xcom.codecs.object_state import refuse_other_attributes


def encode_index(index: Any, pack: PackCells) -> tuple[dict[str, Any], list[Any]]:
    """Return what rebuilds an Index from its Arrow columns, and those columns."""
    if isinstance(index, pd.MultiIndex):
        return _encode_levels(index, pack)
    spec, column = encode_labels(index, pack)
    return spec, [] if column is None else [column]


def _encode_levels(index: Any, pack: PackCells) -> tuple[dict[str, Any], list[Any]]:
    refuse_other_attributes(index, INDEX_STATE)
    pairs = zip(index.codes, index.levels, strict=True)
    specs, columns = zip(*(encode_dictionary(codes, level, pack) for codes, level in pairs), strict=True)
    order = {} if index.sortorder is None else {"sortorder": index.sortorder}
    return {"levels": list(specs), **order}, list(columns)


def width(spec: dict[str, Any]) -> int:
    """Return how many columns the Index has in its table."""
    if "levels" in as_dict(spec):
        return len(spec["levels"])
    return 0 if "range" in spec else 1


def decode_index(spec: dict[str, Any], columns: Sequence[Any], memory: TableMemory) -> Any:
    """Return the Index that :func:`encode_index` was given."""
    if "levels" not in as_dict(spec):
        return decode_labels(spec, columns[0] if columns else None, memory)
    pairs = zip(spec["levels"], columns, strict=True)
    codes, levels = zip(*(decode_dictionary(level, column, memory) for level, column in pairs), strict=True)
    names = [level.name for level in levels]
    index = pd.MultiIndex(levels=levels, codes=codes, names=names, sortorder=spec.get("sortorder"))
    if any(level.hasnans for level in levels):  # as value_counts(dropna=False) makes them; the checks replace the codes
        return index.set_codes(codes, verify_integrity=False)
    return index


def _encode(index: Any, pack: PackCells) -> dict[str, Any] | Table:
    spec, columns = encode_index(index, pack)
    return (
        Table(pa.table(columns, names=[f"level_{level}" for level in range(len(columns))]), spec) if columns else spec
    )


def _decode(node: dict[str, Any] | Table, _version: int) -> Any:
    if isinstance(node, Table):
        return decode_index(node.meta, node.table.columns, TableMemory(node.memory, node.unpack_cells))
    return decode_index(node, [], TableMemory(None))


_TYPES = (
    *(pd.Index, pd.RangeIndex, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.IntervalIndex),
    *(pd.CategoricalIndex, pd.MultiIndex),
)
CODECS = (
    Codec("pandas.Index", _TYPES, with_cells(_encode), _decode, summarize=summarize_array, attributes=INDEX_STATE),
)

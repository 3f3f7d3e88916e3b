"""The labels of a frame, and the names of the fields of its table that stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.columns import decode_labels, encode_labels
from airflow_xcom.codecs.builtin.pandas.number_columns import NOWHERE
from airflow_xcom.codecs.builtin.pandas.text_columns import joined_texts
from airflow_xcom.codecs.builtin.summaries import escaped, unique
from airflow_xcom.codecs.nodes import PackCells
from airflow_xcom.codecs.quoting import module_of

_LIBRARIES = frozenset(
    {"builtins", "datetime", "decimal", "fractions", "uuid", "numpy", "pandas", "pathlib", "pendulum"}
)


def encode_names(columns: Any, pack: PackCells) -> tuple[dict[str, Any], list[str]]:
    """Return what rebuilds the labels of columns, and the unique names of the fields.

    Labels that are unique texts stand in the fields alone.
    """
    spec: dict[str, Any] = {"labels": columns}
    if type(columns) is pd.RangeIndex:
        spec = encode_labels(columns, pack)[0]
    elif _may_be_texts(columns):
        text_spec, array = encode_labels(columns, pack)
        if array.type == pa.large_string() and not array.null_count and columns.is_unique:
            names = array.to_pylist()
            if not any("\0" in name for name in names):  # Arrow's C interface ends a name there
                return text_spec, names
    return spec, unique(map(text_of, columns), set())


def label_spec(columns: Any, pack: PackCells) -> dict[str, Any]:
    """Return what rebuilds the labels of a frame with wide blocks, of which the fields have no names."""
    if type(columns) is pd.RangeIndex:
        return encode_labels(columns, pack)[0]
    if _may_be_texts(columns):
        spec, array = encode_labels(columns, pack)
        if array.type == pa.large_string() and not array.null_count and (texts := joined_texts(array)) is not None:
            return {**spec, "texts": texts}
    return {"labels": columns}


def _may_be_texts(columns: Any) -> bool:
    """Return whether labels may be an Arrow array of texts; what else is in it would be packed twice."""
    if type(columns) is not pd.Index:
        return False
    if columns.dtype == object:
        return set(map(type, columns)) <= {str}
    return isinstance(columns.dtype, pd.StringDtype | pd.ArrowDtype)


def names_with_blocks(types: Iterable[Any], labels: Iterable[Any]) -> list[str]:
    """Return the unique names of the fields of wide blocks of these types, and of the columns behind them."""
    taken: set[str] = set()
    alone = unique(map(text_of, labels), taken)
    return [*unique(map(str, types), taken), *alone]


def decode_names(spec: dict[str, Any], names: list[str]) -> Any:
    """Return the labels of the columns."""
    return decode_labels(spec, pa.array(names, pa.large_string()), NOWHERE)


def index_names(index: Any) -> Iterator[str]:
    """Yield the names of an index, as far as it has any."""
    for position, name in enumerate(index.names):
        yield f"__index_level_{position}__" if name is None else text_of(name)


def text_of(label: Any) -> str:
    """Return a label as text that every Arrow library takes for a name, and every JSON column for a text."""
    return escaped(_shown(label))


def _shown(label: Any) -> str:
    """Return a label as text that is the same in every process, as the ``str`` of a set is not."""
    if isinstance(label, frozenset):
        return f"frozenset({{{', '.join(sorted(map(_shown, label)))}}})"
    if type(label) is tuple:
        return f"({', '.join(repr(item) if isinstance(item, str) else _shown(item) for item in label)})"
    try:
        return str(label) if module_of(type(label)).partition(".")[0] in _LIBRARIES else type(label).__name__
    except (ValueError, NotImplementedError):  # times without a unit, and those of far years
        return type(label).__name__

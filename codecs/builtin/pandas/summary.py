"""What people see of pandas data in a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from airflow_xcom.codecs.builtin.summaries import DTYPES, ROWS, summarize_columns

_TEXTS_ARE_EQUAL = frozenset(map(np.dtype, ("?", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")))  # as Python's


def summarize_frame(frame: Any) -> dict[str, Any]:
    """Return the shape, the dtypes of the first columns and the first rows."""
    manager = frame._mgr  # noqa: SLF001 - iloc takes a millisecond
    numbers = manager.blknos[:DTYPES].tolist()
    dtypes = {number: _text(manager.blocks[number].dtype) for number in set(numbers)}
    columns = (
        (label, dtypes[number], _cells_of(frame, position))
        for position, (label, number) in enumerate(zip(_labels(frame.columns), numbers, strict=False))
    )
    return summarize_columns(list(frame.shape), columns)


def _labels(columns: Any) -> Any:
    """Return the first labels, or what yields them: for texts, pandas makes a scalar of Arrow of each."""
    if isinstance(columns, pd.MultiIndex):
        return columns[:DTYPES]
    if isinstance(columns.dtype, pd.StringDtype) and columns.dtype.storage == "pyarrow":
        texts = columns.array.__arrow_array__().slice(0, DTYPES).to_pylist()
        return columns if None in texts else texts
    return columns


def summarize_series(series: Any) -> dict[str, Any]:
    """Return the length, the dtype and the first values."""
    return summarize_columns([len(series)], [(series.name, series.dtype, _cells(series.array))])


def summarize_array(values: Any) -> dict[str, Any]:
    """Return the length and the dtype of an array or Index."""
    return {"shape": [len(values)], "dtypes": {"values": str(getattr(values, "dtype", "object"))}}


def _text(dtype: Any) -> Any:
    """Return a dtype of NumPy as text, which takes NumPy microseconds; another as it is."""
    return _text_of_numpy(dtype) if isinstance(dtype, np.dtype) else dtype


_text_of_numpy = lru_cache(maxsize=256)(str)


def _cells_of(frame: Any, position: int) -> Iterator[Any]:
    """Yield the first cells of a column, which is taken from its frame when somebody asks for them."""
    yield from _cells(frame._get_column_array(position))  # noqa: SLF001 - see above


def _cells(values: Any) -> Iterator[Any]:
    head = values[:ROWS]
    try:
        yield from _items(head)
    except Exception:  # noqa: BLE001 - pandas fails at times that it can hold and not convert, in zones of dateutil 4
        yield from ["…"] * len(head)


def _items(head: Any) -> list[Any]:
    if type(head) is np.ndarray and head.dtype in _TEXTS_ARE_EQUAL:
        cells: list[Any] = head.tolist()
        return cells
    if type(head) is pd.Categorical:  # which would look all categories up
        return [np.nan if code < 0 else head.categories[code] for code in head.codes.tolist()]
    return list(head)

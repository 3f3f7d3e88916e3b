"""What people see of pandas data in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.builtin.summaries import DTYPES, ROWS, summarize_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["summarize_array", "summarize_frame", "summarize_series"]


def summarize_frame(frame: Any) -> dict[str, Any]:
    """Return the shape, the dtypes of the first columns and the first rows."""
    arrays = frame._iter_column_arrays()  # noqa: SLF001 - iloc takes a millisecond
    columns = (
        (label, array.dtype, _cells(array)) for label, array in zip(frame.columns[:DTYPES], arrays, strict=False)
    )
    return summarize_columns(list(frame.shape), columns)


def summarize_series(series: Any) -> dict[str, Any]:
    """Return the length, the dtype and the first values."""
    return summarize_columns([len(series)], [(series.name, series.dtype, _cells(series.array))])


def summarize_array(values: Any) -> dict[str, Any]:
    """Return the length and the dtype of an array or Index."""
    return {"shape": [len(values)], "dtypes": {"values": str(getattr(values, "dtype", "object"))}}


def _cells(values: Any) -> Iterator[Any]:
    head = values[:ROWS]
    try:
        yield from list(head)
    except Exception:  # noqa: BLE001 - pandas fails at times that it can hold and not convert, in zones of dateutil 4
        yield from ["…"] * len(head)

"""A column of a table as a line: over the times or numbers of its index if these rise, else over its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from airflow_xcom.backend.errors import HiddenValueError
from airflow_xcom.backend.ui.array_view import bins
from airflow_xcom.backend.ui.plain_columns import floats, is_number, plain
from airflow_xcom.backend.ui.table_view import TableView, cells
from airflow_xcom.codecs import SelectionError

_POINTS = 1 << 18  # rows of a line
_SERIES = {"pandas.Series", "pandas.Index", "pandas.array", "polars.Series", "pyarrow.Array", "pyarrow.ChunkedArray"}


def is_drawn(table: TableView, column: int) -> bool:
    """Return whether a column has numbers or times that may be shown."""
    return is_number(table.schema.field(column).type) and not table.masked[column]


def is_series(table: TableView) -> bool:
    """Return whether a table is one column that is best looked at as a line."""
    return table.tag in _SERIES and len(table.schema) > table.index and is_drawn(table, 0)


def line_of_column(table: TableView, column: int, first: int) -> dict[str, Any]:
    """Return the least and the greatest value in each of some parts of a column, from a row on.

    Returns:
        What :func:`bins` does; ``first`` and ``count`` of the rows; ``over``, the first and the last label of the index
        if the line is drawn over it.

    Raises:
        HiddenValueError: Airflow masks the column.
        SelectionError: It has no numbers.
    """
    if column >= len(table.schema) or not is_drawn(table, column):
        if column < len(table.schema) and table.masked[column]:
            raise HiddenValueError("", "Airflow masks what has the name of this column")
        raise SelectionError("the table has no such column of numbers or times")
    rows = range(table.rows)[first : first + min(_POINTS, table.step(_POINTS))]
    label = len(table.schema) - 1
    has_labels = table.index == 1 and label != column and is_drawn(table, label)
    found = table.take([column, label] if has_labels else [column], rows)
    values = floats(plain(found.column(0)))
    facts: dict[str, Any] = {"first": rows.start, "count": len(rows)}
    places = np.arange(len(values), dtype="f8")
    if has_labels and len(values) > 1:
        labels = floats(plain(found.column(1)))
        if np.isfinite(labels).all() and (np.diff(labels) >= 0).all() and labels[-1] > labels[0]:
            places = labels
            ends = found.column(1).take(pa.array([0, len(values) - 1]))
            facts["over"] = cells(ends)
    return {**facts, **bins(places, values)}

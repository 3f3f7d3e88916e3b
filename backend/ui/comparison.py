"""How two tables differ: columns, rows, statistics, and the first rows that are not the same."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from pyarrow import types

from airflow_xcom.backend.ui.column_statistics import column_statistics
from airflow_xcom.backend.ui.table_view import batches, cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_xcom.backend.ui.stored_values import StoredValue
    from airflow_xcom.backend.ui.table_view import TableView

__all__ = ["comparison"]

_COLUMNS = 200  # that are compared
_ROWS = 1 << 15  # of a part
_SHOWN = 5  # rows of each column
_SECONDS = 60
_FACTS = ("nulls", "nans", "distinct", "min", "max", "mean", "complete")


def comparison(one: StoredValue, other: StoredValue) -> Iterator[dict[str, Any]]:
    """Yield what two tables are, the statistics of each column that both have, and which rows differ.

    Yields:
        First ``rows`` of both and ``columns``, a list of ``name`` and the two ``types`` (None where there is none) in
        the order of the first table, and how many are ``left_out``.  Then of each column ``column`` and ``statistics``;
        ``over`` names the first column for which there was no time.  Between them, ``reading`` and ``done`` say how far
        it is.  Last ``differing``: how many rows were ``compared`` by their position, and whether these are all; by
        column, in how many of them the cells are not the same; and the ``first`` of these with the cells of both.

    Raises:
        SelectionError: One of the values is not a table.
        HiddenValueError: One of them may not be shown.
    """
    for value in (one, other):
        value.refuse_hidden()
    started = time.monotonic()
    tables = one.table(), other.table()
    columns = [_named(table) for table in tables]
    names = list(dict.fromkeys([*tables[0].names, *tables[1].names]))
    shown = names[:_COLUMNS]
    named = {name: [_type(table, known, name) for table, known in zip(tables, columns, strict=True)] for name in shown}
    yield {
        "rows": [table.rows for table in tables],
        "columns": [{"name": name, "types": pair} for name, pair in named.items()],
        "left_out": len(names) - len(shown),
    }
    both = {name: (columns[0][name], columns[1][name]) for name in shown if name in columns[0] and name in columns[1]}
    both = {name: (a, b) for name, (a, b) in both.items() if not tables[0].masked[a] and not tables[1].masked[b]}
    for name, positions in both.items():
        if time.monotonic() - started > _SECONDS:
            yield {"over": name}
            break
        found: list[dict[str, Any]] = []
        for value, position in zip((one, other), positions, strict=True):
            latest: dict[str, Any] = {}
            for facts in _statistics(value, position):
                latest = facts
                yield {"reading": name}
            found.append({fact: latest[fact] for fact in _FACTS if fact in latest})
        yield {"column": name, "statistics": found}
    yield from _differences(one, other, both)


def _named(table: TableView) -> dict[str, int]:
    """Return the position of each column by its name; of several with one name, that of the first."""
    return {name: position for position, name in reversed(list(enumerate(table.names)))}


def _type(table: TableView, known: dict[str, int], name: str) -> str | None:
    return table.columns([known[name]])[0]["type"] if name in known else None


def _statistics(value: StoredValue, position: int) -> Iterator[dict[str, Any]]:
    return column_statistics(lambda: value.again().table(), position)


def _differences(one: StoredValue, other: StoredValue, both: dict[str, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield the progress of comparing rows by their position, and at last what differs."""
    started = time.monotonic()
    tables = one.table(), other.table()
    rows = min(table.rows for table in tables)
    is_compressed = any(table.compression != "none" for table in tables)
    counts: dict[str, int] = {}
    first: dict[int, dict[str, list[str | None]]] = {}
    done = 0
    for part in batches(rows, rows or 1 if is_compressed else min(table.step(_ROWS) for table in tables)):
        taken = [value.again().table() for value in (one, other)]
        for name, positions in both.items():
            pair = [table.take([at], part).column(0) for table, at in zip(taken, positions, strict=True)]
            for row, texts in _unequal(*pair):
                counts[name] = counts.get(name, 0) + 1
                if counts[name] <= _SHOWN:
                    first.setdefault(part.start + row, {})[name] = texts
        done = part.stop
        yield {"done": done, "of": rows}
        if time.monotonic() - started > _SECONDS:
            break
    found = [{"row": row, "cells": texts} for row, texts in sorted(first.items())]
    yield {"differing": {"compared": done, "complete": done == rows, "counts": counts, "first": found}}


def _unequal(one: Any, other: Any) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the positions where two columns differ, and both texts; NaN is the same as NaN."""
    if one.type == other.type and one.equals(other):
        return
    for row, (before, after) in enumerate(zip(_exact(one), _exact(other), strict=True)):
        if before != after:
            yield row, cells(one.slice(row, 1)) + cells(other.slice(row, 1))


def _exact(column: Any) -> list[Any]:
    """Return what tells values apart: all of their text, or their bytes."""
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return column.to_pylist() if any(check(column.type) for check in binary) else cells(column, sys.maxsize)

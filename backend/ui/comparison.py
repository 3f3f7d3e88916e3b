"""How two tables differ: columns, rows, statistics, and the first rows that are not the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_xcom.backend.ui.column_statistics import ColumnFacts
from airflow_xcom.backend.ui.plain_columns import pieces, plain
from airflow_xcom.backend.ui.stored_values import StoredValue
from airflow_xcom.backend.ui.table_view import TableView, batches, cells, identities

_COLUMNS = 200  # that are compared
_ROWS = 1 << 15  # of a part
_AT_ONCE = 16 << 20  # bytes of a part
_CELL = 32  # bytes that a cell of no fixed width is taken to have
_SHOWN = 5  # rows of each column
_SECONDS = 60
_UNITS = ("s", "ms", "us", "ns")
_FACTS = ("nulls", "nans", "distinct", "min", "max", "mean")
_BITS: dict[Any, Any] = {pa.float16(): pa.int16(), pa.float32(): pa.int32(), pa.float64(): pa.int64()}


def comparison(one: StoredValue, other: StoredValue) -> Iterator[dict[str, Any]]:
    """Yield what two tables are, the progress, the statistics of each column that both have, and which rows differ.

    Both are read once, some rows of all compared columns at a time; compressed ones column by column.

    Yields:
        First ``rows`` of both and ``columns``, a list of ``name`` and the two ``types`` (None where there is none) in
        the order of the first table, how many are ``left_out``, and how many have a name that is ``repeated``, of which
        only the first is compared.  Then ``done``, and ``of`` how much there is to do.
        Then of each column ``column`` and ``statistics``, which are ``complete`` if they are of all rows.  Last
        ``differing``: the ``rows`` that both have, which are compared by their position; by column, in how many of
        them the cells are not the same (``counts``); how many were compared of each column that lacks some
        (``partial``); and the ``first`` that differ with the cells of both.

    Raises:
        SelectionError: One of the values is not a table.
        HiddenValueError: One of them may not be shown.
    """
    for value in (one, other):
        value.refuse_hidden()
    tables = one.table(), other.table()
    columns = [_named(table) for table in tables]
    names = list(dict.fromkeys([*tables[0].names, *tables[1].names]))
    shown = names[:_COLUMNS]
    named = {name: [_type(table, known, name) for table, known in zip(tables, columns, strict=True)] for name in shown}
    yield {
        "rows": [table.rows for table in tables],
        "columns": [{"name": name, "types": pair} for name, pair in named.items()],
        "left_out": len(names) - len(shown),
        "repeated": sum(len(table.names) - len(set(table.names)) for table in tables),
    }
    both = {name: (columns[0][name], columns[1][name]) for name in shown if name in columns[0] and name in columns[1]}
    both = {name: (a, b) for name, (a, b) in both.items() if not tables[0].masked[a] and not tables[1].masked[b]}
    pairs = [_Pair(name, positions, tables) for name, positions in both.items()]
    yield from _read((one, other), tables, pairs)
    for pair in pairs:
        yield {"column": pair.name, "statistics": pair.statistics(tables)}
    yield {"differing": _differing(pairs, min(table.rows for table in tables))}


def _named(table: TableView) -> dict[str, int]:
    """Return the position of each column by its name; of several with one name, that of the first."""
    return {name: position for position, name in reversed(list(enumerate(table.names)))}


def _type(table: TableView, known: dict[str, int], name: str) -> str | None:
    return table.columns([known[name]])[0]["type"] if name in known else None


class _Pair:
    """A column of both tables, as far as it is read."""

    def __init__(self, name: str, positions: tuple[int, int], tables: tuple[TableView, TableView]) -> None:
        self.name = name
        self.positions = positions
        self.facts = [ColumnFacts(table.schema.field(at).type) for table, at in zip(tables, positions, strict=True)]
        self.compared = self.differing = 0
        self.first: dict[int, list[str | None]] = {}

    def add(self, start: int, columns: Sequence[Any]) -> None:
        """Add what both have from a row on; where one has fewer rows, these are compared."""
        for facts, column in zip(self.facts, columns, strict=True):
            facts.add(column)
        rows = min(map(len, columns))
        one, other = (column.slice(0, rows) for column in columns)
        found = _unequal(one, other)
        self.compared += rows
        self.differing += len(found)
        for row in found[: _SHOWN - len(self.first)].tolist():
            self.first[start + row] = cells(one.slice(row, 1)) + cells(other.slice(row, 1))

    def statistics(self, tables: tuple[TableView, TableView]) -> list[dict[str, Any]]:
        pairs = zip(self.facts, tables, strict=True)
        return [
            {
                **{name: fact for name, fact in facts.found().items() if name in _FACTS},
                "complete": facts.rows == table.rows,
            }
            for facts, table in pairs
        ]


def _read(
    values: tuple[StoredValue, StoredValue], tables: tuple[TableView, TableView], pairs: list[_Pair]
) -> Iterator[dict[str, Any]]:
    """Read both tables, and yield the progress; stop when the time is over."""
    until = time.monotonic() + _SECONDS
    rows = max(table.rows for table in tables)
    is_compressed = any(table.compression != "none" for table in tables)
    groups = [[pair] for pair in pairs] if is_compressed else [pairs] if pairs else []
    for number, group in enumerate(groups):
        for part in batches(rows, max(rows, 1) if is_compressed else _step(tables, group)):
            taken = [_taken(value, side, part, group) for side, value in enumerate(values)]
            for at, pair in enumerate(group):
                start = part.start
                for columns in pieces(*(columns[at] for columns in taken)):
                    pair.add(start, columns)
                    start += max(map(len, columns))
                    if start < part.stop and time.monotonic() > until:
                        return
            yield {"done": number * rows + part.stop, "of": len(groups) * rows}
            if time.monotonic() > until:
                return


def _step(tables: tuple[TableView, TableView], pairs: list[_Pair]) -> int:
    widths = [_width(facts.type) for pair in pairs for facts in pair.facts]
    return min(table.step(max(1, min(_ROWS, _AT_ONCE // sum(widths)))) for table in tables)


def _width(data_type: Any) -> int:
    try:
        return max(1, int(data_type.bit_width) // 8)
    except ValueError:
        return _CELL


def _taken(value: StoredValue, side: int, part: range, pairs: list[_Pair]) -> list[Any]:
    """Return the columns of a part of a table, which is opened anew to let go of the memory of those before."""
    table = value.again().table()
    rows = range(table.rows)[part.start : part.stop]
    found = table.take([pair.positions[side] for pair in pairs], rows)
    return [found.column(at) for at in range(len(pairs))]


def _differing(pairs: list[_Pair], rows: int) -> dict[str, Any]:
    first: dict[int, dict[str, list[str | None]]] = {}
    for pair in pairs:
        for row, texts in pair.first.items():
            first.setdefault(row, {})[pair.name] = texts
    partial = {pair.name: pair.compared for pair in pairs if pair.compared < rows}
    counts = {pair.name: pair.differing for pair in pairs if pair.differing}
    shown = [{"row": row, "cells": texts} for row, texts in sorted(first.items())]
    return {"rows": rows, "partial": partial, "counts": counts, "first": shown}


def _unequal(one: Any, other: Any) -> Any:
    """Return the positions where two columns differ; NaN is the same as NaN, and 0 is not -0."""
    one, other = _alike(_whole(one), _whole(other))
    if one.type != other.type:
        one, other = _texts(one), _texts(other)
    is_nan = np.zeros(len(one), bool)
    bits = _BITS.get(one.type)
    if bits is not None:
        numbers = [column.cast(pa.float64()) for column in (one, other)]
        is_nan = np.logical_and(*(_truths(pc.is_nan(column)) for column in numbers))
        one, other = one.view(bits), other.view(bits)
    try:
        differ = pc.not_equal(one, other)
    except pa.ArrowNotImplementedError:  # lists, structs, views
        differ = pc.not_equal(_texts(one), _texts(other))
    are_null = [column.is_null().to_numpy(zero_copy_only=False) for column in (one, other)]
    return np.flatnonzero((_truths(differ) & ~is_nan) | (are_null[0] != are_null[1]))


def _whole(column: Any) -> Any:
    """Return one array."""
    column = plain(column)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two columns in a type that has the values of both, if there is one that is exact."""
    kind = _common(one.type, other.type)
    try:
        return (one, other) if kind is None else (one.cast(kind), other.cast(kind))
    except pa.ArrowException:  # a number or a time that the type has not
        return one, other


def _common(one: Any, other: Any) -> Any:
    if {types.is_integer(one), types.is_integer(other)} == {True, False} and any(map(types.is_floating, (one, other))):
        return pa.float64()
    are_times = all(map(types.is_timestamp, (one, other))) and one.tz == other.tz
    if are_times or all(map(types.is_duration, (one, other))):
        return max(one, other, key=lambda kind: _UNITS.index(kind.unit))
    return None


def _truths(column: Any) -> Any:
    return column.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - the value


def _texts(column: Any) -> Any:
    return identities(pa.chunked_array([column]))

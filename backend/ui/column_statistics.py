"""Statistics of a whole column, computed in parts, with the progress after each part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_xcom.backend.ui.plain_columns import floats, is_number, pieces, plain, plain_type
from airflow_xcom.backend.ui.table_view import TableView, batches, cells, identities

_ROWS = 1 << 18  # of a part
_SECONDS = 30  # after which what is missing is told
_KEPT = 16 << 20  # bytes of a small column, whose pieces are not read again
_DISTINCT = 10_000  # values that are told apart
_BINS = 24
_TOP = 10
_WHOLE = 1 << 53  # up to which floats are all whole numbers
_NARROW = 1e-300  # NumPy makes no bins of less


def column_statistics(opened: Callable[[], TableView], position: int) -> Iterator[dict[str, Any]]:
    """Yield the progress, and at last the statistics of a column; ``opened`` opens its table anew, to let go of memory.

    Yields:
        ``done`` and ``rows``; the last one has ``nulls``, ``distinct`` (None if there are more than are counted),
        ``min``, ``max``, ``mean``, ``top``, ``histogram``, and ``complete``, which is False where the time was over.
    """
    started = time.monotonic()
    table = opened()
    column = ColumnFacts(table.schema.field(position).type)
    kept: list[Any] | None = [] if column.is_number else None
    for values in _pieces(opened, position):
        column.add(values)
        kept = None if kept is None or sum(part.nbytes for part in [*kept, values]) > _KEPT else [*kept, values]
        yield {"done": column.rows, "rows": table.rows}
        if time.monotonic() - started > _SECONDS:
            break
    complete = column.rows == table.rows
    if complete and column.is_number and column.low is not None:
        done = 0
        for values in _pieces(opened, position) if kept is None else kept:
            column.count(values)
            done += len(values)
            yield {"done": done, "rows": table.rows, "again": True}
            if time.monotonic() - started > 2 * _SECONDS:
                column.counts = None
                break
    yield {"done": column.rows, "rows": table.rows, "complete": complete, **column.found()}


def _pieces(opened: Callable[[], TableView], position: int) -> Iterator[Any]:
    """Yield the values of a column, few enough at a time."""
    table = opened()
    for part in batches(table.rows, table.step(_ROWS)):
        for (values,) in pieces(opened().take([position], part).column(0)):
            yield values


class ColumnFacts:
    """What is known of a column so far."""

    def __init__(self, data_type: Any) -> None:
        self.rows = self.nulls = self.nans = 0
        self.told = data_type
        self.type = plain_type(data_type)
        self.low: Any = None  # Arrow scalars
        self.high: Any = None
        self.counts: Any = None
        self._sum, self._count = 0.0, 0
        self._values: dict[bytes, tuple[str | None, int]] | None = {}  # by a digest: what is shown is cut

    @property
    def is_number(self) -> bool:
        return is_number(self.type)

    def add(self, column: Any) -> None:
        column = plain(column)
        self.rows += len(column)
        self.nulls += column.null_count
        column = column.drop_null()
        if types.is_floating(self.type):
            is_nan = pc.is_nan(column.cast(pa.float64()))
            self.nans += pc.sum(is_nan).as_py() or 0
            column = column.filter(pc.invert(is_nan))
        if self._values is not None:
            self._add_values(column)
        if self.is_number and len(column):
            self._add_numbers(column)

    def _add_values(self, column: Any) -> None:
        assert self._values is not None  # noqa: S101 - for the type checker
        values, counts = _counted(column)
        if len(counts) > _DISTINCT:
            self._values = None
            return
        whole = identities(values).cast(pa.large_binary()).to_pylist()
        for text, value, many in zip(cells(values), whole, counts.tolist(), strict=True):
            key = blake2b(value, digest_size=16).digest()
            self._values[key] = (text, self._values.get(key, ("", 0))[1] + many)
        if len(self._values) > _DISTINCT:
            self._values = None

    def _add_numbers(self, column: Any) -> None:
        column = column.cast(pa.float64()) if types.is_float16(self.type) else column
        low, high = _ends(column)
        self.low = low if self.low is None or _before(low, self.low) else self.low
        self.high = high if self.high is None or _before(self.high, high) else self.high
        if not types.is_temporal(self.type):
            numbers = floats(column)
            with np.errstate(invalid="ignore"):  # the sum of two infinities is no number
                self._sum += float(numbers.sum())
            self._count += len(numbers)

    def count(self, column: Any) -> None:
        """Add values to the histogram."""
        numbers = floats(plain(column).drop_null())
        ends = [float(floats(pa.repeat(end, 1))[0]) for end in (self.low, self.high)]
        if not np.isfinite(ends).all() or not np.isfinite(ends[1] - ends[0]):
            return
        span = ends[1] - ends[0]
        if 0 < span < _NARROW:
            return
        found, _ = np.histogram(numbers[np.isfinite(numbers)] - ends[0], _BINS, (0, span))
        self.counts = found if self.counts is None else self.counts + found

    def found(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"nulls": self.nulls, "nans": self.nans, "type": str(self.told)}
        if self._values is not None:
            top = sorted(self._values.values(), key=lambda pair: -pair[1])[:_TOP]
            facts |= {"distinct": len(self._values), "top": [[value, count] for value, count in top]}
        else:
            facts |= {"distinct": None, "more_than": _DISTINCT}
        if self.low is not None:
            facts |= {"min": _text(self.low), "max": _text(self.high)}
        if self._count:
            facts["mean"] = ("" if self._is_sum_exact() else "about ") + repr(self._sum / self._count)
        return facts if self.counts is None else {**facts, "histogram": [int(count) for count in self.counts]}

    def _is_sum_exact(self) -> bool:
        """Return whether floats hold the sum as exactly as the numbers themselves: not that of large integers."""
        if not types.is_integer(self.type):
            return bool(types.is_floating(self.type))
        most: int = max(abs(self.low.as_py()), abs(self.high.as_py()))
        return most * self._count <= _WHOLE


def _counted(column: Any) -> tuple[Any, Any]:
    """Return the values that differ of a column without nulls, and how often there is each."""
    try:
        values, counts = pc.value_counts(column).flatten()
    except pa.ArrowException:  # lists and structs
        codes = identities(column).dictionary_encode().indices
        _, rows, counts = np.unique(codes.to_numpy(), return_index=True, return_counts=True)
        parts = [chunk for row in rows[: _DISTINCT + 1].tolist() for chunk in column.slice(row, 1).chunks]
        return pa.chunked_array(parts, column.type), counts
    return pa.chunked_array([values]), counts.to_numpy()


def _ends(column: Any) -> tuple[Any, Any]:
    """Return the least and the greatest value; of durations, for which Arrow has no function, by their ticks."""
    is_duration = types.is_duration(column.type)
    found = pc.min_max(column.cast(pa.int64()) if is_duration else column)
    low, high = found["min"], found["max"]
    return (low.cast(column.type), high.cast(column.type)) if is_duration else (low, high)


def _before(one: Any, other: Any) -> bool:
    return bool(pc.less(one, other).as_py())


def _text(scalar: Any) -> str | None:
    return cells(pa.chunked_array([pa.repeat(scalar, 1)]))[0]

"""Tables as the Data tab shows them: columns with the writer's types, and cells as exact text.  No codec is called."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import types

from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.ui.payload_tree import MASK
from airflow_xcom.backend.ui.plain_columns import check_expansion, exact, plain, plain_type
from airflow_xcom.codecs.builtin.pandas.number_columns import NUMBERS
from airflow_xcom.codecs.quoting import cut

Take = Callable[[Sequence[int], range], pa.Table]
CUT = 200  # characters of a cell
_DIGITS = 9  # of the position of a column
_AT_ONCE = 16 << 20  # bytes
_UNSHOWN = "…"  # the cell of a value that Python has not
_PANDAS = ("pandas.", "geopandas.")
_BYTES = ("geometry", "object", "arrow", "numpy")  # kinds of columns of bytes that are not packed objects
_BINARY = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)


@dataclass(frozen=True)
class TableView:
    """A table, of which no more is read than is shown.

    Attributes:
        tag: of the value.
        meta: what Arrow cannot say, in the JSON syntax or as nodes.
        schema: of its columns.
        rows: how many it has.
        take: reads columns, by their positions, and rows.
        dtypes: by the name of a column, what the writer called its type.
        compression: of its batches.
        row_bytes: that must be read for a cell, in a frame whose columns lie together; 0 in others.
    """

    tag: str
    meta: dict[str, Any]
    schema: pa.Schema
    rows: int
    take: Take
    dtypes: dict[str, str] = field(default_factory=dict)
    compression: str = "none"
    row_bytes: int = 0

    def step(self, most: int) -> int:
        """Return how many rows are read at a time, up to ``most``; all if compressed, as batches are read whole."""
        if self.compression != "none":
            return max(self.rows, 1)
        return max(1, min(most, _AT_ONCE // self.row_bytes)) if self.row_bytes else most

    @cached_property
    def names(self) -> list[str]:
        """Return the name of each column."""
        names = self.meta.get("names")
        fits = isinstance(names, list) and len(names) == len(self.schema) and all(type(name) is str for name in names)
        return names if fits and names else list(self.schema.names)

    @cached_property
    def index(self) -> int:
        """Return how many of the columns, the last ones, are the index of a frame."""
        spec = self._index
        if not self.tag.startswith(_PANDAS) or "range" in spec or not isinstance(self.meta.get("index"), dict):
            return 0
        levels = spec.get("levels")
        return min(len(levels) if isinstance(levels, list) else 1, len(self.schema))

    @property
    def _index(self) -> dict[str, Any]:
        spec = self.meta.get("index")
        return spec if isinstance(spec, dict) else {}

    @cached_property
    def numbers(self) -> range:
        """Return the labels of the rows where these are numbers."""
        match self._index:
            case {"range": [int(start), int(stop), int(step)]} if step and length(start, stop, step) == self.rows:
                return range(start, stop, step)
        return range(self.rows)

    @cached_property
    def masked(self) -> list[bool]:
        """Return of each column whether Airflow masks what has its name, or the name of a field in it."""
        return [
            hides_value_of(name) or _hides_part(each.type) for name, each in zip(self.names, self.schema, strict=True)
        ]

    @cached_property
    def covered(self) -> list[bool]:
        """Return of each column whether only its cells are masked: it has maps with keys of text, or packed objects."""
        return [_has_keys(each.type) or self._is_packed(position) for position, each in enumerate(self.schema)]

    def _is_packed(self, position: int) -> bool:
        kind = self._kind(position)
        name = kind[0] if isinstance(kind, list) and kind else kind
        return _is_binary(self.schema.field(position).type) and self.tag.startswith(_PANDAS) and name not in _BYTES

    @property
    def has_bytes(self) -> bool:
        """Return whether cells of a column are shown, and saved as CSV, as the number of their bytes."""
        return any(_is_binary(each.type) for each in self.schema)

    @property
    def geometries(self) -> list[int]:
        """Return the positions of the columns of geometries that are not masked."""
        kinds = self.meta.get("kinds")
        told = [position for position in kinds if type(position) is str] if isinstance(kinds, dict) else ["0"]
        found = {int(position) for position in told if position.isdecimal() and len(position) <= _DIGITS}
        places = [place for place in sorted(found) if place < len(self.schema) and self._is_geometry(place)]
        return [place for place in places if not self.masked[place]]

    def _is_geometry(self, position: int) -> bool:
        kind, data_type = self._kind(position), self.schema.field(position).type
        return isinstance(kind, list) and kind[:1] == ["geometry"] and types.is_large_binary(data_type)

    def columns(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is told of some columns."""
        return [
            {
                "position": position,
                "name": cut(self.names[position]),
                "type": self._type(position),
                "arrow": str(self.schema.field(position).type),
                "index": position >= len(self.schema) - self.index,
                "masked": self.masked[position],
            }
            for position in positions
        ]

    def cells(self, positions: Sequence[int], rows: range, most: int = CUT) -> list[list[str | None]]:
        """Return the cells of some columns, column by column; masked ones are not read."""
        wanted = [position for position in positions if not self.masked[position]]
        table = self.take(wanted, rows)
        found = iter(cells(column, most) for column in table.columns)
        return [[MASK] * len(rows) if self.masked[position] else next(found) for position in positions]

    def taken(self, rows: range) -> pa.Table:
        """Return all columns for a file, those that are masked, or whose cells are, as text."""
        open_columns = [position for position, masked in enumerate(self.masked) if not masked]
        table = self.take(open_columns, rows)
        for column in table.columns:
            check_expansion(column)
        mask = pa.chunked_array([pa.repeat(pa.scalar(MASK, pa.string()), len(rows))])
        found = iter(table.columns)
        arrays = [
            mask if masked else _texts(next(found)) if covered else next(found)
            for masked, covered in zip(self.masked, self.covered, strict=True)
        ]
        return pa.table(arrays, names=list(self.schema.names)) if arrays else pa.table({})

    def _type(self, position: int) -> str:
        name, arrow = self.names[position], self.schema.field(position).type
        if name in self.dtypes:
            return self.dtypes[name]
        if not self.tag.startswith(_PANDAS):
            return str(arrow)
        kind = self._kind(position)
        if kind is None and arrow in NUMBERS:
            return str(NUMBERS[arrow])
        return str(arrow) if kind is None else _kind_text(kind, arrow)

    def _kind(self, position: int) -> Any:
        kinds = self.meta.get("kinds")
        alone = self.meta.get("kind") if position == 0 else None  # of a series
        return kinds.get(str(position)) if isinstance(kinds, dict) else alone


def _kind_text(kind: Any, arrow: Any) -> str:
    name = kind[0] if isinstance(kind, list) and kind else kind
    if name == "numpy" and isinstance(kind, list) and len(kind) > 1:
        return str(kind[1])
    if name == "masked" and arrow in NUMBERS:
        text = str(NUMBERS[arrow])
        return text.replace("uint", "UInt").replace("int", "Int") if "int" in text else text.capitalize()
    return str(arrow) if name in ("tz", "arrow") else "object" if name == "cells" else str(name)[:CUT]


def _is_binary(data_type: Any) -> bool:
    data_type = plain_type(data_type)
    return any(check(data_type) for check in _BINARY)


def _hides_part(data_type: Any) -> bool:
    """Return whether a field within a nested type has a name that Airflow masks."""
    data_type = plain_type(data_type)
    fields = [data_type.field(position) for position in range(data_type.num_fields)]
    return any((types.is_struct(data_type) and hides_value_of(each.name)) or _hides_part(each.type) for each in fields)


def _has_keys(data_type: Any) -> bool:
    """Return whether there are maps within a type whose keys are text, which may be names that Airflow masks."""
    data_type = plain_type(data_type)
    if types.is_map(data_type):
        key = plain_type(data_type.key_type)
        return types.is_string(key) or types.is_large_string(key) or _has_keys(data_type.item_type)
    return any(_has_keys(data_type.field(position).type) for position in range(data_type.num_fields))


def _texts(column: Any) -> Any:
    return pa.chunked_array([pa.array(cells(column, sys.maxsize), pa.large_string())])


# -- cells ---------------------------------------------------------------------------------------------------


def cells(column: Any, most: int = CUT) -> list[str | None]:
    """Return each value of a column as text, exact unless it is longer than ``most``; None for nulls."""
    column = plain(column)
    if _is_binary(column.type):
        return [None if size is None else f"<{size:,} bytes>" for size in _sizes(column)]
    if not column.type.num_fields:
        try:
            return [_cut(text, most) for text in column.cast(pa.large_string()).to_pylist()]
        except (pa.ArrowException, ValueError):  # what Arrow does not write as text, durations say
            pass
    return [_cut(_text(value), most) if value.is_valid else None for value in column]


def _sizes(column: Any) -> list[int | None]:
    if types.is_fixed_size_binary(column.type):
        return [column.type.byte_width if value.is_valid else None for value in column]
    return [None if value is None else len(value) for value in column.to_pylist()]


def identities(column: Any) -> Any:
    """Return a text for each value that no other value has: all of it, in hexadecimal if it is bytes."""
    column = plain(column)
    if types.is_string(column.type) or types.is_large_string(column.type):
        return pa.concat_arrays(column.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
    if _is_binary(column.type):
        texts = [None if item is None else item.hex() for item in column.to_pylist()]
    else:
        found = zip(cells(column, sys.maxsize), column, strict=True)
        texts = [repr(exact(value)) if text == _UNSHOWN else text for text, value in found]
    return pa.array(texts, pa.large_string())


def _cut(text: str | None, most: int) -> str | None:
    return text if text is None or len(text) <= most else f"{text[:most]}…"


def _text(value: Any) -> str:
    if types.is_duration(value.type):
        return f"{value.value} {value.type.unit}"
    try:
        return json.dumps(shown_item(value.as_py()), ensure_ascii=False, default=str)
    except Exception:  # noqa: BLE001 - a time or a zone that Python has not, say
        return _UNSHOWN


def shown_item(value: Any) -> Any:
    """Return what stands in a cell, or a JSON value, with values under names that Airflow masks masked."""
    if isinstance(value, dict):
        return {str(key): MASK if hides_value_of(str(key)) else shown_item(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and type(value[0]) is str:  # noqa: PLR2004 - an item of a map
        return [value[0], MASK if hides_value_of(value[0]) else shown_item(value[1])]
    if isinstance(value, list | tuple):
        return [shown_item(item) for item in value]
    return value


def length(start: int, stop: int, step: int) -> int:
    """Return how many numbers a range has, which may be too many for ``len``."""
    return max(0, -((start - stop) // step))


def batches(rows: int, size: int) -> Iterator[range]:
    """Yield the rows of a table in parts."""
    for start in range(0, rows, size) or [0]:
        yield range(start, min(start + size, rows))

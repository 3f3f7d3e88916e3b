"""A stored frame with wide blocks, read as if each of its columns were an Arrow column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.columns import decode_labels
from airflow_xcom.codecs.builtin.pandas.index import width
from airflow_xcom.codecs.builtin.pandas.labels import text_of
from airflow_xcom.codecs.builtin.pandas.number_columns import TableMemory
from airflow_xcom.codecs.builtin.pandas.wide_blocks import places
from airflow_xcom.codecs.builtin.summaries import unique
from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges


class SingleColumns:
    """The columns of a frame with wide blocks, then those of its index.

    Args:
        file: where it is stored.
        meta: of its table.

    Attributes:
        schema: with a field for each column.
        meta: of the table of all these columns.

    Raises:
        ValueError, TypeError, KeyError: the meta are damaged.
    """

    def __init__(self, file: ArrowRanges, meta: dict[str, Any]) -> None:
        self._file = file
        stored = file.schema
        data = len(stored) - width(meta.get("index", {"range": None}))
        placed = places(meta["blocks"], stored, file.count, data - len(meta["blocks"]))
        labels = decode_labels(meta["columns"], None, TableMemory(None))
        sources = {
            position: (number, None if type(positions) is int else item)
            for number, positions in enumerate(placed)
            for item, position in enumerate(np.atleast_1d(positions).tolist())
        }
        if len(labels) != len(sources):
            raise ValueError(f"{len(labels)} labels for {len(sources)} columns")
        self._sources = [sources[position] for position in range(len(sources))]
        self._sources += [(number, None) for number in range(data, len(stored))]
        names = unique([*map(text_of, labels), *stored.names[data:]], set())
        self.schema = pa.schema(
            [self._field(source).with_name(name) for source, name in zip(self._sources, names, strict=True)]
        )
        kinds = meta.get("kinds", {})
        of_each = {position: str(number) for position, (number, _) in enumerate(self._sources[: len(labels)])}
        self.meta = {key: fact for key, fact in meta.items() if key != "blocks"} | {
            "kinds": {str(position): kinds[number] for position, number in of_each.items() if number in kinds}
        }

    def _field(self, source: tuple[int, int | None]) -> pa.Field:
        number, item = source
        field = self._file.schema.field(number)
        return field if item is None else field.with_type(field.type.value_type)

    def table(self, columns: Sequence[int], rows: range) -> pa.Table:
        """Return the columns at these positions and the rows in this range; see :meth:`.ArrowRanges.table`."""
        sources = [self._sources[column] for column in columns]
        stored = sorted({number for number, _ in sources})
        table = self._file.table(stored, rows)
        arrays = [_cells(table.column(stored.index(number)), item) for number, item in sources]
        return pa.Table.from_arrays(arrays, schema=pa.schema([self.schema.field(column) for column in columns]))


def _cells(column: pa.ChunkedArray, item: int | None) -> pa.ChunkedArray:
    """Return the cells of one column of a wide block; another column as it is."""
    if item is None:
        return column
    size = column.type.list_size
    cells = [chunk.flatten().take(pa.array(np.arange(len(chunk)) * size + item)) for chunk in column.chunks]
    return pa.chunked_array(cells, column.type.value_type)

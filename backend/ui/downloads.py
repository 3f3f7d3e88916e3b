"""Values as files, made and sent piece by piece, and whether a blob is what was written."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from pyarrow import types

from airflow_xcom.backend.errors import HiddenValueError, SelectionTooLargeError
from airflow_xcom.backend.ui.array_view import ArrayView
from airflow_xcom.backend.ui.payload_tree import read_bytes
from airflow_xcom.backend.ui.pictures import png
from airflow_xcom.backend.ui.stored_values import StoredValue
from airflow_xcom.backend.ui.table_view import TableView, batches, shown_item
from airflow_xcom.codecs import CodecError, SelectionError
from airflow_xcom.codecs.quoting import described

_PIECE = 4 << 20  # bytes
_VERIFIED = 8 << 20  # bytes of a piece
_ROWS = 1 << 16  # of a piece of a table
_CONVERTED = 1 << 30  # bytes of a payload that is made into another format
# With which spreadsheets begin what they compute: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = (*"=+-@\t\r\n\0", *"\uff1d\uff0b\uff0d\uff20")


def downloads_of(value: StoredValue, kind: str, path: Sequence[int] = ()) -> list[str]:
    """Return the formats that a value can be saved in."""
    if kind == "table":
        raw = not path and value.is_arrow and not _is_masked(value.table())
        return [*(["arrow"] if raw else []), "parquet", "csv"]
    return {"array": ["npy"], "json": ["json"], "picture": ["png"]}.get(kind, [])


def _is_masked(table: TableView) -> bool:
    return any(table.masked) or any(table.covered)


def download(value: StoredValue, format_: str, path: Sequence[int]) -> Iterator[bytes]:
    """Yield a file piece by piece; what is wrong with it is raised with the first piece.

    Raises:
        HiddenValueError: It may not be shown.
        SelectionError: There is no such format for it.
        SelectionTooLargeError: It is too large to be made into another format here.
    """
    value.refuse_hidden()
    return DOWNLOADS[format_](value, path)


def _arrow(value: StoredValue, path: Sequence[int]) -> Iterator[bytes]:
    """Yield the blob as it is."""
    if path or not value.is_arrow:
        raise SelectionError("only a table that is a whole value is stored as an Arrow file; save it as Parquet")
    if _is_masked(value.table()):
        reason = "it has columns that Airflow masks, or maps or objects within which it may; save it as Parquet or CSV"
        raise HiddenValueError(str(value.at.dag_id), reason)
    value.most = sys.maxsize
    size = value.size
    fetch = value.fetch()
    for start in range(0, size, _PIECE):
        yield bytes(fetch([(start, min(start + _PIECE, size))])[0])


def _tables(value: StoredValue, path: Sequence[int]) -> Iterator[tuple[TableView, range]]:
    """Yield a table, opened anew for each part to let go of the memory of those before, and some rows of the part."""
    if value.size > _CONVERTED:
        raise SelectionTooLargeError("this value", value.size, _CONVERTED)
    table = value.table(path)
    count = table.rows if len(table.schema) else 0  # rows without columns take no bytes however many they are
    if count > _CONVERTED:  # nor do nulls
        raise SelectionError(f"a table of {count:,} rows is not converted here; pull it in a task")
    for part in batches(count, table.step(_ROWS)):
        opened = _read_once(value.again(_CONVERTED).table(path), part)
        for rows in batches(len(part), _ROWS):
            yield opened, part[rows.start : rows.stop]


def _read_once(table: TableView, part: range) -> TableView:
    """Return a table that reads some rows whole, as is done where they are compressed, and gives parts of these."""

    @cache
    def whole(positions: tuple[int, ...]) -> Any:
        return table.take(positions, part)

    return replace(table, take=lambda positions, rows: whole((*positions,)).slice(rows.start - part.start, len(rows)))


class _Sink(io.BytesIO):
    """A file that keeps what is written until it is taken."""

    def take(self) -> bytes:
        taken = self.getvalue()
        self.seek(0)
        self.truncate()
        return taken


def _parquet(value: StoredValue, path: Sequence[int]) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    sink = _Sink()
    writer: Any = None
    try:
        for table, rows in _tables(value, path):
            part = table.taken(rows)
            writer = writer or pq.ParquetWriter(pa.PythonFile(sink, "w"), part.schema)
            writer.write_table(part)
            yield sink.take()
        writer.close()
        yield sink.take()
    except CodecError:  # of stores some are an OSError, too
        raise
    except (pa.ArrowException, OSError) as error:
        raise SelectionError(f"this table cannot be saved as Parquet: {described(error)}") from error


def _csv(value: StoredValue, path: Sequence[int]) -> Iterator[bytes]:
    for number, (table, rows) in enumerate(_tables(value, path)):
        text = io.StringIO()
        writer = csv.writer(text)
        data = len(table.schema) - table.index
        order = [*range(data, len(table.schema)), *range(data)]
        if not number:
            writer.writerow([_harmless(table.names[position]) for position in order])
        found = table.cells(order, rows, sys.maxsize)
        columns = [
            column if _is_number(table, position) else [*map(_harmless, column)]
            for position, column in zip(order, found, strict=True)
        ]
        writer.writerows(zip(*columns, strict=True))
        yield text.getvalue().encode(errors="replace")


def _harmless(text: str | None) -> str | None:
    """Return a text with which no spreadsheet begins to compute."""
    return f"'{text}" if text is not None and text.startswith(_FORMULA) else text


def _is_number(table: TableView, position: int) -> bool:
    """Return whether the cells of a column are numbers or times, which may begin with a sign."""
    data_type = table.schema.field(position).type
    checks = (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal, types.is_boolean)
    return not table.masked[position] and any(check(data_type) for check in checks)


def _json(value: StoredValue, path: Sequence[int]) -> Iterator[bytes]:
    """Yield a plain value, what Airflow masks masked."""
    if path or value.envelope is not None:
        raise SelectionError("only plain values are JSON; pull this one in a task")
    yield json.dumps(shown_item(value.stored), indent=2).encode()


def _npy(value: StoredValue, path: Sequence[int]) -> Iterator[bytes]:
    dtype, shape, elements, order = value.array(path)
    value.most = sys.maxsize
    view = ArrayView(dtype, shape, elements, order)
    head = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(view.dtype), "fortran_order": order == "F", "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(head, facts)
    yield head.getvalue()
    size = len(elements)
    for start in range(0, size, _PIECE):
        yield bytes(read_bytes(elements, start, min(start + _PIECE, size)))


DOWNLOADS: dict[str, Callable[[StoredValue, Sequence[int]], Iterator[bytes]]] = {
    "arrow": _arrow,
    "csv": _csv,
    "json": _json,
    "npy": _npy,
    "parquet": _parquet,
    "png": lambda value, path: iter([png(value.pixels(path))]),
}


def verification(value: StoredValue) -> Iterator[dict[str, Any]]:
    """Yield the bytes that are ``done`` of ``size``, and at last whether the digest ``matches``.

    Raises:
        SelectionError: The value has no blob.
        MissingPayloadError, StoreError: The blob is gone, or cannot be reached.
    """
    if value.envelope is None or value.envelope.reference is None:
        raise SelectionError("the value is in the row of Airflow's database, and has no digest")
    reference = value.envelope.reference
    value.most = sys.maxsize
    fetch, digest = value.fetch(), xxhash.xxh3_128()
    for start in range(0, reference.size, _VERIFIED):
        stop = min(start + _VERIFIED, reference.size)
        digest.update(fetch([(start, stop)])[0])
        yield {"done": stop, "size": reference.size}
    found = f"xxh3-128:{digest.hexdigest()}"
    yield {"done": reference.size, "size": reference.size, "matches": found == reference.digest, "digest": found}

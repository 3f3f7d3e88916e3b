"""The columns and first rows of a stored table, as text for people; no codec is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]
_LONGEST_TEXT = 200  # characters


def outline_file(fetch: Fetch, size: int, rows: int) -> dict[str, Any]:
    """Return the tag, the compression, the columns and the first ``rows`` rows of an Arrow body."""
    from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges

    file = ArrowRanges(fetch, size)
    first = file.table(range(len(file.schema)), range(min(rows, file.count)))
    facts = {"tag": file.note.tag, "tag_version": file.note.version, "compression": file.compression}
    return {**facts, **_outline(file.schema, file.count, first)}


def outline_stream(data: bytes, rows: int) -> dict[str, Any]:
    """Return the columns and the first ``rows`` rows of an Arrow IPC stream."""
    from airflow_xcom.codecs.formats.arrow.file import read_stream

    table = read_stream(memoryview(data), None).table
    return _outline(table.schema, table.num_rows, table.slice(0, rows))


def _outline(schema: Any, count: int, first: Any) -> dict[str, Any]:
    cells = [_cells(column) for column in first.columns]
    return {"rows": count, "columns": list_columns(schema), "head": [list(row) for row in zip(*cells, strict=True)]}


def list_columns(schema: Any) -> list[dict[str, str]]:
    """Return the name and the type of each column."""
    return [{"name": field.name, "type": str(field.type)} for field in schema]


def shorten(text: str | None) -> str | None:
    """Return the beginning of a long text."""
    return text if text is None or len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def _cells(column: Any) -> list[str | None]:
    """Return each value of a column as text; None for nulls."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if _is_binary(column.type):
        return [f"<{len(value.as_py())} bytes>" if value.is_valid else None for value in column]
    try:
        return [shorten(text) for text in _without_dictionary(column).cast(pa.large_string()).to_pylist()]
    except (pa.ArrowException, ValueError):  # a nested type, or one that Arrow does not write as text
        return [shorten(_text(value)) if value.is_valid else None for value in column]


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    checks = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(check(kind) for check in checks)


def _without_dictionary(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array(
        [pc.take(chunk.dictionary, chunk.indices) for chunk in column.chunks], column.type.value_type
    )


def _text(value: Any) -> str:
    try:
        return str(value.as_py())
    except Exception:  # noqa: BLE001 - a time or a zone that Python has not, say
        return "…"

"""Select columns and rows of a stored table, and what its meta says of those alone.

Each family of types has its own labels.  Those of pandas are chosen by pandas itself, so that a selection is what
``frame[columns]`` would be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_xcom.codecs.errors import SelectionError, UnknownColumnError, any_error_as_corrupt
from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges
from airflow_xcom.codecs.quoting import quoted


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for.

    Attributes:
        columns: labels, or None for all.
        rows: with a step of 1, or None for all.
        keeps_index: whether the index of a frame comes with some of its columns too.

    Raises:
        SelectionError: ``columns`` is not a list, or ``rows`` not such a slice.
    """

    columns: Sequence[Any] | None
    rows: slice | None
    keeps_index: bool = True

    def __post_init__(self) -> None:
        if self.columns is not None and not isinstance(self.columns, list | tuple):
            raise SelectionError(f"columns={self.columns!r:.100}: give a list of labels")
        if self.rows is not None and (not isinstance(self.rows, slice) or self.rows.step not in {None, 1}):
            raise SelectionError(f"rows={self.rows!r:.100}: give a slice with a step of 1")

    def row_numbers(self, count: int) -> range:
        """Return the rows by number; as with a slice of a list, negative ones count from the end."""
        start, stop, _ = (self.rows or slice(None)).indices(count)
        return range(start, max(start, stop))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be read of a stored table.

    Attributes:
        columns: the positions of its Arrow columns.
        rows: by number.
        meta: of the table of these.
        tag: of the value that this table stands for.
    """

    columns: list[int]
    rows: range
    meta: dict[str, Any]
    tag: str


def columns_of(file: ArrowRanges, meta: Any, request: Request) -> tuple[Any, Any]:
    """Return what has the schema and the columns of a stored table, and its meta.

    The wide blocks of a frame stay together where all columns are wanted, as they were written.
    """
    has_blocks = _SELECTORS.get(file.note.tag) is _pandas and type(meta) is dict and "blocks" in meta
    if not has_blocks or (request.columns is None and request.keeps_index):
        return file, meta
    from airflow_xcom.codecs.tables.single_columns import SingleColumns

    with any_error_as_corrupt(f"the payload does not say how to rebuild a {quoted(file.note.tag)}"):
        source = SingleColumns(file, meta)
    return source, source.meta


def select(tag: str, meta: dict[str, Any], schema: Any, count: int, request: Request) -> Selection:
    """Return what is to be read of a stored table.

    Raises:
        UnknownColumnError: the table has no such column.
        SelectionError: the value is not a table.
        CorruptPayloadError: the meta is damaged.
    """
    if tag not in _SELECTORS:
        raise SelectionError(f"the value is a {tag}, of which no columns or rows can be taken; pull it with xcom_pull")
    with any_error_as_corrupt(f"the payload does not say how to rebuild a {tag}"):
        return _SELECTORS[tag](tag, meta, schema, count, request)


def _named(names: Sequence[str], columns: Sequence[Any] | None) -> list[int]:
    """Return the positions of columns that have unique names."""
    if columns is None:
        return list(range(len(names)))
    if missing := [name for name in columns if name not in names]:
        raise UnknownColumnError(missing, names)
    if twice := [name for name in columns if names.count(name) > 1]:
        raise SelectionError(f"several columns have the name {quoted(twice[0])}; pull the whole table")
    return [names.index(name) for name in columns]


def _moved(facts: dict[str, Any], columns: list[int]) -> dict[str, Any]:
    """Return facts by the position of a column in the table, by that in a table of these columns."""
    return {str(new): facts[str(old)] for new, old in enumerate(columns) if str(old) in facts}


# -- pandas --------------------------------------------------------------------------------------------------


def _pandas(tag: str, meta: dict[str, Any], schema: Any, count: int, request: Request) -> Selection:
    import pandas as pd

    from airflow_xcom.codecs.builtin.pandas.index import width
    from airflow_xcom.codecs.builtin.pandas.labels import decode_names

    index = meta.get("index", {"range": [0, count, 1]})
    data = len(schema) - width(index)
    numbered = range(*index["range"]) if "range" in index else range(count)
    rows = request.row_numbers(count if schema.names else len(numbered))
    if "range" in index:
        part = numbered if request.rows is None else numbered[request.rows]  # of no rows too, as pandas does
        index = {**index, "range": [part.start, part.stop, part.step]}
    columns = list(range(data))
    changed: dict[str, Any] = {"index": index}
    if (wanted := request.columns) is not None:
        labels = decode_names(meta.get("columns", {}), schema.names[:data])
        chosen = _chosen(pd.DataFrame([columns], columns=labels), list(wanted))
        columns = [int(column) for column in chosen.to_numpy().ravel()]
        changed["columns"] = {"labels": chosen.columns}
    kinds = {column: _kind_of_rows(kind, rows) for column, kind in _moved(meta.get("kinds", {}), columns).items()}
    changed["kinds"] = kinds
    if (wanted is not None or request.rows is not None) and not any(_is_geometry(kind) for kind in kinds.values()):
        tag = "pandas.DataFrame"  # as geopandas does
    if request.keeps_index or wanted is None:
        columns = [*columns, *range(data, len(schema))]
    return Selection(columns, rows, {**meta, **changed}, tag)


def _chosen(frame: Any, columns: list[Any]) -> Any:
    """Return the columns of a frame, as pandas takes them; but no booleans, in which it sees a mask of rows."""
    if any(type(label).__name__ in {"bool", "bool_"} for label in columns):
        raise SelectionError(f"columns={columns!r:.100}: pandas takes booleans for a mask of rows, not for labels")
    try:
        return frame[columns]
    except KeyError as error:
        raise UnknownColumnError(_missing(frame.columns, columns), frame.columns) from error
    except Exception as error:
        raise SelectionError(f"columns={columns!r:.100}: {error}") from error


def _missing(labels: Any, columns: list[Any]) -> list[Any]:
    try:
        return [label for label in columns if label not in labels]
    except (TypeError, ValueError):  # labels that pandas cannot compare
        return columns


def _is_geometry(kind: Any) -> bool:
    return isinstance(kind, list) and kind[:1] == ["geometry"]


def _kind_of_rows(kind: Any, rows: range) -> Any:
    """Return the kind of some rows of a column: of geometries, the marks name rows of another form."""
    if not _is_geometry(kind) or len(kind) < 3:  # noqa: PLR2004 - the name and the CRS
        return kind
    marks: dict[str, list[Any]] = {form: [] for form in kind[2]}
    for form, marked in kind[2].items():
        for mark in marked:
            row, *node = mark if isinstance(mark, list) else [mark]
            if row in rows:
                marks[form].append([row - rows.start, *node] if node else row - rows.start)
    return ["geometry", kind[1], marks]


# -- polars and pyarrow --------------------------------------------------------------------------------------


def _polars(tag: str, meta: dict[str, Any], schema: Any, count: int, request: Request) -> Selection:
    names = meta.get("names", schema.names)
    columns = _named(names, request.columns)
    if len(set(columns)) < len(columns):
        raise SelectionError("a frame of polars cannot have a column twice")
    rows = request.row_numbers(count if names else meta.get("height", 0))
    changed: dict[str, Any] = {"dtypes": _moved(meta.get("dtypes", {}), columns)}
    changed |= {"names": [names[column] for column in columns]} if "names" in meta else {}
    changed |= {"height": len(rows)} if "height" in meta else {}
    return Selection(columns, rows, {**meta, **changed}, tag)


def _arrow(tag: str, meta: dict[str, Any], schema: Any, count: int, request: Request) -> Selection:
    import pyarrow as pa

    from airflow_xcom.codecs.builtin.arrow.values import check_extensions, extension_names

    check_extensions(meta.get("extensions", []), schema)
    columns = _named(schema.names, request.columns)
    rows = request.row_numbers(count if schema.names else meta.get("rows", 0))
    changed: dict[str, Any] = {"extensions": extension_names(pa.schema([schema.field(column) for column in columns]))}
    changed |= {} if columns else {"rows": len(rows)}
    return Selection(columns, rows, {**meta, **changed}, tag)


_SELECTORS: dict[str, Callable[..., Selection]] = {
    "pandas.DataFrame": _pandas,
    "geopandas.GeoDataFrame": _pandas,
    "polars.DataFrame": _polars,
    "pyarrow.Table": _arrow,
    "pyarrow.RecordBatch": _arrow,
    "pyarrow.RecordBatchReader": _arrow,
}

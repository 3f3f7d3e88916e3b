"""Which columns of a stored table are asked for, and what its meta says of those alone.

Each family of types has its own labels.  Those of pandas are chosen by pandas itself, so that a selection is what
``frame[columns]`` would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.errors import CodecError, CorruptPayloadError, SelectionError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Selection", "select"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        columns: labels, or None for all.
        rows: with a step of 1, or None for all.
        whole: whether the index of a frame belongs to it, of whichever columns.
    """

    columns: Sequence[Any] | None
    rows: slice | None
    whole: bool = True

    def __post_init__(self) -> None:
        if self.columns is not None and not isinstance(self.columns, list | tuple):
            raise SelectionError(f"columns={self.columns!r:.100}: give a list of labels")
        if self.rows is not None and (not isinstance(self.rows, slice) or self.rows.step not in {None, 1}):
            raise SelectionError(f"rows={self.rows!r:.100}: give a slice with a step of 1")

    @property
    def is_all(self) -> bool:
        return self.columns is None and self.rows is None

    def among(self, count: int) -> range:
        """The rows by number; as with a slice of a list, negative ones count from the end."""
        start, stop, _ = (self.rows or slice(None)).indices(count)
        return range(start, max(start, stop))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be read of a stored table.

    Attributes:
        places: of its Arrow columns.
        rows: of it.
        meta: of the table of these.
        tag: of the value that this table stands for.
    """

    places: list[int]
    rows: range
    meta: dict[str, Any]
    tag: str


def select(tag: str, meta: dict[str, Any], schema: Any, count: int, wanted: Wanted) -> Selection:
    """What is to be read of a stored table.

    Args:
        tag: of the value.
        meta: of its table.
        schema: of its table.
        count: rows of its table.
        wanted: what is asked for.

    Raises:
        UnknownColumnError: there is no such column.
        SelectionError: the value is not a table.
        CorruptPayloadError: its meta is damaged.
    """
    if tag not in _FAMILIES:
        raise SelectionError(f"the value is a {tag}, of which no columns or rows can be taken; pull it with xcom_pull")
    try:
        return _FAMILIES[tag](tag, meta, schema, count, wanted)
    except CodecError:
        raise
    except Exception as error:
        msg = f"the payload does not say how to rebuild a {tag}: {type(error).__name__}: {error}"
        raise CorruptPayloadError(msg) from error


def _named(names: Sequence[str], columns: Sequence[Any] | None) -> list[int]:
    """The places of columns that are known by unique names."""
    if columns is None:
        return list(range(len(names)))
    if missing := [name for name in columns if name not in names]:
        raise UnknownColumnError(missing, names)
    if twice := [name for name in columns if names.count(name) > 1]:
        raise SelectionError(f"several columns have the name {twice[0]!r}; pull the whole table")
    return [names.index(name) for name in columns]


def _moved(facts: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What is known of columns by their place, where these are taken."""
    return {str(new): facts[str(old)] for new, old in enumerate(places) if str(old) in facts}


def _pandas(tag: str, meta: dict[str, Any], schema: Any, count: int, wanted: Wanted) -> Selection:
    import pandas as pd

    from airflow_xcom.codecs.builtin.pandas.index import width
    from airflow_xcom.codecs.builtin.pandas.labels import decode_names

    index = meta.get("index", {"range": [0, count, 1]})
    data = len(schema) - width(index)
    numbered = range(*index["range"]) if "range" in index else range(count)
    taken = wanted.among(count if schema.names else len(numbered))
    if "range" in index:
        part = numbered[wanted.rows or slice(None)]  # of no rows too, as pandas does
        index = {**index, "range": [part.start, part.stop, part.step]}
    places = list(range(data))
    changed: dict[str, Any] = {"index": index}
    if (columns := wanted.columns) is not None:
        labels = decode_names(meta.get("columns", {}), schema.names[:data])
        chosen = _chosen(pd.DataFrame([places], columns=labels), list(columns))
        places = [int(place) for place in chosen.to_numpy().ravel()]
        changed["columns"] = {"labels": chosen.columns}
    kinds = {place: _of_rows(kind, taken) for place, kind in _moved(meta.get("kinds", {}), places).items()}
    changed["kinds"] = kinds
    if not wanted.is_all and not any(_is_geometry(kind) for kind in kinds.values()):
        tag = "pandas.DataFrame"  # as geopandas does
    if wanted.whole or columns is None:
        places = [*places, *range(data, len(schema))]
    return Selection(places, taken, {**meta, **changed}, tag)


def _chosen(frame: Any, columns: list[Any]) -> Any:
    """The columns of a frame, as pandas itself takes them; but no booleans, in which it sees a mask of rows."""
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


def _of_rows(kind: Any, rows: range) -> Any:
    """The kind of a column of these rows: of geometries, the marks say which of them are of another form."""
    if not _is_geometry(kind) or len(kind) < 3:  # noqa: PLR2004 - the name and the CRS
        return kind
    marks = {
        form: [_shifted(mark, rows.start) for mark in found if _place(mark) in rows] for form, found in kind[2].items()
    }
    return ["geometry", kind[1], marks]


def _place(mark: Any) -> Any:
    return mark[0] if isinstance(mark, list) else mark


def _shifted(mark: Any, first: int) -> Any:
    return [mark[0] - first, *mark[1:]] if isinstance(mark, list) else mark - first


def _polars(tag: str, meta: dict[str, Any], schema: Any, count: int, wanted: Wanted) -> Selection:
    names = meta.get("names", schema.names)
    places = _named(names, wanted.columns)
    if len(set(places)) < len(places):
        raise SelectionError("a frame of polars cannot have a column twice")
    taken = wanted.among(count if names else meta.get("height", 0))
    changed: dict[str, Any] = {"dtypes": _moved(meta.get("dtypes", {}), places)}
    changed |= {"names": [names[place] for place in places]} if "names" in meta else {}
    changed |= {"height": len(taken)} if "height" in meta else {}
    return Selection(places, taken, {**meta, **changed}, tag)


def _arrow(tag: str, meta: dict[str, Any], schema: Any, count: int, wanted: Wanted) -> Selection:
    import pyarrow as pa

    from airflow_xcom.codecs.builtin.arrow.values import check_extensions, extension_names

    check_extensions(meta.get("extensions", []), schema)
    places = _named(schema.names, wanted.columns)
    taken = wanted.among(count if schema.names else meta.get("rows", 0))
    changed: dict[str, Any] = {"extensions": extension_names(pa.schema([schema.field(place) for place in places]))}
    if not places:
        changed["rows"] = len(taken)
    return Selection(places, taken, {**meta, **changed}, tag)


_FAMILIES: dict[str, Callable[..., Selection]] = {
    "pandas.DataFrame": _pandas,
    "geopandas.GeoDataFrame": _pandas,
    "polars.DataFrame": _polars,
    "pyarrow.Table": _arrow,
    "pyarrow.RecordBatch": _arrow,
    "pyarrow.RecordBatchReader": _arrow,
}

"""Convert a stored table to the type of another library than the one that wrote it: what its Arrow columns say.

A kind of column of pandas, or a dtype of polars, that Arrow does not know is refused rather than shown as it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_xcom.codecs.errors import DecodeError, MissingLibraryError, SelectionError
from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.quoting import described, quoted

FAMILIES = ("pandas", "polars", "pyarrow")
# Kinds of pandas' columns that Arrow holds as they are, missing values being null.
_KNOWN = {"masked", "tz", "string", "object", "arrow", "sparse", "geometry"}
_UNKNOWN = {"Int128", "UInt128"}


def family(tag: str) -> str:
    """Return the library whose type a tag stands for."""
    return "pandas" if tag.startswith("geopandas.") else tag.partition(".")[0]


def convert(tag: str, part: Table, as_: str) -> Any:
    """Return a table as a type of the library ``as_``, which did not write it."""
    for column, kind in _unknown_to_arrow(family(tag), part.meta):
        name = part.table.schema.names[column]
        raise SelectionError(
            f"column {quoted(name)} holds what Arrow has no type for ({kind}), so that {as_} cannot have it; leave it "
            f"out of columns, or pull the table as {family(tag)} and convert it"
        )
    return as_type(as_, part.table)


def as_type(as_: str, table: Any) -> Any:
    """Return a table, record batch or reader of pyarrow as a type of the library ``as_``."""
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if isinstance(table, pa.RecordBatchReader):
        table = table.read_all()
    if as_ == "pyarrow":
        return table
    try:
        return table.to_pandas() if as_ == "pandas" else _as_polars(table)
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        raise _refusal(as_, error) from error


def _as_polars(table: Any) -> Any:
    try:
        import polars as pl
    except ImportError as error:
        raise MissingLibraryError("pyarrow.Table", "polars") from error
    try:
        return pl.DataFrame(pl.from_arrow(table))
    except pl.exceptions.PanicException as error:
        raise _refusal("polars", error) from error


def _refusal(as_: str, error: BaseException) -> SelectionError:
    return SelectionError(f"{as_} cannot have this table from Arrow: {described(error)}")


def _unknown_to_arrow(written: str, meta: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Yield the positions of columns whose type Arrow does not have, and that type."""
    if written == "pandas":
        kinds = meta.get("kinds", {})
        yield from ((int(column), _name(kind)) for column, kind in kinds.items() if not _is_known(kind))
    else:
        dtypes = meta.get("dtypes", {})
        yield from ((int(column), spec) for column, spec in dtypes.items() if _UNKNOWN & set(_words(spec)))


def _name(kind: Any) -> Any:
    return kind[0] if isinstance(kind, list) else kind


def _is_known(kind: Any) -> bool:
    match kind:
        case ["numpy", str(text)]:
            return text[1:2] in set("iumMb") or text[1:] in {"f2", "f4", "f8"}
        case ["array", inner] | ["sparse", _, _, inner]:
            return inner is None or _is_known(inner)
        case ["category", spec]:
            return spec.get("kind") is None or _is_known(spec["kind"])
    return _name(kind) in _KNOWN


def _words(spec: Any) -> Iterator[str]:
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, list) and spec[:1] not in (["Enum"], ["Categorical"]):
        for item in spec:
            yield from _words(item)

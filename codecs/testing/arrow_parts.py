"""What the values of Arrow and polars are made of; neither is imported before one of its values is met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.testing.identical import PARTS, Leaf, Parts, attributes, describe, difference, digest

if TYPE_CHECKING:
    import pyarrow as pa

_TYPE_PARAMETERS = (
    *("unit", "tz", "precision", "scale", "bit_width", "list_size", "index_type", "value_type", "ordered"),
    *("run_end_type", "keys_sorted", "mode", "type_codes", "extension_name", "storage_type"),
)


class ArrowItems(Leaf):
    """The elements of an Arrow array, in however many chunks; of ordered dictionaries, with their indices if asked."""

    def __init__(self, array: Any, *, indexed: bool = True) -> None:
        import pyarrow as pa

        self.chunks = pa.chunked_array(array)
        self.item = partial(_arrow_item, indexed=indexed)

    def difference(self, other: ArrowItems, path: str) -> str | None:
        """Return the first element that differs; floats by their bits."""
        if len(self.chunks) == len(other.chunks) and _is_same_arrow(self.chunks, other.chunks):
            return None
        return difference(self.items(), other.items(), path)

    def items(self) -> list[Any]:
        """Return the elements as Python's: times as counts."""
        return [self.item(scalar) for chunk in self.chunks.chunks for scalar in chunk]

    def describe(self) -> Any:
        """Return the elements as JSON, or their digest."""
        return digest(json.dumps(describe(self.items())).encode())


def _is_same_arrow(expected: Any, actual: Any) -> bool:
    """Return True if they are surely the same, to the last bit: to Arrow's own equals(), 0.0 is -0.0."""
    return expected.type == actual.type and _stream_of(expected) == _stream_of(actual) != b""


def _stream_of(array: pa.ChunkedArray) -> bytes:
    """Return the bytes that Arrow writes of an array; none where it cannot."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    try:
        table = pa.table({"": array}).combine_chunks()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    except pa.ArrowException:
        return b""
    return bytes(sink.getvalue())


def _arrow_item(scalar: Any, *, indexed: bool = True) -> Any:  # noqa: PLR0911 - one for each type
    import pyarrow as pa

    kind, item = scalar.type, partial(_arrow_item, indexed=indexed)
    if not scalar.is_valid:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return item(scalar.value)
    if pa.types.is_dictionary(kind):
        return [item(scalar.value), scalar.index.as_py() if kind.ordered and indexed else None]
    if pa.types.is_map(kind) or (hasattr(scalar, "values") and not pa.types.is_struct(kind)):
        return [item(part) for part in scalar.values]
    if pa.types.is_struct(kind):
        return [item(scalar[place]) for place in range(kind.num_fields)]
    if pa.types.is_union(kind):
        return [scalar.type_code, item(scalar.value)]
    if pa.types.is_floating(kind):
        return float(scalar.as_py())
    if pa.types.is_temporal(kind) and hasattr(scalar, "value") and not pa.types.is_interval(kind):
        return scalar.value
    return scalar.as_py()


def _arrow_type(kind: Any) -> Parts:
    import pyarrow as pa

    has_fields = pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind)
    fields = [kind.field(place) for place in range(kind.num_fields)] if has_fields else []
    return [(".id", kind.id), *((f".{name}", _parameter(kind, name)) for name in _TYPE_PARAMETERS), (".fields", fields)]


def _parameter(kind: Any, name: str) -> Any:
    try:
        return getattr(kind, name, None)
    except ValueError:  # the width of what has none
        return None


def _arrow_metadata(owner: Any) -> Parts:
    return [(".metadata", dict(owner.metadata) if owner.metadata else None)]


def _arrow_table(table: Any) -> Iterator[tuple[str, Any]]:
    yield from attributes("num_rows", "schema")(table)
    yield from ((f"[{name!r}]", ArrowItems(table.column(at))) for at, name in enumerate(table.schema.names))


def _polars_series(series: Any) -> Parts:
    has_wide = "Int128" in str(series.dtype)  # which Arrow has not, and which holds integers alone
    # Under its name, a column cannot be handed to Arrow if a NUL is in that: polars panics.
    items = series.to_list() if has_wide else ArrowItems(series.alias("").to_arrow(), indexed=False)
    return [(".name", series.name), (".dtype", _instance(series.dtype)), ("", items)]


def _polars_dtype(dtype: Any) -> Parts:
    names = ("time_unit", "time_zone", "precision", "scale", "shape", "inner", "fields")
    parts = {f".{name}": _instance(getattr(dtype, name, None)) for name in names}
    categories: Any = getattr(dtype, "categories", None)  # a Series of an Enum; of a Categorical, since 1.32
    if hasattr(categories, "namespace"):
        categories = [categories.name(), categories.namespace(), str(categories.physical())]
    return [*parts.items(), (".categories", categories)]


def _instance(dtype: Any) -> Any:
    """Return a dtype that is a class, as polars 1.20 has them, as an object."""
    return dtype() if isinstance(dtype, type) else dtype


PARTS |= {
    "pyarrow.DataType": _arrow_type,
    "pyarrow.Field": lambda field: [*attributes("name", "nullable", "type")(field), *_arrow_metadata(field)],
    "pyarrow.Schema": lambda schema: [("", list(schema)), *_arrow_metadata(schema)],
    "pyarrow.Table": _arrow_table,
    "pyarrow.RecordBatch": _arrow_table,
    "pyarrow.RecordBatchReader": lambda reader: [("", reader.read_all())],
    "pyarrow.Array": lambda array: [(".type", array.type), ("", ArrowItems(array))],
    "pyarrow.ChunkedArray": lambda array: [(".type", array.type), ("", ArrowItems(array))],
    "pyarrow.Scalar": lambda scalar: [(".type", scalar.type), ("", _arrow_item(scalar))],
    "polars.DataFrame": lambda frame: [
        (".shape", frame.shape),
        *((f"[{column.name!r}]", column) for column in frame.get_columns()),
    ],
    "polars.Series": _polars_series,
    "polars.DataType": _polars_dtype,
    "polars.Field": lambda field: [(".name", field.name), (".dtype", _instance(field.dtype))],
}

"""polars frames and series.

::

    polars.DataFrame, polars.Series     a table of the columns; its meta has what is there of
                          "dtypes"   {position: dtype}   where Arrow cannot say the dtype, see below
                          "names"    [name, ...]      where a name has U+0000, which polars cannot hand to Arrow
                          "height"   int              where there are no columns

    dtype := null (as Arrow says) | "Int128" | "UInt128" | ["Enum", [category, ...]]
           | ["Categorical", name, namespace, physical] | ["Categorical", ordering] (before polars 1.32)
           | ["List", dtype] | ["Array", dtype] | ["Struct", [dtype, ...]]

Text is written as Arrow's large strings, which every reader knows and which hold what a slice shows and no more;
integers of 128 bits, which Arrow has not, as their digits; categories as dictionaries, or as text where nested.

Not part of the value, as polars says itself: where chunks begin, the flags of sortedness, and the numbers behind a
Categorical.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import polars as pl
import pyarrow as pa

from airflow_xcom.codecs.builtin.summaries import escaped, summarize_columns
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.error_location import brief
from airflow_xcom.codecs.errors import CorruptPayloadError, EncodeError, LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Table, as_dict, as_list
from airflow_xcom.codecs.quoting import described, quoted

_WIDE = tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))
_DIGITS = {dtype.__name__: dtype for dtype in _WIDE}
_NAMED = (pl.Categorical, pl.Enum)
_EXTENSION = getattr(pl, "BaseExtension", ())  # since polars 1.36
_HAS_CATEGORIES = hasattr(pl, "Categories")  # since polars 1.32

_MOST_NULLS = 1 << 27  # nulls without a dtype; polars takes a bit for each

Dtype = Any


# -- dtypes --------------------------------------------------------------------------------------------------


def _stored(dtype: Dtype, *, nested: bool = False) -> Dtype:
    """Return the dtype in which a column is handed to Arrow."""
    if isinstance(dtype, _WIDE) or (nested and isinstance(dtype, _NAMED)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_stored(dtype.inner, nested=True))
    if isinstance(dtype, pl.Array) and dtype.size:
        return pl.Array(_stored(dtype.inner, nested=True), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _stored(field.dtype, nested=True)) for field in dtype.fields])
    if isinstance(dtype, pl.Object):
        msg = "it holds Python objects; return it as a list (to_list()), or cast it to a dtype of polars"
        raise UnsupportedValueError(msg)
    if isinstance(dtype, pl.Array):
        raise UnsupportedValueError("polars cannot read back arrays of width 0; cast it to pl.List")
    if isinstance(dtype, _EXTENSION):
        msg = f"the extension dtype {dtype} may not be known where it is pulled; return its storage, ext.storage()"
        raise UnsupportedValueError(msg)
    return dtype


def _encode_dtype(dtype: Dtype) -> Any:  # noqa: PLR0911 - one for each dtype
    """Return what rebuilds a dtype beside what Arrow says of it."""
    if isinstance(dtype, _WIDE):
        return type(dtype).__name__
    if isinstance(dtype, pl.Enum):
        return ["Enum", dtype.categories.to_list()]
    if isinstance(dtype, pl.Categorical):
        if not _HAS_CATEGORIES:
            return ["Categorical", getattr(dtype, "ordering")]  # noqa: B009 - no attribute since
        known = dtype.categories
        return ["Categorical", known.name(), known.namespace(), str(known.physical())]
    if isinstance(dtype, pl.List | pl.Array):
        inner = _encode_dtype(dtype.inner)
        return inner and [type(dtype).__name__, inner]
    if isinstance(dtype, pl.Struct):
        fields = [_encode_dtype(field.dtype) for field in dtype.fields]
        return ["Struct", fields] if any(fields) else None
    return None


def _decode_dtype(spec: Any, stored: Dtype) -> Dtype:  # noqa: PLR0911 - one for each dtype
    """Return the dtype that :func:`_encode_dtype` described, of a column that Arrow says is ``stored``."""
    match spec:
        case None:
            return stored
        case _ if stored == pl.Null:
            pass  # refused: a column of nulls takes no bytes, however long it is
        case str(name) if name in _DIGITS:
            return _DIGITS[name]()
        case ["Enum", list(categories)] if all(type(category) is str for category in categories):
            return pl.Enum(categories)
        case ["Categorical", "physical" | "lexical"] | ["Categorical", str(), str(), str()]:
            return _decode_categorical(*spec[1:])
        case ["List", inner] if isinstance(stored, pl.List):
            return pl.List(_decode_dtype(inner, stored.inner))
        case ["Array", inner] if isinstance(stored, pl.Array):
            return pl.Array(_decode_dtype(inner, stored.inner), stored.size)
        case ["Struct", list(inners)] if isinstance(stored, pl.Struct):
            pairs = zip(stored.fields, inners, strict=True)
            return pl.Struct([pl.Field(field.name, _decode_dtype(inner, field.dtype)) for field, inner in pairs])
        case "Int128" | "UInt128":
            raise _too_old(f"the dtype {quoted(spec)}", {"Int128": "1.20", "UInt128": "1.34"}[spec])
    raise CorruptPayloadError(f"{quoted(spec)} describes no dtype of a column of {stored}")


def _decode_categorical(name: str, namespace: str | None = None, physical: str = "UInt32") -> Dtype:
    """Return a Categorical from the three parts that it has since polars 1.32, or from how it sorted before."""
    if namespace is None:
        return pl.Categorical() if _HAS_CATEGORIES else pl.Categorical(name)  # since then, that would be its name
    if not _HAS_CATEGORIES:
        if (name, namespace, physical) != ("", "", "UInt32"):
            raise _too_old(f"a Categorical with categories of its own, {quoted([name, namespace, physical])}", "1.32")
        return pl.Categorical("lexical")  # as the usual one sorts since polars 1.32
    dtypes = {str(dtype): dtype for dtype in (pl.UInt8, pl.UInt16, pl.UInt32)}
    return pl.Categorical(pl.Categories(name, namespace, physical=dtypes[physical]))


def _too_old(what: str, since: str) -> LibraryVersionError:
    return LibraryVersionError(what, "polars", pl.__version__, f"{since} or newer")


def _same(left: Dtype, right: Dtype) -> bool:
    """Return whether two dtypes are equal; before polars 1.32 the orders of categories are so to ``==``."""
    return left == right and repr(left) == repr(right)


# -- columns -------------------------------------------------------------------------------------------------


def _to_arrow(series: Any) -> Any:
    """Return a column as Arrow knows it, under no name."""
    if series.dtype == pl.Null and len(series) > _MOST_NULLS:
        msg = f"{len(series)} nulls without a dtype take no bytes; cast the column to the dtype it should have"
        raise UnsupportedValueError(msg)
    stored = _stored(series.dtype)
    is_cast = stored != series.dtype
    if is_cast:
        series = series.cast(stored)
    frame = series.alias("").to_frame()
    try:
        column = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).column(0)
        return _without_trailing_bits(column) if is_cast else column
    except pl.exceptions.PanicException as error:
        msg = f"polars cannot hand {series.dtype} to Arrow ({error}); are there names with U+0000?"
        raise UnsupportedValueError(msg) from error


def _without_trailing_bits(column: Any) -> Any:
    """Return a copy without the bits that a cast left behind the last row."""
    return pa.chunked_array([pa.concat_arrays([*column.chunks, pa.array([], column.type)])])


def _checked_lengths(column: Any) -> Any:
    """Return the column; refuse one whose arrays lack elements, as slices of polars 1.20 do."""
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        if any(len(chunk.values) < (chunk.offset + len(chunk)) * width for chunk in column.chunks):
            raise UnsupportedValueError(
                f"polars {pl.__version__} cannot hand a slice of {column.type} to Arrow; cast it to pl.List, or upgrade"
            )
    return column


def _without_offsets(table: Any) -> Any:
    """Return the table as a stream has it, without what slices left out: polars refuses slices of arrays with nulls."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _from_arrow(table: Any) -> list[Any]:
    """Return the columns of a table as polars reads them, without heed to what metadata say of them."""
    for field in table.schema:
        _check_type(field.type)
        if pa.types.is_null(field.type) and table.num_rows > _MOST_NULLS:
            raise CorruptPayloadError(f"{table.num_rows} nulls that take no bytes")
    unnamed = pa.Table.from_arrays(table.columns, names=[str(position) for position in range(table.num_columns)])
    try:
        try:
            frame = pl.DataFrame(pl.from_arrow(unnamed))
        except pl.exceptions.ComputeError:
            frame = pl.DataFrame(pl.from_arrow(_without_offsets(unnamed)))
        return list(frame.get_columns())
    except pl.exceptions.PanicException as error:
        raise CorruptPayloadError(f"polars cannot read a column: {described(error)}") from error


_LEAVES = (
    *(pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal128, pa.types.is_null),
    *(pa.types.is_large_string, pa.types.is_string, pa.types.is_large_binary, pa.types.is_binary),
    *(pa.types.is_date32, pa.types.is_time64, pa.types.is_timestamp, pa.types.is_duration),
)


def _check_type(data_type: Any) -> None:
    if pa.types.is_float16(data_type) and not hasattr(pl, "Float16"):
        raise _too_old("the dtype Float16", "1.36")  # which would become a Float32
    if pa.types.is_map(data_type) and not hasattr(pl, "Map"):
        raise _too_old("the dtype Map", "2.0")  # which would become a list of structs
    if pa.types.is_dictionary(data_type) and pa.types.is_large_string(data_type.value_type):
        return
    inner = [data_type.field(position) for position in range(data_type.num_fields)]
    nested = pa.types.is_nested(data_type) and not any(field.metadata for field in inner)
    if not nested and not any(is_type(data_type) for is_type in _LEAVES):
        raise CorruptPayloadError(f"polars writes no column of {data_type}")
    for field in inner:
        _check_type(field.type)


def _encode_columns(columns: list[Any], *, is_frame: bool = True) -> Table:
    arrays = []
    for series in columns:
        try:
            arrays.append(_checked_lengths(_to_arrow(series)))
        except EncodeError as error:
            error.within(f"column {series.name!r}", f"[{brief(series.name)}]" if is_frame else "")
            raise
    names = [series.name for series in columns]
    fields = [escaped(name) for name in names]
    table = pa.Table.from_arrays(arrays, names=fields).unify_dictionaries()
    meta: dict[str, Any] = {}
    if dtypes := _encode_dtypes(columns, _from_arrow(table.slice(0, 0))):
        meta["dtypes"] = dtypes
    if names != fields:
        meta["names"] = names
    return Table(table, meta)


def _encode_dtypes(columns: list[Any], restored: list[Any]) -> dict[str, Any]:
    """Return what must be said of the columns that Arrow would not bring back with their dtypes."""
    specs = {}
    for position, (series, bare) in enumerate(zip(columns, restored, strict=True)):
        if _same(series.dtype, bare.dtype):
            continue
        spec = specs[str(position)] = _encode_dtype(series.dtype)
        if spec is None or not _same(_decode_dtype(spec, bare.dtype), series.dtype):
            msg = f"column {series.name!r}: {series.dtype} would come back as {bare.dtype}; cast it"
            raise UnsupportedValueError(msg)
    return specs


def _decode_columns(table: Any, meta: dict[str, Any]) -> Any:
    """Return the frame of the columns of a table."""
    dtypes = meta.get("dtypes", {})
    columns = []
    for position, series in enumerate(_from_arrow(table)):
        dtype = _decode_dtype(dtypes.get(str(position)), series.dtype)
        columns.append(series if _same(dtype, series.dtype) else series.cast(dtype))
    frame = pl.DataFrame(columns)
    frame.columns = as_list(meta.get("names", table.column_names))
    return frame


# -- frames and series ---------------------------------------------------------------------------------------


def _encode_frame(frame: Any) -> Table:
    if isinstance(frame, pl.LazyFrame):
        raise UnsupportedValueError("a LazyFrame is a query, not its result; return value.collect()")
    if not frame.width:
        return Table(pa.table({}), {"height": frame.height} if frame.height else {})
    return _encode_columns(frame.get_columns())


def _decode_frame(node: Table, _version: int) -> Any:
    if node.table.num_columns:
        return _decode_columns(node.table, node.meta)
    if "height" not in as_dict(node.meta):
        return pl.DataFrame()
    try:
        return pl.DataFrame(height=node.meta["height"])
    except TypeError as error:
        if "keyword argument" not in str(error):
            raise
        raise _too_old("a frame with rows and no columns", "1.38") from error


def _encode_series(series: Any) -> Table:
    return _encode_columns([series], is_frame=False)


def _decode_series(node: Table, _version: int) -> Any:
    (series,) = _decode_columns(node.table, node.meta).get_columns()
    return series


def _column(series: Any) -> tuple[str, Any, Any]:
    return series.name, series.dtype, _shown(series.head(3))


def _shown(head: Any) -> list[Any]:
    with suppress(Exception, pl.exceptions.PanicException):  # a time or a zone that datetime has not
        if not head.dtype.is_nested():
            return list(head.to_list())
    return ["…"] * len(head)


def _summarize_frame(frame: Any) -> dict[str, Any]:
    return summarize_columns(list(frame.shape), map(_column, frame.iter_columns()))


def _summarize_series(series: Any) -> dict[str, Any]:
    return summarize_columns([len(series)], [_column(series)])


_FRAMES, _STATE = (pl.DataFrame, pl.LazyFrame), ("_",)
CODECS = (
    Codec("polars.DataFrame", _FRAMES, _encode_frame, _decode_frame, summarize=_summarize_frame, attributes=_STATE),
    Codec(
        "polars.Series", (pl.Series,), _encode_series, _decode_series, summarize=_summarize_series, attributes=_STATE
    ),
)

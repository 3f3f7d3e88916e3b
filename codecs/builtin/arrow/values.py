"""pyarrow's tables, batches, arrays, scalars, readers and types.

::

    pyarrow.Table, pyarrow.RecordBatch, pyarrow.RecordBatchReader     a table; its meta has what is there of
                          "metadata"    [[key, value], ...]    of the schema, which the payload uses itself
                          "extensions"  [name, ...]            of the extension types, depth first
                          "rows"        int                    where there are no columns
    pyarrow.Array, pyarrow.ChunkedArray, pyarrow.Scalar               such a table of one column
    pyarrow.Schema, pyarrow.Field, pyarrow.DataType                   [IPC message, "extensions"]

Everything is exact but what Arrow itself does not count as part of the value: where chunks begin, and how the values of
a dictionary are numbered where chunks of one column number them differently (they are unified; for an ordered
dictionary, whose numbers have a meaning, that is refused).  A reader is read to its end, a batch at a time where it is
the whole value and has no dictionaries, and comes back as a reader.

What the IPC format loses is refused: it gives the fields of a map the names that the standard recommends, and it has no
dictionaries of dictionaries or of extension types.  Arrow takes an extension type that is not registered for its
storage, so the names of these types are stored and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any
from weakref import WeakSet

import numpy as np
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.number_columns import one_chunk
from airflow_xcom.codecs.builtin.summaries import summarize_columns
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, DecodeError, LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.formats.arrow.file import size_of, unreadable
from airflow_xcom.codecs.formats.arrow.validation import check_values
from airflow_xcom.codecs.nodes import Table, as_list
from airflow_xcom.codecs.quoting import quoted

_SINCE = {"arrow.uuid": 18, "arrow.bool8": 18, "arrow.opaque": 18, "arrow.json": 19}  # pyarrow's own extension types
_IN_PLACE = 12  # bytes that a view holds itself
_LITTLE = 4096  # bytes that are not worth a copy
_STREAMED = 1 << 20  # bytes of a reader that are taken at once


# -- types ---------------------------------------------------------------------------------------------------


def _is_extension(data_type: Any) -> bool:
    return isinstance(data_type, pa.BaseExtensionType)


def _child_types(data_type: Any) -> list[Any]:
    """Return the types that a type is directly made of."""
    if _is_extension(data_type):
        return [data_type.storage_type]
    if pa.types.is_dictionary(data_type):
        return [data_type.value_type]
    return [data_type.field(position).type for position in range(data_type.num_fields)]


def _all_types(types: Iterable[Any]) -> list[Any]:
    """Return the types, and all that they are made of, depth first."""
    return list(chain.from_iterable([data_type, *_all_types(_child_types(data_type))] for data_type in types))


def extension_names(schema: Any) -> list[str]:
    """Return the names of the extension types in a schema, depth first."""
    return [data_type.extension_name for data_type in _all_types(schema.types) if _is_extension(data_type)]


def _is_dictionary_of_more(data_type: Any) -> bool:
    """Return whether it is a dictionary of dictionaries or of extension types."""
    if not pa.types.is_dictionary(data_type):
        return False
    return any(_is_extension(inner) or pa.types.is_dictionary(inner) for inner in _all_types([data_type.value_type]))


_ADVICE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_is_dictionary_of_more, "cast it to the type of its dictionary's values"),
    (_is_extension, "register its extension type with pyarrow.register_extension_type()"),
    (pa.types.is_map, "cast it to a map with the field names 'key' and 'value'"),
    (lambda _type: True, "remove the metadata that say which extension type it has"),
)


def _check_schema(schema: Any) -> None:
    """Refuse a schema that the IPC format does not give back."""
    for field in schema:
        if not _survives(pa.schema([field])):
            types = _all_types([field.type])
            advice = next(advice for applies, advice in _ADVICE if any(map(applies, types)))
            msg = f"the Arrow IPC format would not give back the field {field.name!r} of type {field.type}; {advice}"
            raise UnsupportedValueError(msg)


def _survives(schema: Any) -> bool:
    try:
        return bool(pa.ipc.read_schema(schema.serialize()).equals(schema, check_metadata=True))
    except pa.ArrowException:
        return False


def check_extensions(expected: list[str], schema: Any) -> None:
    """Refuse a schema in which an extension type became its storage, or the other way round."""
    known = extension_names(schema)
    if known == as_list(expected):
        return
    missing = sorted(set(expected) - set(known)) or sorted(set(known) ^ set(expected))
    needed = max(_SINCE.get(name, 0) for name in missing or [""])
    if int(pa.__version__.partition(".")[0]) < needed:
        what = f"a value with the Arrow extension types {quoted(missing)}"
        raise LibraryVersionError(what, "pyarrow", pa.__version__, f"{needed} or newer")
    raise DecodeError(
        f"the payload has the Arrow extension types {quoted(missing)}, which are not registered here as they were "
        "where it was pushed; call pyarrow.register_extension_type() before the pull, or upgrade pyarrow"
    )


def _encode_schema(schema: Any) -> list[Any]:
    _check_schema(schema)
    return [schema.serialize().to_pybytes(), extension_names(schema)]


def _decode_schema(node: Any, _version: int) -> Any:
    message, extensions = node
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(message))
    except pa.ArrowException as error:
        raise unreadable("the schema in the payload is damaged", error) from error
    check_extensions(extensions, schema)
    return schema


def _encode_field(field: Any) -> list[Any]:
    return _encode_schema(pa.schema([field]))


def _decode_field(node: Any, version: int) -> Any:
    (field,) = _decode_schema(node, version)
    return field


# -- tables --------------------------------------------------------------------------------------------------


def _encode_table(table: Any) -> Table:
    schema = table.schema
    _check_schema(schema)
    meta: dict[str, Any] = {}
    if schema.metadata is not None:
        meta["metadata"] = [[key, item] for key, item in schema.metadata.items()]
        if not schema.with_metadata(schema.metadata).equals(schema, check_metadata=True):
            raise UnsupportedValueError("the metadata of its schema has a key twice; give it metadata from a dict")
    if extensions := extension_names(schema):
        meta["extensions"] = extensions
    if not table.num_columns and table.num_rows:
        meta["rows"] = table.num_rows
    columns = [_without_unused_text(_with_one_dictionary(column)) for column in _valid(table).columns]
    return Table(pa.Table.from_arrays(columns, schema=schema.remove_metadata()), meta)


def _valid(table: Any) -> Any:
    """Return the table; refuse one that Arrow would find invalid when it is pulled."""
    try:
        check_values(table)
    except pa.ArrowException as error:
        raise UnsupportedValueError(f"it is not valid Arrow data: {error}; cast or rebuild the column") from error
    return table


def _with_one_dictionary(column: Any) -> Any:
    """Return the column with one dictionary for all its chunks: an IPC file has no room for more."""
    dictionaries = [data_type for data_type in _all_types([column.type]) if pa.types.is_dictionary(data_type)]
    if not dictionaries or column.num_chunks < 2 or _has_equal_dictionaries(column):  # noqa: PLR2004
        return column
    if any(data_type.ordered for data_type in dictionaries):
        raise UnsupportedValueError(
            "its chunks have ordered dictionaries that differ, or nested ones; make it one chunk in the order you want"
        )
    try:
        return column.unify_dictionaries()
    except pa.ArrowException as error:
        msg = f"the dictionaries of its chunks cannot be unified ({error}); decode them with cast(), or make one chunk"
        raise UnsupportedValueError(msg) from error


def _without_unused_text(column: Any) -> Any:
    """Return a column of views without text that none of them shows: IPC writes all text of a slice's parent."""
    is_text = pa.types.is_string_view(column.type)
    if not (is_text or pa.types.is_binary_view(column.type)) or not any(map(_holds_much_more, column.chunks)):
        return column
    return column.cast(pa.large_string() if is_text else pa.large_binary()).cast(column.type)


def _holds_much_more(chunk: Any) -> bool:
    _, views, *data = chunk.buffers()
    lengths = np.frombuffer(views, np.int32)[4 * chunk.offset : 4 * (chunk.offset + len(chunk)) : 4]
    shown = int(lengths[lengths > _IN_PLACE].sum(dtype=np.int64))
    return bool(sum(buffer.size for buffer in data) > 2 * shown + _LITTLE)


def _has_equal_dictionaries(column: Any) -> bool:
    """Return whether all chunks of a dictionary column have equal dictionaries."""
    if not pa.types.is_dictionary(column.type):
        return False
    first = column.chunk(0).dictionary
    return all(chunk.dictionary.equals(first) for chunk in column.chunks)


def _decode_table(node: Table, _version: int) -> Any:
    table, meta = node.table, node.meta
    check_extensions(meta.get("extensions", []), table.schema)
    pairs = meta.get("metadata")
    metadata = None if pairs is None else {bytes(memoryview(key)): bytes(memoryview(item)) for key, item in pairs}
    if table.num_columns:
        return table.replace_schema_metadata(metadata)
    schema = pa.schema([pa.field("", pa.null())], metadata=metadata)  # a column counts rows that have none
    return pa.Table.from_arrays([pa.nulls(meta.get("rows", 0))], schema=schema).select([])


def _decode_batch(node: Table, version: int) -> Any:
    table = _decode_table(node, version)
    if not table.num_columns:
        schema = pa.schema([pa.field("", pa.null())], metadata=table.schema.metadata)
        return pa.RecordBatch.from_arrays([pa.nulls(table.num_rows)], schema=schema).select([])
    return pa.RecordBatch.from_arrays([one_chunk(column) for column in table.columns], schema=table.schema)


_read: WeakSet[Any] = WeakSet()


def _encode_reader(reader: Any) -> Table:
    if type(reader) is not pa.RecordBatchReader:
        msg = f"a {type(reader).__name__} reads from a file, which stays here; return reader.read_all()"
        raise UnsupportedValueError(msg)
    if reader in _read:
        msg = "the reader is at its end, because it was pushed before; return reader.read_all() to push it twice"
        raise UnsupportedValueError(msg)
    _read.add(reader)
    schema = reader.schema
    if not schema.names or any(map(pa.types.is_dictionary, _all_types(schema.types))):
        return _encode_table(reader.read_all())  # the rows are counted, or the dictionaries unified, over all batches
    tables = (_encode_table(pa.Table.from_batches([batch], schema)).table for batch in _batches(reader))
    first = _encode_table(schema.empty_table())
    taken = [first.table, *_first(tables)]
    whole = sum(map(size_of, taken)) < _STREAMED
    return Table(pa.concat_tables(taken), first.meta, more=None if whole else tables)


def _batches(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    except Exception as error:
        raise UnsupportedValueError(f"the reader failed: {type(error).__name__}: {error}") from error


def _first(tables: Iterator[Any]) -> Iterator[Any]:
    """Yield tables until they have enough bytes for a stream to be worth it."""
    size = 0
    while size < _STREAMED and (table := next(tables, None)) is not None:
        size += size_of(table)
        yield table


# -- arrays --------------------------------------------------------------------------------------------------


def _encode_chunked(array: Any) -> Table:
    return _encode_table(pa.Table.from_arrays([array], names=["values"]))


def _decode_chunked(node: Table, version: int) -> Any:
    (column,) = _decode_table(node, version).columns
    return column


def _decode_array(node: Table, version: int) -> Any:
    return one_chunk(_decode_chunked(node, version))


def _decode_scalar(node: Table, version: int) -> Any:
    array = _decode_array(node, version)
    if len(array) != 1:
        raise CorruptPayloadError(f"{len(array)} values for a scalar")
    return array[0]


# -- what people see -----------------------------------------------------------------------------------------


def _shown(array: Any) -> Any:
    return ["…"] * len(array) if _child_types(array.type) else array


def _summarize_table(table: Any) -> dict[str, Any]:
    head = table.slice(0, 3)
    columns = ((field.name, field.type, _shown(head.column(position))) for position, field in enumerate(table.schema))
    return summarize_columns([table.num_rows, table.num_columns], columns)


def _summarize_array(array: Any) -> dict[str, Any]:
    return summarize_columns([len(array)], [("values", array.type, _shown(array.slice(0, 3)))])


def _fields(schema: Any) -> Iterator[tuple[str, Any, Any]]:
    return ((field.name, field.type, ()) for field in schema)


def _codec(name: str, encode: Callable[[Any], Any], decode: Callable[[Any, int], Any], **options: Any) -> Codec[Any]:
    return Codec(f"pyarrow.{name}", (getattr(pa, name),), encode, decode, **options)


_READERS = (pa.RecordBatchReader, pa.RecordBatchStreamReader, pa.RecordBatchFileReader)
# The class of an array, a scalar or a type follows from the type, also where an extension type brings its own.
_BY_TYPE: dict[str, Any] = {"subclasses": True, "attributes": ()}
CODECS = (
    _codec("Table", _encode_table, _decode_table, summarize=_summarize_table),
    _codec(
        "RecordBatch",
        lambda batch: _encode_table(pa.Table.from_batches([batch])),
        _decode_batch,
        summarize=_summarize_table,
    ),
    Codec(
        "pyarrow.RecordBatchReader",
        _READERS,
        _encode_reader,
        lambda node, version: _decode_table(node, version).to_reader(),
        summarize=lambda reader: summarize_columns([], _fields(reader.schema)),
    ),
    _codec("ChunkedArray", _encode_chunked, _decode_chunked, summarize=_summarize_array),
    _codec("Array", _encode_chunked, _decode_array, summarize=_summarize_array, **_BY_TYPE),
    _codec(
        "Scalar",
        lambda scalar: _encode_chunked(pa.repeat(scalar, 1)),
        _decode_scalar,
        summarize=lambda scalar: summarize_columns([], [("value", scalar.type, ())]),
        **_BY_TYPE,
    ),
    _codec(
        "Schema",
        _encode_schema,
        _decode_schema,
        summarize=lambda schema: summarize_columns([len(schema)], _fields(schema)),
    ),
    _codec("Field", _encode_field, _decode_field),
    _codec(
        "DataType",
        lambda data_type: _encode_field(pa.field("", data_type)),
        lambda node, version: _decode_field(node, version).type,
        subclasses=True,
    ),
)

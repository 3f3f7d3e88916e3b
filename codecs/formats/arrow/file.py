"""Tables as Arrow IPC: a file where a table is the whole value, a stream where it is part of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from airflow_xcom.codecs.errors import (
    CodecError,
    CorruptPayloadError,
    DecodeError,
    LibraryVersionError,
    NewerFormatError,
    UnusableLibraryError,
)
from airflow_xcom.codecs.formats.compressed_frames import (
    ALWAYS_ALLOWED,
    LARGEST_RATIO,
    check_inflation,
    choose,
    codec_of,
)
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.quoting import described

if TYPE_CHECKING:
    import pyarrow as pa

_SMALL_DECIMALS = "Library only supports 128-bit or 256-bit decimal"  # pyarrow 17 and 18, of what 19 has
_SAMPLED = 64  # columns, when "auto" looks at a table
_MOST_ROWS = (1 << 31) - 1  # of a batch that every Arrow library reads
_TOGETHER = 4 << 10  # bytes; what has fewer is copied together, for each write from Arrow to Python takes microseconds
_FILLING = 64  # bytes; zeros come in multiples of these
_NOTE = b"airflow_xcom"  # the key of a schema's metadata
_NEWEST_NOTE = 2  # version 2 adds the types


# -- what a schema says of the value ----------------------------------------------------------------------------


class Note(NamedTuple):
    """What rebuilds a value from its table; it stands in the metadata of the schema.

    Attributes:
        tag: of the value.
        version: of the tag.
        meta: what Arrow cannot say, in the JSON syntax.
        types: by the position of a column, as text: the type that it had before it was downcast.
    """

    tag: str
    version: int
    meta: Any
    types: dict[str, Any]

    def metadata(self) -> dict[bytes, bytes]:
        """Return the metadata of the schema."""
        note = {"version": 1, "tag": self.tag, "tag_version": self.version, "meta": self.meta}
        return {_NOTE: orjson.dumps(note | ({"version": 2, "types": self.types} if self.types else {}))}


def read_note(schema: Any) -> Note:
    """Return what the metadata of a schema say."""
    try:
        note = orjson.loads((schema.metadata or {}).get(_NOTE, b""))
    except orjson.JSONDecodeError:
        note = None
    match note:
        case {"version": int(newer)} if newer > _NEWEST_NOTE:
            raise NewerFormatError("the Arrow body", newer, _NEWEST_NOTE)
        case {"version": 1, "tag": str(tag), "tag_version": int(version), "meta": meta}:
            return Note(tag, version, meta, {})
        case {"version": 2, "tag": str(tag), "tag_version": int(version), "meta": meta, "types": dict(types)}:
            return Note(tag, version, meta, types)
    raise CorruptPayloadError("the Arrow file in the payload does not say how to rebuild the value")


# -- writing -------------------------------------------------------------------------------------------------


class _Chunks:
    """A sink that keeps what Arrow writes, column memory included, without copying it."""

    closed = False

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.size = 0

    def write(self, data: Any) -> int:
        self.chunks.append(data)
        self.size += len(data)
        return len(data)

    def take(self) -> list[Any]:
        """Return what was written since the last time."""
        taken, self.chunks = self.chunks, []
        return taken

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Prepared(NamedTuple):
    """A table as it is written.

    Attributes:
        table: its first rows, with some columns downcast.
        types: those that these columns had, by their positions as text.
        compression: not ``auto``.
    """

    table: pa.Table
    types: dict[str, str]
    compression: Compression

    @property
    def is_unchanged(self) -> bool:
        """Return whether it is written as without compression."""
        return not self.types and self.compression.algorithm == "none"


def prepare(table: Table, compression: Compression) -> Prepared:
    """Return the table for the compression that was asked for, or, for ``auto``, for one that suits it."""
    if compression.algorithm != "auto":
        return Prepared(table.table, {}, compression)
    chosen = choose(_sampled_buffers(table.table), compression)
    if chosen.algorithm == "none" or table.more is not None:
        return Prepared(table.table, {}, chosen)
    from airflow_xcom.codecs.formats.arrow.downcast import downcast

    smaller, types = downcast(table.table)
    return Prepared(smaller, types, choose(_sampled_buffers(smaller), compression))


def _sampled_buffers(table: pa.Table) -> list[Any]:
    """Return the buffers of some columns of a table, those of their dictionaries left out."""
    columns = table.columns[:: max(table.num_columns // _SAMPLED, 1)]
    arrays = (chunk for column in columns for chunk in column.chunks)
    return [buffer for array in arrays for buffer in array.buffers() if buffer is not None and buffer.size]


def write_file(
    table: Table, tag: str, version: int, meta: Any, compression: Compression | Prepared = NO_COMPRESSION
) -> Iterator[Any]:
    """Yield the chunks of an Arrow IPC file whose schema says how to rebuild the value.

    ``meta`` is in the JSON syntax.  Chunks are bytes or Arrow buffers that share the table's memory; rows that are made
    as they are taken are held for as long as they are written.
    """
    import pyarrow as pa

    first, types, chosen = prepare(table, compression) if isinstance(compression, Compression) else compression
    return _written(
        chain([first], table.more or ()),
        first.schema.with_metadata(Note(tag, version, meta, types).metadata()),
        partial(pa.ipc.new_file, options=pa.ipc.IpcWriteOptions(compression=codec_of(chosen))),
        restored=size_of(table.table) if types else 0,
        is_inflated=bool(types) or chosen.algorithm != "none",
    )


def stream_chunks(table: pa.Table) -> list[Any]:
    """Return the chunks of an Arrow IPC stream, which is never compressed: what it is a part of is."""
    import pyarrow as pa

    return list(_written([table], table.schema, pa.ipc.new_stream))


def whole_stream(table: pa.Table) -> pa.Buffer:
    """Return an Arrow IPC stream in one piece; of a small table, that takes less time than to keep its memory."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, _MOST_ROWS)
    return sink.getvalue()


def _written(
    tables: Iterable[pa.Table], schema: pa.Schema, writer_of: Any, *, restored: int = 0, is_inflated: bool = False
) -> Iterator[Any]:
    """Yield the chunks of an IPC format, of which ``writer_of`` makes the writer for a file and a schema.

    ``restored`` are the bytes that a reader makes of columns that were downcast.
    """
    import pyarrow as pa

    sink = _Chunks()
    inflated = restored
    with pa.BufferedOutputStream(pa.PythonFile(sink, "w"), _TOGETHER) as file, writer_of(file, schema) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata), _MOST_ROWS)
            inflated += size_of(table) if is_inflated else 0
            file.flush()
            yield from sink.take()
        file.write(bytes(_missing(inflated, sink.size)))
    yield from sink.take()


def size_of(table: pa.Table) -> int:
    """Return the bytes that the rows of a table take; of views, before pyarrow 18, those of all that they lie in."""
    import pyarrow as pa

    try:
        return int(table.nbytes)
    except pa.ArrowException:
        return int(table.get_total_buffer_size())


def _missing(inflated: int, stored: int) -> int:
    """Return how many bytes must be added for a reader not to take a file for a decompression bomb."""
    if 2 * inflated < ALWAYS_ALLOWED:  # what a reader counts may be more, by padding and what slices leave out
        return 0
    return -(min(stored - 2 * inflated // LARGEST_RATIO, 0) // _FILLING) * _FILLING


# -- reading -------------------------------------------------------------------------------------------------


def read_file(memory: memoryview) -> tuple[Note, pa.Table]:
    """Return what an Arrow IPC file says of its value, and the table in it.

    Args:
        memory: the file; the table's columns lie in it.

    Raises:
        CorruptPayloadError: the file is damaged, or not an Arrow file of ours.
        NewerFormatError: a newer release wrote it.
        UnusableLibraryError: pyarrow cannot be imported.
        LibraryVersionError: the pyarrow installed lacks a type of the table.
    """
    table = _read(memory, "the payload is not an Arrow file of this distribution, or is damaged", is_file=True)
    note = read_note(table.schema)
    if not note.types:
        return note, table
    from airflow_xcom.codecs.formats.arrow.downcast import restore_types

    return note, restore_types(table, note.types, len(memory))


def read_stream(memory: memoryview, meta: Any) -> Table:
    """Return the table of an Arrow IPC stream that lies in writable memory."""
    return Table(_read(memory, "a table in the payload is damaged", is_file=False), meta, memory)


def _read(memory: memoryview, damage: str, *, is_file: bool) -> pa.Table:
    """Return the table of a file or a stream, of which every value is checked; ``damage`` is what an error says."""
    pa = _pyarrow()
    # Not at the top: a first push does without.
    from airflow_xcom.codecs.formats.arrow.flatbuffers import inflated_size
    from airflow_xcom.codecs.formats.arrow.validation import check_values

    try:
        inflated = inflated_size(memory, is_file=is_file)
        if is_file:
            check_inflation(inflated, len(memory))
        elif inflated > len(memory):  # it may be one of many, in a buffer that was decompressed itself
            raise ValueError("it is compressed, as no table within a value is")  # noqa: TRY301 - caught as damage
        table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.py_buffer(memory)).read_all()
        check_values(table)
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(damage, error) from error
    return table


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:  # pyarrow 26 does not load beside NumPy 1.26
        raise UnusableLibraryError("pyarrow", error) from error
    return pa


def unreadable(what: str, error: Exception) -> DecodeError:
    """Return the error of this distribution for one that pyarrow raised on reading."""
    if _SMALL_DECIMALS in str(error):
        return LibraryVersionError("a decimal of 32 or 64 bits", "pyarrow", _pyarrow().__version__, "19 or newer")
    return CorruptPayloadError(f"{what}: {described(error)}")

"""Tables as Arrow IPC: a file where a table is the whole value, a stream where it is part of one."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    DecodeError,
    LibraryVersionError,
    NewerFormatError,
    UnusableLibraryError,
)
from airflow_xcom.codecs.formats.arrow.metadata import inflated_size
from airflow_xcom.codecs.formats.arrow.validation import check_values
from airflow_xcom.codecs.formats.compressed_frames import LARGEST_RATIO, choose, codec_of
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.nodes import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = [
    "KEY",
    "PLAIN_VERSION",
    "VERSION",
    "check_inflation",
    "read_file",
    "read_stream",
    "size_of",
    "stream_chunks",
    "unreadable",
    "widened",
    "write_file",
]

KEY = b"airflow_xcom"  # of the schema's metadata
PLAIN_VERSION, VERSION = 1, 2  # of a file whose columns are as they were, and of one with narrower ones

_SMALL_DECIMALS = "Library only supports 128-bit or 256-bit decimal"  # pyarrow 17 and 18, of what 19 has
# What a payload may become when it is decompressed.  LZ4 cannot make more than 255 bytes of one; where Zstandard does
# (a constant column of 64 MiB takes 6 KiB), whoever writes takes LZ4, or adds zeros to an Arrow file.
ALWAYS_ALLOWED = 64 << 20  # bytes
_LOOKED_AT = 64  # columns, when "auto" looks at a table
_TOGETHER = 4 << 10  # bytes; what has fewer is copied together, for each write from Arrow to Python takes microseconds
_FILLING = 64  # bytes; zeros come in multiples of these


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
        """What was written since the last time."""
        taken, self.chunks = self.chunks, []
        return taken

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def write_file(
    table: Table, tag: str, version: int, meta: Any, compression: Compression | Suited = NO_COMPRESSION
) -> Iterator[Any]:
    """The chunks of an Arrow IPC file whose schema says how to rebuild the value.

    ``meta`` is in the JSON syntax.  Chunks are bytes or Arrow buffers that share the table's memory; rows that are made
    as they are taken are held for as long as they are written.
    """
    import pyarrow as pa

    suited = suit(table, compression) if isinstance(compression, Compression) else compression
    note: dict[str, Any] = {"version": PLAIN_VERSION, "tag": tag, "tag_version": version, "meta": meta}
    if suited.types:
        note |= {"version": VERSION, "types": suited.types}
    return _written(
        chain([suited.table], table.more or ()),
        suited.table.schema.with_metadata({KEY: orjson.dumps(note)}),
        partial(pa.ipc.new_file, options=pa.ipc.IpcWriteOptions(compression=codec_of(suited.compression))),
        wide=size_of(table.table) if suited.types else 0,
        inflates=not suited.is_plain,
    )


class Suited(NamedTuple):
    """How a table is to be written.

    Attributes:
        table: it, or its first rows, with some columns in narrower types.
        types: those that these columns had, by their places as text.
        compression: not ``auto``.
    """

    table: pa.Table
    types: dict[str, str]
    compression: Compression

    @property
    def is_plain(self) -> bool:
        """Whether it is written as without compression."""
        return not self.types and self.compression.algorithm == "none"


def suit(table: Table, compression: Compression) -> Suited:
    """What was asked for, or, for ``auto``, what suits the table."""
    if compression.algorithm != "auto":
        return Suited(table.table, {}, compression)
    chosen = choose(_memory_of(table.table), compression)
    if chosen.algorithm == "none" or table.more is not None:
        return Suited(table.table, {}, chosen)
    from airflow_xcom.codecs.formats.arrow.narrow import narrow

    narrowed, types = narrow(table.table)
    return Suited(narrowed, types, choose(_memory_of(narrowed), compression))


def _memory_of(table: pa.Table) -> list[Any]:
    """The buffers of some columns of a table, those of their dictionaries left out."""
    columns = table.columns[:: max(table.num_columns // _LOOKED_AT, 1)]
    arrays = (chunk for column in columns for chunk in column.chunks)
    return [buffer for array in arrays for buffer in array.buffers() if buffer is not None and buffer.size]


def stream_chunks(table: pa.Table) -> list[Any]:
    """The chunks of an Arrow IPC stream, which is never compressed: what it is a part of is."""
    import pyarrow as pa

    return list(_written([table], table.schema, pa.ipc.new_stream))


def _written(
    tables: Iterable[pa.Table], schema: pa.Schema, writer_of: Any, *, wide: int = 0, inflates: bool = False
) -> Iterator[Any]:
    """The chunks of an IPC format; if reading ``inflates`` them, it makes ``wide`` bytes beside the tables."""
    import pyarrow as pa

    sink = _Chunks()
    inflated = wide
    with pa.BufferedOutputStream(pa.PythonFile(sink, "w"), _TOGETHER) as file, writer_of(file, schema) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata))
            inflated += size_of(table) if inflates else 0
            file.flush()
            yield from sink.take()
        file.write(bytes(_missing(inflated, sink.size)))
    yield from sink.take()


def size_of(table: pa.Table) -> int:
    """The bytes that the rows of a table take; of views, before pyarrow 18, those of all that they lie in."""
    import pyarrow as pa

    try:
        return int(table.nbytes)
    except pa.ArrowException:
        return int(table.get_total_buffer_size())


def _missing(inflated: int, stored: int) -> int:
    """How many bytes must be added for a reader not to take a file for a bomb."""
    if 2 * inflated < ALWAYS_ALLOWED:  # what a reader counts may be more, by padding and what slices leave out
        return 0
    return -(min(stored - 2 * inflated // LARGEST_RATIO, 0) // _FILLING) * _FILLING


def check_inflation(inflated: int, stored: int) -> None:
    """Refuse a decompression bomb, before anything is allocated for it.

    Args:
        inflated: the bytes that a payload says it will have once it is decompressed.
        stored: the bytes that it has.

    Raises:
        CorruptPayloadError: these are too few for those.
    """
    if inflated > max(ALWAYS_ALLOWED, LARGEST_RATIO * stored):
        msg = (
            f"{stored} bytes would be decompressed to {inflated}, and more than {ALWAYS_ALLOWED} must not be more than "
            f"{LARGEST_RATIO} times what is stored"
        )
        raise CorruptPayloadError(msg)


def read_file(memory: memoryview) -> tuple[str, int, Any, pa.Table]:
    """The tag, its version, the meta (in the JSON syntax) and the table of an Arrow IPC file.

    Args:
        memory: the file; the table's columns lie in it.

    Raises:
        CorruptPayloadError: it is not an Arrow file of ours, or damaged.
        NewerFormatError: a newer release wrote it.
        UnusableLibraryError: pyarrow cannot be imported.
        LibraryVersionError: the pyarrow installed has not the types of the table.
    """
    pa = _pyarrow()
    try:
        check_inflation(inflated_size(memory), len(memory))
        table = pa.ipc.open_file(pa.py_buffer(memory)).read_all()
        check_values(table)
        note = orjson.loads((table.schema.metadata or {})[KEY])
    except (CorruptPayloadError, MemoryError):
        raise
    except Exception as error:
        raise unreadable("the payload is not an Arrow file of this distribution, or is damaged", error) from error
    match note:
        case {"version": int(newer)} if newer > VERSION:
            raise NewerFormatError("the Arrow body", newer, VERSION)
        case {"version": 1, "tag": str(tag), "tag_version": int(version), "meta": meta}:
            return tag, version, meta, table
        case {"version": 2, "tag": str(tag), "tag_version": int(version), "meta": meta, "types": dict(types)}:
            return tag, version, meta, widened(table, types, len(memory))
    msg = "the Arrow file in the payload does not say how to rebuild the value"
    raise CorruptPayloadError(msg)


def widened(table: pa.Table, types: dict[str, Any], stored: int) -> pa.Table:
    """The table with the types that its columns had before they were narrowed.

    Args:
        table: as it is stored.
        types: the names of the types, by the places of the columns as text.
        stored: the bytes of the payload.

    Raises:
        CorruptPayloadError: the columns do not have such types, or would take far more memory than the payload.
    """
    from airflow_xcom.codecs.formats.arrow.narrow import wide_size, widen

    try:
        check_inflation(wide_size(table, types), stored)
        return widen(table, types)
    except (CorruptPayloadError, MemoryError):
        raise
    except Exception as error:
        msg = f"the columns of the payload do not become what they were: {type(error).__name__}: {error}"
        raise CorruptPayloadError(msg) from error


def _check_plain(memory: memoryview) -> None:
    """Refuse a compressed stream: it may be one of many, and stand in a buffer that was decompressed itself."""
    if inflated_size(memory) > len(memory):
        raise ValueError("it is compressed, as no table within a value is")


def read_stream(memory: memoryview, meta: Any) -> Table:
    """The table of an Arrow IPC stream that lies in writable memory.

    Raises:
        CorruptPayloadError: it is not an Arrow stream, or damaged.
        UnusableLibraryError, LibraryVersionError: see :func:`read_file`.
    """
    pa = _pyarrow()
    try:
        _check_plain(memory)
        table = pa.ipc.open_stream(pa.py_buffer(memory)).read_all()
        check_values(table)
    except MemoryError:
        raise
    except Exception as error:
        raise unreadable("a table in the payload is damaged", error) from error
    return Table(table, meta, memory)


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:  # pyarrow 26 does not load beside NumPy 1.26
        raise UnusableLibraryError("pyarrow", error) from error
    return pa


def unreadable(what: str, error: Exception) -> DecodeError:
    """The error of this distribution for one that pyarrow raised on reading."""
    if _SMALL_DECIMALS in str(error):
        return LibraryVersionError("a decimal of 32 or 64 bits", "pyarrow", _pyarrow().__version__, "19 or newer")
    return CorruptPayloadError(f"{what}: {type(error).__name__}: {error}")

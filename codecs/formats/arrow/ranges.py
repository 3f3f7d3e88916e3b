"""Some columns and rows of an Arrow IPC file, read as ranges of its bytes from wherever it is.

The file gets an address space of its size, in which only what is read takes memory, and Arrow opens it there.  What has
to be read first is found in the FlatBuffers of its footer and of its record batches, as ``format/File.fbs``,
``Message.fbs`` and ``Schema.fbs`` of https://github.com/apache/arrow lay them out.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from airflow_xcom.codecs.errors import CodecError, CorruptPayloadError, NewerFormatError
from airflow_xcom.codecs.formats.arrow.file import KEY, VERSION, check_inflation, widened
from airflow_xcom.codecs.formats.arrow.metadata import inflated_size
from airflow_xcom.codecs.formats.arrow.narrow import wide_schema
from airflow_xcom.codecs.formats.arrow.validation import check_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

__all__ = ["ArrowRanges"]

Range = tuple[int, int]  # the first byte, and the one behind the last

_MAGIC = b"ARROW1"
_TAIL = 1 << 16  # bytes; enough for the footer of a table of hundreds of columns
_COMPRESSIONS = ("lz4", "zstd")  # of Message.fbs, CompressionType
_GAP = 1 << 14  # bytes that are read along rather than asked around
_AT_ONCE = 1 << 26  # bytes that are asked for at a time; each takes memory twice until they are in place


class ArrowRanges:
    """An Arrow IPC file of ours, of which nothing is read yet but what is in it.

    Args:
        fetch: the bytes of each range, as ``Store.read`` gives them.
        size: of the file.

    Attributes:
        tag: of the value that the file stands for.
        version: of the tag.
        meta: what Arrow cannot say, in the JSON syntax.
        schema: of the table, without metadata.
        count: its rows.
        compression: of its batches: ``"lz4"``, ``"zstd"`` or ``"none"``.
        memory: what the tables lie in that :meth:`table` gives.

    Raises:
        CorruptPayloadError: it is not an Arrow file of ours, or damaged.
        NewerFormatError: a newer release wrote it.
    """

    def __init__(self, fetch: Callable[[Sequence[Range]], Sequence[memoryview]], size: int) -> None:
        self._fetch = fetch
        self._size = size
        try:
            self.memory = memoryview(mmap.mmap(-1, size))
            self._open()
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            raise _damaged(error) from error

    def _open(self) -> None:
        import pyarrow as pa

        self._read([(max(0, self._size - _TAIL), self._size)])
        self.memory[: len(_MAGIC)] = _MAGIC
        footer = self._footer()
        blocks = footer.structs(3, "<qi4xq")
        self._dictionaries = footer.structs(2, "<qi4xq")
        if sum(length + body for _, length, body in [*blocks, *self._dictionaries]) > self._size:
            raise ValueError("it has more in it than bytes")
        self._read((start, start + length) for start, length, _ in [*blocks, *self._dictionaries])
        self._file = pa.py_buffer(self.memory)
        schema = pa.ipc.open_file(self._file).schema
        self.tag, self.version, self.meta, self._types = _note(schema)
        self._stored = schema.remove_metadata()
        self.schema = wide_schema(self._stored, self._types)
        fields = footer.table(1).tables(1)
        self._ids = [set(_dictionary_ids(field)) for field in fields]
        self._batches = [_Batch(self.memory, block, schema.types) for block in blocks]
        self.count = sum(batch.count for batch in self._batches)
        self.compression = next((batch.compression for batch in self._batches), "none")

    def _footer(self) -> _Fields:
        (length,) = struct.unpack_from("<i", self.memory, self._size - 10)
        if self.memory[self._size - 6 :] != _MAGIC or not 0 < length < self._size - 10:
            raise ValueError("it has no footer")
        start = self._size - 10 - length
        if start < self._size - _TAIL:
            self._read([(start, self._size - _TAIL)])
        return _Fields.root(self.memory, start)

    def table(self, places: Sequence[int], rows: range) -> pa.Table:
        """The columns at these places and the rows in this range, every value of them checked.

        Raises:
            CorruptPayloadError: they are damaged.
        """
        import pyarrow as pa

        try:
            schema = pa.schema([self._stored.field(place) for place in places])
            if not places:
                return schema.empty_table()
            table = pa.Table.from_batches(self._selected(places, rows, schema), schema)
            check_values(table)
            types = {str(at): self._types[str(place)] for at, place in enumerate(places) if str(place) in self._types}
            return widened(table, types, self._size)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            raise _damaged(error) from error

    def _selected(self, places: Sequence[int], rows: range, schema: Any) -> list[Any]:
        import pyarrow as pa

        needed = sorted(set(places))
        parts = [(batch, part) for batch, part in self._parts(rows) if part]
        parts = parts or [(batch, range(0)) for batch in self._batches[:1]]  # it has the dictionaries
        ids = set().union(*(self._ids[place] for place in needed))
        dictionaries = _dictionary_ranges(self.memory, self._dictionaries, ids)
        self._read_rounds([iter([dictionaries]), *(batch.ranges(needed, part, self.memory) for batch, part in parts)])
        check_inflation(inflated_size(self.memory), self._size)
        # Arrow copies what it is told to include, and must be told where it would decompress everything.
        packed = any(batch.is_compressed for batch in self._batches)
        options = pa.ipc.IpcReadOptions(included_fields=needed if packed else None)
        reader = pa.ipc.open_file(self._file, options=options)
        found = [needed.index(place) for place in places] if packed else list(places)
        numbers = {id(batch): number for number, batch in enumerate(self._batches)}
        batches = ((reader.get_batch(numbers[id(batch)]), part) for batch, part in parts)
        return [
            pa.RecordBatch.from_arrays(
                [batch.column(place).slice(part.start, len(part)) for place in found], schema=schema
            )
            for batch, part in batches
        ]

    def _parts(self, rows: range) -> Iterator[tuple[_Batch, range]]:
        """Each batch, and which of its own rows are among ``rows``."""
        first = 0
        for batch in self._batches:
            yield batch, range(max(0, rows.start - first), min(batch.count, rows.stop - first))
            first += batch.count

    def _read_rounds(self, readers: list[Iterator[list[Range]]]) -> None:
        """Read what each asks for, together, until all have what they need."""
        while readers:
            asked = [(reader, next(reader, None)) for reader in readers]
            readers = [reader for reader, ranges in asked if ranges is not None]
            self._read(chain.from_iterable(ranges for _, ranges in asked if ranges is not None))

    def _read(self, ranges: Iterable[Range]) -> None:
        """Put bytes of the file where they belong in memory."""
        merged = _merged(ranges)
        if merged and not 0 <= merged[0][0] <= merged[-1][1] <= self._size:
            raise ValueError("it refers to bytes that it has not")
        for group in _groups(merged):
            for (start, stop), piece in zip(group, self._fetch(group), strict=True):
                self.memory[start:stop] = piece


def _note(schema: Any) -> tuple[str, int, Any, dict[str, Any]]:
    match orjson.loads((schema.metadata or {})[KEY]):
        case {"version": int(newer)} if newer > VERSION:
            raise NewerFormatError("the Arrow body", newer, VERSION)
        case {"version": 1, "tag": str(tag), "tag_version": int(version), "meta": meta}:
            return tag, version, meta, {}
        case {"version": 2, "tag": str(tag), "tag_version": int(version), "meta": meta, "types": dict(types)}:
            return tag, version, meta, types
    raise ValueError("it does not say how to rebuild the value")


def _damaged(error: Exception) -> CorruptPayloadError:
    kind = type(error).__name__
    return CorruptPayloadError(
        f"the payload is not an Arrow file of this distribution, or is damaged: {kind}: {error}; run the task again"
    )


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those close to each other as one."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if merged and start - merged[-1][1] <= _GAP:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _groups(ranges: list[Range]) -> Iterator[list[Range]]:
    """The ranges in groups, each of about as many bytes as are asked for at a time."""
    group: list[Range] = []
    size = 0
    for begin, end in ranges:
        for start in range(begin, end, _AT_ONCE):
            stop = min(start + _AT_ONCE, end)
            if group and size + stop - start > _AT_ONCE:
                yield group
                group, size = [], 0
            group.append((start, stop))
            size += stop - start
    if group:
        yield group


# -- record batches ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a batch, or a part of a nested one: where its buffers are in the file."""

    kind: Any
    count: int
    buffers: list[Range]
    children: list[_Column]

    def all(self) -> Iterator[Range]:
        """Every buffer."""
        yield from self.buffers
        for child in self.children:
            yield from child.all()

    def ranges(self, part: range, memory: memoryview) -> Iterator[list[Range]]:
        """What must be read for some rows; what is asked for later depends on what was asked for first."""
        width = _width(self.kind)
        if len(part) == self.count or width is None:
            yield list(self.all())
            return
        validity, items, *text = self.buffers
        wanted = [_items(validity, 1, part.start, part.stop)]
        if not text:
            yield [*wanted, _items(items, width, part.start, part.stop)]
            return
        offsets = _items(items, width, part.start, part.stop + 1)
        yield [*wanted, offsets]
        code = "<q" if width == 64 else "<i"  # noqa: PLR2004 - bits of an offset
        (first,) = struct.unpack_from(code, memory, offsets[0])
        (last,) = struct.unpack_from(code, memory, offsets[1] - width // 8)
        start, stop = text[0]
        if not 0 <= first <= last <= stop - start:
            raise ValueError("text lies outside its buffer")
        yield [(start + first, start + last)]


class _Batch:
    """The head of a record batch."""

    def __init__(self, memory: memoryview, block: tuple[int, int, int], kinds: Sequence[Any]) -> None:
        head = _message(memory, block[0]).table(2)
        self.count = head.number(0)
        self.is_compressed = head.has(3)
        self.compression = _COMPRESSIONS[head.table(3).byte(0)] if self.is_compressed else "none"
        places = iter(_buffers(head, block))
        nodes = iter(head.structs(1, "<qq"))
        views = (count for (count,) in head.structs(4, "<q"))
        self._columns = [_column(kind, nodes, places, views) for kind in kinds]
        if self.count < 0 or any(column.count != self.count for column in self._columns):
            raise ValueError("its columns differ in length")

    def ranges(self, places: list[int], part: range, memory: memoryview) -> Iterator[list[Range]]:
        """What must be read for some rows of some columns, as :meth:`_Column.ranges`."""
        part = range(self.count) if self.is_compressed else part
        readers = [self._columns[place].ranges(part, memory) for place in places]
        while readers:
            asked = [(reader, next(reader, None)) for reader in readers]
            readers = [reader for reader, ranges in asked if ranges is not None]
            if readers:
                yield [part for _, ranges in asked if ranges is not None for part in ranges]


def _message(memory: memoryview, start: int) -> _Fields:
    """The message at ``start``, behind a mark and its length."""
    return _Fields.root(memory, start + 8)


def _buffers(head: _Fields, block: tuple[int, int, int]) -> list[Range]:
    """Where the buffers of a record batch are in the file."""
    start, length, size = block
    body = start + length
    found = [(body + offset, body + offset + count) for offset, count in head.structs(2, "<qq")]
    if not all(body <= first <= last <= body + size for first, last in found):
        raise ValueError("a buffer lies outside its batch")
    return found


def _column(kind: Any, nodes: Iterator[Any], places: Iterator[Range], views: Iterator[int]) -> _Column:
    import pyarrow as pa

    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.index_type
    count, _ = next(nodes)
    buffers = [next(places) for _ in range(_buffer_count(kind, views))]
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return _Column(kind, count, buffers, [_column(child, nodes, places, views) for child in inner])


def _buffer_count(kind: Any, views: Iterator[int]) -> int:
    """How many buffers an array of this type has, those of the arrays in it not counted."""
    from pyarrow import types

    if types.is_null(kind) or types.is_run_end_encoded(kind):
        return 0
    if types.is_struct(kind) or types.is_fixed_size_list(kind):
        return 1
    if types.is_union(kind):
        return 2 if kind.mode == "dense" else 1
    if types.is_binary_view(kind) or types.is_string_view(kind):
        return 2 + next(views)
    if types.is_list_view(kind) or types.is_large_list_view(kind) or _is_text(kind):
        return 3
    return 2


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return any(
        check(kind) for check in (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary)
    )


def _width(kind: Any) -> int | None:
    """The bits of an item, or of the offset of a text; None for what is read as a whole."""
    from pyarrow import types

    if _is_text(kind):
        return 64 if types.is_large_string(kind) or types.is_large_binary(kind) else 32
    return int(kind.bit_width) if types.is_primitive(kind) or _is_opaque(kind) else None


def _is_opaque(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_decimal(kind) or types.is_fixed_size_binary(kind))


def _items(buffer: Range, width: int, first: int, last: int) -> Range:
    """Where items of ``width`` bits lie in a buffer, which may be empty: where there are no nulls, say."""
    start, stop = buffer
    if start == stop:
        return buffer
    begin, end = start + first * width // 8, start + -(-last * width // 8)
    if end > stop:
        raise ValueError("a buffer is too small")
    return begin, end


# -- dictionaries --------------------------------------------------------------------------------------------


def _dictionary_ids(field: _Fields) -> Iterator[int]:
    """The dictionaries of a field of a schema, and of those within it."""
    if field.has(4):
        yield field.table(4).number(0)
    for child in field.tables(5):
        yield from _dictionary_ids(child)


def _dictionary_ranges(memory: memoryview, blocks: list[Any], ids: set[int]) -> list[Range]:
    """What must be read of the dictionaries; compressed ones Arrow decompresses whether they are wanted or not."""
    wanted = []
    for start, length, size in blocks:
        batch = _message(memory, start).table(2)
        if batch.number(0) in ids or batch.table(1).has(3):
            wanted.append((start + length, start + length + size))
    return wanted


# -- FlatBuffers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fields:
    """A table of a FlatBuffer: its fields by their number (https://flatbuffers.dev/internals)."""

    memory: memoryview
    place: int

    @classmethod
    def root(cls, memory: memoryview, start: int) -> _Fields:
        return cls(memory, _follow(memory, start))

    def _find(self, field: int) -> int | None:
        (back,) = struct.unpack_from("<i", self.memory, self.place)
        at = self.place - back
        (size,) = struct.unpack_from("<H", self.memory, at)
        if 4 + 2 * field >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.memory, at + 4 + 2 * field)
        return self.place + offset if offset else None

    def has(self, field: int) -> bool:
        return self._find(field) is not None

    def number(self, field: int) -> int:
        """A 64-bit integer."""
        place = self._find(field)
        return 0 if place is None else int(struct.unpack_from("<q", self.memory, place)[0])

    def byte(self, field: int) -> int:
        place = self._find(field)
        return 0 if place is None else self.memory[place]

    def table(self, field: int) -> _Fields:
        place = self._find(field)
        if place is None:
            raise ValueError("a part is missing")
        return _Fields(self.memory, _follow(self.memory, place))

    def tables(self, field: int) -> list[_Fields]:
        places = range(0, 4 * len(found), 4) if (found := self.structs(field, "<I")) else ()
        return [_Fields(self.memory, _follow(self.memory, self._vector(field) + at)) for at in places]

    def structs(self, field: int, layout: str) -> list[Any]:
        if not self.has(field):
            return []
        start, form = self._vector(field), struct.Struct(layout)
        (count,) = struct.unpack_from("<I", self.memory, start - 4)
        if count * form.size > len(self.memory) - start:
            raise ValueError("a list is longer than the file")
        return list(form.iter_unpack(self.memory[start : start + count * form.size]))

    def _vector(self, field: int) -> int:
        place = self._find(field)
        if place is None:
            raise ValueError("a list is missing")
        return _follow(self.memory, place) + 4


def _follow(memory: memoryview, place: int) -> int:
    (offset,) = struct.unpack_from("<I", memory, place)
    return place + int(offset)

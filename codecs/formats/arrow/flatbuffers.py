"""Read where the buffers of an Arrow IPC file or stream are, and how large they become, before Arrow allocates.

pyarrow tells neither, so this reads the FlatBuffers (https://flatbuffers.dev/internals) of Arrow's metadata: the tables
``Footer``, ``Message``, ``RecordBatch`` and ``DictionaryBatch`` of ``format/File.fbs`` and ``Message.fbs`` in
https://github.com/apache/arrow.  Two things need it:

- a forged file is refused before it is decompressed: 16 KB of Zstandard become 500 MB;
- a read of some rows reads these alone: 10 rows of a frame of 80 MB take 66 KB, and 80 MB through pyarrow's reader,
  which selects columns but no rows within a batch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

Range = tuple[int, int]  # the first byte, and the one behind the last

MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF  # before each message, since Arrow 0.15
_DICTIONARY, _RECORDS = 2, 3  # Message.header_type
_OVERLAP = "parts of a table are used more than once"

_UNCOMPRESSED = -1  # for the length of a buffer that was not worth compressing


class FlatTable:
    """A table of a FlatBuffer; its fields have numbers, and may be missing."""

    __slots__ = ("_size", "_vtable", "memory", "start")

    def __init__(self, memory: memoryview, start: int) -> None:
        self.memory = memory
        self.start = start
        self._vtable = start - _unpack("<i", memory, start)
        self._size = _unpack("<H", memory, self._vtable)

    @classmethod
    def root(cls, memory: memoryview) -> FlatTable:
        """Return the table that a whole FlatBuffer is."""
        return cls(memory, _unpack("<I", memory, 0))

    def _offset(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry >= self._size:
            return None
        offset = _unpack("<H", self.memory, self._vtable + entry)
        return self.start + offset if offset else None

    def number(self, field: int, code: str) -> int:
        """Return a number of the struct code ``code``; 0 if it is missing."""
        offset = self._offset(field)
        return 0 if offset is None else _unpack(code, self.memory, offset)

    def table(self, field: int) -> FlatTable | None:
        """Return a table within this one."""
        offset = self._offset(field)
        return None if offset is None else _follow(self.memory, offset)

    def tables(self, field: int) -> Iterator[FlatTable]:
        """Yield the tables of a vector."""
        return (_follow(self.memory, offset) for offset in self._vector(field, 4))

    def structs(self, field: int, layout: str) -> Iterator[tuple[int, ...]]:
        """Yield the structs of a vector."""
        items = self._vector(field, struct.calcsize(layout))
        return struct.iter_unpack(layout, self.memory[items.start : items.stop])

    def _vector(self, field: int, itemsize: int) -> range:
        """Return where the items of a vector begin."""
        offset = self._offset(field)
        if offset is None:
            return range(0)
        start = offset + _unpack("<I", self.memory, offset) + 4
        stop = start + itemsize * _unpack("<I", self.memory, start - 4)
        if stop > len(self.memory):
            raise ValueError("a list in the metadata of a table is cut off")
        return range(start, stop, itemsize)


def _follow(memory: memoryview, offset: int) -> FlatTable:
    return FlatTable(memory, offset + _unpack("<I", memory, offset))


def _unpack(code: str, memory: memoryview, start: int) -> int:
    if start < 0:
        raise ValueError("the metadata of a table are damaged")
    number: int = struct.unpack_from(code, memory, start)[0]
    return number


# -- messages ------------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """The metadata of a message.

    Attributes:
        start: where it begins.
        body: where its body is.
        batch: the ``RecordBatch`` that it describes, if any; of a dictionary too.
        dictionary: the id of the dictionary that the batch is, if it is one.
    """

    start: int
    body: Range
    batch: FlatTable | None
    dictionary: int | None

    @property
    def is_compressed(self) -> bool:
        """Return whether the buffers of the batch are compressed."""
        return self.batch is not None and self.batch.table(3) is not None

    def buffers(self) -> list[Range]:
        """Return where the buffers of the batch are."""
        if self.batch is None:
            return []
        first, last = self.body
        found = [(first + offset, first + offset + length) for offset, length in self.batch.structs(2, "<qq")]
        if not all(first <= start <= stop <= last for start, stop in found):
            raise ValueError("a buffer lies outside its batch")
        return found


class Block(NamedTuple):
    """Where the footer of a file says that a message is: its start, and the bytes of its metadata and of its body."""

    start: int
    metadata: int
    body: int


def read_message(memory: memoryview, start: int) -> Message:
    """Return the message that begins at ``start`` with a mark and the size of its metadata."""
    size = _unpack("<i", memory, start + 4)
    if _unpack("<I", memory, start) != _CONTINUATION or not 0 <= size <= len(memory) - start - 8:
        raise ValueError("a message of the table is damaged")
    message = FlatTable.root(memory[start + 8 : start + 8 + size])
    if message.table(4) is not None:  # custom metadata, in which Arrow 0.17 said how it compressed
        raise ValueError("a message of the table has metadata of its own")
    kind, header, body = message.number(1, "<B"), message.table(2), start + 8 + size
    body_range = body, body + max(message.number(3, "<q"), 0)
    if kind == _DICTIONARY and header is not None:
        return Message(start, body_range, header.table(1), header.number(0, "<q"))
    return Message(start, body_range, header if kind == _RECORDS else None, None)


def footer_range(memory: memoryview) -> Range:
    """Return where the footer of a file is, of which the last ten bytes tell."""
    end = len(memory) - len(MAGIC) - 4
    start = end - _unpack("<i", memory, end)
    if memory[end + 4 :] != MAGIC or not len(MAGIC) <= start < end:
        raise ValueError("the footer of the Arrow file is damaged")
    return start, end


def blocks(footer: FlatTable) -> tuple[list[Block], list[Block]]:
    """Return the blocks of a file's dictionaries, and of its record batches."""
    dictionaries, batches = ([Block(*block) for block in footer.structs(field, "<qi4xq")] for field in (2, 3))
    return dictionaries, batches


def _file_messages(memory: memoryview) -> Iterator[Message]:
    start, stop = footer_range(memory)
    for block in (block for group in blocks(FlatTable.root(memory[start:stop])) for block in group):
        message = read_message(memory, block.start)
        if block.start + block.metadata != message.body[0]:
            raise ValueError("a message of the Arrow file is not as long as its footer says")
        yield message


def _stream_messages(memory: memoryview) -> Iterator[Message]:
    start = 0
    while start + 8 <= len(memory) and _unpack("<i", memory, start + 4):
        message = read_message(memory, start)
        yield message
        start = message.body[1]


def inflated_size(memory: memoryview, *, is_file: bool) -> int:
    """Return how many bytes the columns of an IPC file or stream take once they are decompressed.

    Which of the two it is says who reads it: pyarrow looks for no mark where a file begins.

    Raises:
        ValueError, struct.error: the metadata are damaged, or parts of the file stand for more than one column or
            batch: a few bytes could become any number, or one column change with another after both were checked.
    """
    messages = _file_messages(memory) if is_file else _stream_messages(memory)
    read = inflated = 0
    parts: list[Range] = []
    for message in messages:
        buffers = [(start, stop) for start, stop in message.buffers() if stop > start]
        parts += [(message.start, message.body[0]), *buffers]
        sizes = [stop - start for start, stop in buffers]
        read += message.body[0] - message.start + sum(sizes)
        if read > len(memory):
            raise ValueError(_OVERLAP)
        inflated += sum(_declared_sizes(memory, buffers) if message.is_compressed else sizes)
    parts.sort()
    if any(stop > start for (_, stop), (start, _) in pairwise(parts)):
        raise ValueError(_OVERLAP)
    return inflated


def _declared_sizes(memory: memoryview, buffers: list[Range]) -> Iterator[int]:
    """Yield what compressed buffers become: each begins with its length before that."""
    for start, stop in buffers:
        declared = _unpack("<q", memory, start)
        yield stop - start if declared == _UNCOMPRESSED else max(declared, 0)

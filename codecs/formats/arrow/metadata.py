"""How much an Arrow IPC file or stream is about to become, read from its metadata alone, before Arrow allocates.

Metadata are flatbuffers; these few lines read the tables ``Message``, ``RecordBatch``, ``DictionaryBatch`` and
``Footer`` of the Arrow format (https://arrow.apache.org/docs/format/Columnar.html, format/Message.fbs and File.fbs).
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["inflated_size"]

_MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF  # before each message, since Arrow 0.15
_DICTIONARY, _RECORDS = 2, 3  # Message.header_type
_TWICE = "parts of a table are used more than once"
_AS_IT_IS = -1  # for the length of a buffer that was not worth compressing


class _Table:
    """A table of a flatbuffer: its fields by their ids."""

    def __init__(self, memory: memoryview, place: int) -> None:
        self._memory = memory
        self._place = place
        self._fields = place - _at(memory, "<i", place)
        self._size = _at(memory, "<H", self._fields)

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = _at(self._memory, "<H", self._fields + entry) if entry < self._size else 0
        return self._place + offset if offset else None

    def number(self, field: int, form: str) -> int:
        place = self._find(field)
        return 0 if place is None else _at(self._memory, form, place)

    def table(self, field: int) -> _Table | None:
        place = self._find(field)
        return None if place is None else _Table(self._memory, place + _at(self._memory, "<I", place))

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """The items of a vector of structs."""
        place = self._find(field)
        if place is None:
            return iter(())
        start = place + _at(self._memory, "<I", place)
        size = _at(self._memory, "<I", start) * struct.calcsize(form)
        if start + 4 + size > len(self._memory):
            raise ValueError("a list in the metadata of a table is cut off")
        return struct.iter_unpack(form, self._memory[start + 4 : start + 4 + size])


def _at(memory: memoryview, form: str, place: int) -> int:
    if place < 0:
        raise ValueError("the metadata of a table are damaged")
    number: int = struct.unpack_from(form, memory, place)[0]
    return number


def inflated_size(memory: memoryview) -> int:
    """How many bytes the columns of an IPC file or stream take once they are decompressed.

    Raises:
        ValueError, struct.error: it is damaged, or parts of it stand for more than one column or batch, so that few
            bytes could become as many as one likes, or one column be changed with another once they were checked.
    """
    is_file = memory[: len(_MAGIC)] == _MAGIC
    places = _file_messages(memory) if is_file else _stream_messages(memory)
    read = inflated = 0
    parts: list[tuple[int, int]] = []
    for place in places:
        metadata, message = _message(memory, place)
        body = place + metadata
        buffers, declared = _batch_buffers(memory[body : body + message.number(3, "<q")], message)
        parts.append((place, body))
        parts.extend((body + offset, body + offset + length) for offset, length in buffers)
        read += metadata + sum(length for _, length in buffers)
        inflated += declared
        if read > len(memory):
            raise ValueError(_TWICE)
    parts.sort()
    if any(end > start for (_, end), (start, _) in pairwise(parts)):
        raise ValueError(_TWICE)
    return inflated


def _file_messages(memory: memoryview) -> Iterator[int]:
    """Where the messages of a file begin, by its footer."""
    end = len(memory) - len(_MAGIC) - 4
    start = end - _at(memory, "<i", end)
    if not len(_MAGIC) <= start <= end:
        raise ValueError("the footer of the Arrow file is damaged")
    footer = _root(memory[start:end])
    for field in (2, 3):
        for place, metadata, _, _ in footer.structs(field, "<qiiq"):
            if metadata != _message(memory, place)[0]:
                raise ValueError("a message of the Arrow file is not as long as its footer says")
            yield place


def _stream_messages(memory: memoryview) -> Iterator[int]:
    place = 0
    while place + 8 <= len(memory) and _at(memory, "<i", place + 4):
        yield place
        metadata, message = _message(memory, place)
        place += metadata + max(message.number(3, "<q"), 0)


def _message(memory: memoryview, place: int) -> tuple[int, _Table]:
    """How long the metadata of the message are, with what stands before them, and the message itself."""
    size = _at(memory, "<i", place + 4)
    if _at(memory, "<I", place) != _CONTINUATION or not 0 <= size <= len(memory) - place - 8:
        raise ValueError("a message of the table is damaged")
    message = _root(memory[place + 8 : place + 8 + size])
    if message.table(4) is not None:  # custom metadata, in which Arrow 0.17 said how it compressed
        raise ValueError("a message of the table has metadata of its own")
    return 8 + size, message


def _root(memory: memoryview) -> _Table:
    return _Table(memory, _at(memory, "<I", 0))


def _batch_buffers(body: memoryview, message: _Table) -> tuple[list[tuple[int, ...]], int]:
    """The offsets and lengths of the buffers of a batch as they are stored, and their bytes as they will be."""
    kind, batch = message.number(1, "<B"), message.table(2)
    if kind == _DICTIONARY and batch is not None:
        batch = batch.table(1)
    if kind not in (_DICTIONARY, _RECORDS) or batch is None:
        return [], 0
    buffers = [buffer for buffer in batch.structs(2, "<qq") if buffer[1] > 0]
    if batch.table(3) is None:
        return buffers, sum(length for _, length in buffers)
    return buffers, sum(_declared(body, offset, length) for offset, length in buffers)


def _declared(body: memoryview, offset: int, length: int) -> int:
    """A compressed buffer begins with its length before that."""
    declared = _at(body, "<q", offset)
    return length if declared == _AS_IT_IS else max(declared, 0)

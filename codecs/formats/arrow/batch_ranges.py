"""Find the bytes of a record batch that must be read for some rows of some columns."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from pyarrow import BaseExtensionType, types

from airflow_xcom.codecs.formats.arrow.flatbuffers import Message, Range

_COMPRESSIONS = ("lz4", "zstd")  # of Message.fbs, CompressionType


def in_rounds(readers: Iterable[Iterator[list[Range]]]) -> Iterator[list[Range]]:
    """Yield what each reader asks for, together: they may go on once all of it was read."""
    return (list(chain.from_iterable(asked)) for asked in zip_longest(*readers, fillvalue=()))


class Batch:
    """A record batch, of which the metadata were read.

    Attributes:
        length: its rows.
        compression: ``"lz4"``, ``"zstd"`` or ``"none"``.
    """

    def __init__(self, message: Message, column_types: Sequence[Any]) -> None:
        if (head := message.batch) is None:
            raise ValueError("a record batch is missing")
        self.length = head.number(0, "<q")
        codec = head.table(3)
        self.compression = "none" if codec is None else _COMPRESSIONS[codec.number(0, "<b")]
        lengths = (length for length, _ in head.structs(1, "<qq"))
        view_buffers = (count for (count,) in head.structs(4, "<q"))
        buffers = iter(message.buffers())
        self._columns = [_layout(each, lengths, buffers, view_buffers) for each in column_types]
        if self.length < 0 or any(column.length != self.length for column in self._columns):
            raise ValueError("its columns differ in length")

    def ranges(self, columns: list[int], rows: range, memory: memoryview) -> Iterator[list[Range]]:
        """Yield what must be read for some rows of some columns; what comes later depends on what was read before."""
        rows = range(self.length) if self.compression != "none" else rows
        return in_rounds(self._columns[column].ranges(rows, memory) for column in columns)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the buffers of a column of a batch, or of a part of a nested one, are in the file."""

    type: Any
    length: int
    buffers: list[Range]
    children: list[_Layout]

    def _all(self) -> Iterator[Range]:
        yield from self.buffers
        for child in self.children:
            yield from child._all()  # noqa: SLF001 - of the same class

    def ranges(self, rows: range, memory: memoryview) -> Iterator[list[Range]]:
        """Yield what must be read for some rows: of text, the offsets first, which say where the text is."""
        if len(rows) != self.length and _has_plain_items(self.type):
            yield from self._ranges_of_items(rows, memory)
            return
        width = _bit_width(self.type)
        if len(rows) == self.length or width is None:
            yield list(self._all())
            return
        validity, values, *text = self.buffers
        nulls = _items(validity, 1, rows.start, rows.stop)
        if not text:
            yield [nulls, _items(values, width, rows.start, rows.stop)]
            return
        offsets = _items(values, width, rows.start, rows.stop + 1)
        yield [nulls, offsets]
        code = "<q" if width == 64 else "<i"  # noqa: PLR2004 - bits of an offset
        (first,) = struct.unpack_from(code, memory, offsets[0])
        (last,) = struct.unpack_from(code, memory, offsets[1] - width // 8)
        start, stop = text[0]
        if not 0 <= first <= last <= stop - start:
            raise ValueError("text lies outside its buffer")
        yield [(start + first, start + last)]

    def _ranges_of_items(self, rows: range, memory: memoryview) -> Iterator[list[Range]]:
        """Yield what must be read for some rows of lists of one length, as blocks of columns are."""
        size, (items,) = self.type.list_size, self.children
        if items.length < self.length * size:
            raise ValueError("lists have fewer items than their length says")
        yield [_items(self.buffers[0], 1, rows.start, rows.stop)]
        yield from items.ranges(range(rows.start * size, rows.stop * size), memory)


def _layout(data_type: Any, lengths: Iterator[int], buffers: Iterator[Range], view_buffers: Iterator[int]) -> _Layout:
    while isinstance(data_type, BaseExtensionType):
        data_type = data_type.storage_type
    if types.is_dictionary(data_type):
        data_type = data_type.index_type
    length = next(lengths)
    own = [next(buffers) for _ in range(_buffer_count(data_type, view_buffers))]
    inner = [data_type.field(position).type for position in range(data_type.num_fields)]
    return _Layout(data_type, length, own, [_layout(each, lengths, buffers, view_buffers) for each in inner])


def _buffer_count(data_type: Any, view_buffers: Iterator[int]) -> int:
    """Return how many buffers an array of this type has, those of the arrays in it not counted."""
    if types.is_null(data_type) or types.is_run_end_encoded(data_type):
        return 0
    if types.is_struct(data_type) or types.is_fixed_size_list(data_type):
        return 1
    if types.is_union(data_type):
        return 2 if data_type.mode == "dense" else 1
    if types.is_binary_view(data_type) or types.is_string_view(data_type):
        return 2 + next(view_buffers)
    if types.is_list_view(data_type) or types.is_large_list_view(data_type) or _offset_width(data_type):
        return 3
    return 2


def _offset_width(data_type: Any) -> int | None:
    """Return the bits of an offset of text or bytes; None for another type."""
    if types.is_large_string(data_type) or types.is_large_binary(data_type):
        return 64
    return 32 if types.is_string(data_type) or types.is_binary(data_type) else None


def _bit_width(data_type: Any) -> int | None:
    """Return the bits of an item, or of the offset of a text; None for what is read as a whole."""
    if types.is_primitive(data_type) or types.is_decimal(data_type) or types.is_fixed_size_binary(data_type):
        return int(data_type.bit_width)
    return _offset_width(data_type)


def _has_plain_items(data_type: Any) -> bool:
    """Return whether a type is a list of one length, of items of one width: any bytes in place of others are valid."""
    return bool(types.is_fixed_size_list(data_type) and types.is_primitive(data_type.value_type))


def _items(buffer: Range, width: int, first: int, last: int) -> Range:
    """Return where items of ``width`` bits lie in a buffer, which may be empty: where there are no nulls, say."""
    start, stop = buffer
    if start == stop:
        return buffer
    begin, end = start + first * width // 8, start + -(-last * width // 8)
    if end > stop:
        raise ValueError("a buffer is too small")
    return begin, end

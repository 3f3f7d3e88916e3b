"""Unpacks what :mod:`.writer` packs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgpack

from airflow_xcom.codecs.errors import CorruptPayloadError, any_error_as_corrupt
from airflow_xcom.codecs.formats.msgpack.columnar import records_from_columns, with_nulls
from airflow_xcom.codecs.formats.msgpack.container import VERSION, read_blob
from airflow_xcom.codecs.formats.msgpack.extension_types import (
    BUFFER,
    DEEPEST,
    FAR_TAG,
    FIRST_TAG,
    INLINE_BUFFER,
    RECORDS,
    SAME,
    SHARED,
    TABLE,
    TAGGED_LIST,
)
from airflow_xcom.codecs.nodes import Shared, Table, Tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_xcom.codecs.formats.msgpack.writer import Writer

    Restorer = Callable[[str, int], Callable[[Any], Any]]
    ReadTable = Callable[[memoryview, Any], Any]

__all__ = ["Reader", "read", "read_cells", "read_nodes"]

_GC_PAUSED_FROM = 1 << 20  # bytes of tree
_FIXSTR, _FIXSTR_LONGEST, _STR8, _STR8_LONGEST = 0xA0, 31, 0xD9, 255  # heads of strings, and their most bytes


class Reader:
    """Unpacks the nodes of one payload.

    Args:
        tags: the table of tags, ``[tag, version]`` each.
        buffers: the buffers of the blob, writable.
        restorer: ``restorer(tag, version)(node)`` returns the value of a tagged node.
        table: ``table(stream, meta)`` returns the Table of an Arrow IPC stream.
    """

    def __init__(
        self, tags: Sequence[Sequence[Any]], buffers: Sequence[memoryview], restorer: Restorer, table: ReadTable
    ) -> None:
        self._tags = [_checked_tag(entry) for entry in tags]
        self._restorers: list[Callable[[Any], Any] | None] = [None] * len(self._tags)
        self._buffers = buffers
        self._restorer = restorer
        self._table = table
        self._shared: dict[int, Any] = {}
        self._used_buffers: set[int] = set()
        self._depth = 0

    def unpack(self, packed: bytes | memoryview) -> Any:
        """Return the value of one packed node; over damaged bytes, raise anything."""
        return msgpack.unpackb(packed, strict_map_key=False, ext_hook=self._extension)

    def _extension(self, code: int, data: bytes) -> Any:
        if code == INLINE_BUFFER:
            return memoryview(bytearray(data))
        if code == BUFFER:
            return self._buffer(_checked_index(msgpack.unpackb(data), len(self._buffers)))
        if self._depth >= DEEPEST:
            msg = f"the payload is nested deeper than {DEEPEST} levels of tagged values"
            raise CorruptPayloadError(msg)
        self._depth += 1
        try:
            node: Any = _short_text(data) or self.unpack(data)
            if code >= FIRST_TAG:
                return self._restore(code - FIRST_TAG, node)
            return self._form(code, node)
        finally:
            self._depth -= 1

    def _buffer(self, index: int) -> memoryview:
        """Return a buffer, once: a codec may write to it after another has checked what it holds."""
        if index in self._used_buffers:
            msg = f"the buffer {index} is used more than once"
            raise CorruptPayloadError(msg)
        self._used_buffers.add(index)
        return self._buffers[index]

    def _form(self, code: int, node: Any) -> Any:
        if code == SHARED:
            number, index, node = node
            return self._keep(number, self._restore(_checked_index(index, len(self._tags)), node))
        if code == SAME:
            return self._kept(node)
        if code == TABLE:
            meta, stream = node
            return self._table(stream, meta)
        if code == RECORDS:
            return _records(*node)
        if code == TAGGED_LIST:
            index, nodes, nulls = node
            restore = self._restorer_of(_checked_index(index, len(self._tags)))
            return with_nulls([restore(node) for node in nodes], nulls)
        if code == FAR_TAG:
            index, node = node
            return self._restore(_checked_index(index, len(self._tags)), node)
        msg = f"the payload has an extension type {code}"
        raise CorruptPayloadError(msg)

    def _restore(self, index: int, node: Any) -> Any:
        return self._restorer_of(index)(node)

    def _restorer_of(self, index: int) -> Callable[[Any], Any]:
        restore = self._restorers[index]
        if restore is None:
            restore = self._restorers[index] = self._restorer(*self._tags[index])
        return restore

    def _keep(self, number: Any, value: Any) -> Any:
        if type(number) is not int or number in self._shared:
            msg = f"two objects of the payload have the number {number!r}"
            raise CorruptPayloadError(msg)
        self._shared[number] = value
        return value

    def _kept(self, number: Any) -> Any:
        return self._shared[number]


class _NodeReader(Reader):
    """Returns the nodes themselves: Tagged, Table and Shared objects and buffers.

    Only what ``writer`` met more than once is Shared, under numbers without gaps.
    """

    def __init__(self, writer: Writer) -> None:
        buffers = [memoryview(b"".join(chunks)) for chunks in writer.buffers]
        super().__init__(writer.tags, buffers, lambda tag, version: partial(Tagged, tag, version), Table)
        self._numbers = {number: new for new, number in enumerate(sorted(writer.repeated))}

    def _keep(self, number: Any, value: Any) -> Any:
        return Shared(self._numbers[number], value) if number in self._numbers else value

    def _kept(self, number: Any) -> Any:
        return Shared(self._numbers[number], None)


def _records(names: list[Any] | None, keys: list[str], columns: list[list[Any]]) -> Any:
    rows = records_from_columns(keys, columns)
    if names is None:
        return rows
    named = dict(zip(names, rows, strict=True))
    if len(named) != len(rows):
        msg = "a name of a record comes twice"
        raise CorruptPayloadError(msg)
    return named


def _short_text(data: bytes) -> str | None:
    """Return the text, if ``data`` is a packed string of 1 to 255 bytes and nothing else, far faster than a parser."""
    size = len(data)
    if 1 < size <= _FIXSTR_LONGEST + 1 and data[0] == _FIXSTR + size - 1:
        return data[1:].decode()
    if _FIXSTR_LONGEST + 2 < size <= _STR8_LONGEST + 2 and data[0] == _STR8 and data[1] == size - 2:
        return data[2:].decode()
    return None


def _checked_tag(entry: Any) -> tuple[str, int]:
    tag, version = entry
    if type(tag) is not str or type(version) is not int:
        msg = f"the table of tags holds {entry!r}"
        raise CorruptPayloadError(msg)
    return tag, version


def _checked_index(value: Any, size: int) -> int:
    if type(value) is not int or not 0 <= value < size:
        msg = f"the index {value!r} is not below {size}"
        raise CorruptPayloadError(msg)
    return value


@contextmanager
def _gc_paused(size: int) -> Iterator[None]:
    """Pause the cyclic garbage collector for a tree of many bytes: it would look for garbage among live objects."""
    if size < _GC_PAUSED_FROM or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read(memory: memoryview, restorer: Restorer, table: ReadTable, *, newest: int = VERSION) -> Any:
    """Return the value of a blob that lies in writable memory, and whose version is at most ``newest``.

    Raises:
        DecodeError: it is damaged, of a newer version, or some part of it cannot be restored.
    """
    with any_error_as_corrupt():
        tags, tree, buffers = read_blob(memory, newest)
        with _gc_paused(len(tree)):
            return Reader(tags, buffers, restorer, table).unpack(tree)


def read_nodes(packed: bytes, writer: Writer) -> Any:
    """Return the node that ``writer`` packed: Tagged, Table, Shared and memoryview objects in place of their values."""
    return _NodeReader(writer).unpack(packed)


def read_cells(
    tags: Sequence[Sequence[Any]], cells: Iterable[memoryview], restorer: Restorer, table: ReadTable
) -> list[Any]:
    """Return the values that :meth:`.writer.Writer.pack_cells` packed.

    Raises:
        DecodeError: see :func:`read`.
    """
    with any_error_as_corrupt():
        unpack = Reader(tags, (), restorer, table).unpack
        return [unpack(cell) for cell in cells]

"""Unpacks what :mod:`.writer` packs."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Any, Protocol

import msgpack

from airflow_xcom.codecs.errors import CorruptPayloadError, any_error_as_corrupt
from airflow_xcom.codecs.formats.msgpack.columnar import (
    checked_columns,
    named_records,
    records_from_columns,
    repeated_by_columns,
    repeated_nodes,
    with_nulls,
)
from airflow_xcom.codecs.formats.msgpack.container import ITEMS_VERSION, VERSION, read_blob, read_header
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
    TAGGED_COLUMNS,
    TAGGED_LIST,
    TIMESTAMP_AS_INT,
)
from airflow_xcom.codecs.formats.msgpack.items import ItemIndex
from airflow_xcom.codecs.formats.sharing import TEXT, Budget
from airflow_xcom.codecs.nodes import Columns, as_text
from airflow_xcom.codecs.quoting import quoted

Restorer = Callable[[str, int], Callable[[Any], Any]]
ListRestorer = Callable[[str, int, Columns], list[Any] | None]
ReadTable = Callable[[memoryview, Any], Any]

_GC_PAUSED_FROM = 1 << 16  # bytes of tree
_CELLS_AT_ONCE = 16 << 20  # bytes, which the unpacker copies
_LARGE = 1 << 16  # bytes, which ext 32 alone can hold
_EXT32, _EXT32_SIZE, _FIRST_RESERVED = 0xC9, 6, 128  # its first byte, the bytes before its data, codes below 0
_FIXSTR, _FIXSTR_LONGEST, _STR8, _STR8_LONGEST = 0xA0, 31, 0xD9, 255  # heads of strings, and their most bytes


class Reader:
    """Unpacks the nodes of one payload.

    Args:
        tags: the table of tags, ``[tag, version]`` each.
        buffers: the buffers of the blob, writable.
        restorer: ``restorer(tag, version)(node)`` returns the value of a tagged node.
        table: ``table(stream, meta)`` returns the Table of an Arrow IPC stream.
        budget: of the whole payload.
        restore_all: ``restore_all(tag, version, columns)`` returns the values of many nodes of a tag; None where
            ``restorer`` must be asked for each.
        count: returns the nodes that the further places of the whole tree stand for; without it, their bytes count.
        first_buffer: the number of the first of these buffers in the blob.
    """

    _restores = True  # values, and not something in their places

    def __init__(  # noqa: PLR0913 - all that a payload is read with
        self,
        tags: Sequence[Sequence[Any]],
        buffers: Sequence[memoryview],
        restorer: Restorer,
        table: ReadTable,
        *,
        budget: Budget,
        restore_all: ListRestorer | None = None,
        count: Callable[[], int] | None = None,
        first_buffer: int = 0,
    ) -> None:
        self._first_buffer = first_buffer
        self._tags = [checked_tag(entry) for entry in tags]
        self._restorers: list[Callable[[Any], Any] | None] = [None] * len(self._tags)
        self._buffers = buffers
        self._restorer = restorer
        self._restore_all = restore_all
        self._table = table
        self._budget = budget
        self._count = count
        self._spent: int | None = 0  # None once the nodes of the whole tree are counted
        self._in_place = 0  # bytes of buffers in the tree
        self._shared: dict[int, tuple[Any, int]] = {}  # number -> value, and the bytes that its node stands for
        self._used_buffers: set[int] = set()
        self._depth = 0

    def unpack(self, packed: bytes | memoryview) -> Any:
        """Return the value of one packed node; over damaged bytes, raise anything."""
        return msgpack.unpackb(packed, strict_map_key=False, ext_hook=self._extension, timestamp=TIMESTAMP_AS_INT)

    def read(self, tree: memoryview) -> Any:
        """Return the value of a whole tree, as :meth:`unpack` does; what is one large form is not copied."""
        code = tree[_EXT32_SIZE - 1] if len(tree) > _LARGE and tree[0] == _EXT32 else _FIRST_RESERVED
        if code >= _FIRST_RESERVED or int.from_bytes(tree[1:5], "big") != len(tree) - _EXT32_SIZE:
            return self.unpack(tree)
        return self._extension(code, tree[_EXT32_SIZE:])

    def unpack_each(self, data: memoryview, offsets: Sequence[int]) -> Iterator[Any]:
        """Yield the values of packed nodes, each of which ends where the next begins; see :meth:`unpack`."""
        first, *ends = offsets
        unpacker = msgpack.Unpacker(
            strict_map_key=False,
            ext_hook=self._extension,
            timestamp=TIMESTAMP_AS_INT,
            max_buffer_size=max(ends[-1] - first, 1),
        )
        unpacker.feed(data[first : ends[-1]])
        unpack, tell = unpacker.unpack, unpacker.tell
        for end in ends:
            yield unpack()
            if tell() != end - first:
                raise CorruptPayloadError("a cell is not as long as its table says")

    def _extension(self, code: int, data: Any) -> Any:
        if code == INLINE_BUFFER:
            self._in_place += len(data)
            return memoryview(bytearray(data))
        if code == BUFFER:
            return self._buffer(_checked_index(msgpack.unpackb(data) - self._first_buffer, len(self._buffers)))
        if self._depth >= DEEPEST:
            raise CorruptPayloadError(f"the payload is nested deeper than {DEEPEST} levels of tagged values")
        self._depth += 1
        try:
            if code >= FIRST_TAG:
                inner = _short_text(data) or self.unpack(data)
                restore = self._restorers[code - FIRST_TAG] or self._restorer_of(code - FIRST_TAG)
                return restore(inner)
            before = self._budget.spent - self._in_place
            node: Any = self.unpack(data)
            if code == SHARED:
                number, index, node = node
                return self._keep(number, index, node, len(data) + self._budget.spent - self._in_place - before)
            return self._form(code, node)
        finally:
            self._depth -= 1

    def _buffer(self, index: int) -> memoryview:
        """Return a buffer, once: a codec may write to it after another has checked what it holds."""
        if index in self._used_buffers:
            raise CorruptPayloadError(f"the buffer {index} is used more than once")
        self._used_buffers.add(index)
        return self._buffers[index]

    def _form(self, code: int, node: Any) -> Any:
        if code == SAME:
            return self._kept(node)
        if code == TABLE:
            meta, stream = node
            return self._table(stream, meta)
        if code == RECORDS:
            names, keys, columns = node
            if self._restores:
                for key in keys:  # each is hashed for every row
                    as_text(key)
            rows = records_from_columns(keys, columns)
            self._spend(repeated_nodes(keys, len(rows)))
            return rows if names is None else named_records(names, rows)
        if code == TAGGED_LIST:
            index, nodes, nulls = node
            self._spend(len(nodes))
            restore = self._restorer_of(_checked_index(index, len(self._tags)))
            return with_nulls([restore(node) for node in nodes], nulls)
        if code == TAGGED_COLUMNS:
            index, head, names, columns, nulls = node
            return with_nulls(self._columns(index, checked_columns(head, names, columns)), nulls)
        if code == FAR_TAG:
            index, node = node
            return self._restore(_checked_index(index, len(self._tags)), node)
        raise CorruptPayloadError(f"the payload has an extension type {code}")

    def _columns(self, index: Any, columns: Columns) -> list[Any]:
        self._spend(len(columns) + repeated_by_columns(columns))
        restore = self._restorer_of(_checked_index(index, len(self._tags)))
        tag, version = self._tags[index]
        values = self._restore_all(tag, version, columns) if self._restore_all else None
        return values if values is not None else [restore(node) for node in columns.nodes()]

    def _restore(self, index: int, node: Any) -> Any:
        return self._restorer_of(index)(node)

    def _restorer_of(self, index: int) -> Callable[[Any], Any]:
        restore = self._restorers[index]
        if restore is None:
            restore = self._restorers[index] = self._restorer(*self._tags[index])
        return restore

    def _keep(self, number: Any, index: Any, node: Any, size: int) -> Any:
        if type(number) is not int or number in self._shared:
            raise CorruptPayloadError(f"two objects of the payload have the number {quoted(number)}")
        value = self._restore(_checked_index(index, len(self._tags)), node)
        self._shared[number] = value, size
        return value

    def _kept(self, number: Any) -> Any:
        value, size = self._shared[number]
        self._spend(size)
        return value

    def _spend(self, size: int) -> None:
        """Count what stands for more than is written: bytes at first, which are more than the nodes."""
        if self._spent is None:
            return
        self._spent += size
        self._budget.spent += size
        if self._budget.is_exceeded:
            if self._count is not None:
                self._budget.spent += self._count() - self._spent
                self._spent = None
            self._budget.check()


class NodeReader(Reader):
    """Returns nodes, not values: what its restorer and its table make, and buffers as they are."""

    _restores = False


class _Nodes:
    """A value in whose place its nodes are counted."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class _NodeCounter(NodeReader):
    """Counts the nodes that further places stand for; restores nothing."""

    def __init__(self, tags: Sequence[Sequence[Any]], buffers: Sequence[Any]) -> None:
        super().__init__(tags, buffers, lambda *_: _counted, lambda _, meta: _counted(meta), budget=Budget(inf))

    def _kept(self, number: Any) -> Any:
        value, _ = self._shared[number]
        self._budget.spent += value.count
        return value


def _counted(node: Any) -> _Nodes:
    return _Nodes(1 + _count(node))


def _count(node: Any) -> int:
    cls = type(node)
    if cls is _Nodes:
        count: int = node.count
        return count
    if cls in (str, bytes):
        return 1 + len(node) // TEXT
    if cls is list:
        return 1 + sum(map(_count, node))
    if cls is dict:
        return 1 + sum(map(_count, node)) + sum(map(_count, node.values()))
    return 1


def count_expanded(tags: Sequence[Sequence[Any]], buffers: Sequence[Any], *trees: bytes | memoryview) -> int:
    """Return the nodes for which the further places of packed trees stand; see docs/FORMAT.md, section 8."""
    counter = _NodeCounter(tags, buffers)
    for tree in trees:
        counter.unpack(tree)
    return counter._budget.spent  # noqa: SLF001 - of the same module


def _short_text(data: bytes) -> str | None:
    """Return the text, if ``data`` is a packed string of 1 to 255 bytes and nothing else, far faster than a parser."""
    size = len(data)
    if 1 < size <= _FIXSTR_LONGEST + 1 and data[0] == _FIXSTR + size - 1:
        return data[1:].decode()
    if _FIXSTR_LONGEST + 2 < size <= _STR8_LONGEST + 2 and data[0] == _STR8 and data[1] == size - 2:
        return data[2:].decode()
    return None


def checked_tag(entry: Any) -> tuple[str, int]:
    """Return an entry of the table of tags; refuse another than a tag and its version."""
    tag, version = entry
    if type(tag) is not str or type(version) is not int:
        raise CorruptPayloadError(f"the table of tags holds {quoted(entry)}")
    return tag, version


def _checked_index(value: Any, size: int) -> int:
    if type(value) is not int or not 0 <= value < size:
        raise CorruptPayloadError(f"the index {quoted(value)} is not below {size}")
    return value


class _gc_paused:  # noqa: N801 - as contextlib's; pulls enter one, and a generator takes twice as long
    """Pause the cyclic garbage collector for a tree of many bytes: it would look for garbage among live objects."""

    __slots__ = ("_pauses",)

    def __init__(self, size: int) -> None:
        self._pauses = size >= _GC_PAUSED_FROM and gc.isenabled()

    def __enter__(self) -> None:
        if self._pauses:
            gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._pauses:
            gc.enable()


class Decoder(Protocol):
    """What a payload is decoded with; see :class:`Reader`."""

    budget: Budget

    def restorer(self, tag: str, version: int) -> Callable[[Any], Any]: ...

    def restore_all(self, tag: str, version: int, columns: Columns) -> list[Any] | None: ...

    def read_stream(self, stream: memoryview, meta: Any) -> Any: ...


def read(memory: memoryview, decoder: Decoder, *, newest: int = VERSION) -> Any:
    """Return the value of a blob that lies in writable memory, and whose version is at most ``newest``.

    Raises:
        DecodeError: it is damaged, of a newer version, or some part of it cannot be restored.
    """
    with any_error_as_corrupt():
        header, end = read_header(memory, newest)
        if header[1] == ITEMS_VERSION:
            index = ItemIndex(memory, len(memory))
            trees, buffers = [], []
            for tree, more in index.open_all(memory):
                trees.append(tree)
                buffers += more
            return _read_trees(index.tags, trees, buffers, decoder)
        tags, tree, buffers = read_blob(memory, header, end)
        (value,) = _read_trees(tags, [tree], buffers, decoder)
        return value


def read_item(index: ItemIndex, number: int, memory: memoryview, decoder: Decoder) -> Any:
    """Return an item of a list, whose bytes are those of its range in the index and lie in writable memory."""
    with any_error_as_corrupt():
        index.verify(memory, number)
        tree, buffers = index.open(memory, number)
        first = index.first_buffers[number]
        (value,) = _read_trees(index.tags, [tree], buffers, decoder, first_buffer=first)
        return value


def _read_trees(
    tags: Sequence[Sequence[Any]],
    trees: list[memoryview],
    buffers: list[memoryview],
    decoder: Decoder,
    *,
    first_buffer: int = 0,
) -> list[Any]:
    size = sum(map(len, trees))
    with _gc_paused(size):
        decoder.budget.grant(size)
        count = partial(count_expanded, tags, [None] * first_buffer + buffers, *trees)
        reader = _reader(tags, buffers, decoder, count=count, first_buffer=first_buffer)
        return [reader.read(tree) for tree in trees]


def _reader(tags: Sequence[Sequence[Any]], buffers: Sequence[memoryview], decoder: Decoder, **more: Any) -> Reader:
    found = {"budget": decoder.budget, "restore_all": decoder.restore_all, **more}
    return Reader(tags, buffers, decoder.restorer, decoder.read_stream, **found)


def read_cells(packed: tuple[Sequence[Sequence[Any]], memoryview, Any], decoder: Decoder) -> list[Any]:
    """Return the values that :meth:`.writer.Writer.pack_cells` packed: tags, bytes, and an int64 array of offsets."""
    from airflow_xcom.codecs.formats.msgpack.cells import read_together

    tags, data, offsets = packed
    with any_error_as_corrupt(), _gc_paused(len(data)):
        reader = _reader(tags, (), decoder)
        values: list[Any] = []
        while len(values) + 1 < len(offsets):
            stop = max(bisect_right(offsets, offsets[len(values)] + _CELLS_AT_ONCE), len(values) + 2)
            some = offsets[len(values) : stop]
            values += read_together(data, some) or reader.unpack_each(data, some.tolist())
        return values

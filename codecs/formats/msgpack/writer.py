"""Packs a value, and everything in it, as the MessagePack tree of docs/FORMAT.md.

The packer walks natives in C and calls back for everything else, which becomes extension types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgpack

from airflow_xcom.codecs.codec import Codec, ColumnCodec, completed, node_of, raise_failure, unsupported
from airflow_xcom.codecs.errors import CodecError, EncodeError, NestingError, UnsupportedValueError
from airflow_xcom.codecs.formats.msgpack.columnar import (
    DEEPEST_NATIVES,
    Excess,
    Records,
    Repeats,
    TaggedList,
    are_distinct,
    are_simple,
    columns_of,
    repeated_by_columns,
    repeated_nodes,
    replace_batches,
    too_deep,
)
from airflow_xcom.codecs.formats.msgpack.extension_types import (
    BUFFER,
    DEEPEST,
    FAR_TAG,
    FIRST_TAG,
    INLINE_BUFFER,
    NEAR_TAGS,
    RECORDS,
    SAME,
    SHARED,
    TABLE,
    TAGGED_COLUMNS,
    TAGGED_LIST,
)
from airflow_xcom.codecs.formats.msgpack.flat import extension_type, is_flat, packed_extension
from airflow_xcom.codecs.formats.msgpack.items import Item
from airflow_xcom.codecs.formats.sharing import LEAST, Budget
from airflow_xcom.codecs.nodes import Buffer, Columns, Table, Tagged, WithCells
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.plain_json import is_exact_text

_LARGE = 4096  # bytes; smaller buffers cost less in the tree than in the blob, and smaller nodes are not shared
_DEEPEST_COLUMNS = 8  # levels of batches in each other; a chain of many objects would be gone through at each
_FEW = 16  # items of a list that is taken for small at a glance

# The packer would take these for natives, and they would not come back as themselves.
_NOT_NATIVE = frozenset({bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp})
_CONTAINERS = frozenset({dict, list})
_MEMORY = frozenset({Buffer, Table})
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
_ONCE = frozenset({"pyarrow.RecordBatchReader"})  # the tags of what is at its end when it was encoded
_SMALL_NODES = _SCALARS | {dict}


class _Chunked(list[Any]):
    """One buffer in several chunks."""


class _CalledBack:
    """Hides a value that the packer would take for a native, so that it calls back for it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Writer:
    """Packs one value and everything in it; collects the tags and the large buffers.

    Large objects are numbered when they are first met, so that each is packed once; see docs/FORMAT.md, section 5.

    Args:
        find: returns the codec for a class, or None.
        stream: returns the chunks of a table's Arrow IPC stream.
        inline: keep every buffer in the tree and number no object, so that what is packed stands alone.

    Attributes:
        buffers: the large buffers, each in one or more chunks.
        items_stand_alone: whether no item of :meth:`pack_items` refers to an object in another one.
        expanded: the bytes, at least, that stand in the tree once and count for each place; see :mod:`..sharing`.
        budget: of the values that take long to make, those in cells included.
        repeats: of the objects that are in the one at the level ``outermost``.
    """

    def __init__(
        self, find: Callable[[type], Codec | None], stream: Callable[[Any], list[Any]], *, inline: bool = False
    ) -> None:
        self._find = find
        self._stream = stream
        self._inline = inline
        self._depth = 0
        self._packers: list[msgpack.Packer] = []  # one a level: a packer that calls back cannot pack
        self._packer = msgpack.Packer(buf_size=256)
        self._pack_scalar = self._packer.pack
        self._indices: dict[tuple[str, int], int] = {}  # in the table of tags
        self._tags_in_cells: set[str] = set()
        # id -> number, the object, so that no other gets its id, and the bytes that it stands for
        self.numbered: dict[int, tuple[int, Any, int]] = {}
        self._references = 0  # to numbered objects
        self._in_place = 0  # bytes of buffers in the tree, which count for nothing
        self._first_number = 0  # of the objects in an item
        self.items_stand_alone = True
        self.expanded = 0
        self.budget = Budget()
        self.repeats, self.outermost = Repeats(), 1
        self.buffers: list[list[memoryview]] = []

    @property
    def tags(self) -> list[list[str | int]]:
        """The table of tags: ``[tag, version]`` in the order first met."""
        return [[tag, version] for tag, version in self._indices]

    @property
    def used_tags(self) -> set[str]:
        """Every tag in what was packed, those in cells included."""
        return self._tags_in_cells.union(tag for tag, _ in self._indices)

    def pack(self, value: Any, around: Excess | None = None) -> bytes:
        """Return the packed node of ``value``.

        Args:
            value: natives, and objects that codecs handle.
            around: of the value whose column ``value`` is.

        Raises:
            EncodeError: some part of it cannot be stored exactly.
        """
        if type(value) in _CONTAINERS and not is_flat(value):
            value, classes, depth = replace_batches(value, self._encode_all, around)
            if depth > DEEPEST_NATIVES:
                raise too_deep(value)
            if not classes.isdisjoint(_NOT_NATIVE):
                value = hide_natives(value)
        elif type(value) in _NOT_NATIVE:
            value = _CalledBack(value)
        packer = self._level_packer()
        before = self._state()
        try:
            is_form = type(value) in self._FORMS
            packed = packed_extension(packer.pack, self._extension(value)) if is_form else packer.pack(value)
        except UnicodeEncodeError:
            self._forget(*before)
            packed = packer.pack(hide_natives(value))
        except ValueError as error:
            if isinstance(error, CodecError):
                raise
            raise too_deep(value) from error
        return packed

    def _state(self) -> tuple[int, int, int, int]:
        return len(self.buffers), len(self.numbered), self.expanded, self._in_place

    def release(self) -> None:
        """Drop the packers, which refer to this writer: it is then freed without the cyclic garbage collector."""
        self._packers.clear()

    def _forget(self, buffers: int, numbered: int, expanded: int, in_place: int) -> None:
        """Go back to the state before an attempt to pack that failed."""
        self.expanded, self._in_place = expanded, in_place
        del self.buffers[buffers:]
        while len(self.numbered) > numbered:
            self.numbered.popitem()

    def pack_items(self, items: list[Any]) -> list[Item]:
        """Return each item of a list packed by itself, with its large buffers; see :meth:`pack`."""
        packed = []
        for item in items:
            first, self._first_number = len(self.buffers), len(self.numbered)
            packed.append(Item(self.pack(item), self.buffers[first:]))
        return packed

    def pack_cells(self, values: Sequence[Any], classes: set[type]) -> tuple[list[list[str | int]], list[bytes]]:
        """Pack each value as a document of its own; see :class:`WithCells`."""
        writer = self._separate()
        writer.budget = self.budget
        if self._inline:
            writer.repeats, writer.outermost = self.repeats, 0
        cells = writer.pack_each(values, classes)
        writer.release()
        self._tags_in_cells |= writer.used_tags
        return writer.tags, cells

    def pack_each(self, values: Sequence[Any], classes: set[type]) -> list[bytes]:
        """Return the packed node of each value, in one packer if they are simple."""
        if are_simple(values, classes, _NOT_NATIVE):
            try:
                return list(map(self._level_packer().pack, values))
            except ValueError as error:  # text that is no Unicode
                if isinstance(error, CodecError):
                    raise
        return [self.pack(value) for value in values]

    def _level_packer(self) -> msgpack.Packer:
        if self._depth == len(self._packers):
            self._packers.append(msgpack.Packer(strict_types=True, default=self._extension, buf_size=256))
        return self._packers[self._depth]

    def _separate(self) -> Writer:
        return Writer(self._find, self._stream, inline=True)

    def _codec(self, value: Any) -> Codec:
        codec = self._find(type(value))
        if codec is not None:
            return codec
        raise unsupported(value)

    def _encode(self, codec: Codec, value: Any) -> Any:
        node = node_of(codec, value)
        self._charge(codec, value, [node])
        return self.completed(codec, value, node) if type(node) is WithCells else node

    def _charge(self, codec: Codec, value: Any, nodes: Sequence[Any]) -> None:
        """Refuse a value with which all that take long to make come to half of what a reader takes in any case."""
        if codec.cost is None:
            return
        for node in nodes:
            self.budget.add_cost(*codec.cost(node))
        if 2 * self.budget.cost > LEAST:
            msg = f"so many values of {codec.tag!r} take a reader too long to make; return what they are made of"
            error = UnsupportedValueError(msg)
            error.trail.append(value)
            raise error

    def completed(self, codec: Codec, value: Any, node: WithCells) -> Any:
        """Return the node that a codec made of a value once the objects in it are packed."""
        return completed(codec, value, node, self.pack_cells)

    def _encode_all(self, cls: type, objects: list[Any]) -> tuple[Codec, list[Any] | Columns] | None:
        """Return the codec of a class and the nodes of objects; None if they may be large, or one comes twice."""
        codec = self._find(cls)
        if isinstance(codec, ColumnCodec) and self._depth < _DEEPEST_COLUMNS:
            columns = columns_of(codec, cls, objects)
            if columns is not None:
                return codec, columns
        if codec is None or codec.tag in _ONCE or not _is_small(self._encode(codec, objects[0])):
            return None
        nodes: list[Any] = []
        encode, append = codec.encode, nodes.append
        if type(encode(objects[0])) is WithCells:
            encode = lambda item: codec.encode(item).make(self.pack_cells)  # noqa: E731 - two calls are slower than one
        has_attributes = codec.attributes is not None and cls.__dictoffset__ != 0
        try:
            for item in objects:
                if has_attributes:
                    refuse_other_attributes(item, codec.attributes or ())
                append(encode(item))
        except Exception as error:  # noqa: BLE001 - raised again, with where and why
            raise_failure(codec, objects[len(nodes)], error)
        classes = set(map(type, nodes))
        if classes == {str}:
            return codec, nodes
        if not (classes <= _SMALL_NODES or all(map(_is_small, nodes))) or not are_distinct(objects):
            return None
        self._charge(codec, objects[0], nodes[1:])
        return codec, nodes

    def _extension(self, value: Any) -> msgpack.ExtType:
        cls = type(value)
        if cls is Buffer:
            return self._buffer([memoryview(value.data).cast("B")])
        if cls is _Chunked:
            return self._buffer([memoryview(chunk) for chunk in value])
        if self._depth >= DEEPEST:
            raise NestingError(f"it is nested deeper than {DEEPEST} levels of tagged values")
        self._depth += 1
        try:
            return self._FORMS[cls](self, value) if cls in self._FORMS else self._value(value)
        finally:
            self._depth -= 1

    def _buffer(self, chunks: list[memoryview]) -> msgpack.ExtType:
        if self._inline or (size := sum(map(len, chunks))) < _LARGE:
            self._in_place += 0 if self._inline else size
            return msgpack.ExtType(INLINE_BUFFER, b"".join(chunks))
        self.buffers.append(chunks)
        return msgpack.ExtType(BUFFER, self._pack_scalar(len(self.buffers) - 1))

    def _value(self, value: Any) -> msgpack.ExtType:
        """Return the tagged node of ``value``, or the number under which it was packed before."""
        key = id(value)
        if key in self.numbered:
            number, _, size = self.numbered[key]
            return self._reference(number, size)
        codec = self._codec(value)
        before = len(self.buffers), self._references
        beside = self.expanded - self._in_place
        node = node_of(codec, value)
        self._charge(codec, value, [node])
        # Most tagged values are short text (times, decimals, identifiers), which needs none of pack()'s care.
        if type(node) is str and node.isascii():
            return self._tag(codec.tag, codec.version, self._pack_scalar(node))
        has_cells, is_within = type(node) is WithCells, self._depth > self.outermost
        written = self.repeats.meet(value, has_cells=has_cells, is_within=is_within) if self._inline else 0
        node = self.completed(codec, value, node) if has_cells else node
        node = node.whole() if type(node) is Table else node
        try:
            packed = self.pack(node)
        except EncodeError as error:
            error.trail.append(value)
            raise
        holds_large = before != (len(self.buffers), self._references)
        if self._inline:
            self.repeats.leave(value, written)
        elif len(packed) >= _LARGE or holds_large or type(node) is Table:
            return self._number(value, codec, packed, self.expanded - self._in_place - beside)
        return self._tag(codec.tag, codec.version, packed)

    def _reference(self, number: int, size: int) -> msgpack.ExtType:
        self._references += 1
        self.items_stand_alone &= number >= self._first_number
        self.expanded += size
        return extension_type((SAME, self._pack_scalar(number)))

    def _number(self, value: Any, codec: Codec, packed: bytes, beside: int) -> msgpack.ExtType:
        number = len(self.numbered)
        head = b"\x93" + self._pack_scalar(number) + self._pack_scalar(self._index(codec.tag, codec.version))
        self.numbered[id(value)] = number, value, len(head) + len(packed) + beside
        return extension_type((SHARED, head + packed))

    def _index(self, tag: str, version: int) -> int:
        return self._indices.setdefault((tag, version), len(self._indices))

    def _tag(self, tag: str, version: int, packed: bytes) -> msgpack.ExtType:
        index = self._index(tag, version)
        if index < NEAR_TAGS:
            return extension_type((FIRST_TAG + index, packed))
        return extension_type((FAR_TAG, b"\x92" + self._pack_scalar(index) + packed))

    def _table(self, table: Table) -> msgpack.ExtType:
        return msgpack.ExtType(TABLE, self.pack([table.meta, _Chunked(self._stream(table.table))]))

    def _tagged(self, tagged: Tagged) -> msgpack.ExtType:
        return self._tag(tagged.tag, tagged.version, self.pack(tagged.node))

    def _records(self, records: Records) -> msgpack.ExtType:
        names = list(records.source) if type(records.source) is dict else None
        self.expanded += repeated_nodes(records.keys, len(records.source))
        try:
            columns = [each if type(each) is bytes else self.pack(each, records.excess) for each in records.columns]
            head = [b"\x93", self.pack(names), self.pack(records.keys), self._packer.pack_array_header(len(columns))]
            return msgpack.ExtType(RECORDS, b"".join(head + columns))
        except EncodeError as error:
            error.trail.append(records.source)
            raise

    def _tagged_list(self, items: TaggedList) -> msgpack.ExtType:
        index = self._index(items.codec.tag, items.codec.version)
        self.expanded += len(items.nodes)
        try:
            if isinstance(items.nodes, Columns):
                return self._tagged_columns(index, items.nodes, items.nulls)
            packed = b"\x93" + self._pack_scalar(index) + self.pack(items.nodes) + msgpack.packb(items.nulls)
        except EncodeError as error:
            error.trail.append(items.source)
            raise
        return msgpack.ExtType(TAGGED_LIST, packed)

    def _tagged_columns(self, index: int, nodes: Columns, nulls: list[int]) -> msgpack.ExtType:
        self.expanded += repeated_by_columns(nodes)
        names = None if nodes.names is None else list(nodes.names)
        columns = [self.pack(column) for column in nodes.columns]
        head = [b"\x95", *map(msgpack.packb, (index, nodes.head, names)), self._packer.pack_array_header(len(columns))]
        return msgpack.ExtType(TAGGED_COLUMNS, b"".join([*head, *columns, msgpack.packb(nulls)]))

    _FORMS: ClassVar[dict[type, Callable[[Writer, Any], msgpack.ExtType]]] = {
        Table: _table,
        Tagged: _tagged,
        Records: _records,
        TaggedList: _tagged_list,
        _CalledBack: lambda self, hidden: self._value(hidden.value),
    }


def _is_small(node: Any) -> bool:
    """Return whether a node brings no memory of its own, as far as can be seen at a glance."""
    if type(node) is list:
        return len(node) < _FEW and _MEMORY.isdisjoint(map(type, node))
    return type(node) in _SMALL_NODES


def hide_natives(value: Any) -> Any:
    """Return ``value`` with each native hidden that MessagePack would not give back as it is."""
    cls = type(value)
    if cls is list:
        return [hide_natives(item) for item in value]
    if cls is dict:
        return {hide_natives(key): hide_natives(item) for key, item in value.items()}
    if cls in _NOT_NATIVE or (cls is str and not is_exact_text(value.replace("\0", ""))):
        return _CalledBack(value)
    return value

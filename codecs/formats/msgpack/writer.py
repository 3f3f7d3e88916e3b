"""The MessagePack syntax of a node, and the blob that is written in it.

The packer walks natives in C and calls back for everything else.  Extension types carry the rest (docs/FORMAT.md):

====== =====================================================================================
code   data
====== =====================================================================================
0      a buffer that is small enough to stand in the tree: its bytes
1      a buffer of the blob: its index, packed
2      a table: ``[meta, buffer]``, packed; the buffer is an Arrow IPC stream
3      a tagged node that is met again: ``[place, index, node]``, packed
4      a tagged node that was met before: its place, packed
5      dicts with the same keys: ``[names, keys, columns]``, packed; names is nil for a list of them
6      a list of nodes of one tag: ``[index, nodes, places of nil]``, packed
15     a tagged node whose tag stands beyond the first 112: ``[index, node]``, packed
16-127 a tagged node: the node, packed; the code less 16 is the index into the table of tags
====== =====================================================================================
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable  # noqa: TC003 - a module variable is annotated with it
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgpack

from airflow_xcom.codecs.errors import (
    CircularReferenceError,
    CodecError,
    CorruptPayloadError,
    EncodeError,
    NestingError,
    NewerFormatError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.formats.compressed_frames import Frames, check_inflation, deflate, deflate_all, inflate
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.msgpack.columnar import Many, Records, in_batches, many_of, records_of
from airflow_xcom.codecs.nodes import Buffer, Shared, Table, Tagged, WithCells
from airflow_xcom.codecs.plain_json import is_exact_text
from airflow_xcom.codecs.refusal_advice import advice_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_xcom.codecs.codec import Codec

__all__ = [
    "BUFFER",
    "FAR_TAG",
    "FIRST_TAG",
    "INLINE_BUFFER",
    "MAGIC",
    "MANY",
    "PLAIN_VERSION",
    "RECORDS",
    "SAME",
    "SHARED",
    "TABLE",
    "VERSION",
    "Reader",
    "Writer",
    "place_of",
    "read",
    "read_cells",
    "read_header",
    "read_nodes",
    "write",
]

MAGIC = "airflow_xcom"
PLAIN_VERSION, VERSION = 1, 2  # of a body that is not compressed, and of one that is

INLINE_BUFFER, BUFFER, TABLE, SHARED, SAME, RECORDS, MANY, FAR_TAG, FIRST_TAG = 0, 1, 2, 3, 4, 5, 6, 15, 16
_NEAR_TAGS = 128 - FIRST_TAG
_DEEPEST = 100  # levels of tagged nodes in each other
_DEEPEST_NATIVES = 500  # levels of lists and dicts in each other; some packers stop at 511, and the unpacker at 1024
_ALIGNMENT = 64
_SMALL = 4096  # bytes; below this a buffer costs less in the tree than in the table with its padding
_PART = 2**32 - _ALIGNMENT  # bytes; MessagePack's bin 32 holds less than 4 GiB
_NIL = b"\xc0"
_FIXSTR, _FIXSTR_MOST, _STR8, _STR8_MOST = 0xA0, 31, 0xD9, 255  # heads of strings, and their most bytes
_FEW = 16  # items of a node that is no more than a few facts
_QUIET = 1 << 20  # bytes of tree from which the cyclic garbage collector is held off while it is unpacked

# Packed natively by the packer although they would not come back as themselves.
_IMPOSTORS = frozenset({bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp})
_CONTAINERS = frozenset({dict, list})
_HEAVY = frozenset({Buffer, Table})
_LEAVES = frozenset({str, int, float, bool, bytes, type(None)})  # in a list of these nothing needs a closer look
_LIGHT = _LEAVES | {dict}


# As ExtType(), without its checks, which cost more than the packing of what most tagged values hold.
_new_extension: Callable[[tuple[int, bytes]], msgpack.ExtType] = partial(tuple.__new__, msgpack.ExtType)
_TO_COME = msgpack.ExtType(SAME, b"")  # in place of what the writer that follows writes


class _Chunks(list[Any]):
    """One buffer in several pieces."""


class _Disguised:
    """A value that the packer would take for a native: so it calls back for it, in its turn."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Writer:
    """Packs one value and everything in it; collects the tags used and the large buffers met.

    Args:
        find: the codec for a class, or None.
        stream: the Arrow IPC stream of a table, as chunks.
        inline: keep every buffer in the tree, so that what is packed stands alone.
        first: the writer that packed the same value before, and met some large objects in it more than once:
            this one writes each of them once.
    """

    def __init__(
        self,
        find: Callable[[type], Codec | None],
        stream: Callable[[Any], list[Any]],
        *,
        inline: bool = False,
        first: Writer | None = None,
    ) -> None:
        self._find = find
        self._stream = stream
        self._inline = inline
        self._depth = 0
        self._packers: list[msgpack.Packer] = []
        self._packer = msgpack.Packer(buf_size=256)
        self._pack_text = self._packer.pack
        self.codes: dict[tuple[str, int], int] = {}
        self._shares = first is not None
        self.large: dict[int, tuple[Any, Any]] = {} if first is None else first.large  # by id: object and node
        self.repeated: set[int] = set() if first is None else first.repeated
        self._places: dict[int, int] = {}
        self._met = 0  # how often a large object was met again
        self.buffers: list[list[memoryview]] = []
        self._tags_in_cells: set[str] = set() if first is None else first.used_tags

    @property
    def repeats(self) -> bool:
        """Whether some large object was met more than once, so that another writer must pack the value."""
        return bool(self.repeated) and not self._shares

    @property
    def tags(self) -> list[list[str | int]]:
        """The table of tags: ``[tag, version]`` in the order first met."""
        return [[tag, version] for tag, version in self.codes]

    @property
    def used_tags(self) -> set[str]:
        """Every tag in what was packed, those in cells included."""
        return self._tags_in_cells.union(tag for tag, _ in self.codes)

    def pack_cells(self, values: Sequence[Any]) -> tuple[list[list[str | int]], bytes, list[int]]:
        """Pack each value as a document of its own, with its buffers in place; see :class:`WithCells`."""
        writer = Writer(self._find, self._stream, inline=True)
        cells = [writer.pack(value) for value in values]
        self._tags_in_cells |= writer.used_tags
        return writer.tags, b"".join(cells), [0, *accumulate(map(len, cells))]

    def pack(self, value: Any) -> bytes:
        """The packed node of ``value``.

        Raises:
            EncodeError: some part of it cannot be stored exactly.
        """
        if type(value) in _CONTAINERS and not (type(value) is list and _LEAVES.issuperset(set(map(type, value)))):
            value, kinds, depth = in_batches(value, self._nodes_of)
            if depth > _DEEPEST_NATIVES:
                raise _too_deep(value)
            if not kinds.isdisjoint(_IMPOSTORS):
                value = self._wrapped(value)
        elif type(value) in _IMPOSTORS:
            value = _Disguised(value)
        if self._depth == len(self._packers):
            self._packers.append(msgpack.Packer(strict_types=True, default=self._extension, buf_size=4096))
        packer = self._packers[self._depth]
        known = len(self.buffers), len(self.large), len(self._places)
        try:
            packed: bytes = packer.pack(value)
        except UnicodeEncodeError:
            self._forget(*known)
            packed = packer.pack(self._wrapped(value))
        except ValueError as error:
            if isinstance(error, CodecError):
                raise
            raise _too_deep(value) from error
        return packed

    def _forget(self, buffers: int, large: int, places: int) -> None:
        """Go back to what was known before an attempt to pack that failed."""
        del self.buffers[buffers:]
        while len(self._places) > places:
            self._places.popitem()
        while len(self.large) > large:
            key, _ = self.large.popitem()
            self.repeated.discard(key)  # of an object that may be gone, and another have its id

    def _wrapped(self, value: Any) -> Any:
        """``value`` with each native that MessagePack would not give back in disguise."""
        kind = type(value)
        if kind is list:
            return [self._wrapped(item) for item in value]
        if kind is dict:
            return {self._wrapped(key) if type(key) is str else key: self._wrapped(item) for key, item in value.items()}
        if kind in _IMPOSTORS or (kind is str and not _is_utf8(value)):
            return _Disguised(value)
        return value

    def tagged(self, value: Any) -> Tagged:
        """What the codec of ``value`` makes of it, not packed yet.

        Raises:
            EncodeError: there is no codec, or it refused.
        """
        found = self._codec(value)
        return Tagged(found.tag, found.version, self._encode(found, value))

    def _codec(self, value: Any) -> Codec:
        kind = type(value)
        found = self._find(kind)
        if found is not None:
            return found
        name = f"{kind.__module__}.{kind.__qualname__}"
        error = UnsupportedTypeError(f"no codec handles {name}; {advice_for(kind)}")
        error.trail.append(value)
        raise error

    def _encode(self, found: Codec, value: Any) -> Any:
        try:
            return self._completed(found.encode(value))
        except Exception as error:  # noqa: BLE001 - raised again, with where and why
            _raise_failure(found, value, error)

    def _completed(self, node: Any) -> Any:
        return node.make(self.pack_cells) if type(node) is WithCells else node

    def _extension(self, value: Any) -> msgpack.ExtType:
        kind = type(value)
        if kind is Buffer:
            return self._buffer([memoryview(value.data).cast("B")])
        if kind is _Chunks:
            return self._buffer([memoryview(chunk) for chunk in value])
        if self._depth >= _DEEPEST:
            msg = f"it is nested deeper than {_DEEPEST} levels of tagged values"
            raise NestingError(msg)
        self._depth += 1
        try:
            return self._FORMS[kind](self, value) if kind in self._FORMS else self._value(value)
        finally:
            self._depth -= 1

    def _table(self, table: Table) -> msgpack.ExtType:
        return msgpack.ExtType(TABLE, self.pack([table.meta, _Chunks(self._stream(table.table))]))

    def _tagged(self, tagged: Tagged) -> msgpack.ExtType:
        return self._tag(tagged.tag, tagged.version, self.pack(tagged.node))

    def _value(self, value: Any) -> msgpack.ExtType:
        """What the codec of ``value`` makes of it; of what is large and was met before, where it stands."""
        key = id(value)
        if key in self._places:
            self._met += 1
            return msgpack.ExtType(SAME, msgpack.packb(self._places[key]))
        found = self._codec(value)
        if key in self.large:
            self._met += 1
            if not self._shares:
                self.repeated.add(key)
                return _TO_COME
            packed = self._pack_node(value, self.large[key][1])
            return self._share(key, found, packed) if key in self.repeated else self._tag_of(found, packed)
        known = len(self.buffers), self._met
        node = self._encode(found, value)
        # Most tagged values are short text (times, decimals, identifiers), which needs none of pack()'s care.
        if type(node) is str and node.isascii():
            return self._tag_of(found, self._pack_text(node))
        if type(node) is Table:
            node = node.whole()
        packed = self._pack_node(value, node)
        holds_large = known != (len(self.buffers), self._met)
        if (len(packed) >= _SMALL or holds_large or type(node) is Table) and not self._inline:
            self.large[key] = value, node
        return self._tag_of(found, packed)

    def _pack_node(self, value: Any, node: Any) -> bytes:
        try:
            return self.pack(node)
        except EncodeError as error:
            error.trail.append(value)
            raise

    def _tag_of(self, found: Codec, packed: bytes) -> msgpack.ExtType:
        return self._tag(found.tag, found.version, packed)

    def _share(self, key: int, found: Codec, packed: bytes) -> msgpack.ExtType:
        place = self._places[key] = len(self._places)
        index = self.codes.setdefault((found.tag, found.version), len(self.codes))
        return msgpack.ExtType(SHARED, b"\x93" + msgpack.packb(place) + msgpack.packb(index) + packed)

    def _tag(self, tag: str, version: int, packed: bytes) -> msgpack.ExtType:
        index = self.codes.setdefault((tag, version), len(self.codes))
        if index < _NEAR_TAGS:
            return _new_extension((FIRST_TAG + index, packed))
        return msgpack.ExtType(FAR_TAG, b"\x92" + msgpack.packb(index) + packed)

    def _nodes_of(self, kind: type, items: list[Any]) -> tuple[Codec, list[Any]] | None:
        """The codec of a class and what it makes of objects; None where they may be large, or are to be shared."""
        found = self._find(kind)
        if found is None or not _is_light(self._encode(found, items[0])):
            return None
        nodes: list[Any] = []
        encode, append = found.encode, nodes.append
        if type(encode(items[0])) is WithCells:
            encode = lambda item: self._completed(found.encode(item))  # noqa: E731 - two calls are slower than one
        try:
            for item in items:
                append(encode(item))
        except Exception as error:  # noqa: BLE001 - raised again, with where and why
            _raise_failure(found, items[len(nodes)], error)
        kinds = set(map(type, nodes))
        if kinds == {str}:
            return found, nodes
        are_light = kinds <= _LIGHT or all(map(_is_light, nodes))
        return (found, nodes) if are_light and len(set(map(id, items))) == len(items) else None

    def _records(self, records: Records) -> msgpack.ExtType:
        names = list(records.source) if type(records.source) is dict else None
        try:
            columns = [self.pack(column) for column in records.columns]
            head = [b"\x93", self.pack(names), self.pack(records.keys), self._packer.pack_array_header(len(columns))]
            return msgpack.ExtType(RECORDS, b"".join(head + columns))
        except EncodeError as error:
            error.trail.append(records.source)
            raise

    def _many(self, many: Many) -> msgpack.ExtType:
        index = self.codes.setdefault((many.codec.tag, many.codec.version), len(self.codes))
        try:
            packed = b"\x93" + msgpack.packb(index) + self.pack(many.nodes) + msgpack.packb(many.gaps)
        except EncodeError as error:
            error.trail.append(many.source)
            raise
        return msgpack.ExtType(MANY, packed)

    _FORMS: ClassVar[dict[type, Callable[[Writer, Any], msgpack.ExtType]]] = {
        Table: _table,
        Tagged: _tagged,
        Records: _records,
        Many: _many,
        _Disguised: lambda self, disguised: self._value(disguised.value),
    }

    def _buffer(self, chunks: list[memoryview]) -> msgpack.ExtType:
        if self._inline or sum(map(len, chunks)) < _SMALL:
            return msgpack.ExtType(INLINE_BUFFER, b"".join(chunks))
        self.buffers.append(chunks)
        return msgpack.ExtType(BUFFER, msgpack.packb(len(self.buffers) - 1))


def _raise_failure(found: Codec, value: Any, error: Exception) -> NoReturn:
    """What a codec raised for a value, as an error that leads there."""
    if isinstance(error, (MemoryError, RecursionError)):
        raise error
    if isinstance(error, EncodeError):
        error.trail.append(value)
        raise error
    failure = EncodeError(f"the codec {found.tag!r} failed to encode it: {type(error).__name__}: {error}")
    failure.trail.append(value)
    raise failure from error


def _is_light(node: Any) -> bool:
    """Whether a node has no memory of its own to write, as far as can be seen at a glance."""
    if type(node) is list:
        return len(node) < _FEW and _HEAVY.isdisjoint(map(type, node))
    return type(node) in _LIGHT


def _is_utf8(text: str) -> bool:
    return is_exact_text(text.replace("\0", ""))


def _too_deep(value: Any) -> EncodeError:
    if (found := _cycle(value)) is not None:
        return CircularReferenceError(f"the {type(found).__name__} contains itself")
    return NestingError(f"its lists and dicts are nested deeper than {_DEEPEST_NATIVES} levels")


def _cycle(value: Any) -> Any:
    """A list or dict that contains itself through lists and dicts, or None."""
    done: set[int] = set()
    path: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, leaving = stack.pop()
        if leaving:
            path.discard(id(item))
            done.add(id(item))
        elif id(item) in path:
            return item
        elif id(item) not in done:
            path.add(id(item))
            stack.append((item, True))
            stack.extend((child, False) for child in gc.get_referents(item) if type(child) in _CONTAINERS)
    return None


class Reader:
    """Unpacks the nodes of one payload.

    Args:
        tags: the table of tags, ``[tag, version]`` each.
        buffers: the buffers of the blob, writable.
        restorer: what turns the nodes of a tag into values: ``restorer(tag, version)(node)``.
        table: the Table of an Arrow IPC stream: ``table(stream, meta)``.
    """

    def __init__(
        self,
        tags: Sequence[Sequence[Any]],
        buffers: Sequence[memoryview],
        restorer: Callable[[str, int], Callable[[Any], Any]],
        table: Callable[[memoryview, Any], Any],
    ) -> None:
        self._tags = [_checked_tag(entry) for entry in tags]
        self._restorers: list[Callable[[Any], Any] | None] = [None] * len(self._tags)
        self._buffers = buffers
        self._restorer = restorer
        self._table = table
        self._shared: dict[int, Any] = {}
        self._taken: set[int] = set()
        self._depth = 0

    def unpack(self, packed: bytes | memoryview) -> Any:
        """The value of one packed node; whatever is raised over damaged bytes is the caller's to translate."""
        return msgpack.unpackb(packed, strict_map_key=False, ext_hook=self._extension)

    def _extension(self, code: int, data: bytes) -> Any:
        if code == INLINE_BUFFER:
            return memoryview(bytearray(data))
        if code == BUFFER:
            return self._take(_index(msgpack.unpackb(data), len(self._buffers)))
        if self._depth >= _DEEPEST:
            msg = f"the payload is nested deeper than {_DEEPEST} levels of tagged values"
            raise CorruptPayloadError(msg)
        self._depth += 1
        try:
            node: Any = _short_text(data) or self.unpack(data)
            if code >= FIRST_TAG:
                return self._restore(code - FIRST_TAG, node)
            return self._form(code, node)
        finally:
            self._depth -= 1

    def _take(self, index: int) -> memoryview:
        """A buffer, once: a codec may write to it, when another has checked what it holds."""
        if index in self._taken:
            msg = f"the buffer {index} is used more than once"
            raise CorruptPayloadError(msg)
        self._taken.add(index)
        return self._buffers[index]

    def _form(self, code: int, node: Any) -> Any:
        if code == TABLE:
            meta, stream = node
            return self._table(stream, meta)
        if code == SAME:
            return self._kept(node)
        if code == RECORDS:
            return _records(*node)
        if code == MANY:
            index, nodes, gaps = node
            restore = self._restorer_of(_index(index, len(self._tags)))
            return many_of([restore(node) for node in nodes], gaps)
        if code == SHARED:
            place, index, node = node
            return self._keep(place, self._restore(_index(index, len(self._tags)), node))
        if code == FAR_TAG:
            index, node = node
            return self._restore(_index(index, len(self._tags)), node)
        msg = f"the payload has an extension type {code}"
        raise CorruptPayloadError(msg)

    def _restore(self, index: int, node: Any) -> Any:
        return self._restorer_of(index)(node)

    def _restorer_of(self, index: int) -> Callable[[Any], Any]:
        restore = self._restorers[index]
        if restore is None:
            restore = self._restorers[index] = self._restorer(*self._tags[index])
        return restore

    def _keep(self, place: Any, value: Any) -> Any:
        if type(place) is not int or place in self._shared:
            msg = f"two objects of the payload have the place {place!r}"
            raise CorruptPayloadError(msg)
        self._shared[place] = value
        return value

    def _kept(self, place: Any) -> Any:
        return self._shared[place]


def _records(names: list[Any] | None, keys: list[str], columns: list[list[Any]]) -> Any:
    rows = records_of(keys, columns)
    if names is None:
        return rows
    found = dict(zip(names, rows, strict=True))
    if len(found) != len(rows):
        msg = "a name of a record comes twice"
        raise CorruptPayloadError(msg)
    return found


class _NodeReader(Reader):
    """Gives the nodes themselves: Tagged, Table and Shared objects and buffers."""

    def _keep(self, place: Any, value: Any) -> Any:
        return Shared(place, value)

    def _kept(self, place: Any) -> Any:
        return Shared(place, None)


def _short_text(data: bytes) -> str | None:
    """The text, if ``data`` is a packed string of 1 to 255 bytes and nothing else, far faster than a parser."""
    size = len(data)
    if 1 < size <= _FIXSTR_MOST + 1 and data[0] == _FIXSTR + size - 1:
        return data[1:].decode()
    if _FIXSTR_MOST + 2 < size <= _STR8_MOST + 2 and data[0] == _STR8 and data[1] == size - 2:
        return data[2:].decode()
    return None


def _checked_tag(entry: Any) -> tuple[str, int]:
    tag, version = entry
    if type(tag) is not str or type(version) is not int:
        msg = f"the table of tags holds {entry!r}"
        raise CorruptPayloadError(msg)
    return tag, version


def _index(value: Any, size: int) -> int:
    if type(value) is not int or not 0 <= value < size:
        msg = f"the index {value!r} is not below {size}"
        raise CorruptPayloadError(msg)
    return value


@contextmanager
def _corrupt() -> Iterator[None]:
    """Turn whatever a parser raises over damaged bytes into a CorruptPayloadError."""
    try:
        yield
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        msg = f"the payload is damaged: {type(error).__name__}: {error}"
        raise CorruptPayloadError(msg) from error


def write(
    writer: Writer, tree: bytes, compression: Compression = NO_COMPRESSION, plain: list[Any] | None = None
) -> list[Any]:
    """The chunks of a blob: header, tree, then each buffer as ``bin`` objects that begin at multiples of 64 bytes.

    Nil objects pad the stream, so that any MessagePack library reads it object by object.  Where nothing is compressed
    and the chunks without compression are known (``plain``), it is these.
    """
    buffers = [
        shrunk or raw for shrunk, raw in zip(deflate_all(writer.buffers, compression), writer.buffers, strict=True)
    ]
    small = deflate([tree], compression)
    tree, entry = (tree, len(tree)) if small is None or small.stored >= _PART else _packed_frames(small)
    version = VERSION if type(entry) is list or any(isinstance(buffer, Frames) for buffer in buffers) else PLAIN_VERSION
    if version == PLAIN_VERSION and plain is not None:
        return plain
    head = msgpack.packb([MAGIC, version, writer.tags, [_entry(buffer) for buffer in buffers], entry]) + tree
    chunks: list[Any] = [head]
    position = len(head)
    for each in buffers:
        buffer = [memoryview(chunk) for chunk in each.chunks] if isinstance(each, Frames) else each
        size = sum(map(len, buffer))
        for begin, end in _parts(size):
            lead = _lead(position, end - begin)
            chunks.append(lead)
            chunks.extend(_slice(buffer, begin, end))
            position += len(lead) + end - begin
    return chunks


def _entry(buffer: Frames | list[memoryview]) -> int | list[Any]:
    """What the header says of a buffer: its size, or how to inflate it."""
    if isinstance(buffer, Frames):
        return [buffer.stored, buffer.algorithm, buffer.size]
    return sum(map(len, buffer))


def _packed_frames(tree: Frames) -> tuple[bytes, list[Any]]:
    """A compressed tree as a ``bin`` object, and what the header says of it."""
    packed: bytes = msgpack.packb(b"".join(tree.chunks))
    return packed, [len(packed), tree.algorithm, tree.size]


def _parts(size: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, max(size, 1), _PART):
        yield begin, min(begin + _PART, size)


def place_of(position: int, size: int) -> tuple[int, int]:
    """Where a buffer begins that comes behind ``position``, and where it ends."""
    start = position + len(_lead(position, min(size, _PART)))
    for begin, end in _parts(size):
        position += len(_lead(position, end - begin)) + end - begin
    return start, position


def _lead(position: int, size: int) -> bytes:
    """The padding and the ``bin 32`` head that put the next byte at a multiple of 64."""
    return _NIL * (-(position + 5) % _ALIGNMENT) + b"\xc6" + size.to_bytes(4, "big")


def _slice(chunks: list[memoryview], begin: int, end: int) -> Iterator[memoryview]:
    at = 0
    for chunk in chunks:
        part = chunk[max(begin - at, 0) : max(end - at, 0)]
        if len(part):
            yield part
        at += len(chunk)


def _header(memory: memoryview) -> tuple[list[Any], int]:
    """The header object and where it ends."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(memory))
    size = 0
    while size < len(memory):
        more = memory[size : max(4096, 2 * size)]
        unpacker.feed(more)
        size += len(more)
        try:
            return unpacker.unpack(), unpacker.tell()
        except msgpack.OutOfData:
            continue
    msg = "the payload ends within its header"
    raise CorruptPayloadError(msg)


def read_header(memory: memoryview, newest: int = VERSION) -> tuple[list[Any], int]:
    """The header of a blob that is of no version after ``newest``, and where it ends.

    Raises:
        CorruptPayloadError: there is none, or it goes on behind the memory.
        NewerFormatError: a newer release wrote it.
    """
    header, position = _header(memory)
    if type(header) is not list or header[:1] != [MAGIC] or len(header) == 1:
        msg = "the payload is not a MessagePack body: its header is missing"
        raise CorruptPayloadError(msg)
    if header[1] not in range(PLAIN_VERSION, newest + 1):
        raise NewerFormatError("the MessagePack body", header[1], newest)
    return header, position


def _open(memory: memoryview, newest: int) -> tuple[list[Any], memoryview, list[memoryview]]:
    """The table of tags, the packed tree and the buffers of a blob in writable memory."""
    header, position = read_header(memory, newest)
    _, version, tags, entries, tree_entry = header
    if version == PLAIN_VERSION:
        return tags, *_parts_of(memory, position, entries, tree_entry)
    check_inflation(sum(_raw_size(entry) for entry in [*entries, tree_entry]), len(memory))
    tree, buffers = _parts_of(memory, position, map(_stored_size, entries), _stored_size(tree_entry))
    if type(tree_entry) is list:
        tree = memoryview(msgpack.unpackb(tree))
    tree, *buffers = map(_inflated, [tree, *buffers], [tree_entry, *entries])
    return tags, tree, buffers


def _parts_of(
    memory: memoryview, position: int, sizes: Iterable[Any], tree_size: Any
) -> tuple[memoryview, list[memoryview]]:
    """The tree and the buffers as they are stored from ``position`` on."""
    tree = memory[position : position + _index(tree_size, len(memory) - position + 1)]
    position += tree_size
    buffers = []
    for size in sizes:
        buffer, position = _take(memory, position, _index(size, len(memory) - position + 1))
        buffers.append(buffer)
    if position != len(memory):
        msg = f"the payload has {len(memory) - position} bytes too many"
        raise CorruptPayloadError(msg)
    return tree, buffers


def _stored_size(entry: Any) -> Any:
    return entry[0] if type(entry) is list else entry


def _raw_size(entry: Any) -> int:
    if type(entry) is not list:
        return 0
    _, _, size = entry
    return _index(size, sys.maxsize)


def _inflated(stored: memoryview, entry: Any) -> memoryview:
    return inflate(stored, *entry[1:]) if type(entry) is list else stored


def _take(memory: memoryview, position: int, size: int) -> tuple[memoryview, int]:
    parts = []
    for begin, end in _parts(size):
        lead = _lead(position, end - begin)
        start = position + len(lead)
        position = start + end - begin
        if bytes(memory[start - len(lead) : start]) != lead or position > len(memory):
            msg = "the payload is cut off, or a buffer in it does not begin where the header says"
            raise CorruptPayloadError(msg)
        parts.append(memory[start:position])
    return (parts[0] if len(parts) == 1 else memoryview(bytearray(b"".join(parts)))), position


@contextmanager
def _quiet(size: int) -> Iterator[None]:
    """Hold the cyclic garbage collector off: a large unpack makes only live objects, which it would walk in vain."""
    if size < _QUIET or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read(
    memory: memoryview,
    restorer: Callable[[str, int], Callable[[Any], Any]],
    table: Callable[[memoryview, Any], Any],
    *,
    newest: int = VERSION,
) -> Any:
    """The value of a blob that lies in writable memory, and is of no version after ``newest``.

    Raises:
        DecodeError: it is damaged, of a newer version, or some part of it cannot be restored.
    """
    with _corrupt():
        tags, tree, buffers = _open(memory, newest)
        with _quiet(len(tree)):
            return Reader(tags, buffers, restorer, table).unpack(tree)


def read_nodes(packed: bytes, writer: Writer) -> Any:
    """The node tree that ``writer`` packed: Tagged, Table, Shared and Buffer objects in place of their values."""
    buffers = [memoryview(b"".join(chunks)) for chunks in writer.buffers]
    return _NodeReader(writer.tags, buffers, lambda tag, version: partial(Tagged, tag, version), Table).unpack(packed)


def read_cells(
    tags: Sequence[Sequence[Any]],
    cells: Iterable[memoryview],
    restorer: Callable[[str, int], Callable[[Any], Any]],
    table: Callable[[memoryview, Any], Any],
) -> list[Any]:
    """The values that :meth:`Writer.pack_cells` packed.

    Raises:
        DecodeError: see :func:`read`.
    """
    with _corrupt():
        unpack = Reader(tags, (), restorer, table).unpack
        return [unpack(cell) for cell in cells]

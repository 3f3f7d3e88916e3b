"""What a payload says of itself, without its value: no codec is asked, and no more is read than what is shown.

Of a table these are its columns and first rows, which pyarrow alone can tell; of a tree its tags and the first items at
each level, which are looked for in the MessagePack itself.  Everything comes as JSON.
"""

from __future__ import annotations

import math
import struct
from base64 import b64decode
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.errors import ClassNotAllowedError, CodecError, CorruptPayloadError
from airflow_xcom.codecs.formats.msgpack import container
from airflow_xcom.codecs.formats.msgpack import extension_types as types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

__all__ = ["outline", "outline_json", "refused_classes"]

_MAGIC = b"ARROW1"
_ITEMS = 8  # of a list or dict that are shown
_DEEPEST = 12  # levels that are shown
_NODES = 200  # that are shown
_STEPS = 1 << 18  # objects that are stepped over to find the next one to show
_TEXT = 200  # characters of a text that are shown
_BLOCK = 1 << 16  # bytes that are read at a time
_BUDGET = 1 << 20  # bytes of a tree that are looked through at most
_LONGEST_HEADER = 1 << 24  # bytes
_SCHEMA = 1 << 16  # bytes of a table within a tree that are read for its columns
_STREAM = b"\xff\xff\xff\xff"  # before each message of an Arrow stream
_BIN8 = 0xC4
_UNREAD = {"type": "unread"}  # in place of what would take too much reading

Outline = dict[str, Any]


def outline(fetch: Fetch, size: int, *, rows: int = 10) -> Outline:
    """What a blob says of itself.

    Args:
        fetch: gives the bytes of the blob from the start to before the stop of each range.
        size: of the blob in bytes.
        rows: of a table.

    Returns:
        ``format``, ``version`` (of the body), and of an Arrow body what :func:`outline_json` says of a table, of a
        MessagePack body ``tags``, ``buffers`` and ``tree``.

    Raises:
        CorruptPayloadError: it is neither, or damaged.
        NewerFormatError: a newer release wrote it.
    """
    try:
        if bytes(fetch([(0, min(size, len(_MAGIC)))])[0]) == _MAGIC:
            return _arrow(fetch, size, rows)
        return _msgpack(fetch, size)
    except (CodecError, MemoryError, OSError):
        raise
    except Exception as error:
        raise _damaged(error) from error


def outline_json(value: Any, *, rows: int = 10) -> Outline:
    """What a value in the JSON syntax says of itself.

    Returns:
        ``format``, and of a table ``tag``, ``tag_version``, ``rows``, ``columns`` and ``head``; else ``tree``.

    Raises:
        CorruptPayloadError: it is damaged.
    """
    try:
        match value:
            case {"$": [str(tag), int(version), {"$": ["table", [_, str(stream)]]}]}:
                return {"format": "json", "tag": tag, "tag_version": version, **_stream(b64decode(stream), rows)}
            case {"$": ["blob", str(body)]}:
                memory = memoryview(b64decode(body))
                return {
                    **outline(lambda ranges: [memory[slice(*part)] for part in ranges], len(memory)),
                    "format": "json",
                }
        return {"format": "json", "tree": _JsonTree().node(value)}
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error) from error


def refused_classes(found: Outline) -> list[str]:
    """For each class that a tree shows and that may not be restored here, what the error at pull says."""
    from airflow_xcom.codecs.registry import registry

    refusals = []
    for name in dict.fromkeys(_class_names(found.get("tree"))):
        try:
            registry.check_class(name.replace(":", "."))
        except ClassNotAllowedError as error:
            refusals.append(str(error))
    return refusals


def _class_names(node: Any) -> Iterator[str]:
    match node:
        case {"type": "tagged", "tag": str(tag), "node": {"items": [{"value": str(name)}, *_]}}:
            if tag.startswith("class."):
                yield name
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _class_names(item)


def _damaged(error: Exception) -> CorruptPayloadError:
    return CorruptPayloadError(f"the payload is damaged: {type(error).__name__}: {error}")


# -- tables --------------------------------------------------------------------------------------------------


def _arrow(fetch: Fetch, size: int, rows: int) -> Outline:
    from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges

    file = ArrowRanges(fetch, size)
    shown = range(min(rows, file.count))
    table = file.table(range(len(file.schema)), shown)
    facts = {"tag": file.note.tag, "tag_version": file.note.version, "compression": file.compression}
    return {"format": "arrow", **facts, **_table(file.schema, file.count, table)}


def _stream(data: bytes, rows: int) -> Outline:
    from airflow_xcom.codecs.formats.arrow.file import read_stream

    table = read_stream(memoryview(data), None).table
    return _table(table.schema, table.num_rows, table.slice(0, rows))


def _table(schema: Any, count: int, first: Any) -> Outline:
    cells = [_cells(column) for column in first.columns]
    return {"rows": count, "columns": _columns(schema), "head": [list(row) for row in zip(*cells, strict=True)]}


def _columns(schema: Any) -> list[Outline]:
    return [{"name": field.name, "type": str(field.type)} for field in schema]


def _cells(column: Any) -> list[str | None]:
    """The first values of a column as text; None for nulls."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if _is_binary(column.type):
        return [f"<{len(value.as_py())} bytes>" if value.is_valid else None for value in column]
    try:
        return [_cut(text) for text in _labels(column).cast(pa.large_string()).to_pylist()]
    except (pa.ArrowException, ValueError):  # a nested type, or one that Arrow does not write as text
        return [_cut(_text(value)) if value.is_valid else None for value in column]


def _labels(column: Any) -> Any:
    """A column, or the labels that a dictionary has for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array(
        [pc.take(chunk.dictionary, chunk.indices) for chunk in column.chunks], column.type.value_type
    )


def _text(value: Any) -> str:
    try:
        return str(value.as_py())
    except Exception:  # noqa: BLE001 - a time or a zone that Python has not, say
        return "…"


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    checks = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(check(kind) for check in checks)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT else text[:_TEXT] + "…"


# -- trees ---------------------------------------------------------------------------------------------------


class _Room:
    """How many more nodes are shown."""

    def __init__(self) -> None:
        self._left = _NODES

    def is_full(self, depth: int) -> bool:
        self._left -= 1
        return self._left < 0 or depth > _DEEPEST


class _JsonTree:
    """Goes through a value in the JSON syntax."""

    def __init__(self) -> None:
        self._room = _Room()

    def node(self, value: Any, depth: int = 0) -> Outline:
        if self._room.is_full(depth):
            return _UNREAD
        if type(value) is list:
            return _list([self.node(item, depth + 1) for item in value[:_ITEMS]], len(value))
        if type(value) is not dict:
            return _native(value)
        match value:
            case {"$": [str(tag), int(version), node], **rest} if not rest:
                return _tagged(tag, version, self.node(node, depth + 1))
            case {"$": [str(form), content], **rest} if not rest:
                return self._form(form, content, depth + 1)
        return self._dict(list(islice(value.items(), _ITEMS)), len(value), depth)

    def _dict(self, pairs: Sequence[Any], length: int, depth: int) -> Outline:
        items = [[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in pairs]
        return {"type": "dict", "length": length, "items": items}

    def _form(self, form: str, content: Any, depth: int) -> Outline:
        if form == "map":
            return self._dict(content[:_ITEMS], len(content), depth)
        if form == "table":
            data = b64decode(content[1])
            return {"type": "table", "bytes": len(data), **_without_head(_stream(data, 0))}
        if form == "shared":
            return {"type": "shared", "place": content[0], "node": self.node(content[1], depth)}
        if form == "same":
            return {"type": "same", "place": content}
        if form in {"bytes", "buffer"}:
            return {"type": form, "bytes": len(b64decode(content))}
        return {"type": _JSON_FORMS.get(form, form), "value": _cut(str(content))}


_JSON_FORMS = {"float": "float", "nan": "float", "int": "int", "text": "str"}


def _native(value: Any) -> Outline:
    if type(value) is str:
        return {"type": "str", "value": _cut(value)}
    if type(value) is float and not math.isfinite(value):
        return {"type": "float", "value": repr(value)}
    return {"type": "null" if value is None else type(value).__name__, "value": value}


def _list(items: list[Outline], length: int) -> Outline:
    return {"type": "list", "length": length, "items": items}


def _tagged(tag: str, version: int, node: Outline) -> Outline:
    return {"type": "tagged", "tag": tag, "version": version, "node": node}


def _without_unused_numbers(node: Any, used: set[Any] | None = None) -> Any:
    """Return an outline without the numbers of nodes that are not met again in it; a writer numbers every large one."""
    if used is None:
        used = set(_used_numbers(node))
    if isinstance(node, dict):
        if node.get("type") == "shared" and node["place"] not in used:
            return _without_unused_numbers(node["node"], used)
        return {name: _without_unused_numbers(item, used) for name, item in node.items()}
    return [_without_unused_numbers(item, used) for item in node] if isinstance(node, list) else node


def _used_numbers(node: Any) -> Iterator[Any]:
    if isinstance(node, dict) and node.get("type") == "same":
        yield node["place"]
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _used_numbers(item)


def _without_head(facts: Outline) -> Outline:
    return {name: fact for name, fact in facts.items() if name != "head"}


# -- MessagePack ---------------------------------------------------------------------------------------------


class _TooFarError(Exception):
    """What is wanted stands behind more than may be looked through."""


class _Window:
    """Bytes that are read where they are looked at."""

    def __init__(self, fetch: Fetch, size: int, budget: int = _BUDGET) -> None:
        self._fetch = fetch
        self._blocks: dict[int, memoryview] = {}
        self._size = size
        self._left = budget

    def read(self, start: int, stop: int) -> bytes:
        if stop > self._size:
            raise CorruptPayloadError("the payload is cut off")
        first, last = start // _BLOCK, max(stop - 1, start) // _BLOCK
        offset = start - first * _BLOCK
        if first == last:
            return bytes(self._block(first)[offset : offset + stop - start])
        return b"".join(self._block(number) for number in range(first, last + 1))[offset : offset + stop - start]

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            if self._left <= 0:
                raise _TooFarError
            start = number * _BLOCK
            self._left -= _BLOCK
            self._blocks[number] = self._fetch([(start, min(start + _BLOCK, self._size))])[0]
        return self._blocks[number]


def _msgpack(fetch: Fetch, size: int) -> Outline:
    (_, version, tags, entries, tree), position = _header(fetch, size)
    facts = _sizes_of(tree, size)
    end = position + _stored(facts)
    buffers = []
    for entry in entries:
        buffer = _sizes_of(entry, size)
        start, end = container.locate_buffer(end, _stored(buffer))
        buffers.append({**buffer, **_columns_in(fetch, start, buffer)})
    if end != size:
        raise CorruptPayloadError(f"the payload should have {end} bytes, and has {size}")
    walker = _Walker(_tree(fetch, position, facts), _checked(tags), buffers)
    shown = [_sizes_of(entry, size) for entry in entries]
    return {
        "format": "msgpack",
        "version": version,
        "tags": tags,
        "buffers": shown,
        "tree_bytes": facts["bytes"],
        "tree": _without_unused_numbers(walker.node(0)),
    }


def _header(fetch: Fetch, size: int) -> tuple[list[Any], int]:
    """The header, for which more is read where it is longer."""
    length = _BLOCK
    while True:
        try:
            return container.read_header(fetch([(0, min(length, size))])[0])
        except CorruptPayloadError:
            if length >= min(size, _LONGEST_HEADER):
                raise
            length *= 16


def _checked(tags: Any) -> list[tuple[str, int]]:
    if not all(type(tag) is str and type(version) is int for tag, version in tags):
        raise CorruptPayloadError("the table of tags is damaged")
    return [(tag, version) for tag, version in tags]


def _sizes_of(entry: Any, most: int) -> Outline:
    """What the header says of a buffer or tree."""
    stored, *packed = entry if type(entry) is list else [entry]
    if type(stored) is not int or not 0 <= stored <= most:
        raise CorruptPayloadError("the sizes in the header are damaged")
    if not packed:
        return {"bytes": stored}
    algorithm, size = packed
    return {"bytes": int(size), "stored": stored, "compression": str(algorithm)}


def _stored(facts: Outline) -> int:
    return int(facts["stored"] if "stored" in facts else facts["bytes"])


def _tree(fetch: Fetch, position: int, facts: Outline) -> _Window:
    """The tree, of which a compressed one is decompressed as far as may be looked through."""
    if "compression" not in facts:
        return _Window(
            lambda ranges: fetch([(position + start, position + stop) for start, stop in ranges]), facts["bytes"]
        )
    import pyarrow as pa

    stored = bytes(fetch([(position, position + min(facts["stored"], _BUDGET))])[0])
    start = 1 + (1 << (stored[0] - _BIN8))  # a bin object: a byte, and its size in 1, 2 or 4
    with pa.CompressedInputStream(pa.BufferReader(stored[start:]), facts["compression"]) as stream:
        memory = memoryview(stream.read(min(facts["bytes"], _BUDGET)))

    def within(ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        if any(start >= len(memory) for start, _ in ranges):
            raise _TooFarError
        return [memory[slice(*part)] for part in ranges]

    return _Window(within, facts["bytes"])


def _columns_in(fetch: Fetch, start: int, buffer: Outline) -> Outline:
    """The columns of the table that a buffer may be, as the beginning of an Arrow stream says them."""
    if "compression" in buffer or buffer["bytes"] <= len(_STREAM):
        return {}
    if bytes(fetch([(start, start + len(_STREAM))])[0]) != _STREAM:
        return {}
    import pyarrow as pa

    head = fetch([(start, start + min(buffer["bytes"], _SCHEMA))])[0]
    try:
        return {"columns": _columns(pa.ipc.read_schema(pa.py_buffer(head)))}
    except (pa.ArrowException, OSError):
        return {}


class _Walker:
    """Looks through packed objects without making them."""

    def __init__(self, window: _Window, tags: list[tuple[str, int]], buffers: list[Outline]) -> None:
        self._window = window
        self._tags = tags
        self._buffers = buffers
        self._room = _Room()
        self._steps = _STEPS

    def node(self, at: int, depth: int = 0) -> Outline:
        """What stands at a place."""
        if self._room.is_full(depth):
            return _UNREAD
        try:
            kind, size, start = self._head(at)
            if kind == "array":
                return _list(self._items(start, size, depth), size)
            if kind == "map":
                flat = self._items(start, 2 * size, depth, 2 * _ITEMS)
                pairs = [list(pair) for pair in zip(flat[::2], flat[1::2], strict=False)]
                return {"type": "dict", "length": size, "items": pairs}
            if kind == "ext":
                return self._extension(self._byte(start - 1), start, size, depth + 1)
            return self._leaf(kind, size, start)
        except _TooFarError:
            return _UNREAD

    def _leaf(self, kind: str, size: int, start: int) -> Outline:
        if kind == "bytes":
            return {"type": "bytes", "bytes": size}
        if kind == "str":
            text = self._window.read(start, start + min(size, 4 * _TEXT)).decode(errors="replace")
            return _native(text if size <= 4 * _TEXT else text + "…")
        return _native(self._number(start))

    def _items(self, at: int, count: int, depth: int, most: int = _ITEMS) -> list[Outline]:
        found: list[Outline] = []
        for number in range(min(count, most)):
            try:
                at = self._behind(at) if number else at
            except _TooFarError:
                break
            found.append(self.node(at, depth + 1))
        return found

    def _extension(self, code: int, start: int, size: int, depth: int) -> Outline:
        if code >= types.FIRST_TAG:
            return _tagged(*self._tags[code - types.FIRST_TAG], self.node(start, depth))
        if code == types.INLINE_BUFFER:
            return {"type": "buffer", "bytes": size}
        if code == types.BUFFER:
            facts = self._buffers[self._number(start + 1)]
            return {"type": "buffer", **{name: fact for name, fact in facts.items() if name != "columns"}}
        if code == types.SAME:
            return {"type": "same", "place": self._number(start + 1)}
        return self._form(code, self._parts(start), depth)

    def _form(self, code: int, parts: list[int], depth: int) -> Outline:
        if code == types.TABLE:
            return self._table(parts[1])
        if code == types.FAR_TAG:
            return _tagged(*self._tag(parts[0]), self.node(parts[1], depth))
        if code == types.SHARED:
            node = _tagged(*self._tag(parts[1]), self.node(parts[2], depth))
            return {"type": "shared", "place": self._number(parts[0] + 1), "node": node}
        if code == types.RECORDS:
            return self._records(parts, depth)
        if code == types.TAGGED_LIST:
            return self._many(parts, depth)
        raise CorruptPayloadError(f"the payload has an extension type {code}")

    def _many(self, parts: list[int], depth: int) -> Outline:
        """A list of nodes of one tag, and of nulls."""
        nodes, nulls = self.node(parts[1], depth), self._count(parts, 2)
        items = [_tagged(*self._tag(parts[0]), node) for node in nodes.get("items", [])]
        return {**_list(items, nodes.get("length", 0) + nulls), "nulls": nulls}

    def _parts(self, at: int) -> list[int]:
        """Where the parts of an array begin, as far as they can be reached."""
        kind, size, place = self._head(at)
        if kind != "array":
            raise CorruptPayloadError("a form of the payload is not a list")
        places = [place][:size]
        for _ in range(1, size):
            try:
                places.append(self._behind(places[-1]))
            except _TooFarError:
                break
        return places

    def _count(self, parts: list[int], index: int) -> int:
        return self._head(parts[index])[1] if index < len(parts) else 0

    def _tag(self, at: int) -> tuple[str, int]:
        index: int = self._number(at + 1)
        return self._tags[index]

    def _table(self, at: int) -> Outline:
        _, size, start = self._head(at)
        if self._byte(start - 1) == types.BUFFER:
            return {"type": "table", **self._buffers[self._number(start + 1)]}
        return {"type": "table", "bytes": size, **_without_head(_stream(self._window.read(start, start + size), 0))}

    def _records(self, parts: list[int], depth: int) -> Outline:
        """Dicts with the same keys, as many as values in the first column."""
        nodes = [self.node(part, depth) for part in parts]
        facts: Outline = {"type": "records", **dict(zip(("names", "keys", "columns"), nodes, strict=False))}
        for column in facts.get("columns", _UNREAD).get("items", [])[:1]:
            facts["length"] = column.get("length")
        return facts

    # -- the format itself: https://github.com/msgpack/msgpack/blob/master/spec.md

    def _byte(self, at: int) -> int:
        return self._window.read(at, at + 1)[0]

    def _uint(self, at: int, width: int) -> int:
        return int.from_bytes(self._window.read(at, at + width), "big")

    def _head(self, at: int) -> tuple[str, int, int]:
        """The kind of an object, how many bytes or items it has, and where they begin."""
        head = self._byte(at)
        for first, last, kind in _FIXED:
            if first <= head <= last:
                return kind, head - first, at + 1
        if head in _SIZED:
            kind, width, more = _SIZED[head]
            return kind, self._uint(at + 1, width), at + 1 + width + more
        if head in _FIXEXT:
            return "ext", _FIXEXT[head], at + 2
        if head in _NUMBERS:
            return "number", struct.calcsize(_NUMBERS[head]), at + 1
        if head in _CONSTANTS or head <= _LAST_FIXINT or head >= _FIRST_NEGATIVE:
            return "number", 0, at + 1
        raise CorruptPayloadError(f"the payload has the byte {head:#x} where an object should begin")

    def _number(self, start: int) -> Any:
        """The number, or constant, whose first byte is before ``start``."""
        head = self._byte(start - 1)
        if head in _NUMBERS:
            return struct.unpack(_NUMBERS[head], self._window.read(start, start + struct.calcsize(_NUMBERS[head])))[0]
        if head in _CONSTANTS:
            return _CONSTANTS[head]
        return head if head <= _LAST_FIXINT else head - 256

    def _behind(self, at: int) -> int:
        """Where the object behind one begins; nothing in it is looked at but how long it is."""
        left = 1
        while left:
            self._steps -= 1
            if self._steps < 0:
                raise _TooFarError
            kind, size, start = self._head(at)
            left += {"array": size, "map": 2 * size}.get(kind, 0) - 1
            at = start if kind in {"array", "map"} else start + size
        return at


_FIXED = ((0x80, 0x8F, "map"), (0x90, 0x9F, "array"), (0xA0, 0xBF, "str"))
_SIZED = {
    **{0xC4 + power: ("bytes", 1 << power, 0) for power in range(3)},
    **{0xC7 + power: ("ext", 1 << power, 1) for power in range(3)},
    **{0xD9 + power: ("str", 1 << power, 0) for power in range(3)},
    **{0xDC + power: ("array", 2 << power, 0) for power in range(2)},
    **{0xDE + power: ("map", 2 << power, 0) for power in range(2)},
}
_FIXEXT = {0xD4 + power: 1 << power for power in range(5)}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LAST_FIXINT, _FIRST_NEGATIVE = 0x7F, 0xE0

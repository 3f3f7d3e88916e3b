"""What a payload holds, as JSON for people: no codec is called, and no more is read than is shown.

Of a table these are its columns and first rows; of a tree, its tags and the first items at each level.
"""

from __future__ import annotations

import math
from base64 import b64decode
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.errors import ClassNotAllowedError, CodecError, CorruptPayloadError, any_error_as_corrupt
from airflow_xcom.codecs.formats.msgpack import extension_types as types
from airflow_xcom.codecs.formats.msgpack.container import locate_buffer, read_header
from airflow_xcom.codecs.formats.msgpack.scanner import BLOCK, BUDGET, Scanner, TooFarError
from airflow_xcom.codecs.quoting import described
from airflow_xcom.codecs.tables.outline import list_columns, outline_file, outline_stream, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

__all__ = ["outline", "outline_json", "refused_classes"]

_ARROW_MAGIC = b"ARROW1"
_MAX_ITEMS = 8  # of a list or dict that are shown
_MAX_DEPTH = 12  # levels that are shown
_MAX_NODES = 200  # that are shown
_MAX_TEXT = 800  # bytes of a text that are read
_MAX_HEADER = 1 << 24  # bytes
_MAX_SCHEMA = 1 << 16  # bytes of a table within a tree that are read for its columns
_ARROW_MESSAGE = b"\xff\xff\xff\xff"  # how an Arrow stream begins
_BIN_8 = 0xC4
_UNREAD = {"type": "unread"}  # in place of what would take too much reading

Outline = dict[str, Any]


def outline(fetch: Fetch, size: int, *, rows: int = 10) -> Outline:
    """Return what a blob holds.

    Args:
        fetch: returns the bytes of the blob from the start to before the stop of each range.
        size: of the blob in bytes.
        rows: of a table.

    Returns:
        ``format``, ``version`` (of the body), and of an Arrow body what :func:`outline_json` returns for a table, of a
        MessagePack body ``tags``, ``buffers`` and ``tree``.

    Raises:
        CorruptPayloadError: the blob is neither, or damaged.
        NewerFormatError: a newer release wrote it.
    """
    try:
        if bytes(fetch([(0, min(size, len(_ARROW_MAGIC)))])[0]) == _ARROW_MAGIC:
            return {"format": "arrow", **outline_file(fetch, size, rows)}
        return _outline_msgpack(fetch, size)
    except (CodecError, MemoryError, OSError):
        raise
    except Exception as error:
        raise _damaged(error) from error


def outline_json(value: Any, *, rows: int = 10) -> Outline:
    """Return what a value in the JSON syntax holds.

    Returns:
        ``format``, and of a table ``tag``, ``tag_version``, ``rows``, ``columns`` and ``head``; else ``tree``.

    Raises:
        CorruptPayloadError: the value is damaged.
    """
    try:
        match value:
            case {"$": [str(tag), int(version), {"$": ["table", [_, str(stream)]]}]}:
                facts = {"format": "json", "tag": tag, "tag_version": version}
                return {**facts, **outline_stream(b64decode(stream), rows)}
            case {"$": ["blob", str(body)]}:
                memory = memoryview(b64decode(body))
                found = outline(lambda ranges: [memory[slice(*part)] for part in ranges], len(memory))
                return {**found, "format": "json"}
        return {"format": "json", "tree": _JsonTree().node(value)}
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error) from error


def refused_classes(found: Outline) -> list[str]:
    """Return the error at pull for each class that a tree shows and that may not be restored here."""
    from airflow_xcom.codecs.registry import registry

    refusals = []
    for name in dict.fromkeys(_class_names(found.get("tree"))):
        try:
            registry.check_class(name.replace(":", "."))
        except ClassNotAllowedError as error:
            refusals.append(str(error))
    return refusals


def _class_names(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        match node:
            case {"type": "tagged", "tag": str(tag), "node": {"items": [{"value": str(name)}, *_]}}:
                if tag.startswith("class."):
                    yield name


def _nodes(tree: Any) -> Iterator[Outline]:
    """Yield every dict in an outline."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(item)


def _damaged(error: Exception) -> CorruptPayloadError:
    return CorruptPayloadError(f"the payload is damaged: {described(error)}")


# -- nodes of both syntaxes ----------------------------------------------------------------------------------


class _Limit:
    """Counts the nodes that are shown."""

    def __init__(self) -> None:
        self._remaining = _MAX_NODES

    def is_reached(self, depth: int) -> bool:
        self._remaining -= 1
        return self._remaining < 0 or depth > _MAX_DEPTH


def _native(value: Any) -> Outline:
    if type(value) is str:
        return {"type": "str", "value": shorten(value)}
    if type(value) is float and not math.isfinite(value):
        return {"type": "float", "value": repr(value)}
    return {"type": "null" if value is None else type(value).__name__, "value": value}


def _list(items: list[Outline], length: int) -> Outline:
    return {"type": "list", "length": length, "items": items}


def _dict(pairs: list[list[Outline]], length: int) -> Outline:
    return {"type": "dict", "length": length, "items": pairs}


def _tagged(tag: str, version: int, node: Outline) -> Outline:
    return {"type": "tagged", "tag": tag, "version": version, "node": node}


def _table(stream: bytes) -> Outline:
    facts = outline_stream(stream, 0)
    return {"type": "table", "bytes": len(stream), "rows": facts["rows"], "columns": facts["columns"]}


# -- JSON ----------------------------------------------------------------------------------------------------


class _JsonTree:
    """Outlines a value in the JSON syntax."""

    def __init__(self) -> None:
        self._limit = _Limit()

    def node(self, value: Any, depth: int = 0) -> Outline:
        if self._limit.is_reached(depth):
            return _UNREAD
        if type(value) is list:
            return _list([self.node(item, depth + 1) for item in value[:_MAX_ITEMS]], len(value))
        if type(value) is not dict:
            return _native(value)
        match value:
            case {"$": [str(tag), int(version), node], **rest} if not rest:
                return _tagged(tag, version, self.node(node, depth + 1))
            case {"$": [str(form), content], **rest} if not rest:
                return self._form(form, content, depth + 1)
        return self._dict(list(islice(value.items(), _MAX_ITEMS)), len(value), depth)

    def _dict(self, pairs: Sequence[Any], length: int, depth: int) -> Outline:
        return _dict([[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in pairs], length)

    def _form(self, form: str, content: Any, depth: int) -> Outline:
        if form == "map":
            return self._dict(content[:_MAX_ITEMS], len(content), depth)
        if form == "table":
            return _table(b64decode(content[1]))
        if form == "shared":
            return {"type": "shared", "place": content[0], "node": self.node(content[1], depth)}
        if form == "same":
            return {"type": "same", "place": content}
        if form in {"bytes", "buffer"}:
            return {"type": form, "bytes": len(b64decode(content))}
        return {"type": _JSON_FORMS.get(form, form), "value": shorten(str(content))}


_JSON_FORMS = {"float": "float", "nan": "float", "int": "int", "text": "str"}


# -- MessagePack ---------------------------------------------------------------------------------------------


def _outline_msgpack(fetch: Fetch, size: int) -> Outline:
    (_, version, tags, entries, tree), position = _header(fetch, size)
    tree_facts, sizes = _sizes(tree, size), [_sizes(entry, size) for entry in entries]
    end = position + _stored(tree_facts)
    buffers = []
    for facts in sizes:
        start, end = locate_buffer(end, _stored(facts))
        buffers.append({**facts, **_columns_at(fetch, start, facts)})
    if end != size:
        raise CorruptPayloadError(f"the payload should have {end} bytes, and has {size}")
    node = _MsgpackTree(_tree_scanner(fetch, position, tree_facts), tags, buffers).node(0)
    return {
        "format": "msgpack",
        "version": version,
        "tags": tags,
        "buffers": sizes,
        "tree_bytes": tree_facts["bytes"],
        "tree": _without_numbers(node, {found["place"] for found in _nodes(node) if found.get("type") == "same"}),
    }


def _header(fetch: Fetch, size: int) -> tuple[list[Any], int]:
    """Return the header; read more where it is longer."""
    length = BLOCK
    while True:
        try:
            return read_header(fetch([(0, min(length, size))])[0])
        except CorruptPayloadError:
            if length >= min(size, _MAX_HEADER):
                raise
            length *= 16


def _sizes(entry: Any, most: int) -> Outline:
    """Return what the header says of a buffer or the tree."""
    stored, *packed = entry if type(entry) is list else [entry]
    if type(stored) is not int or not 0 <= stored <= most:
        raise CorruptPayloadError("the sizes in the header are damaged")
    if not packed:
        return {"bytes": stored}
    algorithm, size = packed
    return {"bytes": int(size), "stored": stored, "compression": str(algorithm)}


def _stored(facts: Outline) -> int:
    return int(facts["stored"] if "stored" in facts else facts["bytes"])


def _columns_at(fetch: Fetch, start: int, facts: Outline) -> Outline:
    """Return the columns of the table that a buffer may be, from the beginning of its Arrow stream."""
    if "compression" in facts or facts["bytes"] <= len(_ARROW_MESSAGE):
        return {}
    if bytes(fetch([(start, start + len(_ARROW_MESSAGE))])[0]) != _ARROW_MESSAGE:
        return {}
    import pyarrow as pa

    head = fetch([(start, start + min(facts["bytes"], _MAX_SCHEMA))])[0]
    try:
        return {"columns": list_columns(pa.ipc.read_schema(pa.py_buffer(head)))}
    except (pa.ArrowException, OSError):
        return {}


def _tree_scanner(fetch: Fetch, position: int, facts: Outline) -> Scanner:
    """Return the scanner of the tree; of a compressed one, decompress as much as may be read."""
    if "compression" not in facts:
        return Scanner(
            lambda ranges: fetch([(position + start, position + stop) for start, stop in ranges]), facts["bytes"]
        )
    import pyarrow as pa

    stored = bytes(fetch([(position, position + min(facts["stored"], BUDGET))])[0])
    start = 1 + (1 << (stored[0] - _BIN_8))  # a bin object: a byte, and its size in 1, 2 or 4
    with any_error_as_corrupt():  # Arrow raises an OSError, which a store may raise, too
        stream = pa.CompressedInputStream(pa.BufferReader(stored[start:]), facts["compression"])
        memory = memoryview(stream.read(min(facts["bytes"], BUDGET)))

    def fetch_decompressed(ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        if any(start >= len(memory) for start, _ in ranges):
            raise TooFarError
        return [memory[slice(*part)] for part in ranges]

    return Scanner(fetch_decompressed, facts["bytes"])


def _without_numbers(node: Any, used: set[Any]) -> Any:
    """Return an outline without the numbers that are not ``used``: a writer numbers every large object."""
    if isinstance(node, list):
        return [_without_numbers(item, used) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "shared" and node["place"] not in used:
        return _without_numbers(node["node"], used)
    return {name: _without_numbers(item, used) for name, item in node.items()}


class _MsgpackTree:
    """Outlines packed nodes without unpacking them; a node is known by its position."""

    def __init__(self, scanner: Scanner, tags: Any, buffers: list[Outline]) -> None:
        if not all(type(tag) is str and type(version) is int for tag, version in tags):
            raise CorruptPayloadError("the table of tags is damaged")
        self._scanner = scanner
        self._tags: list[tuple[str, int]] = [(tag, version) for tag, version in tags]
        self._buffers = buffers
        self._limit = _Limit()

    def node(self, position: int, depth: int = 0) -> Outline:
        if self._limit.is_reached(depth):
            return _UNREAD
        try:
            return self._node(position, depth)
        except TooFarError:
            return _UNREAD

    def _node(self, position: int, depth: int) -> Outline:
        kind, size, start = self._scanner.head(position)
        if kind == "array":
            return _list(self._items(start, min(size, _MAX_ITEMS), depth), size)
        if kind == "map":
            flat = self._items(start, 2 * min(size, _MAX_ITEMS), depth)
            return _dict([list(pair) for pair in zip(flat[::2], flat[1::2], strict=False)], size)
        if kind == "ext":
            return self._extension(self._scanner.byte(start - 1), start, size, depth + 1)
        if kind == "bytes":
            return {"type": "bytes", "bytes": size}
        if kind == "str":
            text = self._scanner.read(start, start + min(size, _MAX_TEXT)).decode(errors="replace")
            return _native(text if size <= _MAX_TEXT else text + "…")
        return _native(self._scanner.scalar(position))

    def _items(self, position: int, count: int, depth: int) -> list[Outline]:
        nodes: list[Outline] = []
        for number in range(count):
            try:
                position = self._scanner.skip(position) if number else position
            except TooFarError:
                break
            nodes.append(self.node(position, depth + 1))
        return nodes

    def _extension(self, code: int, start: int, size: int, depth: int) -> Outline:
        if code >= types.FIRST_TAG:
            return _tagged(*self._tags[code - types.FIRST_TAG], self.node(start, depth))
        if code == types.INLINE_BUFFER:
            return {"type": "buffer", "bytes": size}
        if code == types.BUFFER:
            facts = self._buffers[self._scanner.scalar(start)]
            return {"type": "buffer", **{name: fact for name, fact in facts.items() if name != "columns"}}
        if code == types.SAME:
            return {"type": "same", "place": self._scanner.scalar(start)}
        return self._form(code, self._scanner.items(start), depth)

    def _form(self, code: int, parts: list[int], depth: int) -> Outline:
        if code == types.TABLE:
            return self._table(parts[1])
        if code == types.FAR_TAG:
            return _tagged(*self._tag(parts[0]), self.node(parts[1], depth))
        if code == types.SHARED:
            node = _tagged(*self._tag(parts[1]), self.node(parts[2], depth))
            return {"type": "shared", "place": self._scanner.scalar(parts[0]), "node": node}
        if code == types.RECORDS:
            return self._records(parts, depth)
        if code == types.TAGGED_LIST:
            return self._tagged_list(parts, depth)
        raise CorruptPayloadError(f"the payload has an extension type {code}")

    def _tag(self, position: int) -> tuple[str, int]:
        tag, version = self._tags[self._scanner.scalar(position)]
        return tag, version

    def _table(self, position: int) -> Outline:
        _, size, start = self._scanner.head(position)
        if self._scanner.byte(start - 1) == types.BUFFER:
            return {"type": "table", **self._buffers[self._scanner.scalar(start)]}
        return _table(self._scanner.read(start, start + size))

    def _records(self, parts: list[int], depth: int) -> Outline:
        """Outline dicts with the same keys, as many as values in the first column."""
        nodes = [self.node(part, depth) for part in parts]
        facts: Outline = {"type": "records", **dict(zip(("names", "keys", "columns"), nodes, strict=False))}
        for column in facts.get("columns", _UNREAD).get("items", [])[:1]:
            facts["length"] = column.get("length")
        return facts

    def _tagged_list(self, parts: list[int], depth: int) -> Outline:
        """Outline a list of nodes of one tag, and of nulls."""
        nodes = self.node(parts[1], depth)
        nulls = self._scanner.head(parts[2])[1] if len(parts) > 2 else 0  # noqa: PLR2004 - index, nodes, nulls
        items = [_tagged(*self._tag(parts[0]), node) for node in nodes.get("items", [])]
        return {**_list(items, nodes.get("length", 0) + nulls), "nulls": nulls}

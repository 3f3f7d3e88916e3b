"""What a payload holds, as JSON for people: no codec is called, and no array is read.

Of a table its columns and first rows are read and shown.  A tree is read whole, up to a size; its tags and the first
items at each level are shown.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from airflow_xcom.codecs.errors import ClassNotAllowedError, any_error_as_corrupt
from airflow_xcom.codecs.nodes import Table, Tagged
from airflow_xcom.codecs.payload_nodes import Body, Fetch, Memory, nodes_of_json
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.tables.outline import list_columns, outline_file, outline_stream, shorten

_ARROW_MAGIC = b"ARROW1"
_MOST_ITEMS = 8  # of a list or dict that are shown
_MOST_LEVELS, _MOST_NODES = 12, 200  # that are shown
_LARGEST_TREE = 1 << 21  # bytes; nothing is shown of a larger one
_LARGEST_SCHEMA = 1 << 16  # bytes of a table within a tree that are read for its columns
_UNREAD = {"type": "unread"}

Outline = dict[str, Any]


def outline(fetch: Fetch, size: int, *, rows: int = 10) -> Outline:
    """Return what a blob of this size holds; ``fetch`` returns the bytes of each range of it.

    Returns:
        ``format``, ``version`` (of the body), and of an Arrow body what :func:`outline_json` returns for a table, of a
        MessagePack body ``tags``, ``buffers`` and ``tree``.

    Raises:
        CorruptPayloadError: the blob is neither, or damaged.
        NewerFormatError: a newer release wrote it.
    """
    if bytes(fetch([(0, min(size, len(_ARROW_MAGIC)))])[0]) == _ARROW_MAGIC:
        with any_error_as_corrupt():
            return {"format": "arrow", **outline_file(fetch, size, rows)}
    with any_error_as_corrupt():
        return _outline_msgpack(fetch, size)


def outline_json(value: Any, *, rows: int = 10) -> Outline:
    """Return what a value in the JSON syntax holds.

    Returns:
        ``format``, and of a table ``tag``, ``tag_version``, ``rows``, ``columns`` and ``head``; else ``tree``.

    Raises:
        CorruptPayloadError: the value is damaged.
    """
    with any_error_as_corrupt():
        match value:
            case {"$": [str(tag), int(version), {"$": ["table", [_, str(stream)]]}]}:
                facts = {"format": "json", "tag": tag, "tag_version": version}
                return {**facts, **outline_stream(b64decode(stream), rows)}
            case {"$": ["blob", str(body)]}:
                memory = Memory.of(b64decode(body))
                return {**outline(memory.fetch, len(memory)), "format": "json"}
        node = nodes_of_json(value, partial(partial, Tagged), lambda fetch, size: Memory(fetch, size, (0, size)))
        return {"format": "json", "tree": _Tree().node(node)}


def _outline_msgpack(fetch: Fetch, size: int) -> Outline:
    body = Body(fetch, size)
    facts = {"format": "msgpack", "version": body.version, "tags": body.tags}
    sizes = list(map(_facts_of, chain.from_iterable(body.buffers)))
    return {**facts, "buffers": sizes, "tree_bytes": body.tree_bytes, "tree": _Tree().body(body)}


def _facts_of(memory: Memory) -> Outline:
    if memory.algorithm is None:
        return {"bytes": memory.size}
    start, stop = memory.stored
    return {"bytes": memory.size, "stored": stop - start, "compression": str(memory.algorithm)}


class _Tree:
    """Outlines nodes, of which it counts those that it has shown."""

    def __init__(self) -> None:
        self._left = _MOST_NODES
        self._met: dict[int, Outline] = {}  # by the id of a tagged node
        self._repeated = 0

    def body(self, body: Body) -> Outline:
        """Return what a MessagePack body holds; of a list with an index, only the first items are read."""
        parts = _MOST_ITEMS if body.is_list else None
        if body.tree_size(parts) > _LARGEST_TREE:
            return _UNREAD
        nodes = body.nodes(partial(partial, Tagged), parts)
        return self._list(nodes, len(body), 0) if body.is_list else self.node(nodes[0])

    def node(self, node: Any, depth: int = 0) -> Outline:  # noqa: PLR0911 - one for each kind of node
        self._left -= 1
        if self._left < 0 or depth > _MOST_LEVELS:
            return _UNREAD
        match node:
            case list():
                return self._list(node, len(node), depth)
            case dict():
                pairs = [self._nodes(pair, depth) for pair in islice(node.items(), _MOST_ITEMS)]
                return {"type": "dict", "length": len(node), "items": pairs}
            case Tagged():
                return self._tagged(node, depth)
            case Table():
                return {"type": "table", **_facts_of(node.table), **_columns_of(node.table)}
            case Memory():
                return {"type": "buffer", **_facts_of(node)}
            case bytes() | memoryview():
                return {"type": "bytes" if isinstance(node, bytes) else "buffer", "bytes": len(node)}
            case float() if not math.isfinite(node):
                return {"type": "float", "value": repr(node)}
        value = shorten(node) if isinstance(node, str) else node
        return {"type": "null" if node is None else type(node).__name__, "value": value}

    def _list(self, items: list[Any], length: int, depth: int) -> Outline:
        return {"type": "list", "length": length, "items": self._nodes(items[:_MOST_ITEMS], depth)}

    def _nodes(self, nodes: Iterable[Any], depth: int) -> list[Outline]:
        return [self.node(node, depth + 1) for node in nodes]

    def _tagged(self, node: Tagged, depth: int) -> Outline:
        """Outline a tagged node; one that is met again gets a number in its first place."""
        first = self._met.get(id(node))
        if first is None:
            facts = self._met[id(node)] = {"type": "tagged", "tag": node.tag, "version": node.version}
            facts["node"] = self.node(node.node, depth + 1)
            return facts
        if "place" not in first:
            inner = dict(first)
            first.clear()
            first.update({"type": "shared", "place": self._repeated, "node": inner})
            self._repeated += 1
        return {"type": "same", "place": first["place"]}


def _columns_of(memory: Memory) -> Outline:
    """Return the columns of a table, from the beginning of its Arrow stream."""
    if memory.algorithm is not None:
        return {}
    import pyarrow as pa

    head = memory.read(0, min(memory.size, _LARGEST_SCHEMA))
    try:
        return {"columns": list_columns(pa.ipc.read_schema(pa.py_buffer(head)))}
    except (pa.ArrowException, OSError):
        return {}


# -- classes -------------------------------------------------------------------------------------------------


def refused_classes(found: Outline) -> list[str]:
    """Return the error at pull for each class that a tree shows and that may not be restored here."""
    refusals = []
    for name in dict.fromkeys(_class_names(found.get("tree"))):
        try:
            registry.check_class(name.replace(":", "."))
        except ClassNotAllowedError as error:
            refusals.append(str(error))
    return refusals


def _class_names(part: Any) -> Iterator[str]:
    match part:
        case {"type": "tagged", "tag": str(tag), "node": {"items": [{"value": str(name)}, *_]}}:
            if tag.startswith("class."):
                yield name
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _class_names(inner)

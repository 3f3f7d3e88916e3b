"""What a payload holds, as JSON for people: no codec is called, and no more is read than is shown.

Of a table these are its columns and first rows; of a tree, its tags and the first items at each level.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from airflow_xcom.codecs.errors import ClassNotAllowedError, CodecError, CorruptPayloadError, any_error_as_corrupt
from airflow_xcom.codecs.formats.msgpack.container import ITEMS_VERSION, locate_buffer, read_header
from airflow_xcom.codecs.formats.msgpack.items import ItemIndex
from airflow_xcom.codecs.formats.msgpack.scanner import BLOCK, BUDGET, Scanner, TooFarError
from airflow_xcom.codecs.quoting import described
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.tables.outline import list_columns, outline_file, outline_stream
from airflow_xcom.codecs.tree_outlines import MAX_ITEMS, JsonTree, MsgpackTree, list_outline

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]
_ARROW_MAGIC = b"ARROW1"
_MAX_HEADER = 1 << 24  # bytes
_MAX_SCHEMA = 1 << 16  # bytes of a table within a tree that are read for its columns
_ARROW_MESSAGE = b"\xff\xff\xff\xff"  # how an Arrow stream begins
_BIN_8 = 0xC4

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
        return {"format": "json", "tree": JsonTree().node(value)}
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error) from error


def refused_classes(found: Outline) -> list[str]:
    """Return the error at pull for each class that a tree shows and that may not be restored here."""
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


# -- MessagePack ---------------------------------------------------------------------------------------------


def _outline_msgpack(fetch: Fetch, size: int) -> Outline:
    header, position, head = _header(fetch, size)
    if header[1] == ITEMS_VERSION:
        return _outline_items(fetch, size, head)
    _, version, tags, entries, tree = header
    sizes = [_sizes(entry, size) for entry in entries]
    buffers, end = _buffers(fetch, position + _stored(_sizes(tree, size)), sizes)
    if end != size:
        raise CorruptPayloadError(f"the payload should have {end} bytes, and has {size}")
    return _facts(
        version, tags, sizes, _sizes(tree, size)["bytes"], _tree(fetch, position, _sizes(tree, size), tags, buffers)
    )


def _outline_items(fetch: Fetch, size: int, head: memoryview) -> Outline:
    """Return what a list with an index holds; of its items only the first are read."""
    index = ItemIndex(head, size)
    trees = [_sizes(tree, size) for _, tree, _ in index.entries]
    sizes = [[_sizes(entry, size) for entry in entries] for entries, _, _ in index.entries]
    nodes, buffers = [], []
    for (start, _), tree, ours in zip(index.ranges[:MAX_ITEMS], trees, sizes, strict=False):
        buffers += _buffers(fetch, start + _stored(tree), ours)[0]
        nodes.append(_tree(fetch, start, tree, index.tags, buffers))
    return _facts(
        ITEMS_VERSION,
        index.tags,
        [facts for ours in sizes for facts in ours],
        sum(tree["bytes"] for tree in trees),
        list_outline(nodes, len(trees)),
    )


def _facts(version: int, tags: Any, sizes: list[Outline], tree_bytes: int, tree: Outline) -> Outline:
    return {
        "format": "msgpack",
        "version": version,
        "tags": tags,
        "buffers": sizes,
        "tree_bytes": tree_bytes,
        "tree": tree,
    }


def _buffers(fetch: Fetch, end: int, sizes: list[Outline]) -> tuple[list[Outline], int]:
    """Return what is known of the buffers from a position on, and where they end."""
    buffers = []
    for facts in sizes:
        start, end = locate_buffer(end, _stored(facts))
        buffers.append({**facts, **_columns_at(fetch, start, facts)})
    return buffers, end


def _tree(fetch: Fetch, position: int, facts: Outline, tags: Any, buffers: list[Outline]) -> Outline:
    node = MsgpackTree(_tree_scanner(fetch, position, facts), tags, buffers).node(0)
    outlined: Outline = _without_numbers(
        node, {found["place"] for found in _nodes(node) if found.get("type") == "same"}
    )
    return outlined


def _header(fetch: Fetch, size: int) -> tuple[list[Any], int, memoryview]:
    """Return the header, where it ends, and the bytes that it was found in; read more where it is longer."""
    length = BLOCK
    while True:
        head = fetch([(0, min(length, size))])[0]
        try:
            return *read_header(head), head
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

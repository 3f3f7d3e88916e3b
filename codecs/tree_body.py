"""The body of any value that is not one table: a tree, packed as MessagePack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import RepetitionError
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.msgpack.container import write_blob
from airflow_xcom.codecs.formats.msgpack.flat import tagged_tree
from airflow_xcom.codecs.formats.msgpack.items import Item, are_large, look_large, packed_list, write_items
from airflow_xcom.codecs.formats.msgpack.reader import count_expanded
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.formats.sharing import FACTOR, LEAST, is_exceeded


class TreeBody:
    """Any other value: a MessagePack body, of a packed tree or else of the items of a list that were packed singly."""

    format = "msgpack"
    is_stream = False
    nulls = ()

    def __init__(self, writer: Writer | _OneTag, tree: bytes | None, items: Sequence[Item] = ()) -> None:
        self.tags = writer.used_tags
        self.objects = frozenset(writer.numbered)
        self.expanded = writer.expanded
        self.has_index = tree is None
        self._writer = writer
        self._tree = tree
        self._items = items
        self._whole: list[Any] | None = None

    @property
    def _uncompressed(self) -> list[Any]:
        if self._whole is None:  # a cached_property takes a lock for that in Python 3.11
            self._whole = self._written(NO_COMPRESSION)
        return self._whole

    def _written(self, compression: Compression) -> list[Any]:
        if self._tree is None:
            return write_items(self._writer.tags, self._items, compression)
        return write_blob(self._writer.tags, self._tree, self._writer.buffers, compression)

    @property
    def raw_size(self) -> int:
        return sum(map(len, self._uncompressed))

    least_size = raw_size

    def chunks(self, compression: Compression) -> Iterable[Any]:
        return self._uncompressed if compression.algorithm == "none" else self._written(compression)

    def to_json(self) -> Any:
        body = self._uncompressed
        if self._tree is None:  # a row has no index
            body = write_blob(self._writer.tags, packed_list(self._items), self._writer.buffers)
        return json.form("blob", json.base64(b"".join(body)))


class _OneTag:
    """What a writer finds in a value of few natives: the tag of its codec."""

    buffers: Sequence[list[memoryview]] = ()
    numbered, expanded = (), 0

    def __init__(self, codec: Codec) -> None:
        self.tags: list[list[str | int]] = [[codec.tag, codec.version]]
        self.used_tags = {codec.tag}


def flat_body(codec: Codec, node: Any) -> TreeBody | None:
    """Return the body of a value of which its codec makes few natives; None of any other."""
    tree = tagged_tree(node)
    return None if tree is None else TreeBody(_OneTag(codec), tree)


def tree_body(node: Any, writer: Writer) -> TreeBody:
    """Return the body of a node."""
    if type(node) is list and look_large(node):
        return _list_body(node, writer)
    tree = writer.pack(node)
    writer.release()
    _refuse_excess([tree], writer)
    return TreeBody(writer, tree)


def _list_body(value: list[Any], writer: Writer) -> TreeBody:
    """Return the body of a list of large items, with an index of them unless they refer to each other."""
    items = writer.pack_items(value)
    writer.release()
    _refuse_excess([item.tree for item in items], writer)
    if writer.items_stand_alone and are_large(items):
        return TreeBody(writer, None, items)
    return TreeBody(writer, packed_list(items))


def _refuse_excess(trees: list[bytes], writer: Writer) -> None:
    """Raise RepetitionError for trees of ``writer`` that readers refuse: shared objects stand for too much."""
    size = sum(map(len, trees))
    if is_exceeded(writer.expanded, size) and is_exceeded(count_expanded(writer.tags, writer.buffers, *trees), size):
        raise RepetitionError(
            "the objects that stand in several places of it would make a reader go through too much, "
            f"as they stand for more than {LEAST:,} nodes and for more than {FACTOR} for each byte; return each of "
            "them once, beside keys or positions that refer to it"
        )

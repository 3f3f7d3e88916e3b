"""The bodies of a payload: what its bytes and its JSON are made from."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.builtin.summaries import DTYPES
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.arrow import file as arrow
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.msgpack.container import write_blob
from airflow_xcom.codecs.formats.msgpack.items import are_large, look_large, packed_list, write_items
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.nodes import Table, Tagged, WithCells
from airflow_xcom.codecs.plain_json import exact_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_xcom.codecs.codec import Codec
    from airflow_xcom.codecs.formats.msgpack.items import Item
    from airflow_xcom.codecs.registry import Registry

__all__ = ["TableBody", "TreeBody", "body_of", "json_of"]

_NO_KEYS: frozenset[str] = frozenset()
_MARKED = re.compile(rb'"(?:\$|__)')  # in JSON text, how keys begin that mean something to a reader


class TableBody:
    """A value that is one table: an Arrow IPC file.

    With ``stream``, rows that the table makes as they are taken are made when they are written.
    """

    format = "arrow"
    has_index = False
    objects: frozenset[int] = frozenset()  # those in cells have one place
    expanded = 0

    def __init__(self, tagged: Tagged, tags: set[str], *, stream: bool) -> None:
        table: Table = tagged.node
        self.tags = tags
        self.is_stream = stream and table.more is not None
        self._table = table if self.is_stream else table.whole()
        self._tag, self._version = tagged.tag, tagged.version

    @cached_property
    def _uncompressed(self) -> list[Any]:
        return [] if self.is_stream else list(self._write(NO_COMPRESSION))

    @property
    def least_size(self) -> int:
        return arrow.size_of(self._table.table)

    @property
    def nulls(self) -> Sequence[int]:
        meta = self._table.meta
        if self.is_stream or (type(meta) is dict and "blocks" in meta):  # several columns in one
            return []
        return [column.null_count for column in islice(self._table.table.itercolumns(), DTYPES)]

    @property
    def raw_size(self) -> int:
        return sum(map(len, self._uncompressed))

    def _write(self, how: Compression | arrow.Prepared) -> Iterable[Any]:
        return arrow.write_file(self._table, self._tag, self._version, self._table.meta, how)

    def chunks(self, compression: Compression) -> Iterable[Any]:
        prepared = arrow.prepare(self._table, compression)
        if self.is_stream:
            return self._write(prepared)
        return self._uncompressed if prepared.is_unchanged else list(self._write(prepared))

    def to_json(self) -> Any:
        stream = b"".join(arrow.stream_chunks(self._table.table))
        return json.tagged(self._tag, self._version, json.form("table", [self._table.meta, json.base64(stream)]))


class TreeBody:
    """Any other value: a MessagePack body, of a packed tree or else of the items of a list that were packed singly."""

    format = "msgpack"
    is_stream = False
    nulls = ()

    def __init__(self, writer: Writer, tree: bytes | None, items: Sequence[Item] = ()) -> None:
        self.tags = writer.used_tags
        self.objects = frozenset(writer.numbered)
        self.expanded = writer.expanded
        self.has_index = tree is None
        self._writer = writer
        self._tree = tree
        self._items = items

    @cached_property
    def _uncompressed(self) -> list[Any]:
        return self._written(NO_COMPRESSION)

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


def body_of(  # noqa: PLR0913 - all that a body is made from
    value: Any,
    codec: Codec | None,
    node: Any,
    registry: Registry,
    new: Callable[..., Writer] | None = None,
    *,
    stream: bool = False,
) -> TableBody | TreeBody:
    """Return the body of a value, from the node that its codec made of it; one without a codec is a node."""
    new = new or Writer
    writer = new(registry.for_type, arrow.stream_chunks)
    if codec is not None:
        node = writer.completed(codec, value, node) if type(node) is WithCells else node
        if type(node) is Table:
            meta, tags = json_of(node.meta, registry, new)
            table = Tagged(codec.tag, codec.version, Table(node.table, meta, more=node.more))
            return TableBody(table, {codec.tag} | tags | writer.used_tags, stream=stream)
    if type(value) is list and codec is None and look_large(value):
        return _list_body(value, writer)
    from airflow_xcom.codecs.formats.msgpack.packed_nodes import refuse_excess

    tree = writer.pack(value if codec is None else Tagged(codec.tag, codec.version, node))
    writer.release()
    refuse_excess([tree], writer)
    return TreeBody(writer, tree)


def _list_body(value: list[Any], writer: Writer) -> TreeBody:
    """Return the body of a list of large items, with an index of them unless they refer to each other."""
    from airflow_xcom.codecs.formats.msgpack.packed_nodes import refuse_excess

    items = writer.pack_items(value)
    writer.release()
    refuse_excess([item.tree for item in items], writer)
    if writer.items_stand_alone and are_large(items):
        return TreeBody(writer, None, items)
    return TreeBody(writer, packed_list(items))


def json_of(node: Any, registry: Registry, new: Callable[..., Writer] = Writer) -> tuple[Any, set[str]]:
    """Return a node, such as the meta of a table, in the JSON syntax, and the tags in it."""
    text = exact_json(node, limit=None, ordered=True, reserved=_NO_KEYS)
    if text is not None and _MARKED.search(text) is None:
        return node, set()
    from airflow_xcom.codecs.formats.msgpack.packed_nodes import read_nodes

    writer = new(registry.for_type, arrow.stream_chunks, inline=True)
    tree = writer.pack(node)
    writer.release()
    try:
        return json.dump(read_nodes(tree, writer)), writer.used_tags
    except json.TooDeepError:
        return TreeBody(writer, tree).to_json(), writer.used_tags

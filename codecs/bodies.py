"""The bodies of a payload: what its bytes and its JSON are made from.

Only what is packed has a writer, so that the first push of a table of numbers imports nothing of MessagePack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.builtin.summaries import DTYPES
from airflow_xcom.codecs.codec import Codec, completed, node_of
from airflow_xcom.codecs.discovery import imported
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.arrow import file as arrow
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.nodes import Table, Tagged, WithCells
from airflow_xcom.codecs.plain_json import exact_json
from airflow_xcom.codecs.registry import Registry

if TYPE_CHECKING:
    from airflow_xcom.codecs.formats.msgpack.writer import Writer
    from airflow_xcom.codecs.tree_body import TreeBody

    NewWriter = Callable[..., Writer] | None

_NO_KEYS: frozenset[str] = frozenset()
_OF_TABLES = frozenset({Table, WithCells})
_SCALARS = frozenset({str, int, float, bool, type(None)})
_MARKED = re.compile(rb'"(?:\$|__)')  # in JSON text, how keys begin that mean something to a reader
# The tags of what metas hold beside natives: zones and offsets, which are few natives themselves.
_OF_METAS = frozenset({"timezone", "zoneinfo", "pytz.timezone", "dateutil.tz", "pandas.offsets"})
_LEVELS, _MOST_NODES = 8, 1000  # of a meta, among which these are looked for


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
    def nulls(self) -> Sequence[int | None]:
        meta = self._table.meta
        # Several columns may be in one; what is in a form of the JSON syntax is not looked into.
        if self.is_stream or (type(meta) is dict and ("blocks" in meta or json.MARK in meta)):
            return []
        return list(map(_null_count, islice(self._table.table.itercolumns(), DTYPES)))

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
        stream = json.base64(arrow.whole_stream(self._table.table))
        return json.tagged(self._tag, self._version, json.form("table", [self._table.meta, stream]))


def _null_count(column: Any) -> int | None:
    """Return the nulls of a column; None for intervals of pandas, whose ends are missing in place of them."""
    of_fields = column.type.num_fields  # to write a type as text takes longer than to count the nulls
    return None if of_fields and str(column.type).startswith("struct<left: ") else column.null_count


def body_of(  # noqa: PLR0913 - all that a body is made from
    value: Any, codec: Codec | None, node: Any, registry: Registry, new: NewWriter = None, *, stream: bool = False
) -> TableBody | TreeBody:
    """Return the body of a value, from the node that its codec made of it; one without a codec is a node."""
    if codec is None or type(node) not in _OF_TABLES:
        return _tree_body(value, codec, node, registry, new)
    writer = cache(partial(_writer, registry, new))
    if type(node) is WithCells and new is None:  # whose writer is not imported before there are cells
        node = completed(codec, value, node, lambda *cells: writer().pack_cells(*cells))
    elif type(node) is WithCells:
        node = writer().completed(codec, value, node)
    if type(node) is not Table:
        from airflow_xcom.codecs.tree_body import tree_body

        return tree_body(Tagged(codec.tag, codec.version, node), writer())
    meta, tags = json_of(node.meta, registry, new)
    table = Tagged(codec.tag, codec.version, Table(node.table, meta, more=node.more))
    in_cells = writer().used_tags if writer.cache_info().currsize else set()
    return TableBody(table, {codec.tag} | tags | in_cells, stream=stream)


def _tree_body(value: Any, codec: Codec | None, node: Any, registry: Registry, new: NewWriter) -> TreeBody:
    bodies = imported("airflow_xcom.codecs.tree_body")
    if codec is None:
        tree = value
    elif new is None and type(node) is list and (flat := bodies.flat_body(codec, node)):
        return flat  # type: ignore[no-any-return]
    else:
        tree = Tagged(codec.tag, codec.version, node)
    return bodies.tree_body(tree, _writer(registry, new))  # type: ignore[no-any-return]


def _writer(registry: Registry, new: NewWriter, *, inline: bool = False) -> Writer:
    made = new or imported("airflow_xcom.codecs.formats.msgpack.writer").Writer
    return made(registry.for_type, arrow.stream_chunks, inline=inline)


def json_of(node: Any, registry: Registry, new: NewWriter = None) -> tuple[Any, set[str]]:
    """Return a node, such as the meta of a table, in the JSON syntax, and the tags in it."""
    if _is_plain(node, 0):
        return node, set()
    tags: list[str] = []
    left = iter(range(_MOST_NODES))
    plain = node if new else _with_tagged(node, registry, tags, _LEVELS, left)
    if next(left, None) is not None and _is_plain(plain, len(tags)):
        return plain, set(tags)
    from airflow_xcom.codecs.formats.msgpack.reader import NodeReader

    writer = _writer(registry, new, inline=True)
    tree = writer.pack(node)
    writer.release()
    try:
        nodes = NodeReader(writer.tags, (), partial(partial, Tagged), Table, budget=Budget(inf))
        return json.dump(nodes.unpack(tree)), writer.used_tags
    except json.TooDeepError:
        from airflow_xcom.codecs.tree_body import TreeBody

        return TreeBody(writer, tree).to_json(), writer.used_tags


def _is_plain(node: Any, tagged: int) -> bool:
    """Return whether a node with so many tagged ones in the JSON syntax, and no other form of it, is exact as JSON."""
    text = exact_json(node, limit=None, ordered=True, reserved=_NO_KEYS)
    return text is not None and len(_MARKED.findall(text)) == tagged


def _with_tagged(node: Any, registry: Registry, tags: list[str], levels: int, left: Iterator[int]) -> Any:
    """Return a node in which zones and offsets are in the JSON syntax; add the tag of each to ``tags``.

    Shared and cyclic containers are gone through again and again, down to so many ``levels``, until ``left``, which has
    an item for each node that may still be, has none.
    """
    cls = type(node)
    if cls in _SCALARS or not levels or next(left, None) is None:
        return node
    if cls is dict:
        return {key: _with_tagged(item, registry, tags, levels - 1, left) for key, item in node.items()}
    if cls is list:
        return [_with_tagged(item, registry, tags, levels - 1, left) for item in node]
    codec = registry.for_type(cls)
    if codec is None or codec.tag not in _OF_METAS:
        return node
    tags.append(codec.tag)
    return json.tagged(codec.tag, codec.version, node_of(codec, node))

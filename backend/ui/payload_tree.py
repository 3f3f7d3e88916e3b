"""What a payload is made of, read without the codecs of its values: nodes, and where its buffers lie.

Only built-in codecs of scalars (numbers, times, paths) are asked, which import no class that a payload names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, islice
from typing import Any

import msgpack

from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.codecs import CorruptPayloadError, Table, Tagged
from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.compressed_frames import check_inflation, decompress
from airflow_xcom.codecs.formats.msgpack.container import ITEMS_VERSION, locate_buffer, read_header
from airflow_xcom.codecs.formats.msgpack.items import ItemIndex
from airflow_xcom.codecs.formats.msgpack.reader import Reader, count_expanded
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.quoting import cut, quoted

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]
LARGEST = 8 << 20  # bytes of a header or tree, and of a value in a row
MASK = "***"  # as Airflow's
_HEADER = 1 << 16  # bytes that are read at first
_LONGEST = 400  # characters of a leaf
_PAIR = 2
_SCALARS = {
    "decimal",
    "fractions",
    "uuid",
    "ipaddress",
    "pathlib",
    "datetime",
    "zoneinfo",
    "numpy",
    "pandas",
    "str",
    "int",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that a built-in codec made."""

    tag: str
    value: Any


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer of a payload, which is read when it is asked for.

    Attributes:
        size: bytes, decompressed.
        stored: where it lies in the blob.
        algorithm: how it is compressed, if it is.
    """

    fetch: Fetch
    size: int
    stored: tuple[int, int]
    algorithm: str | None = None

    def __len__(self) -> int:
        return self.size

    def read(self, start: int, stop: int) -> memoryview:
        """Return some of its bytes; a compressed one is read as a whole.

        Raises:
            SelectionTooLargeError: It is compressed and large.
            DecodeError, StoreError: The blob cannot be read.
        """
        begin, end = self.stored
        if self.algorithm is None:
            return self.fetch([(begin + start, min(begin + stop, end))])[0]
        if self.size > LARGEST:
            raise SelectionTooLargeError("a compressed buffer", self.size, LARGEST)
        with any_error_as_corrupt():
            check_inflation(self.size, end - begin)
            return decompress(self.fetch([self.stored])[0], self.algorithm, self.size)[start:stop]


def _in_memory(data: Any) -> Memory:
    view = memoryview(data)
    return Memory(lambda ranges: [view[slice(*part)] for part in ranges], len(view), (0, len(view)))


def read_tree(fetch: Fetch, size: int) -> Any:
    """Return the nodes of a MessagePack body: natives, Tagged, Scalar, Memory, and Tables of Memory.

    Raises:
        SelectionTooLargeError: The tree is too large to be shown.
        DecodeError, StoreError: The blob cannot be read.
    """
    with any_error_as_corrupt():
        header, position, head = _header(fetch, size)
        if header[1] == ITEMS_VERSION:
            index = ItemIndex(head, size)
            parts = [
                (start, tree, entries)
                for (start, _), (entries, tree, _) in zip(index.ranges, index.entries, strict=True)
            ]
            return _unpacked(index.tags, *_read_parts(fetch, size, parts))
        _, _, tags, entries, tree = header
        (node,) = _unpacked(tags, *_read_parts(fetch, size, [(position, tree, entries)]))
        return node


def _read_parts(fetch: Fetch, size: int, parts: Sequence[tuple[int, Any, Any]]) -> tuple[list[Any], list[Memory]]:
    """Return the packed trees of parts of a blob, and their buffers; a part is where it begins, and its entries."""
    trees = [tree if type(tree) is list else [tree] for _, tree, _ in parts]
    largest = sum(max(stored, *packed[1:]) if packed else stored for stored, *packed in trees)
    if largest > LARGEST:
        raise SelectionTooLargeError("the tree of this value", largest, LARGEST)
    found = fetch([(start, start + tree[0]) for (start, _, _), tree in zip(parts, trees, strict=True)])
    check_inflation(sum(tree[2] for tree in trees if len(tree) > 1), size)
    unpacked = [
        decompress(memoryview(msgpack.unpackb(data)), *packed) if packed else data
        for data, (_, *packed) in zip(found, trees, strict=True)
    ]
    ends = (start + tree[0] for (start, _, _), tree in zip(parts, trees, strict=True))
    buffers = [_buffers(fetch, end, entries) for end, (_, _, entries) in zip(ends, parts, strict=True)]
    return unpacked, list(chain.from_iterable(buffers))


def _header(fetch: Fetch, size: int) -> tuple[list[Any], int, memoryview]:
    """Return the header, where it ends, and what was read; more is read where it is longer."""
    length = _HEADER
    while True:
        head = fetch([(0, min(length, size))])[0]
        try:
            return *read_header(head), head
        except CorruptPayloadError:
            if length >= min(size, LARGEST):
                raise
            length *= 16


def _buffers(fetch: Fetch, position: int, entries: Sequence[Any]) -> Iterator[Memory]:
    for entry in entries:
        stored, *packed = entry if type(entry) is list else [entry]
        start, position = locate_buffer(position, stored)
        algorithm, size = packed or (None, stored)
        yield Memory(fetch, size, (start, start + stored), algorithm)


class _NodeReader(Reader):
    _restores = False


def _unpacked(tags: Sequence[Any], trees: Sequence[Any], buffers: Sequence[Any]) -> list[Any]:
    budget = Budget(sum(map(len, trees)))
    count = partial(count_expanded, tags, buffers, *trees)
    reader = _NodeReader(tags, buffers, _restorer, _table, budget=budget, count=count)
    return [reader.unpack(tree) for tree in trees]


def read_json(value: Any) -> Any:
    """Return the nodes of a value in the JSON syntax, as :func:`read_tree` does.

    Raises:
        DecodeError: The value is damaged.
    """
    return json.load(value, _restorer, _table, lambda body: read_tree(_in_memory(body).fetch, len(body)), Budget())


def _table(stream: Any, meta: Any) -> Table:
    return Table(stream if isinstance(stream, Memory) else _in_memory(stream), meta)


def _restorer(tag: str, version: int) -> Callable[[Any], Any]:
    decode = _decoders().get(tag)

    def restore(node: Any) -> Any:
        if decode is not None:
            with suppress(Exception):  # what is damaged is shown as it stands
                return Scalar(tag, decode(_values(node), version))
        return Tagged(tag, version, node)

    return restore


def _values(node: Any) -> Any:
    if isinstance(node, Scalar):
        return node.value
    return [_values(item) for item in node] if type(node) is list else node


@cache
def _decoders() -> dict[str, Callable[[Any, int], Any]]:
    """Return what decodes scalars, by tag: from modules of this distribution, whatever is registered."""
    from airflow_xcom.codecs.builtin.numpy import array
    from airflow_xcom.codecs.builtin.pandas import scalars as pandas
    from airflow_xcom.codecs.builtin.stdlib import scalars, times

    codecs: Any = chain(scalars.CODECS, times.CODECS, pandas.CODECS)
    known = {codec.tag: codec.decode for codec in codecs}
    found = {tag: decode for tag, decode in known.items() if tag.partition(".")[0] in _SCALARS}
    return found | {codec.tag: codec.decode for codec in array.CODECS if codec.tag == "numpy.scalar"}


# -- what is shown of nodes ----------------------------------------------------------------------------------


def inner(node: Any) -> Any:
    """Return the node within tags."""
    while isinstance(node, Tagged):
        node = node.node
    return node


def children(node: Any) -> Any:
    """Return the items of a list or dict, within tags or not; nothing for another node."""
    found = inner(node)
    return found if type(found) in {list, dict} else ()


def is_pair(node: Any) -> bool:
    """Return whether a node is a name and its value, as in dicts that keep their order."""
    return type(node) is list and len(node) == _PAIR and type(node[0]) is str


def label(node: Any) -> str:
    """Return what the type of a node is called."""
    if isinstance(node, Tagged | Scalar):
        return cut(node.tag)
    if isinstance(node, Table):
        return "table"
    if isinstance(node, Memory | memoryview):
        return "buffer"
    return "null" if node is None else type(node).__name__


def text(node: Any) -> str:
    """Return a leaf as text, or how many items there are."""
    found = inner(node)
    if isinstance(found, Scalar):
        return _scalar_text(found.value)
    if type(found) in {list, dict}:
        return f"{len(found):,} item{'' if len(found) == 1 else 's'}"
    if type(found) is str:
        return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}… ({len(found):,} characters)"
    if isinstance(found, Table):
        return f"{len(found.table):,} bytes"
    if type(found) is bytes or isinstance(found, Memory | memoryview):
        return f"{len(found):,} bytes"
    return "null" if found is None else quoted(found)


def _scalar_text(value: Any) -> str:
    if type(value) is int and value.bit_length() > _LONGEST:
        return f"{hex(value >> max(value.bit_length() - _LONGEST, 0))}… ({value.bit_length():,} bits, hexadecimal)"
    return "".join(islice(str(value), _LONGEST)) if value is not None else "null"

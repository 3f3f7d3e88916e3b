"""The nodes that a payload is made of, read without the codecs of its values; its buffers are not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from airflow_xcom.codecs.errors import CorruptPayloadError, any_error_as_corrupt
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.compressed_frames import check_inflation, decompress
from airflow_xcom.codecs.formats.msgpack.container import (
    ITEMS_VERSION,
    checked_size,
    locate_buffer,
    opened_tree,
    read_header,
    size_before,
    stored_size,
)
from airflow_xcom.codecs.formats.msgpack.items import ItemIndex
from airflow_xcom.codecs.formats.msgpack.reader import NodeReader, checked_tag, count_expanded
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.nodes import Table, as_text

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]
Restorer = Callable[[str, int], Callable[[Any], Any]]
_HEADER = 1 << 16  # bytes that are read at first
_LARGEST_HEADER = 1 << 24  # bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer of a payload, which is read when it is asked for.

    Attributes:
        fetch: returns the bytes of each range of the blob.
        size: bytes, decompressed.
        stored: where it lies in the blob.
        algorithm: how it is compressed, if it is.
    """

    fetch: Fetch
    size: int
    stored: tuple[int, int]
    algorithm: str | None = None

    @classmethod
    def of(cls, data: Any) -> Memory:
        """Return what reads bytes that are there."""
        view = memoryview(data)
        return cls(lambda ranges: [view[slice(*part)] for part in ranges], len(view), (0, len(view)))

    def __len__(self) -> int:
        return self.size

    def read(self, start: int, stop: int) -> memoryview:
        """Return some of its bytes; a compressed one is read as a whole.

        Raises:
            DecodeError, StoreError: The blob cannot be read.
        """
        begin, end = self.stored
        if self.algorithm is None:
            return self.fetch([(begin + start, min(begin + stop, end))])[0]
        with any_error_as_corrupt():
            check_inflation(self.size, end - begin)
            return decompress(self.fetch([self.stored])[0], self.algorithm, self.size)[start:stop]


class Body:
    """A MessagePack body, of which the header is read.

    Args:
        fetch: returns the bytes of each range of it.
        size: of it.

    Attributes:
        version: of the body.
        tags: the table of tags.
        buffers: all of them, part by part.
        tree_bytes: of all trees, decompressed.
        is_list: whether it has an index of items, and each part is one.

    Raises:
        CorruptPayloadError: The header is damaged.  So may be what any other exception is raised for.
        NewerFormatError: A newer release wrote it.
    """

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self._size = fetch, size
        header, end, head = self._header()
        self.version, self.is_list = header[1], header[1] == ITEMS_VERSION
        if self.is_list:
            index = ItemIndex(head, size)
            tags = index.tags
            entries = [(sizes, tree) for sizes, tree, _ in index.entries]
            starts = [start for start, _ in index.ranges]
        else:
            _, _, tags, sizes, tree = header
            entries, starts = [(sizes, tree)], [end]
        self.tags = list(map(checked_tag, tags))
        self._trees = [(start, tree) for start, (_, tree) in zip(starts, entries, strict=True)]
        self.buffers = [list(self._buffers(*part)) for part in zip(starts, entries, strict=True)]
        self.tree_bytes = sum(size_before(tree) or stored_size(tree) for _, tree in self._trees)

    def __len__(self) -> int:
        return len(self._trees)

    def _header(self) -> tuple[list[Any], int, memoryview]:
        """Return the header, where it ends, and what was read; more is read where it is longer."""
        length = _HEADER
        while True:
            head = self._fetch([(0, min(length, self._size))])[0]
            try:
                return *read_header(head), head
            except CorruptPayloadError:
                if length >= min(self._size, _LARGEST_HEADER):
                    raise
                length *= 16

    def _buffers(self, position: int, entries: tuple[list[Any], Any]) -> Iterator[Memory]:
        position += checked_size(stored_size(entries[1]), self._size - position)
        for entry in entries[0]:
            stored = checked_size(stored_size(entry), self._size - position)
            start, position = locate_buffer(position, stored)
            packed = (size_before(entry), (start, start + stored), as_text(entry[1])) if type(entry) is list else None
            yield Memory(self._fetch, *(packed or (stored, (start, start + stored))))
        if position > self._size or (not self.is_list and position != self._size):
            raise CorruptPayloadError(f"the payload should have {position} bytes, and has {self._size}")

    def tree_size(self, parts: int | None = None) -> int:
        """Return the bytes of the trees of the first parts, stored or decompressed: whichever are more."""
        return sum(max(size_before(tree), stored_size(tree)) for _, tree in self._trees[:parts])

    def nodes(self, restorer: Restorer, parts: int | None = None) -> list[Any]:
        """Return the node of each of the first parts: natives, what the restorer makes, Memory and Tables of it.

        Args:
            restorer: ``restorer(tag, version)(node)`` returns what stands for a tagged node.
            parts: how many; None for all.
        """
        trees = self._trees[:parts]
        found = self._fetch([(start, start + stored_size(tree)) for start, tree in trees])
        check_inflation(sum(size_before(tree) for _, tree in trees), self._size)
        packed = [opened_tree(data, tree) for data, (_, tree) in zip(found, trees, strict=True)]
        buffers: list[Any] = list(chain.from_iterable(self.buffers[:parts]))
        count = partial(count_expanded, self.tags, buffers, *packed)
        budget = Budget(sum(map(len, packed)))
        reader = NodeReader(self.tags, buffers, restorer, _table, budget=budget, count=count)
        return [reader.unpack(tree) for tree in packed]

    def node(self, restorer: Restorer) -> Any:
        """Return the node of the whole body."""
        nodes = self.nodes(restorer)
        return nodes if self.is_list else nodes[0]


def _table(stream: Any, meta: Any) -> Table:
    return Table(stream if isinstance(stream, Memory) else Memory.of(stream), meta)


def nodes_of_json(value: Any, restorer: Restorer, body: Callable[[Fetch, int], Any]) -> Any:
    """Return the nodes of a value in the JSON syntax; ``body(fetch, size)`` returns those of a MessagePack body in it.

    Raises:
        DecodeError: The value is damaged.
    """
    return json.Loader(value, restorer, _table, lambda data: body(Memory.of(data).fetch, len(data)), Budget()).read()

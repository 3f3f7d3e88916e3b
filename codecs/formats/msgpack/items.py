"""The blob of a list whose items are read singly: the MessagePack body of version 3; docs/FORMAT.md, section 4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgpack

from airflow_xcom.codecs.errors import CorruptPayloadError
from airflow_xcom.codecs.formats.compressed_frames import check_inflation, compress_all
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.msgpack.container import (
    ALIGNMENT,
    ITEMS_VERSION,
    MAGIC,
    NIL,
    checked_size,
    entry_of,
    laid_out,
    locate_buffer,
    opened,
    read_header,
    size_before,
    stored_size,
    stored_tree,
)
from airflow_xcom.codecs.object_state import attributes_of

_SAMPLES = 8  # items that are looked at
_LARGE = 4096  # bytes of text or memory
_MANY = 1024  # items of a list or dict
_FEW = 16  # parts that are looked at
_LEVELS = 3  # of lists, dicts and objects that are looked into
_LEAST = 1024  # bytes of an item on average; the index takes some 40 for each
_WORTH = 1 << 16  # bytes of a list; a smaller one is read as fast as a part of it


class Item(NamedTuple):
    """One packed item of a list, and its large buffers."""

    tree: bytes
    buffers: Sequence[list[memoryview]]

    @property
    def size(self) -> int:
        """Return its bytes."""
        return len(self.tree) + sum(map(len, chain.from_iterable(self.buffers)))


def look_large(values: list[Any]) -> bool:
    """Return whether most items of a list look as if each had some kilobytes; nothing is encoded to find out."""
    samples = values[:: max(len(values) // _SAMPLES, 1)]
    return len(values) > 1 and 2 * sum(map(_looks_large, samples)) > len(samples)


def _looks_large(item: Any, levels: int = _LEVELS) -> bool:
    cls = type(item)
    if cls in (str, bytes, bytearray):
        return len(item) >= _LARGE
    if cls in (list, tuple, dict):
        return len(item) >= _MANY or _have_large(item.values() if cls is dict else item, levels)
    if hasattr(cls, "__len__") and (hasattr(cls, "shape") or hasattr(cls, "nbytes")):  # an array or a table
        return not hasattr(cls, "nbytes") or _takes_much(item)
    return bool(cls.__dictoffset__) and _have_large(attributes_of(item).values(), levels)


def _takes_much(item: Any) -> bool:
    try:
        return bool(item.nbytes >= _LARGE)
    except Exception:  # noqa: BLE001 - an object of somebody's class may do anything
        return False


def _have_large(parts: Iterable[Any], levels: int) -> bool:
    return levels > 0 and any(_looks_large(part, levels - 1) for part, _ in zip(parts, range(_FEW), strict=False))


def are_large(items: Sequence[Item]) -> bool:
    """Return whether packed items are worth an index."""
    return sum(item.size for item in items) >= max(_WORTH, _LEAST * len(items))


def packed_list(items: Sequence[Item]) -> bytes:
    """Return the packed list of packed items."""
    return b"".join([msgpack.Packer(buf_size=64).pack_array_header(len(items)), *(item.tree for item in items)])


def write_items(
    tags: Sequence[Sequence[str | int]], items: Sequence[Item], compression: Compression = NO_COMPRESSION
) -> list[Any]:
    """Return the chunks of a blob, the first of which is its header; see :func:`.container.write_blob`."""
    frames = iter(compress_all([buffer for item in items for buffer in item.buffers], compression))
    entries, chunks, padding = [], [], b""
    for item in items:
        stored = [next(frames) or buffer for buffer in item.buffers]
        tree, tree_entry = stored_tree(item.tree, compression)
        parts = laid_out([tree], stored)
        entries.append([list(map(entry_of, stored)), tree_entry, _digest(parts)])
        chunks += [padding, *parts]
        padding = _padding(sum(map(len, parts)))
    head = msgpack.packb([MAGIC, ITEMS_VERSION, tags, entries])
    return [head, _padding(len(head)), *chunks]


def _padding(position: int) -> bytes:
    return NIL * (-position % ALIGNMENT)


def _digest(chunks: Iterable[Any]) -> bytes:
    import xxhash  # not at the top: few lists have an index

    digest = xxhash.xxh3_128()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


class ItemIndex:
    """Where the items of a list are in a blob.

    Args:
        head: at least the header.
        size: of the blob.

    Attributes:
        tags: the table of tags.
        entries: what the header says of each item: the sizes of its buffers and of its tree, and its digest.
        ranges: of each item, from its first byte to before the one after its last.
        first_buffers: of each item, the number of buffers in the items before it.

    Raises:
        CorruptPayloadError: The header is damaged.  So may be what any other exception is raised for.
        NewerFormatError: The version is after this release's.
    """

    def __init__(self, head: memoryview, size: int) -> None:
        header, end = read_header(head)
        _, _, self.tags, self.entries = header
        self.ranges: list[tuple[int, int]] = []
        self.first_buffers = [0]
        for sizes, tree_entry, _ in self.entries:
            start = end + len(_padding(end))
            end = start + checked_size(stored_size(tree_entry), size - start)
            for entry in sizes:
                _, end = locate_buffer(end, checked_size(stored_size(entry), size - end))
            self.ranges.append((start, end))
            self.first_buffers.append(self.first_buffers[-1] + len(sizes))
        if end != size:
            raise CorruptPayloadError(f"the payload should have {end} bytes, and has {size}")

    def open(self, memory: memoryview, number: int) -> tuple[memoryview, list[memoryview]]:
        """Return the packed tree and the buffers of an item, whose bytes ``memory`` has, in writable memory."""
        sizes, tree_entry, _ = self.entries[number]
        check_inflation(sum(map(size_before, [*sizes, tree_entry])), len(memory))
        return opened(memory, 0, sizes, tree_entry)

    def open_all(self, memory: memoryview) -> list[tuple[memoryview, list[memoryview]]]:
        """Return the packed tree and the buffers of each item of a whole blob in writable memory."""
        before = (size_before(entry) for sizes, tree, _ in self.entries for entry in [*sizes, tree])
        check_inflation(sum(before), len(memory))
        return [self.open(memory[start:stop], number) for number, (start, stop) in enumerate(self.ranges)]

    def verify(self, memory: memoryview, number: int) -> None:
        """Raise CorruptPayloadError unless the bytes of an item have its digest."""
        if _digest([memory]) != self.entries[number][2]:
            msg = f"the element {number} has another digest than what was written; run the task again"
            raise CorruptPayloadError(msg)

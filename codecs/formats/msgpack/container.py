"""The blob of a MessagePack body: a header, the tree, and aligned buffers, each of which may be compressed.

Every part is a MessagePack object, so that any MessagePack library reads a blob object by object; docs/FORMAT.md,
section 4.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgpack

from airflow_xcom.codecs.errors import CorruptPayloadError, NewerFormatError
from airflow_xcom.codecs.formats.compressed_frames import Frames, check_inflation, compress, compress_all, decompress
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.quoting import quoted

MAGIC = "airflow_xcom"
# Of a blob in which nothing is compressed, of one in which something is, and of a list whose items are read singly.
UNCOMPRESSED_VERSION, COMPRESSED_VERSION, ITEMS_VERSION = 1, 2, 3
VERSION = ITEMS_VERSION  # the newest

ALIGNMENT = 64
_LARGEST_BIN = 2**32 - ALIGNMENT  # bytes; MessagePack's bin 32 holds less than 4 GiB
NIL = b"\xc0"
_BIN_32 = b"\xc6"


def write_blob(
    tags: Sequence[Sequence[str | int]],
    tree: bytes,
    buffers: Sequence[list[memoryview]],
    compression: Compression = NO_COMPRESSION,
) -> list[Any]:
    """Return the chunks of a blob; what compression makes hardly smaller stays as it is."""
    stored: Sequence[Frames | list[memoryview]] = buffers
    tree_entry: int | list[Any] = len(tree)
    if compression is not NO_COMPRESSION:
        stored = [frames or raw for frames, raw in zip(compress_all(buffers, compression), buffers, strict=True)]
        tree, tree_entry = stored_tree(tree, compression)
    entries = list(map(entry_of, stored))
    version = COMPRESSED_VERSION if list in map(type, [*entries, tree_entry]) else UNCOMPRESSED_VERSION
    return laid_out([msgpack.packb([MAGIC, version, tags, entries, tree_entry]), tree], stored)


def laid_out(head: list[bytes], buffers: Sequence[Frames | list[memoryview]]) -> list[Any]:
    """Return the chunks of what begins with the pieces of ``head``, and has buffers behind it."""
    chunks: list[Any] = [*head]
    position = sum(map(len, head))
    for buffer in buffers:
        parts = [memoryview(chunk) for chunk in buffer.chunks] if isinstance(buffer, Frames) else buffer
        for begin, end in _bins(sum(map(len, parts))):
            lead = _lead(position, end - begin)
            chunks.append(lead)
            chunks.extend(_slice(parts, begin, end))
            position += len(lead) + end - begin
    return chunks


def stored_tree(tree: bytes, compression: Compression) -> tuple[bytes, int | list[Any]]:
    """Return the tree as it is stored, a ``bin`` object where it is compressed, and what the header says of it."""
    frames = compress([tree], compression)
    if frames is None or frames.stored >= _LARGEST_BIN:
        return tree, len(tree)
    packed: bytes = msgpack.packb(b"".join(frames.chunks))
    return packed, [len(packed), frames.algorithm, frames.size]


def entry_of(buffer: Frames | list[memoryview]) -> int | list[Any]:
    """Return what the header says of a buffer: its size, or how to decompress it."""
    if isinstance(buffer, Frames):
        return [buffer.stored, buffer.algorithm, buffer.size]
    return sum(map(len, buffer))


def _bins(size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a buffer that fit into one ``bin`` object each."""
    for begin in range(0, max(size, 1), _LARGEST_BIN):
        yield begin, min(begin + _LARGEST_BIN, size)


def _lead(position: int, size: int) -> bytes:
    """Return the padding and the ``bin 32`` head that put the next byte at a multiple of 64."""
    return NIL * (-(position + 5) % ALIGNMENT) + _BIN_32 + size.to_bytes(4, "big")


def _slice(chunks: list[memoryview], begin: int, end: int) -> Iterator[memoryview]:
    position = 0
    for chunk in chunks:
        part = chunk[max(begin - position, 0) : max(end - position, 0)]
        if len(part):
            yield part
        position += len(chunk)


def locate_buffer(position: int, size: int) -> tuple[int, int]:
    """Return where the buffer that follows ``position`` begins, and where it ends."""
    start = position + len(_lead(position, min(size, _LARGEST_BIN)))
    for begin, end in _bins(size):
        position += len(_lead(position, end - begin)) + end - begin
    return start, position


def read_header(memory: memoryview, newest: int = VERSION) -> tuple[list[Any], int]:
    """Return the header of a blob whose version is at most ``newest``, and where it ends."""
    header, position = _unpack_first(memory)
    if type(header) is not list or header[:1] != [MAGIC] or len(header) == 1:
        raise CorruptPayloadError("the payload is not a MessagePack body: its header is missing")
    if header[1] not in range(UNCOMPRESSED_VERSION, newest + 1):
        raise NewerFormatError("the MessagePack body", header[1], newest)
    return header, position


def _unpack_first(memory: memoryview) -> tuple[Any, int]:
    """Return the first object and where it ends."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(memory))
    size = 0
    while size < len(memory):
        more = memory[size : max(4096, 2 * size)]
        unpacker.feed(more)
        size += len(more)
        try:
            return unpacker.unpack(), unpacker.tell()
        except msgpack.OutOfData:
            continue
    raise CorruptPayloadError("the payload ends within its header")


def read_blob(memory: memoryview, header: list[Any], position: int) -> tuple[list[Any], memoryview, list[memoryview]]:
    """Return the table of tags, the packed tree and the buffers of a blob in writable memory.

    Args:
        memory: the whole blob, of version 1 or 2.
        header: see :func:`read_header`.
        position: where the header ends.

    Raises:
        CorruptPayloadError: the blob is damaged.  So may be what any other exception is raised for.
    """
    _, version, tags, entries, tree_entry = header
    if version == UNCOMPRESSED_VERSION:
        return tags, *split(memory, position, entries, tree_entry)
    check_inflation(sum(size_before(entry) for entry in [*entries, tree_entry]), len(memory))
    return tags, *opened(memory, position, entries, tree_entry)


def opened(memory: memoryview, position: int, entries: list[Any], tree_entry: Any) -> tuple[memoryview, list[Any]]:
    """Return the packed tree and the buffers that begin at ``position``, decompressed."""
    tree, buffers = split(memory, position, map(stored_size, entries), stored_size(tree_entry))
    return opened_tree(tree, tree_entry), list(map(_decompressed, buffers, entries))


def opened_tree(stored: memoryview, entry: Any) -> memoryview:
    """Return a packed tree, which is a ``bin`` object where it is compressed."""
    return _decompressed(memoryview(msgpack.unpackb(stored)) if type(entry) is list else stored, entry)


def split(
    memory: memoryview, position: int, sizes: Iterable[Any], tree_size: Any
) -> tuple[memoryview, list[memoryview]]:
    """Return the tree and the buffers as they are stored from ``position`` on."""
    tree = memory[position : position + checked_size(tree_size, len(memory) - position)]
    position += tree_size
    buffers = []
    for size in sizes:
        buffer, position = _read_bins(memory, position, checked_size(size, len(memory) - position))
        buffers.append(buffer)
    if position != len(memory):
        raise CorruptPayloadError(f"the payload has {len(memory) - position} bytes too many")
    return tree, buffers


def _read_bins(memory: memoryview, position: int, size: int) -> tuple[memoryview, int]:
    """Return the buffer of ``size`` bytes that follows ``position``, and where it ends."""
    parts = []
    for begin, end in _bins(size):
        lead = _lead(position, end - begin)
        start = position + len(lead)
        position = start + end - begin
        if bytes(memory[start - len(lead) : start]) != lead or position > len(memory):
            raise CorruptPayloadError("the payload is cut off, or a buffer in it does not begin where the header says")
        parts.append(memory[start:position])
    return (parts[0] if len(parts) == 1 else memoryview(bytearray(b"".join(parts)))), position


def stored_size(entry: Any) -> Any:
    return entry[0] if type(entry) is list else entry


def size_before(entry: Any) -> int:
    """Return the size before compression of what is compressed, else 0."""
    if type(entry) is not list:
        return 0
    _, _, size = entry
    return checked_size(size, sys.maxsize)


def checked_size(size: Any, most: int) -> int:
    if type(size) is not int or not 0 <= size <= most:
        raise CorruptPayloadError(f"the size {quoted(size)} in the header is not from 0 to {most}")
    return size


def _decompressed(stored: memoryview, entry: Any) -> memoryview:
    return decompress(stored, *entry[1:]) if type(entry) is list else stored

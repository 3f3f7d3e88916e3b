"""Compress memory to frames of LZ4 or Zstandard if that is worth it, and decompress them.

Compressed memory is a sequence of frames of one algorithm, which ``lz4 -d`` and ``zstd -d`` read: the LZ4 frame format
(https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md) or Zstandard (RFC 8878).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from airflow_xcom.codecs.errors import CorruptPayloadError
from airflow_xcom.codecs.formats.compression import ALGORITHMS, NO_COMPRESSION, Compression
from airflow_xcom.codecs.quoting import quoted

# How large a payload may become when it is decompressed: in bytes, or in multiples of its own size.  LZ4 reaches 255 at
# most; where Zstandard would reach more (a constant column of 64 MiB takes 6 KiB), the writer takes LZ4, or adds zeros
# to an Arrow file.
ALWAYS_ALLOWED, LARGEST_RATIO = 64 << 20, 256

_SMALL = 4096  # bytes; compressing less gains nothing
_ALONE = 1 << 18  # bytes; the compression of larger buffers is chosen for each
_PIECE = 1 << 20  # bytes; smaller chunks are joined to one frame, larger ones are compressed where they are
_WORTH = 0.9  # of the size; what shrinks less is not compressed, and is read in place

# The samples of "auto"; then the part of the size to which they must shrink, and the two compressions to choose from:
# in a local folder, and over a network.
_SAMPLES, _SAMPLE = 8, 16 << 10  # at most: how many, and bytes of each
_SAMPLED = 32  # at least: bytes for each sampled byte
_NEAR = 0.7, Compression("lz4"), Compression("zstd", 1)
_FAR = 0.9, Compression("zstd", 1), Compression("zstd", 3)
_BETTER = 0.9  # of the size that the faster one reaches; if the slower one reaches less, take it


class Frames(NamedTuple):
    """Compressed memory."""

    algorithm: str
    size: int  # before compression
    chunks: list[bytes]

    @property
    def stored(self) -> int:
        """Return the bytes after compression."""
        return sum(map(len, self.chunks))


def check_inflation(inflated: int, stored: int) -> None:
    """Refuse a decompression bomb, of so many bytes once inflated, before anything is allocated for it."""
    if inflated > max(ALWAYS_ALLOWED, LARGEST_RATIO * stored):
        raise CorruptPayloadError(
            f"{stored} bytes would be decompressed to {inflated}, and more than {ALWAYS_ALLOWED} must not be more than "
            f"{LARGEST_RATIO} times what is stored"
        )


def codec_of(compression: Compression) -> Any:
    """Return Arrow's codec for an algorithm and level; None if there is nothing to compress with."""
    if compression.algorithm not in ALGORITHMS:
        return None
    import pyarrow as pa

    return pa.Codec(compression.algorithm, compression.level)


def choose(chunks: Sequence[Any], compression: Compression) -> Compression:
    """Return the compression of memory: the given one or, for ``auto``, the best for a few samples of the memory."""
    if compression.algorithm != "auto":
        return compression
    samples = b"".join(_samples(chunks))
    if not samples:
        return NO_COMPRESSION
    limit, faster, slower = _FAR if compression.is_far else _NEAR
    less, least = (len(codec_of(each).compress(samples)) for each in (faster, slower))
    if min(less, least) > limit * len(samples):
        return NO_COMPRESSION
    return slower if least < _BETTER * less else faster


def _samples(chunks: Sequence[Any]) -> Iterator[memoryview]:
    """Yield parts of the chunks at even distances."""
    distance = max(sum(map(len, chunks)) // _SAMPLES, 1)
    length = min(max(distance // _SAMPLED, 512), _SAMPLE)
    due = position = 0
    for chunk in chunks:
        end = position + len(chunk)
        while due < end:
            yield memoryview(chunk)[due - position :][:length]
            due += distance
        position = end


def compress_all(buffers: Sequence[Sequence[Any]], compression: Compression) -> list[Frames | None]:
    """Compress buffers, each in one or more chunks; return None for those that should stay as they are.

    For ``auto``, small buffers are sampled together: sampling each would take longer than writing it.
    """
    is_small = [sum(map(len, chunks)) < _ALONE for chunks in buffers]
    together = [chunk for chunks, small in zip(buffers, is_small, strict=True) if small for chunk in chunks]
    common = choose(together, compression)
    each = (common if small else compression for small in is_small)
    return list(map(compress, buffers, each))


def compress(chunks: Sequence[Any], compression: Compression) -> Frames | None:
    """Compress memory in one or more chunks; return None if it should stay as it is."""
    size = sum(map(len, chunks))
    compression = choose(chunks, compression) if size >= _SMALL else NO_COMPRESSION
    codec = codec_of(compression)
    if codec is None:
        return None
    frames = Frames(compression.algorithm, size, [codec.compress(piece, asbytes=True) for piece in _pieces(chunks)])
    if frames.stored * LARGEST_RATIO < size:  # Zstandard alone can do that
        return compress(chunks, replace(compression, algorithm="lz4", level=None))
    return frames if frames.stored < _WORTH * size else None


def _pieces(chunks: Sequence[Any]) -> Iterator[Any]:
    """Yield the chunks, with small ones joined."""
    small: list[Any] = []
    for chunk in chunks:
        if len(chunk) < _PIECE:
            small.append(chunk)
        if sum(map(len, small)) >= _PIECE or len(chunk) >= _PIECE:
            yield from [b"".join(small)] if small else []
            small = []
        if len(chunk) >= _PIECE:
            yield chunk
    if small:
        yield b"".join(small)


def decompress(frames: memoryview, algorithm: str, size: int) -> memoryview:
    """Return the ``size`` bytes that were compressed, in writable memory."""
    import pyarrow as pa

    if algorithm not in ALGORITHMS:
        raise ValueError(f"there is no compression {quoted(algorithm)}")
    memory = memoryview(pa.allocate_buffer(size)).cast("B")
    # Codec.decompress() would accept LZ4 frames of fewer bytes than announced.
    with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(frames)), algorithm) as stream:
        filled = 0
        while filled < size and (more := stream.readinto(memory[filled:])):
            filled += more
        if filled < size or stream.read(1):
            raise ValueError(f"{algorithm} data do not become the {size} bytes that were announced")
    return memory

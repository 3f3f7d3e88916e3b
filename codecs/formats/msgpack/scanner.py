"""Walks through packed objects by their heads alone, and reads no more of a blob than that takes.

A parser of our own, because msgpack's Unpacker returns an extension type only when all of its bytes are there, and
skips text, bytes and extension types only by reading them.  Nearly all that is large here is one of these: of a tuple
of 300,000 records (7.5 MB) the Unpacker shows nothing from the first MiB, and this the keys and first columns; behind
20 MB of text, this shows the next item after 140 KB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

from airflow_xcom.codecs.errors import CorruptPayloadError

if TYPE_CHECKING:
    Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

BLOCK = 1 << 16  # bytes that are read at a time
BUDGET = 1 << 20  # bytes that are read at most
_MAX_SKIPPED = 1 << 18  # objects

# The first byte of an object -> its kind, its size (in items, else in bytes) or None, and the bytes that say the size.
# https://github.com/msgpack/msgpack/blob/master/spec.md
_HEADS: dict[int, tuple[str, int | None, int]] = {
    **dict.fromkeys((*range(128), 192, 194, 195, *range(224, 256)), ("scalar", 0, 0)),
    **{0x80 + size: ("map", size, 0) for size in range(16)},
    **{0x90 + size: ("array", size, 0) for size in range(16)},
    **{0xA0 + size: ("str", size, 0) for size in range(32)},
    **{0xC4 + power: ("bytes", None, 1 << power) for power in range(3)},
    **{0xC7 + power: ("ext", None, 1 << power) for power in range(3)},
    **{0xCA + power: ("scalar", 4 << power, 0) for power in range(2)},  # float
    **{0xCC + power: ("scalar", 1 << power, 0) for power in range(4)},  # uint
    **{0xD0 + power: ("scalar", 1 << power, 0) for power in range(4)},  # int
    **{0xD4 + power: ("ext", 1 << power, 0) for power in range(5)},
    **{0xD9 + power: ("str", None, 1 << power) for power in range(3)},
    **{0xDC + power: ("array", None, 2 << power) for power in range(2)},
    **{0xDE + power: ("map", None, 2 << power) for power in range(2)},
}


class TooFarError(Exception):
    """What is wanted is behind more than may be read."""


class Scanner:
    """Finds objects by their positions in packed bytes, which it reads in blocks.

    Args:
        fetch: returns the bytes from the start to before the stop of each range.
        size: of the packed bytes.
    """

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._blocks: dict[int, memoryview] = {}
        self._skippable = _MAX_SKIPPED

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to before ``stop``."""
        if stop > self._size:
            raise CorruptPayloadError("the payload is cut off")
        first, last = start // BLOCK, max(stop - 1, start) // BLOCK
        offset = start - first * BLOCK
        return b"".join(map(self._block, range(first, last + 1)))[offset : offset + stop - start]

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            if len(self._blocks) * BLOCK >= BUDGET:
                raise TooFarError
            start = number * BLOCK
            self._blocks[number] = self._fetch([(start, min(start + BLOCK, self._size))])[0]
        return self._blocks[number]

    def byte(self, position: int) -> int:
        """Return one byte."""
        if position >= self._size:
            raise CorruptPayloadError("the payload is cut off")
        number, offset = divmod(position, BLOCK)
        return self._block(number)[offset]

    def head(self, position: int) -> tuple[str, int, int]:
        """Return the kind of an object, its size in items or bytes, and where these begin.

        The kinds are ``"array"``, ``"map"``, ``"str"``, ``"bytes"``, ``"ext"`` and ``"scalar"``.  The code of an
        extension type is the byte before its data.
        """
        head = self.byte(position)
        if head not in _HEADS:
            raise CorruptPayloadError(f"the payload has the byte {head:#x} in place of an object")
        kind, size, width = _HEADS[head]
        start = position + 1 + width + (kind == "ext")
        if size is None:
            size = int.from_bytes(self.read(position + 1, position + 1 + width), "big")
        return kind, size, start

    def scalar(self, position: int) -> Any:
        """Return the number or constant at a position."""
        kind, size, start = self.head(position)
        if kind != "scalar":
            raise CorruptPayloadError(f"the payload has {kind} in place of a number")
        return msgpack.unpackb(self.read(position, start + size))

    def skip(self, position: int) -> int:
        """Return where the object behind the one at a position begins."""
        remaining = 1
        while remaining:
            self._skippable -= 1
            if self._skippable < 0:
                raise TooFarError
            kind, size, start = self.head(position)
            items = size if kind == "array" else 2 * size if kind == "map" else 0
            remaining += items - 1
            position = start if kind in ("array", "map") else start + size
        return position

    def items(self, position: int) -> list[int]:
        """Return where the items of an array begin, as far as they can be reached."""
        kind, size, start = self.head(position)
        if kind != "array":
            raise CorruptPayloadError("a form of the payload is not a list")
        positions = [start][:size]
        for _ in range(1, size):
            try:
                positions.append(self.skip(positions[-1]))
            except TooFarError:
                break
        return positions

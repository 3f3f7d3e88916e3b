"""Cells that hold natives and little of them, read as the items of one array."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

_STR8 = 0xD9  # the next byte is the size of the text
_MOST_OBJECTS = 64  # in a cell
_SIZES = np.zeros(256, np.int64)  # by the first byte of an object: its size without its items; 0 where it does not tell
_SIZES[:0x80] = _SIZES[0xE0:] = 1  # small integers
_SIZES[[0xC0, 0xC2, 0xC3]] = 1  # null and bools
_SIZES[0x80:0xA0] = 1  # short dicts and lists
_SIZES[0xA0:0xC0] = range(1, 33)  # short texts
_SIZES[0xCA:0xD4] = (5, 9, 2, 3, 5, 9, 2, 3, 5, 9)  # floats and integers
_MORE = np.full(256, -1, np.int64)  # how many more objects are to come after it than before it
_MORE[0x80:0xA0] += (*range(0, 32, 2), *range(16))


def read_together(data: memoryview, offsets: np.ndarray) -> list[Any] | None:
    """Return the values of cells that follow each other; None unless each is seen to end where the next begins.

    So no cell reaches into another.
    """
    if not _follow_each_other(np.frombuffer(data, np.uint8), offsets):
        return None
    head = b"\xdd" + (len(offsets) - 1).to_bytes(4, "big")
    values: list[Any] = msgpack.unpackb(head + data[offsets[0] : offsets[-1]], strict_map_key=False)
    return values


def _follow_each_other(cells: np.ndarray, offsets: np.ndarray) -> bool:
    """Return whether each cell is one object that holds few, and ends where the next begins; look at heads alone."""
    at, ends = offsets[:-1], offsets[1:]
    if not len(at) or at[0] < 0 or ends[-1] > len(cells):
        return False
    left = np.ones(len(at), np.int64)  # objects that are still to come in each cell
    for _ in range(_MOST_OBJECTS):
        if (at >= ends).any():
            return False
        heads = cells.take(at)
        sizes = _SIZES.take(heads)
        texts = np.flatnonzero(heads == _STR8)
        sizes[texts] = cells[at[texts] + (at[texts] + 1 < ends[texts])] + np.int64(2)
        at, left = at + sizes, left + _MORE.take(heads)
        is_done = left == 0
        if not sizes.all() or (is_done & (at != ends)).any():
            return False
        if is_done.all():
            return True
        if is_done.any():
            at, ends, left = at[~is_done], ends[~is_done], left[~is_done]
    return False

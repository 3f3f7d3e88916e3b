"""Cells that hold one number, text, bool or null each, read as the items of one array."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

_STR8 = 0xD9  # the next byte is the size of the text
_SIZES = np.zeros(256, np.int64)  # by the first byte of a cell: its size; 0 where that does not tell it
_SIZES[:0x80] = _SIZES[0xE0:] = 1  # small integers
_SIZES[[0xC0, 0xC2, 0xC3]] = 1  # null and bools
_SIZES[0xA0:0xC0] = range(1, 33)  # short texts
_SIZES[0xCA:0xD4] = (5, 9, 2, 3, 5, 9, 2, 3, 5, 9)  # floats and integers


def read_scalars(data: memoryview, offsets: np.ndarray) -> list[Any] | None:
    """Return the values of cells that follow each other; None unless the first bytes of each say that it is a scalar.

    As these say where a cell ends, too, and it is where the next one begins, no cell reaches into another.
    """
    cells = np.frombuffer(data, np.uint8)
    starts, sizes = offsets[:-1], np.diff(offsets)
    if not len(starts) or not starts[0] >= 0 or not (sizes > 0).all() or offsets[-1] > len(cells):
        return None
    heads = cells[starts]
    expected = _SIZES[heads]
    texts = np.flatnonzero((heads == _STR8) & (sizes > 1))
    expected[texts] = cells[starts[texts] + 1] + np.int64(2)
    if not np.array_equal(expected, sizes):
        return None
    array = b"".join((b"\xdd", len(starts).to_bytes(4, "big"), data[starts[0] : offsets[-1]]))
    values: list[Any] = msgpack.unpackb(array)
    return values

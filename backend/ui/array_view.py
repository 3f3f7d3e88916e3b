"""Windows of arrays as the Data tab shows them: exact text, and levels of a line or a heat map.

An array that lies in Fortran's order is read along its first axes, any other along its last ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from airflow_xcom.backend.ui.payload_tree import inner, read_bytes
from airflow_xcom.codecs import SelectionError, Tagged
from airflow_xcom.codecs.builtin.numpy.dtypes import decode_dtype
from airflow_xcom.codecs.errors import any_error_as_corrupt

_POINTS = 1 << 20  # values of a line
_BINS = 600  # of a line that are drawn
_LEVELS = 255
_MATRIX = 2
_ARRAYS = {"numpy.ndarray", "numpy.recarray"}
_AXES, _LENGTH = 64, 1 << 63  # NumPy's bounds of a shape
_DTYPE = 100  # characters


class ArrayView:
    """An array whose elements are read when they are shown.

    Args:
        dtype: as its node has it.
        shape: of the array.
        elements: its bytes, in memory or in a blob.
        order: ``"C"`` or ``"F"``.

    Attributes:
        axes: the two that a window lies in, rows and columns; fewer if the array has fewer.

    Raises:
        CorruptPayloadError: The bytes do not fit the shape.
    """

    def __init__(self, dtype: str, shape: list[int], elements: Any, order: str) -> None:
        with any_error_as_corrupt():
            self.dtype = decode_dtype(dtype)
            if prod(shape) * self.dtype.itemsize != len(elements):
                raise ValueError(f"{len(elements)} bytes for an array of {shape} {dtype}")
        self.shape = shape
        self._elements = elements
        self._is_reversed = order == "F"
        self._lengths = shape[::-1] if self._is_reversed else shape
        axes = list(range(len(shape)))[::-1][-_MATRIX:] if self._is_reversed else list(range(len(shape)))[-_MATRIX:]
        self.axes = sorted(axes)

    def window(self, index: Sequence[int], rows: range, columns: range) -> Any:
        """Return a part of the plane of :attr:`axes`; ``index`` is the position on the other axes, in their order.

        Raises:
            SelectionError: The array has no such place.
        """
        first, plane = self._plane(index)
        height, width = ([1, 1, *plane])[-_MATRIX:]
        across, along = (rows, columns)
        if self._is_reversed and len(plane) == _MATRIX:
            across, along = columns, rows
        across, along = range(height)[across.start : across.stop], range(width)[along.start : along.stop]
        lines = [self._read(first + line * width + along.start, len(along)) for line in across]
        found = np.array(lines, self.dtype).reshape(len(across), len(along))
        return found.T if self._is_reversed and len(plane) == _MATRIX else found

    def _plane(self, index: Sequence[int]) -> tuple[int, list[int]]:
        """Return where a plane begins, and its lengths in the order of memory."""
        others = self._lengths[:-_MATRIX]
        wanted = list(index)[::-1] if self._is_reversed else list(index)
        if len(wanted) != len(others) or not all(0 <= at < length for at, length in zip(wanted, others, strict=True)):
            raise SelectionError(f"the array has the shape {self.shape}; {list(index)[:20]} is no plane of it")
        plane = self._lengths[-_MATRIX:]
        first = 0
        for at, length in zip(wanted, others, strict=True):
            first = first * length + at
        return first * prod(plane), plane

    def _read(self, first: int, count: int) -> Any:
        size = self.dtype.itemsize
        start, stop = first * size, (first + count) * size
        return np.frombuffer(bytes(read_bytes(self._elements, start, stop)), self.dtype)

    def texts(self, index: Sequence[int], rows: range, columns: range) -> list[list[str]]:
        """Return a window as text, row by row."""
        return [[str(item) for item in row] for row in self.window(index, rows, columns)]

    def heat(self, index: Sequence[int], rows: range, columns: range) -> dict[str, Any]:
        """Return a window as levels from 0 to 255, None where there is no number, and what the ends stand for."""
        return levels(_numbers(self.window(index, rows, columns)))

    def line(self, first: int) -> dict[str, Any]:
        """Return the ends of each bin of a part of an array; raise SelectionError if it has more axes than one."""
        if len(self.shape) != 1:
            raise SelectionError(f"the array has the shape {self.shape}, which is no line")
        part = range(self.shape[0])[first : first + _POINTS]
        numbers = _numbers(self._read(part.start, len(part)))
        return {"first": part.start, "count": len(part), **bins(np.arange(len(part), dtype="f8"), numbers)}


def is_array(node: Any) -> bool:
    """Return whether a node is an array of numbers, times or truth values: others are shown as a tree."""
    found = inner(node)
    if not isinstance(node, Tagged) or node.tag not in _ARRAYS or type(found) is not list or len(found) not in {3, 4}:
        return False
    dtype, shape, *_ = found
    is_shape = type(shape) is list and len(shape) <= _AXES
    is_shape = is_shape and all(type(length) is int and 0 <= length < _LENGTH for length in shape)
    is_dtype = type(dtype) is str and len(dtype) <= _DTYPE and dtype[1:2] in set("biufcmM") and ":" not in dtype
    return is_dtype and is_shape


def _numbers(values: Any) -> Any:
    """Return values as floats: of complex numbers the distance from zero, of times the ticks."""
    if values.dtype.kind in "mM":
        return np.where(np.isnat(values), np.nan, values.view("i8").astype("f8"))
    return np.abs(values).astype("f8") if values.dtype.kind == "c" else values.astype("f8")


def bins(places: Any, values: Any) -> dict[str, Any]:
    """Return the least and the greatest finite number of each of some bins, and how many numbers are not finite.

    Args:
        places: of the values on a line, in ascending order.
        values: as floats.

    Returns:
        ``bins``, None where no number is finite; ``at``, the place of each between 0 and 1; and ``left_out``.
    """
    if not len(values):
        return {"bins": [], "at": [], "left_out": 0}
    low, high = places[0], places[-1]
    share = (places / 2 - low / 2) / max(high / 2 - low / 2, 5e-324)  # halves, for the difference may be no float
    number = np.minimum((share * _BINS).astype(int), _BINS - 1)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    parts = [part[np.isfinite(part)] for part in np.split(values, starts[1:])]
    found = [[float(part.min()), float(part.max())] if len(part) else None for part in parts]
    left_out = len(values) - sum(map(len, parts))
    return {"bins": found, "at": share[starts].round(4).tolist(), "left_out": left_out}


def levels(values: Any) -> dict[str, Any]:
    """Return numbers as levels from 0 to 255, None where there is none, what these two stand for, and how many lack."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    half = max(high / 2 - low / 2, 5e-324)  # halves, for the difference may be no float
    scaled = np.clip((values / 2 - low / 2) / half * _LEVELS, 0, _LEVELS)
    shown = [[int(level) if np.isfinite(level) else None for level in row] for row in scaled]
    return {"levels": shown, "low": low, "high": high, "left_out": values.size - len(finite)}

"""Wide blocks: many columns of one dtype and few rows, stored as one Arrow column of lists.

Each row of such a column is a list with a cell of each of the block's columns, as in a matrix.  Column by column, a
frame of 20,000 columns would cost a hundred times what its bytes do: an Arrow array, a field and a buffer for each.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.columns import decode_array, encode_array
from airflow_xcom.codecs.builtin.pandas.number_columns import TableMemory, without_nulls
from airflow_xcom.codecs.nodes import PackCells, as_list

_FEW = 100  # columns, up to which each stands alone, under its name
_MOST_EMPTY = 1_000_000  # columns of a block without rows, which takes no bytes however many they are


def is_wide(values: Any) -> bool:
    """Return whether the values of a block of pandas, one row for each column, are stored as one Arrow column."""
    if values.ndim == 1 or not isinstance(values.dtype, np.dtype) or values.dtype.kind == "O":
        return False
    columns, rows = values.shape
    return bool(columns > max(_FEW, rows) and (rows or columns <= _MOST_EMPTY))


def encode_wide(values: Any, pack: PackCells) -> tuple[Any, pa.Array]:
    """Return the kind of all cells and the Arrow array of a wide block; rows that lie in memory so are not copied."""
    array = values if isinstance(values, np.ndarray) else values.asi8.view(values.dtype)
    kind, cells = encode_array(np.ascontiguousarray(array.T).reshape(-1), pack)
    return kind, pa.FixedSizeListArray.from_arrays(cells, len(array))


def decode_wide(kind: Any, column: Any, memory: TableMemory) -> Any:
    """Return the values that :func:`encode_wide` was given, lying in memory row by row."""
    array = without_nulls(column)
    count = _width(array.type)
    held = array.values.slice(array.offset * count, len(array) * count)  # flatten() takes ten times as long
    cells = decode_array(kind, held, memory)
    if type(cells) is not np.ndarray or cells.dtype.kind == "O":
        raise ValueError(f"a block of columns holds {cells.dtype}")
    return cells.reshape(len(array), count).T


def _width(kind: pa.DataType) -> int:
    if not pa.types.is_fixed_size_list(kind):
        raise ValueError(f"a block of columns is stored as {kind}")
    return int(kind.list_size)


def runs_of(positions: np.ndarray) -> list[list[int]]:
    """Return ascending positions of columns as runs ``[first, step, count]`` of even distances."""
    first, count = int(positions[0]), len(positions)
    if positions[-1] - first == count - 1:  # as of most blocks
        return [[first, 1, count]]
    ends = np.flatnonzero(np.diff(positions, 2)) + 2  # where the next distance is another one
    runs = []
    for start, stop in pairwise([0, *ends.tolist(), len(positions)]):
        step = int(positions[start + 1] - positions[start]) if stop - start > 1 else 1
        runs.append([int(positions[start]), step, stop - start])
    return runs


def places(blocks: Any, schema: pa.Schema, rows: int, singles: int) -> list[Any]:
    """Return which column of a frame each Arrow column of its data holds; of a block, an array of them.

    Args:
        blocks: for each block, which come first: the runs of :func:`runs_of`.
        schema: of the table.
        rows: of the table.
        singles: how many columns stand alone behind the blocks.
    """
    sizes = [_width(schema.field(number).type) for number in range(len(as_list(blocks)))]
    count = sum(sizes) + singles
    if not rows and count > _MOST_EMPTY:
        raise ValueError(f"{count} columns and no rows")
    if not singles and len(sizes) == 1 and type(blocks[0]) is list and blocks[0] == [[0, 1, count]]:  # as of most
        if set(map(type, blocks[0][0])) != {int}:
            raise TypeError("the runs of a block are not made of whole numbers")
        return [np.arange(count)]
    held = [_positions(runs, size) for runs, size in zip(blocks, sizes, strict=True)]
    taken = np.zeros(count, bool)
    for positions in held:
        if len(positions) and not 0 <= positions.min() <= positions.max() < count:
            raise ValueError(f"a block is not in {count} columns")
        taken[positions] = True
    alone = np.flatnonzero(~taken)
    if len(alone) != singles:
        raise ValueError(f"blocks of {sizes} columns leave {len(alone)} of {count}, and not {singles}")
    return [*held, *alone.tolist()]


def _positions(runs: Any, size: int) -> np.ndarray:
    counted = [(first, step, range(count)) for first, step, count in map(as_list, as_list(runs))]
    if not all(type(first) is type(step) is int for first, step, _ in counted):
        raise TypeError("the runs of a block are not made of numbers")
    if sum(len(numbers) for _, _, numbers in counted) != size:
        raise ValueError(f"the runs of a block are not of {size} columns")
    return np.concatenate([first + step * np.arange(len(numbers), dtype=np.int64) for first, step, numbers in counted])

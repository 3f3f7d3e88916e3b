"""The columns of a frame, and the blocks that pandas keeps them in.

pandas holds the columns of one dtype as the rows of one array.  Taken by the block, a wide frame costs little for each
column.  And columns that follow each other in memory at even distances are given back as one block, in place: in
hundreds of blocks, pandas would call the frame fragmented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.columns import decode_array, encode_array
from airflow_xcom.codecs.builtin.pandas.number_columns import NUMBERS, TableMemory, find_numbers
from airflow_xcom.codecs.builtin.pandas.wide_blocks import decode_wide, encode_wide, is_wide, runs_of
from airflow_xcom.codecs.errors import EncodeError
from airflow_xcom.codecs.nodes import PackCells

try:
    from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # pragma: no cover - before pandas 3

    def create_dataframe_from_blocks(blocks: Any, index: Any, columns: Any) -> Any:
        """Return a frame, as the function of pandas 3 does."""
        from pandas._libs.internals import BlockPlacement  # type: ignore[import-not-found, unused-ignore]
        from pandas.core.internals import BlockManager  # type: ignore[import-not-found, unused-ignore]
        from pandas.core.internals import blocks as made  # type: ignore[import-not-found, unused-ignore]

        manager = BlockManager(
            [
                made.new_block_2d(
                    made.maybe_coerce_values(made.ensure_block_shape(values, 2)), BlockPlacement(positions)
                )
                for values, positions in blocks
            ],
            [columns, index],
        )
        frame: Any = pd.DataFrame
        return frame._from_mgr(manager, manager.axes)  # noqa: SLF001


Encoded = tuple[Any, Any]  # the kind and the Arrow array of a column
Block = tuple[Any, np.ndarray]  # values, and the positions of the columns that they are

_SMALL = 4 << 10  # bytes of a block
_NUMBERS = frozenset(NUMBERS.values())
_FRAGMENTED = 100  # blocks from which pandas warns when a column is added


def encode_columns(frame: Any, pack: PackCells) -> tuple[list[list[list[int]]], list[Encoded], list[int]]:
    """Return the columns of a frame, in arrays that share its memory.

    Returns:
        The runs of the columns of each wide block (see :mod:`.wide_blocks`); the kind and the Arrow array of each of
        these blocks, then of each column that stands alone; and the positions of the latter in the frame, ascending.
    """
    wide: list[list[list[int]]] = []
    blocks: list[Encoded] = []
    columns: dict[int, Encoded] = {}
    for values, positions in _gathered(frame._mgr.blocks):  # noqa: SLF001 - column by column takes ten times as long
        if is_wide(values):
            ordered, places = _ascending(values, positions)
            wide.append(runs_of(places))
            blocks.append(encode_wide(ordered, pack))
            continue
        try:
            rows = _in_rows(values)
            encode = _encode_whole if rows.ndim > 1 and _is_whole(rows) else _encode_each
            columns |= zip(positions.tolist(), encode(rows, pack), strict=True)
        except EncodeError as error:
            label = frame.columns[next(position for position in positions if position not in columns)]
            from airflow_xcom.codecs.error_location import brief, short_repr

            error.within(f"column {short_repr(label)}", f"[{brief(label)}]")
            raise
    alone = sorted(columns)
    return wide, [*blocks, *(columns[position] for position in alone)], alone


def _ascending(values: Any, positions: np.ndarray) -> Block:
    """Return a block whose columns are in the order of the frame: pandas keeps them in any."""
    if (positions[1:] > positions[:-1]).all():
        return values, positions
    order = np.argsort(positions)
    return values[order], positions[order]


def _gathered(blocks: Any) -> Iterator[Block]:
    """Yield the values of blocks, and their positions; small ones of numbers, maybe thousands, in one copy."""
    small: dict[tuple[np.dtype[Any], str], list[Block]] = {}  # long and long long are equal
    for block in blocks:
        values, positions = block.values, block.mgr_locs.as_array  # noqa: PD011 - of a block
        if type(values) is np.ndarray and values.nbytes < _SMALL and values.dtype in _NUMBERS:
            small.setdefault((values.dtype, values.dtype.char), []).append((values, positions))
        else:
            yield values, positions
    for group in small.values():
        parts, positions = zip(*group, strict=True)
        yield np.concatenate(parts), np.concatenate(positions)


def _in_rows(values: Any) -> Any:
    """Return the values of a block such that each column of the frame is contiguous.

    A block that lies in memory the other way, as that of ``DataFrame(matrix)`` may, is turned in one copy: taken column
    by column, it would be read from end to end for every column.
    """
    if not isinstance(values.dtype, np.dtype):
        return values
    array = values if isinstance(values, np.ndarray) else values.asi8.view(values.dtype)
    return array if array.strides[1] == array.itemsize else np.ascontiguousarray(array)


def _is_whole(values: Any) -> bool:
    """Return whether all columns of a block are of one kind, and one array in memory."""
    array = values if isinstance(values, np.ndarray) else values.asi8
    return array.flags.c_contiguous and array.dtype.kind not in "Ob"  # columns of bits would share bytes


def _encode_whole(values: Any, pack: PackCells) -> Iterator[Encoded]:
    kind, array = encode_array(values.reshape(-1), pack)
    if array.null_count or not pa.types.is_primitive(array.type):
        return _encode_each(values, pack)
    if len(values) == 1:
        return iter([(kind, array)])
    memory, count = array.buffers()[1], values.shape[1]
    size = count * values.dtype.itemsize
    # Not array.slice(), of which Arrow writes up to 63 bytes of the next column as well.
    parts = (memory.slice(row * size, size) for row in range(len(values)))
    return ((kind, pa.Array.from_buffers(array.type, count, [None, part], null_count=0)) for part in parts)


def _encode_each(values: Any, pack: PackCells) -> Iterator[Encoded]:
    return (encode_array(column, pack) for column in (values if values.ndim > 1 else [values]))


def decode_columns(
    columns: Any, placed: Sequence[Any], kinds: dict[str, Any], memory: TableMemory, axes: tuple[Any, Any]
) -> Any:
    """Return the frame whose columns :func:`encode_columns` was given.

    Args:
        columns: the Arrow columns.
        placed: for each of them, its position in the frame; of a wide block, an array of positions.
        kinds: position (as text) to kind, where it is not None.
        memory: what the columns lie in.
        axes: the labels of the rows, and of the columns.
    """
    index, labels = axes
    blocks: list[Block] = []
    in_memory: dict[np.dtype[Any], list[tuple[int, int]]] = {}
    loose: dict[tuple[np.dtype[Any], str], list[tuple[int, np.ndarray]]] = {}  # long and long long are equal
    for number, (position, column) in enumerate(zip(placed, columns, strict=True)):
        kind = kinds.get(str(number)) if kinds else None
        if type(position) is not int:
            blocks.append((decode_wide(kind, column, memory), position))
            continue
        if kind is None and (numbers := find_numbers(column, memory)):
            in_memory.setdefault(numbers[0], []).append((position, numbers[1]))
            continue
        values = decode_array(kind, column, memory)
        if isinstance(values, np.ndarray):
            loose.setdefault((values.dtype, values.dtype.char), []).append((position, values))
        else:
            blocks.append((values, np.array([position])))
    blocks.extend(_blocks_in_place(in_memory, len(index), memory))
    blocks.extend(_loose_blocks(loose, merge=len(columns) > _FRAGMENTED))
    return create_dataframe_from_blocks(blocks, index, labels)


def _blocks_in_place(
    in_memory: dict[np.dtype[Any], list[tuple[int, int]]], count: int, memory: TableMemory
) -> Iterator[Block]:
    for dtype, pairs in in_memory.items():
        for run in _even_runs(pairs, dtype.itemsize * count):
            positions, offsets = zip(*run, strict=True)
            yield memory.matrix(offsets, dtype, count), np.array(positions)


def _even_runs(pairs: list[tuple[int, int]], least: int) -> Iterator[list[tuple[int, int]]]:
    """Yield runs of (column, offset) in which the offsets grow by one distance, of ``least`` or more."""
    run = pairs[:1]
    step = 0
    for pair in pairs[1:]:
        distance = pair[1] - run[-1][1]
        if distance >= least and (len(run) == 1 or distance == step):
            step = distance
        else:
            yield run
            run = []
        run.append(pair)
    yield run


def _loose_blocks(
    loose: dict[tuple[np.dtype[Any], str], list[tuple[int, np.ndarray]]], *, merge: bool
) -> Iterator[Block]:
    for (dtype, _), pairs in loose.items():
        for group in [pairs] if merge else [[pair] for pair in pairs]:
            positions, arrays = zip(*group, strict=True)
            values = arrays[0].reshape(1, -1) if len(arrays) == 1 else np.stack(arrays, dtype=dtype)
            yield values, np.array(positions)

"""DataFrame and Series as Arrow tables, and pandas arrays that stand alone.

The table has the data columns under their labels, then the columns of the index.  What Arrow cannot say (labels that
are no text, kinds, freq, attrs, flags) is in the meta; a plain frame has an empty one.  A frame is decoded into the
memory that the payload lies in: its numeric columns are writable views, and columns that follow each other at even
distances are one block, so that pandas does not call the frame fragmented.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas_columns import (
    Memory,
    address,
    decode_array,
    decode_labels,
    encode_array,
    encode_labels,
)
from airflow_xcom.codecs.builtin.pandas_index import decode_index, encode_index, width
from airflow_xcom.codecs.errors import EncodeError
from airflow_xcom.codecs.model import Codec, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

try:
    from pandas.api.internals import create_dataframe_from_blocks
except ImportError:  # before pandas 3

    def create_dataframe_from_blocks(blocks: Any, index: pd.Index, columns: pd.Index) -> pd.DataFrame:
        """What pandas 3 offers under this name."""
        from pandas._libs.internals import BlockPlacement
        from pandas.core.internals import BlockManager
        from pandas.core.internals.blocks import ensure_block_shape, maybe_coerce_values, new_block_2d

        made = [
            new_block_2d(maybe_coerce_values(ensure_block_shape(values, 2)), BlockPlacement(places))
            for values, places in blocks
        ]
        manager = BlockManager(made, [columns, index])
        return pd.DataFrame._from_mgr(manager, manager.axes)  # noqa: SLF001


__all__ = ["CODECS"]

_FRAGMENTED = 100  # blocks from which pandas warns when a column is added
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_DTYPES, _SHOWN_CHARACTERS = 3, 10, 20, 40


# -- names ---------------------------------------------------------------------------------------------------


def _encode_columns(columns: pd.Index) -> tuple[dict[str, Any], list[str]]:
    """What rebuilds the labels of the columns, and the unique texts that stand for them in the table.

    Labels that are unique texts stand in the table alone.
    """
    spec: dict[str, Any] = {"labels": columns}
    if not isinstance(columns, pd.MultiIndex):
        plain, array = encode_labels(columns)
        if array is None:
            spec = plain
        elif array.type == pa.large_string() and not array.null_count and columns.is_unique:
            names = array.to_pylist()
            if not any("\0" in name for name in names):  # Arrow's C interface ends a name there
                return plain, names
    return spec, _unique(map(_text, columns), set())


def _decode_columns(spec: dict[str, Any], names: list[str]) -> pd.Index:
    columns = decode_labels(spec, pa.array(names, pa.large_string()), Memory(None))
    if len(columns) != len(names):
        msg = f"{len(columns)} labels for {len(names)} columns"
        raise ValueError(msg)
    return columns


def _text(label: Any) -> str:
    """A label as text that every Arrow library takes for a name."""
    return str(label).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _unique(names: Iterable[str], taken: set[str]) -> list[str]:
    """Each name, with a number behind it where it is taken; adds them to ``taken``."""
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        candidate = name
        while candidate in taken:
            counts[name] = counts.get(name, 0) + 1
            candidate = f"{name}_{counts[name]}"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _index_names(index: pd.Index) -> Iterator[str]:
    for place, name in enumerate(index.names):
        yield f"__index_level_{place}__" if name is None else _text(name)


# -- encode --------------------------------------------------------------------------------------------------


def _encode_frame(frame: pd.DataFrame) -> Table:
    columns, names = _encode_columns(frame.columns)
    kinds, arrays = {}, []
    for place, values in enumerate(_arrays(frame)):
        kind, array = _encode_column(values, frame.columns[place])
        arrays.append(array)
        if kind is not None:
            kinds[str(place)] = kind
    index = _encode_rows(frame, names, arrays, default=bool(arrays))
    meta = {**_extras(frame), "index": index, "kinds": kinds or None, "columns": columns or None}
    return Table(pa.Table.from_arrays(arrays, names=names), _without_none(meta))


def _encode_series(series: pd.Series[Any]) -> Table:
    names = ["values" if series.name is None else _text(series.name)]
    kind, array = _encode_column(series.array, series.name)
    arrays = [array]
    index = _encode_rows(series, names, arrays, default=True)
    meta = {"kind": kind, "name": series.name, **_extras(series), "index": index}
    return Table(pa.Table.from_arrays(arrays, names=names), _without_none(meta))


def _without_none(meta: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in meta.items() if item is not None}


def _encode_column(values: Any, label: Any) -> tuple[Any, Any]:
    if type(values) is pd.arrays.NumpyExtensionArray:
        values = values.to_numpy()
    try:
        return encode_array(values)
    except EncodeError as error:
        error.reason = f"column {label!r}: {error.reason}"
        raise


def _encode_rows(
    data: pd.DataFrame | pd.Series[Any], names: list[str], arrays: list[Any], *, default: bool
) -> dict[str, Any] | None:
    """What rebuilds the index; appends its columns.  None for the default index, if there are columns to count."""
    index = data.index
    if default and type(index) is pd.RangeIndex and (index.start, index.step, index.name) == (0, 1, None):
        return None
    try:
        spec, columns = encode_index(index)
    except EncodeError as error:
        error.reason = f"index: {error.reason}"
        raise
    names.extend(_unique(_index_names(index), set(names))[: len(columns)])
    arrays.extend(columns)
    return spec


def _extras(data: pd.DataFrame | pd.Series[Any]) -> dict[str, Any]:
    unique = not data.flags.allows_duplicate_labels
    return {"attrs": data.attrs or None, "flags": {"allows_duplicate_labels": False} if unique else None}


def _arrays(frame: pd.DataFrame) -> list[Any]:
    """One array a column, sharing the memory of the frame.

    A block that lies in memory row by row, as that of ``DataFrame(matrix)`` may, is turned in one copy: taken column
    by column, it would be read from end to end for every column.
    """
    arrays: list[Any] = [None] * frame.shape[1]
    for block in frame._mgr.blocks:  # noqa: SLF001 - column by column, a frame of 5,000 takes a second
        values = block.values  # noqa: PD011 - a block is no frame
        if isinstance(values.dtype, np.dtype):
            values = values if isinstance(values, np.ndarray) else values.asi8.view(values.dtype)
            if values.strides[1] != values.itemsize:
                values = np.ascontiguousarray(values)
        for row, place in enumerate(block.mgr_locs):
            arrays[place] = values[row] if values.ndim == 2 else values  # noqa: PLR2004
    return arrays


# -- decode --------------------------------------------------------------------------------------------------


def _decode_frame(node: Table, _version: int) -> pd.DataFrame:
    table, meta, memory = node.table, node.meta, Memory(node.memory)
    spec = meta.get("index")
    count = table.num_columns - (0 if spec is None else width(spec))
    index = _decode_rows(spec, table, count, memory)
    columns = _decode_columns(meta.get("columns", {}), table.schema.names[:count])
    kinds = meta.get("kinds", {})
    arrays = [decode_array(kinds.get(str(place)), table.column(place), memory) for place in range(count)]
    frame = create_dataframe_from_blocks(_blocks(arrays, memory), index, columns)
    return _with_extras(frame, meta)


def _decode_series(node: Table, _version: int) -> pd.Series[Any]:
    table, meta, memory = node.table, node.meta, Memory(node.memory)
    index = _decode_rows(meta.get("index"), table, 1, memory)
    values = decode_array(meta.get("kind"), table.column(0), memory)
    series = pd.Series(values, index=index, dtype=values.dtype, name=meta.get("name"), copy=False)
    return _with_extras(series, meta)


def _decode_rows(spec: dict[str, Any] | None, table: pa.Table, first: int, memory: Memory) -> pd.Index:
    index = pd.RangeIndex(table.num_rows) if spec is None else decode_index(spec, table.columns[first:], memory)
    if table.num_columns and len(index) != table.num_rows:
        msg = f"{len(index)} labels for {table.num_rows} rows"
        raise ValueError(msg)
    return index


def _with_extras(data: Any, meta: dict[str, Any]) -> Any:
    if "attrs" in meta:
        data.attrs = meta["attrs"]
    if "flags" in meta:
        data.flags.allows_duplicate_labels = bool(meta["flags"]["allows_duplicate_labels"])
    return data


Block = tuple[Any, np.ndarray]


def _blocks(arrays: list[Any], memory: Memory) -> list[Block]:
    """The arrays as blocks of a frame: values, and the places of the columns."""
    blocks: list[Block] = []
    by_dtype: dict[np.dtype[Any], list[int]] = {}
    for place, array in enumerate(arrays):
        if isinstance(array, np.ndarray):
            by_dtype.setdefault(array.dtype, []).append(place)
        else:
            blocks.append((array, np.array([place])))
    for dtype, places in by_dtype.items():
        loose = [place for place in places if not memory.holds(arrays[place])]
        inside = [place for place in places if memory.holds(arrays[place])] if len(loose) < len(places) else []
        blocks.extend((memory.matrix([arrays[place] for place in run]), np.array(run)) for run in _runs(inside, arrays))
        if len(arrays) > _FRAGMENTED and loose:  # they were copied on the way, and once more is cheap
            blocks.append((np.stack([arrays[place] for place in loose], dtype=dtype), np.array(loose)))
        else:
            blocks.extend((arrays[place].reshape(1, -1), np.array([place])) for place in loose)
    return blocks


def _runs(places: list[int], arrays: list[Any]) -> Iterator[list[int]]:
    """Runs of arrays that follow each other in memory at one distance."""
    run: list[int] = []
    step = last = 0
    for place in places:
        at = address(arrays[place])
        if run and (at - last == step or (len(run) == 1 and at - last >= arrays[place].nbytes)):
            step = at - last
        elif run:
            yield run
            run = []
        run.append(place)
        last = at
    if run:
        yield run


# -- arrays --------------------------------------------------------------------------------------------------


def _encode_bare(values: Any) -> Table:
    kind, array = encode_array(values)
    meta = {"freq": getattr(values, "_freq", None), "kind": kind}  # on arrays before pandas 3.1
    return Table(pa.Table.from_arrays([array], names=["values"]), _without_none(meta))


def _decode_bare(node: Table, _version: int) -> Any:
    values = decode_array(node.meta.get("kind"), node.table.column(0), Memory(node.memory))
    if isinstance(values, np.ndarray):
        values = pd.array(values, dtype=values.dtype, copy=False)
    if hasattr(values, "_freq"):
        values._freq = node.meta.get("freq")  # noqa: SLF001
    return values


# -- summaries -----------------------------------------------------------------------------------------------


def _summarize_frame(frame: pd.DataFrame) -> dict[str, Any]:
    names = _unique(map(_brief, frame.columns[:_SHOWN_DTYPES]), set())
    dtypes = dict(zip(names, (str(dtype) for dtype in frame.dtypes.iloc[:_SHOWN_DTYPES]), strict=True))
    head = [_shown(frame.iloc[:_SHOWN_ROWS, place]) for place in range(min(frame.shape[1], _SHOWN_COLUMNS))]
    return {"shape": list(frame.shape), "dtypes": dtypes, "head": [list(row) for row in zip(*head, strict=True)]}


def _summarize_series(series: pd.Series[Any]) -> dict[str, Any]:
    head = [[cell] for cell in _shown(series.iloc[:_SHOWN_ROWS])]
    return {"shape": [len(series)], "dtypes": {_brief(series.name): str(series.dtype)}, "head": head}


def _summarize_bare(values: Any) -> dict[str, Any]:
    return {"shape": [len(values)], "dtypes": {"values": str(values.dtype)}}


def _shown(column: pd.Series[Any]) -> list[str]:
    try:
        return [_brief(value) for value in column]
    except Exception:  # noqa: BLE001 - pandas fails at times that it can hold and not convert, in zones of dateutil 4
        return ["…"] * len(column)


def _brief(value: Any) -> str:
    """A few characters for people; never raises, and is text that any JSON column holds."""
    try:
        text = reprlib.repr(value) if isinstance(value, list | tuple | dict | set | bytes) else str(value)
    except Exception:  # noqa: BLE001 - an object of the user's may raise anything
        text = f"<{type(value).__qualname__}>"
    text = _text(text[: _SHOWN_CHARACTERS + 1])
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


_ARRAYS = [getattr(pd.arrays, name) for name in dir(pd.arrays) if name.endswith("Array")]
_OLD_ARRAYS = (
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
    "pandas.core.arrays.string_.StringArrayNumpySemantics",
)
CODECS = (
    Codec("pandas.DataFrame", (pd.DataFrame,), _encode_frame, _decode_frame, summarize=_summarize_frame),
    Codec("pandas.Series", (pd.Series,), _encode_series, _decode_series, summarize=_summarize_series),
    Codec(
        "pandas.array",
        (*_ARRAYS, pd.Categorical, *_OLD_ARRAYS),
        _encode_bare,
        _decode_bare,
        summarize=_summarize_bare,
    ),
)

"""Many short texts as one, in which a line feed stands between two: labels that have no Arrow column of their own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_xcom.codecs.builtin.pandas.number_columns import one_chunk

_BETWEEN = "\n"


def joined_texts(column: pa.Array | pa.ChunkedArray) -> str | None:
    """Return the texts of a column of ``large_string`` without nulls as one.

    None if one of them has a line feed, or U+0000, which is no JSON text that every database takes.
    """
    array = one_chunk(column)
    whole = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
    text: str = pc.binary_join(whole, pa.scalar(_BETWEEN, array.type))[0].as_py()
    return text if text.count(_BETWEEN) == len(array) - 1 and "\0" not in text else None


def split_texts(text: str) -> pa.Array:
    """Return the column that :func:`joined_texts` was given, one of at least one text."""
    data = text.encode()
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(_BETWEEN))
    count = len(ends)
    offsets = np.zeros(count + 2, np.int64)
    offsets[1:-1] = ends - np.arange(count)
    offsets[-1] = len(data) - count
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data.translate(None, _BETWEEN.encode()))]
    return pa.Array.from_buffers(pa.large_string(), count + 1, buffers, null_count=0)

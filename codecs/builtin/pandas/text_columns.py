"""Many short texts as one, in which a line feed stands between two: labels that have no Arrow column of their own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from airflow_xcom.codecs.builtin.pandas.number_columns import one_chunk

_BETWEEN = "\n"


def joined_texts(column: pa.Array | pa.ChunkedArray) -> str | None:
    """Return the texts of a column of ``large_string`` without nulls as one.

    None if one of them has a line feed, or U+0000, which is no JSON text that every database takes.
    """
    array = one_chunk(column)
    between = len(array) - 1
    if between < 0:
        return None
    _, starts, data = array.buffers()
    offsets = np.frombuffer(starts, np.int64, between + 2, 8 * array.offset)
    texts = np.frombuffer(b"" if data is None else data, np.uint8)[offsets[0] : offsets[-1]]
    joined = np.full(len(texts) + between, ord(_BETWEEN), np.uint8)
    is_text = np.ones(len(joined), bool)
    is_text[offsets[1:-1] + np.arange(-offsets[0], between - offsets[0])] = False
    joined[is_text] = texts
    text = joined.tobytes().decode()
    return text if text.count(_BETWEEN) == between and "\0" not in text else None


def split_texts(text: str) -> pa.Array:
    """Return the column that :func:`joined_texts` was given, one of at least one text."""
    data = text.encode()
    (ends,) = (np.frombuffer(data, np.uint8) == ord(_BETWEEN)).nonzero()
    count = len(ends)
    offsets = np.zeros(count + 2, np.int64)
    offsets[1:-1] = ends - np.arange(count)
    offsets[-1] = len(data) - count
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data.translate(None, _BETWEEN.encode()))]
    return pa.Array.from_buffers(pa.large_string(), count + 1, buffers, null_count=0)

"""No part of a forged payload is used for two things: a codec may write to one when the other was checked already."""

from __future__ import annotations

import struct

import msgpack
import numpy as np
import pandas as pd
import pytest

from airflow_xcom.codecs import CorruptPayloadError, decode, encode

FRAME = pd.DataFrame({"text": ["a", "b", "c"] * 1000, "first": np.arange(3000), "second": np.arange(3000.0)})


def test_columns_that_lie_in_each_other_are_refused() -> None:
    payload = encode(FRAME)
    data = payload.to_bytes()
    size = FRAME["first"].to_numpy().nbytes
    found = [place for place in range(len(data) - 16) if _is_buffer(data, place, size)]
    assert len(found) == 2, "the descriptions of the buffers of the two columns of numbers"
    first, second = found
    forged = bytearray(data)
    forged[second : second + 16] = data[first : first + 16]
    with pytest.raises(CorruptPayloadError, match="used more than once"):
        decode(forged, payload.format)
    for moved in (8, -8):
        forged = bytearray(data)
        (offset,) = struct.unpack_from("<q", data, second)
        struct.pack_into("<q", forged, second, struct.unpack_from("<q", data, first)[0] + moved)
        with pytest.raises(CorruptPayloadError):
            decode(forged, payload.format)
        assert offset


def _is_buffer(data: bytes, place: int, size: int) -> bool:
    offset, length = struct.unpack_from("<qq", data, place)
    return bool(length == size and 0 <= offset < len(data) and offset % 64 == 0)


def test_a_buffer_that_is_used_twice_is_refused() -> None:
    payload = encode([np.arange(2000.0), np.arange(2000.0)])
    data = payload.to_bytes()
    first, second = (msgpack.packb(msgpack.ExtType(1, msgpack.packb(index))) for index in (0, 1))
    assert data.count(first) == data.count(second) == 1
    assert len(decode(data, payload.format)) == 2
    with pytest.raises(CorruptPayloadError, match="the buffer 0 is used more than once"):
        decode(data.replace(second, first), payload.format)

"""What a forged table claims is checked as Arrow checks it, by the short way for ASCII, too."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_xcom.codecs import CorruptPayloadError, UnsupportedValueError, decode, encode
from airflow_xcom.codecs.formats.arrow import validation as arrow_checks
from airflow_xcom.codecs.formats.arrow.validation import check_values
from airflow_xcom.codecs.payload import decode_part

ROWS = 5000
WIDTH = 8  # bytes of each text


def text(
    kind: pa.DataType,
    *,
    at: int = 0,
    data: bytes | None = None,
    offset: tuple[int, int] | None = None,
    nulls: tuple[bytes, int] | None = None,
) -> pa.Table:
    """A table of a column of text, with a fault: bytes at some place, an offset, or bits of nulls and their number."""
    memory = bytearray(b"abcdefgh" * ROWS)
    memory[at : at + len(data or b"")] = data or b""
    offsets = np.arange(0, (ROWS + 1) * WIDTH, WIDTH, np.int64 if pa.types.is_large_string(kind) else np.int32)
    if offset:
        offsets[offset[0]] = offset[1]
    bits, count = nulls or (None, 0)
    buffers = [bits and pa.py_buffer(bits), pa.py_buffer(offsets), pa.py_buffer(memory)]
    return pa.table({"text": pa.Array.from_buffers(kind, ROWS, buffers, count)})


def takes_the_short_way(table: pa.Table) -> bool:
    return all(arrow_checks._is_ascii(chunk) for chunk in table.column(0).chunks)


@pytest.fixture(autouse=True)
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many of them, of which the last is not full."""
    monkeypatch.setattr(arrow_checks, "_PIECE", 3000)


ALL_VALID = b"\xff" * (ROWS // 8)
FAULTS: dict[str, dict[str, Any]] = {
    "a byte that is no UTF-8, in the middle": {"at": 20_001, "data": b"\xff"},
    "a byte that is no UTF-8, at the end": {"at": ROWS * WIDTH - 1, "data": b"\x80"},
    "a letter of two bytes, one at the end of a text and one at the beginning of the next": {
        "at": 7,
        "data": "ü".encode(),
    },
    "an offset that goes back": {"offset": (2000, 8)},
    "an offset beyond the memory, and back": {"offset": (2000, 1 << 30)},
    "an offset before the memory": {"offset": (2000, -8)},
    "nulls that are none": {"nulls": (ALL_VALID, 3)},
}
KINDS = pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)


@KINDS
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_as_by_arrow(kind: pa.DataType, fault: str) -> None:
    table = text(kind, **FAULTS[fault])
    with pytest.raises(pa.ArrowInvalid):
        table.validate(full=True)
    with pytest.raises(pa.ArrowInvalid):
        check_values(table)


@KINDS
@pytest.mark.parametrize(
    "made",
    [
        {},
        {"at": 8, "data": "ü".encode()},
        {"nulls": (ALL_VALID, 0)},
        {"nulls": (b"\x7f" + ALL_VALID[1:], 1)},
        {"offset": (0, 5)},
        {"offset": (ROWS, ROWS * WIDTH - 8)},
    ],
    ids=str,
)
def test_what_has_none_is_valid(kind: pa.DataType, made: dict[str, Any]) -> None:
    table = text(kind, **made)
    table.validate(full=True)
    check_values(table)


@KINDS
@pytest.mark.parametrize("begin", [0, 1, 63, 100])
@pytest.mark.parametrize("last", [True, False])
def test_what_is_cut_out_of_a_larger_one_is_looked_at_there(kind: pa.DataType, begin: int, *, last: bool) -> None:
    rows = ROWS - 101
    at = (begin + rows) * WIDTH - 1 if last else begin * WIDTH
    table = text(kind, at=at, data=b"\xff")
    with pytest.raises(pa.ArrowInvalid):
        check_values(table.slice(begin, rows))
    beside = table.slice(begin, rows - 1) if last else table.slice(begin + 1, rows - 1)
    check_values(beside)
    assert takes_the_short_way(beside)


@KINDS
@pytest.mark.parametrize(("place", "offset"), [(0, -8), (ROWS, ROWS * WIDTH + 1), (ROWS, -1)])
def test_the_ends_of_text_are_within_its_memory(kind: pa.DataType, place: int, offset: int) -> None:
    """pyarrow makes no such array, but reads it."""
    sink = pa.BufferOutputStream()
    table = text(kind)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    offsets = np.frombuffer(table.column(0).chunk(0).buffers()[1], np.int64 if kind == pa.large_string() else np.int32)
    forged = offsets.copy()
    forged[place] = offset
    written = sink.getvalue().to_pybytes()
    assert written.count(offsets.tobytes()) == 1
    read = pa.ipc.open_stream(written.replace(offsets.tobytes(), forged.tobytes())).read_all()
    with pytest.raises(pa.ArrowInvalid):
        check_values(read)


def test_other_columns_are_checked_as_well() -> None:
    codes = pa.Array.from_buffers(pa.int8(), ROWS, [None, pa.py_buffer(struct.pack(f"{ROWS}b", *[1] * ROWS))])
    coded = pa.DictionaryArray.from_arrays(codes, pa.array(["only"]), safe=False)
    table = text(pa.large_string()).append_column("coded", coded)
    with pytest.raises(pa.ArrowInvalid):
        check_values(table)


def test_every_chunk_is_looked_at() -> None:
    sound, forged = text(pa.string()), text(pa.string(), at=20_001, data=b"\xff")
    with pytest.raises(pa.ArrowInvalid):
        check_values(pa.concat_tables([sound, forged]))


@KINDS
def test_arrow_need_not_look_at_ascii_again(kind: pa.DataType) -> None:
    assert takes_the_short_way(text(kind))


def read_part(data: bytearray, _form: str) -> Any:
    return decode_part(lambda ranges: [memoryview(data)[slice(*part)] for part in ranges], len(data), columns=["text"])


@pytest.mark.parametrize("rows", [10, ROWS])
@pytest.mark.parametrize(
    ("wrap", "read"),
    [(lambda frame: frame, decode), (lambda frame: [frame], decode), (lambda frame: frame, read_part)],
    ids=["frame", "frame in a list", "part of a frame"],
)
def test_a_forged_payload_is_refused(
    rows: int, wrap: Callable[[pd.DataFrame], Any], read: Callable[[bytearray, str], Any]
) -> None:
    payload = encode(wrap(pd.DataFrame({"text": ["abcdefgh"] * rows, "number": range(rows)})))
    data = bytearray(payload.to_bytes())
    read(bytearray(data), payload.format)
    data[data.rindex(b"abcdefgh")] = 0xFF
    with pytest.raises(CorruptPayloadError):
        read(data, payload.format)


def views(length: int, *rest: int, kind: pa.DataType | None = None) -> pa.Array:
    """A text of 20 bytes, and the view of a null of this length, prefix, buffer and start."""
    data = b"abcdefghijklmnopqrst"
    held = struct.pack("<i4s2i", len(data), data[:4], 0, 0) + struct.pack("<4i", length, *rest)
    buffers = [pa.py_buffer(b"\1"), pa.py_buffer(held), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind or pa.string_view(), 2, buffers)


NESTED: dict[str, Callable[[pa.Array], pa.Array]] = {
    "column": lambda array: array,
    "slice": lambda array: array.slice(1),
    "list": lambda array: pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), array),
    "list of one length": lambda array: pa.FixedSizeListArray.from_arrays(array, 2),
    "struct": lambda array: pa.StructArray.from_arrays([array], ["a"]),
    "map": lambda array: pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), pa.array(["a", "b"]), array),
    "dictionary": lambda array: pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), array),
    "runs": lambda array: pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), array),
    "union": lambda array: pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [array]),
}


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
@pytest.mark.parametrize("null", [(-1, 0, 0, 0), (20, 0, 0, 1), (20, 0, 0, -1), (20, 0, 1, 0), (20, 0, -1, 0)], ids=str)
def test_the_view_of_a_null_lies_within_its_memory(null: tuple[int, ...], kind: pa.DataType, nested: str) -> None:
    """Arrow does not look at it, and ends the process when it casts the column to text; so does polars."""
    table = pa.table({"text": NESTED[nested](views(*null, kind=kind))})
    table.validate(full=True)
    with pytest.raises(pa.ArrowInvalid):
        check_values(table)
    with pytest.raises(UnsupportedValueError):
        encode(table)


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("null", [(0, 0, 0, 0), (12, -1, -1, -1), (20, 0, 0, 0), (5, 0, 0, 15)], ids=str)
def test_the_view_of_a_null_may_hold_what_it_was(null: tuple[int, ...], nested: str) -> None:
    """As polars leaves it where a condition makes a value null."""
    check_values(pa.table({"text": NESTED[nested](views(*null))}))


@pytest.mark.parametrize("read", [decode, read_part])
def test_a_forged_view_is_not_pulled(read: Callable[[Any, str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("airflow_xcom.codecs.builtin.arrow.values.check_values", lambda _: None)
        payload = encode(pa.table({"text": views(-1, 0, 0, 0)}))
        data = bytearray(payload.to_bytes())
    with pytest.raises(CorruptPayloadError):
        read(data, payload.format)

"""A list of large items is written with an index, by which each of them is read from its own bytes."""

from __future__ import annotations

import json
from base64 import b64encode
from decimal import Decimal
from typing import Any

import independent
import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_xcom.codecs import CorruptPayloadError, EncodeError, NewerFormatError, decode, encode
from airflow_xcom.codecs.elements import decode_item, read_index
from airflow_xcom.codecs.inspection import outline
from airflow_xcom.codecs.payload import Payload, decode_json
from airflow_xcom.codecs.testing import difference


def frame(seed: int, rows: int = 2000) -> pd.DataFrame:
    numbers = np.random.default_rng(seed).random(rows)
    return pd.DataFrame({"x": numbers, "name": [f"row {row % 7}" for row in range(rows)]})


ARRAYS = [np.arange(5000.0) + number for number in range(12)]
LISTS: dict[str, list[Any]] = {
    "frames": [frame(number) for number in range(5)],
    "records": [{"n": number, "frame": frame(number), "at": Decimal(number)} for number in range(40)],
    "arrays": ARRAYS,
    "texts": ["é" * 20_000, "\ud800" * 30_000, "", None, "x" * 70_000, ["y" * 9000, {"k": b"z" * 9000}]],
    "trees": [[{"a": [at, number / 7], "b": f"n{number}"} for number in range(2000)] for at in range(3)],
    "objects within": [(ARRAYS[at], [ARRAYS[at], {"again": ARRAYS[at]}]) for at in range(3)],
}


def items(payload: Payload, blob: bytes) -> list[Any]:
    """Return each item, from the header and its own bytes alone."""
    index = read_index(memoryview(payload.index), len(blob))
    return [
        decode_item(index, number, memoryview(bytearray(blob[slice(*place)])))
        for number, place in enumerate(index.ranges)
    ]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd:3", "auto"])
@pytest.mark.parametrize("name", LISTS)
def test_items_are_read_singly_and_all_together(name: str, compression: str) -> None:
    payload = encode(LISTS[name], compression=compression)
    blob = payload.to_bytes()
    assert payload.size == len(blob)
    assert blob.startswith(payload.index)
    assert difference(LISTS[name], items(payload, blob)) is None
    assert difference(LISTS[name], decode(blob, payload.format)) is None
    assert difference(LISTS[name], decode_json(json.loads(json.dumps(payload.to_json())))) is None


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("name", LISTS)
def test_another_reader_finds_the_same(name: str, compression: str) -> None:
    plain, payload = encode(tuple(LISTS[name])), encode(LISTS[name], compression=compression)
    expected = independent.read_blob(plain.to_bytes(), "msgpack").node
    assert independent.text(independent.read_blob(payload.to_bytes(), "msgpack")) == independent.text(expected)


def test_what_stands_twice_in_an_item_is_one_object_again() -> None:
    payload = encode(LISTS["objects within"])
    for array, (again, third) in items(payload, payload.to_bytes()):
        assert array is again is third["again"]


OTHERS: dict[str, Any] = {
    "an object in several items": [ARRAYS[0], ARRAYS[1], ARRAYS[0]],
    "a part in several items": [(ARRAYS[0], 1), (ARRAYS[0], 2)],
    "one item": [frame(1, 20_000)],
    "little in all": [np.arange(1000.0), np.arange(1001.0)],
    "small items": [{"n": number, "text": "x" * 100} for number in range(2000)],
    "small arrays": [np.arange(3.0) + number for number in range(5000)],
    "small but one": ["x" * 100_000, *["y"] * 50],
    "a tuple": tuple(ARRAYS),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_lists_have_no_index(name: str) -> None:
    payload = encode(OTHERS[name])
    assert payload.index is None
    assert payload.to_bytes()[14] == 1  # the version
    assert difference(OTHERS[name], decode(payload.to_bytes(), payload.format)) is None


def test_no_item_is_encoded_to_find_out_whether_it_is_large() -> None:
    schema = pa.schema({"a": pa.int64()})
    value = [pa.RecordBatchReader.from_batches(schema, [pa.record_batch({"a": [at]})]) for at in range(9)]
    back = decode(encode(value).to_bytes(), "msgpack")
    assert [reader.read_all()["a"].to_pylist() for reader in back] == [[at] for at in range(9)]


def test_an_error_leads_into_the_item() -> None:
    with pytest.raises(EncodeError) as caught:
        encode([*LISTS["records"][:3], {"frame": frame(9), "bad": object()}])
    assert caught.value.path == 'value[3]["bad"]'


def test_a_list_nested_too_deeply_for_json_stands_in_the_row_without_an_index() -> None:
    deep: Any = "x" * 40_000
    for _ in range(200):
        deep = [deep]
    value = [["y" * 40_000], ["z" * 40_000], deep]
    payload = encode(value)
    assert payload.index is not None
    assert decode_json(payload.to_json()) == value


def test_an_item_is_checked() -> None:
    payload = encode(ARRAYS)
    blob = bytearray(payload.to_bytes())
    index = read_index(memoryview(payload.index), len(blob))
    start, stop = index.ranges[3]
    for place in (start, (start + stop) // 2, stop - 1):
        changed = bytearray(blob[start:stop])
        changed[place - start] ^= 1
        with pytest.raises(CorruptPayloadError, match="the element 3 has another digest"):
            decode_item(index, 3, memoryview(changed))
    with pytest.raises(CorruptPayloadError, match="another digest"):
        decode_item(index, 4, memoryview(blob[start:stop]))


BODY = encode(ARRAYS).to_bytes()
MAGIC, VERSION, TAGS, ENTRIES = msgpack.unpackb(encode(ARRAYS).index)
FORGED: dict[str, Any] = {
    "no entries": [],
    "one entry too few": ENTRIES[:-1],
    "one entry twice": [*ENTRIES, ENTRIES[-1]],
    "no list": 5,
    "short entries": [entry[:2] for entry in ENTRIES],
    "a size below zero": [[[-1], *ENTRIES[0][1:]], *ENTRIES[1:]],
    "a huge size": [[[2**63], *ENTRIES[0][1:]], *ENTRIES[1:]],
    "a huge tree": [[ENTRIES[0][0], 2**62, b""], *ENTRIES[1:]],
    "a size that is no number": [[["x"], *ENTRIES[0][1:]], *ENTRIES[1:]],
    "a size before compression that is huge": [[[[40000, "lz4", 2**40]], *ENTRIES[0][1:]], *ENTRIES[1:]],
    "buffers of another item": [[[], *ENTRIES[0][1:]], [[40000, 40000], *ENTRIES[1][1:]], *ENTRIES[2:]],
}


def _read_first(blob: memoryview) -> Any:
    index = read_index(blob, len(blob))
    return decode_item(index, 0, blob[slice(*index.ranges[0])])


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_index_is_corrupt(name: str) -> None:
    head = msgpack.packb([MAGIC, VERSION, TAGS, FORGED[name]])
    start = len(encode(ARRAYS).index)
    forged = head + b"\xc0" * (-len(head) % 64) + BODY[start + -start % 64 :]
    with pytest.raises(CorruptPayloadError):
        decode(forged, "msgpack")
    with pytest.raises(CorruptPayloadError):
        _read_first(memoryview(bytearray(forged)))


def test_a_payload_in_a_row_has_no_index() -> None:
    with pytest.raises(NewerFormatError, match="version 3"):
        decode_json({"$": ["blob", b64encode(BODY).decode()]})


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_outline_shows_the_first_items_and_reads_no_others(compression: str) -> None:
    payload = encode(LISTS["records"], compression=compression)
    blob = payload.to_bytes()
    ranges: list[tuple[int, int]] = []

    def fetch(wanted: Any) -> list[memoryview]:
        ranges.extend(wanted)
        return [memoryview(blob)[slice(*part)] for part in wanted]

    found = outline(fetch, len(blob))
    assert (found["version"], found["tree"]["length"], len(found["tree"]["items"])) == (3, 40, 8)
    first = found["tree"]["items"][0]["items"]
    assert first[0] == [{"type": "str", "value": "n"}, {"type": "int", "value": 0}]
    assert first[1][1]["tag"] == "pandas.DataFrame"
    assert len(found["buffers"]) == 40
    assert sum(stop - start for start, stop in ranges) < len(blob) / 2
    json.dumps(found)

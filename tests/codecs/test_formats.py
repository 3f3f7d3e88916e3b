"""The three syntaxes: what stands in the bytes, and what damaged bytes give."""

from __future__ import annotations

import gc
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_xcom.codecs import (
    CircularReferenceError,
    Codec,
    CorruptPayloadError,
    DecodeError,
    NestingError,
    NewerFormatError,
    UnsupportedTypeError,
    UnsupportedValueError,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.formats.msgpack import container
from airflow_xcom.codecs.formats.msgpack.reader import Reader
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import difference

MIXED = {"a": np.arange(2000.0), "b": [np.arange(3, dtype="i2"), (b"x", "y")], "c": bytearray(b"z" * 9000)}


def nested(depth: int, wrap: Any = lambda inner: [inner]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def test_a_blob_is_a_stream_of_messagepack_objects_with_aligned_buffers() -> None:
    data = encode(MIXED).to_bytes()
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(data)
    objects = list(unpacker)
    header, tree, *rest = objects
    magic, version, tags, sizes, tree_size = header
    assert (magic, version) == ("airflow_xcom", 1)
    assert [tag for tag, _ in tags] == ["numpy.ndarray", "tuple", "bytearray"]
    assert set(tree) == {"a", "b", "c"}
    buffers = [item for item in rest if item is not None]
    assert [len(buffer) for buffer in buffers] == sizes == [16000, 9000]
    assert tree_size > 0
    for buffer in buffers:
        assert data.index(buffer) % 64 == 0
    assert (np.frombuffer(buffers[0]) == MIXED["a"]).all()


def test_a_buffer_beyond_the_size_of_a_bin_object_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_LARGEST_BIN", 64 * 100)
    payload = encode(MIXED)
    data = payload.to_bytes()
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(data)
    sizes = [len(item) for item in list(unpacker)[2:] if item is not None]
    assert sizes == [6400, 6400, 3200, 6400, 2600]
    back = decode(data, payload.format)
    assert difference(MIXED, back) is None
    back["a"][0] = 5


def test_text_that_utf8_cannot_hold_costs_no_buffer_twice() -> None:
    value = [np.arange(2000.0), "\ud800", {"\udfff": np.arange(3000.0)}]
    data = encode(value).to_bytes()
    assert _sizes(data) == [16000, 24000]
    assert difference(value, decode(data, "msgpack")) is None


def _sizes(data: bytes) -> Any:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return unpacker.unpack()[3]


@pytest.mark.parametrize("bits", ["7ff8000000000000", "fff8000000000000", "7ff8000000000001", "fff800000000beef"])
def test_the_bits_of_a_nan_are_kept(bits: str) -> None:
    payload = encode(struct.unpack(">d", bytes.fromhex(bits))[0])
    for back in (decode(payload.to_bytes(), payload.format), decode_json(json.loads(json.dumps(payload.to_json())))):
        assert struct.pack(">d", back).hex() == bits


def test_bytes_are_the_same_every_time() -> None:
    assert encode(MIXED).to_bytes() == encode(MIXED).to_bytes()


def test_more_tags_than_there_are_codes() -> None:
    classes = [type(f"Class{index}", (), {"__module__": __name__}) for index in range(130)]
    for index, cls in enumerate(classes):
        registry.register(
            Codec(f"test.class{index}", (cls,), lambda _, i=index: i, lambda node, _, c=cls: (c, node)), replace=True
        )
    payload = encode([cls() for cls in classes])
    expected = list(zip(classes, range(130), strict=True))
    assert decode(payload.to_bytes(), payload.format) == expected
    assert decode_json(payload.to_json()) == expected


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_depth_of_natives_is_bounded(wrap: Any) -> None:
    for depth in (50, 99, 100, 101, 300, 499):
        payload = encode(nested(depth, wrap))
        assert decode(payload.to_bytes(), payload.format) == nested(depth, wrap)
        assert decode_json(json.loads(json.dumps(payload.to_json()))) == nested(depth, wrap)
    for depth in (501, 1000, 2000, 20_000):
        with pytest.raises(NestingError, match="deeper than 500 levels"):
            encode(nested(depth, wrap))


def test_depth_of_tagged_values_is_bounded() -> None:
    for depth in (20, 60, 99):
        payload = encode(nested(depth, lambda inner: (inner,)))
        assert decode(payload.to_bytes(), payload.format) == nested(depth, lambda inner: (inner,))
        assert decode_json(payload.to_json()) == nested(depth, lambda inner: (inner,))
    for depth in (150, 10_000):
        with pytest.raises(NestingError, match=r"value\[0\]\[0\].* deeper than 100 levels") as caught:
            encode(nested(depth, lambda inner: (inner,)))
        assert len(caught.value.path) < 400


def test_a_cycle_is_refused() -> None:
    direct: list[Any] = []
    direct.append(direct)
    through_dict: dict[str, Any] = {"a": {}}
    through_dict["a"]["b"] = [through_dict]
    for value in (direct, through_dict, {"x": [direct]}):
        with pytest.raises(CircularReferenceError, match="contains itself"):
            encode(value)
    through_tuple: list[Any] = []
    through_tuple.append((through_tuple,))
    with pytest.raises((CircularReferenceError, NestingError)):
        encode(through_tuple)


def test_one_object_in_two_places_is_no_cycle() -> None:
    shared = [1, 2]
    payload = encode({"a": shared, "b": [shared, shared], "t": (shared,)})
    assert decode(payload.to_bytes(), payload.format) == {"a": [1, 2], "b": [[1, 2], [1, 2]], "t": ([1, 2],)}


class Model:
    pass


class Holder:
    def __init__(self) -> None:
        self.model = Model()


class Slotted:
    __slots__ = ("item",)

    def __init__(self) -> None:
        self.item = {"deep": Model()}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Model(), "value"),
        ({"a": [1, 2, 3, Holder()]}, 'value["a"][3]'),
        ([(1, {"k": (Model(),)})], 'value[0][1]["k"][0]'),
        ({"k": {"s": frozenset({len})}}, 'value["k"]["s"]{<built-in function len>}'),
        ({(1, Model): 5}, "value.keys()[(1, <class 'test_formats.Model'>)][1]"),
        ([[memoryview(b"a")]], "value[0][0]"),
        ({"a" * 100: Model()}, 'value["' + "a" * 56 + "...]"),
    ],
)
def test_a_refusal_says_where(value: Any, path: str) -> None:
    with pytest.raises((UnsupportedTypeError, UnsupportedValueError)) as caught:
        encode(value)
    assert caught.value.path == path
    assert str(caught.value).startswith(path + ": ")


def test_a_refusal_goes_into_registered_objects() -> None:
    registry.register(Codec("test.holder", (Holder,), lambda value: value.model, lambda node, _: node), replace=True)
    registry.register(Codec("test.slotted", (Slotted,), lambda value: value.item, lambda node, _: node), replace=True)
    for value, path in ((["x", Holder()], "value[1].model"), ({"s": Slotted()}, 'value["s"].item["deep"]')):
        with pytest.raises(UnsupportedTypeError, match=r"no codec handles test_formats.Model; register one") as caught:
            encode(value)
        assert caught.value.path == path


@pytest.mark.parametrize("value", [msgpack.ExtType(16, b"\x01"), msgpack.Timestamp(1), memoryview(b"x")])
def test_what_messagepack_would_take_for_its_own_is_refused(value: Any) -> None:
    for nest in (value, [value], {"a": {"b": value}}, ([value],)):
        with pytest.raises((UnsupportedTypeError, UnsupportedValueError)):
            encode(nest)


def test_the_garbage_collector_is_on_again() -> None:
    payload = encode({"rows": [(i, "x" * 20) for i in range(100_000)]})
    assert len(payload.to_bytes()) > 1 << 20
    assert gc.isenabled()
    decode(payload.to_bytes(), payload.format)
    assert gc.isenabled()
    gc.disable()
    try:
        decode(payload.to_bytes(), payload.format)
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(DecodeError):
        decode(payload.to_bytes()[:-1], payload.format)
    assert gc.isenabled()


def header(*fields: Any) -> bytes:
    return bytes(msgpack.packb(list(fields)))


def ext(code: int, data: bytes) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(code, data)))


def blob(tree: bytes, tags: Any = (), sizes: Any = (), rest: bytes = b"") -> bytes:
    return header("airflow_xcom", 1, tags, sizes, len(tree)) + tree + rest


def deep_extension(levels: int) -> bytes:
    data = b"\x01"
    for _ in range(levels):
        data = ext(16, b"\x91" + data)
    return data


@pytest.mark.parametrize("wrap", [lambda item: b"\x91" + item, lambda item: ext(16, b"\x91" + item)])
def test_a_timestamp_of_messagepack_is_an_int(wrap: Callable[[bytes], bytes]) -> None:
    packed: bytes = msgpack.packb(msgpack.Timestamp(1, 5))
    (value,) = decode(blob(wrap(packed), tags=[["tuple", 1]]), "msgpack")
    assert (type(value), value) == (int, 1_000_000_005)
    reader = Reader((), (), lambda *_: list, lambda *_: None, budget=Budget())
    assert list(reader.unpack_each(memoryview(packed), [0, len(packed)])) == [value]


DAMAGED = {
    "empty": b"",
    "not messagepack": b"\xc1",
    "another object": b"\x01",
    "an empty list": b"\x90",
    "no version": header("airflow_xcom"),
    "another magic": header("pickle", 1, [], [], 0),
    "header too short": header("airflow_xcom", 1, []),
    "header cut": header("airflow_xcom", 1, [], [], 0)[:5],
    "tags are no list": blob(b"\x01", tags=5),
    "tag is no text": blob(b"\x01", tags=[[1, 1]]),
    "version is no int": blob(b"\x01", tags=[["tuple", "1"]]),
    "tree too long": header("airflow_xcom", 1, [], [], 1000) + b"\x01",
    "tree size negative": header("airflow_xcom", 1, [], [], -1) + b"\x01",
    "tree size is text": header("airflow_xcom", 1, [], [], "1") + b"\x01",
    "tree cut": blob(b"\x92\x01"),
    "tree with more behind": blob(b"\x01\x01"),
    "bytes behind": blob(b"\x01", rest=b"\x01"),
    "buffer missing": blob(ext(1, b"\x00"), sizes=[8]),
    "buffer size huge": blob(ext(1, b"\x00"), sizes=[2**60]),
    "buffer size negative": blob(ext(1, b"\x00"), sizes=[-8]),
    "buffer without its head": blob(ext(1, b"\x00"), sizes=[8], rest=b"\xc0" * 200),
    "buffer index beyond": blob(ext(1, b"\x05")),
    "buffer index negative": blob(ext(1, b"\xff")),
    "buffer index is text": blob(ext(1, b"\xa1a")),
    "unknown extension": blob(ext(7, b"\x01")),
    "tag index beyond": blob(ext(20, b"\x01"), tags=[["tuple", 1]]),
    "far tag malformed": blob(ext(15, b"\x01"), tags=[["tuple", 1]]),
    "far tag index is text": blob(ext(15, b"\x92\xa1a\x01"), tags=[["tuple", 1]]),
    "table malformed": blob(ext(2, b"\x01")),
    "table without a stream": blob(ext(2, b"\x92\xc0" + ext(0, b"abc"))),
    "table of no buffer": blob(ext(2, b"\x92\xc0\x01")),
    "unhashable key": blob(b"\x81\x90\x01"),
    "bad UTF-8": blob(b"\xa1\xff"),
    "deep lists": blob(b"\x91" * 10_000 + b"\x01"),
    "deep extensions": blob(deep_extension(200), tags=[["tuple", 1]]),
    "huge list announced": blob(b"\xdd\xff\xff\xff\xff"),
    "huge map announced": blob(b"\xdf\xff\xff\xff\xff"),
    "huge bytes announced": blob(b"\xc6\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_messagepack_is_corrupt(name: str) -> None:
    with pytest.raises(CorruptPayloadError):
        decode(DAMAGED[name], "msgpack")


def test_newer_bodies_are_refused_by_name() -> None:
    with pytest.raises(NewerFormatError, match="the MessagePack body has version 4"):
        decode(header("airflow_xcom", 4, "anything"), "msgpack")
    note = json.dumps({"version": 3}).encode()
    with pytest.raises(NewerFormatError, match="the Arrow body has version 3"):
        decode(arrow_file(note), "arrow")


def arrow_file(note: bytes | None) -> bytes:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata(None if note is None else {b"airflow_xcom": note})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "note", [None, b"", b"x", b"[]", b"{}", b'{"version":1}', b'{"version":1,"tag":1,"tag_version":1,"meta":1}']
)
def test_an_arrow_file_of_somebody_else_is_corrupt(note: bytes | None) -> None:
    with pytest.raises(CorruptPayloadError):
        decode(arrow_file(note), "arrow")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_damage_gives_a_typed_error_or_a_value(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([MIXED, pd.DataFrame({"a": [1.5, 2.5], "s": ["x", None]}), (1, {2: {3, 4}})]))
    payload = encode(value)
    damaged = bytearray(payload.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        decode(bytes(damaged), payload.format)


def test_read_only_memory_is_copied_and_writable_memory_is_used() -> None:
    payload = encode(np.arange(1000.0))
    data = payload.to_bytes()
    decode(data, payload.format)[0] = 5
    assert payload.to_bytes() == data
    memory = bytearray(data)
    decode(memory, payload.format)[0] = 5
    assert memory != data


@pytest.mark.parametrize("bits", ["7ff800000000002a", "fff8000000000000"])
def test_the_json_beside_a_table_keeps_the_bits_of_every_nan(bits: str) -> None:
    frame = pd.DataFrame({"a": [1]})
    (frame.attrs["nan"],) = struct.unpack(">d", bytes.fromhex(bits))
    payload = encode(frame)
    assert struct.pack(">d", decode(payload.to_bytes(), payload.format).attrs["nan"]).hex() == bits

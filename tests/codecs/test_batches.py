"""Lists that are alike all through are written in batches, and come back as they were."""

from __future__ import annotations

import datetime as dt
import gc
import json
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import independent
import msgpack
import numpy as np
import pytest

from airflow_xcom.codecs import (
    CircularReferenceError,
    ClassNotAllowedError,
    Codec,
    CorruptPayloadError,
    EncodeError,
    NestingError,
    UnsupportedTypeError,
    UnsupportedValueError,
    codec,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.bodies import body_of
from airflow_xcom.codecs.builtin.numpy.array import _put_arrays
from airflow_xcom.codecs.formats.arrow.file import stream_chunks
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION
from airflow_xcom.codecs.formats.msgpack.columnar import _PIECE, SMALLEST_BATCH
from airflow_xcom.codecs.formats.msgpack.extension_types import DEEPEST, TAGGED_COLUMNS
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.inspection import outline
from airflow_xcom.codecs.nodes import Columns
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import assert_identical, difference

MANY = 3 * SMALLEST_BATCH
LATE = 2050  # after two thousand that are written in pieces
NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


@dataclass
class Point:
    """Registered by the fixture."""

    x: float
    at: dt.datetime
    tags: Any = None


@dataclass
class Leg:
    """Stored by its name."""

    number: int
    at: dt.datetime | None = None
    next: Any = field(default=None, repr=False)

    @cached_property
    def double(self) -> int:
        return 2 * self.number


@dataclass(frozen=True, slots=True)
class Slotted:
    """Has no dict."""

    number: int
    text: str


@dataclass
class Empty:
    """Has no field."""


@dataclass
class Leaf:
    """Registered by the fixture, with a codec that is made for it."""

    number: int
    text: str


@attrs.define
class Plane:
    """Has slots, too."""

    name: str
    seats: int = 0


@attrs.define(slots=False)
class Loose:
    """Has a dict."""

    name: str


class Pair(NamedTuple):
    """A named tuple."""

    left: Any
    right: Any


class Wider(Pair):
    """May have attributes."""


def late(item: Any, number: int) -> Any:
    """Return the item in one of the last of two thousand records; else a number."""
    return item if number == LATE else number


class Subtext(str):
    """Equal to its text, and another class."""

    __slots__ = ()


@pytest.fixture(autouse=True)
def _points() -> Iterator[None]:
    made = Codec("test.point", (Point,), lambda point: vars(point).copy(), lambda node, _version: Point(**node))
    registry.register(made, replace=True)
    codec("test.leaf", replace=True)(Leaf)
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith(f"{__name__}."))
    yield
    registry.allow_classes(before)
    registry._forget(made)
    registry._forget(registry._by_tag["test.leaf"])
    registry._cache.clear()


def _blob(value: Any) -> Any:
    payload = encode(value)
    return decode(payload.to_bytes(), payload.format)


def _row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json())))


WAYS = pytest.mark.parametrize("through", [_blob, _row])


def _record(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "at": NOON + dt.timedelta(seconds=number),
        "amount": Decimal(number) / 100,
        "key": UUID(int=number),
        "note": None if number % 3 else "\u00e4",
        "seen": None if number % 2 else NOON,
        "point": Point(number / 2, NOON),
        "array": np.arange(number % 4),
        "nested": {"id": number, "tags": ["a"] * (number % 3)},
    }


def _with(made: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        object.__setattr__(made, name, value)
    return made


def _without(made: Any, name: str) -> Any:
    object.__delattr__(made, name)
    return made


# What is written part by part.
ALIKE: dict[str, Any] = {
    "legs": [Leg(number, NOON) for number in range(MANY)],
    "legs and None": [None, *(Leg(number) for number in range(MANY)), None],
    "legs of legs": [Leg(number, NOON, Leg(-number, None, [number])) for number in range(MANY)],
    "leaves": [Leaf(number, "x") for number in range(MANY)],
    "slotted": [Slotted(number, "x") for number in range(MANY)],
    "planes": [Plane("\u00e4", number) for number in range(MANY)],
    "loose": [Loose(str(number)) for number in range(MANY)],
    "pairs": [Pair(number, (number, NOON)) for number in range(MANY)],
    "pairs by name": {"a": [Pair(number, b"x") for number in range(MANY)]},
    "equal tuples": [(number, "x", NOON) for number in range(MANY)],
    "tuples of tuples": [((number, 1.5), (None, (number,))) for number in range(MANY)],
    "tuples with surrogates": [("\ud800", number) for number in range(MANY)],
    "tuples with impostors": [(bytearray(b"x"), number) for number in range(MANY)],
    "arrays": [np.arange(number, dtype="i2") for number in range(MANY)],
    "arrays of one length": [np.arange(3.0) + number for number in range(MANY)],
    "empty arrays": [np.empty(0) for _ in range(MANY)],
    "arrays that leave elements out": [np.arange(9)[number % 9 :: -2] for number in range(MANY)],
}
# What is much like it, and is not.
UNLIKE: dict[str, Any] = {
    "legs in another order": [_with(object.__new__(Leg), next=number, at=None, number=1) for number in range(MANY)],
    "a leg in another order": [*ALIKE["legs"], _with(object.__new__(Leg), at=None, number=1, next=2)],
    "a leg with a cached value": [*ALIKE["legs"], _with(Leg(1), double=3)],
    "two legs that take turns": [
        _with(object.__new__(Leg), number=1, at=2, next=3),
        *ALIKE["legs"],
        Leg(7),
        Point(1.0, NOON),
    ],
    "a leg that comes twice": [*ALIKE["legs"], *ALIKE["legs"]],
    "objects without fields": [Empty() for _ in range(MANY)],
    "tuples of two lengths": [(1, 2), (3,)] * MANY,
    "empty tuples": [()] * MANY,
    "tuples of sixteen": [tuple(range(number, number + 16)) for number in range(MANY)],
    "wider pairs": [Wider(number, 1) for number in range(MANY)],
    "arrays of two dtypes": [np.zeros(2, "i4"), np.zeros(2, "f4")] * MANY,
    "arrays of two integers that are equal": [np.zeros(2, code) for _ in range(MANY) for code in "lq"],
    "arrays with metadata": [np.zeros(2, np.dtype("f8", metadata={"unit": "m"})) for _ in range(MANY)],
    "arrays of two dimensions": [np.asfortranarray(np.ones((2, 3))) for _ in range(MANY)],
    "arrays of one and two dimensions": [np.ones(4).reshape(*shape) for _ in range(MANY) for shape in [(4,), (2, 2)]],
    "arrays of objects": [np.array([number, None]) for number in range(MANY)],
    "an array that comes twice": [np.ones(2)] * MANY,
}


RECORDS = [_record(number) for number in range(MANY)]
VALUES: dict[str, Any] = {
    "records": RECORDS,
    "records by name": {str(number): record for number, record in enumerate(RECORDS)},
    "records by number": dict(enumerate(RECORDS)),
    "records by tuple": {(number, "k"): record for number, record in enumerate(RECORDS)},
    "records deep down": {"a": [1, {"b": (RECORDS, {"c": RECORDS})}]},
    "records of records": [{"rows": [{"a": NOON, "b": number}] * MANY} for number in range(MANY)],
    "one key": [{"a": number} for number in range(MANY)],
    "no keys": [{} for _ in range(MANY)],
    "as few as can be": [{"a": 1}] * SMALLEST_BATCH,
    "fewer": [{"a": 1}] * (SMALLEST_BATCH - 1),
    "another order of keys": [{"a": 1, "b": 2}] * MANY + [{"b": 2, "a": 1}],
    "a key too few": [{"a": 1, "b": 2}] * MANY + [{"a": 1}],
    "a key too many": [{"a": 1, "b": 2}] * MANY + [{"a": 1, "b": 2, "c": 3}],
    "many with five keys": [dict.fromkeys("abcde", number) for number in range(2 * _PIECE + 1)],
    "another key after many": [{"a": 1, "b": 2}] * (_PIECE + 1) + [{"a": 1, "c": 2}],
    "an equal key after many": [{"1": 1}] * _PIECE + [{1: 1}],
    "as many keys, spread otherwise": [{"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1, "c": 1}] * MANY,
    "keys that take turns": [{"a": 1}, {"b": 2}] * MANY,
    "keys that are numbers": [{1: "a", 2: "b"}] * MANY,
    "keys that are equal": [{1: "a"}] * MANY + [{True: "a"}, {1.0: "a"}],
    "keys with surrogates": [{"\ud800": 1, "\0": 2}] * MANY,
    "values with surrogates": [{"a": "\ud800", "b": number} for number in range(MANY)],
    "impostors": [{"a": bytearray(b"x"), "b": b"y"} for _ in range(MANY)],
    "not only dicts": [{"a": 1}] * MANY + [None],
    "times": [NOON + dt.timedelta(days=number) for number in range(MANY)],
    "the same time": [NOON] * MANY,
    "times and None": [None, *[NOON] * MANY, None, NOON, None],
    "hardly any but None": [*[None] * MANY, NOON],
    "times with folds and zones": [NOON.replace(fold=number % 2, tzinfo=None) for number in range(MANY)],
    "times of two classes": [NOON, NOON.date()] * MANY,
    "points": [Point(number / 3, NOON, tags=[number]) for number in range(MANY)],
    "points by name": {str(number): Point(number / 3, NOON) for number in range(MANY)},
    "tuples": [(number, "x", NOON) for number in range(MANY)],
    "long tuples": [tuple(range(100)) for _ in range(MANY)],
    "sets": [{number} for number in range(MANY)],
    "large arrays": [np.arange(2000.0) + number for number in range(MANY)],
    "arrays of all sizes": [np.arange(float(number * 40)) for number in range(MANY)],
    "ints beyond 64 bits": [2**70 + number for number in range(MANY)] + [1],
    "NaT-like nodes": [np.float32(number) for number in range(MANY)],
    "masked": [np.ma.masked] * MANY,
    "a tuple of records": tuple(RECORDS),
    "a point of records": Point(1.0, NOON, tags=RECORDS),
    "an array of objects": np.array([NOON] * MANY + [None], dtype=object),
    "records that are no scalars from the third thousand on": [
        {"scalar": number, "tuple": late((number,), number), "int": late(2**70, number), "text": late("\ud800", number)}
        for number in range(2100)
    ],
    **ALIKE,
    **UNLIKE,
}


@WAYS
@pytest.mark.parametrize("name", VALUES)
def test_they_come_back_as_they_were(through: Callable[[Any], Any], name: str) -> None:
    assert difference(VALUES[name], through(VALUES[name])) is None


@pytest.mark.parametrize("name", VALUES)
def test_other_libraries_read_the_same_from_blob_and_row(name: str) -> None:
    payload = encode(VALUES[name])
    row = independent.read_json(json.loads(json.dumps(payload.to_json(), allow_nan=False)))
    assert independent.text(independent.read_blob(payload.to_bytes(), payload.format)) == independent.text(row)


def _codes(value: Any) -> set[int]:
    found: set[int] = set()

    def unpack(code: int, data: bytes) -> None:
        found.add(code)
        msgpack.unpackb(data, ext_hook=unpack, strict_map_key=False)

    packed = Writer(registry.for_type, stream_chunks, inline=True).pack(value)
    msgpack.unpackb(packed, ext_hook=unpack, strict_map_key=False)
    return found


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_alike_is_written_part_by_part(name: str) -> None:
    assert TAGGED_COLUMNS in _codes(ALIKE[name])


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_not_alike_is_not(name: str) -> None:
    assert TAGGED_COLUMNS not in _codes(UNLIKE[name])


@pytest.mark.parametrize("name", ["legs", "leaves", "planes", "pairs", "equal tuples", "arrays"])
def test_the_outline_is_that_of_each_by_itself(name: str) -> None:
    value = ALIKE[name]
    alone = [outline_of(item) for item in value[:8]]
    shown = outline_of(value)
    assert shown["items"] == alone
    assert shown["length"] == MANY


def outline_of(value: Any) -> Any:
    """Return the outline of a value that no row would hold."""
    blob = memoryview(b"".join(body_of(value, None, None, registry).chunks(NO_COMPRESSION)))
    return outline(lambda ranges: [blob[slice(*part)] for part in ranges], len(blob))["tree"]


def test_objects_come_back_without_a_dict_of_their_own() -> None:
    back = _blob([Leg(number) for number in range(MANY)])
    assert all(type(child) is not dict for child in gc.get_referents(*back))


@pytest.mark.parametrize("name", ["legs", "slotted", "planes", "loose", "pairs"])
def test_fields_that_a_class_has_no_more_are_told(name: str) -> None:
    value = ALIKE[name]
    names = getattr(type(value[0]), "__annotations__", None) or type(value[0])._fields
    blob = encode(value).to_bytes()
    old = next(iter(names)).encode()
    assert blob.count(old) >= 1
    with pytest.raises(CorruptPayloadError, match="has the fields"):
        decode(blob.replace(old, old.upper()), "msgpack")


def test_a_class_that_is_not_allowed_is_not_restored() -> None:
    payload = encode(ALIKE["legs"])
    registry.allow_classes(lambda _: False)
    with pytest.raises(ClassNotAllowedError, match="Leg"):
        decode(payload.to_bytes(), payload.format)
    with pytest.raises(UnsupportedTypeError, match="Leg"):
        encode(ALIKE["legs"])


def test_an_attribute_that_would_be_lost_is_refused() -> None:
    for bad, message in ((_with(Leg(1), extra=2), "'extra'"), (_without(Leg(1), "number"), "'number'")):
        with pytest.raises(UnsupportedValueError, match=message) as caught:
            encode({"legs": [*ALIKE["legs"], bad]})
        assert caught.value.path == f'value["legs"][{MANY}]'


def test_a_chain_of_many_is_refused() -> None:
    legs = [Leg(number) for number in range(2 * DEEPEST)]
    for leg, after in pairwise(legs):
        leg.next = after
    with pytest.raises(NestingError):
        encode(legs)


def test_a_key_of_another_class_is_kept_apart() -> None:
    rows: list[dict[str, Any]] = [{"a": 1} for _ in range(MANY)]
    rows[5] = {Subtext("a"): 1}
    with pytest.raises(EncodeError, match="Subtext"):
        encode(rows)


def test_a_batch_takes_less_room() -> None:
    assert encode(RECORDS).size < 0.8 * encode([tuple(record.items()) for record in RECORDS]).size
    times = VALUES["times"]
    assert encode(times).size < encode({str(number): time for number, time in enumerate(times)}).size


def _most_memory(value: Any) -> tuple[int, int]:
    """Return the bytes of a value that was decoded, and how many more there were while it was."""
    payload = encode(value)
    memory = bytearray(payload.to_bytes())
    tracemalloc.start()
    back = decode(memory, payload.format)
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_identical(value, back)
    return left, peak - left


def test_what_is_one_large_form_is_read_without_a_copy_of_it() -> None:
    _most_memory((b"x" * (1 << 17),))  # imports what it needs
    left, more = _most_memory((b"x" * (1 << 23),))
    assert more < left / 2


def test_the_columns_of_records_go_one_by_one() -> None:
    rows, keys = 5000, 40
    _, more = _most_memory([{f"k{place}": None for place in range(keys)} for _ in range(rows)])
    assert more < rows * keys * 8 / 2  # bytes of the lists that were the columns


def test_the_row_holds_what_is_nested_as_a_body() -> None:
    rows = [{"n": number, "at": NOON} for number in range(MANY)]
    payload = encode(rows)
    assert payload.to_json() == {"$": ["blob", b64encode(payload.to_bytes()).decode()]}


def test_large_objects_in_batches_are_still_shared() -> None:
    array = np.arange(2000.0)
    back = _blob([{"a": array, "n": number} for number in range(MANY)] + [])
    assert all(row["a"] is back[0]["a"] for row in back)
    back = _blob({"list": [array] * MANY, "again": array})
    assert all(item is back["again"] for item in back["list"])
    back = _blob([Point(1.0, NOON, tags=array) for _ in range(MANY)])
    assert all(point.tags is back[0].tags for point in back)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda bad: [{"a": 1, "b": bad if number == 7 else 2} for number in range(MANY)], 'value[7]["b"]'),
        (lambda bad: {str(n): {"a": bad if n == 7 else 2} for n in range(MANY)}, 'value["7"]["a"]'),
        (lambda bad: {"k": [Point(1.0, NOON, bad if n == 7 else n) for n in range(MANY)]}, 'value["k"][7].tags'),
        (lambda bad: [(n, bad if n == 7 else n) for n in range(MANY)], "value[7][1]"),
        (lambda bad: {"k": [Leg(n, NOON, bad if n == 7 else n) for n in range(MANY)]}, 'value["k"][7].next'),
        (lambda bad: [Slotted(n, bad if n == 7 else n) for n in range(MANY)], "value[7].text"),
        (lambda bad: [None, *(Pair(n, bad if n == 7 else n) for n in range(MANY))], "value[8][1]"),
        (lambda bad: [None, *[bad] * MANY], "value[1]"),
    ],
)
def test_a_refusal_says_where(place: Callable[[Any], Any], path: str) -> None:
    with pytest.raises(EncodeError, match="no codec handles builtins.object") as caught:
        encode(place(object()))
    assert caught.value.path == path


def test_an_encode_that_fails_in_a_batch_is_named() -> None:
    times: list[Any] = [Point(1.0, NOON) for _ in range(MANY)]
    del times[7].x
    registry.register(Codec("test.point", (Point,), lambda point: {"x": point.x}, lambda node, _: node), replace=True)
    with pytest.raises(EncodeError, match="test.point.*AttributeError") as caught:
        encode({"a": times})
    assert caught.value.path == 'value["a"][7]'


def test_records_that_contain_themselves_are_named() -> None:
    rows: list[dict[str, Any]] = [{"a": number} for number in range(MANY)]
    rows[3]["a"] = rows
    with pytest.raises(CircularReferenceError, match=r"value\[3\]\[\"a\"\]: the list contains itself"):
        encode(rows)
    named: dict[str, Any] = {str(number): {"a": number} for number in range(MANY)}
    named["3"]["a"] = [named]
    with pytest.raises(CircularReferenceError, match="the dict contains itself"):
        encode({"k": named})


def _packed(code: int, *items: Any) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(list(items))))


@pytest.mark.parametrize(
    "packed",
    [
        _packed(5, None, ["a", "b"], [[1]]),
        _packed(5, None, ["a", "b"], [[1], [1, 2]]),
        _packed(5, None, ["a", "a"], [[1], [2]]),
        _packed(5, None, [], []),
        _packed(5, ["x"], ["a"], [[1, 2]]),
        _packed(5, ["x", "x"], ["a"], [[1, 2]]),
        _packed(5, [[]], ["a"], [[1]]),
        _packed(5, None, [{}], [[1]]),
        _packed(5, None, ["a"], 5),
        _packed(5, None, ["a"], [7]),
        _packed(5, None),
        _packed(6, 0, [[1]], [5]),
        _packed(6, 0, [[1]], [0, 0]),
        _packed(6, 0, [[1]], [-1]),
        _packed(6, 0, [[1]], ["a"]),
        _packed(6, 9, [[1]], []),
        _packed(6, 0, 5, []),
        _packed(6, 0),
        _packed(7, 0, None, None, [[1]], [5]),
        _packed(7, 0, None, None, [[1]], [0, 0]),
        _packed(7, 9, None, None, [[1]], []),
        _packed(7, 0, None, None, [], []),
        _packed(7, 0, None, None, [[1], [1, 2]], []),
        _packed(7, 0, None, None, [[1], {1: 2}], []),
        _packed(7, 0, None, None, {}, []),
        _packed(7, 0, "a", None, [[1]], []),
        _packed(7, 0, 1, ["a"], [[1]], []),
        _packed(7, 0, None, ["a"], [[1]], []),
        _packed(7, 0, "a", ["a", "a"], [[1], [2]], []),
        _packed(7, 0, "a", ["a"], [[1], [2]], []),
        _packed(7, 0, "a", [1], [[1]], []),
        _packed(7, 0, "a", "b", [[1]], []),
        _packed(7, 0, None, None, [[1]]),
        b"\xc9\x00\x01\x00\x00\xff" + b"\x01" * (1 << 16),
        _packed(127, "x" * (1 << 16)),
        _packed(4, "x" * (1 << 16)),
        _packed(6, 0, ["x" * (1 << 16)], [])[:-1],
        _packed(6, 0, ["x" * (1 << 16)], []) + b"\x01",
        b"\xc9\x00\x00\x00\x01\x10" + b"\x01" * (1 << 16),
    ],
)
def test_a_forged_batch_is_corrupt(packed: bytes) -> None:
    head = msgpack.packb(["airflow_xcom", 1, [["tuple", 1]], [], len(packed)])
    with pytest.raises(CorruptPayloadError):
        decode(head + packed, "msgpack")


@pytest.mark.parametrize(
    "columns",
    [
        [["<i2", "<i2"], [[1], [1]], [b"aa", b"aabb"]],  # more bytes than elements
        [["<i2", "<i2"], [[1], [1]], [b"a", b"abb"]],
        [["<i2", "<i2"], [[1], [-1]], [b"aa", b""]],
        [["|O", "|O"], [[1], [1]], [b"a" * 8, b"a" * 8]],
        [["<i2", "<i2"], [[1], [1]], [b"aa", "aa"]],
        [["<i2", 5], [[1], [1]], [b"aa", b"aa"]],
        [["<i2", "<i2"], [[1], [1]]],
        [["|S0", "|S0"], [[1], [1]], [b"a", b""]],
    ],
)
def test_forged_arrays_are_corrupt(columns: Any) -> None:
    packed = _packed(7, 0, None, None, columns, [])
    head = msgpack.packb(["airflow_xcom", 1, [["numpy.ndarray", 1]], [], len(packed)])
    with pytest.raises(CorruptPayloadError):
        decode(head + packed, "msgpack")


def test_arrays_of_many_kinds_are_read_part_by_part() -> None:
    columns = [["<i2", "|u1", "<U0"], [[1], [1, 2], [3]], [b"aa", b"aa", b""]]
    packed = _packed(7, 0, None, None, columns, [])
    head = msgpack.packb(["airflow_xcom", 1, [["numpy.ndarray", 1]], [], len(packed)])
    expected = [np.array([0x6161], "<i2"), np.array([[97, 97]], "u1"), np.ndarray((3,), "<U0")]
    assert difference(expected, decode(head + packed, "msgpack")) is None


class Uncompared:
    def __eq__(self, other: object) -> bool:
        raise AssertionError("a forged column of a billion labels compares each of them")

    __hash__ = object.__hash__


@pytest.mark.parametrize(
    "columns",
    [
        [["<i2", Uncompared()], [[1], [1]], [b"aa", b"aa"]],
        [["<i2", "<i2"], [[1], Uncompared()], [b"aa", b"aa"]],
        [["<i2", "<i2"], [[1], [Uncompared()]], [b"aa", b"aa"]],
        [["<i2", "<i2"], [[1], [1]], [b"aa", Uncompared()]],
    ],
)
def test_nothing_of_a_forged_column_of_arrays_is_compared(columns: list[Any]) -> None:
    assert _put_arrays(Columns(columns), 1) is None


def test_an_array_keeps_little_of_the_list_it_was_in() -> None:
    arrays = [np.full(250, number) for number in range(5000)]
    payload = encode(arrays)
    memory = decode(payload.to_bytes(), payload.format)[1]
    while isinstance(memory, np.ndarray):
        memory = memory.base
    assert memoryview(memory).nbytes <= 1 << 20

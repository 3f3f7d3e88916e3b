"""An object that stands in several places of a value is written once, and is one object again."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pytest
from identical import difference

from airflow_xcom.codecs import CircularReferenceError, CorruptPayloadError, NestingError, decode, decode_json, encode


def _blob(value: Any) -> Any:
    payload = encode(value)
    return decode(payload.to_bytes(), payload.format)


def _row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json())))


WAYS = pytest.mark.parametrize("through", [_blob, _row])
LARGE = np.arange(10_000.0)
FRAME = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="k"))


def _places(value: dict[str, Any]) -> list[Any]:
    return [value["list"][0], value["list"][1], value["tuple"][0], value["deep"]["dict"]["again"][0]]


@WAYS
@pytest.mark.parametrize("item", [LARGE, FRAME, (LARGE, FRAME)], ids=["array", "small frame", "tuple"])
def test_a_shared_object_is_one_object_again(through: Callable[[Any], Any], item: Any) -> None:
    value = {"list": [item, item], "tuple": (item,), "deep": {"dict": {"again": deque([item])}}}
    back = through(value)
    assert difference(value, back) is None
    first, *others = _places(back)
    assert all(other is first for other in others)


@WAYS
def test_an_order_of_keys_that_a_column_would_change_comes_back(through: Callable[[Any], Any]) -> None:
    back = through({"long": LARGE, "b": [LARGE], "": (LARGE,)})
    assert list(back) == ["long", "b", ""]
    assert back["long"] is back["b"][0] is back[""][0]


@WAYS
def test_equal_objects_stay_two(through: Callable[[Any], Any]) -> None:
    first, second = through([LARGE, LARGE.copy()])
    first[0] = -1.0
    assert second[0] == 0.0


def test_a_shared_object_is_written_once() -> None:
    once, twice = encode([LARGE]).size, encode([LARGE] * 50 + [{"k": (LARGE,)}]).size
    assert twice < once + 500


def test_what_is_not_shared_is_written_as_ever() -> None:
    tree = _tree(encode([LARGE, (1, 2), (1, 2)]).to_bytes())
    assert {3, 4}.isdisjoint(node.code for node in tree if isinstance(node, msgpack.ExtType))


def _tree(blob: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(blob)
    _, tree = unpacker.unpack(), unpacker.unpack()
    assert isinstance(tree, list)
    return tree


@WAYS
def test_text_that_needs_a_second_attempt_does_not_disturb_it(through: Callable[[Any], Any]) -> None:
    value = [(LARGE, LARGE), "\ud800", {"\ud800": (LARGE, ["\ud800", LARGE])}]
    back = through(value)
    assert difference(value, back) is None
    assert back[0][0] is back[0][1] is back[2]["\ud800"][0] is back[2]["\ud800"][1][1]


@WAYS
def test_a_chain_of_shared_objects_may_be_as_deep_as_any(through: Callable[[Any], Any]) -> None:
    item: Any = (LARGE,)
    for _ in range(24):
        item = (item, item)  # 2**24 places, and 26 objects
    back = through([item])
    depth = 0
    at = back[0]
    while isinstance(at, tuple):
        assert len(at) == 1 or at[0] is at[1]
        at, depth = at[0], depth + 1
    assert depth == 25
    assert difference(LARGE, at) is None


def test_a_cycle_through_objects_is_named() -> None:
    items: list[Any] = [1]
    items.append((items,))
    with pytest.raises(CircularReferenceError, match=r'value\["a"\]\[0\]\[1\]\[0\]\[1\]: the tuple contains itself'):
        encode({"a": [items]})
    ring: deque[Any] = deque()
    ring.append({"k": (ring,)})
    with pytest.raises(CircularReferenceError, match=r'value\["q"\]: the deque contains itself'):
        encode({"q": ring})


def test_depth_without_a_cycle_is_called_depth() -> None:
    item: Any = 1
    for _ in range(150):
        item = (item,)
    with pytest.raises(NestingError, match="deeper than 100 levels"):
        encode([item])


@pytest.mark.parametrize(
    "forged",
    [
        {"$": ["same", 0]},
        {"$": ["same", "0"]},
        {"$": ["same", [0]]},
        {"$": ["shared", [0, {"$": ["tuple", 1, [{"$": ["same", 0]}]]}]]},
        [{"$": ["shared", [0, 1]]}, {"$": ["shared", [0, 2]]}],
        {"$": ["shared", ["a", 1]]},
        {"$": ["shared", [True, 1]]},
        {"$": ["shared", 5]},
    ],
)
def test_a_forged_place_in_a_row_is_corrupt(forged: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json(forged)


def _packed(code: int, *items: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(items[0] if len(items) == 1 else list(items)))


@pytest.mark.parametrize(
    "tree",
    [
        _packed(4, 0),
        _packed(4, "0"),
        _packed(4, -1),
        _packed(3, 0, 0, [_packed(4, 0)]),
        [_packed(3, 0, 0, [1]), _packed(3, 0, 0, [2])],
        _packed(3, "a", 0, [1]),
        _packed(3, 0, 9, [1]),
        _packed(3, 0),
    ],
)
def test_a_forged_place_in_a_blob_is_corrupt(tree: Any) -> None:
    packed = msgpack.packb(tree)
    head = msgpack.packb(["airflow_xcom", 1, [["tuple", 1]], [], len(packed)])
    with pytest.raises(CorruptPayloadError):
        decode(head + packed, "msgpack")

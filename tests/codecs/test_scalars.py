"""Scalars and containers of the standard library: the corners that the named values do not reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_xcom.codecs import CorruptPayloadError, UnsupportedTypeError, decode, encode
from airflow_xcom.codecs.builtin.stdlib import containers, scalars
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import difference


class Holder(NamedTuple):
    content: Any


CASES: dict[str, Callable[[], Any]] = {
    "a UUID that is safe": lambda: uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
    "a UUID that is unsafe": lambda: uuid.UUID(int=5, is_safe=uuid.SafeUUID.unsafe),
    "a signalling NaN": lambda: Decimal("-sNaN123"),
    "a long Decimal": lambda: Decimal("1." + "0" * 100 + "10"),
    "an exponent": lambda: Decimal("0E-400"),
    "Fraction": lambda: Fraction(10**30, 7),
    "interface": lambda: ip_interface("10.0.0.5/8"),
    "IPv6 with a scope": lambda: ip_address("fe80::1%eth0"),
    "network": lambda: ip_network("::/0"),
    "relative path": lambda: PurePosixPath("."),
    "two slashes": lambda: PurePosixPath("//a/b"),
    "drive": lambda: PureWindowsPath("C:x"),
    "share": lambda: PureWindowsPath("\\\\host\\share\\x"),
    "complex": lambda: complex(float("-inf"), float("nan")),
    "empty containers": lambda: [(), set(), frozenset(), deque(), OrderedDict(), Counter(), bytearray(), b"", range(0)],
    "zero maxlen": lambda: deque(maxlen=0),
    "counts of any kind": lambda: Counter({"a": -1, "b": 0, "c": 2.5}),
    "tuples as keys": lambda: {(1, ("a", None)): {frozenset({1}): 2}},
    "sets of sets": lambda: {frozenset({frozenset(), frozenset({1, "a", None})})},
    "huge range": lambda: range(-(10**30), 10**30, 10**10),
    "slice of anything": lambda: slice("a", (1, 2), None),
    "integers at the edges": lambda: [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1],
}


@pytest.mark.parametrize("name", CASES)
def test_comes_back_exact(name: str) -> None:
    payload = encode(CASES[name]())
    assert difference(CASES[name](), decode(payload.to_bytes(), payload.format)) is None
    assert difference(CASES[name](), decode_json(json.loads(json.dumps(payload.to_json(), allow_nan=False)))) is None


def test_safety_of_a_uuid_is_kept() -> None:
    payload = encode(uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe))
    assert decode_json(payload.to_json()).is_safe is uuid.SafeUUID.safe


def test_the_same_set_gives_the_same_bytes() -> None:
    one, other = set(range(0, 800, 8)), set(range(792, -8, -8))
    assert one == other
    assert list(one) != list(other)
    assert encode(one).to_bytes() == encode(other).to_bytes()


def test_sets_of_sets_give_the_same_bytes_in_every_process() -> None:
    code = """
from airflow_xcom.codecs import encode
inner = [frozenset(text) for text in ("abc", "abd", "xyz", "pqrstu")]
print(encode({*inner, (1, inner[0]), (1, inner[1])}).to_bytes().hex())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_sets_of_what_holds_sets_and_of_nan_give_the_same_bytes() -> None:
    """The repr of a named tuple shows its sets in an order that the hashes of text set, and no bits of a NaN."""
    code = """
import struct
from typing import NamedTuple
from airflow_xcom.codecs import encode, registry
import test_scalars
registry.allow_classes(lambda name: name == "test_scalars.Holder")
nans = [struct.unpack(">d", bytes.fromhex(f"7ff800000000000{place}"))[0] for place in range(4)]
print(encode([{test_scalars.Holder(frozenset(text)) for text in ("abc", "abd", "xyz")}, set(nans)]).to_bytes().hex())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_an_element_that_cannot_be_shown_can_be_ordered() -> None:
    value = {pd.Timestamp(np.datetime64(2**40, "s")), 1, "a"}
    assert difference(value, decode_json(encode(value).to_json())) is None


def test_an_element_without_codec_is_refused_by_its_place() -> None:
    class Unknown:
        def __repr__(self) -> str:
            return "?"

    with pytest.raises(UnsupportedTypeError, match=r"value\[0\]\{\?\}: no codec handles"):
        encode([{1, Unknown()}])


def test_an_integer_longer_than_is_sensible_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    row = encode(2**100).to_json()
    monkeypatch.setattr(scalars, "_MAX_DIGITS", 10)
    with pytest.raises(CorruptPayloadError, match="an integer of 28 digits"):
        decode_json(row)


FORGED = [
    ["int", 1, "five"],
    ["str", 1, '"'],
    ["path", 1, ["Path", "/"]],
    ["path", 1, ["eval", "1"]],
    ["ipaddress", 1, ["IPv4Address", "1.2.3"]],
    ["fraction", 1, [1, 0]],
    ["complex", 1, [1]],
    ["range", 1, [1, 2, 0]],
    ["deque", 1, [-1, []]],
    ["set", 1, [[1]]],
    ["ordered_dict", 1, 5],
    ["bytearray", 1, "text"],
]


@pytest.mark.parametrize("node", FORGED, ids=str)
def test_a_forged_node_is_corrupt(node: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json({"$": node})


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict[Any, Any]):
    pass


class Sequence(list[Any]):
    pass


class Pair(tuple[Any, ...]):
    __slots__ = ()


SUBCLASSES = [Text("a"), Number(5), Mapping(a=1), Sequence([1]), Pair((1, 2)), type("Bits", (bytes,), {})(b"x")]


@pytest.mark.parametrize("value", SUBCLASSES, ids=lambda value: type(value).__name__)
def test_a_subclass_is_refused_wherever_it_stands(value: Any) -> None:
    for nested in (value, [value], {"a": {"b": value}}, (value,)):
        with pytest.raises(UnsupportedTypeError, match=type(value).__name__):
            encode(nested)


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
anything = st.recursive(
    hashable | st.decimals() | st.floats() | st.complex_numbers() | st.binary().map(bytearray) | st.characters(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
        | st.lists(inner, max_size=4).map(deque)
    ),
    max_leaves=12,
)


@given(value=anything)
@settings(max_examples=400, deadline=None)
def test_any_value_is_exact_in_each_syntax(value: Any) -> None:
    payload = encode(value)
    assert difference(value, decode(payload.to_bytes(), payload.format)) is None
    assert difference(value, decode_json(json.loads(json.dumps(payload.to_json(), allow_nan=False)))) is None


def test_of_a_uuid_nobody_says_that_it_is_safe() -> None:
    value = uuid.UUID(int=2**128 - 5)
    back = decode_json(encode(value).to_json())
    assert (back, back.is_safe, str(back)) == (value, uuid.SafeUUID.unknown, str(value))


class _NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError


BAD = _NoRepr()
LOCATED = {
    "[1, 1]": np.array([[1, 2], [3, BAD]], object),
    "[1]": np.ma.masked_array([1, BAD], dtype=object),
    '["b"][0]': np.array([(1, BAD)], dtype=[("a", "i4"), ("b", object)]),
    "[2]": deque([1, 2, BAD]),
    '["rows"].loc[2, "geo"]': {"rows": pd.DataFrame({"geo": [1, "x", BAD]})},
    '.loc["q"]': pd.Series([1, BAD], index=["p", "q"]),
    ".columns[0]": pd.DataFrame([[1]], columns=pd.Index([BAD], dtype=object)),
    '["c"].cat.categories[1]': pd.DataFrame({"c": pd.Categorical([1], [1, BAD])}),
    '["v"].data[1]': xr.Dataset({"v": ("t", np.array([1, BAD], object))}),
    '.attrs["u"]': xr.DataArray([1], attrs={"u": BAD}),
    ".keys()[<_NoRepr>]": {BAD: 1},
    "[<int>]": {10**5000: BAD, 1: object()},
    f'["{"x" * 56}...]': {"x" * 10**6: BAD},
    ".loc[0, <int>]": pd.DataFrame([[BAD]], columns=pd.Index([10**5000], dtype=object)),
}


@pytest.mark.parametrize("path", LOCATED)
def test_the_path_leads_into_arrays_tables_and_odd_keys(path: str) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        encode(LOCATED[path])
    assert str(caught.value).startswith(f"value{path}: ")


def test_long_integers_are_kept_in_sets_and_keys() -> None:
    for value in ({10**5000, 1}, {10**5000, "a"}, {10**5000: {10**5000}}, {frozenset({10**5000, "a"})}):
        assert difference(value, decode_json(encode(value).to_json())) is None


@pytest.mark.parametrize("cls", [set, frozenset])
@pytest.mark.parametrize(
    "items",
    [
        range(1023),
        range(-1024, 1024),
        [*range(2000), -(2**63), 2**63 - 1],
        [*range(2000), 2**63],
        [*range(2, 2000), True],
        [*range(2000), 0.5],
        [*range(9000), 8000.5],  # not among the first that are looked at together
    ],
    ids=["few", "consecutive", "of all 64 bits", "of more", "and a boolean", "and a float", "and a later float"],
)
def test_a_set_of_many_integers_comes_back(cls: Any, items: Any) -> None:
    value, reverse = cls(items), cls(sorted(items, reverse=True))
    payload = encode(value)
    for back in (decode(payload.to_bytes(), payload.format), decode_json(payload.to_json())):
        assert difference(value, back) is None
        assert {type(item) for item in back} == {type(item) for item in items}
    assert encode(reverse).to_bytes() == payload.to_bytes()


def test_a_set_of_many_integers_is_one_buffer_in_about_the_order_of_its_memory() -> None:
    value = {7**number % (2**61 - 1) - 2**60 for number in range(5000)}
    ordered = sorted(value, key=lambda number: (number % 2**14, number % 2**64))
    assert np.array(ordered, "<i8").tobytes() in encode(value).to_bytes()


def test_the_numbers_of_a_set_are_little_endian_whatever_the_processor_is() -> None:
    numbers = np.array([258, -1, 7], "<i8")
    ordered = containers._by_low_bits(numbers.astype(">i8"))
    assert ordered.tobytes() == containers._by_low_bits(numbers).tobytes()
    assert sorted(np.frombuffer(ordered.tobytes(), "<i8")) == [-1, 7, 258]


@pytest.mark.parametrize("digits", ["x", "08x", "065x"], ids=["of several lengths", "of one length", "too long"])
def test_many_texts_of_a_set_need_no_arrow(monkeypatch: pytest.MonkeyPatch, digits: str) -> None:
    value = {format(7**number % 2**31, digits) for number in range(5000)}
    wanted = encode(value).to_bytes()
    monkeypatch.setattr(containers, "_MANY_TEXTS", 3000)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert encode(value).to_bytes() == wanted


@pytest.mark.parametrize(
    "others",
    [
        (),
        ("", "ä", "\uffff", "\U00010000", "\U0001f600"),
        tuple(f"{number}{end}" for number in range(-99, 0) for end in ("", "\0")),
        ("\ud800",),
        ("x" * 1000,),
        (1, None),
    ],
    ids=["ASCII", "of all lengths of UTF-8", "with NUL", "with a surrogate", "and a long one", "and others"],
)
def test_many_texts_of_a_set_come_back_in_ascending_order(
    monkeypatch: pytest.MonkeyPatch, others: tuple[Any, ...]
) -> None:
    monkeypatch.setattr(containers, "_MANY_TEXTS", 3000)
    texts = [f"{7**number % 2**31:x}" for number in range(5000)]
    value, reverse = {*texts, *others}, {*others, *reversed(texts)}
    payload = encode(value)
    assert difference(value, decode(payload.to_bytes(), payload.format)) is None
    assert encode(reverse).to_bytes() == payload.to_bytes()
    if not {"\ud800", 1} & value:
        is_in_order = b"".join(map(msgpack.packb, sorted(value))) in payload.to_bytes()
        assert is_in_order

"""The kit's checks of a codec pass one that keeps the rules, and say of each broken rule which it is and what to do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import CATALOGUE
from golden_values import is_allowed

from airflow_xcom.codecs import (
    Buffer,
    Codec,
    Registry,
    UnsupportedValueError,
    encode,
    registry,
)
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.testing import check_codec, through_jsonb

TAG = "acme.checked"


class Grid:
    def __init__(self, cells: Any, name: Any = None) -> None:
        self.cells, self.name = cells, name


def _encode(grid: Grid) -> Any:
    if callable(grid.name):
        raise UnsupportedValueError("a grid of such a name cannot be stored; name it by text")
    return [Buffer(grid.cells), grid.name]


def _decode(node: Any, _version: int) -> Grid:
    cells, name = node
    return Grid(bytearray(cells), name)


@pytest.fixture
def registered() -> Iterator[Callable[..., Codec]]:
    def register(encode: Any = _encode, decode: Any = _decode, version: int = 1) -> Codec:
        made = Codec(TAG, (Grid,), encode, decode, version=version)
        return registry.register(made, replace=True)

    yield register
    registry._forget(registry._by_tag[TAG])
    registry._cache.clear()


SMALL, LARGE = Grid(bytearray(b"ab"), "a"), Grid(bytearray(range(256)) * 100)


def test_a_codec_that_keeps_the_rules_passes(registered: Callable[..., Codec]) -> None:
    made = registered()
    check_codec(made, [SMALL, LARGE], refused=[Grid(b"", print)])
    check_codec(TAG, [SMALL])
    check_codec(None, [SMALL, 1, "a"])


def test_a_registry_of_ones_own_is_checked() -> None:
    mine = Registry(entry_points=False)
    made = mine.register(Codec(TAG, (Grid,), _encode, _decode))
    check_codec(made, [SMALL], refused=[Grid(b"", print)], registry=mine)


def test_every_version_must_be_shown(registered: Callable[..., Codec]) -> None:
    registered()
    row = encode(SMALL).to_json()
    made = registered(version=2)
    check_codec(made, [SMALL], stored=[(row, SMALL)])
    with pytest.raises(AssertionError, match=r"versions \[1\] are read; pass stored="):
        check_codec(made, [SMALL])
    with pytest.raises(
        AssertionError, match=r"gives another value: value.__dict__\['name'\].*let decode read version 1"
    ):
        check_codec(made, [SMALL], stored=[(row, Grid(bytearray(b"ab"), "b"))])
    with pytest.raises(AssertionError, match="is no row of 'acme.checked'"):
        check_codec(made, [SMALL], stored=[({"a": 1}, SMALL)])


FAULTS: dict[str, tuple[Any, Any, Grid, str]] = {
    "a lost attribute": (
        _encode,
        lambda node, _: Grid(bytearray(node[0])),
        SMALL,
        "from the row: .*let decode restore",
    ),
    "no copy": (lambda grid: [Buffer(bytes(grid.cells)), grid.name], _decode, LARGE, "25600 bytes that encode copies"),
    "a random draw": (
        lambda grid: [*_encode(grid), random.random()],
        lambda node, _: _decode(node[:2], 1),
        SMALL,
        "sort",
    ),
    "a refusal": (_encode, _decode, Grid(b"", print), "is refused .*list the value in refused="),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_rule_is_named(registered: Callable[..., Codec], name: str) -> None:
    encoder, decoder, value, text = FAULTS[name]
    made = registered(encoder, decoder)
    with pytest.raises(AssertionError, match=text):
        check_codec(made, [value])


def test_a_codec_may_be_let_copy(registered: Callable[..., Codec]) -> None:
    check_codec(registered(FAULTS["no copy"][0]), [LARGE], may_copy=True)


def test_memory_that_comes_back_read_only_is_found(registered: Callable[..., Codec]) -> None:
    def decode(node: Any, _version: int) -> Grid:
        array = np.frombuffer(node[0], np.uint8)
        array.flags.writeable = False
        return Grid(array, node[1])

    made = registered(decode=decode)
    with pytest.raises(AssertionError, match="no longer writable"):
        check_codec(made, [Grid(np.zeros(5000, np.uint8))])


def test_a_syntax_that_alone_is_wrong_is_named(registered: Callable[..., Codec]) -> None:
    def decode(node: Any, _version: int) -> Grid:
        aligned = np.frombuffer(node[0], np.uint8).ctypes.data % 64 == 0  # as in a blob
        return Grid(bytearray(node[0]), "blob" if aligned else node[1])

    made = registered(decode=decode)
    with pytest.raises(AssertionError, match="from the (row|blob with compression)"):
        check_codec(made, [LARGE])


def test_what_is_not_refused_is_named(registered: Callable[..., Codec]) -> None:
    made = registered()
    with pytest.raises(AssertionError, match="is not refused; raise UnsupportedValueError in encode"):
        check_codec(made, [SMALL], refused=[LARGE])

    def fails(grid: Grid) -> Any:
        if grid is LARGE:
            raise OSError("too large")
        return _encode(grid)

    made = registered(fails)
    with pytest.raises(AssertionError, match=r"makes encode fail \(.*OSError: too large\); raise Unsupported"):
        check_codec(made, [SMALL], refused=[LARGE])


def test_values_of_another_codec_are_named(registered: Callable[..., Codec]) -> None:
    made = registered()
    with pytest.raises(AssertionError, match=r"is encoded by 'tuple', not 'acme.checked'; name its class"):
        check_codec(made, [(1, 2)])
    with pytest.raises(AssertionError, match="there are no values to check"):
        check_codec(made, [])
    with pytest.raises(AssertionError, match="is not registered"):
        check_codec(Codec(TAG, (Grid,), _encode, _decode), [SMALL])


def test_what_the_database_refuses_is_refused() -> None:
    assert through_jsonb({"bb": 1e22, "a": -0.0}) == {"a": 0.0, "bb": 10**22}
    assert list(through_jsonb({"bb": 1, "a": 2})) == ["a", "bb"]
    for refused, text in ((float("nan"), "not JSON compliant"), ("a\0", "NUL"), ("\ud800", "surrogates")):
        with pytest.raises(ValueError, match=text):
            through_jsonb([refused])


@pytest.mark.parametrize("family", ["Python", "Times", "NumPy"])
def test_our_own_codecs_keep_the_rules(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_allows", is_allowed)
    for make in CATALOGUE[family].values():
        check_codec(None, [make()], may_copy=True)


def test_the_codec_says_which_attributes_there_may_be(registered: Callable[..., Codec]) -> None:
    made = registered()
    made.attributes = ("cells", "name")
    check_codec(made, [SMALL])
    with pytest.raises(UnsupportedValueError, match=r"value\[0\]: the Grid has the attribute 'more', which .* lost"):
        encode([_with_more(Grid(bytearray(b"ab")))])
    made.attributes = ("cells", "name", "set_by_somebody")
    with pytest.raises(AssertionError, match="loses an attribute that somebody set"):
        check_codec(made, [SMALL])


def _with_more(grid: Grid) -> Grid:
    grid.more = 1  # type: ignore[attr-defined]
    return grid


ALL_OF_AN_OBJECT = ("class.", "networkx.", "pyarrow.DataType", "airflow.", "sklearn.")


@pytest.mark.parametrize("family", CATALOGUE)
def test_no_built_in_codec_loses_an_attribute(family: str) -> None:
    """Those of classes, graphs and estimators see to all that an object has; extension types of Arrow are named."""
    for name, make in CATALOGUE[family].items():
        value = make()
        codec = registry.for_type(type(value))
        if codec is not None and not codec.tag.startswith(ALL_OF_AN_OBJECT):
            has_any = isinstance(getattr(value, "__dict__", None), dict)
            assert codec.attributes is not None or not has_any, f"{name}: {codec} does not name the attributes"
            if has_any:
                _assert_refused_with(value, "_set_by_hand")


def _assert_refused_with(value: Any, name: str) -> None:
    """Set an attribute that begins as the library's own do."""
    vars(value)[name] = 1
    try:
        with pytest.raises(UnsupportedValueError, match=f"{name!r}, which .*would be lost"):
            raise AssertionError(f"{type(value)}: {encode(value)}")
    finally:
        del vars(value)[name]  # a process may have one object of the class


class Reading:
    """A class whose code sets private attributes in several ways, and only reads one."""

    def __init__(self) -> None:
        self._by_statement = 1
        object.__setattr__(self, "_by_call", 1)

    def restore(self) -> None:
        vars(self)["_in_the_dict"] = 1

    def read(self) -> Any:
        return getattr(self, "_only_read", None)


def test_an_attribute_that_a_class_only_reads_is_not_its_own() -> None:
    value = Reading()
    value.restore()
    refuse_other_attributes(value, ("_",))
    value._only_read = 1  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedValueError, match="'_only_read', which .*would be lost"):
        refuse_other_attributes(value, ("_",))


def test_attributes_of_parts_are_refused() -> None:
    index = pd.Index([1])
    frames = {
        "an index": pd.DataFrame({"a": [1]}),
        "an array": pd.DataFrame({"a": pd.array([1])}),
        "a batch": [pd.Timestamp(count) for count in range(40)],
        "a tree": xr.DataTree.from_dict({"/": xr.Dataset(), "/a": xr.Dataset()}),
        "columns": pd.DataFrame([[1]], columns=index),
    }
    frames["an index"].index.more = 1
    frames["an array"]["a"].array.more = 1
    frames["a batch"][39].more = 1
    frames["a tree"]["a"].more = 1
    frames["columns"].columns.more = 1
    for name, value in frames.items():
        with pytest.raises(UnsupportedValueError, match="has the attribute 'more'"):
            raise AssertionError(f"{name}: {encode(value)}")

"""Values whose JSON is exact are stored as themselves, as stock Airflow stores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.xcom import BaseXCom
from conftest import Backend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_xcom.codecs import plain_json as natives
from airflow_xcom.codecs.formats.json import dump, with_maps
from airflow_xcom.codecs.plain_json import exact_json, is_exact_float, is_exact_int, is_exact_text
from airflow_xcom.codecs.testing import difference

PLAIN = {
    "none": None,
    "true": True,
    "zero": 0,
    "largest int64": 2**63 - 1,
    "smallest int64": -(2**63),
    "float": 0.1,
    "whole float": 1.0,
    "small float": 5e-324,
    "below 1e16": 9007199254740993.0,
    "text": "naïve ✓ 😀",
    "empty": "",
    "path": "/srv/xcom/flights",
    "list": [1, [2.5, [None]], "x"],
    "dict": {"b": {"a": [1, {"c": None}]}, "a": True},
    "empty containers": [{}, []],
    "branch": {"followed": ["a", "b"]},
    "skipmixin": {"skipped": ["task_a", "task_b"]},
    "values that are reserved keys": ["__classname__", {"x": "__type"}, "airflow_xcom", "$"],
}


@pytest.mark.parametrize("threshold", [0, 49152, -1])
@pytest.mark.parametrize("name", PLAIN)
def test_row_is_what_stock_airflow_stores(
    backend: Backend, jsonb: Callable[[Any], Any], name: str, threshold: int
) -> None:
    backend.options(threshold=threshold)
    value = PLAIN[name]
    row = backend.push(value)
    assert difference(BaseXCom.serialize_value(value), row) is None
    stored = jsonb(row)
    assert stored == value
    assert difference(_unordered(value), _unordered(backend.pull(stored))) is None
    assert BaseXCom.deserialize_value(SimpleNamespace(value=stored)) == value, "stock Airflow reads it as well"


def _unordered(value: Any) -> Any:
    """JSONB keeps no order of keys; everything else must be the same."""
    if isinstance(value, dict):
        return {key: _unordered(value[key]) for key in sorted(value)}
    return [_unordered(item) for item in value] if isinstance(value, list) else value


NOT_PLAIN = {
    "nan": float("nan"),
    "infinity": [float("inf")],
    "negative zero": {"x": -0.0},
    "1e16": 1e16,
    "1e22": 1e22,
    "2**63": 2**63,
    "2**70": [2**70],
    "NUL": "a\0b",
    "NUL in a key": {"a\0": 1},
    "lone surrogate": "\ud800",
    "surrogates that would pair": ["\ud83d", "\ude00"],
    "tuple": (1,),
    "tuple in a list": [1, [(2,)]],
    "int key": {1: 2},
    "our key": {"airflow_xcom": 1},
    "our key, deep": [{"x": {"airflow_xcom": 1}}],
    "serde's key": {"__classname__": "x"},
    "serde's old key": {"__type": "dict", "__var": 1},
    "too deep for JSON parsers": eval("[" * 90 + "1" + "]" * 90),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_json_would_change_is_enveloped(backend: Backend, jsonb: Callable[[Any], Any], name: str) -> None:
    row = backend.push(NOT_PLAIN[name])
    assert set(row) == {"airflow_xcom"}
    assert difference(NOT_PLAIN[name], backend.pull(jsonb(row))) is None


@pytest.mark.parametrize("key", ["__classname__", "__version__", "__data__", "__type", "__var", "__id__", "$"])
def test_envelopes_carry_no_key_that_airflow_gives_a_meaning_to(backend: Backend, key: str) -> None:
    value = {key: (1,)}
    row = backend.push(value)
    assert key == "$" or key not in _keys(row)
    assert backend.pull(row) == value


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in _keys(item))]
    return [key for item in value for key in _keys(item)] if isinstance(value, list) else []


def test_plain_values_stay_plain_up_to_the_threshold(backend: Backend) -> None:
    backend.options(threshold=2000)
    assert backend.push("x" * 1990) == "x" * 1990
    assert "ref" in backend.push("x" * 3000)["airflow_xcom"]
    backend.options(threshold=0)
    assert backend.push("x" * 1000) == "x" * 1000
    assert "ref" in backend.push("x" * 1100)["airflow_xcom"]


def test_key_order_is_kept_on_request(backend: Backend, jsonb: Callable[[Any], Any]) -> None:
    value = {"zebra": 1, "ant": {"bb": 1, "a": 2}}
    assert backend.push(value) == value
    backend.options(preserve_key_order=True)
    row = backend.push(value)
    assert set(row) == {"airflow_xcom"}
    back = backend.pull(jsonb(row))
    assert list(back) == ["zebra", "ant"]
    assert list(back["ant"]) == ["bb", "a"]
    assert backend.push({"a": 1, "b": 2, "aa": 3}) == {"a": 1, "b": 2, "aa": 3}, "in JSONB's own order already"


STOCK_ROWS = {
    "tuple": (1, 2),
    "set": {1, 2},
    "decimal": __import__("decimal").Decimal("1.5"),
    "datetime": __import__("datetime").datetime(2024, 1, 1, tzinfo=__import__("datetime").UTC),
}


@pytest.mark.parametrize("name", STOCK_ROWS)
def test_rows_of_stock_airflow_are_read_as_before(backend: Backend, jsonb: Callable[[Any], Any], name: str) -> None:
    row = jsonb(BaseXCom.serialize_value(STOCK_ROWS[name]))
    expected = BaseXCom.deserialize_value(SimpleNamespace(value=row))
    assert difference(expected, backend.pull(row)) is None


@pytest.mark.parametrize("row", ["https://example.org", 5, {"k": "v"}, [1, "a"], {"airflow_xcom": 1, "other": 2}])
def test_rows_written_by_rest_or_links_pass_unharmed(backend: Backend, row: Any) -> None:
    assert backend.pull(row) == row
    backend.purge(row)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=json_values, threshold=st.sampled_from([0, 49152, -1]))
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[*settings.default.suppress_health_check, HealthCheck.function_scoped_fixture],
)
def test_any_json_value_is_exact_through_jsonb(
    backend: Backend, jsonb: Callable[[Any], Any], value: Any, threshold: int
) -> None:
    backend.options(threshold=threshold)
    row = backend.push(value)
    back = backend.pull(jsonb(row))
    enveloped = isinstance(row, dict) and set(row) == {"airflow_xcom"}
    assert difference(value if enveloped else _unordered(value), back if enveloped else _unordered(back)) is None


@given(
    value=json_values | st.lists(st.floats(width=64) | st.integers() | st.sampled_from([-0.0, 0.0, "\\u0000", "\0"]))
)
def test_what_is_plain_is_what_its_leaves_allow(value: Any) -> None:
    def leaves(item: Any) -> Iterator[Any]:
        if isinstance(item, dict):
            yield from item
            item = list(item.values())
        if isinstance(item, list):
            for child in item:
                yield from leaves(child)
        else:
            yield item

    def is_exact(leaf: Any) -> bool:
        if isinstance(leaf, float):
            return is_exact_float(leaf)
        if isinstance(leaf, str):
            return is_exact_text(leaf)
        return type(leaf) is not int or is_exact_int(leaf)

    found = exact_json(value, limit=None, ordered=False, reserved=frozenset())
    assert (found is not None) == all(map(is_exact, leaves(value)))


KEYS = st.text() | st.sampled_from(["$", "$a", "__a", "_", "a", "b", "aa"])
few_natives = st.recursive(
    st.integers(-9, 9) | st.text(max_size=3) | st.just("{"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(value=few_natives)
def test_few_natives_are_the_same_json_as_in_any_node(value: Any) -> None:
    if exact_json(value, limit=None, ordered=False, reserved=frozenset()) is not None:
        assert json.dumps(with_maps(value)) == json.dumps(dump(value))


@pytest.mark.parametrize("preserve", [False, True])
def test_keys_with_surrogates_are_never_plain(backend: Backend, preserve: bool) -> None:
    backend.options(preserve_key_order=preserve)
    value = {"\ud800": 1, "a": 2}
    row = backend.push(value)
    assert "airflow_xcom" in row
    assert difference(value, backend.pull(row)) is None


def test_what_would_be_endless_as_json_is_not_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert natives._MOST < 2**30
    monkeypatch.setattr(natives, "_MOST", 100_000)
    doubled: list[object] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    assert exact_json(doubled, limit=None, ordered=False, reserved=frozenset()) is None


@pytest.mark.parametrize("key", [1, None, type("Text", (str,), {})("a"), "\ud800", "\0", "reserved"])
@pytest.mark.parametrize("ordered", [False, True])
def test_a_dict_with_any_other_key_is_not_plain(key: object, ordered: bool) -> None:
    assert exact_json({"a": [{key: 1}]}, limit=None, ordered=ordered, reserved=frozenset({"reserved"})) is None

"""What cannot be stored is refused at push, by an error that says what, where and what to do."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime  # noqa: ICN001 - as the advice has it
import decimal
import fractions
import itertools
import pathlib
import re
import traceback
import types
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import bson
import google.protobuf.json_format
import msgpack
import networkx as nx
import numpy as np
import pandas as pd
import pint
import polars as pl
import psycopg.types.range
import pytest
import refusals
import wrapt
import xarray as xr
from conftest import Backend
from google.cloud import bigquery
from refusals import DOCUMENT, FRAME, REFUSED, Plain, document, refusal
from requests.structures import CaseInsensitiveDict
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from airflow_xcom.codecs import Codec, EncodeError, Registry, UnsupportedTypeError, encode, error_location, registry
from airflow_xcom.codecs.payload import decode_json

CASES = {name: make for cases in REFUSED.values() for name, make in cases.items()}
# What an error must tell people to do.
REMEDY = ("return ", "register ", "add it to")
WITHIN = {"an object that contains itself", "tuples nested 150 deep", "a data class with an object"}  # the fault lies


def _beside(value: Any) -> Any:
    """A value without the attribute that somebody set, and the attribute."""
    extra = value.extra
    del value.extra
    return value, extra


def _register(value: Any) -> Any:
    """A value of a class that was registered meanwhile."""
    made = Registry(entry_points=False)
    made.register(Codec("acme.any", (type(value),), lambda _: None, lambda _, __: value))
    encode(value, registry=made)
    return None


def _without_inner_codec(value: Any) -> Any:
    return [list(item) for item in value]


async def _items(value: Any) -> Any:
    return [item async for item in value]


def _resolved(value: Any) -> Any:
    value.set_result(1)
    return value.result()


_HERE = "return what the next task needs to make its own, such as a connection id"
# What the error says to do, where that is no expression, and how it is done.
DONE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a function": ("return what it computes", lambda value: list(value())),
    "a lambda": ("return what it computes", lambda value: value()),
    "a method": ("return what it computes", lambda value: value(1)),
    "a partial": ("return what it computes", lambda value: value("")),
    "a class": ("or a name that the next task looks it up by", lambda value: value.__qualname__),
    "a module": ("or a name that the next task looks it up by", lambda value: value.__name__),
    "a code object": ("or a name that the next task looks it up by", lambda value: value.co_name),
    "a ufunc": ("return what it computes", lambda value: value(1, 2)),
    "a type with parameters": ("or a name that the next task looks it up by", str),
    "a property": ("or a name that the next task looks it up by", lambda value: type(value).__name__),
    "an item getter": ("return what it computes", lambda value: value([1, 2])),
    "a coroutine": ("await it, and return the result", lambda _: asyncio.run(refusals._coroutine())),
    "an asynchronous generator": ("return [item async for item in value]", lambda value: asyncio.run(_items(value))),
    "a future": ("return value.result()", _resolved),
    "a future of asyncio": ("await it, and return the result", lambda _: asyncio.run(refusals._coroutine())),
    "a groupby": ("return what is computed from it", lambda value: value.size()),
    "a rolling window": ("return what is computed from it", lambda value: value.sum()),
    "an accessor of pandas": ("return what is computed from it", lambda value: value.upper()),
    "a group of polars": ("return what is computed from it", lambda value: value.len()),
    "a polars expression": ("return what it selects", lambda value: pl.DataFrame({"a": [1]}).select(value)),
    "an open file": ("return its content", lambda value: value.read()),
    "a temporary file": ("return its content", lambda value: value.read()),
    "an Arrow file": ("return its content", lambda value: value.read()),
    "an SQLAlchemy engine": ("return what the next task needs", lambda value: str(value.url)),
    "the variables of the process": ("return the variables", lambda value: value["PATH"]),
    "a response": ("value.text or value.content", lambda value: value.text),
    "a style": ("return its frame, value.data", lambda value: value.data),
    "a weak reference": ("return value()", lambda value: value()),
    "an object": ("register one with @airflow_xcom.codecs.codec", _register),
    "a sentinel": ("register one with @airflow_xcom.codecs.codec", _register),
    "a dataclass": ("add it to Airflow's configuration", lambda value: value),
    "a forest of scikit-learn": ("allowed_deserialization_classes = sklearn.tree._tree.Tree ", lambda value: value),
    "a booster of LightGBM": ("allowed_deserialization_classes = lightgbm.basic.Booster ", lambda value: value),
    "a data class with another": ("allowed_deserialization_classes = refusals.Unregistered", lambda value: value),
    "a data class with an object": ("return a type that has one; then", lambda _: refusals.Unregistered(2)),
    "a subclass of list within another": ("and replace list(value)[0], too", _without_inner_codec),
    "a namespace within another": (
        'and replace vars(value)["a"], too',
        lambda value: {name: vars(item) for name, item in vars(value).items()},
    ),
    "a subclass of str with an attribute": ("return str(value)", lambda value: [str(value), vars(value)]),
    "a window of polars": ("return what is computed from it", lambda value: value.agg(pl.len())),
    "a group of Arrow": ("return what is computed from it", lambda value: value.aggregate([([], "count_all")])),
    "a cell by its place": ("return what is computed from it", lambda value: value[0, 0]),
    "categories of pandas": ("return what is computed from it", lambda value: value.codes),
    "a condition of polars": ("return what it selects", lambda value: pl.DataFrame({"a": [1]}).select(value.then(1))),
    "a proxy of an object": (_HERE, lambda value: value.__name__),
    "a zone of another library": (
        "return times in UTC",
        lambda value: datetime.datetime.now(value).astimezone(datetime.UTC),
    ),
    "a data class with an attribute": ("return vars(value)", vars),
    "a secret of pydantic": ("return the id of a connection", lambda _: "the_connection"),
    "a statistic of SciPy with an attribute": (
        "with this attribute added",
        lambda value: dict(zip(value._fields, value, strict=True)) | {"extra": value.extra},
    ),
    "a reference to a result": ("take it as an argument", lambda value: value.operator.python_callable()),
    "a task": ("value.function()", lambda value: value.function()),
    "an operator": ("return value.task_id", lambda value: value.task_id),
    "a task instance": ("such as value.task_id", lambda value: value.task_id),
    "an object that contains itself": ("return a key or an index", lambda value: [[0] for _ in value]),
    "tuples nested 150 deep": ("return it as a list, with the level", lambda _: list(enumerate([1] * 150))),
}
DONE |= {
    name: (_HERE, lambda _: "the_connection")
    for name in REFUSED["What belongs to one process or host"]
    if name not in DONE
}
DONE |= {
    name: ("return it beside the value", _beside)
    for name in REFUSED["What a codec could not rebuild"]
    if name.endswith("with an attribute") and name not in DONE
}
EXPRESSION = re.compile(r"return (.+?)(?:, or|, which|, and replace| or bytearray| if |; |$)")
NAMES = {
    "dataclasses": dataclasses,
    "itertools": itertools,
    "traceback": traceback,
    "xml": SimpleNamespace(etree=SimpleNamespace(ElementTree=refusals.ET)),
    "np": np,
    "numpy": np,
    "pandas": pd,
    "datetime": datetime,
    "google": google,
}


def _done(name: str, reason: str, value: Any) -> Any:
    """What the error says to return in place of a value."""
    if name in DONE and DONE[name][0] in reason:
        return DONE[name][1](value)
    expression = EXPRESSION.search(reason)
    assert expression is not None, f"{name} has no remedy: say in DONE how it is carried out"
    return eval(expression[1], {**NAMES, "value": value, "view": value, "reader": value})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_what_the_error_says_to_do_works(name: str) -> None:
    """Carry out the remedy of each entry of the page: a new one without it fails."""
    reason = refusal(CASES[name]).reason
    before = registry._allows
    registry.allow_classes(lambda found: f"allowed_deserialization_classes = {found}" in reason)
    try:
        encode(_done(name, reason, CASES[name]()))
    finally:
        registry.allow_classes(before)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_the_error_says_what_where_and_what_to_do(make: Callable[[], Any], request: pytest.FixtureRequest) -> None:
    error = refusal(make)
    name = request.node.callspec.id
    assert error.path.startswith('value["a"][3].model')
    assert str(error).startswith('value["a"][3].model')
    assert error.path == 'value["a"][3].model' or name in WITHIN
    assert any(word in error.reason for word in REMEDY), error.reason
    if type(error) is UnsupportedTypeError and "no codec handles" in error.reason:
        kind = type(make())
        assert f"{kind.__module__}.{kind.__qualname__}" in error.reason


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_the_backend_refuses_it_wherever_it_would_go(make: Callable[[], Any], backend: Backend) -> None:
    for threshold in (0, 49152, -1):
        backend.options(threshold=threshold)
        with pytest.raises(EncodeError, match=r"\[dag=flights run=.* task=clean .*key=return_value\]"):
            backend.push({"k": make()})
    assert not [path for path in backend.folder.rglob("*") if path.is_file()]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_page_lists_them_all() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()


# Of libraries that tests do not have: the class, what it derives from, and what it is told, tried with each library.
ELSEWHERE: dict[str, tuple[type, str]] = {
    "slack_sdk.web.slack_response.SlackResponse": (object, "return value.data"),
    "elastic_transport.ApiResponse": (object, "return value.body"),
    "pyspark.sql.types.Row": (tuple, "return value.asDict()"),
    "databricks.sql.types.Row": (tuple, "return value.asDict()"),
    "cassandra.util.OrderedMap": (collections.abc.Mapping, "return dict(value)"),
    "cassandra.util.SortedSet": (object, "return list(value)"),
    "cassandra.util.Date": (object, "return value.date()"),
    "cassandra.util.Time": (object, "return value.time()"),
    "google.api_core.datetime_helpers.DatetimeWithNanoseconds": (datetime.datetime, "return value.rfc3339()"),
    "proto.message.Message": (object, "return type(value).to_dict(value)"),
    "google.cloud.bigquery.schema.SchemaField": (object, "return value.to_api_repr()"),
    "google.cloud.bigquery.table._TableBase": (object, "return value.to_api_repr()"),
    "statsmodels.base.wrapper.ResultsWrapper": (object, "save it with its own library"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_objects_of_client_libraries_say_how_they_become_data(name: str) -> None:
    base, remedy = ELSEWHERE[name]
    module, _, class_name = name.rpartition(".")
    methods = {"__module__": module, "__iter__": None, "__next__": None, "__getitem__": None, "__len__": None}
    made = type(class_name, (base,), methods if base is not datetime.datetime else {"__module__": module})
    derived = type("Derived", (made,), {"__module__": module})
    arguments = (2024, 1, 1) if base is datetime.datetime else ()
    for kind in (made, derived):
        assert remedy in refusal(lambda kind=kind: kind(*arguments)).reason  # type: ignore[misc]


def test_places_are_found_in_every_kind_of_container() -> None:
    bad = Plain()
    series = pd.Series([1, bad], dtype=object)
    for value, path in (
        ((1, {"k": bad}), 'value[1]["k"]'),
        ({"it's": bad}, 'value["it\'s"]'),
        ({('a"', 1): bad}, "value[('a\"', 1)]"),
        ({'a"': bad}, "value['a\"']"),
    ):
        with pytest.raises(EncodeError) as caught:
            encode(value)
        assert caught.value.path == path
    for value in (series, pd.DataFrame({"a": series}), np.array([bad], dtype=object)):
        with pytest.raises(EncodeError, match="refusals.Plain"):
            encode([value])


BAD = Plain()


def _objects(shape: tuple[int, ...], *at: int) -> Any:
    made = np.empty(shape, object)
    made[at] = BAD
    return made


def _structured() -> Any:
    made = np.zeros(2, [("x", "i4"), ("y", [("z", object)])])
    made["y"]["z"][1] = BAD
    return made


def _with_attrs(data: Any) -> Any:
    data.attrs["k"] = [BAD]
    return data


def _with_attrs_that_cannot_be_copied(data: Any) -> Any:
    data.attrs["k"] = np.busdaycalendar()
    return data


def _with_attribute(index: Any) -> Any:
    index.note = 1
    return index


def _selected(item: Any) -> Any:
    """Return a row as SQLAlchemy makes of what a query selects."""
    return IteratorResult(SimpleResultMetaData(["a"]), iter([(item,)])).one()


def _holding_itself(items: Any) -> Any:
    items.append(items)
    return items


def _labels(*labels: Any) -> Any:
    return pd.Index(labels, dtype=object, tupleize_cols=False)


def _categories() -> Any:
    return pd.Categorical.from_codes([0, 1], categories=_labels(1, BAD))


def _zoned() -> Any:
    return pd.DatetimeIndex(["2024-01-01", "2024-01-02"], tz=ZoneInfo.no_cache("Europe/Berlin"))


def _node(**attributes: Any) -> Any:
    graph = nx.Graph()
    graph.add_node((1, 2), **attributes)
    return graph


# Places within what libraries have, and where they are.
PLACES: dict[str, Callable[[], Any]] = {
    "[1, 0]": lambda: _objects((2, 2), 1, 0),
    '["y"]["z"][1]': _structured,
    '["y"]["z"]': lambda: _structured()[1],
    "[0, 1]": lambda: np.ma.array(_objects((1, 2), 0, 1), mask=[[True, False]]),
    "[1][0]": lambda: collections.deque([1, [BAD]]),
    '.loc[2, "geo"]': lambda: pd.DataFrame({"geo": [1, BAD]}, index=[1, 2]),
    '.loc[1, "geo"][0]["k"]': lambda: pd.DataFrame({"geo": [1, [{"k": BAD}]]}),
    ".index": lambda: pd.DataFrame({"a": [1]}, index=_with_attribute(pd.Index([5]))),
    ".columns": lambda: pd.DataFrame([[1]], columns=_with_attribute(pd.Index(["a"]))),
    '.loc[1, "s"]': lambda: pd.DataFrame({"s": pd.arrays.SparseArray([None, BAD], dtype=pd.SparseDtype(object))}),
    ".columns[1]": lambda: pd.DataFrame([[1, 2]], columns=_labels("a", BAD)),
    ".columns[0][1]": lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", BAD)])),
    ".index[1]": lambda: pd.Series([1, 2], index=_labels("a", BAD)),
    ".index[0][1]": lambda: pd.Series([1], index=pd.MultiIndex.from_tuples([("a", BAD)])),
    ".index.categories[1]": lambda: pd.Series([1, 2], index=pd.Index(_categories())),
    '["c"].cat.categories[1]': lambda: pd.DataFrame({"c": _categories()}),
    ".categories[1]": _categories,
    ".name": lambda: pd.Series([1], name=BAD),
    ".name[1]": lambda: pd.Index([1], name=(1, BAD)),
    '.attrs["k"][0]': lambda: _with_attrs(pd.DataFrame({"a": [1]})),
    '.attrs["k"]': lambda: _with_attrs_that_cannot_be_copied(pd.DataFrame({"a": [1]})),
    '["v"].attrs["k"][0]': lambda: xr.Dataset({"v": _with_attrs(xr.DataArray([1]))}),
    '["t"].attrs["k"][0]': lambda: xr.DataArray([1], dims="t", coords={"t": _with_attrs(xr.Variable("t", [1]))}),
    '["t"].data[1]': lambda: xr.DataArray([1, 2], dims="t", coords={"t": _labels("a", BAD)}),
    ".lower": lambda: psycopg.types.range.Range(BAD, None),
    ".id": lambda: bson.DBRef("flights", BAD),
    '.scope["k"]': lambda: bson.Code("x", {"k": BAD}),
    ".data[1]": lambda: xr.DataArray(_objects((2,), 1)),
    '["/x/y"].attrs["k"][0]': lambda: xr.DataTree.from_dict({"/x/y": _with_attrs(xr.Dataset())}),
    "[1]": lambda: [0, _holding_itself([])],
    '[1][0]["k"]': lambda: bigquery.Row((1, [{"k": BAD}]), {"a": 0, "b": 1}),
    ".magnitude[1]": lambda: pint.Quantity(_objects((2,), 1), "m"),
    "[0][1]": lambda: _selected([1, BAD]),
    ".stop[0]": lambda: slice(1, [BAD]),
    '.edges[1, "b", 0]["w"][0]': lambda: nx.MultiGraph([(1, "b", {"w": [BAD]})]),
    '.nodes[(1, 2)]["x"]': lambda: _node(x=BAD),
    ".nodes.keys()[BAD]": lambda: nx.Graph([(1, BAD)]),
    '["Accept"][0]': lambda: CaseInsensitiveDict({"Accept": [BAD]}),
    '["t"].dt.tz': lambda: pd.DataFrame({"t": _zoned()}),
    ".dt.tz": lambda: pd.Series(_zoned()),
    ".index.tz": lambda: pd.DataFrame({"a": [1, 2]}, index=_zoned()),
    ".index.levels[0].tz": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_arrays([_zoned(), [1, 2]])),
    '["c"].cat.categories.tz': lambda: pd.DataFrame({"c": pd.Categorical(_zoned())}),
    '["i"].array.left.tz': lambda: pd.DataFrame({"i": pd.arrays.IntervalArray.from_breaks(_zoned())}),
    '["o"]': lambda: pl.DataFrame({"a": [1], "o": pl.Series([BAD], dtype=pl.Object)}),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_place_is_told_within_what_libraries_have(place: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode({"a": [PLACES[place]()]})
    assert caught.value.path == f'value["a"][0]{place.replace("BAD", "<refusals.Plain object>")}'


@pytest.mark.parametrize("module", [None, 5, ""])
def test_a_class_whose_module_has_no_name_is_refused_as_any_other(module: Any) -> None:
    odd = type("Odd", (), {"__module__": module})()
    text = type("Odd", (str,), {"__module__": module})("x")
    for value in (
        odd,
        [{"a": odd}],
        {odd: 1},
        {(odd,)},
        np.array([odd], object),
        pd.DataFrame([[1]], columns=[odd]),
        text,
    ):
        with pytest.raises(UnsupportedTypeError, match="no codec handles Odd"):
            encode(value)
    made = Registry(entry_points=False)
    made.register(Codec("acme.odd", (type(odd),), lambda _: None, lambda _, __: odd))
    assert decode_json(encode([odd, text.upper()], registry=made).to_json(), registry=made) == [odd, "X"]


def _without_dict(error: type[BaseException]) -> Any:
    def __dict__(_: Any) -> Any:
        raise error

    return type("Strange", (), {"__dict__": property(__dict__)})()


@dataclasses.dataclass
class Dynamic:
    """What has every attribute that it is asked for."""

    part: Any

    def __getattr__(self, name: str) -> str:
        return name


@pytest.mark.parametrize("name", ["__module__", "__mro__", "__dict__"])
def test_a_class_that_fails_when_it_is_looked_at_is_refused_by_a_typed_error(name: str, backend: Backend) -> None:
    def fail(_cls: Any) -> Any:
        raise OSError("no answer")

    fails = type("Meta", (type,), {name: property(fail)})("Fails", (), {})
    for wrap in (lambda value: [1, (value,)], lambda value: {"a": [value]}, lambda value: pd.Series([value, 1])):
        for inexact in ("refuse", "as_airflow"):
            backend.options(inexact=inexact)
            with pytest.raises(EncodeError):
                backend.push(wrap(fails()))


def test_objects_that_tell_nothing_of_their_attributes_are_refused_as_any_other() -> None:
    for bad in (*map(_without_dict, (AttributeError, RuntimeError)), wrapt.ObjectProxy({"a": 1})):
        for value in ([1, bad], [bad] * 50, {"a": [bad, bad]}, (bad, bad)):
            with pytest.raises(UnsupportedTypeError, match=r'value.*\["?\w"?\].*no codec handles'):
                encode(value)


def test_the_place_is_told_within_what_has_every_attribute() -> None:
    before = registry._allows
    registry.allow_classes(lambda name: name.endswith(".Dynamic"))
    try:
        with pytest.raises(UnsupportedTypeError) as caught:
            encode([Dynamic([BAD])])
    finally:
        registry.allow_classes(before)
    assert caught.value.path == "value[0].part[0]"


def test_what_only_has_a_next_is_no_iterator() -> None:
    cursor = type("Cursor", (), {"__iter__": None, "__next__": lambda _: None})
    assert "return list(value)" not in refusal(cursor).reason


class Sequence(collections.abc.Sequence[Any]):
    """What behaves like a list, and may ask for each item somewhere else."""

    def __init__(self, items: list[Any], most: int = 10**6) -> None:
        self.items, self.left = items, most

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise OSError
        return self.items[place]


def test_the_advice_for_what_behaves_like_a_container_is_tried_unless_it_is_long() -> None:
    assert "return list(value), or register" in refusal(lambda: Sequence([1])).reason
    assert "and replace list(value)[0], too" in refusal(lambda: Sequence([BAD])).reason
    for value in (Sequence([1] * 1001, most=0), Sequence([1], most=0)):
        assert "return list(value)" not in refusal(lambda value=value: value).reason  # type: ignore[misc]


class Endless:
    """What says that it is short, and goes on and on."""

    def __len__(self) -> int:
        return 3

    def __contains__(self, item: Any) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return itertools.count()

    def __getitem__(self, place: Any) -> int:
        return 1


@pytest.mark.parametrize(
    "base", [collections.abc.Mapping, collections.abc.Sequence, collections.abc.Set, list, tuple, frozenset, dict]
)
def test_no_advice_is_tried_without_end(base: Any) -> None:
    endless = types.new_class("Endless", (Endless, base), exec_body=lambda held: held.update(keys=Endless.__iter__))
    advice = "register one with @airflow_xcom.codecs.codec"
    for error in (refusal(endless), refusal(lambda: [endless()])):
        assert error.reason.endswith(f"Endless; {advice}, or return a type that has one")


@pytest.mark.parametrize("wrap", [lambda key: key, lambda key: (1, key), lambda key: frozenset({(key,)})])
def test_a_place_has_no_address_of_memory(wrap: Callable[[Any], Any]) -> None:
    for key in (object(), len, lambda: 1, types.SimpleNamespace(a=object())):
        for value in ({wrap(key): 1}, {wrap("k"): {wrap(1): key}}) if type(key).__hash__ else ({1: [wrap("k"), key]},):
            error = refusal(lambda value=value: value)  # type: ignore[misc]
            assert " at 0x" not in str(error)
            assert not re.search("x[0-9a-f]{8,}", error.path)


def test_no_place_is_looked_for_without_end() -> None:
    assert error_location.locate([BAD], [BAD, [BAD]]) == "value[0]"
    beside = type("Wide", (Sequence,), {"__len__": lambda _: 10**12, "__getitem__": lambda _, place: place})([])
    assert error_location.locate([[[BAD]], beside], [BAD]) == "value"


def test_no_place_is_what_a_library_keeps_for_itself() -> None:
    dataset = xr.Dataset({"v": 1.0})
    dataset.set_close(Plain)
    assert not [step for step, _ in error_location._children(dataset) if "._" in step]
    assert not [step for step, _ in error_location._children(pd.offsets.Day()) if "._" in step]


@pytest.mark.parametrize(
    "key", [memoryview(b"x"), msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 2)], ids=lambda key: type(key).__name__
)
def test_a_key_that_messagepack_would_change_is_refused(key: Any) -> None:
    for value in ({key: 1}, [{"a": {key: 1}}] * 2, [{key: number} for number in range(50)]):
        with pytest.raises(EncodeError):
            encode(value)


def test_what_pandas_keeps_for_itself_is_no_attribute() -> None:
    frame = pd.DataFrame({"a": ["x"], "t": pd.to_datetime(["2024-01-01"])})
    frame["a"].str.upper()
    series = frame["t"]
    assert series.dt.year[0] == 2024
    encode([frame, series, FRAME])


def _made(base: type, *arguments: Any, **options: Any) -> Any:
    return type("Sub", (base,), {})(*arguments, **options)


SUBCLASSES = [
    _made(str, "x"),
    _made(int, 10**5000),
    _made(float, 1.5),
    _made(complex, 1),
    _made(bytes, b"x"),
    _made(bytearray, b"x"),
    _made(list, [1]),
    _made(tuple, (1,)),
    _made(set, {1}),
    _made(frozenset, {1}),
    _made(dict, a=1),
    _made(collections.OrderedDict, a=1),
    _made(collections.Counter, "a"),
    _made(collections.defaultdict, list, a=1),
    _made(collections.deque, [1], 3),
    collections.UserDict(a=1),
    collections.UserList([1]),
    collections.UserString("a"),
    collections.ChainMap({"a": 1}),
    _made(datetime.datetime, 2024, 1, 1, 2, tzinfo=datetime.UTC, fold=1),
    _made(datetime.date, 2024, 1, 1),
    _made(datetime.time, 1, 2, tzinfo=datetime.UTC),
    _made(datetime.timedelta, 1),
    _made(decimal.Decimal, "1.10"),
    _made(fractions.Fraction, 1, 3),
    _made(uuid.UUID, int=3),
    _made(pathlib.PurePosixPath, "a"),
    _made(np.ndarray, 2),
    _made(pd.DataFrame, {"a": [1]}),
    _made(pd.Series, [1]),
]


@pytest.mark.parametrize("value", SUBCLASSES, ids=lambda value: type(value).__mro__[1].__name__)
def test_a_subclass_is_refused_with_the_expression_that_stores_it(value: Any) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        encode({"a": [value]})
    assert caught.value.path == 'value["a"][0]'
    way = re.search(r"; return (.*), or register", caught.value.reason)
    assert way is not None
    encode(eval(way[1], {**globals(), "value": value, "numpy": np, "pandas": pd}))

"""What cannot be stored is refused at push, by an error that says what, where and what to do."""

from __future__ import annotations

import collections
import datetime  # noqa: ICN001 - as the advice has it
import decimal
import fractions
import pathlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Backend
from refusals import DOCUMENT, FRAME, REFUSED, Plain, document, refusal

from airflow_xcom.codecs import EncodeError, UnsupportedTypeError, encode

CASES = {name: make for cases in REFUSED.values() for name, make in cases.items()}
# What an error must tell people to do.
REMEDY = ("return ", "register ", "add it to", "put it into attrs", "at 0x")
WITHOUT_REMEDY = {"an object that contains itself", "tuples nested 150 deep"}  # the place says it all


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_the_error_says_what_where_and_what_to_do(make: Callable[[], Any], request: pytest.FixtureRequest) -> None:
    error = refusal(make)
    name = request.node.callspec.id
    assert error.path.startswith('value["a"][3].model')
    assert str(error).startswith('value["a"][3].model')
    if name not in WITHOUT_REMEDY:
        assert error.path == 'value["a"][3].model'
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

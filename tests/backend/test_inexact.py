"""What is not exact: refused, or stored as Airflow itself would have given it to the next task."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_refusals
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from catalogue import CATALOGUE
from conftest import Backend
from dateutil.tz import tzrange
from refusals import REFUSED

from airflow_xcom.backend import stored
from airflow_xcom.backend.compat import stock_json
from airflow_xcom.backend.errors import HintError
from airflow_xcom.backend.pull import prepare
from airflow_xcom.codecs import CircularReferenceError, CodecError, DecodeError, EncodeError, registry
from airflow_xcom.codecs.testing import difference


class Text(str):
    __slots__ = ()


class Record(dict[str, Any]):
    pass


class Rows(list[Any]):
    pass


class Color(enum.StrEnum):
    RED = "red"


class Named:
    def __str__(self) -> str:
        return "a name"


@dataclass
class NotAllowed:
    size: int = 1


def _attributed() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    object.__setattr__(frame, "source", "x")
    return frame


def _labelled(label: str, others: int = 1) -> pd.DataFrame:
    labels = pd.Index([*map(str, range(others)), label], dtype=object)
    return pd.DataFrame(np.ones((2, others + 1)), columns=labels)


def _holding_itself() -> pd.DataFrame:
    frame, ring = pd.DataFrame({"a": [1]}), [Text("x")]
    ring.append(ring)  # type: ignore[arg-type]
    frame.attrs["ring"] = ring
    return frame


def _with_attrs(frame: pd.DataFrame, **attrs: Any) -> pd.DataFrame:
    frame.attrs = attrs
    return frame


class Long(list[Any]):
    def __len__(self) -> int:
        return 10**18


FRAME = pd.DataFrame({"a": [1]})
CELLS = pd.DataFrame({"a": pd.Series([Text("x"), (1, 2)], dtype=object)})
COMPLEX = np.array([1j])
# What is pushed, what comes back, and the places that are not exact.
PUSHED: dict[str, tuple[Any, Any, list[str]]] = {
    "the whole": (Text("x"), "x", ["value"]),
    "an item": ({"a": [1, Text("x")], "t": (1,)}, {"a": [1, "x"], "t": (1,)}, ['value["a"][1]']),
    "exact items of what is not": (Record(t=(1, {2})), {"t": (1, {2})}, ["value"]),
    "and beside it": ([COMPLEX, Rows([(1,)])], [COMPLEX, [(1,)]], ["value[1]"]),
    "in each other": (Record(a=Rows([Text("x")])), {"a": ["x"]}, ["value", 'value["a"]', 'value["a"][0]']),
    "a member": ((Color.RED,), ("red",), ["value[0]"]),
    "a cell": (CELLS, pd.DataFrame({"a": pd.Series(["x", (1, 2)], dtype=object)}), ['value.loc[0, "a"]']),
    "a label": (_labelled(Text("x")), _labelled("x"), ["value.columns[1]"]),
    "a label of a wide frame": (_labelled(Text("x"), 101), _labelled("x", 101), ["value.columns[101]"]),
    "an attribute": ({"f": (_attributed(), 1)}, {"f": (FRAME, 1)}, ['value["f"][0]']),
    "attrs that hold themselves": ([_holding_itself(), 1], [FRAME, 1], ["value[0]"]),
    "attrs that Airflow drops": (
        {"k": _with_attrs(FRAME.copy(), other=NotAllowed(2))},
        {"k": FRAME},
        ['value["k"]'],
    ),
    "a false length": (Long([(1,)]), [(1,)], ["value"]),
    "a key": ({Named(): 1, (1, 2): 3}, {"a name": 1, (1, 2): 3}, []),
    "a key of text": ({Text("k"): 1, 1: 2}, {"k": 1, 1: 2}, ['value.keys()["k"]']),
    "a member of a set": ({Text("k"), 1, (1, 2)}, {"k", 1, (1, 2)}, ['value{"k"}']),
    "lone surrogates": ([Text("\ud800"), "\ud800"], ["\ud800", "\ud800"], ["value[0]"]),
    "many": ([Text(number) for number in range(99)], [str(number) for number in range(99)], []),
    "a large frame": (
        [pd.DataFrame({"a": range(9999)}), Text("x")] * 2,
        [pd.DataFrame({"a": range(9999)}), "x"] * 2,
        [],
    ),
}


@pytest.mark.parametrize("threshold", [-1, 0], ids=["in the row", "offloaded"])
@pytest.mark.parametrize("name", PUSHED)
def test_only_what_is_refused_is_as_airflow_has_it(name: str, threshold: int, backend: Backend) -> None:
    value, wanted, places = PUSHED[name]
    with pytest.raises(EncodeError):
        backend.push(value)
    backend.options(inexact="as_airflow", threshold=threshold)
    row = json.loads(json.dumps(backend.push(value)))
    assert difference(wanted, backend.pull(row)) is None
    mark = row["airflow_xcom"]["inexact"]
    if "ref" in row["airflow_xcom"]:
        assert mark["places"] == []  # they have labels and keys, which go where the cells go
        backend.options(preview="rows")
        mark = backend.push(value)["airflow_xcom"]["inexact"]
    assert mark["places"] == (places or mark["places"])
    assert mark["count"] == (99 if name == "many" else max(1, len(mark["places"])))
    assert len(mark["places"]) <= 10


def test_the_log_says_what_is_not_exact_and_why(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    backend.push(stored({"a": [Text("x")]}, inexact="as_airflow"))
    said = next(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert 'value["a"][0] is stored as a str: no codec handles test_inexact.Text' in said
    assert "return str(value)" in said
    assert "task=clean" in said


def test_a_row_without_a_preview_tells_no_places(backend: Backend) -> None:
    row = backend.push(stored({"a": [Text("x")]}, inexact="as_airflow", preview="none"))
    assert row["airflow_xcom"]["inexact"] == {"count": 1, "places": []}


def test_the_context_of_a_task_is_told_by_its_name(backend: Backend) -> None:
    context = {"dag": DAG("x", schedule=None), "run_id": "r", "task": EmptyOperator(task_id="t"), "ti": object()}
    with pytest.raises(EncodeError, match=r'^value: it is the context .*value\["run_id"\]') as caught:
        backend.push(context)
    assert "airflow.sdk" not in str(caught.value)
    assert backend.pull(backend.push(context["run_id"])) == "r"


def test_a_class_that_may_not_be_restored_here_is_left_to_the_pull(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = backend.push(stored([NotAllowed(2)], inexact="as_airflow"))
    assert row["airflow_xcom"]["inexact"]["places"] == ["value[0]"]
    with pytest.raises(DecodeError, match="allowed_deserialization_classes"):
        backend.pull(row)
    from airflow.sdk import serde

    monkeypatch.setattr(serde, "_extra_allowed", {f"{__name__}.NotAllowed"})
    assert backend.pull(row) == [NotAllowed(2)]


def test_what_airflow_could_not_bring_back_is_refused_or_replaced_with_what_holds_it(backend: Backend) -> None:
    backend.options(inexact="as_airflow")
    moment = datetime(2024, 1, 1, tzinfo=tzrange("EST", -18000))
    for value in (moment, [moment]):
        stock_json(value)
        with pytest.raises(EncodeError, match="depends on this machine"):
            backend.push(value)
    frame = pd.DataFrame({"at": pd.Series([moment], dtype=object)})
    row = backend.push({"k": (frame, 1)})
    assert row["airflow_xcom"]["inexact"]["places"] == ['value["k"][0]']
    back, _ = backend.pull(row)["k"]
    assert back["at"][0] == moment
    assert str(back["at"].dtype) == "datetime64[us, EST]"


def test_what_airflow_refuses_stays_refused_for_the_first_reason(backend: Backend) -> None:
    backend.options(inexact="as_airflow")
    for value in ({"a": [object()]}, [lambda: 1], Record(a=time(3)), {"a": {Named()}}):
        with pytest.raises(EncodeError, match="no codec handles"):
            backend.push(value)
    ring: list[Any] = [Text("x")]
    ring.append(ring)
    with pytest.raises(EncodeError) as caught:
        backend.push(ring)
    assert isinstance(caught.value, CircularReferenceError) or "Text" in str(caught.value)


def test_what_would_be_written_without_end_is_not_given_to_airflow(backend: Backend) -> None:
    backend.options(inexact="as_airflow")
    twice: Callable[[Any], Any]
    for twice in (lambda item: (item, item), lambda item: {"a": item, "b": [item]}):
        value = twice(1)
        for _ in range(40):
            value = twice(value)
        with pytest.raises(EncodeError, match=r"hold each other so often|stand for more"):
            backend.push([value])


def test_exact_values_are_not_marked(backend: Backend) -> None:
    before = backend.push({"a": (1, COMPLEX)})
    backend.options(inexact="as_airflow")
    assert backend.push({"a": (1, COMPLEX)}) == before
    assert "inexact" not in before["airflow_xcom"]


def test_a_hint_goes_before_the_option(backend: Backend) -> None:
    backend.options(inexact="as_airflow")
    with pytest.raises(EncodeError):
        backend.push(stored(Text("x"), inexact="refuse"))
    with pytest.raises(HintError, match="inexact"):
        stored(1, inexact="maybe")


def test_a_second_hint_tells_nothing_of_the_value() -> None:
    with pytest.raises(HintError) as caught:
        stored(stored({"password": "geheim"}))
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(vars(caught.value))


def test_a_mark_that_is_none_is_refused(backend: Backend) -> None:
    row = backend.push(stored(Text("x"), inexact="as_airflow"))
    for mark in (1, {"count": 1}, {"count": 1, "places": [1]}, {"count": 1, "places": [], "more": 1}):
        row["airflow_xcom"]["inexact"] = mark
        with pytest.raises(DecodeError, match="not where"):
            backend.pull(row)


@pytest.fixture
def _allowed() -> Iterator[None]:
    prepare()
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith("test_classes."))
    yield
    registry.allow_classes(before)


SUBCLASSES: dict[str, Callable[[], Any]] = {
    f"{name} {type(value).__mro__[1].__name__}": partial(place, value)
    for value in test_refusals.SUBCLASSES
    for name, place in {
        "the whole": lambda value: value,
        "an item": lambda value: {"k": (value, [1])},
        "a key": lambda value: {value if type(value).__hash__ else 0: (1,), "k": value},
        "a cell": lambda value: pd.DataFrame({"a": pd.Series([1, [value]], dtype=object)}),
    }.items()
}


def _takes(make: Callable[[], Any]) -> bool:
    """Whether Airflow itself stores a value."""
    try:
        stock_json(make())
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return False
    return True


@pytest.mark.usefixtures("_allowed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [*CATALOGUE, *REFUSED, "Subclasses"])
def test_nothing_that_airflow_takes_is_refused_and_what_is_changed_is_marked_and_logged(
    family: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.options(inexact="as_airflow", preserve_key_order=False)
    values = {**CATALOGUE, **REFUSED, "Subclasses": SUBCLASSES}[family]
    refused: list[Callable[[], Any]] = []
    for name, make in values.items():
        caplog.clear()
        try:
            row = json.loads(json.dumps(backend.push(make())))
        except EncodeError:
            refused.append(make)
            continue
        is_marked = isinstance(row, dict) and "inexact" in row.get("airflow_xcom", {})
        assert is_marked == any(record.levelno == logging.WARNING for record in caplog.records), name
        try:
            changed = difference(make(), backend.pull(row)) is not None
        except CodecError:
            changed = True
        assert is_marked or not changed, name
    assert not [make for make in refused if _takes(make)]

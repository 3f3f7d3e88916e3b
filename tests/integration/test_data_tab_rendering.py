"""What codecs of other packages render in the Data tab, where an option lets them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Backend
from data_tab import Tab

from airflow_xcom.backend import stored
from airflow_xcom.codecs import Codec, RegistrationError, registry

pytestmark = pytest.mark.installation

RENDERED = {"name": "north", "token": "s3cret", "cells": pd.DataFrame({"x": [1, 2], "password": ["p", "q"]})}


class Station:
    """A type of a user's."""

    def __init__(self, content: Any) -> None:
        self.content = content


class Calls:
    """A codec of stations that counts its decoding, and renders what a test says."""

    def __init__(self) -> None:
        self.decoded = 0
        self.shown: Callable[[Station], Any] = lambda station: station.content

    def decode(self, node: Any, _version: int) -> Station:
        self.decoded += 1
        return Station(node)

    def render(self, station: Station) -> Any:
        return self.shown(station)


@pytest.fixture
def codec(backend: Backend) -> Iterator[Calls]:
    """The codec of stations, which the option lets render."""
    calls = Calls()
    made = Codec(
        "rendering.station",
        (Station,),
        lambda station: station.content,
        calls.decode,
        summarize=lambda _: {"cells": 4, "password": "p"},
        render=calls.render,
    )
    registry.register(made, replace=True)
    backend.options(data_tab_render="True")
    yield calls
    registry._forget(made)
    registry._cache.clear()


@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
def test_a_tree_is_rendered(threshold: int, codec: Calls, tab: Tab, backend: Backend) -> None:
    backend.options(threshold=threshold)
    codec.shown = lambda _: RENDERED
    tab.push(Station([1] * 100))
    facts = tab.get("value")
    assert (facts["kind"], facts["problem"], facts["tag"]) == ("tree", None, "rendering.station")
    assert facts["read"] == facts["size"]
    items = {item["name"]: item for item in tab.get("items")["items"]}
    assert (items["name"]["text"], items["token"]["text"]) == ("north", "***")
    assert tab.get("cells", path="2", rows=2, columns=2)["cells"] == [["1", "2"], ["***", "***"]]
    assert tab.last("statistics", path="2", column=0)["mean"] == "1.5"
    assert "s3cret" not in tab.ask("items").text


def test_a_table_is_rendered_and_saved_as_such(codec: Calls, tab: Tab) -> None:
    codec.shown = lambda station: pd.DataFrame({"a": station.content["n"]})
    tab.push(Station({"n": [1, 2, 3]}))
    facts = tab.get("value")
    assert (facts["kind"], facts["rows"], facts["downloads"]) == ("table", 3, ["parquet", "csv"])
    assert tab.ask("download/csv").text.split() == ["a", "1", "2", "3"]
    tab.place = ("flights", "two", "extract")
    tab.push(Station({"n": [1, 2, 4]}), place=("flights", "two", "extract"))
    assert tab.last("compare/one")["differing"]["counts"] == {"a": 1}


def test_a_blob_that_is_a_table_is_not_saved_past_what_is_rendered(codec: Calls, tab: Tab) -> None:
    import pyarrow as pa

    from airflow_xcom.codecs import Table

    def encode(station: Station) -> Table:
        return Table(station.content, None)

    frame = pd.DataFrame({"a": [5]})
    made = Codec("rendering.track", (Station,), encode, lambda node, _: Station(node.table), render=lambda _: frame)
    registry.register(made, replace=True)
    try:
        tab.push(Station(pa.table({"password": ["hunter2"]})))
        assert tab.get("value")["downloads"] == ["parquet", "csv"]
        assert tab.refusal("download/arrow") == (422, "unreadable")
        assert tab.ask("download/csv").text.split() == ["a", "5"]
    finally:
        registry._forget(made)


@pytest.mark.parametrize("text", ["<b>bold</b>", "", "x" * 300_000])
def test_a_text_is_text(text: str, codec: Calls, tab: Tab) -> None:
    codec.shown = lambda _: text
    tab.push(Station(1))
    facts = tab.get("value")
    assert (facts["kind"], facts["text"], facts["length"]) == ("text", text[: 1 << 18], len(text))


def fail(_station: Station) -> Any:
    raise KeyError("no such cell")


def leave(_station: Station) -> Any:
    sys.exit("bye")


class UnsayableError(Exception):
    """An error that raises another one where its text is wanted."""

    def __str__(self) -> str:
        raise ValueError("no text")


def fail_unsaid(_station: Station) -> Any:
    raise UnsayableError


def panic(_station: Station) -> Any:
    import polars as pl

    raise pl.exceptions.PanicException("index out of bounds")


def interrupt(_station: Station) -> Any:
    raise KeyboardInterrupt("stop")


@pytest.mark.parametrize(
    ("render", "words"),
    [
        (fail, "no such cell"),
        (leave, "bye"),
        (fail_unsaid, "UnsayableError: an error that cannot be written"),
        (panic, "index out of bounds"),
        (interrupt, "KeyboardInterrupt"),
        (lambda _: Station(1), "no codec handles"),
        (lambda _: object(), "no codec handles"),
        (lambda _: b"x" * (9 << 20), "at most 8,388,608"),
        (lambda _: np.zeros(9 << 20, "u1"), "at most 8,388,608"),
    ],
    ids=["error", "exit", "no text", "panic", "interrupt", "itself", "object", "bytes", "array"],
)
def test_what_cannot_be_rendered_is_told_and_the_value_shown(render: Any, words: str, codec: Calls, tab: Tab) -> None:
    codec.shown = render
    tab.push(Station({"n": 7}))
    facts = tab.get("value")
    assert facts["kind"] == "tree"
    assert words in facts["problem"]
    (item,) = tab.get("items")["items"]
    assert (item["name"], item["text"]) == ("n", "7")


def test_a_value_that_renders_as_nothing_is_shown_as_it_is_stored(codec: Calls, tab: Tab) -> None:
    codec.shown = lambda _: None
    tab.push(Station({"n": 7}))
    assert tab.get("value")["problem"] is None
    assert tab.get("items")["items"][0]["text"] == "7"


def test_what_never_ends_leaves_threads_to_others(codec: Calls, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_xcom.backend.ui import rendering

    begun, go_on = Semaphore(0), Event()

    def wait(_station: Station) -> Any:
        begun.release()
        go_on.wait(60)
        return "rendered"

    monkeypatch.setattr(rendering, "_SECONDS", 0.05)
    codec.shown = wait
    tab.push(Station({"n": 7}))
    with ThreadPoolExecutor(2) as pool:
        try:
            asked = [pool.submit(tab.get, "value") for _ in range(2)]
            assert all(begun.acquire(timeout=60) for _ in asked)
            facts = tab.get("value")
            assert (facts["kind"], "others are being rendered" in facts["problem"]) == ("tree", True)
        finally:
            go_on.set()
        assert [each.result()["text"] for each in asked] == ["rendered"] * 2
    assert tab.get("value")["text"] == "rendered"


def test_a_value_that_is_too_large_is_not_decoded(codec: Calls, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_xcom.backend.ui import rendering

    monkeypatch.setattr(rendering, "_MOST", 100)
    tab.push(Station({"n": "x" * 1000}))
    assert "at most 100" in tab.get("value")["problem"]
    assert codec.decoded == 0


def test_nothing_is_decoded_unless_the_option_and_the_preview_allow_it(
    codec: Calls, tab: Tab, backend: Backend
) -> None:
    backend.options(data_tab_render="False")
    tab.push(Station({"n": 7}))
    for what in ("value", "items", "cells", "array", "line", "picture", "shapes", "download/csv", "verify"):
        tab.ask(what, rows=1, columns=1)
    assert tab.get("items")["items"][0]["text"] == "7"
    backend.options(data_tab_render="True")
    for preview in ("columns", "none"):
        tab.push(stored(Station({"n": 7}), preview=preview))
        assert tab.get("value")["kind"] == "hidden"
        assert tab.refusal("items") == (403, "hidden")
    assert codec.decoded == 0


def test_a_row_that_names_another_codec_has_nothing_rendered(codec: Calls, tab: Tab) -> None:
    row = {"version": 1, "summary": {}, "of": [None] * 5, "data": {"n": 7}}
    for suppliers in ({}, {"rendering.station": "x"}, {"rendering.missing": "x"}):
        for tag in ("rendering.station", "rendering.missing", "dict"):
            tab.write_row({"airflow_xcom": {**row, "tag": tag, "from": suppliers}})
            problem = tab.get("value")["problem"]
            assert (problem is not None) == (tag == "rendering.station" and tag in suppliers)
            assert tab.get("items")["items"][0]["text"] == "7"


def test_facts_of_a_codec_are_shown(codec: Calls, tab: Tab, backend: Backend) -> None:
    backend.options(data_tab_render="False", preview="rows")
    tab.push(Station(1))
    assert tab.get("value")["summary"] == {"cells": "4", "password": '"***"'}
    tab.push(pd.DataFrame({"a": [1]}))
    assert tab.get("value")["summary"] == {}


@pytest.mark.parametrize("way", ["hint", "option"])
def test_facts_of_a_codec_are_not_shown_where_the_preview_is_none(
    way: str, codec: Calls, tab: Tab, backend: Backend
) -> None:
    tab.push(stored(Station(1), preview="none") if way == "hint" else Station(1))
    backend.options(preview="none" if way == "option" else "rows")
    assert tab.get("value").get("summary", {}) == {}


def test_render_with_other_parameters_is_refused_at_registration() -> None:
    with pytest.raises(RegistrationError, match=r"declare its parameters as \(value\)"):
        registry.register(Codec("rendering.wrong", (Station,), str, lambda node, _: node, render=lambda: ""))

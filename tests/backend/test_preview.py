"""What a row shows of a value whose payload lies elsewhere, and what it hides in any case."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Backend

from airflow_xcom.backend import HintError, SettingsError, compat, placement, stored
from airflow_xcom.codecs import Codec, Table, registry
from airflow_xcom.codecs.builtin import summaries
from airflow_xcom.codecs.builtin.summaries import summarize_columns

CELLS = {"user": ["alice"], "password": ["hunter2"], "ssn": ["123-45-6789"]}
TABLES: dict[str, Callable[[Any], Any]] = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
SECRETS = ("alice", "hunter2", "123-45-6789")


@pytest.mark.parametrize("library", TABLES)
def test_no_cell_of_an_offloaded_table_stands_in_its_row(library: str, backend: Backend) -> None:
    backend.options(threshold=0)
    row = backend.push(TABLES[library](CELLS))
    assert not any(secret in json.dumps(row) for secret in SECRETS)
    summary = row["airflow_xcom"]["summary"]
    assert summary["shape"] == [1, 3]
    assert list(summary["dtypes"]) == list(CELLS)
    assert "alice" not in json.dumps(backend.push(pd.Series(["alice"])))
    assert "hunter" not in json.dumps(backend.push(Decimal("10.5")))
    assert "10.5" not in json.dumps(backend.push(Decimal("10.5")))


@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize(
    ("preview", "shown"), [("rows", {"shape", "dtypes", "head"}), ("columns", {"shape", "dtypes"}), ("none", set())]
)
def test_a_row_shows_what_the_option_or_the_hint_asks_for(
    preview: Any, shown: set[str], library: str, backend: Backend
) -> None:
    table = TABLES[library](CELLS)
    for threshold in (0, -1):
        backend.options(threshold=threshold, preview=preview)
        by_option = backend.push(table)
        backend.options(preview="")
        by_hint = backend.push(stored(table, preview=preview))
        for row in (by_option, by_hint):
            limits = set() if preview == "rows" else {"preview"}  # for the Data tab
            nulls = {"nulls"} if shown and threshold == 0 else set()  # which the writer of a blob counts
            assert row["airflow_xcom"]["summary"].keys() == {"type", "bytes"} | shown | limits | nulls


@pytest.mark.parametrize("library", TABLES)
def test_rows_that_nobody_sees_are_not_made(library: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(summaries, "_rows", lambda columns: made.append(len(columns)))
    table = TABLES[library](CELLS)
    backend.options(threshold=0)
    backend.push(table)
    assert made == []
    backend.options(threshold=-1)
    backend.push(table)
    assert made == [3]


def test_rows_that_cannot_be_told_leave_the_other_facts() -> None:
    def cells() -> Iterator[int]:
        yield 1
        raise RuntimeError

    summary = summarize_columns([2, 1], [("a", "int64", cells())])
    assert {**summary, "head": summary["head"]()} == {"shape": [2, 1], "dtypes": {"a": "int64"}, "head": []}


def summary_of(backend: Backend, value: Any) -> Any:
    return backend.push(value)["airflow_xcom"]["summary"]


def test_nulls_of_columns_in_a_store_are_told(backend: Backend) -> None:
    backend.options(threshold=0)
    cells = {"a": [1, None, 3], "password": ["x", None, None], "b": ["x", None, None], "c": [1, 2, 3]}
    for make in (pa.table, pl.DataFrame):
        assert summary_of(backend, make(cells))["nulls"] == [1, None, 2]
    chunks = pa.concat_tables([pa.table(cells), pa.table(cells)])
    assert summary_of(backend, chunks)["nulls"] == [2, None, 4]
    frame = pd.DataFrame(
        {
            "float": [1.0, np.nan, 2.0],
            "Int64": pd.array([1, None, None], "Int64"),
            "time": pd.to_datetime(["2024", None, None]),
            "category": pd.Categorical(["a", None, "b"]),
            "whole": [1, 2, 3],
        },
        index=pd.Index(["x", None, "y"]),
    )
    assert summary_of(backend, frame)["nulls"] == [0, 2, 2, 1]
    assert summary_of(backend, frame[["Int64", "float"]])["nulls"] == [2]
    assert summary_of(backend, frame["time"])["nulls"] == [2]
    assert summary_of(backend, frame[["whole"]])["nulls"] == []
    spans = pd.DataFrame(
        {"span": pd.arrays.IntervalArray.from_tuples([(0, 1), None, None]), "time": frame["time"].array}
    )
    assert summary_of(backend, spans)["nulls"] == [None, 2]


@pytest.mark.parametrize("labels", [["a", None], ["a", "b"], ["a", "a"], ["a", "ä" * 41]])
def test_labels_are_shown_as_pandas_yields_them(labels: list[Any]) -> None:
    frame = pd.DataFrame([[1, 0.5]], columns=pd.Index(labels, dtype="str"))
    expected = summarize_columns([1, 2], zip(frame.columns, ["int64", "float64"], [[1], [0.5]], strict=True))
    facts = registry.for_type(pd.DataFrame).summarize(frame)
    assert facts.pop("head")() == expected.pop("head")() == [["1", "0.5"]]
    assert facts == expected
    assert len(facts["dtypes"]) == 2


class Sheet:
    """A type of a user's, whose codec names columns as it likes."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table


@pytest.fixture
def _codec_of_sheets() -> Iterator[None]:
    made = Codec(
        "preview.sheet",
        (Sheet,),
        lambda sheet: Table(sheet.table, None),
        lambda node, _: Sheet(node.table),
        summarize=lambda _: {"dtypes": {"a": "int64"}},
    )
    registry.register(made)
    yield
    registry._forget(made)


@pytest.mark.usefixtures("_codec_of_sheets")
def test_nulls_are_not_told_where_columns_are_not_those_of_the_table(backend: Backend) -> None:
    backend.options(threshold=0)
    block = {f"f{number}": np.arange(3.0) for number in range(200)}
    texts = {f"t{number}": pd.array(["x", None, None], "str") for number in range(30)}
    wide = pd.DataFrame({**block, **texts})
    assert "dtypes" in summary_of(backend, wide)
    assert "nulls" not in summary_of(backend, wide)
    wide.attrs = functools.reduce(lambda inner, _: {"a": inner}, range(150), {})
    assert "nulls" not in summary_of(backend, wide)
    assert "nulls" not in summary_of(backend, pd.MultiIndex.from_tuples([("a", None), ("b", None)]))
    assert "nulls" not in summary_of(backend, Sheet(pa.table({"b": [None]})))
    assert "nulls" not in summary_of(backend, stored(pa.table({"a": [None]}), preview="none"))
    backend.options(threshold=-1)
    assert "nulls" not in summary_of(backend, pa.table({"a": [None]}))


def test_nulls_never_cost_other_facts(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.options(threshold=0)
    table = pa.table({"a": pa.array([None] * 1000, pa.int64())})
    whole = summary_of(backend, table)
    assert whole.pop("nulls") == [1000]
    monkeypatch.setattr(placement, "_LARGEST_SUMMARY", len(json.dumps(whole)))
    assert summary_of(backend, table) == whole


def test_a_hint_goes_before_the_option(backend: Backend) -> None:
    backend.options(threshold=0, preview="none")
    summary = backend.push(stored(pd.DataFrame(CELLS), preview="columns"))["airflow_xcom"]["summary"]
    assert "dtypes" in summary
    assert "head" not in summary


@pytest.mark.parametrize("library", TABLES)
def test_cells_with_a_sensitive_name_are_masked_in_any_case(library: str, backend: Backend) -> None:
    for threshold, preview in ((0, "rows"), (-1, "rows"), (-1, "")):
        backend.options(threshold=threshold, preview=preview)
        assert backend.push(TABLES[library](CELLS))["airflow_xcom"]["summary"]["head"] == [
            ["alice", "***", "123-45-6789"]
        ]


def test_a_sensitive_name_is_known_however_it_is_written(backend: Backend) -> None:
    backend.options(preview="rows")
    names = [("a", "API_KEY"), "Access Token", "x" * 60 + "_secret", "user", "user"]
    frame = pd.DataFrame([["1"] * 5], columns=pd.Index(names, tupleize_cols=False))
    assert backend.push(frame)["airflow_xcom"]["summary"]["head"] == [["***", "***", "***", "1", "1"]]
    series = backend.push(pd.Series(["1"], name="passphrase"))["airflow_xcom"]["summary"]
    assert series["head"] == [["***"]]


def test_a_column_whose_name_says_itself_in_a_text_of_its_own_keeps_the_summary() -> None:
    class Text(str):
        __slots__ = ()

    class Label(IntEnum):
        PORT = 22

        def __str__(self) -> str:
            return Text("port")

    label = Label.PORT
    summary = summarize_columns([1, 1], [(label, "int64", [label])])
    assert type(summary["head"]()[0][0]) is type(next(iter(summary["dtypes"]))) is str


def test_names_of_any_length_are_looked_at_and_only_short_ones_remembered() -> None:
    compat._hides.cache_clear()
    assert compat.hides_value_of("x" * 10_000 + "_password")
    assert not compat._hides.cache_info().currsize
    assert compat.hides_value_of("password")
    assert compat._hides.cache_info().currsize == 1


def test_a_fact_of_a_codec_with_a_sensitive_name_is_masked() -> None:
    from types import SimpleNamespace

    from airflow_xcom.backend.placement import summarize

    payload: Any = SimpleNamespace(facts={"token": "abc", "host": "h"})
    assert summarize(1, payload, 5, "rows") == {"type": "int", "bytes": 5, "token": "***", "host": "h"}


def test_what_cannot_be_shown_is_refused(backend: Backend) -> None:
    with pytest.raises(HintError, match="preview='all'.*rows, columns, none"):
        stored(1, preview="all")
    backend.options(preview="all")
    with pytest.raises(SettingsError, match="preview = 'all'"):
        backend.push(np.arange(3))

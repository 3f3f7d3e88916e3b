"""What a row shows of a value whose payload lies elsewhere, and what it hides in any case."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Backend

from airflow_xcom.backend import HintError, SettingsError, compat, stored
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
            assert row["airflow_xcom"]["summary"].keys() == {"type", "bytes"} | shown | limits


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
    assert type(summary["head"][0][0]) is type(next(iter(summary["dtypes"]))) is str


def test_names_of_any_length_are_looked_at_and_only_short_ones_remembered() -> None:
    compat._hides.cache_clear()
    assert compat.hides_value_of("x" * 10_000 + "_password")
    assert not compat._hides.cache_info().currsize
    assert compat.hides_value_of("password")
    assert compat._hides.cache_info().currsize == 1


def test_a_fact_of_a_codec_with_a_sensitive_name_is_masked() -> None:
    from types import SimpleNamespace

    from airflow_xcom.backend.placement import summarize

    payload: Any = SimpleNamespace(summary={"token": "abc", "host": "h"})
    assert summarize(1, payload, 5, "rows") == {"type": "int", "bytes": 5, "token": "***", "host": "h"}


def test_what_cannot_be_shown_is_refused(backend: Backend) -> None:
    with pytest.raises(HintError, match="preview='all'.*rows, columns, none"):
        stored(1, preview="all")
    backend.options(preview="all")
    with pytest.raises(SettingsError, match="preview = 'all'"):
        backend.push(np.arange(3))

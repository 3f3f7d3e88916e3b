"""Rows as Airflow 2 has them: JSON text in bytes, which are shown through the backend and migrated by text."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_xcom.backend import xcom
from airflow_xcom.backend.compat import from_row, json_bytes
from airflow_xcom.backend.ui.row_display import display

# What releases of Airflow 3 do to the text of every row, also to what stands in a value (airflow/migrations/versions/
# 0049_3_0_0_remove_pickled_data_from_xcom_table.py): since 3.1 on SQLite, since 3.1 elsewhere, and since 3.3.
MIGRATIONS = [
    lambda text: re.sub("NaN|-?Infinity", lambda found: f'"{found[0]}"', text),
    lambda text: re.sub(r"([:,\[]\s*|^)(NaN|-?Infinity)(?=\s*[,}\]]|$)", r'\1"\2"', text),
    lambda text: text.replace(r"\u0000", ""),
]
TEXTS = st.lists(st.sampled_from(["NaN", "Infinity", "-", "\\", "u0000", '"', ":", ",", "]", " ", "ü", "N"])).map(
    "".join
)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@pytest.fixture
def airflow2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xcom, "STORES_BYTES", True)


@given(value=VALUES)
@settings(deadline=None)
def test_no_migration_changes_a_row(value: Any) -> None:
    text = json_bytes(value).decode()
    assert json.loads(text) == value
    for migrate in MIGRATIONS:
        assert json.loads(migrate(text)) == value


@pytest.mark.parametrize("value", [{"a": [1, 2.5, "NaN"]}, None, "text", (1, 2), np.arange(10), np.arange(100_000)])
def test_a_row_is_bytes(value: Any, backend: Any, airflow2: None) -> None:
    backend.options(threshold=49152)
    row = backend.push(value)
    assert type(row) is bytes
    back = backend.pull(row)
    assert type(back) is type(value)
    assert np.array_equal(back, value)


def test_a_plain_row_is_what_airflow_2_writes_itself(backend: Any, airflow2: None) -> None:
    assert backend.push({"ü": [1, None, "x"]}) == json.dumps({"ü": [1, None, "x"]}).encode()


def test_a_pickle_is_left_to_airflow(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pickle = b"\x80\x04K\x01."
    monkeypatch.setattr(xcom.BaseXCom, "deserialize_value", lambda row: (row.value, "by Airflow"))
    assert from_row(pickle) is pickle
    assert backend.pull(pickle) == (pickle, "by Airflow")


def page(row: Any, stock: Any = lambda: "by Airflow") -> Any:
    return display(SimpleNamespace(value=row, key="return_value"), stock)


def test_a_page_shows_the_envelope_of_a_small_value_as_it_is(backend: Any, airflow2: None) -> None:
    row = backend.push((1, 2))
    assert page(row) == json.loads(row)


def test_a_page_shows_the_summary_of_a_large_value_and_not_the_value(backend: Any, airflow2: None) -> None:
    backend.options(threshold=-1)
    row = backend.push(np.arange(4096.0))
    found, whole = page(row)["airflow_xcom"], json.loads(row)["airflow_xcom"]
    assert found["summary"] == whole["summary"]
    assert found["data"] == f"{len(json.dumps(whole['data']))} bytes of JSON, which are not shown"
    assert len(row) > 40_000
    assert len(json.dumps(found)) < 2048


def test_a_page_shows_a_blob_that_is_gone(backend: Any, airflow2: None) -> None:
    backend.options(threshold=0)
    row = backend.push(np.arange(4096.0))
    for path in backend.blobs():
        path.unlink()
    backend.options(path="file:///nowhere", threshold="not a number")
    assert page(row) == json.loads(row)


def test_a_page_shows_other_rows_as_airflow_does() -> None:
    assert page(b'{"a": 1}') == "by Airflow"
    assert page(None) == "by Airflow"


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x80",
        b"{",
        b'{"airflow_xcom": null}',
        b'{"airflow_xcom": {"data": {}}}',
        b'{"airflow_xcom": 1, "a": 2}',
        7,
    ],
)
def test_a_page_is_never_lost(row: Any) -> None:
    def stock() -> Any:
        raise ValueError("cannot read that")

    found = page(row, stock)
    if not (isinstance(found, dict) and "airflow_xcom" in found):
        assert found == "cannot be shown: ValueError: cannot read that"

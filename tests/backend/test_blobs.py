"""What stands in the store: one blob a value, and plain Arrow files for tables."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from airflow.sdk.bases.xcom import BaseXCom
from conftest import Backend

from airflow_xcom.backend import StoreError
from airflow_xcom.backend.stores import open_store
from airflow_xcom.codecs.testing import difference


def flights(rows: int = 5000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "carrier": pd.Series(["UA", None, "DL", "AA"] * (rows // 4), dtype=object),
            "delay": np.linspace(-5, 300, rows),
            "day": pd.date_range("2013-01-01", periods=rows, freq="min", tz="America/New_York"),
            "origin": pd.Categorical(["JFK", "LGA"] * (rows // 2)),
            "distance": pd.array([1, None] * (rows // 2), dtype="Int32"),
        }
    )


def test_a_dict_of_frames_is_one_blob(backend: Backend) -> None:
    value = {"a": flights(), "b": flights(400), "array": np.arange(9000), "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}
    row = backend.push(value)
    (blob,) = backend.blobs()
    assert blob.suffix == ".msgpack"
    assert row["airflow_xcom"]["ref"]["format"] == "msgpack"
    assert difference(value, backend.pull(row)) is None


def test_a_frame_alone_is_an_arrow_file(backend: Backend) -> None:
    frame = flights()
    backend.push(frame)
    (blob,) = backend.blobs()
    assert blob.suffix == ".arrow"
    read = pl.read_ipc(blob)
    assert read.columns == list(frame.columns)
    assert read["delay"].to_list() == frame["delay"].tolist()
    assert read["carrier"].to_list() == frame["carrier"].tolist()
    assert read["day"].to_list() == list(frame["day"].dt.to_pydatetime())
    assert read["origin"].to_list() == frame["origin"].tolist()
    assert read["distance"].to_list() == [1, None] * 2500
    assert str(read.schema["day"]).startswith("Datetime(time_unit='us', time_zone='America/New_York')")
    assert read.schema["distance"] == pl.Int32


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed and named from now on."""
    told: list[str] = []

    def tell(name: str, step: Callable[..., Any]) -> None:
        act = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, **more: (told.append(step(*given)), act(*given, **more))[1])

    tell("fsync", lambda descriptor: f"flush {Path(f'/proc/self/fd/{descriptor}').readlink().suffix or 'folder'}")
    tell("rename", lambda _source, target, **_: f"name {Path(target).suffix or 'folder'}")
    return told


def test_a_blob_is_on_the_disk_before_it_has_its_name(backend: Backend, steps: list[str]) -> None:
    """And its name before the push ends, so that no row refers to a blob that a crash of the host took."""
    backend.push(flights(), dag_id="first")
    made = steps.count("name folder")
    assert made == len(backend.blobs()[0].relative_to(backend.folder).parents), "the base, dag, run, task and index"
    assert steps[-made - 2 :] == ["flush .tmp", "name .arrow", "flush folder", *["flush folder"] * (made - 1)]
    assert steps.count("flush folder") == made + 1
    steps.clear()
    backend.push(flights(), dag_id="first")
    assert steps == ["flush .tmp", "name .arrow", "flush folder"]


def test_what_is_not_durable_is_not_flushed(backend: Backend, steps: list[str]) -> None:
    backend.options(durable=False)
    assert backend.pull(backend.push(flights())).equals(flights())
    assert not [step for step in steps if step.startswith("flush")]
    assert steps[-1] == "name .arrow"


def test_folders_are_flushed_even_if_the_blob_fails(backend: Backend, steps: list[str]) -> None:
    """Another push may have put a blob into them meanwhile."""
    store = open_store(backend.folder.as_uri())

    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise OSError

    with pytest.raises(StoreError):
        store.put("a/b/blob", chunks())
    assert steps.count("name folder") == steps.count("flush folder") >= 2


def test_duckdb_reads_the_arrow_file(backend: Backend) -> None:
    import pyarrow as pa

    frame = flights()
    backend.push(frame)
    stored = pa.ipc.open_file(backend.blobs()[0].read_bytes()).read_all()
    with duckdb.connect() as database:
        database.register("stored", stored)
        carriers = database.execute("select carrier from stored group by carrier order by carrier").fetchall()
        totals = database.execute("select count(*), round(sum(delay), 3), sum(distance) from stored").fetchall()
    assert carriers == [("AA",), ("DL",), ("UA",), (None,)]
    assert totals == [(len(frame), round(float(frame["delay"].sum()), 3), int(frame["distance"].sum()))]


@pytest.mark.parametrize("value", [flights(), {"f": flights(4)}, np.arange(5), (1,), 5.0, {1: 2}], ids=str)
def test_the_summary_is_small_and_readable(backend: Backend, value: Any) -> None:
    row = backend.push(value)
    if not isinstance(row, dict):
        assert row == value
        return
    summary = row["airflow_xcom"]["summary"]
    assert summary["type"].rpartition(".")[2] == type(value).__name__
    assert summary["bytes"] > 0
    assert len(json.dumps(summary)) < 2500


def test_a_summary_that_no_json_column_holds_is_left_out(backend: Backend) -> None:
    frame = pd.DataFrame({"a" * 5000: [1]})
    summary = backend.push(frame)["airflow_xcom"]["summary"]
    assert "bytes" in summary
    assert len(json.dumps(summary)) < 2500


def test_the_row_of_a_small_frame_is_smaller_than_stock_airflows(backend: Backend) -> None:
    frame = pd.DataFrame({"carrier": ["UA", "AA", "DL"], "delay": [1.5, 2.5, np.nan], "flight": [1, 2, 3]})
    ours, stock = (len(json.dumps(row)) for row in (backend.push(frame), BaseXCom.serialize_value(frame)))
    assert ours <= 0.6 * stock, (ours, stock)

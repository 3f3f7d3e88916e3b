"""What the Data tab shows of values, asked over HTTP of a real server."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zoneinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Backend
from data_tab import Tab

from airflow_xcom.backend import stored
from airflow_xcom.backend.stores import files
from airflow_xcom.backend.ui import comparison, table_view
from airflow_xcom.backend.ui.column_statistics import ColumnFacts

pytestmark = pytest.mark.installation

FRAME = pd.DataFrame(
    {
        "number": pd.array([1, None, 3], "Int64"),
        "carrier": pd.Categorical(["AA", None, "UA"]),
        "time": pd.to_datetime(["2024-03-31 01:00", None, "2024-03-31 04:00"])
        .tz_localize("Europe/Berlin")
        .as_unit("ns"),
        "password": ["hunter2", "x", "y"],
        "=formula": ["=1+1", "-2", "<script>alert(1)</script>"],
        "float": [0.1, float("nan"), -2.5e300],
    },
    index=pd.Index(["r1", "r2", "r3"], name="row"),
)


def shown(tab: Tab, rows: int = 3, columns: int = 20, **query: Any) -> dict[str, Any]:
    answer = tab.get("cells", rows=rows, columns=columns, **query)
    return {column["name"]: cells for column, cells in zip(answer["columns"], answer["cells"], strict=True)}


@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
def test_a_frame_is_shown_as_exact_text(threshold: int, tab: Tab, backend: Backend) -> None:
    backend.options(threshold=threshold)
    tab.push(FRAME)
    facts = tab.get("value")
    assert (facts["kind"], facts["rows"], facts["width"], facts["index_width"]) == ("table", 3, 7, 1)
    assert shown(tab) == {
        "number": ["1", None, "3"],
        "carrier": ["AA", None, "UA"],
        "time": ["2024-03-31 01:00:00.000000000+0100", None, "2024-03-31 04:00:00.000000000+0200"],
        "password": ["***", "***", "***"],
        "=formula": ["=1+1", "-2", "<script>alert(1)</script>"],
        "float": ["0.1", "nan", "-2.5e+300"],
        "row": ["r1", "r2", "r3"],
    }
    types = {column["name"]: column["type"] for column in tab.get("cells", columns=20)["columns"]}
    assert types["number"] == "Int64"
    assert types["carrier"] == "category"
    assert types["time"] == "datetime64[ns, Europe/Berlin]"
    assert "hunter2" not in tab.ask("cells", rows=3, columns=20).text


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "pyarrow"])
def test_tables_of_other_libraries(make: Any, tab: Tab) -> None:
    tab.push(make({"a": [2**62, None], "d": [Decimal("1.10"), None], "s": [{"x": [1], "token": "t"}, None]}))
    assert shown(tab) == {
        "a": [str(2**62), None],
        "d": ["1.10", None],
        "s": ["***", "***"],
    }


def test_a_window_reads_no_more_than_it_shows(tab: Tab) -> None:
    tab.push(pd.DataFrame(np.arange(2_000_000.0).reshape(20_000, 100)))
    answer = tab.get("cells", row=19_990, rows=60, column=90, columns=60)
    assert answer["cells"] == [[str(row * 100 + column) for row in range(19_990, 20_000)] for column in range(90, 100)]
    assert answer["numbers"] == [*map(str, range(19_990, 20_000))]
    assert 0 < answer["read"] < 0.02 * answer["size"]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_first_cells_come_with_the_facts(levels: int, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    stock = files.FileStore.read

    def counted(self: Any, path: str, ranges: Any) -> Any:
        reads.append(len(ranges))
        return stock(self, path, ranges)

    frame = pd.DataFrame(np.arange(400_000.0).reshape(20_000, 20)).rename(columns={3: "password", 4: "text"})
    frame["text"] = [f"text {number}" for number in range(20_000)]
    if levels:
        frame = frame.set_index([pd.Index(np.arange(20_000) % 70, name=f"level {level}") for level in range(levels)])
    tab.push(frame)
    monkeypatch.setattr(files.FileStore, "read", counted)
    facts = tab.get("value", rows=50, columns=10)
    assert len(reads) == 3  # the head and the foot, numbers and offsets, and text
    blocks = [tab.get("cells", rows=50, columns=10, column=column) for column in ([0, 20] if levels else [0])]
    for name in ("columns", "cells"):
        assert facts["first"][name] == [each for block in blocks for each in block[name]]
    assert facts["first"]["numbers"] == blocks[0]["numbers"]
    assert facts["first"]["cells"][3] == ["***"] * 50
    assert 0 < facts["read"] < 0.05 * facts["size"]
    assert tab.get("result", rows=50, columns=10) == facts
    assert "first" not in tab.get("value")
    assert (tab.get("value", rows=599, columns=10)["first"] is None) == bool(levels)  # more than 6,000 cells


def test_a_result_that_is_not_there_is_null(tab: Tab) -> None:
    tab.push(FRAME, "another")
    assert tab.get("result", "another", rows=50, columns=10) is None
    assert tab.refusal("value") == (404, "none")


def test_facts_are_told_of_a_table_whose_cells_cannot_be(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("damaged")

    tab.push(FRAME)
    monkeypatch.setattr(table_view.TableView, "cells", fail)
    assert "first" not in tab.get("value", rows=50, columns=10)
    assert tab.refusal("cells", rows=50, columns=10) == (422, "unreadable")


def test_many_columns_and_no_rows(tab: Tab) -> None:
    tab.push(pd.DataFrame({f"c{column}": [column] for column in range(10_000)}))
    answer = tab.get("cells", rows=1, column=9_990, columns=60)
    assert answer["cells"] == [[str(column)] for column in range(9_990, 10_000)]
    tab.push(pd.DataFrame({"é中": pd.Series([], dtype="f8")}))
    assert tab.get("value")["rows"] == 0
    answer = tab.get("cells", rows=3, columns=20)
    assert (answer["columns"][0]["name"], answer["cells"]) == ("é中", [])


@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
@pytest.mark.parametrize(
    "names",
    [
        ["password", *map(str, range(200))],
        [0, "my_password", *range(1, 200)],
        [("a", "password"), *(("b", str(number)) for number in range(200))],
    ],
    ids=["text", "objects", "levels"],
)
def test_a_wide_frame_keeps_masks(names: list[Any], threshold: int, tab: Tab, backend: Backend) -> None:
    backend.options(threshold=threshold)
    frame = pd.DataFrame([range(777_000, 777_000 + len(names))], columns=pd.Index(names))
    secrets = [number for number, name in enumerate(names) if "password" in str(name)]
    for value, path in ((frame, ""), ({"frame": frame}, "0")):
        tab.push(value)
        assert tab.get("value", path=path)["width"] == len(names)
        shown = tab.get("cells", rows=1, columns=len(names), path=path)
        expected = [["***"] if number in secrets else [str(777_000 + number)] for number in range(len(names))]
        assert shown["cells"] == expected
        assert f"{777_000 + secrets[0]}".encode() not in tab.ask("download/csv", path=path).content
        assert tab.refusal("statistics", column=secrets[0], path=path) == (403, "hidden")
    tab.push(frame)
    assert tab.refusal("download/arrow")[0] in {403, 422}


@pytest.mark.parametrize("nested", [False, True])
def test_labels_of_a_wide_frame_are_read_wherever_it_stands(nested: bool, tab: Tab) -> None:
    frame = pd.DataFrame([range(9_000)], columns=[f"c{number}" for number in range(9_000)])
    tab.push({"frame": frame} if nested else frame)
    answer = tab.get("cells", rows=1, column=8_999, columns=60, path="0" if nested else "")
    assert [(column["name"], cells) for column, cells in zip(answer["columns"], answer["cells"], strict=True)] == [
        ("c8999", ["8999"])
    ]


def test_a_cell_is_cut_and_shown_whole_alone(tab: Tab) -> None:
    tab.push(pd.DataFrame({"a": ["x" * 5000], "b": [1]}))
    assert shown(tab, rows=1)["a"] == ["x" * 200 + "…"]
    assert shown(tab, rows=1, columns=1)["a"] == ["x" * 5000]


def test_a_tree_opens_level_by_level(tab: Tab) -> None:
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    value = {
        "price": Decimal("1.10"),
        "when": dt.datetime(2024, 1, 1, 12, tzinfo=zone),
        "frame": FRAME,
        "token": "secret",
        "many": list(range(250)),
        "<b>": ("\ud800", b"xy"),
        "array": np.arange(6, dtype="i4").reshape(2, 3),
    }
    tab.push(value)
    assert tab.get("value")["kind"] == "tree"
    items = {item["name"]: item for item in tab.get("items")["items"]}
    assert items["price"]["text"] == "1.10"
    assert items["when"]["text"] == "2024-01-01 12:00:00+01:00"
    assert items["token"] == {"name": "token", "type": "masked", "text": "***", "length": 0}
    assert "secret" not in tab.ask("items").text
    assert items["frame"]["kind"] == "table"
    path = ".".join(map(str, items["frame"]["path"]))
    assert tab.get("value", path=path)["rows"] == 3
    assert shown(tab, path=path)["carrier"] == ["AA", None, "UA"]
    many = tab.get("items", path="4", first=200)
    assert [item["text"] for item in many["items"]] == [str(number) for number in range(200, 250)]
    assert tab.get("items", path="5")["items"][0]["text"] == "\ud800"
    assert tab.refusal("items", path="3") == (422, "unreadable")
    assert tab.refusal("items", path="99") == (422, "unreadable")
    assert tab.get("array", path="6", rows=2, columns=3)["cells"] == [["0", "1", "2"], ["3", "4", "5"]]


def test_multiple_outputs_are_opened_in_their_own_payloads(tab: Tab, backend: Backend) -> None:
    value = {"frame": FRAME, "array": np.arange(6000, dtype="i4"), "count": 3, "list": [FRAME.copy(), "x"]}
    for key, item in value.items():
        tab.push(item, key)
    tab.push(value)
    assert len(backend.blobs()) == 3
    facts = tab.get("value")
    assert (facts["kind"], facts["tag"]) == ("tree", "dict")
    assert "keys" in facts["where"]["place"]
    items = {item["name"]: item for item in tab.get("items")["items"]}
    assert (items["frame"]["kind"], items["count"]["text"]) == ("table", "3")
    path = ".".join(map(str, items["frame"]["path"]))
    assert shown(tab, path=path)["carrier"] == ["AA", None, "UA"]
    assert shown(tab, path=path)["password"] == ["***"] * 3
    assert tab.get("array", path="1", rows=1, column=5998, columns=2)["cells"] == [["5998", "5999"]]
    assert shown(tab, path="3.0")["carrier"] == ["AA", None, "UA"]
    assert tab.refusal("verify")[0] == 422
    assert pq.read_table(io.BytesIO(tab.ask("download/parquet", path=path).content)).num_rows == 3


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_list_of_large_items(compression: str, tab: Tab, backend: Backend) -> None:
    backend.options(compression=compression)
    frame = pd.DataFrame({"a": np.arange(9000), "password": "x"})
    tab.push([frame, {"array": np.arange(9000), "token": "secret" * 900}, frame])
    items = tab.get("items")["items"]
    assert [item.get("kind") for item in items] == ["table", None, "table"]
    assert shown(tab, rows=1, row=8999, path="0") == {"a": ["8999"], "password": ["***"]}
    assert tab.get("array", path="1.0", rows=1, column=8998, columns=5)["cells"] == [["8998", "8999"]]
    assert "secret" not in tab.ask("items", path="1").text


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_window_of_an_array(order: Any, tab: Tab) -> None:
    array = np.asarray(np.random.default_rng(1).normal(size=(3, 40, 50)).astype("f4"), order=order)
    tab.push(array)
    facts = tab.get("value")
    assert (facts["kind"], facts["shape"], facts["dtype"], facts["order"]) == ("array", [3, 40, 50], "<f4", order)
    window = tab.get("array", index="2", row=30, rows=20, column=45, columns=20)
    plane = array[2] if order == "C" else array[:, :, 2]
    assert window["axes"] == ([1, 2] if order == "C" else [0, 1])
    part = plane[30:50, 45:65]
    assert window["cells"] == [[str(item) for item in row] for row in part]
    heat = tab.get("heat", index="0")
    plane = array[0] if order == "C" else array[:, :, 0]
    assert (heat["low"], heat["high"]) == (float(plane.min()), float(plane.max()))
    assert np.array(heat["levels"]).shape == plane.shape
    assert np.unravel_index(np.array(heat["levels"]).argmax(), plane.shape) == np.unravel_index(
        plane.argmax(), plane.shape
    )


def test_an_array_with_one_axis_is_a_line(tab: Tab) -> None:
    values = np.sin(np.arange(100_000) / 1000)
    values[500] = np.nan
    tab.push(values)
    line = tab.get("line")
    assert (len(line["bins"]), line["left_out"]) == (600, 1)
    assert max(high for _, high in line["bins"]) == np.nanmax(values)
    assert tab.get("array", row=500, rows=2, columns=1) is not None


def test_labels_beyond_what_a_browser_counts_are_text(tab: Tab) -> None:
    tab.push(pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(2**53 + 1, 2**53 + 3)))
    assert tab.get("cells", rows=2, columns=1)["numbers"] == ["9007199254740993", "9007199254740994"]


def test_what_a_drawing_lacks_is_counted(tab: Tab) -> None:
    tab.push(np.array([[1.0, np.nan], [np.inf, 2.0]]))
    assert tab.get("heat")["left_out"] == 2
    tab.push(pd.Series([1.0, None, float("-inf"), 4.0], name="s"))
    assert tab.get("line", column=0)["left_out"] == 2
    tab.push(pd.DataFrame({"bytes": [b"x"]}))
    assert tab.get("value")["has_bytes"]
    tab.push(FRAME)
    assert not tab.get("value")["has_bytes"]


def test_plain_values_are_json(tab: Tab) -> None:
    tab.push({"a": [1, None], "password": "x"})
    facts = tab.get("value")
    assert json.loads(facts["text"]) == {"a": [1, None], "password": "***"}
    assert tab.ask("download/json").json() == {"a": [1, None], "password": "***"}


def test_the_values_of_a_task_and_of_a_run_are_listed(tab: Tab, backend: Backend) -> None:
    tab.push(FRAME, "frame")
    tab.push(1, "one")
    tab.push("x", "my_password")
    listed = {row["key"]: row for row in tab.client.get(tab.path("xcoms")).json()["xcoms"]}
    assert listed["frame"]["state"] == "store"
    assert listed["frame"]["shape"] == [3, 6]
    assert (listed["one"]["state"], listed["one"]["type"]) == ("row", "int")
    assert listed["my_password"]["state"] == "hidden"
    of_run = tab.client.get("/api/dags/flights/runs/one/xcoms").json()["xcoms"]
    assert {(row["task_id"], row["key"]) for row in of_run} >= {("extract", "frame"), ("extract", "one")}
    assert tab.refusal("value", "my_password") == (403, "hidden")


def test_statistics_of_a_column(tab: Tab) -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, None, 4.0, float("nan")], "s": ["a", "b", "a", None, "a"]})
    frame["n"] = pd.array([1.0, 2.0, None, 4.0, 5.0], "Float64")
    tab.push(frame)
    found = tab.last("statistics", column=0)
    facts = {name: found[name] for name in ("nulls", "distinct", "min", "max", "mean", "complete", "done")}
    assert facts == {"nulls": 1, "distinct": 4, "min": "1", "max": "5", "mean": "3.0", "complete": True, "done": 5}
    assert sum(found["histogram"]) == 4
    found = tab.last("statistics", column=1)
    assert (found["nulls"], found["distinct"], found["top"][0]) == (1, 2, ["a", 3])
    tab.push(FRAME)
    assert tab.refusal("statistics", column=3) == (403, "hidden")


def test_a_mean_that_floats_cannot_hold_is_about() -> None:
    columns = {
        "1.5": pa.array([1, 2], pa.int64()),
        "0.25": pa.array([0.25], pa.float64()),
        "about 1e+18": pa.array([10**18, 10**18], pa.int64()),
        "about 9007199254740992.0": pa.array([2**53 + 1], pa.uint64()),
        "about 1.1": pa.array([Decimal("1.1")]),
    }
    for mean, array in columns.items():
        facts = ColumnFacts(array.type)
        facts.add(pa.chunked_array([array]))
        assert facts.found()["mean"] == mean


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_statistics_of_durations(unit: str, tab: Tab) -> None:
    tab.push(pd.DataFrame({"d": pd.to_timedelta([3, None, -5], unit="s").as_unit(unit)}))
    found = tab.last("statistics", column=0)
    ticks = {"s": 1, "ns": 10**9}[unit]
    assert (found["nulls"], found["distinct"], found["complete"]) == (1, 2, True)
    assert (found["min"].split()[0], found["max"].split()[0]) == (str(-5 * ticks), str(3 * ticks))
    assert (found["histogram"][0], found["histogram"][-1]) == (1, 1)


def test_a_forged_kind_of_a_column_is_text() -> None:
    from airflow_xcom.backend.ui.table_view import _kind_text

    assert _kind_text([["x"]], pa.int64()) == "['x']"


def test_statistics_tell_progress_and_bytes(tab: Tab) -> None:
    tab.push(pd.DataFrame({"n": np.arange(600_000), "other": 0.0}))
    lines = [json.loads(line) for line in tab.ask("statistics", column=0).text.splitlines()]
    assert [line["done"] for line in lines[:3]] == [262_144, 524_288, 600_000]
    assert (lines[-1]["min"], lines[-1]["max"], lines[-1]["distinct"]) == ("0", "599999", None)
    assert 600_000 * 8 < lines[-1]["read"] < 1.2 * 600_000 * 8


def test_columns_that_lie_together_are_read_in_parts(tab: Tab) -> None:
    frame = pd.DataFrame(np.arange(8_700_000.0).reshape(2900, 3000))
    tab.push(frame)
    window = tab.get("cells", row=2890, rows=50, column=2990, columns=10)
    assert window["cells"][9][-1] == "8699999"
    assert window["read"] < 0.02 * window["size"]
    lines = [json.loads(line) for line in tab.ask("statistics", column=7).text.splitlines()]
    assert (lines[-1]["min"], lines[-1]["max"], lines[-1]["complete"]) == ("7", "8697007", True)
    assert lines[-1]["read"] > 64 << 20


def test_what_is_not_exact_is_marked(tab: Tab, backend: Backend) -> None:
    class Text(str):
        __slots__ = ()

    backend.options(inexact="as_airflow", preview="rows")
    tab.push({"a": (Text("x"), Text("y"))})
    assert tab.get("value")["inexact"]["count"] == 2
    assert len(tab.get("value")["inexact"]["places"]) == 2
    listed = {row["key"]: row for row in tab.client.get(tab.path("xcoms")).json()["xcoms"]}
    assert listed["return_value"]["inexact"] == 2
    backend.options(preview="none")
    assert tab.get("value")["inexact"] == {"count": 2, "places": []}


def test_downloads(tab: Tab, backend: Backend) -> None:
    frame = FRAME.drop(columns="password")
    tab.push(frame)
    assert tab.get("value")["downloads"] == ["arrow", "parquet", "csv"]
    (blob,) = [path for path in backend.blobs() if path.suffix == ".arrow"]
    arrow = tab.ask("download/arrow")
    assert arrow.content == blob.read_bytes()
    assert "attachment" in arrow.headers["content-disposition"]
    table = pq.read_table(io.BytesIO(tab.ask("download/parquet").content))
    assert table["number"].to_pylist() == [1, None, 3]
    lines = tab.ask("download/csv").content.decode().split("\r\n")
    assert lines[0] == "row,number,carrier,time,'=formula,float"
    assert lines[1] == "r1,1,AA,2024-03-31 01:00:00.000000000+0100,'=1+1,0.1"
    assert lines[2] == "r2,,,,'-2,nan"
    assert lines[3].endswith(",<script>alert(1)</script>,-2.5e+300")


@pytest.mark.parametrize("start", [*"=+-@\t\r\n\0", *"\uff1d\uff0b\uff0d\uff20"], ids=ascii)
def test_no_cell_of_a_csv_is_a_formula(start: str, tab: Tab) -> None:
    formula = f"{start}cmd|' /c calc'!A1"
    name = formula.replace("\0", "=")
    frame = pd.DataFrame({name: [formula], "category": pd.Categorical([formula]), "number": [-1.5]}, index=[formula])
    tab.push(frame.rename_axis("row"))
    with io.StringIO(tab.ask("download/csv").content.decode(), newline="") as text:
        head, row = csv.reader(text)
    assert head == ["row", f"'{name}", "category", "number"]
    assert row == [f"'{formula}"] * 3 + ["-1.5"]


def test_what_parquet_lacks_is_refused(tab: Tab) -> None:
    tab.push(pa.table({"a": pa.array([b""], pa.binary(0))}))
    assert tab.refusal("download/parquet") == (422, "unreadable")


def test_downloads_keep_masks(tab: Tab) -> None:
    tab.push(FRAME)
    assert tab.get("value")["downloads"] == ["parquet", "csv"]
    assert tab.refusal("download/arrow") == (403, "hidden")
    assert b"hunter2" not in tab.ask("download/csv").content
    table = pq.read_table(io.BytesIO(tab.ask("download/parquet").content))
    assert table["password"].to_pylist() == ["***"] * 3


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_saved_as_npy(order: Any, tab: Tab) -> None:
    array = np.asarray(np.arange(6000.0).reshape(60, 100), order=order)
    tab.push(array)
    found = np.load(io.BytesIO(tab.ask("download/npy").content))
    np.testing.assert_array_equal(found, array)
    assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_what_is_compressed(compression: str, tab: Tab, backend: Backend) -> None:
    backend.options(compression=compression)
    tab.push(pd.DataFrame({"a": np.zeros(50_000), "b": 1}))
    assert shown(tab, rows=2, row=49_998) == {"a": ["0", "0"], "b": ["1", "1"]}
    assert tab.last("statistics", column=1)["mean"] == "1.0"
    tab.push({"array": np.zeros(50_000)})
    assert tab.get("array", path="0", column=49_998, columns=5, rows=1)["cells"] == [["0.0", "0.0"]]


def test_a_digest_is_verified(tab: Tab, backend: Backend) -> None:
    tab.push(FRAME)
    assert tab.last("verify")["matches"] is True
    (blob,) = backend.blobs()
    data = bytearray(blob.read_bytes())
    data[100] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    assert tab.last("verify")["matches"] is False


def test_a_value_that_cannot_be_read_says_why(tab: Tab, backend: Backend) -> None:
    tab.push(FRAME)
    (blob,) = backend.blobs()
    blob.unlink()
    assert tab.refusal("value") == (410, "gone")
    assert tab.refusal("download/csv") == (410, "gone")
    assert tab.refusal("verify") == (410, "gone")
    assert tab.refusal("value", "missing") == (404, "none")


def test_only_names_and_types_where_the_preview_says_columns(tab: Tab, backend: Backend) -> None:
    tab.push(stored(FRAME, preview="columns"))
    answer = tab.get("cells", rows=3, columns=3)
    assert answer["cells"] == []
    assert [column["name"] for column in answer["columns"]] == ["number", "carrier", "time"]
    assert tab.get("value")["downloads"] == []
    for what in ("download/arrow", "download/csv", "items", "array", "heat", "line"):
        assert tab.refusal(what)[0] == 403, what
    assert tab.refusal("statistics", column=0)[0] == 403


@pytest.mark.parametrize("way", ["hint", "option"])
def test_nothing_where_the_preview_says_none(way: str, tab: Tab, backend: Backend) -> None:
    tab.push(stored(FRAME, preview="none") if way == "hint" else FRAME)
    if way == "option":
        backend.options(preview="none")
    assert tab.get("value")["kind"] == "hidden"
    assert "number" not in tab.ask("value").text
    assert tab.refusal("cells", rows=1, columns=1) == (403, "hidden")


def compared(tab: Tab, other: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """The columns, their statistics, and the rows that differ."""
    lines = [json.loads(line) for line in tab.ask(f"compare/{other}").text.splitlines()]
    statistics = {line["column"]: line["statistics"] for line in lines if "column" in line}
    return lines[0], statistics, lines[-1]["differing"]


def test_two_runs_are_compared(tab: Tab) -> None:
    long = "x" * 5000
    before = pd.DataFrame(
        {
            "same": np.arange(70_000),
            "number": np.arange(70_000),
            "float": [float("nan"), 1.5] * 35_000,
            "text": pd.Series(["a", None] * 35_000, dtype=object),
            "long": [long] + [""] * 69_999,
            "objects": pd.Series([b"ab"] * 70_000, dtype=object),
            "password": "p",
            "gone": 0,
        }
    )
    after = before.drop(columns="gone").assign(new=1)
    after["number"] = after["number"].astype("float32")
    after.loc[[3, 40_000, 69_999], "text"] = "b"
    after.loc[0, "long"] = long + "y"
    after.loc[1, "objects"] = b"ac"
    tab.push(before, place=("flights", "one", "extract"))
    tab.push(after, place=("flights", "two", "extract"))
    tab.place = ("flights", "two", "extract")
    outline, statistics, differing = compared(tab, "one")
    types = {column["name"]: column["types"] for column in outline["columns"]}
    assert outline["rows"] == [70_000, 70_000]
    assert types["number"] == ["int64", "float32"]
    assert types["gone"] == ["int64", None]
    assert types["new"] == [None, "int64"]
    assert [facts["nulls"] for facts in statistics["text"]] == [35_000, 34_998]
    assert [facts["nans"] for facts in statistics["float"]] == [35_000, 35_000]
    assert "password" not in statistics
    assert differing["counts"] == {"text": 3, "long": 1, "objects": 1}
    assert (differing["rows"], differing["partial"]) == (70_000, {})
    rows = {found["row"]: found["cells"] for found in differing["first"]}
    assert rows.keys() == {0, 1, 3, 40_000, 69_999}
    assert rows[3] == {"text": [None, "b"]}
    assert rows[0]["long"] == ["x" * 200 + "…"] * 2
    assert rows[40_000] == {"text": ["a", "b"]}


def test_frames_that_are_compared_are_read_once(tab: Tab) -> None:
    before = pd.DataFrame(np.random.default_rng(1).normal(size=(900, 3000)))
    after = before.copy()
    after.iloc[[5, 899], 7] = [99.0, np.nan]
    size = 0
    for frame, run in ((before, "one"), (after, "two")):
        tab.push(frame, place=("flights", run, "extract"))
        size += tab.get("value")["size"]
        tab.place = ("flights", "two", "extract")
    read: list[int] = []
    stock = files.FileStore.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            files.FileStore,
            "read",
            lambda self, path, ranges: (
                read.append(sum(stop - start for start, stop in ranges)) or stock(self, path, ranges)
            ),
        )
        outline, statistics, differing = compared(tab, "one")
    assert outline["left_out"] == 2800
    assert 0 < sum(read) < 1.2 * size
    assert len(statistics) == 200
    assert all(facts["complete"] for pair in statistics.values() for facts in pair)
    assert [pair["nans"] for pair in statistics["7"]] == [0, 1]
    assert differing["counts"] == {"7": 2}
    assert [found["row"] for found in differing["first"]] == [5, 899]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_is_equal_and_what_is_not(compression: str, tab: Tab, backend: Backend) -> None:
    backend.options(compression=compression)
    zone = "Europe/Berlin"
    pairs: dict[str, tuple[list[Any], list[Any], int]] = {
        "zero": ([0.0, 1.0, float("nan")], [-0.0, 1.0, float("nan")], 1),
        "half": (np.array([1, 2, np.nan], "f2"), np.array([1, 3, np.nan], "f2"), 1),
        "category": (pd.Categorical(["a", "b", None]), pd.Categorical(["a", None, None], ["b", "a"]), 1),
        "time": (pd.date_range("2024", periods=3, tz=zone), pd.date_range("2024", periods=3, tz="UTC"), 3),
        "list": ([[1], [2], None], [[1], [2, 3], None], 1),
        "decimal": ([Decimal("1.0"), None, Decimal(2)], [Decimal("1.0"), Decimal(1), Decimal(2)], 1),
        "bool": ([True, False, True], [True, True, True], 1),
        "wider": (np.array([1, 2, 3], "i4"), np.array([1, 2, 4], "i8"), 1),
        "bytes": ([b"a", b"", None], [b"a", None, None], 1),
        "same": (["x", None, "z"], ["x", None, "z"], 0),
    }
    for at, run in enumerate(("one", "two")):
        tab.push(pd.DataFrame({name: pair[at] for name, pair in pairs.items()}), place=("flights", run, "extract"))
    tab.place = ("flights", "two", "extract")
    _, statistics, differing = compared(tab, "one")
    assert differing["counts"] == {name: count for name, (_, _, count) in pairs.items() if count}
    assert differing["partial"] == {}
    assert statistics.keys() == pairs.keys()
    assert [facts["distinct"] for facts in statistics["category"]] == [2, 1]
    assert [facts["distinct"] for facts in statistics["half"]] == [2, 2]


def test_tables_of_other_lengths_are_compared_as_far_as_both_go(tab: Tab) -> None:
    for run, rows in (("one", 40_000), ("two", 70_000), ("three", 0)):
        tab.push(pd.DataFrame({"a": np.arange(rows, dtype="i8")}), place=("flights", run, "extract"))
    tab.place = ("flights", "two", "extract")
    outline, statistics, differing = compared(tab, "one")
    assert outline["rows"] == [40_000, 70_000]
    assert [(facts["max"], facts["complete"]) for facts in statistics["a"]] == [("39999", True), ("69999", True)]
    assert differing == {"rows": 40_000, "partial": {}, "counts": {}, "first": []}
    _, statistics, differing = compared(tab, "three")
    assert [facts["complete"] for facts in statistics["a"]] == [True, True]
    assert (differing["rows"], differing["partial"]) == (0, {})


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_comparison_that_is_out_of_time_names_what_it_lacks(
    compression: str, tab: Tab, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(compression=compression)
    for run, number in (("one", 0), ("two", 1)):
        frame = pd.DataFrame({name: np.full(40_000, number) for name in "ab"})
        tab.push(frame, place=("flights", run, "extract"))
    tab.place = ("flights", "two", "extract")
    monkeypatch.setattr(comparison, "_SECONDS", 0)
    _, _, differing = compared(tab, "one")
    if compression == "zstd":  # column by column
        assert (differing["partial"], differing["counts"]) == ({"b": 0}, {"a": 40_000})
    else:
        assert differing["partial"] == differing["counts"] == dict.fromkeys("ab", 1 << 15)


def test_the_version_that_wrote_a_model_is_told(tab: Tab) -> None:
    import sklearn
    from sklearn.linear_model import LinearRegression

    tab.push(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
    assert tab.get("value")["writer"] == f"scikit-learn {sklearn.__version__}"
    tab.push({"a": (1,)})
    assert tab.get("value")["writer"] is None


def test_what_is_no_table_is_not_compared(tab: Tab) -> None:
    for run in ("one", "two"):
        tab.push({"a": (1,)}, place=("flights", run, "extract"))
    assert tab.refusal("compare/two")[0] == 422
    assert tab.refusal("compare/missing") == (404, "none")
    tab.push(FRAME)
    tab.push(stored(FRAME, preview="columns"), place=("flights", "two", "extract"))
    assert tab.refusal("compare/two") == (403, "hidden")


def test_a_value_over_time(tab: Tab, backend: Backend) -> None:
    for number, run in enumerate(("one", "two", "three"), 1):
        tab.push(number * 1.5, "score", place=("trains", run, "extract"))
        tab.push(FRAME[:number], "frame", place=("trains", run, "extract"))
    tab.place = ("trains", "two", "extract")
    runs = tab.get("history", "score")["runs"]
    assert [(run["run_id"], run["number"]) for run in runs] == [("two", 3.0), ("one", 1.5)]
    assert [run["shape"] for run in tab.get("history", "frame")["runs"]] == [[2, 6], [1, 6]]
    nulls = [["number", 1], ["carrier", 1], ["time", 1]]
    assert [run["nulls"] for run in tab.get("history", "frame")["runs"]] == [nulls, []]
    for preview in ("columns", "none"):
        tab.push(stored(FRAME, preview=preview), "hidden", place=("trains", "two", "extract"))
        assert ["nulls" in run for run in tab.get("history", "hidden")["runs"]] == [False]
        backend.options(preview=preview)
        assert ["nulls" in run for run in tab.get("history", "frame")["runs"]] == [False, False]
        backend.options(preview="rows")
    backend.options(preview="none")
    assert [run.get("number") for run in tab.get("history", "score")["runs"]] == [None, None]

"""Columns of every Arrow type in the Data tab, asked over HTTP of a real server."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_tab import Tab
from test_arrow import COLUMNS

pytestmark = pytest.mark.installation

INF, NAN = float("inf"), float("nan")
MORE: dict[str, Any] = {
    "constant": pa.array([1e20] * 3),
    "equal_times": pa.array([1_700_000_000_000_000_000] * 3, pa.timestamp("ns")),
    "long_ids": pa.array([10**18 + at for at in range(3)] + [None]),
    "all_of_int64": pa.array([-(2**63), 2**63 - 1]),
    "infinite": pa.array([INF, -INF, NAN, 1.0, None]),
    "tiny": pa.array([5e-324, 1e-310, None]),
    "widest": pa.array([-1.7e308, 1.7e308]),
    "views_and_nulls": pa.array(["a", None] * 3, pa.string_view()),
    "runs_of_numbers": pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array([7, None])),
    "runs_of_views": pa.RunEndEncodedArray.from_arrays(
        pa.array([2, 5], pa.int32()), pa.array(["x", None], pa.string_view())
    ).slice(1, 3),
    "dictionary_of_numbers": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array([10, None, 9])),
}
ARRAYS = {**{name: make() for name, make in COLUMNS.items()}, **MORE}


def push_two(tab: Tab, before: Any, after: Any) -> None:
    for run, value in (("one", before), ("two", after)):
        tab.push(value, place=("flights", run, "extract"))
    tab.place = ("flights", "two", "extract")


def compared(tab: Tab) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The outline, the statistics of both by column, and what differs."""
    lines = [json.loads(line) for line in tab.ask("compare/one").text.splitlines()]
    return lines[0], {line["column"]: line["statistics"] for line in lines if "column" in line}, lines[-1]["differing"]


@pytest.mark.parametrize("length", sorted({len(array) for array in ARRAYS.values()}))
def test_columns_of_every_type_are_shown_summed_up_and_compared(length: int, tab: Tab) -> None:
    arrays = {name: array for name, array in ARRAYS.items() if len(array) == length}
    push_two(tab, pa.table(arrays), pa.table(arrays))
    found = {name: tab.last("statistics", column=at) for at, name in enumerate(arrays)}
    nulls = {name: sum(map(_is_null, array)) for name, array in arrays.items()}
    assert {name: facts["nulls"] for name, facts in found.items()} == nulls
    counted = {name: sum(count for _, count in facts["top"]) + facts["nans"] for name, facts in found.items()}
    assert counted == {name: length - many for name, many in nulls.items()}
    cells = tab.get("cells", rows=length, columns=len(arrays))["cells"]
    assert [column.count(None) for column in cells] == (list(nulls.values()) if length else [])
    assert {tab.ask("line", column=at).status_code for at in range(len(arrays))} <= {200, 422}
    assert {tab.ask(f"download/{kind}").status_code for kind in ("csv", "parquet", "arrow")} <= {200, 403, 422}
    _, statistics, differing = compared(tab)
    assert (differing["rows"], differing["partial"], differing["counts"]) == (length, {}, {})
    assert {name: [facts["distinct"] for facts in pair] for name, pair in statistics.items()} == {
        name: [facts["distinct"]] * 2 for name, facts in found.items()
    }


def _is_null(value: Any) -> bool:
    """Whether an item is null, also in a dictionary, in runs, or in a union."""
    inner = getattr(value, "value", None)
    return not value.is_valid or (isinstance(inner, pa.Scalar) and not inner.is_valid)


@pytest.mark.parametrize(
    ("name", "histogram"), [("constant", 3), ("equal_times", 3), ("long_ids", 3), ("dictionary_of_numbers", 2)]
)
def test_numbers_that_lie_close_have_a_histogram(name: str, histogram: int, tab: Tab) -> None:
    tab.push(pa.table({"a": MORE[name]}))
    assert sum(tab.last("statistics", column=0)["histogram"]) == histogram


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"ab", b"cd"]),
        pa.array(["x" * 300 + end for end in "ab"]),
        pa.array([["x" * 300, end] for end in "ab"]),
        pa.array([[2**62], [2**61]], pa.list_(pa.timestamp("us"))),
        pa.array([2**62, 2**61], pa.timestamp("us", "No/Where")),
        pa.StructArray.from_arrays([pa.array([1, 1]), pa.array([2, 3])], ["a", "a"]),
        pa.array([(1, 2, 3), (1, 2, 4)], pa.month_day_nano_interval()),
    ],
    ids=lambda values: str(values.type),
)
def test_values_whose_cells_look_alike_are_told_apart(values: Any, tab: Tab) -> None:
    push_two(tab, pa.table({"a": values}), pa.table({"a": values.take(pa.array([0, 0]))}))
    _, statistics, differing = compared(tab)
    assert differing["counts"] == {"a": 1}
    assert [facts["distinct"] for facts in statistics["a"]] == [2, 1]


NUMBERS: dict[str, tuple[Any, Any, int]] = {
    "a new null": (pa.array([10**10, 7]), pa.array([1e10, None]), 1),
    "what a float has not": (pa.array([2**53 + 1, 7]), pa.array([2.0**53, 8.0]), 2),
    "finer times": (pa.array([1, 2], pa.timestamp("us")), pa.array([1000, 2001], pa.timestamp("ns")), 1),
    "finer durations": (pa.array([1, 2], pa.duration("s")), pa.array([1000, 2001], pa.duration("ms")), 1),
    "times of another zone": (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC")), 1),
    "text": (pa.array([1]), pa.array(["2"]), 1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_equal_numbers_of_other_types_do_not_differ(name: str, tab: Tab) -> None:
    before, after, many = NUMBERS[name]
    push_two(tab, pa.table({"a": before}), pa.table({"a": after}))
    assert compared(tab)[2]["counts"] == {"a": many}


def test_columns_whose_name_is_repeated_are_told(tab: Tab) -> None:
    push_two(tab, pa.table([[1], [2]], names=["a", "a"]), pa.table([[1], [3]], names=["a", "a"]))
    outline, _, differing = compared(tab)
    assert (outline["repeated"], differing["counts"]) == (2, {})


SECRET = "s3cret"
PAIRS = pa.array([[("password", SECRET), ("user", "me")], None], pa.map_(pa.string(), pa.string()))
STRUCT = pa.array([{"password": SECRET}, {"password": SECRET}])
WITH_SECRETS: dict[str, Any] = {
    "map": pa.table({"a": PAIRS, "n": [1, 2]}),
    "list of maps": pa.table({"a": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), PAIRS), "n": [1, 2]}),
    "map with a dictionary of keys": pa.table(
        {
            "a": pa.MapArray.from_arrays(
                pa.array([0, 1, 1], pa.int32()), pa.array(["password"]).dictionary_encode(), pa.array([SECRET])
            ),
            "n": [1, 2],
        }
    ),
    "dictionary of structs": pa.table(
        {"a": pa.DictionaryArray.from_arrays(pa.array([0, 1]), STRUCT), "n": [1, 2]},
    ),
    "objects": pd.DataFrame({"a": [{"password": SECRET, "b": (1,)}, (2,)], "n": [1, 2]}),
}


@pytest.mark.parametrize("name", WITH_SECRETS)
def test_no_download_has_what_is_masked_within_a_column(name: str, tab: Tab) -> None:
    tab.push(WITH_SECRETS[name])
    assert tab.get("value")["downloads"] == ["parquet", "csv"]
    assert tab.refusal("download/arrow") == (403, "hidden")
    csv = tab.ask("download/csv").content.decode()
    saved = pq.read_table(io.BytesIO(tab.ask("download/parquet").content))
    assert saved["n"].to_pylist() == [1, 2]
    assert SECRET not in csv + str(saved.to_pylist()) + str(tab.get("cells", rows=2, columns=2)["cells"])
    assert ("me" in csv) is ("me" in str(saved["a"].to_pylist()))


def test_bytes_and_maps_of_numbers_are_saved_as_they_are(tab: Tab) -> None:
    tab.push(pd.DataFrame({"a": [b"ab", None]}))
    assert tab.get("value")["downloads"][0] == "arrow"
    assert pq.read_table(io.BytesIO(tab.ask("download/parquet").content))["a"].to_pylist() == [b"ab", None]
    tab.push(pa.table({"a": pa.array([[(1, "x")]], pa.map_(pa.int8(), pa.string()))}))
    assert tab.get("value")["downloads"][0] == "arrow"

"""Numbers in forged payloads from which the Data tab would make something large, or fail in a way that says nothing."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64encode
from contextlib import nullcontext
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Backend
from data_tab import Tab

from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.backend.ui import column_statistics, plain_columns, wide_frames
from airflow_xcom.backend.ui.column_statistics import ColumnFacts
from airflow_xcom.backend.ui.downloads import _tables
from airflow_xcom.backend.ui.plain_columns import check_expansion
from airflow_xcom.backend.ui.table_view import TableView, cells
from airflow_xcom.codecs import CorruptPayloadError, SelectionError

pytestmark = pytest.mark.installation


def write(tab: Tab, data: Any, **summary: Any) -> None:
    """Write the row of a value with this payload."""
    tab.write_row({"airflow_xcom": {"version": 1, "tag": "x", "summary": summary, "of": [None] * 5, "data": data}})


def tagged(tag: str, node: Any) -> Any:
    return {"$": [tag, 1, node]}


def content(data: bytes) -> Any:
    return {"$": ["buffer", b64encode(data).decode()]}


def table(meta: Any, columns: pa.Table) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_table(columns)
    return tagged("pandas.DataFrame", {"$": ["table", [meta, b64encode(sink.getvalue()).decode()]]})


def block(columns: int, item: Any = pa.int8()) -> Any:  # noqa: B008 - a type
    kind = pa.list_(item, columns)
    return SimpleNamespace(schema=pa.schema({"0": kind}), count=0)


NUMBERS: list[Any] = [[0, 10**6, 1], [10**4000, 10**4000 + 3, 1], [0, 10**30, 1], [0, 3, 0], [0, 3]]
TEXTS = [7, "a\nb", "a\nb\nc\nd", "\n" * 2**24]


@pytest.mark.parametrize(
    "columns", [*({"range": numbers} for numbers in NUMBERS), *({"texts": text} for text in TEXTS)]
)
def test_labels_that_are_no_columns_are_not_made(columns: Any) -> None:
    meta = {"blocks": [[[0, 1, 3]]], "index": {"range": [0, 0, 1]}, "columns": columns}
    tracemalloc.start()
    try:
        with pytest.raises(CorruptPayloadError):
            wide_frames.single_columns(block(3), meta)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_columns_that_take_no_bytes_are_not_made() -> None:
    source = SimpleNamespace(schema=pa.schema({"0": pa.list_(pa.null(), 2**30)}), count=1)
    meta = {"blocks": [[[0, 1, 2**30]]], "index": {"range": [0, 1, 1]}, "columns": {"range": [0, 2**30, 1]}}
    with pytest.raises(SelectionError):
        wide_frames.single_columns(source, meta)


@pytest.mark.parametrize(
    "meta",
    [
        {"index": {"range": [-(2**63), 2**63 - 1, 1]}},
        {"rows": 2**70},
        {"height": -1},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("columns", [{}, {"a": [1]}], ids=["none", "one"])
def test_heights_of_no_table_are_refused(columns: Any, meta: Any, tab: Tab) -> None:
    write(tab, table(meta, pa.table(columns)))
    for what in ("value", "cells", "download/csv", "statistics", "line"):
        assert tab.ask(what, rows=2, columns=2, column=0).status_code == (200 if columns else 422), what


@pytest.mark.parametrize("columns", [{}, {"a": pa.array([], pa.null())}], ids=["none", "nulls"])
def test_rows_that_take_no_bytes_are_not_downloaded_one_by_one(columns: Any) -> None:
    view = TableView("x", {}, pa.table(columns).schema, 2**60, lambda _columns, _rows: None)

    class Value:
        size = 1

        def table(self, _path: Any) -> TableView:
            return view

        def again(self, _most: int) -> Value:
            return self

    value: Any = Value()
    with pytest.raises(SelectionError) if columns else nullcontext():
        assert len(list(islice(_tables(value, ()), 3))) == 1


@pytest.mark.parametrize(
    "pixels",
    ["abc", None, -1, 6, 2**40, [999], content(b"123")],
    ids=["text", "null", "less", "number", "huge", "list", "short"],
)
def test_pixels_that_are_no_bytes_are_refused(pixels: Any, tab: Tab) -> None:
    image = tagged("PIL.Image", ["L", [2, 3], None, {}, pixels])
    for data in (image, tagged("numpy.ndarray", ["|u1", [3, 2], pixels])):
        write(tab, data)
        assert tab.refusal("picture")[0] == 422
    write(tab, image)
    assert tab.refusal("download/png")[0] == 422


@pytest.mark.parametrize(
    ("mode", "size", "colours"),
    [
        ("1", [1, 10**7], None),
        ("1", [1, 10**12], None),
        ("L", [10**5000, 1], None),
        ("P", [2, 2], ["x" * 5000, content(bytes(5000))]),
        ("P", [2, 2], [["R", "G", "B"], content(b"123")]),
        ("P", [2, 2], None),
    ],
    ids=["no bits", "no memory", "digits", "palette", "list", "none"],
)
def test_images_that_are_larger_than_their_bytes_are_refused(mode: str, size: Any, colours: Any, tab: Tab) -> None:
    size = [side if side < 2**63 else {"$": ["int", "1" + "0" * 4000]} for side in size]
    write(tab, tagged("PIL.Image", [mode, size, colours, {}, content(bytes(4 if mode == "P" else 0))]))
    for what in ("picture", "download/png"):
        assert tab.refusal(what)[0] in {413, 422}
    assert tab.ask("value").status_code == 200


@pytest.mark.parametrize(
    ("dtype", "shape"), [("|u1", [1] * 30_000), ("<f8" + "x" * 100_000, [1]), ("|u1", [{"$": ["int", "9" * 4000]}])]
)
def test_arrays_that_numpy_has_not_are_trees(dtype: str, shape: Any, tab: Tab) -> None:
    write(tab, [tagged("numpy.ndarray", [dtype, shape, content(b"1")])])
    (item,) = tab.get("items")["items"]
    assert "kind" not in item
    assert len(json.dumps(item)) < 1000
    for what in ("array", "download/npy", "picture", "line", "heat"):
        assert tab.refusal(what, path="0", rows=1, columns=1)[0] == 422


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_has_not_leave_a_list_readable(tab: Tab) -> None:
    write(tab, 1, bytes=float("inf"), shape=[float("nan"), 2])
    (row,) = strict(tab.ask("xcoms").text)["xcoms"]
    assert (row["bytes"], row["shape"]) == (None, [None, 2])
    for number, text in ((float("inf"), "Infinity"), (2**53 + 1, "9007199254740993")):
        tab.write_row(number)
        (run,) = strict(tab.ask("history").text)["runs"]
        assert (run["number"], run["text"]) == (None if text == "Infinity" else number, text)
        strict(tab.ask("value").text)


LONG = "x" * (1 << 20)
MANY = 1 << 30


def views(kind: Any) -> Any:
    """A thousand views of the same bytes."""
    _, view, data = pa.array([LONG], kind).buffers()
    return pa.Array.from_buffers(kind, 1000, [None, pa.py_buffer(view.to_pybytes() * 1000), data])


def wide(count: int) -> Any:
    """Values of a mebibyte each, whose type says so."""
    return pa.array([LONG.encode()] * count, pa.binary(len(LONG)))


def lists(values: Any) -> Any:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def nothing(kind: Any) -> Any:
    """Many values of a type without a width, in no memory."""
    return pa.Array.from_buffers(kind, MANY, [None, *([pa.py_buffer(b"")] if kind == pa.binary(0) else [])])


ZEROS = pa.array([0] * 1000, pa.int8())
REPEATED = {
    "dictionary of wide bytes": pa.DictionaryArray.from_arrays(ZEROS, wide(1)),
    "runs of wide bytes": pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), wide(1)),
    "structs without fields": nothing(pa.struct([])),
    "lists of structs without fields": lists(nothing(pa.struct([]))),
    "lists of bytes without any": lists(nothing(pa.binary(0))),
    "lists of lists of no length": lists(
        pa.Array.from_buffers(pa.list_(pa.int8(), 0), MANY, [None], children=[pa.array([], pa.int8())])
    ),
    "dense union": pa.UnionArray.from_dense(ZEROS, pa.array([0] * 1000, pa.int32()), [pa.array([LONG])]),
    "dictionary of runs": pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int8()), pa.RunEndEncodedArray.from_arrays(pa.array([MANY], pa.int32()), pa.array(["x"]))
    ),
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [LONG]),
    "dictionary of lists": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array([[LONG]])),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), pa.array([LONG])),
    "views": views(pa.string_view()),
    "bytes": views(pa.binary_view()),
    "list views": pa.ListViewArray.from_arrays(
        pa.array([0] * 1000, pa.int32()), pa.array([1 << 20] * 1000, pa.int32()), pa.array(np.zeros(1 << 20, "i1"))
    ),
    "lists of nulls": pa.ListArray.from_arrays(pa.array([0, MANY], pa.int32()), pa.nulls(MANY)),
    "lists of one length": pa.FixedSizeListArray.from_arrays(pa.nulls(MANY), MANY),
    "maps": pa.MapArray.from_arrays(
        pa.array([0, 1000], pa.int32()),
        pa.array([str(number) for number in range(1000)]),
        pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [LONG]),
    ),
    "structs": pa.StructArray.from_arrays(
        [pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [LONG])], names=["a"]
    ),
}


@pytest.mark.parametrize("name", REPEATED)
def test_what_a_few_bytes_stand_for_is_not_made(name: str) -> None:
    column = pa.chunked_array([REPEATED[name]])
    view = TableView(
        "x", {}, pa.schema([("a", column.type)]), len(column), lambda _columns, _rows: pa.table([column], ["a"])
    )
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    try:
        for make in (
            lambda: view.cells([0], range(len(column))),
            lambda: view.taken(range(len(column))),
            lambda: ColumnFacts(column.type).add(column),
        ):
            with pytest.raises(SelectionTooLargeError):
                make()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        assert pa.total_allocated_bytes() - before < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_small_blob_that_stands_for_much_is_refused(tab: Tab) -> None:
    tab.push(pa.table({"a": REPEATED["dictionary"]}))
    assert tab.get("value")["rows"] == 1000
    assert len(tab.get("cells", rows=50, columns=1)["cells"][0]) == 50
    for what in ("statistics", "download/csv"):
        assert tab.refusal(what, column=0) == (413, "large"), what
    assert tab.last("compare/one")["state"] == "large"
    assert tab.refusal("cells", rows=1000, columns=1) == (413, "large")


@pytest.mark.parametrize("name", [name for name, array in REPEATED.items() if len(array) > 1])
def test_three_of_many_values_are_shown(name: str) -> None:
    assert len(cells(pa.chunked_array([REPEATED[name].slice(0, 3)]))) == 3


def labels(rows: int, label: str = "x" * 40) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "i4")), [label])


def list_of(values: Any, longest: int) -> Any:
    """Lists of one value each but the first."""
    offsets = np.concatenate([[0], np.arange(longest, len(values) + 1)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


ROWS = 1 << 18
HONEST = {
    "lists of categories": list_of(labels(ROWS + 60), 60),
    "one long text of a struct": pa.StructArray.from_arrays(
        [pa.array(["x" * 2000] + ["y"] * (ROWS - 1), pa.string_view())], names=["a"]
    ),
    "one long text of a map": pa.MapArray.from_arrays(
        pa.array(np.arange(ROWS + 1), pa.int32()),
        pa.array(["k"] * ROWS),
        pa.array(["x" * 2000] + ["y"] * (ROWS - 1), pa.string_view()),
    ),
    "lists of one length": pa.FixedSizeListArray.from_arrays(labels(2 * ROWS), 2),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_large_once_is_no_reason_to_refuse(name: str) -> None:
    array = HONEST[name]
    for part in (array, array.slice(7, 1000), array.slice(3, 0)):
        check_expansion(pa.chunked_array([part]))


def test_what_is_held_may_be_made() -> None:
    texts = pa.array([LONG] * 300, pa.string_view())
    assert texts.nbytes > 256 << 20
    check_expansion(pa.chunked_array([texts]))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_categories_of_many_rows_are_read_in_pieces(
    compression: str, tab: Tab, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 300_000
    monkeypatch.setattr(plain_columns, "_MOST", 4 << 20)
    backend.options(compression=compression)
    tab.push(pa.table({"a": labels(rows), "b": pa.nulls(rows)}))
    for column in (0, 1):
        found = tab.last("statistics", column=column)
        assert (found["complete"], found["done"], found["nulls"]) == (True, rows, column * rows)
    found = tab.last("compare/one")
    assert found["differing"]["counts"] == {}
    assert found["differing"]["partial"] == {}
    assert tab.ask("download/csv").text.count("x" * 40) == rows
    read = pq.read_table(pa.BufferReader(tab.ask("download/parquet").content))
    assert read.num_rows == rows


def test_rows_of_nulls_are_counted_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first part is told before the last one is made."""
    schema = pa.schema([("a", pa.null())])
    view = TableView("x", {}, schema, 1 << 44, lambda _columns, rows: pa.table({"a": pa.nulls(len(rows))}))
    monkeypatch.setattr(column_statistics, "_SECONDS", 0)
    *_, last = column_statistics.column_statistics(lambda: view, 0)
    assert (last["complete"], last["rows"]) == (False, 1 << 44)


@pytest.mark.parametrize("nulls", [None, 3, {}, ["x", -1, 2**70, None, [1], True]], ids=json.dumps)
@pytest.mark.parametrize("dtypes", [None, [], {"a": 1, "b" * 5000: 2, "c": 3, "d": 4, "e": 5, "f": 6}])
def test_forged_counts_of_nulls_are_passed_over(dtypes: Any, nulls: Any, tab: Tab) -> None:
    write(tab, 1, dtypes=dtypes, nulls=nulls)
    (run,) = tab.get("history")["runs"]
    assert run.get("nulls", []) == []


def test_counts_of_nulls_under_a_masked_name_are_not_told(tab: Tab) -> None:
    write(tab, 1, dtypes={"a": "x", "password": "x"}, nulls=[1, 2])
    (run,) = tab.get("history")["runs"]
    assert run["nulls"] == [["a", 1]]


def test_an_error_that_nobody_foresaw_is_told(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    from airflow_xcom.backend.ui import routes

    def fail(*_arguments: Any) -> Any:
        raise KeyError("unforeseen")

    def fail_later(*_arguments: Any) -> Any:
        yield {"done": 1}
        fail()

    def fail_to_ask(*_arguments: Any) -> Any:
        raise OperationalError("select", {}, Exception("the database is away"))

    write(tab, table({}, pa.table({"a": [1]})))
    monkeypatch.setattr(routes, "line_of_column", fail)
    monkeypatch.setattr(routes, "download", fail)
    monkeypatch.setattr(routes, "column_statistics", fail_later)
    monkeypatch.setattr(routes, "list_rows", fail_to_ask)
    for what in ("line", "download/csv"):
        assert tab.refusal(what, column=0) == (422, "unreadable")
    last = tab.last("statistics", column=0)
    assert last["state"] == "unreadable"
    assert "unforeseen" in last["detail"]
    assert tab.ask("xcoms").status_code == 500

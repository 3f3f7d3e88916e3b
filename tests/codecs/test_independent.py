"""What is stored can be read from docs/FORMAT.md alone: see independent.py."""

from __future__ import annotations

import ast
import base64
import datetime as dt
import inspect
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dateutil.tz
import geopandas as gpd
import independent
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import pytz
import scipy.sparse
import shapely
from catalogue import CATALOGUE
from conftest import Backend
from independent import Buffer, Table, Tagged, interpret, open_body, read_blob, read_json, read_row, text
from values import VALUES

from airflow_xcom.codecs import Codec, EncodeError, Registry, bodies, encode, registry
from airflow_xcom.codecs.bodies import json_of
from airflow_xcom.codecs.formats.msgpack import container

ROOT = Path(__file__).resolve().parents[2]
MIXED = {"a": np.arange(2000.0), "b": [np.arange(3, dtype="i2"), (b"x", "y")], "c": bytearray(b"z" * 9000)}


def readings(value: Any) -> tuple[Any, Any]:
    """The neutral trees of the blob and of the row, the latter as JSON text and back."""
    payload = encode(value)
    row = json.loads(json.dumps(payload.to_json(), allow_nan=False))
    return read_blob(payload.to_bytes(), payload.format), read_json(row)


def extensions(packed: bytes) -> Iterator[tuple[int, bytes]]:
    """The extension types of a packed node and those inside them, outermost first."""
    found: list[tuple[int, bytes]] = []
    msgspec.msgpack.decode(packed, ext_hook=lambda code, data: found.append((code, bytes(data))) or str(data))
    for code, data in found:
        yield code, data
        if code:
            yield from extensions(data)


def test_the_reader_imports_none_of_our_code() -> None:
    tree = ast.parse(inspect.getsource(independent))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name.partition(".")[0] in ("airflow_xcom", "msgpack", "orjson")}


@pytest.mark.parametrize("name", VALUES)
def test_the_blob_and_the_row_say_the_same(name: str) -> None:
    blob, row = readings(VALUES[name]())
    assert text(blob) == text(row)


@pytest.mark.parametrize("group", CATALOGUE)
def test_the_blob_and_the_row_of_every_value_in_the_catalogue_say_the_same(group: str) -> None:
    for name, make in CATALOGUE[group].items():
        try:
            blob, row = readings(make())
        except EncodeError:
            continue
        assert text(blob) == text(row), name


def test_a_shared_object_is_one_object_to_it() -> None:
    array = np.arange(2000.0)
    value = {"zz": (array, array), "b": [array, {"k": (array,)}]}
    for tree in readings(value):
        first, second = tree["zz"].node
        assert first is second is tree["b"][0] is tree["b"][1]["k"].node[0]
        assert first.tag == "numpy.ndarray"
    blob, row = readings(value)
    assert text(blob) == text(row)


@pytest.mark.parametrize("name", VALUES)
def test_rows_can_be_followed_to_the_value(backend: Backend, name: str) -> None:
    rows = []
    for threshold in (0, -1):
        backend.options(threshold=threshold)
        rows.append(json.loads(json.dumps(backend.push(VALUES[name]()), allow_nan=False)))
    offloaded, inline = map(read_row, rows)
    assert text(offloaded) == text(inline)
    assert not ("ref" in rows[1].get("airflow_xcom", {}) if isinstance(rows[1], dict) else False)


# -- the JSON syntax -----------------------------------------------------------------------------------------


def everything_in(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything_in(item)


@pytest.mark.parametrize("name", VALUES)
def test_json_that_any_column_keeps(name: str) -> None:
    for item in everything_in(encode(VALUES[name]()).to_json()):
        match item:
            case {"$": content}:
                assert set(item) == {"$"}
                assert len(content) in (2, 3)
                assert (type(content[0]), type(content[1])) == (str, int) if len(content) == 3 else content[0]
            case dict():
                keys = list(item)
                assert not any(key.startswith(("$", "__")) or "\0" in key for key in keys)
                assert keys == sorted(keys, key=lambda key: (len(key.encode()), key.encode()))
            case float():
                assert abs(item) < 1e16
                assert repr(item) != "-0.0"
            case int():
                assert -(2**63) <= item < 2**63
            case str():
                assert "\0" not in item.encode().decode()


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ({1: "a"}, {"$": ["map", [[1, "a"]]]}),
        ({"bb": 1, "a": 2}, {"$": ["map", [["bb", 1], ["a", 2]]]}),
        ({"$": 1}, {"$": ["map", [["$", 1]]]}),
        (float("nan"), {"$": ["float", "nan"]}),
        (-0.0, {"$": ["float", "-0.0"]}),
        (1e16, {"$": ["float", "1e+16"]}),
        (2**64 - 1, {"$": ["int", "18446744073709551615"]}),
        ("a\0b", {"$": ["text", "a\\u0000b"]}),
        (b"ab", {"$": ["bytes", "YWI="]}),
        (2**64, {"$": ["int", 1, "0x10000000000000000"]}),
        ("\ud800", {"$": ["str", 2, {"$": ["bytes", "7aCA"]}]}),
        (bytearray(b"ab"), {"$": ["bytearray", 1, {"$": ["buffer", "YWI="]}]}),
    ],
)
def test_the_forms_of_the_syntax(value: Any, row: Any) -> None:
    assert json_of(value, registry)[0] == row


ZONES_AND_OFFSETS = [
    dt.UTC,
    dt.timezone(dt.timedelta(hours=1), "CET"),
    ZoneInfo("Europe/Paris"),
    pytz.timezone("Europe/Paris"),
    dateutil.tz.gettz("Europe/Paris"),
    pd.offsets.MonthBegin(2),
    pd.offsets.QuarterEnd(startingMonth=2, normalize=True),
]


@pytest.mark.parametrize("held", ZONES_AND_OFFSETS, ids=repr)
def test_zones_and_offsets_in_a_meta_are_not_packed(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = {"kinds": {"0": ["category", {"freq": held}], "1": ["tz", held]}}
    packed = as_packed(meta, monkeypatch)
    monkeypatch.setattr(bodies, "_writer", None)
    assert json_of(meta, registry) == packed


def as_packed(meta: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as changed:
        changed.setattr(bodies, "_OF_METAS", frozenset())
        return json_of(meta, registry)


@pytest.mark.parametrize(
    "meta",
    [
        {"attrs": {"$": dt.UTC}},
        {"attrs": {"__key": dt.UTC}},
        {"attrs": {"second": dt.UTC, "a": 1}},
        {"attrs": {"a": '"$', "b": dt.UTC}},
        {"attrs": [dt.UTC, float("nan"), 2**63, "\0", b"", dt.date(2024, 1, 1)]},
        {"attrs": {dt.UTC: 1}},
        {"attrs": [[[[[[[[[dt.UTC]]]]]]]]]},
        {"freq": pd.offsets.CustomBusinessDay(holidays=["2024-01-01"])},
    ],
    ids=repr,
)
def test_what_else_a_meta_holds_is_written_as_ever(meta: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json_of(meta, registry) == as_packed(meta, monkeypatch)


def test_deep_values_are_a_blob_within_json() -> None:
    value: Any = (1, np.arange(2000.0))
    for _ in range(150):
        value = [value]
    assert json_of(value, registry)[0]["$"][0] == "blob"
    blob, read = readings(value)
    assert text(blob) == text(read)


# -- the MessagePack body ------------------------------------------------------------------------------------


def test_header_tags_and_buffers() -> None:
    data = encode(MIXED).to_bytes()
    parts = open_body(data)
    assert parts.tags == [("numpy.ndarray", 1), ("tuple", 1), ("bytearray", 1)]
    assert parts.sizes == [16000, 9000]
    assert [start % 64 for start in parts.starts] == [0, 0]
    assert [data[start : start + size] for start, size in zip(parts.starts, parts.sizes, strict=True)] == parts.buffers


@pytest.mark.parametrize("size", [1, 2, 100])
def test_nil_pads_to_the_next_multiple_of_64_and_no_further(size: int) -> None:
    data = encode([np.zeros(4096 + size, "u1"), "x" * size, np.zeros(5000, "u1")]).to_bytes()
    end = independent.objects_of(data)[1][1]
    for start, length in zip(open_body(data).starts, open_body(data).sizes, strict=True):
        padding = data[end : start - 5]
        assert len(padding) < 64
        assert set(padding) <= {0xC0}
        assert start % 64 == 0
        end = start + length
    assert end == len(data)


def test_a_large_buffer_is_several_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_LARGEST_BIN", 64 * 100)
    data = encode(MIXED).to_bytes()
    parts = open_body(data)
    assert parts.sizes == [16000, 9000]
    assert len(parts.starts) == 5
    assert parts.buffers[0] == MIXED["a"].tobytes()
    assert text(read_blob(data, "msgpack")) == text(read_json(encode(MIXED).to_json()))


def test_extension_types() -> None:
    value = [bytearray(b"small"), np.arange(2000.0), pd.DataFrame({"x": [1, 2]})]
    parts = open_body(encode(value).to_bytes())
    found = dict(extensions(parts.tree))
    assert {0, 1, 2} <= set(found)
    assert found[0][:5] == b"small" or found[0].startswith(b"\xff\xff\xff\xff")  # the table's stream is small too
    assert msgspec.msgpack.decode(found[1]) == 0
    assert {3, 16} <= set(found)  # the array and the frame are numbered, the bytearray is not
    assert [tag for tag, _ in parts.tags] == ["bytearray", "numpy.ndarray", "pandas.DataFrame"]


def test_a_table_in_a_tree_is_a_stream_in_a_buffer() -> None:
    rows = 3000
    tree = read_blob(encode({"frame": pd.DataFrame({"x": np.arange(rows)})}).to_bytes(), "msgpack")
    tag, version, table = tree["frame"]
    assert (tag, version, table.meta, table.table.num_rows) == ("pandas.DataFrame", 3, {}, rows)
    parts = open_body(encode({"frame": pd.DataFrame({"x": np.arange(rows)})}).to_bytes())
    assert pa.ipc.open_stream(parts.buffers[0]).read_all().equals(table.table)


def test_tags_beyond_the_first_112_have_extension_type_15() -> None:
    classes = [type(f"Far{index}", (), {"__module__": __name__}) for index in range(130)]
    for index, cls in enumerate(classes):
        made = Codec(f"test.far{index}", (cls,), lambda _, i=index: i, lambda node, _: node)
        registry.register(made, replace=True)
    data = encode([cls() for cls in classes]).to_bytes()
    codes = [code for code, _ in extensions(open_body(data).tree)]
    assert codes == [*range(16, 128), *[15] * 18]
    assert read_blob(data, "msgpack") == [Tagged(f"test.far{index}", 1, index) for index in range(130)]


# -- the Arrow body ------------------------------------------------------------------------------------------


def test_a_frame_is_an_arrow_file_with_a_note() -> None:
    frame = VALUES["frame"]()
    payload = encode(frame)
    assert payload.format == "arrow"
    table = pa.ipc.open_file(payload.to_bytes()).read_all()
    assert set(table.schema.metadata) == {b"airflow_xcom"}
    note = json.loads(table.schema.metadata[b"airflow_xcom"])
    assert {key: note[key] for key in ("version", "tag", "tag_version")} == {
        "version": 1,
        "tag": "pandas.DataFrame",
        "tag_version": 3,
    }
    assert note["meta"]["index"]["name"] == "row"
    assert table.column_names == [*frame.columns, "row"]
    assert pl.read_ipc(payload.to_bytes(), use_pyarrow=False)["flight"].to_list() == [1, 2, 3, 4]


def test_cells_are_packed_nodes_with_their_buffers_in_place() -> None:
    cells = [None, Decimal("1.1"), (1, 2), np.arange(2000.0), {"a": [1]}]
    payload = encode(pd.DataFrame({"o": pd.Series(cells, dtype=object)}))
    tree = read_blob(payload.to_bytes(), payload.format)
    name, tags = tree.node.meta["kinds"]["0"]
    assert name == "cells"
    assert tags == [["decimal", 1], ["tuple", 1], ["numpy.ndarray", 1]]
    column = interpret(tree)["o"]
    assert column[:3] == cells[:3]
    assert (column[3] == cells[3]).all()
    assert column[4] == cells[4]
    packed = tree.node.table.column("o")[3].as_py()
    assert any(code == 0 and len(data) == 16000 for code, data in extensions(packed))


# -- tags ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        (1, ("two", None)),
        {"price": Decimal("1.10"), ("a", 1): [Decimal("-0")]},
        dt.datetime(2024, 1, 2, 3, 4, 5, 6),
        dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=3723), "odd")),
    ],
)
def test_values_of_a_few_tags(value: Any) -> None:
    for tree in readings(value):
        assert repr(interpret(tree)) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.linspace(0, 1, 7),
        np.arange(20_000.0).reshape(100, 200),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([1, 2, 3], dtype=">i4"),
        np.array(["2024-01-01", "NaT"], dtype="datetime64[s]"),
        np.array(["ab", "c"]),
        np.array(5),
        np.zeros((0, 3), "f4"),
        np.array([None, "a", (1, 2)], dtype=object),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_by_numpy_alone(array: np.ndarray) -> None:
    for tree in readings(array):
        read = interpret(tree)
        assert (read.dtype, read.shape, read.flags.fnc) == (array.dtype, array.shape, array.flags.fnc)
        assert read.tolist() == array.tolist()


def test_columns_by_arrow_alone() -> None:
    paris = ZoneInfo("Europe/Paris")
    for tree in readings(VALUES["frame"]()):
        columns = interpret(tree)
        delays = columns.pop("delay")
        assert [repr(delay) for delay in delays] == ["1.5", "nan", "-0.0", "inf"]
        assert columns == {
            "carrier": ["UA", None, "DL", "AA"],
            "flight": [1, 2, 3, 4],
            "when": [dt.datetime(2024, 3, day, tzinfo=paris) for day in (29, 30, 31)]
            + [dt.datetime(2024, 4, 1, tzinfo=paris)],
            "kind": ["b", "a", None, "b"],
            "count": [1, None, 3, 4],
            "late": [True, None, False, True],
        }
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    for tree in readings(frame):
        assert interpret(tree) == {"v": [1, 2]}


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok"])
def test_sparse_arrays_by_numpy_alone(form: str, kind: str) -> None:
    dense = np.array([[0, 1.5, 0], [2.5, 0, -1.0]])
    for tree in readings(getattr(scipy.sparse, f"{form}_{kind}")(dense)):
        assert interpret(tree).tolist() == dense.tolist()


def test_labelled_arrays_by_numpy_alone() -> None:
    for tree in readings(VALUES["labelled array"]()):
        read = interpret(tree)
        assert read.pop("data").tolist() == [[1, 0], [0, 1]]
        coords = {"x": [1, 2], "y": ["a", "b"]}
        assert read == {"name": "n", "dims": ["x", "y"], "attrs": {}, "encoding": {}, "coords": coords}


def test_geometries_by_their_bytes_alone() -> None:
    ring = shapely.LinearRing([(0, 0), (1, 0), (1, 1)])
    corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    nowhere = shapely.Point(np.nan, np.nan)
    series = [shapely.Point(1, 2, 3), None, shapely.Point(), nowhere, ring, shapely.GeometryCollection([ring, nowhere])]
    expected = [
        ("Point", [[1.0, 2.0, 3.0]]),
        None,
        ("Point", []),
        ("Point", [[np.nan, np.nan]]),
        ("LinearRing", corners),
        ("GeometryCollection", [("LinearRing", corners), ("Point", [[np.nan, np.nan]])]),
    ]
    for tree in readings(gpd.GeoDataFrame({"at": [1] * 6}, geometry=gpd.GeoSeries(series, crs=4326))):
        assert repr(interpret(tree)) == repr({"at": [1] * 6, "geometry": expected})
    for tree in readings(series[2:]):
        assert repr(interpret(tree)) == repr(expected[2:])


def test_the_examples_in_the_page_are_right() -> None:
    page = (ROOT / "docs" / "FORMAT.md").read_text()
    assert read_json({"$": ["nan", "fff8000000000000"]}) != 0
    for form in re.findall(r'^\| `\{"\$": \["(\w+)"', page, re.MULTILINE):
        assert form in independent._FORMS or form in independent._NESTING
    assert base64.b64decode("YWI=") == b"ab"
    assert isinstance(read_json({"$": ["buffer", "YWI="]}), Buffer)
    assert isinstance(readings(VALUES["series"]())[1].node, Table)


def test_every_tag_is_in_the_page() -> None:
    page = (ROOT / "docs" / "FORMAT.md").read_text()
    section = page.partition("## 7. Tags")[2].partition("## 8.")[0]
    described: set[str] = set()
    for cell in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", cell)
        root = names[0].rpartition(".")[0]
        described |= {root + name if name.startswith(".") else name for name in names}
    written = {codec.tag for codec in Registry(entry_points=False)}
    assert sorted(written - described) == []

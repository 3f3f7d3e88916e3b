"""polars frames and series: every dtype exact, in files that other tools open, and what is refused."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import re
import subprocess
import sys
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing.parametric import dataframes

from airflow_xcom.codecs.builtin import polars as codec
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    DecodeError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.payload import decode, decode_json, encode
from airflow_xcom.codecs.testing import assert_identical, difference

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")
BITS = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000], "u8").view("f8")
COLORS = pl.Enum(["red", "green", "blue"])
MADE: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a named value."""
    MADE[function.__name__] = function
    return function


def through_blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def through_row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


def through_tree(value: Any) -> Any:
    return through_blob({"a": [value]})["a"][0]


WAYS = {"blob": through_blob, "row": through_row, "tree": through_tree}

NUMBERS = "Int8 Int16 Int32 Int64 Int128 UInt8 UInt16 UInt32 UInt64 UInt128 Float16 Float32 Float64"
for name in NUMBERS.split():
    if hasattr(pl, name):
        MADE[name] = lambda name=name: pl.Series(name, [1, None, 3], dtype=getattr(pl, name))
for unit in ("ms", "us", "ns"):
    MADE[f"datetime_{unit}"] = lambda unit=unit: pl.Series([1, None, -(2**60)]).cast(pl.Datetime(unit))
    MADE[f"zoned_{unit}"] = lambda unit=unit: pl.Series([1, None]).cast(pl.Datetime(unit, "Europe/Berlin"))
    MADE[f"duration_{unit}"] = lambda unit=unit: pl.Series([1, None, -(2**62)]).cast(pl.Duration(unit))

VALUES: dict[str, tuple[list[Any], Any]] = {
    "int128_ends": ([2**127 - 1, -(2**127), 0, None], pl.Int128),
    **({"uint128_ends": ([2**128 - 1, 0, None], pl.UInt128)} if hasattr(pl, "UInt128") else {}),
    "uint64_end": ([2**64 - 1, None], pl.UInt64),
    "boolean": ([True, None, False], pl.Boolean),
    "string": (["a", "", None, "é😀", "a\0b", "longer than what a view holds itself"], pl.String),
    "binary": ([b"", None, b"\0\xff", b"longer than what a view holds itself"], pl.Binary),
    "date": ([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)], pl.Date),
    "time": ([dt.time(23, 59, 59, 999999), None, dt.time()], pl.Time),
    "utc": ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], pl.Datetime("us", "UTC")),
    "categorical": (["b", "a", None, "b"], pl.Categorical),
    "categorical_of_nothing": ([None, None], pl.Categorical),
    "categorical_lexical": (["b", "a", None], pl.Categorical("lexical")),
    "enum": (["blue", None, "red"], COLORS),
    "enum_of_nothing": ([None], pl.Enum([])),
    "enum_of_many": (["299", "0"], pl.Enum([str(number) for number in range(300)])),
    "enum_with_nul": (["a\0b", ""], pl.Enum(["", "a\0b", "x;y"])),
    "decimal": ([Decimal("1.25"), None, Decimal("-99999999.99")], pl.Decimal(10, 2)),
    "decimal_widest": ([Decimal(10**38 - 1), None], pl.Decimal(38, 0)),
    "list": ([[1], None, [], [None]], pl.List(pl.Int64)),
    "list_of_lists": ([[["a"], None], None, []], pl.List(pl.List(pl.String))),
    "list_of_categories": ([["a"], None, ["b", "a"]], pl.List(pl.Categorical)),
    "list_of_enums": ([["red"], None, ["blue", None]], pl.List(COLORS)),
    "list_of_int128": ([[2**100], None], pl.List(pl.Int128)),
    "list_of_nulls": ([[None], []], pl.List(pl.Null)),
    "list_of_structs": ([[{"a": 1, "b": None}], None], pl.List(pl.Struct({"a": pl.Int8, "b": pl.String}))),
    "list_of_zoned": ([[dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]], pl.List(pl.Datetime("ms", "UTC"))),
    "list_of_decimals": ([[Decimal("1.5")]], pl.List(pl.Decimal(5, 1))),
    "array": ([[1, 2], None, [3, None]], pl.Array(pl.Int8, 2)),
    "array_of_arrays": ([[[1, 2], [3, 4]], None], pl.Array(pl.Int8, (2, 2))),
    "array_of_enums": ([["red"], None], pl.Array(COLORS, 1)),
    "array_of_categories": ([["x"], None], pl.Array(pl.Categorical, 1)),
    "array_of_int128": ([[2**100], None], pl.Array(pl.Int128, 1)),
    "array_of_lists": ([[[1], None], None], pl.Array(pl.List(pl.Int8), 2)),
    "struct": ([{"a": 1, "b": "x"}, None, {"a": None, "b": None}], pl.Struct({"a": pl.Int64, "b": pl.String})),
    "struct_of_nothing": ([{}, None], pl.Struct([])),
    "struct_of_named": ([{"a": "x", "b": "red"}, None], pl.Struct({"a": pl.Categorical, "b": COLORS})),
    "struct_deep": (
        [{"a": {"b": [{"c": 2**100, "d": "red", "e": 1}]}}],
        pl.Struct({"a": pl.Struct({"b": pl.List(pl.Struct({"c": pl.Int128, "d": COLORS, "e": pl.Int8}))})}),
    ),
    "null": ([None, None], pl.Null),
    "empty_null": ([], pl.Null),
    "empty_enum": ([], COLORS),
    "empty_categorical": ([], pl.Categorical),
    "empty_list": ([], pl.List(pl.Int8)),
    "empty_struct": ([], pl.Struct({"a": pl.Int128})),
    "empty_array": ([], pl.Array(pl.Int8, 3)),
    "empty_int128": ([], pl.Int128),
    "all_missing": ([None, None], pl.Datetime("ns", "Asia/Kolkata")),
}
for name, (items, dtype) in VALUES.items():
    MADE[name] = lambda items=items, dtype=dtype: pl.Series("x", items, dtype=dtype)


@case
def float_bits():
    return pl.Series("f", BITS)


@case
def floats_with_nulls():
    return pl.Series([NAN, None, -0.0, float("inf")])


@case
def named_categories():
    kind = pl.Categories("shop", "acme", physical=pl.UInt8)
    return pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Categorical(kind)), "b": ["x", "y"]})


private = cache(lambda: pl.Categories.random())  # noqa: PLW0108 - before polars 1.32 there is no such class


@case
def private_categories():
    return pl.Series(["x"], dtype=pl.Categorical(private()))


@case
def map_of_text():
    return pl.Series("m", [{"a": 1}, None, {}], dtype=pl.Map(pl.String, pl.Int64))


@case
def series_without_name():
    return pl.Series([1, 2])


@case
def series_with_nul_in_its_name():
    return pl.Series("a\0b", [1, 2])


@case
def frame_of_all_kinds():
    columns = {name: pl.Series(items[:1], dtype=dtype) for name, (items, dtype) in VALUES.items() if items}
    return pl.DataFrame(columns)


@case
def frame_of_nothing():
    return pl.DataFrame()


@case
def frame_without_rows():
    return pl.DataFrame(schema={"a": pl.Int8, "b": COLORS, "c": pl.List(pl.Int128), "d": pl.Categorical})


@case
def frame_without_columns():
    return pl.DataFrame(height=7)


@case
def frame_with_odd_names():
    return pl.DataFrame({"": [1], "a\0b": [2], "a\\0b": [3], "0": [4], "é😀": [5], "column_0": [6]})


@case
def frame_in_chunks():
    part = pl.DataFrame({"a": [1], "b": pl.Series(["x"], dtype=pl.Categorical), "c": ["long text beyond a view"]})
    other = part.with_columns(b=pl.Series(["y"], dtype=pl.Categorical))
    return pl.concat([part, other, part], rechunk=False)


@case
def frame_whose_columns_have_other_chunks():
    parts = pl.concat([pl.Series("a", [1]), pl.Series("a", [2, 3])], rechunk=False)
    return pl.DataFrame([parts, pl.Series("b", ["red", "blue", "red"], dtype=COLORS)])


@case
def series_in_chunks():
    return pl.concat([pl.Series(["red"], dtype=COLORS), pl.Series(["blue", None], dtype=COLORS)], rechunk=False)


@case
def slice_of_a_frame():
    return pl.DataFrame({"a": range(9), "b": pl.Series(list("abcdefghi"), dtype=pl.Categorical)})[3:5]


@case
def sorted_series():
    return pl.Series([1, 2, 3]).set_sorted()


def test_there_are_enough_cases() -> None:
    assert len(MADE) >= 60


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_identical(name: str, way: str) -> None:
    value = MADE[name]()
    back = WAYS[way](value)
    assert_identical(value, back)
    assert_identical(value, WAYS[way](back))


@pytest.mark.parametrize("name", MADE)
def test_encoding_is_deterministic_and_summaries_are_small(name: str) -> None:
    first, second = (encode(MADE[name]()) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    assert len(json.dumps(first.summary, allow_nan=False)) < 8000


@pytest.mark.parametrize("values", [[-(2**124), None], [None, None, -9694317], [2**100]])
def test_what_came_back_is_written_alike(values: list[int | None]) -> None:
    blob = encode(pl.Series(values, dtype=pl.Int128)).to_bytes()
    assert encode(decode(blob, "arrow")).to_bytes() == blob


@hypothesis.settings(max_examples=50, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(dataframes(excluded_dtypes=[pl.Object], max_size=4))
def test_any_frame_comes_back(frame: pl.DataFrame) -> None:
    try:
        encode(frame)
    except UnsupportedValueError as error:
        assert re.search("extension dtype|width 0", str(error))  # noqa: PT017 - most are not refused
        return
    for way in WAYS.values():
        assert_identical(frame, way(frame))


# -- memory and other tools ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float32, pl.UInt8, pl.Datetime("us")])
def test_numbers_are_not_copied(dtype: Any) -> None:
    payload = encode(pl.DataFrame({"a": pl.Series([1, 2] * 5000).cast(dtype)}))
    memory = bytearray(payload.to_bytes())
    begin = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    column = decode(memory, payload.format)["a"].to_physical().to_numpy(allow_copy=False)
    assert begin <= column.__array_interface__["data"][0] < begin + len(memory)


def test_a_slice_takes_no_more_than_it_shows() -> None:
    frame = pl.DataFrame({"a": ["some text that is long"] * 10_000})
    assert encode(frame.head(3)).size < 2000
    assert encode(frame.head(3)).to_bytes() == encode(pl.DataFrame({"a": ["some text that is long"] * 3})).to_bytes()


@pytest.fixture
def rich() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "n": [1, None],
            "text": ["x", "é"],
            "color": pl.Series(["red", None], dtype=COLORS),
            "kind": pl.Series(["p", "q"], dtype=pl.Categorical),
            "big": pl.Series([2**100, None], dtype=pl.Int128),
            "when": pl.Series([0, 1]).cast(pl.Datetime("us", "UTC")),
            "nested": [[1, 2], None],
        }
    )


def test_pyarrow_and_pandas_open_the_file(rich: pl.DataFrame) -> None:
    table = pa.ipc.open_file(encode(rich).to_bytes()).read_all()
    assert table["color"].to_pylist() == ["red", None]
    assert table["big"].to_pylist() == [str(2**100), None]
    assert table.to_pandas()["text"].tolist() == ["x", "é"]


def test_polars_opens_the_file(rich: pl.DataFrame) -> None:
    names = ["n", "text", "when", "nested"]
    assert_identical(rich.select(names), pl.read_ipc(io.BytesIO(encode(rich).to_bytes())).select(names))


def test_duckdb_reads_the_file(rich: pl.DataFrame) -> None:
    duckdb = pytest.importorskip("duckdb")
    table = pa.ipc.open_file(encode(rich).to_bytes()).read_all()
    rows = duckdb.connect().from_arrow(table).project("n, text, color, kind, big::hugeint, nested").fetchall()
    assert rows == [(1, "x", "red", "p", 2**100, [1, 2]), (None, "é", None, "q", None, None)]


def test_neither_library_brings_the_other_codec() -> None:
    program = (
        "import sys; from airflow_xcom.codecs import encode; import {here}; "
        "encode({value}); assert 'airflow_xcom.codecs.builtin.{other}' not in sys.modules; "
        "assert '{library}' == 'pyarrow' or '{library}' not in sys.modules"
    )
    for here, value, other, library in (
        ("polars as pl", "pl.Series([1])", "arrow.values", "pyarrow"),
        ("pyarrow as pa", "pa.table({'a': [1]})", "polars", "polars"),
    ):
        subprocess.run(
            [sys.executable, "-c", program.format(here=here, value=value, other=other, library=library)], check=True
        )


# -- refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "lazy": (lambda: pl.LazyFrame({"a": [1]}), ["value: ", "LazyFrame", "value.collect()"]),
    "objects": (lambda: pl.Series("o", [object()], dtype=pl.Object), ["column 'o'", "to_list()"]),
    "frame_of_objects": (lambda: pl.DataFrame({"a": [1], "o": pl.Series([{1}], dtype=pl.Object)}), ["column 'o'"]),
    "width_0": (lambda: pl.Series([[], None], dtype=pl.Array(pl.Int8, 0)), ["width 0", "pl.List"]),
    "nested_width_0": (lambda: pl.Series([[[]]], dtype=pl.List(pl.Array(pl.Int8, 0))), ["width 0"]),
    "extension": (lambda: pl.Series("e", [1]).ext.to(pl.Extension("a.b", pl.Int64)), ["column 'e'", "ext.storage()"]),
    "nul_in_a_field": (lambda: pl.Series([{"a\0b": 1}]), ["U+0000"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UnsupportedValueError) as caught:
        encode(make())
    for word in words:
        assert word in str(caught.value)


def test_an_expression_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match=r'value\["a"\]: no codec handles polars'):
        encode({"a": pl.col("x")})


def test_a_subclass_is_refused() -> None:
    class Mine(pl.DataFrame):
        pass

    with pytest.raises(UnsupportedTypeError, match="Mine"):
        encode(Mine({"a": [1]}))


def test_a_dtype_that_arrow_would_change_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_encode_dtype", lambda _dtype: None)
    with pytest.raises(UnsupportedValueError, match="column 'e': Enum.* would come back as Categorical.*cast it"):
        encode(pl.Series("e", ["red"], dtype=COLORS))


def test_arrays_that_an_old_polars_hands_on_in_part_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = pa.array([1, 2, 3, 4], pa.int8()).slice(2)
    part = pa.Array.from_buffers(pa.list_(pa.int8(), 2), 1, [None], offset=1, children=[elements])
    monkeypatch.setattr(codec, "_to_arrow", lambda _series: pa.chunked_array([part]))
    with pytest.raises(UnsupportedValueError, match="column 'a': .* cannot hand a slice of .*pl.List"):
        encode(pl.Series("a", [[1, 2]], dtype=pl.Array(pl.Int8, 2)))


# -- forged and foreign --------------------------------------------------------------------------------------

TEXTS = pa.array(["red", "pink"]).cast(pa.large_string())
PLAIN = pa.table({"a": [1, 2]})

FORGED: dict[str, tuple[Any, Any]] = {
    "no_table": ([], {}),
    "decimal256": (pa.table({"a": pa.array([1], pa.decimal256(50, 1))}), {}),
    "union": (pa.table({"a": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}), {}),
    "views_of_lists": (pa.table({"a": pa.array([[1]], pa.list_view(pa.int8()))}), {}),
    "interval": (pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), {}),
    "dictionary_of_numbers": (pa.table({"a": pa.array([1]).dictionary_encode()}), {}),
    "zone": (pa.table({"a": pa.array([1], pa.timestamp("us", "No/Where"))}), {}),
    "nested_enum_metadata": (
        pa.table(
            {"a": pa.array([["x"]], pa.list_(pa.field("item", pa.string(), metadata={"_PL_ENUM_VALUES2": "9;"})))}
        ),
        {},
    ),
    "dtype_of_text": (PLAIN, {"dtypes": {"0": "Int256"}}),
    "dtype_of_a_number": (PLAIN, {"dtypes": {"0": 5}}),
    "list_of_no_list": (PLAIN, {"dtypes": {"0": ["List", "Int128"]}}),
    "array_of_no_array": (PLAIN, {"dtypes": {"0": ["Array", "Int128"]}}),
    "struct_of_no_struct": (PLAIN, {"dtypes": {"0": ["Struct", []]}}),
    "struct_of_other_fields": (pa.table({"a": [{"x": 1}]}), {"dtypes": {"0": ["Struct", [None, None]]}}),
    "category_missing": (pa.table({"a": TEXTS.dictionary_encode()}), {"dtypes": {"0": ["Enum", ["red"]]}}),
    "categories_of_numbers": (PLAIN, {"dtypes": {"0": ["Enum", [1, 2]]}}),
    "physical": (pa.table({"a": TEXTS}), {"dtypes": {"0": ["Categorical", "a", "b", "Int8"]}}),
    "ordering": (pa.table({"a": TEXTS}), {"dtypes": {"0": ["Categorical", "alphabetical"]}}),
    "no_digits": (pa.table({"a": TEXTS}), {"dtypes": {"0": "Int128"}}),
    "too_many_digits": (pa.table({"a": pa.array([str(2**127)])}), {"dtypes": {"0": "Int128"}}),
    "too_few_names": (PLAIN, {"names": []}),
    "names_of_numbers": (PLAIN, {"names": [1]}),
    "names_twice": (pa.table({"a": [1], "b": [2]}), {"names": ["a", "a"]}),
    "height": (pa.table({}), {"height": "tall"}),
    "height_below_0": (pa.table({}), {"height": -1}),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_tables_raise(name: str) -> None:
    table, meta = FORGED[name]
    if isinstance(table, pa.Table):
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        text = base64.b64encode(stream.getvalue()).decode()
        row = {"$": ["polars.DataFrame", 1, {"$": ["table", [meta, text]]}]}
    else:
        row = {"$": ["polars.DataFrame", 1, table]}
    with pytest.raises(DecodeError):
        decode_json(row)


def test_a_series_of_two_columns_is_forged() -> None:
    row = encode(pl.DataFrame({"a": [1], "b": [2]})).to_json()
    row["$"][0] = "polars.Series"
    with pytest.raises(CorruptPayloadError):
        decode_json(row)


def test_metadata_of_a_field_are_not_heeded() -> None:
    """polars takes categories from there without comparing them with the dictionary."""
    column = TEXTS.dictionary_encode()
    for key, text in (("_PL_ENUM_VALUES2", "99;x"), ("_PL_ENUM_VALUES2", "3;red"), ("_PL_CATEGORICAL2", "9;x")):
        table = pa.table([column], schema=pa.schema([pa.field("a", column.type, metadata={key: text})]))
        frame = codec._decode_frame(Table(table, {}), 1)
        assert frame["a"].to_list() == ["red", "pink"]


def test_a_panic_is_a_corrupt_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(_table: Any) -> None:
        raise pl.exceptions.PanicException

    monkeypatch.setattr(codec.pl, "from_arrow", panic)
    with pytest.raises(CorruptPayloadError, match="cannot read a column"):
        codec._from_arrow(PLAIN)


def test_an_older_polars_names_what_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = encode(pl.Series([1], dtype=pl.Int128)).to_json()
    named = encode(pl.Series(["x"], dtype=pl.Categorical(pl.Categories("q")))).to_json()
    monkeypatch.setattr(codec, "_DIGITS", {})
    monkeypatch.setattr(codec, "_HAS_CATEGORIES", False)
    for row in (wide, named):
        with pytest.raises(LibraryVersionError, match="needs polars") as caught:
            decode_json(row)
        assert (caught.value.library, caught.value.installed) == ("polars", pl.__version__)


def test_categories_of_an_older_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ordered(pl.Categorical):
        ordering = "lexical"

    assert codec._decode_dtype(["Categorical", "lexical"], pl.String()) == pl.Categorical(), "and not one of that name"
    assert codec._decode_dtype(["Categorical", "physical"], pl.String()) == pl.Categorical()
    monkeypatch.setattr(codec, "_HAS_CATEGORIES", False)
    assert codec._encode_dtype(Ordered()) == ["Categorical", "lexical"]
    assert codec._decode_dtype(["Categorical", "lexical"], pl.String()) == pl.Categorical("lexical")


# -- what people see -----------------------------------------------------------------------------------------


def test_summary(rich: pl.DataFrame) -> None:
    summary = encode(rich).summary
    assert summary["shape"] == [2, 7]
    assert summary["dtypes"]["big"] == "Int128"
    assert summary["head"][0] == ["1", "x", "red", "p", str(2**100), "1970-01-01 00:00:00+00:00", "…"]
    (cell,) = encode(pl.Series("a", [b"\0" * 99])).summary["head"][0]
    assert len(cell) <= 40


def test_a_wide_frame_is_summed_up_in_part() -> None:
    summary = encode(pl.DataFrame({f"c{place}": [place] for place in range(50)})).summary
    assert (summary["shape"], len(summary["dtypes"]), len(summary["head"][0])) == ([1, 50], 20, 10)


def test_a_changed_value_is_found() -> None:
    frame = pl.DataFrame({"a": BITS})
    assert difference(frame, pl.DataFrame({"a": [NAN, NAN, -0.0]}))
    assert difference(pl.DataFrame(height=1), pl.DataFrame(height=2))
    assert difference(pl.Series(["red"], dtype=COLORS), pl.Series(["red"], dtype=pl.Categorical))
    assert difference(pl.Series("a", [1]), pl.Series("b", [1]))


@pytest.mark.parametrize(
    ("name", "make", "needed"),
    [
        ("Float16", lambda: pl.Series([1.5], dtype=pl.Float16), "1.36 or newer"),
        ("Map", lambda: pl.Series([{"a": 1}], dtype=pl.Map(pl.String, pl.Int64)), "2.0 or newer"),
    ],
)
def test_a_dtype_that_an_older_polars_would_take_for_another_is_refused(name, make, needed, monkeypatch) -> None:
    row = encode(make()).to_json()
    monkeypatch.delattr(pl, name)
    with pytest.raises(LibraryVersionError, match=name) as caught:
        decode_json(row)
    assert caught.value.needed == needed

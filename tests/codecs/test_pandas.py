"""pandas frames, series, indexes and arrays: exact, writable, in place, and readable by other tools."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import io
import json
import mmap
import os
import subprocess
import sys
import uuid
import warnings
import zoneinfo
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_xcom.codecs import bodies
from airflow_xcom.codecs.builtin.pandas import dtypes as pandas_dtypes
from airflow_xcom.codecs.builtin.pandas import extension_columns
from airflow_xcom.codecs.builtin.pandas import frame as pandas_frame
from airflow_xcom.codecs.builtin.pandas import summary as pandas_summary
from airflow_xcom.codecs.builtin.pandas.columns import decode_array, encode_array
from airflow_xcom.codecs.builtin.pandas.number_columns import TableMemory
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    DecodeError,
    EncodeError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.formats.arrow.file import stream_chunks, write_file
from airflow_xcom.codecs.formats.msgpack import reader
from airflow_xcom.codecs.formats.msgpack.cells import read_together
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.payload import Decoder, decode, decode_json, decode_part, encode
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.testing import assert_identical, difference

if TYPE_CHECKING:
    from collections.abc import Callable

NEW = int(pd.__version__.partition(".")[0]) >= 3
BERLIN = ZoneInfo("Europe/Berlin")
NAN = float("nan")
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


def no_cells(values: Any) -> Any:
    raise AssertionError(values)


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def frame(**columns: Any) -> pd.DataFrame:
    """A frame in which pandas infers nothing about object arrays."""
    made = {
        name: pd.Series(values, dtype=object) if isinstance(values, np.ndarray) and values.dtype == object else values
        for name, values in columns.items()
    }
    return pd.DataFrame(made)


def strings(storage: str, missing: Any, *items: Any) -> Any:
    if missing is pd.NA:
        return pd.array(items, dtype=pd.StringDtype(storage))
    if hasattr(pd, "StringDtype") and NEW:
        return pd.array(items, dtype=pd.StringDtype(storage, na_value=np.nan))
    return pd.array(items, dtype=pd.StringDtype("pyarrow_numpy"))


# -- numbers -------------------------------------------------------------------------------------------------

NUMBERS = [
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "f2",
    "f4",
    "f8",
    "?",
    "c8",
    "c16",
    ">i2",
    ">i4",
    ">i8",
    ">u4",
    ">f4",
    ">f8",
    ">c16",
    "longdouble",
    "clongdouble",
]
for code in NUMBERS:
    MADE[f"numpy_{code}"] = lambda code=code: pd.DataFrame({"a": np.array([0, 1, 3], dtype=code)})
for unit in ("s", "ms", "us", "ns"):
    for letter, kind in (("M8", "datetime"), ("m8", "timedelta")):
        MADE[f"{kind}_{unit}"] = lambda letter=letter, unit=unit: pd.DataFrame(
            {"a": np.array([1, "NaT", -5], f"{letter}[{unit}]"), "b": np.array([1, 2, 3], f"{letter}[{unit}]")}
        )
for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "boolean"):
    MADE[f"masked_{name}"] = lambda name=name: pd.DataFrame(
        {"a": pd.array([1, None, 0], dtype=name), "b": pd.array([1, 0, 1], dtype=name)}
    )


@case
def mixed():
    return pd.DataFrame({"i": [1, 2], "f": [0.5, NAN], "s": ["x", "é"], "b": [True, False]})


@case
def float_bits():
    return pd.DataFrame({"a": np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000], "u8").view("f8")})


@case
def masked_float_with_nan_and_na():
    return pd.DataFrame({"a": pd.arrays.FloatingArray(np.array([NAN, 1.0, 2.0]), np.array([False, True, False]))})


@case
def strided():
    return pd.DataFrame(np.arange(24.0).reshape(6, 4), columns=list("abcd")).iloc[::2]


@case
def matrix():
    return pd.DataFrame(np.arange(24).reshape(6, 4), columns=list("abcd"), copy=False)


@case
def fortran_matrix():
    return pd.DataFrame(np.asfortranarray(np.arange(24.0).reshape(6, 4)))


@case
def interleaved_blocks():
    return pd.DataFrame({f"c{place}": np.arange(3, dtype=("f8", "i8", "f4")[place % 3]) for place in range(12)})


@case
def sliced_rows():
    return pd.DataFrame({"a": range(10), "b": [f"s{i}" for i in range(10)], "c": [None, True] * 5})[3:8]


@case
def many_flags():
    return pd.DataFrame({f"is_{place}": np.arange(3) == place % 3 for place in range(150)})


# -- strings -------------------------------------------------------------------------------------------------


@case
def default_strings():
    return pd.DataFrame({"a": ["x", None, ""], "b": ["\0", "😀", "z"]})


for store in ("python", "pyarrow"):
    MADE[f"string_{store}_NA"] = lambda store=store: pd.DataFrame({"a": strings(store, pd.NA, "x", None, "é")})
    if NEW or store == "pyarrow":
        MADE[f"string_{store}_nan"] = lambda store=store: pd.DataFrame({"a": strings(store, np.nan, "x", None, "é")})


@case
def string_python_surrogates():
    return pd.Series(strings("python", pd.NA, "\ud800", None))


@case
def string_in_many_chunks():
    chunks = pa.chunked_array([["a"], ["b", None], ["c"]], pa.large_string())
    return pd.DataFrame({"a": pd.arrays.ArrowStringArray(chunks), "n": range(4)})


@case
def no_strings():
    return pd.DataFrame({"a": strings("pyarrow", pd.NA), "b": strings("python", pd.NA)})


# -- objects -------------------------------------------------------------------------------------------------

OBJECTS = {
    "text": ("x", "é", ""),
    "text_none": ("x", None, "y"),
    "text_nan": ("x", np.nan, "y"),
    "text_na": ("x", pd.NA),
    "text_nat": ("x", pd.NaT),
    "text_none_nan": ("x", None, np.nan),
    "text_other_nan": ("x", np.array([0x7FF8000000000001], "u8").view("f8").tolist()[0]),
    "text_surrogate": ("\ud800", "x"),
    "text_numpy": (np.str_("x"), "y"),
    "none": (None, None),
    "nan": (np.nan, np.nan),
    "nat": (pd.NaT,),
    "none_nan_na_nat": (None, np.nan, pd.NA, pd.NaT),
    "bytes": (b"x", b"", None),
    "bytearrays": (bytearray(b"x"),),
    "dates": (dt.date(1, 1, 1), dt.date(9999, 12, 31), None),
    "dates_nat": (dt.date(2024, 2, 29), pd.NaT),
    "dates_datetimes": (dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)),
    "datetimes": (dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN), dt.datetime(1, 1, 1)),
    "timestamps": (pd.Timestamp("2024"), pd.Timestamp("2024", tz="Europe/Berlin"), pd.Timedelta("1s")),
    "times": (dt.time(1, 2, fold=1), dt.timedelta(days=10**8, microseconds=1)),
    "bools": (True, False),
    "bools_none": (True, None),
    "bools_nan": (True, np.nan),
    "ints": (1, -(2**63), 2**63 - 1),
    "ints_none": (1, None),
    "ints_big": (1, 2**64),
    "ints_bools": (1, True, 1.0),
    "floats": (1.5, -0.0, NAN, float("inf")),
    "floats_none": (1.5, None, NAN),
    "numpy_scalars": (np.float64(1), np.int8(1), np.bool_(True)),
    "decimals": (Decimal("1.10"), Decimal("-2.00"), Decimal("0.00"), None),
    "decimals_small": (Decimal("0.0001"),),
    "decimals_exponents": (Decimal("1.1"), Decimal("1.10")),
    "decimals_nan": (Decimal("NaN"), Decimal(1)),
    "decimals_negative_zero": (Decimal("-0.0"),),
    "decimals_positive_exponent": (Decimal("1E+2"),),
    "decimals_long": (Decimal(10**40),),
    "dicts": ({"a": 1}, {}, None),
    "lists": ([1, 2], [3, 4]),
    "lists_ragged": ([1], [], None),
    "tuples": ((1, 2), (3, 4)),
    "arrays": (np.arange(2), np.arange(2.0), np.array(5)),
    "frames": (pd.DataFrame({"a": [1]}), pd.Series([1.0], name="x")),
    "mixed": (1, "a", b"b", None, {"k": [Decimal(1), uuid.UUID(int=5)]}, {1, 2}),
    "empty": (),
}
for name, items in OBJECTS.items():
    MADE[f"objects_{name}"] = lambda items=items: frame(a=objects(*items))


# -- extension dtypes ----------------------------------------------------------------------------------------


@case
def categories():
    return pd.DataFrame(
        {
            "text": pd.Categorical(["a", None, "b"], categories=["z", "b", "a"]),
            "ordered": pd.Categorical(["a", "b", "b"], categories=["b", "a"], ordered=True),
            "int": pd.Categorical([5, 5, None]),
            "float": pd.Categorical([0.5, 1.5, None]),
            "bool": pd.Categorical([True, False, True]),
            "time": pd.Categorical(pd.to_datetime(["2024", None, "2025"])),
            "zoned": pd.Categorical(pd.to_datetime(["2024", None, "2025"]).tz_localize(BERLIN)),
            "delta": pd.Categorical(pd.to_timedelta([1, 2, 1], "s")),
            "period": pd.Categorical(pd.PeriodIndex(["2024", "2025", None], freq="Y")),
            "interval": pd.cut([1, 5, 9], 3),
            "nullable": pd.Categorical(pd.array([1, None, 3], dtype="Int64")),
        }
    )


@case
def categories_of_objects():
    labels = pd.Index(objects("a", 1, (1, 2), b"x", dt.date(2024, 1, 1)), dtype=object, tupleize_cols=False)
    return pd.DataFrame({"a": pd.Categorical.from_codes([0, 4, -1, 2], categories=labels)})


@case
def categories_empty():
    return pd.DataFrame({"a": pd.Categorical([None, None], categories=[]), "b": pd.Categorical([NAN, NAN])})


@case
def categories_with_name_and_freq():
    labels = pd.date_range("2024", periods=3, freq="MS", name="month")
    return pd.Series(pd.Categorical.from_codes([0, 2, -1], categories=labels))


@case
def categories_range():
    return pd.Series(pd.Categorical.from_codes([0, 2, -1], categories=pd.RangeIndex(0, 9, 3)))


@case
def categories_many():
    return pd.DataFrame({"a": pd.Categorical.from_codes([300, -1, 0], categories=[f"c{i}" for i in range(301)])})


@case
def categories_string_variants():
    labels = (pd.Index(["a", "b"], dtype=kind) for kind in (object, "string[python]", "string[pyarrow]"))
    return pd.DataFrame({str(i): pd.Categorical.from_codes([0, 1, -1], each) for i, each in enumerate(labels)})


@case
def categories_of_categories():
    return pd.Series(pd.Categorical.from_codes([1, 0, -1], categories=pd.CategoricalIndex(["x", "y"], ["y", "x", "z"])))


@case
def long_long():
    """Equal to the usual integers of 64 bits, and of another class all the same."""
    columns = {f"{code} {place}": np.arange(2, dtype=code) for place in range(2) for code in "lqLQ"}
    return pd.DataFrame({**columns, "swapped": np.arange(2, dtype=np.dtype("q").newbyteorder(">"))})


@case
def long_long_in_a_hundred_columns():
    return pd.DataFrame({str(place): np.arange(2, dtype="lqLQ"[place % 4]) for place in range(120)})


@case
def labels_without_text():
    """str() raises for times of far years, and for those without a unit."""
    labels = [pd.Timestamp(np.datetime64(2**40, "s")), np.array([5]).view("M8")[0], frozenset({"a", ("b", 1)})]
    data = pd.DataFrame([[1, 2, 3]], columns=pd.Index(labels, dtype=object, tupleize_cols=False))
    data.index.name = labels[0]
    return data


@case
def zones():
    times = pd.to_datetime(["2024-10-27 00:30", None, "2024-10-27 01:30"])
    zoned = times.tz_localize("UTC")
    return pd.DataFrame(
        {
            "utc": zoned,
            "zoneinfo_utc": zoned.tz_convert(ZoneInfo("UTC")),
            "berlin": zoned.tz_convert(BERLIN),
            "fixed": zoned.tz_convert(dt.timezone(dt.timedelta(hours=5, minutes=30))),
            "named": zoned.tz_convert(dt.timezone(dt.timedelta(hours=-3), "here")),
            "string": zoned.tz_convert("America/New_York"),
            "seconds": zoned.astype("datetime64[s, UTC]"),
        }
    )


@case
def zones_of_other_libraries():
    dateutil, pytz = pytest.importorskip("dateutil.tz"), pytest.importorskip("pytz")
    zoned = pd.to_datetime(["2024-10-27 00:30", "2024-10-27 01:30"]).tz_localize("UTC")
    return pd.DataFrame(
        {
            "dateutil": zoned.tz_convert(dateutil.gettz("Europe/Berlin")),
            "pytz": zoned.tz_convert(pytz.timezone("Europe/Berlin")),
            "pytz_fixed": zoned.tz_convert(pytz.FixedOffset(90)),
        }
    )


@case
def periods():
    return pd.DataFrame(
        {
            "month": pd.PeriodIndex(["2024-01", None], freq="M"),
            "week": pd.PeriodIndex(["2024-01-01", "2024-03-01"], freq="W-WED"),
            "three_hours": pd.period_range("2024", periods=2, freq="3h"),
        }
    )


@case
def intervals():
    return pd.DataFrame(
        {
            "int": pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
            "float": pd.arrays.IntervalArray.from_tuples([(0.5, 1.5), None], closed="both"),
            "time": pd.arrays.IntervalArray.from_breaks(pd.date_range("2024", periods=3), closed="left"),
            "zoned": pd.arrays.IntervalArray.from_breaks(pd.date_range("2024", periods=3, tz=BERLIN), closed="neither"),
            "delta": pd.arrays.IntervalArray.from_breaks(pd.timedelta_range(0, periods=3)),
        }
    )


@case
def arrow_dtypes():
    values = {
        "int": pa.array([1, None, 3], pa.int8()),
        "float": pa.array([1.0, NAN, None]),
        "text": pa.array(["a", None, "b"]),
        "large_text": pa.array(["a", None, "b"], pa.large_string()),
        "list": pa.array([[1, None], None, []]),
        "struct": pa.array([{"a": 1}, None, {"a": None}]),
        "decimal": pa.array([Decimal("1.1"), None, Decimal("2.2")]),
        "dictionary": pa.array(["x", "y", "x"]).dictionary_encode(),
        "time": pa.array([1, 2, None], pa.time64("us")),
        "zoned": pa.array([1, 2, None], pa.timestamp("us", "Europe/Berlin")),
        "null": pa.nulls(3),
        "bool": pa.array([True, None, False]),
        "view": pa.array(["a", None, "b"], pa.string_view()),
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int8())),
        "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    }
    return pd.DataFrame({name: pd.arrays.ArrowExtensionArray(pa.chunked_array([v])) for name, v in values.items()})


def of_no_rows(kind: pa.DataType) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([], pa.dictionary(pa.int32(), kind)))


@case
def arrow_dictionaries_of_no_rows():
    kinds = {"text": pa.string(), "date": pa.date32(), "number": pa.int8()}
    return pd.DataFrame({name: of_no_rows(kind) for name, kind in kinds.items()})


@case
def categories_in_an_arrow_dictionary():
    labels = pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(["x", "y"]).dictionary_encode()]))
    return pd.DataFrame({"a": pd.Categorical.from_codes([1, 0, -1], categories=pd.Index(labels), ordered=True)})


@case
def no_categories_in_an_arrow_dictionary():
    return pd.DataFrame({"a": pd.Categorical.from_codes([], categories=pd.Index(of_no_rows(pa.date32())))})


@case
def arrow_chunks():
    return pd.DataFrame({"a": pd.arrays.ArrowExtensionArray(pa.chunked_array([[1, 2], [None], []])), "b": [1, 2, 3]})


@case
def sparse():
    return pd.DataFrame(
        {
            "zero": pd.arrays.SparseArray([0, 0, 1]),
            "nan": pd.arrays.SparseArray([NAN, 2.0, NAN]),
            "block": pd.arrays.SparseArray([1.0, 1.0, 2.0], fill_value=1.0, kind="block"),
            "bool": pd.arrays.SparseArray([False, True, False]),
        }
    )


# -- index ---------------------------------------------------------------------------------------------------

INDEXES: dict[str, Callable[[], pd.Index]] = {
    "range": lambda: pd.RangeIndex(4, 10, 2, name="r"),
    "range_negative": lambda: pd.RangeIndex(3, 0, -1),
    "int64": lambda: pd.Index([3, 1, 2]),
    "int8": lambda: pd.Index(np.array([3, 1, 2], "i1")),
    "uint64": lambda: pd.Index(np.array([2**64 - 1, 0, 0], "u8")),
    "float32": lambda: pd.Index(np.array([0.5, NAN, -0.0], "f4"), name="f"),
    "complex": lambda: pd.Index([1j, 2j, 1 + 1j]),
    "bool": lambda: pd.Index([True, False, True]),
    "object_text": lambda: pd.Index(["a", "b", "c"], dtype=object, name="name"),
    "object_mixed": lambda: pd.Index(objects(1, "a", None), dtype=object),
    "object_tuples": lambda: pd.Index(objects((1, 2), (3,), "x"), dtype=object, tupleize_cols=False),
    "object_timestamps": lambda: pd.Index(objects(pd.Timestamp("2024"), pd.Timestamp("2025"), pd.NaT), dtype=object),
    "str": lambda: pd.Index(["a", "b", None], dtype="str" if NEW else object),
    "string": lambda: pd.Index(["a", "b", None], dtype="string"),
    "nullable": lambda: pd.Index([1, None, 3], dtype="Int16"),
    "boolean": lambda: pd.Index([True, None, False], dtype="boolean"),
    "datetime": lambda: pd.DatetimeIndex(["2024", None, "2023"], name="when"),
    "datetime_seconds": lambda: pd.DatetimeIndex(["2024", "2023", "2022"]).as_unit("s"),
    "datetime_freq": lambda: pd.date_range("2024", periods=3, freq="2h"),
    "datetime_business": lambda: pd.date_range("2024-01-31", periods=3, freq="BME", tz=BERLIN),
    "datetime_converted": lambda: pd.date_range("2024-03-30", periods=3, freq="D", tz="UTC").tz_convert(BERLIN),
    "timedelta": lambda: pd.to_timedelta([1, None, 3], "s"),
    "timedelta_freq": lambda: pd.timedelta_range("1h", periods=3, freq="90min"),
    "period": lambda: pd.period_range("2024-01", periods=3, freq="Q-NOV", name=("a", 1)),
    "interval": lambda: pd.interval_range(0, 3, closed="both"),
    "category": lambda: pd.CategoricalIndex(["b", "a", None], categories=["c", "b", "a"], ordered=True, name="k"),
    "arrow": lambda: pd.Index([1, None, 3], dtype=pd.ArrowDtype(pa.int32())),
    "multi": lambda: pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 3)], names=["x", None]),
    "multi_missing": lambda: pd.MultiIndex.from_arrays([["a", None, "b"], [1.5, NAN, 2.5]], names=["x", "x"]),
    "multi_missing_in_a_level": lambda: pd.MultiIndex(
        levels=[["a"], [1.5, NAN]], codes=[[0, 0, 0], [0, 0, 0]]
    ).set_codes([[0, 0, 0], [0, 1, -1]], verify_integrity=False),
    "multi_unused": lambda: pd.MultiIndex.from_product([["a", "b", "c"], [1, 2, 3]])[[0, 4, 4]],
    "multi_types": lambda: pd.MultiIndex.from_arrays(
        [
            pd.date_range("2024", periods=3, tz=BERLIN),
            pd.period_range("2024", periods=3, freq="M"),
            pd.interval_range(0, 3),
            objects(1, "a", (2,)),
            pd.Categorical(["x", "y", None], categories=["y", "x", "w"]),
            pd.array([1, None, 3], dtype="Int64"),
        ]
    ),
    "multi_sortorder": lambda: pd.MultiIndex(
        levels=[["a", "b"], [1, 2]], codes=[[0, 0, 1], [0, 1, 0]], sortorder=2, names=["p", "q"]
    ),
    "multi_range_level": lambda: pd.MultiIndex(levels=[pd.RangeIndex(3), ["a"]], codes=[[2, 1, 0], [0, -1, 0]]),
    "multi_one": lambda: pd.MultiIndex.from_arrays([[1, 2, 2]], names=["only"]),
    "name_tuple": lambda: pd.Index([1, 2, 3], name=("a", 1)),
    "name_int": lambda: pd.Index([1, 2, 3], name=0),
    "name_numpy": lambda: pd.Index([1, 2, 3], name=np.int64(5)),
    "name_date": lambda: pd.Index([1, 2, 3], name=dt.date(2024, 1, 1)),
    "name_nan": lambda: pd.Index([1, 2, 3], name=np.nan),
    "empty": lambda: pd.Index([], dtype="f8"),
    "empty_object": lambda: pd.Index([], dtype=object, name="e"),
    "empty_datetime": lambda: pd.date_range("2024", periods=0, freq="D"),
    "empty_multi": lambda: pd.MultiIndex.from_arrays([[], []], names=["a", "b"]),
}
for name, make in INDEXES.items():
    MADE[f"index_{name}"] = make
    MADE[f"rows_{name}"] = lambda make=make: pd.DataFrame({"a": np.arange(len(make()))}, index=make())
    MADE[f"columns_{name}"] = lambda make=make: pd.DataFrame(np.ones((2, len(make()))), columns=make())
    MADE[f"labels_{name}"] = lambda make=make: pd.Series(np.arange(len(make()), dtype="f8"), index=make(), name="s")


# -- frames and series ---------------------------------------------------------------------------------------


@case
def columns_named():
    return pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="letters"))


@case
def columns_duplicate():
    return pd.DataFrame([[1, 2.5, "x", 4]], columns=["a", "a", "b", "a_1"])


@case
def columns_mixed():
    return pd.DataFrame([[1, 2, 3, 4, 5]], columns=pd.Index(objects(1, "1", None, (1, "b"), 2.5), dtype=object))


@case
def columns_strange_text():
    return pd.DataFrame([[1, 2, 3]], columns=pd.Index(["\ud800", "a\0b", ""], dtype=object))


@case
def columns_with_nul():
    return pd.DataFrame([[1, 2]], columns=["a\0b", "c"])


@case
def read_only():
    values = np.arange(3.0)
    values.flags.writeable = False
    return pd.DataFrame({"a": values}, copy=False)


@case
def columns_numpy_text():
    return pd.DataFrame([[1, 2]], columns=pd.Index(objects(np.str_("a"), "b"), dtype=object))


@case
def index_name_is_a_column():
    return pd.DataFrame({"a": [1], "__index_level_0__": [2]}, index=pd.Index(["x"], name="a"))


@case
def attrs():
    made = pd.DataFrame({"a": [1]})
    made.attrs = {
        "source": "x",
        5: (1, Decimal("1.0")),
        "when": dt.datetime(2024, 1, 1, tzinfo=BERLIN),
        "n": [np.arange(2)],
    }
    return made


@case
def attrs_hold_a_frame():
    made = pd.Series([1.0])
    made.attrs["of"] = "x"
    return pd.Series([made.attrs, None], dtype=object)


@case
def flags():
    return pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)


@case
def series_flags():
    return pd.Series([1], name="a").set_flags(allows_duplicate_labels=False)


def with_attrs(data: pd.DataFrame) -> pd.DataFrame:
    data.attrs["unit"] = "m"
    return data


def wide(dtype: Any, *, rows: int = 3, columns: int = 101) -> pd.DataFrame:
    return pd.DataFrame(np.arange(rows * columns).reshape(rows, columns).astype(dtype))


@case
def wide_mixed():
    """Two wide blocks in turn, and columns of other dtypes among them."""
    data = pd.DataFrame({f"c{i}": np.arange(i, i + 3).astype(("i8", "f8")[i % 2]) for i in range(301)})
    data.insert(7, "name", ["x", None, "z"])
    data["at"] = pd.date_range("2020-01-01", periods=3, tz="Europe/Paris")
    return data.set_index(pd.date_range("2020-01-01", periods=3, freq="D", name="day"))


@case
def wide_missing_times():
    data = wide("M8[s]")
    data.iloc[1, 5] = pd.NaT
    return data.rename_axis(columns="labels")


MADE |= {
    **{f"wide_{dtype}": lambda dtype=dtype: wide(dtype) for dtype in ("f8", "?", "f2", "c16", ">i4", "m8[ns]")},
    "wide_no_rows": lambda: wide("f8", rows=0),
    "wide_labels": lambda: wide("f8").set_axis([f"c{place}" for place in range(101)], axis=1),
    "wide_turned": lambda: wide("i8").iloc[::2, ::-1],
    "wide_same_labels": lambda: wide("i4").set_axis(["a"] * 101, axis=1),
    "wide_levels": lambda: wide("u1").set_axis(pd.MultiIndex.from_product([["a"], range(101)]), axis=1),
    "wide_attrs": lambda: with_attrs(wide("f4")),
    "frame_empty": pd.DataFrame,
    "frame_no_rows": lambda: pd.DataFrame({"a": np.empty(0), "b": objects(), "c": np.empty(0, "M8[ns]")}),
    "frame_no_rows_labels": lambda: pd.DataFrame({"k": pd.Categorical(["a", "b"]), "r": pd.Categorical([1, 2])})[:0],
    "frame_no_rows_multi": lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_arrays([["x", "y"], [1, 2], pd.Categorical(["p", None])])
    )[:0],
    "frame_no_rows_extension": lambda: pd.concat(
        [
            MADE[name]().reset_index(drop=True)[:0].add_prefix(name)
            for name in ("arrow_dtypes", "categories", "sparse", "zones")
        ],
        axis=1,
    ),
    "array_category_no_rows": lambda: pd.Categorical([], categories=pd.RangeIndex(3), ordered=True),
    "frame_no_rows_wide": lambda: pd.DataFrame({str(i): np.empty(0, ("f8", "i8")[i % 2]) for i in range(120)}),
    "frame_no_columns": lambda: pd.DataFrame(index=pd.RangeIndex(5)),
    "frame_no_columns_range": lambda: pd.DataFrame(index=pd.RangeIndex(2, 8, 2, name="r")),
    "frame_no_columns_labels": lambda: pd.DataFrame(index=pd.Index(["a", "b"])),
    "frame_no_columns_multi": lambda: pd.DataFrame(index=pd.MultiIndex.from_product([[1, 2], ["a"]])),
    "frame_of_one": lambda: pd.DataFrame({"a": [1]}),
    "series_unnamed": lambda: pd.Series([1, 2]),
    "series_text": lambda: pd.Series(["a", None], name="t"),
    "series_objects": lambda: pd.Series([{"a": 1}, None, [1]], name=("a", "b")),
    "series_empty": lambda: pd.Series([], dtype="f8"),
    "series_empty_object": lambda: pd.Series([], dtype=object, name=0),
    "series_zoned": lambda: pd.Series(pd.date_range("2024", periods=2, tz=BERLIN)),
    "series_nan_name": lambda: pd.Series([1.0], name=np.nan),
    "array_int": lambda: pd.array([1, None], dtype="Int64"),
    "array_text": lambda: pd.array(["a", None], dtype="string"),
    "array_numpy": lambda: pd.array(np.array([1, 2]), dtype="int64"),
    "array_objects": lambda: pd.arrays.NumpyExtensionArray(objects("a", 1, None)),
    "array_category": lambda: pd.Categorical(["a", None]),
    "array_datetime": lambda: pd.array(np.array(["2024", "NaT"], "M8[s]")),
    "array_datetime_freq": lambda: pd.date_range("2024", periods=3).array,
    "array_zoned": lambda: pd.date_range("2024", periods=3, tz=BERLIN)._data[1:],
    "array_timedelta": lambda: pd.array(np.array([1, "NaT"], "m8[ms]")),
    "array_period": lambda: pd.period_range("2024", periods=3, freq="M").array,
    "array_interval": lambda: pd.interval_range(0, 3).array,
    "array_sparse": lambda: pd.arrays.SparseArray([0, 0, 1]),
    "array_arrow": lambda: pd.array([1, None], dtype=pd.ArrowDtype(pa.int64())),
    "array_empty": lambda: pd.array([], dtype="Float32"),
    "groups": lambda: (
        pd.DataFrame({"k": pd.Categorical(["a", "b", "a"], ["b", "a", "c"]), "j": [1, 1, 2], "v": [1.0, 2.0, 3.0]})
        .groupby(["k", "j"], observed=False)
        .agg({"v": ["mean", "max"]})
    ),
    "pivot": lambda: pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "x"], "v": [1.0, 2.0, 3.0]}).pivot_table(
        index="a", columns="b", values="v"
    ),
    "described": lambda: pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}).describe(include="all"),
    "dummies": lambda: pd.get_dummies(pd.Series(list("abca"))),
    "resampled": lambda: pd.Series(range(48), pd.date_range("2024", periods=48, freq="h")).resample("D").sum(),
    "transposed": lambda: pd.DataFrame({"a": [1, "x"], "b": [None, 2.5]}, index=["r", "s"]).T,
    "nested": lambda: {"frames": [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": ["x"]})], "s": pd.Series([1.5])},
}


def test_there_are_enough_cases() -> None:
    assert len(MADE) >= 250


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_identical_and_writable(name: str, way: str) -> None:
    value = MADE[name]()
    actual = WAYS[way](value)
    assert_identical(MADE[name](), value)  # encoding leaves it alone
    assert_identical(value, actual)
    if isinstance(actual, pd.DataFrame | pd.Series) and len(actual):
        assert_writable(actual, value.copy())


def assert_writable(actual: Any, expected: Any) -> None:
    """Every column takes its last value in its first row, in place, and no other column changes."""
    for data in (actual, expected):
        for place in range(data.shape[1] if data.ndim == 2 else 1):
            column = data.iloc[:, place] if data.ndim == 2 else data
            new = column.iloc[-1] if column.dtype != object else "new"
            if not isinstance(column.dtype, pd.SparseDtype) and not isinstance(new, list | dict):
                data.iloc[(0, place) if data.ndim == 2 else 0] = new
    assert_identical(expected, actual)


@pytest.mark.parametrize("name", MADE)
def test_encoding_is_deterministic_and_summaries_are_small(name: str) -> None:
    payload = encode(MADE[name]())
    assert payload.to_bytes() == encode(MADE[name]()).to_bytes()
    text = json.dumps(payload.summary, allow_nan=False, ensure_ascii=False).encode()
    assert b"\\u0000" not in text
    assert len(text) < 4000


# -- in place ------------------------------------------------------------------------------------------------

NUMERIC = {"f8": "f8", "i4": "i4", "u1": "u1", "M8": "M8[ns]", "m8": "m8[us]", "c16": "c16"}


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def span(memory: Any) -> tuple[int, int]:
    start = address(np.frombuffer(memory, np.uint8))
    return start, start + len(memory)


@pytest.mark.parametrize("dtype", [*NUMERIC.values(), "Int64", "Float32", "nulls", "category", "zoned"])
def test_columns_are_not_copied(dtype: str) -> None:
    ticks = np.arange(10_000)  # what is smaller is copied together
    if dtype == "category":
        values = pd.Categorical.from_codes(ticks.astype("i2"), categories=[f"c{i}" for i in range(10_000)])
    elif dtype == "zoned":
        values = pd.to_datetime(ticks).tz_localize("UTC").tz_convert(BERLIN)
    elif dtype == "nulls":
        values = pd.arrays.IntegerArray(ticks, ticks % 3 == 0)
    elif dtype[0].isupper() and "[" not in dtype:
        values = pd.array(ticks, dtype=dtype)
    else:
        values = ticks.astype(dtype)
    data = pd.DataFrame({"a": values, "b": values}, copy=False)
    addresses = [raw_address(data, name) for name in ("a", "b")]
    payload = encode(data)
    chunks = {getattr(chunk, "address", None) for chunk in payload.chunks}
    assert set(addresses) <= chunks
    memory = bytearray(payload.to_bytes())
    start, end = span(memory)
    back = decode(memory, payload.format)
    assert all(start <= raw_address(back, name) < end for name in ("a", "b"))
    assert_identical(data, back)


def raw_address(data: pd.DataFrame, name: str) -> int:
    array = data[name].array
    for attribute in ("_data", "_codes", "_ndarray"):
        if hasattr(array, attribute):
            return address(getattr(array, attribute))
    raise AssertionError(type(array))


def test_text_is_not_copied() -> None:
    data = pd.DataFrame({"a": pd.array(["some text", None] * 1000, dtype=pd.StringDtype("pyarrow"))})
    payload = encode(data)
    sent = data["a"].array.__arrow_array__().chunk(0).buffers()[2].address
    assert sent in {getattr(chunk, "address", None) for chunk in payload.chunks}
    memory = bytearray(payload.to_bytes())
    start, end = span(memory)
    back = decode(memory, payload.format)
    assert start <= back["a"].array.__arrow_array__().chunk(0).buffers()[2].address < end


def test_a_write_goes_to_the_memory_of_the_payload() -> None:
    payload = encode(pd.DataFrame({"a": np.zeros(1000)}))
    memory = bytearray(payload.to_bytes())
    before = bytes(memory)
    back = decode(memory, payload.format)
    back.loc[0, "a"] = 1.5
    assert bytes(memory) != before
    assert np.float64(1.5).tobytes() in memory


def test_a_matrix_is_one_block_in_place() -> None:
    data = pd.DataFrame(np.asfortranarray(np.random.default_rng(0).random((1000, 300))))
    payload = encode(data)
    memory = bytearray(payload.to_bytes())
    start, end = span(memory)
    back = decode(memory, payload.format)
    assert_identical(data, back)
    (block,) = back._mgr.blocks
    assert start <= address(block.values) < end
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas.errors.PerformanceWarning: the frame is fragmented
        back["new"] = 1
    assert_identical(data.assign(new=1), through_blob(back))


@pytest.mark.parametrize("dtype", ["i8", "q", "f4", ">i4", "?", "M8[s]"])
def test_columns_in_small_blocks_of_their_own(dtype: str) -> None:
    """Those of numbers are taken together; a frame of several dtypes in turn has each of its columns in its place."""
    columns = {f"c{place}": np.arange(place, place + 5).astype([dtype, "f8", "i8"][place % 3]) for place in range(99)}
    data = pd.DataFrame(columns, copy=False)
    assert len(data._mgr.blocks) == 99
    for each in (data, data.iloc[1:4:2], data[sorted(data)]):
        assert_identical(each, through_blob(each))


def test_a_private_map_of_a_file_is_used_in_place(tmp_path: Path) -> None:
    data = pd.DataFrame({"a": np.arange(1000), "b": np.arange(1000.0), "c": ["x", None] * 500})
    payload = encode(data)
    path = tmp_path / "frame.arrow"
    path.write_bytes(payload.to_bytes())
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    back = decode(memory, payload.format)
    start, end = span(memory)
    assert start <= raw_address(back, "a") < end
    back.loc[0, "a"] = 5
    back.loc[0, "b"] = 5.5
    assert_identical(data, decode(path.read_bytes(), payload.format))


def test_a_series_is_not_copied() -> None:
    data = pd.Series(np.arange(1000.0))
    payload = encode(data)
    assert address(data.to_numpy()) in {getattr(chunk, "address", None) for chunk in payload.chunks}
    memory = bytearray(payload.to_bytes())
    start, end = span(memory)
    assert start <= address(decode(memory, payload.format).to_numpy()) < end


@pytest.mark.parametrize("dtype", ["i1", "f8", "?", "c16", "M8[us]", "m8[s]"])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_nothing_is_written_of_the_column_beside(dtype: str, rows: int) -> None:
    """Arrow writes the memory of a slice up to the next multiple of 64 bytes."""
    one = pd.DataFrame(np.zeros((4, rows), dtype).T)
    other = one.copy()
    other[1] = np.ones(rows, "i1").astype(dtype)
    columns = [pa.ipc.open_file(encode(data).to_bytes()).read_all().column(0).chunk(0) for data in (one, other)]
    first, second = ([buffer and buffer.to_pybytes() for buffer in column.buffers()] for column in columns)
    assert first == second
    assert encode(through_blob(other)).to_bytes() == encode(other).to_bytes()


def test_times_in_a_block_with_nat_are_written_alike() -> None:
    data = pd.DataFrame(np.array([[1, "NaT", 3], ["NaT", 5, 6]], "M8[us]"))
    assert_identical(data, through_blob(data))
    assert encode(through_blob(data)).to_bytes() == encode(data).to_bytes()


def test_a_bit_under_a_missing_boolean_is_not_written() -> None:
    mask = np.array([True, False, True])
    one, other = (pd.arrays.BooleanArray(np.array([bit, True, bit]), mask) for bit in (False, True))
    assert encode(one).to_bytes() == encode(other).to_bytes()


def test_labels_of_sets_have_the_same_names_in_every_process() -> None:
    code = """
import pandas as pd
from airflow_xcom.codecs import encode
inner = frozenset(["abc", "abd", "xyz", "pqrstu"])
data = pd.DataFrame([[1, 2]], columns=pd.Index([inner, (1, inner)], tupleize_cols=False, dtype=object))
print(encode(data).to_bytes().hex())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 4)
    }
    assert len(found) == 1


def test_many_columns_of_one_dtype_are_one_arrow_column() -> None:
    data = MADE["wide_mixed"]()
    table = pa.ipc.open_file(encode(data).to_bytes()).read_all()
    assert [str(field.type) for field in table.schema][:2] == [
        "fixed_size_list<item: int64>[151]",
        "fixed_size_list<item: double>[150]",
    ]
    assert table.column_names == ["int64", "double", "name", "at", "day"]
    back = through_blob(data)
    assert len(back._mgr.blocks) == len(data._mgr.blocks)
    back.iloc[0, 1] = 0.5
    assert back.iloc[0, 1] == 0.5


@pytest.mark.parametrize(
    "labels",
    [
        pd.Index([f"ä{place}" for place in range(101)], name="sensor"),
        pd.Index([f"c{place}" for place in range(101)], dtype=object),
        pd.Index([f"c{place}" for place in range(101)], dtype="string[python]"),
        pd.Index([f"c{place}" for place in range(150)], dtype="str")[40:141],
        pd.Index([""] * 101),
        pd.Index([f"c\n{place}" for place in range(101)]),
        pd.Index([f"c\0{place}" for place in range(101)]),
        pd.Index([f"$__{place}" for place in range(101)]),
        pd.Index(["x", None] * 50 + ["y"]),
        pd.Index(np.arange(101) * 1.5, name="f"),
        pd.date_range("2020-01-01", periods=101),
    ],
    ids=["named", "objects", "Python", "part", "empty", "line feed", "NUL", "marks", "missing", "numbers", "days"],
)
def test_any_labels_of_a_wide_frame_come_back(labels: Any) -> None:
    data = wide("f8").set_axis(labels, axis=1)
    assert_identical(data, through_blob(data))
    assert_identical(data, through_row(data))


@pytest.mark.parametrize("dtype", ["str", object])
def test_a_label_of_a_wide_frame_takes_little_more_than_its_text(dtype: Any) -> None:
    names = pd.Index([f"c{place:05}" for place in range(10_000)], dtype=dtype)
    data = pd.DataFrame(np.ones((1, 10_000)), columns=names)
    least = 10_000 * 8 + 2 * 10_000 * len(names[0])  # Arrow writes the meta twice
    assert len(encode(data).to_bytes()) < least + 5 * 10_000


@pytest.mark.parametrize("texts", [7, "a", "\n" * 101, ["a"] * 101, None])
def test_texts_that_are_not_the_labels_of_a_wide_frame_are_damage(texts: Any) -> None:
    table = pa.ipc.open_file(encode(MADE["wide_labels"]()).to_bytes()).read_all()
    meta = json.loads(table.schema.metadata[b"airflow_xcom"])["meta"] | {"columns": {"texts": texts}}
    data = b"".join(write_file(Table(table, meta), "pandas.DataFrame", 3, meta))
    with pytest.raises(CorruptPayloadError):
        decode(data, "arrow")
    with pytest.raises(CorruptPayloadError):
        decode_part(
            lambda ranges: [memoryview(bytearray(data[slice(*part)])) for part in ranges], len(data), columns=["c1"]
        )


@pytest.mark.parametrize("run", [[False, True, 120], [0, 1, 120.0]])
def test_runs_of_a_block_that_are_not_whole_numbers_are_damage(run: Any) -> None:
    table = pa.ipc.open_file(encode(pd.DataFrame(np.ones((1, 120)))).to_bytes()).read_all()
    meta = json.loads(table.schema.metadata[b"airflow_xcom"])["meta"]
    assert meta["blocks"] == [[[0, 1, 120]]]
    meta["blocks"] = [[run]]
    with pytest.raises(CorruptPayloadError):
        decode(b"".join(write_file(Table(table, meta), "pandas.DataFrame", 3, meta)), "arrow")


def test_a_frame_of_more_rows_than_columns_keeps_a_named_column_for_each() -> None:
    names = [f"c{place}" for place in range(120)]
    for rows, width in ((120, 120), (119, 1)):
        table = pa.ipc.open_file(encode(pd.DataFrame(np.ones((rows, 120)), columns=names)).to_bytes()).read_all()
        assert table.num_columns == width


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [[[0, 1, 150]]],
        [[[0, 1, 151]], [[0, 1, 150]]],
        [[[0, 2, 150]], [[0, 2, 151]]],
        [[[0, 1, 150]], [[150, 10, 151]]],
        [[[-1, 1, 150]], [[149, 1, 151]]],
        [[[0, 1, 10**30]], [[0, 1, 151]]],
        [[[0, 1, 150]], 7],
        [[[0, {"$": ["range", 1, [0, 10**12, 1]]}, 151]], [[151, 1, 150]]],
        {"a": 1},
    ],
)
def test_blocks_that_do_not_hold_each_column_once_are_damage(blocks: Any) -> None:
    table = pa.ipc.open_file(encode(MADE["wide_mixed"]()).to_bytes()).read_all()
    note = json.loads(table.schema.metadata[b"airflow_xcom"])
    note["meta"]["blocks"] = blocks
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema.with_metadata({"airflow_xcom": json.dumps(note)})) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    with pytest.raises(CorruptPayloadError):
        decode(data, "arrow")
    with pytest.raises(CorruptPayloadError):
        decode_part(
            lambda ranges: [memoryview(bytearray(data[slice(*part)])) for part in ranges], len(data), columns=[]
        )


def test_blocks_without_rows_stand_for_no_more_columns_than_a_reader_can_pay() -> None:
    schema = pa.schema({"a": pa.list_(pa.float64(), 2**30)})
    meta = {"blocks": [[[0, 1, 2**30]]], "columns": {"range": [0, 2**30, 1]}}
    data = b"".join(write_file(Table(schema.empty_table(), meta), "pandas.DataFrame", 2, meta))
    with pytest.raises(CorruptPayloadError, match="no rows"):
        decode(data, "arrow")


@pytest.mark.parametrize(
    "cells",
    [
        [1, "a", None, 2.5, Decimal("1.5"), dt.date(2020, 1, 1), b"x"],
        [{"a": [1, {"b": Decimal(1)}]}, [], {}, {"a": "\ud800"}, "\ud800"],
        [{"a": list(range(50))}, [{"k": number} for number in range(40)], [None] * 31],
        [bytearray(b"x"), [bytearray(b"y")], {1: (2, 3)}],
        [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],
    ],
)
def test_cells_are_packed_together_as_they_are_alone(cells: list[Any]) -> None:
    writer, alone = (Writer(registry.for_type, stream_chunks, inline=True) for _ in range(2))
    assert writer.pack_cells(cells, set(map(type, cells)))[1] == [alone.pack(cell) for cell in cells]
    data = pd.Series([*cells, *cells], dtype=object)
    assert_identical(data, through_blob(data))


def test_many_large_cells_are_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_CELLS_AT_ONCE", 100)
    data = pd.Series([[number] * (number % 7 * 40) for number in range(100)] + [{"a": 1}], dtype=object)
    assert_identical(data, through_blob(data))


def test_cells_that_do_not_end_where_their_table_says_are_damage() -> None:
    read = functools.partial(reader.read_cells, decoder=Decoder(registry))
    data = memoryview(b"\x01\x92\x02\x03\xa1x")
    assert read(([], data, np.array([0, 1, 4, 6]))) == [1, [2, 3], "x"]
    assert read(([], data, np.array([1, 4, 6]))) == [[2, 3], "x"]
    for offsets in ([0, 1, 3, 6], [0, 2, 4, 6], [0, 1, 4, 5], [0, 0, 1], [0, 1, 2]):
        with pytest.raises(CorruptPayloadError):
            read(([], data, np.array(offsets)))


NATIVES = [
    *(number + more for number in (0, 2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63 - 1) for more in (-1, 0)),
    *(-number - more for number in (1, 2**5, 2**7, 2**15, 2**31, 2**63 - 1) for more in (0, 1)),
    *(2**64 - 1, 1.5, float("inf"), None, True, False),
    *("é" * size for size in (0, 1, 15, 16, 127)),
    *("x" * size for size in (31, 32, 255)),
    *([], {}, [1], {"a": 1}, [{}, [], {"é" * 16: [{1: 2.5, None: "x"}], "b": {}}], [list(range(15))] * 3),
]


def test_cells_that_are_few_natives_are_read_at_once_as_they_are_alone() -> None:
    packed = [Writer(registry.for_type, stream_chunks).pack(value) for value in NATIVES]
    offsets = np.cumsum([2, *map(len, packed)])
    data = memoryview(b"\xc1\xc1" + b"".join(packed) + b"\xc1")
    assert_identical(read_together(data, offsets), NATIVES)
    assert read_together(data, offsets[:1]) is None
    for number in range(1, len(offsets)):
        for distance in (-1, 1):
            moved = offsets + distance * (np.arange(len(offsets)) == number)
            assert read_together(data, moved) is None, NATIVES[number - 1]


@pytest.mark.parametrize(
    ("packed", "ends"),
    [
        (b"\x92\x01\x02", [0, 2, 3]),  # an item of a list lies in the next cell
        (b"\x81\xa1a\x92\x01\x02\x03", [0, 3, 7]),
        (b"\x01\xd9", [0, 1, 2]),  # the size of a text is not there
        (b"\x01\xd9\x00", [0, 1, 2]),
        (b"\x91\x01", [0, 2, 2]),
        (b"\x01\x02", [1, 0, 2]),
        (b"\x01\x02", [-1, 1, 2]),
        (b"\x01\x02", [0, 1, 3]),
    ],
)
def test_cells_that_reach_into_others_are_not_read_at_once(packed: bytes, ends: list[int]) -> None:
    assert read_together(memoryview(packed), np.array(ends)) is None


@pytest.mark.parametrize("value", ["x" * 256, list(range(16)), [[0] * 15] * 5, b"", [b"x"], {"a": Decimal(1)}])
def test_cells_that_are_more_are_left_to_the_reader(value: Any) -> None:
    packed = Writer(registry.for_type, stream_chunks).pack(value)
    assert read_together(memoryview(b"\x01" + packed), np.array([0, 1, 1 + len(packed)])) is None
    data = pd.Series([1, value, "x"], dtype=object)
    assert_identical(data, through_blob(data))


@pytest.mark.parametrize("texts", [["a", "b", "a"], ["a", None, "b"]])
def test_categories_that_pandas_would_not_have_are_damage(texts: list[str | None]) -> None:
    codes = pa.array(np.zeros(2, np.int8))
    column = pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.large_string()))
    meta = {"kinds": {"0": ["category", {}]}}
    data = b"".join(write_file(Table(pa.table({"a": column}), meta), "pandas.DataFrame", 2, meta))
    with pytest.raises(CorruptPayloadError, match="ategorical"):
        decode(data, "arrow")


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"kinds": {"0": "masked", "11": ["category", {}]}, "columns": {"range": [0, 3, 1]}},
        {"attrs": {"$": [1, 2]}},
        {"attrs": {"a": [{"__classname__": "x"}]}},
        {"attrs": {"text": "$5", "float": -0.0, "int": 2**70, "nan": float("nan")}},
        {"attrs": {"longer": 1, "a": "\ud83d\ude00"}},
        {"attrs": {1: (2, b"3")}},
    ],
)
def test_what_is_plain_in_a_meta_goes_straight_to_json(meta: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = bodies.json_of(meta, registry)
    monkeypatch.setattr(bodies, "exact_json", lambda *_args, **_kwargs: None)
    packed = bodies.json_of(meta, registry)
    assert json.dumps(straight[0]) == json.dumps(packed[0])
    assert straight[1] == packed[1]


def test_a_small_frame_is_written_as_a_file_only_for_a_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encode(pd.DataFrame({"a": [1]}))
    monkeypatch.setattr(bodies.arrow, "write_file", None)
    assert payload.least_size == 8
    assert_identical(pd.DataFrame({"a": [1]}), decode_json(payload.to_json()))
    with pytest.raises(TypeError):
        payload.to_bytes()


def test_wide_frame() -> None:
    data = pd.DataFrame(
        {
            f"c{i}": (np.full(3, i, "f8"), np.full(3, i, "i8"), np.array(["a", None, "b"], object))[i % 3]
            for i in range(3000)
        }
    )
    assert_identical(data, through_blob(data))


def test_memory_that_is_read_only_is_copied() -> None:
    data = pd.DataFrame({"a": np.arange(10.0)})
    payload = encode(data)
    back = decode(payload.to_bytes(), payload.format)
    back.loc[0, "a"] = 5
    assert back.loc[0, "a"] == 5


def test_columns_of_several_batches_come_together() -> None:
    kind, array = encode_array(np.arange(10), no_cells)
    parts = pa.chunked_array([array[:3], array[3:]])
    assert_identical(np.arange(10), decode_array(kind, parts, TableMemory(None)))


def test_text_that_32_bits_cannot_address_stays_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(column: Any) -> Any:
        raise pa.ArrowInvalid("offset overflow while concatenating arrays")

    data = pd.DataFrame({"a": pd.arrays.ArrowExtensionArray(pa.chunked_array([["a"], ["b", "c"]])), "b": range(3)})
    with monkeypatch.context() as patch:
        patch.setattr(extension_columns, "one_chunk", refuse)
        payload = encode(data)
    assert pa.ipc.open_file(payload.to_bytes()).num_record_batches == 2
    assert_identical(data, decode(payload.to_bytes(), payload.format))


def test_misaligned_memory_is_copied() -> None:
    memory = memoryview(bytearray(81))
    raw = np.frombuffer(memory, np.uint8)
    start = next(place for place in range(8) if (address(raw) + place) % 8 == 3)
    buffer = pa.py_buffer(memory[start : start + 72])
    view = TableMemory(memory).view(buffer, np.dtype("f8"), 9)
    assert view.flags.aligned
    assert view.flags.writeable


# -- other tools ---------------------------------------------------------------------------------------------


@pytest.fixture
def rich() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "i": np.array([1, 2, 3], "i4"),
            "f": [0.5, 1.5, -2.0],
            "text": ["a", None, "ü"],
            "flag": [True, False, True],
            "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]).as_unit("ns"),
            "zoned": pd.to_datetime(["2024-01-01", None, "2024-01-03"]).as_unit("us").tz_localize(BERLIN),
            "offset": pd.to_datetime(["2024-01-01"] * 3)
            .as_unit("us")
            .tz_localize(dt.timezone(dt.timedelta(minutes=90))),
            "kind": pd.Categorical(["x", None, "x"], ["y", "x"]),
            "level": pd.Categorical([5, None, 5]),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "price": objects(Decimal("1.10"), Decimal("2.00"), None),
            "day": objects(dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)),
            "raw": objects(b"a", b"b", None),
            "none": objects(None, None, None),
            "cells": objects({"a": 1}, [1], "x"),
            "span": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
        },
        index=pd.MultiIndex.from_arrays([["p", "q", None], [1, 2, 3]], names=["outer", None]),
    )


def test_polars_opens_the_file(rich: pd.DataFrame) -> None:
    pl = pytest.importorskip("polars")
    read = pl.read_ipc(io.BytesIO(encode(rich).to_bytes()))
    assert read.columns == [*rich.columns, "outer", "__index_level_1__"]
    types = dict(read.schema)
    expected = {
        "i": pl.Int32,
        "f": pl.Float64,
        "text": pl.String,
        "flag": pl.Boolean,
        "when": pl.Datetime("ns"),
        "zoned": pl.Datetime("us", "Europe/Berlin"),
        "offset": pl.Datetime("us", "UTC"),
        "kind": pl.Categorical,
        "level": pl.Int64,
        "whole": pl.Int64,
        "price": pl.Decimal(3, 2),
        "day": pl.Date,
        "raw": pl.Binary,
        "none": pl.Null,
        "cells": pl.Binary,
        "span": pl.Struct({"left": pl.Int64, "right": pl.Int64}),
        "outer": pl.Categorical,
        "__index_level_1__": pl.Int64,
    }
    assert {name: types[name] for name in expected} == expected
    rows = read.select(
        "i", "f", "text", "flag", "kind", "level", "whole", "price", "day", "raw", "none", "outer"
    ).rows()
    assert rows == [
        (1, 0.5, "a", True, "x", 5, 1, Decimal("1.10"), dt.date(2024, 1, 1), b"a", None, "p"),
        (2, 1.5, None, False, None, None, None, Decimal("2.00"), None, b"b", None, "q"),
        (3, -2.0, "ü", True, "x", 5, 3, None, dt.date(2024, 1, 3), None, None, None),
    ]
    assert read["zoned"].to_list() == [
        dt.datetime(2024, 1, 1, tzinfo=BERLIN),
        None,
        dt.datetime(2024, 1, 3, tzinfo=BERLIN),
    ]
    assert read["offset"][0] == dt.datetime(2023, 12, 31, 22, 30, tzinfo=dt.UTC)
    assert read["when"].to_list() == [dt.datetime(2024, 1, 1), None, dt.datetime(2024, 1, 3)]


def test_duckdb_reads_the_file(rich: pd.DataFrame) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows_of_file = pa.ipc.open_file(encode(rich).to_bytes()).read_all()  # noqa: F841 - DuckDB finds it by its name
    rows = duckdb.sql(
        'select sum(i), max(f), min(text), count(whole), sum(price), min(day), max("outer") from rows_of_file'
    ).fetchall()
    assert rows == [(6, 1.5, "a", 2, Decimal("3.10"), dt.date(2024, 1, 1), "q")]
    assert duckdb.sql("select kind, level, epoch_us(zoned) from rows_of_file limit 1").fetchall() == [
        ("x", 5, 1704063600000000)
    ]


def test_names_are_unique() -> None:
    labels = ["a", "a", "a_1", 5, "5", None, ("x", 1)]
    table = pa.ipc.open_file(
        encode(pd.DataFrame([range(7)], columns=pd.Index(objects(*labels), dtype=object))).to_bytes()
    )
    assert table.schema.names == ["a", "a_1", "a_1_1", "5", "5_1", "None", "('x', 1)"]


def test_a_plain_frame_needs_no_meta() -> None:
    node = pandas_frame.encode_frame(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]}), no_cells)
    assert node.meta == ({} if NEW else {"columns": {"kind": "object"}})
    assert len(json.dumps(encode(pd.DataFrame({"a": [1, 2, 3]})).to_json())) < 900


# -- refused -------------------------------------------------------------------------------------------------


class Opaque:
    __hash__ = object.__hash__


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: frame(ok=objects(1), bad=objects(1, Opaque())[1:]), ["column 'bad'", '.loc[0, "bad"]', "Opaque"]),
        (
            lambda: pd.DataFrame({"a": [1]}, index=pd.Index(objects(Opaque()), dtype=object)),
            ["index", ".index[0]", "Opaque"],
        ),
        (lambda: pd.DataFrame([[1]], columns=pd.Index(objects(Opaque()), dtype=object)), ["Opaque"]),
        (lambda: pd.Series(objects(Opaque()), name="s"), ["column 's'", ".loc[0]", "Opaque"]),
    ],
)
def test_an_object_without_codec_is_refused(value: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(value())
    assert all(word in str(caught.value) for word in words)


def test_a_foreign_dtype_is_refused() -> None:
    class ForeignDtype(pd.api.extensions.ExtensionDtype):
        name = "foreign"
        type = object

    class ForeignArray(pd.arrays.NumpyExtensionArray):
        dtype = ForeignDtype()

    with pytest.raises(UnsupportedTypeError, match=r"column 'x': .*foreign.*ForeignDtype.*astype"):
        pandas_frame.encode_series(
            pd.Series([1], name="x").set_axis([0]).pipe(lambda s: _Fake(s, ForeignArray(np.arange(1)))), no_cells
        )


class _Fake:
    """A series whose array is of a foreign dtype, which pandas itself would unwrap."""

    _accessors = frozenset({"name", "index", "array"})

    def __init__(self, series: pd.Series, array: Any) -> None:
        self.name, self.index, self.array = series.name, series.index, _NoNumpy(array.dtype)


class _NoNumpy:
    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def test_a_subclass_is_refused() -> None:
    class Special(pd.DataFrame):
        pass

    with pytest.raises(UnsupportedTypeError, match="Special"):
        encode(Special({"a": [1]}))


def test_a_sparse_array_with_explicit_fill_values_is_refused() -> None:
    array = pd.arrays.SparseArray([0, 1, 0])
    array.sp_values[0] = 0
    with pytest.raises(UnsupportedValueError, match="to_dense"):
        encode(pd.Series(array))


def test_a_long_range_of_categories_without_rows_is_refused() -> None:
    with pytest.raises(UnsupportedValueError, match=r"column 'a'.*not used"):
        encode(pd.DataFrame({"a": pd.Categorical.from_codes([], categories=pd.RangeIndex(2_000_000))}))


def test_a_frame_in_itself_is_refused() -> None:
    data = frame(a=objects(None))
    data.at[0, "a"] = data  # noqa: PD008 - loc would align it
    with pytest.raises(EncodeError):
        encode(data)


def test_fixed_width_text_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"<U1.*astype"):
        encode(pd.arrays.NumpyExtensionArray(np.array(["a"])))


def test_a_zone_that_other_tools_do_not_know_is_written_as_utc() -> None:
    with (Path(zoneinfo.TZPATH[0]) / "Europe/Berlin").open("rb") as file:
        assert extension_columns._zone_name(ZoneInfo.from_file(file, key="Mars/Olympus")) == "UTC"


def test_an_old_pandas_makes_the_string_dtypes_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def string_dtype(storage: str, **options: Any) -> str:
        if options:
            raise TypeError("StringDtype.__init__() got an unexpected keyword argument 'na_value'")
        return storage

    monkeypatch.setattr(pd, "StringDtype", string_dtype)
    assert pandas_dtypes.string_dtype("python", pd.NA) == "python"
    assert pandas_dtypes.string_dtype("pyarrow", np.nan) == "pyarrow_numpy"
    with pytest.raises(DecodeError, match=r"needs pandas 2\.3"):
        pandas_dtypes.string_dtype("python", np.nan)


def test_a_dictionary_in_a_dictionary_is_refused() -> None:
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", "b"]).dictionary_encode())
    with pytest.raises(UnsupportedValueError, match="cast it"):
        encode(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([inner]))))


# -- forged --------------------------------------------------------------------------------------------------


def codes_column(codes: list[int], labels: int) -> pa.Array:
    letters = pa.array([f"c{i}" for i in range(labels)], pa.large_string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), letters, safe=False)


FORGED = {
    "nulls in numbers": (None, pa.array([1, None])),
    "code without label": (["category", {}], codes_column([0, 5], 2)),
    "negative code": (["category", {}], codes_column([0, -5], 2)),
    "unknown kind": ("pickle", pa.array([1])),
    "no kind": ([], pa.array([1])),
    "wrong type": (None, pa.array([[1]])),
    "masked text": ("masked", pa.array(["a"])),
    "objects in memory": (["numpy", "O"], pa.array([b"12345678"], pa.binary(8))),
    "records in memory": (["numpy", "i4,O"], pa.array([b"12345678"], pa.binary(8))),
    "no dtype": (["numpy", "xyz"], pa.array([1])),
    "wrong width": (["numpy", "<f16"], pa.array([b"12345678"], pa.binary(8))),
    "cells in numbers": (["cells", []], pa.array([1])),
    "objects of structs": ("object", pa.array([{"a": 1}])),
    "missing what": (["object", "x"], pa.array([None], pa.large_string())),
    "text in numbers": (["string", "pyarrow", "NA"], pa.array([1])),
    "python text in numbers": (["string", "python", "NA", 5], pa.array([1])),
    "string storage": (["string", "disk", "NA"], pa.array(["a"], pa.large_string())),
    "freq": (["period", 5], pa.array([1])),
    "zone": (["tz", 5], pa.array([1], pa.timestamp("s"))),
    "interval": (["interval", "left", {}, {}], pa.array([1])),
    "interval with nulls": (
        ["interval", "left", {}, {}],
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["left", "right"], mask=pa.array([True])),
    ),
    "interval backwards": (
        ["interval", "left", {}, {}],
        pa.StructArray.from_arrays([pa.array([2]), pa.array([1])], ["left", "right"]),
    ),
    "freq on numbers": (["category", {"freq": pd.offsets.Day()}], codes_column([0], 1)),
    "freq that is none": (
        ["category", {"freq": 5}],
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([1], pa.timestamp("s"))),
    ),
    "labels that are none": (["category", {"labels": [1]}], codes_column([0], 1)),
    "more labels than there are": (["category", {"range": [0, 2**31, 1]}], codes_column([0], 1)),
    "more labels without rows": (["category", {"range": [0, 2**31, 1]}], codes_column([], 1)),
    "longer than the interval": (
        ["interval", "left", {"range": [0, 2**31, 1]}, {"range": [0, 2**31, 1]}],
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["left", "right"]),
    ),
    "sparse": (["sparse", "x", 0, None], pa.array([1])),
    "extension": (["arrow", "extension<x>"], pa.array([1])),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_columns_raise(name: str) -> None:
    kind, array = FORGED[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the body makes it a CorruptPayloadError
        decode_array(kind, array, TableMemory(memoryview(bytearray(1000))))
    assert not isinstance(caught.value, MemoryError | AssertionError)


@pytest.mark.parametrize("buffer", [None, pa.py_buffer(bytes(8))])
def test_a_view_ends_within_its_buffer(buffer: pa.Buffer | None) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        TableMemory(None).view(buffer, np.dtype("f8"), 1, offset=1)


def test_long_doubles_of_another_platform_are_refused() -> None:
    kind, array = encode_array(np.zeros(2, np.longdouble), no_cells)
    name, text = kind
    assert decode_array([name, text.partition(":")[0]], array, TableMemory(None)).dtype == np.longdouble, "as before"
    with pytest.raises(DecodeError, match="another form on the platform"):
        decode_array([name, text.partition(":")[0] + ":g1"], array, TableMemory(None))


def test_a_null_in_a_column_of_times_is_nat_whatever_stands_there() -> None:
    ticks = pa.Array.from_buffers(pa.timestamp("s"), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(bytes(16))])
    assert_identical(np.array([0, "NaT"], "M8[s]"), decode_array(None, ticks, TableMemory(None)))


@pytest.mark.parametrize(
    "meta",
    [
        {"index": {"range": [0, 5, 1]}},
        {"columns": {"range": [0, 10**12, 1]}},
        {"columns": {"labels": ["a"]}},
        {"index": {"levels": [{}, {}, {}]}},
        {"index": {"freq": 5}},
        {"kinds": {"0": ["category", {}]}},
        {"kinds": [5]},
        {"flags": {}},
        {"attrs": 5},
        [],
        None,
    ],
)
def test_forged_meta_raises(meta: Any) -> None:
    table = pa.table({"a": [1, 2], "b": [1, 2]})
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, IndexError)):
        pandas_frame.decode_frame(Table(table, meta), 1)


def test_damaged_bytes_raise_a_typed_error() -> None:
    payload = encode(
        pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", "y"])}, index=pd.date_range("2024", periods=2))
    )
    whole = payload.to_bytes()
    generator = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.integers(len(damaged))] ^= 1 << int(generator.integers(8))
        with suppress(DecodeError):
            decode(damaged, payload.format)


# -- summaries -----------------------------------------------------------------------------------------------


class Rude:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_summary_of_a_frame() -> None:
    data = frame(number=[1.5, 2.0, 3.0, 4.0], text=objects("x" * 100, "\ud800\0", Rude(), None))
    summary = pandas_summary.summarize_frame(data)
    assert {**summary, "head": summary["head"]()} == {
        "shape": [4, 2],
        "dtypes": {"number": "float64", "text": "object"},
        "head": [["1.5", "x" * 39 + "…"], ["2.0", "\\ud800\\0"], ["3.0", "<Rude>"]],
    }


class Unreadable:
    def __getitem__(self, part: slice) -> Any:
        return self

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        raise OverflowError


def test_summary_of_what_cannot_be_read() -> None:
    assert list(pandas_summary._cells(Unreadable())) == ["…", "…"]


def test_a_changed_value_is_found() -> None:
    value = MADE["zones"]()
    assert difference(value, value.assign(utc=value["berlin"])) is not None
    assert collections.Counter(MADE)


def test_a_freq_that_this_pandas_keeps_in_no_array_is_refused() -> None:
    row = encode(pd.array(pd.date_range("2024-01-01", periods=3))).to_json()
    row["$"][2]["$"][1][0]["freq"] = {"$": ["pandas.offsets", 1, ["Day", 1]]}
    with pytest.raises(LibraryVersionError, match=r"an array with the freq .*needs pandas older than 3\.1"):
        decode_json(row)

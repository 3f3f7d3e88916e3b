"""Any value that a task may return: one Hypothesis strategy for each tag, and ``values()`` over all of them.

``LEAVES`` has the strategies of what holds no other value, ``CONTAINERS`` those of what does, by their tags; natives,
which have no tag, are in both.  A strategy makes only what the codecs keep: what they refuse, and why, is in the tests
of each family.  Values are small and awkward, so that thousands of them take minutes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import struct
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import attrs
import dateutil.relativedelta
import dateutil.tz
import geopandas as gpd
import msgspec
import numpy as np
import pandas as pd
import pendulum
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pydantic
import pydantic_core
import pytz
import scipy.sparse as sp
import shapely
import strategies_of_libraries as libraries
import xarray as xr
from geopandas.array import GeometryArray, GeometryDtype
from hypothesis import assume, reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pendulum.duration import AbsoluteDuration
from pydantic import networks
from pyproj import CRS

from airflow_xcom.codecs.builtin.classes.generated import _rebuilt
from airflow_xcom.codecs.testing import strategies as testing
from airflow_xcom.codecs.testing.strategies import (
    ADDRESSES,
    ANY_TEXT,
    DECIMALS,
    FLEXIBLE_CODES,
    FLOATS,
    FOLDS,
    INTEGERS,
    LONG_INTEGERS,
    NUMBER_CODES,
    OFFSETS,
    ROWS,
    TEXT,
    TIMEDELTAS,
    TIMEZONES,
    ZONE_KEYS,
    ZONES,
    clock_times,
    datetimes,
    elements,
    layouts,
    objects,
)

Values = SearchStrategy[Any]

DEPTH = 6


def is_allowed(name: str) -> bool:
    """Which classes the payloads name."""
    return name.startswith("strategies.") or name in libraries.test_models.BOOSTERS


# -- natives and scalars -------------------------------------------------------------------------------------

SURROGATES = st.builds("{}\ud800{}".format, TEXT, TEXT) | st.sampled_from(
    ["\udfff\ud800", "\ud83d\ude00", "\ud83d\ude00\U0001f600", "a\0\udc80"]
)
NAMES = st.sampled_from(["", ".", "..", "a", "/srv/ü", "a/b.c", "//host/x", "C:\\x", "\ud800"])
PATHS = st.builds(lambda kind, name: kind(name), st.sampled_from([Path, PurePosixPath, PureWindowsPath]), NAMES)
PLACES = st.none() | st.integers(-(2**70), 2**70)
UUIDS = st.uuids() | st.builds(uuid.UUID, int=st.integers(0, 2**128 - 1), is_safe=st.sampled_from(uuid.SafeUUID))

# -- times ---------------------------------------------------------------------------------------------------


def _localized(key: str, moment: dt.datetime) -> Any:
    return pytz.timezone(key).localize(moment).tzinfo


MODERN = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
PYTZ = st.one_of(
    st.sampled_from(ZONE_KEYS).map(pytz.timezone),
    st.integers(-1439, 1439).map(pytz.FixedOffset),
    st.builds(_localized, st.sampled_from(ZONE_KEYS), MODERN),
)
DATEUTIL = st.one_of(
    st.just(dateutil.tz.UTC),
    st.builds(dateutil.tz.tzoffset, st.none() | TEXT, OFFSETS),
    st.sampled_from(ZONE_KEYS[1:]).map(dateutil.tz.gettz),
)
ANY_ZONE = st.one_of(st.none(), TIMEZONES, ZONES, PYTZ, DATEUTIL)
DATETIMES = datetimes(ANY_ZONE)
TIMES = clock_times(ANY_ZONE)

PENDULUM_ZONES = st.sampled_from(ZONE_KEYS).map(pendulum.Timezone)
FIXED_ZONES = st.builds(pendulum.FixedTimezone, st.integers(-86399, 86399), st.none() | TEXT.filter(bool))


def _pendulum_time(clock: dt.time, zone: Any, fold: int) -> pendulum.Time:
    return pendulum.Time(clock.hour, clock.minute, clock.second, clock.microsecond, tzinfo=zone, fold=fold)


def _pendulum_datetime(moment: dt.datetime, zone: Any, fold: int) -> pendulum.DateTime:
    day, clock = moment.date(), moment.time()
    fields = (day.year, day.month, day.day, clock.hour, clock.minute, clock.second, clock.microsecond)
    return pendulum.DateTime(*fields, tzinfo=zone, fold=fold)


PENDULUM_DATES = st.dates().map(lambda day: pendulum.Date(day.year, day.month, day.day))
PENDULUM_DATETIMES = st.builds(
    _pendulum_datetime, st.datetimes(), st.none() | PENDULUM_ZONES | FIXED_ZONES | ZONES, FOLDS
)
MODERN_DATETIMES = st.builds(_pendulum_datetime, MODERN, PENDULUM_ZONES, FOLDS)
AMOUNTS = {
    name: st.sampled_from([0, 0, 1, -1, 40, -5])
    for name in ("years", "months", "weeks", "days", "hours", "minutes", "seconds", "microseconds")
}
ENDS = st.tuples(PENDULUM_DATES, PENDULUM_DATES) | st.tuples(MODERN_DATETIMES, MODERN_DATETIMES)

# -- NumPy ---------------------------------------------------------------------------------------------------

UNITS = ("s", "ms", "us", "ns")
NUMBERS = [np.dtype(code) for code in NUMBER_CODES]
FLEXIBLE = [np.dtype(code) for code in FLEXIBLE_CODES]
STRINGS: list[Any] = [
    np.dtypes.StringDType(),
    np.dtypes.StringDType(na_object=None),
    np.dtypes.StringDType(na_object=np.nan, coerce=False),
]
STRUCTURED = [
    np.dtype([("a", "<i2"), ("b", ">f8"), ("c", "S3")]),
    np.dtype([("a", "?"), ("b", "<f4", (2,))], align=True),
    np.dtype({"names": ["x", "y"], "formats": ["u1", [("z", "<M8[s]")]], "offsets": [3, 8], "itemsize": 20}),
    np.dtype([("n", "<i4"), ("o", "O")]),
    np.dtype([(("title", "t"), "<U2")]),
]
DTYPES = st.sampled_from([*NUMBERS, *FLEXIBLE, *STRINGS, *STRUCTURED, np.dtype("O")])
PLAIN_DTYPES = st.sampled_from(NUMBERS)
FLAT_DTYPES = st.sampled_from([*NUMBERS, *FLEXIBLE])


LAYOUTS = layouts()


def arrays(cells: Values, dtypes: SearchStrategy[np.dtype[Any]] = DTYPES) -> Values:
    """Arrays of any dtype, those with fields and strings of any length included."""
    return testing.arrays(cells, dtypes)


@st.composite
def numpy_scalars(draw: DrawFn) -> Any:
    dtype = draw(FLAT_DTYPES | st.sampled_from([kind for kind in STRUCTURED if not kind.hasobject]))
    return draw(elements(dtype, 1, st.none()))[0]


@st.composite
def recarrays(draw: DrawFn, cells: Values) -> Any:
    return draw(elements(draw(st.sampled_from(STRUCTURED)), draw(st.integers(0, ROWS)), cells)).view(np.recarray)


@st.composite
def masked_arrays(draw: DrawFn, cells: Values) -> Any:
    data = draw(arrays(cells, st.sampled_from([*NUMBERS, np.dtype("S3"), np.dtype("O"), STRUCTURED[0]])))
    mask: Any = np.ma.nomask
    if draw(st.booleans()):
        mask = np.array(draw(st.lists(st.booleans(), min_size=data.size, max_size=data.size)), bool).reshape(data.shape)
    array = np.ma.MaskedArray(np.array(data), mask, hard_mask=draw(st.booleans()))
    array.fill_value  # noqa: B018 - NumPy sets it when an array is first shown, as in the summary of a frame
    return array


# -- columns: what Series, frames, indexes and pandas arrays are made of --------------------------------------

Column = Callable[[int], SearchStrategy[Any]]


def _masks(count: int) -> SearchStrategy[np.ndarray]:
    return st.lists(st.booleans(), min_size=count, max_size=count).map(lambda items: np.array(items, bool))


def _lists(items: Values, count: int) -> SearchStrategy[list[Any]]:
    return st.lists(items, min_size=count, max_size=count)


@st.composite
def _numbers(draw: DrawFn, count: int) -> np.ndarray:
    kinds = [kind for kind in NUMBERS if kind.kind not in "mM"]
    kinds += [np.dtype(f"{letter}8[{unit}]") for letter in "mM" for unit in UNITS]
    return draw(elements(draw(st.sampled_from(kinds)), count, st.none()))


@st.composite
def _nullable(draw: DrawFn, count: int) -> Any:
    data = draw(elements(draw(st.sampled_from([np.dtype(code) for code in "?bBhHiIlLfd"])), count, st.none()))
    kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    return kinds.get(data.dtype.kind, pd.arrays.IntegerArray)(data, draw(_masks(count)))


@st.composite
def _text(draw: DrawFn, count: int) -> Any:
    dtype = pd.StringDtype(draw(st.sampled_from(["python", "pyarrow"])), draw(st.sampled_from([pd.NA, np.nan])))
    return pd.array(draw(_lists(TEXT | st.none(), count)), dtype=dtype)


def _ticks(count: int) -> SearchStrategy[list[int]]:
    return _lists(st.sampled_from([-(2**63), 0, 1, -1, 10**9]) | st.integers(-(2**40), 2**40), count)


@st.composite
def _zoned(draw: DrawFn, count: int) -> Any:
    zone = draw(ANY_ZONE.filter(lambda zone: zone is not None))
    values = np.array(draw(_ticks(count)), np.int64).view("M8[s]")
    return pd.Index(values).tz_localize("UTC").tz_convert(zone).as_unit(draw(st.sampled_from(["s", "ms"]))).array


@st.composite
def _times(draw: DrawFn, count: int) -> Any:
    letter, unit = draw(st.sampled_from("mM")), draw(st.sampled_from(UNITS))
    return pd.array(np.array(draw(_ticks(count)), np.int64).view(f"{letter}8[{unit}]"))


@st.composite
def _periods(draw: DrawFn, count: int) -> Any:
    freq = draw(st.sampled_from(["D", "M", "Q-NOV", "Y", "h", "W-WED", "ns", "B"]))
    ordinals = np.array(draw(_lists(st.integers(-500, 5000) | st.just(-(2**63)), count)), np.int64)
    return pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(freq))


@st.composite
def _intervals(draw: DrawFn, count: int) -> Any:
    left = np.array(draw(_lists(st.integers(-9, 9), count)), np.int64)
    kind = draw(st.sampled_from(["i8", "f8", "M8[s]", "m8[ms]"]))
    closed = draw(st.sampled_from(["left", "right", "both", "neither"]))
    array = pd.arrays.IntervalArray.from_arrays(left.astype(kind), (left + 1).astype(kind), closed)
    if not count or kind == "i8":  # which cannot be missing
        return array
    return array.take(draw(_lists(st.integers(-1, count - 1), count)), allow_fill=True)


_SORTABLE = {"e": "f4", "g": "f8", "G": "c16"}


def _sortable(array: Any) -> Any:
    """Labels that pandas can number: those in the byte order of the machine, and no floats of 16 or 128 bits."""
    if isinstance(array, np.ndarray):
        array = array.astype(_SORTABLE.get(array.dtype.char, array.dtype.newbyteorder("=")))
    return pd.Index(
        array, dtype=array.dtype, tupleize_cols=False
    )  # without dtype=, pandas looks for text among objects


@st.composite
def _categories(draw: DrawFn, count: int) -> Any:
    # Out of far years pandas makes no labels: it counts in one unit.
    made = draw(st.sampled_from([_numbers, _text, _periods, _intervals, _times, _nullable, _keys]))
    labels = _sortable(draw(made(draw(st.integers(0, ROWS))))).dropna().unique()
    codes = draw(_lists(st.integers(-1, len(labels) - 1), count))
    return pd.Categorical.from_codes(codes, categories=labels, ordered=draw(st.booleans()))


@st.composite
def _sparse(draw: DrawFn, count: int) -> Any:
    fill, items = draw(
        st.sampled_from([(0, st.integers(-1, 1)), (0.0, FLOATS), (float("nan"), FLOATS), (False, st.booleans())])
    )
    dense = np.array(draw(_lists(st.just(fill) | items, count)), type(fill))
    return pd.arrays.SparseArray(dense, fill_value=fill, kind=draw(st.sampled_from(["integer", "block"])))


@st.composite
def _of_arrow(draw: DrawFn, count: int) -> Any:
    array = draw(arrow_arrays(count))
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))


@st.composite
def _keys(draw: DrawFn, count: int) -> np.ndarray:
    """Objects that an index can hold."""
    return objects(draw(_lists(keys(1), count)))


@st.composite
def _alike(draw: DrawFn, count: int) -> np.ndarray:
    """Objects of one class, and missing ones."""
    kinds = [st.integers(-(2**70), 2**70), FLOATS, ANY_TEXT, st.binary(max_size=3), st.booleans(), st.dates(), DECIMALS]
    missing = [None, np.nan, pd.NA, pd.NaT]
    return objects(draw(_lists(draw(st.sampled_from(kinds)) | st.just(draw(st.sampled_from(missing))), count)))


def _mixed(cells: Values) -> Column:
    return lambda count: _lists(cells, count).map(objects)


ARRAYS: tuple[Column, ...] = (
    *(_nullable, _text, _zoned, _times, _periods, _intervals, _categories, _sparse, _of_arrow),
    lambda count: _numbers(count).filter(lambda array: array.dtype.kind not in "mM").map(pd.arrays.NumpyExtensionArray),
)


def columns(count: int, cells: Values) -> SearchStrategy[Any]:
    """One column of a frame or Series."""
    kinds = (_numbers, _nullable, _text, _zoned, _times, _periods, _intervals, _categories, _sparse, _of_arrow, _alike)
    return st.sampled_from([*kinds, geometry_arrays, _mixed(cells)]).flatmap(lambda made: made(count))


# -- pandas --------------------------------------------------------------------------------------------------

FREQUENCIES = st.one_of(
    st.sampled_from(
        [
            pd.offsets.Day(3),
            pd.offsets.Hour(-1),
            pd.offsets.BusinessDay(2),
            pd.offsets.BusinessHour(start="09:30", end="12:00"),
            pd.offsets.CustomBusinessDay(holidays=["2024-05-01"], weekmask="Mon Tue Sun"),
            pd.offsets.MonthEnd(normalize=True),
            pd.offsets.QuarterBegin(startingMonth=2),
            pd.offsets.Week(weekday=3),
            pd.offsets.WeekOfMonth(week=1, weekday=2),
            pd.offsets.FY5253(weekday=4, startingMonth=12, variation="last"),
            pd.offsets.Easter(),
        ]
    ),
    st.builds(pd.offsets.Nano, st.integers(-(2**62), 2**62)),
    st.builds(pd.DateOffset, months=st.integers(-5, 5), days=st.integers(0, 9), weekday=st.none() | st.integers(0, 6)),
)


FAR_ZONES = (dt.UTC, zoneinfo.ZoneInfo("UTC"), pytz.UTC)  # in any other, pandas counts from the years 1 to 9999 only


@st.composite
def timestamps(draw: DrawFn) -> Any:
    unit, zone = draw(st.sampled_from(UNITS)), draw(ANY_ZONE)
    count = draw(st.integers(-(2**40), 2**40) if zone is None or zone in FAR_ZONES else st.integers(-(2**31), 2**31))
    moment = pd.Timestamp(np.datetime64(count if unit == "s" else count * 1009, unit))
    return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)


@st.composite
def timedeltas(draw: DrawFn) -> Any:
    return pd.Timedelta(np.timedelta64(draw(st.integers(-(2**62), 2**62)), draw(st.sampled_from(["ms", "us", "ns"]))))


CLOSED = st.sampled_from(["left", "right", "both", "neither"])
INTERVALS = st.builds(pd.Interval, st.integers(-9, 0), st.integers(1, 9) | st.floats(1, 9), CLOSED) | st.builds(
    lambda left, width, closed: pd.Interval(left, left + width, closed),
    timestamps(),
    st.just(pd.Timedelta(1, "h")),
    CLOSED,
)
PERIODS = _periods(1).map(lambda array: array[0]).filter(lambda period: period is not pd.NaT)


@st.composite
def indexes(draw: DrawFn, count: int) -> Any:
    name = draw(keys(1))
    match draw(st.sampled_from(["default", "range", "dates", "freq", "levels", "of", "of"])):
        case "default":
            return pd.RangeIndex(count)
        case "range":
            start, step = draw(st.integers(-9, 9)), draw(st.sampled_from([1, 5, -2]))
            return pd.RangeIndex(start, start + step * count, step, name=name)
        case "dates":
            return pd.date_range(
                "2024-03-29", periods=count, freq=draw(st.sampled_from(["D", "B", "MS", "-1h"])), name=name
            )
        case "freq":
            return pd.timedelta_range(0, periods=count, freq="3h", name=name)
        case "levels":
            levels = draw(st.lists(st.sampled_from([_text, _numbers, _keys, _times]), min_size=1, max_size=2))
            made = [_sortable(draw(level(count + 1))) for level in levels]
            try:
                index = pd.MultiIndex.from_arrays(made, names=[draw(TEXT | st.none()) for _ in made])[:count]
            except ValueError:  # labels that cannot be compared, arrays for example
                reject()
            index.sortorder = draw(st.sampled_from([None, 0]))
            return index
    made = draw(st.sampled_from([_numbers, _nullable, _text, _zoned, _times, _periods, _intervals, _categories, _keys]))
    return _index(draw(made(count)), name)


def _index(array: Any, name: Any) -> Any:
    array = array.astype("f4") if array.dtype == "f2" else array  # which pandas has no index of
    return pd.Index(array, dtype=array.dtype, name=name, tupleize_cols=False)


def _is_unique(axis: Any) -> bool:
    try:
        return bool(axis.is_unique)
    except (ValueError, KeyError):  # long doubles, other byte orders
        return False


@st.composite
def _dressed(draw: DrawFn, data: Any, cells: Values) -> Any:
    """Data with attributes and flags now and then."""
    if draw(st.integers(0, 3)) == 0:
        data.attrs = draw(st.dictionaries(TEXT, cells, max_size=1))
    if draw(st.integers(0, 3)) == 0 and all(map(_is_unique, data.axes)):
        data.flags.allows_duplicate_labels = False
    return data


@st.composite
def frames(draw: DrawFn, cells: Values) -> pd.DataFrame:
    count, width = draw(st.integers(0, ROWS)), draw(st.integers(0, ROWS))
    index = draw(indexes(count))
    if draw(st.integers(0, 3)) == 0:
        dtype = draw(st.sampled_from([np.dtype(code) for code in ("i4", "f8", "?", "O", "M8[us]")]))
        matrix = draw(elements(dtype, count * width, cells)).reshape(count, width)
        frame = pd.DataFrame(matrix, index=index, dtype=dtype)  # without dtype=, pandas looks for text among objects
    else:
        made = [draw(columns(count, cells)) for _ in range(width)]
        data = {place: pd.Series(array, index=index, dtype=array.dtype) for place, array in enumerate(made)}
        frame = pd.DataFrame(data, index=index)
    frame.columns = draw(indexes(width))
    return draw(_dressed(frame, cells))


@st.composite
def series(draw: DrawFn, cells: Values) -> Any:
    count = draw(st.integers(0, ROWS))
    array = draw(columns(count, cells))
    made = pd.Series(array, index=draw(indexes(count)), dtype=array.dtype, name=draw(keys(1)))
    return draw(_dressed(made, cells))


@st.composite
def pandas_arrays(draw: DrawFn) -> Any:
    return draw(draw(st.sampled_from(ARRAYS))(draw(st.integers(0, ROWS))))


# -- pyarrow -------------------------------------------------------------------------------------------------


def _bounded(bits: int, *, signed: bool = True) -> Values:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


ARROW_ITEMS: dict[pa.DataType, Values] = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    pa.int8(): _bounded(8),
    pa.uint64(): _bounded(64, signed=False),
    pa.int64(): _bounded(64),
    pa.float16(): st.floats(width=16).map(np.float16),
    pa.float64(): FLOATS,
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.string_view(): TEXT,
    pa.binary(): st.binary(max_size=3),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.binary_view(): st.binary(max_size=20),
    pa.date32(): _bounded(20),
    pa.date64(): _bounded(20).map(lambda day: day * 86_400_000),
    pa.time32("s"): st.integers(0, 86_399),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    pa.timestamp("ns"): _bounded(64),
    pa.timestamp("s", "Europe/Paris"): _bounded(40),
    pa.timestamp("us", "+05:30"): _bounded(40),
    pa.duration("ms"): _bounded(64),
    pa.month_day_nano_interval(): st.tuples(_bounded(32), _bounded(32), _bounded(64)),
    pa.decimal128(10, 2): _bounded(33).map(lambda number: Decimal(number).scaleb(-2)),
    pa.decimal256(50, 0): _bounded(160).map(Decimal),
    pa.uuid(): st.uuids().map(lambda value: value.bytes),
}


@st.composite
def arrow_types(draw: DrawFn, depth: int = 2) -> pa.DataType:
    if not depth or draw(st.integers(0, 2)):
        return draw(st.sampled_from(list(ARROW_ITEMS)))
    inner = draw(arrow_types(depth - 1).filter(lambda kind: kind != pa.uuid()))
    field = pa.field("ü", inner, metadata=draw(st.sampled_from([None, {"k": "v"}])))
    return draw(
        st.sampled_from(
            [
                *(pa.list_(inner), pa.large_list(inner), pa.list_(inner, 2), pa.struct([field, ("b", pa.int8())])),
                *(pa.struct([]), pa.map_(pa.string(), inner), pa.list_view(inner)),
            ]
        )
    )


def arrow_items(kind: pa.DataType) -> Values:
    """What an array of this type may be made of."""
    if kind in ARROW_ITEMS:
        return st.none() | ARROW_ITEMS[kind]
    if pa.types.is_map(kind):
        return st.none() | st.lists(st.tuples(TEXT, arrow_items(kind.item_type)), max_size=2)
    if pa.types.is_struct(kind):
        return st.none() | st.fixed_dictionaries({field.name: arrow_items(field.type) for field in kind})
    size = {"min_size": 2} if pa.types.is_fixed_size_list(kind) else {}
    return st.none() | st.lists(arrow_items(kind.value_type), max_size=2, **size)


@st.composite
def arrow_arrays(draw: DrawFn, count: int) -> Any:
    kind = draw(arrow_types())
    array = pa.array(draw(_lists(arrow_items(kind), count + 2)), kind)
    match draw(st.integers(0, 5)):
        case 0 if kind in (pa.string(), pa.int8(), pa.float64(), pa.date32()):
            array = array.dictionary_encode()
        case 1 if kind in (pa.string(), pa.int8(), pa.float64()):
            array = pc.run_end_encode(array)
    return array.slice(1, count)  # an Arrow array need neither begin nor end where its memory does


METADATA = st.none() | st.dictionaries(st.binary(max_size=2), st.binary(max_size=2), max_size=2)


@st.composite
def arrow_schemas(draw: DrawFn, kinds: Sequence[pa.DataType]) -> pa.Schema:
    made = [pa.field(draw(TEXT), kind, metadata=draw(METADATA)) for kind in kinds]
    return pa.schema(made, metadata=draw(METADATA))


ANY_SCHEMA = st.lists(arrow_types(), max_size=ROWS).flatmap(arrow_schemas)


@st.composite
def arrow_tables(draw: DrawFn) -> pa.Table:
    count = draw(st.integers(0, ROWS))
    made = [draw(arrow_arrays(count)) for _ in range(draw(st.integers(0, 2)))]
    table = pa.Table.from_arrays(made, schema=draw(arrow_schemas([array.type for array in made])))
    return pa.concat_tables([table, table]) if made and draw(st.booleans()) else table


@st.composite
def arrow_batches(draw: DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(0, ROWS))
    made = [draw(arrow_arrays(count)) for _ in range(draw(st.integers(1, 2)))]
    return pa.RecordBatch.from_arrays(made, schema=draw(arrow_schemas([array.type for array in made])))


ARROW_ARRAYS = st.integers(0, ROWS).flatmap(arrow_arrays)
READERS = arrow_tables().map(lambda table: table.to_reader())

# -- polars --------------------------------------------------------------------------------------------------

POLARS_ITEMS: list[tuple[Any, Values]] = [
    (pl.Int8(), _bounded(8)),
    (pl.UInt64(), _bounded(64, signed=False)),
    (pl.Int128(), _bounded(128)),
    (pl.Float32(), st.floats(width=32)),
    (pl.Float64(), FLOATS),
    (pl.Boolean(), st.booleans()),
    (pl.String(), TEXT),
    (pl.Binary(), st.binary(max_size=3)),
    (pl.Date(), st.dates()),
    (pl.Time(), st.times()),
    (pl.Datetime("us"), st.datetimes()),
    (pl.Datetime("ms", "Europe/Paris"), MODERN.map(lambda moment: moment.replace(tzinfo=dt.UTC))),
    (pl.Duration("us"), st.timedeltas(dt.timedelta(-(10**6)), dt.timedelta(10**6))),
    (pl.Decimal(20, 3), _bounded(60).map(lambda number: Decimal(number).scaleb(-3))),
    (pl.Null(), st.none()),
    (pl.Categorical(), TEXT),
    (pl.Enum(["b", "a", "é"]), st.sampled_from(["b", "a", "é"])),
]


@st.composite
def polars_types(draw: DrawFn, depth: int = 2) -> tuple[Any, Values]:
    if depth and not draw(st.integers(0, 3)):
        inner, items = draw(polars_types(depth - 1))
        nested = {
            "list": (pl.List(inner), st.lists(st.none() | items, max_size=2)),
            "array": (pl.Array(inner, 2), st.lists(st.none() | items, min_size=2, max_size=2)),
            "struct": (pl.Struct({"ü": inner}), st.fixed_dictionaries({"ü": st.none() | items})),
        }
        return nested[draw(st.sampled_from(sorted(nested)))]
    return draw(st.sampled_from(POLARS_ITEMS))


@st.composite
def polars_series(draw: DrawFn, count: int, names: Values = TEXT) -> Any:
    dtype, items = draw(polars_types())
    return pl.Series(draw(names), draw(_lists(st.none() | items, count)), dtype=dtype)


@st.composite
def polars_frames(draw: DrawFn) -> pl.DataFrame:
    names = draw(st.lists(TEXT, max_size=ROWS, unique=True))
    count = draw(st.integers(0, ROWS))
    if not names:
        return pl.DataFrame(height=count)
    return pl.DataFrame([draw(polars_series(count, st.just(name))) for name in names])


# -- scipy.sparse --------------------------------------------------------------------------------------------

_SPARSE_DTYPES = [np.dtype(code) for code in "?bBhHiIlLqQfdgFDG"]
_INDEX_DTYPES = st.sampled_from([np.int32, np.int64])
_KNOWN = st.sampled_from([None, None, False, True])
_LENGTHS = st.sampled_from([0, 1, 2, 3, 3, 4])


@st.composite
def _sparse_data(draw: DrawFn, *shape: int) -> np.ndarray:
    """Of any bits, in any layout; zeros among them stay."""
    dtype = draw(st.sampled_from(_SPARSE_DTYPES))
    data = draw(elements(dtype, int(np.prod(shape)), st.none())).reshape(shape)
    return LAYOUTS[draw(st.sampled_from(["C", "Fortran", "backwards", "strided"]))](data)


@st.composite
def _places(draw: DrawFn, count: int, length: int, dtype: Any) -> np.ndarray:
    """Unsorted, and twice."""
    return np.array(draw(_lists(st.integers(0, max(length - 1, 0)), count)), dtype)


def _entries(*lengths: int) -> SearchStrategy[int]:
    """How many there may be."""
    return st.integers(0, ROWS) if all(lengths) else st.just(0)


def _dress_sparse(draw: DrawFn, made: Any) -> Any:
    if draw(st.integers(0, 5)) == 0:
        made.maxprint = draw(st.integers(1, 99))
    return made


@st.composite
def compressed(draw: DrawFn, kind: Any) -> Any:
    height, width = draw(st.tuples(st.integers(1, 2), st.integers(1, 3))) if "bsr" in kind.__name__ else (1, 1)
    rows, columns = draw(_LENGTHS), draw(_LENGTHS)
    flat = kind is sp.csr_array and draw(st.integers(0, 3)) == 0
    rows = 1 if flat else rows
    shape = (columns,) if flat else (rows * height, columns * width)
    major, minor = (columns, rows) if "csc" in kind.__name__ else (rows, columns)
    count = draw(_entries(rows, columns))
    room = count and draw(st.integers(0, 1))  # behind the last entry
    ends = sorted(draw(_lists(st.integers(0, count), major)))
    made = kind(shape, blocksize=(height, width)) if "bsr" in kind.__name__ else kind(shape)
    made.indptr = np.array([0, *ends][: major + 1], draw(_INDEX_DTYPES))
    if major and not room:
        made.indptr[-1] = count
    made.indices = draw(_places(count, minor, draw(_INDEX_DTYPES)))
    made.data = draw(_sparse_data(count, height, width) if "bsr" in kind.__name__ else _sparse_data(count))
    for flag in "_has_sorted_indices", "_has_canonical_format":
        if (known := draw(_KNOWN)) is not None:
            setattr(made, flag, known)
    return _dress_sparse(draw, made)


@st.composite
def coordinates(draw: DrawFn, kind: Any) -> Any:
    shape = tuple(draw(st.lists(_LENGTHS, min_size=1, max_size=4) if kind is sp.coo_array else _lists(_LENGTHS, 2)))
    count, dtype = draw(_entries(*shape)), draw(_INDEX_DTYPES)
    made = kind(shape)
    made.data, made.coords = draw(_sparse_data(count)), tuple(draw(_places(count, length, dtype)) for length in shape)
    made.has_canonical_format = draw(st.booleans())
    return _dress_sparse(draw, made)


@st.composite
def diagonals(draw: DrawFn, kind: Any) -> Any:
    offsets = draw(st.lists(st.integers(-6, 6), max_size=2, unique=True))
    made = kind((draw(_LENGTHS), draw(_LENGTHS)))
    made.data, made.offsets = (
        draw(_sparse_data(len(offsets), draw(_LENGTHS))),
        np.array(offsets, draw(_INDEX_DTYPES)),
    )
    return _dress_sparse(draw, made)


_SPARSE_VALUES = st.integers(-(2**70), 2**70) | FLOATS | st.builds(complex, FLOATS, FLOATS) | st.booleans()
_SPARSE_VALUES |= st.sampled_from(_SPARSE_DTYPES).flatmap(
    lambda dtype: elements(dtype, 1, st.none()).map(lambda a: a[0])
)


def _alike_numbers(count: int) -> SearchStrategy[list[Any]]:
    one_kind = st.sampled_from(_SPARSE_DTYPES).flatmap(lambda dtype: elements(dtype, count, st.none())).map(list)
    return one_kind | _lists(_SPARSE_VALUES, count)


def _index_of(length: int) -> Values:
    return st.integers(0, length - 1) | st.builds(
        lambda dtype, at: dtype(at), _INDEX_DTYPES, st.integers(0, length - 1)
    )


@st.composite
def row_lists(draw: DrawFn, kind: Any) -> Any:
    shape = draw(_LENGTHS), draw(_LENGTHS)
    made = kind(shape, dtype=draw(st.sampled_from(_SPARSE_DTYPES)))
    for row in range(shape[0]):
        count = draw(_entries(shape[1]))
        made.rows[row], made.data[row] = draw(_lists(_index_of(shape[1]), count)), draw(_alike_numbers(count))
    return _dress_sparse(draw, made)


@st.composite
def key_dicts(draw: DrawFn, kind: Any) -> Any:
    shape = tuple(draw(_lists(_LENGTHS, draw(st.integers(1, 2)) if kind is sp.dok_array else 2)))
    made = kind(shape, dtype=draw(st.sampled_from(_SPARSE_DTYPES)))
    places = st.tuples(*map(_index_of, shape)) if len(shape) > 1 else _index_of(shape[0])
    found = draw(st.lists(places, max_size=ROWS, unique=True)) if all(shape) else []
    made._dict.update(zip(found, draw(_alike_numbers(len(found))), strict=True))
    return _dress_sparse(draw, made)


_SPARSE_FORMS: dict[str, Callable[[Any], Values]] = {
    **dict.fromkeys(("csr", "csc", "bsr"), compressed),
    "coo": coordinates,
    "dia": diagonals,
    "lil": row_lists,
    "dok": key_dicts,
}
SPARSE: dict[str, Values] = {
    f"scipy.sparse.{form}_{kind}": make(getattr(sp, f"{form}_{kind}"))
    for form, make in _SPARSE_FORMS.items()
    for kind in ("array", "matrix")
}

# -- geometries ----------------------------------------------------------------------------------------------

_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
_FINITE = st.sampled_from([0.0, -0.0, 1.5, -7.0, 5e-324, 1e300])
_SRIDS = st.sampled_from([0, 0, 4326, -7, 2**31 - 1])
CRSS = [CRS(4326), CRS("+proj=laea +lat_0=45 +lon_0=10"), CRS("WGS 84"), CRS.from_wkt(CRS(3857).to_wkt())]
CRSS += [CRS("+proj=longlat +datum=WGS84 +towgs84=1,2,3"), CRS({"proj": "utm", "zone": 33})]


@st.composite
def _wkb(draw: DrawFn, flags: int, kinds: Sequence[int] = (1, 2, 3, 4, 5, 6, 7), depth: int = 2) -> bytes:
    """Well-known binary with Z and M as ``flags`` say, and any number for a coordinate."""
    kind = draw(st.sampled_from(kinds))
    width = 2 + bool(flags & _Z) + bool(flags & _M)

    def line(numbers: Values, count: int, *, closed: bool) -> bytes:
        data = [struct.pack(f"<{width}d", *draw(_lists(numbers, width))) for _ in range(count)]
        data += data[:1] if closed else []
        return struct.pack("<I", len(data)) + b"".join(data)

    match kind:
        case 1:
            content = struct.pack(f"<{width}d", *draw(_lists(FLOATS, width)))
        case 2:
            content = line(FLOATS, draw(st.sampled_from([0, 2, 3])), closed=False)
        case 3:  # GEOS looks whether a ring ends where it begins
            rings = [line(_FINITE, 3, closed=True) for _ in range(draw(st.integers(0, 2)))]
            content = struct.pack("<I", len(rings)) + b"".join(rings)
        case _:
            inner = (1, 2, 3, 4, 7)[: 5 if depth else 3] if kind == 7 else (kind - 3,)
            parts = draw(st.lists(_wkb(flags, inner, depth - 1), max_size=2))
            content = struct.pack("<I", len(parts)) + b"".join(parts)
    return struct.pack("<BI", 1, kind | flags) + content


def _ring(polygon: Any) -> Any:
    return shapely.get_exterior_ring(polygon)


_FLAT = st.sampled_from([0, _Z, _M, _Z | _M])
_FROM_WKB = _FLAT.flatmap(_wkb).map(shapely.from_wkb)
_RINGS = _FLAT.flatmap(lambda flags: _wkb(flags, (3,))).map(shapely.from_wkb).map(_ring)
_NAN_POINTS = st.builds(shapely.Point, st.just(float("nan")), FLOATS) | st.builds(shapely.Point, FLOATS, FLOATS, FLOATS)
_SIMPLE = _FROM_WKB | _RINGS | _NAN_POINTS
_COLLECTIONS = st.lists(_SIMPLE | st.lists(_SIMPLE, max_size=2).map(shapely.GeometryCollection), max_size=2).map(
    shapely.GeometryCollection
)


def _is_itself(geometry: Any) -> bool:
    """What is refused: GEOS finds no collection the same as its copy if a y in it is NaN but not the x."""
    return bool(shapely.equals_identical(geometry, shapely.set_srid(geometry, 1)))


GEOMETRIES = st.builds(shapely.set_srid, _SIMPLE | _COLLECTIONS, _SRIDS).filter(_is_itself)


@st.composite
def geometry_arrays(draw: DrawFn, count: int) -> Any:
    crs = draw(st.none() | st.sampled_from(CRSS))
    return GeometryArray(objects(draw(_lists(st.none() | GEOMETRIES, count))), crs=crs)


@st.composite
def geo_series(draw: DrawFn, cells: Values) -> Any:
    array = draw(st.integers(0, ROWS).flatmap(geometry_arrays))
    made = gpd.GeoSeries(array, index=draw(indexes(len(array))), name=draw(keys(1)))
    return draw(_dressed(made, cells))


@st.composite
def geo_frames(draw: DrawFn, cells: Values) -> Any:
    """With any number of columns of geometries, each with a CRS of its own, of which one, or none, is active."""
    frame = draw(frames(cells))
    attrs, frame.attrs = frame.attrs, {}  # what follows would copy them, which not all of them can be
    labels = draw(st.lists(st.sampled_from(["geometry", "ü", 7, 1.5]), max_size=2, unique=True))
    labels = [] if isinstance(frame.columns, pd.MultiIndex) else labels  # geopandas looks for one label each
    for label in labels:
        held = _attempt(list, frame.columns)  # pandas makes no objects of times that are beyond the year 9999
        assume(not any(type(known) is type(label) and known == label for known in held))
        _attempt(frame.insert, 0, label, gpd.GeoSeries(draw(geometry_arrays(len(frame))), index=frame.index))
    try:
        made = gpd.GeoDataFrame(frame)
    except RecursionError:  # of geopandas: where a label stands twice, and one is "geometry"
        reject()
    if labels:
        made = _attempt(made.set_geometry, draw(st.sampled_from(labels)))  # no hash is of complex256
        if len(labels) > 1 and draw(st.integers(0, 3)) == 0:
            del made[made.active_geometry_name]  # whose name stays
    made.attrs = attrs
    return made


# -- xarray --------------------------------------------------------------------------------------------------

_LABELLED_DTYPES = st.sampled_from([*NUMBERS, np.dtype("O"), np.dtype("S3"), np.dtype("U2"), np.dtype(">U2")])
SIZES = {"x": 2, "y": 3, "none": 0, ("a", 1): 1}
LABELLED_ARRAYS = (_nullable, _categories, _intervals, _of_arrow)  # of pandas, which xarray keeps as they are


@st.composite
def _labelled_data(draw: DrawFn, sizes: Sequence[int], cells: Values) -> Any:
    if len(sizes) == 1 and draw(st.integers(0, 3)) == 0:
        return draw(draw(st.sampled_from([*LABELLED_ARRAYS, geometry_arrays]))(sizes[0]))
    if len(sizes) == 1 and draw(st.integers(0, 3)) == 0:
        return draw(indexes(sizes[0]).filter(lambda index: not isinstance(index, pd.MultiIndex)))
    flat = draw(elements(draw(_LABELLED_DTYPES), int(np.prod(sizes)), cells))
    return LAYOUTS[draw(st.sampled_from(["C", "Fortran", "backwards", "strided"]))](flat.reshape(sizes))


def _notes(cells: Values) -> Values:
    """Attributes or an encoding."""
    return st.just({}) | st.dictionaries(keys(1), cells, max_size=2)


@st.composite
def variables(draw: DrawFn, cells: Values, dims: Sequence[Any] | None = None) -> xr.Variable:
    if dims is None:
        dims = draw(st.lists(st.sampled_from(list(SIZES)), max_size=2, unique=True))
    data = draw(_labelled_data([SIZES[dim] for dim in dims], cells))
    return _variable(draw, xr.Variable, tuple(dims), data, cells)


def _variable(draw: DrawFn, kind: Any, dims: Any, data: Any, cells: Values) -> Any:
    """Unchecked now and then: only then does xarray keep objects that look like times, or arrays that it would wrap."""
    unchecked = type(data) is np.ndarray and draw(st.booleans())
    try:
        return kind(dims, data, draw(_notes(cells)), draw(_notes(cells)), fastpath=unchecked)
    except (ValueError, TypeError, NotImplementedError, OverflowError):  # of data that xarray has no variable of
        return assume(False)


@st.composite
def index_variables(draw: DrawFn, cells: Values, dim: Any = None) -> xr.IndexVariable:
    dim = draw(st.sampled_from(list(SIZES))) if dim is None else dim
    return _variable(draw, xr.IndexVariable, (dim,), draw(_labelled_data([SIZES[dim]], st.integers(-3, 3))), cells)


@st.composite
def _coordinates(draw: DrawFn, cells: Values) -> Any:
    """Of indexes of one or several levels, of variables that have none, and of scalars."""
    coords = xr.Coordinates()
    for dim in draw(st.lists(st.sampled_from(list(SIZES)), max_size=2, unique=True)):
        index = draw(indexes(SIZES[dim]))
        if isinstance(index, pd.MultiIndex):
            index.names = [f"{dim} {level}" for level in range(index.nlevels)]
            coords = coords.merge(_attempt(xr.Coordinates.from_pandas_multiindex, index, dim)).coords
        else:
            variable = _variable(draw, xr.IndexVariable, (dim,), index, cells)
            coords = coords.merge(_attempt(xr.Coordinates, {dim: variable})).coords
    free = {f"free {place}": draw(variables(cells)) for place in range(draw(st.integers(0, 2)))}
    return coords.merge(xr.Coordinates(free, indexes={})).coords


def _attempt(make: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a library makes of it, if anything: xarray takes few of the indexes of pandas."""
    try:
        return make(*arguments, **named)
    except (ValueError, TypeError, NotImplementedError, OverflowError, KeyError):
        return assume(False)


@st.composite
def datasets(draw: DrawFn, cells: Values) -> xr.Dataset:
    coords = draw(_coordinates(cells))
    # NumPy cannot spell a datetime64 without a unit.
    names = draw(st.lists(keys(1), max_size=2, unique_by=lambda name: _attempt(repr, name)))
    assume({*map(repr, names)}.isdisjoint(map(repr, [*coords, *SIZES])))
    made = _attempt(xr.Dataset, {name: draw(variables(cells)) for name in names}, coords)
    made.attrs, made.encoding = draw(_notes(cells)), draw(_notes(cells))
    if made.xindexes and draw(st.integers(0, 3)) == 0:
        made = _attempt(made.drop_indexes, draw(st.sampled_from(list(made.xindexes))))
    return made


@st.composite
def data_arrays(draw: DrawFn, cells: Values) -> xr.DataArray:
    coords = draw(_coordinates(cells))
    data = draw(variables(cells, draw(st.permutations(list(SIZES)))[: draw(st.integers(0, 2))]))
    fitting = {name: coord for name, coord in coords.items() if set(coord.dims) <= set(data.dims)}
    kept = xr.Coordinates._construct_direct(
        {name: coord.variable for name, coord in fitting.items()},
        {name: index for name, index in coords.xindexes.items() if name in fitting},
    )
    made = _attempt(xr.DataArray, data, name=draw(keys(1)))
    return _attempt(made.assign_coords, kept)  # the constructor copies their attributes, zones of dateutil among them


@st.composite
def trees(draw: DrawFn, cells: Values) -> xr.DataTree:
    """Whose children have the coordinates of their parents too, or none of theirs."""
    root = draw(datasets(cells))
    inner = st.sampled_from([xr.Dataset(), xr.Dataset({"v": ("w", [7, 8])})]) | st.just(root)
    paths = draw(st.lists(st.sampled_from(["/", "/a", "/a/b", "/ü/c"]), unique=True))
    made = {path: root if path == "/" else draw(inner) for path in paths}
    return _attempt(xr.DataTree.from_dict, made, name=draw(st.none() | TEXT.filter(lambda name: "/" not in name)))


# -- classes -------------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = (2, "b")


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    EXECUTE = 4


class Kind(enum.StrEnum):
    A = "a"


@dataclasses.dataclass
class Leg:
    origin: Any
    cost: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    parts: Any


class Point(NamedTuple):
    x: Any
    y: Any = 0


@attrs.define
class Plane:
    model: Any
    seats: Any = attrs.field(factory=list)


@attrs.frozen(slots=False, cache_hash=True)
class Seat:
    row: Any


class Flight(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    legs: Any = None
    number: Any = 0
    _seen: Any = pydantic.PrivateAttr(default=None)


@st.composite
def models(draw: DrawFn, cells: Values) -> Flight:
    fields = draw(st.fixed_dictionaries({}, optional={"legs": cells, "number": cells, "extra": cells}))
    model = Flight.model_construct(**fields)
    model._seen = draw(st.none() | st.booleans())
    return model


class Berth(msgspec.Struct):
    deck: Any
    number: Any = msgspec.UNSET


ENUMS = st.sampled_from([*Color, *Level, *Access, *Kind, Access(0), Access.READ | Access.EXECUTE])

# -- all of them ---------------------------------------------------------------------------------------------

NATIVES: dict[str, Values] = {
    "None": st.none(),
    "bool": st.booleans(),
    "int64": INTEGERS,
    "float": FLOATS,
    "text": ANY_TEXT,
    "bytes": st.binary(max_size=5),
}
_HASHABLE: dict[str, Values] = {
    "str": SURROGATES,
    "int": LONG_INTEGERS,
    "complex": st.builds(complex, FLOATS, FLOATS),
    "decimal": DECIMALS,
    "fraction": st.builds(Fraction, st.integers(-(2**70), 2**70), st.integers(1, 2**70)),
    "uuid": UUIDS,
    "ipaddress": ADDRESSES,
    "path": PATHS,
    "range": st.builds(range, st.integers(-5, 5), st.integers(-(2**70), 2**70), st.sampled_from([1, -1, 3, 2**65])),
    "datetime": DATETIMES,
    "date": st.dates(),
    "time": TIMES,
    "timedelta": TIMEDELTAS,
    "timezone": TIMEZONES,
    "zoneinfo": ZONES,
    "class.enum": ENUMS,
    "pendulum.DateTime": PENDULUM_DATETIMES,
    "pendulum.Date": PENDULUM_DATES,
    "pendulum.Time": st.builds(_pendulum_time, st.times(), st.none() | PENDULUM_ZONES | FIXED_ZONES, FOLDS),
    "pendulum.Timezone": PENDULUM_ZONES,
    "numpy.scalar": numpy_scalars(),
    "pandas.Timestamp": timestamps(),
    "pandas.Timedelta": timedeltas(),
    "pandas.Period": PERIODS,
    "pandas.Interval": INTERVALS,
    "pandas.NaT": st.just(pd.NaT),
    "pandas.NA": st.just(pd.NA),
    "pandas.offsets": FREQUENCIES,
    "shapely.geometry": GEOMETRIES,
    "pyproj.CRS": st.sampled_from(CRSS),
}


_UNHASHABLE: dict[str, Values] = {
    **libraries.LEAVES,
    "bytearray": st.binary(max_size=5).map(bytearray),
    "slice": st.builds(slice, PLACES, PLACES, PLACES),
    "pytz.timezone": PYTZ,
    "dateutil.tz": DATEUTIL,
    "dateutil.tzlocal": st.builds(dateutil.tz.tzlocal),
    "pydantic.TzInfo": st.builds(pydantic_core.TzInfo, st.integers(-86_399, 86_399)),
    "pydantic.url": st.builds(
        lambda cls, path: cls(f"https://example.org/{path}"),
        st.sampled_from([networks.AnyUrl, networks.HttpUrl, pydantic_core.Url]),
        st.text("abc%/?=&#é", max_size=9),
    ),
    "pydantic.ByteSize": st.builds(pydantic.ByteSize, st.integers()),
    "pydantic.NameEmail": st.builds(networks.NameEmail, TEXT, st.just("a@example.org")),
    "class.rebuilt": st.builds(_rebuilt("Row", ("number", "text"), ()), st.integers(), TEXT),
    "dateutil.weekday": st.builds(
        dateutil.relativedelta.weekday, st.integers(0, 6), st.none() | st.integers(-3, 3).filter(bool)
    ),
    "pendulum.Duration": st.builds(pendulum.Duration, **AMOUNTS),
    "pendulum.AbsoluteDuration": st.builds(AbsoluteDuration, days=st.integers(-9, 9), seconds=st.integers(-99, 99)),
    "pendulum.Interval": st.builds(lambda ends, absolute: pendulum.Interval(*ends, absolute), ENDS, st.booleans()),
    "pendulum.FixedTimezone": FIXED_ZONES,
    "numpy.dtype": DTYPES | st.sampled_from([np.dtype("O", metadata={"k": 1}), np.dtype((np.record, [("a", "i4")]))]),
    "pandas.dtype": pandas_arrays()
    .map(lambda array: array.dtype)
    .filter(lambda dtype: type(dtype).__name__ != "NumpyEADtype" and not isinstance(dtype, np.dtype)),
    "pandas.Index": st.integers(0, ROWS).flatmap(indexes),
    "pandas.array": pandas_arrays(),
    "pyarrow.Table": arrow_tables(),
    "pyarrow.RecordBatch": arrow_batches(),
    "pyarrow.ChunkedArray": st.builds(
        lambda array, times: pa.chunked_array([array] * times, array.type), ARROW_ARRAYS, st.integers(0, 2)
    ),
    "pyarrow.Array": ARROW_ARRAYS,
    "pyarrow.Scalar": arrow_arrays(1).map(lambda array: array[0]),
    "pyarrow.Schema": ANY_SCHEMA,
    "pyarrow.Field": st.builds(
        pa.field, TEXT, arrow_types().filter(lambda kind: kind != pa.null()), st.booleans(), METADATA
    ),
    "pyarrow.DataType": arrow_types(),
    "polars.DataFrame": polars_frames(),
    "polars.Series": st.integers(0, ROWS).flatmap(polars_series),
    "geopandas.GeometryArray": st.integers(0, ROWS).flatmap(geometry_arrays),
    "geopandas.GeometryDtype": st.just(GeometryDtype()),
    **SPARSE,
}
LEAVES = NATIVES | _HASHABLE | _UNHASHABLE


def _has_equality(value: Any) -> bool:
    """Return whether ``==`` gives a truth value, as sets need of the fields of their members; pandas' NA does not."""
    return value is not pd.NA


# A container is a function of the strategies of the values and of the hashable values that it may hold.
_FACTORIES = st.sampled_from([None, list, int, dict, set, str, Counter, deque])
CONTAINERS: dict[str, Callable[[Values, Values], Values]] = {
    "list": lambda values, _keys: st.lists(values, max_size=ROWS),
    "dict": lambda values, keys: st.dictionaries(keys, values, max_size=ROWS),
    "record": lambda values, _keys: st.dictionaries(ANY_TEXT, values, max_size=ROWS),
    "tuple": lambda values, _keys: st.lists(values, max_size=ROWS).map(tuple),
    "set": lambda _values, keys: st.lists(keys, max_size=ROWS).map(set),
    "frozenset": lambda _values, keys: st.lists(keys, max_size=ROWS).map(frozenset),
    "deque": lambda values, _keys: st.builds(deque, st.lists(values, max_size=ROWS), st.none() | st.integers(0, 4)),
    "ordered_dict": lambda values, keys: st.dictionaries(keys, values, max_size=ROWS).map(OrderedDict),
    "defaultdict": lambda values, keys: st.builds(
        defaultdict, _FACTORIES, st.dictionaries(keys, values, max_size=ROWS)
    ),
    "counter": lambda _values, keys: st.dictionaries(keys, INTEGERS, max_size=ROWS).map(Counter),
    "class.dataclass": lambda values, keys: st.builds(Leg, values, values) | st.builds(Key, keys.filter(_has_equality)),
    "class.attrs": lambda values, keys: st.builds(Plane, values, values) | st.builds(Seat, keys.filter(_has_equality)),
    "class.namedtuple": lambda values, _keys: st.builds(Point, values, values),
    "class.msgspec": lambda values, _keys: st.builds(Berth, values, values),
    "class.pydantic": lambda values, _keys: models(values),
    "numpy.ndarray": lambda values, _keys: arrays(values),
    "numpy.recarray": lambda values, _keys: recarrays(values),
    "numpy.MaskedArray": lambda values, _keys: masked_arrays(values) | st.just(np.ma.masked),
    "pandas.DataFrame": lambda values, _keys: frames(values),
    "pandas.Series": lambda values, _keys: series(values),
    "geopandas.GeoDataFrame": lambda values, _keys: geo_frames(values),
    "geopandas.GeoSeries": lambda values, _keys: geo_series(values),
    "xarray.Variable": lambda values, _keys: variables(values),
    "xarray.IndexVariable": lambda values, _keys: index_variables(values),
    "xarray.DataArray": lambda values, _keys: data_arrays(values),
    "xarray.Dataset": lambda values, _keys: datasets(values),
    "xarray.DataTree": lambda values, _keys: trees(values),
    **libraries.CONTAINERS,
}
_HASHABLE_CONTAINERS: dict[str, Callable[[Values], Values]] = {
    "tuple": lambda keys: st.lists(keys, max_size=2).map(tuple),
    "frozenset": lambda keys: st.lists(keys, max_size=2).map(frozenset),
    "class.dataclass": lambda keys: st.builds(Key, keys.filter(_has_equality)),
    "class.attrs": lambda keys: st.builds(Seat, keys.filter(_has_equality)),
    "class.namedtuple": lambda keys: st.builds(Point, keys, keys),
}
# At their end after one push, or not to be copied, so they are not among all values.
ONCE = {"pyarrow.RecordBatchReader": READERS, **libraries.UNCOPIED}


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except (TypeError, ValueError):  # structured scalars that hold arrays, times without a unit
        return False
    return True


@cache
def keys(depth: int) -> Values:
    """Any hashable value, nested ``depth`` deep at the most."""
    leaves = (
        st.sampled_from(list((NATIVES | _HASHABLE).values())).flatmap(lambda strategy: strategy).filter(_is_hashable)
    )
    if not depth:
        return leaves
    containers = st.sampled_from(list(_HASHABLE_CONTAINERS.values())).flatmap(lambda make: make(keys(depth - 1)))
    return st.integers(0, 9).flatmap(lambda dice: containers if dice >= 7 else leaves)


_LEAVES = st.sampled_from(list(LEAVES.values())).flatmap(lambda strategy: strategy)


def _containers(inner: Values, depth: int) -> Values:
    return st.sampled_from(list(CONTAINERS.values())).flatmap(lambda make: make(inner, keys(min(depth, 2))))


@cache
def _inner(depth: int) -> Values:
    """Now a container and now not, which keeps examples small."""
    if not depth:
        return _LEAVES
    containers = _containers(_inner(depth - 1), depth - 1)
    return st.integers(0, 9).flatmap(lambda dice: containers if dice >= 4 else _LEAVES)


@cache
def _deep(depth: int) -> Values:
    """Containers all the way down."""
    return _containers(_deep(depth - 1), depth - 1) if depth else _LEAVES


@cache
def values(depth: int = DEPTH) -> Values:
    """Any value that a task may return, nested ``depth`` deep at the most."""
    containers, deep = _containers(_inner(depth - 1), depth - 1), _deep(depth)
    return st.integers(0, 9).flatmap(lambda dice: _LEAVES if dice < 1 else containers if dice < 8 else deep)


def of_tag(tag: str) -> Values:
    """Any value that the codec of this tag handles."""
    if tag in CONTAINERS:
        return CONTAINERS[tag](values(1), keys(1))
    return (LEAVES | ONCE)[tag]


TAGS = (LEAVES.keys() | CONTAINERS.keys() | ONCE.keys()) - NATIVES.keys() - {"list", "dict", "record"}


# -- the same object in several places -----------------------------------------------------------------------

MANY = 600  # numbers are 4,800 bytes, which are written once


@st.composite
def large(draw: DrawFn) -> Any:
    """What is written once: tables, and all that takes 4,096 bytes or more."""
    numbers = np.arange(float(MANY))
    made: list[Callable[[], Any]] = [
        lambda: numbers,
        lambda: np.ma.MaskedArray(numbers, mask=numbers > 7, fill_value=-1.0),
        lambda: objects([numbers, "a", numbers]),
        lambda: bytearray(numbers),
        lambda: pd.Index(numbers, name="k"),
        lambda: pd.Index(numbers),
        lambda: pd.Index([3, 1]),
        lambda: pd.MultiIndex.from_arrays([["a", "b"], [1, 2]], names=["p", "q"]),
        lambda: pd.DataFrame({"a": numbers, "b": 1}),
        lambda: pd.Series([1.5, 2.5], index=["a", "b"], name="s"),
        lambda: pd.array([1, None], dtype="Int64"),
        lambda: pa.table({"n": [1, 2]}),
        lambda: sp.csr_array(numbers.reshape(20, 30)),
        lambda: gpd.GeoSeries(shapely.points([[0.0, 1.0], [2.0, 3.0]]), crs=CRSS[0]),
        lambda: xr.Variable("x", numbers, {"units": "K"}),
        lambda: xr.DataArray(numbers, {"x": np.arange(MANY)}, "x"),
        lambda: xr.Dataset({"v": ("x", numbers)}, {"x": pd.Index(numbers), "y": ("x", numbers)}),
        lambda: (numbers, [numbers], {"k": numbers}),
        lambda: Leg(numbers, [numbers]),
    ]
    return draw(st.sampled_from(made))()


@st.composite
def _holders(draw: DrawFn, known: Values) -> Any:
    """Something of xarray or SciPy that has one of the objects for its data, or beside it."""
    item = draw(known)
    notes = {"kept": item, "again": [item]}
    kinds: list[Callable[[], Any]] = [
        lambda: xr.Variable("x", np.arange(3), notes, {"e": item}),
        lambda: xr.DataArray(np.arange(3), dims="x", attrs=notes).assign_coords(y=("x", [1, 2, 3], notes)),
        lambda: xr.Dataset({"a": ("x", np.arange(3), notes)}, attrs={"item": item}),
    ]
    if type(item) is np.ndarray and item.dtype == float:
        kinds += [lambda: [xr.Dataset({name: ("x", item)}, {"c": ("x", item)}) for name in "ab"]]
        kinds += [lambda: [_row_of(item), _row_of(item)]]
    if type(item) is pd.Index:
        kinds += [lambda: [xr.IndexVariable("x", item), xr.IndexVariable("y", item)]]
        kinds += [lambda: [xr.Dataset(coords={dim: item}) for dim in "xy"]]
    if type(item) is pd.MultiIndex:
        kinds += [lambda: [xr.Dataset(coords=xr.Coordinates.from_pandas_multiindex(item, dim)) for dim in "xy"]]
    if type(item) is xr.Variable:
        kinds += [
            lambda: [
                xr.Dataset._construct_direct({"a": item}, set()),
                xr.DataArray(item, {}, indexes={}, fastpath=True),
            ]
        ]
    if type(item) is xr.Dataset and {"v", "y"} <= item.variables.keys():
        kinds += [lambda: [item["v"], item["y"], item[["v"]], xr.DataTree.from_dict({"/": item, "/b": item})]]
    return _attempt(draw(st.sampled_from(kinds)))  # xarray takes not every name of an Index


def _row_of(data: np.ndarray) -> Any:
    made = sp.csr_array((1, MANY))
    made.data, made.indices, made.indptr = data, np.arange(MANY, dtype=np.int32), np.array([0, MANY], np.int32)
    return made


@st.composite
def repeating(draw: DrawFn, *, apart: Sequence[str] = ()) -> list[Any]:
    """Values in which the same few objects stand in many places, though in no container of these tags."""
    pool = [*draw(st.lists(large(), min_size=1, max_size=2)), *draw(st.lists(values(1), max_size=1))]
    known = st.integers(0, len(pool) - 1).map(lambda place: pool[place])  # not sampled: that would hash them
    makes = st.sampled_from([make for tag, make in CONTAINERS.items() if tag not in apart])
    around = makes.flatmap(lambda make: make(known | _holders(known), keys(0)))
    return draw(st.lists(known | _holders(known) | around, min_size=2, max_size=4))

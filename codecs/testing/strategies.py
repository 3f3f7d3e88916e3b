"""A Hypothesis strategy of any value that a task may return: small and awkward, so that many of them take little time.

It makes what the codecs of this distribution keep.  Its parts are strategies of their own, for tests of one family.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import struct
import zoneinfo
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Values = SearchStrategy[Any]

ROWS = 3  # the most rows, items and columns of anything

# -- natives and scalars -------------------------------------------------------------------------------------

TEXT = st.text(max_size=4) | st.sampled_from(["", "\0", "a\0b"])
ANY_TEXT = st.text(st.characters(), max_size=4) | st.sampled_from(
    ["", "\0", "$", "__type", "airflow_xcom", "\ud800", "é" * 20]
)
INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 3)
LONG_INTEGERS = st.integers(2**64, 2**200) | st.integers(-(2**200), -(2**63) - 1)
NANS: list[float] = [
    struct.unpack(">d", bytes.fromhex(bits))[0] for bits in ("7ff8000000000000", "fff8000000000000", "7ff8000000000001")
]
FLOATS = st.floats() | st.sampled_from([-0.0, 5e-324, 1e16, 1e22, *NANS, float("inf"), 1.7976931348623157e308])
DECIMALS = st.sampled_from(["-0", "1.10", "1E+30", "NaN", "-NaN123", "Infinity", "0E-28", "1E-999999"]).map(Decimal)
DECIMALS |= st.builds(
    lambda number, digits: Decimal(number).scaleb(-digits), st.integers(-(10**20), 10**20), st.integers(0, 9)
)
FRACTIONS = st.builds(Fraction, st.integers(-(2**70), 2**70), st.integers(1, 2**70))
ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.sampled_from(["10.0.0.0/8", "::/0", "fe80::/10"]).map(ipaddress.ip_network),
    st.sampled_from(["10.0.0.1/8", "fe80::1%eth0", "::1/64"]).map(ipaddress.ip_interface),
)
PATHS = st.builds(
    lambda path, name: path(name),
    st.sampled_from([PurePosixPath, PureWindowsPath]),
    st.sampled_from(["", ".", "..", "a", "/srv/ü", "a/b.c", "//host/x", "C:\\x", "\ud800"]),
)
COMPLEX = st.builds(complex, FLOATS, FLOATS)


def natives() -> Values:
    """Return a strategy of what JSON has, and bytes: with lone surrogates, NaN, and odd numbers."""
    return st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, ANY_TEXT, st.binary(max_size=5))


def scalars() -> Values:
    """Return a strategy of the standard library's numbers, identifiers and paths."""
    return st.one_of(LONG_INTEGERS, COMPLEX, DECIMALS, FRACTIONS, st.uuids(), ADDRESSES, PATHS)


# -- times ---------------------------------------------------------------------------------------------------

ZONE_KEYS = (
    *("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Africa/Monrovia", "Etc/GMT+12"),
    "Australia/Lord_Howe",
)
OFFSETS = st.sampled_from([0, 1, 3600, -3600, 19800, 86399, -86399, 3723]).map(
    lambda count: dt.timedelta(seconds=count)
)
_DAY = dt.timedelta(hours=23)
_ODD_OFFSETS = OFFSETS | st.just(dt.timedelta(microseconds=-1)) | st.timedeltas(-_DAY, _DAY)
TIMEZONES = st.just(dt.UTC) | st.builds(dt.timezone, _ODD_OFFSETS) | st.builds(dt.timezone, _ODD_OFFSETS, TEXT)
ZONES = st.sampled_from(ZONE_KEYS).map(zoneinfo.ZoneInfo)
FOLDS = st.integers(0, 1)
TIMEDELTAS = st.timedeltas() | st.sampled_from([dt.timedelta.min, dt.timedelta.max, dt.timedelta(microseconds=-1)])


def datetimes(zones: Values) -> Values:
    """Return a strategy of datetimes in any of some zones, with either fold."""
    made = st.builds(lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.datetimes(), zones, FOLDS)
    return made | st.sampled_from([dt.datetime.min, dt.datetime.max, dt.datetime(2024, 10, 27, 2, 30, fold=1)])  # noqa: DTZ001, DTZ901


def clock_times(zones: Values) -> Values:
    """Return a strategy of times of the day in any of some zones, with either fold."""
    return st.builds(lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.times(), zones, FOLDS)


def times() -> Values:
    """Return a strategy of the standard library's datetimes, dates, times, durations and zones."""
    zones = st.none() | TIMEZONES | ZONES
    return st.one_of(datetimes(zones), clock_times(zones), st.dates(), TIMEDELTAS, TIMEZONES, ZONES)


# -- NumPy ---------------------------------------------------------------------------------------------------

NUMBER_CODES = ("?", *"bBhHiIlLqQefdgFDG", "M8[s]", "m8[ns]", ">i4", ">f8", ">M8[us]", ">c8")
FLEXIBLE_CODES = ("S3", "U2", ">U2", "V5", "S0", "U0", "M8", "m8", "M8[25s]", "M8[Y]", "m8[as]")
SHAPES = st.sampled_from([(), (0,), (1,), (2,), (3,), (2, 0), (2, 3), (1, 2, 2), (0, 1)])


def objects(items: Any) -> np.ndarray[Any, Any]:
    """Return a flat array of objects, whatever they are."""
    return np.fromiter(items, dtype=object, count=len(items))


@st.composite
def elements(draw: DrawFn, dtype: np.dtype[Any], count: int, cells: Values) -> np.ndarray[Any, Any]:
    """Draw a flat array: of arbitrary bits, where all bits are a value."""
    if dtype.names is not None:
        return draw(_structures(dtype, count, cells))
    if dtype.kind == "O":
        return objects(draw(st.lists(cells, min_size=count, max_size=count)))
    if dtype.kind == "T":
        items = TEXT | st.just(dtype.na_object) if hasattr(dtype, "na_object") else TEXT
        return objects(draw(st.lists(items, min_size=count, max_size=count))).astype(dtype)
    if dtype.kind in "U?b" or dtype.char in "gG":
        items = {"U": TEXT, "b": st.booleans(), "f": FLOATS, "c": COMPLEX}[dtype.kind]
        with np.errstate(over="ignore"):
            return np.array(draw(st.lists(items, min_size=count, max_size=count)), dtype)
    if not dtype.itemsize:
        return np.zeros(count, dtype)
    size = count * dtype.itemsize
    return np.frombuffer(bytearray(draw(st.binary(min_size=size, max_size=size))) or bytearray(1), dtype, count)


@st.composite
def _structures(draw: DrawFn, dtype: np.dtype[Any], count: int, cells: Values) -> np.ndarray[Any, Any]:
    array = np.zeros(count, dtype)
    for name in dtype.names or ():
        field = dtype[name]
        array[name] = draw(elements(field.base, count * int(np.prod(field.shape)), cells)).reshape(count, *field.shape)
    return array


def layouts() -> dict[str, Callable[[Any], Any]]:
    """Return what gives an array another layout in memory, by name."""
    return {
        "C": lambda array: array,
        "Fortran": np.asfortranarray,
        "transposed": lambda array: array.T,
        "backwards": lambda array: array[..., ::-1] if array.ndim else array,
        "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
        "read-only": lambda array: np.broadcast_to(array, (2, *array.shape)),
    }


@st.composite
def arrays(draw: DrawFn, cells: Values, dtypes: SearchStrategy[np.dtype[Any]] | None = None) -> np.ndarray[Any, Any]:
    """Draw an array of any shape and layout; object arrays hold `cells`."""
    made = st.sampled_from([*NUMBER_CODES, *FLEXIBLE_CODES, "O"]).map(np.dtype) if dtypes is None else dtypes
    dtype, shape = draw(made), draw(SHAPES)
    made_by = layouts()
    array = draw(elements(dtype, int(np.prod(shape)), cells)).reshape(shape)
    layout: Callable[[Any], np.ndarray[Any, Any]] = made_by[draw(st.sampled_from(sorted(made_by)))]
    return layout(array)


@st.composite
def numpy_scalars(draw: DrawFn) -> Any:
    """Draw a NumPy scalar."""
    dtype = np.dtype(draw(st.sampled_from([*NUMBER_CODES, *FLEXIBLE_CODES])))
    return draw(elements(dtype, 1, st.none()))[0]


# -- pandas --------------------------------------------------------------------------------------------------

COLUMN_DTYPES = (
    *("i1", "u8", "f4", "f8", "c16", "?", "M8[s]", "M8[ns]", "m8[us]", "O"),
    *("Int8", "UInt64", "Float32", "boolean", "string", "category", "datetime64[us, Europe/Paris]", "period[M]"),
)


def _column(dtype: str, count: int, cells: Values) -> Values:
    nullable: dict[str, Values] = {
        "Int8": st.integers(-128, 127),
        "UInt64": st.integers(0, 2**64 - 1),
        "Float32": st.floats(width=32, allow_nan=False),
        "boolean": st.booleans(),
        "string": TEXT,
        "category": TEXT,
        "datetime64[us, Europe/Paris]": st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)),  # noqa: DTZ001
        "period[M]": st.integers(0, 500).map(lambda month: pd.Period(ordinal=month, freq="M")),
    }
    if dtype not in nullable:
        return elements(np.dtype(dtype), count, cells)
    items: Values = st.lists(st.none() | nullable[dtype], min_size=count, max_size=count)
    if "," in dtype:  # the local time may be none or two
        return items.map(lambda made: pd.DatetimeIndex(made, tz="UTC").as_unit("us").tz_convert("Europe/Paris").array)
    return items.map(lambda made: pd.array(made, dtype=dtype))


@st.composite
def indexes(draw: DrawFn, count: int) -> Any:
    """Draw an index of some length."""
    name = draw(st.none() | TEXT | st.tuples(TEXT, st.integers()))
    match draw(st.sampled_from(["default", "range", "dates", "levels", "texts", "floats"])):
        case "range":
            return pd.RangeIndex(5, 5 - 2 * count, -2, name=name)
        case "dates":
            freq = draw(st.sampled_from(["D", "B", "MS", "-1h"]))
            return pd.date_range("2024-03-29", periods=count, freq=freq, tz=draw(st.none() | ZONES), name=name)
        case "levels":
            texts = draw(st.lists(TEXT, min_size=count, max_size=count))
            return pd.MultiIndex.from_arrays([texts, range(count)], names=["a", name])
        case "texts":
            return pd.Index(draw(st.lists(TEXT, min_size=count, max_size=count)), dtype=object, name=name)
        case "floats":
            return pd.Index(draw(st.lists(FLOATS, min_size=count, max_size=count)), dtype="f8", name=name)
    return pd.RangeIndex(count)


@st.composite
def frames(draw: DrawFn, cells: Values) -> pd.DataFrame:
    """Draw a frame with any index and labels; its columns of objects, and its attrs, hold `cells`."""
    count, width = draw(st.integers(0, ROWS)), draw(st.integers(0, ROWS))
    index = draw(indexes(count))
    made = [draw(_column(draw(st.sampled_from(COLUMN_DTYPES)), count, cells)) for _ in range(width)]
    frame = pd.DataFrame({at: pd.Series(array, index, array.dtype) for at, array in enumerate(made)}, index)
    frame.columns = draw(indexes(width))
    frame.attrs = draw(st.just({}) | st.dictionaries(TEXT, cells, max_size=1))
    return frame


@st.composite
def series(draw: DrawFn, cells: Values) -> Any:
    """Draw a Series with any index."""
    count = draw(st.integers(0, ROWS))
    array = draw(_column(draw(st.sampled_from(COLUMN_DTYPES)), count, cells))
    return pd.Series(array, draw(indexes(count)), array.dtype, name=draw(st.none() | TEXT))


# -- all of them ---------------------------------------------------------------------------------------------


def hashables() -> Values:
    """Return a strategy of hashable values, such as keys."""
    leaves = natives() | scalars() | times()
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)


def any_value(*, hashable: bool = False, numpy: bool = True, pandas: bool = True, max_leaves: int = 8) -> Values:
    """Return a strategy of any value that a task may return.

    Args:
        hashable: only what may be a key of a dict.
        numpy: arrays and scalars of NumPy, too.
        pandas: frames and Series, too.
        max_leaves: about how many values a container holds at all depths.
    """
    if hashable:
        return hashables()
    leaves = natives() | scalars() | times() | st.binary(max_size=5).map(bytearray)
    leaves = leaves | numpy_scalars() if numpy else leaves

    def containers(inner: Values) -> Values:
        made = [*_containers(inner), *([arrays(inner)] if numpy else []), *([frames(inner), series(inner)] * pandas)]
        return st.one_of(made)

    nested = st.recursive(leaves, containers, max_leaves=max_leaves)
    return st.integers(0, 3).flatmap(lambda dice: leaves if dice == 0 else nested)


def _containers(inner: Values) -> list[Values]:
    items, keys = st.lists(inner, max_size=ROWS), hashables()
    entries = st.dictionaries(keys, inner, max_size=ROWS)
    return [
        *(items, items.map(tuple), st.builds(deque, items, st.none() | st.integers(0, 4))),
        *(entries, st.dictionaries(ANY_TEXT, inner, max_size=ROWS), entries.map(OrderedDict)),
        st.dictionaries(keys, INTEGERS, max_size=ROWS).map(Counter),
        *(st.lists(keys, max_size=ROWS).map(kind) for kind in (set, frozenset)),
    ]

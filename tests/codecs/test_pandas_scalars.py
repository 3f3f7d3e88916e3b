"""Timestamps, Timedeltas, Periods, Intervals, NaT, NA, offsets and dtypes of pandas come back exact, or are refused."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pendulum
import pyarrow as pa
import pytest
from dateutil import tz
from dateutil.relativedelta import MO
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.tseries import offsets
from pandas.tseries.holiday import USFederalHolidayCalendar

from airflow_xcom.codecs import decode, encode
from airflow_xcom.codecs.builtin.pandas import dtypes as pandas_dtypes
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.payload import decode_json

# Business-day periods warn in every pandas that has them.
pytestmark = pytest.mark.filterwarnings("ignore:.*(BDay|\\[B\\]).*deprecated:FutureWarning")

PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
PARIS = ZoneInfo("Europe/Paris")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def through_blob(value):
    payload = encode(value)
    return decode(payload.to_bytes(), payload.format)


def through_row(value):
    return decode_json(json.loads(json.dumps(encode(value).to_json())))


WAYS = pytest.mark.parametrize("travel", [through_blob, through_row])


# -- what identical means ------------------------------------------------------------------------------------


def assert_identical(expected, actual):
    assert type(actual) is type(expected)
    assert facts(actual) == facts(expected)
    if expected is pd.NaT or expected is pd.NA:
        assert actual is expected
    else:
        assert actual == expected


def facts(value):
    """Everything that can be asked of a value, equality of which is not enough."""
    for kind, ask in FACTS.items():
        if isinstance(value, kind):
            return (*ask(value), repr(value))
    return repr(value)


def timestamp_facts(value):
    zone = value.tzinfo
    fixed = isinstance(zone, timezone | tz.tzoffset | pendulum.FixedTimezone | None)
    return (value._value, value.unit, value.nanosecond, value.fold, repr(zone), None if fixed else id(zone))


def interval_facts(value):
    return (value.closed, *((type(end), facts(end)) for end in (value.left, value.right)))


def offset_facts(value):
    kwds = dict(value.kwds)
    calendar = kwds.pop("calendar", None)
    days = None if calendar is None else (calendar.weekmask.tolist(), calendar.holidays.tolist())
    when = pd.Timestamp("2024-02-28 11:30")
    return (value.n, value.normalize, sorted(kwds.items(), key=repr), days, value + when)


def dtype_facts(value):
    names = ("ordered", "unit", "tz", "freq", "subtype", "closed", "storage", "na_value", "pyarrow_dtype", "fill_value")
    parts = [(repr(part), type(part)) for part in (getattr(value, name, None) for name in names)]
    categories = getattr(value, "categories", None)
    labels = None if categories is None else (categories.dtype, categories.tolist(), categories.name)
    return (str(value), parts, labels)


FACTS = {
    pd.Timestamp: timestamp_facts,
    pd.Timedelta: lambda value: (value._value, value.unit),
    pd.Period: lambda value: (value.ordinal, facts(value.freq)),
    pd.Interval: interval_facts,
    offsets.BaseOffset: offset_facts,
    pd.api.extensions.ExtensionDtype: dtype_facts,
}


def test_facts_tell_apart_what_equality_does_not():
    ambiguous = pd.Timestamp(datetime(2024, 10, 27, 2, 30))
    pairs = [
        (pd.Timestamp("2024-01-01").as_unit("s"), pd.Timestamp("2024-01-01").as_unit("ns")),
        (ambiguous, ambiguous.replace(fold=1)),
        (pd.Timestamp("2024-01-01", tz=UTC), pd.Timestamp("2024-01-01", tz=PARIS) + pd.Timedelta("1h")),
        (pd.Timedelta("1h").as_unit("s"), pd.Timedelta("1h").as_unit("ms")),
        (pd.Interval(1, 2), pd.Interval(1.0, 2.0)),
    ]
    for one, other in pairs:
        assert one == other
        with pytest.raises(AssertionError):
            assert_identical(one, other)


# -- values that come back -----------------------------------------------------------------------------------


def stamp(text, unit, zone=None):
    """A Timestamp of a moment in UTC, of that resolution, shown in a zone."""
    value = pd.Timestamp(np.datetime64(text, unit))
    return value if zone is None else value.tz_localize(UTC).tz_convert(zone)


def pytz_zone(name):
    return pytest.importorskip("pytz", reason="pytz is not installed").timezone(name)


TIMESTAMPS = {
    "seconds": stamp("2024-01-01", "s"),
    "milliseconds": stamp("2024-01-01T00:00:00.001", "ms"),
    "microseconds": stamp("2024-01-01T00:00:00.000001", "us"),
    "nanoseconds": stamp("2024-01-01T00:00:00.000000001", "ns"),
    "midnight in nanoseconds": stamp("2024-01-01", "ns"),
    "of pandas' own resolution": pd.Timestamp("2024-01-01"),
    "of a datetime": pd.Timestamp(datetime(2024, 1, 1, 1, 2, 3, 4)),
    "before 1970": stamp("1899-12-31T23:59:59.999999999", "ns"),
    "first": pd.Timestamp.min,
    "last": pd.Timestamp.max,
    "beyond nanoseconds": stamp("0001-01-01", "us"),
    "last of datetime": stamp("9999-12-31T23:59:59.999999", "us"),
    "beyond datetime": stamp("10000-01-01", "s"),
    "before datetime": stamp("-0099-01-01", "s"),
    "far beyond datetime": stamp("200000-02-03", "ms"),
    "naive with fold": pd.Timestamp(datetime(2024, 10, 27, 2, 30, fold=1)),
    "utc": stamp("2024-01-01", "us", UTC),
    "utc with nanoseconds": stamp("2024-01-01T00:00:00.000000001", "ns", UTC),
    "utc with fold": pd.Timestamp(datetime(2024, 1, 1, fold=1, tzinfo=UTC)),
    "utc by name": pd.Timestamp("2024-01-01", tz="UTC"),
    "first in utc": pd.Timestamp.min.tz_localize(UTC),
    "fixed offset": stamp("2024-01-01", "s", timezone(timedelta(hours=5, minutes=30))),
    "named offset": stamp("2024-01-01", "s", timezone(timedelta(hours=1), "CET")),
    "offset parsed": pd.Timestamp("2024-01-01T00:00:00-03:30"),
    "zone": stamp("2024-07-01", "ms", PARIS),
    "zone, first of the ambiguous": stamp("2024-10-27T00:30", "s", PARIS),
    "zone, second of the ambiguous": stamp("2024-10-27T01:30", "ns", PARIS),
    "zone, after the gap": stamp("2024-03-31T01:30", "ns", PARIS),
    "zone, half an hour of summer time": stamp("2024-04-06T15:15", "us", LORD_HOWE),
    "zone, fold where it means nothing": pd.Timestamp(datetime(2024, 7, 1, tzinfo=PARIS, fold=1)),
    "zone, local mean time": stamp("1890-01-01", "s", PARIS),
    "zone UTC": stamp("2024-01-01", "s", ZoneInfo("UTC")),
    "pendulum utc": pd.Timestamp(pendulum.datetime(2024, 1, 1)),
    "pendulum zone": stamp("2024-10-27T01:30", "us", pendulum.timezone("Europe/Paris")),
    "dateutil utc": stamp("2024-01-01", "s", tz.UTC),
    "dateutil offset": stamp("2024-01-01", "s", tz.tzoffset("X", 3600)),
    "dateutil zone": lambda: stamp("2024-10-27T01:30", "us", tz.gettz("Europe/Paris")),
    "pytz utc": lambda: stamp("2024-01-01", "us", pytz_zone("UTC")),
    "pytz zone": lambda: stamp("2024-07-01", "us", pytz_zone("Europe/Paris")),
    "pytz zone, second of the ambiguous": lambda: stamp("2024-10-27T01:30", "us", pytz_zone("Europe/Paris")),
}

SCALARS = {
    "Timedelta": pd.Timedelta("1 day 2 hours"),
    "Timedelta of seconds": pd.Timedelta(np.timedelta64(-5, "s")),
    "Timedelta of milliseconds": pd.Timedelta(np.timedelta64(5, "ms")),
    "Timedelta of microseconds": pd.Timedelta(timedelta(microseconds=1)),
    "Timedelta of nanoseconds": pd.Timedelta(1),
    "first Timedelta": pd.Timedelta.min,
    "last Timedelta": pd.Timedelta.max,
    "Timedelta beyond nanoseconds": pd.Timedelta(np.timedelta64(2**60, "s")),
    "Period of a year": pd.Period("2024", "Y"),
    "Period of a fiscal year": pd.Period("2024", "Y-JUN"),
    "Period of a quarter": pd.Period("2024Q3", "Q"),
    "Period of a fiscal quarter": pd.Period("2024Q3", "Q-JAN"),
    "Period of a month": pd.Period("2024-02", "M"),
    "Period of five months": pd.Period("2024-02", "5M"),
    "Period of a week": pd.Period("2024-02-29", "W"),
    "Period of a week to Wednesday": pd.Period("2024-02-29", "W-WED"),
    "Period of a day": pd.Period("2024-02-29", "D"),
    "Period of three days": pd.Period("2024-02-29", "3D"),
    "Period of a business day": lambda: pd.Period("2024-02-29", "B"),
    "Period of an hour": pd.Period("2024-02-29 23", "h"),
    "Period of 15 minutes": pd.Period("2024-02-29 23:45", "15min"),
    "Period of a nanosecond": pd.Period("2024-02-29 23:45:00.000000001", "ns"),
    "Period before Christ": pd.Period(ordinal=-1_000_000, freq="D"),
    "Interval": pd.Interval(1, 2),
    "Interval of floats": pd.Interval(-np.inf, 0.5, "left"),
    "Interval of a point": pd.Interval(3, 3, "both"),
    "Interval of NumPy integers": pd.Interval(np.int8(1), np.int8(2), "neither"),
    "Interval of Timestamps": pd.Interval(stamp("2024-01-01", "s", PARIS), stamp("2024-02-01", "s", PARIS)),
    "Interval of Timedeltas": pd.Interval(pd.Timedelta("1h"), pd.Timedelta("2h")),
    "NaT": pd.NaT,
    "NA": pd.NA,
}

OFFSETS = {
    "DateOffset": offsets.DateOffset(),
    "DateOffset of months, on a day": offsets.DateOffset(months=3, day=1),
    "DateOffset of days, three times": offsets.DateOffset(3, days=2),
    "DateOffset of hours, normalized": offsets.DateOffset(2, normalize=True, hours=5),
    "DateOffset to no weekday": offsets.DateOffset(days=1, weekday=None),
    "DateOffset to a weekday": offsets.DateOffset(weekday=2),
    "DateOffset to the second Monday": offsets.DateOffset(weekday=MO(2)),
    "DateOffset of all": offsets.DateOffset(
        years=1, months=2, weeks=3, days=4, hours=5, minutes=6, seconds=7, microseconds=8, nanoseconds=9, hour=10
    ),
    "Day": offsets.Day(),
    "days back": offsets.Day(-3),
    "Hour": offsets.Hour(36),
    "Minute": offsets.Minute(15),
    "Second": offsets.Second(2**40),
    "Milli": offsets.Milli(250),
    "Micro": offsets.Micro(),
    "Nano": offsets.Nano(2**62),
    "MonthEnd": offsets.MonthEnd(),
    "MonthEnd, normalized": offsets.MonthEnd(2, normalize=True),
    "MonthBegin": offsets.MonthBegin(-1),
    "SemiMonthEnd": offsets.SemiMonthEnd(day_of_month=10),
    "SemiMonthBegin": offsets.SemiMonthBegin(2, day_of_month=20),
    "BusinessMonthEnd": offsets.BMonthEnd(),
    "BusinessMonthBegin": offsets.BMonthBegin(3),
    "BusinessDay": offsets.BDay(),
    "BusinessDay, shifted": offsets.BDay(2, normalize=True, offset=timedelta(hours=3)),
    "BusinessHour": offsets.BusinessHour(4, start="08:30", end="16:00"),
    "BusinessHour, two shifts": offsets.BusinessHour(start=["06:00", "15:00"], end=[time(14, 0), time(23, 0)]),
    "CustomBusinessDay": offsets.CDay(2, weekmask="Sun Mon Tue Wed Thu", holidays=["2024-03-01", "2024-02-29"]),
    "CustomBusinessDay by 0 and 1": offsets.CDay(weekmask="1111001"),
    "CustomBusinessDay by a tuple": offsets.CDay(weekmask=(1, 1, 0, 0, 1, 1, 0), offset=timedelta(minutes=5)),
    "CustomBusinessDay of a calendar": offsets.CDay(calendar=USFederalHolidayCalendar()),
    "CustomBusinessHour": offsets.CustomBusinessHour(
        start="10:00", holidays=[datetime(2024, 2, 29)], weekmask="Thu Fri"
    ),
    "CustomBusinessMonthEnd": offsets.CBMonthEnd(holidays=["2024-02-29"]),
    "CustomBusinessMonthBegin": offsets.CBMonthBegin(holidays=["2024-03-01"]),
    "Week": offsets.Week(),
    "Week from Wednesday": offsets.Week(2, weekday=2),
    "WeekOfMonth": offsets.WeekOfMonth(week=2, weekday=4),
    "LastWeekOfMonth": offsets.LastWeekOfMonth(weekday=6),
    "QuarterEnd": offsets.QuarterEnd(startingMonth=1),
    "QuarterBegin": offsets.QuarterBegin(startingMonth=2),
    "BusinessQuarterEnd": offsets.BQuarterEnd(startingMonth=3),
    "BusinessQuarterBegin": offsets.BQuarterBegin(-2, startingMonth=1),
    "YearEnd": offsets.YearEnd(month=6),
    "YearBegin": offsets.YearBegin(),
    "BusinessYearEnd": offsets.BYearEnd(2, month=3),
    "BusinessYearBegin": offsets.BYearBegin(month=4),
    "FY5253": offsets.FY5253(weekday=4, startingMonth=12, variation="last"),
    "FY5253Quarter": offsets.FY5253Quarter(weekday=5, startingMonth=1, qtr_with_extra_week=4, variation="nearest"),
    "BusinessDay, shifted by nothing": offsets.BDay(offset=pd.Timedelta(0)),
    "Easter": offsets.Easter(2),
}
if PANDAS_3:
    OFFSETS["HalfYearEnd"] = offsets.HalfYearEnd(startingMonth=3)
    OFFSETS["Easter of the Julian calendar"] = offsets.Easter(method=1)

DTYPES = {
    **{name: pd.api.types.pandas_dtype(name) for name in ("Int8", "UInt64", "Float32", "Float64", "boolean")},
    "string": pd.StringDtype("python"),
    "string of pyarrow": pd.StringDtype("pyarrow"),
    "category": pd.CategoricalDtype(),
    "category, ordered": pd.CategoricalDtype(["low", "high"], ordered=True),
    "category of numbers": pd.CategoricalDtype(np.array([3, 1, 2], dtype="int16")),
    "category of a named Index": pd.CategoricalDtype(pd.Index([0.5, 1.5], name="weight")),
    "datetime in a zone": pd.DatetimeTZDtype("ms", PARIS),
    "datetime in utc": pd.DatetimeTZDtype("ns", UTC),
    "period": pd.PeriodDtype("Q-JAN"),
    "interval": pd.IntervalDtype("float32", "left"),
    "interval of moments": pd.IntervalDtype(pd.DatetimeTZDtype("ns", PARIS), "both"),
    "interval of anything": pd.IntervalDtype(),
    "sparse": pd.SparseDtype("float64"),
    "sparse of zeros": pd.SparseDtype("int64", 0),
    "sparse of False": pd.SparseDtype(bool, fill_value=False),
    "Arrow integer": pd.ArrowDtype(pa.int8()),
    "Arrow decimal": pd.ArrowDtype(pa.decimal128(20, 3)),
    "Arrow time": pd.ArrowDtype(pa.timestamp("us", "Europe/Paris")),
    "Arrow struct": pd.ArrowDtype(pa.struct([pa.field("a", pa.list_(pa.int64()), nullable=False)])),
    "Arrow dictionary": pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string(), ordered=True)),
}


if "na_value" in inspect.signature(pd.StringDtype).parameters:
    DTYPES["string with NaN"] = pd.StringDtype("python", na_value=np.nan)
    DTYPES["string of pyarrow with NaN"] = pd.StringDtype("pyarrow", na_value=np.nan)
else:
    DTYPES["string of pyarrow with NaN"] = pd.StringDtype("pyarrow_numpy")


def named(*tables):
    values = [(name, value) for table in tables for name, value in table.items()]
    return pytest.mark.parametrize("value", [value for _, value in values], ids=[name for name, _ in values])


@WAYS
@named(TIMESTAMPS, SCALARS, OFFSETS, DTYPES)
def test_values(travel, value):
    value = value() if type(value) is type(test_values) else value
    assert_identical(value, travel(value))


def test_every_offset_class_is_named_above():
    classes = {getattr(offsets, name) for name in offsets.__all__} - {offsets.BaseOffset, offsets.Tick}
    untested = classes - {type(value) for value in OFFSETS.values()}
    assert {kind.__name__ for kind in untested} <= {"HalfYearBegin", "BHalfYearBegin", "BHalfYearEnd"}
    for kind in untested:
        assert_identical(kind(2), through_row(kind(2)))


def test_all_together():
    values = [*SCALARS.values(), *OFFSETS.values(), *DTYPES.values()]
    values = [value for value in values if not callable(value) or isinstance(value, offsets.BaseOffset)]
    for travel in (through_blob, through_row):
        for one, other in zip(values, travel({"values": values})["values"], strict=True):
            assert_identical(one, other)


def test_an_offset_that_pandas_cannot_compare():
    value = offsets.CDay(weekmask=[1, 1, 0, 0, 1, 1, 0])
    assert offset_facts(through_row(value)) == offset_facts(value)


def test_as_keys():
    value = {stamp("2024-01-01", "s", PARIS): 1, pd.Timedelta("1h"): 2, pd.Period("2024", "Y"): 3, pd.NaT: 4}
    for travel in (through_blob, through_row):
        actual = travel(value)
        assert list(actual.values()) == [1, 2, 3, 4]
        for one, other in zip(value, actual, strict=True):
            assert_identical(one, other)


def test_strings_with_nan_under_pandas_2_2(monkeypatch):
    monkeypatch.setattr(pd, "StringDtype", lambda storage: storage)
    assert decode_json({"$": ["pandas.dtype", 1, ["StringDtype", "pyarrow", "NaN"]]}) == "pyarrow_numpy"
    assert pandas_dtypes._take_string(SimpleNamespace(storage="pyarrow_numpy")) == ["pyarrow", "NaN"]
    with pytest.raises(LibraryVersionError, match=r"needs pandas 2\.3 or newer"):
        decode_json({"$": ["pandas.dtype", 1, ["StringDtype", "python", "NaN"]]})


def test_encoding_is_deterministic():
    parts = {"months": 3, "day": 1, "hours": 2, "weekday": 0, "minutes": 5}
    shuffled = dict(reversed(parts.items()))
    assert encode(offsets.DateOffset(**parts)).to_bytes() == encode(offsets.DateOffset(**shuffled)).to_bytes()


UNITS = st.sampled_from(["s", "ms", "us", "ns"])
COUNTS = st.integers(-(2**55), 2**55)
ZONES = st.one_of(
    st.none(),
    st.just(UTC),
    st.timezones(),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    st.sampled_from([tz.UTC, tz.gettz("America/New_York"), pendulum.timezone("Australia/Lord_Howe")]),
)


@settings(max_examples=120, deadline=None)
@given(st.integers(-(10**10), 10**10), st.integers(0, 999), UNITS, ZONES)
def test_any_timestamp(seconds, rest, unit, zone):
    count = seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**8}[unit] + (rest if unit != "s" else 0)
    value = pd.Timestamp(np.datetime64(count, unit))
    if zone is not None:
        value = value.tz_localize(UTC).tz_convert(zone)
    assert_identical(value, through_row(through_blob(value)))


@settings(max_examples=60, deadline=None)
@given(COUNTS, UNITS)
def test_any_timedelta(count, unit):
    value = pd.Timedelta(np.timedelta64(count, unit))
    assert_identical(value, through_row(through_blob(value)))


@settings(max_examples=60, deadline=None)
@given(st.integers(-50_000, 50_000), st.sampled_from(["Y-MAR", "Q-JAN", "M", "2M", "W-TUE", "D", "6h", "min", "ms"]))
def test_any_period(ordinal, freq):
    value = pd.Period(ordinal=ordinal, freq=freq)
    assert_identical(value, through_row(through_blob(value)))


# -- what is written -----------------------------------------------------------------------------------------

MONTHS = {"$": ["pandas.offsets", 1, ["MonthEnd", 1]]}
WRITTEN = {
    "naive": (stamp("2024-01-01", "s"), ["pandas.Timestamp", 1, [1704067200, "s"]]),
    "fold": (
        pd.Timestamp(datetime(2024, 1, 1, fold=1)).as_unit("s").replace(fold=1),
        ["pandas.Timestamp", 1, [1704067200, "s", None, 1]],
    ),
    "Timedelta": (pd.Timedelta(np.timedelta64(90, "ms")), ["pandas.Timedelta", 1, [90, "ms"]]),
    "Interval": (pd.Interval(1, 2), ["pandas.Interval", 1, [1, 2, "right"]]),
    "NaT": (pd.NaT, ["pandas.NaT", 1, None]),
    "NA": (pd.NA, ["pandas.NA", 1, None]),
    "Easter": (offsets.Easter(2), ["pandas.offsets", 1, ["Easter", 2]]),
    "offset": (offsets.Week(weekday=2), ["pandas.offsets", 1, ["Week", 1, False, {"weekday": 2}]]),
    "dtype": (pd.Int64Dtype(), ["pandas.dtype", 1, ["Int64"]]),
}


@pytest.mark.parametrize(("value", "node"), WRITTEN.values(), ids=WRITTEN)
def test_the_row_is_short_and_readable(value, node):
    assert encode(value).to_json() == {"$": node}


def test_the_summary_shows_the_value():
    assert encode(pd.Interval(0, 5)).summary == {"value": "(0, 5]"}
    assert encode(pd.CategoricalDtype([1])).summary == {"value": "category"}


# -- values that are refused ---------------------------------------------------------------------------------


class Launch(pd.Timestamp):
    """pandas gives a Timestamp when asked for one of these."""


class Fortnight(offsets.DateOffset):
    pass


class BusinessZone(tzinfo):
    def utcoffset(self, _moment):
        return timedelta(hours=9)

    def dst(self, _moment):
        return timedelta(0)

    def tzname(self, _moment):
        return "business"


def test_a_subclass_of_an_offset_is_refused():
    with pytest.raises(UnsupportedTypeError, match="Fortnight") as caught:
        encode({"step": [Fortnight(days=14)]})
    assert caught.value.path == 'value["step"][0]'


def test_a_zone_without_a_codec_is_refused():
    for value in (pd.Timestamp(datetime(2024, 1, 1, tzinfo=BusinessZone())), pd.DatetimeTZDtype("ns", BusinessZone())):
        with pytest.raises(UnsupportedTypeError, match="BusinessZone"):
            encode([value])


def test_a_pytz_zone_that_does_not_fit_the_moment_is_refused():
    paris = pytz_zone("Europe/Paris")
    value = pd.Timestamp(datetime(2024, 7, 1, tzinfo=paris))  # at local mean time, as datetime reads pytz
    if value.tzinfo is not paris:
        pytest.skip("this pandas repairs it")
    with pytest.raises(UnsupportedValueError, match="tz_localize"):
        encode([value])


def test_a_calendar_that_its_offset_does_not_show_is_refused():
    value = offsets.CDay(calendar=np.busdaycalendar("Sun Mon Tue Wed Thu", ["2024-03-01"]))
    with pytest.raises(UnsupportedValueError, match="weekmask"):
        encode([value])


def test_a_dtype_that_arrow_reads_otherwise_is_refused():
    class Celsius(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.float64(), "test.celsius")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, _storage, _serialized):
            return cls()

    with pytest.raises(UnsupportedValueError, match="Celsius"):
        encode([pd.ArrowDtype(Celsius())])


# -- payloads that are refused -------------------------------------------------------------------------------

DAY = {"$": ["pandas.offsets", 1, ["Day", 1]]}
FORGED = {
    "unit": ["pandas.Timestamp", [1, "D"]],
    "zone by name": ["pandas.Timestamp", [1, "ns", "dateutil//etc/localtime"]],
    "count of text": ["pandas.Timestamp", ["today", "ns"]],
    "count beyond 64 bits": ["pandas.Timestamp", [2**63, "ns"]],
    "too many parts": ["pandas.Timestamp", [1, "ns", None, 1, 1]],
    "unit of a Timedelta": ["pandas.Timedelta", [1, "Y"]],
    "Period by alias": ["pandas.Period", [1, "M"]],
    "Interval backwards": ["pandas.Interval", [2, 1, "right"]],
    "Interval of text": ["pandas.Interval", ["a", "b", "right"]],
    "weekday 9": ["pandas.offsets", ["Week", 1, False, {"weekday": 9}]],
    "offset of text": ["pandas.offsets", ["Day", "1 day"]],
    "dtype unknown": ["pandas.dtype", ["object"]],
    "dtype unknown, with parts": ["pandas.dtype", ["NumpyEADtype", "int64"]],
    "zone of a dtype by name": ["pandas.dtype", ["DatetimeTZDtype", "ns", "dateutil//etc/localtime"]],
    "unit of a dtype": ["pandas.dtype", ["DatetimeTZDtype", "D", {"$": ["timezone", 1, [0, 0, 0]]}]],
    "freq of a dtype by alias": ["pandas.dtype", ["PeriodDtype", "M"]],
    "subtype by name": ["pandas.dtype", ["IntervalDtype", "datetime64[ns, dateutil//etc/localtime]", "left"]],
    "sparse by name": ["pandas.dtype", ["SparseDtype", "float64", 0.0]],
    "categories in a list": ["pandas.dtype", ["CategoricalDtype", ["a", "b"], False]],
    "string of what": ["pandas.dtype", ["StringDtype", "python", "None"]],
    "string in what": ["pandas.dtype", ["StringDtype", "paper", "NA"]],
    "schema": ["pandas.dtype", ["ArrowDtype", {"$": ["bytes", "AAAA"]}]],
}


@pytest.mark.parametrize(("tag", "node"), FORGED.values(), ids=FORGED)
def test_payloads_refused(tag, node):
    with pytest.raises(CorruptPayloadError, match=r"pandas\.|payload"):
        decode_json({"$": [tag, 1, node]})


@pytest.mark.parametrize("node", [["Eternity", 1], ["Tick", 1], ["MonthEnd", 1, False, {"phase": "moon"}]])
def test_an_offset_that_this_pandas_has_not(node):
    with pytest.raises(LibraryVersionError, match=f"offset '{node[0]}' .*needs pandas newer than {pd.__version__}"):
        decode_json({"$": ["pandas.offsets", 1, node]})

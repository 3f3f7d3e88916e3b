"""Dates, times and zones come back exact, or are refused: standard library, pytz, dateutil and pendulum."""

from __future__ import annotations

import json
import subprocess
import sys
import time as time_module
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pendulum
import pytest
from dateutil import tz
from dateutil.relativedelta import FR, MO
from hypothesis import given, settings
from hypothesis import strategies as st
from pendulum.duration import AbsoluteDuration

from airflow_xcom.codecs import decode, encode
from airflow_xcom.codecs.builtin.stdlib import times
from airflow_xcom.codecs.errors import (
    CodecError,
    CorruptPayloadError,
    DecodeError,
    MissingLibraryError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.payload import decode_json

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
LORD_HOWE = zoneinfo.ZoneInfo("Australia/Lord_Howe")  # half an hour of summer time
P_PARIS = pendulum.timezone("Europe/Paris")
CET = timezone(timedelta(hours=1), "CET")
ODD = timezone(-timedelta(hours=3, minutes=30, seconds=52))
TINY = timezone(timedelta(microseconds=1))  # its ISO text is read as UTC by Python 3.11
AMBIGUOUS = datetime(2024, 10, 27, 2, 30)
IMAGINARY = datetime(2024, 3, 31, 2, 30)


def through_blob(value):
    payload = encode(value)
    return decode(payload.to_bytes(), payload.format)


def through_row(value):
    return decode_json(json.loads(json.dumps(encode(value).to_json())))


WAYS = pytest.mark.parametrize("travel", [through_blob, through_row])


# -- what identical means ------------------------------------------------------------------------------------


def assert_identical(expected, actual):
    assert type(actual) is type(expected)
    assert actual == expected or isinstance(expected, tzinfo)  # not every zone can be compared
    assert facts(actual) == facts(expected)


def facts(value):
    """Everything that can be asked of a value, equality of which is not enough."""
    if isinstance(value, tzinfo):
        return zone_facts(value)
    if isinstance(value, pendulum.Interval):
        parts = (value._invert, value._absolute, str(value._delta), value.in_words())
        return (*parts, facts(value.start), facts(value.end), duration_facts(value))
    if isinstance(value, timedelta):
        return duration_facts(value)
    if isinstance(value, datetime | time):
        zone = value.tzinfo
        offsets = (value.utcoffset(), value.dst(), value.tzname())
        return (clock(value), value.fold, repr(value), offsets, None if zone is None else zone_facts(zone))
    return repr(value)


def clock(value):
    day = (value.year, value.month, value.day) if isinstance(value, date) else ()
    return (*day, value.hour, value.minute, value.second, value.microsecond)


def zone_facts(zone):
    """A zone with rules must be the very same object: arithmetic asks for its identity."""
    fixed = isinstance(zone, timezone | tz.tzoffset | pendulum.FixedTimezone)
    return (type(zone), repr(zone), zone.tzname(None), zone.utcoffset(None)) if fixed else id(zone)


def duration_facts(value):
    names = ("years", "months", "weeks", "days", "remaining_days", "hours", "minutes", "seconds", "remaining_seconds")
    kept = [getattr(value, name, None) for name in (*names, "microseconds", "invert", "_total", "_signature")]
    return (*kept, timedelta.__reduce__(value)[1], repr(value))


def test_facts_tell_apart_what_equality_does_not():
    pairs = [
        (AMBIGUOUS, AMBIGUOUS.replace(fold=1)),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "Z"))),
        (datetime(2024, 1, 1, tzinfo=PARIS), datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Paris"))),
        (pendulum.duration(days=1), pendulum.duration(hours=24)),
    ]
    for one, other in pairs:
        assert one == other
        with pytest.raises(AssertionError):
            assert_identical(one, other)


# -- values that come back -----------------------------------------------------------------------------------


def pytz_zone(name):
    return pytest.importorskip("pytz", reason="pytz is not installed").timezone(name)


def pytz_fixed(minutes):
    return pytest.importorskip("pytz", reason="pytz is not installed").FixedOffset(minutes)


STDLIB = {
    "naive": datetime(2024, 2, 29, 12, 34, 56),
    "microseconds": datetime(2024, 2, 29, 12, 34, 56, 7),
    "midnight": datetime(2024, 1, 1),
    "year 1": datetime.min,
    "year 9999": datetime.max,
    "naive with fold": AMBIGUOUS.replace(fold=1),
    "utc": datetime(2024, 1, 1, tzinfo=UTC),
    "utc with fold": datetime(2024, 1, 1, tzinfo=UTC, fold=1),
    "utc at the first instant": datetime.min.replace(tzinfo=UTC),
    "utc at the last instant": datetime.max.replace(tzinfo=UTC),
    "fixed offset": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    "fixed offset with fold": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5)), fold=1),
    "offset before year 1": datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    "offset after year 9999": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    "offset with seconds": datetime(2024, 1, 1, 1, 2, 3, tzinfo=ODD),
    "offset of a microsecond": datetime(2024, 1, 1, 1, 2, 3, tzinfo=TINY),
    "largest offset": datetime(2024, 1, 1, tzinfo=timezone(timedelta(days=1, microseconds=-1))),
    "named offset": datetime(2024, 1, 1, tzinfo=CET),
    "offset named as it would be": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "UTC+01:00")),
    "zero offset with a name": datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "UTC")),
    "zone": datetime(2024, 7, 1, 12, tzinfo=PARIS),
    "zone before the clocks go back": AMBIGUOUS.replace(tzinfo=PARIS),
    "zone after the clocks went back": AMBIGUOUS.replace(tzinfo=PARIS, fold=1),
    "zone in the gap": IMAGINARY.replace(tzinfo=PARIS),
    "zone in the gap with fold": IMAGINARY.replace(tzinfo=PARIS, fold=1),
    "zone with half an hour of summer time": datetime(2024, 4, 7, 1, 45, tzinfo=LORD_HOWE, fold=1),
    "zone at local mean time": datetime(1890, 1, 1, tzinfo=PARIS),
    "zone in year 1": datetime.min.replace(tzinfo=PARIS),
    "zone UTC by name": datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "date": date(2024, 2, 29),
    "first date": date.min,
    "last date": date.max,
    "time": time(23, 59, 58, 999),
    "first time": time.min,
    "last time": time.max,
    "time with fold": time(2, 30, fold=1),
    "time in utc": time(1, 2, 3, tzinfo=UTC),
    "time with offset and fold": time(1, 2, 3, tzinfo=ODD, fold=1),
    "time with a named offset": time(1, 2, 3, tzinfo=CET),
    "time with the offset of a microsecond": time(1, 2, 3, tzinfo=TINY),
    "time in a zone": time(2, 30, tzinfo=PARIS),
    "time in a zone with fold": time(2, 30, tzinfo=PARIS, fold=1),
    "zero": timedelta(0),
    "negative microsecond": timedelta(microseconds=-1),
    "shortest duration": timedelta.min,
    "longest duration": timedelta.max,
    "days beyond a double": timedelta(days=200_000_000, microseconds=1),
    "timezone utc": UTC,
    "timezone": timezone(timedelta(hours=-3)),
    "timezone with a name": CET,
    "timezone with an empty name": timezone(timedelta(0), ""),
    "smallest timezone": timezone.min,
    "largest timezone": timezone.max,
    "zoneinfo": PARIS,
    "zoneinfo link": zoneinfo.ZoneInfo("US/Eastern"),
    "zoneinfo of three parts": zoneinfo.ZoneInfo("America/Argentina/Buenos_Aires"),
}

LIBRARIES = {
    "dateutil utc": lambda: tz.UTC,
    "dateutil offset": lambda: tz.tzoffset("BRST", -10800),
    "dateutil offset without a name": lambda: tz.tzoffset(None, timedelta(seconds=90, microseconds=5)),
    "dateutil zone": lambda: tz.gettz("America/New_York"),
    "dateutil zone UTC by name": lambda: tz.gettz("UTC"),
    "dateutil datetime": lambda: datetime(2024, 7, 1, tzinfo=tz.gettz("Europe/Paris")),
    "dateutil ambiguous datetime": lambda: AMBIGUOUS.replace(tzinfo=tz.gettz("Europe/Paris"), fold=1),
    "dateutil weekday": lambda: FR,
    "dateutil second Monday": lambda: MO(2),
    "pytz utc": lambda: pytz_zone("UTC"),
    "pytz zone": lambda: pytz_zone("Europe/Paris"),
    "pytz static zone": lambda: pytz_zone("Etc/GMT+5"),
    "pytz fixed offset": lambda: pytz_fixed(-90),
    "pytz summer": lambda: pytz_zone("Europe/Paris").localize(datetime(2024, 7, 1)),
    "pytz ambiguous, summer": lambda: pytz_zone("Europe/Paris").localize(AMBIGUOUS, is_dst=True),
    "pytz ambiguous, winter": lambda: pytz_zone("Europe/Paris").localize(AMBIGUOUS, is_dst=False),
    "pytz local mean time": lambda: datetime(2024, 7, 1, tzinfo=pytz_zone("Europe/Paris")),
    "pytz fixed offset datetime": lambda: datetime(2024, 7, 1, tzinfo=pytz_fixed(60)),
}

PENDULUM = {
    "DateTime": pendulum.datetime(2024, 1, 2, 3, 4, 5, 6),
    "DateTime in a zone": pendulum.datetime(2024, 7, 1, tz="Europe/Paris"),
    "DateTime with fold 0": pendulum.DateTime(2024, 10, 27, 2, 30, tzinfo=P_PARIS, fold=0),
    "DateTime with fold 1": pendulum.DateTime(2024, 10, 27, 2, 30, tzinfo=P_PARIS, fold=1),
    "DateTime in the gap": pendulum.DateTime(2024, 3, 31, 2, 30, tzinfo=P_PARIS),
    "DateTime parsed": pendulum.parse("2024-01-01T12:00:00.123456+05:30"),
    "DateTime now": pendulum.now("America/New_York"),
    "DateTime naive": pendulum.naive(2024, 1, 1),
    "DateTime with a stdlib zone": pendulum.DateTime(2024, 1, 1, tzinfo=PARIS),
    "DateTime with a stdlib offset": pendulum.DateTime(2024, 1, 1, tzinfo=CET),
    "first DateTime": pendulum.DateTime.min,
    "last DateTime": pendulum.DateTime.max,
    "Date": pendulum.date(2024, 2, 29),
    "first Date": pendulum.Date.min,
    "Time": pendulum.time(1, 2, 3, 4),
    "Time in a zone with fold": pendulum.Time(2, 30, tzinfo=P_PARIS, fold=1),
    "Time in utc": pendulum.Time(2, 30, tzinfo=UTC),
    "last Time": pendulum.Time.max,
    "Duration": pendulum.duration(years=1, months=2, days=3),
    "Duration of all parts": pendulum.duration(1, 2, 3, 4, 5, 6, 7, 8, 9),
    "Duration of a day": pendulum.duration(days=1),
    "Duration of 24 hours": pendulum.duration(hours=24),
    "negative Duration": -pendulum.duration(years=1, months=2, weeks=1, hours=3, microseconds=1),
    "fractional Duration": pendulum.duration(days=1.5, milliseconds=0.25),
    "Duration of sums": pendulum.duration(days=1) + timedelta(hours=1),
    "no Duration": pendulum.duration(),
    "longest Duration": pendulum.Duration.max,
    "AbsoluteDuration": pendulum.time(3).diff(pendulum.time(1, 30)),
    "AbsoluteDuration of months": AbsoluteDuration(days=3, years=1, months=2),
    "Interval": pendulum.interval(pendulum.datetime(2024, 1, 31), pendulum.datetime(2024, 3, 1)),
    "Interval backwards": pendulum.interval(pendulum.datetime(2024, 3, 1), pendulum.datetime(2024, 1, 31)),
    "Interval absolute": pendulum.interval(pendulum.datetime(2024, 1, 1), pendulum.datetime(2024, 3, 1), absolute=True),
    "Interval absolute, turned": pendulum.interval(
        pendulum.datetime(2024, 3, 1), pendulum.datetime(2024, 1, 31), absolute=True
    ),
    "Interval of dates": pendulum.interval(pendulum.date(2024, 1, 1), pendulum.date(2023, 2, 28)),
    "Interval of naive DateTimes": pendulum.naive(2024, 1, 1) - pendulum.naive(2023, 1, 1),
    "Interval over the ambiguous hour": pendulum.interval(
        pendulum.DateTime(2024, 10, 27, 2, 30, tzinfo=P_PARIS),
        pendulum.DateTime(2024, 10, 27, 2, 30, tzinfo=P_PARIS, fold=1),
    ),
    "Interval between zones": pendulum.datetime(2024, 1, 1, tz="Asia/Tokyo")
    - pendulum.datetime(2024, 1, 1, tz="Europe/Paris"),
    "Interval of stdlib datetimes": pendulum.interval(
        datetime(2024, 1, 1, tzinfo=PARIS), datetime(2024, 7, 1, tzinfo=PARIS)
    ),
    "Timezone": P_PARIS,
    "Timezone UTC": pendulum.UTC,
    "FixedTimezone": pendulum.timezone(-12600),
    "FixedTimezone with a name": pendulum.FixedTimezone(3600, "CET"),
    "stdlib datetime in a pendulum zone": datetime(2024, 10, 27, 2, 30, tzinfo=P_PARIS, fold=1),
}


@WAYS
@pytest.mark.parametrize("value", STDLIB.values(), ids=STDLIB)
def test_stdlib(travel, value):
    assert_identical(value, travel(value))


@WAYS
@pytest.mark.parametrize("make", LIBRARIES.values(), ids=LIBRARIES)
def test_libraries(travel, make):
    value = make()
    assert_identical(value, travel(value))


@WAYS
@pytest.mark.parametrize("value", PENDULUM.values(), ids=PENDULUM)
def test_pendulum(travel, value):
    assert_identical(value, travel(value))


def test_all_together_and_as_keys():
    value = {"list": [*STDLIB.values(), *PENDULUM.values()], "keys": {day: str(day) for day in (date.min, date.max)}}
    for travel in (through_blob, through_row):
        actual = travel(value)
        for one, other in zip(value["list"], actual["list"], strict=True):
            assert_identical(one, other)
        assert actual["keys"] == value["keys"]


def test_a_duration_added_over_the_change_of_clocks_adds_the_same():
    before = pendulum.datetime(2024, 3, 30, 12, tz="Europe/Paris")
    day, hours = pendulum.duration(days=1), pendulum.duration(hours=24)
    assert before + day != before + hours
    assert before + through_row(day) == before + day
    assert before + through_row(hours) == before + hours


OFFSETS = st.timedeltas(timedelta(days=-1, microseconds=1), timedelta(days=1, microseconds=-1))
ZONES = st.one_of(
    st.none(),
    st.timezones(),
    st.just(UTC),
    st.builds(timezone, OFFSETS),
    st.builds(timezone, OFFSETS, st.text(max_size=5).filter(str.isprintable)),
    st.builds(tz.tzoffset, st.none() | st.just("X"), st.integers(-86399, 86399)),
    st.builds(pendulum.FixedTimezone, st.integers(-86399, 86399)),
    st.sampled_from([P_PARIS, pendulum.UTC, tz.UTC, tz.gettz("Australia/Lord_Howe")]),
)


@settings(max_examples=150, deadline=None)
@given(st.datetimes(), ZONES, st.integers(0, 1))
def test_any_datetime(moment, zone, fold):
    value = moment.replace(tzinfo=zone, fold=fold)
    payload = encode(value)
    tag, *_, node = payload.to_json()["$"]
    if tag == "datetime" and type(node) is str:
        assert node == value.isoformat().replace("+00:00", "Z" if zone is UTC else "+00:00")
    assert payload.summary == {"value": str(value)[:100]}
    actual = through_row(through_blob(value))
    assert (clock(actual), actual.fold, type(actual)) == (clock(value), fold, datetime)
    assert (actual.tzinfo is None) == (zone is None)
    assert zone is None or zone_facts(actual.tzinfo) == zone_facts(zone)


@settings(max_examples=100, deadline=None)
@given(st.times(), ZONES, st.integers(0, 1))
def test_any_time(moment, zone, fold):
    value = moment.replace(tzinfo=zone, fold=fold)
    assert_identical(value, through_row(through_blob(value)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.timedeltas() | st.dates()))
def test_any_timedelta_or_date(values):
    for one, other in zip(values, through_row(through_blob(values)), strict=True):
        assert_identical(one, other)


PARTS = dict.fromkeys(("years", "months", "weeks", "days", "hours", "seconds"), st.integers(-1000, 1000))


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional=PARTS))
def test_any_duration(parts):
    value = pendulum.duration(**parts)
    assert_identical(value, through_row(through_blob(value)))


# -- what is written -----------------------------------------------------------------------------------------

WRITTEN = {
    "naive": (datetime(2024, 1, 1, 12), ["datetime", 1, "2024-01-01T12:00:00"]),
    "utc": (datetime(2024, 1, 1, 12, tzinfo=UTC), ["datetime", 1, "2024-01-01T12:00:00Z"]),
    "fold": (AMBIGUOUS.replace(fold=1), ["datetime", 1, ["2024-10-27T02:30:00", None, 1]]),
    "zone": (AMBIGUOUS.replace(tzinfo=PARIS), ["datetime", 1, ["2024-10-27T02:30:00", "Europe/Paris"]]),
    "date": (date(2024, 1, 1), ["date", 1, "2024-01-01"]),
    "time": (time(12, 30), ["time", 1, "12:30:00"]),
    "timedelta": (timedelta(days=-1, microseconds=5), ["timedelta", 1, [-1, 0, 5]]),
    "timezone": (CET, ["timezone", 1, [0, 3600, 0, "CET"]]),
    "zoneinfo": (PARIS, ["zoneinfo", 1, "Europe/Paris"]),
    "pendulum": (pendulum.datetime(2024, 1, 1), ["pendulum.DateTime", 1, ["2024-01-01T00:00:00", "UTC", 1]]),
    "duration": (pendulum.duration(months=1, days=2), ["pendulum.Duration", 1, {"days": 2, "months": 1}]),
}


@pytest.mark.parametrize(("value", "node"), WRITTEN.values(), ids=WRITTEN)
def test_the_row_is_short_and_readable(value, node):
    assert encode(value).to_json() == {"$": node}


def test_the_summary_shows_the_value():
    assert encode(date(2024, 1, 2)).summary == {"value": "2024-01-02"}
    assert encode(pendulum.duration(hours=3)).summary == {"value": "3 hours"}


# -- values that are refused ---------------------------------------------------------------------------------


class BusinessZone(tzinfo):
    def utcoffset(self, _moment):
        return timedelta(hours=9)

    def dst(self, _moment):
        return timedelta(0)

    def tzname(self, _moment):
        return "business"


class Deadline(datetime):
    pass


def zone_of_a_file(key=None):
    return zoneinfo.ZoneInfo.from_file(rules_of_paris(), key=key)


def copy_of(zone):
    return type(zone)()


def rules_of_paris():
    return resources.files("tzdata.zoneinfo").joinpath("Europe", "Paris").open("rb")


REFUSED_VALUES = {
    "zone without a key": zone_of_a_file,
    "zone of a file under a real key": lambda: zone_of_a_file("Europe/Paris"),
    "zone of a file under an unknown key": lambda: zone_of_a_file("local"),
    "zone of a file under an unlawful key": lambda: zone_of_a_file("/etc/localtime"),
    "zone of its own": lambda: zoneinfo.ZoneInfo.no_cache("Europe/Paris"),
    "datetime in a zone without a key": lambda: datetime(2024, 1, 1, tzinfo=zone_of_a_file()),
    "time in a zone without a key": lambda: time(1, tzinfo=zone_of_a_file()),
    "DateTime in a zone of its own": lambda: pendulum.DateTime(2024, 1, 1, tzinfo=pendulum.Timezone.no_cache("UTC")),
    "dateutil POSIX rule": lambda: tz.tzstr("EST5EDT"),
    "dateutil range": lambda: tz.tzrange("EST", -18000, "EDT"),
    "dateutil file": lambda: tz.tzfile(rules_of_paris()),
    "dateutil zone of its own": lambda: tz.gettz.nocache("Europe/Paris"),
    "pytz zone of its own": lambda: copy_of(pytz_zone("Etc/GMT+5")),
}


@pytest.mark.parametrize("make", REFUSED_VALUES.values(), ids=REFUSED_VALUES)
def test_values_refused(make):
    value = make()
    with pytest.raises(UnsupportedValueError, match=r"use |localize"):
        encode({"when": [value]})


@pytest.mark.parametrize(
    "value",
    [
        BusinessZone(),
        datetime(2024, 1, 1, tzinfo=BusinessZone()),
        time(1, tzinfo=BusinessZone()),
        pendulum.DateTime(2024, 1, 1, tzinfo=BusinessZone()),
        Deadline(2024, 1, 1),
    ],
    ids=["zone", "datetime", "time", "pendulum", "subclass"],
)
def test_types_refused(value):
    with pytest.raises(UnsupportedTypeError, match=r"BusinessZone|Deadline") as caught:
        encode({"when": [value]})
    assert caught.value.path.startswith('value["when"][0]')


def test_a_duration_that_pendulum_would_round_is_refused():
    value = pendulum.duration(days=1)
    value._total += 1e-7
    with pytest.raises(UnsupportedValueError, match="as_timedelta"):
        encode(value)


# -- payloads that are refused -------------------------------------------------------------------------------

FORGED = {
    "offset beside a zone": ["datetime", ["2024-01-01T00:00:00+02:00", "Europe/Paris"]],
    "fold 2": ["datetime", ["2024-01-01T00:00:00", None, 2]],
    "too many parts": ["datetime", ["2024-01-01T00:00:00", None, 1, 1]],
    "zone that is none": ["datetime", ["2024-01-01T00:00:00", 5]],
    "no date": ["datetime", "tomorrow"],
    "month 13": ["date", "2024-13-01"],
    "number": ["datetime", 1704067200],
    "timedelta of two parts": ["timedelta", [1, 2]],
    "offset of two days": ["timezone", [2, 0, 0]],
    "path": ["zoneinfo", "../../../etc/passwd"],
    "absolute path": ["zoneinfo", "/etc/localtime"],
    "unknown part": ["pendulum.Duration", {"eons": 1}],
    "duration of a huge index": ["pendulum.Duration", {"$": ["pandas.Index", 1, {"range": [0, 10**12, 1]}]}],
    "mixed interval": ["pendulum.Interval", [{"$": ["date", 1, "2024-01-01"]}, {"$": ["datetime", 1, "2024-01-01"]}]],
    "interval that is absolute by a number": ["pendulum.Interval", [*[{"$": ["date", 1, "2024-01-01"]}] * 2, 0]],
    "interval of numbers": ["pendulum.Interval", [1, 2]],
    "interval up to a range": [
        "pendulum.Interval",
        [{"$": ["date", 1, "2024-01-01"]}, {"$": ["pandas.Index", 1, {"range": [0, 10**12, 1]}]}],
    ],
    "pendulum path": ["pendulum.Timezone", "../../../etc/passwd"],
}


@pytest.mark.parametrize(("tag", "node"), FORGED.values(), ids=FORGED)
def test_payloads_refused(tag, node):
    with pytest.raises(CorruptPayloadError, match=tag):
        decode_json({"$": [tag, 1, node]})


@pytest.mark.parametrize(
    ("tag", "node"),
    [
        ("zoneinfo", "Atlantis/Capital"),
        ("datetime", ["2024-01-01T00:00:00", "Atlantis/Capital"]),
        ("pendulum.Timezone", "Atlantis/Capital"),
        ("dateutil.tz", ["Atlantis/Capital"]),
        ("dateutil.tz", ["/etc/localtime"]),
        ("dateutil.tz", ["../zoneinfo/Europe/Paris"]),
        ("dateutil.tz", ["EST5EDT4,M3.2.0,M11.1.0"]),
        ("pytz.timezone", "Atlantis/Capital"),
        ("pytz.timezone", ["Europe/Paris", 1, 0, "XYZ"]),
    ],
)
def test_zones_unknown_here(tag, node):
    if tag == "pytz.timezone":
        pytest.importorskip("pytz", reason="pytz is not installed")
    with pytest.raises(DecodeError, match=r"no time zone .* where the value is pulled") as caught:
        decode_json({"$": [tag, 1, node]})
    assert not isinstance(caught.value, CorruptPayloadError)


@pytest.mark.parametrize(
    ("tag", "node", "library"),
    [
        ("pytz.timezone", "Europe/Paris", "pytz"),
        ("dateutil.tz", ["Europe/Paris"], "dateutil"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, tag, node, library):
    for name in (library, f"{library}.tz"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=f"install {library}") as caught:
        decode_json({"$": [tag, 1, node]})
    assert (caught.value.tag, caught.value.library) == (tag, library)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_datetimes_load_no_time_zone_library():
    code = (
        "import sys, datetime as d; from airflow_xcom.codecs import encode; "
        "encode([d.datetime.now(d.UTC), d.time(), d.timedelta()]); "
        "sys.exit(' '.join({'pytz', 'dateutil', 'pendulum', 'pandas'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- tzlocal(), which means another zone on another machine ---------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this machine."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time_module.tzset()

    times._say_elsewhere.cache_clear()
    yield move
    monkeypatch.undo()
    time_module.tzset()


# Of the machine that runs the tests.
LOCAL = {
    "datetime in local time": lambda: datetime(2024, 7, 1, 12, tzinfo=tz.tzlocal()),
    "DateTime in local time": lambda: pendulum.DateTime(2024, 7, 1, 12, tzinfo=tz.tzlocal()),
    "column in local time": lambda: pd.DataFrame({"when": pd.date_range("2024", periods=2, tz=tz.tzlocal())}),
    "Timestamp in local time": lambda: pd.Timestamp(2024, 7, 1, tz=tz.tzlocal()),
}
# A fold, a gap, a time before and one after daylight saving.
LOCAL_TIMES = [
    datetime(2024, 11, 3, 1, 30),
    datetime(2024, 11, 3, 1, 30, fold=1),
    datetime(2024, 3, 10, 2, 30),
    datetime(2024, 1, 1),
    datetime(2024, 7, 1, 12, 0, 0, 5),
]


@pytest.mark.parametrize("written", ["UTC", "America/New_York", "FAR-5:45"])
@pytest.mark.parametrize("read", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_local_times_keep_instant_clock_and_offset(written: str, read: str, machine: Any, caplog: Any) -> None:
    machine(written)
    values = [at.replace(tzinfo=tz.tzlocal()) for at in LOCAL_TIMES]
    if written != "America/New_York":  # where pendulum and dateutil call each other without end
        values.append(pendulum.DateTime(2024, 1, 1, tzinfo=tz.tzlocal()))
    facts = [(type(at), at.isoformat(), at.fold, at.tzname(), at.timestamp()) for at in values]
    rows = [encode(values).to_json(), encode([pd.Series(values, dtype=object)]).to_json()]
    machine(read)
    caplog.set_level("INFO")
    back, (column,) = map(decode_json, rows)
    for found in (back, column.tolist()):
        assert [(type(at), at.isoformat(), at.fold, at.tzname(), at.timestamp()) for at in found] == facts
        assert {type(at.tzinfo) for at in found} == {tz.tzlocal if written == read else tz.tzoffset}
    zones = len({(at.tzname(), at.utcoffset()) for at in back})
    assert len([line for line in caplog.messages if "local time is another" in line]) == (written != read) * zones


def test_a_time_whose_offset_tzlocal_does_not_tell_is_refused(machine: Any) -> None:
    machine("America/New_York")
    local = tz.tzlocal()
    for at in (datetime.min.replace(tzinfo=local), pendulum.DateTime(2024, 11, 3, 1, 30, tzinfo=local)):
        with pytest.raises(UnsupportedValueError, match=r"does not tell the offset .*; give it the zone zoneinfo"):
            encode([at])


@pytest.mark.parametrize("written", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("read", ["UTC", "America/New_York"])
def test_local_columns_and_zones_keep_instant_clock_and_offset(written: str, read: str, machine: Any) -> None:
    machine(written)
    moments = pd.date_range("2024-01-01", "2024-12-31", freq="31D", tz=tz.tzlocal())
    value = [pd.DataFrame({"when": moments}), moments, moments[0], time(1, 2, tzinfo=tz.tzlocal()), tz.tzlocal()]
    facts = [(at.isoformat(), at.value) for at in moments]
    row = encode(value).to_json()
    machine(read)
    frame, index, moment, clock, zone = decode_json(row)
    for found in (frame["when"], index):
        assert [(at.isoformat(), at.value) for at in found] == facts
    assert (moment.isoformat(), moment.value) == facts[0]
    assert clock.replace(tzinfo=None) == time(1, 2)
    expected = tz.tzlocal if written == read else ZoneInfo if written == "America/New_York" else tz.tzoffset
    assert {type(found) for found in (index.tz, clock.tzinfo, zone)} == {expected}


def test_a_local_zone_with_summer_time_and_no_key_is_refused(machine: Any) -> None:
    machine("AAA-1BBB,M3.5.0,M10.5.0")
    encode(datetime(2024, 7, 1, tzinfo=tz.tzlocal()))
    with pytest.raises(UnsupportedValueError, match="set the environment variable TZ to the key"):
        encode(tz.tzlocal())


@pytest.mark.parametrize("node", [[], ["UTC", 1.5], ["UTC", "0"], [5], [5, 0], ["UTC", 0, "2024"], ["UTC", 0, 5, 0]])
def test_forged_local_zones_are_refused(node: Any) -> None:
    with pytest.raises(CodecError):
        decode_json({"$": ["dateutil.tzlocal", 1, node]})


@pytest.mark.parametrize("make", [ZoneInfo, pendulum.timezone])
def test_a_forged_key_is_compared_with_no_key_that_is_cached(make: Callable[[str], Any]) -> None:
    """As labels of a billion rows would be, one by one."""
    tag = encode(make("Europe/Paris")).to_json()["$"][0]
    labels = encode(pd.RangeIndex(10**12)).to_json()
    with pytest.raises(CorruptPayloadError):
        decode_json({"$": [tag, 1, labels]})

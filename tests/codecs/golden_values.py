"""The values behind the golden payloads: one at least for every tag."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import dateutil.tz
import geopandas as gpd
import numpy as np
import pandas as pd
import pendulum
import polars as pl
import pyarrow as pa
import pyproj
import pytz
import scipy.sparse
import test_classes
import test_libraries
import test_models
import test_pydantic_types
import test_xarray
from dateutil.relativedelta import MO
from pendulum.duration import AbsoluteDuration
from values import VALUES


def _shared(item: Any) -> dict[str, Any]:
    return {"zz": [item, item], "b": (item,)}


def _far_away() -> dt.datetime:
    """A time of tzlocal() on a machine with TZ=FAR-5:45, where its payload was written, as it is on others."""
    at = dt.datetime(2024, 7, 1, 12, tzinfo=dateutil.tz.tzlocal())
    return at if at.tzname() == "FAR" else at.replace(tzinfo=dateutil.tz.tzoffset("FAR", 20700))


def _wide_frame() -> pd.DataFrame:
    """Two wide blocks in turn, and a column of text among them."""
    data = pd.DataFrame({f"c{i}": np.arange(i, i + 3).astype(("i8", "f8")[i % 2]) for i in range(301)})
    data.insert(7, "name", pd.array(["x", None, "z"], dtype="string[python]"))
    return data.set_index(pd.date_range("2020-01-01", periods=3, freq="D", unit="ns", name="day"))


_MORE: dict[str, Callable[[], Any]] = {
    "Enum": test_classes.CLASSES["Enum"],
    "attrs class": test_classes.CLASSES["attrs class"],
    "data class": test_classes.CLASSES["data class"],
    "namedtuple": test_classes.CLASSES["namedtuple"],
    "pydantic model": test_classes.CLASSES["pydantic model"],
    "a cached value": test_classes.CLASSES["data class with a cached value"],
    "named tuple of a class made at run time": test_classes.rebuilt,
    "pydantic offset": test_pydantic_types.MADE["time at an offset"],
    "pydantic URLs": lambda: [test_pydantic_types.MADE[name]() for name in ("URL", "URL of several hosts")],
    "pydantic sizes": test_pydantic_types.MADE["sizes"],
    "pydantic address": test_pydantic_types.MADE["address with a name"],
    "local time of a machine far away": _far_away,
    "many integers": lambda: [set(range(-3000, 3000, 3)), frozenset(range(2**62, 2**62 + 1024))],
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "arrow array": lambda: pa.array([[1, None], None, []]),
    "arrow batch": lambda: pa.record_batch({"a": [1, 2], "b": ["x", None]}),
    "arrow chunks": lambda: pa.chunked_array([[1, 2], [3]]),
    "arrow field": lambda: pa.field("a", pa.decimal128(5, 2), nullable=False, metadata={"unit": "EUR"}),
    "arrow reader": lambda: pa.RecordBatchReader.from_batches(
        pa.schema({"a": pa.int64()}), [pa.record_batch({"a": [1, 2]}), pa.record_batch({"a": [3]})]
    ),
    "arrow scalar": lambda: pa.scalar({"a": 1, "b": None}),
    "arrow schema": lambda: pa.schema({"a": pa.timestamp("us", "UTC")}, metadata={"k": "v"}),
    "arrow table": lambda: pa.table({"a": [1, None], "d": pa.array(["x", "x"]).dictionary_encode()}),
    "arrow type": lambda: pa.list_(pa.struct({"a": pa.int8()})),
    "pandas wide frame": _wide_frame,
    "pandas wide frame, labels in one text": lambda: _wide_frame().rename_axis(columns="sensor"),
    "polars frame": lambda: pl.DataFrame(
        {"a": [1, None], "s": ["x", "y"], "e": pl.Series(["p", None], dtype=pl.Enum(["q", "p"]))}
    ),
    "polars series": lambda: pl.Series("n", [[1], None, []]),
    "geometry array": lambda: gpd.GeoSeries.from_wkt(["POINT (1 2)", "LINEARRING (0 0, 1 0, 1 1, 0 0)", None]).array,
    "geometry dtype": gpd.array.GeometryDtype,
    "geometry series": lambda: gpd.GeoSeries(gpd.points_from_xy([1, np.nan], [2, np.nan]), crs=2056, name="at"),
    "a shared array": lambda: _shared(np.arange(600.0)),
    "records": lambda: [
        {"id": number, "at": dt.datetime(2024, 2, 29, number % 24, tzinfo=dt.UTC), "note": None if number % 3 else "x"}
        for number in range(40)
    ],
    "records by name": lambda: {f"r{number}": {"id": number, "point": (number, -0.0)} for number in range(40)},
    "tuples of one length": lambda: [None if number == 3 else (number, f"n{number}", -0.0) for number in range(40)],
    "legs": lambda: [test_classes.Leg("\u00e4", Decimal(number) / 8, (number,)) for number in range(40)],
    "planes": lambda: [test_classes.Plane(f"HB-{number:03}") for number in range(40)],
    "points": lambda: [test_classes.Point((number, None), [b"x"]) for number in range(40)],
    "dates and None": lambda: [None if number == 7 else dt.date(2024, 2, 1 + number % 28) for number in range(40)],
    "coordinate reference system": lambda: pyproj.CRS("+proj=laea +lat_0=45"),
    **{
        f"scipy {name}": lambda name=name: getattr(scipy.sparse, name)(np.array([[0, 1.5, 0], [2.5, 0, -1.0]]))
        for form in ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")
        for name in (f"{form}_array", f"{form}_matrix")
    },
    "xarray variable": test_xarray.MADE["variable with attrs and encoding"],
    "xarray index variable": test_xarray.MADE["index variable of times"],
    "xarray levels": test_xarray.MADE["dataset_with_levels"],
    "xarray tree": test_xarray.MADE["tree"],
    "timezone with a name": lambda: dt.timezone(dt.timedelta(hours=-5), "EST"),
    "zoneinfo": lambda: ZoneInfo("Asia/Kolkata"),
    "pytz": lambda: pytz.timezone("Europe/Paris").localize(dt.datetime(2024, 7, 1)),
    "dateutil": lambda: dt.datetime(2024, 7, 1, tzinfo=dateutil.tz.gettz("Europe/Paris")),
    "dateutil weekday": lambda: MO(2),
    "pendulum date": lambda: pendulum.date(2024, 2, 29),
    "pendulum time": lambda: pendulum.time(1, 2, 3, 4),
    "pendulum interval": lambda: pendulum.interval(pendulum.date(2024, 1, 1), pendulum.date(2024, 3, 1)),
    "pendulum absolute duration": lambda: AbsoluteDuration(days=-1),
    "pendulum zone": lambda: pendulum.timezone("Europe/Paris"),
    "pendulum fixed zone": lambda: pendulum.FixedTimezone(3600),
    "numpy dtype": lambda: np.dtype([("a", ">i4"), ("b", "U3")]),
    "numpy recarray": lambda: np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "pandas dtypes": lambda: [pd.CategoricalDtype(["a"]), pd.DatetimeTZDtype("us", "UTC"), pd.Int64Dtype()],
    "pandas array": lambda: pd.array([1, None, 3], dtype="Int64"),
    "pandas sparse": lambda: pd.Series(pd.arrays.SparseArray([0.0, 0.0, 1.5])),
}


# What is not exchanged between environments: not each of them has these libraries.
APART = {
    **test_libraries.STANDARD,
    **{name: make for name, make in test_libraries.LIBRARIES.items() if name not in test_libraries.LARGE},
    "struct of msgspec": test_libraries.struct,
    "pipeline of scikit-learn": test_models.MADE["a pipeline"],
    "booster of LightGBM": test_models.lightgbm_booster,
    "booster of XGBoost": test_models.xgboost_booster,
    "ONNX model": test_models.onnx_model,
}
# What only the release of the library that wrote it reads.
ONE_RELEASE = {"pipeline of scikit-learn": ("scikit-learn", "1.9.1")}
_MORE |= APART
_LARGE = {"10,000 digits", "large array", "large frame", "many bytes"}
GOLDEN_VALUES = {name: make for name, make in (VALUES | _MORE).items() if name not in _LARGE}


def is_allowed(name: str) -> bool:
    """Which classes the payloads name."""
    return name.startswith(("test_classes.", "test_libraries.")) or name in test_models.BOOSTERS

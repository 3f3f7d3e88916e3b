"""The kit's comparison finds what ``==`` lets pass, says where, and calls nothing different from itself."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
import subprocess
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import dateutil.tz
import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import pytz
import scipy.sparse as sp
import shapely
import xarray as xr
from strategies import Flight, Leg

from airflow_xcom.codecs.testing import assert_identical, describe, difference, register_parts
from airflow_xcom.codecs.testing.identical import PARTS
from airflow_xcom.codecs.testing.strategies import NANS

Point = namedtuple("Point", "x y")  # noqa: PYI024 - as SQL hooks make them
PARIS = ZoneInfo("Europe/Paris")
NOON = dt.datetime(2024, 7, 1, 12)
HALF_PAST_TWO = dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS)
FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}, index=pd.date_range("2024", periods=2, freq="h"))


def _with(value: Any, **attributes: Any) -> Any:
    """Return a copy of which some attributes are others."""
    made = copy.copy(value)
    for name, attribute in attributes.items():
        setattr(made, name, attribute)
    return made


def _read_only(data: np.ndarray) -> np.ndarray:
    data.flags.writeable = False
    return data


def _objects(*items: Any) -> np.ndarray:
    return np.fromiter(items, object, len(items))


def _floats(bits: int) -> np.ndarray:
    return np.array([1, bits], "u8").view("f8")


def _masked(fill: int) -> Any:
    return np.ma.masked_array([1, 2], [0, 1], fill_value=fill)


def _arrow_table(**field: Any) -> pa.Table:
    return pa.table([[1.5, 2.5]], schema=pa.schema([pa.field("a", pa.float64(), **field)]))


def _categories(*labels: str, ordered: bool = False) -> pd.Categorical:
    return pd.Categorical(["a", "b"], labels, ordered=ordered)


def _zones(zone: Any) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(["2024-07-01"]).tz_localize(zone)


class Tagged(list):
    """A list that can have attributes."""


class Stop:
    """Somebody's class, which compares by identity."""

    def __init__(self, name: Any) -> None:
        self.name = name


class Slotted:
    __slots__ = ("name",)

    def __init__(self, name: Any) -> None:
        self.name = name


@attrs.define
class Keyed:
    name: Any

    @functools.cached_property
    def token(self) -> object:
        return object()


def _keyed(token: Any) -> Keyed:
    made = Keyed(1)
    made.token = token
    return made


PLANTED: dict[str, tuple[Any, Any, str]] = {
    # Python
    "int and bool": ([1], [True], "value[0]: builtins.int 1 != builtins.bool True"),
    "int and np.int64": ([1], [np.int64(1)], "value[0]: "),
    "int and float": (1, 1.0, "value: "),
    "sign of zero": (0.0, -0.0, "value: 0.0 != -0.0"),
    "payload of NaN": ([NANS[0]], [NANS[2]], "value[0]: nan != nan (bits 7ff8000000000000 != 7ff8000000000001)"),
    "sign of NaN": (NANS[0], NANS[1], "value: nan != nan"),
    "sign of zero in complex": (complex(1, 0.0), complex(1, -0.0), "value.imag: "),
    "None and NaN": ([None], [NANS[0]], "value[0]: "),
    "exponent of Decimal": (Decimal("1.0"), Decimal("1.00"), "value.digits"),
    "Fraction and int": (Fraction(2), 2, "value: "),
    "bytes and bytearray": (b"a", bytearray(b"a"), "value: "),
    "str and np.str_": ("a", np.str_("a"), "value: "),
    "tuple and list": ((1, 2), [1, 2], "value: "),
    "named tuple and tuple": (Point(1, 2), (1, 2), "value: "),
    "set and frozenset": ({1}, frozenset({1}), "value: "),
    "members of a set": ({1, 2}, {True, 2}, "value{…}: "),
    "order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "value.keys()[0]: 'a' != 'b'"),
    "type of a key": ({1: 2}, {"1": 2}, "value.keys()[0]: "),
    "OrderedDict and dict": (OrderedDict(a=1), {"a": 1}, "value: "),
    "Counter and dict": (Counter("a"), {"a": 1}, "value: "),
    "factory of a defaultdict": (defaultdict(list), defaultdict(set), "value.default_factory: "),
    "maxlen of a deque": (deque([1], 2), deque([1], 3), "value.maxlen: 2 != 3"),
    "length of a list": ([1], [1, 2], "value.__len__(): 1 != 2"),
    "attribute of a list": (Tagged(), _with(Tagged(), a=1), "value.__dict__"),
    "safety of a UUID": (uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe), uuid.UUID(int=1), "value.is_safe"),
    "attribute of an object": ({"s": Stop(1)}, {"s": Stop(True)}, "value['s'].__dict__['name']: "),
    "slot of an object": (Slotted(1), Slotted(1.0), "value.__dict__[1]['name']: "),
    "field of a data class": (Leg("a", 1), Leg("a", True), "value.cost: "),
    "field of an attrs class": (Keyed(1), Keyed(True), "value.__dict__['name']: "),
    "fields that a model was given": (Flight(), Flight(number=0), "value.__pydantic_fields_set__"),
    "arguments of a partial": (functools.partial(int, base=2), functools.partial(int, base=3), "value.__dict__"),
    # times
    "datetime and Timestamp": (NOON, pd.Timestamp(NOON), "value: "),
    "fold": (HALF_PAST_TWO, HALF_PAST_TWO.replace(fold=1), "value.fold: 0 != 1"),
    "name of a zone": (NOON.replace(tzinfo=PARIS), NOON.replace(tzinfo=ZoneInfo("Europe/Rome")), "value.tzinfo.key: "),
    "zone and offset": (
        NOON.replace(tzinfo=PARIS),
        NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "value.tzinfo: ",
    ),
    "zone of zoneinfo and pytz": (_zones(PARIS), _zones(pytz.timezone("Europe/Paris")), "value.dtype.tz: "),
    "zone of zoneinfo and dateutil": (PARIS, dateutil.tz.gettz("Europe/Paris"), "value: "),
    "offset of a pytz zone": (
        pytz.timezone("Europe/Paris"),
        pytz.timezone("Europe/Paris").localize(NOON).tzinfo,
        "value._utcoffset",
    ),
    "utc and an offset of its name": (dt.UTC, dt.timezone(dt.timedelta(0), "UTC"), "value: "),
    "unit of a Timestamp": (pd.Timestamp(0).as_unit("s"), pd.Timestamp(0).as_unit("ns"), "value.unit: "),
    # NumPy
    "dtype": (np.zeros(2, "f4"), np.zeros(2, "f8"), "value.dtype: numpy.Float32DType dtype('float32') != "),
    "byte order": (np.zeros(2, "<i4"), np.zeros(2, ">i4"), "value.dtype.str: "),
    "metadata of a dtype": (np.dtype("i4"), np.dtype("i4", metadata={"k": 1}), "value.metadata.keys()"),
    "shape": (np.zeros((1, 2)), np.zeros((2, 1)), "value.shape[0]: 1 != 2"),
    "order in memory": (np.zeros((2, 3)), np.zeros((2, 3), order="F"), "value: no longer in the order of C"),
    "read-only": (np.zeros(2), _read_only(np.zeros(2)), "value: no longer writable"),
    "payload of NaN in an array": (
        _floats(0x7FF8 << 48),
        _floats((0x7FF8 << 48) + 1),
        "value.flat[1]: np.float64(nan) != np.float64(nan) (bits)",
    ),
    "sign of zero in an array": (np.zeros(2), -np.zeros(2), "value.flat[0]: "),
    "sign of a long double": (np.zeros(2, "g"), -np.zeros(2, "g"), "value.flat[0]: "),
    "names of fields": (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")]), "value.dtype.fields[0][0]: 'a' != 'b'"),
    "record array": (np.zeros(1, [("a", "i4")]), np.zeros(1, [("a", "i4")]).view(np.recarray), "value: "),
    "fill value": (_masked(7), _masked(8), "value._fill_value"),
    "hard mask": (np.ma.array([1]), np.ma.array([1], hard_mask=True), "value.hardmask"),
    "NA, NaN and None in cells": (_objects(1, pd.NA), _objects(1, None), "value.flat[1]: "),
    "int and bool in cells": (_objects(1), _objects(True), "value.flat[0]: "),
    # pandas
    "freq": (FRAME, FRAME.set_axis(pd.DatetimeIndex(list(FRAME.index))), "value.index.freq: "),
    "name of an index": (FRAME, FRAME.rename_axis("hour"), "value.index.name: None != builtins.str 'hour'"),
    "name of the columns": (FRAME, FRAME.rename_axis(columns="c"), "value.columns.name: "),
    "order of columns": (FRAME, FRAME[["b", "a"]], "value.columns"),
    "nullable dtype": (FRAME, FRAME.astype({"a": "Float64"}), "value['a']"),
    "range and other index": (pd.RangeIndex(2), pd.Index([0, 1]), "value: "),
    "attrs": (FRAME, _with(FRAME, attrs={"unit": "m"}), "value.attrs.keys().__len__(): 0 != 1"),
    "flags": (FRAME, FRAME.set_flags(allows_duplicate_labels=False), "value.flags.allows_duplicate_labels"),
    "read-only frame": (
        pd.DataFrame(np.zeros((2, 2))),
        pd.DataFrame(_read_only(np.zeros((2, 2))), copy=False),
        "value: no longer writable",
    ),
    "storage of text": (pd.array(["a"], "string[python]"), pd.array(["a"], "string[pyarrow]"), "value: "),
    "missing value of text": (
        pd.Series(["a"], dtype=pd.StringDtype("python", np.nan)),
        pd.Series(["a"], dtype=pd.StringDtype("python", pd.NA)),
        "value.dtype.na_value: ",
    ),
    "order of categories": (_categories("a", "b"), _categories("b", "a"), "value.dtype.categories[0]: 'a' != 'b'"),
    "ordered categories": (_categories("a", "b"), _categories("a", "b", ordered=True), "value.dtype.ordered: "),
    "unused category": (_categories("a", "b"), _categories("a", "b", "c"), "value.dtype.categories"),
    "closed sides": (pd.Interval(0, 1, "left"), pd.Interval(0, 1, "right"), "value.closed: "),
    "unused level": (
        pd.MultiIndex.from_arrays([["a", "b"]])[:1],
        pd.MultiIndex.from_arrays([["a"]]),
        "value.levels[0]",
    ),
    "holidays of an offset": (
        pd.offsets.CustomBusinessDay(holidays=["2024-05-01"]),
        pd.offsets.CustomBusinessDay(holidays=["2024-05-02"]),
        "value.kwds['holidays']",
    ),
    "fill of a sparse array": (
        pd.arrays.SparseArray([0.0, 1.0], fill_value=0.0),
        pd.arrays.SparseArray([0.0, 1.0], fill_value=NANS[0]),
        "value.dtype.fill_value: ",
    ),
    # Arrow, polars
    "nullability": (_arrow_table(), _arrow_table(nullable=False), "value.schema[0].nullable: "),
    "metadata of a field": (_arrow_table(), _arrow_table(metadata={"k": "v"}), "value.schema[0].metadata: "),
    "metadata of a schema": (
        _arrow_table(),
        _arrow_table().replace_schema_metadata({"k": "v"}),
        "value.schema.metadata: ",
    ),
    "type of Arrow": (pa.array(["a"]), pa.array(["a"], pa.large_string()), "value: pyarrow.StringArray "),
    "sign of zero in a list of Arrow": (pa.array([[0.0]]), pa.array([[-0.0]]), "value[0][0]: 0.0 != -0.0"),
    "array and chunks": (pa.array([1]), pa.chunked_array([[1]]), "value: "),
    "ordered dictionary": (
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int32(), pa.string(), ordered=True),
        "value.ordered: ",
    ),
    "Categorical and String": (
        pl.Series(["a"], dtype=pl.Categorical()),
        pl.Series(["a"], dtype=pl.String()),
        "value.dtype: ",
    ),
    "categories of an Enum": (
        pl.Series(["a"], dtype=pl.Enum(["a"])),
        pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
        "value.dtype.categories",
    ),
    "unit of polars": (
        pl.Series([NOON], dtype=pl.Datetime("ms")),
        pl.Series([NOON], dtype=pl.Datetime("us")),
        "value.dtype.time_unit: 'ms' != 'us'",
    ),
    "NaN of polars": (pl.DataFrame({"a": [NANS[0]]}), pl.DataFrame({"a": [NANS[2]]}), "value['a'][0]: nan != nan"),
    # SciPy, xarray, geometries
    "array and matrix": (sp.csr_array((1, 1)), sp.csr_matrix((1, 1)), "value: "),
    "type of indices": (
        sp.csr_array((1, 1)),
        _with(sp.csr_array((1, 1)), indices=np.zeros(0, "i8")),
        "value.indices.dtype: ",
    ),
    "encoding": (xr.Variable("x", [1]), _with(xr.Variable("x", [1]), encoding={"a": 1}), "value.encoding.keys()"),
    "coordinate without an index": (
        xr.DataArray([1], {"x": [1]}, "x"),
        xr.DataArray([1], {"x": [1]}, "x").drop_indexes("x"),
        "value._coords['x']",
    ),
    "variable that is a coordinate": (
        xr.Dataset({"a": 1}),
        xr.Dataset({"a": 1}).set_coords("a"),
        "value._coord_names.__len__(): 0 != 1",
    ),
    "SRID": (
        shapely.Point(1, 2),
        shapely.set_srid(shapely.Point(1, 2), 4326),
        "value.has_z, has_m, srid[2]: 0 != 4326",
    ),
    "sign of a coordinate": (
        shapely.Point(0.0, 1),
        shapely.Point(-0.0, 1),
        "value.coords.flat[0]: np.float64(0.0) != ",
    ),
    "CRS": (gpd.GeoSeries([None], crs=4326), gpd.GeoSeries([None], crs=3857), "value.crs.srs: "),
}


def test_what_an_attrs_class_caches_is_a_part_of_it_and_is_not_computed() -> None:
    assert difference(_keyed(1), _keyed(2)) == "value.__dict__['token']: 1 != 2"
    assert difference(_keyed(1), Keyed(1)) == "value.__dict__.keys().__len__(): 2 != 1"
    assert difference(Keyed(1), Keyed(1)) is None


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found(name: str) -> None:
    expected, actual, text = PLANTED[name]
    found = difference(expected, actual)
    assert found is not None
    assert found.startswith(text), found
    deeper = difference([{"k": expected}], [{"k": actual}]) or ""
    assert deeper.startswith(text.replace("value", "value[0]['k']", 1))
    with pytest.raises(AssertionError) as raised:
        assert_identical(expected, actual)
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize("name", PLANTED)
def test_a_value_is_identical_to_itself_and_its_copy(name: str) -> None:
    for value in PLANTED[name][:2]:
        assert_identical(value, value)
        again = copy.deepcopy(value)
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            _read_only(again)
        assert difference(value, again) is None


@pytest.mark.parametrize("name", PLANTED)
def test_descriptions_differ_where_values_do(name: str) -> None:
    left, right = PLANTED[name][:2]
    one, again, other = (json.dumps(describe(value)) for value in (left, copy.deepcopy(left), right))
    assert one == again
    assert one != other


def test_many_differences_are_planted() -> None:
    assert len(PLANTED) >= 40


def test_what_is_gained_is_no_difference() -> None:
    assert difference(_read_only(np.zeros(2)), np.zeros(2)) is None
    assert difference(np.zeros((4, 4))[::2, ::2], np.zeros((2, 2))) is None


def test_sets_are_compared_in_no_order() -> None:
    assert difference({"a", 1, NANS[0], NANS[2]}, {NANS[2], 1, NANS[0], "a"}) is None
    assert difference({NANS[0]}, {NANS[2]}) is not None


def test_a_class_says_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_xcom.codecs.testing.identical.PARTS", dict(PARTS))

    class Route:
        def __init__(self, *stops: Any) -> None:
            self.stops, self.cache = stops, object()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Route) and self.stops == other.stops

        __hash__ = object.__hash__

    assert difference(Route(1), Route(True)) is None  # as its own ``==`` says
    with pytest.raises(TypeError, match="register_parts"):
        describe(Route(1))
    register_parts(Route, ["stops"])
    assert difference(Route(1), Route(True)) == "value.stops[0]: builtins.int 1 != builtins.bool True"
    assert describe(Route(1)) == describe(Route(1))
    register_parts(Route, lambda route: [("[…]", len(route.stops))])
    assert difference(Route(1), Route(1, 2)) == "value[…]: 1 != 2"


def test_what_cannot_be_compared_is_an_error_that_says_what_to_do() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        __hash__ = None

    with pytest.raises(TypeError, match=r"cannot be compared \(ambiguous\); .*register_parts\("):
        difference(Odd(), Odd())


def test_what_cannot_be_copied_is_identical_to_itself_only() -> None:
    lines = (line for line in "ab")
    assert difference(lines, lines) is None
    assert difference(lines, (line for line in "ab")) is not None


ALONE = """
import sys
import pandas as pd
from airflow_xcom.codecs.testing import assert_identical
assert_identical({"a": 1}, {"a": 1})
assert_identical(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}))
print(sorted({"hypothesis", "pytest", "polars", "scipy", "xarray", "geopandas", "shapely"} & sys.modules.keys()))
"""


def test_comparing_frames_imports_no_other_library() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_members_that_differ_by_surrogates_are_compared_each_with_itself() -> None:
    characters = [chr(code) for code in range(0x1F600, 0x1F640)]
    pairs = [f"\ud83d{chr(0xDE00 + number)}" for number in range(64)]
    members, in_other_order = {*characters, *pairs}, set(range(5000))
    in_other_order |= members
    in_other_order -= set(range(5000))
    assert list(members) != list(in_other_order)
    assert difference(members, in_other_order) is None

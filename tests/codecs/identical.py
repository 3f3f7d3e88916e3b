"""Whether a value came back as itself: stricter than ``==``, and aware of NaN.

``difference(expected, actual)`` is None when the two are the same in type and content, all the way down; otherwise a
line that says where they first differ.  What ``==`` lets pass and this does not: 1 and True and 1.0; 0.0 and -0.0; None
and NaN and NA and NaT; the order of keys; Decimal("1.0") and Decimal("1.00"); fold, time zone and unit; dtypes with
their byte order, storage and missing value; freq, names and unused levels of an index; attrs and flags.

A test file adds a type of its own with ``@compares(Type)`` (exact class first, then base classes).
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import re
import struct
import types
import zoneinfo
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Rule = Callable[[Any, Any, str], str | None]

_RULES: dict[type | str, Rule] = {}


def compares(*kinds: type | str) -> Callable[[Rule], Rule]:
    """Let the decorated function compare two objects of one of these classes (or ``"module.Class"`` names)."""

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return register


def difference(expected: Any, actual: Any, path: str = "value") -> str | None:
    """The first difference between two values, as ``"path: what differs"``; None when they are identical."""
    if type(expected) is not type(actual):
        return f"{path}: {_type_name(expected)} {_short(expected)} became {_type_name(actual)} {_short(actual)}"
    return _rule_of(type(expected))(expected, actual, path)


def assert_identical(expected: Any, actual: Any) -> None:
    """Fail with the first difference."""
    found = difference(expected, actual)
    assert found is None, found


def _rule_of(kind: type) -> Rule:
    for base in kind.__mro__:
        if rule := _RULES.get(base) or _RULES.get(f"{base.__module__}.{base.__qualname__}"):
            return rule
        if dataclasses.is_dataclass(base):
            return _dataclass
        if "__attrs_attrs__" in base.__dict__:
            return _attrs
    return _equal


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, NotImplementedError):  # pandas and NumPy: times without a unit, and of far years
        text = f"<{_type_name(value)}>"
    return text if len(text) <= 200 else text[:200] + "…"


def _changed(expected: Any, actual: Any, path: str) -> str:
    return f"{path}: {_short(expected)} became {_short(actual)}"


def _equal(expected: Any, actual: Any, path: str) -> str | None:
    if expected is actual or bool(expected == actual):
        return None
    return _changed(expected, actual, path)


def _parts(expected: Any, actual: Any, path: str, names: Iterable[str]) -> str | None:
    """Compare attributes; ``name()`` calls."""
    for name in names:
        get = (lambda owner, name=name: getattr(owner, name[:-2])()) if name.endswith("()") else None
        left, right = (get(owner) if get else getattr(owner, name) for owner in (expected, actual))
        if found := difference(left, right, f"{path}.{name}"):
            return found
    return None


def _sequence(expected: Iterable[Any], actual: Iterable[Any], path: str) -> str | None:
    left, right = list(expected), list(actual)
    if len(left) != len(right):
        return f"{path}: length {len(left)} became {len(right)}"
    for position, (one, other) in enumerate(zip(left, right, strict=True)):
        if found := difference(one, other, f"{path}[{position}]"):
            return found
    return None


def _instance_dict(expected: Any, actual: Any, path: str) -> str | None:
    return difference(getattr(expected, "__dict__", {}), getattr(actual, "__dict__", {}), f"{path}.__dict__")


# -- Python scalars ------------------------------------------------------------------------------------------


@compares(float)
def _float(expected: float, actual: float, path: str) -> str | None:
    left, right = (struct.pack(">d", number) for number in (expected, actual))
    return None if left == right else f"{path}: {expected!r} became {actual!r} ({left.hex()} became {right.hex()})"


@compares(complex)
def _complex(expected: complex, actual: complex, path: str) -> str | None:
    return _parts(expected, actual, path, ("real", "imag"))


@compares(decimal.Decimal)
def _decimal(expected: decimal.Decimal, actual: decimal.Decimal, path: str) -> str | None:
    return None if expected.as_tuple() == actual.as_tuple() else _changed(expected, actual, path)


@compares(enum.Enum, types.FunctionType, types.BuiltinFunctionType, type, types.ModuleType)
def _same_object(expected: Any, actual: Any, path: str) -> str | None:
    if isinstance(expected, enum.Flag):
        return _equal(expected, actual, path)
    return None if expected is actual else _changed(expected, actual, path)


@compares(re.Pattern)
def _pattern(expected: re.Pattern[Any], actual: re.Pattern[Any], path: str) -> str | None:
    return _parts(expected, actual, path, ("pattern", "flags"))


@compares(slice)
def _slice(expected: slice, actual: slice, path: str) -> str | None:
    return _parts(expected, actual, path, ("start", "stop", "step"))


@compares(range)
def _range(expected: range, actual: range, path: str) -> str | None:
    return _parts(expected, actual, path, ("start", "stop", "step"))


@compares(BaseException)
def _exception(expected: BaseException, actual: BaseException, path: str) -> str | None:
    return _parts(expected, actual, path, ("args",)) or _instance_dict(expected, actual, path)


# -- containers ----------------------------------------------------------------------------------------------


@compares(list, tuple)
def _list(expected: Any, actual: Any, path: str) -> str | None:
    return _sequence(expected, actual, path)


@compares(collections.deque)
def _deque(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("maxlen",)) or _sequence(expected, actual, path)


@compares(dict, types.MappingProxyType)
def _dict(expected: Any, actual: Any, path: str) -> str | None:
    if found := _sequence(expected, actual, f"{path}.keys()"):
        return found
    for key, (left, right) in zip(expected, zip(expected.values(), actual.values(), strict=True), strict=True):
        if found := difference(left, right, f"{path}[{_short(key)}]"):
            return found
    return None


@compares(collections.defaultdict)
def _defaultdict(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("default_factory",)) or _dict(expected, actual, path)


@compares(set, frozenset)
def _set(expected: Any, actual: Any, path: str) -> str | None:
    if len(expected) != len(actual):
        return _changed(expected, actual, path)
    held = {item: item for item in actual}
    try:
        pairs = [(item, held[item]) for item in expected if item in held]
        rest = [[item for item in one if item not in other] for one, other in ((expected, held), (actual, expected))]
    except TypeError:  # NA is neither equal to another value nor not
        pairs, rest = [], [list(expected), list(actual)]
    if found := _sequence([left for left, _ in pairs], [right for _, right in pairs], path):
        return found
    left, right = (sorted(items, key=_order) for items in rest)  # NaN and such
    return _sequence(left, right, path)


def _order(item: Any) -> tuple[str, str]:
    return _type_name(item), _short(item)


def _dataclass(expected: Any, actual: Any, path: str) -> str | None:
    names = [field.name for field in dataclasses.fields(expected)]
    return _parts(expected, actual, path, names) or _instance_dict(expected, actual, path)


@compares(*(f"airflow_xcom.codecs.nodes.{name}" for name in ("Buffer", "Table", "Tagged")))
def _node(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, type(expected).__slots__)


def _attrs(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, [field.name for field in type(expected).__attrs_attrs__])


@compares("pydantic.main.BaseModel")
def _pydantic(expected: Any, actual: Any, path: str) -> str | None:
    names = ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
    return _parts(expected, actual, path, names)


# -- times ---------------------------------------------------------------------------------------------------

_CLOCK = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")


@compares(dt.datetime)
def _datetime(expected: dt.datetime, actual: dt.datetime, path: str) -> str | None:
    return _parts(expected, actual, path, ("year", "month", "day", *_CLOCK))


@compares(dt.time)
def _time(expected: dt.time, actual: dt.time, path: str) -> str | None:
    return _parts(expected, actual, path, _CLOCK)


@compares(dt.timedelta)
def _timedelta(expected: dt.timedelta, actual: dt.timedelta, path: str) -> str | None:
    return _parts(expected, actual, path, ("days", "seconds", "microseconds"))


@compares("pendulum.duration.Duration")
def _duration(expected: Any, actual: Any, path: str) -> str | None:
    names = ("years", "months", "weeks", "remaining_days", "hours", "minutes", "remaining_seconds", "microseconds")
    return _parts(expected, actual, path, ("invert", *names))


@compares("pendulum.interval.Interval")
def _pendulum_interval(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("start", "end", "_absolute", "_invert"))


@compares(dt.timezone)
def _timezone(expected: dt.timezone, actual: dt.timezone, path: str) -> str | None:
    same = expected == actual and repr(expected) == repr(actual)
    return None if same else _changed(expected, actual, path)


@compares(zoneinfo.ZoneInfo)
def _zone(expected: zoneinfo.ZoneInfo, actual: zoneinfo.ZoneInfo, path: str) -> str | None:
    return _parts(expected, actual, path, ("key",))


@compares(dt.tzinfo)
def _tzinfo(expected: dt.tzinfo, actual: dt.tzinfo, path: str) -> str | None:
    same = expected is actual or (expected == actual and repr(expected) == repr(actual)) or _same_pytz(expected, actual)
    return None if same else _changed(expected, actual, path)


def _same_pytz(expected: Any, actual: Any) -> bool:
    """A pytz zone is one object for each (zone, offset, name); two loads of it need not be the same object."""
    names = ("zone", "_utcoffset", "_tzname", "_dst")
    return hasattr(expected, "zone") and all(
        getattr(expected, name, None) == getattr(actual, name, None) for name in names
    )


# -- NumPy ---------------------------------------------------------------------------------------------------


@compares(np.dtype)
def _dtype(expected: np.dtype[Any], actual: np.dtype[Any], path: str) -> str | None:
    same = expected == actual and repr(expected) == repr(actual)
    if not same:
        return _changed(expected, actual, path)
    left, right = (dict(getattr(dtype, "metadata", None) or {}) for dtype in (expected, actual))
    return difference(left, right, f"{path}.metadata")


@compares(np.busdaycalendar)
def _calendar(expected: np.busdaycalendar, actual: np.busdaycalendar, path: str) -> str | None:
    return _parts(expected, actual, path, ("weekmask", "holidays"))


@compares(np.generic)
def _numpy_scalar(expected: np.generic, actual: np.generic, path: str) -> str | None:
    return _elements(np.asarray(expected), np.asarray(actual), path)


@compares(np.ndarray)
def _ndarray(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    if found := _elements(np.asarray(expected), np.asarray(actual), path):
        return found
    for order in ("C_CONTIGUOUS", "F_CONTIGUOUS"):
        if expected.flags.forc and expected.flags[order] and not actual.flags[order]:
            return f"{path}: no longer {order}"
    if expected.flags.writeable and not actual.flags.writeable:
        return f"{path}: no longer writable"
    return None


@compares(np.ma.MaskedArray)
def _masked(expected: Any, actual: Any, path: str) -> str | None:
    if expected is np.ma.masked or actual is np.ma.masked:
        return _same_object(expected, actual, path)
    if (expected.mask is np.ma.nomask) != (actual.mask is np.ma.nomask):
        return f"{path}.mask: {_short(expected.mask)} became {_short(actual.mask)}"
    found = difference(np.ma.getdata(expected), np.ma.getdata(actual), f"{path}.data")
    return found or _parts(expected, actual, path, ("mask", "_fill_value", "hardmask"))  # fill_value would set it


def _elements(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    """dtype, shape and content; not the memory layout."""
    if found := difference(expected.dtype, actual.dtype, f"{path}.dtype"):
        return found
    if expected.shape != actual.shape:
        return f"{path}.shape: {expected.shape} became {actual.shape}"
    return _layout_rule(expected.dtype)(expected, actual, path)


def _layout_rule(dtype: np.dtype[Any]) -> Rule:
    if dtype.names is not None:
        return _fields
    if dtype.kind in "OT":
        return _objects
    return _long_doubles if dtype.char in "gG" else _bits


def _fields(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    names = expected.dtype.names or ()
    return next((d for name in names if (d := _elements(expected[name], actual[name], f"{path}[{name!r}]"))), None)


def _objects(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    return _sequence(expected.ravel().tolist(), actual.ravel().tolist(), path)


def _bits(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    if expected.tobytes() == actual.tobytes():
        return None
    at = [one.tobytes() != other.tobytes() for one, other in zip(expected.flat, actual.flat, strict=True)].index(True)
    return f"{path}.flat[{at}]: {expected.flat[at]!r} became {actual.flat[at]!r} (bits)"


def _long_doubles(expected: np.ndarray, actual: np.ndarray, path: str) -> str | None:
    """Bit for bit would compare padding bytes, which are not part of the number."""
    for part in ("real", "imag"):
        left, right = getattr(expected, part), getattr(actual, part)
        if not (np.array_equal(left, right, equal_nan=True) and np.array_equal(np.signbit(left), np.signbit(right))):
            return _changed(expected, actual, f"{path}.{part}")
    return None


# -- pandas: scalars -----------------------------------------------------------------------------------------


@compares(type(pd.NaT), type(pd.NA))
def _missing(expected: Any, actual: Any, path: str) -> str | None:
    return _same_object(expected, actual, path)


@compares(pd.Timestamp)
def _timestamp(expected: pd.Timestamp, actual: pd.Timestamp, path: str) -> str | None:
    return _parts(expected, actual, path, ("_value", "unit", "fold", "tzinfo"))


@compares(pd.Timedelta)
def _pandas_timedelta(expected: pd.Timedelta, actual: pd.Timedelta, path: str) -> str | None:
    return _parts(expected, actual, path, ("_value", "unit"))


@compares(pd.Period)
def _period(expected: pd.Period, actual: pd.Period, path: str) -> str | None:
    return _parts(expected, actual, path, ("ordinal", "freq"))


@compares(pd.Interval)
def _interval(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("closed", "left", "right"))


@compares(pd.offsets.BaseOffset)
def _offset(expected: Any, actual: Any, path: str) -> str | None:
    if expected != actual:
        return _changed(expected, actual, path)
    names = ["n", "normalize", *(name for name in type(expected)._attributes if name not in ("n", "normalize"))]
    return _parts(expected, actual, path, [name for name in names if hasattr(expected, name)])


# -- pandas: dtypes and arrays -------------------------------------------------------------------------------


@compares(pd.api.extensions.ExtensionDtype)
def _extension_dtype(expected: Any, actual: Any, path: str) -> str | None:
    names = {
        "StringDtype": ("storage", "na_value"),
        "CategoricalDtype": ("ordered", "categories"),
        "DatetimeTZDtype": ("unit", "tz"),
        "PeriodDtype": ("freq",),
        "IntervalDtype": ("closed", "subtype"),
        "ArrowDtype": ("pyarrow_dtype",),
        "SparseDtype": ("subtype", "fill_value"),
    }.get(type(expected).__name__, ("name",))
    return _parts(expected, actual, path, names)


@compares(pd.api.extensions.ExtensionArray)
def _extension_array(expected: Any, actual: Any, path: str) -> str | None:
    if found := difference(expected.dtype, actual.dtype, f"{path}.dtype"):
        return found
    return _CONTENT.get(type(expected).__name__, _sequence)(expected, actual, path)


def _mask_and_data(expected: Any, actual: Any, path: str) -> str | None:
    if found := _elements(expected._mask, actual._mask, f"{path}.mask"):
        return found
    return _elements(expected._data[~expected._mask], actual._data[~actual._mask], path)


def _ticks(expected: Any, actual: Any, path: str) -> str | None:
    freqs = (getattr(array, "freq", None) for array in (expected, actual))  # pandas 3.1 has it on the index only
    return _elements(expected.asi8, actual.asi8, path) or difference(*freqs, f"{path}.freq")


def _arrow_content(expected: Any, actual: Any, path: str) -> str | None:
    left, right = pa.chunked_array(expected._pa_array), pa.chunked_array(actual._pa_array)
    if left.equals(right):
        return None
    return _sequence(left.to_pylist(), right.to_pylist(), path)


def _sparse_content(expected: Any, actual: Any, path: str) -> str | None:
    if found := difference(expected.sp_index.to_int_index().indices, actual.sp_index.to_int_index().indices, path):
        return found
    if type(expected.sp_index) is not type(actual.sp_index):
        return _changed(expected.sp_index, actual.sp_index, f"{path}.sp_index")
    return _elements(expected.sp_values, actual.sp_values, f"{path}.sp_values")


def _numpy_content(expected: Any, actual: Any, path: str) -> str | None:
    return _elements(expected.to_numpy(), actual.to_numpy(), path)


def _categorical_content(expected: Any, actual: Any, path: str) -> str | None:
    return _elements(expected.codes, actual.codes, f"{path}.codes")


def _interval_content(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("left", "right"))


_CONTENT: dict[str, Rule] = {
    "ArrowExtensionArray": _arrow_content,
    "ArrowStringArray": _arrow_content,
    "BooleanArray": _mask_and_data,
    "Categorical": _categorical_content,
    "DatetimeArray": _ticks,
    "FloatingArray": _mask_and_data,
    "IntegerArray": _mask_and_data,
    "IntervalArray": _interval_content,
    "NumpyExtensionArray": _numpy_content,
    "PeriodArray": _ticks,
    "SparseArray": _sparse_content,
    "TimedeltaArray": _ticks,
}


# -- pandas: labels and frames -------------------------------------------------------------------------------


@compares(pd.Index)
def _index(expected: pd.Index, actual: pd.Index, path: str) -> str | None:
    found = _parts(expected, actual, path, ("names",) if isinstance(expected, pd.MultiIndex) else ("name", "dtype"))
    if found:
        return found
    if isinstance(expected, pd.RangeIndex):
        return _parts(expected, actual, path, ("start", "stop", "step"))
    if isinstance(expected, pd.MultiIndex):
        return _multi_index(expected, actual, path)
    if hasattr(expected, "freq") and (found := difference(expected.freq, actual.freq, f"{path}.freq")):
        return found
    return difference(expected.array, actual.array, path)


def _multi_index(expected: pd.MultiIndex, actual: pd.MultiIndex, path: str) -> str | None:
    for name in ("levels", "codes"):
        left, right = getattr(expected, name), getattr(actual, name)
        if len(left) != len(right):
            return f"{path}.{name}: {len(left)} became {len(right)}"
        for position, (one, other) in enumerate(zip(left, right, strict=True)):
            compare = _elements if name == "codes" else difference
            if found := compare(one, other, f"{path}.{name}[{position}]"):
                return found
    return _parts(expected, actual, path, ("sortorder",))


@compares("pandas.core.indexes.frozen.FrozenList")
def _frozen_list(expected: Any, actual: Any, path: str) -> str | None:
    return _sequence(expected, actual, path)


@compares(pd.Series)
def _series(expected: pd.Series, actual: pd.Series, path: str) -> str | None:
    found = _parts(expected, actual, path, ("name", "index", "array")) or _writable(expected, actual, path)
    return found or _labels_and_attrs(expected, actual, path)


@compares(pd.DataFrame)
def _frame(expected: pd.DataFrame, actual: pd.DataFrame, path: str) -> str | None:
    if found := _parts(expected, actual, path, ("columns", "index")):
        return found
    for position, label in enumerate(expected.columns):  # a column as pandas gives it would copy attrs
        left, right = (_column(frame, position) for frame in (expected, actual))
        if found := difference(left, right, f"{path}[{_short(label)}]"):
            return found
    return _writable(expected, actual, path) or _labels_and_attrs(expected, actual, path)


def _column(frame: pd.DataFrame, position: int) -> Any:
    values = frame._mgr.iget_values(position)
    return pd.Series(values, dtype=values.dtype, copy=False).array


def _writable(expected: Any, actual: Any, path: str) -> str | None:
    return f"{path}: no longer writable" if _is_read_only(actual) and not _is_read_only(expected) else None


def _is_read_only(data: Any) -> bool:
    """Whether a block is: pandas itself shows no column as writable, and asks the memory below when it writes."""
    for block in data._mgr.blocks:
        held = block.values  # noqa: PD011 - of a block
        parts = (held, *(getattr(held, name, None) for name in ("_ndarray", "_data", "_mask")))
        if not all(part.flags.writeable for part in parts if isinstance(part, np.ndarray)):
            return True
    return False


def _labels_and_attrs(expected: Any, actual: Any, path: str) -> str | None:
    flags = "allows_duplicate_labels"
    return difference(expected.attrs, actual.attrs, f"{path}.attrs") or _parts(
        expected.flags, actual.flags, f"{path}.flags", (flags,)
    )


# -- Arrow and polars ----------------------------------------------------------------------------------------


@compares(pa.Table, pa.RecordBatch)
def _arrow_table(expected: Any, actual: Any, path: str) -> str | None:
    if expected.num_rows != actual.num_rows:
        return _changed(expected.num_rows, actual.num_rows, f"{path}.num_rows")
    if found := difference(expected.schema, actual.schema, f"{path}.schema"):
        return found
    for position, name in enumerate(expected.schema.names):
        if found := difference(expected.column(position), actual.column(position), f"{path}[{name!r}]"):
            return found
    return None


@compares(pa.RecordBatchReader)
def _reader(expected: Any, actual: Any, where: str) -> str | None:
    """Reads both to their ends."""
    return difference(expected.read_all(), actual.read_all(), where)


@compares(pa.Array, pa.ChunkedArray)
def _arrow_array(expected: Any, actual: Any, path: str) -> str | None:
    if found := difference(expected.type, actual.type, f"{path}.type"):
        return found
    if pa.types.is_floating(expected.type):
        left, right = (_float_bits(array) for array in (expected, actual))
        return None if left.equals(right) else _changed(expected, actual, path)
    if expected.equals(actual):
        return None
    return _sequence(expected.to_pylist(), actual.to_pylist(), path)


def _float_bits(array: Any) -> Any:
    """The floats of an Arrow array as integers: every NaN has its own."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[array.type.bit_width]
    return pa.chunked_array([chunk.view(bits) for chunk in chunks], bits)


@compares(pa.Scalar)
def _arrow_scalar(expected: Any, actual: Any, path: str) -> str | None:
    return difference(pa.repeat(expected, 1), pa.repeat(actual, 1), path)


@compares(pa.Schema, pa.Field, pa.DataType)
def _arrow_schema(expected: Any, actual: Any, path: str) -> str | None:
    same = expected.equals(actual, check_metadata=True) and str(expected) == str(actual)
    return None if same else _changed(expected, actual, path)


@compares("polars.dataframe.frame.DataFrame")
def _polars_frame(expected: Any, actual: Any, path: str) -> str | None:
    if expected.shape != actual.shape:
        return _changed(expected.shape, actual.shape, f"{path}.shape")
    columns = zip(expected.get_columns(), actual.get_columns(), strict=True)
    return next(filter(None, (_polars_series(left, right, f"{path}[{left.name!r}]") for left, right in columns)), None)


@compares("polars.series.series.Series")
def _polars_series(expected: Any, actual: Any, path: str) -> str | None:
    if expected.dtype != actual.dtype or repr(expected.dtype) != repr(actual.dtype):
        return _changed(expected.dtype, actual.dtype, f"{path}.dtype")
    same = expected.name == actual.name and expected.equals(actual, check_dtypes=True, null_equal=True)
    if same and expected.dtype.is_float():
        left, right = (series.fill_null(0).to_numpy().tobytes() for series in (expected, actual))
        same = left == right
    return None if same else _changed(expected, actual, path)


# -- scipy.sparse --------------------------------------------------------------------------------------------


@compares("scipy.sparse._base._spbase")
def _sparse(expected: Any, actual: Any, path: str) -> str | None:
    """Every attribute, what it knows of its order included."""
    left, right = (dict(sorted(vars(array).items())) for array in (expected, actual))
    return difference(left, right, f"{path}.__dict__")


# -- geometries ----------------------------------------------------------------------------------------------


@compares("shapely.lib.Geometry")
def _geometry(expected: Any, actual: Any, path: str) -> str | None:
    """The same structure and SRID, and the same bits of every coordinate; ``==`` takes -0.0 for 0.0."""
    import shapely

    for part in (shapely.equals_identical, lambda *pair: len(set(map(shapely.get_srid, pair))) == 1):
        if not part(expected, actual):
            return f"{path}: {_short(expected)} became {_short(actual)}"
    left, right = (shapely.get_coordinates(one, include_z=True, include_m=True) for one in (expected, actual))
    return _elements(left, right, f"{path}.coordinates")


@compares("pyproj.crs.crs.CRS")
def _crs(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("srs", "to_json()"))


@compares("geopandas.array.GeometryArray")
def _geometry_array(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("crs",)) or _sequence(expected, actual, path)


@compares("geopandas.geodataframe.GeoDataFrame")
def _geo_frame(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("_geometry_column_name",)) or _frame(expected, actual, path)


# -- xarray --------------------------------------------------------------------------------------------------


@compares("xarray.core.variable.Variable")
def _variable(expected: Any, actual: Any, path: str) -> str | None:
    found = _parts(expected, actual, path, ("dims", "shape", "dtype", "attrs", "encoding"))
    return found or difference(expected._data, actual._data, f"{path}._data")


@compares("xarray.core.indexing.PandasIndexingAdapter")
def _adapter(expected: Any, actual: Any, path: str) -> str | None:
    names = [name for name in ("array", "dtype", "level") if hasattr(expected, name)]
    return _parts(expected, actual, path, names)


@compares("xarray.core.extension_array.PandasExtensionArray")
def _extension(expected: Any, actual: Any, path: str) -> str | None:
    return _parts(expected, actual, path, ("array",))


@compares("xarray.core.indexes.PandasIndex")
def _xarray_index(expected: Any, actual: Any, path: str) -> str | None:
    names = ("dim", "index", "coord_dtype", "level_coords_dtype")
    return _parts(expected, actual, path, [name for name in names if hasattr(expected, name)])


@compares("xarray.core.dataarray.DataArray")
def _data_array(expected: Any, actual: Any, path: str) -> str | None:
    found = _parts(expected, actual, path, ("name", "variable", "_coords", "_indexes"))
    return found or _shared_indexes(expected, actual, path)


@compares("xarray.core.dataset.Dataset")
def _dataset(expected: Any, actual: Any, path: str) -> str | None:
    found = _parts(expected, actual, path, ("attrs", "encoding", "_variables", "_coord_names", "_indexes"))
    return found or _equal(dict(expected.sizes), dict(actual.sizes), path) or _shared_indexes(expected, actual, path)


def _shared_indexes(expected: Any, actual: Any, path: str) -> str | None:
    """Which coordinates have one index together."""
    left, right = (
        [[other is index for other in owner._indexes.values()] for index in owner._indexes.values()]
        for owner in (expected, actual)
    )
    return difference(left, right, f"{path}._indexes")


@compares("xarray.core.datatree.DataTree")
def _data_tree(expected: Any, actual: Any, path: str) -> str | None:
    left, right = (
        [(node.path, node.to_dataset(inherit=False)) for node in tree.subtree] for tree in (expected, actual)
    )
    return _parts(expected, actual, path, ("name",)) or _sequence(left, right, path)

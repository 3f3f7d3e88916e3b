"""What a value is, in words that no version of a library has a say in.

``describe(value)`` is made of lists, texts and numbers: the class, its dtypes, labels, freq, zone and order, and every
number bit by bit.  It uses no ``repr`` and no name that differs between releases, so that the descriptions of a writer
and a reader with other libraries are equal exactly if the value came back as it was.  Stricter than ``identical`` it
cannot be; a class without a rule is an error, and not a gap.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

Description = Any
Rule = Callable[[Any], Description]

_RULES: dict[str, Rule] = {}
_LONG = 256  # bytes from which on a digest stands for them


def describes(*names: str) -> Callable[[Rule], Rule]:
    """Let the decorated function describe the classes of these names: the top package, and the qualified name."""

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def describe(value: Any) -> Description:
    """The description of a value.

    Raises:
        TypeError: there is no rule for its class.
    """
    for base in type(value).__mro__[:-1]:
        if rule := _RULES.get(name_of(base)) or _rule_of_kind(base):
            return rule(value)
    msg = f"no rule describes {name_of(type(value))}"
    raise TypeError(msg)


def name_of(kind: type) -> str:
    """The name of a class, whichever module of its library a release keeps it in."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _rule_of_kind(base: type) -> Rule | None:
    if dataclasses.is_dataclass(base):
        return _dataclass
    if "__attrs_attrs__" in base.__dict__:
        return _attrs
    return None


def _attributes(value: Any, *names: str) -> Description:
    return [name_of(type(value)), {name: describe(getattr(value, name)) for name in names}]


def _bytes(data: bytes) -> str:
    return data.hex() if len(data) <= _LONG else f"sha256:{hashlib.sha256(data).hexdigest()} of {len(data)}"


# -- Python --------------------------------------------------------------------------------------------------


@describes("builtins.NoneType", "builtins.bool", "builtins.str")
def _itself(value: Any) -> Description:
    return value if type(value) in (type(None), bool, str) else [name_of(type(value)), value]


@describes("builtins.int")
def _int(value: int) -> Description:
    return [name_of(type(value)), hex(value)]


@describes("builtins.float")
def _float(value: float) -> Description:
    return [name_of(type(value)), struct.pack(">d", value).hex()]


@describes("builtins.complex")
def _complex(value: complex) -> Description:
    return ["complex", _float(value.real), _float(value.imag)]


@describes("builtins.bytes", "builtins.bytearray")
def _binary(value: Any) -> Description:
    return [name_of(type(value)), _bytes(bytes(value))]


@describes("builtins.list", "builtins.tuple")
def _sequence(value: Any) -> Description:
    return [name_of(type(value)), *map(describe, value)]


@describes("builtins.set", "builtins.frozenset")
def _set(value: Any) -> Description:
    return [name_of(type(value)), *sorted(map(describe, value), key=json.dumps)]


@describes("builtins.dict", "collections.OrderedDict", "collections.Counter")
def _dict(value: Any) -> Description:
    return [name_of(type(value)), *([describe(key), describe(item)] for key, item in value.items())]


@describes("collections.defaultdict")
def _defaultdict(value: Any) -> Description:
    return [*_dict(value), describe(value.default_factory)]


@describes("collections.deque")
def _deque(value: Any) -> Description:
    return [*_sequence(value), value.maxlen]


@describes("builtins.range", "builtins.slice")
def _range(value: Any) -> Description:
    return _attributes(value, "start", "stop", "step")


@describes("builtins.type", "builtins.ABCMeta")
def _class(value: type) -> Description:
    return ["class", name_of(value)]


@describes("decimal.Decimal")
def _decimal(value: Any) -> Description:
    return ["Decimal", list(map(str, value.as_tuple()))]


@describes("fractions.Fraction", "uuid.UUID", "pathlib.PurePath", "ipaddress._IPAddressBase")
def _text(value: Any) -> Description:
    safe = getattr(value, "is_safe", None)
    return [name_of(type(value)), str(value), safe and safe.name]


@describes("enum.Enum")
def _enum(value: Any) -> Description:
    return [name_of(type(value)), value.name, describe(value.value)]


def _dataclass(value: Any) -> Description:
    return _attributes(value, *(field.name for field in dataclasses.fields(value)))


def _attrs(value: Any) -> Description:
    return _attributes(value, *(field.name for field in type(value).__attrs_attrs__))


@describes("pydantic.BaseModel")
def _pydantic(value: Any) -> Description:
    return _attributes(value, "__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")


# -- times ---------------------------------------------------------------------------------------------------

_CLOCK = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_MOMENTS = [dt.datetime(year, month, 1, 12) for year in (1970, 2024) for month in (1, 7)]


@describes("datetime.datetime")
def _datetime(value: Any) -> Description:
    return _attributes(value, "year", "month", "day", *_CLOCK)


@describes("datetime.date")
def _date(value: Any) -> Description:
    return _attributes(value, "year", "month", "day")


@describes("datetime.time")
def _time(value: Any) -> Description:
    return _attributes(value, *_CLOCK)


@describes("datetime.timedelta")
def _timedelta(value: Any) -> Description:
    return _attributes(value, "days", "seconds", "microseconds")


@describes("datetime.timezone")
def _timezone(value: Any) -> Description:
    return ["timezone", describe(value.utcoffset(None)), value.tzname(None)]


@describes("datetime.tzinfo")
def _zone(value: Any) -> Description:
    """Of zoneinfo, pytz, dateutil and pendulum: class, name, and what it does at some moments."""
    library = type(value).__module__.partition(".")[0]
    offsets = [[describe(value.utcoffset(moment)), value.tzname(moment)] for moment in _MOMENTS]
    if library == "pytz":  # makes a class of a zone, and an object of each of its offsets
        return ["pytz", value.zone, describe(getattr(value, "_tzname", None)), offsets]
    names = [str(getattr(value, name, None)) for name in ("key", "name", "_filename")[library == "dateutil" :]]
    return [name_of(type(value)), names[-1] if library == "dateutil" else names, offsets]


@describes("dateutil.weekday")
def _weekday(value: Any) -> Description:
    return _attributes(value, "weekday", "n")


@describes("pendulum.Duration")
def _duration(value: Any) -> Description:
    names = ("years", "months", "weeks", "remaining_days", "hours", "minutes", "remaining_seconds", "microseconds")
    return _attributes(value, "invert", *names)


@describes("pendulum.Interval")
def _pendulum_interval(value: Any) -> Description:
    return _attributes(value, "start", "end", "_absolute", "_invert")


# -- NumPy ---------------------------------------------------------------------------------------------------


@describes("numpy.dtype")
def describe_dtype(dtype: Any) -> Description:
    """Also of a C type, byte order, alignment, titles and metadata."""
    found: dict[str, Any] = {"str": dtype.str, "char": dtype.char, "metadata": describe(dict(dtype.metadata or {}))}
    if dtype.kind == "T":
        found |= {"coerce": dtype.coerce, "missing": [describe(dtype.na_object)] if hasattr(dtype, "na_object") else []}
    if dtype.subdtype is not None:
        found["of"] = [describe_dtype(dtype.subdtype[0]), list(dtype.subdtype[1])]
    if dtype.names is not None:
        fields = [[name, *map(describe, dtype.fields[name])] for name in dtype.names]
        found |= {"fields": fields, "size": dtype.itemsize, "aligned": dtype.isalignedstruct}
        found["record"] = dtype.type is np.record
    return found


@describes("numpy.generic")
def _numpy_scalar(value: Any) -> Description:
    return ["scalar", _elements(np.asarray(value))]


@describes("numpy.ndarray")
def _array(value: Any) -> Description:
    return [name_of(type(value)), "F" if value.flags.fnc else "C", _elements(np.asarray(value))]


@describes("numpy.MaskedArray", "numpy.ma.MaskedArray")
def _masked_array(value: Any) -> Description:
    mask = None if value.mask is np.ma.nomask else _array(value.mask)
    return ["masked", _array(np.ma.getdata(value)), mask, describe(value.fill_value), value.hardmask]


@describes("numpy.MaskedConstant")
def _masked_constant(_value: Any) -> Description:
    return ["masked"]


def _elements(array: Any) -> Description:
    return [describe_dtype(array.dtype), list(array.shape), _content(array)]


def _content(array: Any) -> Description:
    """Elements in the order of C; what lies between fields and in the padding of a long double is no part of them."""
    dtype = array.dtype
    if dtype.names is not None:
        return {name: _content(array[name]) for name in dtype.names}
    if not dtype.itemsize:
        return ""
    if dtype.kind in "OT":
        return [describe(item) for item in array.ravel().tolist()]
    data = np.ascontiguousarray(array)
    if dtype.char in "gG":
        width = np.dtype(dtype.char.lower()).itemsize
        numbers = data.astype(dtype.newbyteorder("=")).reshape(-1).view("u1").reshape(-1, width)
        return _bytes(numbers[:, :10].tobytes())
    return _bytes(data.tobytes())


# -- pandas: scalars and dtypes ------------------------------------------------------------------------------


@describes("pandas.NaTType", "pandas.NAType")
def _missing(value: Any) -> Description:
    return name_of(type(value))


@describes("pandas.Timestamp")
def _timestamp(value: Any) -> Description:
    return _attributes(value, "_value", "unit", "fold", "tzinfo")


@describes("pandas.Timedelta")
def _pandas_timedelta(value: Any) -> Description:
    return _attributes(value, "_value", "unit")


@describes("pandas.Period")
def _period(value: Any) -> Description:
    return _attributes(value, "ordinal", "freq")


@describes("pandas.Interval")
def _interval(value: Any) -> Description:
    return _attributes(value, "closed", "left", "right")


@describes("pandas.BaseOffset")
def _offset(value: Any) -> Description:
    """Defaults that one release names and another does not are left out, and the calendar is made of the rest."""
    parts = {name: part for name, part in value.kwds.items() if name != "calendar"}
    parts["holidays"] = [str(day) for day in parts.get("holidays", ())]
    usual = {"offset": dt.timedelta(), "method": 3, "holidays": []}
    said = {name: describe(part) for name, part in sorted(parts.items()) if part != usual.get(name, parts)}
    return [name_of(type(value)), value.n, value.normalize, said, _business_days(value)]


def _business_days(value: Any) -> Description:
    calendar = value.kwds.get("calendar")
    return None if calendar is None else [describe(calendar.weekmask), describe(calendar.holidays)]


@describes("pandas.ExtensionDtype")
def _extension_dtype(dtype: Any) -> Description:
    names = {
        "CategoricalDtype": ("ordered", "categories"),
        "DatetimeTZDtype": ("unit", "tz"),
        "PeriodDtype": ("freq",),
        "IntervalDtype": ("closed", "subtype"),
        "ArrowDtype": ("pyarrow_dtype",),
        "SparseDtype": ("subtype", "fill_value"),
    }
    return _attributes(dtype, *names.get(type(dtype).__name__, ("name",)))


@describes("pandas.StringDtype")
def _string_dtype(dtype: Any) -> Description:
    """Pandas 2.1 and 2.2 call the variant in Arrow with NaN a storage of its own."""
    if dtype.storage == "pyarrow_numpy":
        return ["pandas.StringDtype", "pyarrow", "nan"]
    return ["pandas.StringDtype", dtype.storage, "NA" if dtype.na_value is pd.NA else "nan"]


# -- pandas: arrays, labels and frames -----------------------------------------------------------------------


@describes("pandas.ExtensionArray")
def _extension_array(array: Any) -> Description:
    """An array by itself: before pandas 3.1, one of times may have a freq."""
    return [*_column(array), describe(getattr(array, "freq", None))]


def _column(array: Any) -> Description:
    """What stands in a column or an index, which has the freq itself."""
    return ["array", describe(array.dtype), _ARRAYS[type(array.dtype).__name__](array)]


def _mask_and_data(array: Any) -> Description:
    return [_elements(array._mask), _elements(np.where(array._mask, array._data.dtype.type(0), array._data))]


def _ticks(array: Any) -> Description:
    return _elements(array.asi8)


def _numpy_content(array: Any) -> Description:
    if array.dtype.kind in "mM" and hasattr(array, "asi8"):
        return _ticks(array)
    return _elements(array.to_numpy())


def _string_content(array: Any) -> Description:
    return [describe(item) for item in np.asarray(array, dtype=object)]


def _sparse_content(array: Any) -> Description:
    kind = name_of(type(array.sp_index))
    return [kind, _elements(array.sp_index.to_int_index().indices), _elements(np.asarray(array.sp_values))]


_ARRAYS: dict[str, Rule] = {
    **{f"{name}{size}Dtype": _mask_and_data for name in ("Int", "UInt") for size in (8, 16, 32, 64)},
    **dict.fromkeys(("Float32Dtype", "Float64Dtype", "BooleanDtype"), _mask_and_data),
    **dict.fromkeys(("DatetimeTZDtype", "PeriodDtype"), _ticks),
    "ArrowDtype": lambda array: describe(pa.chunked_array(array._pa_array)),
    "CategoricalDtype": lambda array: _elements(array.codes),
    # Before pandas 3.1 the ends may have a freq, which depends on how the intervals were made; they do not show it.
    "IntervalDtype": lambda array: [_column(array.left.array), _column(array.right.array)],
    "NumpyEADtype": _numpy_content,
    "SparseDtype": _sparse_content,
    "StringDtype": _string_content,
    # what stands in a pandas array with a dtype of NumPy
    **{type(np.dtype(code)).__name__: _numpy_content for code in np.typecodes["All"]},
    "StringDType": _numpy_content,
}


@describes("pandas.Index")
def _index(index: Any) -> Description:
    found = _attributes(index, "name", "dtype")
    return [*found, describe(getattr(index, "freq", None)), _column(index.array)]


@describes("pandas.RangeIndex")
def _range_index(index: Any) -> Description:
    return _attributes(index, "name", "start", "stop", "step")


@describes("pandas.MultiIndex")
def _multi_index(index: Any) -> Description:
    levels = [
        [describe(level), _elements(np.asarray(codes))] for level, codes in zip(index.levels, index.codes, strict=True)
    ]
    return ["pandas.MultiIndex", [describe(name) for name in index.names], levels, index.sortorder]


@describes("pandas.Series")
def _series(series: Any) -> Description:
    return ["pandas.Series", describe(series.name), describe(series.index), _column(series.array), _extras(series)]


@describes("pandas.DataFrame")
def _frame(frame: Any) -> Description:
    columns = [_column(frame.iloc[:, place].array) for place in range(frame.shape[1])]
    return ["pandas.DataFrame", describe(frame.columns), describe(frame.index), columns, _extras(frame)]


def _extras(data: Any) -> Description:
    return [describe(data.attrs), data.flags.allows_duplicate_labels]


# -- Arrow ---------------------------------------------------------------------------------------------------

_PARTS = (
    (("unit", "tz"), pa.types.is_timestamp),
    (("unit",), lambda kind: pa.types.is_time(kind) or pa.types.is_duration(kind)),
    (("precision", "scale", "bit_width"), pa.types.is_decimal),
    (("byte_width",), pa.types.is_fixed_size_binary),
    (("list_size",), pa.types.is_fixed_size_list),
    (("index_type", "value_type", "ordered"), pa.types.is_dictionary),
    (("run_end_type", "value_type"), pa.types.is_run_end_encoded),
    (("keys_sorted",), pa.types.is_map),
    (("mode", "type_codes"), pa.types.is_union),
    (("extension_name", "storage_type"), lambda kind: isinstance(kind, pa.BaseExtensionType)),
)


@describes("pyarrow.DataType")
def _arrow_type(kind: Any) -> Description:
    parts = {name: describe(getattr(kind, name)) for names, has in _PARTS if has(kind) for name in names}
    has_fields = pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind)
    fields = [describe(kind.field(place)) for place in range(kind.num_fields)] if has_fields else []
    return ["pyarrow.DataType", kind.id, parts, fields]


@describes("pyarrow.Field")
def _arrow_field(field: Any) -> Description:
    return ["pyarrow.Field", field.name, field.nullable, describe(field.type), _arrow_metadata(field.metadata or None)]


@describes("pyarrow.Schema")
def _arrow_schema(schema: Any) -> Description:
    return ["pyarrow.Schema", [describe(field) for field in schema], _arrow_metadata(schema.metadata)]


def _arrow_metadata(metadata: Any) -> Description:
    return None if metadata is None else [[key.hex(), item.hex()] for key, item in metadata.items()]


@describes("pyarrow.Table", "pyarrow.RecordBatch")
def _arrow_table(table: Any) -> Description:
    columns = [_arrow_items(column) for column in table.columns]
    return [name_of(type(table)), table.num_rows, describe(table.schema), columns]


@describes("pyarrow.RecordBatchReader")
def _arrow_reader(reader: Any) -> Description:
    return ["pyarrow.RecordBatchReader", describe(reader.read_all())]


@describes("pyarrow.Array", "pyarrow.ChunkedArray")
def _arrow_array(array: Any) -> Description:
    chunked = isinstance(array, pa.ChunkedArray)
    return ["pyarrow.ChunkedArray" if chunked else "pyarrow.Array", describe(array.type), _arrow_items(array)]


@describes("pyarrow.Scalar")
def _arrow_scalar(scalar: Any) -> Description:
    return ["pyarrow.Scalar", describe(scalar.type), _arrow_item(scalar)]


def _arrow_items(array: Any) -> Description:
    items = [_arrow_item(scalar) for scalar in array]
    text = json.dumps(items)
    return items if len(text) <= _LONG else f"{len(items)} items: {_bytes(text.encode())}"


def _arrow_item(scalar: Any) -> Description:  # noqa: PLR0911 - one for each kind
    """One element: times as counts, floats as bits."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return _arrow_item(scalar.value)
    if pa.types.is_dictionary(kind):
        return [_arrow_item(scalar.value), scalar.index.as_py() if kind.ordered else None]
    if pa.types.is_map(kind) or (hasattr(scalar, "values") and not pa.types.is_struct(kind)):
        return [_arrow_item(item) for item in scalar.values]  # noqa: PD011 - of Arrow
    if pa.types.is_struct(kind):
        return [_arrow_item(scalar[place]) for place in range(kind.num_fields)]
    if pa.types.is_union(kind):
        return [scalar.type_code, _arrow_item(scalar.value)]
    if pa.types.is_floating(kind):
        return _float(float(scalar.as_py()))
    if pa.types.is_temporal(kind) and hasattr(scalar, "value") and not pa.types.is_interval(kind):
        return describe(scalar.value)
    return describe(scalar.as_py())


@describes("pyarrow.MonthDayNano")
def _month_day_nano(value: Any) -> Description:
    return ["MonthDayNano", *value]


# -- polars --------------------------------------------------------------------------------------------------


@describes("polars.DataFrame")
def _polars_frame(frame: Any) -> Description:
    return ["polars.DataFrame", list(frame.shape), [describe(column) for column in frame.get_columns()]]


@describes("polars.Series")
def _polars_series(series: Any) -> Description:
    import polars as pl

    plain = series.to_physical() if series.dtype.is_temporal() else series
    data = None
    if series.dtype.is_float():
        data = _bytes(series.cast(pl.Float64).fill_null(0).to_numpy().tobytes())
    return ["polars.Series", series.name, _polars_dtype(series.dtype), describe(plain.to_list()), data]


def _polars_dtype(dtype: Any) -> Description:
    """Before polars 1.32 a Categorical said how it sorts; since then all sort alike, and have names."""
    parts = {}
    if isinstance(dtype, type):  # as polars 1.20 has it for dtypes without parts
        return ["polars", dtype.__name__, parts]
    for name in ("time_unit", "time_zone", "precision", "scale", "shape"):
        if hasattr(dtype, name):
            parts[name] = describe(getattr(dtype, name))
    if type(dtype).__name__ == "Enum":
        parts["categories"] = dtype.categories.to_list()
    elif type(dtype).__name__ == "Categorical":
        kind = getattr(dtype, "categories", None)
        parts["categories"] = [kind.name(), kind.namespace(), str(kind.physical())] if kind else ["", "", "UInt32"]
    if hasattr(dtype, "inner"):
        parts["inner"] = _polars_dtype(dtype.inner)
    if hasattr(dtype, "fields"):
        parts["fields"] = [[field.name, _polars_dtype(field.dtype)] for field in dtype.fields]
    return ["polars", type(dtype).__name__, parts]


# -- SciPy ---------------------------------------------------------------------------------------------------


@describes("scipy._spbase")
def _sparse_array(array: Any) -> Description:
    names = ("_has_sorted_indices", "_has_canonical_format", "has_canonical_format")
    known = {name: bool(vars(array)[name]) for name in names if name in vars(array)}
    parts = ("data", "indices", "indptr", "coords", "offsets") if array.format not in ("lil", "dok") else ("_dict",)
    found = {name: describe(getattr(array, name)) for name in parts if hasattr(array, name)}
    if array.format == "lil":
        found = {"rows": describe(array.rows.tolist()), "data": describe(array.data.tolist())}
    return [name_of(type(array)), list(array.shape), describe(array.dtype), array.maxprint, known, found]


# -- xarray --------------------------------------------------------------------------------------------------


@describes("xarray.Variable")
def _variable(variable: Any) -> Description:
    return _attributes(variable, "dims", "_data", "attrs", "encoding")


@describes("xarray.PandasIndexingAdapter")
def _adapter(data: Any) -> Description:
    return [*_attributes(data, "array", "dtype"), describe(getattr(data, "level", None))]


@describes("xarray.PandasExtensionArray")
def _wrapped(data: Any) -> Description:
    return ["xarray.PandasExtensionArray", _column(data.array)]


@describes("xarray.DataArray")
def _labelled_array(array: Any) -> Description:
    coords = [[describe(name), describe(coordinate.variable)] for name, coordinate in array.coords.items()]
    return [*_attributes(array, "name", "variable"), coords, _array_indexes(array)]


@describes("xarray.Dataset")
def _dataset(dataset: Any) -> Description:
    variables = [[describe(name), describe(variable)] for name, variable in dataset.variables.items()]
    return [*_attributes(dataset, "_coord_names", "attrs", "encoding"), variables, _array_indexes(dataset)]


@describes("xarray.DataTree")
def _tree(tree: Any) -> Description:
    return [
        "xarray.DataTree",
        tree.name,
        [[node.path, describe(node.to_dataset(inherit=False))] for node in tree.subtree],
    ]


def _array_indexes(data: Any) -> Description:
    """With the place of the first that is the same object."""
    indexes = list(data._indexes.items())
    firsts = [next(place for place, (_, known) in enumerate(indexes) if known is index) for _, index in indexes]
    return [[describe(name), first, describe(index)] for first, (name, index) in zip(firsts, indexes, strict=True)]


@describes("xarray.PandasIndex")
def _pandas_index(index: Any) -> Description:
    return _attributes(index, "dim", "index", "coord_dtype")


@describes("xarray.PandasMultiIndex")
def _pandas_multi_index(index: Any) -> Description:
    return _attributes(index, "dim", "index", "level_coords_dtype")


# -- geopandas, shapely, pyproj ------------------------------------------------------------------------------


@describes("geopandas.GeoDataFrame")
def _geo_frame(frame: Any) -> Description:
    return ["geopandas.GeoDataFrame", describe(frame._geometry_column_name), _frame(frame)]


@describes("geopandas.GeoSeries")
def _geo_series(series: Any) -> Description:
    return ["geopandas.GeoSeries", _series(series)]


def _geometries(array: Any) -> Description:
    return [describe(array.crs), [describe(geometry) for geometry in np.asarray(array, dtype=object)]]


_ARRAYS["GeometryDtype"] = _geometries


@describes("shapely.BaseGeometry")
def _geometry(geometry: Any) -> Description:
    """Down to the coordinates, which no reader of WKB has touched."""
    import shapely

    found = [name_of(type(geometry)), geometry.has_z, bool(shapely.has_m(geometry)), int(shapely.get_srid(geometry))]
    if hasattr(geometry, "geoms"):
        return [*found, [_geometry(part) for part in geometry.geoms]]
    if hasattr(geometry, "exterior"):
        return [*found, [_geometry(ring) for ring in (geometry.exterior, *geometry.interiors)]]
    coordinates = shapely.get_coordinates(geometry, include_z=found[1], include_m=found[2])
    return [*found, list(coordinates.shape), _bytes(coordinates.tobytes())]


@describes("pyproj.CRS")
def _crs(crs: Any) -> Description:
    return _attributes(crs, "srs")

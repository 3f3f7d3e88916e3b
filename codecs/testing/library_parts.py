"""What the values of the other libraries are made of; none but NumPy is imported before one of its values is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from airflow_xcom.codecs.testing.arrow_parts import ArrowItems
from airflow_xcom.codecs.testing.identical import PARTS, Kept, Leaf, Parts, TakeApart, attributes, digest, shorten

# -- NumPy ---------------------------------------------------------------------------------------------------


class Bits(Leaf):
    """The bytes of an array, in the order of C."""

    def __init__(self, array: np.ndarray[Any, Any], shown: np.ndarray[Any, Any] | None = None) -> None:
        self.array = array
        self.shown = array if shown is None else shown

    def difference(self, other: Bits, path: str) -> str | None:
        """Return the first element whose bits differ."""
        if self.array.tobytes() == other.array.tobytes():
            return None
        width = self.array.nbytes // self.shown.size
        left, right = (one.array.tobytes() for one in (self, other))
        at = next(
            i for i in range(self.shown.size) if left[i * width : (i + 1) * width] != right[i * width : (i + 1) * width]
        )
        return f"{path}.flat[{at}]: {shorten(self.shown.flat[at])} != {shorten(other.shown.flat[at])} (bits)"

    def describe(self) -> Any:
        """Return the bytes in hexadecimal."""
        return digest(self.array.tobytes())


class Elements:
    """dtype, shape and content of an array, without its layout in memory."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __repr__(self) -> str:
        return repr(self.array)


def _elements(elements: Elements) -> Iterator[tuple[str, Any]]:
    array = elements.array
    yield from attributes("dtype", "shape")(array)
    if array.dtype.names is not None:  # what lies between fields is no part of the value
        yield from ((f"[{name!r}]", Elements(array[name])) for name in array.dtype.names)
    elif array.dtype.kind in "OT":
        yield ".flat", array.ravel().tolist()
    elif array.dtype.char in "gG":
        yield "", _long_doubles(array)
    elif array.dtype.itemsize:
        yield "", Bits(array)


def _long_doubles(array: np.ndarray[Any, Any]) -> Bits:
    """Return their bits without those that pad an 80-bit number."""
    width = np.dtype(np.longdouble).itemsize
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(-1)
    held = 10 if np.finfo(np.longdouble).nmant == 63 else width  # noqa: PLR2004 - bits of x86's fraction
    return Bits(native.view(np.uint8).reshape(-1, width)[:, :held], native)


def _ndarray(array: np.ndarray[Any, Any]) -> Parts:
    flags = array.flags
    orders = [Kept("in the order of C", holds=flags.c_contiguous), Kept("in Fortran's order", holds=flags.f_contiguous)]
    return [("", Elements(array)), *(("", order) for order in orders), ("", Kept("writable", holds=flags.writeable))]


def _masked(array: Any) -> Parts:
    mask = None if array.mask is np.ma.nomask else array.mask
    return [(".data", np.ma.getdata(array)), (".mask", mask), *attributes("_fill_value", "hardmask")(array)]


def _dtype(dtype: Any) -> Iterator[tuple[str, Any]]:
    yield from attributes("str", "char")(dtype)
    yield ".metadata", dict(dtype.metadata or {})
    if dtype.kind == "T":
        yield ".coerce", dtype.coerce
        yield ".na_object", [dtype.na_object] if hasattr(dtype, "na_object") else []
    yield ".subdtype", dtype.subdtype
    yield ".fields", [(name, *dtype.fields[name]) for name in dtype.names or ()]
    yield from attributes("itemsize", "isalignedstruct")(dtype)
    yield ".type", dtype.type.__name__ == "record"


PARTS |= {
    "airflow_xcom.Elements": _elements,
    "numpy.ndarray": _ndarray,
    "numpy.generic": lambda scalar: [("", Elements(scalar))],
    "numpy.MaskedArray": _masked,
    "numpy.MaskedConstant": lambda _constant: [],
    "numpy.dtype": _dtype,
    "numpy.busdaycalendar": attributes("weekmask", "holidays"),
}

# -- pandas --------------------------------------------------------------------------------------------------


def _offset(offset: Any) -> Parts:
    words = sorted((name, part) for name, part in offset.kwds.items() if name != "calendar")
    calendar = offset.kwds.get("calendar")
    return [*attributes("n", "normalize")(offset), (".kwds", dict(words)), (".calendar", calendar)]


def _with_dtype(content: TakeApart) -> TakeApart:
    return lambda array: [(".dtype", array.dtype), *content(array)]


def _mask_and_data(array: Any) -> Parts:
    data = array._data[~array._mask]  # noqa: SLF001 - what is masked has no value
    return [(".mask", Elements(array._mask)), (".data", Elements(data))]  # noqa: SLF001


def _sparse_array(array: Any) -> Parts:
    places = array.sp_index.to_int_index().indices
    kind = (".sp_index", type(array.sp_index))
    return [kind, (".indices", Elements(places)), (".sp_values", Elements(array.sp_values))]


def _index(index: Any) -> Parts:
    freq = getattr(index, "freq", None)
    return [*attributes("name", "dtype")(index), (".freq", freq), ("", index.array)]


def _multi_index(index: Any) -> Parts:
    codes = [Elements(codes) for codes in index.codes]
    return [
        (".names", list(index.names)),
        (".levels", list(index.levels)),
        (".codes", codes),
        (".sortorder", index.sortorder),
    ]


def _frame(frame: Any) -> Iterator[tuple[str, Any]]:
    yield from attributes("columns", "index")(frame)
    manager: Any = frame._mgr  # noqa: SLF001 - a column as pandas gives it would copy attrs
    for position, label in enumerate(frame.columns):
        values = manager.iget_values(position)
        yield f"[{shorten(label)}]", Elements(values) if hasattr(values, "flags") else values
    yield from _extras(frame)


def _extras(data: Any) -> Parts:
    writable = Kept("writable", holds=all(map(_is_writable, data._mgr.blocks)))  # noqa: SLF001
    return [
        ("", writable),
        (".attrs", data.attrs),
        (".flags.allows_duplicate_labels", data.flags.allows_duplicate_labels),
    ]


def _is_writable(block: Any) -> bool:
    """Return whether the memory of a block is: pandas itself shows no column as writable."""
    held = block.values
    parts = (held, *(getattr(held, name, None) for name in ("_ndarray", "_data", "_mask")))
    return all(part.flags.writeable for part in parts if hasattr(part, "flags"))


PARTS |= {
    "pandas.NaTType": lambda _missing: [],
    "pandas.NAType": lambda _missing: [],
    "pandas.Timestamp": attributes("_value", "unit", "fold", "tzinfo"),
    "pandas.Timedelta": attributes("_value", "unit"),
    "pandas.Period": attributes("ordinal", "freq"),
    "pandas.Interval": attributes("closed", "left", "right"),
    "pandas.BaseOffset": _offset,
    "pandas.ExtensionDtype": attributes("name"),
    "pandas.StringDtype": attributes("storage", "na_value"),
    "pandas.CategoricalDtype": attributes("ordered", "categories"),
    "pandas.DatetimeTZDtype": attributes("unit", "tz"),
    "pandas.PeriodDtype": attributes("freq"),
    "pandas.IntervalDtype": attributes("closed", "subtype"),
    "pandas.ArrowDtype": attributes("pyarrow_dtype"),
    "pandas.SparseDtype": attributes("subtype", "fill_value"),
    "pandas.NumpyEADtype": attributes("numpy_dtype"),
    "pandas.ExtensionArray": _with_dtype(lambda array: [("", list(array))]),
    "pandas.BaseMaskedArray": _with_dtype(_mask_and_data),
    "pandas.DatetimeLikeArrayMixin": _with_dtype(
        lambda array: [
            (".asi8", Elements(array.asi8)),
            (".freq", getattr(array, "freq", None)),
        ]  # pandas 3.1: of indexes only
    ),
    "pandas.ArrowExtensionArray": _with_dtype(lambda array: [("", ArrowItems(array._pa_array))]),  # noqa: SLF001
    "pandas.Categorical": _with_dtype(lambda array: [(".codes", Elements(array.codes))]),
    "pandas.IntervalArray": _with_dtype(attributes("left", "right")),
    "pandas.NumpyExtensionArray": _with_dtype(lambda array: [("", Elements(array))]),
    "pandas.SparseArray": _with_dtype(_sparse_array),
    "pandas.Index": _index,
    "pandas.RangeIndex": attributes("name", "start", "stop", "step"),
    "pandas.MultiIndex": _multi_index,
    "pandas.Series": lambda series: [*attributes("name", "index")(series), ("", series.array), *_extras(series)],
    "pandas.DataFrame": _frame,
    "geopandas.GeometryArray": lambda array: [(".crs", array.crs), ("", list(array))],
    "geopandas.GeoDataFrame": lambda frame: [*attributes("_geometry_column_name")(frame), *_frame(frame)],
}

# -- SciPy, xarray, geometries -------------------------------------------------------------------------------


def _sparse(array: Any) -> Iterator[tuple[str, Any]]:
    yield from attributes("shape", "dtype", "maxprint")(array)
    parts = {"lil": ("rows", "data"), "dok": ("_dict",)}
    for name in parts.get(array.format, ("data", "indices", "indptr", "coords", "offsets")):
        yield f".{name}", getattr(array, name, None)
    for name in ("_has_sorted_indices", "_has_canonical_format", "has_canonical_format"):
        yield f".{name}", vars(array).get(name)


def _labelled(*names: str) -> TakeApart:
    def take_apart(owner: Any) -> Parts:
        indexes = list(owner._indexes.values())  # noqa: SLF001
        shared = [[other is index for other in indexes] for index in indexes]
        return [*attributes(*names, "_indexes")(owner), ("._indexes", shared)]

    return take_apart


def _geometry(geometry: Any) -> Iterator[tuple[str, Any]]:
    """Take a geometry apart down to its coordinates; ``==`` takes 0.0 for -0.0."""
    import shapely

    facts = [geometry.has_z, bool(shapely.has_m(geometry)), int(shapely.get_srid(geometry))]
    yield ".has_z, has_m, srid", facts
    if hasattr(geometry, "geoms"):
        yield ".geoms", list(geometry.geoms)
    elif hasattr(geometry, "exterior"):
        yield ".rings", [geometry.exterior, *geometry.interiors]
    else:
        yield ".coords", Elements(shapely.get_coordinates(geometry, include_z=facts[0], include_m=facts[1]))


PARTS |= {
    "scipy._spbase": _sparse,
    "xarray.Variable": attributes("dims", "shape", "dtype", "attrs", "encoding", "_data"),
    "xarray.PandasIndexingAdapter": lambda data: [
        (f".{name}", getattr(data, name, None)) for name in ("array", "dtype", "level")
    ],
    "xarray.PandasExtensionArray": attributes("array"),
    "xarray.PandasIndex": attributes("dim", "index", "coord_dtype"),
    "xarray.PandasMultiIndex": attributes("dim", "index", "level_coords_dtype"),
    "xarray.DataArray": _labelled("name", "variable", "_coords"),
    "xarray.Dataset": _labelled("attrs", "encoding", "_variables", "_coord_names"),
    "xarray.DataTree": lambda tree: [
        (".name", tree.name),
        *((node.path, node.to_dataset(inherit=False)) for node in tree.subtree),
    ],
    "shapely.Geometry": _geometry,
    "pyproj.CRS": lambda crs: [(".srs", crs.srs), (".to_json()", crs.to_json())],
    **dict.fromkeys(
        ("pydantic._BaseUrl", "pydantic._BaseMultiHostUrl", "pydantic_core.Url", "pydantic_core.MultiHostUrl"),
        lambda url: [("", str(url))],
    ),
    "pydantic.NameEmail": attributes("name", "email"),
    "pydantic.ByteSize": lambda size: [("", int(size)), (".__dict__", vars(size))],
    "pydantic_core.TzInfo": lambda zone: [(".utcoffset()", zone.utcoffset(None))],
}

# -- what libraries return -----------------------------------------------------------------------------------


def _image(image: Any) -> Parts:
    image.load()
    palette = image.palette and [image.palette.mode, bytes(image.im.getpalette(image.palette.mode, image.palette.mode))]
    return [*attributes("mode", "size", "info")(image), (".palette", palette), ("", image.tobytes())]


def _rule(rule: Any) -> Parts:
    caches = ("_cache", "_cache_complete", "_cache_gen", "_cache_lock", "_len")
    is_cached = (".cache", rule._cache is not None)  # noqa: SLF001
    return [is_cached, *((f".{name}", part) for name, part in sorted(vars(rule).items()) if name not in caches)]


PARTS |= {
    "lightgbm.Booster": lambda booster: [
        ("", booster.model_to_string(num_iteration=-1)),
        *((f".{name}", part) for name, part in vars(booster).items() if name != "_handle"),
    ],
    "numpy.RandomState": lambda random: [("", random.get_state(legacy=False))],
    "onnx.ModelProto": lambda model: [("", model.SerializeToString(deterministic=True))],
    "xgboost.Booster": lambda booster: [("", bytes(booster.save_raw("ubj"))), ("", booster.save_config())],
    "PIL.Image": _image,
    "bs4.NavigableString": lambda text: [("", str(text))],
    "bs4.AttributeValueWithCharsetSubstitution": lambda text: [("", str(text)), (".__dict__", vars(text))],
    "bs4.NamespacedAttribute": lambda text: [("", str(text)), (".__dict__", vars(text))],
    "cftime.datetime": attributes(
        *("year", "month", "day", "hour", "minute", "second", "microsecond", "calendar", "has_year_zero")
    ),
    "dateutil.relativedelta": lambda delta: [(".__dict__", dict(sorted(vars(delta).items())))],
    "dateutil.rrulebase": _rule,
    "email.Message": attributes("_headers", "_payload", "_unixfrom", "preamble", "epilogue", "_default_type"),
    "http.HTTPMessage": attributes("_headers", "_payload", "_unixfrom", "preamble", "epilogue", "_default_type"),
    "google.Row": attributes("_xxx_values", "_xxx_field_to_index"),
    "httpx.Headers": attributes("_list", "encoding"),
    "msgspec.Struct": lambda value: [
        *attributes(*value.__struct_fields__)(value),
        (".__dict__", getattr(value, "__dict__", None)),
    ],
    "networkx.Graph": lambda graph: [
        (f".{name}", getattr(graph, name, None)) for name in ("graph", "_node", "_adj", "_pred")
    ],
    "pint.PlainQuantity": lambda value: [(".magnitude", value._magnitude), (".units", dict(value._units))],  # noqa: SLF001
    "pint.PlainUnit": lambda unit: [(".units", dict(unit._units))],  # noqa: SLF001
    "plotly.BaseFigure": lambda figure: [
        *attributes("_data", "_layout", "_grid_str", "_grid_ref")(figure),
        (".frames", [frame._props for frame in figure.frames]),  # noqa: SLF001
        ("._px_trendlines", vars(figure).get("_px_trendlines")),
    ],
    "psycopg.Range": attributes("_lower", "_upper", "_bounds"),
    "psycopg2.Range": attributes("_lower", "_upper", "_bounds"),
    "psycopg2.DictRow": lambda row: [("", list.copy(row)), ("._index", row._index)],  # noqa: SLF001
    "requests.CaseInsensitiveDict": attributes("_store"),
    "sortedcontainers.SortedDict": lambda value: [("[:]", list(map(list, value.items()))), (".key", value.key)],
    "sortedcontainers.SortedList": lambda items: [("", list(items)), (".key", items.key)],
    "sortedcontainers.SortedSet": lambda items: [("", list(items)), (".key", items.key)],
    "sqlalchemy.BaseRow": lambda row: [(".keys", [str(key) for key in row._parent.keys]), ("", tuple(row._data))],  # noqa: SLF001
    "sqlalchemy.quoted_name": lambda name: [("", str(name)), (".quote", name.quote)],
    "sqlite3.Row": lambda row: [(".keys()", row.keys()), ("", tuple(row))],
    "time.struct_time": lambda record: [("", record.__reduce__())],
    "os.stat_result": lambda record: [("", record.__reduce__())],
}

"""Values that libraries return: subclasses of Python's own types, rows and headers, fixed offsets, documents, ranges.

They come back as their own classes. What they only refer to does not come with them: the tree that a text of
BeautifulSoup was parsed from, or the statement that a row of SQLAlchemy was selected by, whose columns are known by
their names alone, as after SQLAlchemy's own serialization.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

from airflow_xcom.codecs.builtin.kinds import Kind, attributes_of, codec_of, library, pairs_of, text_codec, unpacked
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_int, as_list, as_text
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.quoting import module_of

# -- text, int, and mappings ---------------------------------------------------------------------------------


def _text(cls: Any, parts: Any) -> Any:
    return cls(as_text(parts))


def _listed(cls: Any, parts: Any) -> Any:
    return cls(as_list(parts))


def _bytes(node: Any) -> bytes:
    return bytes(memoryview(node))  # bytes(n) would make n zeros


def _of_pairs(cls: Any, parts: Any) -> Any:
    return cls([(key, item) for key, item in as_list(parts)])


def _filled(cls: Any, parts: Any) -> Any:
    """Return a dict of a class whose ``__setitem__`` converts what it gets."""
    made = cls()
    dict.update(made, as_dict(parts))
    return made


_NAVIGABLE = (
    *("NavigableString", "Comment", "CData", "Doctype", "Declaration", "ProcessingInstruction", "Stylesheet"),
    *("XMLProcessingInstruction", "Script", "TemplateString", "RubyTextString", "RubyParenthesisString"),
)
# Texts that remember what they were made of, and what of it.
_REMEMBERING = {
    **dict.fromkeys(("CharsetMetaAttributeValue", "ContentMetaAttributeValue"), ("original_value",)),
    "NamespacedAttribute": ("prefix", "name", "namespace"),
}


def _take_remembering(value: Any) -> list[Any]:
    return [str(value), *(getattr(value, name) for name in _REMEMBERING[type(value).__name__])]


def _make_remembering(cls: Any, parts: Any) -> Any:
    text, *memory = as_list(parts)
    made = str.__new__(cls, as_text(text))  # the class itself would search the text for a charset
    for name, part in zip(_REMEMBERING[cls.__name__], memory, strict=True):
        setattr(made, name, part if part is None else as_text(part))
    return made


_LINKS = ("hidden", "parent", "next_element", "next_sibling", "previous_element", "previous_sibling")
_SOUP: tuple[Kind, ...] = (
    *((f"bs4.element.{name}", str, _text) for name in _NAVIGABLE),
    ("bs4.element.AttributeValueList", list, _listed),
    *((f"bs4.element.{name}", _take_remembering, _make_remembering) for name in _REMEMBERING),
    *((f"bs4.element.{name}AttributeDict", dict, _filled) for name in ("", "HTML", "XML")),
)


def _take_headers(value: Any) -> list[Any]:
    # The encoding is asked for, as whatever shows the headers does, and sets it then.
    return [value.encoding, [[key, item] for key, _, item in value._list]]  # noqa: SLF001 - as they were given


def _make_headers(cls: Any, parts: Any) -> Any:
    encoding, items = parts
    return cls([(_bytes(key), _bytes(item)) for key, item in as_list(items)], encoding=encoding)


def _take_url(value: Any) -> str:
    if type(value)(str(value))._uri_reference != value._uri_reference:  # noqa: SLF001
        raise UnsupportedValueError("httpx does not make this URL again from its text; return str(value)")
    return str(value)


# -- results of SciPy and scikit-learn -----------------------------------------------------------------------

_DEPRECATED = "_deprecated_key_to_warnings"  # of a Bunch, since scikit-learn 1.2


def _updated(cls: Any, parts: Any) -> Any:
    """Return a dict of a class whose ``__init__`` takes other arguments."""
    made = cls.__new__(cls)
    dict.update(made, as_dict(parts))
    return made


def _make_bunch(cls: Any, parts: Any) -> Any:
    items, warnings = parts
    made = _updated(cls, items)
    if warnings is not None:
        vars(made)[_DEPRECATED] = as_dict(warnings)
    return made


def _take_result(value: Any) -> dict[str, Any]:
    refuse_other_attributes(value, ())  # setting one sets an item
    if not _are_names(value):
        raise UnsupportedValueError("SciPy cannot show a result whose keys are not all texts; return dict(value)")
    return dict(value)


def _make_result(cls: Any, parts: Any) -> Any:
    if not _are_names(as_dict(parts)):
        raise ValueError("a key of the result is no text")
    return _updated(cls, parts)


def _are_names(keys: Any) -> bool:
    return all(type(key) is str for key in keys)


def _take_inverse_hessian(value: Any) -> list[Any]:
    parts = [value.sk, value.yk, value.rho]
    if not _are_steps(*parts) or repr([value.n_corrs, value.shape, value.dtype]) != repr(_facts_of(value.sk)):
        msg = "SciPy does not make this LbfgsInvHessProduct again; return value.todense(), or (value.sk, value.yk)"
        raise UnsupportedValueError(msg)
    return parts


def _facts_of(steps: Any) -> list[Any]:
    count, length = steps.shape
    return [count, (length, length), library("numpy", "scipy.result").dtype("f8")]


def _are_steps(steps: Any, changes: Any, rho: Any) -> bool:
    """Return whether a product has these arrays: otherwise, SciPy may make a large array of an empty one."""
    array = library("numpy", "scipy.result").ndarray
    if any(type(part) is not array or part.dtype.kind != "f" for part in (steps, changes, rho)):
        return False
    return bool(steps.ndim == 2 and steps.shape == changes.shape and rho.shape == steps.shape[:1])  # noqa: PLR2004


def _make_inverse_hessian(cls: Any, parts: Any) -> Any:
    steps, changes, rho = parts
    if not _are_steps(steps, changes, rho):
        raise ValueError("the arrays of the product do not belong together")
    with library("numpy", "scipy.result").errstate(all="ignore"):  # where a step and its change are orthogonal
        made = cls(steps, changes)
    made.rho = rho  # another processor may round it otherwise
    return made


_RESULTS = (
    *("_lib._util._RichResult", "optimize._optimize.OptimizeResult", "optimize._zeros_py.RootResults"),
    "integrate._ivp.ivp.OdeResult",
)

# -- sorted containers ---------------------------------------------------------------------------------------

_BOUND = (
    *("bisect", "bisect_key", "bisect_key_left", "bisect_key_right", "bisect_left", "bisect_right", "count", "index"),
    *("irange", "irange_key", "isdisjoint", "islice", "issubset", "issuperset", "peekitem"),
)


def _unkeyed(take: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if value.key is not None:
            msg = f"a {type(value).__name__} sorts by a function, which is code; return list(value) or dict(value)"
            raise UnsupportedValueError(msg)
        return take(value)

    return checked


_SORTED: tuple[Kind, ...] = (
    ("sortedcontainers.sorteddict.SortedDict", _unkeyed(pairs_of), _of_pairs),
    *((f"sortedcontainers.{name.lower()}.{name}", _unkeyed(list), _listed) for name in ("SortedList", "SortedSet")),
)

# -- rows ----------------------------------------------------------------------------------------------------


def _take_row(value: Any) -> list[Any]:
    keys = [str(key) for key in value._parent.keys]  # noqa: SLF001 - what SQLAlchemy itself serializes
    if len(set(keys)) < len(keys):
        msg = f"several columns of the row have one name, {keys}; give them labels, or return tuple(row)"
        raise UnsupportedValueError(msg)
    return [keys, list(value._data)]  # noqa: SLF001


def _make_row(cls: Any, parts: Any) -> Any:
    keys, data = parts
    parent = _metadata(tuple(map(as_text, as_list(keys))))
    if len(as_list(data)) != len(keys):
        raise ValueError(f"{len(data)} values for {len(keys)} columns")
    made = cls.__new__(cls)
    style = getattr(cls, "_default_key_style", 0)  # before SQLAlchemy 2
    made.__setstate__({"_parent": parent, "_data": tuple(data), "_key_style": style})
    return made


@lru_cache(maxsize=64)
def _metadata(keys: tuple[str, ...]) -> Any:
    return library("sqlalchemy.engine.result", "sqlalchemy.value").SimpleResultMetaData(keys)


def _take_field_row(value: Any) -> list[Any]:
    items = [value[at] for at in range(len(value))]  # values() would copy each, of which no place is found
    return [items, dict(value._xxx_field_to_index)]  # noqa: SLF001 - keys() would lose the places


def _make_field_row(cls: Any, parts: Any) -> Any:
    items, places = parts
    return cls(tuple(as_list(items)), as_dict(places))


def _make_dict_row(cls: Any, parts: Any) -> Any:
    items, places = parts
    made = cls.__new__(cls)
    list.extend(made, as_list(items))
    made._index = OrderedDict(as_dict(places))  # noqa: SLF001
    return made


# -- ranges and fixed offsets --------------------------------------------------------------------------------

_ENDS = attributes_of("_lower", "_upper", "_bounds")
_OF = ("", "Int4", "Int8", "Numeric", "Date", "Timestamp", "Timestamptz")


def _make_range(cls: Any, parts: Any) -> Any:
    lower, upper, bounds = parts
    return cls(empty=True) if not bounds else cls(lower, upper, as_text(bounds))


def _take_json(value: Any) -> Any:
    if value.dumps is not None:
        raise UnsupportedValueError(f"the {type(value).__name__} has a function dumps, which is code; return value.obj")
    return value.obj


def _take_offset(value: Any) -> list[Any]:
    return [value.utcoffset(None), value.tzname(None)]


# -- documents of MongoDB ------------------------------------------------------------------------------------


def _make_bson_offset(cls: Any, parts: Any) -> Any:
    made, utc = unpacked(cls, parts), library("bson.tz_util", "bson.value").utc
    return utc if _take_offset(made) == _take_offset(utc) else made


_BSON: tuple[Kind, ...] = (
    ("bson.objectid.ObjectId", lambda value: value.binary, lambda cls, parts: cls(_bytes(parts))),
    ("bson.decimal128.Decimal128", lambda value: value.bid, lambda cls, parts: cls.from_bid(_bytes(parts))),
    ("bson.int64.Int64", int, lambda cls, parts: cls(as_int(parts))),
    ("bson.datetime_ms.DatetimeMS", int, lambda cls, parts: cls(as_int(parts))),
    (
        "bson.binary.Binary",
        lambda value: [bytes(value), value.subtype],
        lambda cls, parts: cls(_bytes(parts[0]), parts[1]),
    ),
    ("bson.timestamp.Timestamp", attributes_of("time", "inc"), unpacked),
    ("bson.regex.Regex", attributes_of("pattern", "flags"), unpacked),
    ("bson.code.Code", lambda value: [str(value), value.scope], unpacked),
    ("bson.dbref.DBRef", attributes_of("collection", "id", "database", "_DBRef__kwargs"), unpacked),
    ("bson.son.SON", pairs_of, _of_pairs),
    *(
        (f"bson.{module}.{name}", lambda _value: None, lambda cls, _parts: cls())
        for module, name in (("min_key", "MinKey"), ("max_key", "MaxKey"))
    ),
    ("bson.tz_util.FixedOffset", _take_offset, _make_bson_offset),
)

# -- times of other calendars ----------------------------------------------------------------------------------

_CLOCK = ("year", "month", "day", "hour", "minute", "second", "microsecond", "calendar", "has_year_zero")
_CALENDARS = ("360Day", "AllLeap", "Gregorian", "Julian", "NoLeap", "ProlepticGregorian")


def _make_moment(cls: Any, parts: Any) -> Any:
    *clock, calendar, has_year_zero = as_list(parts)
    clock = [as_int(part) for part in clock]
    options = {} if cls.__name__ != "datetime" else {"calendar": as_text(calendar)}
    return cls(*clock, has_year_zero=has_year_zero, **options)


def _make_moments(cls: Any, parts: Any) -> Any:
    name, moments = parts
    return cls(library("numpy", "xarray.index").array(as_list(moments), dtype=object), name=name)


# -- paths of fsspec -----------------------------------------------------------------------------------------


def _is_upath(cls: type) -> bool:
    return module_of(cls).startswith("upath.") and any(base.__name__ == "_UPathMixin" for base in cls.__mro__)


def _take_upath(value: Any) -> list[str]:
    node = [value.protocol, str(value)]
    if value.storage_options:
        msg = "the options of the path may hold credentials, which are not stored; return str(value)"
        raise UnsupportedValueError(msg)
    if not _comes_back(value, node):
        msg = f"universal_pathlib does not make this {type(value).__name__} again from its text; return str(value)"
        raise UnsupportedValueError(msg)
    return node


def _comes_back(value: Any, node: list[str]) -> bool:
    try:
        return type(_make_upath(node, 1)) is type(value)
    except ValueError:
        return False


def _make_upath(node: Any, _version: int) -> Any:
    protocol, text = node
    made = library("upath", "upath.UPath").UPath(as_text(text), protocol=as_text(protocol) or None)
    if str(made) != text or made.protocol != protocol:
        raise ValueError(f"universal_pathlib makes {str(made)!r} of {text!r}")
    return made


def _codecs() -> Iterator[Codec[Any]]:
    quoted = ("sqlalchemy.sql.elements.quoted_name", lambda value: [str(value), value.quote], unpacked)
    rows = ((f"sqlalchemy.engine.row.{name}", _take_row, _make_row) for name in ("Row", "RowMapping"))
    yield codec_of("sqlalchemy.value", [quoted, *rows])
    yield codec_of(
        "bigquery.Row", [("google.cloud.bigquery.table.Row", _take_field_row, _make_field_row)], attributes=()
    )
    yield codec_of("markupsafe.Markup", [("markupsafe.Markup", str, _text)], attributes=())
    yield codec_of("bs4.value", _SOUP, attributes={*_LINKS, *chain.from_iterable(_REMEMBERING.values())})
    yield codec_of("sortedcontainers.value", _SORTED, attributes=("_", *_BOUND))
    headers = ("requests.structures.CaseInsensitiveDict", pairs_of, _of_pairs)
    yield codec_of("requests.headers", [headers], attributes=("_store",))
    kinds: list[Kind] = [("httpx.Headers", _take_headers, _make_headers), ("httpx.URL", _take_url, _text)]
    yield codec_of("httpx.value", kinds, attributes=("_",))
    bunch = ("sklearn.utils._bunch.Bunch", lambda bunch: [dict(bunch), vars(bunch).get(_DEPRECATED)], _make_bunch)
    yield codec_of("sklearn.Bunch", [bunch], attributes=(_DEPRECATED,))
    path = "scipy.optimize._lbfgsb_py.LbfgsInvHessProduct"
    kinds = [(f"scipy.{name}", _take_result, _make_result) for name in _RESULTS]
    kinds.append((path, _take_inverse_hessian, _make_inverse_hessian))
    yield codec_of("scipy.result", kinds, attributes=("sk", "yk", "rho", "n_corrs", "dtype", "shape"))
    kinds = [(f"psycopg.types.range.{name}Range", _ENDS, _make_range) for name in _OF]
    kinds += [(f"psycopg.types.multirange.{name}Multirange", list, _listed) for name in _OF]
    kinds += [(f"psycopg.types.json.{name}", _take_json, lambda cls, parts: cls(parts)) for name in ("Json", "Jsonb")]
    yield codec_of("psycopg.value", kinds, attributes=("_",))
    names = ("NumericRange", "DateRange", "DateTimeRange", "DateTimeTZRange")
    kinds = [(f"psycopg2._range.{name}", _ENDS, _make_range) for name in names]
    kinds += [
        ("psycopg2.extras.RealDictRow", pairs_of, _of_pairs),
        ("psycopg2.extras.DictRow", lambda row: [list.copy(row), dict(row._index)], _make_dict_row),  # noqa: SLF001
        ("psycopg2.tz.FixedOffsetTimezone", attributes_of("_offset", "_name"), unpacked),
    ]
    yield codec_of("psycopg2.value", kinds, attributes=("_",))
    yield codec_of("bson.value", _BSON, attributes=("_",))
    unset = ("msgspec.UnsetType", lambda _value: None, lambda _cls, _parts: library("msgspec", "msgspec").UNSET)
    yield codec_of("msgspec.value", [unset])
    moments = ("datetime", *(f"Datetime{name}" for name in _CALENDARS))
    yield codec_of(
        "cftime.datetime", [(f"cftime._cftime.{name}", attributes_of(*_CLOCK), _make_moment) for name in moments]
    )
    index = ("xarray.coding.cftimeindex.CFTimeIndex", lambda index: [index.name, list(index)], _make_moments)
    yield codec_of("xarray.index", [index], attributes=("_",))
    yield text_codec("upath.UPath", (), _take_upath, _make_upath, matches=_is_upath)


CODECS = tuple(_codecs())

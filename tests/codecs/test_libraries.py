"""What libraries return comes back as it was: subclasses of Python's types, rows, documents, graphs, pictures.

The libraries are imported where a value is made: each of them may be missing where payloads of old releases are read.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import email.message
import email.policy
import http
import http.client
import importlib
import inspect
import io
import ipaddress
import os
import re
import signal
import socket
import sqlite3
import time
import urllib.parse
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from dateutil import relativedelta, rrule

from airflow_xcom.codecs import (
    CodecError,
    CorruptPayloadError,
    EncodeError,
    UnsupportedTypeError,
    UnsupportedValueError,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import assert_identical, check_codec


def _from(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _message() -> Any:
    made = email.message.Message()
    made["Subject"], made["To"] = "Hello", "a@example.org"
    part = email.message.Message()
    part.set_payload("text")
    made.attach(part)
    return made


def _headers() -> Any:
    return http.client.parse_headers(io.BytesIO(b"Content-Type: text/html\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"))


STANDARD: dict[str, Callable[[], Any]] = {
    "patterns": lambda: [
        re.compile("a+b", re.IGNORECASE | re.MULTILINE),
        re.compile(rb"\d"),
        re.compile("(?x) [é-ü] # c"),
        re.compile(""),
    ],
    "Ellipsis": lambda: {"at": (..., 1), ...: 2},
    "struct_time": lambda: [time.gmtime(0), time.struct_time((2024, 2, 30, 25, 0, 0, 0, 1, -1))],
    "results of os": lambda: [
        *(os.stat_result(range(10)), os.terminal_size((80, 24)), os.times_result((1.5, 2, 3, 4, 5))),
        *(os.uname_result("abcde"), os.stat_result(range(10), {"st_atime": 0.5, "st_blksize": 512})),
    ],
    "calendar week": lambda: dt.date(2024, 12, 30).isocalendar(),
    "row of SQLite": lambda: _sqlite('SELECT 1 AS "a ""b""", NULL AS [ü], x\'00ff\' AS "", 2.5 AS n'),
    "row of SQLite with the same name twice": lambda: _sqlite("SELECT 1 AS a, 'x' AS a"),
    "message": _message,
    "headers of http.client": _headers,
    "HTTPStatus": lambda: [http.HTTPStatus.OK, {http.HTTPStatus.NOT_FOUND: http.HTTPMethod.GET}],
    "other enumerations": lambda: [
        signal.SIGTERM,
        socket.AF_INET,
        re.IGNORECASE,
        re.IGNORECASE | re.MULTILINE,
        inspect.Parameter.VAR_KEYWORD,
    ],
    "urlparse": lambda: urllib.parse.urlparse("https://u:p@example.org:1/x;y?z=1#é"),
    "urlsplit": lambda: [urllib.parse.urlsplit("//h/p"), urllib.parse.urlsplit(b"//h"), urllib.parse.urldefrag("a#b")],
    "named tuple of decimal": lambda: decimal.Decimal("-1.10").as_tuple(),
}


def _sqlite(query: str) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    return connection.execute(query).fetchone()


PAGE = "<html><title>A title</title><p class='a b' id=c>x<!-- note --></p></html>"


def _soup(pick: Callable[[Any], Any], text: str = PAGE) -> Any:
    return pick(_from("bs4", "BeautifulSoup")(text, "html.parser"))


def _selected(pick: Callable[[Any], Any], query: str = "SELECT 1 AS id, 'x' AS name, NULL AS note") -> Any:
    sqlalchemy = importlib.import_module("sqlalchemy")
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return pick(connection.execute(sqlalchemy.text(query)))


def _document() -> Any:
    bson = importlib.import_module("bson")
    return {
        "_id": bson.ObjectId("6b0a448906ac70df4102de8f"),
        "price": bson.Decimal128("1.10"),
        "count": bson.Int64(2**40),
        "at": dt.datetime(2024, 1, 1, 12, 30, tzinfo=bson.tz_util.utc),
        "data": bson.Binary(b"\0\xff", 128),
        "stamp": bson.Timestamp(5, 2),
        "pattern": bson.Regex("a.b", "im"),
        "code": [bson.Code("f()"), bson.Code("g(x)", {"x": 1})],
        "reference": bson.DBRef("c", 1, "d", x=2),
        "ends": [bson.MinKey(), bson.MaxKey(), bson.DatetimeMS(-(2**50))],
        "sorted": bson.SON([("b", 1), ("a", bson.SON())]),
    }


def _pulled_document() -> Any:
    bson = importlib.import_module("bson")
    document = {name: part for name, part in _document().items() if name != "ends"}
    return bson.decode(bson.encode(document), _from("bson.codec_options", "CodecOptions")(tz_aware=True))


def _dict_row() -> Any:
    made = _from("psycopg2.extras", "DictRow").__new__(_from("psycopg2.extras", "DictRow"))
    made.__setstate__(([1, "x"], OrderedDict(id=0, name=1)))
    return made


def _postgres() -> list[Any]:
    numbers, times, json = (
        importlib.import_module(f"psycopg.types.{name}") for name in ("range", "multirange", "json")
    )
    ranges = [numbers.Range(1, 5), numbers.Range(empty=True), numbers.Range(None, decimal.Decimal("1.5"), "(]")]
    ranges.append(numbers.DateRange(dt.date(2024, 1, 1), None))
    return [ranges, times.Multirange(ranges[:1]), times.Int4Multirange(), json.Jsonb({"a": [1]}), json.Json(None)]


def _older_postgres() -> list[Any]:
    extras = importlib.import_module("psycopg2.extras")
    zone = _from("psycopg2.tz", "FixedOffsetTimezone")
    made = [
        extras.RealDictRow([("id", 1), ("name", "x")]),
        _dict_row(),
        extras.NumericRange(1, 2),
        extras.DateRange(empty=True),
    ]
    return [*made, dt.datetime(2024, 1, 1, tzinfo=zone(offset=dt.timedelta(minutes=-90), name="x")), zone()]


def _graph(name: str) -> Any:
    networkx = importlib.import_module("networkx")
    graph = getattr(networkx, name)(title="g")
    graph.add_nodes_from(["c", ("a", 1), 3], colour="red")
    graph.add_edge(3, "c", weight=0.5)
    graph.add_edge(("a", 1), "c", at=dt.date(2024, 1, 1))
    graph.add_edge("c", 3, weight=1)
    graph.add_edge(3, 3)
    return graph if len(graph.nodes) and len(graph.edges) and len(graph.adj) else None  # these views are cached


def _picture(mode: str, **options: Any) -> Any:
    image = importlib.import_module("PIL.Image")
    made = image.new("RGB", (33, 70), (200, 10, 60))
    made.paste((1, 2, 3), (0, 0, 9, 9))
    made = made.convert(mode, **options)
    made.info["dpi"] = (72, 72)
    return made


def _figures() -> list[Any]:
    go, express = importlib.import_module("plotly.graph_objects"), importlib.import_module("plotly.express")
    grid = _from("plotly.subplots", "make_subplots")(rows=1, cols=2, specs=[[None, {"type": "polar"}]])
    animated = go.Figure([go.Bar(y=np.arange(3))], {"title": "T"}, [go.Frame(data=[go.Bar(y=[1])], name="f")])
    return [express.scatter(x=[1, 2], y=[3.5, 4], title="S"), grid, animated, go.Figure()]


def _quantities() -> list[Any]:
    pint = importlib.import_module("pint")
    registry = pint.get_application_registry()
    made = [registry.Quantity(3, "degC"), registry.Quantity(np.array([1.5, 2]), "m/s**0.5"), registry.Unit("km/h")]
    return [*made, pint.Quantity(decimal.Decimal("1.1"), "kilogram"), pint.Unit("m"), registry.Quantity(5)]


def _moments() -> list[Any]:
    cftime = importlib.import_module("cftime")
    made = [cftime.datetime(2000, 2, 30, 1, 2, 3, 4, calendar="360_day"), cftime.DatetimeNoLeap(1, 1, 1)]
    made += [cftime.DatetimeGregorian(-5, 1, 1), cftime.datetime(0, 1, 1, calendar="standard", has_year_zero=True)]
    return [*made, cftime.datetime(1, 2, 3, calendar="")]


def _calendar_of_a_model() -> Any:
    importlib.import_module("cftime")
    times = xr.date_range("2000-02-28", periods=3, calendar="noleap", use_cftime=True)
    return xr.Dataset({"t": ("time", [1.5, 2, 3])}, {"time": times})


def _results() -> list[Any]:
    optimize, array = importlib.import_module("scipy.optimize"), np.array([[1.0, 2.0]])
    inverse = optimize.LbfgsInvHessProduct(array, array + 2)
    inner = optimize.OptimizeResult(x=array, success=True, hess_inv=inverse)
    made = [
        inner,
        optimize.RootResults(1.5, 3, 4, 0, "brentq"),
        optimize.OptimizeResult({"lowest": inner, "other": None}),
    ]
    kinds = [("scipy.integrate._ivp.ivp", "OdeResult"), ("scipy._lib._util", "_RichResult")]
    return [*made, *(_from(*kind)(t=array[0], sol=None, message="done") for kind in kinds)]


def _bunch() -> Any:
    bunch = _from("sklearn.utils", "Bunch")
    made = bunch(data=np.arange(6.0).reshape(3, 2), frame=None, keys=["a"], inner=bunch())
    made._set_deprecated(1, new_key="new", deprecated_key="old", warning_message="say new")
    return made


DTYPES = [
    *(pl.Int64(), pl.Int64, pl.Datetime("ms", "UTC"), pl.Datetime, pl.Duration("ns"), pl.Decimal(10, 2), pl.String()),
    *(pl.List(pl.List(pl.Int8)), pl.Array(pl.Int8, (2, 3)), pl.Struct({"a": pl.Date, "b": pl.Enum(["x", "y"])})),
    *(pl.Categorical(), pl.Null(), pl.List, pl.Object()),
]
SCHEMA: Any = {"a": pl.Int64, "b": pl.List(pl.Float32())}

LIBRARIES: dict[str, Callable[[], Any]] = {
    "quoted names": lambda: [_from("sqlalchemy.sql", "quoted_name")("Name", quote) for quote in (None, True, False)],
    "markup": lambda: _from("markupsafe", "Markup")("<b>é</b>"),
    "texts of BeautifulSoup": lambda: _soup(lambda soup: [*soup.p.contents, soup.title.string]),
    "attributes of BeautifulSoup": lambda: _soup(lambda soup: [soup.p.attrs, soup.p["class"]]),
    "charsets of BeautifulSoup": lambda: (
        _soup(
            lambda soup: [tag.attrs for tag in soup.find_all("meta")],
            "<meta charset=utf8><meta content='text/html; charset=latin1'><meta content='no charset; charset=' name=x>",
        )
        + [
            _from("bs4.element", "NamespacedAttribute")(*parts)
            for parts in (("xml", "lang", "http://x"), ("xmlns",), ("", "a"))
        ]
    ),
    "row of SQLAlchemy": lambda: _selected(lambda result: result.first()),
    "rows of SQLAlchemy": lambda: _selected(lambda result: result.all(), "SELECT 1 AS a UNION SELECT 2"),
    "row mapping of SQLAlchemy": lambda: _selected(lambda result: result.mappings().first()),
    "row of BigQuery": lambda: _from("google.cloud.bigquery", "Row")((1, "x", None), {"id": 0, "name": 1, "note": 2}),
    "results of SciPy": _results,
    "t-test of SciPy": lambda: _from("scipy.stats._stats_py", "TtestResult")(
        *(np.float64(-1.25), np.float64(0.28)),
        df=np.float64(4.0),
        alternative=0,
        standard_error=np.float64(1.5),
        estimate=np.float64(-1.875),
    ),
    "bunch of scikit-learn": _bunch,
    "sorted dict": lambda: _from("sortedcontainers", "SortedDict")(b=1, a=[2]),
    "sorted list and set": lambda: [_from("sortedcontainers", f"Sorted{name}")([3, 1, 2]) for name in ("List", "Set")],
    "headers of requests": lambda: _from("requests.structures", "CaseInsensitiveDict")(
        [("Content-Type", "x"), ("ETag", "1")]
    ),
    "headers of httpx": lambda: _from("httpx", "Headers")([("Set-Cookie", "a"), ("set-cookie", "é")], encoding="utf-8"),
    "URL of httpx": lambda: _from("httpx", "URL")("https://ex%C3%A4mple.org/a b?q=é#f"),
    "document of MongoDB": _pulled_document,
    "values of bson": _document,
    "ranges of psycopg": _postgres,
    "rows and ranges of psycopg2": _older_postgres,
    "relative durations": lambda: [
        relativedelta.relativedelta(months=14, days=-1.5, weekday=relativedelta.MO(-1), hour=0),
        relativedelta.relativedelta(dt.date(2024, 3, 31), dt.date(2023, 1, 1)),
        relativedelta.relativedelta(yearday=60),
        relativedelta.relativedelta(),
    ],
    "recurrence rule": lambda: rrule.rrule(
        rrule.MONTHLY, dt.datetime(2024, 1, 31), 2, count=5, byweekday=(rrule.MO(1), rrule.FR), cache=True
    ),
    "recurrence rule from text": lambda: rrule.rrulestr("DTSTART:20240101T120000\nRRULE:FREQ=DAILY;BYHOUR=1,2;COUNT=3"),
    "set of recurrence rules": lambda: rrule.rrulestr(
        "DTSTART:20240101T120000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240102T120000\nRDATE:20250102T120000"
    ),
    "graph": lambda: _graph("Graph"),
    "directed graph": lambda: _graph("DiGraph"),
    "graph with several edges": lambda: _graph("MultiGraph"),
    "directed graph with several edges": lambda: _graph("MultiDiGraph"),
    "graph of 2,000 nodes": lambda: importlib.import_module("networkx").cycle_graph(2000),
    **{
        f"image {mode}": lambda mode=mode: _picture(mode)
        for mode in ("1", "L", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F")
    },
    "image with a palette": lambda: _picture("P", palette=1, colors=7),
    "image with a transparent palette": lambda: _picture("RGBA").convert("P", palette=1),
    "image without pixels": lambda: _from("PIL.Image", "new")("L", (0, 5)),
    "figure": lambda: _from("plotly.graph_objects", "Figure")({"data": [{"type": "bar", "y": [1, 2]}]}).update_layout(
        title="T", template=None
    ),
    "figures": _figures,
    "quantities": _quantities,
    "times of other calendars": _moments,
    "index of times of a calendar": lambda: _calendar_of_a_model().indexes["time"],
    "dataset with times of a calendar": _calendar_of_a_model,
    "paths of fsspec": lambda: [
        _from("upath", "UPath")(text) for text in ("s3://bucket/a b/ü", "/tmp/x", "memory://a", "https://a/b?c")
    ],
    "dtypes of polars": lambda: DTYPES,
    "schema of polars": lambda: pl.Schema(SCHEMA),
    "schema of a frame": lambda: pl.DataFrame({"a": [1], "b": [[1.5]]}).schema,
    "arrays of ml_dtypes": lambda: [
        np.array([[1.5, -0.0, np.nan]]).astype(_from("ml_dtypes", name))
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
    ],
    "small integers": lambda: np.arange(5000).astype(_from("ml_dtypes", "int4")),
    "scalars of ml_dtypes": lambda: [_from("ml_dtypes", "bfloat16")(1.5), np.dtype(_from("ml_dtypes", "uint4"))],
    "what msgspec leaves unset": lambda: [importlib.import_module("msgspec").UNSET],
}
LARGE = {
    "graph of 2,000 nodes",
    "figures",
    "small integers",
    "schema of a frame",
    *(f"image {mode}" for mode in ("YCbCr", "I", "F")),
}
MADE = STANDARD | LIBRARIES


@lru_cache
def _structs() -> dict[str, Any]:
    """Return structs of msgspec, which is not everywhere; Airflow's allow-list would name their classes."""
    msgspec = importlib.import_module("msgspec")
    fields = [("port", str), ("calls", list[Any], msgspec.field(default_factory=list)), ("draft", Any, msgspec.UNSET)]
    frozen: dict[str, Any] = {"frozen": True, "kw_only": True, "tag": True}
    made = {
        "Ship": msgspec.defstruct("Ship", fields, module=__name__),
        "Port": msgspec.defstruct("Port", [("name", str)], module=__name__, dict=True, namespace={"cached": _cached()}),
        "Berth": msgspec.defstruct("Berth", fields, module=__name__, **frozen),
        "Late": msgspec.defstruct("Late", fields, module=__name__, namespace={"__post_init__": _post_init}),
    }
    made["Strict"] = msgspec.defstruct(
        "Strict", [("port", str)], module=__name__, namespace={"__post_init__": len}, **frozen
    )
    globals().update(made)
    return made


def _cached() -> Any:
    made: Any = cached_property(lambda _port: object.__hash__(object()))
    made.__set_name__(None, "cached")
    return made


def _post_init(late: Any) -> None:
    if late.port == "none":
        raise ValueError
    late.calls.append("made")


def struct() -> Any:
    """Return a struct with a struct in it."""
    made = _structs()
    return made["Ship"]("Hamburg", [made["Berth"](port="Kiel", draft=7.5)])


@pytest.mark.parametrize("name", MADE)
def test_values(name: str) -> None:
    value = MADE[name]()
    check_codec(None, [value])


# -- classes of the standard library, and structs ------------------------------------------------------------


def test_enumerations_of_the_standard_library_need_nobodys_leave() -> None:
    registry_allows = registry._allows
    registry.allow_classes(lambda _name: False)
    try:
        for name in ("HTTPStatus", "other enumerations", "urlparse", "urlsplit", "named tuple of decimal"):
            check_codec(None, [STANDARD[name]()])
    finally:
        registry.allow_classes(registry_allows)


@pytest.mark.parametrize(
    "name",
    [
        "this:anything",
        "antigravity:x",
        "http.server:HTTPServer",
        "os:PathLike",
        "http:this",
        "urllib.parse:re.RegexFlag",
    ],
)
def test_other_names_of_the_standard_library_do(name: str) -> None:
    with pytest.raises(CodecError):
        decode_json({"$": ["class.enum", 1, [name, "OK"]]})


@pytest.fixture
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith(f"{__name__}."))
    yield
    registry.allow_classes(before)


@pytest.mark.usefixtures("_allowed")
def test_structs_of_msgspec() -> None:
    made = _structs()
    port = made["Port"]("Bremen")
    late = made["Late"]("Emden")
    check_codec("class.msgspec", [struct(), port, late, made["Ship"]("x", [1, (2,)])])
    assert port.cached == port.cached
    check_codec("class.msgspec", [port])
    assert late.calls == ["made"]
    port.note = 1
    with pytest.raises(EncodeError, match="'note'.* make it a field"):
        encode(port)
    late.port = "none"  # which __post_init__ would refuse
    frozen = decode_json({"$": ["class.msgspec", 1, [f"{__name__}:Strict", {"port": "none"}]]})
    with pytest.raises(TypeError):
        made["Strict"](port="none")
    check_codec("class.msgspec", [late, frozen])
    with pytest.raises(CodecError, match="has the fields"):
        decode_json({"$": ["class.msgspec", 1, [f"{__name__}:Ship", {"port": "x"}]]})


def test_structs_that_nobody_allowed_are_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="Ship"):
        encode(struct())


def test_a_named_tuple_made_at_run_time_may_have_been_copied() -> None:
    row = namedtuple("Row", "id")(1)  # noqa: PYI024 - as SQL hooks make them
    copy.copy(row)  # notes the slots in the class
    assert encode(row).tag == "class.rebuilt"


# -- what is not exact is refused ----------------------------------------------------------------------------


def _frozen() -> Any:
    networkx = importlib.import_module("networkx")
    return networkx.freeze(networkx.path_graph(3))


def _attributed(value: Any) -> Any:
    value.note = 1
    return value


def _opened() -> Any:
    file = io.BytesIO()
    _picture("RGB").save(file, "PNG")
    return _from("PIL.Image", "open")(file)


def _in_cmyk() -> Any:
    image = _from("PIL.Image", "new")("P", (1, 1))
    image.putpalette(bytes(4), "CMYK")
    return image


def _without_its_palette() -> Any:
    image = _picture("P", palette=1, colors=7)
    image.load()
    image.palette = None
    return image


def _with_exif() -> Any:
    image = _picture("RGB")
    image.getexif()
    return image


def _invalid_figure() -> Any:
    go = importlib.import_module("plotly.graph_objects")
    figure = go.Figure(go.Bar(y=[1]))
    figure._data[0]["y"] = "text"
    return figure


def _changed_rule() -> Any:
    rule = rrule.rrule(rrule.DAILY, dt.datetime(2024, 1, 1))
    rule._byhour = (5,)
    return rule


def _product(**attributes: Any) -> Any:
    steps = np.array([[1.0, 2.0]])
    made = _from("scipy.optimize", "LbfgsInvHessProduct")(steps, steps)
    vars(made).update(attributes)
    return made


def _result_with_attribute() -> Any:
    result = _from("scipy.optimize", "OptimizeResult")(x=1)
    vars(result)["shape"] = 5
    return result


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "columns of one name": (lambda: _selected(lambda r: r.first(), "SELECT 1 AS a, 2 AS a"), r"return tuple\(row\)"),
    "a result": (lambda: _selected(lambda r: r), r"value\.mappings\(\)"),
    "a tag": (lambda: _soup(lambda soup: soup.p), r"return str\(value\)"),
    "tags": (lambda: _soup(lambda soup: soup.find_all("p")), r"return \[str\(element\) for element in value\]"),
    "a sorted dict with a key": (lambda: _from("sortedcontainers", "SortedDict")(abs, {1: 2}), r"return list\(value\)"),
    "a sorted list with a key": (lambda: _from("sortedcontainers", "SortedList")([1], abs), r"return list\(value\)"),
    "Jsonb with dumps": (lambda: _from("psycopg.types.json", "Jsonb")(1, str), r"return value\.obj"),
    "a response of requests": (_from("requests", "Response"), r"return value\.json\(\)"),
    "a response of httpx": (lambda: _from("httpx", "Response")(200, json={}), r"return value\.json\(\)"),
    "an e-mail": (email.message.EmailMessage, r"return value\.as_bytes\(\)"),
    "a message with a policy": (lambda: email.message.Message(email.policy.SMTP), r"return value\.as_bytes\(\)"),
    "a frozen graph": (_frozen, r"return networkx\.Graph\(value\)"),
    "a view of a graph": (lambda: _graph("DiGraph").subgraph(["c"]), r"return networkx\.DiGraph\(value\)"),
    "an image of a file": (_opened, r"return value\.copy\(\)"),
    "an image whose EXIF was read": (_with_exif, r"return value\.copy\(\)"),
    "an image of another mode": (lambda: _from("PIL.Image", "new")("I;16B", (1, 1)), r"return value\.convert"),
    "an image with a palette of another mode": (
        _in_cmyk,
        r"return value\.convert",
    ),
    "an image that has colours and no palette": (_without_its_palette, r"return value\.convert"),
    "a figure that plotly would not make": (_invalid_figure, r"return value\.to_plotly_json\(\)"),
    "a quantity of another registry": (
        lambda: _from("pint", "UnitRegistry")().Quantity(1, "m"),
        "set_application_registry",
    ),
    "a unit of another registry": (lambda: _from("pint", "UnitRegistry")().meter, r"or return str\(value\)$"),
    "a subclass of a graph": (
        lambda: type("Own", (_from("networkx", "DiGraph"),), {})([(1, 2)]),
        r"return networkx\.DiGraph\(value\)",
    ),
    "a path with options": (lambda: _from("upath", "UPath")("s3://b", key="k"), r"return str\(value\)"),
    "a pattern of many sets": (lambda: re.compile("[ab]" * 8192), r"return \(value\.pattern, value\.flags\)"),
    "a changed rule": (_changed_rule, r"return str\(value\)"),
    "a rule with an attribute": (lambda: _attributed(rrule.rrule(rrule.DAILY)), "would be lost"),
    "a subclass": (type("Sub", (relativedelta.relativedelta,), {}), "no codec"),
    **{
        f"an inverse Hessian of another {name}": (lambda name=name, other=other: _product(**{name: other}), "value.sk")  # type: ignore[misc]
        for name, other in {
            "n_corrs": True,
            "dtype": np.dtype("f4"),
            "shape": (2, 3),
            "sk": np.ma.zeros((1, 2)),
            "yk": np.zeros((1, 3)),
            "rho": np.zeros(2),
        }.items()
    },
    "an inverse Hessian with an attribute": (lambda: _product(note=1), "would be lost"),
    "a result of SciPy with an attribute": (_result_with_attribute, "'shape', which is not a field and would be lost"),
}


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_an_unpickled_image_has_no_palette_and_a_new_one_an_empty_one(mode: str) -> None:
    new = _from("PIL.Image", "new")(mode, (2, 2))
    for image, has_palette in ((new, True), (copy.deepcopy(new), False)):  # which Pillow does by its state of a pickle
        payload = encode(image)
        back = decode(payload.to_bytes(), payload.format)
        assert (image.palette is not None, back.palette is not None) == (has_palette, has_palette)
        assert_identical(image, back)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_exact_is_refused_with_a_way_out(name: str) -> None:
    make, remedy = REFUSED[name]
    with pytest.raises(EncodeError, match=remedy):
        encode({"a": make()})


def test_an_inverse_hessian_of_orthogonal_steps_comes_back_without_a_warning() -> None:
    with np.errstate(all="ignore"):
        product = _from("scipy.optimize", "LbfgsInvHessProduct")(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    with np.errstate(all="raise"):
        check_codec("scipy.result", [product])


def test_the_ways_out_work() -> None:
    graph, image, row = _frozen(), _opened(), _selected(lambda r: r.first(), "SELECT 1 AS a, 2 AS a")
    check_codec(
        None, [type(graph)(graph), image.copy(), _with_exif().copy(), tuple(row), _invalid_figure().to_plotly_json()]
    )
    sms = email.message.EmailMessage()
    sms.set_content("text")
    assert_identical(sms.as_bytes(), decode(encode(sms.as_bytes()).to_bytes(), "msgpack"))
    pint = importlib.import_module("pint")
    own, before = pint.UnitRegistry(), pint.get_application_registry().get()
    own.define("dog_year = 52 day")
    pint.set_application_registry(own)
    try:
        check_codec("pint.value", [own.Quantity(2, "dog_year")])
        row = encode(own.Quantity(2, "dog_year")).to_json()
    finally:
        pint.set_application_registry(before)
    with pytest.raises(CodecError, match="dog_year"):
        decode_json(row)


# -- forged payloads -----------------------------------------------------------------------------------------

ENDLESS = ipaddress.ip_network("::/0")
HUGE = decimal.Decimal("1E+999999999")  # of which int() makes a number in hours
STEPS = np.ones((1, 2))
FORGED = [
    *(
        ("scipy.result", ["LbfgsInvHessProduct", parts])
        for parts in (
            [STEPS, STEPS, None],
            [STEPS, STEPS, "text"],
            [STEPS, STEPS, np.ones(2)],
            [STEPS, STEPS[:, :1], np.ones(1)],
            [STEPS[0], STEPS[0], np.ones(2)],
            [STEPS, STEPS.astype("O"), np.ones(1)],
            [STEPS.astype("c16"), STEPS, np.ones(1)],
            [pd.DataFrame(STEPS), pd.DataFrame(STEPS), np.ones(1)],
            ENDLESS,
        )
    ),
    ("scipy.result", ["OptimizeResult", [["x", 1]]]),
    ("scipy.result", ["OptimizeResult", {1: None}]),
    ("scipy.result", ["minimize", {}]),
    ("sklearn.Bunch", ["Bunch", [[["x", 1]], None]]),
    ("sklearn.Bunch", ["Bunch", [{"x": 1}, "text"]]),
    ("sklearn.Bunch", ["Bunch", ENDLESS]),
    ("bs4.value", ["CharsetMetaAttributeValue", ["utf8"]]),
    ("bs4.value", ["CharsetMetaAttributeValue", ["utf8", 5]]),
    ("bs4.value", ["ContentMetaAttributeValue", [5, "utf8"]]),
    ("bs4.value", ["NamespacedAttribute", ["a", "b", "c"]]),
    ("pattern", ["(", 32]),
    ("pattern", ["a", 128]),
    ("pattern", ["a", "i"]),
    ("pattern", [["a"], 32]),
    ("pattern", ["[" + "".join(f"{chr(at)}-\uffef" for at in range(256, 356)) + "]", 32]),
    ("pattern", ["[" + "".join(f"\\u{at:04x}-\\uffef" for at in range(256, 356)) + "]", 32]),
    ("pattern", [r"[\0-\U0000ffff]" * 100, 32]),
    ("pattern", [r"[\0-\N{HALFWIDTH KATAKANA LETTER A}]" * 100, 32]),
    ("pattern", ["(?i:" + "[!-~]" * 10_000 + ")", 32]),
    ("pattern", ["(?i:k|s)" * 8000, 32]),
    ("struct_sequence", ["system", [], {}]),
    ("struct_sequence", ["struct_time", [1], {}]),
    ("iso_week", [2024, 60, 1]),
    ("sqlite3_row", ["Row", [["a"], [1, 2]]]),
    ("sqlite3_row", ["Row", [[], []]]),
    ("sqlite3_row", ["Row", [['a" FROM x; --', "b\0"], [1, 2]]]),
    ("sqlite3_row", ["Connection", [["a"], [1]]]),
    ("email_message", ["Message", ENDLESS]),
    ("dateutil.rruleset", ENDLESS),
    ("bson.value", ["Int64", HUGE]),
    ("bson.value", ["DatetimeMS", HUGE]),
    ("cftime.datetime", ["datetime", [HUGE, 1, 1, 0, 0, 0, 0, "360_day", False]]),
    ("cftime.datetime", ["DatetimeNoLeap", [1, HUGE, 1, 0, 0, 0, 0, "noleap", False]]),
    ("dateutil.relativedelta", {"years": HUGE}),
    ("dateutil.relativedelta", {"month": HUGE}),
    ("cftime.datetime", ["datetime", ENDLESS]),
    ("networkx.Graph", ["DiGraph", {}, [["a", {}]], [[]], [ENDLESS]]),
    ("PIL.Image", ["L", [0, 10**9], None, {}, b""]),
    ("upath.UPath", ["https", "https:\0/a/b?c"]),
    ("email_message", ["Message", [[["a", 5]], None, None, None, None, "x"]]),
    ("bson.value", ["ObjectId", "no bytes"]),
    ("bson.value", ["ObjectId", 2**40]),
    ("bson.value", ["Binary", [2**40, 0]]),
    ("httpx.value", ["Headers", ["utf-8", [[2**40, b"a"]]]]),
    ("PIL.Image", ["P", [1, 1], ["RGB", 2**40], {}, b"x"]),
    ("bson.value", ["Timestamp", [2**70, 1]]),
    ("bson.value", ["decode", 1]),
    ("bson.value", [["SON"], []]),
    ("sqlalchemy.value", ["Row", [["a"], [1, 2]]]),
    ("sqlalchemy.value", ["Row", [[5], [1]]]),
    ("markupsafe.Markup", ["Markup", 5]),
    ("psycopg.value", ["Range", [1, 2, "x"]]),
    ("psycopg.value", ["Multirange", [1]]),
    ("dateutil.relativedelta", {"os": 1}),
    ("dateutil.rrule", {"freq": 99}),
    ("dateutil.rrule", []),
    ("dateutil.rrule.weekday", [9, None]),
    ("networkx.Graph", ["Graph", {}, [["a", {}], ["b", {}]], [[[5, {}]], []], None]),
    ("networkx.Graph", ["Graph", {}, [["a", {}], ["b", {}]], [[[1, {}]], []], None]),
    ("networkx.Graph", ["Graph", {}, [["a", {}], ["a", {}]], [[], []], None]),
    ("networkx.Graph", ["DiGraph", {}, [["a", {}], ["b", {}]], [[[1, {}]], []], [[], [1]]]),
    ("networkx.Graph", ["read_gpickle", {}, [], [], None]),
    ("PIL.Image", ["RGB", [100000, 100000], None, {}, b""]),
    ("PIL.Image", ["L", [-1, -1], None, {}, b""]),
    ("PIL.Image", ["nothing", [1, 1], None, {}, b"x"]),
    ("PIL.Image", ["P", [1, 1], ["BGRX", b""], {}, b"x"]),
    ("plotly.Figure", [[{"type": "nothing"}], {}, [], None, None, {}]),
    ("pint.value", ["Quantity", False, "1 + 1", []]),
    ("pint.value", ["Quantity", False, 1, [["no unit", 1]]]),
    ("pint.value", ["UnitRegistry", False, 1, []]),
    ("cftime.datetime", ["datetime", [2000, 13, 1, 0, 0, 0, 0, "noleap", False]]),
    ("cftime.datetime", ["DatetimeNoLeap", ["x"]]),
    ("upath.UPath", ["nothing", "nothing://x"]),
    ("polars.DataType", ["class", "DataFrame"]),
    ("polars.DataType", ["DataFrame"]),
    ("polars.Schema", [[5, 1]]),
    ("numpy.dtype", ["ml_dtypes", "finfo"]),
    ("numpy.dtype", ["ml_dtypes", "nothing"]),
    ("httpx.value", ["URL", 5]),
]


@pytest.mark.parametrize("module", [relativedelta, rrule])
@pytest.mark.parametrize("parts", [(99, None), (-1, None), (True, None), (1, 2.5)])
def test_a_weekday_that_is_none_is_refused_when_it_is_pushed(module: Any, parts: tuple[Any, Any]) -> None:
    with pytest.raises(UnsupportedValueError, match="0 to 6"):
        encode([module.weekday(*parts)])


def test_a_result_that_scipy_cannot_show_is_refused() -> None:
    result = importlib.import_module("scipy.optimize").OptimizeResult({"x": 1, 2: 3})
    with pytest.raises(UnsupportedValueError, match=r"return dict\(value\)"):
        encode([result])
    assert decode_json(encode([dict(result)]).to_json()) == [{"x": 1, 2: 3}]


@pytest.mark.parametrize("place", range(len(FORGED)))
def test_forged_nodes_are_refused(place: int) -> None:
    tag, node = FORGED[place]
    with pytest.raises(CodecError):
        decode_json({"$": [tag, 1, encode(node).to_json()]})


COUNT = 120  # of patterns


def cost_of(patterns: Iterable[re.Pattern[Any]]) -> int:
    cost = registry.for_tag("pattern", 1).cost
    assert cost is not None
    return sum(cost([pattern.pattern, pattern.flags])[1] for pattern in patterns)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(list, id="list"),
        pytest.param(lambda items: {str(at): item for at, item in enumerate(items)}, id="dict"),
        pytest.param(lambda items: pd.DataFrame({"a": items}), id="cells"),
        pytest.param(lambda items: (items[:60], pd.Series(items[60:])), id="both"),
    ],
)
def test_so_many_patterns_that_they_take_long_to_compile_are_refused(
    place: Callable[[list[Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [re.compile(f"[é-ü]{at}") for at in range(COUNT + 1)]
    most = cost_of(found[:COUNT])
    monkeypatch.setattr("airflow_xcom.codecs.formats.msgpack.writer.LEAST", 2 * most)
    monkeypatch.setattr("airflow_xcom.codecs.formats.sharing.LEAST", most)
    payload = encode(place(found[:COUNT]))
    assert_identical(place(found[:COUNT]), decode(payload.to_bytes(), payload.format))
    assert_identical(place(found[:COUNT]), decode_json(payload.to_json()))
    with pytest.raises(UnsupportedValueError, match="so many values of 'pattern' take a reader too long to make"):
        encode(place(found))
    monkeypatch.setattr("airflow_xcom.codecs.formats.msgpack.writer.LEAST", 3 * most)
    payload = encode(place(found))
    with pytest.raises(CorruptPayloadError, match="takes too long to make"):
        decode(payload.to_bytes(), payload.format)
    with pytest.raises(CorruptPayloadError, match="takes too long to make"):
        decode_json(payload.to_json())


def test_patterns_have_no_more_time_in_a_large_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [re.compile(f"[é-ü]{at}") for at in range(COUNT)]
    payload = encode(["x" * cost_of(found), found])
    monkeypatch.setattr("airflow_xcom.codecs.formats.sharing.LEAST", cost_of(found) - 1)
    with pytest.raises(CorruptPayloadError, match="takes too long to make"):
        decode(payload.to_bytes(), payload.format)


BACKREFERENCE = re.compile(r"""(['"])[^'"]*\1""")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([BACKREFERENCE] * 5_000, id="one pattern in all places"),
        pytest.param([{"id": at, "p": BACKREFERENCE} for at in range(5_000)], id="one pattern in all rows"),
        pytest.param([re.compile(f"[äöü]+x{at}") for at in range(500)], id="small sets"),
        pytest.param([re.compile(f"[ä]{at}", re.IGNORECASE) for at in range(500)], id="small sets in either case"),
        pytest.param([re.compile(f"^(?P<key>[a-z_]+)-(x|y)/{at}$") for at in range(1000)], id="groups"),
        pytest.param([re.compile(f"[Ѐ-ӿ]+[\\u0400-\\u04ff]{at}") for at in range(500)], id="ranges of an alphabet"),
    ],
)
def test_ordinary_patterns_are_taken(value: list[Any]) -> None:
    payload = encode(value)
    assert_identical(value, decode(payload.to_bytes(), payload.format))


def test_the_same_pattern_counts_again_once_re_may_have_dropped_it() -> None:
    budget = Budget()
    for at in range(512):
        budget.add_cost(at, 1)
    budget.add_cost(0, 1)
    assert budget.cost == 512
    budget.add_cost(512, 1)
    budget.add_cost(0, 1)
    assert budget.cost == 514

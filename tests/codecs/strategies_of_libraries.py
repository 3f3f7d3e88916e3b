"""Strategies of what libraries return, by tag."""

from __future__ import annotations

import datetime as dt
import email.message
import os
import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import bs4
import bson
import cftime
import httpx
import markupsafe
import msgspec
import networkx as nx
import numpy as np
import PIL.Image
import pint
import plotly.graph_objects as go
import polars as pl
import psycopg.types.json
import psycopg.types.multirange
import psycopg.types.range
import psycopg2.extras
import psycopg2.tz
import requests.structures
import sortedcontainers
import sqlalchemy.sql
import test_models
import upath
from dateutil import relativedelta, rrule
from google.cloud.bigquery import Row
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scipy.optimize import OptimizeResult
from sklearn.utils import Bunch
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.engine.row import Row as SelectedRow
from xarray import CFTimeIndex

from airflow_xcom.codecs.testing.strategies import ANY_TEXT, INTEGERS, ROWS, TEXT

Values = SearchStrategy[Any]

MODERN = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
LETTERS = st.text("abc", min_size=1, max_size=3)
NAMES = st.lists(LETTERS, min_size=1, max_size=ROWS, unique=True)
SMALL = st.integers(-3, 3)
NUMBERS = st.none() | INTEGERS
BOUNDS = st.sampled_from(["[)", "(]", "()", "[]"])


def _row(names: list[str], item: Any) -> Any:
    cursor = sqlite3.connect(":memory:").execute("SELECT " + ", ".join(f"1 AS {name}" for name in names))
    return sqlite3.Row(cursor, tuple([item] * len(names)))


def _selected(names: list[str], item: Any, mapping: bool) -> Any:
    parent = SimpleResultMetaData(names)
    made = SelectedRow(parent, None, parent._key_to_index, tuple([item] * len(names)))
    return made._mapping if mapping else made


def _message(subject: str, text: str) -> Any:
    made = email.message.Message()
    made["Subject"] = subject
    made.set_payload(text)
    return made


def _dict_row(names: list[str], item: Any) -> Any:
    made = psycopg2.extras.DictRow.__new__(psycopg2.extras.DictRow)
    made.__setstate__(([item] * len(names), OrderedDict((name, place) for place, name in enumerate(names))))
    return made


def _graph(cls: Any, nodes: list[Any], ends: list[tuple[int, int]], item: Any) -> Any:
    graph = cls(title=item)
    graph.add_nodes_from(nodes)
    graph.add_edges_from((nodes[start % len(nodes)], nodes[end % len(nodes)], {"note": item}) for start, end in ends)
    return graph


def _image(mode: str, width: int, height: int) -> Any:
    return (
        PIL.Image.effect_noise((width, height), 50).convert(mode)
        if width and height
        else PIL.Image.new(mode, (width, height))
    )


_UTC = bson.tz_util.utc
BSON = st.one_of(
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.sampled_from(["1.10", "NaN", "-0", "1E+30"]).map(bson.Decimal128),
    st.integers(-(2**63), 2**63 - 1).flatmap(
        lambda number: st.sampled_from([bson.Int64(number), bson.DatetimeMS(number)])
    ),
    st.builds(bson.Binary, st.binary(max_size=5), st.sampled_from([0, 5, 128])),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(bson.Regex, TEXT, st.integers(0, 30)),
    st.builds(bson.Code, TEXT, st.none() | st.dictionaries(LETTERS, INTEGERS, max_size=2)),
    st.builds(bson.DBRef, LETTERS, INTEGERS, st.none() | LETTERS),
    st.sampled_from([bson.MinKey(), bson.MaxKey(), _UTC, bson.tz_util.FixedOffset(90, "x")]),
)
DTYPES = st.recursive(
    st.sampled_from([pl.Int64(), pl.Int64, pl.String(), pl.Datetime("ms", "UTC"), pl.Duration("us"), pl.Decimal(9, 2)]),
    lambda inner: inner.map(pl.List) | st.builds(lambda name, dtype: pl.Struct({name: dtype}), LETTERS, inner),
    max_leaves=3,
)
RANGES = st.builds(psycopg.types.range.Range, NUMBERS, NUMBERS, BOUNDS) | st.just(psycopg.types.range.Range(empty=True))
RULES = st.builds(
    rrule.rrule,
    st.sampled_from([rrule.YEARLY, rrule.DAILY, rrule.SECONDLY]),
    MODERN.map(lambda at: at.replace(microsecond=0)),
    st.integers(1, 3),
    count=st.none() | st.integers(1, 5),
    byweekday=st.none() | st.sampled_from([rrule.MO, (rrule.TU, rrule.FR(2))]),
)


def _rules(rules: list[Any], dates: list[Any]) -> Any:
    made = rrule.rruleset(cache=bool(dates))
    for rule in rules:
        made.rrule(rule)
    for date in dates:
        made.exdate(date)
    return made


MOMENTS = st.builds(
    lambda day, calendar: cftime.datetime(2000, 2, day, 1, 2, 3, day, calendar=calendar),
    st.integers(1, 28),
    st.sampled_from(["noleap", "360_day", "standard"]),
)
LEAVES: dict[str, Values] = {
    "pattern": st.builds(
        re.compile, st.sampled_from(["", "a+", "[é-ü]", "(?P<x>.)"]), st.sampled_from([0, re.ASCII, re.DOTALL])
    ),
    "ellipsis": st.just(...),
    "struct_sequence": st.builds(time.gmtime, st.integers(0, 2**32)) | st.just(os.terminal_size((80, 24))),
    "iso_week": st.dates().map(dt.date.isocalendar),
    "email_message": st.builds(_message, TEXT, TEXT),
    "markupsafe.Markup": ANY_TEXT.map(markupsafe.Markup),
    "bs4.value": ANY_TEXT.map(bs4.NavigableString) | ANY_TEXT.map(bs4.Comment),
    "sortedcontainers.value": st.one_of(
        st.dictionaries(INTEGERS, ANY_TEXT, max_size=ROWS).map(sortedcontainers.SortedDict),
        st.lists(INTEGERS, max_size=ROWS).flatmap(
            lambda items: st.sampled_from([sortedcontainers.SortedList(items), sortedcontainers.SortedSet(items)])
        ),
    ),
    "httpx.value": st.one_of(
        st.lists(st.tuples(LETTERS, LETTERS), max_size=ROWS).map(httpx.Headers),
        LETTERS.map(lambda path: httpx.URL(f"https://example.org/{path}?{path}")),
    ),
    "psycopg.value": st.one_of(
        RANGES,
        st.lists(RANGES, max_size=2).map(psycopg.types.multirange.Multirange),
        INTEGERS.map(psycopg.types.json.Jsonb),
    ),
    "bson.value": BSON,
    "msgspec.value": st.just(msgspec.UNSET),
    "cftime.datetime": MOMENTS,
    "xarray.index": st.lists(st.integers(1, 28), min_size=1, max_size=ROWS).map(
        lambda days: CFTimeIndex([cftime.DatetimeNoLeap(2000, 2, day) for day in days], name="t")
    ),
    "upath.UPath": LETTERS.flatmap(
        lambda name: st.sampled_from(["s3://b/{}", "/tmp/{}", "memory://{}"]).map(
            lambda text: upath.UPath(text.format(name))
        )
    ),
    "dateutil.relativedelta": st.builds(
        relativedelta.relativedelta, months=SMALL, days=SMALL | st.just(1.5), hour=st.none() | st.integers(0, 23)
    ),
    "dateutil.rrule": RULES,
    "dateutil.rrule.weekday": st.builds(rrule.weekday, st.integers(0, 6), st.none() | st.integers(1, 3)),
    "dateutil.rruleset": st.builds(_rules, st.lists(RULES, max_size=2), st.lists(MODERN, max_size=2)),
    "PIL.Image": st.builds(
        _image, st.sampled_from(["L", "RGB", "1", "P", "RGBA"]), st.integers(0, 9), st.integers(0, 9)
    ),
    "plotly.Figure": st.builds(
        lambda items, title: go.Figure(go.Bar(y=items), {"title": title}), st.lists(INTEGERS, max_size=ROWS), LETTERS
    ),
    "pint.value": st.builds(
        lambda number, unit: pint.get_application_registry().Quantity(number, unit),
        INTEGERS,
        st.sampled_from(["m", "km/h", "degC", ""]),
    ),
    "polars.DataType": DTYPES,
    "polars.Schema": st.dictionaries(TEXT, DTYPES, max_size=ROWS).map(pl.Schema),
}
CONTAINERS: dict[str, Callable[[Values, Values], Values]] = {
    "sqlite3_row": lambda values, _keys: st.builds(_row, NAMES, values),
    "sqlalchemy.value": lambda values, _keys: st.one_of(
        st.builds(_selected, NAMES, values, st.booleans()), st.builds(sqlalchemy.sql.quoted_name, TEXT, st.booleans())
    ),
    "requests.headers": lambda values, _keys: st.dictionaries(LETTERS, values, max_size=ROWS).map(
        requests.structures.CaseInsensitiveDict
    ),
    "psycopg2.value": lambda values, _keys: st.one_of(
        st.builds(_dict_row, NAMES, values),
        st.dictionaries(LETTERS, values, max_size=ROWS).map(psycopg2.extras.RealDictRow),
        st.builds(psycopg2.extras.NumericRange, NUMBERS, NUMBERS, BOUNDS),
        SMALL.map(lambda hours: psycopg2.tz.FixedOffsetTimezone(offset=dt.timedelta(hours=hours))),
    ),
    "scipy.result": lambda values, _keys: st.dictionaries(LETTERS, values, max_size=ROWS).map(OptimizeResult),
    "networkx.Graph": lambda values, _keys: st.builds(
        _graph,
        st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]),
        st.lists(INTEGERS | ANY_TEXT, min_size=1, max_size=ROWS, unique=True),
        st.lists(st.tuples(SMALL, SMALL), max_size=4),
        values,
    ),
}


def _scaler(rows: list[int], name: str, as_list: bool) -> Any:
    scaler = test_models._sk("preprocessing", "StandardScaler")
    model = test_models._pipeline(scaler, test_models._sk("dummy", "DummyRegressor"))
    model.set_params(memory=name or None, transform_input=[name] if as_list else None)
    return model.fit(np.array(rows, float).reshape(-1, 1), rows)


MODELS = {
    "sklearn.estimator": st.builds(_scaler, st.lists(SMALL, min_size=1, max_size=ROWS), TEXT, st.booleans()),
    "lightgbm.Booster": st.builds(test_models.lightgbm_booster),
    "xgboost.Booster": st.builds(test_models.xgboost_booster),
    "onnx.ModelProto": st.builds(test_models.onnx_model),
}
# What cannot be copied, as xarray copies what stands in attrs: Google's row looks for an attribute without end, and the
# copies of a booster and of a Bunch lack attributes.
UNCOPIED = {
    **MODELS,
    "sklearn.Bunch": st.dictionaries(LETTERS, ANY_TEXT, max_size=ROWS).map(lambda items: Bunch(**items)),
    "bigquery.Row": st.builds(lambda item, name: Row((item, 1), {name: 0, "n": 1}), ANY_TEXT, LETTERS),
}

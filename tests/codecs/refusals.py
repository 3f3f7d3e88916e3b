"""What is refused at push, and why; ``python3 dev.py docs REFUSED`` writes docs/REFUSED.md."""

from __future__ import annotations

import argparse
import array
import asyncio
import concurrent.futures
import configparser
import csv
import ctypes
import dataclasses
import datetime as dt
import email.message
import functools
import hashlib
import http.cookies
import io
import ipaddress
import itertools
import logging
import operator
import os
import platform
import queue
import random
import re
import socket
import sqlite3
import string
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import arrow
import bson
import cachetools
import duckdb
import httpx
import lazy_object_proxy
import multidict
import narwhals
import networkx as nx
import numpy as np
import numpy.ma.mrecords
import pandas as pd
import plotly.graph_objects
import polars as pl
import psycopg2.tz
import pyarrow as pa
import pyarrow.dataset
import pydantic
import pymongo.results
import pyparsing
import requests
import scipy.stats
import sqlalchemy
import test_models
import urllib3
import xarray as xr
import yarl
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from croniter import croniter
from google.protobuf import struct_pb2
from packaging.version import Version
from PIL import TiffImagePlugin
from sqlalchemy.orm import declarative_base

import airflow_xcom.backend.push  # noqa: F401 - what pushes advises on Airflow's own objects
from airflow_xcom.backend.compat import CLASS_REMEDY
from airflow_xcom.backend.pull import prepare
from airflow_xcom.codecs import EncodeError, encode, registry

DOCUMENT = Path(__file__).parents[2] / "docs" / "REFUSED.md"
INTRODUCTION = """# What is refused

A value that cannot come back as it was is refused when it is pushed. The error names the type, where it is in the
value, and what to do; `value` in it is the object at that place. This page lists the values that are refused, with
the error of each, without the place that it begins with, such as `value["a"][3].model:`. It is made by
`python3 dev.py docs REFUSED`. [FIDELITY.md](FIDELITY.md) lists what comes back exact.
"""


@dataclass
class Unregistered:
    """A class that nobody allowed or registered."""

    size: int = 1


class Plain:
    """No data class, and without a codec."""


class Flight(declarative_base()):  # type: ignore[misc]
    """A class that SQLAlchemy maps."""

    __tablename__ = "flights"
    id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)


class Listed(list[int]):
    """A subclass of what a codec handles."""


class _Values(LazyXComSequence[int]):
    """The values of a mapped task, without a supervisor to ask for them."""

    def __init__(self) -> None:
        """Know nothing of Airflow."""

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]
        return iter([1])

    def __len__(self) -> int:
        return 1


class _Row(NamedTuple):
    """The base of a class that a library makes."""

    a: int


class Pair(ctypes.Array[ctypes.c_long]):
    """An array of C; ``c_long * 2`` would be of the module that first asked for it."""

    _type_ = ctypes.c_long
    _length_ = 2


class Tagged(np.ndarray):
    """An array of another class."""


def _generator() -> Iterator[int]:
    yield 1


async def _coroutine() -> None: ...


async def _async_generator() -> Any:
    yield 1


def _closed_coroutine() -> Any:
    made = _coroutine()
    made.close()
    return made


def _in_itself() -> Any:
    ring: deque[Any] = deque()
    ring.append([ring])
    return ring


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    return value


def _section() -> Any:
    parser = configparser.ConfigParser()
    parser.read_string("[a]\nb = 1")
    return parser["a"]


def _traceback() -> Any:
    try:
        raise KeyError  # noqa: TRY301
    except KeyError as error:
        return error.__traceback__


def _loop_future() -> Any:
    loop = asyncio.new_event_loop()
    made = loop.create_future()
    loop.close()
    return made


def _memory_map() -> Any:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(8))
        return np.memmap(file, dtype="f8", mode="r+")


def _attributed(value: Any) -> Any:
    value.extra = 1
    return value


@task
def _returns_one() -> int:
    return 1


def _reference() -> Any:
    with DAG("x", schedule=None):
        return _returns_one()


def _task() -> Any:
    return _returns_one


def _task_instance() -> Any:
    return RuntimeTaskInstance.model_construct(task_id="x")


def _stream() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("a", pa.int64())])):
        pass
    return bytes(sink.getvalue())


FRAME = pd.DataFrame({"a": [1, 2]})
_STATEMENT = sqlalchemy.text("select 1")

# Why -> what is refused for it -> an example.
REFUSED: dict[str, dict[str, Callable[[], Any]]] = {
    "Code": {
        "a function": lambda: _generator,
        "a lambda": lambda: lambda: 1,
        "a method": lambda: [].append,
        "a partial": lambda: functools.partial(print),
        "a class": lambda: Plain,
        "a module": lambda: io,
        "a code object": lambda: _generator.__code__,
        "a ufunc": lambda: np.add,
        "a type with parameters": lambda: list[int],
        "a property": property,
        "an item getter": lambda: operator.itemgetter(1),
    },
    "What can be gone through once, or has no result yet": {
        "a generator": _generator,
        "an iterator": lambda: iter([1]),
        "a map": lambda: map(str, [1]),
        "a chain": lambda: itertools.chain([1]),
        "a csv reader": lambda: csv.reader([]),
        "a listing of a folder": lambda: os.scandir(os.path.dirname(__file__)),  # noqa: PTH120 - as people write it
        "an endless iterator": lambda: itertools.cycle([1]),
        "times of croniter": lambda: croniter("*/5 * * * *"),
        "a result of SQLAlchemy": lambda: sqlalchemy.create_engine("sqlite://").connect().execute(_STATEMENT),
        "a coroutine": _closed_coroutine,
        "an asynchronous generator": _async_generator,
        "a future": concurrent.futures.Future,
        "a future of asyncio": _loop_future,
    },
    "Views, and queries that were not run": {
        "the keys of a dict": {}.keys,
        "the items of a dict": {}.items,
        "a mapping proxy": lambda: types.MappingProxyType({}),
        "a memoryview": lambda: memoryview(b"x"),
        "a groupby": lambda: FRAME.groupby("a"),
        "a rolling window": lambda: FRAME.rolling(1),
        "a style": lambda: FRAME.style,
        "a polars query": lambda: pl.LazyFrame({"a": [1]}),
        "a polars expression": lambda: pl.col("a"),
        "a DuckDB relation": lambda: duckdb.sql("select 1"),
        "an array that maps a file": _memory_map,
        "an accessor of pandas": lambda: pd.Series(["a"]).str,
        "a group of polars": lambda: pl.DataFrame({"a": [1]}).group_by("a"),
        "a window of polars": lambda: pl.DataFrame({"t": [1]}).rolling("t", period="1i"),
        "a group of Arrow": lambda: pa.table({"a": [1]}).group_by("a"),
        "a cell by its place": lambda: FRAME.iat,
        "categories of pandas": lambda: pd.Series(["a"], dtype="category").cat,
        "a condition of polars": lambda: pl.when(pl.col("a") > 1),
        "a view of a graph": lambda: nx.path_graph(2).edges,
        "the sizes of an array": lambda: xr.DataArray([1], dims="x").sizes,
        "a proxy of an object": lambda: weakref.proxy(Tagged),
        "an Arrow data set": lambda: pyarrow.dataset.dataset(pa.table({"a": [1]})),
        "a statement of SQLAlchemy": lambda: _STATEMENT,
        "the keys of a result": lambda: sqlalchemy.create_engine("sqlite://").connect().execute(_STATEMENT).keys(),
        "a lazy object": lambda: lazy_object_proxy.Proxy(lambda: {"a": 1}),
    },
    "What belongs to one process or host": {
        "an open file": lambda: open(__file__, encoding="utf-8"),  # noqa: SIM115, PTH123
        "a temporary file": tempfile.NamedTemporaryFile,
        "bytes in memory": lambda: io.BytesIO(b"x"),
        "text in memory": lambda: io.StringIO("x"),
        "an Arrow file": lambda: pa.BufferReader(b"x"),
        "a socket": socket.socket,
        "a lock": threading.Lock,
        "a thread": threading.Thread,
        "an event": threading.Event,
        "an SQLAlchemy engine": lambda: sqlalchemy.create_engine("sqlite://"),
        "a weak reference": lambda: weakref.ref(FRAME),
        "a logger": lambda: logging.getLogger("x"),
        "a queue": queue.Queue,
        "a pool": lambda: concurrent.futures.ThreadPoolExecutor(1),
        "a connection of SQLite": lambda: sqlite3.connect(":memory:"),
        "a connection of DuckDB": duckdb.connect,
        "a client of MongoDB": lambda: pymongo.MongoClient(connect=False),
        "a hook": SqliteHook,
        "a response": requests.Response,
        "the variables of the process": lambda: os.environ,
    },
    "Objects that are not data, or have no codec": {
        "an exception": lambda: ValueError("x"),
        "a traceback": _traceback,
        "a match": lambda: re.match("x", "x"),
        "a random generator": random.Random,
        "a version of a package": lambda: Version("1.2.post1"),
        "a random generator of NumPy": np.random.default_rng,
        "a simple namespace": lambda: types.SimpleNamespace(a=1),
        "a namespace within another": lambda: types.SimpleNamespace(a=types.SimpleNamespace(b=1)),
        "an array of the standard library": lambda: array.array("d", [1.0]),
        "a chain of dicts": lambda: ChainMap({}),
        "a time of arrow": lambda: arrow.get("2024-01-01T00:00:00+02:00"),
        "a zone of another library": lambda: psycopg2.tz.LOCAL,
        "an entry of a folder": lambda: next(os.scandir(os.path.dirname(__file__))),  # noqa: PTH120
        "what MongoDB inserted": lambda: pymongo.results.InsertOneResult(
            bson.ObjectId("6b0a448906ac70df4102de8f"), True
        ),
        "how many MongoDB deleted": lambda: pymongo.results.DeleteResult({"n": 1}, acknowledged=True),
        "headers of aiohttp": lambda: multidict.CIMultiDict([("a", "1"), ("a", "2")]),
        "a URL of aiohttp": lambda: yarl.URL("https://example.org"),
        "a query of httpx": lambda: httpx.QueryParams("a=1&a=2"),
        "a number of a picture": lambda: TiffImagePlugin.IFDRational(1, 3),
        "a trace of plotly": lambda: plotly.graph_objects.Bar(y=[1]),
        "a type of SQLAlchemy": sqlalchemy.Integer,
        "a URL of SQLAlchemy": lambda: sqlalchemy.make_url("postgresql://user:secret@host/name"),
        "a field of polars": lambda: pl.Field("a", pl.Int8),
        "a tensor of Arrow": lambda: pa.Tensor.from_numpy(np.arange(3)),
        "a result of pyparsing": lambda: pyparsing.Word("a").parse_string("aa"),
        "a frame of narwhals": lambda: narwhals.from_native(pl.DataFrame({"a": [1]})),
        "a cache": lambda: cachetools.LRUCache(5),
        "an array of C": lambda: Pair(1, 2),
        "a number of C": lambda: ctypes.c_int(5),
        "a section of an INI file": _section,
        "a set of weak references": weakref.WeakSet,
        "a user dict": lambda: UserDict({}),
        "a namespace of arguments": lambda: argparse.Namespace(a=1),
        "a finished process": lambda: subprocess.CompletedProcess(["true"], 0),
        "a message of Protocol Buffers": lambda: struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=1)}),
        "headers of urllib3": lambda: urllib3.HTTPHeaderDict(a="b"),
        "an element of XML": lambda: ET.fromstring("<a/>"),
        "a message": email.message.EmailMessage,
        "a parser of INI files": configparser.ConfigParser,
        "a cookie": lambda: http.cookies.SimpleCookie("a=1")["a"],
        "cookies": lambda: http.cookies.SimpleCookie("a=1; b=2"),
        "a row of an ORM": Flight,
        "a template": lambda: string.Template("x"),
        "a hash": hashlib.sha256,
        "a polynomial": lambda: np.polynomial.Polynomial([1, 2]),
        "an Arrow buffer": lambda: pa.py_buffer(b"x"),
        "an object": Plain,
        "an object with attributes": lambda: _attributed(Plain()),
        "a sentinel": lambda: NotImplemented,
    },
    "Classes that nobody allowed or registered, and subclasses": {
        "a dataclass": Unregistered,
        "a subclass of str": lambda: type("Text", (str,), {})("x"),
        "a subclass of str with an attribute": lambda: _attributed(type("Text", (str,), {})("x")),
        "a subclass of dict": lambda: type("Fields", (dict,), {})(a=1),
        "a subclass of datetime": lambda: type("At", (dt.datetime,), {})(2024, 1, 1),
        "a forest of scikit-learn": test_models.NAMING["a forest"][0],
        "a booster of LightGBM": test_models.lightgbm_booster,
        "a secret of pydantic": lambda: pydantic.SecretStr("x"),
        "a subclass of list": lambda: Listed([1]),
        "a subclass of list within another": lambda: Listed([Listed([1])]),  # type: ignore[list-item]
        "a data class with another": lambda: Unregistered(Unregistered()),  # type: ignore[arg-type]
        "a data class with an object": lambda: Unregistered(Plain()),  # type: ignore[arg-type]
        "a statistic of SciPy with an attribute": lambda: _attributed(scipy.stats.ttest_ind([1, 2, 3], [2, 3, 5])),
        "a named tuple with other items": platform.uname,
        "a subclass of ndarray": lambda: np.zeros(2).view(Tagged),
        "a masked array of records": lambda: np.ma.mrecords.fromarrays([[1, 2]], names="a"),
        "a masked matrix": lambda: np.ma.array(np.matrix([[1, 2]]), mask=[[True, False]]),
        "a data class made at run time": lambda: dataclasses.make_dataclass("Made", ["x"])(1),
        "a named tuple of a class made at run time": lambda: type("Sub", (_Row,), {"total": 1})(1),
        "a subclass of DataFrame": lambda: type("Sub", (pd.DataFrame,), {})({"a": [1]}),
    },
    "What of Airflow is returned by mistake": {
        "an operator": lambda: EmptyOperator(task_id="x"),
        "a reference to a result": _reference,
        "a task": _task,
        "a Dag": lambda: DAG("x", schedule=None),
        "the values of a mapped task": _Values,
        "a task instance": _task_instance,
    },
    "What a codec could not rebuild": {
        "a default factory of one's own": lambda: defaultdict(lambda: 1),
        "an object that contains itself": _in_itself,
        "tuples nested 150 deep": lambda: _nested(150),
        "an ordered dict with an attribute": lambda: _attributed(OrderedDict()),
        "a counter with an attribute": lambda: _attributed(Counter()),
        "a data class with an attribute": lambda: _attributed(Unregistered()),
        "a frame with an attribute": lambda: _attributed(FRAME.copy()),
        "a series with an attribute": lambda: _attributed(FRAME["a"].copy()),
        "an index with an attribute": lambda: _attributed(pd.Index([1])),
        "a timestamp with an attribute": lambda: _attributed(pd.Timestamp(0)),
        "a dtype of polars with an attribute": lambda: _attributed(pl.Datetime("us")),
        "a polars frame with an attribute": lambda: _attributed(pl.DataFrame({"a": [1]})),
        "a network with an attribute": lambda: _attributed(ipaddress.ip_network("10.0.0.0/8")),
        "a reader of a file": lambda: pa.ipc.open_stream(_stream()),
    },
}


@dataclass
class Holder:
    """Something with an attribute."""

    model: Any


def refusal(make: Callable[[], Any]) -> EncodeError:
    """The error of ``{"a": [0, 1, 2, Holder(model=make())]}``."""
    prepare()
    before = registry._allows
    registry.allow_classes(lambda name: name.endswith(".Holder"), remedy=CLASS_REMEDY)
    try:
        encode({"a": [0, 1, 2, Holder(make())]})
    except EncodeError as error:
        return error
    finally:
        registry.allow_classes(before)
    raise AssertionError("it is not refused")


def document() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for why, cases in REFUSED.items():
        lines = [f"| {name} | {_shown(refusal(make).reason)} |" for name, make in cases.items()]
        parts.append("\n".join([f"## {why}\n", "| | the error |", "| --- | --- |", *lines]) + "\n")
    return "\n".join(parts)


def _shown(reason: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", " at 0x…", reason).replace("|", "\\|")


if __name__ == "__main__":
    import refusals

    DOCUMENT.write_text(refusals.document(), encoding="utf-8")
    sys.stdout.write(f"{sum(map(len, REFUSED.values()))} cases in {DOCUMENT.name}\n")

"""Whether a value goes to the row or to a blob is decided in one visit, and its parts need no codec."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import orjson
import pandas as pd
import pytest
from conftest import Backend

from airflow_xcom import codecs
from airflow_xcom.backend import SettingsError, compat, placement, pull_table, push, stored, table_selection
from airflow_xcom.codecs import payload, plain_json
from airflow_xcom.codecs.testing import difference

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, 2.5]}, index=[7, 8, 9])


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function was given a value."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(value: Any, **options: Any) -> Any:
            counts[name] += not (isinstance(value, dict) and "bytes" in value)  # which is the summary
            return function(value, **options)

        return count

    monkeypatch.setattr(placement, "exact_json", counted("exact_json", placement.exact_json))
    monkeypatch.setattr(codecs, "encode", counted("encode", codecs.encode))
    return counts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"rows": 3}, {"exact_json": 1}),
        (stored({"rows": 3}, compression="zstd"), {"exact_json": 1}),
        ({"rows": stored(3, compression="zstd")}, {"exact_json": 1}),
        (FRAME, {"exact_json": 1, "encode": 1}),
        (stored(FRAME, compression="zstd"), {"exact_json": 1, "encode": 1}),
        (stored({"rows": 3}, inline=False), {"encode": 1}),
    ],
    ids=["exact", "with a hint", "with a hint within", "frame", "frame with a hint", "to a blob"],
)
def test_each_value_is_walked_once(
    backend: Backend, visits: Counter[str], value: Any, expected: dict[str, int]
) -> None:
    if isinstance(value, dict) and type(value) is dict and type(value["rows"]) is not int:
        backend.push(value["rows"], key="rows")  # as Airflow does with multiple outputs
        visits.clear()
    backend.push(value)
    assert +visits == expected


@pytest.mark.parametrize("value", ["x" * 50_000, ["x" * 1000] * 50, {"text": {"in": "x" * 50_000}}], ids=type)
def test_text_beyond_the_limit_is_not_written_as_json(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"ordered": False, "reserved": frozenset()}
    assert plain_json.exact_json(value, limit=60_000, **options) is not None
    assert plain_json.exact_json(value, limit=None, **options) is not None
    monkeypatch.setattr(plain_json, "_text", lambda *_: 1 / 0)
    assert plain_json.exact_json(value, limit=49_152, **options) is None


def test_a_payload_of_as_many_bytes_as_the_threshold_is_in_the_row(backend: Backend) -> None:
    value = tuple(range(500))
    size = len(orjson.dumps(codecs.encode(value).to_json()))
    for threshold, expected in (size, "data"), (size - 1, "ref"):
        backend.options(threshold=threshold)
        assert expected in backend.push(value)["airflow_xcom"]


def test_a_part_of_a_table_in_a_row_is_taken_without_its_codec(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = backend.push(FRAME)
    assert "data" in row["airflow_xcom"]
    monkeypatch.setattr(codecs, "encode", None)
    monkeypatch.setattr(payload, "encode", None)
    decoded = []
    decode_json = payload.decode_json
    monkeypatch.setattr(payload, "decode_json", lambda value: decoded.append(decode_json(value)) or decoded[-1])
    instance = SimpleNamespace(xcom_pull=lambda *_, **__: backend.pull(row))
    part = pull_table(instance, columns=["c", "a"], rows=slice(1, 3))
    assert difference(FRAME[["c", "a"]].iloc[1:3], part) is None
    table = pull_table(instance, as_="pyarrow", columns=["b"])
    assert table.to_pylist() == [{"b": "x"}, {"b": None}, {"b": "z"}]
    assert {type(each).__name__ for each in decoded} == {"Table"}, "no frame was made of all of it"


def test_a_part_takes_this_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_selection, "xcom_class", compat.base_xcom)
    with pytest.raises(
        SettingsError, match=r"\[core\] xcom_backend = '.*BaseXCom': pull_table\(\) and table_of\(\) need"
    ):
        pull_table(SimpleNamespace(xcom_pull=lambda *_, **__: FRAME), columns=["a"])


def test_a_pull_of_parts_that_fails_changes_no_later_pull(backend: Backend) -> None:
    row = backend.push(FRAME)
    with pytest.raises(ZeroDivisionError):
        pull_table(SimpleNamespace(xcom_pull=lambda *_, **__: 1 / 0))
    assert difference(FRAME, backend.pull(row)) is None


PATCHED = """
import inspect, sys
import airflow.sdk, airflow.sdk.execution_time.lazy_sequence, airflow.sdk.execution_time.task_runner
import airflow.models.xcom, airflow.configuration
def attributes():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "airflow" and module is not None:
            for key, value in list(vars(module).items()):
                found[name, key] = value
                if inspect.isclass(value) and value.__module__ == name:
                    found |= {(name, key, inner): item for inner, item in vars(value).items()}
    return found
before = attributes()
from airflow_xcom.backend import CodecXComBackend
from airflow_xcom.backend.push import push
push(1 + 2j, "dag", "run", "task", -1, "key")
after = attributes()
for place in before:
    if before[place] is not after.get(place):
        print(*place)
"""


def test_importing_the_backend_patches_lazy_sequences_alone() -> None:
    variables = {**os.environ, "AIRFLOW__CORE__XCOM_BACKEND": "airflow.sdk.bases.xcom.BaseXCom"}
    done = subprocess.run([sys.executable, "-c", PATCHED], env=variables, capture_output=True, text=True, check=True)
    changed = {line for line in done.stdout.splitlines() if line.startswith("airflow.") and "_abc_impl" not in line}
    module = "airflow.sdk.execution_time.lazy_sequence"
    assert changed == {f"{module} LazyXComSequence {name}" for name in ("__getitem__", "__iter__")}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What the backend logs, at any level; Airflow sets up the handlers of all loggers when it is imported."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("test_placement")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    assert push.log.name == "airflow_xcom.backend"
    monkeypatch.setattr(push, "log", logger)
    return records


@pytest.mark.parametrize(("value", "level", "place"), [((1, 2), "DEBUG", "row"), (FRAME, "INFO", "blob")])
def test_a_push_is_logged(
    backend: Backend, logged: list[logging.LogRecord], value: Any, level: str, place: str
) -> None:
    backend.options(threshold=100)
    row = backend.push(value)["airflow_xcom"]
    assert [record.levelname for record in logged] == [level]
    size = row["ref"]["size"] if place == "blob" else len(orjson.dumps(row["data"]))
    line = rf"pushed dag=.* tag={re.escape(row['tag'])} stored={place} bytes={size} ms=[\d.]+"
    assert re.fullmatch(line, logged[0].getMessage())


def test_plain_json_is_pushed_without_a_word(backend: Backend, logged: list[logging.LogRecord]) -> None:
    backend.push({"rows": 3})
    assert not logged


SMALL = """
import datetime, json, os, sys
from types import SimpleNamespace
from airflow_xcom.backend import CodecXComBackend as backend

def heavy():
    return sorted({"msgpack", "pyarrow", "numpy", "xxhash"} & sys.modules.keys())

def there_and_back(value):
    row = json.loads(json.dumps(backend.serialize_value(value, key="k")))
    assert backend.deserialize_value(SimpleNamespace(value=row)) == value
    return heavy()
"""


def run(code: str) -> list[str]:
    """Return the lines that a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", SMALL + code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_small_value_needs_no_library() -> None:
    assert run("""
print(heavy(), there_and_back(datetime.datetime.now(datetime.UTC)), there_and_back((1, "a")))
print("msgpack" in there_and_back([(1, 2)]))
""") == ["[] [] []", "True"]


def test_a_first_pull_writes_no_json_and_a_first_push_looks_for_no_advice() -> None:
    assert run("""
from airflow_xcom.backend.envelope import Coordinate, Envelope
row = Envelope("datetime", {}, Coordinate(), data={"$": ["datetime", 1, "2024-01-01T00:00:00"]}).to_json()
assert backend.deserialize_value(SimpleNamespace(value=row)) == datetime.datetime(2024, 1, 1)
print("airflow_xcom.codecs.builtin.stdlib.times" in sys.modules, "orjson" in sys.modules)
there_and_back(datetime.datetime(2024, 1, 1))
print("orjson" in sys.modules, "airflow_xcom.codecs.refusal_advice" in sys.modules)
""") == ["True False", "True False"]


def test_a_fork_finds_what_its_first_push_needs() -> None:
    assert run("""
from airflow_xcom.backend import compat, pull
from airflow_xcom.codecs.registry import registry
before = set(sys.modules)
if os.fork() == 0:
    forked = set(sys.modules)
    print(pull.connect_registry.cache_info().currsize, datetime.datetime in registry._cache)
    print(compat._hides.cache_info().currsize, pull.prepare.cache_info().currsize, "of which the options tell")
    there_and_back(datetime.datetime(2024, 1, 1))
    print(sorted(name for name in forked - before if name == "airflow_xcom.backend.push"))
    print(sorted(name for name in set(sys.modules) - forked if name.startswith(("airflow_xcom", "orjson"))), flush=True)
    os._exit(0)
os.wait()
""") == ["1 True", "0 0 of which the options tell", "['airflow_xcom.backend.push']", "[]"]


def test_airflows_listing_of_entry_points_has_those_that_are_installed() -> None:
    found = {(point.name, point.value) for point in compat.installed_entry_points("console_scripts")}
    assert found == {(point.name, point.value) for point in entry_points(group="console_scripts")}

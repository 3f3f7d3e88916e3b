"""The command line, over a metadata database that Airflow has set up, with rows of every kind."""

from __future__ import annotations

import argparse
import ast
import errno
import fcntl
import gc
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import msgpack
import numpy as np
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy
import test_arrow
from commands import (
    ARRAY,
    COUNT,
    DOCUMENT,
    FEATURES,
    FRAME,
    ROGUE,
    RUN,
    Metadata,
    envelope,
    fill,
    fill_with_faults,
    made,
    migrate_database,
    push,
    run,
    scenery,
)
from conftest import Backend
from test_migrate import TABLES

from airflow_xcom.backend import ExportError, blobs, cli, stored
from airflow_xcom.backend.commands.selection import summary_text
from airflow_xcom.backend.commands.terminal import fitted, human, visible
from airflow_xcom.backend.database import xcom_rows as rows
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.maintenance import export as exporting
from airflow_xcom.backend.maintenance.export import export
from airflow_xcom.codecs import CodecError, encode, registry
from airflow_xcom.codecs.inspection import outline, outline_json

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
BLOBS = sorted(path for path in GOLDEN.rglob("*") if path.suffix in {".arrow", ".msgpack"})
READABLE = {"clean", "features", "invoice", "locate", "matrix"}
STATES = {
    "damaged": "corrupt",
    "shortened": "corrupt",
    "lost": "missing",
    "expired": "expired",
    "elsewhere": "unreachable",
    "other_host": "unreachable",
    "forged": "unreadable",
    "malformed": "unreadable",
    "newer": "unreadable",
}
UNREADABLE = {task for task, state in STATES.items() if state == "unreadable"}


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    before = registry._allows
    yield
    registry.allow_classes(before)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    template = shared / "migrated-sqlite"
    with (shared / f"{template.name}.lock").open("w") as lock:  # which test_migrate.py uses, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            migrate_database(f"sqlite:///{template}.new", shared / "airflow")
            Path(f"{template}.new").rename(template)
    home = tmp_path_factory.mktemp("airflow")
    shutil.copy(template, home / "airflow.db")
    return f"sqlite:///{home}/airflow.db"


@pytest.fixture
def metadata(url: str, backend: Backend) -> Iterator[Metadata]:
    found = Metadata(url)
    with scenery(found):
        yield found
    found.clear()
    found.engine.dispose()


@pytest.fixture
def filled(metadata: Metadata, backend: Backend) -> Metadata:
    fill(metadata)
    fill_with_faults(metadata, backend.folder)
    return metadata


def lines(*arguments: str) -> list[Any]:
    return [json.loads(line) for line in run(*arguments, "--output", "json")[1].splitlines()]


def tasks(*arguments: str) -> set[str]:
    return {row["task_id"] for row in lines("list", *arguments)}


# -- the page ------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_commands_print(metadata: Metadata, tmp_path: Path) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == made(metadata, tmp_path)


def test_the_page_has_the_help_of_every_command() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    for name in cli.COMMANDS:
        assert f"$ airflow-xcom {name} --help\nusage: airflow-xcom {name} " in page


# -- list ----------------------------------------------------------------------------------------------------


def test_rows_of_ours_are_listed_and_plain_ones_are_not(filled: Metadata) -> None:
    assert tasks() == READABLE | set(STATES)
    found = {row["task_id"]: row for row in lines("list")}
    assert {task for task, row in found.items() if row["place"] == "unreadable"} == UNREADABLE
    assert all(row["error"] for task, row in found.items() if task in UNREADABLE)
    assert {row["tag"] for task, row in found.items() if task == "clean"} == {"pandas.DataFrame"}
    assert (found["matrix"]["map_index"], found["matrix"]["place"], found["matrix"]["store"]) == (3, "row", None)
    blob = found["clean"]["blob"]
    assert Path(blob.removeprefix("file://")).stat().st_size == found["clean"]["bytes"]
    assert run("list")[0] == run("list", "--output", "json")[0] == 1, "some cannot be read"
    assert run("list", "--task", "clean")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task", "clean"], {"clean"}),
        (
            ["--tag", "pandas.DataFrame"],
            {"clean", "damaged", "shortened", "lost", "expired", "elsewhere", "other_host"},
        ),
        (["--store", "row"], {"invoice", "locate", "matrix"}),
        (["--store", "old"], {"elsewhere"}),
        (["--map-index", "3"], {"matrix"}),
        (["--key", "other"], set()),
        (["--run", RUN, "--dag", "flights", "--task", "matrix", "--key", "return_value"], {"matrix"}),
        (["--dag", "flight"], set()),
        (["--limit", "2"], {"clean", "damaged"}),
        (["--limit", "1", "--tag", "numpy.ndarray"], {"matrix"}),
    ],
)
def test_filters(filled: Metadata, arguments: list[str], expected: set[str]) -> None:
    assert tasks(*arguments) == expected


def test_nulls_are_listed_where_there_are_any() -> None:
    facts = {"type": "pandas.DataFrame", "shape": [2, 1], "dtypes": {"a": "int64"}}
    assert summary_text({**facts, "nulls": []}, "pandas.DataFrame") == "2 x 1, dtypes a: int64"
    assert summary_text({**facts, "nulls": [1]}, "pandas.DataFrame").endswith("nulls [1]")


def test_what_is_not_exact_is_listed_with_its_places(filled: Metadata, backend: Backend) -> None:
    class Text(str):
        __slots__ = ()

    at = {"dag_id": "flights", "run_id": RUN, "task_id": "odd"}
    filled.put("odd", backend.push(stored({"a": [Text("x")]}, inexact="as_airflow"), **at))
    (found,) = lines("list", "--inexact")
    assert (found["task_id"], found["inexact"]) == ("odd", {"count": 1, "places": ['value["a"][0]']})
    assert "  inexact at 1 place: value" in run("list", "--inexact")[1]
    filled.put("odd", backend.push(stored([Text("x"), Text("y")], inexact="as_airflow", inline=False), **at))
    assert "  inexact at 2 places; " in run("list", "--inexact")[1]


@pytest.mark.parametrize("page", [1, 2, 7, 100])
def test_pages_give_every_row_once(filled: Metadata, page: int) -> None:
    found = [row.coordinate.task_id for row in Rows(filled.engine).matching(Coordinate(), page)]
    assert Counter(found) == Counter(READABLE | set(STATES))
    plain = [row.coordinate.task_id for row in Rows(filled.engine).matching(Coordinate(), page, native=True)]
    assert Counter(plain) == Counter(READABLE | set(STATES) | {"count"})


def test_lists_fit_the_terminal(filled: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (60, 80, 110, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        told = run("list")[1].splitlines()
        assert max(map(len, told)) <= width
        assert len(told) == 1 + len(READABLE) + len(STATES)
    monkeypatch.setenv("COLUMNS", "0")
    assert RUN in run("list")[1], "nothing is cut in a pipe"


def test_columns_are_aligned_by_what_the_terminal_shows() -> None:
    told = list(fitted(("A", "SIZE", "B"), [("日本", "5 B", "x"), ("é", "10 B", "y")], 0))
    assert told == ["A     SIZE  B", "日本   5 B  x", "é     10 B  y"]
    told = list(fitted(("A", "B"), [("abcdefgh", "x"), ("日本語日本語", "y")], 8))
    assert told == ["A      B", "abcd…  x", "日本…  y"]
    assert list(fitted(("AB", "CD"), [("x", "y")], 1)) == ["…  …", "x  y"]
    assert list(fitted(("AB", "CD"), [], 80)) == []


def test_columns_stay_where_they_are_on_the_next_page() -> None:
    told = list(fitted(("A", "B"), [("long", "x")] * 200 + [("s", "y")] * 300, 0))
    assert Counter(line.rstrip()[-1] for line in told) == {"B": 1, "x": 200, "y": 300}
    assert {len(line) for line in told} == {7}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert human(size) == text


@pytest.mark.parametrize("version", TABLES)
def test_the_tables_of_other_airflows(version: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    monkeypatch.setattr(rows, "metadata_rows", lambda: Rows(engine))
    values = [push((1, 2), "clean"), {"airflow_xcom": {"version": 1}}, {"plain": "airflow_xcom"}]
    with engine.begin() as connection:
        for table, (columns, key, kind) in TABLES[version].items():
            connection.execute(sqlalchemy.text(f"create table {table} ({columns}, value {kind}, primary key ({key}))"))
            names = [column.split()[0] for column in columns.split(", ")]
            insert = f"insert into {table} values ({', '.join(f':{name}' for name in names)}, :value)"
            for number, value in enumerate(values):
                text = json.dumps(value)
                facts = dict.fromkeys(names, f"clean{number}") | {"map_index": number, "dag_run_id": number}
                stored = text.encode() if kind == "blob" else text
                connection.execute(sqlalchemy.text(insert), {name: facts[name] for name in names} | {"value": stored})
            if kind == "blob":  # Airflow 2 may have pickles
                facts |= {"key": "pickled", "value": b"\x80\x04K\x01."}
                connection.execute(sqlalchemy.text(insert), {name: facts[name] for name in [*names, "value"]})
    found = lines("list")
    assert [row["place"] for row in found] == ["row", "unreadable"] * len(TABLES[version])
    assert {row["dag_id"] for row in found if row["place"] == "row"} == {"flights"}, "as the envelope says"
    assert len(lines("list", "--key", "clean0")) == len(TABLES[version])
    assert len(lines("list", "--dag", "flights")) == len(TABLES[version]), "by the envelope, too"
    assert lines("list", "--dag", "trains") == []


def test_memory_does_not_grow_with_the_rows(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = json.dumps(push({"text": "x" * 5000, "t": (1,)}, "clean"))
    peaks = []
    for count in (300, 3_000):
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/{count}.db")
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table xcom (id integer primary key, value json)"))
            inserted = [{"id": number, "value": row} for number in range(count)]
            connection.execute(sqlalchemy.text("insert into xcom values (:id, :value)"), inserted)
        gc.collect()
        tracemalloc.start()
        assert sum(1 for _ in Rows(engine).matching(Coordinate())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks


# -- names that want to be obeyed ----------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["table", "json"])
def test_names_reach_the_terminal_escaped(
    metadata: Metadata, backend: Backend, tmp_path: Path, output: str, capfd: pytest.CaptureFixture[str]
) -> None:
    task, key = f"clean{ROGUE}", f"key\n{ROGUE}"
    at = {"dag_id": f"dag{ROGUE}", "run_id": f"run\r{ROGUE}", "key": key}
    metadata.put(task, push(pd.DataFrame({f"column{ROGUE}": [f"cell{ROGUE}"] * 9000}), task, **at), **at)
    metadata.put("forged", envelope(ref={"path": f"../{ROGUE}"}, tag=f"tag{ROGUE}"), **at)
    metadata.put("tree", envelope(data={ROGUE: [ROGUE, {"$": [ROGUE, 1, ROGUE]}]}, summary={"type": ROGUE}), **at)
    metadata.put("plain", {ROGUE: ROGUE}, **at)
    backend.blobs()[0].unlink()
    for arguments in (
        ["list"],
        ["verify"],
        *(["inspect", "--task", name] for name in (task, "forged", "tree", "plain")),
        ["inspect", "--dag", at["dag_id"]],
        ["inspect", "--key", "none", "--run", at["run_id"]],
        ["export", "--task", task, "--to", str(tmp_path / "x.csv")],
        ["export", "--task", "tree", "--to", str(tmp_path / "x.json")],
        ["migrate", "--from", "default", "--to", ROGUE],
    ):
        options = ["--output", output] if arguments[0] != "migrate" else []
        _, out, errors = run(*arguments, *options)
        assert out + errors, arguments
        assert all(character.isprintable() or character == "\n" for character in out + errors), arguments
        if output == "table":
            assert "\\x1b[2J" in out + errors, arguments
        if arguments == ["list"]:
            assert len(out.splitlines()) == 3 + (output == "table"), "a name with a line break takes one line"
    logged = capfd.readouterr()
    assert "\x1b]0;" not in logged.out + logged.err


def test_what_is_escaped_and_what_is_not() -> None:
    assert visible("größe 日本 a b") == "größe 日本 a b"
    assert visible("a\x1b[0m\n\x7f\x9b\u202e\ud800\u00a0b") == r"a\x1b[0m\n\x7f\x9b\u202e\ud800\xa0b"


def test_a_log_message_is_one_line_and_escaped(metadata: Metadata, caplog: pytest.LogCaptureFixture) -> None:
    run("list")
    import logging

    logging.getLogger("airflow_xcom.backend").warning("of %s", f"a\n{ROGUE}")
    assert caplog.records[-1].getMessage() == "of " + visible(f"a\n{ROGUE}")


# -- inspect -------------------------------------------------------------------------------------------------


def test_inspecting_a_table(filled: Metadata) -> None:
    found = json.loads(run("inspect", "--task", "clean", "--rows", "2", "--output", "json")[1])
    assert found["outline"]["rows"] == len(FRAME)
    assert [column["name"] for column in found["outline"]["columns"]] == ["carrier", "delay", "seconds", "when"]
    assert found["outline"]["head"] == [
        ["AA", "3", "0", "2024-01-01 00:00:00.000000"],
        ["UA", None, "0.125", "2024-01-01 00:01:00.000000"],
    ]
    blob = found["blob"]
    for place in (blob, blob.removeprefix("file://")):
        alone = json.loads(run("inspect", place, "--rows", "2", "--output", "json")[1])
        assert alone["outline"] == found["outline"]
        assert alone["bytes"] == found["bytes"]


def test_inspecting_says_what_the_row_says_of_a_payload_that_is_gone(filled: Metadata) -> None:
    code, out, errors = run("inspect", "--task", "lost")
    assert code == 1
    assert "tag         pandas.DataFrame" in out
    assert "gone from the store" in errors
    code, out, errors = run("inspect", "--task", "newer")
    assert (code, "version 99" in errors) == (1, True)


def test_inspecting_a_plain_value(filled: Metadata) -> None:
    code, out, _ = run("inspect", "--task", "count")
    assert code == 0
    assert out.endswith('\n{"rows": 8000}\n')


def test_inspecting_names_classes_that_may_not_be_restored(filled: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "[core] allowed_deserialization_classes = acme.geo.Point"
    assert wanted in run("inspect", "--task", "locate")[1]
    monkeypatch.setattr("airflow_xcom.backend.compat.allows_class", lambda name: name == "acme.geo.Point")
    assert wanted not in run("inspect", "--task", "locate")[1]


def test_one_xcom_must_be_meant(filled: Metadata) -> None:
    code, out, errors = run("inspect", "--dag", "flights")
    assert (code, out) == (1, "")
    assert "several XComs with dag=flights; say which" in errors
    assert "task=clean" in errors
    code, _, errors = run("export", "--task", "nothing", "--to", "x.json")
    assert (code, "no XCom with task=nothing" in errors) == (1, True)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/nowhere/x.arrow", "no such blob"),
        ("{base}/x", "no such blob"),
        ("{base}/../x", "leaves the store"),
        ("{base}/a/../../x", "leaves the store"),
        ("file:///nowhere/x.arrow", "not within a configured store"),
        ("s3://elsewhere/x", "not within a configured store"),
    ],
)
def test_a_blob_must_be_in_a_store_or_a_file(backend: Backend, place: str, reason: str) -> None:
    code, out, errors = run("inspect", place.format(base=backend.folder.as_uri()))
    assert (code, out) == (1, "")
    assert reason in errors


def read_by(data: bytes) -> tuple[Callable[[Any], Any], Counter[str]]:
    """What gives ranges of bytes, and how many it gave."""
    memory, seen = memoryview(bytearray(data)), Counter[str]()

    def fetch(ranges: Any) -> Any:
        seen["bytes"] += sum(stop - start for start, stop in ranges)
        return [memory[start:stop] for start, stop in ranges]

    return fetch, seen


@pytest.mark.parametrize("path", BLOBS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_golden_payload_has_an_outline(path: Path) -> None:
    data = path.read_bytes()
    found = outline(read_by(data)[0], len(data))
    assert found["format"] == path.suffix.removeprefix(".")
    json.dumps(found, allow_nan=False)
    if found["format"] == "arrow":
        table = pa.ipc.open_file(data).read_all()
        assert (found["rows"], [column["name"] for column in found["columns"]]) == (table.num_rows, table.schema.names)
        assert len(found["head"]) == min(10, table.num_rows) * bool(table.num_columns)
    row = path.with_suffix(".json")
    if row.exists():
        inline = outline_json(json.loads(row.read_text())["data"])
        json.dumps(inline, allow_nan=False)
        if found["format"] == "arrow":
            assert [inline[name] for name in ("tag", "rows", "columns")] == [
                found[name] for name in ("tag", "rows", "columns")
            ]
        elif inline.get("tree") != found["tree"]:
            assert {tag for tag, _ in found["tags"]} >= tags_in(inline["tree"])


def tags_in(node: Any) -> set[str]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    own = {node["tag"]} if isinstance(node, dict) and node.get("type") == "tagged" else set()
    return own.union(*map(tags_in, children))


TREE = {
    "none": None,
    "yes": True,
    "numbers": [1, -1, -33, 127, 128, 255, 256, 65536, 2**32, 2**63, -129, -(2**15) - 1, 1.5],
    "text": ["", "x" * 31, "x" * 32, "x" * 256],
    "long": "y" * 70_000,
    "bytes": [b"", b"x" * 256, b"x" * 70_000],
}


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_tree_is_told_as_it_was_packed(compression: str) -> None:
    packed = encode([*TREE.values(), (1, [2] * 20), {n: n for n in range(70)}], compression=compression).to_bytes()
    found = outline(read_by(packed)[0], len(packed))["tree"]
    assert found["length"] == 8
    numbers, text, long, binary, tagged, many = found["items"][2:]
    assert [item["value"] for item in numbers["items"]] == TREE["numbers"][:8]
    assert [item["value"] for item in text["items"]] == [*TREE["text"][:3], "x" * 200 + "…"]
    assert long["value"] == "y" * 200 + "…"
    assert [item["bytes"] for item in binary["items"]] == [0, 256, 70_000]
    assert (tagged["tag"], tagged["node"]["items"][0]["value"]) == ("tuple", 1)
    assert (tagged["node"]["items"][1]["length"], len(tagged["node"]["items"][1]["items"])) == (20, 8)
    assert (many["length"], many["items"][7]) == (70, [{"type": "int", "value": 7}, {"type": "int", "value": 7}])


@pytest.mark.parametrize("number", TREE["numbers"])
def test_numbers_of_every_width(number: float) -> None:
    packed = encode([number]).to_bytes()
    assert outline(read_by(packed)[0], len(packed))["tree"]["items"][0]["value"] == number


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({f"c{n}": np.arange(200_000.0) for n in range(20)}),
        {"weights": np.arange(4_000_000.0), "frame": pd.DataFrame({"a": np.arange(1_000_000)})},
        {"long": ["text" * 10] * 500_000, "after": (1,)},
    ],
    ids=["table", "buffers", "tree"],
)
def test_of_a_large_payload_little_is_read(value: Any) -> None:
    packed = encode(value).to_bytes()
    fetch, seen = read_by(packed)
    assert outline(fetch, len(packed))
    assert len(packed) > 9 << 20
    assert seen["bytes"] < 1 << 20, seen


@pytest.mark.parametrize("name", ["zone_of_nowhere", "dictionary_of_views", "table_of_all_kinds"])
def test_tables_of_types_that_nothing_writes_as_text(name: str) -> None:
    packed = encode(test_arrow.MADE[name]()).to_bytes()
    found = outline(read_by(packed)[0], len(packed))
    assert len(found["head"]) == min(10, found["rows"])


@pytest.mark.parametrize("algorithm", ["none", "lz4", "zstd"])
def test_the_compression_is_told(algorithm: str) -> None:
    for value in (FRAME, FEATURES):
        packed = encode(value, compression=algorithm).to_bytes()
        found = outline(read_by(packed)[0], len(packed))
        told = (
            [found["compression"]]
            if "compression" in found
            else [part.get("compression", "none") for part in found["buffers"]]
        )
        assert told == [algorithm]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_tree_that_is_too_large_is_said_to_be_unread(compression: str) -> None:
    value = {"long": [str(number).zfill(40) for number in range(60_000)], "after": (1,)}
    packed = encode(value, compression=compression).to_bytes()
    found = outline(read_by(packed)[0], len(packed))
    assert (found["tree"], found["tags"]) == ({"type": "unread"}, [("tuple", 1)])
    assert found["tree_bytes"] > 2 << 20


def test_what_is_within_and_behind_a_large_tagged_value_is_told_all_the_same() -> None:
    packed = encode({"rows": ("x" * 1_500_000, 7), "score": 0.5}).to_bytes()
    (_, rows), (_, score) = outline(read_by(packed)[0], len(packed))["tree"]["items"]
    assert (rows["tag"], rows["node"]["items"][1]["value"], score["value"]) == ("tuple", 7, 0.5)


def test_only_what_is_met_again_has_a_number() -> None:
    array = np.arange(1000.0)
    packed = encode([np.arange(2000.0), array, (array,)]).to_bytes()
    once, first, again = outline(read_by(packed)[0], len(packed))["tree"]["items"]
    assert once["type"] == "tagged"
    assert (first["type"], first["place"], first["node"]["tag"]) == ("shared", 0, "numpy.ndarray")
    assert again["node"]["items"] == [{"type": "same", "place": 0}]


def test_a_tree_that_goes_on_is_cut() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep] * 3
        if len(encode(deep).to_bytes()) > 100_000:
            break
    packed = encode(deep).to_bytes()
    text = json.dumps(outline(read_by(packed)[0], len(packed)))
    assert '"unread"' in text
    assert len(text) < 50_000
    assert len(json.dumps(outline_json(deep))) < 50_000


def test_damage_is_always_a_typed_error() -> None:
    chance = random.Random(6)
    outcomes: Counter[str] = Counter()
    for path in BLOBS[::4]:
        for _ in range(12):
            data = bytearray(path.read_bytes())
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            data = data[: chance.randrange(len(data))] if chance.random() < 0.3 else data
            try:
                json.dumps(outline(read_by(bytes(data))[0], len(data)), allow_nan=False)
                outcomes["read"] += 1
            except CodecError:
                outcomes["refused"] += 1
    assert outcomes["refused"] > outcomes.total() / 4
    assert outcomes["read"] > 10


def test_a_timestamp_of_messagepack_is_told_as_an_int() -> None:
    tree = msgpack.packb([msgpack.Timestamp(1, 5)])
    data = msgpack.packb(["airflow_xcom", 1, [], [], len(tree)]) + tree
    found = json.loads(json.dumps(outline(read_by(data)[0], len(data))))
    assert found["tree"]["items"] == [{"type": "int", "value": 1_000_000_005}]


@pytest.mark.parametrize("size", [2**62, -1, "1"])
def test_sizes_that_cannot_be_are_refused_before_they_are_used(size: Any) -> None:
    data = body_with_a_buffer_of(size)
    with pytest.raises(CodecError, match="the size .* in the header is not from 0 to"):
        outline(read_by(data)[0], len(data))


def body_with_a_buffer_of(size: Any) -> bytes:
    packed: bytes = msgpack.packb(["airflow_xcom", 1, [], [size], 1])
    return packed + b"\xc0"


NO_LIBRARY = """
import sys
from airflow_xcom.codecs.inspection import outline
for path in sys.argv[1:]:
    data = memoryview(bytearray(open(path, "rb").read()))
    outline(lambda ranges: [data[slice(*part)] for part in ranges], len(data))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_library_of_the_value_is_loaded() -> None:
    names = ["frame.arrow", "geometry-series.arrow", "labelled-array.msgpack", "data-class.msgpack", "dataset.msgpack"]
    paths = [str(GOLDEN / "v1" / name) for name in names]
    done = subprocess.run([sys.executable, "-c", NO_LIBRARY, *paths], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"pandas", "polars", "geopandas", "shapely", "xarray", "airflow", "sqlalchemy"}
    assert "pyarrow" in loaded


# -- verify --------------------------------------------------------------------------------------------------


def test_verifying_tells_what_is_wrong_with_each(filled: Metadata) -> None:
    *failures, last = lines("verify")
    assert {row["task_id"]: row["state"] for row in failures} == STATES
    expected = Counter(STATES.values()) + Counter({"ok": 2, "in the row": 3})
    sizes = [row["bytes"] for row in lines("list") if row["task_id"] in {"clean", "features"}]
    assert last == {"totals": {**expected, "bytes": sum(sizes)}}
    code, out, _ = run("verify")
    assert code == 1
    for task, state in STATES.items():
        assert re.search(rf"^{state} +dag=flights run=\S+ task={task} ", out, re.MULTILINE)
    assert run("verify", "--task", "clean")[0] == 0
    assert run("verify", "--tag", "pandas.DataFrame", "--task", "clean")[1].startswith("1 ok; ")


def test_a_store_that_does_not_answer_is_not_a_lost_payload(filled: Metadata, backend: Backend) -> None:
    blob = next(path for path in backend.blobs() if "clean" in path.parts)
    blob.unlink()
    blob.mkdir()  # which cannot be read
    state = lines("verify", "--task", "clean")
    assert [row.get("state") for row in state] == ["unreachable", None]


def test_a_row_that_is_replaced_meanwhile_is_not_missing(filled: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = blobs.verified

    def replaced(reference: Any) -> Any:
        filled.put("lost", push((1, 2), "lost"))
        return verified(reference)

    monkeypatch.setattr("airflow_xcom.backend.commands.verify.verified", replaced)
    code, out, _ = run("verify", "--task", "lost")
    assert (code, out) == (0, "1 changed meanwhile; 0 B compared\n")


def test_progress_goes_to_standard_error(filled: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_xcom.backend.commands import terminal

    monkeypatch.setattr(terminal, "INTERVAL", -1.0)
    _, out, errors = run("verify", "--output", "json")
    assert errors.count("so far\n") == len(READABLE) + len(STATES)
    assert "so far" not in out


# -- export --------------------------------------------------------------------------------------------------

TABLE = pa.table(
    {
        "i": pa.array([1, None, -(2**62)]),
        "f": pa.array([float("nan"), None, -0.0]),
        "s": pa.array(["", None, 'quote " comma, \n line é']),
        "b": pa.array([True, None, False]),
        "d": pa.array([0, None, 19000], pa.date32()),
        "t": pa.array([1, None, 1_700_000_000_123_456], pa.timestamp("us")),
        "n": pa.array([Decimal("1.10"), None, Decimal("-99.99")], pa.decimal128(10, 2)),
    }
)
NESTED = TABLE.append_column("l", pa.array([[1.5, None], None, []])).append_column("y", pa.array([b"", None, b"\x00"]))
EXPECTED = [tuple(row.values()) for row in NESTED.to_pylist()]


def exact(rows: Any, expected: Any = EXPECTED) -> None:
    assert [tuple(map(repr, row)) for row in rows] == [tuple(map(repr, row)) for row in expected]


def test_parquet_is_read_back_by_others(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    assert export(NESTED, file, "parquet") == []
    exact(duckdb.sql(f"select * from '{file}'").fetchall())
    exact(pl.read_parquet(file).rows())


def test_arrow_is_read_back_by_others(tmp_path: Path) -> None:
    file = tmp_path / "x.arrow"
    assert export(NESTED, file, "arrow") == []
    exact(pl.read_ipc(file).rows())


def test_csv_is_read_back_by_others(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert export(TABLE, file, "csv") == []
    types = {"i": "bigint", "f": "double", "s": "varchar", "b": "boolean", "d": "date", "t": "timestamp"}
    types["n"] = "decimal(10, 2)"
    expected = [row[: TABLE.num_columns] for row in EXPECTED]
    read = f"read_csv('{file}', header = true, columns = {types}, allow_quoted_nulls = false, quote = '\"')"
    exact(duckdb.sql(f"select * from {read}").fetchall(), expected)


def test_json_is_read_back_by_others(tmp_path: Path) -> None:
    value = {"a": [1, -0.0, 1e300, None, True, "é\n\x00"], "b": {"": {}}}
    export(value, tmp_path / "x.json", "json")
    assert repr(orjson.loads((tmp_path / "x.json").read_bytes())) == repr(value)
    table = TABLE.select(["i", "s", "b"])
    export(table, tmp_path / "y.json", "json")
    assert orjson.loads((tmp_path / "y.json").read_bytes()) == table.to_pylist()


@pytest.mark.parametrize(
    "array",
    [ARRAY, np.float64(1.5).reshape(()), np.zeros((0, 3), "<f2"), np.arange(24).reshape(4, 6)[::2, ::-3] * 1.5],
    ids=["Fortran, big-endian", "0-d", "empty", "strided"],
)
def test_npy_is_what_its_specification_says(array: Any, tmp_path: Path) -> None:
    export(np.asarray(array), tmp_path / "x.npy", "npy")
    data = (tmp_path / "x.npy").read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    length = int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10 : 10 + length].decode())
    order = "F" if header["fortran_order"] else "C"
    assert (header["descr"], header["shape"]) == (np.asarray(array).dtype.str, np.asarray(array).shape)
    assert data[10 + length :] == np.asarray(array).tobytes(order)


def test_frames_keep_their_index_and_say_what_is_left_out(tmp_path: Path) -> None:
    left = export(FRAME, tmp_path / "x.parquet", "parquet")
    assert left == ["that the last columns are the index", "categories"]
    read = pl.read_parquet(tmp_path / "x.parquet")
    assert read.columns == ["carrier", "delay", "seconds", "when"]
    assert read["carrier"].to_list() == FRAME["carrier"].tolist()
    assert read["delay"].to_list() == [None if value is pd.NA else value for value in FRAME["delay"]]
    assert read["when"].to_list() == FRAME.index.to_pydatetime().tolist()
    for index in (pd.RangeIndex(5, 7), pd.Index([5, 6])):
        frame = pd.DataFrame({1: [1.5, 2.5]}, index=index)
        frame.attrs["unit"] = "m"
        left = export(frame, tmp_path / "y.parquet", "parquet", force=True)
        assert left == ["attrs", "that labels of columns are not text", "that the last columns are the index"]
        assert pl.read_parquet(tmp_path / "y.parquet").rows() == [(1.5, 5), (2.5, 6)]
    assert export(pd.Series([1.5], name="a"), tmp_path / "z.csv", "csv") == ["that it is a series"]
    assert (tmp_path / "z.csv").read_text() == '"a"\n1.5\n'
    assert export(pl.Series("a", [1]), tmp_path / "p.csv", "csv") == ["that it is a series"]
    assert export(pd.DataFrame({"a": [1]}), tmp_path / "q.csv", "csv") == []


REFUSED = [
    ((1, 2), "json", "value is a tuple"),
    ({"a": [{1: 2}]}, "json", r"value\['a'\]\[0\] has the key 1"),
    ({"a": float("nan")}, "json", r"value\['a'\] is nan"),
    ({"a": {"\ud800": 1}}, "json", "lone surrogate"),
    ([True, Decimal(1)], "json", r"value\[1\] is a decimal.Decimal"),
    (pa.table({"a": [0.0, float("inf")]}), "json", r"value\[1\]\['a'\] is inf"),
    (TABLE.select(["d"]), "json", r"value\[0\]\['d'\] is a datetime.date"),
    ([10**5000], "json", "cannot hold"),
    (pa.array([1, 2]), "parquet", "not a table"),
    (TABLE, "npy", "npy holds an array"),
    (np.array([object()]), "npy", "without pickle"),
    (np.zeros(2, np.dtype("i4", metadata={"a": 1})), "npy", "or loss"),
    (np.ma.masked_array([1, 2], [0, 1]), "npy", "numpy.ma.MaskedArray"),
    (np.zeros(2, [("a", "i4"), ("b", "i4")])[["b", "a"]], "npy", "out-of-order fields"),
    (np.arange(3), "csv", "not a table"),
    ([{"a": 1}], "parquet", "not a table"),
    (pd.Index([1, 2]), "parquet", "not a table"),
    (pd.DataFrame({"p": pd.period_range("2024", periods=2)}), "parquet", "column 'p'"),
    (pd.DataFrame({"o": [{"a": 1}, None]}), "arrow", "column 'o'"),
    (pa.table({"a": pa.array([1], pa.duration("s"))}), "parquet", "duration.*which parquet has not"),
    (pa.table({"a": pa.array([[1]], pa.list_(pa.duration("s")))}), "parquet", "which parquet has not"),
    (NESTED.select(["y"]), "csv", "binary, which csv has not"),
    (NESTED.select(["l"]), "csv", "cannot hold the table"),
    (pa.table({"a": ["x", None]}), "csv", "csv does not keep"),
    (pa.table({}), "csv", "no columns"),
]


@pytest.mark.parametrize(("value", "form", "reason"), REFUSED)
def test_what_a_format_cannot_hold_is_refused(value: Any, form: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=reason) as caught:
        export(value, tmp_path / "x", form)
    assert caught.value.format == form
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_would_lose_something_does_not_get_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": [1.5, 2.5], "b": ["x", "y"]})
    narrow = np.float32([1.5, 2.5])
    for column, other in (("a", [1.5, 2.25]), ("a", [1.5, None]), ("b", ["x", "Y"]), ("a", narrow)):
        changed = table.set_column(table.schema.names.index(column), column, pa.array(other))
        with pytest.raises(ExportError, match=f"does not keep column '{column}'"):
            exporting._compare("csv", table, changed)
    with pytest.raises(ExportError, match="does not keep the rows"):
        exporting._compare("csv", table, table.slice(1))
    zeros = [pa.table({"a": [zero]}) for zero in (0.0, -0.0)]
    with pytest.raises(ExportError, match="does not keep column"):
        exporting._compare("csv", *zeros)
    nan = pa.table({"a": [float("nan")], "l": [[float("nan")]]})
    exporting._compare("csv", nan, pa.table({"a": [float("nan")], "l": [[float("nan")]]}))


def test_no_file_is_overwritten_unless_told(filled: Metadata, tmp_path: Path) -> None:
    file = tmp_path / "count.json"
    file.write_text("mine")
    code, _, errors = run("export", "--task", "count", "--to", str(file))
    assert (code, file.read_text()) == (1, "mine")
    assert "exists; --force replaces it" in errors
    assert run("export", "--task", "count", "--to", str(file), "--force")[0] == 0
    assert json.loads(file.read_text()) == COUNT
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["count.json"]


def test_a_file_that_comes_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"

    def slowly(value: Any, temporary: Path) -> None:
        temporary.write_text("ours")
        file.write_text("theirs")

    monkeypatch.setitem(exporting._WRITERS, "json", slowly)
    with pytest.raises(ExportError, match="exists"):
        export({}, file, "json")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert file.read_text() == "theirs"


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    file = tmp_path / "x.json"

    def fail(value: Any, temporary: Path) -> None:
        temporary.write_text("hal")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(exporting._WRITERS, "json", fail)
    if force:
        file.write_text("before")
    with pytest.raises(ExportError, match="No space left"):
        export({}, file, "json", force=force)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"] * force


def test_exporting_from_rows_and_blobs(filled: Metadata, tmp_path: Path) -> None:
    blob = lines("list", "--task", "clean")[0]["blob"]
    for number, source in enumerate((["--task", "clean"], [blob], [blob.removeprefix("file://")])):
        file = tmp_path / f"{number}.parquet"
        told = run("export", *source, "--to", str(file), "--output", "json")
        assert json.loads(told[1]) == {
            "file": str(file),
            "format": "parquet",
            "bytes": file.stat().st_size,
            "left_out": ["that the last columns are the index", "categories"],
        }
        assert pl.read_parquet(file).height == len(FRAME)
    assert run("export", "--task", "matrix", "--to", str(tmp_path / "a"), "--format", "npy")[0] == 0
    assert (np.load(tmp_path / "a") == ARRAY).all()
    assert run("export", "--task", "damaged", "--to", str(tmp_path / "d.csv"))[0] == 1
    assert not (tmp_path / "d.csv").exists()


def test_a_class_that_may_not_be_restored_comes_with_the_line_to_add(filled: Metadata, tmp_path: Path) -> None:
    code, _, errors = run("export", "--task", "locate", "--to", str(tmp_path / "x.json"))
    assert code == 1
    assert "[core] allowed_deserialization_classes = acme.geo.Point" in errors
    assert "Traceback" not in errors


def test_the_format_must_be_known(filled: Metadata) -> None:
    code, _, errors = run("export", "--task", "count", "--to", "x.xlsx")
    assert (code, "say which with --format" in errors) == (1, True)


# -- the line itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["list", "--nothing"],
        ["list", "--limit", "-1"],
        ["inspect", "--rows", "x"],
        ["export", "--task", "a"],
    ],
)
def test_a_line_that_is_not_understood_exits_with_2(arguments: list[str]) -> None:
    code, out, errors = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: airflow-xcom" in errors


def test_a_database_that_is_away_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/nowhere/x.db")

    def away() -> Any:
        return Rows(engine)

    monkeypatch.setattr(rows, "metadata_rows", away)
    for arguments in (["list"], ["verify"], ["inspect", "--task", "a"], ["export", "--task", "a", "--to", "x.csv"]):
        code, out, errors = run(*arguments)
        assert (code, out) == (1, "")
        assert errors == "airflow-xcom: the metadata database cannot be read: unable to open database file\n"


def test_a_database_without_xcoms_is_none_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    session = nullcontext(SimpleNamespace(get_bind=lambda: engine))
    monkeypatch.setattr("airflow.utils.session.create_session", lambda: session)
    code, out, errors = run("list")
    assert (code, out) == (1, "")
    assert "no table of XComs" in errors


def test_faults_of_the_program_are_not_hidden(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "matching", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("list")


CLOSED = """
import sys
from airflow_xcom.backend import cli, stored
def endless(options):
    while True:
        sys.stdout.write("x" * 1000)
print(cli._run(endless, None), file=sys.stderr)
"""


def test_a_reader_that_has_enough_may_go() -> None:
    with subprocess.Popen([sys.executable, "-c", CLOSED], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b"1\n"


LOGGING = """
import json, logging, sys, types
from airflow_xcom.backend import cli

def run(options):
    import airflow
    logging.getLogger("airflow_xcom.backend").warning("a word")
    print(json.dumps({"logged": bool(logging.getLogger().handlers)}))
    return 0

sys.modules["airflow_xcom.backend.commands.list"] = types.SimpleNamespace(run=run)
raise SystemExit(cli.main(["list", "--output", "json"]))
"""


def test_what_is_logged_is_no_part_of_the_output() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"logged": True}
    assert "a word" in done.stderr


def test_airflow_finds_the_same_commands(filled: Metadata, url: str, backend: Backend) -> None:
    variables = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "airflow", "xcom-codecs", "list", "--output", "json"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert [json.loads(line) for line in done.stdout.splitlines()] == lines("list")
    assert done.returncode == 1, "Airflow takes no exit code from a command"


def test_airflow_gets_the_declarations_that_argparse_gets() -> None:
    (group,) = cli.airflow_commands()
    assert group.name == "xcom-codecs"
    assert [command.name for command in group.subcommands] == list(cli.COMMANDS)
    for command in group.subcommands:
        parser = argparse.ArgumentParser(prog=f"airflow-xcom {command.name}")
        for argument in command.args:
            assert not argument.flags[0].startswith("-"), "Airflow sorts options and reads their second flag"
            argument.add_to_parser(parser)
        assert parser.format_help() == run(command.name, "--help")[1]


def test_the_provider_names_the_commands_and_loads_nothing() -> None:
    from airflow_xcom.backend.provider_info import get_provider_info

    (name,) = get_provider_info()["cli"]
    module, _, function = name.rpartition(".")
    assert getattr(sys.modules[module], function) is cli.airflow_commands
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert roots & {"airflow", "sqlalchemy", "pyarrow", "pandas", "numpy", "msgpack", "orjson", "xxhash"} == set()

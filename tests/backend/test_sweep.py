"""A sweep takes exactly what no row refers to, in every kind of store, and nothing at all if anything is in doubt."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import database
import httpx
import numpy as np
import pytest
import sqlalchemy
from conftest import Backend
from leftovers import s3_client
from locations import Locations
from owners import add_variables, adopted
from servers import BUCKET

from airflow_xcom.backend import SettingsError, StoreError, blob_paths, cli
from airflow_xcom.backend.commands import sweep as sweep_command
from airflow_xcom.backend.commands import terminal
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.envelope import ENVELOPE_VERSION, Coordinate, unique_path
from airflow_xcom.backend.errors import SweepError, XComNotFoundError
from airflow_xcom.backend.maintenance import sweep as sweeping
from airflow_xcom.backend.maintenance.ownership import OWNER
from airflow_xcom.backend.maintenance.references import References
from airflow_xcom.backend.maintenance.rest_rows import RestRows
from airflow_xcom.backend.maintenance.sweep import Report, StoreReport, sweep
from airflow_xcom.backend.stores import files, open_store
from airflow_xcom.backend.stores.base import Blob

KINDS = ["file", "s3", "redis"]
LARGE = 1 << 19  # numbers of 8 bytes, which Valkey keeps in chunks
TABLE = """create table {} (dag_id text, run_id text, map_index integer, value {},
    primary key (dag_id, run_id, map_index))"""
WRITER = """
import os, signal, sys
from airflow_xcom.backend.stores import open_store, redis
redis._CHUNK = 1 << 20

def chunks():
    for _ in range(12):
        yield bytes(1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)

open_store(sys.argv[1]).put(sys.argv[2], chunks())
"""


@dataclass
class Metadata:
    """A database with a table of XComs."""

    engine: Any
    table: str = "xcom"

    def put(self, number: int, row: Any, *, dag: str = "flights", run: str = "manual") -> None:
        self.put_text(number, json.dumps(row), dag=dag, run=run)

    def put_text(self, number: int, text: str, *, dag: str = "flights", run: str = "manual") -> None:
        kind = ":value" if self.engine.dialect.name == "sqlite" else "cast(:value as jsonb)"
        values = {"dag": dag, "run": run, "number": number}
        with self.engine.begin() as connection:
            delete = f"delete from {self.table} where dag_id = :dag and run_id = :run and map_index = :number"
            connection.execute(sqlalchemy.text(delete), values)
            insert = f"insert into {self.table} values (:dag, :run, :number, {kind})"
            connection.execute(sqlalchemy.text(insert), {**values, "value": text})

    def delete(self, where: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"delete from {self.table} where {where}"))

    def paths(self) -> set[str]:
        """What the rows refer to, by no code of the sweep."""
        with self.engine.connect() as connection:
            texts = connection.execute(sqlalchemy.text(f"select value from {self.table}")).scalars().all()
        rows = [json.loads(text) if isinstance(text, str) else text for text in texts]
        return {row["airflow_xcom"]["ref"]["path"] for row in rows}

    @property
    def rows(self) -> Rows:
        return adopted(Rows(self.engine))


def in_memory(*tables: str, kind: str = "json") -> Metadata:
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.StaticPool, connect_args={"check_same_thread": False}
    )
    with engine.begin() as connection:
        for table in tables or ("xcom",):
            connection.execute(sqlalchemy.text(TABLE.format(table, kind)))
    add_variables(engine)
    return Metadata(engine, *tables[:1])


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    made = in_memory()
    yield made
    made.engine.dispose()


def swept(rows: Any, **options: Any) -> Report:
    report = Report()
    for _ in sweep(rows, report, **{"apply": True, "grace": 0, "wait": 0, **options}):
        pass
    return report


# What is in a store, by no code of the stores


def _files(url: str, _: pytest.FixtureRequest) -> set[str]:
    base = Path(unquote(urlsplit(url).path))
    return {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}


def _objects(url: str, request: pytest.FixtureRequest) -> set[str]:
    prefix = unquote(urlsplit(url).path).strip("/") + "/"
    answer = s3_client(request.getfixturevalue("seaweedfs")).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    assert not answer["IsTruncated"]
    return {entry["Key"].removeprefix(prefix) for entry in answer.get("Contents", ())}


def _keys(url: str, request: pytest.FixtureRequest) -> set[str]:
    import redis

    server: SimpleNamespace = request.getfixturevalue("valkey")
    client = redis.Redis(port=server.port, password=server.password)
    prefix = unquote(urlsplit(url).path).strip("/") + "/"
    return {key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*", count=10_000)}


CONTENTS: dict[str, Callable[[str, pytest.FixtureRequest], set[str]]] = {
    "file": _files,
    "s3": _objects,
    "redis": _keys,
}


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_orphans_go(
    kind: str, backend: Backend, locations: Locations, metadata: Metadata, request: pytest.FixtureRequest
) -> None:
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    for dag in ("flights", "Züge / 2"):
        for number in range(12):
            value = np.arange(LARGE if number < 2 else number)
            metadata.put(number, backend.push(value, dag_id=dag, map_index=number), dag=dag)
    metadata.put(0, backend.push((1, 2), map_index=0))  # a key that is overwritten
    metadata.delete("dag_id = 'flights' and map_index in (4, 5)")
    metadata.delete("dag_id <> 'flights' and map_index > 7")
    kill_a_writer(url)
    foreign = leave_something_foreign(kind, url)
    before = contents(kind, url, request)
    referenced = metadata.paths()
    unfinished = locations.unpublished(kind, url)({blob.path for blob in open_store(url).list()})

    # In whole seconds on S3; and what Valkey is to drop by itself in an hour is as old as it can get then.
    dry = swept(metadata.rows, apply=False, grace=-4000)
    assert contents(kind, url, request) == before, "a dry run changes nothing"
    report = swept(metadata.rows, grace=-4000)

    after = contents(kind, url, request)
    assert {path.partition("#")[0] for path in after - foreign} == referenced
    assert locations.unpublished(kind, url)({blob.path for blob in open_store(url).list()}) <= foreign
    found = report.stores["default"]
    assert found.orphans == dry.stores["default"].orphans == found.deleted
    assert found.orphans.count == 1 + 2 + 4 + len(unfinished)
    assert found.unfinished.count == len(unfinished) > 0
    assert found.foreign.count == len(foreign)
    assert {name: tally.count for name, tally in found.dags.items()} == {
        "flights": 3,
        "Züge / 2": 4,
        "killed": len(unfinished),
    }
    for row in metadata.paths():
        assert len(open_store(url).get(row)) > 0


def contents(kind: str, url: str, request: pytest.FixtureRequest) -> set[str]:
    return CONTENTS[kind](url, request) - {OWNER}


def kill_a_writer(url: str) -> None:
    path = unique_path(Coordinate("killed", "manual", "clean", -1, "return_value"), ".msgpack")
    done = subprocess.run([sys.executable, "-c", WRITER, url, path], check=False)
    assert done.returncode == -signal.SIGKILL


def leave_something_foreign(kind: str, url: str) -> set[str]:
    """What others keep below the base; a listing of Valkey does not show what has no head of ours."""
    if kind == "redis":
        return set()
    paths = {"notes.txt", "a/b/c/1/data.parquet", f"outer/flights/manual/clean/-1/x.{'0' * 32}.arrow"}
    for path in paths:
        open_store(url).put(path, [b"theirs"])
    return paths


UNIQUE = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "path",
    [
        f"flights/manual/clean/-1/return_value.{UNIQUE}.arrow",
        f"flights/manual/clean/12/a.b.{UNIQUE}.msgpack",
        f"flights/manual/clean/0/.return_value.{UNIQUE}.arrow.tmp",
        f"flights/manual/clean/0/return_value.{UNIQUE}.msgpack#17",
        f"flights/manual/clean/0/{'f' * 32}.{UNIQUE}.arrow#an-id.{'e' * 32}",
    ],
)
def test_what_this_backend_writes_is_known_by_its_path(path: str) -> None:
    assert blob_paths.identity(path) == int(UNIQUE[:16], 16)


@pytest.mark.parametrize(
    "path",
    [
        "notes.txt",
        f"return_value.{UNIQUE}.arrow",
        f"clean/-1/return_value.{UNIQUE}.arrow",
        f"outer/flights/manual/clean/-1/return_value.{UNIQUE}.arrow",
        f"flights/manual/clean/first/return_value.{UNIQUE}.arrow",
        f"flights/manual/clean/-1/return_value.{UNIQUE}.parquet",
        f"flights/manual/clean/-1/return_value.{UNIQUE}.arrow.bak",
        f"flights/manual/clean/-1/return_value.{UNIQUE}.arrow.tmp",
        f"flights/manual/clean/-1/.return_value.{UNIQUE}.arrow",
        f"flights/manual/clean/-1/return_value.{UNIQUE[:-1]}.arrow",
        f"flights/manual/clean/-1/return_value.{UNIQUE}a.arrow",
        f"flüge/manual/clean/-1/return_value.{UNIQUE}.arrow",
        f"flights/manual/clean/-1/return\nvalue.{UNIQUE}.arrow",
    ],
)
def test_what_it_does_not_write_is_foreign(path: str, backend: Backend, metadata: Metadata) -> None:
    assert blob_paths.identity(path) is None
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    file = backend.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"theirs")
    found = swept(metadata.rows).stores["default"]
    assert (found.foreign.count, found.examples, found.orphans.count) == (1, [path], 0)
    assert file.exists()


@pytest.mark.parametrize("kind", ["s3"])
def test_an_object_whose_key_the_client_refuses_stops_no_sweep(
    kind: str, backend: Backend, locations: Locations, metadata: Metadata, request: pytest.FixtureRequest
) -> None:
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    metadata.put(0, backend.push((0,)))
    backend.push((1,))
    theirs = {"a\tb", "zz/a\x7f"}
    client, prefix = s3_client(request.getfixturevalue("seaweedfs")), unquote(urlsplit(url).path).strip("/")
    for key in theirs:
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"theirs")
    found = swept(metadata.rows, grace=-4000).stores["default"]
    assert (found.listed.count, found.foreign.count, found.deleted.count) == (4, 2, 1)
    assert contents(kind, url, request) == metadata.paths() | theirs
    with patch.dict(sys.modules, {"botocore.exceptions": None}), pytest.raises(StoreError, match="only botocore lists"):
        list(open_store(url).list())


def test_the_young_stay_and_so_does_what_comes_from_the_future(backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    for age in (-1e6, 50, 150):
        at = set(backend.blobs())
        backend.push((1,))
        (new,) = set(backend.blobs()) - at
        os.utime(new, (time.time() - age,) * 2)
    report = swept(metadata.rows, grace=100).stores["default"]
    assert (report.orphans.count, report.deleted.count, report.young.count) == (1, 1, 3)
    assert len(backend.blobs()) == 3


def test_ages_are_by_the_clock_of_the_store(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    backend.push((1,))
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this host is decades ahead
    assert swept(metadata.rows, grace=3600).stores["default"].orphans.count == 0


@pytest.mark.parametrize("when", [-1e11, 1e300])
def test_a_time_in_no_calendar_is_left_out_of_the_report(when: float) -> None:
    report = Report(stores={"default": StoreReport("file:///xcom")})
    report.stores["default"].orphans.add(Blob(f"a/b/c/-1/d.{UNIQUE}", 7, when))
    assert "  unreferenced: 1 of 7 bytes" in sweep_command._lines(report, apply=False, reason=None)


def test_a_blob_exactly_as_old_as_the_grace_period_goes(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all are that were written in the same second as the sweep began, where times are coarse."""
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    backend.push((1,))
    for blob in backend.blobs():
        os.utime(blob, (1e9, 1e9))
    for clock, deleted in (1e9 + 99, 0), (1e9 + 100, 1):
        monkeypatch.setattr(sweeping, "_clock", lambda _store, clock=clock: clock)
        assert swept(metadata.rows, grace=100).stores["default"].deleted.count == deleted


class Clock:
    """A time that passes only while a sweep waits."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_push_whose_row_comes_during_the_sweep_keeps_its_value(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a jump of the store's clock makes its payload look old."""
    monkeypatch.setattr(sweeping, "time", Clock())
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    row = backend.push((1,))
    report = Report()
    for _ in sweep(metadata.rows, report, grace=0, wait=0.2, apply=True):
        if report.waited:
            metadata.put(1, row)
    found = report.stores["default"]
    assert (found.orphans.count, found.kept.count, found.deleted.count) == (1, 1, 0)
    assert backend.pull(row) == (1,)


def test_rows_are_looked_at_again_when_the_last_look_is_no_longer_fresh(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    rows = [backend.push((number,)) for number in range(1, 4)]
    monkeypatch.setattr(sweeping, "_BATCH", 1)
    monkeypatch.setattr(sweeping, "_FRESH", -1)
    report = Report()
    for _ in sweep(metadata.rows, report, grace=0, wait=0, apply=True):
        found = report.stores["default"]
        if report.phase == "deleting" and found.deleted.count == 1:
            for number, row in enumerate(rows, start=1):
                metadata.put(number, row)
    assert (found.deleted.count, found.kept.count) == (1, 2)


@pytest.mark.parametrize("listed", [None, {}, {"total_entries": 1}])
def test_an_xcom_that_the_api_lists_or_says_nothing_of_is_not_gone(listed: Any) -> None:
    rows, at = RestRows("http://airflow", "token"), Coordinate("dag", "run", "task", -1, "key")
    with patch.object(rows, "_ask", side_effect=[None, {"total_entries": 0}]):
        assert rows._text(at) == ""
    with patch.object(rows, "_ask", side_effect=[None, listed]), pytest.raises(SweepError, match="does not give"):
        rows._text(at)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_told_from_other_failures(status: int) -> None:
    rows, at = RestRows("http://airflow", "token"), Coordinate("dag", "run", "task", -1, "key")
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    client = httpx.Client(base_url="http://airflow/api/v2", transport=transport)
    with (
        patch.object(RestRows, "_client", client),
        pytest.raises(SweepError, match=f"status {status}; give --rest the token of a user who may read"),
    ):
        rows._text(at)


@pytest.mark.parametrize("key", ["..", "a/../key", "../../other/xcomEntries/key", "./key", "a?b#c%2F", "ä/%2E%2E"])
def test_the_api_is_asked_for_the_key_and_no_other(key: str) -> None:
    rows, at = RestRows("http://airflow", "token"), Coordinate("..", "run", "task", -1, key)
    folder = "/api/v2/dags/../dagRuns/run/taskInstances/task/xcomEntries/"
    told = dict(zip(Coordinate.__slots__, at.to_json(), strict=True))

    def answer(request: httpx.Request) -> httpx.Response:
        asked = unquote(request.url.raw_path.decode().partition("?")[0])
        return httpx.Response(200, json={**told, "value": "its own"} if asked == folder + key else {**told, "key": "k"})

    client = httpx.Client(base_url="http://airflow/api/v2", transport=httpx.MockTransport(answer))
    with patch.object(RestRows, "_client", client):
        assert rows._text(at) == "its own"
    other = httpx.MockTransport(lambda _: httpx.Response(200, json={**told, "key": "another", "value": "another's"}))
    with (
        patch.object(RestRows, "_client", httpx.Client(base_url="http://airflow/api/v2", transport=other)),
        pytest.raises(SweepError, match="or another one"),
    ):
        rows._text(at)


def test_stores_are_listed_before_rows_are_read(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pushed after the listing cannot be missed by the reading before it."""
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    order = []
    scan, candidates = files.FileStore.scan, Rows.candidates
    monkeypatch.setattr(files.FileStore, "scan", lambda store: order.append("list") or scan(store))
    monkeypatch.setattr(Rows, "candidates", lambda rows, *about: order.append("read") or candidates(rows, *about))
    backend.push((1,))
    swept(metadata.rows)
    assert order == ["list", "read", "read"]


def test_two_sweeps_at_once_delete_each_orphan_once(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 2)
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    for number in range(10):
        backend.push((number,))
    reports = [Report(), Report()]
    running = [sweep(metadata.rows, report, grace=0, wait=0, apply=True) for report in reports]
    for _ in range(100):
        for each in running:
            next(each, None)
    found = [report.stores["default"] for report in reports]
    assert [report.phase for report in reports] == ["done", "done"]
    assert sum(each.deleted.count for each in found) == 10
    assert sum(each.gone.count for each in found) == 10
    assert len(backend.blobs()) == 1


@pytest.mark.parametrize("steps", range(12))
def test_a_sweep_may_stop_anywhere_and_begin_again(
    steps: int, backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 2)
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    for number in range(10):
        backend.push((number,))
    first = Report()
    running = sweep(metadata.rows, first, grace=0, wait=0, apply=True)
    for _ in range(steps):
        next(running, None)
    running.close()
    second = swept(metadata.rows).stores["default"]
    before = first.stores["default"].deleted.count if first.stores else 0
    assert before + second.deleted.count == 10
    assert second.listed.count == 11 - before, "what has been done is not done again"
    assert backend.pull(next(iter([json.loads(value) for value in texts(metadata)]))) == (0,)


def texts(metadata: Metadata) -> list[str]:
    with metadata.engine.connect() as connection:
        return list(connection.execute(sqlalchemy.text("select value from xcom")).scalars().all())


# Rows


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Metadata]:
    with database.postgres() as url:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(TABLE.format("xcom", "jsonb")))
        add_variables(engine)
        yield Metadata(engine)
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Iterator[Metadata]:
    found: Metadata = request.getfixturevalue({"sqlite": "metadata", "postgresql": "postgresql"}[request.param])
    yield found
    found.delete("true")


def unreadable(row: Any, what: str) -> Any:
    """A row that no reader takes, and that names a payload."""
    content = row["airflow_xcom"]
    ref = content["ref"]
    return {
        "a field too many": {"airflow_xcom": {**content, "ref": {**ref, "shade": "blue"}}},
        "no size": {"airflow_xcom": {**content, "ref": {**ref, "size": None}}},
        "a list of references": {"airflow_xcom": {**content, "ref": [ref, ref]}},
        "another name": {"airflow_xcom": {"version": 1, "where": ref}},
        "within something": {"value": [1, row]},
        "as text": json.dumps(row),
        "beside something": {**row, "airflow": 1},
        "no version": {"airflow_xcom": {name: item for name, item in content.items() if name != "version"}},
        "text of another version": {"airflow_xcom": {**content, "version": "2"}},
        "long": {"airflow_xcom": {**content, "summary": {"text": "x" * 50_000}, "ref": [ref]}},
    }[what]


UNREADABLE = [
    *["a field too many", "no size", "a list of references", "another name", "within something", "as text"],
    *["beside something", "no version", "text of another version", "long"],
]


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_row_that_cannot_be_read_protects_what_it_names(what: str, backend: Backend, either: Metadata) -> None:
    backend.options(threshold=0)
    either.put(0, backend.push((0,)))
    kept = backend.push((1,))
    either.put(1, unreadable(kept, what))
    backend.push((2,))
    report = swept(either.rows)
    assert report.stores["default"].deleted.count == 1
    assert backend.pull(kept) == (1,)


LATER = ENVELOPE_VERSION + 1
NEWER = [{"version": LATER}, {"version": 9, "ref": {"path": "x"}}, {"version": LATER, "a": "b" * 50_000}]


@pytest.mark.parametrize("content", NEWER)
def test_a_row_of_a_later_release_protects_what_it_names_and_is_told(
    content: Any, backend: Backend, either: Metadata
) -> None:
    backend.options(threshold=0)
    either.put(0, backend.push((0,)))
    kept = backend.push((1,))
    either.put(1, {"airflow_xcom": {**content, "where": [kept["airflow_xcom"]["ref"]["path"]]}})
    backend.push((2,))
    report = swept(either.rows)
    assert report.unreadable == 1
    assert "upgrade airflow-xcom-codecs" in report.problems[0]
    assert report.stores["default"].deleted.count == 1
    assert backend.pull(kept) == (1,)


def test_rows_that_hold_their_value_are_not_read_further_than_needed(
    backend: Backend, either: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=10_000_000)
    inline = backend.push({1: "x" * 50_000})
    either.put(0, inline)
    either.put(1, backend.push(("ref", "x" * 50_000)))
    asked = []
    text = Rows._text
    monkeypatch.setattr(Rows, "_text", lambda rows, *of: asked.append(of) or text(rows, *of))
    assert len(list(either.rows.candidates())) == 1, "the other cannot refer to anything"
    assert len(asked) == 1, "because of its length alone"


@pytest.mark.parametrize(("tables", "kind"), [(["xcom"], "json"), (["xcom"], "blob"), (["xcom_v1", "xcom_v2"], "json")])
def test_every_table_counts(tables: list[str], kind: str, backend: Backend) -> None:
    backend.options(threshold=0)
    made = in_memory(*tables, kind=kind)
    for number, table in enumerate(tables):
        text = json.dumps(backend.push((number,)))
        value = text.encode() if kind == "blob" else text
        with made.engine.begin() as connection:
            insert = sqlalchemy.text(f"insert into {table} values ('a', 'b', 1, :value)")
            connection.execute(insert, {"value": value})
    backend.push((9,))
    found = swept(made.rows).stores["default"]
    assert (found.deleted.count, found.listed.count) == (1, 1 + len(tables))
    assert len(backend.blobs()) == len(tables)


@pytest.mark.parametrize("name", ["_airflow_moved__xcom", "_airflow_deleted__asset_event__1"])
def test_a_table_that_only_has_the_name_of_an_archive_stops_nothing(
    name: str, backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    backend.push((1,))
    with metadata.engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"create table {name} (id integer)"))
    names = type(sqlalchemy.inspect(metadata.engine)).get_table_names
    monkeypatch.setattr(
        "sqlalchemy.engine.reflection.Inspector.get_table_names",
        lambda inspector, place: [*names(inspector, place), f"{name}_that_was_dropped_meanwhile"],
    )
    assert swept(metadata.rows).stores["default"].deleted.count == 1


def test_a_payload_of_two_rows_goes_with_the_last(backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    metadata.put(9, backend.push((9,)))
    row = backend.push((0,))
    for number in (0, 1):
        metadata.put(number, row)
    metadata.delete("map_index = 0")
    assert swept(metadata.rows).stores["default"].deleted.count == 0
    metadata.delete("map_index = 1")
    assert swept(metadata.rows).stores["default"].deleted.count == 1


def test_a_reference_counts_whatever_the_store_is_called_now(backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    moved = backend.folder.with_name("moved")
    backend.folder.rename(moved)
    backend.options(path=moved.as_uri())
    found = swept(metadata.rows).stores["default"]
    assert (found.listed.count, found.orphans.count) == (1, 0)


# What stops a sweep


def test_a_listing_that_fails_midway_stops_it(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend.options(threshold=0, stores=json.dumps({"second": (tmp_path / "second").as_uri()}))
    metadata.put(0, backend.push((0,)))
    backend.push((1,))
    scan = files.FileStore.scan

    def failing(store: Any) -> Iterator[Blob]:
        yield from scan(store)
        if store.url.endswith("second"):
            raise StoreError(store.url, "cannot list: a page is missing")

    monkeypatch.setattr(files.FileStore, "scan", failing)
    with pytest.raises(StoreError, match="a page is missing"):
        swept(metadata.rows)
    assert len(backend.blobs()) == 2


@pytest.mark.parametrize("look", [1, 2])
def test_a_database_that_goes_away_midway_stops_it(look: int, backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    for number in range(3):
        metadata.put(number, backend.push((number,)))
    backend.push((9,))
    statements = []

    def fail(*arguments: Any) -> None:
        statements.append(arguments[2])
        if len([one for one in statements if "xcom" in one and "airflow_" not in one]) == (3 if look == 1 else 7):
            raise sqlalchemy.exc.OperationalError("select", {}, Exception("gone"))

    rows = adopted(Rows(metadata.engine, page=1))
    sqlalchemy.event.listen(metadata.engine, "before_cursor_execute", fail)
    with pytest.raises(sqlalchemy.exc.OperationalError):
        swept(rows)
    assert len(backend.blobs()) == 4


def test_a_store_that_refuses_to_delete_stops_it(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 1)
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,)))
    for number in range(5):
        backend.push((number,))
    delete, calls = files.FileStore.delete, []

    def failing(store: Any, path: str) -> bool:
        calls.append(path)
        if len(calls) == 4:  # the first is for the clock
            raise StoreError(store.url, "cannot delete")
        return delete(store, path)

    monkeypatch.setattr(files.FileStore, "delete", failing)
    report = Report()
    with pytest.raises(StoreError):
        list(sweep(metadata.rows, report, grace=0, wait=0, apply=True))
    assert report.stores["default"].deleted.count == 2
    assert len(backend.blobs()) == 4


def test_a_database_without_xcoms_is_not_taken_for_the_right_one(backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    backend.push((0,))
    with pytest.raises(SweepError, match="right database"):
        swept(metadata.rows)
    with pytest.raises(XComNotFoundError, match="no table"):
        Rows(sqlalchemy.create_engine("sqlite://"))
    assert swept(metadata.rows, even_all=True).stores["default"].deleted.count == 1


def test_an_unknown_store_is_refused(metadata: Metadata, backend: Backend) -> None:
    backend.options(threshold=0)
    with pytest.raises(SettingsError, match="no store is called 'elsewhere'"):
        swept(metadata.rows, store="elsewhere")


def test_one_store_alone_is_swept_and_one_of_two_names_once(
    backend: Backend, metadata: Metadata, tmp_path: Path
) -> None:
    names = {"old": (tmp_path / "old").as_uri(), "same": (tmp_path / "old").as_uri()}
    backend.options(threshold=0, stores=json.dumps(names))
    metadata.put(0, backend.push((0,)))
    for path in ("old", backend.folder.as_uri()):
        backend.options(path=path)
        backend.push((1,))
    assert swept(metadata.rows, apply=False).stores.keys() == {"old", "default"}
    assert swept(metadata.rows, store="old").stores["old"].deleted.count == 1
    assert len(backend.blobs()) == 2


# Folders


def test_folders_that_were_long_empty_go(backend: Backend, metadata: Metadata) -> None:
    backend.options(threshold=0)
    metadata.put(0, backend.push((0,), dag_id="kept"))
    backend.push((1,), dag_id="gone")
    swept(metadata.rows)
    swept(metadata.rows, grace=3600)
    assert (backend.folder / "gone").exists(), "a push may be about to use it"
    for _ in range(5):  # each removes the lowest ones, by which those above are changed
        for folder in backend.folder.rglob("*"):
            if folder.is_dir():
                os.utime(folder, (0, 0))
        swept(metadata.rows, grace=3600)
    assert not (backend.folder / "gone").exists()
    assert len(backend.blobs()) == 1


def test_a_push_gets_by_when_its_folder_is_taken_away(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.options(threshold=0)
    make, taken = files.FileStore._make_folder, []

    def make_and_lose(store: files.FileStore, name: str, above: int) -> None:
        make(store, name, above)
        if name == "-1" and len(taken) < 3:
            taken.append(name)
            os.rmdir(name, dir_fd=above)

    monkeypatch.setattr(files.FileStore, "_make_folder", make_and_lose)
    assert backend.pull(backend.push((1,))) == (1,)
    assert len(taken) == 3


# Sizes


def test_memory_does_not_grow_with_the_orphans(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    class Many(files.FileStore):
        def __init__(self, count: int) -> None:
            super().__init__(backend.folder.as_uri())
            self.count = count

        def scan(self) -> Iterator[Blob]:
            for number in range(self.count):
                yield Blob(f"dag/run/task/{number}/return_value.{os.urandom(16).hex()}.arrow", 10, 1.0)

    made, peaks = in_memory(), []
    monkeypatch.setattr(sweeping, "_PAGE", 500)
    for count in (3_000, 15_000):
        store = Many(count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeping, "open_store", lambda _, store=store: store)
            gc.collect()
            tracemalloc.start()
            report = swept(made.rows, apply=False)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert report.stores["default"].orphans.count == count
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_a_reference_takes_eight_bytes() -> None:
    found = References()
    for _ in range(10_000):
        found.add(XComRow("xcom", (), f'"x.{os.urandom(16).hex()}.arrow" airflow_xcom'.join("[]")))
    assert found._numbers.buffer_info()[1] * found._numbers.itemsize == 80_000
    assert blob_paths._DIGITS == 16


# The command


@pytest.fixture
def of_the_command(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Metadata:
    monkeypatch.setattr("airflow_xcom.backend.database.xcom_rows.metadata_rows", lambda: adopted(Rows(metadata.engine)))
    return metadata


def test_the_command_reports_and_then_acts(
    backend: Backend, of_the_command: Metadata, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.options(threshold=0)
    of_the_command.put(0, backend.push((0,)))
    backend.push((1,))
    backend.push((2,), dag_id="trains")
    (backend.folder / "notes.txt").write_text("theirs")
    assert cli.main(["sweep", "--grace", "0"]) == 0
    out, _ = capsys.readouterr()
    assert "2 payloads of " in out
    assert "would be deleted; add --apply to do so" in out
    assert "such as 'notes.txt'" in out
    assert "    trains: 1 of " in out
    assert len(backend.blobs()) == 4
    assert cli.main(["sweep", "--grace", "0", "--wait", "0", "--apply", "--output", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["stores"]["default"]["deleted"]["count"] == 2
    assert report["error"] is None
    assert len(backend.blobs()) == 2


def test_the_default_grace_spares_what_is_new(
    backend: Backend, of_the_command: Metadata, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.options(threshold=0)
    of_the_command.put(0, backend.push((0,)))
    backend.push((1,))
    assert cli.main(["sweep", "--apply"]) == 0
    assert "0 payloads of 0 bytes deleted" in capsys.readouterr().out
    assert len(backend.blobs()) == 2


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_failure_is_told_and_ends_with_1(
    output: str, backend: Backend, of_the_command: Metadata, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.options(threshold=0)
    of_the_command.put(0, backend.push((0,)))
    backend.push((1,))
    of_the_command.delete("true")
    assert cli.main(["sweep", "--apply", "--grace", "0", "--wait", "0", "--output", output]) == 1
    out, errors = capsys.readouterr()
    assert "right database" in (json.loads(out)["error"] if output == "json" else out)
    assert "airflow-xcom: SweepError" in errors
    assert len(backend.blobs()) == 2


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("name", ["a\rb", "\udcff", "\x1b[2J", f"flights/manual/clean/-1/\udcff.{UNIQUE}.arrow"])
def test_no_name_stops_the_command_or_writes_to_the_terminal(
    name: str, output: str, backend: Backend, of_the_command: Metadata, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.options(threshold=0)
    of_the_command.put(0, backend.push((0,)))
    (backend.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (backend.folder / name).write_bytes(b"theirs")
    assert cli.main(["sweep", "--apply", "--grace", "0", "--wait", "0", "--output", output]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    assert (backend.folder / name).exists()


def test_progress_is_told(
    backend: Backend, of_the_command: Metadata, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "INTERVAL", 0)
    backend.options(threshold=0)
    of_the_command.put(0, backend.push((0,)))
    backend.push((1,))
    assert cli.main(["sweep", "--apply", "--grace", "0", "--wait", "0"]) == 0
    errors = capsys.readouterr().err
    assert "listing default: " in errors
    assert "deleting: [####################] 2 payloads, 1 references, 1 unreferenced, 1 deleted" in errors

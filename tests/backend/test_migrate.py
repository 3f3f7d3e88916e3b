"""Moving blobs to another store, in real metadata databases, while they are read and replaced."""

from __future__ import annotations

import configparser
import datetime as dt
import fcntl
import gc
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import database
import numpy as np
import pytest
import sqlalchemy
from conftest import Backend
from proxy import Fault
from redis_proxy import RedisProxy
from valkey_server import Valkey, valkey

from airflow_xcom.backend import ForeignReferenceError, SettingsError, StoreError, blobs, cli
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Envelope
from airflow_xcom.backend.maintenance import migrate as migration
from airflow_xcom.backend.maintenance.migrate import migrate
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store

BLOBS = 40
SERVERS = {"migrated-postgresql": database.postgres, "migrated-mariadb": database.mariadb}
KEY = ("dag_run_id", "task_id", "map_index", "key")


class Metadata:
    """A metadata database that Airflow has set up, with rows as its API server writes them."""

    def __init__(self, url: str, variables: dict[str, str]) -> None:
        from airflow.models.xcom import XComModel

        busy = {"timeout": 60} if url.startswith("sqlite") else {}  # seconds that it waits for other writers
        self.engine = sqlalchemy.create_engine(url, connect_args=busy)
        self.variables = variables
        self._table = XComModel.__table__

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self.engine.begin() as connection:
            database.ignore_foreign_keys(connection)  # rows without a run and a task
            yield connection

    def put(self, number: int, value: Any) -> None:
        identity = {"dag_run_id": number % 7, "task_id": "clean", "map_index": number, "key": "return_value"}
        rest = {"dag_id": "flights", "run_id": "manual", "timestamp": dt.datetime.now(dt.UTC)}
        same = [self._table.c[name] == part for name, part in identity.items()]
        with self._transaction() as connection:
            connection.execute(self._table.delete().where(*same))
            connection.execute(self._table.insert().values(**identity, **rest, value=value))

    def all(self) -> dict[int, Any]:
        with self.engine.connect() as connection:
            return dict(connection.execute(sqlalchemy.select(self._table.c.map_index, self._table.c.value)).fetchall())

    def add_connection(self, name: str, parts: dict[str, Any]) -> None:
        """Add a connection as `airflow connections add` does without a key for encryption."""
        from airflow.models.connection import Connection

        flags = {"is_encrypted": False, "is_extra_encrypted": False}
        with self._transaction() as connection:
            connection.execute(Connection.__table__.insert().values(conn_id=name, **parts, **flags))

    def clear(self) -> None:
        with self._transaction() as connection:
            connection.execute(self._table.delete())


@contextmanager
def empty(template: Path) -> Iterator[str]:
    """A database that becomes the template."""
    if (server := SERVERS.get(template.name)) is not None:
        with server() as url:
            yield url
            template.write_text(url)
    else:
        unfinished = template.with_suffix(".new")
        yield f"sqlite:///{unfinished}"
        unfinished.rename(template)


@contextmanager
def copied(template: Path, home: Path) -> Iterator[str]:
    """A database that begins as the template."""
    if (server := SERVERS.get(template.name)) is not None:
        with server(template.read_text()) as url:
            yield url
    else:
        shutil.copy(template, home / "airflow.db")
        yield f"sqlite:///{home}/airflow.db"


def of_airflow(url: str, home: Path) -> dict[str, str]:
    """The variables of the environment by which Airflow finds the database."""
    variables = {"AIRFLOW_HOME": str(home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    if url.startswith("postgresql"):
        variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = url
    if url.startswith("mysql"):
        paths = [str(Path(__file__).with_name("mysqlclient")), os.environ.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(paths).strip(os.pathsep)
    return variables


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metadata]:
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    template = shared / f"migrated-{request.param}"
    with (shared / f"{template.name}.lock").open("w") as lock:  # Airflow takes a while, so it does so once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            with empty(template) as url:
                command = [sys.executable, "-m", "airflow", "db", "migrate"]
                variables = {**os.environ, **of_airflow(url, shared / f"airflow-{request.param}")}
                subprocess.run(command, env=variables, capture_output=True, check=True)
    home = tmp_path_factory.mktemp("airflow")
    with copied(template, home) as url:
        metadata = Metadata(url, of_airflow(url, home))
        yield metadata
        metadata.engine.dispose()


@pytest.fixture
def metadata(migrated: Metadata) -> Iterator[Metadata]:
    yield migrated
    migrated.clear()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def stores(backend: Backend, server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs were written to a folder, the default store; from now on they go to Valkey, through a connection."""
    server.client().flushall()
    monkeypatch.setenv("AIRFLOW_CONN_CACHE", server.connection())
    names = {"folder": (tmp_path / "xcom").as_uri(), "cache": "redis://cache@/xcom"}
    backend.options(stores=json.dumps(names), threshold=1000)


def value(number: int) -> Any:
    return np.arange(10_000) * number


def fill(metadata: Metadata, backend: Backend) -> None:
    """Blobs in the folder, and between them what no migration is to touch."""
    for number in range(BLOBS):
        metadata.put(number, backend.push(value(number), map_index=number))
    others = [None, 1.5, "text with airflow_xcom and ref", {"airflow_xcom": "ref"}, (1, 2), {"a": [1]}]
    for number, other in enumerate(others, start=BLOBS):
        metadata.put(number, other if isinstance(other, dict) else backend.push(other))
    backend.options(path="cache")


def assert_readable(backend: Backend, rows: dict[int, Any]) -> None:
    for number in range(BLOBS):
        assert np.array_equal(backend.pull(rows[number]), value(number)), number


def stored_in(rows: dict[int, Any]) -> list[str]:
    return [rows[number]["airflow_xcom"]["ref"]["store"] for number in range(BLOBS)]


MIGRATE = ["migrate", "--from", "folder", "--to", "cache"]


def process(metadata: Metadata) -> subprocess.Popen[str]:
    """The command as its users run it: Airflow's configuration names the database."""
    line = [sys.executable, "-m", "airflow_xcom.backend.cli", *MIGRATE, "--apply"]
    return subprocess.Popen(
        line, env={**os.environ, **metadata.variables}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def command(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command in this process: its exit code, and what it says on stdout and stderr."""
    monkeypatch.setattr(xcom_rows, "metadata_rows", lambda: Rows(metadata.engine))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return cli.main([*MIGRATE, *arguments]), *capsys.readouterr()

    return run


@contextmanager
def reading(backend: Backend, metadata: Metadata) -> Iterator[None]:
    """Pull everything again and again meanwhile, at least once before and once after."""
    stop, once, errors = threading.Event(), threading.Event(), []

    def read() -> None:
        try:
            last = False
            while not last:
                last = stop.is_set()
                assert_readable(backend, metadata.all())
                once.set()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
            once.set()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        once.wait()
        yield
    finally:
        stop.set()
        thread.join()
    for error in errors:
        raise error


@pytest.mark.usefixtures("stores")
def test_the_command_moves_blobs_under_the_eyes_of_readers(
    backend: Backend, metadata: Metadata, command: Callable[..., tuple[int, str, str]]
) -> None:
    fill(metadata, backend)
    before = metadata.all()
    dry = f"{BLOBS} payloads of {size(before):,} bytes would be moved; add --apply to do so\n"
    assert command() == (0, dry, "")
    assert metadata.all() == before
    with reading(backend, metadata):
        code, out, _ = command("--apply")
    assert code == 0, out
    assert out.endswith(f"{BLOBS} of {BLOBS} payloads moved from 'folder'; 0 changed meanwhile, 0 failed\n")
    after = metadata.all()
    assert stored_in(after) == ["cache"] * BLOBS
    assert len(backend.blobs()) == BLOBS, "the old ones are left to a sweep"
    assert_readable(backend, after)
    for number in before:
        old, new = before[number], after[number]
        if number < BLOBS:
            old["airflow_xcom"].pop("ref")
            new["airflow_xcom"].pop("ref")
        assert new == old, "nothing else has changed"


def size(rows: dict[int, Any]) -> int:
    return sum(rows[number]["airflow_xcom"]["ref"]["size"] for number in range(BLOBS))


@pytest.mark.usefixtures("stores")
def test_connections_may_be_in_the_metadata_database(
    backend: Backend, metadata: Metadata, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.put(0, backend.push(value(5)))
    backend.options(stores=json.dumps({"folder": backend.folder.as_uri(), "cache": "redis://in_database@/xcom"}))
    metadata.add_connection("in_database", json.loads(server.connection()))
    with process(metadata) as moving:
        out, errors = moving.communicate()
    assert out.startswith("1 of 1 payloads moved"), errors
    monkeypatch.setenv("AIRFLOW_CONN_IN_DATABASE", server.connection())
    assert np.array_equal(backend.pull(metadata.all()[0]), value(5))


@pytest.mark.usefixtures("stores")
def test_a_killed_migration_is_taken_up_again(
    backend: Backend,
    metadata: Metadata,
    server: Valkey,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(metadata, backend)
    killed, copies = threading.Event(), itertools.count(1)

    def wait(name: str, _: str) -> Fault | None:
        if name != "SET" or next(copies) <= BLOBS // 2:
            return None
        return Fault(reset=killed.wait(600))

    with RedisProxy(f"redis://127.0.0.1:{server.port}", wait) as proxy, monkeypatch.context() as behind:
        behind.setenv("AIRFLOW_CONN_CACHE", server.connection(port=urlsplit(proxy.url).port))
        first = process(metadata)
        until = time.monotonic() + 240
        while "cache" not in stored_in(metadata.all()):
            assert time.monotonic() < until
            assert first.poll() is None
        first.send_signal(signal.SIGKILL)
        first.communicate()
        killed.set()
    halfway = metadata.all()
    assert "folder" in {blobs.store_name(reference(halfway[number])) for number in range(BLOBS)}, "it was not done"
    assert_readable(backend, halfway)
    _, told, _ = command("--apply")
    left = stored_in(halfway).count("default")
    assert f"{left} of {left} payloads moved" in told, "only what the first one left"
    assert stored_in(metadata.all()) == ["cache"] * BLOBS
    assert_readable(backend, metadata.all())
    rows = metadata.all()
    referenced = {reference(rows[number]).path for number in range(BLOBS)}
    assert len(in_the_cache() - referenced) <= 1, "the copy that was being made is left to a sweep"


def in_the_cache() -> set[str]:
    return {blob.path for blob in open_store("redis://cache@/xcom").list()}


def reference(row: Any) -> Any:
    envelope = Envelope.from_json(row)
    assert envelope is not None
    return envelope.reference


@pytest.mark.usefixtures("stores")
def test_a_row_that_is_replaced_meanwhile_keeps_its_new_value(
    backend: Backend, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(metadata, backend)
    copy = migration.copy_blob

    def slowly(old: Any, coordinate: Any, *others: Any) -> Any:
        made = copy(old, coordinate, *others)
        if coordinate.map_index in {3, 5}:  # a task that runs again
            backend.purge(metadata.all()[coordinate.map_index])
            if coordinate.map_index == 3:
                metadata.put(3, backend.push(value(-3), map_index=3))
            else:
                metadata.put(5, None)
        return made

    monkeypatch.setattr(migration, "copy_blob", slowly)
    moves = migrate(Rows(metadata.engine), "folder", "cache", apply=True)
    assert (moves.rows, moves.moved, moves.changed, moves.failed) == (BLOBS, BLOBS - 2, 2, 0)
    rows = metadata.all()
    assert np.array_equal(backend.pull(rows[3]), value(-3))
    assert rows[5] is None


@pytest.mark.usefixtures("stores")
def test_a_lost_or_damaged_blob_is_told_and_its_row_left(
    backend: Backend,
    metadata: Metadata,
    command: Callable[..., tuple[int, str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill(metadata, backend)
    before = metadata.all()
    lost, damaged = (backend.folder / reference(before[number]).path for number in (1, 2))
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    code, out, errors = command("--apply")
    errors += caplog.text
    assert code == 1
    assert f"{BLOBS - 2} of {BLOBS} payloads moved" in out
    assert "2 failed" in out
    assert "gone from the store" in out + errors
    assert "another digest" in out + errors
    assert "map_index=2" in out + errors
    after = metadata.all()
    assert (after[1], after[2]) == (before[1], before[2])


@pytest.mark.usefixtures("stores")
def test_the_payload_of_another_xcom_does_not_become_that_of_a_forged_row(
    backend: Backend, metadata: Metadata, caplog: pytest.LogCaptureFixture
) -> None:
    forged, theirs = backend.push(value(1), map_index=1), backend.push(value(2), dag_id="salaries")
    forged["airflow_xcom"]["ref"] = theirs["airflow_xcom"]["ref"]
    metadata.put(1, forged)
    moves = migrate(Rows(metadata.engine), "folder", "cache", apply=True)
    assert (moves.rows, moves.moved, moves.failed) == (1, 0, 1)
    assert metadata.all()[1] == forged
    assert "salaries" in caplog.text
    with pytest.raises(ForeignReferenceError):
        backend.pull(forged)


@pytest.mark.usefixtures("stores")
def test_a_store_that_is_away_stops_the_migration(
    backend: Backend,
    metadata: Metadata,
    server: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    fill(metadata, backend)
    before = metadata.all()
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", server.connection(port=1))
    names = {"folder": backend.folder.as_uri(), "cache": "redis://nowhere@/xcom"}
    backend.options(stores=json.dumps(names), store_timeout=1)
    with pytest.raises(StoreError, match="cannot write"):
        migrate(Rows(metadata.engine), "folder", "cache", apply=True)
    code, _, errors = command("--apply")
    assert code == 1
    assert "airflow-xcom: the store redis://nowhere@/xcom cannot write" in errors
    assert metadata.all() == before
    assert len(backend.blobs()) == BLOBS


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("page", [1, 2, 7, 100])
def test_pages_give_every_row_once(backend: Backend, metadata: Metadata, page: int) -> None:
    fill(metadata, backend)
    found = [row.envelope.coordinate.map_index for row in Rows(metadata.engine).referring(page)]
    assert sorted(map(int, filter(None, found))) == list(range(1, BLOBS))
    assert len(found) == BLOBS


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("folder", "folder", "the same store"),
        ("elsewhere", "cache", "no store is called 'elsewhere'"),
        ("folder", "x", "no store is called 'x'"),
    ],
)
def test_the_stores_must_be_two_configured_ones(metadata: Metadata, source: str, target: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        migrate(Rows(metadata.engine), source, target)


# Airflow 2 has text in bytes; Airflow 3.4 has two tables, for rows from before it and for its own.
TABLES = {
    "2.11": {"xcom": ("dag_run_id integer, task_id text, map_index integer, key text", ", ".join(KEY), "blob")},
    "3.4": {
        "xcom_v1": ("dag_run_id integer, task_id text, map_index integer, key text", ", ".join(KEY), "json"),
        "xcom_v2": ("id char(32), task_instance_id char(32), key text", "id", "json"),
    },
}


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("version", TABLES)
def test_the_tables_of_other_airflows(version: str, backend: Backend) -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    with engine.begin() as connection:
        for table, (columns, key, kind) in TABLES[version].items():
            connection.execute(sqlalchemy.text(f"create table {table} ({columns}, value {kind}, primary key ({key}))"))
            names = ", ".join(column.split()[0] for column in columns.split(", "))
            places = ", ".join(f":p{index}" for index in range(columns.count(",") + 1))
            insert = sqlalchemy.text(f"insert into {table} ({names}, value) values ({places}, :value)")
            for number in range(BLOBS):
                text = json.dumps(backend.push(value(number), map_index=number))
                parts = {f"p{index}": f"{number:032}" for index in range(columns.count(",") + 1)}
                connection.execute(insert, {**parts, "value": text.encode() if kind == "blob" else text})
    rows = Rows(engine)
    assert tuple(rows.tables) == tuple(TABLES[version])
    moves = migrate(rows, "folder", "cache", apply=True)
    assert moves.moved == BLOBS * len(TABLES[version])
    with engine.connect() as connection:
        for table in TABLES[version]:
            texts = connection.execute(sqlalchemy.text(f"select value from {table}")).scalars().all()
            assert_readable(backend, dict(enumerate(map(json.loads, texts))))
    assert settings().stores["folder"] == backend.folder.as_uri()


@pytest.mark.usefixtures("stores")
def test_memory_does_not_grow_with_the_rows(backend: Backend, tmp_path: Path) -> None:
    row = json.dumps(backend.push(value(1)))
    peaks = []
    for count in (2_000, 20_000):
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/{count}.db")
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table xcom (id integer primary key, value json)"))
            rows = [{"id": number, "value": row} for number in range(count)]
            connection.execute(sqlalchemy.text("insert into xcom values (:id, :value)"), rows)
        gc.collect()
        tracemalloc.start()
        assert migrate(Rows(engine), "folder", "cache").rows == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_every_command_explains_itself() -> None:
    for arguments in (["--help"], ["migrate", "--help"]):
        line = [sys.executable, "-m", "airflow_xcom.backend.cli", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert "usage: airflow-xcom" in done.stdout
    assert "--apply" in done.stdout


def test_the_command_is_installed() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(Path(__file__).parents[2] / "setup.cfg")
    name, _, target = metadata["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == "airflow-xcom"
    assert EntryPoint(name, target, "console_scripts").load() is cli.main

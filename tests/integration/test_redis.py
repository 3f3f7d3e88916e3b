"""A real Valkey as a store: round trips, times to live, what goes wrong with a server, and secrets that stay secret."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Backend
from valkey_server import Valkey, certificate, proxy, scripted, valkey

from airflow_xcom.backend import (
    ExpiredPayloadError,
    MissingPayloadError,
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
    stores,
)
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError
from airflow_xcom.backend.stores.redis import _CHUNK, _SMALL, _UNPUBLISHED, RedisStore
from airflow_xcom.codecs import CorruptPayloadError

PATH = "dag/run%3A1/task/-1/return_value.0123.msgpack"
PASSWORD = "open-sesame-7d1f"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def server(running: Valkey) -> Iterator[Valkey]:
    yield running
    with running.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)


@pytest.fixture
def store(server: Valkey) -> RedisStore:
    return RedisStore(server.url())


def commands(server: Valkey, *, since: dict[str, int] | None = None) -> dict[str, int]:
    """How often the server ran each command of a store."""
    with server.client() as client:
        ran = {name.partition("_")[2]: facts["calls"] for name, facts in client.info("commandstats").items()}
    counts = {name: ran.get(name, 0) - (since or {}).get(name, 0) for name in ran if "|" not in name}
    return {name: count for name, count in counts.items() if count and name not in {"info", "hello"}}


# --- what is put is got ---------------------------------------------------------------------------


SIZES = [0, 1, _SMALL - 1, _SMALL, _SMALL + 1, _CHUNK - 1, _CHUNK, _CHUNK + 1, 2 * _CHUNK, 2 * _CHUNK + 12_345]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cut", [None, 700_001], ids=["whole", "cut"])
def test_what_is_put_is_got(store: RedisStore, size: int, cut: int | None) -> None:
    data = np.random.default_rng(size).bytes(size)
    chunks = [data] if cut is None else [memoryview(data)[at : at + cut] for at in range(0, size, cut)]
    store.put(PATH, chunks)
    memory = store.get(PATH)
    assert memory == data
    assert memory.format == "B"
    assert not memory.readonly
    assert [(blob.path, blob.size) for blob in store.list()] == [(PATH, size)]
    assert store.delete(PATH)
    with store._client.redis as client:
        assert client.dbsize() == 0, "a deleted blob leaves no chunk"


@pytest.mark.parametrize("size", [100, _SMALL, 3 * _CHUNK + 7])
def test_a_range_is_read_alone(store: RedisStore, server: Valkey, size: int) -> None:
    data = np.random.default_rng(1).bytes(size)
    store.put(PATH, [data])
    places = sorted({0, 1, size - 1, size, min(size, _CHUNK - 1), min(size, _CHUNK), min(size, 2 * _CHUNK + 1)})
    ranges = [(start, stop) for start in places for stop in places if start <= stop]
    for (start, stop), memory in zip(ranges, store.read(PATH, ranges), strict=True):
        assert memory == data[start:stop], (start, stop)
        assert not memory.readonly
    assert store.read(PATH, []) == []
    for beyond in ((0, size + 1), (size, size + 1), (size + 5, size + 6)):
        with pytest.raises(StoreError, match="has no bytes"):
            store.read(PATH, [(0, 1), beyond])
    before = commands(server)
    sent = network_output(server)
    assert [bytes(memory) for memory in store.read(PATH, [(10, 20)])] == [data[10:20]]
    assert network_output(server) - sent < 10_000
    assert commands(server, since=before).get("get") is None
    with pytest.raises(BlobNotFoundError):
        store.read(PATH + "2", [(0, 1)])


def network_output(server: Valkey) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_net_output_bytes"])


def test_a_small_value_takes_one_command_each_way(server: Valkey) -> None:
    for query in ("", "?ttl=1000"):
        store = RedisStore(server.url(query=query))
        assert list(store.list()) == [], "the connection is there"
        before = commands(server)
        store.put(PATH, [b"x" * 1000, b"y" * 100_000])
        assert commands(server, since=before) == {"set": 1}
        before = commands(server)
        assert len(store.get(PATH)) == 101_000
        assert commands(server, since=before) == {"get": 1}
        store.delete(PATH)


def test_a_listing_has_every_blob_and_nothing_else(server: Valkey, store: RedisStore) -> None:
    paths = [f"dag-{i % 7}/[r]?*/t/{i}" for i in range(3000)]
    for path in paths:
        store.put(path, [path.encode()])
    store.put("dag-1/large", [bytes(_CHUNK + 1)])
    RedisStore(server.url("xcom2")).put("dag-1/other", [b"other"])
    with server.client() as client:
        client.set("xcom/foreign", b"not of ours, and longer than a head is")
        client.rpush("xcom/list", 1)
    found = list(store.list())
    assert {blob.path for blob in found} == {*paths, "dag-1/large"}
    assert all(blob.size == len(blob.path) for blob in found if blob.path != "dag-1/large")
    assert all(abs(blob.modified - time.time()) < 60 for blob in found)
    assert {blob.path for blob in store.list("dag-1/[r]?*/t/1")} == {
        path for path in paths if path.startswith("dag-1/[r]?*/t/1")
    }
    with pytest.raises(CorruptPayloadError, match="something else"):
        store.get("foreign")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.get("list")


def test_threads_share_a_store(store: RedisStore) -> None:
    def through(number: int) -> bool:
        data = bytes([number]) * (_SMALL + number if number % 2 else 1000)
        store.put(f"t/{number}", [data])
        return store.get(f"t/{number}") == data

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(through, range(100)))


def test_stores_of_one_server_are_apart(server: Valkey) -> None:
    addresses = [server.url("a"), server.url("b/c"), server.url("").rstrip("/"), server.url("a").replace("/0/", "/1/")]
    for address in addresses:
        RedisStore(address).put(PATH, [address.encode()])
    for address in addresses:
        assert bytes(RedisStore(address).get(PATH)) == address.encode()
    assert RedisStore(addresses[0]).host is None


# --- nothing torn is ever seen --------------------------------------------------------------------


def test_a_killed_writer_leaves_only_chunks_that_go_by_themselves(server: Valkey, store: RedisStore) -> None:
    code = f"""
        import os
        from airflow_xcom.backend.stores.redis import _CHUNK, RedisStore

        def chunks():
            yield bytes(2 * _CHUNK + 5)
            os._exit(9)

        RedisStore({server.url()!r}).put({PATH!r}, chunks())
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 9
    with server.client() as client:
        left = client.keys()
        assert sorted(left) == [f"xcom/{PATH}#{index}".encode() for index in range(2)]
        assert all(0 < client.ttl(key) <= _UNPUBLISHED for key in left)
    assert list(store.list()) == []
    with pytest.raises(BlobNotFoundError):
        store.get(PATH)
    assert store.delete(PATH) is False


def test_a_failed_write_leaves_nothing(server: Valkey, store: RedisStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(3 * _CHUNK)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put(PATH, chunks())
    with server.client() as client:
        assert client.keys() == []


def test_a_chunk_lost_before_the_head_is_written_fails_the_push(
    server: Valkey, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = RedisStore._publish

    def lose(self: RedisStore, key: bytes, *arguments: Any) -> None:
        self._client.redis.delete(key + b"#1")
        publish(self, key, *arguments)

    monkeypatch.setattr(RedisStore, "_publish", lose)
    with pytest.raises(StoreError, match="dropped a part"):
        store.put(PATH, [bytes(3 * _CHUNK)])
    with server.client() as client:
        assert client.keys() == []


def test_a_lost_or_damaged_chunk_is_never_a_value(server: Valkey, store: RedisStore) -> None:
    store.put(PATH, [b"x" * (2 * _CHUNK + 100)])
    chunk = f"xcom/{PATH}#1"
    with server.client() as client:
        client.set(chunk, b"x")
        with pytest.raises(CorruptPayloadError, match=f"has 1 bytes, and {_CHUNK} were written"):
            store.get(PATH)
        assert store.read(PATH, [(0, 5)]) == [b"xxxxx"]
        client.delete(chunk)
        with pytest.raises(BlobNotFoundError):
            store.get(PATH)
        with pytest.raises(BlobNotFoundError):
            store.read(PATH, [(_CHUNK, _CHUNK + 1)])


@pytest.mark.parametrize(
    ("size", "chunk", "written"),
    [(1 << 62, 1, 0.0), (1 << 60, 1 << 59, 0.0), (1 << 63, 1 << 63, 0.0), (1, 0, 1e300), (1, 0, float("nan"))],
)
def test_a_forged_head_costs_nothing(size: int, chunk: int, written: float, server: Valkey, store: RedisStore) -> None:
    with server.client() as client:
        client.set(f"xcom/{PATH}", struct.pack("<8sQQd", b"axcblob1", size, chunk, written))
    with pytest.raises(CorruptPayloadError):
        store.get(PATH)
    assert all(blob.modified < time.time() for blob in store.list())


# --- time to live ---------------------------------------------------------------------------------


def test_blobs_live_as_long_as_the_url_says(server: Valkey) -> None:
    store = RedisStore(server.url(query="?ttl=500"))
    assert store.ttl == 500
    assert store.url == server.url()
    store.put("small", [b"x"])
    store.put("large", [bytes(_CHUNK + 1)])
    with server.client() as client:
        ttl = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert {key for key, left in ttl.items() if 400 < left <= 500} == {"xcom/small", "xcom/large"}
    assert all(ttl[f"xcom/large#{index}"] > 3000 for index in (0, 1)), "readers that have begun may finish"
    assert RedisStore(server.url()).ttl is None
    RedisStore(server.url()).put("large", [bytes(_CHUNK + 1)])
    with server.client() as client:
        assert {client.ttl(key) for key in client.keys("xcom/large*")} == {-1}, "and for good without"


@pytest.mark.parametrize("size", [1000, 2 * _SMALL])
def test_an_expired_blob_says_so_and_when(backend: Backend, server: Valkey, size: int) -> None:
    backend.options(path=server.url(query="?ttl=1"), threshold=0)
    for _ in range(60):  # a busy machine may take longer to push and pull than a value lives
        began = time.time()
        row = backend.push(np.zeros(size, np.uint8))
        expires = row["airflow_xcom"]["ref"]["expires"]
        assert int(began) + 1 <= expires <= time.time() + 1
        with suppress(MissingPayloadError):
            assert len(backend.pull(row)) == size
            break
    else:
        pytest.fail("it was never there")
    time.sleep(2.1)
    with pytest.raises(ExpiredPayloadError, match=r"it expired at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00; ") as caught:
        backend.pull(row)
    assert caught.value.expired == expires
    assert isinstance(caught.value, MissingPayloadError)
    assert "dag=flights" in str(caught.value)


def test_a_blob_that_is_gone_before_its_time_has_not_expired(backend: Backend, server: Valkey) -> None:
    backend.options(path=server.url(query="?ttl=100"), threshold=0)
    row = backend.push(np.zeros(10))
    backend.lose(row)
    with pytest.raises(MissingPayloadError, match="gone") as caught:
        backend.pull(row)
    assert not isinstance(caught.value, ExpiredPayloadError)


def test_rows_without_an_expiry_and_of_a_former_time_to_live_are_read(backend: Backend, server: Valkey) -> None:
    backend.options(path=server.url(), threshold=0)
    row = backend.push(np.arange(10))
    assert "expires" not in row["airflow_xcom"]["ref"]
    for query in ("?ttl=100", "?ttl=200"):
        backend.options(path=server.url(query=query))
        assert backend.pull(row).tolist() == list(range(10))
        row = backend.push(np.arange(10))
        assert row["airflow_xcom"]["ref"]["url"] == server.url()


# --- what goes wrong with a server ----------------------------------------------------------------


def test_a_restart_is_survived(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        store = RedisStore(server.url(), 30)
        store.put("before", [b"1"])
        server.stop()
        threading.Timer(1.0, server.start).start()
        store.put("after", [b"2"])
        assert bytes(store.get("after")) == b"2"


def test_closed_connections_are_opened_again(server: Valkey, store: RedisStore) -> None:
    store.put("large", [bytes(_CHUNK + 1)])
    for act in (lambda: store.put("x", [b"1"]), lambda: store.get("large"), lambda: list(store.list())):
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        act()


def test_one_connection_serves_one_command_after_another(store: RedisStore) -> None:
    first = store._client.call("cannot ask", "CLIENT", "ID")
    assert store._client.call("cannot ask", "CLIENT", "ID") == first
    with pytest.raises(StoreError, match="unknown"):
        store._client.call("cannot ask", "NONSENSE")
    assert store._client.call("cannot ask", "CLIENT", "ID") > first, "what comes after an error is not read"


def test_a_forked_process_has_a_connection_of_its_own(server: Valkey) -> None:
    script = textwrap.dedent(f"""
        import os
        from airflow_xcom.backend.stores.redis import RedisStore

        client = RedisStore({server.url()!r})._client
        numbers = [client.call("cannot ask", "CLIENT", "ID")]
        child = os.fork()
        numbers.append(client.call("cannot ask", "CLIENT", "ID"))
        print(numbers, flush=True)
        if child:
            os.waitpid(child, 0)
    """)
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    (first, other), (same, again) = sorted(map(json.loads, run.stdout.splitlines()), key=lambda ids: -ids[1])
    assert first == same == again < other


def test_many_closed_connections_cost_one_attempt(
    server: Valkey, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    for _ in range(5):
        store.put("x", [b"1"])
        taken.append(store._client._idle[os.getpid()].pop())
    store._client._idle[os.getpid()].extend(taken)
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert store.get("x") == b"1"
    assert pauses == [0.0]


def test_a_connection_whose_reply_was_not_read_is_given_up(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    store.put("one", [b"1"])
    store.put("two", [b"2"])
    connection = type(store._client._idle[os.getpid()][0])
    with monkeypatch.context() as patched:
        patched.setattr(connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.get("one")
    assert store.get("two") == b"2"


def test_a_connection_that_breaks_within_a_chunk_is_survived(server: Valkey) -> None:
    data = np.random.default_rng(1).bytes(2 * _CHUNK)
    with proxy(server.port, break_after=[_CHUNK // 2, _CHUNK // 3, 100, 10_000]) as port:
        store = RedisStore(f"redis://127.0.0.1:{port}/0/xcom")
        RedisStore(server.url()).put(PATH, [data])
        assert store.get(PATH) == data
        assert store.read(PATH, [(5, _CHUNK + 5)]) == [data[5 : _CHUNK + 5]]


def test_a_failover_is_survived(server: Valkey, store: RedisStore) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        try:
            failing = RedisStore(server.url(), 6)
            failing._client.redis.connection_pool.connection_kwargs["socket_timeout"] = 60  # of a busy machine
            with pytest.raises(StoreError, match="read only|READONLY|read-only"):
                failing.put("x", [b"1"])
            threading.Timer(0.5, lambda: server.client().replicaof("no", "one")).start()
            store.put("x", [b"1"])
        finally:
            client.replicaof("no", "one")
    assert bytes(store.get("x")) == b"1"


PASSING = [
    "LOADING loading the dataset in memory",
    "TRYAGAIN multiple keys",
    "CLUSTERDOWN down",
    "MASTERDOWN link lost",
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_survived(fault: str) -> None:
    with scripted([f"-{fault}\r\n", f"-{fault}\r\n", "+OK\r\n"]) as (port, asked):
        RedisStore(f"redis://127.0.0.1:{port}/0").put("x", [b"1"])
    assert len(asked) == 3
    with scripted([f"-{fault}\r\n"] * 1000) as (port, asked):
        with pytest.raises(StoreUnreachableError):
            RedisStore(f"redis://127.0.0.1:{port}/0", 1).get("x")
        assert len(asked) < 20, "with pauses between"


LASTING = [
    ("NOAUTH Authentication required.", StoreDeniedError, "put one into an Airflow connection"),
    ("WRONGPASS invalid username-password pair", StoreDeniedError, "check the credentials in the URL of the store"),
    ("NOPERM this user has no permissions to run the 'set' command", StoreDeniedError, "let this user run"),
    ("NOPERM No permissions to access a key", StoreDeniedError, "let this user run"),
    ("ERR DB index is out of range", StoreNotFoundError, "correct the number of the database in the URL"),
    ("MOVED 3999 127.0.0.1:6381", StoreError, "a node of a cluster, which is not supported"),
    ("OOM command not allowed when used memory > 'maxmemory'.", StoreError, "raise maxmemory"),
    ("MISCONF Errors writing to the AOF file", StoreError, "cannot save to its disk"),
    ("ERR something else", StoreError, "something else"),
]


@pytest.mark.parametrize(("fault", "kind", "advice"), LASTING)
def test_a_lasting_fault_is_told_at_once_with_advice(fault: str, kind: type[StoreError], advice: str) -> None:
    with scripted([f"-{fault}\r\n"] * 9) as (port, asked):
        with pytest.raises(StoreError, match=advice) as caught:
            RedisStore(f"redis://127.0.0.1:{port}/0").put("x", [b"1"])
        assert len(asked) == 1
        assert type(caught.value) is kind
        assert caught.value.__cause__ is not None
        assert caught.value.store == f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
def test_a_server_that_does_not_answer_is_given_up_within_the_timeout(kind: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "hangs":
            listener.listen()
        store = RedisStore(f"redis://127.0.0.1:{listener.getsockname()[1]}/0/x", 1)
        for act in (lambda: store.put("x", [b"1"]), lambda: store.get("x"), lambda: list(store.list())):
            with pytest.raises(StoreError, match="cannot"):
                act()


def test_a_full_server_fails_the_push_with_advice_and_keeps_no_part_of_it(server: Valkey, store: RedisStore) -> None:
    with server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 4 * _CHUNK)
        for size in (10 * _CHUNK, _SMALL):
            if size == _SMALL:
                client.config_set("maxmemory", 1)
            with pytest.raises(StoreError, match=r"raise maxmemory, .*\?ttl="):
                store.put(PATH, [bytes(size)])
        assert client.keys() == []


# --- Airflow connections, and secrets -------------------------------------------------------------


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Valkey]:
    user = ["--user", "alice", "on", f">{PASSWORD}", "~xcom/*", "+@all"]
    with valkey(tmp_path, "--requirepass", PASSWORD, *user) as server:
        yield server


def test_a_connection_says_where_and_with_which_password(locked: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    for login in (None, "default", "alice"):
        monkeypatch.setenv("AIRFLOW_CONN_CACHE", locked.connection(login=login, password=PASSWORD, schema="3"))
        store = RedisStore("redis://cache@/xcom")
        store.put(PATH, [str(login).encode()])
        assert bytes(store.get(PATH)) == str(login).encode()
    with locked.client(db=3, password=PASSWORD) as client:
        assert client.keys() == [f"xcom/{PATH}".encode()]
    monkeypatch.setenv("AIRFLOW_CONN_CACHE", locked.connection(password=PASSWORD, extra='{"db": 3}'))
    assert bytes(RedisStore("redis://cache@/xcom").get(PATH)) == b"alice"
    monkeypatch.setenv("AIRFLOW_CONN_CACHE", locked.connection(login="alice", password=PASSWORD))
    with pytest.raises(StoreError, match="let this user run"):
        RedisStore("redis://cache@/elsewhere").put(PATH, [b"1"])


def test_a_connection_may_ask_for_tls(server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = certificate(tmp_path)
    with proxy(server.port, tls=tmp_path) as port:
        fields: dict[str, Any] = {"port": port, "host": "localhost"}
        monkeypatch.setenv("AIRFLOW_CONN_A", server.connection(**fields, extra={"ssl_ca_certs": str(authority)}))
        store = RedisStore("rediss://a@/xcom")
        store.put(PATH, [bytes(_CHUNK + 1)])
        assert store.get(PATH) == bytes(_CHUNK + 1)
        extra = {"ssl": True, "ssl_ca_certs": str(authority)}
        monkeypatch.setenv("AIRFLOW_CONN_A", server.connection(**fields, extra=extra))
        assert len(RedisStore("redis://a@/xcom").get(PATH)) == _CHUNK + 1
        began = time.monotonic()
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            RedisStore(f"rediss://localhost:{port}/0", 600).get(PATH)
        assert time.monotonic() - began < 100, "which no retry mends"


def test_a_database_that_is_no_number_is_named(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_A", server.connection(schema="cache"))
    with pytest.raises(SettingsError, match="in the Airflow connection 'a' is 'cache'; give its number as the schema"):
        open_store("redis://a@/x").put("a", [b"x"])


def test_a_missing_connection_is_named() -> None:
    with pytest.raises(SettingsError, match="no Airflow connection 'nowhere'"):
        RedisStore("redis://nowhere@/xcom").get(PATH)


@pytest.mark.parametrize("text", [f'{{"password": "{PASSWORD}"', f"redis://:a/{PASSWORD}@host:{PASSWORD}/0"])
def test_a_connection_that_cannot_be_parsed_is_not_repeated(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", text)
    with pytest.raises((StoreError, SettingsError)) as caught:
        RedisStore("redis://broken@/xcom", 1).get(PATH)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_password_appears_in_no_row_log_error_or_repr(
    backend: Backend, locked: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    backend.options(path="redis://cache@/xcom", threshold=0)
    seen: list[Any] = []
    faults = {"wrong": (locked.port, PASSWORD + "!"), "down": (1, PASSWORD), "fine": (locked.port, PASSWORD)}
    for port, password in faults.values():
        stores._open.cache_clear()
        backend.options(store_timeout=1 if port == 1 else 60)
        monkeypatch.setenv("AIRFLOW_CONN_CACHE", locked.connection(port=port, login="alice", password=password))
        try:
            seen += [row := backend.push(np.arange(10)), backend.pull(row)]
        except StoreError as error:
            frames = list(traceback.walk_tb(error.__traceback__))[1:]  # without this function, which knows it
            stack = traceback.StackSummary.extract(iter(frames), capture_locals=True)
            trace = traceback.TracebackException.from_exception(error, capture_locals=True)
            trace.stack = stack
            seen += [repr(error), *trace.format()]
        store = open_store("redis://cache@/xcom")
        assert isinstance(store, RedisStore)
        pool = store._client.redis.connection_pool
        seen += [store, store.url, store._client.redis, vars(store._client), pool, vars(pool), *vars(store).values()]
    text = "\n".join([*map(repr, seen), *map(str, seen), caplog.text])
    assert "WRONGPASS" in text or "invalid username-password" in text
    assert "check the credentials in the Airflow connection 'cache'" in text
    assert "refused" in text
    assert "'ref'" in text
    assert PASSWORD not in text
    assert locked.connection(password=PASSWORD) not in text


BAD = [
    "redis://",
    "redis://host",
    "redis://host/prefix",
    "redis://host:0/0",
    "redis://host:x/0",
    "redis:///0/prefix",
    f"redis://user:{PASSWORD}@host/0",
    f"redis://:{PASSWORD}@host/0",
    f"redis://conn:{PASSWORD}@/prefix",
    "redis://user@host/0/prefix",
    "redis://c@/x?ttl=0",
    "redis://c@/x?ttl=-5",
    "redis://c@/x?ttl=1.5",
    "redis://c@/x?ttl=",
    "redis://c@/x?tll=5",
    "redis://c@/x?ttl=5&timeout=5",
    f"redis://c@/x?password={PASSWORD}",
    f"redis://c@/x?ttl=5&password={PASSWORD}",
    "redis://c@/x#y",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\[xcom_codecs\] path") as caught:
        open_store(url)
    assert PASSWORD not in repr(caught.value) + str(caught.value) + repr(caught.value.value)


def test_a_missing_library_is_named(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore(server.url())
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreError, match=r"pip install 'airflow-xcom-codecs\[redis\]'"):
        store.get(PATH)


# --- large ----------------------------------------------------------------------------------------


LARGE = """
import sys, time
import numpy as np
from conftest import COORDINATE
from types import SimpleNamespace
from airflow_xcom.backend import CodecXComBackend

def peak(act):  # bytes by which the most memory in use exceeds what was in use before
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    result = act()
    return result, memory("VmHWM") - before

def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

first = CodecXComBackend.serialize_value(np.zeros(9), key="k", **COORDINATE)
CodecXComBackend.deserialize_value(SimpleNamespace(value=first))
size = 600_000_000
value = np.arange(size // 8)
row, pushing = peak(lambda: CodecXComBackend.serialize_value(value, key="k", **COORDINATE))
expected = (int(value.sum()), int(value[-1]))
assert row["airflow_xcom"]["ref"]["size"] > size
del value
back, pulling = peak(lambda: CodecXComBackend.deserialize_value(SimpleNamespace(value=row)))
assert (int(back.sum()), int(back[-1])) == expected
back[0] = 7
print(pushing / size, pulling / size)
"""


def test_600_megabytes_go_through(server: Valkey, tmp_path: Path, backend: Backend) -> None:
    backend.options(path=server.url(), threshold=0)
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pushing, pulling = map(float, done.stdout.split()[-2:])
    print(f"extra memory of 600 MB: {pushing:.3f} on push, {pulling:.3f} on pull")  # noqa: T201
    assert pushing < 0.1, "a push holds no second copy"
    assert pulling < 1.1, "a pull holds one"
    with server.client() as client:
        assert max(client.strlen(key) for key in client.scan_iter()) <= _CHUNK

"""File systems of fsspec as stores, beyond what every store does: see test_stores.py for that."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from locations import Locations
from sftp_server import PASSWORD, sftp  # noqa: F401 - a fixture

from airflow_xcom.backend import SettingsError, StoreDeniedError, StoreError, StoreUnreachableError
from airflow_xcom.backend.stores import open_lasting, open_store, with_ttl
from airflow_xcom.backend.stores.fsspec import FsspecStore


@pytest.fixture
def store() -> FsspecStore:
    opened = open_store(f"memory://tests/{uuid4().hex}")
    assert isinstance(opened, FsspecStore)
    return opened


def test_a_blob_that_is_not_whole_has_a_temporary_name(store: FsspecStore) -> None:
    names: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield b"x" * (9 << 20)
        names.extend(blob.path for blob in store.scan())
        yield b"y"

    store.put("a/b", chunks())
    assert names == ["a/.b.tmp"]
    assert [blob.path for blob in store.scan()] == ["a/b"]


def test_a_sweep_finds_what_a_killed_writer_left(store: FsspecStore) -> None:
    store._fs.pipe_file(f"{store._base}/a/.b.tmp", b"half")
    assert list(store.list()) == []
    (left,) = store.scan()
    assert (left.path, left.size) == ("a/.b.tmp", 4)
    assert store.delete(left.path)
    assert list(store.scan()) == []


def test_a_url_without_a_host_keeps_its_slashes() -> None:
    # urlunsplit() keeps them only for the schemes that it knows.
    assert open_lasting("local:///srv/xcom").url == "local:///srv/xcom"
    assert with_ttl("redis:///0/xcom?ttl=5&a=b", 60) == "redis:///0/xcom?ttl=60&a=b"


def test_paths_are_no_patterns(store: FsspecStore) -> None:
    for path in ("[a]/*?", "a/xy"):
        store.put(path, [path.encode()])
    assert bytes(store.get("[a]/*?")) == b"[a]/*?"
    assert store.delete("[a]/*?")
    assert [blob.path for blob in store.list()] == ["a/xy"]


def test_a_store_says_once_what_it_does_not_promise(
    store: FsspecStore, locations: Locations, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        store.put("a", [b"1"])
        store.put("b", [b"1"])
    assert caplog.text.count("is reached through fsspec: ") == 1
    assert "blobs are lost when the process ends" in caplog.text
    assert any("by a copy" in limit for limit in store.limits)
    assert not any(
        "by a copy" in limit for kind in ("local", "sftp") for limit in open_store(locations.url(kind)).limits
    )
    assert open_store("file:///tmp").limits == ()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"mtime": 5.5}, 5.5),
        ({"mtime": None, "created": 7}, 7),
        ({"LastModified": datetime(2024, 1, 1, tzinfo=UTC)}, 1704067200),
        ({"modified": datetime(2024, 1, 1)}, 1704067200),
    ],
)
def test_file_systems_tell_times_in_many_ways(store: FsspecStore, entry: dict[str, Any], expected: float) -> None:
    assert store._modified(entry) == expected


@pytest.mark.parametrize("entry", [{}, {"mtime": "2024-01-01"}])
def test_what_is_of_no_known_age_counts_as_new(store: FsspecStore, entry: dict[str, Any]) -> None:
    assert time.time() - store._modified(entry) < 60, "so that no sweep takes it"


def test_a_connection_that_no_provider_takes_is_refused() -> None:
    with pytest.raises(SettingsError, match="no Airflow connection 'nowhere'"):
        open_store("memory://nowhere@x").get("a")


def test_a_connection_of_a_scheme_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TESTS", '{"conn_type": "memory"}')
    with pytest.raises(StoreError, match="no provider of Airflow connects to memory://"):
        open_store("memory://tests@x").get("a")


def test_a_wrong_password_is_not_shown(locations: Locations) -> None:
    wrong = f"{PASSWORD}-but-wrong"
    store = open_store(locations.url("sftp", password=wrong))
    for act in (lambda: store.get("a"), lambda: store.put("a", [b"x"]), lambda: list(store.list())):
        with pytest.raises(StoreDeniedError, match="check the Airflow connection 'tests'") as caught:
            act()
        assert wrong not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_is_not_there(locations: Locations) -> None:
    with pytest.raises(StoreUnreachableError, match="check the Airflow connection 'tests'"):
        open_store(locations.url("sftp", port=9)).get("a")


def test_a_folder_that_is_not_writable_is_told(locations: Locations, sftp: SimpleNamespace) -> None:  # noqa: F811
    url = locations.url("sftp")
    (sftp.folder / url.rpartition("/")[2]).write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        open_store(url).put("a/b", [b"x"])

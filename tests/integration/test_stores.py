"""One suite for every store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Backend
from leftovers import s3_client
from locations import FSSPEC, LOCATIONS, Locations
from sftp_server import sftp  # noqa: F401 - a fixture

from airflow_xcom.backend import (
    MissingPayloadError,
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from airflow_xcom.backend.envelope import Coordinate, unique_path
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store
from airflow_xcom.backend.testing import StoreSuite
from airflow_xcom.backend.testing.store_suite import PATH, TEXTS
from airflow_xcom.codecs.testing import difference


@pytest.fixture(params=[*LOCATIONS, *FSSPEC])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(kind: str, locations: Locations) -> Store:
    return open_store(locations.url(kind))


@pytest.fixture(params=[kind for kind in LOCATIONS if kind != "file"])
def remote(request: pytest.FixtureRequest) -> str:
    """A kind of store that a server keeps."""
    return request.param


class TestStores(StoreSuite):
    """The shipped suite on each of our stores."""

    @pytest.fixture
    def store(self, store: Store) -> Store:
        return store


class TestVersionedBucket(StoreSuite):
    """And on a bucket that keeps earlier versions of what is written again or deleted."""

    @pytest.fixture
    def store(self, locations: Locations, seaweedfs: SimpleNamespace) -> Store:
        client = s3_client(seaweedfs)
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket="versioned")
        client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        return open_store(locations.url("s3", bucket="versioned"))

    def test_what_is_deleted_is_kept_as_an_earlier_version(self, store: Store, seaweedfs: SimpleNamespace) -> None:
        store.put(PATH, [b"x" * 1000])
        assert store.delete(PATH)
        assert list(store.scan()) == []
        found = s3_client(seaweedfs).list_object_versions(Bucket="versioned", Prefix=store.url.rpartition("/")[2])
        assert [version["Size"] for version in found["Versions"]] == [1000]
        assert [marker["IsLatest"] for marker in found["DeleteMarkers"]] == [True]


def test_a_writer_leaves_no_file_but_the_blob(tmp_path: Path) -> None:
    open_store(tmp_path.as_uri()).put(PATH, [b"x" * 70_000])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [PATH.rpartition("/")[2]]


def test_any_coordinate_gives_a_path_of_ascii(backend: Backend) -> None:
    for text in TEXTS:
        path = unique_path(Coordinate(text, text, text, 3, text), ".arrow")
        assert len(path) < 1000
        assert path.count("/") == 4
        assert path.isascii()
        assert not any(part in {"", ".", ".."} for part in path.split("/"))
    assert unique_path(Coordinate("d"), ".x") != unique_path(Coordinate("d"), ".x")


def test_a_large_blob_is_never_in_memory_twice(locations: Locations) -> None:
    """What is on its way, in either direction, is bounded, however large the blob is."""
    code = f"""
        from pathlib import Path
        from airflow_xcom.backend.stores import open_store

        def memory(name):
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith(name)) >> 10

        store = open_store({locations.url("s3")!r})
        store.put("warm", [b"x"])
        store.get("warm")
        chunks = [bytes(1 << 20)] * 200
        before = memory("VmHWM")
        store.put("large", chunks)
        pushed = memory("VmHWM")
        found = store.get("large")
        assert len(found) == 200 << 20
        print(pushed - before, memory("VmHWM") - before - 200)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    push, pull = map(int, done.stdout.split())
    assert push < 100, "of 200 MB"
    assert pull < 100, "beyond the 200 MB themselves"


def test_the_store_names_itself(store: Store, kind: str) -> None:
    assert store.url.startswith(f"{kind}://")
    assert store.host == (os.uname().nodename if kind in {"file", "memory", "local"} else None)


BAD_URLS = [
    "file://relative/x",
    "file://host/x",
    "file:/x",
    "ftp://x:y@z",
    "memory://x?y",
    "redis",
    "s3",
    "",
    "nosuch://example.org",
    "s3://",
    "s3://connection@",
    "s3:///prefix",
    "gs://bucket:80/x",
    "s3://bucket/a/../b",
    "s3://bucket/a//b",
    "s3://bucket/x?region=y",
    "abfs://container@account.dfs.core.windows.net/x",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\[xcom_codecs\] path"):
        open_store(url)


KEYED_URLS = [
    "s3://AKIDEXAMPLE:wJalr+secret@bucket/x",
    "s3://AKIDEXAMPLE:wJalr/secret@bucket/x",
    "redis://user:wJalr@host/0",
    "redis://:wJalr@host/0",
    "redis://host/0?password=wJalr",
    "ftp://user:wJalr@host/x",
    "postgresql://user:wJalr@host/x?y=z",
    "valkey://:wJalr@host/x",
    "file://user:wJalr@host/x",
]


@pytest.mark.parametrize("url", KEYED_URLS)
def test_keys_in_a_url_are_refused_and_not_repeated(url: str, backend: Backend) -> None:
    with pytest.raises(SettingsError, match=re.escape(url.partition("://")[0])) as caught:
        open_store(url)
    assert "wJalr" not in str(caught.value) + repr(caught.value.value)
    backend.options(stores=json.dumps({"default": url}))
    with pytest.raises(SettingsError, match="default") as caught:
        settings()
    assert "wJalr" not in str(caught.value) + repr(caught.value.value)


def every_request(store: Store) -> list[Callable[[], Any]]:
    return [
        lambda: store.put(PATH, [b"x"]),
        lambda: store.put(PATH, [b"x" * 20_000_000]),
        lambda: store.get(PATH),
        lambda: store.read(PATH, [(0, 1)]),
        lambda: store.delete(PATH),
        lambda: list(store.list()),
    ]


def test_a_server_that_is_not_there(remote: str, locations: Locations, backend: Backend) -> None:
    backend.options(store_timeout=1)
    nowhere = {"abfs": "http://127.0.0.1:9/devstoreaccount1", "redis": "redis://127.0.0.1:9"}
    store = open_store(locations.url(remote, endpoint=nowhere.get(remote, "http://127.0.0.1:9")))
    for request in every_request(store):
        with pytest.raises(
            StoreUnreachableError, match="Connection refused.*connection 'tests'.*store_timeout"
        ) as caught:
            request()
        assert isinstance(caught.value, StoreError)
        assert isinstance(caught.value.__cause__, Exception)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("s3", {"password": "not the secret"}),
        ("s3", {"login": "AKIDNOBODY"}),
        ("abfs", {"password": "bm90IHRoZSBrZXk="}),
        ("redis", {"password": "not the secret"}),
        ("redis", {"login": "nobody"}),
    ],
)
def test_wrong_credentials(kind: str, changes: dict[str, str], locations: Locations) -> None:
    store = open_store(locations.url(kind, **changes))
    for request in every_request(store):
        with pytest.raises(StoreDeniedError, match="check the credentials in the Airflow connection 'tests'"):
            request()


def test_credentials_that_may_not_write(locations: Locations, seaweedfs: SimpleNamespace) -> None:
    store = open_store(locations.url("s3", login=seaweedfs.reader))
    assert list(store.list()) == []
    for request in every_request(store)[:2]:
        with pytest.raises(StoreDeniedError, match="AccessDenied"):
            request()


def test_a_bucket_that_is_not_there(remote: str, locations: Locations) -> None:
    store = open_store(locations.url(remote, bucket="no-such-bucket"))
    write, write_parts, read, read_range, _, listing = every_request(store)
    for request in (write, write_parts, read, read_range, listing):
        with pytest.raises(StoreNotFoundError, match="create the bucket|correct the number of the database"):
            request()


@pytest.mark.parametrize("url", ["s3://nowhere@bucket/x", "redis://nowhere@/x"])
def test_a_connection_that_is_not_there(url: str) -> None:
    for request in every_request(open_store(url)):
        with pytest.raises(SettingsError, match="no Airflow connection 'nowhere'"):
            request()


def test_frames_through_the_backend(kind: str, locations: Locations, backend: Backend) -> None:
    backend.options(path=locations.url(kind), threshold=0)
    frame = pd.DataFrame({"a": np.arange(2_000_000), "b": pd.Categorical(["x", "y"] * 1_000_000)})
    for value in (frame, {"frames": [frame.head(), frame.tail()], "of": (1, 2)}, np.zeros((3, 4))):
        row = json.loads(json.dumps(backend.push(value)))
        assert row["airflow_xcom"]["ref"]["url"].startswith(f"{kind}://")
        assert difference(value, backend.pull(row)) is None
        backend.lose(row)
        with pytest.raises(MissingPayloadError):
            backend.pull(row)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())

    class Failing:
        def __len__(self) -> int:
            return 1 << 20

    with pytest.raises(TypeError):
        store.put(PATH, [b"x" * 100_000, Failing()])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_killed_writer_leaves_no_blob(tmp_path: Path) -> None:
    """A writer that dies between chunks leaves only its temporary file, which no listing shows."""
    code = f"""
        import os
        from airflow_xcom.backend.stores import open_store

        class Deadly(bytearray):
            def __len__(self):
                return os._exit(9)

        open_store({tmp_path.as_uri()!r}).put({PATH!r}, [b"x" * 100_000, Deadly(100_000)])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 9
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left.name.endswith(".tmp")
    store = open_store(tmp_path.as_uri())
    assert list(store.list()) == []
    with pytest.raises(BlobNotFoundError):
        store.get(PATH)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_text("a file")
    with pytest.raises(StoreError, match="cannot list"):
        list(open_store(base.as_uri()).list())
    with pytest.raises(StoreError, match="cannot write"):
        open_store(base.as_uri()).put(PATH, [b"x"])
    with pytest.raises(BlobNotFoundError):
        open_store(base.as_uri()).get(PATH)

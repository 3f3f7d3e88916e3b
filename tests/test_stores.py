"""One suite for every store."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_xcom.backend import SettingsError, StoreError
from airflow_xcom.backend.reference import Coordinate, unique_path
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store

PATH = "dag/run%3A1/task/-1/return_value.0123.msgpack"


@pytest.fixture(params=["file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    assert request.param == "file"
    return open_store((tmp_path / "a folder").as_uri())


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b""],
        [b"abc"],
        [b"a", memoryview(b"bc"), bytearray(b"d")],
        [b"x" * 70_000, b"y", memoryview(bytearray(b"z" * 200_000)), b""],
        [b"x"] * 5000,
    ],
    ids=["nothing", "empty", "one", "kinds", "large", "many"],
)
def test_what_is_put_is_got(store: Store, tmp_path: Path, chunks: list[Any]) -> None:
    store.put(PATH, chunks)
    memory = store.get(PATH)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [Path(PATH).name], "and nothing else is left"
    assert bytes(memory) == b"".join(chunks)
    assert not memory.readonly
    assert memory.format == "B"


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_what_is_got_belongs_to_the_reader(store: Store, size: int) -> None:
    store.put(PATH, [b"\0" * size])
    memory = store.get(PATH)
    memory[0] = 1
    assert store.get(PATH)[0] == 0
    assert store.delete(PATH)
    assert memory[0] == 1, "and stays when the blob goes"
    assert memory[size - 1] == 0


def test_nothing_is_not_found(store: Store) -> None:
    with pytest.raises(BlobNotFoundError):
        store.get(PATH)
    assert store.delete(PATH) is False
    assert list(store.list()) == []


def test_delete_removes_one(store: Store) -> None:
    store.put(PATH, [b"1"])
    store.put(PATH + "2", [b"22"])
    assert store.delete(PATH) is True
    assert store.delete(PATH) is False
    with pytest.raises(BlobNotFoundError):
        store.get(PATH)
    assert [(blob.path, blob.size) for blob in store.list()] == [(PATH + "2", 2)]


def test_list_by_prefix(store: Store) -> None:
    for path in ("a/1", "a/2", "ab/1", "b/c/d"):
        store.put(path, [path.encode()])
    assert {blob.path for blob in store.list()} == {"a/1", "a/2", "ab/1", "b/c/d"}
    assert {blob.path for blob in store.list("a/")} == {"a/1", "a/2"}
    assert all(blob.modified > 1.7e9 for blob in store.list())


def test_any_coordinate_gives_a_path_that_works(store: Store) -> None:
    texts = ["", ".", "..", "a/b", "ü✓", "\0", "x" * 250, "%", "~", "C:\\x", " ", "-", "a\nb", "\ud800", "ü" * 250]
    paths = {unique_path(Coordinate(text, text, text, 3, text), ".arrow") for text in texts}
    paths.add(unique_path(Coordinate(), ".arrow"))
    assert len(paths) == len(texts) + 1
    for path in paths:
        assert len(path) < 1000
        assert path.count("/") == 4
        assert path.isascii()
        assert not any(part in {"", ".", ".."} for part in path.split("/"))
        store.put(path, [b"x"])
        assert bytes(store.get(path)) == b"x"
    assert unique_path(Coordinate("d"), ".x") != unique_path(Coordinate("d"), ".x")


def test_the_store_names_itself(store: Store) -> None:
    assert store.url.startswith("file:///")
    assert store.host == os.uname().nodename


@pytest.mark.parametrize(
    "url", ["file://relative/x", "file://host/x", "file:/x", "ftp://x/y", "redis", "s3", "", "http://example.org"]
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"\[xcom_codecs\] path"):
        open_store(url)


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

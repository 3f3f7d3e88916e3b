"""The tests that every store passes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_xcom.backend.envelope import Coordinate, unique_path
from airflow_xcom.backend.errors import StoreError
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store

PATH = "dag/run%3A1/task/-1/return_value.0123.msgpack"
LARGE = 20_000_001  # more than two parts of 8 MiB, and no multiple of anything
SIZES = [0, 1, 10, 1 << 16, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, LARGE]
CHUNKS: dict[str, list[Any]] = {
    "nothing": [],
    "empty": [b""],
    "one": [b"abc"],
    "types": [b"a", memoryview(b"bc"), bytearray(b"d")],
    "large": [b"x" * 70_000, b"y", memoryview(bytearray(b"z" * 200_000)), b""],
    "many": [b"x"] * 5000,
}
# Segments of paths are made of these, percent-encoded; 250 letters or umlauts are cut.
TEXTS = ["", ".", "..", "a/b", "ü✓", "\0", "x" * 250, "%", "~", "C:\\x", " ", "-", "a\nb", "\ud800", "ü" * 250]


class StoreSuite:
    """Derive a class of tests from this one, and override the fixture ``store`` with an empty store."""

    @pytest.fixture
    def store(self) -> Store:
        """Return the store to test, which has no blobs."""
        raise NotImplementedError("override the fixture `store`")

    def test_it_says_where_it_is(self, store: Store) -> None:
        """Rows keep these."""
        assert "://" in store.url
        assert store.host is None or isinstance(store.host, str)
        assert store.ttl is None or store.ttl > 0
        assert isinstance(store, Store)

    @pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
    def test_chunks_of_any_type_come_back_joined(self, store: Store, chunks: list[Any]) -> None:
        """The memory is bytes, which may be written to."""
        store.put(PATH, chunks)
        memory = store.get(PATH)
        assert bytes(memory) == b"".join(chunks)
        assert not memory.readonly
        assert memory.format == "B"
        assert paths(store) == {PATH}

    @pytest.mark.parametrize("size", SIZES)
    def test_every_byte_of_every_size_comes_back(self, store: Store, size: int) -> None:
        """Sizes around those at which stores change to multipart uploads."""
        data = random.Random(size).randbytes(size)
        store.put(PATH, (data[start : start + 999_999] for start in range(0, size, 999_999)))
        assert store.get(PATH) == data
        assert [(blob.path, blob.size) for blob in store.list()] == [(PATH, size)]

    def test_a_small_blob_is_created_once(self, store: Store) -> None:
        """Of several at once the first writer wins, in stores that have a ``create`` of their own."""
        at_once = 16 if type(store).create is not Store.create else 1
        with ThreadPoolExecutor(at_once) as pool:
            texts = [b"%d" % number for number in range(at_once)]
            created = list(pool.map(lambda text: store.create(PATH, text), texts))
        assert sum(created) == 1
        assert store.get(PATH) == texts[created.index(True)]
        assert not store.create(PATH, b"another")
        assert store.get(PATH) == texts[created.index(True)]
        assert paths(store) == {PATH}

    def test_ranges_are_exact_and_within_the_blob(self, store: Store) -> None:
        """A range beyond the end is an error, never fewer bytes."""
        data = random.Random(1).randbytes(LARGE)
        store.put(PATH, [data])
        ranges = [(0, 1), (LARGE - 1, LARGE), (5, 5), (1000, 100_000), (3, 17_000_003), (7, 9)]
        memories = store.read(PATH, ranges)
        assert [bytes(memory) for memory in memories] == [data[start:stop] for start, stop in ranges]
        assert not any(memory.readonly for memory in memories)
        assert list(store.read(PATH, [])) == []
        for beyond in [(0, LARGE + 1), (LARGE, LARGE + 1), (LARGE + 5, LARGE + 6), (5, LARGE + 5)]:
            with pytest.raises(StoreError):
                store.read(PATH, [(0, 1), beyond])
        with pytest.raises(StoreError):
            store.read(PATH, [(LARGE - 9, LARGE - 1), (LARGE - 1, LARGE + 4), (LARGE + 4, LARGE + 8)])
        assert [bytes(memory) for memory in store.read(PATH, [(5, 9), (2, 6), (6, 9)])] == [
            data[5:9],
            data[2:6],
            data[6:9],
        ]

    @pytest.mark.parametrize("size", [10, 1 << 20])
    def test_memory_belongs_to_the_reader(self, store: Store, size: int) -> None:
        """A change to it reaches no blob and no other reader, and it outlives the blob."""
        store.put(PATH, [b"\0" * size])
        memory = store.get(PATH)
        (part,) = store.read(PATH, [(0, 5)])
        memory[0] = part[0] = 1
        assert store.get(PATH)[0] == 0
        assert store.read(PATH, [(0, 5)])[0] == b"\0" * 5
        assert store.delete(PATH)
        assert (memory[0], memory[size - 1]) == (1, 0)

    def test_a_missing_blob_is_a_typed_error(self, store: Store) -> None:
        """Only a delete takes it quietly."""
        with pytest.raises(BlobNotFoundError):
            store.get(PATH)
        with pytest.raises(BlobNotFoundError):
            store.read(PATH, [(0, 1)])
        assert store.delete(PATH) is False
        assert paths(store) == paths(store, "dag/") == set()

    def test_delete_removes_one_blob(self, store: Store) -> None:
        """Not one whose path begins alike."""
        store.put(PATH, [b"1"])
        store.put(PATH + "2", [b"22"])
        assert store.delete(PATH) is True
        assert store.delete(PATH) is False
        with pytest.raises(BlobNotFoundError):
            store.get(PATH)
        assert paths(store) == {PATH + "2"}

    def test_list_by_prefix(self, store: Store) -> None:
        """A prefix need not end with a segment."""
        before = time.time()
        for path in ("a/1", "a/2", "ab/1", "b/c/d"):
            store.put(path, [path.encode()])
        assert paths(store) == {"a/1", "a/2", "ab/1", "b/c/d"}
        assert paths(store, "a/") == {"a/1", "a/2"}
        assert paths(store, "a") == {"a/1", "a/2", "ab/1"}
        assert paths(store, "b/c/") == {"b/c/d"}
        assert paths(store, "c") == set()
        assert all(isinstance(blob, Blob) and abs(blob.modified - before) < 600 for blob in store.list())
        assert {blob.path for blob in store.scan()} == paths(store)

    def test_names_with_odd_characters(self, store: Store) -> None:
        """Every Dag, run, task and key gives a path that works."""
        odd = {unique_path(Coordinate(text, text, text, 3, text), ".arrow") for text in TEXTS}
        for path in odd:
            store.put(path, [path.encode()])
        assert paths(store) == odd
        for path in odd:
            assert bytes(store.get(path)) == path.encode()
            assert store.delete(path)

    def test_a_listing_may_be_long(self, store: Store) -> None:
        """More than servers tell at once."""
        many = {f"dag/run/{number:04}" for number in range(1_100)}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: store.put(path, [path.encode()]), [*many, "dag/other/1"]))
        assert paths(store, "dag/run/") == many
        assert len(paths(store, "dag/")) == len(many) + 1

    def test_threads_share_a_store(self, store: Store) -> None:
        """Each gets what it wrote, and all get the same of one blob."""
        store.put("shared", [random.Random(0).randbytes(1_000_000)])
        expected = bytes(store.get("shared"))

        def there_and_back(number: int) -> bool:
            data = random.Random(number).randbytes(number * 300_000)
            store.put(f"{number}", [data])
            return store.get(f"{number}") == data and store.get("shared") == expected

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(there_and_back, range(20)))

    def test_nothing_partial_is_visible(self, store: Store) -> None:
        """While a blob is written, a reader in another thread finds nothing of it."""

        def check() -> None:
            assert paths(store) == set()
            with pytest.raises(BlobNotFoundError):
                store.get(PATH)

        def chunks() -> Iterator[bytes]:
            yield b"x" * LARGE
            with ThreadPoolExecutor(1) as reader:  # the writing thread is busy
                reader.submit(check).result()
            yield b"y"

        store.put(PATH, chunks())
        assert len(store.get(PATH)) == LARGE + 1

    def test_readers_meanwhile_get_all_or_nothing(self, store: Store) -> None:
        """Until put returns a reader may find the blob or not, but never a part."""
        data, ends = random.Random(2).randbytes(LARGE), threading.Event()

        def read() -> set[int]:
            sizes = set()
            while not ends.is_set():
                try:
                    sizes.add(len(store.get(PATH)))
                except BlobNotFoundError:
                    sizes.add(-1)
            return sizes

        with ThreadPoolExecutor(1) as reader:
            sizes = reader.submit(read)
            try:
                store.put(PATH, [data])
                assert store.get(PATH) == data
            finally:
                ends.set()
            assert sizes.result() <= {-1, LARGE}

    @pytest.mark.parametrize("size", [10, LARGE])
    def test_a_writer_that_fails_leaves_nothing(self, store: Store, size: int) -> None:
        """Its own error passes."""

        def chunks() -> Iterator[bytes]:
            yield b"x" * size
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.put(PATH, chunks())
        assert paths(store) == set()
        with pytest.raises(BlobNotFoundError):
            store.get(PATH)

    def test_prune_takes_no_blob(self, store: Store) -> None:
        """However new the folders may be that it takes."""
        store.put("a/b/c", [b"1"])
        store.put("a/d", [b"2"])
        store.delete("a/d")
        store.prune(time.time() + 3600)
        assert bytes(store.get("a/b/c")) == b"1"
        store.put("a/d", [b"3"])
        assert paths(store) == {"a/b/c", "a/d"}


def paths(store: Store, prefix: str = "") -> set[str]:
    """Return the paths that a store lists."""
    return {blob.path for blob in store.list(prefix)}

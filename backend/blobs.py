"""Write a payload to its store, and read it back: the store, the path, and the check of size and digest."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xxhash

from airflow_xcom.backend.blob_paths import Kind, kind_of, tombstone_path
from airflow_xcom.backend.envelope import LARGEST_INDEX, Coordinate, Reference, Retirement, unique_path
from airflow_xcom.backend.errors import (
    ExpiredPayloadError,
    MissingPayloadError,
    OtherHostError,
    RetiredVersionError,
    UnknownStoreError,
)
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError
from airflow_xcom.codecs import CorruptPayloadError, DecodeError, decode
from airflow_xcom.codecs.payload import Payload, decode_part

if TYPE_CHECKING:
    from airflow_xcom.backend.asset_version import AssetVersion
    from airflow_xcom.backend.settings import Settings
    from airflow_xcom.backend.stores.base import Store
    from airflow_xcom.codecs.formats.msgpack.items import ItemIndex

_SUFFIXES = {"arrow": ".arrow", "msgpack": ".msgpack"}
_ALGORITHM = "xxh3-128"
_JOINED = 1 << 16  # bytes up to which chunks are joined, which takes less time than to go through them
_PIECE = 1 << 20  # bytes that are still in the processor's cache when they are written after their digest


def write_blob(
    payload: Payload, coordinate: Coordinate, options: Settings, asset: AssetVersion | None = None
) -> Reference:
    """Write a payload to the store that the options of this value name, and return the reference to it.

    Raises:
        StoreError: The store cannot be written to.
    """
    path = unique_path(coordinate, _SUFFIXES[payload.format], asset)
    reference = _put(options.name, options.path, path, payload.chunks, payload.format)
    if payload.index is None or len(payload.index) > LARGEST_INDEX:
        return reference
    return replace(reference, index_size=len(payload.index), index_digest=_digest(payload.index))


def is_blob_of(reference: Reference, payload: Payload) -> bool:
    """Return whether a payload has the size and digest of a blob."""
    digested = _DigestedChunks(payload.chunks)
    digested.take_all()
    return (digested.size, digested.digest) == (reference.size, reference.digest)


def copy_blob(reference: Reference, coordinate: Coordinate, name: str, asset: AssetVersion | None = None) -> Reference:
    """Copy a blob into the store of this name, read the copy back, and return the reference to the copy."""
    memory = verified(reference)
    path = unique_path(coordinate, _SUFFIXES.get(reference.format, ""), asset)
    copy = _put(name, settings().stores[name], path, [memory], reference.format)
    del memory
    verified(copy)
    return replace(copy, index_size=reference.index_size, index_digest=reference.index_digest)


def _put(name: str, url: str, path: str, chunks: Iterable[Any], payload_format: str) -> Reference:
    """Write a blob, with the digest taken while it is written to a folder, or while chunks are taken that come once.

    A list is handed to a remote store as it is, which after a fault takes it again.
    """
    store = open_store(url)
    if isinstance(chunks, list) and sum(map(len, chunks)) <= _JOINED:
        data = b"".join(chunks)
        size, digest = len(data), _digest(data)
        store.put(path, [data])
    else:
        digested = _DigestedChunks(chunks)
        if isinstance(chunks, list) and store.host is None:
            digested.take_all()
            store.put(path, chunks)
        else:
            store.put(path, digested)
        size, digest = digested.size, digested.digest
    return Reference(
        store=name,
        url=store.url,
        path=path,
        size=size,
        format=payload_format,
        digest=digest,
        host=store.host,
        expires=None if store.ttl is None else int(time.time()) + store.ttl,
    )


def read_blob(reference: Reference) -> Any:
    """Return the value of a blob.

    Raises:
        MissingPayloadError: The blob does not exist any more.
        RetiredVersionError: It was that of a version of an asset, which a policy retired.
        UnknownStoreError: Its store is not configured here.
        CorruptPayloadError: Its size or digest is not that of the reference.
        DecodeError: See :func:`airflow_xcom.codecs.decode`.
        StoreError: The store cannot be read.
    """
    return decode(verified(reference), reference.format)


def read_part(reference: Reference, **wanted: Any) -> Any:
    """Return some columns and rows of a table in the Arrow format, without reading the rest of the blob.

    A part has no digest; :func:`airflow_xcom.codecs.payload.decode_part` validates every value instead.

    Raises:
        SelectionError: The table has no such columns or rows.
        MissingPayloadError, UnknownStoreError, DecodeError, StoreError: See :func:`read_blob`.
    """
    if wanted.get("columns") is None and wanted.get("rows") is None:
        memory = verified(reference)
        return decode_part(lambda ranges: [memory[slice(*part)] for part in ranges], len(memory), **wanted)
    return decode_part(ranges_of(reference), reference.size, **wanted)


class Elements(Sequence[Any]):
    """The elements of a list that is a blob with an index of them.

    Args:
        reference: to the blob.
        reading: calls what reads an element, and says in its errors which XCom it happened to.
        copy: returns the reference to a copy of the blob, which a migration has made since; None if there is none.

    Raises:
        MissingPayloadError: The blob does not exist any more.
        CorruptPayloadError: The index is not what was written.
        StoreError: The store cannot be read.
    """

    def __init__(
        self,
        reference: Reference,
        reading: Callable[[Callable[[], Any]], Any],
        copy: Callable[[], Reference | None],
    ) -> None:
        self._fetch = ranges_of(reference)
        self._index = _index_of(reference)
        self._reading = reading
        self._copy = copy

    def __len__(self) -> int:
        return len(self._index.ranges)

    def __getitem__(self, key: Any) -> Any:
        """Return an element, or a list of those in a slice; raise what pulling the whole list does."""
        numbers = range(len(self))[key]
        return [self[number] for number in numbers] if isinstance(numbers, range) else self._element(numbers)

    def _element(self, number: int) -> Any:
        from airflow_xcom.codecs.elements import decode_item

        def read() -> Any:
            (memory,) = self._fetch([self._index.ranges[number]])
            return decode_item(self._index, number, memory)

        try:
            return self._reading(read)
        except MissingPayloadError:
            copy = self._copy()
            if copy is None:
                raise
        self._fetch = ranges_of(copy)
        return self._reading(read)


def _index_of(reference: Reference) -> ItemIndex:
    """Return where the elements of a list are in its blob."""
    from airflow_xcom.codecs.elements import read_index

    (head,) = ranges_of(reference)([(0, reference.index_size or 0)])
    if _digest(head) != reference.index_digest:
        msg = f"the index of {reference.path!r} has another digest than what was written; run the task again"
        raise CorruptPayloadError(msg)
    return read_index(head, reference.size)


def ranges_of(reference: Reference) -> Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]:
    """Return a function that reads ranges of a blob, each from its start to before its stop."""
    store = _store(reference)

    def fetch(ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        try:
            return store.read(reference.path, ranges)
        except BlobNotFoundError as error:
            raise _missing(store, reference) from error

    return fetch


def verified(reference: Reference) -> memoryview:
    """Return the bytes of a blob after a check of their size and digest."""
    store = _store(reference)
    try:
        memory = store.get(reference.path)
    except BlobNotFoundError as error:
        raise _missing(store, reference) from error
    if len(memory) != reference.size:
        counts = f"{len(memory)} bytes, and {reference.size} were written"
        raise CorruptPayloadError(f"the payload {reference.path!r} has {counts}; run the task again")
    if _digest(memory) != reference.digest:
        msg = f"the payload {reference.path!r} has another digest than what was written; run the task again"
        raise CorruptPayloadError(msg)
    return memory


def store_name(reference: Reference) -> str:
    """Return the name of the configured store with the URL of the reference, or else the name in the reference.

    Raises:
        UnknownStoreError: Neither is configured here.
    """
    stores = settings().stores
    for name, url in stores.items():
        if url.partition("?")[0] == reference.url:  # the URL in a reference has no options
            return name
    if reference.store not in stores:
        raise UnknownStoreError(reference.store, reference.url)
    return reference.store


def _store(reference: Reference) -> Store:
    return open_store(settings().stores[store_name(reference)])


def retirement_of(store: Store, path: str) -> Retirement | None:
    """Return when and why the version of an asset at a path was retired; None if it was not."""
    try:
        text = bytes(store.get(tombstone_path(path)))
    except BlobNotFoundError:
        return None
    try:
        return Retirement.from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise CorruptPayloadError(f"the tombstone of {path!r} is damaged") from error


def _missing(store: Store, reference: Reference) -> DecodeError:
    """Return why a blob is not there."""
    if kind_of(reference.path) is Kind.VERSION and (retired := retirement_of(store, reference.path)) is not None:
        return RetiredVersionError(retired.at, retired.rule)
    here = socket.gethostname()
    if reference.host not in {None, here}:
        return OtherHostError(store.url, reference.path, host=str(reference.host), here=here)
    if reference.expires is not None and time.time() >= reference.expires:
        return ExpiredPayloadError(store.url, reference.path, reference.expires)
    if store.url != reference.url:
        why = f"it was written to {reference.url}; add that to [xcom_codecs] stores"
        return MissingPayloadError(store.url, reference.path, why)
    return MissingPayloadError(store.url, reference.path)


class _DigestedChunks:
    """Chunks that are counted and digested while they are iterated.

    The digest detects damage, not malice: whoever can write both the row and the blob can forge it.
    """

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = chunks
        self._digest = xxhash.xxh3_128()
        self.size = 0

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._chunks:
            view = memoryview(chunk).cast("B")
            for start in range(0, len(view), _PIECE):
                piece = view[start : start + _PIECE]
                self._digest.update(piece)
                self.size += len(piece)
                yield piece

    def take_all(self) -> None:
        for _ in self:
            pass

    @property
    def digest(self) -> str:
        return f"{_ALGORITHM}:{self._digest.hexdigest()}"


def _digest(memory: Any) -> str:
    return f"{_ALGORITHM}:{xxhash.xxh3_128_hexdigest(memory)}"

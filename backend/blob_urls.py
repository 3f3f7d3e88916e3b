"""Open a blob by its file or URL, without the row that refers to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.envelope import Reference
from airflow_xcom.backend.errors import MissingPayloadError, XComNotFoundError
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError
from airflow_xcom.codecs import decode

if TYPE_CHECKING:
    from airflow_xcom.backend.stores.base import Store

    Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

_ARROW = b"ARROW1"


def open_blob(url: str) -> tuple[str, Fetch, int]:
    """Return the URL of a blob, a function that reads ranges of it, and its size.

    Args:
        url: the path of a file, or a URL below that of a configured store.

    Raises:
        XComNotFoundError: The URL is not below that of a configured store.
        MissingPayloadError: The blob does not exist.
        StoreError: The store cannot be read.
    """
    store, path = _located(url)
    size = next((blob.size for blob in store.list(path) if blob.path == path), None)
    if size is None:
        raise MissingPayloadError(store.url, path, "there is no such blob")
    return url, _reader(store, path), size


def read_blob_at(url: str) -> Any:
    """Return the value of a blob; its digest is unknown, so no damage that keeps the data valid is found."""
    _, fetch, size = open_blob(url)
    memory = fetch([(0, size)])[0]
    return decode(memory, "arrow" if bytes(memory[: len(_ARROW)]) == _ARROW else "msgpack")


def _reader(store: Store, path: str) -> Fetch:
    def fetch(ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        try:
            return store.read(path, ranges)
        except BlobNotFoundError as error:
            raise MissingPayloadError(store.url, path) from error

    return fetch


def _located(url: str) -> tuple[Store, str]:
    """Return the store of a blob, and the path of the blob in it; that of a file is its folder."""
    if "://" not in url:
        file = Path(url).resolve()
        return open_store(file.parent.as_uri()), file.name
    for store_url in settings().stores.values():
        store = open_store(store_url)
        if url.startswith(f"{store.url}/"):
            path = url.removeprefix(f"{store.url}/")
            return store, Reference("", store.url, path, size=0, format="", digest="").path  # which checks it
    stores = ", ".join(store_url.partition("?")[0] for store_url in settings().stores.values())
    raise XComNotFoundError(f"{url} is not within a configured store ({stores}); give one of [xcom_codecs], or a file")

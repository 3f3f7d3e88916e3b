"""A blob by the file or the URL where it is, without the row that refers to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_xcom.backend.envelope import Reference
from airflow_xcom.backend.errors import MissingPayloadError, XComNotFoundError
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError
from airflow_xcom.codecs import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_xcom.backend.stores.base import Store

    Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

__all__ = ["open_blob", "read_blob_at"]

_ARROW = b"ARROW1"


def open_blob(place: str) -> tuple[str, Fetch, int]:
    """Where a blob is, what gives ranges of its bytes, and its size.

    Args:
        place: the path of a file, or a URL below that of a configured store.

    Raises:
        XComNotFoundError: it is neither.
        MissingPayloadError: there is no blob there.
        StoreError: the store cannot be read.
    """
    file = _file(place)
    if file is not None:
        store, path = open_store(file.parent.as_uri()), file.name
        size = file.stat().st_size if file.is_file() else None
    else:
        store, path = _located(place)
        size = next((blob.size for blob in store.list(path) if blob.path == path), None)
    if size is None:
        raise MissingPayloadError(store.url, path, "there is no such blob")
    return place, _reader(store, path), size


def read_blob_at(place: str) -> Any:
    """The value of a blob, of which no digest is known, so that every value in a table is checked instead.

    Raises:
        DecodeError: see :func:`airflow_xcom.codecs.decode`.
        XComNotFoundError, MissingPayloadError, StoreError: see :func:`open_blob`.
    """
    _, fetch, size = open_blob(place)
    memory = fetch([(0, size)])[0]
    return decode(memory, "arrow" if bytes(memory[: len(_ARROW)]) == _ARROW else "msgpack")


def _reader(store: Store, path: str) -> Fetch:
    def fetch(ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        try:
            return store.read(path, ranges)
        except BlobNotFoundError as error:
            raise MissingPayloadError(store.url, path) from error

    return fetch


def _file(place: str) -> Path | None:
    """A local file, which is not to be looked for in a listing of all that is beside it."""
    if "://" not in place:
        return Path(place).resolve()
    for url in settings().stores.values():
        base = url.partition("?")[0]
        if url.startswith("file:") and place.startswith(f"{base}/"):
            path = _checked(base, place.removeprefix(f"{base}/"))
            return Path(unquote(urlsplit(base).path), path).resolve()
    return None


def _located(place: str) -> tuple[Store, str]:
    """The store of a blob, and its path below it."""
    for url in settings().stores.values():
        store = open_store(url)
        if place.startswith(f"{store.url}/"):
            return store, _checked(store.url, place.removeprefix(f"{store.url}/"))
    stores = ", ".join(url.partition("?")[0] for url in settings().stores.values())
    raise XComNotFoundError(
        f"{place} is not within a configured store ({stores}); give one of [xcom_codecs], or a file"
    )


def _checked(url: str, path: str) -> str:
    return Reference("", url, path, size=0, format="", digest="").path

"""Any file system that fsspec and Airflow's ``ObjectStoragePath`` know as a store, such as ``sftp://`` and ``hdfs://``.

It uses only what every file system of fsspec has, and so promises less than the other stores: see
``FsspecStore.limits``.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, cached_property
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

from airflow_xcom.backend.compat import filesystem
from airflow_xcom.backend.errors import SettingsError, StoreDeniedError, StoreError, StoreUnreachableError
from airflow_xcom.backend.stores.airflow_connection import censored, find_connection, secrets_of
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store, allocate, pieces

log = logging.getLogger("airflow_xcom.backend")

_PIECE = 8 << 20  # bytes that are written or read at a time
_TEMPORARY = ".tmp"
_OF_ONE_HOST = {"local", "memory"}
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")  # in the entries of listings

_LIMITS = (
    "a blob that was written may be lost if the server crashes, since nothing flushes it to a disk",
    "a range may cost the transfer of more than its bytes",
    "[xcom_codecs] store_timeout does not bound requests, and no fault is met by trying again",
    "folders that have become empty stay",
    "two tasks that pin a version of an asset at once may pin different ones",
)
_COPIES = "a blob gets its name by a copy, of which a reader may see a part unless the server copies at once"
_FORGETS = "blobs are lost when the process ends, and no other process sees them"


class FsspecStore(Store):
    """Blobs as files of a file system of fsspec.

    A blob is written under a temporary name and then moved.  A URL means what it does to ``ObjectStoragePath``.

    Args:
        url: ``scheme://connection@host-or-bucket/prefix``, with the id of an Airflow connection or none.
        timeout: not used; the connection may set the file system's own.
    """

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, timeout)
        parts = urlsplit(url)
        account, _, authority = parts.netloc.rpartition("@")
        if "://" not in url or ":" in account or parts.query or parts.fragment:
            form = "scheme://connection@host-or-bucket/prefix, with the id of an Airflow connection or none"
            raise SettingsError("path", url, f"give {form}; passwords belong in a connection")
        self._scheme, self._connection_id = parts.scheme, account or None
        self._address = parts._replace(netloc=authority).geturl()
        self._lock = RLock()  # few file systems say that threads may share them
        self._secrets: set[str] = set()
        if parts.scheme in _OF_ONE_HOST:
            self.host = socket.gethostname()

    @cached_property
    def _fs(self) -> Any:
        if self._connection_id is not None:
            connection = find_connection(self._connection_id, self.url)
            self._secrets.update(secrets_of([connection.password, connection.extra_dejson]))
        with self._request("cannot be opened"):
            return filesystem(self._scheme)(self._connection_id)

    @cached_property
    def _base(self) -> str:
        return str(self._fs._strip_protocol(self._address)).rstrip("/")  # noqa: SLF001 - fsspec's name for what it is

    @property
    def limits(self) -> Sequence[str]:
        return (*_LIMITS, *[_COPIES] * (not self._renames), *[_FORGETS] * (self._scheme == "memory"))

    @property
    def _renames(self) -> bool:
        """Return whether the file system has a move of its own, rather than fsspec's copy and delete."""
        from fsspec import AbstractFileSystem

        return getattr(self._fs.mv, "__func__", None) is not AbstractFileSystem.mv

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        folder, _, name = path.rpartition("/")
        folder = f"{self._base}/{folder}".rstrip("/")
        target, temporary = f"{folder}/{name}", f"{folder}/.{name}{_TEMPORARY}"
        _warn(self.url, self.limits)
        try:
            self._write(folder, temporary, chunks)
            with self._request("cannot write"):
                self._move(temporary, target)
        except BaseException:
            with suppress(Exception), self._lock:
                self._fs.rm_file(temporary)
            raise

    def _write(self, folder: str, temporary: str, chunks: Iterable[Any]) -> None:
        with self._request("cannot write"):
            self._fs.makedirs(folder, exist_ok=True)
            file = self._fs.open(temporary, "wb")
        try:
            for piece in pieces(chunks, _PIECE):
                with self._request("cannot write"):
                    file.write(bytes(piece))
        finally:
            with self._request("cannot write"):
                file.close()

    def _move(self, source: str, target: str) -> None:
        if self._renames:
            self._fs.mv(source, target)
        else:  # not by fsspec's mv, which takes "*" and "[" in a path for a pattern
            self._fs.cp_file(source, target)
            self._fs.rm_file(source)

    def get(self, path: str) -> memoryview:
        with self._request("cannot read", path):
            return self._read(path, [(0, self._size(path))])[0]

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        with self._request("cannot read", path):
            size = self._size(path)
            for start, stop in ranges:
                self._check_range(path, start, stop, size)
            return self._read(path, ranges)

    def _size(self, path: str) -> int:
        entry = self._fs.info(f"{self._base}/{path}")
        if entry["type"] == "directory":
            raise FileNotFoundError(path)
        return int(entry["size"])

    def _read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        memories = [allocate(stop - start) for start, stop in ranges]
        with self._fs.open(f"{self._base}/{path}", "rb") as file:
            for (start, _), memory in zip(ranges, memories, strict=True):
                file.seek(start)
                self._fill(path, file, memory)
        return memories

    def _fill(self, path: str, file: Any, memory: memoryview) -> None:
        while memory:
            piece = file.read(min(len(memory), _PIECE))
            if not piece:
                raise StoreError(self.url, f"cannot read: {path!r} ends before its size")
            memory[: len(piece)] = piece
            memory = memory[len(piece) :]

    def delete(self, path: str) -> bool:
        try:
            with self._request("cannot delete", path):
                self._size(path)  # not every file system says whether there was something to delete
                self._fs.rm_file(f"{self._base}/{path}")
        except BlobNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        for blob in self._walk(prefix.rpartition("/")[0]):
            name = blob.path.rpartition("/")[2]
            if blob.path.startswith(prefix) and not (name.startswith(".") and name.endswith(_TEMPORARY)):
                yield blob

    def scan(self) -> Iterator[Blob]:
        return self._walk("")

    def _walk(self, top: str) -> Iterator[Blob]:
        self._fs.invalidate_cache()
        folders = [f"{self._base}/{top}".rstrip("/")]
        while folders:
            for entry in self._entries(folders.pop()):
                if entry["type"] == "directory":
                    folders.append(entry["name"].rstrip("/"))
                elif entry["type"] == "file":
                    name = entry["name"].removeprefix(self._base).lstrip("/")
                    yield Blob(name, int(entry["size"]), self._modified(entry))

    def _entries(self, folder: str) -> Sequence[dict[str, Any]]:
        try:
            with self._request("cannot list", folder):
                return [entry for entry in self._fs.ls(folder, detail=True) if entry["name"].rstrip("/") != folder]
        except BlobNotFoundError:  # it was removed since, or has never been made
            return []

    def _modified(self, entry: dict[str, Any]) -> float:
        """Return when a file was written; where that is not known the file counts as new, so that no sweep takes it."""
        written = next((entry[name] for name in _TIMES if entry.get(name) is not None), None)
        if isinstance(written, datetime):
            return (written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp()
        return float(written) if isinstance(written, int | float) else time.time()

    @contextmanager
    def _request(self, what: str, path: str | None = None) -> Iterator[None]:
        """Let one thread at a time use the file system, and turn its errors into ours; ``path`` may be missing."""
        try:
            with self._lock:
                yield
        except (SettingsError, StoreError, BlobNotFoundError):
            raise
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            failure, cause = self._failure(what, error, path)
        else:
            return
        raise failure from cause  # out of the except block, or the original error would be its context

    def _failure(self, what: str, error: Exception, path: str | None) -> tuple[Exception, Exception]:
        """Return what to raise, and its cause without secrets."""
        text = censored(f"{type(error).__name__}: {error}", self._secrets)
        if isinstance(error, FileNotFoundError | NotADirectoryError) and path is not None:
            return BlobNotFoundError(path), OSError(text)
        where = f"the Airflow connection {self._connection_id!r}" if self._connection_id else "the URL of the store"
        advice = f"check {where}, and what {self._scheme}:// needs of the environment"
        return _error_class(error)(self.url, f"{what}: {text}; {advice}"), OSError(text)


@cache
def _warn(url: str, limits: Sequence[str]) -> None:
    """Tell once in a process what a store does not promise."""
    log.warning("the store %s is reached through fsspec: %s", url, "; ".join(limits))


def _error_class(error: Exception) -> type[StoreError]:
    if isinstance(error, PermissionError):
        return StoreDeniedError
    return StoreUnreachableError if isinstance(error, ConnectionError | TimeoutError) else StoreError

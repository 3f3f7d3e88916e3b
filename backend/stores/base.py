"""What a store of blobs is.

Another package adds a store, akin to Airflow's remote logging: it derives a class from :class:`Store` and names it, by
the scheme of its URLs, in the entry point group ``airflow_xcom.stores``.
:class:`airflow_xcom.backend.testing.StoreSuite` checks it, and docs/STORES.md shows one.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_xcom.backend.errors import StoreError

__all__ = ["Blob", "BlobNotFoundError", "Store", "allocate", "pieces"]

_PAGED = 1 << 16  # bytes from which memory comes in pages, which go back to the system


class BlobNotFoundError(LookupError):
    """There is no blob at this path."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One entry of a listing.

    Attributes:
        path: of the blob, below the store's base.
        size: in bytes.
        modified: when the blob was written, as Unix time.
    """

    path: str
    size: int
    modified: float


class Store(ABC):
    """Keeps immutable blobs below a base.

    Paths are relative to the base and have ``/`` between their segments, none of which is empty, ``.`` or ``..``.  No
    two blobs ever get the same path.  Threads share a store.  Each method raises ``StoreError``, or one of its
    subclasses, when the store cannot be reached or refuses.

    Args:
        url: of the base, as in ``[xcom_codecs] path``; raise ``SettingsError`` if it is malformed or has a password.
        timeout: seconds after which a request gives up, its retries included; ``[xcom_codecs] store_timeout``.

    Attributes:
        url: of the base, without options and credentials: rows and errors show it.
        host: the host that the store belongs to, or None if every host sees the same one.
        ttl: the seconds that the store keeps a blob, or None if it keeps blobs for good.
        durable: whether ``put`` waits until the blob outlives a crash of the host; only folders ask for it.
        accepts_ttl: whether ``?ttl=SECONDS`` behind a URL sets ``ttl``.
    """

    url: str
    host: str | None = None
    ttl: int | None = None
    durable: bool = True
    accepts_ttl: ClassVar[bool] = False

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def limits(self) -> Sequence[str]:
        """Return, in words, which of these promises the store does not keep."""
        return ()

    @abstractmethod
    def put(self, path: str, chunks: Iterable[Any]) -> None:
        """Write a blob from bytes-like chunks; once this returns the whole blob is there, before that nothing is.

        Take the chunks once, in order, and do not join them as a whole.  Let an error of the iterable pass.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Write a small blob unless there is one at this path, and return whether it was written.

        Of several writers at once one succeeds, and a reader sees all of it or nothing.  Without an override, two
        writers may both succeed; the blob is then that of the last one.
        """
        try:
            self.get(path)
        except BlobNotFoundError:
            self.put(path, [data])
            return True
        return False

    @abstractmethod
    def get(self, path: str) -> memoryview:
        """Return the whole blob in **writable** memory that belongs to the caller.

        Raises:
            BlobNotFoundError: There is no such blob.
        """

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """Return the bytes from start to before stop of each range, in **writable** memory that belongs to the caller.

        Without an override the whole blob is read.

        Raises:
            BlobNotFoundError: There is no such blob.
            StoreError: The blob ends before a range does.
        """
        memory = self.get(path)
        for start, stop in ranges:
            self._check_range(path, start, stop, len(memory))
        return [memoryview(bytearray(memory[start:stop])) for start, stop in ranges]

    @abstractmethod
    def delete(self, path: str) -> bool:
        """Remove a blob, and return whether it was there."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Blob]:
        """Yield the blobs whose path begins with ``prefix``, in any order."""

    def scan(self) -> Iterator[Blob]:
        """Yield what :meth:`list` does and, as far as the store tells, what killed writers left of unfinished blobs.

        :meth:`delete` takes the paths of these, too.
        """
        return self.list()

    def prune(self, before: float) -> None:  # noqa: B027 - most stores have no folders
        """Remove what has been empty since then (Unix time), such as folders."""

    def _check_range(self, path: str, start: int, stop: int, size: int) -> None:
        if not start <= stop <= size:
            raise StoreError(self.url, f"cannot read: {path!r} has no bytes {start} to {stop}")


def allocate(size: int) -> memoryview:
    """Return writable memory of this process alone; large pages take a third of the time to fill."""
    if size < _PAGED:
        return memoryview(bytearray(size))
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def pieces(chunks: Iterable[Any], size: int) -> Iterator[bytes | memoryview]:
    """Yield a blob in pieces of ``size`` bytes, the last one shorter; a piece within one chunk is not copied."""
    parts: list[memoryview] = []
    room = size
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            parts.append(view[:room])
            view = view[room:]
            room -= len(parts[-1])
            if not room:
                yield parts[0] if len(parts) == 1 else b"".join(parts)
                parts, room = [], size
    if parts:
        yield parts[0] if len(parts) == 1 else b"".join(parts)

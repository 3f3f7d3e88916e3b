"""What every store does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Blob", "BlobNotFoundError", "Store"]


class BlobNotFoundError(LookupError):
    """There is no blob at this path."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One entry of a listing: its path below the base, its size in bytes, and when it was written (Unix time)."""

    path: str
    size: int
    modified: float


class Store(Protocol):
    """Keeps immutable blobs below a base.

    Paths are relative to the base, with ``/`` between their segments; the caller has checked that they do not leave it.
    Every method raises ``StoreError`` when the store cannot be reached or refuses.
    """

    @property
    def url(self) -> str:
        """The base, without credentials."""

    @property
    def host(self) -> str | None:
        """The host that the store belongs to, or None if every host sees the same one."""

    @property
    def ttl(self) -> int | None:
        """The seconds that it keeps a blob, or None if it keeps it for good."""

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        """Write a blob from bytes-like chunks; once this returns the whole blob is there, before it nothing is.

        The chunks are taken once, in order, and never joined as a whole.
        """

    def get(self, path: str) -> memoryview:
        """The whole blob in **writable** memory that belongs to the caller.

        Raises:
            BlobNotFoundError: it is not there.
        """

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """The bytes from start to before stop of each range, in **writable** memory that belongs to the caller.

        Raises:
            BlobNotFoundError: it is not there.
            StoreError: it ends before a range does.
        """

    def delete(self, path: str) -> bool:
        """Remove a blob, and say whether it was there."""

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """The blobs whose path begins with ``prefix``, in no particular order."""

    def scan(self) -> Iterator[Blob]:
        """What :meth:`list` gives, and as far as the store tells, what killed writers left of blobs that are not whole.

        :meth:`delete` takes the paths of these, too.
        """

    def prune(self, before: float) -> None:
        """Remove what holds nothing since then (Unix time), such as empty folders."""

"""A folder as a store: local, or on a file system that all hosts mount."""

from __future__ import annotations

import mmap
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_xcom.backend.errors import SettingsError, StoreError
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import FileIO

__all__ = ["FileStore"]

_MAPPED = 1 << 16  # bytes from which mapping a file beats reading it
_PIECE = 8 << 20  # bytes that are written at a time
_TEMPORARY = ".tmp"
_ATTEMPTS = 10  # to create a file in a folder


class FileStore(Store):
    """Blobs as files.

    A blob is written under a temporary name, flushed to the disk, and renamed, so that a reader sees all of it or
    nothing, even after a crash.  It is read through a private copy-on-write map: no copy until a page is written to.

    Args:
        url: ``file:///absolute/folder``.
        timeout: not used; a folder has no requests.

    Raises:
        SettingsError: The URL is not of this form.
    """

    def __init__(self, url: str, timeout: float = 0) -> None:
        super().__init__(url, timeout)
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise SettingsError("path", url, "give an absolute folder, as in file:///srv/xcom")
        self.host = socket.gethostname()
        self._base = Path(unquote(parts.path))

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        target = self._base / path
        temporary = target.with_name(f".{target.name}{_TEMPORARY}")
        with self._errors("cannot write"):
            try:
                self._write(temporary, chunks)
                temporary.rename(target)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            _flush_folder(target.parent)

    def _write(self, temporary: Path, chunks: Iterable[Any]) -> None:
        with self._created(temporary) as file:
            for chunk in _merged(chunks):
                view = memoryview(chunk).cast("B")
                while view:
                    view = view[_write_piece(file, view[:_PIECE]) :]
            os.fsync(file.fileno())

    def _created(self, file: Path) -> FileIO:
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):  # a sweep may take an empty folder away again
                return file.open("xb", buffering=0)
            with suppress(FileNotFoundError):
                _make_folder(file.parent)
        return file.open("xb", buffering=0)

    def get(self, path: str) -> memoryview:
        with self._errors("cannot read"), self._open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size < _MAPPED:
                return memoryview(bytearray(file.readall()))
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        with self._errors("cannot read"), self._open(path) as file:
            memories = [memoryview(bytearray(stop - start)) for start, stop in ranges]
            for (start, stop), memory in zip(ranges, memories, strict=True):
                self._check_range(path, start, stop, start + os.preadv(file.fileno(), [memory], start))
            return memories

    def _open(self, path: str) -> FileIO:
        try:
            return self._inside(path).open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BlobNotFoundError(path) from error

    def delete(self, path: str) -> bool:
        with self._errors("cannot delete"):
            try:
                self._inside(path).unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        folder, slash, _ = prefix.rpartition("/")
        for blob in self._walk(folder + slash):
            name = blob.path.rpartition("/")[2]
            if blob.path.startswith(prefix) and not (name.startswith(".") and name.endswith(_TEMPORARY)):
                yield blob

    def scan(self) -> Iterator[Blob]:
        yield from self._walk("")

    def _walk(self, top: str) -> Iterator[Blob]:
        with self._errors("cannot list"):
            folders = [top]
            while folders:
                folder = folders.pop()
                for entry in self._entries(folder):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}{entry.name}/")
                    elif entry.is_file():
                        with suppress(FileNotFoundError):
                            status = entry.stat()
                            yield Blob(folder + entry.name, status.st_size, status.st_mtime)

    def _entries(self, folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(self._base / folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder or isinstance(error, FileNotFoundError):
                return []
            raise

    def prune(self, before: float) -> None:
        with self._errors("cannot list"):
            for folder, _, _ in os.walk(self._base, topdown=False, onerror=_raise_unless_missing):
                with suppress(OSError):  # it is not empty, or gone
                    if Path(folder) != self._base and Path(folder).stat().st_mtime < before:
                        Path(folder).rmdir()

    def _inside(self, path: str) -> Path:
        """Return the file of a blob; a link that leads out of the base counts as no blob."""
        file = self._base / path
        if not file.parent.resolve().is_relative_to(self._base.resolve()) or file.is_symlink():
            raise FileNotFoundError(path)
        return file

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(self.url, f"{what}: {error}") from error


def _write_piece(file: FileIO, piece: memoryview) -> int:
    """Write bytes and return how many; the disk takes a large piece while the next one is copied.

    POSIX_FADV_DONTNEED makes Linux begin to flush the pages (mm/fadvise.c).
    """
    written: int = file.write(piece)
    if written == _PIECE:
        os.posix_fadvise(file.fileno(), file.tell() - written, written, os.POSIX_FADV_DONTNEED)
    return written


def _merged(chunks: Iterable[Any]) -> Iterator[Any]:
    """Yield the chunks, with runs of small ones joined: a system call costs more than copying a few bytes."""
    small: list[Any] = []
    for chunk in chunks:
        if len(chunk) < _MAPPED:
            small.append(chunk)
            continue
        yield b"".join(small)
        small.clear()
        yield chunk
    yield b"".join(small)


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they survive a crash."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Flush a folder, so that files created or renamed in it survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error

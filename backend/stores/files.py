"""A folder as a store: local, or on a file system that all hosts mount."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from airflow_xcom.backend.errors import SettingsError, StoreDeniedError, StoreError
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store, allocate

if TYPE_CHECKING:
    Result = TypeVar("Result")

_MAPPED = 1 << 16  # bytes from which mapping a file beats reading it
_PIECE = 1 << 20  # bytes that are written at a time
_FLUSHED = 2 << 20  # bytes after which the disk begins to take them, while the next ones are written
_TEMPORARY = ".tmp"
_OURS = re.compile(r"[A-Za-z0-9_.~%-]*")  # a folder that this store may have made; lost+found is none
_ATTEMPTS = 10  # to create a file in a folder
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_BLOB = os.O_RDONLY | os.O_NONBLOCK  # which does not wait for a writer if somebody put a pipe there
_MODES = {"file_mode": 0o600, "folder_mode": 0o700}
_SHARED = "; users with a common group share a folder by ?file_mode=0660&folder_mode=2770, see docs/STORES.md"
_fstatfs = ctypes.CDLL(None).fstatfs
_STATFS = ctypes.c_long * 32  # room for a struct statfs, which begins with f_type
# File systems whose files no other host can change, by the f_type of statfs(2).
_LOCAL = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0x2FC12FC1,  # zfs
        0xF2F52010,  # f2fs
        0xCA451A4E,  # bcachefs
        0x01021994,  # tmpfs
        0x794C7630,  # overlayfs
    }
)


class FileStore(Store):
    """Blobs as files.

    A blob is written under a temporary name, flushed to the disk, and renamed, so that a reader sees all of it or
    nothing, even after a crash; what is not ``durable`` is not flushed.  On a local file system a private copy-on-write
    map reads it: no copy until a page is written to.  On any other it is copied to memory, where no other host can
    change or delete it.

    Below the base no symbolic link is followed.

    Args:
        url: ``file:///absolute/folder``.  ``?file_mode=0660&folder_mode=2770`` behind it: the modes of what is created,
            whatever the umask; 0600 and 0700 without.
        timeout: not used; a folder has no requests.

    Raises:
        SettingsError: The URL is not of this form.
    """

    def __init__(self, url: str, timeout: float = 0) -> None:
        super().__init__(url.partition("?")[0], timeout)
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise SettingsError("path", url, "give an absolute folder, as in file:///srv/xcom")
        self.host = socket.gethostname()
        self._base = Path(unquote(parts.path))
        self._file_mode, self._folder_mode = _modes(url, parts.query)

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        name = _name(path)
        temporary = f".{name}{_TEMPORARY}"
        with _Errors(self.url, "cannot write"), ExitStack() as opened:
            folder, file = self._create(path, temporary, opened)
            try:
                with file:
                    _write(file, chunks, durable=self.durable)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            self._flush(folder)

    def _create(self, path: str, temporary: str, opened: ExitStack) -> tuple[int, FileIO]:
        """Return the descriptor of a blob's folder and a new file in it."""
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):  # a sweep may take an empty folder away again
                folder = opened.enter_context(self._folder(path, make=True))
                return folder, self._create_file(temporary, folder)
        raise FileNotFoundError(errno.ENOENT, "its folder goes as soon as it is made", path)

    def _create_file(self, name: str, folder: int) -> FileIO:
        file = FileIO(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODES["file_mode"], dir_fd=folder), "wb")
        os.fchmod(file.fileno(), self._file_mode)
        return file

    def create(self, path: str, data: bytes) -> bool:
        name = _name(path)
        temporary = f".{name}.{uuid4().hex}{_TEMPORARY}"
        with _Errors(self.url, "cannot write"), ExitStack() as opened:
            folder, file = self._create(path, temporary, opened)
            try:
                with file:
                    _write(file, [data], durable=self.durable)
                return self._link(temporary, name, folder, data)
            finally:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)

    def _link(self, temporary: str, name: str, folder: int, data: bytes) -> bool:
        """Give a file its name unless that is taken; without hard links, write another one under it."""
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError:
            return False
        except OSError:
            try:
                with self._create_file(name, folder) as file:
                    _write(file, [data], durable=self.durable)
            except FileExistsError:
                return False
        self._flush(folder)
        return True

    def get(self, path: str) -> memoryview:
        return self._read(path, _whole)

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        def parts(file: int) -> list[memoryview]:
            memories = [allocate(stop - start) for start, stop in ranges]
            for (start, stop), memory in zip(ranges, memories, strict=True):
                self._check_range(path, start, stop, start + _fill(memory, file, start))
            return memories

        return self._read(path, parts)

    def _read(self, path: str, read: Callable[[int], Result]) -> Result:
        """Return what a function makes of a blob's descriptor."""
        with _Errors(self.url, "cannot read"):
            try:
                return self._read_once(path, read)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
            return self._read_once(path, read)  # NFS knows whether another host has deleted the file

    def _read_once(self, path: str, read: Callable[[int], Result]) -> Result:
        with ExitStack() as opened:
            try:
                folder = opened.enter_context(self._folder(path))
                file = _open(f"{self._base}/{path}", _BLOB, folder)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise BlobNotFoundError(path) from error
            opened.callback(os.close, file)
            return read(file)

    def delete(self, path: str) -> bool:
        with _Errors(self.url, "cannot delete"):
            try:
                with self._folder(path) as folder:
                    _refuse_link(f"{self._base}/{path}", folder)
                    os.unlink(_name(path), dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        for blob in self._walk(prefix):
            name = _name(blob.path)
            if not (name.startswith(".") and name.endswith(_TEMPORARY)):
                yield blob

    def scan(self) -> Iterator[Blob]:
        yield from self._walk("")

    def _walk(self, prefix: str) -> Iterator[Blob]:
        with _Errors(self.url, "cannot list"):
            waiting = ["".join(prefix.rpartition("/")[:2])]
            while waiting:
                folders, blobs = self._entries(waiting.pop(), prefix)
                waiting += folders
                yield from blobs

    def _entries(self, folder: str, prefix: str) -> tuple[Sequence[str], Sequence[Blob]]:
        """Return the folders and the files in a folder that have the prefix; links are neither."""
        folders, blobs = [], []
        try:
            with self._folder(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    path = folder + entry.name
                    if not path.startswith(prefix):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{path}/")
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            status = entry.stat(follow_symlinks=False)
                            blobs.append(Blob(path, status.st_size, status.st_mtime))
        except (FileNotFoundError, NotADirectoryError) as error:
            if not folder and isinstance(error, NotADirectoryError):
                raise
        except PermissionError:
            if all(map(_may_be_ours, folder.split("/"))):
                raise
        return folders, blobs

    def prune(self, before: float) -> None:
        with _Errors(self.url, "cannot list"), suppress(FileNotFoundError), self._folder("") as base:
            for _, folders, _, above in os.fwalk(".", topdown=False, onerror=_raise_unless_inaccessible, dir_fd=base):
                for name in filter(_may_be_ours, folders):
                    with suppress(OSError):  # it is not empty, or gone
                        if os.stat(name, dir_fd=above, follow_symlinks=False).st_mtime < before:
                            os.rmdir(name, dir_fd=above)

    @contextmanager
    def _folder(self, path: str, *, make: bool = False) -> Iterator[int]:
        """Open the folder of a blob, one step at a time from the base, so that no link on the way is followed."""
        *names, _ = path.split("/")
        if not {"", ".", ".."}.isdisjoint(names):
            raise FileNotFoundError(path)
        with ExitStack() as made:
            folder = str(self._base)
            descriptor = self._open_base(self._base, make=make)
            try:
                for name in names:
                    folder = f"{folder}/{name}"  # not a Path: five of them take as long as the five calls of the system
                    above = descriptor
                    descriptor = self._open_folder(folder, above, make=make, made=made)
                    os.close(above)
                yield descriptor
            finally:
                os.close(descriptor)

    def _open_base(self, base: Path, *, make: bool) -> int:
        try:
            return os.open(base, _FOLDER)
        except FileNotFoundError:
            if not make:
                raise
        above = self._open_base(base.parent, make=True)
        try:
            self._make_folder(base.name, above)
            self._flush(above)
        finally:
            os.close(above)
        return os.open(base, _FOLDER)

    def _open_folder(self, folder: str, above: int, *, make: bool, made: ExitStack) -> int:
        try:
            return _open(folder, _FOLDER, above)
        except FileNotFoundError:
            if not make:
                raise
        self._make_folder(_name(folder), above)
        # At the end: a disk that has taken the blob has little left to do, and takes all folders of a run at once.
        kept = os.dup(above)
        made.callback(os.close, kept)
        made.callback(self._flush, kept)
        return _open(folder, _FOLDER, above)

    def _make_folder(self, name: str, above: int) -> None:
        """Make a folder that has its mode before another process sees it."""
        temporary = f".{uuid4().hex}{_TEMPORARY}"
        os.mkdir(temporary, _MODES["folder_mode"], dir_fd=above)
        os.chmod(temporary, self._folder_mode, dir_fd=above)
        try:
            os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        except OSError:  # another process has made it, and put something in it
            os.rmdir(temporary, dir_fd=above)

    def _flush(self, folder: int) -> None:
        """Wait until what was made in a folder outlives a crash."""
        if self.durable:
            os.fsync(folder)


class _Errors:
    """Raise as StoreError what the system raises; every push and pull makes one of these."""

    __slots__ = ("_url", "_what")

    def __init__(self, url: str, what: str) -> None:
        self._url, self._what = url, what

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, StoreError):
            return
        if isinstance(error, PermissionError):
            raise StoreDeniedError(self._url, f"{self._what}: {error}{_SHARED}") from error
        raise StoreError(self._url, f"{self._what}: {error}") from error


def _modes(url: str, query: str) -> tuple[int, int]:
    """Return the modes of files and of folders, of which the owner has all rights."""
    modes = dict(_MODES)
    for name, text in parse_qsl(query, keep_blank_values=True):
        least = _MODES.get(name)
        if least is None or not re.fullmatch("[0-7]{3,4}", text) or int(text, 8) & least != least:
            advice = "give file_mode, such as 0660, or folder_mode, such as 2770, or nothing behind the question mark"
            raise SettingsError("path", url, advice)
        modes[name] = int(text, 8)
    return modes["file_mode"], modes["folder_mode"]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _open(path: str, flags: int, folder: int) -> int:
    """Open what is in a folder, unless it is a symbolic link."""
    try:
        return os.open(_name(path), flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        _refuse_link(path, folder)
        error.filename = path
        raise


def _refuse_link(path: str, folder: int) -> None:
    if stat.S_ISLNK(os.stat(_name(path), dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.ELOOP, "no symbolic link below the base is followed; replace it by what it leads to", path)


def _whole(file: int) -> memoryview:
    size = os.fstat(file).st_size
    if size >= _MAPPED and _is_local(file):
        return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_COPY))
    memory = allocate(size)
    return memory[: _fill(memory, file, 0)]


def _is_local(file: int) -> bool:
    """Return whether only this host changes the file system of a file."""
    status = _STATFS()
    return _fstatfs(file, status) == 0 and status[0] in _LOCAL


def _fill(memory: memoryview, file: int, start: int) -> int:
    """Read bytes of a file from ``start`` on, and return how many there were; read(2) takes 2 GiB at a time."""
    filled = 0
    while filled < len(memory) and (count := os.preadv(file, [memory[filled:]], start + filled)):
        filled += count
    return filled


def _write(file: FileIO, chunks: Iterable[Any], *, durable: bool) -> None:
    """Write a blob, and wait until the disk has it if it shall be durable.

    POSIX_FADV_DONTNEED makes Linux begin to flush the pages (mm/fadvise.c).
    """
    size = flushed = 0
    for chunk in _merged(chunks):
        view = memoryview(chunk).cast("B")
        while view:
            written = file.write(view[:_PIECE])
            view = view[written:]
            size += written
            if durable and size - flushed >= _FLUSHED:
                os.posix_fadvise(file.fileno(), flushed, size - flushed, os.POSIX_FADV_DONTNEED)
                flushed = size
    if durable:
        os.fsync(file.fileno())


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


def _may_be_ours(folder: str) -> bool:
    return _OURS.fullmatch(folder) is not None


def _raise_unless_inaccessible(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | PermissionError):
        raise error

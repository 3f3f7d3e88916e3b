"""Folders as a store: other hosts, other users, links, and files that are larger than one read."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from conftest import Backend
from fuse_server import FuseFile, mounted

from airflow_xcom.backend import SettingsError, StoreError
from airflow_xcom.backend.stores import files, open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store
from airflow_xcom.backend.testing.store_suite import PATH

IS_ROOT = os.getuid() == 0  # who may mount, and become somebody else, as CI may
SHARED = "?file_mode=0660&folder_mode=2770"
SIZE = 3 << 20


# -- other hosts ---------------------------------------------------------------------------------------------

READER = """
    import sys
    from airflow_xcom.backend.stores import files, open_store

    folder, is_local = sys.argv[1:]
    if not int(is_local):
        files._LOCAL = frozenset()
    memory = open_store(f"file://{folder}").get("x.msgpack")
    print(len(memory), flush=True)
    sys.stdin.readline()
    assert bytes(memory) == b"x" * len(memory)
"""


@contextmanager
def reader(folder: Path, *, is_local: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A process that has got a blob, and looks at its bytes once it is told to."""
    command = [sys.executable, "-c", textwrap.dedent(READER), str(folder), str(int(is_local))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{SIZE}\n"
        yield process
        process.communicate("\n", timeout=240)


def by_mount(folder: Path, then: Callable[[FuseFile], None]) -> int:
    served = FuseFile("x.msgpack", bytearray(b"x" * SIZE))
    with mounted(folder, served), reader(folder) as process:
        then(served)
    return process.returncode


def by_decision(folder: Path, then: Callable[[FuseFile], None]) -> int:
    """What a mount would show, where none can be made: the file changes below a reader that takes it for remote."""
    file = folder / "x.msgpack"
    file.write_bytes(b"x" * SIZE)
    served = FuseFile("x.msgpack", bytearray(b"x" * SIZE))
    with reader(folder, is_local=False) as process:
        then(served)
        with file.open("r+b") as opened:
            opened.write(served.content)
            opened.truncate(0 if served.is_deleted else SIZE)
    return process.returncode


def change(served: FuseFile) -> None:
    served.content[:] = b"y" * SIZE


def remove(served: FuseFile) -> None:
    served.is_deleted = True


@pytest.mark.parametrize("then", [change, remove])
@pytest.mark.parametrize("host", [by_decision, *([by_mount] if IS_ROOT else [])])
def test_what_another_host_does_to_a_file_does_not_reach_who_has_read_it(
    host: Callable[..., int], then: Callable[[FuseFile], None], tmp_path: Path
) -> None:
    assert host(tmp_path, then) == 0


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a blob, on what passes for the file system of another host."""
    monkeypatch.setattr(files, "_LOCAL", frozenset())
    store = open_store(tmp_path.as_uri())
    store.put(PATH, [b"x" * SIZE])
    return store


def stale(*_: Any) -> int:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_stale_file_is_opened_again(
    is_deleted: bool, stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS says of a file that was deleted, or moved, since it was opened."""
    read = os.preadv

    def stale_once(*_: Any) -> int:
        monkeypatch.setattr(os, "preadv", read)
        if is_deleted:
            (tmp_path / PATH).unlink()
        return stale()

    monkeypatch.setattr(os, "preadv", stale_once)
    with pytest.raises(BlobNotFoundError) if is_deleted else nullcontext():
        assert stored.get(PATH) == b"x" * SIZE


def test_a_file_that_stays_stale_is_not_called_missing(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "preadv", stale)
    with pytest.raises(StoreError, match="Stale file handle"):
        stored.get(PATH)


def test_a_file_that_ends_early_has_no_bytes_that_were_not_read(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, into, at: 0 if at else read(file, [into[0][:5]], at))
    assert stored.get(PATH) == b"xxxxx"


def test_a_file_of_this_host_is_mapped(tmp_path: Path) -> None:
    """By what the kernel says of its file system."""
    file = tmp_path / "x"
    file.write_bytes(b"x" * SIZE)
    kind = subprocess.run(["stat", "-f", "-c", "%t", file], capture_output=True, text=True, check=True).stdout
    with file.open("rb") as opened, Path("/proc/self/stat").open("rb") as other:
        assert files._is_local(opened.fileno()) == (int(kind, 16) in files._LOCAL)
        assert not files._is_local(other.fileno())


# -- other users ---------------------------------------------------------------------------------------------


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that the path to is open to all, as tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="xcom-"))
    yield folder
    shutil.rmtree(folder)


def as_user(user: int, group: int, act: Callable[[], Any]) -> str:
    """Do something as another user, if this is root, in a process of its own; return how it failed."""
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        try:
            if IS_ROOT:
                os.setgroups([group])
                os.setgid(user)
                os.setuid(user)
            os.umask(0o077)
            act()
        except BaseException:  # noqa: BLE001 - the test that waits is told
            os.write(sender, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as told:
        failure = told.read()
    os.waitpid(child, 0)
    return failure


GROUP, FIRST, SECOND, STRANGER = 61_000, 61_001, 61_002, 61_003


def test_users_with_a_common_group_share_a_folder(shared_folder: Path) -> None:
    """As `run_as_user` has it: each pushes into the folders of the other, pulls and purges what the other pushed."""
    if IS_ROOT:
        os.chown(shared_folder, 0, GROUP)
    shared_folder.chmod(0o2770)
    store = files.FileStore(shared_folder.as_uri() + SHARED)
    assert as_user(FIRST, GROUP, lambda: store.put(PATH, [b"first"])) == ""

    def act() -> None:
        assert store.get(PATH) == b"first"
        store.put(PATH + "2", [b"second"])
        assert store.delete(PATH)

    assert as_user(SECOND, GROUP, act) == ""
    assert as_user(FIRST, GROUP, lambda: store.delete(PATH + "2") or 1 / 0) == ""
    assert as_user(FIRST, GROUP, lambda: store.prune(2**40)) == ""
    assert list(shared_folder.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize(("query", "modes"), [("", (0o600, 0o700)), (SHARED, (0o660, 0o2770))])
def test_modes_are_those_of_the_url_whatever_the_umask(
    query: str, modes: tuple[int, int], umask: int, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    former = os.umask(umask)
    try:
        open_store(base.as_uri() + query).put(PATH, [b"x"])
    finally:
        os.umask(former)
    made = [base, *base.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {modes[0]}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {modes[1]}


def test_nobody_else_reads_or_writes_by_default(shared_folder: Path) -> None:
    shared_folder.chmod(0o777)
    store = files.FileStore(f"{shared_folder.as_uri()}/xcom")
    assert as_user(FIRST, GROUP, lambda: store.put(PATH, [b"first"])) == ""
    others = [SECOND, STRANGER] if IS_ROOT else []
    acts = (lambda: store.get(PATH), lambda: store.put(PATH + "2", [b"x"]), lambda: store.delete(PATH))
    for other in others:
        for act in acts:
            failure = as_user(other, GROUP, act)
            assert "StoreDeniedError" in failure
            assert "?file_mode=0660&folder_mode=2770" in failure
    assert stat.S_IMODE((shared_folder / "xcom").stat().st_mode) == 0o700


def test_a_folder_of_the_file_system_that_is_closed_stops_no_listing(shared_folder: Path) -> None:
    shared_folder.chmod(0o777)
    store = files.FileStore(shared_folder.as_uri())
    closed = [shared_folder / "lost+found", shared_folder / "ours"]
    closed[0].mkdir(mode=0)

    def act() -> None:
        store.put(PATH, [b"first"])
        assert [blob.path for blob in store.scan()] == [PATH]
        store.prune(2**40)

    assert as_user(FIRST, GROUP, act) == ""
    closed[1].mkdir(mode=0)
    failure = as_user(FIRST, GROUP, lambda: list(store.scan()))
    for folder in closed:
        folder.chmod(0o700)
    assert "StoreDeniedError" in failure, "where blobs may be, nothing is left out"


@pytest.mark.parametrize(
    "query", ["mode=0660", "file_mode=", "file_mode=0o660", "file_mode=0460", "folder_mode=660", "file_mode=9999"]
)
def test_a_mode_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(SettingsError, match="file_mode, such as 0660, or folder_mode, such as 2770"):
        open_store(f"file:///srv/xcom?{query}")


def test_rows_do_not_repeat_the_modes(backend: Backend) -> None:
    """So that they can change while rows refer to the store."""
    backend.options(threshold=0, path=backend.folder.as_uri() + SHARED)
    row = backend.push((1, 2))
    assert row["airflow_xcom"]["ref"]["url"] == backend.folder.as_uri()
    backend.options(threshold=0, path=backend.folder.as_uri())
    assert backend.pull(row) == (1, 2)


# -- links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dag", "dag/run%3A1/task", PATH])
def test_no_link_below_the_base_is_followed(name: str, tmp_path: Path) -> None:
    """By none of what a store does; the error says which."""
    base, outside = tmp_path / "base", tmp_path / "outside"
    store = open_store(base.as_uri())
    store.put(PATH, [b"x"])
    (base / name).rename(outside)
    (base / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    acts: list[Callable[[], Any]] = [lambda: store.get(PATH), lambda: store.read(PATH, [(0, 1)])]
    acts += [lambda: store.delete(PATH)]
    if name != PATH:  # where a blob that is written takes the place of the link
        acts += [lambda: store.put(PATH + "2", [b"x"]), lambda: list(store.list(PATH))]
    for act in acts:
        with pytest.raises(StoreError, match=f"no symbolic link below the base is followed.*'{base / name}'"):
            act()
    assert list(store.list()) == list(store.scan()) == []
    store.prune(2**40)
    assert sorted(outside.rglob("*")) == before


def test_the_base_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "xcom").symlink_to(tmp_path / "disk")
    store = open_store((tmp_path / "xcom").as_uri())
    store.put(PATH, [b"x"])
    assert store.get(PATH) == b"x"
    assert [blob.path for blob in store.list()] == [PATH]
    assert store.delete(PATH)
    store.prune(2**40)
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_pipe_does_not_hang_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    store = open_store(tmp_path.as_uri())
    with pytest.raises(StoreError, match="cannot read"):
        store.read("x", [(0, 1)])
    assert list(store.list()) == []


# -- large files ---------------------------------------------------------------------------------------------


def test_reads_go_on_where_the_system_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux reads 2,147,479,552 bytes at a time; here it is fewer."""
    data = os.urandom(SIZE)
    store = open_store(tmp_path.as_uri())
    store.put(PATH, [data])
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, into, at: read(file, [into[0][:100_000]], at))
    assert [bytes(part) for part in store.read(PATH, [(5, SIZE), (0, 7)])] == [data[5:], data[:7]]
    monkeypatch.setattr(files, "_LOCAL", frozenset())
    assert store.get(PATH) == data

"""A file system in user space, as far from this host's disks as NFS is: what its server deletes answers ESTALE.

It speaks the protocol of Linux (https://docs.kernel.org/filesystems/fuse.html, include/uapi/linux/fuse.h) itself, so
that it takes no library, but the right to mount.  It shows one file, and is read-only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FORGET, _BATCH_FORGET = 2, 42  # which take no answer
_REQUEST = struct.Struct("<IIQQIIIHH")  # fuse_in_header
_REPLY = struct.Struct("<IiQ")  # fuse_out_header
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")  # fuse_attr
_CONSTANT = {
    26: struct.pack(
        "<IIIIHHIIHHIIHHIIII", 7, 31, 1 << 17, 0, 12, 10, 1 << 17, 1, 32, 0, *[0] * 8
    ),  # INIT: version 7.31
    14: bytes(16),  # OPEN: no handle
    27: bytes(16),  # OPENDIR
    17: bytes(80),  # STATFS
    18: b"",  # RELEASE
    25: b"",  # FLUSH
    29: b"",  # RELEASEDIR
}
_ROOT, _FILE = 1, 2
_DETACH = 2  # MNT_DETACH

_libc = ctypes.CDLL(None, use_errno=True)


class FuseFile:
    """One file in a mounted folder.

    Args:
        name: of the file.
        content: of the file, which may be changed, as by another host.

    Attributes:
        is_deleted: whether the server has deleted it, so that it answers ESTALE to who has it open.
    """

    def __init__(self, name: str, content: bytearray) -> None:
        self.content = content
        self.is_deleted = False
        self._name = name.encode()

    def serve(self, device: int) -> None:
        """Answer requests until the folder is unmounted."""
        while True:
            try:
                request = os.read(device, 1 << 18)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise
            _, code, unique, node, *_ = _REQUEST.unpack_from(request)
            if code in (_FORGET, _BATCH_FORGET):
                continue
            try:
                status, body = 0, self._answer(code, node, request[_REQUEST.size :])
            except OSError as error:
                status, body = -(error.errno or errno.EIO), b""
            os.write(device, _REPLY.pack(_REPLY.size + len(body), status, unique) + body)

    def _answer(self, code: int, node: int, request: bytes) -> bytes:
        answers = {1: self._look_up, 15: self._read}
        if code in answers:
            return answers[code](request)
        if code == 3:  # GETATTR
            return bytes(16) + self._attributes(node)
        if code in _CONSTANT:
            return _CONSTANT[code]
        raise OSError(errno.ENOSYS, "")

    def _look_up(self, request: bytes) -> bytes:
        if self.is_deleted or request.rstrip(b"\0") != self._name:
            raise OSError(errno.ENOENT, "")
        return struct.pack("<QQQQII", _FILE, 0, 0, 0, 0, 0) + self._attributes(_FILE)

    def _read(self, request: bytes) -> bytes:
        if self.is_deleted:
            raise OSError(errno.ESTALE, "")
        _, offset, size = struct.unpack_from("<QQI", request)
        return bytes(self.content[offset : offset + size])

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o644
        size = 0 if node == _ROOT else len(self.content)
        return _ATTRIBUTES.pack(node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


@contextmanager
def mounted(folder: Path, file: FuseFile) -> Iterator[None]:
    """Mount a file in a folder."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    try:
        if _libc.mount(b"xcom", os.fsencode(folder), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount")
        server = threading.Thread(target=file.serve, args=[device], daemon=True)
        server.start()
        try:
            yield
        finally:
            _libc.umount2(os.fsencode(folder), _DETACH)
            server.join(60)
    finally:
        os.close(device)

"""Run a command on a host of another name: ``python host.py NAME COMMAND …``.

The name is that of a UTS namespace, which every process below has, so programs of any kind see it.  Linux lets an
ordinary user make one inside a user namespace.  Where a distribution or a container forbids that, Python's
``socket.gethostname`` alone is told the name.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

_NEW_UTS, _NEW_USER = 0x04000000, 0x10000000  # CLONE_NEWUTS and CLONE_NEWUSER of unshare(2)


def enter(name: str) -> None:
    """Give this process a host name of its own, without root.

    Raises:
        OSError: the system does not allow it; what state the process is then in is not known.
    """
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_UTS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before an ordinary user may map a group
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    socket.sethostname(name)


def may_enter(name: str) -> bool:
    """Whether :func:`enter` succeeds, found out in a process that nothing is lost with."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            enter(name)
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def variables(name: str) -> dict[str, str]:
    """What tells a Python process its host name by :mod:`sitecustomize`."""
    folders = [str(Path(__file__).resolve().with_name("hostname")), os.environ.get("PYTHONPATH", "")]
    return {"DEMO_HOST": name, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def main(name: str, *command: str) -> None:
    """Become the command."""
    if may_enter(name):
        enter(name)
    else:
        os.environ.update(variables(name))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""End every process of a test run that outlives the run, however the run ended.

``python reaper.py PID FOLDER`` waits for the process PID, which runs the tests.  Then it ends the processes whose
environment names FOLDER in ``XCOM_TESTS_RUN``, and their descendants, and deletes FOLDER.  It is a process of its own,
so that it works when the run is killed: nothing inside a killed process could.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "XCOM_TESTS_RUN"
GRACE = 10.0  # seconds that a process has to end by itself, as servers do whose last user has gone


def start(folder: str) -> None:
    """Start the reaper of this process."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def members(folder: str) -> set[int]:
    """Return the processes of a run that have not ended."""
    entry = os.fsencode(f"{VARIABLE}={folder}")
    parents, found = {}, set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(process.name)] = int(parent)
            if entry in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return found & parents.keys()


def reap(folder: str) -> None:
    """End the processes of a run: ask first, and kill those that are left after the grace."""
    _send(members(folder), signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while members(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left := members(folder):
        _send(left, signal.SIGKILL)
        time.sleep(0.05)


def _send(pids: set[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def main(pid: str, folder: str) -> None:
    """Wait for the run's end, and clean up."""
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(int(pid))], [], [])
    reap(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

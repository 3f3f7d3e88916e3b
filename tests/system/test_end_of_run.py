"""A test run that is ended from outside leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import reaper

PATIENCE = 300.0  # seconds; it takes less than 20 on a machine with nothing else to do


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder that the user whom PostgreSQL runs as may enter; pytest's own is closed to others by each run."""
    with tempfile.TemporaryDirectory(prefix="end-of-run-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_an_ended_run_leaves_nothing_behind(
    ending: signal.Signals, options: list[str], tmp_path: Path, temporary: Path
) -> None:
    ready = tmp_path / "ready"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", reaper.VARIABLE))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    command.append(str(Path(__file__).with_name("long_run.py")))
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            command, env={**clean, "TMPDIR": str(temporary), "LONG_RUN_READY": str(ready)}, stdout=log, stderr=log
        )
    try:
        wait(lambda: ready.exists() or run.poll() is not None)
        assert ready.exists(), (tmp_path / "log").read_text()
        started = descendants(run.pid)
        assert {"postgres", "valkey-server", "sleep"} <= set(started.values())
    finally:
        run.send_signal(ending)
        run.wait()
    wait(lambda: not alive(started))
    wait(lambda: not list(temporary.glob("airflow-xcom-tests-*")))


def wait(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.1)


def descendants(pid: int) -> dict[tuple[int, str], str]:
    """The names of the processes that a process has started, by their ids and the times of their starts."""
    found = {pid}
    status = {process: (parent, name, began) for process, parent, name, began in processes()}
    while children := {process for process, (parent, *_) in status.items() if parent in found} - found:
        found |= children
    return {(process, status[process][2]): status[process][1] for process in found - {pid}}


def alive(started: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    return {(pid, began): name for pid, _, name, began in processes() if (pid, began) in started}


def processes() -> list[tuple[int, int, str, str]]:
    """The id, the parent, the name and the time of the start of each process that has not ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            head, _, rest = (process / "stat").read_text().rpartition(")")
            fields = rest.split()
            if fields[0] not in "ZX":
                found.append((int(process.name), int(fields[1]), head.partition("(")[2], fields[19]))
    return found

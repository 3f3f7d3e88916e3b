"""Processes that outlive the one that started them, and a file that says which they are.

A process is known by its id and the time of its start, for ids are used again.  Each leads a session of its own, so
that what it starts in turn, and leaves behind, is found by the session's id.  One that was started and not written
down, because who started it was killed in between, is found by its environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

STOP_TIMEOUT = 20.0  # seconds until a process that was asked to end is killed
STARTER = "the starting command"
VARIABLE = "XCOM_DEMO_PROCESSES"  # names the file in the environment of each process


class RunningError(Exception):
    """The file of another set of processes is there."""


@dataclass(frozen=True)
class Process:
    """One process that was started.

    Attributes:
        name: for people.
        pid: also the id of the session that it leads, if it leads one.
        began: clock ticks from the boot to its start.
        ending: the signal that asks it to end soon.
    """

    name: str
    pid: int
    began: int
    ending: int = signal.SIGTERM

    def members(self) -> set[int]:
        """It, and what else runs in its session."""
        found = {pid: status for pid, status in _statuses() if self.pid in {pid, status.session}}
        leader = found.get(self.pid)
        if leader is not None and leader.began != self.began:
            return set()
        return {pid for pid, status in found.items() if not status.ended}


@dataclass(frozen=True)
class _Status:
    session: int
    began: int
    ended: bool


class Processes:
    """What was started, as the file knows it.

    Args:
        file: where that is written down; it is there as long as something may run.
        facts: what else the file holds.
    """

    def __init__(self, file: Path, facts: dict[str, Any]) -> None:
        self._file = file
        self.facts = facts
        self._started: list[Process] = []

    @classmethod
    def create(cls, file: Path, facts: dict[str, Any]) -> Self:
        """A new file, with this process as the first one.

        Raises:
            RunningError: there is one already.
        """
        try:
            file.open("x").close()
        except FileExistsError as error:
            raise RunningError(file) from error
        processes = cls(file, facts)
        processes._add(Process(STARTER, os.getpid(), _status(os.getpid()).began))
        return processes

    @classmethod
    def load(cls, file: Path) -> Self:
        """What the file holds; nothing, if the machine has started anew since.

        Raises:
            FileNotFoundError: nothing was started.
        """
        text = file.read_text()
        held = json.loads(text) if text else {"facts": {}, "boot": "", "processes": []}
        processes = cls(file, held["facts"])
        if held["boot"] == _boot():
            processes._started = [Process(**fields) for fields in held["processes"]]
        processes._started += processes._unwritten()
        return processes

    def start(  # noqa: PLR0913
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str],
        ending: int = signal.SIGTERM,
        user: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command that goes on without this process."""
        with log.open("ab") as output, _uninterrupted():
            process = subprocess.Popen(
                command,
                env={**environment, VARIABLE: str(self._file)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
            self._add(Process(name, process.pid, _status(process.pid).began, ending))
        return process

    @property
    def names(self) -> list[str]:
        """What was started, in this order."""
        return [process.name for process in self._started]

    def stop(self, *names: str) -> list[str]:
        """End those of these names, all at once, but never this process; return the names of those that still ran."""
        wanted = [process for process in self._started if process.name in names]
        running = [process for process in wanted if process.members() and process.pid != os.getpid()]
        _end(running)
        self._started = [process for process in self._started if process not in wanted]
        self._write()
        return [process.name for process in running]

    def leave(self) -> None:
        """Go, and let the others run."""
        self._started = [process for process in self._started if process.name != STARTER]
        self._write()

    def forget(self) -> None:
        """Delete the file, once everything has ended."""
        self._file.unlink(missing_ok=True)

    def _unwritten(self) -> Iterator[Process]:
        """The leaders of sessions that were started for this file, and are not in it."""
        written = {process.pid for process in self._started}
        entry = os.fsencode(f"{VARIABLE}={self._file}")
        for pid, status in _statuses():
            with suppress(OSError):
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if pid == status.session and pid not in written and not status.ended and entry in environment:
                    yield Process(f"process {pid}", pid, status.began)

    def _add(self, process: Process) -> None:
        self._started.append(process)
        self._write()

    def _write(self) -> None:
        unfinished = self._file.with_name(f"{self._file.name}.new")
        held = {"boot": _boot(), "facts": self.facts, "processes": [asdict(process) for process in self._started]}
        unfinished.write_text(json.dumps(held, indent=1))
        unfinished.rename(self._file)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C and the like off, until what was started is written down; what is started knows nothing of it."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)


def _end(processes: Sequence[Process]) -> None:
    """Ask the processes to end, which ends what they have started; kill what is left of their sessions."""
    for process in processes:
        _send(process.members() & {process.pid}, process.ending)
    # The starting command waits that long itself, for Airflow and then for the servers.
    stages = 3 if any(process.name == STARTER for process in processes) else 1
    _wait(lambda: any(process.pid in process.members() for process in processes), stages * STOP_TIMEOUT)
    for process in processes:
        _send(process.members(), signal.SIGKILL)
    _wait(lambda: any(process.members() for process in processes), STOP_TIMEOUT)


def _wait(going_on: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while going_on() and time.monotonic() < deadline:
        time.sleep(0.1)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _statuses() -> Iterator[tuple[int, _Status]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), _status(int(folder.name))


def _status(pid: int) -> _Status:
    # proc_pid_stat(5); the second field is a name in parentheses, which may hold spaces and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _Status(session=int(fields[3]), began=int(fields[19]), ended=fields[0] in "ZX")


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

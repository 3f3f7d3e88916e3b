"""The processes of the Airflow that runs, as an installation has them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ports import free_ports
from releases import RELEASE

START_TIMEOUT = 300.0  # seconds
STOP_TIMEOUT = 15.0
LINES = 40  # of a log, in an error


class Components:
    """Scheduler, triggerer and, from Airflow 3 on, API server and Dag processor, between enter and exit.

    They take their configuration from this process's environment.

    Args:
        folder: where their logs go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        url = f"http://127.0.0.1:{self._port}"
        self._environment = os.environ | {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",  # seconds; tasks of a busy machine are killed after it
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def __enter__(self) -> Self:
        try:
            if RELEASE >= (3, 0):
                self._start("api-server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1")
                self.wait("listening", self._listens, START_TIMEOUT)  # tasks that start before fail
                self._start("dag-processor")
            self._start("scheduler", "--skip-serve-logs")
            self._start("triggerer", "--skip-serve-logs")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for stop in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, stop)
            deadline = time.monotonic() + STOP_TIMEOUT
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))

    def wait(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Until it is done.

        Raises:
            RuntimeError: a process has ended, or it took too long; with the ends of the logs.
        """
        deadline = time.monotonic() + seconds
        while not done():
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{', '.join(ended)} ended" if ended else f"not {what} after {seconds:.0f} s"
                raise RuntimeError("\n".join([why, *map(self._tail, self._processes)]))
            time.sleep(1)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5):
            return True
        return False

    def _start(self, command: str, *arguments: str) -> None:
        with (self._folder / f"{command}.log").open("wb") as log:
            self._processes[command] = subprocess.Popen(
                [sys.executable, "-m", "airflow", command, *arguments],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _tail(self, command: str) -> str:
        text = (self._folder / f"{command}.log").read_text(errors="replace")
        return "\n".join([f"--- {command} ---", *text.splitlines()[-LINES:]])

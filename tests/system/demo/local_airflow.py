"""A real Airflow for one run: API server, scheduler and Dag processor over SQLite, in a folder of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from airflow_api import AirflowApi, AirflowFailedError, environment, failures, tail, task_logs
from ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

COMPONENTS = ("api-server", "scheduler", "dag-processor")
STOP_TIMEOUT = 15.0  # seconds


class LocalAirflow:
    """Airflow's processes, between ``__enter__`` and ``__exit__``.

    Args:
        home: an empty folder, used as ``AIRFLOW_HOME``.
        dags: the Dag folder.
        options: further ``AIRFLOW__SECTION__OPTION`` variables.
        progress: told in a few words what has just been done.
        python: the interpreter with the Airflow that runs.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        options: dict[str, str],
        progress: Callable[[str], None],
        python: str | Path = sys.executable,
    ) -> None:
        self._home = home
        self._python = python
        self._progress = progress
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        (self._port,) = free_ports(1)
        self.url = url = f"http://{HOST}:{self._port}"
        logs = [home / f"{component}.log" for component in COMPONENTS]
        self._api = AirflowApi(url, self._check_all, logs, progress)
        self.environment = environment(home, dags, url, secrets.token_hex(32)) | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
            **options,
        }

    def __enter__(self) -> Self:
        try:
            self._start("db", "migrate").wait()
            self._check("db", finished=True)
            self._progress("metadata database created")
            self._start("api-server", "--host", HOST, "--port", str(self._port), "--workers", "1")
            self._start("scheduler", "--skip-serve-logs")
            self._start("dag-processor")
            self._api.sign_in()
            self._progress(f"{', '.join(COMPONENTS)} started")
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
        self._processes.clear()

    def run(self, dag_id: str, **conf: Any) -> str:
        """Trigger a run with this configuration, wait until it has succeeded, and return its run id.

        Raises:
            AirflowFailedError: a task failed, or the run took too long.
        """
        run_id, state = self._api.run(dag_id, **conf)
        if state == "failed":
            raise AirflowFailedError("\n".join([f"the run {run_id} failed", *failures(self.task_logs(dag_id, run_id))]))
        return run_id

    def task_logs(self, dag_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
        """The log of each task instance, as the events that its lines hold."""
        return task_logs(self._home / "logs", dag_id, run_id)

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._home / f"{command}.log").open("wb") as log:
            self._processes[command] = subprocess.Popen(
                [self._python, "-m", "airflow", command, *arguments],
                env=self.environment,
                cwd=self._home,  # "-m" puts the working folder on the import path: not the repository's
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches us alone, and what they started ends with them
            )
        return self._processes[command]

    def _check(self, command: str, *, finished: bool = False) -> None:
        code = self._processes[command].poll()
        if code is not None and not (finished and code == 0):
            msg = f"airflow {command} ended with exit code {code}\n{tail(self._home / f'{command}.log')}"
            raise AirflowFailedError(msg)

    def _check_all(self) -> None:
        for component in COMPONENTS:
            self._check(component)

"""A real Airflow for one run: API server, scheduler and Dag processor over SQLite, in a folder of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

COMPONENTS = ("api-server", "scheduler", "dag-processor")
START_TIMEOUT, RUN_TIMEOUT, STOP_TIMEOUT = 180.0, 600.0, 15.0  # seconds
_HOST = "127.0.0.1"


class AirflowFailedError(Exception):
    """Airflow did not start, or a Dag run did not succeed; the message ends with the log that says why."""


class LocalAirflow:
    """Airflow's processes, between ``__enter__`` and ``__exit__``.

    Args:
        home: an empty folder, used as ``AIRFLOW_HOME``.
        dags: the Dag folder.
        options: further ``AIRFLOW__SECTION__OPTION`` variables.
        progress: told in a few words what has just been done.
    """

    def __init__(self, home: Path, dags: Path, options: dict[str, str], progress: Callable[[str], None]) -> None:
        self._home = home
        self._progress = progress
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._url = f"http://{_HOST}:{_free_port()}"
        self._headers = {"Content-Type": "application/json"}
        self.environment = _environment(home, dags, self._url) | options

    def __enter__(self) -> Self:
        try:
            self._start("db", "migrate").wait()
            self._check("db", finished=True)
            self._progress("metadata database created")
            self._start("api-server", "--host", _HOST, "--port", self._url.rpartition(":")[2], "--workers", "1")
            self._start("scheduler", "--skip-serve-logs")
            self._start("dag-processor")
            token = self._until(START_TIMEOUT, "the API server", lambda: self._call("GET", "/auth/token"))
            self._headers["Authorization"] = f"Bearer {token['access_token']}"
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

    def run(self, dag_id: str) -> str:
        """Trigger a run, wait until it has succeeded, and return its run id.

        Raises:
            AirflowFailedError: a task failed, or the run took longer than ``RUN_TIMEOUT``.
        """
        dag = f"/api/v2/dags/{dag_id}"
        self._until(START_TIMEOUT, f"the Dag {dag_id}", lambda: self._call("GET", dag))
        run_id: str = self._call("POST", f"{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
        self._progress(f"run {run_id} of the Dag {dag_id} triggered")
        ended: dict[str, str] = {}

        def state() -> str | None:
            for instance in self._call("GET", f"{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]:
                if instance["state"] in {"success", "failed"} and instance["id"] not in ended:
                    ended[instance["id"]] = instance["state"]
                    self._progress(f"task {instance['task_id']}: {instance['state']}")
            found: str = self._call("GET", f"{dag}/dagRuns/{run_id}")["state"]
            return found if found in {"success", "failed"} else None

        if self._until(RUN_TIMEOUT, f"the run {run_id}", state) == "failed":
            events = [event for log in self.task_logs(dag_id, run_id) for event in log if event["level"] == "error"]
            raise AirflowFailedError("\n".join([f"the run {run_id} failed", *map(_reason, events)]))
        return run_id

    def task_logs(self, dag_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
        """The log of each task instance, as the events that its lines hold."""
        for log in sorted((self._home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("attempt=*.log")):
            yield [json.loads(line) for line in log.read_text().splitlines()]

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._home / f"{command}.log").open("wb") as log:
            self._processes[command] = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "airflow", command, *arguments],
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
            msg = f"airflow {command} ended with exit code {code}\n{_tail(self._home / f'{command}.log')}"
            raise AirflowFailedError(msg)

    def _until(self, timeout: float, what: str, attempt: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for component in COMPONENTS:
                self._check(component)
            with suppress(URLError, ConnectionError, TimeoutError):
                if result := attempt():
                    return result
            time.sleep(0.5)
        logs = "\n".join(_tail(self._home / f"{component}.log") for component in COMPONENTS)
        msg = f"{what} was not ready after {timeout:.0f} seconds\n{logs}"
        raise AirflowFailedError(msg)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)  # noqa: S310 - http
        # A proxy that the environment names is not for a server on this machine.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.load(response)


def _environment(home: Path, dags: Path, url: str) -> dict[str, str]:
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "API__BASE_URL": url,
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return (
        inherited
        | {"AIRFLOW_HOME": str(home), "NO_PROXY": _HOST, "no_proxy": _HOST}
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join([f"--- {log} ---", *log.read_text(errors="replace").splitlines()[-lines:]])


def _reason(event: dict[str, Any]) -> str:
    causes = [f"{cause['exc_type']}: {cause['exc_value']}" for cause in event.get("error_detail", ())]
    return "; ".join([f"task {event.get('task_id')}: {event['event']}", *causes])

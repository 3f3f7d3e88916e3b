"""Airflow's REST API, the configuration that its processes share, and the logs of its tasks."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

from ports import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

START_TIMEOUT, RUN_TIMEOUT = 180.0, 900.0  # seconds
_PAGE = 100  # task instances; the most that Airflow gives at once
_ENDED = {"success", "failed", "upstream_failed", "skipped"}


class AirflowFailedError(Exception):
    """Airflow did not start, or a Dag run did not succeed; the message ends with the log that says why."""


class AirflowApi:
    """What an administrator does through the API.

    Args:
        url: of the API server.
        check: called while something is waited for; raises if that cannot come any more.
        logs: of Airflow's processes, for the error if it does not come.
        progress: told in a few words what has just been done.
    """

    def __init__(
        self, url: str, check: Callable[[], None], logs: Sequence[Path], progress: Callable[[str], None]
    ) -> None:
        self._url = url
        self._check = check
        self._logs = logs
        self._progress = progress
        self._headers = {"Content-Type": "application/json"}

    def sign_in(self) -> None:
        """Wait until the API server answers."""
        token = self._until(START_TIMEOUT, "the API server", lambda: self._call("GET", "/auth/token"))
        self._headers["Authorization"] = f"Bearer {token['access_token']}"

    def run(self, dag_id: str, **conf: Any) -> tuple[str, str]:
        """Trigger a run with this configuration, wait for its end, and return its id and state: success or failed."""
        dag = f"/api/v2/dags/{dag_id}"
        self._until(START_TIMEOUT, f"the Dag {dag_id}", lambda: self._call("GET", dag))
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        wanted = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self._until(START_TIMEOUT, f"the run {run_id}", lambda: self._make(f"{dag}/dagRuns", wanted))
        self._progress(f"run {run_id} of the Dag {dag_id} triggered")
        told: set[str] = set()

        def state() -> str | None:
            self._tell_ended(self.task_instances(dag_id, run_id), told)
            found: str = self._call("GET", f"{dag}/dagRuns/{run_id}")["state"]
            return found if found in {"success", "failed"} else None

        ended: str = self._until(RUN_TIMEOUT, f"the run {run_id}", state)
        last = self._until(START_TIMEOUT, "its tasks", lambda: self.task_instances(dag_id, run_id))
        self._tell_ended(last, told)
        return run_id, ended

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of a run, as the API describes them."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?order_by=id&limit={_PAGE}"
        found: list[dict[str, Any]] = []
        while page := self._call("GET", f"{path}&offset={len(found)}")["task_instances"]:
            found += page
            if len(page) < _PAGE:
                break
        return found

    def _tell_ended(self, instances: list[dict[str, Any]], told: set[str]) -> None:
        """Say once of each task that all instances of it have ended."""
        states: dict[str, Counter[str]] = {}
        for instance in instances:
            states.setdefault(instance["task_id"], Counter())[instance["state"]] += 1
        for task_id, counts in states.items():
            if task_id not in told and counts.keys() <= _ENDED:
                told.add(task_id)
                one = counts.total() == 1
                self._progress(f"task {task_id}: " + ", ".join(s if one else f"{n} {s}" for s, n in counts.items()))

    def _until(self, timeout: float, what: str, attempt: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._check()
            began = time.monotonic()
            with suppress(URLError, ConnectionError, TimeoutError):
                if result := attempt():
                    return result
            # A page of task instances costs the API server as much as several tasks do: it is there for them.
            time.sleep(min(5.0, max(0.5, 9 * (time.monotonic() - began))))
        logs = "\n".join(map(tail, self._logs))
        raise AirflowFailedError(f"{what} was not ready after {timeout:.0f} seconds\n{logs}")

    def _make(self, path: str, body: Any) -> bool:
        """Make what may be there already, as the server may fail after it, such as by a database that is locked."""
        try:
            self._call("POST", path, body)
        except HTTPError as error:
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code != HTTPStatus.CONFLICT:
                raise AirflowFailedError(error.read().decode(errors="replace")) from error
            return error.code == HTTPStatus.CONFLICT
        return True

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        # A proxy that the environment names is not for a server on this machine.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as response:
            return json.load(response)


def environment(home: Path, dags: Path, url: str, secret: str) -> dict[str, str]:
    """The variables of an Airflow process.

    Args:
        home: its ``AIRFLOW_HOME``.
        dags: its Dag folder.
        url: of the API server.
        secret: that all processes sign and check tokens with.
    """
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "API__BASE_URL": url,
        "API_AUTH__JWT_SECRET": secret,
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        # Seconds. A busy machine exceeds the defaults, 5, 30 and 50: tasks are then killed, and Dags not parsed.
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return (
        inherited
        | {"AIRFLOW_HOME": str(home), "NO_PROXY": HOST, "no_proxy": HOST}
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
    )


def task_logs(folder: Path, dag_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
    """The log of each task instance, as the events that its lines hold."""
    for log in sorted((folder / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("attempt=*.log")):
        yield [json.loads(line) for line in log.read_text().splitlines()]


def failures(logs: Iterable[list[dict[str, Any]]]) -> list[str]:
    """What went wrong, by the logs of tasks."""
    return [_reason(event) for log in logs for event in log if event["level"] == "error"]


def _reason(event: dict[str, Any]) -> str:
    causes = [f"{cause['exc_type']}: {cause['exc_value']}" for cause in event.get("error_detail", ())]
    return "; ".join([f"task {event.get('task_id')}: {event['event']}", *causes])


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log, under its name."""
    return "\n".join([f"--- {log} ---", *log.read_text(errors="replace").splitlines()[-lines:]])

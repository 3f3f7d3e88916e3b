"""An Airflow on three hosts, all on this machine: a central one, and two Celery workers that share no folder."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_api import START_TIMEOUT, AirflowApi, AirflowFailedError, environment, tail, task_logs
from backing_services import BUCKET, Services
from ports import HOST, free_ports

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from processes import Processes

COMPONENTS = ("api-server", "scheduler", "dag-processor")
WORKERS = ("worker-1", "worker-2")
STORE = f"s3://blobs@{BUCKET}/xcom"
_COLD = signal.SIGQUIT  # Celery then ends its tasks; after SIGTERM it would wait for them
_FOLDER = Path(__file__).resolve().parent
_DAGS = (_FOLDER.parents[2] / "example_dags" / "flights.py", *sorted((_FOLDER / "dags").glob("*.py")))


class DistributedAirflow:
    """Airflow's processes with the Celery executor.

    Args:
        folder: for everything; each host has a folder of its own in it.
        services: the servers that are running.
        processes: which start everything, and stop it.
        progress: told in a few words what has just been done.
    """

    def __init__(self, folder: Path, services: Services, processes: Processes, progress: Callable[[str], None]) -> None:
        self.folder = folder
        self._services = services
        self._processes = processes
        self._progress = progress
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        (self._port,) = free_ports(1)
        self._secret = secrets.token_hex(32)
        self.url = f"http://{HOST}:{self._port}"
        self.api = AirflowApi(self.url, self._check, [self._log(name) for name in (*COMPONENTS, *WORKERS)], progress)

    def start(self) -> None:
        """Start the central host: API server, scheduler and Dag processor."""
        self._start("db", "migrate").wait()
        if self._running.pop("db").returncode != 0:
            raise AirflowFailedError(f"airflow db migrate failed\n{tail(self._log('db'))}")
        self._progress("metadata database created")
        self._start("api-server", "--host", HOST, "--port", str(self._port), "--workers", "1")
        self._start("scheduler", "--skip-serve-logs")
        self._start("dag-processor")
        self.api.sign_in()
        self._progress(f"{', '.join(COMPONENTS)} started")

    def start_workers(self, options: dict[str, str]) -> None:
        """Start a Celery worker on each host, with these ``AIRFLOW__SECTION__OPTION`` variables, and wait for both."""
        for name in WORKERS:
            command = [sys.executable, _FOLDER / "host.py", name]
            command += [sys.executable, "-m", "airflow", "celery", "worker", "--queues", f"default,{name}"]
            self._run(name, [*map(str, command), "--skip-serve-logs"], self.environment(name) | options, _COLD)
        self._wait_for_workers()
        self._progress(f"{' and '.join(WORKERS)} started with [xcom_codecs] path = {_path(options)}")

    def stop_workers(self) -> None:
        """Stop both, and empty the folders that their blobs are in by default."""
        for name in WORKERS:
            del self._running[name]
        self._processes.stop(*WORKERS)
        for name in WORKERS:
            shutil.rmtree(self.home(name) / "xcom", ignore_errors=True)
        self._progress(f"{' and '.join(WORKERS)} stopped")

    def blobs_of_workers(self) -> dict[str, int]:
        """How many blobs there are in the folder of each worker."""
        return {name: sum(path.is_file() for path in (self.home(name) / "xcom").rglob("*")) for name in WORKERS}

    def task_logs(self, dag_id: str, run_id: str) -> Iterator[list[dict[str, Any]]]:
        """The logs of the tasks, from the worker that each one ran on."""
        for name in WORKERS:
            yield from task_logs(self.home(name) / "logs", dag_id, run_id)

    def home(self, host: str) -> Path:
        """The only folder that the processes of this host write to."""
        return self.folder / host

    def environment(self, host: str) -> dict[str, str]:
        """The variables of a process on this host, which has its own copy of the Dags; workers know no database."""
        home = self.home(host)
        dags = home / "dags"
        dags.mkdir(parents=True, exist_ok=True)
        for file in _DAGS:
            shutil.copy(file, dags)
        if host in WORKERS:
            # Airflow imports it before Celery forks, and pandas with it: or else every task does that once more.
            (home / "config").mkdir(exist_ok=True)
            (home / "config" / "airflow_local_settings.py").write_text("import pandas\n")
        settings = {
            "CORE__EXECUTOR": "CeleryExecutor",
            "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
            "CELERY__BROKER_URL": self._services.broker(0),
            "CELERY__RESULT_BACKEND": self._services.broker(1),
            "CELERY__WORKER_CONCURRENCY": "2",
            "CELERY__SYNC_PARALLELISM": "1",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",  # the Dags do not change
        }
        if host not in WORKERS:
            database = self._services.database
            settings |= {"DATABASE__SQL_ALCHEMY_CONN": database, "DATABASE__SQL_ALCHEMY_CONN_ASYNC": database}
        return environment(home, dags, self.url, self._secret) | {
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            "AIRFLOW_CONN_BLOBS": self._services.connection,
        }

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._run(command, [sys.executable, "-m", "airflow", command, *arguments], self.environment("central"))

    def _run(
        self, name: str, command: list[str], variables: dict[str, str], ending: int = signal.SIGTERM
    ) -> subprocess.Popen[bytes]:
        # "-m" puts the working folder on the import path: not the repository's.
        home = Path(variables["AIRFLOW_HOME"])
        running = self._processes.start(
            name, command, log=self._log(name), folder=home, environment=variables, ending=ending
        )
        self._running[name] = running
        return running

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _check(self) -> None:
        for name, running in self._running.items():
            if running.poll() is not None:
                raise AirflowFailedError(f"{name} ended with exit code {running.returncode}\n{tail(self._log(name))}")

    def _wait_for_workers(self) -> None:
        from celery import Celery

        with Celery(broker=self._services.broker(0)) as celery:
            deadline = time.monotonic() + START_TIMEOUT
            wanted, found = {f"celery@{name}" for name in WORKERS}, set()
            while not wanted <= found:
                self._check()
                if time.monotonic() > deadline:
                    logs = "\n".join(tail(self._log(name)) for name in WORKERS)
                    raise AirflowFailedError(f"only {sorted(found)} answered after {START_TIMEOUT:.0f} seconds\n{logs}")
                found |= {name for answer in celery.control.ping(timeout=1.0) for name in answer}


def _path(options: dict[str, str]) -> str:
    return options.get("AIRFLOW__XCOM_CODECS__PATH", "file://{AIRFLOW_HOME}/xcom")

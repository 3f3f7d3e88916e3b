"""Values are retired when a run ends, if ``[xcom_codecs] retain_when_run_ends`` says so: a plugin with a listener.

Airflow calls it in the scheduler, within the transaction that ends the run (airflow/models/dagrun.py, update_state),
and in the API server where somebody marks a run.  So it does nothing there but to note the run.  A thread, of which
there is one, hands what was noted to a process of its own (:mod:`~airflow_xcom.backend.maintenance.after_run`), one at
a time.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from pluggy import HookimplMarker

__all__ = ["RetainPlugin", "RunEndListener"]

log = logging.getLogger("airflow_xcom.backend")

_GATHER = 2.0  # seconds in which runs are noted before a process is started for all of them
# Not from the working directory of the scheduler, which may hold modules of anybody.
_PROCESS = (sys.executable, "-P", "-m", "airflow_xcom.backend.maintenance.after_run")
_TIMEOUT = 3600.0  # seconds; what is left then goes with a later run
_SHOWN = 2000  # characters of what a process that failed had to say

hookimpl = HookimplMarker("airflow")


class RunEndListener:
    """Notes each run that ends; what is noted is a run for each Dag, so however long it takes, it is bounded."""

    def __init__(self) -> None:
        self._newest: dict[str, str] = {}
        self._process: int | None = None  # in which the thread runs, which a fork does not take along
        self._lock = threading.Lock()

    @hookimpl
    def on_dag_run_success(self, dag_run: Any) -> None:
        """See :meth:`note`."""
        self.note(dag_run.dag_id, dag_run.run_id)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any) -> None:
        """See :meth:`note`."""
        self.note(dag_run.dag_id, dag_run.run_id)

    def note(self, dag_id: str, run_id: str) -> None:
        """Have values of a Dag retired soon; return at once, and never raise."""
        try:
            with self._lock:
                self._newest[dag_id] = run_id
                if self._process != os.getpid():
                    _thread.start_new_thread(self._hand_over, ())  # threading.Thread.start waits for the thread
                    self._process = os.getpid()
        except Exception:
            log.exception("no values can be retired after the run %s %s", dag_id, run_id)

    def _hand_over(self) -> None:
        while True:
            time.sleep(_GATHER)
            with self._lock:
                newest, self._newest = self._newest, {}
                if not newest:
                    self._process = None
                    return
            _retire_after(newest)


def _retire_after(newest: dict[str, str]) -> None:
    """Run a process that retires values of these Dags; log what goes wrong."""
    runs = ", ".join(f"{dag_id} {run_id}" for dag_id, run_id in newest.items())
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            _PROCESS,
            input=json.dumps(newest),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            timeout=_TIMEOUT,
        )
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"[-_SHOWN:].strip()
            log.error("not all values could be retired after the runs %s: %s", runs, said)
        else:
            log.info("after the runs %s: %s", runs, done.stdout.strip())
    except Exception:
        log.exception("no values could be retired after the runs %s", runs)


def _listeners() -> list[Any]:
    from airflow_xcom.backend.settings import settings

    try:
        return [RunEndListener()] if settings().retain_when_run_ends else []
    except Exception:
        log.exception("values are not retired when runs end")
        return []


class RetainPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names."""

    name = "airflow_xcom_retain"
    listeners = _listeners()

"""A plugin whose listener does what ``[xcom_codecs] retain_when_run_ends`` and ``sweep_after_run`` say.

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

from airflow_xcom.backend.retention_policy import sweep_after_run
from airflow_xcom.backend.settings import is_on

log = logging.getLogger("airflow_xcom.backend")

_GATHER = 2.0  # seconds in which runs are noted before a process is started for all of them
# Not from the working directory of the scheduler, which may hold modules of anybody.
_PROCESS = (sys.executable, "-P", "-m", "airflow_xcom.backend.maintenance.after_run")
_TIMEOUT = 3600.0  # seconds; what is left then goes with a later run
_SHOWN = 2000  # characters of what a process that failed had to say

hookimpl = HookimplMarker("airflow")


class RunEndListener:
    """Notes the first and the last run of each Dag that end: however long it takes, what is noted is bounded."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[str, str]] = {}
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
        """Have a Dag seen to soon; return at once, and never raise."""
        try:
            with self._lock:
                first, _ = self._ended.get(dag_id, (run_id, run_id))
                self._ended[dag_id] = first, run_id
                if self._process != os.getpid():
                    _thread.start_new_thread(self._hand_over, ())  # threading.Thread.start waits for the thread
                    self._process = os.getpid()
        except Exception:
            log.exception("nothing can be retired or swept after the run %s %s", dag_id, run_id)

    def _hand_over(self) -> None:
        while True:
            time.sleep(_GATHER)
            with self._lock:
                ended, self._ended = self._ended, {}
                if not ended:
                    self._process = None
                    return
            _see_to(ended)


def _see_to(ended: dict[str, tuple[str, str]]) -> None:
    """Run a process that retires and sweeps after these runs; log what goes wrong."""
    runs = ", ".join(f"{dag_id} {newest}" for dag_id, (_, newest) in ended.items())
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            _PROCESS,
            input=json.dumps(ended),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            env={"_AIRFLOW_PROCESS_CONTEXT": "server", **os.environ},  # as Airflow's own commands have it
            timeout=_TIMEOUT,
        )
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"[-_SHOWN:].strip()
            log.error("not all could be retired or swept after the runs %s: %s", runs, said)
        else:
            log.info("after the runs %s: %s", runs, done.stdout.strip())
    except Exception:
        log.exception("nothing could be retired or swept after the runs %s", runs)


def _listeners() -> list[Any]:
    try:
        wanted = (is_on("retain_when_run_ends"), sweep_after_run() is not None)
        return [RunEndListener()] if any(wanted) else []
    except Exception:
        log.exception("nothing is retired or swept when runs end")
        return []


class RetainPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names."""

    name = "airflow_xcom_retain"
    listeners = _listeners()

"""The process beside the scheduler that retires and sweeps after runs have ended.

It reads a JSON object from standard input: for each Dag, the ids of the first and of the last run that ended since the
process before this one was started.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable

from airflow_xcom.backend.database import dag_runs, xcom_rows
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.maintenance.retain import retain
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.retention_policy import sweep_after_run
from airflow_xcom.backend.settings import is_on
from airflow_xcom.codecs import CodecError

Ended = dict[str, list[str]]

_WAIT = 60.0  # seconds for the scheduler to commit that a run has ended
_PAUSE = 0.2  # seconds
_NICE = 10


def main() -> int:
    """Do what the options say to do after these runs, and give an exit code: 1 if something could not be done."""
    os.nice(_NICE)
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)
    ended: Ended = json.load(sys.stdin)
    runs = dag_runs.metadata_runs()
    _wait(runs, ended)
    succeeded = [_retire(runs, ended)] if is_on("retain_when_run_ends") else []
    if (age := sweep_after_run()) is not None:
        succeeded.append(_sweep(runs, ended, age))
    return 0 if all(succeeded) else 1


def _wait(runs: Runs, ended: Ended) -> None:
    """Wait until the scheduler has committed; a run that does not end keeps its values, and goes with a later one."""
    until = time.monotonic() + _WAIT
    newest = [(dag_id, batch[-1]) for dag_id, batch in ended.items()]
    while not all(runs.has_ended(*run) for run in newest) and time.monotonic() < until:
        time.sleep(_PAUSE)


def _retire(runs: Runs, dag_ids: Iterable[str]) -> bool:
    """Retire what need not be kept any more of the Dags, and return whether all could be."""
    retained = list(retain(runs, dag_ids, apply=True, newest_only=True))
    retired, failed = (sum(getattr(done, name) for done in retained) for name in ("retired", "failed"))
    sys.stdout.write(f"{retired} values retired, {failed} failed\n")
    for done in retained:
        sys.stdout.writelines(f"{problem}\n" for problem in done.problems)
    return not failed


def _sweep(runs: Runs, ended: Ended, age: float) -> bool:
    """Delete what is not referred to of the runs that ended so long before, and return whether that could be done."""
    due = [(dag_id, run_id) for dag_id, batch in ended.items() for run_id in runs.ended_earlier(dag_id, batch, age)]
    report, problem = Report(), ""
    try:
        for _ in sweep(xcom_rows.metadata_rows(), report, runs=due, grace=age, apply=True) if due else ():
            pass
    except CodecError as error:
        problem = f"; stopped while {report.phase}: {error}"
    deleted = sum(store.deleted.count for store in report.stores.values())
    sys.stdout.write(f"{deleted} payloads of {len(due)} runs deleted{problem}\n")
    return not problem


if __name__ == "__main__":
    sys.exit(main())

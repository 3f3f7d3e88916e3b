"""The process beside the scheduler that retires values after runs have ended.

It reads a JSON object from standard input: for each Dag, the id of the run that ended last.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_xcom.backend.database.dag_runs import Runs

__all__ = ["main"]

_WAIT = 60.0  # seconds for the scheduler to commit that a run has ended
_PAUSE = 0.2  # seconds
_NICE = 10


def main() -> int:
    """Retire what need not be kept any more of the Dags, and give an exit code: 1 if something could not be done."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    os.nice(_NICE)
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)
    from airflow_xcom.backend.database.dag_runs import metadata_runs
    from airflow_xcom.backend.maintenance.retain import retain

    newest: dict[str, str] = json.load(sys.stdin)
    runs = metadata_runs()
    _wait(runs, newest)
    retained = list(retain(runs, newest, apply=True, newest_only=True))
    retired, failed = (sum(getattr(done, name) for done in retained) for name in ("retired", "failed"))
    sys.stdout.write(f"{retired} values retired, {failed} failed\n")
    for done in retained:
        sys.stdout.writelines(f"{problem}\n" for problem in done.problems)
    return 1 if failed else 0


def _wait(runs: Runs, newest: dict[str, str]) -> None:
    """Wait until the scheduler has committed; a run that does not end keeps its values, and goes with a later one."""
    until = time.monotonic() + _WAIT
    while not all(runs.has_ended(*run) for run in newest.items()) and time.monotonic() < until:
        time.sleep(_PAUSE)


if __name__ == "__main__":
    sys.exit(main())

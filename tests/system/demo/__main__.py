"""Run the Dag ``flights`` in a real Airflow, then show every XCom of the run and whether it came back exact.

The values expected are computed again by the plain functions behind the tasks; the values found are read from the
metadata database, and from the files that its rows refer to, once the run is over.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_api import AirflowFailedError
from local_airflow import LocalAirflow
from xcoms import judge

DAGS = Path(__file__).resolve().parents[3] / "example_dags"


def main() -> int:
    """The exit code: 0 if every XCom was exact."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: Airflow is stopped
    began = time.monotonic()

    def progress(done: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {done}", flush=True)

    with TemporaryDirectory(prefix="airflow-xcom-demo-") as folder:
        home = Path(folder)
        options = {"AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend"}
        try:
            with LocalAirflow(home, DAGS, options, progress) as airflow:
                run_id = airflow.run("flights")
        except AirflowFailedError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nAirflow stopped before the run was over", file=sys.stderr)
            return 130
        progress("Airflow stopped")
        os.environ.update(airflow.environment)  # before Airflow is imported: the backend reads its configuration
        stored = stored_xcoms(home / "airflow.db", run_id)
        text, _, passed = judge(stored, airflow.task_logs("flights", run_id))
    print(f"\n{text}")
    return 0 if passed else 1


def stored_xcoms(database: Path, run_id: str) -> list[tuple[str, str, str]]:
    """Task, key and JSON text of every row of the run, in the order in which they were pushed."""
    query = "SELECT task_id, key, value FROM xcom WHERE run_id = ? ORDER BY timestamp, key"
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, (run_id,)).fetchall()


if __name__ == "__main__":
    sys.exit(main())

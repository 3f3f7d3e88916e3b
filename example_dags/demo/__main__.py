"""Run the Dag ``flights`` in a real Airflow, then show every XCom of the run and whether it came back exact.

The values expected are computed again by the plain functions behind the tasks; the values found are read from the
metadata database, and from the files that its rows refer to, once the run is over.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from exact import difference
from local_airflow import AirflowFailedError, LocalAirflow

if TYPE_CHECKING:
    from collections.abc import Iterable

DAGS = Path(__file__).resolve().parent.parent
_PUSHED = re.compile(r"^pushed .* task=(?P<task>\S+) .*key=(?P<key>\S+) .*ms=(?P<ms>[\d.]+)")


@dataclass(frozen=True)
class Row:
    """One XCom, as the table shows it."""

    task: str
    key: str
    type: str
    codec: str
    where: str
    bytes: str
    push_ms: str
    pull_ms: str
    exact: str


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
        expected = expected_values()
        progress("expected values computed")
        pushes = push_times(airflow.task_logs("flights", run_id))
        rows = [examine(*stored, expected, pushes) for stored in stored_xcoms(home / "airflow.db", run_id)]
    print(f"\n{table(rows)}\n\n{expected.get(('report', 'return_value'))}\n")
    exact = sum(row.exact == "yes" for row in rows)
    print(f"{exact} of {len(expected)} XComs exact")
    return 0 if exact == len(rows) == len(expected) else 1


def expected_values() -> dict[tuple[str, str], Any]:
    """Task and key -> what the task returned, from the functions alone."""
    sys.path.insert(0, str(DAGS))
    import flights as dag

    raw = dag.extract.function()
    cleaned = dag.clean.function(raw)
    summary = dag.summarise.function(cleaned)
    busiest = dag.busiest_hour.function(cleaned)
    returned = {"extract": raw, "clean": cleaned, "summarise": summary, "busiest_hour": busiest}
    returned["report"] = dag.report.function(summary, busiest)
    values = {(task, "return_value"): value for task, value in returned.items()}
    return values | {("summarise", key): value for key, value in summary.items()}


def stored_xcoms(database: Path, run_id: str) -> list[tuple[str, str, str]]:
    """Task, key and JSON text of every row of the run, in the order in which they were pushed."""
    query = "SELECT task_id, key, value FROM xcom WHERE run_id = ? ORDER BY timestamp, key"
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, (run_id,)).fetchall()


def push_times(logs: Iterable[list[dict[str, Any]]]) -> dict[tuple[str, str], str]:
    """Task and key -> milliseconds, from what the backend logged in the task."""
    found = (_PUSHED.match(event["event"]) for log in logs for event in log)
    return {(match["task"], match["key"]): match["ms"] for match in found if match}


def examine(
    task: str, key: str, text: str, expected: dict[tuple[str, str], Any], pushes: dict[tuple[str, str], str]
) -> Row:
    """Pull the value of a row, and compare it with the one expected."""
    from airflow_xcom.backend import CodecXComBackend

    stored = json.loads(text)
    envelope = stored.get("airflow_xcom", {}) if isinstance(stored, dict) else {}
    reference = envelope.get("ref")
    began = time.perf_counter()
    value = CodecXComBackend.deserialize_value(SimpleNamespace(key=key, value=stored))
    took = (time.perf_counter() - began) * 1e3
    kind = type(value)
    found = difference(expected[task, key], value) if (task, key) in expected else "no such XCom is expected"
    return Row(
        task=task,
        key=key,
        type=f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        codec=envelope.get("tag", "plain JSON"),
        where="blob" if reference else "row",
        bytes=f"{reference['size'] if reference else len(text.encode()):,}",
        push_ms=pushes.get((task, key), "-"),
        pull_ms=f"{took:.2f}",
        exact="yes" if found is None else f"NO: {found}",
    )


def table(rows: list[Row]) -> str:
    """Aligned columns: numbers to the right, everything else to the left."""
    names = [field.name for field in fields(Row)]
    lines = [[name.replace("_ms", " ms") for name in names], *(list(astuple(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_right = [name.endswith("ms") or name == "bytes" for name in names]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())

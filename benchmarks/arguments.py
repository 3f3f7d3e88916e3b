"""Measure what an argument costs a task: as it is, with ``lazy``, and pulled in the task instead.

``python3 dev.py script benchmarks/arguments.py`` gives values of each kind to tasks of a Dag that ``dag.test()``
runs.  The time is that of the whole task instance, the least of some; ``nothing`` is a task without an argument.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HOME = os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parent / "arguments.py")
os.environ["AIRFLOW__CORE__XCOM_BACKEND"] = "airflow_xcom.backend.CodecXComBackend"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
REPEATS = int(os.environ.get("ARGUMENTS_REPEATS", "3"))
SCALE = float(os.environ.get("ARGUMENTS_SCALE", "1"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from airflow.sdk import dag, get_current_context, task  # noqa: E402

from airflow_xcom.backend import lazy, takes_lazy  # noqa: E402
from airflow_xcom.codecs import codec  # noqa: E402


@codec("bench.point")
@dataclass
class Point:
    """An object of a registered class."""

    x: int
    name: str


VALUES = {
    "200,000 records": lambda count: [{"id": i, "name": f"row {i}", "x": i / 7} for i in range(count)],
    "1,000,000 floats": lambda count: np.random.default_rng(0).random(5 * count).tolist(),
    "a frame of 200,000 x 10": lambda count: pd.DataFrame({f"c{i}": np.arange(count) / 7 for i in range(10)}),
    "50,000 objects": lambda count: [Point(i, f"point {i}") for i in range(count // 4)],
}


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False)
def arguments() -> None:
    """Give each value to each way of taking it, in turns."""
    for number, make in enumerate(VALUES.values()):

        @task(task_id=f"{number}-give", show_return_value_in_logs=False)
        def give(make: Any = make) -> Any:
            return make(int(200_000 * SCALE))

        given = give()
        for turn in range(REPEATS):
            name = f"{number}-{{}}-{turn}"
            task(task_id=name.format("plain"))(_take)(given)
            task(task_id=name.format("lazy"))(takes_lazy(_take))(lazy(given))
            given >> task(task_id=name.format("pulled"))(_pull)(f"{number}-give")
            given >> task(task_id=name.format("nothing"))(lambda: None)()


def _take(_: Any) -> None: ...


def _pull(task_id: str) -> None:
    get_current_context()["ti"].xcom_pull(task_id)


DAG = arguments()


def main() -> None:
    """Run the Dag, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    logging.disable(logging.CRITICAL)
    from airflow.utils import db

    db.upgradedb()
    run = DAG.test()
    if run.state != "success":
        sys.exit(f"the run is {run.state}")
    seconds: dict[str, list[float]] = defaultdict(list)
    for instance in run.get_task_instances():
        seconds[instance.task_id.rpartition("-")[0]].append(instance.duration)
    print(f"{'':25}{'plain':>10}{'lazy':>10}{'pulled':>10}{'nothing':>10}")
    for number, name in enumerate(VALUES):
        row = [min(seconds[f"{number}-{way}"]) for way in ("plain", "lazy", "pulled", "nothing")]
        print(f"{name:25}" + "".join(f"{took:8.2f} s" for took in row))


if __name__ == "__main__":
    main()

"""What only a scheduler does, or does in another way than ``dag.test()``; run as soon as it is found."""

from __future__ import annotations

from typing import Any

import pandas as pd
from releases import (
    HAS_LOOPS,
    SKIPS_IN_MAPPED_GROUPS,
    Asset,
    dag,
    events_that_triggered,
    get_current_context,
    pulled_from_run,
    task,
)
from ways import START, branches, deferrable, frame, loops, retries, same, short_circuits

# Task, map index.
SKIPPED = {("branches.not_picked", -1), ("short_circuits.not_reached", -1)}
if SKIPS_IN_MAPPED_GROUPS:
    SKIPPED |= {
        ("branches.each.odd", 0),
        ("branches.each.odd", 1),
        ("branches.each.even", 2),
        ("short_circuits.each.reached", 1),
    }
TABLE = Asset("memory://shop/table")


@dag(schedule="@once", start_date=START, catchup=False)
def scheduled() -> None:
    @task(outlets=[TABLE])
    def table() -> pd.DataFrame:
        return frame(6)

    branches()
    short_circuits()
    deferrable()
    retries()
    if HAS_LOOPS:
        loops()
    table()


@dag(schedule=[TABLE], start_date=START, catchup=False)
def triggered() -> None:
    """Started by the asset's event: reads the frame of the run that this names."""

    @task
    def pull() -> None:
        context: Any = get_current_context()
        (event,) = events_that_triggered(context, TABLE)
        where = event.source_dag_id, event.source_task_id, event.source_run_id
        same(("scheduled", "table"), where[:2])
        same(frame(6), pulled_from_run(*where))

    pull()


DAGS = [scheduled(), triggered()]

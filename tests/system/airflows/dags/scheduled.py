"""What only a scheduler does, or does in another way than ``dag.test()``; run as soon as it is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
from releases import (
    HAS_LOOPS,
    HAS_PARTITIONS,
    SKIPS_IN_MAPPED_GROUPS,
    Asset,
    AssetAlias,
    dag,
    events_that_triggered,
    get_current_context,
    pulled_from_run,
    task,
)
from ways import START, branches, deferrable, frame, loops, retries, same, short_circuits

from airflow_xcom.backend import latest, publish, value_of, values_of

# Task, map index.
SKIPPED = {("branches.not_picked", -1), ("short_circuits.not_reached", -1)}
if SKIPS_IN_MAPPED_GROUPS:
    SKIPPED |= {
        ("branches.each.odd", 0),
        ("branches.each.odd", 1),
        ("branches.each.even", 2),
        ("short_circuits.each.reached", 1),
    }
TABLE, VALUES, MEANT, REGIONS = (Asset(f"memory://shop/{name}") for name in ("table", "values", "meant", "regions"))
VIA = AssetAlias("via")
NOTES = Path(os.environ["AIRFLOW_HOME"], "notes")
RUNS = 7 if HAS_PARTITIONS else 5  # that there are to be


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


@dag(schedule="@once", start_date=START, catchup=False)
def publishers() -> None:
    """Each time that it is cleared, ``give`` publishes another version."""

    @task(outlets=[VALUES])
    def give() -> None:
        publish(frame(get_current_context()["ti"].try_number), VALUES)

    @task(outlets=[VIA])
    def give_by_alias() -> None:
        publish(frame(7), MEANT)

    @task(outlets=[REGIONS])
    def give_partitions() -> None:
        publish(frame(8), REGIONS, partition="north")
        publish(frame(9), REGIONS, partition="south")

    give()
    give_by_alias()
    if HAS_PARTITIONS:
        give_partitions()


@dag(schedule=[VALUES], start_date=START, catchup=False)
def values_of_events() -> None:
    """Each run notes which try of the publisher it has read."""

    @task
    def read(value: Any) -> None:
        context: Any = get_current_context()
        number = int(value["n"].iloc[1]) - 1
        same(frame(number), value)
        same([value], values_of(VALUES))
        same(value, latest(VALUES))
        with (NOTES / f"{context['run_id']}.txt").open("a") as notes:
            notes.write(f"{number}\n")

    read(value_of(VALUES))


@dag(schedule=[VIA], start_date=START, catchup=False)
def aliases() -> None:
    @task
    def read(by_alias: Any, by_asset: Any) -> None:
        same([frame(7)] * 2, [by_alias, by_asset])

    read(value_of(VIA), value_of(MEANT))


DAGS = [scheduled(), triggered(), publishers(), values_of_events(), aliases()]
if HAS_PARTITIONS:
    from airflow.sdk import PartitionedAssetTimetable

    @dag(schedule=PartitionedAssetTimetable(assets=REGIONS), start_date=START, catchup=False)
    def partitions() -> None:
        """A run for each partition."""

        @task
        def read(value: Any) -> None:
            context: Any = get_current_context()
            same(frame({"north": 8, "south": 9}[context["dag_run"].partition_key]), value)

        read(value_of(REGIONS))

    DAGS.append(partitions())

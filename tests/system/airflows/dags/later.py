"""Reads, in a release of Airflow that may be newer, what the Dags of ``ways`` pushed."""

from __future__ import annotations

from typing import Any

from releases import dag, get_current_context, task
from ways import INLINE, KEYS, LARGE, MILD, MIXED, NAME, PLAIN, PUBLISHED, START, STOCK, doubled, frame, options, same

from airflow_xcom.backend import latest, versions

LEGACY = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


def pulled(task_id: Any, key: str = "return_value", dag_id: str = "ways") -> Any:
    """From the run of another Dag that the configuration of this one names."""
    context = get_current_context()
    return context["ti"].xcom_pull(dag_id=dag_id, task_ids=task_id, key=key, run_id=context["dag_run"].conf[dag_id])


@task
def ours() -> None:
    for name, value in {
        "large": frame(),
        "small": frame(1, 4),
        "inline": INLINE,
        "mixed": MIXED,
        "plain": PLAIN,
    }.items():
        same(value, pulled(f"taskflow_returns.{name}"))
    for key, value in KEYS.items():
        if key == NAME:  # which differs
            continue
        same(value, pulled("several_keys.push", key))
    same([doubled(number) for number in range(3)], list(pulled(["mapped_over_frames.double"])))
    same(frame(5), pulled("table", dag_id="producer"))


@task
def of_stock() -> None:
    same(STOCK, pulled("rows_of_stock.push", "typed"))
    same(MILD, pulled("rows_of_stock.push", "plain"))


@task
def of_object_storage() -> None:
    with options(legacy_backend=LEGACY):
        same(LARGE, pulled("rows_of_object_storage.push", "large"))
        same(MILD, pulled("rows_of_object_storage.push", "small"))


@task
def of_assets() -> None:
    same(frame(8), latest(PUBLISHED))
    same([("published", "give")], [(one.dag_id, one.task_id) for one in versions(PUBLISHED)])


@dag(schedule=None, start_date=START, catchup=False)
def later() -> None:
    """After an upgrade."""
    [ours(), of_stock(), of_object_storage(), of_assets()]


DAG = later()

"""What Dag authors import, from wherever the Airflow that runs has it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

__all__ = [
    "HAS_ASYNC_XCOMS",
    "HAS_LOOPS",
    "HAS_PARTITIONS",
    "HAS_SLASHES_IN_KEYS",
    "HAS_STATE",
    "RELEASE",
    "SKIPS_IN_MAPPED_GROUPS",
    "Asset",
    "AssetAlias",
    "BaseOperator",
    "BaseTrigger",
    "TriggerEvent",
    "XComArg",
    "as_stock_pulls",
    "dag",
    "events_that_triggered",
    "get_current_context",
    "pulled_from_run",
    "task",
    "task_group",
]

from airflow.triggers.base import BaseTrigger, TriggerEvent

RELEASE = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
HAS_ASYNC_XCOMS = RELEASE >= (3, 3)
HAS_LOOPS = RELEASE >= (3, 4)
HAS_PARTITIONS = HAS_STATE = RELEASE >= (3, 3)
HAS_SLASHES_IN_KEYS = RELEASE != (3, 0)  # there the API does not find the row
SKIPS_IN_MAPPED_GROUPS = RELEASE not in {(3, 2), (3, 3)}  # with Airflow's own backend, too

if RELEASE >= (3, 0):
    from airflow.sdk import Asset, AssetAlias, BaseOperator, XComArg, dag, get_current_context, task, task_group
else:
    from airflow.datasets import Dataset as Asset
    from airflow.datasets import DatasetAlias as AssetAlias
    from airflow.decorators import dag, task, task_group
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.xcom_arg import XComArg
    from airflow.operators.python import get_current_context

if (3, 0) <= RELEASE < (3, 3):  # whose dag.test() makes an API server for each task: seconds each
    from airflow.sdk.execution_time import supervisor

    supervisor.in_process_api_server = cache(supervisor.in_process_api_server)

if HAS_ASYNC_XCOMS:
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    async def _asend(self: Any, msg: Any) -> Any:
        return self.send(msg)

    if not hasattr(InProcessSupervisorComms, "asend"):  # of ``dag.test()``; a worker's has it
        InProcessSupervisorComms.asend = _asend


def as_stock_pulls(stock: Any, task_id: str, key: str = "return_value") -> Any:
    """What a task pulls from this run where the backend is Airflow's own, ``BaseXCom``."""
    ti = get_current_context()["ti"]  # noqa: AIR301 - of Airflow 2 only where that runs
    where = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": task_id, "key": key, "map_index": -1}
    if RELEASE >= (3, 0):
        return stock.get_one(**where)
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        columns = [getattr(stock, name) == value for name, value in where.items()]
        return stock.deserialize_value(session.execute(select(stock.value).where(*columns)).one())


def events_that_triggered(context: Any, asset: Any) -> list[Any]:
    """The events of an asset, or of a dataset in Airflow 2, that started this run."""
    if RELEASE >= (3, 0):
        return list(context["triggering_asset_events"][asset])
    return list(context["triggering_dataset_events"][asset.uri])


def pulled_from_run(dag_id: str, task_id: str, run_id: str) -> Any:
    """What a task pulls from a run of another Dag; Airflow 2 finds that run by its date alone."""
    ti = get_current_context()["ti"]  # noqa: AIR301 - of Airflow 2 only where that runs
    where = {"run_id": run_id} if RELEASE >= (3, 0) else {"include_prior_dates": True}
    return ti.xcom_pull(dag_id=dag_id, task_ids=task_id, **where)

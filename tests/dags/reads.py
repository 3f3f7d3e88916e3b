"""A run in which single values are stored elsewhere: returned, pushed, mapped over, and of mapped tasks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from airflow.sdk import dag, get_current_context, task

from airflow_xcom.backend import stored

FRAME = pd.DataFrame({"a": np.arange(1000), "b": [f"row {row}" for row in range(1000)], "c": np.arange(1000.0)})


@task
def whole() -> pd.DataFrame:
    return stored(FRAME, store="archive")


@task(multiple_outputs=True)
def outputs() -> dict[str, Any]:
    return {"frame": stored(FRAME, store="archive"), "count": 3, "plain": stored([1, 2], inline=False)}


@task
def pushes() -> None:
    get_current_context()["ti"].xcom_push(key="part", value=stored({"n": 1}, store="archive"))


@task
async def later() -> pd.DataFrame:
    await asyncio.sleep(0)
    return stored(FRAME, store="archive")


@task
def numbers() -> list[int]:
    return stored([1, 2, 3], store="archive")


@task
def pairs() -> dict[str, int]:
    return stored({"x": 1, "y": 2}, store="archive")


@task
def times(number: int) -> pd.DataFrame:
    return stored(FRAME * number, store="archive")


@task
def length(pair: Any) -> int:
    return len(pair)


@task.short_circuit
def nothing() -> list[int]:
    return stored([], store="archive")


@task
def not_reached() -> None: ...


@task
def use(frame: Any, part: Any, later_frame: Any, products: Any, lengths: Any) -> str:
    assert type(frame) is pd.DataFrame
    pd.testing.assert_frame_equal(frame, FRAME)
    pd.testing.assert_frame_equal(part, FRAME)
    pd.testing.assert_frame_equal(later_frame, FRAME)
    assert [int(product["a"].sum()) for product in products] == [int(FRAME["a"].sum()) * n for n in (1, 2, 3)]
    assert list(lengths) == [2, 2]
    instance = get_current_context()["ti"]
    assert instance.xcom_pull(task_ids="pushes", key="part") == {"n": 1}
    assert instance.xcom_pull(task_ids="outputs", key="plain") == [1, 2]
    assert instance.xcom_pull(task_ids="outputs", key="count") == 3
    assert type(instance.xcom_pull(task_ids="outputs")["frame"]) is pd.DataFrame
    return "used"


@dag(schedule=None, start_date=datetime(2024, 1, 1))
def reads() -> None:
    pushed = pushes()
    used = use(whole(), outputs()["frame"], later(), times.expand(number=numbers()), length.expand(pair=pairs()))
    pushed >> used
    nothing() >> not_reached()


reads_dag = reads()

if __name__ == "__main__":
    print("state:", reads_dag.test().state)  # noqa: T201

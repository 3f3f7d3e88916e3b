"""Dags that measure themselves: publishing and reading beside XComs, runs with many events, and state."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from airflow.sdk import Asset, dag, get_current_context, task

from airflow_xcom.backend import latest, publish, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ["ASSET_ROUNDS"])
ROWS = int(os.environ["ASSET_ROWS"])
LARGE = [Asset(f"large_{number}") for number in range(ROUNDS)]
MANY, PLAIN = Asset("many"), Asset("plain")
STATE_STORES = {
    "ours": "airflow_xcom.backend.CodecStateStore",
    "stock": "airflow.providers.common.io.state_store.backend.StateStoreObjectStorageBackend",
}
SMALL = {"until": "2026-01-01", "rows": 5}


def frame(rows: int) -> pd.DataFrame:
    """A frame of eight columns of floats."""
    return pd.DataFrame(np.arange(rows * 8, dtype="float64").reshape(rows, 8) / 7, columns=[*"abcdefgh"])


def took(act: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """The seconds of a call."""
    began = time.perf_counter()
    act(*arguments, **options)
    return time.perf_counter() - began


@dag(schedule=None)
def large() -> None:
    """Each round pushes and publishes the same frame, in turn first one and then the other."""

    @task(outlets=[*LARGE, MANY, PLAIN])
    def write() -> dict[str, list[float]]:
        ti, value = get_current_context()["ti"], frame(ROWS)
        publish(frame(1), MANY)  # which also imports what is needed
        ti.xcom_push(key="small", value=frame(1000))
        publish(frame(1), PLAIN)
        found: dict[str, list[float]] = {"push": [], "publish": []}
        for number, asset in enumerate(LARGE):
            for way in list(found)[:: 1 if number % 2 else -1]:
                pushes = {"key": asset.name, "value": value}
                found[way].append(took(ti.xcom_push, **pushes) if way == "push" else took(publish, value, asset))
        return found

    @task
    def read() -> dict[str, list[float]]:
        ti = get_current_context()["ti"]
        latest(PLAIN)
        ti.xcom_pull(task_ids="write", key="small")
        found: dict[str, list[float]] = {"pull": [], "latest": []}
        for number, asset in enumerate(LARGE):
            for way in list(found)[:: 1 if number % 2 else -1]:
                pull = {"task_ids": "write", "key": asset.name}
                found[way].append(took(ti.xcom_pull, **pull) if way == "pull" else took(latest, asset))
        return found

    write() >> read()


@dag(schedule=None)
def many() -> None:
    """Finding, pinning and reading the newest of many versions, beside a plain pull."""

    @task
    def give() -> pd.DataFrame:
        return frame(1)

    @task
    def read() -> dict[str, list[float]]:
        ti = get_current_context()["ti"]
        latest(PLAIN)
        ti.xcom_pull(task_ids="give")
        found: dict[str, list[float]] = {"pull": [], "latest": []}
        for _ in range(3 * ROUNDS):
            found["pull"].append(took(ti.xcom_pull, task_ids="give"))
            found["latest"].append(took(latest, MANY, refresh=True))  # it does all that the first question does
        return found

    give() >> read()


@dag(schedule=[PLAIN], is_paused_upon_creation=True)
def triggered() -> None:
    """Tell when the task began."""

    @task
    def start() -> float:
        return time.time()

    start()


@dag(schedule=[MANY], is_paused_upon_creation=True)
def reading() -> None:
    """Read the newest of the events."""

    @task
    def start(value: Any) -> float:
        return time.time() + 0 * len(value)

    start(value_of(MANY))


@dag(schedule=None)
def states() -> None:
    """Set a value and get it, with each backend in turn."""

    @task
    def measure() -> dict[str, Any]:
        from airflow.sdk.execution_time import context

        store = get_current_context()["task_state_store"]

        def turn(name: str, value: Any) -> None:
            os.environ["AIRFLOW__WORKERS__STATE_STORE_BACKEND"] = STATE_STORES[name]
            context._get_worker_state_store_backend.cache_clear()  # noqa: SLF001 - there is no public way
            store.set("key", value)
            store.get("key")

        found: dict[str, Any] = {}
        for number in range(1 + 3 * ROUNDS):
            for what, value in {"small": SMALL, "frame": frame(16_384)}.items():
                for name in list(STATE_STORES)[:: 1 if number % 2 else -1]:
                    times = found.setdefault(f"{name} {what}", [])
                    try:
                        times.append(took(turn, name, value))
                    except TypeError as error:
                        found[f"{name} {what}"] = [f"refused: {type(error).__name__}"]
        return {name: times[1:] or times for name, times in found.items()}

    measure()


for made in (large, many, triggered, reading, states):
    made()

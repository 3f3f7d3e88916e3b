"""What a backend meets in one run: own types, retries, rewritten keys, branches, mapped tasks, several keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from airflow.sdk import dag, get_current_context, task

from airflow_xcom.codecs import codec


@codec("journey.point")
@dataclass(frozen=True)
class Point:
    x: int
    at: datetime


class Grid:
    def __init__(self, origin: tuple[int, int], cells: np.ndarray[Any, Any]) -> None:
        self.origin = origin
        self.cells = cells


@codec("journey.grid", handles=Grid)
class GridCodec:
    def encode(self, grid: Grid) -> dict[str, Any]:
        return {"origin": grid.origin, "cells": grid.cells}

    def decode(self, node: dict[str, Any], version: int) -> Grid:
        return Grid(**node)


CELLS = np.arange(50_000.0)


@task
def make() -> dict[str, Any]:
    return {"point": Point(1, datetime(2024, 1, 1)), "grid": Grid((1, 2), CELLS)}


@task
def use(made: dict[str, Any]) -> str:
    assert type(made["point"]) is Point
    assert made["point"] == Point(1, datetime(2024, 1, 1))
    assert type(made["grid"]) is Grid
    assert made["grid"].origin == (1, 2)
    assert (made["grid"].cells == CELLS).all()
    made["grid"].cells[0] = 5
    return "used"


@task(retries=1, retry_delay=timedelta(0))
def flaky() -> Any:
    instance = get_current_context()["ti"]
    if instance.try_number == 1:
        instance.xcom_push(key="part", value=CELLS + 1)
        raise RuntimeError("the first try fails after it pushed")
    instance.xcom_push(key="part", value=CELLS + 2)
    instance.xcom_push(key="part", value=CELLS + 3)
    return instance.xcom_pull(task_ids="flaky", key="part")


@task
def check(value: Any) -> None:
    assert (value == CELLS + 3).all()


@task.branch
def branch() -> str:
    return "taken"


@task
def taken() -> None: ...


@task
def skipped() -> None: ...


@task
def frames() -> list[pd.DataFrame]:
    return [pd.DataFrame({"n": np.arange(size)}) for size in (1, 2, 3)]


@task
def double(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[:, "n"] *= 2
    return frame


@task
def total(doubled: Any) -> int:
    assert all(type(frame) is pd.DataFrame for frame in doubled)
    return sum(int(frame["n"].sum()) for frame in doubled)


@dag(schedule=None, start_date=datetime(2024, 1, 1))
def journey() -> None:
    use(make())
    check(flaky())
    branch() >> [taken(), skipped()]
    total(double.expand(frame=frames()))


journey_dag = journey()

if __name__ == "__main__":
    print("state:", journey_dag.test().state)  # noqa: T201

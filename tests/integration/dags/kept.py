"""Dags whose values are kept for a while: by number of runs, and by age."""

from __future__ import annotations

import numpy as np
from airflow.sdk import dag, task


@task
def extract() -> np.ndarray:
    return np.arange(20_000)


@task
def use(numbers: np.ndarray) -> int:
    return int(numbers.sum())


@dag(schedule=None, tags=["xcom:keep=1run"])
def kept_by_number() -> None:
    use(extract())


@dag(schedule=None, tags=["xcom:keep=7d"])
def kept_by_age() -> None:
    extract()


kept_by_number()
kept_by_age()

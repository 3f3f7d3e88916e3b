"""A frame that is written on one host and read on the other: each has a queue of its name."""

from __future__ import annotations

import numpy as np
import pandas as pd
from airflow.sdk import dag, task


@task(queue="worker-1")
def write() -> pd.DataFrame:
    """Too large for a row of the database."""
    return pd.DataFrame({"n": np.arange(100_000)})


@task(queue="worker-2")
def read(frame: pd.DataFrame) -> int:
    """The sum says that the frame has come."""
    return int(frame["n"].sum())


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def two_hosts() -> None:
    """From the one to the other."""
    read(write())


two_hosts()

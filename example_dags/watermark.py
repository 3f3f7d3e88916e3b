"""Keep in an asset's state how far each sensor was read: a frame with zoned times, not text that each run parses.

It needs Airflow 3.3 and ``[workers] state_store_backend = airflow_xcom.backend.CodecStateStore``.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from airflow.sdk import Asset, dag, task

READINGS = Asset("sensor_readings")
START = pd.Timestamp("2024-10-26", tz="Europe/Berlin")


@task(outlets=[READINGS])
def load(asset_state_store: Any = None) -> pd.DataFrame:
    """Return a day of readings of each sensor after those that were read, and remember how far that is."""
    state = asset_state_store[READINGS]
    seen = state.get("seen")
    if seen is None:
        sensors = pd.CategoricalIndex(["attic", "cellar", "garden"], name="sensor")
        seen = pd.DataFrame({"until": START.as_unit("us"), "rows": pd.array([0, 0, pd.NA], "Int64")}, index=sensors)
    new = read(seen["until"])
    counted = new.groupby("sensor", observed=False)["value"].agg("count")
    state.set("seen", seen.assign(until=seen["until"] + pd.Timedelta(days=1), rows=seen["rows"] + counted))
    return new


def read(since: pd.Series) -> pd.DataFrame:
    """Return what the source has for the day after these times."""
    hours = [pd.date_range(begin, periods=24, freq="h") for begin in since]
    frames = [
        pd.DataFrame({"at": each, "value": 20.0}).assign(sensor=name)
        for name, each in zip(since.index, hours, strict=True)
    ]
    return pd.concat(frames, ignore_index=True).astype({"sensor": since.index.dtype})


@task
def means(new: pd.DataFrame) -> pd.Series:
    """Return the mean of each sensor."""
    return new.groupby("sensor", observed=False)["value"].mean()


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def watermark() -> None:
    """Read on from where the last run stopped."""
    means(load())


watermark()

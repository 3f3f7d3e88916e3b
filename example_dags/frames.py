"""Pass frames with a regular time index, levels, labels and attributes, all of which come back."""

from __future__ import annotations

import numpy as np
import pandas as pd
from airflow.sdk import dag, task


@task
def readings() -> pd.DataFrame:
    """Return two weeks of hourly readings over the end of summer time, with gaps."""
    hours = pd.date_range("2024-10-20", periods=14 * 24, freq="h", tz="Europe/Berlin", name="hour")
    values = np.random.default_rng(7).normal(20.0, 4.0, (len(hours), 2))
    frame = pd.DataFrame(values, index=hours, columns=["indoor", "outdoor"])
    frame.loc[frame.index[::50], "outdoor"] = np.nan
    frame.attrs["unit"] = "°C"
    return frame


@task
def daily(frame: pd.DataFrame) -> pd.DataFrame:
    """Return columns in two levels, and a row for each day."""
    if frame.index.freq != "h":
        raise ValueError(f"the frequency of the index was lost: {frame.index.freq!r}")
    days = frame.resample("D").agg(["min", "max"])
    return days.set_axis(days.index.tz_localize(None).to_period("D"))


@task
def widest_day(days: pd.DataFrame) -> pd.Series:
    """Return the day on which the temperature outside varied most."""
    spread = days["outdoor"]["max"] - days["outdoor"]["min"]
    return days.loc[spread.idxmax()]


@task
def correct(frame: pd.DataFrame) -> pd.DataFrame:
    """Change the pulled frame in place."""
    frame.loc[frame.index[0], "indoor"] = 21.5
    frame["outdoor"] = frame["outdoor"].interpolate()
    return frame


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def frames() -> None:
    """Let two tasks pull one frame."""
    frame = readings()
    widest_day(daily(frame))
    correct(frame)


frames()

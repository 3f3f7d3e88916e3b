"""Two hundred frames, each corrected by a task of its own, and then compared with what they have to be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from airflow.sdk import dag, task

from airflow_xcom.codecs.testing import difference

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAMES = int(os.environ.get("XCOM_DEMO_FRAMES", "200"))
HOURS = 2000  # enough for a frame to be a blob by the default threshold


def readings(sensor: int) -> pd.DataFrame:
    """Hourly readings with a zone, categories, and counts of which some are missing."""
    random = np.random.default_rng(sensor)
    hours = pd.date_range("2024-01-01", periods=HOURS, freq="h", tz="Europe/Berlin", name="hour")
    counts = pd.array(random.poisson(3.0, HOURS), "Int64")
    counts[:: sensor + 2] = pd.NA
    columns = {
        "value": random.normal(20.0, 4.0, HOURS),
        "quality": pd.Categorical.from_codes(random.integers(0, 3, HOURS), ["good", "fair", "poor"], ordered=True),
        "count": counts,
    }
    frame = pd.DataFrame(columns, index=hours)
    frame.attrs["sensor"] = sensor
    return frame


def corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame itself, changed in place."""
    frame["value"] -= frame["value"].mean()
    frame["above"] = frame["value"] > 0.0
    frame.attrs["corrected"] = True
    return frame


@task
def collect() -> list[pd.DataFrame]:
    """One frame for each sensor."""
    return [readings(sensor) for sensor in range(FRAMES)]


@task
def correct(frame: pd.DataFrame) -> pd.DataFrame:
    """The task that is mapped."""
    return corrected(frame)


@task
def compare(frames: Iterable[pd.DataFrame]) -> dict[str, int]:
    """How many frames there are; all of them are what the same functions give without a task between them."""
    found = list(frames)
    pairs = [(corrected(readings(sensor)), frame) for sensor, frame in enumerate(found)]
    differences = [text for expected, frame in pairs if (text := difference(expected, frame))]
    if len(found) != FRAMES or differences:
        raise ValueError(f"{len(found)} frames, of which {len(differences)} are not exact: {differences[:3]}")
    return {"frames": len(found), "exact": len(found) - len(differences)}


@dag(schedule=None, catchup=False, max_active_tasks=FRAMES, tags=["airflow-xcom-codecs"])
def many_frames() -> None:
    """Map, then compare."""
    compare(correct.expand(frame=collect()))


many_frames()

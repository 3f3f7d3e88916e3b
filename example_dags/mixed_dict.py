"""Pass one dict with values that JSON would change, lose or refuse; all come back as they were."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from airflow.sdk import dag, task

from airflow_xcom.backend import lazy, takes_lazy

BERLIN = ZoneInfo("Europe/Berlin")


# Without this, TaskFlow would push every key of the dict as an XCom of its own.
@task(multiple_outputs=False)
def collect() -> dict[str, Any]:
    """Return the result of a training run."""
    return {
        "loss": math.nan,
        "best": -math.inf,
        "steps": 2**70,
        "price": Decimal("1.10"),
        "share": Fraction(1, 3),
        "roots": (1 + 2j, 1 - 2j),
        "by_rank": {1: "gold", 2: "silver", None: "unplaced"},
        "labels": {"cat", "dog"},
        "run": UUID("6f1c7b1e-2f5a-4c7e-9d55-0d3a5b7c9e11"),
        "file": PurePosixPath("/data/model.bin"),
        "digest": b"\x00\xff",
        "day": date(2024, 10, 27),
        "at": time(2, 30, tzinfo=UTC),
        "second_half_past_two": datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        "took": timedelta(hours=1, microseconds=1),
        "weights": np.linspace(0.0, 1.0, 6, dtype="float32").reshape(2, 3),
        "accuracy": np.float64(0.93),
        "history": pd.DataFrame({"epoch": [1, 2], "loss": [0.7, None]}).set_index("epoch"),
    }


# Airflow records the arguments of a task as JSON, and fails the task if one of them holds a NaN in a dict or list (seen
# in 3.3.2).  A lazy argument is not recorded.
@task
@takes_lazy
def check(result: dict[str, Any]) -> list[str]:
    """Return the type of every value, as the next task sees it."""
    if not math.isnan(result["loss"]) or result["by_rank"][1] != "gold" or result["second_half_past_two"].fold != 1:
        raise ValueError("a value was changed on the way")
    return [f"{name}: {type(value).__qualname__}" for name, value in result.items()]


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def mixed_dict() -> None:
    """Pass the dict from one task to the next."""
    check(lazy(collect()))


mixed_dict()

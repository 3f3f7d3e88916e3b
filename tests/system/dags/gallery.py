"""One value of each kind that the Data tab shows in a way of its own, and names that attack a page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from airflow.sdk import Asset, dag, get_current_context, task

from airflow_xcom.backend import publish

OFFERS = Asset("offers", uri="file:///lake/offers")
ATTACK = "<img src=x onerror=\"parent.document.title='attacked'\">"


def values() -> dict[str, Any]:
    """Each value, by its key."""
    x, y = np.meshgrid(np.linspace(-3, 3, 120), np.linspace(-3, 3, 80))
    hours = pd.date_range("2024-01-01", periods=500, freq="h", tz="Europe/Berlin")
    return {
        "return_value": {
            "price": Decimal("1.10"),
            "at": datetime(2024, 10, 27, 2, 30, tzinfo=UTC),
            "levels": [{"name": "first", "sizes": [1, 2, 3]}, {"name": "second", "sizes": []}],
            "frame": pd.DataFrame({"epoch": [1, 2], "loss": [0.7, None]}),
            "weights": np.arange(6.0).reshape(2, 3),
        },
        "heat": np.sin(x) * np.cos(y),
        "line": np.cumsum(np.random.default_rng(17).normal(size=20_000)),
        "plain": {"model": "baseline", "scores": [0.5, 0.75], "labels": ["cat", "dog"] * 40},
        "temperature": pd.Series(np.sin(np.arange(500) / 24), hours, name="temperature"),
        "empty": pd.DataFrame({"name": pd.Series([], dtype="str"), "count": pd.Series([], dtype="int64")}),
        "wide": pd.DataFrame([range(10_000)], columns=[f"column {number}" for number in range(10_000)]),
        ATTACK: pd.DataFrame({ATTACK: [ATTACK, "=1+1"], "名前": ["日本", "متن"]}),
        "attack in a tree": (ATTACK, {ATTACK: ATTACK}),
    }


@task(multiple_outputs=False)
def show() -> Any:
    """Push each value under its key."""
    pushed = values()
    for key, value in pushed.items():
        if key != "return_value":
            get_current_context()["ti"].xcom_push(key, value)
    return pushed["return_value"]


@task
def trips(*, changed: bool) -> pd.DataFrame:
    """Return 60,000 flights; in a run that is told so with another dtype, three other texts and more missing values."""
    from flights import extract

    frame: pd.DataFrame = extract.function()[:60_000]
    if changed:
        frame["distance"] = frame["distance"].astype("float32")
        frame.loc[[3, 40_000, 59_999], "tailnum"] = "planted"
        frame.loc[:9_999, "air_time"] = None
    return frame


@task(outlets=[OFFERS])
def offer(*, changed: bool) -> None:
    """Publish two prices, one of which is another in a run that is told so."""
    publish(pd.DataFrame({"price": [1.0, 3.0 if changed else 2.0]}), OFFERS)


@dag(schedule=None, catchup=False, params={"changed": False}, render_template_as_native_obj=True)
def gallery() -> None:
    """Push values of many kinds."""
    show()
    trips(changed="{{ params.changed }}")
    offer(changed="{{ params.changed }}")


gallery()

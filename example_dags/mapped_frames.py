"""Map a task over a list of frames, then gather the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from airflow.sdk import dag, task

if TYPE_CHECKING:
    from collections.abc import Iterable


@task
def split() -> list[pd.DataFrame]:
    """Return one frame of orders for each shop."""
    random = np.random.default_rng(11)
    shops = pd.Categorical.from_codes(random.integers(0, 3, 3000), ["Aarhus", "Brno", "Cork"])
    orders = pd.DataFrame({"shop": shops, "amount": random.gamma(2.0, 20.0, 3000).round(2)})
    return [part for _, part in orders.groupby("shop", observed=True)]


@task
def totals(orders: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each shop; the category and its levels are kept."""
    return orders.groupby("shop", observed=True)["amount"].agg(["count", "sum"])


@task
def gather(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of all mapped tasks in one."""
    return pd.concat(list(parts)).sort_values("sum", ascending=False)


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def mapped_frames() -> None:
    """Map, then reduce."""
    gather(totals.expand(orders=split()))


mapped_frames()

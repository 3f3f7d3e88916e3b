"""The values behind the golden payloads that are compressed: name -> value and compression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def _tree() -> Any:
    records = [{"id": number, "name": f"n{number % 7}"} for number in range(500)]
    return {"a": np.arange(2000) % 50, "raw": np.random.default_rng(1).random(600), "records": records, "f": _frame()}


def _frame() -> pd.DataFrame:
    rows = np.arange(6000)
    delay = np.where(rows % 11 == 0, np.nan, rows % 90.0)
    return pd.DataFrame({"n": rows % 100, "delay": delay, "x": rows / 7, "name": [f"name {row % 9}" for row in rows]})


GOLDEN_COMPRESSED: dict[str, tuple[Callable[[], Any], str]] = {
    f"{name}-{compression.replace(':', '-')}": (make, compression)
    for name, make in (("tree", _tree), ("frame", _frame))
    for compression in ("lz4", "zstd:3", "auto")
}

"""The values behind the golden payloads that are compressed, or have an index: name -> value and compression."""

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


def _items() -> list[Any]:
    noise = np.random.default_rng(2)
    frames = [_frame().iloc[start : start + 400].reset_index(drop=True) for start in range(0, 2400, 400)]
    return [{"name": f"n{at}", "frame": frame, "raw": noise.random(600 + at)} for at, frame in enumerate(frames)]


GOLDEN_LISTS: dict[str, tuple[Callable[[], Any], str]] = {
    "items": (_items, "none"),
    "items-zstd-3": (_items, "zstd:3"),
    "texts": (lambda: ["é" * 20_000, "x" * 50_000, None, ["y" * 5000]], "none"),
}

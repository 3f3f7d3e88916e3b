"""Measure compressions and thresholds on data and a store of your own, and recommend settings."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Effort, measure, prepare_imports
from benchmarks.results import BOTH
from benchmarks.tables import Table, markdown, seconds, size
from benchmarks.ways import OPTIONS, Ours, Way

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.results import Result

__all__ = ["advise", "read"]

COMPRESSIONS = ("none", "lz4", "zstd:1", "zstd:3", "auto")
AS_FAST = 1.1  # times the fastest: medians do not show smaller differences
# A row goes through the API server in one request while the task waits: what is larger belongs in a store.
THRESHOLDS = (4096, 16384, 49152, 262144)


def advise(options: argparse.Namespace) -> int:
    """Measure, and print the tables and the lines for the configuration."""
    # As Airflow's own commands do: connections then come from the metadata database too (3.2 on).
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    value = read(options.data)
    prepare_imports()
    logging.getLogger("airflow_xcom").setLevel(logging.ERROR)
    effort = Effort(options.rounds or 5, seconds=30, batch=0.1)
    with tempfile.TemporaryDirectory(prefix="airflow-xcom-bench-") as folder:
        base = Path(folder)
        ways = tuple(_way(name, options.store, COMPRESSION=name, THRESHOLD="0") for name in COMPRESSIONS)
        whole = measure(Own("all of it", value), ways, effort, base, lambda _: None)
        _refuse_faults(whole)
        places = (_way("row", options.store, THRESHOLD="-1"), _way("store", options.store, THRESHOLD="0"))
        parts = {
            limit: measure(Own(size(limit), _head(value, limit / whole.bytes)), places, effort, base, lambda _: None)
            for limit in THRESHOLDS
            if limit <= whole.bytes
        }
    compression, threshold = _compression(whole), _threshold(parts)
    print(markdown(_compressions(options.data.name, whole)))
    if parts:
        print(markdown(_thresholds(parts)))
    print(_lines(options.store, compression, threshold))
    return 0


def read(path: Path) -> Any:
    """Return the value of a file; nothing is ever unpickled."""
    import numpy as np
    import pandas as pd

    readers: dict[str, Callable[[Path], Any]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".feather": pd.read_feather,
        ".arrow": pd.read_feather,
        ".json": lambda file: json.loads(file.read_text()),
        ".npy": lambda file: np.load(file, allow_pickle=False),
    }
    if path.suffix.lower() not in readers:
        sys.exit(f"{path}: give a file that ends with one of {', '.join(readers)}; reading a pickle would run code")
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")


@dataclass(frozen=True)
class Own:
    """A value of your own, as a workload."""

    label: str
    value: Any
    family: str = "own data"
    bytes: int = 0

    @property
    def name(self) -> str:
        """Return the name in the report."""
        return f"{self.family}, {self.label}"

    def make(self) -> Any:
        """Return the value."""
        return self.value

    def part(self, count: int) -> Any:
        """Return its first rows, elements or items."""
        return _head(self.value, count / max(_length(self.value), 1))


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 1


def _head(value: Any, share: float) -> Any:
    """Return the first rows, elements or items of a value."""
    count = max(int(_length(value) * min(share, 1.0)), 1)
    if isinstance(value, dict):
        return dict(list(value.items())[:count])
    return value[:count] if hasattr(value, "__getitem__") and getattr(value, "ndim", 1) else value


class Stored(Ours):
    """The backend with some options, over a store that may be remote."""

    in_memory = False

    def __init__(self, folder: Path) -> None:
        configured = os.environ.get(f"{OPTIONS}PATH")
        super().__init__(folder)
        if f"{OPTIONS}PATH" not in self.options:
            os.environ.pop(f"{OPTIONS}PATH")
            if configured is not None:
                os.environ[f"{OPTIONS}PATH"] = configured

    def size(self, row: Any) -> int:
        envelope = row.get("airflow_xcom", {}) if isinstance(row, dict) else {}
        return int(envelope["ref"]["size"]) if "ref" in envelope else 0


def _way(name: str, store: str | None, **options: str) -> type[Way]:
    options = {**options, **({"PATH": store} if store else {})}
    return type(name, (Stored,), {"name": name, "options": {f"{OPTIONS}{key}": text for key, text in options.items()}})


def _refuse_faults(result: Result) -> None:
    for way, found in result.ways.items():
        if found.refused or found.differs:
            sys.exit(f"{way}: {found.refused or found.differs}")


def _compression(result: Result) -> str:
    """Return the compression that writes least, of those that are about as fast as the fastest."""
    times = {way: found.median(BOTH) or 0.0 for way, found in result.ways.items()}
    fast = [way for way, taken in times.items() if taken <= AS_FAST * min(times.values())]
    return min(fast, key=lambda way: result.ways[way].disk)


def _threshold(parts: dict[int, Result]) -> int:
    """Return the largest size up to which the row is no slower than the store; 0 if the store is always faster."""
    threshold = 0
    for limit, result in parts.items():
        row, store = (result.ways[way].median(BOTH) for way in ("row", "store"))
        if row is None or store is None or row > store:
            break
        threshold = limit
    return threshold


def _compressions(name: str, result: Result) -> Table:
    rows = [
        (
            way,
            size(found.disk),
            *(seconds(found.median(parts)) for parts in (("push",), ("pull",), BOTH)),
            _spread(found),
        )
        for way, found in result.ways.items()
    ]
    about = "Medians; the spread is of push and pull together."
    return Table(f"{name}: compressions", about, ("compression", "size", "push", "pull", "both", "spread"), rows)


def _spread(found: Any) -> str:
    totals = found.totals(BOTH)
    return f"{seconds(min(totals))} to {seconds(max(totals))}"


def _thresholds(parts: dict[int, Result]) -> Table:
    rows = [
        (size(limit), *(seconds(result.ways[way].median(BOTH)) for way in ("row", "store")))
        for limit, result in parts.items()
    ]
    about = (
        "Push and pull of the first part of the data, in the row or in the store. The time of the database is not "
        f"included, so nothing above {size(THRESHOLDS[-1])} is recommended."
    )
    return Table("Thresholds", about, ("size", "in the row", "in the store"), rows)


def _lines(store: str | None, compression: str, threshold: int) -> str:
    why = "the smallest that is within a tenth of the fastest"
    path = f"path = {store}\n" if store else ""
    return (
        f"Recommended: compression = {compression}, {why};\n"
        f"threshold = {threshold}, up to which the row is no slower.\n\n"
        f"[xcom_codecs]\n{path}compression = {compression}\nthreshold = {threshold}\n"
    )

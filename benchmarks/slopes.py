"""Measure how the processor time of sets and of what repeats grows with the number of elements.

``python3 dev.py script benchmarks/slopes.py 10000 100000 1000000`` pushes and pulls values of so many elements, the
same by pickle-5, and makes their sets again by ``set(list)``. It prints nanoseconds an element, the shortest of several
rounds that take turns, and the slope: of the line through the logarithms of time and size, 1 where time is linear.
Memory that no cache holds makes large sets slower per element in every way; compare the slopes of one run. Where its
elements lie in memory has nothing to do with the order of a set; "list in the order of a set" has them in that order.
"elsewhere" is pickle-5's loads in a process in which texts have other hashes, as in every other task: where hashes are
the same, a set is made again in the order in which its table lies, which is faster.
"over set(list)" is the slope of the ratio to ``set(list)``: below 0, time grows less than that of Python's own set.
"""

from __future__ import annotations

import argparse
import os
import pickle  # noqa: TID251 - what we are compared with
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.results import slope
from benchmarks.workloads import random

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
COLUMNS = ("push", "pull", "pickle-5", "its loads", "elsewhere", "set(list)")
ELSEWHERE = f"""
import pickle, sys, time
dumped, spent = sys.stdin.buffer.read(), []
for _ in range({ROUNDS}):
    began = time.process_time()
    pickle.loads(dumped)
    spent.append(time.process_time() - began)
print(min(spent))
"""


def ints(count: int) -> list[int]:
    """Return so many different ints."""
    numbers: list[int] = (random().permutation(count) * 1_000_003).tolist()
    return numbers


def places(count: int) -> list[dict[str, Any]]:
    """Return a list in which each dict stands in ten places."""
    return [{"number": number, "text": str(number)} for number in range(count // 10)] * 10


VALUES: dict[str, Callable[[int], Any]] = {
    "list of ints": ints,
    "set of ints": lambda count: set(ints(count)),
    "list in the order of a set": lambda count: list(set(ints(count))),
    "set of consecutive ints": lambda count: set(range(count)),
    "set of texts": lambda count: {f"{number:x}" for number in ints(count)},
    "one dict everywhere": lambda count: [{"number": 1, "text": "one"}] * count,
    "dicts in ten places each": places,
}


def rounds(way: Any, value: Any) -> list[float]:
    """Return the shortest time of each column; of ``set(list)`` only for sets."""
    elements = list(value)
    best = [float("inf")] * (len(COLUMNS) - 1)
    for _ in range(ROUNDS):
        clock = [time.process_time()]
        row = way.push(value)
        clock.append(time.process_time())
        way.pull(row)
        clock.append(time.process_time())
        way.drop(row)
        clock.append(time.process_time())
        dumped = pickle.dumps(value, 5)
        clock.append(time.process_time())
        pickle.loads(dumped)
        clock.append(time.process_time())
        set(elements) if type(value) is set else None
        clock.append(time.process_time())
        spent = [after - before for before, after in pairwise(clock)]
        best = list(map(min, best, [*spent[:2], *spent[3:]]))
    best.insert(-1, float(_output(ELSEWHERE, pickle.dumps(value, 5))))
    return best if type(value) is set else best[:-1]


def _output(code: str, data: bytes) -> str:
    """Return what a process prints in which texts have other hashes than here, as in another task."""
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True, env=environment)
    return done.stdout.decode()


def main() -> None:
    """Print a table for each kind of value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--only", choices=VALUES, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_HOME"] = str(Path(folder, "airflow"))
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
        from benchmarks.ways import Ours

        way = Ours(Path(folder))
        for name in options.only or VALUES:
            print(f"{name:26}" + "".join(f"{column:>12}" for column in COLUMNS))
            found = [rounds(way, VALUES[name](count)) for count in options.counts]
            for count, best in zip(options.counts, found, strict=True):
                print(f"{count:>26,}" + "".join(f"{seconds / count * 1e9:>10.0f} ns" for seconds in best))
            slopes = [slope(zip(options.counts, seconds, strict=True)) for seconds in zip(*found, strict=True)]
            print(f"{'slope':>26}" + "".join(f"{rise or 0:>12.2f}" for rise in slopes), flush=True)
            if len(slopes) == len(COLUMNS) and (own := slopes[-1]) is not None:
                print(
                    f"{'over set(list)':>26}" + "".join(f"{(rise or 0) - own:>+12.2f}" for rise in slopes[:-1]),
                    flush=True,
                )


if __name__ == "__main__":
    main()

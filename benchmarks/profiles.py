"""Where the time of a workload goes: the parts of push and pull, and the functions that take the most of it."""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.floors import WHOLES, parts
from benchmarks.ways import Ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.workloads import Workload

__all__ = ["LARGEST", "functions", "profiled"]

REPEATS = 7
LARGEST = 100_000_000  # bytes of a value whose profile a run of the targets adds
LONG = 2.0  # seconds after which nothing is repeated
MOST = 6  # functions
SHARE = 0.02  # of the time, below which nothing is shown
ROOT = Path(__file__).resolve().parents[1]


def profiled(workload: Workload, folder: Path) -> str:
    """Return a Markdown table of the median milliseconds of each part alone, and of the functions by their own time.

    The functions are those of ``encode`` and ``decode`` under a profiler, which makes calls slower than they are.
    """
    value = workload.make()
    ours = Ours(folder)
    parts(ours, value)
    began = time.monotonic()
    rounds = [parts(ours, value)]
    while len(rounds) < REPEATS and time.monotonic() - began < LONG:
        rounds.append(parts(ours, value))
    medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    lines = [f"### {workload.name}", "", "| part | ms | of the whole |", "| --- | --: | --: |"]
    for whole in WHOLES:
        own = {name: seconds for name, seconds in medians.items() if name.startswith(f"{whole}: ")}
        own[f"{whole}: rest"] = medians[whole] - sum(own.values())
        lines.append(_line(f"**{whole}**", medians[whole], medians[whole]))
        lines += [_line(name, seconds, medians[whole]) for name, seconds in own.items()]
    encoded = ours.encode(value)
    received = ours.received(encoded)
    for name, act in (
        ("encode", lambda: ours.encode(value)),
        ("decode", lambda: ours.decode(received)),
    ):
        lines += ["", *functions(name, act)]
    return "\n".join([*lines, ""])


def _line(name: str, seconds: float, whole: float) -> str:
    return f"| {name} | {seconds * 1e3:.2f} | {seconds / whole:.0%} |"


def functions(name: str, act: Callable[[], Any]) -> list[str]:
    """Return the lines of a table of the functions that take the most of the time."""
    return [
        f"| {name}: own time of | share |",
        "| --- | --: |",
        *(f"| {place} | {share:.0%} |" for place, share in _shares(act)),
    ]


def _shares(act: Callable[[], Any]) -> list[tuple[str, float]]:
    """Return function -> share of the time, the largest first."""
    profile = cProfile.Profile()
    profile.runcall(act)
    stats: Any = pstats.Stats(profile)
    found = [(_place(*where), own / stats.total_tt) for where, (_, _, own, _, _) in stats.stats.items()]
    return [(place, share) for place, share in sorted(found, key=lambda one: -one[1])[:MOST] if share >= SHARE]


def _place(file: str, _line: int, name: str) -> str:
    path = Path(file)
    if path.is_relative_to(ROOT):
        file = f"{path.relative_to(ROOT)}: "
    elif file == "~":
        file = ""
    else:
        file = f"{'/'.join(path.parts[-2:])}: "
    return f"{file}{name}".replace("|", "or")

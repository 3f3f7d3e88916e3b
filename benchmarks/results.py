"""The results of a run, and the figures that are computed from them."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["BOTH", "HOOKS", "MEMORY", "PARTS", "Measured", "Ratio", "Result", "Run", "slope"]

PARTS = ("push", "pull", "json", "encode", "decode")
BOTH = ("push", "pull", "json")  # of a value brought over
HOOKS = ("push", "pull")  # of what Airflow calls, without the JSON of the row, which it makes in any case
MEMORY = ("encode", "decode")  # without a store


@dataclass
class Measured:
    """One way with one value.

    Attributes:
        refused: the error, if it cannot take the value or give it back.
        differs: the first difference, if another value came back.
        disk: bytes of the row as JSON and of the files.
        extra: the bytes by which push and pull raised the peak of resident memory.
        seconds: for each of :data:`PARTS` the median of each round.
    """

    refused: str | None = None
    differs: str | None = None
    disk: int = 0
    extra: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def totals(self, parts: Iterable[str]) -> list[float]:
        """Return the sum of these parts in each round; an empty list if they were not measured."""
        rounds = [self.seconds.get(part, []) for part in parts]
        return [sum(values) for values in zip(*rounds, strict=False)]

    def median(self, parts: Iterable[str]) -> float | None:
        """Return the median of the rounds, in seconds."""
        totals = self.totals(parts)
        return statistics.median(totals) if totals else None


@dataclass(frozen=True)
class Ratio:
    """The time of ours divided by that of another way: of the medians, and the least and the most in one round."""

    middle: float
    low: float
    high: float
    rounds: int


@dataclass
class Result:
    """One workload, all ways."""

    name: str
    family: str
    label: str
    bytes: int
    ways: dict[str, Measured] = field(default_factory=dict)

    def ratio(self, base: str, parts: Iterable[str] = BOTH, *, ours: str = "ours") -> Ratio | None:
        """Return ours to ``base`` in the rounds of both, in which the machine had the same load."""
        parts = tuple(parts)
        mine, theirs = (self.ways.get(way, Measured()).totals(parts) for way in (ours, base))
        if not mine or not theirs:
            return None
        mine, theirs = zip(*zip(mine, theirs, strict=False), strict=True)
        each = [one / other for one, other in zip(mine, theirs, strict=True)]
        return Ratio(statistics.median(mine) / statistics.median(theirs), min(each), max(each), len(each))


@dataclass
class Run:
    """All of a report.

    Attributes:
        machine: facts, for people.
        results: by workload.
        floors: for each value the parts of its push and pull, in seconds.
        imports: seconds of each import, over and over in fresh processes.
        did: how it was called, and how long it took.
    """

    machine: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    imports: dict[str, list[float]] = field(default_factory=dict)
    did: dict[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> Result | None:
        """Return the workload of this name."""
        return next((result for result in self.results if result.name == name), None)

    def families(self) -> dict[str, list[Result]]:
        """Return family -> its workloads, the smallest first."""
        found: dict[str, list[Result]] = {}
        for result in sorted(self.results, key=lambda result: result.bytes):
            found.setdefault(result.family, []).append(result)
        return found

    def save(self, path: Path) -> None:
        """Write the run as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Run:
        """Return the run that :meth:`save` wrote."""
        found = json.loads(path.read_text())
        for result in found["results"]:
            result["ways"] = {name: Measured(**way) for name, way in result["ways"].items()}
        return cls(**{**found, "results": [Result(**result) for result in found["results"]]})


def slope(points: Iterable[tuple[float, float]]) -> float | None:
    """Return the slope of log(time) over log(size), where 1 is linear; None for fewer than two sizes."""
    logs = [(math.log(size), math.log(time)) for size, time in points]
    if len({x for x, _ in logs}) < 2:  # noqa: PLR2004 - through one point go many lines
        return None
    xs, ys = zip(*logs, strict=True)
    return statistics.linear_regression(xs, ys).slope

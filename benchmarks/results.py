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

__all__ = ["BOTH", "HOOKS", "MEMORY", "PARTS", "Measured", "Ratio", "Result", "Run", "fit", "slope"]

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
    """The time of ours divided by that of another way: of the medians, of the minima, the least and most of a round."""

    middle: float
    minimum: float
    low: float
    high: float
    rounds: int


@dataclass
class Result:
    """One workload, all ways; ``memory`` is what making the value added to the resident bytes."""

    name: str
    family: str
    label: str
    bytes: int
    ways: dict[str, Measured] = field(default_factory=dict)
    memory: int = 0

    def ratio(self, base: str, parts: Iterable[str] = BOTH, *, ours: str = "ours") -> Ratio | None:
        """Return ours to ``base`` in the rounds of both, in which the machine had the same load."""
        parts = tuple(parts)
        mine, theirs = (self.ways.get(way, Measured()).totals(parts) for way in (ours, base))
        if not mine or not theirs:
            return None
        mine, theirs = zip(*zip(mine, theirs, strict=False), strict=True)
        each = [one / other for one, other in zip(mine, theirs, strict=True)]
        middle, minimum = statistics.median(mine) / statistics.median(theirs), min(mine) / min(theirs)
        return Ratio(middle, minimum, min(each), max(each), len(each))


@dataclass
class Run:
    """All of a report.

    Attributes:
        machine: facts, for people.
        results: by workload.
        floors: for each value the parts of its push and pull, in seconds.
        imports: seconds of each import, over and over in fresh processes.
        remote: work -> way -> seconds of each push and pull through a server.
        did: how it was called, and how long it took.
        profiles: where the time of workloads goes that miss a target, as Markdown.
        failed: what could not be measured -> why.
    """

    machine: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    imports: dict[str, list[float]] = field(default_factory=dict)
    remote: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    did: dict[str, Any] = field(default_factory=dict)
    profiles: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

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


def fit(points: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """Return the floor in seconds, and the seconds that each byte adds to it; None for fewer than two sizes.

    It makes the sum of the squares of the relative errors least, so that small sizes count as much as large ones.
    """
    known = list(points)
    if len({size for size, _ in known}) < 2:  # noqa: PLR2004 - through one point go many lines
        return None
    weights = [1 / time**2 for _, time in known]
    whole = sum(weights)
    size = sum(weight * size for weight, (size, _) in zip(weights, known, strict=True)) / whole
    time = sum(weight * time for weight, (_, time) in zip(weights, known, strict=True)) / whole
    spread = sum(weight * (one - size) ** 2 for weight, (one, _) in zip(weights, known, strict=True))
    both = sum(weight * (one - size) * (taken - time) for weight, (one, taken) in zip(weights, known, strict=True))
    rate = both / spread
    return time - rate * size, rate


def slope(points: Iterable[tuple[float, float]]) -> float | None:
    """Return the slope of log(time) over log(size), where 1 is linear; None for fewer than two sizes."""
    logs = [(math.log(size), math.log(time)) for size, time in points]
    if len({x for x, _ in logs}) < 2:  # noqa: PLR2004 - through one point go many lines
        return None
    xs, ys = zip(*logs, strict=True)
    return statistics.linear_regression(xs, ys).slope

"""The targets of the design, each with what a run measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.results import BOTH, HOOKS, slope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Ratio, Result, Run

__all__ = ["FROM", "NAMED", "SLOPED", "Verdict", "slopes", "verdicts"]

SLOPED = ("numeric frame", "matrix frame", "mixed frame", "string frame", "flights", "array")
STEEPEST = 1.05
FROM = 900_000  # bytes, about 1 MB: below, the time is that of the floor
NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        work: what is measured.
        target: as in the design.
        measured: the same in figures, with the spread.
        is_met: None if it was not measured.
        note: the ratio to the same with fsync, for instance.
    """

    work: str
    target: str
    measured: str
    is_met: bool | None
    note: str = ""

    @property
    def word(self) -> str:
        """Return the word for the table."""
        return {True: "met", False: "missed", None: "-"}[self.is_met]


@dataclass(frozen=True)
class _Times:
    """At most so many times the time of a way, or at least so many times faster than it."""

    workload: str
    base: str
    most: float
    is_speed: bool = False  # whether ``most`` is one over the times that it is faster
    parts: tuple[str, ...] = BOTH

    def verdict(self, run: Run) -> Verdict:
        goal = f"≥ {1 / self.most:g} × faster than {self.base}" if self.is_speed else f"≤ {self.most:g} × {self.base}"
        found = run.find(self.workload)
        ratio = found.ratio(self.base, self.parts) if found else None
        if found is None or ratio is None:
            return Verdict(self.workload, goal, NOT_MEASURED, None)
        shown = _speed(ratio) if self.is_speed else _ratio(ratio)
        return Verdict(self.workload, goal, shown, ratio.middle <= self.most, self._note(found))

    def _note(self, found: Result) -> str:
        fsync = found.ratio("pickle-5, fsync", self.parts) if self.base == "pickle-5" else None
        return f"{fsync.middle:.2f} × pickle-5 with fsync, as ours" if fsync else ""


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.middle:.2f} × ({ratio.low:.2f} to {ratio.high:.2f}, {ratio.rounds} rounds)"


def _speed(ratio: Ratio) -> str:
    return f"{1 / ratio.middle:.1f} × ({1 / ratio.high:.1f} to {1 / ratio.low:.1f}, {ratio.rounds} rounds)"


def faster(times: float, workload: str, base: str) -> _Times:
    """Return a target of at least so many times faster."""
    return _Times(workload, base, 1 / times, is_speed=True)


TIMES = (
    _Times("numeric frame, 100 MB", "pickle-5", 0.8),
    _Times("matrix frame, 100 MB", "pickle-5", 0.8),
    faster(30, "numeric frame, 100 MB", "stock serde"),
    faster(30, "matrix frame, 100 MB", "stock serde"),
    _Times("mixed frame, 500,000 rows", "pickle-5", 1.0),
    faster(8, "mixed frame, 500,000 rows", "stock serde"),
    _Times("array, 100 MB", "pickle-5", 0.6),
    _Times("native tree, 100,000 row dicts", "pickle-5", 1.0),
    faster(8, "native tree, 100,000 row dicts", "stock serde"),
    _Times("records, 20,000", "pickle-5", 1.0),
    faster(10, "records, 20,000", "stock serde"),
    _Times("small dict, 13 keys", "stock serde", 0.4, parts=HOOKS),
    _Times("wide frame, 5,000 columns", "pickle-5", 1.3),
    _Times("leaves of one class, 200,000", "pickle-5", 1.3),
    _Times("small arrays, 2,000", "pickle-5", 1.3),
    _Times("distinct strings, 1,000,000", "pickle-5", 1.3),
)

NAMED = {*(target.workload for target in TIMES), "mixed frame, 20 rows", "flights, 336,776 rows", "numeric frame, 1 GB"}
"""The workloads of targets, but for those of the slopes."""


def verdicts(run: Run) -> list[Verdict]:
    """Return all targets, in the order of the design."""
    return [
        *(target.verdict(run) for target in TIMES),
        *_memory(run),
        _import(run),
        _row(run),
        *_compression(run),
        *_slopes(run),
    ]


def _memory(run: Run) -> Iterator[Verdict]:
    found = run.find("numeric frame, 1 GB")
    for part, most in (("push", 0.25), ("pull", 1.1)):
        work, goal = f"extra peak memory, 1 GB frame, {part}", f"≤ {most:g} × payload"
        measured = found.ways["ours"] if found else None
        if found is None or measured is None or part not in measured.extra:
            yield Verdict(work, goal, NOT_MEASURED, None)
            continue
        share = measured.extra[part] / found.bytes
        yield Verdict(work, goal, f"{share:.2f} ×", share <= most, f"{measured.extra[part] / 1e6:.0f} MB")


def _import(run: Run) -> Verdict:
    work, goal, most = "import airflow_xcom.backend after airflow.sdk", "≤ 15 ms", 0.015
    times = run.imports.get("airflow_xcom.backend")
    if not times:
        return Verdict(work, goal, NOT_MEASURED, None)
    middle = statistics.median(times)
    loaded = statistics.median(run.imports["CodecXComBackend"])
    shown = f"{middle * 1e3:.1f} ms ({min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}, {len(times)} processes)"
    return Verdict(work, goal, shown, middle <= most, f"the class: {loaded * 1e3:.1f} ms more")


def _row(run: Run) -> Verdict:
    work, goal, most = "row of a small frame: mixed, 20 rows", "≤ 0.6 × stock serde", 0.6
    found = run.find("mixed frame, 20 rows")
    ours, stock = (found.ways[way].disk if found and way in found.ways else 0 for way in ("ours", "stock serde"))
    if not ours or not stock:
        return Verdict(work, goal, NOT_MEASURED, None)
    return Verdict(work, goal, f"{ours / stock:.2f} ×", ours / stock <= most, f"{ours:,} and {stock:,} bytes")


def _compression(run: Run) -> Iterator[Verdict]:
    flights, array = run.find("flights, 336,776 rows"), run.find("array, 100 MB")
    name, base = "flights, 336,776 rows, compression auto", "Parquet, zstd"
    sizes = [flights.ways[way].disk if flights and way in flights.ways else 0 for way in ("ours, auto", base)]
    share = sizes[0] / sizes[1] if all(sizes) else None
    shown = NOT_MEASURED if share is None else f"{share:.2f} ×"
    yield Verdict(f"{name}: size", f"≤ 1.15 × {base}", shown, None if share is None else share <= 1.15)  # noqa: PLR2004
    for work, found, other, most in ((f"{name}: push", flights, base, 0.5), (f"{ARRAY}: push", array, "ours", 1.2)):
        ratio = found.ratio(other, ("push",), ours="ours, auto") if found else None
        shown = NOT_MEASURED if ratio is None else _ratio(ratio)
        yield Verdict(work, f"≤ {most:g} × {other}", shown, None if ratio is None else ratio.middle <= most)


ARRAY = "array, 100 MB, which does not compress, compression auto"


def slopes(run: Run) -> dict[str, dict[str, float]]:
    """Return family -> way -> slope of the time of push and pull over the size, from 1 MB on."""
    found: dict[str, dict[str, float]] = {}
    for family, results in run.families().items():
        for way in ("ours", "pickle-5", "pickle-5, fsync", "limit", "limit, fsync"):
            points = [(result.bytes, result.ways[way].median(BOTH)) for result in results if way in result.ways]
            steep = slope((size, seconds) for size, seconds in points if size >= FROM and seconds)
            if steep is not None:
                found.setdefault(family, {})[way] = steep
    return found


def _slopes(run: Run) -> Iterator[Verdict]:
    found = slopes(run)
    for family in SLOPED:
        largest = max((result.bytes for result in run.results if result.family == family), default=0)
        work, goal = f"slope, {family}, from 1 MB on", f"≤ {STEEPEST}"
        steep = found.get(family, {}).get("ours")
        if steep is None:
            yield Verdict(work, goal, NOT_MEASURED, None)
        else:
            yield Verdict(work, goal, f"{steep:.2f}", steep <= STEEPEST, f"up to {largest / 1e6:,.0f} MB")

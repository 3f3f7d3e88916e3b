"""The targets of the design, each with what a run measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.results import BOTH, HOOKS, slope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Ratio, Result, Run
    from benchmarks.ways import Way
    from benchmarks.workloads import Workload

__all__ = ["NAMED", "SLOPED", "Verdict", "is_named", "slopes", "verdicts", "ways_of"]

# Frames, arrays, wide frames, trees and objects.
SLOPED = ("numeric frame", "mixed frame", "array", "float block", "native tree", "dataclasses")
STEEPEST = 1.05
FROM = 900_000  # bytes, about 1 MB: below, the time is that of the floor
GB = 1_000_000_000
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
        work = self.workload if self.parts == BOTH else f"{self.workload}: {', '.join(self.parts)}"
        found = run.find(self.workload)
        ratio = found.ratio(self.base, self.parts) if found else None
        if found is None or ratio is None:
            return Verdict(work, goal, NOT_MEASURED, None)
        shown = _speed(ratio) if self.is_speed else _ratio(ratio)
        return Verdict(work, goal, shown, ratio.minimum <= self.most, self._note(found))

    def _note(self, found: Result) -> str:
        others = {"pickle-5, fsync": "pickle-5 with fsync, as ours", "limit": "the limit"}
        ratios = {way: found.ratio(way, self.parts) for way in others if way != self.base}
        return ", ".join(f"{ratio.minimum:.2g} × {others[way]}" for way, ratio in ratios.items() if ratio)


def _ratio(ratio: Ratio) -> str:
    spread = f"{ratio.low:.2f} to {ratio.high:.2f}, {ratio.rounds} rounds"
    return f"{ratio.minimum:.2f} × (median {ratio.middle:.2f}; {spread})"


def _speed(ratio: Ratio) -> str:
    spread = f"{1 / ratio.high:.1f} to {1 / ratio.low:.1f}, {ratio.rounds} rounds"
    return f"{1 / ratio.minimum:.1f} × (median {1 / ratio.middle:.1f}; {spread})"


def faster(times: float, workload: str, base: str) -> _Times:
    """Return a target of at least so many times faster."""
    return _Times(workload, base, 1 / times, is_speed=True)


FELT = (  # where users feel it
    _Times("datetime, alone", "stock serde", 1.0),
    _Times("Decimal, alone", "stock serde", 2.5),
    _Times("tuple, alone", "stock serde", 2.5),
    _Times("UUID, alone", "stock serde", 2.5),
    _Times("pydantic model, alone", "stock serde", 1.0),
    _Times("dicts with a time, 100", "pickle-5", 4.0),
    _Times("dataclasses, 100", "pickle-5", 2.5),
    _Times("dataclasses with a time, 100", "pickle-5", 4.0),
    _Times("mixed frame, 20 rows", "pickle-5", 3.0),
    _Times("small frame, 20 rows", "pickle-5", 4.0),
    _Times("mixed frame, 1,000 rows", "pickle-5, fsync", 2.5),
    _Times("array, 1,000 floats", "pickle-5", 14),
    _Times("float block, 1,000 columns", "pickle-5", 2.0),
    _Times("float block, 5,000 columns", "pickle-5", 2.0),
    _Times("float block, 20,000 columns", "pickle-5", 2.0),
    _Times("float block, 1,000 columns", "pickle-5, fsync", 2.0),
    _Times("float block, 5,000 columns", "pickle-5, fsync", 2.0),
    _Times("float block, 20,000 columns", "pickle-5, fsync", 2.0),
    _Times("set of texts, 200,000", "pickle-5", 2.0),
    _Times("set of ints, 1,000,000", "pickle-5", 2.0),
    _Times("object column, 200,000", "pickle-5", 3.0),
    _Times("column of dicts, 200,000", "pickle-5", 1.5),
    _Times("tuples, 200,000", "pickle-5", 1.5),
    _Times("dataclasses, 200,000", "pickle-5", 0.7),
    _Times("dataclasses with a time, 20,000", "pickle-5", 1.5),
    _Times("mixed frame, 500,000 rows", "pickle-5", 1.0),
    _Times("distinct strings, 1,000,000", "pickle-5", 1.15),
    _Times("distinct strings, 1,000,000", "pickle-5, fsync", 0.65),
    _Times("array, 10 MB", "limit, fsync", 1.2, parts=("push",)),
    _Times("array, 100 MB", "limit, fsync", 1.2, parts=("push",)),
)
EARLIER = (
    _Times("numeric frame, 100 MB", "pickle-5", 0.8),
    _Times("matrix frame, 100 MB", "pickle-5", 0.8),
    faster(30, "numeric frame, 100 MB", "stock serde"),
    faster(30, "matrix frame, 100 MB", "stock serde"),
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
)
TIMES = FELT + EARLIER
ROW = "mixed frame, 20 rows"  # of which the size in the row is compared

NAMED = {*(target.workload for target in TIMES), "flights, 336,776 rows"}
UNFLUSHED = {target.workload for target in TIMES if target.base == "pickle-5"}
IN_ROW = 49_152  # bytes up to which a value has no blob, of which nothing is flushed
COMPRESSED = {"flights, 336,776 rows", "array, 100 MB"}
LARGEST = {"numeric frame", "mixed frame", "array"}  # families that are measured up to 1 GB
OBJECTS = {"native tree", "dataclasses", "float block"}  # of which a byte takes ten times as long


def is_named(work: Workload, sizes: list[str]) -> bool:
    """Return whether a target, or a slope over these sizes, names a workload."""
    is_sized = work.family in SLOPED and work.label in sizes
    return work.name in NAMED or (is_sized and (work.family in LARGEST or work.bytes < GB // 2))


def ways_of(work: Workload, ways: Sequence[type[Way]]) -> tuple[type[Way], ...]:
    """Return the ways that the targets compare a workload with: for a slope these are few."""
    wanted = {"ours", "pickle-5"}
    if work.bytes < (GB // 20 if work.family in OBJECTS else GB // 2):
        wanted |= {"pickle-5, fsync", "limit", "limit, fsync"}
    if work.name in NAMED:
        wanted |= {target.base for target in TIMES if target.workload == work.name}
        wanted |= {"distributed", "pyfory"} if work.bytes < GB // 20 else set()
    if work.name in UNFLUSHED and work.bytes > IN_ROW:
        wanted.add("ours, unflushed")
    if work.name in COMPRESSED:
        wanted |= {"ours, auto", "Parquet, zstd"}
    if work.name == ROW:
        wanted.add("stock serde")
    return tuple(way for way in ways if way.name in wanted)


def verdicts(run: Run) -> list[Verdict]:
    """Return all targets."""
    return [
        *_microseconds(run),
        *(target.verdict(run) for target in FELT),
        *_rows(run),
        *_first(run),
        *_remote(run),
        *_slopes(run),
        *_memory(run),
        _import(run),
        *(target.verdict(run) for target in EARLIER),
        *_compression(run),
    ]


def unflushed(run: Run) -> Iterator[tuple[str, str, list[Ratio]]]:
    """Yield what a target over pickle-5, which flushes nothing, asks for, and how often its time three others take.

    These are ours, ours without a flush, and the bytes of our blob alone, written, flushed and mapped: if that is more
    than the target, no durable store can meet it on this disk.
    """
    for target in TIMES:
        if (found := run.find(target.workload)) and target.base == "pickle-5":
            ratios = [found.ratio(target.base, ours=way) for way in ("ours", "ours, unflushed", "limit, fsync")]
            if None not in ratios:
                yield target.workload, f"≤ {target.most:g}", [ratio for ratio in ratios if ratio]


def _microseconds(run: Run) -> Iterator[Verdict]:
    for name in ("Decimal, alone", "tuple, alone", "UUID, alone"):
        found = run.find(name)
        totals = found.ways["ours"].totals(BOTH) if found else []
        shown = f"{min(totals) * 1e6:.1f} µs (median {statistics.median(totals) * 1e6:.1f})" if totals else NOT_MEASURED
        yield Verdict(name, "≤ 30 µs", shown, min(totals) <= MOST_ALONE if totals else None)


MOST_ALONE = 30e-6  # seconds
MOST_REMOTE = {"S3, 1 KB": 1.2, "Valkey, 1 KB": 1.3}


def _remote(run: Run) -> Iterator[Verdict]:
    for work, most in MOST_REMOTE.items():
        times, goal = run.remote.get(work), f"≤ {most:g} × bare client"
        if not times:
            yield Verdict(work, goal, NOT_MEASURED, None)
            continue
        ours, bare = times["ours"], times["bare client"]
        least, middle = min(ours) / min(bare), statistics.median(ours) / statistics.median(bare)
        shown = f"{least:.2f} × (median {middle:.2f}, {len(ours)} times)"
        yield Verdict(work, goal, shown, least <= most, f"{min(ours) * 1e6:.0f} and {min(bare) * 1e6:.0f} µs")


# Workload, the most for push and pull, and whether that is of the memory of the value, or else of the payload.
MEMORY = (
    ("numeric frame, 1 GB", 0.05, 1.05, False),
    ("native tree, 100 MB", 0.5, 1.3, True),
    ("dataclasses, 10 MB", 1.5, 2.4, True),
)


def _memory(run: Run) -> Iterator[Verdict]:
    for name, push, pull, is_of_value in MEMORY:
        found = run.find(name)
        whole = (found.memory if is_of_value else found.bytes) if found else 0
        extra = found.ways["ours"].extra if found else {}
        for part, most in (("push", push), ("pull", pull)):
            work, goal = f"extra peak memory, {name}, {part}", f"≤ {most:g} × {'value' if is_of_value else 'payload'}"
            if not whole or part not in extra:
                yield Verdict(work, goal, NOT_MEASURED, None)
                continue
            share = extra[part] / whole
            note = f"{extra[part] / 1e6:.0f} MB, of {whole / 1e6:.0f} MB"
            yield Verdict(work, goal, f"{share:.2f} ×", share <= most, note)


def _import(run: Run) -> Verdict:
    work, goal, most = "import airflow_xcom.backend after airflow.sdk", "≤ 15 ms", 0.015
    times = run.imports.get("airflow_xcom.backend")
    if not times:
        return Verdict(work, goal, NOT_MEASURED, None)
    middle = statistics.median(times)
    loaded = statistics.median(run.imports["CodecXComBackend"])
    shown = f"{middle * 1e3:.1f} ms ({min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}, {len(times)} processes)"
    return Verdict(work, goal, shown, middle <= most, f"the class: {loaded * 1e3:.1f} ms more")


FIRST = {  # what is measured -> the most milliseconds
    "first push of a datetime": 4.0,
    "first pull of a datetime": 2.5,
    "first push of a datetime, forked": 1.5,
    "then its pull, forked": 0.5,
    "first push of a frame of 20 rows": 10.0,
}


def _first(run: Run) -> Iterator[Verdict]:
    for work, most in FIRST.items():
        times = run.imports.get(work)
        if not times:
            yield Verdict(work, f"≤ {most:g} ms", NOT_MEASURED, None)
            continue
        least, middle = min(times) * 1e3, statistics.median(times) * 1e3
        stock = run.imports.get(f"{work}, stock serde")
        note = f"stock serde: {min(stock) * 1e3:.2f} ms" if stock else ""
        shown = f"{least:.2f} ms (median {middle:.2f}, {len(times)} processes)"
        yield Verdict(work, f"≤ {most:g} ms", shown, least <= most, note)


def _rows(run: Run) -> Iterator[Verdict]:
    work, goal, most = "row of a small frame: mixed, 20 rows", "≤ 0.6 × stock serde", 0.6
    found = run.find(ROW)
    ours, stock = (found.ways[way].disk if found and way in found.ways else 0 for way in ("ours", "stock serde"))
    if ours and stock:
        yield Verdict(work, goal, f"{ours / stock:.2f} ×", ours / stock <= most, f"{ours:,} and {stock:,} bytes")
    else:
        yield Verdict(work, goal, NOT_MEASURED, None)
    work, limit = "row of 100 dicts with a time", 4096
    found = run.find("dicts with a time, 100")
    taken = found.ways["ours"].disk if found else 0
    shown = f"{taken:,} bytes" if taken else NOT_MEASURED
    yield Verdict(work, f"≤ {limit:,} bytes", shown, taken <= limit if taken else None)


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
        sizes = [result.bytes for result in run.results if result.family == family and result.bytes >= FROM]
        work, goal = f"slope, {family}, from 1 MB on", f"≤ {STEEPEST}"
        steep = found.get(family, {}).get("ours")
        if steep is None:
            yield Verdict(work, goal, NOT_MEASURED, None)
        else:
            yield Verdict(work, goal, f"{steep:.2f}", steep <= STEEPEST, f"up to {max(sizes) / 1e6:,.0f} MB")

"""The tables of a report, as rows of text from which Markdown and HTML are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.results import BOTH, MEMORY, Measured, fit
from benchmarks.targets import slopes, unflushed, verdicts
from benchmarks.ways import NOTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.results import Result, Run

__all__ = ["Table", "markdown", "seconds", "size", "tables", "workload_table"]

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


@dataclass(frozen=True)
class Table:
    """A table with its title and what one must know to read it."""

    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(run: Run) -> list[Table]:
    """Return all tables of a run, the targets first."""
    return [
        _targets(run),
        *_unflushed(run),
        _ratios(
            run, "Push and pull", BOTH, "Time of ours in that of each way (with the spread), push and pull together"
        ),
        _ratios(run, "Encode and decode alone", MEMORY, "The same in memory, without a store"),
        _slopes(run),
        *_floors(run),
        _memory(run),
        _disk(run),
        _inexact(run),
        *_failed(run),
        _ways(run),
        Table("Machine", "", ("", ""), list(run.machine.items())),
    ]


def _targets(run: Run) -> Table:
    rows = [(found.work, found.target, found.measured, found.word, found.note) for found in verdicts(run)]
    about = (
        "Judged by the least times of ours and of the other way, which other work on the machine disturbs least; then "
        "the ratio of the medians, and the least and the most of one round. The limit: these bytes written and mapped. "
        "1 KB over S3 or Valkey: to SeaweedFS or Valkey on this machine and back, in turns with the client alone, "
        "over open connections. Peak memory of trees and objects: in multiples of what making the value added to it."
    )
    return Table("Targets", about, ("work", "target", "measured", "", "besides"), rows)


def _unflushed(run: Run) -> list[Table]:
    rows = [(work, most, *(f"{ratio.minimum:.2f}" for ratio in ratios)) for work, most, ratios in unflushed(run)]
    about = (
        "The targets over pickle-5, which flushes nothing, that compare a blob with it: how often its time a push and "
        "a pull take, by the least times. Ours flushes file and folder; with `durable = False` it flushes nothing "
        "either; the limit is to write, flush and map the bytes of the blob, and nothing else: where that takes "
        "longer than the target, no store can meet it on this disk that keeps what it has taken."
    )
    head = ("work", "target", "ours", "ours, unflushed", "limit, fsync")
    return [Table("Like for like", about, head, rows)] if rows else []


def _ratios(run: Run, title: str, parts: Sequence[str], about: str) -> Table:
    others = [way for way in NOTES if way != "ours" and any(_has(result, way, parts) for result in run.results)]
    rows = []
    for results in run.families().values():
        for result in results:
            median = result.ways["ours"].median(parts)
            cells = [_ratio(result, way, parts) for way in others]
            rows.append((result.name, size(result.bytes), seconds(median), *cells))
    about = (
        f"{about}; below 1 ours is faster. *: that way gives back another value than it got; refuses: it takes it not."
    )
    return Table(title, about, ("workload", "size", "ours", *others), rows)


def _has(result: Result, way: str, parts: Sequence[str]) -> bool:
    return way in result.ways and (result.ways[way].refused is not None or bool(result.ways[way].totals(parts)))


def _ratio(result: Result, way: str, parts: Sequence[str]) -> str:
    found = result.ways.get(way)
    if found is None:
        return ""
    if found.refused is not None:
        return "left out" if found.refused.startswith("left out") else "refuses"
    ratio = result.ratio(way, parts)
    if ratio is None:
        return ""
    mark = "*" if found.differs else ""
    return f"{_figure(ratio.middle)}{mark} ({_figure(ratio.low)}-{_figure(ratio.high)})"


def _figure(ratio: float) -> str:
    """Return the ratio with two significant digits, or more before the point."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}" if ratio < 1 else f"{ratio:.1f}"  # noqa: PLR2004


def _slopes(run: Run) -> Table:
    found = slopes(run)
    ways = list(dict.fromkeys(way for by_way in found.values() for way in by_way))
    rows = [
        (family, *(f"{by_way[way]:.2f}" if way in by_way else "" for way in ways), *_fit(run, family))
        for family, by_way in found.items()
    ]
    about = (
        "Of the line that fits log(time) over log(size) from 1 MB to the largest size that was measured; 1 is linear. "
        "Then for ours time = floor + size / rate, fitted to the least times of push and pull over all sizes of the "
        "range, each of the same weight, and how far off it is at most. The sizes are those of the payload; of trees, "
        "objects and wide frames no larger ones are measured than the memory and the time of a run allow."
    )
    return Table("Slopes", about, ("family", *ways, "range", "floor", "rate", "off by"), rows)


def _fit(run: Run, family: str) -> tuple[str, str, str, str]:
    """Return range, floor, rate and largest error of the fit of a family, as text."""
    points = [
        (result.bytes, min(totals))
        for result in run.families()[family]
        if (measured := result.ways.get("ours")) and (totals := measured.totals(BOTH))
    ]
    extent = f"{size(points[0][0])} to {size(points[-1][0])}" if points else "-"
    found = fit(points)
    if found is None or found[1] <= 0:
        return extent, "-", "-", "-"
    floor, rate = found
    off = max(abs(taken / (floor + rate * count) - 1) for count, taken in points)
    return extent, seconds(max(floor, 0.0)), f"{1 / rate / 1e9:.2g} GB/s", f"{off:.0%}"


def _floors(run: Run) -> list[Table]:
    about = "Medians; each part done alone. The rest is what is left of the whole."
    return [
        Table(
            f"Floor, {name}",
            about,
            ("part", "µs"),
            [(part, f"{taken * 1e6:.1f}") for part, taken in parts.items()],
        )
        for name, parts in run.floors.items()
    ]


def _memory(run: Run) -> Table:
    return _each(
        run,
        "Peak memory",
        "By how much push, then pull, raise the resident memory at its peak, as the system counts it (VmHWM, which is "
        "ru_maxrss, counted anew for each), in multiples of the size; from 1 MB on. What was pulled counts.",
        lambda result, found: (
            " / ".join(f"{found.extra[part] / result.bytes:.2f}" for part in ("push", "pull")) if found.extra else ""
        ),
        least=900_000,
    )


def _disk(run: Run) -> Table:
    return _each(
        run, "Size", "Bytes of row and files together.", lambda _, found: size(found.disk) if found.disk else ""
    )


def _each(run: Run, title: str, about: str, cell: Callable[[Result, Measured], str], *, least: int = 0) -> Table:
    ways = [way for way in NOTES if any(way in result.ways for result in run.results)]
    rows = []
    for results in run.families().values():
        for result in results:
            if result.bytes >= least:
                cells = (
                    cell(result, result.ways[way]) if way in result.ways and result.ways[way].refused is None else ""
                    for way in ways
                )
                rows.append((result.name, *cells))
    return Table(title, about, ("workload", *ways), rows)


def _inexact(run: Run) -> Table:
    rows = []
    for way in NOTES:
        for families, what in (
            (_families(run, way, "refused"), "refuses"),
            (_families(run, way, "differs"), "changes"),
        ):
            rows += [(way, what, family, why) for family, why in families.items()]
    about = "The first error or difference of each way and family. What is not here came back exact, to the last bit."
    return Table("What is not exact", about, ("way", "", "family", "first"), rows)


def _failed(run: Run) -> list[Table]:
    rows = [(work, " ".join(why.split())[-200:]) for work, why in run.failed.items()]
    return [Table("What failed", "The end of what was said.", ("work", "why"), rows)] if rows else []


def _families(run: Run, way: str, fault: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for family, results in run.families().items():
        for result in results:
            why = getattr(result.ways.get(way), fault, None)
            if why and not why.startswith("left out"):
                found.setdefault(family, " ".join(why.split())[:160])
    return found


def _ways(run: Run) -> Table:
    measured = {way for result in run.results for way in result.ways}
    rows = [(way, note) for way, note in NOTES.items() if way in measured]
    return Table("What is compared", "", ("way", "how"), rows)


def workload_table(result: Result) -> str:
    """Return the table of one workload, for the terminal while a run goes on."""
    lines = [f"{result.name}: {size(result.bytes)}"]
    for way, found in result.ways.items():
        if found.refused is not None:
            lines.append(f"  {way:18} {found.refused.splitlines()[0][:90]}")
            continue
        push, pull, both = (seconds(found.median(parts)) for parts in (("push",), ("pull",), BOTH))
        ratio = result.ratio(way) if way != "ours" else None
        shown = f"  ours is {_figure(ratio.middle)} of it ({_figure(ratio.low)}-{_figure(ratio.high)})" if ratio else ""
        lines.append(
            f"  {way:18} push {push:>9}  pull {pull:>9}  both {both:>9}{shown}{'  CHANGED' if found.differs else ''}"
        )
    return "\n".join(lines)


def seconds(taken: float | None) -> str:
    """Return a time for people."""
    if taken is None:
        return "-"
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if taken >= unit:
            return f"{taken / unit:.3g} {name}"
    return f"{taken * 1e6:.3g} µs"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} B"


def markdown(table: Table, level: int = 2) -> str:
    """Return the table as a section of a page."""
    lines = [f"{'#' * level} {table.title}", ""]
    if table.about:
        lines += [table.about, ""]
    lines += [_line(table.head), _line("---" for _ in table.head), *(_line(row) for row in table.rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

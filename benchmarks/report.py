"""A report of a run in a folder, and its tables in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables import markdown, tables
from benchmarks.targets import verdicts
from benchmarks.tried import TRIED

if TYPE_CHECKING:
    from benchmarks.results import Run

__all__ = ["DOCS", "write", "write_docs"]

DOCS = Path(__file__).resolve().parent.parent / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- figures: written by --write-docs -->", "<!-- end of the figures -->"


def write(run: Run, folder: Path) -> None:
    """Write results.json, report.md, report.html, and a PNG of each plot; print the targets."""
    from benchmarks.page import page
    from benchmarks.plots import plot, png, svg

    folder.mkdir(parents=True, exist_ok=True)
    run.save(folder / "results.json")
    made = tables(run)
    (folder / "report.md").write_text("\n".join([*(markdown(table) for table in made), _missed(run), *run.profiles]))
    plots = {}
    for family, results in run.families().items():
        figure = plot(family, results)
        plots[family] = svg(figure)
        (folder / f"{family.replace(' ', '-')}.png").write_bytes(png(figure))
    (folder / "report.html").write_text(page(made, plots))
    print(markdown(made[0]))
    print(f"The report: {folder / 'report.html'}")


def _missed(run: Run) -> str:
    """Return which targets are missed, and by how much."""
    found = verdicts(run)
    missed = [
        f"- {one.work}: {one.measured} ({one.target}). {TRIED.get(one.work.partition(':')[0], '')}".rstrip()
        for one in found
        if one.is_met is False
    ]
    met = sum(one.is_met is True for one in found)
    about = (
        f"{met} targets are met, {len(missed)} are missed. Behind each stands what was tried, and below is where the "
        "time goes, by part and function."
    )
    return "\n".join(["### What is missed", "", about, "", *missed, ""])


def write_docs(run: Run, docs: Path = DOCS) -> None:
    """Put the tables between the two marks of the page."""
    before, rest = docs.read_text().split(BEGIN)
    _, after = rest.split(END)
    called = f"`{run.did.get('command', '')}`, {run.did.get('seconds', 0) / 60:.0f} minutes."
    text = "\n".join([*(markdown(table, level=3) for table in tables(run)), _missed(run), *run.profiles])
    docs.write_text(f"{before}{BEGIN}\n\n{called}\n\n{text}\n{END}{after}")

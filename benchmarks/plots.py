"""Plots of time against size on logarithmic axes, one figure a family."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from benchmarks.results import BOTH, MEMORY, Measured
from benchmarks.ways import NOTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Result

__all__ = ["plot", "png", "svg"]

# Okabe and Ito's colours, which colour-blind people can tell apart; variants share a colour and differ in the line.
STYLES: dict[str, tuple[str, str, str]] = {
    "ours": ("#000000", "-", "o"),
    "ours, auto": ("#000000", "--", "o"),
    "ours, unflushed": ("#000000", ":", "o"),
    "pickle-5": ("#D55E00", "-", "s"),
    "pickle-5, fsync": ("#D55E00", "--", "s"),
    "pickle-5, buffers": ("#D55E00", ":", "s"),
    "cloudpickle": ("#E69F00", "-", "D"),
    "stock serde": ("#0072B2", "-", "v"),
    "object storage": ("#56B4E9", "-", "^"),
    "msgpack-numpy": ("#CC79A7", "-", "P"),
    "distributed": ("#8C564B", "-", "h"),
    "pyfory": ("#17BECF", "-", "p"),
    "Parquet": ("#009E73", "-", "X"),
    "Parquet, zstd": ("#009E73", "--", "X"),
    "Feather": ("#B8A900", "-", "*"),
    "limit": ("#999999", "-", "."),
    "limit, fsync": ("#999999", "--", "."),
}
PANELS = (("push and pull", BOTH), ("encode and decode, in memory", MEMORY))


def plot(family: str, results: Sequence[Result]) -> Any:
    """Return a figure with a line for each way; a way that changes the value is drawn thin."""
    from matplotlib.figure import Figure  # not pyplot, which keeps state and looks for a display

    figure = Figure(figsize=(12, 5.2))
    panels = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.86, bottom=0.1, top=0.93, wspace=0.05)
    handles: dict[str, Any] = {}
    for axes, (title, parts) in zip(panels, PANELS, strict=True):
        for way in NOTES:
            handles.update(_line(axes, way, results, parts))
        axes.set(xscale="log", yscale="log", xlabel="bytes that ours takes", title=f"{family}: {title}")
        axes.grid(visible=True, which="major", color="#dddddd")
        axes.set_axisbelow(True)
    sizes = [result.bytes for result in results]
    panels[0].set(ylabel="seconds, median", xlim=(min(sizes) / 2, max(sizes) * 2))
    figure.legend(handles.values(), handles.keys(), loc="center right", frameon=False)
    return figure


def _line(axes: Any, way: str, results: Sequence[Result], parts: Sequence[str]) -> dict[str, Any]:
    found = [(result.bytes, result.ways.get(way, Measured())) for result in results]
    points = [(size, median, measured) for size, measured in found if (median := measured.median(parts)) is not None]
    if not points:
        return {}
    color, line, marker = STYLES[way]
    sizes, medians = [point[0] for point in points], [point[1] for point in points]
    totals = [measured.totals(parts) for *_, measured in points]
    spread = [
        [median - min(total) for median, total in zip(medians, totals, strict=True)],
        [max(total) - median for median, total in zip(medians, totals, strict=True)],
    ]
    width = 2.4 if way == "ours" else 0.7 if any(measured.differs for *_, measured in points) else 1.4
    style = {"color": color, "linestyle": line, "marker": marker, "markersize": 4, "linewidth": width}
    return {
        way: axes.errorbar(
            sizes, medians, yerr=spread, elinewidth=0.8, capsize=2, zorder=3 if way == "ours" else 2, **style
        )
    }


def png(figure: Any) -> bytes:
    """Return the figure as PNG, for other pages."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def svg(figure: Any) -> bytes:
    """Return the figure as SVG, for the report; its text stays text."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "the same names each time"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()

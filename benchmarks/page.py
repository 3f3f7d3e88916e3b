"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.tables import Table

__all__ = ["page"]

TITLE = "Benchmarks of airflow-xcom-codecs"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #1a1a1a }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { border: 1px solid #ddd; padding: .25rem .5rem; text-align: left; vertical-align: top }
th { background: #f4f4f4; position: sticky; top: 0 }
td:first-child { white-space: nowrap }
.met { background: #e3f3e3 } .missed { background: #fbe0dc; font-weight: bold }
img { max-width: 100%; height: auto }
"""


def page(tables: Iterable[Table], plots: Mapping[str, bytes]) -> str:
    """Return the page; ``plots`` (title -> SVG) come after the first table."""
    first, *rest = tables
    sections = [
        ("Targets", _section(first)),
        ("Plots", _plots(plots)),
        *((table.title, _section(table)) for table in rest),
    ]
    links = " · ".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title, _ in sections)
    body = "\n".join(text for _, text in sections)
    head = f'<meta charset="utf-8">\n<title>{TITLE}</title>\n<style>{STYLE}</style>'
    body = f"<h1>{TITLE}</h1>\n<p>{links}</p>\n{body}"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _section(table: Table) -> str:
    head = _row("th", table.head)
    rows = "\n".join(_row("td", row) for row in table.rows)
    about = f"<p>{escape(table.about)}</p>\n" if table.about else ""
    inside = f"<thead>\n{head}\n</thead>\n<tbody>\n{rows}\n</tbody>"
    return f'{_heading(table.title)}\n{about}<div class="wide"><table>\n{inside}\n</table></div>'


def _row(tag: str, cells: Sequence[str]) -> str:
    marks = {"met": ' class="met"', "missed": ' class="missed"'}
    return "<tr>" + "".join(f"<{tag}{marks.get(cell, '')}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _plots(plots: Mapping[str, bytes]) -> str:
    about = (
        "Time against size, both on logarithmic axes. Bars: the fastest and the slowest round. "
        "Thin: it gives back another value."
    )
    figures = "\n".join(_figure(title, data) for title, data in plots.items())
    return f"{_heading('Plots')}\n<p>{about}</p>\n{figures}"


def _figure(title: str, data: bytes) -> str:
    # An image of its own: the ids of inline SVGs would clash.
    source = f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
    return f'<figure><img alt="{escape(title)}" src="{source}"><figcaption>{escape(title)}</figcaption></figure>'


def _heading(title: str) -> str:
    return f'<h2 id="{_anchor(title)}">{escape(title)}</h2>'


def _anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())

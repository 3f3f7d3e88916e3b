"""What the commands have in common at the terminal."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

INTERVAL = 1.0  # seconds between signs of progress
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_PAGE = 200  # rows that widths are made for, and that are held
_GAP = "  "
_CUT = "…"
_NUMBERS = {"MAP", "SIZE"}  # heads of what is aligned to the right


def say(text: str) -> None:
    """Write lines to standard output."""
    sys.stdout.write(f"{_lines(text)}\n")


def tell(text: str) -> None:
    """Write lines to standard error: progress, and what went wrong."""
    sys.stderr.write(f"{_lines(text)}\n")


def visible(text: str) -> str:
    """Return text that people named something with as one line, which a terminal shows and does not obey.

    What would move the cursor, colour, hide, or turn round what stands behind it is escaped: a terminal obeys whoever
    may name a task or a key (CWE-150).
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def human(size: int) -> str:
    """Return a number of bytes for people."""
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size / 1024**power:.1f} {_UNITS[power]}" if power else f"{size} B"


class Progress:
    """Says now and then, on standard error, how far a command is; on a terminal, in one line."""

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._is_open = False

    def __call__(self, line: Callable[[], str]) -> None:
        """Write the line, unless the last one was written just now."""
        if time.monotonic() - self._told < INTERVAL:
            return
        self._told = time.monotonic()
        self._is_open = sys.stderr.isatty()
        sys.stderr.write(f"\r\x1b[K{visible(line())}" if self._is_open else f"{visible(line())}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_open:
            sys.stderr.write("\n")
            self._is_open = False


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def say_listing(
    output: str, facts: Iterable[dict[str, Any]], heads: Sequence[str], cells: Callable[[Any], list[str]], none: str
) -> None:
    """Write facts as a JSON object a line, or below heads, each as ``cells`` gives them, or else say ``none``."""
    if output == "json":
        for each in facts:
            say(json.dumps(each))
    elif not say_columns(heads, map(cells, facts)):
        say(none)


def say_columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write rows below their heads, if there are any, and return their number."""
    count = -1
    for line in fitted(heads, rows, shutil.get_terminal_size((0, 0)).columns):
        say(line)
        count += 1
    return max(count, 0)


def fitted(heads: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of some rows, heads first, each no wider than ``width``; 0 for no limit.

    Columns are as wide as the rows need that have been seen, a page at a time.  The tables of rich, which Airflow
    brings, take 80 times as long (4.9 s instead of 0.06 s for 5,000 rows of nine columns), and let narrow columns
    vanish where there is little room.
    """
    remaining, right = iter(rows), [head in _NUMBERS for head in heads]
    natural = [_width(visible(head)) for head in heads]
    lead = [heads]
    while page := list(islice(remaining, _PAGE)):
        cells = [[visible(cell) for cell in row] for row in [*lead, *page]]
        lead = []
        natural = [
            max(least, *map(_width, column)) for least, column in zip(natural, zip(*cells, strict=True), strict=True)
        ]
        widths = _shrunk(natural, width - len(_GAP) * (len(natural) - 1)) if width else natural
        for row in cells:
            yield _GAP.join(map(_cell, row, widths, right)).rstrip()


def _shrunk(widths: list[int], room: int) -> list[int]:
    """Return the widths, with the widest made narrower until they have room, or have 1 each."""
    excess = sum(widths) - max(room, len(widths))
    while excess > 0:
        widest = max(widths)
        following = max([width for width in widths if width < widest], default=1)
        taken = min(widest - following, -(-excess // widths.count(widest)))
        widths = [width - taken if width == widest else width for width in widths]
        excess = sum(widths) - max(room, len(widths))
    return widths


def _cell(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - of a column
    text = _cut(text, width)
    padding = " " * (width - _width(text))
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return text + _CUT


def _width(text: str) -> int:
    """Return the columns of the terminal that text takes."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)

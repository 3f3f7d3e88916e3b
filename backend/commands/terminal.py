"""What the commands have in common at the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

INTERVAL = 1.0  # seconds between signs of progress
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


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

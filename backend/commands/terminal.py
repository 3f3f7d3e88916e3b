"""What the commands have in common at the terminal."""

from __future__ import annotations

import argparse
import sys

__all__ = ["count", "human", "say", "seconds", "tell", "visible"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def say(text: str) -> None:
    """Write lines to standard output."""
    sys.stdout.write(f"{_lines(text)}\n")


def tell(text: str) -> None:
    """Write lines to standard error: progress, and what went wrong."""
    sys.stderr.write(f"{_lines(text)}\n")


def visible(text: str) -> str:
    """Text that people named something with, as one line that only says what it is.

    What would move the cursor, colour, hide, or turn round what stands behind it is escaped: a terminal obeys whoever
    may name a task or a key (CWE-150).
    """
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def human(size: int) -> str:
    """A number of bytes for people."""
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size / 1024**power:.1f} {_UNITS[power]}" if power else f"{size} B"


def count(text: str) -> int:
    """An argument that is a number of things, 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("give a number, 0 or more")
    return number


def seconds(text: str) -> float:
    """An argument that is a number of seconds, 0 or more."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("give seconds, 0 or more")
    return number


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")

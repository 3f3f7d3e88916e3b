"""What the commands have in common at the terminal."""

from __future__ import annotations

import argparse
import sys

__all__ = ["say", "seconds"]


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")


def seconds(text: str) -> float:
    """An argument that is a number of seconds, 0 or more."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("give seconds, 0 or more")
    return number

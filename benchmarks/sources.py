"""What the benchmarks take from the tests: the strict comparison of values, and servers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).resolve().parent.parent / "tests" / "codecs")


def difference(expected: Any, actual: Any) -> str | None:
    """Return the first difference between two values in type or content, and where; None if they are identical."""
    if TESTS not in sys.path:
        sys.path.append(TESTS)
    import identical

    found: str | None = identical.difference(expected, actual)
    return found

"""What is nested too deeply to be written."""

from __future__ import annotations

import gc
from typing import Any

from airflow_xcom.codecs.errors import CircularReferenceError, EncodeError, NestingError

DEEPEST_NATIVES = 500  # levels of lists and dicts in each other; some packers stop at 511, and the unpacker at 1024
_CONTAINERS = frozenset({dict, list})


def too_deep(value: Any) -> EncodeError:
    """Return the error for a value that contains itself, or has too many levels."""
    if (repeated := _find_cycle(value)) is not None:
        return CircularReferenceError(repeated)
    return NestingError(f"its lists and dicts are nested deeper than {DEEPEST_NATIVES} levels")


def _find_cycle(value: Any) -> Any:
    """Return a list or dict that contains itself through lists and dicts, or None."""
    done: set[int] = set()
    path: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, leaving = stack.pop()
        if leaving:
            path.discard(id(item))
            done.add(id(item))
        elif id(item) in path:
            return item
        elif id(item) not in done:
            path.add(id(item))
            stack.append((item, True))
            stack.extend((child, False) for child in gc.get_referents(item) if type(child) in _CONTAINERS)
    return None

"""Arguments of mapped tasks, whose elements are read singly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_xcom.backend.compat import mappable
from airflow_xcom.backend.pull import Deferred, deferring, pull_all


def elements_of(argument: Any) -> Any:
    """Return an argument for ``expand``, whose elements are read singly: ``use.expand(part=elements_of(extract()))``.

    Each mapped task gets the same element as without it.  Of a list of large elements in a store, it reads that element
    and an index; everything else it reads whole.

    Args:
        argument: what calling a task returns where the Dag is made.

    Raises:
        TypeError: ``argument`` is something else.
    """
    if not hasattr(argument, "iter_references") or not hasattr(argument, "operator"):
        raise TypeError(f"elements_of() takes what a task gives where the Dag is made, not a {type(argument).__name__}")
    return mappable(argument, _resolved)


def _resolved(resolve: Callable[[], Any]) -> Any:
    with deferring():
        rows = resolve()
    return rows.elements() if isinstance(rows, Deferred) else pull_all(rows)

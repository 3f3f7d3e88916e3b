"""Airflow's lazy sequences over mapped tasks, with the elements that come next fetched side by side.

Airflow has no hook for this: its sequence asks for one element, and gives its row to the backend, before it asks for
the next.  So two of its methods are replaced, where Airflow has them; what they give is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import lazy_sequence
from airflow_xcom.backend.pull import Unread, is_unread, pull_all, side_by_side, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["fetch_ahead"]

_PAGE = 64  # rows in a request to Airflow


def fetch_ahead() -> None:
    """Have lazy sequences fetch slices, and what an iteration comes to next, side by side."""
    sequence = lazy_sequence()
    if sequence is None or hasattr(sequence, "_one_by_one"):
        return
    one_by_one = sequence._one_by_one = sequence.__getitem__  # noqa: SLF001

    def get(self: Any, key: Any) -> Any:
        if not isinstance(key, slice) or is_unread():
            return one_by_one(self, key)
        with unread():
            found = one_by_one(self, key)
        return pull_all(found)

    sequence.__getitem__ = get
    sequence.__iter__ = lambda self: side_by_side(_rows(self, one_by_one), Unread.value)


def _rows(sequence: Any, one_by_one: Callable[[Any, slice], list[Any]]) -> Iterator[Any]:
    """The rows of a sequence, asked for page by page."""
    start = 0
    while True:
        with unread():
            page = one_by_one(sequence, slice(start, start + _PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        start += _PAGE

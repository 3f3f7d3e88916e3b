"""Airflow's lazy sequences over mapped tasks, with their blobs fetched concurrently and ahead of an iteration.

Airflow's own sequence asks for one element, and gives its row to the backend, before it asks for the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.pull import Deferred, concurrently, deferring, is_deferring, pull_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Get = Callable[[Any, Any], Any]  # a sequence's __getitem__

__all__ = ["get_item", "iterate"]

_PAGE = 64  # rows in a request to Airflow


def get_item(stock: Get, sequence: Any, key: Any) -> Any:
    """Return an element, or a slice whose blobs are fetched concurrently; ``stock`` is Airflow's ``__getitem__``."""
    if not isinstance(key, slice) or is_deferring():
        return stock(sequence, key)
    with deferring():
        rows = stock(sequence, key)
    return pull_all(rows)


def iterate(stock: Get, sequence: Any) -> Iterator[Any]:
    """Yield the elements, some of them fetched before they are taken; ``stock`` is Airflow's ``__getitem__``."""
    return concurrently(_rows(stock, sequence), Deferred.value)


def _rows(stock: Get, sequence: Any) -> Iterator[Any]:
    """Yield the rows of a sequence, asked for page by page."""
    start = 0
    while True:
        with deferring():
            page = stock(sequence, slice(start, start + _PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        start += _PAGE

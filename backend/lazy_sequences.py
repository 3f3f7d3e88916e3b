"""Airflow's lazy sequences over mapped tasks, with their blobs fetched concurrently and ahead of an iteration.

Airflow's own sequence asks for one element, and gives its row to the backend, before it asks for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from airflow_xcom.backend.pull import Deferred, asking, concurrently, deferring, pull_all, renewable

Get = Callable[[Any, Any], Any]  # a sequence's __getitem__
_PAGE = 64  # rows in a request to Airflow


def get_item(stock: Get, sequence: Any, key: Any) -> Any:
    """Return an element, or a slice whose blobs are fetched concurrently; ``stock`` is Airflow's ``__getitem__``."""
    if isinstance(key, slice):
        return pull_all(_read(stock, sequence, key))
    with _asking(sequence):
        return stock(sequence, key)


def iterate(stock: Get, sequence: Any) -> Iterator[Any]:
    """Yield the elements, some of them fetched before they are taken; ``stock`` is Airflow's ``__getitem__``."""
    return concurrently(_rows(stock, sequence), Deferred.value)


def _rows(stock: Get, sequence: Any) -> Iterator[Any]:
    """Yield the rows of a sequence, asked for page by page."""
    start = 0
    while True:
        page = _read(stock, sequence, slice(start, start + _PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        start += _PAGE


def _read(stock: Get, sequence: Any, key: slice) -> Any:
    """Return the rows of a slice."""

    def read() -> Any:
        with _asking(sequence), deferring():
            return stock(sequence, key)

    return renewable(read(), read)


def _asking(sequence: Any) -> AbstractContextManager[None]:
    source = sequence._xcom_arg  # noqa: SLF001 - a sequence has no public way to ask what it is of
    of = source.operator
    return asking(dag_id=of.dag_id, run_id=sequence._ti.run_id, task_id=of.task_id, key=source.key)  # noqa: SLF001

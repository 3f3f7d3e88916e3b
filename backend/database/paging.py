"""Reading a table of the metadata database page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy


def pages(  # noqa: PLR0913 - each is a clause of the statement
    engine: Any,
    select: Any,
    keys: Sequence[Any],
    size: int,
    *,
    descending: bool = False,
    around: Callable[[Any], Any] = lambda page: page,
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a statement in the order of their keys, page by page; the last page may be empty.

    Each page is read in a transaction of its own, so that nothing is held up.  A row that comes or goes meanwhile may
    be seen or not; every other is seen once.

    The statement selects the keys before anything else: columns that together tell a row from all others, none of them
    null.  ``around`` makes the statement that is executed from that of a page, as one that selects from it.
    """
    order = sqlalchemy.tuple_(*keys)
    select = select.order_by(*(key.desc() if descending else key for key in keys)).limit(size)
    page = select
    while True:
        rows = read(engine, around(page))
        yield rows
        if len(rows) < size:
            return
        last = sqlalchemy.tuple_(*rows[-1][: len(keys)], types=[key.type for key in keys])
        page = select.where(order < last if descending else order > last)


def read(engine: Any, select: Any) -> Sequence[Any]:
    """Return the rows of a statement, read in a transaction of its own."""
    with engine.connect() as connection:
        rows: Sequence[Any] = connection.execute(select).fetchall()
    return rows


def streamed(engine: Any, select: Any, size: int) -> Iterator[Any]:
    """Yield the rows of a statement, some at a time, from a table that has no key to page by, such as an archive."""
    with engine.connect() as connection:
        yield from connection.execution_options(yield_per=size).execute(select)

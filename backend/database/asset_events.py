"""Events of assets in Airflow's metadata database: what each says in its ``extra``, also those that were archived."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.database.paging import pages
from airflow_xcom.backend.envelope import ENVELOPE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EVENT_TABLES", "event_extras", "event_table"]

EVENT_TABLES = ("asset_event", "dataset_event")  # from Airflow 3.0 on; before
_PREFIX = "_airflow_deleted__"  # of the tables that `airflow db clean` makes


def event_table(engine: Any, schema: str | None) -> Any:
    """Return the table of events; None if the database has none."""
    import sqlalchemy

    from airflow_xcom.backend.database.tables import reflected

    inspector = sqlalchemy.inspect(engine)
    found = (name for name in EVENT_TABLES if inspector.has_table(name, schema))
    return next((reflected(engine, name, schema) for name in found), None)


def event_extras(engine: Any, schema: str | None, page: int) -> Iterator[tuple[str, tuple[Any, ...], str]]:
    """Yield the table, the primary key and the ``extra`` as text of all events that may name a version.

    Archived ones, which may be restored, come last, so that what is archived meanwhile is not missed.
    """
    import sqlalchemy

    table = event_table(engine, schema)
    if table is not None:
        text = sqlalchemy.cast(table.c.extra, sqlalchemy.Text)
        select = sqlalchemy.select(table.c.id, sqlalchemy.case((text.contains(ENVELOPE_KEY), text)))
        for number, extra in chain.from_iterable(pages(engine, select, [table.c.id], page)):
            if extra is not None:
                yield table.name, (number,), extra
    for archive in _archives(engine, schema):
        text = sqlalchemy.cast(archive.c.extra, sqlalchemy.Text)
        with engine.connect() as connection:  # such tables have no key to page by
            found = connection.execution_options(yield_per=page).execute(sqlalchemy.select(text))
            yield from ((archive.name, (), extra) for (extra,) in found if extra is not None)


def _archives(engine: Any, schema: str | None) -> Iterator[Any]:
    """Yield the tables of archived events; ``db clean`` makes them in the schema of the connection."""
    import sqlalchemy

    from airflow_xcom.backend.database.tables import reflected

    inspector = sqlalchemy.inspect(engine)
    for place in dict.fromkeys((schema, None)):
        for name in inspector.get_table_names(place):
            if name.startswith(tuple(f"{_PREFIX}{table}__" for table in EVENT_TABLES)):
                yield reflected(engine, name, place)

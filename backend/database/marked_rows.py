"""Rows of other tables than XComs' whose JSON may hold our envelopes: events of assets, and state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from sqlalchemy import Text, case, cast, inspect, select

from airflow_xcom.backend.database.paging import pages, streamed
from airflow_xcom.backend.database.tables import archives, reflected
from airflow_xcom.backend.envelope import ENVELOPE_KEY

EVENT_TABLES = ("asset_event", "dataset_event")  # from Airflow 3.0 on; before


def marked_rows(
    engine: Any, schema: str | None, tables: Iterable[str], column: str, page: int
) -> Iterator[tuple[str, tuple[Any, ...], str]]:
    """Yield the table, the primary key and the column as text of all rows of these tables in which our key stands.

    Archived ones, which may be restored, come last, so that what is archived meanwhile is not missed.
    """
    for name in tables:
        if inspect(engine).has_table(name, schema):
            table = reflected(engine, name, schema)
            keys, text = list(table.primary_key), cast(table.c[column], Text)
            shown = select(*keys, case((text.contains(ENVELOPE_KEY), text)))
            for *identity, found in chain.from_iterable(pages(engine, shown, keys, page)):
                if found is not None:
                    yield name, tuple(identity), found
    prefixes = tuple(f"_airflow_deleted__{name}__" for name in tables)
    for archive in archives(engine, schema, lambda name: name.startswith(prefixes), column):
        for (found,) in streamed(engine, select(cast(archive.c[column], Text)), page):
            if found is not None and ENVELOPE_KEY in found:
                yield archive.name, (), found

"""XComs by their keys, whichever runs have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy

from airflow_xcom.backend.compat import metadata_engine, metadata_schema
from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.database.tables import index_column, reflected, utc, value_text, xcom_tables
from airflow_xcom.backend.database.xcom_rows import XComRow
from airflow_xcom.backend.envelope import Coordinate

_LONGEST = 1 << 18  # characters of a value that is read: what is noted of a version takes fewer


def rows_with_keys(keys: Sequence[str], most: int) -> list[XComRow]:
    """Return the XComs that have one of some keys and are not too long, the newest first, at most so many."""

    def short(text: Any) -> Any:
        return sqlalchemy.func.length(text) <= _LONGEST

    found = _newest(keys, most, short, lambda text: text)
    return [XComRow(name, (), text, Coordinate(*where), utc(at)) for name, (*where, at, text) in found]


def asked_of(keys: Sequence[str], most: int, holding: str) -> list[tuple[Coordinate, datetime]]:
    """Return where and when XComs were written that have one of some keys and hold a text; their values are not read.

    Args:
        keys: of XComs.
        most: of the newest ones that are returned, these first.
        holding: the text that stands in their values.
    """
    found = _newest(keys, most, lambda text: text.contains(holding, autoescape=True), lambda _: sqlalchemy.null())
    return [(Coordinate(*where), utc(at)) for _, (*where, at, _) in found]


def _newest(
    keys: Sequence[str], most: int, wanted: Callable[[Any], Any], shown: Callable[[Any], Any]
) -> list[tuple[str, Any]]:
    """Return tables and rows: Dag, run, task, map index, key, time, and what is shown of the text."""
    engine, schema = metadata_engine(), metadata_schema()
    found: list[tuple[str, Any]] = []
    for name, table, task, source in _placed_tables(engine, schema):
        text = value_text(table)
        select = sqlalchemy.select(*task, table.c.key, table.c.timestamp, shown(text)).select_from(source)
        select = select.where(table.c.key.in_(keys), wanted(text)).order_by(table.c.timestamp.desc()).limit(most)
        found += ((name, row) for row in read(engine, select))
    return sorted(found, key=lambda each: utc(each[1].timestamp), reverse=True)[:most]


@lru_cache(4)
def _placed_tables(engine: Any, schema: str | None) -> list[tuple[str, Any, tuple[Any, ...], Any]]:
    return [(name, table, *_placed(engine, schema, table)) for name, table in xcom_tables(engine, schema).items()]


def _placed(engine: Any, schema: str | None, table: Any) -> tuple[tuple[Any, ...], Any]:
    """Return the columns of Dag, run, task and map index, and what they are selected from."""
    source = tasks = table
    if "task_instance_id" in table.c:  # Airflow 3.4's own table
        tasks = reflected(engine, "task_instance", schema)
        source = table.join(tasks, tasks.c.id == table.c.task_instance_id)
    return (tasks.c.dag_id, tasks.c.run_id, tasks.c.task_id, index_column(tasks)), source

"""XComs by their keys, whichever runs have them."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import metadata_engine, metadata_schema
from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.database.tables import index_column, reflected, utc, value_text, xcom_tables
from airflow_xcom.backend.database.xcom_rows import XComRow
from airflow_xcom.backend.envelope import Coordinate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["rows_with_keys"]


def rows_with_keys(keys: Sequence[str], most: int, holding: str = "") -> list[XComRow]:
    """Return the XComs that have one of some keys, the newest first, at most so many.

    Args:
        keys: of XComs.
        most: rows that are returned.
        holding: a text that stands in their values.
    """
    import sqlalchemy

    engine, schema = metadata_engine(), metadata_schema()
    found: list[XComRow] = []
    for name, table in xcom_tables(engine, schema).items():
        task, source = _placed(engine, schema, table)
        text = value_text(table)
        select = sqlalchemy.select(*task, table.c.key, table.c.timestamp, text).select_from(source)
        select = select.where(table.c.key.in_(keys), text.contains(holding, autoescape=True))
        rows = read(engine, select.order_by(table.c.timestamp.desc()).limit(most))
        found += (XComRow(name, (), value, Coordinate(*where), utc(at)) for *where, at, value in rows)
    return sorted(found, key=attrgetter("written"), reverse=True)[:most]


def _placed(engine: Any, schema: str | None, table: Any) -> tuple[tuple[Any, ...], Any]:
    """Return the columns of Dag, run, task and map index, and what they are selected from."""
    source = tasks = table
    if "task_instance_id" in table.c:  # Airflow 3.4's own table
        tasks = reflected(engine, "task_instance", schema)
        source = table.join(tasks, tasks.c.id == table.c.task_instance_id)
    return (tasks.c.dag_id, tasks.c.run_id, tasks.c.task_id, index_column(tasks)), source

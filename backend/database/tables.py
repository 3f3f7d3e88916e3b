"""The tables of a metadata database, with Airflow's own types of columns, on every database that Airflow runs on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import JSON, Boolean, LargeBinary, MetaData, Table, Text, case, cast, func, inspect, select, tuple_
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from airflow_xcom.backend.database.paging import pages, streamed
from airflow_xcom.backend.envelope import ENVELOPE_KEY

RunKey = tuple[str, str]
"""The ids of a Dag and of one of its runs."""

EVENT_TABLES = ("asset_event", "dataset_event")  # from Airflow 3.0 on; before
_XCOMS = ("xcom", "xcom_v1", "xcom_v2")  # up to Airflow 3.3; from 3.4 on, the old ones and those of its own


def reflected(engine: Any, name: str, schema: str | None = None) -> Table:
    """Return a table of the database; a JSON column is one where the database has no such type, as MariaDB, too."""
    listeners = [("column_reflect", _correct_type)]
    return Table(name, MetaData(), schema=schema, autoload_with=engine, resolve_fks=False, listeners=listeners)


def _correct_type(_inspector: Any, _table: Any, column: Any) -> None:
    if column["name"] == "value" and not isinstance(column["type"], JSON | LargeBinary):
        column["type"] = JSON()


def xcom_tables(engine: Any, schema: str | None) -> dict[str, Table]:
    """Return the tables with XComs, by name."""
    inspector = inspect(engine)
    present = [name for name in _XCOMS if inspector.has_table(name, schema)]
    return {name: reflected(engine, name, schema) for name in present}


def archives(
    engine: Any, schema: str | None, is_archive: Callable[[str], bool], column: str = "value"
) -> Iterator[Table]:
    """Yield the tables with a column from which rows may be restored, as their names tell.

    ``airflow db clean`` makes them in the schema of the connection, whichever Airflow's own is.
    """
    inspector = inspect(engine)
    for place in dict.fromkeys((schema, None)):
        for name in filter(is_archive, inspector.get_table_names(place)):
            with suppress(NoSuchTableError):  # it was dropped meanwhile
                table = reflected(engine, name, place)
                if column in table.c:
                    yield table


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


def is_text(table: Any) -> bool:
    """Return whether values are JSON; in Airflow 2 they are JSON text in a column of bytes."""
    return not isinstance(table.c.value.type, LargeBinary)


def of_runs(table: Any, runs: Sequence[RunKey] | None) -> list[Any]:
    """Return the condition that the rows of these runs meet: none for all runs, or where rows do not name theirs."""
    if runs is None or "dag_id" not in table.c or "run_id" not in table.c:
        return []
    return [tuple_(table.c.dag_id, table.c.run_id).in_(runs)]


def value_text(table: Any) -> Any:
    """Return a row's value as text, which :class:`same_text` compares; in Airflow 2 as bytes."""
    return cast(table.c.value, Text) if is_text(table) else table.c.value


def has_identity(table: Any, identity: Sequence[Any]) -> list[Any]:
    """Return the conditions that only the row with this primary key meets."""
    return [column == part for column, part in zip(table.primary_key, identity, strict=True)]


def index_column(tasks: Any) -> Any:
    """Return the column of a table that has the map index of tasks, which Airflow 3.4 has renamed."""
    return tasks.c.region_index if "region_index" in tasks.c else tasks.c.map_index


def parsed(text: Any) -> Any:
    """Return JSON that a database gives as text, or parsed; None for what Python cannot parse."""
    try:
        return json.loads(text) if isinstance(text, str | bytes) else text
    except (ValueError, RecursionError):
        return None


def utc(time: Any) -> datetime:
    """Return a time in UTC; databases without zones hold UTC, and SQLite gives the greatest one as text."""
    found = datetime.fromisoformat(time) if isinstance(time, str) else time
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def agreed_time(engine: Any) -> datetime:
    """Return the time that has come by the clock of this host and by that of the database's server."""
    clock = func.utc_timestamp() if engine.dialect.name in {"mysql", "mariadb"} else func.current_timestamp()
    with engine.connect() as connection:
        return min(datetime.now(UTC), utc(connection.execute(select(clock)).scalar_one()))


class same_text(FunctionElement[bool]):  # noqa: N801 - it stands for a function of SQL
    """The condition that two texts are the same, character by character."""

    type = Boolean()
    inherit_cache = True


@compiles(same_text)
def _equal(element: Any, compiler: Any, **options: Any) -> str:
    left, right = element.clauses
    return str(compiler.process(left == right, **options))


@compiles(same_text, "mysql", "mariadb")
def _equal_bytes(element: Any, compiler: Any, **options: Any) -> str:
    """Compare as bytes: the usual collations of the MySQL family take "a" for "A"."""
    left, right = (cast(part, LargeBinary) for part in element.clauses)
    return str(compiler.process(left == right, **options))

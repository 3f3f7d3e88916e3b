"""The rows of XComs in Airflow's metadata database, for commands that go through all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import sqlalchemy

from airflow_xcom.backend.compat import json_bytes, metadata_engine, metadata_schema
from airflow_xcom.backend.database.deployment import Deployment, database_deployment
from airflow_xcom.backend.database.paging import pages, read, streamed
from airflow_xcom.backend.database.state_rows import StateRows
from airflow_xcom.backend.database.tables import (
    EVENT_TABLES,
    RunKey,
    archives,
    has_identity,
    index_column,
    is_text,
    marked_rows,
    of_runs,
    reflected,
    same_text,
    utc,
    value_text,
    xcom_tables,
)
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope, Reference
from airflow_xcom.backend.errors import XComNotFoundError
from airflow_xcom.codecs import CodecError, CorruptPayloadError

_PAGE = 500
_LARGE_PAGE = 2000  # where few values are
_SMALL_PAGE = 100  # where values are held along with their rows
_LONG = 1 << 14  # characters of a row that are not read unless they must be
_NOTED = 1 << 18  # characters of a value that is read by its key: what is noted of a version takes fewer
_ENDS = 64  # characters of either end of a long one, where the version of an envelope stands
# Envelopes of version 1 as they are written, and as JSONB and MySQL order their keys: the shortest first.
_VERSION_1 = re.compile(r'\A\{"airflow_xcom": ?\{"version": ?1,|"version": ?1\}\}\Z')


@dataclass(frozen=True)
class XComRow:
    """A row with an XCom, from a database or from Airflow's REST API.

    Attributes:
        table: the name of its table.
        identity: its primary key; through the REST API, its coordinate.
        text: its JSON as the database gives it: text, in Airflow 2 bytes, or None where it has no value.
        columns: what the columns of the table tell of the coordinate, if they were read.
        written: when, if that was read.
        is_result: whether Airflow shows it as the result of its run.
        is_event: whether it is an event of an asset, with its ``extra`` as text.
    """

    table: str
    identity: tuple[Any, ...]
    text: Any
    columns: Coordinate = field(default_factory=Coordinate)
    written: datetime | None = None
    is_result: bool = False
    is_event: bool = False

    def __str__(self) -> str:
        return f"{self.table} {self.identity}"

    @cached_property
    def coordinate(self) -> Coordinate:
        """Return which XCom it is: by the columns of the table, and what they do not tell, by its envelope."""
        if self.envelope is None:
            return self.columns
        parts = zip(self.columns.to_json(), self.envelope.coordinate.to_json(), strict=True)
        return Coordinate(*(written if known is None else known for known, written in parts))

    @property
    def stored(self) -> Any:
        """Return the JSON value; None if it cannot be read."""
        return self._content[0]

    @property
    def envelope(self) -> Envelope | None:
        """Return the value, if it is one of our envelopes."""
        return self._content[1]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return where its blobs are."""
        return () if self.envelope is None else self.envelope.references

    @property
    def blob_size(self) -> int:
        """Return the bytes of its blobs."""
        return sum(reference.size for reference in self.references)

    @property
    def error(self) -> CodecError | None:
        """Return why the value or the envelope cannot be read, if so."""
        return self._content[2]

    @cached_property
    def _content(self) -> tuple[Any, Envelope | None, CodecError | None]:
        stored = None
        try:
            stored = None if self.text is None else json.loads(self.text)
            return stored, Envelope.from_json(stored), None
        except CodecError as error:
            return stored, None, error
        except (ValueError, TypeError, RecursionError):
            return None, None, CorruptPayloadError("the row is not JSON")


class Rows:
    """The XComs of a metadata database, whichever Airflow's it is.

    They are read page by page, see :func:`airflow_xcom.backend.database.paging.pages`; ``page`` is that of candidates.

    Attributes:
        tables: the tables with XComs, by name.
        sees_assets: whether events of assets, archived ones and runs can be read, too.

    Raises:
        XComNotFoundError: There is no such table, so that nothing would seem to be referred to.
    """

    sees_assets = True

    def __init__(self, engine: Any, schema: str | None = None, page: int = _LARGE_PAGE) -> None:
        self._engine = engine
        self._page = page
        self._schema = schema
        self.tables = xcom_tables(engine, schema)
        if not self.tables:
            raise XComNotFoundError("the metadata database has no table of XComs; is it that of a running Airflow?")

    @property
    def database(self) -> tuple[Any, str | None]:
        """Return the engine and the schema."""
        return self._engine, self._schema

    def referring(self, page: int = _PAGE) -> Iterator[XComRow]:
        """Yield the rows that refer to a blob; those whose envelope cannot be read are left out."""

        def shown(text: Any) -> Any:
            refers = sqlalchemy.and_(text.contains(f'"{ENVELOPE_KEY}"'), text.contains('"ref"'))
            return [sqlalchemy.case((refers, text))]

        for name, table in self.tables.items():
            for *identity, text in self._scan(table, page, shown if is_text(table) else lambda text: [text]):
                row = XComRow(name, tuple(identity), text)
                if row.references:
                    yield row

    def candidates(self, runs: Sequence[RunKey] | None = None) -> Iterator[XComRow]:
        """Yield the rows that may refer to a blob, readable or not; only those of these runs, where that can be told.

        These are all rows in which our key stands, but long ones that hold their value themselves.  Without ``runs``,
        events of assets are among them, after the XComs: a task notes as an XCom what its event will name; and state.
        """
        for name, table in self.tables.items():
            shown = _abridged if is_text(table) else lambda text: [sqlalchemy.func.length(text), text]
            for *identity, length, text in self._scan(table, self._page, shown, *of_runs(table, runs)):
                if text is None or (length > _LONG and _VERSION_1.search(_decoded(text))):
                    continue
                whole = _decoded(text if length <= _LONG else self._text(table, identity))
                if ENVELOPE_KEY in whole:
                    yield XComRow(name, tuple(identity), whole)
        if runs is None:
            for table_name, number, extra in marked_rows(self._engine, self._schema, EVENT_TABLES, "extra", self._page):
                yield XComRow(table_name, number, extra, is_event=True)
            for table_name, key, ref in StateRows(self._engine, self._schema).candidates(self._page):
                yield XComRow(table_name, key, ref)
        yield from self._archived(runs)

    def runs_that_exist(self, runs: Sequence[RunKey], page: int = _PAGE) -> set[RunKey]:
        """Return those of the runs that have a row."""
        table = reflected(self._engine, "dag_run", self._schema)
        columns = table.c.dag_id, table.c.run_id
        found: set[RunKey] = set()
        for start in range(0, len(runs), page):
            condition = sqlalchemy.tuple_(*columns).in_(runs[start : start + page])
            found.update((dag, run) for dag, run in read(self._engine, sqlalchemy.select(*columns).where(condition)))
        return found

    def _archived(self, runs: Sequence[RunKey] | None) -> Iterator[XComRow]:
        """Yield rows that may be restored; read last, so that what is archived meanwhile is not missed."""
        for table in archives(self._engine, self._schema, _is_archive):
            select = sqlalchemy.select(value_text(table)).where(table.c.value.is_not(None), *of_runs(table, runs))
            for (text,) in streamed(self._engine, select, self._page):
                if ENVELOPE_KEY in _decoded(text):
                    yield XComRow(table.name, (), _decoded(text))

    def _scan(self, table: Any, size: int, shown: Callable[[Any], Any], *conditions: Any) -> Iterator[Any]:
        """Yield the primary key of every row that meets the conditions, and what ``shown`` selects of its text.

        Pages are cut by the keys alone: with a condition on the text, PostgreSQL expects few rows and reads and sorts
        the whole table for every page.
        """

        def around(page: Any) -> Any:
            *columns, text = page.subquery().c
            return sqlalchemy.select(*columns, *shown(text)).order_by(*columns)

        keys = list(table.primary_key)
        select = sqlalchemy.select(*keys, value_text(table).label("text")).where(*conditions)
        return chain.from_iterable(pages(self._engine, select, keys, size, around=around))

    def matching(self, wanted: Coordinate, page: int = _SMALL_PAGE, *, native: bool = False) -> Iterator[XComRow]:
        """Yield the rows that have the parts of a coordinate which are not None, in the order of their primary keys.

        With ``native`` also those without an envelope, whose values are JSON natives.
        """
        for name in self.tables:
            for row in self._matching(name, wanted, page, native=native):
                is_ours = row.envelope is not None or (row.error is not None and ENVELOPE_KEY in str(row.text))
                parts = zip(wanted.to_json(), row.coordinate.to_json(), strict=True)
                if (native or is_ours) and all(part is None or part == found for part, found in parts):
                    yield row

    def _matching(self, name: str, wanted: Coordinate, size: int, *, native: bool) -> Iterator[XComRow]:
        table = self.tables[name]
        keys, text = list(table.primary_key), value_text(table)
        known = {part: table.c[part] for part in Coordinate.__slots__ if part in table.c}
        select = sqlalchemy.select(*keys, *known.values(), text)
        given = {part: value for part in known if (value := getattr(wanted, part)) is not None}
        select = select.where(*(known[part] == value for part, value in given.items()))
        if is_text(table) and not native:
            select = select.where(text.contains(f'"{ENVELOPE_KEY}"'))
        for row in chain.from_iterable(pages(self._engine, select, keys, size)):
            coordinate = Coordinate(**dict(zip(known, row[len(keys) :], strict=False)))
            yield XComRow(name, tuple(row[: len(keys)]), row[-1], coordinate)

    def replace(self, row: XComRow, envelope: Envelope) -> bool:
        """Put an envelope in the place of a row's value, if that is still what it was, and say whether it was."""
        with self._engine.begin() as connection:
            return bool(connection.execute(replacement(self.tables[row.table], row, envelope)).rowcount)

    def deployment(self, *, create: bool = False) -> Deployment | None:
        """Return which Airflow's the rows are; None if its database has no id, and none is to be made."""
        return database_deployment(self._engine, self._schema, create=create)

    def hidden(self, dags: Iterable[str]) -> list[str]:  # noqa: ARG002 - as RestRows has it
        """Return none: of every Dag all rows can be seen."""
        return []

    def is_current(self, row: XComRow) -> bool:
        """Return whether a row is still what it was when it was read."""
        return bool(self._text(self.tables[row.table], row.identity) == row.text)

    def _text(self, table: Any, identity: Sequence[Any]) -> Any:
        """Return the text of a row; None if it is gone."""
        rows = read(self._engine, sqlalchemy.select(value_text(table)).where(*has_identity(table, identity)))
        return rows[0][0] if rows else None


def metadata_rows() -> Rows:
    """Return the rows of the database that Airflow's own settings name."""
    return Rows(metadata_engine(), metadata_schema())


def replacement(table: Any, row: XComRow, envelope: Envelope) -> Any:
    """Return the UPDATE that puts an envelope in the place of a row's value, if that is still what it was."""
    stored = envelope.to_json()
    unchanged = same_text(value_text(table), row.text) if is_text(table) else table.c.value == row.text
    update = sqlalchemy.update(table).where(*has_identity(table, row.identity), unchanged)
    return update.values(value=stored if is_text(table) else json_bytes(stored))


def _is_archive(name: str) -> bool:
    """Return whether a table is one of ``airflow db clean``, or of a migration of Airflow."""
    return (name.startswith("_airflow_") and "__xcom" in name) or name == "_xcom_archive"


def _abridged(text: Any) -> list[Any]:
    """Select the length and the text of a row with our key in it; of a long one without a reference, its ends."""
    length: Any = sqlalchemy.func.length(text)
    begin, end = sqlalchemy.func.substr(text, 1, _ENDS), sqlalchemy.func.substr(text, length - (_ENDS - 1), _ENDS)
    refers = text.contains('"ref"'), f"{ENVELOPE_KEY} may refer"
    shown = sqlalchemy.case((length <= _LONG, text), refers, else_=begin.concat(end))
    return [length, sqlalchemy.case((text.contains(ENVELOPE_KEY), shown))]


def _decoded(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text or ""


# -- XComs by their keys, whichever runs have them ---------------------------------------------------------------


def rows_with_keys(keys: Sequence[str], most: int) -> list[XComRow]:
    """Return the XComs that have one of some keys and are not too long, the newest first, at most so many."""

    def short(text: Any) -> Any:
        return sqlalchemy.func.length(text) <= _NOTED

    found = _newest(keys, most, short, lambda text: text)
    return [XComRow(name, (), text, Coordinate(*where), utc(at)) for name, (*where, at, text) in found]


def asked_of(keys: Sequence[str], most: int, holding: str) -> list[tuple[Coordinate, datetime]]:
    """Return where and when the newest XComs were written that have one of some keys and hold a text, not their values.

    At most so many, the newest first.
    """
    found = _newest(keys, most, lambda text: text.contains(holding, autoescape=True), lambda _: sqlalchemy.null())
    return [(Coordinate(*where), utc(at)) for _, (*where, at, _) in found]


def _newest(
    keys: Sequence[str], most: int, wanted: Callable[[Any], Any], shown: Callable[[Any], Any]
) -> list[tuple[str, Any]]:
    """Return tables and rows: Dag, run, task, map index, key, time, and what is shown of the text."""
    engine, schema = metadata_engine(), metadata_schema()
    found: list[tuple[str, Any]] = []
    for table, task, source in _placed_tables(engine, schema):
        text = value_text(table)
        select = sqlalchemy.select(*task, table.c.key, table.c.timestamp, shown(text)).select_from(source)
        select = select.where(table.c.key.in_(keys), wanted(text)).order_by(table.c.timestamp.desc()).limit(most)
        found += ((table.name, row) for row in read(engine, select))
    return sorted(found, key=lambda each: utc(each[1].timestamp), reverse=True)[:most]


@lru_cache(4)
def _placed_tables(engine: Any, schema: str | None) -> list[tuple[Any, tuple[Any, ...], Any]]:
    """Return the tables, the columns of Dag, run, task and map index of each, and what they are selected from."""
    found = []
    for table in xcom_tables(engine, schema).values():
        source: Any = table
        tasks: Any = table
        if "task_instance_id" in table.c:  # Airflow 3.4's own table
            tasks = reflected(engine, "task_instance", schema)
            source = table.join(tasks, tasks.c.id == table.c.task_instance_id)
        found.append((table, (tasks.c.dag_id, tasks.c.run_id, tasks.c.task_id, index_column(tasks)), source))
    return found

"""The rows of XComs in Airflow's metadata database, for commands that go through all of them."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import json_bytes
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope
from airflow_xcom.backend.errors import XComNotFoundError
from airflow_xcom.codecs import CodecError, CorruptPayloadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Found", "Row", "Rows", "metadata_rows"]

_TABLES = ("xcom", "xcom_v1", "xcom_v2")  # up to Airflow 3.3; from 3.4 on, the old ones and those of its own
_PAGE = 500
_SMALL_PAGE = 100  # where values are held along with their rows
_PARTS = ("dag_id", "run_id", "task_id", "map_index", "key")  # of a coordinate, and columns
_LONG = 1 << 14  # characters of a row that are not read unless they must be
_ENDS = 64  # characters of either end of a long one, where the version of an envelope stands
# Envelopes of version 1 as they are written, and as JSONB and MySQL order their keys: the shortest first.
_VERSION_1 = re.compile(r'\A\{"airflow_xcom": ?\{"version": ?1,|"version": ?1\}\}\Z')


@dataclass(frozen=True, slots=True)
class Row:
    """A row with one of our envelopes.

    Attributes:
        table: the name of its table.
        identity: its primary key.
        text: its value as the database gives it as text.
        envelope: the value.
    """

    table: str
    identity: tuple[Any, ...]
    text: Any
    envelope: Envelope

    def __str__(self) -> str:
        return f"{self.envelope.coordinate} ({self.table} {self.identity})"


@dataclass(frozen=True, slots=True)
class Found:
    """A row of any kind.

    Attributes:
        table: the name of its table.
        identity: its primary key.
        text: its value as the database gives it as text.
        coordinate: which XCom it is, by the columns of the table; what they do not tell, by its envelope.
        stored: its value.
        envelope: the value, if it is one of our envelopes.
        error: why it cannot be read, if it should be one.
    """

    table: str
    identity: tuple[Any, ...]
    text: Any
    coordinate: Coordinate
    stored: Any
    envelope: Envelope | None = None
    error: CodecError | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it has an envelope, readable or not."""
        return self.envelope is not None or self.error is not None


class Rows:
    """The XComs of a metadata database, whichever Airflow's it is.

    Args:
        engine: SQLAlchemy's.
    """

    def __init__(self, engine: Any) -> None:
        import sqlalchemy

        self._engine = engine
        present = [name for name in _TABLES if sqlalchemy.inspect(engine).has_table(name)]
        metadata = sqlalchemy.MetaData()
        self._tables = {name: sqlalchemy.Table(name, metadata, autoload_with=engine) for name in present}

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables with XComs."""
        return tuple(self._tables)

    def referring(self, page: int = _PAGE) -> Iterator[Row]:
        """The rows that refer to a blob, in the order of their keys.

        They are read page by page, each in a transaction of its own, so that nothing is held up; a row that comes or
        goes meanwhile may be seen or not.  Rows whose envelope cannot be read are left out.
        """
        for name in self._tables:
            yield from self._referring(name, page)

    def _referring(self, name: str, page: int) -> Iterator[Row]:
        import sqlalchemy

        table = self._tables[name]
        keys, is_text = list(table.primary_key), _as_text(table) is not table.c.value
        select = sqlalchemy.select(*keys, _as_text(table).label("text")).order_by(*keys).limit(page)
        last: tuple[Any, ...] | None = None
        while True:
            after = select if last is None else select.where(sqlalchemy.tuple_(*keys) > sqlalchemy.tuple_(*last))
            *shown_keys, text = after.subquery().c  # see _pages
            refers = sqlalchemy.and_(text.contains(f'"{ENVELOPE_KEY}"'), text.contains('"ref"'))
            shown = sqlalchemy.case((refers, text)) if is_text else text
            with self._engine.connect() as connection:
                found = connection.execute(sqlalchemy.select(*shown_keys, shown).order_by(*shown_keys)).fetchall()
            for *identity, value in found:
                envelope = None if value is None else _envelope(value)
                if envelope is not None and envelope.reference is not None:
                    yield Row(name, tuple(identity), value, envelope)
            if len(found) < page:
                return
            last = tuple(found[-1][:-1])

    def marked(self, page: int = _PAGE) -> Iterator[tuple[str, str]]:
        """The rows that may refer to a blob, readable or not: what to call each, and its text.

        These are all rows in which our key stands, but long ones that hold their value themselves.  They are read as
        those of :meth:`referring` are.
        """
        for name, table in self._tables.items():
            for *identity, length, text in self._pages(table, page):
                if length <= _LONG or not _VERSION_1.search(text):
                    whole = text if length <= _LONG else self._whole(table, identity)
                    if ENVELOPE_KEY in whole:
                        yield f"{name} {tuple(identity)}", whole

    def _pages(self, table: Any, page: int) -> Iterator[Any]:
        """Keys, length and text of the rows in which our key stands; of a long text that has no reference, its ends.

        Pages are cut by the keys alone: with a condition on the text, PostgreSQL expects few rows and reads and sorts
        the whole table for every page.
        """
        import sqlalchemy
        from sqlalchemy import func

        keys = list(table.primary_key)
        select = sqlalchemy.select(*keys, _as_text(table).label("text")).order_by(*keys).limit(page)
        last: tuple[Any, ...] | None = None
        while True:
            after = select if last is None else select.where(sqlalchemy.tuple_(*keys) > sqlalchemy.tuple_(*last))
            cut = after.subquery()
            *shown_keys, text = cut.c
            length: Any = func.length(text)
            shown: Any = text
            if _as_text(table) is not table.c.value:
                begin, end = func.substr(text, 1, _ENDS), func.substr(text, length - (_ENDS - 1), _ENDS)
                refers = text.contains('"ref"'), f"{ENVELOPE_KEY} may refer"
                long = sqlalchemy.case((length <= _LONG, text), refers, else_=begin.concat(end))
                shown = sqlalchemy.case((text.contains(ENVELOPE_KEY), long))
            with self._engine.connect() as connection:
                rows = connection.execute(
                    sqlalchemy.select(*shown_keys, length, shown).order_by(*shown_keys)
                ).fetchall()
            for *facts, found in rows:
                if found is not None:
                    yield *facts, found.decode(errors="replace") if isinstance(found, bytes) else found
            if len(rows) < page:
                return
            last = tuple(rows[-1][: len(keys)])

    def _whole(self, table: Any, identity: Sequence[Any]) -> str:
        """The text of a row, or none if it is gone."""
        import sqlalchemy

        same = [column == part for column, part in zip(table.primary_key, identity, strict=True)]
        with self._engine.connect() as connection:
            text = connection.execute(sqlalchemy.select(_as_text(table)).where(*same)).scalar()
        return text.decode(errors="replace") if isinstance(text, bytes) else text or ""

    def replace(self, row: Row, envelope: Envelope) -> bool:
        """Put another envelope in the place of a row's, if that is still what it was, and say whether it was."""
        import sqlalchemy

        table = self._tables[row.table]
        same = [column == part for column, part in zip(table.primary_key, row.identity, strict=True)]
        value: Any = envelope.to_json()
        if _as_text(table) is table.c.value:
            value = json_bytes(value)
        update = sqlalchemy.update(table).where(*same, _as_text(table) == row.text).values(value=value)
        with self._engine.begin() as connection:
            return bool(connection.execute(update).rowcount)

    def found(self, wanted: Coordinate, page: int = _SMALL_PAGE, *, plain: bool = False) -> Iterator[Found]:
        """The rows that have the parts of a coordinate which are set, in the order of their keys, page by page.

        Args:
            wanted: the parts that matter are not None.
            page: rows that are held at a time.
            plain: give rows without an envelope, too.
        """
        for name in self._tables:
            for row in self._found(name, wanted, page, plain=plain):
                if (plain or row.is_ours) and _agrees(wanted, row.coordinate):
                    yield row

    def _found(self, name: str, wanted: Coordinate, page: int, *, plain: bool) -> Iterator[Found]:
        import sqlalchemy

        table = self._tables[name]
        keys, text = list(table.primary_key), _as_text(table)
        known = {part: table.c[part] for part in _PARTS if part in table.c}
        parts = {part: getattr(wanted, part) for part in known}
        select = sqlalchemy.select(*known.values(), *keys, text).order_by(*keys).limit(page)
        select = select.where(*(known[part] == value for part, value in parts.items() if value is not None))
        if text is not table.c.value and not plain:
            select = select.where(text.contains(f'"{ENVELOPE_KEY}"'))
        last: tuple[Any, ...] | None = None
        while True:
            after = select if last is None else select.where(sqlalchemy.tuple_(*keys) > sqlalchemy.tuple_(*last))
            with self._engine.connect() as connection:
                rows = connection.execute(after).fetchall()
            for row in rows:
                place = dict(zip(known, row, strict=False))
                yield _found_row(name, tuple(row[len(known) : -1]), row[-1], place)
            if len(rows) < page:
                return
            last = tuple(rows[-1][len(known) : -1])

    def is_current(self, row: Found) -> bool:
        """Whether a row is still what it was when it was read."""
        import sqlalchemy

        table = self._tables[row.table]
        same = [column == part for column, part in zip(table.primary_key, row.identity, strict=True)]
        with self._engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(_as_text(table)).where(*same)).fetchone()
        return found is not None and bool(found[0] == row.text)


@contextmanager
def metadata_rows() -> Iterator[Rows]:
    """The rows of the database that Airflow's own settings name.

    Raises:
        XComNotFoundError: it has no table of XComs, so that to whom it matters nothing would seem to be referred to.
    """
    from airflow.utils.session import create_session

    with create_session() as session:
        engine = session.get_bind()
    rows = Rows(engine)
    if not rows.tables:
        raise XComNotFoundError("the metadata database has no table of XComs; is it that of a running Airflow?")
    yield rows


def _as_text(table: Any) -> Any:
    """A row's value as text, which can be compared; in Airflow 2 it is JSON in a column of bytes."""
    import sqlalchemy

    column = table.c.value
    return column if isinstance(column.type, sqlalchemy.LargeBinary) else sqlalchemy.cast(column, sqlalchemy.Text)


def _envelope(text: Any) -> Envelope | None:
    try:
        return Envelope.from_json(json.loads(text))
    except (ValueError, TypeError, CodecError):
        return None


def _found_row(table: str, identity: tuple[Any, ...], text: Any, place: dict[str, Any]) -> Found:
    """A row, with its envelope or what is wrong with it."""
    try:
        stored = json.loads(text)
    except (ValueError, TypeError):
        ours = isinstance(text, str | bytes) and ENVELOPE_KEY in str(text)
        error = CorruptPayloadError("the row is not JSON") if ours else None
        return Found(table, identity, text, Coordinate(**place), None, None, error)
    try:
        envelope = Envelope.from_json(stored)
    except CodecError as error:
        error.context = str(Coordinate(**place))
        return Found(table, identity, text, Coordinate(**place), stored, None, error)
    written = {} if envelope is None else {part: getattr(envelope.coordinate, part) for part in _PARTS}
    return Found(table, identity, text, Coordinate(**{**written, **place}), stored, envelope)


def _agrees(wanted: Coordinate, found: Coordinate) -> bool:
    parts = ((getattr(wanted, part), getattr(found, part)) for part in _PARTS)
    return all(part is None or part == value for part, value in parts)

"""The rows of XComs in Airflow's metadata database, for commands that go through all of them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.reference import ENVELOPE_KEY, Envelope
from airflow_xcom.codecs import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Row", "Rows", "metadata_rows"]

_TABLES = ("xcom", "xcom_v1", "xcom_v2")  # up to Airflow 3.3; from 3.4 on, the old ones and those of its own
_PAGE = 500


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
        keys, text = list(table.primary_key), _as_text(table)
        select = sqlalchemy.select(*keys, text).order_by(*keys).limit(page)
        if text is not table.c.value:
            select = select.where(text.contains(f'"{ENVELOPE_KEY}"'), text.contains('"ref"'))
        last: tuple[Any, ...] | None = None
        while True:
            after = select if last is None else select.where(sqlalchemy.tuple_(*keys) > sqlalchemy.tuple_(*last))
            with self._engine.connect() as connection:
                found = connection.execute(after).fetchall()
            for *identity, value in found:
                envelope = _envelope(value)
                if envelope is not None and envelope.reference is not None:
                    yield Row(name, tuple(identity), value, envelope)
            if len(found) < page:
                return
            last = tuple(found[-1][:-1])

    def replace(self, row: Row, envelope: Envelope) -> bool:
        """Put another envelope in the place of a row's, if that is still what it was, and say whether it was."""
        import sqlalchemy

        table = self._tables[row.table]
        same = [column == part for column, part in zip(table.primary_key, row.identity, strict=True)]
        value: Any = envelope.to_json()
        if _as_text(table) is table.c.value:
            value = json.dumps(value).encode()
        update = sqlalchemy.update(table).where(*same, _as_text(table) == row.text).values(value=value)
        with self._engine.begin() as connection:
            return bool(connection.execute(update).rowcount)


@contextmanager
def metadata_rows() -> Iterator[Rows]:
    """The rows of the database that Airflow's own settings name."""
    from airflow.utils.session import create_session

    with create_session() as session:
        engine = session.get_bind()
    yield Rows(engine)


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

"""State of tasks and assets in Airflow's metadata database, from Airflow 3.3 on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy

from airflow_xcom.backend.database.paging import pages
from airflow_xcom.backend.database.tables import has_identity, index_column, marked_rows, parsed, reflected, same_text
from airflow_xcom.backend.state_coordinate import ASSET, TASK, WRAPPER, StateCoordinate

_TABLES = {"task_state_store": TASK, "asset_state_store": ASSET}
_PAGE = 100  # rows that are held at a time with their values
_NO_LOOP = 0  # the number of the region outside of loops


@dataclass(frozen=True)
class StateRow:
    """A row whose value stands in Airflow's wrapper.

    Attributes:
        table: the name of its table.
        identity: its primary key.
        kind: what it is the state of.
        at: whose state it is, by the columns of the table.
        text: its JSON.
        ref: what is in the wrapper.
    """

    table: str
    identity: tuple[Any, ...]
    kind: str
    at: StateCoordinate
    text: str
    ref: Any


class StateRows:
    """The state in a metadata database; none where Airflow has no state store."""

    def __init__(self, engine: Any, schema: str | None = None) -> None:
        self._engine = engine
        self._schema = schema
        inspector = sqlalchemy.inspect(engine)
        present = [name for name in _TABLES if inspector.has_table(name, schema)]
        self._tables = {name: reflected(engine, name, schema) for name in present}

    def candidates(self, page: int) -> Iterator[tuple[str, tuple[Any, ...], str]]:
        """Yield the table, the primary key and the reference of all rows in which our key stands, archived ones too."""
        for name, identity, text in marked_rows(self._engine, self._schema, _TABLES, "value", page):
            yield name, identity, _reference(text)

    def wrapped(self, page: int = _PAGE) -> Iterator[StateRow]:
        """Yield the rows whose value stands in Airflow's wrapper."""
        for name, table in self._tables.items():
            keys, text = list(table.primary_key), _text(table)
            columns, source = self._whose(name)
            select = sqlalchemy.select(*keys, *columns.values(), sqlalchemy.case((text.contains(WRAPPER), text)))
            for row in chain.from_iterable(pages(self._engine, select.select_from(source), keys, page)):
                value = parsed(row[-1])
                if _is_wrapper(value):
                    parts = dict(zip(columns, row[len(keys) :], strict=False))
                    parts["region"] = _region(parts.get("region"))
                    identity, at = tuple(row[: len(keys)]), StateCoordinate(**parts)
                    yield StateRow(name, identity, _TABLES[name], at, row[-1], value[WRAPPER])

    def replace(self, row: StateRow, text: str) -> bool:
        """Put JSON in the place of a row's value, if that is still what it was, and say whether it was."""
        table = self._tables[row.table]
        unchanged = same_text(_text(table), row.text)
        update = sqlalchemy.update(table).where(*has_identity(table, row.identity), unchanged)
        with self._engine.begin() as connection:
            done = connection.execute(update.values(value=sqlalchemy.literal(text, sqlalchemy.Text())))
            return bool(done.rowcount)

    def _whose(self, name: str) -> tuple[dict[str, Any], Any]:
        """Return the columns that tell whose state a row is, by the parts of a coordinate, and what has them."""
        table = self._tables[name]
        if _TABLES[name] == ASSET:
            assets = reflected(self._engine, "asset", self._schema)
            columns = {"key": table.c.key, "name": assets.c.name, "uri": assets.c.uri}
            return columns, table.join(assets, assets.c.id == table.c.asset_id)
        columns = {part: table.c[part] for part in ("dag_id", "run_id", "task_id", "key")}
        columns["map_index"] = index_column(table)
        if "region_id" in table.c:  # from Airflow 3.4 on
            columns["region"] = table.c.region_id
        return columns, table


def _text(table: Any) -> Any:
    return sqlalchemy.cast(table.c.value, sqlalchemy.Text)


def _is_wrapper(value: Any) -> bool:
    return type(value) is dict and value.keys() == {WRAPPER}


def _reference(text: str) -> str:
    """Return what a row's wrapper holds; the whole text if it is not one, since whatever it names counts."""
    value = parsed(text)
    return value[WRAPPER] if _is_wrapper(value) and type(value[WRAPPER]) is str else text


def _region(stored: Any) -> str | None:
    """Return a region as a coordinate has it, from a UUID or its hexadecimal digits."""
    digits = "" if stored is None else str(stored).replace("-", "")
    return digits if digits and int(digits, 16) != _NO_LOOP else None

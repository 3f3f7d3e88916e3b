"""Runs that have ended and their XComs, in Airflow's metadata database, page by page."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import json_bytes
from airflow_xcom.backend.database.xcom_rows import Rows, _as_text
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate
from airflow_xcom.backend.retention_policy import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_xcom.backend.envelope import Envelope

__all__ = ["Run", "Runs", "Value", "metadata_runs"]

_RUNS = 100  # in a page
_DAGS, _VALUES = 500, 100  # in a page
_SMALL = 1024  # characters; a plain value that has no more stays: what would replace it is hardly smaller
_RETURNED = "return_value"
# Of tasks that need nothing more; in a run that has ended, a task in any other state, or none, may yet need its values.
_SETTLED = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended, with all of its tasks."""

    id: int
    dag_id: str
    run_id: str
    state: str
    end: datetime
    stored_end: Any

    def age(self, now: datetime) -> float:
        """Seconds since it ended."""
        return (now - self.end).total_seconds()


@dataclass(frozen=True, slots=True)
class Value:
    """One XCom.

    Attributes:
        run: it is of.
        table: the name of its table.
        identity: its primary key.
        coordinate: as the database has it.
        written: when.
        text: its value as the database gives it as text.
        is_result: whether Airflow shows it as the result of the run.
    """

    run: Run
    table: str
    identity: tuple[Any, ...]
    coordinate: Coordinate
    written: datetime | None
    text: Any
    is_result: bool

    @property
    def is_reserved(self) -> bool:
        """Whether Airflow itself reads it: what a branch decided, and the links of operators."""
        key = self.coordinate.key or ""
        return key == "skipmixin_key" or key.startswith("_link_")

    @property
    def may_be_plain(self) -> bool:
        """Whether it may go although it is plain JSON, which readers other than this backend know."""
        return self.coordinate.key == _RETURNED and not self.is_result and len(self.text) > _SMALL


class Runs:
    """The runs of a metadata database, whichever Airflow's it is.

    Every page is read in a transaction of its own, so nothing is held up.

    Args:
        engine: SQLAlchemy's.
    """

    def __init__(self, engine: Any) -> None:
        import sqlalchemy

        self._engine = engine
        metadata = sqlalchemy.MetaData()

        def reflected(name: str) -> Any:
            return sqlalchemy.Table(name, metadata, autoload_with=engine, resolve_fks=False)

        self._tables = {name: reflected(name) for name in Rows(engine).tables}
        self._runs, self._tasks, self._tags = map(reflected, ("dag_run", "task_instance", "dag_tag"))

    def dags(self, page: int = _DAGS) -> Iterator[str]:
        """The Dags that have runs, in the order of their ids."""
        import sqlalchemy

        column, last = self._runs.c.dag_id, ""
        while True:
            select = sqlalchemy.select(column).distinct().where(column > last).order_by(column).limit(page)
            found = self._read(select)
            yield from (dag_id for (dag_id,) in found)
            if len(found) < page:
                return
            last = found[-1][0]

    def tags(self, dag_id: str) -> list[str]:
        """Those of a Dag."""
        import sqlalchemy

        return [name for (name,) in self._read(sqlalchemy.select(self._tags.c.name).filter_by(dag_id=dag_id))]

    def has_ended(self, dag_id: str, run_id: str) -> bool:
        """Whether a run has, or is gone."""
        import sqlalchemy

        states = self._read(sqlalchemy.select(self._runs.c.state).filter_by(dag_id=dag_id, run_id=run_id))
        return all(state in STATES for (state,) in states)

    def settled(self, dag_id: str, page: int = _RUNS) -> Iterator[list[Run]]:
        """The runs of a Dag that have ended, with all of their tasks, those first that ended last; in pages."""
        import sqlalchemy

        runs = self._runs.c
        order = (runs.end_date, runs.id)
        select = (
            sqlalchemy.select(runs.id, runs.dag_id, runs.run_id, runs.state, runs.end_date)
            .where(runs.dag_id == dag_id, runs.state.in_(STATES), runs.end_date.is_not(None))
            .order_by(*(column.desc() for column in order))
            .limit(page)
        )
        found: Sequence[Any] = ()
        while True:
            if found:
                last = sqlalchemy.tuple_(found[-1].end_date, found[-1].id, types=[column.type for column in order])
                found = self._read(select.where(sqlalchemy.tuple_(*order) < last))
            else:
                found = self._read(select)
            busy = self._busy(dag_id, [row.run_id for row in found])
            yield [_run(row) for row in found if row.run_id not in busy]
            if len(found) < page:
                return

    def _busy(self, dag_id: str, run_ids: list[str]) -> set[str]:
        import sqlalchemy

        tasks = self._tasks.c
        select = sqlalchemy.select(tasks.run_id).distinct()
        select = select.where(tasks.dag_id == dag_id, tasks.run_id.in_(run_ids), self._unsettled())
        return {run_id for (run_id,) in self._read(select)}

    def _unsettled(self) -> Any:
        import sqlalchemy

        state = self._tasks.c.state
        return sqlalchemy.or_(state.is_(None), state.not_in(_SETTLED))

    def values(self, runs: Sequence[Run], page: int = _VALUES) -> Iterator[tuple[Run, list[Value]]]:
        """The XComs of runs of one Dag that may have to go, some at a time, each time of one run."""
        for name in self._tables if runs else ():
            for found in self._values(name, runs, page):
                for run, values in groupby(found, key=lambda value: value.run):
                    yield run, list(values)

    def _values(self, name: str, runs: Sequence[Run], page: int) -> Iterator[list[Value]]:
        """Pages of one table, in the order of the runs' ids and its primary key."""
        import sqlalchemy

        table = self._tables[name]
        of_run, place, source, same_dag = self._place(table, runs[0].dag_id)
        by_id = {run.id if of_run.name == "dag_run_id" else run.run_id: run for run in runs}
        order = (of_run, *(column for column in table.primary_key if column is not of_run))
        result = table.c.dag_result if "dag_result" in table.c else sqlalchemy.literal(None)
        columns = (*order, *place, table.c.key, table.c.timestamp, result, _as_text(table))
        select = sqlalchemy.select(*(column.label(f"c{at}") for at, column in enumerate(columns)))
        select = select.select_from(source).where(of_run.in_(by_id), same_dag, *self._worth_reading(table))
        select = select.order_by(*order).limit(page)
        last: tuple[Any, ...] | None = None
        while True:
            if last is not None:
                after = sqlalchemy.tuple_(*last, types=[column.type for column in order])
                found = self._read(select.where(sqlalchemy.tuple_(*order) > after))
            else:
                found = self._read(select)
            yield [_value(name, table, order, by_id, row) for row in found]
            if len(found) < page:
                return
            last = tuple(found[-1][: len(order)])

    def _place(self, table: Any, dag_id: str) -> tuple[Any, tuple[Any, Any], Any, Any]:
        """The column that says which run a row is of, the task and map index; where they are; and which Dag's."""
        if "task_instance_id" not in table.c:
            return table.c.dag_run_id, (table.c.task_id, table.c.map_index), table, table.c.dag_id == dag_id
        tasks = self._tasks  # Airflow 3.4's own table
        joined = table.join(tasks, tasks.c.id == table.c.task_instance_id)
        return tasks.c.run_id, (tasks.c.task_id, tasks.c.map_index), joined, tasks.c.dag_id == dag_id

    def _worth_reading(self, table: Any) -> list[Any]:
        """What spares the database to send small plain values, which are most; it may let through more."""
        import sqlalchemy

        text = _as_text(table)
        if text is table.c.value:  # bytes, in Airflow 2
            return [text.is_not(None)]
        long = sqlalchemy.and_(table.c.key == _RETURNED, sqlalchemy.func.length(text) > _SMALL)
        return [sqlalchemy.or_(text.contains(f'"{ENVELOPE_KEY}"'), long)]

    def replace(self, run: Run, changes: Sequence[tuple[Value, Envelope]]) -> list[bool]:
        """Put envelopes in the place of values, and say of each whether it was done.

        It is where the value still is what it was, and the run has neither begun nor ended again since it was read.
        """
        import sqlalchemy

        runs, tasks = self._runs.c, self._tasks.c
        same_run = runs.id == run.id, runs.state == run.state, runs.end_date == run.stored_end
        ended = sqlalchemy.exists().where(*same_run)
        unsettled = sqlalchemy.exists().where(tasks.dag_id == run.dag_id, tasks.run_id == run.run_id, self._unsettled())
        done = []
        with self._engine.begin() as connection:
            for value, envelope in changes:
                table = self._tables[value.table]
                text = _as_text(table)
                same = [column == part for column, part in zip(table.primary_key, value.identity, strict=True)]
                stored: Any = envelope.to_json()
                if text is table.c.value:
                    stored = json_bytes(stored)
                update = sqlalchemy.update(table).where(*same, text == value.text, ended, ~unsettled)
                done.append(bool(connection.execute(update.values(value=stored)).rowcount))
        return done

    def _read(self, select: Any) -> Sequence[Any]:
        with self._engine.connect() as connection:
            found: Sequence[Any] = connection.execute(select).fetchall()
        return found


@contextmanager
def metadata_runs() -> Iterator[Runs]:
    """The runs of the database that Airflow's own settings name."""
    from airflow.utils.session import create_session

    with create_session() as session:
        engine = session.get_bind()
    yield Runs(engine)


def _run(row: Any) -> Run:
    return Run(row.id, row.dag_id, row.run_id, row.state, _utc(row.end_date), row.end_date)


def _value(name: str, table: Any, order: Sequence[Any], by_id: dict[Any, Run], row: Any) -> Value:
    parts = dict(zip(order, row, strict=False))
    run = by_id[row[0]]
    task_id, map_index, key, written, is_result, text = row[len(order) :]
    coordinate = Coordinate(run.dag_id, run.run_id, task_id, map_index, key)
    identity = tuple(parts[column] for column in table.primary_key)
    return Value(run, name, identity, coordinate, None if written is None else _utc(written), text, bool(is_result))


def _utc(time: datetime) -> datetime:
    """Databases without zones hold UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

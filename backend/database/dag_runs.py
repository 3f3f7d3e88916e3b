"""Runs that have ended and their XComs, in Airflow's metadata database, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import sqlalchemy

from airflow_xcom.backend.compat import metadata_engine, metadata_schema
from airflow_xcom.backend.database.paging import pages, read
from airflow_xcom.backend.database.tables import index_column, reflected, utc, value_text, xcom_tables
from airflow_xcom.backend.database.xcom_rows import XComRow, replacement
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope
from airflow_xcom.backend.retention_policy import STATES

_RUNS = 100  # in a page
_OUTLINED_RUNS, _OUTLINED = 20, 500  # in a page of runs, and of their XComs
_DAGS, _VALUES = 500, 100  # in a page
_LONG = 1 << 14  # characters; more are not read for an outline unless they must be
_SMALL = 1024  # characters; a JSON value that has no more stays: what would replace it is hardly smaller
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
        """Return the seconds since it ended."""
        return (now - self.end).total_seconds()


def is_large_result(row: XComRow) -> bool:
    """Return whether a row may be retired although its value is JSON natives, which other readers than we know."""
    return row.columns.key == _RETURNED and not row.is_result and len(row.text) > _SMALL


class Runs:
    """The runs of a metadata database, whichever Airflow's it is.

    They are read page by page, see :func:`airflow_xcom.backend.database.paging.pages`.
    """

    def __init__(self, engine: Any, schema: str | None = None) -> None:
        self._engine = engine
        self._schema = schema
        self._tables = xcom_tables(engine, schema)
        names = ("dag_run", "task_instance", "dag_tag")
        self._runs, self._tasks, self._tags = (reflected(engine, name, schema) for name in names)

    @property
    def database(self) -> tuple[Any, str | None]:
        """Return the engine and the schema, which others of the same database are made of."""
        return self._engine, self._schema

    def dags(self, page: int = _DAGS) -> Iterator[str]:
        """Yield the Dags that have runs, in the order of their ids."""
        column = self._runs.c.dag_id
        ids = pages(self._engine, sqlalchemy.select(column).distinct(), [column], page)
        return (dag_id for (dag_id,) in chain.from_iterable(ids))

    def tags(self, dag_id: str) -> list[str]:
        """Return those of a Dag."""
        select = sqlalchemy.select(self._tags.c.name).filter_by(dag_id=dag_id)
        return [name for (name,) in read(self._engine, select)]

    def has_ended(self, dag_id: str, run_id: str) -> bool:
        """Return whether a run has, or is gone."""
        select = sqlalchemy.select(self._runs.c.state).filter_by(dag_id=dag_id, run_id=run_id)
        return all(state in STATES for (state,) in read(self._engine, select))

    def ended_earlier(self, dag_id: str, run_ids: Sequence[str], age: float, limit: int = _RUNS) -> list[str]:
        """Return the runs of a Dag that ended so many seconds before these did, at most ``limit``, the last ones first.

        Those that had ended so long before the run before these did too are left out.  So each run is returned once,
        for whichever run ends next.
        """
        runs = self._runs.c
        ended = sqlalchemy.and_(runs.dag_id == dag_id, runs.state.in_(STATES), runs.end_date.is_not(None))
        ends = sqlalchemy.select(runs.end_date).where(ended, runs.run_id.in_(run_ids)).order_by(runs.end_date)
        found = [end for (end,) in read(self._engine, ends)]
        if not found:
            return []
        last = sqlalchemy.select(sqlalchemy.func.max(runs.end_date)).where(ended, runs.end_date < found[0])
        ((before,),) = read(self._engine, last)
        since = [] if before is None else [runs.end_date > before - timedelta(seconds=age)]
        due = sqlalchemy.select(runs.run_id).where(ended, runs.end_date <= found[-1] - timedelta(seconds=age), *since)
        due = due.order_by(runs.end_date.desc(), runs.id.desc()).limit(limit)
        return [run_id for (run_id,) in read(self._engine, due)]

    def settled(self, dag_id: str, page: int = _RUNS) -> Iterator[list[Run]]:
        """Yield pages of the runs of a Dag that have ended, with all of their tasks; those first that ended last."""
        runs = self._runs.c
        ended = runs.dag_id == dag_id, runs.state.in_(STATES), runs.end_date.is_not(None)
        select = sqlalchemy.select(runs.end_date, runs.id, runs.run_id, runs.state).where(*ended)
        for rows in pages(self._engine, select, [runs.end_date, runs.id], page, descending=True):
            busy = self._busy(dag_id, [row.run_id for row in rows])
            idle = (row for row in rows if row.run_id not in busy)
            yield [Run(row.id, dag_id, row.run_id, row.state, utc(row.end_date), row.end_date) for row in idle]

    def _busy(self, dag_id: str, run_ids: list[str]) -> set[str]:
        """Return those of the runs that have a task which may yet need its values."""
        tasks = self._tasks.c
        select = sqlalchemy.select(tasks.run_id).distinct()
        select = select.where(tasks.dag_id == dag_id, tasks.run_id.in_(run_ids), self._unsettled())
        return {run_id for (run_id,) in read(self._engine, select)}

    def _unsettled(self) -> Any:
        state = self._tasks.c.state
        return sqlalchemy.or_(state.is_(None), state.not_in(_SETTLED))

    def values(self, runs: Sequence[Run], page: int = _VALUES) -> Iterator[tuple[Run, list[XComRow]]]:
        """Yield the XComs of runs of one Dag that may have to go, some at a time, each time of one run."""
        for name in self._tables if runs else ():
            for rows_of_runs in self._values(name, runs, page):
                for run, rows in groupby(rows_of_runs, key=itemgetter(0)):
                    yield run, [row for _, row in rows]

    def _values(self, name: str, runs: Sequence[Run], size: int) -> Iterator[list[tuple[Run, XComRow]]]:
        """Yield pages of one table, in the order of the runs' ids and its primary key."""
        table = self._tables[name]
        of_run, task, source, same_dag = self._joined(table, runs[0].dag_id)
        by_id = {run.id if of_run.name == "dag_run_id" else run.run_id: run for run in runs}
        keys = (of_run, *(column for column in table.primary_key if column is not of_run))
        result = table.c.dag_result if "dag_result" in table.c else sqlalchemy.literal(None)
        columns = (*keys, *task, table.c.key, table.c.timestamp, result, value_text(table))
        select = sqlalchemy.select(*(column.label(f"c{at}") for at, column in enumerate(columns)))
        select = select.select_from(source).where(of_run.in_(by_id), same_dag, *self._worth_reading(table))
        for rows in pages(self._engine, select, keys, size):
            yield [(by_id[row[0]], _row(table, keys, by_id[row[0]], row)) for row in rows]

    def outlines(self, dag_id: str, page: int = _OUTLINED) -> Iterator[list[tuple[XComRow, int]]]:
        """Yield the XComs of a Dag, those of its last runs first, and how many characters the database holds of each.

        They come page by page, an empty one where runs have none, so that whoever asks may stop after any statement.

        A text is read if it is an envelope of ours, and of a long one only if it may refer to a blob or be inexact; it
        is None otherwise.  However many XComs there are, a statement reads no more of them than a page has.
        """
        columns = self._runs.c.id, self._runs.c.run_id
        select = sqlalchemy.select(*columns).where(self._runs.c.dag_id == dag_id)
        for runs in pages(self._engine, select, columns[:1], _OUTLINED_RUNS, descending=True):
            for name in self._tables if runs else ():
                yield from self._outlines(name, dag_id, runs, page)

    def _outlines(self, name: str, dag_id: str, runs: Sequence[Any], size: int) -> Iterator[list[tuple[XComRow, int]]]:
        table = self._tables[name]
        of_run, task, source, same_dag = self._joined(table, dag_id)
        is_by_id = of_run.name == "dag_run_id"
        run_ids = {run.id if is_by_id else run.run_id: run.run_id for run in runs}
        keys = (of_run, *(column for column in table.primary_key if column is not of_run))
        columns = (*keys, *task, table.c.key, value_text(table))
        select = sqlalchemy.select(*(column.label(f"c{at}") for at, column in enumerate(columns)))
        # With a condition on the Dag, SQLite would read all of its rows.
        select = select.select_from(source).where(of_run.in_(run_ids), *(() if is_by_id else (same_dag,)))

        def around(part: Any) -> Any:
            *known, text = part.subquery().c
            return sqlalchemy.select(*known, *_outlined(text)).order_by(*known[: len(keys)])

        def outline(row: Any) -> tuple[XComRow, int]:
            task_id, map_index, key, length, text = row[len(keys) :]
            return XComRow(name, (), text, Coordinate(dag_id, run_ids[row[0]], task_id, map_index, key)), length or 0

        for rows in pages(self._engine, select, keys, size, around=around):
            yield list(map(outline, rows))

    def _joined(self, table: Any, dag_id: str) -> tuple[Any, tuple[Any, Any], Any, Any]:
        """Return the column of the run, those of the task and map index, the table, and the condition on the Dag."""
        if "task_instance_id" not in table.c:
            return table.c.dag_run_id, (table.c.task_id, table.c.map_index), table, table.c.dag_id == dag_id
        tasks = self._tasks  # Airflow 3.4's own table
        joined = table.join(tasks, tasks.c.id == table.c.task_instance_id)
        return tasks.c.run_id, (tasks.c.task_id, index_column(tasks)), joined, tasks.c.dag_id == dag_id

    def _worth_reading(self, table: Any) -> list[Any]:
        """Return what spares the database to send small JSON values, which are most; it may let through more."""
        text = value_text(table)
        if text is table.c.value:  # bytes, in Airflow 2
            return [text.is_not(None)]
        long = sqlalchemy.and_(table.c.key == _RETURNED, sqlalchemy.func.length(text) > _SMALL)
        return [sqlalchemy.or_(text.contains(f'"{ENVELOPE_KEY}"'), long)]

    def replace(self, run: Run, changes: Sequence[tuple[XComRow, Envelope]]) -> list[bool]:
        """Put envelopes in the place of values, and say of each whether it was done.

        It is where the value still is what it was, and the run has neither begun nor ended again since it was read.
        """
        runs, tasks = self._runs.c, self._tasks.c
        ended = sqlalchemy.exists().where(runs.id == run.id, runs.state == run.state, runs.end_date == run.stored_end)
        unsettled = sqlalchemy.exists().where(tasks.dag_id == run.dag_id, tasks.run_id == run.run_id, self._unsettled())
        with self._engine.begin() as connection:
            of_run = {"dag_id": run.dag_id, "run_id": run.run_id}
            for table in (self._runs, self._tasks):  # waits for who has not committed: the run first, as Airflow does
                connection.execute(sqlalchemy.select(table.c.state).filter_by(**of_run).with_for_update()).fetchall()
            updates = (replacement(self._tables[row.table], row, envelope) for row, envelope in changes)
            return [bool(connection.execute(update.where(ended, ~unsettled)).rowcount) for update in updates]


def metadata_runs() -> Runs:
    """Return the runs of the database that Airflow's own settings name."""
    return _runs(metadata_engine(), metadata_schema())


_runs = lru_cache(4)(Runs)  # reading which columns the tables have takes dozens of statements


def _outlined(text: Any) -> tuple[Any, Any]:
    """Select the length of a text, and the text where an outline needs it."""
    length = sqlalchemy.func.length(text)
    needed = sqlalchemy.or_(length <= _LONG, text.contains('"ref"'), text.contains('"inexact"'))
    return length, sqlalchemy.case((sqlalchemy.and_(text.contains(f'"{ENVELOPE_KEY}"'), needed), text))


def _row(table: Any, keys: Sequence[Any], run: Run, row: Any) -> XComRow:
    parts = dict(zip(keys, row, strict=False))
    identity = tuple(parts[column] for column in table.primary_key)
    task_id, map_index, key, written, is_result, text = row[len(keys) :]
    coordinate = Coordinate(run.dag_id, run.run_id, task_id, map_index, key)
    return XComRow(table.name, identity, text, coordinate, written and utc(written), bool(is_result))

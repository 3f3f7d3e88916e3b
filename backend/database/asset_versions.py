"""Assets, their events, and which of these runs still need, in Airflow's metadata database.

In Airflow 2, assets are datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import sqlalchemy

from airflow_xcom.backend.compat import metadata_engine, metadata_schema
from airflow_xcom.backend.compat_assets import Event
from airflow_xcom.backend.database.deployment import Deployment, database_deployment
from airflow_xcom.backend.database.paging import pages, read
from airflow_xcom.backend.database.tables import agreed_time, parsed, reflected, utc
from airflow_xcom.backend.envelope import ENVELOPE_KEY
from airflow_xcom.backend.retention_policy import STATES

_PAGE = 500
_LONGEST = 1 << 18  # characters of an extra that the pages of assets read: a hundred partitions take fewer
_NAMES = (
    {"asset": "asset", "event": "asset_event", "queue": "asset_dag_run_queue", "links": "dagrun_asset_event"},
    {"asset": "dataset", "event": "dataset_event", "queue": "dataset_dag_run_queue", "links": "dagrun_dataset_event"},
)
_WAITING, _CONTRIBUTIONS = "asset_partition_dag_run", "partitioned_asset_key_log"  # from Airflow 3.2 on
_ALIASES = ("asset_alias_asset", "asset_alias")
_BEGAN = ("run_after", "logical_date", "execution_date")  # what Airflow compares the times of events with


@dataclass(frozen=True)
class KnownAsset:
    """An asset, whether Dags still name it or not.

    Attributes:
        id: in the database.
        name: in Airflow 2, the URI.
        uri: of the asset.
        extra: what its Dag says of it.
    """

    id: int
    name: str
    uri: str
    extra: Any


class AssetEvents:
    """The assets and events of a metadata database, whichever Airflow's it is."""

    def __init__(self, engine: Any, schema: str | None = None) -> None:
        self._engine = engine
        self._schema = schema
        self._has = sqlalchemy.inspect(engine).has_table
        names: dict[str, str] = next((each for each in _NAMES if self._has(each["event"], schema)), {})
        self._tables = {part: reflected(engine, name, schema) for part, name in names.items()}
        self._id = f"{names.get('asset')}_id"  # the column of an event, and of the queue

    def deployment(self) -> Deployment | None:
        """Return which Airflow's they are; None if its database has no id."""
        return database_deployment(self._engine, self._schema, create=False)

    def now(self) -> datetime:
        """Return the time, see :func:`airflow_xcom.backend.database.tables.agreed_time`."""
        return agreed_time(self._engine)

    def assets(self) -> list[KnownAsset]:
        """Return all assets, by name; none where the database is not that of an Airflow with assets."""
        return self._known() if self._tables else []

    def asset(self, number: int) -> KnownAsset | None:
        """Return the asset that has this id."""
        found = self._known(id=number)
        return found[0] if found else None

    def named(self, name: str, uri: str) -> KnownAsset | None:
        """Return the asset that has this name and URI."""
        found = self._known(uri=uri)
        return next((asset for asset in found if asset.name == name), None)

    def with_values(self, page: int = _PAGE) -> Iterator[list[KnownAsset]]:
        """Yield the assets of which an event may have a value, by name, those of one page of all assets at a time."""
        table, event = self._tables["asset"], self._tables["event"].c
        has_value = sqlalchemy.cast(event.extra, sqlalchemy.Text).contains(ENVELOPE_KEY, autoescape=True)
        published = sqlalchemy.exists().where(event[self._id] == table.c.id, has_value)
        keys = [table.c.name, table.c.uri, table.c.id]
        for rows in pages(self._engine, sqlalchemy.select(*keys, table.c.extra, published), keys, page):
            yield [KnownAsset(number, name, uri, parsed(extra)) for name, uri, number, extra, has in rows if has]

    def _known(self, **which: Any) -> list[KnownAsset]:
        table = self._tables["asset"]
        name = table.c.name if "name" in table.c else table.c.uri
        select = sqlalchemy.select(table.c.id, name, table.c.uri, table.c.extra).filter_by(**which)
        rows = read(self._engine, select.order_by(name, table.c.uri))
        return [KnownAsset(number, name, uri, parsed(extra)) for number, name, uri, extra in rows]

    def aliases(self, asset: KnownAsset) -> list[str]:
        """Return the names of the aliases through which events of an asset have been sent, from Airflow 3.0 on."""
        links, aliases = (reflected(self._engine, name, self._schema) for name in _ALIASES)
        select = sqlalchemy.select(aliases.c.name).join(links, links.c.alias_id == aliases.c.id)
        return [name for (name,) in read(self._engine, select.where(links.c.asset_id == asset.id))]

    def counts(self) -> dict[int, int]:
        """Return, by the ids of assets, how many of their events may have a value; the database counts them."""
        if not self._tables:
            return {}
        table = self._tables["event"]
        has_value = sqlalchemy.cast(table.c.extra, sqlalchemy.Text).contains(ENVELOPE_KEY, autoescape=True)
        asset = table.c[self._id]
        select = sqlalchemy.select(asset, sqlalchemy.func.count()).where(has_value).group_by(asset)
        return dict(map(tuple, read(self._engine, select)))

    def events(self, asset: KnownAsset, page: int = _PAGE, number: int | None = None) -> Iterator[Event]:
        """Yield the events of an asset that may have a value, or the one with this id; the newest first."""
        c = self._tables["event"].c
        select = self._select(asset).where(*([] if number is None else [c.id == number]))
        for rows in pages(self._engine, select, [c.timestamp, c.id], page, descending=True):
            yield from _with_values(asset, rows)

    def newest(self, asset: KnownAsset, most: int, before: int | None = None) -> tuple[list[Event], int | None]:
        """Return those of an asset's newest events that may have a value, the newest first, and where to go on.

        At most ``most`` are looked at, all of them older than the one with the id ``before``.  The second result is the
        id of the last; None if there are no older ones.
        """
        c = self._tables["event"].c
        keys, select = [c.timestamp, c.id], self._select(asset, _longest)
        if before is not None:
            last = read(self._engine, sqlalchemy.select(*keys).where(c[self._id] == asset.id, c.id == before))
            if not last:
                return [], None
            types = [key.type for key in keys]
            select = select.where(sqlalchemy.tuple_(*keys) < sqlalchemy.tuple_(*last[0], types=types))
        rows = read(self._engine, select.order_by(*(key.desc() for key in keys)).limit(most))
        return list(_with_values(asset, rows)), rows[-1][1] if len(rows) == most else None

    def _select(self, asset: KnownAsset, shown: Callable[[Any], Any] = lambda text: text) -> Any:
        """Return the statement that selects what :func:`_with_values` takes, and of texts what is shown."""
        c = self._tables["event"].c
        source = c.source_dag_id, c.source_run_id, c.source_task_id, c.source_map_index
        partition = c.partition_key if "partition_key" in c else sqlalchemy.literal(None)
        text = sqlalchemy.cast(c.extra, sqlalchemy.Text)
        return sqlalchemy.select(c.timestamp, c.id, *source, partition, shown(text)).where(c[self._id] == asset.id)

    def needed(self, asset: KnownAsset) -> Callable[[Event], bool]:
        """Return what says of events of an asset whether they started a run that is not over, or are to start one."""
        links = self._tables["links"].c
        started = sqlalchemy.select(links.event_id).where(links.dag_run_id.in_(self._going))
        numbers = {number for (number,) in read(self._engine, started)} | {*self._of_partitions()}
        since = self._queued_since(asset)
        return lambda event: event.id in numbers or (since is not None and event.timestamp > since)

    @cached_property
    def _runs(self) -> Any:
        return reflected(self._engine, "dag_run", self._schema)

    @property
    def _going(self) -> Any:
        """Return the statement that selects the ids of all runs that are not over."""
        state = self._runs.c.state
        return sqlalchemy.select(self._runs.c.id).where(sqlalchemy.or_(state.is_(None), state.not_in(STATES)))

    def _of_partitions(self) -> Iterator[int]:
        """Yield the events of partitions whose run is not made yet, or not over."""
        if not (self._has(_WAITING, self._schema) and self._has(_CONTRIBUTIONS, self._schema)):
            return
        waiting, given = (reflected(self._engine, name, self._schema) for name in (_WAITING, _CONTRIBUTIONS))
        run = waiting.c.created_dag_run_id
        select = sqlalchemy.select(given.c.asset_event_id).select_from(
            given.join(waiting, waiting.c.id == given.c.asset_partition_dag_run_id)
        )
        select = select.where(sqlalchemy.or_(run.is_(None), run.in_(self._going)))
        yield from (number for (number,) in read(self._engine, select))

    def _queued_since(self, asset: KnownAsset) -> datetime | None:
        """Return after when events of an asset are to start runs; None if none are.

        Airflow then takes all events since the last run of the Dag that events started.
        """
        queue, runs = self._tables["queue"].c, self._runs.c
        began = next(runs[name] for name in _BEGAN if name in runs)
        select = sqlalchemy.select(queue.target_dag_id, sqlalchemy.func.max(began))
        of_events = sqlalchemy.and_(runs.dag_id == queue.target_dag_id, runs.run_type.like("%set_triggered"))
        joined = self._tables["queue"].outerjoin(self._runs, of_events)
        select = select.select_from(joined).where(queue[self._id] == asset.id).group_by(queue.target_dag_id)
        times = [last for _, last in read(self._engine, select)]
        if not times:
            return None
        return datetime.min.replace(tzinfo=UTC) if None in times else min(map(utc, times))


def metadata_events() -> AssetEvents:
    """Return the events of the database that Airflow's own settings name."""
    return _events(metadata_engine(), metadata_schema())


_events = lru_cache(4)(AssetEvents)  # reading which columns the tables have takes a dozen statements


def _longest(text: Any) -> Any:
    """Select a text that may be ours; another in the place of a longer one, which does not count either."""
    return sqlalchemy.case((sqlalchemy.func.length(text) <= _LONGEST, text), else_=f'{{"{ENVELOPE_KEY}": "null"}}')


def _with_values(asset: KnownAsset, rows: Iterable[Any]) -> Iterator[Event]:
    """Yield the events that may have a value."""
    for sent, event, dag, run, task, index, key, extra in rows:
        if extra is not None and ENVELOPE_KEY in extra:
            of = (dag, run, task, index)
            yield Event(asset.name, asset.uri, parsed(extra), of, utc(sent), partition=key, id=event)

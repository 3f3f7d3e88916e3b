"""An Airflow with assets, played by tests: its tasks call what users call; it keeps rows in a database, or in lists."""

from __future__ import annotations

import datetime as dt
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from owners import add_variables
from sqlalchemy import Column, DateTime, Integer, String

from airflow_xcom.backend import CodecXComBackend, publish
from airflow_xcom.backend.assets import latest as latest_module
from airflow_xcom.backend.assets import pins
from airflow_xcom.backend.assets import publish as publish_module
from airflow_xcom.backend.compat_assets import AssetKey, Event
from airflow_xcom.backend.database.asset_versions import AssetEvents
from airflow_xcom.backend.database.xcom_rows import Rows

F, G = Asset("flights", uri="file:///lake/flights"), Asset("trains", uri="file:///lake/trains")
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
TEXT, JSON = String(200), sqlalchemy.JSON()
_XCOM = ("dag_id", "run_id", "task_id", "map_index", "key")
TABLES = sqlalchemy.MetaData()
XCOM = sqlalchemy.Table(
    "xcom",
    TABLES,
    *(Column(name, TEXT, primary_key=True) for name in ("dag_id", "run_id", "task_id")),
    Column("map_index", Integer, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("value", JSON),
)
RUN = sqlalchemy.Table(
    "dag_run",
    TABLES,
    Column("id", Integer, primary_key=True),
    *(Column(name, TEXT) for name in ("dag_id", "run_id", "state", "run_type")),
    Column("run_after", DateTime),
)
ASSET = sqlalchemy.Table(
    "asset",
    TABLES,
    Column("id", Integer, primary_key=True),
    *(Column(name, TEXT) for name in ("name", "uri")),
    Column("extra", JSON),
)


def _events(name: str) -> sqlalchemy.Table:
    return sqlalchemy.Table(
        name,
        TABLES,
        Column("id", Integer, primary_key=True),
        Column("asset_id", Integer),
        Column("extra", JSON),
        *(Column(f"source_{part}", TEXT) for part in ("dag_id", "run_id", "task_id")),
        Column("source_map_index", Integer),
        Column("timestamp", DateTime),
        Column("partition_key", TEXT),
        sqlite_autoincrement=True,  # as Airflow gives out ids: none comes twice
    )


EVENT, ARCHIVE = _events("asset_event"), _events("_airflow_deleted__asset_event__20260101000000")
LINK = sqlalchemy.Table(
    "dagrun_asset_event", TABLES, *(Column(name, Integer, primary_key=True) for name in ("dag_run_id", "event_id"))
)
QUEUE = sqlalchemy.Table(
    "asset_dag_run_queue",
    TABLES,
    Column("asset_id", Integer, primary_key=True),
    Column("target_dag_id", TEXT, primary_key=True),
    Column("created_at", DateTime),
)


Where = tuple[str, str, str, int, str]  # Dag, run, task, map index and key of an XCom


class Ti:
    """A task instance whose XComs go through the backend to rows that outlive it."""

    def __init__(self, airflow: Airflow, at: tuple[str, str, str, int], try_number: int) -> None:
        self.airflow = airflow
        self.dag_id, self.run_id, self.task_id, self.map_index = at
        self.try_number = try_number

    def xcom_push(self, key: str, value: Any) -> None:
        at = {name: getattr(self, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
        row = CodecXComBackend.serialize_value(value, key=key, **at)
        self.airflow.set_row((self.dag_id, self.run_id, self.task_id, self.map_index, key), json.loads(json.dumps(row)))

    def xcom_pull(self, task_ids: str, *, key: str, map_indexes: int) -> Any:
        found = self.airflow.row((self.dag_id, self.run_id, task_ids, map_indexes, key))
        return None if found is None else CodecXComBackend.deserialize_value(SimpleNamespace(value=found, key=key))


class Airflow(ABC):
    """The task that runs; what is kept of events and XComs is for subclasses to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        self.context: Any = None
        for module in (publish_module, latest_module):
            monkeypatch.setattr(module, "current_context", lambda: self.context)
        monkeypatch.setattr(latest_module, "newest_events", self.newest)
        monkeypatch.setattr(latest_module, "triggering_events", lambda context: context["triggers"])
        monkeypatch.setattr(publish_module, "xcom_class", lambda: CodecXComBackend)

    @abstractmethod
    def newest(
        self, key: AssetKey, limit: int, _partition: str | None, since: dt.datetime | None = None
    ) -> list[Event]:
        """Return the newest events of an asset or an alias."""

    @abstractmethod
    def row(self, where: Where) -> Any:
        """Return the row of an XCom; None if there is none."""

    @abstractmethod
    def set_row(self, where: Where, row: Any) -> None:
        """Make the row of an XCom."""

    @abstractmethod
    def record(self, event: Event) -> Event:
        """Keep an event, and return it with its id."""

    @abstractmethod
    def begin(self, dag_id: str, run_id: str, kind: str) -> None:
        """Make a run, if it is not there."""

    def start(  # noqa: PLR0913 - each is told by Airflow
        self,
        run_id: str = "run",
        task_id: str = "task",
        *,
        dag_id: str = "consumer",
        outlets: tuple[Any, ...] = (),
        kind: str = "manual",
        day: int | None = None,
        triggers: Sequence[Event] = (),
        schedule: Any = None,
        partition: str | None = None,
        try_number: int = 1,
        cleared: int = 0,
        began: dt.datetime = START,
    ) -> Ti:
        """Begin a task, as which everything that follows is done."""
        pins._told.clear()  # a new process
        self.begin(dag_id, run_id, kind)
        start = None if day is None else START + dt.timedelta(days=day)
        run = SimpleNamespace(
            run_type=kind,
            data_interval_start=start,
            data_interval_end=start and start + dt.timedelta(days=1),
            partition_key=partition,
            clear_number=cleared,
            start_date=began,
        )
        ti = Ti(self, (dag_id, run_id, task_id, -1), try_number)
        self.context = {
            "ti": ti,
            "dag_run": run,
            "task": SimpleNamespace(task_id=task_id, outlets=list(outlets)),
            "outlet_events": OutletEventAccessors(),
            "triggers": list(triggers),
            "dag": SimpleNamespace(timetable=SimpleNamespace(asset_condition=schedule)),
        }
        return ti

    def succeed(self) -> list[Event]:
        """End the task, by which its events are recorded as Airflow does, and return them."""
        ti, sent = self.context["ti"], []
        source = ti.dag_id, ti.run_id, ti.task_id, ti.map_index
        for key, accessor in self.context["outlet_events"]._dict.items():
            for asset, extra, partition, aliases in _ways(key, accessor):
                self.now += dt.timedelta(minutes=1)
                text = json.loads(json.dumps(extra))
                sent.append(self.record(Event(asset.name, asset.uri, text, source, self.now, partition, aliases)))
        return sent

    def publish(self, value: Any, run_id: str, asset: Any = F, **options: Any) -> Event:
        """Publish in a run of its own, and return the event."""
        published = {name: options.pop(name) for name in ("latest", "partition", "schema") if name in options}
        self.start(run_id, "make", dag_id="producer", outlets=(asset,), **options)
        publish(value, asset, **published)
        (event,) = self.succeed()
        return event


def _ways(key: Any, accessor: Any) -> list[tuple[Any, Any, Any, frozenset[str]]]:
    """What an outlet sends: the assets, the extras, the partitions, and the aliases through which each goes."""
    ways: list[tuple[Any, Any, Any, frozenset[str]]] = [
        (event.dest_asset_key, event.extra, None, frozenset({key.name})) for event in accessor.asset_alias_events
    ]
    if hasattr(key, "uri"):
        ways += [(key, accessor.extra, one, frozenset()) for one in sorted(accessor.partition_keys) or [None]]
    return ways


class Lake(Airflow):
    """An Airflow that keeps lists, which tests change as they like."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.events: list[Event] = []
        self.rows: dict[Where, Any] = {}
        self.asked: list[tuple[int, bool]] = []  # how many events, and whether only recent ones

    def newest(
        self, key: AssetKey, limit: int, _partition: str | None, since: dt.datetime | None = None
    ) -> list[Event]:
        self.asked.append((limit, since is not None))
        found = (event for event in reversed(self.events) if key.matches(event))
        return [event for event in found if since is None or event.timestamp >= since][:limit]

    def row(self, where: Where) -> Any:
        return self.rows.get(where)

    def set_row(self, where: Where, row: Any) -> None:
        self.rows[where] = row

    def record(self, event: Event) -> Event:
        self.events.append(replace(event, id=len(self.events)))
        return self.events[-1]

    def begin(self, dag_id: str, run_id: str, kind: str) -> None:
        pass


class World(Airflow):
    """An Airflow with a database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str = "sqlite://") -> None:
        super().__init__(monkeypatch)
        memory = {"poolclass": sqlalchemy.StaticPool, "connect_args": {"check_same_thread": False}}
        self.engine = sqlalchemy.create_engine(url, **(memory if url == "sqlite://" else {}))
        TABLES.create_all(self.engine)
        add_variables(self.engine)
        self.rows = Rows(self.engine)
        self.events = AssetEvents(self.engine)

    def insert(self, table: Any, **values: Any) -> int:
        with self.engine.begin() as connection:
            key = connection.execute(table.insert().values(**values)).inserted_primary_key
        return key[0] if len(key) == 1 and isinstance(key[0], int) else 0

    def select(self, *columns: Any, **where: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(sqlalchemy.select(*columns).filter_by(**where)).fetchall()

    def delete(self, table: Any, **where: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.delete().where(*(table.c[name] == value for name, value in where.items())))

    def update(self, table: Any, where: dict[str, Any], **values: Any) -> None:
        with self.engine.begin() as connection:
            found = (table.c[name] == value for name, value in where.items())
            connection.execute(table.update().where(*found).values(**values))

    def asset_id(self, asset: Any, extra: Any = None) -> int:
        found = self.select(ASSET.c.id, name=asset.name, uri=asset.uri)
        return int(found[0][0]) if found else self.insert(ASSET, name=asset.name, uri=asset.uri, extra=extra or {})

    def run(self, dag_id: str, run_id: str, state: str = "running", kind: str = "manual") -> int:
        """Return the id of a run, which is made if there is none."""
        found = self.select(RUN.c.id, dag_id=dag_id, run_id=run_id)
        values = {"state": state, "run_type": kind, "run_after": self.now.replace(tzinfo=None)}
        return int(found[0][0]) if found else self.insert(RUN, dag_id=dag_id, run_id=run_id, **values)

    def begin(self, dag_id: str, run_id: str, kind: str) -> None:
        self.run(dag_id, run_id, kind=kind)

    def make(self, value: Any, run_id: str, asset: Any = F, **options: Any) -> int:
        """Publish in a run of its own, which then is over; return the id of the event."""
        event = self.publish(value, run_id, asset, **options)
        self.update(RUN, {"dag_id": "producer", "run_id": run_id}, state="success")
        return event.id or 0

    def row(self, where: Where) -> Any:
        found = self.select(XCOM.c.value, **dict(zip(_XCOM, where, strict=True)))
        return found[0][0] if found else None

    def set_row(self, where: Where, row: Any) -> None:
        columns = dict(zip(_XCOM, where, strict=True))
        self.delete(XCOM, **columns)
        self.insert(XCOM, **columns, value=row)

    def record(self, event: Event) -> Event:
        source = (f"source_{part}" for part in ("dag_id", "run_id", "task_id", "map_index"))
        number = self.insert(
            EVENT,
            asset_id=self.asset_id(event),
            extra=event.extra,
            timestamp=event.timestamp.replace(tzinfo=None),
            partition_key=event.partition,
            **dict(zip(source, event.source, strict=True)),
        )
        return replace(event, id=number)

    def newest(
        self, key: AssetKey, limit: int, _partition: str | None, since: dt.datetime | None = None
    ) -> list[Event]:
        assets = [asset for asset in self.events.assets() if key.name in {None, asset.name}]
        events = (event for asset in assets for event in self.events.events(asset))
        return [event for event in events if since is None or event.timestamp >= since][:limit]

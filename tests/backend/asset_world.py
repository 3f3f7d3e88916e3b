"""An Airflow with assets, played by tests: its database is a real one, its tasks call what users call."""

from __future__ import annotations

import datetime as dt
import json
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
from airflow_xcom.backend.maintenance.references import DatabaseRows

F, G = Asset("flights", uri="file:///lake/flights"), Asset("trains", uri="file:///lake/trains")
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
TEXT, JSON = String(200), sqlalchemy.JSON()
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


class Ti:
    """A task instance whose XComs go through the backend to rows."""

    def __init__(self, world: World, where: tuple[str, str, str, int]) -> None:
        self.world = world
        self.dag_id, self.run_id, self.task_id, self.map_index = where
        self.try_number = 1

    def _where(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("dag_id", "run_id", "task_id", "map_index")}

    def xcom_push(self, key: str, value: Any) -> None:
        row = CodecXComBackend.serialize_value(value, key=key, **self._where())
        where = {**self._where(), "key": key}
        self.world.delete(XCOM, **where)
        self.world.insert(XCOM, **where, value=row)

    def xcom_pull(self, task_ids: str, *, key: str, map_indexes: int) -> Any:
        where = {**self._where(), "task_id": task_ids, "map_index": map_indexes, "key": key}
        found = self.world.select(XCOM.c.value, **where)
        return CodecXComBackend.deserialize_value(SimpleNamespace(value=found[0][0], key=key)) if found else None


class World:
    """What Airflow keeps in its database, and the task that runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str = "sqlite://") -> None:
        memory = {"poolclass": sqlalchemy.StaticPool, "connect_args": {"check_same_thread": False}}
        self.engine = sqlalchemy.create_engine(url, **(memory if url == "sqlite://" else {}))
        TABLES.create_all(self.engine)
        add_variables(self.engine)
        self.rows = DatabaseRows(Rows(self.engine))
        self.events = AssetEvents(self.engine)
        self.now = START
        self.context: Any = None
        for module in (publish_module, latest_module):
            monkeypatch.setattr(module, "current_context", lambda: self.context)
        monkeypatch.setattr(latest_module, "newest_events", self._newest)
        monkeypatch.setattr(latest_module, "triggering_events", lambda context: context["triggers"])
        monkeypatch.setattr(publish_module, "xcom_class", lambda: CodecXComBackend)

    # The database

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

    # Runs and tasks

    def run(self, dag_id: str, run_id: str, state: str = "running", kind: str = "manual") -> int:
        """Return the id of a run, which is made if there is none."""
        found = self.select(RUN.c.id, dag_id=dag_id, run_id=run_id)
        values = {"state": state, "run_type": kind, "run_after": self.now.replace(tzinfo=None)}
        return int(found[0][0]) if found else self.insert(RUN, dag_id=dag_id, run_id=run_id, **values)

    def start(  # noqa: PLR0913 - each is told by Airflow
        self,
        run_id: str,
        dag_id: str = "consumer",
        task_id: str = "task",
        *,
        outlets: tuple[Any, ...] = (),
        kind: str = "manual",
        day: int | None = None,
        triggers: tuple[Event, ...] = (),
        partition: str | None = None,
    ) -> Ti:
        """Begin a task, as which everything that follows is done."""
        pins._told.clear()  # a new process
        self.run(dag_id, run_id, kind=kind)
        begin = None if day is None else START + dt.timedelta(days=day)
        run = SimpleNamespace(
            run_type=kind,
            data_interval_start=begin,
            data_interval_end=begin and begin + dt.timedelta(days=1),
            partition_key=partition,
            clear_number=0,
            start_date=START,
        )
        ti = Ti(self, (dag_id, run_id, task_id, -1))
        self.context = {
            "ti": ti,
            "dag_run": run,
            "task": SimpleNamespace(task_id=task_id, outlets=list(outlets)),
            "outlet_events": OutletEventAccessors(),
            "triggers": list(triggers),
            "dag": SimpleNamespace(timetable=SimpleNamespace(asset_condition=None)),
        }
        return ti

    def succeed(self) -> list[int]:
        """End the task, by which its events are recorded as Airflow does, and return their ids."""
        ti, sent = self.context["ti"], []
        for key, accessor in self.context["outlet_events"]._dict.items():
            for partition in sorted(accessor.partition_keys) or [None]:
                self.now += dt.timedelta(minutes=1)
                values = {f"source_{part}": getattr(ti, part) for part in ("dag_id", "run_id", "task_id", "map_index")}
                values |= {"timestamp": self.now.replace(tzinfo=None), "partition_key": partition}
                extra = json.loads(json.dumps(accessor.extra))
                sent.append(self.insert(EVENT, asset_id=self.asset_id(key), extra=extra, **values))
        return sent

    def make(self, value: Any, run_id: str, asset: Any = F, **options: Any) -> int:
        """Publish in a run of its own, which then is over; return the id of the event."""
        published = {name: options.pop(name) for name in ("latest", "partition", "schema") if name in options}
        self.start(run_id, "producer", "make", outlets=(asset,), **options)
        publish(value, asset, **published)
        (number,) = self.succeed()
        self.update(RUN, {"dag_id": "producer", "run_id": run_id}, state="success")
        return number

    def _newest(self, key: AssetKey, limit: int, _partition: str | None) -> list[Event]:
        assets = [asset for asset in self.events.assets() if key.name in {None, asset.name}]
        return [event for asset in assets for event in self.events.events(asset)][:limit]

"""Versions of assets in the database of the Airflow that runs, published and read as tasks do it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow_rows import set_row
from asset_world import Airflow

from airflow_xcom.backend import latest, publish
from airflow_xcom.backend.compat_assets import AssetKey, Event

if TYPE_CHECKING:
    import pytest
    from asset_world import Where


class Published(Airflow):
    """Tasks of three Dags, their XComs and events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.now = dt.datetime.now(dt.UTC)

    def newest(
        self, _key: AssetKey, _limit: int, _partition: str | None, _since: dt.datetime | None = None
    ) -> list[Event]:
        raise AssertionError("these tests give tasks the events that started their runs")

    def row(self, where: Where) -> Any:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        dag, run, task, index, key = where
        with create_session() as session:
            query = XComModel.get_many(run_id=run, key=key, dag_ids=dag, task_ids=task, map_indexes=index)
            found: Any = session.scalars(query).first()
            return None if found is None else found.value

    def set_row(self, where: Where, row: Any) -> None:
        from airflow.utils.session import create_session

        dag, run, task, _, key = where
        with create_session() as session:
            set_row(session, (dag, run, task, key), row)

    def asset_id(self, name: str, uri: str) -> int:
        from airflow.models.asset import AssetModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.query(AssetModel).filter_by(name=name, uri=uri).first()
            if found is None:
                found = AssetModel(name=name, uri=uri, group="asset")
                session.add(found)
                session.flush()
            return int(found.id)

    def record(self, event: Event) -> Event:
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session

        dag, run, task, index = event.source
        with create_session() as session:
            row = AssetEvent(
                asset_id=self.asset_id(event.name, event.uri),
                extra=event.extra,
                source_dag_id=dag,
                source_run_id=run,
                source_task_id=task,
                source_map_index=-1 if index is None else index,
                timestamp=event.timestamp,
                partition_key=event.partition,
            )
            session.add(row)
            session.flush()
            number = int(row.id)
        return Event(event.name, event.uri, event.extra, event.source, event.timestamp, event.partition, id=number)

    def begin(self, dag_id: str, run_id: str, kind: str) -> None:
        """The runs are there."""

    def made(self, value: Any, asset: Any, dag: str = "flights", run: str = "one", **options: Any) -> Event:
        """Publish as a task does, and return the event."""
        self.start(run, "extract", dag_id=dag, outlets=(asset,), **options.pop("start", {}))
        publish(value, asset, **options)
        return self.succeed()[-1]

    def read(self, event: Event, asset: Any, dag: str, run: str) -> Any:
        """Read what an event has started a run for, as a task does."""
        self.start(run, "clean", dag_id=dag, kind="asset_triggered", triggers=[event], schedule=asset)
        return latest(asset)

"""Airflow's accessors of state over its own tables: what they send goes to the database as its API server puts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import database
import pytest
import sqlalchemy
from airflow._shared.state import AssetScope, AssetStateStoreWriterKind, TaskScope  # the API server's own copy
from airflow.sdk import state
from airflow.sdk.execution_time import comms, context, task_runner
from sqlalchemy import column
from sqlalchemy.orm import Session

TI = UUID(int=1)
ASSETS = {"flights": ("s3://lake/flights", 1), "weather": ("s3://lake/weather", 2)}
TABLES = ("task_state_store", "asset_state_store", "asset", "dag_run")
RUN = {"dag_id": "flights", "run_id": "manual", "id": 1, "run_type": "manual", "state": "running"}


class Supervisor:
    """Answers what accessors send, in place of the supervisor and the API server."""

    def __init__(self, engine: Any) -> None:
        from airflow.state.metastore import MetastoreBackend

        self.engine = engine
        self._store = MetastoreBackend()
        self.task = TaskScope("flights", "manual", "clean", -1)

    async def asend(self, message: Any) -> Any:
        return self.send(message)

    def send(self, message: Any) -> Any:
        """Do what a message asks for, once it went the way of JSON."""
        message = type(message).model_validate_json(message.model_dump_json())
        verb, asset = type(message).__name__.partition("Asset")[0], self._asset(message)
        if verb == "Get" and not hasattr(message, "key"):
            return SimpleNamespace(name=self._name(message), uri=ASSETS[self._name(message)][0])
        scope = self._scope(message)
        with self.session() as session:
            if verb.startswith("Get"):
                text = self._store.get(scope, message.key, session=session)
                return self._found(asset, text)
            if verb.startswith("Set") and asset:
                kind = AssetStateStoreWriterKind.API
                self._store.set_asset_state_store(
                    scope, message.key, json.dumps(message.value), kind=kind, session=session
                )
            elif verb.startswith("Set"):
                expires = message.expires_at
                self._store.set(scope, message.key, json.dumps(message.value), expires_at=expires, session=session)
            elif verb.startswith("Delete"):
                self._store.delete(scope, message.key, session=session)
            else:
                self._store.clear(scope, session=session)
        return comms.OKResponse(ok=True)

    @staticmethod
    def _asset(message: Any) -> bool:
        return "Asset" in type(message).__name__

    @staticmethod
    def _name(message: Any) -> str:
        uri = getattr(message, "uri", None)
        return next((name for name, (known, _) in ASSETS.items() if known == uri), None) or message.name

    def _scope(self, message: Any) -> Any:
        return AssetScope(asset_id=ASSETS[self._name(message)][1]) if self._asset(message) else self.task

    @staticmethod
    def _found(asset: bool, text: str | None) -> Any:
        if text is None:
            error = comms.ErrorType.ASSET_STORE_NOT_FOUND if asset else comms.ErrorType.TASK_STORE_NOT_FOUND
            return comms.ErrorResponse(error=error)
        kind = comms.AssetStateStoreResult if asset else comms.TaskStateStoreResult
        return kind.model_validate_json(kind(value=json.loads(text)).model_dump_json())

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            if self.engine.dialect.name == "sqlite":
                session.execute(sqlalchemy.text("pragma synchronous = off"))
            database.ignore_foreign_keys(session.connection())
            yield session

    def rows(self, table: str) -> list[Any]:
        """The JSON values of a table, by key."""
        with self.engine.connect() as connection:
            select = sqlalchemy.select(column("value")).select_from(_columns(table)).order_by(column("key"))
            return [json.loads(text) for (text,) in connection.execute(select)]

    def put(self, table: str, key: str, value: Any) -> None:
        """Change a row, as a user of the REST API may."""
        with self.session() as session:
            session.execute(_columns(table).update().where(column("key") == key).values(value=json.dumps(value)))


def _columns(table: str) -> Any:
    return sqlalchemy.table(table, column("key"), column("value"))


@contextmanager
def supervised(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor over the database, with a run and two assets in it, and our state store configured."""
    from airflow.models.asset import AssetModel
    from airflow.models.dagrun import DagRun

    supervisor = Supervisor(engine)
    now = sqlalchemy.func.current_timestamp()
    with supervisor.session() as session:
        session.execute(DagRun.__table__.insert().values(**RUN, run_after=now, queued_at=now))
        for name, (uri, number) in ASSETS.items():
            session.execute(
                AssetModel.__table__.insert().values(id=number, name=name, uri=uri, group="asset", extra={})
            )
    monkeypatch.setenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND", "airflow_xcom.backend.CodecStateStore")
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    context._get_worker_state_store_backend.cache_clear()
    yield supervisor
    context._get_worker_state_store_backend.cache_clear()
    with supervisor.session() as session:
        for table in TABLES:
            session.execute(sqlalchemy.text(f"delete from {table}"))


def of_task(supervisor: Supervisor, **parts: Any) -> Any:
    """The state of the task, as a task has it in its context; with other parts, as that task would have it."""
    return context.TaskStateStoreAccessor(TI, state.TaskScope(**{**asdict(supervisor.task), **parts}))


def of_asset(name: str = "flights") -> Any:
    """The state of an asset, as a task has it that names the asset."""
    return context.AssetStateStoreAccessor(name=name)


def of_uri(name: str = "flights") -> Any:
    """The same, as a task has it that refers to the asset by its URI."""
    return context.AssetStateStoreAccessor(uri=ASSETS[name][0])

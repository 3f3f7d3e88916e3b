"""Databases of a real PostgreSQL and a real MariaDB, and a row's way through it as in production."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import reaper
import servers


@contextmanager
def postgres(template: str | None = None) -> Iterator[str]:
    """The URL of a new database of PostgreSQL, which begins as a copy of the one at the URL ``template``.

    All processes of a test run share a server, which runs as long as they do.
    """
    import psycopg

    with _server("postgres") as server:
        name = f"test_{uuid4().hex}"
        source = "" if template is None else f" template {template.rpartition('/')[2]}"
        with psycopg.connect(server.url.format("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}{source}")
        yield server.url.format(name).replace("postgresql:", "postgresql+psycopg:")


@contextmanager
def mariadb(template: str | None = None) -> Iterator[str]:
    """The same of MariaDB."""
    import pymysql

    with _server("mariadb") as server:
        name = f"test_{uuid4().hex}"
        with pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(f"create database {name} character set utf8mb4")
            if template is not None:
                _copy_tables(cursor, template.partition("?")[0].rpartition("/")[2], name)
        yield server.url.format(name).replace("mysql:", "mysql+pymysql:") + "?charset=utf8mb4"


def _copy_tables(cursor: Any, source: str, target: str) -> None:
    """Do what PostgreSQL does for a template."""
    cursor.execute(f"use {target}")
    cursor.execute("set foreign_key_checks = 0")
    cursor.execute(f"show tables from {source}")
    for (table,) in cursor.fetchall():
        cursor.execute(f"show create table {source}.`{table}`")
        cursor.execute(cursor.fetchone()[1])
        cursor.execute(f"insert into `{table}` select * from {source}.`{table}`")


@contextmanager
def _server(kind: str) -> Iterator[SimpleNamespace]:
    with ExitStack() as stack:
        if reaper.VARIABLE in os.environ:
            _, server = _shared_server(kind)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(servers.running(kind, Path(folder)))
        yield server


@cache
def _shared_server(kind: str) -> tuple[AbstractContextManager[SimpleNamespace], SimpleNamespace]:
    """The server of this test run; as long as its context is referred to, it is not left."""
    context = servers.running(kind, Path(os.environ[reaper.VARIABLE]))
    return context, context.__enter__()


def ignore_foreign_keys(connection: Any) -> None:
    """Let rows stand without those that they belong to, in this transaction or this connection."""
    import sqlalchemy

    statements = {
        "postgresql": "set local session_replication_role = replica",
        "mysql": "set session foreign_key_checks = 0",
    }
    if (statement := statements.get(connection.dialect.name)) is not None:
        connection.execute(sqlalchemy.text(statement))


@contextmanager
def jsonb(url: str) -> Iterator[Callable[[Any], Any]]:
    """A function that takes a row's value to the database and back, as a task pushes it and another pulls it.

    Task to supervisor and API server: a pydantic ``JsonValue`` as JSON text; API server to database: the column of
    Airflow's own XCom table, which is JSONB on PostgreSQL; and the same way back.
    """
    import sqlalchemy
    from airflow.models.xcom import XComModel
    from pydantic import JsonValue, TypeAdapter

    wire = TypeAdapter(JsonValue)
    engine = sqlalchemy.create_engine(url)
    table = sqlalchemy.Table(
        "row",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("value", XComModel.__table__.c.value.type),
    )
    table.metadata.create_all(engine)
    with engine.connect() as connection:
        query = "select data_type from information_schema.columns where table_name = 'row' and column_name = 'value'"
        assert connection.execute(sqlalchemy.text(query)).scalar_one() == "jsonb"

    def through(row: Any) -> Any:
        sent = wire.validate_json(wire.dump_json(wire.validate_python(row)))
        with engine.begin() as connection:
            inserted = connection.execute(table.insert().values(value=sent))
            stored = connection.execute(
                sqlalchemy.select(table.c.value).where(table.c.id == inserted.inserted_primary_key[0])
            ).scalar_one()
        return wire.validate_json(wire.dump_json(stored))

    try:
        yield through
    finally:
        engine.dispose()

"""Which deployment of Airflow a metadata database is that of: by a random id in it, and by where it is."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.database.tables import reflected
from airflow_xcom.backend.database.variables import variable

VARIABLE = "airflow_xcom_deployment"
DESCRIPTION = "Names this Airflow in the stores of XComs, see airflow-xcom adopt."
# What tells a server from the one that a copy of its databases was restored to.
_SERVER = {
    "postgresql": "SELECT system_identifier FROM pg_control_system()",
    "mysql": "SELECT @@server_uuid",
    "mariadb": "SELECT @@server_uid",
}


@dataclass(frozen=True)
class Deployment:
    """A deployment of Airflow.

    Attributes:
        id: a random one, which a clone of the metadata database has, too.
        place: where the metadata database is, or the REST API through which it is read.
    """

    id: str
    place: str

    def __str__(self) -> str:
        return f"{self.place} (id {self.id})"


def database_deployment(engine: Any, schema: str | None, *, create: bool) -> Deployment | None:
    """Return that of a metadata database; None if it has no id, and none is to be made."""
    found = _id(engine, schema, create=create)
    return None if found is None else Deployment(found, _place(engine, schema))


def _id(engine: Any, schema: str | None, *, create: bool) -> str | None:
    """Return the id in the database, an Airflow Variable."""
    found = variable(engine, schema, VARIABLE)
    if found is None and create:
        table = reflected(engine, "variable", schema)
        values = {"key": VARIABLE, "val": uuid4().hex, "is_encrypted": False, "description": DESCRIPTION}
        try:
            with engine.begin() as connection:
                connection.execute(table.insert().values(values))
        except IntegrityError:
            create = False  # another process was quicker
        found = variable(engine, schema, VARIABLE)
    return found


def _place(engine: Any, schema: str | None) -> str:
    """Return where the database is, without credentials, and which server has it: a clone has the same id."""
    url, dialect = engine.url, engine.dialect.name
    if dialect == "sqlite":
        return f"sqlite://{socket.gethostname()}{Path(url.database or ':memory:').absolute()}"
    server = "".join(f"#{identifier}" for (identifier,) in _server(engine, dialect))
    return f"{dialect}://{url.host or 'localhost'}:{url.port or 'default'}/{url.database}.{schema or ''}{server}"


def _server(engine: Any, dialect: str) -> Sequence[Any]:
    """Return the identifier of the server, if it has one and tells it."""
    for name in dict.fromkeys((dialect, "mariadb")) if dialect == "mysql" else (dialect,):
        try:
            return read(engine, sqlalchemy.text(_SERVER[name]))
        except (KeyError, SQLAlchemyError):
            continue
    return ()

"""Stores that belong to the deployment under test."""

from __future__ import annotations

from typing import Any

import sqlalchemy

from airflow_xcom.backend.maintenance.ownership import adopt
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting

_COLUMNS = "key text unique, val text, is_encrypted boolean, description text"


def add_variables(engine: Any) -> None:
    """Make Airflow's table of Variables in a database that has only what a test needs."""
    number = "serial" if engine.dialect.name == "postgresql" else "integer"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"create table variable (id {number} primary key, {_COLUMNS})"))


def adopted(rows: Any) -> Any:
    """The rows, whose deployment is the owner of all configured stores from now on."""
    for url in settings().stores.values():
        adopt(open_lasting(url), rows.deployment(create=True))
    return rows

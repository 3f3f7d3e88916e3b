"""The statements, as SQLAlchemy compiles them for the databases that Airflow runs on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine.url import make_url

from airflow_xcom.backend.database.tables import _correct_type
from airflow_xcom.backend.database.xcom_rows import XComRow, replacement
from airflow_xcom.backend.envelope import Coordinate, Envelope

# The type of a JSON column, as each reflects it: MariaDB has none of its own.
REFLECTED = {
    "postgresql": postgresql.JSONB(),
    "sqlite": sqlite.JSON(),
    "mysql": mysql.JSON(),
    "mariadb": mysql.LONGTEXT(collation="utf8mb4_bin"),
}
CAST = {"postgresql": "AS TEXT) = ", "sqlite": "AS TEXT) = "}
ENVELOPE = Envelope("tuple", {}, Coordinate(), data={"$": ["tuple", 1, [1]]})


def compiled(name: str, kind: Any) -> Any:
    column: dict[str, Any] = {"name": "value", "type": kind}
    _correct_type(None, None, column)
    key = Column("id", Integer, primary_key=True)
    table = Table("xcom", MetaData(), key, Column("value", column["type"]))
    dialect = make_url(f"{name}://").get_dialect()()
    return replacement(table, XComRow("xcom", (1,), '{"a": 1}'), ENVELOPE).compile(dialect=dialect)


@pytest.mark.parametrize("name", REFLECTED)
def test_an_envelope_is_bound_as_json_text(name: str) -> None:
    statement = compiled(name, REFLECTED[name])
    process = statement.dialect.type_descriptor(statement.binds["value"].type).bind_processor(statement.dialect)
    assert process is not None, "a dict would be bound"
    bound = process(ENVELOPE.to_json())
    assert getattr(bound, "obj", None) == ENVELOPE.to_json() or json.loads(bound) == ENVELOPE.to_json()


@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
def test_the_former_text_is_compared_with_the_text_of_the_column(name: str) -> None:
    assert f"CAST(xcom.value {CAST[name]}" in str(compiled(name, REFLECTED[name]))


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_the_mysql_family_compares_bytes(name: str) -> None:
    """Its JSON never equals a text, and its usual collations take "a" for "A"."""
    where = str(compiled(name, REFLECTED[name])).partition("WHERE")[2]
    assert "CAST(CAST(xcom.value AS CHAR) AS BINARY) = CAST(%s AS BINARY)" in where


@pytest.mark.parametrize("name", REFLECTED)
def test_the_bytes_of_airflow_2_are_compared_as_they_are(name: str) -> None:
    statement = compiled(name, LargeBinary())
    assert "CAST" not in str(statement)
    assert isinstance(statement.params["value"], bytes)


def test_other_columns_keep_their_types() -> None:
    column: dict[str, Any] = {"name": "key", "type": Text()}
    _correct_type(None, None, column)
    assert isinstance(column["type"], Text)

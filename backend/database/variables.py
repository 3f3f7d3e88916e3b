"""Airflow's Variables in a metadata database, those of this distribution: its id, and what commands last reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.database.tables import parsed, reflected, same_text

_REPORT = "airflow_xcom_last_{}"
_DESCRIPTION = "What airflow-xcom {} last reported, for the page XCom storage."
_ATTEMPTS = 5  # to keep a report while others do


def variable(engine: Any, schema: str | None, key: str) -> str | None:
    """Return the text of a Variable; None if there is none."""
    table = reflected(engine, "variable", schema)
    found = read(engine, sqlalchemy.select(table.c.val).where(table.c.key == key))
    return str(found[0][0] or "") if found else None


def keep_report(database: tuple[Any, str | None], command: str, report: Mapping[str, Any]) -> str | None:
    """Keep what a command reported, in place of what it reported before under the same names.

    Returns:
        Why it is not kept; None if it is.
    """
    why = "other processes kept theirs at the same time"
    try:
        if any(_merged(*database, command, report) for _ in range(_ATTEMPTS)):
            return None
    except SQLAlchemyError as error:
        why = type(error).__name__
    return f"the report is not kept for the page XCom storage: {why}"


def _merged(engine: Any, schema: str | None, command: str, report: Mapping[str, Any]) -> bool:
    """Add a report to what is kept, unless that changes meanwhile; return whether it did not."""
    key = _REPORT.format(command)
    table, before = reflected(engine, "variable", schema), variable(engine, schema, key)
    content = {"val": json.dumps({**_parsed(before), **report}), "is_encrypted": False}
    if before is None:
        statement: Any = table.insert().values(key=key, description=_DESCRIPTION.format(command), **content)
    else:
        unchanged = same_text(sqlalchemy.func.coalesce(table.c.val, ""), before)
        statement = table.update().where(table.c.key == key, unchanged).values(content)
    try:
        with engine.begin() as connection:
            return bool(connection.execute(statement).rowcount)
    except IntegrityError:
        return False


def last_report(database: tuple[Any, str | None], command: str) -> dict[str, Any]:
    """Return what a command last reported; nothing if there is no report, or what stands there is none."""
    return _parsed(variable(*database, _REPORT.format(command)))


def _parsed(text: str | None) -> dict[str, Any]:
    found = parsed(text)
    return found if isinstance(found, dict) else {}

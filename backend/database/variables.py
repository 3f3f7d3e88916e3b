"""Airflow's Variables in a metadata database, those of this distribution: its id, and what commands last reported."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.database.tables import reflected

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["keep_report", "last_report", "variable"]

log = logging.getLogger("airflow_xcom.backend")

_REPORT = "airflow_xcom_last_{}"
_DESCRIPTION = "What airflow-xcom {} last reported, for the page XCom storage."


def variable(engine: Any, schema: str | None, key: str) -> str | None:
    """Return the text of a Variable; None if there is none."""
    import sqlalchemy

    table = reflected(engine, "variable", schema)
    found = read(engine, sqlalchemy.select(table.c.val).where(table.c.key == key))
    return str(found[0][0]) if found else None


def keep_report(database: tuple[Any, str | None], command: str, report: Mapping[str, Any]) -> None:
    """Keep what a command reported, in place of what it reported before under the same names; a failure is logged."""
    try:
        _write(*database, command, json.dumps({**last_report(database, command), **report}))
    except SQLAlchemyError as error:
        log.warning("the report is not kept for the page XCom storage: %s", type(error).__name__)


def _write(engine: Any, schema: str | None, command: str, text: str) -> None:
    table = reflected(engine, "variable", schema)
    key, content = _REPORT.format(command), {"val": text, "is_encrypted": False}
    description = _DESCRIPTION.format(command)
    with engine.begin() as connection:
        if connection.execute(table.update().where(table.c.key == key).values(content)).rowcount:
            return
    try:
        with engine.begin() as connection:
            connection.execute(table.insert().values(key=key, description=description, **content))
    except IntegrityError:
        log.info("another process was quicker to keep its report")


def last_report(database: tuple[Any, str | None], command: str) -> dict[str, Any]:
    """Return what a command last reported; nothing if there is no report, or what stands there is none."""
    try:
        found = json.loads(variable(*database, _REPORT.format(command)) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

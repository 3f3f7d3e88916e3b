"""Write and delete XComs as Airflow itself does, wherever a version keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from airflow_xcom.backend.compat import json_bytes


def write_row(stored: Any, key: str, whose: dict[str, Any], *, replace: bool) -> None:
    """Put a JSON value into the row of an XCom, as it is.

    Args:
        stored: the value.
        key: of the XCom.
        whose: the other parts of its coordinate.
        replace: whether it takes the place of what the row has.

    Raises:
        LookupError: The run or the task instance does not exist; or there is a row, and it is not to be replaced.
    """
    from airflow.models import xcom
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    try:
        with create_session() as session, nullcontext() if replace else _keeping_rows(session):
            if hasattr(xcom, "XComModel"):
                xcom.XComModel.set(key, stored, serialize=False, session=session, **whose)
            else:
                model: Any = xcom.BaseXCom
                model.set(key, None, session=session, **whose)
                session.query(model).filter_by(key=key, **whose).update({"value": json_bytes(stored)})
    except (ValueError, IntegrityError) as error:
        raise LookupError(f"there is no task instance {whose}") from error


@contextmanager
def _keeping_rows(session: Any) -> Iterator[None]:
    """Have a session replace no row: Airflow deletes the one that is there, or from 3.4 on has an INSERT update it."""
    import sqlalchemy

    def keep(execution: Any) -> None:
        if execution.is_delete:
            execution.statement = execution.statement.where(sqlalchemy.false())
        elif execution.is_insert:
            execution.statement = execution.statement._generate()  # noqa: SLF001 - there is no public way
            execution.statement._post_values_clause = None  # noqa: SLF001 - ON CONFLICT, ON DUPLICATE KEY

    sqlalchemy.event.listen(session, "do_orm_execute", keep)
    try:
        yield
    finally:
        sqlalchemy.event.remove(session, "do_orm_execute", keep)  # Airflow uses a session again


def clear_rows(model: Any, purge: Callable[[Any, Any], None], kept: str, session: Any, **where: Any) -> None:
    """Delete the XComs of a task in Airflow 2, but those whose key begins with ``kept``.

    Args:
        model: of a row.
        purge: is called for each before it goes, with the session.
        kept: see above.
        session: the database's; None for one of its own.
        **where: Dag, run, task and, unless all are meant, map index.
    """
    from airflow.utils.session import create_session

    if session is None:
        with create_session() as own:
            clear_rows(model, purge, kept, own, **where)
        return
    for row in session.query(model).filter_by(**{name: part for name, part in where.items() if part is not None}):
        if not row.key.startswith(kept):
            purge(row, session)
            session.delete(row)
    session.commit()

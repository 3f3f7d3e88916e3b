"""Some columns or rows of stored tables, for tasks, as the type that the task wants; and elements of lists, singly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_xcom.backend.compat import mappable, resolvable, xcom_class
from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.pull import Deferred, deferring, pull_all, renewable


def pull_table(
    ti: Any,
    task_ids: Any = None,
    *,
    columns: Sequence[Any] | None = None,
    rows: slice | None = None,
    as_: str | None = None,
    **where: Any,
) -> Any:
    """Return some columns and rows of a table that a task pushed; of its blob no more is read.

    Args:
        ti: the task instance, as in ``ti.xcom_pull``.
        task_ids: as in ``ti.xcom_pull``.
        columns: labels, in the order that is wanted; None for all.
        rows: with a step of 1; None for all.
        as_: ``"pandas"``, ``"polars"`` or ``"pyarrow"``; None for the type that was pushed.
        **where: what else ``ti.xcom_pull`` takes: ``key``, ``dag_id``, ``run_id``, ``map_indexes``, …

    Returns:
        The table, or a list of them, or None, where ``ti.xcom_pull`` returns a value, a list, or None.

    Raises:
        UnknownColumnError: There is no such column.
        SelectionError: A value is not a table, or that type cannot hold a column of it.
        DecodeError: A payload is gone or damaged.
        StoreError: A store cannot be read.
        SettingsError: Another XCom backend is configured.
    """
    _check_backend()
    with deferring():
        deferred = _fetched(ti.xcom_pull(task_ids, **where))
    return pull_all(deferred, _part_of(columns, rows, as_))


def table_of(
    argument: Any, *, columns: Sequence[Any] | None = None, rows: slice | None = None, as_: str | None = None
) -> Any:
    """Return an argument that is part of what a task returns: ``use(table_of(extract(), columns=["a"]))``.

    Args:
        argument: what calling a task, or its ``[key]``, returns where the Dag is made; not for ``expand``.
        columns: see :func:`pull_table`.
        rows: see :func:`pull_table`.
        as_: see :func:`pull_table`.

    Raises:
        TypeError: ``argument`` is something else.
    """
    if not hasattr(argument, "iter_references") or not hasattr(argument, "operator"):
        raise TypeError(f"table_of() takes what a task gives where the Dag is made, not a {type(argument).__name__}")
    name = f"table_of({argument!r}, columns={columns!r}, rows={rows!r}, as_={as_!r})"
    return resolvable(argument, name, _resolved(argument, _part_of(columns, rows, as_)))


def _part_of(columns: Sequence[Any] | None, rows: slice | None, as_: str | None) -> Callable[[Deferred], Any]:
    return lambda row: row.part(columns=columns, rows=rows, as_=as_)


def _fetched(rows: Any) -> Any:
    """Return the rows of a lazy sequence, as of a mapped task, or of any in Airflow 2; others as they are."""
    return rows if isinstance(rows, Deferred | list | None) else rows[:]


def _check_backend() -> None:
    """Raise SettingsError if Airflow keeps XComs with another backend, which would give the whole value."""
    configured = xcom_class()
    if "CodecXComBackend" not in {cls.__name__ for cls in configured.__mro__}:
        remedy = "pull_table() and table_of() need airflow_xcom.backend.CodecXComBackend"
        raise SettingsError(
            "xcom_backend", f"{configured.__module__}.{configured.__qualname__}", remedy, section="core"
        )


def _resolved(argument: Any, act: Callable[[Deferred], Any]) -> Callable[[Any], Any]:
    def resolve(context: Any) -> Any:
        _check_backend()
        with deferring():
            rows = _fetched(argument.resolve(context))
        return pull_all(rows, act)

    return resolve


def elements_of(argument: Any) -> Any:
    """Return an argument for ``expand``, whose elements are read singly: ``use.expand(part=elements_of(extract()))``.

    Each mapped task gets the same element as without it.  Of a list of large elements in a store, it reads that element
    and an index; everything else it reads whole.

    Args:
        argument: what calling a task returns where the Dag is made.

    Raises:
        TypeError: ``argument`` is something else.
    """
    if not hasattr(argument, "iter_references") or not hasattr(argument, "operator"):
        raise TypeError(f"elements_of() takes what a task gives where the Dag is made, not a {type(argument).__name__}")
    return mappable(argument, _elements)


def _elements(resolve: Callable[[], Any]) -> Any:
    def read() -> Any:
        with deferring():
            return resolve()

    rows = renewable(read(), read)
    return rows.elements() if isinstance(rows, Deferred) else pull_all(rows)

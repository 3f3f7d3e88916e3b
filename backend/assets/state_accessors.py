"""What the methods through which tasks read and write state do besides: tell whose state it is, and spare event loops.

Airflow hands a backend neither the key nor the scope of what it reads, and calls it on the event loop of a trigger or
an async task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from airflow_xcom.backend.state_coordinate import StateCoordinate

asked_state: ContextVar[StateCoordinate | None] = ContextVar("the state that is asked for", default=None)
is_reading_later: ContextVar[bool] = ContextVar("whether Later is wanted in place of values", default=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The reference to a value, on its way to the backend in place of it."""

    ref: str


@dataclass(frozen=True, slots=True)
class Later:
    """What reads a value, in place of it."""

    value: Callable[[], Any]


def state_of(scope: Any, key: str) -> StateCoordinate:
    """Return the coordinate of a key; ``scope`` is Airflow's ``TaskScope`` or ``AssetScope``, or has the same parts."""
    if hasattr(scope, "uri"):
        return StateCoordinate(key=key, name=scope.name, uri=None if scope.name is not None else scope.uri)
    region = getattr(scope, "region_id", None)  # from 3.4 on; 0 outside of loops
    iteration = region.hex if region is not None and region.int else None
    return StateCoordinate(scope.dag_id, scope.run_id, scope.task_id, scope.map_index, key, iteration)


def wrap_accessors(context: Any, prepare: Callable[[Any, str, Any], str | None]) -> None:
    """Wrap the methods of the classes in Airflow's module, once.

    No method of ours could override them: Airflow makes the accessors itself.  ``prepare`` returns the reference to a
    value, from the value, its key and the scope; None if another backend is to keep it.
    """
    for accessor in (context.TaskStateStoreAccessor, context.AssetStateStoreAccessor):
        if not hasattr(accessor, "_stock_get"):
            accessor._stock_get = accessor.get  # noqa: SLF001 - the mark that it is wrapped
            accessor.get = _getting(accessor.get)
            if hasattr(accessor, "aget"):  # that of a task has it from 3.4 on
                accessor.aget, accessor.aset = _async_getting(accessor.aget), _async_setting(accessor.aset, prepare)


def _scope(accessor: Any) -> Any:
    """Return the scope of an accessor: that of an asset has the parts itself."""
    if hasattr(accessor, "_scope"):
        return accessor._scope  # noqa: SLF001 - nothing public says whose state it is
    from airflow.sdk.state import AssetScope

    return AssetScope(name=accessor._name, uri=accessor._uri)  # noqa: SLF001


def _getting(stock: Any) -> Any:
    @wraps(stock)
    def get(self: Any, key: str, *args: Any, **options: Any) -> Any:
        with _noting(asked_state, state_of(_scope(self), key)):
            return stock(self, key, *args, **options)

    return get


def _async_getting(stock: Any) -> Any:
    @wraps(stock)
    async def aget(self: Any, key: str, *args: Any, **options: Any) -> Any:
        with _noting(asked_state, state_of(_scope(self), key)), _noting(is_reading_later, value=True):
            found = await stock(self, key, *args, **options)
        return await asyncio.to_thread(found.value) if type(found) is Later else found

    return aget


def _async_setting(stock: Any, prepare: Callable[[Any, str, Any], str | None]) -> Any:
    @wraps(stock)
    async def aset(self: Any, key: str, value: Any, *args: Any, **options: Any) -> Any:
        ref = None if value is None else await asyncio.to_thread(prepare, value, key, _scope(self))
        return await stock(self, key, value if ref is None else Prepared(ref), *args, **options)

    return aset


@contextmanager
def _noting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)

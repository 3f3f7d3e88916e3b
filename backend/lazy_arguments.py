"""Arguments that Airflow neither walks nor records: the task gets their value when it asks for it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast

from airflow_xcom.backend.compat import output_class, resolvable
from airflow_xcom.backend.pull import Deferred, deferring, pull_all, renewable
from airflow_xcom.codecs.registry import advise

P = ParamSpec("P")
R = TypeVar("R")

_CONTAINERS = frozenset({dict, list, tuple})

advise("airflow_xcom.backend.lazy_arguments.Lazy", "a lazy argument stands for its value: return argument.get()")


class Lazy(Sequence[Any]):
    """An argument of a task in place of its value; Airflow sees its name alone.

    It is a sequence because Airflow maps tasks over sequences; its items are lazy, too.
    """

    __slots__ = ("_elements", "_name", "_rows")

    def __init__(self, name: str, rows: Any) -> None:
        """Take what Airflow gives for the argument within :func:`deferring`: rows in place of values."""
        self._name = name
        self._rows = rows
        self._elements: Any = None  # of a row, once they are asked for

    def get(self) -> Any:
        """Return the value, which is read once.

        Raises:
            DecodeError: The payload is gone or damaged.
            StoreError: The store cannot be read.
        """
        rows = self._rows if type(self._rows) is list else [self._rows]
        if any(isinstance(row, Deferred) for row in rows):
            self._rows = pull_all(self._rows)
        return self._rows

    def __repr__(self) -> str:
        return self._name

    def __len__(self) -> int:
        return len(self._items())

    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int:
            raise TypeError(self._hint())
        items = self._items()
        with deferring():
            return Lazy(f"{self._name}[{index}]", _item(items, index))

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(self._hint())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._hint() if not name.startswith("__") else name)

    def __copy__(self) -> Lazy:
        return self

    def __deepcopy__(self, _memo: Any) -> Lazy:
        """Return the same, so that whoever copies a task reads nothing."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave as the value, which needs no class of ours where a task runs in another environment."""
        return operator.getitem, ([self.get()], 0)

    def _items(self) -> Any:
        """Return what has items, each read when it is asked for where that can be."""
        if not isinstance(self._rows, Deferred):
            return self._rows
        if self._elements is None:
            self._elements = self._rows.elements()
        return self._elements

    def _hint(self) -> str:
        return f"{self._name} is not its value yet: call .get(), or write @takes_lazy under @task"


def lazy(argument: Any) -> Any:
    """Return an argument that Airflow neither walks nor records, for what a task returns: ``use(lazy(extract()))``.

    The task gets the value itself if ``@takes_lazy`` is under its ``@task``; otherwise a :class:`Lazy`, whose ``get``
    returns it.

    Args:
        argument: what calling a task, or its ``[key]``, returns where the Dag is made; also for ``partial``, ``expand``
            and task groups.  A ``table_of``, or a ``map``, ``zip`` or ``concat``, for an argument that is not mapped.

    Raises:
        TypeError: ``argument`` is something else.
    """
    if not hasattr(argument, "iter_references") or not hasattr(argument, "resolve"):
        raise TypeError(f"lazy() takes what a task gives where the Dag is made, not a {type(argument).__name__}")
    if isinstance(argument, output_class()):
        return _lazy_output()(argument.operator, argument.key)
    name = f"lazy({argument!r})"
    return resolvable(argument, name, lambda context: Lazy(name, argument.resolve(context)))


@cache
def _lazy_output() -> type[Any]:
    """Return the class of lazy arguments, derived from that of Airflow's own, so that tasks can be mapped over them."""

    class LazyOutput(output_class()):  # type: ignore[misc]
        def resolve(self, context: Any, *more: Any, **options: Any) -> Lazy:
            stock = super().resolve

            def read() -> Any:
                with deferring():
                    return stock(context, *more, **options)

            return Lazy(repr(self), renewable(read(), read))

        def __getitem__(self, item: str) -> Any:
            return lazy(super().__getitem__(item))

        def __repr__(self) -> str:
            return f"lazy({super().__repr__()})"

    return LazyOutput


def takes_lazy(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that gets the values of lazy arguments, also of those within lists, tuples and dicts.

    ::

        @task
        @takes_lazy
        def use(rows: list[dict]) -> int: ...
    """
    if iscoroutinefunction(function):

        @wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            return await function(*_opened(args), **_opened(kwargs))

        return cast("Callable[P, R]", asynchronous)

    @wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        return function(*_opened(args), **_opened(kwargs))

    return cast("Callable[P, R]", synchronous)


def _opened(value: Any) -> Any:
    """Return what a task gets of an argument: the same, unless something in it is lazy."""
    kind = type(value)
    if kind is Lazy:
        return value.get()
    if kind not in _CONTAINERS:
        return value
    items = value.values() if kind is dict else value
    opened = list(map(_opened, items))
    if all(map(operator.is_, items, opened)):
        return value
    return dict(zip(value, opened, strict=True)) if kind is dict else kind(opened)


def _item(items: Any, index: int) -> Any:
    """Return an item as Airflow maps tasks over it: of a dict, a pair."""
    return list(items.items())[index] if type(items) is dict else items[index]

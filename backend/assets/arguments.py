"""Values of assets as arguments of tasks, named where the Dag is made and read where the task runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

from airflow_xcom.backend.assets.latest import read_latest
from airflow_xcom.backend.compat import resolve_mixin
from airflow_xcom.backend.compat_assets import key_of

# How Airflow names the argument when a task is to be mapped over it.
_NAME = "value_of(...), over which no task can be mapped: let a task return the value, and map over that, or give it"
_NAME += " with .partial()"


def value_of(
    asset: Any,
    *,
    partition: str | None = None,
    columns: Sequence[Any] | None = None,
    rows: slice | None = None,
    as_: str | None = None,
) -> Any:
    """Return an argument that is the value of an asset: ``use(value_of(flights, columns=["carrier"]))``.

    It is what :func:`airflow_xcom.backend.latest` returns in the task: a run that the asset's events started reads the
    newest of these; any other reads what was the latest version when its first task asked.  The argument may be given
    with ``.partial()``, and within lists and dicts.

    Args:
        asset: an asset, an alias, or ``Asset.ref(name=…)``.
        partition: its key; without one, that of the run.
        columns: see :func:`airflow_xcom.backend.pull_table`; so for ``rows`` and ``as_``.
        rows: see there.
        as_: see there.

    Raises:
        TypeError: ``asset`` is something else.
    """
    return _class()(asset, {"partition": partition}, {"columns": columns, "rows": rows, "as_": as_})


@cache
def _class() -> type[Any]:
    """Return the class of these arguments, derived from the one that Airflow resolves."""

    class ValueOf(resolve_mixin()):  # type: ignore[misc]
        def __init__(self, asset: Any, where: dict[str, Any], part: dict[str, Any]) -> None:
            self._asset, self._where, self._part = asset, where, part
            options = {**where, **part}.items()
            given = "".join(f", {name}={value!r}" for name, value in options if value is not None)
            self._text = f"value_of({key_of(asset)}{given})"

        def iter_references(self) -> Any:
            return ()

        def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
            return read_latest(context, self._asset, self._part, **self._where)

        def __repr__(self) -> str:
            return self._text

        def __format__(self, _: str) -> str:
            self._refuse("it is a value only where the task runs; format it there")

        def __getitem__(self, _: Any) -> NoReturn:
            self._refuse("it is a value only where the task runs; take a part there, or by columns= and rows=")

        def __iter__(self) -> NoReturn:
            self._refuse("it is a value only where the task runs; iterate over it there")

        def __rshift__(self, _: Any) -> NoReturn:
            self._refuse("it comes from no task of this Dag; schedule=[asset] starts the Dag after its publisher")

        __lshift__ = __rrshift__ = __rlshift__ = __rshift__

        def _refuse(self, why: str) -> NoReturn:
            raise TypeError(f"{self._text}: {why}")

    ValueOf.__name__ = _NAME
    return ValueOf

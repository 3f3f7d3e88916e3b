"""The one place that knows where each Airflow version keeps what the backend needs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "allows_class",
    "base_xcom",
    "configuration",
    "connection",
    "lazy_sequence",
    "load_xcom",
    "resolvable",
    "serde",
]


def base_xcom() -> type[Any]:
    """The class that a backend must derive from: in the task SDK from 3.0 on."""
    try:
        from airflow.sdk.bases.xcom import BaseXCom
    except ImportError:
        from airflow.models.xcom import BaseXCom  # type: ignore[no-redef]
    return BaseXCom


def load_xcom() -> None:
    """Let Airflow import its XCom class first: doing so it imports the configured backend, which may be this one."""
    with suppress(ImportError):  # before 3.0
        import airflow.sdk.execution_time.xcom  # noqa: F401


def configuration() -> Any:
    """Airflow's configuration parser: the task SDK's own from 3.2 on."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:
        from airflow.configuration import conf
    return conf


def connection(connection_id: str) -> Any:
    """An Airflow connection, from wherever Airflow keeps it: through the task SDK from 3.0 on."""
    try:
        from airflow.sdk import BaseHook
    except ImportError:
        from airflow.hooks.base import BaseHook  # type: ignore[attr-defined,no-redef]
    return BaseHook.get_connection(connection_id)


def serde() -> Any:
    """Airflow's serializer of values: in the task SDK from 3.2 on."""
    try:
        from airflow.sdk import serde as module
    except ImportError:
        from airflow.serialization import serde as module  # type: ignore[attr-defined,no-redef]
    return module


def lazy_sequence() -> type[Any] | None:
    """What a task gets for the values of a mapped one, from 3.0 on: it asks for one element at a time."""
    try:
        from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence
    except ImportError:
        return None
    return LazyXComSequence


def resolvable(argument: Any, name: str, resolve: Callable[[Any], Any]) -> Any:
    """An argument for a task that depends on the tasks ``argument`` does, and that ``resolve(context)`` finds.

    Airflow stores its ``name`` in the serialized Dag, so it must be the same at every parse.
    """
    try:
        from airflow.sdk.definitions._internal.mixins import ResolveMixin
    except ImportError:
        from airflow.utils.mixins import (  # type: ignore[import-not-found, no-redef, unused-ignore]
            ResolveMixin,
        )

    class Resolvable(ResolveMixin):  # type: ignore[misc, unused-ignore]
        def iter_references(self) -> Any:
            return argument.iter_references()

        def resolve(self, context: Any, **_: Any) -> Any:
            return resolve(context)

        def __repr__(self) -> str:
            return name

    return Resolvable()


def allows_class(name: str) -> bool:
    """Whether Airflow lets a class be restored by its name.

    It does if one of ``[core] allowed_deserialization_classes`` (globs) and ``allowed_deserialization_classes_regexp``
    matches the name, or if an operator asked for it with serde's ``allow_class``.
    """
    rules = serde()
    return bool(rules._match(name)) or name in rules._extra_allowed  # noqa: SLF001 - serde has no public way to ask

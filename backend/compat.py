"""The one place that knows where each Airflow version keeps what the backend needs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CLASS_REMEDY",
    "allows_class",
    "base_xcom",
    "configuration",
    "connection",
    "from_row",
    "json_bytes",
    "lazy_sequence",
    "load_xcom",
    "metadata_engine",
    "resolvable",
    "serde",
    "stores_bytes",
]

# What migrations from Airflow 2 to 3 change wherever it stands in a row's text, also inside a value, and escapes for
# the same text.  See airflow/migrations/versions/0049_3_0_0_remove_pickled_data_from_xcom_table.py of each release.
_REWRITTEN = {"NaN": r"\u004eaN", "Infinity": r"\u0049nfinity", r"\\u0000": r"\\\u00750000"}
_REWRITTEN_OR_ESCAPE = re.compile(r"NaN|Infinity|\\\\u0000|\\.")


def base_xcom() -> type[Any]:
    """The class that a backend must derive from: in the task SDK from 3.0 on."""
    try:
        from airflow.sdk.bases.xcom import BaseXCom
    except ImportError:
        from airflow.models.xcom import BaseXCom  # type: ignore[no-redef]
    return BaseXCom


def load_xcom() -> None:
    """Let Airflow import its XCom class first: doing so it imports the configured backend, which may be this one."""
    try:
        import airflow.sdk.execution_time.xcom
    except ImportError:
        import airflow.models.xcom  # noqa: F401


def stores_bytes(base: type[Any]) -> bool:
    """Whether a row holds JSON text as bytes, as it does before 3.0; ``base`` is :func:`base_xcom`."""
    return base.__module__ == "airflow.models.xcom"


def json_bytes(value: Any) -> bytes:
    """A JSON value for a row of Airflow 2, so written that it is the same after the migration to Airflow 3."""
    text = json.dumps(value, allow_nan=False)
    return _REWRITTEN_OR_ESCAPE.sub(lambda found: _REWRITTEN.get(found[0], found[0]), text).encode()


def from_row(stored: Any) -> Any:
    """The JSON value of a row; bytes of Airflow 2 that are no JSON, as pickles, are left for Airflow to read."""
    if type(stored) is not bytes:
        return stored
    try:
        return json.loads(stored)
    except ValueError:
        return stored


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


def metadata_engine() -> Any:
    """Return SQLAlchemy's engine for the metadata database, which workers of Airflow 3 do not have."""
    from airflow.utils.session import create_session

    with create_session() as session:
        return session.get_bind()


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


CLASS_REMEDY = (
    "add it to Airflow's configuration, [core] allowed_deserialization_classes = {name} (after the patterns that stand "
    "there, with a space between)"
)


def allows_class(name: str) -> bool:
    """Whether Airflow lets a class be restored by its name.

    It does if one of ``[core] allowed_deserialization_classes`` (globs) and ``allowed_deserialization_classes_regexp``
    matches the name, or if an operator asked for it with serde's ``allow_class``.
    """
    rules = serde()
    return bool(rules._match(name)) or name in rules._extra_allowed  # noqa: SLF001 - serde has no public way to ask

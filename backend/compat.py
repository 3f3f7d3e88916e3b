"""What the backend needs of Airflow, wherever a version keeps it; no other module knows versions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, lru_cache, partial
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from typing import Any

from airflow_xcom.backend.errors import SettingsError

STATE_STORE = ("workers", "state_store_backend")
"""The option, and its section, that names what keeps state for workers."""

# What migrations from Airflow 2 to 3 change anywhere in a row's text, also inside a value, and escapes for the same
# text.  See airflow/migrations/versions/0049_3_0_0_remove_pickled_data_from_xcom_table.py of each release.
_NAME = 256  # characters of a name that is remembered
_REWRITTEN = {"NaN": r"\u004eaN", "Infinity": r"\u0049nfinity", r"\\u0000": r"\\\u00750000"}
_REWRITTEN_OR_ESCAPE = re.compile(r"NaN|Infinity|\\\\u0000|\\.")


def first_of(*names: str) -> Any:
    """Return the first of some modules, or objects such as ``module:name``, that this Airflow has.

    Raises:
        ImportError: It has none.
    """
    for name in names:
        module, _, attribute = name.partition(":")
        with suppress(ImportError):
            found = import_module(module)
            if not attribute or hasattr(found, attribute):
                return getattr(found, attribute) if attribute else found
    raise ImportError(f"this Airflow has none of {', '.join(names)}")


def base_xcom() -> Any:
    """Return the class that a backend must derive from: in the task SDK from 3.0 on."""
    return first_of("airflow.sdk.bases.xcom:BaseXCom", "airflow.models.xcom:BaseXCom")


def base_state_store() -> type[Any]:
    """Return the class that a backend of the state store must derive from.

    Raises:
        SettingsError: This Airflow has no state store.
    """
    try:
        from airflow.sdk.state import BaseStoreBackend
    except ImportError:
        remedy = f"Airflow has a state store from 3.3 on, and this is {version('apache-airflow')}; leave the option out"
        name = "airflow_xcom.backend.CodecStateStore"
        raise SettingsError(STATE_STORE[1], name, remedy, section=STATE_STORE[0]) from None
    return BaseStoreBackend


def state_accessors() -> Any:
    """Return Airflow's module with what tasks read and write state through, from 3.3 on."""
    from airflow.sdk.execution_time import context

    return context


def state_store_name() -> str:
    """Return the name of the class that keeps state for workers; empty for Airflow's own, and before 3.3."""
    if find_spec("airflow.sdk") is None or find_spec("airflow.sdk.state") is None:
        return ""
    return str(configuration().get(*STATE_STORE, fallback="") or "")


def largest_state() -> int:
    """Return the most bytes of JSON that Airflow takes as state through its REST API; 0 for any number."""
    return int(configuration().get("state_store", "max_value_storage_bytes", fallback="0") or 0)


def load_xcom() -> None:
    """Let Airflow import its XCom class first: doing so it imports the configured backend, which may be this one."""
    first_of("airflow.sdk.execution_time.xcom", "airflow.models.xcom")


def xcom_class() -> Any:
    """Return the class that this Airflow keeps XComs with."""
    return first_of("airflow.sdk.execution_time.xcom:XCom", "airflow.models.xcom:XCom")


def stores_bytes(base: type[Any]) -> bool:
    """Return whether a row holds JSON text as bytes, as it does before 3.0; ``base`` is :func:`base_xcom`."""
    return base.__module__ == "airflow.models.xcom"


def json_bytes(value: Any) -> bytes:
    """Return a JSON value for a row of Airflow 2, so written that the migration to Airflow 3 does not change it."""
    text = json.dumps(value, allow_nan=False)
    return _REWRITTEN_OR_ESCAPE.sub(lambda match: _REWRITTEN.get(match[0], match[0]), text).encode()


def from_row(stored: Any) -> Any:
    """Return the JSON value of a row; bytes of Airflow 2 that are not JSON, as pickles, are returned as they are."""
    if type(stored) is not bytes:
        return stored
    try:
        return json.loads(stored)
    except ValueError:
        return stored


def configuration() -> Any:
    """Return Airflow's configuration parser: the task SDK's own from 3.2 on."""
    return first_of("airflow.sdk.configuration:conf", "airflow.configuration:conf")


def connection(connection_id: str) -> Any:
    """Return an Airflow connection, from wherever Airflow keeps it: through the task SDK from 3.0 on."""
    return first_of("airflow.sdk:BaseHook", "airflow.hooks.base:BaseHook").get_connection(connection_id)


def installed_entry_points(group: str) -> Iterable[Any]:
    """Return the entry points of a group; a task has listed them already, as Airflow looks for plugins among them."""
    try:
        from airflow.sdk._shared.module_loading import entry_points_with_dist
    except ImportError:
        return entry_points(group=group)
    found: dict[tuple[str, str], Any] = {}
    for point, distribution in entry_points_with_dist(group):  # the first on the path, if it is installed twice
        found.setdefault((distribution.metadata["Name"], point.name), point)
    return found.values()


def metadata_engine() -> Any:
    """Return SQLAlchemy's engine for the metadata database, which workers of Airflow 3 do not have."""
    from airflow.utils.session import create_session

    with create_session() as session:
        return session.get_bind()


def metadata_schema() -> str | None:
    """Return the schema of Airflow's tables; None for that of the connection."""
    return configuration().get("database", "sql_alchemy_schema", fallback=None) or None


def filesystem(scheme: str) -> Callable[[str | None], Any]:
    """Return what makes the fsspec file system of a scheme from the id of an Airflow connection, or from None.

    A provider of Airflow that knows the scheme makes it, as for ``ObjectStoragePath``; fsspec itself otherwise, which
    knows no connections.

    Raises:
        ValueError: neither knows the scheme, or the scheme knows no connections.
        ImportError: fsspec knows the scheme, and its package is not installed.
    """
    from fsspec import get_filesystem_class

    has_fs, get_fs = (first_of(f"airflow.sdk.io:{name}", f"airflow.io:{name}") for name in ("has_fs", "get_fs"))
    if has_fs(scheme):
        return partial(get_fs, scheme)
    made = get_filesystem_class(scheme)

    def make(connection_id: str | None) -> Any:
        if connection_id is not None:
            raise ValueError(f"no provider of Airflow connects to {scheme}://; install one that does")
        return made()

    return make


def has_external_views() -> bool:
    """Return whether plugins can add tabs to Airflow's pages: from 3.1 on."""
    from airflow.plugins_manager import AirflowPlugin

    return hasattr(AirflowPlugin, "external_views")


def hides_value_of(name: str) -> bool:
    """Return whether Airflow masks what has this name: ``[core] sensitive_var_conn_names`` and its own list."""
    return _hides(name) if len(name) <= _NAME else bool(_masker().should_hide_value_for_key(name))


@lru_cache(maxsize=1024)  # names of facts and columns recur in every push
def _hides(name: str) -> bool:
    return bool(_masker().should_hide_value_for_key(name))


@cache
def _masker() -> Any:
    homes = ("airflow.sdk._shared", "airflow.sdk.execution_time", "airflow.utils.log")
    return first_of(*(f"{home}.secrets_masker" for home in homes))


@cache
def serde() -> Any:
    """Return Airflow's serializer of values: in the task SDK from 3.2 on."""
    return first_of("airflow.sdk.serde", "airflow.serialization.serde")


def stock_json(value: Any) -> Any:
    """Return the JSON value that Airflow's own backend makes of a value; raise anything where it refuses the value."""
    if stores_bytes(base_xcom()):
        from airflow.utils.json import XComEncoder

        return json.loads(json.dumps(value, cls=XComEncoder))
    return json.loads(json.dumps(serde().serialize(value)))


def patch_lazy_sequences(get_item: Callable[[Any, Any, Any], Any], iterate: Callable[[Any, Any], Any]) -> None:
    """Replace two methods of the sequence that a task gets for the values of a mapped one, from Airflow 3.0 on.

    This is all that is patched of Airflow.  No method of ours could override it: Airflow makes these sequences itself,
    and a backend sees their elements one by one.  Both new methods get Airflow's own ``__getitem__`` first.
    """
    try:
        from airflow.sdk.execution_time import lazy_sequence
    except ImportError:
        return
    patched: Any = lazy_sequence.LazyXComSequence
    if not hasattr(patched, "_stock_getitem"):
        stock = patched._stock_getitem = patched.__getitem__  # noqa: SLF001 - the mark that it is patched
        patched.__getitem__ = lambda self, key: get_item(stock, self, key)
        patched.__iter__ = lambda self: iterate(stock, self)


def resolve_mixin() -> Any:
    """Return the class of arguments that a task resolves before it uses them."""
    return first_of("airflow.sdk.definitions._internal.mixins:ResolveMixin", "airflow.utils.mixins:ResolveMixin")


def resolvable(argument: Any, name: str, resolve: Callable[[Any], Any]) -> Any:
    """Return an argument for a task, which depends on the tasks that ``argument`` does, and is ``resolve(context)``.

    Airflow stores its ``name`` in the serialized Dag, so it must be the same at every parse.
    """

    class Resolvable(resolve_mixin()):  # type: ignore[misc]
        def iter_references(self) -> Any:
            return argument.iter_references()

        def resolve(self, context: Any, **_: Any) -> Any:
            return resolve(context)

        def __repr__(self) -> str:
            return name

    return Resolvable()


def output_class() -> Any:
    """Return the class of what calling a task, or its ``[key]``, returns where the Dag is made."""
    return first_of("airflow.sdk.definitions.xcom_arg:PlainXComArg", "airflow.models.xcom_arg:PlainXComArg")


def mappable(argument: Any, resolve: Callable[[Callable[[], Any]], Any]) -> Any:
    """Return an argument for ``expand`` that is ``resolve(stock)``, where ``stock()`` is what Airflow makes of it.

    Airflow asks each mapped task to resolve the whole argument, and takes one element from it.  In the serialized Dag,
    this is the argument itself, so a scheduler counts the tasks as before.
    """
    stock: Any = type(argument)

    class Mappable(stock):  # type: ignore[misc]
        def resolve(self, *args: Any, **options: Any) -> Any:
            return resolve(lambda: stock.resolve(self, *args, **options))

    return Mappable(argument.operator, argument.key)


CLASS_REMEDY = (
    "add it to Airflow's configuration, [core] allowed_deserialization_classes = {name} (after the patterns that stand "
    "there, with a space between)"
)


def allows_class(name: str) -> bool:
    """Return whether Airflow lets a class be restored by its name.

    It does if one of ``[core] allowed_deserialization_classes`` (globs) and ``allowed_deserialization_classes_regexp``
    matches the name, or if an operator asked for it with serde's ``allow_class``.
    """
    rules = serde()
    return bool(rules._match(name)) or name in rules._extra_allowed  # noqa: SLF001 - serde has no public way to ask


def write_row(stored: Any, key: str, whose: dict[str, Any], *, replace: bool) -> None:
    """Put a JSON value into the row of an XCom, as it is; ``whose`` has the parts of its coordinate but the key.

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

    ``purge`` is called for each before it goes.  Without a session, one is made.  ``where`` names Dag, run, task and,
    unless all are meant, the map index.
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

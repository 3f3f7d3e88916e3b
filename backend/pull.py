"""From rows to values: one, a part of one, or many at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import base_xcom
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope
from airflow_xcom.backend.errors import RetiredPayloadError
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError, RegistrationError, SelectionError, UnknownTagError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Deferred", "concurrently", "deferring", "is_deferring", "located", "prepare", "pull", "pull_all"]

_CONTAINERS = frozenset({dict, list})
_THREADS = 32
_WAITING = 64  # values that are fetched, or were and are not taken yet
_BYTES = 256 << 20  # of their payloads; one that has more goes alone

_deferring: ContextVar[bool] = ContextVar("whether rows are handed on in place of their values", default=False)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A row in place of its value, which is read when it is asked for.

    Attributes:
        stored: the JSON value that the row holds.
        row: as Airflow gives it.
    """

    stored: Any
    row: Any

    @property
    def size(self) -> int:
        """Return the bytes of its blob; 0 if it has none."""
        try:
            envelope = Envelope.from_json(self.stored)
        except CodecError:
            return 0
        return 0 if envelope is None or envelope.reference is None else envelope.reference.size

    def value(self) -> Any:
        """Return the value; raises what ``deserialize_value`` does."""
        return _value(self.stored, self.row)

    def part(self, **wanted: Any) -> Any:
        """Return some columns and rows of a table; see :func:`airflow_xcom.codecs.payload.decode_part`."""
        with located(Coordinate(key=getattr(self.row, "key", None))):
            envelope = Envelope.from_json(self.stored)
            if envelope is None:
                raise SelectionError(
                    f"the value is a plain {type(self.stored).__name__}, of which no columns or rows can be taken; "
                    "pull it with xcom_pull"
                )
        return _decoded(envelope, lambda opened: _decode_part(opened, **wanted))


@contextmanager
def deferring() -> Iterator[None]:
    """Have Airflow hand on rows, as :class:`Deferred`, in place of their values."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


def is_deferring() -> bool:
    """Return whether rows are handed on in place of their values."""
    return _deferring.get()


def pull(stored: Any, row: Any) -> Any:
    """Return the value of a row, or within :func:`deferring` the row itself."""
    return Deferred(stored, row) if _deferring.get() else _value(stored, row)


def _value(stored: Any, row: Any) -> Any:
    envelope = None
    if type(stored) is dict and ENVELOPE_KEY in stored:
        with located(Coordinate(key=getattr(row, "key", None))):
            envelope = Envelope.from_json(stored)
    if envelope is not None:
        return _decoded(envelope, _decode)
    legacy = settings().legacy_backend
    if legacy is None and _has_no_serde_keys(stored):
        return stored
    return (legacy or base_xcom()).deserialize_value(row)


def pull_all(rows: Any, act: Callable[[Deferred], Any] = Deferred.value) -> Any:
    """Apply ``act`` to a deferred row, or to those of a list concurrently; return anything else as it is.

    Raises:
        CodecError: A row cannot be read; the first one's error.
    """
    if isinstance(rows, list):
        return rows if _deferring.get() else list(concurrently(rows, act))
    return act(rows) if isinstance(rows, Deferred) else rows


def concurrently(rows: Iterable[Any], act: Callable[[Deferred], Any]) -> Iterator[Any]:
    """Apply ``act`` to deferred rows concurrently, some ahead of being taken; pass other items through, in order."""
    waiting: deque[tuple[int, Future[Any]]] = deque()
    flying = 0
    pool = ThreadPoolExecutor(_THREADS, "airflow-xcom-codecs")
    try:
        for row in rows:
            size = row.size if isinstance(row, Deferred) else 0
            while waiting and (len(waiting) >= _WAITING or flying + size > _BYTES):
                taken, done = waiting.popleft()
                yield done.result()
                flying -= taken
            waiting.append((size, pool.submit(act, row) if isinstance(row, Deferred) else _finished(row)))
            flying += size
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _has_no_serde_keys(stored: Any) -> bool:
    """Return whether no dict in a row's JSON has a key that Airflow's serializer gives a meaning to.

    Those keys begin with two underscores (airflow/sdk/serde); what may have one is left to the serializer.  So are the
    pickles of Airflow 2, which reads them if it is told to.
    """
    if type(stored) is bytes:
        return False
    level = [stored] if type(stored) in _CONTAINERS else []
    while level:
        deeper: list[Any] = []
        for container in level:
            items = container
            if type(container) is dict:
                if "__" in "".join(container):
                    return False
                items = container.values()
            deeper += [item for item in items if type(item) in _CONTAINERS]
        level = deeper
    return True


def _finished(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def _decoded(envelope: Envelope, act: Callable[[Envelope], Any]) -> Any:
    with located(envelope.coordinate):
        if envelope.retired is not None:
            raise RetiredPayloadError(envelope.retired.at, envelope.retired.rule, envelope.coordinate.task_id)
        prepare()
        try:
            return act(envelope)
        except UnknownTagError as error:
            error.supplier = envelope.suppliers.get(error.tag)
            if "." in error.tag:
                error.hint += "; or name that module in [xcom_codecs] modules"
            raise


def _decode(envelope: Envelope) -> Any:
    if envelope.reference is None:
        from airflow_xcom.codecs.payload import decode_json

        return decode_json(envelope.data)
    from airflow_xcom.backend.blobs import read_blob

    return read_blob(envelope.reference)


def _decode_part(envelope: Envelope, **wanted: Any) -> Any:
    from airflow_xcom.backend.blobs import read_part
    from airflow_xcom.codecs.payload import arrow_file, decode_part

    if envelope.reference is None:
        if (file := arrow_file(envelope.data)) is not None:
            return decode_part(lambda ranges: [memoryview(file)[slice(*part)] for part in ranges], len(file), **wanted)
    elif envelope.reference.format == "arrow":
        return read_part(envelope.reference, **wanted)
    raise SelectionError(
        f"the value is a {envelope.tag}, of which no columns or rows can be taken; pull it with xcom_pull"
    )


@cache
def prepare() -> None:
    """Make every configured codec and rule known, once in a process, before the first push or pull."""
    from airflow_xcom.backend.compat import CLASS_REMEDY, allows_class
    from airflow_xcom.backend.serde import SERDE_CODEC
    from airflow_xcom.codecs import registry

    registry.set_fallback(SERDE_CODEC)
    registry.allow_classes(allows_class, remedy=CLASS_REMEDY)
    for name in settings().modules:
        _import_codecs(name)


def _import_codecs(name: str) -> None:
    """Import a module that registers codecs.

    Raises:
        RegistrationError: The module cannot be imported.
    """
    try:
        import_module(name)
    except Exception as error:
        msg = f"cannot import {name!r}, which [xcom_codecs] modules names: {error}"
        raise RegistrationError(msg) from error


@contextmanager
def located(coordinate: Coordinate) -> Iterator[None]:
    """Say in every error which XCom it happened to."""
    try:
        yield
    except CodecError as error:
        error.context = str(coordinate)
        raise

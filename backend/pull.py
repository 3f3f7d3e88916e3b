"""From rows to values: one, a part of one, or many at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import base_xcom
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope
from airflow_xcom.backend.errors import MissingPayloadError, RetiredPayloadError
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError, RegistrationError, SelectionError, UnknownTagError, registry
from airflow_xcom.codecs.discovery import imported
from airflow_xcom.codecs.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_xcom.backend.envelope import Reference

_CONTAINERS = frozenset({dict, list})
_UNMAPPED = -1
_THREADS = 32
_WAITING = 64  # values that are fetched, or were and are not taken yet
_BYTES = 256 << 20  # of their payloads; one that has more goes alone

_deferring: ContextVar[bool] = ContextVar("whether rows are handed on in place of their values", default=False)
_asked: ContextVar[Coordinate] = ContextVar("the XCom that is asked for", default=Coordinate())  # noqa: B039 - nobody changes it


@dataclass(frozen=True, slots=True)
class Deferred:
    """A row in place of its value, which is read when it is asked for.

    Attributes:
        stored: the JSON value that the row holds.
        row: as Airflow gives it.
        asked: the XCom that was asked for, as far as Airflow tells.
        again: reads all rows once more that it was read with, if that was ahead of being used.
    """

    stored: Any
    row: Any
    asked: Coordinate = field(default_factory=Coordinate)
    again: Callable[[], Any] | None = None

    @property
    def envelope(self) -> Envelope | None:
        """Return the envelope that it holds; None if it holds something else, or one that cannot be read."""
        try:
            return Envelope.from_json(self.stored)
        except CodecError:
            return None

    @property
    def size(self) -> int:
        """Return the bytes of its blob; 0 if it has none."""
        envelope = self.envelope
        return 0 if envelope is None else sum(reference.size for reference in envelope.references)

    def value(self) -> Any:
        """Return the value; raises what ``deserialize_value`` does."""
        return _value(self.stored, self.row, self.asked)

    def part(self, **wanted: Any) -> Any:
        """Return some columns and rows of a table; see :func:`airflow_xcom.codecs.payload.decode_part`."""
        with located(self.asked):
            envelope = _opened(self.stored, self.asked)
            if envelope is None:
                raise SelectionError(
                    f"the value is a plain {type(self.stored).__name__}, of which no columns or rows can be taken; "
                    "pull it with xcom_pull"
                )
        return _decoded(envelope, lambda opened: _decode_part(opened, **wanted))

    def elements(self) -> Any:
        """Return a sequence that reads each element of a list when it is asked for; the value if it has no index."""
        return pull_all(self, _elements)


@contextmanager
def asking(  # noqa: PLR0913 - as Airflow's methods have them
    *,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: int | None = None,
    key: str | None = None,
    include_prior_dates: bool = False,
    **_: Any,
) -> Iterator[None]:
    """Note which XCom Airflow asks for, since what it hands to the backend does not say."""
    token = _asked.set(Coordinate(dag_id, None if include_prior_dates else run_id, task_id, map_index, key))
    try:
        yield
    finally:
        _asked.reset(token)


@contextmanager
def deferring() -> Iterator[None]:
    """Have Airflow hand on rows, as :class:`Deferred`, in place of their values."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


def pull(stored: Any, row: Any) -> Any:
    """Return the value of a row, or within :func:`deferring` the row itself."""
    return Deferred(stored, row, asked_of(row)) if _deferring.get() else _value(stored, row)


def asked_of(row: Any) -> Coordinate:
    """Return the XCom that is asked for; what Airflow did not tell may stand in the row, as in Airflow 2.

    The index -1 counts as unknown: Airflow 3.4 asks so for a task in a loop, too, whatever the iteration.
    """
    dag, run, task, index, key = _asked.get().to_json()
    index = getattr(row, "map_index", None) if index is None else index
    return Coordinate(
        getattr(row, "dag_id", None) if dag is None else dag,
        getattr(row, "run_id", None) if run is None else run,
        getattr(row, "task_id", None) if task is None else task,
        None if index == _UNMAPPED else index,
        getattr(row, "key", None) if key is None else key,
    )


def _opened(stored: Any, asked: Coordinate) -> Envelope | None:
    """Return the envelope that a row holds, if it is one of the XCom that is asked for.

    Raises:
        ForeignReferenceError: It was written for another XCom.
        CorruptPayloadError, NewerFormatError: See :meth:`Envelope.from_json`.
    """
    try:
        envelope = Envelope.from_json(stored)
        if envelope is not None:
            envelope.check_origin(asked)
    except CodecError as error:
        error.context = str(asked)
        raise
    return envelope


def _value(stored: Any, row: Any, asked: Coordinate | None = None) -> Any:
    """Return the value of a row; ``asked`` is :func:`asked_of` the row where that was found out when it was read."""
    if type(stored) is dict and ENVELOPE_KEY in stored:
        envelope = _opened(stored, asked or asked_of(row))
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
    return _result(rows, partial(act, rows), act) if isinstance(rows, Deferred) else rows


def renewable(rows: Any, read: Callable[[], Any]) -> Any:
    """Return a row, or a list of them, so that each can be read again, by ``read``; anything else as it is."""
    if isinstance(rows, Deferred):
        return replace(rows, again=lambda: [read()])
    if not isinstance(rows, list):
        return rows
    return [replace(row, again=read) if isinstance(row, Deferred) else row for row in rows]


def concurrently(rows: Iterable[Any], act: Callable[[Deferred], Any]) -> Iterator[Any]:
    """Apply ``act`` to deferred rows concurrently, some ahead of being taken; pass other items through, in order.

    Where a blob is missing, its row is read once more: a migration may have moved it since the row was read.
    """
    waiting: deque[tuple[int, Any, Future[Any]]] = deque()
    flying = 0
    pool = ThreadPoolExecutor(_THREADS, "airflow-xcom-codecs")
    try:
        for row in rows:
            size = row.size if isinstance(row, Deferred) else 0
            while waiting and (len(waiting) >= _WAITING or flying + size > _BYTES):
                taken, first, future = waiting.popleft()
                yield _result(first, future.result, act)
                flying -= taken
            waiting.append((size, row, pool.submit(act, row) if isinstance(row, Deferred) else _finished(row)))
            flying += size
        while waiting:
            _, first, future = waiting.popleft()
            yield _result(first, future.result, act)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(row: Any, read: Callable[[], Any], act: Callable[[Deferred], Any]) -> Any:
    try:
        return read()
    except MissingPayloadError:
        fresh = _fresh(row)
        if fresh is None or fresh.stored == row.stored:
            raise
    return act(fresh)


def _fresh(row: Deferred) -> Deferred | None:
    """Return a row as it is now; None if it is gone, or cannot be told from others that were read with it."""
    rows = None if row.again is None else row.again()
    for fresh in rows or ():
        if isinstance(fresh, Deferred) and _is_of(fresh, row.envelope):
            return replace(fresh, again=row.again)
    return None


def _is_of(row: Deferred, envelope: Envelope | None) -> bool:
    """Return whether a row has the value of the same XCom as an envelope."""
    found = row.envelope
    return found is not None and envelope is not None and found.coordinate == envelope.coordinate != Coordinate()


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
    try:
        if envelope.retired is not None:
            raise RetiredPayloadError(envelope.retired.at, envelope.retired.rule, envelope.coordinate.task_id)
        prepare()
        return act(envelope)
    except CodecError as error:
        if isinstance(error, UnknownTagError) and not envelope.items:  # else the item has said so
            supplier = envelope.suppliers.get(error.tag)
            error.supplier = supplier if type(supplier) is str else None
            if "." in error.tag:
                error.hint += "; or name that module in [xcom_codecs] modules"
        error.context = str(envelope.coordinate)
        raise


def _decode(envelope: Envelope, read_json: Callable[[Any], Any] | None = None) -> Any:
    """Return the value of an envelope; ``read_json`` is what all items of a dict that stand in its row are read by."""
    if envelope.reference is None:
        read_json = read_json or imported("airflow_xcom.codecs.payload").Decoder(registry).read_json
        if envelope.items:
            item_value = partial(_decode, read_json=read_json)
            return {item.coordinate.key: _decoded(item, item_value) for item in envelope.items}
        return read_json(envelope.data)
    return imported("airflow_xcom.backend.blobs").read_blob(envelope.reference)


def value_of_envelope(envelope: Envelope) -> Any:
    """Return the value that an envelope has, whose origin was checked."""
    return _decoded(envelope, _decode)


def _elements(row: Deferred) -> Any:
    envelope = _opened(row.stored, row.asked)
    if envelope is None or envelope.reference is None or envelope.reference.index_size is None:
        return row.value()
    from airflow_xcom.backend.blobs import Elements

    reference = envelope.reference

    def reading(read: Callable[[], Any]) -> Any:
        return _decoded(envelope, lambda _: read())

    def copy() -> Reference | None:
        fresh = _fresh(row)
        found = fresh.envelope.reference if fresh is not None and fresh.envelope is not None else None
        return found if found is not None and found.digest == reference.digest else None

    return reading(lambda: Elements(reference, reading, copy))


def _decode_part(envelope: Envelope, **wanted: Any) -> Any:
    from airflow_xcom.backend.blobs import read_part
    from airflow_xcom.codecs.payload import arrow_file, decode_part

    if envelope.reference is None:
        if (file := arrow_file(envelope.data)) is not None:
            return decode_part(lambda ranges: [memoryview(file)[slice(*part)] for part in ranges], len(file), **wanted)
    elif envelope.reference.format == "arrow":
        return read_part(envelope.reference, **wanted)
    raise SelectionError(
        f"the value is a {cut(envelope.tag)}, of which no columns or rows can be taken; pull it with xcom_pull"
    )


@cache
def prepare() -> None:
    """Make every configured codec and rule known, once in a process, before the first push or pull."""
    connect_registry()
    for name in settings().modules:
        try:
            import_module(name)
        except Exception as error:
            raise RegistrationError(f"cannot import {name!r}, which [xcom_codecs] modules names: {error}") from error


@cache
def connect_registry() -> None:
    """Let the registry ask Airflow for entry points, for classes that are allowed, and for values that no codec has."""
    from airflow_xcom.backend.compat import CLASS_REMEDY, allows_class, installed_entry_points
    from airflow_xcom.backend.serde import SERDE_CODEC
    from airflow_xcom.codecs.discovery import ENTRY_POINT_GROUP

    registry.entry_points.find = partial(installed_entry_points, ENTRY_POINT_GROUP)
    registry.set_fallback(SERDE_CODEC)
    registry.allow_classes(allows_class, remedy=CLASS_REMEDY)


class located:  # noqa: N801 - as contextlib's
    """Say in every error which XCom it happened to."""

    __slots__ = ("_coordinate",)

    def __init__(self, coordinate: Coordinate) -> None:
        self._coordinate = coordinate

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, CodecError):
            error.context = str(self._coordinate)

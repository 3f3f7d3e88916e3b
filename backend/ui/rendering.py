"""What the codec of another package makes of its value for people, where an option lets it run in the API server."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import BoundedSemaphore
from typing import Any, NamedTuple

from airflow_xcom.backend.envelope import Envelope
from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.backend.pull import prepare, value_of_envelope
from airflow_xcom.backend.ui.payload_tree import LARGEST, read_json
from airflow_xcom.codecs import Codec, CorruptPayloadError, DecodeError, Registry, encode, registry
from airflow_xcom.codecs.quoting import cut, described

_MOST = 64 << 20  # bytes of a blob
_TURNS = BoundedSemaphore(2)  # renders at a time, that those that never end leave threads of the Data tab to others
_SECONDS = 5  # that one waits for its turn


class Rendering(NamedTuple):
    """What is shown in place of a value.

    Attributes:
        node: as the shipped codecs write it, or None where the value is shown as it is stored.
        problem: why it is, if its codec was asked.
        read: bytes of the blob that were read for it.
    """

    node: Any = None
    problem: str | None = None
    read: int = 0


def rendering(envelope: Envelope) -> Rendering:
    """Return what the codec of a value renders, which may run any code of its package."""
    if envelope.tag not in envelope.suppliers:  # a shipped codec, or none
        return Rendering()
    try:
        codec = _codec_of(envelope.tag)
        if codec is None or codec.render is None:
            return Rendering()
        size = envelope.reference.size if envelope.reference is not None else 0
        _check(size, _MOST, "a value that is rendered")
        if not _TURNS.acquire(timeout=_SECONDS):
            return Rendering(problem="it is not rendered now: others are being rendered")
        try:
            return Rendering(_rendered(codec, codec.render, envelope), read=size)
        finally:
            _TURNS.release()
    except BaseException as error:  # noqa: BLE001 - whatever others' code raises is told, and ends no server
        return Rendering(problem=f"{cut(envelope.tag)} cannot be rendered: {described(error)}")


def _codec_of(tag: str) -> Codec[Any] | None:
    prepare()
    try:
        return registry.for_tag(tag, 1)
    except DecodeError:  # its package is not installed here
        return None


def _rendered(codec: Codec[Any], render: Callable[[Any], Any], envelope: Envelope) -> Any:
    """Return the nodes of what a codec renders; None if it renders nothing of this value."""
    value = value_of_envelope(envelope)
    if registry.for_type(type(value)) is not codec:
        raise CorruptPayloadError("the value is of another type than its row says")
    found = render(value)
    return None if found is None else _nodes(found)


def _nodes(found: Any) -> Any:
    payload = encode(found, registry=_shipped())
    _check(payload.least_size, LARGEST, "what the codec renders")
    _check(payload.raw_size, LARGEST, "what the codec renders")  # which costs more to know
    return read_json(payload.to_json())


def _check(size: int, most: int, what: str) -> None:
    if size > most:
        raise SelectionTooLargeError(what, size, most)


@cache
def _shipped() -> Registry:
    """Return the codecs of this distribution alone, which are those that the Data tab shows."""
    return Registry(entry_points=False)

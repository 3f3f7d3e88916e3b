"""The dict of a task with multiple outputs: its row refers to the payloads that its keys have already.

Airflow pushes each item under its key, and then the dict under `return_value`.  A payload is shared where it is still
what was written for the key, bit for bit; both rows are of one task instance, and a sweep sees the references of both.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.placement import decide, is_exact
from airflow_xcom.codecs import EncodeError, encode
from airflow_xcom.codecs.formats import json

if TYPE_CHECKING:
    from airflow_xcom.backend.settings import Settings
    from airflow_xcom.codecs.payload import Payload

_MOST = 64  # items of a dict whose row has their references
_IN_ROW = 2048  # bytes of JSON of the items that are in the row themselves, as many as Airflow's pages show
# Seconds since a payload was begun, far below the grace period of a sweep: were the row of its key gone by now, nothing
# would refer to it until that of the dict is written.
_FRESH = 3600.0
_NATIVES = frozenset({dict, list, str, bytes, float, int, bool, type(None)})  # equal ones need not be the same objects


class _Pushed:
    def __init__(self, value: Any, envelope: Envelope, options: Settings) -> None:
        self.identity = id(value)  # it may be another's by now, which has another digest
        self.envelope = envelope
        self.options = options
        self.at = time.monotonic()


class _Outputs(threading.local):
    """What this thread has pushed last for one task instance."""

    def __init__(self) -> None:
        self.of: list[Any] = []  # the parts of its coordinate but the key
        self.by_key: dict[str | None, _Pushed] = {}


_outputs = _Outputs()


def note(value: Any, envelope: Envelope, options: Settings) -> None:
    """Remember the payload of a key, a blob, in case the dict that Airflow pushes afterwards has it, too."""
    of = envelope.coordinate.to_json()[:-1]
    if _outputs.of != of:
        _outputs.of, _outputs.by_key = of, {}
    _outputs.by_key.pop(envelope.coordinate.key, None)
    if len(_outputs.by_key) < _MOST:
        _outputs.by_key[envelope.coordinate.key] = _Pushed(value, envelope, options)


def envelope_of_items(value: dict[Any, Any], coordinate: tuple[Any, ...], options: Settings) -> Envelope | None:
    """Return the envelope of a dict whose large items have payloads already; None if it is to be stored as a whole.

    The options are those of the configuration, which no hint has changed.
    """
    if not _outputs.by_key or len(value) > _MOST or not any(map(_outputs.by_key.get, value)):
        return None
    at = Coordinate(*coordinate)
    if _outputs.of != at.to_json()[:-1]:
        return None
    try:
        items = [_item(key, item, at, options) for key, item in value.items()]
    except (EncodeError, _NotByItemsError):
        return None
    envelopes, objects = [envelope for envelope, _ in items], [found for _, found in items]
    sizes = [item.summary["bytes"] for item in envelopes if item.reference is None]
    blobs = [item.reference.size for item in envelopes if item.reference is not None]
    if not blobs or sum(sizes) > _IN_ROW or len(frozenset().union(*objects)) < sum(map(len, objects)):
        return None
    limits = {"preview": options.preview} if options.preview in {"columns", "none"} else {}
    facts = {"type": "dict", "bytes": sum(sizes + blobs), "length": len(value), **limits}
    return Envelope("dict", facts, at, items=tuple(envelopes))


class _NotByItemsError(Exception):
    """An item cannot be kept by itself."""


def _item(key: Any, item: Any, at: Coordinate, options: Settings) -> tuple[Envelope, frozenset[int]]:
    """Return the envelope of an item, and its objects that may not stand in another one, where they would be others."""
    if type(key) is not str:
        raise _NotByItemsError
    pushed = _outputs.by_key.get(key)
    if pushed is None or pushed.identity != id(item):
        envelope, payload = _in_row(item, replace(at, key=key), options)
    else:
        envelope, payload = pushed.envelope, _repeated(item, pushed, options)
    return envelope, payload.objects if type(item) in _NATIVES else payload.objects | {id(item)}


def _repeated(item: Any, pushed: _Pushed, options: Settings) -> Payload:
    """Return the payload of an item, whose blob has just these bytes already."""
    from airflow_xcom.backend.blobs import is_blob_of

    theirs, reference = pushed.options, pushed.envelope.reference
    lasts = theirs is options or (reference is not None and reference.expires is None)
    if not lasts or theirs.preview != options.preview or time.monotonic() - pushed.at > _FRESH:
        raise _NotByItemsError
    payload = encode(item, compression=theirs.compression_for(theirs.name))
    if reference is None or not is_blob_of(reference, payload):
        raise _NotByItemsError
    return payload


def _in_row(item: Any, at: Coordinate, options: Settings) -> tuple[Envelope, Payload]:
    """Return the envelope of an item that the row itself holds."""
    from airflow_xcom.codecs.formats.sharing import LEAST

    placement = None if is_exact(item, options) else decide(item, options)
    if (placement is not None and not placement.in_row) or hides_value_of(str(at.key)):
        raise _NotByItemsError
    payload = encode(item) if placement is None else placement.payload
    if payload.expanded > LEAST // _MOST:  # a reader bounds what all items in a row stand for together
        raise _NotByItemsError
    data = json.dump(item) if placement is None else placement.data
    facts = {"type": payload.tag, "bytes": len(orjson.dumps(data))}
    return Envelope(payload.tag, facts, at, data=data, suppliers=payload.suppliers), payload

"""From a value to what a row of Airflow's state store holds, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from airflow_xcom.backend.envelope import Envelope, is_path_of
from airflow_xcom.backend.errors import ForeignStateError
from airflow_xcom.backend.pull import located, value_of_envelope
from airflow_xcom.backend.push import Written, push
from airflow_xcom.backend.state_coordinate import ASSET, StateCoordinate
from airflow_xcom.codecs import CorruptPayloadError


def written(value: Any, at: StateCoordinate) -> str:
    """Return the reference to a value: itself, if it is small JSON, or its envelope.

    Raises:
        EncodeError: The value cannot be stored exactly.
        StoreError: The store cannot be written to.
    """
    parts = (at.dag_id, at.run_id, at.task_id, at.map_index, at.key, at.region, at.name, at.uri)
    if type(value) is Written:  # to an asset; state has a blob of its own
        value = value.value
    return json.dumps(push(value, *parts, kind=StateCoordinate))


def read(
    ref: Any,
    kind: str,
    asked: StateCoordinate | None,
    identified: Callable[[StateCoordinate], StateCoordinate] = lambda asked: asked,
) -> Any:
    """Return the value that a reference has, what stands in the row without Airflow's wrapper, if it is of this state.

    ``asked`` is None if Airflow does not tell whose state it asks for; ``identified`` returns a coordinate with both
    the name and the URI of its asset.

    Raises:
        ForeignStateError: It was written for other state.
        CorruptPayloadError: It is not what :func:`written` returns.
        MissingPayloadError: Its blob is gone.
        DecodeError, StoreError: See :func:`airflow_xcom.backend.blobs.read_blob`.
    """
    with nullcontext() if asked is None else located(asked):
        try:
            content = json.loads(ref)
        except (ValueError, TypeError, RecursionError) as error:
            msg = "the state was not written by CodecStateStore, or was changed by hand; set it again"
            raise CorruptPayloadError(msg) from error
        envelope = Envelope.from_json(content, StateCoordinate)
        if envelope is None:
            return content
        of = envelope.coordinate
        if not isinstance(of, StateCoordinate) or of.kind != kind:
            raise ForeignStateError(str(asked or f"state of a {kind}"), str(of))
        if asked is not None and kind == ASSET and not of.shares_name_with(asked):
            asked = identified(asked)
        if asked is not None and not of.agrees_with(asked):
            raise ForeignStateError(str(asked), str(of))
        if envelope.reference is not None and not is_path_of(envelope.reference.path, of):
            raise ForeignStateError(str(of), envelope.reference.path)
    return value_of_envelope(envelope)

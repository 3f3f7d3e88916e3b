"""From a value to its row."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from sys import modules
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.advice import advise_on_airflow
from airflow_xcom.backend.envelope import RESULT, Coordinate, Envelope
from airflow_xcom.backend.hints import Hint, Stored, unwrapped
from airflow_xcom.backend.placement import decide, is_exact, summarize
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError, EncodeError
from airflow_xcom.codecs.discovery import imported
from airflow_xcom.codecs.registry import advise

if TYPE_CHECKING:
    from airflow_xcom.backend.asset_version import AssetVersion
    from airflow_xcom.backend.settings import Settings

log = logging.getLogger("airflow_xcom.backend")

advise_on_airflow()
advise("airflow_xcom.backend.push.Written", "what publish() returns is the whole value of an XCom: return it alone")


class Written(Stored):
    """A value that is stored already, on its way to the row of an XCom; Airflow takes it for the value.

    Args:
        value: for those who look at it.
        row: returns the JSON value for the row of an XCom.
    """

    __slots__ = ("row",)

    def __init__(self, value: Any, row: Callable[[Coordinate], Any]) -> None:
        super().__init__(value, Hint())
        self.row = row


def push(value: Any, *coordinate: Any, kind: type[Coordinate] = Coordinate) -> Any:
    """Return the JSON value for the row of a value, once its blob is written if it has one.

    Args:
        value: what a task pushes.
        *coordinate: the parts of a coordinate.
        kind: of coordinate.

    Raises:
        EncodeError: The value cannot be stored exactly.
        HintError: A hint on it cannot be followed.
        StoreError: The store cannot be written to.
        SettingsError: An option is wrong.
    """
    if type(value) is Written:
        return value.row(kind(*coordinate))
    try:
        options, offload = settings(), False
        if type(value) is Stored or (Stored.any_here and type(value) is dict):
            value, hint = unwrapped(value, kind(*coordinate))
            options, offload = hint.applied(options), hint.offloads
        began = time.perf_counter()
        is_result = type(value) is dict and kind is Coordinate and coordinate[-1] == RESULT and options is settings()
        if is_result and (of_items := _of_items(value, coordinate, options)) is not None:
            log.info("pushed %s tag=dict stored=items of %d keys", of_items.coordinate, len(value))
            return of_items.to_json()
        if not offload and is_exact(value, options):
            return value
        at = kind(*coordinate)
        envelope, size = enclosed(value, at, options)
        if envelope.reference is not None and kind is Coordinate and at.key != RESULT:
            imported("airflow_xcom.backend.multiple_outputs").note(value, envelope, options)
    except CodecError as error:
        error.context = str(kind(*coordinate))
        raise
    # At INFO, a line takes longer than the push of a small value to the row, which Airflow's pages show anyway.
    say, stored = (log.debug, "row") if envelope.reference is None else (log.info, "blob")
    took = (time.perf_counter() - began) * 1e3
    say("pushed %s tag=%s stored=%s bytes=%d ms=%.2f", envelope.coordinate, envelope.tag, stored, size, took)
    return envelope.to_json()


def _of_items(value: dict[Any, Any], coordinate: tuple[Any, ...], options: Settings) -> Envelope | None:
    if "airflow_xcom.backend.multiple_outputs" not in modules:  # it is loaded once it has something to remember
        return None
    from airflow_xcom.backend.multiple_outputs import envelope_of_items  # waits if another thread has just begun that

    return envelope_of_items(value, coordinate, options)


def enclosed(value: Any, at: Coordinate, options: Settings, asset: AssetVersion | None = None) -> tuple[Envelope, int]:
    """Return the envelope of a value, its blob written if it has one, and the bytes that the payload takes.

    Raises:
        EncodeError, StoreError: See :func:`push`.
    """
    inexact = reference = None
    try:
        placement = decide(value, options)
    except EncodeError as error:
        from airflow_xcom.backend.inexact import decide_inexactly

        placement, inexact = decide_inexactly(value, at, options, error)
    payload, size = placement.payload, placement.size
    if not placement.in_row:
        reference = imported("airflow_xcom.backend.blobs").write_blob(payload, at, options, asset)
        size = reference.size if payload.is_stream else payload.raw_size
    is_row = reference is None
    summary = summarize(value, payload, size, options.preview or ("rows" if is_row else "columns"), nulls=not is_row)
    if options.preview in {"columns", "none"}:  # what the Data tab must not show
        summary["preview"] = options.preview
    facts = payload.tag, summary, at, placement.data, reference, payload.suppliers
    return Envelope(*facts, inexact=inexact, asset=asset), size if reference is None else reference.size

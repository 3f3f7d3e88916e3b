"""``airflow-xcom verify``: whether payloads are what was written."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_xcom.backend.blobs import verified
from airflow_xcom.backend.commands.selection import described, matching, rows_of_asset
from airflow_xcom.backend.commands.terminal import Progress, human, say
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.errors import (
    ExpiredPayloadError,
    ForeignReferenceError,
    MissingPayloadError,
    OtherHostError,
    RetiredPayloadError,
)
from airflow_xcom.backend.pull import Deferred, concurrently
from airflow_xcom.codecs import CodecError, CorruptPayloadError


def run(options: Namespace) -> int:
    """Verify; return 1 if anything is not what was written."""
    totals = Totals()
    failures = _failures(xcom_rows.metadata_rows(), options, totals)
    if options.output == "json":
        for row, state, why in failures:
            say(json.dumps({**described(row), "state": state, "error": why}))
        say(json.dumps({"totals": {**totals.states, "bytes": totals.size}}))
    else:
        for row, state, why in failures:
            say(f"{state:<12} {row.coordinate}\n{'':<12} {why}")
        say(str(totals))
    return 1 if totals.failed else 0


@dataclass
class Totals:
    """What has been verified so far.

    Attributes:
        states: how many rows are in each.
        size: bytes of the payloads that are what was written.
    """

    states: Counter[str] = field(default_factory=Counter)
    size: int = 0

    @property
    def failed(self) -> int:
        """Return the number of rows whose value cannot be relied on."""
        return self.states.total() - sum(self.states[state] for state in _FINE)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return f"{counts or 'there are no such XComs'}; {human(self.size)} compared"


_FINE = ("ok", "in the row", "changed meanwhile", "retired")


def _failures(rows: Rows, options: Namespace, totals: Totals) -> Iterator[tuple[XComRow, str, str]]:
    """Yield what is not as it was written: the row, its state and why."""
    progress = Progress()
    chosen = rows_of_asset(options) if options.asset is not None else matching(rows, options)
    deferred = (Deferred(row.stored, row) for row in chosen)
    for row, state, why in concurrently(deferred, lambda each: _verified(rows, each.row)):
        totals.states[state] += 1
        if state == "ok":
            totals.size += row.blob_size
        progress(lambda: f"{totals} so far")
        if state not in _FINE:
            progress.end()
            yield row, state, why
    progress.end()


def _verified(rows: Rows, row: XComRow) -> tuple[XComRow, str, str]:
    """Return a row, its state and why it is in that."""
    if row.envelope is None:
        return row, "unreadable", str(row.error)
    try:
        row.envelope.check_origin(row.columns)
        if row.envelope.retired is not None:
            return row, "retired", ""
        if not row.references:
            return row, "in the row", ""
        for reference in row.references:
            verified(reference)
    except CodecError as error:
        # A task that ran again has deleted the blob of the row that was read.
        state = _state(error) if row.is_event or rows.is_current(row) else "changed meanwhile"
        return row, state, str(error)
    return row, "ok", ""


# The first of them that an error is one of.
_STATES: dict[type[CodecError], str] = {
    ForeignReferenceError: "foreign",
    RetiredPayloadError: "retired",
    OtherHostError: "unreachable",
    ExpiredPayloadError: "expired",
    MissingPayloadError: "missing",
    CorruptPayloadError: "corrupt",
}


def _state(error: CodecError) -> str:
    return next((state for known, state in _STATES.items() if isinstance(error, known)), "unreachable")

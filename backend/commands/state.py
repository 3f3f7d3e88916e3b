"""``airflow-xcom state``: plain JSON in place of what the state store wrote, before it is turned off."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator

from airflow_xcom.backend import compat
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.database.state_rows import StateRow, StateRows
from airflow_xcom.backend.errors import StoreError
from airflow_xcom.backend.state_coordinate import WRAPPER
from airflow_xcom.backend.state_values import read
from airflow_xcom.codecs import CodecError
from airflow_xcom.codecs.plain_json import exact_json
from airflow_xcom.codecs.quoting import type_name


def run(options: Namespace) -> int:
    """Unwrap, or tell what would be; return 1 if a row stays as it is."""
    changed = left = 0
    rows = StateRows(compat.metadata_engine(), compat.metadata_schema())
    for row, reason in unwrap(rows, largest=compat.largest_state(), apply=options.apply):
        if reason:
            left += 1
            say(f"{row.at} stays: {reason}")
        else:
            changed += 1
    said = "are plain JSON now" if options.apply else "would become plain JSON; add --apply to do so"
    say(f"{changed} {said}; {left} {'stay' if options.apply else 'would stay'} as they are")
    return 1 if left else 0


def unwrap(rows: StateRows, *, largest: int, apply: bool = False) -> Iterator[tuple[StateRow, str]]:
    """Put the value itself in the place of each row's wrapper, if plain JSON holds it exactly; leave blobs to a sweep.

    Every row is yielded, as it was, with the reason why it stays so; empty if it does not.  As JSON, a value may have
    ``largest`` bytes; 0 for any number.

    Raises:
        StoreError: A store cannot be reached; what has been changed until then stays so.
    """
    for row in rows.wrapped():
        text, reason = _plain(row, largest)
        if apply and not reason and not rows.replace(row, text):
            reason = "it was changed meanwhile; run the command again"
        yield row, reason


def _plain(row: StateRow, largest: int) -> tuple[str, str]:
    """Return the value of a row as JSON, or why it cannot be that."""
    try:
        value = read(row.ref, row.kind, row.at)
    except CodecError as error:
        if isinstance(error, StoreError):
            raise
        return "", f"{type(error).__name__}: {error}"
    if value is None or exact_json(value, limit=None, ordered=False, reserved=frozenset({WRAPPER})) is None:
        return "", f"plain JSON does not hold this {type_name(value)}"
    text = json.dumps(value)
    if largest and len(text) > largest:
        return "", f"it takes {len(text):,} bytes as JSON, and [state_store] max_value_storage_bytes is {largest:,}"
    return text, ""

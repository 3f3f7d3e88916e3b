"""``airflow-xcom state``: what the state store wrote."""

from __future__ import annotations

from argparse import Namespace

from airflow_xcom.backend import compat
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.database.state_rows import StateRows
from airflow_xcom.backend.maintenance.unwrap_state import unwrap


def run(options: Namespace) -> int:
    """Unwrap, or tell what would be; return 1 if a row stays as it is."""
    changed = left = 0
    rows = StateRows(compat.metadata_engine(), compat.metadata_schema())
    for done in unwrap(rows, largest=compat.largest_state(), apply=options.apply):
        if done.reason:
            left += 1
            say(f"{done.row.at} stays: {done.reason}")
        else:
            changed += 1
    said = "are plain JSON now" if options.apply else "would become plain JSON; add --apply to do so"
    say(f"{changed} {said}; {left} {'stay' if options.apply else 'would stay'} as they are")
    return 1 if left else 0

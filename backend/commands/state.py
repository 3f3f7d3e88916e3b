"""``airflow-xcom state``: what the state store wrote."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from airflow_xcom.backend.commands.arguments import add_apply
from airflow_xcom.backend.commands.terminal import say

HELP = "make the state of tasks and assets plain JSON"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Before [workers] state_store_backend is turned off: put the value itself in place of what CodecStateStore "
        "wrote into the rows of task_state_store and asset_state_store, where plain JSON holds it exactly.  The others "
        "are listed, and stay as they are.  Without --apply, only tell.  Exits with 1 if any row stays."
    )
    parser.add_argument("action", choices=["unwrap"], help="what to do")
    add_apply(parser)


def run(options: Namespace) -> int:
    """Unwrap, or tell what would be; return 1 if a row stays as it is."""
    from airflow_xcom.backend.compat import largest_state, metadata_engine, metadata_schema
    from airflow_xcom.backend.database.state_rows import StateRows
    from airflow_xcom.backend.maintenance.unwrap_state import unwrap

    changed = left = 0
    rows = StateRows(metadata_engine(), metadata_schema())
    for done in unwrap(rows, largest=largest_state(), apply=options.apply):
        if done.reason:
            left += 1
            say(f"{done.row.at} stays: {done.reason}")
        else:
            changed += 1
    said = "are plain JSON now" if options.apply else "would become plain JSON; add --apply to do so"
    say(f"{changed} {said}; {left} {'stay' if options.apply else 'would stay'} as they are")
    return 1 if left else 0

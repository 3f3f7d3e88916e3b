"""``airflow-xcom migrate``: payloads from one store to another."""

from __future__ import annotations

from argparse import Namespace

from airflow_xcom.backend.commands.terminal import Progress, say
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.maintenance.migrate import Moves, migrate


def run(options: Namespace) -> int:
    """Move, or count what would be moved; return 1 if something could not be."""
    progress = Progress()
    moves = migrate(
        xcom_rows.metadata_rows(),
        options.source,
        options.target,
        apply=options.apply,
        progress=lambda moves: progress(lambda: _line(moves)),
    )
    progress.end()
    if not options.apply:
        say(f"{moves.rows} payloads of {moves.size:,} bytes would be moved; add --apply to do so")
        return 0
    say(
        f"{moves.moved} of {moves.rows} payloads moved from {options.source!r}; {moves.changed} changed meanwhile, "
        f"{moves.failed} failed"
    )
    return 1 if moves.failed else 0


def _line(moves: Moves) -> str:
    return f"{moves.rows} payloads, {moves.size:,} bytes: {moves.moved} moved, {moves.failed} failed"

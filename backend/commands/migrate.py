"""``airflow-xcom migrate``: payloads from one store to another."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.arguments import add_apply
from airflow_xcom.backend.commands.terminal import Progress, say

if TYPE_CHECKING:
    from airflow_xcom.backend.maintenance.migrate import Moves

HELP = "move payloads from one store to another"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Move the payloads that XComs refer to from one store to another, while tasks run.  Each is copied and "
        "compared; then its XCom is made to refer to the copy.  A sweep deletes the old ones.  Without --apply, only "
        "count."
    )
    parser.add_argument("--from", dest="source", required=True, metavar="NAME", help="a name in [xcom_codecs] stores")
    parser.add_argument("--to", dest="target", required=True, metavar="NAME", help="another; 'default' is that of path")
    add_apply(parser)


def run(options: Namespace) -> int:
    """Move, or count what would be moved; return 1 if something could not be."""
    from airflow_xcom.backend.database.xcom_rows import metadata_rows
    from airflow_xcom.backend.maintenance.migrate import migrate

    progress = Progress()
    moves = migrate(
        metadata_rows(),
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

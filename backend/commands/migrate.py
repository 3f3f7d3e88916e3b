"""``airflow-xcom migrate``: payloads from one store to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.arguments import add_apply, add_seconds
from airflow_xcom.backend.commands.terminal import Progress, say

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from airflow_xcom.backend.maintenance.migrate import Moves

__all__ = ["HELP", "add_arguments", "run"]

HELP = "move payloads from one store to another"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Move the payloads that XComs refer to from one store to another, while tasks run.  Each is copied and "
        "compared; then its XCom is made to refer to the copy.  Without --apply, only count."
    )
    parser.add_argument("--from", dest="source", required=True, metavar="NAME", help="a name in [xcom_codecs] stores")
    parser.add_argument("--to", dest="target", required=True, metavar="NAME", help="another; 'default' is that of path")
    add_apply(parser)
    parser.add_argument(
        "--delete", action="store_true", help="delete what has been moved from the old store, at the end"
    )
    text = "how long --delete waits for tasks that have read an XCom and not yet its payload (default: 300)"
    add_seconds(parser, "--grace", 300.0, text)


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
        delete_after=options.grace if options.delete else None,
        progress=lambda moves: progress(lambda: _line(moves)),
    )
    progress.end()
    if not options.apply:
        say(f"{moves.rows} payloads of {moves.size:,} bytes would be moved; add --apply to do so")
        return 0
    say(
        f"{moves.moved} of {moves.rows} payloads moved, {moves.deleted} deleted from {options.source!r}; "
        f"{moves.changed} changed meanwhile, {moves.failed} failed"
    )
    return 1 if moves.failed else 0


def _line(moves: Moves) -> str:
    counts = f"{moves.rows} payloads, {moves.size:,} bytes: {moves.moved} moved, {moves.failed} failed"
    return f"{counts}, {moves.deleted} deleted"

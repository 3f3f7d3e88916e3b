"""``airflow-xcom migrate``: payloads from one store to another."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.terminal import say, seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_xcom.backend.maintenance.migrate import Moves

__all__ = ["HELP", "add_arguments", "run"]

HELP = "move payloads from one store to another"
_INTERVAL = 1.0  # seconds between lines of progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Move the payloads that XComs refer to from one store to another, while tasks run.  Each is copied and "
        "compared; then its XCom is made to refer to the copy.  Without --apply, only count."
    )
    parser.add_argument("--from", dest="source", required=True, metavar="NAME", help="a name in [xcom_codecs] stores")
    parser.add_argument("--to", dest="target", required=True, metavar="NAME", help="another; 'default' is that of path")
    parser.add_argument("--apply", action="store_true", help="do it")
    parser.add_argument(
        "--delete", action="store_true", help="delete what has been moved from the old store, at the end"
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long --delete waits for tasks that have read an XCom and not yet its payload (default: 300)",
    )


def run(options: argparse.Namespace) -> int:
    """Move, or count what would be moved; 1 if something could not be."""
    from airflow_xcom.backend.database.xcom_rows import metadata_rows
    from airflow_xcom.backend.maintenance.migrate import migrate

    moves = migrate(
        metadata_rows(),
        options.source,
        options.target,
        apply=options.apply,
        delete_after=options.grace if options.delete else None,
        progress=_progress(),
    )
    if not options.apply:
        say(f"{moves.rows} payloads of {moves.size:,} bytes would be moved; add --apply to do so")
        return 0
    say(
        f"{moves.moved} of {moves.rows} payloads moved, {moves.deleted} deleted from {options.source!r}; "
        f"{moves.changed} changed meanwhile, {moves.failed} failed"
    )
    return 1 if moves.failed else 0


def _progress() -> Callable[[Moves], None]:
    """Tells now and then, on standard error, how far a migration is."""
    told = time.monotonic()

    def tell(moves: Moves) -> None:
        nonlocal told
        if time.monotonic() - told > _INTERVAL:
            told = time.monotonic()
            counts = f"{moves.rows} payloads, {moves.size:,} bytes: {moves.moved} moved, {moves.failed} failed"
            sys.stderr.write(f"{counts}, {moves.deleted} deleted\n")

    return tell

"""The command line: ``airflow-xcom``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_xcom.backend.migrate import Moves

__all__ = ["main"]

_INTERVAL = 1.0  # seconds between lines of progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and give its exit code: 0 if all went well, 1 if something could not be done."""
    # As Airflow's own commands do: connections then come from the metadata database too (3.2 on).
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)
    from airflow_xcom.codecs import CodecError

    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CodecError as error:
        _say(f"airflow-xcom: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airflow-xcom",
        description="Look after the payloads of XComs.  Run it where `airflow db` works: it reads the metadata "
        "database, and the stores in [xcom_codecs].",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_migrate(commands.add_parser("migrate", help="move payloads from one store to another"))
    return parser


def _add_migrate(parser: argparse.ArgumentParser) -> None:
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
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long --delete waits for tasks that have read an XCom and not yet its payload (default: 300)",
    )
    parser.set_defaults(command=_migrate)


def _migrate(options: argparse.Namespace) -> int:
    from airflow_xcom.backend.migrate import migrate
    from airflow_xcom.backend.rows import metadata_rows

    with metadata_rows() as rows:
        moves = migrate(
            rows,
            options.source,
            options.target,
            apply=options.apply,
            delete_after=options.grace if options.delete else None,
            progress=_progress(),
        )
    if not options.apply:
        _say(f"{moves.rows} payloads of {moves.size:,} bytes would be moved; add --apply to do so")
        return 0
    _say(
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


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("give seconds, 0 or more")
    return seconds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())

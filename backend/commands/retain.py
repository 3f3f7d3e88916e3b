"""``airflow-xcom retain``: values that need not be kept any more."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.terminal import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from airflow_xcom.backend.maintenance.retain import Retained

__all__ = ["HELP", "add_arguments", "run"]

HELP = "retire values that need not be kept any more"
_INTERVAL = 1.0  # seconds between lines of progress
_COUNTS = ("runs", "going", "due", "in_blobs", "in_rows", "retired", "changed", "failed")
_HEADINGS = ("RUNS", "GOING", "VALUES", "IN BLOBS", "IN ROWS", "OLDEST", "RULE")
_DAG_WIDTH = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Retire the values of runs that have ended and need not be kept any more, by the tags of their Dag "
        "(xcom:keep=7d, xcom:keep=5runs, xcom:keep-failed=30d, xcom:keep=forever), or else by [xcom_codecs] "
        "keep_success, keep_failed and keep.  A tombstone takes the place of the row, and the blob is deleted.  "
        "Without --apply, only list what would go."
    )
    parser.add_argument("--dag", action="append", metavar="DAG", help="only of this Dag; may be given several times")
    parser.add_argument("--apply", action="store_true", help="do it")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="of the listing (default: text)")


def run(options: argparse.Namespace) -> int:
    """List what would be, or was, retired; 1 if something that should have been could not be."""
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_xcom.backend.database.dag_runs import metadata_runs
    from airflow_xcom.backend.maintenance.retain import retain

    tell = _tell_json if options.output == "json" else _tell
    try:
        retained = retain(metadata_runs(), options.dag, apply=options.apply, progress=_progress())
        failed = tell(retained, apply=options.apply)
    except SQLAlchemyError as error:
        sys.stderr.write(f"airflow-xcom: the metadata database: {type(error).__name__}: {error}\n")
        return 1
    return 1 if failed else 0


def _tell(found: Iterable[Retained], *, apply: bool) -> int:
    """A line for each Dag with something to say, as soon as that is known, and the sum; gives what failed."""
    totals: dict[str, int] = dict.fromkeys(_COUNTS, 0)
    is_first = True
    for done in found:
        _add(totals, done)
        if done.due or done.problems:
            if is_first:
                say(_line("DAG", _HEADINGS))
            is_first = False
            say(_line(done.dag_id, _cells(done)))
            for problem in done.problems:
                say(f"  {problem}")
            if done.failed > len(done.problems):
                say(f"  and {done.failed - len(done.problems):,} more")
    blobs, rows = _size(totals["in_blobs"]), _size(totals["in_rows"])
    if not apply:
        say(
            f"{totals['due']:,} values of {totals['going']:,} runs would be retired, {blobs} in blobs and {rows} in "
            f"rows; {totals['failed']:,} failed; add --apply to do so"
        )
    else:
        say(
            f"{totals['retired']:,} of {totals['due']:,} values of {totals['going']:,} runs retired; "
            f"{totals['changed']:,} changed meanwhile, {totals['failed']:,} failed"
        )
    return totals["failed"]


def _tell_json(found: Iterable[Retained], *, apply: bool) -> int:
    """One object, written a Dag at a time; gives what failed."""
    totals: dict[str, int] = dict.fromkeys(_COUNTS, 0)
    sys.stdout.write('{"dags": [')
    for number, done in enumerate(found):
        _add(totals, done)
        sys.stdout.write(",\n " if number else "\n ")
        sys.stdout.write(json.dumps(asdict(done) | {"oldest": done.oldest and done.oldest.isoformat()}))
    sys.stdout.write("\n], " + json.dumps({"applied": apply, **totals})[1:] + "\n")
    return totals["failed"]


def _add(totals: dict[str, int], done: Retained) -> None:
    for name in _COUNTS:
        totals[name] += getattr(done, name)


def _cells(done: Retained) -> Iterator[str]:
    yield f"{done.runs:,}"
    yield f"{done.going:,}"
    yield f"{done.due:,}"
    yield _size(done.in_blobs)
    yield _size(done.in_rows)
    yield "" if done.oldest is None else f"{done.oldest:%Y-%m-%d}"
    yield done.rule


def _line(dag_id: str, cells: Iterable[str]) -> str:
    *numbers, oldest, rule = cells
    return f"{dag_id:<{_DAG_WIDTH}}" + "".join(f"{cell:>10}" for cell in numbers) + f"  {oldest:<10}  {rule}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _progress() -> Callable[[Retained], None]:
    """Tells now and then, on standard error, how far it is."""
    told = time.monotonic()

    def tell(done: Retained) -> None:
        nonlocal told
        if time.monotonic() - told > _INTERVAL:
            told = time.monotonic()
            counts = f"{done.runs:,} runs, {done.due:,} values to retire, {done.retired:,} retired"
            sys.stderr.write(f"{done.dag_id}: {counts}, {done.failed:,} failed\n")

    return tell

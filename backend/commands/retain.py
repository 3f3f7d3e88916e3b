"""``airflow-xcom retain``: values that need not be kept any more."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.arguments import add_apply, add_output
from airflow_xcom.backend.commands.terminal import Progress, human, say

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from airflow_xcom.backend.maintenance.retain import Retained

__all__ = ["HELP", "add_arguments", "run"]

HELP = "retire values that need not be kept any more"
_COUNTS = ("runs", "going", "due", "in_blobs", "in_rows", "retired", "changed", "failed")
_HEADINGS = ("RUNS", "GOING", "VALUES", "IN BLOBS", "IN ROWS", "OLDEST", "RULE")
_DAG_WIDTH = 24


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Retire the values of runs that have ended and need not be kept any more, by the tags of their Dag "
        "(xcom:keep=7d, xcom:keep=5runs, xcom:keep-failed=30d, xcom:keep=forever), or else by [xcom_codecs] "
        "keep_success, keep_failed and keep.  A tombstone takes the place of the row; the sweep deletes the blob.  "
        "Without --apply, only list what would go."
    )
    parser.add_argument("--dag", action="append", metavar="DAG", help="only of this Dag; may be given several times")
    add_apply(parser)
    add_output(parser, "of the listing", "text")


def run(options: Namespace) -> int:
    """List what would be, or was, retired; return 1 if something that should have been could not be."""
    from airflow_xcom.backend.database.dag_runs import metadata_runs
    from airflow_xcom.backend.maintenance.retain import retain

    tell = _tell_json if options.output == "json" else _tell
    runs, progress = metadata_runs(), Progress()
    dags = retain(runs, options.dag, apply=options.apply, progress=lambda done: progress(lambda: _progress(done)))
    failed = tell(dags, apply=options.apply)
    progress.end()
    return 1 if failed else 0


def _progress(done: Retained) -> str:
    counts = f"{done.runs:,} runs, {done.due:,} values to retire, {done.retired:,} retired"
    return f"{done.dag_id}: {counts}, {done.failed:,} failed"


def _tell(dags: Iterable[Retained], *, apply: bool) -> int:
    """Write a line for each Dag with something to say, as soon as that is known, and the sum; return what failed."""
    totals: Counter[str] = Counter()
    for done in dags:
        if (done.due or done.problems) and not totals["told"]:
            say(_line("DAG", _HEADINGS))
        _add(totals, done)
        if done.due or done.problems:
            totals["told"] += 1
            say(_line(done.dag_id, _cells(done)))
            for problem in done.problems:
                say(f"  {problem}")
            if done.failed > len(done.problems):
                say(f"  and {done.failed - len(done.problems):,} more")
    blobs, rows = human(totals["in_blobs"]), human(totals["in_rows"])
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


def _tell_json(dags: Iterable[Retained], *, apply: bool) -> int:
    """Write one object, a Dag at a time; return what failed."""
    totals: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
    sys.stdout.write('{"dags": [')
    for number, done in enumerate(dags):
        _add(totals, done)
        sys.stdout.write(",\n " if number else "\n ")
        sys.stdout.write(json.dumps(asdict(done) | {"oldest": done.oldest and done.oldest.isoformat()}))
    sys.stdout.write("\n], " + json.dumps({"applied": apply, **totals})[1:] + "\n")
    return totals["failed"]


def _add(totals: Counter[str], done: Retained) -> None:
    totals.update({name: getattr(done, name) for name in _COUNTS})


def _cells(done: Retained) -> list[str]:
    counts = [f"{count:,}" for count in (done.runs, done.going, done.due)]
    oldest = "" if done.oldest is None else f"{done.oldest:%Y-%m-%d}"
    return [*counts, human(done.in_blobs), human(done.in_rows), oldest, done.rule]


def _line(dag_id: str, cells: Iterable[str]) -> str:
    *numbers, oldest, rule = cells
    return f"{dag_id:<{_DAG_WIDTH}}" + "".join(f"{cell:>12}" for cell in numbers) + f"  {oldest:<10}  {rule}"

"""``airflow-xcom retain``: values that need not be kept any more."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from airflow_xcom.backend.assets.retention import RetiredVersions, retire_versions
from airflow_xcom.backend.commands.terminal import Progress, human, say, say_columns, tell
from airflow_xcom.backend.database import dag_runs
from airflow_xcom.backend.database.asset_versions import AssetEvents
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.variables import keep_report
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.maintenance.retain import Retained, retain

_COUNTS = ("runs", "going", "due", "in_blobs", "in_rows", "retired", "changed", "failed")
_ASSET_COUNTS = ("due", "size", "retired", "failed")
_HEADINGS = ("RUNS", "GOING", "VALUES", "IN BLOBS", "IN ROWS", "OLDEST", "RULE")
_DAG_WIDTH = 24


def run(options: Namespace) -> int:
    """List what would be, or was, retired; return 1 if something that should have been could not be."""
    report = _report_json if options.output == "json" else _report
    runs, progress = dag_runs.metadata_runs(), Progress()
    only_assets = options.asset is not None and options.dag is None
    dags = retain(
        runs,
        [] if only_assets else options.dag,
        apply=options.apply,
        progress=lambda done: progress(lambda: _progress(done)),
    )
    totals: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
    is_whole = options.dag is None and options.asset is None

    def counted() -> Iterator[Retained]:
        for done in dags:
            totals.update({name: getattr(done, name) for name in _COUNTS})
            yield done
        if is_whole:  # before the assets, which may raise
            progress.end()
            _keep(runs, totals, apply=options.apply)

    failed = report(counted(), _assets(runs, options), totals, apply=options.apply)
    progress.end()
    return 1 if failed else 0


def _keep(runs: Runs, totals: Counter[str], *, apply: bool) -> None:
    """Keep the figures of all Dags for the page XCom storage."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if (reason := keep_report(runs.database, "retain", {"at": at, "applied": apply, **totals})) is not None:
        tell(f"airflow-xcom: {reason}")


def _assets(runs: Runs, options: Namespace) -> Iterator[RetiredVersions]:
    """Retire versions of assets, unless only Dags are asked for."""
    if options.dag is None or options.asset is not None:
        rows = Rows(*runs.database)
        yield from retire_versions(AssetEvents(*runs.database), rows, options.asset, apply=options.apply)


def _progress(done: Retained) -> str:
    counts = f"{done.runs:,} runs, {done.due:,} values to retire, {done.retired:,} retired"
    return f"{done.dag_id}: {counts}, {done.failed:,} failed"


def _report(dags: Iterable[Retained], assets: Iterable[RetiredVersions], totals: Counter[str], *, apply: bool) -> int:
    """Write a line for each Dag and asset with something to say, and the sums; return what failed."""
    is_first = True
    for done in dags:
        if done.due or done.problems:
            if is_first:
                say(_line("DAG", _HEADINGS))
            is_first = False
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
    return totals["failed"] + _report_assets(assets, apply=apply)


def _report_assets(assets: Iterable[RetiredVersions], *, apply: bool) -> int:
    """Write a line for each asset with something to say, and the sum; return what failed."""
    totals: Counter[str] = Counter()
    told = [done for done in assets if done.due or done.needed or done.problems]
    for done in told:
        totals.update({name: getattr(done, name) for name in _ASSET_COUNTS})
    if not told:
        return 0
    say("")
    rows = [
        [done.asset, f"{done.versions:,}", f"{done.due:,}", f"{done.needed:,}", human(done.size), done.rule]
        for done in told
    ]
    say_columns(("ASSET", "VERSIONS", "DUE", "NEEDED", "SIZE", "RULE"), rows)
    for done in told:
        for problem in done.problems:
            say(f"  {problem}")
    counts = f"{totals['due']:,} versions of assets, {human(totals['size'])}"
    outcome = f"{totals['retired']:,} retired" if apply else "would be retired"
    say(f"{counts}, {outcome}; {totals['failed']:,} failed")
    return totals["failed"]


def _report_json(
    dags: Iterable[Retained], assets: Iterable[RetiredVersions], totals: Counter[str], *, apply: bool
) -> int:
    """Write one object, a Dag or an asset at a time; return what failed."""
    failed, lead = 0, "{"
    for name, outcomes in (("dags", dags), ("assets", assets)):
        sys.stdout.write(f'{lead}"{name}": [')
        for number, done in enumerate(outcomes):
            failed += done.failed
            sys.stdout.write((",\n " if number else "\n ") + json.dumps(asdict(done), default=datetime.isoformat))
        lead = "\n], "
    sys.stdout.write(lead + json.dumps({"applied": apply, **totals})[1:] + "\n")
    return failed


def _cells(done: Retained) -> list[str]:
    counts = [f"{count:,}" for count in (done.runs, done.going, done.due)]
    oldest = "" if done.oldest is None else f"{done.oldest:%Y-%m-%d}"
    return [*counts, human(done.in_blobs), human(done.in_rows), oldest, done.rule]


def _line(dag_id: str, cells: Iterable[str]) -> str:
    *numbers, oldest, rule = cells
    return f"{dag_id:<{_DAG_WIDTH}}" + "".join(f"{cell:>12}" for cell in numbers) + f"  {oldest:<10}  {rule}"

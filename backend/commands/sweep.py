"""``airflow-xcom sweep``: payloads that no XCom refers to."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow_xcom.backend.commands.selection import row_source
from airflow_xcom.backend.commands.terminal import Progress, say, tell
from airflow_xcom.backend.database.variables import keep_report
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.errors import SweepError
from airflow_xcom.backend.maintenance.references import RowSource
from airflow_xcom.backend.maintenance.sweep import Report, StoreReport, Tally, sweep
from airflow_xcom.backend.settings import settings

_DAGS = 20  # that a report for people has a line for


def run(options: Namespace) -> int:
    """Sweep, and report; return 1 if something failed."""
    report = Report()
    progress = Progress()
    error: BaseException | None = None
    try:
        # What Airflow logs to standard output is no part of the report.
        with redirect_stdout(sys.stderr):
            rows = _row_source(options)
            steps = sweep(
                rows,
                report,
                options.store,
                runs=None if options.run is None else [(dag_id, run_id) for dag_id, run_id in options.run],
                grace=options.grace,
                wait=options.wait,
                apply=options.apply,
                even_all=options.even_all,
            )
            for _ in steps:
                progress(lambda: _line(report))
            progress.end()
            _keep(rows, report, options)
    except (Exception, KeyboardInterrupt) as caught:  # noqa: BLE001 - whatever it is, the report says so
        error = caught
    progress.end()
    reason = None if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
    if options.output == "json":
        facts = {"applied": options.apply, "grace": options.grace, "error": reason}
        say(json.dumps({**facts, **asdict(report)}, indent=2))
    else:
        for line in _lines(report, apply=options.apply, reason=reason):
            say(line)
    if reason is not None:
        sys.stderr.write(f"airflow-xcom: {reason}\n")
    return 0 if reason is None else 1


def _row_source(options: Namespace) -> RowSource:
    if options.rest and options.apply and not options.no_archives:
        raise SweepError(
            "the REST API does not show the rows that `airflow db clean` archived, whose payloads would go: sweep "
            "where the metadata database can be reached, or say with --no-archives that there are none"
        )
    return row_source(options)


def _keep(rows: RowSource, report: Report, options: Namespace) -> None:
    """Keep the figures of whole stores for the page XCom storage; the REST API takes none."""
    if isinstance(rows, Rows) and options.run is None:
        facts = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "applied": options.apply}
        figures = {name: {**facts, **_figures(name, store)} for name, store in report.stores.items()}
        if (reason := keep_report(rows.database, "sweep", figures)) is not None:
            tell(f"airflow-xcom: {reason}")


def _figures(name: str, store: StoreReport) -> dict[str, Any]:
    orphans, deleted, others = store.orphans, store.deleted, (store.gone, store.kept)
    left = {
        "orphans": orphans.count - deleted.count - sum(tally.count for tally in others),
        "bytes": orphans.size - deleted.size - sum(tally.size for tally in others),
    }
    return {"store": settings().digest_of(name), **left, "deleted": deleted.count, "deleted_bytes": deleted.size}


def _line(report: Report) -> str:
    """Return how far a sweep is."""
    stores = report.stores.values()
    listed, orphans, deleted = (
        sum(getattr(store, name).count for store in stores) for name in ("listed", "orphans", "deleted")
    )
    bar = f"{_bar(deleted, orphans)} " if deleted else ""
    counts = f"{listed:,} payloads, {report.references:,} references, {orphans:,} unreferenced, {deleted:,} deleted"
    return f"{report.phase}: {bar}{counts}"


def _bar(done: int, of: int) -> str:
    filled = 20 * done // max(of, 1)
    return f"[{'#' * filled}{'.' * (20 - filled)}]"


def _lines(report: Report, *, apply: bool, reason: str | None) -> Iterator[str]:
    for name, store in report.stores.items():
        yield from _store_lines(name, store)
    if report.unreadable:
        yield f"{report.unreadable:,} XComs cannot be read; what they name counts as referenced"
        yield from (f"  {problem}" for problem in report.problems)
    if report.hidden:
        yield f"left, because the API does not list these Dags and so none of their XComs: {', '.join(report.hidden)}"
    orphans, deleted = (
        _sum([getattr(store, name) for store in report.stores.values()]) for name in ("orphans", "deleted")
    )
    if reason is not None:
        yield f"Stopped while {report.phase}, with {deleted} deleted: {reason}"
    elif apply:
        left = sum(store.gone.count + store.kept.count for store in report.stores.values())
        others = f"; {left:,} were gone already, or are referenced again" if left else ""
        yield f"{deleted} deleted{others}"
    else:
        yield f"{orphans} would be deleted; add --apply to do so"


def _store_lines(name: str, store: StoreReport) -> Iterator[str]:
    yield f"{name} ({store.url}): {_amount(store.listed)}"
    yield f"  left because they are young: {_amount(store.young)}"
    if store.foreign.count:
        yield f"  not written by this backend, and left: {_amount(store.foreign)}, such as {store.examples[0]!r}"
    if store.unseen.count:
        yield f"  of assets, and left, because not all that may refer to them is read: {_amount(store.unseen)}"
    yield f"  unreferenced: {_amount(store.orphans)}{_since(store.orphans)}"
    if store.unfinished.count:
        yield f"    of them parts that killed tasks left: {_amount(store.unfinished)}"
    largest = sorted(store.dags.items(), key=lambda item: -item[1].size)
    for dag, tally in largest[:_DAGS]:
        yield f"    {dag}: {_amount(tally)}{_since(tally)}"
    if len(largest) > _DAGS:
        yield f"    and of {len(largest) - _DAGS:,} more Dags"


def _sum(tallies: list[Tally]) -> str:
    count, size = sum(tally.count for tally in tallies), sum(tally.size for tally in tallies)
    return f"{count:,} payload{'s' * (count != 1)} of {size:,} bytes"


def _amount(tally: Tally) -> str:
    return f"{tally.count:,} of {tally.size:,} bytes"


def _since(tally: Tally) -> str:
    if tally.oldest is None:
        return ""
    try:
        return f", the oldest of {datetime.fromtimestamp(tally.oldest, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):  # a file may have a time that is in no calendar
        return ""

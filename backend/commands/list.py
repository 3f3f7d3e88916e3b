"""``airflow-xcom list``: which values are stored, and where."""

from __future__ import annotations

import json
from argparse import Namespace
from itertools import islice

from airflow_xcom.backend.commands.selection import described, matching, payload_size, store_of, summary_text
from airflow_xcom.backend.commands.terminal import human, say, say_columns
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.xcom_rows import XComRow
from airflow_xcom.backend.envelope import Inexact

_HEADS = ("DAG", "RUN", "TASK", "MAP", "KEY", "TAG", "PLACE", "SIZE", "SUMMARY")


def run(options: Namespace) -> int:
    """List; return 1 if there are rows that cannot be read."""
    unreadable = 0

    def counted(row: XComRow) -> XComRow:
        nonlocal unreadable
        unreadable += row.error is not None
        return row

    rows = filter(_is_inexact if options.inexact else None, matching(xcom_rows.metadata_rows(), options))
    chosen = map(counted, islice(rows, options.limit))
    if options.output == "json":
        for row in chosen:
            say(json.dumps(described(row)))
    elif not say_columns(_HEADS, map(_cells, chosen)):
        say("There are no such XComs")
    return 1 if unreadable else 0


def _is_inexact(row: XComRow) -> bool:
    return row.envelope is not None and row.envelope.inexact is not None


def _cells(row: XComRow) -> list[str]:
    size = payload_size(row)
    names = ["" if part is None else str(part) for part in row.coordinate.to_json()]
    if row.envelope is None:
        return [*names, "", "unreadable", "", str(row.error)]
    summary = summary_text(row.envelope.summary, row.envelope.tag)
    if row.envelope.inexact is not None:
        summary = f"inexact at {_places(row.envelope.inexact)}; {summary}"
    return [*names, row.envelope.tag, store_of(row) or "", "" if size is None else human(size), summary]


def _places(inexact: Inexact) -> str:
    """Return the places of what is not exact, as far as the row tells them, and their number."""
    count = f"{inexact.count} place{'s' if inexact.count > 1 else ''}"
    return f"{count}: {', '.join(inexact.places)}" if inexact.places else count

"""``airflow-xcom list``: which values are stored, and where."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from typing import Any

from airflow_xcom.backend.commands.selection import described, matching, summary_text
from airflow_xcom.backend.commands.terminal import human, say_listing
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.envelope import Coordinate

_HEADS = ("DAG", "RUN", "TASK", "MAP", "KEY", "TAG", "PLACE", "SIZE", "SUMMARY")


def run(options: Namespace) -> int:
    """List; return 1 if there are rows that cannot be read."""
    unreadable = 0

    def found() -> Iterator[dict[str, Any]]:
        nonlocal unreadable
        rows = matching(xcom_rows.metadata_rows(), options)
        chosen = (row for row in rows if not options.inexact or (row.envelope and row.envelope.inexact))
        for row in islice(chosen, options.limit):
            unreadable += row.error is not None
            yield described(row)

    say_listing(options.output, found(), _HEADS, _cells, "There are no such XComs")
    return 1 if unreadable else 0


def _cells(facts: dict[str, Any]) -> list[str]:
    names = ["" if facts[part] is None else str(facts[part]) for part in Coordinate.__slots__]
    if facts["error"] is not None:
        return [*names, "", "unreadable", "", facts["error"]]
    summary = summary_text(facts["summary"], facts["tag"])
    if "retired" in facts:
        summary = "at {at} by the rule {rule!r}".format(**facts["retired"])
    if "inexact" in facts:
        count, places = facts["inexact"]["count"], ", ".join(facts["inexact"]["places"])
        summary = f"inexact at {count} place{'s' if count > 1 else ''}{places and f': {places}'}; {summary}"
    size = "" if facts["bytes"] is None else human(facts["bytes"])
    return [*names, facts["tag"], facts["store"] or facts["place"], size, summary]

"""``airflow-xcom list``: which values are stored, and where."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from itertools import islice
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.arguments import add_coordinate, add_output, add_payload, count
from airflow_xcom.backend.commands.selection import described, matching, payload_size, store_of, summary_text
from airflow_xcom.backend.commands.terminal import human, say
from airflow_xcom.backend.commands.text_table import say_columns

if TYPE_CHECKING:
    from airflow_xcom.backend.database.xcom_rows import XComRow
    from airflow_xcom.backend.envelope import Inexact

HELP = "list the XComs that this backend stores in its own form"
_HEADS = ("DAG", "RUN", "TASK", "MAP", "KEY", "TAG", "PLACE", "SIZE", "SUMMARY")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "List the XComs that this backend stores in its own form, in the row or in a store; plain JSON values are left "
        "out.  Rows of that form which cannot be read are marked.  They are read page by page; no payload is."
    )
    add_coordinate(parser)
    add_payload(parser)
    parser.add_argument("--inexact", action="store_true", help="only those of which some part is not stored exactly")
    parser.add_argument("--limit", type=count, metavar="NUMBER", help="at most so many")
    add_output(parser, "json: a JSON object a line")


def run(options: Namespace) -> int:
    """List; return 1 if there are rows that cannot be read."""
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    unreadable = 0

    def counted(row: XComRow) -> XComRow:
        nonlocal unreadable
        unreadable += row.error is not None
        return row

    rows = filter(_is_inexact if options.inexact else None, matching(metadata_rows(), options))
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

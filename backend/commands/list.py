"""``airflow-xcom list``: which values are stored, and where."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.commands.columns import say_columns
from airflow_xcom.backend.commands.selection import add_filters, add_kinds, add_output, is_of, place_of, wanted
from airflow_xcom.backend.commands.terminal import count, human, say

if TYPE_CHECKING:
    import argparse

    from airflow_xcom.backend.database.xcom_rows import XComRow

__all__ = ["HELP", "add_arguments", "described", "run", "summary_text"]

HELP = "list the XComs that this backend stores in its own form"
_HEADS = ("DAG", "RUN", "TASK", "MAP", "KEY", "TAG", "PLACE", "SIZE", "SUMMARY")
_FACTS = 3  # of a summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "List the XComs that this backend stores in its own form, in the row or in a store; plain JSON values are left "
        "out.  Rows of that form which cannot be read are marked.  They are read page by page; no payload is."
    )
    add_filters(parser)
    add_kinds(parser)
    parser.add_argument("--limit", type=count, metavar="NUMBER", help="no more than so many")
    add_output(parser, "a JSON object a line")


def run(options: argparse.Namespace) -> int:
    """List; 1 if there are rows that cannot be read."""
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    unreadable = 0

    def counted(row: XComRow) -> XComRow:
        nonlocal unreadable
        unreadable += row.error is not None
        return row

    matching = (row for row in metadata_rows().matching(wanted(options)) if is_of(row, options))
    chosen = map(counted, islice(matching, options.limit))
    if options.output == "json":
        for row in chosen:
            say(json.dumps(described(row)))
    elif not say_columns(_HEADS, map(_cells, chosen)):
        say("There are no such XComs")
    return 1 if unreadable else 0


def described(row: XComRow) -> dict[str, Any]:
    """A row, for scripts."""
    at = row.coordinate
    facts: dict[str, Any] = {
        "dag_id": at.dag_id,
        "run_id": at.run_id,
        "task_id": at.task_id,
        "map_index": at.map_index,
        "key": at.key,
        "tag": None if row.envelope is None else row.envelope.tag,
        "place": _place(row),
        "store": None,
        "bytes": _size(row),
        "summary": None if row.envelope is None else row.envelope.summary,
        "error": None if row.error is None else str(row.error),
    }
    reference = None if row.envelope is None else row.envelope.reference
    if reference is not None:
        facts |= {"store": place_of(row), "blob": f"{reference.url}/{reference.path}"}
        facts |= {"digest": reference.digest, "host": reference.host, "expires": reference.expires}
    return facts


def _place(row: XComRow) -> str:
    if row.error is not None:
        return "unreadable"
    if row.envelope is None:
        return "plain"
    return "row" if row.envelope.reference is None else "blob"


def _size(row: XComRow) -> int | None:
    """The bytes that a value takes: of its blob, or, before it was written as JSON, in its row."""
    if row.envelope is None:
        return None
    if row.envelope.reference is not None:
        return row.envelope.reference.size
    size = row.envelope.summary.get("bytes")
    return size if type(size) is int else None


def _cells(row: XComRow) -> list[str]:
    at, size = row.coordinate, _size(row)
    parts = [at.dag_id, at.run_id, at.task_id, at.map_index, at.key]
    names = ["" if part is None else str(part) for part in parts]
    if row.envelope is None:
        return [*names, "", "unreadable", "", str(row.error)]
    summary = summary_text(row.envelope.summary, row.envelope.tag)
    return [*names, row.envelope.tag, place_of(row) or "", "" if size is None else human(size), summary]


def summary_text(summary: dict[str, Any], tag: str | None) -> str:
    """The facts of a summary that fit a line."""
    shape, length = summary.get("shape"), summary.get("length")
    facts = [summary["type"]] if summary.get("type", tag) != tag else []
    facts += [" x ".join(map(str, shape))] if isinstance(shape, list) else []
    facts += [f"{length} items"] if length is not None else []
    rest = {name: fact for name, fact in summary.items() if name not in {"type", "bytes", "shape", "length", "head"}}
    facts += [f"{name} {_brief(fact)}" for name, fact in rest.items()]
    return ", ".join(map(str, facts[:_FACTS]))


def _brief(fact: Any) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{name}: {item}" for name, item in fact.items())
    return str(fact)

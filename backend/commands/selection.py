"""The rows that a command is about, by its options, and what it says of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.errors import UnknownStoreError, XComNotFoundError

if TYPE_CHECKING:
    from airflow_xcom.backend.database.xcom_rows import Rows, XComRow

_SHOWN = 5  # XComs in an error
_FACTS = 3  # of a summary
_LARGEST = 1 << 63  # bytes; a summary that says more lies


def matching(rows: Rows, options: Namespace) -> Iterator[XComRow]:
    """Yield the rows with our envelopes that have the coordinate, the store and the tag that were given."""
    for row in rows.matching(_coordinate(options)):
        tag = None if row.envelope is None else row.envelope.tag
        if options.tag in {None, tag} and options.store in {None, store_of(row)}:
            yield row


def chosen(options: Namespace) -> XComRow:
    """Return the XCom, or the version of an asset, that the options name; see :func:`only`."""
    if options.asset is not None:
        from airflow_xcom.backend.commands.asset_selection import row_of

        return row_of(options)
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    return only(metadata_rows(), options)


def only(rows: Rows, options: Namespace) -> XComRow:
    """Return the single row that has the coordinate that was given."""
    found = list(islice(rows.matching(_coordinate(options), native=True), _SHOWN + 1))
    if len(found) == 1:
        return found[0]
    parts = {name: getattr(options, name) for name in ("dag", "run", "task", "map_index", "key")}
    given = ", ".join(f"{name}={part}" for name, part in parts.items() if part is not None) or "nothing given"
    if not found:
        raise XComNotFoundError(f"there is no XCom with {given}")
    names = "".join(f"\n  {row.coordinate}" for row in found[:_SHOWN])
    more = "\n  …" if len(found) > _SHOWN else ""
    raise XComNotFoundError(
        f"there are several XComs with {given}; say which with --dag, --run, --task, --map-index or --key:{names}{more}"
    )


def _coordinate(options: Namespace) -> Coordinate:
    return Coordinate(options.dag, options.run, options.task, options.map_index, options.key)


def store_of(row: XComRow) -> str | None:
    """Return the name of the store that has the payload, or ``row``; None where that cannot be read."""
    from airflow_xcom.backend.blobs import store_name

    if not row.references:
        return None if row.error else "row"
    try:
        return ", ".join({store_name(reference): None for reference in row.references})
    except UnknownStoreError:
        return row.references[0].store


def described(row: XComRow) -> dict[str, Any]:
    """Return what is known of a row, for scripts."""
    reference = row.reference
    facts: dict[str, Any] = {
        **asdict(row.coordinate),
        "tag": None if row.envelope is None else row.envelope.tag,
        "place": _place(row),
        "store": None,
        "bytes": payload_size(row),
        "summary": None if row.envelope is None else row.envelope.summary,
        "error": None if row.error is None else str(row.error),
    }
    if row.envelope is not None and row.envelope.inexact is not None:
        facts["inexact"] = row.envelope.inexact.to_json()
    if row.references:
        facts["store"] = store_of(row)
    if reference is not None:
        facts |= {"blob": f"{reference.url}/{reference.path}", "digest": reference.digest}
        facts |= {"host": reference.host, "expires": reference.expires}
    return facts


def _place(row: XComRow) -> str:
    if row.error is not None:
        return "unreadable"
    if row.envelope is None:
        return "plain"
    return "blob" if row.references else "row"


def payload_size(row: XComRow) -> int | None:
    """Return the bytes that a value takes: of its blob, or, before it was written as JSON, in its row."""
    if row.envelope is None:
        return None
    size = row.blob_size if row.references else row.envelope.summary.get("bytes")
    return size if type(size) is int and 0 <= size < _LARGEST else None


def summary_text(summary: dict[str, Any], tag: str | None) -> str:
    """Return the facts of a summary that fit a line."""
    shape, length = summary.get("shape"), summary.get("length")
    facts = [summary["type"]] if summary.get("type", tag) != tag else []
    facts += [" x ".join(map(str, shape))] if isinstance(shape, list) else []
    facts += [f"{length} items"] if length is not None else []
    others = {name: fact for name, fact in summary.items() if name not in {"type", "bytes", "shape", "length", "head"}}
    facts += [f"{name} {_brief(fact)}" for name, fact in others.items() if fact != []]  # as nulls, where there are none
    return ", ".join(map(str, facts[:_FACTS]))


def _brief(fact: Any) -> str:
    return ", ".join(f"{name}: {item}" for name, item in fact.items()) if isinstance(fact, dict) else str(fact)

"""Which XComs a command is about: the options that say so, and the rows or the blob that they stand for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.envelope import Coordinate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_xcom.backend.database.xcom_rows import Rows, XComRow

__all__ = ["add_filters", "add_kinds", "add_output", "add_source", "is_of", "one", "place_of", "wanted"]

_SHOWN = 5  # XComs in an error


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Declare the parts of a coordinate."""
    parser.add_argument("--dag", metavar="DAG_ID", help="of this Dag")
    parser.add_argument("--run", metavar="RUN_ID", help="of this run")
    parser.add_argument("--task", metavar="TASK_ID", help="of this task")
    parser.add_argument("--map-index", type=int, metavar="NUMBER", help="of this mapped task; -1 of one not mapped")
    parser.add_argument("--key", help="of this key; return_value is what a task returned")


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Declare what else rows can be told by."""
    parser.add_argument("--store", metavar="NAME", help="whose payload is in the store of this name; 'row' for none")
    parser.add_argument("--tag", help="of this tag, such as pandas.DataFrame")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Declare one XCom, or a blob."""
    parser.add_argument("blob", nargs="?", metavar="BLOB", help="a file, or a URL within a configured store")
    add_filters(parser)


def add_output(parser: argparse.ArgumentParser, form: str) -> None:
    """Declare the choice between output for people and for scripts."""
    parser.add_argument("--output", choices=("table", "json"), default="table", help=f"json: {form} (default: table)")


def wanted(options: argparse.Namespace) -> Coordinate:
    """The parts of a coordinate that were given."""
    return Coordinate(options.dag, options.run, options.task, options.map_index, options.key)


def is_of(row: XComRow, options: argparse.Namespace) -> bool:
    """Whether a row has the store and the tag that were given."""
    tag = None if row.envelope is None else row.envelope.tag
    return options.tag in {None, tag} and options.store in {None, place_of(row)}


def place_of(row: XComRow) -> str | None:
    """Where the payload is: the name of a store, or ``row``; None where that cannot be read."""
    from airflow_xcom.backend.blobs import store_name
    from airflow_xcom.backend.errors import UnknownStoreError

    if row.envelope is None:
        return None if row.error else "row"
    reference = row.envelope.reference
    try:
        return "row" if reference is None else store_name(reference)
    except UnknownStoreError:
        return None if reference is None else reference.store


def one(rows: Rows, options: argparse.Namespace) -> XComRow:
    """The single row that was meant.

    Raises:
        XComNotFoundError: there is none, or there are several.
    """
    from airflow_xcom.backend.errors import XComNotFoundError

    found = list(islice(_all(rows, options), _SHOWN + 1))
    given = ", ".join(f"{name}={value}" for name, value in _given(options)) or "nothing given"
    if not found:
        raise XComNotFoundError(f"there is no XCom with {given}")
    if len(found) > 1:
        names = "".join(f"\n  {row.coordinate}" for row in found[:_SHOWN])
        more = "\n  …" if len(found) > _SHOWN else ""
        raise XComNotFoundError(
            f"there are several XComs with {given}; say which with --dag, --run, --task, --map-index or --key:"
            f"{names}{more}"
        )
    return found[0]


def _all(rows: Rows, options: argparse.Namespace) -> Iterator[XComRow]:
    return rows.matching(wanted(options), native=True)


def _given(options: argparse.Namespace) -> list[tuple[str, Any]]:
    parts = {"dag": options.dag, "run": options.run, "task": options.task}
    parts |= {"map_index": options.map_index, "key": options.key}
    return [(name, value) for name, value in parts.items() if value is not None]

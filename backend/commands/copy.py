"""``airflow-xcom copy``: one value to another XCom, with a blob of its own."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, replace
from typing import Any

from airflow_xcom.backend.blobs import copy_blob, store_name
from airflow_xcom.backend.commands.selection import only
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.compat import write_row
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.errors import RetiredPayloadError, SettingsError, XComNotFoundError
from airflow_xcom.backend.pull import located
from airflow_xcom.backend.settings import settings


def run(options: Namespace) -> int:
    """Copy it, and return 0; what stands in the way is raised."""
    rows = xcom_rows.metadata_rows()
    row = only(rows, options)
    target = _target(row.coordinate, options)
    if target == row.coordinate:
        raise XComNotFoundError("say where to copy the value, with --to-dag, --to-run, --to-task, --to-key, …")
    if not options.force:
        _refuse_value(rows, target)
    stored = _copied(row, target)
    try:
        *whose, key = asdict(target).items()
        write_row(stored, str(key[1]), dict(whose), replace=options.force)
    except LookupError as error:
        if not options.force:
            _refuse_value(rows, target)  # that a task has pushed meanwhile
        raise XComNotFoundError(f"nothing was copied: {error}") from error
    say(f"copied {row.coordinate}\n    to {target}")
    return 0


def _refuse_value(rows: Rows, target: Coordinate) -> None:
    """Raise XComNotFoundError if an XCom has a value."""
    if next(rows.matching(target, native=True), None) is not None:
        raise XComNotFoundError(f"the XCom {target} has a value already; --force replaces it")


def _target(source: Coordinate, options: Namespace) -> Coordinate:
    names = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": "map_index", "key": "key"}
    given = {part: getattr(options, f"to_{name}") for part, name in names.items()}
    return replace(source, **{part: value for part, value in given.items() if value is not None})


def _copied(row: XComRow, target: Coordinate) -> Any:
    """Return what the row of another XCom holds for the value, once its blob is copied if it has one."""
    with located(row.coordinate):
        if row.error is not None:
            raise row.error
        envelope = row.envelope
        if envelope is None:
            if (legacy := settings().legacy_backend) is not None:
                raise SettingsError("legacy_backend", legacy.__name__, "its references cannot be copied")
            return row.stored
        envelope.check_origin(row.columns)
        if envelope.retired is not None:
            raise RetiredPayloadError(envelope.retired.at, envelope.retired.rule, row.coordinate.task_id)
        own = replace(envelope, asset=None)
        return own.copied(target, lambda blob, at: copy_blob(blob, at, store_name(blob))).to_json()

"""Migration of blobs from one named store to another, while tasks push and pull."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from airflow_xcom.backend.blobs import copy_blob, store_name
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.envelope import Coordinate, Envelope, Reference
from airflow_xcom.backend.errors import SettingsError, UnknownStoreError
from airflow_xcom.backend.settings import check_store, settings
from airflow_xcom.codecs import DecodeError

log = logging.getLogger("airflow_xcom.backend")


@dataclass
class Moves:
    """What a migration has done so far, or would do.

    Attributes:
        rows: that refer to a blob of the old store.
        size: bytes of these blobs.
        moved: rows that refer to a copy in the new store now.
        changed: rows that a task replaced or removed before they could be.
        failed: rows that were left as they are because their blob is gone, damaged, or that of another XCom.
    """

    rows: int = 0
    size: int = 0
    moved: int = 0
    changed: int = 0
    failed: int = 0


def migrate(
    rows: Rows, source: str, target: str, *, apply: bool = False, progress: Callable[[Moves], None] = lambda _: None
) -> Moves:
    """Copy every blob that a row refers to from the store ``source`` to the store ``target``, and refer to the copy.

    A copy is read back and compared by its digest; then one UPDATE exchanges the reference if the row still is what it
    was.  So a row is readable at every moment.  Nothing is deleted: a sweep finds the old blobs, and copies that no row
    refers to.  What another run has moved already is not seen again.

    Raises:
        SettingsError: A store is not configured, or the two are one.
        StoreError: A store cannot be reached; what has been moved until then stays moved.
    """
    _check(source, target)
    moves = Moves()
    for row in rows.referring():
        going = [reference for reference in row.references if _is_in(reference, source)]
        if not going or row.envelope is None:
            continue
        moves.rows += 1
        moves.size += sum(reference.size for reference in going)
        if apply:
            _move(rows, row, row.envelope, (source, target), moves)
        progress(moves)
    return moves


def _check(source: str, target: str) -> None:
    stores = settings().stores
    for name in (source, target):
        check_store(name)
    if stores[source].partition("?")[0] == stores[target].partition("?")[0]:
        raise SettingsError("stores", ", ".join(stores), f"{source!r} and {target!r} are the same store")


def _is_in(reference: Reference, name: str) -> bool:
    try:
        return store_name(reference) == name
    except UnknownStoreError:
        return False


def _move(rows: Rows, row: XComRow, envelope: Envelope, stores: tuple[str, str], moves: Moves) -> None:
    source, target = stores

    def copy(reference: Reference, at: Coordinate) -> Reference:
        return copy_blob(reference, at, target, envelope.asset) if _is_in(reference, source) else reference

    try:
        envelope.check_origin(row.columns)  # that the blob is the envelope's; whose row it is, each pull checks
        moved = envelope.copied(envelope.coordinate, copy)
    except DecodeError as error:
        log.error("%s (%s) was not moved: %s", envelope.coordinate, row, error)  # noqa: TRY400 - the message says all
        moves.failed += 1
        return
    if rows.replace(row, moved):
        moves.moved += 1
    else:
        moves.changed += 1

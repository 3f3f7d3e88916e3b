"""Migration of blobs from one named store to another, while tasks push and pull."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_xcom.backend.blobs import copy_blob, delete_blob, store_name
from airflow_xcom.backend.envelope import Reference
from airflow_xcom.backend.errors import SettingsError, UnknownStoreError
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
    from airflow_xcom.backend.envelope import Envelope

    Referring = tuple[XComRow, Envelope, Reference]

__all__ = ["Moves", "migrate"]

log = logging.getLogger("airflow_xcom.backend")


@dataclass
class Moves:
    """What a migration has done so far, or would do.

    Attributes:
        rows: that refer to a blob of the old store.
        size: bytes of these blobs.
        moved: rows that refer to a copy in the new store now.
        changed: rows that a task replaced or removed before they could be.
        failed: rows that were left as they are because their blob is gone or damaged.
        deleted: blobs of the old store.
    """

    rows: int = 0
    size: int = 0
    moved: int = 0
    changed: int = 0
    failed: int = 0
    deleted: int = 0


def migrate(  # noqa: PLR0913 - each is one of the command's options
    rows: Rows,
    source: str,
    target: str,
    *,
    apply: bool = False,
    delete_after: float | None = None,
    progress: Callable[[Moves], None] = lambda _: None,
) -> Moves:
    """Move every blob that a row refers to from the store ``source`` to the store ``target``.

    A blob is copied, and the copy read back and compared by its digest; then one UPDATE exchanges the reference if the
    row still is what it was.  So a row is readable at every moment, and stopping at any moment leaves at most one
    copy without a row, for a sweep to find.  What another run has moved already is not seen again.

    Args:
        rows: of the metadata database.
        source: the name of a configured store.
        target: of another.
        apply: do it; only count otherwise.
        delete_after: seconds after which the old blobs are deleted, for tasks that have read a row and not yet its
            blob; None leaves them.
        progress: is called with what has been done, after every row.

    Raises:
        SettingsError: A store is not configured, or the two are one.
        StoreError: A store cannot be reached; what has been moved until then stays moved.
    """
    _check(source, target)
    moves = Moves()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass") as moved:
        for referring in _of_store(rows, source):
            reference = referring[-1]
            moves.rows += 1
            moves.size += reference.size
            if apply and _move(rows, referring, target, moves):
                moved.write(f"{reference.path}\n")
            progress(moves)
        if moves.moved and delete_after is not None:
            time.sleep(delete_after)
            _delete(moved, rows, source, moves, progress)
    return moves


def _check(source: str, target: str) -> None:
    stores = settings().stores
    for name in (source, target):
        if name not in stores:
            raise SettingsError("stores", ", ".join(stores), f"there is no {name!r} among them")
    if stores[source].partition("?")[0] == stores[target].partition("?")[0]:
        raise SettingsError("stores", ", ".join(stores), f"{source!r} and {target!r} are the same store")


def _of_store(rows: Rows, name: str) -> Iterator[Referring]:
    for row in rows.referring():
        if row.envelope is not None and row.reference is not None and _is_in(row.reference, name):
            yield row, row.envelope, row.reference


def _is_in(reference: Reference, name: str) -> bool:
    try:
        return store_name(reference) == name
    except UnknownStoreError:
        return False


def _move(rows: Rows, referring: Referring, target: str, moves: Moves) -> bool:
    row, envelope, reference = referring
    try:
        copy = copy_blob(reference, envelope.coordinate, target)
    except DecodeError as error:
        log.error("%s (%s) was not moved: %s", envelope.coordinate, row, error)  # noqa: TRY400 - the message says all
        moves.failed += 1
        return False
    if rows.replace(row, replace(envelope, reference=copy)):
        moves.moved += 1
        return True
    moves.changed += 1
    delete_blob(copy)
    return False


def _delete(moved: IO[str], rows: Rows, source: str, moves: Moves, progress: Callable[[Moves], None]) -> None:
    """Delete the old blobs, but those that some row, which may have come meanwhile, refers to."""
    kept = {reference.path for _, _, reference in _of_store(rows, source)}
    url = settings().stores[source].partition("?")[0]
    moved.seek(0)
    for line in moved:
        path = line.removesuffix("\n")
        if path not in kept:
            delete_blob(Reference(source, url, path, size=0, format="", digest=""))
            moves.deleted += 1
            progress(moves)

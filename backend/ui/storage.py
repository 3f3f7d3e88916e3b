"""What the values of a Dag take, in the database and in each store, and whose the stores are; no blob is read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.database.dag_runs import metadata_runs
from airflow_xcom.backend.database.variables import last_report
from airflow_xcom.backend.database.xcom_rows import XComRow, metadata_rows
from airflow_xcom.backend.errors import HiddenValueError, XComNotFoundError
from airflow_xcom.backend.maintenance.ownership import owner_of
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.ui.rows import hidden_tasks, is_hidden, is_masked
from airflow_xcom.codecs import CodecError

_ROWS = 20_000  # of a Dag that are looked at
_SECONDS = 10
_SHOWN = 10  # values
_CUT = 200  # characters
_MOST = 1 << 63
_FIGURES = ("orphans", "bytes", "deleted", "deleted_bytes", "due", "in_blobs", "in_rows", "retired")  # of reports
_DATABASE, _UNKNOWN = "", "?"  # in place of the name of a store: the rows, and a store that is not configured here


def storage(dag_id: str) -> dict[str, Any]:
    """Return what the values of a Dag take, of those of its last runs if they are too many.

    Returns:
        ``places``: how many ``values`` and ``bytes`` the database (``""``), each store by its name, and stores that are
        not configured here (``"?"``) have.  The ``largest`` values.  The number of ``inexact``, ``retired``,
        ``unreadable`` and ``hidden`` ones, and ``some_inexact`` of them.  How many ``rows`` were looked at, and whether
        there are ``more``.

    Raises:
        HiddenValueError: A tag of the Dag hides all of its values.
    """
    hidden = hidden_tasks(dag_id)
    if "*" in hidden:
        raise HiddenValueError(dag_id)
    found = _Totals()
    for row, length in _rows(dag_id, found):
        at = row.columns
        if is_hidden(hidden, str(at.task_id)) or hides_value_of(str(at.key)) or is_masked(row.envelope):
            found.counts["hidden"] += 1
        else:
            found.add(row, length)
    return found.facts()


def _rows(dag_id: str, found: _Totals) -> Iterator[tuple[XComRow, int]]:
    until = time.monotonic() + _SECONDS
    for page in metadata_runs().outlines(dag_id):
        for each in page:
            if found.counts["rows"] == _ROWS or time.monotonic() > until:
                found.more = True
                return
            found.counts["rows"] += 1
            yield each
        if time.monotonic() > until:
            found.more = True
            return


class _Totals:
    """What is known of the rows so far."""

    def __init__(self) -> None:
        self.more = False
        self.counts = Counter(dict.fromkeys(("rows", "hidden", "inexact", "retired", "unreadable"), 0))
        self._values: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._blobs: set[tuple[str, str]] = set()
        self._largest: list[dict[str, Any]] = []
        self._inexact: list[dict[str, Any]] = []

    def add(self, row: XComRow, length: int) -> None:
        envelope = row.envelope
        self.counts["unreadable"] += row.error is not None
        at = row.columns
        facts = {"run_id": at.run_id, "task_id": at.task_id, "map_index": at.map_index, "key": at.key, "bytes": length}
        self._count(_DATABASE, length)
        if envelope is not None:
            facts |= {"type": str(envelope.summary.get("type", envelope.tag))[:_CUT]}
            facts |= {"bytes": self._add_blobs(row)} if row.references else {}
            self.counts["retired"] += envelope.retired is not None
            if envelope.inexact is not None:
                self.counts["inexact"] += 1
                self._inexact = [*self._inexact, {**facts, "parts": envelope.inexact.count}][:_SHOWN]
        self._largest = nlargest(_SHOWN, [*self._largest, facts], key=lambda each: each["bytes"])

    def _add_blobs(self, row: XComRow) -> int:
        """Count the blobs that no row before refers to, and return the bytes of all."""
        names: Counter[str] = Counter()
        for reference in row.references:
            blob = reference.url, reference.path
            name = reference.store if reference.store in settings().stores else _UNKNOWN
            names[name] += 0 if blob in self._blobs else reference.size
            self._blobs.add(blob)
        for name, size in names.items():
            self._count(name, size)
        return row.blob_size

    def _count(self, name: str, size: int) -> None:
        self._values[name] += 1
        self._bytes[name] += size

    def facts(self) -> dict[str, Any]:
        places = {name: {"values": self._values[name], "bytes": self._bytes[name]} for name in self._values}
        shown = {"largest": self._largest, "some_inexact": self._inexact}
        return {"places": places, **shown, **self.counts, "more": self.more}


def stores_and_reports() -> dict[str, Any]:
    """Return the names of the stores, with the figures of the last sweep of each, and those of the last retention."""
    database = metadata_rows().database
    swept, retained = (last_report(database, command) for command in ("sweep", "retain"))
    stores = [{"name": name, "sweep": _figures(_of_store(name, swept.get(name)))} for name in settings().stores]
    return {"stores": stores, "retain": _figures(retained)}


def _of_store(name: str, report: Any) -> Any:
    """Return the report of a sweep, if it is of the store that has this name now."""
    is_of_it = isinstance(report, dict) and report.get("store") == settings().digest_of(name)
    return report if is_of_it else None


def _figures(report: Any) -> dict[str, Any] | None:
    """Return what is shown of a report, which anyone may have written who may write Variables; None if it is none."""
    if not isinstance(report, dict) or not isinstance(report.get("at"), str):
        return None
    numbers = {name: number for name in _FIGURES if type(number := report.get(name)) is int and 0 <= number < _MOST}
    return {"at": report["at"][:_CUT], "applied": report.get("applied") is True, **numbers}


def owner_of_store(name: str) -> dict[str, Any]:
    """Return whose a store is, without any address; raise XComNotFoundError if there is no such store."""
    if name not in settings().stores:
        raise XComNotFoundError("there is no such store")
    try:
        owner = owner_of(open_store(settings().stores[name]))
    except CodecError:
        return {"owner": "It cannot be read"}
    if owner is None:
        return {"owner": "Nobody: airflow-xcom adopt says whose it is"}
    is_ours = owner == metadata_rows().deployment()
    return {"owner": "This Airflow" if is_ours else "Another Airflow, or this one before it moved"}

"""What stores, and no rows, say of versions of assets: pins of runs, tags of people, tombstones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote

from airflow_xcom.backend.blob_paths import PINS, RETIRED, TAGS, Kind, identities, identity, kind_of
from airflow_xcom.backend.database.tables import RunKey
from airflow_xcom.backend.maintenance.references import References, RowSource
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store

_THREADS = 8


@dataclass(frozen=True, slots=True)
class _Named:
    """What a pin or a tag holds; of a pin, whose it is, if that can be read."""

    modified: float
    numbers: tuple[int, ...]
    run: RunKey | None


@dataclass
class AssetObjects:
    """The pins, tags and tombstones of all stores; what was read of one at a former look is not read again.

    Attributes:
        stores: all that are configured, whichever of them are swept.
    """

    stores: Mapping[str, Store]
    _known: dict[tuple[str, str], _Named] = field(default_factory=dict)

    def add_to(self, references: References, rows: RowSource) -> Iterator[None]:
        """Take note of tombstones, of what tags name, and of what pins name whose run has a row; stop now and then."""
        for store in self.stores.values():
            for blob in store.list(RETIRED):
                if kind_of(blob.path) is Kind.RETIRED and (number := identity(blob.path)) is not None:
                    references.retire(number)
            yield
        for path, numbers in self._kept(rows):
            references.keep(path, numbers)
        yield

    def kept(self, rows: RowSource) -> set[int]:
        """Return the versions that tags name, and pins of runs that have a row, by what they are known by."""
        return {number for _, numbers in self._kept(rows) for number in numbers}

    def _kept(self, rows: RowSource) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the paths of these tags and pins, and what they name."""
        self._known = dict(self._read())
        runs = sorted({each.run for each in self._known.values() if each.run is not None})
        existing = rows.runs_that_exist(runs) if runs else set()
        for (_, path), each in self._known.items():
            if each.run is None or each.run in existing:
                yield path, each.numbers

    def _read(self) -> Iterator[tuple[tuple[str, str], _Named]]:
        """Yield the pins and tags that are there, by the names of their stores and their paths."""
        with ThreadPoolExecutor(_THREADS, "airflow-xcom-codecs") as pool:
            for name, store in self.stores.items():
                for prefix, kind in ((PINS, Kind.PIN), (TAGS, Kind.TAG)):
                    blobs = [blob for blob in store.list(prefix) if kind_of(blob.path) is kind]
                    found = pool.map(partial(self._named, name, store), blobs)
                    for blob, each in zip(blobs, found, strict=True):
                        if each is not None:
                            yield (name, blob.path), each

    def _named(self, name: str, store: Store, blob: Blob) -> _Named | None:
        """Return what a pin or tag holds; None if it is gone."""
        known = self._known.get((name, blob.path))
        if known is not None and known.modified == blob.modified:
            return known
        try:
            text = bytes(store.get(blob.path)).decode(errors="replace")
        except BlobNotFoundError:
            return None
        run = _run(blob.path, text) if kind_of(blob.path) is Kind.PIN else None
        return _Named(blob.modified, tuple(identities(text)), run)


def _run(path: str, text: str) -> RunKey | None:
    """Return whose pin it is: by what it says, or else by its path; None if neither tells, and then it stays."""
    try:
        dag_id, run_id = json.loads(text)["run"]
    except (ValueError, KeyError, TypeError, RecursionError):
        segments = path.split("/")[1:3]
        dag_id, run_id = map(unquote, segments)
        if any("..." in part for part in segments):  # cut
            return None
    are_names = all(type(part) is str and part.isprintable() for part in (dag_id, run_id))  # no database takes others
    return (dag_id, run_id) if are_names else None

"""Which blobs rows refer to, as a metadata database or Airflow's REST API tells; and what pins and tags name."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

import numpy as np
import orjson

from airflow_xcom.backend.blob_paths import PINS, RETIRED, TAGS, Kind, identities, identity, kind_of
from airflow_xcom.backend.blobs import store_name
from airflow_xcom.backend.database.tables import RunKey
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.envelope import ENVELOPE_KEY, PUBLISHED, Envelope
from airflow_xcom.backend.maintenance.rest_rows import RestRows
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store
from airflow_xcom.codecs import CodecError

RowSource: TypeAlias = Rows | RestRows  # where the rows with XComs are read

_PROBLEMS = 10  # rows that the report names
_THREADS = 8


@dataclass
class References:
    """What rows, pins and tags refer to: 8 bytes for each reference.

    An event of an asset, and the XCom in which a task notes what it has published, refer to a version until it is
    retired; all others keep it even then.

    Attributes:
        rows: that were read.
        unreadable: of them, which this release or this configuration cannot read; what their text names counts.
        problems: why, for the first of these.
    """

    rows: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    _numbers: array[int] = field(default_factory=lambda: array("Q"))
    _of_events: array[int] = field(default_factory=lambda: array("Q"))
    _retired: array[int] = field(default_factory=lambda: array("Q"))
    _sorted: Any = None
    _named: Any = None
    _kept: set[str] = field(default_factory=set)
    _stores: set[tuple[str, str]] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._numbers) + len(self._of_events)

    def add(self, row: XComRow) -> None:
        """Take note of whatever the text of a row names.

        It need not be a reference that can be read: text that looks like the path of one of our blobs protects it.
        """
        self.rows += 1
        numbers = identities(row.text)
        if row.is_event:
            self._of_events.extend(numbers)
            return
        value = None
        try:
            value = _loads(row.text)
            envelope = None if self._is_known(value) else Envelope.from_json(value)
            for reference in () if envelope is None else envelope.references:
                store_name(reference)
                self._stores.add((reference.store, reference.url))
        except (ValueError, TypeError, RecursionError, CodecError) as error:
            self.report(f"{row}: {type(error).__name__}: {error}")
        (self._of_events if _is_note(value) else self._numbers).extend(numbers)

    def report(self, problem: str) -> None:
        """Count something that cannot be read."""
        self.unreadable += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append(problem)

    def keep(self, path: str, numbers: Iterable[int]) -> None:
        """Take note of a pin or a tag that is to stay, and of what it names."""
        self._kept.add(path)
        self._numbers.extend(numbers)

    def retire(self, number: int) -> None:
        """Take note of a version that was retired."""
        self._retired.append(number)

    def _is_known(self, value: Any) -> bool:
        """Return whether a row is of our version and of a store met before: all that matters, and quickly seen."""
        try:
            content = value[ENVELOPE_KEY]
            reference = content["ref"]
            return content["version"] == 1 and (reference["store"], reference["url"]) in self._stores
        except (KeyError, TypeError):
            return False

    def seal(self) -> None:
        """Make it ready to be asked; nothing is added any more."""
        numbers, of_events, retired = (
            np.frombuffer(each, np.uint64) for each in (self._numbers, self._of_events, self._retired)
        )
        self._sorted = np.sort(np.concatenate([numbers, of_events[~np.isin(of_events, retired)]]))
        self._named = np.sort(np.concatenate([numbers, of_events])) if len(retired) else self._sorted

    def contain(self, paths: Sequence[str]) -> list[bool]:
        """Return for each blob whether it is referred to: a tombstone is as long as anything names its version."""
        found = []
        numbers = [identity(path) for path in paths]
        by_set = [_are_in(ordered, [number or 0 for number in numbers]) for ordered in (self._sorted, self._named)]
        for at, path in enumerate(paths):
            if numbers[at] is None:
                found.append(path in self._kept)
            else:
                found.append(by_set[kind_of(path) is Kind.RETIRED][at])
        return found


def _are_in(ordered: Any, numbers: list[int]) -> list[bool]:
    asked = np.array(numbers, np.uint64)
    if not len(ordered):
        return [False] * len(numbers)
    nearest = np.minimum(np.searchsorted(ordered, asked), len(ordered) - 1)
    return [bool(same) for same in ordered[nearest] == asked]


def _is_note(value: Any) -> bool:
    """Return whether a row is the one in which a task notes what it has published."""
    try:
        key = value[ENVELOPE_KEY]["of"][-1]
    except (KeyError, TypeError, IndexError):
        return False
    return type(key) is str and key.startswith(PUBLISHED)


def _loads(text: str) -> Any:
    """Parse JSON, in a third of the time that the standard library's parser takes for a reference."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)  # takes NaN and lone surrogates, too


# -- what stores, and no rows, say of versions of assets -------------------------------------------------------


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

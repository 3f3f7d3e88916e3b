"""Deletion of the blobs that no row refers to.

Deleting a run or a Dag, ``airflow db clean``, a key that is overwritten, and a writer that is killed all leave blobs
that nothing but a comparison of the stores with the rows finds.  What keeps every referenced value safe is in
docs/CLEANUP.md; the order of the steps below is part of it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import unquote

from airflow_xcom.backend.blob_paths import Kind, kind_of
from airflow_xcom.backend.database.tables import RunKey
from airflow_xcom.backend.envelope import Coordinate, may_be_of_run, run_prefix, unique_path
from airflow_xcom.backend.errors import SweepError
from airflow_xcom.backend.maintenance import GRACE, WAIT
from airflow_xcom.backend.maintenance.ownership import OWNER, check_owner
from airflow_xcom.backend.maintenance.references import AssetObjects, References, RowSource
from airflow_xcom.backend.settings import check_store, settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import Blob, Store

Read = Callable[[References], Iterator[bool]]

_FRESH = 300.0  # seconds that a look at the rows is good for
_PAGE = 10_000  # blobs or rows between two signs of progress
_BATCH = 256  # blobs deleted between two signs of progress
_THREADS = 8
_EXAMPLES = 5


@dataclass
class Tally:
    """So many blobs.

    Attributes:
        count: of them.
        size: their bytes.
        oldest: when the oldest of them was written, by its store's clock (Unix time).
    """

    count: int = 0
    size: int = 0
    oldest: float | None = None

    def add(self, blob: Blob) -> None:
        """Count one more."""
        self.count += 1
        self.size += blob.size
        self.oldest = blob.modified if self.oldest is None else min(self.oldest, blob.modified)


@dataclass
class StoreReport:
    """What a sweep found in a store, and did there.

    Attributes:
        url: of the store.
        listed: all that is there.
        foreign: what this backend did not write, which is left.
        examples: a few paths of these.
        young: unreferenced or not, they are left because of their age.
        unseen: of assets, left because what refers to them cannot be seen.
        orphans: unreferenced for longer than the grace period; the sweep deletes these.
        unfinished: those of them which are parts that killed writers left.
        dags: the orphans by Dag.
        deleted: orphans that are gone now.
        gone: orphans that were gone before this sweep came to them.
        kept: orphans that a row refers to after all.
    """

    url: str
    listed: Tally = field(default_factory=Tally)
    foreign: Tally = field(default_factory=Tally)
    examples: list[str] = field(default_factory=list)
    young: Tally = field(default_factory=Tally)
    unseen: Tally = field(default_factory=Tally)
    orphans: Tally = field(default_factory=Tally)
    unfinished: Tally = field(default_factory=Tally)
    dags: dict[str, Tally] = field(default_factory=dict)
    deleted: Tally = field(default_factory=Tally)
    gone: Tally = field(default_factory=Tally)
    kept: Tally = field(default_factory=Tally)


@dataclass
class Report:
    """How far a sweep is.

    Attributes:
        phase: what it is doing.
        stores: by name.
        rows: with our key that were read at the last look.
        references: that they have.
        unreadable: of these rows; whatever they name is taken for referenced.
        problems: why, for the first of these.
        hidden: Dags whose blobs are left because their rows may be there and cannot be seen.
        waited: seconds between the two looks that have passed.
    """

    phase: str = "listing"
    stores: dict[str, StoreReport] = field(default_factory=dict)
    rows: int = 0
    references: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    waited: float = 0.0


def sweep(  # noqa: PLR0913 - each is one of the command's options
    rows: RowSource,
    report: Report,
    store: str | None = None,
    *,
    runs: Iterable[RunKey] | None = None,
    grace: float = GRACE,
    wait: float = WAIT,
    apply: bool = False,
    even_all: bool = False,
) -> Iterator[None]:
    """Find the blobs that no row refers to, and delete them; an iterator, to be exhausted, that stops at every page.

    The stores are listed before the rows are read: what is in the listing and older than any push lasts has its row by
    then.  What is to go must be unreferenced at a second look, too, ``wait`` seconds later by a clock that does not
    jump, and at another one whenever the last is no longer fresh.  No path is ever used twice, so that two
    sweeps may run at once, and one may be stopped anywhere and started again: it lists what is left.

    Args:
        rows: where references are read.
        report: is kept up to date.
        store: the name of one; None for all that are configured.
        runs: list only the paths of these, and read only their rows, archived ones too: no other XCom can be read from
            such a path.  What killed writers left of unfinished blobs, and empty folders, stay.  None for all.
        grace: seconds, by the store's clock; younger blobs are left.
        wait: seconds between the looks.
        apply: delete; only count otherwise.
        even_all: delete even if no row refers to any blob at all.

    Raises:
        SweepError: It cannot be known what rows refer to.
        SettingsError: There is no store of this name.
        OwnerError: A store does not belong to this Airflow.
        StoreError: A store cannot be listed, or refuses to delete.  Nothing more is deleted after any error.
    """
    stores, chosen = chosen_stores(store), None if runs is None else tuple(dict.fromkeys(runs))
    read = partial(_read, rows, _told_apart(chosen), AssetObjects(chosen_stores(None)))
    if apply:
        _check_owners(stores, rows)
    report.stores = {name: StoreReport(opened.url) for name, opened in stores.items()}
    with ExitStack() as files:
        old, orphans = (files.enter_context(TemporaryFile("w+", encoding="ascii")) for _ in range(2))
        for name, opened in stores.items():
            yield from _list(opened, name, _takes(rows, chosen), report, grace, old, chosen)
        references = References()
        yield from _look(read, references, report)
        yield from _compare(references, report, old, orphans)
        dags = {dag for each in report.stores.values() for dag in each.dags}
        report.hidden = rows.hidden(sorted(dags))
        if apply and dags:
            if not len(references) and not even_all and chosen is None:
                raise SweepError("no XCom refers to any payload: is this the right database? --even-all says so")
            looked = time.monotonic()
            yield from _wait(looked + wait, report)
            yield from _delete(read, stores, report, orphans, partial(_check_owners, stores, rows))
        if apply and chosen is None:
            yield from _prune(stores, report, grace)
    report.phase = "done"
    yield


def _check_owners(stores: dict[str, Store], rows: RowSource) -> None:
    deployment = rows.deployment()
    for store in stores.values():
        check_owner(store, deployment)


def chosen_stores(name: str | None) -> dict[str, Store]:
    """Return the stores by their names; of several names for one store, the first."""
    configured = settings().stores
    if name is not None:
        check_store(name)
    opened = {each: open_store(url) for each, url in configured.items() if name in {None, each}}
    urls = [store.url for store in opened.values()]
    return {each: store for number, (each, store) in enumerate(opened.items()) if store.url not in urls[:number]}


def _takes(rows: RowSource, runs: tuple[RunKey, ...] | None) -> frozenset[Kind]:
    """Return the kinds of blobs that can be compared with what is read: of XComs alone, if only rows of runs are."""
    return frozenset(Kind) if rows.sees_assets and runs is None else frozenset({Kind.XCOM})


def _list(  # noqa: PLR0913, PLR0917 - what it lists, and where it writes that down
    store: Store,
    name: str,
    kinds: frozenset[Kind],
    report: Report,
    grace: float,
    old: IO[str],
    runs: tuple[RunKey, ...] | None,
) -> Iterator[None]:
    """Write down what is ours and older than the grace period."""
    listing = report.stores[name]
    report.phase = f"listing {name}"
    now: float | None = None
    for number, blob in enumerate(_blobs(store, runs), start=1):
        listing.listed.add(blob)
        kind = kind_of(blob.path)
        if kind is None:
            listing.foreign.add(blob)
            listing.examples += [blob.path] * (len(listing.examples) < _EXAMPLES)
        elif kind not in kinds:
            listing.unseen.add(blob)
        else:
            if now is None:
                now = _clock(store)
            if now - blob.modified >= grace:  # equal where times are coarse
                old.write(f"{name.encode().hex()} {blob.modified!r} {blob.size} {blob.path}\n")
            else:
                listing.young.add(blob)
        if not number % _PAGE:
            yield
    yield


def _blobs(store: Store, runs: tuple[RunKey, ...] | None) -> Iterator[Blob]:
    if runs is None:
        return (blob for blob in store.scan() if blob.path != OWNER)
    return (blob for run in runs for blob in store.list(run_prefix(*run)) if may_be_of_run(blob.path, *run))


def _told_apart(runs: tuple[RunKey, ...] | None) -> tuple[RunKey, ...] | None:
    """Return the runs whose rows matter: all, if a folder is also that of XComs that did not say whose they are."""
    return None if runs is None or any({"_", ""} & {*run} for run in runs) else runs


def _clock(store: Store) -> float:
    """Return the time by the store's own clock: that of a blob which is written for this."""
    path = unique_path(Coordinate(key="sweep"), ".msgpack")
    store.put(path, [b""])
    try:
        written = next(iter(store.list(path)), None)
    finally:
        store.delete(path)
    if written is None:
        raise SweepError(f"the store {store.url} does not list what has just been written to it")
    return written.modified


def _read(
    rows: RowSource, runs: tuple[RunKey, ...] | None, objects: AssetObjects, references: References
) -> Iterator[bool]:
    """Take note of all that refers to a blob, and stop at every row; whether it was one.

    What stores hold of assets comes last: a pin is made of what an event names, a tag of what any of these does.
    """
    for row in rows.candidates(runs):
        references.add(row)
        yield True
    if rows.sees_assets and runs is None:
        yield from (False for _ in objects.add_to(references, rows))


def _look(read: Read, references: References, report: Report) -> Iterator[None]:
    report.phase = "reading the references"
    for is_row in read(references):
        if not is_row or not references.rows % _PAGE:
            _count_references(references, report)
            yield
    _count_references(references, report)
    references.seal()
    yield


def _count_references(references: References, report: Report) -> None:
    report.rows, report.references = references.rows, len(references)
    report.unreadable, report.problems = references.unreadable, references.problems


def _compare(references: References, report: Report, old: IO[str], orphans: IO[str]) -> Iterator[None]:
    report.phase = "comparing"
    for batch in _batches(old, _PAGE):
        for (line, name, blob), is_referenced in zip(batch, _referenced(references, batch), strict=True):
            if not is_referenced:
                orphans.write(line)
                _count_orphan(report.stores[name], blob)
        yield


def _count_orphan(listing: StoreReport, blob: Blob) -> None:
    listing.orphans.add(blob)
    listing.dags.setdefault(_dag(blob), Tally()).add(blob)
    if blob.path.endswith(".tmp") or "#" in blob.path:
        listing.unfinished.add(blob)


def _dag(blob: Blob) -> str:
    """Return whose a blob is: the Dag of an XCom; of an asset's, the folder."""
    if kind_of(blob.path) is Kind.XCOM:
        return unquote(blob.path.partition("/")[0])
    return blob.path.rpartition("/")[0]


def _wait(until: float, report: Report) -> Iterator[None]:
    report.phase = "waiting for tasks that are about to write or read"
    while (left := until - time.monotonic()) > 0:
        pause = min(left, 1.0)
        time.sleep(pause)
        report.waited += pause
        yield


def _delete(
    read: Read, stores: dict[str, Store], report: Report, orphans: IO[str], check_owners: Callable[[], None]
) -> Iterator[None]:
    """Delete what is unreferenced at a look that is fresh, after which the stores still belonged to this Airflow."""
    looked: float | None = None
    for batch in _batches(orphans, _BATCH):
        if looked is None or time.monotonic() - looked > _FRESH:
            looked, references = time.monotonic(), References()
            yield from _look(read, references, report)
            check_owners()
        report.phase = "deleting"
        doomed = []
        for (_, name, blob), is_referenced in zip(batch, _referenced(references, batch), strict=True):
            if is_referenced or _dag(blob) in report.hidden:
                report.stores[name].kept.add(blob)
            else:
                doomed.append((name, blob))
        for name, blob, was_there in _deleted(stores, doomed):
            store = report.stores[name]
            (store.deleted if was_there else store.gone).add(blob)
        yield


def _deleted(stores: dict[str, Store], doomed: list[tuple[str, Blob]]) -> Iterator[tuple[str, Blob, bool]]:
    """Delete blobs several at a time, and say of each whether it was there; the first failure ends it."""
    pool = ThreadPoolExecutor(_THREADS, "airflow-xcom-codecs")
    try:
        waiting = [pool.submit(stores[name].delete, blob.path) for name, blob in doomed]
        for (name, blob), done in zip(doomed, waiting, strict=True):
            yield name, blob, done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prune(stores: dict[str, Store], report: Report, grace: float) -> Iterator[None]:
    """Remove what has been empty for the grace period, so that a folder is not taken from under a push."""
    for name, store in stores.items():
        if report.stores[name].listed.count:
            report.phase = f"removing empty folders of {name}"
            yield
            store.prune(_clock(store) - grace)


def _referenced(references: References, batch: list[tuple[str, str, Blob]]) -> list[bool]:
    return references.contain([blob.path for _, _, blob in batch])


def _batches(lines: IO[str], size: int) -> Iterator[list[tuple[str, str, Blob]]]:
    """Yield what was written down, in batches: each line, the name of the store, and the blob."""
    lines.seek(0)
    parsed = map(_parsed, lines)
    while batch := list(itertools.islice(parsed, size)):
        yield batch


def _parsed(line: str) -> tuple[str, str, Blob]:
    name, modified, size, path = line.removesuffix("\n").split(" ", 3)
    return line, bytes.fromhex(name).decode(), Blob(path, int(size), float(modified))

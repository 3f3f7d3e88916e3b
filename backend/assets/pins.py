"""Which versions of an asset a run reads: found once, by whichever task asks first, and then the same for all.

A pin is an object in the store, which only the first writer makes.  Each task that asks keeps a row beside its XComs
that names the pin and its versions: as evidence, and so that no sweep takes them.  These rows outlive the clearing of
the task.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.blob_paths import PINS
from airflow_xcom.backend.blobs import store_name
from airflow_xcom.backend.compat_assets import runs_again
from airflow_xcom.backend.envelope import PINNED, run_prefix
from airflow_xcom.backend.errors import (
    LostPinError,
    NoVersionError,
    SettingsError,
    StoreDeniedError,
    StoreNotFoundError,
    UnknownStoreError,
)
from airflow_xcom.backend.path_segments import digest
from airflow_xcom.backend.pull import Deferred, deferring, prepare
from airflow_xcom.backend.push import Written
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting, open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store

T = TypeVar("T")

_KEY = "airflow_xcom_pin"  # in rows
_ATTEMPTS = 20  # to read a pin that another host is about to write

# What the rows of tasks of this process say, by task, try and question.
_told: dict[tuple[Any, ...], dict[str, Any]] = {}


@dataclass(frozen=True)
class Question:
    """What a task asks of an asset.

    Attributes:
        context: of the task.
        asset: its name, or what else names it.
        parts: what tells the question from others of the run: name, URI, alias, partition, and what is wanted.
    """

    context: Any
    asset: str
    parts: tuple[str | None, ...]

    @property
    def hash(self) -> str:
        """Return 16 hexadecimal digits."""
        return digest(json.dumps(self.parts))

    @property
    def identity(self) -> tuple[Any, ...]:
        """Return what tells this try's question from others that a process may see."""
        ti = self.context["ti"]
        return ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, self.hash

    def path(self, generation: int) -> str:
        """Return where the pin is; each ``refresh`` makes one of the next generation."""
        ti = self.context["ti"]
        return f"{PINS}{run_prefix(ti.dag_id, ti.run_id)}{self.hash}.{generation}"

    def lost(self, why: str) -> LostPinError:
        """Return the error for a pin that cannot be relied on."""
        ti = self.context["ti"]
        return LostPinError(
            f"which version of the asset {self.asset} the run {ti.run_id!r} of the Dag {ti.dag_id!r} reads cannot be "
            f"told any more: {why}. Nothing newer is given in its place; ask with refresh=True to have the run read "
            "what is the latest version now"
        )


@dataclass(frozen=True)
class _Pin:
    generation: int
    text: bytes
    store: Store

    @property
    def content(self) -> Any:
        return json.loads(self.text)

    def versions(self) -> list[Version]:
        return [Version.from_json(one) for one in self.content["versions"]]

    def evidence(self) -> dict[str, Any]:
        """Return what a row says: its paths' ends are what a sweep looks for in the text of rows."""
        held = [[content["asset"]["id"], _end(content["ref"]["path"])] for _, content in self.content["versions"]]
        return {
            "generation": self.generation,
            "digest": digest(self.text.decode()),
            "store": self.store.url,
            "asset": self.content["asset"],
            "versions": held,
        }


def pinned(
    question: Question, find: Callable[[], list[Version]], read: Callable[[list[Version]], T], *, refresh: bool = False
) -> T:
    """Read the versions of the run's pin, or else those that ``find`` returns, which are pinned then.

    They are read in another thread, once they are found, if they can be.  To ``refresh`` is to find and pin anew.

    Raises:
        LostPinError: The task has read versions that no pin names any more, or the pin names others.
        NoVersionError: What was pinned cannot be read.
        StoreError: The store cannot be read or written.
    """
    store = open_lasting(settings().path)
    reading: dict[str, Future[T]] = {}  # by the versions: another task of the run may pin others meanwhile

    def begin(versions: list[Version]) -> list[Version]:
        if _may_be_read_in_a_thread(store, versions):
            prepare()  # here, where Airflow may be asked
            reading[_text_of(versions)] = _in_a_thread(read, versions)
        return versions

    versions, evidence = _found(store, question, lambda: begin(find()), refresh=refresh)
    if evidence is None:
        return read(versions)
    text = _text_of(versions)
    if text not in reading:
        begin(versions)
    _note(question, evidence)
    return reading[text].result() if text in reading else read(versions)


def _in_a_thread(read: Callable[[list[Version]], T], versions: list[Version]) -> Future[T]:
    """Read versions in another thread, while the pin of the run is made and Airflow stores the row of the task."""
    pool = ThreadPoolExecutor(1, "airflow-xcom-codecs")
    value = pool.submit(read, versions)
    # Airflow 3 ends the process of a task without joining threads, which then need not wait for a store; any other
    # process, such as that of dag.test(), joins this one at its end.
    pool.shutdown(wait=False)
    return value


def _text_of(versions: list[Version]) -> str:
    return json.dumps([version.to_json() for version in versions])


def pinned_versions(question: Question, find: Callable[[], list[Version]], *, refresh: bool = False) -> list[Version]:
    """Return the versions that :func:`pinned` reads, once the row of the task names them."""
    versions, evidence = _found(open_lasting(settings().path), question, find, refresh=refresh)
    if evidence is not None:
        _note(question, evidence)
    return versions


def _found(
    store: Store, question: Question, find: Callable[[], list[Version]], *, refresh: bool
) -> tuple[list[Version], dict[str, Any] | None]:
    """Return the versions of the pin, made in a store if there is none, and what the row of the task is yet to say."""
    known = _evidence(question, even_damaged=refresh)
    last = -1 if known is None else known["generation"]
    pin = _newest(question, max(last, 0))
    if not refresh:
        pin = pin and _whole(question, pin)
        _check(question, known, pin)
    if pin is None or refresh or (known is None and _is_of_earlier_run(pin, question)):
        pin = _made(store, question, 1 + (last if pin is None else pin.generation), find())
    evidence = pin.evidence()
    return pin.versions(), None if evidence == known else evidence


def _may_be_read_in_a_thread(store: Store, versions: list[Version]) -> bool:
    """Return whether an open store and shipped codecs suffice: no thread may ask Airflow while another asks.

    Opening another store may ask for its connection, and codecs of others for anything.
    """
    if any(version.envelope.suppliers for version in versions):
        return False
    references = [reference for version in versions for reference in version.envelope.references]
    try:
        return all(open_store(settings().stores[store_name(reference)]) is store for reference in references)
    except UnknownStoreError:
        return False


def _note(question: Question, evidence: dict[str, Any]) -> None:
    """Have the row of the task say what it reads."""
    question.context["ti"].xcom_push(key=PINNED + question.hash, value=Written({}, lambda _: {_KEY: evidence}))
    _told[question.identity] = evidence


def _check(question: Question, known: dict[str, Any] | None, pin: _Pin | None) -> None:
    """Raise LostPinError if what a row of the task says disagrees with the pin."""
    if known is None:
        return
    if pin is None:
        raise question.lost(f"its pin {question.path(known['generation'])!r} is gone from the store {known['store']}")
    if pin.generation == known["generation"] and digest(pin.text.decode()) != known["digest"]:
        raise question.lost("its pin names other versions than the task has read before")


def _evidence(question: Question, *, even_damaged: bool) -> dict[str, Any] | None:
    """Return what the row of the task says, which one that runs for the first time does not have before it asks."""
    ti = question.context["ti"]
    if question.identity in _told or not runs_again(question.context):
        return _told.get(question.identity)
    with deferring():
        row = ti.xcom_pull(task_ids=ti.task_id, key=PINNED + question.hash, map_indexes=ti.map_index)
    if not isinstance(row, Deferred):
        return None
    match row.stored:
        case {"airflow_xcom_pin": {"generation": int(), "digest": str(), "store": str(), "versions": list()} as known}:
            return dict(known)
    if even_damaged:
        return None
    raise question.lost("the row of the task that names its pin is not one that this backend writes")


def _newest(question: Question, first: int) -> _Pin | None:
    """Return the pin of the highest generation, looked for from ``first`` on; one of them may be gone."""
    found, generation = None, first
    while (pin := _read_any(question, generation)) is not None or generation == first:
        found = pin or found
        generation += 1
    return found


def _read_any(question: Question, generation: int) -> _Pin | None:
    """Return a pin from whichever store has it: ``[xcom_codecs] path`` may have named another when it was made."""
    for url in dict.fromkeys([settings().path, *settings().stores.values()]):
        try:
            pin = _read(open_lasting(url), question, generation)
        except (SettingsError, StoreDeniedError, StoreNotFoundError):
            if url == settings().path:
                raise
            continue  # of another team, or gone
        if pin is not None:
            return pin
    return None


def _read(store: Store, question: Question, generation: int) -> _Pin | None:
    try:
        return _Pin(generation, bytes(store.get(question.path(generation))), store)
    except BlobNotFoundError:
        return None


def _whole(question: Question, pin: _Pin) -> _Pin:
    """Return a pin, read again while it may be half written, as without hard links; raise LostPinError if damaged."""
    for attempt in range(_ATTEMPTS):
        try:
            pin.evidence()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            time.sleep(0.01 * attempt)
            pin = _read(pin.store, question, pin.generation) or pin
        else:
            return pin
    raise question.lost(f"its pin {question.path(pin.generation)!r} is damaged")


def _made(store: Store, question: Question, generation: int, versions: list[Version]) -> _Pin:
    """Make a pin, or return the one that another task has made meanwhile."""
    content = {
        "at": datetime.now(UTC).isoformat(),
        "run": [question.context["ti"].dag_id, question.context["ti"].run_id],
        "began": _began(question),
        "asset": list(question.parts),
        "versions": [version.to_json() for version in versions],
    }
    store.create(question.path(generation), json.dumps(content).encode())
    pin = _read(store, question, generation)
    if pin is None:
        msg = f"the pin {question.path(generation)!r} was written to the store {store.url} and is not there"
        raise NoVersionError(msg)
    return _whole(question, pin)


def _began(question: Question) -> str | None:
    """Return when the run began, as Airflow's database says to all of its tasks."""
    start = question.context["dag_run"].start_date
    return None if start is None else str(start.astimezone(UTC).isoformat())


def _is_of_earlier_run(pin: _Pin, question: Question) -> bool:
    """Return whether a pin is of a deleted run whose id a new one has, which was never cleared."""
    began, since = pin.content.get("began"), _began(question)
    return not (began is None or since is None or question.context["dag_run"].clear_number) and bool(began != since)


def _end(path: str) -> str:
    return path[path.rindex(".", 0, path.rindex("-")) :]

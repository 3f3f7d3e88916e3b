"""Publishers, readers, policies, operators and sweeps of assets in any order: no version that may be read is lost.

And in the end none stays that nothing names.  Publishing, pins, tags, state, retention and the sweep are the real ones,
the rows in SQLite, the stores in memory.  A sweep goes on by one page or batch at a time; all else may happen between,
and within a publish and a read, too.  What must be there is known from what was done, not from what is there.

``ASSET_EXAMPLES=120`` in the environment makes it about 20,000 steps.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import sqlalchemy
from asset_world import ARCHIVE, EVENT, LINK, QUEUE, RUN, TABLES, XCOM, F, G, Where, World
from conftest import Backend
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from owners import adopted

from airflow_xcom.backend import LostPinError, NoVersionError, RetiredVersionError, latest, publish, stored, values_of
from airflow_xcom.backend import stores as stores_module
from airflow_xcom.backend.assets import pins
from airflow_xcom.backend.assets.retention import EXTRA, RetiredVersions, retire_versions
from airflow_xcom.backend.assets.tags import remove_tag, set_tag
from airflow_xcom.backend.assets.version import Version, versions_in
from airflow_xcom.backend.compat_assets import AssetKey, Event
from airflow_xcom.backend.database import asset_versions, state_rows, tables, xcom_rows
from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import PINNED, PUBLISHED
from airflow_xcom.backend.errors import OwnerError
from airflow_xcom.backend.maintenance import sweep
from airflow_xcom.backend.maintenance.ownership import OWNER
from airflow_xcom.backend.state_coordinate import TASK, WRAPPER, StateCoordinate
from airflow_xcom.backend.state_values import read, written
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError
from airflow_xcom.codecs import CodecError

EXAMPLES, STEPS = int(os.environ.get("ASSET_EXAMPLES", "10")), 200
GRACE, WAIT = sweep.GRACE, 5.0
LONG = 26 * 3600.0  # seconds that a task may work after it has published
ID = re.compile(r"-([0-9a-f]{32})(?![0-9a-f])")  # at the end of a path, and where a row names one
PARTITIONS: dict[str, list[str | None]] = {F.name: [None], G.name: ["north", "south"]}
TAGS = ["golden", "silver"]


def copy_of(table: sqlalchemy.Table) -> sqlalchemy.Table:
    """The table to which ``airflow db clean`` moves rows."""
    columns = (sqlalchemy.Column(column.name, column.type) for column in table.columns)
    return sqlalchemy.Table(f"_airflow_deleted__{table.name}__20260101000000", TABLES, *columns)


STATE = sqlalchemy.Table(
    "task_state_store",
    TABLES,
    *(sqlalchemy.Column(name, sqlalchemy.String(200), primary_key=True) for name in ("dag_id", "run_id", "key")),
    sqlalchemy.Column("value", sqlalchemy.Text),
)
ARCHIVES = {EVENT: ARCHIVE, XCOM: copy_of(XCOM), STATE: copy_of(STATE)}
ELSEWHERE = Deployment("another", "elsewhere")


@dataclass
class MemoryStore:
    """A store whose blobs have the time of a clock that passes as the model says."""

    url: str
    clock: SimpleNamespace
    told: Callable[[str, bytes], None]  # of every blob that is written
    whole: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    host = None
    ttl = None

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        self.whole[path] = b"".join(map(bytes, chunks)), self.clock.now
        self.told(path, self.whole[path][0])

    def create(self, path: str, data: bytes) -> bool:
        if path in self.whole:
            return False
        self.put(path, [data])
        return True

    def get(self, path: str) -> memoryview:
        if path not in self.whole:
            raise BlobNotFoundError(path)
        return memoryview(bytearray(self.whole[path][0]))

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        raise NotImplementedError

    def delete(self, path: str) -> bool:
        return self.whole.pop(path, None) is not None

    def scan(self) -> Iterator[Blob]:
        yield from self.list()

    def list(self, prefix: str = "") -> Iterator[Blob]:
        for path, (content, written_at) in [*self.whole.items()]:
            if path.startswith(prefix):
                yield Blob(path, len(content), written_at)

    def prune(self, before: float) -> None:
        pass


class Interrupted(World):
    """A world in which something happens before a task's row is there, and after it has read events."""

    then: Callable[[], None] | None = None

    def _interrupt(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            context = self.context
            then()
            self.context = context

    def set_row(self, where: Where, row: Any) -> None:
        self._interrupt()
        super().set_row(where, row)

    def newest(self, key: AssetKey, limit: int, partition: str | None, since: datetime | None = None) -> list[Event]:
        found = super().newest(key, limit, partition, since)
        self._interrupt()
        return found


class AtOnce:
    """In place of a thread: reads a value before its row is there, and before anything else happens."""

    def __init__(self, *_: Any) -> None:
        """As a pool."""

    def submit(self, read: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(read(*arguments))
        except CodecError as error:
            future.set_exception(error)
        return future

    def shutdown(self, *, wait: bool) -> None:
        """As a pool."""


class Clone(Rows):
    """The rows of a copy of the database, which are gone by now."""

    def deployment(self, *, create: bool = False) -> Deployment:
        assert not create
        return ELSEWHERE

    def candidates(self, runs: Any = None) -> Iterator[Any]:
        del runs
        return iter(())

    def runs_that_exist(self, runs: Any) -> set[Any]:
        del runs
        return set()


class Made(NamedTuple):
    """A version, as it was published."""

    value: Any
    settles: bool  # whether no older one can be the latest
    ends: float  # its data interval


@dataclass
class Reader:
    """A run that reads an asset, and the same again whenever its tasks run again."""

    dag_id: str
    run_id: str
    asset: Any
    partition: str | None = None
    found: Any = None  # what it has read
    paths: frozenset[str] = frozenset()
    tries: Counter[str] = field(default_factory=Counter)  # of its tasks

    @property
    def is_triggered(self) -> bool:
        return self.dag_id != "consumer"


class Held(NamedTuple):
    """A version that somebody has looked up, with its event, and when."""

    number: int
    version: Version
    since: float


class Assets(RuleBasedStateMachine):
    """What happens to the versions of an Airflow's assets."""

    make: Any = None  # a world, and stores for it
    steps = 0
    seen: Counter[str]  # how often what was reached

    def __init__(self) -> None:
        super().__init__()
        self.clock = SimpleNamespace(now=1e6)
        names = ("memory://default", "memory://other")
        self.stores = {name: MemoryStore(name, self.clock, self._told) for name in names}
        self.world: Interrupted = type(self).make(self)
        adopted(self.world.rows)
        self.number = 0
        self.tasks: list[Any] = []  # contexts of those that have published, and work on
        self.readers: list[Reader] = []
        self.held: list[Held] = []
        self.sweeps: list[Iterator[None]] = []
        self.paths: dict[str, str] = {}  # of blobs with an identity
        self.made: dict[str, Made] = {}
        self.retired: set[str] = set()
        self.pins: dict[str, tuple[tuple[str, str], frozenset[str]]] = {}
        self.tags: dict[str, tuple[tuple[str, str], frozenset[str]]] = {}
        self.late: set[str] = set()  # versions that were pinned when they had been retired

    def teardown(self) -> None:
        self.sweeps.clear()
        self.world.engine.dispose()

    def _told(self, path: str, content: bytes) -> None:
        """Take note of what is written to a store."""
        kind = path.partition("/")[0]
        if kind == "retired":
            self.retired.add("assets" + path.removeprefix("retired"))
        elif kind in {"pins", "tags"}:
            text = content.decode()
            named, told = self._named_in(text), json.loads(text)
            if kind == "pins":
                self.pins[path] = (tuple(told["run"]), named)
                self.late |= named & self.retired
            else:
                name = json.loads(text)["version"][1]["asset"]["name"]
                self.tags[path] = ((name, told["tag"]), named)
        elif found := ID.search(path):
            self.paths[found[1]] = path

    def _named_in(self, text: str) -> frozenset[str]:
        return frozenset(self.paths[number] for number in ID.findall(text) if number in self.paths)

    def _count(self, what: str) -> None:
        type(self).seen[what] += 1

    def _draw(self, choices: Sequence[Any]) -> Any:
        return choices[self.data.draw(st.sampled_from(range(len(choices))))]

    def _chance(self, one_in: int) -> bool:
        return bool(self._draw([False] * (one_in - 1) + [True]))

    # Steps

    @initialize(policies=st.tuples(*[st.sampled_from(["0s", "0s", "1versions", "2versions"])] * 2))
    def policies_are_set(self, policies: tuple[str, str]) -> None:
        self.kept = {}
        for asset, policy in zip((F, G), policies, strict=True):
            self.world.asset_id(asset, {EXTRA: policy})
            self.kept[asset.name] = int(policy[0])

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule, as Hypothesis leaves out about half of several for a whole example, and deep states need most."""
        self.data = data
        self.data.draw(st.sampled_from(self._possible()), label="step")(self)

    def _possible(self) -> list[Callable[[Assets], None]]:
        has: dict[Callable[[Assets], None], Any] = {
            Assets.a_task_succeeds: self.tasks,
            Assets.a_task_fails_and_runs_again: self.tasks,
            Assets.a_run_reads: self.readers,
            Assets.a_run_ends: self.readers,
            Assets.a_held_version_is_read: self.held,
            Assets.a_held_version_gets_a_tag: self.held,
            Assets.a_sweep_goes_on: self.sweeps,
        }
        return [step for step, weight in WEIGHTS.items() if has.get(step, True) for _ in range(weight)]

    # Time and sweeps

    def _pass(self, seconds: float) -> None:
        self.clock.now += seconds
        self.held = [held for held in self.held if self.clock.now - held.since < WAIT]

    def time_passes(self) -> None:
        self._pass(self._draw([0.5, 3.0, 3600.0, 2 * GRACE, LONG]))

    def _sweep(self, rows: Any = None) -> Iterator[None]:
        options = {"grace": GRACE, "wait": WAIT, "apply": True, "even_all": True}
        return sweep.sweep(rows or self.world.rows, sweep.Report(), **options)

    def a_sweep_begins(self) -> None:
        if len(self.sweeps) < 2:
            self.sweeps.append(self._sweep())

    def a_sweep_goes_on(self) -> None:
        self._go_on(self._draw([1, 2, 10, 50]), float("inf"))

    def _go_on(self, pages: int, seconds: float) -> None:
        sweeping, ends = self._draw(self.sweeps), self.clock.now + seconds
        for _ in range(pages):
            if self.clock.now >= ends:
                break
            if next(sweeping, "ended") == "ended":
                self.sweeps.remove(sweeping)
                break

    def a_sweep_goes_through(self) -> None:
        """After all blobs are old enough, or at once."""
        if self._chance(2):
            self._pass(2 * GRACE)
        self._sweep_all()

    def _sweep_all(self) -> None:
        for _ in self._sweep():
            pass

    # Publishers

    def a_task_publishes(self) -> None:
        """And goes on; its event is to come."""
        self.number += 1
        run = self._draw(["manual", "scheduled", "backfill", "backfill"])
        day = None if run == "manual" else self._draw(range(10))
        self._publish(self._draw([F, G]), f"run {self.number}", run, day)

    def _publish(self, asset: Any, run_id: str, kind: str = "manual", day: int | None = None) -> None:
        keys = PARTITIONS[asset.name]
        keys = self._draw([[key] for key in keys] + [keys])
        ti = self.world.start(run_id, "make", dag_id="producer", outlets=(asset,), kind=kind, day=day)
        self.world.then = self._chosen(self._sweep_all, self._publishing, self.versions_are_retired)
        ends = float("-inf") if day is None else float(day)
        for key in keys:
            self.number += 1
            value, forced = (self.number, key), self._chance(8)
            known = set(self.paths)
            published = publish(
                stored(value, store=self._draw(["default", "other"])), asset, partition=key, latest=forced or None
            )
            (path,) = (self.paths[new] for new in self.paths.keys() - known if self._is_new(new, asset))
            self.made[path] = Made(value, kind != "backfill" or forced, ends)
            if self._chance(3):
                ti.xcom_push("return_value", published)
        self.world.then = None
        self.tasks.append(self.world.context)

    def _is_new(self, number: str, asset: Any) -> bool:
        """Whether it is the path of what has just been published, and not of what was read or swept meanwhile."""
        path = self.paths[number]
        return path not in self.made and path.startswith(f"assets/{asset.name}")

    def _publishing(self) -> None:
        if self.tasks:
            self.a_task_succeeds()

    def _chosen(self, *actions: Callable[[], None]) -> Callable[[], None] | None:
        """One of these to happen meanwhile, or none."""
        return self._draw([None, None, *actions])  # type: ignore[no-any-return]

    def a_task_succeeds(self) -> None:
        self._succeed(self._draw(self.tasks))

    def _succeed(self, task: Any) -> None:
        self.tasks.remove(task)
        self.world.context = task
        for event in self.world.succeed():
            self._queue(event)
        self._end(task)
        self._count("published")

    def _queue(self, event: Event) -> None:
        """The Dag that an asset starts is queued, if there is one."""
        where = {"asset_id": self.world.asset_id(event), "target_dag_id": f"on {event.name}"}
        if self._chance(3) and not self.world.select(QUEUE, **where):
            self.world.insert(QUEUE, **where, created_at=self.world.now.replace(tzinfo=None))

    def a_version_is_made(self) -> None:
        """From beginning to end."""
        self.a_task_publishes()
        self._succeed(self.tasks[-1])

    def a_task_publishes_and_works_for_26_hours(self) -> None:
        self.a_task_publishes()
        task = self.tasks[-1]
        self._pass(LONG)
        self._sweep_all()
        self._succeed(task)
        self._count("long tasks")

    def a_task_fails_and_runs_again(self) -> None:
        """Airflow deletes its XComs when it starts again; it is killed then."""
        task = self._draw(self.tasks)
        self.tasks.remove(task)
        self._clear_xcoms("producer", task["ti"].run_id)
        self._end(task)

    def _end(self, task: Any) -> None:
        self.world.update(RUN, {"dag_id": "producer", "run_id": task["ti"].run_id}, state="success")

    def _clear_xcoms(self, dag_id: str, run_id: str) -> None:
        """As the backend does: pins stay."""
        for (key,) in self.world.select(XCOM.c.key, run_id=run_id, dag_id=dag_id):
            if not key.startswith(PINNED):
                self.world.delete(XCOM, run_id=run_id, dag_id=dag_id, key=key)

    def a_producer_runs_again(self) -> None:
        """It has been cleared, and publishes another version in the same run."""
        runs = self.world.select(EVENT.c.source_run_id, EVENT.c.asset_id)
        busy = {task["ti"].run_id for task in self.tasks}
        if not (idle := [run for run in runs if run[0] not in busy]):
            return
        run_id, number = self._draw(idle)
        self._clear_xcoms("producer", run_id)
        self._publish(F if number == self.world.asset_id(F) else G, run_id)

    # Readers

    def a_manual_run_reads_the_latest(self) -> None:
        asset = self._draw([F, G])
        self.number += 1
        reader = Reader("consumer", f"run {self.number}", asset, self._draw(PARTITIONS[asset.name]))
        self._ask(reader)

    def the_scheduler_starts_a_run(self) -> None:
        """By all events since the last one of the Dag, as Airflow takes them; no task has asked yet."""
        queued = self.world.select(QUEUE.c.asset_id, QUEUE.c.target_dag_id)
        if not queued:
            return
        number, dag_id = self._draw(queued)
        since = self._since(dag_id)
        self.world.delete(QUEUE, asset_id=number, target_dag_id=dag_id)
        self.number += 1
        self.world.now += timedelta(seconds=1)
        run = self.world.run(dag_id, f"run {self.number}", "queued", "asset_triggered")
        for event, sent in self.world.select(EVENT.c.id, EVENT.c.timestamp, asset_id=number):
            if sent > since:
                self.world.insert(LINK, dag_run_id=run, event_id=event)
        self.readers.append(Reader(dag_id, f"run {self.number}", F if dag_id == f"on {F.name}" else G))
        self._count("started")

    def _since(self, dag_id: str) -> datetime:
        before = self.world.select(RUN.c.run_after, dag_id=dag_id, run_type="asset_triggered")
        return max((at for (at,) in before), default=datetime.min)

    def a_run_reads(self) -> None:
        """For the first time, or again, as it was cleared, or another task reads: the same, whatever came since."""
        reader = self._draw(self.readers)
        self.world.update(RUN, {"dag_id": reader.dag_id, "run_id": reader.run_id}, state="running")
        self._ask(reader)
        self._count("read again")

    def _ask(self, reader: Reader) -> None:
        task = self._draw(["first", "second"])
        reader.tries[task] += 1
        again = {"try_number": reader.tries[task], "cleared": sum(reader.tries.values()) - 1}
        events = self._triggers(reader) if reader.is_triggered else []
        kind = "asset_triggered" if reader.is_triggered else "manual"
        self.world.start(
            reader.run_id, task, dag_id=reader.dag_id, kind=kind, triggers=events, schedule=reader.asset, **again
        )
        may_be = self._read(reader, events)
        if reader.found is None:
            self.world.then = self._chosen(
                self._publishing, self.versions_are_retired, self._events_go, self._sweeps_on
            )
        try:
            found = values_of(reader.asset) if reader.is_triggered else latest(reader.asset, partition=reader.partition)
        except RetiredVersionError:
            gone = [paths for paths in (reader.paths, *may_be, *self._read(reader, events)) if paths & self.retired]
            reader.paths = gone[0]  # it has a pin by now
            self._count("told")
        except NoVersionError:
            assert not reader.paths
            assert not self._read(reader, events)
        except LostPinError:
            assert not reader.paths
            assert not events
            self._count("too late")
        else:
            self._compare(reader, found, may_be + self._read(reader, events))
        self.world.then = None
        if reader.found is None:
            self._end_of(reader)

    def _end_of(self, reader: Reader) -> None:
        self.world.update(RUN, {"dag_id": reader.dag_id, "run_id": reader.run_id}, state="failed")

    def _compare(self, reader: Reader, found: Any, may_be: list[frozenset[str]]) -> None:
        values = list(found.values() if type(found) is dict else found if reader.is_triggered else [found])
        if reader.found is not None:
            assert found == reader.found
            return
        wanted = [paths for paths in may_be if sorted(values) == sorted(self.made[path].value for path in paths)]
        assert wanted
        reader.found, reader.paths = found, wanted[0]
        if reader not in self.readers:
            self.readers.append(reader)
        self._count("pinned")

    def _triggers(self, reader: Reader) -> list[Event]:
        """The events that started a run, the oldest first."""
        ((run,),) = self.world.select(RUN.c.id, dag_id=reader.dag_id, run_id=reader.run_id)
        links = {event for (event,) in self.world.select(LINK.c.event_id, dag_run_id=run)}
        found = [event for _, event in self._events() if event.id in links]
        return sorted(found, key=lambda event: (event.timestamp, event.id))

    def _events(self) -> list[tuple[int, Event]]:
        events = self.world.events
        return [(event.id or 0, event) for asset in events.assets() for event in events.events(asset)]

    def _read(self, reader: Reader, events: list[Event]) -> list[frozenset[str]]:
        """What a run may read now that has not yet."""
        if reader.is_triggered:
            newest = {
                self.made[path].value[1] if reader.asset is G else path: path
                for event in events
                for path in self._of_event(event)
            }
            return [frozenset(newest.values())] if newest else []
        found = self._latest(reader.asset, reader.partition)
        return [] if found is None else [frozenset({found})]

    def _of_event(self, event: Event) -> list[str]:
        """The versions of an event; that of a partition names those of others, too."""
        return [path for path in self._named_in(json.dumps(event.extra)) if self.made[path].value[1] == event.partition]

    def _history(self, asset: Any, partition: str | None) -> list[str]:
        """The versions of an asset of which there are events, the newest first."""
        number = self.world.asset_id(asset)
        rows = self.world.select(EVENT.c.timestamp, EVENT.c.id, EVENT.c.extra, asset_id=number, partition_key=partition)
        paths = [path for *_, extra in sorted(rows, key=lambda row: row[:2]) for path in self._named_in(str(extra))]
        return [path for path in paths[::-1] if self.made[path].value[1] == partition]

    def _latest(self, asset: Any, partition: str | None) -> str | None:
        """Of the newest up to one that no backfill made, that of the last interval."""
        newest: list[str] = []
        for path in self._history(asset, partition):
            newest.append(path)
            if self.made[path].settles:
                break
        if newest and self.made[newest[0]].settles:
            return newest[0]
        return max(newest, key=lambda path: self.made[path].ends, default=None)

    def a_run_ends(self) -> None:
        reader = self._draw(self.readers)
        where = {"dag_id": reader.dag_id, "run_id": reader.run_id}
        self.world.update(RUN, where, state=self._draw(["success", "failed"]))

    # People and policies

    def somebody_looks_up_versions(self) -> None:
        if found := self._events():
            number, event = self._draw(found)
            self.held += [Held(number, version, self.clock.now) for version in versions_in(event)]
            self._draw([self._read_held, self._tag, lambda _: None])(self.held[-1])

    def a_held_version_is_read(self) -> None:
        self._read_held(self._draw(self.held))

    def _read_held(self, held: Held) -> None:
        """Without a pin, as from ``versions()``: it is there, or they are told that a policy retired it."""
        path = self._path(held)
        try:
            assert held.version.value() == self.made[path].value
        except RetiredVersionError:
            assert path in self.retired
            self._count("told")

    def a_held_version_gets_a_tag(self) -> None:
        self._tag(self._draw(self.held))

    def _tag(self, held: Held) -> None:
        name = self._draw(TAGS)
        before = set(self.tags)
        try:
            set_tag(held.version, held.number, name, self.world.events.deployment())
        except RetiredVersionError:
            assert self._path(held) in self.retired
            return
        (new,) = self.tags.keys() - before
        key = self.tags[new][0]
        self.tags = {path: tag for path, tag in self.tags.items() if path == new or tag[0] != key}
        self._count("tagged")

    def a_version_gets_a_tag_between_two_looks(self) -> None:
        """Of a sweep, at whose first look nothing may name it any more."""
        busy = {task["ti"].run_id for task in self.tasks}
        if not (found := [each for each in self._events() if each[1].source[1] not in busy]):
            return
        number, event = self._draw(found)
        self._pass(2 * GRACE)
        begins = self.clock.now
        held = Held(number, versions_in(event)[0], begins)
        self.world.delete(EVENT, id=number)
        self.world.delete(LINK, event_id=number)
        self._clear_xcoms("producer", str(event.source[1]))
        sweeping = self._sweep()
        while self.clock.now == begins and next(sweeping, "ended") != "ended":
            pass
        self._tag(held)
        for _ in sweeping:
            pass

    @staticmethod
    def _path(held: Held) -> str:
        assert held.version.envelope.reference is not None
        return held.version.envelope.reference.path

    def a_tag_is_removed(self) -> None:
        if self.tags:
            key = self._draw(sorted({key for key, _ in self.tags.values()}))
            asset = F if key[0] == F.name else G
            remove_tag(asset.name, asset.uri, key[1], self.world.events.deployment())
            self.tags = {path: tag for path, tag in self.tags.items() if tag[0] != key}

    def nothing_is_queued(self) -> None:
        """The Dags that assets start are gone, or have other schedules."""
        self.world.delete(QUEUE)

    def versions_are_retired(self) -> None:
        before, protected = set(self.retired), self._never_retired()
        done = list(retire_versions(self.world.events, self.world.rows, apply=True))
        new = self.retired - before
        assert not any(each.failed for each in done), done
        assert not new & protected
        assert self._due() <= self.retired | protected
        assert sum(each.retired for each in done) == len(new)
        self._count("retired" if new else "none retired")

    def _due(self) -> set[str]:
        """Those that the policy does not keep."""
        pairs = [(asset, key) for asset in (F, G) for key in PARTITIONS[asset.name]]
        return {path for asset, key in pairs for path in self._history(asset, key)[self.kept[asset.name] :]}

    def _never_retired(self) -> set[str]:
        """What must not be, whatever the policy."""
        going = {number for number, state in self.world.select(RUN.c.id, RUN.c.state) if state in {"running", "queued"}}
        needed = {event for run, event in self.world.select(LINK.c.dag_run_id, LINK.c.event_id) if run in going}
        queued = {asset: self._since(dag) for asset, dag in self.world.select(QUEUE.c.asset_id, QUEUE.c.target_dag_id)}
        columns = EVENT.c.id, EVENT.c.asset_id, EVENT.c.timestamp, EVENT.c.extra, EVENT.c.partition_key
        kept = set[str]()
        for number, asset, sent, extra, partition in self.world.select(*columns):
            if number in needed or (asset in queued and sent > queued[asset]):
                kept |= {path for path in self._named_in(str(extra)) if self.made[path].value[1] == partition}
        for asset in (F, G):
            for key in PARTITIONS[asset.name]:
                kept.update(self._history(asset, key)[:1])
                kept.update(filter(None, [self._latest(asset, key)]))
        return kept | self._pinned() | self._tagged()

    # Operators

    def db_clean(self) -> None:
        """Removes the oldest rows, but no XComs of a task that still works; mostly it archives them."""
        self._clean(self._draw([EVENT, EVENT, EVENT, XCOM, STATE]))

    def _events_go(self) -> None:
        self._clean(EVENT)

    def _clean(self, table: Any) -> None:
        busy = {task["ti"].run_id for task in self.tasks}
        rows = [row for row in self.world.select(table) if table is not XCOM or row.run_id not in busy]
        count = self._draw([1, 1, 2, 3, len(rows)])
        archives = not self._chance(3)
        for row in rows[:count]:
            if archives:
                self.world.insert(ARCHIVES[table], **row._mapping)
            self._remove(table, row)
        self._count(f"cleaned {table.name}")

    def _remove(self, table: Any, row: Any) -> None:
        self.world.delete(table, **{column.name: row._mapping[column.name] for column in table.primary_key})
        if table is EVENT:
            self.world.delete(LINK, event_id=row.id)

    def archives_are_dropped(self) -> None:
        self.world.delete(self._draw([*ARCHIVES.values()]))

    def an_archive_is_restored(self) -> None:
        """Those of its rows that no others have replaced."""
        table = self._draw([*ARCHIVES])
        columns = [column.name for column in table.primary_key]
        for row in self.world.select(ARCHIVES[table]):
            key = {name: row._mapping[name] for name in columns}
            self.world.delete(ARCHIVES[table], **key)
            if not self.world.select(table, **key):
                self.world.insert(table, **row._mapping)

    def a_run_is_deleted(self) -> None:
        self._delete_runs(1)

    def a_dag_is_deleted(self) -> None:
        self._delete_runs(1000)

    def _delete_runs(self, most: int) -> None:
        """Of a Dag, whose events stay."""
        dag_id = self._draw(["producer", "consumer", f"on {F.name}", f"on {G.name}"])
        busy = {task["ti"].run_id for task in self.tasks}
        found = [each for each in self.world.select(RUN.c.id, RUN.c.run_id, dag_id=dag_id) if each[1] not in busy]
        if not found:
            return
        first = self._draw(range(len(found)))
        for number, run_id in found[first : first + most]:
            self.world.delete(LINK, dag_run_id=number)
            for table in (XCOM, STATE, RUN):
                self.world.delete(table, run_id=run_id, dag_id=dag_id)
            self.readers = [reader for reader in self.readers if (reader.dag_id, reader.run_id) != (dag_id, run_id)]
        self._count("deleted")

    def a_clone_acts(self) -> None:
        """It has the same configuration, and by now other rows or none: nothing changes."""
        before = [dict(store.whole) for store in self.stores.values()]
        rows = Clone(*self.world.rows.database)
        with pytest.raises(OwnerError):
            list(self._sweep(rows))
        done: list[RetiredVersions] = list(retire_versions(self.world.events, rows, apply=True))
        assert all(each.failed == each.due for each in done)
        for (name, tag), _ in self.tags.values():
            with pytest.raises(OwnerError):
                remove_tag(name, (F if name == F.name else G).uri, tag, ELSEWHERE)
        assert [dict(store.whole) for store in self.stores.values()] == before

    # State

    def a_task_sets_state(self) -> None:
        self.number += 1
        at = {"dag_id": "producer", "run_id": f"run {self._draw(range(1, 4))}", "key": "watermark"}
        ref = written((self.number,), StateCoordinate(**at, task_id="make", map_index=-1))
        if self._chance(3):
            self._sweep_all()  # before the row is there, and within the grace period
        self.world.delete(STATE, **at)
        self.world.insert(STATE, **at, value=json.dumps({WRAPPER: ref}))

    def all_state_is_read(self) -> None:
        for dag_id, run_id, key, value in self.world.select(STATE):
            at = StateCoordinate(dag_id, run_id, "make", -1, key)
            assert read(json.loads(value)[WRAPPER], TASK, at)[0] > 0
            self._count("state read")

    # What may be there, and what must

    def all_is_quiet(self) -> None:
        """Nothing is under way any more; a sweep leaves exactly what something names."""
        self.sweeps.clear()
        for task in self.tasks:
            self._clear_xcoms("producer", task["ti"].run_id)
            self._end(task)
        self.tasks.clear()
        self._pass(2 * GRACE)
        before = self._whole()
        self._sweep_all()
        assert self._whole() == before & self._named()
        self._count("quiet")

    def _sweeps_on(self) -> None:
        """As far as may be within a read, which takes less than the time between two looks."""
        if self.sweeps:
            self._go_on(50, WAIT / 2)

    def _whole(self) -> set[str]:
        return {path for store in self.stores.values() for path in store.whole}

    def _pins(self) -> dict[str, frozenset[str]]:
        """Those of runs that have a row, and what they name."""
        runs = {tuple(row) for row in self.world.select(RUN.c.dag_id, RUN.c.run_id)}
        return {path: named for path, (run, named) in self.pins.items() if run in runs}

    def _pinned(self) -> set[str]:
        return set().union(*self._pins().values())

    def _tagged(self) -> set[str]:
        return set().union(*(named for _, named in self.tags.values()))

    def _in_rows(self) -> tuple[set[str], set[str]]:
        """What rows name that keep a blob, and what those name that keep it until it is retired."""
        firmly, until_retired = set[str](), set[str]()
        for table in (XCOM, ARCHIVES[XCOM]):
            for key, value in self.world.select(table.c.key, table.c.value):
                (until_retired if key.startswith(PUBLISHED) else firmly).update(self._named_in(str(value)))
        for table in (STATE, ARCHIVES[STATE]):
            firmly.update(*(self._named_in(value) for (value,) in self.world.select(table.c.value)))
        for table in (EVENT, ARCHIVES[EVENT]):
            until_retired.update(*(self._named_in(str(extra)) for (extra,) in self.world.select(table.c.extra)))
        return firmly, until_retired

    def _named(self) -> set[str]:
        """Everything that a sweep is to leave."""
        firmly, until_retired = self._in_rows()
        firmly |= self._pinned() | self._tagged()
        stones = {"retired" + path.removeprefix("assets") for path in (firmly | until_retired) & self.retired}
        return firmly | until_retired - self.retired | stones | self._pins().keys() | self.tags.keys() | {OWNER}

    @invariant()
    def every_version_that_may_be_read_is_there(self) -> None:
        type(self).steps += 1
        assert self._named() - self.late <= self._whole()


WEIGHTS: dict[Callable[[Assets], None], int] = {
    Assets.time_passes: 2,
    Assets.a_sweep_begins: 2,
    Assets.a_sweep_goes_on: 5,
    Assets.a_sweep_goes_through: 4,
    Assets.a_task_publishes: 8,
    Assets.a_task_publishes_and_works_for_26_hours: 1,
    Assets.a_task_succeeds: 8,
    Assets.a_version_is_made: 16,
    Assets.a_task_fails_and_runs_again: 1,
    Assets.a_producer_runs_again: 3,
    Assets.a_manual_run_reads_the_latest: 4,
    Assets.the_scheduler_starts_a_run: 5,
    Assets.a_run_reads: 8,
    Assets.a_run_ends: 4,
    Assets.somebody_looks_up_versions: 6,
    Assets.a_held_version_is_read: 2,
    Assets.a_held_version_gets_a_tag: 4,
    Assets.a_version_gets_a_tag_between_two_looks: 2,
    Assets.a_tag_is_removed: 1,
    Assets.nothing_is_queued: 3,
    Assets.versions_are_retired: 8,
    Assets.db_clean: 4,
    Assets.archives_are_dropped: 1,
    Assets.an_archive_is_restored: 1,
    Assets.a_run_is_deleted: 2,
    Assets.a_dag_is_deleted: 1,
    Assets.a_clone_acts: 1,
    Assets.a_task_sets_state: 3,
    Assets.all_state_is_read: 1,
    Assets.all_is_quiet: 2,
}
REACHED = {"published", "started", "pinned", "read again", "tagged", "retired", "deleted", "quiet"}


def test_no_version_that_may_be_read_is_lost_and_none_stays_that_nothing_names(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "airflow_xcom.backend")
    backend.options(path="memory://default", stores=json.dumps({"other": "memory://other"}), threshold=0)
    for name, size in {"_PAGE": 2, "_BATCH": 2, "_THREADS": 1, "_FRESH": WAIT}.items():
        monkeypatch.setattr(sweep, name, size)
    monkeypatch.setattr(pins, "ThreadPoolExecutor", AtOnce)

    reflected = lru_cache(100)(tables.reflected)
    for module in (tables, xcom_rows, asset_versions, state_rows):
        monkeypatch.setattr(module, "reflected", reflected)  # a third of the time otherwise

    def make(machine: Assets) -> Interrupted:
        monkeypatch.setattr(stores_module, "_open", lambda url, *_, **__: machine.stores[url])
        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: machine.clock.now, sleep=machine._pass))
        return Interrupted(monkeypatch)

    Assets.make = staticmethod(make)
    Assets.steps, Assets.seen = 0, Counter()
    options: dict[str, Any] = {"max_examples": EXAMPLES, "stateful_step_count": STEPS, "deadline": None}
    run_state_machine_as_test(Assets, settings=settings(**options, suppress_health_check=list(HealthCheck)))
    sys.stdout.write(f"{Assets.steps:,} steps: {dict(Assets.seen)}\n")
    assert Assets.steps > EXAMPLES * STEPS / 4, Assets.steps  # Hypothesis makes some examples short
    assert Assets.seen.keys() >= REACHED

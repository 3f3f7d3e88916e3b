"""Tasks, operators, clocks and sweeps in any order: no live value is ever lost, and in the end no orphan is left.

The stores are in memory; the pushes, the rows and the sweeps are the real ones, the rows in SQLite.  A sweep goes on
by one page or batch at a time, so that everything else, another sweep included, may happen between any two of them.

``CLEANUP_EXAMPLES=160`` in the environment makes it more than 20,000 steps.

What a push may rely on (docs/CLEANUP.md): its row comes within ``GRACE`` of its beginning by the store's clock, or
within ``WAIT`` whatever the clocks do.  One that takes longer is killed here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from conftest import Backend
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from airflow_xcom.backend import CodecXComBackend, blobs, pull
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Coordinate, Envelope, Reference
from airflow_xcom.backend.errors import (
    ForeignReferenceError,
    MissingPayloadError,
    OwnerError,
    RetiredPayloadError,
)
from airflow_xcom.backend.maintenance import sweep
from airflow_xcom.backend.maintenance.ownership import OWNER
from airflow_xcom.backend.maintenance.retain import retain
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError
from airflow_xcom.backend.ui import api_server

EXAMPLES, STEPS = int(os.environ.get("CLEANUP_EXAMPLES", "50")), 200
GRACE, WAIT = 50.0, 5.0
PLACES = st.tuples(st.sampled_from(["flights", "trains"]), st.sampled_from(["first", "second"]), st.integers(0, 2))
RUNS = st.tuples(st.sampled_from(["flights", "trains"]), st.sampled_from(["first", "second"]))
TABLES = """
create table xcom (dag_run_id integer, task_id text, map_index integer, key text, dag_id text, run_id text,
    timestamp datetime, value json, primary key (dag_run_id, task_id, map_index, key));
create table _airflow_deleted__xcom__1 as select * from xcom where false;
create table dag_run (id integer primary key, dag_id text, run_id text, state text, end_date datetime);
create table task_instance (id integer primary key, dag_id text, run_id text, state text);
create table dag_tag (dag_id text, name text);
insert into dag_run values (1, 'flights', 'first', 'success', '2024-01-01 00:00:00.000000');
insert into dag_run values (2, 'flights', 'second', 'success', '2024-01-02 00:00:00.000000');
insert into dag_run values (3, 'trains', 'first', 'failed', '2024-01-01 00:00:00.000000');
insert into dag_run values (4, 'trains', 'second', 'success', '2024-01-02 00:00:00.000000');
insert into dag_tag values ('flights', 'xcom:keep=1runs');
insert into dag_tag values ('trains', 'xcom:keep-failed=0s')"""
RETIRED = {("flights", "first"), ("trains", "first")}  # by these tags

AT = "dag_id = ? and run_id = ? and map_index = ?"
ARCHIVE = "_airflow_deleted__xcom__1"

RunKey = tuple[str, str]
Place = tuple[str, str, int]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Clocks:
    """Time as it passes, and what the stores' clocks make of it."""

    true: float = 0.0
    ahead: float = 1e6  # of the stores

    def monotonic(self) -> float:
        return self.true

    @property
    def store(self) -> float:
        return self.true + self.ahead


@dataclass
class MemoryStore:
    """A store whose blobs have the time when their writing began, and are unfinished until they are published."""

    url: str
    clocks: Clocks
    whole: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    parts: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    publishes: bool = True
    deletes_left: float = float("inf")
    host = None
    ttl = None

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        content = b"".join(map(bytes, chunks)), self.clocks.store
        if self.publishes:
            self.whole[path] = content
        else:
            folder, _, name = path.rpartition("/")
            self.parts[f"{folder}/.{name}.tmp"] = content

    def publish(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self.whole[path] = self.parts.pop(f"{folder}/.{name}.tmp")

    def get(self, path: str) -> memoryview:
        if path == OWNER:
            return memoryview(bytearray(json.dumps(asdict(HERE)).encode()))
        if path not in self.whole:
            raise BlobNotFoundError(path)
        return memoryview(bytearray(self.whole[path][0]))

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        raise NotImplementedError

    def delete(self, path: str) -> bool:
        if self.deletes_left <= 0:
            raise Killed
        self.deletes_left -= 1
        return self.whole.pop(path, None) is not None or self.parts.pop(path, None) is not None

    def list(self, prefix: str = "") -> Iterator[Blob]:
        yield from (blob for blob in self.scan() if blob.path.startswith(prefix) and blob.path in self.whole)

    def scan(self) -> Iterator[Blob]:
        for path, (content, begun) in [*self.whole.items(), *self.parts.items()]:
            yield Blob(path, len(content), begun)

    def prune(self, before: float) -> None:
        pass


@dataclass
class Write:
    """A push, or the copy of a blob to the other store, whose row is to come."""

    place: Place
    path: str
    store: MemoryStore
    begun: float
    row: Any
    replaces: Any = None
    jumped: float = 0.0

    def may_go_on(self, now: float) -> bool:
        passed = now - self.begun
        return passed < WAIT or passed + self.jumped < GRACE


@dataclass
class Reading:
    """A row that a task has read, and whose payload it has not."""

    place: Place
    row: Any
    begun: float
    is_ahead: bool  # as many of a mapped task's are, however long before their payloads


HERE = Deployment("of both", "here")


class Production(Rows):
    """The rows of the Airflow that the stores belong to."""

    def deployment(self, *, create: bool = False) -> Deployment:
        assert not create
        return HERE


class Clone(Rows):
    """Those of a clone of its database, which are gone by now."""

    def deployment(self, *, create: bool = False) -> Deployment:
        assert not create
        return replace(HERE, place="elsewhere")

    def candidates(self, runs: Any = None) -> Iterator[Any]:
        del runs
        return iter(())


class Cleanup(RuleBasedStateMachine):
    """What happens to the XComs of an Airflow."""

    set_store: Any = None  # makes the backend write to the memory store of a name
    use: Any = None  # makes the backend and the sweep use these stores and clocks
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.clocks = Clocks()
        self.stores = {name: MemoryStore(f"memory://{name}", self.clocks) for name in ("default", "other")}
        type(self).use(self)
        self.engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
        for statement in TABLES.split(";"):
            self._execute(statement)
        self.source = Production(self.engine, page=2)
        self.runs = Runs(self.engine)
        self.rows: dict[Place, Any] = {}  # what the database holds, known independently of it
        self.writes: list[Write] = []
        self.readings: list[Reading] = []
        self.sweeps: list[Iterator[None]] = []
        self.superseded: list[tuple[Place, Any, float]] = []  # rows that were replaced or deleted, and when
        self.archived: dict[Place, Any] = {}
        self.number = 0
        self.pushed: dict[int, Place] = {}  # for which XCom each value was

    def teardown(self) -> None:
        self.sweeps.clear()
        self.engine.dispose()

    # What the database does, and the same to what is known of it

    def _execute(self, statement: str, *parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement, parameters)

    def _put_row(self, place: Place, row: Any) -> None:
        self._supersede(place)
        dag, run, index = place
        self._execute(
            "insert or replace into xcom select id, 'extract', ?, 'return_value', dag_id, run_id, null, ? "
            "from dag_run where dag_id = ? and run_id = ?",
            *(index, json.dumps(row), dag, run),
        )
        self.rows[place] = row

    def _delete_rows(self, places: Iterable[Place]) -> None:
        for place in places:
            self._supersede(place)
            self._execute(f"delete from xcom where {AT}", *place)
            del self.rows[place]

    def _supersede(self, place: Place) -> None:
        if place in self.rows:
            self.superseded.append((place, self.rows[place], self.clocks.true))

    def _stored(self) -> dict[Place, Any]:
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql("select dag_id, run_id, map_index, value from xcom").fetchall()
        return {(row[0], row[1], row[2]): json.loads(row[3]) for row in found}

    # Time

    def _pass(self, seconds: float) -> None:
        self.clocks.true += seconds
        self._kill_late_writes()
        self.readings = [one for one in self.readings if one.is_ahead or self.clocks.true - one.begun < WAIT]
        self.superseded = [one for one in self.superseded if self.clocks.true - one[-1] < WAIT]

    def _kill_late_writes(self) -> None:
        self.writes = [write for write in self.writes if write.may_go_on(self.clocks.true)]

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 2 * GRACE]))
    def time_passes(self, seconds: float) -> None:
        self._pass(seconds)

    @rule(seconds=st.sampled_from([-1000.0, -10.0, 10.0, 1000.0, 1000.0]))
    def a_clock_jumps(self, seconds: float) -> None:
        self.clocks.ahead += seconds
        for write in self.writes:
            write.jumped += max(0.0, seconds)
        self._kill_late_writes()

    # Tasks

    @rule(place=PLACES, store=st.sampled_from(["default", "other"]))
    def a_push_begins(self, place: Place, store: str) -> None:
        self.number += 1
        self.pushed[self.number] = place
        type(self).set_store(store)
        self.stores[store].publishes = False
        dag, run, index = place
        row = CodecXComBackend.serialize_value(
            (self.number,), dag_id=dag, run_id=run, task_id="extract", map_index=index, key="return_value"
        )
        self.stores[store].publishes = True
        (path,) = paths_of(row)
        self.writes.append(Write(place, path, self.stores[store], self.clocks.true, row))

    @rule(places=st.lists(PLACES, min_size=1, max_size=4), store=st.sampled_from(["default", "other"]))
    def tasks_push(self, places: list[Place], store: str) -> None:
        """From beginning to end, with nothing between."""
        for place in places:
            self.a_push_begins(place, store)
            write = self.writes.pop()
            write.store.publish(write.path)
            self._put_row(place, write.row)

    @rule(place=PLACES, store=st.sampled_from(["default", "other"]))
    def a_task_pushes_outputs(self, place: Place, store: str) -> None:
        """Under two keys, whose rows are gone at once, and then the dict, whose row alone refers to their payloads."""
        self.number += 1
        self.pushed[self.number] = place
        type(self).set_store(store)
        dag, run, index = place
        value = {"number": (self.number,), "more": [(self.number,)]}
        for key, item in (*value.items(), ("return_value", value)):
            row = CodecXComBackend.serialize_value(
                item, dag_id=dag, run_id=run, task_id="extract", map_index=index, key=key
            )
        assert len(paths_of(row)) == len(value)
        self._put_row(place, row)

    @precondition(lambda self: self.writes)
    @rule(data=st.data(), commits=st.booleans())
    def a_write_goes_on(self, data: st.DataObject, commits: bool) -> None:
        write = self.writes[data.draw(st.integers(0, len(self.writes) - 1))]
        if write.path not in write.store.whole:
            write.store.publish(write.path)  # a KeyError if a sweep took it away
            if not commits:
                return
        self.writes.remove(write)
        if write.replaces is None or self.rows.get(write.place) == write.replaces:
            self._put_row(write.place, write.row)

    @precondition(lambda self: self.writes)
    @rule(data=st.data())
    def a_writer_is_killed(self, data: st.DataObject) -> None:
        self.writes.pop(data.draw(st.integers(0, len(self.writes) - 1)))

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), is_ahead=st.booleans())
    def a_task_reads_a_row(self, data: st.DataObject, is_ahead: bool) -> None:
        place = self._draw_place(data)
        self.readings.append(Reading(place, self.rows[place], self.clocks.true, is_ahead))

    @precondition(lambda self: self.readings)
    @rule(data=st.data())
    def a_task_reads_the_payload(self, data: st.DataObject) -> None:
        """A row that was read ahead is read again where its payload is missing, which a migration may have moved."""
        self._read(self.readings.pop(data.draw(st.integers(0, len(self.readings) - 1))))

    def _read(self, reading: Reading) -> None:
        rows = [row for row in (reading.row, self.rows.get(reading.place)) if row is not None]
        first = replace(self._deferred(reading.place, reading.row), again=lambda: self._read_again(reading.place))
        try:
            value = next(pull.concurrently([first], pull.Deferred.value))
            (number,) = value["number"] if type(value) is dict else value
        except ForeignReferenceError:
            assert any(is_foreign(reading.place, row) for row in rows)
        except RetiredPayloadError:
            assert any(is_retired(row) for row in rows)
        except MissingPayloadError:
            assert reading.is_ahead, "it was read less than the time between two looks ago"
            now = self.rows.get(reading.place)
            assert now is None or is_foreign(reading.place, now), "what is there now can be read"
        else:
            assert self.pushed[number] == reading.place, "no other XCom's value is read"

    def _read_again(self, place: Place) -> list[Any]:
        return [self._deferred(place, self.rows[place])] if place in self.rows else []

    def _deferred(self, place: Place, row: Any) -> Any:
        dag, run, index = place
        asked = pull.asking(dag_id=dag, run_id=run, task_id="extract", map_index=index, key="return_value")
        with asked, pull.deferring():
            return CodecXComBackend.deserialize_value(SimpleNamespace(value=row, key="return_value"))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def a_task_runs_again(self, data: st.DataObject) -> None:
        """It purges what it pushed before, as Airflow has it do when it starts."""
        place = self._draw_place(data)
        CodecXComBackend.purge(SimpleNamespace(value=self.rows[place], key="return_value"))
        self._delete_rows([place])

    @precondition(lambda self: self.superseded)
    @rule(data=st.data())
    def a_request_to_set_an_xcom_is_repeated_late(self, data: st.DataObject) -> None:
        """That of an earlier try, after a later one has pushed: the API server checks no number of the try."""
        place, row, _ = self.superseded[data.draw(st.integers(0, len(self.superseded) - 1))]
        self._put_row(place, row)

    # Operators

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), how_many=st.sampled_from([1, 2, 3]))
    def rows_are_deleted(self, data: st.DataObject, how_many: int) -> None:
        """An entry, a run, or a Dag."""
        chosen = self._draw_place(data)
        self._delete_rows([place for place in self.rows if place[-how_many::-1] == chosen[-how_many::-1]])

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def a_row_is_archived(self, data: st.DataObject) -> None:
        """By ``airflow db clean``."""
        place = self._draw_place(data)
        if place not in self.archived:
            self._execute(f"insert into {ARCHIVE} select * from xcom where {AT}", *place)
            self.archived[place] = self.rows[place]
            self._execute(f"delete from xcom where {AT}", *place)
            del self.rows[place]

    @precondition(lambda self: self.archived)
    @rule(data=st.data(), drops=st.booleans())
    def an_archived_row_is_restored_or_dropped(self, data: st.DataObject, drops: bool) -> None:
        place = data.draw(st.sampled_from(sorted(self.archived)))
        row = self.archived.pop(place)
        if not drops:
            self._put_row(place, row)
        self._execute(f"delete from {ARCHIVE} where {AT}", *place)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), place=PLACES)
    def a_row_is_copied(self, data: st.DataObject, place: Place) -> None:
        """By hand, in the database, but never back to its origin: a copy in another run protects no payload there."""
        row = self.rows[self._draw_place(data)]
        if is_foreign(place, row):
            self._put_row(place, row)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), place=PLACES, is_forged=st.booleans())
    def an_envelope_is_sent_to_the_rest_api(self, data: st.DataObject, place: Place, is_forged: bool) -> None:
        """By somebody who may edit the XComs of a Dag: that of another XCom, perhaps with its origin changed."""
        content = self.rows[self._draw_place(data)]["airflow_xcom"]
        dag, run, index = place
        row = {"airflow_xcom": {**content, **({"of": origin(place)} if is_forged else {})}}
        body = json.dumps({"value": row, "map_index": index}).encode()
        refused = api_server._objection(body, dag, run, "extract", "return_value") is not None
        if is_retired(row):
            assert refused == is_foreign(place, row)
        else:
            assert refused == ((is_forged and content["of"] != origin(place)) or is_foreign(place, row))
        if not refused and is_retired(row):
            self._put_row(place, row)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def a_payload_moves_to_another_store(self, data: st.DataObject) -> None:
        """As the command migrate has it: a copy, which then replaces the reference in its row."""
        self._begin_to_move(self._draw_place(data))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def a_payload_moves_and_is_swept_after_its_row_is_read(self, data: st.DataObject) -> None:
        place = self._draw_place(data)
        reading = Reading(place, self.rows[place], self.clocks.true, is_ahead=True)
        moving = len(self.writes)
        self._begin_to_move(place)
        for write in self.writes[moving:]:
            self._put_row(place, write.row)
        del self.writes[moving:]
        self._pass(2 * GRACE)
        for _ in self._sweep():
            pass
        self._read(reading)

    def _begin_to_move(self, place: Place) -> None:
        envelope = Envelope.from_json(self.rows[place])
        assert envelope is not None
        if envelope.reference is None:
            if envelope.items:
                self._move_at_once(place, envelope)
            return
        target = "other" if envelope.reference.store == "default" else "default"
        try:
            copy = blobs.copy_blob(envelope.reference, envelope.coordinate, target)
        except MissingPayloadError:
            assert is_foreign(place, self.rows[place])
            return
        row = {"airflow_xcom": {**self.rows[place]["airflow_xcom"], "ref": copy.to_json()}}
        write = Write(place, copy.path, self.stores[target], self.clocks.true, row, replaces=self.rows[place])
        self.writes.append(write)

    def _move_at_once(self, place: Place, envelope: Envelope) -> None:
        def copy(reference: Reference, at: Coordinate) -> Reference:
            return blobs.copy_blob(reference, at, "other" if reference.store == "default" else "default")

        try:
            self._put_row(place, envelope.copied(envelope.coordinate, copy).to_json())
        except MissingPayloadError:
            assert is_foreign(place, self.rows[place])

    @precondition(lambda self: self.rows.keys() & {(*run, index) for run in RETIRED for index in range(3)})
    @rule(dag=st.sampled_from(["flights", "trains"]))
    def values_are_retired(self, dag: str) -> None:
        """By the tags of their Dag."""
        old = {place for place in self.rows if place[:2] in RETIRED and place[0] == dag}
        (done,) = retain(self.runs, [dag], apply=True)

        assert (done.changed, done.failed) == (0, 0)
        stored = self._stored()
        assert {place for place in stored if stored[place] != self.rows[place]} <= old
        assert all(is_retired(stored[place]) for place in old)
        for place in old:
            self._supersede(place)
        self.rows = stored

    # Sweeps

    @precondition(lambda self: len(self.sweeps) < 3)
    @rule(runs=st.none() | st.lists(RUNS, min_size=1, max_size=2))
    def a_sweep_begins(self, runs: list[RunKey] | None) -> None:
        self.sweeps.append(self._sweep(runs))

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data(), pages=st.sampled_from([1, 2, 10, 50]))
    def a_sweep_goes_on(self, data: st.DataObject, pages: int) -> None:
        number = data.draw(st.integers(0, len(self.sweeps) - 1))
        for _ in range(pages):
            if next(self.sweeps[number], "ended") == "ended":
                del self.sweeps[number]
                break

    @rule(runs=st.none() | st.lists(RUNS, min_size=1, max_size=2))
    def a_sweep_goes_through(self, runs: list[RunKey] | None) -> None:
        """Between two steps of everything else, but for the time that it takes."""
        for _ in self._sweep(runs):
            pass

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data(), deletes=st.integers(0, 3))
    def a_sweep_is_killed(self, data: st.DataObject, deletes: int) -> None:
        """Here, or after a few more deletions."""
        running = self.sweeps.pop(data.draw(st.integers(0, len(self.sweeps) - 1)))
        for store in self.stores.values():
            store.deletes_left = deletes
        try:
            for _ in range(deletes * 3):
                next(running, None)
        except Killed:
            pass
        for store in self.stores.values():
            store.deletes_left = float("inf")

    @rule(place=PLACES, store=st.sampled_from(["default", "other"]), pages=st.integers(0, 40), is_of_run=st.booleans())
    def a_sweep_overtakes_a_push(self, place: Place, store: str, pages: int, is_of_run: bool) -> None:
        """For a clock jumps ahead and makes the blob an old one; the row comes while the sweep goes on."""
        self.a_push_begins(place, store)
        write = self.writes[-1]
        write.store.publish(write.path)
        self.a_clock_jumps(1000.0)
        running = self._sweep([place[:2]] if is_of_run else None)
        for _ in range(pages):
            next(running, None)
        if any(one is write for one in self.writes):
            self.writes.remove(write)
            self._put_row(place, write.row)
        for _ in running:
            pass

    @rule(runs=st.none() | st.lists(RUNS, min_size=1, max_size=2))
    def a_clone_sweeps(self, runs: list[RunKey] | None) -> None:
        """It has the same id and configuration, and by now other rows or none."""
        before = [dict(store.whole) for store in self.stores.values()]
        clone = Clone(self.engine)
        with pytest.raises(OwnerError):
            list(sweep.sweep(clone, sweep.Report(), runs=runs, grace=GRACE, wait=WAIT, apply=True, even_all=True))
        assert [dict(store.whole) for store in self.stores.values()] == before

    @rule(run=RUNS)
    def all_is_quiet(self, run: RunKey) -> None:
        """Nothing is under way any more, time passes, and two more sweeps leave exactly what is referenced.

        That of a run takes what no row of the run refers to, and the other what no row does.
        """
        self.writes.clear()
        self.sweeps.clear()
        newest = max((blob.modified for store in self.stores.values() for blob in store.scan()), default=0.0)
        self._pass(max(0.0, newest + GRACE + 1 - self.clocks.store))
        whole = self._whole()
        for _ in self._sweep([run]):
            pass
        of_run = {path for path in whole if path.startswith("/".join(run) + "/")}
        assert whole - self._whole() == of_run - self._referenced(run)
        whole = self._whole()
        for _ in self._sweep():
            pass
        left = {blob.path for store in self.stores.values() for blob in store.scan()}
        assert left == self._referenced() & whole

    def _sweep(self, runs: list[RunKey] | None = None) -> Iterator[None]:
        return sweep.sweep(self.source, sweep.Report(), runs=runs, grace=GRACE, wait=WAIT, apply=True, even_all=True)

    def _draw_place(self, data: st.DataObject) -> Place:
        return data.draw(st.sampled_from(sorted(self.rows)))

    @invariant()
    def every_live_value_is_there(self) -> None:
        type(self).steps += 1
        own = [paths_of(row) for place, row in self._rows() if not is_foreign(place, row)]
        assert set().union(*own) <= self._whole()

    def _whole(self) -> set[str]:
        return {path for store in self.stores.values() for path in store.whole}

    def _referenced(self, run: RunKey | None = None) -> set[str]:
        return set().union(*(paths_of(row) for place, row in self._rows() if run in {None, place[:2]}))

    def _rows(self) -> Iterator[tuple[Place, Any]]:
        for rows in (self.rows, self.archived):
            yield from rows.items()


def origin(place: Place) -> list[Any]:
    return [*place[:2], "extract", place[2], "return_value"]


def is_foreign(place: Place, row: Any) -> bool:
    """Whether the row is not one that the XCom's own task has written."""
    return bool(row["airflow_xcom"]["of"] != origin(place))


def is_retired(row: Any) -> bool:
    return "retired" in row["airflow_xcom"]


def paths_of(row: Any) -> set[str]:
    """Where the payloads of a row are; nowhere if its value was retired."""
    content = row["airflow_xcom"]
    parts = content.get("items", [content])
    return {str(part["ref"]["path"]) for part in parts if "ref" in part}


def test_no_live_value_is_lost_and_no_orphan_stays(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "airflow_xcom.backend")
    backend.options(threshold=0)
    names = {"default": "memory://default", "other": "memory://other"}
    backend.options(path=names["default"], stores=json.dumps({"other": names["other"]}))
    from airflow_xcom.backend.settings import settings as options

    both = {name: replaced(options(), name) for name in names}
    for name, size in {"_PAGE": 2, "_BATCH": 2, "_THREADS": 1, "_FRESH": WAIT}.items():
        monkeypatch.setattr(sweep, name, size)
    current = {"name": "default"}

    def use(world: Cleanup) -> None:
        def opened(url: str) -> MemoryStore:
            return world.stores[url.removeprefix("memory://")]

        for module in (blobs, sweep):
            monkeypatch.setattr(module, "open_store", opened)
        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=world.clocks.monotonic, sleep=world._pass))

    for name, module in list(sys.modules.items()):
        if name.startswith("airflow_xcom.backend.") and getattr(module, "settings", None) is options:
            monkeypatch.setattr(module, "settings", lambda: both[current["name"]])
    Cleanup.set_store = staticmethod(lambda name: current.update(name=name))
    Cleanup.use = staticmethod(use)
    Cleanup.steps = 0
    run_state_machine_as_test(
        Cleanup,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.stdout.write(f"{Cleanup.steps:,} steps\n")
    assert Cleanup.steps > EXAMPLES * STEPS / 4, Cleanup.steps  # Hypothesis makes some examples short


def replaced(options: Any, name: str) -> Any:
    """The options, with the store of this name as the one that is written to."""
    return replace(options, path=options.stores[name], name=name)

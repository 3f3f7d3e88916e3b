"""The state store, through Airflow's own accessors and tables: exact, bound to its key, and no blob is lost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
import state_tables
from airflow.sdk.execution_time import context
from catalogue import CATALOGUE
from conftest import Backend
from owners import adopted
from state_tables import Supervisor, of_asset, of_task, of_uri
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture
from test_sweep import swept
from values import VALUES

from airflow_xcom.backend import (
    CodecStateStore,
    ForeignReferenceError,
    ForeignStateError,
    ForgedReferenceError,
    MissingPayloadError,
    SettingsError,
    stored,
)
from airflow_xcom.backend.assets import state_store
from airflow_xcom.backend.compat import base_state_store
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Coordinate, is_path_of, unique_path
from airflow_xcom.backend.maintenance.rest_rows import RestRows
from airflow_xcom.backend.pull import prepare
from airflow_xcom.backend.state_coordinate import WRAPPER, StateCoordinate
from airflow_xcom.codecs import CorruptPayloadError, EncodeError, UnsupportedTypeError, registry
from airflow_xcom.codecs.testing import difference

on_sqlite = pytest.mark.parametrize("migrated", ["sqlite"], indirect=True)
FRAME = pd.DataFrame({"x": np.arange(10_000) / 7}, index=pd.date_range("2024", periods=10_000, freq="h", tz="UTC"))
KEYS = ["k", "/..", "../../../etc/passwd", "a/b c%2F", "é" * 200, "k" * 512, ".hidden", "~", "\\x"]


@pytest.fixture
def supervisor(
    migrated: Metadata,  # noqa: F811
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Supervisor]:
    with state_tables.supervised(migrated.engine, monkeypatch) as supervisor:
        yield supervisor


def accessors(supervisor: Supervisor) -> dict[str, Any]:
    return {"task_state_store": of_task(supervisor), "asset_state_store": of_asset()}


def content(row: Any) -> Any:
    return json.loads(row[WRAPPER])


# Values


@pytest.fixture
def _allowed() -> Iterator[None]:
    """The classes of the catalogue may be restored, as [core] allowed_deserialization_classes would say."""
    prepare()
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith("test_classes."))
    yield
    registry.allow_classes(before)


@pytest.mark.slow
@pytest.mark.usefixtures("_allowed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", CATALOGUE)
@pytest.mark.parametrize("threshold", [-1, 0], ids=["in the row", "offloaded"])
@pytest.mark.parametrize("migrated", ["sqlite", "postgresql"], indirect=True)
def test_no_value_of_the_catalogue_is_changed_in_either_table(
    supervisor: Supervisor, backend: Backend, threshold: int, family: str
) -> None:
    """All but None, which Airflow itself refuses."""
    backend.options(threshold=threshold, durable=False)
    kept, changed = set(), []
    for table, accessor in accessors(supervisor).items():
        for name, make in CATALOGUE[family].items():
            if (family, name) == ("JSON natives", "none"):
                continue
            try:
                accessor.set("k", make())
            except EncodeError:
                with pytest.raises(EncodeError):  # as an XCom, it is refused, too
                    backend.push(make())
                continue
            kept.add(name)
            if (found := difference(make(), accessor.get("k"))) is not None:
                changed.append(f"{table}, {name}: {found}")
    assert changed == []
    assert len(kept) > len(CATALOGUE[family]) // 2


@on_sqlite
def test_mixtures_come_back_exact(supervisor: Supervisor, backend: Backend) -> None:
    backend.options(threshold=1000, durable=False)
    for name, make in VALUES.items():
        of_asset().set("k", make())
        assert difference(make(), of_asset().get("k")) is None, name


@on_sqlite
def test_none_is_refused_as_airflow_does(supervisor: Supervisor) -> None:
    for accessor in accessors(supervisor).values():
        with pytest.raises(ValueError, match="None"):
            accessor.set("k", None)
    with pytest.raises(ValueError, match="None"):
        asyncio.run(of_asset().aset("k", None))
    assert supervisor.rows("asset_state_store") == []


@on_sqlite
def test_what_cannot_be_kept_is_refused_and_leaves_the_row(supervisor: Supervisor) -> None:
    for table, accessor in accessors(supervisor).items():
        accessor.set("k", (1, 2))
        with pytest.raises(UnsupportedTypeError, match="state of .* key=k"):
            accessor.set("k", threading.Lock())
        assert accessor.get("k") == (1, 2)
        assert len(supervisor.rows(table)) == 1


@on_sqlite
def test_a_key_may_be_any_text_and_stays_in_its_folder(supervisor: Supervisor, backend: Backend) -> None:
    backend.options(threshold=0)
    for accessor in accessors(supervisor).values():
        for number, key in enumerate(KEYS):
            accessor.set(key, (number,))
        assert [accessor.get(key) for key in KEYS] == [(number,) for number in range(len(KEYS))]
    files = [path.relative_to(backend.folder).parts for path in backend.blobs()]
    assert len(files) == 2 * len(KEYS)
    for state, scope, name in files:
        assert state == "state"
        assert not scope.startswith(".")
        assert not name.startswith(".")
        assert len(name) <= 255 - len(".") - len(".tmp")


@on_sqlite
def test_hints_and_options_are_those_of_xcoms(supervisor: Supervisor, backend: Backend) -> None:
    state = of_asset()
    state.set("k", stored((1, 2), inline=False, compression="zstd"))
    assert state.get("k") == (1, 2)
    assert len(backend.blobs()) == 1
    state.set("k", stored(FRAME, inline=True))
    assert difference(FRAME, state.get("k")) is None
    assert len(backend.blobs()) == 1
    assert set(content(supervisor.rows("asset_state_store")[0])["airflow_xcom"]) >= {"data"}


@on_sqlite
def test_small_json_stands_in_the_row_as_itself(supervisor: Supervisor) -> None:
    of_asset().set("k", {"job": "a-1", "rows": [1, 2.5, None, True]})
    assert supervisor.rows("asset_state_store") == [{WRAPPER: '{"job": "a-1", "rows": [1, 2.5, null, true]}'}]


@pytest.mark.slow
@pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)
def test_a_frame_of_100_megabytes(supervisor: Supervisor) -> None:
    frame = pd.DataFrame(np.arange(100 << 17).reshape(-1, 8) / 7)
    assert frame.memory_usage(index=False).sum() == 100 << 20
    for table, accessor in accessors(supervisor).items():
        accessor.set("k", frame)
        assert len(json.dumps(supervisor.rows(table))) < 2000
        assert difference(frame, accessor.get("k")) is None


# Life


@on_sqlite
def test_nothing_is_deleted_at_once(supervisor: Supervisor, backend: Backend) -> None:
    backend.options(threshold=0)
    for table, accessor in accessors(supervisor).items():
        accessor.set("k", (1,))
        accessor.set("k", (2,))
        accessor.set("other", (3,))
        accessor.delete("k")
        assert accessor.get("k", "nothing") == "nothing"
        assert accessor.get("other") == (3,)
        accessor.clear()
        assert supervisor.rows(table) == []
    assert len(backend.blobs()) == 6


@on_sqlite
def test_a_missing_blob_is_an_error_and_never_a_value(supervisor: Supervisor, backend: Backend) -> None:
    for accessor in accessors(supervisor).values():
        accessor.set("k", FRAME)
        backend.blobs()[0].unlink()
        with pytest.raises(MissingPayloadError, match=r"gone .*\[state of .* key=k\]"):
            accessor.get("k", "default")


ARCHIVE = "_airflow_deleted__task_state_store__20260101000000"


@pytest.mark.parametrize("migrated", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_sweep_leaves_what_any_row_refers_to_and_takes_the_rest(supervisor: Supervisor, backend: Backend) -> None:
    """Rows of both tables, and those of a run that `airflow db clean` has archived."""
    backend.options(threshold=0, durable=False)
    for accessor in accessors(supervisor).values():
        accessor.set("deleted", (0,))
        accessor.delete("deleted")
    assert len(backend.blobs()) == 2
    lost = set(backend.blobs())
    of_task(supervisor).set("archived", (1,))
    with supervisor.session() as session:
        session.execute(sqlalchemy.text(f"create table {ARCHIVE} as select * from task_state_store"))
        session.execute(sqlalchemy.text("delete from task_state_store"))
    try:
        for accessor in accessors(supervisor).values():
            accessor.set("k", (2,))
            accessor.set("k", FRAME)
        of_asset().set("large", stored(FRAME, inline=True))  # in the row, and longer than what is read of others
        live = {backend.folder / path for path in named(supervisor)}
        assert len(live) == 3
        assert len(backend.blobs()) == 2 + 1 + 2 * 2
        rows = adopted(Rows(supervisor.engine))
        report = swept(rows, runs=[("state", path.parent.name) for path in backend.blobs()])
        assert report.stores["default"].orphans.count == 0, "runs that are named as state is have none of it"
        assert len(backend.blobs()) == 7
        report = swept(rows)
        assert set(backend.blobs()) == live
        assert not lost & live
        assert (report.unreadable, report.stores["default"].deleted.count) == (0, 4)
        for accessor in accessors(supervisor).values():
            assert difference(FRAME, accessor.get("k")) is None
    finally:
        with supervisor.session() as session:
            session.execute(sqlalchemy.text(f"drop table {ARCHIVE}"))
    swept(rows)
    assert len(backend.blobs()) == 2


def named(supervisor: Supervisor) -> set[str]:
    """The paths that rows name, by no code of the sweep."""
    rows = [row for table in ("task_state_store", "asset_state_store", ARCHIVE) for row in supervisor.rows(table)]
    return {content(row)["airflow_xcom"]["ref"]["path"] for row in rows if "ref" in content(row)["airflow_xcom"]}


@on_sqlite
def test_what_a_forged_row_names_is_left_and_one_row_stops_nothing(supervisor: Supervisor, backend: Backend) -> None:
    backend.options(threshold=0, durable=False)
    for key in "abcd":
        of_asset().set(key, (key,))
    rows = adopted(Rows(supervisor.engine))
    paths = [content(row)["airflow_xcom"]["ref"]["path"] for row in supervisor.rows("asset_state_store")]
    forged = [
        {"airflow_xcom": paths[0]},
        {WRAPPER: paths[1], "airflow_xcom": 1},
        {WRAPPER: "[" * 9999 + "airflow_xcom"},
    ]
    for key, row in zip("abc", forged, strict=True):
        supervisor.put("asset_state_store", key, row)
    report = swept(rows)
    assert {path.relative_to(backend.folder).as_posix() for path in backend.blobs()} == {*paths[:2], paths[3]}
    assert report.unreadable == 2


@on_sqlite
def test_a_sweep_through_the_rest_api_leaves_state(supervisor: Supervisor, backend: Backend) -> None:
    """It shows the state of one task, or of one asset, at a time, so that not all that refers to a blob is seen."""
    backend.options(threshold=0)
    of_asset().set("k", (1,))
    of_asset().delete("k")
    rows = adopted(Rows(supervisor.engine))
    rows.sees_assets = RestRows.sees_assets
    report = swept(rows)
    assert report.stores["default"].unseen.count == len(backend.blobs()) == 1


# Whose it is


@on_sqlite
def test_a_wrapper_of_another_key_task_or_asset_is_refused(supervisor: Supervisor, backend: Backend) -> None:
    """Whoever may write rows through the REST API copies what is another's."""
    for threshold in 0, -1:
        backend.options(threshold=threshold)
        of_task(supervisor).set("task", (1,))
        for name in "flights", "weather":
            of_asset(name).set(name, (name,))
        (task,) = supervisor.rows("task_state_store")
        flights, weather = supervisor.rows("asset_state_store")
        for row in flights, weather:
            supervisor.put("task_state_store", "task", row)
            with pytest.raises(ForeignStateError, match="asset=.*set the key again"):
                of_task(supervisor).get("task")
        for row in task, weather:
            supervisor.put("asset_state_store", "flights", row)
            for state in of_asset(), of_uri():
                with pytest.raises(ForeignStateError):
                    state.get("flights")
                with pytest.raises(ForeignStateError):
                    asyncio.run(state.aget("flights"))
        of_asset().set("other", (2,))
        supervisor.put("asset_state_store", "other", flights)
        with pytest.raises(ForeignStateError, match="key=other"):
            of_asset().get("other")
        supervisor.put("task_state_store", "task", task)
        for part in ({"run_id": "next"}, {"map_index": 0}, {"task_id": "load"}, {"dag_id": "weather"}):
            with pytest.raises(ForeignStateError, match=r"set the key again"):
                of_task(supervisor, **part).get("task")
        of_task(supervisor).clear()
        of_asset().clear()
        of_asset("weather").clear()


@on_sqlite
def test_an_asset_is_the_same_by_its_name_and_its_uri(supervisor: Supervisor) -> None:
    of_uri().set("by uri", FRAME)
    of_asset().set("by name", FRAME)
    for state in of_asset(), of_uri():
        for key in "by uri", "by name":
            assert difference(FRAME, state.get(key)) is None
            assert difference(FRAME, asyncio.run(state.aget(key))) is None


@on_sqlite
def test_a_reference_to_the_blob_of_an_xcom_is_refused(supervisor: Supervisor, backend: Backend) -> None:
    backend.options(threshold=0)
    xcom = backend.push((1,))
    of_asset().set("k", (2,))
    (row,) = supervisor.rows("asset_state_store")
    envelope = content(row)
    for forged in (xcom, {"airflow_xcom": envelope["airflow_xcom"] | {"ref": xcom["airflow_xcom"]["ref"]}}):
        supervisor.put("asset_state_store", "k", {WRAPPER: json.dumps(forged)})
        with pytest.raises(ForeignStateError):
            of_asset().get("k")
    with pytest.raises(ForeignReferenceError):
        backend.pull(envelope)


@on_sqlite
@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "state/../x", "state//x", "a\\b"])
def test_a_path_out_of_the_store_is_refused(supervisor: Supervisor, backend: Backend, path: str) -> None:
    backend.options(threshold=0)
    of_asset().set("k", (2,))
    envelope = content(supervisor.rows("asset_state_store")[0])
    envelope["airflow_xcom"]["ref"]["path"] = path
    supervisor.put("asset_state_store", "k", {WRAPPER: json.dumps(envelope)})
    with pytest.raises(ForgedReferenceError):
        of_asset().get("k")


NOT_OURS = [
    "file:///srv/state/k",
    "{",
    "[" * 100_000,
    "1" * 10_000,
    5,
    {"airflow_xcom": {}},
    ["x"],
    '{"airflow_xcom": 1}',
]


@on_sqlite
@pytest.mark.parametrize("ref", NOT_OURS, ids=range(len(NOT_OURS)))
def test_a_wrapper_that_this_store_did_not_write_is_refused(supervisor: Supervisor, ref: Any) -> None:
    for table, accessor in accessors(supervisor).items():
        accessor.set("k", (1,))
        supervisor.put(table, "k", {WRAPPER: ref})
        with pytest.raises(CorruptPayloadError) as caught:
            accessor.get("k")
        assert len(str(caught.value)) < 500


@on_sqlite
def test_a_row_without_a_wrapper_is_its_own_value(supervisor: Supervisor) -> None:
    """As before the store was configured, or where somebody wrote it through the REST API."""
    for table, accessor in accessors(supervisor).items():
        accessor.set("k", (1,))
        supervisor.put(table, "k", {"watermark": "2024"})
        assert accessor.get("k") == {"watermark": "2024"}


def test_a_path_tells_whose_it_is() -> None:
    others = [
        StateCoordinate("d", "r", "t", -1, "k"),
        StateCoordinate("d", "r", "t", 0, "k"),
        StateCoordinate("d", "r", "t", -1, "k", region="0" * 31 + "1"),
        StateCoordinate("d", "r", "t", -1, "K"),
        StateCoordinate(key="k", name="t"),
        StateCoordinate(key="k", uri="t"),
        StateCoordinate(key="k", name="t" * 60),
        StateCoordinate(key="k", name="t" * 61),
        StateCoordinate(key="k" * 60, name="t"),
        StateCoordinate(key="k" * 61, name="t"),
        Coordinate("d", "r", "t", -1, "k"),
        Coordinate("state", "r", "t", -1, "k"),
    ]
    for other in others:
        path = unique_path(other, ".arrow")
        assert [each for each in others if is_path_of(path, each)] == [other]
        assert type(other).from_json(json.loads(json.dumps(other.to_json()))) == other
    for known in StateCoordinate(), StateCoordinate.from_json([None] * 7), StateCoordinate.from_json("task"):
        assert known.kind is None


# Event loops


@on_sqlite
def test_nothing_is_done_on_the_event_loop(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noted(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            threads.append(threading.current_thread())
            return function(*args, **options)

        return call

    monkeypatch.setattr(state_store, "written", noted(state_store.written))
    monkeypatch.setattr(state_store, "read", noted(state_store.read))

    async def run() -> None:
        for state in of_asset(), of_uri("weather"):
            await state.aset("k", FRAME)
            assert difference(FRAME, await state.aget("k")) is None
            await state.adelete("k")
            assert await state.aget("k", "nothing") == "nothing"
            await state.aset("k", (1,))
            await state.aclear()
            assert await state.aget("k") is None

    asyncio.run(run())
    assert len(threads) == 6
    assert threading.main_thread() not in threads
    assert supervisor.rows("asset_state_store") == []


@on_sqlite
def test_tasks_of_one_loop_do_not_mix_up_their_keys(supervisor: Supervisor) -> None:
    async def turn(number: int) -> None:
        state = (of_asset(), of_uri("weather"))[number % 2]
        for _ in range(5):
            await state.aset(f"k{number}", (number,))
            assert await state.aget(f"k{number}") == (number,)

    async def run() -> None:
        await asyncio.gather(*map(turn, range(8)))

    asyncio.run(run())


@on_sqlite
def test_where_another_backend_is_configured_the_accessors_are_airflows(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND", "")
    context._get_worker_state_store_backend.cache_clear()
    of_asset().set("k", [1])
    asyncio.run(of_asset().aset("l", [2]))
    assert supervisor.rows("asset_state_store") == [[1], [2]]
    assert asyncio.run(of_asset().aget("k")) == of_asset().get("k") == [1]


def test_the_plugin_makes_it_ready_before_the_first_call() -> None:
    """Airflow itself imports the backend within that call, too late for it not to run on the event loop."""
    program = """
from airflow.sdk.execution_time import context
before = context.AssetStateStoreAccessor.aget
import airflow_xcom.backend.assets.state_plugin
print(context.AssetStateStoreAccessor.aget is not before)
"""
    variables = {**os.environ, "AIRFLOW__WORKERS__STATE_STORE_BACKEND": "airflow_xcom.backend.CodecStateStore"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


# Settings


def test_it_is_no_backend_for_servers() -> None:
    for call in "get", "set":
        with pytest.raises(SettingsError, match=r"\[state_store\] backend.*\[workers\] state_store_backend"):
            getattr(CodecStateStore(), call)(None, "k", "1")
    for call in "aget", "aset":
        with pytest.raises(SettingsError):
            asyncio.run(getattr(CodecStateStore(), call)(None, "k", "1"))


def test_an_airflow_without_a_state_store_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.sdk.state", None)
    with pytest.raises(SettingsError, match=r"\[workers\] state_store_backend.*from 3\.3 on"):
        base_state_store()

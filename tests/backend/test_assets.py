"""Published values, their versions, and the pins of runs, with Airflow's events played by the test."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from airflow.sdk import Asset, AssetAlias, AssetAll, AssetAny
from airflow.sdk.definitions.asset import decorators
from asset_world import F, G, Lake

from airflow_xcom.backend import (
    CodecXComBackend,
    LostPinError,
    NoVersionError,
    PartitionError,
    PublishError,
    compat_assets,
    latest,
    publish,
    pull_table,
    stored,
    value_of,
    values_of,
    versions,
)
from airflow_xcom.backend.assets import latest as latest_module
from airflow_xcom.backend.assets import pins
from airflow_xcom.backend.assets.state_plugin import AssetFunctionListener
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.compat_assets import Event
from airflow_xcom.backend.errors import HintError, SettingsError
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.codecs import CodecError
from airflow_xcom.codecs.testing import assert_identical

if TYPE_CHECKING:
    from conftest import Backend

VIA = AssetAlias("via")
FRAME = pd.DataFrame({"a": [1, 2, 3], "when": pd.to_datetime(["2024"] * 3, utc=True)})


@pytest.fixture
def lake(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    pins._told.clear()
    yield Lake(monkeypatch)
    pins._told.clear()


@pytest.mark.parametrize("value", [FRAME, 7, "text", None, {"a": (1, FRAME)}, np.arange(100_000), float("nan")])
def test_a_published_value_comes_back_exactly(lake: Lake, value: Any) -> None:
    lake.publish(value, "one")
    lake.start()
    assert_identical(latest(F), value)


def test_an_event_has_a_reference_and_no_value(lake: Lake) -> None:
    event = lake.publish("a secret", "one")
    assert "a secret" not in event.extra["airflow_xcom"]
    wide = pd.DataFrame({f"column {number}": [number] for number in range(1000)})
    assert len(json.dumps(lake.publish(wide, "two").extra)) < 1024


def test_what_publish_returns_is_one_blob_with_the_version(lake: Lake, backend: Backend) -> None:
    ti = lake.start("one", "make", outlets=(F,))
    published = publish(stored(FRAME, compression="zstd"), F)
    assert isinstance(published, pd.DataFrame)
    ti.xcom_push("return_value", published)
    assert len(backend.blobs()) == 1
    assert_identical(ti.xcom_pull(task_ids="make", key="return_value", map_indexes=-1), FRAME)
    part = pull_table(ti, task_ids="make", key="return_value", map_indexes=-1, columns=["a"])
    assert_identical(part, FRAME[["a"]])


def test_the_blob_is_referred_to_before_the_task_ends(lake: Lake, backend: Backend) -> None:
    lake.start("one", "make", outlets=(F,))
    publish(FRAME, F)
    (blob,) = backend.blobs()
    assert blob.name in json.dumps(list(lake.rows.values()))


def test_columns_and_rows_are_taken(lake: Lake) -> None:
    lake.publish(FRAME, "one")
    lake.start()
    assert_identical(latest(F, columns=["a"], rows=slice(1, 3)), FRAME[["a"]][1:3])
    assert latest(F, as_="pyarrow").num_rows == len(FRAME)


def test_an_asset_that_is_no_outlet_is_refused(lake: Lake, backend: Backend) -> None:
    lake.start(outlets=(G,))
    with pytest.raises(PublishError, match=r"'flights' is not among the outlets.*write @task\(outlets"):
        publish(FRAME, F)
    assert not backend.blobs()


def test_a_second_publish_in_a_try_is_refused(lake: Lake, backend: Backend) -> None:
    lake.start(outlets=(F, G))
    publish(1, F)
    publish(2, G)
    with pytest.raises(PublishError, match="already published the asset 'flights'"):
        publish(3, F)
    assert len(backend.blobs()) == 2
    with pytest.raises(PublishError, match="both with a partition and without"):
        publish(3, F, partition="a")


def test_a_task_that_has_published_does_not_defer(lake: Lake) -> None:
    lake.start(outlets=(F,))
    publish(1, F)
    with pytest.raises(PublishError, match="defer first"):
        lake.context["task"].defer(trigger=None, method_name="execute")


@pytest.mark.parametrize("hint", [{"ttl": 5}, {"inline": True}])
def test_hints_that_would_take_the_value_away_are_refused(lake: Lake, hint: dict[str, Any]) -> None:
    lake.start(outlets=(F,))
    with pytest.raises(HintError):
        publish(stored(1, **hint), F)


def test_versions_are_in_order_and_bounded(lake: Lake) -> None:
    for number in range(30):
        lake.publish(number, f"run {number}")
    lake.start()
    assert [version.value() for version in versions(F)] == list(range(30))[::-1]
    assert [version.value() for version in versions(F, limit=3)] == [29, 28, 27]
    since = versions(F, limit=2)[-1].sent
    assert [version.value() for version in versions(F, since=since)] == [29, 28]
    lake.asked.clear()
    assert latest(F) == 29
    assert lake.asked == [(1, True), (1, False)], "the newest is found without reading all, and first among recent ones"


def test_the_newest_is_looked_for_among_recent_events(lake: Lake) -> None:
    lake.now = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    for number in range(3):
        lake.publish(number, f"run {number}")
    lake.now += dt.timedelta(days=2)
    for number in range(3, 12):
        lake.publish(number, f"run {number}")
    lake.start()
    lake.asked.clear()
    assert latest(F) == 11
    assert lake.asked == [(1, True)]
    lake.asked.clear()
    assert [version.value() for version in versions(F)] == list(range(12))[::-1]
    assert lake.asked == [(8, True), (64, True), (64, False)]


def test_an_alias_leads_to_the_versions_of_its_assets(lake: Lake) -> None:
    lake.start("one", "make", outlets=(VIA,))
    publish(5, G)
    (event,) = lake.succeed()
    assert (event.name, event.aliases) == ("trains", {"via"})
    lake.start()
    assert latest(VIA) == 5
    assert latest(G) == 5
    assert latest(Asset.ref(name="trains")) == 5
    with pytest.raises(NoVersionError, match="'flights' has no version yet"):
        latest(F)


def test_an_alias_is_not_what_is_published(lake: Lake) -> None:
    lake.start(outlets=(VIA,))
    with pytest.raises(PublishError, match="not the alias 'via'"):
        publish(1, VIA)
    publish(1, F)
    with pytest.raises(PublishError, match="already published"):
        publish(2, F)


# --- Which version is the latest ---


def test_a_backfill_is_not_the_latest_while_a_later_interval_exists(lake: Lake) -> None:
    lake.publish("day 10", "scheduled 10", kind="scheduled", day=10)
    for day in range(9):
        lake.publish(f"day {day}", f"backfill {day}", kind="backfill", day=day)
    lake.start("reader")
    assert latest(F) == "day 10"
    lake.publish("day 12", "backfill 12", kind="backfill", day=12)
    lake.publish("day 11", "backfill 11", kind="backfill", day=11)
    lake.start("another reader")
    assert latest(F) == "day 12"
    lake.publish("day 3 again", "backfill 3 again", kind="backfill", day=3, latest=True)
    lake.start("a third reader")
    assert latest(F) == "day 3 again"


def test_of_backfills_alone_the_last_interval_is_the_latest(lake: Lake) -> None:
    for day in (3, 5, 4, 1, 2):
        lake.publish(day, f"backfill {day}", kind="backfill", day=day)
    lake.start()
    assert latest(F) == 5


# --- Partitions ---


def test_partitions_of_one_task_have_each_their_version(lake: Lake) -> None:
    lake.start("one", "make", outlets=(F,))
    for key in ("north", "south"):
        publish(key, F, partition=key)
    with pytest.raises(PublishError, match="with the partition 'north'"):
        publish("again", F, partition="north")
    events = lake.succeed()
    assert [event.partition for event in events] == ["north", "south"]
    lake.start("reader")
    assert [latest(F, partition=key) for key in ("north", "south")] == ["north", "south"]
    with pytest.raises(PartitionError, match=r"has partitions, such as 'south'.*partition="):
        latest(F)
    with pytest.raises(NoVersionError, match="of the partition 'east'"):
        latest(F, partition="east")
    lake.start("of a partition", partition="north", triggers=(events[0],))
    assert latest(F) == "north"
    lake.start("of both", triggers=tuple(events))
    assert values_of(F) == {"north": "north", "south": "south"}
    assert latest(F, partition="north") == "north"
    with pytest.raises(PartitionError):
        latest(F)


def test_a_run_of_a_partition_publishes_and_reads_it(lake: Lake) -> None:
    lake.publish(1, "one", partition="north")
    lake.publish(2, "two", partition="south")
    lake.start("reader", partition="north")
    assert latest(F) == 1
    lake.publish("whole", "three", asset=G)
    lake.start("another", partition="north")
    assert latest(G) == "whole", "an asset without partitions is read whole"


def test_partitions_are_bounded(lake: Lake, backend: Backend) -> None:
    lake.start(outlets=(F,))
    for number in range(100):
        publish(number, F, partition=str(number))
    with pytest.raises(PublishError, match="100 partitions"):
        publish(1, F, partition="more")
    assert len(backend.blobs()) == 100


# --- Pins ---


def test_all_tasks_of_a_run_read_the_same(lake: Lake) -> None:
    lake.publish(1, "one")
    lake.start("reader", "first")
    assert latest(F) == 1
    lake.publish(2, "two")
    lake.start("reader", "second")
    assert latest(F) == 1
    lake.start("reader", "first", try_number=2, cleared=1)
    assert latest(F) == 1
    lake.start("another", "first")
    assert latest(F) == 2


NAMES = [F, VIA, Asset.ref(name="flights"), Asset.ref(uri="file:///lake/flights")]


@pytest.mark.parametrize("first", NAMES, ids=str)
def test_all_tasks_of_a_run_read_the_same_however_they_name_the_asset(lake: Lake, first: Any) -> None:
    def publish_via(number: int) -> None:
        lake.start(f"run {number}", "make", dag_id="producer", outlets=(VIA,))
        publish(number, F)
        lake.succeed()

    publish_via(1)
    lake.start("reader", "first")
    assert latest(first) == 1
    publish_via(2)
    lake.start("reader", "second")
    assert [latest(name) for name in NAMES] == [1] * 4
    assert latest(first, refresh=True) == 2
    lake.start("reader", "first", try_number=2, cleared=1)
    assert [latest(name) for name in NAMES] == [2] * 4


def test_a_triggered_run_reads_the_versions_of_its_events(lake: Lake) -> None:
    events = [lake.publish(number, f"run {number}") for number in range(4)]
    lake.start("reader", kind="asset_triggered", triggers=(events[1], events[2]), schedule=F)
    assert latest(F) == 2
    assert values_of(F) == [1, 2]
    lake.events.clear()
    lake.start("reader", try_number=2, cleared=1, kind="asset_triggered", schedule=F)
    assert (latest(F), values_of(F)) == (2, [1, 2]), "without the events, as after `airflow db clean`"


@pytest.mark.parametrize("schedule", [F, AssetAll(F, G), AssetAny(F, AssetAll(F, G))])
def test_events_that_are_gone_before_anyone_asked_are_not_replaced(lake: Lake, schedule: Any) -> None:
    lake.publish(1, "one")
    lake.start("reader", kind="asset_triggered", schedule=schedule)
    with pytest.raises(LostPinError, match="the events that started the run are gone"):
        latest(F)
    assert latest(F, refresh=True) == 1


@pytest.mark.parametrize("schedule", [G, AssetAny(F, G), Asset.ref(name="flights"), None])
def test_an_asset_that_did_not_start_the_run_is_read_as_it_is_now(lake: Lake, schedule: Any) -> None:
    lake.publish(1, "one")
    lake.start("reader", kind="asset_triggered", schedule=schedule)
    assert latest(F) == 1


def pin_files(backend: Backend) -> list[Any]:
    return [path for path in backend.blobs() if "pins" in path.parts]


def pinned_before_another_version(lake: Lake, backend: Backend) -> Any:
    """The pin of a task that has read the first of two versions."""
    lake.publish(1, "one")
    lake.start("reader")
    assert latest(F) == 1
    lake.publish(2, "two")
    (pin,) = pin_files(backend)
    return pin


def test_a_pin_that_is_gone_is_refused(lake: Lake, backend: Backend) -> None:
    pin = pinned_before_another_version(lake, backend)
    kept = pin.read_bytes()
    pin.unlink()
    lake.start("reader", try_number=2, cleared=1)
    with pytest.raises(LostPinError, match=r"is gone from the store file:.*refresh=True"):
        latest(F)
    pin.write_bytes(kept)
    assert latest(F) == 1
    pin.write_bytes(kept + b" ")
    with pytest.raises(LostPinError, match="names other versions than the task has read before"):
        latest(F)
    assert latest(F, refresh=True) == 2
    assert latest(F) == 2


def test_a_value_is_read_while_the_row_of_its_pin_is_stored(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(FRAME, "one")
    ti = lake.start("reader")
    is_read, value, push = threading.Event(), Version.value, ti.xcom_push

    def read(version: Version, **part: Any) -> Any:
        found = value(version, **part)
        is_read.set()
        return found

    def store(**row: Any) -> None:
        assert is_read.wait(60)
        push(**row)

    monkeypatch.setattr(Version, "value", read)
    monkeypatch.setattr(ti, "xcom_push", store)
    assert_identical(latest(F), FRAME)
    assert [key for *_, key in lake.rows if key.startswith("xcom_codecs.pin.")]


def test_another_store_is_opened_after_the_row_of_the_pin_is_stored(
    lake: Lake, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection may have to be asked for, which no thread may do while another asks."""
    backend.options(stores=json.dumps({"archive": (tmp_path / "archive").as_uri()}))
    lake.publish(stored(FRAME, store="archive"), "one")
    lake.start("reader")
    value = Version.value

    def read(version: Version, **part: Any) -> Any:
        assert threading.current_thread() is threading.main_thread()
        assert [key for *_, key in lake.rows if key.startswith("xcom_codecs.pin.")]
        return value(version, **part)

    monkeypatch.setattr(Version, "value", read)
    assert_identical(latest(F), FRAME)


def test_a_thread_reads_only_what_asks_nothing_of_airflow(lake: Lake, backend: Backend) -> None:
    lake.publish(FRAME, "one")
    (version,) = versions(F)
    store, path = open_store(settings().path), settings().path

    def may_be(**facts: Any) -> bool:
        return pins._may_be_read_in_a_thread(store, [replace(version, envelope=replace(version.envelope, **facts))])

    assert may_be()
    assert not may_be(suppliers={"acme.thing": "acme-dist"})
    assert version.envelope.reference is not None
    assert not may_be(reference=replace(version.envelope.reference, store="gone", url="s3://gone"))
    backend.options(stores=json.dumps({"shared": f"{path}?file_mode=0660"}))
    assert not may_be()  # a pull opens the first store with this URL


def test_no_thread_is_started_for_the_version_of_an_alias(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Mock(wraps=pins.ThreadPoolExecutor)
    monkeypatch.setattr(pins, "ThreadPoolExecutor", started)
    lake.start("make", dag_id="producer", outlets=(VIA,))
    publish(1, F)
    lake.succeed()
    lake.start("reader")
    assert latest(VIA) == 1
    assert started.call_count == 1
    assert len([key for *_, key in lake.rows if key.startswith("xcom_codecs.pin.")]) == 2


def test_nothing_is_read_without_the_row_of_its_pin(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(1, "one")
    ti = lake.start("reader")
    with monkeypatch.context() as patched:
        patched.setattr(ti, "xcom_push", Mock(side_effect=ConnectionError))
        for _ in range(2):
            with pytest.raises(ConnectionError):
                latest(F)
    lake.publish(2, "two")
    lake.start("reader", ti.task_id)
    assert latest(F) == 1


def test_refreshing_is_for_all_tasks_from_then_on(lake: Lake) -> None:
    lake.publish(1, "one")
    lake.start("reader", "first")
    assert latest(F) == 1
    lake.publish(2, "two")
    lake.start("reader", "second")
    assert latest(F, refresh=True) == 2
    lake.start("reader", "first", try_number=2, cleared=1)
    assert latest(F) == 2


def test_the_first_of_two_tasks_that_ask_at_once_wins(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(1, "one")
    found = latest_module._latest

    def slow(*where: Any) -> Any:
        """While this task looks for the latest version, another publishes, and a third asks and pins."""
        monkeypatch.setattr(latest_module, "_latest", found)
        mine, version = lake.context, found(*where)
        lake.publish(2, "two")
        lake.start("reader", "quicker")
        assert latest(F) == 2
        lake.context = mine
        return version

    monkeypatch.setattr(latest_module, "_latest", slow)
    lake.start("reader", "slower")
    assert latest(F) == 2


def test_a_value_is_read_while_its_pin_is_made(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(1, "one")
    lake.start("reader")
    reading, kind = threading.Event(), type(open_store(settings().path))
    value, create = Version.value, kind.create

    def begin(version: Version, **part: Any) -> Any:
        reading.set()
        return value(version, **part)

    def create_while_reading(*arguments: Any) -> bool:
        assert reading.wait(60)
        return create(*arguments)

    monkeypatch.setattr(Version, "value", begin)
    monkeypatch.setattr(kind, "create", create_while_reading)
    assert latest(F) == 1


def test_a_pin_of_a_deleted_run_is_not_that_of_a_new_one(lake: Lake) -> None:
    lake.publish(1, "one")
    lake.start("reader")
    assert latest(F) == 1
    lake.rows.clear()
    lake.publish(2, "two")
    began = dt.datetime(2024, 1, 1, 0, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    lake.start("reader", "task of the new run", began=began)
    assert latest(F) == 2
    lake.publish(3, "three")
    lake.start("reader", "of it too", began=began.astimezone(dt.UTC))
    assert latest(F) == 2
    later = began + dt.timedelta(days=1)
    lake.start("reader", "of it when it was cleared", began=later, cleared=1)
    assert latest(F) == 2
    assert latest(F, refresh=True) == 3
    lake.publish(4, "four")
    lake.start("reader", "of a third run", began=later + dt.timedelta(days=1))
    assert latest(F) == 4


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_the_clocks_of_hosts_may_differ(lake: Lake, hours: int) -> None:
    began = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    lake.publish(1, "one")
    lake.start("reader", "first", began=began)
    assert latest(F) == 1
    lake.publish(2, "two")
    lake.start("reader", "second", began=began)
    assert latest(F) == 1


def test_a_run_reads_the_same_after_the_store_of_new_blobs_has_changed(
    lake: Lake, backend: Backend, tmp_path: Path
) -> None:
    old, new = (backend.folder.as_uri(), (tmp_path / "new").as_uri())
    lake.publish(1, "one")
    lake.start("reader", "first")
    assert latest(F) == 1
    lake.publish(2, "two")
    backend.options(path=new, stores=json.dumps({"team": "nowhere://of/a/team", "old": old}))
    lake.start("reader", "second")
    assert latest(F) == 1
    lake.start("reader", "first", try_number=2, cleared=1)
    assert latest(F) == 1
    assert latest(F, refresh=True) == 2
    for options in ({}, {"path": old, "stores": json.dumps({"new": new})}):
        backend.options(**options)
        for task in ("first", "second", "third"):
            lake.start("reader", task, try_number=1 + (task == "first"))
            assert latest(F) == 2
    backend.options(path="nowhere://at/all", stores=json.dumps({"new": new, "old": old}))
    with pytest.raises(SettingsError, match="nowhere"):
        latest(F)


@pytest.mark.parametrize("again", ["deferred", "rescheduled"])
def test_a_task_that_has_waited_does_not_read_something_newer_when_its_pin_is_gone(
    again: str, lake: Lake, backend: Backend
) -> None:
    pin = pinned_before_another_version(lake, backend)
    kept = pin.read_bytes()
    for there in (True, False):
        pin.write_bytes(kept) if there else pin.unlink()
        ti: Any = lake.start("reader")
        if again == "rescheduled":
            lake.context["task_reschedule_count"] = 1
        else:
            ti._ti_context_from_server = SimpleNamespace(next_method="execute_complete")
        if there:
            assert latest(F) == 1
    with pytest.raises(LostPinError):
        latest(F)


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "[" * 100_000,
        lambda _: "null",
        lambda pin: json.dumps({**pin, "versions": [["never", pin["versions"][0][1]]]}),
        lambda pin: json.dumps({**pin, "versions": [["0001-01-01T00:00:00+14:00", pin["versions"][0][1]]]}),
        lambda pin: json.dumps({**pin, "versions": [[7, pin["versions"][0][1]]]}),
    ],
)
def test_a_forged_pin_is_a_typed_error(
    lake: Lake, backend: Backend, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Any], str]
) -> None:
    monkeypatch.setattr(pins, "_ATTEMPTS", 1)
    lake.publish(1, "one")
    lake.start("reader")
    assert latest(F) == 1
    (pin,) = pin_files(backend)
    pin.write_text(forge(json.loads(pin.read_bytes())))
    lake.publish(2, "two")
    for task in ("another", "reader"):
        lake.start("reader", task, try_number=1 + (task == "reader"))
        try:
            assert latest(F) == 1
        except CodecError:
            assert latest(F, refresh=True) == 2, "as the error advises"
            lake.start("reader", f"after {task}")
            assert latest(F) == 2
            pin.with_name(pin.name[:-1] + "1").unlink()


def test_a_forged_row_of_a_pin_is_replaced_as_the_error_advises(lake: Lake) -> None:
    lake.publish(1, "one")
    lake.start("reader")
    assert latest(F) == 1
    for where in lake.rows:
        if "pin" in where[-1]:
            lake.rows[where] = {"forged": True}
    lake.start("reader", try_number=2)
    with pytest.raises(LostPinError, match="refresh=True"):
        latest(F)
    assert latest(F, refresh=True) == 1
    assert latest(F) == 1


def test_what_a_run_reads_is_referred_to_by_its_tasks(lake: Lake, backend: Backend) -> None:
    lake.publish(1, "one")
    (blob,) = backend.blobs()
    lake.rows.clear()
    lake.start("reader")
    latest(F)
    assert f".{blob.name.partition('.')[2]}" in json.dumps(list(lake.rows.values()))


def test_clearing_a_task_leaves_what_it_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(CodecXComBackend.__base__, "delete", classmethod(lambda _, key, **__: deleted.append(key)))
    lake.publish(1, "one")
    lake.start("reader")
    latest(F)
    for key in [*(row[-1] for row in lake.rows), "return_value"]:
        CodecXComBackend.delete(key, task_id="task", dag_id="consumer", run_id="reader", map_index=-1)
    assert [key.rpartition(".")[0] for key in deleted] == ["xcom_codecs.published", ""]


# --- Trust ---


def of_rest(event: Event) -> Event:
    return replace(event, extra={**event.extra, "from_rest_api": True}, source=(None, None, None, None))


def of_another_task(event: Event) -> Event:
    return replace(event, source=("thief", *event.source[1:]))


def of_another_run(event: Event) -> Event:
    return replace(event, source=(event.source[0], "later", *event.source[2:]))


def of_another_asset(event: Event) -> Event:
    return replace(event, name="trains", uri="file:///lake/trains")


def without_value(event: Event) -> Event:
    return replace(event, extra={"rows": 5})


def _edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Event], Event]:
    def edit(event: Event) -> Event:
        content = json.loads(event.extra["airflow_xcom"])
        change(content)
        return replace(event, extra={"airflow_xcom": json.dumps(content)})

    return edit


with_path_elsewhere = _edited(lambda content: content["ref"].update(path="dag/run/task/-1/return_value." + "0" * 32))
with_path_of_another_version = _edited(lambda content: content["asset"].update(id="0" * 32))
renamed = _edited(lambda content: content["asset"].update(name="trains"))
of_no_asset = _edited(lambda content: content.pop("asset"))
with_odd_time = _edited(lambda content: content["asset"].update(at="yesterday"))
of_no_task = _edited(lambda content: content.update(of=[None, None, None, None, None]))
nonsense = _edited(lambda content: content.clear())


def of_nobody(event: Event) -> Event:
    edit = _edited(lambda content: content.update(of=[None, None, None, -1, None]))
    return replace(edit(event), source=(None, None, None, None))


def with_index_true(event: Event) -> Event:
    edit = _edited(lambda content: content["of"].__setitem__(3, True))
    return replace(edit(event), source=(*event.source[:3], 1))


newer = _edited(lambda content: content.update(version=99))
DISTRUSTED = [
    of_rest,
    of_another_task,
    of_another_run,
    of_another_asset,
    without_value,
    with_path_elsewhere,
    with_path_of_another_version,
    renamed,
    of_no_asset,
    with_odd_time,
    of_no_task,
    of_nobody,
    with_index_true,
    nonsense,
    newer,
]


@pytest.mark.parametrize("forge", DISTRUSTED)
def test_an_event_that_does_not_count_is_left_out_of_the_latest_and_refused_as_a_trigger(
    lake: Lake, forge: Callable[[Event], Event]
) -> None:
    good, bad = lake.publish(1, "one"), lake.publish(2, "two")
    forged = forge(bad)
    asset = Asset(forged.name, uri=forged.uri)
    lake.events[:] = [good if forged.name == "flights" else lake.publish(1, "trains", G), forged]
    lake.start("reader")
    assert latest(asset) == 1
    assert len(versions(asset)) == 1
    lake.start("triggered", triggers=(lake.events[0], forged))
    for read in (latest, values_of):
        with pytest.raises(NoVersionError, match="has no value that counts"):
            read(asset)
    assert latest(asset, refresh=True) == 1


@pytest.mark.parametrize(
    "forge",
    [of_rest, of_another_task, of_another_run, of_nobody, with_index_true, without_value, renamed, nonsense],
)
def test_an_older_event_that_does_not_count_is_refused_as_a_trigger(
    lake: Lake, forge: Callable[[Event], Event]
) -> None:
    bad, good = forge(lake.publish(1, "one")), lake.publish(2, "two")
    lake.start("triggered", triggers=(bad, good))
    with pytest.raises(NoVersionError, match="has no value that counts"):
        latest(F)


def test_a_row_with_the_blob_of_a_version_is_bound_to_its_task(lake: Lake) -> None:
    ti = lake.start("one", "make", outlets=(F,))
    ti.xcom_push("return_value", publish(7, F))
    row = lake.rows["consumer", "one", "make", -1, "return_value"]
    thief = lake.start("two", "thief")
    row["airflow_xcom"]["of"][1:3] = ["two", "thief"]
    lake.rows["consumer", "two", "thief", -1, "return_value"] = row
    from airflow_xcom.backend import ForeignReferenceError

    with pytest.raises(ForeignReferenceError):
        thief.xcom_pull(task_ids="thief", key="return_value", map_indexes=-1)


# --- Arguments ---


def test_an_argument_is_the_value_where_the_task_runs(lake: Lake) -> None:
    lake.publish(FRAME, "one")
    lake.start("reader")
    argument = value_of(F, columns=["a"])
    assert repr(argument) == "value_of('flights', columns=['a'])"
    assert list(argument.iter_references()) == []
    assert_identical(argument.resolve(lake.context), FRAME[["a"]])


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda argument: argument["a"], "by columns= and rows="),
        (lambda argument: f"{argument}", "format it there"),
        (list, "iterate over it there"),
        (lambda argument: argument >> argument, "schedule="),
        (lambda argument: [] << argument, "schedule="),
    ],
)
def test_what_an_argument_cannot_do_is_refused_with_advice(use: Callable[[Any], Any], advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        use(value_of(F))


def test_mapping_over_an_argument_is_refused_with_advice() -> None:
    from airflow.sdk import dag, task

    @task
    def use(value: Any) -> None:
        """Take anything."""

    @dag(schedule=None)
    def wrong() -> None:
        use.expand(value=value_of(F))

    with pytest.raises(ValueError, match=r"no task can be mapped: .*\.partial\(\)"):
        wrong()


@pytest.mark.parametrize("function", [latest, values_of, versions, value_of])
def test_what_is_no_asset_is_refused(lake: Lake, function: Callable[[Any], Any]) -> None:
    lake.start()
    with pytest.raises(TypeError, match="an asset is wanted, not a str"):
        function("flights")


def test_what_a_schedule_needs() -> None:
    def needed(condition: Any) -> set[str | None]:
        dag = SimpleNamespace(timetable=SimpleNamespace(asset_condition=condition))
        return {key.name for key in compat_assets.needed_assets({"dag": dag})}

    assert needed(F) == {"flights"}
    assert needed(AssetAll(F, AssetAny(G, F))) == {"flights"}
    assert needed(AssetAny(F, G)) == set()
    assert needed(AssetAll(F, VIA, Asset.ref(name="x"))) == {"flights"}
    assert needed(None) == set()


def departures() -> int:
    return 5


def test_a_wrong_publish_assets_fails_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow goes on where a listener raises: the next task would read an older version."""
    defined = decorators.asset(schedule=None)(departures)
    task = decorators._AssetMainOperator.from_definition(defined)
    AssetFunctionListener().on_task_instance_running(SimpleNamespace(task=task))
    monkeypatch.setenv("AIRFLOW__XCOM_CODECS__PUBLISH_ASSETS", "yes")
    with pytest.raises(SettingsError, match="publish_assets"):
        task.execute(context={})

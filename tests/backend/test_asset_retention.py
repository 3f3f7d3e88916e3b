"""Which versions of assets are retired, by which rule, and what readers are told; tags keep versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy
from asset_world import ARCHIVE, EVENT, LINK, QUEUE, RUN, START, XCOM, F, G, World
from conftest import Backend
from owners import adopted

from airflow_xcom.backend import RetiredVersionError, SettingsError, latest, publish
from airflow_xcom.backend.assets import tags as tags_module
from airflow_xcom.backend.assets.latest import history
from airflow_xcom.backend.assets.retention import RetiredVersions, retire_versions
from airflow_xcom.backend.assets.tags import Tag, tags_of
from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.errors import MissingPayloadError, OwnerError, TagError
from airflow_xcom.backend.maintenance.sweep import Report, sweep


@pytest.fixture
def world(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    backend.options(keep_published="1versions")
    adopted(made.rows)
    yield made
    made.engine.dispose()


def retire(world: World, *names: str, apply: bool = True) -> dict[str, RetiredVersions]:
    done = retire_versions(world.events, world.rows, names or None, apply=apply)
    return {each.asset: each for each in done}


def set_tag(world: World, version: Any, number: int, name: str) -> list[Tag]:
    return tags_module.set_tag(version, number, name, world.events.deployment())


def remove_tag(world: World, name: str) -> list[Tag]:
    return tags_module.remove_tag(F.name, F.uri, name, world.events.deployment())


def swept(world: World) -> None:
    for _ in sweep(adopted(world.rows), Report(), grace=0, wait=0, apply=True, even_all=True):
        pass


def versions(world: World, name: str = "flights") -> dict[int, Any]:
    """The versions of an asset by the ids of their events."""
    (asset,) = (asset for asset in world.events.assets() if asset.name == name)
    return dict(history(world.events, asset))


def readable(world: World, name: str = "flights") -> list[int]:
    """The events whose versions are there after a sweep; of the others a reader is told why not."""
    swept(world)
    found = []
    for number, version in versions(world, name).items():
        with suppress(RetiredVersionError):
            version.value()
            found.append(number)
    return sorted(found)


def test_the_newest_are_kept_and_the_others_go(world: World, backend: Backend) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(5)]
    world.make("other", "run", G)
    backend.options(keep_published="2versions")
    before = retire(world, apply=False)["flights"]
    assert (before.versions, before.due, before.retired, before.size > 0) == (5, 3, 0, True)
    assert readable(world) == numbers
    done = retire(world)["flights"]
    assert (done.due, done.retired, done.failed, done.rule) == (3, 3, 0, "[xcom_codecs] keep_published = 2versions")
    assert readable(world) == numbers[-2:]
    again = retire(world)["flights"]
    assert (again.versions, again.due, again.retired) == (5, 0, 0)
    with pytest.raises(
        RetiredVersionError, match="by the rule .*keep_published = 2versions.*airflow-xcom tag"
    ) as caught:
        versions(world)[numbers[0]].value()
    assert caught.value.rule == done.rule
    assert dt.datetime.fromisoformat(caught.value.at).tzinfo is not None


def test_the_age_is_that_of_the_event(world: World, backend: Backend) -> None:
    world.now = dt.datetime.now(dt.UTC) - dt.timedelta(days=31)
    old = [world.make(number, f"old {number}") for number in range(2)]
    world.now = dt.datetime.now(dt.UTC) - dt.timedelta(days=29)
    young = [world.make(number, f"young {number}") for number in range(2)]
    backend.options(keep_published="30d")
    retire(world)
    assert readable(world) == young
    assert old[0] < young[0]


def test_of_several_terms_the_one_that_keeps_more_applies(world: World, backend: Backend) -> None:
    world.now = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    old = [world.make(number, f"old {number}") for number in range(3)]
    backend.options(keep_published="30d, 2versions")
    retire(world)
    assert readable(world) == old[1:]


def test_without_a_policy_all_are_kept(world: World, backend: Backend) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(3)]
    backend.options(keep_published="forever")
    assert retire(world)["flights"].retired == 0
    assert readable(world) == numbers


def test_the_extra_of_an_asset_goes_before_the_option(world: World) -> None:
    world.asset_id(F, {"xcom:keep": "3versions"})
    world.asset_id(G, {"xcom:keep": "3runs"})
    flights = [world.make(number, f"run {number}") for number in range(4)]
    trains = [world.make(number, f"run {number}", G) for number in range(4)]
    done = retire(world)
    assert (done["flights"].retired, done["flights"].rule) == (1, "xcom:keep: 3versions")
    assert (done["trains"].retired, done["trains"].failed) == (0, 1)
    assert "'3runs' is no time to keep values" in done["trains"].problems[0]
    assert (readable(world), readable(world, "trains")) == (flights[1:], trains)


def test_an_asset_can_be_chosen(world: World) -> None:
    for asset in (F, G):
        for number in range(2):
            world.make(number, f"run {number}", asset)
    assert retire(world, "trains").keys() == {"trains"}
    assert len(readable(world)) == 2


@pytest.mark.parametrize("text", ["5runs", "many", ""])
def test_a_wrong_option_is_refused(world: World, backend: Backend, text: str) -> None:
    backend.options(keep_published=text)
    world.asset_id(F)
    with pytest.raises(SettingsError, match="keep_published"):
        retire(world)


# What is never retired


def test_the_newest_of_each_partition_stays(world: World, backend: Backend) -> None:
    kept = []
    for partition in ("a", "b", "a", "a"):
        kept.append(world.make(partition, f"run {len(kept)}", partition=partition))
    backend.options(keep_published="0s")
    assert retire(world)["flights"].retired == 2
    assert readable(world) == [kept[1], kept[3]]


def test_what_latest_reads_stays_though_a_backfill_came_after(world: World, backend: Backend) -> None:
    world.make("old", "run 0", day=0, kind="scheduled")
    newest = world.make("newest", "run 9", day=9, kind="scheduled")
    fills = [world.make("fill", f"fill {day}", day=day, kind="backfill") for day in (1, 2)]
    backend.options(keep_published="0s")
    assert retire(world)["flights"].retired == 2
    assert readable(world) == [newest, fills[1]]
    world.start("later")
    assert latest(F) == "newest"


@pytest.mark.parametrize("state", ["running", "queued", None, "success", "failed"])
def test_what_started_a_run_that_is_not_over_stays(world: World, state: str | None) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(4)]
    run = world.run("consumer", "triggered", "success", kind="asset_triggered")
    world.update(RUN, {"id": run}, state=state)
    world.insert(LINK, dag_run_id=run, event_id=numbers[1])
    retire(world)
    assert readable(world) == ([numbers[-1]] if state in {"success", "failed"} else [numbers[1], numbers[3]])


def test_what_is_queued_to_start_a_run_stays(world: World) -> None:
    """All events since the last run that events started, as Airflow takes them."""
    numbers = [world.make(number, f"run {number}") for number in range(2)]
    world.now += dt.timedelta(minutes=1)
    world.run("consumer", "triggered", "success", kind="asset_triggered")
    numbers += [world.make(number, f"run {number}") for number in range(2, 5)]
    world.insert(QUEUE, asset_id=world.asset_id(F), target_dag_id="consumer", created_at=START)
    retire(world)
    assert readable(world) == numbers[2:]
    world.insert(QUEUE, asset_id=world.asset_id(F), target_dag_id="new", created_at=START)
    assert retire(world)["flights"].due == 0
    world.delete(QUEUE)
    retire(world)
    assert readable(world) == numbers[-1:]


def test_a_queue_of_another_asset_keeps_nothing(world: World) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(3)]
    world.insert(QUEUE, asset_id=world.asset_id(G), target_dag_id="consumer", created_at=START)
    retire(world)
    assert readable(world) == numbers[-1:]


def test_what_a_run_has_pinned_stays_as_long_as_its_row(world: World) -> None:
    first = world.make("first", "run 0")
    world.start("reads")
    assert latest(F) == "first"
    second = world.make("second", "run 1")
    assert retire(world)["flights"].needed == 1
    assert readable(world) == [first, second]
    world.start("reads")
    assert latest(F) == "first", "also when the task is cleared"
    world.delete(RUN, run_id="reads")
    world.delete(XCOM, run_id="reads")
    retire(world)
    assert readable(world) == [second]


def test_one_version_of_two_events_is_one(world: World) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(3)]
    ((number, *rest),) = world.select(EVENT, id=numbers[1])
    names = [column.name for column in EVENT.columns][1:]
    world.insert(EVENT, **dict(zip(names, rest, strict=True)))
    assert number == numbers[1]
    assert retire(world)["flights"].versions == 3


def test_events_without_a_value_count_for_nothing(world: World) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(2)]
    forged = world.select(EVENT.c.extra, id=numbers[0])[0][0] | {"from_rest_api": True}
    for extra in ({}, {"airflow_xcom": 7}, forged):
        world.insert(EVENT, asset_id=world.asset_id(F), extra=extra, timestamp=dt.datetime(2030, 1, 1))
    assert retire(world)["flights"].versions == 2
    assert readable(world) == numbers[1:]


def test_an_event_that_cannot_be_parsed_stops_nothing(world: World) -> None:
    for run in ("one", "two"):
        world.make(run, run)
    deep = '{"airflow_xcom": ' + "[" * 9000 + "]" * 9000 + "}"
    with world.engine.begin() as connection:
        insert = "insert into asset_event (asset_id, extra, timestamp) values (1, :extra, '2030-01-01 00:00:00.000000')"
        connection.execute(sqlalchemy.text(insert), {"extra": deep})
    assert [version.value() for _, version in history(world.events, world.events.assets()[0])] == ["two", "one"]


def test_a_note_of_a_task_that_still_works_keeps_what_is_published(world: World) -> None:
    world.make("first", "run 0")
    world.start("long", "make", dag_id="producer", outlets=(F,))
    publish("second", F)
    retire(world)
    swept(world)
    world.succeed()
    world.start("reads")
    assert latest(F) == "second"


def test_after_db_clean_versions_go_with_the_archive(world: World, backend: Backend) -> None:
    world.make("first", "run 0")
    ((*values,),) = world.select(EVENT)
    world.insert(ARCHIVE, **dict(zip([column.name for column in EVENT.columns], values, strict=True)))
    world.delete(EVENT)
    world.delete(XCOM)
    swept(world)
    assert len(backend.blobs()) == 1
    world.delete(ARCHIVE)
    swept(world)
    assert backend.blobs() == []


# Tags


def test_a_tag_keeps_a_version_also_after_its_event_is_gone(world: World) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(3)]
    assert set_tag(world, versions(world)[numbers[0]], numbers[0], "golden") == []
    retire(world)
    assert readable(world) == [numbers[0], numbers[2]]
    world.delete(EVENT, id=numbers[0])
    world.delete(XCOM)
    swept(world)
    (tag,) = tags_of(F.name, F.uri)
    assert (tag.name, tag.number, tag.version.value()) == ("golden", numbers[0], 0)
    assert remove_tag(world, "golden") == [tag]
    swept(world)
    with pytest.raises(MissingPayloadError):
        tag.version.value()


def test_a_tag_moves(world: World) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(2)]
    found = versions(world)
    set_tag(world, found[numbers[0]], numbers[0], "golden")
    set_tag(world, found[numbers[0]], numbers[0], "v1.0")
    assert [tag.number for tag in set_tag(world, found[numbers[1]], numbers[1], "golden")] == [numbers[0]]
    assert [(tag.name, tag.number) for tag in tags_of(F.name, F.uri)] == [("golden", numbers[1]), ("v1.0", numbers[0])]
    assert tags_of(G.name, G.uri) == []


def test_a_tag_of_a_partition_is_one_of_the_asset(world: World) -> None:
    numbers = [world.make(part, f"run {part}", partition=part) for part in ("a", "b")]
    for number, version in versions(world).items():
        set_tag(world, version, number, f"of-{version.partition}")
    assert [(tag.name, tag.number) for tag in tags_of(F.name, F.uri)] == [("of-a", numbers[0]), ("of-b", numbers[1])]


@pytest.mark.parametrize("name", ["", "17", "a b", "a/b", "ä", "x" * 101, "..\n"])
def test_what_cannot_be_a_tag_is_refused(world: World, name: str) -> None:
    number = world.make(1, "run")
    with pytest.raises(TagError, match="cannot be a tag"):
        set_tag(world, versions(world)[number], number, name)


def test_a_version_that_is_gone_gets_no_tag(world: World, backend: Backend) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(2)]
    found = versions(world)
    next(path for path in backend.blobs() if found[numbers[1]].envelope.reference.path.endswith(path.name)).unlink()
    retire(world)
    swept(world)
    before = backend.blobs()
    with pytest.raises(RetiredVersionError):
        set_tag(world, found[numbers[0]], numbers[0], "golden")
    with pytest.raises(TagError, match="is gone from the store"):
        set_tag(world, found[numbers[1]], numbers[1], "golden")
    assert backend.blobs() == before


def test_a_clone_retires_nothing_and_takes_no_tag_from_a_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [world.make(number, f"run {number}") for number in range(3)]
    set_tag(world, versions(world)[numbers[0]], numbers[0], "golden")
    clone = Deployment("another", "elsewhere")
    with monkeypatch.context() as patch:
        patch.setattr(type(world.rows), "deployment", lambda *_, **__: clone)
        patch.setattr(type(world.events), "deployment", lambda _: clone)
        done = retire(world)["flights"]
        assert (done.due, done.retired, done.failed) == (1, 0, 1)
        assert "belongs to another Airflow" in done.problems[0]
        with pytest.raises(OwnerError):
            remove_tag(world, "golden")
        with pytest.raises(OwnerError):
            set_tag(world, versions(world)[numbers[2]], numbers[2], "golden")
    assert [(tag.name, tag.number) for tag in tags_of(F.name, F.uri)] == [("golden", numbers[0])]
    assert readable(world) == numbers


def test_a_tag_that_no_version_has_is_told(world: World) -> None:
    world.make(1, "run")
    with pytest.raises(TagError, match="no version of the asset 'flights' has the tag 'golden'"):
        remove_tag(world, "golden")


@pytest.mark.parametrize(
    "damage", [lambda _: "{", lambda _: "[" * 100_000, lambda text: text.replace(": 1,", ": 1e999,")]
)
def test_damage_of_a_tag_is_told(damage: Callable[[str], str], world: World, backend: Backend) -> None:
    number = world.make(1, "run")
    set_tag(world, versions(world)[number], number, "golden")
    (path,) = (path for path in backend.blobs() if "golden" in path.name)
    path.write_text(damage(path.read_text()))
    with pytest.raises(TagError, match="is damaged"):
        tags_of(F.name, F.uri)
    swept(world)
    assert path.exists()

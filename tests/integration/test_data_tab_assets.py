"""The pages of assets in the Data tab, asked over HTTP of a real server: versions, who read them, and who may."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from threading import Event as Signal
from typing import Any

import httpx
import pandas as pd
import pytest
from airflow.sdk import Asset
from api_server import token_of
from conftest import Backend
from data_tab import Tab
from published import Published
from test_data_tab_access import routes

from airflow_xcom.backend.asset_version import AssetVersion
from airflow_xcom.backend.assets.retention import bury
from airflow_xcom.backend.assets.tags import set_tag
from airflow_xcom.backend.assets.version import versions_in
from airflow_xcom.backend.compat_assets import Event
from airflow_xcom.backend.envelope import Retirement
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.ui import asset_versions as page_of_assets
from airflow_xcom.backend.ui import version_states

pytestmark = pytest.mark.installation

ONE = pd.DataFrame({"id": [1, 2, 3], "delay": [0.5, 1.5, 2.5]})
OTHER = pd.DataFrame({"id": [1.0, 2.0, 4.0], "gate": pd.Categorical(["a", "b", "a"])})
_NUMBERS = count()


@pytest.fixture
def asset(published: Published) -> Asset:
    """An asset that no other test has."""
    name = f"table {next(_NUMBERS)}"
    published.asset_id(name, f"file:///lake/{name}")
    return Asset(name, uri=f"file:///lake/{name}")


def path_of(published: Published, asset: Asset) -> str:
    return f"/api/assets/{published.asset_id(asset.name, asset.uri)}"


def listed(tab: Tab, published: Published, asset: Asset, **query: Any) -> dict[str, Any]:
    answer = tab.client.get(f"{path_of(published, asset)}/versions", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def which(version: dict[str, Any]) -> str:
    return f"{version['number']}.{version['id']}"


def at(tab: Tab, version: dict[str, Any]) -> Tab:
    """The tab, which asks for values of the task that published a version."""
    tab.place = (version["dag_id"], version["run_id"], version["task_id"])
    return tab


def store_and_path(event: Event) -> tuple[Any, str]:
    reference = versions_in(event)[0].envelope.reference
    assert reference is not None
    return open_store(settings().path), reference.path


# -- what is listed ------------------------------------------------------------------------------------------


def test_versions_are_listed_with_what_changed(tab: Tab, published: Published, asset: Asset) -> None:
    events = [published.made(value, asset, run=run) for value, run in ((ONE, "one"), (OTHER, "two"), (OTHER, "three"))]
    set_tag(versions_in(events[0])[0], events[0].id or 0, "golden", None)
    found = listed(tab, published, asset)
    newest, second, first = found["versions"]
    assert [each["number"] for each in found["versions"]] == [event.id for event in reversed(events)]
    assert (newest["dag_id"], newest["run_id"], newest["task_id"]) == ("flights", "three", "extract")
    assert (first["shape"], first["tags"], first["changes"]) == ([3, 2], ["golden"], None)
    assert first["bytes"] > 100
    assert newest["changes"] == {"found": [], "whole": True}
    assert second["changes"]["found"] == [
        "column 'id': int64 became float64",
        "column 'delay' was dropped (or renamed to 'gate')",
    ]
    assert found["latest"] == [newest["id"]]
    assert (found["name"], found["uri"], found["before"]) == (asset.name, asset.uri, None)
    assert found["kept"] == "[xcom_codecs] keep_published = forever"


def test_a_backfill_is_not_the_latest(tab: Tab, published: Published, asset: Asset) -> None:
    published.made(ONE, asset, run="one", start={"day": 5})
    published.made(OTHER, asset, run="two", start={"day": 1, "kind": "backfill"})
    found = listed(tab, published, asset)
    assert [each["backfill"] for each in found["versions"]] == [True, False]
    assert found["latest"] == [found["versions"][1]["id"]]


def test_each_partition_has_a_latest_version_and_changes_of_its_own(
    tab: Tab, published: Published, asset: Asset
) -> None:
    for value, partition in ((ONE, "north"), (OTHER, "south"), (ONE, "north")):
        published.made(value, asset, partition=partition)
    found = listed(tab, published, asset)
    north, south, old = found["versions"]
    assert [each["partition"] for each in found["versions"]] == ["north", "south", "north"]
    assert set(found["latest"]) == {north["id"], south["id"]}
    assert (north["changes"]["found"], south["changes"], old["changes"]) == ([], None, None)
    assert [each["id"] for each in listed(tab, published, asset, partition="south")["versions"]] == [south["id"]]


def test_events_that_do_not_count_are_told_apart(tab: Tab, published: Published, asset: Asset) -> None:
    event = published.made(ONE, asset)
    published.record(replace(event, source=("trains", "one", "extract", -1)))
    published.record(replace(event, source=(None, None, None, None), extra={**event.extra, "from_rest_api": True}))
    published.record(replace(event, extra={"airflow_xcom": "<script>"}))
    content = json.loads(event.extra["airflow_xcom"])
    for part in ("of", "asset"):
        forged = {**content, "of": ["x" * 100_000, *content["of"][1:]]} if part == "of" else content
        forged = {**forged, "asset": {**content["asset"], "name": "x" * 100_000}} if part == "asset" else forged
        published.record(replace(event, extra={"airflow_xcom": json.dumps(forged)}))
    published.record(replace(event, extra={}))
    published.record(replace(event, extra={**event.extra, "more": "x" * 300_000}))
    found = listed(tab, published, asset)
    assert [each["number"] for each in found["versions"]] == [event.id]
    reasons = [each["why"] for each in found["not_counted"]]
    assert len(reasons) == 6
    assert any("published by another task" in why for why in reasons)
    assert max(map(len, reasons)) < 1000
    assert any("REST API" in why for why in reasons)


def test_a_retired_version_says_when_and_by_which_rule(tab: Tab, published: Published, asset: Asset) -> None:
    event = published.made(ONE, asset)
    store, path = store_and_path(event)
    bury(store, path, Retirement("2026-01-01T00:00:00+00:00", "xcom:keep: 1versions"))
    (version,) = listed(tab, published, asset)["versions"]
    assert (version["state"], version["error"]) == (
        "retired",
        "retired 2026-01-01T00:00:00+00:00 by the rule xcom:keep: 1versions",
    )
    assert at(tab, version).get("value", version["key"])["kind"] == "table"
    store.delete(path)  # as the next sweep does
    assert tab.refusal("cells", version["key"], rows=1, columns=1) == (410, "retired")
    answer = tab.client.get(f"{path_of(published, asset)}/compare/{which(version)}/{which(version)}")
    assert (answer.status_code, answer.json()["state"]) == (410, "retired")


def test_a_version_whose_blob_is_lost_is_gone(tab: Tab, published: Published, asset: Asset) -> None:
    store, path = store_and_path(published.made(ONE, asset))
    store.delete(path)
    (version,) = listed(tab, published, asset)["versions"]
    assert at(tab, version).refusal("value", version["key"]) == (410, "gone")


def test_a_store_that_cannot_be_reached_is_said(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend.errors import StoreError
    from airflow_xcom.backend.stores import files

    def refuse(*_: Any) -> Any:
        raise StoreError("file:///lake", "it is away")

    published.made(ONE, asset)
    for name in ("get", "list"):
        monkeypatch.setattr(files.FileStore, name, refuse)
    found = listed(tab, published, asset)
    assert "it is away" in found["problem"]
    assert (found["versions"][0]["state"], found["versions"][0]["shape"]) == ("unreachable", [3, 2])


def test_a_store_that_fails_is_asked_no_more(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend.errors import StoreError
    from airflow_xcom.backend.stores import files

    asked: list[Any] = []

    def refuse(*given: Any) -> Any:
        asked.append(given)
        raise StoreError("file:///lake", "it is away")

    event = published.made(ONE, asset)
    for number in range(1, 20):
        again(published, event, number)
    monkeypatch.setattr(version_states, "_THREADS", ThreadPoolExecutor(1))
    for name in ("get", "list"):
        monkeypatch.setattr(files.FileStore, name, refuse)
    found = listed(tab, published, asset)
    assert {each["state"] for each in found["versions"]} == {"unreachable"}
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["get", "list"])
def test_versions_are_listed_without_a_store_that_does_not_answer(
    name: str, tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend.stores import files

    goes_on, stock = Signal(), getattr(files.FileStore, name)

    def hang(*given: Any) -> Any:
        assert goes_on.wait(300)
        return stock(*given)

    published.made(ONE, asset)
    monkeypatch.setattr(version_states, "_SECONDS", 0.2)
    monkeypatch.setattr(version_states, "_THREADS", ThreadPoolExecutor(1))
    monkeypatch.setattr(files.FileStore, name, hang)
    try:
        found = listed(tab, published, asset)
    finally:
        goes_on.set()
    assert found["versions"][0]["state"] == "unreachable"
    assert "did not answer" in found["versions"][0]["error"]
    assert name == "get" or "did not answer" in found["problem"]


def test_tags_beyond_a_bound_are_not_read(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = published.made(ONE, asset)
    for name in ("a", "b", "c"):
        set_tag(versions_in(event)[0], event.id or 0, name, None)
    for most, tags, problem in ((3, ["a", "b", "c"], None), (2, [], "more than 2 tags")):
        monkeypatch.setattr(version_states, "_TAGS", most)
        found = listed(tab, published, asset)
        assert found["versions"][0]["tags"] == tags
        assert (problem or "") in (found["problem"] or "")
        assert (problem is None) is (found["problem"] is None)


def test_long_rows_under_the_keys_of_versions_are_not_read(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend.database import xcom_rows

    rows: list[Any] = []
    stock = xcom_rows.read
    monkeypatch.setattr(xcom_rows, "read", lambda *given: [rows.append(row) or row for row in stock(*given)])
    event = published.made(ONE, asset)
    published.read(event, asset, "trains", "one")
    (version,) = listed(tab, published, asset)["versions"]
    assert [row.key for row in rows] == [f"xcom_codecs.published.{version['id']}"]
    published.set_row(("ships", "one", "extract", -1, rows[0].key), {"long": "x" * 300_000})
    tab.client.get(f"{path_of(published, asset)}/versions/{which(version)}/readers")
    assert listed(tab, published, asset)["versions"] == [version]
    assert max(len(str(row)) for row in rows) < 10_000
    assert all(row[-1] is None for row in rows if "published" not in row.key)
    assert len(rows) == 3


def test_many_versions_come_page_by_page_each_once(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("_EVENTS", 10), ("_SHOWN", 3)):
        monkeypatch.setattr(page_of_assets, name, most)
    event = published.made(ONE, asset)
    events, unlike = [event], []
    for number in range(1, 60):  # an event that does not count, and one at the same time that does
        sent = event.timestamp + dt.timedelta(seconds=number)
        unlike.append(published.record(replace(event, extra={"airflow_xcom": ""}, timestamp=sent)).id)
        events.append(again(published, event, number))
    published.record(replace(event, extra={}, timestamp=events[30].timestamp))  # at the time of another one
    numbers, others, before, pages = list[Any](), list[Any](), None, 0
    while before is not None or not pages:
        found = listed(tab, published, asset, **({} if before is None else {"before": before}))
        numbers += [each["number"] for each in found["versions"]]
        assert len(found["versions"]) <= 3
        assert ("latest" in found) is (before is None)
        others += [each["number"] for each in found["not_counted"]]
        before, pages = found["before"], pages + 1
    assert others == [*reversed(unlike)]
    assert numbers == [each.id for each in reversed(events)]
    assert 7 < pages < 30


def again(published: Published, event: Event, number: int) -> Event:
    """Another version, whose event alone is written."""
    (old,) = versions_in(event)
    own = AssetVersion(old.name, old.uri, f"{number:032x}", old.asset.at)
    reference = old.envelope.reference
    assert reference is not None
    place = own.path_prefix([old.dag_id, old.run_id, old.task_id, old.map_index])
    envelope = replace(old.envelope, asset=own, reference=replace(reference, path=f"{place}{number:032x}.arrow"))
    text = json.dumps(envelope.to_json()["airflow_xcom"])
    sent = event.timestamp + dt.timedelta(seconds=number)
    return published.record(replace(event, extra={"airflow_xcom": text}, timestamp=sent))


def test_a_page_costs_few_statements_however_many_versions_there_are(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend.database import asset_versions, xcom_rows

    rows: list[int] = []
    monkeypatch.setattr(page_of_assets, "_EVENTS", 60)
    for module in (asset_versions, xcom_rows):
        stock = module.read
        monkeypatch.setattr(module, "read", lambda *given, stock=stock: counted(rows, stock(*given)))
    event = published.made(ONE, asset)
    for number in range(1, 200):
        again(published, event, number)
    rows.clear()
    assert len(listed(tab, published, asset)["versions"]) == 25
    assert sum(rows) <= 70
    assert len(rows) <= 4


def counted(rows: list[int], found: Any) -> Any:
    rows.append(len(found))
    return found


def test_assets_with_values_are_listed(tab: Tab, published: Published, asset: Asset) -> None:
    other = published.asset_id(f"no values in {asset.name}", "file:///none")
    event = published.made(ONE, asset)
    published.record(replace(event, name=f"no values in {asset.name}", uri="file:///none", extra={"a": 1}))
    found = tab.client.get("/api/assets").json()
    number = published.asset_id(asset.name, asset.uri)
    assert {"id": number, "name": asset.name, "uri": asset.uri} in found["assets"]
    assert other not in [each["id"] for each in found["assets"]]


def test_assets_are_listed_however_many_others_there_are(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    from airflow_xcom.backend.database.asset_versions import AssetEvents

    def numbers() -> tuple[list[int], bool]:
        found = tab.client.get("/api/assets").json()
        return [each["id"] for each in found["assets"]], found["more"]

    assets = [asset, *(Asset(f"{asset.name} {letter}", uri=f"{asset.uri}/{letter}") for letter in "abc")]
    for one in assets:
        published.made(ONE, one)
    first, *_, last = (published.asset_id(one.name, one.uri) for one in assets)
    monkeypatch.setattr(AssetEvents.with_values, "__defaults__", (2,))
    everything, more = numbers()
    assert ({first, last} <= {*everything}, len(everything), more) == (True, len({*everything}), False)
    monkeypatch.setattr(page_of_assets, "_ASSETS", 2)
    assert numbers() == (everything[:2], True)
    monkeypatch.setattr(
        SimpleAuthManager, "is_authorized_asset", lambda *_, details, **__: details.id in {None, str(last)}
    )
    assert numbers() == ([last], False)
    monkeypatch.setattr(page_of_assets, "_SECONDS", -1)
    assert numbers() == ([], True)


def test_the_tables_are_not_looked_at_for_each_request(tab: Tab, published: Published, asset: Asset) -> None:
    from sqlalchemy import event

    from airflow_xcom.backend.compat import metadata_engine

    said: list[str] = []

    def hear(*told: Any) -> None:
        said.append(told[2])

    published.made(ONE, asset)
    addresses = f"{path_of(published, asset)}/versions", "/api/dags/flights/storage", "/api/assets"
    for address in addresses:
        tab.client.get(address)
        event.listen(metadata_engine(), "before_cursor_execute", hear)
        tab.client.get(address)
        event.remove(metadata_engine(), "before_cursor_execute", hear)
    assert any("asset_event" in statement for statement in said)
    assert not [statement for statement in said if "PRAGMA" in statement or "sqlite_master" in statement]


def test_the_tab_of_the_publishing_task_names_the_asset(tab: Tab, published: Published, asset: Asset) -> None:
    event = published.made(ONE, asset, dag="ships", run="three")
    tab.place = ("ships", "three", "extract")
    rows = tab.client.get(tab.path("xcoms")).json()["xcoms"]
    expected = {"id": published.asset_id(asset.name, asset.uri), "name": asset.name}
    version = versions_in(event)[0]
    assert [row.get("asset") for row in rows if row["key"].endswith(version.id)] == [expected]


# -- values --------------------------------------------------------------------------------------------------


def test_a_version_is_shown_whatever_became_of_the_xcom(tab: Tab, published: Published, asset: Asset) -> None:
    published.made(OTHER, asset)
    (version,) = listed(tab, published, asset)["versions"]
    key = version["key"]
    facts = at(tab, version).get("value", key)
    assert (facts["kind"], facts["rows"], facts["width"]) == ("table", 3, 2)
    found = f"versions(Asset(name={asset.name!r}, uri={asset.uri!r}))"
    assert facts["python"] == [f"next(each for each in {found} if each.id == {version['id']!r}).value()"]
    shown = tab.get("cells", key, rows=3, columns=2)
    assert [column["type"] for column in shown["columns"]] == ["float64", "category"]
    published.set_row(("flights", "one", "extract", -1, f"xcom_codecs.published.{version['id']}"), None)
    again = tab.get("cells", key, rows=3, columns=2)
    assert again["cells"] == shown["cells"] == [["1", "2", "4"], ["a", "b", "a"]]
    assert tab.last("verify", key)["matches"] is True
    assert tab.last("statistics", key, column=0)["max"] == "4"
    assert b"gate" in tab.ask("download/csv", key).content


def test_a_note_of_another_value_is_not_taken_for_the_versions(tab: Tab, published: Published, asset: Asset) -> None:
    published.made(ONE, asset)
    (version,) = listed(tab, published, asset)["versions"]
    where = ("flights", "one", "extract", -1, f"xcom_codecs.published.{version['id']}")
    forged = json.loads(json.dumps(published.row(where)))
    forged["airflow_xcom"]["ref"]["size"] = 7
    forged["airflow_xcom"]["summary"] = {"type": "forged"}
    published.set_row(where, forged)
    (found,) = listed(tab, published, asset)["versions"]
    assert found["type"] == version["type"]
    assert at(tab, version).get("value", version["key"])["size"] == version["bytes"]


def test_two_versions_are_compared(tab: Tab, published: Published, asset: Asset) -> None:
    published.made(ONE, asset, dag="flights")
    published.made(ONE.assign(delay=[0.5, 9.0, 2.5], gate="a"), asset, dag="trains")
    new, old = listed(tab, published, asset)["versions"]
    answer = tab.client.get(f"{path_of(published, asset)}/compare/{which(old)}/{which(new)}")
    outline, *_, last = map(json.loads, answer.text.splitlines())
    assert {each["name"]: each["types"] for each in outline["columns"]}["gate"][0] is None
    assert last["differing"]["counts"] == {"delay": 1}
    assert last["differing"]["first"] == [{"row": 1, "cells": {"delay": ["1.5", "9"]}}]


def test_who_read_a_version_is_told(tab: Tab, published: Published, asset: Asset) -> None:
    first, second = (published.made(value, asset, run=run) for value, run in ((ONE, "one"), (OTHER, "two")))
    pd.testing.assert_frame_equal(published.read(first, asset, "trains", "one"), ONE)
    published.read(second, asset, "ships", "two")
    newest, old = listed(tab, published, asset)["versions"]
    for version, (dag, run) in ((old, ("trains", "one")), (newest, ("ships", "two"))):
        found = tab.client.get(f"{path_of(published, asset)}/versions/{which(version)}/readers").json()
        readers = [(each["dag_id"], each["run_id"], each["task_id"]) for each in found["readers"]]
        assert (readers, found["more"]) == ([(dag, run, "clean")], False)


# -- who may -------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(airflow: str, tab: Tab, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """What a user sees who may read the XComs of the Dag trains, of the Dag ships all but XComs, and no others."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    stock, stock_asset = SimpleAuthManager.is_authorized_dag, SimpleAuthManager.is_authorized_asset

    def is_authorized(self: Any, *, user: Any, details: Any = None, access_entity: Any = None, **more: Any) -> bool:
        if user.get_id() != "limited":
            return bool(stock(self, user=user, details=details, access_entity=access_entity, **more))
        dag_id = details.id if details is not None else None
        return dag_id in {None, "", "trains"} or (dag_id == "ships" and access_entity is not DagAccessEntity.XCOM)

    def is_authorized_asset(self: Any, *, user: Any, **more: Any) -> bool:
        return user.get_id() != "blind" and bool(stock_asset(self, user=user, **more))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized)
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_asset", is_authorized_asset)
    return Tab(airflow, token_of("limited", "VIEWER"), backend)


@pytest.fixture
def blind(airflow: str, limited: Tab, backend: Backend) -> Tab:
    """What a user sees who may read all Dags, and no assets."""
    return Tab(airflow, token_of("blind", "VIEWER"), backend)


def addresses(published: Published, asset: Asset, *versions: dict[str, Any]) -> list[str]:
    """Every route of assets."""
    one, other = map(which, versions)
    names = {"asset_id": published.asset_id(asset.name, asset.uri), "version": one, "one": one, "other": other}
    found = [route.path for route in routes() if route.path.startswith("/api/assets")]
    assert len(found) == 4
    return [path.format(**names) for path in found]


def test_every_route_asks_for_a_user_and_for_rights_on_assets(
    tab: Tab, limited: Tab, blind: Tab, published: Published, asset: Asset
) -> None:
    for run in ("one", "two"):
        published.made(ONE, asset, dag="trains", run=run)
    versions = listed(tab, published, asset)["versions"]
    anonymous = httpx.Client(base_url=tab.client.base_url, timeout=60)
    for address in addresses(published, asset, *versions):
        assert anonymous.get(address).status_code == 401
        assert anonymous.get(address, cookies={"_token": "garbage"}).status_code in {401, 403}
        assert blind.client.get(address).status_code == 403
        assert limited.client.get(address).status_code == tab.client.get(address).status_code == 200
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert tab.client.request(method, address).status_code == 405
    key = versions[0]["key"]
    assert at(blind, versions[0]).ask("value", key).status_code == 403
    assert at(limited, versions[0]).get("value", key)["kind"] == "table"


@pytest.mark.parametrize("dag", ["flights", "ships"])
def test_what_a_dag_published_is_for_those_who_may_read_its_xcoms(
    dag: str, tab: Tab, limited: Tab, published: Published, asset: Asset
) -> None:
    theirs = [published.made(OTHER, asset, dag=dag, run=run) for run in ("one", "two")]
    published.record(replace(theirs[0], extra={"airflow_xcom": "<b>"}))
    published.made(ONE, asset, dag="trains")
    everything = listed(tab, published, asset)["versions"]
    found = listed(limited, published, asset)
    assert [each["dag_id"] for each in found["versions"]] == ["trains"]
    assert (found["versions"][0]["changes"], found["not_counted"]) == (None, [])
    of_dag = [each for each in everything if each["dag_id"] == dag]
    published.made(OTHER, asset, dag=dag, partition="secret")
    published.made(OTHER, asset, dag=dag)  # which is the latest now
    assert (len(listed(tab, published, asset)["latest"]), listed(limited, published, asset)["latest"]) == (2, [])
    for version in of_dag:
        assert version["id"] not in json.dumps(found)
        assert at(limited, version).ask("cells", version["key"], rows=1, columns=1).status_code == 403
        limited.place = ("trains", version["run_id"], version["task_id"])  # whose XComs the user may read
        assert limited.refusal("cells", version["key"], rows=1, columns=1) == (404, "none")
    for address in addresses(published, asset, *of_dag)[2:]:
        answer = limited.client.get(address)
        assert answer.status_code in {403, 404}
        assert "gate" not in answer.text
    mine = which(found["versions"][0])
    compared = limited.client.get(f"{path_of(published, asset)}/compare/{mine}/{which(of_dag[0])}")
    assert (compared.status_code, "gate" in compared.text) == (403, False)


def test_readers_of_other_dags_are_left_out(tab: Tab, limited: Tab, published: Published, asset: Asset) -> None:
    event = published.made(ONE, asset, dag="trains")
    published.read(event, asset, "flights", "one")
    published.read(event, asset, "trains", "two")
    (version,) = listed(tab, published, asset)["versions"]
    address = f"{path_of(published, asset)}/versions/{which(version)}/readers"
    assert {each["dag_id"] for each in tab.client.get(address).json()["readers"]} == {"flights", "trains"}
    assert {each["dag_id"] for each in limited.client.get(address).json()["readers"]} == {"trains"}


def test_readers_that_tags_hide_are_left_out_and_so_are_those_of_hidden_versions(
    tab: Tab, limited: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = published.made(ONE, asset, dag="trains")
    for dag, run in (("trains", "two"), ("ships", "one"), ("flights", "one")):
        published.read(event, asset, dag, run)
    (version,) = listed(tab, published, asset)["versions"]
    address = f"{path_of(published, asset)}/versions/{which(version)}/readers"

    def told(who: Tab) -> tuple[list[str], bool]:
        found = who.client.get(address).json()
        return [each["dag_id"] for each in found["readers"]], found["more"]

    monkeypatch.setattr(page_of_assets, "_READERS", 1)
    assert told(tab) == (["flights"], True)
    assert told(limited) == (["trains"], False)
    with tagged("flights", "xcom:hide=cl*"), tagged("ships", "xcom:hide"):
        assert told(tab) == (["trains"], False)
    with tagged("trains", "xcom:hide=ext*"):
        answer = tab.client.get(address)
        assert (answer.status_code, answer.json()["state"]) == (403, "hidden")
    monkeypatch.setattr(page_of_assets, "_ASKED", 2)
    assert told(limited) == ([], True)


@contextmanager
def tagged(dag: str, tag: str) -> Iterator[None]:
    """Give a Dag a tag for a while."""
    from airflow.models.dag import DagTag
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagTag(dag_id=dag, name=tag))
    try:
        yield
    finally:
        with create_session() as session:
            session.query(DagTag).filter_by(dag_id=dag).delete()


def test_nothing_is_compared_with_a_version_that_is_hidden(tab: Tab, published: Published, asset: Asset) -> None:
    published.made(ONE.assign(salary_of_alice=1), asset, dag="flights")
    published.made(ONE, asset, dag="trains")
    assert "salary_of_alice" in str(listed(tab, published, asset))
    with tagged("flights", "xcom:hide"):
        found = listed(tab, published, asset)
        assert [each.get("changes", each["state"]) for each in found["versions"]] == [None, "hidden"]
        assert "salary" not in json.dumps(found)


def test_nothing_is_compared_with_a_version_whose_columns_are_not_shown(
    tab: Tab, published: Published, asset: Asset, backend: Backend
) -> None:
    backend.options(preview="none")
    published.made(ONE.assign(salary_of_alice=1), asset)
    backend.options(preview="rows")
    published.made(ONE, asset, run="two")
    (newest, _) = listed(tab, published, asset)["versions"]
    assert newest["changes"] is None


def test_versions_of_a_dag_that_is_gone_are_left_out(
    tab: Tab, published: Published, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "set_row", lambda *_: None)  # no run is there that has XComs
    published.made(ONE, asset, dag="gone")
    assert listed(tab, published, asset)["versions"] == []


def test_tags_of_the_dag_and_masked_names_hide_versions(tab: Tab, published: Published, asset: Asset) -> None:
    secret = Asset(f"password of {asset.name}", uri=f"{asset.uri}/password")
    published.made(ONE, asset)
    before = tab.client.get("/api/dags/flights/storage").json()
    published.made(ONE, secret)
    (masked,) = listed(tab, published, secret)["versions"]
    assert (masked["state"], "type" in masked, "shape" in masked) == ("hidden", False, False)
    noted = f"xcom_codecs.published.{masked['id']}"
    for key in (masked["key"], noted):
        for what in ("value", "cells"):
            assert at(tab, masked).refusal(what, key, rows=1, columns=1) == (403, "hidden")
    (row,) = (each for each in tab.client.get(tab.path("xcoms")).json()["xcoms"] if each["key"] == noted)
    assert (row["state"], "type" in row) == ("hidden", False)
    assert [run["state"] for run in tab.get("history", noted)["runs"]] == ["hidden"]
    taken = tab.client.get("/api/dags/flights/storage").json()
    assert (taken["hidden"], noted in json.dumps(taken)) == (before["hidden"] + 1, False)
    with tagged("flights", "xcom:hide=ext*"):
        (version,) = listed(tab, published, asset)["versions"]
        assert (version["state"], "type" in version, "changes" in version) == ("hidden", False, False)
        assert tab.refusal("value", version["key"]) == (403, "hidden")
        answer = tab.client.get(f"{path_of(published, asset)}/compare/{which(version)}/{which(version)}")
        assert answer.status_code == 403


def test_the_preview_none_hides_columns(tab: Tab, published: Published, asset: Asset, backend: Backend) -> None:
    published.made(ONE, asset)
    published.made(OTHER, asset)
    assert listed(tab, published, asset)["versions"][0]["changes"]["found"]
    backend.options(preview="none")
    (newest, _) = listed(tab, published, asset)["versions"]
    assert newest["changes"] is None
    assert at(tab, newest).get("value", newest["key"])["kind"] == "hidden"


def test_the_greatest_ids_of_a_database_are_ids(tab: Tab, published: Published, asset: Asset) -> None:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    event, last = published.made(ONE, asset), 2**31 - 1
    with create_session() as session:
        model = session.get(AssetModel, published.asset_id(asset.name, asset.uri))
        session.query(AssetEvent).filter_by(id=event.id).update({"id": last, "asset_id": last})
        model.id = last
    try:
        (version,) = listed(tab, published, asset)["versions"]
        assert version["key"] == f"xcom_codecs.version.{last}.{last}.{version['id']}"
        assert at(tab, version).get("value", version["key"])["rows"] == 3
        for address in addresses(published, asset, version, version)[1:]:
            assert tab.client.get(address).status_code == 200
            assert tab.client.get(address.replace(str(last), str(2**31))).status_code in {404, 422}
        assert tab.client.get(f"{path_of(published, asset)}/versions", params={"before": last}).json()["versions"] == []
        beyond = version["key"].replace(f".{last}.", f".{2**31}.", 1)
        assert tab.refusal("value", beyond) == (404, "none")
    finally:
        with create_session() as session:
            session.query(AssetEvent).filter_by(id=last).delete()
            session.query(AssetModel).filter_by(id=last).delete()


def test_what_is_no_asset_or_version_gives_nothing(tab: Tab, published: Published, asset: Asset) -> None:
    other = Asset(f"other {asset.name}", uri=f"{asset.uri}/other")
    published.made(ONE, asset)
    published.made(ONE, other)
    (version,) = listed(tab, published, asset)["versions"]
    theirs = path_of(published, other)
    none = f"{version['number']}.{'0' * 32}"
    assert tab.client.get(f"{theirs}/versions/{which(version)}/readers").status_code == 404
    assert tab.client.get(f"{theirs}/compare/{which(version)}/{which(version)}").status_code == 404
    assert tab.client.get(f"{path_of(published, asset)}/versions/{none}/readers").status_code == 404
    assert at(tab, version).refusal("value", f"{version['key'][:-32]}{'0' * 32}") == (404, "none")
    for bad in ("x", "-1", "1e3", "9" * 30, "~", "%00"):
        assert tab.client.get(f"/api/assets/{bad}/versions").status_code in {404, 422}
    for query in ({"before": "x"}, {"before": -1}, {"before": 10**12}, {"partition": "x" * 5000}):
        assert tab.client.get(f"{theirs}/versions", params=query).status_code == 422
    assert tab.client.get("/api/assets/999999999/versions").status_code == 404
    assert tab.client.get(f"{theirs}/versions", params={"before": version["number"]}).json()["versions"] == []

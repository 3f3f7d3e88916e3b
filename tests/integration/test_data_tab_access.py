"""Who gets what of the Data tab: rights, what hides values, and what attackers try."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
import pytest
from api_server import token_of
from conftest import Backend
from data_tab import Tab

from airflow_xcom.backend.stores import files

pytestmark = pytest.mark.installation

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
NAMES = {"dag_id": "flights", "run_id": "one", "task_id": "extract", "map_index": "-1", "kind": "csv", "other": "one"}


@pytest.fixture
def tab(tab: Tab) -> Tab:
    """One that has a frame."""
    tab.push(FRAME)
    return tab


@pytest.fixture
def limited(airflow: str, tab: Tab, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """What a user sees who may read the XComs of the Dag trains, of the Dag ships all but XComs, and no others."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    stock = SimpleAuthManager.is_authorized_dag

    def is_authorized(self: Any, *, user: Any, details: Any = None, access_entity: Any = None, **more: Any) -> bool:
        if user.get_id() != "limited":
            return bool(stock(self, user=user, details=details, access_entity=access_entity, **more))
        dag_id = details.id if details is not None else None
        return dag_id in {None, "trains"} or (dag_id == "ships" and access_entity is not DagAccessEntity.XCOM)

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized)
    return Tab(airflow, token_of("limited", "VIEWER"), backend)


def routes() -> list[Any]:
    from airflow_xcom.backend.ui.routes import create_app

    return [route for route in create_app().routes if hasattr(route, "path")]


def addresses(**names: str) -> list[str]:
    """Every route of a Dag, with a key and whatever else it needs; test_data_tab_assets.py has those of assets."""
    found = [
        route.path
        for route in routes()
        if not route.path.startswith(("/page/", "/static/", "/api/stores", "/api/assets"))
    ]
    assert len(found) > 8
    assert all(path.startswith("/api/dags/{dag_id}/") for path in found)
    return [path.format(**{**NAMES, **names}) + "?key=return_value&column=0&rows=1&columns=1" for path in found]


def test_every_route_reads_and_asks_for_a_user(tab: Tab) -> None:
    anonymous = httpx.Client(base_url=tab.client.base_url, timeout=60)
    asked = [*addresses(), "/page/dags/flights/runs/one", "/static/any/app.js", "/openapi.json", "/docs", "/redoc"]
    for address in asked:
        assert anonymous.get(address).status_code in {401, 404}, address
    for address in addresses():
        assert anonymous.get(address).status_code == 401
        assert anonymous.get(address, headers={"Authorization": "Bearer x.y.z"}).status_code in {401, 403}
        assert anonymous.get(address, cookies={"_token": "garbage"}).status_code in {401, 403}
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert tab.client.request(method, address).status_code == 405
    assert {method for route in routes() for method in route.methods} == {"GET"}


def test_a_bearer_is_taken_as_a_cookie_is(tab: Tab, token: str) -> None:
    client = httpx.Client(base_url=tab.client.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert client.get(tab.path("value"), params={"key": "return_value"}).json()["kind"] == "table"


@pytest.mark.parametrize("dag", ["flights", "ships"])
def test_every_route_asks_for_rights_on_the_xcoms_of_the_dag(dag: str, limited: Tab, tab: Tab) -> None:
    for place in (("flights", "one", "extract"), ("ships", "one", "extract"), ("trains", "one", "extract")):
        tab.push(FRAME, place=place)
    for address in addresses(dag_id=dag):
        answer = limited.client.get(address)
        assert answer.status_code == 403, address
        assert "return_value" not in answer.text
    allowed = [limited.client.get(address).status_code for address in addresses(dag_id="trains")]
    assert allowed.count(200) >= 7
    assert 403 not in allowed


@pytest.mark.parametrize(
    "dag",
    [
        "~",
        "%7E",
        "",
        "flights%2F..%2Ftrains",
        "..",
        "%2e%2e",
        "trains%00",
        "trains%0a",
        "FLIGHTS",
        "flights ",
        "*",
        "%25",
    ],
)
def test_a_dag_that_is_no_dag_gives_nothing(dag: str, limited: Tab, tab: Tab) -> None:
    for client in (limited.client, tab.client):
        for address in addresses(dag_id=dag):
            answer = client.get(address)
            assert answer.status_code in {403, 404, 405, 307}, (address, answer.text)


def test_the_dag_of_the_path_alone_counts(limited: Tab, tab: Tab) -> None:
    for address in addresses():
        for forged in ("&dag_id=trains", "&dag_id=~", "&dag_id="):
            assert limited.client.get(address + forged).status_code in {403, 404}
            assert tab.client.get(address + forged).status_code == 404
            headers = {"dag_id": "trains", "X-Original-URL": "/xcom-data/api/dags/trains"}
            assert limited.client.get(address, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/xcom-data/api/dags/trains/../flights/runs/one/xcoms",
        "/xcom-data/api/dags/trains/%2e%2e/flights/runs/one/xcoms",
        "/xcom-data/api/dags/trains%2f..%2fflights/runs/one/xcoms",
        "/xcom-data//api/dags/flights/runs/one/xcoms",
        "/xcom-data/static/any/../../api/dags/flights/runs/one/xcoms",
        "/xcom-data/static/any/..%2f..%2froutes.py",
        "/xcom-data/static/%2e%2e/routes.py",
        "/xcom-data/static/any/page.html",
        "/xcom-data/page/../api/dags/flights/runs/one/xcoms",
    ],
)
def test_a_path_as_it_is_sent_leads_nowhere_else(path: str, limited: Tab) -> None:
    """Clients tidy paths up; attackers do not."""
    parts = urlsplit(str(limited.client.base_url))
    cookie = f"Cookie: _token={limited.client.cookies['_token']}"
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", cookie, "Connection: close", "", ""])
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    is_shell = b"text/html" in head and b"return_value" not in body
    assert head.split()[1] in {b"403", b"404"} or is_shell
    assert b"create_app" not in body


def test_ids_and_keys_that_are_none(tab: Tab) -> None:
    for key in ("", "\0", "return_value\0", "a" * 10_000, "' or 1=1 --"):
        assert tab.ask("value", key).status_code == 404
    assert tab.client.get(tab.path("value")).status_code == 404
    for index in ("x", "1e3", "99999999999999999999", "-2", "{MAP_INDEX}"):
        address = f"/api/dags/flights/runs/one/tasks/extract/{index}/value?key=return_value"
        assert tab.client.get(address).status_code == 404
    for query in ({"row": -1}, {"rows": 10**9}, {"path": "a"}, {"path": "1." * 200}, {"row": 10**30}, {"columns": "x"}):
        assert tab.ask("cells", **query).status_code == 422
    assert tab.ask("cells", rows=2000, columns=2000).status_code == 413


def test_tags_of_the_dag_hide_values(tab: Tab) -> None:
    from airflow.models.dag import DagTag
    from airflow.utils.session import create_session

    def tagged(name: str | None) -> None:
        with create_session() as session:
            session.query(DagTag).filter_by(dag_id="flights").delete()
            if name is not None:
                session.add(DagTag(dag_id="flights", name=name))

    try:
        for name in ("xcom:hide", "xcom:hide=extract", "xcom:hide=ext*"):
            tagged(name)
            for address in addresses():
                answer = tab.client.get(address)
                shown = {} if answer.status_code == 403 else answer.json()
                listed = [*shown.get("xcoms", []), *shown.get("largest", [])]
                assert "extract" not in [value["task_id"] for value in listed], (name, address)
                assert answer.status_code == 403 or {"xcoms", "largest"} & shown.keys(), (name, address)
        tagged("xcom:hide=clean")
        assert tab.get("value")["kind"] == "table"
    finally:
        tagged(None)


def test_rows_of_other_xcoms_and_forged_ones_are_refused(tab: Tab, backend: Backend) -> None:
    theirs = backend.push(FRAME, dag_id="trains", run_id="one", task_id="extract")
    ours = backend.push(FRAME, dag_id="flights", run_id="one", task_id="extract")
    tab.write_row(theirs)
    assert tab.refusal("cells", rows=1, columns=1) == (409, "foreign")
    forged = json.loads(json.dumps(ours))
    forged["airflow_xcom"]["ref"]["path"] = theirs["airflow_xcom"]["ref"]["path"]
    tab.write_row(forged)
    assert tab.refusal("cells", rows=1, columns=1) == (409, "foreign")
    assert tab.refusal("download/arrow") == (409, "foreign")
    for path in ("../../etc/passwd", "/etc/passwd"):
        forged["airflow_xcom"]["ref"]["path"] = path
        tab.write_row(forged)
        assert tab.refusal("value")[0] in {409, 422}
    forged["airflow_xcom"]["ref"] = {**ours["airflow_xcom"]["ref"], "url": "file:///etc", "store": "other"}
    tab.write_row(forged)
    assert tab.refusal("value")[0] == 502
    listed = tab.client.get(tab.path("xcoms")).json()["xcoms"]
    assert {row["state"] for row in listed if row["key"] == "return_value"} == {"store"}


@pytest.mark.parametrize(
    "data",
    [
        {"$": ["class.dataclass", 1, ["os:system", {"command": "true"}]]},
        {"$": ["acme.unknown", 1, [1, 2]]},
        {"$": ["numpy.ndarray", 1, ["|O", [10**18], []]]},
        {"$": ["numpy.ndarray", 1, ["<f8", [10**18], {"$": ["bytes", ""]}]]},
        {"$": ["numpy.ndarray", 1, ["<f8", [-1, 2], None]]},
        {"$": ["decimal.Decimal", 1, "1E+999999999"]},
        {"$": ["int", 1, "0x" + "f" * 10_000]},
        {"$": ["same", 7]},
        {"$": ["blob", "AAAA"]},
        {"$": ["pandas.DataFrame", 1, {"$": ["table", [{"index": 3, "kinds": 4, "names": 5}, "AAAA"]]}]},
        {"$": []},
        ["<script>alert(1)</script>", {"<img onerror=x>": "\u2028"}],
    ],
    ids=lambda data: json.dumps(data)[:30],
)
def test_a_forged_payload_is_shown_as_it_stands_or_refused(
    data: Any, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    imported: list[str] = []
    stock = importlib.import_module

    def note(name: str, *more: Any) -> Any:
        imported.append(name)
        return stock(name, *more)

    monkeypatch.setattr(importlib, "import_module", note)
    envelope = {"version": 1, "tag": "x", "summary": {"type": "<b>", "shape": 3}, "of": [None] * 5, "data": data}
    tab.write_row({"airflow_xcom": envelope})
    for address in addresses():
        answer = tab.client.get(address)
        assert answer.status_code in {200, 409, 413, 422, 403}, (address, answer.text)
        assert answer.headers["content-type"].partition(";")[0] != "text/html"
    assert not [name for name in imported if not name.startswith("airflow")]


def test_a_damaged_blob_is_refused(tab: Tab, backend: Backend) -> None:
    for number, value in enumerate([FRAME, {"a": np.zeros(9000), "b": [FRAME]}]):
        tab.push(value, f"k{number}")
    random = np.random.default_rng(17)
    blobs = backend.blobs()
    for path in blobs:
        path.chmod(0o600)
    whole = {path: path.read_bytes() for path in blobs}
    for _ in range(15):
        for path, data in whole.items():
            damaged = bytearray(data)
            for at in random.integers(0, len(data), 8):
                damaged[at] = random.integers(0, 256)
            path.write_bytes(damaged)
        for key in ("k0", "k1"):
            for what in ("value", "items", "cells?rows=2&columns=2", "items?path=0", "array?path=0&rows=1&columns=9"):
                name, _, query = what.partition("?")
                answer = tab.client.get(f"{tab.path(name)}?key={key}&{query}")
                assert answer.status_code in {200, 413, 422}, (what, answer.text)


def test_headers_let_a_page_load_nothing_from_elsewhere(tab: Tab) -> None:
    for answer in (tab.ask("value"), tab.client.get("/page/dags/flights/runs/one"), tab.ask("value", "missing")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    for path in ("dags/<script>/runs/one", "dags/<script>/runs/'\"><b>/tasks/&amp;/-1"):
        page = tab.client.get(f"/page/{path}").text
        assert "<script>" not in page
        assert "<b>" not in page


def test_browsers_keep_the_assets_of_this_version_alone(tab: Tab) -> None:
    page = tab.client.get("/page/dags/flights/runs/one/tasks/extract/-1").text
    names = re.findall(r'"\.\./[./]*(static/\w+/\w+\.\w+)"', page)
    web = importlib.resources.files("airflow_xcom.backend.ui") / "web"
    assert {name.rpartition("/")[2] for name in names} == {each.name for each in web.iterdir()} - {"page.html"}
    for name in names:
        found = tab.client.get(f"/{name}")
        assert found.headers.get_list("cache-control") == ["private, max-age=604800, immutable"]
        assert found.content == (web / name.rpartition("/")[2]).read_bytes()
        other = tab.client.get(f"/static/other/{name.rpartition('/')[2]}")
        assert other.headers.get_list("cache-control") == ["no-store"]


def test_the_server_answers_others_while_reads_are_slow(
    tab: Tab, airflow: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, go_on = threading.Semaphore(0), threading.Event()
    stock = files.FileStore.read

    def read(self: Any, *arguments: Any) -> Any:
        waiting.release()
        assert go_on.wait(120)
        return stock(self, *arguments)

    monkeypatch.setattr(files.FileStore, "read", read)
    users = [Tab(airflow, token_of(f"user{number}", "VIEWER"), backend) for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        try:
            slow = [pool.submit(user.ask, "cells", rows=1, columns=1) for user in users]
            assert waiting.acquire(timeout=60)
            for _ in range(5):
                answer = tab.client.get(f"{airflow}/api/v2/dags")
                assert answer.status_code == 200
            assert not any(each.done() for each in slow)
        finally:
            go_on.set()
        assert {each.result().status_code for each in slow} <= {200, 503}


def test_a_user_asks_for_some_at_a_time(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    stock = files.FileStore.read
    monkeypatch.setattr(files.FileStore, "read", lambda *arguments: go_on.wait(120) and stock(*arguments))
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(tab.ask, "cells", rows=1, columns=1) for _ in range(50)]
        while sum(each.done() for each in asked) < 42:
            threading.Event().wait(0.01)
        go_on.set()
        codes = [each.result().status_code for each in asked]
    assert codes.count(429) == 42
    assert codes.count(200) == 8


def test_what_takes_too_long_is_given_up_and_counts_until_its_thread_ends() -> None:
    from fastapi import HTTPException

    from airflow_xcom.backend.ui.turns import Turns

    go_on = threading.Event()
    codes = []

    async def ask() -> None:
        turns = Turns(threads=1, each=2, seconds=0.5)
        try:
            for _ in range(3):  # the first one has the only thread, the others never begin
                with pytest.raises(HTTPException) as caught:
                    await turns.run("user", go_on.wait, 60)
                codes.append(caught.value.status_code)
            assert turns._held == {"user": 1}
        finally:
            go_on.set()
        turns._pool.shutdown()
        assert not turns._held

    asyncio.run(ask())
    assert codes == [503] * 3


def test_threads_that_do_not_end_are_a_users_own() -> None:
    from fastapi import HTTPException

    from airflow_xcom.backend.ui.turns import Turns

    go_on = threading.Event()

    async def ask() -> None:
        turns = Turns(threads=2, each=1, seconds=1)
        try:
            for code in (503, 429):
                with pytest.raises(HTTPException) as caught:
                    await turns.run("user", go_on.wait, 60)
                assert caught.value.status_code == code
            turns._seconds = 60
            assert await turns.run("another", int, 7) == 7
        finally:
            go_on.set()

    asyncio.run(ask())


def test_a_small_part_of_a_large_table_is_read(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    stock = files.FileStore.read

    def count(self: Any, path: str, ranges: Any) -> Any:
        read.append(sum(stop - start for start, stop in ranges))
        return stock(self, path, ranges)

    tab.push(pd.DataFrame(np.random.default_rng(1).normal(size=(60_000, 100))))
    monkeypatch.setattr(files.FileStore, "read", count)
    size = tab.get("value")["size"]
    assert size > 40_000_000
    assert len(tab.get("cells", rows=60, columns=20)["cells"]) == 20
    assert 0 < sum(read) < 0.02 * size


@pytest.fixture
def reloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the module of the plugin anew, as another process would."""
    import importlib

    from airflow_xcom.backend.ui import data_tab

    yield lambda: importlib.reload(data_tab).DataTabPlugin
    monkeypatch.undo()
    importlib.reload(data_tab)


def test_an_option_turns_the_tab_off(reloaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [view["destination"] for view in reloaded().external_views] == ["dag_run", "task_instance", "nav", "nav"]
    assert all(not view["href"].startswith("/") for view in reloaded().external_views)
    monkeypatch.setenv("AIRFLOW__XCOM_CODECS__DATA_TAB", "False")
    assert (reloaded().external_views, reloaded().fastapi_apps) == ([], [])


def test_the_page_of_an_asset_is_a_tab_where_airflow_has_such_tabs(
    reloaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import plugins_manager

    monkeypatch.setattr(plugins_manager, "BaseDestinationLiteral", Literal["nav", "asset"], raising=False)
    (view,) = (view for view in reloaded().external_views if view["destination"] == "asset")
    assert view["href"] == "xcom-data/page/assets/{ASSET_ID}"


def test_there_is_none_before_airflow_3_1(reloaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.plugins_manager import AirflowPlugin

    for cls in AirflowPlugin.__mro__:
        if "external_views" in vars(cls):
            monkeypatch.delattr(cls, "external_views")
    assert (reloaded().external_views, reloaded().fastapi_apps) == ([], [])

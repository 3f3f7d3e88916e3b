"""The page of what all values take: what it counts, what it leaves out, and who sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pytest
from airflow_rows import add_dags, set_row
from api_server import token_of
from conftest import Backend
from data_tab import Tab
from test_data_tab_access import routes

from airflow_xcom.backend.database import dag_runs
from airflow_xcom.backend.envelope import Coordinate, Envelope, Retirement
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.ui import storage

pytestmark = pytest.mark.installation

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
STORES = ["/api/stores", "/api/stores/owner?name=default"]


class Text(str):
    __slots__ = ()


@pytest.fixture
def boats(tab: Tab, backend: Backend) -> Iterator[str]:
    """A Dag without values yet."""
    from airflow.models.dag import DagTag
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        add_dags(session, ["boats"])
    backend.options(threshold=0, inexact="as_airflow")
    yield "boats"
    with create_session() as session:
        session.query(DagTag).filter_by(dag_id="boats").delete()
        session.query(XComModel).filter_by(dag_id="boats").delete()


def taken(tab: Tab) -> Any:
    return tab.client.get("/api/dags/boats/storage").json()


def written(dag: str) -> int:
    """How many characters the database has of a Dag's values."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        return sum(len(json.dumps(row.value)) for row in session.query(XComModel).filter_by(dag_id=dag))


def test_what_the_values_of_a_dag_take(boats: str, tab: Tab, backend: Backend) -> None:
    assert taken(tab)["places"] == {}
    tab.push(FRAME, "frame", place=(boats, "one", "extract"))
    tab.push((Text("x"),), "text", place=(boats, "two", "clean"))
    sizes = [path.stat().st_size for path in backend.blobs()]
    plain = {"plain": "x" * (10 * max(sizes))}
    backend.options(threshold=-1)
    tab.push(plain, "plain", place=(boats, "two", "clean"))
    found = taken(tab)
    assert found["places"]["default"] == {"values": 2, "bytes": sum(sizes)}
    assert found["places"][""] == {"values": 3, "bytes": written(boats)}
    assert [(value["run_id"], value["task_id"], value["key"], value["bytes"]) for value in found["largest"]] == [
        ("two", "clean", "plain", len(json.dumps(plain))),
        ("one", "extract", "frame", max(sizes)),
        ("two", "clean", "text", min(sizes)),
    ]
    assert [(value["key"], value["parts"]) for value in found["some_inexact"]] == [("text", 1)]
    counts = {name: found[name] for name in ("rows", "inexact", "retired", "unreadable", "hidden", "more")}
    assert counts == {"rows": 3, "inexact": 1, "retired": 0, "unreadable": 0, "hidden": 0, "more": False}


def test_hidden_tasks_and_masked_keys_are_not_counted(boats: str, tab: Tab) -> None:
    from airflow.models.dag import DagTag
    from airflow.utils.session import create_session

    tab.push(FRAME, "frame", place=(boats, "one", "extract"))
    tab.push((1, 2), "numbers", place=(boats, "one", "clean"))
    tab.push((1, 2), "my_password", place=(boats, "one", "extract"))
    for tag, shown, hidden in ((None, 2, 1), ("xcom:hide=cl*", 1, 2)):
        if tag is not None:
            with create_session() as session:
                session.add(DagTag(dag_id=boats, name=tag))
        found = taken(tab)
        assert (found["places"][""]["values"], len(found["largest"]), found["hidden"]) == (shown, shown, hidden)
        assert "password" not in json.dumps(found)
    with create_session() as session:
        session.add(DagTag(dag_id=boats, name="xcom:hide"))
    answer = tab.client.get("/api/dags/boats/storage")
    assert (answer.status_code, answer.json()["state"]) == (403, "hidden")


def test_retired_damaged_and_forged_rows_are_counted_as_such(boats: str, tab: Tab, backend: Backend) -> None:
    from airflow.utils.session import create_session

    row = backend.push(FRAME, dag_id=boats, run_id="one", task_id="extract")
    forged = json.loads(json.dumps(row))
    forged["airflow_xcom"]["ref"] |= {"store": "<img src=x>", "size": 7}
    retired = Envelope("tuple", {}, Coordinate(), retired=Retirement("2026-01-01T00:00:00+00:00", "7d")).to_json()
    damaged = {"airflow_xcom": {"version": 1}}
    with create_session() as session:
        for key, content in {"forged": forged, "again": forged, "retired": retired, "damaged": damaged}.items():
            set_row(session, (boats, "one", "extract", key), content)
    found = taken(tab)
    assert found["places"]["?"] == {"values": 2, "bytes": 7}, "one blob, to which two values refer"
    assert (found["retired"], found["unreadable"], found["rows"]) == (1, 1, 4)
    assert "img" not in json.dumps(found["places"])


def test_only_the_last_values_are_looked_at_and_that_is_said(
    boats: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, run in enumerate(("one", "two", "three")):
        for key in "abc":
            tab.push(FRAME[:number], key, place=(boats, run, "extract"))
    monkeypatch.setattr(dag_runs, "_OUTLINED_RUNS", 1)
    for page in (1, 2, 3, 100):
        monkeypatch.setattr(dag_runs.Runs.outlines, "__defaults__", (page,))
        found = taken(tab)
        assert (found["rows"], found["more"]) == (9, False)
        assert found["places"]["default"]["values"] == 9
    monkeypatch.setattr(storage, "_ROWS", 4)
    found = taken(tab)
    assert (found["rows"], found["more"]) == (4, True)
    assert [value["run_id"] for value in found["largest"]].count("three") == 3
    monkeypatch.setattr(storage, "_SECONDS", -1)
    assert (taken(tab)["rows"], taken(tab)["more"]) == (0, True)


def test_runs_without_values_take_no_longer_than_others(boats: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_runs, "_OUTLINED_RUNS", 1)
    assert (taken(tab)["rows"], taken(tab)["more"]) == (0, False)
    monkeypatch.setattr(storage, "_SECONDS", -1)
    assert (taken(tab)["rows"], taken(tab)["more"]) == (0, True)


def test_no_statement_reads_more_than_a_page(
    boats: str, tab: Tab, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    backend.options(threshold=-1)
    for number in range(7):
        tab.push({"plain": number}, f"k{number}", place=(boats, "one", "extract"))
    monkeypatch.setattr(storage, "_ROWS", 3)
    monkeypatch.setattr(dag_runs.Runs.outlines, "__defaults__", (2,))
    said: list[tuple[str, Any]] = []
    runs = dag_runs.metadata_runs()
    engine, _ = runs.database

    def hear(*told: Any) -> None:
        said.append(told[2:4])

    event.listen(engine, "before_cursor_execute", hear)
    monkeypatch.setattr(storage, "metadata_runs", lambda: runs)
    assert storage.storage(boats)["more"]
    event.remove(engine, "before_cursor_execute", hear)
    of_values = [(statement, parameters) for statement, parameters in said if "FROM xcom" in statement]
    assert len(of_values) == 2
    for statement, parameters in of_values:
        assert "LIMIT" in statement
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        searched = [step.detail for step in plan if "xcom" in step.detail]
        assert searched, plan
        assert all("SEARCH" in detail and "(dag_run_id=?" in detail for detail in searched), "not all of the Dag's rows"


def test_whose_a_store_is_without_addresses(tab: Tab, backend: Backend) -> None:
    from airflow_xcom.backend.database.xcom_rows import metadata_rows
    from airflow_xcom.backend.maintenance.ownership import OWNER, adopt
    from airflow_xcom.backend.maintenance.sweep import chosen_stores

    def owner() -> str:
        answer = tab.client.get(STORES[1])
        assert "secret" not in answer.text
        return str(answer.json()["owner"])

    backend.options(stores=json.dumps({"far": "s3://secret_connection@bucket/prefix"}))
    assert [store["name"] for store in tab.client.get(STORES[0]).json()["stores"]] == ["far", "default"]
    assert "secret" not in tab.client.get(STORES[0]).text
    assert owner().startswith("Nobody")
    deployment = metadata_rows().deployment(create=True)
    assert deployment is not None
    store = chosen_stores("default")["default"]
    adopt(store, deployment)
    assert owner() == "This Airflow"
    adopt(store, type(deployment)("another", "its secret place"), force=True)
    assert owner().startswith("Another Airflow")
    store.delete(OWNER)
    store.put(OWNER, [b"secret"])
    assert owner() == "It cannot be read"
    assert tab.client.get("/api/stores/owner", params={"name": "none"}).status_code == 404
    assert tab.client.get("/api/stores/owner").status_code == 422


def test_what_was_last_reported_is_shown_as_figures_alone(tab: Tab, backend: Backend) -> None:
    from airflow_xcom.backend.database.variables import keep_report
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    def shown() -> tuple[Any, Any]:
        found = tab.client.get(STORES[0]).json()
        return found["stores"][-1]["sweep"], found["retain"]

    database = metadata_rows().database
    assert shown() == (None, None)
    swept = {"at": "now", "applied": True, "orphans": 1, "bytes": 2, "deleted": 3, "deleted_bytes": 4}
    here = {"store": settings().digest_of("default")}
    keep_report(database, "sweep", {"default": swept | here | {"dags": {"hidden": 1}}, "gone": swept | here})
    keep_report(database, "retain", {"at": "then", "applied": 1, "due": 5, "retired": -1, "in_rows": "<img>"})
    assert shown() == (swept, {"at": "then", "applied": False, "due": 5})
    for forged in ({"default": 7}, {"default": {"at": 7, **here}}, {"default": here}, {"default": swept}):
        keep_report(database, "sweep", forged)
        assert shown()[0] is None


def test_every_route_of_stores_is_tested() -> None:
    found = [route.path for route in routes() if route.path.startswith("/api/stores")]
    assert found == [address.partition("?")[0] for address in STORES]


@pytest.mark.parametrize("address", STORES)
def test_stores_are_told_of_to_those_who_may_read_the_options(
    address: str, airflow: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    anonymous = httpx.Client(base_url=tab.client.base_url, timeout=60)
    assert anonymous.get(address).status_code == 401
    assert anonymous.get(address, headers={"Authorization": "Bearer x.y.z"}).status_code in {401, 403}
    assert tab.client.get(address).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert tab.client.request(method, address).status_code == 405
    sections: list[str] = []

    def is_authorized(self: Any, *, method: str, user: Any, details: Any = None) -> bool:
        sections.append(details.section)
        return details.section != "xcom_codecs" or user.get_id() == "admin"

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_configuration", is_authorized)
    client = httpx.Client(base_url=tab.client.base_url, cookies={"_token": token_of("viewer", "VIEWER")}, timeout=60)
    for forged in ("", "section=core", "dag_id=trains"):
        separator = "&" if "?" in address else "?"
        answer = client.get(f"{address}{separator}{forged}")
        assert answer.status_code == 403
        assert "default" not in answer.text
    assert {*sections} == {"xcom_codecs"}
    assert tab.client.get(address).status_code == 200

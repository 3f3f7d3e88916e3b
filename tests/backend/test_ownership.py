"""A store has an owner, and nobody else deletes there: no clone, no neighbour, and nobody where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import database
import httpx
import pytest
import sqlalchemy
from commands import run
from conftest import Backend
from owners import add_variables
from test_migrate import Metadata as Migrated
from test_migrate import migrated  # noqa: F401 - a fixture
from test_retain import World, array, is_tombstone, on_sqlite
from test_sweep import TABLE, Clock, Metadata, in_memory
from valkey_server import Valkey, valkey

from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.deployment import Deployment, database_deployment
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.errors import OwnerError, StoreError
from airflow_xcom.backend.maintenance import ownership
from airflow_xcom.backend.maintenance import sweep as sweeping
from airflow_xcom.backend.maintenance.ownership import OWNER, adopt, check_owner, owner_of
from airflow_xcom.backend.maintenance.rest_rows import RestRows
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import object_store, open_store

SWEEP = ("sweep", "--apply", "--grace", "0", "--wait", "0")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the commands read a database, as on the host of its Airflow."""

    def use(engine: Any) -> None:
        monkeypatch.setattr("airflow_xcom.backend.database.xcom_rows.metadata_rows", lambda: Rows(engine))
        monkeypatch.setattr("airflow_xcom.backend.database.dag_runs.metadata_runs", lambda: Runs(engine))

    return use


@pytest.fixture
def production(backend: Backend, here: Any) -> Iterator[Metadata]:
    """A database with a row and its payload, and an orphan."""
    backend.options(threshold=0)
    made = in_memory()
    made.put(0, backend.push((0,)))
    backend.push((1,))
    here(made.engine)
    yield made
    made.engine.dispose()


def test_a_server_without_conditional_writes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = object_store.ObjectStore("s3://bucket/prefix", 1)
    refused = object_store.GenericError("status code: 400 Bad Request")
    monkeypatch.setattr(object_store.ObjectStore, "_client", None)
    monkeypatch.setattr(object_store.ObjectStore, "_process", None)
    monkeypatch.setattr(object_store.obstore, "put", Mock(side_effect=refused))
    with pytest.raises(StoreError, match="If-None-Match"):
        store.create(OWNER, b"")


def other(*rows: Any) -> Metadata:
    made = in_memory()
    for number, row in enumerate(rows):
        made.put(number, row)
    return made


def test_nothing_is_deleted_where_there_is_no_owner(production: Metadata, backend: Backend) -> None:
    code, out, errors = run(*SWEEP)
    assert code == 1
    assert "has no owner, and so nothing in it is deleted" in out
    assert "run airflow-xcom adopt" in errors
    assert len(backend.blobs()) == 2
    assert run("sweep", "--grace", "0")[0] == 0, "without --apply, it only reports"


def test_the_owner_deletes(production: Metadata, backend: Backend) -> None:
    code, out, _ = run("adopt")
    assert code == 0
    assert out.startswith(f"default ({backend.folder.as_uri()}) now belongs to sqlite://")
    assert "belongs already" in run("adopt")[1]
    code, out, _ = run(*SWEEP)
    assert code == 0
    assert "1 payload of" in out
    assert "not written by this backend" not in out, "the owner's file is no foreign one"
    assert len(backend.blobs()) == 1
    assert (backend.folder / OWNER).exists()


@on_sqlite
def test_a_clone_of_the_database_with_the_same_configuration_deletes_nothing(
    migrated: Migrated,  # noqa: F811
    backend: Backend,
    here: Any,
    tmp_path: Path,
) -> None:
    backend.options(threshold=0, keep="1d", stores=json.dumps({"new": (tmp_path / "new").as_uri()}))
    world = World(migrated, backend)
    world.clear()
    world.push(world.run("old", 30), array())
    world.push(world.run("young", 0), array())
    here(world.engine)
    assert run("adopt")[0] == 0
    backend.push((1,))
    shutil.copy(world.engine.url.database, tmp_path / "staging.db")
    staging = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/staging.db")
    here(staging)
    before = backend.blobs()
    code, out, errors = run(*SWEEP)
    assert code == 1
    assert "belongs to another Airflow, sqlite://" in out
    assert "give this one a store or a prefix of its own" in errors
    code, out, _ = run("adopt")
    assert code == 1
    assert "belongs to another Airflow" in out
    assert run("retain", "--apply")[0] == 0, "of its own rows, and of no payload"
    assert run("migrate", "--from", "default", "--to", "new", "--apply", "--delete")[0] == 2
    assert run("migrate", "--from", "default", "--to", "new", "--apply")[0] == 0
    assert run(*SWEEP)[0] == 1
    assert backend.blobs() == before
    here(world.engine)
    assert not any(map(is_tombstone, world.rows().values()))
    world.assert_rows_are_whole()
    assert run(*SWEEP)[0] == 0
    assert len(backend.blobs()) == len(before) - 1
    world.clear()


def test_clones_on_one_server_of_postgresql_are_told_apart_and_servers_are() -> None:
    with database.postgres() as url:
        engine = sqlalchemy.create_engine(url)
        add_variables(engine)
        first = database_deployment(engine, None, create=True)
        assert first == database_deployment(engine, None, create=False)
        with engine.connect() as connection:
            query = "select system_identifier from pg_control_system()"
            identifier = connection.execute(sqlalchemy.text(query)).scalar_one()
        engine.dispose()
        with database.postgres(url) as clone:
            engine = sqlalchemy.create_engine(clone)
            second = database_deployment(engine, None, create=True)
            engine.dispose()
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert first.place != second.place
    assert first.place.endswith(f"#{identifier}")
    assert "postgres@" not in first.place, "no credentials"


def test_a_schema_is_a_place(tmp_path: Path) -> None:
    with database.postgres() as url:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create schema airflow"))
        places = set()
        for schema in (None, "airflow"):
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text(f"set search_path = {schema or 'public'}"))
                connection.execute(
                    sqlalchemy.text(
                        "create table variable (id serial primary key, key text unique, "
                        "val text, is_encrypted boolean, description text)"
                    )
                )
            found = database_deployment(engine, schema, create=True)
            assert found is not None
            places.add(found.place)
        engine.dispose()
    assert len(places) == 2


def test_who_takes_over_is_the_only_owner(production: Metadata, backend: Backend, here: Any) -> None:
    run("adopt")
    heir = other(backend.push((2,)))
    here(heir.engine)
    assert run("adopt")[0] == 1
    code, out, _ = run("adopt", "--force")
    assert code == 0
    assert "now belongs to" in out
    here(production.engine)
    before = backend.blobs()
    assert run(*SWEEP)[0] == 1
    assert backend.blobs() == before


def test_of_two_that_adopt_at_once_one_is_refused(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    store, one, two = open_store(settings().path), Deployment("1", "here"), Deployment("2", "there")
    assert adopt(store, one)
    looks = iter([None])
    monkeypatch.setattr(ownership, "owner_of", lambda store: next(looks, one))
    with pytest.raises(OwnerError, match="belongs to another Airflow"):
        adopt(store, two)
    assert owner_of(store) == one


def test_a_lost_answer_of_the_rest_api_does_not_end_the_command() -> None:
    made: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            made.append(json.loads(request.content)["value"])
            raise httpx.ReadTimeout("lost")
        return httpx.Response(200, json={"value": made[0]}) if made else httpx.Response(404)

    rows = RestRows("http://airflow", "token")
    vars(rows)["_client"] = httpx.Client(base_url="http://airflow/api/v2", transport=httpx.MockTransport(answer))
    assert rows.deployment(create=True) == Deployment(made[0], "http://airflow")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[" * 60_000, b'{"id": 1, "place": 2, "more": 3}', b"\xff"])
def test_an_owner_that_cannot_be_read_is_nobody(production: Metadata, backend: Backend, text: bytes) -> None:
    (backend.folder / OWNER).write_bytes(text)
    for arguments in (SWEEP, ("adopt",)):
        code, out, _ = run(*arguments)
        assert code == 1
        assert f"has an unreadable {OWNER}" in out
    assert len(backend.blobs()) == 2
    assert run("adopt", "--force")[0] == 0
    assert run(*SWEEP)[0] == 0
    assert len(backend.blobs()) == 1


def test_who_is_taken_over_while_sweeping_deletes_nothing(
    production: Metadata, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "time", Clock())
    run("adopt")
    heir = Rows(other().engine)
    report = Report()
    steps = sweep(Rows(production.engine), report, grace=0, wait=0.1, apply=True)
    while not report.waited:
        next(steps)
    adopt(open_store(backend.folder.as_uri()), heir.deployment(create=True), force=True)
    with pytest.raises(OwnerError):
        list(steps)
    assert len(backend.blobs()) == 2


def test_who_is_taken_over_while_deleting_soon_deletes_no_more(
    production: Metadata, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("adopt")
    backend.push((2,))
    backend.push((3,))
    for name, number in {"_BATCH": 1, "_FRESH": -1}.items():  # as after many deletions
        monkeypatch.setattr(f"airflow_xcom.backend.maintenance.sweep.{name}", number)
    heir = Rows(other().engine)
    steps = sweep(Rows(production.engine), Report(), grace=0, wait=0, apply=True)
    while len(backend.blobs()) == 4:
        next(steps)
    adopt(open_store(backend.folder.as_uri()), heir.deployment(create=True), force=True)
    with pytest.raises(OwnerError):
        list(steps)
    assert len(backend.blobs()) == 3


def test_deployments_share_a_bucket_by_prefix(backend: Backend, here: Any, tmp_path: Path) -> None:
    """Even if the base of one is within that of the other."""
    everything = {}
    for name in ("", "staging"):
        folder = tmp_path / "bucket" / name
        backend.options(path=folder.as_uri(), threshold=0)
        made = everything[folder] = other(backend.push((name,)))
        backend.push((name, "orphan"))
        here(made.engine)
        assert run("adopt")[0] == 0
    for folder, made in everything.items():
        backend.options(path=folder.as_uri())
        here(made.engine)
        assert "1 payload of" in run(*SWEEP)[1]
    left = [path for path in (tmp_path / "bucket").rglob("*.msgpack") if path.is_file()]
    assert len(left) == 2


def test_the_owner_of_a_store_with_a_time_to_live_lasts(backend: Backend, here: Any, tmp_path: Path) -> None:
    made = other()
    here(made.engine)
    with valkey(tmp_path) as server:
        check(backend, made, server)


def check(backend: Backend, made: Metadata, server: Valkey) -> None:
    backend.options(path=server.url(query="?ttl=100"), threshold=0)
    assert run("adopt")[0] == 0
    assert [server.client().ttl(key) for key in server.client().keys(f"*{OWNER}")] == [-1]
    check_owner(open_store(server.url(query="?ttl=100")), Rows(made.engine).deployment())
    assert owner_of(open_store(server.url())) is not None


@pytest.mark.parametrize("schema", [None, "airflow"])
def test_an_old_table_in_another_schema_is_not_taken_for_the_truth(schema: str | None, backend: Backend) -> None:
    """But what `airflow db clean` archived is, which makes its tables in the schema of the connection."""
    backend.options(threshold=0)
    with database.postgres() as url:
        engine = sqlalchemy.create_engine(url)
        live, old, archived = (backend.push((number,)) for number in range(3))
        place = f"{schema}." if schema else ""
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create schema airflow"))
            tables = {f"{place}xcom": live, "_airflow_deleted__xcom__20260101": archived}
            tables |= {"public.xcom": old} if schema else {}
            for table, row in tables.items():
                connection.execute(sqlalchemy.text(TABLE.format(table, "jsonb").replace("_1__", "")))
                insert = sqlalchemy.text(f"insert into {table} values ('d', 'r', 1, cast(:row as jsonb))")
                connection.execute(insert, {"row": json.dumps(row)})
        rows = Rows(engine, schema)
        paths = {reference.path for row in rows.candidates() for reference in row.references}
        engine.dispose()
    assert paths == {row["airflow_xcom"]["ref"]["path"] for row in (live, archived)}


def test_the_schema_is_that_of_airflows_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_xcom.backend.compat import metadata_schema

    assert metadata_schema() is None
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA", "airflow")
    assert metadata_schema() == "airflow"

"""What a sweep knows of assets: events, archived ones too, notes of tasks, pins, tags and tombstones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import database
import pytest
import sqlalchemy
from conftest import Backend
from owners import add_variables, adopted

from airflow_xcom.backend import MissingPayloadError, RetiredVersionError, blobs
from airflow_xcom.backend.assets.retention import bury
from airflow_xcom.backend.blob_paths import Kind, identity, kind_of, tombstone_path
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Coordinate, Reference, Retirement, unique_path
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store
from airflow_xcom.codecs import CorruptPayloadError

HASH = "0123456789abcdef"
everywhere = pytest.mark.parametrize("airflow", ["sqlite", "postgresql", "mariadb"], indirect=True)
GONE = Retirement("2026-01-01T00:00:00+00:00", "keep_published = 30d")
RUN = ("consumer", "manual__2026-01-01T00:00:00+00:00")
PIN = f"pins/consumer/manual__2026-01-01T00%3A00%3A00%2B00%3A00/{HASH}.0"
ARCHIVE = "_airflow_deleted__{}__20260101000000"


class Airflow:
    """A metadata database, and a store with versions of assets."""

    def __init__(self, engine: Any, backend: Backend) -> None:
        self.backend = backend
        self.engine = engine
        meta = sqlalchemy.MetaData()
        kind = sqlalchemy.JSON()
        text = sqlalchemy.String(200)
        self.xcoms = sqlalchemy.Table(
            "xcom",
            meta,
            sqlalchemy.Column("dag_id", text, primary_key=True),
            sqlalchemy.Column("run_id", text, primary_key=True),
            sqlalchemy.Column("key", text, primary_key=True),
            sqlalchemy.Column("value", kind),
        )
        self.runs = sqlalchemy.Table(
            "dag_run", meta, sqlalchemy.Column("dag_id", text), sqlalchemy.Column("run_id", text)
        )
        self.events = {
            name: sqlalchemy.Table(
                name,
                meta,
                sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
                sqlalchemy.Column("extra", kind),
            )
            for name in ("asset_event", ARCHIVE.format("asset_event"), ARCHIVE.format("dataset_event"))
        }
        meta.create_all(engine)
        self.rows = adopted(Rows(engine))

    def insert(self, table: Any, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.insert().values(**values))

    def clear(self, table: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.delete())

    def version(self, asset: str = "flights") -> str:
        path = f"assets/{asset}.{HASH}/producer.{HASH}-{uuid4().hex}.msgpack"
        self.put(path)
        return path

    def put(self, path: str, content: str = "value") -> None:
        open_store(settings().path).put(path, [content.encode()])

    def event(self, *paths: str, table: str = "asset_event") -> None:
        content = [envelope(path)["airflow_xcom"] for path in paths]
        told = content[0] if len(content) == 1 else {"version": 1, "partitions": content}
        self.insert(self.events[table], extra={"rows": 3, "airflow_xcom": json.dumps(told)})

    def sweep(self, **options: Any) -> set[str]:
        """Sweep, and return the paths that are there."""
        report = Report()
        rows = options.pop("rows", self.rows)
        for _ in sweep(rows, report, **{"apply": True, "grace": 0, "wait": 0, "even_all": True, **options}):
            pass
        self.report = report
        assert not report.problems
        return self.paths()

    def paths(self) -> set[str]:
        return {path.relative_to(self.backend.folder).as_posix() for path in self.backend.blobs()}


def reference(path: str) -> Reference:
    url = settings().path
    return Reference("default", url, path, size=5, format="msgpack", digest="xxh3-128:00")


def envelope(path: str, key: str = "return_value") -> dict[str, Any]:
    """A row, or an event's extra, that refers to a version."""
    at = ["producer", "run", "extract", -1, key]
    content = {"version": 1, "tag": "x", "summary": {}, "of": at, "ref": reference(path).to_json()}
    return {"airflow_xcom": content}


@pytest.fixture(params=["sqlite"])
def airflow(request: pytest.FixtureRequest, tmp_path: Path, backend: Backend) -> Iterator[Airflow]:
    servers = {"postgresql": database.postgres, "mariadb": database.mariadb}
    with ExitStack() as stack:
        make = servers.get(request.param)
        url = f"sqlite:///{tmp_path / 'airflow.db'}" if make is None else stack.enter_context(make())
        engine = sqlalchemy.create_engine(url)
        stack.callback(engine.dispose)
        if request.param == "mariadb":
            with engine.begin() as connection:
                create = "create table variable (id serial, `key` varchar(200) unique, val text, is_encrypted boolean,"
                connection.execute(sqlalchemy.text(f"{create} description text)"))
        else:
            add_variables(engine)
        yield Airflow(engine, backend)


@everywhere
def test_each_kind_of_reference_keeps_a_version(airflow: Airflow) -> None:
    paths = {
        name: airflow.version() for name in ("event", "one", "two", "old", "archived", "note", "xcom", "pin", "tag")
    }
    airflow.event(paths["event"])
    airflow.event(paths["one"], paths["two"])
    airflow.event(paths["archived"], table=ARCHIVE.format("asset_event"))
    airflow.event(paths["old"], table=ARCHIVE.format("dataset_event"))
    for name, key in (("note", "xcom_codecs.published.1"), ("xcom", "return_value")):
        airflow.insert(airflow.xcoms, dag_id="producer", run_id="run", key=key, value=envelope(paths[name], key))
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id=RUN[1])
    airflow.put(PIN, json.dumps({"versions": [envelope(paths["pin"])]}))
    tag = f"tags/flights.{HASH}/golden.{uuid4().hex}"
    airflow.put(tag, json.dumps(envelope(paths["tag"])))
    airflow.version()
    assert airflow.sweep() == {*paths.values(), PIN, tag}


@everywhere
def test_what_nothing_refers_to_goes(airflow: Airflow) -> None:
    kept, gone = airflow.version(), airflow.version()
    airflow.event(kept)
    airflow.insert(airflow.events["asset_event"], extra={"path": "not one of ours"})
    airflow.insert(airflow.events["asset_event"], extra={})
    assert airflow.sweep(apply=False) == {kept, gone}
    assert airflow.report.stores["default"].dags.keys() == {f"assets/flights.{HASH}"}
    assert airflow.sweep() == {kept}
    airflow.clear(airflow.events["asset_event"])
    assert airflow.sweep() == set()


@everywhere
def test_an_archived_event_of_airflow_2_is_read_page_by_page(airflow: Airflow) -> None:
    paths = [airflow.version() for _ in range(7)]
    for path in paths:
        airflow.event(path)
    assert airflow.sweep(rows=Rows(*airflow.rows.database, page=2)) == set(paths)


@everywhere
def test_a_pin_and_its_version_go_with_the_row_of_the_run(airflow: Airflow) -> None:
    version = airflow.version()
    airflow.put(PIN, json.dumps({"versions": [envelope(version)]}))
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id=RUN[1])
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id="other")
    assert airflow.sweep() == {PIN, version}
    airflow.clear(airflow.runs)
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id="other")
    assert airflow.sweep() == set()


def test_the_run_of_a_pin_is_what_the_pin_says(airflow: Airflow) -> None:
    """Its path has names that are cut where they are long; a pin that says nothing then stays."""
    run_id = "r" * 200
    told, untold = (f"pins/consumer/{'r' * 141}...{HASH}/{HASH}.{number}" for number in range(2))
    versions = airflow.version(), airflow.version()
    airflow.put(told, json.dumps({"run": ["consumer", run_id], "versions": [envelope(versions[0])]}))
    airflow.put(untold, json.dumps({"versions": [envelope(versions[1])]}))
    airflow.insert(airflow.runs, dag_id="consumer", run_id=run_id)
    assert airflow.sweep() == {told, untold, *versions}
    airflow.clear(airflow.runs)
    assert airflow.sweep() == {untold, versions[1]}


def test_a_damaged_pin_keeps_what_it_names(airflow: Airflow) -> None:
    version = airflow.version()
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id=RUN[1])
    airflow.put(PIN, f'{{"versions": ["{version}')
    assert airflow.sweep() == {PIN, version}


@everywhere
def test_a_forged_pin_stops_no_sweep(airflow: Airflow) -> None:
    pinned, orphan = airflow.version(), airflow.version()
    pins = {f"pins/consumer/run/{HASH}.{number}": name for number, name in enumerate(("\0", "\ud800", "x" * 9000))}
    for path, name in pins.items():
        airflow.put(path, json.dumps({"run": [name, "run"], "versions": [pinned]}))
    unreadable = {f"pins/a%00/run/{HASH}.0", f"pins/a%ED%A0%80/run/{HASH}.0"}
    for path in unreadable:
        airflow.put(path, "damaged")
    left = airflow.sweep()
    assert pinned in left, "what a pin names stays where its run cannot be told"
    assert orphan not in left


def test_a_retired_version_goes_and_its_tombstone_stays_as_long_as_its_event(airflow: Airflow) -> None:
    store = open_store(settings().path)
    version = airflow.version()
    airflow.event(version)
    airflow.insert(
        airflow.xcoms,
        dag_id="producer",
        run_id="run",
        key="xcom_codecs.published.1",
        value=envelope(version, "xcom_codecs.published.1"),
    )
    assert bury(store, version, GONE)
    assert not bury(store, version, Retirement("2027-01-01T00:00:00+00:00", "another")), "the first one counts"
    assert airflow.sweep() == {tombstone_path(version)}
    with pytest.raises(RetiredVersionError, match=r"retired at 2026-01-01T.* by the rule 'keep_published = 30d'"):
        blobs.read_blob(reference(version))
    airflow.clear(airflow.events["asset_event"])
    assert airflow.sweep() == {tombstone_path(version)}, "the note of the task still names it"
    airflow.clear(airflow.xcoms)
    assert airflow.sweep() == set()
    with pytest.raises(MissingPayloadError) as caught:
        blobs.read_blob(reference(version))
    assert not isinstance(caught.value, RetiredVersionError)


@pytest.mark.parametrize("by", ["xcom", "pin", "tag"])
def test_a_retired_version_stays_for_whoever_reads_it_by_more_than_its_event(airflow: Airflow, by: str) -> None:
    version = airflow.version()
    airflow.event(version)
    bury(open_store(settings().path), version, GONE)
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id=RUN[1])
    if by == "xcom":
        airflow.insert(airflow.xcoms, dag_id="producer", run_id="run", key="x", value=envelope(version))
    else:
        airflow.put(PIN if by == "pin" else f"tags/flights.{HASH}/golden.1", json.dumps(envelope(version)))
    assert version in airflow.sweep()


def test_pins_and_tags_of_stores_that_are_not_swept_count(airflow: Airflow, tmp_path: Path) -> None:
    airflow.backend.options(stores=json.dumps({"other": (tmp_path / "other").as_uri()}))
    adopted(airflow.rows)
    version = airflow.version()
    other = open_store(settings().stores["other"])
    other.put(f"tags/flights.{HASH}/golden.1", [json.dumps(envelope(version)).encode()])
    assert airflow.sweep(store="default") == {version}
    other.delete(f"tags/flights.{HASH}/golden.1")
    assert airflow.sweep(store="default") == set()


def test_a_sweep_of_a_run_leaves_assets_alone(airflow: Airflow) -> None:
    """Also where a Dag and a run have the names of the folder and an asset."""
    version, run = airflow.version(), f"flights.{HASH}"
    orphan = unique_path(Coordinate("assets", run, "extract", -1, "return_value"), ".msgpack")
    airflow.put(orphan)
    airflow.put(PIN, "{}")
    assert airflow.sweep(runs=[("assets", run), RUN]) == {version, PIN}
    assert airflow.report.stores["default"].unseen.count == 1


def test_through_the_rest_api_assets_are_left_alone(airflow: Airflow) -> None:
    """It does not show archived events, nor which runs a user may not see."""
    version = airflow.version()
    airflow.put(PIN, "{}")
    rows = Rows(*airflow.rows.database)
    rows.sees_assets = False
    assert airflow.sweep(rows=rows) == {version, PIN}
    assert airflow.report.stores["default"].unseen.count == 2


def test_pins_are_not_read_twice_in_a_sweep(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow.insert(airflow.runs, dag_id=RUN[0], run_id=RUN[1])
    airflow.put(PIN, "{}")
    airflow.version()
    store = type(open_store(settings().path))
    read: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda self, path: (read.append(path), get(self, path))[1])
    assert airflow.sweep() == {PIN}
    assert read.count(PIN) == 1


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_damaged_tombstone_is_an_error(text: str, airflow: Airflow) -> None:
    version = f"assets/flights.{HASH}/producer.{HASH}-{uuid4().hex}.msgpack"
    airflow.put(tombstone_path(version), text)
    with pytest.raises(CorruptPayloadError, match="tombstone"):
        blobs.read_blob(reference(version))


UNIQUE = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"assets/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow", Kind.VERSION),
        (f"assets/flights.{HASH}/.producer.{HASH}-{UNIQUE}.arrow.tmp", Kind.VERSION),
        (f"assets/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow#3", Kind.VERSION),
        (f"retired/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow", Kind.RETIRED),
        (f"assets/run/task/-1/return_value.{HASH}-{UNIQUE}.arrow", Kind.XCOM),
        (f"pins/run/task/-1/return_value.{HASH}-{UNIQUE}.arrow", Kind.XCOM),
        (f"pins/consumer/run/{HASH}.0", Kind.PIN),
        (f"pins/consumer/run/.{HASH}.0.{UNIQUE}.tmp", Kind.PIN),
        (f"tags/flights.{HASH}/golden.{UNIQUE}", Kind.TAG),
        (f"assets/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow.bak", None),
        (f"assets/producer.{HASH}-{UNIQUE}.arrow", None),
        (f"other/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow", None),
        (f"pins/{HASH}.0", None),
        (f"pins/consumer/run/{HASH}.0.tmp", None),
        ("pins/team/sheets/notes.txt", None),
        ("tags/v1/notes.txt", None),
        ("tags/v1/.notes.tmp", None),
        (f"dag/../task/-1/return_value.{HASH}-{UNIQUE}.arrow", None),  # which no client of object stores takes
        (f"pins/./run/{HASH}.0", None),
        # Below the prefix of another Airflow, within that of this one.
        (f"pins/assets/flights.{HASH}/producer.{HASH}-{UNIQUE}.arrow", None),
        (f"pins/state/scope.{HASH}/key.{HASH}-{UNIQUE}.msgpack", None),
    ],
)
def test_a_path_tells_what_is_there(path: str, kind: Kind | None) -> None:
    assert kind_of(path) is kind
    expected = int(UNIQUE[:16], 16) if kind in {Kind.XCOM, Kind.VERSION, Kind.RETIRED} else None
    assert identity(path) == expected


def test_only_a_version_has_a_tombstone(backend: Backend) -> None:
    with pytest.raises(ValueError, match="no path of a version"):
        bury(open_store(settings().path), "flights/run/task/-1/x.msgpack", GONE)

"""The row of a dict of multiple outputs refers to the payloads of its keys, and all is as safe as before."""

from __future__ import annotations

import datetime as dt
import json
import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from api_server import add_dags
from commands import run
from conftest import COORDINATE, Backend
from locations import LOCATIONS, Locations
from owners import adopted

from airflow_xcom.backend import ForeignReferenceError, MissingPayloadError, multiple_outputs, stored
from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.ui import api_server
from airflow_xcom.codecs import CorruptPayloadError, NewerFormatError, UnknownTagError, UnsupportedValueError, encode
from airflow_xcom.codecs.testing import difference

FRAME = pd.DataFrame({"city": ["Oslo", "Rome"], "delay": [1.5, math.nan]})
ARRAY = np.arange(20_000.0)
HERE = Coordinate(**COORDINATE, key="return_value")


def outputs() -> dict[str, Any]:
    """Of every kind: tables, arrays, text and lists in blobs, and what the row itself has."""
    return {
        "z frame": pd.concat([FRAME] * 2000, ignore_index=True),
        "array": ARRAY.copy(),
        "list": [ARRAY + 1, {"deep": (ARRAY + 2,)}],
        "text": "é" * 100_000,
        "count": 3,
        "missing": math.nan,
        "when": dt.datetime(2024, 1, 1),
        "dict": {"$": [1.0], "airflow_xcom": None},
    }


def push_all(backend: Backend, value: Any, **place: Any) -> dict[str, Any]:
    """Push as Airflow does: the items, and then the dict."""
    rows = {key: backend.push(item, key=key, **place) for key, item in value.items()}
    return {**rows, "return_value": backend.push(value, **place)}


def is_shared(row: Any) -> bool:
    return "items" in row["airflow_xcom"]


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiple_outputs, "_outputs", multiple_outputs._Outputs())


@pytest.mark.parametrize("kind", [kind for kind in LOCATIONS if kind != "abfs"])
def test_each_payload_is_stored_once(kind: str, locations: Locations, backend: Backend) -> None:
    from airflow_xcom.backend.stores import open_store

    url = locations.url(kind)
    backend.options(path=url)
    value = outputs()
    rows = push_all(backend, value)
    assert is_shared(rows["return_value"])
    assert len(list(open_store(url).list())) == 4
    assert difference(value, backend.pull(rows["return_value"])) is None
    for key, item in value.items():
        assert difference(item, backend.pull(rows[key], key=key)) is None
    assert len(json.dumps(rows["return_value"])) < 8192


def test_a_database_may_reorder_what_it_stores(backend: Backend, jsonb: Callable[[Any], Any]) -> None:
    value = outputs()
    row = push_all(backend, value)["return_value"]
    assert difference(value, backend.pull(jsonb(row))) is None


def test_what_changed_since_is_stored_as_it_is(backend: Backend) -> None:
    value = outputs()
    for key, item in value.items():
        backend.push(item, key=key)
    value["array"][7] = -1.0
    row = backend.push(value)
    assert not is_shared(row)
    assert backend.pull(row)["array"][7] == -1.0


@pytest.mark.parametrize(
    "value",
    [
        {"a": ARRAY, "b": ARRAY},
        {"a": ARRAY, "b": [ARRAY, 1]},
        {"a": [ARRAY], "b": (1, ARRAY)},
        {"a": ARRAY, "b": {"c": (ARRAY,)}},
    ],
    ids=["twice", "in a list", "in both", "deep"],
)
def test_an_object_in_two_items_stays_one(value: Any, backend: Backend) -> None:
    row = push_all(backend, value)["return_value"]
    assert not is_shared(row)
    assert difference(value, backend.pull(row)) is None


@pytest.mark.parametrize(
    "value",
    [{"a": ARRAY, 5: "x"}, {"a": ARRAY, "b": "x" * 3000}, {"a": ARRAY, "password": "x"}, {"a": [1]}, {}],
    ids=["a key that is no text", "too much for the row", "a name that is masked", "nothing large", "nothing"],
)
def test_other_dicts_are_stored_as_a_whole(value: Any, backend: Backend) -> None:
    for key, item in value.items():
        backend.push(item, key=str(key))
    row = backend.push(value)
    assert "airflow_xcom" not in row or not is_shared(row)
    assert difference(value, backend.pull(row)) is None


def test_another_task_thread_or_time_shares_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": ARRAY}
    backend.push(ARRAY, key="a", task_id="other")
    assert not is_shared(backend.push(value))
    backend.push(ARRAY, key="a")
    assert not is_shared(backend.push(value, map_index=3))
    assert not is_shared(backend.push({"a": ARRAY + 1}))
    assert not is_shared(backend.push(value, key="other"))
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(backend.push(value)))
    thread.start()
    thread.join()
    assert not is_shared(found[0])
    assert is_shared(backend.push(value))
    now = multiple_outputs.time.monotonic()
    later = SimpleNamespace(monotonic=lambda: now + 2 * multiple_outputs._FRESH)
    monkeypatch.setattr(multiple_outputs, "time", later)
    assert not is_shared(backend.push(value)), "a sweep may have taken what is as old, were its row gone"


def test_hints_of_items_are_followed_and_one_of_the_dict_makes_it_a_whole(backend: Backend, tmp_path: Any) -> None:
    backend.options(stores=json.dumps({"archive": (tmp_path / "archive").as_uri()}))
    value = {"a": stored(ARRAY, store="archive", compression="zstd"), "b": ARRAY + 1}
    rows = push_all(backend, value)
    first, second = rows["return_value"]["airflow_xcom"]["items"]
    assert (first["ref"]["store"], second["ref"]["store"]) == ("archive", "default")
    assert difference({"a": ARRAY, "b": ARRAY + 1}, backend.pull(rows["return_value"])) is None
    assert not is_shared(push_all(backend, {"a": stored(ARRAY, preview="none")})["return_value"])
    assert not is_shared(push_all(backend, stored({"a": ARRAY}, store="archive"))["return_value"])


def test_a_time_to_live_of_an_item_is_not_that_of_the_dict(locations: Locations, backend: Backend) -> None:
    backend.options(path=locations.url("redis"))
    assert is_shared(push_all(backend, {"a": ARRAY})["return_value"])
    row = push_all(backend, {"a": stored(ARRAY, ttl=60)})["return_value"]
    assert "expires" not in row["airflow_xcom"]["ref"]


# -- forged rows ---------------------------------------------------------------------------------------------


def forged(row: Any, change: Callable[[Any], None]) -> Any:
    copy = json.loads(json.dumps(row))
    change(copy["airflow_xcom"])
    return copy


@pytest.mark.parametrize("part", range(4))
def test_an_item_of_another_task_instance_is_refused_everywhere(part: int, backend: Backend) -> None:
    own = push_all(backend, {"a": ARRAY, "b": ARRAY + 1})["return_value"]
    other = {"dag_id": "salaries", "run_id": "other", "task_id": "other", "map_index": 3}
    place = dict([list(other.items())[part]])
    foreign = push_all(backend, {"a": ARRAY - 1}, **place)["a"]["airflow_xcom"]

    def replace(content: Any) -> None:
        content["items"][0] = foreign

    def rename(content: Any) -> None:
        content["items"][0] = {**foreign, "of": content["items"][0]["of"]}

    def hide(content: Any) -> None:
        content["items"][0] = {**foreign, "of": [None] * 4 + ["a"]}

    for change in (replace, rename, hide):
        row = forged(own, change)
        with pytest.raises(ForeignReferenceError):
            backend.pull(row)
        body = json.dumps({"value": row, "map_index": -1}).encode()
        assert api_server._objection(body, *HERE.to_json()[:3], "return_value") is not None
    body = json.dumps({"value": own, "map_index": -1}).encode()
    assert api_server._objection(body, *HERE.to_json()[:3], "return_value") is None
    assert api_server._objection(body, "salaries", *HERE.to_json()[1:3], "return_value") is not None


def test_an_item_that_is_of_no_task_instance_is_refused(backend: Backend) -> None:
    own = push_all(backend, {"a": ARRAY, "b": ARRAY + 1})["return_value"]
    nobodys = backend.push(ARRAY - 1, key="a", dag_id=None, run_id=None, task_id=None, map_index=None)["airflow_xcom"]

    def replace(content: Any) -> None:
        content["items"][0] = nobodys

    with pytest.raises(ForeignReferenceError):
        backend.pull(forged(own, replace))


def test_an_item_has_the_payload_of_its_own_key(backend: Backend) -> None:
    own = push_all(backend, {"a": ARRAY, "b": ARRAY + 1})["return_value"]

    def exchange(content: Any) -> None:
        first, second = content["items"]
        first["ref"], second["ref"] = second["ref"], first["ref"]

    with pytest.raises(ForeignReferenceError):
        backend.pull(forged(own, exchange))


def test_an_item_whose_codec_is_missing_names_its_supplier_and_the_remedy_once(backend: Backend) -> None:
    row = push_all(backend, {"a": (1,), "array": ARRAY})["return_value"]
    assert is_shared(row)
    item = next(item for item in row["airflow_xcom"]["items"] if item["of"][-1] == "a")
    item["data"]["$"][0], item["from"] = "acme.unheard", {"acme.unheard": "acme-dist"}
    with pytest.raises(UnknownTagError, match="which acme-dist wrote") as caught:
        backend.pull(row)
    assert str(caught.value).count("[xcom_codecs] modules") == 1


def test_a_dict_whose_items_share_more_than_a_reader_takes_is_refused_when_it_is_pushed(backend: Backend) -> None:
    def doubled(levels: int) -> Any:
        found: Any = pa.table({"a": [1]})
        for _ in range(levels):
            found = (found, found)
        return found

    with pytest.raises(UnsupportedValueError, match="several places"):
        push_all(backend, {"one": doubled(19), "other": doubled(19), "large": ARRAY.copy()})
    pulled = backend.pull(push_all(backend, {"one": doubled(17), "large": ARRAY.copy()})["return_value"])
    assert pulled["one"][0][0] is pulled["one"][1][1]


def test_what_items_in_the_row_share_is_bounded_together(backend: Backend) -> None:
    """Each of a thousand could cost as much as a whole payload may."""
    shared: Any = (1,)
    for _ in range(18):
        shared = (shared, shared)
    data, of = encode(shared).to_json(), HERE.to_json()
    items = [
        {"version": 1, "tag": "tuple", "summary": {}, "of": [*of[:4], f"{number}"], "data": data}
        for number in range(40)
    ]
    content = {"version": 3, "tag": "dict", "summary": {}, "of": of, "items": items[:1]}
    assert len(backend.pull({"airflow_xcom": content})) == 1
    with pytest.raises(CorruptPayloadError, match="shares stands for more"):
        backend.pull({"airflow_xcom": {**content, "items": items}})


@pytest.mark.parametrize(
    "items",
    [
        None,
        [],
        {},
        [1],
        [{}],
        [{"version": 3, "tag": "dict", "summary": {}, "of": [None] * 4 + ["a"], "items": []}],
        [{"version": 1, "tag": "int", "summary": {}, "of": [None] * 5, "data": 1}],
        [{"version": 1, "tag": "int", "summary": {}, "of": HERE.to_json(), "data": 1}] * 2,
        [{"version": 2, "tag": "int", "summary": {}, "of": HERE.to_json(), "retired": {"at": "", "rule": ""}}],
    ],
)
def test_what_are_no_items_is_no_envelope(items: Any) -> None:
    content = {"version": 3, "tag": "dict", "summary": {}, "of": HERE.to_json(), "items": items}
    with pytest.raises(CorruptPayloadError):
        Envelope.from_json({"airflow_xcom": content})
    with pytest.raises(CorruptPayloadError):
        Envelope.from_json({"airflow_xcom": {**content, "version": 1}})
    with pytest.raises(NewerFormatError):
        Envelope.from_json({"airflow_xcom": {**content, "version": 4}})


# -- with the rows of Airflow's database ---------------------------------------------------------------------

FROM = ["--dag", "flights", "--run", "one", "--task", "extract"]
PLACE = {"dag_id": "flights", "run_id": "one", "task_id": "extract"}


@pytest.fixture
def session(backend: Backend) -> Any:
    from airflow.utils.db import resetdb
    from airflow.utils.session import create_session

    resetdb()
    with create_session() as session:
        add_dags(session)
        session.commit()
        yield session


def write(session: Any, rows: dict[str, Any]) -> None:
    from airflow.models.xcom import XComModel

    for key, row in rows.items():
        XComModel.set(key, row, **PLACE, serialize=False, session=session)
    session.commit()


def value_of(session: Any, key: str = "return_value", **place: Any) -> Any:
    from airflow.models.xcom import XComModel

    session.expire_all()
    return session.query(XComModel.value).filter_by(**{**PLACE, **place, "key": key}).scalar()


def swept() -> int:
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    report = Report()
    rows = adopted(metadata_rows())
    for _ in sweep(rows, report, grace=0, wait=0, apply=True, even_all=True):
        pass
    return report.stores["default"].deleted.count


@pytest.mark.parametrize("first", ["keys", "dict"])
def test_a_payload_stays_as_long_as_either_row_refers_to_it(first: str, session: Any, backend: Backend) -> None:
    from airflow.models.xcom import XComModel

    value = outputs()
    write(session, push_all(backend, value, **PLACE))
    backend.push(ARRAY, key="superseded", **PLACE)
    assert swept() == 1
    gone, left = (value.keys(), ["return_value"]) if first == "keys" else (["return_value"], value.keys())
    session.query(XComModel).filter(XComModel.key.in_(gone)).delete()
    session.commit()
    assert swept() == 0
    for key in left:
        wanted = value if key == "return_value" else value[key]
        assert difference(wanted, backend.pull(value_of(session, key), key=key)) is None
    session.query(XComModel).delete()
    session.commit()
    assert swept() == 4


def test_the_commands_know_every_payload(session: Any, backend: Backend, tmp_path: Any) -> None:
    value = outputs()
    write(session, push_all(backend, value, **PLACE))
    assert run("copy", *FROM, "--key", "return_value", "--to-run", "two", "--to-key", "restored")[0] == 0
    copied = value_of(session, "restored", run_id="two")
    assert len(backend.blobs()) == 8
    assert difference(value, backend.pull(copied, key="restored")) is None
    Envelope.from_json(copied).check_origin(Coordinate("flights", "two", "extract", -1, "restored"))

    code, out, _ = run("list", *FROM, "--key", "return_value", "--output", "json")
    (described,) = map(json.loads, out.splitlines())
    size = sum(file.stat().st_size for file in backend.blobs()) // 2
    assert (code, described["place"], described["store"], described["bytes"]) == (0, "blob", "default", size)
    code, out, _ = run("inspect", *FROM, "--key", "return_value")
    assert code == 0
    assert all(name in out for name in ("z frame", "city", "count", "datetime"))

    backend.options(stores=json.dumps({"archive": (tmp_path / "archive").as_uri()}))
    assert run("migrate", "--from", "default", "--to", "archive", "--apply")[0] == 0
    for file in backend.blobs():
        file.unlink()
    assert difference(value, backend.pull(value_of(session))) is None
    assert run("verify")[0] == 0
    for file in (tmp_path / "archive/flights/one").rglob("list.*"):
        file.unlink()
    code, out, _ = run("verify", "--dag", "flights", "--run", "one")
    assert code == 1
    assert out.count("missing  ") == 2, "of the key, and of the dict"
    with pytest.raises(MissingPayloadError):
        backend.pull(value_of(session))

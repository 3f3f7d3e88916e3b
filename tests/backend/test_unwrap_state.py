"""Before the state store is turned off: rows become plain JSON where that holds the value, and no other row changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy
import state_tables
from conftest import Backend
from state_tables import Supervisor, of_asset, of_task, of_uri
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture

from airflow_xcom.backend import MissingPayloadError, StoreError, cli
from airflow_xcom.backend.commands import state as command
from airflow_xcom.backend.commands.state import unwrap
from airflow_xcom.backend.database.state_rows import StateRows
from airflow_xcom.codecs.testing import difference

LARGEST = 65535
PLAIN = {"a text": "Ä", "number": 7, "list": [1, 2.5, None], "dict": {"b": 1, "a": {"c": []}}, "long": "x" * 5000}
OTHERS: dict[str, Any] = {
    "tuple": (1, 2),
    "NaN": float("nan"),
    "array": np.arange(10_000),
    "int keys": {1: 2},
    "a wrapper": {"__airflow_state_ref__": "1"},
    "too long": ["x" * 1000] * 70,
    "-0.0": -0.0,
}

on_sqlite = pytest.mark.parametrize("migrated", ["sqlite"], indirect=True)


@pytest.fixture
def supervisor(
    migrated: Metadata,  # noqa: F811
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Supervisor]:
    backend.options(threshold=2000, durable=False)
    with state_tables.supervised(migrated.engine, monkeypatch) as supervisor:
        yield supervisor


def unwrapped(supervisor: Supervisor, *, apply: bool = True) -> dict[str, str]:
    """The reasons by the key, and whose it is where that is not one."""
    done = list(unwrap(StateRows(supervisor.engine), largest=LARGEST, apply=apply))
    assert len({str(row.at) for row, _ in done}) == len(done)
    return {f"{row.kind} {row.at.key}": reason for row, reason in done}


def stored_rows(supervisor: Supervisor) -> dict[str, Any]:
    tables = {"task": "task_state_store", "asset": "asset_state_store"}
    with supervisor.engine.connect() as connection:
        return {
            f"{kind} {key}": json.loads(text)
            for kind, table in tables.items()
            for key, text in connection.execute(sqlalchemy.text(f"select key, value from {table}"))
        }


@pytest.mark.parametrize("migrated", ["sqlite", "postgresql"], indirect=True)
def test_what_plain_json_holds_becomes_plain_and_the_rest_stays(supervisor: Supervisor) -> None:
    states = {"task": of_task(supervisor), "asset": of_asset()}
    for state in states.values():
        for key, value in {**PLAIN, **OTHERS}.items():
            state.set(key, value)
    of_uri().set("by uri", ["a"])
    supervisor.put("asset_state_store", "number", "set through the REST API")
    before = stored_rows(supervisor)
    told = unwrapped(supervisor, apply=False)
    assert stored_rows(supervisor) == before
    assert unwrapped(supervisor) == told
    assert {name for name, reason in told.items() if reason} == {f"{kind} {key}" for kind in states for key in OTHERS}
    assert "asset number" not in told
    expected = {f"{kind} {key}": value for kind in states for key, value in PLAIN.items()}
    expected |= {"asset number": "set through the REST API", "asset by uri": ["a"]}
    after = stored_rows(supervisor)
    assert after == before | expected
    for state in states.values():
        assert all(difference(value, state.get(key)) is None for key, value in OTHERS.items())
        assert state.get("dict") == PLAIN["dict"]
    again = unwrapped(supervisor)
    assert set(again.values()) - {""} == set(again.values()), "what is plain is not looked at again"


@on_sqlite
def test_rows_that_cannot_be_read_are_listed(supervisor: Supervisor, backend: Backend) -> None:
    of_asset().set("gone", PLAIN["long"])
    backend.blobs()[0].unlink()
    of_asset("weather").set("other", (1,))
    supervisor.put("asset_state_store", "other", json.loads(json.dumps(supervisor.rows("asset_state_store")[0])))
    before = stored_rows(supervisor)
    told = unwrapped(supervisor)
    assert told["asset gone"].startswith(MissingPayloadError.__name__)
    assert told["asset other"].startswith("ForeignStateError")
    assert stored_rows(supervisor) == before


@on_sqlite
def test_a_row_that_a_task_changes_meanwhile_is_left(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    of_asset().set("k", [1])

    def read(*where: Any) -> Any:
        of_asset().set("k", [2])
        return stock(*where)

    stock = command.read
    monkeypatch.setattr(command, "read", read)
    assert "meanwhile" in unwrapped(supervisor)["asset k"]
    assert of_asset().get("k") == [2]


@on_sqlite
def test_a_store_that_cannot_be_reached_stops_it(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    of_asset().set("k", PLAIN["long"])
    before = stored_rows(supervisor)

    def read(*_: Any) -> Any:
        raise StoreError("s3://bucket", "does not answer")

    monkeypatch.setattr(command, "read", read)
    with pytest.raises(StoreError):
        unwrapped(supervisor)
    assert stored_rows(supervisor) == before


@on_sqlite
def test_the_command_tells_and_then_does(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("airflow_xcom.backend.compat.metadata_engine", lambda: supervisor.engine)
    of_asset().set("k", [1])
    assert cli.main(["state", "unwrap"]) == 0
    assert capsys.readouterr().out == "1 would become plain JSON; add --apply to do so; 0 would stay as they are\n"
    of_asset().set("t", (1,))
    assert cli.main(["state", "unwrap", "--apply"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "state of asset=flights key=t stays: plain JSON does not hold this tuple",
        "1 are plain JSON now; 1 stay as they are",
    ]
    assert stored_rows(supervisor)["asset k"] == [1]

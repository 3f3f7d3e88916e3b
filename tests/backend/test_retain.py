"""Retiring values by policy, in real metadata databases: what goes, what never does, and what is said of it after."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import database
import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from conftest import Backend
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture

from airflow_xcom.backend import CodecXComBackend, RetiredPayloadError, cli, pull_table
from airflow_xcom.backend.commands import terminal
from airflow_xcom.backend.database import dag_runs as runs
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.maintenance import retain as retention
from airflow_xcom.backend.maintenance.migrate import migrate
from airflow_xcom.backend.maintenance.retain import Retained, retain
from airflow_xcom.backend.retention_policy import Policy, RetentionTagError, Term
from airflow_xcom.backend.stores import open_store
from airflow_xcom.codecs import CorruptPayloadError, NewerFormatError, SelectionError

NOW = dt.datetime.now(dt.UTC)
TABLES = ("xcom", "task_instance", "dag_run", "dag_tag", "dag", "dag_bundle")
SETTLED = ["success", "failed", "skipped", "upstream_failed", "removed"]


class World:
    """Runs, tasks and XComs as Airflow has them in its database, and the blobs of the XComs."""

    def __init__(self, metadata: Metadata, backend: Backend) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel

        self.engine = metadata.engine
        self.variables = metadata.variables
        self.backend = backend
        self._runs, self._tasks = DagRun.__table__, TaskInstance.__table__
        self._xcoms = XComModel.__table__
        self._ids: dict[tuple[str, str], int] = {}

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self.engine.begin() as connection:
            database.ignore_foreign_keys(connection)  # only the rows that matter
            yield connection

    def clear(self) -> None:
        with self.transaction() as connection:
            for table in TABLES:
                connection.execute(sqlalchemy.text(f"delete from {table}"))

    def run(
        self, run_id: str, days: float | None, *, dag: str = "flights", state: str = "success", task: Any = "success"
    ) -> str:
        """A run that ended so many days ago, with one task in that state."""
        number = self._ids[dag, run_id] = len(self._ids) + 1
        end = None if days is None else NOW - dt.timedelta(days=days)
        when = {"run_after": NOW, "start_date": NOW, "end_date": end, "queued_at": NOW, "logical_date": None}
        with self.transaction() as connection:
            values = {"id": number, "dag_id": dag, "run_id": run_id, "state": state, "run_type": "manual"}
            connection.execute(self._runs.insert().values(**values, **when))
        self.task(run_id, "clean", task, dag=dag)
        return run_id

    def task(self, run_id: str, task_id: str, state: Any, *, dag: str = "flights") -> None:
        values = {"dag_id": dag, "run_id": run_id, "task_id": task_id, "map_index": -1, "state": state}
        with self.transaction() as connection:
            connection.execute(self._tasks.insert().values(**values, pool="default_pool", pool_slots=1, try_number=1))

    def begin_again(self, run_id: str) -> None:
        with self.transaction() as connection:
            connection.execute(self._runs.update().where(self._runs.c.run_id == run_id).values(state="queued"))

    def push(self, run_id: str, value: Any, *, dag: str = "flights", days: float = 400, **at: Any) -> None:
        place = {"task_id": "clean", "map_index": -1, "key": "return_value", **at}
        row = self.backend.push(value, **place, dag_id=dag, run_id=run_id)
        self.put(run_id, row, dag=dag, days=days, **place)

    def put(self, run_id: str, row: Any, *, dag: str = "flights", days: float = 400, **place: Any) -> None:
        written = {"timestamp": NOW - dt.timedelta(days=days)}
        values = {"dag_run_id": self._ids[dag, run_id], "dag_id": dag, "run_id": run_id, **place, **written}
        same = [self._xcoms.c[name] == values[name] for name in ("dag_run_id", "task_id", "map_index", "key")]
        with self.transaction() as connection:
            connection.execute(self._xcoms.delete().where(*same))
            connection.execute(self._xcoms.insert().values(**values, value=row))

    def tag(self, *tags: str, dag: str = "flights") -> None:
        with self.transaction() as connection:
            insert = sqlalchemy.text("insert into dag_tag (name, dag_id) values (:name, :dag)")
            connection.execute(insert, [{"name": tag, "dag": dag} for tag in tags])

    def rows(self) -> dict[tuple[str, str], Any]:
        """The values by run and key."""
        xcoms = self._xcoms.c
        with self.engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(xcoms.run_id, xcoms.key, xcoms.map_index, xcoms.value))
            return {(run, key if index < 0 else f"{key}-{index}"): value for run, key, index, value in found}

    def retired(self) -> set[str]:
        """The runs that have a tombstone."""
        return {run for (run, _), row in self.rows().items() if is_tombstone(row)}

    def retain(self, *, apply: bool = True, **how: Any) -> dict[str, Retained]:
        return {done.dag_id: done for done in retain(Runs(self.engine), apply=apply, **how)}

    def assert_rows_are_whole(self) -> None:
        """Every row that refers to a blob refers to one that is there."""
        for row in self.rows().values():
            envelope = Envelope.from_json(row)
            if envelope is not None and envelope.reference is not None:
                self.backend.pull(row, key=str(envelope.coordinate.key))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "airflow_xcom.backend.cli", "retain", *arguments]
        return subprocess.run(
            line, env={**os.environ, **self.variables}, text=True, capture_output=True, check=False, timeout=300
        )


# What does not depend on the database.
on_sqlite = pytest.mark.parametrize("migrated", ["sqlite"], indirect=True)


def is_tombstone(row: Any) -> bool:
    return isinstance(row, dict) and "retired" in row.get("airflow_xcom", {})


def array(number: int = 1) -> Any:
    return np.arange(1000) * number


@pytest.fixture
def world(migrated: Metadata, backend: Backend) -> Iterator[World]:  # noqa: F811
    backend.options(threshold=2000)
    made = World(migrated, backend)
    made.clear()
    yield made
    made.clear()


# The rules.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("forever", [(1e12, 1_000_000)]),
        ("10s", [(9.9, 99), (-5, 99)]),
        ("2m", [(119, 99)]),
        ("3h", [(10_799, 99)]),
        ("7d", [(604_799, 99)]),
        ("2w", [(1_209_599, 99)]),
        ("5runs", [(1e12, 4)]),
        ("1run", [(1e12, 0)]),
    ],
)
def test_a_term_keeps_what_it_says(text: str, kept: list[tuple[float, int]]) -> None:
    assert all(Term.parse(text).keeps(*at) for at in kept)


@pytest.mark.parametrize(
    ("text", "gone"),
    [("10s", (10, 0)), ("2w", (1_209_600, 0)), ("0s", (0, 0)), ("5runs", (0, 5)), ("1run", (0, 1)), ("0runs", (0, 0))],
)
def test_and_not_a_moment_or_a_run_more(text: str, gone: tuple[float, int]) -> None:
    assert not Term.parse(text).keeps(*gone)


@pytest.mark.parametrize(
    "text", ["", "7", "7 d", "-7d", "7y", "runs", "1.5d", "never", "7D", "1e3d", "\u0667d", "9999999999d"]
)
def test_other_terms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time to keep values: give forever"):
        Term.parse(text)


OPTIONS = {"": (Term.parse("30d"),), "failed": (Term.parse("90d"),)}


@pytest.mark.parametrize(
    ("tags", "success", "failed"),
    [
        ([], "[xcom_codecs] keep = 30d", "[xcom_codecs] keep_failed = 90d"),
        (["team:a", "keep=1d"], "[xcom_codecs] keep = 30d", "[xcom_codecs] keep_failed = 90d"),
        (["xcom:hide", "xcom:hide=load_*"], "[xcom_codecs] keep = 30d", "[xcom_codecs] keep_failed = 90d"),
        (["xcom:keep=7d"], "xcom:keep=7d", "xcom:keep=7d"),
        (["xcom:keep-failed=7d"], "[xcom_codecs] keep = 30d", "xcom:keep-failed=7d"),
        (["xcom:keep-success=2runs", "xcom:keep=7d"], "xcom:keep-success=2runs", "xcom:keep=7d"),
        (["xcom:keep=7d", "xcom:keep=5runs"], "xcom:keep=5runs, xcom:keep=7d", "xcom:keep=5runs, xcom:keep=7d"),
    ],
)
def test_tags_go_before_options_and_states_before_all(tags: list[str], success: str, failed: str) -> None:
    rules = Policy.of(tags, OPTIONS).rules
    assert (rules["success"].text, rules["failed"].text) == (success, failed)


def test_of_several_terms_the_one_that_keeps_more_holds() -> None:
    rule = Policy.of(["xcom:keep=7d", "xcom:keep=5runs"], OPTIONS).rules["success"]
    assert rule.keeps(1e12, {"": 4})
    assert rule.keeps(10, {"": 9})
    assert not rule.keeps(1e12, {"": 5})
    assert Policy.of(["xcom:keep=0s", "xcom:keep=forever"], OPTIONS).is_forever


@pytest.mark.parametrize(
    "tag", ["xcom:keep", "xcom:keep=", "xcom:keep=soon", "xcom:kepe=7d", "xcom:hides", "xcom:keep-running=1d"]
)
def test_a_tag_that_says_nothing_we_know_is_named(tag: str) -> None:
    with pytest.raises(RetentionTagError, match=f"the tag '{tag}' is not understood"):
        Policy.of(["other", tag], OPTIONS)


# Which values go.


def test_by_age(world: World) -> None:
    world.backend.options(keep="7d")
    for run, days in (("old", 7.5), ("young", 6.5), ("new", 0)):
        world.push(world.run(run, days), array())
    world.retain()
    assert world.retired() == {"old"}


@on_sqlite
def test_a_value_that_was_written_after_its_run_ended_is_as_old_as_that(world: World) -> None:
    world.backend.options(keep="7d")
    world.run("old", 30)
    world.push("old", array(), days=30)
    world.push("old", array(), days=3, key="later")
    world.retain()
    assert [key for (_, key), row in world.rows().items() if is_tombstone(row)] == ["return_value"]


def test_by_number_of_runs_those_that_ended_last_stay(world: World) -> None:
    world.backend.options(keep="3runs")
    for days in (1, 9, 3, 7, 5):
        world.push(world.run(f"{days} days", days), array())
    for number in range(4):
        world.push(world.run(f"other {number}", 100, dag="other"), array(), dag="other")
    done = world.retain()
    assert world.retired() == {"7 days", "9 days", "other 0"}
    assert (done["flights"].runs, done["flights"].going, done["other"].going) == (5, 2, 1)


def test_numbers_of_runs_hold_across_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.backend.options(keep="3runs")
    for days in range(9):
        world.run(f"{days}", days)
        for index in range(3):
            world.push(f"{days}", (1, 2), map_index=index)
    for name, size in (("settled", 2), ("values", 2)):
        whole = getattr(Runs, name)
        monkeypatch.setattr(Runs, name, lambda self, given, whole=whole, size=size: whole(self, given, size))
    done = world.retain()["flights"]
    assert world.retired() == {"3", "4", "5", "6", "7", "8"}
    assert (done.runs, done.going, done.due, done.retired) == (9, 6, 18, 18)


def test_runs_that_ended_at_the_same_moment_are_not_lost_between_pages(world: World) -> None:
    for name in "abcde":
        world.run(name, 30)
    pages = Runs(world.engine).settled("flights", 2)
    assert [[run.run_id for run in page] for page in pages] == [["e", "d"], ["c", "b"], ["a"]]


@pytest.mark.parametrize("days", [-60, 60])
def test_where_the_clocks_of_host_and_database_differ_the_later_one_retires_nothing(
    days: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> dt.datetime:
            return dt.datetime.now(tz) + dt.timedelta(days=days)

    monkeypatch.setattr("airflow_xcom.backend.database.tables.datetime", Clock)
    world.backend.options(keep="7d")
    for age in (1, 30, 100):
        world.push(world.run(str(age), age), array())
    world.retain()
    assert world.retired() == ({"30", "100"} if days > 0 else {"100"})


@on_sqlite
def test_by_state_of_the_run(world: World) -> None:
    world.backend.options(keep="7d", keep_failed="90d")
    for state in ("success", "failed"):
        for days in (1, 30, 100):
            world.push(world.run(f"{state} {days}", days, state=state), array())
    world.retain()
    assert world.retired() == {"success 30", "success 100", "failed 100"}


@on_sqlite
def test_a_number_for_one_state_counts_no_other(world: World) -> None:
    world.tag("xcom:keep-failed=1run", "xcom:keep=forever")
    for days, state in ((1, "success"), (2, "failed"), (3, "success"), (4, "failed")):
        world.push(world.run(f"{days}", days, state=state), array())
    world.retain()
    assert world.retired() == {"4"}


def test_by_tag_of_the_dag(world: World) -> None:
    world.backend.options(keep="7d")
    for dag, tag in (("short", "xcom:keep=1d"), ("long", "xcom:keep=4w"), ("always", "xcom:keep=forever")):
        world.tag(tag, "team:a", dag=dag)
    for dag in ("short", "long", "always", "untagged"):
        world.push(world.run(f"{dag} 3", 3, dag=dag), array(), dag=dag)
        world.push(world.run(f"{dag} 30", 30, dag=dag), array(), dag=dag)
    world.retain()
    assert world.retired() == {"short 3", "short 30", "long 30", "untagged 30"}


@on_sqlite
def test_of_a_dag_with_a_wrong_tag_everything_is_kept_and_the_others_go_on(world: World) -> None:
    world.backend.options(keep="7d")
    world.tag("xcom:keep=7dd", dag="flights")
    for dag in ("flights", "others"):
        world.push(world.run(dag, 30, dag=dag), array(), dag=dag)
    done = world.retain()
    assert world.retired() == {"others"}
    assert done["flights"].failed == 1
    assert "'xcom:keep=7dd' is not understood" in done["flights"].problems[0]


@on_sqlite
def test_without_a_policy_everything_is_kept(world: World) -> None:
    world.push(world.run("old", 10_000), array())
    world.retain()
    assert world.retired() == set()


def test_runs_that_are_going_are_never_touched_nor_counted(world: World) -> None:
    world.backend.options(keep="1run")
    for state in ("running", "queued", "unheard of"):
        world.push(world.run(state, 3, state=state), array())
        world.push(world.run(f"{state} without end", None, state=state), array())
    world.push(world.run("ended", 20), array())
    done = world.retain()["flights"]
    assert world.retired() == set()
    assert (done.runs, done.changed) == (1, 0)
    world.backend.options(keep="0runs")
    world.retain()
    assert world.retired() == {"ended"}


UNSETTLED = [None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred"]


def test_runs_that_ended_but_for_a_task_are_never_touched_nor_counted(world: World) -> None:
    world.backend.options(keep="0s")
    for state in [*UNSETTLED, "awaiting_input", "unheard of"]:
        world.push(world.run(f"but for {state}", 30), array())
        world.task(f"but for {state}", "again", state)
    world.push(world.run("ended", 30), array())
    for state in SETTLED:
        world.task("ended", f"was {state}", state)
    done = world.retain()["flights"]
    assert world.retired() == {"ended"}
    assert (done.runs, done.changed) == (1, 0)


LONG = ["a plain value that is rather long"] * 40
PLAIN = {
    "return_value": [LONG, True],
    "skipmixin_key": [{"followed": LONG}, False],
    "_link_Console": ["https://" + "x" * 1500, False],
    "pushed": [[*LONG, "airflow_xcom"], False],  # what the database gives to look at, but is none of ours
}


@on_sqlite
def test_of_plain_values_only_long_returned_ones_go(world: World) -> None:
    world.backend.options(keep="0s")
    world.run("old", 30)
    for key, (value, _) in PLAIN.items():
        world.push("old", value, key=key)
        assert world.rows()["old", key] == value, "it is plain"
    world.retain()
    for key, (value, goes) in PLAIN.items():
        row = world.rows()["old", key]
        assert is_tombstone(row) if goes else row == value, key


def test_short_plain_values_stay(world: World) -> None:
    world.backend.options(keep="0s")
    values = [None, 1, 1.5, "short", {"a": [1]}, True]
    for number, value in enumerate(values):
        world.push(world.run(f"old {number}", 30), value)
    done = world.retain()["flights"]
    assert [world.rows()[f"old {number}", "return_value"] for number in range(len(values))] == values
    assert (done.runs, done.due, done.failed) == (len(values), 0, 0)


@on_sqlite
def test_the_result_of_a_run_and_rows_of_a_former_backend_stay(world: World) -> None:
    world.backend.options(keep="0s")
    world.run("old", 30)
    place = {"task_id": "clean", "map_index": -1, "key": "return_value"}
    world.put("old", LONG, **place, dag_result=True)
    world.retain()
    assert world.rows()["old", "return_value"] == LONG
    world.put("old", LONG, **place)
    world.backend.options(legacy_backend="airflow.providers.common.io.xcom.backend.XComObjectStorageBackend")
    world.retain()
    assert world.rows()["old", "return_value"] == LONG


@on_sqlite
def test_what_airflow_reads_itself_stays_even_in_an_envelope(world: World) -> None:
    world.backend.options(keep="0s")
    world.run("old", 30)
    for key in ("skipmixin_key", "_link_Console"):
        world.push("old", (1, 2), key=key)
    world.retain()
    assert world.retired() == set()


def test_envelopes_go_under_any_key_inline_or_not(world: World) -> None:
    world.backend.options(keep="0s")
    world.run("old", 30)
    for index, value in enumerate(
        [(1, 2), array(), float("nan"), {"airflow_xcom": "retired"}, pd.DataFrame({"a": [1]})]
    ):
        world.push("old", value, key=f"part {index}", map_index=index)
    done = world.retain()["flights"]
    assert all(map(is_tombstone, world.rows().values()))
    assert (done.due, done.retired, done.failed) == (5, 5, 0)
    again = world.retain()["flights"]
    assert (again.due, again.going, again.failed) == (0, 0, 0), "what is retired is not looked at again"


def test_a_dry_run_only_counts(world: World) -> None:
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())
    world.push("old", (1, 2), key="inline")
    before, files = world.rows(), world.backend.blobs()
    done = world.retain(apply=False)["flights"]
    assert (world.rows(), world.backend.blobs()) == (before, files)
    assert (done.runs, done.going, done.due, done.retired) == (1, 1, 2, 0)
    assert done.in_blobs == files[0].stat().st_size
    assert done.oldest is not None
    assert abs(done.oldest - (NOW - dt.timedelta(days=30))) < dt.timedelta(seconds=1)


@on_sqlite
def test_only_the_dags_that_are_asked_for(world: World) -> None:
    world.backend.options(keep="0s")
    for dag in ("a", "b"):
        world.push(world.run(dag, 1, dag=dag), array(), dag=dag)
    world.retain(dag_ids=["a"])
    assert world.retired() == {"a"}


@on_sqlite
def test_after_a_page_with_nothing_left_the_runs_before_are_not_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = Runs.settled
    monkeypatch.setattr(Runs, "settled", lambda self, dag_id: settled(self, dag_id, 2))
    world.backend.options(keep="0s")
    for days in range(8):
        world.run(f"{days}", days)
    for days in (1, 3, 7):
        world.push(f"{days}", array())
    world.retain(newest_only=True)
    assert world.retired() == {"1", "3"}
    world.retain()
    assert world.retired() == {"1", "3", "7"}


# What is left, and who meets it.


@on_sqlite
def test_who_pulls_a_retired_value_is_told_when_by_which_rule_and_what_to_do(world: World) -> None:
    world.tag("xcom:keep=7d")
    world.push(world.run("old", 30), pd.DataFrame({"secret": ["x" * 3000]}))
    world.retain()
    row = world.rows()["old", "return_value"]
    content = row["airflow_xcom"]
    assert content.keys() == {"version", "tag", "summary", "of", "retired"}
    assert (content["version"], content["tag"]) == (2, "pandas.DataFrame")
    assert content["of"] == ["flights", "old", "clean", -1, "return_value"]
    assert "secret" not in str(row)
    with pytest.raises(RetiredPayloadError) as caught:
        world.backend.pull(row)
    error = caught.value
    assert error.rule == "xcom:keep=7d"
    assert dt.timedelta(0) <= dt.datetime.fromisoformat(error.at) + dt.timedelta(1) - NOW < dt.timedelta(days=2)
    assert str(error) == (
        f"the value was retired at {error.at} by the rule 'xcom:keep=7d'; to have it again, clear the task 'clean' of "
        "this run, which pushed it, together with the tasks after it "
        "[dag=flights run=old task=clean map_index=-1 key=return_value]"
    )


@on_sqlite
def test_commands_show_what_is_retired(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tombstone(world)
    monkeypatch.setattr(xcom_rows, "metadata_rows", lambda: Rows(world.engine))
    monkeypatch.setenv("COLUMNS", "200")
    said = []
    for command, code in (("list", 0), ("verify", 0), ("inspect", 1)):
        assert cli.main([command]) == code
        said.append(capsys.readouterr())
    listed, verified, inspected = said
    assert re.search(r"pandas.DataFrame +retired +.* KiB +at .* by the rule '\[xcom_codecs\] keep = 0s'", listed.out)
    assert verified.out == "1 retired; 0 B compared\n"
    assert "place       retired\n" in inspected.out
    assert "null" not in inspected.out
    assert "the value was retired at" in inspected.err


@on_sqlite
def test_plain_values_that_went_are_told_of_likewise(world: World) -> None:
    world.backend.options(keep="5runs, 7d", keep_success="0s")
    world.push(world.run("old", 30), LONG)
    world.retain()
    with pytest.raises(RetiredPayloadError, match=r"by the rule '\[xcom_codecs\] keep_success = 0s'.* run=old "):
        world.backend.pull(world.rows()["old", "return_value"])


def tombstone(world: World) -> Any:
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), pd.DataFrame({"a": range(1000)}))
    world.retain()
    return world.rows()["old", "return_value"]


@on_sqlite
def test_parts_of_tables_and_many_values_at_once_meet_the_same_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = SimpleNamespace(value=tombstone(world), key="return_value")
    good = SimpleNamespace(value=world.backend.push((1, 2)), key="return_value")

    class Task:
        def xcom_pull(self, *_: Any, **__: Any) -> Any:
            return CodecXComBackend.deserialize_value(row)

    with pytest.raises(RetiredPayloadError):
        pull_table(Task(), "clean", columns=["a"])
    base = CodecXComBackend.__mro__[1]
    found = classmethod(lambda _, **__: [CodecXComBackend.deserialize_value(one) for one in (good, row)])
    monkeypatch.setattr(base, "get_all", found)
    with pytest.raises(RetiredPayloadError):
        CodecXComBackend.get_all(key="return_value")
    whole = SimpleNamespace(xcom_pull=lambda *_, **__: CodecXComBackend.deserialize_value(good))
    with pytest.raises(SelectionError):
        pull_table(whole, "clean", columns=["a"])


@on_sqlite
def test_a_tombstone_is_purged_and_migrated_as_a_value_without_a_blob(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    row = tombstone(world)
    world.backend.purge(row)
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    world.backend.options(stores=json.dumps({"other": (world.backend.folder.parent / "other").as_uri()}))
    moves = migrate(Rows(world.engine), "default", "other", apply=True)
    assert (moves.rows, moves.failed) == (0, 0)
    assert world.rows()["old", "return_value"] == row


@on_sqlite
def test_readers_before_tombstones_refuse_them_as_newer_and_forgeries_are_refused(world: World) -> None:
    row = tombstone(world)
    assert row["airflow_xcom"]["version"] == 2
    assert world.backend.push((1,))["airflow_xcom"]["version"] == 1, "what old readers can read they may"

    def changed(**fields: Any) -> Any:
        return {"airflow_xcom": {**row["airflow_xcom"], **fields}}

    with pytest.raises(NewerFormatError):
        Envelope.from_json(changed(version=4))
    for fields in ({"version": 1}, {"retired": None}, {"retired": {"at": "now"}}, {"data": 1}):
        with pytest.raises(CorruptPayloadError):
            Envelope.from_json(changed(**fields))
    with pytest.raises(CorruptPayloadError):
        Envelope.from_json(changed(retired={"at": 5, "rule": "x"}))
    assert Envelope.from_json(row).to_json() == row  # type: ignore[union-attr]


# Order, accidents and other writers.


def test_a_value_that_is_written_anew_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array(1))
    world.push("old", array(2), key="other")
    replace = Runs.replace

    def late(self: Runs, *arguments: Any) -> Any:
        world.push("old", array(3))
        return replace(self, *arguments)

    monkeypatch.setattr(Runs, "replace", late)
    done = world.retain()["flights"]
    assert (done.due, done.retired, done.changed, done.failed) == (2, 1, 1, 0)
    assert np.array_equal(world.backend.pull(world.rows()["old", "return_value"]), array(3))
    assert is_tombstone(world.rows()["old", "other"])


@pytest.mark.parametrize("how", ["run", "task", "ended again"])
def test_a_run_that_begins_again_meanwhile_keeps_its_values(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())
    replace = Runs.replace

    def late(self: Runs, *arguments: Any) -> Any:
        if how == "run":
            world.begin_again("old")
        elif how == "task":
            world.task("old", "again", "restarting")
        else:
            with world.transaction() as connection:
                runs = world._runs
                connection.execute(runs.update().where(runs.c.run_id == "old").values(end_date=NOW))
        return replace(self, *arguments)

    monkeypatch.setattr(Runs, "replace", late)
    done = world.retain()["flights"]
    assert (done.retired, done.changed) == (0, 1)
    assert np.array_equal(world.backend.pull(world.rows()["old", "return_value"]), array())


@pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)
@pytest.mark.parametrize("what", ["the run and its tasks", "a task alone"])
def test_a_clear_that_is_not_committed_yet_is_waited_for(world: World, what: str) -> None:
    """Else it commits after the values that the cleared tasks need have gone."""
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())
    waiting = sqlalchemy.text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    watch = world.engine.execution_options(isolation_level="AUTOCOMMIT")  # a transaction would see one state only
    with ThreadPoolExecutor(1) as pool, watch.connect() as connection:
        with world.transaction() as clear:
            clear.execute(world._tasks.update().values(state=None))
            if what != "a task alone":
                clear.execute(world._runs.update().values(state="queued"))
            retained = pool.submit(world.retain)
            until("a lock", lambda: retained.done() or connection.execute(waiting).scalar_one())
        done = retained.result()["flights"]
    assert (done.retired, done.changed) == (0, 1)
    assert np.array_equal(world.backend.pull(world.rows()["old", "return_value"]), array())


def until(what: str, attempt: Callable[[], Any]) -> None:
    """Wait for it."""
    ends = time.monotonic() + 300
    while not attempt():
        assert time.monotonic() < ends, f"{what} did not come about"
        time.sleep(0.01)


def test_two_at_once_retire_everything_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.backend.options(keep="0s")
    for number in range(4):
        world.push(world.run(f"old {number}", 30 + number), array(number))
    replace, inside, other = Runs.replace, [], []

    def late(self: Runs, *arguments: Any) -> Any:
        if not inside:
            inside.append(True)
            other.append(world.retain()["flights"])
        return replace(self, *arguments)

    monkeypatch.setattr(Runs, "replace", late)
    done = world.retain()["flights"]
    assert (other[0].retired, other[0].failed) == (4, 0)
    assert (done.retired, done.changed, done.failed) == (0, 4, 0)


@on_sqlite
@pytest.mark.parametrize("method", ["get", "put", "delete", "list", "scan"])
def test_no_store_is_touched(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A sweep deletes the blobs, which compares them with all rows."""
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())

    def touched(*_: Any) -> Any:
        raise AssertionError(method)

    monkeypatch.setattr(type(open_store(world.backend.folder.as_uri())), method, touched)
    done = world.retain()["flights"]
    assert (done.retired, done.failed) == (1, 0)
    assert len(world.backend.blobs()) == 1


@on_sqlite
def test_what_cannot_be_read_or_is_in_an_unknown_store_is_kept_and_told(world: World) -> None:
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())
    rows = world.rows()["old", "return_value"]
    rows["airflow_xcom"]["ref"] |= {"store": "gone", "url": "s3://gone/xcom"}
    newer = {"airflow_xcom": {"version": 9, "tag": "x", "summary": {}, "of": None, "data": 1}}
    for key, row in (("return_value", rows), ("newer", newer)):
        world.put("old", row, task_id="clean", map_index=-1, key=key)
    done = world.retain()["flights"]
    assert (done.due, done.retired, done.failed) == (0, 0, 2)
    assert any("'gone'" in problem and "run=old" in problem for problem in done.problems)
    assert world.rows() == {("old", "return_value"): rows, ("old", "newer"): newer}


# Other Airflows' tables, and size.

TASK_COLUMNS = "id text primary key, dag_id text, run_id text, task_id text, map_index integer, state text"
INDEX = {"3.4": "region_index"}  # what the column of the index is called there
COLUMNS = "dag_run_id integer, dag_id text, run_id text, task_id text, map_index integer, key text, timestamp timestamp"
OLD_KEY = "dag_run_id, task_id, map_index, key"
XCOMS = {
    "2.11": {"xcom": (COLUMNS, OLD_KEY, "blob")},
    "3.4": {
        "xcom_v1": (COLUMNS, OLD_KEY, "json"),
        "xcom_v2": ("id char(32), task_instance_id char(32), key text, timestamp timestamp", "id", "json"),
    },
}


def tables(version: str, folder: Any) -> Any:
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/{version}.db")
    with engine.begin() as connection:
        for statement in (
            "create table dag_run (id integer primary key, dag_id text, run_id text, state text, end_date timestamp)",
            f"create table task_instance ({TASK_COLUMNS.replace('map_index', INDEX.get(version, 'map_index'))})",
            "create table dag_tag (name text, dag_id text, primary key (name, dag_id))",
        ):
            connection.execute(sqlalchemy.text(statement))
        for table, (columns, key, kind) in XCOMS[version].items():
            connection.execute(sqlalchemy.text(f"create table {table} ({columns}, value {kind}, primary key ({key}))"))
    return engine


@pytest.mark.parametrize("version", XCOMS)
def test_the_tables_of_other_airflows(version: str, backend: Backend, tmp_path: Any) -> None:
    backend.options(threshold=2000, keep="2runs")
    engine = tables(version, tmp_path)
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    for number in range(6):
        for dag in ("flights", "other"):
            at = {"dag_id": dag, "run_id": f"run {number}", "task_id": "clean", "map_index": 3}
            when = dt.datetime(2024, 1, 1 + number, 12, 30, 15, 123456)
            instance = f"{dag} {number}"
            run = {"id": number + (100 if dag == "other" else 0), "dag_id": dag, "run_id": f"run {number}"}
            with engine.begin() as connection:
                execute = connection.execute
                execute(metadata.tables["dag_run"].insert().values(**run, state="success", end_date=when))
                task = {INDEX.get(version, name) if name == "map_index" else name: part for name, part in at.items()}
                execute(metadata.tables["task_instance"].insert().values(id=instance, **task, state="success"))
                for table in XCOMS[version]:
                    for key in ("return_value", "skipmixin_key"):
                        row: Any = backend.push(array() if key == "return_value" else {"followed": LONG}, key, **at)
                        row = json.dumps(row).encode() if version == "2.11" else row
                        ids = {"dag_run_id": run["id"], **at}
                        if table == "xcom_v2":
                            ids = {"id": f"{instance} {key}", "task_instance_id": instance}
                        execute(metadata.tables[table].insert().values(**ids, key=key, timestamp=when, value=row))
    if version == "3.4":  # Airflow 2 has no page that shows an outline
        pages = Runs(engine).outlines("flights", 5)
        outlined = [(row.columns, row.envelope is None) for page in pages for row, _ in page]
        places = [Coordinate("flights", f"run {number}", "clean", 3) for number in range(6)]
        keys = {"return_value": False, "skipmixin_key": True}
        wanted = [(replace(place, key=key), plain) for place in places for key, plain in keys.items()]
        assert sorted(outlined, key=str) == sorted(wanted * len(XCOMS[version]), key=str)
    done = list(retain(Runs(engine), apply=True))
    tombstones = []
    with engine.connect() as connection:
        for table in XCOMS[version]:
            for key, text in connection.execute(sqlalchemy.text(f"select key, value from {table}")):
                row = json.loads(text)
                assert not (key == "skipmixin_key" and is_tombstone(row))
                tombstones += [row["airflow_xcom"]["of"]] if is_tombstone(row) else []
    count = len(XCOMS[version])
    assert [(one.dag_id, one.retired, one.failed) for one in done] == [
        ("flights", 4 * count, 0),
        ("other", 4 * count, 0),
    ]
    expected = [[dag, f"run {n}", "clean", 3, "return_value"] for dag in ("flights", "other") for n in range(4)]
    assert sorted(tombstones) == sorted(expected * count)


def test_memory_does_not_grow_with_the_runs(backend: Backend, tmp_path: Any) -> None:
    backend.options(keep="1d", threshold=-1)
    row = json.dumps(backend.push((1, 2)))
    peaks = []
    for count in (500, 2_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        engine = tables("3.4", folder)
        with engine.begin() as connection:
            runs = [{"n": number, "end": f"2024-01-01 00:00:00.{number:06}"} for number in range(count)]
            insert = "insert into dag_run values (:n, 'd', 'r' || :n, 'success', :end)"
            connection.execute(sqlalchemy.text(insert), runs)
            insert = "insert into xcom_v1 values (:n, 'd', 'r' || :n, 't', -1, 'k', :end, :row)"
            connection.execute(sqlalchemy.text(insert), [{**run, "row": row} for run in runs])
        tracemalloc.start()
        assert next(retain(Runs(engine))).due == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert all(more < 1.5 * less for less, more in pairwise(peaks)), peaks


# At the terminal.


@on_sqlite
def test_the_command_lists_before_it_acts_and_tells_what_it_did(world: World) -> None:
    world.backend.options(keep="30d")
    world.tag("xcom:keep=7d", dag="flights")
    world.tag("xcom:keep=7x", dag="typo")
    for dag in ("flights", "trains", "typo"):
        for days in (1, 8, 40):
            world.push(world.run(f"{dag} {days}", days, dag=dag), array(), dag=dag)
    before = world.rows()
    listed = world.command()
    assert (listed.returncode, listed.stderr) == (1, ""), "because of a tag"
    assert world.rows() == before
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["DAG", "RUNS", "GOING", "VALUES", "IN", "BLOBS", "IN", "ROWS", "OLDEST", "RULE"]
    assert lines[1].split()[:4] == ["flights", "3", "2", "2"]
    assert lines[1].endswith("xcom:keep=7d")
    assert lines[2].split()[:4] == ["trains", "3", "1", "1"]
    assert lines[2].endswith("[xcom_codecs] keep = 30d")
    assert lines[3].split()[:4] == ["typo", "0", "0", "0"]
    assert "the tag 'xcom:keep=7x' is not understood" in lines[4]
    assert lines[-1].startswith("3 values of 3 runs would be retired, ")
    assert lines[-1].endswith("; 1 failed; add --apply to do so")
    done = world.command("--apply", "--dag", "flights", "--dag", "trains")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 of 3 values of 3 runs retired; 0 changed meanwhile, 0 failed"
    assert world.retired() == {"flights 8", "flights 40", "trains 40"}


@on_sqlite
def test_the_command_tells_scripts_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "metadata_runs", lambda: Runs(world.engine))
    world.backend.options(keep="7d")
    for days in (1, 8, 40):
        world.push(world.run(f"{days}", days), array())
    capsys.readouterr()
    assert cli.main(["retain", "--output=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["due"], told["retired"], told["failed"]) == (False, 2, 0, 0)
    assert cli.main(["retain", "--output=json", "--apply"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["due"], told["retired"], told["failed"]) == (True, 2, 2, 0)
    (dag,) = told["dags"]
    assert (dag["dag_id"], dag["rule"], dag["runs"]) == ("flights", "[xcom_codecs] keep = 7d", 3)
    assert dt.datetime.fromisoformat(dag["oldest"]) < NOW - dt.timedelta(days=39)


def test_a_database_of_no_airflow_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "metadata_runs", lambda: Runs(sqlalchemy.create_engine("sqlite://")))
    assert cli.main(["retain"]) == 1
    assert "has no table dag_run; is it that of a running Airflow?" in capsys.readouterr().err


@pytest.mark.parametrize("when", ["from the start", "halfway"])
@on_sqlite
def test_a_database_that_is_away_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    world.backend.options(keep="0s")
    for dag in ("a", "b"):
        world.push(world.run(dag, 30, dag=dag), array(), dag=dag)
    away = sqlalchemy.create_engine("sqlite:////nowhere/at/all.db")
    monkeypatch.setattr(runs, "metadata_runs", lambda: Runs(away if when == "from the start" else world.engine))
    replace = Runs.replace

    def leave(self: Runs, run: Any, changes: Any) -> Any:
        if run.dag_id == "b":
            self._engine = away
        return replace(self, run, changes)

    monkeypatch.setattr(Runs, "replace", leave)
    assert cli.main(["retain", "--apply"]) == 1
    assert "airflow-xcom: the metadata database cannot be read: " in capsys.readouterr().err
    assert world.retired() == (set() if when == "from the start" else {"a"})
    world.assert_rows_are_whole()


@on_sqlite
def test_progress_is_told_now_and_then(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "INTERVAL", -1)
    monkeypatch.setattr(runs, "metadata_runs", lambda: Runs(world.engine))
    world.backend.options(keep="0s")
    world.push(world.run("old", 30), array())
    assert cli.main(["retain", "--apply"]) == 0
    assert capsys.readouterr().err == "flights: 1 runs, 1 values to retire, 1 retired, 0 failed\n"


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["retain", "--help"])
    told = capsys.readouterr().out
    assert "usage: airflow-xcom retain" in told
    assert "xcom:keep-failed=30d" in told
    assert retention.retain.__doc__ is not None

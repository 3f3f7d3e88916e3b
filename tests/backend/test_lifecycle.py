"""The listener that notes runs when they end, and the process that it hands them to."""

from __future__ import annotations

import configparser
import io
import json
import logging
import os
import sys
import threading
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Backend
from owners import adopted
from test_migrate import Metadata, migrated  # noqa: F401 - a fixture
from test_retain import NOW, World, array, on_sqlite, until, world  # noqa: F401 - a fixture

from airflow_xcom.backend.assets.state_plugin import StatePlugin
from airflow_xcom.backend.database import dag_runs as runs
from airflow_xcom.backend.database import xcom_rows
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.xcom_rows import Rows
from airflow_xcom.backend.maintenance import after_run as process
from airflow_xcom.backend.maintenance import run_listener as lifecycle
from airflow_xcom.backend.maintenance import sweep as sweeping
from airflow_xcom.backend.maintenance.run_listener import RunEndListener
from airflow_xcom.backend.ui import api_server as server
from airflow_xcom.backend.ui.data_tab import DataTabPlugin

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 300.0  # seconds; what is waited for takes a few


def ended(dag_id: str, run_id: str = "r") -> Any:
    return SimpleNamespace(dag_id=dag_id, run_id=run_id)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_GATHER", 0.05)


@pytest.mark.usefixtures("quick")
def test_the_hook_returns_while_the_process_runs_and_runs_that_end_meanwhile_are_gathered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, tuple[str, str]]] = []
    go_on = threading.Event()
    busy = threading.Event()

    def see_to(ended: dict[str, tuple[str, str]]) -> None:
        seen.append(ended)
        busy.set()
        assert go_on.wait(DEADLINE)

    monkeypatch.setattr(lifecycle, "_see_to", see_to)
    listener = RunEndListener()
    listener.on_dag_run_success(ended("a", "1"))
    assert busy.wait(DEADLINE)
    for number in range(1000):
        listener.on_dag_run_success(ended("a", f"{number}"))
        listener.on_dag_run_failed(ended("b", f"{number}"))
    assert seen == [{"a": ("1", "1")}], "it has not ended"
    assert listener._ended == {"a": ("0", "999"), "b": ("0", "999")}, "what waits is bounded by the number of Dags"
    go_on.set()
    until("the second process", lambda: len(seen) == 2)
    assert seen[1] == {"a": ("0", "999"), "b": ("0", "999")}
    until("the end of the thread", lambda: listener._process is None)
    listener.on_dag_run_success(ended("c"))
    until("another thread", lambda: len(seen) == 3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("process", "said"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('the store is away')"), "the store is away"),
        (("/no/such/program",), "FileNotFoundError"),
        ((sys.executable, "-c", "import time; time.sleep(600)"), "timed out after 0.5 seconds"),
    ],
)
def test_a_process_that_fails_is_logged_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, process: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(lifecycle, "_PROCESS", process)
    monkeypatch.setattr(lifecycle, "_TIMEOUT", 0.5 if "sleep" in process[-1] else DEADLINE)
    listener = RunEndListener()
    with caplog.at_level(logging.ERROR, "airflow_xcom.backend"):
        listener.on_dag_run_failed(ended("a"))
        until("the end of the thread", lambda: listener._process is None)
    assert said in caplog.text
    assert "could be retired or swept after the runs a r" in caplog.text


def test_the_process_imports_nothing_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise SystemExit(5)\n"
    for name in ("json", "airflow_xcom", "airflow"):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    lifecycle._see_to({})
    assert not (tmp_path / "imported").exists()


def test_a_hook_that_cannot_start_a_thread_does_not_raise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(lifecycle._thread, "start_new_thread", refuse)
    RunEndListener().on_dag_run_success(ended("a", "manual"))
    assert "nothing can be retired or swept after the run a manual" in caplog.text


@pytest.mark.parametrize(
    ("option", "after", "count"), [("False", "", 0), ("True", "", 1), ("False", "1d", 1), ("perhaps", "", 0)]
)
def test_there_is_a_listener_only_if_an_option_says_so(
    backend: Backend, caplog: pytest.LogCaptureFixture, option: str, after: str, count: int
) -> None:
    backend.options(retain_when_run_ends=option, sweep_after_run=after)
    assert len(lifecycle._listeners()) == count
    assert ("give True or False" in caplog.text) == (option == "perhaps")


def test_the_plugins_are_installed() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    lines = metadata["options.entry_points"]["airflow.plugins"].strip().splitlines()
    loaded = {
        name: EntryPoint(name, target, "airflow.plugins").load()
        for name, _, target in (line.partition(" = ") for line in lines)
    }
    plugins = lifecycle.RetainPlugin, server.ShownPlugin, DataTabPlugin, StatePlugin
    assert loaded == {plugin.name: plugin for plugin in plugins}


def handed_over(monkeypatch: pytest.MonkeyPatch, world: World, ended: dict[str, list[str]]) -> int:  # noqa: F811
    """What the process does and its exit code, in this one."""
    monkeypatch.setattr(runs, "metadata_runs", lambda: Runs(world.engine))
    monkeypatch.setattr(xcom_rows, "metadata_rows", lambda: Rows(world.engine))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(ended)))
    return process.main()


@on_sqlite
def test_the_process_waits_until_the_end_of_the_run_is_committed(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.backend.options(keep="0runs", retain_when_run_ends=True)
    for dag in ("flights", "others"):
        world.push(world.run(f"of {dag}", 1, dag=dag, state="running"), array(), dag=dag)
    waits = []

    def commit(_: float) -> None:
        waits.append(1)
        if len(waits) == 3:
            with world.transaction() as connection:
                table = world._runs
                connection.execute(table.update().where(table.c.dag_id == "flights").values(state="success"))

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=time.monotonic, sleep=commit))
    assert handed_over(monkeypatch, world, {"flights": ["of flights"] * 2, "gone": ["of gone"] * 2}) == 0
    assert len(waits) == 3
    assert world.retired() == {"of flights"}
    assert capsys.readouterr().out.endswith("1 values retired, 0 failed\n")


@on_sqlite
def test_the_process_tells_what_failed_and_does_not_wait_for_ever(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.backend.options(keep="0runs", retain_when_run_ends=True)
    world.tag("xcom:keep=some")
    world.push(world.run("never ends", 1, state="running"), array())
    monkeypatch.setattr(process, "_WAIT", 0.1)
    assert handed_over(monkeypatch, world, {"flights": ["never ends", "never ends"]}) == 1
    assert "the tag 'xcom:keep=some' is not understood" in capsys.readouterr().out
    assert world.retired() == set()


def test_each_run_is_due_once_at_the_end_of_whichever_comes_next(world: World) -> None:  # noqa: F811
    day = 86_400.0
    for days in (9, 7, 5, 4, 2, 1):
        world.run(f"{days} days ago", days)
        world.run(f"{days} days ago", days, dag="others")
    world.run("under way", None, state="running")
    found = Runs(world.engine)

    def due(*run_ids: str, age: float = 3 * day) -> list[str]:
        return [run_id.partition(" ")[0] for run_id in found.ended_earlier("flights", run_ids, age)]

    assert due("9 days ago") == []
    assert due("5 days ago") == ["9"]
    assert due("4 days ago") == ["7"]
    assert due("2 days ago") == ["5"]
    assert due("1 days ago") == ["4"]
    assert due("5 days ago", "2 days ago") == ["5", "7", "9"], "the batch of a process"
    assert due("2 days ago", "5 days ago") == ["5", "7", "9"]
    assert due("under way") == due("gone") == []
    assert due("under way", "1 days ago") == ["4"]
    assert due("1 days ago", age=0) == ["1"]
    world.begin_again("5 days ago")
    assert due("2 days ago") == [], "one that was cleared is not due"
    assert due("4 days ago", age=2 * day) == ["7"]
    world.run("all at once", 1.0)
    assert found.ended_earlier("flights", ["all at once"], 0, limit=2) == ["all at once", "1 days ago"]


@on_sqlite
def test_the_process_sweeps_runs_that_ended_so_long_before(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The values of tries that are gone go; what is current stays, and so does what is of later runs."""
    world.backend.options(sweep_after_run="2d", threshold=0)
    monkeypatch.setattr(sweeping.sweep, "__kwdefaults__", {**sweeping.sweep.__kwdefaults__, "wait": 0.0})
    for days in (4, 3.5, 1):
        run_id = world.run(f"{days} days ago", days)
        for _ in range(2):  # tries
            world.push(run_id, array())
    for file in world.backend.blobs():
        os.utime(file, (time.time() - 3 * 86_400,) * 2)
    ended = {"flights": ["1 days ago", "1 days ago"]}
    assert handed_over(monkeypatch, world, ended) == 1
    assert "run airflow-xcom adopt" in capsys.readouterr().out
    adopted(Rows(world.engine))
    assert len(world.backend.blobs()) == 6
    assert handed_over(monkeypatch, world, ended) == 0
    assert capsys.readouterr().out == "2 payloads of 2 runs deleted\n"
    left = [path.relative_to(world.backend.folder).parts[1] for path in world.backend.blobs()]
    assert sorted(left) == ["1%20days%20ago"] * 2 + ["3.5%20days%20ago", "4%20days%20ago"]
    paths = {row["airflow_xcom"]["ref"]["path"] for row in world.rows().values()}
    assert paths <= {path.relative_to(world.backend.folder).as_posix() for path in world.backend.blobs()}
    assert world.retired() == set()
    assert handed_over(monkeypatch, world, {"flights": ["4 days ago"] * 2}) == 0
    assert capsys.readouterr().out == "0 payloads of 0 runs deleted\n", "nothing ended so long before"

"""Airflow on two Celery workers that share no folder, as ``python3 dev.py cluster`` starts it, and its end."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DEMO = Path(__file__).resolve().parents[2] / "tests" / "system" / "demo"
PATIENCE = 1500  # seconds; it takes less than 180 on a machine with nothing else to do
FRAMES = 20  # the command has 200 by default, which takes minutes more and shows the same


class Cluster:
    """The command, with a file of its own for what runs."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._state = folder / "cluster.json"
        self._temporary = temporary
        self._output = folder / "output.txt"

    def command(self, name: str, **variables: str) -> subprocess.Popen[bytes]:
        own = {"TMPDIR": str(self._temporary), "XCOM_DEMO_FRAMES": str(FRAMES)}
        environment = {**os.environ, **own, **variables}
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, DEMO / "cluster.py", name, "--state", self._state],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, name: str) -> int:
        return self.command(name).wait(PATIENCE)

    def output(self) -> str:
        return self._output.read_text()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._state.read_text())
        return found

    def has_state(self) -> bool:
        return self._state.exists()

    def folders(self) -> list[Path]:
        return list(self._temporary.iterdir())

    def running(self) -> list[str]:
        """The command lines of all processes that have to do with the folder of the cluster."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and int(process.name) != os.getpid():
                with suppress(OSError):
                    command = (process / "cmdline").read_bytes()
                    facts = (command, (process / "environ").read_bytes(), os.fsencode((process / "cwd").readlink()))
                    if any(os.fsencode(self._temporary) in fact for fact in facts):
                        found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def wait(self, start: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not happened():
            assert start.poll() is None, self.output()
            assert time.monotonic() < until, self.output()
            time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    # Not below pytest's folder, which the user that PostgreSQL runs as may not enter: each run of pytest sees to that.
    with tempfile.TemporaryDirectory(prefix="cluster-") as temporary:
        found = Cluster(tmp_path, Path(temporary))
        yield found
        found.run("stop")


def test_values_cross_between_workers_that_share_no_folder(cluster: Cluster) -> None:
    assert cluster.run("start") == 0, cluster.output()
    facts = cluster.state()["facts"]

    assert facts["blobs_in_folders_by_default"] == {"worker-1": 1, "worker-2": 0}
    refused = facts["refused"]
    assert "OtherHostError" in refused
    assert "it was written on the host 'worker-1', and this is 'worker-2'" in refused
    assert "set [xcom_codecs] path to a folder or an object store that all workers share" in refused

    assert facts["flights_exact"] == 9
    assert facts["flights"].endswith("9 of 9 XComs exact")
    assert facts["mapped_compared"] == {"frames": FRAMES, "exact": FRAMES}
    assert facts["mapped_hosts"].keys() == {"worker-1", "worker-2"}
    assert sum(facts["mapped_hosts"].values()) == facts["mapped"] == FRAMES
    assert facts["blobs_in_folders"] == {"worker-1": 0, "worker-2": 0}
    assert facts["blobs_in_rows"] == facts["blobs_of_rows_in_s3"] == facts["blobs_in_s3"] > FRAMES

    names = {process["name"] for process in cluster.state()["processes"]}
    assert names >= {"PostgreSQL", "Valkey", "S3", "api-server", "scheduler", "dag-processor", "worker-1", "worker-2"}
    assert any("weed" in command for command in cluster.running()), "it is left running"

    assert cluster.run("stop") == 0
    assert set(re.split(", |: ", cluster.output().splitlines()[-1])) == {"Stopped", *names} - {"db"}
    assert cluster.running() == []
    assert cluster.folders() == []
    assert not cluster.has_state()


@pytest.mark.parametrize("by", ["Ctrl-C", "another shell"])
def test_a_start_that_is_interrupted_stops_what_it_has_started(cluster: Cluster, by: str) -> None:
    start = cluster.command("start")
    cluster.wait(start, lambda: "Valkey started" in cluster.output())
    assert cluster.running()
    if by == "Ctrl-C":
        start.send_signal(signal.SIGINT)
    else:
        assert cluster.run("stop") == 0
    assert start.wait(PATIENCE) == 130, cluster.output()
    assert cluster.running() == []
    assert cluster.folders() == []
    assert not cluster.has_state()


def test_a_server_that_does_not_start_ends_everything_but_the_logs(cluster: Cluster) -> None:
    start = cluster.command("start", GOMEMLIMIT="no size")  # with which no program in Go starts: SeaweedFS is one
    assert start.wait(PATIENCE) == 1
    assert "S3 did not start" in cluster.output()
    (folder,) = cluster.folders()
    assert str(folder) in cluster.output().splitlines()[-1]
    assert "ready to accept connections" in (folder / "logs" / "postgres.log").read_text()
    assert cluster.running() == []
    assert not cluster.has_state()


def test_another_shell_stops_what_a_killed_one_left_behind(cluster: Cluster) -> None:
    start = cluster.command("start")
    cluster.wait(start, lambda: "Valkey started" in cluster.output())
    start.kill()
    start.wait()
    assert any("valkey" in command for command in cluster.running())
    assert cluster.run("start") == 1, "there is one"
    assert len(cluster.folders()) == 1
    assert cluster.run("stop") == 0
    assert "PostgreSQL, Valkey" in cluster.output().splitlines()[-1]
    assert cluster.running() == []
    assert cluster.folders() == []
    assert cluster.run("stop") == 0
    assert cluster.output().splitlines()[-1] == "No cluster runs"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of the demo."""
    monkeypatch.syspath_prepend(DEMO)
    monkeypatch.syspath_prepend(DEMO / "dags")
    return importlib.import_module


def test_a_process_that_has_the_id_of_an_ended_one_is_left_alone(demo: Any, tmp_path: Path) -> None:
    processes = demo("processes")
    state = tmp_path / "state.json"
    started = processes.Processes.create(state, {})
    sleeper = started.start("sleeper", ["sleep", "600"], log=tmp_path / "log", folder=tmp_path, environment={})
    held = json.loads(state.read_text())
    try:
        for change in ("began", "boot"):
            changed = json.loads(json.dumps(held))
            if change == "boot":
                changed["boot"] = "another"
            else:
                changed["processes"][1]["began"] -= 1
            state.write_text(json.dumps(changed))
            assert "sleeper" not in processes.Processes.load(state).stop("sleeper")
            assert sleeper.poll() is None, change
        state.write_text(json.dumps(held))
        assert processes.Processes.load(state).stop("sleeper") == ["sleeper"]
    finally:
        sleeper.kill()
        assert sleeper.wait() == -signal.SIGTERM


def test_what_ignores_the_end_or_outlives_its_leader_is_killed(
    demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = demo("processes")
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 1.0)
    started = processes.Processes.create(tmp_path / "state.json", {})
    script = "trap '' TERM; sleep 601 & echo $!; {0}"
    children = {}
    for name, end in {"stubborn": "while :; do sleep 1; done", "gone": "exit 0"}.items():
        log = tmp_path / name
        environment = {"PATH": os.environ["PATH"]}
        command = ["sh", "-c", script.format(end)]
        child = started.start(name, command, log=log, folder=tmp_path, environment=environment)
        until = time.monotonic() + 240
        while not log.read_text().strip():
            assert time.monotonic() < until
            time.sleep(0.01)
        children[name] = (child, int(log.read_text()))
    children["gone"][0].wait()
    assert started.stop("stubborn", "gone") == ["stubborn", "gone"]
    for child, grandchild in children.values():
        child.wait()
        with suppress(FileNotFoundError, ProcessLookupError):
            assert Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_starting_command_has_time_to_end_what_it_has_started(
    demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for Airflow and for the servers itself."""
    processes = demo("processes")
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 4.0)
    started = processes.Processes.create(tmp_path / "state.json", {})
    script, log = "trap 'sleep 5; exit 130' TERM; echo ready; while :; do sleep 0.1; done", tmp_path / "log"
    environment = {"PATH": os.environ["PATH"]}
    child = started.start(processes.STARTER, ["sh", "-c", script], log=log, folder=tmp_path, environment=environment)
    until = time.monotonic() + 240
    while not log.read_text().strip():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert started.stop(processes.STARTER) == [processes.STARTER]
    assert child.wait() == 130


def test_an_interrupt_cannot_come_between_a_start_and_the_note_of_it(
    demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = demo("processes")
    state = tmp_path / "state.json"
    started = processes.Processes.create(state, {})
    made = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        made.append(popen(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return made[0]

    popen = subprocess.Popen
    monkeypatch.setattr(processes.subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            started.start("sleeper", ["sleep", "600"], log=tmp_path / "log", folder=tmp_path, environment={})
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.undo()
    assert processes.Processes.load(state).stop("sleeper") == ["sleeper"]
    assert made[0].wait() == -signal.SIGTERM


KILLED = """
import os, signal, sys
from pathlib import Path
import processes

state = Path(sys.argv[1])
started = processes.Processes.create(state, {})
started._add = lambda process: os.kill(os.getpid(), signal.SIGKILL)
started.start("sleeper", ["sleep", "600"], log=state.with_name("log"), folder=state.parent, environment={})
"""


def test_what_was_started_and_not_written_down_is_found_nevertheless(demo: Any, tmp_path: Path) -> None:
    processes = demo("processes")
    state = tmp_path / "state.json"
    killed = subprocess.run([sys.executable, "-c", KILLED, state], cwd=DEMO, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = processes.Processes.load(state)
    (name,) = set(left.names) - {processes.STARTER}
    assert left.stop(name) == [name]
    assert set(processes.Processes.load(state).names) == {processes.STARTER}


NAMES = "import os, socket; print(socket.gethostname(), os.getuid(), os.uname().nodename)"


def test_a_worker_has_a_host_name_of_its_own() -> None:
    here = os.uname().nodename
    command = [sys.executable, DEMO / "host.py", "worker-7", sys.executable, "-c", NAMES]
    name, user, kernels = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert (name, user) == ("worker-7", str(os.getuid()))
    assert kernels in {"worker-7", here}, "the kernel's, where it gives one"
    assert os.uname().nodename == here


def test_a_worker_has_one_where_the_system_forbids_namespaces(demo: Any) -> None:
    environment = {**os.environ, **demo("host").variables("worker-7")}
    command = [sys.executable, "-c", NAMES]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert output.split()[0] == "worker-7"


def test_a_frame_that_is_not_exact_fails_the_comparison(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dag = demo("many_frames")
    monkeypatch.setattr(dag, "FRAMES", 3)
    frames = [dag.corrected(frame) for frame in dag.collect.function()]
    assert dag.compare.function(frames) == {"frames": 3, "exact": 3}
    for other in (frames[:2], [*frames[:2], frames[1]], [*frames[:2], frames[2].astype({"count": "Int32"})]):
        with pytest.raises(ValueError, match="are not exact"):
            dag.compare.function(other)
    frames[1].iloc[7, 0] += 1e-12
    with pytest.raises(ValueError, match="1 are not exact"):
        dag.compare.function(frames)


RIGHT = {
    "flights_all_exact": True,
    "mapped": 200,
    "mapped_compared": {"frames": 200, "exact": 200},
    "mapped_hosts": {"worker-1": 1, "worker-2": 199},
    "blobs_in_rows": 203,
    "blobs_of_rows_in_s3": 203,
    "blobs_in_s3": 203,
    "blobs_in_folders": {"worker-1": 0, "worker-2": 0},
    "refused": "OtherHostError: …",
}
WRONG = {
    "flights_all_exact": False,
    "mapped": 199,
    "mapped_compared": {"frames": 200, "exact": 199},
    "mapped_hosts": {"worker-2": 200},
    "blobs_in_rows": 204,
    "blobs_of_rows_in_s3": 202,
    "blobs_in_s3": 204,
    "blobs_in_folders": {"worker-1": 0, "worker-2": 1},
    "refused": "MissingPayloadError: …",
}


@pytest.mark.parametrize("fact", RIGHT)
def test_the_command_fails_if_anything_is_not_right(demo: Any, fact: str) -> None:
    right = demo("cluster").right
    assert right(RIGHT)
    assert not right({**RIGHT, fact: WRONG[fact]})

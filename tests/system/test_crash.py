"""Processes killed at any point of a push: no row is left without its blob, and what is left over is recognised."""

from __future__ import annotations

import collections
import json
import mmap
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pusher
import pytest
from conftest import Backend
from leftovers import LEFTOVERS, Unpublished
from locations import Locations

from airflow_xcom.backend.envelope import Envelope
from airflow_xcom.backend.stores import open_store
from airflow_xcom.codecs import decode

KILLS = 300
WHOLE = 20  # pushes that are not killed, to see how long one takes
ATTEMPTS = 1000  # pushes in all; some end before they are killed


class Pushes:
    """A process that pushes values on demand, each in a process of its own, which may be killed."""

    def __init__(self, process: subprocess.Popen[str], progress: mmap.mmap) -> None:
        self._process = process
        self._progress = progress

    def start(self, pushed: int) -> int:
        """The id of the process that pushes it."""
        return self._ask(str(pushed))

    def end(self) -> int:
        """The exit code of the process that was started last."""
        return self._ask("end")

    def progress(self, pushed: int) -> int:
        """How far a push is."""
        return self._progress[pushed]

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def pushes(folder: Path) -> Iterator[Pushes]:
    progress = folder / "progress"
    progress.write_bytes(bytes(ATTEMPTS))
    with progress.open("rb") as file:
        marks = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    command = [sys.executable, pusher.__file__, "serve", folder / "rows.db", progress]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Pushes(process, marks)
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_a_push_may_be_killed_at_any_point(kind: str, backend: Backend, locations: Locations, tmp_path: Path) -> None:
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    with pushes(tmp_path) as running:
        took = [push_whole(running, number) for number in range(WHOLE)]
        usual = statistics.median(took[WHOLE // 2 :])
        numbers = iter(range(WHOLE, ATTEMPTS))
        killed: list[int] = []
        while len(killed) < KILLS:
            number = next(numbers)
            was_killed = push_and_kill(running, number, random.uniform(0, usual))
            killed += [number] * was_killed
            usual *= 1.02 if was_killed else 0.8  # the load of a busy machine changes
    reached = collections.Counter(running.progress(number) for number in killed)
    print(f"{kind}: killed by how far they were, of {usual:.4f} s: {sorted(reached.items())}")  # noqa: T201
    assert reached[pusher.WRITING] > KILLS / 4, reached
    rows = read_rows(tmp_path)
    committed = {str(number) for number in range(ATTEMPTS) if running.progress(number) == pusher.COMMITTED}
    assert committed <= set(rows)
    left = assert_all_is_well(url, rows, locations.unpublished(kind, url))
    print(f"{kind}: {len(rows)} rows, and {len(left)} parts of blobs left over")  # noqa: T201
    assert left, "some were killed while a blob was not whole"


def push_whole(running: Pushes, number: int) -> float:
    """The seconds from when a push begins until its process has ended."""
    running.start(number)
    wait_for_begin(running, number)
    began = time.perf_counter()
    assert running.end() == 0
    return time.perf_counter() - began


def push_and_kill(running: Pushes, number: int, delay: float) -> bool:
    """Kill a push a while after it has begun; whether it had not ended before."""
    process = running.start(number)
    wait_for_begin(running, number)
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    return running.end() == -signal.SIGKILL


def wait_for_begin(running: Pushes, number: int) -> None:
    until = time.monotonic() + 240
    while not running.progress(number):
        assert time.monotonic() < until
        time.sleep(0.0002)


def read_rows(folder: Path) -> dict[str, Any]:
    with pusher.connect(str(folder / "rows.db")) as connection:
        return {name: json.loads(row) for name, row in connection.execute("select name, value from xcom")}


def assert_all_is_well(url: str, rows: dict[str, Any], unpublished: Unpublished) -> set[str]:
    """Every row has its value; what a sweep would remove is found, and removing it takes no value away."""
    store = open_store(url)
    for name, row in rows.items():
        assert pusher.number(pusher.pull(row)) == int(name)
    listed = {blob.path: blob for blob in store.list()}
    for path in set(listed) - references(rows):
        memory = store.get(path)
        assert len(memory) == listed[path].size
        assert pusher.number(decode(memory, path.rpartition(".")[2])) >= 0, "a listed blob is whole, referenced or not"
    left = unpublished(set(listed))
    for path in set(listed) - references(rows):
        assert abs(time.time() - listed[path].modified) < 600, "a sweep sees how old it is"
        assert store.delete(path)
    assert {blob.path for blob in store.list()} == references(rows)
    return left


def references(rows: dict[str, Any]) -> set[str]:
    found = [Envelope.from_json(row) for row in rows.values()]
    return {envelope.reference.path for envelope in found if envelope is not None and envelope.reference is not None}

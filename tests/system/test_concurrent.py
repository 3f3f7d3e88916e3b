"""Two processes that push to one coordinate while others read it: every read gives one of the pushed values, whole."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pusher
import pytest
from conftest import Backend
from leftovers import LEFTOVERS
from locations import Locations

from airflow_xcom.backend.stores import open_store

WRITERS = 2
READERS = 2
PUSHES = 1000  # of each writer


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_readers_see_whole_values_only(kind: str, backend: Backend, locations: Locations, tmp_path: Path) -> None:
    url = locations.url(kind)
    backend.options(path=url, threshold=0)
    database = str(tmp_path / "rows.db")
    pusher.connect(database).close()
    with ThreadPoolExecutor() as threads:
        writers = [start_writer(database, index * PUSHES) for index in range(WRITERS)]
        reads = list(threads.map(lambda _: read_while(database, writers), range(READERS)))
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    seen = [number for numbers in reads for number in numbers]
    assert set(seen) <= set(range(WRITERS * PUSHES))
    assert all(len(set(numbers)) > 20 for numbers in reads), "readers saw the value change"
    for first in range(0, WRITERS * PUSHES, PUSHES):
        assert any(first <= number < first + PUSHES for number in seen), "and values of both writers"
    assert read(database) in {(index + 1) * PUSHES - 1 for index in range(WRITERS)}, "in the end it is a last one"
    listed = {blob.path for blob in open_store(url).list()}
    assert len(listed) == WRITERS * PUSHES, "no write took another's place"
    assert locations.unpublished(kind, url)(listed) == set()


def start_writer(database: str, first: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, pusher.__file__, "push", database, str(first), str(PUSHES)])


def read_while(database: str, writers: list[subprocess.Popen[bytes]]) -> list[int]:
    """The numbers of the values that were read for as long as the writers ran."""
    found = []
    while any(writer.poll() is None for writer in writers):
        number = read(database)
        if number is not None:
            found.append(number)
    return found


def read(database: str) -> int | None:
    with closing(pusher.connect(database)) as connection:
        rows = connection.execute("select value from xcom where name = 'one'").fetchall()
    return pusher.number(pusher.pull(json.loads(rows[0][0]))) if rows else None

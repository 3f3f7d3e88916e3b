"""Measure a dry run of ``airflow-xcom sweep`` and a bare listing of the store.

``python3 dev.py script benchmarks/sweep.py 10000 100000 1000000`` makes so many files as a store of blobs has, and rows
that refer to nine in ten of them into the table of XComs of a PostgreSQL of its own.  Then it lists the store, and runs
the command, each in a process of its own, of which the operating system says what memory it had at most; and then the
same once more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import database

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = 100  # blobs in a folder
_TASKS = 10
_RUNS = 100
_REFERENCED = 9  # in ten
_LISTING = """
import os, sys, time
began = time.perf_counter()
files = (os.path.join(folder, name) for folder, _, names in os.walk(sys.argv[1]) for name in names)
count = sum(1 for file in files if os.stat(file).st_mtime)
print(count, time.perf_counter() - began)
"""
_ROW = (
    '{"airflow_xcom": {"version": 1, "tag": "dict", "summary": {"type": "dict", "bytes": 0}, '
    '"of": ["%s", "%s", "%s", -1, "key_%d"], "ref": {"store": "default", "url": "%s", "path": "%s", "size": 0, '
    '"format": "msgpack", "digest": "xxh3-128:99aa06d3014798d86001c324468d497f", "host": "worker-1"}}}'
)
# Airflow 3's, without the keys of tables that this does not have.
_TABLE = """
create table xcom (
    dag_run_id integer not null, task_id varchar(250) not null, map_index integer not null default -1,
    key varchar(512) not null, dag_result boolean, dag_id varchar(250) not null, run_id varchar(250) not null,
    value jsonb, timestamp timestamptz not null,
    constraint xcom_pkey primary key (dag_run_id, task_id, map_index, key))
"""


def folders(count: int) -> Iterator[tuple[str, str, str, range]]:
    """Return Dag, run and task of each folder, and the numbers of the blobs in it."""
    for number in range(0, count, _KEYS):
        rest, task = divmod(number // _KEYS, _TASKS)
        dag, run = divmod(rest, _RUNS)
        yield f"dag_{dag}", f"manual__2026-01-{run:02}", f"task_{task}", range(number, min(number + _KEYS, count))


def fill(folder: Path, connection: Any, count: int) -> None:
    """Create the empty files and the rows directly, named and written as the backend would."""
    copy = "copy xcom (dag_run_id, task_id, key, dag_id, run_id, value, timestamp) from stdin"
    with connection.cursor().copy(copy) as rows:
        for number, (dag, run, task, keys) in enumerate(folders(count)):
            path = f"{dag}/{run}/{task}/-1"
            (folder / path).mkdir(parents=True)
            inside = os.open(folder / path, os.O_RDONLY)
            lines = []
            for key in keys:
                name = f"key_{key % _KEYS}.{os.urandom(16).hex()}.msgpack"
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=inside))
                if key % 10 < _REFERENCED:
                    row = _ROW % (dag, run, task, key % _KEYS, folder.as_uri(), f"{path}/{name}")
                    lines.append(f"{number // _TASKS}\t{task}\tkey_{key % _KEYS}\t{dag}\t{run}\t{row}\t2026-01-01\n")
            os.close(inside)
            rows.write("".join(lines))
    connection.commit()


def measured(command: list[str], variables: dict[str, str]) -> tuple[str, float, float]:
    """Return what a process prints, the seconds that it takes, and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        output.seek(0)
        text = output.read()
    if status:
        raise RuntimeError(f"{command} failed: {text}")
    return text, took, usage.ru_maxrss * 1024 / 1e6


def sweep(home: Path, url: str, folder: Path, count: int) -> tuple[float, float, float]:
    """Return the seconds of a dry run and of a bare listing, and the MB that the dry run took."""
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url,
        "AIRFLOW__XCOM_CODECS__PATH": folder.as_uri(),
    }
    text, _, _ = measured([sys.executable, "-c", _LISTING, str(folder)], variables)
    listed, listing = text.split()
    command = [sys.executable, "-m", "airflow_xcom.backend.cli", "sweep", "--grace", "0", "--output", "json"]
    text, took, memory = measured(command, variables)
    report = json.loads(text)
    found = report["stores"]["default"]
    orphans = sum(1 for number in range(count) if number % 10 >= _REFERENCED)
    assert int(listed) == found["listed"]["count"] == count, (listed, found)
    assert found["orphans"]["count"] == orphans, found["orphans"]
    assert report["references"] == count - orphans, report["references"]
    return took, float(listing), memory


def main() -> None:
    """Print a row of the table for each number of blobs."""
    import psycopg

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[1000, 10_000])
    print("| blobs | rows | dry run | bare listing | dry run again | bare listing again | memory |", flush=True)
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for count in parser.parse_args().counts:
        with tempfile.TemporaryDirectory(prefix="sweep-") as name, database.postgres() as url:
            folder = Path(name, "xcom")
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute(_TABLE)
                fill(folder, connection, count)
                connection.execute("analyze xcom")  # as its autovacuum does, sooner or later
            first, second = (sweep(Path(name), url, folder, count) for _ in range(2))
            rows = sum(1 for number in range(count) if number % 10 < _REFERENCED)
            times = [f"{seconds:.1f} s" for seconds in (*first[:2], *second[:2])]
            cells = [f"{count:,}", f"{rows:,}", *times, f"{max(first[2], second[2]):.0f} MB"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

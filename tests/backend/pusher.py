"""Processes that push and read as a task and the API server do: the blob first, then the row, in a database.

``python pusher.py serve DATABASE PROGRESS`` reads a number, forks a process that pushes the value of that number and
tells in the file PROGRESS how far it is, and writes its id; it reads a line, waits for that process, and writes its
exit code; and so on.  ``python pusher.py push DATABASE FIRST COUNT`` pushes many values to one coordinate.
"""

from __future__ import annotations

import gc
import logging
import mmap
import os
import sqlite3
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from airflow_xcom.backend import CodecXComBackend
from airflow_xcom.backend.compat import connection as connection_of_airflow
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import object_store as objects
from airflow_xcom.backend.stores import open_store, redis

BEGUN, WRITING, WRITTEN, COMMITTED = 1, 2, 3, 4  # how far a push is
COORDINATE = {"dag_id": "flights", "run_id": "manual", "task_id": "clean", "map_index": -1, "key": "return_value"}
_SIZES = {"s3": 3 << 18}  # of values, in numbers of 8 bytes; else 1 MiB
# Xorshifted, so that no part of one value can pass for a part of another.
PATTERN = np.random.default_rng(7).integers(0, 2**63, 3 << 18, dtype=np.int64)


def value(number: int, size: int = 1 << 17) -> np.ndarray[Any, Any]:
    """The value of a number, which tells it everywhere."""
    return PATTERN[:size] ^ number


def number(pulled: np.ndarray[Any, Any]) -> int:
    """The number that a value is of, if all of it is."""
    found = int(pulled[0] ^ PATTERN[0])
    assert np.array_equal(pulled, value(found, len(pulled)))
    return found


def connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=60)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = off")  # a killed process loses nothing that it gave to the kernel
    connection.execute("create table if not exists xcom (name text primary key, value text not null)")
    return connection


def push(connection: sqlite3.Connection, name: str, pushed: Any) -> None:
    """As Airflow: the row replaces that of the same coordinate, in one transaction, once the backend has returned."""
    import orjson

    row = orjson.dumps(CodecXComBackend.serialize_value(pushed, **COORDINATE)).decode()
    with connection:
        connection.execute("delete from xcom where name = ?", (name,))
        connection.execute("insert into xcom values (?, ?)", (name, row))


def pull(row: Any) -> Any:
    return CodecXComBackend.deserialize_value(SimpleNamespace(value=row, key="return_value"))


def serve(database: str, progress: str) -> None:
    _import_all(Path(database).with_name("warm"))
    gc.freeze()
    with Path(progress).open("r+b") as file:
        marks = mmap.mmap(file.fileno(), 0)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _push_once(database, int(line), marks)
        _answer(child)
        sys.stdin.readline()  # until then nobody else gets the id, so that the right process is killed
        _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _import_all(folder: Path) -> None:
    """Import what the processes then need not; the store itself is left alone, for a fork would break its client."""
    path = settings().path
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = folder.as_uri()
    settings.cache_clear()
    CodecXComBackend.serialize_value(value(0), **COORDINATE)
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = path
    settings.cache_clear()
    open_store(path)
    for library in ("obstore", "redis"):
        import_module(library)
    for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
        connection_of_airflow(name.removeprefix("AIRFLOW_CONN_").lower())


def _answer(result: int) -> None:
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()


def _push_once(database: str, pushed: int, marks: mmap.mmap) -> None:
    path = settings().path
    store: Any = open_store(path)
    store.__class__.put = _marking(store.__class__.put, marks, pushed)
    connection, new = connect(database), value(pushed, _SIZES.get(path.partition(":")[0], 1 << 17))
    marks[pushed] = BEGUN
    push(connection, str(pushed), new)
    marks[pushed] = COMMITTED
    os._exit(0)


def _marking(put: Callable[..., None], marks: mmap.mmap, pushed: int) -> Callable[..., None]:
    def marked(*arguments: Any) -> None:
        marks[pushed] = WRITING
        put(*arguments)
        marks[pushed] = WRITTEN

    return marked


def push_many(database: str, first: str, count: str) -> None:
    connection = connect(database)
    for pushed in range(int(first), int(first) + int(count)):
        push(connection, "one", value(pushed, size=1 << 13))


if __name__ == "__main__":
    redis._SMALL = redis._CHUNK = 1 << 16  # so that a push is many commands
    objects._PART = 5 << 20  # and several requests, of the least that S3 takes for a part
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)  # Airflow's handler writes to standard output
    command, *arguments = sys.argv[1:]
    {"serve": serve, "push": push_many}[command](*arguments)

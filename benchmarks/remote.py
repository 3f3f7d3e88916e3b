"""1 KB to a server and back: this distribution beside the bare client, in turns, over S3 and Valkey."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.profiles import functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Trip = Callable[[bytes], Any]

__all__ = ["REMOTE", "profiled", "remote"]

REMOTE = {"S3, 1 KB": ("seaweedfs", "obstore"), "Valkey, 1 KB": ("valkey", "redis")}  # -> server, bare client
SIZE = 1000  # bytes
PROFILED = 100  # times
BUCKET = "xcom"


def remote(work: str, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return way -> the seconds of each push and pull of :data:`REMOTE`, after one that connects."""
    with _connected(work, folder) as ways:
        found: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            data = os.urandom(SIZE)
            for way, trip in ways.items():
                began = time.perf_counter()
                back = trip(data)
                seconds = time.perf_counter() - began
                if bytes(back) != data:
                    raise RuntimeError(f"{way} gave other bytes back")
                found[way] += [seconds] if number else []
    return found


def profiled(work: str, folder: Path) -> str:
    """Return a Markdown table of the functions of ours that take the most time, those that wait among them."""
    data = os.urandom(SIZE)
    with _connected(work, folder) as ways:
        trip = ways["ours"]
        trip(data)
        lines = functions("push and pull", lambda: [trip(data) for _ in range(PROFILED)])
    return "\n".join([f"### {work}", "", *lines, ""])


@contextmanager
def _connected(work: str, folder: Path) -> Iterator[dict[str, Trip]]:
    """Run the server, and yield way -> what goes to it and back."""
    from servers import running

    kind, _ = REMOTE[work]
    with running(kind, folder) as server:
        url, bare = (_obstore if kind == "seaweedfs" else _redis)(server)
        yield {"ours": _ours(url), "bare client": bare}


def _ours(url: str) -> Trip:
    """Return what pushes bytes as an array, which are written as they are but for a header, and pulls them."""
    import numpy as np

    os.environ |= {"AIRFLOW__XCOM_CODECS__PATH": url, "AIRFLOW__XCOM_CODECS__THRESHOLD": "0"}
    from airflow_xcom.backend import CodecXComBackend as Backend

    at = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "key": "k"}

    def trip(data: bytes) -> Any:
        row = Backend.serialize_value(np.frombuffer(data, "uint8"), **at)
        return memoryview(Backend.deserialize_value(SimpleNamespace(value=json.loads(json.dumps(row)), key="k")))

    return trip


def _obstore(server: Any) -> tuple[str, Trip]:
    import obstore
    from obstore.store import S3Store

    extra = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": server.key, "password": server.secret, "extra": extra}
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection)
    keys: Any = {"access_key_id": server.key, "secret_access_key": server.secret, "region": "us-east-1"}
    store = S3Store(BUCKET, prefix="bare", endpoint=server.endpoint, client_options={"allow_http": True}, **keys)

    def trip(data: bytes) -> Any:
        path = os.urandom(8).hex()
        obstore.put(store, path, data, use_multipart=False)
        return obstore.get(store, path).bytes()

    return f"s3://bench@{BUCKET}/ours", trip


def _redis(server: Any) -> tuple[str, Trip]:
    import redis

    connection = {"conn_type": "redis", "host": server.host, "port": server.port, "password": server.password}
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection)
    client = redis.Redis(server.host, server.port, password=server.password)

    def trip(data: bytes) -> Any:
        path = os.urandom(8).hex()
        client.set(path, data)
        return client.get(path)

    return "redis://bench@/ours", trip

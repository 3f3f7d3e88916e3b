"""Compare clients of S3, with a local SeaweedFS: times, requests, memory and import.

``python3 dev.py script benchmarks/stores.py`` prints a table for each delay that is added to every request. A client
that is not installed is left out: benchmarks/s3fs.txt has all of them. Each runs in a process of its own, in turns.
Times are medians; requests are those of one push or pull, counted by a proxy that also makes the delays. ``--frame``
takes a float64 frame of so many MB to S3 and back through the backend, and prints the extra peak memory of each way;
``--beside`` does so in turns with Airflow's own object-storage backend, and prints the medians of the times.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from ways import delete_blob

SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "100 MB": 100_000_000}
BUCKET = "xcom"


class Ours:
    """The backend of this distribution, by the Airflow connection; bytes as an array, which is written as it is."""

    def __init__(self, server: dict[str, str]) -> None:
        extra = {"endpoint_url": server["endpoint"], "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": server["key"], "password": server["secret"], "extra": extra}
        os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection)
        os.environ["AIRFLOW__XCOM_CODECS__PATH"] = f"s3://bench@{BUCKET}/ours"
        os.environ["AIRFLOW__XCOM_CODECS__THRESHOLD"] = "0"
        self.rows: dict[str, Any] = {}

    def push(self, name: str, data: bytes) -> None:
        """Write a blob."""
        import numpy as np

        from airflow_xcom.backend import CodecXComBackend

        array = np.frombuffer(data, "uint8")
        self.rows = {name: CodecXComBackend.serialize_value(array, dag_id="d", run_id="r", task_id="t", key="k")}

    def pull(self, name: str) -> Any:
        """Read it, into writable memory."""
        from airflow_xcom.backend import CodecXComBackend

        return memoryview(CodecXComBackend.deserialize_value(SimpleNamespace(value=self.rows[name], key="k")))


class PyArrow:
    """pyarrow.fs."""

    def __init__(self, server: dict[str, str]) -> None:
        from pyarrow import fs

        address = server["endpoint"].removeprefix("http://")
        keys = {"access_key": server["key"], "secret_key": server["secret"], "region": "us-east-1"}
        self.fs = fs.S3FileSystem(endpoint_override=address, scheme="http", **keys)

    def push(self, name: str, data: bytes) -> None:
        """Write a blob."""
        with self.fs.open_output_stream(f"{BUCKET}/pyarrow/{name}", compression=None) as file:
            file.write(data)

    def pull(self, name: str) -> Any:
        """Read it, into writable memory."""
        with self.fs.open_input_file(f"{BUCKET}/pyarrow/{name}") as file:
            memory = bytearray(file.size())
            file.readinto(memory)
            return memory


class S3Fs:
    """s3fs, with its calls for whole objects."""

    def __init__(self, server: dict[str, str]) -> None:
        import s3fs

        region = {"region_name": "us-east-1"}
        address = server["endpoint"]
        self.fs = s3fs.S3FileSystem(
            key=server["key"], secret=server["secret"], endpoint_url=address, client_kwargs=region
        )

    def push(self, name: str, data: bytes) -> None:
        """Write a blob."""
        self.fs.pipe_file(f"{BUCKET}/s3fs/{name}", data)

    def pull(self, name: str) -> Any:
        """Read it, into writable memory."""
        return bytearray(self.fs.cat_file(f"{BUCKET}/s3fs/{name}"))


class AirflowPath:
    """Airflow's ObjectStoragePath over s3fs, used as by Airflow's object-storage backend."""

    def __init__(self, server: dict[str, str]) -> None:
        extra = {"endpoint_url": server["endpoint"], "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": server["key"], "password": server["secret"], "extra": extra}
        os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection)
        from airflow.sdk import ObjectStoragePath

        self.base = ObjectStoragePath(f"s3://bench@{BUCKET}/path")

    def push(self, name: str, data: bytes) -> None:
        """Write a blob."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)

    def pull(self, name: str) -> Any:
        """Read it, into writable memory."""
        with (self.base / name).open("rb") as file:
            return bytearray(file.read())


CLIENTS: dict[str, tuple[Any, str]] = {
    "obstore, our backend": (Ours, "obstore"),
    "pyarrow.fs": (PyArrow, "pyarrow.fs"),
    "s3fs": (S3Fs, "s3fs"),
    "ObjectStoragePath": (AirflowPath, "airflow.providers.amazon.aws.fs.s3"),
}


def _reset_peak() -> float:
    """Reset the peak of memory, and return the memory of this process now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Child:
    """A client in a process of its own, which does what it is told and says how long that took."""

    def __init__(self, client: str, server: dict[str, str]) -> None:
        command = [sys.executable, __file__, "--serve", client]
        environment = {**os.environ, "BENCH_SERVER": json.dumps(server)}
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)
        self.imported = self._answer()["seconds"]

    def _answer(self) -> dict[str, float]:
        for line in self.process.stdout or ():
            if line.startswith('{"seconds"'):
                return dict(json.loads(line))
        sys.exit(f"{self.process.args!r} has ended")

    def do(self, way: str, size: int) -> dict[str, float]:
        """Push new data of ``size`` bytes, or pull what was pushed last: seconds, and extra peak memory in bytes."""
        return self.ask(way, size)

    def ask(self, *words: Any) -> dict[str, float]:
        """Send these words, and return the answer."""
        print(*words, file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """End the process."""
        self.process.communicate()


def serve(client: str, server: dict[str, str]) -> None:
    """Do what the other end of a :class:`Child` says; the process has imported nothing of the client yet."""
    made, module = CLIENTS[client]
    if made is Ours:
        import airflow_xcom.backend  # noqa: F401 - so that its import is not taken for the client's
    began = time.perf_counter()
    __import__(module)
    print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    used, name, data = made(server), "", b""
    for line in sys.stdin:
        way, size = line.split()
        if way == "push":
            name, data = f"{uuid4().hex}/blob", os.urandom(int(size))
        before = _reset_peak()
        began = time.perf_counter()
        result = used.push(name, data) if way == "push" else used.pull(name)
        seconds = time.perf_counter() - began
        if way == "pull" and result != data:
            sys.exit(f"{client} read something else than it wrote")
        print(json.dumps({"seconds": seconds, "memory": _status("VmHWM") - before}), flush=True)
        del result


def frame(server: dict[str, str], megabytes: int) -> None:
    """Push and pull a frame through the backend."""
    import numpy as np
    import pandas as pd

    Ours(server)
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = f"s3://bench@{BUCKET}/frames"

    from airflow_xcom.backend import CodecXComBackend as Backend

    Backend.deserialize_value(SimpleNamespace(value=Backend.serialize_value(np.zeros(10_000)), key="warm"))
    columns = {f"c{i}": np.random.default_rng(i).random(megabytes * 10_000 // 8) for i in range(100)}
    value = pd.DataFrame(columns, copy=False)
    del columns
    size = int(value.memory_usage(index=False).sum())
    before, began = _reset_peak(), time.perf_counter()
    row = Backend.serialize_value(value, dag_id="d", run_id="r", task_id="t", key="k")
    pushed, push = time.perf_counter(), _status("VmHWM") - before
    del value
    before = _reset_peak()
    result = Backend.deserialize_value(SimpleNamespace(value=row, key="k"))
    pulled, pull = time.perf_counter(), _status("VmHWM") - before
    if float(result["c99"].iloc[-1]) != np.random.default_rng(99).random(megabytes * 10_000 // 8)[-1]:
        sys.exit("another frame came back")
    print(f"frame of {size / 1e6:.0f} MB: push {pushed - began:.2f} s, extra peak memory {push / size:.2f} x; ", end="")
    print(f"pull {pulled - pushed:.2f} s, extra peak memory {pull / size:.2f} x")


BACKENDS = {
    "CodecXComBackend": "airflow_xcom.backend",
    "XComObjectStorageBackend": "airflow.providers.common.io.xcom.backend",
}


def serve_backend(name: str, server: dict[str, str]) -> None:
    """Push and pull a frame of as many MB as each line says."""
    import numpy as np
    import pandas as pd

    Ours(server)
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = f"s3://bench@{BUCKET}/beside"
    os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"] = f"s3://bench@{BUCKET}/airflow"
    os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD"] = "0"
    from importlib import import_module

    backend = getattr(import_module(BACKENDS[name]), name)
    print(json.dumps({"seconds": 0}), flush=True)
    for line in sys.stdin:
        random = np.random.default_rng()
        value = pd.DataFrame({f"c{i}": random.random(int(line) * 10_000 // 8) for i in range(100)}, copy=False)
        began = time.perf_counter()
        row = backend.serialize_value(value, dag_id="d", run_id="r", task_id="t", key="k")
        pushed = time.perf_counter()
        result = backend.deserialize_value(SimpleNamespace(value=row, key="k"))
        pulled = time.perf_counter()
        if not value.equals(result):
            sys.exit(f"{name} gave another frame back")
        print(json.dumps({"seconds": pulled - began, "push": pushed - began, "pull": pulled - pushed}), flush=True)
        if isinstance(row, dict):
            delete_blob(row)
        else:
            backend.purge(SimpleNamespace(value=row, key="k"))
        del value, result


def beside(server: dict[str, str], megabytes: int, repeats: int) -> None:
    """Compare the two backends in turns, each in a process of its own that has pushed a small frame before."""
    children = {name: Child(name, server) for name in BACKENDS}
    times: dict[str, list[dict[str, float]]] = {name: [] for name in BACKENDS}
    for size in (1, *[megabytes] * repeats):
        for name, child in children.items():
            found = child.ask(size)
            if size == megabytes:
                times[name].append(found)
    medians = {name: statistics.median(found["seconds"] for found in times[name]) for name in BACKENDS}
    for name, child in children.items():
        child.end()
        push, pull = (statistics.median(found[way] for found in times[name]) for way in ("push", "pull"))
        print(f"{name}: frame of {megabytes} MB: push {push:.2f} s, pull {pull:.2f} s, both {medians[name]:.2f} s")
    ours, theirs = medians.values()
    print(f"{ours / theirs:.3f} of the time, medians of {repeats}")


def compare(clients: list[str], delays: list[float], repeats: int, server: dict[str, str]) -> None:
    """Print the tables; the clients take turns, so that each meets the same machine."""
    from proxy import Fault, Proxy

    columns = " | ".join(f"push {label} | pull" for label in SIZES)
    for delay in delays:
        with Proxy(server["endpoint"], lambda *_, delay=delay: Fault(delay=delay / 1000)) as proxy:
            through = {**server, "endpoint": proxy.url} if delay else server
            children = {client: Child(client, through) for client in clients}
            times = {client: _times(child, 0) for client, child in children.items()}
            for size in SIZES.values():
                for _ in range(repeats if size < SIZES["100 MB"] else max(repeats // 3, 1)):
                    for client, child in children.items():
                        _times(child, size, times[client])
        print(f"\n| {delay:g} ms added | {columns} | import |\n|{' --- |' * 8}")
        for client, child in children.items():
            child.end()
            medians = [f"{statistics.median(times[client][way, size]) * 1e3:.1f} ms" for way, size in WAYS]
            print("|", " | ".join([client, *medians, f"{child.imported * 1e3:.0f} ms"]), "|")
    print(f"\n| requests | {columns} | memory of push 100 MB | pull |\n|{' --- |' * 9}")
    with Proxy(server["endpoint"]) as proxy:
        for client in clients:
            child = Child(client, {**server, "endpoint": proxy.url})
            _times(child, 0)
            counts, memory = [], []
            for way, size in WAYS:
                proxy.forget()
                memory.append(f"{child.do(way, size)['memory'] / size:.2f} x")
                counts.append(str(len(proxy.requests)))
            child.end()
            print("|", " | ".join([client, *counts, *memory[-2:]]), "|")


WAYS = [(way, size) for size in SIZES.values() for way in ("push", "pull")]


def _times(child: Child, size: int, times: dict[tuple[str, int], list[float]] | None = None) -> Any:
    """Push and pull once, and note how long it took."""
    times = {} if times is None else times
    for way in ("push", "pull"):
        times.setdefault((way, size), []).append(child.do(way, size)["seconds"])
    return times


def installed() -> list[str]:
    """Return the clients that can be imported here."""
    found = []
    for client, (_, module) in CLIENTS.items():
        code = f"import {module}" + ("; import s3fs" if client == "ObjectStoragePath" else "")
        if subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0:
            found.append(client)
    return found


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, nargs="*", default=[0.0, 5.0], help="milliseconds")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--frame", type=int, metavar="MB")
    parser.add_argument("--beside", type=int, metavar="MB")
    parser.add_argument("--serve", choices=[*CLIENTS, *BACKENDS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
    if options.serve:
        (serve_backend if options.serve in BACKENDS else serve)(options.serve, json.loads(os.environ["BENCH_SERVER"]))
        return
    from servers import running

    with tempfile.TemporaryDirectory() as folder, running("seaweedfs", Path(folder)) as found:
        server = {"endpoint": found.endpoint, "key": found.key, "secret": found.secret}
        if options.frame:
            frame(server, options.frame)
        elif options.beside:
            beside(server, options.beside, max(options.repeats // 3, 1))
        else:
            compare(installed(), options.delay, options.repeats, server)


if __name__ == "__main__":
    main()

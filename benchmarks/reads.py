"""Measure what concurrent and partial reads from S3 save, with a local SeaweedFS.

``python3 dev.py script benchmarks/reads.py`` pushes 1,000 values that a mapped task might give, and pulls them one by
one and with ``get_all``, through a proxy in a process of its own that adds 5 ms to every request.  ``--frame`` pushes a
float64 frame of so many MB with 100 columns, pulls two of them, and says how many of its bytes the server sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "xcom"


@contextmanager
def between(endpoint: str, delay: float) -> Iterator[subprocess.Popen[str]]:
    """Run a proxy in a process of its own: it prints its address, then for each line that it reads what it counted."""
    command = [sys.executable, __file__, "--proxy", endpoint, "--delay", str(delay)]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    try:
        yield process
    finally:
        process.communicate()


class Relay(asyncio.Protocol):
    """One end of a connection through the proxy; data to the server waits for the delay."""

    counts: ClassVar[dict[str, int]] = {"requests": 0, "sent": 0}

    def __init__(self, delay: float, other: Relay | None = None) -> None:
        self.delay = delay
        self.other = other
        self.is_client = other is None
        self.early: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """Open the other end, if this is a client."""
        self.transport = transport
        if self.other is None:
            loop = asyncio.get_running_loop()
            self.task = loop.create_task(loop.create_connection(lambda: Relay(self.delay, self), *ENDPOINT))
            self.task.add_done_callback(self.connected)

    def connected(self, task: Any) -> None:
        """Send what arrived before the other end was connected."""
        self.other = task.result()[1]
        for data in self.early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is None:
            self.early.append(data)
        elif self.is_client:
            self.counts["requests"] += data.startswith((b"GET ", b"PUT ", b"HEAD ", b"POST "))
            asyncio.get_running_loop().call_later(self.delay, self.other.transport.write, data)
        else:
            self.counts["sent"] += len(data)
            self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the other end."""
        if self.other is not None:
            self.other.transport.close()


ENDPOINT = ("", 0)


async def serve(endpoint: str, delay: float) -> None:
    """Be the proxy."""
    global ENDPOINT  # noqa: PLW0603 - of this process
    ENDPOINT = (str(urlsplit(endpoint).hostname), int(urlsplit(endpoint).port or 80))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Relay(delay / 1000), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(Relay.counts), flush=True)
        Relay.counts.update(requests=0, sent=0)
    os._exit(0)


def counted(proxy: subprocess.Popen[str]) -> dict[str, int]:
    """Return what the proxy has counted since the last call."""
    print(file=proxy.stdin, flush=True)
    return dict(json.loads(proxy.stdout.readline()))  # type: ignore[union-attr]


def backend(server: Any, endpoint: str) -> Any:
    """Return the backend, with every value offloaded to S3."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": server.key, "password": server.secret, "extra": extra}
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection)
    os.environ["AIRFLOW__XCOM_CODECS__PATH"] = f"s3://bench@{BUCKET}/reads"
    os.environ["AIRFLOW__XCOM_CODECS__THRESHOLD"] = "0"
    from airflow_xcom.backend import CodecXComBackend

    return CodecXComBackend


def many(xcom: Any, count: int, repeats: int) -> None:
    """Measure the values of many rows, one by one and together."""
    import numpy as np
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import XComSequenceSliceResult

    rows = [xcom.serialize_value(np.arange(i, i + 1250), dag_id="d", run_id="r", task_id="t") for i in range(count)]
    answer = XComSequenceSliceResult(root=rows)
    task_runner.SUPERVISOR_COMMS = SimpleNamespace(send=lambda *_, **__: answer)  # type: ignore[assignment]
    alone, together = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        one_by_one = [xcom.deserialize_value(SimpleNamespace(value=row)) for row in rows]
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = xcom.get_all(key="return_value", dag_id="d", run_id="r", task_id="t")
        together.append(time.perf_counter() - began)
        if not all((one == other).all() for one, other in zip(one_by_one, found, strict=True)):
            sys.exit("get_all gave something else")
    slow, fast = statistics.median(alone), statistics.median(together)
    print(f"{count} values of 10 KB: one by one {slow:.2f} s, get_all {fast:.2f} s: {slow / fast:.1f} times faster")


def part(xcom: Any, proxy: subprocess.Popen[str], megabytes: int) -> None:
    """Measure two columns of a frame."""
    import numpy as np
    import pandas as pd

    from airflow_xcom.backend import pull_table

    count = megabytes * 10_000 // 8
    columns = {f"c{i}": np.random.default_rng(i).random(count) for i in range(100)}
    row = xcom.serialize_value(pd.DataFrame(columns, copy=False), dag_id="d", run_id="r", task_id="t")
    size = row["airflow_xcom"]["ref"]["size"]
    del columns
    instance = SimpleNamespace(xcom_pull=lambda *_: xcom.deserialize_value(SimpleNamespace(value=row)))
    counted(proxy)
    before, began = _reset_peak(), time.perf_counter()
    found = pull_table(instance, "t", columns=["c93", "c7"])
    took, peak, counts = time.perf_counter() - began, _status("VmHWM") - before, counted(proxy)
    if list(found) != ["c93", "c7"] or not (found["c7"] == np.random.default_rng(7).random(count)).all():
        sys.exit("another frame came back")
    print(
        f"2 of 100 columns of {size / 1e6:.0f} MB: {took:.2f} s, {counts['requests']} requests, "
        f"{counts['sent'] / 1e6:.2f} MB sent, "
        f"{counts['sent'] / size:.2%} of the bytes; extra peak memory {peak / 1e6:.0f} MB"
    )


def _reset_peak() -> float:
    """Reset the peak of memory, and return the memory of this process now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=5.0, help="milliseconds")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frame", type=int, metavar="MB")
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.proxy:
        asyncio.run(serve(options.proxy, options.delay))
        return
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
    logging.disable(logging.INFO)
    from servers import running

    with tempfile.TemporaryDirectory() as folder, running("seaweedfs", Path(folder)) as server:  # noqa: SIM117
        with between(server.endpoint, options.delay) as proxy:
            xcom = backend(server, proxy.stdout.readline().strip())  # type: ignore[union-attr]
            if options.frame:
                part(xcom, proxy, options.frame)
            else:
                many(xcom, options.values, options.repeats)


if __name__ == "__main__":
    main()

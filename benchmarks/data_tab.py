"""Measure what the Data tab costs: a real API server of Airflow over SQLite, with a frame of 1 GB on S3.

``python3 dev.py script benchmarks/data_tab.py`` prints the bytes that the store sends for the first screen of the frame
with 100 columns (which is four blocks of 50 rows and 10 columns), the memory of the server through 100 such views, and
how long Airflow's own ``/api/v2/dags`` takes while 50 users' reads are slow.  S3 is a SeaweedFS on this machine behind
a proxy that counts and delays.  ``--rows`` makes the frame smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy import Fault, Proxy
from server_process import memory_of, server_process
from servers import BUCKET, running

if TYPE_CHECKING:
    import httpx
    from server_process import ServerProcess

ROWS = 1_250_000  # of a hundred columns: 1 GB
COLUMNS = 100
VIEWS = 100
USERS = [f"user{number}" for number in range(50)]  # the name is the password, too
SLOW = 0.5  # seconds that a request to S3 takes while reads are slow
ASKED = 40  # requests to Airflow that are timed, at most
WHOSE = ("flights", "one", "extract", "return_value")
API = "/xcom-data/api/dags/flights/runs/one/tasks/extract/-1"
BLOCKS = [(row, column) for row in (0, 50) for column in (0, 10)]
MB = 1e6


def prepare(folder: Path, server: Any, endpoint: str) -> None:
    """Set the variables of Airflow, in this process and in those that it starts."""
    (folder / "passwords.json").write_text(json.dumps({name: name for name in USERS}))
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": server.key, "password": server.secret, "extra": extra}
    os.environ |= {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:viewer" for name in USERS),
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__XCOM_CODECS__PATH": f"s3://bench@{BUCKET}/data-tab",
        "AIRFLOW_CONN_BENCH": json.dumps(connection),
    }


def push(rows: int) -> None:
    """Write the database and the frame."""
    import numpy as np
    import pandas as pd
    from airflow.utils.db import resetdb
    from airflow.utils.session import create_session
    from airflow_rows import add_dags, set_row

    from airflow_xcom.backend import CodecXComBackend

    resetdb()
    names = [f"c{column}" for column in range(COLUMNS)]
    frame = pd.DataFrame(np.random.default_rng(17).normal(size=(rows, COLUMNS)), columns=names)
    at = dict(zip(("dag_id", "run_id", "task_id", "key"), WHOSE, strict=True))
    row = CodecXComBackend.serialize_value(frame, **at, map_index=-1)
    with create_session() as session:
        add_dags(session)
        set_row(session, WHOSE, row)


def client_of(server: ServerProcess, name: str) -> httpx.Client:
    """Return what a user asks with."""
    import httpx

    return httpx.Client(base_url=server.url, cookies={"_token": server.token(name, name)}, timeout=120, trust_env=False)


def cells(client: httpx.Client, row: int, column: int) -> httpx.Response:
    """Ask for a block of the grid."""
    query = {"key": WHOSE[-1], "row": row, "rows": 50, "column": column, "columns": 10}
    return client.get(f"{API}/cells", params=query)


def view(client: httpx.Client) -> int:
    """Ask for the first screen, and return the size of the value."""
    client.get(f"{API}/xcoms").raise_for_status()
    found = client.get(f"{API}/value", params={"key": WHOSE[-1]}).raise_for_status().json()
    for row, column in BLOCKS:
        cells(client, row, column).raise_for_status()
    return int(found["size"])


def first_screen(server: ServerProcess, client: httpx.Client, proxy: Proxy) -> None:
    """Print what the first screen reads, and what many such views cost in memory."""
    base = memory_of(server.pid)
    proxy.forget()
    size = view(client)
    sent, requests = proxy.sent, len(proxy.requests)
    for _ in range(VIEWS - 1):
        view(client)
    peak = memory_of(server.pid, "VmHWM")
    share = f"{sent / MB:.2f} MB ({sent / size:.3%})"
    print(f"- The first screen of {size / MB:,.0f} MB: the store sent {share} in {requests} requests")
    print(f"- Memory of the server: {base / MB:,.0f} MB before, at most {peak / MB:,.0f} MB through {VIEWS} views")


def beside_slow_reads(clients: list[httpx.Client], proxy: Proxy) -> None:
    """Print how long Airflow's own request takes while nothing else is asked, and while many reads are slow."""
    other = clients[0]

    def ask() -> float:
        began = time.perf_counter()
        other.get("/api/v2/dags").raise_for_status()
        return time.perf_counter() - began

    ask()
    idle = [ask() for _ in range(ASKED)]
    proxy.fault = lambda *_: Fault(delay=SLOW)
    with ThreadPoolExecutor(len(clients)) as pool:
        slow = [pool.submit(cells, client, 0, 0) for client in clients]
        time.sleep(SLOW)
        busy = []
        while len(busy) < ASKED and not all(each.done() for each in slow):
            busy.append(ask())
        waiting = sum(not each.done() for each in slow)
        answered = [each.result().status_code for each in slow].count(200)
    proxy.fault = lambda *_: None
    idle += [ask() for _ in range(ASKED)]
    middle, slower = statistics.median(idle), statistics.median(busy)
    print(
        f"- `/api/v2/dags`: {middle * 1e3:.0f} ms, and {slower * 1e3:.0f} ms ({slower / middle:.1f} times) beside "
        f"{len(clients)} slow reads, of which {waiting} were under way after {len(busy)} requests; {answered} succeeded"
    )


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the frame (default: %(default)s)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="data-tab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running("seaweedfs", folder) as s3, Proxy(s3.endpoint) as proxy:
            prepare(folder, s3, proxy.url)
            push(rows)
            with server_process(folder, {}) as server:
                clients = [client_of(server, name) for name in USERS]
                first_screen(server, clients[0], proxy)
                beside_slow_reads(clients, proxy)


if __name__ == "__main__":
    main()

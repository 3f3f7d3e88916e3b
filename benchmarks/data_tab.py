"""Measure what the Data tab costs: a real API server of Airflow over SQLite, with a frame of 1 GB on S3.

``python3 dev.py script benchmarks/data_tab.py`` prints how long a click on the flights of the demo takes until Chromium
has painted their first row, on files and on S3 that is far away; the bytes that the store sends for the first screen of
the frame with 100 columns (which is four blocks of 50 rows and 10 columns), the memory of the server through 100 such
views, and how long Airflow's own ``/api/v2/dags`` takes while 50 users' reads are slow.  S3 is a SeaweedFS on this
machine behind a proxy that counts and delays.  ``--airflow 3.1.8`` clicks on the tab in the pages of that release, too.
``--rows`` makes the frame smaller; ``--write-docs`` writes the figures into docs/DATA_TAB.md.
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
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import chromium
from data_tab_airflow import FLIGHTS, on_s3, started
from installations import Installation, build, distribution
from proxy import Fault, Proxy
from server_process import memory_of, server_process
from servers import BUCKET, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx
    from server_process import ServerProcess

ROWS = 1_250_000  # of a hundred columns: 1 GB
COLUMNS = 100
VIEWS = 100
USERS = [f"user{number}" for number in range(50)]  # the name is the password, too
SLOW = 0.5  # seconds that a request to S3 takes while reads are slow
LATENCY = 0.02  # seconds that a request to S3 takes while clicks are timed
CLICKS = 5
ASKED = 40  # requests to Airflow that are timed, at most
WHOSE = ("flights", "one", "extract", "return_value")
API = "/xcom-data/api/dags/flights/runs/one/tasks/extract/-1"
CLICKED = ("flights", "two", "extract")
STORES = {"files": "files", "S3": "default"}  # by the key, in which store its value is
BLOCKS = [(row, column) for row in (0, 50) for column in (0, 10)]
MB = 1e6
DOCUMENT = Path(__file__).parents[1] / "docs" / "DATA_TAB.md"
BEGIN, END = "<!-- figures: written by benchmarks/data_tab.py --write-docs -->", "<!-- end of the figures -->"
# Clicks on the value of this name, and says after how many milliseconds the first cell is painted.
CLICK = """name => new Promise((done) => {
  const value = [...document.querySelectorAll("button")].find((button) => button.textContent === name);
  const look = () => {
    const text = document.getElementById("cell-0-0")?.textContent;
    if (!text || text === "…") return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true, characterData: true });
  const began = performance.now();
  value.click();
})"""


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
        "AIRFLOW__XCOM_CODECS__STORES": json.dumps({"files": (folder / "xcom").as_uri()}),
        "AIRFLOW_CONN_BENCH": json.dumps(connection),
    }


def prepare_rows(rows: int) -> None:
    """Write the database, the frame, and the flights of the demo in each store."""
    import flights
    import numpy as np
    import pandas as pd
    from airflow.utils.db import resetdb
    from airflow.utils.session import create_session
    from airflow_rows import add_dags

    from airflow_xcom.backend import stored

    resetdb()
    with create_session() as session:
        add_dags(session)
    names = [f"c{column}" for column in range(COLUMNS)]
    push(pd.DataFrame(np.random.default_rng(17).normal(size=(rows, COLUMNS)), columns=names), WHOSE)
    for key, store in STORES.items():
        push(stored(flights.extract.function(), store=store), (*CLICKED, key))


def push(value: Any, whose: tuple[str, str, str, str]) -> None:
    """Push as a task does."""
    from airflow.utils.session import create_session
    from airflow_rows import set_row

    from airflow_xcom.backend import CodecXComBackend

    at = dict(zip(("dag_id", "run_id", "task_id", "key"), whose, strict=True))
    row = CodecXComBackend.serialize_value(value, **at, map_index=-1)
    with create_session() as session:
        set_row(session, whose, row)


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


def clicks(server: ServerProcess, proxy: Proxy) -> Iterator[str]:
    """Tell how long a click takes until the first rows are there: in a page that knows nothing of the value yet."""
    dag, run, _ = CLICKED
    proxy.fault = lambda *_: Fault(delay=LATENCY)
    with chromium.started() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_cookies([{"name": "_token", "value": server.token(USERS[0], USERS[0]), "url": server.url}])
        page = context.new_page()
        for key in STORES:
            taken = []
            for _ in range(CLICKS):
                page.goto(f"{server.url}/xcom-data/page/dags/{dag}/runs/{run}")
                page.get_by_role("button", name=key, exact=True).wait_for()
                proxy.forget()
                taken.append(page.evaluate(CLICK, key) / 1e3)
            where = f"S3 ({LATENCY * 1e3:.0f} ms a request, {len(proxy.requests)} requests)" if proxy.requests else key
            size = f"{size_of(client_of(server, USERS[0]), key) / MB:.0f} MB"
            until = f"until Chromium has painted its first row: {told(taken)}"
            yield f"From the click on a frame of {size} on {where} {until}"
    proxy.fault = lambda *_: None


def told(taken: list[float]) -> str:
    """Sum up seconds."""
    return f"{min(taken):.2f} s at least, {statistics.median(taken):.2f} s in the median of {len(taken)}"


def clicks_in(version: str) -> Iterator[str]:
    """Tell how long a click on the tab takes until the first rows are there, in the pages of a release of Airflow."""
    build([version])
    with tempfile.TemporaryDirectory(prefix="data-tab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running("seaweedfs", folder) as s3, Proxy(s3.endpoint) as proxy:
            for where, options in ("files", {}), (f"S3 ({LATENCY * 1e3:.0f} ms a request)", on_s3(s3, proxy.url)):
                proxy.fault = lambda *_: None
                home = Path(tempfile.mkdtemp(dir=folder))
                taken = clicks_on_the_tab(home, Installation(version), options, proxy)
                yield f"Airflow {version}, from the click on its tab Data of flights on {where}: {told(taken)}"


def clicks_on_the_tab(
    folder: Path, installation: Installation, options: Mapping[str, str], proxy: Proxy
) -> list[float]:
    """Return the seconds, each in a page that knows nothing of the tab yet."""
    import obstore

    (folder / "client").mkdir()
    (folder / "client" / "obstore").symlink_to(Path(obstore.__file__).parent)  # the other environment has none
    paths = os.pathsep.join([str(distribution()), str(folder / "client")])
    with started(folder, (FLIGHTS,), {"PYTHONPATH": paths, **options}, installation.python) as airflow:
        address = f"{airflow.url}/dags/flights/runs/{quote(airflow.run('flights'), safe='')}/tasks/extract"
        proxy.fault = lambda *_: Fault(delay=LATENCY)
        with chromium.started() as browser, browser.new_context() as context:
            page = context.new_page()
            page.goto(airflow.url)  # which lets the user in
            page.get_by_text("Dags", exact=True).first.wait_for()
            return [seconds_of_a_click(context, address) for _ in range(CLICKS)]


def seconds_of_a_click(context: Any, address: str) -> float:
    """Click on the tab in a new page, and wait for the first row."""
    with context.new_page() as page:
        page.goto(address)
        link = page.get_by_role("link", name="Data", exact=True)
        link.wait_for()
        page.wait_for_load_state("networkidle")
        began = time.perf_counter()
        link.click()
        page.frame_locator("iframe").locator('[id="cell-0-3"]', has_text="517").wait_for()
        return time.perf_counter() - began


def size_of(client: httpx.Client, key: str) -> int:
    """Return the size of a value that is clicked on."""
    dag, run, task = CLICKED
    path = f"/xcom-data/api/dags/{dag}/runs/{run}/tasks/{task}/-1/value"
    return int(client.get(path, params={"key": key}).raise_for_status().json()["size"])


def first_screen(server: ServerProcess, client: httpx.Client, proxy: Proxy) -> Iterator[str]:
    """Tell what the first screen reads, and what many such views cost in memory."""
    base = memory_of(server.pid)
    proxy.forget()
    size = view(client)
    sent, requests = proxy.sent, len(proxy.requests)
    for _ in range(VIEWS - 1):
        view(client)
    peak = memory_of(server.pid, "VmHWM")
    share = f"{sent / MB:.2f} MB ({sent / size:.3%})"
    yield f"The first screen of {size / MB:,.0f} MB: the store sent {share} in {requests} requests"
    yield f"Memory of the server: {base / MB:,.0f} MB before, at most {peak / MB:,.0f} MB through {VIEWS} views"


def beside_slow_reads(clients: list[httpx.Client], proxy: Proxy) -> Iterator[str]:
    """Tell how long Airflow's own request takes while nothing else is asked, and while many reads are slow."""
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
    yield (
        f"`/api/v2/dags`: {middle * 1e3:.0f} ms, and {slower * 1e3:.0f} ms ({slower / middle:.1f} times) beside "
        f"{len(clients)} slow reads, of which {waiting} were under way after {len(busy)} requests; {answered} succeeded"
    )


def measured(rows: int) -> Iterator[str]:
    """Tell all of it."""
    with tempfile.TemporaryDirectory(prefix="data-tab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running("seaweedfs", folder) as s3, Proxy(s3.endpoint) as proxy:
            prepare(folder, s3, proxy.url)
            prepare_rows(rows)
            with server_process(folder, {}) as server:
                clients = [client_of(server, name) for name in USERS]
                yield from first_screen(server, clients[0], proxy)
                yield from clicks(server, proxy)
                yield from beside_slow_reads(clients, proxy)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the frame (default: %(default)s)")
    parser.add_argument("--airflow", nargs="*", default=[], help="releases in whose pages the tab is clicked on, too")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/DATA_TAB.md")
    arguments = parser.parse_args()
    lines = []
    for line in chain(measured(arguments.rows), *map(clicks_in, arguments.airflow)):
        lines.append(f"- {line}\n")
        print(lines[-1], end="", flush=True)
    if arguments.write_docs:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{''.join(lines)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()

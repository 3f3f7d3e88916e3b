"""Measure what the Data tab costs: a real API server of Airflow over SQLite, with a frame of 1 GB on S3.

``python3 dev.py script benchmarks/data_tab.py`` prints how long a click on the flights of the demo takes until Chromium
has painted their first row, on files and on S3 that is far away; the bytes that the store sends for the first screen of
the frame with 100 columns (which is four blocks of 50 rows and 10 columns), the memory of the server through 100 such
views, and how long Airflow's own ``/api/v2/dags`` takes while 50 users' reads are slow.  ``--airflow 3.1.8 3.2.2``
clicks on the tab in the pages of these releases instead, each time in a browser that has nothing of the tab yet.

S3 is a SeaweedFS on this machine behind a proxy that counts and delays.  A range that was asked for once is answered by
the proxy: SeaweedFS stores compressed text and unpacks 8 MB for each range, for which S3 itself needs no time.
``--rows`` makes the frame smaller; ``--write-docs`` writes the figures into docs/DATA_TAB.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import secrets
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import chromium
from data_tab_airflow import FLIGHTS, on_s3, started
from installations import Installation, build, distribution
from proxy import Fault, Proxy, ProxyHandler
from server_process import memory_of, server_process
from servers import BUCKET, running

if TYPE_CHECKING:
    from collections.abc import Iterator

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
FIGURES = "<!-- figures: written by benchmarks/data_tab.py --write-docs -->", "<!-- end of the figures -->"
RELEASES = "<!-- clicks: written by benchmarks/data_tab.py --airflow … --write-docs -->", "<!-- end of the clicks -->"
HEAD = f"""\
| from the click on the tab to the first rows | files | S3, {LATENCY * 1e3:.0f} ms a request | load of the machine |
| --- | --- | --- | --- |
"""
# Two tasks that return the flights of the demo, each into the store of its name.
DAG = """
import flights
from airflow.sdk import dag, task
from airflow_xcom.backend import stored

@dag
def clicked():
    for name, store in {"files": "files", "S3": "default"}.items():
        @task(task_id=name)
        def extract(store=store):
            return stored(flights.extract.function(), store=store)
        extract()

clicked()
"""
KEPT: dict[Any, tuple[int, str, list[tuple[str, str]], bytes]] = {}  # what KeepsRanges has passed on
# Notes when the user clicks, and when the first cell is painted, by the clock of the browser.
WATCH = """
if (window === top) {
  addEventListener("click", () => { window.clicked = performance.timeOrigin + performance.now(); }, true);
}
new MutationObserver((_, observer) => {
  const text = document.getElementById("cell-0-0")?.textContent;
  if (!text || text === "…") return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { top.painted = performance.timeOrigin + performance.now(); }));
}).observe(document, { childList: true, subtree: true, characterData: true });
"""


class KeepsRanges(ProxyHandler):
    """Answers a range that it has passed on before as S3 does: after the delay, and without work."""

    def ask(self, body: Iterator[bytes]) -> Any:
        wanted = self.command, self.path, self.headers.get("Range")
        if wanted[0] != "GET" or wanted[2] is None:
            return super().ask(body)
        if wanted not in KEPT:
            answer = super().ask(body)
            KEPT[wanted] = answer.status, answer.reason, answer.getheaders(), answer.read()
        status, reason, headers, content = KEPT[wanted]
        found = {"getheaders": lambda: headers, "getheader": dict(headers).get, "read": io.BytesIO(content).read}
        return SimpleNamespace(status=status, reason=reason, **found)


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
    first = {"key": WHOSE[-1], "rows": 50, "columns": 10}
    found = client.get(f"{API}/value", params=first).raise_for_status().json()
    for row, column in BLOCKS[1:]:
        cells(client, row, column).raise_for_status()
    return int(found["size"])


def clicks(server: ServerProcess, proxy: Proxy) -> Iterator[str]:
    """Tell how long a click takes until the first rows are there: in a page that knows nothing of the value yet."""
    dag, run, _ = CLICKED
    proxy.fault = lambda *_: Fault(delay=LATENCY)
    with browser() as context:
        context.add_cookies([{"name": "_token", "value": server.token(USERS[0], USERS[0]), "url": server.url}])
        page = context.new_page()
        for key in STORES:
            taken = []
            for _ in range(CLICKS):
                page.goto(f"{server.url}/xcom-data/page/dags/{dag}/runs/{run}")
                button = page.get_by_role("button", name=key, exact=True)
                button.wait_for()
                proxy.forget()
                taken.append(seconds_of_a_click(page, button))
            where = f"S3 ({LATENCY * 1e3:.0f} ms a request, {len(proxy.requests)} requests)" if proxy.requests else key
            size = f"{size_of(client_of(server, USERS[0]), key) / MB:.0f} MB"
            until = f"until Chromium has painted its first row: {told(taken)}"
            yield f"From the click on a frame of {size} on {where} {until}"
    proxy.fault = lambda *_: None


def told(taken: list[float]) -> str:
    """Sum up seconds."""
    return f"{min(taken):.2f} s at least, {statistics.median(taken):.2f} s in the median of {len(taken)}"


@contextmanager
def browser() -> Iterator[Any]:
    """A browser that has nothing yet, and notes when a user clicks and sees the first row."""
    with chromium.started() as program, program.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.add_init_script(WATCH)
        yield context


def seconds_of_a_click(page: Any, element: Any) -> float:
    """Click, wait for the first row, and ask the browser how long it took."""
    element.click()
    while not page.evaluate("window.painted"):  # the policy of the page forbids what Playwright waits with
        page.wait_for_timeout(20)
    return float(page.evaluate("(painted - clicked) / 1e3"))


def clicks_in(version: str) -> str:
    """Return a line of the table: how long clicks on the tab take in the pages of a release of Airflow."""
    build([version])
    with tempfile.TemporaryDirectory(prefix="data-tab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running("seaweedfs", folder) as s3, Proxy(s3.endpoint, handler=KeepsRanges) as proxy:
            options = on_s3(s3, proxy.url) | {
                "AIRFLOW__XCOM_CODECS__STORES": json.dumps({"files": (folder / "xcom").as_uri()}),
                "PYTHONPATH": os.pathsep.join([str(distribution()), str(with_client(folder)), str(FLIGHTS.parent)]),
            }
            (folder / "clicked.py").write_text(DAG)
            home = Path(tempfile.mkdtemp(dir=folder))
            with started(home, (folder / "clicked.py",), options, Installation(version).python) as airflow:
                run = f"{airflow.url}/dags/clicked/runs/{quote(airflow.run('clicked'), safe='')}"
                proxy.fault = lambda *_: Fault(delay=LATENCY)
                found = [told(clicks_on_the_tab(airflow.url, f"{run}/tasks/{task}")) for task in STORES]
    return f"| Airflow {version} | {' | '.join(found)} | {os.getloadavg()[0]:.1f} |\n"


def with_client(folder: Path) -> Path:
    """Return a folder from which the client of S3 is imported, which the environments of other releases have not."""
    import obstore

    (folder / "client").mkdir()
    (folder / "client" / "obstore").symlink_to(Path(obstore.__file__).parent)
    return folder / "client"


def clicks_on_the_tab(url: str, address: str) -> list[float]:
    """Return the seconds, each in a browser that has nothing of the tab yet."""
    taken = []
    for _ in range(CLICKS):
        with browser() as context:
            page = context.new_page()
            page.goto(url)  # which lets the user in
            page.get_by_text("Dags", exact=True).first.wait_for()
            page.goto(address)
            link = page.get_by_role("link", name="Data", exact=True)
            link.wait_for()
            page.wait_for_load_state("networkidle")
            taken.append(seconds_of_a_click(page, link))
    return taken


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
        with running("seaweedfs", folder) as s3, Proxy(s3.endpoint, handler=KeepsRanges) as proxy:
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
    parser.add_argument("--airflow", nargs="+", help="releases of Airflow in whose pages the tab is clicked on instead")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/DATA_TAB.md")
    arguments = parser.parse_args()
    if arguments.airflow:
        marks, lines = RELEASES, chain([HEAD], map(clicks_in, arguments.airflow))
    else:
        marks, lines = FIGURES, (f"- {line}\n" for line in measured(arguments.rows))
    printed = []
    for line in lines:
        printed.append(line)
        print(line, end="", flush=True)
    if arguments.write_docs:
        write(marks, "".join(printed))


def write(marks: tuple[str, str], text: str) -> None:
    """Write a text between its marks in the document."""
    begin, end = marks
    before, _, rest = DOCUMENT.read_text().partition(begin)
    DOCUMENT.write_text(f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()

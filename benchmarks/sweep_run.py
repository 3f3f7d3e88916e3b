"""Measure a sweep of one run beside a sweep of everything, over files and over S3.

``python3 dev.py script benchmarks/sweep_run.py 10000`` writes so many payloads, 20 for each run, and rows that refer to
every other one of them into the table of XComs of a PostgreSQL of its own.  Then it sweeps one run and everything, and
counts the folders that are opened, or the list requests that reach the S3 server.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import database
import servers
import sqlalchemy
from owners import add_variables, adopted
from proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Count = Callable[[], int]

_OF_A_RUN = 20
_RUNS = 100  # of a Dag
_THREADS = 8
# Airflow 3's, without the keys of tables that this does not have.
_TABLE = """
create table xcom (
    dag_run_id integer not null, task_id varchar(250) not null, map_index integer not null default -1,
    key varchar(512) not null, dag_id varchar(250) not null, run_id varchar(250) not null, value jsonb,
    constraint xcom_pkey primary key (dag_run_id, task_id, map_index, key));
create index idx_xcom_key on xcom (key);
create index idx_xcom_task_instance on xcom (dag_id, task_id, run_id, map_index)
"""


def run_of(number: int) -> tuple[str, str]:
    """Return the run of a payload."""
    dag, run = divmod(number // _OF_A_RUN, _RUNS)
    return f"dag_{dag}", f"manual__2026-01-{run:02}"


def fill(engine: Any, count: int) -> None:
    """Push the payloads, and write the row of every other one, as if it had replaced the one before."""
    from airflow_xcom.backend import CodecXComBackend

    def pushed(number: int) -> dict[str, Any]:
        dag, run = run_of(number)
        at = {"dag_id": dag, "run_id": run, "task_id": "task", "map_index": number % _OF_A_RUN // 2, "key": "value"}
        row = CodecXComBackend.serialize_value((number,), **at)
        return {**at, "dag_run_id": number // _OF_A_RUN, "value": json.dumps(row)}

    with ThreadPoolExecutor(_THREADS) as pool:
        rows = list(pool.map(pushed, range(count)))[1::2]
    columns = ", ".join(rows[0])
    values = ", ".join(f"cast(:{name} as jsonb)" if name == "value" else f":{name}" for name in rows[0])
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"insert into xcom ({columns}) values ({values})"), rows)
        connection.execute(sqlalchemy.text("analyze xcom"))


@contextmanager
def files(home: Path) -> Iterator[tuple[str, Count]]:
    """The URL of a store in a folder, and a function that counts the folders that were opened."""
    opened: list[str] = []
    sys.addaudithook(lambda event, _: opened.append(event) if event == "os.scandir" else None)
    yield (home / "xcom").as_uri(), lambda: len(opened)


@contextmanager
def s3(home: Path) -> Iterator[tuple[str, Count]]:
    """The URL of a store in a bucket, and a function that counts the list requests."""
    with servers.running("seaweedfs", home) as server, Proxy(server.endpoint) as proxy:
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1"}
        fields = {"conn_type": "aws", "login": server.key, "password": server.secret, "extra": extra}
        os.environ["AIRFLOW_CONN_MEASURED"] = json.dumps(fields)
        yield (
            f"s3://measured@{servers.BUCKET}/{uuid4().hex}",
            lambda: sum(
                method == "GET" and ("list-type=" in path or "uploads" in path) for method, path in proxy.requests
            ),
        )


def swept(rows: Any, **options: Any) -> tuple[int, int, float]:
    """Return how many payloads a sweep deletes and leaves, and the seconds that it takes."""
    from airflow_xcom.backend.maintenance.sweep import Report, sweep

    report, began = Report(), time.perf_counter()
    grace = -4000  # the times of S3 are in whole seconds
    for _ in sweep(rows, report, **{"grace": grace, "wait": 0, "apply": True, **options}):
        pass
    found = report.stores["default"]
    return found.deleted.count, found.listed.count - found.deleted.count, time.perf_counter() - began


def measure(kind: str, engine: Any, store: tuple[str, Count], count: int) -> None:
    """Print a row of the table for each sweep."""
    from airflow_xcom.backend.database.xcom_rows import Rows
    from airflow_xcom.backend.settings import settings

    url, listings = store
    os.environ.update({"AIRFLOW__XCOM_CODECS__PATH": url, "AIRFLOW__XCOM_CODECS__THRESHOLD": "0"})
    settings.cache_clear()
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)
    fill(engine, count)
    rows = adopted(Rows(engine))
    whole, of_run = count // 2, _OF_A_RUN // 2
    for what, options, expected in (
        ("everything, without `--apply`", {"apply": False}, (0, count)),
        ("one run", {"runs": [run_of(count // 2)]}, (of_run, of_run)),
        ("everything", {}, (whole - of_run, whole)),
    ):
        before = listings()
        deleted, left, took = swept(rows, **options)
        assert (deleted, left) == expected, (deleted, left)
        cells = [kind, f"{count:,}", what, f"{listings() - before:,}", f"{deleted:,}", f"{took:.2f} s"]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[200])
    print("| store | payloads in it | sweep of | listings | deleted | time |", flush=True)
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for count in parser.parse_args().counts:
        for kind, opened in (("folder", files), ("S3", s3)):
            with ExitStack() as stack:
                home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sweep-run-")))
                os.environ["AIRFLOW_HOME"] = str(home)
                engine = sqlalchemy.create_engine(stack.enter_context(database.postgres()))
                stack.callback(engine.dispose)
                with engine.begin() as connection:
                    connection.execute(sqlalchemy.text(_TABLE))
                add_variables(engine)
                measure(kind, engine, stack.enter_context(opened(home)), count)


if __name__ == "__main__":
    main()

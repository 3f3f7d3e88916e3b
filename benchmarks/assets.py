"""Measure values of assets and state in a real Airflow: its scheduler, API server and tasks, over PostgreSQL.

``python3 dev.py script benchmarks/assets.py`` prints tables; with ``--write-docs``, they go into docs/ASSETS.md and
docs/STATE.md, too.  A publish and ``latest`` of 100 MB stand beside a push and a pull; ``latest`` of an asset with many
versions beside a pull; a run with many events beside the same run whose events have no value.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import database
from local_airflow import LocalAirflow

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
BEGIN, END = "<!-- figures: written by benchmarks/assets.py -->", "<!-- end of the figures -->"
DAGS = 5
_PATIENCE = 1200.0  # seconds
_COLUMNS = "asset_id, extra, source_dag_id, source_run_id, source_task_id, source_map_index, timestamp"
_NEWEST = f"""
select asset_event.id, {_COLUMNS.replace("extra", "asset_event.extra")}
from asset_event join asset on asset.id = asset_id where name = %s order by timestamp desc limit 1
"""
_EVENT = f"""
insert into asset_event ({_COLUMNS})
values (%s, %s, %s, %s, %s, %s, %s) returning id
"""


class Site:
    """A running Airflow and its database."""

    def __init__(self, airflow: LocalAirflow, connection: Any) -> None:
        self._airflow = airflow
        self._call = airflow._api._call  # noqa: SLF001 - as the tests
        self._connection = connection

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Return what is in the database."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def until(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows once there are any."""
        ends = time.monotonic() + _PATIENCE
        while not (found := self.rows(statement, *values)):
            if time.monotonic() > ends:
                raise TimeoutError(statement)
            time.sleep(0.2)
        return found

    def result(self, dag_id: str, task_id: str, run_id: str) -> Any:
        """Return what a task of a run has returned."""
        query = "select value from xcom where dag_id = %s and task_id = %s and run_id = %s and key = 'return_value'"
        return self.until(query, dag_id, task_id, run_id)[0][0]

    def run(self, dag_id: str, *tasks: str) -> list[Any]:
        """Return what the tasks of a new run have returned."""
        run_id = self._airflow.run(dag_id)
        return [self.result(dag_id, task, run_id) for task in tasks]

    def start(self, dag_id: str, events: list[int]) -> float:
        """Return the seconds from when a task of a run with these events starts until its function does."""
        call, dag = self._call, f"/api/v2/dags/{dag_id}"
        call("PATCH", dag, {"is_paused": True})
        run_id = call("POST", f"{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
        add = (
            "insert into dagrun_asset_event select id, unnest(%s::int[]) from dag_run where dag_id = %s and run_id = %s"
        )
        self.rows(add, events, dag_id, run_id)
        call("PATCH", dag, {"is_paused": False})
        began = float(self.result(dag_id, "start", run_id))
        query = "select extract(epoch from queued_dttm) from task_instance where dag_id = %s and run_id = %s"
        return began - float(self.rows(query, dag_id, run_id)[0][0])

    def add_events(self, name: str, count: int, *, with_values: bool) -> list[int]:
        """Add events of an asset, each five minutes older, with a version of its own or none; return all ids."""
        newest, asset, extra, *source, timestamp = self.rows(_NEWEST, name)[0]
        extras = map(json.dumps, versions(extra, count)) if with_values else ["{}"] * count
        older = (timestamp - timedelta(minutes=5 * number + 5) for number in range(count))
        rows = [(asset, text, *source, at) for text, at in zip(extras, older, strict=True)]
        with self._connection.cursor() as cursor:
            cursor.executemany(_EVENT, rows, returning=True)
            found = [cursor.fetchone()[0]]
            while cursor.nextset():
                found.append(cursor.fetchone()[0])
            cursor.execute("analyze asset_event")
        return [*found, newest]


def versions(extra: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Yield what the events of so many versions tell, as if the task of this one had published them all."""
    from airflow_xcom.backend.asset_version import new_version_id
    from airflow_xcom.backend.envelope import ENVELOPE_KEY, Envelope

    envelope = Envelope.from_json({ENVELOPE_KEY: json.loads(extra[ENVELOPE_KEY])})
    assert envelope is not None
    assert envelope.asset is not None
    assert envelope.reference is not None
    path = envelope.reference.path
    for _ in range(count):
        asset = replace(envelope.asset, id=new_version_id())
        prefix = asset.path_prefix(envelope.coordinate.to_json()[:-1])
        reference = replace(envelope.reference, path=prefix + path.rpartition("-")[2])
        content = replace(envelope, asset=asset, reference=reference).to_json()[ENVELOPE_KEY]
        yield {ENVELOPE_KEY: json.dumps(content, separators=(",", ":"))}


def measure(site: Site, rounds: int, many: int, triggering: int) -> dict[str, list[list[str]]]:
    """Return the rows of each page's table."""
    site.run("large")  # the first publish of an asset makes its folder, as the first push of a task does
    wrote, read = site.run("large", "write", "read")
    size = site.rows("select max((value #>> '{airflow_xcom,ref,size}')::bigint) from xcom")[0][0]
    ours, both = ((wrote[one], read[other]) for one, other in (("publish", "latest"), ("push", "pull")))
    ratio = f"{sum(map(min, ours)) / sum(map(min, both)):.2f} times as long (at most 1.1)"
    what = f"`publish` and `latest` of {size / 1e6:.0f} MB"
    rows = [[what, " + ".join(map(_ms, ours)), "push and pull", " + ".join(map(_ms, both)), ratio]]

    events = site.add_events("many", many, with_values=True)
    found = site.run("many", "read")[0]
    latest, pull = found["latest"], found["pull"]
    more = f"{(min(latest) - min(pull)) * 1e3:.0f} ms more (at most 20)"
    rows.append([f"`latest` on an asset of {many + 2:,} versions", _ms(latest), "pull", _ms(pull), more])

    plain = site.add_events("plain", triggering, with_values=False)
    valued = site.add_events("plain", triggering, with_values=True)
    times: dict[str, list[float]] = {"plain": [], "valued": [], "read": []}
    for _ in range(rounds):
        times["plain"].append(site.start("triggered", plain[:triggering]))
        times["valued"].append(site.start("triggered", valued[-triggering:]))
        times["read"].append(site.start("reading", events[-triggering:]))
    bare = ["the same of events without values", _s(times["plain"])]
    for way, what in {"valued": "a run with {:,} events starts", "read": "and `value_of` has read the newest"}.items():
        more = f"{min(times[way]) - min(times['plain']):.1f} s more (at most 2)"
        rows.append([what.format(triggering), _s(times[way]), *bare, more])
    return {"ASSETS": rows, "STATE": _states(site.run("states", "measure")[0])}


def _states(found: dict[str, Any]) -> list[list[str]]:
    """Return a row for each value."""
    rows = []
    for what, text in {"small": "a small dict", "frame": "a DataFrame of 1 MB"}.items():
        ours, stock = (found[f"{name} {what}"] for name in ("ours", "stock"))
        rows.append([text, _ms(ours), stock[0] if isinstance(stock[0], str) else _ms(stock)])
    return rows


def _ms(seconds: list[float]) -> str:
    return f"{min(seconds) * 1e3:.0f} ms (median {statistics.median(seconds) * 1e3:.0f})"


def _s(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} s (median {statistics.median(seconds):.1f})"


HEADS = {
    "ASSETS": ["", "least time", "beside", "least time", ""],
    "STATE": ["set and get", "`CodecStateStore`", "Airflow's object storage backend"],
}


def table(page: str, rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [HEADS[page], ["---"] * len(HEADS[page]), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, print the tables, and write them."""
    import psycopg

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=100.0, help="of the large frame (default: %(default)s)")
    parser.add_argument("--versions", type=int, default=100_000, help="of the asset (default: %(default)s)")
    parser.add_argument("--events", type=int, default=10_000, help="that start a run (default: %(default)s)")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into the pages, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assets-") as folder, database.postgres() as url:
        home = Path(folder, "airflow")
        home.mkdir()
        options = {
            "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__COMMON_IO__STATE_STORE_OBJECTSTORAGE_PATH": (home / "state").as_uri(),
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            "ASSET_ROUNDS": str(asked.rounds),
            "ASSET_ROWS": str(int(asked.megabytes * 1e6 / 64)),
        }
        with (
            LocalAirflow(home, HERE / "dags", options, print) as airflow,
            closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection,
        ):
            site = Site(airflow, connection)
            site.until("select 1 from dag having count(*) >= %s", DAGS)
            found = measure(site, asked.rounds, asked.versions, asked.events)
    for page, rows in found.items():
        print(table(page, rows))
        if asked.write_docs:
            path = DOCS / f"{page}.md"
            before, _, rest = path.read_text().partition(BEGIN)
            after = rest.partition(END)[2].strip()
            parts = before.rstrip(), f"{BEGIN}\n\n{table(page, rows)}\n{END}", after
            path.write_text("\n\n".join(filter(None, parts)) + "\n")


if __name__ == "__main__":
    main()

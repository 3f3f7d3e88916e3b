"""Values of assets from Dag to Dag in a real Airflow: scheduler, API server and Dag processor."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from airflow_api import failures
from database import postgres
from local_airflow import LocalAirflow
from test_retain_airflow import Site, until

DAGS = Path(__file__).with_name("dags") / "assets.py"


class Assets(Site):
    """A running Airflow over PostgreSQL with Dags that publish and read."""

    def __init__(self, home: Path, airflow: LocalAirflow, database: str) -> None:
        super().__init__(home, airflow)
        self.engine = sqlalchemy.create_engine(database)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        names = (f":p{number}" for number in range(len(values)))
        text = sqlalchemy.text(re.sub(r"\?", lambda _: next(names), statement))
        with self.engine.begin() as connection:
            found = connection.execute(text, {f"p{number}": value for number, value in enumerate(values)})
            return [tuple(row) for row in found] if found.returns_rows else []

    def trigger(self, dag_id: str, number: int = 0) -> str:
        body = {"logical_date": None, "conf": {"number": number}}
        run_id: str = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run_id

    def make(self, dag_id: str, number: int) -> str:
        run_id = self.trigger(dag_id, number)
        assert self.ended(dag_id, run_id) == "success", self.errors(dag_id, run_id)
        return run_id

    def repeat(self, dag_id: str, run_id: str, number: int) -> None:
        """Run a producer again, which then makes another version in the same run."""
        self.execute("update dag_run set conf = ? where run_id = ?", json.dumps({"number": number}), run_id)
        assert self.clear(dag_id, run_id, "make") == "success"

    def runs(self, dag_id: str) -> list[str]:
        return [run for (run,) in self.execute("select run_id from dag_run where dag_id = ? order by id", dag_id)]

    def next_run(self, dag_id: str, before: list[str]) -> str:
        """The run that an event has started since then."""
        (run_id,) = until(f"a run of {dag_id}", lambda: self.runs(dag_id)[len(before) :])[:1]
        return str(run_id)

    def results(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What the tasks of a run have returned, once it has succeeded."""
        assert self.ended(dag_id, run_id) == "success", self.errors(dag_id, run_id)
        query = "select task_id, map_index, value from xcom where dag_id=? and run_id=? and key='return_value'"
        rows = self.execute(query, dag_id, run_id)
        return {task if at < 0 else f"{task}[{at}]": value for task, at, value in rows}

    def errors(self, dag_id: str, run_id: str) -> str:
        return "\n".join(failures(self.airflow.task_logs(dag_id, run_id)))

    def clean_events(self) -> None:
        now = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
        command = ["db", "clean", "--tables", "asset_event", "--clean-before-timestamp", now, "--yes", "--skip-archive"]
        environment = self.airflow.environment
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.execute("select count(*) from asset_event") == [(0,)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assets]:
    home, dags = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("dags")
    far = (dt.datetime.now(dt.UTC).hour + 12) % 24  # from now, or a second day would begin within the tests
    source = DAGS.read_text()
    assert '"@daily"' in source
    (dags / "assets.py").write_text(source.replace('"@daily"', f'"0 {far} * * *"'))
    options = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__XCOM_CODECS__PUBLISH_ASSETS": "True",
    }
    with postgres() as url:
        options["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url
        with LocalAirflow(home, dags, options, lambda _: None) as airflow:
            site = Assets(home, airflow, url)
            until("the Dags", lambda: len(site.execute("select dag_id from dag")) >= 22)
            yield site
            site.engine.dispose()


def test_an_event_starts_a_run_that_reads_its_version(site: Assets) -> None:
    before = {dag: site.runs(dag) for dag in ("on_a", "on_a_or_b", "on_reference", "on_a_and_b")}
    site.make("make_a", 7)
    assert site.results("on_a", site.next_run("on_a", before["on_a"])) == {"read": 7, "read_all": [7]}
    assert site.results("on_a_or_b", site.next_run("on_a_or_b", before["on_a_or_b"])) == {"either": [7]}
    assert site.results("on_reference", site.next_run("on_reference", before["on_reference"])) == {"read": 7}
    site.make("make_b", 8)
    assert site.results("on_a_and_b", site.next_run("on_a_and_b", before["on_a_and_b"])) == {"both": [7, 8]}
    assert site.results("on_a_or_b", site.runs("on_a_or_b")[-1]) == {"either": [8]}


def test_an_alias_leads_to_its_asset(site: Assets) -> None:
    before = site.runs("on_alias")
    site.make("make_c_via_alias", 3)
    assert site.results("on_alias", site.next_run("on_alias", before)) == {"by_alias": 3, "by_asset": 3}


def test_assets_that_are_functions_make_a_chain(site: Assets) -> None:
    before = site.runs("on_doubled")
    site.make("drawn", 21)
    assert site.results("on_doubled", site.next_run("on_doubled", before)) == {"read": 42}


def test_what_an_asset_function_returns_is_published_once(site: Assets) -> None:
    """Functions that publish themselves, as those of the chain, publish no second version."""
    before = site.runs("on_returned")
    run_id = site.make("returned", 17)
    assert site.results("on_returned", site.next_run("on_returned", before)) == {"read": 17}
    (row,) = site.execute("select value from xcom where run_id = ? and key = 'return_value'", run_id)
    (event,) = site.execute("select extra from asset_event where source_run_id = ?", run_id)
    assert row[0]["airflow_xcom"]["ref"]["path"] == json.loads(event[0]["airflow_xcom"])["ref"]["path"]


def test_an_event_forged_from_an_honest_one_is_not_read(site: Assets) -> None:
    """Its extra is that of a version, word for word; a run that it starts refuses, and others read the honest one."""
    for number in 40, 41:
        before = site.runs("on_a")
        site.make("make_a", number)
        site.next_run("on_a", before)
    query = "select e.extra, e.asset_id from asset_event e join asset a on a.id = e.asset_id where a.name = 'a'"
    honest, asset_id = site.execute(f"{query} order by e.id")[-2]
    before = site.runs("on_a")
    told = site.call("POST", "/api/v2/assets/events", {"asset_id": asset_id, "extra": honest})
    assert told["extra"]["airflow_xcom"] == honest["airflow_xcom"]
    run_id = site.next_run("on_a", before)
    assert site.ended("on_a", run_id) == "failed"
    assert "NoVersionError" in site.errors("on_a", run_id)
    assert site.results("mapped", site.trigger("mapped")) == {"part[0]": 42, "part[1]": 43}


def test_each_run_of_a_partition_reads_its_own(site: Assets) -> None:
    site.make("make_regions", 5)
    until("two runs", lambda: len(site.runs("on_regions")) == 2)
    keys = dict(site.execute("select partition_key, run_id from dag_run where dag_id = 'on_regions'"))
    assert site.results("on_regions", keys["north"]) == {"read": 5}
    assert site.results("on_regions", keys["south"]) == {"read": 6}


def test_a_mapped_task_takes_a_value_by_partial(site: Assets) -> None:
    site.make("make_a", 30)
    assert site.results("mapped", site.trigger("mapped")) == {"part[0]": 31, "part[1]": 32}


def test_two_tasks_of_a_run_agree_while_a_producer_publishes(site: Assets) -> None:
    site.make("make_a", 100)
    run_id = site.trigger("asking")
    until("the pause", (site.home / "paused").exists)
    site.make("make_a", 101)
    (site.home / "go").touch()
    assert site.results("asking", run_id) == {"first": 100, "second": 100}
    assert site.results("asking", site.trigger("asking")) == {"first": 101, "second": 101}


@pytest.fixture(scope="module")
def days(site: Assets) -> list[int]:
    """The days that a backfill has published, one by one, after the newest run was over."""
    assert site.ended("daily", site.runs("daily")[-1]) == "success"
    first = dt.date(2024, 3, 1)
    last = first + dt.timedelta(days=9)
    body = {"dag_id": "daily", "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T23:59:59Z"}
    site.call("POST", "/api/v2/backfills", {**body, "max_active_runs": 1})
    count = "select count(*) from dag_run where dag_id = 'daily' and run_type = 'backfill' and state = 'success'"
    for number in range(1, 11):
        until(f"{number} runs", lambda least=number: site.execute(count)[0][0] >= least)
    return [first.toordinal() + day for day in range(10)]


def test_backfilled_days_are_not_the_latest(site: Assets, days: list[int]) -> None:
    (newest,) = site.execute(
        "select data_interval_start from dag_run where dag_id = 'daily' and run_type = 'scheduled'"
    )
    last = newest[0].astimezone(dt.UTC).toordinal()
    first_read, *every = site.results("latest_day", site.trigger("latest_day"))["which"]
    assert first_read == last
    assert sorted(every) == sorted([last, *days])


def test_each_run_that_a_backfill_starts_reads_the_versions_of_its_events(site: Assets, days: list[int]) -> None:
    """One event or, where the scheduler came late, several."""
    query = """
        select consumer.run_id, producer.data_interval_start
        from dagrun_asset_event link
        join dag_run consumer on consumer.id = link.dag_run_id
        join asset_event event on event.id = link.event_id
        join dag_run producer on producer.dag_id = event.source_dag_id and producer.run_id = event.source_run_id
        where consumer.dag_id = 'on_days' and producer.run_type = 'backfill'
        order by event.timestamp, event.id"""
    until("a run for each day", lambda: len(site.execute(query)) == len(days))
    linked: dict[str, list[int]] = {}
    for run_id, interval in site.execute(query):
        linked.setdefault(run_id, []).append(interval.astimezone(dt.UTC).toordinal())
    assert sorted(day for each in linked.values() for day in each) == days
    for run_id, of_run in linked.items():
        assert site.results("on_days", run_id) == {"read": of_run[-1], "read_all": of_run}


def test_a_run_reads_the_same_version_for_ever(site: Assets) -> None:
    (site.home / "hold").touch()
    before = site.runs("on_a")
    producer = site.make("make_a", 901)
    run_id = site.next_run("on_a", before)
    until("the reader", (site.home / f"reading-{run_id}").exists)
    site.repeat("make_a", producer, 902)
    (site.home / "hold").unlink()
    assert site.results("on_a", run_id) == {"read": 901, "read_all": [901]}

    assert site.clear("on_a", run_id, "read", "read_all") == "success"
    assert site.results("on_a", run_id) == {"read": 901, "read_all": [901]}

    until("all runs", lambda: site.execute("select 1 from dag_run where state in ('queued', 'running')") == [])
    site.clean_events()
    assert site.clear("on_a", run_id, "read", "read_all") == "success"
    assert site.results("on_a", run_id) == {"read": 901, "read_all": [901]}

    for pin in site.home.rglob("pins/on_a/**/*.0"):
        pin.unlink()
    assert site.clear("on_a", run_id, "read", "read_all") == "failed"
    said = site.errors("on_a", run_id)
    assert "LostPinError" in said
    assert "refresh=True" in said


def test_a_queued_run_reads_the_version_of_its_own_event_for_ever(site: Assets) -> None:
    """Its tasks wait for the one slot of a pool, which another run has, while the producer is repeated."""
    site.call("POST", "/api/v2/pools", {"name": "narrow", "slots": 1, "include_deferred": False})
    (site.home / "hold").touch()
    site.make("make_d", 1)
    first = site.next_run("on_d_in_a_pool", [])
    until("the reader", (site.home / f"reading-{first}").exists)
    producer = site.make("make_d", 2)
    queued = site.next_run("on_d_in_a_pool", [first])
    site.repeat("make_d", producer, 3)
    last = site.next_run("on_d_in_a_pool", [first, queued])
    tasks = "select count(*), count(start_date) from task_instance where run_id = ?"
    assert site.execute(tasks, queued) == [(2, 0)]
    (site.home / "hold").unlink()
    read = {"read": 2, "read_all": [2]}
    assert site.results("on_d_in_a_pool", queued) == read
    assert site.results("on_d_in_a_pool", last) == {"read": 3, "read_all": [3]}

    assert site.clear("on_d_in_a_pool", queued, "read", "read_all") == "success"
    assert site.results("on_d_in_a_pool", queued) == read

    until("all runs", lambda: site.execute("select 1 from dag_run where state in ('queued', 'running')") == [])
    site.clean_events()
    assert site.clear("on_d_in_a_pool", queued, "read", "read_all") == "success"
    assert site.results("on_d_in_a_pool", queued) == read

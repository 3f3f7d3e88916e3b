"""The compatibility suite in every Airflow.

``python3 dev.py airflows`` writes docs/AIRFLOWS.md.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

from database import postgres
from installations import AT_ONCE, ROOT, VERSIONS, Installation, build

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "inside.py"
DOCUMENT = ROOT / "docs" / "AIRFLOWS.md"
BY_THE_SCHEDULER = {  # alone
    "branches",
    "short_circuits",
    "cleared",
    "triggered",
    "values_of_events",
    "pins",
    "aliases",
    "partitions",
}
IN_TESTS = ("2.11.2", "3.4.0b2")  # which are the furthest from the one that every other test runs in
# What came with a later release.
MISSING = {"async_tasks": "3.3", "data_tab": "3.1", "loops": "3.4", "partitions": "3.3", "state": "3.3"}
WAYS = {
    "flights": "The demo: every XCom of `flights` exact",
    "frames": "The demo: `frames`",
    "mapped_frames": "The demo: `mapped_frames`",
    "mixed_dict": "The demo: `mixed_dict`",
    "custom_codec": "The demo: `custom_codec`",
    "taskflow_returns": "TaskFlow returns: plain, inline, offloaded",
    "several_keys": "`xcom_push` and `xcom_pull` with several keys, each written twice",
    "multiple_outputs": "`multiple_outputs`",
    "task_ids_lists": "`xcom_pull` of a list of `task_ids`",
    "mapped_over_frames": "Tasks mapped over a list of frames",
    "mapped_over_dicts": "Tasks mapped over a dict of frames, and `expand_kwargs`",
    "map_indexes": "`xcom_pull` with `map_indexes`",
    "maps": "`.map`",
    "zips": "`.zip`",
    "concats": "`.concat`",
    "lazy_slices": "Indexes and slices of lazy sequences",
    "parts_of_tables": "`pull_table` and `table_of`",
    "lazy_arguments": "`lazy` in every position: NaN and large ints arrive, and only names are recorded",
    "templates": "Templates, on plain values and on frames",
    "native_templates": "Templates that give the frame itself",
    "branches": "Branches, also in mapped task groups (by the scheduler)",
    "short_circuits": "Short circuits, also in mapped task groups (by the scheduler)",
    "cleared": "The same tasks cleared, and skipped again (by the scheduler)",
    "deferrable": "Deferrable operators and the events of triggers (by the triggerer, too)",
    "retries": "Retries (by the scheduler, too)",
    "prior_dates": "`include_prior_dates`",
    "other_dags": "Pulls from another Dag",
    "assets": "The frame of the run that an asset's event names",
    "triggered": "Dags that an asset's event starts, and that read the producer's frame (by the scheduler)",
    "published": "Values of assets: `publish`, `value_of`, `latest` and `versions`",
    "contracts": "Contracts for schemas: what they refuse and let pass",
    "values_of_events": "`values_of` and `value_of` in runs that events start (by the scheduler)",
    "pins": "The same version, once the producer has run again and the reader is cleared (by the scheduler)",
    "aliases": "Values of assets through an alias (by the scheduler)",
    "partitions": "Two partitions from a task, and a run for each (by the scheduler)",
    "state": "State of tasks and assets: a frame, a tuple, NaN",
    "async_tasks": "`axcom_push` and `axcom_pull` in async tasks",
    "loops": "Loops (by the scheduler, too)",
    "pages": "REST and UI: plain values, and summaries of 4 KiB at most, without a store",
    "data_tab": "The Data tab of a real API server: page and rows, and nothing without a login",
    "rows_of_stock": "Rows of Airflow's own backend",
    "rows_of_object_storage": "Rows of the object storage backend",
    "turned_off": "Our plain rows, read by Airflow's own backend",
    "inexact_values": "`inexact = as_airflow`, also by `stored`: as Airflow itself stores it, logged and marked",
    "mistakes": "Mistakes of authors and operators: errors that say what to do",
}

INTRODUCTION = """# Every Airflow

This page lists what works in which release of Airflow. It is made by `python3 dev.py airflows`. The command
installs each release in its own environment, with the versions in
[tests/system/airflows](../tests/system/airflows), and runs the Dags of that folder and of the demo, over PostgreSQL
and local files. They run through the release's own `dag.test()`; the rows that say so run through its scheduler,
triggerer and, from 3.0 on, API server and Dag processor. Every task compares what it gets with what was pushed:
class, dtypes, labels, freq, zone, order, every number, and whether it can be changed in place.
`pytest tests/system/test_airflows.py` runs what takes no
scheduler in {some}.

"-" means that this release of Airflow does not have the feature. In 3.2.2 and 3.3.2, a branch or a short circuit in
a mapped task group skips nothing, with Airflow's own backend too; values that are pushed and pulled in such groups
are exact. One of the keys has a slash and a percent sign, except in 3.0.6, whose API does not find such rows.

The row on `lazy` reads Rendered Templates and the logs of all tasks for a secret that the arguments have.

The rows on REST and UI query each release's own web server while no store can be reached. It shows plain values as
they are, and the envelope of others, with a payload of at most 2 KiB. In 2.11.2 the backend limits the payload, in
later releases our plugin of the API server does; without the plugin, the payload of an inline value is shown whole.

"""
UPGRADES = """
## Upgrades

The Dags above fill the metadata database in one release (row). `airflow db migrate` upgrades it to a later release
(column), and tasks read the rows there, with the blobs unmoved: plain, inline and offloaded values, values of
mapped tasks, and values that Airflow's own backend and its object storage backend wrote. A text such as
`"x, -Infinity]"` in a row of Airflow's own in 2.11 makes the migration of 3.0 to 3.2 itself fail on PostgreSQL; in ours
it does not.

"""


def compute(
    versions: list[str],
    pairs: list[tuple[str, str]],
    folder: Path,
    *,
    at_once: int = AT_ONCE,
    with_schedulers: bool = True,
) -> dict[str, dict[str, str]]:
    """What became of each way in each of the versions, and under "upgrades" of each pair's rows."""
    build(versions)
    with postgres() as url, ThreadPoolExecutor(at_once) as pool:
        suite = _Suite(url, folder)
        tested = pool.map(suite.ways, versions)
        scheduled = pool.map(suite.scheduled, versions) if with_schedulers else [{} for _ in versions]
        ways = {version: _both(*both) for version, *both in zip(versions, tested, scheduled, strict=True)}
        read = pool.map(lambda pair: suite.later(*pair), pairs)
        return {**ways, "upgrades": {" ".join(pair): said for pair, said in zip(pairs, read, strict=True)}}


class _Suite:
    """Runs the parts of the suite, each over a database of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def ways(self, version: str) -> dict[str, str]:
        return self._run(version, "ways", f"ways {version}")

    def scheduled(self, version: str) -> dict[str, str]:
        return self._run(version, "scheduled", f"scheduled {version}")

    def later(self, old: str, new: str) -> str:
        """What became of the rows that :meth:`ways` left."""
        return self._run(new, "later", f"later {old} in {new}", f"ways {old}")["later"]

    def _run(self, version: str, command: str, name: str, before: str | None = None) -> dict[str, str]:
        """What the program found, or that it could not finish."""
        began = time.monotonic()
        folder = self._folder / name.replace(" ", "-")
        older = [] if before is None else [self._folder / before.replace(" ", "-")]
        try:
            arguments = (command, folder, self._database(name, before), *older)
            Installation(version).run(PROGRAM, *arguments)
            found: dict[str, str] = json.loads((folder / f"{command}.json").read_text())
        except Exception as error:  # noqa: BLE001 - the others go on
            found = {command: f"{type(error).__name__}: {error}"}
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return found

    def _database(self, name: str, template: str | None) -> str:
        """The URL of a new database, empty or a copy."""
        import psycopg

        server = self._url.replace("+psycopg", "").rpartition("/")[0]
        names = [re.sub(r"\W", "_", name), *([] if template is None else [re.sub(r"\W", "_", template)])]
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute("create database " + " template ".join(names))
        return f"{server}/{names[0]}"


def _both(ways: dict[str, str], scheduled: dict[str, str]) -> dict[str, str]:
    """What went well in both."""
    return {
        name: next((found[name] for found in (ways, scheduled) if found.get(name, "yes") != "yes"), "yes")
        for name in [*ways, *scheduled]
    }


def expected(version: str) -> set[str]:
    """The ways that this release has."""
    release = tuple(map(int, version.split(".")[:2]))
    return {way for way in WAYS if release >= tuple(map(int, MISSING.get(way, "0").split(".")))}


def document(found: dict[str, dict[str, str]]) -> str:
    """The page."""
    some = f"{', '.join(IN_TESTS[:-1])} and {IN_TESTS[-1]}"
    lines = [[text, *(found[version].get(way, "-") for version in VERSIONS)] for way, text in WAYS.items()]
    upgrades = [
        [f"from {old}", *(found["upgrades"].get(f"{old} {new}", "") for new in VERSIONS[1:])] for old in VERSIONS[:-1]
    ]
    table = _table(["", *VERSIONS], lines)
    return (
        INTRODUCTION.format(some=some)
        + table
        + UPGRADES
        + _table(["", *(f"to {new}" for new in VERSIONS[1:])], upgrades)
    )


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])


def main(*wanted: str) -> None:
    """Run the suite in these versions, or in all, and then write the page."""
    began = time.monotonic()
    versions = [version for version in VERSIONS if version in wanted or not wanted]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = compute(versions, list(combinations(versions, 2)), Path(folder))
    if not wanted:
        DOCUMENT.write_text(document(found))
    cells = {f"{version}: {way}": said for version, ways in found.items() for way, said in ways.items()}
    bad = {name: said for name, said in cells.items() if said != "yes"}
    print(*(f"{name}: {said}" for name, said in bad.items()), sep="\n")
    print(f"{len(cells) - len(bad)} of {len(cells)} yes in {time.monotonic() - began:.0f} s")
    if bad:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

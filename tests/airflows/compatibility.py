"""The compatibility suite in every Airflow; ``python tests/airflows/compatibility.py`` writes docs/AIRFLOWS.md."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from installations import AT_ONCE, ROOT, VERSIONS, Installation, build  # noqa: E402

PROGRAM = HERE / "inside.py"
DOCUMENT = ROOT / "docs" / "AIRFLOWS.md"
IN_TESTS = ("2.11.2", "3.3.2", "3.4.0b2")
MISSING = {"async_tasks": "3.3", "loops": "3.4"}  # what came with a later release
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
    "templates": "Templates, on plain values and on frames",
    "native_templates": "Templates that give the frame itself",
    "branches": "Branches in mapped task groups",
    "short_circuits": "Short circuits in mapped task groups",
    "cleared": "Skipped tasks that are cleared: skipped again",
    "deferrable": "Deferrable operators and the events of triggers",
    "retries": "Retries",
    "prior_dates": "`include_prior_dates`",
    "other_dags": "Pulls from another Dag",
    "assets": "The frame of the run that an asset's event names",
    "async_tasks": "`axcom_push` and `axcom_pull` in async tasks",
    "loops": "Loops",
    "pages": "REST and UI: plain values, and summaries without a store",
    "rows_of_stock": "Rows of Airflow's own backend",
    "rows_of_object_storage": "Rows of the object storage backend",
    "turned_off": "Our plain rows, read by Airflow's own backend",
    "mistakes": "Mistakes of authors and operators: errors that say what to do",
}

INTRODUCTION = """# Every Airflow

What works in which release of Airflow. Made by `python3 dev.py airflows`, which installs each release apart, with the
versions in [tests/airflows](../tests/airflows), and runs the Dags of
[tests/airflows/dags](../tests/airflows/dags) and of the demo there, through the release's own `dag.test()`, over SQLite
and local files. Every task compares what it gets with what was pushed: class, dtypes, labels, freq, zone, order, every
number, and whether it can be changed in place. `pytest tests/test_airflows.py` runs the same in {some}.

"-": this release of Airflow has no such thing.

"""


def compute(versions: list[str], folder: Path) -> dict[str, dict[str, str]]:
    """What became of each way in each of the versions."""
    build(versions)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(versions, pool.map(lambda version: _ways(version, folder / version), versions), strict=True))


def _ways(version: str, folder: Path) -> dict[str, str]:
    Installation(version).run(PROGRAM, "ways", folder)
    found: dict[str, str] = json.loads((folder / "ways.json").read_text())
    return found


def expected(version: str) -> set[str]:
    """The ways that this release has."""
    release = tuple(map(int, version.split(".")[:2]))
    return {way for way in WAYS if release >= tuple(map(int, MISSING.get(way, "0").split(".")))}


def document(ways: dict[str, dict[str, str]]) -> str:
    """The page."""
    some = ", ".join(IN_TESTS[:-1]) + f" and {IN_TESTS[-1]}"
    lines = [[text, *(ways[version].get(way, "-") for version in ways)] for way, text in WAYS.items()]
    return INTRODUCTION.format(some=some) + _table(["", *ways], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])


def main(*wanted: str) -> None:
    """Run the suite in these versions, or in all, and then write the page."""
    began = time.monotonic()
    versions = [version for version in VERSIONS if version in wanted or not wanted]
    with tempfile.TemporaryDirectory() as folder:
        found = compute(versions, Path(folder))
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

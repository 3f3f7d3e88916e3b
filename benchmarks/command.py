"""Measure this distribution beside pickle-5 and others, and write a report.

Every workload is pushed and pulled through the backend, and encoded and decoded in memory; the same is done with each
way that it is compared with.  Quote ratios, not milliseconds, which depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.results import Run
    from benchmarks.workloads import Workload

__all__ = ["main"]

QUICK_SIZES = ["10 KB", "1 MB"]
TRIPS = 300  # to each server and back


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if this distribution refused or changed a value, otherwise 0."""
    called = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(called, argparse.Namespace(called=called))
    if options.profile:
        return _profile(options)
    if options.data:
        from benchmarks.advice import advise

        return advise(options)
    from benchmarks.report import write, write_docs
    from benchmarks.results import Run

    if options.results:
        run = Run.load(options.results)
    else:
        with tempfile.TemporaryDirectory(prefix="airflow-xcom-bench-", dir=options.folder) as folder:
            run = _measure(options, Path(folder))
        if not run.results:
            sys.exit("no workload has such a name; --list shows them")
    write(run, options.report)
    if options.write_docs:
        write_docs(run)
    faults = [result.name for result in run.results if result.ways["ours"].refused or result.ways["ours"].differs]
    if faults:
        print("ours refused or changed:", *faults, sep="\n  ")
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="a few rounds, two sizes and what targets name: minutes")
    effort.add_argument("--full", action="store_true", help="many rounds, sizes up to 1 GB: hours")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="workloads whose name has one of these")
    parser.add_argument("--ways", nargs="+", default=[], metavar="WAY", help="compare with these only")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", help="of the workloads that have any, such as '1 MB'")
    parser.add_argument("--targets", action="store_true", help="what targets name, up to 1 GB: a quarter of an hour")
    parser.add_argument("--rounds", type=int, help="instead of those of --quick, --full or neither (3, 15, 7)")
    parser.add_argument("--list", action=_List, nargs=0, help="show the names of workloads and ways, and end")
    parser.add_argument(
        "--folder", type=Path, help="where to write what is measured (default: the system's for temporary files)"
    )
    parser.add_argument("--report", type=Path, default=Path("benchmark-report"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="measure nothing: report the results.json of an earlier run"
    )
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/BENCHMARKS.md too")
    parser.add_argument(
        "--profile", action="store_true", help="measure nothing: print where the time of the --only workloads goes"
    )
    parser.add_argument("--scale", type=float, default=1.0, help=argparse.SUPPRESS)
    own = parser.add_argument_group("on data and a store of your own")
    own.add_argument(
        "--data", type=Path, metavar="FILE", help="csv, parquet, feather, json or npy: recommend settings for it"
    )
    own.add_argument("--store", metavar="URL", help="as in [xcom_codecs] path; connections are Airflow's")
    return parser


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from benchmarks.ways import NOTES
        from benchmarks.workloads import SIZES, workloads

        print("Workloads:", *(f"  {workload.name}" for workload in workloads(list(SIZES))), "Ways:", sep="\n")
        print(*(f"  {way:18} {note}" for way, note in NOTES.items()), sep="\n")
        parser.exit()


def _measure(options: argparse.Namespace, folder: Path) -> Run:
    from benchmarks import floors, machine
    from benchmarks.fresh import first
    from benchmarks.measuring import Effort, forked, measure, prepare_imports
    from benchmarks.results import Run
    from benchmarks.tables import workload_table
    from benchmarks.targets import is_named, ways_of
    from benchmarks.ways import ways_named
    from benchmarks.workloads import GB, SIZES, workloads

    if options.quick:
        sizes, effort = QUICK_SIZES, Effort(3, seconds=2, batch=0.05)
    elif options.full:
        sizes, effort = list(SIZES), Effort(15, seconds=60, batch=0.2)
    else:
        sizes, effort = [label for label, size in SIZES.items() if size < GB], Effort(7, seconds=15, batch=0.1)
    if options.targets:
        sizes, effort = list(SIZES), Effort(5, seconds=2, batch=0.03)
    sizes = options.sizes or sizes
    effort = replace(effort, rounds=options.rounds or effort.rounds)
    try:
        ways = ways_named(options.ways)
        wanted = workloads(sizes, scale=options.scale)
    except ValueError as error:
        sys.exit(str(error))
    os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
    prepare_imports()
    run = Run(machine=machine.facts(folder))
    wanted = [work for work in wanted if _is_wanted(work.name, options.only)]
    if options.targets:
        wanted = [work for work in wanted if is_named(work, sizes)]
    began = time.monotonic()
    for place, workload in enumerate(wanted):
        tell = _progress(f"[{place + 1}/{len(wanted)}] {workload.name}")
        compared = ways_of(workload, ways) if options.targets and not options.ways else ways
        result = measure(workload, compared, effort, folder, tell)
        tell("")
        print(workload_table(result), flush=True)
        run.results.append(result)
    if not options.only:
        for name in floors.FLOORS:
            print(f"Floor, {name}", flush=True)
            place = Path(tempfile.mkdtemp(dir=folder))
            run.floors[name] = forked(floors.floor, name, place, max(int(200 * min(options.scale, 1)), 3))
        repeats = options.rounds or min(effort.rounds, 7)
        run.imports = machine.imports(repeats) | first(repeats)
        run.remote = _remote(folder, options.scale) if options.targets else {}
    if options.targets:
        run.profiles = _profiles(run, wanted, folder)
    run.machine |= machine.after()
    run.did = {
        "command": f"python -m benchmarks {_without_folders(options.called)}",
        "seconds": round(time.monotonic() - began),
        "rounds": effort.rounds,
        "sizes": sizes,
    }
    return run


def _remote(folder: Path, scale: float) -> dict[str, dict[str, list[float]]]:
    """Return the times of what goes through servers."""
    from benchmarks.measuring import forked
    from benchmarks.remote import REMOTE, remote

    trips = max(int(TRIPS * min(scale, 1)), 3)
    return {name: forked(remote, name, Path(tempfile.mkdtemp(dir=folder)), trips) for name in REMOTE}


def _profiles(run: Run, wanted: Sequence[Workload], folder: Path) -> list[str]:
    """Return where the time of each workload goes that misses a target."""
    from benchmarks.measuring import forked
    from benchmarks.profiles import LARGEST, profiled
    from benchmarks.targets import verdicts

    missed = {verdict.work.partition(":")[0] for verdict in verdicts(run) if verdict.is_met is False}
    found = [work for work in wanted if work.name in missed and work.bytes <= LARGEST]
    return [forked(profiled, work, Path(tempfile.mkdtemp(dir=folder))) for work in found]


def _profile(options: argparse.Namespace) -> int:
    from benchmarks.measuring import forked, prepare_imports
    from benchmarks.profiles import profiled
    from benchmarks.workloads import SIZES, workloads

    with tempfile.TemporaryDirectory(prefix="airflow-xcom-bench-", dir=options.folder) as folder:
        os.environ["AIRFLOW_HOME"] = str(Path(folder, "airflow"))
        prepare_imports()
        for workload in workloads(options.sizes or list(SIZES), scale=options.scale):
            if options.only and _is_wanted(workload.name, options.only):
                print(forked(profiled, workload, Path(tempfile.mkdtemp(dir=folder))), flush=True)
    return 0


def _without_folders(called: Sequence[str]) -> str:
    """Return the options without the folders of this machine that they name."""
    options = list(called)
    for name in ("--folder", "--report"):
        if name in options:
            place = options.index(name)
            del options[place : place + 2]
    return shlex.join(options)


def _is_wanted(name: str, texts: list[str]) -> bool:
    return not texts or any(text in name for text in texts)


def _progress(title: str) -> Callable[[str], None]:
    """Return a function that shows the progress on one line of a terminal, over what it wrote before."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: print(f"\r\x1b[K{f'{title}: {text}' if text else ''}", end="", file=sys.stderr, flush=True)

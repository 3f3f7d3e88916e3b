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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        if not run.results and not run.failed:
            sys.exit("no workload has such a name; --list shows them")
    write(run, options.report)
    if options.write_docs:
        write_docs(run)
    faults = [result.name for result in run.results if result.ways["ours"].refused or result.ways["ours"].differs]
    if faults:
        print("ours refused or changed:", *faults, sep="\n  ")
    if run.failed:
        print("not measured, because it failed:", *run.failed, sep="\n  ")
    return 1 if faults or run.failed else 0


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
    parser.add_argument("--targets", action="store_true", help="what targets name, up to 1 GB: twenty minutes")
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
    from benchmarks import machine
    from benchmarks.measuring import Effort, measure, prepare_imports
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
        sizes, effort = list(SIZES), Effort(7, seconds=2, batch=0.03)
    sizes = options.sizes or sizes
    effort = replace(effort, rounds=options.rounds or effort.rounds)
    try:
        ways = ways_named(options.ways)
        wanted = workloads(sizes, scale=options.scale)
    except ValueError as error:
        sys.exit(str(error))
    os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
    prepare_imports()
    wanted = [work for work in wanted if _is_wanted(work.name, options.only)]
    if options.targets:
        wanted = [work for work in wanted if is_named(work, sizes)]
    did = {"command": f"python -m benchmarks {_without_folders(options.called)}", "rounds": effort.rounds}
    run = Run(machine=machine.facts(folder), did={**did, "sizes": sizes})
    attempt = _Attempts(run, options.report / "results.json")
    for place, workload in enumerate(wanted):
        tell = _progress(f"[{place + 1}/{len(wanted)}] {workload.name}")
        compared = ways_of(workload, ways) if options.targets and not options.ways else ways
        for result in attempt(workload.name, measure, workload, compared, effort, folder, tell):
            tell("")
            print(workload_table(result), flush=True)
            run.results.append(result)
    if not options.only:
        _measure_rest(options, run, attempt, folder, options.rounds or min(effort.rounds, 7))
    if options.targets:
        _profile_missed(run, attempt, wanted, folder)
    run.machine |= machine.after()
    return run


class _Attempts:
    """Measures one thing after another; one that fails is noted, and what was measured is in a file at once."""

    def __init__(self, run: Run, file: Path) -> None:
        self._run = run
        self._file = file
        self._began = time.monotonic()
        file.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, work: str, act: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
        """Yield what ``act`` returns; nothing if it fails."""
        try:
            found = act(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever happened, the rest of the run is not lost
            self._run.failed[work] = f"{type(error).__name__}: {error}{getattr(error, 'stderr', None) or ''}"
            print(f"{work} failed: {self._run.failed[work]}", flush=True)
        else:
            yield found
        self._run.did["seconds"] = round(time.monotonic() - self._began)
        self._run.save(self._file)


def _measure_rest(options: argparse.Namespace, run: Run, attempt: _Attempts, folder: Path, repeats: int) -> None:
    """Measure floors, imports, first pushes, and for targets what goes through servers."""
    from benchmarks import floors, machine
    from benchmarks.fresh import first
    from benchmarks.measuring import forked
    from benchmarks.remote import REMOTE, remote

    for name in floors.FLOORS:
        print(f"Floor, {name}", flush=True)
        place = Path(tempfile.mkdtemp(dir=folder))
        times = max(int(200 * min(options.scale, 1)), 3)
        for floor in attempt(f"floor, {name}", forked, floors.floor, name, place, times):
            run.floors[name] = floor
    for measure in (machine.imports, first):
        print(f"{measure.__module__}", flush=True)
        for found in attempt(measure.__module__, measure, repeats):
            run.imports |= found
    for name in REMOTE if options.targets else ():
        print(name, flush=True)
        trips = max(int(TRIPS * min(options.scale, 1)), 3)
        for times in attempt(name, forked, remote, name, Path(tempfile.mkdtemp(dir=folder)), trips):
            run.remote[name] = times


def _profile_missed(run: Run, attempt: _Attempts, wanted: Sequence[Workload], folder: Path) -> None:
    """Note where the time of each workload goes that misses a target."""
    from benchmarks import fresh, profiles, remote
    from benchmarks.measuring import forked
    from benchmarks.targets import verdicts

    missed = {verdict.work.partition(":")[0] for verdict in verdicts(run) if verdict.is_met is False}
    acts: list[tuple[str, Callable[..., str], tuple[Any, ...]]] = [
        *((work.name, profiles.profiled, (work,)) for work in wanted if work.bytes <= profiles.LARGEST),
        *((work, fresh.profiled, (work,)) for work in (*fresh.FIRST, *fresh.FORKED)),
        *((work, remote.profiled, (work,)) for work in remote.REMOTE),
    ]
    for work, act, arguments in acts:
        if work in missed:
            print(f"Profile: {work}", flush=True)
            place = Path(tempfile.mkdtemp(dir=folder))
            run.profiles += attempt(f"profile, {work}", forked, act, *arguments, place)


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

"""Measure ways side by side: one process makes the value, and forks one for each way; these take turns.

So every way starts from the same process, with the same modules and the same value in memory, and none meets what
another left behind.  The first run of a way warms it up, tells whether it gives the same value back, and what memory it
takes; then come the rounds.  In a round every way brings the value over once, or so often that a batch of some time is
full, and each round begins with another way.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import multiprocessing
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks import memory
from benchmarks.results import MEMORY, Measured, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from benchmarks.ways import Way
    from benchmarks.workloads import Workload

__all__ = ["Effort", "forked", "measure", "prepare_imports"]

FORK = multiprocessing.get_context("fork")
PR_SET_PDEATHSIG = 1
MOST = 1000  # times in a batch
PATIENCE = 1200  # seconds after which a way is taken to hang
SMALL = 10  # rows of the value that imports what a way needs


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: of each workload.
        seconds: after which a way of a workload has no further round.
        batch: the seconds that a way takes in one round, with a value that takes less.
    """

    rounds: int
    seconds: float
    batch: float


def prepare_imports() -> None:
    """Import once, before anything is forked, what every way needs, codecs and serializers of frames included."""
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    os.environ["AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES"] = "airflow.* benchmarks.*"
    import airflow.providers.common.io.xcom.backend
    import airflow.sdk.bases.xcom
    import cloudpickle  # noqa: F401
    import distributed.protocol.serialize  # noqa: F401
    import msgpack_numpy  # noqa: F401
    import pyarrow.feather
    import pyarrow.parquet  # noqa: F401
    import pyfory  # noqa: F401

    import airflow_xcom.backend
    from airflow_xcom.backend.compat import allows_class
    from airflow_xcom.codecs import decode, encode, registry
    from airflow_xcom.codecs.testing import difference
    from benchmarks.workloads import mixed_frame

    logging.getLogger("airflow_xcom").setLevel(logging.WARNING)
    registry.allow_classes(allows_class)
    payload = encode(mixed_frame(SMALL))
    decode(bytearray(payload.to_bytes()), payload.format)
    stock = airflow.sdk.bases.xcom.BaseXCom
    stock.deserialize_value(SimpleNamespace(value=stock.serialize_value(mixed_frame(SMALL))))
    airflow.sdk.ObjectStoragePath("file:///").exists()
    airflow_xcom.backend.CodecXComBackend  # noqa: B018 - imports it
    difference(0, 0)
    gc.collect()
    gc.freeze()  # as Airflow's executor does before it forks: no collection touches the pages of what is imported


def measure(
    workload: Workload, ways: tuple[type[Way], ...], effort: Effort, base: Path, tell: Callable[..., None]
) -> Any:
    """Return the :class:`Result` of one workload."""
    return forked(_measure, workload, ways, effort, base, tell)


def forked(act: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``act`` returns in a process of its own, which then ends.

    Raises:
        RuntimeError: it failed; the message has its traceback.
    """
    with _process(_answer, act, arguments) as (process, connection):
        try:
            failure, found = connection.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"the process ended with the code {process.exitcode}") from None
    if failure:
        raise RuntimeError(failure)
    return found


def _answer(connection: Connection, act: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        connection.send((None, act(*arguments)))
    except BaseException:  # noqa: BLE001 - the other side raises it
        connection.send((traceback.format_exc(), None))


@contextmanager
def _process(main: Callable[..., None], *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_outlived, args=(main, theirs, *arguments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: those of Arrow do not mind (Python 3.12)
        process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        ours.close()
        process.join(timeout=10)
        if process.is_alive():
            process.kill()
            process.join()


def _outlived(main: Callable[..., None], *arguments: Any) -> None:
    """Run ``main``, and end when the process that forked this one does, however that ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    main(*arguments)


def _measure(
    workload: Workload, ways: tuple[type[Way], ...], effort: Effort, base: Path, tell: Callable[..., None]
) -> Result:
    small = workload.part(SMALL)
    before = memory.current()
    value = workload.make()
    gc.collect()
    taken = max(memory.current() - before, 0)
    result = Result(workload.name, workload.family, workload.label, workload.bytes, memory=taken)
    helpers = []
    try:
        for place, way in enumerate(ways):
            if way.largest is not None and workload.bytes > way.largest:
                result.ways[way.name] = Measured(refused=f"left out above {way.largest / 1e6:.0f} MB")
                continue
            tell(f"{way.name} ({place + 1} of {len(ways)})")
            helper = _Helper(way, base, value, small)
            helpers.append(helper)
            helper.begin()
            result.ways[way.name] = helper.found
        for number in range(effort.rounds):
            tell(f"round {number + 1} of {effort.rounds}")
            for helper in helpers[number % len(helpers) :] + helpers[: number % len(helpers)]:
                if helper.found.refused is None and (helper.spent < effort.seconds or not helper.found.seconds):
                    helper.round(effort)
    finally:
        for helper in helpers:
            helper.end()
    result.bytes = result.ways[ways[0].name].disk or workload.bytes
    return result


class _Helper:
    """A way in a process of its own."""

    def __init__(self, way: type[Way], base: Path, value: Any, small: Any) -> None:
        self.found = Measured()
        self.spent = 0.0
        self._folder = Path(tempfile.mkdtemp(prefix="way-", dir=base))
        self._context = _process(_serve, way, self._folder, value, small)
        self._process, self._connection = self._context.__enter__()
        self._first: dict[str, Any] = {}

    def begin(self) -> None:
        """Run once to warm it up."""
        self._first = self._ask("begin")
        self.found.differs = self._first.get("differs")
        self.found.disk = self._first.get("disk", 0)
        self.found.extra = self._first.get("extra", {})

    def round(self, effort: Effort) -> None:
        """Run one round; if the warm-up took longer than all rounds should, use its times instead."""
        took = sum(self._first["seconds"].values())
        if took > effort.seconds:
            self._note({part: [seconds] for part, seconds in self._first["seconds"].items()})
            return
        found = self._ask(max(1, min(MOST, int(effort.batch / max(took, 1e-9)))))
        if "seconds" in found:
            self._note(found["seconds"])

    def _note(self, seconds: dict[str, list[float]]) -> None:
        for part, values in seconds.items():
            self.found.seconds.setdefault(part, []).append(statistics.median(values))
            self.spent += sum(values)

    def _ask(self, what: Any) -> dict[str, Any]:
        try:
            self._connection.send(what)
            found: dict[str, Any] = self._connection.recv() if self._connection.poll(PATIENCE) else _HANGS
        except (EOFError, BrokenPipeError):
            self._process.join()
            found = {"refused": f"its process ended with the code {self._process.exitcode}"}
        self.found.refused = found.get("refused")
        if found is _HANGS:
            self._process.kill()
        return found

    def end(self) -> None:
        """Stop the process and remove its files."""
        with suppress(OSError):
            self._connection.send(None)
        self._context.__exit__(None, None, None)
        shutil.rmtree(self._folder)


_HANGS = {"refused": f"nothing happened for {PATIENCE} seconds"}


def _serve(connection: Connection, made: type[Way], folder: Path, value: Any, small: Any) -> None:
    """Do what the other end says, until it says None; its hanging up is not seen, because every fork shares it."""
    _be_quiet(folder)
    logging.getLogger("airflow_xcom").setLevel(logging.INFO)  # as tasks log
    way = made(folder)
    while (asked := connection.recv()) is not None:
        try:
            found = _begin(way, value, small) if asked == "begin" else _batch(way, value, asked)
        except Exception as error:  # noqa: BLE001 - whatever a library raises where it does not take a value
            found = {"refused": f"{type(error).__name__}: {error}"[:300]}
        connection.send(found)


def _be_quiet(folder: Path) -> None:
    """Keep what libraries print out of the report."""
    sys.stdout.flush()
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")


def _begin(way: Way, value: Any, small: Any) -> dict[str, Any]:
    for each in (small, value):
        way.prepare(each)
        facts: dict[str, Any] = {}
        gc.collect()
        counted, before = memory.forget_peak(), memory.current()
        seconds = _once(way, each, facts)
        seconds |= _in_memory(way, each)
    extra = {"push": facts["push"] - before, "pull": facts["pull"] - facts["before"]} if counted else {}
    differs = way.difference(value, facts["pulled"])
    return {"seconds": seconds, "disk": facts["disk"], "extra": extra, "differs": differs}


def _batch(way: Way, value: Any, count: int) -> dict[str, Any]:
    """Measure the store first and memory then: what each leaves in the caches would slow down the other."""
    found: dict[str, list[float]] = {}
    for act in (_once, _in_memory):
        gc.collect()
        for _ in range(count):
            for part, seconds in act(way, value).items():
                found.setdefault(part, []).append(seconds)
    return {"seconds": found}


def _once(way: Way, value: Any, facts: dict[str, Any] | None = None) -> dict[str, float]:
    """Push and pull the value; return the seconds of each part, and put memory, size and value into ``facts``."""
    clock = time.perf_counter
    began = clock()
    row = way.push(value)
    pushed = clock()
    if facts is not None:
        facts["push"] = memory.peak()
    began_json = clock()
    text = json.dumps(row) if way.makes_rows else ""
    row = json.loads(text) if way.makes_rows else row
    loaded = clock()
    if facts is not None:
        memory.forget_peak()
        facts["before"] = memory.current()
    began_pull = clock()
    pulled = way.pull(row)
    done = clock()
    if facts is not None:
        facts |= {"pull": memory.peak(), "disk": len(text) + way.size(row), "pulled": pulled}
    del pulled
    way.drop(row)
    return {"push": pushed - began, "pull": done - began_pull, "json": loaded - began_json if way.makes_rows else 0.0}


def _in_memory(way: Way, value: Any) -> dict[str, float]:
    if not way.in_memory:
        return {}
    clock = time.perf_counter
    began = clock()
    encoded = way.encode(value)
    made = clock()
    received = way.received(encoded)
    del encoded
    began_decoding = clock()
    way.decode(received)
    return dict(zip(MEMORY, (made - began, clock() - began_decoding), strict=True))

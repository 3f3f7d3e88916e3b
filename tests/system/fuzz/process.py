"""One fuzzing process: ``python process.py TARGET FOLDER RUNS [options of libFuzzer]``; see __main__.py.

Every input is decoded under the eyes of a guard.  A value that comes out is used: printed, encoded, decoded again and
compared.  What goes wrong is written to FOLDER/findings, once for each place in the code, and FOLDER/tally.json counts
what became of the inputs.  Only a crash, a hang or exhausted memory ends the process early.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

# Bounds on memory must be bounds on what is used: neither thread stacks nor arenas.
os.environ |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import atheris

with atheris.instrument_imports(include=["airflow_xcom"]):
    from airflow_xcom.codecs import CodecError, EncodeError, decode, encode, registry
    from airflow_xcom.codecs.elements import decode_item, read_index
    from airflow_xcom.codecs.formats.arrow import validation as arrow_checks
    from airflow_xcom.codecs.payload import decode_json

    list(registry)  # imports every codec

import polars as pl
import pyarrow as pa
import test_classes
from guard import Guard
from payloads import all_payloads, corpus, mutated

from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.testing import difference, register_parts

ROOM = 1 << 30  # bytes of address space that one input may add
SECONDS = 5.0  # of CPU time that one input may take
LIST_WITH_INDEX = b"\x94\xacairflow_xcom\x03"  # how its blob begins
LARGEST = 1 << 14  # bytes of an input
arrow_checks._MANY = 1  # rows: so small inputs go the way of large tables, too
CRASHES = (Exception, pl.exceptions.PanicException)  # the latter is no Exception

register_parts(Table, ("table", "meta"))  # which stands untagged in a forged payload: the rest of it is not the value's

CLASSES = {f"{kind.__module__}.{kind.__qualname__}" for kind in vars(test_classes).values() if isinstance(kind, type)}


class Findings:
    """What should not have happened, once for each place in the code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.counts: Counter[str] = Counter()
        folder.mkdir(exist_ok=True)

    def add(self, kind: str, data: bytes, text: str) -> None:
        key = hashlib.sha256(f"{kind} {text.splitlines()[-1][:60] if text else ''}".encode()).hexdigest()[:12]
        self.counts[kind] += 1
        report = self._folder / f"{kind}-{key}.txt"
        if not report.exists():
            report.write_text(text, errors="backslashreplace")
            report.with_suffix(".input").write_bytes(data)


class Target:
    """Decodes inputs and keeps the tally."""

    def __init__(self, read: Callable[[bytes], list[Callable[[], Any]]], guard: Guard, folder: Path, runs: int) -> None:
        self._read = read
        self._guard = guard
        self._folder = folder
        self._runs = runs
        self._findings = Findings(folder / "findings")
        self._outcomes: Counter[str] = Counter()
        self._distinct: set[bytes] = set()
        self._inputs = self._decoded = 0
        self._slowest = 0.0

    def __call__(self, data: bytes) -> None:
        self._inputs += 1
        self._distinct.add(hashlib.blake2b(data, digest_size=8).digest())
        attempts = self._read(data)
        self._decoded += bool(attempts)
        for attempt in attempts:
            self._try(attempt, data)
        if self._inputs == self._runs:
            self._write_tally()

    def _try(self, attempt: Callable[[], Any], data: bytes) -> None:
        began = time.process_time()
        value, outcome = None, "value"
        try:
            with self._guard.watching():
                value = attempt()
        except CodecError as error:
            outcome = type(error).__name__
        except (*CRASHES, MemoryError) as error:
            outcome = f"finding {type(error).__name__}"
            self._findings.add(type(error).__name__, data, traceback.format_exc())
        took = time.process_time() - began
        self._slowest = max(self._slowest, took)
        self._outcomes[outcome] += 1
        if took > SECONDS:
            self._findings.add("slow", data, f"{took:.1f} s of CPU time: {outcome}")
        for what in self._guard.take():
            self._findings.add("forbidden", data, what)
        if outcome == "value":
            self._use(value, data)

    def _use(self, value: Any, data: bytes) -> None:
        """Nothing that was decoded may crash what it is for."""
        with suppress(MemoryError, *CRASHES):
            repr(value)
        try:
            payload = encode(value)
            first = payload.to_bytes()
        except EncodeError:
            return
        except (*CRASHES, MemoryError) as error:
            self._findings.add(f"encode-{type(error).__name__}", data, traceback.format_exc())
            return
        try:
            again = decode(first, payload.format)
        except (*CRASHES, MemoryError) as error:
            self._findings.add(f"again-{type(error).__name__}", data, traceback.format_exc())
            return
        if b"RecordBatchReader" in first:  # read to its end by now
            return
        with suppress(MemoryError, *CRASHES):
            what = difference(value, again)
            # What has no tag is a table of ours, and no value: nothing of it is promised.
            if what is not None and ".memory: " not in what and ".table.num_rows: " not in what:
                self._findings.add("changed", data, f"{type(value).__qualname__} {value!r:.300}\n{what}")

    def _write_tally(self) -> None:
        tally = {
            "inputs": self._inputs,
            "decoded": self._decoded,  # the rest are no JSON, or no envelope
            "distinct": len(self._distinct),
            "outcomes": dict(self._outcomes.most_common()),
            "findings": dict(self._findings.counts),
            "slowest": round(self._slowest, 2),
        }
        (self._folder / "tally.json").write_text(json.dumps(tally))


# -- what each target reads ----------------------------------------------------------------------------------


def read_msgpack(data: bytes) -> list[Callable[[], Any]]:
    singly = [lambda: _read_items(data)] if data.startswith(LIST_WITH_INDEX) else []
    return [lambda: decode(data, "msgpack"), *singly]


def _read_items(data: bytes) -> list[Any]:
    index = read_index(memoryview(data), len(data))
    return [
        decode_item(index, number, memoryview(bytearray(data[start:stop])))
        for number, (start, stop) in enumerate(index.ranges)
    ]


def read_arrow(data: bytes) -> list[Callable[[], Any]]:
    return [lambda: decode(data, "arrow")]


def read_json(data: bytes) -> list[Callable[[], Any]]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        return []
    return [lambda: decode_json(row)]


TARGETS = {"msgpack": read_msgpack, "arrow": read_arrow, "json": read_json}


def backend_target(folder: Path) -> Any:
    """The backend with a store in a folder; Airflow reads its configuration when it is first imported."""
    os.environ |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES": " ".join(sorted(CLASSES)),
        "AIRFLOW__XCOM_CODECS__PATH": (folder / "store").as_uri(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    }
    import rows

    logging.disable(logging.CRITICAL)  # of what a purge says
    return rows.target(folder)


def limit_memory() -> None:
    bound = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def mutator(target: str) -> Callable[[bytes, int, int], bytes]:
    def mutate(data: bytes, most: int, seed: int) -> bytes:
        mutant = mutated(target, data, Random(seed))
        return mutant if len(mutant) <= most else data

    return mutate


def warm_up(read: Callable[[bytes], list[Callable[[], Any]]], seeds: list[bytes]) -> None:
    """What libraries import late, they import now."""
    import email.generator  # noqa: F401 - which shows a message
    import importlib.readers
    import pkgutil

    import narwhals.stable.v1  # through which plotly looks at arrays
    import tzdata.zoneinfo
    from plotly import graph_objects

    for package in (narwhals.stable.v1, tzdata.zoneinfo):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in dir(graph_objects):
        getattr(graph_objects, name)
    for seed in seeds:
        for attempt in read(seed):
            with suppress(CodecError):
                value = attempt()
                repr(value)
                encode(value)


def main() -> None:
    name, place, runs, *options = sys.argv[1:]
    folder = Path(place)
    pa.set_cpu_count(1)
    warnings.simplefilter("ignore")  # to show one is to open the source
    registry.allow_classes(CLASSES.__contains__)
    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    if name == "envelope":
        read, inputs, guard = backend_target(folder)
        known = inputs
    else:
        read, inputs, guard = TARGETS[name], corpus(name), Guard()
        known = all_payloads(name)
    for title, data in inputs.items():
        (seeds / title).write_bytes(data)
    warm_up(read, list(known.values()))
    found = folder / "corpus"
    found.mkdir(exist_ok=True)
    limit_memory()
    flags = [f"-runs={runs}", f"-max_len={LARGEST}", f"-artifact_prefix={folder}/", "-rss_limit_mb=3000"]
    flags += ["-timeout=60", "-report_slow_units=100", "-print_final_stats=1", *options, str(found), str(seeds)]
    target = Target(read, guard, folder, int(runs))
    atheris.Setup([sys.argv[0], *flags], target, custom_mutator=mutator(name))
    atheris.Fuzz()


if __name__ == "__main__":
    main()

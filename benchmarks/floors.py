"""What a small value costs, in parts: there the time does not depend on the size.

Each part is what a public function takes, or a system call that the file store makes, done alone; the rest is what is
left of the whole: looking for hints, the summary for people, the reference, the envelope, the log.
"""

from __future__ import annotations

import gc
import mmap
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.ways import AT, Ours
from benchmarks.workloads import FAMILIES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FLOORS", "WHOLES", "floor", "parts"]

FLOORS = {  # where it goes -> family and count
    "plain: small dict, 13 keys": ("small dict", 1),
    "in the row: mixed frame, 20 rows": ("mixed frame", 20),
    "in a blob: array, 100 KB": ("array", 12_500),
    "in a blob: numeric frame, 100 KB": ("numeric frame", 1250),
}
WHOLES = ("push", "pull")


def floor(name: str, folder: Path, repeats: int) -> dict[str, float]:
    """Part -> seconds, the medians of interleaved runs; a whole stands before its parts."""
    family, count = FLOORS[name]
    value = FAMILIES[family].make(count)
    ours = Ours(folder)
    parts(ours, value)
    gc.collect()
    rounds = [parts(ours, value) for _ in range(repeats)]
    medians = {part: statistics.median(found[part] for found in rounds) for part in rounds[0]}
    found = {}
    for whole in WHOLES:
        own = {part: seconds for part, seconds in medians.items() if part.startswith(f"{whole}: ")}
        found |= {whole: medians[whole], **own, f"{whole}: rest": medians[whole] - sum(own.values())}
    return found


class _Watch:
    """Notes how long it is since it was last asked."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def note(self, part: str) -> None:
        """End the part of this name, and begin the next."""
        now = time.perf_counter()
        self.seconds[part] = now - self._began
        self._began = time.perf_counter()

    def skip(self) -> None:
        """Begin the next part, and count nothing before it."""
        self._began = time.perf_counter()


def parts(ours: Ours, value: Any) -> dict[str, float]:
    """Push and pull of a value, and their parts -> seconds."""
    import orjson

    from airflow_xcom.codecs import encode
    from airflow_xcom.codecs.payload import decode_json
    from airflow_xcom.codecs.plain_json import exact_json

    watch = _Watch()
    row = ours.push(value)
    watch.note("push")
    ours.pull(row)
    watch.note("pull")
    envelope = row.get("airflow_xcom", {})
    watch.skip()
    exact_json(value, limit=49152, ordered=False, reserved=frozenset())
    watch.note("push: is it plain")
    if not envelope:
        return watch.seconds
    payload = encode(value)
    chunks = list(payload.chunks)
    watch.note("push: encode")
    if "data" in envelope:
        orjson.dumps(payload.to_json())
        watch.note("push: as JSON")
        data = envelope["data"]
        watch.skip()
        decode_json(data)
        watch.note("pull: decode")
    else:
        _blob(watch, ours.folder, b"".join(chunks), payload.format)
    ours.drop(row)
    return watch.seconds


def _blob(watch: _Watch, folder: Path, data: bytes, form: str) -> None:
    import xxhash

    from airflow_xcom.codecs import decode

    temporary, name = folder / ".floor.tmp", folder / AT["dag_id"] / AT["run_id"] / AT["task_id"] / "floor"
    name.parent.mkdir(parents=True, exist_ok=True)
    watch.skip()
    xxhash.xxh3_128(data).hexdigest()
    watch.note("push: digest")
    with temporary.open("xb", buffering=0) as file:
        file.write(data)
        watch.note("push: write")
        os.fsync(file.fileno())
        watch.note("push: fsync of the file")
    temporary.rename(name)
    watch.note("push: rename")
    opened = os.open(name.parent, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
    watch.note("push: fsync of the folder")
    with name.open("rb", buffering=0) as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    watch.note("pull: open and map")
    xxhash.xxh3_128(memory).hexdigest()
    watch.note("pull: digest")
    decode(memory, form)
    watch.note("pull: decode")
    del memory
    name.unlink()
    watch.skip()

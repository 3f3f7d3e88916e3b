"""A RecordBatchReader is written a batch at a time, and read as one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Backend

from airflow_xcom.codecs import UnsupportedValueError, decode, encode

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())], metadata={"source": "test"})
ROWS = 50_000  # to a batch, some 700 KB


def _batch(number: int, rows: int = ROWS) -> pa.RecordBatch:
    counts = np.arange(number * rows, (number + 1) * rows)
    return pa.record_batch([pa.array(counts), pa.array([f"r{count % 97}" for count in counts])], schema=SCHEMA)


def _reader(batches: int, rows: int = ROWS) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(SCHEMA, (_batch(number, rows) for number in range(batches)))


@pytest.mark.parametrize(("batches", "rows"), [(0, 1), (1, 0), (3, 10), (1, ROWS), (5, ROWS)])
@pytest.mark.parametrize("threshold", [0, 49152, -1])
def test_a_reader_comes_back_as_a_reader(backend: Backend, batches: int, rows: int, threshold: int) -> None:
    backend.options(threshold=threshold)
    expected = _reader(batches, rows).read_all()
    back = backend.pull(backend.push(_reader(batches, rows)))
    assert type(back) is pa.RecordBatchReader
    assert back.schema.equals(SCHEMA, check_metadata=True)
    assert back.read_all().equals(expected, check_metadata=True)


def test_many_readers_are_each_pushed_once() -> None:
    payload = encode([_reader(2, 3) for _ in range(40)])
    back = decode(payload.to_bytes(), payload.format)
    assert [reader.read_all() for reader in back] == [_reader(2, 3).read_all()] * 40


def test_the_row_says_how_much_was_written(backend: Backend) -> None:
    row = backend.push(_reader(5))["airflow_xcom"]
    (blob,) = backend.folder.rglob("*.arrow")
    assert row["summary"]["bytes"] == row["ref"]["size"] == blob.stat().st_size > 3_000_000


def test_batches_are_not_kept(backend: Backend) -> None:
    taken: list[int] = []
    alive: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        before = pa.total_allocated_bytes()
        for number in range(40):
            taken.append(number)
            alive.append(pa.total_allocated_bytes() - before)
            yield _batch(number)

    backend.push(pa.RecordBatchReader.from_batches(SCHEMA, batches()))
    assert taken == list(range(40))
    assert max(alive[10:]) < 6 * _batch(0).nbytes


def test_a_reader_that_fails_leaves_nothing(backend: Backend) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from (_batch(number) for number in range(4))
        raise OSError("the source went away")

    with pytest.raises(UnsupportedValueError, match="the reader failed: .*the source went away.*dag=flights"):
        backend.push(pa.RecordBatchReader.from_batches(SCHEMA, batches()))
    assert not [path for path in backend.folder.rglob("*") if path.is_file()]


def test_a_reader_within_a_value_is_held_in_memory() -> None:
    payload = encode({"a": _reader(5)}, stream=True)
    assert not payload.is_stream
    assert decode(payload.to_bytes(), payload.format)["a"].read_all() == _reader(5).read_all()


def test_dictionaries_are_unified_over_all_batches() -> None:
    schema = pa.schema([("k", pa.dictionary(pa.int8(), pa.string()))])
    batches = [
        pa.record_batch([pa.array([word] * 200_000).dictionary_encode().cast(schema[0].type)], schema=schema)
        for word in "abc"
    ]
    payload = encode(pa.RecordBatchReader.from_batches(schema, batches), stream=True)
    back = decode(payload.to_bytes(), payload.format).read_all()
    assert back.column(0).to_pylist()[::200_000] == ["a", "b", "c"]


def test_a_stream_has_no_size_beforehand() -> None:
    payload = encode(_reader(5), stream=True)
    assert payload.is_stream
    with pytest.raises(TypeError, match="not known before it is written"):
        _ = payload.size
    with pytest.raises(TypeError, match="not known before it is written"):
        payload.to_json()
    assert not encode(_reader(5)).is_stream
    assert encode(_reader(5)).to_bytes() == payload.to_bytes()


PUSH = """
    import resource, sys
    import numpy as np, pyarrow as pa
    from airflow_xcom.backend import CodecXComBackend
    schema = pa.schema([(str(n), pa.float64()) for n in range(8)])
    def batches(count):
        for number in range(count):
            columns = [pa.array(np.full(125_000, number + n, dtype=float)) for n in range(8)]
            yield pa.record_batch(columns, schema=schema)
    def push(count):
        reader = pa.RecordBatchReader.from_batches(schema, batches(count))
        return CodecXComBackend.serialize_value(reader, key="k", dag_id="d", run_id="r", task_id="t")
    push(4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = push(80)
    print(row["airflow_xcom"]["ref"]["size"], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_640_megabytes_take_a_few_of_memory(tmp_path: Path) -> None:
    environment: dict[str, Any] = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__XCOM_CODECS__PATH": (tmp_path / "blobs").as_uri(),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONPATH": ":".join(path for path in sys.path if path),
    }
    command = [sys.executable, "-c", textwrap.dedent(PUSH)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=600)
    size, extra = map(int, done.stdout.split()[-2:])
    assert size > 640_000_000
    assert extra < 0.1 * size

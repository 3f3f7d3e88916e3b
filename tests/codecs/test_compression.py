"""Blobs are compressed as asked, values come back exact and writable, and forged sizes cost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import independent
import msgpack as packer
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from catalogue import CATALOGUE
from conftest import Backend
from golden_compressed import GOLDEN_COMPRESSED

from airflow_xcom.codecs import CorruptPayloadError, EncodeError, NewerFormatError, decode, encode, registry
from airflow_xcom.codecs.formats import compressed_frames as frames
from airflow_xcom.codecs.formats.arrow import downcast
from airflow_xcom.codecs.formats.arrow import file as arrow
from airflow_xcom.codecs.formats.compression import Compression
from airflow_xcom.codecs.formats.msgpack import writer as msgpack
from airflow_xcom.codecs.testing import assert_identical, difference

CHOICES = ["none", "lz4", "zstd", "zstd:9", "auto"]
RNG = np.random.default_rng(7)
NOISE = RNG.random(50_000)
ROWS = 20_000
MIB = 1 << 20


def table() -> pd.DataFrame:
    rows = np.arange(ROWS)
    return pd.DataFrame(
        {
            "whole": rows % 300,
            "missing": np.where(rows % 3, rows % 100.0, np.nan),
            "float": rows / 7,
            "text": [f"name {row % 50}" for row in rows],
            "nullable": pd.array(rows % 9, dtype="Int64"),
            "time": pd.date_range("2024-01-01", periods=ROWS, freq="s", tz="UTC"),
            "flag": rows % 2 == 0,
            "kind": pd.Categorical.from_codes(rows % 3, ["a", "b", "c"]),
        }
    )


def tree() -> dict[str, Any]:
    records = [{"id": number, "name": f"name {number % 9}"} for number in range(2000)]
    return {"frame": table(), "noise": NOISE, "zeros": np.zeros((100, 1000)), "records": records, "raw": b"ab" * 9000}


def back(value: Any, compression: str) -> Any:
    payload = encode(value, compression=compression)
    return decode(payload.to_bytes(), payload.format)


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith("test_classes."))
    yield
    registry.allow_classes(before)


# -- exact ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", CHOICES)
@pytest.mark.parametrize("make", [table, tree])
def test_values_come_back_exact(make: Callable[[], Any], compression: str) -> None:
    assert_identical(make(), back(make(), compression))


@pytest.mark.parametrize(
    "compression", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("lz4", "zstd:1")), "auto"]
)
@pytest.mark.parametrize("family", CATALOGUE)
def test_every_value_of_the_catalogue_is_exact(family: str, compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is of it: what would not be worth it is compressed and downcast all the same."""
    for module, name, size in ((frames, "_SMALL", 1), (msgpack, "_LARGE", 1), (downcast, "_SMALL", 1)):
        monkeypatch.setattr(module, name, size)
    monkeypatch.setattr(frames, "_WORTH", 1e9)
    monkeypatch.setattr(frames, "_NEAR", (1e9, *frames._NEAR[1:]))
    monkeypatch.setattr(downcast, "_REPEATED", 0)
    monkeypatch.setattr(downcast, "_DISTINCT", 1)
    compressed = 0
    for name, make in CATALOGUE[family].items():
        try:
            payload = encode(make(), compression=compression)
        except EncodeError:
            continue
        compressed += payload.to_bytes() != encode(make()).to_bytes()
        assert difference(make(), decode(payload.to_bytes(), payload.format)) is None, name
    assert compressed > len(CATALOGUE[family]) / 2 - 10


@pytest.mark.parametrize("compression", CHOICES)
def test_what_comes_back_is_writable(compression: str) -> None:
    value = back(tree(), compression)
    value["noise"][0] = value["zeros"][0, 0] = 7
    assert (value["noise"][0], value["zeros"][0, 0]) == (7, 7)
    for frame in (value["frame"], back(table(), compression)):
        frame.loc[0, ["whole", "missing", "float", "nullable"]] = 7
        frame.loc[0, "text"] = "other"
        assert list(frame.loc[0, ["whole", "missing", "float", "nullable", "text"]]) == [7, 7, 7, 7, "other"]
        assert frame["float"].to_numpy().base is not None
    array = back(np.zeros(10_000), compression)
    array += 1
    assert array.flags.aligned
    assert array.ctypes.data % 64 == 0 or compression == "none"  # it lies in the copy of what decode() was given


@pytest.mark.parametrize("compression", ["lz4", "zstd", "auto"])
def test_columns_are_not_copied_once_they_are_decompressed(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": np.arange(100_000.0) // 3, "b": np.arange(100_000) % 7})
    payload = encode(frame, compression=compression)
    data = payload.to_bytes()
    read = arrow.read_file
    addresses = []

    def spy(memory: memoryview) -> Any:
        found = read(memory)
        addresses.extend(column.chunk(0).buffers()[1].address for column in found[1].columns)
        return found

    monkeypatch.setattr(arrow, "read_file", spy)
    value = decode(data, payload.format)
    assert [value[name].to_numpy().ctypes.data for name in "ab"] == addresses


# -- how much ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [table, tree])
def test_more_effort_makes_less(make: Callable[[], Any]) -> None:
    sizes = {choice: encode(make(), compression=choice).size for choice in CHOICES}
    raw = encode(make()).raw_size
    assert sizes["none"] == raw == encode(make(), compression="zstd").raw_size
    assert sizes["zstd"] < sizes["lz4"] < 0.8 * raw
    assert sizes["zstd:9"] < sizes["lz4"]
    assert sizes["auto"] < 0.7 * raw


def test_buffers_that_do_not_shrink_stay_and_are_read_in_place() -> None:
    payload = encode({"noise": NOISE, "zeros": np.zeros(9000)}, compression="zstd")
    memory = memoryview(bytearray(payload.to_bytes()))
    value = decode(memory, payload.format)
    start = np.frombuffer(memory, np.uint8).ctypes.data
    assert 0 < value["noise"].ctypes.data - start < len(memory)
    assert not 0 <= value["zeros"].ctypes.data - start < len(memory)


@pytest.mark.parametrize("value", [NOISE, {"a": NOISE}, pd.DataFrame({"a": NOISE}), RNG.bytes(200_000), [1, 2]])
def test_auto_leaves_noise_as_it_is(value: Any) -> None:
    assert encode(value, compression="auto").to_bytes() == encode(value).to_bytes()


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_formats_in_which_nothing_shrinks_are_of_version_1(compression: str) -> None:
    assert encode([NOISE, 1], compression=compression).to_bytes() == encode([NOISE, 1]).to_bytes()


def test_auto_weighs_the_store() -> None:
    value = np.concatenate([NOISE[:10_000], np.zeros(2_500)])  # shrinks to 0.8
    near, far = (encode(value, compression=Compression("auto", is_far=is_far)).size for is_far in (False, True))
    assert near == encode(value).size
    assert far < 0.9 * near


def test_tables_in_a_tree_are_compressed_once() -> None:
    body = packer.Unpacker(max_buffer_size=0)
    body.feed(encode({"f": table()}, compression="zstd").to_bytes())
    _, version, _, ((stored, algorithm, raw),), _ = body.unpack()
    assert (version, algorithm) == (2, "zstd")
    assert stored < 0.5 * raw
    assert raw == independent.open_body(encode({"f": table()}).to_bytes()).sizes[0]


def test_streams_are_compressed_as_they_are_written() -> None:
    batches = [pa.record_batch({"n": pa.array(np.arange(100_000) % 50 + number)}) for number in range(5)]
    schema = batches[0].schema
    for choice in CHOICES:
        payload = encode(pa.RecordBatchReader.from_batches(schema, batches), stream=True, compression=choice)
        data = b"".join(payload.chunks)
        assert payload.is_stream
        assert decode(data, "arrow").read_all() == pa.Table.from_batches(batches)
        assert (len(data) > 4_000_000) is (choice == "none")


# -- through the backend -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", CHOICES)
@pytest.mark.parametrize("make", [table, tree])
def test_the_option_is_for_blobs(backend: Backend, make: Callable[[], Any], compression: str) -> None:
    backend.options(threshold=0, compression=compression)
    row = backend.push(make())
    (blob,) = backend.blobs()
    assert row["airflow_xcom"]["ref"]["size"] == blob.stat().st_size
    assert row["airflow_xcom"]["summary"]["bytes"] == encode(make()).size
    assert_identical(make(), backend.pull(row))


def test_rows_are_never_compressed(backend: Backend) -> None:
    value = (b"a" * 9000, np.zeros(1000))
    rows = []
    for compression in CHOICES:
        backend.options(compression=compression)
        rows.append(backend.push(value))
    assert all(row == rows[0] and "data" in row["airflow_xcom"] for row in rows)


def test_what_is_large_goes_to_a_blob_however_well_it_compresses(backend: Backend) -> None:
    backend.options(compression="zstd")
    assert backend.push(np.zeros(100_000))["airflow_xcom"]["ref"]["size"] < 4000


# -- read by others ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_COMPRESSED)
def test_the_format_is_documented(name: str) -> None:
    make, compression = GOLDEN_COMPRESSED[name]
    payload, plain = encode(make(), compression=compression), encode(make())
    read = independent.read_blob(payload.to_bytes(), payload.format)
    assert independent.text(read) == independent.text(independent.read_blob(plain.to_bytes(), plain.format))


@pytest.mark.parametrize("compression", CHOICES)
def test_an_arrow_body_is_a_file_that_others_open(tmp_path: Path, compression: str) -> None:
    frame = table()[["whole", "float", "missing", "text"]]
    path = tmp_path / "blob.arrow"
    path.write_bytes(encode(frame, compression=compression).to_bytes())
    found = pl.read_ipc(path)
    assert found["whole"].to_list() == list(frame["whole"])
    assert found["text"].cast(pl.String).to_list() == list(frame["text"])
    with pa.OSFile(str(path)) as file:
        relation = pa.ipc.open_file(file).read_all()  # noqa: F841 - DuckDB finds it by its name
    query = "SELECT text, sum(whole), sum(missing) FROM relation WHERE NOT isnan(missing) GROUP BY text ORDER BY text"
    expected = frame.dropna().groupby("text")[["whole", "missing"]].sum().sort_index()
    rows = duckdb.sql(query).fetchall()
    assert rows == [(name, *sums) for name, *sums in expected.itertuples()]


# -- downcast columns ----------------------------------------------------------------------------------------

EDGES = {
    "int8": ([-128, 127], "int64", "int8"),
    "int16": ([-129, 127], "int64", "int16"),
    "int16 above": ([0, 128], "uint64", "int16"),
    "int32": ([-(2**31), 2**31 - 1], "int64", "int32"),
    "too large": ([0, 2**31], "int64", "int64"),
    "too small": ([0, -(2**31) - 1], "int64", "int64"),
    "largest": ([0, 2**64 - 1], "uint64", "uint64"),
    "floats": ([-32768.0, 32767.0], "float64", "int16"),
    "NaN": ([1.0, np.nan], "float64", "int16"),
    "too large floats": ([0.0, 32768.0], "float64", "double"),
    "fractions": ([0.0, 0.5], "float64", "double"),
    "infinite": ([0.0, np.inf], "float64", "double"),
    "below zero": ([0.0, -0.0], "float64", "double"),
}


@pytest.mark.parametrize("name", EDGES)
def test_only_what_comes_back_exact_is_downcast(name: str) -> None:
    values, dtype, stored = EDGES[name]
    frame = pd.DataFrame({"a": np.array(values * 5000, dtype)})
    data = encode(frame, compression="auto").to_bytes()
    assert str(pa.ipc.open_file(data).schema.field(0).type) == stored
    assert_identical(frame, decode(data, "arrow"))


def test_another_nan_is_not_downcast() -> None:
    values = np.array([1.0, 2.0] * 5000)
    values.view("u8")[1] = 0x7FF8000000000001
    data = encode(pd.DataFrame({"a": values}), compression="auto").to_bytes()
    assert pa.ipc.open_file(data).schema.field(0).type == pa.float64()
    assert decode(data, "arrow")["a"].to_numpy().tobytes() == values.tobytes()


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.float64()])
def test_fields_keep_what_they_say(kind: Any) -> None:
    values = pa.array([1, 2, 3] * 5000).cast(kind)
    schema = pa.schema([pa.field("a", kind, nullable=False, metadata={"unit": "EUR"})], metadata={"k": "v"})
    made = pa.table([values], schema=schema)
    assert_identical(made, back(made, "auto"))


def test_nulls_and_text_are_downcast() -> None:
    made = pa.table({"n": pa.array([1, None, 3] * 5000), "s": pa.array(["some text", None, ""] * 5000)})
    data = encode(made, compression="auto").to_bytes()
    assert [str(kind) for kind in pa.ipc.open_file(data).schema.types] == [
        "int8",
        "dictionary<values=string, indices=int8, ordered=0>",
    ]
    assert_identical(made, decode(data, "arrow"))


# -- forged --------------------------------------------------------------------------------------------------


def body(entry: Any, buffer: bytes, tree_entry: Any = None, version: int = 2) -> bytes:
    packed = packer.packb(packer.ExtType(1, packer.packb(0)))
    tree_entry = len(packed) if tree_entry is None else tree_entry
    head = packer.packb(["airflow_xcom", version, [], [entry], tree_entry]) + packed
    return head + b"\xc0" * (-(len(head) + 5) % 64) + b"\xc6" + len(buffer).to_bytes(4, "big") + buffer


def frames_of(data: bytes, algorithm: str = "lz4") -> bytes:
    return pa.Codec(algorithm).compress(data, asbytes=True)


LZ4, ZSTD = frames_of(bytes(9000)), frames_of(bytes(9000), "zstd")


@pytest.mark.parametrize(("stored", "algorithm"), [(LZ4, "lz4"), (ZSTD, "zstd"), (LZ4 + LZ4, "lz4")])
def test_the_forged_bodies_are_right_but_for_what_is_forged(stored: bytes, algorithm: str) -> None:
    size = 9000 * (len(stored) // len(LZ4) if algorithm == "lz4" else 1)
    assert bytes(decode(body([len(stored), algorithm, size], stored), "msgpack")) == bytes(size)


@pytest.mark.parametrize(
    ("entry", "stored"),
    [
        ([len(LZ4), "lz4", 9001], LZ4),
        ([len(LZ4), "lz4", 8999], LZ4),
        ([len(LZ4), "lz4", 0], LZ4),
        ([len(LZ4), "lz4", -1], LZ4),
        ([len(LZ4), "lz4", 9000.0], LZ4),
        ([len(LZ4), "lz4", True], LZ4),
        ([len(LZ4), "lz4", "9000"], LZ4),
        ([len(LZ4), "lz4", 2**40], LZ4),
        ([len(LZ4), "lz4", 2**63], LZ4),
        ([len(LZ4), "lz4", 65 * MIB], LZ4),
        ([len(LZ4), "zstd", 9000], LZ4),
        ([len(LZ4), "gzip", 9000], LZ4),
        ([len(LZ4), None, 9000], LZ4),
        ([len(LZ4), ["lz4"], 9000], LZ4),
        ([len(LZ4), "lz4"], LZ4),
        ([len(LZ4), "lz4", 9000, 1], LZ4),
        ([], LZ4),
        ([len(ZSTD), "zstd", 9001], ZSTD),
        ([len(ZSTD), "zstd", 8999], ZSTD),
        ([len(LZ4) - 1, "lz4", 9000], LZ4[:-1]),
        ([len(ZSTD) - 1, "zstd", 9000], ZSTD[:-1]),
        ([len(LZ4) + 4, "lz4", 9000], LZ4 + b"more"),
        ([len(LZ4), "lz4", 9000], bytes(len(LZ4))),
        ({"size": 1}, LZ4),
    ],
)
def test_forged_sizes_are_refused(entry: Any, stored: bytes) -> None:
    before = pa.total_allocated_bytes()
    with pytest.raises(CorruptPayloadError):
        decode(body(entry, stored), "msgpack")
    assert pa.total_allocated_bytes() - before < 64 * MIB


def test_a_compressed_tree_that_is_none_is_refused() -> None:
    with pytest.raises(CorruptPayloadError):
        decode(body([len(LZ4), "lz4", 9000], LZ4, [4, "lz4", 9000]), "msgpack")


def test_version_1_has_nothing_compressed() -> None:
    with pytest.raises(CorruptPayloadError):
        decode(body([len(LZ4), "lz4", 9000], LZ4, version=1), "msgpack")


def test_many_small_bombs_are_one_large_one() -> None:
    one = frames_of(bytes(60 * MIB), "zstd")
    packed = packer.packb(None)
    entries = [[len(one), "zstd", 60 * MIB]] * 50
    data = packer.packb(["airflow_xcom", 2, [], entries, len(packed)]) + packed
    for _ in entries:
        data += b"\xc0" * (-(len(data) + 5) % 64) + b"\xc6" + len(one).to_bytes(4, "big") + one
    with pytest.raises(CorruptPayloadError, match="must not be more than 256 times"):
        decode(data, "msgpack")


def test_a_row_holds_nothing_compressed() -> None:
    import base64

    from airflow_xcom.codecs.payload import decode_json

    blob = base64.b64encode(encode([np.zeros(9000)], compression="lz4").to_bytes()).decode()
    with pytest.raises(NewerFormatError):
        decode_json({"$": ["blob", blob]})
    sink = pa.BufferOutputStream()
    made = pa.table({"a": np.zeros(90_000)})
    with pa.ipc.new_stream(sink, made.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(made)
    stream = base64.b64encode(sink.getvalue()).decode()
    with pytest.raises(CorruptPayloadError, match="compressed, as no table within a value is"):
        decode_json({"$": ["pyarrow.Table", 1, {"$": ["table", [{}, stream]]}]})


def downcast_file(columns: dict[str, Any], types: Any) -> bytes:
    note = {"version": 2, "tag": "pyarrow.Table", "tag_version": 1, "meta": {}, "types": types}
    made = pa.table(columns).replace_schema_metadata({"airflow_xcom": json.dumps(note)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, made.schema) as writer:
        writer.write_table(made)
    return sink.getvalue().to_pybytes()


def test_downcast_columns_are_read_from_the_documented_form() -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([0, None, 0], pa.int8()), ["x"])
    columns = {"a": pa.array([1, 2, None], pa.int8()), "b": pa.array([1, None, 3], pa.int16()), "c": codes}
    found = decode(downcast_file(columns, {"0": "int64", "1": "double", "2": "string"}), "arrow")
    assert found.schema.types == [pa.int64(), pa.float64(), pa.string()]
    assert found["a"].to_pylist() == [1, 2, None]
    assert str(found["b"].to_pylist()) == "[1.0, nan, 3.0]"
    assert found["c"].to_pylist() == ["x", None, "x"]


@pytest.mark.parametrize(
    ("column", "types"),
    [
        (pa.array([1]), {"0": "int8"}),
        (pa.array([1]), {"0": "list<int8>"}),
        (pa.array([1]), {"0": ["int64"]}),
        (pa.array([1]), {"1": "int64"}),
        (pa.array([1]), {"a": "int64"}),
        (pa.array([1]), {"0": "string"}),
        (pa.array(["x"]), {"0": "int64"}),
        (pa.array(["x"]), {"0": "double"}),
        (pa.array([1]), ["int64"]),
        (pa.array([300]), {"0": "uint64", "00": "string"}),
        (pa.nulls(10**9), {"0": "int64"}),
        (pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, "i1")), ["x" * 10_000]), {"0": "string"}),
        (pa.DictionaryArray.from_arrays(pa.array([-1, 5], pa.int8()), ["x"], safe=False), {"0": "string"}),
    ],
)
def test_forged_types_are_refused(column: Any, types: Any) -> None:
    data = downcast_file({"a": column}, types)
    before = pa.total_allocated_bytes()
    with pytest.raises(CorruptPayloadError):
        decode(data, "arrow")
    assert pa.total_allocated_bytes() - before < 64 * MIB


# -- what compresses too well --------------------------------------------------------------------------------

CONSTANT = 12_000_000  # rows, 96 MB: Zstandard makes some 10 KB of them


@pytest.mark.parametrize("compression", ["lz4", "zstd", "auto"])
@pytest.mark.parametrize("form", ["array", "frame", "text", "stream"])
def test_what_compresses_too_well_is_read_all_the_same(form: str, compression: str) -> None:
    if form == "stream":
        batches = [pa.record_batch({"a": np.zeros(CONSTANT // 4)})] * 4
        reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
        data = b"".join(encode(reader, stream=True, compression=compression).chunks)
        assert len(decode(data, "arrow").read_all()) == CONSTANT
    else:
        value = {
            "array": lambda: [np.zeros(CONSTANT)],
            "frame": lambda: pd.DataFrame({"a": np.zeros(CONSTANT)}),
            "text": lambda: pa.table({"a": pa.repeat("a text of thirty-two characters.", CONSTANT // 4)}),
        }[form]()
        payload = encode(value, compression=compression)
        data = payload.to_bytes()
        assert_identical(value, decode(data, payload.format))
    assert len(data) < 15_000_000
    if form != "array":
        assert pl.read_ipc(data).height in (CONSTANT, CONSTANT // 4)


# -- memory --------------------------------------------------------------------------------------------------

PULL = """
import resource, sys
import numpy as np, pandas as pd
from airflow_xcom.codecs import decode, encode
form, compression = sys.argv[1:]
rows = np.arange(16_000_000)
value = pd.DataFrame({"a": rows // 1000 / 7, "b": rows // 3000 / 7}) if form == "arrow" else {"a": rows // 1000}
payload = encode(value, compression=compression)
size, data = payload.raw_size, bytearray(payload.to_bytes())
assert payload.format == form
decode(bytearray(encode(value[:1000] if form == "arrow" else {"a": rows[:9000]}, compression="lz4").to_bytes()), form)
del value, rows, payload
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # VmHWM begins again at what there is now


def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) * 1024


before = status("VmRSS")
kept = decode(data, form)
print((status("VmHWM") - before) / size)
"""


@pytest.mark.parametrize("form", ["arrow", "msgpack"])
@pytest.mark.parametrize("compression", ["lz4", pytest.param("zstd", marks=pytest.mark.slow)])
def test_a_pull_takes_the_memory_of_the_value_and_little_more(form: str, compression: str) -> None:
    command = [sys.executable, "-c", PULL, form, compression]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.15

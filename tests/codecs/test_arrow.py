"""pyarrow's tables, arrays, scalars, readers and types: exact and in place; what Arrow's format loses is refused."""

from __future__ import annotations

import decimal
import gc
import json
import uuid
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import strategies as st

from airflow_xcom.codecs.builtin.arrow import values as codec
from airflow_xcom.codecs.errors import CorruptPayloadError, DecodeError, EncodeError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Table
from airflow_xcom.codecs.payload import decode, decode_json, encode
from airflow_xcom.codecs.testing import assert_identical, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN = float("nan")
LONG = "longer than what a view holds itself"
MADE: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a named value."""
    MADE[function.__name__] = function
    return function


def through_blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def through_row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


def through_tree(value: Any) -> Any:
    return through_blob({"a": [value]})["a"][0]


WAYS = {"blob": through_blob, "row": through_row, "tree": through_tree}


def dictionary(indices: list[int | None], values: Any, *, ordered: bool = False, kind: Any = None) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(indices, kind or pa.int32()), values, ordered=ordered)


def extension(kind: Any, storage: Any) -> Any:
    return pa.ExtensionArray.from_storage(kind, storage)


# -- arrays of every type ------------------------------------------------------------------------------------

TYPED: dict[str, tuple[list[Any], Any]] = {
    "boolean": ([True, None, False], pa.bool_()),
    "text": (["a", "", None, "é😀", "a\0b"], pa.string()),
    "large_text": (["a", None], pa.large_string()),
    "text_view": (["a", None, LONG], pa.string_view()),
    "bytes": ([b"", None, b"\0\xff"], pa.binary()),
    "large_bytes": ([b"a", None], pa.large_binary()),
    "bytes_view": ([b"a", None, LONG.encode()], pa.binary_view()),
    "fixed_bytes": ([b"ab", None], pa.binary(2)),
    "fixed_bytes_of_0": ([b"", None], pa.binary(0)),
    "date32": ([0, None, -1], pa.date32()),
    "date64": ([0, None, 86_400_000], pa.date64()),
    "interval": ([(1, -2, 3), None], pa.month_day_nano_interval()),
    "null": ([None, None], pa.null()),
    "list": ([[1], None, [], [None]], pa.list_(pa.int64())),
    "large_list": ([[1], None], pa.large_list(pa.int8())),
    "list_view": ([[1], None, [2, 3]], pa.list_view(pa.int64())),
    "large_list_view": ([[1], None], pa.large_list_view(pa.int64())),
    "fixed_list": ([[1, 2], None], pa.list_(pa.int8(), 2)),
    "fixed_list_of_0": ([[], None], pa.list_(pa.int8(), 0)),
    "list_with_a_named_field": ([[1]], pa.list_(pa.field("k", pa.int8(), nullable=False, metadata={"x": "y"}))),
    "struct": ([{"a": 1, "b": None}, None], pa.struct([("a", pa.int8()), ("b", pa.string())])),
    "struct_of_nothing": ([{}, None], pa.struct([])),
    "map": ([[("a", 1)], None, []], pa.map_(pa.string(), pa.int8())),
    "map_sorted": ([[("a", 1)]], pa.map_(pa.string(), pa.int8(), keys_sorted=True)),
    "list_of_dictionaries": ([["a"], ["b", None]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "deep": (
        [[{"a": [("k", [np.float16(1.5)])]}]],
        pa.list_(pa.struct([("a", pa.map_(pa.string(), pa.list_(pa.float16())))])),
    ),
}
for name in "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split():  # noqa: SIM905
    TYPED[name] = ([np.float16(1), None, np.float16(0)] if name == "float16" else [1, None, 0], getattr(pa, name)())
for unit in ("s", "ms", "us", "ns"):
    TYPED[f"timestamp_{unit}"] = ([1, None, -(2**62)], pa.timestamp(unit))
    TYPED[f"zoned_{unit}"] = ([1, None], pa.timestamp(unit, "Europe/Berlin"))
    TYPED[f"duration_{unit}"] = ([1, None, -(2**62)], pa.duration(unit))
for name in ("time32_s", "time32_ms", "time64_us", "time64_ns"):
    TYPED[name] = ([1, None], getattr(pa, name[:6])(name[7:]))
TYPED["zone_of_nowhere"] = ([1], pa.timestamp("ns", "No/Where"))
for name, digits in (("decimal32", 9), ("decimal64", 18), ("decimal128", 38), ("decimal256", 76)):
    if hasattr(pa, name):
        TYPED[name] = ([decimal.Decimal("1.50"), None], getattr(pa, name)(digits, 2))
TYPED["decimal_of_negative_scale"] = ([decimal.Decimal(1500), None], pa.decimal128(5, -2))
for name, (items, kind) in TYPED.items():
    MADE[name] = lambda items=items, kind=kind: pa.array(items, kind)

ARRAYS: dict[str, Callable[[], Any]] = {
    "dictionary": lambda: dictionary([0, None, 1], pa.array(["x", "y"])),
    "dictionary_ordered": lambda: dictionary([0, None], pa.array(["x", "unused"]), ordered=True),
    "dictionary_with_null": lambda: dictionary([0, 1], pa.array(["x", None])),
    "dictionary_with_twins": lambda: dictionary([0, 1], pa.array(["x", "x"])),
    "dictionary_of_uint64": lambda: dictionary([0], pa.array(["x"]), kind=pa.uint64()),
    "dictionary_of_views": lambda: dictionary([0], pa.array([LONG], pa.string_view())),
    "dictionary_of_lists": lambda: dictionary([1, 0], pa.array([["x"], ["y"]])),
    "struct_of_dictionary": lambda: pa.StructArray.from_arrays([pa.array(["a"]).dictionary_encode()], ["f"]),
    "struct_of_twins": lambda: pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
    "runs": lambda: pc.run_end_encode(pa.array([1, 1, 5, 2, 2])),
    "runs_sliced": lambda: pc.run_end_encode(pa.array([1, 1, 5, 2, 2])).slice(1, 3),
    "runs_of_text": lambda: pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int16()), pa.array(["a", None])),
    "runs_of_nothing": lambda: pa.array([], pa.run_end_encoded(pa.int32(), pa.string())),
    "union_sparse": lambda: pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])], ["i", "s"]
    ),
    "union_dense": lambda: pa.UnionArray.from_dense(
        pa.array([5, 9, 5], pa.int8()),
        pa.array([0, 0, 1], pa.int32()),
        [pa.array([1, 2]), pa.array(["a"])],
        ["i", "s"],
        [5, 9],
    ),
    "views_out_of_order": lambda: pa.ListViewArray.from_arrays(
        pa.array([2, 0, 0], pa.int32()), pa.array([1, 2, 2], pa.int32()), pa.array([1, 2, 3])
    ),
    "slice": lambda: pa.array(["a", "b", None, "d"]).slice(1, 2),
    "uuid": lambda: extension(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16))),
    "json": lambda: extension(pa.json_(), pa.array(['{"a": 1}', None])),
    "json_in_large_text": lambda: extension(pa.json_(pa.large_string()), pa.array(["{}"], pa.large_string())),
    "bool8": lambda: extension(pa.bool8(), pa.array([1, 0, None], pa.int8())),
    "opaque": lambda: extension(pa.opaque(pa.binary(), "name", "vendor"), pa.array([b"1", None])),
    "tensor": lambda: extension(
        pa.fixed_shape_tensor(pa.int8(), [2, 2], dim_names=["a", "b"]), pa.array([[1, 2, 3, 4]], pa.list_(pa.int8(), 4))
    ),
    "list_of_uuids": lambda: pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), ARRAYS["uuid"]()),
    "float_bits": lambda: pa.array(np.array([0x7FF8000000000001, 0xFFF8000000000000, 1 << 63], "u8").view("f8")),
}
MADE.update(ARRAYS)

COLUMNS = dict(MADE)

# -- tables, batches, schemas --------------------------------------------------------------------------------

METADATA = {b"pandas": b'{"index_columns": []}', b"\xff\0": b"\0\xfe", b"airflow_xcom": b"mine"}


@case
def table_of_all_kinds():
    arrays = {name: make() for name, make in COLUMNS.items() if len(make())}
    return pa.table({name: array.slice(0, 1) for name, array in arrays.items()}, metadata=METADATA)


@case
def table_with_metadata():
    fields = [pa.field("a", pa.int64(), nullable=False, metadata={b"unit": b"\xff"}), pa.field("b", pa.string())]
    return pa.table([[1, 2], ["x", None]], schema=pa.schema(fields, metadata=METADATA))


@case
def table_with_empty_metadata():
    return pa.table({"a": [1]}).replace_schema_metadata({})


@case
def table_with_twin_names():
    return pa.table([[1], [2]], names=["a", "a"])


@case
def table_with_odd_names():
    return pa.table([[1], [2], [3]], names=["", "a\0b", "é😀"])


@case
def table_in_chunks():
    return pa.table({"a": pa.chunked_array([[1], [], [2, 3]]), "b": pa.chunked_array([["x", "y"], ["z"]])})


@case
def table_without_rows():
    return pa.schema([("a", pa.int8()), ("b", pa.dictionary(pa.int8(), pa.string()))], {"a": "b"}).empty_table()


@case
def table_without_chunks():
    return pa.table({"a": pa.chunked_array([], pa.int8())})


@case
def table_of_nothing():
    return pa.table({})


@case
def table_without_columns():
    table = pa.table({"a": [1, 2, 3]}, metadata={"a": "b"})
    return table.select([])


@case
def table_with_differing_dictionaries():
    parts = [pa.array(["b", None]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    nested = [pa.StructArray.from_arrays([part], ["f"]) for part in parts]
    return pa.table({"a": pa.chunked_array(parts), "b": pa.chunked_array(nested)})


@case
def chunks_with_equal_dictionaries():
    return pa.chunked_array([dictionary([1, 0], pa.array(["x", "x"]), ordered=True)] * 2)


@case
def chunks():
    return pa.chunked_array([["a"], [], [None, "b"]])


@case
def chunks_of_none():
    return pa.chunked_array([], pa.timestamp("ns", "UTC"))


@case
def batch():
    return pa.record_batch(
        {"a": [1, None], "b": ["x", "y"], "c": dictionary([0, 0], pa.array(["q"]))}, metadata={"k": "v"}
    )


@case
def batch_sliced():
    return pa.record_batch({"a": range(9), "b": list("abcdefghi")}).slice(2, 3)


@case
def batch_without_rows():
    return pa.RecordBatch.from_arrays([COLUMNS[name]().slice(0, 0) for name in COLUMNS], names=list(COLUMNS))


@case
def batch_without_columns():
    return pa.record_batch({"a": [1, 2]}, metadata={"a": "b"}).select([])


@case
def schema():
    return pa.schema([pa.field(name, make().type, metadata={"a": name}) for name, make in COLUMNS.items()], METADATA)


@case
def schema_of_nothing():
    return pa.schema([])


@case
def schema_with_a_key_twice():
    return pa.schema([("a", pa.int8())], metadata=pa.KeyValueMetadata([("a", "1"), ("a", "2")]))


@case
def field():
    return pa.field("a\0b", pa.list_(pa.uuid()), nullable=False, metadata=METADATA)


@case
def unregistered_metadata_of_geoarrow():
    """As a file of a library that is not loaded has it: no extension type on either side."""
    return pa.table(
        [[b"1"]], schema=pa.schema([pa.field("a", pa.binary(), metadata={"ARROW:extension:name": "geo.x"})])
    )


def test_there_are_enough_cases() -> None:
    assert len(MADE) >= 60


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_identical(name: str, way: str) -> None:
    value = MADE[name]()
    back = WAYS[way](value)
    assert_identical(value, back)
    if isinstance(value, pa.Table | pa.RecordBatch):
        assert back.schema.metadata == value.schema.metadata


@pytest.mark.parametrize("way", [through_blob, through_tree])
def test_more_rows_than_a_batch_may_have_come_back(way: Callable[[Any], Any]) -> None:
    """Arrow libraries count the rows of a batch in 31 bits; nulls take no memory."""
    table = pa.table({"a": pa.nulls((1 << 31) + 5)})
    back = way(table)
    assert back.equals(table)
    assert [len(batch) for batch in back.to_batches()] == [(1 << 31) - 1, 6]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_part_of_an_array_comes_back_identical(name: str) -> None:
    array = COLUMNS[name]()
    parts = [array.slice(0, 0), array.type, *array, pa.chunked_array([array, array]), pa.nulls(0, array.type)]
    for part in parts:
        assert_identical(part, through_blob(part))
        assert_identical(part, through_row(part))


@pytest.mark.parametrize("name", MADE)
def test_encoding_is_deterministic_and_summaries_are_small(name: str) -> None:
    first, second = (encode(MADE[name]()) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    assert len(json.dumps(first.summary, allow_nan=False)) < 8000


_CELLS = st.one_of(st.none(), st.lists(st.dictionaries(st.text(), st.one_of(st.integers(-9, 9), st.none())).map(list)))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.lists(_CELLS), st.lists(st.floats(width=32)), st.dictionaries(st.binary(), st.binary()))
def test_any_table_comes_back(cells: list[Any], floats: list[float], metadata: dict[bytes, bytes]) -> None:
    for value in (
        pa.table({"a": pa.array(cells, pa.list_(pa.list_(pa.string())))}, metadata=metadata),
        pa.array(floats, pa.float32()),
        pa.schema([], metadata),
    ):
        for way in WAYS.values():
            assert_identical(value, way(value))


# -- readers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_comes_back_as_a_reader(way: str) -> None:
    table = pa.table({"a": pa.chunked_array([[1], [2, 3]])}, metadata={"k": "v"})
    back = WAYS[way](table.to_reader()) if way != "row" else None
    if way == "row":
        back = decode_json(json.loads(json.dumps(encode(table.to_reader()).to_json())))
    assert type(back) is pa.RecordBatchReader
    assert_identical(table, back.read_all())


def test_a_reader_is_read_once() -> None:
    reader = pa.table({"a": [1]}).to_reader()
    assert encode(reader).summary == {"shape": [], "dtypes": {"a": "int64"}, "head": []}
    with pytest.raises(UnsupportedValueError, match=r"pushed before; return reader.read_all\(\)"):
        encode(reader)
    other = pa.table({"a": [1]}).to_reader()
    back = decode_json(encode({"a": other, "b": other}).to_json())
    assert back["a"] is back["b"]
    assert back["a"].read_all() == pa.table({"a": [1]})
    read = [weakref.ref(reader), weakref.ref(other)]
    del reader, other
    gc.collect()
    assert [ref() for ref in read] == [None, None]


def ipc(kind: Any) -> Any:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [1]})
    with kind(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_a_reader_of_a_file_is_refused() -> None:
    for reader in (pa.ipc.open_stream(ipc(pa.ipc.new_stream)), pa.ipc.open_file(ipc(pa.ipc.new_file))):
        with pytest.raises(UnsupportedValueError, match=r"return reader.read_all\(\)"):
            encode(reader)


def test_a_reader_that_fails_says_so() -> None:
    def batches() -> Iterator[Any]:
        yield pa.record_batch({"a": [1]})
        raise OSError("gone")

    with pytest.raises(EncodeError, match="gone"):
        encode(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches()))


# -- memory --------------------------------------------------------------------------------------------------


def lies_in(buffer: Any, memory: bytearray) -> bool:
    begin = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    return begin <= buffer.address < begin + len(memory)


@pytest.mark.parametrize("kind", [pa.Table, pa.RecordBatch, pa.Array, pa.ChunkedArray])
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_is_copied(kind: Any, nested: bool) -> None:
    table = pa.table({"a": list(range(5000)), "b": [LONG] * 5000})
    made = {
        pa.Table: table,
        pa.RecordBatch: table.to_batches()[0],
        pa.Array: table["b"].chunk(0),
        pa.ChunkedArray: table["b"],
    }
    payload = encode([made[kind]] if nested else made[kind])
    memory = bytearray(payload.to_bytes())
    back = decode(memory, payload.format)
    back = back[0] if nested else back
    arrays = [back] if isinstance(back, pa.Array) else getattr(back, "chunks", None) or list(back.columns)
    arrays = [array.chunk(0) if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    assert all(lies_in(buffer, memory) for array in arrays for buffer in array.buffers() if buffer is not None)
    assert payload.format == ("msgpack" if nested else "arrow")


def test_encoding_shares_the_memory_of_the_table() -> None:
    table = pa.table({"a": list(range(50_000))})
    address = table["a"].chunk(0).buffers()[1].address
    assert address in {getattr(chunk, "address", None) for chunk in encode(table).chunks}


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()])
def test_a_slice_of_views_takes_no_more_than_it_shows(kind: Any) -> None:
    whole = pa.array([LONG] * 10_000, kind)
    assert encode(whole.slice(3, 3)).size < 2000
    assert_identical(whole.slice(3, 3), through_blob(whole.slice(3, 3)))


def test_views_that_are_all_shown_are_not_copied() -> None:
    whole = pa.array([LONG] * 10_000, pa.string_view())
    assert whole.buffers()[2].address in {getattr(chunk, "address", None) for chunk in encode(whole).chunks}


def test_other_tools_open_the_file() -> None:
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    data = encode(pa.table({"n": [1, 2], "s": ["x", None]}, metadata={"k": "v"})).to_bytes()
    table = pa.ipc.open_file(data).read_all()
    assert duckdb.connect().from_arrow(table).fetchall() == [(1, "x"), (2, None)]
    assert polars.read_ipc(data).rows() == [(1, "x"), (2, None)]


def test_a_plain_table_needs_no_meta() -> None:
    note = pa.ipc.open_file(encode(pa.table({"a": [1]})).to_bytes()).schema.metadata[b"airflow_xcom"]
    assert json.loads(note)["meta"] == {}


# -- extension types -----------------------------------------------------------------------------------------


class Meters(pa.ExtensionType):
    def __init__(self, unit: str = "m") -> None:
        self.unit = unit
        super().__init__(pa.int8(), "acme.meters")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.unit.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage: Any, serialized: bytes) -> Meters:
        return cls(serialized.decode())


@pytest.fixture
def registered() -> Iterator[None]:
    pa.register_extension_type(Meters())
    yield
    with suppress(pa.ArrowKeyError):
        pa.unregister_extension_type("acme.meters")


def lengths() -> list[Any]:
    array = extension(Meters("km"), pa.array([1, None], pa.int8()))
    nested = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), array)
    return [array, nested, pa.table({"a": array}), array[0], pa.schema([("a", array.type)]), array.type, {"a": array}]


@pytest.mark.usefixtures("registered")
def test_a_registered_extension_type_is_kept() -> None:
    for value in lengths():
        for way in WAYS.values():
            assert_identical(value, way(value))
    assert through_row(Meters("km")).unit == "km"


@pytest.mark.usefixtures("registered")
def test_an_extension_type_that_is_not_registered_at_pull_is_named() -> None:
    rows = [encode(value).to_json() for value in lengths()]
    blobs = [(payload.to_bytes(), payload.format) for payload in map(encode, lengths())]
    pa.unregister_extension_type("acme.meters")
    for row in rows:
        with pytest.raises(DecodeError, match="acme.meters.*register_extension_type"):
            decode_json(row)
    for blob, form in blobs:
        with pytest.raises(DecodeError, match="acme.meters.*register_extension_type"):
            decode(blob, form)


def test_an_extension_type_that_is_not_registered_at_push_is_refused() -> None:
    for value in lengths():
        with pytest.raises(UnsupportedValueError, match=r"pyarrow.register_extension_type\(\)"):
            encode(value)


def test_storage_that_would_arrive_as_an_extension_type_is_an_error(registered: None) -> None:
    pa.unregister_extension_type("acme.meters")
    metadata = {"ARROW:extension:name": "acme.meters", "ARROW:extension:metadata": "km"}
    table = pa.table([pa.array([1], pa.int8())], schema=pa.schema([pa.field("a", pa.int8(), metadata=metadata)]))
    row = encode(table).to_json()
    assert_identical(table, decode_json(row))
    pa.register_extension_type(Meters())
    with pytest.raises(DecodeError, match="acme.meters"):
        decode_json(row)


# -- refused -------------------------------------------------------------------------------------------------


def chunked(*parts: Any) -> Any:
    return pa.chunked_array(list(parts))


REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "dictionary_of_dictionaries": (
        lambda: dictionary([0], dictionary([0], pa.array(["x"]))),
        ["value: ", "field 'values'", "cast it to the type of its dictionary's values"],
    ),
    "dictionary_of_extensions": (
        lambda: dictionary([0], ARRAYS["uuid"]()),
        ["cast it to the type of its dictionary's"],
    ),
    "map_with_other_names": (
        lambda: pa.table({"m": pa.array([[]], pa.map_(pa.field("k", pa.string(), nullable=False), pa.int8()))}),
        ["field 'm'", "'key' and 'value'"],
    ),
    "extension_by_hand": (
        lambda: pa.schema([pa.field("a", pa.binary(16), metadata={"ARROW:extension:name": "arrow.uuid"})]),
        ["field 'a'", "remove the metadata"],
    ),
    "metadata_with_a_key_twice": (
        lambda: pa.table({"a": [1]}, metadata=pa.KeyValueMetadata([("a", "1"), ("a", "2")])),
        ["a key twice"],
    ),
    "bad_text": (
        lambda: pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]),
        ["not valid", "UTF8"],
    ),
    "part_of_a_day": (lambda: pa.array([1], pa.int64()).view(pa.date64()), ["whole number of days"]),
    "time_before_midnight": (lambda: pa.array([-1], pa.int32()).view(pa.time32("s")), ["acceptable range"]),
    "ordered_dictionaries_that_differ": (
        lambda: chunked(dictionary([0], pa.array(["a"]), ordered=True), dictionary([0], pa.array(["b"]), ordered=True)),
        ["ordered", "one chunk"],
    ),
    "nested_ordered_dictionaries": (
        lambda: chunked(
            *[pa.StructArray.from_arrays([dictionary([0], pa.array([item]), ordered=True)], ["f"]) for item in "ab"]
        ),
        ["ordered", "one chunk"],
    ),
    "dictionaries_of_lists_that_differ": (
        lambda: chunked(dictionary([0], pa.array([["a"]])), dictionary([0], pa.array([["b"]]))),
        ["cannot be unified", "cast()"],
    ),
    "dictionaries_that_overflow": (
        lambda: chunked(
            *[dictionary([0], pa.array([str(n) for n in range(at, at + 99)]), kind=pa.int8()) for at in (0, 99)]
        ),
        ["cannot be unified", "larger index"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, words = REFUSED[name]
    for value in (make(), {"a": make()}):
        with pytest.raises(UnsupportedValueError) as caught:
            encode(value)
        for word in words:
            assert word.replace("value: ", 'value["a"]: ' if isinstance(value, dict) else "value: ") in str(
                caught.value
            )


# -- forged --------------------------------------------------------------------------------------------------

FORGED: dict[str, tuple[str, Any, Any]] = {
    "no_table": ("pyarrow.Table", [], None),
    "metadata": ("pyarrow.Table", pa.table({"a": [1]}), {"metadata": [["a", "b"]]}),
    "rows": ("pyarrow.Table", pa.table({}), {"rows": -1}),
    "rows_of_text": ("pyarrow.RecordBatch", pa.table({}), {"rows": "1"}),
    "extensions": ("pyarrow.Table", pa.table({"a": [1]}), {"extensions": ["arrow.uuid"]}),
    "two_columns": ("pyarrow.Array", pa.table({"a": [1], "b": [2]}), {}),
    "no_columns": ("pyarrow.ChunkedArray", pa.table({}), {}),
    "two_values": ("pyarrow.Scalar", pa.table({"a": [1, 2]}), {}),
    "no_values": ("pyarrow.Scalar", pa.table({"a": []}), {}),
    "no_schema": ("pyarrow.Schema", [b"", []], None),
    "cut_schema": ("pyarrow.Schema", [pa.schema([("a", pa.int8())]).serialize().to_pybytes()[:-20], []], None),
    "two_fields": (
        "pyarrow.Field",
        [pa.schema([("a", pa.int8()), ("b", pa.int8())]).serialize().to_pybytes(), []],
        None,
    ),
    "type_of_text": ("pyarrow.DataType", "int8", None),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_nodes_raise(name: str) -> None:
    tag, node, meta = FORGED[name]
    found = {held.tag: held for held in codec.CODECS}[tag]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the bodies turn all into CorruptPayloadError
        found.decode(Table(node, meta) if meta is not None else node, 1)
    assert isinstance(caught.value, DecodeError | ValueError | TypeError | AttributeError | pa.ArrowException | OSError)
    row = json.loads(json.dumps(encode(pa.array([1])).to_json()))
    row["$"][0] = tag
    if meta is not None and isinstance(node, pa.Table):
        row["$"][2] = encode(node).to_json()["$"][2]
        row["$"][2]["$"][1][0] = meta
        with pytest.raises(DecodeError):
            decode_json(row)


def test_damaged_bytes_raise_a_typed_error() -> None:
    whole = encode(MADE["table_of_all_kinds"]()).to_bytes()
    for at in range(0, len(whole), 997):
        with pytest.raises(CorruptPayloadError):
            decode(whole[:at], "arrow")


def test_columns_of_several_batches_come_together() -> None:
    table = pa.table({"values": pa.chunked_array([[1], [2]])})
    assert codec._decode_array(Table(table, {}), 1).to_pylist() == [1, 2]


# -- what people see -----------------------------------------------------------------------------------------


def test_summaries() -> None:
    table = pa.table({"a": [1, None], "b": ["x" * 99, "y\0"], "c": [[1], [2]], "d": [b"\0", None]})
    assert encode(table).summary == {
        "shape": [2, 4],
        "dtypes": {"a": "int64", "b": "string", "c": "list<item: int64>", "d": "binary"},
        "head": [["1", "x" * 39 + "…", "…", "b'\\x00'"], ["None", "y\\0", "…", "None"]],
    }
    assert encode(pa.array([1])).summary == {"shape": [1], "dtypes": {"values": "int64"}, "head": [["1"]]}
    assert encode(pa.scalar(1)).summary == {"shape": [], "dtypes": {"value": "int64"}, "head": []}
    assert encode(table.schema).summary["shape"] == [4]
    assert encode(pa.int8()).summary == {}


def test_a_summary_of_what_python_cannot_hold() -> None:
    array = pa.array([2**62], pa.timestamp("s"))
    assert encode(array).summary["head"] == [["<TimestampScalar>"]]


def test_a_changed_value_is_found() -> None:
    array = pa.array([NAN])
    assert difference(array, pa.array(np.array([0xFFF8000000000000], "u8").view("f8")))
    assert difference(pa.table({"a": [1]}).select([]), pa.table({}))
    assert difference(pa.scalar(1), pa.scalar(2))
    assert difference(pa.field("a", pa.int8()), pa.field("a", pa.int8(), metadata={"a": "b"}))
    assert difference(pa.list_(pa.field("x", pa.int8())), pa.list_(pa.int8()))

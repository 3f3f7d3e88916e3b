"""Some columns and rows of a stored table: what they are, and which bytes are read for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import strategies
from catalogue import CATALOGUE
from hypothesis import given
from hypothesis import strategies as st

from airflow_xcom.codecs import DecodeError, SelectionError, UnknownColumnError, decode, encode, registry
from airflow_xcom.codecs.payload import decode_part
from airflow_xcom.codecs.testing import difference


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(strategies.is_allowed)
    yield
    registry.allow_classes(before)


FAMILIES = ("pandas", "geopandas", "polars", "pyarrow")
TAGS = ("pandas.DataFrame", "polars.DataFrame", "pyarrow.Table", "pyarrow.RecordBatch")
TABLES = (pd.DataFrame, pl.DataFrame, pa.Table, pa.RecordBatch, pa.RecordBatchReader)


class Blob:
    """A blob in memory, and the ranges that were read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rounds = 0
        self.ranges: list[tuple[int, int]] = []

    @classmethod
    def of(cls, value: Any) -> Blob:
        payload = encode(value)
        assert payload.format == "arrow"
        return cls(payload.to_bytes())

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        assert all(0 <= start < stop <= len(self.data) for start, stop in ranges)
        self.rounds += 1
        self.ranges += ranges
        return [memoryview(bytearray(self.data[start:stop])) for start, stop in ranges]

    def part(self, columns: Any = None, rows: Any = None, as_: str | None = None) -> Any:
        return decode_part(self.fetch, len(self.data), columns=columns, rows=rows, as_=as_)

    @property
    def read(self) -> int:
        return sum(stop - start for start, stop in self.ranges)


def whole(blob: Blob) -> Any:
    return decode(blob.data, "arrow")


# -- what a part is ------------------------------------------------------------------------------------------


def expected(full: Any, places: list[int] | None, rows: slice | None) -> Any:
    """The part of a value that its own library gives."""
    if isinstance(full, pa.RecordBatchReader):
        table = expected(full.read_all(), places, rows)
        return table.to_reader()
    if isinstance(full, pd.DataFrame):
        attrs, full.attrs = full.attrs, {}  # pandas copies them deeply: some cannot be, and times lose their fold
        try:
            found = full if places is None else full[[full.columns[place] for place in places]]
            found = found if rows is None else found.iloc[rows]
        finally:
            full.attrs = attrs
        found.attrs = attrs
        return found
    found = full
    if places is not None:
        names = full.columns if isinstance(full, pl.DataFrame) else full.schema.names
        found = full.select([names[place] for place in places])
    if rows is not None:
        height = found.height if isinstance(found, pl.DataFrame) else found.num_rows
        start, stop, _ = rows.indices(height)
        found = found.slice(start, max(0, stop - start))
    return found


def choices(full: Any) -> list[list[int] | None]:
    """Places of columns: all, every other, in reverse, one alone, and none."""
    names = labels(full)
    if not names or (not isinstance(full, pd.DataFrame) and len(set(names)) < len(names)):
        return [None]
    if any(isinstance(name, bool | np.bool_) for name in names):
        return [None]
    places = list(range(len(names)))
    return [None, places[::2], places[::-1], *([place] for place in places[1:3]), []]


def labels(full: Any) -> list[Any]:
    return list(full.columns if isinstance(full, pd.DataFrame | pl.DataFrame) else full.schema.names)


ROWS = [None, slice(1, 3), slice(-2, None), slice(2, 1), slice(0), slice(3, 10**9)]


@cache
def makers() -> dict[str, Callable[[], Any]]:
    named = {f"{family}: {name}": make for family in FAMILIES for name, make in CATALOGUE[family].items()}
    return {name: make for name, make in named.items() if isinstance(make(), TABLES)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", makers())
def test_a_part_is_what_its_own_library_would_take_of_the_whole(name: str) -> None:
    blob = Blob.of(makers()[name]())
    full = whole(blob)
    columns = choices(full)
    together = zip(reversed(columns), ROWS, strict=False)
    for places, rows in [*((places, None) for places in columns), *((None, rows) for rows in ROWS[1:]), *together]:
        check(blob, places, rows, whole(blob) if isinstance(full, pa.RecordBatchReader) else full)


def check(blob: Blob, places: list[int] | None, rows: slice | None, full: Any) -> None:
    names = labels(full)
    columns = None if places is None else [names[place] for place in places]
    try:
        wanted = expected(full, places, rows)
    except (KeyError, ValueError, SystemError) as error:
        if "Big-endian" in str(error):  # pandas cannot take columns whose labels recur
            return
        with pytest.raises(DecodeError):  # pandas does not find every label of its own
            blob.part(columns, rows)
        return
    assert difference(wanted, blob.part(columns, rows)) is None, (places, rows)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(2, 3)])
@pytest.mark.parametrize("dtype", [pl.Array(pl.Int8, 2), pl.Struct({"field": pl.Array(pl.Int8, 2)})])
def test_rows_of_arrays_that_are_null(rows: slice, dtype: Any) -> None:
    array = [None, None, [1, 2]]
    cells = [{"field": one} for one in array] if dtype == pl.Struct else array
    blob = Blob.of(pl.DataFrame({"a": pl.Series(cells, dtype=dtype)}))
    check(blob, None, rows, whole(blob))


@pytest.mark.filterwarnings("ignore")
@given(st.one_of([strategies.of_tag(tag) for tag in TAGS]), st.data())
def test_a_part_of_any_table(value: Any, data: st.DataObject) -> None:
    blob = Blob.of(value)
    places = data.draw(st.sampled_from(choices(whole(blob))))
    numbers = st.none() | st.integers(-5, 12)
    check(blob, places, data.draw(st.none() | st.builds(slice, numbers, numbers)), whole(blob))


# -- as another type -----------------------------------------------------------------------------------------


def mixed() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": [1.5, np.nan, -0.0],
            "text": ["x", None, "z"],
            "count": pd.array([1, None, 3], dtype="Int16"),
            "day": pd.date_range("2024-03-30", periods=3, tz="Europe/Paris"),
            "kind": pd.Categorical(["b", "a", "b"]),
            "object": np.array(["a", None, "c"], dtype=object),
            7: [True, False, True],
        },
        index=pd.Index(["r", "s", "t"], name="row"),
    )


def test_a_pandas_frame_as_polars() -> None:
    part = Blob.of(mixed()).part(["text", "number", 7], slice(1, None), "polars")
    wanted = pl.DataFrame({"text": [None, "z"], "number": [np.nan, -0.0], "7": [False, True]})
    assert difference(wanted, part) is None


def test_a_pandas_frame_as_arrow_keeps_its_index_where_all_is_wanted() -> None:
    blob = Blob.of(mixed())
    table = blob.part(as_="pyarrow")
    assert table.column_names == ["number", "text", "count", "day", "kind", "object", "7", "row"]
    assert table.schema.metadata is None
    assert table["count"].to_pylist() == [1, None, 3]
    assert table["count"].type == pa.int16()
    assert str(table["day"].type).endswith("tz=Europe/Paris]")
    assert table["kind"].to_pylist() == ["b", "a", "b"]
    assert table["object"].to_pylist() == ["a", None, "c"]
    assert table["row"].to_pylist() == ["r", "s", "t"]
    assert blob.part(["count"], as_="pyarrow").column_names == ["count"]


def test_the_default_index_is_no_column() -> None:
    assert Blob.of(pd.DataFrame({"a": [1]}, index=[0])).part(as_="polars").columns == ["a", "__index_level_0__"]
    assert Blob.of(pd.DataFrame({"a": [1]})).part(as_="polars").columns == ["a"]


def test_a_polars_frame_as_pandas() -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})
    part = Blob.of(frame).part(["c", "b"], slice(2), "pandas")
    assert type(part) is pd.DataFrame
    pd.testing.assert_frame_equal(part, frame.to_arrow().to_pandas()[["c", "b"]].iloc[:2])
    part.loc[0, "c"] = 7.0
    assert part.loc[0, "c"] == 7.0


@pytest.mark.parametrize(
    "make", [lambda table: table, lambda table: table.to_batches()[0], lambda table: table.to_reader()]
)
def test_what_pyarrow_wrote_as_any_other(make: Callable[[pa.Table], Any]) -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]}, metadata={"from": "a test"})
    blob = Blob.of(make(table))
    assert blob.part(["b"], as_="pyarrow") == table.select(["b"])
    assert blob.part(["b"], as_="pyarrow").schema.metadata == {b"from": b"a test"}
    assert difference(pl.DataFrame({"b": ["x", None, "z"]}), blob.part(["b"], as_="polars")) is None
    assert blob.part(["a"], slice(1, 2), as_="pandas")["a"].tolist() == [2]


STRANGERS = {
    "objects": (pd.DataFrame({"x": pd.Series([{1}, {2}], dtype=object)}), "cells"),
    "periods": (pd.DataFrame({"x": pd.period_range("2024", periods=2, freq="D")}), "period"),
    "intervals": (pd.DataFrame({"x": pd.interval_range(0, 2)}), "interval"),
    "complex": (pd.DataFrame({"x": [1j, 2j]}), "numpy"),
    "long double": (pd.DataFrame({"x": np.array([1, 2], np.longdouble)}), "numpy"),
    "categories of periods": (
        pd.DataFrame({"x": pd.Categorical(pd.period_range("2024", periods=2, freq="D"))}),
        "category",
    ),
    "Int128": (pl.DataFrame({"x": [1, 2]}, schema={"x": pl.Int128}), "Int128"),
    "lists of Int128": (pl.DataFrame({"x": [[1], [2]]}, schema={"x": pl.List(pl.Int128)}), "Int128"),
}


@pytest.mark.parametrize("frame", [frame for frame, _ in STRANGERS.values()], ids=STRANGERS)
def test_what_arrow_has_no_type_for_is_refused_rather_than_shown_as_it_is_stored(
    frame: Any, request: pytest.FixtureRequest
) -> None:
    name = STRANGERS[request.node.callspec.id][1]
    blob = Blob.of(frame)
    with pytest.raises(SelectionError, match=f"column 'x' holds what Arrow has no type for .*{name}"):
        blob.part(as_="pyarrow")
    assert difference(frame[["x"]], blob.part(["x"])) is None


def test_categories_of_polars_are_no_strangers() -> None:
    frame = pl.DataFrame({"x": ["Int128", "b"]}, schema={"x": pl.Enum(["b", "Int128"])})
    assert Blob.of(frame).part(as_="pyarrow")["x"].to_pylist() == ["Int128", "b"]


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [pl.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), pa.table({"a": [1]})], ids=type)
def test_an_unknown_column_is_refused_with_those_that_there_are(value: Any) -> None:
    with pytest.raises(UnknownColumnError, match="no column 'b'; the table has 'a'") as caught:
        Blob.of(value).part(["a", "b"])
    assert caught.value.columns == ["b"]
    assert caught.value.labels == ["a"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"columns": "a"}, "give a list of labels"),
        ({"rows": slice(0, 4, 2)}, "step of 1"),
        ({"rows": 3}, "step of 1"),
        ({"as_": "dask"}, "'pandas', 'polars', 'pyarrow'"),
        ({"columns": [True]}, "mask of rows"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Blob.of(mixed()).part(**wanted)


def test_a_column_that_is_there_twice_is_refused_where_it_has_no_other_name() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SelectionError, match="several columns have the name 'a'"):
        Blob.of(twice).part(["a"])
    with pytest.raises(SelectionError, match="twice"):
        Blob.of(pl.DataFrame({"a": [1]})).part(["a", "a"])


@pytest.mark.parametrize("value", [pd.Series([1, 2]), pl.Series([1, 2]), pd.Index([1, 2]), pa.array([1, 2])], ids=type)
def test_what_is_no_table_has_no_columns(value: Any) -> None:
    with pytest.raises(SelectionError, match="no columns or rows can be taken"):
        Blob.of(value).part(["a"])


# -- which bytes are read ------------------------------------------------------------------------------------


def wide(rows: int = 20_000) -> pd.DataFrame:
    numbers = np.random.default_rng(1).standard_normal((rows, 98))
    frame = pd.DataFrame(numbers, columns=[f"n{place}" for place in range(98)])
    return frame.assign(text=[f"row {row}" for row in range(rows)], kind=pd.Categorical(["a", "b"] * (rows // 2)))


def test_only_the_columns_that_are_wanted_are_read() -> None:
    frame = wide()
    blob = Blob.of(frame)
    assert difference(frame[["n3", "n96"]], blob.part(["n3", "n96"])) is None
    assert blob.read < 2 * 8 * len(frame) + 130_000
    assert blob.read < 0.03 * len(blob.data)


def test_only_the_rows_that_are_wanted_are_read() -> None:
    frame = wide()
    blob = Blob.of(frame)
    columns, rows = ["text", "n3", "kind"], slice(9_000, 9_100)
    assert difference(frame[columns].iloc[rows], blob.part(columns, rows)) is None
    assert blob.read < 120_000


@pytest.mark.parametrize(
    ("columns", "rounds"),
    [(["n3", "n96"], 2), (["n3", "text", "kind"], 3)],
    ids=["numbers", "text, after its offsets"],
)
def test_few_reads_wait_for_others(columns: list[str], rounds: int) -> None:
    frame = wide()
    blob = Blob.of(frame)
    assert difference(frame[columns].iloc[:50], blob.part(columns, slice(50))) is None
    assert blob.rounds == rounds
    small = Blob.of(frame[columns].iloc[:500])
    assert difference(frame[columns].iloc[:50], small.part(columns, slice(50))) is None
    assert (small.rounds, small.read) == (1, len(small.data))


@pytest.mark.parametrize("written", ["pandas", "polars", "pyarrow"])
def test_of_many_batches_only_those_with_wanted_rows_are_read(written: str) -> None:
    table = pa.Table.from_batches(pa.Table.from_pandas(wide()).select(range(98)).to_batches(max_chunksize=1000))
    value = {"pandas": table.to_pandas(), "polars": pl.from_arrow(table, rechunk=False), "pyarrow": table}[written]
    blob = Blob.of(value)
    part = blob.part(["n5"], slice(8_500, 10_500), "pyarrow")
    assert part["n5"].to_pylist() == table["n5"].to_pylist()[8_500:10_500]
    assert blob.read < 0.12 * len(blob.data)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd:3", "auto"])
@pytest.mark.parametrize("write", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas], ids=TABLES[:3])
def test_of_what_was_compressed_too(compression: str, write: Callable[[Any], Any]) -> None:
    count = np.arange(40_000)
    frame = pd.DataFrame(
        {
            "noise": np.random.default_rng(1).random(40_000),
            "small": count % 100,
            "whole": np.where(count % 9, count % 300, np.nan),
            "text": pd.Series([f"carrier {number % 16}" for number in count]),
            "nullable": pd.array(count % 5, dtype="Int64"),
        }
    )
    payload = encode(write(frame), compression=compression)
    blob = Blob(payload.to_bytes())
    if compression == "auto":
        note = json.loads(pa.ipc.open_file(blob.data).schema.metadata[b"airflow_xcom"])
        assert note["version"] == 2, "some columns were downcast"
    for places in (None, [1, 3], [3, 0], [2], [4, 2, 1]):
        for rows in (None, slice(5, 20_000), slice(-3, None)):
            check(blob, places, rows, whole(blob))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("make", [wide, mixed])
def test_of_a_compressed_file_too(codec: str, make: Callable[[], pd.DataFrame]) -> None:
    frame = make()
    plain = pa.ipc.open_file(encode(frame).to_bytes()).read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, plain.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(plain, max_chunksize=6_000)
    blob = Blob(sink.getvalue().to_pybytes())
    columns = list(frame.columns[-1:]) + list(frame.columns[:2])
    for rows in (None, slice(1, 7_000), slice(2, 2)):
        assert difference(frame[columns].iloc[rows or slice(None)], blob.part(columns, rows)) is None
    if make is wide:
        assert blob.read < 0.12 * len(blob.data)


def test_a_footer_of_any_size_is_found() -> None:
    frame = pd.DataFrame(np.arange(6_000).reshape(2, 3_000), columns=[f"a rather long name {i}" for i in range(3_000)])
    blob = Blob.of(frame)
    assert difference(frame[["a rather long name 77"]], blob.part(["a rather long name 77"])) is None


def test_what_was_read_belongs_to_the_reader() -> None:
    blob = Blob.of(wide())
    before = blob.data[:]
    part = blob.part(["n1", "n2", "text"], slice(5, 50))
    part.loc[:, "n1"] = 0.0
    part.loc[6, "text"] = "changed"
    assert part["n1"].sum() == 0
    assert part["text"].iloc[1] == "changed"
    assert blob.data == before


# -- damage --------------------------------------------------------------------------------------------------


def test_damage_is_an_error_or_harmless() -> None:
    frame = wide(100)[["n1", "text", "kind"]]
    data = Blob.of(frame).data
    random = np.random.default_rng(5)
    for place in random.integers(0, len(data), 1_000):
        changed = bytearray(data)
        changed[place] ^= 1 << random.integers(8)
        try:
            part = Blob(bytes(changed)).part(["text", "kind"], slice(10, 20))
        except DecodeError:
            continue
        assert type(part) is pd.DataFrame

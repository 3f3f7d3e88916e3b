"""The schema of a version as a contract: what it is, and which changes are refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from asset_world import EVENT, XCOM, F, World
from conftest import Backend

from airflow_xcom.backend import SchemaChangedError, SchemaError, latest, stored
from airflow_xcom.backend.assets.schema import MODES, Schema, check, compare

NOON = dt.datetime(2024, 1, 1, 12)
PANDAS = pd.DataFrame(
    {
        "id": np.arange(3),
        "delay": pd.array([1, None, 3], "Int64"),
        "when": pd.date_range("2024-01-01", periods=3, tz="UTC"),
        "naive": pd.date_range("2024-01-01", periods=3),
        "carrier": pd.Categorical(["AA", "UA", "AA"], categories=["AA", "UA", "DL"]),
        "size": pd.Categorical(["S", "M", "S"], categories=["S", "M", "L"], ordered=True),
        "price": np.array([Decimal(1), Decimal(2), None], object),
        7: [1.0, 2.0, 3.0],
    },
    index=pd.MultiIndex.from_arrays([["a", "b", "c"], [1, 2, 3]], names=["airport", "gate"]),
)
POLARS = pl.DataFrame(
    {
        "id": pl.Series([1, 2, 3], dtype=pl.Int64),
        "when": pl.Series([NOON] * 3, dtype=pl.Datetime("us", "UTC")),
        "carrier": pl.Series(["AA", "UA", "AA"], dtype=pl.Enum(["AA", "UA", "DL"])),
        "free": pl.Series(["x", "y", "z"], dtype=pl.Categorical),
    }
)
ARROW = pa.table(
    {"id": pa.array([1, 2, 3]), "when": pa.array([NOON] * 3, pa.timestamp("us", "UTC")), "name": pa.array(["a"] * 3)},
    schema=pa.schema(
        [pa.field("id", pa.int64(), nullable=False), ("when", pa.timestamp("us", "UTC")), ("name", pa.string())]
    ),
)


def changed(**columns: Any) -> pd.DataFrame:
    return PANDAS.assign(**columns)


def arrow(name: str, field: pa.Field) -> pa.Table:
    schema = ARROW.schema.set(ARROW.schema.get_field_index(name), field)
    return pa.Table.from_arrays([ARROW[each.name].cast(each.type) for each in schema], schema=schema)


def categories(*names: str, ordered: bool = False) -> pd.Categorical:
    return pd.Categorical([names[0]] * 3, categories=names, ordered=ordered)


# Each: the change, and what the message says of it.  All of these break ``compatible``.
BREAKS: list[tuple[Any, Any, str]] = [
    (PANDAS, PANDAS.drop(columns="delay"), "column 'delay' was dropped"),
    (PANDAS, PANDAS.rename(columns={"delay": "late"}), "column 'delay' was dropped (or renamed to 'late')"),
    (PANDAS, PANDAS.rename(columns={7: "7"}), "column 7 was dropped (or renamed to '7')"),
    (PANDAS, PANDAS.astype({"id": "int32"}), "column 'id': int64 became int32"),
    (PANDAS, changed(delay=[1.0, np.nan, 3.0]), "column 'delay': Int64 became float64"),
    (
        PANDAS,
        changed(when=PANDAS["when"].dt.tz_convert("Europe/Berlin")),
        "column 'when': datetime64[us, UTC] became datetime64[us, Europe/Berlin] (another zone)",
    ),
    (
        PANDAS,
        changed(naive=PANDAS["naive"].dt.tz_localize("UTC")),
        "column 'naive': datetime64[us] became datetime64[us, UTC] (another zone)",
    ),
    (
        PANDAS,
        changed(naive=PANDAS["naive"].astype("datetime64[s]")),
        "column 'naive': datetime64[us] became datetime64[s] (another unit)",
    ),
    (PANDAS, changed(carrier=categories("AA", "UA")), "column 'carrier': the categories 'DL' are gone"),
    (PANDAS, changed(carrier=["AA", "UA", "AA"]), "column 'carrier': category became str"),
    (
        PANDAS,
        changed(size=categories("M", "S", "L", ordered=True)),
        "column 'size': its categories are in another order",
    ),
    (PANDAS, changed(size=categories("S", "M", "L")), "column 'size': its categories are not ordered any more"),
    (
        PANDAS,
        changed(carrier=categories("AA", "UA", "DL", ordered=True)),
        "column 'carrier': its categories are ordered now",
    ),
    (
        PANDAS,
        changed(price=pd.Series(["1", "2", None], dtype=object, index=PANDAS.index)),
        "column 'price': objects that were decimal became string",
    ),
    (PANDAS, PANDAS.droplevel("gate"), "the index had 2 levels, and has 1"),
    (PANDAS, PANDAS.rename_axis(["airport", "door"]), "level 1 of the index was 'gate', and is 'door'"),
    (
        PANDAS,
        PANDAS.set_index(PANDAS.index.set_levels(["1", "2", "3"], level=1)),
        "level 1 of the index: int64 became str",
    ),
    (PANDAS, PANDAS["id"], "the value was a pandas.DataFrame, and is a pandas.Series"),
    (PANDAS, pl.DataFrame({"id": [1]}), "the value was a pandas.DataFrame, and is a polars.DataFrame"),
    (POLARS, POLARS.drop("id"), "column 'id' was dropped"),
    (POLARS, POLARS.cast({"id": pl.Int32}), "column 'id': Int64 became Int32"),
    (
        POLARS,
        POLARS.with_columns(pl.col("when").dt.convert_time_zone("Asia/Tokyo")),
        (
            "column 'when': Datetime(time_unit='us', time_zone='UTC') became "
            "Datetime(time_unit='us', time_zone='Asia/Tokyo') (another zone)"
        ),
    ),
    (
        POLARS,
        POLARS.cast({"carrier": pl.Enum(["AA", "UA"])}),
        "column 'carrier': the categories 'DL' are gone",
    ),
    (ARROW, ARROW.drop_columns("name"), "column 'name' was dropped"),
    (ARROW, arrow("name", pa.field("name", pa.large_string())), "column 'name': string became large_string"),
    (
        ARROW,
        arrow("when", pa.field("when", pa.timestamp("us", "Asia/Tokyo"))),
        "column 'when': timestamp[us, tz=UTC] became timestamp[us, tz=Asia/Tokyo] (another zone)",
    ),
    (ARROW, arrow("id", pa.field("id", pa.int64())), "column 'id': it allows nulls, and did not"),
    (
        gpd.GeoDataFrame({"g": gpd.GeoSeries.from_xy([1], [2], crs="EPSG:4326")}, geometry="g"),
        gpd.GeoDataFrame({"g": gpd.GeoSeries.from_xy([1], [2], crs="EPSG:3857")}, geometry="g"),
        "column 'g': the CRS EPSG:4326 became EPSG:3857",
    ),
]
# What ``compatible`` lets pass and ``same`` does not, and what that says.
COMPATIBLE: list[tuple[Any, Any, str]] = [
    (PANDAS, changed(new=1), "column 'new' was added"),
    (PANDAS, PANDAS[PANDAS.columns[::-1]], "the columns are in another order"),
    (
        PANDAS,
        changed(carrier=categories("AA", "UA", "DL", "B6")),
        "column 'carrier': the categories 'B6' are new",
    ),
    (
        PANDAS,
        changed(carrier=categories("UA", "AA", "DL")),
        "column 'carrier': its categories are in another order",
    ),
    (
        PANDAS,
        changed(size=categories("XS", "S", "M", "L", ordered=True)),
        "column 'size': the categories 'XS' are new",
    ),
    (
        POLARS,
        POLARS.cast({"carrier": pl.Enum(["AA", "UA", "DL", "B6"])}),
        "column 'carrier': the categories 'B6' are new",
    ),
    (POLARS, POLARS.with_columns(new=pl.lit(1)), "column 'new' was added"),
    (ARROW, ARROW.append_column("new", pa.array([1, 2, 3])), "column 'new' was added"),
    (
        ARROW,
        arrow("name", pa.field("name", pa.string(), nullable=False)),
        "column 'name': it allows no nulls any more",
    ),
]
# What no contract refuses, for it belongs to the data.
PASSES: list[tuple[Any, Any]] = [
    (PANDAS, PANDAS.iloc[:0]),
    (PANDAS, PANDAS.iloc[1:]),
    (PANDAS, changed(price=pd.Series([None] * 3, dtype=object, index=PANDAS.index))),
    (PANDAS["id"], PANDAS["id"] + 1),
    (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}).iloc[1:]),
    (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}, index=[4, 7])),
    (POLARS, POLARS.clear()),
    (POLARS, POLARS.with_columns(free=pl.lit("other").cast(pl.Categorical))),
    (ARROW, ARROW.slice(1)),
    ({"a": 1}, {"b": 2}),
]


def differences(old: Any, new: Any, mode: str) -> list[str]:
    return compare(Schema.of(old), Schema.of(new), mode)


@pytest.mark.parametrize(("old", "new", "said"), BREAKS, ids=[each[-1] for each in BREAKS])
@pytest.mark.parametrize("mode", MODES)
def test_a_break_is_refused(old: Any, new: Any, said: str, mode: str) -> None:
    assert differences(old, new, mode) == [said]
    with pytest.raises(SchemaChangedError) as caught:
        check(new, mode, Schema.of(old), asset="flights", against="version 16")
    assert caught.value.differences == [said]
    assert caught.value.asset == "flights"
    assert f"Against version 16:\n  {said}\n" in str(caught.value)


@pytest.mark.parametrize(("old", "new", "said"), COMPATIBLE, ids=[each[-1] for each in COMPATIBLE])
def test_compatible_lets_pass_what_same_refuses(old: Any, new: Any, said: str) -> None:
    assert differences(old, new, "compatible") == []
    assert differences(old, new, "same") == [said]


@pytest.mark.parametrize(("old", "new"), PASSES, ids=map(str, range(len(PASSES))))
@pytest.mark.parametrize("mode", MODES)
def test_what_belongs_to_the_data_passes(old: Any, new: Any, mode: str) -> None:
    assert differences(old, new, mode) == []


@pytest.mark.parametrize("value", [PANDAS, PANDAS["id"], POLARS, POLARS["id"], ARROW, ARROW.to_batches()[0]])
@pytest.mark.parametrize("mode", MODES)
def test_a_table_is_what_it_was(value: Any, mode: str) -> None:
    assert differences(value, value, mode) == []


def test_all_differences_are_said_at_once() -> None:
    new = PANDAS.drop(columns="delay").astype({"id": "int8"}).droplevel("gate")
    assert differences(PANDAS, new, "compatible") == [
        "column 'id': int64 became int8",
        "column 'delay' was dropped",
        "the index had 2 levels, and has 1",
    ]


def test_a_message_with_many_differences_is_cut_and_the_list_is_not() -> None:
    old = pd.DataFrame({f"c{number}": [1] for number in range(30)})
    with pytest.raises(SchemaChangedError, match="and 10 more") as caught:
        check(old[[]], "same", Schema.of(old), asset="flights", against="version 1")
    assert len(caught.value.differences) == 30


def test_columns_of_one_label_are_told_by_their_number() -> None:
    old = pd.DataFrame([[1, 2.0]], columns=["a", "a"])
    assert differences(old, old.iloc[:, :1], "compatible") == ["column 'a' was dropped"]
    assert differences(old, old.iloc[:, ::-1], "compatible") == [
        "column 'a': int64 became float64",
        "column 'a': float64 became int64",
    ]


def test_of_more_categories_than_are_told_one_by_one_their_number_counts() -> None:
    def frame(count: int) -> pd.DataFrame:
        return pd.DataFrame({"a": pd.Categorical([0], categories=range(count))})

    assert differences(frame(10_001), frame(10_002), "compatible") == []
    assert differences(frame(10_001), frame(10_002), "same") == ["column 'a': it had 10,001 categories, and has 10,002"]
    assert differences(frame(10_002), frame(9), "compatible") == ["column 'a': it had 10,002 categories, and has 9"]


# -- declared columns


DECLARED: list[tuple[Any, dict[Any, Any], list[str]]] = [
    (PANDAS, {"id": "int64", "when": "datetime64[us, UTC]", 7: "float64"}, []),
    (PANDAS, {"id": np.dtype("int64"), "delay": pd.Int64Dtype(), "when": pd.DatetimeTZDtype("us", "UTC")}, []),
    (PANDAS, {"when": {"zone": "UTC", "unit": "us", "nullable": False}}, []),
    (PANDAS, {"carrier": pd.CategoricalDtype(["AA", "UA", "DL"])}, []),
    (PANDAS, {"gone": "int64", "7": "float64"}, ["column 'gone' is missing", "column '7' is missing"]),
    (PANDAS, {"id": "int32"}, ["column 'id': its type is int64, and int32 was declared"]),
    (PANDAS, {"when": {"zone": "Asia/Tokyo"}}, ["column 'when': its zone is UTC, and Asia/Tokyo was declared"]),
    (PANDAS, {"naive": {"zone": "UTC"}}, ["column 'naive': its zone is None, and UTC was declared"]),
    (PANDAS, {"naive": {"unit": "ns"}}, ["column 'naive': its unit is us, and ns was declared"]),
    (
        PANDAS,
        {"carrier": {"categories": ["AA", "UA"]}},
        ["column 'carrier': its categories are ['AA', 'UA', 'DL'], and ['AA', 'UA'] were declared"],
    ),
    (PANDAS, {"size": {"ordered": False}}, ["column 'size': its ordered is True, and False was declared"]),
    (PANDAS, {"delay": {"nullable": False}}, ["column 'delay': 1 values are missing, and none may be"]),
    (PANDAS, {"delay": {"nullable": True}}, []),
    (POLARS, {"id": pl.Int64, "when": pl.Datetime("us", "UTC"), "carrier": pl.Enum(["AA", "UA", "DL"])}, []),
    (POLARS, {"id": pl.Int32}, ["column 'id': its type is Int64, and Int32 was declared"]),
    (
        POLARS.with_columns(id=pl.Series([1, None, None])),
        {"id": {"nullable": False}},
        ["column 'id': 2 values are missing, and none may be"],
    ),
    (ARROW, {"id": pa.int64(), "when": pa.timestamp("us", "UTC"), "name": {"nullable": False}}, []),
    (ARROW, {"id": pa.int32()}, ["column 'id': its type is int64, and int32 was declared"]),
    (
        pa.table({"id": pa.array([1, None])}),
        {"id": {"nullable": False}},
        ["column 'id': 1 values are missing, and none may be"],
    ),
    ({"a": 1}, {"a": "int64"}, ["the value is a builtins.dict, and no table"]),
]


@pytest.mark.parametrize(("value", "declared", "said"), DECLARED, ids=map(str, range(len(DECLARED))))
def test_a_value_is_compared_with_what_is_declared(value: Any, declared: Any, said: list[str]) -> None:
    """The last version does not matter then."""

    def checked() -> Schema:
        return check(value, declared, Schema("builtins.int"), asset="flights", against="version 16")

    if not said:
        assert checked() == Schema.of(value)
    else:
        with pytest.raises(SchemaChangedError, match="Against the declared schema:") as caught:
            checked()
        assert caught.value.differences == said


def test_nulls_of_a_reader_cannot_be_counted() -> None:
    reader = ARROW.to_reader()
    assert [each.name for each in Schema.of(reader).columns or ()] == ["id", "when", "name"]
    with pytest.raises(SchemaError, match="can be read once only"):
        check(reader, {"id": {"nullable": False}}, None, asset="flights", against="")


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ("equal", "schema='equal': give"),
        (7, "schema=7: give"),
        (["id"], 'give "same"'),
        ({"id": {"dtype": "int64"}}, "column 'id' declares dtype; what can be declared is type, zone"),
    ],
)
def test_what_is_no_contract_is_refused(contract: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=said) as caught:
        check(PANDAS, contract, None, asset="flights", against="")
    assert not isinstance(caught.value, SchemaChangedError)


@pytest.mark.parametrize("mode", MODES)
def test_the_first_version_is_accepted(mode: str) -> None:
    assert check(PANDAS, mode, None, asset="flights", against="") == Schema.of(PANDAS)


# -- publish


def test_of_objects_the_first_rows_tell_what_they_are() -> None:
    def objects(*last: Any) -> pd.DataFrame:
        return pd.DataFrame({"a": np.array([Decimal(1)] * 1000 + list(last), object)})

    assert differences(objects(), objects("text"), "same") == []
    assert differences(objects(), objects().iloc[::-1].map(str).astype(object), "same") == [
        "column 'a': objects that were decimal became string"
    ]


@pytest.fixture
def world(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize(("old", "new", "said"), BREAKS, ids=[each[-1] for each in BREAKS])
def test_a_break_is_refused_before_anything_is_written(
    world: World, backend: Backend, old: Any, new: Any, said: str
) -> None:
    """What the former version is, its blob alone tells."""
    world.make(old, "one", schema="compatible")
    before = backend.blobs(), world.select(XCOM), world.select(EVENT)
    with pytest.raises(
        SchemaChangedError, match=r"Against the version of .*, from dag=producer run=one task=make"
    ) as caught:
        world.make(new, "two", schema="compatible")
    assert caught.value.differences == [said]
    assert (backend.blobs(), world.select(XCOM), world.select(EVENT)) == before


@pytest.mark.parametrize(("old", "new", "said"), COMPATIBLE, ids=[each[-1] for each in COMPATIBLE])
def test_what_is_compatible_is_published(world: World, old: Any, new: Any, said: str) -> None:
    world.make(old, "one")
    world.make(new, "two", schema="compatible")
    with pytest.raises(SchemaChangedError) as caught:
        world.make(old, "three", schema="same")
    assert caught.value.differences
    world.start("four")
    assert type(latest(F)) is type(new)


def test_a_value_with_a_hint_is_compared_as_itself(world: World) -> None:
    world.make(PANDAS, "one")
    world.make(stored(PANDAS, compression="zstd"), "two", schema="same")
    with pytest.raises(SchemaChangedError):
        world.make(stored(PANDAS[["id"]], compression="zstd"), "three", schema="same")


def test_a_version_of_a_backfill_is_not_what_others_are_compared_with(world: World) -> None:
    world.make(PANDAS, "one")
    world.make(PANDAS[["id"]], "two", kind="backfill", day=1)
    world.make(PANDAS, "three", schema="same")
    with pytest.raises(SchemaChangedError):
        world.make(PANDAS[["id"]], "four", kind="backfill", day=2, schema="same")


def test_after_a_version_without_a_contract_others_are_compared_with_it(world: World) -> None:
    """As the error advises."""
    world.make(PANDAS, "one")
    world.make(POLARS, "two")
    world.make(POLARS, "three", schema="same")


@pytest.mark.parametrize("old", [PANDAS["id"], POLARS["id"], {"a": 1}, (1, 2)])
def test_values_that_are_no_tables_are_compared_by_their_types(world: World, old: Any) -> None:
    world.make(old, "one")
    world.make(old, "two", schema="same")
    with pytest.raises(SchemaChangedError, match="and is a builtins.int"):
        world.make(7, "three", schema="compatible")


def test_a_wrong_contract_is_refused_with_the_first_version(world: World) -> None:
    with pytest.raises(SchemaError, match="schema='equal'"):
        world.make(PANDAS, "one", schema="equal")

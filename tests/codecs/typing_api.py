"""Uses of the public API, for type checkers; test_typing.py expects an error in each line that ends in "# wrong"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs import Buffer, Codec, CodecClass, Registry, Table, codec, decode, encode, registry

if TYPE_CHECKING:
    from typing import assert_type

    import pyarrow as pa


class Grid:
    def __init__(self, cells: bytes) -> None:
        self.cells = cells


def encode_grid(grid: Grid) -> Any:
    return Buffer(grid.cells)


def decode_grid(node: Any, version: int) -> Grid:
    return Grid(node)


# -- Codec -------------------------------------------------------------------------------------------------------------

GRID = Codec(
    "acme.grid", (Grid,), encode_grid, decode_grid, version=2, summarize=lambda grid: {"size": len(grid.cells)}
)
LAZY = Codec("acme.lazy", ("acme.grids.Grid",), encode_grid, decode_grid, subclasses=True)
ANYTHING: Codec = Codec("acme.any", (), str, lambda node, version: node, matches=lambda cls: cls is Grid)

if TYPE_CHECKING:
    assert_type(GRID, Codec[Grid])
    assert_type(LAZY, Codec[Grid])
    assert_type(GRID.decode(None, 1), Grid)
    assert_type(registry.register(GRID), Codec[Grid])
    assert_type(registry.for_tag("acme.grid", 1), Codec[Any])
    assert_type(registry.for_type(Grid), Codec[Any] | None)

GRID.encode(Grid(b""))
GRID.encode("text")  # wrong
GRID.decode(None)  # wrong


def decode_without_version(node: Any) -> Grid:
    return Grid(node)


def decode_to_text(node: Any, version: int) -> str:
    return str(node)


TEXT: Codec[Grid] = Codec("acme.text", ("acme.grids.Grid",), encode_grid, decode_to_text)  # wrong
Codec("acme.arity", (Grid,), encode_grid, decode_without_version)  # wrong
Codec("acme.instance", (Grid(b""),), encode_grid, decode_grid)  # wrong
Codec("acme.version", (Grid,), encode_grid, decode_grid, version="2")  # wrong
registry.register(Grid)  # wrong

# -- the decorator -----------------------------------------------------------------------------------------------------


@codec("acme.point")
@dataclass
class Point:
    x: int


@codec("acme.route", version=2)
class Route:
    def to_node(self) -> Any:
        return None

    @classmethod
    def from_node(cls, node: Any, version: int) -> Route:
        return cls()


@codec("acme.plain", handles=Grid, registry=Registry(entry_points=False))
class GridCodec:
    def encode(self, grid: Grid) -> Any:
        return grid.cells

    def decode(self, node: Any, version: int) -> Grid:
        return Grid(node)


class SummarizedGridCodec(GridCodec):  # the decorator gives back the class
    def summarize(self, grid: Grid) -> dict[str, Any]:
        return {"size": len(grid.cells)}


@codec("acme.checked", handles=("acme.grids.Grid", Grid), subclasses=True)
class CheckedCodec(CodecClass[Grid]):
    def encode(self, value: Grid, /) -> Any:
        return value.cells

    def decode(self, node: Any, version: int, /) -> Grid:
        return Grid(node)


if TYPE_CHECKING:
    assert_type(Point(1), Point)
    assert_type(Route.from_node(None, 1), Route)
    assert_type(GridCodec().decode(None, 1), Grid)


class WithoutVersion:
    def encode(self, grid: Grid) -> Any:
        return grid.cells

    def decode(self, node: Any) -> Grid:
        return Grid(node)


class WithoutDecode:
    def encode(self, grid: Grid) -> Any:
        return grid.cells


class WrongValue(CodecClass[Grid]):
    def encode(self, value: Grid, /) -> Any:
        return value.cells

    def decode(self, node: Any, version: int, /) -> str:  # wrong
        return str(node)


codec("acme.arity", handles=Grid)(WithoutVersion)  # wrong
codec("acme.half", handles=Grid)(WithoutDecode)  # wrong
codec("acme.subclasses", subclasses=True)(Route)  # wrong
codec("acme.handles", handles=5)(GridCodec)  # wrong
codec(Grid)  # wrong

# -- values ------------------------------------------------------------------------------------------------------------


def table_of(table: pa.Table) -> Table:
    return Table(table, {"name": "x"})


payload = encode({"grid": Grid(b"")}, compression="zstd")
if TYPE_CHECKING:
    assert_type(payload.to_bytes(), bytes)
    assert_type(payload.format, str)
    assert_type(decode(payload.to_bytes(), payload.format), Any)

encode(1, compress="zstd")  # wrong
decode(payload.to_bytes())  # wrong

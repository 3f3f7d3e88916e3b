"""A grid of cells, and its codec: a whole distribution of somebody else's."""

from typing import Any

import numpy as np

from airflow_xcom.codecs import UnsupportedValueError, codec


class Grid:
    def __init__(self, name: str, cells: np.ndarray) -> None:
        self.name, self.cells = name, cells


@codec("acme_grid.grid", handles=Grid)
class GridCodec:
    def encode(self, grid: Grid) -> Any:
        if vars(grid).keys() != {"name", "cells"}:
            raise UnsupportedValueError(
                f"a grid has only a name and cells; remove {vars(grid).keys() - {'name', 'cells'}}"
            )
        return [grid.name, grid.cells]

    def decode(self, node: Any, version: int) -> Grid:
        return Grid(*node)

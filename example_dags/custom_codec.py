"""Register codecs for your own types, in the Dag file that uses them.

A payload holds the tag, never the name of the class, so the class may move to another module later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from airflow.sdk import dag, task

from airflow_xcom.codecs import codec


@codec("acme.point")
@dataclass(frozen=True)
class Point:
    """A cell of a grid: a dataclass is stored field by field."""

    row: int
    column: int


class Grid:
    """Heights on a regular grid: not a dataclass, and perhaps not yours to change."""

    def __init__(self, cells: np.ndarray) -> None:
        self.cells = cells


@codec("acme.grid", handles=Grid)
class GridCodec:
    """A codec whose ``encode`` returns a value that another codec knows; the array is written without a copy."""

    def encode(self, grid: Grid) -> np.ndarray:
        """Return the cells."""
        return grid.cells

    def decode(self, node: np.ndarray, version: int) -> Grid:  # noqa: ARG002 - there is only one version yet
        """Return the grid of these cells."""
        return Grid(node)


@task
def survey() -> Grid:
    """Return a hill."""
    rows, columns = np.mgrid[0:200, 0:300]
    return Grid(np.exp(-((rows - 70) ** 2 + (columns - 110) ** 2) / 5000.0))


@task
def summit(grid: Grid) -> Point:
    """Return the highest cell."""
    row, column = np.unravel_index(grid.cells.argmax(), grid.cells.shape)
    return Point(int(row), int(column))


@task
def flatten(grid: Grid, top: Point) -> dict[str, Grid | Point]:
    """Return both custom types inside a dict."""
    grid.cells[top.row, top.column] = 0.0
    return {"grid": grid, "top": top}


@dag(schedule=None, catchup=False, tags=["airflow-xcom-codecs"])
def custom_codec() -> None:
    """Pass values of both classes from task to task."""
    grid = survey()
    flatten(grid, summit(grid))


custom_codec()

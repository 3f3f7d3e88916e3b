"""Columns of geometries, as geopandas keeps them: well-known binary, which GeoParquet and databases read too.

The kind is ``["geometry"]``, ``["geometry", crs]`` or ``["geometry", crs, marks]``, see :mod:`…builtin.shapely`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from geopandas.array import GeometryArray
from pyproj import CRS

from airflow_xcom.codecs.builtin.geo.shapely import decode_geometries, encode_geometries
from airflow_xcom.codecs.errors import CorruptPayloadError

__all__ = ["decode_geometry", "encode_geometry"]


def encode_geometry(values: Any) -> tuple[Any, pa.Array]:
    """The kind and the Arrow array of a ``GeometryArray``.

    Raises:
        UnsupportedValueError: a geometry cannot be stored exactly.
    """
    written, marks = encode_geometries(np.asarray(values._data))  # noqa: SLF001 - a copy without the CRS is no use
    kind = ["geometry", values.crs, marks]
    while not kind[-1]:
        kind.pop()
    return kind, pa.array(written.tolist(), pa.large_binary())


def decode_geometry(column: pa.Array, crs: Any, marks: dict[str, Any]) -> Any:
    """The ``GeometryArray`` that :func:`encode_geometry` was given.

    Raises:
        CorruptPayloadError: the column is none of geometries.
    """
    if not pa.types.is_large_binary(column.type) or not (crs is None or type(crs) is CRS):
        msg = f"geometries are in a column of {column.type}, their CRS is a {type(crs).__name__}"
        raise CorruptPayloadError(msg)
    written = np.fromiter(column.to_pylist(), object, len(column))
    return GeometryArray(decode_geometries(written, marks), crs=crs)

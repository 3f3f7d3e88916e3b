"""Columns of geometries, as geopandas keeps them: well-known binary (WKB), which GeoParquet and databases read too.

The frame's meta describes such a column as ``["geometry"]``, ``["geometry", crs]`` or ``["geometry", crs,
corrections]``; :mod:`airflow_xcom.codecs.builtin.geo.shapely` explains the corrections.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from geopandas.array import GeometryArray
from pyproj import CRS

from airflow_xcom.codecs.builtin.geo.shapely import decode_geometries, encode_geometries
from airflow_xcom.codecs.errors import CorruptPayloadError


def encode_geometry(values: Any) -> tuple[Any, pa.Array]:
    """Return the description and the Arrow array of a ``GeometryArray``."""
    wkb, corrections = encode_geometries(np.asarray(values._data))  # noqa: SLF001 - without a copy
    description = ["geometry", values.crs, corrections]
    while not description[-1]:
        description.pop()
    return description, pa.array(wkb.tolist(), pa.large_binary())


def decode_geometry(column: pa.Array, crs: Any, corrections: dict[str, Any]) -> Any:
    """Return the ``GeometryArray`` that :func:`encode_geometry` got."""
    if not pa.types.is_large_binary(column.type) or not (crs is None or type(crs) is CRS):
        raise CorruptPayloadError(f"geometries are in a column of {column.type}, their CRS is a {type(crs).__name__}")
    wkb = np.fromiter(column.to_pylist(), object, len(column))
    return GeometryArray(decode_geometries(wkb, corrections), crs=crs)

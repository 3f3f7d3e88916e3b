"""geopandas: the tables of pandas, with columns of geometries.

The meta of a ``GeoDataFrame`` also has the label of its active geometry column, under ``"geometry"``.  Each column of
geometries has its own CRS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geopandas import GeoDataFrame, GeoSeries
from geopandas.array import GeometryArray, GeometryDtype

from airflow_xcom.codecs.builtin.pandas.columns import ARRAY_STATE
from airflow_xcom.codecs.builtin.pandas.frame import (
    FRAME_VERSION,
    decode_frame,
    decode_series,
    decode_values,
    encode_frame,
    encode_series,
    encode_values,
)
from airflow_xcom.codecs.builtin.pandas.summary import summarize_array, summarize_frame, summarize_series
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError
from airflow_xcom.codecs.nodes import PackCells, Table, with_cells
from airflow_xcom.codecs.object_state import refuse_other_attributes


def _encode_frame(frame: Any, pack: PackCells) -> Table:
    table = encode_frame(frame, pack)
    label = frame._geometry_column_name  # noqa: SLF001 - active_geometry_name hides a missing one
    return table if label is None else Table(table.table, {**table.meta, "geometry": label})


def _decode_frame(node: Table, version: int) -> Any:
    frame = decode_frame(node, version)
    label = node.meta.get("geometry")
    hash(label)
    frame.__class__ = GeoDataFrame  # as geopandas does; the constructor would look for a geometry column
    frame._geometry_column_name = label  # noqa: SLF001 - set_geometry() refuses what del leaves behind
    return frame


def _decode_series(node: Table, version: int) -> Any:
    series = decode_series(node, version)
    _check(series.array)
    series.__class__ = GeoSeries
    return series


def _encode_array(values: Any, pack: PackCells) -> Table:
    if getattr(values, "base", None) is not None:  # None is what geopandas sets when it unpickles or copies an array
        refuse_other_attributes(values, ARRAY_STATE)
    return encode_values(values, pack)


def _decode_array(node: Table, version: int) -> Any:
    return _check(decode_values(node, version))


def _check(values: Any) -> Any:
    if type(values) is not GeometryArray:
        raise CorruptPayloadError(f"a {type(values).__name__} is in place of geometries")
    return values


def _codec(cls: Any, encode: Callable[[Any], Any], decode: Callable[[Any, int], Any], **options: Any) -> Codec[Any]:
    """Return a codec of a class whose objects have attributes that geopandas and pandas themselves set."""
    return Codec(f"geopandas.{cls.__name__}", (cls,), encode, decode, **{"attributes": ARRAY_STATE, **options})


_OF_ARRAY = (*ARRAY_STATE, "base")
CODECS = (
    _codec(GeoDataFrame, with_cells(_encode_frame), _decode_frame, version=FRAME_VERSION, summarize=summarize_frame),
    _codec(GeoSeries, with_cells(encode_series), _decode_series, summarize=summarize_series),
    _codec(GeometryArray, with_cells(_encode_array), _decode_array, summarize=summarize_array, attributes=_OF_ARRAY),
    _codec(GeometryDtype, lambda _dtype: None, lambda _node, _version: GeometryDtype()),
)

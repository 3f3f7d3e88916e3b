"""Shapely's geometries as well-known binary (WKB), with corrections for what WKB does not say.

::

    shapely.geometry    geometry

    geometry := WKB | ["LinearRing", WKB of a line] | ["Point", WKB] | [class name, SRID, [geometry of each part]]

WKB is that of PostGIS (EWKB), little-endian: it holds Z, M, the SRID and every bit of the coordinates.  WKB has no
linear rings, and reads a point whose coordinates are NaN as an empty point.  These, and collections of them, have forms
of their own.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import shapely

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_int, as_list
from airflow_xcom.codecs.quoting import described, quoted

_Array = np.ndarray[Any, np.dtype[Any]]

_MAX_DEPTH = 100  # of nested collections; GEOS recurses, and some 20,000 levels end the process
_HEAD = struct.Struct("<BI")
_COUNT = struct.Struct("<I")
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
_POINT, _LINE, _POLYGON, _MULTI_POINT, _COLLECTION = 1, 2, 3, 4, 7
_COLLECT: dict[str, Any] = {
    "MultiPoint": shapely.multipoints,
    "MultiLineString": shapely.multilinestrings,
    "MultiPolygon": shapely.multipolygons,
    "GeometryCollection": shapely.geometrycollections,
}


# -- WKB -----------------------------------------------------------------------------------------------------


def _write(geometries: Any) -> Any:
    return shapely.to_wkb(geometries, output_dimension=4, byte_order=1, include_srid=True, flavor="extended")


def _read(wkb: Any) -> Any:
    """Return the geometries of an array of WKB; None stays None."""
    for item in wkb.flat:
        if item is not None and type(item) is not bytes:
            raise CorruptPayloadError(f"a {type(item).__name__} is in place of the WKB of a geometry")
        if item is not None and len(item) > _MAX_DEPTH * (_HEAD.size + _COUNT.size):
            _check_depth(item)
    with np.errstate(invalid="ignore"):  # NaN among the coordinates
        return shapely.from_wkb(wkb)


def _check_depth(data: bytes) -> None:
    """Refuse WKB that nests too deeply; this function itself does not recurse."""
    remaining, position = [1], 0  # parts still to come, level by level
    try:
        while remaining:
            if not remaining[-1]:
                remaining.pop()
                continue
            remaining[-1] -= 1
            position, parts = _next_part(data, position)
            remaining += [parts] if parts else []
            if len(remaining) > _MAX_DEPTH:
                raise CorruptPayloadError(f"collections are nested more than {_MAX_DEPTH} levels deep")
    except struct.error as error:
        raise CorruptPayloadError(f"the WKB of a geometry ends too early: {described(error)}") from error


def _next_part(data: bytes, position: int) -> tuple[int, int]:
    """Return where the geometry at ``position`` ends, or only its head if it has parts, and the number of its parts."""
    order, code = _HEAD.unpack_from(data, position)
    geometry_type = code & ~(_Z | _M | _SRID)
    if order != 1 or not _POINT <= geometry_type <= _COLLECTION:
        raise CorruptPayloadError(f"the WKB of a geometry has the head {order} {code:#x}")
    position += _HEAD.size + (4 if code & _SRID else 0)
    vertex = 8 * (2 + bool(code & _Z) + bool(code & _M))
    if geometry_type == _POINT:
        return position + vertex, 0
    (count,) = _COUNT.unpack_from(data, position)
    position += _COUNT.size
    if geometry_type == _LINE:
        return position + count * vertex, 0
    if geometry_type >= _MULTI_POINT:
        return position, count
    for _ring in range(count):
        (points,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size + points * vertex
    return position, 0


def _rings(items: list[bytes]) -> Any:
    """Return lines of WKB as rings: the exterior rings of polygons, because nothing else makes a ring with M."""
    polygons = []
    for data in items:
        dimensions, line = _content(data, _LINE)
        rings = _COUNT.pack(1) + line if any(line[: _COUNT.size]) else _COUNT.pack(0)
        polygons.append(_HEAD.pack(1, dimensions | _POLYGON) + rings)
    return _with_srid(shapely.get_exterior_ring(_read(_objects(polygons))), items)


def _points(items: list[bytes]) -> Any:
    """Return the points of WKB whose coordinates are NaN."""
    return _with_srid(_objects([_point(*_content(data, _POINT)) for data in items]), items)


def _point(dimensions: int, vertex: bytes) -> Any:
    """Return a point with these coordinates; with M, take the first point of a line, which loses a Z of NaN."""
    if not dimensions & _M:
        return shapely.points(np.frombuffer(vertex, "<f8"))
    line = _HEAD.pack(1, dimensions | _LINE) + _COUNT.pack(2) + vertex * 2
    return shapely.get_point(_read(_objects([line]))[0], 0)


def _with_srid(geometries: Any, items: list[bytes]) -> Any:
    return shapely.set_srid(geometries, shapely.get_srid(_read(_objects(items))))


def _content(data: bytes, geometry_type: int) -> tuple[int, bytes]:
    """Return the dimension flags, and the bytes after the head, of the WKB of a geometry of this type."""
    order, code = _HEAD.unpack_from(data)
    if order != 1 or code & ~(_Z | _M | _SRID) != geometry_type:
        msg = f"the WKB of a geometry has the head {order} {code:#x}, where {geometry_type} is expected"
        raise CorruptPayloadError(msg)
    return code & (_Z | _M), data[_HEAD.size + (4 if code & _SRID else 0) :]


def _objects(items: list[Any]) -> _Array:
    return np.fromiter(items, object, len(items))


# -- geometries ----------------------------------------------------------------------------------------------

_REBUILD: dict[str, Any] = {"Point": _points, "LinearRing": _rings}


def encode_geometries(geometries: _Array) -> tuple[_Array, dict[str, Any]]:
    """Return the WKB of geometries, None for missing ones, and the corrections of what WKB does not say exactly.

    The corrections are a dict: ``"Point"`` and ``"LinearRing"`` have the positions of the points with NaN and of the
    rings, ``"others"`` has pairs of a position and a node.
    """
    wkb = _write(geometries)
    try:
        back = _read(wkb)
    except CorruptPayloadError as error:
        raise UnsupportedValueError(str(error)) from error
    differ = np.flatnonzero(~_are_same(geometries, back))
    if not differ.size:
        return wkb, {}
    names = np.array([geometries[position].geom_type for position in differ])
    groups = {name: differ[names == name].tolist() for name in _REBUILD}
    for name, positions in groups.items():
        _check_same(geometries[positions], _REBUILD[name](wkb[positions].tolist()))
    others = [
        [position, _node_of(geometries[position])] for position in differ[~np.isin(names, list(_REBUILD))].tolist()
    ]
    return wkb, {name: entries for name, entries in {**groups, "others": others}.items() if entries}


def _are_same(left: Any, right: Any) -> Any:
    """Return where geometries are identical, NaN included, or both missing."""
    same = shapely.equals_identical(left, right) & (shapely.get_srid(left) == shapely.get_srid(right))
    same &= ~_have_odd_rings(left)
    return same | (shapely.is_missing(left) & shapely.is_missing(right))


def _have_odd_rings(geometries: Any) -> Any:
    """Return where a ring of a polygon has its own SRID, which WKB cannot hold."""
    odd = np.zeros(np.shape(geometries), bool)
    parts, owners = np.atleast_1d(geometries), np.arange(odd.size)
    while len(parts):
        rings, within = shapely.get_rings(parts, return_index=True)
        odd.flat[owners[within[shapely.get_srid(rings) != 0]]] = True
        collections = np.flatnonzero(shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT)
        parts, within = shapely.get_parts(parts[collections], return_index=True)
        owners = owners[collections[within]]
    return odd


def _check_same(geometries: Any, rebuilt: Any) -> None:
    if not np.all(_are_same(geometries, rebuilt)):
        msg = "a geometry does not come back the same from well-known binary; return its coordinates"
        raise UnsupportedValueError(msg)


def _node_of(geometry: Any) -> list[Any]:
    """Return the node of a collection that WKB does not say exactly."""
    name = geometry.geom_type
    parts = map(_encode, shapely.get_parts(geometry)) if name in _COLLECT else ()
    node = [name, int(shapely.get_srid(geometry)), list(parts)]
    _check_same(geometry, _decode(node, 1) if name in _COLLECT else None)
    return node


def decode_geometries(wkb: _Array, corrections: dict[str, Any]) -> _Array:
    """Return the geometries that :func:`encode_geometries` got."""
    geometries: _Array = _read(wkb)
    for name, rebuild in _REBUILD.items():
        positions = np.array([as_int(each) for each in as_list(corrections.get(name, []))], np.intp)
        geometries[positions] = rebuild(wkb[positions].tolist())
    for position, node in as_list(corrections.get("others", [])):
        geometries[position] = _decode(node, 1)
    return geometries


def _encode(geometry: Any) -> Any:
    (wkb,), corrections = encode_geometries(_objects([geometry]))
    if not corrections:
        return wkb
    ((name, entries),) = corrections.items()
    return entries[0][1] if name == "others" else [name, wkb]


def _decode(node: Any, _version: int) -> Any:
    match node:
        case bytes():
            return _read(_objects([node]))[0]
        case [str(name), bytes(data)] if name in _REBUILD:
            return _REBUILD[name]([data])[0]
        case [str(name), int(srid), list(parts)] if name in _COLLECT:
            return shapely.set_srid(_COLLECT[name](_objects([_decode(part, 1) for part in parts])), srid)
    raise CorruptPayloadError(f"{quoted(node)} is not a geometry")


def _summarize(geometry: Any) -> dict[str, Any]:
    return {"geometry": geometry.geom_type, "coordinates": int(shapely.get_num_coordinates(geometry))}


_TYPES = (
    *(shapely.Point, shapely.LineString, shapely.LinearRing, shapely.Polygon),
    *(shapely.MultiPoint, shapely.MultiLineString, shapely.MultiPolygon, shapely.GeometryCollection),
)
CODECS = (Codec("shapely.geometry", _TYPES, _encode, _decode, summarize=_summarize),)

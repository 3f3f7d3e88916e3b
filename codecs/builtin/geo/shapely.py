"""Shapely's geometries as well-known binary, and what that cannot say beside it.

::

    shapely.geometry    geometry

    geometry := WKB | ["LinearRing", WKB of a line] | ["Point", WKB] | [class name, SRID, [geometry of each part]]

WKB is that of PostGIS (EWKB), little-endian: Z, M and the SRID are in it, and every coordinate to the bit.  It knows no
rings, and takes a point whose coordinates are NaN, as missing ones are, for an empty one; these, and collections that
hold them, have forms of their own.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import shapely

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError

__all__ = ["CODECS", "decode_geometries", "encode_geometries"]

_Array = np.ndarray[Any, np.dtype[Any]]

_DEEPEST = 100  # levels of collections; GEOS follows them on the stack, and some 20,000 end the process
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


def _read(written: Any) -> Any:
    """The geometries of WKB, None where there is none.

    Raises:
        CorruptPayloadError: it is none that we write, or collections are nested deeper than GEOS can follow.
    """
    for item in written.flat:
        if item is not None and type(item) is not bytes:
            msg = f"{type(item).__name__} stands for the WKB of a geometry"
            raise CorruptPayloadError(msg)
        if item is not None and len(item) > _DEEPEST * (_HEAD.size + _COUNT.size):
            _check_depth(item)
    with np.errstate(invalid="ignore"):  # NaN among the coordinates
        return shapely.from_wkb(written)


def _check_depth(data: bytes) -> None:
    """Go through WKB without recursion."""
    due, position = [1], 0  # parts still to come, level by level
    try:
        while due:
            if not due[-1]:
                due.pop()
                continue
            due[-1] -= 1
            position, parts = _next_part(data, position)
            due += [parts] if parts else []
            if len(due) > _DEEPEST:
                msg = f"collections are nested more than {_DEEPEST} levels deep"
                raise CorruptPayloadError(msg)
    except struct.error as error:
        msg = f"the WKB of a geometry ends too early: {error}"
        raise CorruptPayloadError(msg) from error


def _next_part(data: bytes, position: int) -> tuple[int, int]:
    """Where the head, or the whole of a geometry without parts, ends; and the number of its parts."""
    order, code = _HEAD.unpack_from(data, position)
    kind = code & ~(_Z | _M | _SRID)
    if order != 1 or not _POINT <= kind <= _COLLECTION:
        msg = f"the WKB of a geometry has the head {order} {code:#x}"
        raise CorruptPayloadError(msg)
    position += _HEAD.size + (4 if code & _SRID else 0)
    vertex = 8 * (2 + bool(code & _Z) + bool(code & _M))
    if kind == _POINT:
        return position + vertex, 0
    (count,) = _COUNT.unpack_from(data, position)
    position += _COUNT.size
    if kind == _LINE:
        return position + count * vertex, 0
    if kind >= _MULTI_POINT:
        return position, count
    for _ring in range(count):
        (points,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size + points * vertex
    return position, 0


def _rings(items: list[bytes]) -> Any:
    """The rings of the WKB of lines: those of polygons which have no other, for nothing else makes one with M."""
    polygons = []
    for data in items:
        dimensions, line = _content(data, _LINE)
        rings = _COUNT.pack(1) + line if any(line[: _COUNT.size]) else _COUNT.pack(0)
        polygons.append(_HEAD.pack(1, dimensions | _POLYGON) + rings)
    return _with_srid(shapely.get_exterior_ring(_read(_objects(polygons))), items)


def _points(items: list[bytes]) -> Any:
    """The points of WKB whose coordinates are NaN."""
    return _with_srid(_objects([_point(*_content(data, _POINT)) for data in items]), items)


def _point(dimensions: int, vertex: bytes) -> Any:
    """A point of its coordinates; with M, the first of a line, which loses a Z of NaN."""
    if not dimensions & _M:
        return shapely.points(np.frombuffer(vertex, "<f8"))
    line = _HEAD.pack(1, dimensions | _LINE) + _COUNT.pack(2) + vertex * 2
    return shapely.get_point(_read(_objects([line]))[0], 0)


def _with_srid(geometries: Any, items: list[bytes]) -> Any:
    return shapely.set_srid(geometries, shapely.get_srid(_read(_objects(items))))


def _content(data: bytes, kind: int) -> tuple[int, bytes]:
    """The flags of its dimensions, and what stands behind the head, of the WKB of a geometry of this kind."""
    order, code = _HEAD.unpack_from(data)
    if order != 1 or code & ~(_Z | _M | _SRID) != kind:
        msg = f"the WKB of a geometry has the head {order} {code:#x}, where {kind} is expected"
        raise CorruptPayloadError(msg)
    return code & (_Z | _M), data[_HEAD.size + (4 if code & _SRID else 0) :]


def _objects(items: list[Any]) -> _Array:
    return np.fromiter(items, object, len(items))


# -- geometries ----------------------------------------------------------------------------------------------

_REBUILD: dict[str, Any] = {"Point": _points, "LinearRing": _rings}


def encode_geometries(geometries: _Array) -> tuple[_Array, dict[str, Any]]:
    """The WKB of geometries, None where there is none, and the places of those it does not say exactly.

    ``"Point"`` and ``"LinearRing"`` have the places of the points and rings whose class the WKB lacks, and ``"others"``
    pairs of a place and a node.

    Raises:
        UnsupportedValueError: a geometry cannot be stored exactly.
    """
    written = _write(geometries)
    try:
        back = _read(written)
    except CorruptPayloadError as error:
        raise UnsupportedValueError(str(error)) from error
    differ = np.flatnonzero(~_are_same(geometries, back))
    if not differ.size:
        return written, {}
    kinds = np.array([geometries[place].geom_type for place in differ])
    groups = {kind: differ[kinds == kind].tolist() for kind in _REBUILD}
    for kind, places in groups.items():
        _insist_same(geometries[places], _REBUILD[kind](written[places].tolist()))
    others = [[place, _node_of(geometries[place])] for place in differ[~np.isin(kinds, list(_REBUILD))].tolist()]
    return written, {kind: found for kind, found in {**groups, "others": others}.items() if found}


def _are_same(left: Any, right: Any) -> Any:
    """Whether geometries are identical, NaN and all; those that are missing too."""
    same = shapely.equals_identical(left, right) & (shapely.get_srid(left) == shapely.get_srid(right))
    same &= ~_have_odd_rings(left)
    return same | (shapely.is_missing(left) & shapely.is_missing(right))


def _have_odd_rings(geometries: Any) -> Any:
    """Whether a ring of a polygon has an SRID of its own, which WKB has no place for."""
    found = np.zeros(np.shape(geometries), bool)
    parts, of = np.atleast_1d(geometries), np.arange(found.size)
    while len(parts):
        rings, within = shapely.get_rings(parts, return_index=True)
        found.flat[of[within[shapely.get_srid(rings) != 0]]] = True
        collections = np.flatnonzero(shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT)
        parts, within = shapely.get_parts(parts[collections], return_index=True)
        of = of[collections[within]]
    return found


def _insist_same(geometries: Any, rebuilt: Any) -> None:
    if not np.all(_are_same(geometries, rebuilt)):
        msg = "a geometry does not come back the same from well-known binary; return its coordinates"
        raise UnsupportedValueError(msg)


def _node_of(geometry: Any) -> list[Any]:
    """The node of a collection that WKB does not say exactly."""
    kind = geometry.geom_type
    parts = map(_encode, shapely.get_parts(geometry)) if kind in _COLLECT else ()
    node = [kind, int(shapely.get_srid(geometry)), list(parts)]
    _insist_same(geometry, _decode(node, 1) if kind in _COLLECT else None)
    return node


def decode_geometries(written: _Array, marks: dict[str, Any]) -> _Array:
    """The geometries that :func:`encode_geometries` was given.

    Raises:
        CorruptPayloadError: see :func:`_read`.
    """
    geometries: _Array = _read(written)
    for kind, rebuild in _REBUILD.items():
        places = np.array(marks.get(kind, ()), np.intp)
        geometries[places] = rebuild(written[places].tolist())
    for place, node in marks.get("others", ()):
        geometries[place] = _decode(node, 1)
    return geometries


def _encode(geometry: Any) -> Any:
    (written,), marks = encode_geometries(_objects([geometry]))
    if not marks:
        return written
    ((kind, found),) = marks.items()
    return found[0][1] if kind == "others" else [kind, written]


def _decode(node: Any, _version: int) -> Any:
    match node:
        case bytes():
            return _read(_objects([node]))[0]
        case [str(kind), bytes(data)] if kind in _REBUILD:
            return _REBUILD[kind]([data])[0]
        case [str(kind), int(srid), list(parts)] if kind in _COLLECT:
            return shapely.set_srid(_COLLECT[kind](_objects([_decode(part, 1) for part in parts])), srid)
    msg = f"{node!r:.80} is no geometry"
    raise CorruptPayloadError(msg)


def _summarize(geometry: Any) -> dict[str, Any]:
    return {"geometry": geometry.geom_type, "coordinates": int(shapely.get_num_coordinates(geometry))}


_TYPES = (
    shapely.Point,
    shapely.LineString,
    shapely.LinearRing,
    shapely.Polygon,
    shapely.MultiPoint,
    shapely.MultiLineString,
    shapely.MultiPolygon,
    shapely.GeometryCollection,
)
CODECS = (Codec("shapely.geometry", _TYPES, _encode, _decode, summarize=_summarize),)

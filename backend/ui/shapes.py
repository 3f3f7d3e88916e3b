"""Geometries as shapes on an empty plane: well-known binary (WKB), read within bounds and without a library of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_xcom.backend.ui.payload_tree import inner
from airflow_xcom.codecs import CorruptPayloadError, Tagged
from airflow_xcom.codecs.errors import any_error_as_corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Part = tuple[str, list[Any]]  # "points", "lines" or "areas", and arrays of vertices

__all__ = ["drawn", "is_geometry", "wkb_of"]

_VERTICES = 50_000  # that are drawn
_OF_PART = 2_000  # vertices of a line or ring; of longer ones, every second, third, … is drawn
_PLANE = 1000.0  # units of its longer side
_HEAD = struct.Struct("<BI")
_COUNT = struct.Struct("<I")
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
_POINT, _LINE, _POLYGON, _COLLECTIONS = 1, 2, 3, range(4, 8)


def is_geometry(node: Any) -> bool:
    """Return whether a node is a geometry of Shapely."""
    return isinstance(node, Tagged) and node.tag == "shapely.geometry"


def wkb_of(node: Any) -> Iterator[bytes]:
    """Yield the WKB of a geometry, or of each of its parts.

    Raises:
        CorruptPayloadError: The node is damaged.
    """
    waiting = [inner(node)]
    while waiting:
        match waiting.pop():
            case bytes() as data:
                yield data
            case [str(), bytes(data)]:
                yield data
            case [str(), int(), list(parts)]:
                waiting += parts[::-1]
            case _:
                raise CorruptPayloadError("this is not a geometry")


def _parts(data: bytes) -> Iterator[Part]:
    """Yield the points, lines and areas of WKB; what nests needs no stack, for only its leaves are drawn."""
    position, remaining = 0, 1
    while remaining:
        remaining -= 1
        order, code = _HEAD.unpack_from(data, position)
        kind = code & ~(_Z | _M | _SRID)
        if order != 1:
            raise CorruptPayloadError("the WKB of a geometry is not little-endian")
        position += _HEAD.size + (4 if code & _SRID else 0)
        width = 2 + bool(code & _Z) + bool(code & _M)
        if kind == _POINT:
            yield "points", [_vertices(data, position, 1, width)]
            position += 8 * width
            continue
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        if kind == _LINE:
            yield "lines", [_vertices(data, position, count, width)]
            position += 8 * width * count
        elif kind == _POLYGON:
            rings = []
            for _ in range(count):
                (points,) = _COUNT.unpack_from(data, position)
                rings.append(_vertices(data, position + _COUNT.size, points, width))
                position += _COUNT.size + 8 * width * points
            yield "areas", rings
        elif kind in _COLLECTIONS:
            remaining += count
        else:
            raise CorruptPayloadError(f"the WKB of a geometry has the type {kind}")


def _vertices(data: bytes, position: int, count: int, width: int) -> Any:
    """Return x and y of vertices, without those that are not finite."""
    found = np.frombuffer(data, "<f8", count * width, position).reshape(-1, width)[:, :2]
    return found[np.isfinite(found).all(axis=1)]


def drawn(geometries: Iterable[tuple[int, Iterable[bytes]]]) -> dict[str, Any]:
    """Return geometries as paths of SVG on a plane, its corners, and how many there are until it is full.

    Args:
        geometries: of each its row and its WKB.

    Returns:
        ``shapes``, each with its ``row`` and the paths of its ``points``, ``lines`` and ``areas``; ``width`` and
        ``height`` of the plane; ``low`` and ``high``, the least and the greatest x and y; ``thinned``, whether vertices
        were left out; ``full``, whether geometries were.

    Raises:
        CorruptPayloadError: A geometry is damaged.
    """
    kept: list[tuple[int, list[Part]]] = []
    vertices, is_thinned, is_full = 0, False, False
    for row, found in geometries:
        with any_error_as_corrupt():
            parts = [(kind, lines) for data in found for kind, lines in _parts(data)]
        is_thinned |= any(len(line) > _OF_PART for _, lines in parts for line in lines)
        parts = [(kind, [_thin(line) for line in lines if len(line)]) for kind, lines in parts]
        vertices += sum(len(line) for _, lines in parts for line in lines)
        is_full = vertices > _VERTICES and bool(kept)
        if is_full:
            break
        kept.append((row, parts))
    return {**_plane(kept), "thinned": is_thinned, "full": is_full}


def _thin(line: Any) -> Any:
    step = -(-len(line) // _OF_PART)
    return line if step == 1 else np.concatenate([line[:-1:step], line[-1:]])


def _plane(kept: list[tuple[int, list[Part]]]) -> dict[str, Any]:
    """Return the paths, scaled so that the longer side of all has the units of the plane; y points down in SVG."""
    lines = [line for _, parts in kept for _, part in parts for line in part]
    if not lines:
        return {"shapes": [], "width": 0, "height": 0}
    low = np.min([line.min(axis=0) for line in lines], axis=0)
    high = np.max([line.max(axis=0) for line in lines], axis=0)
    half = high / 2 - low / 2  # halves, for a difference may be no float
    unit = float(half.max()) / _PLANE or 1.0

    def path(line: Any) -> str:
        x, y = ((line / 2 - low / 2) / unit).T
        points = zip(x.round(1).tolist(), (float(half[1]) / unit - y).round(1).tolist(), strict=True)
        return "M" + "L".join(f"{across:g},{down:g}" for across, down in points)

    shapes = []
    for row, parts in kept:
        paths: dict[str, str] = {}
        for kind, part in parts:
            end = {"points": "h0", "areas": "Z", "lines": ""}[kind]
            paths[kind] = paths.get(kind, "") + "".join(path(line) + end for line in part)
        shapes.append({"row": row, **{kind: found for kind, found in paths.items() if found}})
    width, height = (float(side) / unit for side in half)
    return {"shapes": shapes, "width": width, "height": height, "low": low.tolist(), "high": high.tolist()}

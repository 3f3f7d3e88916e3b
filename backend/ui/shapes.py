"""Geometries as shapes on an empty plane: well-known binary (WKB), read within bounds and without a library of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from airflow_xcom.backend.ui.payload_tree import inner
from airflow_xcom.codecs import CorruptPayloadError, Tagged
from airflow_xcom.codecs.errors import any_error_as_corrupt

Part = tuple[str, Any]  # "points", "lines" or "areas", and vertices: a point, a line, or a ring of an area
_VERTICES = 50_000  # that are drawn
_OF_PART = 2_000  # vertices of a line or ring; of longer ones, every second, third, … is drawn
_PLANE = 1000.0  # units of its longer side
_ENDS = {"points": "h0", "areas": "Z", "lines": ""}  # of paths
_HEAD = struct.Struct("<BI")
_COUNT = struct.Struct("<I")
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
_NOTHING = np.zeros((0, 2))
_POINT, _LINE, _POLYGON, _COLLECTIONS = 1, 2, 3, range(4, 8)


def is_geometry(node: Any) -> bool:
    """Return whether a node is a geometry of Shapely."""
    return isinstance(node, Tagged) and node.tag == "shapely.geometry"


def wkb_of(node: Any) -> Iterator[bytes]:
    """Yield the WKB of a geometry, or of each of its parts; raise CorruptPayloadError if the node is damaged."""
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
    """Yield the points, lines and rings of WKB; what nests needs no stack, for only its leaves are drawn.

    What holds others is a part without vertices, so that whoever counts the parts can stop in whatever nests.
    """
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
            yield "points", _vertices(data, position, 1, width)
            position += 8 * width
            continue
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        if kind == _LINE:
            yield "lines", _vertices(data, position, count, width)
            position += 8 * width * count
        elif kind == _POLYGON:
            yield "areas", _NOTHING
            for _ in range(count):
                (points,) = _COUNT.unpack_from(data, position)
                yield "areas", _vertices(data, position + _COUNT.size, points, width)
                position += _COUNT.size + 8 * width * points
        elif kind in _COLLECTIONS:
            yield "areas", _NOTHING
            remaining += count
        else:
            raise CorruptPayloadError(f"the WKB of a geometry has the type {kind}")


def _vertices(data: bytes, position: int, count: int, width: int) -> Any:
    """Return x and y of vertices, without those that are not finite."""
    found = np.frombuffer(data, "<f8", count * width, position).reshape(-1, width)[:, :2]
    return found[np.isfinite(found).all(axis=1)]


def drawn(geometries: Iterable[tuple[int, Iterable[bytes]]]) -> dict[str, Any]:
    """Return geometries, of each its row and its WKB, as paths of SVG on a plane, as many as there are till it is full.

    Returns:
        ``shapes``, of each geometry its ``row`` and the paths of its ``points``, ``lines`` and ``areas``; ``width`` and
        ``height`` of the plane; ``low`` and ``high``, the least and the greatest x and y, if any; ``thinned``, whether
        vertices were left out; ``full``, whether geometries were.

    Raises:
        CorruptPayloadError: A geometry is damaged.
    """
    kept: list[tuple[int, list[Part]]] = []
    room, is_thinned, is_full = _VERTICES, False, False
    for row, found in geometries:
        with any_error_as_corrupt():
            parts, spent, is_cut = _within_bounds(found)
        room -= spent
        is_full = room < 0 and bool(kept)
        if is_full:
            break
        is_thinned |= is_cut
        kept.append((row, parts))
    return {**_plane(kept), "thinned": is_thinned, "full": is_full}


def _within_bounds(geometry: Iterable[bytes]) -> tuple[list[Part], int, bool]:
    """Return parts of a geometry, how many vertices they have, and whether some are left out.

    A part without vertices counts as one, for a geometry may have millions of them.
    """
    parts: list[Part] = []
    spent, is_thinned = 0, False
    for kind, line in chain.from_iterable(map(_parts, geometry)):
        if spent >= _VERTICES:
            return parts, spent, True
        is_thinned |= len(line) > _OF_PART
        thin = _thin(line)
        spent += len(thin) or 1
        if len(thin):
            parts.append((kind, thin))
    return parts, spent, is_thinned


def _thin(line: Any) -> Any:
    step = -(-len(line) // _OF_PART)
    return line if step <= 1 else np.concatenate([line[:-1:step], line[-1:]])


def _plane(kept: list[tuple[int, list[Part]]]) -> dict[str, Any]:
    """Return the paths, scaled so that the longer side of all has the units of the plane; y points down in SVG."""
    lines = [line for _, parts in kept for _, line in parts]
    if not lines:
        return {"shapes": [{"row": row} for row, _ in kept], "width": 0, "height": 0}
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
        paths: dict[str, list[str]] = {}
        for kind, line in parts:
            paths.setdefault(kind, []).append(path(line) + _ENDS[kind])
        shapes.append({"row": row, **{kind: "".join(found) for kind, found in paths.items()}})
    width, height = (float(side) / unit for side in half)
    return {"shapes": shapes, "width": width, "height": height, "low": low.tolist(), "high": high.tolist()}

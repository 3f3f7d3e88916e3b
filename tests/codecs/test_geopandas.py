"""geopandas, shapely and pyproj: geometries to the bit, with their CRS, and columns of them in any frame."""

from __future__ import annotations

import copy
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from geopandas.array import GeometryDtype
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from pyproj.crs import GeographicCRS
from shapely import (
    GeometryCollection,
    LinearRing,
    LineString,
    MultiLineString,
    MultiPoint,
    MultiPolygon,
    Point,
    Polygon,
    from_wkt,
)

from airflow_xcom.codecs import (
    CorruptPayloadError,
    EncodeError,
    MissingLibraryError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.builtin.geo import pyproj as crs_codec
from airflow_xcom.codecs.builtin.geo import shapely as codec
from airflow_xcom.codecs.payload import Decoder, decode, decode_json, encode
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.testing import assert_identical, difference

NAN = float("nan")
SQUARE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
CLASSES = (Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon, GeometryCollection)
SHAPES = [make.__name__.upper() for make in (*CLASSES, LinearRing)]
MADE: dict[str, Callable[[], Any]] = {}

for shape in SHAPES:
    for dimensions in ("", " Z", " M", " ZM"):
        MADE[f"empty {shape}{dimensions}"] = lambda text=f"{shape}{dimensions} EMPTY": from_wkt(text)
TEXTS = (
    "POINT M (1 2 3)",
    "POINT ZM (1 2 3 4)",
    "LINESTRING Z (0 0 1, 1 1 NaN)",
    "LINESTRING ZM (0 0 1 2, 1 1 3 4)",
    "LINEARRING M (0 0 1, 1 1 2, 1 0 3, 0 0 1)",
    "LINEARRING ZM (0 0 1 5, 1 1 2 6, 1 0 3 7, 0 0 1 5)",
    "POLYGON Z ((0 0 0, 9 0 1, 9 9 2, 0 0 0), (1 1 0, 2 1 0, 2 2 0, 1 1 0))",
    "MULTIPOINT M ((1 2 3), (4 5 6))",
    "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
    "GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (LINESTRING (0 0, 1 1), POINT EMPTY))",
)
GEOMETRIES: dict[str, Callable[[], Any]] = {
    "point": lambda: Point(1.5, -0.0),
    "point with height": lambda: Point(1, 2, 3),
    "point without a height": lambda: Point(1, 2, NAN),
    "infinite point": lambda: Point(np.inf, -np.inf),
    "point of NaN": lambda: Point(NAN, NAN),
    "point of NaN with height": lambda: Point(NAN, NAN, 5),
    "point of NaN without a height": lambda: Point(NAN, NAN, NAN),
    "point of NaN without a height and with SRID": lambda: shapely.set_srid(Point(NAN, NAN, NAN), 3),
    "points of NaN without a height": lambda: MultiPoint([Point(NAN, NAN, NAN), Point(1, 2, 3)]),
    "half a point": lambda: Point(NAN, 1),
    "point with SRID": lambda: shapely.set_srid(Point(1, 2), 4326),
    "point of NaN with SRID": lambda: shapely.set_srid(Point(NAN, NAN), -7),
    "line": lambda: LineString([(0, 0), (0.1, 5e-324), (1e308, 2)]),
    "ring": lambda: LinearRing(SQUARE),
    "ring with SRID": lambda: shapely.set_srid(LinearRing(SQUARE), 31467),
    "polygon": lambda: Polygon(SQUARE, [[(0.1, 0.1), (0.2, 0.1), (0.2, 0.2)]]),
    "invalid polygon": lambda: Polygon([(0, 0), (1, 1), (0, 1), (1, 0)]),
    "points": lambda: MultiPoint([(0, 0), (0, 0), (1, 2)]),
    "points of NaN": lambda: MultiPoint([(NAN, NAN), (1, 2)]),
    "lines": lambda: MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]]),
    "polygons": lambda: MultiPolygon([Polygon(SQUARE), Polygon([(5, 5), (6, 5), (6, 6)])]),
    "collection": lambda: GeometryCollection([Point(1, 2), LineString([(0, 0), (1, 1)]), Polygon(SQUARE)]),
    "collection of mixed dimensions": lambda: GeometryCollection([Point(0, 0), Point(0, 0, 1)]),
    "collection with a ring": lambda: shapely.set_srid(
        GeometryCollection([Point(), GeometryCollection([LinearRing(SQUARE), Point(NAN, NAN)])]), 4326
    ),
    "large polygon": lambda: Point(0, 0).buffer(1, quad_segs=5000),
    "many polygons": lambda: MultiPolygon([Point(10 * place, 0).buffer(1) for place in range(100)]),
    "many points": lambda: MultiPoint(np.arange(2000.0).reshape(-1, 2)),
    **{text: lambda text=text: from_wkt(text) for text in TEXTS},
}
MADE |= GEOMETRIES
CRSS = {
    "EPSG": lambda: CRS(4326),
    "compound": lambda: CRS("EPSG:4326+5773"),
    "PROJ string": lambda: CRS("+proj=laea +lat_0=45 +lon_0=10"),
    "WKT": lambda: CRS.from_wkt(CRS(3857).to_wkt()),
    "PROJJSON": lambda: CRS.from_json(CRS(4979).to_json()),
    "name": lambda: CRS("WGS 84"),
    "bound": lambda: CRS("+proj=longlat +datum=WGS84 +towgs84=1,2,3"),
    "authority beside EPSG": lambda: CRS("ESRI:54009"),
    "dict": lambda: CRS({"proj": "utm", "zone": 33}),
}
MADE |= {f"CRS from {name}": make for name, make in CRSS.items()}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a named value."""
    MADE[function.__name__] = function
    return function


def everything() -> list[Any]:
    return [None, *(make() for make in GEOMETRIES.values())]


def _frame() -> Any:
    return gpd.GeoDataFrame(
        {"name": ["a", "b", None], "n": [1, 2, 3]},
        geometry=gpd.GeoSeries([Point(1, 2), None, Point()], crs="EPSG:4326"),
    )


MADE["frame"] = _frame


@case
def frame_of_everything() -> Any:
    return gpd.GeoDataFrame({"geometry": gpd.GeoSeries(everything(), crs=3857)})


@case
def several_columns_of_geometries() -> Any:
    frame = _frame()
    frame["there"] = gpd.GeoSeries([Point(0, 0), Polygon(SQUARE), None], crs="EPSG:3857")
    frame["nowhere"] = gpd.GeoSeries([None, LinearRing(SQUARE), Point(3, 3)])
    return frame.set_geometry("there")


@case
def frame_with_index_and_attrs() -> Any:
    frame = _frame().set_index(pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)], names=["k", "n"]))
    frame.attrs = {"source": "survey"}
    return frame


@case
def frame_with_other_labels() -> Any:
    return gpd.GeoDataFrame([[1, Point(1, 2)]], columns=[1, ("geo", 2)], geometry=("geo", 2))


@case
def frame_without_geometry() -> Any:
    return gpd.GeoDataFrame({"a": [1, 2]})


@case
def frame_whose_geometry_went() -> Any:
    frame = several_columns_of_geometries()
    del frame["there"]
    return frame


@case
def frame_without_rows() -> Any:
    return _frame().iloc[:0]


@case
def frame_without_columns() -> Any:
    return gpd.GeoDataFrame()


@case
def frame_from_missing_coordinates() -> Any:
    places = pd.DataFrame({"x": [1.0, NAN, 3.0], "y": [1.0, NAN, 4.0]})
    return gpd.GeoDataFrame(places, geometry=gpd.points_from_xy(places.x, places.y), crs="EPSG:2056")


@case
def series() -> Any:
    return gpd.GeoSeries(everything(), crs="EPSG:2056", name="place", index=pd.RangeIndex(5, 5 + len(everything())))


@case
def series_without_crs() -> Any:
    return gpd.GeoSeries([Point(0, 0)], index=["a"])


@case
def series_without_rows() -> Any:
    return gpd.GeoSeries([], crs=4326)


@case
def series_of_missing_ones() -> Any:
    return gpd.GeoSeries([None, None], crs=4326)


@case
def array_of_geometries() -> Any:
    return gpd.GeoSeries(everything(), crs=4326).array


@case
def plain_frame_with_geometries() -> Any:
    return pd.DataFrame({"n": [1, 2], "g": gpd.GeoSeries([Point(1, 2), None], crs=4326), "h": ["a", "b"]})


@case
def plain_series_of_geometries() -> Any:
    return pd.Series(gpd.GeoSeries([Point(1, 2), LinearRing(SQUARE)]).array, name="g")


@case
def objects_in_a_plain_frame() -> Any:
    return pd.DataFrame({"o": pd.Series([Point(1, 2), None, LinearRing(SQUARE)], dtype=object)})


@case
def dtype_of_geometries() -> Any:
    return GeometryDtype()


@case
def array_of_objects() -> Any:
    return np.array([Point(1, 2), None], dtype=object)


def through_blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def through_row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


def through_tree(value: Any) -> Any:
    return through_blob({"a": [value]})["a"][0]


WAYS = {"blob": through_blob, "row": through_row, "tree": through_tree}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_exact(name: str, way: str) -> None:
    assert_identical(MADE[name](), WAYS[way](MADE[name]()))


@pytest.mark.parametrize("name", MADE)
def test_pushing_leaves_the_value_as_it_was(name: str) -> None:
    value = MADE[name]()
    encode(value)
    assert_identical(MADE[name](), value)


def test_what_comes_back_can_be_used_and_changed() -> None:
    back = through_blob(several_columns_of_geometries())
    assert back.crs == CRS(3857)
    assert back.geometry.name == "there"
    assert back["nowhere"].crs is None
    back.loc[1, "there"] = Point(9, 9)
    back.loc[1, "n"] = 7
    assert back.to_crs(4326).geometry.notna().sum() == 2
    assert back.sindex.size == 2
    assert (back.n.tolist(), back.geometry[1]) == ([1, 7, 3], Point(9, 9))
    assert type(back.set_geometry("nowhere").dissolve()) is gpd.GeoDataFrame


def test_the_blob_of_a_frame_is_an_arrow_file_of_wkb() -> None:
    payload = encode(_frame())
    assert payload.format == "arrow"
    table = pa.ipc.open_file(payload.to_bytes()).read_all()
    assert table.column_names == ["name", "n", "geometry"]
    assert shapely.from_wkb(table["geometry"].to_pylist()).tolist() == _frame().geometry.tolist()


coordinates = st.floats(allow_nan=True, allow_infinity=True)
places = st.tuples(coordinates, coordinates)
points = st.one_of(places.map(Point), st.tuples(coordinates, coordinates, coordinates).map(Point), st.builds(Point))
lines = st.lists(places, min_size=2, max_size=5).map(LineString)
finite = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
rings = st.lists(finite, min_size=3, max_size=6).map(LinearRing)
polygons = st.lists(finite, min_size=3, max_size=6).map(Polygon)
geometries = st.recursive(
    st.one_of(points, lines, rings, polygons),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(GeometryCollection),
        st.lists(places, max_size=3).map(MultiPoint),
        st.lists(lines, max_size=3).map(MultiLineString),
        st.lists(polygons, max_size=3).map(MultiPolygon),
    ),
    max_leaves=6,
).filter(lambda item: shapely.equals_identical(item, shapely.set_srid(item, 1)))  # others are refused: see below


@given(st.lists(st.none() | geometries, max_size=5), st.integers(-(2**31), 2**31 - 1))
def test_any_geometries(items: list[Any], srid: int) -> None:
    series = gpd.GeoSeries([item and shapely.set_srid(item, srid) for item in items])
    for way in WAYS.values():
        assert_identical(series, way(series))
    for item in series:
        assert_identical(item, through_blob(item))


# -- refused -------------------------------------------------------------------------------------------------


def test_subclasses_are_refused() -> None:
    class Mine(gpd.GeoDataFrame):
        pass

    with pytest.raises(UnsupportedTypeError, match="Mine"):
        encode(Mine(_frame()))
    with pytest.raises(UnsupportedTypeError, match="GeographicCRS"):
        encode(GeographicCRS())


def test_collections_deeper_than_geos_can_follow_are_refused() -> None:
    value = Point(1, 2)
    for _ in range(98):
        value = GeometryCollection([value])
    assert_identical(value, through_blob(value))
    for _ in range(20):
        value = GeometryCollection([value])
    with pytest.raises(EncodeError, match="more than 100 levels deep"):
        encode(value)


def test_a_collection_that_geos_does_not_find_the_same_as_its_copy_is_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="return its coordinates"):
        encode(MultiPoint([Point(0, NAN)]))


def test_a_crs_that_is_not_built_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crs_codec, "_decode", lambda _node, _version: CRS(3857))
    with pytest.raises(EncodeError, match="from_json"):
        encode(CRS(4326))


@pytest.mark.filterwarnings("ignore:.*init")
def test_a_crs_that_names_a_file_is_refused_and_the_advice_helps() -> None:
    crs = CRS("+init=epsg:4326")
    with pytest.raises(EncodeError, match=r"from_json\(value\.to_json\(\)\)"):
        encode(crs)
    assert Decoder(registry).restorer("pyproj.CRS", 1)([crs.srs, crs.to_json()]).srs.startswith("{")
    crs = CRS.from_json(crs.to_json())
    assert_identical(crs, through_blob(crs))


def test_an_srid_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_write", lambda geometries: shapely.to_wkb(geometries, byte_order=1))
    with pytest.raises(EncodeError, match="does not come back the same"):
        encode(shapely.set_srid(LineString(SQUARE), 4326))


# -- forged --------------------------------------------------------------------------------------------------

POINT_WKB = Point(1, 2).wkb
FORGED = {
    "text": "00",
    "hexadecimal text": POINT_WKB.hex(),
    "nothing": b"",
    "a short point": POINT_WKB[:-1],
    "an unknown type": struct.pack("<BI", 1, 99),
    "a line of 4,294,967,295 points": struct.pack("<BII", 1, 2, 2**32 - 1),
    "a polygon of 4,294,967,295 rings": struct.pack("<BII", 1, 3, 2**32 - 1),
    "a collection of 4,294,967,295 parts": struct.pack("<BII", 1, 7, 2**32 - 1),
    "a ring that is open": struct.pack("<BIII6d", 1, 3, 1, 3, 0, 0, 1, 1, 2, 2),
    "a ring of a point": ["LinearRing", POINT_WKB],
    "a ring of two": ["LinearRing", LineString([(0, 0), (1, 1)]).wkb],
    "a ring of text": ["LinearRing", "00"],
    "a point of nothing": ["Point", b""],
    "parts of other types": ["MultiPoint", 0, [LineString([(0, 0), (1, 1)]).wkb]],
    "parts of nothing": ["MultiPoint", 0, [None]],
    "an SRID of text": ["MultiPoint", "0", [POINT_WKB]],
    "another class": ["Circle", 0, [POINT_WKB]],
    "none": None,
    "a number": 7,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_geometry_is_refused(name: str) -> None:
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("shapely.geometry", 1)(FORGED[name])


@pytest.mark.parametrize("kind", [4, 5, 6, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_collections_nested_without_end_do_not_end_the_process(kind: int, order: str) -> None:
    head = struct.pack(f"{order}BII", order == "<", kind, 1)
    with pytest.raises(CorruptPayloadError, match="levels deep|has the head"):
        codec._decode(head * 200_000, 1)
    with pytest.raises(CorruptPayloadError, match="levels deep|has the head"):
        codec._decode(struct.pack("<BII", 1, 7, 2) + POINT_WKB + head * 200_000, 1)


def test_curves_hide_no_nesting() -> None:
    head = struct.pack("<BII", 1, 9, 1)
    with pytest.raises(CorruptPayloadError, match="has the head"):
        codec._decode(head * 200_000, 1)


def test_nodes_nested_without_end_are_refused() -> None:
    node: Any = POINT_WKB
    for _ in range(5000):
        node = ["GeometryCollection", 0, [node]]
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("shapely.geometry", 1)(node)


def test_the_depth_is_followed_past_every_type() -> None:
    parts = [make() for make in GEOMETRIES.values()]
    codec._check_depth(shapely.to_wkb(GeometryCollection(parts), output_dimension=4, byte_order=1, include_srid=True))
    for make in GEOMETRIES.values():
        data = codec._write(make())
        codec._check_depth(data)
        with pytest.raises(CorruptPayloadError, match="ends too early|has the head|levels"):
            codec._check_depth(struct.pack("<BII", 1, 7, 2) + data + b"\1")


@pytest.mark.parametrize(
    "node",
    [
        ["EPSG:4326"],
        [4326, CRS(4326).to_json()],
        ["EPSG:4326", 5],
        ["EPSG:4326", "{"],
        ["EPSG:4326", "[]"],
        ["EPSG:4326", "EPSG:4326"],
        ["EPSG:4326", "{}"],
        None,
    ],
)
def test_a_forged_crs_is_refused(node: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("pyproj.CRS", 1)(node)


@pytest.mark.parametrize(
    "text", ["EPSG:3857", "EPSG:999999", "nothing at all", "+init=epsg:4326", "+proj=utm +INIT=x:y"]
)
def test_the_definition_of_a_crs_goes_before_its_text(text: str) -> None:
    definition = CRS(4326).to_json()
    made = Decoder(registry).restorer("pyproj.CRS", 1)([text, definition])
    assert made == CRS(4326)
    assert made.srs.startswith("{")


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (["geometry"], pa.array(["x"])),
        (["geometry"], pa.array([b"x"], pa.large_binary())),
        (["geometry", "EPSG:4326"], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"Point": [1]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"Point": [-2]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"Point": ["a"]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"others": [[0, ["Circle", 0, []]]]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"Point": [0]}], pa.array([None], pa.large_binary())),
        (["geometry", None, {"LinearRing": [0]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"others": [[1, POINT_WKB]]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"others": [["a", POINT_WKB]]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, {"Point": [2**70]}], pa.array([POINT_WKB], pa.large_binary())),
        (["geometry", None, 5], pa.array([None], pa.large_binary())),
    ],
)
def test_a_forged_column_is_refused(kind: Any, column: Any) -> None:
    from airflow_xcom.codecs import Table

    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("geopandas.GeoSeries", 1)(Table(pa.table({"values": column}), {"kind": kind}))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copied_arrays_come_back(copied: Callable[[Any], Any]) -> None:
    array = copied(plain_series_of_geometries().array)
    assert vars(array)["base"] is None  # geopandas sets it
    payload = encode(array)
    assert_identical(array, decode(payload.to_bytes(), payload.format))
    array.base = 1
    with pytest.raises(UnsupportedValueError, match="'base', which .*would be lost"):
        encode(array)


def test_a_series_of_something_else_is_refused() -> None:
    from airflow_xcom.codecs import Table

    for tag in ("geopandas.GeoSeries", "geopandas.GeometryArray"):
        with pytest.raises(CorruptPayloadError, match="in place of geometries"):
            Decoder(registry).restorer(tag, 1)(Table(pa.table({"values": [1]}), {}))
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("geopandas.GeoDataFrame", 1)(Table(pa.table({"values": [1]}), {"geometry": []}))


def test_without_the_library_the_error_names_it(tmp_path: Any) -> None:
    payload = encode(plain_series_of_geometries())
    (tmp_path / "value").write_bytes(payload.to_bytes())
    code = f"""
import sys
sys.modules["geopandas"] = sys.modules["shapely"] = None
from airflow_xcom.codecs import MissingLibraryError
from airflow_xcom.codecs.payload import decode
try:
    decode(open({str(tmp_path / "value")!r}, "rb").read(), {payload.format!r})
except MissingLibraryError as error:
    print(error.library)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("geopandas", "shapely")
    assert issubclass(MissingLibraryError, ImportError)


@pytest.mark.parametrize("coordinate", [1.0, NAN], ids=["ordinary", "missing"])
def test_many_points_are_handled_together(coordinate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    read = shapely.from_wkb
    monkeypatch.setattr(shapely, "from_wkb", lambda data: calls.append(1) or read(data))
    series = gpd.GeoSeries(gpd.points_from_xy(np.full(1000, coordinate), np.full(1000, coordinate)))
    assert_identical(series, through_blob(series))
    assert len(calls) < 20


def test_the_comparer_notices() -> None:
    assert difference(Point(0.0, 1), Point(-0.0, 1))
    assert difference(Point(), Point(NAN, NAN))
    assert difference(Point(1, 2), shapely.set_srid(Point(1, 2), 1))
    assert difference(LinearRing(SQUARE), LineString([*SQUARE, SQUARE[0]]))
    assert difference(CRS(4326), CRS(4326).from_json(CRS(4326).to_json()))
    assert difference(_frame(), _frame().set_crs(3857, allow_override=True))
    assert difference(several_columns_of_geometries(), several_columns_of_geometries().set_geometry("nowhere"))


def _with_odd_ring() -> Any:
    return shapely.Polygon(shapely.set_srid(shapely.LinearRing([(0, 0), (1, 0), (1, 1)]), 5))


@pytest.mark.parametrize(
    "make",
    [
        lambda polygon: polygon,
        lambda polygon: shapely.set_srid(polygon, 4326),
        lambda polygon: shapely.MultiPolygon([shapely.box(0, 0, 1, 1), polygon]),
        lambda polygon: shapely.GeometryCollection([shapely.Point(1, 2), shapely.MultiPolygon([polygon])]),
        lambda polygon: gpd.GeoSeries([None, shapely.Point(1, 2), polygon]),
    ],
    ids=["polygon", "with an SRID", "in a multipolygon", "deeper", "in a series"],
)
def test_a_ring_with_an_srid_of_its_own_is_never_changed(make: Callable[[Any], Any]) -> None:
    value = make(_with_odd_ring())
    rings = shapely.get_rings(shapely.get_parts(shapely.get_parts(np.atleast_1d(np.asarray(value, dtype=object)))))
    if shapely.get_srid(rings).any():
        with pytest.raises(UnsupportedValueError, match="does not come back the same"):
            encode(value)
    else:
        assert encode(value)


def test_polygons_with_one_srid_are_kept() -> None:
    polygon = shapely.set_srid(shapely.box(0, 0, 1, 1), 4326)
    back = decode_json(encode([polygon]).to_json())[0]
    assert (shapely.get_srid(back), shapely.get_srid(back.exterior)) == (4326, 0)


def test_what_pandas_caches_in_a_dtype_is_no_attribute_of_the_users() -> None:
    dtype = GeometryDtype()
    assert dtype.index_class is pd.Index  # which pandas keeps in the dtype's `_cache`
    assert "_cache" in vars(dtype)
    assert_identical(dtype, decode(encode(dtype).to_bytes(), "msgpack"))

"""What the Data tab draws of values: pictures, lines and shapes, asked over HTTP of a real server."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import shapely
from conftest import Backend
from data_tab import Tab
from PIL import Image

pytestmark = pytest.mark.installation


def image(mode: str) -> Any:
    """13 by 7 pixels, all of them different where the mode has as many."""
    pixels = np.random.default_rng(17).integers(0, 256, (7, 13, 4), np.uint8)
    found = Image.fromarray(pixels, "RGBA")
    if mode == "P":
        return found.convert("RGB").quantize(16)
    if mode in {"LA", "PA", "RGBX"}:
        return Image.frombytes(mode, (13, 7), pixels[:, :, : len(mode) if mode != "RGBX" else 4].tobytes())
    return found.convert("RGB").convert(mode) if mode != "RGBA" else found


def shown(tab: Tab, **query: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(b64decode(tab.get("picture", **query)["png"]))).convert("RGBA"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "RGBX"])
def test_an_image_is_drawn_pixel_by_pixel(mode: str, tab: Tab) -> None:
    value = image(mode)
    tab.push(value)
    facts = tab.get("value")
    assert (facts["kind"], facts["text"], facts["downloads"]) == ("picture", f"13 x 7 pixels, {mode}", ["png"])
    expected = np.asarray((value.convert("RGB") if mode == "RGBX" else value).convert("RGBA"))
    np.testing.assert_array_equal(shown(tab), expected)
    saved = Image.open(io.BytesIO(tab.ask("download/png").content)).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(saved), expected)


def test_an_image_keeps_the_alpha_of_its_palette(tab: Tab) -> None:
    value = Image.new("P", (2, 1))
    value.putdata([0, 1])
    value.putpalette([10, 20, 30, 40, 50, 60, 70, 80], "RGBA")
    tab.push(value)
    expected = [[[10, 20, 30, 40], [50, 60, 70, 80]]]
    assert shown(tab).tolist() == expected
    saved = Image.open(io.BytesIO(tab.ask("download/png").content))
    assert np.asarray(saved).tolist() == expected


def test_an_image_of_inks_is_drawn(tab: Tab) -> None:
    value = image("CMYK")
    tab.push(value)
    expected = np.asarray(value.convert("RGB")).astype(int)
    assert np.abs(shown(tab)[:, :, :3].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["F", "I", "HSV"])
def test_an_image_of_other_modes_is_a_tree(mode: str, tab: Tab) -> None:
    tab.push(image(mode))
    assert tab.get("value")["kind"] == "tree"
    assert tab.refusal("picture")[0] == 422


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 9), (5, 9, 1), (5, 9, 3), (5, 9, 4), (2, 5, 9, 3)])
def test_an_array_of_bytes_is_a_picture(shape: tuple[int, ...], order: Any, tab: Tab) -> None:
    pixels = np.asarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8), order=order)
    tab.push({"images": [pixels]})
    facts = tab.get("value", path="0.0")
    assert (facts["kind"], facts["picture"]) == ("array", True)
    plane = pixels[1] if len(shape) == 4 else pixels
    plane = plane.reshape(5, 9, -1)
    plane = plane.repeat(3, axis=2) if plane.shape[2] == 1 else plane
    drawn = shown(tab, path="0.0", index="1" if len(shape) == 4 else "")
    np.testing.assert_array_equal(drawn[:, :, : plane.shape[2]], plane)
    if len(shape) == 4:
        assert tab.refusal("picture", path="0.0", index="2")[0] == 422


def test_a_large_picture_is_drawn_smaller_and_a_larger_one_is_refused(tab: Tab) -> None:
    pixels = np.arange(3000 * 2000, dtype="u4").astype("u1").reshape(3000, 2000)
    tab.push(pixels)
    assert tab.get("picture")["step"] == 3
    np.testing.assert_array_equal(shown(tab)[:, :, 0], pixels[::3, ::3])
    tab.push(np.zeros((8200, 8200), "u1"))
    assert tab.refusal("picture") == (413, "large")


def test_arrays_that_are_no_pictures(tab: Tab) -> None:
    for array in (np.zeros((5, 9)), np.zeros((5, 9, 2), "u1"), np.zeros((0, 9), "u1"), np.zeros(5, "u1")):
        tab.push(array)
        assert tab.get("value")["picture"] is False
        assert tab.refusal("picture")[0] == 422


# -- lines ---------------------------------------------------------------------------------------------------


def test_a_series_is_a_line_over_its_times(tab: Tab) -> None:
    times = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-11"])
    tab.push(pd.Series([1.0, np.nan, -3.0, 2.0], times, name="a"))
    assert tab.get("value")["line"] is True
    line = tab.get("line")
    assert line["bins"] == [[1.0, 1.0], None, [-3.0, -3.0], [2.0, 2.0]]
    assert line["at"] == [0.0, 0.1, 0.2, 1.0]
    assert [label[:10] for label in line["over"]] == ["2024-01-01", "2024-01-11"]
    tab.push(pd.Series([1, 2, 3], [3, 1, 2]))
    assert "over" not in tab.get("line")
    tab.push(times)
    assert tab.get("value")["line"] is True
    assert [low for low, _ in tab.get("line")["bins"]] == times.asi8.tolist()


def test_every_extreme_of_a_long_series_is_in_its_line(tab: Tab) -> None:
    values = np.random.default_rng(1).normal(size=300_000)
    values[200_000] = 99
    tab.push(pl.Series("a", values))
    line = tab.get("line")
    assert (line["count"], len(line["bins"])) == (1 << 18, 600)
    assert max(high for _, high in line["bins"]) == 99
    rest = tab.get("line", row=1 << 18)
    assert (rest["first"], rest["count"]) == (1 << 18, 300_000 - (1 << 18))
    assert tab.get("line", row=10**9)["bins"] == []


def test_a_column_of_a_frame_is_a_line(tab: Tab) -> None:
    tab.push(pd.DataFrame({"text": ["a", "b"], "n": pd.array([2**40, None], "Int64"), "password": [1, 2]}))
    assert tab.get("value")["line"] is False
    assert tab.get("line", column=1)["bins"] == [[2**40, 2**40], None]
    assert tab.refusal("line", column=0)[0] == 422
    assert tab.refusal("line", column=9)[0] == 422
    assert tab.refusal("line", column=2) == (403, "hidden")


# -- shapes --------------------------------------------------------------------------------------------------

HOLE = shapely.Polygon([(0, 0), (10, 0), (10, 5), (0, 5)], [[(1, 1), (2, 1), (2, 2)]])
GEOMETRIES = [
    HOLE,
    None,
    shapely.Point(5, 2.5),
    shapely.LineString([(0, 5, 7), (10, 0, 7)]),
    shapely.GeometryCollection([shapely.Point(0, 0), shapely.MultiPolygon([HOLE])]),
    shapely.LinearRing([(0, 0), (1, 0), (1, 1)]),
    shapely.Point(),
]
AREA = "M0,500L1000,500L1000,0L0,0L0,500ZM100,400L200,400L200,300L100,400Z"


def test_geometries_of_a_column_are_paths(tab: Tab) -> None:
    frame = gpd.GeoDataFrame({"name": range(7)}, geometry=GEOMETRIES, crs="EPSG:4326")
    tab.push(frame)
    (column,) = tab.get("value")["shapes"]
    found = tab.get("shapes", column=column, rows=100)
    assert (found["low"], found["high"], found["width"], found["height"]) == ([0, 0], [10, 5], 1000, 500)
    shapes = {shape.pop("row"): shape for shape in found["shapes"]}
    assert shapes == {
        0: {"areas": AREA},
        2: {"points": "M500,250h0"},
        3: {"lines": "M0,0L1000,500"},
        4: {"points": "M0,500h0", "areas": AREA},
        5: {"lines": "M0,500L100,500L100,400L0,500"},
        6: {},
    }
    assert [shape["row"] for shape in tab.get("shapes", column=column, row=2, rows=2)["shapes"]] == [2, 3]
    assert tab.refusal("shapes", column=0, rows=1)[0] == 422
    tab.push(gpd.GeoSeries(GEOMETRIES))
    assert tab.get("shapes", rows=100)["shapes"][0]["areas"] == AREA
    tab.push({"geo": frame.rename_geometry("password")})
    assert tab.get("value", path="0")["shapes"] == []
    assert tab.refusal("shapes", path="0", column=1, rows=1)[0] == 422


@pytest.mark.parametrize(
    "geometry", [each for each in GEOMETRIES[:-1] if each is not None], ids=lambda each: each.geom_type
)
def test_a_geometry_is_a_path(geometry: Any, tab: Tab) -> None:
    tab.push({"geometry": geometry, "n": (1,)})
    assert tab.get("items")["items"][0]["kind"] == "shape"
    assert tab.get("value", path="0")["kind"] == "shape"
    (shape,) = tab.get("shapes", path="0", rows=1)["shapes"]
    assert all(re.fullmatch(r"[MLZh0-9.,e+-]+", path) for name, path in shape.items() if name != "row")
    assert len(shape) > 1


def test_what_is_too_much_to_draw_is_told(tab: Tab) -> None:
    angles = np.linspace(0, 6.28, 30_000)
    circle = shapely.Polygon(np.c_[np.cos(angles), np.sin(angles)])
    tab.push(gpd.GeoSeries([circle] * 40))
    found = tab.get("shapes", rows=100)
    assert (found["thinned"], found["full"]) == (True, True)
    assert 20 < len(found["shapes"]) < 30
    tab.push(gpd.GeoSeries([shapely.Point(1e308, -1e308), shapely.Point(-1e308, 1e308), shapely.Point(np.nan, 1)]))
    assert [shape.get("points") for shape in tab.get("shapes", rows=9)["shapes"]] == ["M1000,1000h0", "M0,0h0", None]


def test_no_more_of_a_geometry_is_parsed_than_is_drawn(tab: Tab) -> None:
    points = shapely.MultiPoint(np.arange(120_000.0).reshape(-1, 2))
    tab.push(gpd.GeoSeries([shapely.Point(), points, shapely.Point(1, 1)]))
    found = tab.get("shapes", rows=3)
    assert (found["shapes"], found["full"]) == ([{"row": 0}], True)
    found = tab.get("shapes", row=1, rows=2)
    (shape,) = found["shapes"]
    assert shape["row"] == 1
    assert 49_000 < shape["points"].count("h0") <= 50_000
    assert (found["thinned"], found["full"]) == (True, True)
    assert tab.get("shapes", row=2, rows=1)["shapes"] == [{"row": 2, "points": "M0,0h0"}]


@pytest.mark.parametrize(
    "wkb",
    [
        b"\x01\x03\0\0\0" + (200_000).to_bytes(4, "little") + bytes(4 * 200_000),  # rings
        b"\x01\x07\0\0\0" + (60_000).to_bytes(4, "little") + b"\x01\x07\0\0\0\0\0\0\0" * 60_000,  # collections
        b"\x01\x06\0\0\0" + (60_000).to_bytes(4, "little") + b"\x01\x03\0\0\0\0\0\0\0" * 60_000,  # polygons
    ],
    ids=["rings", "collections", "polygons"],
)
def test_parts_without_vertices_are_counted(wkb: bytes) -> None:
    from airflow_xcom.backend.ui.shapes import drawn

    found = drawn([(0, [wkb]), (1, [wkb])])
    assert (found["shapes"], found["thinned"], found["full"]) == ([{"row": 0}], True, True)


@pytest.mark.parametrize(
    "wkb",
    [
        "00",
        "0101000000",
        "010200000000000040",
        "0103000000ffffffff",
        "0107000000ffffffff",
        "01ff000000",
        "00000000013ff00000000000003ff0000000000000",
        "01030000000100000000000080",
    ],
)
def test_forged_geometries_are_refused(wkb: str, tab: Tab) -> None:
    from base64 import b64encode

    data = {"$": ["shapely.geometry", 1, {"$": ["bytes", b64encode(bytes.fromhex(wkb)).decode()]}]}
    tab.write_row({"airflow_xcom": {"version": 1, "tag": "x", "summary": {}, "of": [None] * 5, "data": data}})
    answer = tab.ask("shapes", rows=1)
    assert answer.status_code in {409, 422}, answer.text


def test_nothing_is_drawn_of_what_may_not_be_shown(tab: Tab, backend: Backend) -> None:
    for value, what in ((image("L"), "picture"), (pd.Series([1.0]), "line"), (gpd.GeoSeries(GEOMETRIES), "shapes")):
        tab.push(value)
        assert tab.ask(what, rows=1).status_code == 200
        backend.options(preview="columns")
        assert tab.refusal(what, rows=1) == (403, "hidden")
        assert tab.refusal("download/png", rows=1)[0] == 403
        backend.options(preview="rows")


def test_forged_positions_of_geometries_are_passed_over() -> None:
    from airflow_xcom.backend.ui.table_view import TableView

    kinds = {"9" * 5000: ["geometry"], 0: ["geometry"], "x": ["geometry"], "7": ["geometry"], "1": ["geometry"], "0": 3}
    schema = pa.schema([("a", pa.large_binary()), ("b", pa.large_binary())])
    view = TableView("geopandas.GeoDataFrame", {"kinds": kinds}, schema, 0, lambda _columns, _rows: None)
    assert view.geometries == [1]

"""Views of the Data tab in a real browser, of an API server in this process, whose values are pushed by each test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import chromium
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from airflow.sdk import Asset
from conftest import Backend
from data_tab import Tab
from PIL import Image
from published import Published

from airflow_xcom.backend.database.variables import keep_report
from airflow_xcom.backend.database.xcom_rows import metadata_rows
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.ui import asset_versions, comparison, storage
from airflow_xcom.codecs import Codec, registry

AXE = metadata.distribution("axe-playwright-python").locate_file("axe_playwright_python/axe.min.js")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
WINDOW = {"width": 1280, "height": 800}
WAIT = 180_000  # milliseconds; of a busy machine


class Station:
    """A type of a user's."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.started() as found:
        yield found


@pytest.fixture
def page(browser: Any, airflow: str, token: str) -> Iterator[Any]:
    """A page of a user who is logged in; at the end it has had no error, and loaded nothing that its policy forbids."""
    problems: list[str] = []
    with browser.new_context(viewport=WINDOW) as context:
        context.add_cookies([{"name": "_token", "value": token, "url": airflow}])
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        yield page
    assert problems == []


@pytest.fixture
def show(page: Any, tab: Tab, airflow: str) -> Callable[..., None]:
    """Pushes a value and opens its page."""

    def shown(value: Any) -> None:
        tab.push(value)
        dag, run, task = (quote(part, safe="") for part in tab.place)
        page.goto(f"{airflow}/xcom-data/page/dags/{dag}/runs/{run}/tasks/{task}/-1")
        page.get_by_role("heading", name="In Python").wait_for()

    return shown


def assert_accessible(page: Any, picture: str | None = None) -> None:
    """Fail where axe finds a violation, in light and dark and at two widths.

    With the variable DATA_TAB_IMAGES=1, a page that has a name becomes a picture of docs/DATA_TAB.md, too.
    """
    page.evaluate(AXE.read_text())
    for scheme, width in (("light", WINDOW["width"]), ("dark", WINDOW["width"]), ("light", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({**WINDOW, "width": width})
        found = page.evaluate("levels => axe.run({ runOnly: levels })", LEVELS)
        assert len(found["passes"]) > 5
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if picture is not None and width == WINDOW["width"] and os.environ.get("DATA_TAB_IMAGES"):
            page.screenshot(path=IMAGES / f"data-tab-{picture}-{scheme}.png", full_page=True)
    page.set_viewport_size(WINDOW)


def cell(page: Any, row: int, column: int) -> Any:
    return page.locator(f'[id="cell-{row}-{column}"]')


def column_of(page: Any, column: int, rows: int) -> list[str]:
    return [cell(page, row, column).inner_text() for row in range(rows)]


# -- rows that are loaded ------------------------------------------------------------------------------------


def test_loaded_rows_are_sorted_and_filtered(page: Any, show: Callable[..., None]) -> None:
    zone = "Europe/Berlin"
    times = ["2024-10-27 00:30", None, "2024-10-27 01:30", "2024-10-26 12:00", "2024-01-01 00:00"]
    frame = pd.DataFrame(
        {
            "big": pd.array([2**62 + 1, 2**62, None, -5, 9], "Int64"),
            "float": [10.0, float("inf"), float("nan"), -2.5e300, 9.0],
            "time": pd.to_datetime(times, utc=True).tz_convert(zone),
            "text": ["b", "a", "<b>", None, "10"],
        }
    )
    show(frame)
    cell(page, 0, 0).filter(has_text=str(2**62 + 1)).wait_for()
    expected = {
        0: ["-5", "9", str(2**62), str(2**62 + 1), "null"],
        1: ["-2.5e+300", "9", "10", "inf", "nan"],
        3: ["10", "<b>", "a", "b", "null"],
    }
    for column, texts in expected.items():
        cell(page, 0, column).click()
        page.get_by_role("button", name="Sort by this column").click()
        page.get_by_text(f"sorted by {frame.columns[column]}").wait_for()
        assert column_of(page, column, 5) == texts
        assert cell(page, -1, column).get_attribute("aria-sort") == "ascending"
    cell(page, 0, 2).click()
    page.get_by_role("button", name="Sort downwards").click()
    page.get_by_text("sorted by time").wait_for()
    assert [text[:22] + text[-5:] for text in column_of(page, 2, 2)] == [
        "2024-10-27 02:30:00.00+0100",
        "2024-10-27 02:30:00.00+0200",
    ]
    assert cell(page, -1, 2).get_attribute("aria-sort") == "descending"
    assert_accessible(page)
    page.get_by_role("button", name="All rows").click()
    assert column_of(page, 3, 5) == ["b", "a", "<b>", "null", "10"]
    field = page.get_by_label("Filter loaded rows")
    for wanted, column, rows in (
        ("B>", 3, ["<b>"]),
        (f"> {2**62}", 0, [str(2**62 + 1)]),
        ("inf", 1, ["inf"]),
        ("zzz", 0, []),
    ):
        field.fill("")
        cell(page, 0, column).click()
        field.fill(wanted)
        page.get_by_text(f"{len(rows)} of the 5 rows that are loaded").wait_for()
        assert column_of(page, column, len(rows)) == rows
        assert cell(page, len(rows), 0).count() == 0


def test_a_sorted_row_is_shown_whole_and_as_the_row_that_it_is(page: Any, show: Callable[..., None]) -> None:
    show(pd.DataFrame({"number": range(400), "text": [f"{number:03}" * 100 for number in range(400)]}))
    cell(page, 0, 0).filter(has_text="0").click()
    page.get_by_role("button", name="Sort downwards").click()
    page.get_by_text("sorted by number").wait_for()
    assert column_of(page, 0, 2) == ["49", "48"]
    cell(page, 0, 1).dblclick()
    page.get_by_role("heading", name="text, row 49").wait_for()
    page.get_by_text("049" * 100, exact=True).wait_for()


def test_only_rows_whose_column_is_loaded_are_sorted_by_it(page: Any, show: Callable[..., None]) -> None:
    show(pd.DataFrame({f"c{column}": np.arange(400) * -1 for column in range(100)}))
    cell(page, 0, 0).filter(has_text="0").wait_for()
    grid = page.get_by_role("grid")
    grid.focus()
    page.keyboard.press("Control+End")
    cell(page, 399, 99).filter(has_text="-399").click()
    page.get_by_role("button", name="Sort by this column").click()
    page.get_by_text("50 of the 50 rows that are loaded, sorted by c99").wait_for()
    assert column_of(page, 99, 2) == ["-399", "-398"]


def test_a_text_is_searched_as_a_whole(page: Any, show: Callable[..., None]) -> None:
    show("needle <b>" + "hay " * 500 + "needle")
    page.get_by_label("Search").fill("NEEDLE")
    page.get_by_text("1 of 2 places").wait_for()
    assert page.locator("mark").all_inner_texts() == ["needle", "needle"]
    assert_accessible(page)


def test_what_a_codec_says_of_its_value_is_text(page: Any, show: Callable[..., None], backend: Any) -> None:
    def render(station: Any) -> Any:
        return {"<b>bold</b>": "<i>" * 200} if station.name else 1 / 0

    made = Codec(
        "browser.station",
        (Station,),
        lambda station: station.name,
        lambda node, _: Station(node),
        summarize=lambda _: {"<u>": "<script>"},
        render=render,
    )
    registry.register(made, replace=True)
    backend.options(data_tab_render="True", preview="rows")
    try:
        show(Station("north"))
        page.get_by_text("<b>bold</b>:").wait_for()
        page.get_by_text('"<script>"').wait_for()
        assert_accessible(page)
        show(Station(""))
        page.get_by_text("browser.station cannot be rendered: ZeroDivisionError: division by zero.").wait_for()
        assert_accessible(page)
    finally:
        registry._forget(made)


def test_the_first_rows_take_two_requests_that_begin_with_the_page(page: Any, show: Callable[..., None]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: "/api/" in request.url and asked.append(request.url))
    show(
        pd.DataFrame({f"c{column}": range(1_000) for column in range(30)}, index=pd.Index(range(7, 7007, 7), name="n"))
    )
    page.locator('[id="cell-0-0"]', has_text="0").wait_for()
    links = page.locator("link[rel=preload]").evaluate_all("links => links.map((link) => link.href)")
    assert len(links) == 2
    assert sorted(asked) == sorted(links)
    page.get_by_role("rowheader", name="7", exact=True).wait_for()


def test_numbers_beyond_those_of_a_browser_are_shown_as_they_are(page: Any, show: Callable[..., None]) -> None:
    show(2**53 + 1)
    page.get_by_text("This and earlier runs").click()
    page.get_by_role("region", name="Runs").get_by_role("cell", name="9007199254740993").wait_for()


def test_columns_are_ordered_by_their_values(page: Any, show: Callable[..., None]) -> None:
    show({"a": 1})
    order = """async ([type, texts]) => {
        const { comparison } = await import(new URL('loaded.js', document.querySelector('script').src));
        return texts.sort(comparison(type));
    }"""
    for kind, texts in {
        "int64": ["-5", "9", "10", str(2**62), str(2**62 + 1)],
        "double": ["-inf", "-2.5e+300", "0.5", "9", "inf", "nan"],
        "dictionary<values=int64, indices=int8, ordered=0>": ["9", "10"],
        "decimal128(30, 2)": ["-1.10", "1.09", "1.10", "12345678901234567890.01", "12345678901234567890.02"],
        "string": ["10", "9"],
        "timestamp[ns, tz=Europe/Berlin]": [
            "2024-10-27 02:30:00.000000000+0200",
            "2024-10-27 02:30:00.000000000+0100",
        ],
        "duration[s]": ["-3 s", "9 s", "10 s"],
    }.items():
        assert page.evaluate(order, [kind, texts[::-1]]) == texts


# -- pictures, lines and shapes ------------------------------------------------------------------------------


def pixels_of(page: Any) -> Any:
    """What stands in the first picture."""
    data = page.evaluate(
        "() => { const c = document.querySelector('canvas.picture');"
        " return [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }"
    )
    return np.array(data[2:], np.uint8).reshape(data[1], data[0], 4)


def test_an_image_is_a_picture(page: Any, show: Callable[..., None]) -> None:
    ramp = np.linspace(0, 255, 240).astype(np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (160, 1)), np.tile(ramp[:160, None], (1, 240)), np.full((160, 240), 90, np.uint8)], axis=2
    )
    show(Image.fromarray(pixels))
    page.get_by_role("img", name=re.compile("Picture of 240 . 160 pixels")).wait_for()
    np.testing.assert_array_equal(pixels_of(page)[:, :, :3], pixels)
    assert_accessible(page, "picture")


def test_an_array_of_images_has_them_one_by_one(page: Any, show: Callable[..., None]) -> None:
    pixels = np.random.default_rng(17).integers(0, 256, (3, 6, 5, 3), np.uint8)
    show(pixels)
    picture = page.get_by_role("img", name=re.compile("Picture of 5 . 6 pixels"))
    picture.wait_for()
    np.testing.assert_array_equal(pixels_of(page)[:, :, :3], pixels[0])
    shown = picture.element_handle()
    page.get_by_label("Image of 3").fill("2")
    page.get_by_label("Image of 3").press("Enter")
    page.wait_for_function("shown => !shown.isConnected", arg=shown)
    np.testing.assert_array_equal(pixels_of(page)[:, :, :3], pixels[2])
    assert_accessible(page)


def test_of_answers_out_of_order_the_last_that_was_asked_for_is_shown(page: Any, show: Callable[..., None]) -> None:
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route(re.compile(r"/picture\?.*index=1|/heat\?.*row=200"), hold)

    def release() -> None:
        (route,) = held
        with page.expect_event("requestfinished", lambda request: request.url == route.request.url):
            route.continue_()
        held.clear()
        page.evaluate("() => new Promise(done => setTimeout(done, 200))")  # in which it would be drawn

    pixels = np.random.default_rng(17).integers(0, 256, (3, 6, 5, 3), np.uint8)
    show(pixels)
    picture = page.get_by_role("img", name=re.compile("Picture of 5 . 6 pixels"))
    picture.wait_for()
    shown = picture.element_handle()
    field = page.get_by_label("Image of 3")
    for number in ("1", "2.9"):
        field.fill(number)
        field.press("Enter")
    page.wait_for_function("shown => !shown.isConnected", arg=shown)
    release()
    np.testing.assert_array_equal(pixels_of(page)[:, :, :3], pixels[2])
    show(np.arange(160_000.0).reshape(400, 400))
    page.get_by_role("button", name="Later rows").click()
    page.get_by_role("button", name="Columns to the right").click()
    last = page.get_by_text("Heat map of rows 0 to 199 of 400 and columns 200 to 399 of 400.")
    last.wait_for()
    release()
    assert last.is_visible()


def test_a_drawing_says_what_it_leaves_out(page: Any, show: Callable[..., None]) -> None:
    values = np.arange(300.0)
    values[[3, 7]] = np.nan, np.inf
    show(values)
    page.get_by_text("2 values that are missing, not a number or infinite are left out.").wait_for()
    show(values[:, None][:100] * [1, 2])
    page.get_by_text("4 values that are missing, not a number or infinite are left out.").wait_for()
    show(pd.DataFrame({"number": pd.array([1, None, 2**62], "Int64"), "bytes": [b"x", b"yz", None]}))
    page.get_by_text("A CSV has bytes, geometries and objects as <N bytes>.").wait_for()
    cell(page, -1, 0).filter(has_text="number").click()
    page.get_by_text("1 value that is missing, not a number or infinite is left out.").wait_for()
    page.get_by_text(f"about {(2**62 + 1) / 2}").wait_for()


def test_a_cell_that_cannot_be_read_says_why(page: Any, show: Callable[..., None]) -> None:
    show(pd.DataFrame({"a": [1], "b": [2]}))
    page.route(re.compile(r"/cells\?.*rows=1&"), lambda route: route.fulfill(content_type="text/html", body="<p>"))
    cell(page, 0, 0).filter(has_text="1").dblclick()
    page.get_by_role("heading", name="a, row 0").wait_for()
    page.get_by_text("the server answered 200").wait_for()


def test_a_comparison_that_is_out_of_time_names_the_columns(
    page: Any, show: Callable[..., None], tab: Tab, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(compression="zstd")
    monkeypatch.setattr(comparison, "_SECONDS", 0)
    tab.place = ("flights", "two", "extract")
    tab.push(pd.DataFrame({"a": [1, 2], "b": [1, 2]}), place=tab.place)
    show(pd.DataFrame({"a": [1, 3], "b": [1, 3]}))
    page.get_by_text("This and earlier runs").click()
    page.get_by_role("button", name="Compare with one").click()
    page.get_by_text("of 1 column, not all of the 2 rows were compared (b: 0). They differ in a: 1 row.").wait_for()


def test_a_series_is_a_line_over_its_times(page: Any, show: Callable[..., None]) -> None:
    show(pd.Series(np.arange(500.0), pd.date_range("2024-01-01", periods=500, freq="h")))
    page.get_by_role("img", name="Line of 500 values from 2024-01-01").wait_for()
    cell(page, 0, 0).filter(has_text=re.compile("^0$")).wait_for()
    assert page.get_by_role("rowheader").first.inner_text().startswith("2024-01-01 00:00")
    assert_accessible(page, "series")
    cell(page, -1, 0).click()
    page.get_by_role("button", name="Draw it row by row").click()
    page.get_by_role("img", name="Line of 500 values from 2024-01-01").nth(1).wait_for()


def test_geometries_are_shapes(page: Any, show: Callable[..., None]) -> None:
    squares = [shapely.box(at, 0, at + 1, 1) for at in range(9)]
    show(gpd.GeoDataFrame({"n": range(10)}, geometry=[*squares, shapely.Point(4, 2)]))
    page.get_by_role("img", name="Shapes of rows 0 to 9 of 10, x from 0 to 9, y from 0 to 2").wait_for()
    assert page.locator("svg.plane path.areas").count() == 9
    boxes = [path.bounding_box() for path in page.locator("svg.plane path.areas").all()]
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    assert page.locator("svg.plane path.points").bounding_box()["y"] < boxes[0]["y"]
    assert_accessible(page, "shapes")


def test_parts_open_inside_the_tree(page: Any, show: Callable[..., None]) -> None:
    frame = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, None]})
    picture = Image.fromarray(np.zeros((4, 5), np.uint8))
    show({"frame": frame, "picture": picture, "shape": shapely.box(0, 0, 1, 1), "n": (1,)})
    page.get_by_role("button", name="Open frame").click()
    inside = page.locator("ul.tree li", has_text="frame:").get_by_role("grid")
    inside.get_by_text("0.7").wait_for()
    assert_accessible(page)
    page.get_by_role("button", name="Open picture").click()
    page.get_by_role("img", name=re.compile("Picture of 5 . 4 pixels")).wait_for()
    assert page.get_by_role("grid").count() == 0
    page.get_by_role("button", name="Open shape").click()
    page.get_by_role("img", name="Shape, x from 0 to 1").wait_for()
    page.get_by_role("button", name="Close shape").click()
    assert page.get_by_role("img").count() == 0
    page.get_by_role("button", name="Open frame").focus()
    page.keyboard.press("Enter")
    inside.get_by_text("0.7").wait_for()


# -- the page of all values ----------------------------------------------------------------------------------


class OwnText(str):
    __slots__ = ()


def test_storage_is_shown_dag_by_dag(page: Any, tab: Tab, backend: Backend, airflow: str) -> None:
    backend.options(threshold=0, inexact="as_airflow", stores='{"archive": "file:///archive/of/xcoms"}')
    tab.push(pd.DataFrame({"a": np.arange(9000)}), "positions", place=("trains", "one", "clean"))
    for run, rows in (("one", 30_000), ("two", 40_000), ("three", 50_000)):
        tab.push(pd.DataFrame({"knots": np.arange(rows) / 7}), "logbook", place=("ships", run, "extract"))
    tab.push((OwnText("x"),), "names", place=("ships", "one", "clean"))
    swept = {
        "store": settings().digest_of("default"),
        "orphans": 12,
        "bytes": 3_400_000,
        "deleted": 0,
        "deleted_bytes": 0,
    }
    kept = {"due": 7, "retired": 7, "in_blobs": 5_600_000, "in_rows": 1200}
    database = metadata_rows().database
    keep_report(database, "sweep", {"default": {"at": "2026-01-02T03:04:05+00:00", "applied": False, **swept}})
    keep_report(database, "retain", {"at": "2026-01-02T03:00:00+00:00", "applied": True, **kept})
    page.goto(f"{airflow}/xcom-data/page/storage")
    page.get_by_role("status").get_by_text("of 3 Dags.").wait_for()
    row = page.get_by_role("region", name="By Dag and store").locator("tr", has_text="trains").first
    row.get_by_text("KB").wait_for()
    page.get_by_role("region", name="Stores", exact=True).get_by_text("airflow-xcom adopt").nth(1).wait_for()
    page.get_by_role("cell", name="12 payloads, 3.4 MB").wait_for()
    page.get_by_text("7 of 7 values were retired, 5.6 MB in stores and 1.2 KB in Airflow's database.").wait_for()
    page.get_by_role("region", name="Not exact").get_by_role("link", name="ships · clean · names").wait_for()
    assert_accessible(page, "storage")
    page.get_by_role("link", name="trains · clean · positions").click()
    page.get_by_role("heading", name="Values of this task").wait_for()
    cell(page, 0, 0).filter(has_text="0").wait_for()


def test_storage_shows_names_as_text_and_says_what_it_left_out(
    page: Any, tab: Tab, airflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = "<img src=x onerror=\"document.title='attacked'\">"
    tab.push((1, 2), attack, place=("ships", "one", "clean"))
    tab.push((1, 2), "my_password", place=("trains", "one", "clean"))
    page.goto(f"{airflow}/xcom-data/page/storage")
    page.get_by_role("link", name=f"ships · clean · {attack}").wait_for()
    page.get_by_text("1 value of other Dags is hidden, and not counted.").wait_for()
    assert page.title() == "Data"
    monkeypatch.setattr(storage, "_ROWS", 0)
    page.reload()
    page.get_by_text(re.compile("Only the last values were counted of .*ships")).wait_for()
    page.route("**/storage.js", lambda route: route.fulfill(response=(found := route.fetch()), body=few(found)))
    page.reload()
    button = page.get_by_role("button", name="Look at further Dags")
    button.wait_for()
    page.route("**/api/dags/*/storage", lambda _: None)  # never answers
    button.click()
    assert button.is_disabled()


def few(script: Any) -> str:
    """Return the script of the page, which asks after each Dag whether to go on."""
    text: str = script.text()
    assert "const AT_ONCE = 4;" in text
    assert "rows < MOST_ROWS" in text
    return text.replace("const AT_ONCE = 4;", "const AT_ONCE = 1;").replace("rows < MOST_ROWS", "!rows++")


# -- assets --------------------------------------------------------------------------------------------------


def test_versions_of_an_asset_are_opened_and_compared(page: Any, published: Published, airflow: str) -> None:
    name = "flights <b>&</b> Ålesund"
    asset = Asset(name, uri="file:///lake/in-a-browser")
    frame = pd.DataFrame({"id": [1, 2, 3], "delay": [0.5, 1.5, 2.5]})
    first = published.made(frame, asset, run="one")
    published.made(frame.assign(delay=[0.5, 9.0, 2.5], gate="a"), asset, run="two")
    published.read(first, asset, "trains", "one")
    published.record(replace(first, source=(None, None, None, None), extra={**first.extra, "from_rest_api": True}))
    page.goto(f"{airflow}/xcom-data/page/dags/flights/runs/one/tasks/extract/-1")
    page.get_by_role("link", name=f"Versions of {name}").click()
    page.get_by_role("heading", name=name).wait_for()
    newest, old = page.get_by_role("table").first.get_by_role("row").all()[1:]
    assert "column 'gate' was added" in newest.inner_text()
    assert "latest" in newest.inner_text()
    assert "latest" not in old.inner_text()
    page.get_by_text("1 event is not counted").click()
    page.get_by_text("sent by the REST API").wait_for()
    page.get_by_role("img", name="Line of 2 values").wait_for()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("They differ in delay: 1 row.").wait_for()
    assert "gate missing → " in page.get_by_role("table", name="").filter(has_text="Least").inner_text().replace(
        "\t", " "
    )
    old.get_by_role("button").click()
    cell(page, 1, 1).filter(has_text="1.5").wait_for()
    page.get_by_role("link", name="trains · one · clean").wait_for()
    page.get_by_text("next(each for each in versions(Asset(").wait_for()
    assert page.get_by_text("This and earlier runs").count() == 0
    assert_accessible(page, "asset")
    page.get_by_label("Only of the partition").fill("none")
    page.get_by_label("Only of the partition").press("Enter")
    page.get_by_text("There is no version that you may read.").wait_for()
    page.get_by_role("link", name="All assets with values").click()
    page.get_by_role("heading", name="Assets with values").wait_for()
    assert_accessible(page)
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="flights · two · extract").click()
    page.get_by_role("heading", name="Values of this task").wait_for()


def test_older_versions_of_an_asset_follow_the_newer_ones(
    page: Any, published: Published, airflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = Asset("page by page", uri="file:///lake/page-by-page")
    events = [published.made(pd.DataFrame({"id": [number]}), asset) for number in range(2)]
    monkeypatch.setattr(asset_versions, "_EVENTS", 1)
    address = f"{airflow}/xcom-data/page/assets"
    page.goto(f"{address}/{published.asset_id(asset.name, asset.uri)}")
    names = [str(event.id) for event in reversed(events)]
    page.route("**/versions?before=*", lambda route: route.fulfill(content_type="text/html", body=""))
    page.get_by_role("button", name="Older versions").click()
    page.get_by_role("alert").get_by_text("the server answered 200").wait_for()
    page.get_by_role("button", name=names[0]).wait_for()
    page.unroute("**/versions?before=*")
    page.get_by_role("button", name="Older versions").click()
    page.get_by_role("button", name=names[1]).wait_for()
    assert page.get_by_role("alert").count() == 0
    assert page.locator("button:focus").inner_text() == names[1]
    other = page.context.new_page()  # whose console tells that an answer was an error
    other.goto(f"{address}/{10**10}")
    other.get_by_text("asset_id: Input should be less than").wait_for()


def test_the_list_of_assets_is_in_airflows_own_menu(page: Any, published: Published, airflow: str) -> None:
    published.made(pd.DataFrame({"id": [1]}), Asset("in the menu", uri="file:///lake/menu"))
    page.goto(f"{airflow}/plugin/xcom-data-assets")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="in the menu").click()
    frame.get_by_role("heading", name="in the menu").wait_for()
    frame.get_by_role("cell", name="flights · one · extract").wait_for()

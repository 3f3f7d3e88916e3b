"""The Data tab in a real browser, of a real API server, with the demo's Dag and one that pushes values of all kinds.

With the variable DATA_TAB_IMAGES=1 the pictures in docs/images are made anew.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import chromium
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from data_tab_airflow import ROOT, serving

IMAGES = ROOT / "docs" / "images"
AXE = metadata.distribution("axe-playwright-python").locate_file("axe_playwright_python/axe.min.js")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCHEMES = ("light", "dark")
WAIT = 180_000  # milliseconds; of a busy machine
WINDOW = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's URL, its folder of blobs, and the runs: of flights one, of the gallery two."""
    with serving(tmp_path_factory.mktemp("airflow")) as found:
        yield found


def cleaned() -> pd.DataFrame:
    """What the task `clean` of the demo returns."""
    import flights

    frame: pd.DataFrame = flights.clean.function(flights.extract.function())
    return frame


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.started() as found:
        yield found


@pytest.fixture(scope="module")
def session(served: Any, browser: Any) -> Any:
    """The cookies of a user whom Airflow has let in."""
    with browser.new_context() as context:
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.goto(served.url)
        page.get_by_text("Dags", exact=True).first.wait_for()
        return context.storage_state()


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_page(browser: Any, session: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages; at the end, none has had an error, or loaded what its policy forbids."""
    contexts, problems = [], []

    def make(color_scheme: str = "light", **options: Any) -> Any:
        given = {"viewport": WINDOW, "storage_state": session, "accept_downloads": True, **options}
        context = browser.new_context(color_scheme=color_scheme, **given)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        return page

    yield make
    for context in contexts:
        context.close()
    assert problems == []


class Tab:
    """The tab of a task instance, or of a run, without Airflow's page around it."""

    def __init__(self, served: Any, page: Any, dag: str = "gallery", task: str | None = "show") -> None:
        run = quote(served.runs[dag], safe="")
        place = f"dags/{dag}/runs/{run}" + (f"/tasks/{task}/-1" if task else "")
        self.page = page
        page.goto(f"{served.url}/xcom-data/page/{place}")
        page.get_by_role("heading", level=1).wait_for()

    def choose(self, key: str) -> None:
        self.page.get_by_role("button", name=key, exact=True).click()
        self.page.get_by_role("heading", name=key, exact=True).wait_for()
        self.page.get_by_role("heading", name="In Python").wait_for()

    def cell(self, row: int, column: int) -> Any:
        return self.page.locator(f'[id="cell-{row}-{column}"]')


def table(served: Any, page: Any) -> None:
    tab = Tab(served, page, "flights", "clean")
    tab.cell(0, 3).filter(has_text="517").wait_for()


def statistics(served: Any, page: Any) -> None:
    tab = Tab(served, page, "flights", "clean")
    tab.cell(-1, 5).filter(has_text="dep_delay").click()
    page.get_by_role("img", name="Histogram from -43 to 1301").wait_for()


def heat_map(served: Any, page: Any) -> None:
    Tab(served, page, "flights", "summarise").choose("delay_by_month_and_hour")
    page.get_by_role("img", name="Heat map of rows 0 to 11").wait_for()


def line(served: Any, page: Any) -> None:
    Tab(served, page).choose("line")
    page.get_by_role("img", name="Line of 20,000 values").wait_for()


def tree(served: Any, page: Any) -> None:
    tab = Tab(served, page)
    tab.choose("return_value")
    page.get_by_role("button", name="levels").click()
    page.get_by_role("button", name="0", exact=True).click()
    page.get_by_text("first").wait_for()
    page.get_by_role("button", name="Open frame").click()
    tab.cell(1, 1).filter(has_text="null").or_(tab.cell(1, 1).filter(has_text="nan")).wait_for()


def plain(served: Any, page: Any) -> None:
    Tab(served, page).choose("plain")
    page.get_by_text("baseline").wait_for()


def comparison(served: Any, page: Any) -> None:
    Tab(served, page, task="trips")
    page.get_by_text("This and earlier runs").click()
    page.get_by_role("button", name="Compare with").click()
    page.get_by_role("table", name="First differing rows").or_(page.get_by_text("They differ in")).first.wait_for()


def run(served: Any, page: Any) -> None:
    Tab(served, page, task=None)
    page.get_by_text("temperature").wait_for()


def empty(served: Any, page: Any) -> None:
    Tab(served, page).choose("empty")
    page.get_by_text(re.compile("^0 rows . 2 columns$")).wait_for()


def wide(served: Any, page: Any) -> None:
    tab = Tab(served, page)
    tab.choose("wide")
    tab.cell(0, 0).filter(has_text="0").click()
    page.keyboard.press("End")
    tab.cell(0, 9_999).filter(has_text="9999").wait_for()


def hostile(served: Any, page: Any) -> None:
    from gallery import ATTACK

    tab = Tab(served, page)
    tab.choose(ATTACK)
    tab.cell(0, 0).filter(has_text=ATTACK).wait_for()


VIEWS = {
    each.__name__.replace("_", "-"): each
    for each in (table, statistics, heat_map, line, tree, plain, comparison, run, empty, wide, hostile)
}
PICTURES = {"table", "statistics", "heat-map", "line", "tree", "plain", "comparison", "run"}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible(view: str, scheme: str, served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(scheme)
    VIEWS[view](served, page)
    page.evaluate(AXE.read_text())
    for width in (WINDOW["width"], 400):
        page.set_viewport_size({**WINDOW, "width": width})
        found = page.evaluate("levels => axe.run({ runOnly: levels })", LEVELS)
        assert len(found["passes"]) > 5
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    page.set_viewport_size(WINDOW)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if view in PICTURES and os.environ.get("DATA_TAB_IMAGES"):
        page.screenshot(path=IMAGES / f"data-tab-{view}-{scheme}.png")


def test_the_docs_show_each_view() -> None:
    page = (ROOT / "docs" / "DATA_TAB.md").read_text()
    shown = set(re.findall(r"images/(data-tab[a-z-]*\.png)", page))
    assert {path.name for path in IMAGES.glob("data-tab*.png")} == shown
    assert {f"data-tab-{view}-{scheme}.png" for view in PICTURES for scheme in SCHEMES} | {"data-tab.png"} <= shown


def test_a_click_in_airflow_shows_the_first_rows_then_the_last(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page(viewport={"width": 1400, "height": 1000})
    place = quote(served.runs["flights"], safe="")
    page.goto(f"{served.url}/dags/flights/runs/{place}/tasks/clean")
    page.get_by_role("link", name="Data", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.locator('[id="cell-0-3"]', has_text="517").wait_for()
    expected = cleaned()
    read = frame.get_by_text("of 46 MB read").inner_text()
    assert float(re.match(r"([\d.]+) KB", read)[1]) < 0.02 * 46_000  # type: ignore[index]
    frame.locator('[id="cell-0-3"]').click()
    if os.environ.get("DATA_TAB_IMAGES"):
        frame.locator('[id="cell--1-5"]', has_text="dep_delay").click()
        frame.get_by_role("img", name="Histogram").wait_for()
        page.screenshot(path=IMAGES / "data-tab.png")
        frame.locator('[id="cell-0-3"]').click()
    page.keyboard.press("Control+End")
    last = frame.locator(f'[id="cell-{len(expected) - 1}-18"]')
    last.filter(has_text=str(expected["time_hour"].iloc[-1])[:13]).wait_for()


def test_a_histogram_counts_every_row(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    statistics(served, page)
    delays = cleaned()["dep_delay"].dropna()
    counts, _ = np.histogram(delays.astype("float64"), 24)
    shown = page.locator("svg.chart rect").all_text_contents()
    assert [int(text.replace(",", "")) for text in shown] == counts.tolist()


def test_a_heat_map_has_its_brightest_where_the_value_is_greatest(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    heat_map(served, page)
    pixels = page.evaluate(
        "() => { const c = document.querySelector('canvas');"
        " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }"
    )
    red = np.array(pixels).reshape(12, 24, 4)[:, :, 0]
    import flights

    delays = flights.summarise.function(cleaned())["delay_by_month_and_hour"]
    assert red.argmax() == np.nanargmax(delays)
    assert ((np.array(pixels).reshape(12, 24, 4)[:, :, 3] == 0) == np.isnan(delays)).all()


def test_downloads_are_what_was_stored(served: Any, new_page: Callable[..., Any]) -> None:
    import gallery

    page = new_page()

    def saved(name: str) -> bytes:
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name}").click()
        return Path(download.value.path()).read_bytes()

    table(served, page)
    arrow = saved("ARROW")
    blobs = {hashlib.sha256(path.read_bytes()).digest() for path in served.blobs.rglob("*.arrow")}
    assert hashlib.sha256(arrow).digest() in blobs
    frame = cleaned()
    csv = pd.read_csv(io.BytesIO(saved("CSV")), dtype="str", keep_default_na=False)
    assert csv["dep_time"].tolist() == [
        *map(str, frame["dep_time"].astype("object").where(frame["dep_time"].notna(), ""))
    ]
    pd.testing.assert_series_equal(csv["tailnum"], frame["tailnum"].fillna("").astype(csv["tailnum"].dtype))
    parquet = pq.read_table(io.BytesIO(saved("PARQUET")))
    assert parquet["distance"].to_pylist() == frame["distance"].tolist()
    line(served, page)
    assert np.load(io.BytesIO(saved("NPY"))).tobytes() == gallery.values()["line"].tobytes()


def test_a_digest_is_verified(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    table(served, page)
    page.get_by_role("button", name="Verify digest").click()
    page.get_by_text("The digest is that of what was written.").wait_for()


def test_a_comparison_names_what_was_planted(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    comparison(served, page)
    import gallery

    before, after = (gallery.trips.function(changed=changed) for changed in (False, True))
    rows = page.get_by_role("region", name="Columns of both").locator("tbody tr")
    shown = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}
    assert shown["distance"][0] == "int64 → float32"
    nans = [str(frame["air_time"].isna().sum()) for frame in (before, after)]
    assert shown["air_time"][2] == " → ".join(nans)
    assert {name for name, cells in shown.items() if "→" in "".join(cells)} == {"air_time", "distance", "tailnum"}
    text = page.get_by_text("They differ in").inner_text()
    assert "tailnum: 3 rows" in text
    different = (before["air_time"].notna() & after["air_time"].isna()).sum()
    assert f"air_time: {different:,} rows" in text


def test_of_two_quick_choices_the_last_is_shown(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    Tab(served, page)
    page.evaluate("() => document.querySelectorAll('tbody button').forEach((button) => button.click())")
    last = page.locator("tbody button").last.inner_text()
    page.get_by_role("heading", name="In Python").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.get_by_role("heading", level=2).all_inner_texts() == [last]


def test_a_text_is_searched(served: Any, new_page: Callable[..., Any]) -> None:
    page = new_page()
    plain(served, page)
    page.get_by_label("Search").fill("DOG")
    page.get_by_text("1 of 40 places").wait_for()
    assert page.locator("mark").all_inner_texts() == ["dog"] * 40
    page.get_by_label("Search").press("Enter")
    page.get_by_text("2 of 40 places").wait_for()
    page.get_by_label("Search").fill("<b>")
    page.get_by_text("0 places").wait_for()
    assert '"baseline"' in page.locator("pre").first.inner_text()


def test_what_attacks_a_page_is_text(served: Any, new_page: Callable[..., Any]) -> None:
    from gallery import ATTACK

    page = new_page()
    hostile(served, page)
    tab = Tab(served, page)
    tab.choose("attack in a tree")
    page.get_by_text(ATTACK).first.wait_for()
    assert page.locator("img:not([role])").count() == 0
    assert page.title() == "Data"

"""The Data tab in the pages of other releases of Airflow, each in an environment of its own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from data_tab_airflow import serving
from installations import Installation, build, distribution
from test_data_tab_browser import browser, cleaned, new_page, session  # noqa: F401 - fixtures

pytestmark = pytest.mark.other_airflows

VERSIONS = ("3.1.8", "3.2.2", "3.4.0b2")


@pytest.fixture(scope="module", params=VERSIONS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    version = str(request.param)
    build([version])
    options = {"PYTHONPATH": str(distribution())}
    with serving(tmp_path_factory.mktemp("airflow"), options, Installation(version).python) as found:
        found.version = version
        yield found


@pytest.fixture
def opened(served: Any, new_page: Callable[..., Any]) -> Callable[[str, str], tuple[Any, Any]]:  # noqa: F811
    """Opens the page of a task instance in Airflow, clicks the tab, and gives the page and the frame in it."""

    def click(dag: str, task: str) -> tuple[Any, Any]:
        page = new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{served.url}/dags/{dag}/runs/{quote(served.runs[dag], safe='')}/tasks/{task}")
        page.get_by_role("link", name="Data", exact=True).click()
        return page, page.frame_locator("iframe")

    return click


def test_a_frame_is_seen_from_its_first_row_to_its_last(opened: Callable[[str, str], tuple[Any, Any]]) -> None:
    page, frame = opened("flights", "clean")
    frame.locator('[id="cell-0-3"]', has_text="517").wait_for()
    frame.locator('[id="cell--1-5"]', has_text="dep_delay").click()
    frame.get_by_role("img", name="Histogram from -43 to 1301").wait_for()
    expected = cleaned()
    counts, _ = np.histogram(expected["dep_delay"].dropna().astype("float64"), 24)
    shown = frame.locator("svg.chart rect").all_text_contents()
    assert [int(text.replace(",", "")) for text in shown] == counts.tolist()
    frame.locator('[id="cell-0-3"]').click()
    page.keyboard.press("Control+End")
    last = frame.locator(f'[id="cell-{len(expected) - 1}-18"]')
    last.filter(has_text=str(expected["time_hour"].iloc[-1])[:13]).wait_for()


def test_an_array_is_a_heat_map_and_a_dict_a_tree(opened: Callable[[str, str], tuple[Any, Any]]) -> None:
    _, frame = opened("flights", "summarise")
    frame.get_by_role("button", name="delay_by_month_and_hour", exact=True).click()
    frame.get_by_role("img", name="Heat map of rows 0 to 11").wait_for()
    _, frame = opened("gallery", "show")
    frame.get_by_role("button", name="return_value", exact=True).click()
    frame.get_by_role("button", name="levels").click()
    frame.get_by_role("button", name="0", exact=True).click()
    frame.get_by_text("first").wait_for()


def test_downloads_are_what_was_stored(served: Any, opened: Callable[[str, str], tuple[Any, Any]]) -> None:
    import gallery

    page, frame = opened("flights", "clean")

    def saved(name: str) -> bytes:
        with page.expect_download() as download:
            frame.get_by_role("link", name=f"Download {name}").click()
        return Path(download.value.path()).read_bytes()

    blobs = {hashlib.sha256(path.read_bytes()).digest() for path in served.blobs.rglob("*.arrow")}
    assert hashlib.sha256(saved("ARROW")).digest() in blobs
    expected = cleaned()
    csv = pd.read_csv(io.BytesIO(saved("CSV")), dtype="str", keep_default_na=False)
    assert csv["tailnum"].tolist() == expected["tailnum"].fillna("").tolist()
    assert pq.read_table(io.BytesIO(saved("PARQUET")))["distance"].to_pylist() == expected["distance"].tolist()
    page, frame = opened("gallery", "show")
    frame.get_by_role("button", name="line", exact=True).click()
    assert np.load(io.BytesIO(saved("NPY"))).tobytes() == gallery.values()["line"].tobytes()


def test_the_page_of_all_values_stands_in_the_navigation(served: Any, new_page: Callable[..., Any]) -> None:  # noqa: F811
    page = new_page()
    page.goto(f"{served.url}/plugin/xcom-data-storage")
    frame = page.frame_locator("iframe")
    frame.get_by_role("status").get_by_text("of 2 Dags.").wait_for()
    lines = frame.get_by_role("region", name="By Dag and store").locator("tbody tr")
    shown = {tuple(line.locator("td").all_inner_texts()[:2]) for line in lines.all()}
    assert shown == {(dag, place) for dag in ("flights", "gallery") for place in ("default", "Airflow's database")}
    frame.get_by_role("region", name="Stores", exact=True).get_by_text("airflow-xcom adopt").wait_for()
    frame.get_by_role("link", name="flights · extract · return_value").click()
    frame.locator('[id="cell-0-3"]', has_text="517").wait_for()


def test_versions_of_an_asset_are_compared(served: Any, new_page: Callable[..., Any]) -> None:  # noqa: F811
    page = new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{served.url}/plugin/xcom-data-assets")
    frame = page.frame_locator("iframe")
    link = frame.get_by_role("link", name="offers")
    number = str(link.get_attribute("href")).rpartition("/")[2]
    link.click()
    frame.get_by_role("heading", name="offers").wait_for()
    if served.version == "3.4.0b2":  # whose pages of assets have tabs
        page.goto(f"{served.url}/assets/{number}")
        page.get_by_role("link", name="Data", exact=True).click()
        frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="Compare").click()
    frame.get_by_text("They differ in price: 1 row.").wait_for()
    frame.get_by_role("table").first.get_by_role("row").nth(1).get_by_role("button").click()
    frame.locator('[id="cell-1-0"]', has_text="3").wait_for()

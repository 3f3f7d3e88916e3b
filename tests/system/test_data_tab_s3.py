"""The Data tab in a real browser, of a frame of 60 MB on S3, which is far away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import obstore
import pytest
from data_tab_airflow import FLIGHTS, LATENCY, on_s3, started
from obstore.store import S3Store
from proxy import Fault, Proxy
from servers import BUCKET
from test_data_tab_browser import browser, new_page, session  # noqa: F401 - fixtures

SIZE = 60_000_000  # bytes at least of the frame


@pytest.fixture(scope="module")
def served(seaweedfs: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's URL, the proxy between it and S3, the run, and the blob of the frame."""
    with Proxy(seaweedfs.endpoint) as proxy:
        options = on_s3(seaweedfs, proxy.url)
        with started(tmp_path_factory.mktemp("airflow"), (FLIGHTS,), options) as airflow:
            run = airflow.run("flights")
            proxy.fault = lambda *_: Fault(delay=LATENCY)
            url = options["AIRFLOW__XCOM_CODECS__PATH"]
            yield SimpleNamespace(url=airflow.url, proxy=proxy, run=run, blob=largest(seaweedfs, url))


def largest(server: SimpleNamespace, url: str) -> bytes:
    """The largest blob that was written below the URL of a store."""
    keys: Any = {"access_key_id": server.key, "secret_access_key": server.secret, "region": "us-east-1"}
    prefix = url.rpartition("/")[2]
    store = S3Store(BUCKET, prefix=prefix, endpoint=server.endpoint, client_options={"allow_http": True}, **keys)
    found = [each for batch in obstore.list(store) for each in batch]
    return bytes(obstore.get(store, max(found, key=lambda each: each["size"])["path"]).bytes())


def test_what_is_shown_is_read_and_little_more(served: Any, new_page: Callable[..., Any]) -> None:  # noqa: F811
    import flights

    page, expected = new_page(viewport={"width": 1400, "height": 1000}), flights.extract.function()
    page.goto(f"{served.url}/dags/flights/runs/{quote(served.run, safe='')}/tasks/extract")
    page.get_by_role("link", name="Data", exact=True).wait_for()
    assert len(served.blob) > SIZE
    served.proxy.forget()
    page.get_by_role("link", name="Data", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.locator('[id="cell-0-3"]', has_text="517").click()
    assert 0 < served.proxy.sent < 0.02 * SIZE
    page.keyboard.press("Control+End")
    last = frame.locator(f'[id="cell-{len(expected) - 1}-18"]')
    last.filter(has_text=str(expected["time_hour"].iloc[-1])[:13]).wait_for()
    assert served.proxy.sent < 0.04 * SIZE


def test_a_download_is_the_blob(served: Any, new_page: Callable[..., Any]) -> None:  # noqa: F811
    page = new_page()
    page.goto(f"{served.url}/xcom-data/page/dags/flights/runs/{quote(served.run, safe='')}/tasks/extract/-1")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download ARROW").click()
    assert Path(download.value.path()).read_bytes() == served.blob
    page.get_by_role("button", name="Verify digest").click()
    page.get_by_text("The digest is that of what was written.").wait_for()

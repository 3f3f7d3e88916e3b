"""Chromium: the one of this machine, or else of the distribution's packages, unpacked without root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from debian_packages import libraries, unpacked

# A closed network refuses what Chromium asks of its maker's servers; root takes no sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]


@contextmanager
def started() -> Iterator[Any]:
    """A headless browser, as Playwright drives it."""
    from playwright.sync_api import sync_playwright

    program, environment = shutil.which("chromium"), dict(os.environ)
    if program is None:
        system = unpacked("chromium")
        program = str(system / "usr" / "lib" / "chromium" / "chromium")
        environment["LD_LIBRARY_PATH"] = libraries(system)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, env=environment, timeout=180_000)
        yield browser
        browser.close()

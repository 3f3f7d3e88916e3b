"""Shows what a command said, where a test fails because the command did, and what a browser showed, where one did.

The exit code of a command, or what a page did not show in time, tells nobody why.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add to the report of a test or of its fixtures what commands said that failed, and what its pages show."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    while error is not None:
        if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
            for name, said in ("stdout", error.stdout), ("stderr", error.stderr):
                text = said.decode(errors="replace") if isinstance(said, bytes) else said
                report.sections += [(f"{name} of the command that failed", text)] if text else []
        error = error.__cause__ or error.__context__
    if call.excinfo and call.when == "call" and "new_page" in item.funcargs:
        for context in item.funcargs["browser"].contexts[-1:]:  # none, where the test failed before its first page
            report.sections += [(frame.url, _text(frame)) for page in context.pages for frame in page.frames]
    return report


def _text(frame: Any) -> str:
    try:
        return str(frame.locator("body").inner_text(timeout=5000))
    except Exception as error:  # noqa: BLE001 - the test has failed for another reason
        return f"not to be read: {error}"

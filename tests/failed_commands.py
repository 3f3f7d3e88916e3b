"""Shows what a command said, where a test fails because the command did: its exit code alone tells nobody why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the output of commands that failed or took too long to the report of a test or of its fixtures."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    while error is not None:
        if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
            for name, said in ("stdout", error.stdout), ("stderr", error.stderr):
                text = said.decode(errors="replace") if isinstance(said, bytes) else said
                report.sections += [(f"{name} of the command that failed", text)] if text else []
        error = error.__cause__ or error.__context__
    return report

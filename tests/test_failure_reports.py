"""A test that fails because a command did says what the command said, and what its pages show."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = """
    import subprocess, sys
    import pytest

    SAYS = "import sys; print('to ' + 'stdout'); print('to ' + 'stderr', file=sys.stderr); sys.exit(3)"

    def run(**options):
        subprocess.run([sys.executable, "-c", SAYS], capture_output=True, check=True, **options)

    @pytest.fixture
    def server():
        run()

    def test_bytes():
        run()

    def test_text():
        try:
            run(text=True)
        except subprocess.CalledProcessError as error:
            raise AssertionError from error

    def test_with_a_server(server): ...
"""

PAGES = """
    from types import SimpleNamespace as Made
    import pytest

    @pytest.fixture
    def browser():
        return Made(contexts=[])

    @pytest.fixture
    def new_page(browser):
        def make(shown):
            frame = Made(url="http://airflow/tab", locator=lambda _: Made(inner_text=lambda timeout: shown()))
            browser.contexts.append(Made(pages=[Made(frames=[frame])]))
        return make

    def test_shown(new_page):
        new_page(lambda: "the tab says no")
        assert False

    def test_closed(new_page):
        new_page(lambda: 1 / 0)
        assert False

    def test_without_a_page(new_page):
        assert False
"""


def test_what_pages_show_is_reported(tmp_path: Path) -> None:
    said = _said(tmp_path, PAGES)
    assert "3 failed" in said
    assert said.count("- http://airflow/tab -") == 2
    assert "\nthe tab says no\n" in said
    assert "\nnot to be read: division by zero\n" in said


def test_what_a_failed_command_said_is_reported(tmp_path: Path) -> None:
    said = _said(tmp_path, TESTS)
    assert "2 failed, 1 error" in said
    for name in ("stdout", "stderr"):
        assert said.count(f"- {name} of the command that failed -") == 3
        assert said.count(f"\nto {name}\n") == 3


def _said(folder: Path, tests: str) -> str:
    (folder / "test_them.py").write_text(textwrap.dedent(tests))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "failure_reports", "test_them.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout

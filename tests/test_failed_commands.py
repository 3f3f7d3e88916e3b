"""A test that fails because a command did says what the command said."""

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


def test_what_a_failed_command_said_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test_commands.py").write_text(textwrap.dedent(TESTS))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "failed_commands", "test_commands.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 failed, 1 error" in done.stdout
    for name in ("stdout", "stderr"):
        assert done.stdout.count(f"- {name} of the command that failed -") == 3
        assert done.stdout.count(f"\nto {name}\n") == 3

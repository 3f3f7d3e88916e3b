"""The public API under two type checkers: they accept what is right, and refuse each line of what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_xcom.codecs

USES = Path(__file__).parent / "typing_api.py"
WRONG = {number for number, line in enumerate(USES.read_text().splitlines(), 1) if line.endswith("# wrong")}
PYRIGHT = {"typeCheckingMode": "standard"}  # as pyright has it
FLAGS = ("--strict", "--config-file=", "--namespace-packages", "--explicit-package-bases", "--follow-imports=silent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the package lies where its name says, as type checkers do not follow editable installations."""
    (tmp_path / "airflow_xcom").mkdir()
    (tmp_path / "airflow_xcom" / "codecs").symlink_to(Path(airflow_xcom.codecs.__file__).parent)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    (tmp_path / USES.name).write_text(USES.read_text())
    return tmp_path


def refused(folder: Path, *command: str) -> tuple[set[int], str]:
    """The lines that a type checker refuses, and all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command, USES.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    said = done.stdout + done.stderr
    return {int(line) for line in re.findall(rf"{USES.name}:(\d+):(?:\d+ -)? error", said)}, said


@pytest.mark.parametrize(
    "command",
    [
        ("mypy", *FLAGS, "--ignore-missing-imports", "--cache-dir", "cache"),
        ("basedpyright", "--pythonpath", sys.executable),
    ],
    ids=lambda command: command[0],
)
def test_type_checkers_tell_right_from_wrong(folder: Path, command: tuple[str, ...]) -> None:
    assert WRONG
    lines, said = refused(folder, *command)
    assert lines == WRONG, said

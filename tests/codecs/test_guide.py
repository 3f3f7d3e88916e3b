"""docs/CODECS.md: every snippet runs, and says what is so."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from airflow_xcom.backend.provider_info import get_provider_info
from airflow_xcom.codecs.discovery import ENTRY_POINT_GROUP

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "CODECS.md"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[str]:
    return [textwrap.dedent(body) for _, name, body in FENCE.findall(GUIDE.read_text()) if name == language]


def program() -> str:
    """The page's Python, each line where it is in the page, so that tracebacks point there."""
    page = GUIDE.read_text()
    lines = [""] * page.count("\n")
    for found in FENCE.finditer(page):
        if found[2] == "python":
            first = page.count("\n", 0, found.start(3))
            body = found[3].splitlines()
            lines[first : first + len(body)] = body
    return "\n".join(lines) + "\n"


def test_the_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    script = tmp_path / "CODECS.py"
    script.write_text(program())
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_python_is_left_out() -> None:
    assert len(snippets("python")) >= 15
    assert GUIDE.read_text().count("```python") == len(snippets("python"))
    assert {name for _, name, _ in FENCE.findall(GUIDE.read_text())} == {"python", "ini", "toml"}
    for snippet in snippets("python"):
        assert snippet.strip() in program()


@pytest.mark.parametrize("broken", ["raise AssertionError", "assert False"])
def test_a_wrong_snippet_fails(tmp_path: Path, broken: str) -> None:
    script = tmp_path / "CODECS.py"
    script.write_text(program() + broken)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"line {GUIDE.read_text().count(chr(10)) + 1}" in done.stderr


def test_the_configuration_is_an_option() -> None:
    for snippet in snippets("ini")[:-1]:
        parser = configparser.ConfigParser()
        parser.read_string(snippet)
        (section,) = parser.sections()
        assert parser[section].keys() <= get_provider_info()["config"][section]["options"].keys()


def test_the_entry_points_are_in_our_group() -> None:
    (project,) = map(tomllib.loads, snippets("toml"))
    assert project == {"project": {"entry-points": {ENTRY_POINT_GROUP: {"acme": "acme.codecs"}}}}
    parser = configparser.ConfigParser()
    parser.read_string(snippets("ini")[-1])
    assert parser["options.entry_points"][ENTRY_POINT_GROUP].strip() == "acme = acme.codecs"


def test_the_readme_leads_here() -> None:
    assert "docs/CODECS.md" in (ROOT / "README.md").read_text()

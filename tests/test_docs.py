"""What the pages, the workflows and the templates name is there: links, anchors, files, modules and commands."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Where the sources are, which may be installed from a wheel.
SOURCES = {name: Path(importlib.import_module(f"airflow_xcom.{name}").__path__[0]) for name in ("codecs", "backend")}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.md")])
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FOLDERS = "backend|benchmarks|codecs|constraints|docs|example_dags|tests"
FILE = re.compile(rf"(?<![\w./-])(?:\.\./)?((?:{FOLDERS})/[\w./-]*\w)(?![\w*{{…])")
MODULE = re.compile(r"\bairflow_xcom(?:\.\w+)+")
COMMAND = re.compile(r"python3 dev\.py (\w+)")
# Standard terms are codec, tag, node, buffer, envelope, reference, store, sweep: see CONTRIBUTING.md.
HOME_MADE = re.compile(r"\b(?:suited|unread|outlines)\b", re.IGNORECASE)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    made: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        words = LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading).lower()
        made.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return made


def is_there(path: Path) -> bool:
    """Tell whether a file or folder of the repository exists."""
    if not path.is_relative_to(ROOT) or path == ROOT:
        return path.exists()
    folder, *rest = path.relative_to(ROOT).parts
    return SOURCES.get(folder, ROOT / folder).joinpath(*rest).exists()


def broken_links(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not is_there(target) or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `heading` of [it](page.md)\n[a](page.md#a-heading-of-it) [b](gone.md) [c](#gone)\n")
    assert broken_links(page) == ["gone.md", "#gone"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    assert [path for path in FILE.findall(page.read_text()) if not is_there(ROOT / path)] == []


def test_a_file_that_is_gone_is_found() -> None:
    assert is_there(ROOT / "codecs" / "registry.py")
    assert not is_there(ROOT / "codecs" / "suppliers.py")
    assert FILE.findall("see `codecs/suppliers.py`, airflow_xcom/codecs/a.py and docs/*") == ["codecs/suppliers.py"]


def exists(name: str) -> bool:
    """Tell whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute, None)
        return value is not None
    return False


# Groups of entry points, which are no modules.
GROUPS = {"airflow_xcom.stores", "airflow_xcom.codecs"}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_name_of_ours_is_there(page: Path) -> None:
    names = set(MODULE.findall(page.read_text())) - GROUPS
    assert sorted(name for name in names if not exists(name)) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert exists("airflow_xcom.backend.stored")
    assert exists("airflow_xcom.backend.stores.files")
    assert not exists("airflow_xcom.backend.places")


@pytest.mark.parametrize("page", [*PAGES, *WORKFLOWS, ROOT / ".ci" / "run"], ids=named)
def test_every_command_of_dev_py_is_one(page: Path) -> None:
    tree = ast.parse((ROOT / "dev.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(COMMAND.findall(page.read_text())) <= functions


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_pages_use_standard_terms(page: Path) -> None:
    assert HOME_MADE.findall(FENCED.sub("", page.read_text())) == []


# -- the workflows --------------------------------------------------------------------------------------------


def steps() -> list[dict[str, object]]:
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()]
    return [step for job in jobs for step in job.get("steps", ())]


def test_ci_takes_every_python_supported() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)", metadata["metadata"]["classifiers"])
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert jobs["check"]["strategy"]["matrix"]["python"] == supported


def test_actions_are_pinned_by_their_commit() -> None:
    used = [str(step["uses"]) for step in steps() if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


def test_ci_runs_all_that_a_change_must_pass() -> None:
    run = "\n".join(str(step.get("run", "")) for step in steps())
    for command in ("python3 dev.py lint", "python3 dev.py test", "bash .ci/run", "python3 -m build"):
        assert command in run


def test_the_python_in_workflows_and_templates_runs() -> None:
    ci = "\n".join(str(step.get("run", "")) for step in steps())
    template = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    snippets = [*re.findall(r'python -c "(.+)"', ci), *re.findall(r"`(from airflow_xcom.+)`", template)]
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, {"value": {1: 2.5j}})


def test_the_hooks_run_the_formatter_that_lint_runs() -> None:
    revisions = {repo["repo"]: repo["rev"] for repo in yaml.safe_load(HOOKS.read_text())["repos"]}
    for constraints in ROOT.glob("constraints/*.txt"):
        (pinned,) = re.findall(r"^ruff==(.+)$", constraints.read_text(), re.MULTILINE)
        assert revisions["https://github.com/astral-sh/ruff-pre-commit"] == f"v{pinned}"

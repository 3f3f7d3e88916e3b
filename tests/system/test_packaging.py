"""The files around the code: what is installed, what is tracked, and that the example Dags load."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))
CONSTRAINTS = sorted((ROOT / "constraints").glob("python-*.txt"))
# A folder of somebody's own machine.  What comes after /tmp and the like is anybody's.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|workspace|opt/pypi|opt/wheels)/[\w.]")


@pytest.fixture(scope="module")
def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files of the repository; those of the folder, where there is no repository."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name] or [path for path in ROOT.rglob("*") if ".venv" not in path.parts]
    return [path for path in found if path.is_file()]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_the_packages_listed_are_the_folders(metadata):
    mapping = dict(line.split(" = ") for line in lines(metadata["options"]["package_dir"]))
    folders = {
        ".".join([package, *folder.relative_to(ROOT / root).parts])
        for package, root in mapping.items()
        for folder in [ROOT / root, *(ROOT / root).rglob("*")]
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert sorted(lines(metadata["options"]["packages"])) == sorted(folders)


def test_every_package_but_the_namespace_has_an_init(metadata):
    mapping = dict(line.split(" = ") for line in lines(metadata["options"]["package_dir"]))
    for package in lines(metadata["options"]["packages"]):
        root = next(name for name in mapping if package == name or package.startswith(f"{name}."))
        folder = ROOT / mapping[root] / Path(*package.removeprefix(root).strip(".").split("."))
        assert (folder / "__init__.py").is_file(), package
    assert not (ROOT / "__init__.py").exists()


@pytest.mark.parametrize("folder", ["codecs", "backend"])
def test_type_information_is_shipped(folder, metadata):
    assert (ROOT / folder / "py.typed").is_file()
    assert metadata["options.package_data"]["*"] == "py.typed"


def test_the_changelog_knows_the_version(metadata):
    assert metadata["metadata"]["version"] in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_are_names_and_versions_only(path):
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line), line


def test_there_are_constraints_for_every_python_supported(metadata):
    supported = re.findall(r"Python :: (3\.\d+)", metadata["metadata"]["classifiers"])
    assert sorted(path.stem for path in CONSTRAINTS) == [f"python-{version}" for version in supported]


def test_constraints_pin_everything_that_is_required(metadata):
    required = {
        re.match(r"[A-Za-z0-9._-]+", line).group().lower()
        for text in [metadata["options"]["install_requires"], *metadata["options.extras_require"].values()]
        for line in lines(text)
    }
    for path in CONSTRAINTS:
        pinned = {line.partition("==")[0].lower().replace("_", "-") for line in path.read_text().splitlines()}
        assert required <= pinned, path.name


LOAD = """
import importlib, sys
from airflow.sdk import DAG
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    made = getattr(importlib.import_module(name), name)()
    assert isinstance(made, DAG), made
    assert made.dag_id == name, made
    assert len(made.tasks) > 1, made
"""


def test_the_example_dags_import():
    # In a process of their own: they register codecs.
    names = [path.stem for path in EXAMPLES]
    subprocess.run([sys.executable, "-c", LOAD, str(EXAMPLES[0].parent), *names], check=True)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_dag_uses_public_names_only(path):
    for module in re.findall(r"^\s*(?:from|import) (airflow[\w.]*)", path.read_text(), re.MULTILINE):
        assert module in {"airflow.sdk", "airflow_xcom.backend", "airflow_xcom.codecs"}


def test_there_are_example_dags():
    assert {path.stem for path in EXAMPLES} >= {"custom_codec", "flights", "frames", "mapped_frames", "mixed_dict"}


def test_no_tracked_file_names_a_machine(tracked):
    assert len(tracked) > 20
    for path in tracked:
        text = path.read_bytes().decode(errors="ignore")
        assert not MACHINE_PATH.search(text), path


def test_every_option_is_documented_with_its_default():
    from airflow_xcom.backend.provider_info import get_provider_info

    table = re.findall(
        r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", (ROOT / "docs" / "CONFIGURATION.md").read_text(), re.MULTILINE
    )
    options = get_provider_info()["config"]["xcom_codecs"]["options"]
    assert dict(table) == {name: option["default"].replace("{{}}", "{}") for name, option in options.items()}


def test_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        (tmp_path / "readme.py").write_text(block)
        subprocess.run([sys.executable, str(tmp_path / "readme.py")], check=True)

"""Stores of other packages: found by their entry points, and checked by the shipped suite alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_store_suite import run_suite

from airflow_xcom.backend import SettingsError
from airflow_xcom.backend.stores import open_store

PACKAGE = Path(__file__).parents[1] / "data" / "sqlite_store"
SUITE = """
    import pytest
    from airflow_xcom.backend.stores import open_store
    from airflow_xcom.backend.testing import StoreSuite

    class TestSqlite(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            return open_store(f"sqlite://{tmp_path}/xcom.db")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, built and installed as a wheel."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for file in PACKAGE.glob("*.*"):
        (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    target = folder / "target"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    return target


def test_a_package_of_40_lines_passes_the_shipped_suite(installed: Path, tmp_path: Path) -> None:
    assert sum(len(file.read_text().splitlines()) for file in PACKAGE.glob("*.py")) < 40
    said, failed = run_suite(tmp_path, SUITE, path=str(installed))
    assert not failed, said
    assert re.search(r"^\d\d passed", said, re.MULTILINE), said


@pytest.fixture
def entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages whose entry points fail, each in its way."""
    (tmp_path / "bad.dist-info").mkdir()
    points = "broken = broken_store:Store\nabsent = no_such_module:Store\nodd = collections:OrderedDict\n"
    (tmp_path / "bad.dist-info" / "entry_points.txt").write_text(f"[airflow_xcom.stores]\n{points}")
    (tmp_path / "bad.dist-info" / "METADATA").write_text("Name: bad\nVersion: 1\n")
    (tmp_path / "broken_store.py").write_text("raise ZeroDivisionError('in the module')")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("broken", "broken = broken_store:Store in the group airflow_xcom.stores fails: ZeroDivisionError: in the mod"),
        ("absent", "absent = no_such_module:Store .* fails: ModuleNotFoundError: No module named 'no_such_module'"),
        ("odd", "odd = collections:OrderedDict .* is no class derived from airflow_xcom.backend.stores.base.Store"),
        (
            "unknown",
            r"no store for unknown://; use .*s3:// \(s3\).*entry point 'unknown' in the group airflow_xcom.sto",
        ),
    ],
)
def test_what_is_wrong_with_a_scheme_is_told(scheme: str, message: str, entry_point: None) -> None:
    with pytest.raises(SettingsError, match=message):
        open_store(f"{scheme}://x")


def test_an_entry_point_is_loaded_by_its_scheme_alone(entry_point: None) -> None:
    open_store("memory://of-another-scheme")
    assert "broken_store" not in sys.modules

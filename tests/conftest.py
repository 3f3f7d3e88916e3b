"""The tiers of the tests, the seed of a run, its end, and fixtures that every test may use."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import database
import hypothesis
import pytest
import reaper
from api_server import airflow, token  # noqa: F401 - fixtures for every test
from data_tab import published, tab  # noqa: F401 - fixtures for every test
from failure_reports import pytest_runtest_makereport  # noqa: F401 - a hook
from locations import LOCATIONS, locations  # noqa: F401 - fixtures for every test
from servers import azurite, fake_gcs, seaweedfs, valkey  # noqa: F401

TESTS = Path(__file__).parent
FAST_STORES = {"file"}
SLOW_DATABASES = {"mariadb"}
FAST_SERVERS = {"airflow"}  # a fixture: Airflow's API server, in the process of the test
# The files whose slow tests take longest. They begin first, or the last of them would run alone.
LONGEST = (
    "system/test_airflows.py",
    "system/test_versions.py",
    "system/test_data_tab_airflows.py",
    "system/test_benchmarks.py",
    "codecs/test_everything.py",
    "integration/test_assets_airflow.py",
    "system/test_cluster.py",
    "backend/test_state.py",
    "integration/test_stores.py",
    "system/test_data_tab_browser.py",
    "system/test_data_tab_views_in_browser.py",
    "system/test_cleanup_model.py",
    "system/test_data_tab_s3.py",
    "system/test_fuzz.py",
    "system/test_asset_model.py",
    "system/test_data_tab_fab.py",
    "integration/test_retain_airflow.py",
    "integration/test_faults.py",
)

if reaper.VARIABLE not in os.environ:  # of the processes of a run only the first
    os.environ[reaper.VARIABLE] = tempfile.mkdtemp(prefix="airflow-xcom-tests-")
    reaper.start(os.environ[reaper.VARIABLE])

# Airflow reads its configuration when it is first imported, which a test module may do, but no module of fixtures.
assert "airflow" not in sys.modules
os.environ.update(
    {
        "AIRFLOW_HOME": tempfile.mkdtemp(prefix="home-", dir=os.environ[reaper.VARIABLE]),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
    }
)

# Where the variable CI is set, Hypothesis would try the same examples in every run; elsewhere it would time them.
# Its checks of how costly examples are fail at random: on a busy machine, or by what is drawn.
COSTLY = [
    hypothesis.HealthCheck.too_slow,
    hypothesis.HealthCheck.data_too_large,
    hypothesis.HealthCheck.filter_too_much,
    hypothesis.HealthCheck.large_base_example,
]
hypothesis.settings.register_profile(
    "tests", derandomize=False, deadline=None, print_blob=True, suppress_health_check=COSTLY
)
hypothesis.settings.load_profile("tests")

COORDINATE = {"dag_id": "flights", "run_id": "manual__2024-01-01T00:00:00+00:00", "task_id": "clean", "map_index": -1}


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads the option
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed that the run's processes share, and let the scripts that tests start import as tests do."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    folders = [str(config.rootpath / folder) for folder in config.getini("pythonpath")]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to repeat the run's random examples."""
    terminalreporter.write_line(f"To repeat its examples: --hypothesis-seed={config.option.hypothesis_seed}")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is marked so
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the short run leaves out, and what coverage is not measured in; begin with the longest files."""
    for item in items:
        if _is_uncounted(item):
            item.add_marker("no_cover")
        if _is_slow(item):
            item.add_marker("slow")
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def _is_uncounted(item: pytest.Item) -> bool:
    """Return whether to measure coverage, which doubles the time, would tell nothing more, or other things in each run.

    So it is with tests of Hypothesis, whose examples are drawn, with tests that are marked as slow by hand, which take
    more values on the way of fast ones, and with tests/system, whose code runs in other processes.
    """
    drawn = hypothesis.is_hypothesis_test(getattr(item, "obj", None))
    return drawn or item.get_closest_marker("slow") is not None or item.path.is_relative_to(TESTS / "system")


def _is_slow(item: pytest.Item) -> bool:
    """Return whether a test stands in tests/system, or takes servers that are slow or cost much."""
    folder = item.path.relative_to(TESTS).parts[0]
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    stores = {found for found in parameters.values() if isinstance(found, str) and found in LOCATIONS}
    if parameters.get("migrated") in SLOW_DATABASES:
        return True
    if folder == "system" or stores:
        return folder == "system" or not stores <= FAST_STORES
    return folder == "integration" and not FAST_SERVERS & set(getattr(item, "fixturenames", ()))


class Backend:
    """The backend under test with its own options, and what a task would do with it."""

    def __init__(self, set_option: Callable[[str, Any], None], folder: Path) -> None:
        self._set_option = set_option
        self.folder = folder

    def options(self, **options: Any) -> None:
        for name, value in options.items():
            self._set_option(name, value)

    def push(self, value: Any, key: str = "return_value", **coordinate: Any) -> Any:
        from airflow_xcom.backend import CodecXComBackend

        return CodecXComBackend.serialize_value(value, key=key, **{**COORDINATE, **coordinate})

    def pull(self, row: Any, key: str = "return_value") -> Any:
        from airflow_xcom.backend import CodecXComBackend

        return CodecXComBackend.deserialize_value(SimpleNamespace(value=row, key=key))

    def purge(self, row: Any) -> None:
        from airflow_xcom.backend import CodecXComBackend

        CodecXComBackend.purge(SimpleNamespace(value=row, key="return_value"))

    def lose(self, row: Any) -> None:
        """Delete the blob of a row, as somebody else than the backend might."""
        from airflow_xcom.backend import blobs
        from airflow_xcom.backend.envelope import Reference

        reference = Reference.from_json(row["airflow_xcom"]["ref"])
        blobs._store(reference).delete(reference.path)

    def blobs(self) -> list[Path]:
        from airflow_xcom.backend.maintenance.ownership import OWNER

        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != OWNER)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Backend]:
    """The backend over an empty folder, with the default options until a test sets others."""
    from airflow_xcom.backend import stores
    from airflow_xcom.backend.settings import settings

    def set_option(name: str, value: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW__XCOM_CODECS__{name.upper()}", str(value))
        settings.cache_clear()

    folder = tmp_path / "xcom"
    set_option("path", folder.as_uri())
    yield Backend(set_option, folder)
    monkeypatch.undo()
    settings.cache_clear()
    stores._open.cache_clear()  # whose connections may lead elsewhere in the next test


@pytest.fixture(scope="session")
def jsonb() -> Iterator[Callable[[Any], Any]]:
    """Takes a row's value through PostgreSQL, and gives back what is pulled; the server lives as long as the tests."""
    with database.postgres() as url, database.jsonb(url) as through:
        yield through

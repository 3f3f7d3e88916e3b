"""Fixtures that every test may use: options of the backend, and a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import database
import hypothesis
import pytest
from api_server import airflow, token  # noqa: F401 - fixtures for every test
from places import places  # noqa: F401 - fixtures for every test
from servers import azurite, fake_gcs, seaweedfs, valkey  # noqa: F401

# Airflow reads its configuration when it is first imported, which a test module may do.
_HOME = tempfile.mkdtemp(prefix="airflow-xcom-home-")
os.environ.update(
    {
        "AIRFLOW_HOME": _HOME,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
    }
)

# Where a change is judged, the same examples must be tried each time; everywhere else, new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

COORDINATE = {"dag_id": "flights", "run_id": "manual__2024-01-01T00:00:00+00:00", "task_id": "clean", "map_index": -1}


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


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

    def pull(self, row: Any) -> Any:
        from airflow_xcom.backend import CodecXComBackend

        return CodecXComBackend.deserialize_value(SimpleNamespace(value=row, key="return_value"))

    def purge(self, row: Any) -> None:
        from airflow_xcom.backend import CodecXComBackend

        CodecXComBackend.purge(SimpleNamespace(value=row, key="return_value"))

    def blobs(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


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

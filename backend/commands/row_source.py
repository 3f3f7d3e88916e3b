"""Where a command reads the rows: the metadata database, or Airflow's REST API."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands.arguments import TOKEN

if TYPE_CHECKING:
    from airflow_xcom.backend.maintenance.references import RowSource


def row_source(options: Namespace) -> RowSource:
    """Return the source that the options name, see :func:`airflow_xcom.backend.commands.arguments.add_rest`."""
    if options.rest:
        return _rest(options.rest, options.token_file)
    from airflow_xcom.backend.database.xcom_rows import metadata_rows

    return metadata_rows()


def _rest(where: str, token_file: Path | None) -> RowSource:
    from airflow_xcom.backend.maintenance.rest_rows import RestRows

    if "://" in where:
        token = token_file.read_text(encoding="utf-8").strip() if token_file else os.environ.get(TOKEN)
        return RestRows(where, token)
    from airflow_xcom.backend.compat import connection

    airflow = connection(where)
    host = airflow.host if "://" in (airflow.host or "") else f"{airflow.schema or 'http'}://{airflow.host}"
    url = f"{host}:{airflow.port}" if airflow.port else host
    if airflow.login:
        return RestRows(url, login=(airflow.login, airflow.password or ""))
    return RestRows(url, airflow.password)

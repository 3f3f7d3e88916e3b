"""The Airflow connection that the URL of a store names, and the texts in it that no error may show."""

from __future__ import annotations

import json
from typing import Any

from airflow_xcom.backend.compat import connection
from airflow_xcom.backend.errors import SettingsError, StoreError

_SHORTEST_SECRET = 4  # shorter ones are no secrets, and would censor ordinary words
# What an error had better show, in the extras of a connection; the rest may be secret.
_PUBLIC = {"endpoint_url", "region_name", "addressing_style", "gcs.endpoint", "account_name", "account_host", "project"}


def find_connection(connection_id: str, url: str) -> Any:
    """Return the connection of this id."""
    try:
        return connection(connection_id)
    except Exception as error:  # noqa: BLE001 - of any secrets backend; its text may quote what it could not parse
        name = type(error).__name__
    if name == "AirflowNotFoundException":
        raise SettingsError("path", url, f"there is no Airflow connection {connection_id!r}, or it is not readable")
    raise StoreError(url, f"cannot be opened: its Airflow connection cannot be read ({name})")


def secrets_of(value: Any) -> set[str]:
    """Return every text in the fields or extras of a connection that may be a secret, however deep."""
    if isinstance(value, dict):
        return secrets_of([item for name, item in value.items() if name.rpartition("__")[2] not in _PUBLIC])
    if isinstance(value, list):
        return set().union(*map(secrets_of, value))
    if not isinstance(value, str) or len(value) < _SHORTEST_SECRET:
        return set()
    try:
        nested = json.loads(value)
    except ValueError:
        nested = None
    inner = secrets_of(nested) if isinstance(nested, dict) else set()
    return {value, *inner}


def censored(text: str, secrets: set[str]) -> str:
    """Return ``text`` without the secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text

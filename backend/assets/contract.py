"""Compare what is to be published with the version before it; of that, only the types and the first rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_xcom.backend.assets.latest import last_accepted
from airflow_xcom.backend.assets.schema import SAMPLE, Schema, check, check_contract
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.compat_assets import AssetKey
from airflow_xcom.backend.hints import Stored
from airflow_xcom.codecs import SelectionError


def check_value(value: Any, contract: Any, key: AssetKey) -> None:
    """Raise SchemaChangedError if a value that is to be published breaks a contract."""
    check_contract(contract)
    last = None if isinstance(contract, Mapping) else last_accepted(key)
    known, against = (None, "") if last is None else (schema_of(last), _named(last))
    plain = value.value if type(value) is Stored else value
    check(plain, contract, known, asset=str(key.name), against=against)


def schema_of(version: Version) -> Schema:
    """Return the schema of a version; of a value that is no table, all of it is read."""
    try:
        return Schema.of(version.value(rows=slice(0, SAMPLE)))
    except SelectionError:
        return Schema.of(version.value())


def _named(version: Version) -> str:
    at = f"dag={version.dag_id} run={version.run_id} task={version.task_id}"
    return f"the version of {version.sent.isoformat(timespec='seconds')}, from {at}"

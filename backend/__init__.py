"""The XCom backend of airflow-xcom-codecs, and the errors a user can meet.

To use it, set ``[core] xcom_backend = airflow_xcom.backend.CodecXComBackend``.  The class is imported when it is first
asked for, because Airflow reads this distribution's options before it is importable itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.errors import (
    ExpiredPayloadError,
    ExportError,
    ForeignReferenceError,
    ForeignStateError,
    ForgedReferenceError,
    HintError,
    LostPinError,
    MissingPayloadError,
    NoVersionError,
    OtherHostError,
    PartitionError,
    PublishError,
    RetiredPayloadError,
    RetiredVersionError,
    SchemaChangedError,
    SchemaError,
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
    UnknownStoreError,
    XComNotFoundError,
)

if TYPE_CHECKING:
    from airflow_xcom.backend.assets.arguments import value_of
    from airflow_xcom.backend.assets.latest import latest, values_of, versions
    from airflow_xcom.backend.assets.publish import publish
    from airflow_xcom.backend.assets.state_store import CodecStateStore
    from airflow_xcom.backend.assets.version import Version
    from airflow_xcom.backend.hints import stored
    from airflow_xcom.backend.lazy_arguments import Lazy, lazy, takes_lazy
    from airflow_xcom.backend.table_selection import elements_of, pull_table, table_of
    from airflow_xcom.backend.xcom import CodecXComBackend

__all__ = [
    "CodecStateStore",
    "CodecXComBackend",
    "ExpiredPayloadError",
    "ExportError",
    "ForeignReferenceError",
    "ForeignStateError",
    "ForgedReferenceError",
    "HintError",
    "Lazy",
    "LostPinError",
    "MissingPayloadError",
    "NoVersionError",
    "OtherHostError",
    "PartitionError",
    "PublishError",
    "RetiredPayloadError",
    "RetiredVersionError",
    "SchemaChangedError",
    "SchemaError",
    "SettingsError",
    "StoreDeniedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreUnreachableError",
    "UnknownStoreError",
    "Version",
    "XComNotFoundError",
    "elements_of",
    "latest",
    "lazy",
    "publish",
    "pull_table",
    "stored",
    "table_of",
    "takes_lazy",
    "value_of",
    "values_of",
    "versions",
]

_LAZY = {
    "Version": "assets.version",
    "versions": "assets.latest",
    "value_of": "assets.arguments",
    "values_of": "assets.latest",
    "publish": "assets.publish",
    "latest": "assets.latest",
    "CodecStateStore": "assets.state_store",
    "CodecXComBackend": "xcom",
    "Lazy": "lazy_arguments",
    "elements_of": "table_selection",
    "lazy": "lazy_arguments",
    "pull_table": "table_selection",
    "stored": "hints",
    "table_of": "table_selection",
    "takes_lazy": "lazy_arguments",
}


def __getattr__(name: str) -> Any:
    """Import what is not needed where Dags are only parsed when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "CodecXComBackend":
        from airflow_xcom.backend.compat import load_xcom

        load_xcom()
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value

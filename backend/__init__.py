"""The XCom backend of airflow-xcom-codecs, and the errors a user can meet.

To use it, set ``[core] xcom_backend = airflow_xcom.backend.CodecXComBackend``.  The class is imported when it is first
asked for, because Airflow reads this distribution's options before it is importable itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.errors import (
    ExpiredPayloadError,
    ForgedReferenceError,
    MissingPayloadError,
    OtherHostError,
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
    UnknownStoreError,
)

if TYPE_CHECKING:
    from airflow_xcom.backend.xcom import CodecXComBackend

__all__ = [
    "CodecXComBackend",
    "ExpiredPayloadError",
    "ForgedReferenceError",
    "MissingPayloadError",
    "OtherHostError",
    "SettingsError",
    "StoreDeniedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreUnreachableError",
    "UnknownStoreError",
]


def __getattr__(name: str) -> Any:
    """Import the backend class when it is first asked for (PEP 562)."""
    if name != "CodecXComBackend":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from airflow_xcom.backend.airflow import load_xcom

    load_xcom()
    from airflow_xcom.backend.xcom import CodecXComBackend

    globals()[name] = CodecXComBackend
    return CodecXComBackend

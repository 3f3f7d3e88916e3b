"""Where a value goes: into the row as itself, into the row in an envelope, or into a blob.  Nothing here acts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.envelope import ENVELOPE_KEY
from airflow_xcom.codecs import exact_json

if TYPE_CHECKING:
    from airflow_xcom.backend.settings import Settings
    from airflow_xcom.codecs import Payload

__all__ = ["fits_row", "is_plain", "offloads", "row_summary"]

# Keys that Airflow's own readers give a meaning to (airflow/serialization/stringify.py, airflow/sdk/serde).
_RESERVED = frozenset({ENVELOPE_KEY, "__classname__", "__id__", "__type"})
# How Airflow names the module of a Dag file (airflow/dag_processing/importers, "unusual_prefix").
_DAG_FILE = re.compile(r"^unusual_prefix_[0-9a-f]{40}_")
_SMALLEST_PLAIN = 1024  # bytes that Airflow's own readers (skipmixin_key, links) may always have as themselves
_LARGEST_SUMMARY = 2048  # bytes
_NO_LIMIT = -1


def is_plain(value: Any, settings: Settings) -> bool:
    """Whether a value is stored as itself: made of JSON natives, exact anywhere, small enough.

    A former backend reads URLs as references, so while one is configured no such text is left for it to find.
    """
    limit = None if settings.threshold == _NO_LIMIT else max(settings.threshold, _SMALLEST_PLAIN)
    if settings.legacy_backend is not None and isinstance(value, str) and "://" in value:
        return False
    return exact_json(value, limit=limit, ordered=settings.preserve_key_order, reserved=_RESERVED) is not None


def offloads(settings: Settings) -> bool:
    """Whether any value may go to a blob."""
    return settings.threshold != _NO_LIMIT


def fits_row(size: int, settings: Settings) -> bool:
    """Whether ``size`` bytes of an envelope's data may stand in the row."""
    return settings.threshold == _NO_LIMIT or size <= settings.threshold


def row_summary(value: Any, payload: Payload, size: int) -> dict[str, Any]:
    """What people see of a value in the UI: its type, the ``size`` of its payload in bytes, and what its codec adds.

    What would not be safe and small in a JSON column is left out.
    """
    kind = type(value)
    module = _DAG_FILE.sub("", kind.__module__)
    facts = {"type": f"{module}.{kind.__qualname__}".removeprefix("builtins."), "bytes": size}
    extra = {**facts, **payload.summary}
    plain = exact_json(extra, limit=_LARGEST_SUMMARY, ordered=False, reserved=_RESERVED) is not None
    return extra if plain else facts

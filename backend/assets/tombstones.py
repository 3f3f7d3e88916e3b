"""What is left of a version that a policy retired: when and by which rule, beside the versions in the store.

Airflow's REST API cannot change events, so that those of a retired version still name it.  Whoever misses its blob
finds the tombstone (:func:`airflow_xcom.backend.blobs.read_blob`); a sweep takes it when nothing names the version.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_xcom.backend.blob_paths import Kind, kind_of, tombstone_path
from airflow_xcom.backend.blobs import retirement_of

if TYPE_CHECKING:
    from airflow_xcom.backend.envelope import Retirement
    from airflow_xcom.backend.stores.base import Store

__all__ = ["bury", "retirement_of"]


def bury(store: Store, path: str, retirement: Retirement) -> bool:
    """Write the tombstone of the version at a path, unless it has one, and return whether it had none."""
    if kind_of(path) is not Kind.VERSION:
        raise ValueError(f"{path!r} is no path of a version")
    if retirement_of(store, path) is not None:
        return False
    store.put(tombstone_path(path), [json.dumps(asdict(retirement)).encode()])
    return True

"""Which deployment of Airflow the blobs of a store belong to: only that one may delete them.

A store has an object at its base that names its owner, written by ``airflow-xcom adopt``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.errors import OwnerError
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store

OWNER = ".airflow-xcom-owner.json"  # its path; no blob has such a one


def owner_of(store: Store) -> Deployment | None:
    """Return the owner of a store; None if it has none."""
    try:
        text = bytes(store.get(OWNER))
    except BlobNotFoundError:
        return None
    try:
        fields: Any = json.loads(text)
        found = Deployment(**fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise OwnerError(store.url, f"has an unreadable {OWNER}; airflow-xcom adopt --force writes it anew") from error
    return found


def check_owner(store: Store, deployment: Deployment | None) -> None:
    """Raise OwnerError unless the store belongs to this deployment."""
    owner = owner_of(store)
    if owner is None:
        raise OwnerError(
            store.url,
            "has no owner, and so nothing in it is deleted; if no other Airflow has values there, run airflow-xcom "
            "adopt",
        )
    if owner != deployment:
        raise OwnerError(
            store.url,
            f"belongs to another Airflow, {owner}, and this is {deployment or 'one without an id'}; give this one a "
            "store or a prefix of its own, or run airflow-xcom adopt --force if the other one is gone or this is it, "
            "moved",
        )


def adopt(store: Store, deployment: Deployment, *, force: bool = False) -> bool:
    """Make a deployment the owner of a store, and return whether it was not yet."""
    try:
        owner = owner_of(store)
        if owner == deployment:
            return False
        if owner is not None:
            check_owner(store, deployment)
    except OwnerError:
        if not force:
            raise
        store.delete(OWNER)
    if not store.create(OWNER, json.dumps(asdict(deployment)).encode()):
        check_owner(store, deployment)  # another was quicker
    return True

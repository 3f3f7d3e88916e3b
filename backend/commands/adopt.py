"""``airflow-xcom adopt``: whose payloads a store holds."""

from __future__ import annotations

from argparse import Namespace

from airflow_xcom.backend.commands.selection import row_source
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.errors import OwnerError, XComNotFoundError
from airflow_xcom.backend.maintenance.ownership import adopt
from airflow_xcom.backend.maintenance.sweep import chosen_stores
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting


def run(options: Namespace) -> int:
    """Adopt the stores; return 1 if one belongs to another."""
    stores, refused = chosen_stores(options.store), 0
    deployment = row_source(options).deployment(create=True)
    if deployment is None:
        raise XComNotFoundError("the id that was just written is gone; run the command again")
    for name, store in stores.items():
        try:
            is_new = adopt(open_lasting(settings().stores[name]), deployment, force=options.force)
        except OwnerError as error:
            refused += 1
            say(f"{name}: {error}")
        else:
            say(f"{name} ({store.url}) {'now belongs' if is_new else 'belongs already'} to {deployment}")
    return 1 if refused else 0

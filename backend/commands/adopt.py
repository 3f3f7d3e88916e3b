"""``airflow-xcom adopt``: whose payloads a store holds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from airflow_xcom.backend.commands.arguments import add_rest
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.errors import OwnerError, XComNotFoundError
from airflow_xcom.backend.maintenance.ownership import adopt
from airflow_xcom.backend.maintenance.sweep import chosen_stores
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting

HELP = "make this Airflow the owner of its stores, so that a sweep may delete there"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Write into each store which Airflow its payloads belong to: by an id, which is kept in the Variable "
        "airflow_xcom_deployment, and by the address of the metadata database.  A sweep deletes nothing in a store of "
        "another Airflow, such as the one that this was cloned from.  Airflows that share a bucket need prefixes of "
        "their own."
    )
    parser.add_argument("--store", metavar="NAME", help="only this one of [xcom_codecs] stores ('default': of path)")
    parser.add_argument(
        "--force", action="store_true", help="take over the store of another Airflow, or of this one before it moved"
    )
    add_rest(parser)


def run(options: Namespace) -> int:
    """Adopt the stores; return 1 if one belongs to another."""
    from airflow_xcom.backend.commands.row_source import row_source

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

"""A plugin for tasks: it publishes what asset functions return, and makes the state store ready.

Airflow imports the state store in the midst of the first call of a task or trigger, which it makes on the event loop if
the caller is async; it loads plugins before.
"""

from __future__ import annotations

import logging
from importlib import import_module

from airflow.plugins_manager import AirflowPlugin

from airflow_xcom.backend.assets.asset_functions import task_listeners
from airflow_xcom.backend.compat import state_store_name

log = logging.getLogger("airflow_xcom.backend")


def prepare_state_store() -> None:
    """Import the state store if it is the one that Airflow's configuration names.  Never raises."""
    try:
        if state_store_name().startswith("airflow_xcom."):
            import_module("airflow_xcom.backend.assets.state_store")
    except Exception:
        log.exception("the state store of airflow-xcom-codecs cannot be used")


class StatePlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names."""

    name = "airflow_xcom_state"
    listeners = task_listeners()


prepare_state_store()

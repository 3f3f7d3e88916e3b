"""A plugin for tasks: it publishes what functions with ``@asset`` return, and makes the state store ready.

Airflow imports the state store in the midst of the first call of a task or trigger, which it makes on the event loop if
the caller is async; it loads plugins before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from pluggy import HookimplMarker

from airflow_xcom.backend.compat import state_store_name
from airflow_xcom.backend.compat_assets import current_context, defined_asset, emitted, key_of

log = logging.getLogger("airflow_xcom.backend")
hookimpl = HookimplMarker("airflow")


class AssetFunctionListener:
    """Has the task that an ``@asset`` function makes publish its result, while it still has its context."""

    @hookimpl(tryfirst=True)  # a listener that raises keeps Airflow from calling those after it
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Wrap what Airflow is about to call."""
        task = task_instance.task
        asset = defined_asset(task)
        if asset is not None:
            task.execute = partial(_publish_result, task.execute, asset)


def _publish_result(execute: Callable[..., Any], asset: Any, context: Any) -> Any:
    """Return the result of a task, published if it is to be and is not None, and no value was published in the task."""
    from airflow_xcom.backend.assets.publish import publish
    from airflow_xcom.backend.assets.version import contents_of
    from airflow_xcom.backend.settings import is_on

    if not is_on("publish_assets"):  # a wrong value fails the task here, not in a listener
        return execute(context=context)
    result = execute(context=context)
    extras = emitted(current_context(), asset, key_of(asset))
    return result if result is None or any(map(contents_of, extras)) else publish(result, asset)


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
    listeners = [AssetFunctionListener()]  # noqa: RUF012 - Airflow's


prepare_state_store()

"""A listener that publishes what functions with ``@asset`` return, if ``[xcom_codecs] publish_assets`` says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pluggy import HookimplMarker

from airflow_xcom.backend.compat_assets import current_context, defined_asset, emitted, key_of

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


def task_listeners() -> list[Any]:
    """Return what a plugin lists."""
    return [AssetFunctionListener()]


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

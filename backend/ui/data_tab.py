"""The plugin that adds the Data tab to the pages of Airflow 3.1 and later: where it stands, and what answers there.

Airflow loads plugins in all of its processes, so nothing heavy is imported here: the application is made when its
first request comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_xcom.backend.compat import has_external_views
from airflow_xcom.backend.compat_assets import has_asset_views
from airflow_xcom.backend.settings import is_on

Message = MutableMapping[str, Any]  # as ASGI has them
PREFIX = "/xcom-data"
_ROUTES = "airflow_xcom.backend.ui.routes"
_RUN = "dags/{DAG_ID}/runs/{RUN_ID}"
_TABS = {"dag_run": _RUN, "task_instance": f"{_RUN}/tasks/{{TASK_ID}}/{{MAP_INDEX}}", "asset": "assets/{ASSET_ID}"}
_PAGES = {"XCom storage": "storage", "Asset versions": "assets"}


class DataTab:
    """The application, made when it is first called: in a thread, since its libraries take a second to be imported."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = asyncio.Lock()

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request."""
        if self._app is None:
            async with self._lock:
                self._app = self._app or (await asyncio.to_thread(import_module, _ROUTES)).create_app()
        await self._app(scope, receive, send)


def _views() -> list[dict[str, Any]]:
    """Return the tabs that this Airflow has a place for, and the pages in its navigation."""
    tabs = {name: path for name, path in _TABS.items() if name != "asset" or has_asset_views()}
    return [
        *(_view("Data", destination, path, destination.replace("_", "-")) for destination, path in tabs.items()),
        *(_view(name, "nav", path, path) for name, path in _PAGES.items()),
    ]


def _view(name: str, destination: str, path: str, route: str) -> dict[str, Any]:
    """Return a page of ours; without a leading slash, its address stays below that of ``[api] base_url``."""
    href = f"{PREFIX[1:]}/page/{path}"
    return {"name": name, "href": href, "destination": destination, "url_route": f"xcom-data-{route}"}


class DataTabPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names; empty where the tab is off, and before Airflow 3.1."""

    name = "airflow_xcom_data"
    _is_on = has_external_views() and is_on("data_tab")
    fastapi_apps = [{"name": name, "app": DataTab(), "url_prefix": PREFIX}] if _is_on else []
    external_views = _views() if _is_on else []

"""The Data tab as the API server of the Airflow that runs serves it."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from server_process import server_process


def check(folder: Path, run_id: str) -> str:
    """Ask for the frame of the task ``clean`` of the demo's Dag, with a login and without; "yes", or what is wrong."""
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({"admin": "secret"}))
    options = {"ALL_ADMINS": "False", "USERS": "admin:admin", "PASSWORDS_FILE": str(passwords)}
    named = {f"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_{name}": option for name, option in options.items()}
    with server_process(folder, named | {"AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32)}) as server:
        return "; ".join(_wrong(server.url, server.token("admin", "secret"), quote(run_id, safe=""))) or "yes"


def _wrong(url: str, token: str, run: str) -> list[str]:
    place = f"dags/flights/runs/{run}/tasks/clean/-1"
    cells = f"api/{place}/cells?key=return_value&row=336775&rows=1&column=3&columns=3"
    found = {path: _get(f"{url}/xcom-data/{path}", token) for path in (f"page/{place}", "static/any/app.js", cells)}
    wrong = [f"{path}: {status} {text[:200]}" for path, (status, text) in found.items() if status != 200]
    if not wrong:
        shown = json.loads(found[cells][1])
        names, texts = [column["name"] for column in shown["columns"]], shown["cells"]
        if (names, texts) != (["dep_time", "sched_dep_time", "dep_delay"], [[None], ["840"], [None]]):
            wrong.append(f"the last row is {names} {texts}")
    for path in (*found, f"api/{place}/download/arrow?key=return_value"):
        status, text = _get(f"{url}/xcom-data/{path}")
        if status != 401:
            wrong.append(f"{path} without a login: {status} {text[:200]}")
    plugins: Any = json.loads(_get(f"{url}/api/v2/plugins", token)[1])["plugins"]
    views = [view["destination"] for plugin in plugins for view in plugin.get("external_views", ())]
    return wrong if {"dag_run", "task_instance"} <= set(views) else [*wrong, f"Airflow knows the tabs {views}"]


def _get(url: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Cookie": f"_token={token}"}
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")

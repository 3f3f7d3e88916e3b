"""The first push and pull of a process: what a task pays, as each is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

__all__ = ["FIRST", "first"]

CODE = """
import datetime as dt, json, os, sys, time
from types import SimpleNamespace
import airflow.sdk.execution_time.task_runner
from airflow.sdk._shared.module_loading import entry_points_with_dist
from airflow.sdk.bases.xcom import BaseXCom
from airflow_xcom.backend import CodecXComBackend
list(entry_points_with_dist("airflow.plugins"))  # as the task runner does when it looks for plugins
what, whose, part, rows = sys.argv[1:]
value = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
if what == "frame":
    import numpy as np, pandas as pd
    value = pd.DataFrame(np.random.default_rng(0).random((20, 4)), columns=list("abcd"))
backend = CodecXComBackend if whose == "ours" else BaseXCom
where = dict(key="k", dag_id="d", run_id="r", task_id="t", map_index=-1) if whose == "ours" else {}
def push():
    return backend.serialize_value(value, **where)
def pull():
    return backend.deserialize_value(SimpleNamespace(value=row, key="k"))
def timed(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
if part == "row":
    print(json.dumps(push()))
    sys.exit()
row = json.loads(rows or "null")
if part == "fork":
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, json.dumps([timed(push), timed(pull)]).encode())
        os._exit(0)
    os.wait()
    print(os.read(read, 1000).decode())
else:
    print(json.dumps([timed(push if part == "push" else pull)]))
"""
FIRST = {  # what is measured -> its arguments
    "first push of a datetime": ("datetime", "ours", "push"),
    "first push of a datetime, stock serde": ("datetime", "stock", "push"),
    "first pull of a datetime": ("datetime", "ours", "pull"),
    "first pull of a datetime, stock serde": ("datetime", "stock", "pull"),
    "first push of a frame of 20 rows": ("frame", "ours", "push"),
    "first push of a frame of 20 rows, stock serde": ("frame", "stock", "push"),
}
FORKED = ("first push of a datetime, forked", "then its pull, forked")


def first(repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each first push and pull, each time in a fresh process; the first may write bytecode."""
    found: dict[str, list[float]] = {name: [] for name in (*FIRST, *FORKED)}
    with tempfile.TemporaryDirectory() as folder:
        rows = {whose: _run(folder, "datetime", whose, "row", "") for whose in ("ours", "stock")}
        for _ in range(repeats):
            for name, (what, whose, part) in FIRST.items():
                found[name] += json.loads(_run(folder, what, whose, part, rows[whose]))
            forked = json.loads(_run(folder, "datetime", "ours", "fork", rows["ours"]))
            for name, seconds in zip(FORKED, forked, strict=True):
                found[name].append(seconds)
    return found


def _run(folder: str, *arguments: str) -> str:
    """Return the last line of a process that uses compiled bytecode, as installed packages do, and logs at INFO."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"AIRFLOW_HOME": folder, "AIRFLOW__XCOM_CODECS__PATH": f"file://{folder}/xcom"}
    environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()[-1]

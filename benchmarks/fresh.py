"""The first push and pull of a process: what a task pays, as each is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FIRST", "FORKED", "first", "profiled"]

CODE = """
import datetime as dt, importlib, json, os, sys, time
from types import SimpleNamespace
import airflow.sdk.execution_time.task_runner
from airflow.sdk._shared.module_loading import entry_points_with_dist
from airflow.sdk.bases.xcom import BaseXCom
from airflow_xcom.backend import CodecXComBackend
list(entry_points_with_dist("airflow.plugins"))  # as the task runner does when it looks for plugins
what, whose, part, rows, profiles = (*sys.argv[1:], "", "")[:5]
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
own, inner, load = {}, [0.0], importlib._bootstrap._find_and_load
def noted(name, import_):
    inner.append(0.0)
    began = time.perf_counter()
    try:
        return load(name, import_)
    finally:
        took = time.perf_counter() - began
        own[name] = took - inner.pop()
        inner[-1] += took
def profiled(act, timed=timed):
    importlib._bootstrap._find_and_load = noted
    took = timed(act)
    importlib._bootstrap._find_and_load = load
    return {"all but imports": took - inner[0], **own}
if profiles:
    timed = profiled
if part == "row":
    print(json.dumps(push()))
    sys.exit()
row = json.loads(rows or "null")
if part == "fork":
    read, write = os.pipe()
    if os.fork() == 0:
        pushed = timed(push)
        own.clear()
        inner[:] = [0.0]
        os.write(write, json.dumps([pushed, timed(pull)]).encode())
        os._exit(0)
    os.wait()
    print(os.read(read, 65536).decode())
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
MOST = 8  # modules
FORKED = ("first push of a datetime, forked", "then its pull, forked")


def first(repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each first push and pull, each time in a fresh process; the first may write bytecode."""
    found: dict[str, list[float]] = {name: [] for name in (*FIRST, *FORKED)}
    with tempfile.TemporaryDirectory() as folder:
        rows = {whose: _run(folder, "datetime", whose, "row") for whose in ("ours", "stock")}
        for _ in range(repeats):
            for name, (what, whose, part) in FIRST.items():
                found[name] += json.loads(_run(folder, what, whose, part, rows[whose]))
            forked = json.loads(_run(folder, "datetime", "ours", "fork", rows["ours"]))
            for name, seconds in zip(FORKED, forked, strict=True):
                found[name].append(seconds)
    return found


def profiled(work: str, folder: Path) -> str:
    """Return a Markdown table of what a first push or pull imports, and the milliseconds of each without others in it.

    The process loads nothing that it would not load in a task, so that there is no profiler in it.
    """
    row = _run(str(folder), "datetime", "ours", "row")
    if work in FORKED:
        own = json.loads(_run(str(folder), "datetime", "ours", "fork", row, "profile"))[FORKED.index(work)]
    else:
        own = json.loads(_run(str(folder), *FIRST[work], row, "profile"))[0]
    most = sorted(own.items(), key=lambda one: -one[1])[:MOST]
    lines = [f"| {name} | {seconds * 1e3:.2f} |" for name, seconds in most]
    about = f"{len(own) - 1} modules are imported, in {(sum(own.values()) - own['all but imports']) * 1e3:.2f} ms."
    return "\n".join([f"### {work}", "", about, "", "| own time of | ms |", "| --- | --: |", *lines, ""])


def _run(folder: str, *arguments: str) -> str:
    """Return the last line of a process that uses compiled bytecode, as installed packages do, and logs at INFO."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"AIRFLOW_HOME": folder, "AIRFLOW__XCOM_CODECS__PATH": f"file://{folder}/xcom"}
    environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()[-1]

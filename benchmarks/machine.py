"""What a run ran on, and what imports cost there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["after", "facts", "imports"]

LIBRARIES = ("apache-airflow", "numpy", "pandas", "pyarrow", "msgpack", "distributed", "pyfory")
IMPORT = """
import importlib, time
find_and_load, total, depth = importlib._bootstrap._find_and_load, 0.0, 0
def timed(name, import_):
    global total, depth
    ours = name.partition(".")[0] == "airflow_xcom"
    depth += ours
    began = time.perf_counter()
    try:
        return find_and_load(name, import_)
    finally:
        depth -= ours
        if ours and not depth:
            total += time.perf_counter() - began
importlib._bootstrap._find_and_load = timed
from airflow.sdk import dag, task
import airflow_xcom.backend
print(total)
"""
CLASS = """
from airflow.sdk.bases.xcom import BaseXCom
import time
began = time.perf_counter()
from airflow_xcom.backend import CodecXComBackend
print(time.perf_counter() - began)
"""


def facts(folder: Path) -> dict[str, str]:
    """For people, to compare runs."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "file system": _file_system(folder),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "load before": _load(),
    }


def after() -> dict[str, str]:
    """Return the facts that are known at the end."""
    return {"load after": _load()}


def _load() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def _file_system(folder: Path) -> str:
    """Return the type of the file system of the files: one in memory makes flushing free."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[1]))[2]


def imports(repeats: int) -> dict[str, list[float]]:
    """Seconds of the imports that a Dag file causes, each time in a fresh process; the first may write bytecode.

    That of the package is of all its modules and of what these import, also of those that Airflow imports to read the
    options of its providers: the difference of two clocks would miss these.
    """
    return {
        "airflow_xcom.backend": [_seconds(IMPORT) for _ in range(repeats + 1)][1:],
        "CodecXComBackend": [_seconds(CLASS) for _ in range(repeats + 1)][1:],
    }


def _seconds(code: str) -> float:
    """Return the last line that code prints in a process that uses compiled bytecode, as installed packages do."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])

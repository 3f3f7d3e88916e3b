"""What a run ran on, and what imports cost there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["after", "facts", "imports"]

LIBRARIES = ("apache-airflow", "numpy", "pandas", "pyarrow", "msgpack", "cloudpickle", "msgpack-numpy")
IMPORT = "from airflow.sdk import dag, task; import airflow_xcom.backend"
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
    """What is known at the end."""
    return {"load after": _load()}


def _load() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def _file_system(folder: Path) -> str:
    """The type of the file system that the files are in: flushing costs nothing where it is in memory."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[1]))[2]


def imports(repeats: int) -> dict[str, list[float]]:
    """Seconds of the imports that a Dag file causes, each time in a fresh process; the first may write bytecode."""
    return {
        "airflow_xcom.backend": [_added() for _ in range(repeats + 1)][1:],
        "CodecXComBackend": [float(_output("-c", CLASS).split()[-1]) for _ in range(repeats + 1)][1:],
    }


def _added() -> float:
    """What our modules add, and what is imported because of them.

    Airflow may import some of them while it reads the options of its providers, so that the difference of two clocks
    would miss these.
    """
    lines = [
        line.removeprefix("import time:").split("|") for line in _output("-X", "importtime", "-c", IMPORT).splitlines()
    ]
    total, inside = 0, None
    for _, cumulative, name in reversed([line for line in lines if len(line) == 3 and "[" not in line[0]]):  # noqa: PLR2004
        depth = len(name) - len(name.lstrip())  # a module stands behind those that it imports
        if inside is not None and depth <= inside:
            inside = None
        if inside is None and name.strip().startswith("airflow_xcom"):
            inside = depth
            total += int(cumulative)
    return total / 1e6


def _output(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stderr if "importtime" in arguments else done.stdout

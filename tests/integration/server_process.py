"""Airflow's API server as a process of its own, as an installation has it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from ports import HOST, free_ports

PATIENCE = 180.0  # seconds for it to start


@dataclass(frozen=True)
class ServerProcess:
    """The server.

    Attributes:
        url: where it answers.
        pid: the process that answers.
    """

    url: str
    pid: int

    def token(self, name: str, password: str) -> str:
        """Return what a user logs in with."""
        login = {"username": name, "password": password}
        return str(json.loads(_call(f"{self.url}/auth/token", json.dumps(login).encode()))["access_token"])


def memory_of(pid: int, name: str = "VmRSS") -> int:
    """Return the bytes of memory that a process takes, or with ``VmHWM`` the most that it took."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def server_process(
    folder: Path, variables: Mapping[str, str], python: str | Path = sys.executable
) -> Iterator[ServerProcess]:
    """A server over the database that the variables name, between enter and exit.

    Args:
        folder: where its log goes.
        variables: in addition to those of this process.
        python: the interpreter with the Airflow that runs.
    """
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    environment = {**os.environ, "AIRFLOW__API__BASE_URL": url, "NO_PROXY": HOST, "no_proxy": HOST, **variables}
    command = [python, "-m", "airflow", "api-server", "--host", HOST, "--port", str(port), "--workers", "1"]
    with (folder / "api-server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, url, folder / "api-server.log")
        yield ServerProcess(url, process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(URLError, ConnectionError, TimeoutError):
            _call(f"{url}/api/v2/version")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the API server did not start:\n{log.read_text(errors='replace')[-5000:]}")
        time.sleep(0.2)


def _call(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return bytes(response.read())

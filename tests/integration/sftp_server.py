"""A real SFTP server in a thread, that lets one user into one folder."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncssh
import pytest

logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it logs when connections end, after pytest has

LOGIN, PASSWORD = "tests", "sftp-secret-of-the-tests"


class _Server(asyncssh.SSHServer):
    def begin_auth(self, _username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (LOGIN, PASSWORD)


async def stop(server: asyncssh.SSHAcceptor) -> None:
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@contextmanager
def running(folder: Path) -> Iterator[SimpleNamespace]:
    """Serve a folder."""

    async def start() -> asyncssh.SSHAcceptor:
        keys = [asyncssh.generate_private_key("ssh-ed25519")]
        factory = lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(folder))  # noqa: E731
        return await asyncssh.create_server(_Server, "127.0.0.1", 0, server_host_keys=keys, sftp_factory=factory)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(120)
    yield SimpleNamespace(host="127.0.0.1", port=server.get_port(), login=LOGIN, password=PASSWORD, folder=folder)
    asyncio.run_coroutine_threadsafe(stop(server), loop).result(120)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    with running(tmp_path_factory.mktemp("sftp")) as server:
        yield server

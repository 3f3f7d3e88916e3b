"""As proxy.py, between a client and a server of Redis: a command, or a transaction as a whole, is a request."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from proxy import Fault

_HANDSHAKE = {b"AUTH", b"CLIENT", b"HELLO", b"SELECT"}
_ERRORS = {  # what a server of Redis says where one of HTTP has this status
    400: "ERR odd",
    401: "WRONGPASS invalid username-password pair or user is disabled.",
    403: "NOPERM User default has no permissions to run this command",
    404: "ERR DB index is out of range",
    429: "TRYAGAIN Multiple keys request during rehashing of slot",
    500: "MASTERDOWN Link with MASTER is down",
    503: "LOADING server is loading the dataset in memory",
}


class RedisProxy:
    """See :class:`proxy.Proxy`; its requests are the names of the commands, and the first key of each."""

    def __init__(self, upstream: str, fault: Callable[[str, str], Fault | None] = lambda *_: None) -> None:
        self.upstream = urlsplit(upstream)
        self.fault = fault
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.url = f"redis://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    def forget(self) -> None:
        self.requests.clear()
        self.sent = 0


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class _Handler(socketserver.StreamRequestHandler):
    proxy: RedisProxy
    disable_nagle_algorithm = True

    def handle(self) -> None:
        upstream = self.proxy.upstream
        with suppress(OSError), socket.create_connection((str(upstream.hostname), upstream.port or 0)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = server.makefile("rb")
            while commands := self._request():
                self._relay(commands, server, answers)

    def _request(self) -> list[tuple[bytes, bytes, bytes]]:
        """The name, first key and bytes of a command, or of each in a transaction."""
        commands = []
        while command := read_command(self.rfile):
            commands.append(command)
            if commands[0][0] != b"MULTI" or command[0] == b"EXEC":
                return commands
        return []

    def _relay(self, commands: list[tuple[bytes, bytes, bytes]], server: socket.socket, answers: Any) -> None:
        fault = Fault()
        name, key, _ = commands[0]
        if name not in _HANDSHAKE:
            said = (name.decode(), key.decode(errors="replace"))
            self.proxy.requests.append(said)
            fault = self.proxy.fault(*said) or Fault()
        time.sleep(fault.delay)
        if fault.reset:
            self._break()
        if fault.status is not None:
            self.wfile.write(_refusal(fault, len(commands)))
            return
        server.sendall(b"".join(raw for _, _, raw in commands))
        answer = b"".join(_reply(answers) for _ in commands)
        if fault.answer_lost:
            self._break()
        passed = answer[: fault.truncate]
        self.proxy.sent += len(passed) if name not in _HANDSHAKE else 0
        self.wfile.write(passed)
        if len(passed) < len(answer):
            raise ConnectionError

    def _break(self) -> None:
        """Reset it, rather than close it in good order."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionError


def read_command(source: Any) -> tuple[bytes, bytes, bytes] | None:
    """The name of a command, its first argument, and all of it as it came."""
    line = source.readline()
    if not line:
        return None
    raw, parts = [line], []
    for _ in range(int(line[1:])):
        head = source.readline()
        parts.append(source.read(int(head[1:]) + 2))
        raw += [head, parts[-1]]
    return parts[0][:-2].upper(), parts[1][:-2] if len(parts) > 1 else b"", b"".join(raw)


def _reply(source: Any) -> bytes:
    line: bytes = source.readline()
    if line[:1] == b"$" and line != b"$-1\r\n":
        return line + bytes(source.read(int(line[1:]) + 2))
    if line[:1] == b"*":
        return line + b"".join(_reply(source) for _ in range(int(line[1:])))
    if not line:
        raise ConnectionError
    return line


def _refusal(fault: Fault, commands: int) -> bytes:
    text = f"-{_ERRORS[fault.status or 0]} {fault.body.decode()}\r\n".encode()
    if commands == 1:
        return text
    return b"+OK\r\n" + text * (commands - 2) + b"-EXECABORT Transaction discarded because of previous errors.\r\n"

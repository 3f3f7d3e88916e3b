"""Between a client and a server of HTTP: counts what passes, delays it, and does what goes wrong on the way."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_PIECE = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Attributes:
        delay: seconds that pass before anything else.
        reset: whether the connection breaks before the server has heard of the request.
        answer_lost: whether it breaks after the server has done what was asked.
        truncate: the bytes of the body after which the connection is closed.
        status: what is answered in place of the server.
        body: of that answer.
    """

    delay: float = 0
    reset: bool = False
    answer_lost: bool = False
    truncate: int | None = None
    status: int | None = None
    body: bytes = b""


class Proxy:
    """Listens at ``url`` and passes everything on to the server at ``upstream``.

    ``fault`` is asked about every request, with its method and path; ``requests`` are those that came, and ``sent`` and
    ``received`` the bytes of bodies that the server sent and received.
    """

    def __init__(
        self,
        upstream: str,
        fault: Callable[[str, str], Fault | None] = lambda *_: None,
        handler: type[ProxyHandler] | None = None,
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.fault = fault
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.received = 0
        self.lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), type("Handler", (handler or ProxyHandler,), {"proxy": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{self.upstream.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    def forget(self) -> None:
        """Count from zero."""
        self.requests.clear()
        self.sent = self.received = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are expected."""


class ProxyHandler(BaseHTTPRequestHandler):
    proxy: Proxy
    host = ""  # what the server is told, if not what the client said, which may have signed it
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def setup(self) -> None:
        super().setup()
        upstream = self.proxy.upstream
        self.http = HTTPConnection(str(upstream.hostname), upstream.port, timeout=120)

    def finish(self) -> None:
        self.http.close()
        with suppress(OSError):
            super().finish()

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def relay(self) -> None:
        proxy = self.proxy
        length = int(self.headers.get("Content-Length") or 0)
        with proxy.lock:
            proxy.requests.append((self.command, self.path))
            proxy.received += length
        fault = proxy.fault(self.command, self.path) or Fault()
        time.sleep(fault.delay)
        if fault.reset:
            self.break_connection()
            return
        if fault.status is not None:
            self.rfile.read(length)
            self.answer(fault.status, {"Content-Type": "application/xml"}, fault.body)
            return
        answer = self.ask(self.body(length))
        if fault.answer_lost:
            answer.read()
            self.break_connection()
            return
        self.pass_on(answer, fault.truncate)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

    def body(self, length: int) -> Iterator[bytes]:
        """The body of the request as it comes, in chunks if the client sends it so."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            size = -1
            while size:
                line = self.rfile.readline()
                size = int(line.partition(b";")[0], 16)
                yield line + self.rfile.read(size + 2)
        while length > 0:
            piece = self.rfile.read(min(length, _PIECE))
            if not piece:
                raise ConnectionError
            yield piece
            length -= len(piece)

    def ask(self, body: Iterator[bytes]) -> Any:
        """Send the request on, and have the head of the answer."""
        self.http.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"connection", "expect", "host"}:
                self.http.putheader(name, value)
        self.http.putheader("Host", self.host or self.headers["Host"])
        self.http.endheaders()
        for piece in body:
            self.http.send(piece)
        return self.http.getresponse()

    def pass_on(self, answer: Any, truncate: int | None) -> None:
        sized = answer.getheader("Content-Length") is not None or self.command == "HEAD"
        body = b"" if sized else answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "keep-alive"}:
                self.send_header(name, value)
        if not sized:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with self.proxy.lock:
            self.proxy.sent += len(body)
        passed = 0
        while piece := answer.read(_PIECE):
            piece = piece if truncate is None else piece[: truncate - passed]
            passed += len(piece)
            with self.proxy.lock:
                self.proxy.sent += len(piece)
            self.wfile.write(piece)
            if passed == truncate:
                self.wfile.flush()
                self.close_connection = True
                self.http.close()
                break

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def break_connection(self) -> None:
        """Reset it, rather than close it in good order."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle_one_request(self) -> None:
        with suppress(OSError, HTTPException, ValueError):
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

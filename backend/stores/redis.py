"""A Redis or Valkey server as a store: for values that are passed on soon, and need not outlive the server's memory."""

from __future__ import annotations

import itertools
import mmap
import random
import re
import struct
import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from airflow_xcom.backend.errors import (
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from airflow_xcom.backend.settings import Settings
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError
from airflow_xcom.codecs import CorruptPayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from socket import socket
    from typing import NoReturn
    from urllib.parse import SplitResult

__all__ = ["RedisStore"]

_Reply = TypeVar("_Reply")

_SMALL = 1 << 20  # bytes up to which a blob is one string; joining them costs less than a second round trip
_CHUNK = 8 << 20  # bytes; a string may have 512 MB, but a server does nothing else while it takes one in
_UNPUBLISHED = 3600  # seconds after which a chunk goes that no head was written for
_READING = 3600  # seconds that the chunks outlive their head, for readers that have begun
_NOT_THERE, _FOR_GOOD = -2, -1  # what TTL says of a key
_PAGE = 1000  # keys in a page of a listing
_CHUNK_KEY = re.compile(rb"#\d+\Z")  # paths of this backend are percent-encoded, and have no "#"
_GLOB = re.compile(rb"([*?\[\]\\^-])")
_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")


@dataclass(frozen=True, slots=True)
class _Head:
    """What a blob's key begins with: 32 bytes, so that buffers behind it stay aligned.

    A small blob follows it.  A large one is in chunks, under the same key with ``#0``, ``#1``, … appended.
    """

    size: int
    chunk: int  # bytes of each chunk but the last; 0 if the blob follows
    written: float

    _MAGIC = b"axcblob1"
    _LAYOUT = struct.Struct("<8sQQd")
    BYTES = _LAYOUT.size

    def pack(self) -> bytes:
        return self._LAYOUT.pack(self._MAGIC, self.size, self.chunk, self.written)

    @classmethod
    def of(cls, value: bytes, path: str) -> _Head:
        if len(value) < cls.BYTES or not value.startswith(cls._MAGIC):
            msg = f"the key of the payload {path!r} holds something else"
            raise CorruptPayloadError(msg)
        return cls(*cls._LAYOUT.unpack_from(value)[1:])

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk) if self.chunk else 0


class RedisStore:
    """Blobs as strings.

    A blob of up to 1 MiB is one string: one command writes it, one reads it.  A larger one is written in chunks that go
    by themselves after an hour, and one transaction makes them last and writes the head: readers see all of it or
    nothing, and what a killed writer leaves goes away without a sweep.

    Args:
        url: ``redis://conn_id@/prefix`` for an Airflow connection, or ``redis://host:port/database/prefix`` for a
            server without a password; ``rediss://`` for TLS.  ``?ttl=86400`` behind it: seconds that a blob lives.
        timeout: seconds after which a command that meets faults gives up.

    Raises:
        SettingsError: the URL is not of this form.
    """

    def __init__(self, url: str, timeout: float = Settings.store_timeout) -> None:
        parts = urlsplit(url)
        self._parts = parts
        if parts.scheme not in {"redis", "rediss"} or parts.fragment or not _is_address(parts):
            raise SettingsError(
                "path",
                url,
                "give redis://conn_id@/prefix, with host and password in the Airflow connection conn_id, or "
                "redis://host:port/database/prefix for a server without a password",
            )
        self.url = url.partition("?")[0]
        prefix = parts.path.strip("/")
        if parts.hostname is not None:
            prefix = prefix.partition("/")[2]
        self._prefix = unquote(prefix) + "/" if prefix else ""
        self._ttl = _ttl(url, parts.query)
        self._timeout = timeout

    @property
    def host(self) -> str | None:
        return None

    @property
    def ttl(self) -> int | None:
        return self._ttl

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        key, now, pieces = self._key(path), time.time(), _pieces(chunks, _CHUNK)
        first = next(pieces, b"")
        if len(first) <= _SMALL and len(first) < _CHUNK:  # a shorter piece is the last
            self._call("cannot write", "SET", key, b"".join([_Head(len(first), 0, now).pack(), first]), *self._life())
            return
        size, written = 0, list[bytes]()
        try:
            for piece in itertools.chain([first], pieces):
                written.append(_chunk_key(key, len(written)))
                self._call("cannot write", "SET", written[-1], piece, "EX", _UNPUBLISHED)
                size += len(piece)
            self._publish(key, _Head(size, _CHUNK, now), written)
        except BaseException:
            self._discard(written)
            raise

    def _publish(self, key: bytes, head: _Head, chunks: Sequence[bytes]) -> None:
        """Make the chunks last and write the head, at once.  Doing so twice, after a lost reply, does no harm."""
        last = ("PERSIST",) if self.ttl is None else ("EXPIRE", self.ttl + _READING)
        results = self._transaction(
            "cannot write",
            *((last[0], chunk, *last[1:]) for chunk in chunks),
            ("EXISTS", *chunks),
            ("SET", key, head.pack(), *self._life()),
        )
        if results[-2] != len(chunks):
            self._call("cannot write", "UNLINK", key)
            raise StoreError(self.url, "cannot write: it dropped a part of the payload before the last one was there")

    def _discard(self, written: Sequence[bytes]) -> None:
        """Try once to remove the chunks of a failed write; they go by themselves, too."""
        import redis

        try:
            if written:
                self._client.unlink(*written)
        except redis.RedisError:
            return

    def get(self, path: str) -> memoryview:
        key = self._key(path)
        value = self._found(path, self._call("cannot read", "GET", key))
        head = _Head.of(value, path)
        if not head.chunk:
            return memoryview(bytearray(value))[head.BYTES :]
        memory = memoryview(mmap.mmap(-1, head.size))
        for index in range(head.chunks):
            self._fill(memory[index * head.chunk :][: head.chunk], path, "GET", _chunk_key(key, index))
        return memory

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """The bytes from start to before stop of each range, in writable memory; see :class:`Store`."""
        key = self._key(path)
        start = _Head.BYTES
        parts = [("GETRANGE", key, start + first, start + last - 1) for first, last in ranges]
        begin, *found = self._transaction("cannot read", ("GETRANGE", key, 0, start - 1), *parts)
        head = _Head.of(self._found(path, begin or None), path)
        for first, last in ranges:
            if not first <= last <= head.size:
                raise StoreError(self.url, f"cannot read: {path!r} has no bytes {first} to {last}")
        if not head.chunk:
            return [memoryview(bytearray(part)) for part in found]
        return [self._read_chunks(path, head, first, last) for first, last in ranges]

    def _read_chunks(self, path: str, head: _Head, start: int, stop: int) -> memoryview:
        memory = memoryview(bytearray(stop - start))
        for index in range(start // head.chunk, -(-stop // head.chunk)) if memory else ():
            offset = index * head.chunk
            first, last = max(start - offset, 0), min(stop - offset, head.chunk)
            part = memory[offset + first - start : offset + last - start]
            self._fill(part, path, "GETRANGE", _chunk_key(self._key(path), index), first, last - 1)
        return memory

    def _fill(self, memory: memoryview, path: str, *command: Any) -> None:
        size = self._patiently("cannot read", partial(_receive, command, memory))
        if size in {-1, 0}:  # GETRANGE of nothing is empty
            raise BlobNotFoundError(path)
        if size != len(memory):
            msg = f"a part of the payload {path!r} has {size} bytes, and {len(memory)} were written"
            raise CorruptPayloadError(msg)

    def delete(self, path: str) -> bool:
        key = self._key(path)
        if _CHUNK_KEY.search(key):
            head = self._call("cannot delete", "EXISTS", _head_key(key))
            return not head and bool(self._call("cannot delete", "UNLINK", key))
        value = self._call("cannot delete", "GETRANGE", key, 0, _Head.BYTES - 1)
        if not value:
            return False
        chunks = (_chunk_key(key, index) for index in range(_Head.of(value, path).chunks))
        # One command: chunks without a head would stay for ever.  Its reply may be that to a second attempt.
        self._call("cannot delete", "UNLINK", key, *chunks)
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """See :class:`Store`; while the server grows or shrinks its table of keys, a blob may come twice."""
        for keys in self._pages(prefix):
            yield from self._entries([key for key in keys if not _CHUNK_KEY.search(key)])

    def scan(self) -> Iterator[Blob]:
        """See :class:`Store`; also the chunks of large blobs that have no head."""
        for keys in self._pages(""):
            yield from self._entries([key for key in keys if not _CHUNK_KEY.search(key)])
            yield from self._headless([key for key in keys if _CHUNK_KEY.search(key)])

    def prune(self, before: float) -> None:
        """A server has no folders."""

    def _pages(self, prefix: str) -> Iterator[Sequence[bytes]]:
        cursor: Any = 0
        pattern = _GLOB.sub(rb"\\\1", self._key(prefix)) + b"*"
        while True:
            cursor, keys = self._call("cannot list", "SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
            yield keys
            if int(cursor) == 0:
                return

    def _headless(self, chunks: Sequence[bytes]) -> Iterator[Blob]:
        """The chunks whose head is not there: of a writer that was killed or is busy, or of a head that was evicted."""
        asked = [(("EXISTS", _head_key(key)), ("TTL", key), ("STRLEN", key)) for key in chunks]
        replies = iter(self._pipeline("cannot list", [command for commands in asked for command in commands]))
        for key, head, life, size in zip(chunks, replies, replies, replies, strict=True):
            if not head and life != _NOT_THERE and isinstance(size, int):
                path = key.decode(errors="replace").removeprefix(self._prefix)
                yield Blob(path, size, time.time() - self._age(key, life))

    def _age(self, key: bytes, life: int) -> float:
        """The seconds that a chunk is known to be old, by the server's clock."""
        if life != _FOR_GOOD:
            return max(0, _UNPUBLISHED - life)
        try:
            return float(self._call("cannot list", "OBJECT", "IDLETIME", key) or 0)
        except StoreUnreachableError:
            raise
        except StoreError:  # the server counts uses, and keeps no times
            return 0

    def _entries(self, keys: Sequence[bytes]) -> Iterator[Blob]:
        heads = self._pipeline("cannot list", [("GETRANGE", key, 0, _Head.BYTES - 1) for key in keys])
        for key, value in zip(keys, heads, strict=True):
            try:
                path = key.decode().removeprefix(self._prefix)
                head = _Head.of(value if isinstance(value, bytes) else b"", path)  # or of another type
            except (CorruptPayloadError, UnicodeDecodeError):
                continue  # somebody else's, or deleted since
            yield Blob(path, head.size, head.written)

    def _key(self, path: str) -> bytes:
        return (self._prefix + path).encode()

    def _life(self) -> tuple[Any, ...]:
        return () if self.ttl is None else ("EX", self.ttl)

    def _found(self, path: str, value: Any) -> bytes:
        if value is None:
            raise BlobNotFoundError(path)
        return bytes(value)

    def _call(self, what: str, *command: Any) -> Any:
        return self._patiently(what, lambda client: client.execute_command(*command))

    def _transaction(self, what: str, *commands: Sequence[Any]) -> Sequence[Any]:
        return self._patiently(what, partial(_send_all, commands, transaction=True))

    def _pipeline(self, what: str, commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        return self._patiently(what, partial(_send_all, commands, transaction=False)) if commands else []

    def _patiently(self, what: str, act: Callable[[Any], _Reply]) -> _Reply:
        """Act, and again after a passing fault, with growing pauses, until the time-out would be passed."""
        redis = self._library
        last_start = time.monotonic() + self._timeout - self._attempt
        pause = 0.0  # the first fault is often a pooled connection that the server has closed meanwhile
        while True:
            try:
                return act(self._client)
            except redis.RedisError as error:
                cause = _bare(_first(error))
            if not _passes(cause) or time.monotonic() + pause > last_start:
                text = self._censored(f"{type(cause).__name__}: {cause}")
                raise self._failure(what, text, passing=_passes(cause)) from redis.RedisError(text)
            if isinstance(cause, redis.ReadOnlyError):  # a replica now; the name leads to the new primary
                self._client.connection_pool.disconnect(inuse_connections=False)
            time.sleep(pause)
            pause = min(2 * pause or 0.05, 2.0) * random.uniform(0.75, 1.25)  # noqa: S311 - so that not all come back at once

    def _failure(self, what: str, text: str, *, passing: bool) -> StoreError:
        if passing:
            advice = f"check the address {self._origin}, or raise [xcom_codecs] store_timeout"
            return StoreUnreachableError(self.url, f"{what}: {text}; {advice}")
        kind, advice = next(found for sign, found in _LASTING.items() if sign in text.lower())
        return kind(self.url, "; ".join(filter(None, [f"{what}: {text}", advice.format(origin=self._origin)])))

    def _censored(self, text: str) -> str:
        """``text`` without the password, should the server repeat it."""
        provider = self._client.connection_pool.connection_kwargs.get("credential_provider")
        return text.replace(provider.get_credentials()[-1], "***") if provider else text

    @property
    def _origin(self) -> str:
        """Where address and credentials come from, for an error."""
        name = unquote(self._parts.username or "")
        return f"in the Airflow connection {name!r}" if name else "in the URL of the store"

    @property
    def _attempt(self) -> float:
        """The seconds that the server may leave us waiting: three attempts fit the time-out."""
        return self._timeout / 3

    @property
    def _library(self) -> Any:
        try:
            import redis
        except ImportError as error:
            raise StoreError(self.url, "needs the package redis: pip install 'airflow-xcom-codecs[redis]'") from error
        return redis

    @cached_property
    def _client(self) -> Any:
        redis = self._library
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(
            **self._server(),
            protocol=2,  # the handshake of 3 sends the password in a command that old servers repeat in their errors
            retry=Retry(NoBackoff(), 0),
            socket_timeout=self._attempt,
            socket_connect_timeout=self._attempt,
            socket_keepalive=True,
        )

    def _server(self) -> dict[str, Any]:
        """Where the server is, and how to be let in."""
        encrypted = self._parts.scheme == "rediss"
        if self._parts.hostname is not None:
            database = self._parts.path.strip("/").partition("/")[0]
            return {
                "host": self._parts.hostname,
                "port": self._parts.port or 6379,
                "db": int(database),
                "ssl": encrypted,
            }
        from redis import UsernamePasswordCredentialProvider

        connection = self._connection(unquote(self._parts.username or ""))
        extra = connection.extra_dejson
        tls = {name: extra[name] for name in _TLS if name in extra}
        server: dict[str, Any] = {
            "host": connection.host or "localhost",
            "port": connection.port or 6379,
            "db": int(connection.schema or extra.get("db") or 0),
        }
        if encrypted or extra.get("ssl"):
            server |= {"ssl": True, **tls}
        if connection.password:
            # Not as arguments, which redis-py keeps where reprs and tracebacks show them.
            server["credential_provider"] = UsernamePasswordCredentialProvider(
                connection.login or None, connection.password
            )
        return server

    def _connection(self, conn_id: str) -> Any:
        from airflow_xcom.backend.compat import connection

        try:
            return connection(conn_id)
        except Exception as error:  # noqa: BLE001 - of any secrets backend; its text may repeat what it could not parse
            kind = type(error).__name__
        if kind == "AirflowNotFoundException":
            raise SettingsError("path", self.url, f"there is no Airflow connection {conn_id!r}, or it is not readable")
        raise StoreError(self.url, f"cannot be opened: its Airflow connection cannot be read ({kind})")


_PASSING = ("LOADING", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN")
_RIGHTS = "GET, SET, GETRANGE, UNLINK, EXISTS, EXPIRE, PERSIST, MULTI, EXEC and SCAN"
_CREDENTIALS = "check the credentials {origin}"
# By what the name of redis-py's exception or the server's text contains, in lower case.
_LASTING: dict[str, tuple[type[StoreError], str]] = {
    "authentication required": (
        StoreDeniedError,
        "it wants a password; put one into an Airflow connection and use redis://conn_id@/prefix",
    ),
    "authentication": (StoreDeniedError, _CREDENTIALS),
    "wrongpass": (StoreDeniedError, _CREDENTIALS),
    "permission": (StoreDeniedError, f"{_CREDENTIALS}, and let this user run {_RIGHTS} there"),
    "db index": (StoreNotFoundError, "correct the number of the database {origin}"),
    "maxmemory": (
        StoreError,
        "raise maxmemory, give blobs a time to live with ?ttl= in the store's URL, or write elsewhere",
    ),
    "moved": (StoreError, "it is a node of a cluster, which is not supported; use a single server, or a proxy"),
    "misconf": (StoreError, "it cannot save to its disk, and so takes no writes"),
    "": (StoreError, ""),
}


def _send_all(commands: Sequence[Sequence[Any]], client: Any, *, transaction: bool) -> Sequence[Any]:
    """The replies to several commands, sent at once; without a transaction some may be errors, if of a key's type."""
    import redis

    with client.pipeline(transaction=transaction) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies: Sequence[Any] = pipeline.execute(raise_on_error=transaction)
    for reply in replies:
        if isinstance(reply, redis.RedisError) and not str(reply).startswith("WRONGTYPE"):
            raise reply
    return replies


def _receive(command: Sequence[Any], memory: memoryview, client: Any) -> int:
    """The size of the string that answers a command, or -1; read into ``memory`` if it has that size.

    redis-py copies what it receives three times: 256 MiB in pieces of 8 MiB took it 1.3 s, and takes 0.4 s here.
    """
    import redis

    connection = client.connection_pool.get_connection()
    finished = False
    try:
        connection.send_command(*command)
        line = _line(connection._sock)  # noqa: SLF001 - where redis-py's own parsers read, too
        if not line.startswith(b"$"):
            raise redis.ResponseError(line.removeprefix(b"-").decode(errors="replace"))
        size = int(line[1:])
        if size == len(memory):
            _read_into(connection._sock, memory)  # noqa: SLF001
            finished = _line(connection._sock) == b""  # noqa: SLF001
    except OSError as error:
        raise redis.ConnectionError(str(error)) from error
    finally:
        if not finished:
            connection.disconnect()
        client.connection_pool.release(connection)
    return size


def _line(source: socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n"):
        line += source.recv(1) or _closed()
    return line[:-2]


def _read_into(source: socket, memory: memoryview) -> None:
    while memory:
        memory = memory[source.recv_into(memory) or _closed() :]


def _closed() -> NoReturn:
    raise ConnectionResetError("the server closed the connection")


def _first(error: Exception) -> Exception:
    """Why a transaction was given up, if that is the error."""
    import redis

    if isinstance(error, redis.exceptions.ExecAbortError) and isinstance(error.__cause__, Exception):
        return error.__cause__
    return error


def _bare(error: Exception) -> Exception:
    """An error without the frames of redis-py, in whose local variables the password stands."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _passes(error: Exception) -> bool:
    """Whether a fault may be over in a moment: a lost connection, a restart, a failover."""
    import redis

    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):  # "loading" is a ConnectionError too
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    error = _first(error)
    passing = (redis.ReadOnlyError, redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)
    return isinstance(error, (*passing, redis.exceptions.MasterDownError)) or str(error).startswith(_PASSING)


def _pieces(chunks: Iterable[Any], size: int) -> Iterator[bytes | memoryview]:
    """The blob in pieces of ``size`` bytes; a piece that lies within one chunk is not copied."""
    parts: list[memoryview] = []
    room = size
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            parts.append(view[:room])
            view = view[room:]
            room -= len(parts[-1])
            if not room:
                yield parts[0] if len(parts) == 1 else b"".join(parts)
                parts, room = [], size
    if parts:
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def _chunk_key(key: bytes, index: int) -> bytes:
    return b"%b#%d" % (key, index)


def _head_key(chunk: bytes) -> bytes:
    return chunk.rpartition(b"#")[0]


def _is_address(parts: SplitResult) -> bool:
    """Whether a URL names a connection or else a server and a database, and no password."""
    try:
        server = parts.hostname is not None and parts.port != 0
    except ValueError:  # the port is no number
        return False
    if parts.password is not None:
        return False
    if server:
        return parts.username is None and parts.path.strip("/").partition("/")[0].isdecimal()
    return bool(parts.username)


def _ttl(url: str, query: str) -> int | None:
    if not query:
        return None
    name, _, text = query.partition("=")
    if name != "ttl" or not text.isdecimal() or int(text) < 1:
        raise SettingsError("path", url, "give ttl in whole seconds, or nothing behind the question mark")
    return int(text)

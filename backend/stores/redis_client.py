"""A client of Redis or Valkey that outlasts passing faults, and says what to do about lasting ones."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_xcom.backend.errors import (
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from airflow_xcom.backend.stores.airflow_connection import find_connection

_Reply = TypeVar("_Reply")

_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")
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


class RedisClient:
    """Sends commands to the server that a URL names.

    Args:
        url: see :class:`airflow_xcom.backend.stores.redis.RedisStore`.
        timeout: seconds after which a command that meets faults gives up.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._parts = urlsplit(url)
        if self._parts.scheme not in {"redis", "rediss"} or self._parts.fragment or not _is_address(self._parts):
            raise SettingsError(
                "path",
                url,
                "give redis://conn_id@/prefix, with host and password in the Airflow connection conn_id, or "
                "redis://host:port/database/prefix for a server without a password",
            )
        self._url = url.partition("?")[0]
        self._timeout = timeout
        self._attempt = timeout / 3  # seconds that one attempt may wait: three fit the time-out
        self._idle: defaultdict[int, list[Any]] = defaultdict(list)  # process -> its open connections that nobody uses

    @property
    def prefix(self) -> str:
        """Return what the keys begin with, as the URL says."""
        path = self._parts.path.strip("/")
        if self._parts.hostname is not None:
            path = path.partition("/")[2]
        return unquote(path) + "/" if path else ""

    def call(self, what: str, *command: Any) -> Any:
        """Return the reply to a command; ``what`` begins the text of an error."""
        return self._retry(what, self._ask, command)

    def transaction(self, what: str, *commands: Sequence[Any]) -> Sequence[Any]:
        """Return the replies to several commands, which the server runs together."""
        return self._retry(what, partial(self._send, transaction=True), commands)

    def pipeline(self, what: str, commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the replies to several commands sent at once; that to a key of another type is an error."""
        return self._retry(what, partial(self._send, transaction=False), commands) if commands else []

    def try_once(self, *command: Any) -> None:
        """Send a command, and ignore faults."""
        try:
            self._ask(command)
        except self._library.RedisError:
            return

    def _ask(self, command: Sequence[Any]) -> Any:
        """Return the reply to a command over a connection of this process.

        The client of redis-py takes about as long around that as the server does: for a look whether the server has
        closed the connection, which the next attempt finds out too, for counts of connections, and for commands of
        parts of any type.
        """
        if (process := os.getpid()) not in self._idle:
            self._idle.clear()  # those of the process that this one was forked from
        idle = self._idle[process]
        try:
            connection = idle.pop()
        except IndexError:
            pool = self.redis.connection_pool
            connection = pool.connection_class(**pool.connection_kwargs)  # which connects when it is first used
        connection.send_packed_command((_packed(command),), check_health=False)
        reply = connection.read_response()
        idle.append(connection)  # after an error it is given up: the next reply on it might be that to another command
        return reply

    def _send(self, commands: Sequence[Sequence[Any]], *, transaction: bool) -> Sequence[Any]:
        with self.redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: Sequence[Any] = pipeline.execute(raise_on_error=transaction)
        for reply in replies:
            if isinstance(reply, self._library.RedisError) and not str(reply).startswith("WRONGTYPE"):
                raise reply
        return replies

    def _retry(self, what: str, act: Callable[[Sequence[Any]], _Reply], asked: Sequence[Any]) -> _Reply:
        """Act on what is asked; after a passing fault again, with growing pauses, until the time-out is passed."""
        redis = self._library
        last_start = time.monotonic() + self._timeout - self._attempt
        pause = 0.0  # the first fault is often a pooled connection that the server has closed meanwhile
        while True:
            try:
                return act(asked)
            except redis.RedisError as error:
                cause = _bare(_first(error))
            if not _passes(cause) or time.monotonic() + pause > last_start:
                text = self._censored(f"{type(cause).__name__}: {cause}")
                raise self._failure(what, text, passing=_passes(cause)) from redis.RedisError(text)
            self._idle.clear()  # the others of a server that was restarted are closed, too
            if isinstance(cause, redis.ReadOnlyError):  # a replica now; the name leads to the new primary
                self.redis.connection_pool.disconnect(inuse_connections=False)
            time.sleep(pause)
            pause = min(2 * pause or 0.05, 2.0) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    def _failure(self, what: str, text: str, *, passing: bool) -> StoreError:
        if passing:
            advice = f"check the address {self._origin}, or raise [xcom_codecs] store_timeout"
            return StoreUnreachableError(self._url, f"{what}: {text}; {advice}")
        error, advice = next(entry for sign, entry in _LASTING.items() if sign in text.lower())
        return error(self._url, "; ".join(filter(None, [f"{what}: {text}", advice.format(origin=self._origin)])))

    def _censored(self, text: str) -> str:
        """Return ``text`` without the password, should the server repeat it."""
        provider = self.redis.connection_pool.connection_kwargs.get("credential_provider")
        return text.replace(provider.get_credentials()[-1], "***") if provider else text

    @property
    def _origin(self) -> str:
        """Tell where address and credentials come from, for an error."""
        name = unquote(self._parts.username or "")
        return f"in the Airflow connection {name!r}" if name else "in the URL of the store"

    @cached_property
    def _library(self) -> Any:
        try:
            import redis
        except ImportError as error:
            raise StoreError(self._url, "needs the package redis: pip install 'airflow-xcom-codecs[redis]'") from error
        return redis

    @cached_property
    def redis(self) -> Any:
        """Return the client of redis-py."""
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
        """Return the arguments that name the server and let us in."""
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

        connection = find_connection(unquote(self._parts.username or ""), self._url)
        extra = connection.extra_dejson
        tls = {name: extra[name] for name in _TLS if name in extra}
        server: dict[str, Any] = {
            "host": connection.host or "localhost",
            "port": connection.port or 6379,
            "db": self._database(connection.schema or extra.get("db") or 0),
        }
        if encrypted or extra.get("ssl"):
            server |= {"ssl": True, **tls}
        if connection.password:
            # Not as arguments, which redis-py keeps where reprs and tracebacks show them.
            server["credential_provider"] = UsernamePasswordCredentialProvider(
                connection.login or None, connection.password
            )
        return server

    def _database(self, number: Any) -> int:
        try:
            return int(number)
        except (TypeError, ValueError):
            advice = f"the database {self._origin} is {number!r}; give its number as the schema"
            raise SettingsError("path", self._url, advice) from None


def _packed(command: Sequence[Any]) -> bytes:
    """Return a command in the server's protocol; its parts are bytes, memory, text and numbers."""
    parts: list[bytes | memoryview] = [b"*%d\r\n" % len(command)]
    for part in command:
        data = part if isinstance(part, (bytes, memoryview)) else str(part).encode()
        parts += b"$%d\r\n" % len(data), data, b"\r\n"
    return b"".join(parts)


def _first(error: Exception) -> Exception:
    """Return why a transaction was given up, if that is the error."""
    import redis

    if isinstance(error, redis.exceptions.ExecAbortError) and isinstance(error.__cause__, Exception):
        return error.__cause__
    return error


def _bare(error: Exception) -> Exception:
    """Return an error without the frames of redis-py, whose local variables hold the password."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _passes(error: Exception) -> bool:
    """Return whether a fault may be over in a moment: a lost connection, a restart, a failover."""
    import redis

    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):  # "loading" is a ConnectionError too
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    error = _first(error)
    passing = (redis.ReadOnlyError, redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)
    return isinstance(error, (*passing, redis.exceptions.MasterDownError)) or str(error).startswith(_PASSING)


def _is_address(parts: SplitResult) -> bool:
    """Return whether a URL names a connection or else a server and a database, and no password."""
    try:
        server = parts.hostname is not None and parts.port != 0
    except ValueError:  # the port is no number
        return False
    if parts.password is not None:
        return False
    if server:
        return parts.username is None and parts.path.strip("/").partition("/")[0].isdecimal()
    return bool(parts.username)

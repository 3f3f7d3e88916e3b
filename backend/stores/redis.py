"""A Redis or Valkey server as a store: for values that are passed on soon, and need not outlive the server's memory."""

from __future__ import annotations

import itertools
import re
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_xcom.backend.errors import SettingsError, StoreError, StoreUnreachableError
from airflow_xcom.backend.settings import Settings
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store, allocate, pieces
from airflow_xcom.backend.stores.redis_client import RedisClient
from airflow_xcom.codecs import CorruptPayloadError

_SMALL = 1 << 20  # bytes up to which a blob is one string; joining them costs less than a second round trip
_CHUNK = 8 << 20  # bytes; a string may have 512 MB, but a server does nothing else while it takes one in
_MOST_CHUNKS = 1 << 18  # of 8 MiB; no server holds more
_LAST = 1e11  # seconds, as Unix time
_UNPUBLISHED = 3600  # seconds after which a chunk goes that no head was written for
_READING = 3600  # seconds that the chunks outlive their head, for readers that have begun
_NOT_THERE, _FOR_GOOD = -2, -1  # what TTL says of a key
_PAGE = 1000  # keys in a page of a listing
_CHUNK_KEY = re.compile(rb"#\d+\Z")  # paths of this backend are percent-encoded, and have no "#"
_GLOB = re.compile(rb"([*?\[\]\\^-])")


@dataclass(slots=True)
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
    def of(cls, value: bytes | None, path: str) -> _Head:
        if not value:
            raise BlobNotFoundError(path)
        if len(value) < cls.BYTES or not value.startswith(cls._MAGIC):
            raise CorruptPayloadError(f"the key of the payload {path!r} holds something else")
        head = cls(*cls._LAYOUT.unpack_from(value)[1:])
        if head.chunks > _MOST_CHUNKS or not 0 <= head.written < _LAST:
            raise CorruptPayloadError(f"the key of the payload {path!r} says what no writer does")
        return head

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk) if self.chunk else 0


class RedisStore(Store):
    """Blobs as strings.

    A blob of up to 1 MiB is one string: one command writes it, one reads it.  A larger one is written in chunks that go
    by themselves after an hour, and one transaction makes them last and writes the head: readers see all of it or
    nothing, and what a killed writer leaves goes away without a sweep.

    Args:
        url: ``redis://conn_id@/prefix`` for an Airflow connection, or ``redis://host:port/database/prefix`` for a
            server without a password; ``rediss://`` for TLS.  ``?ttl=86400`` behind it: seconds that a blob lives.
        timeout: seconds after which a command that meets faults gives up.

    Raises:
        SettingsError: The URL is not of this form.
    """

    accepts_ttl = True

    def __init__(self, url: str, timeout: float = Settings.store_timeout) -> None:
        super().__init__(url.partition("?")[0], timeout)
        self._client = RedisClient(url, timeout)
        self._prefix = self._client.prefix
        self.ttl = _ttl(url, urlsplit(url).query)

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        key, now, rest = self._key(path), time.time(), pieces(chunks, _CHUNK)
        whole = chunks[0] if type(chunks) is list and len(chunks) == 1 else None  # as nearly all small ones come
        first = whole if type(whole) is bytes and len(whole) <= _SMALL else next(rest, b"")
        if len(first) <= _SMALL and len(first) < _CHUNK:  # a shorter piece is the last
            self._client.call(
                "cannot write", "SET", key, b"".join([_Head(len(first), 0, now).pack(), first]), *self._life()
            )
            return
        size, written = 0, list[bytes]()
        try:
            for piece in itertools.chain([first], rest):
                written.append(_chunk_key(key, len(written)))
                self._client.call("cannot write", "SET", written[-1], piece, "EX", _UNPUBLISHED)
                size += len(piece)
            self._publish(key, _Head(size, _CHUNK, now), written)
        except BaseException:
            if written:
                self._client.try_once("UNLINK", *written)  # they go by themselves, too
            raise

    def create(self, path: str, data: bytes) -> bool:
        value = _Head(len(data), 0, time.time()).pack() + data
        return self._client.call("cannot write", "SET", self._key(path), value, "NX", *self._life()) is not None

    def _publish(self, key: bytes, head: _Head, chunks: Sequence[bytes]) -> None:
        """Make the chunks last and write the head, at once.  Doing so twice, after a lost reply, does no harm."""
        last = ("PERSIST",) if self.ttl is None else ("EXPIRE", self.ttl + _READING)
        results = self._client.transaction(
            "cannot write",
            *((last[0], chunk, *last[1:]) for chunk in chunks),
            ("EXISTS", *chunks),
            ("SET", key, head.pack(), *self._life()),
        )
        if results[-2] != len(chunks):
            self._client.call("cannot write", "UNLINK", key)
            raise StoreError(self.url, "cannot write: it dropped a part of the payload before the last one was there")

    def get(self, path: str) -> memoryview:
        key = self._key(path)
        value = self._client.call("cannot read", "GET", key)
        head = _Head.of(value, path)
        if not head.chunk:
            return memoryview(bytearray(value))[head.BYTES :]
        try:
            memory = allocate(head.size)
        except (OSError, OverflowError) as error:
            raise CorruptPayloadError(f"there is no memory for the payload {path!r} of {head.size} bytes") from error
        for index in range(head.chunks):
            self._fill(memory[index * head.chunk :][: head.chunk], path, "GET", _chunk_key(key, index))
        return memory

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        key = self._key(path)
        start = _Head.BYTES
        asked = [("GETRANGE", key, start + first, start + last - 1) for first, last in ranges]
        begin, *parts = self._client.transaction("cannot read", ("GETRANGE", key, 0, start - 1), *asked)
        head = _Head.of(begin, path)
        for first, last in ranges:
            self._check_range(path, first, last, head.size)
        if not head.chunk:
            return [memoryview(bytearray(part)) for part in parts]
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
        value = self._client.call("cannot read", *command)
        if not value:  # GETRANGE of nothing is empty
            raise BlobNotFoundError(path)
        if len(value) != len(memory):
            counts = f"{len(value)} bytes, and {len(memory)} were written"
            raise CorruptPayloadError(f"a part of the payload {path!r} has {counts}; run the task again")
        memory[:] = value

    def delete(self, path: str) -> bool:
        key = self._key(path)
        if _CHUNK_KEY.search(key):
            head = self._client.call("cannot delete", "EXISTS", _head_key(key))
            return not head and bool(self._client.call("cannot delete", "UNLINK", key))
        value = self._client.call("cannot delete", "GETRANGE", key, 0, _Head.BYTES - 1)
        if not value:
            return False
        chunks = (_chunk_key(key, index) for index in range(_Head.of(value, path).chunks))
        # One command: chunks without a head would stay for ever.  Its reply may be that to a second attempt.
        self._client.call("cannot delete", "UNLINK", key, *chunks)
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """Yield blobs as :class:`Store` says; while the server resizes its table of keys, one may come twice."""
        for keys in self._pages(prefix):
            yield from self._entries([key for key in keys if not _CHUNK_KEY.search(key)])

    def scan(self) -> Iterator[Blob]:
        """Yield blobs, and the chunks of large blobs that have no head."""
        for keys in self._pages(""):
            yield from self._entries([key for key in keys if not _CHUNK_KEY.search(key)])
            yield from self._headless([key for key in keys if _CHUNK_KEY.search(key)])

    def _pages(self, prefix: str) -> Iterator[Sequence[bytes]]:
        cursor: Any = 0
        pattern = _GLOB.sub(rb"\\\1", self._key(prefix)) + b"*"
        while True:
            cursor, keys = self._client.call("cannot list", "SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
            yield keys
            if int(cursor) == 0:
                return

    def _headless(self, chunks: Sequence[bytes]) -> Iterator[Blob]:
        """Yield the chunks without a head: of a writer that was killed or is busy, or of a head that was evicted."""
        asked = [(("EXISTS", _head_key(key)), ("TTL", key), ("STRLEN", key)) for key in chunks]
        replies = iter(self._client.pipeline("cannot list", [command for commands in asked for command in commands]))
        for key, head, life, size in zip(chunks, replies, replies, replies, strict=True):
            if not head and life != _NOT_THERE and isinstance(size, int):
                path = key.decode(errors="replace").removeprefix(self._prefix)
                yield Blob(path, size, time.time() - self._age(key, life))

    def _age(self, key: bytes, life: int) -> float:
        """Return the seconds that a chunk is known to be old, by the server's clock."""
        if life != _FOR_GOOD:
            return max(0, _UNPUBLISHED - life)
        try:
            return float(self._client.call("cannot list", "OBJECT", "IDLETIME", key) or 0)
        except StoreUnreachableError:
            raise
        except StoreError:  # the server counts uses, and keeps no times
            return 0

    def _entries(self, keys: Sequence[bytes]) -> Iterator[Blob]:
        heads = self._client.pipeline("cannot list", [("GETRANGE", key, 0, _Head.BYTES - 1) for key in keys])
        for key, value in zip(keys, heads, strict=True):
            try:
                path = key.decode().removeprefix(self._prefix)
                head = _Head.of(value if isinstance(value, bytes) else b"", path)  # or of another type
            except (BlobNotFoundError, CorruptPayloadError, UnicodeDecodeError):
                continue  # somebody else's, or deleted since
            yield Blob(path, head.size, head.written)

    def _key(self, path: str) -> bytes:
        return (self._prefix + path).encode()

    def _life(self) -> tuple[Any, ...]:
        return () if self.ttl is None else ("EX", self.ttl)


def _chunk_key(key: bytes, index: int) -> bytes:
    return b"%b#%d" % (key, index)


def _head_key(chunk: bytes) -> bytes:
    return chunk.rpartition(b"#")[0]


def _ttl(url: str, query: str) -> int | None:
    if not query:
        return None
    name, _, text = query.partition("=")
    if name != "ttl" or not text.isdecimal() or int(text) < 1:
        raise SettingsError("path", url, "give ttl in whole seconds, or nothing behind the question mark")
    return int(text)

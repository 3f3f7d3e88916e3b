"""Buckets of Amazon S3, Google Cloud Storage and Azure Blob Storage, and of servers that speak as these do.

The client is obstore, for the figures in docs/STORES.md.  It repeats requests that met a passing fault (a connection
that breaks, a server that is silent, statuses 429 and 5xx) with exponential back-off and jitter.  What it does not dare
to repeat, such as the start of an upload in parts, is begun anew here: no two blobs have the same path.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError

from airflow_xcom.backend.errors import StoreDeniedError, StoreError, StoreNotFoundError, StoreUnreachableError
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store, allocate
from airflow_xcom.backend.stores.connections import CLIENT_SHARE, Bucket
from airflow_xcom.backend.stores.s3_listings import abort_upload, list_objects, list_uploads

_PART = 8 << 20  # bytes of one request; S3 takes parts of 5 MiB and more
_PARALLEL = 8  # requests of one large blob at a time; with _PART it bounds the memory of a push

_STATUS = re.compile(r"status code: (\d{3})")
_BODY = re.compile(r"(status code: \d{3}[\w ]*|containing an error): .*", re.DOTALL)
_CODE = re.compile(r"<Code>(\w+)</Code>|\"(?:reason|code)\": ?\"(\w+)\"")
_SYSTEM = re.compile(r"message: \"([^\"]+)\"|kind: (Timeout)|(dns error)|(IncompleteMessage)|(UnexpectedEof)")
_ODD_KEY = "object with invalid path"  # the client gives up a listing in which somebody has such a key as "a//b"
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket (?:does not exist|not found)", re.IGNORECASE)

T = TypeVar("T")


class ObjectStore(Store):
    """Blobs as objects below a prefix of a bucket.

    A small blob is one request each way.  A large one goes up in parts, of which a reader sees nothing until the last
    has arrived, and comes down in ranges side by side.

    Args:
        url: ``s3://connection@bucket/prefix``, or ``gs://``, or ``abfs://``.
        timeout: seconds after which a request is given up, its retries included.
    """

    _process: ClassVar[int | None] = None

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, timeout)
        self._bucket = Bucket.parse(url)

    @cached_property
    def _client(self) -> Any:
        return self._bucket.client(self.timeout)

    def put(self, path: str, chunks: Iterable[Any]) -> None:
        rest = (memoryview(chunk).cast("B") for chunk in chunks)
        small: list[memoryview] = []
        size = 0
        for chunk in rest:
            small.append(chunk)
            size += len(chunk)
            if size > _PART:
                self._put_parts(path, _Views(chunks, small, rest))
                return
        data = b"".join(small)
        self._ask("cannot write", path, lambda client: obstore.put(client, path, data, use_multipart=False))

    def create(self, path: str, data: bytes) -> bool:
        def create(client: Any) -> bool:
            try:
                obstore.put(client, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

        return self._ask("cannot write what is not there yet (a conditional write, If-None-Match)", path, create)

    def _put_parts(self, path: str, views: _Views) -> None:
        def put(client: Any) -> None:
            parts = (view for view in views if view)
            obstore.put(client, path, parts, use_multipart=True, chunk_size=_PART, max_concurrency=_PARALLEL)

        self._ask("cannot write", path, put, again=lambda: views.complete)

    def get(self, path: str) -> memoryview:
        size, first = self._begin(path)
        memory = allocate(size)
        memory[: len(first)] = first
        starts = range(len(first), size, _PART)
        self._fill(path, [(start, memory[start : start + _PART]) for start in starts])
        return memory

    def _begin(self, path: str) -> tuple[int, Any]:
        """Return the size of a blob and its first bytes, in one request unless it is empty."""

        def begin(client: Any) -> tuple[int, Any]:
            try:
                found = obstore.get(client, path, options={"range": (0, _PART)})
            except GenericError as error:
                if "status code: 416" not in str(error):
                    raise
                found = obstore.get(client, path)  # an empty blob has no first byte to ask for
            return found.meta["size"], found.bytes()

        return self._ask("cannot read", path, begin)

    def read(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        memories = [allocate(stop - start) for start, stop in ranges]
        pieces = [
            (start + offset, memory[offset : offset + _PART])
            for (start, _), memory in zip(ranges, memories, strict=True)
            for offset in range(0, len(memory), _PART)
        ]
        self._fill(path, pieces)
        return memories

    def _fill(self, path: str, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Read bytes from each offset into its memory, several requests at a time."""
        if len(pieces) < 2:  # noqa: PLR2004 - a thread would only cost time
            for start, memory in pieces:
                self._piece(path, start, memory)
            return
        if sum(len(memory) for _, memory in pieces) <= _PART:
            self._fill_small(path, pieces)
            return
        pool = ThreadPoolExecutor(min(_PARALLEL, len(pieces)), "airflow-xcom-codecs")
        try:
            for done in [pool.submit(self._piece, path, start, memory) for start, memory in pieces]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _fill_small(self, path: str, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Read a few bytes from each offset, for which the client asks side by side: threads would take longer.

        Those that touch are asked for as one: obstore joins them, too, but panics if the blob ends within.
        """
        spans: list[list[int]] = []
        for start, memory in sorted(pieces, key=itemgetter(0)):
            stop = start + len(memory)
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(stop, spans[-1][1])
            else:
                spans.append([start, stop])
        starts, stops = zip(*spans, strict=True)

        def ask(client: Any) -> Any:
            return obstore.get_ranges(client, path, starts=starts, ends=stops, coalesce=0)

        parts = self._ask("cannot read", path, ask)
        for start, stop, found in zip(starts, stops, parts, strict=True):
            self._check_range(path, start, stop, start + len(found))
        for start, memory in pieces:
            number = bisect_right(starts, start) - 1
            offset = start - starts[number]
            memory[:] = memoryview(parts[number])[offset : offset + len(memory)]

    def _piece(self, path: str, start: int, memory: memoryview) -> None:
        stop = start + len(memory)
        found = self._ask("cannot read", path, lambda client: obstore.get_range(client, path, start=start, end=stop))
        self._check_range(path, start, stop, start + len(found))
        memory[:] = found

    def delete(self, path: str) -> bool:
        if "#" in path:  # see scan
            return abort_upload(self._bucket, self.timeout, path)

        def delete(client: Any) -> None:
            obstore.head(client, path)  # S3 does not say whether there was something to delete
            obstore.delete(client, path)

        try:
            self._ask("cannot delete", path, delete)
        except BlobNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Blob]:
        folder = prefix.rpartition("/")[0] or None  # the client lists whole folders
        pages: Any = None
        last: str | None = None

        def next_page(client: Any) -> Any:
            nonlocal pages
            if pages is None:
                pages = obstore.list(client, folder, offset=last, chunk_size=1000)
            try:
                return next(pages, None)
            except BaseException:
                pages = None  # after a failure they would end, as if nothing more were to come
                raise

        try:
            while page := self._ask("cannot list", prefix, next_page):
                for entry in page:
                    if entry["path"].startswith(prefix):
                        yield Blob(entry["path"], entry["size"], entry["last_modified"].timestamp())
                last = page[-1]["path"]
        except StoreError as error:
            if _ODD_KEY not in str(error) or self._bucket.scheme != "s3":
                raise
            yield from list_objects(self._bucket, self.timeout, prefix, last or "")

    def scan(self) -> Iterator[Blob]:
        yield from self.list()
        if self._bucket.scheme == "s3":
            yield from list_uploads(self._bucket, self.timeout)

    def _ask(self, what: str, path: str, request: Callable[[Any], T], *, again: Callable[[], bool] = lambda: True) -> T:
        """Return what the client answers; after a fault that it did not retry itself, ask it ``again``."""
        self._refuse_fork()
        began = time.monotonic()
        for attempt in itertools.count():
            try:
                return request(self._client)
            except (BaseError, FileNotFoundError) as error:
                cause = type(error)(self._bucket.censored(_without_addresses(error)))
                failure = self._failure(what, path, error, cause)
            late = time.monotonic() - began > self.timeout * (1 - CLIENT_SHARE)
            if late or not again() or not isinstance(failure, StoreUnreachableError):
                break
            time.sleep(min(5, 0.1 * 2**attempt) * random.random())  # noqa: S311 - jitter
        raise failure from cause  # out of the except block, or the client's error would be its context

    def _refuse_fork(self) -> None:
        """Raise StoreError in a forked child, which would wait for ever for threads that only its parent has."""
        if ObjectStore._process is None:
            ObjectStore._process = os.getpid()
        if ObjectStore._process != os.getpid():
            reason = "cannot be used in a process that was forked after its parent had used a store; spawn it instead"
            raise StoreError(self.url, reason)

    def _failure(self, what: str, path: str, error: Exception, cause: Exception) -> Exception:
        text = str(error)
        status = match[1] if (match := _STATUS.search(text)) else ""
        if _NO_BUCKET.search(text):
            return StoreNotFoundError(self.url, f"{what}: {cause}; create the bucket, or correct the URL of the store")
        if isinstance(error, FileNotFoundError):
            return BlobNotFoundError(path)
        if status in {"401", "403"}:
            advice = f"check the credentials {self._bucket.origin}, and what they are allowed"
            return StoreDeniedError(self.url, f"{what}: {cause}; {advice}")
        if "HTTP error" in text or status in {"408", "429"} or status.startswith("5"):
            advice = f"check the address {self._bucket.origin}, or raise [xcom_codecs] store_timeout"
            return StoreUnreachableError(self.url, f"{what}: {cause}; {advice}")
        return StoreError(self.url, f"{what}: {cause}")


class _Views:
    """The chunks of a blob: those of a sequence can be taken again, and those of a stream until one is not kept.

    Attributes:
        complete: whether the next iteration gives all of them.
    """

    def __init__(self, chunks: Iterable[Any], kept: Sequence[memoryview], rest: Iterator[memoryview]) -> None:
        self._chunks = chunks
        self._kept = kept
        self._rest = rest
        self.complete = True

    def __iter__(self) -> Iterator[memoryview]:
        if isinstance(self._chunks, Sequence):
            yield from (memoryview(chunk).cast("B") for chunk in self._chunks)
        else:
            yield from self._kept
            self.complete = False
            yield from self._rest


def _without_addresses(error: Exception) -> str:
    """Return an error's text without the queries of URLs (which may be signed) and without servers' pages."""
    text = str(error)
    message = _BODY.sub(r"\1", text.partition("\n\nDebug source")[0])
    message = re.sub(r"\?[^\s]*", "", message)
    found = _CODE.search(text) or _SYSTEM.search(text)
    detail = next(filter(None, found.groups())) if found else ""
    return f"{message} ({detail})" if detail else message

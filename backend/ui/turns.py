"""Bounds of what the Data tab does at a time: threads of its own, requests of a user, seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

from fastapi import HTTPException

_THREADS = 4
_EACH = 8  # requests of a user at a time
_SECONDS = 30


class Turns:
    """Runs what reads values in threads of its own, which it takes from nobody, and bounds what a user asks for."""

    def __init__(self, threads: int = _THREADS, each: int = _EACH, seconds: float = _SECONDS) -> None:
        self._pool = ThreadPoolExecutor(threads, "airflow-xcom-data")
        self._each = each
        self._seconds = seconds
        self._held: Counter[str] = Counter()
        self._counting = Lock()

    @contextmanager
    def held(self, user: str) -> Iterator[None]:
        """Count a request of a user while it lasts."""
        self._count(user, 1)
        try:
            yield
        finally:
            self._count(user, -1)

    def _count(self, user: str, more: int) -> None:
        with self._counting:
            self._held[user] += more
            self._held += Counter()  # without those that have none

    async def run(self, user: str, act: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``act`` does in a thread; raise HTTPException if that is too much at a time or takes too long."""
        if self._held[user] >= self._each:
            raise HTTPException(429, "you ask for too much at a time; try again", {"Retry-After": "1"})
        with self.held(user):
            return await self._in_thread(user, act, *arguments)

    async def _in_thread(self, user: str, act: Callable[..., Any], *arguments: Any) -> Any:
        future = self._pool.submit(act, *arguments)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError:
            raise HTTPException(503, f"this took longer than {self._seconds:g} s; the store may be slow") from None
        finally:
            if not future.done():  # nobody waits for it, but it has its thread
                self._count(user, 1)
                future.add_done_callback(lambda _: self._count(user, -1))

    async def pieces(self, user: str, parts: Iterator[Any], first: Any) -> AsyncIterator[Any]:
        """Yield ``first`` and then what is made in a thread, one piece at a time."""
        piece = first
        with self.held(user):
            while piece is not None:
                yield piece
                piece = await self._in_thread(user, next, parts, None)

"""What stores say of the versions of an asset, their tags and when they were retired, as far as they do so in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from airflow_xcom.backend.assets.tags import Tag, each_once, tags_in
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.blobs import retirement_of, store_name
from airflow_xcom.backend.errors import StoreError
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting
from airflow_xcom.backend.stores.base import Store
from airflow_xcom.backend.ui.rows import retired_facts
from airflow_xcom.codecs import CodecError

_Told = TypeVar("_Told")
_SECONDS = 10
_TAGS = 200  # that are read of an asset in a store
_THREADS = ThreadPoolExecutor(8, "airflow-xcom-stores")  # of all requests


class StoresAsked:
    """Asks all stores at once; those that have not answered in time, and those that failed, are asked no more."""

    def __init__(self, name: str, uri: str, versions: Sequence[Version]) -> None:
        self._until = time.monotonic() + _SECONDS
        self._failed: dict[str, StoreError] = {}
        urls = dict.fromkeys(settings().stores.values())
        self._tags = [_THREADS.submit(self._tags_in, url, name, uri) for url in urls]
        self._states = {version.id: _THREADS.submit(self._state, version) for version in versions}
        futures: list[Future[Any]] = [*self._tags, *self._states.values()]
        wait(futures, _SECONDS)
        for future in futures:
            future.cancel()  # those that wait for a thread

    def state(self, version: Version) -> dict[str, Any]:
        """Return when and by which rule a version was retired, if it was."""
        try:
            return _answer(self._states[version.id])
        except CodecError as error:
            return {"state": "unreachable", "error": str(error)}

    def tags(self) -> tuple[dict[str, list[str]], str | None]:
        """Return the tags of versions by their ids, and why they cannot be told, if so."""
        tags: dict[str, list[str]] = {}
        try:
            for tag in each_once(tag for future in self._tags for tag in _answer(future)):
                tags.setdefault(tag.version.id, []).append(tag.name)
        except CodecError as error:
            return {}, f"which versions have tags cannot be told: {error}"
        return tags, None

    def _state(self, version: Version) -> dict[str, Any]:
        reference = version.envelope.reference
        if reference is None:
            return {}
        url = settings().stores[store_name(reference)]
        found = self._ask(url, lambda store: retirement_of(store, reference.path))
        return {} if found is None else retired_facts(found)

    def _tags_in(self, url: str, name: str, uri: str) -> list[Tag]:
        return self._ask(url, lambda store: list(self._bounded(tags_in(store, name, uri))))

    def _bounded(self, tags: Iterator[Tag]) -> Iterator[Tag]:
        for number, tag in enumerate(tags):
            if number == _TAGS:
                raise CodecError(f"a store has more than {_TAGS} tags of the asset")
            if time.monotonic() > self._until:
                raise _late()
            yield tag

    def _ask(self, url: str, act: Callable[[Store], _Told]) -> _Told:
        """Return what ``act`` does with a store, unless that has failed, or there is no time."""
        if url in self._failed:
            raise self._failed[url]
        if time.monotonic() > self._until:
            raise _late()
        try:
            return act(open_lasting(url))
        except StoreError as error:
            self._failed[url] = error
            raise


def _answer(future: Future[_Told]) -> _Told:
    """Return what was asked for, or raise why it is not known."""
    if not future.done() or future.cancelled():
        raise _late()
    return future.result()


def _late() -> CodecError:
    return CodecError(f"the store did not answer within {_SECONDS} s")

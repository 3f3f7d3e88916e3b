"""The rows of XComs through Airflow's REST API, for where the metadata database cannot be reached."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from airflow_xcom.backend.database.deployment import DESCRIPTION, VARIABLE, Deployment
from airflow_xcom.backend.database.tables import RunKey
from airflow_xcom.backend.database.xcom_rows import XComRow
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate
from airflow_xcom.backend.errors import SweepError

_PAGE = 100  # entries in a page; the most that the API gives unless it is configured otherwise
_THREADS = 8
_ATTEMPTS = 5  # of a request, and of going through all pages
_TIMEOUT = 60.0  # seconds
_PASSING = {429, 500, 502, 503, 504}
_NOT_FOUND = 404
_DENIED = {401, 403}


class RestRows:
    """The XComs that the API lists, each of which is then asked for: a listing has no values.

    Args:
        url: of Airflow, before ``/api/v2``.
        token: of a user who may read the XComs of all Dags.
        login: the name and password of one, in place of a token.
    """

    sees_assets = False  # nor runs and archived rows, so that nothing of assets is deleted

    def __init__(self, url: str, token: str | None = None, login: tuple[str, str] | None = None) -> None:
        self._url = url.rstrip("/").removesuffix("/api/v2")
        self._token = token
        self._login = login

    def __repr__(self) -> str:
        return f"RestRows({self._url!r})"

    def candidates(self, runs: Sequence[RunKey] | None = None) -> Iterator[XComRow]:
        """Yield the rows that may refer to a blob: of these runs, or of all."""
        with ThreadPoolExecutor(_THREADS, "airflow-xcom-codecs") as pool:
            for page in chain.from_iterable(self._all_pages(*of) for of in ([()] if runs is None else runs)):
                for at, text in zip(page, pool.map(self._text, page), strict=True):
                    if ENVELOPE_KEY in text:
                        yield XComRow("XCom", tuple(at.to_json()), text, at)

    def runs_that_exist(self, runs: Sequence[RunKey]) -> set[RunKey]:
        """Return all of them: nothing that only a run keeps is deleted by what the API shows."""
        return set(runs)

    def deployment(self, *, create: bool = False) -> Deployment | None:
        """Return which Airflow this is: by the Variable with its id, and by the URL of the API."""
        answer = self._ask(f"/variables/{VARIABLE}", {})
        if answer is None and create:
            made = {"key": VARIABLE, "value": uuid4().hex, "description": DESCRIPTION}
            with suppress(httpx.TransportError):  # what follows tells whether it was made
                self._client.post("/variables", json=made)
            answer = self._ask(f"/variables/{VARIABLE}", {})
            if answer is None:
                raise SweepError(f"{self._url} does not let this user make the Variable {VARIABLE}")
        return None if answer is None else Deployment(str(answer.get("value")), self._url)

    def hidden(self, dags: Iterable[str]) -> list[str]:
        """Return the Dags that the API does not list, of which XComs may be there all the same that it leaves out."""
        for dag in dags:
            if self._ask(_entries(dag), {"limit": 1}) is None:
                raise SweepError(f"{self._url} does not say whether the XComs of {dag!r} may be read")
        return [dag for dag in dags if not self._lists(dag)]

    def _lists(self, dag: str) -> bool:
        """Return whether the table of Dags has this one."""
        offset, total = 0, 1
        while offset < total:
            query = {"dag_id_pattern": dag, "exclude_stale": "false", "limit": _PAGE, "offset": offset}
            answer = self._ask("/dags", query) or {}
            try:
                names, total = [entry["dag_id"] for entry in answer["dags"]], int(answer["total_entries"])
            except (KeyError, TypeError, ValueError) as error:
                raise SweepError(f"{self._url} lists Dags in another form than Airflow 3 does") from error
            if dag in names or not names:
                return dag in names
            offset += len(names)
        return False

    def _all_pages(self, *of: str) -> Iterator[list[Coordinate]]:
        for _ in range(_ATTEMPTS):
            finished = yield from self._pages(_entries(*of))
            if finished:
                return
        raise SweepError(f"the XComs that {self._url} lists changed while they were listed, {_ATTEMPTS} times")

    def _pages(self, listing: str) -> Generator[list[Coordinate], None, bool]:
        """Yield all entries of a listing, page by page; return whether none can have been missed.

        They are in the order of their coordinates, but pages go by offset, which shifts when entries go.  So each page
        begins in the midst of the one before, and what follows an entry that was there, too, is what comes next.
        """
        offset, seen = 0, set[Coordinate]()
        while True:
            offset -= len(seen) // 2
            entries, total = self._page(listing, offset)
            known = [number for number, entry in enumerate(entries) if entry in seen]
            if seen and not known:
                return False
            new = entries[known[-1] + 1 :] if known else entries
            yield new
            offset += len(entries)
            if offset >= total:
                return True
            if not new:
                return False
            seen = set(entries)

    def _page(self, listing: str, offset: int) -> tuple[list[Coordinate], int]:
        """Return the entries from an offset on, and the number of all."""
        answer = self._ask(listing, {"limit": _PAGE, "offset": offset}) or {}
        try:
            entries = [Coordinate(*(entry[name] for name in Coordinate.__slots__)) for entry in answer["xcom_entries"]]
            return entries, int(answer["total_entries"])
        except (KeyError, TypeError, ValueError) as error:
            raise SweepError(f"{self._url} lists XComs in another form than Airflow 3 does") from error

    def _text(self, at: Coordinate) -> str:
        """Return the value of an XCom as JSON; empty if it is gone."""
        listing, key = _entries(at.dag_id, at.run_id, at.task_id), str(at.key)
        query = {"map_index": at.map_index, "deserialize": "false", "stringify": "false"}
        answer = self._ask(f"{listing}/{_segment(key)}", query)
        if answer is None:
            listed = self._ask(listing, {"xcom_key": key, "map_index": at.map_index})
            if listed is None or listed.get("total_entries", 1):
                raise SweepError(f"{self._url} lists an XCom that it does not give: {at}")
            return ""
        told = dict(zip(Coordinate.__slots__, at.to_json(), strict=True))
        if "value" not in answer or {**told, **answer} != {**answer, **told}:
            raise SweepError(f"{self._url} gives an XCom without its value, or another one: {at}")
        value = answer["value"]
        try:
            return value if isinstance(value, str) else json.dumps(value)
        except RecursionError:
            return repr(answer)

    def _ask(self, path: str, query: dict[str, Any]) -> dict[str, Any] | None:
        """Return what the API answers; None if there is no such thing."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            time.sleep(0.2 * (2**attempt - 1))
            try:
                answer = self._client.get(path, params=query)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code == _NOT_FOUND:
                return None
            if answer.is_success:
                return self._parsed(answer)
            reason = f"status {answer.status_code}"
            if answer.status_code in _DENIED:
                reason += "; give --rest the token of a user who may read the XComs of all Dags, which has not expired"
            if answer.status_code not in _PASSING:
                break
        raise SweepError(f"{self._url} does not give its XComs ({path}): {reason}")

    def _parsed(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise SweepError(f"{self._url} does not answer as Airflow's REST API does")
        return content

    @cached_property
    def _client(self) -> httpx.Client:
        token = self._token
        if token is None and self._login is not None:
            name, password = self._login
            try:
                answer = httpx.post(
                    f"{self._url}/auth/token", json={"username": name, "password": password}, timeout=_TIMEOUT
                )
            except httpx.TransportError as error:
                raise SweepError(f"{self._url} does not answer: {type(error).__name__}: {error}") from error
            token = self._parsed(answer).get("access_token") if answer.is_success else None
            if not isinstance(token, str):
                raise SweepError(f"{self._url} gives no token to {name!r}: status {answer.status_code}")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"{self._url}/api/v2", headers=headers, timeout=_TIMEOUT)


def _entries(*parts: str | None) -> str:
    """Return the path of the XComs of a Dag, run and task; of all where these are not given."""
    dag, run, task = (_segment(part) if part else "~" for part in (*parts, None, None, None)[:3])
    return f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries"


def _segment(name: str) -> str:
    """Return a name for a path, from which a client would take ``..`` and what stands before it."""
    return quote(name, safe="").replace(".", "%2E")

"""What goes wrong between a client and a real server: passing faults are survived, lasting ones are typed errors."""

from __future__ import annotations

import logging
import random
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import Backend
from locations import LOCATIONS, Locations
from proxy import Fault, Proxy
from redis_proxy import RedisProxy

from airflow_xcom.backend import StoreDeniedError, StoreError, StoreNotFoundError, StoreUnreachableError
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store
from airflow_xcom.backend.stores.connections import Bucket

SMALL = random.Random(1).randbytes(100_000)
LARGE = random.Random(2).randbytes(20_000_001)
KINDS = [kind for kind in LOCATIONS if kind != "file"]

Between = Callable[[str], tuple[Proxy | RedisProxy, Store]]


@pytest.fixture
def between(locations: Locations) -> Iterator[Between]:
    """A store of a kind, with a proxy between it and its server."""
    proxies: list[Proxy | RedisProxy] = []

    def make(kind: str) -> tuple[Proxy | RedisProxy, Store]:
        proxy = (RedisProxy if kind == "redis" else Proxy)(locations.endpoint(kind)).__enter__()
        proxies.append(proxy)
        return proxy, open_store(locations.url(kind, endpoint=proxy.url))

    yield make
    for proxy in proxies:
        proxy.__exit__(None, None, None)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of buckets give each attempt a minute, however long they go on retrying."""
    stock = Bucket.account

    def account(bucket: Bucket) -> Any:
        found = stock(bucket)
        return replace(found, options={**found.options, "timeout": timedelta(seconds=60)})

    monkeypatch.setattr(Bucket, "account", account)


def first(count: int, fault: Fault) -> Callable[[str, str], Fault | None]:
    """The fault happens to so many requests, and not again."""
    left = iter(range(count))
    return lambda *_: fault if next(left, None) is not None else None


PASSING = {
    "delay": Fault(delay=0.3),
    "reset": Fault(reset=True),
    "answer lost": Fault(answer_lost=True),
    "429": Fault(status=429),
    "500": Fault(status=500),
    "503": Fault(status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_passes_is_survived(kind: str, fault: str, between: Between) -> None:
    proxy, store = between(kind)

    def again() -> None:
        proxy.fault = first(2, PASSING[fault])

    again()
    store.put("small", [SMALL])
    again()
    store.put("large", [LARGE])
    again()
    assert store.get("small") == SMALL
    again()
    assert store.get("large") == LARGE
    again()
    assert store.read("large", [(5, 9_000_000)])[0] == LARGE[5:9_000_000]
    again()
    assert store.read("large", [(5, 7), (9_000_000, 9_000_900)]) == [LARGE[5:7], LARGE[9_000_000:9_000_900]]
    again()
    assert {blob.path for blob in store.list()} == {"small", "large"}
    again()
    assert store.delete("small")
    assert {blob.path for blob in store.list()} == {"large"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_breaks_off_is_noticed_and_read_again(kind: str, between: Between) -> None:
    proxy, store = between(kind)
    for name, data in {"small": SMALL, "large": LARGE}.items():
        store.put(name, [data])
        for cut in (0, 1, 50_000, 99_999):
            proxy.forget()
            proxy.fault = first(2, Fault(truncate=cut))
            assert store.get(name) == data
            assert len(proxy.requests) > 1
    proxy.fault = first(2, Fault(truncate=1))
    assert store.read("large", [(5, 7), (9_000_000, 9_000_900)]) == [LARGE[5:7], LARGE[9_000_000:9_000_900]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_faults_all_the_while(kind: str, seed: int, between: Between) -> None:
    """A fifth of all requests fail, in every way there is: no blob is lost, and none is wrong."""
    chance = random.Random(seed)
    faults = [*PASSING.values(), Fault(truncate=1000)]
    proxy, store = between(kind)
    proxy.fault = lambda *_: chance.choice(faults) if chance.random() < 0.2 else None
    for number in range(10):
        data = chance.randbytes(chance.choice([10, 1000, 100_000, 9_000_000]))
        store.put(f"{number}", [data])
        assert store.get(f"{number}") == data
        assert store.read(f"{number}", [(1, 9)])[0] == data[1:9]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_answered_is_asked_again(kind: str, between: Between, backend: Backend) -> None:
    proxy, store = between(kind)
    store.put("small", [SMALL])
    backend.options(store_timeout=24)
    proxy.forget()
    proxy.fault = first(1, Fault(delay=60))
    assert open_store(store.url).get("small") == SMALL
    assert len(proxy.requests) > 1


LASTING = {
    "silence": Fault(delay=60),
    "reset": Fault(reset=True),
    "503": Fault(status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
    "429": Fault(status=429),
}


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_lasts_is_an_error_within_the_time_out(
    kind: str, fault: str, between: Between, backend: Backend
) -> None:
    proxy, store = between(kind)
    store.put("small", [SMALL])
    backend.options(store_timeout=1)
    store = open_store(store.url)
    proxy.forget()
    proxy.fault = lambda *_: LASTING[fault]
    acts: list[Callable[[], Any]] = [
        lambda: store.put("new", [SMALL]),
        lambda: store.get("small"),
        lambda: store.read("small", [(0, 5)]),
        lambda: list(store.list()),
        lambda: store.delete("small"),
    ]

    def fail(act: Callable[[], Any]) -> None:
        with pytest.raises(StoreUnreachableError, match="store_timeout"):
            act()

    began = time.monotonic()
    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(fail, acts))
    assert time.monotonic() - began < 30, "far from the 60 s of an attempt that nothing bounds"
    assert proxy.requests


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_always_breaks_off_is_an_error(kind: str, between: Between, backend: Backend) -> None:
    proxy, store = between(kind)
    store.put("small", [SMALL])
    backend.options(store_timeout=1)
    proxy.fault = lambda *_: Fault(truncate=0)
    with pytest.raises(StoreError):
        open_store(store.url).get("small")


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_listing_goes_on_where_it_failed(kind: str, between: Between) -> None:
    proxy, store = between(kind)
    paths = {f"dag/{number:04}" for number in range(1_050)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: store.put(path, [b"x"]), paths))
    found = store.list("dag/")
    begun = [next(found).path]
    proxy.fault = first(2, Fault(truncate=10))
    assert sorted([*begun, *(blob.path for blob in found)]) == sorted(paths)


def test_a_fault_within_a_page_of_keys_hides_no_blob(between: Between) -> None:
    proxy, store = between("redis")
    for name in "abc":
        store.put(name, [SMALL])
    heads = iter(range(3))
    proxy.fault = lambda name, _: Fault(status=429) if name == "GETRANGE" and next(heads, 9) == 1 else None
    assert {blob.path for blob in store.list()} == {"a", "b", "c"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_is_not_tried_again(kind: str, between: Between) -> None:
    proxy, store = between(kind)
    store.put("small", [SMALL])
    refusals = [
        (
            Fault(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"),
            StoreDeniedError,
            "no permissions .*check the credentials" if kind == "redis" else "403 Forbidden .*AccessDenied",
        ),
        (Fault(status=401), StoreDeniedError, "check the credentials"),
        (
            Fault(status=404, body=b"<Error><Code>NoSuchBucket</Code></Error>"),
            StoreNotFoundError,
            "create the bucket|correct the",
        ),
        (Fault(status=400, body=b"<Error><Code>Odd</Code></Error>"), StoreError, "Odd"),
    ]
    for fault, kind_of_error, message in refusals:
        proxy.fault = lambda *_, fault=fault: fault
        for act in (lambda: store.put("new", [SMALL]), lambda: store.get("small"), lambda: list(store.list())):
            proxy.forget()
            with pytest.raises(kind_of_error, match=message):
                act()
            assert len(proxy.requests) == 1
    proxy.fault = lambda *_: None
    assert store.get("small") == SMALL


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_blob_is_one_request_each_way(kind: str, between: Between) -> None:
    proxy, store = between(kind)
    store.put("first", [SMALL])
    put, largest = ("SET", 1 << 20) if kind == "redis" else ("PUT", 8 << 20)
    for size in (1, 100_000, largest):
        proxy.forget()
        store.put(f"{size}", [b"x"] * 5 + [b"y" * (size - 5)] if size > 5 else [b"x"])
        assert [method for method, _ in proxy.requests] == [put]
        store.get(f"{size}")
        assert [method for method, _ in proxy.requests] == [put, "GET"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_takes_its_bytes_only(kind: str, between: Between) -> None:
    proxy, store = between(kind)
    store.put("large", [LARGE])
    proxy.forget()
    store.read("large", [(0, 1000), (10_000_000, 10_500_000)])
    around = 1 if kind == "redis" else 0  # what says how the blob is stored
    assert len(proxy.requests) == 2 + around
    assert 501_000 <= proxy.sent <= 501_000 + around * 200


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_are_in_no_row_log_error_or_repr(
    kind: str, between: Between, locations: Locations, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where a server's answer quotes them."""
    caplog.set_level(logging.DEBUG)
    proxy, store = between(kind)
    secrets = locations.secrets(kind)
    assert all(len(secret) > 8 for secret in secrets)
    backend.options(path=store.url, threshold=0)
    row = backend.push(np.arange(3))
    shown = [repr(row), repr(store), repr(vars(store)), str(store)]
    quoted = "".join(f"<Code>AccessDenied</Code> {secret} http://x/?sig={secret}" for secret in secrets).encode()
    for status in (400, 403, 404, 503):
        backend.options(store_timeout=1)
        failing = open_store(store.url)
        proxy.fault = lambda *_, status=status: Fault(status=status, body=quoted)
        for act, argument in ((failing.get, "a"), (partial(failing.put, "a"), [b"x"]), (backend.pull, row)):
            with pytest.raises((OSError, LookupError)) as caught:
                act(argument)
            shown += ["".join(traceback.format_exception(caught.value)), *_chain(caught.value)]
    assert len(shown) > 20
    for text in [*shown, caplog.text]:
        assert not [secret for secret in secrets if secret in text]


def _chain(error: BaseException | None) -> Iterator[str]:
    """Everything that an error holds, what Python hides in a traceback included."""
    while error is not None:
        yield f"{error!r} {error.args} {vars(error)}"
        yield from _chain(error.__cause__)
        error = error.__context__


@pytest.mark.parametrize(
    ("kind", "cut"),
    [(kind, cut) for kind in ("s3", "gs") for cut in ("begun", "parts", "completed")]
    + [("abfs", cut) for cut in ("parts", "completed")],
)
@pytest.mark.parametrize("stream", [False, True], ids=["list", "stream"])
@pytest.mark.usefixtures("patient")
def test_an_upload_in_parts_that_is_cut_is_whole_or_not_there(
    kind: str, cut: str, stream: bool, between: Between, backend: Backend
) -> None:
    """What outlasts the client's own retries: chunks of a list are sent anew, those of a stream are an error."""
    backend.options(store_timeout=12)
    proxy, store = between(kind)
    assert store._client, "which retries for as long as 12 s allow"
    store.timeout = 600  # no busy machine is too late to begin anew
    cuts, given_up, failure = 0, False, store._failure

    def fail(*arguments: Any) -> Any:
        nonlocal given_up
        given_up = given_up or cuts > 0
        return failure(*arguments)

    def fault(method: str, path: str) -> Fault | None:
        nonlocal cuts
        if given_up or step(method, path) != cut:
            return None
        cuts += 1
        return Fault(reset=True)

    store._failure = fail
    proxy.fault = fault
    pieces = [LARGE[start : start + 700_001] for start in range(0, len(LARGE), 700_001)]
    try:
        store.put("large", iter(pieces) if stream else pieces)
    except StoreUnreachableError:
        assert stream, "a list can be sent again"
        assert list(store.list()) == []
        with pytest.raises(BlobNotFoundError):
            store.get("large")
    else:
        assert store.get("large") == LARGE
    assert given_up
    store.put("again", iter(pieces) if stream else pieces)
    assert store.get("again") == LARGE, "once the fault has passed"
    steps = [step(method, path) for method, path in proxy.requests]
    assert steps.count(cut) > 1 + 3 * (cut == "parts"), steps


def step(method: str, path: str) -> str:
    """Which of an upload in parts a request is: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html.

    Azure has no request that begins one: https://learn.microsoft.com/rest/api/storageservices/put-block-list.
    """
    query = path.partition("?")[2]
    if "comp=blocklist" in query or (method == "POST" and "uploadId=" in query):
        return "completed"
    if "comp=block&" in f"{query}&" or "partNumber=" in query:
        return "parts"
    return "begun" if method == "POST" and "uploads" in query else ""

"""Values of many rows at a time, and parts of tables, from a real S3: how many requests fly, and what comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import COORDINATE, Backend
from locations import Locations
from proxy import Fault, Proxy
from test_elements import expanded

from airflow_xcom.backend import MissingPayloadError, pull_table
from airflow_xcom.backend.pull import _BYTES, _THREADS, _WAITING, Deferred, concurrently
from airflow_xcom.backend.xcom import CodecXComBackend
from airflow_xcom.codecs.testing import difference

DELAY, PATIENCE = 0.005, 20.0  # seconds; a client waits longer for an answer


@pytest.fixture
def between(locations: Locations, backend: Backend) -> Iterator[Proxy]:
    """A proxy in front of S3, where everything is offloaded to."""
    with Proxy(locations.endpoint("s3")) as proxy:
        backend.options(path=locations.url("s3", endpoint=proxy.url), threshold=0)
        yield proxy


class Instance:
    """A task instance whose XComs are in ``rows``: as Airflow's own pulls them."""

    def __init__(self, *rows: Any) -> None:
        self.rows = rows

    def xcom_pull(self, _task_ids: Any = None, **_: Any) -> Any:
        found = [CodecXComBackend.deserialize_value(SimpleNamespace(value=row)) for row in self.rows]
        return found[0] if len(found) == 1 else found


@pytest.fixture
def get_all(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Any]], Any]:
    """``XCom.get_all`` of a task that is mapped, with the supervisor's answer."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import XComSequenceSliceResult

    def get_all(rows: list[Any]) -> Any:
        comms = SimpleNamespace(send=lambda *_, **__: XComSequenceSliceResult(root=rows))
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
        where = {name: COORDINATE[name] for name in ("dag_id", "run_id", "task_id")}
        return CodecXComBackend.get_all(key="return_value", **where)

    return get_all


def test_a_thousand_elements_are_fetched_concurrently(
    between: Proxy, backend: Backend, get_all: Callable[[list[Any]], Any]
) -> None:
    rows = [backend.push(np.arange(number, number + 500), map_index=number) for number in range(1000)]
    flying = Flying(between, _THREADS)
    found = get_all(rows)
    assert [int(array[0]) for array in found] == list(range(1000)), "in order"
    assert flying.most == _THREADS
    flying = Flying(between, 1)
    for row in rows[:100]:
        backend.pull(row)
    assert flying.most == 1


class Flying:
    """Delays each request, the first ones until so many are there at a time as are wanted, and counts these."""

    def __init__(self, proxy: Proxy, wanted: int) -> None:
        self.wanted = wanted
        self.now = self.most = 0
        self.changed = threading.Condition()
        proxy.fault = self.fault

    def fault(self, *_: Any) -> Fault | None:
        with self.changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.most >= self.wanted, PATIENCE):
                self.wanted = 0
        time.sleep(DELAY)
        with self.changed:
            self.now -= 1
        return None


def test_a_lazy_sequence_is_what_it_was_and_fetches_ahead(
    between: Proxy, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import XComSequenceIndexResult, XComSequenceSliceResult
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    rows = [backend.push(np.arange(number, number + 500), map_index=number) for number in range(150)]

    def send(message: Any) -> Any:
        if hasattr(message, "offset"):
            return XComSequenceIndexResult(root=rows[message.offset])
        return XComSequenceSliceResult(root=rows[message.start : message.stop : message.step])

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), raising=False)
    operator = SimpleNamespace(dag_id=COORDINATE["dag_id"], task_id=COORDINATE["task_id"])
    run = SimpleNamespace(run_id=COORDINATE["run_id"])
    sequence: Any = LazyXComSequence(SimpleNamespace(operator=operator, key="return_value"), run)
    flying = Flying(between, _THREADS)
    assert [int(array[0]) for array in sequence] == list(range(150))
    assert flying.most == _THREADS
    assert [int(array[0]) for array in sequence[10:100:30]] == [10, 40, 70]
    assert int(sequence[7][0]) == 7
    between.forget()
    assert int(next(iter(sequence))[0]) == 0
    assert len(between.requests) <= _WAITING + 1, "not all, if only the first is taken"


def test_the_first_error_in_order_is_raised_with_its_coordinate(
    backend: Backend, get_all: Callable[[list[Any]], Any]
) -> None:
    backend.options(threshold=0)
    rows = [backend.push(np.arange(3), map_index=number) for number in range(40)]
    for number in (33, 7):
        backend.lose(rows[number])
    with pytest.raises(MissingPayloadError, match="map_index=7 "):
        get_all(rows)


def test_plain_values_and_inline_ones_are_among_them(backend: Backend, get_all: Callable[[list[Any]], Any]) -> None:
    values = [1, "text", None, (1,), np.arange(10_000), {"a": 1}]
    found = get_all([backend.push(value) for value in values])
    assert all(difference(value, back) is None for value, back in zip(values, found, strict=True))
    assert get_all([]) is None


def test_what_is_on_its_way_is_bounded_in_number_and_bytes() -> None:
    size = _BYTES // 4
    for sizes, most in ((1, _WAITING), (size, 4), (2 * _BYTES, 1)):
        started: list[int] = []
        rows = [Deferred(None, number) for number in range(3 * most)]
        taken = concurrently(
            iter(Sized(row, sizes) for row in rows), lambda row, started=started: started.append(1) or row
        )
        next(taken)
        time.sleep(0.1)
        assert len(started) <= most
        assert len(list(taken)) == len(rows) - 1


class Sized(Deferred):
    def __init__(self, row: Deferred, size: int) -> None:
        super().__init__(row.stored, row.row)
        object.__setattr__(self, "_size", size)

    @property
    def size(self) -> int:
        return int(self._size)


# -- parts of tables -----------------------------------------------------------------------------------------


def test_two_columns_of_a_hundred_are_at_most_a_twentieth_of_the_bytes(between: Proxy, backend: Backend) -> None:
    numbers = np.random.default_rng(1).standard_normal((100, 125_000))
    frame = pd.DataFrame(numbers.T, columns=[f"c{place}" for place in range(100)])  # 100 MB
    row = backend.push(frame)
    between.forget()
    part = pull_table(Instance(row), columns=["c7", "c93"])
    assert difference(frame[["c7", "c93"]], part) is None
    assert between.sent <= 0.05 * row["airflow_xcom"]["ref"]["size"]
    between.forget()
    part = pull_table(Instance(row), columns=["c7"], rows=slice(60_000, 61_000), as_="polars")
    assert part["c7"].to_list() == frame["c7"].tolist()[60_000:61_000]
    assert between.sent < 200_000


def test_mapping_over_frames_downloads_each_once(between: Proxy, backend: Backend) -> None:
    """100 frames of 1 MB: each mapped task, a process of its own, reads its own frame and the index."""
    noise = np.random.default_rng(1)
    frames = [pd.DataFrame(noise.random((12_500, 10))) for _ in range(100)]
    row = backend.push(frames)
    size = row["airflow_xcom"]["ref"]["size"]
    assert size > 100_000_000
    between.forget()
    for index, frame in enumerate(frames):
        pd.testing.assert_frame_equal(expanded(row, index), frame)
    figures = f"100 tasks over {size / 1e6:.2f} MB: {between.sent / 1e6:.2f} MB in {len(between.requests)} requests"
    print(figures)  # noqa: T201 - what docs/READING.md says
    assert between.sent <= 1.1 * size

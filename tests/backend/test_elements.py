"""A mapped task reads its own element of a list in a store, and no other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from airflow.sdk import DAG, task
from conftest import COORDINATE, Backend

from airflow_xcom.backend import (
    CodecXComBackend,
    ForgedReferenceError,
    MissingPayloadError,
    StoreError,
    elements_of,
    lazy,
)
from airflow_xcom.backend.blobs import copy_blob
from airflow_xcom.backend.envelope import Coordinate, Envelope, Reference
from airflow_xcom.backend.pull import Deferred, asking
from airflow_xcom.backend.stores.files import FileStore
from airflow_xcom.codecs import CorruptPayloadError
from airflow_xcom.codecs.testing import difference

LIST = [{"n": number, "array": np.arange(5000.0) + number} for number in range(20)]


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges of blobs that are read; reading all of one is an error."""
    found: list[tuple[int, int]] = []
    stock = FileStore.read

    def read(store: FileStore, path: str, ranges: Any) -> Any:
        found.extend(ranges)
        return stock(store, path, ranges)

    monkeypatch.setattr(FileStore, "read", read)
    monkeypatch.setattr(FileStore, "get", lambda *_: pytest.fail("the whole blob is read"))
    return found


def expanded(row: Any, index: int, argument: Any = elements_of) -> Any:
    """Return what Airflow gives a mapped task, whose argument is made of the output of another one, with this row."""

    class Instance(SimpleNamespace):
        def xcom_pull(self, **_: Any) -> Any:
            with asking(**COORDINATE, key="return_value"):
                return CodecXComBackend.deserialize_value(SimpleNamespace(value=row))

    with DAG("mapping", schedule=None) as dag:
        task(lambda part: part, task_id="use").expand(part=argument(task(lambda: None, task_id="make")()))
    context: Any = {"ti": Instance(map_index=index, _upstream_map_indexes={})}
    arguments, _ = dag.get_task("use")._get_specified_expand_input().resolve(context)
    return arguments["part"]


def test_an_element_is_read_with_the_index_and_nothing_else(backend: Backend, ranges: list[tuple[int, int]]) -> None:
    row = backend.push(LIST)
    size = row["airflow_xcom"]["ref"]["size"]
    for index in (0, 7, 19):
        ranges.clear()
        assert difference(LIST[index], expanded(row, index)) is None
        assert len(ranges) == 2
        assert sum(stop - start for start, stop in ranges) < 1.1 * size / len(LIST)


def test_a_lazy_argument_is_read_so_too(backend: Backend, ranges: list[tuple[int, int]]) -> None:
    row = backend.push(LIST)
    assert difference(LIST[7], expanded(row, 7, lazy).get()) is None
    assert len(ranges) == 2


@pytest.mark.parametrize(
    "value", [[1, 2, 3], [LIST[0]["array"]] * 3, {"a": 1, "b": 2, "c": 3}], ids=["in the row", "no index", "a dict"]
)
def test_everything_else_is_read_as_ever(backend: Backend, value: Any) -> None:
    row = backend.push(value)
    expected = list(value.items()) if isinstance(value, dict) else value
    assert difference(expected, [expanded(row, index) for index in range(3)]) is None


def test_a_pulled_list_is_a_list(backend: Backend) -> None:
    back = backend.pull(backend.push(LIST))
    assert type(back) is list
    assert difference(LIST, back) is None


@pytest.mark.parametrize(("at", "what"), [(20, "the index of"), (-1, "the element 19")])
def test_a_changed_blob_is_corrupt(backend: Backend, at: int, what: str) -> None:
    row = backend.push(LIST)
    (blob,) = backend.blobs()
    data = bytearray(blob.read_bytes())
    data[at] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    with pytest.raises(CorruptPayloadError, match=f"{what}.*another digest.*dag=") as caught:
        expanded(row, 19)
    assert caught.value.context is not None


def test_a_blob_that_is_gone_is_missing(backend: Backend) -> None:
    row = backend.push(LIST)
    backend.lose(row)
    with pytest.raises(MissingPayloadError, match="dag="):
        expanded(row, 1)


def test_a_copy_has_the_index_too(backend: Backend) -> None:
    reference = Reference.from_json(backend.push(LIST)["airflow_xcom"]["ref"])
    coordinate = Coordinate(*COORDINATE.values(), "return_value")
    copy = copy_blob(reference, coordinate, "default")
    assert (copy.index_size, copy.index_digest) == (reference.index_size, reference.index_digest)
    row = Envelope("list", {}, coordinate, reference=copy).to_json()
    assert difference(LIST[3], expanded(row, 3)) is None


@pytest.mark.parametrize("lost_when", ["before", "after"])
@pytest.mark.parametrize("now", ["moved", "pushed again", "the same", "no row of ours"])
def test_elements_that_have_moved_are_found(lost_when: str, now: str, backend: Backend) -> None:
    """Those of another list are given only if no element of the first one was."""
    old, moved, other = (backend.push(value) for value in (LIST, LIST, LIST[::-1]))
    row = {"moved": moved, "pushed again": other, "the same": old, "no row of ours": 7}[now]
    expected = {"moved": LIST, "pushed again": LIST[::-1] if lost_when == "before" else None}.get(now)
    first = Deferred(old, row=None, again=lambda: [Deferred(row, row=None)])
    if lost_when == "before":
        backend.lose(old)
    if expected is None:
        with pytest.raises(MissingPayloadError):
            _after(lambda: backend.lose(old), first.elements())[3]
    else:
        elements = first.elements()
        backend.lose(old)
        assert difference(expected[3:5], elements[3:5]) is None


def _after(act: Callable[[], None], value: Any) -> Any:
    act()
    return value


@pytest.mark.parametrize("size", [-1, 2**40, "12", True, 10**9])
def test_a_forged_size_of_an_index_is_refused(backend: Backend, size: Any) -> None:
    row = backend.push(LIST)
    row["airflow_xcom"]["ref"]["index_size"] = size
    with pytest.raises(ForgedReferenceError):
        expanded(row, 0)


def test_an_index_larger_than_its_blob_is_refused_once(backend: Backend) -> None:
    row = backend.push(LIST)
    row["airflow_xcom"]["ref"] |= {"size": 2**40, "index_size": 2**28}
    with pytest.raises(StoreError, match=r"has no bytes 0 to 268435456") as caught:
        expanded(row, 0)
    assert str(caught.value).count("cannot read") == 1


def test_an_index_cut_short_is_corrupt(backend: Backend) -> None:
    row = backend.push(LIST)
    row["airflow_xcom"]["ref"]["index_size"] -= 1
    with pytest.raises(CorruptPayloadError, match="another digest"):
        expanded(row, 0)

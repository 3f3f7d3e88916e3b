"""A value belongs to the XCom that it was written for: another's row gives none of it, by whatever way it is asked."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
from conftest import COORDINATE, Backend
from locations import Locations

from airflow_xcom.backend import CodecXComBackend, ForeignReferenceError, MissingPayloadError, pull_table
from airflow_xcom.backend.blob_paths import identities, identity
from airflow_xcom.backend.envelope import Coordinate, is_path_of, unique_path
from airflow_xcom.backend.maintenance.ownership import OWNER
from airflow_xcom.codecs import CorruptPayloadError

ARRAY = np.arange(10_000.0)
RETURNED = {**COORDINATE, "key": "return_value"}
WHERE = {name: RETURNED[name] for name in ("dag_id", "run_id", "task_id", "key")}
OTHERS = [
    {"dag_id": "salaries"},
    {"run_id": "scheduled__2024-01-01T00:00:00+00:00"},
    {"task_id": "other"},
    {"key": "other"},
    {"map_index": 3},
]
Ask = Callable[[Any], Any]


class Supervisor:
    """What answers a task: every row that is asked for is the one that was given."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.sent: list[Any] = []

    def send(self, message: Any = None, *, msg: Any = None) -> Any:
        from airflow.sdk.execution_time import comms

        message = message or msg
        self.sent.append(message)
        if isinstance(message, comms.GetXComSequenceSlice):
            return comms.XComSequenceSliceResult(root=[self.row])
        if isinstance(message, comms.GetXComSequenceItem):
            return comms.XComSequenceIndexResult(root=self.row)
        if isinstance(message, comms.GetXCom):
            return comms.XComResult(key=message.key, value=self.row)
        return None

    async def asend(self, message: Any = None, *, msg: Any = None) -> Any:
        return self.send(message or msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    from airflow.sdk.execution_time import task_runner, xcom

    supervisor = Supervisor(None)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr(xcom, "XCom", CodecXComBackend)
    return supervisor


@pytest.fixture(params=["file", "s3"])
def stored_in(request: pytest.FixtureRequest, backend: Backend, locations: Locations) -> Backend:
    """The backend over a folder, or over a real S3 server."""
    backend.options(path=locations.url(request.param))
    return backend


def key(**changes: Any) -> Any:
    return SimpleNamespace(**{**COORDINATE, **changes})


def sequence() -> Any:
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    operator = SimpleNamespace(dag_id=RETURNED["dag_id"], task_id=RETURNED["task_id"])
    source: Any = SimpleNamespace(operator=operator, key=RETURNED["key"])
    instance: Any = SimpleNamespace(run_id=RETURNED["run_id"])
    return LazyXComSequence(source, instance)


def pulled_in_part() -> Any:
    ti = SimpleNamespace(xcom_pull=lambda *_, **__: CodecXComBackend.get_one(**WHERE, map_index=5))
    return pull_table(ti, rows=slice(0, 1))


WAYS: dict[str, Callable[[], Any]] = {
    "get_value": lambda: CodecXComBackend.get_value(ti_key=key(map_index=5), key="return_value"),
    "get_one": lambda: CodecXComBackend.get_one(**WHERE, map_index=5),
    "get_all": lambda: CodecXComBackend.get_all(**WHERE),
    "aget_value": lambda: asyncio.run(CodecXComBackend.aget_value(ti_key=key(map_index=5), key="return_value")),
    "aget_one": lambda: asyncio.run(CodecXComBackend.aget_one(**WHERE, map_index=5)),
    "aget_all": lambda: asyncio.run(CodecXComBackend.aget_all(**WHERE)),
    "an element": lambda: sequence()[0],
    "a slice": lambda: sequence()[:1],
    "a loop": lambda: list(sequence()),
    "pull_table": pulled_in_part,
}
NO_INDEX = {"get_all", "aget_all", "an element", "a slice", "a loop"}  # Airflow hands these rows on without it


@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
@pytest.mark.parametrize("way", WAYS)
def test_the_row_of_another_xcom_is_refused_by_name(
    way: str, threshold: int, stored_in: Backend, supervisor: Supervisor
) -> None:
    backend = stored_in
    backend.options(threshold=threshold)
    for other in OTHERS:
        if "map_index" in other and way in NO_INDEX:
            continue
        at = {**RETURNED, "map_index": 5, **other}
        supervisor.row = backend.push(ARRAY, **at)
        with pytest.raises(ForeignReferenceError) as caught:
            WAYS[way]()
        assert str(Coordinate(**at)) == caught.value.origin
        assert all(str(part) in str(caught.value) for part in (*WHERE.values(), *other.values()))
        assert isinstance(backend.pull(supervisor.row, key=at["key"]), np.ndarray), "nothing was deleted"


@pytest.mark.parametrize("way", [way for way in WAYS if way != "pull_table"])
def test_its_own_row_is_read_by_every_way(way: str, stored_in: Backend, supervisor: Supervisor) -> None:
    backend = stored_in
    backend.options(threshold=0)
    supervisor.row = backend.push(ARRAY, map_index=5)
    found = WAYS[way]()
    assert (np.asarray(found).ravel() == ARRAY).all()


def test_what_airflow_leaves_open_is_not_compared(backend: Backend, supervisor: Supervisor) -> None:
    backend.options(threshold=0)
    supervisor.row = backend.push((1,), map_index=4, run_id="an earlier one")
    assert CodecXComBackend.get_one(**WHERE, map_index=4, include_prior_dates=True) == (1,)
    assert CodecXComBackend.get_all(**WHERE, include_prior_dates=True) == [(1,)]
    assert CodecXComBackend.load_value(supervisor.row) == (1,)
    supervisor.row = CodecXComBackend.serialize_value((2,))
    assert CodecXComBackend.get_one(**WHERE, map_index=-1) == (2,), "a row that says nothing of where it belongs"
    # Airflow 3.4 asks with the index -1 for what a task in a loop pushed in its third iteration.
    supervisor.row = backend.push((3,), map_index=3)
    assert CodecXComBackend.get_one(**WHERE, map_index=-1) == (3,)


def test_a_deletion_takes_the_row_and_leaves_the_blob_of_another(stored_in: Backend, supervisor: Supervisor) -> None:
    backend = stored_in
    backend.options(threshold=0)
    supervisor.row = backend.push(ARRAY, dag_id="salaries")
    CodecXComBackend.delete(**RETURNED)
    assert type(supervisor.sent[-1]).__name__ == "DeleteXCom"
    assert (backend.pull(supervisor.row) == ARRAY).all()


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_a_blob_of_another_xcom_is_refused_even_where_airflow_tells_nothing(other: Any, stored_in: Backend) -> None:
    backend = stored_in
    backend.options(threshold=0)
    theirs = backend.push(ARRAY, **{**RETURNED, **other})
    ours = backend.push((1,))
    forged = copy.deepcopy(ours)
    forged["airflow_xcom"]["ref"] = theirs["airflow_xcom"]["ref"]
    path = theirs["airflow_xcom"]["ref"]["path"]
    with pytest.raises(ForeignReferenceError, match=r"return_value") as caught:
        CodecXComBackend.load_value(forged)
    assert caught.value.origin == path
    for of in ([None] * 5, "nonsense", [7, [], {}, "x", 1.5]):
        forged["airflow_xcom"]["of"] = of
        with pytest.raises(ForeignReferenceError):
            CodecXComBackend.load_value(forged)


SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "theirs": lambda theirs, _ours: theirs,
    "below ours": lambda theirs, ours: f"{ours.rpartition('/')[0]}/../../../../{theirs}",
    "after ours": lambda theirs, ours: f"{ours}/../../../../../{theirs}",
    "from here": lambda theirs, _ours: f"./{theirs}",
    "from the root": lambda theirs, _ours: f"/{theirs}",
    "with empty segments": lambda theirs, _ours: theirs.replace("/", "//"),
    "with dots": lambda theirs, _ours: theirs.replace("/", "/./"),
    "with encoded slashes": lambda theirs, _ours: theirs.replace("/", "%2F"),
    "encoded once more": lambda theirs, _ours: theirs.replace("%", "%25"),
    "decoded": lambda theirs, _ours: unquote(theirs),
    "with encoded dots": lambda theirs, ours: f"{ours.rpartition('/')[0]}/%2E%2E/%2E%2E/%2E%2E/%2E%2E/{theirs}",
    "with backslashes": lambda theirs, _ours: theirs.replace("/", "\\"),
    "decomposed": lambda theirs, _ours: unicodedata.normalize("NFD", unquote(theirs)),
    "encoded when decomposed": lambda theirs, _ours: quote(unicodedata.normalize("NFD", unquote(theirs)), safe="/."),
    "in wide letters": lambda theirs, _ours: theirs.replace("s", "\uff53"),
    "in small digits": lambda theirs, _ours: theirs.replace("%C3", "%c3"),
    "with an end": lambda theirs, _ours: f"{theirs}\0",
    "with a query": lambda theirs, ours: f"{ours}?/../{theirs}",
    "with a fragment": lambda theirs, ours: f"{ours}#{theirs}",
    "of an owner": lambda _theirs, _ours: OWNER,
    "of state": lambda theirs, _ours: f"state/{theirs.partition('/')[2]}",
    "of an asset": lambda theirs, _ours: f"assets/{theirs.rpartition('/')[2]}",
    "of a pin": lambda theirs, _ours: f"pins/{theirs}",
    "longer than any": lambda theirs, ours: f"{ours.rpartition('/')[0]}/{'../' * 2000}{theirs}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_another_path_is_read(spelling: str, stored_in: Backend, supervisor: Supervisor) -> None:
    backend = stored_in
    backend.options(threshold=0)
    theirs = backend.push(ARRAY, dag_id="sålaries")
    ours = backend.push((1,))
    before = backend.blobs()
    paths = (row["airflow_xcom"]["ref"]["path"] for row in (theirs, ours))
    forged = copy.deepcopy(theirs)
    forged["airflow_xcom"]["ref"]["path"] = SPELLINGS[spelling](*paths)
    assets = [None, {"name": "sålaries", "uri": "s", "id": "0" * 32, "at": "2026-01-01T00:00:00+00:00"}]
    for of in (ours["airflow_xcom"]["of"], theirs["airflow_xcom"]["of"], [None] * 5):
        for asset in assets:
            row = {"airflow_xcom": {**forged["airflow_xcom"], "of": of, **({"asset": asset} if asset else {})}}
            item = {**row["airflow_xcom"], "of": [*of[:4], "item"]}
            content = {"version": 3, "tag": "dict", "summary": {}, "of": of, "items": [item]}
            for supervisor.row in (row, {"airflow_xcom": content}):
                with pytest.raises((ForeignReferenceError, CorruptPayloadError)):
                    CodecXComBackend.get_value(ti_key=key(), key="return_value")
                CodecXComBackend.delete(**RETURNED)
    assert (backend.pull(theirs) == ARRAY).all(), "nothing was deleted"
    assert backend.blobs() == before


TEXTS = [
    "a",
    "",
    ".",
    "a.b",
    "a/b",
    "д" * 100,
    "д" * 101,
    "x" * 157,
    "x" * 158,
    "x" * 160,
    "x" * 161,
    "x" * 250,
    "😀" * 99,
]


def test_no_two_xcoms_share_a_path_nor_a_folder() -> None:
    texts = [*TEXTS, "д" * 99 + "я", "x" * 249 + "y"]
    for part in ("dag_id", "run_id", "task_id", "key"):
        paths = [unique_path(Coordinate(**{**RETURNED, part: text}), ".arrow") for text in texts]
        depth = list(RETURNED).index(part)
        folders = {path.split("/")[depth if part != "key" else 4].rsplit("-", 1)[0] for path in paths}
        assert len(folders) == len(texts)
        for path, text in zip(paths, texts, strict=True):
            owners = [other for other in texts if is_path_of(path, Coordinate(**{**RETURNED, part: other}))]
            assert owners == [text]
            assert all(len(segment) <= 216 for segment in path.split("/"))


@pytest.mark.parametrize("part", ["dag_id", "run_id", "task_id", "key"])
def test_names_that_share_a_folder_have_paths_of_their_own(part: str) -> None:
    names = [None, "", "_"]
    for name in names:
        path = unique_path(Coordinate(**{**RETURNED, part: name}), ".arrow")
        assert [other for other in names if is_path_of(path, Coordinate(**{**RETURNED, part: other}))] == [name]


def former(coordinate: Coordinate) -> str:
    """The path that 0.1.0.dev0 made, as its sources had it."""
    from urllib.parse import quote

    def segment(text: Any) -> str:
        escaped = quote(text or "_", safe="", errors="surrogatepass")
        if escaped.startswith("."):
            escaped = "%2E" + escaped[1:]
        return escaped if len(escaped) <= 160 else escaped[:157].rstrip("%") + "..."

    parts = [coordinate.dag_id, coordinate.run_id, coordinate.task_id, str(coordinate.map_index), coordinate.key]
    return "/".join(map(segment, parts)) + f".{hashlib.md5(str(parts).encode()).hexdigest()}.msgpack"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text[:3]} {len(text)}")
def test_blobs_of_former_paths_are_read_and_known_to_sweeps(text: str, backend: Backend) -> None:
    backend.options(threshold=0)
    at = Coordinate(text, text, text, 7, text)
    row = backend.push(ARRAY, dag_id=text, run_id=text, task_id=text, map_index=7, key=text)
    path = Path(row["airflow_xcom"]["ref"]["path"])
    old = former(at)
    (backend.folder / old).parent.mkdir(parents=True, exist_ok=True)
    (backend.folder / path).rename(backend.folder / old)
    row["airflow_xcom"]["ref"]["path"] = old
    assert (backend.pull(row, key=text) == ARRAY).all()
    for written in (old, str(path)):
        unique = written.removesuffix(".msgpack")[-32:]
        assert identity(written) == int(unique[:16], 16)
        assert identities(f'"path": "{written}"') == [int(unique[:16], 16)]


@pytest.mark.parametrize("way", ["a slice", "a loop", "get_all", "aget_all"])
def test_a_blob_that_moves_between_the_row_and_its_reading_is_found(
    way: str, stored_in: Backend, supervisor: Supervisor
) -> None:
    backend = stored_in
    backend.options(threshold=0)
    read_ahead, moved = (backend.push(ARRAY, map_index=5) for _ in range(2))
    backend.lose(read_ahead)
    answers = iter([read_ahead, moved, moved])
    send = supervisor.send

    def answer(message: Any = None, *, msg: Any = None) -> Any:
        if hasattr(message or msg, "start"):  # not where the loop asks for the length
            supervisor.row = next(answers)
        return send(message or msg)

    supervisor.send = answer  # type: ignore[method-assign]
    (found,) = WAYS[way]()
    assert (found == ARRAY).all()
    answers = iter([read_ahead, read_ahead])
    with pytest.raises(MissingPayloadError):
        WAYS[way]()
    assert next(answers, None) is None, "it was looked up again once"


@pytest.mark.parametrize("way", ["a slice", "a loop", "get_all", "aget_all"])
def test_a_mapped_task_that_shrinks_meanwhile_gives_no_value_of_another_index(
    way: str, stored_in: Backend, supervisor: Supervisor
) -> None:
    backend = stored_in
    backend.options(threshold=0)
    rows = [backend.push(ARRAY + number, map_index=number) for number in range(3)]
    again = backend.push(ARRAY + 1, map_index=1)
    backend.lose(rows[1])
    send = supervisor.send
    answers: list[list[Any]] = []

    def answer(message: Any = None, *, msg: Any = None) -> Any:
        from airflow.sdk.execution_time import comms

        is_slice = isinstance(message or msg, comms.GetXComSequenceSlice)
        return comms.XComSequenceSliceResult(root=answers.pop(0)) if is_slice else send(message, msg=msg)

    supervisor.send = answer  # type: ignore[method-assign]
    for gone in ([rows[0], rows[2]], [rows[0], "plain", rows[2]], []):
        answers[:] = [rows, gone]
        with pytest.raises(MissingPayloadError):
            WAYS[way]()
        assert answers == []
    answers[:] = [rows, [again, rows[2]]]
    assert [found[0] for found in WAYS[way]()] == [0, 1, 2], "its row is found wherever it stands now"

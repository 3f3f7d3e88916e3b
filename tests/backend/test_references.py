"""Rows that lie: forged, damaged, or left behind.  None gives a value, and each is refused by its own error."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COORDINATE, Backend

from airflow_xcom.backend import (
    ForgedReferenceError,
    MissingPayloadError,
    OtherHostError,
    StoreError,
    UnknownStoreError,
)
from airflow_xcom.codecs import CorruptPayloadError, MissingLibraryError, NewerFormatError, UnknownTagError

ARRAY = np.arange(10_000.0)


@pytest.fixture
def row(backend: Backend) -> Any:
    return backend.push(ARRAY, key="return_value")


def forged(row: Any, **fields: Any) -> Any:
    row = copy.deepcopy(row)
    row["airflow_xcom"]["ref"].update(fields)
    return row


def assert_names_the_xcom(error: BaseException) -> None:
    for part in (*COORDINATE.values(), "return_value"):
        assert str(part) in str(error)


def test_a_missing_blob_is_gone_and_never_a_value(backend: Backend, row: Any) -> None:
    (blob,) = backend.blobs()
    blob.unlink()
    with pytest.raises(MissingPayloadError, match=r"gone .* run the task that pushed it again") as caught:
        backend.pull(row)
    assert_names_the_xcom(caught.value)
    assert caught.value.path in str(blob)
    assert caught.value.__cause__ is not None


def test_a_missing_store_is_a_missing_blob(backend: Backend, row: Any) -> None:
    backend.folder.rename(backend.folder.with_name("moved"))
    with pytest.raises(MissingPayloadError):
        backend.pull(row)


def test_a_blob_of_another_host_says_so(backend: Backend, row: Any) -> None:
    backend.blobs()[0].unlink()
    with pytest.raises(OtherHostError, match=r"written on the host 'worker-7'.*all workers share") as caught:
        backend.pull(forged(row, host="worker-7"))
    assert_names_the_xcom(caught.value)
    assert caught.value.host == "worker-7"


OUTSIDE = [
    "../secret.msgpack",
    "a/../../secret.msgpack",
    "/etc/passwd",
    "a//b",
    "./a",
    "a/.",
    "",
    "a\0b",
    "..\\secret",
    "a/\n",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_out_of_the_store_is_refused(backend: Backend, row: Any, path: str) -> None:
    secret = backend.folder.parent / "secret.msgpack"
    secret.write_bytes(backend.blobs()[0].read_bytes())
    with pytest.raises(ForgedReferenceError) as caught:
        backend.pull(forged(row, path=path))
    assert "XCom" in str(caught.value) or "key=" in str(caught.value)
    backend.purge(forged(row, path=path))
    assert secret.exists()


def test_a_link_out_of_the_store_is_refused(backend: Backend, row: Any) -> None:
    outside = backend.folder.parent / "outside"
    outside.mkdir()
    (blob,) = backend.blobs()
    blob.rename(outside / blob.name)
    for link, to in ((blob, outside / blob.name), (blob.parent, outside)):
        blob.unlink(missing_ok=True)
        if link == blob.parent:
            link.rmdir()
        link.symlink_to(to)
        with pytest.raises(StoreError, match=f"no symbolic link below the base.*{re.escape(link.name)}'"):
            backend.pull(row)
        backend.purge(row)
    assert (outside / blob.name).exists()


MALFORMED = [
    {"path": 5},
    {"size": "1"},
    {"size": -1},
    {"size": True},
    {"size": None},
    {"digest": None},
    {"format": ["msgpack"]},
    {"extra": 1},
    {"store": None},
    {"url": 1},
    {"expires": "1"},
    {"expires": -1},
    {"expires": 1.5},
    {"expires": True},
    {"expires": 10**12},
    {"host": {}},
    {"host": 0},
    {"index_digest": []},
]


@pytest.mark.parametrize("fields", MALFORMED, ids=str)
def test_a_malformed_reference_is_refused(backend: Backend, row: Any, fields: Any) -> None:
    with pytest.raises(ForgedReferenceError):
        backend.pull(forged(row, **fields))
    backend.purge(forged(row, **fields))
    assert backend.blobs()


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_blob_is_corrupt(backend: Backend, row: Any, keep: int) -> None:
    (blob,) = backend.blobs()
    blob.write_bytes(blob.read_bytes()[:keep])
    with pytest.raises(CorruptPayloadError, match="bytes") as caught:
        backend.pull(row)
    assert_names_the_xcom(caught.value)
    forged_size = forged(row, size=len(blob.read_bytes()))
    with pytest.raises(CorruptPayloadError, match="digest"):
        backend.pull(forged_size)


def test_a_changed_byte_is_corrupt(backend: Backend, row: Any) -> None:
    (blob,) = backend.blobs()
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(CorruptPayloadError, match="another digest") as caught:
        backend.pull(row)
    assert_names_the_xcom(caught.value)


def test_an_unknown_format_is_corrupt(backend: Backend, row: Any) -> None:
    with pytest.raises(CorruptPayloadError, match="format 'pickle'"):
        backend.pull(forged(row, format="pickle"))


def test_an_unknown_tag_names_the_remedy(backend: Backend) -> None:
    row = backend.push((1,))
    row["airflow_xcom"]["data"]["$"][0] = "test.unheard"
    with pytest.raises(UnknownTagError, match=r"'test.unheard'.*\[xcom_codecs\] modules") as caught:
        backend.pull(row)
    assert caught.value.tag == "test.unheard"
    assert_names_the_xcom(caught.value)
    row["airflow_xcom"]["from"] = {"test.unheard": json.loads("[" * 900 + "]" * 900)}
    with pytest.raises(UnknownTagError) as caught:
        backend.pull(row)
    assert "which [" not in str(caught.value)


def test_a_missing_library_is_named(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_xcom.codecs import registry

    def absent(home: str) -> None:
        raise ModuleNotFoundError(name=home)

    row = backend.push((1,))
    row["airflow_xcom"]["data"]["$"][0] = "pendulum.Nothing"
    monkeypatch.setattr(registry, "_load_builtin", absent)
    with pytest.raises(MissingLibraryError, match="needs 'pendulum', which is not installed") as caught:
        backend.pull(row)
    assert caught.value.library == "pendulum"
    assert_names_the_xcom(caught.value)


@pytest.mark.parametrize(("where", "newest"), [("envelope", 3), ("tag", 1)])
def test_a_newer_version_is_refused_by_name(backend: Backend, where: str, newest: int) -> None:
    row = backend.push((1,))
    if where == "envelope":
        row["airflow_xcom"]["version"] = newest + 1
    else:
        row["airflow_xcom"]["data"]["$"][1] = newest + 1
    message = f"version {newest + 1}, and this release reads up to {newest}; upgrade"
    with pytest.raises(NewerFormatError, match=message) as caught:
        backend.pull(row)
    assert caught.value.version == newest + 1
    assert "return_value" in str(caught.value)


ENVELOPES = [
    None,
    [],
    {},
    {"version": 1},
    {"version": "1", "tag": "x", "summary": {}, "of": [], "data": 1},
    {"version": 0, "tag": "x", "summary": {}, "of": [], "data": 1},
    {"version": 1, "tag": 5, "summary": {}, "of": [], "data": 1},
    {"version": 1, "tag": "x", "summary": {}, "of": [], "data": 1, "ref": {}},
    {"version": 1, "tag": "x", "summary": {}, "of": []},
]


@pytest.mark.parametrize("content", ENVELOPES, ids=str)
def test_a_malformed_envelope_is_corrupt(backend: Backend, content: Any) -> None:
    with pytest.raises(CorruptPayloadError, match="return_value"):
        backend.pull({"airflow_xcom": content})
    backend.purge({"airflow_xcom": content})


DATA = [
    {"$": []},
    {"$": ["tuple"]},
    {"$": ["tuple", 1]},
    {"$": ["tuple", "1", []]},
    {"$": ["tuple", True, []]},
    {"$": ["tuple", 0, []]},
    {"$": ["tuple", -1, []]},
    {"$": ["tuple", 1, 5]},
    {"$": ["tuple", 1, []], "x": 1},
    {"$": ["map", 5]},
    {"$": ["map", [[[], 1]]]},
    {"$": ["float", "x"]},
    {"$": ["int", "x"]},
    {"$": ["text", "\\ud8"]},
    {"$": ["text", '"']},
    {"$": ["bytes", "not base64!"]},
    {"$": ["buffer", 5]},
    {"$": ["table", ["x", "AAAA"]]},
    {"$": ["blob", "AAAA"]},
    {"$": ["nothing", 1]},
    {"$": ["decimal", 1, "x"]},
    {"$": ["uuid", 1, ["12345678123456781234567812345678", "x"]]},
]


@pytest.mark.parametrize("data", DATA, ids=str)
def test_malformed_data_is_corrupt(backend: Backend, data: Any) -> None:
    row = backend.push((1,))
    row["airflow_xcom"]["data"] = data
    with pytest.raises(CorruptPayloadError, match="return_value"):
        backend.pull(row)


def test_text_under_the_base_is_text(backend: Backend, row: Any) -> None:
    (blob,) = backend.blobs()
    for text in (str(blob), blob.as_uri(), backend.folder.as_uri(), row["airflow_xcom"]["ref"]["path"]):
        assert backend.push(text) == text
        assert backend.pull(text) == text
        backend.purge(text)
        backend.purge([text])
        backend.purge({"ref": text})
    assert backend.blobs() == [blob]


def test_purge_deletes_nothing(backend: Backend, row: Any) -> None:
    """Airflow deletes the row only afterwards, which may fail; and the row may be a copy of another one's."""
    backend.purge(row)
    assert (backend.pull(row) == ARRAY).all()


def test_purge_never_raises(backend: Backend, row: Any) -> None:
    from airflow_xcom.backend import CodecXComBackend

    CodecXComBackend.purge(object())
    CodecXComBackend.purge(None)
    backend.purge(forged(row, url="s3://gone/x", store="gone"))
    backend.options(threshold="nonsense")
    backend.purge(row)


def test_an_unknown_store_names_the_option(backend: Backend, row: Any) -> None:
    with pytest.raises(UnknownStoreError, match=r'\[xcom_codecs\] stores, as {"old": "s3://c@b/x"}') as caught:
        backend.pull(forged(row, url="s3://c@b/x", store="old"))
    assert_names_the_xcom(caught.value)


def test_the_remedy_works_for_the_former_path(backend: Backend, tmp_path: Path) -> None:
    value = [(1, 2)] * 30_000
    row = backend.push(value)
    new = {"new": (tmp_path / "new").as_uri()}
    backend.options(path="new", stores=json.dumps(new))
    with pytest.raises(UnknownStoreError, match="is in the store 'default'") as caught:
        backend.pull(row)
    remedy = str(caught.value).partition("stores, as ")[2].split(" [")[0]
    backend.options(path="new", stores=json.dumps(new | json.loads(remedy)))
    assert backend.pull(row) == value


def test_a_store_that_moved_is_found_by_its_name(backend: Backend, row: Any, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    backend.folder.rename(moved)
    backend.options(path=moved.as_uri())
    assert (backend.pull(row) == ARRAY).all()
    backend.blobs()
    (moved / row["airflow_xcom"]["ref"]["path"]).unlink()
    with pytest.raises(MissingPayloadError, match="it was written to file://.*stores"):
        backend.pull(row)


def test_a_former_store_is_read_while_another_is_written(backend: Backend, row: Any, tmp_path: Path) -> None:
    new = tmp_path / "new"
    backend.options(path=new.as_uri(), stores=f'{{"former": "{backend.folder.as_uri()}"}}')
    assert (backend.pull(row) == ARRAY).all()
    assert backend.push(ARRAY)["airflow_xcom"]["ref"]["url"] == new.as_uri()


@pytest.mark.parametrize("method", ["push", "pull"])
def test_a_store_that_refuses_is_named(backend: Backend, row: Any, method: str) -> None:
    parent = backend.blobs()[0].parent
    target = backend.blobs()[0]
    target.unlink()
    target.mkdir()
    with pytest.raises(StoreError, match=r"the store file://.* cannot read") as caught:
        backend.pull(row)
    assert_names_the_xcom(caught.value)
    if method == "push":
        target.rmdir()
        parent.rmdir()
        parent.write_text("a file where a folder should be")
        with pytest.raises(StoreError, match="cannot write"):
            backend.push(ARRAY)

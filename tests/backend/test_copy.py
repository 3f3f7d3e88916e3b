"""``airflow-xcom copy`` over a database of Airflow's: the value is the other XCom's own from then on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from api_server import add_dags, put
from commands import run
from conftest import Backend

from airflow_xcom.backend import blobs, compat
from airflow_xcom.backend.envelope import Coordinate, Envelope

SOURCE = ("flights", "one", "extract", "return_value")
FROM = ["copy", "--dag", "flights", "--run", "one", "--task", "extract"]
TO = [*FROM, "--to-dag", "trains", "--to-run", "two", "--to-task", "clean", "--to-key", "restored"]
TARGET = Coordinate("trains", "two", "clean", -1, "restored")


@pytest.fixture
def session(backend: Backend) -> Any:
    from airflow.utils.db import resetdb
    from airflow.utils.session import create_session

    resetdb()
    with create_session() as session:
        add_dags(session)
        session.commit()
        yield session


def row(session: Any, at: Coordinate) -> Any:
    from airflow.models.xcom import XComModel

    session.expire_all()
    where = dict(zip(Coordinate.__slots__, at.to_json(), strict=True))
    return session.query(XComModel.value).filter_by(**where).scalar()


@pytest.mark.parametrize("threshold", [0, -1], ids=["blob", "row"])
@pytest.mark.parametrize("value", [np.arange(9_000.0), (1, 2), {"plain": 1}], ids=type)
def test_a_copy_is_the_other_xcoms_own(value: Any, threshold: int, session: Any, backend: Backend) -> None:
    backend.options(threshold=threshold)
    put(session, backend, SOURCE, value)
    session.commit()
    code, out, errors = run(*TO)
    assert (code, errors) == (0, "")
    assert str(TARGET) in out
    copied = row(session, TARGET)
    envelope = Envelope.from_json(copied)
    if envelope is not None:
        envelope.check_origin(TARGET)
        assert envelope.coordinate == TARGET
    for blob in backend.blobs():
        if "extract" in blob.parts:
            blob.unlink()
    assert np.array_equal(backend.pull(copied, key="restored"), value)


def test_what_is_there_is_replaced_only_by_force(session: Any, backend: Backend) -> None:
    put(session, backend, SOURCE, (1,))
    put(session, backend, ("trains", "two", "clean", "restored"), (2,))
    session.commit()
    code, _, errors = run(*TO)
    assert code == 1
    assert "--force" in errors
    assert backend.pull(row(session, TARGET), key="restored") == (2,)
    assert run(*TO, "--force")[0] == 0
    assert backend.pull(row(session, TARGET), key="restored") == (1,)


def test_what_a_task_pushes_while_the_blob_is_copied_is_not_replaced(
    session: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=0)
    put(session, backend, SOURCE, (1,))
    session.commit()
    copy_blob = blobs.copy_blob

    def meanwhile(*about: Any) -> Any:
        put(session, backend, ("trains", "two", "clean", "restored"), (2,))
        session.commit()
        return copy_blob(*about)

    monkeypatch.setattr("airflow_xcom.backend.commands.copy.copy_blob", meanwhile)
    code, _, errors = run(*TO)
    assert code == 1
    assert "--force" in errors
    assert backend.pull(row(session, TARGET), key="restored") == (2,)


def test_what_a_task_pushes_at_the_last_moment_is_not_replaced(
    session: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(session, backend, SOURCE, (1,))
    session.commit()
    write_row = compat.write_row

    def meanwhile(*about: Any, **options: Any) -> None:
        put(session, backend, ("trains", "two", "clean", "restored"), (2,))
        session.commit()
        write_row(*about, **options)

    monkeypatch.setattr("airflow_xcom.backend.commands.copy.write_row", meanwhile)
    code, _, errors = run(*TO)
    assert (code, "--force" in errors) == (1, True)
    assert backend.pull(row(session, TARGET), key="restored") == (2,)
    assert run(*TO, "--force")[0] == 0
    assert backend.pull(row(session, TARGET), key="restored") == (1,)


def test_what_cannot_be_copied_is_refused_and_writes_nothing(session: Any, backend: Backend) -> None:
    from airflow.models.xcom import XComModel

    backend.options(threshold=0)
    put(session, backend, SOURCE, (1,))
    place = {"dag_id": "flights", "run_id": "one", "task_id": "extract"}
    foreign = backend.push((1,), dag_id="ships", run_id="one", task_id="extract")
    XComModel.set("foreign", foreign, **place, serialize=False, session=session)
    retired = {**foreign["airflow_xcom"], "version": 2, "retired": {"at": "2024", "rule": "keep=1d"}}
    retired = {name: item for name, item in retired.items() if name != "ref"} | {"of": [*SOURCE[:3], -1, "retired"]}
    XComModel.set("retired", {"airflow_xcom": retired}, **place, serialize=False, session=session)
    session.commit()
    before = set(backend.blobs())
    for more, reason in (
        (["--key", "foreign"], "dag=ships"),
        (["--key", "retired"], "retired at 2024"),
        (["--key", "return_value", "--to-task", "nowhere"], "no task instance .*nowhere"),
        (["--key", "return_value", "--to-run", "none"], "no task instance .*none"),
    ):
        code, _, errors = run(*TO, *more)
        assert code == 1
        assert re.search(reason, errors)
    code, _, errors = run(*FROM, "--key", "return_value")
    assert (code, "say where" in errors) == (1, True)
    assert row(session, TARGET) is None
    assert len(set(backend.blobs()) - before) <= 2, "copies of what has no row are for a sweep"

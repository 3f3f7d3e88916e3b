"""Values that only Airflow's own serializer knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from airflow.sdk import Asset
from conftest import Backend

from airflow_xcom.codecs import CorruptPayloadError, UnsupportedTypeError, UnsupportedValueError


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    """Let the classes of this module be restored by serde, as [core] allowed_deserialization_classes would."""
    from airflow.sdk import serde

    serde._extra_allowed |= {f"{__name__}.Own", f"{__name__}.Changed", f"{__name__}.Unstable"}
    yield
    serde._extra_allowed -= {f"{__name__}.Own", f"{__name__}.Changed", f"{__name__}.Unstable"}


class Own:
    """A class with serde's own protocol."""

    def __init__(self, x: int) -> None:
        self.x = x

    def serialize(self) -> dict[str, Any]:
        return {"x": self.x}

    @staticmethod
    def deserialize(data: dict[str, Any], version: int) -> Any:
        return Own(data["x"])


class NotAllowed(Own):
    pass


class Changed(Own):
    """Comes back as another class."""


class Unstable(Own):
    @staticmethod
    def deserialize(data: dict[str, Any], version: int) -> Any:
        return Unstable(data["x"] + 1)


@pytest.mark.parametrize("threshold", [0, 49152])
def test_a_class_that_serde_knows(backend: Backend, jsonb: Callable[[Any], Any], threshold: int) -> None:
    backend.options(threshold=threshold)
    row = backend.push({"own": Own(5), "list": [(Own(6),)]})
    back = backend.pull(jsonb(row))
    assert type(back["own"]) is Own
    assert back["own"].x == 5
    assert back["list"][0][0].x == 6


def test_objects_of_airflow(backend: Backend, jsonb: Callable[[Any], Any]) -> None:
    asset = Asset(name="flights", uri="s3://bucket/flights", extra={"rows": 5})
    row = backend.push(asset)
    assert row["airflow_xcom"]["tag"] == "airflow.serde"
    assert "__classname__" not in row["airflow_xcom"]["data"]
    assert backend.pull(jsonb(row)) == asset


def test_a_class_that_is_not_allowed_is_refused_at_push(backend: Backend) -> None:
    remedy = r"NotAllowed to \[core\] allowed_deserialization_classes"
    with pytest.raises(UnsupportedValueError, match=remedy) as caught:
        backend.push([NotAllowed(1)])
    assert caught.value.path == "value[0]"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("value", [Changed(1), Unstable(1)], ids=["another class", "another value"])
def test_a_class_that_serde_changes_is_refused_at_push(backend: Backend, value: Any) -> None:
    with pytest.raises(UnsupportedValueError, match="serializer changes test_serde"):
        backend.push(value)


def test_a_subclass_of_what_a_codec_handles_is_not_left_to_serde(backend: Backend) -> None:
    class Frame(pl.DataFrame):
        """Inherits serialize and deserialize, which mean something else."""

    class Later(Own):
        """Inherits serde's protocol."""

    backend.push((1,))
    with pytest.raises(UnsupportedTypeError, match="no codec handles test_serde"):
        backend.push(Frame({"a": [1]}))
    with pytest.raises(UnsupportedValueError, match="allowed_deserialization_classes"):
        backend.push(Later(1))


def test_a_class_that_serde_does_not_know_is_refused(backend: Backend) -> None:
    with pytest.raises(UnsupportedTypeError, match="no codec handles builtins.object"):
        backend.push(object())


def test_a_forged_serde_payload_restores_nothing_that_is_not_allowed(backend: Backend) -> None:
    row = backend.push((1,))
    forged = {"$": ["map", [["__classname__", "subprocess.Popen"], ["__version__", 0], ["__data__", ["true"]]]]}
    row["airflow_xcom"]["data"] = {"$": ["airflow.serde", 1, forged]}
    with pytest.raises(CorruptPayloadError, match="not found in allow list"):
        backend.pull(row)

"""ONNX models: the bytes of their protocol buffer."""

from __future__ import annotations

from typing import Any

import onnx

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import Buffer


def _encode(model: Any) -> Buffer:
    try:
        data = model.SerializeToString(deterministic=True)
    except Exception as error:  # google's own classes: it is too large, or lacks a field
        msg = f"the model has no bytes ({error}); save it to a file with external data, and return where that is"
        raise UnsupportedValueError(msg) from error
    return Buffer(data)


def _decode(node: Any, _version: int) -> Any:
    return onnx.ModelProto.FromString(bytes(memoryview(node)))


def _summarize(model: Any) -> dict[str, Any]:
    return {"producer": model.producer_name[:100], "nodes": len(model.graph.node)}


CODECS = (Codec("onnx.ModelProto", (onnx.ModelProto,), _encode, _decode, summarize=_summarize),)

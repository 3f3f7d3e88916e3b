"""Every value comes back exact and writable, whatever the threshold, through PostgreSQL's JSONB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Backend
from values import VALUES

from airflow_xcom.codecs.testing import difference

THRESHOLDS = {"offload everything": 0, "default": None, "unlimited": -1}


def test_there_are_enough_values() -> None:
    assert len(VALUES) >= 60


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", VALUES)
def test_comes_back_exact(backend: Backend, jsonb: Callable[[Any], Any], name: str, threshold: str) -> None:
    if THRESHOLDS[threshold] is not None:
        backend.options(threshold=THRESHOLDS[threshold])
    row = jsonb(backend.push(VALUES[name]()))
    value = backend.pull(row)
    assert difference(VALUES[name](), value) is None
    _assert_writable(value)
    assert difference(VALUES[name](), backend.pull(row)) is None, "writing to a value changed what is stored"


def _assert_writable(value: Any) -> None:
    """Write to every array and column found in ``value``."""
    if isinstance(value, dict):
        for item in value.values():
            _assert_writable(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _assert_writable(item)
    elif isinstance(value, np.ndarray):
        assert value.flags.writeable
        if value.size:
            value[...] = value.flat[0]
    elif isinstance(value, pd.DataFrame) and len(value):
        for position, label in enumerate(value.columns):
            if value.columns.is_unique and not isinstance(label, tuple):
                value.loc[value.index[0], label] = value.iloc[-1, position]
            else:
                value.iloc[0, position] = value.iloc[-1, position]
    elif isinstance(value, pd.Series) and len(value):
        value.iloc[0] = value.iloc[-1]


@pytest.mark.parametrize("threshold", [0, -1])
def test_threshold_decides_the_place_and_nothing_else(backend: Backend, threshold: int) -> None:
    backend.options(threshold=threshold)
    for name, make in VALUES.items():
        row = backend.push(make())
        if isinstance(row, dict) and "airflow_xcom" in row:
            assert ("ref" in row["airflow_xcom"]) == (threshold == 0), name
    assert bool(backend.blobs()) == (threshold == 0)

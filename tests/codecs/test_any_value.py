"""The kit's strategy makes values of every family, which the codecs keep."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
from hypothesis import given, settings

from airflow_xcom.codecs.testing import any_value, check_codec

OF_PYTHON = {dict, tuple, set, deque, float, bytes, Decimal, dt.datetime}
OF_LIBRARIES = {np.ndarray, pd.DataFrame, pd.Series}


@settings(max_examples=100, deadline=None)
@given(any_value())
def test_any_value_is_kept(value: Any) -> None:
    check_codec(None, [value], may_copy=True)


def _types(values: Any) -> set[type]:
    """Return the types of what a strategy draws, at any depth."""
    seen: set[type] = set()

    @hypothesis.seed(0)
    @settings(max_examples=500, deadline=None, database=None)
    @given(values)
    def collect(value: Any) -> None:
        seen.update(map(type, _parts(value)))

    collect()
    return seen


def _parts(value: Any) -> Iterator[Any]:
    inner: Callable[[], Any] = {dict: lambda: [*value, *value.values()], list: lambda: value, tuple: lambda: value}.get(
        type(value), list
    )
    yield value
    for part in inner():
        yield from _parts(part)


def test_a_value_may_be_of_any_family() -> None:
    seen = _types(any_value())
    assert seen >= OF_PYTHON | OF_LIBRARIES
    assert any(issubclass(kind, np.generic) for kind in seen)


def test_libraries_are_left_out() -> None:
    seen = _types(any_value(numpy=False, pandas=False))
    assert seen >= OF_PYTHON
    assert not any(kind.__module__.startswith(("numpy", "pandas")) for kind in seen)


@settings(max_examples=100, deadline=None)
@given(any_value(hashable=True))
def test_hashable_values_are(value: Any) -> None:
    hash(value)

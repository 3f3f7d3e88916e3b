"""The demo's own judgement: what it must not call exact."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "tests" / "system" / "demo" / "exact.py"
SPEC = importlib.util.spec_from_file_location("demo_exact", SOURCE)
exact = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(exact)

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}, index=pd.date_range("2024", periods=2, freq="h"))
HALF_PAST_TWO = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def read_only(shape):
    array = np.zeros(shape)
    array.flags.writeable = False
    return array


def with_attrs(frame):
    frame.attrs["unit"] = "m"
    return frame


SCALARS = [None, 1, -0.0, float("nan"), "x", Decimal("1.10"), HALF_PAST_TWO]


@pytest.mark.parametrize("value", [*SCALARS, {"a": [1, (2,)]}, np.arange(6).reshape(2, 3), FRAME])
def test_equal_values_are_exact(value):
    again = value.copy() if isinstance(value, pd.DataFrame | np.ndarray) else value
    assert exact.difference(value, again) is None


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        (Decimal("1.10"), Decimal("1.1")),
        (HALF_PAST_TWO, HALF_PAST_TWO.replace(fold=1)),
        (HALF_PAST_TWO, HALF_PAST_TWO.astimezone(ZoneInfo("Europe/Oslo"))),
        (pd.Timestamp(0).as_unit("s"), pd.Timestamp(0).as_unit("ns")),
        ((1, 2), [1, 2]),
        ([1, [2]], [1, [3]]),
        ([1], [1, 2]),
        ({1: 2}, {"1": 2}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.zeros(2), -np.zeros(2)),
        (np.zeros(2), np.zeros(2, "float32")),
        (np.zeros((2, 3)), np.zeros((2, 3), order="F")),
        (np.zeros(2), read_only(2)),
        (np.array([None, 1]), np.array([np.nan, 1], dtype=object)),
        (FRAME, FRAME[["b", "a"]]),
        (FRAME, FRAME.astype({"a": "Float64"})),
        (FRAME, FRAME.astype({"b": object})),
        (FRAME, FRAME.set_axis(pd.DatetimeIndex(list(FRAME.index)))),
        (FRAME, FRAME.rename_axis("hour")),
        (FRAME, with_attrs(FRAME.copy())),
        (FRAME.reset_index(drop=True), FRAME.set_axis(pd.Index([0, 1]))),
        (pd.DataFrame({"a": [None]}, dtype=object), pd.DataFrame({"a": [np.nan]}, dtype=object)),
        (pd.DataFrame({"a": pd.Categorical(["x"])}), pd.DataFrame({"a": pd.Categorical(["x"], ["x", "y"])})),
        (pd.DataFrame(np.zeros((2, 2))), pd.DataFrame(read_only((2, 2)), copy=False)),
    ],
)
def test_other_values_are_not(expected, actual):
    assert exact.difference(expected, actual) is not None

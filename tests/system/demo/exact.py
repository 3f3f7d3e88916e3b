"""Whether what came back is what went in: the same type, the same values to the last bit, and writable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["difference"]


def difference(expected: Any, actual: Any, where: str = "value") -> str | None:
    """Where ``actual`` first differs from ``expected``, in words; None if it does not."""
    if type(expected) is not type(actual):
        return f"{where} is a {type(actual).__qualname__}, not a {type(expected).__qualname__}"
    return _DIFFERENCES.get(type(expected), _scalar_difference)(expected, actual, where)


def _dict_difference(expected: dict[Any, Any], actual: dict[Any, Any], where: str) -> str | None:
    return difference(list(expected), list(actual), f"list({where})") or _first_difference(
        (expected[key], actual[key], f"{where}[{key!r}]") for key in expected
    )


def _list_difference(expected: list[Any], actual: list[Any], where: str) -> str | None:
    if len(expected) != len(actual):
        return f"{where} has {len(actual)} items, not {len(expected)}"
    return _first_difference((*pair, f"{where}[{i}]") for i, pair in enumerate(zip(expected, actual, strict=True)))


def _first_difference(triples: Iterable[tuple[Any, Any, str]]) -> str | None:
    return next(filter(None, (difference(*triple) for triple in triples)), None)


def _scalar_difference(expected: Any, actual: Any, where: str) -> str | None:
    # repr() tells -0.0 from 0.0, 1.10 from 1.1, one zone from another, and one fold from the other.
    same = repr(expected) == repr(actual) and (expected == actual or expected != expected)  # noqa: PLR0124 - NaN
    if same and getattr(expected, "unit", None) == getattr(actual, "unit", None):
        return None
    return f"{where} is {actual!r}, not {expected!r}"


def _array_difference(expected: np.ndarray, actual: np.ndarray, where: str) -> str | None:
    for fact in ("dtype", "shape", "strides"):
        if getattr(expected, fact) != getattr(actual, fact):
            return f"{where} has the {fact} {getattr(actual, fact)}, not {getattr(expected, fact)}"
    if expected.dtype.hasobject:
        return difference(expected.tolist(), actual.tolist(), where)
    if expected.tobytes() != actual.tobytes():
        return f"{where} has other elements"
    return None if actual.flags.writeable else f"{where} is read-only"


def _frame_difference(expected: pd.DataFrame, actual: pd.DataFrame, where: str) -> str | None:
    for fact in ("index", "columns"):
        before, after = getattr(expected, fact), getattr(actual, fact)
        if type(before) is not type(after) or before.dtype != after.dtype:
            return f"{where}.{fact} is a {after!r}, not a {before!r}"
    if expected.attrs != actual.attrs:
        return f"{where}.attrs is {actual.attrs!r}, not {expected.attrs!r}"
    try:
        assert_frame_equal(expected, actual, check_exact=True, check_freq=True, check_column_type=True)
    except AssertionError as error:
        return f"{where}: {' '.join(str(error).split())}"
    for position, dtype in enumerate(expected.dtypes if len(expected) else ()):
        if dtype == "object":
            elements = (frame.iloc[:, position].tolist() for frame in (expected, actual))
            if found := difference(*elements, f"{where}.iloc[:, {position}]"):
                return found
        try:
            actual.iloc[0, position] = expected.iloc[0, position]
        except ValueError as error:
            return f"{where}.iloc[0, {position}] cannot be set: {error}"
    return None


_DIFFERENCES: dict[type, Callable[[Any, Any, str], str | None]] = {
    pd.DataFrame: _frame_difference,
    np.ndarray: _array_difference,
    dict: _dict_difference,
    list: _list_difference,
    tuple: _list_difference,
}

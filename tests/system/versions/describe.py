"""What a value is, in words that no release of a library has a say in.

The kit takes values apart (``airflow_xcom.codecs.testing``); here is what other releases say otherwise.
A value cannot be made anew where it is read, and compared there: the same call makes other values in other releases,
times in nanoseconds and text as objects before pandas 3 for example.  So what the writer had is described, and compared
with the description of what the reader got.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from airflow_xcom.codecs import testing
from airflow_xcom.codecs.testing import register_parts
from airflow_xcom.codecs.testing.library_parts import Elements

# The names that other releases have for the same class.
_RENAMED = {
    "numpy.bool_": "numpy.bool",
    "numpy.float128": "numpy.longdouble",
    "numpy.complex256": "numpy.clongdouble",
    "pandas.ArrowStringArrayNumpySemantics": "pandas.ArrowStringArray",
    "pandas.StringArrayNumpySemantics": "pandas.StringArray",
}


def describe(value: Any) -> Any:
    """Return the description of a value.

    Raises:
        TypeError: nothing says what its class is made of.
    """
    alone = isinstance(value, pd.api.extensions.ExtensionArray)  # before pandas 3.1, an array of times may have a freq
    return _renamed([testing.describe(value), testing.describe(getattr(value, "freq", None)) if alone else None])


def _renamed(description: Any) -> Any:
    if isinstance(description, list):
        return [_renamed(part) for part in description]
    return _RENAMED.get(description, description) if isinstance(description, str) else description


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield where two descriptions differ."""
    if type(expected) is type(found) is list and len(expected) == len(found):
        for place, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(*pair, f"{path}[{place}]")
    elif type(expected) is type(found) is dict:  # what may be gained, but not lost
        yield from (f"{path}: no longer {name}" for name, holds in expected.items() if holds and not found.get(name))
    elif expected != found or type(expected) is not type(found):
        yield f"{path}: {expected!r:.200} became {found!r:.200}"


def _offset(offset: Any) -> Any:
    """Take an offset apart without the defaults that one release names and another does not."""
    usual = {"offset": dt.timedelta(), "method": 3, "holidays": []}
    words = {name: part for name, part in sorted(offset.kwds.items()) if name != "calendar"}
    words["holidays"] = [str(day) for day in words.get("holidays", ())]
    said = {name: part for name, part in sorted(words.items()) if part != usual.get(name, words)}
    calendar = offset.kwds.get("calendar")
    return [("", [offset.n, offset.normalize, said, calendar and [calendar.weekmask, calendar.holidays]])]


def _string_dtype(dtype: Any) -> Any:
    """Take a dtype of text apart; pandas 2.2 calls the variant in Arrow with NaN a storage of its own."""
    is_old = dtype.storage == "pyarrow_numpy"
    return [("", ["pyarrow" if is_old else dtype.storage, is_old or dtype.na_value is not pd.NA])]


def _ticks(array: Any) -> Any:
    """Take an array of times apart without the freq, which before pandas 3.1 says how it was made."""
    return [("", [array.dtype, Elements(array.asi8)])]


def _categorical(dtype: Any) -> Any:
    """Take a Categorical of polars apart; before 1.32 it said how it sorts, and since then it has names."""
    kind = getattr(dtype, "categories", None)
    return [("", [kind.name(), kind.namespace(), str(kind.physical())] if kind else ["", "", "UInt32"])]


register_parts("pandas.BaseOffset", _offset)
register_parts("pandas.StringDtype", _string_dtype)
register_parts("pandas.DatetimeLikeArrayMixin", _ticks)
register_parts("pandas.IntervalArray", lambda array: [("", [array.dtype, array.left.array, array.right.array])])
for _name in ("pandas.StringArray", "pandas.ArrowStringArray"):
    register_parts(_name, lambda array: [("", [array.dtype, list(np.asarray(array, dtype=object))])])
register_parts("polars.Categorical", _categorical)
register_parts("pyproj.CRS", ["srs"])  # the rest is what PROJ makes of it

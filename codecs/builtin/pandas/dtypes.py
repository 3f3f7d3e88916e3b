"""pandas extension dtypes, as values of their own: ``[class name, arguments ...]``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_xcom.codecs.builtin.kinds import text_codec
from airflow_xcom.codecs.errors import LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.quoting import quoted

_SIZED = (*(f"{name}{size}" for name in ("Int", "UInt") for size in (8, 16, 32, 64)), "Float32", "Float64")
MASKED: dict[str, Any] = {**{name: getattr(pd, f"{name}Dtype") for name in _SIZED}, "boolean": pd.BooleanDtype}
"""The nullable dtypes of numbers, by their names."""


def _encode_dtype(value: Any) -> list[Any]:
    """Return ``[class name, arguments ...]``; of a nullable type, ``[dtype name]``."""
    dtype = type(value)
    if dtype in MASKED.values():
        return [value.name]
    node = [dtype.__name__, *_TAKE[dtype](value)]
    rebuilt = _decode_dtype(node, 1)
    if rebuilt != value or str(rebuilt) != str(value):
        raise UnsupportedValueError(
            f"pandas does not build the dtype {value!r} again from its parts; return str(value)"
        )
    return node


def _decode_dtype(node: list[Any], _version: int) -> Any:
    name, *parts = as_list(node)
    return _MAKE[name](*parts) if parts else MASKED[name]()


def _take_string(dtype: Any) -> list[str]:
    """Return storage and missing value; pandas 2.1 and 2.2 call the variant with NaN ``pyarrow_numpy``."""
    if dtype.storage == "pyarrow_numpy":
        return ["pyarrow", "NaN"]
    return [dtype.storage, "NA" if dtype.na_value is pd.NA else "NaN"]


def string_dtype(storage: str, na_value: Any) -> Any:
    """Return a string dtype."""
    make: Any = pd.StringDtype
    if na_value is pd.NA:
        return make(storage)
    try:
        return make(storage, na_value=na_value)
    except TypeError as error:  # before pandas 2.3
        if storage == "pyarrow":
            return make("pyarrow_numpy")
        what = f"the dtype StringDtype({quoted(storage)}, na_value=nan)"
        raise LibraryVersionError(what, "pandas", pd.__version__, "2.3 or newer") from error


def _make_zoned(unit: str, zone: Any) -> Any:
    from airflow_xcom.codecs.builtin.stdlib.times import checked_zone  # not at the top: few frames need it

    return pd.DatetimeTZDtype(as_text(unit), checked_zone(zone))


def _make_period(freq: Any) -> Any:
    from airflow_xcom.codecs.builtin.pandas.offsets import checked_offset  # as above

    return pd.PeriodDtype(checked_offset(freq))


_ANY_DTYPE = (np.dtype, pd.api.extensions.ExtensionDtype)


def _checked(part: Any, *kinds: type) -> Any:
    """Return a part out of a payload, which must be None or of these kinds: pandas would take text too."""
    if part is not None and not isinstance(part, kinds):
        raise TypeError(f"{quoted(part)} is not a part of a dtype")
    return part


_TAKE: dict[type, Callable[[Any], list[Any]]] = {
    pd.CategoricalDtype: lambda dtype: [dtype.categories, dtype.ordered],
    pd.DatetimeTZDtype: lambda dtype: [dtype.unit, dtype.tz],
    pd.PeriodDtype: lambda dtype: [dtype.freq],
    pd.IntervalDtype: lambda dtype: [dtype.subtype, dtype.closed],
    pd.SparseDtype: lambda dtype: [dtype.subtype, dtype.fill_value],
    pd.StringDtype: _take_string,
    pd.ArrowDtype: lambda dtype: [pa.schema([("", dtype.pyarrow_dtype)]).serialize().to_pybytes()],
}
_MAKE: dict[str, Callable[..., Any]] = {
    "CategoricalDtype": lambda categories, ordered: pd.CategoricalDtype(_checked(categories, pd.Index), ordered),
    "DatetimeTZDtype": _make_zoned,
    "PeriodDtype": _make_period,
    "IntervalDtype": lambda subtype, closed: pd.IntervalDtype(
        _checked(subtype, *_ANY_DTYPE), closed and as_text(closed)
    ),
    "SparseDtype": lambda subtype, fill_value: pd.SparseDtype(_checked(subtype, *_ANY_DTYPE), fill_value),
    "StringDtype": lambda storage, missing: string_dtype(
        as_text(storage), {"NA": pd.NA, "NaN": np.nan}[as_text(missing)]
    ),
    "ArrowDtype": lambda schema: pd.ArrowDtype(pa.ipc.read_schema(pa.py_buffer(schema)).field(0).type),
}


_TYPES = (*MASKED.values(), *_TAKE)
_STATE = ("_", "_cache", "pyarrow_dtype", "storage")
CODECS = (text_codec("pandas.dtype", _TYPES, _encode_dtype, _decode_dtype, attributes=_STATE),)

"""Columns in the types that Arrow's functions know, and what tells their values apart."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from airflow_xcom.backend.ui.expansion import check_expansion

_DECIMAL = 128  # bits of the decimals that all functions know


def plain_type(data_type: Any) -> Any:
    """Return the type that :func:`plain` gives a column."""
    if isinstance(data_type, pa.BaseExtensionType):
        return plain_type(data_type.storage_type)
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    if types.is_string_view(data_type):
        return pa.large_string()
    if types.is_binary_view(data_type):
        return pa.large_binary()
    if types.is_decimal(data_type) and data_type.bit_width < _DECIMAL:
        return pa.decimal128(data_type.precision, data_type.scale)
    return data_type


def plain(column: Any) -> Any:
    """Return a column without extension, dictionary, runs, views or small decimals; what is within lists stays."""
    check_expansion(column)
    kind = plain_type(column.type)
    return column if kind == column.type else pa.chunked_array([_plain(chunk) for chunk in column.chunks], kind)


def _plain(array: Any) -> Any:
    if isinstance(array.type, pa.BaseExtensionType):
        return _plain(array.storage)
    if types.is_dictionary(array.type):
        return pc.take(_plain(array.dictionary), array.indices)
    if types.is_run_end_encoded(array.type):
        whole = pa.RunEndEncodedArray.from_arrays(array.run_ends, _plain(array.values))
        return pc.run_end_decode(whole.slice(array.offset, len(array)))
    return array.cast(plain_type(array.type))


def is_number(data_type: Any) -> bool:
    """Return whether a column of a type has numbers or times, which have an order and a place on a line."""
    data_type = plain_type(data_type)
    checks = (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal)
    return any(check(data_type) for check in checks) and not types.is_interval(data_type)


def floats(column: Any) -> Any:
    """Return the values of a plain column as floats, NaN for nulls; of times the ticks."""
    if types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())  # noqa: PLR2004
    return column.cast(pa.float64(), safe=False).to_numpy()


def exact(value: Any) -> Any:
    """Return what tells a scalar apart from all others of its type, also where Python has no such value."""
    if not value.is_valid:
        return None
    if types.is_struct(value.type):
        return [exact(value[at]) for at in range(value.type.num_fields)]
    if types.is_nested(value.type) and hasattr(value, "values"):
        return [exact(item) for item in value.values]
    inner = getattr(value, "value", None)
    if isinstance(inner, pa.Scalar):
        return [getattr(value, "type_code", 0), exact(inner)]
    return value.as_py() if inner is None else inner

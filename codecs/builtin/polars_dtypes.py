"""polars dtypes, as instances and as classes, and schemas: ``[name, arguments...]``, ``["class", name]``, and pairs."""

from __future__ import annotations

from itertools import chain
from typing import Any

import polars as pl

from airflow_xcom.codecs.builtin.kinds import pairs_of, text_codec
from airflow_xcom.codecs.builtin.polars import _decode_categorical, _encode_dtype, _same
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.object_state import refuse_other_attributes

_CLASSES = {
    name: cls
    for name, cls in vars(pl).items()
    if isinstance(cls, type) and issubclass(cls, pl.DataType) and cls.__name__ == name
}
_ARGUMENTS = {
    "Datetime": ("time_unit", "time_zone"),
    "Duration": ("time_unit",),
    "Decimal": ("precision", "scale"),
    "List": ("inner",),
    "Array": ("inner", "size"),
}
_ATTRIBUTES = {*chain.from_iterable(_ARGUMENTS.values()), "_", "categories", "fields", "ordering", "shape", "width"}


def _encode(dtype: Any) -> list[Any]:
    if isinstance(dtype, type):
        node: list[Any] = ["class", dtype.__name__]
        is_same = _CLASSES.get(dtype.__name__) is dtype
    else:
        node = _encode_instance(dtype)
        is_same = node[0] in _CLASSES and _same(_decode(node, 1), dtype)
    if not is_same:
        raise UnsupportedValueError(f"polars does not make the dtype {dtype!r} again from its parts; return str(value)")
    return node


def _encode_instance(dtype: Any) -> list[Any]:
    name = type(dtype).__name__
    refuse_other_attributes(dtype, _ATTRIBUTES)
    if isinstance(dtype, pl.Struct):
        return [name, [[field.name, field.dtype] for field in dtype.fields]]
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return list(_encode_dtype(dtype))
    return [name, *(getattr(dtype, part) for part in _ARGUMENTS.get(name, ()))]


def _decode(node: Any, _version: int) -> Any:
    name, *arguments = as_list(node)
    if name == "class":
        return _CLASSES[as_text(arguments[0])]
    if name == "Categorical":
        return _decode_categorical(*arguments)
    if name == "Struct":
        return pl.Struct([pl.Field(as_text(field), dtype) for field, dtype in as_list(arguments[0])])
    return _CLASSES[as_text(name)](*arguments)


def _decode_schema(node: Any, _version: int) -> Any:
    made = pl.Schema()
    for name, dtype in as_list(node):
        made[as_text(name)] = dtype
    return made


CODECS = (
    text_codec("polars.DataType", (*_CLASSES.values(), "polars.datatypes.classes.DataTypeClass"), _encode, _decode),
    Codec("polars.Schema", ("polars.schema.Schema",), pairs_of, _decode_schema, attributes=()),
)

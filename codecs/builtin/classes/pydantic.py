"""Models of pydantic 2, under the names of their classes.

The state is the one that pydantic itself pickles: field values as they are, which fields were set, extra values and
private attributes.  Nothing is validated again, so that a model comes back even where it was made with
``model_construct``.  This module does not import pydantic.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow_xcom.codecs.builtin.classes.names import CheckClass, by_name
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list
from airflow_xcom.codecs.object_state import holds, restore, state_of
from airflow_xcom.codecs.quoting import quoted

_SET, _EXTRA, _PRIVATE = _BESIDE = "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"

_TEXT = frozenset({str})


@cache
def _is_model(cls: type) -> bool:
    return any(base.__module__ == "pydantic.main" and base.__qualname__ == "BaseModel" for base in cls.__mro__)


def _take(value: Any) -> list[Any]:
    """Return the field values, the names of the fields that were set, extra values and private attributes, or null."""
    cls = type(value)
    fields = state_of(value, tuple(cls.__pydantic_fields__), beside=_BESIDE)
    extra = getattr(value, _EXTRA, None)
    if extra and not _allows_extra(cls):
        raise UnsupportedValueError(
            f"the {cls.__qualname__} has the extra values {quoted(list(extra))}, and its class allows none; return "
            "vars(value) and them, in one dict"
        )
    return [fields, sorted(getattr(value, _SET)), extra, getattr(value, _PRIVATE, None), *_parameters(cls)]


def _parameters(cls: Any) -> list[list[str]]:
    """Return those of a class such as ``Page[Item]``, whose name does not tell which Item."""
    return [list(map(repr, cls.__pydantic_generic_metadata__["args"]))] if "[" in cls.__qualname__ else []


def _allows_extra(cls: Any) -> bool:
    return bool(cls.model_config.get("extra") == "allow")


def _restore(cls: Any, state: list[Any]) -> Any:
    fields, names, extra, private, *parameters = as_list(state)
    if parameters != _parameters(cls):
        raise CorruptPayloadError(f"{cls.__qualname__} is of {quoted(_parameters(cls))}, not of {quoted(parameters)}")
    if not _is_text(names) or not _is_mapping(extra) or not _is_mapping(private):
        raise CorruptPayloadError(f"the state of {cls.__qualname__} is not that of a pydantic model")
    if extra and not _allows_extra(cls):
        msg = f"{cls.__qualname__} allows no extra values, and the payload has {quoted(list(extra))}"
        raise CorruptPayloadError(msg)
    if private is not None and not private.keys() <= cls.__private_attributes__.keys():
        known = list(cls.__private_attributes__)
        raise CorruptPayloadError(f"{cls.__qualname__} has the private attributes {known}, not {quoted(list(private))}")
    value = restore(cls, tuple(cls.__pydantic_fields__), fields, beside=_BESIDE)
    object.__setattr__(value, _SET, set(names))
    for name, item in ((_EXTRA, extra), (_PRIVATE, private)):
        if item is not None or name in _lacking(cls):
            object.__setattr__(value, name, item)
    return value


@cache
def _lacking(cls: Any) -> frozenset[str]:
    """Return what a new object has no value of; a RootModel has None for both in its class."""
    value = object.__new__(cls)
    return frozenset(name for name in (_EXTRA, _PRIVATE) if not holds(value, name))


def _is_text(names: Any) -> bool:
    return type(names) is list and _TEXT.issuperset(map(type, names))


def _is_mapping(state: Any) -> bool:
    return state is None or (type(state) is dict and _TEXT.issuperset(map(type, state)))


def codecs(check_class: CheckClass) -> tuple[Codec[Any], ...]:
    """Return the codecs of a registry that allows the classes which `check_class` lets pass."""
    return (
        by_name("class.pydantic", "a pydantic model", check_class, matches=_is_model, take=_take, restore=_restore),
    )

"""Structs of msgspec, under the names of their classes.  This module does not import msgspec."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from airflow_xcom.codecs.builtin.classes.names import CheckClass, by_name
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.object_state import check_names, holds, refuse_other_attributes


def _is_struct(cls: type) -> bool:
    return any(base.__module__ == "msgspec" and base.__qualname__ == "Struct" for base in cls.__mro__)


def _take(value: Any) -> dict[str, Any]:
    cls: Any = type(value)
    refuse_other_attributes(value, (), remedy="make it a field")
    if missing := [name for name in cls.__struct_fields__ if not holds(value, name)]:
        raise UnsupportedValueError(f"the fields {missing} of the {cls.__qualname__} have no value; set them")
    return {name: getattr(value, name) for name in cls.__struct_fields__} | getattr(value, "__dict__", {})


def _restore(cls: Any, state: dict[str, Any]) -> Any:
    names = cls.__struct_fields__
    check_names(cls, names, state)
    msgspec = importlib.import_module("msgspec")
    value = _silent(cls)(**{name: state.pop(name) for name in names})
    if type(value) is not cls:
        msgspec.structs.force_setattr(value, "__class__", cls)
    if state:
        vars(value).update(state)
    return value


@cache
def _silent(cls: Any) -> Any:
    """Return a class that makes the structs of ``cls``, which no other function can, without its ``__post_init__``."""
    if not hasattr(cls, "__post_init__"):
        return cls
    nothing = {"__post_init__": lambda _self: None}
    return importlib.import_module("msgspec").defstruct(cls.__name__, [], bases=(cls,), namespace=nothing)


def codecs(check_class: CheckClass) -> tuple[Codec[Any], ...]:
    """Return the codecs of a registry that allows the classes which `check_class` lets pass."""
    return (
        by_name("class.msgspec", "a struct of msgspec", check_class, matches=_is_struct, take=_take, restore=_restore),
    )

"""The decorator that registers a codec, or a type that brings its own."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from airflow_xcom.codecs.codec import Codec, CodecClass, ColumnCodec, check_call
from airflow_xcom.codecs.discovery import Origin
from airflow_xcom.codecs.errors import RegistrationError
from airflow_xcom.codecs.nodes import Columns
from airflow_xcom.codecs.object_state import put_all, restore, state_of, take_all
from airflow_xcom.codecs.registry import Registry
from airflow_xcom.codecs.registry import registry as process_registry

T = TypeVar("T")
H = TypeVar("H", bound=CodecClass[Any])


@overload
def codec(
    tag: str, *, version: int = 1, replace: bool = False, registry: Registry = ...
) -> Callable[[type[T]], type[T]]: ...


@overload
def codec(
    tag: str,
    *,
    handles: type | str | Iterable[type | str],
    version: int = 1,
    subclasses: bool = False,
    replace: bool = False,
    registry: Registry = ...,
) -> Callable[[type[H]], type[H]]: ...


def codec(  # noqa: PLR0913 - what there is to say of a codec
    tag: str,
    *,
    handles: type | str | Iterable[type | str] | None = None,
    version: int = 1,
    subclasses: bool = False,
    replace: bool = False,
    registry: Registry = process_registry,
) -> Callable[[type[Any]], type[Any]]:
    """Register the decorated class as a codec, or as a type that brings its own.

    With ``handles``, the decorated class has the methods ``encode(self, value)`` and ``decode(self, node, version)``
    (and, if it likes, ``summarize(self, value)`` and ``render(self, value)``) for values of the types named there::

        @codec("acme.grid", handles=Grid)
        class GridCodec:
            def encode(self, grid): return {"origin": grid.origin, "cells": grid.cells}
            def decode(self, node, version): return Grid(**node)

    Without it, the decorated class is the type of the values: a dataclass, stored field by field, or a class with
    ``to_node(self)`` and a classmethod ``from_node(cls, node, version)``.

    Executing a Dag file again, as Airflow does, replaces what the file registered before; objects of the classes it
    defined then can still be pushed.

    Raises:
        RegistrationError: The class lacks these methods, or see :meth:`Registry.register`.
    """
    if not isinstance(tag, str):
        msg = "@codec needs a tag, by which payloads name the codec: write @codec('acme.point') with a name of your own"
        raise RegistrationError(msg)
    namespace = sys._getframe(1).f_globals  # noqa: SLF001 - as collections.namedtuple does

    def decorate(cls: type[Any]) -> type[Any]:
        if handles is None:
            made = _codec_of_type(tag, version, cls, subclasses=subclasses)
        else:
            types = (handles,) if isinstance(handles, type | str) else tuple(handles)
            made = _codec_of_handler(tag, version, cls, types, subclasses=subclasses)
        module, file = str(namespace.get("__name__")), namespace.get("__file__")
        registry.register(made, replace=replace, origin=Origin(module, file, cls.__qualname__, namespace))
        return cls

    return decorate


def _codec_of_handler(
    tag: str, version: int, cls: type[Any], types: tuple[type | str, ...], *, subclasses: bool
) -> Codec[Any]:
    if not (callable(getattr(cls, "encode", None)) and callable(getattr(cls, "decode", None))):
        msg = f"{cls.__qualname__} needs the methods encode(self, value) and decode(self, node, version)"
        raise RegistrationError(msg)
    handler: Any = cls()
    extra = {name: getattr(handler, name) for name in ("summarize", "render") if hasattr(handler, name)}
    return Codec(tag, types, handler.encode, handler.decode, version=version, subclasses=subclasses, **extra)


def _codec_of_type(tag: str, version: int, cls: Any, *, subclasses: bool) -> Codec[Any]:
    if subclasses:
        msg = "subclasses=True needs handles=: a type that brings its own codec is restored as exactly itself"
        raise RegistrationError(msg)
    if hasattr(cls, "to_node") and hasattr(cls, "from_node"):
        _check_methods(tag, cls)
        return Codec(tag, (cls,), cls.to_node, cls.from_node, version=version)
    if dataclasses.is_dataclass(cls):
        return _codec_of_dataclass(tag, version, cls)
    raise RegistrationError(
        f"{cls.__qualname__} is neither a dataclass nor a class with to_node(self) and from_node(cls, node, version); "
        "to register a codec class for another type, pass handles="
    )


def _check_methods(tag: str, cls: Any) -> None:
    if inspect.isfunction(inspect.getattr_static(cls, "from_node")):
        msg = f"{cls.__qualname__}.from_node is called before there is an object: put @classmethod above it"
        raise RegistrationError(msg)
    check_call(tag, cls.to_node, ("self",))
    check_call(tag, cls.from_node, ("node", "version"), first="cls")


def _codec_of_dataclass(tag: str, version: int, cls: Any) -> Codec[Any]:
    names = tuple(field.name for field in dataclasses.fields(cls))

    def encode(value: Any) -> dict[str, Any]:
        return state_of(value, names)

    def decode(node: dict[str, Any], _version: int) -> Any:
        return restore(cls, names, node)

    def take(cls: type, objects: list[Any]) -> Columns | None:
        return take_all(cls, objects, names)

    def put(columns: Columns, _version: int) -> list[Any] | None:
        return put_all(cls, names, columns) if columns.head is None else None

    return ColumnCodec(tag, (cls,), encode, decode, version=version, take=take, put=put)

"""The decorator that registers a codec, or a type that brings its own."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.discovery import Origin
from airflow_xcom.codecs.errors import RegistrationError
from airflow_xcom.codecs.object_state import restore, state_of
from airflow_xcom.codecs.registry import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["codec"]

T = TypeVar("T")


def codec(
    tag: str,
    *,
    handles: type | str | Iterable[type | str] | None = None,
    version: int = 1,
    subclasses: bool = False,
    replace: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Register the decorated class as a codec, or as a type that brings its own.

    With ``handles``, the decorated class has the methods ``encode(self, value)`` and ``decode(self, node, version)``
    (and, if it likes, ``summarize(self, value)``) for values of the types named there::

        @codec("acme.grid", handles=Grid)
        class GridCodec:
            def encode(self, grid): return {"origin": grid.origin, "cells": grid.cells}
            def decode(self, node, version): return Grid(**node)

    Without it, the decorated class is the type of the values: a dataclass, stored field by field, or a class with
    ``to_node(self)`` and a classmethod ``from_node(cls, node, version)``.

    Executing a Dag file again, as Airflow does, replaces what the file registered before; objects of the classes it
    defined then can still be pushed.

    Raises:
        RegistrationError: see :meth:`Registry.register`; or the class has none of these methods.
    """
    namespace = sys._getframe(1).f_globals  # noqa: SLF001 - as collections.namedtuple does

    def decorate(cls: type[T]) -> type[T]:
        origin = Origin(cls.__qualname__, namespace)
        if handles is None:
            made = _codec_of_type(tag, version, cls, subclasses=subclasses)
        else:
            kinds = (handles,) if isinstance(handles, type | str) else tuple(handles)
            made = _codec_of_handler(tag, version, cls, kinds, subclasses=subclasses)
        registry._register(made, replace=replace, origin=origin)  # noqa: SLF001
        return cls

    return decorate


def _codec_of_handler(tag: str, version: int, cls: type, kinds: tuple[type | str, ...], *, subclasses: bool) -> Codec:
    if not (callable(getattr(cls, "encode", None)) and callable(getattr(cls, "decode", None))):
        msg = f"{cls.__qualname__} needs the methods encode(self, value) and decode(self, node, version)"
        raise RegistrationError(msg)
    handler: Any = cls()
    extra = {"summarize": handler.summarize} if hasattr(handler, "summarize") else {}
    return Codec(tag, kinds, handler.encode, handler.decode, version=version, subclasses=subclasses, **extra)


def _codec_of_type(tag: str, version: int, cls: Any, *, subclasses: bool) -> Codec:
    if subclasses:
        msg = "subclasses=True needs handles=: a type that brings its own codec is restored as exactly itself"
        raise RegistrationError(msg)
    if hasattr(cls, "to_node") and hasattr(cls, "from_node"):
        return Codec(tag, (cls,), cls.to_node, cls.from_node, version=version)
    if dataclasses.is_dataclass(cls):
        return _codec_of_dataclass(tag, version, cls)
    msg = (
        f"{cls.__qualname__} is neither a dataclass nor a class with to_node(self) and from_node(cls, node, version); "
        "to register a codec class for another type, pass handles="
    )
    raise RegistrationError(msg)


def _codec_of_dataclass(tag: str, version: int, cls: Any) -> Codec:
    names = tuple(field.name for field in dataclasses.fields(cls))

    def encode(value: Any) -> dict[str, Any]:
        return state_of(value, names)

    def decode(node: dict[str, Any], _version: int) -> Any:
        return restore(cls, names, node)

    return Codec(tag, (cls,), encode, decode, version=version)

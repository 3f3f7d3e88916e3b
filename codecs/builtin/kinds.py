"""Makers of codecs: for several classes of one library, from a table of what each is made of; and for short values."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from airflow_xcom.codecs.builtin.summaries import summarize_text
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import MissingLibraryError
from airflow_xcom.codecs.nodes import as_list, as_text

# One class of a library: its module, a dot and its name; what returns the node of a value, and refuses a value that
# could not be made again; and what makes the value, from the class and the node.
Kind = tuple[str, Callable[[Any], Any], Callable[[Any, Any], Any]]


def codec_of(tag: str, kinds: Iterable[Kind], **options: Any) -> Codec[Any]:
    """Return a codec whose node is ``[class name, node of the kind]``; it imports a library when it reads a value."""
    by_name = {kind[0].rpartition(".")[2]: kind for kind in kinds}

    def encode(value: Any) -> list[Any]:
        name = type(value).__qualname__
        _, take, _ = by_name[name]
        return [name, take(value)]

    def decode(node: list[Any], _version: int) -> Any:
        name, parts = as_list(node)
        path, _, make = by_name[as_text(name)]
        return make(getattr(library(path.rpartition(".")[0], tag), name), parts)

    return Codec(tag, tuple(path for path, _, _ in by_name.values()), encode, decode, **options)


def text_codec(*description: Any, **options: Any) -> Codec[Any]:
    """Return a codec whose values people see as text; it takes the arguments of :class:`Codec`."""
    return Codec(*description, summarize=summarize_text, **options)


def library(name: str, tag: str) -> Any:
    """Import a module of an optional library, which the codec of `tag` needs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingLibraryError(tag, name.partition(".")[0]) from error


def attributes_of(*names: str) -> Callable[[Any], list[Any]]:
    """Return what takes the attributes of a value, which are the arguments that make it."""
    takers = [attrgetter(name) for name in names]
    return lambda value: [take(value) for take in takers]


def unpacked(cls: Any, parts: Any) -> Any:
    """Call a class with the items of a list."""
    return cls(*as_list(parts))


def pairs_of(value: Any) -> list[list[Any]]:
    """Return the items of a mapping."""
    return [[key, item] for key, item in value.items()]

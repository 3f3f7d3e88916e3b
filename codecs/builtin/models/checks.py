"""What is checked of every model: that its library makes the same one again, here, and where it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_xcom.codecs.errors import (
    ClassNotAllowedError,
    CorruptPayloadError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.nodes import as_text
from airflow_xcom.codecs.quoting import described, quoted
from airflow_xcom.codecs.testing.identical import difference


def checked_encode(
    take: Callable[[Any], Any], make: Callable[[Any], Any], *, remedy: str, by_node: bool = False
) -> Callable[[Any], Any]:
    """Return the ``encode`` of a codec that refuses models of which another one is made.

    Args:
        take: returns the node of a model.
        make: returns the model of a node.
        remedy: what people can do with a refused model.
        by_node: whether it is enough that both models have the same node.
    """

    def encode(model: Any) -> Any:
        node = take(model)
        try:
            made = make(node)
            pair = (node, take(made)) if by_node else (model, made)
            found = difference(*pair, type(model).__name__)
        except ClassNotAllowedError as error:
            raise UnsupportedTypeError(str(error)) from error
        except Exception as error:
            msg = f"its library does not make the model again ({described(error)}); {remedy}"
            raise UnsupportedValueError(msg) from error
        if found is not None:
            raise UnsupportedValueError(f"its library makes another model of what it writes ({found}); {remedy}")
        return node

    return encode


def check_not_older(library: str, installed: str, writer: Any) -> None:
    """Raise LibraryVersionError unless the installed release of a library is the writer's or a later one."""
    found = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6}).{0,20}", as_text(writer))
    if found is None:
        raise CorruptPayloadError(f"{quoted(writer)} is no version of {library}")
    if tuple(map(int, re.findall(r"\d+", installed)[:3])) < tuple(map(int, found.groups())):
        raise LibraryVersionError("a trained model", library, installed, f"{'.'.join(found.groups())} or newer")

"""Classes that a payload names, ``module:qualname``, as entry points do.

A class is stored and restored only if the policy of the registry allows its name, and no name that is not allowed is
ever imported.  Nothing is called on the way: a name leads through the plain contents of a module and its classes.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import (
    ClassNotAllowedError,
    CorruptPayloadError,
    MissingClassError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.registry import registry

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["by_name", "check_allowed"]


def by_name(
    tag: str,
    kind: str,
    matches: Callable[[type], bool],
    take: Callable[[Any], Any],
    restore: Callable[[Any, Any], Any],
) -> Codec:
    """A codec for every class of one kind; its node is ``[name of the class, state]``.

    Args:
        tag: of the codec.
        kind: what such a class is called in messages: ``"a data class"``.
        matches: whether a class is of this kind.
        take: the state of an object.
        restore: the object of a class, from its state.
    """

    def encode(value: Any) -> list[Any]:
        return [_name_of(type(value)), take(value)]

    def decode(node: list[Any], _version: int) -> Any:
        name, state = node
        cls = _find(name)
        if not matches(cls):
            msg = f"{_dotted(cls)} is no longer {kind}"
            raise CorruptPayloadError(msg)
        return restore(cls, state)

    return Codec(tag, (), encode, decode, matches=matches)


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _remedy(name: str) -> str:
    return (
        f"add it to Airflow's configuration, [core] allowed_deserialization_classes = {name} (after the patterns that "
        "stand there, with a space between)"
    )


def _name_of(cls: type) -> str:
    """The name of a class, once it is sure that it leads back to this very class and may be used.

    Raises:
        UnsupportedTypeError: it does not, or may not.
    """
    name = _dotted(cls)
    if cls.__module__ == "__main__" or _walk(sys.modules.get(cls.__module__), cls.__qualname__) is not cls:
        msg = (
            f"{name} cannot be found by its name, and so not restored; define the class in a module, not in a function "
            "or script and not at run time (a generic model: as a subclass with a name), or register a codec for it "
            "with @airflow_xcom.codecs.codec"
        )
        raise UnsupportedTypeError(msg)
    if not registry.allows_class(name):
        msg = f"{name} may not be restored by its name: {_remedy(name)}, or register it with @airflow_xcom.codecs.codec"
        raise UnsupportedTypeError(msg)
    return f"{cls.__module__}:{cls.__qualname__}"


def _find(name: str) -> type:
    """The class of this name.

    Raises:
        ClassNotAllowedError: the policy forbids the name, or that of the class which stands there.
        MissingClassError: there is no such module, or nothing of this name in it.
        CorruptPayloadError: what stands there is no class.
    """
    module, _, qualname = name.partition(":")
    dotted = f"{module}.{qualname}"
    check_allowed(dotted)
    found = _walk(_import(module, dotted), qualname)
    if found is None:
        raise MissingClassError(dotted, f"the module {module!r} has no {qualname!r}")
    if not isinstance(found, type):
        msg = f"{dotted} is not a class"
        raise CorruptPayloadError(msg)
    check_allowed(_dotted(found))  # a module that is allowed may have imported a class that is not
    return found


def check_allowed(name: str) -> None:
    """Raises ClassNotAllowedError, with the line to add to the configuration, if the policy forbids a name."""
    if not registry.allows_class(name):
        raise ClassNotAllowedError(name, _remedy(name))


def _import(module: str, dotted: str) -> Any:
    """A module that is loaded (as Dag files are, under names that only Airflow knows) or can be imported."""
    if module in sys.modules:
        return sys.modules[module]
    if not all(part.isidentifier() for part in module.split(".")):
        raise MissingClassError(dotted, f"{module!r} is not loaded")
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise MissingClassError(dotted, f"{type(error).__name__}: {error}") from error


def _walk(module: Any, qualname: str) -> Any:
    """What a module holds under a name, through nested classes only; None if there is nothing."""
    found = module
    for part in qualname.split("."):
        if not part.isidentifier() or (found is not module and not isinstance(found, type)):
            return None
        found = getattr(found, "__dict__", {}).get(part)
    return found

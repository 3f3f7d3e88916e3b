"""Classes that a payload names, ``module:qualname``, as entry points do.

A class is stored and restored only if the registry allows its name, or it is one of the standard library's, and no
other name is ever imported. Nothing is called on the way: a name is looked up in the namespaces of a module and of its
classes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from airflow_xcom.codecs.codec import Codec, ColumnCodec
from airflow_xcom.codecs.errors import (
    ClassNotAllowedError,
    CorruptPayloadError,
    MissingClassError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.nodes import Columns
from airflow_xcom.codecs.quoting import class_name, described, quoted

CheckClass = Callable[[str], None]

_OF_SCIPY = (
    *("_binned_statistic", "_common", "_crosstab", "_hypotests", "_mannwhitneyu", "_morestats", "_mstats_basic"),
    *("_page_trend_test", "_relative_risk", "_resampling", "_stats_mstats_common", "_stats_py", "_survival"),
    "contingency",
)
# Modules whose enumerations, named tuples and other classes need nobody's leave, for they are results that people
# return: importing them does nothing, and no class is called.
_HARMLESS = frozenset(
    {
        *("calendar", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "http", "inspect"),
        *("ipaddress", "pathlib", "plistlib", "pstats", "re", "shutil", "signal", "socket", "ssl", "statistics"),
        *("tokenize", "urllib.parse", "urllib.robotparser", "uuid"),
        *("numpy.lib._arraysetops_impl", "numpy.linalg._linalg", "numpy.linalg.linalg"),
        *("psutil._common", "psutil._ntuples", "psutil._pslinux"),
        *(f"scipy.stats.{name}" for name in _OF_SCIPY),
        "scipy.integrate._quadrature",
    }
)
# What makes data of an object whose class cannot be stored.
_AS_DATA = {
    "class.attrs": "attrs.asdict(value)",
    "class.dataclass": "dataclasses.asdict(value)",
    "class.enum": "value.value",
    "class.msgspec": "msgspec.to_builtins(value)",
    "class.namedtuple": "value._asdict()",
    "class.pydantic": "value.model_dump()",
}


def by_name(  # noqa: PLR0913 - what tells one family of classes from another
    tag: str,
    family: str,
    check_class: CheckClass,
    *,
    matches: Callable[[type], bool],
    take: Callable[[Any], Any],
    restore: Callable[[Any, Any], Any],
    take_all: Callable[[type, list[Any]], Columns | None] | None = None,
    put_all: Callable[[type, Columns], list[Any] | None] | None = None,
) -> Codec[Any]:
    """Return a codec for every class of one family; its node is ``[name of the class, state]``.

    Args:
        tag: of the codec.
        family: what messages call such a class: ``"a data class"``.
        check_class: raises ClassNotAllowedError for the name of a class that may not be restored.
        matches: whether a class is of this family.
        take: returns the state of an object.
        restore: makes the object of a class from its state.
        take_all: returns the states of many objects of one class, each a dict; None where ``take`` must be asked.
        put_all: makes the objects of a class from their states; None where ``restore`` must be asked.
    """

    def encode(value: Any) -> list[Any]:
        return [_name_of(type(value), check_class, tag), take(value)]

    def decode(node: list[Any], _version: int) -> Any:
        name, state = node
        return restore(find(name), state)

    def find(name: str) -> type:
        cls = _find(name, check_class)
        if not matches(cls):
            raise CorruptPayloadError(f"{class_name(cls)} is no longer {family}")
        return cls

    def encode_all(cls: type, objects: list[Any]) -> Columns | None:
        name, states = _name_of(cls, check_class, tag), take_all(cls, objects) if take_all else None
        return Columns(states.columns, states.names, name) if states else None

    def decode_all(columns: Columns, _version: int) -> list[Any] | None:
        return put_all(find(columns.head), columns) if put_all and columns.head is not None else None

    return ColumnCodec(tag, (), encode, decode, matches=matches, take=encode_all, put=decode_all)


def is_found(cls: type) -> bool:
    """Return whether the name of a class leads back to this very class."""
    return _walk(sys.modules.get(cls.__module__), cls.__qualname__) is cls


def _name_of(cls: type, check_class: CheckClass, tag: str) -> str:
    """Return the name of a class that leads back to this very class and may be restored."""
    name = class_name(cls)
    if cls.__module__ == "__main__" or not is_found(cls):
        raise UnsupportedTypeError(
            f"{name} cannot be found by its name, and so not restored; define the class in a module, not in a function "
            "or script and not at run time (a generic model: as a subclass with a name), "
            f"return {_AS_DATA[tag]}, or register a codec for it with @airflow_xcom.codecs.codec"
        )
    try:
        _check(cls.__module__, name, check_class)
    except ClassNotAllowedError as error:
        raise UnsupportedTypeError(str(error)) from error
    return f"{cls.__module__}:{cls.__qualname__}"


def _find(name: str, check_class: CheckClass) -> type:
    """Return the class of this name."""
    module, _, qualname = name.partition(":")
    dotted = f"{module}.{qualname}"
    _check(module, dotted, check_class)
    cls = _walk(_import(module, dotted), qualname)
    if cls is None:
        raise MissingClassError(dotted, f"the module {quoted(module)} has no {quoted(qualname)}")
    if not isinstance(cls, type):
        raise CorruptPayloadError(f"{dotted} is not a class")
    if (cls.__module__, cls.__qualname__) != (module, qualname):  # what is allowed may have imported what is not
        _check(cls.__module__, class_name(cls), check_class)
    return cls


def _check(module: str, dotted: str, check_class: CheckClass) -> None:
    if module not in _HARMLESS:
        check_class(dotted)


def _import(module: str, dotted: str) -> Any:
    """Return a module that is loaded (as Dag files are, under names that only Airflow knows) or can be imported."""
    if module in sys.modules:
        return sys.modules[module]
    if not all(part.isidentifier() for part in module.split(".")):
        raise MissingClassError(dotted, f"{quoted(module)} is not loaded")
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise MissingClassError(dotted, described(error)) from error


def _walk(module: Any, qualname: str) -> Any:
    """Return what a module holds under a name, looked up through nested classes only, or None."""
    if "[" in qualname:  # where pydantic keeps Page[int], if a module asks for it
        return vars(module).get(qualname) if module else None
    holder = module
    for part in (qualname,) if qualname.isidentifier() else qualname.split("."):
        if not part.isidentifier() or (holder is not module and not isinstance(holder, type)):
            return None
        holder = getattr(holder, "__dict__", {}).get(part)
    return holder

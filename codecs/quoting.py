"""What a message quotes of a payload or of the error of another library: the beginning.

A payload says what a value is.  It may be large, or stand for much more than its bytes, so that neither ``repr`` nor
``str`` is a way to learn how it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

_QUOTED, _DESCRIBED = 200, 500  # characters of a value, and of another library's message, in a message
_DEEPEST, _WIDEST = 3, 5  # levels, and items of each, that are looked at
_LONGEST_INT = 512  # bits
_BRACKETS: dict[Any, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}", dict: "{}"}
_SHORT = frozenset({type(None), bool, int, float, complex})


def module_of(cls: type) -> str:
    """Return the name of the module of a class, which is no text for some that are made at run time, as ctypes does."""
    return cls.__module__ if isinstance(cls.__module__, str) else ""


def class_name(cls: type) -> str:
    """Return the full name of a class: ``"package.module.Class"``."""
    return f"{module_of(cls)}.{cls.__qualname__}".removeprefix(".")


def type_name(value: object) -> str:
    """Return the full name of the class of a value, of a built-in class without its module."""
    return class_name(type(value)).removeprefix("builtins.")


def cut(text: str, most: int = _QUOTED) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def quoted(value: object) -> str:
    """Return the beginning of a value as Python writes it, for a message."""
    return cut(_quoted(value, _DEEPEST))


def _quoted(value: Any, levels: int) -> str:
    cls = type(value)
    if cls in (str, bytes):
        return repr(value[:_QUOTED]) + ("..." if len(value) > _QUOTED else "")
    if cls is int and value.bit_length() > _LONGEST_INT:
        return f"<int of {value.bit_length()} bits>"
    if cls in _SHORT or _has_short_repr(cls):
        return repr(value)
    if cls not in _BRACKETS:
        return f"<{class_name(cls)}>"
    if not levels or not value:
        return f"<{cls.__name__} of {len(value)}>" if value else repr(value)
    items = value.items() if cls is dict else zip(value)
    parts = [": ".join(_quoted(part, levels - 1) for part in item) for item in islice(items, _WIDEST)]
    parts += ["..."] if len(value) > _WIDEST else []
    brackets = _BRACKETS[cls]
    return brackets[0] + ", ".join(parts) + (",)" if cls is tuple and len(parts) == 1 else brackets[1])


def _has_short_repr(cls: type) -> bool:
    """Return whether objects of a class are scalars of a library, such as a table may have as labels."""
    if cls.__module__ in {"datetime", "decimal", "uuid"} or module_of(cls).startswith("pandas._libs."):
        return True
    return cls.__module__ == "numpy" and not hasattr(cls, "__len__")


def described(error: BaseException) -> str:
    """Return the class and the message of an error, which may quote a payload, for a message."""
    try:
        text = _TEXTS.get(type(error).__str__, str)(error)
    except Exception:  # noqa: BLE001 - it is what others' code makes of it
        text = "an error that cannot be written as text"
    return f"{type(error).__name__}: {cut(text, _DESCRIBED)}"


# How an error without a text of its own becomes one; str() would quote all of each argument.
_TEXTS: dict[Any, Callable[[BaseException], str]] = {
    BaseException.__str__: lambda error: ", ".join(arg if type(arg) is str else quoted(arg) for arg in error.args),
    KeyError.__str__: lambda error: ", ".join(map(quoted, error.args)),
}

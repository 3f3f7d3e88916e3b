"""Taking the state of an object apart and putting it back, without running any code of its class."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dis import get_instructions
from functools import cache, cached_property
from inspect import getattr_static
from itertools import chain, repeat
from types import BuiltinFunctionType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedTypeError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Columns, as_dict
from airflow_xcom.codecs.quoting import class_name, quoted

_REGISTER = "register a codec for the class with @airflow_xcom.codecs.codec"
_OF_LIBRARIES = ("__", "_attrs_cached_hash")  # what a library that generates classes sets of their objects
_BY_NAME = frozenset({"__setattr__", "setattr", "__dict__", "vars"})  # how code sets an attribute by its name as text


def state_of(value: Any, names: tuple[str, ...], *, beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the attributes ``names`` of ``value``, in the order in which it holds them, and what it caches.

    A cached value is kept because it may be another one when it is computed again: an identifier, or a time.

    Args:
        value: an object of a class that keeps its state in ``__dict__`` or in slots.
        names: its fields.
        beside: further attributes, which the caller stores itself.

    Raises:
        UnsupportedTypeError: The class keeps state elsewhere: it derives from ``list``, say, or a field is a property.
        UnsupportedValueError: A field has no value, or an attribute that is not a field would be lost.
    """
    cls: Any = type(value)
    _, all_in_dict = _layout(cls, names, beside)
    own: Any = getattr(value, "__dict__", ())
    if all_in_dict and tuple(own) == names:  # as nearly always; what follows takes several times as long
        return {**own}
    whole = "" if _slots(cls) else "return vars(value), "
    refuse_other_attributes(value, (*names, *beside, "*"), remedy=f"make it a field, {whole}or {_REGISTER}")
    for name in names:
        if not holds(value, name):
            msg = f"the field {name!r} of the {cls.__qualname__} has no value; set it before you return the object"
            raise UnsupportedValueError(msg)
    cached = [name for name in (*own, *_slots(cls)) if name not in beside and holds(value, name)]
    ordered = dict.fromkeys((*cached, *names))
    return {name: object.__getattribute__(value, name) for name in ordered}


def restore(cls: Any, names: tuple[str, ...], state: dict[str, Any], *, beside: tuple[str, ...] = ()) -> Any:
    """Make an object of ``cls`` with exactly this state, without running ``__init__`` or a setter.

    Args:
        cls: keeps its state in ``__dict__`` or in slots.
        names: its fields.
        state: the attributes; the caller must not use it any more, as it may become the object's ``__dict__``.
        beside: further attributes, which the caller sets itself.

    Raises:
        CorruptPayloadError: ``state`` does not have exactly the attributes ``names``, or the class, since changed,
            keeps its state elsewhere.
    """
    try:
        wanted, all_in_dict = _layout(cls, names, beside)
    except UnsupportedTypeError as error:
        raise CorruptPayloadError(error.reason) from error
    if type(state) is not dict or state.keys() != wanted:
        check_names(cls, names, state, beside=beside)
    value: Any = object.__new__(cls)
    if all_in_dict:
        object.__setattr__(value, "__dict__", state)
        return value
    for name, item in state.items():
        object.__setattr__(value, name, item)
    return value


def take_all(cls: type, objects: Sequence[Any], names: tuple[str, ...]) -> Columns | None:
    """Return the fields of many objects of one class, as :func:`state_of` of one; None if that must look closer."""
    _, all_in_dict = _layout(cls, names)
    if not names or not (all_in_dict or _has_slots_alone(cls, names)):
        return None
    if not all_in_dict:
        try:
            return Columns([list(map(object.__getattribute__, objects, repeat(name))) for name in names], names)
        except AttributeError:
            return None
    states = [value.__dict__ for value in objects]
    held = list(chain.from_iterable(states))  # no dict has a name twice, so these are those of one dict after another
    if held != list(names) * len(states) or set(map(type, held)) != {str}:  # another class may have an equal name
        return None
    items = list(chain.from_iterable(map(dict.values, states)))
    return Columns([items[place :: len(names)] for place in range(len(names))], names)


def put_all(cls: Any, names: tuple[str, ...], columns: Columns) -> list[Any] | None:
    """Make objects of ``cls`` with exactly these fields, as :func:`restore` does one; None if that must look closer.

    Attributes are set one by one: an object that was given its ``__dict__`` takes more memory.
    """
    try:
        wanted, _ = _layout(cls, names)
    except UnsupportedTypeError:
        return None
    if columns.names is None or wanted != set(columns.names):
        return None
    objects = list(map(object.__new__, repeat(cls, len(columns))))
    for name, items in zip(columns.names, columns.columns, strict=True):
        deque(map(object.__setattr__, objects, repeat(name), items), maxlen=0)
    return objects


def check_names(cls: Any, names: tuple[str, ...], state: dict[str, Any], *, beside: tuple[str, ...] = ()) -> None:
    """Raise CorruptPayloadError unless ``state`` has the fields ``names``, and beyond them only what is cached."""
    others = as_dict(state).keys() - set(names)
    is_known = others.isdisjoint(beside) and all(_may_have(cls, name, "*") for name in others)
    if not is_known or not state.keys() >= set(names):
        raise CorruptPayloadError(
            f"{cls.__qualname__} has the fields {list(names)}, and the payload has {quoted(list(state))}; to read "
            "older payloads, register the class with @airflow_xcom.codecs.codec and give it a "
            "from_node(cls, node, version)"
        )


def refuse_other_attributes(value: Any, names: Collection[str], *, remedy: str = "return it beside the value") -> None:
    """Check that ``value`` has no attribute but ``names`` and what its class caches.

    Args:
        value: an object.
        names: what it may have in its ``__dict__``; ``"*"`` stands for the names that the code of its class sets, and
            ``"_"`` for those of them that begin so.
        remedy: what else people can do.

    Raises:
        UnsupportedValueError: ``value`` has another attribute, which somebody set.
    """
    cls: Any = type(value)
    for name in getattr(value, "__dict__", ()):
        if not _may_have(cls, name, names):
            msg = f"the {cls.__qualname__} has the attribute {name!r}, which is not a field and would be lost; {remedy}"
            error = UnsupportedValueError(msg)
            error.trail.append(value)
            raise error


def _may_have(cls: type, name: Any, names: Collection[str]) -> bool:
    if name in names or type(name) is not str:
        return name in names
    is_asked_for = ("*" in names and not name.startswith(_OF_LIBRARIES)) or ("_" in names and name.startswith("_"))
    return (is_asked_for and _is_set_by(cls, name)) or _is_cache(cls, name)


@cache
def _is_set_by(cls: type, name: str) -> bool:
    """Return whether a class declares an attribute, or its own code sets it: libraries rename theirs in any release."""
    return any(
        name in vars(base).get("__annotations__", ())
        or any(_sets(code, name) for held in vars(base).values() for code in _code_of(held))
        for base in cls.__mro__[:-1]
    )


def _code_of(held: Any) -> Iterator[CodeType]:
    """Yield the code of what a class holds, and of what that wraps."""
    parts: tuple[Any, ...] = (held,)
    if isinstance(held, property):
        parts = held.fget, held.fset
    elif isinstance(held, classmethod | staticmethod):
        parts = (held.__func__,)
    elif isinstance(held, cached_property):
        parts = (held.func,)
    for part in parts:
        while isinstance(part, FunctionType):
            yield part.__code__
            part = vars(part).get("__wrapped__")  # noqa: PLW2901 - decorators stand one on the other


def _sets(code: CodeType, name: str) -> bool:
    """Return whether code sets an attribute, itself or by a text such as ``object.__setattr__`` takes."""
    return (
        (name in code.co_consts and not _BY_NAME.isdisjoint(code.co_names))
        or (
            name in code.co_names
            and any((step.opname, step.argval) == ("STORE_ATTR", name) for step in get_instructions(code))
        )
        or any(_sets(part, name) for part in code.co_consts if isinstance(part, CodeType))
    )


@cache
def _is_cache(cls: type, name: str) -> bool:
    """Return whether a class declares a slot or a descriptor that keeps what it computes in the object."""
    held = getattr_static(cls, name, None)
    if isinstance(held, MemberDescriptorType):
        return True
    if held is None or hasattr(type(held), "__set__"):  # so have __class__ and __dict__
        return False
    is_computed = hasattr(type(held), "__get__") and not isinstance(held, FunctionType | classmethod | staticmethod)
    return is_computed or name.startswith("__")


def attributes_of(value: Any) -> dict[Any, Any]:
    """Return the ``__dict__`` of an object of any class; nothing if the class has another one, as proxies may."""
    try:
        held = value.__dict__
    except Exception:  # noqa: BLE001 - it is the class's own code
        return {}
    return held if type(held) is dict else {}


def holds(value: Any, name: str) -> bool:
    """Tell whether an attribute has a value, without calling ``__getattr__``."""
    try:
        object.__getattribute__(value, name)
    except AttributeError:
        return False
    return True


@cache
def _slots(cls: type) -> tuple[str, ...]:
    return tuple(
        name for base in cls.__mro__ for name, held in vars(base).items() if isinstance(held, MemberDescriptorType)
    )


@cache
def _has_slots_alone(cls: type, names: tuple[str, ...]) -> bool:
    """Return whether the fields are the slots of a class, and there is nothing else that an object may hold."""
    return cls.__dictoffset__ == 0 and set(_slots(cls)) == set(names)


@cache
def _layout(cls: type, names: tuple[str, ...], beside: tuple[str, ...] = ()) -> tuple[frozenset[str], bool]:
    """Return the fields, and whether a ``__dict__`` is all of the state but ``beside``, and can be set as a whole."""
    _check_layout(cls, names)
    own = [vars(base)["__dict__"] for base in cls.__mro__ if "__dict__" in vars(base)]
    is_usual = cls.__dictoffset__ != 0 and all(isinstance(held, GetSetDescriptorType) for held in own)
    return frozenset(names), is_usual and set(_slots(cls)) <= set(beside)


def _check_layout(cls: type, names: tuple[str, ...]) -> None:
    for base in cls.__mro__[:-1]:
        if isinstance(vars(base).get("__new__"), BuiltinFunctionType):  # how classes written in C are made
            raise UnsupportedTypeError(
                f"{class_name(cls)} derives from {base.__qualname__}, whose own content is no field "
                f"and would be lost; {_REGISTER}"
            )
    for name in names:
        held = getattr_static(cls, name, None)
        if hasattr(type(held), "__set__") and not isinstance(held, MemberDescriptorType):
            msg = f"the field {name!r} of {cls.__qualname__} is a property, whose value lies elsewhere; {_REGISTER}"
            raise UnsupportedTypeError(msg)

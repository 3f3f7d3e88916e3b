"""Data classes, attrs classes, named tuples and enumerations, under the names of their classes.

Objects come back without ``__init__``, ``__post_init__``, converters or validators being run: what a field holds is
what comes back.  Members of an enumeration come back as the very members.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections import namedtuple
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from importlib import import_module
from inspect import Parameter, Signature, getattr_static
from itertools import chain
from keyword import iskeyword
from operator import itemgetter
from typing import Any, Generic, get_args

from airflow_xcom.codecs.builtin.classes.names import CheckClass, by_name, is_found
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Columns, as_dict, as_list, as_text
from airflow_xcom.codecs.object_state import (
    check_names,
    holds,
    put_all,
    refuse_other_attributes,
    restore,
    state_of,
    take_all,
)
from airflow_xcom.codecs.quoting import module_of, quoted

_CACHED_HASH = "_attrs_cached_hash"  # of attrs' cache_hash=True; a hash of text is of no use to another process


_MADE_BY = "__orig_class__"  # the attribute of an object that Box[int](5) made
_LEFT_OUT = "__left_out__"  # in a node: the fields that the object leaves to its class, as field(init=False, default=1)
_COMPARED: dict[type, Callable[[Any], Any]] = {int: int, str: str, bytes: bytes, float: repr}  # 0.0 is not -0.0
_BUILTIN = (bool, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple, type(None))
_PARAMETERS = {kind.__name__: kind for kind in (*_BUILTIN, dt.date, dt.datetime, dt.time, dt.timedelta)}

# What SciPy itself sets of a result beside its fields.
_OF_SCIPY = (
    *("correlation", "significance_level", "_alternative", "_axis", "_n", "_x", "_y"),
    *("_dtype", "_estimate", "_standard_error", "_statistic_np", "_xp"),  # of a t-test
)
_NAMESPACE = "_xp"  # of a t-test: the module of functions for its arrays, which a node names "numpy"
# What a class of flags may define to make a combination, which is code that a payload must not run.
_HOOKS = ("_missing_", "_iter_member_by_value_", "_iter_member_by_def_")


def _declares(cls: type, mark: str) -> bool:
    """Return whether a class bears the mark of a library that generates classes.

    Airflow's own classes are left to its own serializer, which reads what earlier releases of Airflow wrote.
    """
    return module_of(cls).partition(".")[0] != "airflow" and any(mark in vars(base) for base in cls.__mro__)


@cache
def _dataclass_fields(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _take_dataclass(value: Any) -> dict[str, Any]:
    cls: Any = type(value)
    state = state_of(value, _dataclass_fields(cls), beside=(_MADE_BY,))
    if (alias := getattr(value, "__dict__", {}).get(_MADE_BY)) is not None:
        names = [getattr(part, "__name__", None) for part in get_args(alias)]
        if not all(map(_PARAMETERS.__contains__, names)) or _with_parameters(cls, names) != alias:
            msg = f"the parameters of {alias} are not stored; return dataclasses.replace(value), which has none"
            raise UnsupportedValueError(msg)
        state[_MADE_BY] = names
        state = {name: state[name] for name in dict.fromkeys((*vars(value), *state))}
    if left_out := _left_out(value):
        state[_LEFT_OUT] = left_out
    return state


def _left_out(value: Any) -> list[str]:
    """Return the fields that an object does not hold, so that the defaults in its class are seen."""
    cls: Any = type(value)
    own = getattr(value, "__dict__", _dataclass_fields(cls))  # one with slots alone holds all
    return [name for name in _dataclass_fields(cls) if name not in own and name in _defaults(cls)]


@cache
def _defaults(cls: Any) -> frozenset[str]:
    """Return the fields of which the class itself has a value."""
    held = {name: getattr_static(cls, name, property()) for name in _dataclass_fields(cls)}
    return frozenset(name for name, item in held.items() if not hasattr(type(item), "__get__"))


def _is_same(default: Any, stored: Any) -> bool:
    compared = _COMPARED.get(type(default))
    is_alike = compared is not None and type(stored) is type(default) and compared(stored) == compared(default)
    return default is stored or is_alike


def _restore_dataclass(cls: Any, state: dict[str, Any]) -> Any:
    order = list(as_dict(state))
    names = state.pop(_MADE_BY, None)
    left_out = list(map(as_text, as_list(state.pop(_LEFT_OUT, []))))
    if not set(left_out) <= set(_dataclass_fields(cls)):
        raise CorruptPayloadError(f"{cls.__qualname__} has no fields {quoted(left_out)}")
    value = restore(cls, _dataclass_fields(cls), state)
    for name in left_out:  # unless the class has another default now
        if name in _defaults(cls) and _is_same(getattr_static(cls, name), state[name]):
            vars(value).pop(name, None)
    if names is not None:
        object.__setattr__(value, _MADE_BY, _with_parameters(cls, as_list(names)))
        for name in order[order.index(_MADE_BY) + 1 :]:  # what was cached after it
            if name in vars(value):
                vars(value)[name] = vars(value).pop(name)
    return value


def _with_parameters(cls: Any, names: list[Any]) -> Any:
    """Return a generic class with its parameters, as ``Box[int]``; no code of the class is run."""
    held = [base for base in cls.__mro__ if "__class_getitem__" in vars(base)]
    if held != [Generic]:
        raise ValueError(f"{cls.__qualname__} has no parameters")
    return cls[tuple(_PARAMETERS[as_text(name)] for name in names)]


def _many(fields: Callable[[Any], tuple[str, ...]]) -> tuple[Any, Any]:
    """Return what takes many objects of one class apart, and makes them again, by the fields of the class."""
    return (
        lambda cls, objects: take_all(cls, objects, fields(cls)),
        lambda cls, columns: put_all(cls, fields(cls), columns),
    )


def _attrs_fields(cls: Any, *, hashed: bool) -> tuple[str, ...]:
    names = (field.name for field in cls.__attrs_attrs__)
    return (*names, _CACHED_HASH) if hashed else tuple(names)


def _take_attrs(value: Any) -> dict[str, Any]:
    hashed = holds(value, _CACHED_HASH)
    state = state_of(value, _attrs_fields(type(value), hashed=hashed))
    return {**state, _CACHED_HASH: None} if hashed else state


def _restore_attrs(cls: type, state: dict[str, Any]) -> Any:
    hashed = _CACHED_HASH in as_dict(state) and state[_CACHED_HASH] is None
    return restore(cls, _attrs_fields(cls, hashed=hashed), state)


def _is_namedtuple(cls: Any) -> bool:
    return tuple in cls.__mro__ and any(isinstance(vars(base).get("_fields"), tuple) for base in cls.__mro__)


def _extra_fields(cls: Any) -> tuple[str, ...]:
    """Return the attributes that a class declares beside its fields, as those of SciPy's results do."""
    extra = getattr(cls, "_extra_fields", ())
    of_scipy = _OF_SCIPY if _is_of_scipy(cls) else ()
    return (*extra, *of_scipy) if isinstance(extra, tuple) else of_scipy


def _is_of_scipy(cls: type) -> bool:
    return module_of(cls).startswith("scipy.stats.")


@cache
def _namespace_of_numpy() -> Any:
    """Return the module of functions that SciPy takes for arrays of NumPy; None from a release that keeps none."""
    return vars(import_module("scipy.stats").ttest_1samp([0.0, 1.0], 0.0)).get(_NAMESPACE)


def _take_namedtuple(value: Any) -> dict[str, Any]:
    items, names = tuple(tuple.__iter__(value)), type(value)._fields
    remedy = "return dict(zip(value._fields, value)), with this attribute added"
    refuse_other_attributes(value, (*_extra_fields(type(value)), "*"), remedy=remedy)
    if len(items) != len(names):
        msg = f"the {type(value).__qualname__} has {len(items)} items for its {len(names)} fields; return tuple(value)"
        raise UnsupportedValueError(msg)
    beside = dict(getattr(value, "__dict__", {}))
    if _NAMESPACE in beside and _is_of_scipy(type(value)) and beside[_NAMESPACE] is _namespace_of_numpy():
        beside[_NAMESPACE] = "numpy"
    return {**dict(zip(names, items, strict=True)), **beside}


def _restore_namedtuple(cls: Any, state: dict[str, Any]) -> Any:
    extra = _extra_fields(cls)
    check_names(cls, cls._fields, {name: item for name, item in as_dict(state).items() if name not in extra})
    value = tuple.__new__(cls, [state.pop(name) for name in cls._fields])
    if _is_of_scipy(cls) and state.pop(_NAMESPACE, None) == "numpy" and (namespace := _namespace_of_numpy()):
        state[_NAMESPACE] = namespace
    if state:
        vars(value).update(state)
    return value


def _take_namedtuples(cls: Any, objects: list[Any]) -> Columns | None:
    names = cls._fields
    if cls.__dictoffset__ or not names or set(map(tuple.__len__, objects)) != {len(names)}:
        return None
    items = list(chain.from_iterable(map(tuple.__iter__, objects)))
    return Columns([items[place :: len(names)] for place in range(len(names))], names)


def _put_namedtuples(cls: Any, columns: Columns) -> list[Any] | None:
    if columns.names is None or tuple(columns.names) != cls._fields:
        return None
    return list(map(partial(tuple.__new__, cls), zip(*columns.columns, strict=True)))


_DEFAULTS = frozenset({bool, bytes, float, int, str, type(None)})  # the types of those that a rebuilt class may have
_GENERATED = {*vars(namedtuple("_GENERATED", "")), "__orig_bases__", "__slotnames__"}  # noqa: PYI024 - and what copy() notes


def _is_made_at_run_time(cls: Any) -> bool:
    """Return whether a class is a named tuple that no name leads to, and has nothing but its fields."""
    if cls.__bases__ != (tuple,) or not _is_namedtuple(cls) or is_found(cls):
        return False
    return all(name in _GENERATED or name in cls._fields or name.startswith("__annotat") for name in vars(cls))


def _take_rebuilt(value: Any) -> list[Any]:
    cls, items = type(value), list(tuple.__iter__(value))
    if len(items) != len(cls._fields) or _rebuilt(cls.__name__, cls._fields, ())._fields != cls._fields:
        msg = f"the named tuple {cls.__name__} cannot be made again from its fields {cls._fields}; return tuple(value)"
        raise UnsupportedValueError(msg)
    defaults = getattr(cls, "_field_defaults", {})
    are_last = tuple(defaults) == cls._fields[len(items) - len(defaults) :]
    if not are_last or not set(map(type, defaults.values())) <= _DEFAULTS:
        raise UnsupportedValueError(
            f"a default of the named tuple {cls.__name__} is neither None, a number, a text nor bytes; define its "
            "class in a module, or return value._asdict()"
        )
    return [cls.__name__, list(cls._fields), items, *([list(defaults.values())] if defaults else [])]


def _restore_rebuilt(node: list[Any], _version: int) -> Any:
    name, fields, items, *more = as_list(node)
    defaults = as_list(*more) if more else []
    if not set(map(type, defaults)) <= _DEFAULTS or len(defaults) > len(as_list(fields)):
        raise CorruptPayloadError(f"{quoted(defaults)} are no defaults of {quoted(fields)}")
    kept = tuple((type(item), repr(item) if type(item) is float else item) for item in defaults)
    cls = _rebuilt(as_text(name), tuple(map(as_text, fields)), kept)
    if list(cls._fields) != fields or len(as_list(items)) != len(fields):
        raise CorruptPayloadError(f"{len(items)} items for the fields {fields}")
    return tuple.__new__(cls, items)


@lru_cache(maxsize=256)
def _rebuilt(name: str, fields: tuple[str, ...], kept: tuple[tuple[type, Any], ...]) -> Any:
    """Return a class like one that was made at run time; those of one name, the same fields and defaults are one class.

    ``collections.namedtuple`` would compile the names, which are a payload's.

    Args:
        name: of the class.
        fields: their names.
        kept: the type of each default of the last fields, and the default, a float as text: 0.0 equals -0.0 and 0.
    """
    if not name.isidentifier() or iskeyword(name):
        raise ValueError(f"{quoted(name)} is not a name of a class")
    names = tuple(_field_names(fields))
    defaults = [float(item) if kind is float else item for kind, item in kept]
    given = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    kind, absent = Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty
    signature = Signature([Parameter(field, kind, default=given.get(field, absent)) for field in names])

    def new(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple.__new__(cls, bound.arguments.values())

    held: dict[str, Any] = {
        "__slots__": (),
        "__module__": __name__,
        "__match_args__": names,
        "_fields": names,
        "_field_defaults": given,
        "__new__": new,
        "__repr__": lambda self: f"{name}({', '.join(f'{field}={item!r}' for field, item in self._asdict().items())})",
        "__getnewargs__": lambda self: tuple(self),  # noqa: PLW0108 - a class would not be bound
        "_make": classmethod(lambda cls, items: cls(*items)),
        "_asdict": lambda self: dict(zip(names, self, strict=True)),
        "_replace": lambda self, /, **changes: type(self)(**{**self._asdict(), **changes}),
    }
    return type(name, (tuple,), held | {field: property(itemgetter(at)) for at, field in enumerate(names)})


def _field_names(fields: tuple[str, ...]) -> Iterator[str]:
    """Yield each name, or ``_1`` and the like in place of one that a named tuple cannot have."""
    seen: set[str] = set()
    for at, field in enumerate(fields):
        usable = field.isidentifier() and not iskeyword(field) and not field.startswith("_") and field not in seen
        seen.add(field)
        yield field if usable else f"_{at}"


@cache
def _has_standard_combinations(cls: Any) -> bool:
    """Return whether the standard library makes the combinations of a class of flags, and no code of the class."""
    if enum.Flag not in cls.__mro__ or cls._member_type_ not in (object, int):
        return False
    return all(getattr_static(cls, name) is getattr_static(enum.Flag, name) for name in _HOOKS)


def _is_combination(value: Any, again: Any) -> bool:
    """Tell whether the number gives the value again; early 3.11 makes a new object each time if it has unnamed bits."""
    return again is value or (type(again) is type(value) and again.__dict__ == value.__dict__)


def _take_enum(value: Any) -> str | int:
    """Return the name of a member, or the number of a combination of flags, which has no name."""
    cls: Any = type(value)
    name = value._name_
    if isinstance(name, str) and cls.__members__.get(name) is value:
        return name
    number = value._value_
    if type(number) is int and isinstance(value, enum.Flag):
        if not _has_standard_combinations(cls):
            msg = f"{cls.__qualname__} makes its combinations itself (with _missing_); return value.value"
            raise UnsupportedValueError(msg)
        if _is_combination(value, enum.Enum.__new__(cls, number)):
            return number
    raise UnsupportedValueError(f"{value!r} is not a member of {cls.__qualname__}; return value.value")


def _restore_enum(cls: Any, state: str | int) -> Any:
    member: Any = None
    if type(state) is str:
        member = cls.__members__.get(state)
    elif type(state) is int and _has_standard_combinations(cls):
        member = enum.Enum.__new__(cls, state)
        if member._value_ != state:
            member = None
    if member is None:
        msg = f"{cls.__qualname__} has no member {quoted(state)}; keep the members that stored values use"
        raise CorruptPayloadError(msg)
    return member


def codecs(check_class: CheckClass) -> tuple[Codec[Any], ...]:
    """Return the codecs of a registry that allows the classes which `check_class` lets pass."""
    tuples, attrs, data = (
        (_take_namedtuple, _restore_namedtuple, _take_namedtuples, _put_namedtuples),
        (_take_attrs, _restore_attrs, *_many(partial(_attrs_fields, hashed=False))),
        (_take_dataclass, _restore_dataclass, *_many(_dataclass_fields)),
    )
    families: tuple[tuple[str, str, Any, tuple[Any, ...]], ...] = (
        ("class.enum", "an enumeration", lambda cls: enum.Enum in cls.__mro__, (_take_enum, _restore_enum, None, None)),
        ("class.namedtuple", "a named tuple", _is_namedtuple, tuples),
        ("class.attrs", "an attrs class", partial(_declares, mark="__attrs_attrs__"), attrs),
        ("class.dataclass", "a data class", partial(_declares, mark="__dataclass_fields__"), data),
    )
    rebuilt = Codec("class.rebuilt", (), _take_rebuilt, _restore_rebuilt, matches=_is_made_at_run_time)
    return rebuilt, *(
        by_name(tag, family, check_class, matches=matches, take=take, restore=restore, take_all=some, put_all=put)
        for tag, family, matches, (take, restore, some, put) in families
    )

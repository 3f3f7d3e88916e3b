"""Whether two values are identical: stricter than ``==``, and aware of NaN.

A table says of each class what its values are made of: a function takes a value apart, one level, into named parts.
``difference`` compares two values part by part; ``describe`` writes the same parts as JSON, so that values can be
compared that no process can hold together, those of two releases of a library for example.

What ``==`` accepts and this does not: 1, True and 1.0; 0.0 and -0.0; two bit patterns of NaN; None, NaN, NA and NaT;
another order of keys; Decimal("1.0") and Decimal("1.00"); another fold, time zone object or unit; dtypes with another
byte order, storage or missing value; another freq, name or unused level of an index; other attrs and flags.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import struct
import types
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from airflow_xcom.codecs.object_state import holds
from airflow_xcom.codecs.quoting import module_of

Parts = Iterable[tuple[str, Any]]
TakeApart = Callable[[Any], Parts]

_SHOWN = 200  # characters of a value in a message
_LONG = 256  # bytes from which on a digest stands for them
_BY_VALUE = frozenset({type(None), bool, int, str, bytes, bytearray})
_SLOT = types.MemberDescriptorType
_OF_THE_PROCESS = {"__weakref__", "_attrs_cached_hash"}
_BY_IDENTITY = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


class Leaf:
    """A part that is compared as a whole, such as the bits of an array."""

    def difference(self, other: Any, path: str) -> str | None:
        """Return where `other` differs, or None."""
        raise NotImplementedError

    def describe(self) -> Any:
        """Return the content as JSON."""
        raise NotImplementedError


class Kept(Leaf):
    """A property that a value may gain on its way, but not lose: being writable, or contiguous."""

    def __init__(self, name: str, *, holds: bool) -> None:
        self.name = name
        self.holds = holds

    def difference(self, other: Kept, path: str) -> str | None:
        """Return a text if the property is lost."""
        return f"{path}: no longer {self.name}" if self.holds and not other.holds else None

    def describe(self) -> Any:
        """Return the property as JSON."""
        return {self.name: self.holds}


def assert_identical(expected: Any, actual: Any) -> None:
    """Raise an error that says where two values first differ.

    Raises:
        AssertionError: they are not identical.
    """
    found = difference(expected, actual)
    if found is not None:
        raise AssertionError(found)


def difference(expected: Any, actual: Any, path: str = "value") -> str | None:
    """Return the first difference between two values, as ``"path: expected != actual"``; None if they are identical."""
    kind = type(expected)
    if kind is not type(actual):
        return f"{path}: {_with_type(expected)} != {_with_type(actual)}"
    if kind in _BY_VALUE:
        return None if expected == actual else _differ(expected, actual, path)
    if kind is float:
        return _float_difference(expected, actual, path)
    return None if expected is actual else _object_difference(expected, actual, path)


def _object_difference(expected: Any, actual: Any, path: str) -> str | None:
    if isinstance(expected, Leaf):
        return expected.difference(actual, path)
    if isinstance(expected, _BY_IDENTITY):
        return _differ(expected, actual, path)
    take_apart = _parts_of(type(expected))
    if take_apart is None:
        return None if _is_equal(expected, actual) else _differ(expected, actual, path)
    return _part_difference(take_apart(expected), take_apart(actual), path)


def _part_difference(expected: Parts, actual: Parts, path: str) -> str | None:
    for (name, left), (_, right) in zip(expected, actual, strict=False):  # their number is a part itself
        if found := difference(left, right, path + name):
            return found
    return None


def _float_difference(expected: float, actual: float, path: str) -> str | None:
    left, right = _bits(expected), _bits(actual)
    return None if left == right else f"{path}: {expected!r} != {actual!r} (bits {left} != {right})"


def _bits(number: float) -> str:
    return struct.pack(">d", number).hex()


def _differ(expected: Any, actual: Any, path: str) -> str:
    return f"{path}: {shorten(expected)} != {shorten(actual)}"


def _with_type(value: Any) -> str:
    return "None" if value is None else f"{name_of(type(value))} {shorten(value)}"


def _is_equal(expected: Any, actual: Any) -> bool:
    try:
        return bool(expected == actual)
    except Exception as error:
        advice = f"say what it is made of, with register_parts({name_of(type(expected))!r}, ...)"
        raise TypeError(f"a {name_of(type(expected))} cannot be compared ({error}); {advice}") from error


def shorten(value: Any) -> str:
    """Return the repr of a value, cut, or the name of its class if it has none."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - NumPy and pandas fail for some times
        text = f"<{name_of(type(value))}>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def name_of(kind: type) -> str:
    """Return the name of a class in its library, whichever module a release keeps it in: ``"pandas.DataFrame"``."""
    return f"{module_of(kind).partition('.')[0]}.{kind.__qualname__}".removeprefix(".")


# -- the same parts as JSON ----------------------------------------------------------------------------------


def describe(value: Any) -> Any:
    """Return what a value is made of, as JSON; equal for two values exactly if they are identical.

    Raises:
        TypeError: nothing is known of its class but ``==``.
    """
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, Leaf):
        return value.describe()
    if type(value) in _BY_VALUE or type(value) is float:
        return [name_of(type(value)), _as_text(value)]
    if isinstance(value, _BY_IDENTITY):
        return ["object", getattr(value, "__module__", None), getattr(value, "__qualname__", value.__name__)]
    return [name_of(type(value)), *(describe(part) for _, part in _known_parts(value))]


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return _bits(value)
    return hex(value) if isinstance(value, int) else digest(value)


def _known_parts(value: Any) -> Parts:
    take_apart = _parts_of(type(value))
    if take_apart is None:
        name = name_of(type(value))
        raise TypeError(f"nothing says what a {name} is made of; use register_parts({name!r}, ...)")
    return take_apart(value)


def digest(data: bytes) -> str:
    """Return bytes in hexadecimal, or their SHA-256 if they are many."""
    return data.hex() if len(data) <= _LONG else f"sha256:{hashlib.sha256(data).hexdigest()} of {len(data)}"


# -- what values are made of ---------------------------------------------------------------------------------


def register_parts(kind: type | str, take_apart: TakeApart | Iterable[str]) -> None:
    """Say what the values of a class are made of.

    Args:
        kind: the class, or its library and name, such as ``"yarl.URL"``; its subclasses are compared alike.
        take_apart: the names of attributes, or a function that gives pairs of a name and a part.
    """
    PARTS[kind if isinstance(kind, str) else name_of(kind)] = (
        take_apart if callable(take_apart) else attributes(*take_apart)
    )


def attributes(*names: str) -> TakeApart:
    """Return what takes a value apart into its attributes of these names."""
    return lambda value: [(f".{name}", getattr(value, name)) for name in names]


def _parts_of(kind: type) -> TakeApart | None:
    """Return what takes values of a class apart; None if they are compared with ``==``."""
    import_module("airflow_xcom.codecs.testing.library_parts")
    for base in kind.__mro__[:-1]:
        if take_apart := PARTS.get(name_of(base)):
            is_ours = base is not kind and base.__module__ in ("builtins", "collections")
            return _with_state(take_apart) if is_ours else take_apart
        if dataclasses.is_dataclass(base):
            return _with_state(attributes(*(field.name for field in dataclasses.fields(base))))
        if "__attrs_attrs__" in base.__dict__:
            return _attrs_parts
    equal: Any = kind.__eq__
    return _reduced if equal is object.__eq__ else None


def _with_state(take_apart: TakeApart) -> TakeApart:
    return lambda value: [*take_apart(value), (".__dict__", getattr(value, "__dict__", None))]


def _attrs_parts(value: Any) -> Parts:
    """Take an attrs object apart into all that it holds, what it cached too, but for a hash of this process."""
    slots = {name for base in type(value).__mro__ for name, item in vars(base).items() if isinstance(item, _SLOT)}
    held = {name: getattr(value, name) for name in slots if holds(value, name)} | getattr(value, "__dict__", {})
    return [(".__dict__", {name: held[name] for name in sorted(held) if name not in _OF_THE_PROCESS})]


def _reduced(value: Any) -> Parts:
    """Take an object apart as copy.copy() would; one that cannot be copied is identical to itself only."""
    try:
        made = value.__reduce_ex__(4)
    except TypeError:
        return [("", id(value))]
    if isinstance(made, str):
        return [("", made)]
    maker, arguments, *rest = made
    state, items, entries = (*rest, None, None, None)[:3]
    held = [None if one is None else list(one) for one in (items, entries)]
    return [("", maker), (".__reduce__()", arguments), (".__dict__", state), ("[:]", held)]


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield ".__len__()", len(value)
    for position, item in enumerate(value):
        yield f"[{position}]", item


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    yield ".keys()", list(value)
    for key, item in value.items():
        yield f"[{shorten(key)}]", item


def _members(value: Any) -> Parts:
    return [(".__len__()", len(value)), *(("{…}", item) for item in sorted(value, key=_order))]


def _order(item: Any) -> str:
    try:
        return json.dumps(describe(item), ensure_ascii=False)  # escapes of surrogates are those of one character
    except TypeError:
        return f"{name_of(type(item))} {shorten(item)}"


def _text(value: Any) -> Parts:
    return [("", str(value))]


def _zone(value: dt.tzinfo) -> Iterator[tuple[str, Any]]:
    """Take a zone apart into names, and what it does at some moments."""
    for name in ("key", "_filename", "_name", "_s"):
        yield f".{name}", getattr(value, name, None)
    for year, month in (1970, 1), (1970, 7), (2024, 1), (2024, 7):
        at = dt.datetime(year, month, 1, 12)  # noqa: DTZ001 - what a zone is asked with
        facts = [value.utcoffset(at), value.dst(at), value.tzname(at)]
        yield f".utcoffset({year}-{month})", facts


_CLOCK = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_STEPS = ("start", "stop", "step")
_DURATION = ("years", "months", "weeks", "remaining_days", "hours", "minutes", "remaining_seconds", "microseconds")
_MODEL = ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")

PARTS: dict[str, TakeApart] = {
    "builtins.complex": attributes("real", "imag"),
    "builtins.slice": attributes(*_STEPS),
    "builtins.range": attributes(*_STEPS),
    "builtins.list": _items,
    "builtins.tuple": _items,
    "builtins.dict": _entries,
    "builtins.mappingproxy": _entries,
    "builtins.set": _members,
    "builtins.frozenset": _members,
    "builtins.memoryview": lambda view: [
        *attributes("format", "shape")(view),
        ("", view.tobytes()),
        ("", Kept("writable", holds=not view.readonly)),
    ],
    "builtins.BaseException": attributes("args", "__dict__"),
    "array.array": lambda array: [(".typecode", array.typecode), ("", array.tobytes())],
    "collections.deque": lambda items: [(".maxlen", items.maxlen), *_items(items)],
    "collections.defaultdict": lambda items: [(".default_factory", items.default_factory), *_entries(items)],
    "datetime.date": attributes("year", "month", "day"),
    "datetime.datetime": attributes("year", "month", "day", *_CLOCK),
    "datetime.time": attributes(*_CLOCK),
    "datetime.timedelta": attributes("days", "seconds", "microseconds"),
    "datetime.timezone": lambda zone: [("", repr(zone))],  # utc is not the one that has its name and offset
    "datetime.tzinfo": _zone,
    "decimal.Decimal": lambda number: zip((".sign", ".digits", ".exponent"), number.as_tuple(), strict=True),
    "enum.Enum": attributes("_name_", "_value_"),
    "fractions.Fraction": attributes("numerator", "denominator"),
    "ipaddress._IPAddressBase": _text,
    "pathlib.PurePath": _text,
    "re.Pattern": attributes("pattern", "flags"),
    "types.GenericAlias": attributes("__origin__", "__args__"),
    "types.SimpleNamespace": attributes("__dict__"),
    "typing._GenericAlias": attributes("__origin__", "__args__"),  # Gen[int], of a class that derives from Generic
    "uuid.UUID": attributes("int", "is_safe"),
    "zoneinfo.ZoneInfo": attributes("key"),
    "dateutil.weekday": attributes("weekday", "n"),
    "pendulum.Duration": attributes("invert", *_DURATION),
    "pendulum.Interval": attributes("start", "end", "_absolute", "_invert"),
    "pydantic.BaseModel": attributes(*_MODEL),
    "pytz._FixedOffset": attributes("_minutes"),
    "pytz.BaseTzInfo": lambda zone: [
        (f".{name}", getattr(zone, name, None)) for name in ("zone", "_utcoffset", "_tzname", "_dst")
    ],
}

"""Containers of the standard library that neither JSON nor MessagePack has.

A set comes back equal. The order in which it iterates is not part of its value.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_xcom.codecs.builtin.kinds import attributes_of
from airflow_xcom.codecs.codec import Codec, ColumnCodec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import Buffer, Columns, as_dict, as_list, with_cells

if TYPE_CHECKING:
    from airflow_xcom.codecs.nodes import PackCells


def _decode_tuple(node: list[Any], _version: int) -> tuple[Any, ...]:
    return tuple(as_list(node))


def _take_tuples(_cls: type, objects: list[tuple[Any, ...]]) -> Columns | None:
    """Return the items place by place, of short tuples that are equally long."""
    (length, *others) = set(map(len, objects))
    if others or not 0 < length < _LONG:
        return None
    items = list(chain.from_iterable(objects))
    return Columns([items[place::length] for place in range(length)])


def _put_tuples(columns: Columns, _version: int) -> list[tuple[Any, ...]] | None:
    return list(zip(*columns.columns, strict=True)) if columns.names is None else None


def _encode_set(value: set[Any] | frozenset[Any], pack: PackCells) -> list[Any] | Buffer:
    """Return the elements in a fixed order, so that equal sets have equal payloads."""
    if len(value) >= _MANY and type(next(iter(value))) is int and (numbers := _sorted_int64s(value)) is not None:
        return numbers
    classes = set(map(type, value))
    if len(classes) == 1 and classes <= _HAVE_ONE_ORDER:
        return sorted(value)
    return sorted(value, key=partial(_sort_key, pack)) if len(value) > 1 else list(value)


def _sorted_int64s(value: set[int] | frozenset[int]) -> Buffer | None:
    """Return the ints in ascending order as memory, far faster than one by one; None if one is no int of 64 bits.

    The class of each is looked at while it is in the processor's cache: a large set lies about in memory.
    """
    import numpy as np

    items, pieces = iter(value), list[Any]()
    while piece := list(islice(items, _PIECE)):
        if set(map(type, piece)) != {int}:
            return None
        try:
            pieces.append(np.fromiter(piece, np.dtype("<i8"), len(piece)))
        except OverflowError:
            return None
    numbers = np.concatenate(pieces)
    if (numbers[1:] < numbers[:-1]).any():  # a set of consecutive ints has them in order
        numbers.sort()
    return Buffer(numbers)


_LONG = 16  # items of a tuple that may be large
_MANY = 1024  # ints; fewer stay readable in a row
_PIECE = 4096  # ints
# Classes whose values have one order, which costs far less than a key for each.
_HAVE_ONE_ORDER = frozenset({int, str, bytes, date, timedelta})
# Classes whose repr tells all values apart, and is the same in every process (that of a set is not).
_MOST_BITS = 1024  # of an int whose repr is taken
_HAVE_EXACT_REPR = frozenset({type(None), bool, int, str, bytes, date, timedelta, Decimal, UUID})


def _sort_key(pack: PackCells, item: Any) -> tuple[str, str, list[Any], bytes]:
    cls = type(item)
    if cls is int and item.bit_length() > _MOST_BITS:  # sys.set_int_max_str_digits forbids its repr
        return cls.__qualname__, hex(item), [], b""
    if cls in _HAVE_EXACT_REPR or (cls is float and item == item):  # noqa: PLR0124 - repr hides the bits of a NaN
        return cls.__qualname__, repr(item), [], b""
    if cls is tuple:
        return cls.__qualname__, "", [_sort_key(pack, part) for part in item], b""
    if cls is frozenset:
        return cls.__qualname__, "", sorted(_sort_key(pack, part) for part in item), b""
    tags, (packed,) = pack([item], {cls})
    return cls.__qualname__, repr(tags), [], packed


def _items(node: list[Any] | memoryview) -> list[Any]:
    """Return the elements of a set, which version 1 has as a list alone."""
    if type(node) is not memoryview:
        return as_list(node)
    import numpy as np

    numbers: list[int] = np.frombuffer(node, np.dtype("<i8")).tolist()
    return numbers


def _decode_set(node: list[Any] | memoryview, _version: int) -> set[Any]:
    return set(_items(node))


def _decode_frozenset(node: list[Any] | memoryview, _version: int) -> frozenset[Any]:
    return frozenset(_items(node))


def _decode_bytearray(node: memoryview, _version: int) -> bytearray:
    return bytearray(memoryview(node))  # bytearray(n) would make n zeros


def _decode_deque(node: list[Any], _version: int) -> deque[Any]:
    maxlen, items = node
    return deque(as_list(items), maxlen)


def _decode_ordered(node: dict[Any, Any], _version: int) -> OrderedDict[Any, Any]:
    return OrderedDict(as_dict(node))


_FACTORIES: dict[str | None, Any] = {
    None: None,
    **{cls.__name__: cls for cls in (bool, int, float, str, list, tuple, dict, set, Counter, OrderedDict, deque)},
}


def _encode_defaultdict(value: defaultdict[Any, Any]) -> list[Any]:
    for name, factory in _FACTORIES.items():
        if factory is value.default_factory:
            return [name, dict(value)]
    names = ", ".join(str(name) for name in _FACTORIES)
    raise UnsupportedValueError(
        f"the default_factory {value.default_factory!r} cannot be stored; return dict(value), or use one of {names} as "
        "default_factory"
    )


def _decode_defaultdict(node: list[Any], _version: int) -> defaultdict[Any, Any]:
    name, items = node
    return defaultdict(_FACTORIES[name], as_dict(items))


def _length(value: Any) -> dict[str, Any]:
    return {"length": len(value)}


_steps = attributes_of("start", "stop", "step")

CODECS = (
    ColumnCodec("tuple", (tuple,), list, _decode_tuple, take=_take_tuples, put=_put_tuples, summarize=_length),
    Codec("set", (set,), with_cells(_encode_set), _decode_set, version=2, summarize=_length),
    Codec("frozenset", (frozenset,), with_cells(_encode_set), _decode_frozenset, version=2, summarize=_length),
    Codec("bytearray", (bytearray,), Buffer, _decode_bytearray, summarize=_length),
    Codec("range", (range,), _steps, lambda node, _version: range(*as_list(node))),
    Codec("slice", (slice,), _steps, lambda node, _version: slice(*as_list(node))),
    Codec("deque", (deque,), lambda value: [value.maxlen, list(value)], _decode_deque, summarize=_length),
    Codec("ordered_dict", (OrderedDict,), dict, _decode_ordered, summarize=_length, attributes=()),
    Codec("defaultdict", (defaultdict,), _encode_defaultdict, _decode_defaultdict, summarize=_length),
    Codec("counter", (Counter,), dict, lambda node, _version: Counter(as_dict(node)), summarize=_length, attributes=()),
)

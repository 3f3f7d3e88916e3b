"""Containers of the standard library that neither JSON nor MessagePack has.

A set comes back equal. The order in which it iterates is not part of its value.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_xcom.codecs.builtin.kinds import attributes_of
from airflow_xcom.codecs.codec import Codec, ColumnCodec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import Buffer, Columns, PackCells, as_dict, as_list, with_cells
from airflow_xcom.codecs.quoting import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Key = tuple[str, str, list[Any], bytes]


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
    first = type(next(iter(value), None))
    if len(value) >= _MANY and first is int and (numbers := _int64s(value)) is not None:
        return Buffer(_by_low_bits(numbers))
    if len(value) >= _MANY_TEXTS and first is str and (texts := _sorted_texts(value)) is not None:
        return texts
    classes = set(map(type, value))
    if len(classes) == 1 and classes <= _HAVE_ONE_ORDER:
        return sorted(value)
    return sorted(value, key=partial(_sort_key, pack, {})) if len(value) > 1 else list(value)


def _pieces(value: set[Any] | frozenset[Any], cls: type) -> Iterator[list[Any]]:
    """Yield the elements, some at a time.

    A large set lies about in memory: each piece is gone through while it is in the processor's cache.

    Raises:
        TypeError: an element is of another class.
    """
    items = iter(value)
    while piece := list(islice(items, _PIECE)):
        if list(map(type, piece)).count(cls) != len(piece):  # takes less than a set of them
            raise TypeError
        yield piece


def _int64s(value: set[int] | frozenset[int]) -> NDArray[np.int64] | None:
    """Return the elements as an array, far faster than one by one; None if one is no int of 64 bits."""
    import numpy as np

    try:
        return np.concatenate([np.fromiter(piece, np.dtype("<i8"), len(piece)) for piece in _pieces(value, int)])
    except (TypeError, OverflowError):
        return None


def _by_low_bits(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the numbers in the order of their low bits, then of the others: about that in which a set holds ints.

    A set has them nearly so already; and one that is made in this order goes through its memory from end to end.
    """
    import numpy as np

    bits = np.uint64((len(numbers) * 5 // 3).bit_length())  # a set is at most three fifths full
    others = np.uint64(64) - bits
    unsigned = numbers.astype("u8")
    turned = (unsigned << others) | (unsigned >> bits)
    turned.sort(kind="stable")  # fast for what is nearly in order
    return ((turned << bits) | (turned >> others)).astype("<u8", copy=False)  # what NumPy computes is native


def _sorted_texts(value: set[str] | frozenset[str]) -> list[str] | None:
    """Return the elements in ascending order, made anew so that they lie in this order in memory.

    Returns:
        The texts; or None for what is to be sorted by Python: other classes, surrogates, NUL, long texts.
    """
    import numpy as np

    try:
        pieces = ["\0".join(piece).encode() for piece in _pieces(value, str)]
    except (TypeError, UnicodeEncodeError):
        return None
    data = np.frombuffer(b"\0".join([*pieces, b""]), np.uint8)
    sizes = np.diff(np.flatnonzero(data == 0), prepend=-1)  # with the NUL at the end
    width = int(sizes.max())
    if len(sizes) != len(value) or width > _WIDEST:
        return None
    if sizes.min() == width:
        padded = data.reshape(-1, width).copy()
    else:
        padded = np.zeros((len(sizes), width), np.uint8)
        padded[np.arange(width) < sizes[:, None]] = data
    padded.reshape(-1).view(np.dtype(("S", width))).sort()  # UTF-8 sorts as its code points
    padded[:, -1] = _END
    return padded.tobytes().translate(_TO_NUL, b"\0")[:-1].decode().split("\0")  # without the padding


_LONG = 16  # items of a tuple that may be large
_MANY = 1024  # ints; fewer stay readable in a row
_MANY_TEXTS = 50_000  # where sorting objects costs more than importing NumPy
_WIDEST = 65  # bytes of a text, and a NUL, that is padded to be sorted
_END = 0xFF  # which UTF-8 does not have
_TO_NUL = bytes.maketrans(bytes([_END]), b"\0")
_PIECE = 2048  # elements
# Classes whose values have one order, which costs far less than a key for each.
_HAVE_ONE_ORDER = frozenset({int, str, bytes, date, timedelta})
# Classes whose repr tells all values apart, and is the same in every process (that of a set is not).
_MOST_BITS = 1024  # of an int whose repr is taken
_HAVE_EXACT_REPR = frozenset({type(None), bool, int, str, bytes, date, timedelta, Decimal, UUID})


def _sort_key(pack: PackCells, keys: dict[int, _Key], item: Any) -> _Key:
    """Return what an element is sorted by; ``keys`` has those of tuples and sets, which may stand in many places."""
    cls = type(item)
    if cls is int and item.bit_length() > _MOST_BITS:  # sys.set_int_max_str_digits forbids its repr
        return cls.__qualname__, hex(item), [], b""
    if cls in _HAVE_EXACT_REPR or (cls is float and item == item):  # noqa: PLR0124 - repr hides the bits of a NaN
        return cls.__qualname__, repr(item), [], b""
    if cls is tuple or cls is frozenset:
        if (key := keys.get(id(item))) is None:
            parts = [_sort_key(pack, keys, part) for part in item]
            key = keys[id(item)] = cls.__qualname__, "", sorted(parts) if cls is frozenset else parts, b""
        return key
    tags, (packed,) = pack([item], {cls})
    return cls.__qualname__, repr(tags), [], packed


def _items(node: list[Any] | memoryview) -> list[Any]:
    """Return the elements of a set, which version 1 has as a list alone."""
    if type(node) is not memoryview:
        return as_list(node)
    import numpy as np

    numbers: list[int] = np.frombuffer(node, np.dtype("<i8")).tolist()
    return numbers


def _decode_bytearray(node: memoryview, _version: int) -> bytearray:
    return bytearray(memoryview(node))  # bytearray(n) would make n zeros


def _decode_deque(node: list[Any], _version: int) -> deque[Any]:
    maxlen, items = node
    return deque(as_list(items), maxlen)


_FACTORIES: dict[str | None, Any] = {
    None: None,
    **{
        cls.__name__: cls for cls in (bool, int, float, complex, Decimal, str, bytes, list, tuple, dict, set, frozenset)
    },
    **{cls.__name__: cls for cls in (Counter, OrderedDict, deque)},
}


def _encode_defaultdict(value: defaultdict[Any, Any]) -> list[Any]:
    for name, factory in _FACTORIES.items():
        if factory is value.default_factory:
            return [name, dict(value)]
    names, own = ", ".join(map(str, _FACTORIES)), getattr(value.default_factory, "__qualname__", None)
    shown = own if type(own) is str else quoted(value.default_factory)  # the repr of a partial has its arguments
    raise UnsupportedValueError(
        f"the default_factory {shown} cannot be stored; return dict(value), or use one of {names} as default_factory"
    )


def _decode_defaultdict(node: list[Any], _version: int) -> defaultdict[Any, Any]:
    name, items = node
    return defaultdict(_FACTORIES[name], as_dict(items))


def _length(value: Any) -> dict[str, Any]:
    return {"length": len(value)}


_set, _steps = with_cells(_encode_set), attributes_of("start", "stop", "step")

CODECS = (
    ColumnCodec(
        "tuple",
        (tuple,),
        list,
        lambda node, _version: tuple(as_list(node)),
        take=_take_tuples,
        put=_put_tuples,
        summarize=_length,
    ),
    Codec("set", (set,), _set, lambda node, _version: set(_items(node)), version=2, summarize=_length),
    Codec(
        "frozenset", (frozenset,), _set, lambda node, _version: frozenset(_items(node)), version=2, summarize=_length
    ),
    Codec("bytearray", (bytearray,), Buffer, _decode_bytearray, summarize=_length),
    Codec("range", (range,), _steps, lambda node, _version: range(*as_list(node))),
    Codec("slice", (slice,), _steps, lambda node, _version: slice(*as_list(node))),
    Codec("deque", (deque,), lambda value: [value.maxlen, list(value)], _decode_deque, summarize=_length),
    Codec(
        "ordered_dict",
        (OrderedDict,),
        dict,
        lambda node, _version: OrderedDict(as_dict(node)),
        summarize=_length,
        attributes=(),
    ),
    Codec("defaultdict", (defaultdict,), _encode_defaultdict, _decode_defaultdict, summarize=_length),
    Codec("counter", (Counter,), dict, lambda node, _version: Counter(as_dict(node)), summarize=_length, attributes=()),
)

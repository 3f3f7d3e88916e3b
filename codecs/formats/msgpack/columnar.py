"""Lists whose items are alike, written column by column, or under one tag for all.

Tasks return records: a list, or a dict, of dicts with the same keys; and lists of many objects of one class.  Written
so, they take a fraction of the time and of the room, because a key or a tag is written once, not once a record.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from airflow_xcom.codecs.codec import Codec, ColumnCodec, raise_failure
from airflow_xcom.codecs.errors import CircularReferenceError, EncodeError, NestingError, RepetitionError
from airflow_xcom.codecs.formats.msgpack.flat import classes_of, new_packer, packed_scalars
from airflow_xcom.codecs.formats.sharing import LEAST, TEXT
from airflow_xcom.codecs.nodes import Columns, as_list, as_text
from airflow_xcom.codecs.plain_json import is_exact_text

EncodeAll = Callable[[type, list[Any]], tuple[Codec, list[Any] | Columns] | None]

SMALLEST_BATCH = 32  # items
DEEPEST_NATIVES = 500  # levels of lists and dicts in each other; some packers stop at 511, and the unpacker at 1024
_LONGEST_KEYS = 1024  # characters on average; longer ones would stand for more than a reader allows
_MOST_PLACES = 1 << 16  # in which an item may stand on average, if they are many
_MOST_ITEMS = 1 << 24  # in all places, however few there are once
_CELLS = 16  # objects that one with cells counts as, since it takes longer to write
_MOST_REPEATS = 1 << 18  # objects in other ones that are written once more, however few there are once
_PIECE = 1024  # dicts that are looked at together, while the processor's cache holds them
_AT_ONCE = 4  # items that a dict begins with, which is faster than one by one
_MANY_OBJECTS = 10_000  # of which an array of addresses is sorted faster than a set of them is made
_CONTAINERS = frozenset({dict, list})
_FEW_LEVELS = 16
_NATIVES = frozenset({dict, list, str, int, float, bool, bytes, type(None)})


class Records:
    """A list, or the values of a dict, of dicts with the same keys in the same order.

    Attributes:
        source: the list or dict.
        keys: of each of its dicts.
        columns: the values of each key, in the order of the dicts; packed where all are scalars.
        excess: of the value that holds the list or dict.
    """

    __slots__ = ("columns", "excess", "keys", "source")

    def __init__(
        self,
        source: list[dict[str, Any]] | dict[Any, dict[str, Any]],
        keys: list[str],
        columns: list[list[Any] | bytes],
        excess: Excess,
    ) -> None:
        self.source = source
        self.keys = keys
        self.columns = columns
        self.excess = excess


class TaggedList:
    """A list of objects of one class that a codec handles, and of None.

    Attributes:
        source: the list.
        codec: of the class.
        nodes: what the codec made of the objects.
        nulls: the positions of None in the list.
    """

    __slots__ = ("codec", "nodes", "nulls", "source")

    def __init__(self, source: list[Any], codec: Codec, nodes: list[Any] | Columns, nulls: list[int]) -> None:
        self.source = source
        self.codec = codec
        self.nodes = nodes
        self.nulls = nulls


class Excess:
    """Refuses lists and dicts that stand in too many places to be written in each: two a level double.

    It belongs to a whole value, columns of batches included, and counts once: when something is met again.
    """

    __slots__ = ("_met", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._met: set[int] | None = {id(value)}  # None after the count

    def meet(self, found: list[Any], containers: dict[int, Any]) -> None:
        """Refuse a value too large to be written out, once one of the lists and dicts ``found`` was met before."""
        if self._met is None:
            return
        if len(containers) == len(found) and self._met.isdisjoint(containers):
            self._met.update(containers)
            return
        self._met = None
        once, written = _count_items(self._value)
        if written > max(_MOST_ITEMS, _MOST_PLACES * once):
            raise RepetitionError(
                f"its lists and dicts hold each other so often that its {once:,} items would be written "
                f"{_MOST_PLACES:,} times each, and more; return each of them once, beside keys or positions that refer "
                "to it"
            )


class Repeats:
    """Refuses objects that hold each other so often that they cannot be written out where no object is numbered."""

    __slots__ = ("_again", "_held", "_written")

    def __init__(self) -> None:
        self._written = self._again = 0
        # id -> an object that holds others, and how many were written for it
        self._held: dict[int, tuple[Any, int]] = {}

    def meet(self, value: Any, *, has_cells: bool, is_within: bool) -> int:
        """Count an object, and all in it if it was met within the same outermost one; return how many are written."""
        if not is_within:
            self._again = 0
            self._held.clear()
        elif id(value) in self._held:
            self._again += self._held[id(value)][1]
            if self._again > max(_MOST_REPEATS, _MOST_PLACES // 4 * len(self._held)):
                raise RepetitionError(
                    f"its objects hold each other so often that {self._again:,} and more would be written for "
                    f"{len(self._held):,}; return each of them once, beside keys or positions that refer to it"
                )
        self._written += _CELLS if has_cells else 1
        return self._written

    def leave(self, value: Any, written: int) -> None:
        """Remember an object if others were written since it was met, of which there were ``written`` then."""
        if self._written > written:
            self._held[id(value)] = value, self._written - written


def replace_batches(value: Any, encode_all: EncodeAll, around: Excess | None = None) -> tuple[Any, set[type], int]:
    """Return ``value`` with batches in place of lists and dicts whose items are alike.

    Only exact lists and dicts are searched, each once, so that cycles end; and level by level with
    :func:`gc.get_referents`, which lists the children of many containers in one call.

    Args:
        value: natives, and objects that codecs handle.
        encode_all: ``encode_all(cls, objects)`` returns the codec of a class and the nodes of the objects; None if the
            objects are better written singly.
        around: of the value whose column ``value`` is.

    Returns:
        The value, the classes of all objects outside of the batches, and the number of levels of lists and dicts.

    Raises:
        RepetitionError: The lists and dicts hold each other so often that they cannot be written out.
    """
    excess = around or Excess(value)
    classes = {type(value)}
    batches: dict[int, Records | TaggedList] = {}
    level = [value] if type(value) in _CONTAINERS else []
    seen: set[int] = {id(value)}
    depth = 0
    while level:
        depth += 1
        for item in level:
            if len(item) >= SMALLEST_BATCH and (batch := _batch(item, encode_all, excess)) is not None:
                batches[id(item)] = batch
        if batches:
            level = [item for item in level if id(item) not in batches]
        children = gc.get_referents(*level)
        below = set(map(type, children))
        classes |= below
        if not below & _CONTAINERS:
            break
        found = [child for child in children if type(child) in _CONTAINERS]
        containers = dict(zip(map(id, found), found, strict=True))
        excess.meet(found, containers)
        level = [child for key, child in containers.items() if key not in seen]
        seen.update(containers)
    return (_replaced(value, batches) if batches else value), classes, depth


def are_simple(values: Sequence[Any], classes: set[type], mistaken: frozenset[type]) -> bool:
    """Return whether each value can be packed as it stands: it needs no look at its lists and dicts of its own.

    These are then too short for batches, of few levels, and hold no object of the classes ``mistaken``; ``classes`` are
    those of the values.
    """
    level = values
    for _ in range(_FEW_LEVELS):
        if not classes.isdisjoint(mistaken):
            return False
        if classes.isdisjoint(_CONTAINERS):
            return True
        are_all = classes <= _CONTAINERS
        containers = level if are_all else [value for value in level if type(value) in _CONTAINERS]
        sizes = list(map(len, containers))
        if max(sizes) >= SMALLEST_BATCH or sum(sizes) > max(LEAST, SMALLEST_BATCH * len(values)):
            return False
        level = gc.get_referents(*containers)
        classes = set(map(type, level))
    return False


def _count_items(value: Any) -> tuple[int, int]:
    """Return the items of all lists and dicts in a value, each counted once, and in each place where it stands."""
    once = 0
    written: dict[int, int] = {}  # 0 for those that hold the one that is looked at
    stack: list[tuple[Any, list[Any] | None]] = [(value, None)]
    while stack:
        item, below = stack.pop()
        if below is not None:
            written[id(item)] = len(item) + sum(written[id(child)] for child in below)
        elif id(item) not in written:
            once += len(item)
            written[id(item)] = 0
            below = [child for child in gc.get_referents(item) if type(child) in _CONTAINERS]
            stack.append((item, below))
            stack.extend((child, None) for child in below)
    return once, written[id(value)]


def too_deep(value: Any) -> EncodeError:
    """Return the error for a value that contains itself, or has too many levels."""
    if (repeated := _find_cycle(value)) is not None:
        error = CircularReferenceError(repeated)
        error.trail.append(repeated)
        return error
    return NestingError(f"its lists and dicts are nested deeper than {DEEPEST_NATIVES} levels")


def _find_cycle(value: Any) -> Any:
    """Return a list or dict that contains itself through lists and dicts, or None."""
    done: set[int] = set()
    path: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, leaving = stack.pop()
        if leaving:
            path.discard(id(item))
            done.add(id(item))
        elif id(item) in path:
            return item
        elif id(item) not in done:
            path.add(id(item))
            stack.append((item, True))
            stack.extend((child, False) for child in gc.get_referents(item) if type(child) in _CONTAINERS)
    return None


def _batch(source: list[Any] | dict[Any, Any], encode_all: EncodeAll, excess: Excess) -> Records | TaggedList | None:
    values = source if isinstance(source, list) else list(source.values())
    classes = classes_of(values)
    if classes == {dict}:
        return _records(source, values, excess)
    has_nulls = type(None) in classes
    classes.discard(type(None))
    if type(source) is dict or len(classes) != 1 or classes & _NATIVES:
        return None
    objects = [item for item in values if item is not None]
    encoded = encode_all(classes.pop(), objects) if len(objects) >= SMALLEST_BATCH else None
    if encoded is None:
        return None
    nulls = [index for index, item in enumerate(values) if item is None] if has_nulls else []
    return TaggedList(values, *encoded, nulls)


def _records(source: Any, rows: list[dict[Any, Any]], excess: Excess) -> Records | None:
    keys = list(rows[0])
    if classes_of(keys) != {str} or not _are_short(keys):
        return None
    columns: list[list[Any]] = [[] for _ in keys]
    packer = new_packer()
    scalars = set(range(len(keys)))  # the places of columns of packed pieces, each packed while the cache holds it
    for start in range(0, len(rows), _PIECE):
        piece = rows[start : start + _PIECE]
        all_keys = list(chain.from_iterable(piece))
        # No dict has a key twice, so the same keys over and over are those of one dict after another.
        if all_keys != keys * len(piece) or classes_of(all_keys) != {str}:  # another class may have an equal key
            return None
        items = list(chain.from_iterable(map(dict.values, piece)))
        for place, column in enumerate(columns):
            some = items[place :: len(keys)]
            if place in scalars:
                if (packed := packed_scalars(packer.pack, some)) is not None:
                    column.append(packed)
                    continue
                scalars.remove(place)
                column[:] = [row[keys[place]] for row in rows[:start]]
            column.extend(some)
    head = packer.pack_array_header(len(rows))
    made = [b"".join([head, *column]) if place in scalars else column for place, column in enumerate(columns)]
    return Records(source, keys, made, excess)


def _are_short(names: Sequence[str], head: str = "") -> bool:
    """Return whether names are short enough to be written once and stand for many."""
    return len(head) + sum(map(len, names)) <= _LONGEST_KEYS * len(names)


def _replaced(value: Any, batches: dict[int, Records | TaggedList]) -> Any:
    """Return a copy of the containers above the batches, with the batches in it."""
    if id(value) in batches:
        return batches[id(value)]
    if type(value) is list:
        return [_replaced(item, batches) if type(item) in _CONTAINERS else item for item in value]
    return {key: _replaced(item, batches) if type(item) in _CONTAINERS else item for key, item in value.items()}


def records_from_columns(keys: Sequence[str], columns: list[list[Any]]) -> list[dict[str, Any]]:
    """Return the dicts of :class:`Records`, and drop each column once it is in them.

    Raises:
        ValueError: there is not one column for each key, or they are not equally long.
    """
    if not keys or len(set(keys)) != len(keys) or len(columns) != len(keys) or len(set(map(len, columns))) != 1:
        raise ValueError(f"{len(columns)} columns for {len(keys)} keys, or not equally long")
    if len(keys) < _AT_ONCE:
        rows: list[dict[str, Any]] = [{} for _ in columns[0]]
    else:
        one, two, three, four, *keys = keys
        rows = [{one: a, two: b, three: c, four: d} for a, b, c, d in zip(*columns[:_AT_ONCE], strict=True)]
        del columns[:_AT_ONCE]
    columns.reverse()
    for key in keys:  # nearly twice as fast as dict(zip(keys, row)) for each row
        for row, item in zip(rows, columns.pop(), strict=True):
            row[key] = item
    return rows


def repeated_nodes(keys: Sequence[str], rows: int) -> int:
    """Return the nodes of dicts that :class:`Records` does not write for each: the dicts and their keys."""
    return rows * (1 + sum(1 + len(key) // TEXT for key in keys if type(key) is str))


def columns_of(codec: ColumnCodec[Any], cls: type, objects: list[Any]) -> Columns | None:
    """Return the nodes of objects of one class, part by part; None if they are not that alike, or one comes twice."""
    try:
        columns = codec.take(cls, objects)
    except Exception as error:  # noqa: BLE001 - raised again, with where and why
        raise_failure(codec, objects[0], error)
    if columns is None:
        return None
    names, head = columns.names or ("",), columns.head or ""
    is_writable = _are_short(names, head) and all(map(is_exact_text, (*names, head)))
    return columns if is_writable and are_distinct(objects) else None


def are_distinct(objects: list[Any]) -> bool:
    """Return whether no object comes twice."""
    if len(objects) < _MANY_OBJECTS:
        return len(set(map(id, objects))) == len(objects)
    import numpy as np

    ids = np.fromiter(map(id, objects), np.uint64, len(objects))
    ids.sort(kind="stable")  # fast for what is nearly in order, as objects made one after another are
    return bool((ids[1:] != ids[:-1]).all())


def repeated_by_columns(columns: Columns) -> int:
    """Return the nodes of lists, dicts and text that are not written for each value; tagged ones not included."""
    if columns.names is None:
        return len(columns)
    heads = 0 if columns.head is None else len(columns) * (2 + len(columns.head) // TEXT)
    return heads + repeated_nodes(columns.names, len(columns))


def checked_columns(head: Any, names: Any, columns: Any) -> Columns:
    """Return what a payload has as :class:`Columns`; refuse columns of several lengths, or other than the names."""
    if head is not None or names is not None:
        for text in (*as_list(names), "" if head is None else head):
            as_text(text)
        if len(set(names)) != len(names) or len(names) != len(columns):
            raise ValueError(f"{len(columns)} columns for {len(names)} names, or a name comes twice")
    if len({len(as_list(column)) for column in as_list(columns)}) != 1:
        raise ValueError("columns of many values that are not equally long")
    return Columns(columns, names, head)


def named_records(names: list[Any], rows: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return the dict of :class:`Records`; raise ValueError unless there is one name for each row, and none twice."""
    named = dict(zip(names, rows, strict=True))
    if len(named) != len(rows):
        raise ValueError("a name of a record comes twice")
    return named


def with_nulls(objects: list[Any], nulls: Sequence[int]) -> list[Any]:
    """Return the list of :class:`TaggedList`: ``objects``, with None at the positions ``nulls`` of the result."""
    if not nulls:
        return objects
    positions = set(nulls)
    size = len(objects) + len(nulls)
    if len(positions) != len(nulls) or not positions.issubset(range(size)):
        raise ValueError(f"nulls at positions that are not in a list of {size}")
    remaining = iter(objects)
    return [None if index in positions else next(remaining) for index in range(size)]

"""Lists that are alike all through, written column by column or under one tag for all.

Tasks return records: a list, or a dict, of dicts with the same keys; and many objects of one class.  Column by column
they take a fraction of the time and of the room, because a key or a tag is written once, not once for every record.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_xcom.codecs.codec import Codec

    NodesOf = Callable[[type, list[Any]], tuple[Codec, list[Any]] | None]

__all__ = ["FEWEST", "Many", "Records", "in_batches", "many_of", "records_of"]

FEWEST = 32  # items from which a batch is worth it
_CONTAINERS = frozenset({dict, list})
_NATIVES = frozenset({dict, list, str, int, float, bool, bytes, type(None)})


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """A list, or the values of a dict, of dicts with the same keys in the same order.

    Attributes:
        source: the list or dict.
        keys: of each of its dicts.
        columns: the values of each key, in the order of the dicts.
    """

    source: list[dict[str, Any]] | dict[Any, dict[str, Any]]
    keys: list[str]
    columns: list[list[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """A list of objects of one class that a codec handles, and of None.

    Attributes:
        source: the list.
        codec: of the class.
        nodes: what it made of each object.
        gaps: where None stands in the list.
    """

    source: list[Any]
    codec: Codec
    nodes: list[Any]
    gaps: list[int]


def in_batches(value: Any, nodes_of: NodesOf) -> tuple[Any, set[type], int]:
    """``value`` with what is alike in batches, the classes of all objects in the rest, and how many levels that has.

    Only exact lists and dicts are gone into, each once, so that cycles end; and level by level with
    :func:`gc.get_referents`, which lists the children of many containers in one call.

    Args:
        value: natives, and objects that codecs handle.
        nodes_of: the codec of a class and what it makes of objects; None if they are better written singly.
    """
    found = {type(value)}
    batches: dict[int, Records | Many] = {}
    level = [value] if type(value) in _CONTAINERS else []
    seen: set[int] = set()
    depth = 0
    while level:
        depth += 1
        for item in level:
            if len(item) >= FEWEST and (batch := _batch(item, nodes_of)) is not None:
                batches[id(item)] = batch
        if batches:
            level = [item for item in level if id(item) not in batches]
        children = gc.get_referents(*level)
        kinds = set(map(type, children))
        found |= kinds
        if not kinds & _CONTAINERS:
            break
        below = {id(child): child for child in children if type(child) in _CONTAINERS}
        level = [child for key, child in below.items() if key not in seen]
        seen.update(below)
    return (_replaced(value, batches) if batches else value), found, depth


def _batch(source: list[Any] | dict[Any, Any], nodes_of: NodesOf) -> Records | Many | None:
    values = source if isinstance(source, list) else list(source.values())
    kinds = set(map(type, values))
    if kinds == {dict}:
        return _records(source, values)
    kinds.discard(type(None))
    if type(source) is dict or len(kinds) != 1 or kinds & _NATIVES:
        return None
    kind = kinds.pop()
    items = [item for item in values if item is not None]
    made = nodes_of(kind, items) if len(items) >= FEWEST else None
    if made is None:
        return None
    gaps = [place for place, item in enumerate(values) if item is None] if len(items) < len(values) else []
    return Many(values, *made, gaps)


def _records(source: Any, rows: list[dict[Any, Any]]) -> Records | None:
    keys = list(rows[0])
    every = list(chain.from_iterable(rows))
    # No dict has a key twice, so the same keys over and over are those of one dict after another.
    if not keys or len(every) != len(keys) * len(rows) or every != keys * len(rows):
        return None
    if set(map(type, every)) != {str}:  # another class may have an equal key
        return None
    return Records(source, keys, [list(map(itemgetter(key), rows)) for key in keys])


def _replaced(value: Any, batches: dict[int, Records | Many]) -> Any:
    """A copy of the containers above the batches, with the batches in it."""
    if id(value) in batches:
        return batches[id(value)]
    if type(value) is list:
        return [_replaced(item, batches) if type(item) in _CONTAINERS else item for item in value]
    return {key: _replaced(item, batches) if type(item) in _CONTAINERS else item for key, item in value.items()}


def records_of(keys: Sequence[str], columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    """The dicts of :class:`Records`.

    Raises:
        ValueError: there is not one column for each key, or they are not equally long.
    """
    if not keys or len(set(keys)) != len(keys) or len(columns) != len(keys) or len(set(map(len, columns))) != 1:
        msg = f"{len(columns)} columns for {len(keys)} keys, or not equally long"
        raise ValueError(msg)
    rows: list[dict[str, Any]] = [{} for _ in columns[0]]
    for key, column in zip(keys, columns, strict=True):  # nearly twice as fast as dict(zip(keys, row)) for each row
        for row, item in zip(rows, column, strict=True):
            row[key] = item
    return rows


def many_of(items: list[Any], gaps: Sequence[int]) -> list[Any]:
    """The list of :class:`Many`, from its objects.

    Raises:
        ValueError: the gaps are not places in it.
    """
    if not gaps:
        return items
    places = set(gaps)
    size = len(items) + len(gaps)
    if len(places) != len(gaps) or not places.issubset(range(size)):
        msg = f"gaps that are not places in a list of {size}"
        raise ValueError(msg)
    objects = iter(items)
    return [None if place in places else next(objects) for place in range(size)]

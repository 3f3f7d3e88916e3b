"""Changes to trees of JSON or MessagePack, at random places."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["Extension", "Pairs", "Tree", "harvest", "mutate_bytes", "mutate_tree"]

Tree = Any


class Pairs(list[Any]):
    """A map, whose keys need not be hashable, as ``[[key, value], ...]``."""


class Extension:
    """A MessagePack extension: its code, and what is packed in it, or its bytes where that is nothing."""

    __slots__ = ("code", "content")

    def __init__(self, code: int, content: Tree) -> None:
        self.code = code
        self.content = content


INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 8, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 4095, 4096, 65535, 65536, 10**6),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 10**9, 10**12, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
    *(-2, -128, -(2**31), -(2**53), -(2**63)),
)
FLOATS = (0.0, -0.0, 1.5, 1e300, -1e-300, 5e-324, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    *("", "\0", "x" * 300, "\ud800", "é", "nan", "inf", "1e999999999", "-0x" + "f" * 40, "9" * 5000, "{}", "[]"),
    *("$", "airflow_xcom", "__class__", "__classname__", "os.system", "builtins:eval", "test_classes:nothing"),
    *("../../etc/passwd", "/etc/passwd", "link/secret.msgpack", "out.msgpack", "file:///", "s3://bucket", "a\\b", "."),
    *("|O", "<f8", ">c16", "<U100000000", "|V0", "|S0", "<M8[7D]", "<i8:q", "struct", "record", "array", "string"),
    *("UTC", "Europe/Paris", "posix/UTC", "../UTC", "+05:00", "2024-02-30", "0001-01-01T00:00:00", "9999-12-31"),
    *("object", "cells", "category", "sparse", "interval", "period", "tz", "masked", "numpy", "arrow", "range"),
)
LEAVES = (None, True, False, b"", b"\x00" * 16, *INTEGERS, *FLOATS, *TEXTS)


def mutate_tree(tree: Tree, random: Random, pool: list[Tree], special: Callable[[Tree], Tree | None]) -> Tree:
    """A tree with one to four changes.

    Args:
        tree: is left as it is.
        random: decides.
        pool: subtrees to graft.
        special: a change to a leaf that knows what is in it, or None.
    """
    holder = [copy.deepcopy(tree)]
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        places = list(_places(holder))
        parent, place = random.choice(places)
        _change(parent, place, random, pool, special)
    return holder[0]


def _places(tree: Tree) -> list[tuple[Any, Any]]:
    """Every node but the outermost, as its parent and the place in it."""
    found: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        parent = stack.pop()
        for place in _keys(parent):
            found.append((parent, place))
            stack.append(_get(parent, place))
    return found


def _keys(node: Tree) -> Any:
    if isinstance(node, Extension):
        return ("content",)
    if isinstance(node, dict):
        return list(node)
    return range(len(node)) if isinstance(node, list) else ()


def _get(node: Tree, place: Any) -> Tree:
    return node.content if isinstance(node, Extension) else node[place]


def _set(node: Tree, place: Any, value: Tree) -> None:
    if isinstance(node, Extension):
        node.content = value
    else:
        node[place] = value


def _change(parent: Tree, place: Any, random: Random, pool: list[Tree], special: Callable[[Tree], Tree | None]) -> None:
    node = _get(parent, place)
    known = special(node)
    if known is not None and random.random() < 0.6:
        _set(parent, place, known)
        return
    choice = random.randrange(12)
    if choice < 4:
        _set(parent, place, _altered(node, random))
    elif choice < 6:
        _set(parent, place, random.choice(LEAVES))
    elif choice < 8 and pool:
        _set(parent, place, copy.deepcopy(random.choice(pool)))
    elif choice == 8:
        wraps = ([node], {"a": node}, [node, node], Pairs([[node, node]]), Extension(random.randrange(128), node))
        _set(parent, place, random.choice(wraps[: 5 if _has_extensions(parent) else 3]))
    elif isinstance(parent, list) and choice < 11:
        _rearrange(parent, place, random)
    elif isinstance(parent, dict):
        item = parent.pop(place)
        if random.random() < 0.6:
            parent[random.choice((*TEXTS, *parent, str(place) + "x"))] = item
    else:
        _set(parent, place, _altered(node, random))


def _has_extensions(node: Tree) -> bool:
    return isinstance(node, Extension | Pairs)


def _rearrange(items: list[Any], place: int, random: Random) -> None:
    match random.randrange(4):
        case 0:
            del items[place]
        case 1:
            items.insert(place, copy.deepcopy(items[place]))
        case 2:
            items.append(random.choice(LEAVES))
        case _:
            other = random.randrange(len(items))
            items[place], items[other] = items[other], items[place]


def _altered(node: Tree, random: Random) -> Tree:  # noqa: PLR0911 - one for each kind
    """A node of the same kind."""
    if isinstance(node, bool):
        return not node
    if isinstance(node, int):
        return random.choice((node + 1, node - 1, -node, node ^ 1 << random.randrange(64), *INTEGERS)) % 2**64
    if isinstance(node, float):
        return random.choice((node * 2, -node, *FLOATS))
    if isinstance(node, str):
        return _altered_text(node, random)
    if isinstance(node, bytes):
        return mutate_bytes(node, random)
    if isinstance(node, Extension):
        return Extension(random.choice((0, 1, 2, 15, node.code + 1, random.randrange(128))) % 128, node.content)
    return random.choice(LEAVES)


def _altered_text(text: str, random: Random) -> str:
    place = random.randint(0, len(text))
    match random.randrange(5):
        case 0:
            return text[:place] + random.choice(TEXTS) + text[place:]
        case 1:
            return text[:place] + text[place + 1 :]
        case 2:
            return (
                text[:place]
                + chr(random.choice((0, 9, 47, 46, 45, 48, 57, 58, 128, 0xD800, 0x10FFFF)))
                + text[place + 1 :]
            )
        case 3:
            return text * random.randint(2, 20)
        case _:
            return text[:place]


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Bytes of which some were changed, taken away, or doubled; often a number in them."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not result:
            result += bytes([random.randrange(256)])
        place = random.randrange(len(result))
        match random.randrange(7):
            case 0:
                result[place] ^= 1 << random.randrange(8)
            case 1:
                result[place] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
            case 2:
                del result[place : place + random.choice((1, 2, 4, 8, 64))]
            case 3:
                result[place:place] = random.choice((b"\0", b"\xff" * 4, bytes(8), result[place : place + 64]))
            case _:
                size = random.choice((1, 2, 4, 8))
                place -= place % size
                number = random.choice(
                    (*INTEGERS, int.from_bytes(result[place : place + size], "little") + random.choice((-8, -1, 1, 8)))
                )
                result[place : place + size] = (number % 256**size).to_bytes(size, "little")
    return bytes(result)


def harvest(tree: Tree) -> list[Tree]:
    """The subtrees of a tree that are worth grafting."""
    return [node for parent, place in _places([tree]) if type(node := _get(parent, place)) not in (bool, type(None))]

"""Changes that let one node of a payload stand in many places, each within the next, as no writer does.

A node that holds another twice doubles with each level what it stands for: a few bytes more, and twice the work for
whoever hashes, compares or prints the value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from trees import Extension, Pairs, Tree, harvest, mutate_tree

__all__ = ["share_in_json", "share_in_msgpack"]

_SHARED, _SAME, _FIRST_TAG = 3, 4, 16
_LEVELS = (1, 1, 1, 2, 2, 3, 5, 8, 12, 20, 30, 60)
# Tags of nodes that are lists or dicts: what is hashed, what keeps its order, and what is a class.
_HOLDERS = ("tuple", "frozenset", "set", "deque", "counter", "ordered_dict", "numpy.ndarray", "slice")


class _Syntax(NamedTuple):
    """How a syntax writes a numbered node, a further place of one, and a map with any keys."""

    shared: Callable[[int, str, Tree], Tree]
    same: Callable[[int], Tree]
    pairs: Callable[[list[Any]], Tree]


_JSON = _Syntax(
    lambda number, tag, content: {"$": ["shared", [number, {"$": [tag, 1, content]}]]},
    lambda number: {"$": ["same", number]},
    lambda pairs: {"$": ["map", pairs]},
)


def share_in_json(tree: Tree, random: Random) -> Tree:
    """Return a tree in the JSON syntax with numbered nodes in each other."""
    return _with_tower(tree, random, _JSON)


def share_in_msgpack(tags: list[Any], tree: Tree, random: Random) -> Tree:
    """Return a tree with numbered nodes in each other; ``tags`` gets the tags that they need."""

    def shared(number: int, tag: str, content: Tree) -> Extension:
        if [tag, 1] not in tags:
            tags.append([tag, 1])
        return Extension(_SHARED, [number, tags.index([tag, 1]), content])

    syntax = _Syntax(shared, lambda number: Extension(_SAME, number), Pairs)
    return _with_tower(_numbered(tree, random) if random.random() < 0.5 else tree, random, syntax)


def _with_tower(tree: Tree, random: Random, syntax: _Syntax) -> Tree:
    """Return a tree with a tower of numbered nodes somewhere in it, and further places of these in others."""
    levels = random.choice(_LEVELS)
    tower = _tower(copy.deepcopy(random.choice(harvest(tree) or [tree])), levels, random, syntax)
    if random.random() < 0.5:
        return random.choice((tower, [tower, syntax.same(levels - 1)], [tree, tower], [tower, tree, syntax.same(0)]))
    places = [syntax.same(random.randrange(levels)) for _ in range(3)]
    return mutate_tree([tree, tower], random, [tower, *places], lambda _node: None)


def _tower(leaf: Tree, levels: int, random: Random, syntax: _Syntax) -> Tree:
    """Return a numbered node that has the next one in it twice, and so on; in half of them some number is wrong."""
    if random.random() < 0.5:
        node = syntax.shared(0, "tuple", [leaf])
        for number in range(1, levels):
            node = syntax.shared(number, "tuple", [node, *[syntax.same(number - 1)] * random.choice((1, 1, 2))])
        return node
    holder = random.choice(_HOLDERS)
    node = syntax.shared(0, holder, [leaf])
    for number in range(1, levels):
        again = syntax.same(random.choice((*[number - 1] * 9, random.randrange(levels))))
        forms = ([node, again], [node, again, again], [[node, [again]]], [syntax.pairs([[node, again]])])
        holder = random.choice((*[holder] * 4, random.choice(_HOLDERS)))
        node = syntax.shared(random.choice((*[number] * 30, 0)), holder, random.choice(forms))
    return node


def _numbered(tree: Tree, random: Random) -> Tree:
    """Return a tree in which some tagged nodes have numbers, and some places refer to one of these."""
    count = 0

    def walk(node: Tree) -> Tree:
        nonlocal count
        if isinstance(node, Extension):
            inner = walk(node.content)
            if node.code >= _FIRST_TAG and random.random() < 0.3:
                count += 1
                return Extension(_SHARED, [count - 1, node.code - _FIRST_TAG, inner])
            return Extension(node.code, inner)
        if isinstance(node, list) and not isinstance(node, Pairs):
            return [
                Extension(_SAME, random.randrange(count)) if count and random.random() < 0.1 else walk(item)
                for item in node
            ]
        return node

    return walk(tree)

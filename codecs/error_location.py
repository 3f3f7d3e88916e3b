"""The path of an offending part within a value, which is looked for only after encoding failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["locate"]

_WIDEST = 100_000  # objects looked at in one search
_LONGEST = 300  # characters of a path


def locate(value: Any, trail: Sequence[Any]) -> str:
    """Return the path of the innermost object of ``trail`` in ``value``, as Python would write it.

    Args:
        value: what was to be encoded.
        trail: the objects on the way, innermost first; those that a codec made while encoding are skipped.
    """
    path, at = "value", value
    for depth, target in enumerate(reversed(trail)):
        step = "" if target is value and depth == 0 else _search(at, target)
        if step is not None:
            path, at = path + step, target
    return path if len(path) <= _LONGEST else f"{path[: _LONGEST // 2]} ... {path[-_LONGEST // 2 :]}"


def _search(root: Any, target: Any) -> str | None:
    """Return the path from ``root`` to the object ``target`` below it, searched breadth first, or None."""
    level = [("", root)]
    seen = {id(root)}
    looked = 0
    while level and looked < _WIDEST:
        below = []
        for path, item in level:
            for step, child in _children(item):
                if child is target:
                    return path + step
                looked += 1
                if id(child) not in seen and not isinstance(child, str | bytes | int | float | type | None):
                    seen.add(id(child))
                    below.append((path + step, child))
        level = below
    return None


def _children(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        for key, child in item.items():
            yield f".keys()[{_brief(key)}]", key
            yield f"[{_brief(key)}]", child
    elif isinstance(item, list | tuple):
        yield from ((f"[{index}]", child) for index, child in enumerate(item))
    elif isinstance(item, set | frozenset):
        yield from ((f"{{{_brief(child)}}}", child) for child in item)
    else:
        yield from _attributes(item)


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(item, "__dict__", {}).items():
        yield f".{name}", child
    for base in type(item).__mro__:
        names = getattr(base, "__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if isinstance(name, str) and hasattr(item, name):
                yield f".{name}", getattr(item, name)


def _brief(key: Any) -> str:
    text = repr(key)
    if isinstance(key, str) and text[0] == "'" and '"' not in text:
        text = f'"{text[1:-1]}"'
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004

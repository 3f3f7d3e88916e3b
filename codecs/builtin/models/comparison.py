"""Whether two models are the same: their classes, parameters and fitted arrays, however deep."""

from __future__ import annotations

from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import scipy.sparse

_BY_IDENTITY = (type, FunctionType, BuiltinFunctionType, ModuleType, np.ufunc, type(None), type(...))
_BY_REPR = (str, bytes, int, float, complex)  # repr tells surrogates, zeros and NaN apart as == does not


def difference(left: Any, right: Any, path: str = "value") -> str | None:
    """Return where two objects differ, as Python would write the place; None if they are the same."""
    cls = type(left)
    if cls is not type(right):
        return path
    if left is right:
        return None
    if cls in _BY_REPR:
        return None if repr(left) == repr(right) else path
    if isinstance(left, _BY_IDENTITY):
        return path
    return _part_difference(left, right, path)


def _part_difference(left: Any, right: Any, path: str) -> str | None:
    if isinstance(left, np.ndarray | np.generic):
        return _array_difference(np.asarray(left), np.asarray(right), path)
    if scipy.sparse.issparse(left):
        return _all([("", left.shape, right.shape), *_attributes(left, right)], path)
    if isinstance(left, np.random.RandomState):  # its seed is nothing that it draws from
        return difference(left.get_state(legacy=False), right.get_state(legacy=False), path)
    if type(left) in (list, tuple, dict, set, frozenset):
        return _container_difference(left, right, path)
    return _object_difference(left, right, path)


def _container_difference(left: Any, right: Any, path: str) -> str | None:
    if len(left) != len(right) or (type(left) is dict and difference(list(left), list(right))):
        return path
    if type(left) is dict:
        return _all([(f"[{name!r:.40}]", item, right[name]) for name, item in left.items()], path)
    if type(left) in (set, frozenset):
        return None if sorted(map(repr, left)) == sorted(map(repr, right)) else path
    return _all([(f"[{at}]", *pair) for at, pair in enumerate(zip(left, right, strict=True))], path)


def _array_difference(left: Any, right: Any, path: str) -> str | None:
    flags, others = left.flags, right.flags
    if left.dtype != right.dtype or left.shape != right.shape or left.dtype.metadata:
        return path
    if (flags.c_contiguous and not others.c_contiguous) or (flags.f_contiguous and not others.f_contiguous):
        return path  # libraries of linear algebra may round otherwise
    if left.dtype.names is not None:  # what lies between fields is no part of the value
        return _all([(f"[{name!r}]", left[name], right[name]) for name in left.dtype.names], path)
    if left.dtype.hasobject:
        return difference(left.tolist(), right.tolist(), path)
    return None if left.tobytes() == right.tobytes() else path


def _attributes(left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """Return the attributes of two sparse arrays, without what they note about themselves when asked."""
    kept = [name for name in vars(left) if not name.startswith("_has_")]
    return [(f".{name}", vars(left)[name], vars(right).get(name)) for name in kept]


def _object_difference(left: Any, right: Any, path: str) -> str | None:
    """Compare what ``copy.copy()`` would take, which is all that an object says it is made of."""
    made, again = left.__reduce_ex__(4), right.__reduce_ex__(4)
    if type(made) is not tuple or type(again) is not tuple:
        return None if made == again else path
    if len(made) != len(again) or made[0] is not again[0]:
        return path
    state, other = (part[2] if len(part) > 2 else None for part in (made, again))  # noqa: PLR2004
    if type(state) is type(other) is dict:
        names = [(f".{name}", item, other.get(name)) for name, item in state.items()]
        found = path if list(state) != list(other) else _all(names, path)
    else:
        found = difference(state, other, path)
    items = [(list(one), list(another)) for one, another in zip(made[3:5], again[3:5], strict=True) if one is not None]
    return found or difference(made[1], again[1], path) or _all([("", *pair) for pair in items], path)


def _all(parts: Iterable[tuple[str, Any, Any]], path: str) -> str | None:
    found = (difference(left, right, path + name) for name, left, right in parts)
    return next((place for place in found if place), None)

"""The path of an offending part within a value, which is looked for only after encoding failed."""

from __future__ import annotations

import re
import reprlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_xcom.codecs.discovery import HOMES
from airflow_xcom.codecs.object_state import attributes_of, holds
from airflow_xcom.codecs.quoting import module_of

_WIDEST = 100_000  # objects looked at in one search
_LONGEST = 300  # characters of a path
_WIDEST_KEY = 60  # characters of a key in it
_ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")


class _Short(reprlib.Repr):
    """Writes tuples and frozensets short; other objects as :func:`short_repr` does, without their addresses."""

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 - as the base class calls it
        """Return the text of an object in them."""
        return short_repr(x)


_SHORT = _Short()
_SHORT.maxlevel = 3


def locate(value: Any, trail: Sequence[Any], step: str = "") -> str:
    """Return the path of the innermost object of ``trail`` in ``value``, as Python would write it.

    Args:
        value: what was to be encoded.
        trail: the objects on the way, innermost first; those that a codec made while encoding are skipped.
        step: which part of that object is meant.
    """
    path, at = "value", value
    for depth, target in enumerate(reversed(trail)):
        try:
            found = "" if target is value and depth == 0 else _search(at, target)
        except Exception:  # noqa: BLE001 - objects may do anything when they are looked at
            found = None
        if found is not None:
            path, at = path + found, target
    path += step
    return path if len(path) <= _LONGEST else f"{path[: _LONGEST // 2]} ... {path[-_LONGEST // 2 :]}"


def cycle(trail: Sequence[Any]) -> Sequence[Any]:
    """Return the part of a trail, innermost object first, at whose inner end an object comes again; or nothing."""
    seen: set[int] = set()
    for index, item in enumerate(reversed(trail)):
        if id(item) in seen:
            return trail[-index - 1 :]
        seen.add(id(item))
    return ()


def _search(root: Any, target: Any) -> str | None:
    """Return the path from ``root`` to the object ``target`` below it, searched breadth first, or None."""
    level = [("", root)]
    seen = {id(root)}
    left = _WIDEST
    while level:
        below = []
        for path, item in level:
            for step, child in _children(item):
                if child is target:
                    return path + step
                left -= 1
                if not left:
                    return None
                if id(child) not in seen and not isinstance(child, str | bytes | int | float | type | None):
                    seen.add(id(child))
                    below.append((path + step, child))
        level = below
    return None


def _children(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        for key, child in item.items():
            yield f".keys()[{brief(key)}]", key
            yield f"[{brief(key)}]", child
    elif isinstance(item, list | tuple | deque):
        yield from ((f"[{index}]", child) for index, child in enumerate(item))
    elif isinstance(item, set | frozenset):
        yield from ((f"{{{brief(child)}}}", child) for child in item)
    else:
        looks = (look for library, name, look in _LIBRARIES if _is_of(item, library, name))
        is_row = isinstance(item, Sequence) and not isinstance(item, str | bytes | bytearray)
        yield from next(looks, _items if isinstance(item, Mapping) else _rows if is_row else _attributes)(item)


def _items(mapping: Any) -> Iterator[tuple[str, Any]]:
    yield from ((f"[{brief(key)}]", child) for key, child in mapping.items())


def _rows(items: Any) -> Iterator[tuple[str, Any]]:
    yield from ((f"[{at}]", items[at]) for at in range(len(items)))
    yield from _attributes(items)


def _is_of(item: Any, library: str, name: str) -> bool:
    """Return whether an object is of a class of a library, which is not imported for it."""
    module = sys.modules.get(library)
    return module is not None and isinstance(item, getattr(module, name))


def _elements(array: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects in an array; those of a masked or structured one too."""
    array = getattr(array, "data", array) if _is_of(array, "numpy.ma", "MaskedArray") else array
    for name in array.dtype.names or ():
        yield from ((f"[{brief(name)}]{step}", child) for step, child in _elements(array[name]))
    if array.dtype == object:
        import numpy as np

        for index in np.ndindex(*array.shape):
            yield f"[{', '.join(map(str, index)) or '()'}]", array[index]


def _columns(frame: Any) -> Iterator[tuple[str, Any]]:
    yield ".columns", frame.columns
    bare = sys.modules["pandas"].DataFrame(frame)  # a column has a copy of attrs, and not all objects can be copied
    for at, label in enumerate(bare.columns):
        yield f".columns[{at}]", label
        yield from _cells(bare.iloc[:, at], f", {brief(label)}")
    yield ".index", frame.index
    yield ".attrs", frame.attrs


def _cells(column: Any, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the objects in a column; `suffix` is what follows the label of the row."""
    if object in (column.dtype, getattr(column.dtype, "subtype", None)):
        for label, child in zip(column.index, column, strict=True):
            yield f".loc[{brief(label)}{suffix}]", child
    prefix = f"[{suffix[2:]}]" if suffix else ""
    if column.dtype == "category":
        yield f"{prefix}.cat.categories", column.cat.categories
    yield f"{prefix}.dt.tz", getattr(column.dtype, "tz", None)
    yield f"{prefix}.array.left", getattr(column.array, "left", None)  # whose zone is that of all intervals
    if not suffix:
        yield ".index", column.index
        yield ".attrs", column.attrs
        yield ".name", column.name


def _index(index: Any) -> Iterator[tuple[str, Any]]:
    yield from _labels(index)
    yield from ((f".{name}", getattr(index, name, None)) for name in ("tz", "freq", "left"))
    yield from ((f".levels[{at}]", level) for at, level in enumerate(getattr(index, "levels", ())))
    if len(index.names) == 1:
        yield ".name", index.name
    else:
        yield from ((f".names[{at}]", name) for at, name in enumerate(index.names))


def _labels(array: Any) -> Iterator[tuple[str, Any]]:
    if object in (array.dtype, getattr(array.dtype, "subtype", None)):  # the latter of sparse arrays
        yield from ((f"[{at}]", child) for at, child in enumerate(array))
    elif array.dtype == "category":
        yield ".categories", array.categories


def _variable(item: Any) -> Iterator[tuple[str, Any]]:
    data = item._data  # noqa: SLF001 - .data would load it
    yield ".data", getattr(data, "array", data)  # an index, or an array of pandas, is wrapped
    yield ".attrs", item.attrs
    yield ".encoding", item.encoding


def _data_array(item: Any) -> Iterator[tuple[str, Any]]:
    yield ".name", item.name
    yield from _variable(item.variable)
    yield from _variables(item.coords)


def _dataset(item: Any) -> Iterator[tuple[str, Any]]:
    for name, child in (("attrs", item.attrs), ("encoding", item.encoding)):
        yield f".{name}", child
    yield from _variables(item.variables)


def _tree(item: Any) -> Iterator[tuple[str, Any]]:
    for node in item.subtree:
        prefix = "" if node is item else f"[{brief(node.path)}]"
        yield from ((prefix + step, child) for step, child in _dataset(node))


def _variables(variables: Any) -> Iterator[tuple[str, Any]]:
    for name, variable in variables.items():
        inner = getattr(variable, "variable", variable)
        yield from ((f"[{brief(name)}]{step}", child) for step, child in _variable(inner))


def _graph(item: Any) -> Iterator[tuple[str, Any]]:
    yield ".graph", item.graph
    for node, held in item.nodes.items():
        yield f".nodes[{brief(node)}]", held
        yield f".nodes.keys()[{brief(node)}]", node
    yield from ((f".edges[{', '.join(map(brief, edge))}]", held) for edge, held in item.edges.items())


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object, but not what a library keeps for itself."""
    of_library = module_of(type(item)).partition(".")[0] in HOMES
    for name, child in _state(item):
        if isinstance(name, str) and not name.startswith("__") and not (of_library and name.startswith("_")):
            yield f".{name}", child
    for extra in ("__pydantic_extra__", "__pydantic_private__"):
        if holds(item, extra) and isinstance(held := object.__getattribute__(item, extra), dict):
            yield from ((f".{name}", child) for name, child in held.items())


def _state(item: Any) -> Iterator[tuple[str, Any]]:
    yield from attributes_of(item).items()
    for base in type(item).__mro__:
        names = getattr(base, "__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if isinstance(name, str) and hasattr(item, name):
                yield name, getattr(item, name)


_LIBRARIES = (
    ("builtins", "slice", lambda item: ((f".{name}", getattr(item, name)) for name in ("start", "stop", "step"))),
    ("google.cloud.bigquery.table", "Row", _rows),
    ("psycopg.types.range", "Range", lambda item: [(".lower", item.lower), (".upper", item.upper)]),
    ("bson.dbref", "DBRef", lambda item: [(".id", item.id)]),
    ("bson.code", "Code", lambda item: [(".scope", item.scope)]),
    ("networkx", "Graph", _graph),
    ("pint", "Quantity", lambda quantity: [(".magnitude", quantity.magnitude)]),
    ("numpy", "ndarray", _elements),
    ("numpy", "void", lambda item: ((f"[{brief(name)}]", item[name]) for name in item.dtype.names or ())),
    ("pandas", "DataFrame", _columns),
    ("pandas", "Series", _cells),
    ("pandas", "Index", _index),
    ("pandas.api.extensions", "ExtensionArray", _labels),
    ("xarray", "Dataset", _dataset),
    ("xarray", "DataArray", _data_array),
    ("xarray", "DataTree", _tree),
    ("xarray", "Variable", _variable),
)


def brief(key: Any) -> str:
    """Return a key as a path has it between brackets."""
    text = short_repr(key)
    if isinstance(key, str) and text[0] == "'" and '"' not in text:
        return f'"{text[1:]}' if text.endswith("...") else f'"{text[1:-1]}"'
    return text


def short_repr(key: Any) -> str:
    """Return the repr of a label, cut; its class where it has none: a repr may raise, and that of a long int does."""
    try:
        is_nested = isinstance(key, tuple | frozenset)
        is_text = isinstance(key, str | bytes)
        text = repr(key[:_WIDEST_KEY]) if is_text else _SHORT.repr(key) if is_nested else _ADDRESS.sub("", repr(key))
    except Exception:  # noqa: BLE001
        text = f"<{type(key).__qualname__}>"
    return text if len(text) <= _WIDEST_KEY else text[: _WIDEST_KEY - 3] + "..."

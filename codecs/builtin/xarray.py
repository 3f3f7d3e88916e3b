"""xarray's variables, arrays, datasets and trees, with their coordinates, indexes, attrs and encoding.

::

    xarray.Variable, xarray.IndexVariable    [[dimension, ...], data, attrs, encoding]
    xarray.DataArray    [name, Variable, [[name, coordinate], ...], [[name, index], ...]]
    xarray.Dataset      [[[name, Variable or coordinate], ...], [name of a coordinate, ...], [[name, index], ...],
                         attrs, encoding]
    xarray.DataTree     [name, [[path, Dataset], ...]]

    data         an array of NumPy or pandas, or [Index, dtype] or [MultiIndex, dtype, level] of pandas
    coordinate   Variable, or only [attrs, encoding] if its index gives its data
    index        ["PandasIndex", dimension, Index, dtype] | ["PandasMultiIndex", dimension, MultiIndex,
                 [[level, dtype], ...]] | the number of an earlier index, for its other levels

Only data in memory is stored.  Data in an open file, and chunks that are not computed yet, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core.indexing import PandasIndexingAdapter, PandasMultiIndexingAdapter
from xarray.indexes import PandasIndex, PandasMultiIndex

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.nodes import as_dict, as_list
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.quoting import class_name, cut, quoted

_LOAD_FIRST = "call value.load() before you return it"


def _require(condition: Any, complaint: str) -> None:
    if not condition:
        raise CorruptPayloadError(complaint)


# -- variables -----------------------------------------------------------------------------------------------


def _encode_variable(variable: Any) -> list[Any]:
    return [list(variable.dims), _encode_data(variable._data), variable.attrs, variable.encoding]  # noqa: SLF001


def _encode_data(data: Any) -> Any:
    """Return the node of a variable's ``_data``; ``.data`` would read files and convert an Index."""
    cls = type(data)
    if cls is np.ndarray:
        return data
    if cls is PandasIndexingAdapter:
        return [data.array, data.dtype]
    if cls is PandasMultiIndexingAdapter:
        return [data.array, data.dtype, data.level]
    if cls.__name__ == "PandasExtensionArray":
        return data.array
    raise _refusal(data)


def _refusal(data: Any) -> UnsupportedValueError:
    name = class_name(type(data))
    if hasattr(data, "__dask_graph__") or hasattr(data, "chunks"):
        return UnsupportedValueError(f"its data is not computed yet ({name}); return value.compute()")
    if name.startswith("xarray."):
        return UnsupportedValueError(f"its data is not in memory ({name}); {_LOAD_FIRST}")
    return UnsupportedValueError(
        f"its data is a {name}, which would come back as another class; return value.as_numpy()"
    )


def _decode_variable(cls: Any, node: Any, _version: int) -> Any:
    dims, stored, attrs, encoding = as_list(node)
    data = _decode_data(stored)
    # The fast path keeps an array of objects that look like times; the slow path wraps an array of pandas.
    fast = not isinstance(data, pd.api.extensions.ExtensionArray)
    made = cls(tuple(as_list(dims)), data, as_dict(attrs) or None, as_dict(encoding) or None, fastpath=fast)
    _check_times(data.dtype, made)
    _require(len(made.dims) == made.ndim, f"{len(made.dims)} dimensions for {made.ndim}")
    return made


def _decode_data(stored: Any) -> Any:
    if type(stored) is np.ndarray:  # since NumPy 2.5 a sequence pattern matches it
        return stored
    match stored:
        case [pd.MultiIndex() as index, dtype, level]:
            return PandasMultiIndexingAdapter(index, _checked_dtype(dtype), level)
        case [pd.Index() as index, dtype]:
            return PandasIndexingAdapter(index, _checked_dtype(dtype))
    _require(
        isinstance(stored, pd.api.extensions.ExtensionArray),
        f"a {type(stored).__name__} is in place of the data of a variable",
    )
    return stored


def _checked_dtype(dtype: Any) -> Any:
    """Return the dtype of a payload after a check of its type: xarray would take text too."""
    _require(isinstance(dtype, np.dtype | pd.api.extensions.ExtensionDtype), f"{quoted(dtype)} is not a dtype")
    if not isinstance(dtype, np.dtype):
        try:
            PandasIndexingAdapter(pd.Index([]), dtype)
        except TypeError:
            what = f"an index of {cut(str(dtype))}"
            raise LibraryVersionError(what, "xarray", xr.__version__, "2025.4 or newer") from None
    return dtype


def _check_times(dtype: Any, made: Any) -> None:
    """Refuse times whose unit changed: xarray before 2025.1.2 changes it to nanoseconds."""
    if made.dtype.kind in "mM" and made.dtype != dtype:
        raise LibraryVersionError(f"a variable of {cut(str(dtype))}", "xarray", xr.__version__, "2025.1.2 or newer")


# -- indexes -------------------------------------------------------------------------------------------------


def _encode_indexes(indexes: dict[Any, Any]) -> list[list[Any]]:
    distinct: list[Any] = []
    nodes = []
    for name, index in indexes.items():
        numbers = [number for number, earlier in enumerate(distinct) if earlier is index]
        nodes.append([name, numbers[0] if numbers else _encode_index(name, index)])
        distinct += [] if numbers else [index]
    return nodes


def _encode_index(name: Any, index: Any) -> list[Any]:
    if type(index) is PandasIndex:
        return ["PandasIndex", index.dim, index.index, index.coord_dtype]
    if type(index) is PandasMultiIndex:
        levels = [[level, dtype] for level, dtype in index.level_coords_dtype.items()]
        return ["PandasMultiIndex", index.dim, index.index, levels]
    raise UnsupportedValueError(
        f"the index of {name!r} is a {type(index).__qualname__}, which cannot be stored, only its coordinates can; "
        f"return value.drop_indexes({name!r}).load()"
    )


def _decode_indexes(nodes: list[Any]) -> dict[Any, Any]:
    distinct: list[Any] = []
    indexes = {}
    for name, node in as_list(nodes):
        if type(node) is not int:
            distinct.append(_decode_index(node))
        _require(type(node) is not int or 0 <= node < len(distinct), f"there is no index {quoted(node)}")
        indexes[name] = distinct[node if type(node) is int else -1]
    return indexes


def _decode_index(node: Any) -> Any:
    match node:
        case ["PandasMultiIndex", dim, pd.MultiIndex() as index, list(levels)]:
            return PandasMultiIndex(index, dim, {level: _checked_dtype(dtype) for level, dtype in levels})
        case ["PandasIndex", dim, pd.Index() as index, dtype]:
            return PandasIndex(index, dim, _checked_dtype(dtype))
    raise CorruptPayloadError(f"{quoted(node)} is not an index")


# -- variables under their names -----------------------------------------------------------------------------


def _encode_named(variables: dict[Any, Any], indexes: dict[Any, Any]) -> list[list[Any]]:
    return [
        [name, [variable.attrs, variable.encoding] if _is_of(variable, name, indexes.get(name)) else variable]
        for name, variable in variables.items()
    ]


def _is_of(variable: Any, name: Any, index: Any) -> bool:
    """Return whether the index makes exactly this coordinate."""
    if type(index) not in (PandasIndex, PandasMultiIndex) or type(variable) is not xr.IndexVariable:
        return False
    made = index.create_variables({name: variable}).get(name)
    if made is None or made.dims != variable.dims:
        return False
    left, right = made._data, variable._data  # noqa: SLF001
    same = type(left) is type(right) and left.dtype == right.dtype and _are_same(left.array, right.array)
    return same and getattr(left, "level", None) == getattr(right, "level", None)


def _are_same(left: Any, right: Any) -> bool:
    """Return whether two pandas indexes are one object, or equal in every bit; False where that is slow to find out."""
    if left is right:
        return True
    traits = [(type(index), index.dtype, index.name, getattr(index, "freq", None)) for index in (left, right)]
    if traits[0] != traits[1] or left.dtype == object:
        return False
    if isinstance(left, pd.RangeIndex) or isinstance(left.dtype, pd.StringDtype):
        return bool(left.equals(right))
    if isinstance(left.dtype, np.dtype):
        return bool(left.to_numpy().tobytes() == right.to_numpy().tobytes())
    return False


def _decode_named(pairs: Iterable[Any], indexes: dict[Any, Any]) -> dict[Any, Any]:
    variables = {}
    for name, node in as_list(pairs):
        if isinstance(node, list):
            attrs, encoding = map(as_dict, node)
            dim = indexes[name].dim
            # xarray takes the items of what is not text, and those of an IP network hardly end.
            _require(type(dim) is str or not isinstance(dim, Iterable), f"{quoted(dim)} is not a dimension")
            bare = xr.Variable((dim,), np.empty(0), attrs or None, encoding or None)
            variables[name] = indexes[name].create_variables({name: bare})[name]
            if type(indexes[name]) is PandasIndex:
                _check_times(indexes[name].coord_dtype, variables[name])
        else:
            _require(type(node) in (xr.Variable, xr.IndexVariable), f"{quoted(name)} is a {type(node).__name__}")
            variables[name] = node
    return variables


# -- arrays, datasets, trees ---------------------------------------------------------------------------------


def _encode_array(array: Any) -> list[Any]:
    indexes = array._indexes  # noqa: SLF001 - xindexes copies
    coords = {name: coordinate.variable for name, coordinate in array.coords.items()}
    return [array.name, array.variable, _encode_named(coords, indexes), _encode_indexes(indexes)]


def _decode_array(node: Any, _version: int) -> Any:
    name, variable, coords, index_nodes = as_list(node)
    _require(type(variable) in (xr.Variable, xr.IndexVariable), f"an array of a {type(variable).__name__}")
    indexes = _decode_indexes(index_nodes)
    variables = _decode_named(coords, indexes)
    _require(indexes.keys() <= variables.keys(), "an index has no coordinate")
    for key, coordinate in variables.items():
        fits = coordinate.sizes.items() <= variable.sizes.items()
        _require(fits, f"the coordinate {quoted(key)} has the sizes {quoted(dict(coordinate.sizes))}")
    hash(name)
    return xr.DataArray(variable, variables, name=name, indexes=indexes, fastpath=True)


def _encode_dataset(dataset: Any) -> list[Any]:
    if type(dataset) is not xr.Dataset:
        remedy = "the to_dataset() of its node" if isinstance(dataset, xr.Dataset) else "value.to_dataset()"
        raise UnsupportedTypeError(f"a {type(dataset).__name__} is a view of another object; return {remedy}")
    indexes = dataset._indexes  # noqa: SLF001
    variables = dict(dataset.variables)
    coordinates = [name for name in variables if name in dataset._coord_names]  # noqa: SLF001
    named = _encode_named(variables, indexes)
    return [named, coordinates, _encode_indexes(indexes), dataset.attrs, dataset.encoding]


def _decode_dataset(node: Any, _version: int) -> Any:
    named, coordinates, index_nodes, attrs, encoding = as_list(node)
    indexes = _decode_indexes(index_nodes)
    variables = _decode_named(named, indexes)
    names = set(as_list(coordinates))
    _require(indexes.keys() <= names <= variables.keys(), "a coordinate or an index has no variable")
    make: Any = xr.Dataset._construct_direct  # noqa: SLF001 - the constructor would reorder the variables
    return make(variables, names, attrs=as_dict(attrs) or None, indexes=indexes, encoding=as_dict(encoding) or None)


def _encode_tree(tree: Any) -> list[Any]:
    if tree.parent is not None:
        msg = f"{tree.path} is a part of a tree and inherits coordinates; return value.root, or value.copy()"
        raise UnsupportedValueError(msg)
    for node in tree.subtree:
        refuse_other_attributes(node, ("_",))
    return [tree.name, [[node.path, node.to_dataset(inherit=False)] for node in tree.subtree]]


def _decode_tree(node: Any, _version: int) -> Any:
    name, pairs = as_list(node)
    datasets = {path: dataset for path, dataset in as_list(pairs)}  # noqa: C416 - dict() would list each pair
    for path, dataset in datasets.items():
        _require(type(dataset) is xr.Dataset, f"{quoted(path)} is a {type(dataset).__name__}")
        parent, _, leaf = path.rpartition("/")
        _require(
            path == "/" or ((parent or "/") in datasets and leaf not in ("", ".", "..")),
            f"{quoted(path)} is not a path of a tree",
        )
    tree = xr.DataTree.from_dict(datasets, name=name)
    _require({node.path for node in tree.subtree} == datasets.keys(), "the paths are not those of a tree")
    return tree


# -- summaries -----------------------------------------------------------------------------------------------


def _summarize(value: Any) -> dict[str, Any]:
    return {"sizes": {str(name)[:40]: size for name, size in list(value.sizes.items())[:20]}, "dtype": str(value.dtype)}


def _summarize_dataset(value: Any) -> dict[str, Any]:
    dtypes = {str(name)[:40]: str(variable.dtype) for name, variable in list(value.variables.items())[:20]}
    return {"sizes": {str(name)[:40]: size for name, size in list(value.sizes.items())[:20]}, "dtypes": dtypes}


def _summarize_tree(value: Any) -> dict[str, Any]:
    return {"nodes": [node.path for node in list(value.subtree)[:20]]}


_DATASETS: Any = (xr.Dataset, "xarray.core.datatree.DatasetView", xr.Coordinates, *xr.Coordinates.__subclasses__())
CODECS = (
    *(
        Codec(f"xarray.{cls.__name__}", (cls,), _encode_variable, partial(_decode_variable, cls), summarize=_summarize)
        for cls in (xr.Variable, xr.IndexVariable)
    ),
    Codec("xarray.DataArray", (xr.DataArray,), _encode_array, _decode_array, summarize=_summarize),
    Codec("xarray.Dataset", _DATASETS, _encode_dataset, _decode_dataset, summarize=_summarize_dataset),
    Codec("xarray.DataTree", (xr.DataTree,), _encode_tree, _decode_tree, summarize=_summarize_tree, attributes=("_",)),
)

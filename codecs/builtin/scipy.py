"""SciPy's sparse arrays and matrices of every format, as the arrays that they are made of.

::

    scipy.sparse.csr_array, csc_…, bsr_…    [shape, data, indices, indptr, state]
    scipy.sparse.coo_array                  [shape, data, [indices along each axis], state]
    scipy.sparse.dia_array                  [shape, data, offsets, state]
    scipy.sparse.lil_array                  [shape, dtype, [entries in each row], columns, values, state]
    scipy.sparse.dok_array                  [shape, dtype, indices, values, state]

    state   {"sorted": bool, "canonical": bool, "maxprint": int}, of which each may be missing

``csr_matrix`` and the other matrices have the same forms.  Explicit zeros, duplicates, the order of entries and the
dtypes of indices are kept.  The columns and values of ``lil`` and the indices of ``dok`` are concatenated: in an array
if all are of one NumPy type, otherwise in a list.

SciPy's C routines trust indices, so push and pull check them against the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

import numpy as np
import scipy.sparse

from airflow_xcom.codecs.builtin.kinds import attributes_of
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list
from airflow_xcom.codecs.quoting import quoted

_Array = np.ndarray[Any, np.dtype[Any]]

_INDEX_DTYPES = (np.dtype(np.int32), np.dtype(np.int64))
_DTYPE_CHARS = frozenset("?bhilqBHILQpPfdgFDG")  # the dtypes that scipy.sparse computes with
_FLAGS = {"sorted": "_has_sorted_indices", "canonical": "_has_canonical_format"}
_PARTS = {"_shape", "maxprint", "data", "indices", "indptr", "coords", "offsets", "dtype", "rows", "_dict"}
_KNOWN = _PARTS | {*_FLAGS.values(), "has_canonical_format"}
_NEWER = {"csr_array": (range(1, 2), "1.14"), "coo_array": (range(3, 65), "1.15")}  # dimensions, and the first release
_MAXPRINT = scipy.sparse.coo_array((0, 0)).maxprint


class _InconsistentError(ValueError):
    """Raised when the parts of an array do not fit together; the message completes "the array has …"."""


# -- parts ---------------------------------------------------------------------------------------------------


def _require(condition: Any, complaint: str) -> None:
    if not condition:
        raise _InconsistentError(complaint)


def _check_shape(shape: Any, *, most: int = 2) -> None:
    _require(1 <= len(shape) <= most, f"{len(shape)} dimensions")
    for length in shape:
        _require(type(length) is int and 0 <= length < 2**63, f"a dimension of {quoted(length)}")


def _check_data(data: Any, ndim: int) -> None:
    _require(type(data) is np.ndarray and data.ndim == ndim, f"data that is not an array of dimension {ndim}")
    _require(data.dtype.isnative and data.dtype.char in _DTYPE_CHARS, f"data of {data.dtype!s:.80}")


def _check_indices(indices: Any, limit: int) -> None:
    """Refuse ``indices`` unless each is at least 0 and less than ``limit``."""
    _require(type(indices) is np.ndarray and indices.ndim == 1, "indices that are not an array of dimension 1")
    _require(indices.dtype in _INDEX_DTYPES and indices.dtype.isnative, f"indices of {indices.dtype!s:.80}")
    if indices.size:
        _require(0 <= indices.min() <= indices.max() < limit, f"indices from {indices.min()} to {indices.max()}")


def _check_pointers(indptr: Any, rows: int, entries: int) -> None:
    _check_indices(indptr, entries + 1)
    _require(len(indptr) == rows + 1, f"{len(indptr)} pointers for {rows} rows")
    _require(indptr[0] == 0 and not (indptr[1:] < indptr[:-1]).any(), "pointers that decrease")


# -- csr, csc, bsr -------------------------------------------------------------------------------------------


def _make_compressed(cls: Any, shape: list[int], data: Any, indices: Any, indptr: Any) -> Any:
    blocks = "bsr" in cls.__name__
    _check_shape(shape)
    _check_data(data, 3 if blocks else 1)
    height, width = data.shape[1:] if blocks else (1, 1)
    rows, columns = shape if len(shape) > 1 else (1, *shape)
    _require(height and width and not rows % height and not columns % width, f"blocks of {height} by {width}")
    if "csc" in cls.__name__:
        rows, columns = columns, rows
    _require(len(indices) == len(data), f"{len(indices)} indices for {len(data)} entries")
    _check_indices(indices, columns // width)
    _check_pointers(indptr, rows // height, len(indices))
    made = cls(tuple(shape), blocksize=(height, width)) if blocks else cls(tuple(shape))
    made.data, made.indices, made.indptr = data, indices, indptr  # the constructor would change dtypes
    return made


# -- coo, dia ------------------------------------------------------------------------------------------------


def _make_coordinates(cls: Any, shape: list[int], data: Any, coords: list[Any]) -> Any:
    _check_shape(shape, most=64)
    _check_data(data, 1)
    for indices, length in zip(coords, shape, strict=True):
        _check_indices(indices, length)
        _require(len(indices) == len(data), f"{len(indices)} indices for {len(data)} entries")
        _require(indices.dtype == coords[0].dtype, "indices of several dtypes")
    made = cls(tuple(shape))
    made.data, made.coords = data, tuple(coords)
    made.has_canonical_format = False
    return made


def _make_diagonals(cls: Any, shape: list[int], data: Any, offsets: Any) -> Any:
    _check_shape(shape)
    _check_data(data, 2)
    _check_indices(np.abs(offsets), 2**31 - 1)
    _require(len(np.unique(offsets)) == len(offsets) == len(data), f"{len(offsets)} offsets for {len(data)} diagonals")
    most = np.iinfo(offsets.dtype).max
    _require(max(*shape, data.shape[1]) <= most, f"a size that its offsets of {offsets.dtype} cannot count")
    made = cls(tuple(shape))
    made.data, made.offsets = data, offsets
    return made


# -- lil, dok ------------------------------------------------------------------------------------------------


def _flat(items: list[Any]) -> Any:
    """Return the items as an array if all are of one NumPy type, otherwise as they are."""
    types = set(map(type, items))
    item_type = types.pop() if len(types) == 1 else object
    return np.array(items, item_type) if issubclass(item_type, np.number | np.bool_) else items


def _check_entries(items: list[Any]) -> list[Any]:
    types = set(map(type, items))
    numbers = int | float | complex | np.number | np.bool_
    _require(all(issubclass(item_type, numbers) for item_type in types), "entries that are not numbers")
    return items


def _check_indexes(items: Iterable[Any], limit: int) -> None:
    for item in items:
        _require(isinstance(item, int | np.integer) and 0 <= item < limit, f"the index {quoted(item)}")


def _take_lists(value: Any) -> list[Any]:
    rows, data = value.rows.tolist(), value.data.tolist()
    _require(all(type(row) is list for row in chain(rows, data)), "rows that are not lists")
    lengths = list(map(len, rows))
    _require(lengths == list(map(len, data)), "more or fewer values than columns")
    return [value.dtype, lengths, _flat(list(chain(*rows))), _flat(list(chain(*data)))]


def _make_lists(cls: Any, shape: list[int], dtype: Any, *entries: Any) -> Any:
    _check_shape(shape)
    (rows, width), (lengths, columns, values) = shape, entries
    _require(isinstance(dtype, np.dtype), f"a {type(dtype).__name__} for its dtype")  # np.empty() would take text too
    _check_data(np.empty(0, dtype), 1)
    _require(
        len(lengths) == rows and all(type(length) is int and length >= 0 for length in lengths),
        "impossible lengths of rows",
    )
    _require(sum(lengths) == len(columns) == len(values), f"{len(columns)} columns for {len(values)} values")
    _check_indexes(columns, width)
    numbers = _check_entries(list(values))
    made = cls(tuple(shape), dtype=dtype)
    made.rows[:], made.data[:] = _rows(columns, lengths), _rows(numbers, lengths)
    return made


def _rows(items: Iterable[Any], lengths: list[int]) -> _Array:
    iterator = iter(items)
    return np.fromiter((list(islice(iterator, length)) for length in lengths), object, len(lengths))


def _take_keys(value: Any) -> list[Any]:
    keys = list(value._dict)  # noqa: SLF001 - keys() converts them
    if value.ndim > 1:
        _require(
            all(type(key) is tuple and len(key) == value.ndim for key in keys),
            "keys that are not tuples of its dimension",
        )
        keys = list(chain(*keys))
    return [value.dtype, _flat(keys), _flat(list(value._dict.values()))]  # noqa: SLF001


def _make_keys(cls: Any, shape: list[int], dtype: Any, keys: Any, values: Any) -> Any:
    _check_shape(shape)
    _require(isinstance(dtype, np.dtype), f"a {type(dtype).__name__} for its dtype")  # np.empty() would take text too
    _check_data(np.empty(0, dtype), 1)
    for axis, length in enumerate(shape):
        _check_indexes(keys[axis :: len(shape)], length)
    _require(len(keys) == len(values) * len(shape), f"{len(keys)} indices for {len(values)} values")
    pairs = zip(*[iter(keys)] * len(shape), strict=True) if len(shape) > 1 else keys
    made = cls(tuple(shape), dtype=dtype)
    made._dict.update(zip(pairs, _check_entries(list(values)), strict=True))
    _require(made.nnz == len(values), "an index twice")
    return made


# -- every format --------------------------------------------------------------------------------------------

# What takes the parts of an array, beside its shape, and what makes the array from its class and all of them.
_FORMATS: dict[str, tuple[Callable[[Any], list[Any]], Callable[..., Any]]] = {
    **dict.fromkeys(("csr", "csc", "bsr"), (attributes_of("data", "indices", "indptr"), _make_compressed)),
    "coo": (lambda value: [value.data, list(value.coords)], _make_coordinates),
    "dia": (attributes_of("data", "offsets"), _make_diagonals),
    "lil": (_take_lists, _make_lists),
    "dok": (_take_keys, _make_keys),
}


def _encode(value: Any) -> list[Any]:
    try:
        take, make = _FORMATS[value.format]
        parts = [list(value.shape), *take(value)]
        make(type(value), *parts)
    except (ValueError, TypeError, IndexError) as error:
        msg = f"the {type(value).__name__} is not consistent: it has {error}; build it again from its entries"
        raise UnsupportedValueError(msg) from error
    return [*parts, _state(value)]


def _state(value: Any) -> dict[str, Any]:
    state = {name: bool(vars(value)[flag]) for name, flag in _FLAGS.items() if flag in vars(value)}
    if value.format == "coo" and value.has_canonical_format:
        state["canonical"] = True
    return state if value.maxprint == _MAXPRINT else {**state, "maxprint": value.maxprint}


def _decoder(cls: Any, form: str) -> Callable[[Any, int], Any]:
    _, make = _FORMATS[form]

    def decode(node: Any, _version: int) -> Any:
        shape, *parts, state = as_list(node)
        _check_release(cls, len(as_list(shape)))
        try:
            made = make(cls, shape, *parts)
        except _InconsistentError as error:
            raise CorruptPayloadError(f"a {cls.__name__} of shape {quoted(shape)} has {error}") from error
        for name, item in as_dict(state).items():
            _require(type(item) is (int if name == "maxprint" else bool), f"{name} is {quoted(item)}")
            setattr(made, _attribute(name, form), item)
        return made

    return decode


def _check_release(cls: Any, dimensions: int) -> None:
    """Refuse arrays of more or fewer dimensions than the installed SciPy supports."""
    newer, since = _NEWER.get(cls.__name__, ((), ""))
    if dimensions in newer:
        try:
            cls((1,) * dimensions)
        except (TypeError, ValueError):
            what = f"a {cls.__name__} of dimension {quoted(dimensions)}"
            raise LibraryVersionError(what, "scipy", scipy.__version__, f"{since} or newer") from None


def _attribute(name: str, form: str) -> str:
    if name == "maxprint":
        return name
    return "has_canonical_format" if form == "coo" else _FLAGS[name]


def _summarize(value: Any) -> dict[str, Any]:
    return {"shape": list(value.shape), "dtype": str(value.dtype), "entries": int(value.nnz)}


def _codec(form: str, kind: str) -> Codec:
    name = f"{form}_{kind}"
    cls = getattr(scipy.sparse, name)
    return Codec(f"scipy.sparse.{name}", (cls,), _encode, _decoder(cls, form), summarize=_summarize, attributes=_KNOWN)


CODECS = tuple(_codec(form, kind) for form in _FORMATS for kind in ("array", "matrix"))

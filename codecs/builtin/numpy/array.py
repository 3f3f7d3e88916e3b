"""NumPy arrays, scalars and dtypes.

::

    numpy.ndarray      [dtype, shape, elements] | [dtype, shape, elements, "F"]    elements in memory order,
                                                                                   see numpy_elements
    numpy.scalar       [dtype, item] | [dtype, elements] | ["U", str] | ["S", bytes]
    numpy.dtype        dtype                                                       see numpy_dtypes
    numpy.recarray     the same elements as a numpy.ndarray
    numpy.MaskedArray  [data, mask | None, fill_value | None, hard_mask] | None for np.ma.masked
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, chain, pairwise
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np

from airflow_xcom.codecs.builtin.numpy.dtypes import NATIVE, SCALAR_TYPES, decode_dtype, encode_dtype, is_extended
from airflow_xcom.codecs.builtin.numpy.elements import SMALL, decode_elements, encode_elements
from airflow_xcom.codecs.codec import Codec, ColumnCodec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedTypeError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Columns, as_list, as_text
from airflow_xcom.codecs.quoting import quoted

_Array = np.ndarray[Any, np.dtype[Any]]

# Subclasses that people meet; any other is refused by the registry.
_REFUSED = (np.matrix, np.memmap, np.ma.core.mvoid, "numpy.char.chararray", "numpy.chararray")

_DTYPE, _SHAPE, _NBYTES = map(attrgetter, ("dtype", "shape", "nbytes"))
_TOGETHER = 1 << 20  # bytes of arrays that share a piece of memory
_PARTS = 3  # of the node of an array in the order of C
_NUMBERS = (bool, int, float)  # not Decimal: an int() of Decimal("1E+999999999") takes hours
_MASKED_DATA = (np.ndarray, np.recarray)
_MASKED = (np.ma.MaskedArray, type(np.ma.masked))
_MASKED_STATE = ("_", "_getitem", *vars(np.ma.MaskedArray(0)))  # _getitem is one of a matrix within, which is refused


def _encode_array(array: Any) -> list[Any]:
    if type(array) is not np.ndarray:
        raise _refusal(array)
    node = [encode_dtype(array.dtype), list(array.shape), encode_elements(array)]
    if array.flags.fnc:
        node.append("F")
    return node


def _refusal(array: Any) -> UnsupportedTypeError:
    advice = "value.filled()" if isinstance(array, np.ma.MaskedArray) else "np.asarray(value), which copies nothing"
    return UnsupportedTypeError(f"a {type(array).__name__} would come back as another class; return {advice}")


def _decode_array(node: Any, _version: int) -> _Array:
    spec, shape, elements, order = node if len(as_list(node)) == 4 else (*node, "C")  # noqa: PLR2004
    for length in as_list(shape):
        if type(length) is not int or length < 0:
            raise CorruptPayloadError(f"an array has a dimension of {quoted(length)}")
    flat = decode_elements(decode_dtype(spec), prod(shape), elements)
    if as_text(order) not in ("C", "F"):
        raise CorruptPayloadError(f"an array has the order {quoted(order)}")
    return flat if len(shape) == 1 else flat.reshape(shape, order=order)


def _take_arrays(cls: type, arrays: list[Any]) -> Columns | None:
    """Return the dtypes, shapes and elements of few small arrays of one dimension whose dtype is one object."""
    shapes = list(map(_SHAPE, arrays))
    dtype = arrays[0].dtype
    if cls is not np.ndarray or set(map(len, shapes)) != {1} or set(map(id, map(_DTYPE, arrays))) != {id(dtype)}:
        return None
    sizes = list(map(_NBYTES, arrays))
    if id(dtype) not in NATIVE or dtype.hasobject or max(sizes) >= SMALL or sum(sizes) > _TOGETHER:
        return None
    return Columns([[dtype.str] * len(arrays), list(map(list, shapes)), [array.tobytes() for array in arrays]])


def _put_arrays(columns: Columns, _version: int) -> list[_Array] | None:
    """Return arrays of one dimension and one dtype, which lie in one piece of memory: a short one, as each keeps it."""
    if columns.names is not None or len(columns.columns) != _PARTS:
        return None
    texts, shapes, elements = columns.columns
    if set(map(type, texts)) != {str} or set(texts) != {texts[0]} or set(map(type, elements)) != {bytes}:
        return None
    if set(map(type, shapes)) != {list} or set(map(type, chain.from_iterable(shapes))) != {int}:
        return None
    if sum(map(len, elements)) > _TOGETHER:
        return None
    dtype, memory = decode_dtype(texts[0]), bytearray().join(elements)
    size = dtype.itemsize or 1
    lengths = [len(each) // size for each in elements]
    if shapes != [[length] for length in lengths] or sum(lengths) * size != len(memory):
        return None
    flat = decode_elements(dtype, sum(lengths), memory)
    return [flat[start:stop] for start, stop in pairwise(accumulate(lengths, initial=0))]


def _encode_scalar(scalar: Any) -> list[Any]:
    dtype = scalar.dtype
    if dtype.kind == "U":
        return ["U", str.__str__(scalar)]  # item() drops trailing NULs
    if dtype.kind == "S":
        return ["S", bytes(scalar)]
    spec = encode_dtype(dtype)
    if type(spec) is str and dtype.kind in "biu":
        return [spec, scalar.item()]
    if dtype.kind in "mM":
        return [spec, int(scalar.view(np.int64))]
    if type(spec) is str and dtype.char in "efd" and scalar == scalar:  # noqa: PLR0124 - not NaN, whose bits a float need not keep
        return [spec, scalar.item()]
    return [spec, encode_elements(np.asarray(scalar))]


def _decode_scalar(node: Any, _version: int) -> Any:
    spec, item = node
    if type(spec) is str and spec == "U" and type(item) is str:
        return np.str_(item)
    if type(spec) is str and spec == "S" and type(item) is bytes:
        return np.bytes_(item)
    dtype = decode_dtype(spec)
    if isinstance(item, bytes | memoryview | list) and dtype.kind not in "OT":
        return decode_elements(dtype, 1, item).copy()[0]
    if type(item) in _NUMBERS and dtype.kind in "mM":
        return _exact(np.int64, item).view(dtype.newbyteorder("="))
    if type(item) in _NUMBERS and dtype.kind in "biuf":
        return _exact(dtype.type, item)
    raise CorruptPayloadError(f"{quoted(item)} for a scalar of {dtype!r:.80}")


def _exact(scalar_type: Any, item: Any) -> Any:
    scalar = scalar_type(item)
    if type(scalar.item()) is not type(item) or scalar.item() != item:
        raise CorruptPayloadError(f"{quoted(item)} is no {scalar_type.__name__}")
    return scalar


def _encode_recarray(array: Any) -> Any:
    return array.view(np.ndarray)


def _decode_recarray(array: Any, _version: int) -> Any:
    if type(array) is not np.ndarray:
        raise CorruptPayloadError(f"a recarray of {type(array).__name__}")
    return array.view(np.recarray)


def _encode_masked(array: Any) -> list[Any] | None:
    if array is np.ma.masked:
        return None
    data = array.data
    if type(data) not in _MASKED_DATA:
        advice = "numpy.ma.array(numpy.asarray(value.data), mask=value.mask)"
        raise UnsupportedTypeError(
            f"data of the class {type(data).__name__} would come back as another; return {advice}"
        )
    for name in array._optinfo:  # noqa: SLF001 - where NumPy copies the attributes of what it was made from
        raise UnsupportedValueError(f"the MaskedArray has the attribute {name!r}, which would be lost; return it apart")
    mask = np.ma.getmask(array)
    # The property fill_value would set the default, which a later astype() then takes for the user's choice.
    return [data, None if mask is np.ma.nomask else mask, array._fill_value, array.hardmask]  # noqa: SLF001


def _decode_masked(node: Any, _version: int) -> Any:
    if node is None:
        return np.ma.masked
    data, mask, fill_value, hard_mask = node
    if type(data) not in _MASKED_DATA or type(hard_mask) is not bool:
        raise CorruptPayloadError(f"a masked array of {type(data).__name__}, hard_mask={quoted(hard_mask)}")
    if mask is not None and (mask.shape, mask.dtype) != (data.shape, np.ma.make_mask_descr(data.dtype)):
        raise CorruptPayloadError(f"a mask {mask.shape} of {mask.dtype} for data {data.shape} of {data.dtype}")
    if fill_value is not None and (type(fill_value) is not np.ndarray or fill_value.shape != ()):
        raise CorruptPayloadError(f"{quoted(fill_value)} is no fill value")
    array = np.ma.MaskedArray(data, np.ma.nomask if mask is None else mask, hard_mask=hard_mask)
    array._fill_value = fill_value  # type: ignore[attr-defined]  # noqa: SLF001
    return array


def _summarize(array: Any) -> dict[str, Any]:
    return {"shape": list(array.shape), **_summarize_dtype(array.dtype)}


_text_of = lru_cache(maxsize=32)(str)  # NumPy's own Python takes longer for that than the rest of a summary


def _name_of(dtype: Any) -> str:
    try:
        return _text_of(dtype)
    except TypeError:  # the object for a missing text has no hash
        return str(dtype)


def _summarize_dtype(dtype: Any) -> dict[str, Any]:
    if dtype.names is None:
        return {"dtype": _name_of(dtype)}
    return {"dtype": dtype.name, "fields": list(dtype.names[:20])}


CODECS = (
    ColumnCodec(
        "numpy.ndarray",
        (np.ndarray, *_REFUSED),
        _encode_array,
        _decode_array,
        take=_take_arrays,
        put=_put_arrays,
        summarize=_summarize,
    ),
    Codec(
        "numpy.scalar",
        SCALAR_TYPES,
        _encode_scalar,
        _decode_scalar,
        matches=is_extended,
        summarize=lambda scalar: _summarize_dtype(scalar.dtype),
        attributes=(),
    ),
    Codec("numpy.dtype", (np.dtype,), encode_dtype, decode_dtype, subclasses=True, summarize=_summarize_dtype),
    Codec("numpy.recarray", (np.recarray,), _encode_recarray, _decode_recarray, summarize=_summarize, attributes=()),
    Codec("numpy.MaskedArray", _MASKED, _encode_masked, _decode_masked, summarize=_summarize, attributes=_MASKED_STATE),
)

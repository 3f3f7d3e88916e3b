"""NumPy dtypes as nodes: shared by the array, scalar and dtype codecs.

::

    dtype := "<f8" | "<M8[25s]" | "|O"             dtype.str
           | "<i8:q" | "<f16:g63"                  dtype.str, C type, bits of a long double's mantissa
           | ["struct" | "record", itemsize, aligned, [[name, dtype, offset] | [name, dtype, offset, title], ...]]
           | ["array", dtype, shape]               a field that is an array
           | ["string", coerce] | ["string", coerce, na_object]
           | ["meta", dtype, metadata]
           | ["ml_dtypes", name]
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import numpy as np

from airflow_xcom.codecs.builtin.kinds import library
from airflow_xcom.codecs.errors import CorruptPayloadError, DecodeError, LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.quoting import quoted

# The classes of NumPy's own scalars: dtypes of other libraries have a class of their own.
SCALAR_TYPES = tuple(
    sorted({np.record, *(np.dtype(code).type for code in np.typecodes["All"] if code != "O")}, key=lambda t: t.__name__)
)
_OWN_TYPES = frozenset((*SCALAR_TYPES, np.object_))
_STRING: Any = getattr(np.dtypes, "StringDType", None)  # NumPy 2 and later

# dtype objects that equal each other may still differ (long and long long, metadata): know these by identity.
_NATIVE_DTYPES = tuple(np.dtype(code) for code in "?bBhHiIlLefdFDO")
NATIVE = {id(dtype): dtype.str for dtype in _NATIVE_DTYPES if np.dtype(dtype.str) is dtype}

# np.dtype() reads far more than dtype.str ever says ("O8", "i4,f8", "float", a multiple of zero seconds).
_TEXT = (  # compiled when it is first needed, for a first push of a frame does without
    r"(?P<plain>[<>|](?:[biufcSUV][0-9]{1,10}|O|"
    r"[mM]8(?:\[(?:[1-9][0-9]{0,9})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?))"
    r"(?::(?P<code>[bBhHiIlLqQcdDgG])(?P<mantissa>[0-9]{1,3})?)?"
)


def is_extended(cls: type) -> bool:
    """Return whether a class is one of the scalars of ml_dtypes."""
    return cls.__module__ == "ml_dtypes" and issubclass(cls, np.generic)


@cache
def mantissa_bits() -> int:
    """Return the bits of a long double's mantissa: what tells x87, IEEE quad and double-double from each other."""
    return int(np.finfo(np.longdouble).nmant)


def encode_dtype(dtype: np.dtype[Any]) -> Any:
    """Return the node of ``dtype``."""
    text = NATIVE.get(id(dtype))
    if text is not None:
        return text
    node = _encode_bare(dtype)
    return node if dtype.metadata is None else ["meta", node, dict(dtype.metadata)]


def _encode_bare(dtype: Any) -> Any:
    if _STRING is not None and type(dtype) is _STRING:
        return ["string", dtype.coerce, *([dtype.na_object] if hasattr(dtype, "na_object") else [])]
    if is_extended(dtype.type) and dtype == np.dtype(dtype.type):  # whose order of bytes is the machine's
        return ["ml_dtypes", dtype.type.__name__]
    if dtype.type not in _OWN_TYPES:
        raise UnsupportedValueError(
            f"the dtype {dtype!r} is not one of NumPy's own; convert it (astype(np.float32), say), "
            "or register a codec for the values"
        )
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["array", _encode_part(base), list(shape)]
    if dtype.names is not None:
        return _encode_struct(dtype)
    return dtype_to_text(dtype)


def _encode_part(dtype: Any) -> Any:
    if dtype.kind == "T":
        raise UnsupportedValueError(f"NumPy has no structured arrays of {dtype!r}; use a fixed width ('U20') or object")
    return encode_dtype(dtype)


def _encode_struct(dtype: Any) -> list[Any]:
    if dtype.kind != "V":
        raise UnsupportedValueError(f"the dtype {dtype.str!r} with fields over a number; view it as a structured dtype")
    fields = []
    for name in dtype.names:
        field, offset, *title = dtype.fields[name]
        if not _equal_themselves(title):
            msg = f"a title of the field {name!r:.80} that does not equal itself, {title[0]!r:.80}; use a text"
            raise UnsupportedValueError(msg)
        fields.append([name, _encode_part(field), offset, *title])
    return ["record" if dtype.type is np.record else "struct", dtype.itemsize, dtype.isalignedstruct, fields]


def _equal_themselves(titles: list[Any]) -> bool:
    """Return whether each title equals itself: a dtype with a title that is NaN differs from its own copy."""
    return all(title == title for title in titles)  # noqa: PLR0124 - that is the question


def dtype_to_text(dtype: Any) -> str:
    """Return the text of a dtype without fields: with its C type where ``dtype.str`` stands for another (long long)."""
    text: str = dtype.str
    if dtype.char in "gG":
        return f"{text}:{dtype.char}{mantissa_bits()}"
    return text if dtype.kind in "mMUV" or np.dtype(text).char == dtype.char else f"{text}:{dtype.char}"


def decode_dtype(node: Any, _version: int = 1) -> np.dtype[Any]:
    """Return the dtype of ``node``."""
    if isinstance(node, str):
        return text_to_dtype(node)
    form, *rest = as_list(node)
    as_text(form)
    if form == "string":
        return _decode_string(*rest)
    if form == "array":
        base, shape = rest
        return np.dtype((_decode_part(base), tuple(as_list(shape))))
    if form == "ml_dtypes":
        kind = vars(library("ml_dtypes", "numpy.dtype"))[as_text(rest[0])]
        if not (isinstance(kind, type) and is_extended(kind)):
            raise CorruptPayloadError(f"{quoted(rest[0])} is no dtype of ml_dtypes")
        return np.dtype(kind)
    if form == "meta":
        return np.dtype(decode_dtype(rest[0]), metadata=rest[1])
    if form in {"struct", "record"}:
        dtype = _decode_struct(*rest)
        return np.dtype((np.record, dtype)) if form == "record" else dtype
    raise CorruptPayloadError(f"{quoted(form)} is not a form of dtype")


@lru_cache(maxsize=256)
def text_to_dtype(text: str) -> np.dtype[Any]:
    """Return the dtype of a text."""
    match = re.fullmatch(_TEXT, text)
    if match is None:
        raise CorruptPayloadError(f"{quoted(text)} is no dtype")
    plain, code, mantissa = match.groups()
    if code is None:
        dtype: np.dtype[Any] = np.dtype(plain)
    else:
        dtype = np.dtype(code)
        dtype = dtype if dtype.str == plain else dtype.newbyteorder()
        if dtype.str != plain or int(mantissa or mantissa_bits()) != mantissa_bits():
            raise DecodeError(
                f"the C type of the dtype {quoted(text)} has another form on the platform where it is pulled"
            )
    if dtype.str != plain:
        raise CorruptPayloadError(f"{quoted(text)} is not how NumPy writes the dtype {dtype.str!r}")
    return dtype


def _decode_string(coerce: bool, *na_object: Any) -> np.dtype[Any]:  # noqa: FBT001 - the node's order
    if _STRING is None:
        raise LibraryVersionError("a StringDType", "numpy", np.__version__, "2.0 or newer")
    options = {"na_object": na_object[0]} if na_object else {}
    dtype: np.dtype[Any] = _STRING(coerce=coerce, **options)
    return dtype


def _decode_part(node: Any) -> np.dtype[Any]:
    dtype = decode_dtype(node)
    if dtype.kind == "T":  # NumPy makes such a dtype, and its arrays are broken
        raise CorruptPayloadError("a structured dtype with a StringDType")
    return dtype


def _decode_struct(itemsize: int, aligned: bool, fields: list[Any]) -> np.dtype[Any]:  # noqa: FBT001 - the node's order
    formats = [_decode_part(field[1]) for field in as_list(fields)]
    offsets = [field[2] for field in fields]
    if type(aligned) is not bool:
        raise CorruptPayloadError(f"a structured dtype that is aligned: {quoted(aligned)}")
    for part, offset in zip(formats, offsets, strict=True):  # NumPy adds them up in 32 bits
        if type(offset) is not int or not 0 <= offset <= itemsize - part.itemsize:
            msg = f"a field of {part.itemsize} bytes at {quoted(offset)} in elements of {quoted(itemsize)}"
            raise CorruptPayloadError(msg)
    titles = [field[3] if len(field) > 3 else None for field in fields]  # noqa: PLR2004
    if not _equal_themselves(titles):
        raise CorruptPayloadError("a field's title that does not equal itself")
    form = {
        "names": [field[0] for field in fields],
        "formats": formats,
        "offsets": offsets,
        "titles": titles,
        "itemsize": itemsize,
    }
    return np.dtype(form, align=aligned)  # type: ignore[call-overload,no-any-return]

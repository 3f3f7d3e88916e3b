"""NumPy arrays, scalars and dtypes come back as themselves, or are refused when they are pushed."""

from __future__ import annotations

import base64
import datetime as dt
import json
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from airflow_xcom.codecs import decode, encode
from airflow_xcom.codecs.builtin.numpy import dtypes as numpy_dtypes
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    DecodeError,
    EncodeError,
    LibraryVersionError,
    UnsupportedTypeError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.testing import difference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

StringDType = getattr(np.dtypes, "StringDType", None)
needs_string_dtype = pytest.mark.skipif(StringDType is None, reason="StringDType came with NumPy 2")


def _blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def _row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


WAYS = {"blob": _blob, "row": _row}
both_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def _objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        array[position] = item
    return array


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _holding_an_array() -> np.ndarray:
    array = np.empty((), object)
    array[()] = np.arange(3)
    return array


def _unaligned() -> np.ndarray:
    array = np.frombuffer(bytearray(33), "u1")[1:].view("<f8")
    array[:] = [1, 2, 3, np.nan]
    return array


STRUCT = np.dtype(
    {
        "names": ["id", "", "größe", "inner", "grid"],
        "formats": ["<i8", ">i2", "<M8[25s]", [("x", "f4"), ("deep", [("s", "S3"), ("u", "<U2")])], ("<f8", (2, 3))],
        "titles": ["The id", None, None, "An inner one", None],
    }
)
HOLED = np.dtype({"names": ["a", "b"], "formats": ["i4", "f8"], "offsets": [12, 2], "itemsize": 40})
MIXED = np.dtype([("n", "i4"), ("o", "O"), ("pair", "O", (2,)), ("inner", [("p", "O"), ("q", "f8")])])


def _filled(dtype: np.dtype, shape: Any = 3) -> np.ndarray:
    """Other bytes in every element; any bytes are an element of these dtypes."""
    array = np.zeros(shape, dtype)
    array.view(np.uint8)[...] = (np.arange(array.nbytes) % 100).astype(np.uint8).reshape(array.view(np.uint8).shape)
    return array


def _mixed() -> np.ndarray:
    inner = (Decimal("1.10"), 2.5)
    return np.array([(1, {"a": (1, 2)}, [None, "x"], inner), (2, [1, 2], [b"b", dt.date.max], inner)], MIXED)


def _int(code: str) -> Callable[[], np.ndarray]:
    limits = np.iinfo(code)
    return lambda: np.array([limits.min, 0, 1, limits.max], code)


def _float(code: str) -> Callable[[], np.ndarray]:
    limits = np.finfo(code)
    return lambda: np.array([0.0, -0.0, 1 / 3, limits.max, limits.tiny, np.inf, -np.inf, np.nan, -np.nan], code)


def _complex(code: str) -> Callable[[], np.ndarray]:
    return lambda: np.array([complex(1.5, -0.0), complex(np.nan, np.inf), complex(-0.0, 1 / 3)], code)


ARRAYS: dict[str, Callable[[], np.ndarray]] = {
    "bool": lambda: np.array([True, False]),
    **{f"int {code}": _int(code) for code in "bBhHiIlLqQ"},
    **{f"float {code}": _float(code) for code in "efdg"},
    **{f"complex {code}": _complex(code) for code in "FDG"},
    **{f"big endian {code}": _int(f">{code}") for code in ("i2", "u4", "i8", "q")},
    **{f"big endian {code}": _float(f">{code}") for code in ("f2", "f8", "g")},
    "big endian complex": _complex(">c16"),
    "big endian clongdouble": _complex(">G"),
    "signalling NaN": lambda: np.array([0x7FF0000000000001, 0xFFF8000000000123], "u8").view("f8"),
    "bool that is 2": lambda: np.array([0, 1, 2], "u1").view(bool),
    # text and bytes
    "S": lambda: np.array([b"a", b"", b"a\0b", b"\xff\xfe"]),
    "U": lambda: np.array(["a", "", "größer", "\U0001f600", "\ud800"]),
    "big endian U": lambda: np.array(["a", "bc"], ">U2"),
    "U0": lambda: np.zeros(3, [("u", "U0"), ("n", "i4")])["u"],
    "S0": lambda: np.ndarray((2, 2), "S0"),
    "V": lambda: np.array([b"ab\0", b"\0\0\0"], "V3"),
    "V0": lambda: np.zeros(3, "V0"),
    "characters": lambda: np.array([b"a", b"b"], "c"),
    # times
    **{
        f"datetime64[{unit}]": lambda unit=unit: np.array([0, 1, -1, "NaT"], f"M8[{unit}]")
        for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s", "7D")
    },
    "datetime64": lambda: np.array(["NaT"], "M8"),
    "timedelta64": lambda: np.array([5, "NaT"], "m8"),
    "timedelta64[3h]": lambda: np.array([5, "NaT", -(2**62)], "m8[3h]"),
    "big endian datetime64": lambda: np.array([0, 1, "NaT"], ">M8[10us]"),
    # structured
    "structured": lambda: _filled(STRUCT),
    "aligned": lambda: _filled(np.dtype("i1,f8,(2,)i2", align=True), (2, 2)),
    "holes": lambda: _filled(HOLED),
    "union": lambda: _filled(np.dtype({"names": ["i", "f"], "formats": ["i8", "f8"], "offsets": [0, 0]})),
    "long doubles in a struct": lambda: np.array([(1, "0.1"), (2, "nan")], [("a", "i1"), ("b", "g")]),
    "no fields": lambda: np.zeros(2, []),
    "a field of no elements": lambda: np.zeros(2, [("none", "f8", (0, 3)), ("a", "i1")]),
    "record dtype": lambda: np.zeros(2, np.dtype((np.record, [("a", "i4"), ("b", "f8")]))),
    "multi-field index": lambda: _filled(np.dtype("i4,f8,S3"))[["f2", "f0"]],
    "dtype metadata": lambda: np.zeros(2, np.dtype("f4", metadata={"unit": "km", "range": (0, 9)})),
    # objects
    "objects": lambda: _objects(None, 1, 2**70, np.nan, "x", b"b", (1, 2), [3, [4]], {"a": {1}}, Decimal("1.0")),
    "objects of NumPy": lambda: _objects(np.float32(0.1), np.arange(3), np.array(5), np.dtype("f4")),
    "2-d objects": lambda: _objects(*range(5), [6]).reshape(2, 3),
    "Fortran objects": lambda: np.asfortranarray(_objects(*range(5), [6]).reshape(2, 3)),
    "0-d object": lambda: np.array(None, object),
    "0-d object that is an array": _holding_an_array,
    "no objects": lambda: np.empty((0, 3), object),
    "object dtype metadata": lambda: np.array(["a"], np.dtype("O", metadata={"vlen": "str"})),
    "structured objects": _mixed,
    "Fortran structured objects": lambda: np.asfortranarray(_mixed().repeat(2).reshape(2, 2)),
    "0-d structured object": lambda: _mixed()[:1].reshape(()),
    "aligned structured objects": lambda: np.array([(1, [1], 2)], np.dtype("i1,O,i1", align=True)),
    # shape and layout
    "0-d": lambda: np.array(1.5),
    "0-d datetime64": lambda: np.array("2024-01-01", "M8[D]"),
    "zero size": lambda: np.zeros((3, 0, 2)),
    "zero size Fortran": lambda: np.zeros((0, 3), "M8[s]", order="F"),
    "one": lambda: np.arange(4.0)[::3][:1],
    "3-d": lambda: np.arange(24).reshape(2, 3, 4),
    "Fortran": lambda: np.asfortranarray(np.arange(6).reshape(2, 3)),
    "Fortran 3-d": lambda: np.arange(24, dtype=">u2").reshape(2, 3, 4).T,
    "Fortran times": lambda: np.arange(6).reshape(2, 3).astype("M8[s]").T,
    "neither order": lambda: np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": lambda: np.arange(20)[::3],
    "reversed": lambda: np.arange(6.0).reshape(2, 3)[::-1, ::-1],
    "column": lambda: np.arange(12).reshape(3, 4)[:, 1],
    "broadcast": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "read-only": lambda: _read_only(np.arange(3)),
    "read-only Fortran": lambda: _read_only(np.ones((2, 3), order="F")),
    "unaligned": _unaligned,
    "field of a struct": lambda: np.ones(3, "i1,f8")["f1"],
    "32 dimensions": lambda: np.zeros((1,) * 31 + (2,)),
    "large": lambda: np.random.default_rng(0).random((200, 50)),
    "large Fortran": lambda: np.random.default_rng(0).random((200, 50)).T,
    "large and strided": lambda: np.arange(20_000)[::-3],
    "large with holes": lambda: _filled(HOLED, (30, 20)),
    "large strided with holes": lambda: _filled(HOLED, (30, 20))[::-1, ::2],
    "large Fortran with holes": lambda: _filled(HOLED, (30, 20)).T,
}
if StringDType is not None:
    ARRAYS |= {
        "strings": lambda: np.array([["a", "", "größer"], ["\0", "\U0001f600", "x" * 5000]], StringDType()),
        "strings, Fortran": lambda: np.asfortranarray(np.array([["a", "b", "c"], ["d", "e", "f"]], StringDType())),
        "strings, 0-d": lambda: np.array("abc", StringDType()),
        "strings, none": lambda: np.empty((0, 2), StringDType()),
        "strings or nan": lambda: np.array(["a", np.nan, "nan"], StringDType(na_object=np.nan)),
        "strings or None": lambda: np.array(["a", None, "None"], StringDType(na_object=None, coerce=False)),
        "strings or text": lambda: np.array(["a", "missing"], StringDType(na_object="missing")),
        "strings or a number": lambda: np.array(["a", 5, "5"], StringDType(na_object=5)),
    }

SCALARS: dict[str, Callable[[], np.generic]] = {
    **{f"{code} {number}": lambda code=code, number=number: np.dtype(code).type(number)
       for code in "?bBhHiIlLqQefdgFDG" for number in (0, 1)},
    **{f"{code} -0.0": lambda code=code: np.dtype(code).type(-0.0) for code in "efdgFD"},
    **{f"{code} nan": lambda code=code: np.dtype(code).type("nan") for code in "efdg"},
    **{f"{code} inf": lambda code=code: np.dtype(code).type("-inf") for code in "efdg"},
    "uint64 max": lambda: np.uint64(2**64 - 1),
    "float32 third": lambda: np.float32(1 / 3),
    "float64 third": lambda: np.float64(1 / 3),
    "longdouble third": lambda: np.longdouble(1) / 3,
    "NaN with a payload": lambda: np.uint64(0x7FF8000000000123).view("f8"),
    "complex64 of NaN": lambda: np.complex64(complex(np.nan, -0.0)),
    "str": lambda: np.str_("größer"),
    "str with NUL": lambda: np.str_("a\0"),
    "str with surrogate": lambda: np.str_("\ud800"),
    "no str": lambda: np.str_(""),
    "bytes": lambda: np.bytes_(b"a\0\xff\0"),
    "no bytes": lambda: np.bytes_(b""),
    "void": lambda: np.void(b"ab\0"),
    "no void": lambda: np.void(b""),
    "datetime64[D]": lambda: np.datetime64("2024-02-29"),
    "datetime64[25s]": lambda: np.datetime64(7, "25s"),
    "datetime64 NaT": lambda: np.datetime64("NaT"),
    "datetime64[ns] NaT": lambda: np.datetime64("NaT", "ns"),
    "datetime64 before": lambda: np.datetime64(-(2**63) + 1, "as"),
    "timedelta64": lambda: np.timedelta64(5),
    "timedelta64[3h]": lambda: np.timedelta64(-5, "3h"),
    "timedelta64[Y] NaT": lambda: np.timedelta64("NaT", "Y"),
    "structured": lambda: _filled(STRUCT)[1],
    "holes": lambda: _filled(HOLED)[1],
    "structured objects": lambda: _mixed()[1],
    "record": lambda: np.rec.array([(1, 2.5, "x")], names="a,b,c")[0],
}  # fmt: skip

DTYPES: dict[str, np.dtype] = {
    **{f"{code}": np.dtype(code) for code in "?bBhHiIlLqQefdgFDGOSUVcMm"},
    **{f"{text}": np.dtype(text) for text in (">i4", "<f8", ">c16", "S5", ">U7", "V9", "M8[25s]", ">m8[ns]", ">q")},
    "subarray": np.dtype(("<i4", (2, 3))),
    "subarray of one": np.dtype((np.dtype("f8"), (1,))),
    "subarray of subarrays": np.dtype((np.dtype(("i4", (2,))), (3,))),
    "structured": STRUCT,
    "holes": HOLED,
    "mixed": MIXED,
    "aligned": np.dtype("i1,f8", align=True),
    "record": np.dtype((np.record, STRUCT)),
    "aligned record": np.dtype((np.record, np.dtype("i1,f8", align=True))),
    "nothing": np.dtype([]),
    "nothing in 5 bytes": np.dtype({"names": [], "formats": [], "itemsize": 5}),
    "metadata": np.dtype("f4", metadata={"unit": "km"}),
    "metadata of structs": np.dtype(STRUCT, metadata={"a": 1}),
    "metadata of records": np.dtype(np.dtype((np.record, [("a", "i4")])), metadata={"a": 1}),
    "metadata of fields": np.dtype([("a", np.dtype("f4", metadata={1: None})), ("b", "i4")]),
    "empty metadata": np.dtype("f4", metadata={}),
    "title of another kind": np.dtype({"names": ["a"], "formats": ["i4"], "titles": [(1, "x")]}),
}
if StringDType is not None:
    DTYPES |= {
        "strings": StringDType(),
        "strings, strict": StringDType(coerce=False),
        "strings or nan": StringDType(na_object=np.nan),
        "strings or None": StringDType(na_object=None),
    }


def _assert_same_dtype(expected: np.dtype, actual: np.dtype) -> None:
    """Equality passes over the C type, byte order that means nothing, metadata, alignment and the class of records."""
    assert type(actual) is type(expected)
    assert actual == expected
    for name in ("char", "byteorder", "str", "type", "itemsize", "isalignedstruct", "metadata", "names", "shape"):
        assert getattr(actual, name) == getattr(expected, name), name
    assert difference(expected, actual) is None
    if expected.subdtype is not None:
        _assert_same_dtype(expected.base, actual.base)
    for name in expected.names or ():
        assert actual.fields[name][1:] == expected.fields[name][1:]
        _assert_same_dtype(expected.fields[name][0], actual.fields[name][0])


def _assert_same_array(expected: np.ndarray, actual: np.ndarray) -> None:
    assert type(actual) is type(expected)
    _assert_same_dtype(expected.dtype, actual.dtype)
    assert actual.shape == expected.shape
    assert actual.flags.f_contiguous if expected.flags.fnc else actual.flags.c_contiguous
    assert actual.flags.aligned
    assert difference(expected, actual) is None
    if expected.dtype.names is None and not expected.dtype.hasobject and expected.dtype.char not in "gG":
        assert actual.tobytes() == expected.tobytes()
    assert actual.flags.writeable
    actual[...] = expected.copy()
    assert difference(expected, actual) is None


def test_there_are_enough_cases() -> None:
    assert len(ARRAYS) >= 95
    assert len(SCALARS) >= 60


@both_ways
@pytest.mark.parametrize("name", ARRAYS)
def test_array(name: str, way: Callable[[Any], Any]) -> None:
    _assert_same_array(ARRAYS[name](), way(ARRAYS[name]()))


@both_ways
def test_arrays_within_a_value(way: Callable[[Any], Any]) -> None:
    value = {name: (make(),) for name, make in ARRAYS.items()}
    for name, (array,) in way(value).items():
        _assert_same_array(ARRAYS[name](), array)


@both_ways
@pytest.mark.parametrize("name", SCALARS)
def test_scalar(name: str, way: Callable[[Any], Any]) -> None:
    expected, actual = SCALARS[name](), way(SCALARS[name]())
    assert type(actual) is type(expected)
    _assert_same_dtype(expected.dtype, actual.dtype)
    assert difference(expected, actual) is None
    if isinstance(expected, str | bytes):
        assert len(actual) == len(expected)
    elif expected.dtype.char not in "gG" and not expected.dtype.names:
        assert actual.tobytes() == expected.tobytes()
    if expected.dtype.names:
        actual[0] = expected[0]


@both_ways
@pytest.mark.parametrize("name", DTYPES)
def test_dtype(name: str, way: Callable[[Any], Any]) -> None:
    _assert_same_dtype(DTYPES[name], way(DTYPES[name]))


def test_readable_scalars() -> None:
    values = [np.float64(1.5), np.int8(-3), np.bool_(True), np.str_("x"), np.datetime64(9, "D")]
    nodes = [encode(value).to_json()["$"][2] for value in values]
    assert nodes == [["<f8", 1.5], ["|i1", -3], ["|b1", True], ["U", "x"], ["<M8[D]", 9]]


# -- subclasses ----------------------------------------------------------------------------------------------


def _masked_with_fill() -> Any:
    array = np.ma.array(["a", "bcd"], mask=[True, False])
    array.fill_value = "none"
    return array


MASKED: dict[str, Callable[[], Any]] = {
    "mask": lambda: np.ma.array([1, 2, 3], mask=[True, False, True]),
    "nomask": lambda: np.ma.array([1.5, np.nan]),
    "all masked": lambda: np.ma.array(np.ones((2, 3), "M8[s]"), mask=True),
    "fill value": lambda: np.ma.array([1, 2], mask=[0, 1], fill_value=-1, dtype=">i2"),
    "fill value of text": _masked_with_fill,
    "default fill value of text": lambda: (array := np.ma.array(["a"], mask=[1]), array.fill_value)[0],
    "hard mask": lambda: np.ma.array([1, 2], mask=[0, 1], hard_mask=True),
    "structured": lambda: np.ma.array([(1, 2.5), (3, 4.5)], mask=[(0, 1), (1, 0)], dtype=[("a", "i4"), ("b", "f8")]),
    "structured, nomask": lambda: np.ma.array(_filled(HOLED)),
    "structured, titles": lambda: np.ma.array(np.zeros(2, [(("A title", "a"), "f4"), ("b", "S3")]), mask=[0, 1]),
    "structured, fill value": lambda: np.ma.array([(1, 2.5)], dtype="i4,f8", fill_value=(7, 0.5)),
    "objects": lambda: np.ma.array(_objects(1, [2], None), mask=[0, 1, 0]),
    "Fortran": lambda: np.ma.array(np.ones((2, 3), order="F"), mask=np.eye(2, 3, dtype=bool)),
    "0-d": lambda: np.ma.array(5, mask=True),
    "zero size": lambda: np.ma.array(np.zeros((0, 3))),
    "over a recarray": lambda: np.ma.array(np.rec.array([(1, 2.5)]), mask=[(0, 1)]),
    "a strided view": lambda: np.ma.array(np.arange(8), mask=np.arange(8) % 3 == 0)[::2],
}


@both_ways
@pytest.mark.parametrize("name", MASKED)
def test_masked_array(name: str, way: Callable[[Any], Any]) -> None:
    expected, actual = MASKED[name](), way(MASKED[name]())
    assert difference(np.ma.getmask(expected), np.ma.getmask(actual)) is None
    assert difference(expected._fill_value, actual._fill_value) is None
    assert type(actual.data) is type(expected.data)
    _assert_same_dtype(expected.dtype, actual.dtype)
    assert difference(expected, actual) is None
    assert actual.data.flags.writeable
    actual[...] = np.ma.masked
    assert actual.mask.tobytes() == np.ones(actual.shape, actual.mask.dtype).tobytes()


@both_ways
def test_masked_constant(way: Callable[[Any], Any]) -> None:
    assert way(np.ma.masked) is np.ma.masked
    assert way([1, np.ma.masked])[1] is np.ma.masked


@both_ways
def test_unset_fill_value_stays_unset(way: Callable[[Any], Any]) -> None:
    assert way(np.ma.array([1])).astype("f8").fill_value == 1e20
    assert way(np.ma.array([1], fill_value=7)).astype("f8").fill_value == 7.0


RECARRAYS: dict[str, Callable[[], np.recarray]] = {
    "records": lambda: np.rec.array([(1, 2.5, "x"), (2, 3.5, "y")], names="a,b,c"),
    "aligned records": lambda: np.rec.array([(1, 2.5)], dtype=np.dtype("i1,f8", align=True)),
    "records with objects": lambda: _mixed().view(np.recarray),
    "not records": lambda: np.arange(6).reshape(2, 3).view(np.recarray),
    "Fortran": lambda: np.asfortranarray(_filled(STRUCT, (2, 3))).view(np.recarray),
}


@both_ways
@pytest.mark.parametrize("name", RECARRAYS)
def test_recarray(name: str, way: Callable[[Any], Any]) -> None:
    expected, actual = RECARRAYS[name](), way(RECARRAYS[name]())
    _assert_same_array(expected, actual)
    if expected.dtype.names:
        assert type(actual.flat[0]) is np.record


# -- refused at push -----------------------------------------------------------------------------------------


class _Quantity(np.ndarray):
    pass


class _Void(np.void):
    pass


class _Price(np.float64):
    pass


def _with_attribute(array: Any) -> Any:
    array.source = "flights.csv"
    return array


def _chararray() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.array(["a"]).view(np.char.chararray)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "matrix": (lambda: np.asmatrix([[1]]), UnsupportedTypeError, r"np\.asarray"),
    "masked matrix": (
        lambda: np.ma.array(np.asmatrix([[1]])),
        UnsupportedTypeError,
        r"numpy\.asarray\(value\.data\), mask=",
    ),
    "chararray": (_chararray, UnsupportedTypeError, r"np\.asarray"),
    "row of a masked array": (lambda: MASKED["structured"]()[0], UnsupportedTypeError, r"value\.filled\(\)"),
    "subclass": (lambda: np.arange(3).view(_Quantity), UnsupportedTypeError, "_Quantity"),
    "subclass of a scalar": (lambda: _Price(1.5), UnsupportedTypeError, "_Price"),
    "subclass of void": (lambda: np.zeros(1, np.dtype((_Void, [("a", "i4")]))), UnsupportedValueError, "astype"),
    "number with fields": (
        lambda: np.zeros(1, np.dtype(("i4", {"low": ("i2", 0), "high": ("i2", 2)}))),
        UnsupportedValueError,
        "structured dtype",
    ),
    "masked, with an attribute": (lambda: _with_attribute(np.ma.array([1])), UnsupportedValueError, "'source'"),
    "masked, over such": (
        lambda: np.ma.array(_with_attribute(RECARRAYS["records"]())),
        UnsupportedValueError,
        "'source'",
    ),
    "recarray with an attribute": (
        lambda: _with_attribute(RECARRAYS["records"]()),
        UnsupportedValueError,
        "'source'",
    ),
    "few fields of many, with objects": (
        lambda: np.zeros(2, [("o", "O"), ("wide", "S1000")])[["o"]],
        UnsupportedValueError,
        "repack_fields",
    ),
    "a title that is NaN": (
        lambda: np.dtype({"names": ["a"], "formats": ["i4"], "titles": [float("nan")]}),
        UnsupportedValueError,
        "title of the field 'a'",
    ),
    "unknown object": (lambda: _objects(1, object()), UnsupportedTypeError, "builtins.object"),
    "unknown metadata": (lambda: np.dtype("O", metadata={"vlen": object()}), UnsupportedTypeError, "builtins.object"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, advice = REFUSED[name]
    with pytest.raises(error, match=advice):
        encode(make())


def test_memmap_is_refused_and_its_array_is_not(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "data", "f8", "w+", shape=(3,))
    with pytest.raises(UnsupportedTypeError, match=r"np\.asarray"):
        encode(mapped)
    _assert_same_array(np.zeros(3), _blob(np.asarray(mapped)))


@needs_string_dtype
def test_strings_within_a_struct_are_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="U20"):
        encode(np.dtype({"names": ["a"], "formats": [StringDType()]}))


def test_array_that_contains_itself_is_refused() -> None:
    array = np.empty(1, object)
    array[0] = array
    with pytest.raises(EncodeError):
        encode(array)


# -- memory --------------------------------------------------------------------------------------------------


def _codec(tag: str) -> Any:
    return registry.for_tag(tag, 1)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1000.0),
        np.ones((20, 30), order="F"),
        np.zeros((50, 50), "M8[ns]"),
        np.ones(1000, ">c16")[2:500],
        _filled(np.dtype("i4,f8,(3,)S2"), 300),
        np.array("x" * 2000),
        _read_only(np.arange(5000)),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_contiguous_memory_is_not_copied(array: np.ndarray) -> None:
    buffer = np.frombuffer(_codec("numpy.ndarray").encode(array)[2].data, "u1")
    assert buffer.ctypes.data == array.ctypes.data
    assert buffer.nbytes == array.nbytes


def test_blob_is_used_in_place() -> None:
    payload = encode({"c": np.arange(1000.0), "f": np.ones((30, 40), order="F"), "t": np.zeros(1000, "M8[s]")})
    memory = bytearray(payload.to_bytes())
    for array in decode(memory, payload.format).values():
        assert np.shares_memory(array, np.frombuffer(memory, "u1"))
        assert array.flags.writeable
        assert array.ctypes.data % 8 == 0


def test_unaligned_memory_is_copied() -> None:
    memory = memoryview(bytearray(b"\0" + np.arange(3.0).tobytes()))[1:]
    array = _codec("numpy.ndarray").decode(["<f8", [3], memory], 1)
    assert array.flags.aligned
    assert array.flags.writeable
    assert array.tolist() == [0.0, 1.0, 2.0]


def test_fields_left_out_are_not_stored() -> None:
    table = np.array([(1, b"hunter2", 2.5)], [("id", "i4"), ("password", "S8"), ("score", "f8")])
    payload = encode(table[["id", "score"]])
    assert b"hunter2" not in payload.to_bytes()
    assert difference(table[["id", "score"]], decode(payload.to_bytes(), payload.format)) is None


@pytest.mark.parametrize("code", ["g", "G", ">g", ">G"])
def test_padding_of_long_doubles_is_not_stored(code: str) -> None:
    payloads = set()
    for noise in (0, 255):
        array = np.full(4 * np.dtype(code).itemsize, noise, "u1").view(code)
        array[...] = [0.5, np.inf, -0.0, 2]
        payloads.add(encode(array).to_bytes())
    assert len(payloads) == 1


def test_many_small_arrays_are_compact() -> None:
    arrays = [np.full(3, number, "f8") for number in range(2000)]
    payload = encode(arrays)
    assert payload.size < 2000 * (24 + 16)
    assert difference(arrays, decode(payload.to_bytes(), payload.format)) is None


@needs_string_dtype
def test_the_summary_of_texts_whose_missing_one_has_no_hash() -> None:
    dtype = StringDType(na_object=[])
    assert encode(np.array(["a"], dtype)).summary == {"shape": [1], "dtype": str(dtype)}


def test_summaries() -> None:
    assert encode(np.zeros((2, 3))).summary == {"shape": [2, 3], "dtype": "float64"}
    assert encode(np.ma.array([1], dtype=">i2")).summary == {"shape": [1], "dtype": ">i2"}
    assert encode(np.float32(1)).summary == {"dtype": "float32"}
    assert encode(np.zeros(1, "i4,f8")).summary == {"shape": [1], "dtype": "void96", "fields": ["f0", "f1"]}


# -- forged nodes --------------------------------------------------------------------------------------------


def _forged(tag: str, node: Any) -> Any:
    def form(part: Any) -> Any:
        if isinstance(part, bytes):
            return {"$": ["buffer", base64.b64encode(part).decode()]}
        return [form(item) for item in part] if isinstance(part, list) else part

    return {"$": [tag, 1, form(node)]}


_EIGHT = bytes(range(8))
_INTS = _forged("numpy.ndarray", ["<i4", [2], _EIGHT])
_MASK = _forged("numpy.ndarray", ["|b1", [2], b"\0\1"])
_OBJECT = ["struct", 8, False, [["o", "|O", 0]]]

FORGED: dict[str, tuple[str, Any]] = {
    "object over memory": ("numpy.ndarray", ["|O", [1], _EIGHT]),
    "object, sized": ("numpy.ndarray", ["|O8", [1], _EIGHT]),
    "object, named": ("numpy.ndarray", ["object", [1], _EIGHT]),
    "object, bare": ("numpy.ndarray", ["O", [1], _EIGHT]),
    "object field over memory": ("numpy.ndarray", [_OBJECT, [1], _EIGHT]),
    "object deep in a struct": ("numpy.ndarray", [["struct", 8, False, [["s", _OBJECT, 0]]], [1], _EIGHT]),
    "object subarray over memory": (
        "numpy.ndarray",
        [["struct", 8, False, [["s", ["array", "|O", [1]], 0]]], [1], _EIGHT],
    ),
    "object in metadata's clothes": ("numpy.ndarray", [["meta", "|O", {}], [1], _EIGHT]),
    "strings over memory": ("numpy.ndarray", [["string", True], [1], bytes(16)]),
    "strings in a struct": ("numpy.ndarray", [["struct", 16, False, [["s", ["string", True], 0]]], [1], bytes(16)]),
    "strings in a subarray": ("numpy.dtype", ["array", ["string", True], [2]]),
    "overlapping objects": ("numpy.dtype", ["struct", 8, False, [["a", "|O", 0], ["b", "<i8", 0]]]),
    "scalar object": ("numpy.scalar", ["|O", _EIGHT]),
    "scalar object of a value": ("numpy.scalar", ["|O", 5]),
    "comma string": ("numpy.ndarray", ["i4,i4", [1], _EIGHT]),
    "name of a dtype": ("numpy.ndarray", ["float64", [1], _EIGHT]),
    "dict string": ("numpy.dtype", "{'names': ['a'], 'formats': ['O']}"),
    "native order": ("numpy.dtype", "=i4"),
    "wrong order": ("numpy.dtype", "<b1"),
    "zero seconds": ("numpy.dtype", "<M8[0s]"),
    "divided seconds": ("numpy.dtype", "<M8[s/7]"),
    "no such size": ("numpy.dtype", "<i3"),
    "code of another size": ("numpy.dtype", "<i8:i"),
    "line break": ("numpy.dtype", "<i4\n"),
    "number for a dtype": ("numpy.dtype", 5),
    "no dtype": ("numpy.dtype", []),
    "unknown kind of dtype": ("numpy.dtype", ["union", "<i4"]),
    "offset below zero": ("numpy.dtype", ["struct", 8, False, [["a", "<i8", -8]]]),
    "offset beyond the element": ("numpy.dtype", ["struct", 8, False, [["a", "<i8", 8]]]),
    "field of no name": ("numpy.dtype", ["struct", 8, False, [[5, "<i8", 0]]]),
    "a name twice": ("numpy.dtype", ["struct", 8, False, [["a", "<i4", 0], ["a", "<i4", 4]]]),
    "shape below zero": ("numpy.dtype", ["array", "<i4", [-1]]),
    "too few bytes": ("numpy.ndarray", ["<i4", [3], _EIGHT]),
    "too many bytes": ("numpy.ndarray", ["<i4", [1], _EIGHT]),
    "bytes for nothing": ("numpy.ndarray", ["<i4", [0], _EIGHT]),
    "wrapping shape": ("numpy.ndarray", ["<i4", [2**32, 2**32 + 2], _EIGHT]),
    "huge shape": ("numpy.ndarray", ["<i4", [2**62], _EIGHT]),
    "huge shape of zero size": ("numpy.ndarray", ["<i4", [0, 2**62, 2**62], b""]),
    "two below zero": ("numpy.ndarray", ["<i4", [-1, -2], _EIGHT]),
    "order of no name": ("numpy.ndarray", ["<i4", [2], _EIGHT, ["F"]]),
    "no order": ("numpy.ndarray", ["<i4", [2], _EIGHT, None]),
    "too much": ("numpy.ndarray", ["<i4", [2], _EIGHT, "C", 1]),
    "bool in shape": ("numpy.ndarray", ["<i4", [2, True], _EIGHT]),
    "float in shape": ("numpy.ndarray", ["<i4", [2.0], _EIGHT]),
    "int for shape": ("numpy.ndarray", ["<i4", 2, _EIGHT]),
    "100 dimensions": ("numpy.ndarray", ["<i4", [1] * 99 + [2], _EIGHT]),
    "any order": ("numpy.ndarray", ["<i4", [2], _EIGHT, "A"]),
    "values for memory": ("numpy.ndarray", ["|i1", [3], [1, 2, 3]]),
    "text for memory": ("numpy.ndarray", ["|i1", [3], "abc"]),
    "too few objects": ("numpy.ndarray", ["|O", [2**50], [1, 2, 3]]),
    "text for objects": ("numpy.ndarray", ["|O", [3], "abc"]),
    "fields of another length": ("numpy.ndarray", [_OBJECT, [2], [_forged("numpy.ndarray", ["|O", [1], [1]])]]),
    "fields of another dtype": ("numpy.ndarray", [_OBJECT, [2], [_INTS]]),
    "no fields": ("numpy.ndarray", [_OBJECT, [2], []]),
    "list for a field": ("numpy.ndarray", [_OBJECT, [2], [[1, 2]]]),
    "much memory for an object": (
        "numpy.ndarray",
        [["struct", 2**30, False, [["o", "|O", 0]]], [1], [_forged("numpy.ndarray", ["|O", [1], [None]])]],
    ),
    "int for a string": ("numpy.ndarray", [["string", True], [1], [5]]),
    "None for a string": ("numpy.ndarray", [["string", True], [1], [None]]),
    "scalar too large": ("numpy.scalar", ["|i1", 300]),
    "scalar that a float32 is not": ("numpy.scalar", ["<f4", 0.1]),
    "float for an int": ("numpy.scalar", ["<i4", 1.0]),
    "int for a bool": ("numpy.scalar", ["|b1", 1]),
    "text for an int": ("numpy.scalar", ["<i4", "5"]),
    "memory of that size": ("numpy.scalar", ["|V8", 2**30]),
    "float for a time": ("numpy.scalar", ["<M8[s]", 1.5]),
    "time beyond 64 bits": ("numpy.scalar", ["<M8[s]", 2**63]),
    "int for text": ("numpy.scalar", ["U", 5]),
    "text for bytes": ("numpy.scalar", ["S", "abc"]),
    "scalar of two": ("numpy.scalar", ["<c8", bytes(16)]),
    "scalar object in a list": ("numpy.scalar", ["|O", [5]]),
    "scalar string in a list": ("numpy.scalar", [["string", True], ["x"]]),
    "array of arrays": ("numpy.ndarray", [["array", "<i4", [2]], [0], b""]),
    "scalar subarray": ("numpy.scalar", [["array", "<i4", [2]], _EIGHT]),
    "a title that is NaN": (
        "numpy.dtype",
        ["struct", 4, False, [["a", "<i4", 0, {"$": ["float", "nan"]}]]],
    ),
    "recarray of nothing": ("numpy.recarray", None),
    "recarray of a recarray": ("numpy.recarray", _forged("numpy.recarray", _INTS)),
    "mask of another shape": ("numpy.MaskedArray", [_INTS, _forged("numpy.ndarray", ["|b1", [1], b"\0"]), None, False]),
    "mask of another dtype": ("numpy.MaskedArray", [_INTS, _INTS, None, False]),
    "masked list": ("numpy.MaskedArray", [[1, 2], _MASK, None, False]),
    "fill value of two": ("numpy.MaskedArray", [_INTS, _MASK, _INTS, False]),
    "hard as stone": ("numpy.MaskedArray", [_INTS, _MASK, None, "stone"]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FORGED)
def test_forged_node_is_refused(name: str) -> None:
    with pytest.raises(DecodeError):
        decode_json(_forged(*FORGED[name]))


def test_what_the_forged_nodes_are_made_of_is_sound() -> None:
    assert decode_json(_INTS).tolist() == [0x03020100, 0x07060504]
    assert decode_json(_forged("numpy.MaskedArray", [_INTS, _MASK, None, False])).mask.tolist() == [False, True]
    fields = [_forged("numpy.ndarray", ["|O", [2], [1, "x"]])]
    assert decode_json(_forged("numpy.ndarray", [_OBJECT, [2], fields])).tolist() == [(1,), ("x",)]


@pytest.mark.parametrize("text", ["<f16:g112", "<f12:g63", "<f8:g52", "<c32:G106"])
def test_long_double_of_another_platform_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="platform"):
        numpy_dtypes.decode_dtype(text)


def test_strings_before_numpy_2_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_dtypes, "_STRING", None)
    with pytest.raises(LibraryVersionError, match=r"numpy 2\.0 or newer"):
        numpy_dtypes.decode_dtype(["string", True])


# -- any array -----------------------------------------------------------------------------------------------


@st.composite
def _arrays(draw: Any) -> np.ndarray:
    """Of any dtype, shape, byte order, and layout; now and then a view of another array."""
    dtype = draw(npst.scalar_dtypes() | npst.array_dtypes() | npst.nested_dtypes())
    shape = draw(npst.array_shapes(min_dims=0, min_side=0, max_side=4))
    array = draw(npst.arrays(dtype, shape, fill=st.nothing()))
    if draw(st.booleans()):
        array = np.asfortranarray(array) if array.ndim else array
    if draw(st.booleans()):
        array = array[draw(npst.basic_indices(array.shape, allow_newaxis=True))]
    return array if type(array) is np.ndarray else np.asarray(array)


@settings(max_examples=40, deadline=None)
@given(_arrays())
def test_any_array(array: np.ndarray) -> None:
    expected = array.copy("A")
    for way in WAYS.values():
        actual = way(array)
        _assert_same_dtype(expected.dtype, actual.dtype)
        assert difference(expected, actual) is None
        assert actual.flags.writeable
        assert encode(actual).to_bytes() == encode(array).to_bytes()


@settings(max_examples=60, deadline=None)
@given(npst.arrays(npst.scalar_dtypes() | npst.nested_dtypes(), 1))
def test_any_scalar(array: np.ndarray) -> None:
    scalar = array[0]
    for way in WAYS.values():
        assert difference(scalar, way(scalar)) is None


@settings(max_examples=50, deadline=None)
@given(npst.arrays(object, npst.array_shapes(min_dims=0, min_side=0), elements=st.integers() | st.text() | st.none()))
def test_any_object_array(array: np.ndarray) -> None:
    for way in WAYS.values():
        _assert_same_array(array, way(array))


@settings(max_examples=200, deadline=None)
@given(st.text("<>|=iufcSUVOMmb8146:gq[],s D", max_size=12))
def test_any_text_is_a_dtype_of_that_name_or_refused(text: str) -> None:
    try:
        dtype = numpy_dtypes.decode_dtype(text)
    except (CorruptPayloadError, DecodeError, TypeError, ValueError):
        return
    assert numpy_dtypes.encode_dtype(dtype) == text

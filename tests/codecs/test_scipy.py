"""SciPy's sparse arrays and matrices: every format exact, down to duplicates and dtypes of indices."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from airflow_xcom.codecs import CorruptPayloadError, EncodeError, UnsupportedTypeError, UnsupportedValueError, registry
from airflow_xcom.codecs.builtin import scipy as codec
from airflow_xcom.codecs.payload import decode, decode_json, encode
from airflow_xcom.codecs.testing import assert_identical, difference

FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
KINDS = [getattr(sp, f"{form}_{kind}") for form in FORMATS for kind in ("array", "matrix")]
DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "longdouble",
    "complex64",
    "complex128",
]
DENSE = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 5]])
FULLY = {"csr_array", "coo_matrix", "lil_array", "dok_matrix"}  # tried with every dtype
MADE: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a named value."""
    MADE[function.__name__] = function
    return function


for kind in KINDS:
    name = kind.__name__
    for dtype in DTYPES if name in FULLY else DTYPES[2::4]:
        MADE[f"{name} {dtype}"] = lambda kind=kind, dtype=dtype: kind(DENSE.astype(dtype))
    MADE[f"{name} without entries"] = lambda kind=kind: kind((3, 2))
    MADE[f"{name} without columns"] = lambda kind=kind: kind((3, 0))
    MADE[f"{name} with NaN and -0.0"] = lambda kind=kind: kind(np.array([[np.nan, 0], [np.inf, 1]])) * -1.0
for dimensions in ((5,), (2, 3, 4), (1, 2, 1, 2, 1)):
    MADE[f"coo_array {dimensions}"] = lambda dimensions=dimensions: sp.coo_array(
        np.arange(np.prod(dimensions)).reshape(dimensions)
    )
for form in ("csr", "dok"):
    MADE[f"{form}_array of one dimension"] = lambda form=form: getattr(sp, f"{form}_array")(np.array([0, 1.5, 0, 2]))


@case
def explicit_zeros() -> Any:
    return sp.csr_array((np.zeros(3), [0, 1, 0], [0, 2, 2, 3]), shape=(3, 2))


@case
def duplicates() -> Any:
    return sp.csc_array((np.ones(3), [1, 1, 0], [0, 2, 3]), shape=(3, 2))


@case
def duplicate_coordinates() -> Any:
    return sp.coo_array((np.array([1, 2, 3]), ([2, 0, 2], [1, 0, 1])), shape=(3, 2))


@case
def unsorted() -> Any:
    return sp.csr_matrix((np.arange(3.0), [2, 0, 1], [0, 2, 3]), shape=(2, 3))


@case
def known_to_be_sorted() -> Any:
    array = sp.csr_array(DENSE)
    assert array.has_sorted_indices
    return array


@case
def known_to_be_canonical() -> Any:
    array = sp.bsr_matrix(sp.csr_array(DENSE), blocksize=(2, 2))
    assert array.has_canonical_format
    return array


@case
def known_not_to_be_sorted() -> Any:
    array = unsorted()
    assert not array.has_sorted_indices
    return array


@case
def canonical_coordinates() -> Any:
    array = duplicate_coordinates()
    array.sum_duplicates()
    return array


@case
def room_behind_the_entries() -> Any:
    array = sp.csr_array(np.eye(3))
    array.data, array.indices = np.append(array.data, 9.0), np.append(array.indices, np.int32(0))
    return array


@case
def long_indices() -> Any:
    array = sp.csr_matrix(DENSE)
    array.indices, array.indptr = array.indices.astype(np.int64), array.indptr.astype(np.int64)
    return array


@case
def long_pointers() -> Any:
    array = sp.csc_array(DENSE)
    array.indptr = array.indptr.astype(np.int64)
    return array


@case
def long_coordinates() -> Any:
    return sp.coo_array((np.ones(1), (np.array([2**40]), np.array([0]))), shape=(2**41, 1))


@case
def blocks() -> Any:
    return sp.bsr_array((np.arange(12.0).reshape(2, 2, 3), [1, 0], [0, 1, 2]), shape=(4, 6))


@case
def diagonals() -> Any:
    return sp.dia_array((np.arange(8.0).reshape(2, 4), [-1, 2]), shape=(4, 5))


@case
def diagonals_outside() -> Any:
    return sp.dia_matrix((np.arange(8).reshape(2, 4), [-9, 7]), shape=(4, 5))


@case
def rows_filled_one_by_one() -> Any:
    array = sp.lil_matrix((3, 4), dtype=np.float32)
    array[0, 1], array[2, 3], array[0, 0] = 1.5, 3, 2
    array.data[2] = [-0.0]
    return array


@case
def keys_filled_one_by_one() -> Any:
    array = sp.dok_array((3, 4), dtype=np.complex64)
    array[2, 1], array[0, 0], array[1, 1] = 1j, 2, np.nan
    return array


@case
def keys_of_two_kinds() -> Any:
    array = sp.coo_array(DENSE).todok()
    array[3, 0] = 7
    return array


@case
def shown_in_full() -> Any:
    return sp.csr_array(DENSE, maxprint=1000)


@case
def large() -> Any:
    return sp.random_array((2000, 3000), density=0.01, rng=np.random.default_rng(7), format="csr")


@case
def transposed() -> Any:
    return sp.csr_array(DENSE).T


@case
def of_fortran_blocks() -> Any:
    return sp.dia_matrix((np.asfortranarray(np.arange(8).reshape(2, 4)), [0, 1]), shape=(4, 5))


def through_blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def through_row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


def through_tree(value: Any) -> Any:
    return through_blob({"a": [(value,)]})["a"][0][0]


WAYS = {"blob": through_blob, "row": through_row, "tree": through_tree}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_exact(name: str, way: str) -> None:
    assert_identical(MADE[name](), WAYS[way](MADE[name]()))


@pytest.mark.parametrize("name", MADE)
def test_pushing_leaves_the_value_as_it_was(name: str) -> None:
    value = MADE[name]()
    encode(value)
    assert_identical(MADE[name](), value)


def test_the_payload_shares_the_memory_of_the_value() -> None:
    value = large()
    chunks = [np.frombuffer(chunk, np.uint8) for chunk in encode(value).chunks if len(chunk)]
    for part in (value.data, value.indices):
        assert any(np.shares_memory(part, chunk) for chunk in chunks)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_comes_back_can_be_computed_with(kind: Any) -> None:
    back = through_blob(kind(DENSE))
    assert (back.toarray() == DENSE).all()
    assert ((back @ back).toarray() == DENSE @ DENSE).all()
    assert (back.tocsr()[2:, :].toarray() == DENSE[2:]).all()
    back *= 2
    assert (back.toarray() == DENSE * 2).all()
    if hasattr(back, "data") and back.format != "lil":
        assert back.data.flags.writeable


@given(
    dense=st.integers(1, 6).flatmap(
        lambda rows: st.integers(1, 6).flatmap(
            lambda columns: st.lists(
                st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0, np.inf]), min_size=columns, max_size=columns),
                min_size=rows,
                max_size=rows,
            )
        )
    ),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from([np.float64, np.float32, np.complex128]),
)
def test_any_array_in_any_format(dense: list[list[float]], kind: Any, dtype: Any) -> None:
    value = kind(np.array(dense, dtype))
    assert_identical(value, through_blob(value))
    assert_identical(value, through_row(value))


@given(st.data())
def test_any_order_of_coordinates(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    count = data.draw(st.integers(0, 12))
    coords = [
        np.array(data.draw(st.lists(st.integers(0, length - 1), min_size=count, max_size=count)), np.int32)
        for length in shape
    ]
    value = sp.coo_array((np.arange(count), tuple(coords)), shape=tuple(shape))
    assert_identical(value, through_blob(value))


# -- refused -------------------------------------------------------------------------------------------------


def test_a_subclass_is_refused() -> None:
    class Mine(sp.csr_array):
        pass

    with pytest.raises(UnsupportedTypeError, match="Mine"):
        encode(Mine(DENSE))


def test_attributes_that_would_be_lost_are_refused() -> None:
    value = sp.csr_array(DENSE)
    value.unit = "EUR"
    with pytest.raises(UnsupportedValueError, match=r"value\[0\]: the csr_array has the attribute 'unit'.*beside"):
        encode([value])


def spoil(value: Any, **parts: Any) -> Any:
    for name, part in parts.items():
        setattr(value, name, part)
    return value


SPOILT = {
    "an index past the end": lambda: spoil(sp.csr_array(DENSE), indices=np.array([1, 3, 0, 2, 4], np.int32)),
    "a negative index": lambda: spoil(sp.csc_array(DENSE), indices=np.array([0, -1, 0, 0, 0], np.int32)),
    "pointers that decrease": lambda: spoil(sp.csr_array(DENSE), indptr=np.array([0, 3, 2, 4, 5], np.int32)),
    "a first pointer of 1": lambda: spoil(sp.csr_array(DENSE), indptr=np.array([1, 2, 2, 4, 5], np.int32)),
    "pointers past the end": lambda: spoil(sp.csr_array(DENSE), indptr=np.array([0, 2, 2, 4, 6], np.int32)),
    "too few pointers": lambda: spoil(sp.csr_array(DENSE), indptr=np.array([0, 2, 5], np.int32)),
    "too little data": lambda: spoil(sp.csr_array(DENSE), data=np.ones(4)),
    "data of objects": lambda: spoil(sp.csr_array(DENSE), data=np.ones(5, object)),
    "data of the other byte order": lambda: spoil(sp.csr_array(DENSE), data=np.ones(5, ">f8")),
    "indices of the other byte order": lambda: spoil(sp.csr_array(DENSE), indices=np.array([1, 3, 0, 2, 3], ">i4")),
    "small indices": lambda: spoil(sp.csr_array(DENSE), indices=np.array([1, 3, 0, 2, 3], np.int8)),
    "blocks past the end": lambda: spoil(blocks(), indices=np.array([1, 2], np.int32)),
    "blocks that do not fit": lambda: spoil(blocks(), data=np.ones((2, 2, 4))),
    "blocks of nothing": lambda: spoil(blocks(), data=np.ones((2, 0, 3))),
    "coordinates past the end": lambda: spoil(
        duplicate_coordinates(), coords=(np.array([3, 0, 0]), np.array([0, 0, 0]))
    ),
    "coordinates of one axis": lambda: spoil(duplicate_coordinates(), coords=(np.array([0, 0, 0]),)),
    "coordinates of two dtypes": lambda: spoil(
        duplicate_coordinates(), coords=(np.array([0, 0, 0], "i4"), np.array([0, 0, 0], "i8"))
    ),
    "too few coordinates": lambda: spoil(duplicate_coordinates(), coords=(np.array([0, 0]), np.array([0, 0]))),
    "a diagonal twice": lambda: spoil(diagonals(), offsets=np.array([1, 1], np.int32)),
    "a diagonal too many": lambda: spoil(diagonals(), offsets=np.array([1, 2, 3], np.int32)),
    "a diagonal far away": lambda: spoil(diagonals(), offsets=np.array([1, -(2**31)], np.int32)),
    "a row of another length": lambda: lil(rows=[[0], [], [1]], data=[[1.0], [], [1.0, 2.0]]),
    "a column past the end": lambda: lil(rows=[[0], [4], []], data=[[1.0], [2.0], []]),
    "a column before the first": lambda: lil(rows=[[0], [-1], []], data=[[1.0], [2.0], []]),
    "a column that is no number": lambda: lil(rows=[["0"], [], []], data=[[1.0], [], []]),
    "a value that is no number": lambda: lil(rows=[[0], [], []], data=[["x"], [], []]),
    "a row that is no list": lambda: lil(rows=[[0], (), []], data=[[1.0], [], []]),
    "a key past the end": lambda: spoil(sp.dok_array((3, 4)), _dict={(0, 4): 1.0}),
    "a negative key": lambda: spoil(sp.dok_array((3, 4)), _dict={(-1, 0): 1.0}),
    "a key of three": lambda: spoil(sp.dok_array((3, 4)), _dict={(0, 0, 0): 1.0}),
    "a key that is no number": lambda: spoil(sp.dok_array((3, 4)), _dict={("a", 0): 1.0}),
    "a value that is a text": lambda: spoil(sp.dok_array((3, 4)), _dict={(0, 0): "a"}),
}


def lil(*, rows: list[Any], data: list[Any]) -> Any:
    array = sp.lil_array((3, 4))
    for place, (columns, values) in enumerate(zip(rows, data, strict=True)):
        array.rows[place], array.data[place] = columns, values
    return array


@pytest.mark.parametrize("name", SPOILT)
def test_an_inconsistent_array_is_refused(name: str) -> None:
    with pytest.raises(EncodeError, match="not consistent") as caught:
        encode({"a": SPOILT[name]()})
    assert caught.value.path == 'value["a"]'
    assert "build it again" in str(caught.value)


@pytest.mark.parametrize("name", SPOILT)
def test_a_forged_array_is_refused_when_it_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = SPOILT[name]()
    unchecked = {form: (take, lambda *_: None) for form, (take, _) in codec._FORMATS.items()}
    monkeypatch.setattr(codec, "_FORMATS", unchecked)
    try:
        payload = encode(value)
    except ValueError:
        return  # it cannot even be written
    monkeypatch.undo()
    with pytest.raises(CorruptPayloadError):
        decode(bytearray(payload.to_bytes()), payload.format)


@pytest.mark.parametrize(
    "node",
    [
        [[2, 2]],
        [[2, -2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {}],
        [[2**62, 2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {}],
        [["2", 2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {}],
        [[], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {}],
        [[1, 2, 3], np.ones(0), np.zeros(0, "i4"), np.zeros(2, "i4"), {}],
        [[2, 2], [], np.zeros(0, "i4"), np.zeros(3, "i4"), {}],
        [[2, 2], np.ones(0), [], np.zeros(3, "i4"), {}],
        [[2, 2], np.ones(0), np.zeros((0, 1), "i4"), np.zeros(3, "i4"), {}],
        [[2, 2], np.ones(0), np.zeros(0, "i4"), np.zeros((3, 1), "i4"), {}],
        [[2, 2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {"data": True}],
        [[2, 2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), {"sorted": 1}],
        [[2, 2], np.ones(0), np.zeros(0, "i4"), np.zeros(3, "i4"), []],
        None,
    ],
)
def test_a_forged_node_is_refused(node: Any) -> None:
    from airflow_xcom.codecs.payload import Decoder

    assert registry.for_tag("scipy.sparse.csr_array", 1)
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer("scipy.sparse.csr_array", 1)(node)


@pytest.mark.parametrize(
    ("tag", "node"),
    [
        ("dok_array", [[2, 2], np.dtype("f8"), [0, 0, 0, 0], [1.0, 2.0], {}]),
        ("dok_array", [[2, 2], np.dtype("f8"), [0, 0, 0], [1.0], {}]),
        ("dok_array", [[2, 2], np.dtype("O"), [0, 0], [1.0], {}]),
        ("lil_array", [[2, 2], np.dtype("f8"), [1, -1], [], [], {}]),
        ("lil_array", [[2, 2], np.dtype("f8"), [1, 0], [0], [], {}]),
        ("lil_array", [[2**40, 2], np.dtype("f8"), [1, 0], [0], [1.0], {}]),
        ("lil_array", [[2, 2], np.dtype("U3"), [1, 0], [0], ["a"], {}]),
        ("coo_array", [[2, 2], np.ones(1), [np.zeros(1, "i4"), np.zeros(1, "i4")], {"canonical": 2}]),
        ("dia_array", [[2, 2], np.ones((1, 2)), "x", {}]),
    ],
)
def test_a_forged_node_of_another_format_is_refused(tag: str, node: Any) -> None:
    from airflow_xcom.codecs.payload import Decoder

    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer(f"scipy.sparse.{tag}", 1)(node)


def test_the_summary_says_how_full_it_is() -> None:
    assert encode(sp.csr_array(DENSE)).summary == {"shape": [4, 4], "dtype": "int64", "entries": 5}


def test_the_comparer_notices() -> None:
    assert difference(unsorted(), known_not_to_be_sorted())
    assert difference(sp.csr_array(DENSE), sp.csr_matrix(DENSE))
    assert difference(sp.csr_matrix(DENSE), long_indices())
    assert difference(explicit_zeros(), spoil(explicit_zeros(), data=-np.zeros(3)))


@pytest.mark.parametrize("form", ["lil", "dok"])
def test_text_is_no_dtype(form: str) -> None:
    """NumPy would parse it, and so compile a part of it."""
    made = getattr(sp, f"{form}_array")(np.eye(2))
    shape, _, *rest = registry.for_type(type(made)).encode(made)
    with pytest.raises(CorruptPayloadError, match="str for its dtype"):
        decode_json({"$": [f"scipy.sparse.{form}_array", 1, encode([shape, "(1)f8", *rest]).to_json()]})


@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_a_push_leaves_a_matrix_in_a_cell_as_it_was(make: Any) -> None:
    cell = make((np.ones(2), np.array([1, 0]), np.array([0, 2, 2])), shape=(2, 2))
    frame = pd.DataFrame({"a": pd.Series([cell], dtype=object)})
    before = dict(vars(cell))
    assert encode(frame).to_bytes() == encode(frame).to_bytes()
    assert vars(cell).keys() == before.keys()

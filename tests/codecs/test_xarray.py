"""xarray: variables, arrays, datasets and trees, exact where they are in memory, and what is refused."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from xarray.indexes import PandasIndex

from airflow_xcom.codecs import CorruptPayloadError, UnsupportedTypeError, UnsupportedValueError
from airflow_xcom.codecs.payload import Decoder, decode, decode_json, encode
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.testing import assert_identical, difference

MADE: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a named value."""
    MADE[function.__name__] = function
    return function


VARIABLES: dict[str, Callable[[], Any]] = {
    "variable": lambda: xr.Variable(("x", "y"), np.arange(6.0).reshape(2, 3)),
    "variable without dimensions": lambda: xr.Variable((), 5),
    "variable with attrs and encoding": lambda: xr.Variable(
        "x", np.arange(3, dtype="i2"), {"units": "K", "range": (1, 2)}, {"dtype": np.dtype("f4"), "_FillValue": np.nan}
    ),
    "variable of the other byte order": lambda: xr.Variable("x", np.array([1, 2], ">f4")),
    "variable in Fortran order": lambda: xr.Variable(("x", "y"), np.asfortranarray(np.arange(6).reshape(2, 3))),
    "variable of times": lambda: xr.Variable("t", np.array(["2024-01-01", "NaT"], "M8[ns]")),
    "variable of text": lambda: xr.Variable("x", np.array(["a", "ccc"])),
    "variable of objects": lambda: xr.Variable("x", np.array(["a", None, (1, 2)], object)),
    "variable of datetime objects": lambda: xr.Variable(
        "x", np.array([dt.datetime(2024, 1, 1), dt.datetime(1, 1, 1)], object), fastpath=True
    ),
    "variable of categories": lambda: xr.Variable("x", pd.Categorical(["b", "a", None])),
    "variable of nullable numbers": lambda: xr.Variable("x", pd.array([1, None], dtype="Int64")),
    "variable of an index": lambda: xr.Variable("x", pd.date_range("2024", periods=3, tz="UTC")),
    "variable without rows": lambda: xr.Variable(("x", "y"), np.empty((0, 3))),
    "variable with names that are no text": lambda: xr.Variable((1, ("a", 2)), np.ones((1, 2))),
    "index variable": lambda: xr.IndexVariable("x", [3, 1, 2], {"units": "m"}, {"dtype": "i4"}),
    "index variable of times": lambda: xr.IndexVariable("t", pd.date_range("2024", periods=3, freq="D")),
    "index variable of text": lambda: xr.IndexVariable("x", np.array(["a", "bb"])),
    "index variable of levels": lambda: levels().variables["row"],
    "index variable of a level": lambda: levels().variables["k"],
    "base variable of an index": lambda: xr.IndexVariable("x", [1, 2]).to_base_variable(),
}
MADE |= VARIABLES


def levels() -> Any:
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", "n"])
    return xr.Dataset({"v": ("row", np.arange(4.0))}, coords=xr.Coordinates.from_pandas_multiindex(index, "row"))


@case
def array() -> Any:
    return xr.DataArray(
        np.arange(6.0).reshape(2, 3),
        dims=("x", "y"),
        coords={
            "y": ["a", "b", "c"],
            "x": [10, 20],
            "scalar": 3,
            "z": ("x", [1.5, 2.5]),
            "m": (("x", "y"), np.eye(2, 3)),
        },
        name="temperature",
        attrs={"units": "K", "made": dt.date(2024, 1, 1)},
    )


@case
def array_without_anything() -> Any:
    return xr.DataArray(5)


@case
def array_named_by_a_tuple() -> Any:
    return xr.DataArray([1, 2], dims="x", name=("a", 1))


@case
def array_of_a_coordinate() -> Any:
    return array()["y"]


@case
def array_of_a_level() -> Any:
    return levels()["k"]


@case
def array_with_unsorted_coordinates() -> Any:
    return xr.DataArray(np.zeros(3), coords={"x": ("x", [3.0, np.nan, -0.0], {"axis": "X"})})


@case
def array_with_an_index_beside_its_dimension() -> Any:
    return array().set_xindex("z")


@case
def array_without_indexes() -> Any:
    return array().drop_indexes("x")


@case
def array_selected() -> Any:
    return array().isel(x=0)


@case
def array_transposed() -> Any:
    return array().T


@case
def dataset() -> Any:
    made = xr.Dataset(
        {"z": (("t", "x"), np.arange(6, dtype="f4").reshape(3, 2), {"units": "K"}), "a": ("x", [True, False])},
        coords={
            "x": ("x", [1, 2], {"axis": "X"}, {"dtype": "i2"}),
            "t": pd.date_range("2024-03-30", periods=3, freq="D"),
            "label": ("x", np.array(["p", "qq"])),
        },
        attrs={"title": "made up", "history": ["a", "b"]},
    )
    made.encoding = {"unlimited_dims": {"t"}}
    return made


@case
def dataset_with_levels() -> Any:
    return levels()


@case
def dataset_with_levels_and_attrs() -> Any:
    made = levels()
    made["k"].attrs["long_name"] = "key"
    made["row"].encoding["dtype"] = "O"
    return made


@case
def dataset_with_unused_levels() -> Any:
    return levels().isel(row=[3, 0])


@case
def dataset_with_two_indexes() -> Any:
    return dataset().set_xindex("label")


@case
def dataset_of_coordinates_alone() -> Any:
    return dataset().drop_vars(["a", "z"])


@case
def dataset_without_anything() -> Any:
    return xr.Dataset()


@case
def dataset_with_coordinates_first() -> Any:
    return xr.Dataset(coords={"x": [1, 2]}).assign(v=("x", [3, 4])).assign_coords(y=("x", [5, 6]))


@case
def dataset_with_zoned_times() -> Any:
    return xr.Dataset(coords={"t": pd.date_range("2024", periods=2, tz="Europe/Paris")})


@case
def dataset_with_categories() -> Any:
    return xr.Dataset(
        {"c": ("x", pd.Categorical(["b", "a"], ordered=True))}, coords={"x": pd.CategoricalIndex(["p", "q"])}
    )


@case
def dataset_with_ranges() -> Any:
    return xr.Dataset(
        coords={
            "x": pd.RangeIndex(5, 9),
            "i": pd.interval_range(0, 3),
            "p": pd.period_range("2024", periods=2, freq="M"),
        }
    )


@case
def dataset_from_a_frame() -> Any:
    return pd.DataFrame({"v": [1.5, 2.5], "s": ["a", None]}, index=pd.Index([3, 4], name="row")).to_xarray()


@case
def dataset_stacked() -> Any:
    return dataset().drop_vars("label").stack(cell=("t", "x"))  # noqa: PD013


@case
def dataset_renamed() -> Any:
    return dataset().rename(x="lon", z="depth")


@case
def dataset_copied() -> Any:
    return levels().copy(deep=True)


@case
def tree() -> Any:
    made = xr.DataTree.from_dict(
        {"/": dataset(), "/b/deep/deeper": levels(), "/left": xr.Dataset({"v": ("x", [7, 8])}), "/b": None}
    )
    made.name = "root"
    made["left"].attrs = {"u": 1}
    return made


@case
def tree_without_anything() -> Any:
    return xr.DataTree()


def through_blob(value: Any) -> Any:
    payload = encode(value)
    return decode(bytearray(payload.to_bytes()), payload.format)


def through_row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json(), allow_nan=False)))


def through_tree(value: Any) -> Any:
    return through_blob({"a": [value]})["a"][0]


WAYS = {"blob": through_blob, "row": through_row, "tree": through_tree}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_comes_back_exact(name: str, way: str) -> None:
    back = WAYS[way](MADE[name]())
    assert_identical(MADE[name](), back)
    if hasattr(back, "identical"):
        assert back.identical(MADE[name]())


@pytest.mark.parametrize("name", MADE)
def test_pushing_leaves_the_value_as_it_was(name: str) -> None:
    value = MADE[name]()
    encode(value)
    assert_identical(MADE[name](), value)


def test_the_payload_shares_the_memory_of_the_value() -> None:
    value = xr.DataArray(np.zeros((300, 400)))
    assert any(
        np.shares_memory(value.values, np.frombuffer(chunk, "u1")) for chunk in encode(value).chunks if len(chunk)
    )


def test_what_comes_back_can_be_used_and_changed() -> None:
    back = through_blob(dataset())
    back["z"][0, 0] = 99
    assert back["z"].sel(t="2024-03-30", x=1) == 99
    assert back.t.to_index().freq == pd.offsets.Day()
    assert back.mean("x")["z"].shape == (3,)
    again = through_blob(levels())
    assert again.sel(k="b", n=2)["v"] == 3
    assert again.sel(k="a")["v"].to_numpy().tolist() == [0, 1]
    assert again.xindexes.get_unique()[0].index.names == ["k", "n"]
    deep = through_blob(tree())
    deep["/b/deep/deeper/v"][0] = 5
    assert deep["/left/x"].attrs == {"axis": "X"}  # inherited


elements = st.sampled_from(
    [np.dtype(kind) for kind in ("f8", ">f4", "i2", "u1", "bool", "M8[ns]", "m8[s]", "U3", "c8")]
)


@given(
    elements.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, max_side=4))),
    st.data(),
)
def test_any_array_with_any_coordinates(values: Any, data: st.DataObject) -> None:
    dims = [f"d{axis}" for axis in range(values.ndim)]
    made = xr.DataArray(values, dims=dims, name=data.draw(st.none() | st.text() | st.integers()))
    for dim, size in zip(dims, values.shape, strict=True):
        labels = data.draw(st.none() | elements.flatmap(lambda dtype, size=size: arrays.arrays(dtype, size)))
        if labels is not None and labels.dtype.kind != "c":
            made = made.assign_coords({data.draw(st.sampled_from([dim, f"{dim}_label"])): (dim, labels)})
    whole = xr.Dataset(
        {"v": made.rename(None)}, attrs=data.draw(st.dictionaries(st.text(), st.integers() | st.floats()))
    )
    for value in (made, whole):
        for way in WAYS.values():
            assert_identical(value, way(value))


# -- refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    path = tmp_path / "file.nc"
    xr.Dataset({"v": ("x", np.arange(3.0)), "w": ("x", np.arange(3))}, coords={"y": ("x", [5, 6, 7])}).to_netcdf(
        path, engine="scipy"
    )
    with xr.open_dataset(path, engine="scipy") as found:
        yield found


def test_an_open_file_is_refused(opened: Any) -> None:
    for value in (opened, opened["v"], opened["v"].variable, opened[["y"]], xr.DataTree(opened)):
        with pytest.raises(UnsupportedValueError, match=r"not in memory.*value\.load\(\)"):
            encode(value)
    assert not isinstance(opened["v"].variable._data, np.ndarray), "refusing does not read"


def test_what_is_loaded_from_a_file_comes_back(opened: Any) -> None:
    assert_identical(opened.load(), through_blob(opened))
    assert "source" in through_blob(opened).encoding
    assert_identical(opened["v"], through_blob(opened["v"]))


def test_chunks_are_refused() -> None:
    for value in (array().chunk(), dataset().chunk(x=1), array().chunk().variable):
        with pytest.raises(UnsupportedValueError, match=r"not computed yet \(dask.*value\.compute\(\)"):
            encode(value)
        assert_identical(value.compute(), through_blob(value.compute()))


def test_other_arrays_are_refused() -> None:
    class Duck:
        shape, ndim, dtype = (2,), 1, np.dtype("f8")

        def __array_function__(self) -> None: ...
        def __array_ufunc__(self) -> None: ...

    with pytest.raises(UnsupportedValueError, match=r"Duck, .*as_numpy\(\)"):
        encode(xr.Variable("x", Duck()))


def test_other_indexes_are_refused_and_the_advice_helps() -> None:
    coordinates = xr.Coordinates.from_xindex(xr.indexes.RangeIndex.arange(0, 1, 0.25, dim="x"))
    value = xr.Dataset({"v": ("x", np.zeros(4))}, coords=coordinates)
    with pytest.raises(UnsupportedValueError, match=r"'x' is a RangeIndex.*value\.drop_indexes\('x'\)\.load\(\)"):
        encode(value)
    assert_identical(value.drop_indexes("x").load(), through_blob(value.drop_indexes("x").load()))

    class Mine(PandasIndex):
        pass

    with pytest.raises(UnsupportedValueError, match="'z' is a .*Mine"):
        encode(array().set_xindex("z", Mine))


def test_views_are_refused() -> None:
    for view in (dataset().coords, array().coords, xr.Coordinates({"x": [1]})):
        with pytest.raises(UnsupportedTypeError, match=r"view .* return value\.to_dataset\(\)"):
            encode(view)
        assert_identical(view.to_dataset(), through_blob(view.to_dataset()))
    with pytest.raises(UnsupportedTypeError, match=r"view .* return the to_dataset\(\) of its node"):
        encode(tree().dataset)
    assert_identical(tree().to_dataset(), through_blob(tree().to_dataset()))


def test_a_part_of_a_tree_is_refused() -> None:
    with pytest.raises(UnsupportedValueError, match=r"/b/deep is a part of a tree.*value\.copy\(\)"):
        encode(tree()["b/deep"])
    part = tree()["b/deep"].copy()
    assert_identical(part, through_blob(part))


def test_subclasses_are_refused() -> None:
    class Mine(xr.Dataset):
        __slots__ = ()

    with pytest.raises(UnsupportedTypeError, match="Mine"):
        encode(Mine())


def test_what_no_codec_knows_is_refused_where_it_is() -> None:
    with pytest.raises(UnsupportedTypeError, match="builtin_function_or_method|function"):
        encode(dataset().assign_attrs(made_by=lambda: 1))


def test_an_index_that_its_coordinate_does_not_show_stays_apart() -> None:
    value = dataset()
    value._variables["x"] = xr.IndexVariable("x", [7, 8])
    assert_identical(value, through_blob(value))


def test_a_coordinate_and_its_index_are_stored_once() -> None:
    labels = np.arange(10_000.0)
    assert len(encode(xr.Dataset(coords={"x": labels})).to_bytes()) < 1.5 * labels.nbytes
    assert len(encode(xr.DataArray(labels, coords={"x": labels})).to_bytes()) < 2.5 * labels.nbytes


@pytest.mark.parametrize(
    ("labels", "other"),
    [
        ([1.0, 0.0], [1.0, -0.0]),
        (["a", "b"], ["a", "c"]),
        (pd.RangeIndex(2), pd.RangeIndex(1, 3)),
        (pd.date_range("2024", periods=2), pd.DatetimeIndex(["2024-01-01", "2024-01-02"])),
        (np.array([1, 1.0], object), np.array([1, True], object)),
    ],
)
def test_a_coordinate_that_differs_from_its_index_only_a_little_is_kept(labels: Any, other: Any) -> None:
    value = xr.Dataset(coords={"x": labels})
    value._variables["x"] = xr.Dataset(coords={"x": other}).variables["x"]
    assert_identical(value, through_blob(value))


# -- forged --------------------------------------------------------------------------------------------------

VARIABLE = xr.Variable("x", [1, 2])
INDEX = ["PandasIndex", "x", pd.Index([1, 2], name="x"), np.dtype("i8")]
LEVELS = pd.MultiIndex.from_arrays([[1, 2]], names=["k"])
ENDLESS = ipaddress.ip_network("::/0")


@pytest.mark.parametrize(
    ("tag", "node"),
    [
        ("Variable", None),
        ("Variable", [["x"], [1, 2], {}, {}]),
        ("Variable", [["x"], "ab", {}, {}]),
        ("Variable", [["x"], None, {}, {}]),
        ("Variable", [["x", "y"], np.ones(2), {}, {}]),
        ("Variable", [[[]], np.ones(2), {}, {}]),
        ("Variable", [["x"], np.ones(2), [1], {}]),
        ("Variable", [["x"], [pd.Index([1]), "O"], {}, {}]),
        ("Variable", [["x"], [pd.Index([1]), np.dtype("O"), "k"], {}, {}]),
        ("IndexVariable", [["x", "y"], np.ones((2, 2)), {}, {}]),
        ("DataArray", ["n", np.ones(2), [], []]),
        ("DataArray", ["n", VARIABLE, [["x", np.ones(2)]], []]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], []]),
        ("DataArray", ["n", VARIABLE, [], [["x", INDEX]]]),
        ("DataArray", ["n", VARIABLE, [["y", xr.Variable("y", [1])]], []]),
        ("DataArray", ["n", VARIABLE, [["x", xr.Variable("x", [1, 2, 3])]], []]),
        ("DataArray", [[], VARIABLE, [], []]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["PandasIndex", "x", "text", np.dtype("i8")]]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["PandasIndex", "x", pd.Index([1, 2]), "i8"]]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["PandasIndex", "x", pd.Index([1]), np.dtype("i8")]]]]),
        ("DataArray", ["n", VARIABLE, [["y", [{}, {}]]], [["y", INDEX]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["PandasIndex", ENDLESS, *INDEX[2:]]]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", 0]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", INDEX], ["y", -1]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["RangeIndex", "x", 0, 1]]]]),
        ("DataArray", ["n", VARIABLE, [["x", [{}, {}]]], [["x", ["PandasMultiIndex", "x", LEVELS, [["k", "O"]]]]]]),
        ("Dataset", [[["v", VARIABLE]], ["w"], [], {}, {}]),
        ("Dataset", [[["v", VARIABLE]], [], [["v", INDEX]], {}, {}]),
        ("Dataset", [[["v", VARIABLE], ["w", xr.Variable("x", [1])]], [], [], {}, {}]),
        ("Dataset", [[["v", np.ones(2)]], [], [], {}, {}]),
        ("Dataset", [[["v", VARIABLE]], [[]], [], {}, {}]),
        ("DataTree", ["n", [["/", VARIABLE]]]),
        ("DataTree", ["n", [["/", xr.Dataset()], ["/a/b", xr.Dataset()]]]),
        ("DataTree", ["n", [["/", xr.Dataset()], ["a/../b", xr.Dataset()]]]),
        ("DataTree", ["n", [["/", xr.Dataset()], ["/..", xr.Dataset()]]]),
        ("DataTree", ["n", [["/", xr.Dataset()], ["/./", xr.Dataset()]]]),
        ("DataTree", ["a/b", [["/", xr.Dataset()]]]),
        ("DataTree", [5, [["/", xr.Dataset()]]]),
    ],
)
def test_a_forged_node_is_refused(tag: str, node: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        Decoder(registry).restorer(f"xarray.{tag}", 1)(node)


def test_summaries() -> None:
    assert encode(array()).summary == {"sizes": {"x": 2, "y": 3}, "dtype": "float64"}
    assert encode(dataset()).summary["sizes"] == {"t": 3, "x": 2}
    assert encode(dataset()).summary["dtypes"]["z"] == "float32"
    assert encode(tree()).summary == {"nodes": ["/", "/left", "/b", "/b/deep", "/b/deep/deeper"]}


def test_the_comparer_notices() -> None:
    assert difference(array(), array().assign_coords(scalar=4))
    assert difference(array(), array().drop_indexes("x"))
    assert difference(array(), array().astype("f4"))
    assert difference(dataset(), dataset().assign_attrs(title="other"))
    assert difference(dataset(), dataset().drop_encoding())
    assert difference(dataset(), dataset()[["a", "z"]])
    assert difference(levels(), levels().drop_indexes(["row", "k", "n"]))
    assert difference(tree(), xr.DataTree.from_dict({"/": dataset()}))


@pytest.mark.parametrize("dtype", [">M8[s]", "M8[D]", ">m8[ms]", "m8[D]"])
@pytest.mark.parametrize("kind", [xr.Variable, xr.IndexVariable])
def test_a_coordinate_may_have_another_dtype_than_its_index(dtype: str, kind: Any) -> None:
    """Where xarray was told not to check, it keeps the dtype, and pandas has none like it."""
    coordinate = kind(("x",), np.array([1, 2]).astype(dtype), fastpath=True)
    value = xr.Dataset(coords=xr.Coordinates({"x": coordinate}))
    assert value["x"].dtype != value.xindexes["x"].index.dtype
    payload = encode(value)
    back = decode(payload.to_bytes(), payload.format)
    assert difference(value, back) is None
    assert encode(back).to_bytes() == payload.to_bytes()

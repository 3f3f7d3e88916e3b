"""An object that stands in several places of a value is written once, and is one object again."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import strategies
import xarray as xr
from test_everything import SEEDS, few, for_all

from airflow_xcom.codecs import (
    CircularReferenceError,
    Codec,
    CorruptPayloadError,
    NestingError,
    UnsupportedValueError,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.formats import sharing
from airflow_xcom.codecs.formats.msgpack import columnar
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import difference


def _blob(value: Any) -> Any:
    payload = encode(value)
    return decode(payload.to_bytes(), payload.format)


def _row(value: Any) -> Any:
    return decode_json(json.loads(json.dumps(encode(value).to_json())))


WAYS = pytest.mark.parametrize("through", [_blob, _row])
LARGE = np.arange(10_000.0)
FRAME = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="k"))


def _places(value: dict[str, Any]) -> list[Any]:
    return [value["list"][0], value["list"][1], value["tuple"][0], value["deep"]["dict"]["again"][0]]


@WAYS
@pytest.mark.parametrize("item", [LARGE, FRAME, (LARGE, FRAME)], ids=["array", "small frame", "tuple"])
def test_a_shared_object_is_one_object_again(through: Callable[[Any], Any], item: Any) -> None:
    value = {"list": [item, item], "tuple": (item,), "deep": {"dict": {"again": deque([item])}}}
    back = through(value)
    assert difference(value, back) is None
    first, *others = _places(back)
    assert all(other is first for other in others)


@WAYS
def test_an_order_of_keys_that_a_column_would_change_comes_back(through: Callable[[Any], Any]) -> None:
    back = through({"long": LARGE, "b": [LARGE], "": (LARGE,)})
    assert list(back) == ["long", "b", ""]
    assert back["long"] is back["b"][0] is back[""][0]


@WAYS
def test_equal_objects_stay_two(through: Callable[[Any], Any]) -> None:
    first, second = through([LARGE, LARGE.copy()])
    first[0] = -1.0
    assert second[0] == 0.0


@WAYS
def test_an_array_of_bytes_is_one_object_again(through: Callable[[Any], Any]) -> None:
    data = bytearray(LARGE)
    first, second, tree = through([data, data, {"\ud800": [(data,)], "text": "\ud800"}])
    assert first is second is tree["\ud800"][0][0]
    assert first == data


@WAYS
def test_what_holds_a_shared_object_is_itself_one_object_again(through: Callable[[Any], Any]) -> None:
    variable = xr.Variable("x", LARGE)
    array, first, second = through([LARGE, variable, variable])
    assert first is second
    assert first._data is array
    first.attrs["changed"] = True
    assert second.attrs == {"changed": True}


def test_a_shared_object_is_written_once() -> None:
    once, twice = encode([LARGE]).size, encode([LARGE] * 50 + [{"k": (LARGE,)}]).size
    assert twice < once + 500


def test_large_objects_are_numbered_when_they_are_first_met() -> None:
    tree = _tree(encode([LARGE, (1, 2), FRAME, (1, 2), LARGE, FRAME]).to_bytes())
    assert [node.code for node in tree] == [3, 17, 3, 17, 4, 4]
    numbers = [msgpack.unpackb(tree[place].data, strict_map_key=False)[0] for place in (0, 2)]
    assert [*numbers, *(msgpack.unpackb(node.data) for node in tree[4:])] == [0, 1, 0, 1]


@pytest.mark.parametrize("item", [LARGE, FRAME, (LARGE, FRAME), "\ud800" * 5000])
def test_no_cell_and_no_meta_numbers_an_object(item: Any) -> None:
    cells = pd.Series([item, item, 1], dtype=object)
    cells.attrs["meta"] = [item, item]
    blob = encode(cells).to_bytes()
    assert "same" not in json.dumps(encode(cells).to_json()) + str(pa.ipc.open_file(blob).schema.metadata)
    back = _blob(cells)
    assert difference(cells, back) is None
    assert back[0] is not back[1]


class Counted:
    encoded = 0


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: [{"a": item, "b": 1} for item in items]])
def test_nothing_is_encoded_again_because_something_else_repeats(wrap: Callable[[Any], Any]) -> None:
    def _encode(_value: Counted) -> int:
        Counted.encoded += 1
        return 1

    registry.register(Codec("test.counted", (Counted,), _encode, lambda _node, _: Counted()), replace=True)
    counts = []
    for arrays in ([LARGE], [LARGE, LARGE]):
        Counted.encoded = 0
        encode([*arrays, wrap([Counted() for _ in range(100)]), Counted()])
        counts.append(Counted.encoded)
    assert counts[0] == counts[1] >= 101


def _tree(blob: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(blob)
    _, tree = unpacker.unpack(), unpacker.unpack()
    assert isinstance(tree, list)
    return tree


@WAYS
def test_text_that_needs_a_second_attempt_does_not_disturb_it(through: Callable[[Any], Any]) -> None:
    value = [(LARGE, LARGE), "\ud800", {"\ud800": (LARGE, ["\ud800", LARGE])}]
    back = through(value)
    assert difference(value, back) is None
    assert back[0][0] is back[0][1] is back[2]["\ud800"][0] is back[2]["\ud800"][1][1]


@WAYS
def test_a_chain_of_shared_objects_may_be_as_deep_as_any(through: Callable[[Any], Any]) -> None:
    item: Any = (LARGE,)
    for level in range(80):
        item = (item, item) if level < 18 else (item,)  # 2**18 places, and 82 objects
    back = through([item])
    depth = 0
    at = back[0]
    while isinstance(at, tuple):
        assert len(at) == 1 or at[0] is at[1]
        at, depth = at[0], depth + 1
    assert depth == 81
    assert difference(LARGE, at) is None


def test_objects_that_stand_for_too_much_are_refused_at_push() -> None:
    item: Any = (LARGE,)
    for _ in range(24):
        item = (item, item)
    with pytest.raises(UnsupportedValueError, match="4,000,000 nodes .* return each of them once"):
        encode([item])
    with pytest.raises(UnsupportedValueError, match="4,000,000 nodes"):
        encode({"a": [(tuple(range(5000)),)] * 1_000})


def _doubled(levels: int, wrap: Callable[[Any], Any]) -> list[Any]:
    item: list[Any] = [1]
    for _ in range(levels):
        item = [item, wrap(item)]
    return item


@pytest.mark.parametrize("levels", [24, 25, 40, 200])
@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: {"a": item}, lambda item: [{"a": item}] * 40])
def test_lists_that_hold_each_other_twice_are_refused_before_they_are_written(
    levels: int, wrap: Callable[[Any], Any]
) -> None:
    with pytest.raises(UnsupportedValueError, match="would be written 65,536 times each, and more; return each"):
        encode({"v": _doubled(levels, wrap)})
    with pytest.raises(UnsupportedValueError, match="would be written 65,536 times each"):
        encode((_doubled(levels, wrap),))


def test_lists_that_many_tables_hold_are_refused_before_they_are_written() -> None:
    """Each list stands once in each table: no column of any holds one twice."""
    below: list[Any] = [[number] for number in range(40)]
    for _ in range(8):
        below = [[[{"a": item} for item in below]] for _ in range(40)]
    with pytest.raises(UnsupportedValueError, match="would be written 65,536 times each"):
        encode(below)


@WAYS
def test_lists_and_dicts_in_few_places_are_written_in_each(through: Callable[[Any], Any]) -> None:
    row: list[Any] = [0.5, {"a": 1}] * 30
    for value in (_doubled(10, lambda item: item), [row] * 50, [row, (row, {"c": row})]):
        back = through(value)
        assert difference(value, back) is None
        assert len({id(item) for item in back}) == len(value)


def test_lists_that_double_22_times_come_back() -> None:
    back = _blob(_doubled(22, lambda item: item))
    for _ in range(21):
        assert len(back) == 2
        back = back[1]


def test_a_matrix_of_one_row_is_no_excess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "_MOST_ITEMS", 1000)
    value = [[0.0] * 300] * 300
    assert _blob(value) == value


def test_a_cycle_among_repeated_lists_is_still_called_so() -> None:
    items: list[Any] = [[1]] * 3
    items += [{"again": items}, items]
    with pytest.raises(CircularReferenceError, match="contains itself"):
        encode({"a": [items, items]})


def test_what_is_shared_or_circular_in_attrs_is_gone_through_once() -> None:
    items: list[Any] = []
    items.extend([items] * 30)
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"zone": timezone(timedelta(hours=1)), "items": items}
    with pytest.raises(CircularReferenceError, match="contains itself"):
        encode(frame)
    items[:] = ["x"]
    for _ in range(7):
        items = [items] * 20
    frame.attrs["items"] = items
    with pytest.raises(UnsupportedValueError, match="hold each other so often"):
        encode(frame)


def _tuples(levels: int) -> tuple[Any, ...]:
    item: tuple[Any, ...] = (1, Decimal(2))
    for _ in range(levels):
        item = (item, item)
    return item


def test_tuples_that_double_in_a_cell_or_in_attrs_are_refused_as_lists_are() -> None:
    for frame in (pd.DataFrame({"a": [[1], _tuples(18)]}), pd.DataFrame({"a": [pd.DataFrame({"b": [_tuples(18)]})]})):
        with pytest.raises(UnsupportedValueError, match="hold each other so often"):
            encode(frame)
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"items": _tuples(15)}  # pandas itself copies attrs without bounds
    with pytest.raises(UnsupportedValueError, match="hold each other so often"):
        encode(frame)


@pytest.mark.parametrize("kind", [pd.Series, lambda cells: pd.DataFrame({"a": cells})], ids=["series", "frames"])
def test_tables_that_double_in_cells_are_refused_before_they_are_written(kind: Callable[[Any], Any]) -> None:
    table = kind(np.array([1], dtype=object))
    for level in range(40):
        cells = np.empty(2, dtype=object)
        cells[:] = [table, table]
        table = kind(cells)
        if level == 4:
            assert difference(table, _blob(table)) is None
    with pytest.raises(UnsupportedValueError, match="hold each other so often"):
        encode(table)


def test_sets_that_double_are_sorted_once_each() -> None:
    item = frozenset({1, 2})
    for level in range(60):
        item = frozenset({item, (item, level)})
        if level == 14:
            assert _blob(item) == item
    with pytest.raises(UnsupportedValueError, match="stand for more than"):
        encode(item)


def test_one_tuple_in_many_cells_is_written_in_each() -> None:
    column = pd.Series([((Decimal(1),), (Decimal(2),))] * 140_000, dtype=object)
    assert _blob(column).tolist() == column.tolist()


@WAYS
@pytest.mark.parametrize(
    ("item", "places"),
    [
        (("x" * 1_000_000,), 1_500),  # text is one node and few more
        ((b"x" * 1_000_000,), 1_500),
        (LARGE, 100_000),
        (FRAME, 100_000),
        ((FRAME, LARGE.copy()), 100_000),
        (tuple(range(5_000)), 700),
    ],
    ids=["text", "bytes", "array", "frame", "both", "numbers"],
)
def test_what_is_shared_in_many_places_is_read(through: Callable[[Any], Any], item: Any, places: int) -> None:
    back = through([item] * places + [LARGE.copy()])
    assert len({id(place) for place in back}) == 2
    assert difference(item, back[0]) is None


@WAYS
def test_records_with_long_keys_are_read(through: Callable[[Any], Any]) -> None:
    value = [{"x" * 3000: None, "y" * 1000: None} for _ in range(20_000)]
    assert through(value) == value


@pytest.mark.usefixtures("_allowed")
def test_no_reader_refuses_what_a_writer_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With little allowed, values near the bound are common."""
    monkeypatch.setattr(sharing, "LEAST", 0)
    monkeypatch.setattr(sharing, "FACTOR", 1)
    outcomes = Counter()

    @for_all(strategies.repeating(), examples=10 * few(fixed=True), seed=3)
    def _check(value: Any) -> None:
        try:
            encode(value)
        except UnsupportedValueError:
            outcomes["refused"] += 1
            return
        outcomes["read"] += 1
        assert difference(value, _blob(value)) is None
        assert difference(value, _row(value)) is None

    assert min(outcomes["refused"], outcomes["read"]) > 0


def test_a_cycle_through_objects_is_named() -> None:
    items: list[Any] = [1]
    items.append((items,))
    with pytest.raises(CircularReferenceError, match=r'value\["a"\]\[0\]\[1\]\[0\]\[1\]: the tuple contains itself'):
        encode({"a": [items]})
    ring: deque[Any] = deque()
    ring.append({"k": (ring,)})
    with pytest.raises(CircularReferenceError, match=r'value\["q"\]\[0\]\["k"\]\[0\]: the deque contains itself'):
        encode({"q": ring})


def test_depth_without_a_cycle_is_called_depth() -> None:
    item: Any = 1
    for _ in range(150):
        item = (item,)
    with pytest.raises(NestingError, match="deeper than 100 levels"):
        encode([item])


@pytest.mark.parametrize(
    "forged",
    [
        {"$": ["same", 0]},
        {"$": ["same", "0"]},
        {"$": ["same", [0]]},
        {"$": ["shared", [0, {"$": ["tuple", 1, [{"$": ["same", 0]}]]}]]},
        [{"$": ["shared", [0, 1]]}, {"$": ["shared", [0, 2]]}],
        {"$": ["shared", ["a", 1]]},
        {"$": ["shared", [True, 1]]},
        {"$": ["shared", 5]},
    ],
)
def test_a_forged_place_in_a_row_is_corrupt(forged: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json(forged)


def _packed(code: int, *items: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(items[0] if len(items) == 1 else list(items)))


@pytest.mark.parametrize(
    "tree",
    [
        _packed(4, 0),
        _packed(4, "0"),
        _packed(4, -1),
        _packed(3, 0, 0, [_packed(4, 0)]),
        [_packed(3, 0, 0, [1]), _packed(3, 0, 0, [2])],
        _packed(3, "a", 0, [1]),
        _packed(3, 0, 9, [1]),
        _packed(3, 0),
    ],
)
def test_a_forged_place_in_a_blob_is_corrupt(tree: Any) -> None:
    packed = msgpack.packb(tree)
    head = msgpack.packb(["airflow_xcom", 1, [["tuple", 1]], [], len(packed)])
    with pytest.raises(CorruptPayloadError):
        decode(head + packed, "msgpack")


# -- any values, with the same objects in many places --------------------------------------------------------

TABLES = (pd.DataFrame, pd.Series, pd.Index, pd.api.extensions.ExtensionArray, pa.Table)
FRAMES = ("pandas.DataFrame", "pandas.Series", "geopandas.GeoDataFrame", "geopandas.GeoSeries")  # nothing is shared in
LEAST = 4096 + 200  # bytes of what is surely written once, and its header


@pytest.fixture
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(strategies.is_allowed)
    yield
    registry.allow_classes(before)


@WAYS
@SEEDS
@pytest.mark.usefixtures("_allowed")
def test_whatever_stands_in_several_places_comes_back_there(fixed: bool, through: Callable[[Any], Any]) -> None:
    @for_all(strategies.repeating(), examples=4 * few(fixed=fixed), seed=1 if fixed else None)
    def _check(value: Any) -> None:
        back = through(value)
        assert difference(value, back) is None
        blob = encode(value).to_bytes()
        assert encode(value).to_bytes() == blob
        assert encode(back).to_bytes() == blob or b"xarray." in blob  # it copies some objects, and makes one of others
        _insist_shared_alike(_kept(value), _kept(back))


@WAYS
@SEEDS
@pytest.mark.usefixtures("_allowed")
def test_a_change_shows_in_the_same_places(fixed: bool, through: Callable[[Any], Any]) -> None:
    changed = 0

    @for_all(strategies.repeating(apart=FRAMES), examples=4 * few(fixed=fixed), seed=2 if fixed else None)
    def _check(value: Any) -> None:
        nonlocal changed
        back = through(value)
        for ours, theirs in zip(_kept(value), _kept(back), strict=True):
            changed += _change(ours) and _change(theirs)
            assert difference(value, back) is None

    assert changed > few(fixed=fixed)


def _insist_shared_alike(ours: list[Any], theirs: list[Any]) -> None:
    """The same objects are in the same places, and others are not."""
    assert [_first(item, ours) for item in ours] == [_first(item, theirs) for item in theirs]


def _first(item: Any, items: list[Any]) -> tuple[str, int]:
    return type(item).__name__, next(place for place, other in enumerate(items) if other is item)


def _kept(value: Any) -> list[Any]:
    """The objects in a value, in order and as often as they stand there, that are written once."""
    sizes: dict[int, bool] = {}
    found = []
    for item in _within(value):
        if id(item) not in sizes:
            is_table = isinstance(item, TABLES) and type(item).__name__ != "CFTimeIndex"  # which is a list of times
            sizes[id(item)] = is_table or encode(item).size >= LEAST
        found += [item] if sizes[id(item)] else []
    return found


def _within(value: Any) -> Iterator[Any]:
    if not isinstance(value, list | dict | str | bytes) or type(value) not in (list, dict, str, bytes):
        yield value
    for part in _parts(value):
        yield from _within(part)


def _parts(value: Any) -> list[Any]:  # noqa: PLR0911 - one for each type
    """Return what a value holds; by its exact type, for a sparse dictionary of SciPy is a dict, too."""
    if type(value) in (dict, OrderedDict, defaultdict):
        return list(value.values())
    if type(value) in (list, tuple, deque, strategies.Point):
        return list(value)
    if type(value) is np.ndarray and value.dtype == object and value.ndim:
        return list(value.flat)
    if type(value) is xr.Variable:
        return [*(value._data,) * (type(value._data) is np.ndarray), value.attrs, value.encoding]
    if isinstance(value, xr.DataArray):
        return [value.variable]
    if isinstance(value, xr.Dataset):
        variables = [variable for variable in value._variables.values() if type(variable) is xr.Variable]
        return [*variables, value.attrs]
    if isinstance(value, strategies.Leg | strategies.Flight):
        return list(vars(value).values())
    return []


def _change(item: Any) -> bool:
    """Change an object in place, if that can be done."""
    if type(item) is np.ndarray and item.dtype == float and item.flags.writeable:
        item.flat[0] -= 1
    elif type(item) is np.ma.MaskedArray and item.dtype == float:
        item[-1] = -1.0
    elif isinstance(item, pd.DataFrame) and list(item.columns) == ["a", "b"]:
        item.loc[0, "a"] -= 1
        item.columns.name = "changed"
    elif type(item) is pd.Index:
        item.name = (item.name, "changed")
    elif isinstance(item, xr.Variable | xr.DataArray | xr.Dataset):
        item.attrs["changed"] = len(item.attrs)
    elif type(item) is strategies.Leg:
        item.origin = (item.origin, "changed")
    else:
        return False
    return True

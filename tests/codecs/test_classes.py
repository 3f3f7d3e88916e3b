"""Data classes, attrs classes, pydantic models, named tuples and enumerations, restored under their names."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import importlib.util
import math
import re
import sys
import types
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, InitVar, dataclass, field
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import attrs
import numpy as np
import pandas as pd
import psutil
import pydantic
import pytest
import scipy.stats
from conftest import Backend

from airflow_xcom.codecs import (
    CircularReferenceError,
    ClassNotAllowedError,
    Codec,
    CodecError,
    CorruptPayloadError,
    MissingClassError,
    UnsupportedTypeError,
    UnsupportedValueError,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.builtin.classes import generated
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import assert_identical, through_jsonb

ExitCode = pytest.ExitCode  # which is not of this module
HERE = __name__
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[list[str]]:
    """Allow the classes of this module; a test may add to the list of prefixes, or clear it."""
    before, remedy = registry._allows, registry._remedy
    prefixes = [f"{HERE}.", "unusual_prefix_", "acme_"]
    registry.allow_classes(lambda name: name.startswith(tuple(prefixes)), remedy="allow it for {name}")
    yield prefixes
    registry.allow_classes(before, remedy=remedy)


def both_ways(value: Any) -> list[Any]:
    """What comes back from a blob and from a row."""
    payload = encode(value)
    back = [decode(payload.to_bytes(), payload.format), decode_json(payload.to_json())]
    for found in back:
        assert_identical(value, found)
    return back


# -- data classes --------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = (2, "b")


@dataclass
class Leg:
    origin: str
    cost: Decimal
    path: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trip:
    legs: list[Leg]
    color: Color
    _: KW_ONLY
    tags: dict[Leg | str, Any] = field(default_factory=dict)
    total: int = field(init=False, default=0)


@dataclass
class Seeded:
    seed: InitVar[int]
    kind: ClassVar[str] = "seeded"
    x: int = field(init=False)

    def __post_init__(self, seed: int) -> None:
        self.x = seed + 1

    @cached_property
    def double(self) -> int:
        return 2 * self.x


@dataclass
class Base:
    x: int


class Undecorated(Base):
    pass


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Naming(Generic[T]):
    content: T

    @cached_property
    def upper(self) -> str:
        return str(self.content).upper()


@dataclass(frozen=True)
class Order:
    prices: list[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.prices))


@attrs.define(slots=False)
class Parcel:
    weight: float

    def __attrs_post_init__(self) -> None:
        self._label = f"{self.weight} kg"

    def send(self) -> None:
        self.sent = True


class Counted(namedtuple("Counted", "items")):  # noqa: PYI024, SLOT002
    def __new__(cls, items: Any) -> Any:
        made = super().__new__(cls, items)
        made.count_ = len(items)
        return made


class Outer:
    @dataclass
    class Inner:
        x: int

    count = 5


@pydantic.dataclasses.dataclass
class Checked:
    x: int


@dataclass
class Ticket:
    seat: str
    state: str = field(default="new", init=False)
    price: Decimal | None = None

    @cached_property
    def code(self) -> int:
        return id(self)


def test_data_classes_keep_what_is_nested() -> None:
    trip = Trip(
        [Leg("JFK", Decimal("1.10"), (1, 2)), Leg("LGA", Decimal(2))], Color.BLUE, tags={"a": {Leg}.pop()("", 1)}
    )
    object.__setattr__(trip, "total", 7)
    for back in both_ways({"trips": [trip, (trip,)]}):
        assert type(back["trips"][0].legs[0]) is Leg
        assert type(back["trips"][0].legs[0].cost) is Decimal
        assert back["trips"][0].color is Color.BLUE


def test_nothing_runs_when_a_data_class_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    value = Seeded(1)
    assert value.double == 4
    payload = encode(value)
    monkeypatch.setattr(Seeded, "__init__", None)
    monkeypatch.setattr(Seeded, "__post_init__", None)
    back = decode(payload.to_bytes(), payload.format)
    assert vars(back) == {"x": 2, "double": 4}, "what a cached_property holds may be another value the next time"
    assert back.double == 4


def test_what_the_code_of_a_class_sets_beside_its_fields_comes_back() -> None:
    parcel = Parcel(1.5)
    parcel.send()
    for value in (Order([1, 2]), [Order([number]) for number in range(40)], parcel, Counted("ab")):
        both_ways(value)
    assert [vars(back) for back in both_ways(Order([1, 2]))] == [{"prices": [1, 2], "total": 3}] * 2


@pytest.mark.parametrize("value", [Order([1]), Parcel(1.5), Counted("a")], ids=lambda value: type(value).__name__)
def test_what_somebody_else_sets_of_an_object_is_refused(value: Any) -> None:
    vars(value)["origin"] = "here"
    with pytest.raises(UnsupportedValueError, match="'origin', which is not a field and would be lost"):
        encode(value)
    del vars(value)["origin"]


def test_the_order_of_attributes_is_kept() -> None:
    value = Leg("JFK", Decimal(1))
    del value.origin
    value.origin = "LGA"
    assert [list(vars(back)) for back in both_ways(value)] == [["cost", "path", "origin"]] * 2


Other = TypeVar("Other")


@dataclass
class Couple(Generic[T, Other]):
    content: T
    other: Other


@dataclass
class Making(Generic[T]):
    content: T

    def __class_getitem__(cls, _parameters: Any) -> Any:
        return super().__class_getitem__(int)  # type: ignore[misc]


def test_the_parameters_of_a_generic_class_come_back() -> None:
    for value in (Box[int](5), Couple[str, None]("a", None), Box(5), Box[dt.datetime](dt.datetime(2024, 1, 1))):
        for back in both_ways(value):
            assert vars(back) == vars(value)
    for back in both_ways([Box[int](number) for number in range(40)]):
        assert [item.__orig_class__ for item in back] == [Box[int]] * 40
    value = Naming[str]("a")
    assert value.upper == "A"
    assert [list(vars(back)) for back in both_ways(value)] == [["content", "__orig_class__", "upper"]] * 2


@pytest.mark.parametrize("value", [Box[list[int]]([5]), Box[T](5), Box["int"](5)], ids=str)
def test_other_parameters_are_refused_with_a_way_out(value: Any) -> None:
    with pytest.raises(UnsupportedValueError, match=r"return dataclasses\.replace\(value\)"):
        encode(value)
    both_ways(dataclasses.replace(value))


@pytest.mark.parametrize(
    ("cls", "names"), [(Box, ["os"]), (Box, [["int"]]), (Box, []), (Box, 5), (Leg, ["int"]), (Making, ["str"])]
)
def test_forged_parameters_are_refused(cls: Any, names: Any) -> None:
    state = {"content": 1} if cls is not Leg else {"origin": "a", "cost": 1, "path": 1}
    with pytest.raises(CodecError):
        decode_json({"$": ["class.dataclass", 1, [f"{HERE}:{cls.__name__}", {**state, "__orig_class__": names}]]})


def _without(ticket: Any) -> Any:
    del ticket.price
    return ticket


def test_a_field_that_is_left_to_the_class_is_not_set() -> None:
    many = [Ticket(str(number)) for number in range(40)]
    for value in (Ticket("1A"), _without(Ticket("2B")), many):
        assert "state" not in vars(value[0] if value is many else value)
        for back in both_ways(value):
            assert list(map(vars, back if value is many else [back])) == list(
                map(vars, many if value is many else [value])
            )


@dataclass
class Rates:
    vat: float = field(default=0.19, init=False)
    zero: float = field(default=0.0, init=False)
    none: None = field(default=None, init=False)


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("now", [0.25, 0, "0.19", None, "gone"])
def test_a_default_that_has_changed_since_changes_no_value(
    count: int, now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = encode([Rates() for _ in range(count)])
    blob = payload.to_bytes()
    if now == "gone":
        monkeypatch.delattr(Rates, "vat")
    else:
        monkeypatch.setattr(Rates, "vat", now)
    monkeypatch.setattr(Rates, "zero", -0.0)
    generated._defaults.cache_clear()
    for back in decode(blob, payload.format):
        assert vars(back) == {"vat": 0.19, "zero": 0.0}
        assert math.copysign(1, back.zero) == 1
    generated._defaults.cache_clear()


@pytest.mark.parametrize("names", [["nothing"], [5], "state", ["code"], ["__dict__"], [["state"]], {"state": 1}])
def test_forged_names_of_fields_that_are_left_to_the_class_are_refused(names: Any) -> None:
    state = {"seat": "1A", "price": None, "state": "old"}
    with pytest.raises(CodecError):
        decode_json({"$": ["class.dataclass", 1, [f"{HERE}:Ticket", {**state, "__left_out__": names}]]})


@pytest.mark.parametrize("names", [[], ["seat"], ["state"], ["seat", "state", "state"]])
def test_fields_that_are_not_as_the_class_says_hold_their_values(names: Any) -> None:
    state = {"seat": "1A", "price": None, "state": "old"}
    back = decode_json({"$": ["class.dataclass", 1, [f"{HERE}:Ticket", {**state, "__left_out__": names}]]})
    assert vars(back) == state


OF_OBJECTS = ("__class__", "__dict__", "__weakref__")  # which every object has outside of its own __dict__


@pytest.mark.parametrize("name", OF_OBJECTS)
@pytest.mark.parametrize(
    ("tag", "cls", "state"),
    [
        ("dataclass", "Leg", {"origin": "a", "cost": 1, "path": 1}),
        ("attrs", "LooseKey", {"name": "a"}),
        ("namedtuple", "OpenPair", {"left": 1, "right": 2}),
    ],
)
def test_what_every_object_has_is_no_attribute(name: str, tag: str, cls: str, state: dict[str, Any]) -> None:
    decode_json({"$": [f"class.{tag}", 1, [f"{HERE}:{cls}", state]]})
    with pytest.raises(CorruptPayloadError, match="has the fields"):
        decode_json({"$": [f"class.{tag}", 1, [f"{HERE}:{cls}", {**state, name: {}}]]})


def test_an_attribute_that_is_hidden_by_one_of_every_object_is_refused() -> None:
    leg = Leg("JFK", Decimal(1))
    vars(leg)["__class__"] = 1
    with pytest.raises(UnsupportedValueError, match="'__class__', which is not a field and would be lost"):
        encode(leg)


@dataclass
class Slotted:
    __slots__ = ("__hidden", "x")
    x: int

    def hide(self) -> None:
        self.__hidden = 1


@dataclass
class Row(dict):  # type: ignore[type-arg]
    x: int


@dataclass
class Failure(Exception):
    x: int


@dataclass
class Array(np.ndarray):
    x: int


@dataclass
class WithProperty:
    x: int

    @property  # type: ignore[no-redef]
    def x(self) -> int:
        return 1

    @x.setter
    def x(self, value: int) -> None:
        pass


def test_a_data_class_whose_state_is_not_its_fields_is_refused() -> None:
    for value, reason in (
        (Row(1), "Row derives from dict, whose own content"),
        (Failure(1), "Failure derives from Exception"),
        (np.zeros(2).view(Array), "Array derives from ndarray"),
        (WithProperty(1), "'x' of WithProperty is a property"),
    ):
        with pytest.raises(UnsupportedTypeError, match=reason):
            encode(value)


def test_attributes_that_are_no_fields_and_fields_without_value_are_refused() -> None:
    leg = Leg("JFK", Decimal(1))
    leg.gate = 5  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedValueError, match=r"'gate', which is not a field .* return vars\(value\),") as caught:
        encode({"a": [leg]})
    assert caught.value.path == 'value["a"][0]'
    both_ways(vars(leg))
    unset = object.__new__(Trip)
    with pytest.raises(UnsupportedValueError, match="'legs' of the Trip has no value; set it"):
        encode(unset)
    slotted = Slotted(1)
    both_ways(slotted)
    slotted.hide()
    for back in both_ways(slotted):
        assert back._Slotted__hidden == slotted._Slotted__hidden  # type: ignore[attr-defined]


def test_a_part_that_cannot_be_stored_is_named() -> None:
    with pytest.raises(UnsupportedTypeError, match=r'value\[0\]\.content\["lock"\]: no codec handles builtins.object'):
        encode([Box({"lock": object()})])


def test_an_object_that_contains_itself_is_refused() -> None:
    box = Box([])
    box.content.append(box)
    with pytest.raises(CircularReferenceError, match=r"value\.content\[0\]: the Box contains itself") as caught:
        encode(box)
    assert caught.value.path == "value.content[0]"


# -- attrs ---------------------------------------------------------------------------------------------------


def _never(*_args: Any) -> None:
    raise AssertionError


@attrs.define
class Plane:
    _tail: str
    seats: int = attrs.field(converter=int, validator=attrs.validators.gt(0), default=1)
    legs: list[Leg] = attrs.field(factory=list)


@attrs.frozen(cache_hash=True)
class Key:
    name: str
    inner: Any = None


@attrs.define(slots=False, unsafe_hash=True, cache_hash=True)
class LooseKey:
    name: str


@attrs.define
class Late:
    x: int = attrs.field(init=False)


@attrs.define
class Oops(Exception):
    x: int


def test_attrs_classes() -> None:
    plane = Plane("N1", "5", [Leg("JFK", Decimal("1.0"))])  # type: ignore[arg-type]
    object.__setattr__(plane, "seats", -1)  # neither converter nor validator is run again
    for back in both_ways([plane, Key("a", Key("b"))]):
        assert type(back[0].legs[0]) is Leg
        assert back[0].seats == -1
        back[0].__weakref__  # noqa: B018
    with pytest.raises(UnsupportedValueError, match="'x' of the Late has no value"):
        encode(Late())
    with pytest.raises(UnsupportedTypeError, match="Oops derives from BaseException|Oops derives from Exception"):
        encode(Oops(1))


@pytest.mark.parametrize("kind", [Key, LooseKey])
def test_a_cached_hash_is_not_stored(kind: Any) -> None:
    key = kind("a")
    fresh = encode(key).to_bytes()
    hash(key)
    assert encode(key).to_bytes() == fresh
    back = decode_json(encode({key: 1}).to_json())
    assert back == {key: 1}
    row = encode(key).to_json()
    row["$"][2][1] = {"name": "a", "_attrs_cached_hash": 5}
    with pytest.raises(CorruptPayloadError, match="has the fields"):
        decode_json(row)


# -- pydantic ------------------------------------------------------------------------------------------------


class Price(pydantic.BaseModel):
    amount: Decimal
    unit: str = "EUR"


class Offer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    price: Price
    color: Color = Color.RED
    legs: list[Leg] = []
    _cache: dict[str, Any] = pydantic.PrivateAttr(default_factory=dict)
    _late: int = pydantic.PrivateAttr()

    @cached_property
    def label(self) -> str:
        return f"{self.price.amount}"


class Closed(Price, extra="forbid"):
    pass


class Frozen(pydantic.BaseModel, frozen=True):
    aliased: int = pydantic.Field(alias="Aliased")

    @pydantic.field_validator("aliased")
    @classmethod
    def _check(cls, value: int) -> int:
        return value + 1


class Prices(pydantic.RootModel[list[Price]]):
    pass


class Hidden(pydantic.RootModel[int]):
    _seen: int = pydantic.PrivateAttr(default=0)


class GenericModel(pydantic.BaseModel, Generic[T]):
    item: T


IntModel = GenericModel[int]


class NamedIntModel(GenericModel[int]):
    pass


def _offer() -> Offer:
    offer = Offer(price=Price(amount=Decimal("1.10")), legs=[Leg("JFK", Decimal(1))], note=(1, 2), when={3})  # type: ignore[call-arg]
    offer._cache["a"] = (1,)
    return offer


def test_pydantic_models() -> None:
    offer = _offer()
    for back in both_ways([offer, Prices([Price(amount=Decimal(1), unit="USD")])]):
        assert type(back[0].price) is Price
        assert type(back[0].price.amount) is Decimal
        assert back[0].model_fields_set == {"price", "legs", "note", "when"}
        assert back[0].model_extra == {"note": (1, 2), "when": {3}}
        assert back[0]._cache == {"a": (1,)}
        assert back[0] == offer
        back[0]._late = 5
        assert type(back[1].root[0]) is Price
    for root in both_ways(Hidden(5)):
        root._seen += 1
        assert (root.root, root._seen) == (5, 1)


def test_pydantic_models_are_not_validated_again() -> None:
    both_ways(Frozen(Aliased=1))
    both_ways(Price.model_construct(amount="no Decimal", unit=5))
    both_ways(NamedIntModel(item=1))
    offer = Offer(price=Price(amount=Decimal(1)))
    assert offer.label == "1"
    vars(offer)["label"] = "another"
    assert [back.label for back in both_ways(offer)] == ["another"] * 2


def test_pydantic_models_that_would_lose_something_are_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="'amount' of the Price has no value"):
        encode(Price.model_construct())
    with pytest.raises(UnsupportedValueError, match="'more', which is not a field"):
        encode(Price(amount=Decimal(1)).model_copy(update={"more": 1}))
    with pytest.raises(UnsupportedTypeError, match=r"GenericModel\[str\] cannot be found by its name.*a subclass with"):
        encode(GenericModel[str](item="a"))


def test_a_generic_model_with_parameters_is_that_of_its_module() -> None:
    assert [type(back) for back in both_ways(IntModel(item=1))] == [IntModel] * 2
    for parameters in ([], [["<class 'test_classes.int'>"]], [["<class 'int'>"], 1], ["<class 'int'>"]):
        state = [{"item": 1}, ["item"], None, None, *parameters]
        with pytest.raises(CorruptPayloadError, match=r"GenericModel\[int\] is of \[\["):
            decode_json({"$": ["class.pydantic", 1, [f"{HERE}:GenericModel[int]", state]]})
    with pytest.raises(MissingClassError, match="has no"):
        decode_json({"$": ["class.pydantic", 1, [f"{HERE}:GenericModel[bytes]", []]]})


@pytest.mark.parametrize(
    "state",
    [
        [{"amount": 1}, [], None, None],
        [{"amount": 1, "unit": "EUR", "more": 1}, [], None, None],
        [{"amount": 1, "unit": "EUR"}, [1], None, None],
        [{"amount": 1, "unit": "EUR"}, "amount", None, None],
        [{"amount": 1, "unit": "EUR"}, [], [], None],
        [{"amount": 1, "unit": "EUR"}, [], None, {"_x": 1}],
        [{"amount": 1, "unit": "EUR"}, [], None, {"$": ["map", [[1, 1]]]}],
        [{"amount": 1, "unit": "EUR"}, [], {"more": 1}, None],
        [{"amount": 1, "unit": "EUR"}],
        {},
        *([{"amount": 1, "unit": "EUR", name: {}}, [], None, None] for name in OF_OBJECTS),
        [{"amount": 1, "unit": "EUR", "__pydantic_fields_set__": []}, [], None, None],
        [{"amount": 1, "unit": "EUR", "__pydantic_private__": None}, [], None, None],
        [{"amount": 1, "unit": "EUR", "__fields_set__": []}, [], None, None],
    ],
)
@pytest.mark.parametrize("name", ["Price", "Closed"])
def test_forged_models_are_refused(name: str, state: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json({"$": ["class.pydantic", 1, [f"{HERE}:{name}", state]]})


def test_extra_values_that_the_class_does_not_allow_are_refused_at_push() -> None:
    closed = Closed(amount=Decimal(1))
    assert both_ways(closed)[0] == closed
    object.__setattr__(closed, "__pydantic_extra__", {"more": 1})
    with pytest.raises(
        UnsupportedValueError, match=r"has the extra values \['more'\], and its class allows none; return vars\(value\)"
    ):
        encode(closed)


# -- named tuples --------------------------------------------------------------------------------------------


class Point(NamedTuple):
    x: Any
    y: Any = 0


Pair = namedtuple("Pair", "left right")  # noqa: PYI024


class OpenPair(Pair):
    def __new__(cls, left: Any, right: Any) -> Self:
        return super().__new__(cls, left + 1, right)

    @cached_property
    def total(self) -> Any:
        return self.left + self.right


class GenericPoint(NamedTuple, Generic[T]):
    x: T


def test_named_tuples() -> None:
    values = [
        Point((1, Decimal(1)), Leg("a", Decimal(1))),
        Pair(1, None),
        OpenPair(1, 2),
        GenericPoint(b"x"),
        {Point(1): 1},
    ]
    for back in both_ways(values):
        assert [type(item) for item in back] == [Point, Pair, OpenPair, GenericPoint, dict]


def test_named_tuples_that_would_lose_something_are_refused() -> None:
    pair = OpenPair(1, 2)
    assert pair.total == 4
    encode(pair)
    pair.more = 1  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedValueError, match="'more', which is not a field"):
        encode(pair)
    with pytest.raises(UnsupportedValueError, match="has 3 items for its 2 fields"):
        encode(tuple.__new__(Pair, (1, 2, 3)))
    with pytest.raises(CorruptPayloadError, match="has the fields"):
        decode_json({"$": ["class.namedtuple", 1, [f"{HERE}:Pair", {"left": 1, "up": 2}]]})


ONES, TWOS = [1.0, 2.0, 3.0], [2.0, 3.0, 5.5]


@pytest.mark.parametrize(
    "make",
    [
        lambda: scipy.stats.linregress(ONES, TWOS),
        lambda: scipy.stats.pearsonr(ONES, TWOS),
        lambda: scipy.stats.spearmanr(ONES, TWOS),
        lambda: scipy.stats.chi2_contingency([[1, 2], [3, 4]]),
        lambda: scipy.stats.wilcoxon(TWOS),
        lambda: scipy.stats.ttest_ind(ONES, TWOS),
        lambda: scipy.stats.ttest_rel(np.array([ONES, TWOS]), np.array([TWOS, TWOS[::-1]]), axis=1),
        lambda: scipy.stats.theilslopes(ONES),
        lambda: scipy.stats.pearsonr(ONES, TWOS).confidence_interval(),
        lambda: np.linalg.eig(np.eye(2)),
        lambda: psutil.disk_usage("/"),
    ],
)
def test_results_of_libraries_need_nobodys_leave(_allowed: list[str], make: Callable[[], Any]) -> None:  # noqa: PT019
    _allowed.clear()
    value = make()
    for back in both_ways({"result": [value]}):
        assert type(back["result"][0]) is type(value)
        assert_identical(getattr(value, "__dict__", {}), getattr(back["result"][0], "__dict__", {}))


def test_a_named_tuple_keeps_what_its_class_declares_beside_the_fields() -> None:
    """A result of SciPy's says so in ``_extra_fields``; what else stands in it is refused, with a remedy that works."""
    line = scipy.stats.linregress([1.0, 2.0, 3.0], [2.0, 3.0, 5.5])
    for back in both_ways(line):
        assert type(back) is type(line)
        assert_identical((tuple(line), line.intercept_stderr), (tuple(back), back.intercept_stderr))
    with pytest.raises(CorruptPayloadError, match="has the fields"):
        decode_json({"$": ["class.namedtuple", 1, [f"{HERE}:Pair", {"left": 1, "right": 2, "intercept_stderr": 3}]]})
    line.unit = "m"
    with pytest.raises(UnsupportedValueError, match=r"return dict\(zip\(.*\)\), with this attribute added"):
        encode(line)
    remedied = {**dict(zip(line._fields, line, strict=True)), "unit": line.unit}
    for back in both_ways(remedied):
        assert_identical(remedied, back)


def test_a_t_test_computes_what_it_did() -> None:
    test = scipy.stats.ttest_ind(ONES, TWOS)
    for back in both_ways(test):
        assert_identical(test.confidence_interval(0.9), back.confidence_interval(0.9))
    test._xp = math
    with pytest.raises(UnsupportedTypeError, match=r"builtins\.module; code is not stored"):
        encode(test)


def test_structures_of_the_interpreter_are_refused() -> None:
    for value in (sys.version_info, sys.flags):
        with pytest.raises(UnsupportedTypeError, match="no codec handles"):
            encode(value)


def rebuilt() -> Any:
    """A named tuple as it comes back if its class was made at run time."""
    return generated._rebuilt("Row", ("id", "count_"), ())(1, Decimal("1.10"))


def test_named_tuples_that_were_made_at_run_time_are_rebuilt() -> None:
    row = namedtuple("Row", "id count_ 9", rename=True)  # noqa: PYI024 - as the hooks of SQL databases do
    values = [row(1, None, (2,)), row(2, {"a": 1}, 3), *pd.DataFrame({"x": [1], "a b": [2]}).itertuples()]
    for value in (values, [row(number, "a", None) for number in range(40)], {values[0][:2]: values[1]}):
        payload = encode(value)
        for back in (decode(payload.to_bytes(), payload.format), decode_json(through_jsonb(payload.to_json()))):
            assert repr(back) == repr(value)
            assert_identical(back, decode_json(encode(back).to_json()))
    again = decode_json(encode(values).to_json())
    assert [(type(item).__name__, item._fields) for item in again] == [
        ("Row", ("id", "count_", "_2")),
        ("Row", ("id", "count_", "_2")),
        ("Pandas", ("Index", "x", "_2")),
    ]
    assert type(again[0]) is type(again[1])
    assert again[0]._replace(id=5)._asdict() == {"id": 5, "count_": None, "_2": (2,)}


def test_a_rebuilt_named_tuple_keeps_its_defaults() -> None:
    for defaults in ((2, "x"), (None,), (-0.0,), (0.0,), (b"x", True, 1 << 70), ()):
        row = namedtuple("Row", "a b c", defaults=defaults)  # noqa: PYI024 - as the hooks of SQL databases do
        back, again = both_ways_apart([row(1, {2}, 3), row(4, 5, 6)])
        assert back._field_defaults == row._field_defaults
        assert repr(back._field_defaults) == repr(row._field_defaults)
        assert type(back) is type(again)
        given = range(3 - len(defaults))
        assert repr(type(back)(*given)) == repr(row(*given))
        assert type(back)(b=8, a=7, c=9) == (7, 8, 9)
    row = namedtuple("Row", "a", defaults=[[]])  # noqa: PYI024
    with pytest.raises(UnsupportedValueError, match=r"a default of the named tuple Row .* return value\._asdict\(\)"):
        encode(row())


def both_ways_apart(value: Any) -> Any:
    payload = encode(value)
    assert_identical(decode(payload.to_bytes(), payload.format), decode_json(through_jsonb(payload.to_json())))
    return decode(payload.to_bytes(), payload.format)


def test_named_tuples_with_more_than_fields_are_not_rebuilt() -> None:
    class Local(NamedTuple):
        x: int

        def norm(self) -> int:
            return self.x

    for value in (Local(1), type("Sub", (Pair,), {})(1, 2)):
        with pytest.raises(UnsupportedTypeError, match=r"cannot be found by its name.* return value\._asdict\(\), or"):
            encode(value)
        both_ways(value._asdict())


@pytest.mark.parametrize(
    "node",
    [
        ["Row", ["a"], [1, 2]],
        ["Row", ["a", "a"], [1, 2]],
        ["Row", ["a", "__import__('os')"], [1, 2]],
        ["R(w", ["a"], [1]],
        ["Row", "a", [1]],
        ["Row", [1], [1]],
        ["Row", ["a"], {"a": 1}],
        [None, ["a"], [1]],
        ["Row", ["a"]],
        ["Row", ["a"], [1], [[]]],
        ["Row", ["a"], [1], [1, 2]],
        ["Row", ["a"], [1], {"a": 1}],
        ["Row", ["a"], [1], [1], 1],
    ],
)
def test_forged_named_tuples_are_refused(node: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json({"$": ["class.rebuilt", 1, node]})


# -- enumerations --------------------------------------------------------------------------------------------


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Mood(str, enum.Enum):  # noqa: UP042 - the older way
    GOOD = "good"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 3
    RUN = 4


class Mask(enum.IntFlag):
    A = 1
    B = 2


class Strict(enum.Flag, boundary=enum.STRICT):
    A = 1


class Conform(enum.Flag, boundary=enum.CONFORM):
    A = 1


class Planet(enum.Enum):
    EARTH = (1.0, [])

    def __init__(self, mass: float, moons: list[str]) -> None:
        self.mass = mass
        self.moons = moons

    @property
    def name(self) -> str:  # type: ignore[override]
        return "not the name"


MEMBERS = [
    Color.RED,
    Color.CRIMSON,
    Color.BLUE,
    Level.LOW,
    Word.YES,
    Mood.GOOD,
    Access.ALL,
    Mask.A,
    Strict.A,
    Planet.EARTH,
]
COMBINATIONS = [Access.READ | Access.RUN, Access(0), Mask.A | Mask.B, Mask(64), Mask(65), ~Mask.A]


def _cached(value: Any, name: str) -> Any:
    """The object with a cached value that the class would not compute again."""
    vars(value)[name] = "another"
    return value


CLASSES: dict[str, Callable[[], Any]] = {
    "namedtuple of a class made at run time, that came back": rebuilt,
    "data class with a cached value": lambda: _cached(Seeded(1), "double"),
    "pydantic model with a cached value": lambda: _cached(_offer(), "label"),
    "namedtuple with a cached value": lambda: _cached(OpenPair(1, 2), "total"),
    "data class": lambda: Leg("JFK", Decimal("1.10"), (1, 2)),
    "data classes in a frozen one with slots": lambda: Trip([Leg("JFK", Decimal(1))], Color.RED, tags={"a": Box((1,))}),
    "data class whose __post_init__ is not run again": lambda: Seeded(1),
    "data class with attributes that its code sets": lambda: Order([1, 2]),
    "generic data class with a cached value": lambda: _cached(Naming[str]("a"), "upper"),
    "subclass of a data class": lambda: Undecorated(1),
    "data class in a class": lambda: Outer.Inner(1),
    "data class with a value of another type": lambda: Base(np.arange(3)),
    "data class of pydantic": lambda: Checked(1),
    "data class with a field that is left to the class": lambda: [
        Ticket("1A"),
        _cached(_without(Ticket("2B")), "code"),
    ],
    "attrs class": lambda: Plane("N1", 5, [Leg("JFK", Decimal("1.0"))]),
    "frozen attrs class": lambda: {Key("a", Key("b")): (1,)},
    "attrs class without slots": lambda: LooseKey("a"),
    "pydantic model": lambda: Price(amount=Decimal("1.10")),
    "pydantic model with models, extra and private values": _offer,
    "pydantic model with an alias and a validator": lambda: Frozen(Aliased=1),
    "pydantic root model": lambda: Prices([Price(amount=Decimal(1), unit="USD")]),
    "pydantic root model with a private value": lambda: Hidden(5),
    "generic pydantic model": lambda: IntModel(item=1),
    "subclass of a generic pydantic model": lambda: NamedIntModel(item=1),
    "NamedTuple": lambda: Point((1, Decimal(1)), [Leg("a", Decimal(1))]),
    "namedtuple": lambda: Pair(1, None),
    "subclass of a namedtuple": lambda: OpenPair(1, 2),
    "generic NamedTuple": lambda: GenericPoint(b"x"),
    "Enum": lambda: Color.BLUE,
    "alias of an Enum": lambda: Color.CRIMSON,
    "IntEnum": lambda: Level.LOW,
    "StrEnum": lambda: Word.YES,
    "Enum of str": lambda: Mood.GOOD,
    "Enum with attributes": lambda: Planet.EARTH,
    "Flag": lambda: Access.ALL,
    "combination of flags": lambda: Access.READ | Access.RUN,
    "combination of IntFlags": lambda: Mask(65),
    "members as keys": lambda: {Color.RED: 1, Level.LOW: 2, Word.YES: 3},
}


@pytest.mark.parametrize("name", CLASSES)
def test_comes_back_exact(name: str) -> None:
    both_ways(CLASSES[name]())


@pytest.mark.parametrize("member", [*MEMBERS, *COMBINATIONS], ids=repr)
def test_members_come_back_as_themselves(member: Any) -> None:
    for back in both_ways([member, {member: (member,)}, np.array([member, None], dtype=object)]):
        found = [back[0], next(iter(back[1])), back[1][member][0], back[2][0]]
        if type(member)(member.value) is member:
            assert all(item is member for item in found)
        else:  # early Python 3.11 makes a new object each time for unnamed bits
            assert all(type(item) is type(member) and item.__dict__ == member.__dict__ for item in found)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Color", "GREEN"),
        ("Color", 1),
        ("Color", "mro"),
        ("Level", 1),
        ("Access", True),
        ("Access", 1.0),
        ("Access", None),
        ("Access", ["READ"]),
        ("Strict", 2),
        ("Conform", 3),
    ],
)
def test_members_that_are_gone_or_forged_are_refused(name: str, state: Any) -> None:
    with pytest.raises(CorruptPayloadError):
        decode_json({"$": ["class.enum", 1, [f"{HERE}:{name}", state]]})


RUN: list[object] = []


class Lenient(enum.Flag):
    A = 1
    B = 2

    @classmethod
    def _missing_(cls, value: object) -> Any:
        RUN.append(value)
        return super()._missing_(value)


class Word16(int):
    def __new__(cls, value: int) -> Any:
        RUN.append(value)
        return super().__new__(cls, value)


class Mixed(Word16, enum.Flag):
    A = 1
    B = 2


@pytest.mark.parametrize("kind", [Lenient, Mixed])
def test_a_class_that_makes_its_combinations_itself_has_none(kind: Any) -> None:
    assert both_ways(kind.A)[0] is kind.A
    RUN.clear()
    with pytest.raises(CorruptPayloadError, match="has no member 3"):
        decode_json({"$": ["class.enum", 1, [f"{HERE}:{kind.__qualname__}", 3]]})
    assert RUN == []
    with pytest.raises(UnsupportedValueError, match="makes its combinations itself"):
        encode(kind.A | kind.B)


@pytest.mark.parametrize(("kind", "number"), [(Color, 1), (Mask, 2)])
def test_an_object_that_is_no_member_is_refused(kind: Any, number: int) -> None:
    stray = int.__new__(kind, number) if issubclass(kind, int) else object.__new__(kind)
    stray._name_ = "STRAY"
    stray._value_ = number
    with pytest.raises(UnsupportedValueError, match=r"is not a member of .*; return value\.value"):
        encode(stray)


# -- which classes -------------------------------------------------------------------------------------------


def test_a_class_that_is_not_allowed_is_refused_at_push(_allowed: list[str]) -> None:  # noqa: PT019
    _allowed.clear()
    for value, name in (
        (Leg("JFK", Decimal(1)), f"{HERE}.Leg"),
        (Plane("N1"), f"{HERE}.Plane"),
        (Price(amount=Decimal(1)), f"{HERE}.Price"),
        (Point(1), f"{HERE}.Point"),
        (ExitCode.OK, "pytest.ExitCode"),
        (Outer.Inner(1), f"{HERE}.Outer.Inner"),
    ):
        with pytest.raises(UnsupportedTypeError) as caught:
            encode({"a": [value]})
        text = str(caught.value)
        assert f"{name} may not be restored by its name: allow it for {name}, or register it" in text
        assert caught.value.path == 'value["a"][0]'


def test_nothing_is_allowed_before_somebody_says_so() -> None:
    from airflow_xcom.codecs import Registry

    with pytest.raises(ClassNotAllowedError, match=rf"{HERE}.Leg .*: allow {HERE}.Leg with Registry.allow_classes"):
        Registry().check_class(f"{HERE}.Leg")


def test_a_class_that_its_name_does_not_lead_to_is_refused() -> None:
    @dataclass
    class Local:
        x: int

    made = dataclasses.make_dataclass("Made", ["x"])
    other = type("Leg", (Leg,), {"__module__": HERE})
    script = type("Script", (Leg,), {"__module__": "__main__"})
    sys.modules["__main__"].Script = script  # type: ignore[attr-defined]
    gone = type("Gone", (Leg,), {"__module__": "acme_gone"})
    under_a_value = type("real", (Leg,), {"__module__": HERE, "__qualname__": "Outer.count.real"})
    for value in (Local(1), made(1), *(kind("a", 1) for kind in (other, script, gone, under_a_value))):
        with pytest.raises(UnsupportedTypeError, match="cannot be found by its name.*define the class in a module"):
            encode(value)
    del sys.modules["__main__"].Script  # type: ignore[attr-defined]


def test_a_payload_restores_no_class_that_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    node = ["evil_module:Thing", {}]
    for tag in ("dataclass", "attrs", "pydantic", "namedtuple", "enum"):
        with pytest.raises(ClassNotAllowedError, match="^evil_module.Thing may not") as caught:
            decode_json({"$": [f"class.{tag}", 1, node]})
        assert caught.value.name == "evil_module.Thing"
    assert "evil_module" not in sys.modules


def test_a_class_that_an_allowed_module_only_imports_is_not_allowed() -> None:
    with pytest.raises(ClassNotAllowedError, match="^pytest.ExitCode may not"):
        decode_json({"$": ["class.enum", 1, [f"{HERE}:ExitCode", "OK"]]})


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("acme_gone:Thing", MissingClassError, "acme_gone.Thing is not found .*No module named"),
        ("acme_gone.models:Thing", MissingClassError, "No module named"),
        ("acme_/etc/passwd:Thing", MissingClassError, "is not loaded"),
        (f"{HERE}.:Leg", MissingClassError, "is not loaded"),
        (f"{HERE}:Gone", MissingClassError, "has no 'Gone'"),
        (f"{HERE}:", MissingClassError, "has no ''"),
        (HERE, MissingClassError, "has no ''"),
        ("os:system", ClassNotAllowedError, "os.system may not be restored"),
        (f"{HERE}:Outer.count.real", MissingClassError, "has no"),
        (f"{HERE}:sys.exit", MissingClassError, "has no"),
        (f"{HERE}:test_named_tuples.__globals__", MissingClassError, "has no"),
        (f"{HERE}:_never", CorruptPayloadError, "_never is not a class"),
        (f"{HERE}:T", CorruptPayloadError, "is not a class"),
        (f"{HERE}:Outer", CorruptPayloadError, "Outer is no longer a data class"),
        (f"{HERE}:Color", CorruptPayloadError, "Color is no longer a data class"),
        (f"{HERE}:Row", CorruptPayloadError, "derives from dict"),
        (f"{HERE}:Leg", CorruptPayloadError, "has the fields"),
        (5, CorruptPayloadError, "cannot read"),
        (None, CorruptPayloadError, "cannot read"),
    ],
)
def test_names_that_lead_nowhere(name: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        decode_json({"$": ["class.dataclass", 1, [name, {"x": 1}]]})


def test_nodes_of_the_wrong_shape() -> None:
    for node in ([f"{HERE}:Leg"], f"{HERE}:Leg", [f"{HERE}:Leg", [["origin", 1]]], [f"{HERE}:Leg", 5], None, {}):
        with pytest.raises(CorruptPayloadError):
            decode_json({"$": ["class.dataclass", 1, node]})


def test_a_class_that_moved_is_found_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    former = types.ModuleType("acme_former")
    former.Leg = Leg  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_former", former)
    row = encode(Leg("JFK", 1, 2)).to_json()  # type: ignore[arg-type]
    row["$"][2][0] = "acme_former:Leg"
    assert type(decode_json(row)) is Leg


DAG_FILE = """
from dataclasses import dataclass
@dataclass
class Flight:
    number: int
"""


def load(file: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_class_of_a_dag_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flights.py"
    file.write_text(DAG_FILE)
    name = f"unusual_prefix_{hashlib.sha1(str(file).encode()).hexdigest()}_flights"
    monkeypatch.setitem(sys.modules, name, None)
    first = load(file, name)
    row = encode(first.Flight(5)).to_json()
    assert type(decode_json(row)) is first.Flight
    again = load(file, name)
    assert type(decode_json(row)) is again.Flight, "as in another process"
    with pytest.raises(UnsupportedTypeError, match="cannot be found by its name"):
        encode(first.Flight(5))
    del sys.modules[name]
    with pytest.raises(MissingClassError, match="move it to a module"):
        decode_json(row)


def test_a_codec_of_ones_own_comes_first() -> None:
    own = Codec("acme.legs", (), lambda leg: leg.origin, lambda node, _: node, matches=lambda kind: kind is Leg)
    encode(Leg("JFK", Decimal(1)))
    registry.register(own)
    try:
        assert encode(Leg("JFK", Decimal(1))).tag == "acme.legs"
    finally:
        registry._forget(own)
        registry._cache.clear()
    assert encode(Leg("JFK", Decimal(1))).tag == "class.dataclass"


def test_the_same_object_has_the_same_payload() -> None:
    offers = [Offer(price=Price(amount=Decimal(1)), legs=[], color=Color.BLUE, b=1, a=2) for _ in range(2)]  # type: ignore[call-arg]
    assert encode(offers[0]).to_bytes() == encode(offers[1]).to_bytes()


# -- with Airflow --------------------------------------------------------------------------------------------


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set options of [core], as before a process starts: serde reads them once."""
    from airflow.sdk import serde

    from airflow_xcom.backend.compat import CLASS_REMEDY, allows_class

    def forget() -> None:
        for cached in (serde._get_patterns, serde._get_regexp_patterns, serde._match_glob, serde._match_regexp):
            cached.cache_clear()

    def set_options(**options: str) -> None:
        for name, text in options.items():
            monkeypatch.setenv(f"AIRFLOW__CORE__{name.upper()}", text)
        forget()

    registry.allow_classes(allows_class, remedy=CLASS_REMEDY)
    forget()
    yield set_options
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("threshold", [0, 49152])
def test_airflows_own_option_decides(backend: Backend, allow: Callable[..., None], threshold: int) -> None:
    backend.options(threshold=threshold)
    value = [Leg("JFK", Decimal("1.10")), Price(amount=Decimal("2.0"))]
    with pytest.raises(UnsupportedTypeError, match=rf"allowed_deserialization_classes = {HERE}.Leg "):
        backend.push(value)
    allow(allowed_deserialization_classes=f"airflow.* {HERE}.Leg {HERE}.P*")
    row = backend.push(value)
    assert_identical(value, backend.pull(row))
    allow(allowed_deserialization_classes="airflow.*")
    with pytest.raises(ClassNotAllowedError, match="dag=flights"):
        backend.pull(row)
    allow(allowed_deserialization_classes_regexp=rf"{HERE}\.(Leg|Price)")
    assert_identical(value, backend.pull(row))


def test_an_operators_allow_class_counts(backend: Backend, allow: Callable[..., None]) -> None:
    from airflow.sdk import serde

    serde._extra_allowed.add(f"{HERE}.Base")
    try:
        assert_identical(Base(1), backend.pull(backend.push(Base(1))))
    finally:
        serde._extra_allowed.discard(f"{HERE}.Base")


def test_the_backend_sets_the_rule(backend: Backend) -> None:
    from airflow_xcom.backend.compat import allows_class
    from airflow_xcom.backend.pull import connect_registry

    connect_registry.__wrapped__()
    assert registry._allows is allows_class
    assert not allows_class("subprocess.Popen")


# -- defaultdict ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factory", [list, dict, set, int, float, str, tuple, None, bool, Counter, deque, OrderedDict], ids=repr
)
def test_defaultdict(factory: Any) -> None:
    both_ways(defaultdict(factory, {"b": [(1,)], "a": 2, 3: 4}))


def test_defaultdict_with_another_factory_is_refused() -> None:
    for factory in (lambda: 5, UserDict, [].copy, partial(str, "secret")):
        with pytest.raises(UnsupportedValueError, match=r"return dict\(value\), or use one of None, ") as caught:
            encode(defaultdict(factory))
        assert not re.search("secret|0x", str(caught.value))
    for node in (["eval", {}], [["list"], {}], ["list"], ["list", 5]):
        with pytest.raises(CorruptPayloadError):
            decode_json({"$": ["defaultdict", 1, node]})

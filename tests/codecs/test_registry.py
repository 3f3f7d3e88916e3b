"""Registering codecs, and finding them by type and by tag."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_xcom.codecs import (
    Buffer,
    ClassNotAllowedError,
    Codec,
    CorruptPayloadError,
    EncodeError,
    NewerFormatError,
    RegistrationError,
    Registry,
    UnknownTagError,
    UnsupportedTypeError,
    UnsupportedValueError,
    codec,
    decode,
    encode,
    registry,
)
from airflow_xcom.codecs.errors import NO_VALUES
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.refusal_advice import is_advised
from airflow_xcom.codecs.registry import advise

pytestmark = pytest.mark.installation


class Thing:
    def __init__(self, content: Any = None) -> None:
        self.content = content


class SubThing(Thing):
    pass


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    """Take back what a test registers in the registry of the process."""
    list(registry)
    tables: tuple[dict[Any, Any], ...] = (registry._by_tag, registry._by_type, registry._origins, NO_VALUES)
    before = [dict(table) for table in tables]
    yield
    for table, saved in zip(tables, before, strict=True):
        table.clear()
        table.update(saved)
    registry._cache.clear()


def there_and_back(value: Any) -> Any:
    payload = encode(value)
    decode_json(payload.to_json())
    return decode(payload.to_bytes(), payload.format)


def register_thing(**options: Any) -> None:
    class ThingCodec:
        def encode(self, thing: Thing) -> Any:
            return thing.content

        def decode(self, node: Any, version: int) -> Thing:
            return Thing(node)

    codec("test.thing", handles=Thing, **options)(ThingCodec)


def test_a_codec_for_another_type() -> None:
    register_thing()
    assert there_and_back(Thing((1, {2}))).content == (1, {2})


def test_an_array_that_a_codec_returns_is_not_copied() -> None:
    register_thing()
    array = np.arange(100_000.0)
    payload = encode(Thing({"cells": array}))
    views = [chunk for chunk in payload.chunks if len(chunk) == array.nbytes]
    assert len(views) == 1
    assert np.shares_memory(np.frombuffer(views[0]), array)
    memory = bytearray(payload.to_bytes())
    back = decode(memory, payload.format).content["cells"]
    assert np.shares_memory(back, np.frombuffer(memory, np.uint8)), "nor on the way back"
    assert back.flags.writeable


def test_a_buffer_that_a_codec_returns_is_not_copied() -> None:
    memory = bytearray(10_000)
    registry.register(Codec("test.buffer", (Thing,), lambda _: Buffer(memory), lambda node, _: Thing(node)))
    chunks = encode(Thing()).chunks
    assert any(isinstance(chunk, memoryview) and chunk.obj is memory for chunk in chunks)


def test_registering_a_tag_twice_raises() -> None:
    register_thing()
    with pytest.raises(
        RegistrationError, match=r"'test.thing' is registered already, by test_registry.py; .*pass replace=True"
    ):
        register_thing()
    with pytest.raises(
        RegistrationError, match=r"'test.thing' is registered already, by test_registry.py; .*pass replace=True"
    ):
        codec("test.thing")(Point)


def test_registering_a_type_twice_raises() -> None:
    register_thing()
    with pytest.raises(RegistrationError, match="handled by the codec 'test.thing' already"):
        registry.register(Codec("test.other", (Thing,), str, str))


def test_a_built_in_type_is_taken() -> None:
    with pytest.raises(RegistrationError, match="handled by the codec 'numpy.ndarray' already"):
        registry.register(Codec("test.array", (np.ndarray,), list, np.array))


def test_replacing() -> None:
    register_thing()
    registry.register(Codec("test.thing", (Thing,), lambda _: 1, lambda node, _: node), replace=True)
    assert there_and_back(Thing()) == 1


@pytest.mark.parametrize("tag", ["thing", "", "a.", ".a", "a b.c", "1.a", "a.b\n", "pandas.Mine", "datetime.mine"])
def test_a_bad_or_reserved_tag_is_refused(tag: str) -> None:
    with pytest.raises(RegistrationError, match="namespace|reserved"):
        registry.register(Codec(tag, (Thing,), str, str))


@pytest.mark.parametrize("version", [0, -1, 1.5, "1"])
def test_a_bad_version_is_refused(version: Any) -> None:
    with pytest.raises(RegistrationError, match="whole number from 1"):
        registry.register(Codec("test.thing", (Thing,), str, str, version=version))


@pytest.mark.parametrize(
    "name",
    [
        "DataFrame",
        "pandas.Foo.Bar...",
        "pandas.",
        ".DataFrame",
        "pandas:DataFrame",
        "pandas. DataFrame",
        "a.class",
        "",
        5,
    ],
)
def test_a_bad_lazy_name_is_refused(name: Any) -> None:
    wanted = "which is neither a class nor its lazy name; write the module that defines the class, a dot and the class"
    with pytest.raises(RegistrationError, match=f"'test.thing' cannot handle {re.escape(repr(name))}, {wanted}"):
        registry.register(Codec("test.thing", (name,), str, str))
    with pytest.raises(RegistrationError, match=wanted):
        codec("test.thing", handles=(Thing, name))(Methods)


def test_types_that_are_one_name_or_can_be_read_once_are_refused() -> None:
    for types in ("acme.Thing", iter([Thing])):
        with pytest.raises(RegistrationError, match="pass a tuple of classes or lazy names"):
            registry.register(Codec("test.thing", types, str, str))  # type: ignore[arg-type]


class Methods:
    def encode(self, value: Thing) -> Any:
        return value.content

    def decode(self, node: Any, version: int) -> Thing:
        return Thing(node)


def test_wrong_parameters_are_refused_at_registration() -> None:
    class NoVersion(Methods):
        def decode(self, node: Any) -> Thing:  # type: ignore[override]
            return Thing(node)

    class NoSelf(Methods):
        def encode(value: Thing) -> Any:  # type: ignore[override]
            return value

    class Summary(Methods):
        def summarize(self) -> dict[str, Any]:
            return {}

    class Rendering(Methods):
        def render(self, value: Thing, template: str) -> Any:
            return template

    for methods, message in (
        (Rendering, r"'test.thing' cannot call .*Rendering.render with \(value\): missing a required argument"),
        (
            NoVersion,
            r"'test.thing' cannot call .*NoVersion.decode with \(node, version\): too many positional arguments; ",
        ),
        (NoVersion, r"; declare its parameters as \(self, node, version\)$"),
        (NoSelf, r"declare its parameters as \(self, value\)"),
        (Summary, r"declare its parameters as \(self, value\)"),
    ):
        with pytest.raises(RegistrationError, match=message):
            codec("test.thing", handles=Thing)(methods)
    for options, message in (
        ({"decode": lambda node: node}, r"declare its parameters as \(node, version\)"),
        ({"encode": None}, "None is not a callable"),
        ({"matches": lambda: True}, r"\(cls\)"),
        ({"render": lambda: None}, r"declare its parameters as \(value\)"),
    ):
        with pytest.raises(RegistrationError, match=message):
            registry.register(Codec("test.thing", (Thing,), **{"encode": str, "decode": str, **options}))
    registry.register(Codec("test.thing", (Thing,), encode=str, decode=lambda *arguments: arguments))


def test_wrong_parameters_of_a_class_that_brings_its_own_are_refused() -> None:
    class Base:
        def to_node(self) -> Any: ...

    class NoClassMethod(Base):
        def from_node(cls, node: Any, version: int) -> Any: ...

    class NoVersion(Base):
        @classmethod
        def from_node(cls, node: Any) -> Any: ...

    class More(Base):
        def to_node(self, version: int) -> Any: ...

        @staticmethod
        def from_node(node: Any, version: int) -> Any: ...

    for cls, message in (
        (NoClassMethod, "put @classmethod above it"),
        (NoVersion, r"declare its parameters as \(cls, node, version\)"),
        (More, r"declare its parameters as \(self\)"),
    ):
        with pytest.raises(RegistrationError, match=message):
            codec("test.thing")(cls)


def test_the_decorator_without_a_tag_is_refused() -> None:
    with pytest.raises(RegistrationError, match=r"write @codec\('acme.point'\)"):
        codec(Point)  # type: ignore[call-overload]


def test_what_is_not_a_codec_is_refused() -> None:
    with pytest.raises(RegistrationError, match="not a Codec"):
        registry.register(Thing)  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match="needs the methods encode"):
        codec("test.thing", handles=Thing)(SubThing)
    with pytest.raises(RegistrationError, match="neither a dataclass nor"):
        codec("test.thing")(Thing)
    with pytest.raises(RegistrationError, match="needs handles="):
        codec("test.thing", subclasses=True)(Thing)


def test_a_subclass_is_refused_unless_the_codec_takes_subclasses() -> None:
    register_thing()
    with pytest.raises(UnsupportedTypeError, match="SubThing"):
        encode(SubThing())
    registry.register(
        Codec("test.thing", (Thing,), lambda thing: type(thing).__name__, lambda node, _: node, subclasses=True),
        replace=True,
    )
    assert there_and_back(SubThing()) == "SubThing"


def test_lazy_names_and_predicates() -> None:
    name = f"{Thing.__module__}.{Thing.__qualname__}"
    registry.register(Codec("test.named", (name,), lambda thing: thing.content, lambda node, _: Thing(node)))
    registry.register(
        Codec("test.any", (), lambda _: "matched", lambda node, _: node, matches=lambda kind: kind is SubThing)
    )
    assert there_and_back(Thing(5)).content == 5
    assert there_and_back(SubThing()) == "matched"
    with pytest.raises(RegistrationError):
        registry.register(Codec("test.other", (name,), str, str))


def test_a_newer_codec_reads_older_payloads() -> None:
    register_thing()
    old = encode(Thing(1)).to_json()

    class NewCodec:
        def encode(self, thing: Thing) -> Any:
            return [thing.content]

        def decode(self, node: Any, version: int) -> Thing:
            return Thing(node if version == 1 else node[0])

    codec("test.thing", handles=Thing, version=2, replace=True)(NewCodec)
    new = encode(Thing(2)).to_json()
    assert decode_json(old).content == 1
    assert decode_json(new).content == 2
    register_thing(replace=True)
    with pytest.raises(NewerFormatError, match="version 2, and this release reads up to 1"):
        decode_json(new)


@dataclass
class Point:
    x: int
    label: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    inner: Point
    hidden: int = dataclasses.field(default=0, init=False, compare=True)


@dataclass
class WithCache:
    x: int

    def __post_init__(self) -> None:
        self.x += 1

    @cached_property
    def double(self) -> int:
        return 2 * self.x


def test_data_classes_are_kept_field_by_field() -> None:
    codec("test.point")(Point)
    codec("test.frozen")(Frozen)
    codec("test.cached")(WithCache)
    value = Frozen(Point(1, (2,)))
    object.__setattr__(value, "hidden", 7)
    assert there_and_back(value) == value
    cached = WithCache(1)
    assert cached.double == 4
    assert there_and_back(cached).x == 2, "__post_init__ is not run again"


def test_unusual_data_classes_run_no_code_of_theirs() -> None:
    @dataclass(slots=True)
    class Nothing: ...

    @dataclass
    class Watched:
        x: int

        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            return {"x": 2}

        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value + 1)

    codec("test.nothing")(Nothing)
    codec("test.watched")(Watched)
    assert type(there_and_back(Nothing())) is Nothing
    value = there_and_back(Watched(4))
    assert (value.x, there_and_back(value).x) == (5, 5)


def test_a_restored_data_class_is_written_to_and_taken_apart_again() -> None:
    codec("test.point")(Point)
    first, second = there_and_back([Point(1, "a"), Point(2, "b")])
    first.label = "c"
    assert (first, second) == (Point(1, "c"), Point(2, "b"))
    assert vars(there_and_back(first)) == {"x": 1, "label": "c"}


def test_a_data_class_that_would_lose_something_is_refused() -> None:
    codec("test.point")(Point)
    point = Point(1)
    point.extra = 1  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedValueError, match="'extra', which is not a field"):
        encode(point)
    del point.extra  # type: ignore[attr-defined]
    del point.__dict__["x"]
    with pytest.raises(UnsupportedValueError, match="'x' of the Point has no value"):
        encode(point)


def test_a_data_class_whose_fields_changed_says_so() -> None:
    codec("test.point")(Point)
    row = encode(Point(1)).to_json()
    row["$"][2] = {"x": 1}
    with pytest.raises(CorruptPayloadError, match="from_node"):
        decode_json(row)


def test_a_class_that_brings_its_own_methods() -> None:
    @codec("test.own", version=3)
    class Own:
        def __init__(self, x: int) -> None:
            self.x = x

        def to_node(self) -> list[int]:
            return [self.x]

        @classmethod
        def from_node(cls, node: list[int], version: int) -> Own:
            assert version == 3
            return cls(*node)

    assert there_and_back(Own(5)).x == 5


def test_a_codec_that_fails_is_named_and_chained() -> None:
    registry.register(Codec("test.thing", (Thing,), lambda _: 1 / 0, lambda node, _: 1 / 0))
    with pytest.raises(EncodeError, match=r"value\[.a.\]: the codec 'test.thing' failed .*ZeroDivisionError") as caught:
        encode({"a": Thing()})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(CorruptPayloadError, match="the codec 'test.thing' cannot read") as refused:
        decode_json({"$": ["test.thing", 1, 0]})
    assert isinstance(refused.value.__cause__, ZeroDivisionError)


def test_advice_holds_for_a_class_whose_codec_was_looked_up_before() -> None:
    def matches(cls: type) -> bool:
        return cls is Thing and not is_advised(cls)

    registry.register(
        Codec("test.thing", (), lambda thing: thing.content, lambda node, _: Thing(node), matches=matches)
    )
    encode(Thing(1))
    advise(f"{Thing.__module__}.Thing", "return its content")
    with pytest.raises(UnsupportedTypeError, match="return its content"):
        encode(Thing(1))


def test_summaries_of_a_codec_class() -> None:
    class ThingCodec:
        def encode(self, thing: Thing) -> Any:
            return thing.content

        def decode(self, node: Any, version: int) -> Thing:
            return Thing(node)

        def summarize(self, thing: Thing) -> dict[str, Any]:
            return {"content": str(thing.content)}

    codec("test.thing", handles=(Thing,))(ThingCodec)
    assert encode(Thing(5)).summary == {"content": "5"}


def test_what_a_codec_class_renders() -> None:
    class ThingCodec(Methods):
        def render(self, thing: Thing) -> Any:
            return [thing.content]

    codec("test.thing", handles=Thing)(ThingCodec)
    assert registry.for_tag("test.thing", 1).render(Thing(5)) == [5]  # type: ignore[misc]
    codec("test.thing", handles=Thing, replace=True)(Methods)
    assert registry.for_tag("test.thing", 1).render is None


DAG_FILE = """
from airflow_xcom.codecs import codec, registry
class Value:
    pass
@codec("test.value", handles=Value)
class ValueCodec:
    def encode(self, value): return 1
    def decode(self, node, version): return Value()
"""


def execute(file: Path, name: str) -> dict[str, Any]:
    namespace = {"__name__": name, "__file__": str(file)}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    return namespace


def test_a_dag_file_may_be_executed_again(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(DAG_FILE)
    first = execute(file, "unusual_prefix_1_dag")
    second = execute(file, "unusual_prefix_2_dag")
    assert type(there_and_back(second["Value"]())) is second["Value"]
    assert type(there_and_back(first["Value"]())) is second["Value"]
    other = tmp_path / "other.py"
    other.write_text(DAG_FILE)
    with pytest.raises(RegistrationError, match=r"registered already, by dag\.py; register it in one module"):
        execute(other, "unusual_prefix_3_other")
    with pytest.raises(RegistrationError, match="registered already"):
        exec(compile(DAG_FILE, str(file), "exec"), second)


def test_the_program_that_runs_keeps_its_own_classes(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(DAG_FILE)
    main = execute(file, "__main__")
    parsed = execute(file, "unusual_prefix_1_dag")
    assert type(there_and_back(main["Value"]())) is main["Value"]
    assert type(there_and_back(parsed["Value"]())) is main["Value"]


PLUGIN = """
from airflow_xcom.codecs import Codec
class Gear: pass
GEAR = Codec("acme.gear", ("acme_plugin.Gear",), lambda _: 1, lambda *_: Gear())
"""


def install(site: Path, name: str, points: dict[str, str], **modules: str) -> None:
    """Put a distribution with these entry points and modules into a folder, as pip does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{point} = {value}\n" for point, value in points.items())
    (info / "entry_points.txt").write_text(f"[airflow_xcom.codecs]\n{lines}")
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)


def run(site: Path, code: str) -> str:
    """What a program prints that finds the distributions of this folder."""
    start = f"import sys\nsys.path.insert(0, {str(site)!r})\n"
    command = [sys.executable, "-c", start + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_entry_point_that_fails_is_named_at_push_and_at_pull(tmp_path: Path) -> None:
    install(tmp_path, "acme-plugin", {"gear": "acme_plugin:GEAR", "broken": "acme_missing:NOTHING"}, acme_plugin=PLUGIN)
    printed = run(
        tmp_path,
        """
        from airflow_xcom.codecs import UnknownTagError, UnsupportedTypeError, decode, encode
        assert "acme_plugin" not in sys.modules
        import acme_plugin
        payload = encode([acme_plugin.Gear()])
        print(type(decode(payload.to_bytes(), payload.format)[0]).__name__)
        try:
            decode(payload.to_bytes().replace(b"acme.gear", b"acme.none"), payload.format)
        except UnknownTagError as error:
            print(error)
        try:
            encode([acme_plugin])
        except UnsupportedTypeError as error:
            print(error)
        """,
    )
    gear, pulled, pushed = printed.splitlines()
    assert gear == "Gear"
    failure = (
        "; the entry point 'broken' of acme-plugin 1.0 failed to load: ModuleNotFoundError: No module named 'acme_m"
    )
    assert failure in pulled
    assert failure in pushed
    assert pushed.startswith("value[0]: no codec handles builtins.module")


def test_an_entry_point_is_loaded_when_its_root_is_asked_for(tmp_path: Path) -> None:
    """By the root of a type and of a tag; whatever has another name is loaded before a refusal, or a base's codec."""
    plain = "from airflow_xcom.codecs import codec\nclass {0}: pass\n@codec('{1}.tag', handles={0})\nclass C:\n"
    plain += "    def encode(self, value): return 1\n    def decode(self, node, version): return {0}()\n"
    data = "from dataclasses import dataclass\nfrom airflow_xcom.codecs import codec\n"
    data += "@dataclass\nclass Data: pass\ncodec('other.data')(Data)\n"
    points = {"first": "first", "second.part": "second", "misnamed": "third", "unneeded": "fourth"}
    modules = {name: plain.format(name.title(), name) for name in ("first", "second", "third")}
    install(tmp_path, "acme", points, **modules, fourth=data)
    printed = run(
        tmp_path,
        """
        from airflow_xcom.codecs import registry
        def show(found):
            print(found.tag, *(name for name in ("first", "second", "third", "fourth") if name in sys.modules))
        show(registry.for_type(tuple))
        show(registry.for_tag("first.tag", 1))
        show(registry.for_tag("second.tag", 1))
        show(registry.for_type(sys.modules["second"].Second))
        import third
        show(registry.for_type(third.Third))
        import fourth
        show(registry.for_type(fourth.Data))
        """,
    )
    assert printed.splitlines() == [
        "tuple",
        "first.tag first",
        "second.tag first second",
        "second.tag first second",
        "third.tag first second third",
        "other.data first second third fourth",
    ]


LAZY = """
from airflow_xcom.codecs import Codec
GEAR = Codec("acme.gear", ("gears.Gear",), lambda _: 1, lambda *_: 2)
"""


def test_no_entry_point_is_passed_over_for_the_codec_of_a_base_or_a_predicate(tmp_path: Path) -> None:
    gears = "from collections import OrderedDict\nclass Gear(OrderedDict): pass\n"
    install(tmp_path, "acme", {"misnamed": "acme_plugin:GEAR"}, acme_plugin=LAZY, gears=gears)
    code = """
        import gears
        from airflow_xcom.codecs import registry
        print(registry.for_type(gears.Gear))
    """
    assert run(tmp_path, code) == "<Codec 'acme.gear', version 1>\n"


NESTED = """
from airflow_xcom.codecs import UnsupportedTypeError, encode
import gears
try:
    encode(gears.Gear())
except UnsupportedTypeError:
    print("not yet")
"""


def test_a_refusal_while_an_entry_point_is_loaded_does_not_last(tmp_path: Path) -> None:
    points = {"nested": "acme_nested", "misnamed": "acme_plugin:GEAR"}
    install(tmp_path, "acme", points, acme_plugin=LAZY, gears="class Gear: pass\n", acme_nested=NESTED)
    code = """
        from airflow_xcom.codecs import UnknownTagError, encode, registry
        registry.entry_points.load("nested")
        import gears
        print(encode(gears.Gear()).tag)
    """
    assert run(tmp_path, code) == "not yet\nacme.gear\n"


THREADS = """
    import sys, threading
    sys.path.insert(0, {site!r})
    from airflow_xcom.codecs import decode, encode
    import datetime, decimal, numpy, pandas
    values = [(1,), datetime.datetime(2024, 1, 1), decimal.Decimal("1.5"), numpy.arange(3), {{1}}]
    values.append(pandas.DataFrame({{"a": [1]}}))
    barrier, failed = threading.Barrier(12), []
    def work(value):
        barrier.wait()
        try:
            payload = encode([value])
            assert type(decode(payload.to_bytes(), payload.format)[0]) is type(value)
        except BaseException as error:
            failed.append(repr(error))
    threads = [threading.Thread(target=work, args=(value,), daemon=True) for value in values * 2]
    for thread in threads: thread.start()
    for thread in threads: thread.join(500)
    print(failed, sum(thread.is_alive() for thread in threads))
"""
EAGER = """
from airflow_xcom.codecs import Codec, encode
encode((1,))  # while it is being loaded as an entry point
class Gear: pass
GEAR = Codec("acme.gear", (Gear,), lambda _: 1, lambda *_: Gear())
"""


def test_first_use_from_many_threads(tmp_path: Path) -> None:
    install(tmp_path, "eager", {"gear": "eager_plugin:GEAR"}, eager_plugin=EAGER)
    code = textwrap.dedent(THREADS.format(site=str(tmp_path)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout == "[] 0\n", done.stderr


def test_a_registry_of_ones_own_knows_only_what_it_was_told() -> None:
    own = Registry(builtins=False, entry_points=False)
    assert own.for_type(tuple) is None
    with pytest.raises(UnknownTagError):
        own.for_tag("tuple", 1)
    own.register(Codec("test.thing", (Thing,), str, str))
    assert [held.tag for held in own] == ["test.thing"]


@pytest.mark.parametrize(
    "value",
    [
        Thing((1, {2})),
        [Thing(5)] * 3,
        {"frame": pd.DataFrame({"things": [Thing(1), None]})},
        pd.DataFrame({"things": [Thing(1), None]}),
        [Thing(index) for index in range(1000)],
    ],
    ids=["alone", "shared", "cells", "table", "batch"],
)
def test_a_registry_of_ones_own_encodes_and_decodes(value: Any) -> None:
    own = Registry(entry_points=False)
    own.register(Codec("test.own", (Thing,), lambda thing: thing.content, lambda node, _: Thing(node)))
    with pytest.raises(UnsupportedTypeError, match="Thing"):
        encode(value)
    payload = encode(value, registry=own)
    assert payload.suppliers == {"test.own": "test_registry.py"}
    for back in (
        decode(payload.to_bytes(), payload.format, registry=own),
        decode_json(payload.to_json(), registry=own),
    ):
        assert contents(back) == contents(value)
    for read in (lambda: decode(payload.to_bytes(), payload.format), lambda: decode_json(payload.to_json())):
        with pytest.raises(UnknownTagError, match=r"test\.own"):
            read()


def contents(value: Any) -> Any:
    """What things hold, in a value of the test above."""
    if isinstance(value, Thing):
        return ["thing", value.content]
    if isinstance(value, dict):
        return contents(value["frame"])
    if isinstance(value, pd.DataFrame):
        return contents(value["things"].tolist())
    return [contents(item) for item in value] if isinstance(value, list) else value


def test_a_registry_of_ones_own_has_its_own_rule_of_classes() -> None:
    own = Registry(entry_points=False)
    own.allow_classes(lambda name: name == f"{__name__}.Point")
    payload = encode([Point(1)], registry=own)
    assert decode(payload.to_bytes(), payload.format, registry=own) == [Point(1)]
    with pytest.raises(UnsupportedTypeError, match="may not be restored"):
        encode([Point(1)])
    with pytest.raises(ClassNotAllowedError):
        decode(payload.to_bytes(), payload.format)


def test_the_decorator_registers_in_a_registry_of_ones_own() -> None:
    own = Registry(entry_points=False)
    codec("test.thing", handles=Thing, registry=own)(Methods)
    assert own.for_tag("test.thing", 1) is own.for_type(Thing)
    assert registry.for_type(Thing) is None


def test_the_fallback_comes_last() -> None:
    own = Registry(builtins=False, entry_points=False)
    first = Codec("test.fallback", (), str, str, matches=lambda _: True)
    own.set_fallback(first)
    own.set_fallback(Codec("test.fallback", (), str, str, matches=lambda _: True))
    later = own.register(Codec("test.later", (), str, str, matches=lambda kind: kind is Thing))
    assert own.for_type(Thing) is later
    found = own.for_type(int)
    assert found is not None
    assert found.tag == "test.fallback"
    assert found is not first


@pytest.mark.parametrize("wrap", [lambda thing: thing, lambda thing: [thing], lambda thing: {(1, thing)}])
@pytest.mark.parametrize("hold", [lambda cell: cell, lambda cell: pd.Series([cell, 1], dtype=object)])
def test_a_payload_names_who_registered_the_codecs_of_its_cells_too(hold: Any, wrap: Any) -> None:
    registry.register(Codec("test.thing", (Thing,), lambda _: None, lambda _node, _version: Thing()), replace=True)
    assert set(encode(hold(wrap(Thing()))).suppliers) == {"test.thing"}
    assert set(encode([hold(wrap(Thing()))]).suppliers) == {"test.thing"}

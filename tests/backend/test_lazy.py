"""Arguments that Airflow sees by their names alone."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from airflow.sdk import DAG, task
from conftest import Backend

from airflow_xcom.backend import Lazy, MissingPayloadError, lazy, table_of, takes_lazy
from airflow_xcom.backend.pull import Deferred
from airflow_xcom.codecs import UnsupportedTypeError, encode


def argument(value: Any) -> Lazy:
    """An argument as a task gets it: over a row that Airflow's own backend wrote."""
    return Lazy("lazy(x)", Deferred(value, row=None))


def test_it_shows_its_name_alone() -> None:
    value = argument(["planted"])
    assert (repr(value), str(value), f"{[value]}", repr(value[0])) == ("lazy(x)", "lazy(x)", "[lazy(x)]", "lazy(x)[0]")
    assert not hasattr(value, "__dict__"), "what walks the attributes of objects finds none"
    assert not hasattr(value, "serialize")
    assert not attrs.has(Lazy)
    assert isinstance(value, Sequence)
    assert not isinstance(value, list | tuple | dict | str)
    with pytest.raises(TypeError, match="Lazy is not JSON serializable"):
        json.dumps(value)


def test_it_is_read_once() -> None:
    value = argument([{"a": 1}, 2])
    assert value.get() == [{"a": 1}, 2]
    assert value.get() is value.get()
    assert value[0].get() is value.get()[0]
    assert len(value) == 2


def test_it_has_the_items_that_tasks_are_mapped_over() -> None:
    assert argument({"a": 1, "b": 2})[1].get() == ("b", 2)
    rows = Lazy("lazy(x)", [Deferred(1, row=None), None, Deferred([2], row=None)])
    assert [rows[index].get() for index in range(3)] == [1, None, [2]]
    assert rows[2][0].get() == 2
    assert rows.get() == [1, None, [2]]
    with pytest.raises(IndexError):
        argument([1])[1]


@pytest.mark.parametrize(
    "use",
    [list, lambda value: value["a"], lambda value: value[:1], lambda value: value.append(1), lambda value: value.x],
)
def test_a_function_that_forgets_to_get_it_is_told(use: Any) -> None:
    with pytest.raises((TypeError, AttributeError), match=r"lazy\(x\) is not its value yet: call \.get\(\)"):
        use(argument([1]))


def test_a_task_that_returns_it_is_told() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"return argument\.get\(\)"):
        encode(argument([1]))


def test_it_leaves_for_another_environment_as_its_value() -> None:
    make, arguments = argument([1, {"a": None}]).__reduce__()
    assert make.__module__ == "_operator", "nothing of ours, which may not be installed there"
    assert make(*arguments) == [1, {"a": None}]


def test_a_copy_of_a_task_reads_nothing() -> None:
    value = Lazy("lazy(x)", Deferred(object(), row=None))  # which cannot be read
    assert copy.deepcopy([value]) == [value]
    assert copy.copy(value) is value


@pytest.mark.parametrize("mapped", [False, True])
def test_a_payload_that_has_moved_since_the_task_began_is_found(
    mapped: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(threshold=0)
    old, new, other = (backend.push(value) for value in ((1,), (1,), "another"))
    foreign = backend.push("another's", key="another")
    answers: list[Any] = []

    def resolve(_self: Any, _context: Any) -> Any:
        rows = Deferred(answers.pop(0), row=None)
        return [rows] if mapped else rows

    with DAG("lazily", schedule=None):
        argument = lazy(task(lambda: None, task_id="first")())
    monkeypatch.setattr(type(argument).__mro__[1], "resolve", resolve)
    answers[:] = [old, new]
    value = argument.resolve({})
    backend.lose(old)
    assert value.get() == ([(1,)] if mapped else (1,))
    for now in (old, foreign, 7):
        answers[:] = [old, now]
        with pytest.raises(MissingPayloadError):
            argument.resolve({}).get()
    answers[:] = [other]
    assert argument.resolve({}).get() == (["another"] if mapped else "another"), (
        "and nothing is read twice without need"
    )


def test_a_function_gets_the_values() -> None:
    @takes_lazy
    def use(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    plain = [{"a": (1, [2])}]
    nested = [{"a": ({"b": argument(1)}, 2)}, 3]
    args, kwargs = use(argument(1), plain, nested, x=argument([2]), y={"z": argument(None)})
    assert (args, kwargs) == ((1, plain, [{"a": ({"b": 1}, 2)}, 3]), {"x": [2], "y": {"z": None}})
    assert args[1] is plain
    assert use.__name__ == "use"


def test_a_coroutine_function_gets_the_values_and_stays_one() -> None:
    @takes_lazy
    async def use(value: Any) -> Any:
        return value

    assert asyncio.iscoroutinefunction(use)
    assert asyncio.run(use(argument([1]))) == [1]  # type: ignore[arg-type]


def parsed() -> DAG:
    """A Dag with lazy arguments in all positions."""
    with DAG("lazily", schedule=None) as dag:
        first = task(lambda: None, task_id="first")()
        second = task(lambda: None, task_id="second", multiple_outputs=True)()

        @takes_lazy
        def use(a: Any, b: Any = None) -> None: ...

        task(use, task_id="plain")(lazy(first), b=[lazy(lazy(second)["key"])])
        task(use, task_id="part")(lazy(table_of(first, columns=["a"])))
        task(use, task_id="mapped").partial(b=lazy(second)).expand(a=lazy(first))
    return dag


def test_it_is_a_dependency_that_is_the_same_at_every_parse() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    one, other = (DagSerialization.to_dict(parsed()) for _ in range(2))
    assert one == other
    upstream = {name: parsed().get_task(name).upstream_task_ids for name in ("plain", "part", "mapped")}
    assert upstream == {"plain": {"first", "second"}, "part": {"first"}, "mapped": {"first", "second"}}
    read = DagSerialization.from_dict(one).get_task("mapped")
    assert [name for name, _ in read._get_specified_expand_input().value.items()] == ["a"]
    arguments = parsed().get_task("plain").op_kwargs["b"], parsed().get_task("part").op_args
    assert "lazy(XComArg(<Task(_PythonDecoratedOperator): second>, 'key'))" in repr(arguments)
    assert "lazy(table_of(XComArg(<Task(_PythonDecoratedOperator): first>), columns=['a']" in repr(arguments)


@pytest.mark.parametrize("wrong", [[1], None, "text", pytest, argument([1])])
def test_only_what_a_task_gives_is_lazy(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"lazy\(\) takes what a task gives where the Dag is made, not a"):
        lazy(wrong)

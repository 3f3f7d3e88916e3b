"""Every way a task passes a value to another: a task group each, whose tasks raise if a value is not what was pushed.

Written for every Airflow from 2.11 on; what a release does not have is left out of the Dag there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from releases import (
    HAS_ASYNC_XCOMS,
    HAS_LOOPS,
    HAS_SLASHES_IN_KEYS,
    HAS_STATE,
    SKIPS_IN_MAPPED_GROUPS,
    Asset,
    BaseOperator,
    BaseTrigger,
    TriggerEvent,
    XComArg,
    as_stock_pulls,
    dag,
    get_current_context,
    pulled_from_run,
    task,
    task_group,
)

from airflow_xcom.backend import (
    SchemaChangedError,
    SettingsError,
    StoreError,
    elements_of,
    latest,
    lazy,
    publish,
    pull_table,
    stored,
    table_of,
    takes_lazy,
    value_of,
    versions,
)
from airflow_xcom.backend.compat import base_xcom
from airflow_xcom.backend.pull import deferring
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError, NewerFormatError, UnsupportedTypeError
from airflow_xcom.codecs.testing import difference

START = datetime(2024, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
ROWS = 5_000  # enough for a frame to be a blob by the default threshold


def frame(number: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """A frame with what JSON and Parquet lose: a regular index with a zone, categories, missing whole numbers.

    The same by pandas 2, which is all that goes with Airflow 2, and pandas 3.
    """
    berlin = ZoneInfo("Europe/Berlin")
    hours = pd.date_range("2024-01-01", periods=rows, freq="h", tz=berlin, name="hour", unit="ns")
    counts = pd.array(np.arange(rows) + number, "Int64")
    counts[0] = pd.NA
    kinds = pd.Categorical.from_codes([0, 1] * (rows // 2), pd.Index(["a", "b"], dtype=object))
    columns = pd.Index(["n", "kind", "x"], dtype=object)
    values = {"n": counts, "kind": kinds, "x": np.arange(rows) / 7 + number}
    return pd.DataFrame(values, index=hours).set_axis(columns, axis="columns")


MIXED = {
    "loss": float("nan"),
    "price": Decimal("1.10"),
    "at": datetime(2024, 10, 27, 2, 30, fold=1),
    "shape": (2, 3),
    1: b"\x00\xff",
    "array": np.arange(6.0).reshape(2, 3),
}
# Keys in the order that PostgreSQL's JSONB gives plain dicts; preserve_key_order, which keeps any, is off by default.
INLINE = np.arange(4096.0)  # 43 KiB in the row
PLAIN = {"text": "NaN, -Infinity] \\u0000", "nested": {"a": []}, "numbers": [1, 2.5, True, None]}
PLANTED = "planted4f1c"  # a secret that only its producer knows to be one
EVENT = {"done": True, "rows": 4}
MILD = {
    "text": "NaN",
    "nested": {"a": []},
}  # what survives Airflow's own migrations from 2.11 also where it wrote the row


NAME = "data/2 %2E" if HAS_SLASHES_IN_KEYS else "data 2"
KEYS = {"frame": frame(), "mixed": MIXED, "plain": PLAIN, NAME: Decimal("0.1"), "none-like": (None,)}


def same(expected: Any, actual: Any) -> None:
    """Raises unless the value is the same to the last bit, and writable."""
    found = difference(expected, actual)
    if found:
        raise AssertionError(found)


def returns(value: Any, name: str) -> Any:
    """A task of that name that returns the value as it is, and pushes no items of it."""
    return task(task_id=name, multiple_outputs=False)(lambda: value)()


@task_group
def taskflow_returns() -> None:
    @task
    def large() -> pd.DataFrame:
        return frame()

    @task
    def small() -> pd.DataFrame:
        return frame(1, 4)

    @task
    def inline() -> np.ndarray:
        return INLINE

    @task(multiple_outputs=False)
    def mixed() -> dict:
        return MIXED

    @task(multiple_outputs=False)
    def plain() -> dict:
        return PLAIN

    @task
    def take(large: Any, small: Any, inline: Any, plain: Any) -> None:
        same(frame(), large)
        same(frame(1, 4), small)
        same(INLINE, inline)
        same(PLAIN, plain)

    @task
    def take_mixed() -> None:
        # Some releases record the arguments of a task as JSON before it runs, which has no NaN.
        same(MIXED, get_current_context()["ti"].xcom_pull(task_ids="taskflow_returns.mixed"))

    take(large(), small(), inline(), plain())
    mixed() >> take_mixed()


@task_group
def several_keys() -> None:
    @task
    def push() -> None:
        for key, value in KEYS.items():
            get_current_context()["ti"].xcom_push(key=key, value="replaced")
            get_current_context()["ti"].xcom_push(key=key, value=value)

    @task
    def pull() -> None:
        ti = get_current_context()["ti"]
        for key, value in KEYS.items():
            same(value, ti.xcom_pull(task_ids="several_keys.push", key=key))
        if ti.xcom_pull(task_ids="several_keys.push", key="nothing") is not None:
            raise AssertionError("nothing was pushed")

    push() >> pull()


@task_group
def multiple_outputs() -> None:
    @task(multiple_outputs=True)
    def give() -> dict[str, Any]:
        return {"frame": frame(), "price": Decimal("1.10"), "count": 3}

    @task
    def take(whole: Any, frame_: Any, price: Any, count: Any) -> None:
        same({"frame": frame(), "price": Decimal("1.10"), "count": 3}, whole)
        same([frame(), Decimal("1.10"), 3], [frame_, price, count])

    given = give()
    take(given, given["frame"], given["price"], given["count"])


@task_group
def task_ids_lists() -> None:
    @task
    def pull() -> None:
        names = [f"task_ids_lists.{name}" for name in ("second", "first", "third")]
        same([frame(2), PLAIN, Decimal(1)], list(get_current_context()["ti"].xcom_pull(task_ids=names)))

    [returns(PLAIN, "first"), returns(frame(2), "second"), returns(Decimal(1), "third")] >> pull()


@task
def double(frame: pd.DataFrame) -> pd.DataFrame:
    frame["x"] *= 2.0
    return frame


def doubled(number: int) -> pd.DataFrame:
    """What ``double`` makes of a frame."""
    value = frame(number)
    value["x"] *= 2.0
    return value


@task
def frames() -> list[pd.DataFrame]:
    return [frame(number) for number in range(3)]


@task_group
def mapped_over_frames() -> Any:
    """Gives the frames, and what the mapped task makes of them, to the other groups."""

    @task
    def gather(found: Any) -> None:
        same(3, len(found))
        same([doubled(number) for number in range(3)], list(found))

    @task
    def take_own(one: Any) -> None:
        same(frame(get_current_context()["ti"].map_index), one)

    @task
    def take_pair(pair: Any) -> None:
        take_own.function(pair[0])
        take_own.function(pair[1])

    @task
    def take_length(length: int) -> None:
        same(ROWS, length)

    @task
    def is_read_singly() -> None:
        with deferring():
            row = get_current_context()["ti"].xcom_pull(task_ids="mapped_over_frames.frames")
        assert "index_digest" in row.stored["airflow_xcom"]["ref"]

    source = frames()
    results = double.expand(frame=source)
    gather(results)
    parts = elements_of(source)
    take_own.expand(one=parts) >> is_read_singly()
    take_pair.expand(pair=parts.zip(source))
    take_length.expand(length=parts.map(lambda one: len(one)))  # noqa: PLW0108 - Airflow 3.4 takes no builtin
    return source, results


@task_group
def mapped_over_dicts() -> None:
    @task(multiple_outputs=False)
    def give() -> dict[str, pd.DataFrame]:
        return {"a": frame(0), "b": frame(1)}

    @task
    def take(pair: Any) -> str:
        key, value = pair
        same(frame("ab".index(key)), value)
        return key

    @task(multiple_outputs=False)
    def arguments() -> list[dict[str, Any]]:
        return [{"one": frame(number), "two": Decimal(number)} for number in range(2)]

    @task
    def take_two(one: Any, two: Any) -> int:
        same(frame(int(two)), one)
        return int(two)

    @task
    def check(keys: Any, numbers: Any) -> None:
        same(["a", "b"], list(keys))
        same([0, 1], list(numbers))

    given = arguments()
    check(take.expand(pair=give()), take_two.expand_kwargs(given))
    take_two.override(task_id="take_elements").expand_kwargs(elements_of(given))


@task_group
def map_indexes(results: Any) -> None:
    @task
    def pull() -> None:
        ti, name = get_current_context()["ti"], "mapped_over_frames.double"
        same(doubled(1), ti.xcom_pull(task_ids=name, map_indexes=1))
        same([doubled(0), doubled(2)], list(ti.xcom_pull(task_ids=name, map_indexes=[0, 2])))
        same([doubled(number) for number in range(3)], list(ti.xcom_pull(task_ids=[name])))

    results >> pull()


@task_group
def maps(source: Any) -> None:
    @task
    def take(value: Any) -> int:
        same(doubled(int(value["n"].iloc[1]) - 1), value)
        return len(value)

    def transform(value: pd.DataFrame) -> pd.DataFrame:
        value["x"] *= 2.0
        return value

    @task
    def gather(found: Any) -> None:
        same([ROWS] * 3, list(found))

    gather(take.expand(value=source.map(transform)))


@task_group
def zips(source: Any) -> None:
    @task
    def names() -> list[str]:
        return ["a", "b", "c"]

    @task
    def take(pair: Any) -> str:
        value, name = pair
        same(frame("abc".index(name)), value)
        return name

    @task
    def gather(found: Any) -> None:
        same(list("abc"), list(found))

    gather(take.expand(pair=source.zip(names())))


if hasattr(XComArg, "concat"):

    @task_group
    def concats(source: Any) -> None:
        @task
        def others() -> list[pd.DataFrame]:
            return [frame(number) for number in range(3, 5)]

        @task
        def take(value: Any) -> int:
            number = int(value["n"].iloc[1]) - 1
            same(frame(number), value)
            return number

        @task
        def gather(found: Any) -> None:
            same([0, 1, 2, 3, 4], list(found))

        gather(take.expand(value=source.concat(others())))


@task_group
def lazy_slices(results: Any) -> None:
    @task
    def take(found: Any) -> None:
        expected = [doubled(number) for number in range(3)]
        for index in (0, 2, -1, -3):
            same(expected[index], found[index])
        for part in (slice(1, 3), slice(2, None), slice(None, 2), slice(-2, None), slice(None, None, -1), slice(5, 9)):
            same(expected[part], list(found[part]))
        same(expected, list(found))
        same(expected, [*found])

    take(results)


@task_group
def parts_of_tables(results: Any) -> None:
    @task
    def take(part: Any, parts: Any) -> None:
        same(frame()[["x"]].iloc[:5], part)
        same([doubled(number)[["kind"]] for number in range(3)], parts)
        ti = get_current_context()["ti"]
        same(frame()[["n"]], pull_table(ti, "parts_of_tables.whole", columns=["n"]))
        both = pull_table(ti, ["parts_of_tables.whole", "parts_of_tables.other"], rows=slice(2))
        same([frame().iloc[:2], frame(7).iloc[:2]], both)

    whole, other = returns(frame(), "whole"), returns(frame(7), "other")
    other >> take(table_of(whole, columns=["x"], rows=slice(5)), table_of(results, columns=["kind"]))


# What fails a task that takes it as an argument in some releases, and what no page may show.
UNSHOWN = {"secret": PLANTED, "nan": float("nan"), "large": 1 << 70, "rows": [{"x": float("-inf")}] * 3}


@task_group
def lazy_arguments(results: Any) -> None:
    """Arguments in every position, which are recorded by their names alone: see ``unshown`` in inside.py."""

    def silently(function: Any) -> Any:
        return task(show_return_value_in_logs=False, multiple_outputs=False)(function)

    @silently
    def give() -> dict:
        return UNSHOWN

    @silently
    def large() -> pd.DataFrame:
        return frame().assign(secret=PLANTED)

    @silently
    def several() -> list:
        return [UNSHOWN, frame().assign(secret=PLANTED), PLANTED]

    @task(multiple_outputs=True, show_return_value_in_logs=False)
    def keys() -> dict[str, Any]:
        return {"a": UNSHOWN, "b": 1}

    @silently
    @takes_lazy
    def again(value: Any) -> Any:
        return value

    @task
    @takes_lazy
    def take(value: Any, *, table: Any, part: Any, nested: Any, key: Any) -> None:
        same(UNSHOWN, value)
        same(frame().assign(secret=PLANTED), table)
        same(frame().assign(secret=PLANTED)[["secret"]].iloc[:2], part)
        same({"a": [UNSHOWN], "b": PLAIN}, nested)
        same(UNSHOWN, key)

    @task
    def get(value: Any) -> None:
        same(UNSHOWN, value.get())

    @task
    @takes_lazy
    def take_one(whole: Any, *, one: Any) -> None:
        same(UNSHOWN, whole)
        same(several_values()[get_current_context()["ti"].map_index], one)

    @task
    @takes_lazy
    def take_all(values: Any, frames: Any) -> None:
        same(several_values(), list(values))
        same([doubled(number) for number in range(3)], [one for one in frames])  # noqa: C416 - also by iteration

    @task
    @takes_lazy
    def take_pair(pair: Any) -> None:
        same(list(UNSHOWN.items())[get_current_context()["ti"].map_index], pair)

    @task_group
    def each(one: Any) -> None:
        @task(task_id="take")
        @takes_lazy
        def take_in_group(one: Any) -> None:
            same(several_values()[get_current_context()["ti"].map_index], one)

        take_in_group(one)

    def several_values() -> list[Any]:
        return [UNSHOWN, frame().assign(secret=PLANTED), PLANTED]

    given, table, list_, names = give(), large(), several(), keys()
    nested = {"a": [lazy(given)], "b": PLAIN}
    part = lazy(table_of(table, columns=["secret"], rows=slice(2)))
    take(lazy(given), table=lazy(table), part=part, nested=nested, key=lazy(names["a"]))
    get(lazy(names)["a"])
    take_one.partial(whole=lazy(given)).expand(one=lazy(list_))
    take_all(lazy(again.expand(value=lazy(list_))), lazy(results))
    take_one.override(task_id="take_mapped").partial(whole=lazy(given)).expand(
        one=lazy(again.override(task_id="more").expand(value=lazy(list_)))
    )
    take_pair.expand(pair=lazy(given))
    each.expand(one=lazy(list_))


@task_group
def templates() -> None:
    @task
    def take(text: str, number: str, total: str, count: str) -> None:
        same(
            ["NaN, -Infinity] \\u0000", "2.5", str(int(frame()["n"].sum())), f"{ROWS} rows"],
            [text, number, total, count],
        )

    arguments = (
        "{{ ti.xcom_pull(task_ids='templates.plain')['text'] }}",
        "{{ ti.xcom_pull(task_ids='templates.plain')['numbers'][1] }}",
        "{{ ti.xcom_pull(task_ids='templates.table')['n'].sum() }}",
        "{{ ti.xcom_pull(task_ids='templates.table') | length }} rows",
    )
    [returns(PLAIN, "plain"), returns(frame(), "table")] >> take(*arguments)


@task_group
def branches() -> None:
    """In a mapped group; what is not chosen is skipped, and the frame of the choice is pulled."""

    @task_group
    def each(number: Any) -> None:
        @task.branch
        def choose(number: int) -> str:
            get_current_context()["ti"].xcom_push(key="frame", value=frame(number))
            return "branches.each.even" if number % 2 == 0 else "branches.each.odd"

        @task
        def even() -> str:
            return "even"

        @task
        def odd() -> str:
            return "odd"

        choose(number) >> [even(), odd()]

    @task(trigger_rule="all_done")
    def check() -> None:
        ti = get_current_context()["ti"]
        even, odd = (2, 1) if SKIPS_IN_MAPPED_GROUPS else (3, 3)
        same(["even"] * even, [one for one in ti.xcom_pull(task_ids=["branches.each.even"]) if one])
        same(["odd"] * odd, [one for one in ti.xcom_pull(task_ids=["branches.each.odd"]) if one])
        same(frame(2), ti.xcom_pull(task_ids="branches.each.choose", key="frame", map_indexes=1))

    @task.branch
    def pick() -> str:
        return "branches.picked"

    @task
    def picked() -> None: ...

    @task
    def not_picked() -> None: ...

    each.expand(number=[0, 2, 3]) >> check()
    pick() >> [picked(), not_picked()]


@task_group
def short_circuits() -> None:
    @task_group
    def each(number: Any) -> None:
        @task.short_circuit
        def has_rows(number: int) -> Any:
            return [frame(0, 4)] if number else []

        @task
        def reached(found: Any) -> int:
            same([frame(0, 4)] if found or SKIPS_IN_MAPPED_GROUPS else [], found)
            return 1

        reached(has_rows(number))

    @task(trigger_rule="all_done")
    def check() -> None:
        found = get_current_context()["ti"].xcom_pull(task_ids=["short_circuits.each.reached"])
        same([1] * (2 if SKIPS_IN_MAPPED_GROUPS else 3), [one for one in found if one])

    @task.short_circuit
    def stops() -> Any:
        return []

    @task
    def not_reached() -> None: ...

    each.expand(number=[1, 0, 2]) >> check()
    stops() >> not_reached()


class Payload(BaseTrigger):
    """Fires soon, with what a trigger may say."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return ("ways.Payload", {})

    async def run(self) -> Any:
        await asyncio.sleep(8)  # Airflow fails a task whose trigger fires before the scheduler has seen it wait
        yield TriggerEvent(EVENT)


class Deferred(BaseOperator):
    """Pushes a frame, waits for the event, and returns another frame."""

    def execute(self, context: Any) -> Any:
        context["ti"].xcom_push(key="before", value=frame(1))
        self.defer(trigger=Payload(), method_name="resume")

    def resume(self, context: Mapping[str, Any], event: Any = None) -> Any:
        same(EVENT, event)
        same(frame(1), context["ti"].xcom_pull(task_ids="deferrable.wait", key="before"))
        context["ti"].xcom_push(key="event", value=event)
        return frame(0, event["rows"])


@task_group
def deferrable() -> None:
    @task
    def take() -> None:
        ti = get_current_context()["ti"]
        same(frame(0, 4), ti.xcom_pull(task_ids="deferrable.wait"))
        same(EVENT, ti.xcom_pull(task_ids="deferrable.wait", key="event"))

    Deferred(task_id="wait") >> take()


@task_group
def retries() -> None:
    @task(retries=1, retry_delay=timedelta(0))
    def fails_once() -> pd.DataFrame:
        ti = get_current_context()["ti"]
        ti.xcom_push(key="try", value=frame(ti.try_number))
        if ti.try_number == 1:
            raise RuntimeError("the first try fails after it pushed")
        return ti.xcom_pull(task_ids="retries.fails_once", key="try")

    @task
    def take(value: Any) -> None:
        same(frame(2), value)

    take(fails_once())


@task_group
def async_tasks(results: Any) -> None:
    @task
    async def give() -> pd.DataFrame:
        await get_current_context()["ti"].axcom_push(key="mixed", value=MIXED)
        return frame()

    @task
    @takes_lazy
    async def take(lazily: Any) -> None:
        same(MIXED, lazily)
        ti = get_current_context()["ti"]
        same(frame(), await ti.axcom_pull(task_ids="async_tasks.give"))
        same(MIXED, await ti.axcom_pull(task_ids="async_tasks.give", key="mixed"))
        same([doubled(number) for number in range(3)], await ti.axcom_pull(task_ids=["mapped_over_frames.double"]))

    given = give()
    [given, results] >> take(lazy(given["mixed"]))


STOCK = {"day": date(2024, 1, 1), "took": timedelta(hours=1)}
LARGE = list(range(1000))


@contextmanager
def options(**changed: str) -> Iterator[None]:
    """Other options of the backend, as far as the tasks of one process go."""
    names = {f"AIRFLOW__XCOM_CODECS__{name.upper()}": value for name, value in changed.items()}
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(names)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})
        settings.cache_clear()


def here(key: str) -> dict[str, Any]:
    """The coordinates of a key of the task that runs."""
    ti = get_current_context()["ti"]
    return {"key": key, "dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


@task_group
def rows_of_stock() -> None:
    @task
    def push() -> None:
        base_xcom().set(value=STOCK, **here("typed"))
        base_xcom().set(value=MILD, **here("plain"))

    @task
    def pull() -> None:
        ti = get_current_context()["ti"]
        same(STOCK, ti.xcom_pull(task_ids="rows_of_stock.push", key="typed"))
        same(MILD, ti.xcom_pull(task_ids="rows_of_stock.push", key="plain"))

    push() >> pull()


@task_group
def rows_of_object_storage() -> None:
    name = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"

    @task
    def push() -> None:
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend

        XComObjectStorageBackend.set(value=LARGE, **here("large"))
        XComObjectStorageBackend.set(value=MILD, **here("small"))

    @task
    def pull() -> None:
        ti = get_current_context()["ti"]
        with options(legacy_backend=name):
            same(LARGE, ti.xcom_pull(task_ids="rows_of_object_storage.push", key="large"))
            same(MILD, ti.xcom_pull(task_ids="rows_of_object_storage.push", key="small"))
            ti.xcom_push(key="ours", value=frame())
            same(frame(), ti.xcom_pull(task_ids="rows_of_object_storage.pull", key="ours"))

    push() >> pull()


@task_group
def turned_off() -> None:
    """Airflow's own backend reads plain rows as they are; of others it gives the envelope, and never another value."""

    @task
    def pull() -> None:
        same(PLAIN, as_stock_pulls(base_xcom(), "turned_off.plain"))
        envelope = as_stock_pulls(base_xcom(), "turned_off.large")
        same(["airflow_xcom"], list(envelope))
        same("pandas.DataFrame", envelope["airflow_xcom"]["tag"])

    [returns(PLAIN, "plain"), returns(frame(), "large")] >> pull()


class Text(str):
    """A subclass of str, which Airflow itself stores as a str."""

    __slots__ = ()


@task_group
def inexact_values() -> None:
    """What is refused, stored as Airflow itself stores it; its rows are marked: see ``marked`` in inside.py."""

    @task
    def push() -> None:
        ti, value = get_current_context()["ti"], {"note": Text("x"), "table": frame(0, 4)}
        with warnings() as lines:
            ti.xcom_push(key="hint", value=stored(value, inexact="as_airflow"))
            with options(inexact="as_airflow"):
                ti.xcom_push(key="option", value=[value])
                ti.xcom_push(key="exact", value=frame(0, 4))
        places = ['value["note"] is stored as a str', 'value[0]["note"] is stored as a str']
        same([True, True], [place in line for place, line in zip(places, lines, strict=True)])
        refused(UnsupportedTypeError, 'value["note"]', "str(value)", value=value)

    @task
    def pull() -> None:
        ti, given = get_current_context()["ti"], {"note": "x", "table": frame(0, 4)}
        same(given, ti.xcom_pull(task_ids="inexact_values.push", key="hint"))
        same([given], ti.xcom_pull(task_ids="inexact_values.push", key="option"))
        same(frame(0, 4), ti.xcom_pull(task_ids="inexact_values.push", key="exact"))

    push() >> pull()


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What the backend warns of, as a task's log has it."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("airflow_xcom.backend")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


class Unregistered:
    """A class that no codec knows."""


def refused(kind: type[Exception], *words: str, value: Any) -> None:
    """A push of the value raises that error, which says these words."""
    place = here("mistake")
    try:
        get_current_context()["ti"].xcom_push(key="mistake", value=value)
    except kind as error:
        text = str(error)
        if missing := [word for word in (*words, place["dag_id"], place["task_id"], "mistake") if word not in text]:
            raise AssertionError(f"{missing} not in {text!r}") from error
    else:
        raise AssertionError("nothing was raised")


@task_group
def mistakes() -> None:
    """Of Dag authors and operators: every error says what, where, and what to do."""

    @task
    def unregistered_class() -> None:
        refused(UnsupportedTypeError, "Unregistered", "@airflow_xcom.codecs.codec", value={"a": [Unregistered()]})

    @task
    def function_in_the_value() -> None:
        refused(CodecError, "function", 'value["steps"][0]', value={"steps": [lambda: 0]})

    @task
    def wrong_option() -> None:
        with options(threshold="many"):
            refused(SettingsError, "[xcom_codecs] threshold", "whole number", value=frame())
        with options(path="nowhere"):
            refused(SettingsError, "[xcom_codecs] path", value=frame())

    @task
    def missing_store() -> None:
        with options(path="file:///proc/nowhere"):
            refused(StoreError, "file:///proc/nowhere", value=frame())

    @task
    def older_reader() -> None:
        base_xcom().set(value={"airflow_xcom": {"version": 99}}, **here("newer"))
        try:
            get_current_context()["ti"].xcom_pull(task_ids="mistakes.older_reader", key="newer")
        except NewerFormatError as error:
            same(True, "99" in str(error))
        else:
            raise AssertionError("nothing was raised")

    [unregistered_class(), function_in_the_value(), wrong_option(), missing_store(), older_reader()]


@task_group
def loops() -> None:
    """Each iteration is a task instance of its own: it pushes a frame under the same key, and sees that of the last."""

    @task_group
    def body() -> None:
        @task
        def step() -> pd.DataFrame:
            ti = get_current_context()["ti"]
            ti.xcom_push(key="mixed", value=MIXED)
            return frame(ti.region_index)

        @task
        def check(value: Any) -> None:
            ti = get_current_context()["ti"]
            same(frame(ti.region_index), value)
            same(MIXED, ti.xcom_pull(task_ids="loops.body.step", key="mixed"))

        check(step())

    body.loop(max_iterations=3)


@dag(schedule=None, start_date=START, catchup=False)
def ways() -> None:
    taskflow_returns()
    several_keys()
    multiple_outputs()
    task_ids_lists()
    source, results = mapped_over_frames()
    mapped_over_dicts()
    map_indexes(results)
    maps(source)
    zips(source)
    if hasattr(XComArg, "concat"):
        concats(source)
    lazy_slices(results)
    parts_of_tables(results)
    lazy_arguments(results)
    templates()
    deferrable()
    retries()
    rows_of_stock()
    rows_of_object_storage()
    turned_off()
    inexact_values()
    mistakes()
    if HAS_ASYNC_XCOMS:
        async_tasks(results)
    if HAS_LOOPS:
        loops()


@dag(schedule=None, start_date=START, catchup=False, render_template_as_native_obj=True)
def native_templates() -> None:
    @task
    def take(value: Any, plain: Any) -> None:
        same(frame(), value)
        same(PLAIN["numbers"], plain)

    arguments = "{{ ti.xcom_pull(task_ids='table') }}", "{{ ti.xcom_pull(task_ids='plain')['numbers'] }}"
    [returns(frame(), "table"), returns(PLAIN, "plain")] >> take(*arguments)


@dag(schedule=None, start_date=START, catchup=False)
def prior_dates() -> None:
    """Run twice: only the first run pushes under the key ``once``."""

    @task
    def push() -> pd.DataFrame:
        context = get_current_context()
        first = context["logical_date"].day == 1
        if first:
            context["ti"].xcom_push(key="once", value=frame(1))
        return frame(2 if first else 3)

    @task
    def pull() -> None:
        context = get_current_context()
        ti, later = context["ti"], context["logical_date"].day > 1
        latest = {"task_ids": "push", "include_prior_dates": True, "map_indexes": -1}
        same(frame(1), ti.xcom_pull(key="once", **latest))
        same(frame(3 if later else 2), ti.xcom_pull(**latest))
        if later and ti.xcom_pull(task_ids="push", key="once") is not None:
            raise AssertionError("this run has not pushed it")

    push() >> pull()


@dag(schedule=None, start_date=START, catchup=False)
def producer() -> None:
    @task(outlets=[Asset("memory://shop/frames")])
    def table() -> pd.DataFrame:
        return frame(5)

    table()


@dag(schedule=None, start_date=START, catchup=False)
def other_dags() -> None:
    """After ``producer``, whose run the configuration of this one names."""

    @task
    def pull() -> None:
        context = get_current_context()
        same(frame(5), pulled_from_run("producer", "table", context["dag_run"].conf["producer"]))

    pull()


@dag(schedule=[Asset("memory://shop/frames")], start_date=START, catchup=False)
def assets() -> None:
    """After ``producer``: the frame of the run that an event of the asset names."""

    @task(inlets=[Asset("memory://shop/frames")])
    def pull(inlet_events: Any = None) -> None:
        event = inlet_events[Asset("memory://shop/frames")][-1]
        same(frame(5), pulled_from_run(event.source_dag_id, event.source_task_id, event.source_run_id))

    pull()


PUBLISHED, CONTRACTED = Asset("memory://shop/published"), Asset("memory://shop/contracted")


@dag(schedule=None, start_date=START, catchup=False)
def published() -> None:
    """A version is read by the tasks after its publisher: in whole, in parts, and among all versions."""

    @task(outlets=[PUBLISHED])
    def give() -> Any:
        return publish(frame(8), PUBLISHED)

    @task
    def take(whole: Any, part: Any, given: Any) -> None:
        same(frame(8), whole["whole"])
        same(frame(8)[["x"]].iloc[:3], part)
        same(frame(8), given)

    @task
    def ask() -> None:
        same(frame(8), latest(PUBLISHED))
        (version,) = versions(PUBLISHED, limit=5)
        same(("published", "give"), (version.dag_id, version.task_id))
        same(frame(8), version.value())

    given = give()
    given >> take({"whole": value_of(PUBLISHED)}, value_of(PUBLISHED, columns=["x"], rows=slice(3)), given) >> ask()


@dag(schedule=None, start_date=START, catchup=False)
def contracts() -> None:
    @task(outlets=[CONTRACTED])
    def give() -> None:
        publish(frame(), CONTRACTED, schema={"n": "Int64", "x": {"nullable": False}})

    @task(outlets=[CONTRACTED])
    def give_others() -> None:
        broken = {
            "n": frame().drop(columns="n"),
            "x": frame().astype({"x": "float32"}),
            "kind": frame().assign(kind=frame()["kind"].cat.remove_categories("b")),
            "UTC": frame().tz_convert("UTC"),
        }
        for name, value in broken.items():
            try:
                publish(value, CONTRACTED, schema="compatible")
            except SchemaChangedError as error:
                same(True, name in str(error))
            else:
                raise AssertionError(f"{name} was not refused")
        publish(frame().assign(more=1), CONTRACTED, schema="compatible")

    @task
    def take(found: Any) -> None:
        same(frame().assign(more=1), found)

    give() >> give_others() >> take(value_of(CONTRACTED))


@dag(schedule=None, start_date=START, catchup=False)
def state() -> None:
    values = {"frame": frame(), "pair": (1, 2), "nan": float("nan"), "plain": PLAIN}

    @task(inlets=[PUBLISHED])
    def put() -> None:
        context: Any = get_current_context()
        for store in context["task_state_store"], context["asset_state_store"][PUBLISHED]:
            for key, value in values.items():
                store.set(key, value)
                same(value, store.get(key))

    @task(inlets=[PUBLISHED])
    def get() -> None:
        store = get_current_context()["asset_state_store"][PUBLISHED]
        for key, value in values.items():
            same(value, store.get(key))
        same(None, get_current_context()["task_state_store"].get("frame"))

    put() >> get()


ALL = [ways, native_templates, prior_dates, producer, other_dags, assets, published, contracts]
DAGS = {found.dag_id: found for found in (make() for make in [*ALL, *([state] if HAS_STATE else [])])}

"""A run in which single values are stored elsewhere: returned, pushed, mapped over, and of mapped tasks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from airflow.sdk import dag, get_current_context, task, task_group

from airflow_xcom.backend import elements_of, lazy, pull_table, stored, table_of, takes_lazy

FRAME = pd.DataFrame({"a": np.arange(1000), "b": [f"row {row}" for row in range(1000)], "c": np.arange(1000.0)})


@task
def whole() -> pd.DataFrame:
    return stored(FRAME, store="archive")


@task(multiple_outputs=True)
def outputs() -> dict[str, Any]:
    return {"frame": stored(FRAME, store="archive"), "count": 3, "plain": stored([1, 2], inline=False)}


@task
def pushes() -> None:
    get_current_context()["ti"].xcom_push(key="part", value=stored({"n": 1}, store="archive"))


@task
async def later() -> pd.DataFrame:
    await asyncio.sleep(0)
    return stored(FRAME, store="archive")


@task
def numbers() -> list[int]:
    return stored([1, 2, 3], store="archive")


@task
def pairs() -> dict[str, int]:
    return stored({"x": 1, "y": 2}, store="archive")


@task
def times(number: int) -> pd.DataFrame:
    return stored(FRAME * number, store="archive")


@task
def length(pair: Any) -> int:
    return len(pair)


@task.short_circuit
def nothing() -> list[int]:
    return stored([], store="archive")


@task
def not_reached() -> None: ...


@task
def use(frame: Any, part: Any, later_frame: Any, products: Any, lengths: Any) -> str:
    assert type(frame) is pd.DataFrame
    pd.testing.assert_frame_equal(frame, FRAME)
    pd.testing.assert_frame_equal(part, FRAME)
    pd.testing.assert_frame_equal(later_frame, FRAME)
    assert [int(product["a"].sum()) for product in products] == [int(FRAME["a"].sum()) * n for n in (1, 2, 3)]
    assert list(lengths) == [2, 2]
    instance = get_current_context()["ti"]
    assert instance.xcom_pull(task_ids="pushes", key="part") == {"n": 1}
    assert instance.xcom_pull(task_ids="outputs", key="plain") == [1, 2]
    assert instance.xcom_pull(task_ids="outputs", key="count") == 3
    assert type(instance.xcom_pull(task_ids="outputs")["frame"]) is pd.DataFrame
    return "used"


def check_part(part: Any) -> None:
    assert type(part) is pl.DataFrame
    assert part.columns == ["c", "a"]
    assert part["a"].to_list() == [10, 11]


@task
def take(frame: Any, key: Any, frames: Any, nested: dict[str, Any]) -> str:
    check_part(frame)
    check_part(key)
    assert [part["a"].to_list() for part in frames] == [[10, 11], [20, 22], [30, 33]]
    check_part(nested["frame"])
    ti = get_current_context()["ti"]
    wanted: dict[str, Any] = {"columns": ["c", "a"], "rows": slice(10, 12)}
    check_part(pull_table(ti, "whole", as_="polars", **wanted))
    check_part(pull_table(ti, "outputs", key="frame", as_="polars", **wanted))
    same = pull_table(ti, "whole", **wanted)
    pd.testing.assert_frame_equal(same, FRAME[["c", "a"]].iloc[10:12])
    some = pull_table(ti, "times", map_indexes=[2, 0], columns=["a"])
    assert [int(part["a"].sum()) for part in some] == [int(FRAME["a"].sum()) * n for n in (3, 1)]
    assert pull_table(ti, "nothing", columns=["a"]) is None
    assert type(ti.xcom_pull("whole")) is pd.DataFrame, "and values come back whole again"
    return "taken"


@task
def each(frame: Any, number: int) -> int:
    check_part(frame)
    return number


@task(show_return_value_in_logs=False)
def give_secret() -> list[dict[str, Any]]:
    return [{"key": "planted", "x": float("nan"), "n": 1 << 70}] * 3


@task
@takes_lazy
def open_lazily(value: Any) -> str:
    assert [(one["key"], str(one["x"]), one["n"]) for one in value] == [("planted", "nan", 1 << 70)] * 3
    return "opened"


@task(show_return_value_in_logs=False)
def give_text() -> str:
    return "planted"


@task
def take_secret(value: Any) -> None:
    assert value == "planted"


@task
def large() -> list[dict[str, Any]]:
    return [{"number": number, "frame": FRAME * number} for number in range(4)]


@task
def small() -> list[dict[str, Any]]:
    return [{"number": number, "frame": None} for number in range(4)]


@task
def add_up(element: Any, by: int = 1) -> int:
    assert type(element) is dict
    return int(element["frame"]["a"].sum()) * by


@task
def is_right(number: int, frame: Any) -> bool:
    return frame is None or int(frame["a"].sum()) == number * int(FRAME["a"].sum())


@task
def numbered(pair: Any) -> int:
    (element, number) = pair
    return int(element["number"] - number)


@task_group
def group(element: Any) -> None:
    add_up.override(task_id="in_group")(element)


@dag(schedule=None, start_date=datetime(2024, 1, 1))
def reads() -> None:
    pushed = pushes()
    frame, several, products = whole(), outputs(), times.expand(number=numbers())
    used = use(frame, several["frame"], later(), products, length.expand(pair=pairs()))
    pushed >> used
    nothing() >> not_reached()
    part: dict[str, Any] = {"columns": ["c", "a"], "rows": slice(10, 12), "as_": "polars"}
    first = table_of(frame, **part)
    take(first, table_of(several["frame"], **part), table_of(products, **part), {"frame": first})
    open_lazily(lazy(give_secret()))
    take_secret(give_text())
    each.partial(frame=first).expand(number=[1, 2])
    parts = elements_of(large())
    add_up.expand(element=parts, by=[1, 10])
    is_right.expand_kwargs(parts)
    is_right.override(task_id="is_small_right").expand_kwargs(elements_of(small()))
    numbered.expand(pair=parts.zip(numbers()))
    each.override(task_id="mapped").partial(frame=first).expand(number=parts.map(lambda element: element["number"]))
    length.override(task_id="of_mapped").expand(pair=elements_of(products))
    group.expand(element=parts)


reads_dag = reads()

if __name__ == "__main__":
    print("state:", reads_dag.test().state)  # noqa: T201

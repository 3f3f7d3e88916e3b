"""What hooks and operators really return, each taken by a task that compares it with the same, made anew."""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bson
import hook_models
import numpy as np
import pandas as pd
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import dag, task
from scipy import stats

from airflow_xcom.backend import lazy, takes_lazy
from airflow_xcom.codecs.testing import difference

PLAIN_SQL = "select 1 as id, 'a' as name, null as missing, 0.5 as x union all select 2, 'b', null, -1.5 order by id"
TYPED_SQL = (
    "select 1 as id, 'a' as name, null as missing, timestamptz '2024-10-27 00:30:00+00' as at, "
    "numeric '1.10' as price, array[1, 2] as many, jsonb '{\"k\": [1]}' as j "
    "union all select 2, 'b', null, timestamptz '2024-01-01 00:00:00+00', numeric 'NaN', null, null order by id"
)
WEB = os.environ.get("HOOKS_WEB", "http://localhost")
ORDER = '{"at": "2024-05-01T10:00:00Z", "until": "10:00:00+02:00", "page": "https://x.y/z", "lines": [["a", 1]]}'


def _aws(service: str, operation: str, **arguments: Any) -> Any:
    """A response as botocore parses it from what the server of the tests answers."""
    from botocore.config import Config
    from botocore.session import get_session

    client = get_session().create_client(
        service,
        region_name="us-east-1",
        endpoint_url=f"{WEB}/{service}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )
    return getattr(client, operation)(**arguments)


def _of_databricks() -> Any:
    """Rows as ``DatabricksSqlHook._make_common_data_structure`` makes them, of fields that are no names, too."""
    made = namedtuple("Row", ("id", "count(1)", "id"), rename=True)  # noqa: PYI024 - as the hook
    return [made(1, 2.5, datetime(2024, 1, 1, tzinfo=UTC)), made(2, None, None)]


def _sample(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=50)


def _with(result: Any, name: str) -> dict[str, Any]:
    """A result that has more than its fields, as the error for it says to return it."""
    return {**dict(zip(result._fields, result, strict=True)), name: getattr(result, name)}


def _of_mongo() -> Any:
    """Documents as pymongo decodes them from what a server sends."""
    options = bson.CodecOptions(tz_aware=True)
    sent = {
        "_id": bson.ObjectId("65a000000000000000000001"),
        "at": datetime(2024, 7, 1, 12, tzinfo=UTC),
        "price": bson.Decimal128("1.10"),
        "count": bson.Int64(5),
        "raw": bson.Binary(b"x", 128),
        "when": bson.Timestamp(1, 2),
        "lines": [{"n": 2**40, "pattern": bson.Regex("a+", "i"), "end": bson.MaxKey()}, None],
    }
    return [bson.decode(bson.encode(sent), options), bson.decode(bson.encode({"_id": 2}), options)]


RETURNS: dict[str, Callable[[], Any]] = {
    "databricks": _of_databricks,
    "s3": lambda: _aws("s3", "list_objects_v2", Bucket="b"),
    "s3_head": lambda: _aws("s3", "head_object", Bucket="b", Key="k"),
    "ecs": lambda: _aws("ecs", "describe_tasks", tasks=["t"]),
    "glue": lambda: _aws("glue", "get_table", DatabaseName="d", Name="t"),
    "model": lambda: hook_models.Order.model_validate_json(ORDER),
    "dump": lambda: hook_models.Order.model_validate_json(ORDER).model_dump(),
    "mongo": _of_mongo,
    "itertuples": lambda: list(pd.DataFrame({"a": [1, 2], "b c": ["x", None]}).itertuples(name="Line")),
    "describe": lambda: stats.describe(_sample(0)),
    "ttest": lambda: _with(stats.ttest_ind(_sample(0), _sample(1)), "df"),
    "linregress": lambda: stats.linregress(_sample(0), _sample(1)),
    "pearson": lambda: _with(stats.pearsonr(_sample(0), _sample(1)), "correlation"),
}


@task(show_return_value_in_logs=False, multiple_outputs=False)
def give(name: str) -> Any:
    return RETURNS[name]()


@task
@takes_lazy
def take(value: Any, name: str) -> None:
    same(RETURNS[name](), value)


def same(expected: Any, value: Any) -> None:
    """Raises unless the value is the same; the classes of rows, which are made at run time, by name and fields."""
    found = difference(_without_classes(expected), _without_classes(value))
    assert not found, found


def _without_classes(value: Any) -> Any:
    if not isinstance(value, list) or not hasattr(value[0], "_fields"):
        return value
    return [(type(row).__name__, row._fields, tuple(row)) for row in value]


@task
@takes_lazy
def take_rows(value: Any, name: str) -> None:
    """Rows of the two databases, whose cells and fields are known."""
    if name == "lite":
        same([(1, "a", None, 0.5), (2, "b", None, -1.5)], value)
        return
    same(value_of_postgres(), [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in value])
    fields = ("id", "name", "missing", "at", "price", "many", "j")
    if name == "pg_dict":
        assert {(type(row), tuple(row)) for row in value} == {(dict, fields)}
    if name == "pg_named":
        assert {(type(row).__name__, row._fields) for row in value} == {("Row", fields)}


def value_of_postgres() -> list[tuple[Any, ...]]:
    """The rows as the hook gives them, read anew."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    found = PostgresHook("hooks_pg").get_records(TYPED_SQL)
    return [tuple(row) for row in found]


@task
def take_answer(value: Any) -> None:
    assert value == {"id": 1, "big": 2**60, "x": 0.1, "items": [{"at": "2024-01-01T00:00:00Z"}, None]}


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False)
def hooks() -> None:
    for name in RETURNS:
        take.override(task_id=f"take_{name}")(lazy(give.override(task_id=name)(name)), name)
    for name in ("lite", "pg", "pg_dict", "pg_named"):
        sql = PLAIN_SQL if name == "lite" else TYPED_SQL
        rows = SQLExecuteQueryOperator(task_id=name, conn_id=f"hooks_{name}", sql=sql)
        take_rows.override(task_id=f"take_{name}")(lazy(rows.output), name)
    http = HttpOperator(
        task_id="http",
        http_conn_id="hooks_web",
        method="GET",
        endpoint="/answer",
        response_filter=lambda response: response.json(),
    )
    take_answer(http.output)


hooks_dag = hooks()

if __name__ == "__main__":
    run = hooks_dag.test()
    for instance in sorted(run.get_task_instances(), key=lambda one: one.task_id):
        print("task:", instance.task_id, instance.state)  # noqa: T201

"""Advice on what of Airflow is returned from tasks by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.registry import advise

if TYPE_CHECKING:
    from airflow_xcom.codecs import EncodeError

_OPERATOR = "an operator that a task returns does not run; define it in the Dag, and return value.task_id if need be"
_RESULT = "it stands for the result of another task; take it as an argument of the function, and return that"
_TASK = "it is a task, not its result; call it in the Dag, or return what its function computes, value.function()"
_SEQUENCE = "it reads the values of a mapped task one by one; return list(value)"
_RUNNING = "it is the running task itself; return what the next task needs of it, such as value.task_id"
_HOOK = "a hook lives in this process only; return what the next task needs to make its own, such as a connection id"
_POKE = "only a sensor returns it; return value.xcom_value"
_CONTEXT = (
    "it is the context of the running task, with much that cannot be stored; return what the next task needs of it, "
    'such as value["run_id"]'
)

# By its name in each release that has it.
_ADVICE = {
    "airflow.sdk.definitions._internal.abstractoperator.AbstractOperator": _OPERATOR,
    "airflow.models.abstractoperator.AbstractOperator": _OPERATOR,
    "airflow.sdk.definitions.xcom_arg.XComArg": _RESULT,
    "airflow.models.xcom_arg.XComArg": _RESULT,
    "airflow.sdk.bases.decorator._TaskDecorator": _TASK,
    "airflow.decorators.base._TaskDecorator": _TASK,
    "airflow.sdk.definitions.dag.DAG": "return value.dag_id",
    "airflow.models.dag.DAG": "return value.dag_id",
    "airflow.sdk.execution_time.lazy_sequence.LazyXComSequence": _SEQUENCE,
    "airflow.utils.db.LazySelectSequence": _SEQUENCE,
    "airflow.sdk.execution_time.task_runner.RuntimeTaskInstance": _RUNNING,
    "airflow.models.taskinstance.TaskInstance": _RUNNING,
    "airflow.utils.context.Context": _CONTEXT,
    "airflow.sdk.bases.hook.BaseHook": _HOOK,
    "airflow.hooks.base.BaseHook": _HOOK,
    "airflow.sdk.bases.sensor.PokeReturnValue": _POKE,
    "airflow.sensors.base.PokeReturnValue": _POKE,
}
_IN_CONTEXT = frozenset({"dag", "run_id", "task", "ti"})


def advise_on_airflow() -> None:
    """Let refusals of Airflow's own objects say what to return instead."""
    for name, advice in _ADVICE.items():
        advise(name, advice)


def explain_context(error: EncodeError, value: Any) -> None:
    """Let an error say that the value is the context of a task, if it is; from Airflow 3.0 on that is a dict."""
    if type(value) is dict and value.keys() >= _IN_CONTEXT:
        error.path, error.reason = "value", _CONTEXT

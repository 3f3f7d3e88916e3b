"""A pipeline is trained in one task, and predicts the same, bit for bit, in the next ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from airflow.sdk import dag, task
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

KINDS = {"pipeline": LogisticRegression, "forest": RandomForestClassifier}


def rows() -> Any:
    return np.random.default_rng(5).normal(size=(200, 4))


@task
def train(kind: str) -> dict[str, Any]:
    """Return the model and what it predicts here."""
    scale = ColumnTransformer([("scale", StandardScaler(), [0, 1])], remainder="passthrough")
    model = make_pipeline(scale, PolynomialFeatures(2), KINDS[kind](random_state=0))
    model.fit(rows(), (rows()[:, 0] > 0).astype(int))
    return {"model": model, "expected": model.predict_proba(rows()).tobytes()}


@task
def predict(trained: dict[str, Any]) -> None:
    """Compare with what the model predicts here."""
    assert trained["model"].predict_proba(rows()).tobytes() == trained["expected"]


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False)
def models() -> None:
    for kind in KINDS:
        predict.override(task_id=f"predict_{kind}")(train.override(task_id=f"train_{kind}")(kind))


models_dag = models()

if __name__ == "__main__":
    run = models_dag.test()
    for instance in sorted(run.get_task_instances(), key=lambda one: one.task_id):
        print("task:", instance.task_id, instance.state)  # noqa: T201

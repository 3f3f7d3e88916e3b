"""Trained models go from task to task in a real Airflow run; a forest needs the line that its refusal gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DAG = Path(__file__).with_name("dags") / "models.py"


def test_a_model_predicts_the_same_in_the_next_task(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
        "AIRFLOW__XCOM_CODECS__PATH": (tmp_path / "xcom").as_uri(),
    }
    _run(environment, "-m", "airflow", "db", "migrate")
    refused = _run(environment, str(DAG))
    assert {name: state for name, state in _states(refused).items() if "forest" not in name} == {
        "train_pipeline": "success",
        "predict_pipeline": "success",
    }
    line = re.search(r"\[core\] allowed_deserialization_classes = (\S+) \(after", refused)
    assert line is not None
    assert _states(refused)["train_forest"] == "failed"
    allowed = {"AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES": f"airflow.* {line[1]}"}
    states = _states(_run(environment | allowed, str(DAG)))
    assert states == dict.fromkeys(("train_pipeline", "predict_pipeline", "train_forest", "predict_forest"), "success")


def _run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _states(printed: str) -> dict[str, str]:
    lines = [line.split() for line in printed.splitlines() if line.startswith("task:")]
    return {name: state for _, name, state in lines}

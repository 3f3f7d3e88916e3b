"""A pipeline that one Python trained predicts the same, bit for bit, in another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from environments import ENVIRONMENTS, build, find_python

TRAIN = """
import sys
from pathlib import Path
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from airflow_xcom.codecs import encode

rows = np.random.default_rng(3).normal(size=(100, 4))
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, (rows[:, 0] > 0).astype(int))
Path(sys.argv[1]).write_bytes(encode([model, rows, model.predict_proba(rows)]).to_bytes())
"""
PREDICT = """
import json, sys
from pathlib import Path
from airflow_xcom.codecs import decode

model, rows, expected = decode(Path(sys.argv[1]).read_bytes(), "msgpack")
version = ".".join(map(str, sys.version_info[:2]))
print(json.dumps([version, len(rows), model.predict_proba(rows).tobytes() == expected.tobytes()]))
"""


@pytest.mark.other_pythons
@pytest.mark.parametrize("names", [("new-3.11", "new-3.13"), ("new-3.13", "new-3.11")])
def test_a_pipeline_predicts_the_same_in_another_python(names: tuple[str, str], tmp_path: Path) -> None:
    writer, reader = (ENVIRONMENTS[name] for name in names)
    assert find_python(writer.python)
    assert find_python(reader.python)
    build([writer, reader])
    writer.run("-W", "ignore", "-c", TRAIN, tmp_path / "model")
    found = json.loads(reader.run("-W", "ignore", "-c", PREDICT, tmp_path / "model"))
    assert found == [reader.python, 100, True]

"""A real Airflow, with Dags whose values are looked at in the Data tab."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local_airflow import LocalAirflow
from servers import BUCKET

ROOT = Path(__file__).resolve().parents[2]
FLIGHTS = ROOT / "example_dags" / "flights.py"
GALLERY = ROOT / "tests" / "system" / "dags" / "gallery.py"
LATENCY = 0.02  # seconds of a request to S3


@contextmanager
def started(
    folder: Path,
    dags: Sequence[Path],
    options: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
) -> Iterator[LocalAirflow]:
    """Airflow in an empty folder, with blobs in its folder ``xcom`` unless an option names another store.

    Args:
        folder: for Airflow's home and the folder of Dags.
        dags: the files with them.
        options: further variables of its processes.
        python: the interpreter with the Airflow that runs.
    """
    (folder / "dags").mkdir()
    (folder / "home").mkdir()
    for path in dags:
        (folder / "dags" / path.name).symlink_to(path)
    variables = {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__XCOM_CODECS__PATH": (folder / "xcom").as_uri(),
        "PYTHONPATH": os.environ["PYTHONPATH"],
        **(options or {}),
    }
    variables["PYTHONPATH"] = os.pathsep.join([str(folder / "dags"), variables["PYTHONPATH"]])
    with LocalAirflow(folder / "home", folder / "dags", variables, print, python) as airflow:
        yield airflow


@contextmanager
def serving(
    folder: Path, options: Mapping[str, str] | None = None, python: str | Path = sys.executable
) -> Iterator[Any]:
    """Airflow's URL, its folder of blobs, and the runs: of the demo's Dag one, of the gallery two."""
    with started(folder, (FLIGHTS, GALLERY), options, python) as airflow:
        runs = {"flights": airflow.run("flights"), "before": airflow.run("gallery")}
        runs["gallery"] = airflow.run("gallery", changed=True)
        yield SimpleNamespace(url=airflow.url, blobs=folder / "xcom", runs=runs)


def on_s3(server: Any, endpoint: str) -> dict[str, str]:
    """The options of an Airflow with its blobs in the bucket of a server, which it asks at an endpoint."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": server.key, "password": server.secret, "extra": extra}
    url = f"s3://tests@{BUCKET}/data-tab-{os.getpid()}"
    return {"AIRFLOW__XCOM_CODECS__PATH": url, "AIRFLOW_CONN_TESTS": json.dumps(connection)}

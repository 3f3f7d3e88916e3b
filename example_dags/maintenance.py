"""Retire old values and delete payloads that no XCom refers to, once a day.

Tasks of Airflow 3 cannot reach the metadata database.  So each task here runs the console command in a process of its
own, and passes it the address that the scheduler uses.  The connection ``xcom_metadata`` has as its password
what ``[database] sql_alchemy_conn`` is there:

    url=$(airflow config get-value database sql_alchemy_conn)
    airflow connections add xcom_metadata --conn-type generic --conn-password "$url"

Run ``airflow-xcom adopt`` once, where the scheduler runs: only the owner of a store may delete there.

The workers must reach that database and the stores: run this Dag on a queue of workers near them.  A task fails if the
database does not know the run of this very task: in the wrong database, no row would refer to any payload.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from airflow.sdk import Connection, Param, dag, task

CONNECTION = "xcom_metadata"


def run_command(context: Any, *arguments: str) -> None:
    """Run ``airflow-xcom`` as on the scheduler; its output is in the log, and the task fails if it fails."""
    url = Connection.get(CONNECTION).password
    if not url or not is_here(url, context["dag_run"]):
        raise ValueError(f"the connection {CONNECTION} does not lead to the metadata database of this Airflow")
    settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "_AIRFLOW_PROCESS_CONTEXT": "server"}
    # What Airflow sets for tasks, in the name that this option had before 2.3.
    inherited = {name: value for name, value in os.environ.items() if name != "AIRFLOW__CORE__SQL_ALCHEMY_CONN"}
    command = [sys.executable, "-P", "-m", "airflow_xcom.backend.cli", *arguments]
    subprocess.run(command, env=inherited | settings, check=True)  # noqa: S603 - our own interpreter


def is_here(url: str, dag_run: Any) -> bool:
    """Return whether a database knows this run."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    query = sqlalchemy.text("SELECT count(*) FROM dag_run WHERE dag_id = :dag AND run_id = :run AND state = 'running'")
    with engine.connect() as connection:
        runs = connection.execute(query, {"dag": dag_run.dag_id, "run": dag_run.run_id}).scalar_one()
    engine.dispose()
    return runs == 1


@task
def retain(**context: Any) -> None:
    """Retire what the tags of Dags and ``[xcom_codecs] keep`` do not keep any more."""
    run_command(context, "retain", "--apply")


@task
def sweep(**context: Any) -> None:
    """Delete the payloads that no XCom has referred to for a while."""
    seconds = [f"--{name}={context['params'][name]}" for name in ("grace", "wait")]
    run_command(context, "sweep", "--apply", *seconds)


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    is_paused_upon_creation=True,
    params={"grace": Param(86_400, type="integer", minimum=0), "wait": Param(300, type="integer", minimum=0)},
    tags=["airflow-xcom-codecs"],
)
def maintenance() -> None:
    """Run both; neither waits for the other to succeed."""
    retain()
    sweep()


maintenance()

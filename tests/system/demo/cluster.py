"""Run Airflow on two Celery workers that share no folder, and show that XComs go from one to the other.

python3 dev.py cluster         start it, run three Dags, check every value, and leave it running
python3 dev.py cluster stop    stop everything, and delete what it stored

PostgreSQL holds the metadata, Valkey is the broker, and blobs go to S3.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_api import AirflowFailedError, failures
from backing_services import BUCKET, SERVERS, ServiceFailedError, Services, start_services
from distributed_airflow import STORE, WORKERS, DistributedAirflow
from processes import STARTER, Processes, RunningError
from xcoms import judge

if TYPE_CHECKING:
    from collections.abc import Callable

STATE = Path(__file__).resolve().parents[3] / ".cluster.json"
IN_S3 = {"AIRFLOW__XCOM_CODECS__PATH": STORE}


def start(state: Path) -> int:
    """Start the cluster and show what it does; the exit code is 0 if all of it is as it must be."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything is stopped
    folder = Path(tempfile.mkdtemp(prefix="airflow-xcom-cluster-"))
    try:
        processes = Processes.create(state, {"folder": str(folder)})
    except RunningError:
        folder.rmdir()
        print(f"A cluster runs, or was not stopped: see {state}, and run the command with 'stop'", file=sys.stderr)
        return 1
    print(f"Logs are in {folder}: logs/ of the processes, worker-*/logs/ of the tasks", flush=True)
    try:
        passed = show(folder, processes)
    except KeyboardInterrupt:
        end(processes, folder)
        print("\nStopped before the runs were over", file=sys.stderr)
        return 130
    except (AirflowFailedError, ServiceFailedError) as error:
        end(processes)
        print(f"{error}\nEverything was stopped; the logs are left in {folder}", file=sys.stderr)
        return 1
    except BaseException:
        end(processes)
        raise
    if not passed:
        end(processes)
        print(f"Everything was stopped; the logs are left in {folder}", file=sys.stderr)
        return 1
    processes.leave()
    return 0


def show(folder: Path, processes: Processes) -> bool:
    """Start everything and run the Dags, first with the default store; whether what came back is right."""
    began = time.monotonic()

    def progress(done: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {done}", flush=True)

    (folder / "logs").mkdir()
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    services = start_services(folder, processes, progress)
    airflow = DistributedAirflow(folder, services, processes, progress)
    airflow.start()
    airflow.start_workers({})
    refused = refusal(airflow)
    airflow.stop_workers()
    airflow.start_workers(IN_S3)
    os.environ.update(airflow.environment("central") | IN_S3)  # before Airflow is imported: the backend reads it
    runs = {dag_id: succeed(airflow, dag_id) for dag_id in ("two_hosts", "flights", "many_frames")}
    facts = {**refused, **examine(airflow, services, runs), "seconds": round(time.monotonic() - began)}
    processes.facts |= {"url": airflow.url, **facts}
    print(f"\n{summary(facts)}\n\nAirflow's pages are at {airflow.url} until you run 'python3 dev.py cluster stop'")
    return right(facts)


def refusal(airflow: DistributedAirflow) -> dict[str, Any]:
    """What becomes of a value that the other host cannot read."""
    run_id, state = airflow.api.run("two_hosts")
    reasons = failures(airflow.task_logs("two_hosts", run_id))
    if state != "failed" or not reasons:
        raise AirflowFailedError(f"the run {run_id} has the state {state}, though the workers share no folder")
    return {"refused": reasons[-1], "blobs_in_folders_by_default": airflow.blobs_of_workers()}


def succeed(airflow: DistributedAirflow, dag_id: str) -> str:
    """Run a Dag, and return the run id.

    Raises:
        AirflowFailedError: a task failed.
    """
    run_id, state = airflow.api.run(dag_id)
    if state != "success":
        reasons = failures(airflow.task_logs(dag_id, run_id))
        raise AirflowFailedError("\n".join([f"the run {run_id} of {dag_id} ended as {state}", *reasons]))
    return run_id


def examine(airflow: DistributedAirflow, services: Services, runs: dict[str, str]) -> dict[str, Any]:
    """What the database, S3 and the folders of the workers hold after the runs."""
    rows = {dag_id: stored_rows(services, dag_id, run_id) for dag_id, run_id in runs.items()}
    stored = [(task, key, json.dumps(value)) for task, _, key, value in rows["flights"]]
    text, exact, all_exact = judge(stored, airflow.task_logs("flights", runs["flights"]))
    instances = airflow.api.task_instances("many_frames", runs["many_frames"])
    mapped = [instance for instance in instances if instance["task_id"] == "correct"]
    (compared,) = (value for task, _, key, value in rows["many_frames"] if (task, key) == ("compare", "return_value"))
    referred = {path for values in rows.values() for *_, value in values if (path := blob_of(value))}
    in_s3 = blobs_in_s3(services)
    return {
        "flights": text,
        "flights_exact": exact,
        "flights_all_exact": all_exact,
        "mapped": len(mapped),
        "mapped_compared": compared,
        "mapped_hosts": dict(sorted(Counter(instance["hostname"] for instance in mapped).items())),
        "blobs_in_rows": len(referred),
        "blobs_in_s3": len(in_s3),
        "blobs_of_rows_in_s3": len(referred & in_s3),
        "blobs_in_folders": airflow.blobs_of_workers(),
    }


def stored_rows(services: Services, dag_id: str, run_id: str) -> list[tuple[str, int, str, Any]]:
    """Task, map index, key and JSON value of every row of a run, in the order in which they were pushed."""
    import psycopg

    query = "SELECT task_id, map_index, key, value FROM xcom WHERE dag_id = %s AND run_id = %s ORDER BY timestamp, key"
    with psycopg.connect(services.database.replace("+psycopg", "")) as connection:
        return connection.execute(query, (dag_id, run_id)).fetchall()


def blob_of(value: Any) -> str | None:
    """The path of the blob that a row refers to, below the store."""
    envelope = value.get("airflow_xcom", {}) if isinstance(value, dict) else {}
    path: str | None = envelope.get("ref", {}).get("path")
    return path


def blobs_in_s3(services: Services) -> set[str]:
    """The paths of all objects below the store, as S3 lists them."""
    from obstore.store import S3Store

    prefix = STORE.rpartition("/")[2]
    store = S3Store(
        BUCKET,
        endpoint=services.endpoint,
        access_key_id=services.key,
        secret_access_key=services.secret,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    return {entry["path"].removeprefix(f"{prefix}/") for page in store.list(prefix) for entry in page}


def summary(facts: dict[str, Any]) -> str:
    """What was seen, for people."""
    compared, default = facts["mapped_compared"], counts(facts["blobs_in_folders_by_default"])
    lines = [
        ("file://", f"blobs in the folders of the workers: {default}; the other worker refused:"),
        ("", facts["refused"]),
        ("s3://", f"{facts['mapped']} mapped tasks: {counts(facts['mapped_hosts'])}"),
        ("", f"{compared['exact']} of {compared['frames']} frames exact"),
        ("", f"blobs: {facts['blobs_in_rows']} in rows, {facts['blobs_in_s3']} in S3"),
        ("", f"blobs in the folders of the workers: {counts(facts['blobs_in_folders'])}"),
        ("took", f"{facts['seconds']} s"),
    ]
    return "\n".join([facts["flights"], "", *(f"{name:<8} {text}" for name, text in lines)])


def counts(found: dict[str, int]) -> str:
    """Names with numbers."""
    return ", ".join(f"{name} {number}" for name, number in found.items())


def right(facts: dict[str, Any]) -> bool:
    """Whether every value was exact, on both workers, and every blob is in S3 alone."""
    return (
        facts["flights_all_exact"]
        and facts["mapped"] == facts["mapped_compared"]["frames"] == facts["mapped_compared"]["exact"]
        and set(facts["mapped_hosts"]) == set(WORKERS)
        and facts["blobs_in_rows"] == facts["blobs_of_rows_in_s3"] == facts["blobs_in_s3"] >= facts["mapped"]
        and not any(facts["blobs_in_folders"].values())
        and "OtherHostError" in facts["refused"]
    )


def stop(state: Path) -> int:
    """Stop what runs, from whatever shell it was started, and delete what it stored."""
    try:
        processes = Processes.load(state)
    except FileNotFoundError:
        print("No cluster runs")
        return 0
    folder = processes.facts.get("folder")
    ended = end(processes, Path(folder) if folder else None)
    print(f"Stopped: {', '.join(ended) or 'nothing was running'}")
    return 0


def end(processes: Processes, folder: Path | None = None) -> list[str]:
    """End all processes, undisturbed by Ctrl-C, and then delete the folder, if one is given.

    First who starts them, or else there might be more; the servers last, for the others use them to the end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    airflow = [name for name in processes.names if name not in SERVERS]
    ended = [*processes.stop(STARTER), *processes.stop(*airflow), *processes.stop(*SERVERS)]
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    processes.forget()
    return ended


def main() -> int:
    """Do what the first argument says."""
    commands: dict[str, Callable[[Path], int]] = {"start": start, "stop": stop}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=commands, default="start")
    parser.add_argument("--state", type=Path, default=STATE, help="the file that says what runs")
    arguments = parser.parse_args()
    return commands[arguments.command](arguments.state.absolute())


if __name__ == "__main__":
    sys.exit(main())

"""What real hooks and operators return goes from task to task in a real Airflow run, in two time zones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from database import postgres

DAG = Path(__file__).with_name("dags") / "hooks.py"
LISTED = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>1</KeyCount>
<IsTruncated>false</IsTruncated><Contents><Key>k</Key><LastModified>2024-07-01T12:00:00.000Z</LastModified>
<ETag>"0"</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""
AT = 1720000000.125
ANSWERS = {
    "/answer": {"id": 1, "big": 2**60, "x": 0.1, "items": [{"at": "2024-01-01T00:00:00Z"}, None]},
    "/s3/b": LISTED,
    "/s3/b/k": "",
    "/ecs": {
        "tasks": [{"taskArn": "t", "createdAt": AT, "cpu": "256", "containers": [{"exitCode": 0}]}],
        "failures": [],
    },
    "/glue": {"Table": {"Name": "t", "CreateTime": AT, "Retention": 0, "Parameters": {"k": "v"}}},
}


class Handler(BaseHTTPRequestHandler):
    """Answers as the services do."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = ANSWERS[self.path.partition("?")[0]]
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml" if isinstance(answer, str) else "application/json")
        self.send_header("Last-Modified", "Mon, 01 Jul 2024 12:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_HEAD = do_GET

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the same time always."""
        return super().date_time_string(0.0 if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_what_hooks_and_operators_return_comes_back(web: str, tmp_path: Path, zone: str) -> None:
    with postgres() as url:
        pg = url.replace("postgresql+psycopg:", "postgres:")
        connections = {
            "HOOKS_WEB": web,
            "HOOKS_LITE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "lite.db")}),
            "HOOKS_PG": pg,
            "HOOKS_PG_DICT": f"{pg}{'&' if '?' in pg else '?'}cursor=dictcursor",
            "HOOKS_PG_NAMED": f"{pg}{'&' if '?' in pg else '?'}cursor=namedtuplecursor",
        }
        environment = {
            **os.environ,
            **{f"AIRFLOW_CONN_{name}": url for name, url in connections.items()},
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
            "AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES": "airflow.* hook_models.* scipy.stats.*",
            "AIRFLOW__XCOM_CODECS__PATH": (tmp_path / "xcom").as_uri(),
            "HOOKS_WEB": web,
            "NO_PROXY": "127.0.0.1",
            "TZ": zone,
        }
        for command in (["-m", "airflow", "db", "migrate"], [str(DAG)]):
            done = subprocess.run(
                [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    states = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("task:")]
    failed = [name for name, state in states if state != "success"]
    assert {"take_answer", "take_glue", "take_pg_named"} <= {name for name, _ in states}
    assert not failed, f"{failed}\n{done.stdout}{done.stderr}"

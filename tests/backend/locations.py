"""The URL of each store in the tests, and the Airflow connection that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from leftovers import LEFTOVERS, Unpublished
from servers import BUCKET

Connection = dict[str, Any]
Location = Callable[[pytest.FixtureRequest], tuple[str, Connection]]


def _file(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    folder: Path = request.getfixturevalue("tmp_path")
    return (folder / "a folder").as_uri(), {}


def _s3(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    server: SimpleNamespace = request.getfixturevalue("seaweedfs")
    extra = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
    return "s3://tests@{bucket}/{prefix}", {
        "conn_type": "aws",
        "login": server.key,
        "password": server.secret,
        "extra": extra,
    }


def _gs(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    server: SimpleNamespace = request.getfixturevalue("fake_gcs")
    extra = {"keyfile_dict": json.dumps(service_account()), "gcs.endpoint": server.endpoint}
    return "gs://tests@{bucket}/{prefix}", {"conn_type": "google_cloud_platform", "extra": extra}


def _abfs(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    server: SimpleNamespace = request.getfixturevalue("azurite")
    return "abfs://tests@{bucket}/{prefix}", {
        "conn_type": "wasb",
        "host": server.endpoint,
        "login": server.account,
        "password": server.key,
    }


def _redis(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    server: SimpleNamespace = request.getfixturevalue("valkey")
    fields = {"conn_type": "redis", "host": server.host, "port": server.port, "password": server.password}
    return "redis://tests@/{prefix}", fields


def _memory(_: pytest.FixtureRequest) -> tuple[str, Connection]:
    return f"memory://xcom/ü {uuid4().hex}", {}


def _local(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"local://{folder}/a folder", {}


def _sftp(request: pytest.FixtureRequest) -> tuple[str, Connection]:
    server: SimpleNamespace = request.getfixturevalue("sftp")
    fields = {"host": server.host, "port": server.port, "login": server.login, "password": server.password}
    return "sftp://tests@/{prefix}", {"conn_type": "sftp", **fields, "extra": {"no_host_key_check": True}}


LOCATIONS: dict[str, Location] = {"file": _file, "s3": _s3, "gs": _gs, "abfs": _abfs, "redis": _redis}
FSSPEC: dict[str, Location] = {"memory": _memory, "local": _local, "sftp": _sftp}
SERVERS = {"s3": "seaweedfs", "gs": "fake_gcs", "abfs": "azurite", "redis": "valkey"}
MISSING_DATABASE = {"schema": "99"}  # a database of Valkey that is not there


@cache
def service_account() -> dict[str, str]:
    """The key file of an account that no server knows: the fake one takes every signature."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "client_email": "tests@example.org",
        "private_key_id": "the-private-key-id",
        "private_key": pem,
    }


class Locations:
    """Makes stores, each below a prefix that nothing else uses."""

    def __init__(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        self._request = request
        self._monkeypatch = monkeypatch

    def url(self, kind: str, *, bucket: str = BUCKET, endpoint: str = "", **changes: Any) -> str:
        """The URL of a store of this kind, and its connection in the environment; ``changes`` are to the connection."""
        url, connection = {**LOCATIONS, **FSSPEC}[kind](self._request)
        if not connection:
            return url
        if endpoint:
            changes |= _at(kind, endpoint)
        if kind == "redis" and bucket != BUCKET:
            changes |= MISSING_DATABASE
        extra = {**connection.get("extra", {}), **changes.pop("extra", {})}
        text = json.dumps({**connection, **changes, "extra": extra})
        self._monkeypatch.setenv("AIRFLOW_CONN_TESTS", text)
        # A prefix that has to be escaped, and is not another's.
        return url.format(bucket=bucket, prefix=f"ü {uuid4().hex}")

    def endpoint(self, kind: str) -> str:
        """The address of the server."""
        return str(self._request.getfixturevalue(SERVERS[kind]).endpoint)

    def unpublished(self, kind: str, url: str) -> Unpublished:
        """A function that gives the names of what the store holds but does not list; see leftovers.py."""
        return LEFTOVERS[kind](url, self._request)

    def secrets(self, kind: str) -> list[str]:
        """What of a connection nobody may see."""
        if kind == "gs":
            return [service_account()["private_key"], service_account()["private_key"].splitlines()[3]]
        _, connection = LOCATIONS[kind](self._request)
        return [connection["password"], *([connection["login"]] if kind == "s3" else [])]


def _at(kind: str, endpoint: str) -> Connection:
    """The fields of a connection that say where the server is."""
    if kind == "abfs":
        return {"host": endpoint}
    if kind == "redis":
        return {"host": urlsplit(endpoint).hostname, "port": urlsplit(endpoint).port}
    return {"extra": {{"s3": "endpoint_url", "gs": "gcs.endpoint"}[kind]: endpoint}}


@pytest.fixture
def locations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Locations:
    return Locations(request, monkeypatch)

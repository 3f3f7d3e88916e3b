"""What killed writers leave in a store that no listing of blobs shows, and by what a sweep can tell it from blobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from servers import BUCKET

Unpublished = Callable[[set[str]], set[str]]


def _of_files(url: str, _: pytest.FixtureRequest) -> Unpublished:
    base = Path(unquote(urlsplit(url).path))

    def unpublished(listed: set[str]) -> set[str]:
        found = {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}
        assert listed <= found
        for path in found - listed:
            name = path.rpartition("/")[2]
            assert name.startswith("."), path
            assert name.endswith(".tmp"), path
        return found - listed

    return unpublished


def _of_valkey(url: str, request: pytest.FixtureRequest) -> Unpublished:
    import redis

    server: SimpleNamespace = request.getfixturevalue("valkey")
    client = redis.Redis(port=server.port, password=server.password)
    prefix = unquote(urlsplit(url).path).strip("/") + "/"

    def unpublished(listed: set[str]) -> set[str]:
        keys = [key.decode() for key in client.scan_iter(f"{prefix}*", count=10_000)]
        lives = {key.removeprefix(prefix): client.ttl(key) for key in keys}
        assert listed <= set(lives)
        left = {path for path in lives if path.partition("#")[0] not in listed}
        for path in left:
            assert "#" in path, "a chunk"
            assert 0 < lives[path] <= 3600, "that goes by itself"
        assert all(lives[path] == -1 for path in set(lives) - left), "and no part of a blob does"
        return left

    return unpublished


def _of_s3(url: str, request: pytest.FixtureRequest) -> Unpublished:
    client = s3_client(request.getfixturevalue("seaweedfs"))
    prefix = unquote(urlsplit(url).path).strip("/") + "/"

    def unpublished(listed: set[str]) -> set[str]:
        """The uploads in parts that were begun: what a lifecycle rule of the bucket aborts by their age."""
        answer = client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix, MaxUploads=1000)
        assert not answer["IsTruncated"]
        for upload in answer.get("Uploads", ()):
            age = datetime.now(UTC) - upload["Initiated"]
            assert timedelta(seconds=-5) < age < timedelta(minutes=30)
        left = {upload["Key"].removeprefix(prefix) for upload in answer.get("Uploads", ())}
        assert not left & listed, "no blob is also an upload"
        return left

    return unpublished


def s3_client(server: SimpleNamespace) -> Any:
    """A client of the server that shares no code with the stores."""
    from botocore.session import Session

    key = {"aws_access_key_id": server.key, "aws_secret_access_key": server.secret}
    return Session().create_client("s3", endpoint_url=server.endpoint, region_name="us-east-1", **key)


LEFTOVERS: dict[str, Callable[[str, pytest.FixtureRequest], Unpublished]] = {
    "file": _of_files,
    "s3": _of_s3,
    "redis": _of_valkey,
}

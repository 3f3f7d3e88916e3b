"""What killed writers leave in a store that no listing of blobs shows, and by what a sweep can tell it from blobs."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, unquote, urlsplit

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
    server: SimpleNamespace = request.getfixturevalue("seaweedfs")
    prefix = unquote(urlsplit(url).path).strip("/") + "/"

    def unpublished(listed: set[str]) -> set[str]:
        """The uploads in parts that were begun: what a lifecycle rule of the bucket aborts by their age."""
        answer = _ask_s3(server, {"uploads": "", "prefix": prefix, "max-uploads": "1000"})
        assert "<IsTruncated>true" not in answer
        uploads = re.findall(r"<Upload>.*?</Upload>", answer, re.DOTALL)
        left = set()
        for upload in uploads:
            key, begun = (re.search(f"<{name}>(.*?)</{name}>", upload) for name in ("Key", "Initiated"))
            assert key is not None, upload
            assert begun is not None, upload
            age = datetime.now(UTC) - datetime.fromisoformat(begun[1])
            assert timedelta(seconds=-5) < age < timedelta(minutes=30)
            left.add(key[1].removeprefix(prefix))
        assert not left & listed, "no blob is also an upload"
        return left

    return unpublished


def _ask_s3(server: SimpleNamespace, query: dict[str, str]) -> str:
    """What the server says of the bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    host, now = urlsplit(server.endpoint).netloc, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    search = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in sorted(query.items()))
    headers = {"host": host, "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(), "x-amz-date": now}
    lines = [f"{name}:{text}" for name, text in headers.items()]
    names = ";".join(headers)
    canonical = "\n".join(["GET", f"/{BUCKET}", search, *lines, "", names, headers["x-amz-content-sha256"]])
    signed = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{server.secret}".encode()
    for part in [*scope.split("/"), signed]:
        key = hmac.digest(key, part.encode(), "sha256")
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={server.key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    http = HTTPConnection(host, timeout=60)
    http.request("GET", f"/{BUCKET}?{search}", headers=headers)
    answer = http.getresponse()
    text = answer.read().decode()
    http.close()
    assert answer.status == 200, text
    return text


LEFTOVERS: dict[str, Callable[[str, pytest.FixtureRequest], Unpublished]] = {
    "file": _of_files,
    "s3": _of_s3,
    "redis": _of_valkey,
}

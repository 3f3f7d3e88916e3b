"""Where blobs are kept in the tests that kill and race writers: a real store each, and how to see what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from valkey_server import valkey


@dataclass
class Place:
    """A store that processes share.

    Attributes:
        url: for ``[xcom_codecs] path``.
        unpublished: the names of what no listing shows and a sweep can tell from blobs; it fails on anything else.
        variables: of the environment, such as Airflow connections.
    """

    url: str
    unpublished: Callable[[set[str]], set[str]]
    variables: dict[str, str] = field(default_factory=dict)


@contextmanager
def files(folder: Path) -> Iterator[Place]:
    base = folder / "blobs"

    def unpublished(listed: set[str]) -> set[str]:
        found = {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}
        assert listed <= found
        for path in found - listed:
            name = path.rpartition("/")[2]
            assert name.startswith("."), path
            assert name.endswith(".tmp"), path
        return found - listed

    yield Place(base.as_uri(), unpublished)


@contextmanager
def valkeys(folder: Path) -> Iterator[Place]:
    with valkey(folder) as server, server.client() as client:

        def unpublished(listed: set[str]) -> set[str]:
            lives = {key.decode().removeprefix("xcom/"): client.ttl(key) for key in client.scan_iter()}
            assert listed <= set(lives)
            left = {path for path in lives if path.partition("#")[0] not in listed}
            for path in left:
                assert "#" in path, "a chunk"
                assert 0 < lives[path] <= 3600, "that goes by itself"
            assert all(lives[path] == -1 for path in set(lives) - left), "and no part of a blob does"
            return left

        connection = {"AIRFLOW_CONN_BLOBS": server.connection()}
        yield Place("redis://blobs@/xcom", unpublished, connection)


PLACES = {"files": files, "valkey": valkeys}

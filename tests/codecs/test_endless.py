"""Whatever part of a payload is forged to be an IP network, no codec takes more of its addresses than a few."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import test_classes  # noqa: F401 - the classes of some payloads

from airflow_xcom.codecs import CodecError, encode, registry
from airflow_xcom.codecs.payload import decode_json

GOLDEN = Path(__file__).parents[1] / "data/golden"
NETWORK = encode(ipaddress.ip_network("::/0")).to_json()
LARGEST = 4096  # characters of a payload
FEW = 10  # items that a codec takes of what must have some fixed number


def places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        yield from places(item, (*place, key))


def forged(node: Any, place: tuple[Any, ...]) -> Any:
    if not place:
        return NETWORK
    copy: Any = dict(node) if isinstance(node, dict) else list(node)
    copy[place[0]] = forged(node[place[0]], place[1:])
    return copy


def test_nothing_endless_is_iterated(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    def iterate(network: ipaddress.IPv6Network) -> Iterator[Any]:
        nonlocal taken
        for _ in range(10 * FEW):
            taken += 1
            yield network.network_address

    monkeypatch.setattr(ipaddress.IPv6Network, "__iter__", iterate)
    monkeypatch.setattr(registry, "_allows", lambda name: name.startswith("test_classes."))
    count = 0
    found: list[tuple[str, tuple[Any, ...]]] = []
    for path in sorted(GOLDEN.rglob("*.json")):
        data = json.loads(path.read_text())["data"]
        if len(json.dumps(data)) > LARGEST:
            continue
        for place in places(data):
            taken, count = 0, count + 1
            with suppress(CodecError):
                decode_json(forged(data, place))
            if taken > FEW:
                found.append((path.name, place))
    assert count > 2000
    assert not found

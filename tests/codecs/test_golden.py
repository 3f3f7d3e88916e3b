"""What was ever written is read."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgpack
import pytest
from golden_compressed import GOLDEN_COMPRESSED, GOLDEN_LISTS
from golden_values import GOLDEN_VALUES, ONE_RELEASE, is_allowed

from airflow_xcom.codecs import LibraryVersionError, decode, registry
from airflow_xcom.codecs.discovery import HOMES
from airflow_xcom.codecs.elements import decode_item, read_index
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import difference

pytestmark = pytest.mark.installation

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v1"
ROWS = {path: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(is_allowed)
    yield
    registry.allow_classes(before)


def test_there_is_a_payload_of_every_value() -> None:
    assert {row["name"] for row in ROWS.values()} >= set(GOLDEN_VALUES)
    assert len(ROWS) > 60


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_every_payload_is_read(path: Path) -> None:
    row = ROWS[path]
    expected = GOLDEN_VALUES[row["name"]]
    library, release = ONE_RELEASE.get(row["name"], ("numpy", metadata.version("numpy")))
    if metadata.version(library) != release:
        with pytest.raises(LibraryVersionError, match=f"needs {library} {release}"):
            decode_json(row["data"])
        return
    assert difference(expected(), decode_json(row["data"])) is None
    (blob,) = [path.with_suffix(f".{name}") for name in ("arrow", "msgpack") if path.with_suffix(f".{name}").exists()]
    assert difference(expected(), decode(blob.read_bytes(), blob.suffix[1:])) is None


@pytest.mark.parametrize("name", GOLDEN_COMPRESSED)
def test_every_compressed_payload_is_read(name: str) -> None:
    (blob,) = GOLDEN.with_name("v2").glob(f"{name}.*")
    make, _ = GOLDEN_COMPRESSED[name]
    assert difference(make(), decode(blob.read_bytes(), blob.suffix[1:])) is None


@pytest.mark.parametrize("name", GOLDEN_LISTS)
def test_every_list_with_an_index_is_read(name: str) -> None:
    (blob,) = GOLDEN.with_name("v3").glob(f"{name}.*")
    make, _ = GOLDEN_LISTS[name]
    memory = bytearray(blob.read_bytes())
    index = read_index(memoryview(memory), len(memory))
    items = [decode_item(index, at, memoryview(memory)[start:stop]) for at, (start, stop) in enumerate(index.ranges)]
    assert difference(make(), items) is None
    assert difference(make(), decode(memory, blob.suffix[1:])) is None


def test_every_tag_has_a_payload() -> None:
    found = {tag for row in ROWS.values() for tag in _tags(row["data"])}
    roots = {codec.tag: codec.tag.partition(".")[0] for codec in registry}
    ours = {tag for tag, root in roots.items() if root == tag or root in HOMES}
    assert ours - found == set()


def _tags(data: Any) -> set[str]:
    match data:
        case {"$": [str(tag), int(), node]}:
            return {tag} | _tags(node)
        case {"$": ["blob", str(text)]}:
            unpacker = msgpack.Unpacker(strict_map_key=False)
            unpacker.feed(b64decode(text))
            return {tag for tag, _ in unpacker.unpack()[2]}
        case dict():
            return set().union(*map(_tags, data.values()))
        case list():
            return set().union(*map(_tags, data))
    return set()

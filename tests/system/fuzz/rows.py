"""Rows as they stand in the database, through the backend: envelopes, references, the file store, and the purge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import atheris
import xxhash
from guard import Guard
from payloads import GOLDEN

with atheris.instrument_imports(include=["airflow_xcom"]):
    import airflow_xcom.backend.blobs  # noqa: F401 - which the backend would import late, without instruments
    from airflow_xcom.backend import CodecXComBackend
    from airflow_xcom.backend.envelope import ENVELOPE_KEY, Coordinate, Envelope, Reference
    from airflow_xcom.backend.settings import settings
    from airflow_xcom.codecs import encode

_SECRET = "what lies outside of the store"
_COORDINATE = Coordinate("dag", "run", "task", -1, "key")
_PREFIX = "dag/run/task/-1/key."
_ITEMS = 8  # of a dict whose row refers to the payloads of its keys
_SECRETS = f"dag/link/task/-1/key.{1:032x}.msgpack", f"{_PREFIX}{'f' * 32}.msgpack"  # below a link, and a link


def target(folder: Path) -> tuple[Callable[[bytes], list[Callable[[], Any]]], dict[str, bytes], Guard]:
    """What reads a row, the golden payloads as rows, and a guard that lets the store be used."""
    base, outside = folder / "store", folder / "outside"
    golden = [path for path in sorted(GOLDEN.glob("*.*")) if path.suffix != ".json"]
    blobs = {f"{_PREFIX}{number:032x}{path.suffix}": path.read_bytes() for number, path in enumerate(golden)}
    secret = encode(_SECRET).to_bytes()
    (base / _PREFIX).parent.mkdir(parents=True, exist_ok=True)
    outside.mkdir(exist_ok=True)
    within, file = _SECRETS
    (outside / "task/-1").mkdir(parents=True, exist_ok=True)
    (outside / within.removeprefix("dag/link/")).write_bytes(secret)
    for link, to in ((base / "dag/link", outside), (base / file, outside / within.removeprefix("dag/link/"))):
        link.unlink(missing_ok=True)
        link.symlink_to(to)
    for name, blob in blobs.items():
        (base / name).write_bytes(blob)
    url = base.as_uri()
    assert settings().path == url

    named = zip(golden, blobs.items(), strict=True)
    rows = {path.name: _row(_reference(url, name, blob)) for path, (name, blob) in named}
    for path in sorted(GOLDEN.glob("*.json")):
        rows[path.name] = _row(json.loads(path.read_text())["data"])
    rows["items"] = json.dumps(_of_items(url, base, blobs)).encode()
    for name in (*_SECRETS, f"../outside/{within.removeprefix('dag/link/')}"):
        rows[name.replace("/", " ")] = json.dumps(_forged(url, name, secret)).encode()

    def read(data: bytes) -> list[Callable[[], Any]]:
        try:
            row = json.loads(data)
        except (ValueError, RecursionError):
            return []
        if not isinstance(row, dict) or row.keys() != {ENVELOPE_KEY}:
            return []  # stock Airflow's, which reads it itself
        xcom = SimpleNamespace(value=_resealed(row, blobs), key="key")
        return [lambda: _pull(xcom), lambda: _purge(xcom, base, blobs)]

    return read, rows, Guard(base)


def _row(content: Any) -> bytes:
    reference = content if isinstance(content, Reference) else None
    envelope = Envelope("dict", {}, _COORDINATE, data=None if reference else content, reference=reference)
    return json.dumps(envelope.to_json()).encode()


def _of_items(url: str, base: Path, blobs: dict[str, bytes]) -> Any:
    """Return a row with the references of some keys, each with a blob of its own, which is added to the blobs."""
    items = []
    for number, (name, blob) in enumerate(list(blobs.items())[:: len(blobs) // _ITEMS]):
        at = Coordinate(*_COORDINATE.to_json()[:4], f"item{number}")
        path = name.replace("/key.", f"/item{number}.")
        (base / path).write_bytes(blob)
        blobs[path] = blob
        items.append(Envelope("dict", {}, at, reference=_reference(url, path, blob)))
    items.append(Envelope("int", {}, Coordinate(*_COORDINATE.to_json()[:4], "in the row"), data=1))
    return Envelope("dict", {}, _COORDINATE, items=tuple(items)).to_json()


def _reference(url: str, path: str, blob: bytes) -> Reference:
    return Reference("default", url, path, len(blob), Path(path).suffix[1:], _digest(blob))


def _forged(url: str, path: str, blob: bytes) -> Any:
    row = json.loads(_row(_reference(url, "x.msgpack", blob)))
    row[ENVELOPE_KEY]["ref"]["path"] = path
    row[ENVELOPE_KEY]["of"][1] = path.split("/")[1]
    return row


def _digest(blob: bytes) -> str:
    return f"xxh3-128:{xxhash.xxh3_128(blob).hexdigest()}"


def _resealed(row: Any, blobs: dict[str, bytes]) -> Any:
    """The row, with the size and digest of the blob that its reference names by now."""
    content = row["airflow_xcom"] if isinstance(row["airflow_xcom"], dict) else {}
    items = content.get("items")
    for each in (content, *(items if isinstance(items, list) else ())):
        match each:
            case {"ref": {"path": str(path)} as reference} if path in blobs:
                reference["size"], reference["digest"] = len(blobs[path]), _digest(blobs[path])
    return row


def _pull(xcom: Any) -> Any:
    value = CodecXComBackend.deserialize_value(xcom)
    if isinstance(value, str) and value == _SECRET:
        raise PermissionError("a row read what lies outside of the store")
    return value


def _purge(xcom: Any, base: Path, blobs: dict[str, bytes]) -> None:
    CodecXComBackend.purge(xcom)
    match xcom.value:
        case {"airflow_xcom": {"ref": {"path": str(path)}}} if path in blobs and not (base / path).exists():
            (base / path).write_bytes(blobs[path])

"""What every codec must do, checked with values of its type: exact or refused, in row and blob, every time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import EncodeError, NewerFormatError
from airflow_xcom.codecs.inspection import outline_json
from airflow_xcom.codecs.nodes import Buffer
from airflow_xcom.codecs.payload import Payload, decode, decode_json, encode
from airflow_xcom.codecs.registry import Registry, registry
from airflow_xcom.codecs.testing.identical import difference, shorten

COMPRESSIONS = ("none", "lz4", "zstd", "auto")
_ADDED = "set_by_somebody"
_LARGE = 4096  # bytes from which on memory is a chunk of its own


def check_codec(  # noqa: PLR0913 - what there is to choose
    codec: Codec | str | None,
    values: Iterable[Any],
    *,
    refused: Iterable[Any] = (),
    stored: Iterable[tuple[Any, Any]] = (),
    may_copy: bool = False,
    registry: Registry = registry,
) -> None:
    """Check that values come back identical from every syntax and compression, and that a codec keeps all the rules.

    Args:
        codec: a registered codec, or its tag; None for whichever the values have, whose versions are not checked.
        values: what the codec must keep: the odd values of its type (empty, NaN, the largest, more than 4 KiB).
        refused: what ``encode`` must refuse.
        stored: rows, as ``encode(value).to_json()`` once gave them, of each earlier version, and the value of each.
        may_copy: whether ``encode`` may copy large memory into its ``Buffer`` nodes.
        registry: where the codec is registered.

    Raises:
        AssertionError: a rule is broken; the text says which, for which value, and what to do.
    """
    known = registry.for_tag(codec, 1) if isinstance(codec, str) else codec
    if known is not None and registry.for_tag(known.tag, 1) is not known:
        raise AssertionError(f"{known!r} is not registered; call register() of the registry before")
    kept = list(values)
    if not kept:
        raise AssertionError("there are no values to check; give the odd ones of the type: empty, NaN, the largest")
    for value in kept:
        _Check(value, known, registry).run(may_copy=may_copy)
    for value in refused:
        _check_refusal(kept[0], value, registry)
    if known is not None:
        _check_versions(known, list(stored), registry)


@dataclass(frozen=True)
class _Check:
    """The checks of one value."""

    value: Any
    codec: Codec | None
    registry: Registry

    def run(self, *, may_copy: bool) -> None:
        registry = self.registry
        payload = self._encode()
        if self.codec is not None:
            self._check_tag(self.codec, payload)
        blob = payload.to_bytes()
        self._compare(decode_json(through_jsonb(payload.to_json()), registry=registry), "the row")
        self._check_same_bytes(blob)
        for compression in COMPRESSIONS:
            packed = encode(self.value, compression=compression, registry=registry)
            self._compare(
                decode(packed.to_bytes(), packed.format, registry=registry),
                f"the blob with compression {compression!r}",
            )
        nested = encode([self.value, (self.value,)], registry=registry)
        for at, back in enumerate(decode(nested.to_bytes(), nested.format, registry=registry)):
            self._compare(back[0] if at else back, "a tuple" if at else "a list")
        if self.codec is not None and not may_copy:
            self._check_buffers(self.codec)
        self._check_attributes()

    def _fail(self, what: str, remedy: str) -> None:
        raise AssertionError(f"{shorten(self.value)} {what}; {remedy}")

    def _encode(self) -> Payload:
        try:
            return encode(self.value, registry=self.registry)
        except EncodeError as error:
            remedy = "teach encode to keep it, or list the value in refused="
            raise AssertionError(f"{shorten(self.value)} is refused ({error}); {remedy}") from error

    def _check_tag(self, codec: Codec, payload: Payload) -> None:
        if payload.tag != codec.tag:
            self._fail(f"is encoded by {payload.tag!r}, not {codec.tag!r}", "name its class in the codec's types")

    def _compare(self, back: Any, source: str) -> None:
        if found := difference(self.value, back):
            remedy = "let decode restore it, or let encode refuse such values with UnsupportedValueError"
            self._fail(f"comes back otherwise from {source}: {found}", remedy)

    def _check_same_bytes(self, blob: bytes) -> None:
        if encode(self.value, registry=self.registry).to_bytes() != blob:
            self._fail("is written otherwise the second time", "sort what encode takes from a set, and draw nothing")

    def _check_attributes(self) -> None:
        """Check that an attribute is refused which somebody set, where the codec says which ones there may be."""
        codec = self.registry.for_type(type(self.value))
        own = getattr(self.value, "__dict__", None)
        if codec is None or codec.attributes is None or type(own) is not dict:
            return
        own[_ADDED] = 1
        try:
            encode([self.value], registry=self.registry)
        except EncodeError:
            return
        finally:
            own.pop(_ADDED, None)
        self._fail("loses an attribute that somebody set", "pass the names that it may have as the codec's attributes=")

    def _check_buffers(self, codec: Codec) -> None:
        nodes = [list(_buffers(codec.encode(self.value))) for _ in range(2)]
        for one, other in zip(*nodes, strict=True):
            if one.nbytes >= _LARGE and _address(one) != _address(other):
                remedy = "wrap the value's own memory in Buffer, or pass may_copy=True"
                self._fail(f"has {one.nbytes} bytes that encode copies", remedy)


def _buffers(node: Any) -> Iterator[memoryview]:
    if isinstance(node, Buffer):
        yield memoryview(node.data)
    elif type(node) in (list, tuple, dict):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _buffers(item)


def _address(memory: memoryview) -> int:
    import numpy as np

    return np.frombuffer(memory, np.uint8).ctypes.data


def _check_refusal(kept: Any, value: Any, registry: Registry) -> None:
    """Check that a value is refused on purpose."""
    remedy = "raise UnsupportedValueError in encode, with what to do instead"
    try:
        encode({"kept": kept, "here": [value]}, registry=registry)
    except EncodeError as error:
        if type(error) is EncodeError:  # made of what encode happened to raise
            raise AssertionError(f"{shorten(value)} makes encode fail ({error}); {remedy}") from error
        return
    raise AssertionError(f"{shorten(value)} is not refused; {remedy}")


def _check_versions(codec: Codec, stored: list[tuple[Any, Any]], registry: Registry) -> None:
    """Check that every version up to the codec's is read, and no newer one."""
    versions = {_version(codec, row) for row, _ in stored}
    if missing := set(range(1, codec.version)) - versions:
        remedy = f"pass stored=[(row, value), ...] with a row of {codec.tag!r} as each of them wrote it"
        raise AssertionError(f"no payload shows that the versions {sorted(missing)} are read; {remedy}")
    for row, value in stored:
        if found := difference(value, decode_json(through_jsonb(row), registry=registry)):
            remedy = f"let decode read version {_version(codec, row)} as before"
            raise AssertionError(f"a stored row of {codec.tag!r} gives another value: {found}; {remedy}")
    try:
        decode_json({"$": [codec.tag, codec.version + 1, None]}, registry=registry)
    except NewerFormatError:
        return
    raise AssertionError(f"a version newer than {codec!r} is not refused; register the codec with its version=")


def _version(codec: Codec, row: Any) -> int:
    found = outline_json(row)
    tree = found.get("tree", {"tag": found.get("tag"), "version": found.get("tag_version")})
    if tree.get("tag") == codec.tag:
        return int(tree["version"])
    raise AssertionError(f"{shorten(row)} is no row of {codec.tag!r}; take what encode(value).to_json() gives")


# -- the database --------------------------------------------------------------------------------------------


def through_jsonb(row: Any) -> Any:
    """Return a row as a column of PostgreSQL's type JSONB gives it back: other order of keys, other zeros.

    Raises:
        ValueError: the row has what JSON or the database refuses: NaN, infinity, a NUL or lone surrogates.
    """
    return _stored(json.loads(json.dumps(row, allow_nan=False), parse_float=Decimal))


def _stored(value: Any) -> Any:
    """Order keys by length and then bytewise; write numbers as ``numeric``: without exponent, or sign of a zero."""
    if isinstance(value, dict):
        order = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {_checked(key): _stored(value[key]) for key in order}
    if isinstance(value, list):
        return [_stored(item) for item in value]
    if isinstance(value, Decimal):
        return json.loads(f"{value or abs(value):f}")
    return _checked(value) if isinstance(value, str) else value


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"PostgreSQL refuses the NUL in {text!r}")
    text.encode()
    return text

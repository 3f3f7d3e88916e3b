"""What a row holds for a value that is not stored as itself: the envelope, and the reference to a blob."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from os import urandom
from typing import Any
from urllib.parse import unquote

from airflow_xcom.backend.asset_version import AssetVersion
from airflow_xcom.backend.errors import ForeignReferenceError, ForgedReferenceError
from airflow_xcom.backend.path_segments import digest, escaped, segment
from airflow_xcom.codecs import CorruptPayloadError, NewerFormatError

ENVELOPE_KEY = "airflow_xcom"
RESULT = "return_value"  # Airflow's XCOM_RETURN_KEY
# What the keys of a task's notes begin with: of versions that it has published, and of those that its run reads, which
# stay when the task is cleared.
PUBLISHED, PINNED = "xcom_codecs.published.", "xcom_codecs.pin."
ENVELOPE_VERSION = 3  # the newest; 1 is written wherever there is a value, of which nothing stands in other rows
# Bytes; file systems take 255 for a name, a temporary file has a longer one, and an S3 key may have 1,024 in all.
_LONGEST_SEGMENT = 160
_LONGEST_TEXT = 4096  # characters
_TEXT = frozenset({str})
_LARGEST = 1 << 63  # bytes; no file system has larger files
LARGEST_INDEX = 1 << 28  # bytes; each element of a list takes some 40
_BELOW_RUN = re.compile(r"([^/]+)/([^/]+)/([^/]+)/(-?\d+)/(.+)\.[0-9a-f]{16}-[^/]*")
_UNIQUE = re.compile(r"[0-9a-f]{32}(\.arrow|\.msgpack)?")
_NO_SEGMENTS = frozenset({"", ".", ".."})
_NO_OPTIONS = (None,) * 4  # of a reference
_PARTS = 5  # of a coordinate
_quoted = json.encoder.encode_basestring_ascii  # of texts far faster than json.dumps()
_FACTS = frozenset({"version", "tag", "summary", "of", "from", "inexact", "asset"})  # keys beside a payload
_LEAST_FACTS = 5  # version, tag, summary, of, and the payload
_LAST_SECOND = 253_402_300_799  # of the year 9999


# Not frozen: that makes an object in twice or three times the time, and every push and pull makes some of these.


@dataclass(slots=True, unsafe_hash=True)
class Coordinate:
    """Which XCom; a part that Airflow did not tell is None."""

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        return f"dag={self.dag_id} run={self.run_id} task={self.task_id} map_index={self.map_index} key={self.key}"

    def agrees_with(self, other: Coordinate) -> bool:
        """Return whether no part that both know differs."""
        for part, known in zip(self.to_json(), other.to_json()):  # noqa: B905 - both have five
            if part is not None and known is not None and part != known:
                return False
        return True

    def to_json(self) -> list[Any]:
        """Return the five parts in order."""
        return [self.dag_id, self.run_id, self.task_id, self.map_index, self.key]

    def prefix(self) -> str:
        """Return what the paths of its blobs begin with: ``dag/run/task/map index/key.<hash>-``, escaped.

        The hash is of the whole coordinate, so that a path tells for which XCom it was made.
        """
        dag, run, task, index, key = known = _known(self)
        dag, run, task, key = ["null" if text is None else _quoted(text) for text in (dag, run, task, key)]
        return f"{_prefix(known, segment)}{digest(f'[{dag}, {run}, {task}, {index}, {key}]')}-"

    def former_prefix(self) -> str | None:
        """Return what such paths of 0.1.0.dev0 began with, which had no hash; None if it wrote no such blobs."""
        return _prefix(_known(self), _cut_segment)

    @classmethod
    def from_json(cls, value: Any) -> Coordinate:
        """Return the coordinate that :meth:`to_json` wrote; an empty one for anything else."""
        if type(value) is not list or len(value) != _PARTS:
            return cls()
        dag, run, task, index, key = value
        for text in (dag, run, task, key):
            if text is not None and (type(text) is not str or len(text) > _LONGEST_TEXT):
                return cls()
        return cls(*value) if index is None or type(index) is int else cls()


@dataclass(slots=True, unsafe_hash=True)
class Reference:
    """Where a blob is, and what must be found there.

    Attributes:
        store: the name of the store.
        url: the store's URL when the blob was written.
        path: of the blob below the store's base, with ``/`` between its segments.
        size: bytes.
        format: of the payload: ``"arrow"`` or ``"msgpack"``.
        digest: ``"xxh3-128:"`` and the digest in hexadecimal.
        host: where it was written, if the store is a folder.
        expires: Unix time until which the store keeps it, if it has a time to live.
        index_size: bytes of the header, if the payload is a list whose elements can be read singly.
        index_digest: of the header, then.

    Raises:
        ForgedReferenceError: A field is not what this backend writes, or the path would leave the store.
    """

    store: str
    url: str
    path: str
    size: int
    format: str
    digest: str
    host: str | None = None
    expires: int | None = None
    index_size: int | None = None
    index_digest: str | None = None

    def __post_init__(self) -> None:
        if not (_are_short_texts(self.store, self.url, self.path, self.format, self.digest) and _is_size(self.size)):
            raise ForgedReferenceError("the reference in the row is malformed")
        if (self.host, self.expires, self.index_size, self.index_digest) != _NO_OPTIONS:
            self._check_options()
        if not _NO_SEGMENTS.isdisjoint(self.path.split("/")) or not self.path.isprintable():
            raise ForgedReferenceError(f"the path {self.path!r} in the row's reference leaves the store")
        if "\\" in self.path:
            raise ForgedReferenceError(f"the path {self.path!r} in the row is not one that this backend writes")

    def _check_options(self) -> None:
        texts = [text for text in (self.host, self.index_digest) if text is not None]
        numbers = [number for number in (self.expires, self.index_size) if number is not None]
        if not _are_short_texts(*texts) or not all(map(_is_size, numbers)):
            raise ForgedReferenceError("the reference in the row is malformed")
        if self.index_size is not None and self.index_size > min(self.size, LARGEST_INDEX):
            raise ForgedReferenceError("the index in the row's reference is larger than one that this backend writes")
        if self.expires is not None and self.expires > _LAST_SECOND:
            raise ForgedReferenceError("the expiry in the row's reference is out of range")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: item for name in self.__slots__ if (item := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, value: Any) -> Reference:
        """Return the reference; raise ForgedReferenceError for anything that :meth:`to_json` does not write."""
        try:
            return cls(**value)
        except TypeError as error:
            raise ForgedReferenceError("the reference in the row is malformed") from error


@dataclass(frozen=True, slots=True)
class Retirement:
    """What is left of a value that retention removed.

    Attributes:
        at: when, in ISO 8601, in UTC.
        rule: by which rule, as its author wrote it.
    """

    at: str
    rule: str

    @classmethod
    def from_json(cls, value: Any) -> Retirement:
        """Return the retirement; raise CorruptPayloadError for anything that retention does not write."""
        match value:
            case {"at": str(at), "rule": str(rule), **payload} if not payload and _are_short_texts(at, rule):
                return cls(at, rule)
        raise CorruptPayloadError("the row says that its value was retired, but not when and by which rule")


@dataclass(frozen=True, slots=True)
class Inexact:
    """What of a value is stored as Airflow itself would, because it cannot come back exactly.

    Attributes:
        count: of such parts.
        places: of the first of them, as Python would write them, if the row may show cells.
    """

    count: int
    places: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the count and the places."""
        return {"count": self.count, "places": list(self.places)}

    @classmethod
    def from_json(cls, value: Any) -> Inexact:
        """Return what :meth:`to_json` wrote; raise CorruptPayloadError for anything else."""
        match value:
            case {"count": int(count), "places": list(places), **others} if not others and _are_short_texts(*places):
                return cls(count, tuple(places))
        raise CorruptPayloadError("the row says that its value is not exact, but not where")


@dataclass(slots=True)
class Envelope:
    """A value that is not stored as itself, as the row holds it.

    Attributes:
        tag: of the outermost codec.
        summary: a few facts for people.
        coordinate: for which XCom it was written.
        data: the value in the JSON syntax, if it is inline.
        reference: where it is otherwise.
        items: of a dict, if each is kept by itself: their envelopes, whose keys are those of the dict.
        retired: when and why it is neither any more.
        suppliers: for each tag in it that is not a built-in one, the distribution or the file that had its codec.
        inexact: what of it does not come back as it was; None if all does.
        asset: which version of an asset it is, if a task published it.
    """

    tag: str
    summary: dict[str, Any]
    coordinate: Coordinate
    data: Any = None
    reference: Reference | None = None
    suppliers: dict[str, str] = field(default_factory=dict)
    retired: Retirement | None = None
    inexact: Inexact | None = None
    asset: AssetVersion | None = None
    items: tuple[Envelope, ...] = ()

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return where its blobs are."""
        own = () if self.reference is None else (self.reference,)
        return (*own, *(found for item in self.items for found in item.references))

    def copied(self, at: Coordinate, copy: Callable[[Reference, Coordinate], Reference]) -> Envelope:
        """Return the envelope for an XCom, with what ``copy`` makes of each reference for that, or of its item."""
        items = tuple(item.copied(replace(at, key=item.coordinate.key), copy) for item in self.items)
        reference = None if self.reference is None else copy(self.reference, at)
        return replace(self, coordinate=at, reference=reference, items=items)

    def check_origin(self, asked: Coordinate) -> None:
        """Raise ForeignReferenceError unless the value and its blob were written for the XCom that is asked for."""
        if not self.coordinate.agrees_with(asked):
            raise ForeignReferenceError(str(asked), str(self.coordinate))
        if self.reference is not None and not is_path_of(self.reference.path, self.coordinate, self.asset):
            raise ForeignReferenceError(str(self.coordinate), self.reference.path)
        for item in self.items:
            at = replace(self.coordinate, key=item.coordinate.key)
            if item.coordinate != at:
                raise ForeignReferenceError(str(at), str(item.coordinate))
            item.check_origin(at)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value of the row."""
        content: dict[str, Any] = {
            "version": 3 if self.items else 1 if self.retired is None else 2,
            "tag": self.tag,
            "summary": self.summary,
            "of": self.coordinate.to_json(),
        }
        if self.suppliers:
            content["from"] = self.suppliers
        if self.inexact is not None:
            content["inexact"] = self.inexact.to_json()
        if self.asset is not None:
            content["asset"] = self.asset.to_json()
        if self.items:
            content["items"] = [item.to_json()[ENVELOPE_KEY] for item in self.items]
        elif self.retired is not None:
            content["retired"] = asdict(self.retired)
        elif self.reference is not None:
            content["ref"] = self.reference.to_json()
        else:
            content["data"] = self.data
        return {ENVELOPE_KEY: content}

    @classmethod
    def from_json(cls, value: Any, kind: type[Coordinate] = Coordinate) -> Envelope | None:
        """Return the envelope that a row holds, or None if it holds something else.

        Args:
            value: the JSON value of the row.
            kind: of coordinate that an envelope in such a row has.

        Raises:
            CorruptPayloadError: The row has our key, and is not an envelope.
            NewerFormatError: A newer release wrote the row.
        """
        if not isinstance(value, dict) or ENVELOPE_KEY not in value or len(value) != 1:
            return None
        content = value[ENVELOPE_KEY]
        version = content.get("version") if type(content) is dict else None
        if type(version) is int and version > ENVELOPE_VERSION:
            raise NewerFormatError("the envelope in the row", version, ENVELOPE_VERSION)
        envelope = cls._from_content(content, version, kind) if type(version) is int and version >= 1 else None
        if envelope is None:
            raise CorruptPayloadError(f"the row has the key {ENVELOPE_KEY!r} and is not an envelope of this backend")
        return envelope

    @classmethod
    def _from_content(  # noqa: PLR0911 - one for each form
        cls, content: dict[str, Any], version: int, kind: type[Coordinate]
    ) -> Envelope | None:
        """Return the envelope of this version, or None if the content is not one; plain look-ups, for every pull."""
        tag, summary, suppliers = content.get("tag"), content.get("summary"), content.get("from", {})
        if type(tag) is not str or type(summary) is not dict or type(suppliers) is not dict or "of" not in content:
            return None
        facts = tag, summary, kind.from_json(content["of"])
        if len(content) == _LEAST_FACTS and "data" in content:  # nothing beside these, as of most values in rows
            return cls(*facts, content["data"])
        inexact = None if content.get("inexact") is None else Inexact.from_json(content["inexact"])
        payload = content.keys() - _FACTS
        if payload == {"data"}:
            return cls(*facts, data=content["data"], suppliers=suppliers, inexact=inexact)
        asset = None if content.get("asset") is None else AssetVersion.from_json(content["asset"])
        if payload == {"ref"}:
            reference = Reference.from_json(content["ref"])
            return cls(*facts, reference=reference, suppliers=suppliers, inexact=inexact, asset=asset)
        if version != 1 and payload == {"retired"}:
            return cls(*facts, retired=Retirement.from_json(content["retired"]))
        if version == ENVELOPE_VERSION and payload == {"items"} and kind is Coordinate:
            items = cls._items_of(content["items"])
            return None if items is None else cls(*facts, items=items, suppliers=suppliers, inexact=inexact)
        return None

    @classmethod
    def _items_of(cls, contents: Any) -> tuple[Envelope, ...] | None:
        """Return the envelopes of the items of a dict; None if they are not ones."""
        if type(contents) is not list or any(type(each) is not dict or each.get("version") != 1 for each in contents):
            return None
        items = [cls._from_content(each, 1, Coordinate) for each in contents]
        found = tuple(item for item in items if item is not None and item.asset is None)
        keys = {item.coordinate.key for item in found} - {None}
        return found if found and len(keys) == len(items) else None


def _are_short_texts(*parts: Any) -> bool:
    """Return whether these are texts, and none is so long that only a forger writes it: messages quote all of these."""
    return _TEXT.issuperset(map(type, parts)) and max(map(len, parts), default=0) <= _LONGEST_TEXT


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < _LARGEST


def unique_path(coordinate: Coordinate, suffix: str, asset: AssetVersion | None = None) -> str:
    """Return a path that no other blob has: what those of this coordinate, or of this version, begin with, and a name.

    That of a version of an asset tells for which asset, and by which task.
    """
    return f"{_new_prefix(coordinate, asset)}{urandom(16).hex()}{suffix}"


def run_prefix(dag_id: str, run_id: str) -> str:
    """Return what the paths of a run's XComs begin with."""
    return f"{segment(dag_id)}/{segment(run_id)}/"


def may_be_of_run(path: str, dag_id: str, run_id: str) -> bool:
    """Return whether a path below :func:`run_prefix` may have been made for this run, as far as it tells.

    File systems that take "A" for "a" show the blobs of one Dag in the folder of another, too.
    """
    match = _BELOW_RUN.fullmatch(path)
    if match is None or "..." in path:  # it has no hash, or was cut
        return True
    dag, run, task_id, index, key = map(unquote, match.groups())
    if "_" in (dag, run, task_id, key):  # in place of what was not told
        return True
    return is_path_of(path, Coordinate(dag_id, run_id, task_id, int(index), key))


def is_path_of(path: str, coordinate: Coordinate, asset: AssetVersion | None = None) -> bool:
    """Return whether :func:`unique_path` made a path for this coordinate."""
    prefix = _new_prefix(coordinate, asset)
    if asset is None and not path.startswith(prefix):
        prefix = coordinate.former_prefix() or prefix
    return path.startswith(prefix) and _UNIQUE.fullmatch(path, len(prefix)) is not None


def _new_prefix(coordinate: Coordinate, asset: AssetVersion | None) -> str:
    return coordinate.prefix() if asset is None else asset.path_prefix(_known(coordinate)[:-1])


def _known(coordinate: Coordinate) -> list[Any]:
    """Return the parts; a task that is not mapped has the index -1, told or not."""
    dag, run, task, map_index, key = coordinate.to_json()
    return [dag, run, task, -1 if map_index is None else map_index, key]


def _prefix(known: list[Any], named: Callable[[str | None], str]) -> str:
    return "/".join(map(named, (*known[:3], str(known[3]), known[4]))) + "."


def _cut_segment(text: str | None) -> str:
    """Return a segment of a path of 0.1.0.dev0, which other texts may have too."""
    whole = escaped(text)
    return whole if len(whole) <= _LONGEST_SEGMENT else whole[: _LONGEST_SEGMENT - 3].rstrip("%") + "..."

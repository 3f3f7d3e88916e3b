"""A version of an asset: which asset and partition, and what decides whether it is the latest one."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_xcom.backend.errors import ForgedReferenceError
from airflow_xcom.backend.path_segments import digest, segment

ASSETS = "assets"  # the folder of a store that all versions are in
_LONGEST = 4096  # characters
_ID = re.compile(r"[0-9a-f]{32}")
_NAMES = {"name", "uri", "id", "at", "partition", "interval", "backfill", "forced"}


@dataclass(frozen=True, slots=True)
class AssetVersion:
    """What an envelope tells of a published value.

    Attributes:
        name, uri: of the asset.
        id: 32 hexadecimal digits, different for each publish, in the order of their times.
        at: when it was published, in ISO 8601, in UTC.
        partition: its key, or None.
        interval: start and end of the publishing run's data interval, in ISO 8601, or None.
        backfill: whether a backfill published it.
        forced: whether it is the latest one although a backfill published it.

    Raises:
        ForgedReferenceError: A field is not what this backend writes.
    """

    name: str
    uri: str
    id: str
    at: str
    partition: str | None = None
    interval: tuple[str, str] | None = None
    backfill: bool = False
    forced: bool = False

    def __post_init__(self) -> None:
        texts = (self.name, self.uri, self.id, self.at, self.partition or "", *(self.interval or ()))
        are_short = all(type(text) is str and len(text) <= _LONGEST for text in texts)
        if not are_short or not _ID.fullmatch(self.id) or not all(map(is_time, (self.at, *(self.interval or ())))):
            raise ForgedReferenceError("the version of an asset in the envelope is malformed")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        fields = {name: getattr(self, name) for name in AssetVersion.__slots__}
        kept = {name: value for name, value in fields.items() if value is not None and value is not False}
        return kept | ({} if self.interval is None else {"interval": list(self.interval)})

    @classmethod
    def from_json(cls, value: Any) -> AssetVersion:
        """Return the version; raise ForgedReferenceError for anything that :meth:`to_json` does not write."""
        match value:
            case {"name": str(), "uri": str(), "id": str(), "at": str(), **others} if others.keys() <= _NAMES:
                interval = others.pop("interval", None)
                match interval:
                    case None:
                        return cls(**{**value, "interval": None})
                    case [str(start), str(end)]:
                        return cls(**{**value, "interval": (start, end)})
        raise ForgedReferenceError("the version of an asset in the envelope is malformed")

    def path_prefix(self, publisher: list[Any]) -> str:
        """Return what the paths of blobs of this version begin with, published by this task.

        That is ``assets/<name>.<hash of asset and partition>/<dag>.<hash of version and task>-``.
        """
        whole = json.dumps([self.name, self.uri, self.partition, self.id, *publisher])
        folder = asset_folder(self.name, self.uri, self.partition)
        return f"{folder}{segment(publisher[0])}.{digest(whole)}-"


def asset_folder(name: str, uri: str, partition: str | None) -> str:
    """Return what the paths of all blobs of an asset's partition begin with."""
    return f"{ASSETS}/{segment(name)}.{digest(json.dumps([name, uri, partition]))}/"


def new_version_id() -> str:
    """Return an id: 12 hexadecimal digits of milliseconds since 1970, and 20 random ones."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def is_time(text: str) -> bool:
    """Return whether a text is a time in ISO 8601 that UTC has, too."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) is not None
    except (ValueError, OverflowError):
        return False

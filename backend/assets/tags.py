"""Names that people give versions: a version with a name is kept, whatever a policy or Airflow's clean-up says.

A tag is an object in the store of the version, and has all that is needed to read it: the version's event may be gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from airflow_xcom.backend.asset_version import asset_folder
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.blob_paths import TAGS, VERSIONS, Kind, kind_of
from airflow_xcom.backend.blobs import retirement_of, store_name
from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.errors import RetiredVersionError, TagError
from airflow_xcom.backend.maintenance.ownership import check_owner
from airflow_xcom.backend.path_segments import segment
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting
from airflow_xcom.backend.stores.base import BlobNotFoundError, Store
from airflow_xcom.codecs import CodecError

_NAME = re.compile(r"(?![0-9]+$)[\w.+@-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Tag:
    """A name of a version.

    Attributes:
        name: of the tag.
        version: which has it.
        number: of the version's event.
        at: when it was given, in ISO 8601, in UTC.
        store: that has the tag, and the version.
        path: of the tag there.
    """

    name: str
    version: Version
    number: int
    at: str
    store: Store
    path: str


def tags_of(name: str, uri: str) -> list[Tag]:
    """Return the tags of an asset's versions, each once, by their names."""
    return each_once(_all(name, uri))


def each_once(tags: Iterable[Tag]) -> list[Tag]:
    """Return tags of an asset by their names, and of those with one name, as of one that is moved, the last."""
    found: dict[str, Tag] = {}
    for tag in sorted(tags, key=lambda tag: tag.at):
        found[tag.name] = tag
    return [found[each] for each in sorted(found)]


def set_tag(version: Version, number: int, name: str, deployment: Deployment | None) -> list[Tag]:
    """Give a version a name, and return the tags that had it: another version of the asset loses it.

    Raises:
        TagError: The name is not allowed, or the value of the version is gone.
        RetiredVersionError: A policy has retired the version.
        OwnerError: Another version loses it, and its store does not belong to this Airflow.
        StoreError: The store cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise TagError(f"{name!r} cannot be a tag: give letters, digits, and . _ + @ -, but not a number alone")
    reference = version.envelope.reference
    if reference is None:
        raise TagError(f"the version {number} of the asset {version.name!r} has no value")
    store = open_lasting(settings().stores[store_name(reference)])
    if (retired := retirement_of(store, reference.path)) is not None:
        raise RetiredVersionError(retired.at, retired.rule)
    before = [tag for tag in _all(version.name, version.uri) if tag.name == name]
    _check_owners(before, deployment)
    content = {"tag": name, "number": number, "at": datetime.now(UTC).isoformat(), "version": version.to_json()}
    path = f"{_folder(version.name, version.uri)}{segment(name)}.{uuid4().hex}"
    store.put(path, [json.dumps(content).encode()])
    if not any(blob.path == reference.path for blob in store.list(reference.path)):
        store.delete(path)
        raise TagError(
            f"the value of the version {number} of the asset {version.name!r} is gone from the store {store.url}"
        )
    for tag in before:
        tag.store.delete(tag.path)
    return before


def remove_tag(name: str, uri: str, tag_name: str, deployment: Deployment | None) -> list[Tag]:
    """Take a name from the version of an asset that has it, and return the tags that are gone.

    Raises:
        TagError: No version has it.
        OwnerError: Its store does not belong to this Airflow, whose sweep it keeps from the version.
    """
    found = [tag for tag in _all(name, uri) if tag.name == tag_name]
    if not found:
        raise TagError(f"no version of the asset {name!r} has the tag {tag_name!r}")
    _check_owners(found, deployment)
    for tag in found:
        tag.store.delete(tag.path)
    return found


def _check_owners(tags: list[Tag], deployment: Deployment | None) -> None:
    """Raise OwnerError if a tag that is to go keeps a version of another Airflow."""
    for store in {tag.store.url: tag.store for tag in tags}.values():
        check_owner(store, deployment)


def _folder(name: str, uri: str) -> str:
    return TAGS + asset_folder(name, uri, None).removeprefix(VERSIONS)


def _all(name: str, uri: str) -> Iterator[Tag]:
    for url in dict.fromkeys(settings().stores.values()):
        yield from tags_in(open_lasting(url), name, uri)


def tags_in(store: Store, name: str, uri: str) -> Iterator[Tag]:
    """Yield the tags that a store has of an asset's versions, read one after another."""
    for blob in store.list(_folder(name, uri)):
        if kind_of(blob.path) is Kind.TAG and (tag := _read(store, blob.path)) is not None:
            yield tag


def _read(store: Store, path: str) -> Tag | None:
    """Return a tag; None if it is gone."""
    try:
        text = bytes(store.get(path))
    except BlobNotFoundError:
        return None
    try:
        content = json.loads(text)
        version = Version.from_json(content["version"])
        return Tag(str(content["tag"]), version, int(content["number"]), str(content["at"]), store, path)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, CodecError) as error:
        raise TagError(f"the tag {path!r} in the store {store.url} is damaged; delete it there") from error

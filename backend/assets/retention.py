"""Retire versions of assets that need not be kept any more: a tombstone says when and why, and a sweep takes the blob.

Never retired are the newest version of an asset and of each of its partitions, the one that ``latest`` reads, those
with a tag, those that a run has pinned whose row is there, and those whose events started a run that is not over, or
are to start one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from airflow_xcom.backend.assets.latest import history, latest_of, settles
from airflow_xcom.backend.assets.version import Version, versions_of
from airflow_xcom.backend.blob_paths import Kind, identity, kind_of, tombstone_path
from airflow_xcom.backend.blobs import retirement_of, store_name
from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset
from airflow_xcom.backend.database.deployment import Deployment
from airflow_xcom.backend.envelope import Retirement
from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.maintenance.ownership import check_owner
from airflow_xcom.backend.maintenance.references import AssetObjects, RowSource
from airflow_xcom.backend.maintenance.retain import Outcome
from airflow_xcom.backend.maintenance.sweep import chosen_stores
from airflow_xcom.backend.retention_policy import Rule, Term, keep_published
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_lasting
from airflow_xcom.backend.stores.base import Store
from airflow_xcom.codecs import CodecError

Act = Callable[[Store, str, Retirement], bool]  # that buries a version

EXTRA = "xcom:keep"  # the key of an asset's own ``extra``


@dataclass
class RetiredVersions(Outcome):
    """What has become of the versions of one asset.

    Attributes:
        asset: its name.
        versions: that it has, retired ones too.
        size: bytes of the blobs of versions that are due, which a sweep deletes.
        needed: those that the rule does not keep, but a run, a pin, a tag, or being the newest.
    """

    asset: str = ""
    versions: int = 0
    size: int = 0
    needed: int = 0


def rule_for(asset: KnownAsset) -> Rule:
    """Return how long versions of an asset are kept: as its ``extra`` says, or else the option.

    Raises:
        ValueError: What its ``extra`` says is not understood.
    """
    text = asset.extra.get(EXTRA) if isinstance(asset.extra, dict) else None
    if text is None:
        terms = keep_published()
        return Rule(f"[xcom_codecs] keep_published = {', '.join(term.text for term in terms)}", terms, "")
    terms = tuple(Term.parse(part.strip(), counted="versions") for part in str(text).split(","))
    return Rule(f"{EXTRA}: {text}", terms, "")


def retire_versions(
    events: AssetEvents, rows: RowSource, names: Iterable[str] | None = None, *, apply: bool = False
) -> Iterator[RetiredVersions]:
    """Retire the versions of each asset that its policy does not keep, and tell what became of each asset.

    Nothing is deleted: a sweep finds the blobs of versions that only their events still name.  It may be the sweep of
    another Airflow, so that only the owner of a store retires what is in it: elsewhere each version counts as failed.
    """
    wanted = None if names is None else set(names)
    kept = AssetObjects(chosen_stores(None)).kept(rows)
    act = partial(_bury_as_owner, rows.deployment()) if apply else None
    for asset in events.assets():
        if wanted is not None and asset.name not in wanted:
            continue
        done = RetiredVersions(asset=asset.name)
        try:
            rule = rule_for(asset)
        except SettingsError:
            raise
        except ValueError as error:
            done.rule = "kept: its extra is not understood"
            done.fail(f"asset={asset.name}: all versions are kept, for {error}")
        else:
            done.rule = rule.text
            _retire(events, asset, rule, kept, done, act)
        yield done


def _retire(  # noqa: PLR0913, PLR0917 - what decides, and where it is told
    events: AssetEvents, asset: KnownAsset, rule: Rule, kept: set[int], done: RetiredVersions, act: Act | None
) -> None:
    """Retire what the rule does not keep; versions come the newest first, each by its newest event."""
    if rule.is_forever:
        return
    protected = _protected(events, asset)
    now, newer = events.now(), Counter[str | None]()
    for _, version in history(events, asset):
        done.versions += 1
        is_kept = rule.keeps((now - version.sent).total_seconds(), {"": newer[version.partition]})
        newer[version.partition] += 1
        if not is_kept:
            _retire_one(version, rule, kept if version.id not in protected else None, done, act)


def _protected(events: AssetEvents, asset: KnownAsset) -> set[str]:
    """Return the versions that runs need, the newest of the asset and of each partition, and what ``latest`` reads."""
    needed, found = events.needed(asset), set[str]()
    newest: dict[str | None, list[Version]] = {}
    for event, version in versions_of(events.events(asset)):
        if needed(event):
            found.add(version.id)
        of_partition = newest.setdefault(version.partition, [])
        if not of_partition or not settles(of_partition[-1]):
            of_partition.append(version)
    return found | {one.id for each in newest.values() for one in (each[0], latest_of(each))}


def _retire_one(version: Version, rule: Rule, kept: set[int] | None, done: RetiredVersions, act: Act | None) -> None:
    """Retire a version unless it is one of those that are kept; None for a version that is kept in any case."""
    reference = version.envelope.reference
    if reference is None:
        return
    try:
        store = open_lasting(settings().stores[store_name(reference)])
        if retirement_of(store, reference.path) is not None:
            return
        if kept is None or identity(reference.path) in kept:
            done.needed += 1
            return
        done.due += 1
        done.size += reference.size
        if act is not None:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            done.retired += act(store, reference.path, Retirement(at, rule.text))
    except CodecError as error:
        done.fail(f"asset={version.name} version={version.id}: {error}")


def _bury_as_owner(deployment: Deployment | None, store: Store, path: str, retirement: Retirement) -> bool:
    check_owner(store, deployment)
    return bury(store, path, retirement)


def bury(store: Store, path: str, retirement: Retirement) -> bool:
    """Write the tombstone of the version at a path, unless it has one, and return whether it had none.

    Airflow's REST API cannot change events, so that those of a retired version still name it.  Whoever misses its blob
    finds the tombstone (:func:`airflow_xcom.backend.blobs.read_blob`); a sweep takes it when nothing names the version.
    """
    if kind_of(path) is not Kind.VERSION:
        raise ValueError(f"{path!r} is no path of a version")
    if retirement_of(store, path) is not None:
        return False
    store.put(tombstone_path(path), [json.dumps(asdict(retirement)).encode()])
    return True

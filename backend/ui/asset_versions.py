"""What the page of an asset shows: its versions, how their columns changed, and who read one; no blob is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from airflow_xcom.backend.assets.latest import latest_of, settles
from airflow_xcom.backend.assets.pins import Question
from airflow_xcom.backend.assets.retention import rule_for
from airflow_xcom.backend.assets.schema import Column, Schema, compare
from airflow_xcom.backend.assets.version import Version, versions_in
from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.compat_assets import Event
from airflow_xcom.backend.database.asset_versions import KnownAsset, metadata_events
from airflow_xcom.backend.database.xcom_rows import asked_of
from airflow_xcom.backend.envelope import PINNED, Coordinate, Envelope
from airflow_xcom.backend.errors import HiddenValueError, NoVersionError, XComNotFoundError
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.ui.rows import facts_of, hidden_tasks, is_hidden
from airflow_xcom.backend.ui.version_keys import VersionKey, noted, version_of
from airflow_xcom.backend.ui.version_states import StoresAsked

Numbered = list[tuple[Event, Version]]  # the newest first

_ASSETS = 500  # that are listed
_SECONDS = 10  # that they are looked for
_SHOWN = 25  # versions, and the others of the event of the last one
_EVENTS = 200  # that a request looks at; each may tell of a hundred partitions
_READERS, _ASKED = 200, 2000  # that are listed, of rows that are looked at
_WANTED = ("one", "all")  # of the versions that a question may be answered with


def list_assets(may_read: Callable[[str], bool]) -> dict[str, Any]:
    """Return the assets that have values, of those that ``may_read`` allows by their ids."""
    until = time.monotonic() + _SECONDS
    listed: list[dict[str, Any]] = []
    for page in metadata_events().with_values():
        for asset in page:
            if len(listed) == _ASSETS or time.monotonic() > until:
                return {"assets": listed, "more": True}
            if may_read(str(asset.id)):
                listed.append({"id": asset.id, "name": asset.name, "uri": asset.uri})
        if time.monotonic() > until:
            return {"assets": listed, "more": True}
    return {"assets": listed, "more": False}


def list_versions(
    number: int, before: int | None, partition: str | None, may_read: Callable[[str], bool]
) -> dict[str, Any]:
    """Return some versions of an asset, the newest first, and before which event to go on; ``number`` is its id.

    Only events that are older than the one with the id ``before`` are looked at.  What tasks of Dags published whose
    XComs the user may not read is left out.  Raises XComNotFoundError if there is no such asset.
    """
    source = metadata_events()
    asset = source.asset(number)
    if asset is None:
        raise XComNotFoundError("there is no such asset")
    events, rest = source.newest(asset, _EVENTS, before)
    counted, others = _counted(events)
    readable = [each for each in counted if may_read(each[1].dag_id) and partition in {None, each[1].partition}]
    shown = _cut(readable)
    last = shown[-1][0] if len(shown) < len(readable) else None
    facts = {
        "name": asset.name,
        "uri": asset.uri,
        "kept": _rule(asset),
        **_described(asset, shown, readable),
        "not_counted": [
            {"number": event.id, "sent": event.timestamp.isoformat(timespec="seconds"), "why": why}
            for event, why in others
            if (event.source[0] is None or may_read(event.source[0])) and (last is None or _order(event) > _order(last))
        ],
        "before": rest if last is None else last.id,
    }
    return facts if before is not None else {**facts, "latest": _latest(counted, readable), "all_latest": rest is None}


def _order(event: Event) -> tuple[datetime, int]:
    """Return what events are listed by."""
    return event.timestamp, event.id or 0


def _counted(events: Iterable[Event]) -> tuple[Numbered, list[tuple[Event, str]]]:
    """Return the versions of events, each once, and of the events that do not count why."""
    found: dict[str, tuple[Event, Version]] = {}
    others = []
    for event in events:
        try:
            for version in reversed(versions_in(event)):
                found.setdefault(version.id, (event, version))
        except NoVersionError as error:
            others.append((event, str(error)))
    return list(found.values()), others


def _cut(readable: Numbered) -> Numbered:
    """Return the first ones, with all of the last event."""
    if len(readable) <= _SHOWN:
        return readable
    last = readable[_SHOWN - 1][0]
    return [*readable[:_SHOWN], *(each for each in readable[_SHOWN:] if each[0] is last)]


def _rule(asset: KnownAsset) -> str:
    """Return how long its versions are kept, in words."""
    try:
        return rule_for(asset).text
    except ValueError as error:
        return f"all are kept, for {error}"


def _latest(counted: Numbered, readable: Numbered) -> list[str]:
    """Return the ids of the latest versions of the partitions that they have, of those that the user may read."""
    newest: dict[str | None, list[Version]] = {}
    for _, version in counted:
        of_partition = newest.setdefault(version.partition, [])
        if not of_partition or not settles(of_partition[-1]):
            of_partition.append(version)
    return list({latest_of(each).id for each in newest.values()} & {version.id for _, version in readable})


def _described(asset: KnownAsset, shown: Numbered, readable: Numbered) -> dict[str, Any]:
    """Return what is known of the versions that are shown; of their blobs, only whether they were retired is asked."""
    before = _before(readable)
    wanted = {version.id: version for _, version in shown}
    wanted |= {one.id: one for version in list(wanted) if (one := before.get(version)) is not None}
    envelopes = dict(zip(wanted, noted(list(wanted.values())), strict=True))
    asked = StoresAsked(asset.name, asset.uri, [version for _, version in shown])
    tags, problem = asked.tags()
    secret = _hidden(wanted.values())
    listed = []
    for event, version in shown:
        facts = {**_place(asset, event, version), "tags": tags.get(version.id, [])}
        if hides_value_of(asset.name) or version.id in secret:
            listed.append({**facts, "state": "hidden"})
            continue
        envelope, former = envelopes[version.id], before.get(version.id)
        is_compared = former is not None and former.id not in secret
        changes = _changes(envelopes[former.id], envelope) if former is not None and is_compared else None
        listed.append({**facts, **facts_of(envelope), **asked.state(version), "changes": changes})
    return {"versions": listed, "problem": problem}


def _hidden(versions: Iterable[Version]) -> set[str]:
    """Return the ids of the versions that tags of their Dags hide."""
    dags: dict[str, list[Version]] = {}
    for version in versions:
        dags.setdefault(version.dag_id, []).append(version)
    patterns = {dag: hidden_tasks(dag) for dag in dags}
    return {each.id for dag, some in dags.items() for each in some if is_hidden(patterns[dag], each.task_id)}


def _place(asset: KnownAsset, event: Event, version: Version) -> dict[str, Any]:
    """Return which version it is, and who published it."""
    return {
        "number": event.id,
        "id": version.id,
        "key": str(VersionKey(asset.id, event.id or 0, version.id)),
        "sent": version.sent.isoformat(timespec="seconds"),
        **_task(version),
        "partition": version.partition,
        "backfill": version.asset.backfill,
    }


def _task(of: Version | Coordinate) -> dict[str, Any]:
    return {name: getattr(of, name) for name in ("dag_id", "run_id", "task_id", "map_index")}


def _before(readable: Numbered) -> dict[str, Version]:
    """Return by the id of each version the one of its partition that was published before it."""
    found, last = {}, dict[str | None, str]()
    for _, version in readable:
        if version.partition in last:
            found[last[version.partition]] = version
        last[version.partition] = version.id
    return found


# -- columns -------------------------------------------------------------------------------------------------


def _changes(old: Envelope, new: Envelope) -> dict[str, Any] | None:
    """Return, in words, how what a version tells of its columns differs from what the one before told, if both may."""
    if _hides_columns(old) or _hides_columns(new):
        return None
    (before, is_whole), (after, is_whole_too) = _schema(old), _schema(new)
    known = before.columns is not None and after.columns is not None
    if known and not (is_whole and is_whole_too):  # what both tell of is compared
        both = {each.name for each in before.columns or ()} & {each.name for each in after.columns or ()}
        before, after = (
            Schema(each.type, tuple(c for c in each.columns or () if c.name in both)) for each in (before, after)
        )
    found = compare(before, after, "same")
    widths = _width(old), _width(new)
    if not found and widths[0] != widths[1] and None not in widths:
        found = [f"it had {widths[0]:,} columns, and has {widths[1]:,}"]
    return {"found": found, "whole": known and is_whole and is_whole_too}


def _hides_columns(envelope: Envelope) -> bool:
    """Return whether not even the names of columns may be shown, as was set at push or is set here."""
    return "none" in {envelope.summary.get("preview"), settings().preview}


def _schema(envelope: Envelope) -> tuple[Schema, bool]:
    """Return the type of a value and the columns of a table, as far as they are told, and whether these are all."""
    dtypes = envelope.summary.get("dtypes")
    kind = str(envelope.summary.get("type", envelope.tag))
    if not isinstance(dtypes, dict):
        return Schema(kind), False
    columns = tuple(Column(name, str(dtype)) for name, dtype in dtypes.items())
    return Schema(kind, columns), len(columns) == _width(envelope)


def _width(envelope: Envelope) -> int | None:
    """Return how many columns a table has."""
    match envelope.summary.get("shape"):
        case [int(), int(width)]:
            return width
        case [int()]:
            return 1
    return None


# -- readers -------------------------------------------------------------------------------------------------


def list_readers(key: VersionKey, may_read: Callable[[str], bool]) -> dict[str, Any]:
    """Return the tasks whose runs read a version, as far as ``latest``, ``value_of`` and ``values_of`` pinned it.

    Tasks of Dags whose XComs the user may not read are left out, and hidden ones.

    Raises:
        XComNotFoundError: There is no such version.
        HiddenValueError: A tag of its Dag hides it.
    """
    version = version_of(key)
    if not may_read(version.dag_id):
        raise XComNotFoundError("there is no such version")
    patterns = cache(hidden_tasks)
    if is_hidden(patterns(version.dag_id), version.task_id):
        raise HiddenValueError(version.dag_id)
    source = metadata_events()
    asset = source.asset(key.asset)
    aliases = [] if asset is None else source.aliases(asset)
    asked = asked_of(_questions(version, aliases), _ASKED, version.id)
    found = [
        (where, at)
        for where, at in asked
        if may_read(str(where.dag_id)) and not is_hidden(patterns(str(where.dag_id)), str(where.task_id))
    ]
    readers = [{**_task(where), "at": at.isoformat(timespec="seconds")} for where, at in found[:_READERS]]
    return {"readers": readers, "more": len(found) > _READERS or len(asked) == _ASKED}


def _questions(version: Version, aliases: list[str]) -> list[str]:
    """Return the keys of the rows of tasks that may have asked for a version: by name, URI or alias, one or all."""
    named = [(version.name, version.uri, None), (version.name, None, None), (None, version.uri, None)]
    asked = [*named, *((None, None, alias) for alias in aliases)]
    parts = [
        (*each, partition, wanted) for each in asked for partition in {None, version.partition} for wanted in _WANTED
    ]
    return [PINNED + Question(None, version.name, each).hash for each in parts]

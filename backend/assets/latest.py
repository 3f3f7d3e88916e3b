"""The versions of assets, for tasks: what their run is to read, and what there is; and all that a database knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.assets.pins import Question, pinned, pinned_versions
from airflow_xcom.backend.assets.version import Version, distinct, partitions_in, versions_in, versions_of
from airflow_xcom.backend.compat_assets import (
    AssetKey,
    Event,
    chooses_events,
    current_context,
    key_of,
    needed_assets,
    newest_events,
    run_type,
    triggering_events,
)
from airflow_xcom.backend.errors import NoVersionError, PartitionError

if TYPE_CHECKING:
    from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset

_GROWTH = 8  # how many times more events are read each time that these were not enough
# Where the newest event is looked for first: to find the newest of all, a database would sort those of an asset.
_RECENT = timedelta(days=1)


def latest(  # noqa: PLR0913 - those of pull_table, and its own
    asset: Any,
    *,
    partition: str | None = None,
    columns: Sequence[Any] | None = None,
    rows: slice | None = None,
    as_: str | None = None,
    refresh: bool = False,
) -> Any:
    """Return, in a task, the value of the asset's version that the run reads; the same to all of its tasks.

    A run that the asset's events started reads the newest of these; any other reads what was the latest version when
    its first task asked.

    Args:
        asset: an asset, an alias, or ``Asset.ref(name=…)``; it need not be among the task's ``inlets``.
        partition: its key; without one, that of the run.
        columns: see :func:`airflow_xcom.backend.pull_table`; so for ``rows`` and ``as_``.
        rows: see there.
        as_: see there.
        refresh: find the version anew, for this and all other tasks of the run that ask from now on.

    Raises:
        NoVersionError: It has no version, or the event that started the run has no value.
        PartitionError: It has partitions, and neither the call nor the run says which.
        LostPinError: What the run has read cannot be told any more.
        DecodeError: The payload is gone or damaged.
        StoreError: A store cannot be reached.
    """
    part = {"columns": columns, "rows": rows, "as_": as_}
    return read_latest(current_context(), asset, part, partition, refresh=refresh)


def read_latest(
    context: Any, asset: Any, part: dict[str, Any], partition: str | None = None, *, refresh: bool = False
) -> Any:
    """Return the value, or a part of it, of the version that a run reads; see :func:`latest`."""

    def find() -> list[Version]:
        return [_found(question, key, partition, refresh=refresh)]

    def value(versions: list[Version]) -> Any:
        return versions[0].value(**part)

    key = key_of(asset)
    question = _question(context, key, partition, "one")
    if key.name is not None and key.uri is not None:
        return pinned(question, find, value, refresh=refresh)
    found = pinned_versions(question, find, refresh=refresh)
    # The asset of an alias or a reference, of which other tasks of the run may ask by name and URI.
    known = AssetKey(found[0].name, found[0].uri)
    return pinned(_question(context, known, partition, "one"), lambda: found, value, refresh=refresh)


def values_of(asset: Any, *, refresh: bool = False) -> Any:
    """Return, in a task, the values of all versions whose events started the run, in the order of these events.

    Returns:
        A list; if the versions have partitions, a dict of partition key and value, of each the newest one.

    Raises:
        NoVersionError: No event of the asset started the run, or one has no value.
        LostPinError: See :func:`latest`.
        DecodeError, StoreError: See there.
    """
    context, key = current_context(), key_of(asset)
    question = _question(context, key, None, "all")
    return pinned(question, lambda: _triggering(question, key), _values, refresh=refresh)


def _values(found: list[Version]) -> Any:
    if all(version.partition is None for version in found):
        return [version.value() for version in found]
    newest = {version.partition: version for version in found}
    return {partition: version.value() for partition, version in newest.items()}


def versions(
    asset: Any, *, limit: int | None = None, since: datetime | None = None, partition: str | None = None
) -> list[Version]:
    """Return, in a task, the versions of an asset, the newest first; nothing is pinned, and no value is read.

    Events without a value are left out.

    Args:
        asset: see :func:`latest`.
        limit: at most so many.
        since: only those whose events are not older.
        partition: only those with this key.
    """
    found: list[Version] = []
    for version in _newest_first(key_of(asset), partition, max(limit or _GROWTH, 1)):
        if (since is not None and version.sent < since) or (limit is not None and len(found) >= limit):
            break
        if partition is None or version.partition == partition:
            found.append(version)
    return distinct(found)


def _question(context: Any, key: AssetKey, partition: str | None, wanted: str) -> Question:
    return Question(context, str(key), (key.name, key.uri, key.alias, partition, wanted))


def _found(question: Question, key: AssetKey, partition: str | None, *, refresh: bool) -> Version:
    """Return the newest version of the events that started the run, or else, or to refresh it, the latest one."""
    wanted = partition or getattr(question.context["dag_run"], "partition_key", None)
    events = [] if refresh else _triggers(question, key)
    if not events:
        return _latest(key, wanted, partition)
    if wanted is not None and (of_partition := [event for event in events if event.partition == wanted]):
        events = of_partition
    found = versions_in(events[-1])
    if partition is not None:
        found = [version for version in found if version.partition == partition]
    partitions = set().union(*map(partitions_in, events))
    if len(partitions) > 1 and (partition is None or not found):
        raise _which(key, partitions)
    if not found:
        msg = f"the events of the asset {key} that started the run have none of the partition {partition!r}"
        raise NoVersionError(msg)
    return found[-1]


def _triggering(question: Question, key: AssetKey) -> list[Version]:
    events = _triggers(question, key)
    if not events:
        raise NoVersionError(f"no event of the asset {key} started this run; latest() gives the latest version")
    return distinct([version for event in events for version in versions_in(event)])


def _triggers(question: Question, key: AssetKey) -> list[Event]:
    """Return the events of the asset that started the run, the oldest first; raise LostPinError if they are gone."""
    events = [event for event in triggering_events(question.context) if key.matches(event)]
    was_triggered = run_type(question.context) in {"asset_triggered", "dataset_triggered"}
    if not events and was_triggered and key in needed_assets(question.context):
        raise question.lost("the events that started the run are gone, as after `airflow db clean`")
    return events


def _latest(key: AssetKey, wanted: str | None, partition: str | None) -> Version:
    """Return the latest version: the newest, unless a backfill published it and one of a later interval exists.

    What is older than the newest version that no backfill published is not looked at.  ``wanted`` is the partition that
    the call or the run says, ``partition`` that of the call.
    """
    newest: list[Version] = []
    for version in _newest_first(key, wanted):
        if version.partition != wanted:
            if partition is None and (wanted is None or version.partition is None) and not newest:
                if version.partition is not None:
                    raise _which(key, {version.partition})
                wanted = None  # the run has partitions, and the asset has not
            else:
                continue
        newest.append(version)
        if settles(version):
            break
    if not newest:
        which = "" if wanted is None else f" of the partition {wanted!r}"
        raise NoVersionError(f"the asset {key} has no version{which} yet: let a task publish() one")
    return latest_of(newest)


def latest_of(newest: Sequence[Version]) -> Version:
    """Return the latest of the newest versions of an asset or a partition: up to one that :func:`settles` it."""
    last = max(map(_interval_end, newest))
    return next(one for one in newest if settles(one) or _interval_end(one) >= last)


def last_accepted(key: AssetKey) -> Version | None:
    """Return the version that a contract compares with: the newest of any partition that no backfill published."""
    return next(filter(settles, _newest_first(key, None)), None)


def settles(version: Version) -> bool:
    """Return whether no older version can be the latest one: unless a backfill published it."""
    return not version.asset.backfill or version.asset.forced


def _interval_end(version: Version) -> float:
    """Return the end of its data interval as Unix time; that of a version without one is before all others."""
    interval = version.asset.interval
    return float("-inf") if interval is None else datetime.fromisoformat(interval[1]).timestamp()


def _newest_first(key: AssetKey, partition: str | None, first: int = 1) -> Iterator[Version]:
    """Yield the versions of an asset, the newest first by time and id; events without a value are left out.

    Others than those of ``partition`` are left out where Airflow can.  ``first`` is how many events to read at first:
    each costs the API server a query.
    """
    seen: set[str] = set()
    for events in _pages(key, partition, first):
        for _, version in versions_of(events):
            if version.id not in seen:
                seen.add(version.id)
                yield version


def _pages(key: AssetKey, partition: str | None, limit: int) -> Iterator[list[Event]]:
    """Yield the newest events of an asset, and each time more of them, until all have come."""
    recent = [datetime.now(UTC) - _RECENT] if chooses_events() else []
    for since in [*recent, None]:
        while True:
            events = newest_events(key, limit, partition, since)
            yield events
            if len(events) != limit:
                break
            limit *= _GROWTH


def _which(key: AssetKey, partitions: set[str | None]) -> PartitionError:
    some = ", ".join(sorted(map(repr, partitions))[:5])
    return PartitionError(
        f"the asset {key} has partitions, such as {some}: say which by partition=, or take those that started the run "
        "with values_of()"
    )


# -- for commands, which have the database ---------------------------------------------------------------------


def history(events: AssetEvents, asset: KnownAsset, **which: int) -> Iterator[tuple[int, Version]]:
    """Yield the versions of an asset, each once, as :meth:`AssetEvents.events` does, with the ids of their events."""
    seen = set[str]()
    for event, version in versions_of(events.events(asset, **which)):
        if version.id not in seen:
            seen.add(version.id)
            yield event.id or 0, version


def latest_in(found: Iterable[tuple[int, Version]], partition: str | None) -> tuple[int, Version] | None:
    """Return the latest of some versions, the newest first, as tasks find it; None if there is none."""
    newest: dict[str, tuple[int, Version]] = {}
    for number, version in found:
        if version.partition == partition:
            newest[version.id] = (number, version)
            if settles(version):
                break
    return newest[latest_of([version for _, version in newest.values()]).id] if newest else None

"""What assets need of Airflow, wherever a version keeps it: assets are datasets in Airflow 2."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from airflow_xcom.backend.compat import first_of
from airflow_xcom.backend.errors import PublishError


@dataclass(frozen=True, slots=True)
class AssetKey:
    """Which asset or alias; a reference by name has no URI, one by URI no name.

    Attributes:
        name: of the asset; in Airflow 2, its URI.
        uri: of the asset.
        alias: the name of the alias, if it is one.
    """

    name: str | None = None
    uri: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return repr(self.alias or self.name or self.uri)

    def matches(self, event: Event) -> bool:
        """Return whether an event is one of this asset, or was sent through this alias."""
        if self.alias is not None:
            return self.alias in event.aliases
        return self.name in {None, event.name} and self.uri in {None, event.uri}


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an asset.

    Attributes:
        name, uri: of the asset.
        extra: its JSON.
        source: Dag, run, task and map index that it came from.
        timestamp: when.
        partition: its partition key, if any.
        aliases: names of the aliases that it was sent through.
        id: in the database, where Airflow tells.
    """

    name: str
    uri: str
    extra: Any
    source: tuple[str | None, str | None, str | None, int | None]
    timestamp: datetime
    partition: str | None = None
    aliases: frozenset[str] = field(default_factory=frozenset)
    id: int | None = None


def current_context() -> Any:
    """Return the context of the task that runs; raise RuntimeError where none does."""
    return first_of("airflow.sdk:get_current_context", "airflow.operators.python:get_current_context")()


def is_alias(asset: Any) -> bool:
    """Return whether it is an alias of assets."""
    return isinstance(asset, _classes()[1])


def key_of(asset: Any) -> AssetKey:
    """Return which asset is meant: an asset, a dataset, an alias, or a reference such as ``Asset.ref(name=…)``.

    Anything else raises TypeError.
    """
    kind, alias, references = _classes()
    if isinstance(asset, alias):
        return AssetKey(alias=asset.name)
    if isinstance(asset, kind):
        return AssetKey(getattr(asset, "name", asset.uri), asset.uri)
    if isinstance(asset, references):
        return AssetKey(getattr(asset, "name", None), getattr(asset, "uri", None))
    raise TypeError(f"an asset is wanted, not a {type(asset).__name__}; give Asset(...), an alias, or Asset.ref(...)")


def _classes() -> tuple[type[Any], type[Any], tuple[type[Any], ...]]:
    """Return the classes of assets, of aliases, and of references."""
    try:
        from airflow.sdk.definitions.asset import Asset, AssetAlias, AssetRef
    except ImportError:
        from airflow import datasets

        return datasets.Dataset, datasets.DatasetAlias, ()  # noqa: AIR311 - Airflow 2's
    return Asset, AssetAlias, (AssetRef,)


def defined_asset(task: Any) -> Any:
    """Return the asset that a function with ``@asset`` defines; None if the task is not made by such a function."""
    module = sys.modules.get("airflow.sdk.definitions.asset.decorators")  # who wrote @asset has loaded it
    if module is None:
        return None
    is_one = isinstance(task, module._AssetMainOperator) and len(task.outlets) == 1  # noqa: SLF001 - no public name
    return task.outlets[0] if is_one and isinstance(task.outlets[0], module.AssetDefinition) else None


def outlet_for(context: Any, asset: Any) -> Any:
    """Return that outlet of the task through which an event of the asset can be sent; None if there is none.

    That is the asset, a reference to it, or, if there is only one, an alias.
    """
    wanted = key_of(asset)
    kind, alias, references = _classes()
    outlets = [outlet for outlet in context["task"].outlets if isinstance(outlet, (kind, alias, *references))]
    for outlet in outlets:
        key = key_of(outlet)
        if key.alias is None and _same(key.name, wanted.name) and _same(key.uri, wanted.uri):
            return outlet
    aliases = [outlet for outlet in outlets if is_alias(outlet)]
    return aliases[0] if len(aliases) == 1 and wanted.alias is None else None


def _same(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def concrete(context: Any, asset: Any) -> AssetKey:
    """Return name and URI of the asset that an event will be of."""
    key = key_of(asset)
    if key.name is not None and key.uri is not None:
        return key
    accessor = context["outlet_events"][asset]
    return AssetKey(accessor.key.name, accessor.key.uri)


def emitted(context: Any, outlet: Any, asset: AssetKey) -> list[dict[str, Any]]:
    """Return the extras of the events of an asset that this try has made ready to be sent through an outlet."""
    accessor = context["outlet_events"][outlet]
    if not is_alias(outlet):
        return [accessor.extra]
    is_new = hasattr(accessor, "asset_alias_events")
    events = accessor.asset_alias_events if is_new else accessor.dataset_alias_events
    return [event.extra for event in events if _destination(event) in {asset.uri, asset}]


def _destination(event: Any) -> Any:
    """Return the key of the asset that an event goes to through an alias; in Airflow 2, its URI."""
    key = getattr(event, "dest_asset_key", None)
    return event.dest_dataset_uri if key is None else AssetKey(key.name, key.uri)


def emit(context: Any, outlet: Any, asset: Any, extra: dict[str, Any], partitions: Sequence[str] = ()) -> None:
    """Add to what the events of an asset will tell once the task has succeeded; Airflow 3.3 has partitions of them."""
    accessor = context["outlet_events"][outlet]
    if is_alias(outlet):
        accessor.add(asset, extra=extra)
        return
    accessor.extra = {**accessor.extra, **extra}
    if partitions and hasattr(accessor, "add_partitions"):
        accessor.add_partitions(list(partitions))


def refuse_deferral(context: Any, what: str) -> None:
    """Have the task refuse to defer from now on: Airflow forgets what events shall tell when a task waits."""

    def defer(**_: Any) -> None:
        raise PublishError(f"the task published {what} and then defers, by which Airflow loses the event: defer first")

    context["task"].defer = defer


def run_type(context: Any) -> str:
    """Return what made the run, such as ``"backfill"``."""
    kind = context["dag_run"].run_type
    return str(getattr(kind, "value", kind))


def runs_again(context: Any) -> bool:
    """Return whether the task has run before: in an earlier try, until it deferred, or until it was rescheduled."""
    ti = context["ti"]
    told = getattr(ti, "_ti_context_from_server", ti)  # by Airflow 3; in Airflow 2, the row of the task itself
    return bool(ti.try_number > 1 or context.get("task_reschedule_count") or getattr(told, "next_method", None))


def triggering_events(context: Any) -> list[Event]:
    """Return the events that started the run, in the order of their times."""
    try:
        by_asset = context["triggering_asset_events"]
    except KeyError:
        by_asset = context["triggering_dataset_events"]
    assets = [asset for asset in by_asset if isinstance(asset, str) or not is_alias(asset)]
    events = [_event(event) for asset in assets for event in by_asset[asset]]
    return sorted(events, key=_age)


def chooses_events() -> bool:
    """Return whether Airflow gives some of an asset's events: not from 3.0 until tasks can say which."""
    try:
        from airflow.sdk.execution_time.context import InletEventsAccessor
    except ImportError:
        return True
    return hasattr(InletEventsAccessor, "limit")


def has_asset_views() -> bool:
    """Return whether plugins can add tabs to the pages of assets: from 3.4 on."""
    from airflow import plugins_manager

    return "asset" in get_args(getattr(plugins_manager, "BaseDestinationLiteral", None))


def newest_events(key: AssetKey, limit: int, partition: str | None, since: datetime | None = None) -> list[Event]:
    """Return the newest events of an asset or alias, the newest first; at least ``limit``, if there are so many.

    All come where Airflow does not choose.  Where it can, it leaves out those of other partitions, and older ones.
    """
    try:
        from airflow.sdk.execution_time.context import InletEventsAccessors
    except ImportError:
        return _queried(key, limit, since)
    asset = _object_of(key)
    accessor: Any = InletEventsAccessors([asset])[asset]
    if hasattr(accessor, "limit"):
        accessor = accessor.ascending(ascending=False).limit(limit)
        accessor = accessor if since is None else accessor.after(since)
    if partition is not None and hasattr(accessor, "partition_key"):
        accessor = accessor.partition_key(partition)
    return sorted(map(_event, accessor), key=_age, reverse=True)


def _object_of(key: AssetKey) -> Any:
    from airflow.sdk.definitions.asset import Asset, AssetAlias

    if key.alias is not None:
        return AssetAlias(key.alias)
    if key.name is not None and key.uri is not None:
        return Asset(name=key.name, uri=key.uri)
    return Asset.ref(uri=str(key.uri)) if key.name is None else Asset.ref(name=key.name)


def _queried(key: AssetKey, limit: int, since: datetime | None) -> list[Event]:
    """Return the newest events in Airflow 2, whose tasks have the database."""
    from airflow.models import dataset as models  # type: ignore[attr-defined,unused-ignore]
    from airflow.utils.session import create_session
    from sqlalchemy import select

    of_alias = key.alias is not None
    join = models.DatasetEvent.source_aliases if of_alias else models.DatasetEvent.dataset
    where = models.DatasetAliasModel.name == key.alias if of_alias else models.DatasetModel.uri == key.uri
    order = models.DatasetEvent.timestamp.desc(), models.DatasetEvent.id.desc()
    with create_session() as session:
        query = select(models.DatasetEvent).join(join).where(where).order_by(*order).limit(limit)
        query = query if since is None else query.where(models.DatasetEvent.timestamp >= since)
        return [_event(event) for event in session.scalars(query)]


def _event(event: Any) -> Event:
    asset = getattr(event, "asset", None) or event.dataset
    return Event(
        name=getattr(asset, "name", None) or asset.uri,
        uri=asset.uri,
        extra=event.extra,
        source=(event.source_dag_id, event.source_run_id, event.source_task_id, event.source_map_index),
        timestamp=event.timestamp,
        partition=getattr(event, "partition_key", None),
        aliases=frozenset(alias.name for alias in getattr(event, "source_aliases", ())),
        id=getattr(event, "id", None),
    )


def _age(event: Event) -> tuple[datetime, int]:
    return event.timestamp, event.id or 0


def needed_assets(context: Any) -> Iterable[AssetKey]:
    """Return the assets without whose events the run's Dag would not have been started, as its schedule says."""
    timetable = context["dag"].timetable
    condition = getattr(timetable, "asset_condition", None) or getattr(timetable, "dataset_condition", None)
    return _needed(condition)


def _needed(condition: Any) -> set[AssetKey]:
    """Return what a condition needs: all of what each part needs, or of alternatives what each of them needs."""
    if isinstance(condition, _classes()[0]):
        return {key_of(condition)}
    parts = [_needed(part) for part in getattr(condition, "objects", ())]
    if not parts:
        return set()
    is_any = "Any" in type(condition).__name__
    return set.intersection(*parts) if is_any else set.union(*parts)

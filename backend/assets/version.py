"""Versions of assets, as the events tell of them; only those count that the event's own task published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from airflow_xcom.backend.asset_version import AssetVersion, is_time
from airflow_xcom.backend.compat_assets import Event
from airflow_xcom.backend.envelope import ENVELOPE_KEY, Envelope
from airflow_xcom.backend.errors import NoVersionError
from airflow_xcom.backend.pull import Deferred
from airflow_xcom.codecs import CodecError
from airflow_xcom.codecs.quoting import cut

PARTITIONS = "partitions"  # in the extra of an event of several
_FROM_REST = "from_rest_api"  # as Airflow marks what its REST API was given


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an asset; its value is read when it is asked for.

    Attributes:
        name, uri: of the asset.
        partition: its key, or None.
        id: 32 hexadecimal digits.
        published: when its task published it.
        sent: when Airflow recorded the event, which is once the task has succeeded.
        dag_id, run_id, task_id: of the publishing task.
        map_index: of that task; -1 if it is not mapped.
        summary: a few facts: its type, its bytes, and what the codec adds.
        envelope: where its blob is.
    """

    name: str
    uri: str
    partition: str | None
    id: str
    published: datetime
    sent: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    summary: dict[str, Any] = field(repr=False, compare=False)
    envelope: Envelope = field(repr=False, compare=False)

    def value(self, *, columns: Sequence[Any] | None = None, rows: slice | None = None, as_: str | None = None) -> Any:
        """Return the value, or of a table some columns and rows, as :func:`airflow_xcom.backend.pull_table` does.

        Raises:
            UnknownColumnError, SelectionError, DecodeError, StoreError: See there.
        """
        row = Deferred(self.envelope.to_json(), None)
        if columns is None and rows is None and as_ is None:
            return row.value()
        return row.part(columns=columns, rows=rows, as_=as_)

    @property
    def asset(self) -> AssetVersion:
        """Return what the envelope tells of the version."""
        return _asset_of(self.envelope)

    def to_json(self) -> list[Any]:
        """Return what :meth:`from_json` takes."""
        return [self.sent.isoformat(), self.envelope.to_json()[ENVELOPE_KEY]]

    @classmethod
    def from_json(cls, value: Any) -> Version:
        """Return the version.

        Raises:
            CodecError: It is not what :meth:`to_json` writes, or its blob is of another asset or task.
        """
        match value:
            case [str(sent), content] if is_time(sent):
                return cls.of(_envelope_of(content), datetime.fromisoformat(sent))
        raise NoVersionError("what should be a version of an asset is not one")

    @classmethod
    def of(cls, envelope: Envelope, sent: datetime) -> Version:
        """Return the version that an envelope tells of."""
        asset, at = _asset_of(envelope), envelope.coordinate
        return cls(
            name=asset.name,
            uri=asset.uri,
            partition=asset.partition,
            id=asset.id,
            published=datetime.fromisoformat(asset.at).astimezone(UTC),
            sent=sent.astimezone(UTC),
            dag_id=str(at.dag_id),
            run_id=str(at.run_id),
            task_id=str(at.task_id),
            map_index=-1 if at.map_index is None else at.map_index,
            summary=envelope.summary,
            envelope=envelope,
        )


def versions_in(event: Event) -> list[Version]:
    """Return the versions that an event tells of: one, or with partitions several.

    They count if the event came from the task that published them, and neither from the REST API nor from a trigger,
    and if their blobs are of this asset and task.
    """
    try:
        return [Version.of(_envelope_of(content), event.timestamp) for content in _contents(event)]
    except CodecError as error:
        raise _no_version(event, str(error)) from error


def versions_of(events: Iterable[Event]) -> Iterator[tuple[Event, Version]]:
    """Yield the versions of events, each with its event; events without a value that counts are left out."""
    for event in events:
        with suppress(NoVersionError):
            yield from ((event, version) for version in reversed(versions_in(event)))


def partitions_in(event: Event) -> set[str | None]:
    """Return the partitions of an event's versions in a fifth of the time that it takes to check all of these.

    Raises:
        NoVersionError: It tells of none that may count.
    """
    try:
        return {content["asset"].get("partition") for content in _contents(event)}
    except CodecError as error:
        raise _no_version(event, str(error)) from error


def _contents(event: Event) -> list[Any]:
    """Return the contents of an event's envelopes, which name its source, its asset, and its partition if it has one.

    Raises:
        NoVersionError: One does not, there is none, or Airflow's REST API wrote the event.
    """
    if isinstance(event.extra, dict) and _FROM_REST in event.extra:
        raise NoVersionError("it was sent by the REST API or in Airflow's pages")
    contents = contents_of(event.extra)
    partitions = [_partition(content, event) for content in contents]
    found = [one for one, partition in zip(contents, partitions, strict=True) if event.partition in {None, partition}]
    if not found:
        raise NoVersionError("its task did not publish a value")
    return found


def _partition(content: Any, event: Event) -> str | None:
    """Return the partition in an envelope of an event; raise NoVersionError for one of another task or asset."""
    match content:
        case {"of": [dag, run, task, index, _], "asset": {"name": name, "uri": uri, **facts}}:
            partition = facts.get("partition")
        case _:
            raise NoVersionError("the envelope is not that of a version of an asset")
    if None in (dag, run, task) or type(index) is not int:
        raise NoVersionError("the envelope does not say which task published the value")
    *task_of, source_index = event.source
    if [dag, run, task, index] != [*task_of, -1 if source_index is None else source_index]:
        raise NoVersionError(f"its value was published by another task, dag={dag} run={run}")
    if (name, uri) != (event.name, event.uri):
        raise NoVersionError(f"its value was published to another asset, {name!r}")
    if type(partition) not in {str, type(None)}:
        raise NoVersionError("the partition in the envelope is not a text")
    return cast("str | None", partition)


def contents_of(extra: Any) -> list[Any]:
    """Return what stands in an event's extra in place of envelopes; raise NoVersionError for text that is not JSON."""
    text = extra.get(ENVELOPE_KEY) if isinstance(extra, dict) else None
    if text is None:
        return []
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise NoVersionError("the envelope in the event is not JSON") from error
    several = content.get(PARTITIONS) if isinstance(content, dict) else None
    return several if isinstance(several, list) else [content]


def _envelope_of(content: Any) -> Envelope:
    """Return the envelope of a version; raise CodecError if it is not one, or refers to a blob of another asset."""
    envelope = Envelope.from_json({ENVELOPE_KEY: content})
    if envelope is None or envelope.asset is None or None in envelope.coordinate.to_json():
        raise NoVersionError("the envelope is not that of a version of an asset")
    envelope.check_origin(envelope.coordinate)
    return envelope


def _asset_of(envelope: Envelope) -> AssetVersion:
    if envelope.asset is None:
        raise NoVersionError("the envelope is not that of a version of an asset")
    return envelope.asset


def _no_version(event: Event, why: str) -> NoVersionError:
    dag, run, task, _ = event.source
    return NoVersionError(
        f"the event of the asset {event.name!r} at {event.timestamp.isoformat()} from dag={dag} run={run} task={task}, "
        f"has no value that counts: {cut(why)}"
    )


def distinct(versions: list[Version]) -> list[Version]:
    """Return the versions without those that were there before: one may have several events."""
    return list({version.id: version for version in reversed(versions)}.values())[::-1]

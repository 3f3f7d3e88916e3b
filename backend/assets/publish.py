"""Publish a value to an asset: its blob is written at once, and the asset's event refers to it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from airflow_xcom.backend.asset_version import AssetVersion, new_version_id
from airflow_xcom.backend.assets.latest import last_accepted
from airflow_xcom.backend.assets.schema import check, check_contract, schema_of
from airflow_xcom.backend.assets.version import PARTITIONS, contents_of
from airflow_xcom.backend.compat import xcom_class
from airflow_xcom.backend.compat_assets import (
    AssetKey,
    concrete,
    current_context,
    emit,
    emitted,
    is_alias,
    key_of,
    outlet_for,
    refuse_deferral,
    run_type,
)
from airflow_xcom.backend.envelope import ENVELOPE_KEY, PUBLISHED, Coordinate, Envelope
from airflow_xcom.backend.errors import HintError, PublishError
from airflow_xcom.backend.hints import Stored, unwrapped
from airflow_xcom.backend.push import Written, enclosed
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError

log = logging.getLogger("airflow_xcom.backend")

T = TypeVar("T")

_MOST_PARTITIONS = 100  # of an asset in a task: each of their events tells of all of them
_SHOWN = 300  # characters of a fact that an event tells


def publish(value: T, asset: Any, *, partition: str | None = None, schema: Any = None, latest: bool | None = None) -> T:
    """Write a value as a new version of an asset, which others can read once this task has succeeded.

    ::

        @task(outlets=[flights])
        def extract():
            return publish(frame, flights)

    Args:
        value: any value that an XCom can be, with a hint of :func:`airflow_xcom.backend.stored` or without.
        asset: one of the task's ``outlets``; or one to be sent through the only alias among them.
        partition: its key; that of the run, if the run has one.
        schema: a contract: ``"same"`` or ``"compatible"``, as is the last version that no backfill published, or a
            dict of columns and their types; see docs/ASSETS.md.
        latest: True makes a backfill's version the latest one, though one of a later data interval exists.

    Returns:
        What Airflow and type checkers take for the value; returned from the task, its XCom refers to the same blob.

    Raises:
        PublishError: The asset is not among the outlets, or has been published in this try already.
        SchemaChangedError: The value breaks the contract; it names all differences.
        HintError: A hint on the value cannot be followed.
        EncodeError: The value cannot be stored exactly.
        StoreError: The store cannot be written to.
        RuntimeError: No task runs here.
    """
    context = current_context()
    outlet = _outlet(context, asset)
    key = concrete(context, asset)
    partition = _run_partition(context) if partition is None else partition
    _check_first(context, outlet, asset, key.name, partition)
    if schema is not None:
        _check_schema(value, schema, key)
    version = AssetVersion(
        name=str(key.name),
        uri=str(key.uri),
        id=new_version_id(),
        at=datetime.now(UTC).isoformat(),
        partition=partition,
        interval=_interval(context),
        backfill=run_type(context) == "backfill",
        forced=latest is True,
    )
    ti, note = context["ti"], PUBLISHED + version.id
    at = Coordinate(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, note)
    envelope, plain = _written(value, at, version)
    if plain is None:
        written: Any = None  # of which Airflow pushes nothing
    else:
        written = Written(plain, lambda at: replace(envelope, coordinate=at).to_json())
    ti.xcom_push(key=note, value=Written(plain, lambda _: envelope.to_json()))
    _emit(context, outlet, asset, envelope)
    refuse_deferral(context, f"the asset {version.name!r}")
    log.info("published %s partition=%s version=%s [%s]", version.name, partition, version.id, envelope.coordinate)
    return cast("T", written)


def _outlet(context: Any, asset: Any) -> Any:
    """Return the outlet for an asset; raise PublishError if Airflow would drop its event without a word."""
    configured = xcom_class()  # loaded before ours, which it imports in the midst of Airflow's own otherwise
    from airflow_xcom.backend.xcom import CodecXComBackend

    if not issubclass(configured, CodecXComBackend):
        raise PublishError("publish() needs [core] xcom_backend = airflow_xcom.backend.CodecXComBackend")
    if is_alias(asset):
        msg = f"publish() takes the asset that is meant, not the alias {asset.name!r} through which its event is sent"
        raise PublishError(msg)
    outlet = outlet_for(context, asset)
    if outlet is None:
        raise PublishError(
            f"the asset {key_of(asset)} is not among the outlets of the task {context['task'].task_id!r}, so Airflow "
            "would drop its event: write @task(outlets=[...]) with it, or with one alias through which it is sent"
        )
    return outlet


def _check_first(context: Any, outlet: Any, asset: Any, name: Any, partition: str | None) -> None:
    """Raise PublishError if this try has published the same, or what cannot be in one event with it."""
    before = _envelopes(context, outlet, asset)
    if len(before) >= _MOST_PARTITIONS:
        raise PublishError(
            f"a task can publish {_MOST_PARTITIONS} partitions of an asset, as the event of each tells of all: publish "
            "the others from another task, or from mapped ones"
        )
    for envelope in before:
        found = cast("AssetVersion", envelope.asset)
        if found.partition == partition:
            what = f"the asset {name!r}" + ("" if partition is None else f" with the partition {partition!r}")
            msg = f"this try has already published {what}, and an event tells of one version: publish once in a task"
            raise PublishError(msg)
        if None in {found.partition, partition}:
            msg = f"the asset {name!r} is published both with a partition and without; give each a partition"
            raise PublishError(msg)
    if partition is not None and is_alias(outlet) and partition != _run_partition(context):
        msg = f"Airflow sends no partitions through an alias: name the asset {name!r} itself among the outlets"
        raise PublishError(msg)


def _check_schema(value: Any, contract: Any, key: AssetKey) -> None:
    """Raise SchemaChangedError if a value that is to be published breaks a contract."""
    check_contract(contract)
    last = None if isinstance(contract, Mapping) else last_accepted(key)
    known, against = None, ""
    if last is not None:
        at = f"dag={last.dag_id} run={last.run_id} task={last.task_id}"
        known, against = schema_of(last), f"the version of {last.sent.isoformat(timespec='seconds')}, from {at}"
    check(value.value if type(value) is Stored else value, contract, known, asset=str(key.name), against=against)


def _envelopes(context: Any, outlet: Any, asset: Any) -> list[Envelope]:
    """Return what this try has published of an asset."""
    contents = [one for extra in emitted(context, outlet, concrete(context, asset)) for one in contents_of(extra)]
    return [envelope for one in contents if (envelope := Envelope.from_json({ENVELOPE_KEY: one}))]


def _emit(context: Any, outlet: Any, asset: Any, envelope: Envelope) -> None:
    """Have the event of the asset tell of the version, beside those of other partitions."""
    brief = replace(envelope, summary=_brief(envelope.summary))
    contents = [one.to_json()[ENVELOPE_KEY] for one in [*_envelopes(context, outlet, asset), brief]]
    content = contents[0] if len(contents) == 1 else {"version": contents[0]["version"], PARTITIONS: contents}
    partition = cast("AssetVersion", envelope.asset).partition
    # As text: at every start of a task, three processes check and copy what parsed JSON holds, value by value.
    text = json.dumps(content, separators=(",", ":"))
    emit(context, outlet, asset, {ENVELOPE_KEY: text}, [] if partition is None else [partition])


def _brief(summary: dict[str, Any]) -> dict[str, Any]:
    """Return those facts that are short: every start of a task carries those of all events that triggered its run.

    Columns are told by the schema and by the XCom.
    """
    return {name: fact for name, fact in summary.items() if not isinstance(fact, dict) and len(str(fact)) < _SHOWN}


def _written(value: Any, at: Coordinate, version: AssetVersion) -> tuple[Envelope, Any]:
    """Return the envelope of a value whose blob is written, and the value without its hint."""
    try:
        plain, hint = unwrapped(value, at)
        if hint.inline is True or hint.ttl is not None:
            name = "ttl" if hint.inline is None else "inline"
            raise HintError(name, getattr(hint, name), "what is published stays in a store")
        envelope, _ = enclosed(plain, at, replace(hint.applied(settings()), threshold=0), version)  # of any size
    except CodecError as error:
        error.context = str(at)
        raise
    return envelope, plain


def _run_partition(context: Any) -> str | None:
    """Return the partition key of the run; Airflow has them from 3.2 on."""
    return getattr(context["dag_run"], "partition_key", None)


def _interval(context: Any) -> tuple[str, str] | None:
    run = context["dag_run"]
    start, end = run.data_interval_start, run.data_interval_end
    return None if start is None or end is None else (start.isoformat(), end.isoformat())

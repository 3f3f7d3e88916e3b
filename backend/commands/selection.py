"""The rows that a command is about, by its options, and what it says of them."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_xcom.backend.assets.latest import history, latest_in
from airflow_xcom.backend.assets.tags import tags_of
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.blobs import store_name
from airflow_xcom.backend.commands.declarations import TOKEN
from airflow_xcom.backend.compat import connection
from airflow_xcom.backend.database import asset_versions, xcom_rows
from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset
from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.errors import NoVersionError, UnknownStoreError, XComNotFoundError
from airflow_xcom.backend.maintenance.references import RowSource
from airflow_xcom.backend.maintenance.rest_rows import RestRows

_SHOWN = 5  # XComs, assets or partitions in an error
_FACTS = 3  # of a summary
_LARGEST = 1 << 63  # bytes; a summary that says more lies
_LARGEST_ID = (1 << 31) - 1  # number of an event


def row_source(options: Namespace) -> RowSource:
    """Return the source that the options name: the metadata database, or Airflow's REST API."""
    if options.rest:
        return _rest(options.rest, options.token_file)
    return xcom_rows.metadata_rows()


def _rest(where: str, token_file: Path | None) -> RowSource:
    if "://" in where:
        token = token_file.read_text(encoding="utf-8").strip() if token_file else os.environ.get(TOKEN)
        return RestRows(where, token)
    airflow = connection(where)
    host = airflow.host if "://" in (airflow.host or "") else f"{airflow.schema or 'http'}://{airflow.host}"
    url = f"{host}:{airflow.port}" if airflow.port else host
    if airflow.login:
        return RestRows(url, login=(airflow.login, airflow.password or ""))
    return RestRows(url, airflow.password)


def matching(rows: Rows, options: Namespace) -> Iterator[XComRow]:
    """Yield the rows with our envelopes that have the coordinate, the store and the tag that were given."""
    for row in rows.matching(_coordinate(options)):
        tag = None if row.envelope is None else row.envelope.tag
        if options.tag in {None, tag} and options.store in {None, store_of(row)}:
            yield row


def chosen(options: Namespace) -> XComRow:
    """Return the XCom, or the version of an asset, that the options name; see :func:`only`."""
    if options.asset is not None:
        return row_of(options)
    return only(xcom_rows.metadata_rows(), options)


def only(rows: Rows, options: Namespace) -> XComRow:
    """Return the single row that has the coordinate that was given."""
    found = list(islice(rows.matching(_coordinate(options), native=True), _SHOWN + 1))
    if len(found) == 1:
        return found[0]
    parts = {name: getattr(options, name) for name in ("dag", "run", "task", "map_index", "key")}
    given = ", ".join(f"{name}={part}" for name, part in parts.items() if part is not None) or "nothing given"
    if not found:
        raise XComNotFoundError(f"there is no XCom with {given}")
    names = "".join(f"\n  {row.coordinate}" for row in found[:_SHOWN])
    more = "\n  …" if len(found) > _SHOWN else ""
    raise XComNotFoundError(
        f"there are several XComs with {given}; say which with --dag, --run, --task, --map-index or --key:{names}{more}"
    )


def _coordinate(options: Namespace) -> Coordinate:
    return Coordinate(options.dag, options.run, options.task, options.map_index, options.key)


def asset_named(events: AssetEvents, name: str) -> KnownAsset:
    """Return the asset that has a name or a URI."""
    known = events.assets()
    found = [asset for asset in known if name in {asset.name, asset.uri}]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoVersionError(f"several assets have the name {name!r}: say which by its URI")
    some = ", ".join(asset.name for asset in known[:_SHOWN])
    raise NoVersionError(f"there is no asset {name!r}" + (f"; there are {some}" if some else ""))


def version_named(
    events: AssetEvents, asset: KnownAsset, wanted: str | None, partition: str | None
) -> tuple[int, Version]:
    """Return the version that has the number of an event or a tag, or the latest, and the number of its event."""
    if wanted is None:
        found = latest_in(history(events, asset), partition)
        if found is None:
            newest = next(history(events, asset), None)
            if partition is None and newest is not None:
                such = f"such as {newest[1].partition}: say which by --partition"
                raise NoVersionError(f"all versions of the asset {asset.name!r} are of a partition, {such}")
            of = "" if partition is None else f" of the partition {partition!r}"
            raise NoVersionError(f"the asset {asset.name!r} has no version{of}; airflow-xcom versions lists them")
        return found
    if not wanted.isdecimal():
        tagged = [tag for tag in tags_of(asset.name, asset.uri) if tag.name == wanted]
        if not tagged:
            raise NoVersionError(f"no version of the asset {asset.name!r} has the tag {wanted!r}")
        return tagged[0].number, tagged[0].version
    numbered = history(events, asset, number=min(int(wanted), _LARGEST_ID))
    of_partition = [each for each in numbered if partition in {None, each[1].partition}]
    if len(of_partition) == 1:
        return of_partition[0]
    if of_partition:
        some = ", ".join(str(version.partition) for _, version in of_partition[:_SHOWN])
        raise NoVersionError(
            f"the event {wanted} has versions of several partitions: say which by --partition ({some})"
        )
    raise NoVersionError(f"the asset {asset.name!r} has no version {wanted}; airflow-xcom versions lists them")


def row_of(options: Namespace) -> XComRow:
    """Return the version that the options name, as a row whose envelope refers to it."""
    events = asset_versions.metadata_events()
    return _row(*version_named(events, asset_named(events, options.asset), options.version, options.partition))


def rows_of_asset(options: Namespace) -> Iterator[XComRow]:
    """Yield the version that the options name, or without ``--version`` all of the asset, the newest first."""
    if options.version is not None:
        yield row_of(options)
        return
    events = asset_versions.metadata_events()
    for number, version in history(events, asset_named(events, options.asset)):
        if options.partition in {None, version.partition}:
            yield _row(number, version)


def _row(number: int, version: Version) -> XComRow:
    envelope = version.envelope
    return XComRow("asset_event", (number,), json.dumps(envelope.to_json()), envelope.coordinate, is_event=True)


def store_of(row: XComRow) -> str | None:
    """Return the name of the store that has the payload, or ``row``; None where that cannot be read."""
    if not row.references:
        return None if row.error else "row"
    try:
        return ", ".join({store_name(reference): None for reference in row.references})
    except UnknownStoreError:
        return row.references[0].store


def described(row: XComRow) -> dict[str, Any]:
    """Return what is known of a row, for scripts."""
    reference = None if row.envelope is None else row.envelope.reference
    facts: dict[str, Any] = {
        **asdict(row.coordinate),
        "tag": None if row.envelope is None else row.envelope.tag,
        "place": _place(row),
        "store": None,
        "bytes": payload_size(row),
        "summary": None if row.envelope is None else row.envelope.summary,
        "error": None if row.error is None else str(row.error),
    }
    if row.envelope is not None and row.envelope.inexact is not None:
        facts["inexact"] = row.envelope.inexact.to_json()
    if row.envelope is not None and row.envelope.retired is not None:
        facts["retired"] = asdict(row.envelope.retired)
    if row.references:
        facts["store"] = store_of(row)
    if reference is not None:
        facts |= {"blob": f"{reference.url}/{reference.path}", "digest": reference.digest}
        facts |= {"host": reference.host, "expires": reference.expires}
    return facts


def _place(row: XComRow) -> str:
    if row.error is not None:
        return "unreadable"
    if row.envelope is None:
        return "plain"
    if row.envelope.retired is not None:
        return "retired"
    return "blob" if row.references else "row"


def payload_size(row: XComRow) -> int | None:
    """Return the bytes that a value takes: of its blob, or, before it was written as JSON, in its row."""
    if row.envelope is None:
        return None
    size = row.blob_size if row.references else row.envelope.summary.get("bytes")
    return size if type(size) is int and 0 <= size < _LARGEST else None


def summary_text(summary: dict[str, Any], tag: str | None) -> str:
    """Return the facts of a summary that fit a line."""
    shape, length = summary.get("shape"), summary.get("length")
    facts = [summary["type"]] if summary.get("type", tag) != tag else []
    facts += [" x ".join(map(str, shape))] if isinstance(shape, list) else []
    facts += [f"{length} items"] if length is not None else []
    others = {name: fact for name, fact in summary.items() if name not in {"type", "bytes", "shape", "length", "head"}}
    facts += [f"{name} {_brief(fact)}" for name, fact in others.items() if fact != []]  # as nulls, where there are none
    return ", ".join(map(str, facts[:_FACTS]))


def _brief(fact: Any) -> str:
    return ", ".join(f"{name}: {item}" for name, item in fact.items()) if isinstance(fact, dict) else str(fact)

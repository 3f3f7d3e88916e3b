"""The version of an asset that a command is about."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_xcom.backend.errors import NoVersionError

if TYPE_CHECKING:
    from airflow_xcom.backend.assets.version import Version
    from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset
    from airflow_xcom.backend.database.xcom_rows import XComRow

_SHOWN = 5
_LARGEST = (1 << 31) - 1  # number of an event


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
    from airflow_xcom.backend.assets.history import history, latest_in
    from airflow_xcom.backend.assets.tags import tags_of

    if wanted is None:
        found = latest_in(history(events, asset), partition)
        if found is None:
            of = "" if partition is None else f" of the partition {partition!r}"
            raise NoVersionError(f"the asset {asset.name!r} has no version{of}; airflow-xcom versions lists them")
        return found
    if not wanted.isdecimal():
        tagged = [tag for tag in tags_of(asset.name, asset.uri) if tag.name == wanted]
        if not tagged:
            raise NoVersionError(f"no version of the asset {asset.name!r} has the tag {wanted!r}")
        return tagged[0].number, tagged[0].version
    numbered = history(events, asset, number=min(int(wanted), _LARGEST))
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
    from airflow_xcom.backend.database.asset_versions import metadata_events

    events = metadata_events()
    return _row(*version_named(events, asset_named(events, options.asset), options.version, options.partition))


def rows_of_asset(options: Namespace) -> Iterator[XComRow]:
    """Yield the version that the options name, or without ``--version`` all of the asset, the newest first."""
    from airflow_xcom.backend.assets.history import history
    from airflow_xcom.backend.database.asset_versions import metadata_events

    if options.version is not None:
        yield row_of(options)
        return
    events = metadata_events()
    for number, version in history(events, asset_named(events, options.asset)):
        if options.partition in {None, version.partition}:
            yield _row(number, version)


def _row(number: int, version: Version) -> XComRow:
    from airflow_xcom.backend.database.xcom_rows import XComRow

    envelope = version.envelope
    return XComRow("asset_event", (number,), json.dumps(envelope.to_json()), envelope.coordinate, is_event=True)

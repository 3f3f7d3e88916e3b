"""All versions of an asset that a metadata database knows, for the command line and retention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_xcom.backend.assets.latest import latest_of, settles
from airflow_xcom.backend.assets.version import Version, versions_of
from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset


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

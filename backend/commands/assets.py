"""``airflow-xcom assets``: which assets have values."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from airflow_xcom.backend.assets.latest import history
from airflow_xcom.backend.assets.retention import rule_for
from airflow_xcom.backend.assets.tags import tags_of
from airflow_xcom.backend.commands.terminal import human, say_listing
from airflow_xcom.backend.database import asset_versions
from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset

_HEADS = ("ASSET", "URI", "EVENTS", "NEWEST", "SIZE", "TAGS", "KEPT")
_PAGE = 8  # events that are read, for one is enough


def run(options: Namespace) -> int:
    """List them."""
    events = asset_versions.metadata_events()
    counts = events.counts()
    found = (_facts(events, asset, counts.get(asset.id, 0)) for asset in events.assets())
    facts = [each for each in found if each["newest"] or each["tags"]]
    say_listing(options.output, facts, _HEADS, _cells, "There are no assets with values")
    return 0


def _facts(events: AssetEvents, asset: KnownAsset, count: int) -> dict[str, Any]:
    newest = next((version for _, version in history(events, asset, page=_PAGE)), None) if count else None
    reference = None if newest is None else newest.envelope.reference
    try:
        rule = rule_for(asset).text
    except ValueError as error:
        rule = f"kept: {error}"
    tags = [tag.name for tag in tags_of(asset.name, asset.uri)]
    sent = None if newest is None else newest.sent.isoformat(timespec="seconds")
    facts = {"asset": asset.name, "uri": asset.uri, "events": count, "newest": sent}
    return {**facts, "bytes": 0 if reference is None else reference.size, "tags": tags, "kept": rule}


def _cells(facts: dict[str, Any]) -> list[str]:
    names = [facts["asset"], facts["uri"], f"{facts['events']:,}", facts["newest"] or "", human(facts["bytes"])]
    return [*names, ", ".join(facts["tags"]), facts["kept"]]

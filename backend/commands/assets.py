"""``airflow-xcom assets``: which assets have values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.commands.arguments import add_output
from airflow_xcom.backend.commands.terminal import human, say
from airflow_xcom.backend.commands.text_table import say_columns

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from airflow_xcom.backend.database.asset_versions import AssetEvents, KnownAsset

__all__ = ["HELP", "add_arguments", "run"]

HELP = "list the assets that have values"
_HEADS = ("ASSET", "URI", "VERSIONS", "SIZE", "LATEST", "TAGS", "KEPT")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "List the assets to which a task has published a value, with the number and the sizes of the versions that "
        "their events name, the time of the newest one, tags, and how long versions are kept.  No payload is read."
    )
    add_output(parser, "json: a JSON object a line")


def run(options: Namespace) -> int:
    """List them."""
    from airflow_xcom.backend.database.asset_versions import metadata_events

    events = metadata_events()
    found = (_facts(events, asset) for asset in events.assets())
    facts = [each for each in found if each["versions"] or each["tags"]]
    if options.output == "json":
        for each in facts:
            say(json.dumps(each))
    elif not say_columns(_HEADS, map(_cells, facts)):
        say("There are no assets with values")
    return 0


def _facts(events: AssetEvents, asset: KnownAsset) -> dict[str, Any]:
    from airflow_xcom.backend.assets.history import history
    from airflow_xcom.backend.assets.retention import rule_for
    from airflow_xcom.backend.assets.tags import tags_of

    count, size, newest = 0, 0, None
    for _, version in history(events, asset):
        reference = version.envelope.reference
        count, size = count + 1, size + (0 if reference is None else reference.size)
        newest = newest or version.sent.isoformat(timespec="seconds")
    try:
        rule = rule_for(asset).text
    except ValueError as error:
        rule = f"kept: {error}"
    tags = [tag.name for tag in tags_of(asset.name, asset.uri)]
    facts = {"asset": asset.name, "uri": asset.uri, "versions": count, "bytes": size}
    return {**facts, "latest": newest, "tags": tags, "kept": rule}


def _cells(facts: dict[str, Any]) -> list[str]:
    names = [facts["asset"], facts["uri"], f"{facts['versions']:,}", human(facts["bytes"])]
    return [*names, facts["latest"] or "", ", ".join(facts["tags"]), facts["kept"]]

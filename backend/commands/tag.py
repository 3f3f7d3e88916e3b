"""``airflow-xcom tag``: give a version of an asset a name, which keeps it."""

from __future__ import annotations

from argparse import Namespace

from airflow_xcom.backend.assets.tags import remove_tag, set_tag
from airflow_xcom.backend.commands.selection import asset_named, version_named
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.database import asset_versions
from airflow_xcom.backend.errors import TagError


def run(options: Namespace) -> int:
    """Do it, and say which version has the name now."""
    events = asset_versions.metadata_events()
    deployment = events.deployment()
    asset = asset_named(events, options.asset)
    if options.remove:
        (tag, *_) = remove_tag(asset.name, asset.uri, options.name, deployment)
        say(f"{asset.name}: version {tag.number} is not {options.name} any more")
        return 0
    if options.version is None:
        raise TagError(
            f"say which version of {asset.name!r} is to be {options.name!r}: airflow-xcom tag ASSET VERSION NAME"
        )
    number, version = version_named(events, asset, options.version, options.partition)
    before = set_tag(version, number, options.name, deployment)
    moved = f", and version {before[0].number} is not any more" if before and before[0].number != number else ""
    say(f"{asset.name}: version {number} is {options.name}{moved}")
    return 0

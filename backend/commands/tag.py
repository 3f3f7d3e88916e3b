"""``airflow-xcom tag``: give a version of an asset a name, which keeps it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from airflow_xcom.backend.commands.asset_selection import asset_named, version_named
from airflow_xcom.backend.commands.terminal import say
from airflow_xcom.backend.errors import TagError

HELP = "give a version of an asset a name, which keeps it"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Give a version of an asset a name.  A version with a name is kept, whatever the policy of the asset says and "
        "though its event is gone; other commands take the name for the number.  Another version that had the name "
        "loses it."
    )
    parser.add_argument("asset", metavar="ASSET", help="its name or its URI")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="its number, see versions, or another name of it")
    parser.add_argument("name", metavar="NAME", help="letters, digits, and . _ + @ -, but not a number alone")
    parser.add_argument("--partition", metavar="KEY", help="if one event tells of versions of several partitions")
    parser.add_argument("--remove", action="store_true", help="take the name away, from whichever version has it")


def run(options: Namespace) -> int:
    """Do it, and say which version has the name now."""
    from airflow_xcom.backend.assets.tags import remove_tag, set_tag
    from airflow_xcom.backend.database.asset_versions import metadata_events

    events = metadata_events()
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

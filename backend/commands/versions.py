"""``airflow-xcom versions``: the versions of an asset."""

from __future__ import annotations

from argparse import Namespace
from itertools import islice
from typing import Any

from airflow_xcom.backend.assets.latest import history
from airflow_xcom.backend.assets.tags import tags_of
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.blobs import retirement_of, store_name
from airflow_xcom.backend.commands.selection import asset_named, summary_text
from airflow_xcom.backend.commands.terminal import human, say_listing
from airflow_xcom.backend.database import asset_versions
from airflow_xcom.backend.settings import settings
from airflow_xcom.backend.stores import open_store

_HEADS = ("VERSION", "PUBLISHED", "PARTITION", "DAG", "RUN", "TASK", "MAP", "SIZE", "STATE", "SUMMARY")


def run(options: Namespace) -> int:
    """List them."""
    events = asset_versions.metadata_events()
    asset = asset_named(events, options.asset)
    tags: dict[str, list[str]] = {}
    for tag in tags_of(asset.name, asset.uri):
        tags.setdefault(tag.version.id, []).append(tag.name)
    wanted = (each for each in history(events, asset) if options.partition in {None, each[1].partition})
    facts = (_facts(number, version, tags.get(version.id, [])) for number, version in islice(wanted, options.limit))
    say_listing(options.output, facts, _HEADS, _cells, "There are no such versions")
    return 0


def _facts(number: int, version: Version, tags: list[str]) -> dict[str, Any]:
    reference = version.envelope.reference
    return {
        "version": number,
        "id": version.id,
        "published": version.published.isoformat(timespec="seconds"),
        "partition": version.partition,
        **{part: getattr(version, part) for part in ("dag_id", "run_id", "task_id", "map_index")},
        "tag": version.envelope.tag,
        "bytes": None if reference is None else reference.size,
        "blob": None if reference is None else f"{reference.url}/{reference.path}",
        "tags": tags,
        "retired": _retired(version),
        "summary": version.summary,
    }


def _retired(version: Version) -> str | None:
    """Return when and by which rule it was retired."""
    reference = version.envelope.reference
    if reference is None:
        return None
    found = retirement_of(open_store(settings().stores[store_name(reference)]), reference.path)
    return None if found is None else f"retired {found.at} by {found.rule}"


def _cells(facts: dict[str, Any]) -> list[str]:
    names = [str(facts["version"]), facts["published"], facts["partition"] or ""]
    task = [facts["dag_id"], facts["run_id"], facts["task_id"], str(facts["map_index"])]
    state = ", ".join([*facts["tags"], *([facts["retired"]] if facts["retired"] else [])])
    size = "" if facts["bytes"] is None else human(facts["bytes"])
    return [*names, *task, size, state, summary_text({"type": facts["tag"], **facts["summary"]}, None)]

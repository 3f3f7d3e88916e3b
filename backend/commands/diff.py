"""``airflow-xcom diff``: how two versions of an asset differ."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from airflow_xcom.backend.assets.schema import compare, schema_of
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.commands.selection import asset_named, version_named
from airflow_xcom.backend.commands.terminal import say, say_columns
from airflow_xcom.backend.database import asset_versions
from airflow_xcom.backend.pull import prepare
from airflow_xcom.backend.ui.comparison import comparison
from airflow_xcom.backend.ui.stored_values import StoredValue


def run(options: Namespace) -> int:
    """Compare them; return 1 if they differ."""
    prepare()
    events = asset_versions.metadata_events()
    asset = asset_named(events, options.asset)
    pair = [version_named(events, asset, which, options.partition)[1] for which in (options.one, options.other)]
    one, other = map(schema_of, pair)
    facts: dict[str, Any] = {"schema": compare(one, other, "same")}
    facts |= _tables(*pair) if one.columns is not None and other.columns is not None else _values(*pair)
    facts["differ"] = facts["differ"] or bool(facts["schema"])
    if options.output == "json":
        say(json.dumps(facts, indent=2))
    else:
        _say(facts)
    return int(facts["differ"])


def _values(one: Version, other: Version) -> dict[str, Any]:
    """Compare what has no columns as a whole: by its digest."""
    references = one.envelope.reference, other.envelope.reference
    sizes = [None if each is None else each.size for each in references]
    return {"differ": _differ_as_a_whole(one, other), "bytes": sizes}


def _differ_as_a_whole(one: Version, other: Version) -> bool:
    references = one.envelope.reference, other.envelope.reference
    return len({None if each is None else each.digest for each in references}) > 1


def _tables(one: Version, other: Version) -> dict[str, Any]:
    """Compare the cells of two tables by their position."""
    told: dict[str, Any] = {}
    compared = set()
    for part in comparison(_stored(one), _stored(other)):
        told |= part
        compared.add(part.get("column"))
    differing = told["differing"]
    masked = [of["name"] for of in told["columns"] if None not in of["types"] and of["name"] not in compared]
    cells_differ = bool(differing["counts"]) or len(set(told["rows"])) > 1
    is_partial = any((differing["partial"], told["left_out"], told["repeated"], masked))
    return {
        "rows": told["rows"],
        "compared": differing["rows"],
        "partial": differing["partial"],
        "left_out": told["left_out"],
        "repeated": told["repeated"],
        "masked": masked,
        "columns": differing["counts"],
        "first": differing["first"],
        "differ": cells_differ or (is_partial and _differ_as_a_whole(one, other)),
    }


def _stored(version: Version) -> Any:
    return StoredValue(version.envelope.coordinate, version.envelope.to_json(), version.envelope)


def _say(facts: dict[str, Any]) -> None:
    for text in facts["schema"]:
        say(f"schema: {text}")
    if "rows" not in facts:
        say("the payloads differ" if facts["differ"] else "the payloads are the same")
        return
    before, after = facts["rows"]
    say(f"rows: {before:,}" + ("" if before == after else f", then {after:,}"))
    columns = [[name, f"{count:,}"] for name, count in facts["columns"].items()]
    if columns:
        say_columns(("COLUMN", "ROWS THAT DIFFER"), columns)
        cells = [
            [f"{row['row']:,}", name, *("null" if text is None else text for text in pair)]
            for row in facts["first"]
            for name, pair in row["cells"].items()
        ]
        say("")
        say_columns(("ROW", "COLUMN", "BEFORE", "AFTER"), cells)
    else:
        is_partial = any(facts[name] for name in ("partial", "left_out", "repeated", "masked"))
        which = "that were compared" if is_partial else f"of the first {facts['compared']:,} rows"
        say(f"the cells {which} are the same")
        if is_partial:
            say("the payloads differ" if facts["differ"] else "the payloads are the same")
    for name, count in facts["partial"].items():
        say(f"of {name}, only the first {count:,} of {facts['compared']:,} rows were compared, for lack of time")
    if facts["left_out"]:
        say(f"{facts['left_out']:,} columns were not compared: there are too many")
    if facts["repeated"]:
        say(f"{facts['repeated']:,} columns were not compared: their names are those of columns before them")
    if facts["masked"]:
        say(f"not compared, as Airflow masks columns of these names: {', '.join(facts['masked'])}")

"""Where a value is, what wrote it, and the Python that pulls it."""

from __future__ import annotations

from typing import Any

from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.ui.version_keys import VersionKey
from airflow_xcom.codecs import Tagged
from airflow_xcom.codecs.quoting import cut

_UNMAPPED = -1
# Libraries whose models begin with the version that wrote them, by the tag.
_WRITERS = {"lightgbm.Booster": "LightGBM", "sklearn.estimator": "scikit-learn", "xgboost.Booster": "XGBoost"}


def where(envelope: Envelope | None) -> dict[str, Any]:
    """Return where a value is, as its row tells it."""
    if envelope is None or envelope.reference is None:
        held = envelope is not None and envelope.items
        return {"place": "with the items, under their keys" if held else "the row of Airflow's database"}
    reference = envelope.reference
    names = ("store", "url", "path", "format", "digest", "host", "expires")
    facts = {name: fact for name in names if (fact := getattr(reference, name)) is not None}
    return {**facts, "bytes": reference.size, "codecs": envelope.suppliers}


def python(at: Coordinate, envelope: Envelope | None) -> list[str]:
    """Return the lines that pull a value in a task, or that read a version."""
    if VersionKey.parse(at.key) is not None and envelope is not None and envelope.asset is not None:
        asset = envelope.asset
        found = f"versions(Asset(name={asset.name!r}, uri={asset.uri!r}))"
        return [f"next(each for each in {found} if each.id == {asset.id!r}).value()"]
    given: dict[str, Any] = {"dag_id": at.dag_id, "run_id": at.run_id, "key": at.key}
    given |= {} if at.map_index == _UNMAPPED else {"map_indexes": at.map_index}
    more = ", ".join(f"{name}={value!r}" for name, value in given.items())
    lines = [f"ti.xcom_pull({at.task_id!r}, {more})"]
    reference = envelope.reference if envelope is not None else None
    if reference is not None and reference.format == "arrow":
        lines.append(f"pull_table(ti, {at.task_id!r}, columns=[...], rows=slice(0, 100), {more})")
    return lines


def writer(node: Any) -> str | None:
    """Return the library that wrote a node and its version, where the payload has it."""
    match node:
        case Tagged(node=[str(version), *_]) if node.tag in _WRITERS:
            return f"{_WRITERS[node.tag]} {cut(version)}"
    return None

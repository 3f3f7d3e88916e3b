"""The rows of Airflow's database that the Data tab shows, and which tags of a Dag hide them."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from airflow.models.dag import DagTag
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.database.asset_versions import metadata_events
from airflow_xcom.backend.envelope import Coordinate, Envelope, Retirement
from airflow_xcom.backend.errors import HiddenValueError
from airflow_xcom.backend.retention_policy import HIDE_TAG
from airflow_xcom.backend.settings import PREVIEWS, settings
from airflow_xcom.codecs import CodecError
from airflow_xcom.codecs.quoting import cut

_ROWS = 500  # XComs that are listed
_NULLS = 20  # columns whose nulls are told
_UNMAPPED = -1


def list_rows(at: Coordinate) -> dict[str, Any]:
    """Return what the rows of a task instance or run say of their values; raise HiddenValueError if they are hidden."""
    hidden = hidden_tasks(str(at.dag_id))
    listed = []
    rows = rows_of(at)
    for where, written, stored in sorted(rows[:_ROWS], key=_order):
        if hidden and is_hidden(hidden, str(where.task_id)):
            if at.task_id is not None:
                raise HiddenValueError(str(at.dag_id))
            continue
        place = {"task_id": where.task_id, "map_index": where.map_index, "key": where.key}
        listed.append({**place, "written": written, **_facts(where, stored)})
    _add_assets(listed)
    return {"xcoms": listed, "more": len(rows) > _ROWS}


def _add_assets(listed: list[dict[str, Any]]) -> None:
    """Put the id and the name of an asset in the place of its name and URI, where a value is a version of one."""
    named = {row["asset"] for row in listed if "asset" in row}
    source = metadata_events() if named else None
    known = {each: source.named(*each) for each in named} if source is not None else {}
    for row in listed:
        asset = known.get(row.pop("asset", None))
        if asset is not None:
            row["asset"] = {"id": asset.id, "name": asset.name}


def _order(row: tuple[Coordinate, str, Any]) -> tuple[Any, ...]:
    """Return what sorts the result of each task before its other values."""
    where, _, _ = row
    return where.task_id, where.map_index, where.key != "return_value", where.key


def _facts(where: Coordinate, stored: Any) -> dict[str, Any]:
    """Return what a row says: its type, its size, where it is, or why it cannot be read."""
    if hides_value_of(str(where.key)):
        return {"state": "hidden"}
    try:
        envelope = checked(stored, where)
    except CodecError as error:
        return {"state": "unreadable", "error": str(error)}
    if is_masked(envelope):
        return {"state": "hidden"}
    if envelope is None:
        size = len(json.dumps(stored))
        return {"state": "row", "type": type(stored).__name__, "bytes": size, "plain": True}
    return facts_of(envelope)


def facts_of(envelope: Envelope) -> dict[str, Any]:
    """Return what an envelope says: the type and the size of the value, and where it is, or why it is not there."""
    facts: dict[str, Any] = {
        "type": str(envelope.summary.get("type", envelope.tag))[:200],
        "bytes": _count(envelope.summary.get("bytes")),
    }
    shape = envelope.summary.get("shape")
    if isinstance(shape, list):
        facts["shape"] = [_count(length) for length in shape]
    facts |= {"asset": (envelope.asset.name, envelope.asset.uri)} if envelope.asset is not None else {}
    if preview_of(envelope) == "rows":
        facts |= _nulls(envelope.summary.get("dtypes"), envelope.summary.get("nulls"))
    facts |= {"inexact": envelope.inexact.count} if envelope.inexact is not None else {}
    if envelope.retired is not None:
        return facts | retired_facts(envelope.retired)
    return {"state": "store" if envelope.references else "row", **facts}


def retired_facts(found: Retirement) -> dict[str, Any]:
    """Return what is told of a value that was retired."""
    return {"state": "retired", "error": f"retired {found.at} by the rule {found.rule}"}


def preview_of(envelope: Envelope | None) -> str:
    """Return ``rows``, ``columns`` or ``none``: what may be shown of a value, as was set at push and is set here."""
    told = envelope.summary.get("preview") if envelope is not None else None
    asked = {each for each in (told, settings().preview) if type(each) is str}
    return max(asked & {*PREVIEWS}, key=PREVIEWS.index, default="rows")


def _nulls(dtypes: Any, told: Any) -> dict[str, Any]:
    """Return the nulls of the columns that have some, if the row tells them."""
    if type(dtypes) is not dict or type(told) is not list:
        return {}
    pairs = islice(zip(dtypes, map(_count, told), strict=False), _NULLS)
    return {"nulls": [(cut(name), many) for name, many in pairs if many and not hides_value_of(name)]}


def _count(told: Any) -> int | None:
    return told if type(told) is int and 0 <= told < 1 << 63 else None


def is_masked(envelope: Envelope | None) -> bool:
    """Return whether Airflow masks the name of the asset of which the value is a version."""
    return envelope is not None and envelope.asset is not None and hides_value_of(envelope.asset.name)


def checked(stored: Any, at: Coordinate) -> Envelope | None:
    envelope = Envelope.from_json(stored)
    if envelope is not None:
        index = None if at.map_index == _UNMAPPED else at.map_index  # loops of Airflow 3.4 have -1, too
        envelope.check_origin(Coordinate(at.dag_id, at.run_id, at.task_id, index, at.key))
    return envelope


def history(at: Coordinate) -> dict[str, Any]:
    """Return what rows say of an XCom in this and earlier runs, the newest first; raise HiddenValueError if hidden."""
    if is_hidden(hidden_tasks(str(at.dag_id)), str(at.task_id)):
        raise HiddenValueError(str(at.dag_id))
    rows = rows_of(at, earlier=True)
    once = {where: (where, written, stored) for where, written, stored in rows}  # Airflow 3.1 repeats some
    shows_values = preview_of(None) == "rows"
    runs = [
        {"run_id": where.run_id, "written": written, **_facts(where, stored), **_number(where, stored, shows_values)}
        for where, written, stored in list(once.values())[:_ROWS]
    ]
    return {"runs": runs, "more": len(rows) > _ROWS}


def _number(where: Coordinate, stored: Any, shows_values: bool) -> dict[str, Any]:  # noqa: FBT001 - of the options
    is_number = type(stored) in {int, float} and shows_values and not hides_value_of(str(where.key))
    return {"number": stored, "text": json.dumps(stored)} if is_number else {}


def rows_of(at: Coordinate, *, earlier: bool = False) -> list[tuple[Coordinate, str, Any]]:
    """Return the XComs that have the parts of a coordinate, those of earlier runs too: where, when and what."""
    from airflow.models.xcom import XComModel  # which Airflow 2 has not, where a command imports this module

    given: dict[str, Any] = {"key": at.key, "task_ids": at.task_id, "dag_ids": at.dag_id, "map_indexes": at.map_index}
    with create_session() as session:
        select = XComModel.get_many(run_id=str(at.run_id), include_prior_dates=earlier, **given).limit(_ROWS + 1)
        found: Any = session.scalars(select).all()
        return [
            (Coordinate(row.dag_id, row.run_id, row.task_id, row.map_index, row.key), str(row.timestamp), row.value)
            for row in found
        ]


def hidden_tasks(dag_id: str) -> list[str]:
    """Return the patterns of the tasks whose values tags of the Dag hide."""
    with create_session() as session:
        names = session.scalars(select(DagTag.name).where(DagTag.dag_id == dag_id)).all()
    tags = [name.partition("=") for name in names]
    return [pattern if equals else "*" for name, equals, pattern in tags if name == HIDE_TAG]


def is_hidden(patterns: list[str], task_id: str) -> bool:
    return any(fnmatchcase(task_id, pattern) for pattern in patterns)

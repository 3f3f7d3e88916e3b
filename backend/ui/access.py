"""Who may read what: the XComs of the Dag that a path names, and nothing else names one; and what is said of stores."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConfigurationDetails, DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_asset, requires_access_dag
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Query, Request

from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.ui.version_keys import VersionKey

_KEY = 512  # characters that Airflow's database takes
_INDEX = re.compile(r"-1|\d{1,9}", re.ASCII)


def dag_of(request: Request) -> str:
    """Return the Dag that the path names, and refuse whatever else might be taken for it."""
    dag_id = str(request.path_params["dag_id"])
    if dag_id == "~" or "dag_id" in request.query_params or not dag_id.isprintable():
        raise HTTPException(404, "there is no such Dag")
    return dag_id


def _known(dag_id: Annotated[str, Depends(dag_of)]) -> None:
    """Refuse a Dag that Airflow does not know: for such ones its auth managers may allow everything."""
    if not _is_known(dag_id):
        raise HTTPException(404, "there is no such Dag")


def _is_known(dag_id: str) -> bool:
    with create_session() as session:
        return session.get(DagModel, dag_id) is not None


def may_read_xcoms(dag_id: str, user: Any) -> bool:
    """Return whether a user may read the XComs of a Dag, which no path names; nobody may of one that is not known."""
    return _is_known(dag_id) and _allows(requires_access_dag("GET", DagAccessEntity.XCOM, dag_id), user)


def may_read_asset(asset_id: str, user: Any) -> bool:
    """Return whether a user may read an asset, as Airflow's own routes with its id in the path decide it."""
    return _allows(requires_access_asset("GET"), user, asset_id=asset_id)


def _allows(check: Callable[[Request, Any], None], user: Any, **path: str) -> bool:
    try:
        check(Request({"type": "http", "path_params": path}), user)
    except HTTPException:
        return False
    return True


def _place(request: Request, user: GetUserDep, dag_id: Annotated[str, Depends(dag_of)]) -> Coordinate:
    """Return the XCom, task instance or run that the path and the key name, or a version that the task published."""
    told = request.path_params
    key = request.query_params.get("key")
    if any(not str(part).isprintable() for part in told.values()) or (key is not None and not 0 < len(key) <= _KEY):
        raise HTTPException(404, "there is no such XCom")
    if "\0" in (key or "") or not _INDEX.fullmatch(told.get("map_index", "0")):
        raise HTTPException(404, "there is no such XCom")
    version = VersionKey.parse(key)
    if version is not None and not may_read_asset(str(version.asset), user):
        raise HTTPException(403, "you may not read the asset of this version")
    index = int(told["map_index"]) if "map_index" in told else None
    return Coordinate(dag_id, told.get("run_id"), told.get("task_id"), index, key)


def _may_read_options(user: GetUserDep) -> None:
    """Refuse whoever may not read the section of Airflow's configuration in which the stores stand."""
    section = ConfigurationDetails(section="xcom_codecs")
    if not get_auth_manager().is_authorized_configuration(method="GET", details=section, user=user):
        raise HTTPException(403, "you may not read Airflow's configuration")


Place = Annotated[Coordinate, Depends(_place)]
Path = Annotated[str, Query(pattern=r"^(\d{1,9}(\.\d{1,9}){0,98})?$")]
Number = Annotated[int, Query(ge=0, lt=1 << 60)]
Few = Annotated[int, Query(ge=0, le=2000)]

RIGHTS = [Depends(dag_of), Depends(requires_access_dag("GET", DagAccessEntity.XCOM)), Depends(_known)]
STORE_RIGHTS = [Depends(_may_read_options)]

"""The routes of the pages of assets: which there are, their versions, who read one, and how two of them differ.

Each asks whether the user may read the asset, as Airflow's own routes do.  What a task published is shown to whoever
may read the XComs of its Dag, and so is what a task read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_asset
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response

from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.ui.access import may_read_asset, may_read_xcoms
from airflow_xcom.backend.ui.answers import answer, stream_lines
from airflow_xcom.backend.ui.asset_versions import list_assets, list_readers, list_versions
from airflow_xcom.backend.ui.comparison import comparison
from airflow_xcom.backend.ui.stored_values import StoredValue, open_value
from airflow_xcom.backend.ui.version_keys import LARGEST_ID, VersionKey, version_of

Asset = Annotated[int, Path(ge=0, le=LARGEST_ID)]
Event = Annotated[int | None, Query(ge=0, le=LARGEST_ID)]
Partition = Annotated[str | None, Query(max_length=4096)]
Which = Annotated[str, Path(pattern=r"^[0-9]{1,10}\.[0-9a-f]{32}$")]

of_assets = APIRouter(prefix="/api/assets", dependencies=[Depends(requires_access_asset("GET"))])


@of_assets.get("")
async def assets(request: Request, user: GetUserDep) -> Response:
    """Return the assets with values that the user may read."""
    return await answer(request, user, list_assets, lambda asset: may_read_asset(asset, user))


@of_assets.get("/{asset_id}/versions")
async def versions(
    request: Request, user: GetUserDep, asset_id: Asset, before: Event = None, partition: Partition = None
) -> Response:
    """Return some versions of an asset."""
    return await answer(request, user, list_versions, asset_id, before, partition, _rights(user))


@of_assets.get("/{asset_id}/versions/{version}/readers")
async def readers(request: Request, user: GetUserDep, asset_id: Asset, version: Which) -> Response:
    """Return the tasks that read a version."""
    return await answer(request, user, list_readers, _key(asset_id, version), _rights(user))


@of_assets.get("/{asset_id}/compare/{one}/{other}")
async def compare(request: Request, user: GetUserDep, asset_id: Asset, one: Which, other: Which) -> Response:
    """Return lines of JSON: how the tables of two versions differ."""
    keys, rights = (_key(asset_id, one), _key(asset_id, other)), _rights(user)
    return await stream_lines(request, user, lambda: comparison(*(_opened(key, rights) for key in keys)))


def _opened(key: VersionKey, may_read: Callable[[str], bool]) -> StoredValue:
    version = version_of(key)
    if not may_read(version.dag_id):
        raise HTTPException(403, "you may not read the XComs of the Dag that published this version")
    return open_value(Coordinate(version.dag_id, version.run_id, version.task_id, version.map_index, str(key)))


def _key(asset_id: int, version: str) -> VersionKey:
    key = VersionKey.parse(f"xcom_codecs.version.{asset_id}.{version}")
    if key is None:
        raise HTTPException(404, "there is no such version")
    return key


def _rights(user: Any) -> Callable[[str], bool]:
    """Return what says whether a user may read the XComs of a Dag; each Dag is asked for once."""
    return cache(lambda dag_id: may_read_xcoms(dag_id, user))

"""Rights on the Data tab where FAB's auth manager decides, whose roles name Dags; the server is a real one."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator

import fab_users
import httpx
import pytest
from airflow_rows import DAGS
from environments import ROOT
from installations import FAB, Installation, build, distribution
from server_process import ServerProcess, server_process
from test_data_tab_access import addresses, routes

pytestmark = pytest.mark.other_airflows

RIGHTS = {"stranger": set(), "of_trains": {"trains"}, "without_xcoms": set(), "without_dags": set(), "writer": set()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    build([FAB])
    home, python = tmp_path_factory.mktemp("fab"), Installation(FAB).python
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow_xcom.backend.CodecXComBackend",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__XCOM_CODECS__PATH": (home / "xcom").as_uri(),
        "AIRFLOW__XCOM_CODECS__THRESHOLD": "0",
        "PYTHONPATH": os.pathsep.join([str(distribution()), str(ROOT / "tests" / "integration")]),
    }
    filled = subprocess.run(
        [python, fab_users.__file__],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert filled.returncode == 0, filled.stdout
    with server_process(home, variables, python) as server:
        yield server


def client(server: ServerProcess, user: str | None = None) -> httpx.Client:
    cookies = {} if user is None else {"_token": server.token(user, user)}
    return httpx.Client(base_url=f"{server.url}/xcom-data", cookies=cookies, timeout=60, trust_env=False)


def test_nobody_gets_anything_without_a_login(served: ServerProcess) -> None:
    anonymous = client(served)
    for address in [*addresses(), "/page/dags/flights/runs/one", "/static/any/app.js"]:
        assert anonymous.get(address).status_code == 401, address
        assert anonymous.get(address, headers={"Authorization": "Bearer x.y.z"}).status_code in {401, 403}
        assert anonymous.get(address, cookies={"_token": "garbage"}).status_code in {401, 403}


@pytest.mark.parametrize("user", RIGHTS)
def test_every_route_asks_for_rights_on_the_xcoms_of_the_dag(user: str, served: ServerProcess) -> None:
    asking = client(served, user)
    for dag in DAGS:
        found = [asking.get(address) for address in addresses(dag_id=dag)]
        if dag in RIGHTS[user]:
            assert [answer.status_code for answer in found].count(200) >= 7
        else:
            assert {answer.status_code for answer in found} == {403}
            assert not any("return_value" in answer.text for answer in found)


@pytest.mark.parametrize(
    "dag", ["~", "%7E", "", "trains%2F..%2Fflights", "..", "%2e%2e", "trains%00", "TRAINS", "gone"]
)
def test_a_dag_that_is_no_dag_gives_nothing(dag: str, served: ServerProcess) -> None:
    for user in ("of_trains", "reader"):
        asking = client(served, user)
        for address in addresses(dag_id=dag):
            assert asking.get(address).status_code in {403, 404, 405, 307}, address


def test_the_dag_of_the_path_alone_counts(served: ServerProcess) -> None:
    asking = client(served, "of_trains")
    for address in addresses():
        for forged in ("&dag_id=trains", "&dag_id=~", "&dag_id="):
            assert asking.get(address + forged).status_code in {403, 404}
        assert asking.get(address, headers={"dag_id": "trains"}).status_code == 403


def test_who_may_read_all_dags_reads_all(served: ServerProcess) -> None:
    asking = client(served, "reader")
    for dag in DAGS:
        found = [asking.get(address).status_code for address in addresses(dag_id=dag)]
        assert found.count(200) >= 7
        assert 403 not in found


def test_every_route_of_assets_asks_for_rights_on_assets(served: ServerProcess) -> None:
    version = f"1.{'0' * 32}"
    names = {"asset_id": 1, "version": version, "one": version, "other": version}
    paths = [route.path.format(**names) for route in routes() if route.path.startswith("/api/assets")]
    expected = {path: 404 if version in path else 200 for path in paths}  # there is no such version
    assert len({*expected.values()}) == 2
    for user in (*RIGHTS, "reader", "operator"):
        asking = client(served, user)
        assert {asking.get(path).status_code for path in paths} == {403}, user
    assert {client(served).get(path).status_code for path in paths} == {401}
    asking = client(served, "of_assets")
    assert {path: asking.get(path).status_code for path in paths} == expected


def test_stores_are_told_of_to_those_who_may_read_the_options(served: ServerProcess) -> None:
    for address in ("/api/stores", "/api/stores/owner?name=default"):
        assert client(served).get(address).status_code == 401
        assert {client(served, user).get(address).status_code for user in (*RIGHTS, "reader")} == {403}
        assert client(served, "operator").get(address).status_code == 200

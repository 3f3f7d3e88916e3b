"""Forged payloads and rows, through every route of the Data tab of a real API server, which goes on answering."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import chromium
import httpx
import jwt
import numpy as np
import pandas as pd
import pytest
import xxhash
from airflow_rows import add_dags, set_row
from server_process import ServerProcess, memory_of, server_process
from test_data_tab_access import addresses

sys.path.append(str(Path(__file__).parent / "fuzz"))

import payloads

from airflow_xcom.backend import CodecXComBackend
from airflow_xcom.backend.settings import settings

ATTACK = "<img src=x onerror=\"document.title='attacked'\">"
PLACE = ("flights", "one", "extract")
MUTANTS = int(os.environ.get("DATA_TAB_MUTANTS", "15"))  # of each kind of payload
ANSWERS = {200, 403, 404, 409, 410, 413, 422, 502, 503}
BUSY = {429, 503}
MEMORY = 1 << 30  # bytes that attacks make the server take at most
USERS = {"admin": "admin", "viewer": "viewer"}  # -> the role; the password is the name


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server over the database of this process, and its store."""
    from airflow.utils.db import resetdb
    from airflow.utils.session import create_session

    resetdb()
    home = tmp_path_factory.mktemp("airflow")
    (home / "passwords.json").write_text(json.dumps({name: name for name in USERS}))
    variables = {
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": ".+",
        "AIRFLOW__XCOM_CODECS__PATH": (home / "xcom").as_uri(),
        "AIRFLOW__XCOM_CODECS__THRESHOLD": "0",
    }
    with create_session() as session:
        add_dags(session)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.cache_clear()
        with server_process(home, {}) as server:
            yield SimpleNamespace(server=server, blobs=home / "xcom", log=home / "api-server.log")
    settings.cache_clear()


def client(server: ServerProcess, user: str) -> httpx.Client:
    cookies = {"_token": server.token(user, user)}
    return httpx.Client(base_url=f"{server.url}/xcom-data", cookies=cookies, timeout=120, trust_env=False)


def write(row: Any) -> None:
    from airflow.utils.session import create_session

    with create_session() as session:
        set_row(session, (*PLACE, "return_value"), row)


def pushed(value: Any) -> Any:
    at = dict(zip(("dag_id", "run_id", "task_id"), PLACE, strict=True))
    return CodecXComBackend.serialize_value(value, key="return_value", map_index=-1, **at)


class Forger:
    """Writes forged payloads where the row of an XCom says that its value is."""

    def __init__(self, blobs: Path) -> None:
        values = {"arrow": pd.DataFrame({"a": [1, 2]}), "msgpack": {"a": np.arange(9), "b": (1, 2)}}
        self._rows = {kind: pushed(value) for kind, value in values.items()}
        self._paths = {kind: blobs / row["airflow_xcom"]["ref"]["path"] for kind, row in self._rows.items()}
        for path in self._paths.values():
            path.chmod(0o600)

    def __call__(self, kind: str, data: bytes) -> None:
        if kind in self._rows:
            reference = self._rows[kind]["airflow_xcom"]["ref"]
            self._paths[kind].write_bytes(data)
            reference |= {"size": len(data), "digest": f"xxh3-128:{xxhash.xxh3_128(data).hexdigest()}"}
            write(self._rows[kind])
        else:
            found = json.loads(data)
            write(found if kind == "envelope" else self.inline(found))

    def inline(self, data: Any) -> Any:
        """The row of a value that is in it."""
        envelope = {name: part for name, part in self._rows["msgpack"]["airflow_xcom"].items() if name != "ref"}
        return {"airflow_xcom": {**envelope, "data": data}}


def walk(asking: httpx.Client) -> dict[str, int]:
    """Ask every route for the value, and for what may stand in it."""
    found = {}
    for address in addresses():
        for path in ("", "0", "0.0", "1"):
            answer = asking.get(f"{address}&path={path}")
            assert answer.headers["content-type"].partition(";")[0] != "text/html"
            found[f"{address}&path={path}"] = answer.status_code
    return found


@pytest.mark.parametrize("kind", ["msgpack", "arrow", "json", "envelope"])
def test_forged_payloads_are_shown_as_they_stand_or_refused(kind: str, served: Any) -> None:
    asking, forge, random = client(served.server, "admin"), Forger(served.blobs), Random(17)
    golden = [*payloads.corpus("json" if kind == "envelope" else kind).values()]
    if kind == "envelope":
        golden = [json.dumps(forge.inline(json.loads(data))).encode() for data in golden]
    write(pushed(pd.DataFrame({"a": [1, 2]})))
    walk(asking)
    base = memory_of(served.server.pid, "VmHWM")
    seen: set[int] = set()
    for number in range(MUTANTS):
        data = random.choice(golden)
        if number % 4:
            data = payloads.mutated(kind, data, random)
        try:
            forge(kind, data)
        except ValueError:  # which no database takes
            continue
        found = walk(asking)
        assert {*found.values()} <= ANSWERS, (found, data)
        seen |= {*found.values()}
    assert seen >= {200, 422}
    assert memory_of(served.server.pid, "VmHWM") - base < MEMORY
    assert_alive(served)


def assert_alive(served: Any) -> None:
    """All threads of the tab and Airflow's own pages answer, and nothing was raised that nobody expected."""
    asking = client(served.server, "admin")
    write(pushed(pd.DataFrame({"a": [1, 2]})))
    address = f"/api/dags/{PLACE[0]}/runs/{PLACE[1]}/tasks/{PLACE[2]}/-1/cells?key=return_value&rows=2&columns=1"
    until = time.monotonic() + 240

    def cells(_: int) -> Any:
        while (answer := asking.get(address)).status_code in BUSY and time.monotonic() < until:
            time.sleep(0.2)  # a request that was given up has its thread until that ends
        return answer.json()["cells"]

    with ThreadPoolExecutor(5) as pool:
        found = [*pool.map(cells, range(5))]
    assert found == [[["1", "2"]]] * 5
    assert asking.get(f"{served.server.url}/api/v2/dags").status_code == 200
    assert "/backend/ui/" not in served.log.read_text()  # in a traceback


def test_fifty_hostile_requests_at_once_are_all_answered(served: Any) -> None:
    forge = Forger(served.blobs)
    forge("msgpack", random_bytes := Random(17).randbytes(1 << 20))
    users = [client(served.server, name) for name in ("admin", "viewer")]
    asked = [(user, address) for user in users for address in addresses()] * 2
    asked = (asked * 2)[:50]
    with ThreadPoolExecutor(50) as pool:
        found = [*pool.map(lambda each: each[0].get(each[1]).status_code, asked)]
    assert {*found} <= {*ANSWERS, 429}, (found, random_bytes[:20])
    assert_alive(served)


def test_ids_and_names_that_attack_the_page_are_text(served: Any) -> None:
    from airflow.utils.session import create_session

    dag, *runs, task, key = (f"{ATTACK}{number}" for number in range(5))
    column = pd.Categorical([ATTACK, f"</script>{ATTACK}"])
    frame = pd.DataFrame({ATTACK: column}, index=pd.Index([ATTACK, "'\"><b>"], name=ATTACK))
    frame.attrs = {ATTACK: ATTACK}
    with create_session() as session:
        add_dags(session, [dag], runs, [task])
        for run in runs:
            at = {"dag_id": dag, "run_id": run, "task_id": task, "key": key}
            set_row(session, (dag, run, task, key), CodecXComBackend.serialize_value(frame, **at, map_index=-1))
    cookie = {"name": "_token", "value": served.server.token("viewer", "viewer"), "url": served.server.url}
    with chromium.started() as browser, browser.new_context() as context:
        context.add_cookies([cookie])
        context.set_default_timeout(180_000)
        page = context.new_page()
        at = "/".join(quote(part, safe="") for part in (dag, "runs", runs[1], "tasks", task, "-1"))
        page.goto(f"{served.server.url}/xcom-data/page/dags/{at}")
        page.locator('[id="cell-0-0"]', has_text=ATTACK).wait_for()
        page.locator('[id="cell--1-0"]').click()
        page.get_by_role("heading", name=ATTACK).last.wait_for()
        page.get_by_text("This and earlier runs").click()
        page.get_by_text(runs[0]).first.wait_for()
        assert page.title() == "Data"
        assert page.locator("img:not([role]), b, script:not([src])").count() == 0


@pytest.mark.parametrize("change", ["secret", "none", "expired", "audience", "cut"])
def test_a_forged_token_of_the_simple_auth_manager_opens_nothing(change: str, served: Any) -> None:
    write(pushed(pd.DataFrame({"a": [1, 2]})))
    genuine = served.server.token("viewer", "viewer")
    head, claims = jwt.get_unverified_header(genuine), jwt.decode(genuine, options={"verify_signature": False})
    key, algorithm = os.environ["AIRFLOW__API_AUTH__JWT_SECRET"], head["alg"]
    changed = {"expired": {"exp": claims["iat"] - 3600}, "audience": {"aud": "urn:airflow.apache.org:task"}}
    forged = {
        "secret": lambda: jwt.encode(claims, secrets.token_hex(32), algorithm),
        "none": lambda: jwt.encode(claims, "", "none"),
        "cut": lambda: genuine.rpartition(".")[0] + ".",
    }.get(change, lambda: jwt.encode(claims | changed[change], key, algorithm))()
    for token, expected in ((genuine, {200}), (forged, {401, 403})):
        address = f"{served.server.url}/xcom-data{addresses()[0]}"
        for given in ({"cookies": {"_token": token}}, {"headers": {"Authorization": f"Bearer {token}"}}):
            assert httpx.get(address, trust_env=False, timeout=60, **given).status_code in expected

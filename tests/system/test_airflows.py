"""The compatibility suite in several releases of Airflow, each in an environment of its own."""

from __future__ import annotations

import configparser
import json
import os
import re
from itertools import combinations
from typing import Any

import compatibility
import pytest
from environments import ROOT, locked
from installations import VERSIONS, Installation


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of everything; one of pytest's processes does it all."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    results = shared / "airflows.json"
    with locked("airflows"):
        if not results.exists():
            versions = list(compatibility.IN_TESTS)
            folder = tmp_path_factory.mktemp("airflows")
            pairs = list(combinations(versions, 2))
            computed = compatibility.compute(versions, pairs, folder, at_once=1, with_schedulers=False)
            results.write_text(json.dumps(computed))
    return json.loads(results.read_text())


@pytest.mark.other_airflows
@pytest.mark.parametrize("version", compatibility.IN_TESTS)
def test_every_way_of_using_xcoms_works(version: str, found: dict[str, Any]) -> None:
    assert {way: outcome for way, outcome in found[version].items() if outcome != "yes"} == {}
    assert found[version].keys() == compatibility.expected(version) - compatibility.BY_THE_SCHEDULER


@pytest.mark.other_airflows
def test_rows_are_read_after_an_upgrade(found: dict[str, Any]) -> None:
    assert found["upgrades"] == {" ".join(compatibility.IN_TESTS): "yes"}


def test_the_page_tells_of_every_version_and_way() -> None:
    tables = compatibility.DOCUMENT.read_text().split("\n## ")
    head, _, *lines = [line.split("|")[1:-1] for line in tables[0].splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head] == ["", *VERSIONS]
    assert [line[0].strip() for line in lines] == list(compatibility.WAYS.values())
    for version, *cells in zip(VERSIONS, *(line[1:] for line in lines), strict=True):
        ways = {way for way, cell in zip(compatibility.WAYS, cells, strict=True) if cell.strip() == "yes"}
        assert ways == compatibility.expected(version)
    upgrades = [line.split("|")[2:-1] for line in tables[1].splitlines() if line.startswith("| from")]
    assert [[cell.strip() for cell in line].count("yes") for line in upgrades] == [5, 4, 3, 2, 1]


def test_the_tests_themselves_run_with_one_of_the_versions() -> None:
    assert [version for version in VERSIONS if Installation(version).is_here]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_installation_is_of_its_version_and_holds_what_may_be_installed(version: str) -> None:
    lines = Installation(version).constraints.read_text().split()
    pins = {re.sub(r"[-_.]+", "-", name).lower(): pin for name, pin in (line.split("==") for line in lines)}
    assert pins["apache-airflow"] == version
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    for requirement in config["options"]["install_requires"].split():
        assert requirement.partition(">=")[0] in pins

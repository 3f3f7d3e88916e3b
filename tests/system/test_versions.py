"""What one set of libraries wrote, another reads exactly, or refuses by the library and the version it needs."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import matrix
import pytest
from environments import ENVIRONMENTS, NEWEST, ROOT, find_python, locked
from golden_values import APART

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
IS_HERE = {name: environment.python == RUNNING for name, environment in ENVIRONMENTS.items()}


def marked(*names: str) -> Any:
    """A pair of environments, or one; ``other_pythons`` if it takes a Python other than the one that runs."""
    marks = [] if all(IS_HERE.get(name, True) for name in names) else [pytest.mark.other_pythons]
    return pytest.param(*names, marks=marks, id="-".join(names))


WRITERS = [marked(name) for name in ENVIRONMENTS]
GOLDEN_READERS = [marked(NEWEST, name) for name in ENVIRONMENTS]  # the newest libraries made their values
PAIRS = [marked(*pair) for pair in product(ENVIRONMENTS, repeat=2)]


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every environment whose Python is on this machine wrote and read; one of pytest's processes does it all."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    results = shared / "versions.json"
    with locked("matrix"):
        if not results.exists():
            results.write_text(json.dumps(matrix.compute(tmp_path_factory.mktemp("versions"))))
    return json.loads(results.read_text())


@pytest.fixture
def outcomes(found: dict[str, Any]) -> Callable[[str, str], dict[str, Any]]:
    """What became of each value between a writer and a reader."""

    def between(writer: str, reader: str) -> dict[str, Any]:
        for name in (NEWEST if writer == matrix.GOLDEN else writer, reader):
            version = ENVIRONMENTS[name].python
            if not find_python(version):
                pytest.fail(
                    f"there is no Python {version} for {name}: install it (pyenv install {version}), put "
                    f"python{version} on the PATH, or leave such tests out with -m 'not other_pythons'"
                )
        return found["read"][reader][writer]

    return between


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_a_value_comes_back_exactly_or_a_library_is_named(writer: str, reader: str, outcomes: Any) -> None:
    for name, outcome in outcomes(writer, reader).items():
        assert matrix.kind_of(outcome) in ("exact", "refused"), f"{name}: {outcome}"
        if "refused" in outcome:
            assert outcome["library"] in outcome["refused"]
            assert outcome["needed"] in outcome["refused"]
            assert outcome["installed"] in outcome["refused"]


@pytest.mark.parametrize(("_newest", "reader"), GOLDEN_READERS)
def test_the_golden_payloads_are_the_same_values_everywhere(_newest: str, reader: str, outcomes: Any) -> None:
    read = outcomes(matrix.GOLDEN, reader)
    rows = [json.loads(path.read_text()) for path in (ROOT / "tests" / "data" / "golden" / "v1").glob("*.json")]
    assert len(read) == len([row for row in rows if row["name"] not in APART])
    for name, outcome in read.items():
        assert matrix.kind_of(outcome) in ("exact", "refused"), f"{name}: {outcome}"


@pytest.mark.parametrize("name", WRITERS)
def test_an_environment_reads_all_that_it_wrote(name: str, outcomes: Any) -> None:
    assert {matrix.kind_of(outcome) for outcome in outcomes(name, name).values()} == {"exact"}


@pytest.mark.parametrize("name", WRITERS)
def test_an_environment_makes_what_its_libraries_have(name: str, found: Any, outcomes: Any) -> None:
    read = outcomes(name, name)
    written = found["written"][name]["values"]
    assert read.keys() == {value for value, entry in written.items() if "is" in entry}
    reasons = [entry["not made"] for entry in written.values() if "not made" in entry]
    if name.startswith("new"):
        assert reasons == []
    assert len(reasons) < len(read) / 20, reasons


@pytest.mark.parametrize(("writer", "reader"), [pair for pair in PAIRS if pair.values[0] != pair.values[1]])
def test_what_both_environments_have_is_not_refused(writer: str, reader: str, outcomes: Any) -> None:
    """Between releases of the same libraries nothing is; newer ones refuse nothing but the freq of an array."""
    refused = {outcome["needed"] for outcome in outcomes(writer, reader).values() if "refused" in outcome}
    if writer.startswith("new") == reader.startswith("new") == True:  # noqa: E712
        assert refused == set()
    elif reader.startswith("new"):
        assert refused == {"older than 3.1"}


def test_the_oldest_environment_has_the_oldest_releases_that_may_be_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = [config["options.extras_require"][name] for name in ("polars", "scipy", "xarray", "geopandas")]
    wanted = "".join([config["options"]["install_requires"], *extras])
    bounds = dict(line.split(">=") for line in wanted.split() if ">=" in line)
    pinned = dict(line.split("==") for line in ENVIRONMENTS["oldest-3.12"].constraints.read_text().split())
    for name in (
        "pandas",
        "numpy",
        "pyarrow",
        "polars",
        "msgpack",
        "orjson",
        "scipy",
        "xarray",
        "geopandas",
        "shapely",
    ):
        bound = bounds[name].split(".")
        assert pinned[name].split(".")[: len(bound)] == bound
        assert set(pinned[name].split(".")[len(bound) :]) - {"4"} <= {"0"}, (
            "NumPy 1.26.4 has the wheels for Python 3.12"
        )


@pytest.mark.other_pythons
def test_the_page_says_what_is_so(found: dict[str, Any], outcomes: Any) -> None:
    for name in ENVIRONMENTS:
        outcomes(name, name)
    assert matrix.DOCUMENT.read_text() == matrix.document(found), "run python3 dev.py docs VERSIONS"


BROKEN = """
import importlib.abc, json, sys

class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "pyarrow":
            raise ImportError("pyarrow requires NumPy 2.0 or newer, found 1.26.4")

sys.meta_path.insert(0, Broken())
import pandas as pd
from airflow_xcom.codecs import CodecError, decode, encode
from airflow_xcom.codecs.payload import decode_json

def attempt(action):
    try:
        return ["none", action()]
    except CodecError as error:
        return [type(error).__name__, str(error)]

table = {"$": ["table", [{}, ""]]}
print(json.dumps([
    attempt(lambda: encode(pd.DataFrame({"a": [1]}))),
    attempt(lambda: encode({"a": [pd.Timestamp(0)]})),
    attempt(lambda: decode(b"ARROW1", "arrow")),
    attempt(lambda: decode_json({"a": table})),
    attempt(lambda: decode_json({"$": ["pandas.Timestamp", 1, [0, "ns"]]})),
    attempt(lambda: encode([1, (2,)]).tag),
]))
"""


def test_libraries_that_do_not_fit_together_are_named() -> None:
    """As pyarrow 26 and NumPy 1.26."""
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=True)
    *errors, none = json.loads(done.stdout)
    assert [kind for kind, _ in errors] == ["UnsupportedTypeError"] * 2 + ["UnusableLibraryError"] * 3
    assert all("requires NumPy 2.0 or newer, found 1.26.4" in message for _, message in errors)
    assert none == ["none", "list"]

"""What an import loads: Airflow imports the backend on every parse of every Dag file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.installation

HEAVY = {"airflow", "msgpack", "numpy", "orjson", "pandas", "pendulum", "polars", "pyarrow", "xxhash"}
HEAVY |= {"geopandas", "pyproj", "scipy", "shapely", "xarray"}


def loaded(*statements: str) -> list[set[str]]:
    """The modules loaded after each statement, in one fresh interpreter."""
    code = "import sys\n" + "".join(f"{line}\nprint(*sys.modules)\n" for line in statements)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()[-len(statements) :]]


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_the_codecs_loads_no_third_party_library() -> None:
    before, after = loaded("pass", "import airflow_xcom.codecs")
    assert not roots(after - before) & HEAVY
    assert roots(after - before) - {"airflow_xcom"} <= sys.stdlib_module_names


def test_registering_a_codec_loads_no_third_party_library() -> None:
    statement = """
from dataclasses import dataclass
from airflow_xcom.codecs import codec
@codec('acme.point')
@dataclass
class Point:
    x: int
"""
    before, after = loaded("pass", statement)
    assert not roots(after - before) & HEAVY


def test_a_frame_of_numbers_loads_nothing_that_packs_or_reads_or_is_of_times() -> None:
    statement = """
import pandas as pd
from airflow_xcom.codecs import encode
encode(pd.DataFrame({"a": [1]})).to_json()
encode(pd.DataFrame({"a": [1]})).to_bytes()
"""
    before, after, with_objects = loaded("import pandas", statement, "encode(pd.Series([{}])).to_bytes()")
    unused = {"msgpack", "airflow_xcom.codecs.formats.arrow.flatbuffers", "airflow_xcom.codecs.tree_body"}
    unused |= {f"airflow_xcom.codecs.builtin.{name}" for name in ("stdlib.times", "pandas.offsets", "pandas.scalars")}
    assert not (after - before) & unused
    assert "msgpack" in with_objects


def test_importing_the_backend_adds_nothing_to_airflows_sdk() -> None:
    before, after = loaded(
        "from airflow.sdk import BaseOperator, dag, task", "from airflow_xcom.backend import CodecXComBackend"
    )
    assert roots(after - before) <= {"airflow_xcom"} | sys.stdlib_module_names
    assert not roots(after - before) & HEAVY


@pytest.mark.parametrize("first", ["airflow.sdk", "airflow_xcom.backend", "airflow.models.xcom"])
def test_the_backend_may_be_imported_first(first: str) -> None:
    code = f"""
import {first}
from airflow_xcom.backend import CodecXComBackend
from airflow.sdk.execution_time.xcom import XCom
print("the same:", XCom is CodecXComBackend)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the same: True" in done.stdout
    assert "partially initialized" not in done.stdout + done.stderr


def test_the_names_of_authors_and_those_of_backends_are_apart() -> None:
    import airflow_xcom.codecs

    named = vars(airflow_xcom.codecs.errors).items()
    errors = {name for name, held in named if isinstance(held, type) and issubclass(held, Exception)}
    types = {"Buffer", "Codec", "CodecClass", "Registry", "Table", "Tagged"}
    assert set(airflow_xcom.codecs.__all__) == errors | types | {"codec", "decode", "encode", "registry"}
    for name in ("Compression", "FORMATS", "Payload", "decode_json", "decode_part", "exact_json", "outline"):
        assert not hasattr(airflow_xcom.codecs, name)


def test_the_codecs_name_nothing_of_the_backend() -> None:
    """Neither its modules nor its options: other backends use them too."""
    import airflow_xcom.codecs

    sources = sorted(Path(airflow_xcom.codecs.__file__).parent.rglob("*.py"))
    assert len(sources) > 40
    named = re.compile(r"airflow_xcom\.backend|xcom_codecs\]|XCOM_CODECS|CodecXComBackend|airflow-xcom [a-z]")
    assert [str(source) for source in sources if named.search(source.read_text())] == []


@pytest.mark.parametrize("name", ["codecs", "backend"])
def test_the_folders_are_not_packages_of_that_name(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import {name}; print({name}.__file__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "airflow_xcom" not in done.stdout


def test_unknown_names_raise_attribute_errors() -> None:
    import airflow_xcom.backend
    import airflow_xcom.codecs

    for module in (airflow_xcom.backend, airflow_xcom.codecs):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018
        for name in module.__all__:
            assert getattr(module, name) is not None

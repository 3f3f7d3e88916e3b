"""A distribution of somebody else's, installed from its wheel, brings codecs; without it, the error says its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import pytest
from conftest import Backend

pytestmark = pytest.mark.installation

PROJECT = {
    "setup.cfg": """
        [metadata]
        name = acme-geo
        version = 1.2.0
        [options]
        py_modules = acme_geo, acme_by_import
        [options.entry_points]
        airflow_xcom.codecs =
            point = acme_geo
    """,
    "pyproject.toml": """
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
    """,
    "acme_geo.py": """
        from dataclasses import dataclass
        from airflow_xcom.codecs import codec

        @codec("acme.point")
        @dataclass
        class Point:
            x: float
            y: float
    """,
    "acme_by_import.py": """
        from airflow_xcom.codecs import Codec, registry

        class Line: ...

        registry.register(Codec("acme.line", (Line,), lambda line: 1, lambda node, version: Line()))
    """,
}


def _run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip().rpartition("\n")[2]  # after what is logged


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    for name, text in PROJECT.items():
        (folder / name).write_text(textwrap.dedent(text))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-build-isolation", "--no-deps"]
    _run([*pip, "--wheel-dir", str(folder / "dist"), str(folder)])
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment of its own, in which everything of this one is installed too."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    found = tmp_path / "venv" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(_run([str(found), "-c", code]).strip())
    (packages / "more.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return found


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__XCOM_CODECS__PATH": (tmp_path / "blobs").as_uri()}


PUSH = """
    import json, sys
    from airflow_xcom.backend import CodecXComBackend
    {imports}
    rows = {{}}
    for name, value in {values}.items():
        rows[name] = CodecXComBackend.serialize_value(value, key=name, dag_id="d", run_id="r", task_id="t")
    print(json.dumps(rows))
"""
PULL = """
    import json, sys
    from types import SimpleNamespace
    from airflow_xcom.backend import CodecXComBackend
    from airflow_xcom.codecs import UnknownTagError
    pulled = {}
    for name, row in json.load(open(sys.argv[1])).items():
        try:
            value = CodecXComBackend.deserialize_value(SimpleNamespace(value=row, key=name))
            pulled[name] = repr(value if isinstance(value, list) else (value.attrs, value.to_dict()))
        except UnknownTagError as error:
            pulled[name] = [error.tag, error.supplier, str(error)]
    print(json.dumps(pulled))
"""

# A module name of Airflow's making, which says nothing to people.
AS_AIRFLOW = """from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location("unusual_prefix_0f_geo", sys.argv[1])
    geo = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(geo)"""

IMPORTS = """import acme_by_import, acme_geo, pandas as pd
    point = acme_geo.Point(1.5, -0.0)
    frame = pd.DataFrame({'a': [1]})
    frame.attrs['where'] = point"""
VALUES = """{
        "in the row": [point],
        "in a blob": [point] * 5000,
        "in a cell": pd.DataFrame({'a': [point, None]}),
        "in cells of a blob": pd.DataFrame({'a': [point] * 5000}),
        "in attrs": frame,
        "registered on import": [acme_by_import.Line()],
    }"""


@pytest.mark.slow
def test_it_is_found_when_installed_and_named_when_not(
    wheel: Path, python: Path, home: dict[str, str], tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    _run([*pip, "install", "--no-deps", "--no-index", str(wheel)])
    pushed = tmp_path / "rows.json"
    pushed.write_text(_run([str(python), "-c", textwrap.dedent(PUSH.format(values=VALUES, imports=IMPORTS))], **home))
    envelopes = {name: row["airflow_xcom"] for name, row in json.loads(pushed.read_text()).items()}
    assert {name for name, envelope in envelopes.items() if "ref" in envelope} == {"in a blob", "in cells of a blob"}
    tags = {name: "acme.line" if name == "registered on import" else "acme.point" for name in envelopes}
    for name, envelope in envelopes.items():
        assert envelope["from"] == {tags[name]: "acme-geo 1.2.0"}, name

    pull = [str(python), "-c", textwrap.dedent(PULL), str(pushed)]
    pulled = json.loads(_run(pull, **home))
    del tags["registered on import"], pulled["registered on import"]  # nothing imports its module in the puller
    assert all("Point(x=1.5, y=-0.0)" in text for text in pulled.values()), pulled
    assert pulled.keys() == tags.keys()

    _run([*pip, "uninstall", "--yes", "acme-geo"])
    refused = json.loads(_run(pull, **home))
    assert refused.pop("registered on import")[:2] == ["acme.line", "acme-geo 1.2.0"]
    assert refused.keys() == tags.keys()
    for name, (tag, supplier, message) in refused.items():
        assert (tag, supplier) == ("acme.point", "acme-geo 1.2.0")
        assert "for the tag 'acme.point', which acme-geo 1.2.0 wrote: install the distribution" in message
        assert f"name that module in [xcom_codecs] modules [dag=d run=r task=t map_index=None key={name}]" in message


def test_a_codec_of_a_single_file_is_ascribed_to_the_file(home: dict[str, str], tmp_path: Path) -> None:
    dag_file = tmp_path / "etl.py"
    dag_file.write_text(textwrap.dedent(PUSH.format(values="{'k': geo.Point(1, 2)}", imports=AS_AIRFLOW)))
    (tmp_path / "geo.py").write_text(textwrap.dedent(PROJECT["acme_geo.py"]))
    row = json.loads(_run([sys.executable, str(dag_file), str(tmp_path / "geo.py")], **home))
    assert row["k"]["airflow_xcom"]["from"] == {"acme.point": "geo.py"}


def test_built_in_codecs_are_ascribed_to_nobody(backend: Backend) -> None:
    for threshold in (0, -1):
        backend.options(threshold=threshold)
        assert "from" not in backend.push((1, 2))["airflow_xcom"]


GRID = Path(__file__).parents[1] / "data" / "acme-grid"
CHECK = r"""
import acme_grid, numpy as np
from airflow_xcom.codecs.testing import check_codec

class Basin(acme_grid.Grid): ...

open_grid = acme_grid.Grid("", np.zeros(1))
open_grid.file = 1
cells = (np.zeros((500, 500)), np.array([np.nan, -0.0]), np.empty((0, 3)))
values = [acme_grid.Grid(name, array) for name in ("", "\u00e9\ud800") for array in cells]
check_codec("acme_grid.grid", values, refused=[open_grid, Basin("", cells[0])])
print("checked")
"""


@pytest.mark.slow
def test_a_small_distribution_is_installed_from_its_wheel_and_checked_by_the_kit(tmp_path: Path) -> None:
    sources = sorted(path for path in GRID.iterdir() if path.is_file())
    assert sum(len(path.read_text().splitlines()) for path in sources) < 40
    folder = tmp_path / "source"
    folder.mkdir()
    for path in sources:
        (folder / path.name).write_text(path.read_text())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(tmp_path), str(folder)])
    (wheel,) = tmp_path.glob("*.whl")
    _run([*pip, "install", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel)])
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{CHECK}"
    assert _run([sys.executable, "-c", program]) == "checked"

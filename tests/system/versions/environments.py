"""The environments between which payloads are exchanged: a Python each, with libraries of its own.

They are made once by pip into a folder that git ignores, ``.versions`` (or the one that the variable VERSIONS_FOLDER
names), under the digest of what is to be installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FOLDER = Path(os.environ.get("VERSIONS_FOLDER", ROOT / ".versions")).absolute()
PACKAGES = tuple(
    "attrs geopandas msgpack numpy orjson pandas pendulum polars pyarrow pydantic pyproj python-dateutil pytz scipy "  # noqa: SIM905
    "shapely tzdata xarray xxhash".split()
)
MODELS = ("scikit-learn", "skops")  # in the newest environments
AT_ONCE = 2  # environments that are made
NEWEST = "new-3.11"


@dataclass(frozen=True)
class Environment:
    """A Python with the versions that a constraint file names.

    The oldest releases that setup.cfg allows, those before pandas 3, and what the tests themselves run with.
    """

    name: str
    python: str
    constraints: Path
    more: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """What is installed."""
        return (*PACKAGES, *self.more)

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        lines = [self.python, *self.packages, self.constraints.read_text()]
        return FOLDER / f"{self.name}-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"

    def run(self, *command: str | Path) -> str:
        """What a program prints that runs inside."""
        import airflow_xcom.codecs

        paths = [HERE, HERE.parents[1] / "codecs", _package(Path(airflow_xcom.codecs.__file__).parent)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRFLOW"))}
        variables = clean | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "RUST_BACKTRACE": "0"}
        return _run(self.folder / "bin" / "python", *command, env=variables)


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("oldest-3.12", "3.12", HERE / "oldest-3.12.txt"),
        Environment("old-3.11", "3.11", HERE / "old-3.11.txt"),
        Environment("new-3.11", "3.11", ROOT / "constraints" / "python-3.11.txt", MODELS),
        Environment("new-3.13", "3.13", ROOT / "constraints" / "python-3.13.txt", MODELS),
    )
}


def build(environments: list[Environment]) -> None:
    """Make those environments that are not there yet."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_build, environments))


def _build(environment: Environment) -> None:
    folder, stamp = environment.folder, environment.folder / "complete"
    with locked(environment.name):
        if stamp.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        python = find_python(environment.python)
        _run(python or "", "-m", "venv", "--without-pip", folder)
        _run(
            *_pip(),
            "--python",
            folder / "bin" / "python",
            "install",
            "--no-compile",
            "-c",
            environment.constraints,
            *environment.packages,
        )
        stamp.touch()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time is within it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def find_python(version: str) -> Path | None:
    """A Python of this version (``"3.13"``): the one that runs, one on the PATH, or one that pyenv or uv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        Path(getattr(sys, "_base_executable", sys.executable)),
        *map(Path, filter(None, [shutil.which(f"python{version}")])),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python")),
        *sorted(Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/python")),
    ]
    return next((path for path in candidates if _version_of(path) == version), None)


def _version_of(python: Path) -> str | None:
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _pip() -> list[str | Path]:
    """A pip; it can install into any environment."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    raise RuntimeError("no pip is found beside this Python")


def _package(codecs: Path) -> Path:
    """A folder from which the codecs under test are imported, and nothing else of this distribution."""
    folder = FOLDER / f"codecs-{hashlib.sha256(bytes(codecs)).hexdigest()[:16]}"
    with locked("codecs"):
        link = folder / "airflow_xcom" / "codecs"
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(codecs)
    return folder


def _run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout

"""Set up and run what this repository offers, with nothing but Python 3.11 to 3.13 and its pip.

python3 dev.py demo           run a Dag in a real Airflow and check every XCom of it
python3 dev.py cluster        run Dags on two Celery workers, with PostgreSQL, Valkey and S3, and leave them running
python3 dev.py cluster stop   stop all of these
python3 dev.py test [...]     run the tests that take minutes; further arguments go to pytest
python3 dev.py test --all     run all tests, those of servers, of other Pythons and of other Airflows too
python3 dev.py docs [...]     make the pages of docs/ that tests compare, or those named: see DOCUMENTS below
python3 dev.py script [...]   run a script of tests/ or benchmarks/ with its arguments
python3 dev.py fuzz [...]     fuzz what reads payloads; further arguments go to tests/system/fuzz
python3 dev.py airflows       install several releases of Airflow, test all that tasks do with XComs in each, and
                              write docs/AIRFLOWS.md; with versions as arguments, only test those
python3 dev.py bench [...]    measure against pickle and others, or on data of your own; see docs/BENCHMARKS.md
python3 dev.py lint           run ruff and mypy
python3 dev.py constraints    resolve the newest versions for this Python, for maintainers

Everything is installed from the package index into the folder .venv, or the one that the variable VENV names.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

AIRFLOW = "apache-airflow==3.3.2"
PACKAGES = ("codecs", "backend")  # the folders of airflow_xcom.codecs and airflow_xcom.backend
ROOT = Path(__file__).resolve().parent
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CONSTRAINTS = ROOT / "constraints" / f"python-{VERSION}.txt"
VENV = Path(os.environ.get("VENV", ROOT / ".venv")).absolute()
PYTHON = VENV / "bin" / "python"
DOCUMENTS = {
    "COMMANDS": "tests/backend/commands.py",
    "FIDELITY": "tests/codecs/fidelity.py",
    "REFUSED": "tests/codecs/refusals.py",
    "STATE": "tests/backend/state_figures.py",
    "VERSIONS": "tests/system/versions/matrix.py",
}


def demo(*arguments: str) -> None:
    """Run the demo."""
    install("demo")
    become(PYTHON, ROOT / "tests" / "system" / "demo", *arguments)


def cluster(*arguments: str) -> None:
    """Start or stop Airflow on several hosts."""
    install("cluster")
    become(PYTHON, ROOT / "tests" / "system" / "demo" / "cluster.py", *arguments)


def test(*arguments: str) -> None:
    """Run the tests in two processes: those that are not marked as slow, or all."""
    install("test")
    tier = () if "--all" in arguments else ("-m", "not slow")
    rest = (argument for argument in arguments if argument != "--all")
    pytest = (VENV / "bin" / "pytest", "-n", "2", "--dist", "worksteal")
    become(*pytest, *tier, *rest, PYTHONDONTWRITEBYTECODE="")  # compiled once, not in each of hundreds of processes


def docs(*names: str) -> None:
    """Make the pages that tell what the tests find."""
    install("test")
    for name in names or DOCUMENTS:
        run(PYTHON, DOCUMENTS[name], PYTHONPATH=test_paths())


def script(*command: str) -> None:
    """Run a script that imports modules of the tests."""
    install("test")
    become(PYTHON, *command, PYTHONPATH=test_paths())


def test_paths() -> str:
    """Return the folders of the modules that tests share, as pytest has them."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    return os.pathsep.join(str(ROOT / folder) for folder in options["pythonpath"])


def fuzz(*arguments: str) -> None:
    """Run the fuzzer, far longer than the tests do."""
    script("tests/system/fuzz", *arguments)


def airflows(*versions: str) -> None:
    """Run the compatibility suite in every Airflow, or in those named."""
    script("tests/system/airflows/compatibility.py", *versions)


def bench(*arguments: str) -> None:
    """Run the benchmarks."""
    install("bench")
    # The paths in the arguments start where the command is given.
    become(PYTHON, ROOT / "benchmarks", *arguments, folder=Path.cwd(), PYTHONPATH=test_paths())


def lint(*arguments: str) -> None:
    """Run the linter, the formatter's check and the type checker."""
    install("test", "lint")
    run(VENV / "bin" / "ruff", "check", *arguments)
    run(VENV / "bin" / "ruff", "format", "--check")
    with TemporaryDirectory() as folder:
        # A type checker follows neither setuptools' mapping of folders nor its import hook, and from ROOT it would
        # take codecs/ for the standard library's module.
        (Path(folder) / "airflow_xcom").mkdir()
        for name in PACKAGES:
            (Path(folder) / "airflow_xcom" / name).symlink_to(ROOT / name)
        config, cache = ROOT / "pyproject.toml", ROOT / ".mypy_cache"
        command = (VENV / "bin" / "mypy", "--strict", "--config-file", config, "--cache-dir", cache)
        run(*command, folder=Path(folder), MYPYPATH=folder)


def constraints() -> None:
    """Write the versions that a clean environment gets today."""
    create_environment()
    wanted = (AIRFLOW, f"{ROOT}[demo,cluster,bench,test,lint]", "build")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run(*pip("install", "--quiet", "--dry-run", "--ignore-installed", "--report", report), *wanted)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"] if not item["is_direct"]]
    lines = sorted((f"{item['name']}=={item['version']}\n" for item in found), key=str.lower)
    CONSTRAINTS.write_text("".join(lines))


def install(*extras: str) -> None:
    """Install this repository with its extras, editable, unless that has been done with these very versions."""
    create_environment()
    sources = (ROOT / "setup.cfg", ROOT / "pyproject.toml", CONSTRAINTS)
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    done = [stamp for stamp in VENV.glob("installed-*") if stamp.read_text() == wanted]
    if not any({*extras} <= {*stamp.name.split("-")} for stamp in done):
        print(f"Installing into {VENV}: a few minutes the first time", flush=True)
        run(*pip("install", "--quiet", "--constraint", CONSTRAINTS, "--editable", f"{ROOT}[{','.join(extras)}]"))
        (VENV / f"installed-{'-'.join(extras)}").write_text(wanted)


def create_environment() -> None:
    """Make the virtual environment, if there is none; without a pip of its own, for Debian packs ensurepip apart."""
    if not VENV.exists():
        run(sys.executable, "-m", "venv", "--without-pip", VENV)
    if not (PYTHON.exists() and (VENV / "lib" / f"python{VERSION}").is_dir()):
        sys.exit(f"{VENV} is not of Python {VERSION}: delete it, or name another folder in the variable VENV")


def pip(*arguments: str | Path) -> tuple[str | Path, ...]:
    """The command that runs the pip of this Python on the virtual environment."""
    return (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", PYTHON, *arguments)


def run(*command: str | Path, folder: Path = ROOT, **variables: str) -> None:
    """Run a command, and end with its exit code if it fails."""
    code = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False).returncode  # noqa: S603
    if code != 0:
        sys.exit(code)


def become(*command: str | Path, folder: Path = ROOT, **variables: str) -> NoReturn:
    """Give this process over to a command, so that Ctrl-C and signals reach it alone, and it can clean up."""
    os.chdir(folder)
    os.execve(command[0], command, {**os.environ, **variables})  # noqa: S606


def main() -> None:
    """Run the command that the first argument names."""
    parts = (demo, cluster, test, docs, script, fuzz, airflows, bench, lint, constraints)
    commands = {command.__name__: command for command in parts}
    if len(sys.argv) == 1 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    if not CONSTRAINTS.exists() and sys.argv[1] != "constraints":
        sys.exit(f"Python {VERSION} is not supported: use 3.11, 3.12 or 3.13")
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

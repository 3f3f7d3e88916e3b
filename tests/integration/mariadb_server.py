"""MariaDB's server: the one of this machine, or else of the distribution's packages, unpacked without root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-xcom-codecs"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def command(port: int, data: Path) -> list[str]:
    """The command that starts it on an empty folder; it asks nobody for a password."""
    system = Path("/")
    if (program := shutil.which("mariadbd", path=PATH)) is None:
        system = unpacked("mariadb-server-core")
        program = str(system / "usr" / "sbin" / "mariadbd")
    libraries = os.pathsep.join(str(path) for path in (system / "usr" / "lib").glob("*-linux-gnu"))
    found = ["env", f"LD_LIBRARY_PATH={libraries}"] if system != Path("/") else []
    found += [program, "--no-defaults", f"--basedir={system / 'usr'}", f"--datadir={data}"]
    found += [f"--lc-messages-dir={system / 'usr' / 'share' / 'mysql'}", "--socket=socket"]
    found += ["--bind-address=127.0.0.1", f"--port={port}", "--skip-grant-tables"]
    found += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF"]
    return [*found, "--user=root"] if os.getuid() == 0 else found


def unpacked(package: str) -> Path:
    """The folder with a package of the distribution, and with what it needs that this machine has not."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / package
    with (FOLDER / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = FOLDER / f"{package}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            for archive in _downloaded(package, unfinished / "apt"):
                subprocess.run(["dpkg-deb", "--extract", archive, unfinished], check=True)
            shutil.rmtree(unfinished / "apt")
            unfinished.rename(target)
    return target


def _downloaded(package: str, folder: Path) -> list[Path]:
    """Archives from the distribution's packages, with lists and a cache of our own, which take no root."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder,
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "--quiet", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", package], check=True)
    return sorted((folder / "archives").glob("*.deb"))

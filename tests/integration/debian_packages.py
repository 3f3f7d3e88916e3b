"""Packages of the distribution, unpacked into a folder without root, for programs that this machine has not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-xcom-codecs"
PARTS = ("nss", "pulseaudio")  # where some libraries of the distribution look for others, at their own places only


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


def libraries(system: Path) -> str:
    """What the variable LD_LIBRARY_PATH takes for the programs in such a folder."""
    folders = [
        folder for top in (system / "usr" / "lib").glob("*-linux-gnu") for folder in (top, *map(top.joinpath, PARTS))
    ]
    return os.pathsep.join(str(folder) for folder in folders if folder.is_dir())


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

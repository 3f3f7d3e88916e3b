"""MariaDB's server: the one of this machine, or else of the distribution's packages, unpacked without root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from debian_packages import libraries, unpacked

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def command(port: int, data: Path) -> list[str]:
    """The command that starts it on an empty folder; it asks nobody for a password."""
    system = Path("/")
    if (program := shutil.which("mariadbd", path=PATH)) is None:
        system = unpacked("mariadb-server-core")
        program = str(system / "usr" / "sbin" / "mariadbd")
    found = ["env", f"LD_LIBRARY_PATH={libraries(system)}"] if system != Path("/") else []
    found += [program, "--no-defaults", f"--basedir={system / 'usr'}", f"--datadir={data}"]
    found += [f"--lc-messages-dir={system / 'usr' / 'share' / 'mysql'}", "--socket=socket"]
    found += ["--bind-address=127.0.0.1", f"--port={port}", "--skip-grant-tables"]
    found += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF"]
    return [*found, "--user=root"] if os.getuid() == 0 else found

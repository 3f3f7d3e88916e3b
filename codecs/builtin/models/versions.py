"""Releases of libraries that read what older ones wrote."""

from __future__ import annotations

import re
from typing import Any

from airflow_xcom.codecs.errors import CorruptPayloadError, LibraryVersionError
from airflow_xcom.codecs.nodes import as_text
from airflow_xcom.codecs.quoting import quoted


def check_not_older(library: str, installed: str, writer: Any) -> None:
    """Raise LibraryVersionError unless the installed release of a library is the writer's or a later one."""
    found = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6}).{0,20}", as_text(writer))
    if found is None:
        raise CorruptPayloadError(f"{quoted(writer)} is no version of {library}")
    if tuple(map(int, re.findall(r"\d+", installed)[:3])) < tuple(map(int, found.groups())):
        raise LibraryVersionError("a trained model", library, installed, f"{'.'.join(found.groups())} or newer")

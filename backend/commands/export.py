"""``airflow-xcom export``: one value as a file that other programs read."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_xcom.backend.blob_urls import read_blob_at
from airflow_xcom.backend.commands.declarations import FORMATS
from airflow_xcom.backend.commands.selection import chosen
from airflow_xcom.backend.commands.terminal import human, say
from airflow_xcom.backend.errors import ExportError
from airflow_xcom.backend.maintenance.export import export
from airflow_xcom.backend.pull import Deferred, located, prepare


def run(options: Namespace) -> int:
    """Write it, and return 0; what stands in the way is raised."""
    form = _format_of(options.to, options.format)
    left_out = export(_value(options), options.to, form, force=options.force)
    size = options.to.stat().st_size
    if options.output == "json":
        say(json.dumps({"file": str(options.to), "format": form, "bytes": size, "left_out": left_out}))
        return 0
    say(f"{options.to}: {form}, {human(size)}, read back and compared")
    if left_out:
        say(f"The format has no place for: {', '.join(left_out)}")
    return 0


def _format_of(target: Path, chosen: str | None) -> str:
    """Return the format of a file: what was chosen, or what its suffix says."""
    form = chosen or target.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise ExportError(form, f"{target.name} does not end in .{', .'.join(FORMATS)}; say which with --format")
    return form


def _value(options: Namespace) -> Any:
    """Return the value, as a task would pull it."""
    if options.blob:
        prepare()
        return read_blob_at(options.blob)
    row = chosen(options)
    with located(row.coordinate):
        if row.error is not None:
            raise row.error
    return Deferred(row.stored, SimpleNamespace(value=row.stored), row.columns).value()

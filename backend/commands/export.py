"""``airflow-xcom export``: one value as a file that other programs read."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_xcom.backend.commands.arguments import add_output, add_source
from airflow_xcom.backend.commands.selection import chosen
from airflow_xcom.backend.commands.terminal import human, say
from airflow_xcom.backend.errors import ExportError

_FORMATS = ("parquet", "csv", "json", "npy", "arrow")
HELP = "write one value to a file: parquet, csv, json, npy or arrow"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Write one value to a file, which is read back and compared before it gets its name.  What the format cannot "
        "hold exactly is refused; what it has no place for (which columns are the index, attrs, categories) is said."
    )
    add_source(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--format", choices=_FORMATS, help="if the suffix of the file does not say")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    add_output(parser, "json: one JSON object")


def run(options: Namespace) -> int:
    """Write it, and return 0; what stands in the way is raised."""
    from airflow_xcom.backend.maintenance.export import export

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
    if form not in _FORMATS:
        raise ExportError(form, f"{target.name} does not end in .{', .'.join(_FORMATS)}; say which with --format")
    return form


def _value(options: Namespace) -> Any:
    """Return the value, as a task would pull it."""
    from airflow_xcom.backend.pull import Deferred, located, prepare

    if options.blob:
        from airflow_xcom.backend.blob_urls import read_blob_at

        prepare()
        return read_blob_at(options.blob)
    row = chosen(options)
    with located(row.coordinate):
        if row.error is not None:
            raise row.error
    return Deferred(row.stored, SimpleNamespace(value=row.stored), row.columns).value()

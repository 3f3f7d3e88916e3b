"""The command line: ``airflow-xcom``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from airflow_xcom.backend.commands import migrate, retain
from airflow_xcom.backend.commands.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {"migrate": migrate, "retain": retain}  # modules with HELP, add_arguments(parser) and run(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and give its exit code: 0 if all went well, 1 if something could not be done."""
    # As Airflow's own commands do: connections then come from the metadata database too (3.2 on).
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    logging.getLogger("airflow_xcom.backend").setLevel(logging.WARNING)
    from airflow_xcom.codecs import CodecError

    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CodecError as error:
        say(f"airflow-xcom: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airflow-xcom",
        description="Look after the payloads of XComs.  Run it where `airflow db` works: it reads the metadata "
        "database, and the stores in [xcom_codecs].",
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=module.HELP)
        module.add_arguments(subparser)
        subparser.set_defaults(command=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())

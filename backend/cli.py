"""The command line: ``airflow-xcom``, and the same as ``airflow xcom-codecs``.

Airflow imports this module for each of its own commands, so that it must load nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, cast

from airflow_xcom.backend.commands.declarations import COMMANDS, Command
from airflow_xcom.backend.commands.terminal import tell, visible
from airflow_xcom.codecs import CodecError

_HELP = "look after the payloads of XComs"
_DESCRIPTION = (
    "Look after the payloads of XComs.  Run it where `airflow db` works: it reads the metadata database, and the "
    "stores in the configuration."
)
_INTERRUPTED = 130  # as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    0 if all went well, 1 if something is wrong or could not be done, 2 if the line was not understood.
    """
    options = _parser().parse_args(arguments)
    return _run(_command(options.command), options)


def airflow_commands() -> list[Any]:
    """Return the commands as those of Airflow, which finds them in the provider's metadata from 3.2 on."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    commands = [
        ActionCommand(name, command.help, partial(_exit, _command(name)), args=(cast("Any", _Arguments(command)),))
        for name, command in COMMANDS.items()
    ]
    return [GroupCommand(name="xcom-codecs", help=_HELP, description=_DESCRIPTION, subcommands=commands)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-xcom", description=_DESCRIPTION)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help)
        command.declare(subparser)
        subparser.set_defaults(command=name)
    return parser


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Return what runs a command, whose module is imported then."""
    return lambda options: import_module(f"airflow_xcom.backend.commands.{name}").run(options)


class _Arguments:
    """All that a command takes, in place of Airflow's ``Arg``: declared once, to argparse itself."""

    flags = ("arguments",)

    def __init__(self, command: Command) -> None:
        self._command = command

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        parser.formatter_class = argparse.HelpFormatter  # Airflow's would take [xcom_codecs] for markup
        self._command.declare(parser)


def _exit(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> NoReturn:
    """Run a command; Airflow itself takes no exit code from it."""
    sys.exit(_run(command, options))


def _run(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command, and say what stopped it."""
    # As Airflow's own commands do: connections then come from the metadata database too (3.2 on).
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    with redirect_stdout(sys.stderr):  # which Airflow logs to from then on: the output may be JSON
        import airflow  # noqa: F401
    log = logging.getLogger("airflow_xcom.backend")
    log.setLevel(logging.WARNING)
    log.addFilter(_readable)
    try:
        code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - what is not expected is raised again
        tell(f"airflow-xcom: {_reason(error)}")
        return 1
    return code


def _readable(record: logging.LogRecord) -> bool:
    """Escape what a terminal would obey in a log message, which may hold names of people's making."""
    record.msg, record.args = visible(record.getMessage()), ()
    return True


def _reason(error: Exception) -> str:
    """Return what stopped a command; raise errors of the command itself again."""
    from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

    if isinstance(error, NoSuchTableError):
        return f"the metadata database has no table {error}; is it that of a running Airflow?"
    if isinstance(error, SQLAlchemyError):
        return f"the metadata database cannot be read: {getattr(error, 'orig', None) or error}"
    if isinstance(error, CodecError):
        return str(error)
    raise error


if __name__ == "__main__":
    sys.exit(main())

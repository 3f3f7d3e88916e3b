"""The arguments that several commands take."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

TOKEN = "AIRFLOW_XCOM_REST_TOKEN"  # noqa: S105 - the name of a variable


def add_coordinate(parser: ArgumentParser) -> None:
    """Declare the parts of a coordinate."""
    parser.add_argument("--dag", metavar="DAG_ID", help="of this Dag")
    parser.add_argument("--run", metavar="RUN_ID", help="of this run")
    parser.add_argument("--task", metavar="TASK_ID", help="of this task")
    parser.add_argument("--map-index", type=int, metavar="NUMBER", help="of this mapped task; -1 of one not mapped")
    parser.add_argument("--key", help="of this key; return_value is what a task returned")


def add_asset(parser: ArgumentParser) -> None:
    """Declare a version of an asset."""
    parser.add_argument(
        "--asset", metavar="ASSET", help="a version of this asset, by its name or URI, in place of an XCom"
    )
    text = "of the asset: the number that `versions` lists, or a tag (default: the latest)"
    parser.add_argument("--version", metavar="VERSION", help=text)
    parser.add_argument("--partition", metavar="KEY", help="of the asset: the key of a partition")


def add_payload(parser: ArgumentParser) -> None:
    """Declare what a payload is told by."""
    parser.add_argument("--store", metavar="NAME", help="whose payload is in the store of this name; 'row' for none")
    parser.add_argument("--tag", help="of this tag, such as pandas.DataFrame")


def add_source(parser: ArgumentParser) -> None:
    """Declare one XCom, or a blob."""
    parser.add_argument("blob", nargs="?", metavar="BLOB", help="a file, or a URL within a configured store")
    add_coordinate(parser)
    add_asset(parser)


def add_output(parser: ArgumentParser, what: str, for_people: str = "table") -> None:
    """Declare the choice between output for people and for scripts."""
    text = f"{what} (default: {for_people})"
    parser.add_argument("--output", choices=(for_people, "json"), default=for_people, help=text)


def add_apply(parser: ArgumentParser, what: str = "do it") -> None:
    """Declare that a command acts; without it, it only tells what it would do."""
    parser.add_argument("--apply", action="store_true", help=what)


def add_seconds(parser: ArgumentParser, name: str, default: float, what: str) -> None:
    """Declare a time."""
    parser.add_argument(name, type=_seconds, default=default, metavar="SECONDS", help=what)


def add_rest(parser: ArgumentParser) -> None:
    """Declare Airflow's REST API as what is read in place of the metadata database."""
    parser.add_argument(
        "--rest",
        metavar="WHERE",
        help="read through Airflow's REST API: its URL, or an Airflow connection with its URL as host and a token as "
        f"password (or login and password).  The token for a URL is in --token-file or in ${TOKEN}",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token for --rest")


def count(text: str) -> int:
    """Parse a number of things, 0 or more."""
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("give a number, 0 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError("give seconds, 0 or more")
    return number

"""What each command takes; Airflow imports this for each of its own commands, so that it must load nothing."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from airflow_xcom.backend.maintenance import GRACE, WAIT

TOKEN = "AIRFLOW_XCOM_REST_TOKEN"  # noqa: S105 - the name of a variable
FORMATS = ("parquet", "csv", "json", "npy", "arrow")  # of exported files


class Command(NamedTuple):
    """A command, which the function ``run`` in the module of its name does."""

    help: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]

    def declare(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""
        parser.description = self.description
        self.add_arguments(parser)


COMMANDS: dict[str, Command] = {}

Declare = Callable[[ArgumentParser], None]


def _command(help_: str, description: str) -> Callable[[Declare], Declare]:
    """Make a function that declares arguments a command, which has its name."""

    def add(declare: Declare) -> Declare:
        COMMANDS[declare.__name__.removeprefix("_")] = Command(help_, description, declare)
        return declare

    return add


@_command(
    "list the XComs that this backend stores in its own form",
    "List the XComs that this backend stores in its own form, in the row or in a store; plain JSON values are left "
    "out.  Rows of that form which cannot be read are marked.  They are read page by page; no payload is.",
)
def _list(parser: ArgumentParser) -> None:
    _add_coordinate(parser)
    _add_payload(parser)
    parser.add_argument("--inexact", action="store_true", help="only those of which some part is not stored exactly")
    parser.add_argument("--limit", type=_count, metavar="NUMBER", help="at most so many")
    _add_output(parser, "json: a JSON object a line")


@_command(
    "show what one value is: type, shape, columns, sizes, first rows",
    "Show what one value is: type, shape, columns, sizes, first rows, or its tags and first items.  No codec is "
    "asked, so neither the library nor the class of the value is needed; of a table only what is shown is "
    "read, and of another value no arrays, and the digest is not checked (verify does).",
)
def _inspect(parser: ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--rows", type=_count, default=10, metavar="NUMBER", help="first rows of a table (default: 10)")
    _add_output(parser, "json: one JSON object")


@_command(
    "compare payloads with the sizes and digests in their rows",
    "Read the payloads of all XComs, or of those that the options name, and compare them with the sizes and "
    "digests in their rows.  Those that fail are listed as missing, expired, corrupt, foreign (another XCom's), "
    "unreachable (the store, not the payload) or unreadable (the row); the exit code is then 1.  With "
    "--asset it reads all versions of the asset, or one.  Progress goes to standard error.",
)
def _verify(parser: ArgumentParser) -> None:
    _add_coordinate(parser)
    _add_payload(parser)
    _add_asset(parser)
    _add_output(parser, "json: a JSON object a line for each failure, and a last one with the totals")


@_command(
    "write one value to a file: parquet, csv, json, npy or arrow",
    "Write one value to a file, which is read back and compared before it gets its name.  What the format cannot "
    "hold exactly is refused; what it has no place for (which columns are the index, attrs, categories) is said.",
)
def _export(parser: ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--format", choices=FORMATS, help="if the suffix of the file does not say")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    _add_output(parser, "json: one JSON object")


@_command(
    "copy one value to another XCom",
    "Copy one value to another XCom of a task instance that exists: its payload is copied within its store and "
    "compared, and the row of the other XCom refers to the copy.  A row that is copied by hand still belongs to "
    "the XCom that it was written for, and is refused where it is pulled.",
)
def _copy(parser: ArgumentParser) -> None:
    _add_coordinate(parser)
    for name in ("dag", "run", "task", "key"):
        parser.add_argument(f"--to-{name}", metavar=name.upper(), help=f"copy to this {name} (default: the same)")
    parser.add_argument("--to-map-index", type=int, metavar="NUMBER", help="and to this index (default: the same)")
    parser.add_argument("--force", action="store_true", help="replace the value that the other XCom has")


@_command(
    "list the assets that have values",
    "List the assets to which a task has published a value: the number of their events, the time and the "
    "size of the newest version, tags, and how long versions are kept.  No payload is read.",
)
def _assets(parser: ArgumentParser) -> None:
    _add_output(parser, "json: a JSON object a line")


@_command(
    "list the versions of an asset",
    "List the versions of an asset that its events name, the newest first: the number of the event, by which other "
    "commands know the version, when it was published by which task, its tags, and whether a policy retired it.",
)
def _versions(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help="its name or its URI")
    parser.add_argument("--partition", metavar="KEY", help="only of this partition")
    parser.add_argument("--limit", type=_count, metavar="NUMBER", help="at most so many")
    _add_output(parser, "json: a JSON object a line")


@_command(
    "give a version of an asset a name, which keeps it",
    "Give a version of an asset a name.  A version with a name is kept, whatever the policy of the asset says and "
    "though its event is gone; other commands take the name for the number.  Another version that had the name "
    "loses it.",
)
def _tag(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help="its name or its URI")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="its number, see versions, or another name of it")
    parser.add_argument("name", metavar="NAME", help="letters, digits, and . _ + @ -, but not a number alone")
    parser.add_argument("--partition", metavar="KEY", help="if one event tells of versions of several partitions")
    parser.add_argument("--remove", action="store_true", help="take the name away, from whichever version has it")


@_command(
    "compare two versions of an asset: schema, rows, cells",
    "Compare two versions of an asset: how their schemas differ, as a contract would say it; of tables, how many "
    "rows they have, and in which rows, by their position, the cells of a column are not the same.  Exits with 1 "
    "if they differ, also where only their payloads do and not all columns or rows were compared.",
)
def _diff(parser: ArgumentParser) -> None:
    parser.add_argument("--asset", required=True, metavar="ASSET", help="its name or its URI")
    parser.add_argument("one", metavar="VERSION", help="a number or a tag")
    parser.add_argument("other", metavar="VERSION", help="a number or a tag")
    parser.add_argument("--partition", metavar="KEY", help="if one event tells of versions of several partitions")
    _add_output(parser, "json: one JSON object")


@_command(
    "move payloads from one store to another",
    "Move the payloads that XComs refer to from one store to another, while tasks run.  Each is copied and "
    "compared; then its XCom is made to refer to the copy.  A sweep deletes the old ones.  Without --apply, only "
    "count.",
)
def _migrate(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", required=True, metavar="NAME", help="a name in [xcom_codecs] stores")
    parser.add_argument("--to", dest="target", required=True, metavar="NAME", help="another; 'default' is that of path")
    _add_apply(parser)


@_command(
    "retire values that need not be kept any more",
    "Retire the values of runs that have ended and need not be kept any more, by the tags of their Dag "
    "(xcom:keep=7d, xcom:keep=5runs, xcom:keep-failed=30d, xcom:keep=forever), or else by [xcom_codecs] "
    "keep_success, keep_failed and keep.  A tombstone takes the place of the row; the sweep deletes the blob.  "
    "Versions of assets are retired likewise, by xcom:keep in the asset's extra, or else by keep_published.  "
    "Without --apply, only list what would go.  The sums of all Dags are kept in the database, as Airflow's "
    "Variable airflow_xcom_last_retain.",
)
def _retain(parser: ArgumentParser) -> None:
    parser.add_argument("--dag", action="append", metavar="DAG", help="only of this Dag; may be given several times")
    text = "only versions of the asset of this name; may be given several times"
    parser.add_argument("--asset", action="append", metavar="NAME", help=text)
    _add_apply(parser)
    _add_output(parser, "of the listing", "text")


@_command(
    "make this Airflow the owner of its stores, so that a sweep may delete there",
    "Write into each store which Airflow its payloads belong to: by an id, which is kept in the Variable "
    "airflow_xcom_deployment, and by the address of the metadata database.  A sweep deletes nothing in a store of "
    "another Airflow, such as the one that this was cloned from.  Airflows that share a bucket need prefixes of "
    "their own.",
)
def _adopt(parser: ArgumentParser) -> None:
    _add_store(parser)
    parser.add_argument(
        "--force", action="store_true", help="take over the store of another Airflow, or of this one before it moved"
    )
    _add_rest(parser)


@_command(
    "find payloads that no XCom refers to, and delete them",
    "List the stores, and find the payloads that no XCom refers to and that are older than the grace period: of "
    "runs and Dags that were deleted, of `airflow db clean`, of tasks that were killed.  Without --apply, only "
    "report them.  A store must belong to this Airflow, see `adopt`.  Exits with 1 if anything fails; nothing "
    "more is deleted then.  The sums of whole stores are kept in the database, as Airflow's Variable "
    "airflow_xcom_last_sweep.",
)
def _sweep(parser: ArgumentParser) -> None:
    _add_store(parser)
    text = "only payloads of this run, without a listing of the whole store; may be given several times"
    parser.add_argument("--run", nargs=2, action="append", metavar=("DAG_ID", "RUN_ID"), help=text)
    text = "leave younger payloads: longer than any push takes, with its retries (default: 86400, a day)"
    parser.add_argument("--grace", type=_seconds, default=GRACE, metavar="SECONDS", help=text)
    _add_apply(parser, "delete them")
    text = "look again after so long, before deleting: longer than from a payload to its XCom (default: 300)"
    parser.add_argument("--wait", type=_seconds, default=WAIT, metavar="SECONDS", help=text)
    parser.add_argument("--even-all", action="store_true", help="delete even if no XCom refers to any payload at all")
    _add_output(parser, "of the report", "text")
    _add_rest(parser)
    text = "with --rest, which does not show the rows that `airflow db clean` archived: say that there are none"
    parser.add_argument("--no-archives", action="store_true", help=text)


@_command(
    "make the state of tasks and assets plain JSON",
    "Before [workers] state_store_backend is turned off: put the value itself in place of what CodecStateStore "
    "wrote into the rows of task_state_store and asset_state_store, where plain JSON holds it exactly.  The others "
    "are listed, and stay as they are.  Without --apply, only tell.  Exits with 1 if any row stays.",
)
def _state(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["unwrap"], help="what to do")
    _add_apply(parser)


# -- what several commands take ------------------------------------------------------------------------------


def _add_coordinate(parser: ArgumentParser) -> None:
    parser.add_argument("--dag", metavar="DAG_ID", help="of this Dag")
    parser.add_argument("--run", metavar="RUN_ID", help="of this run")
    parser.add_argument("--task", metavar="TASK_ID", help="of this task")
    parser.add_argument("--map-index", type=int, metavar="NUMBER", help="of this mapped task; -1 of one not mapped")
    parser.add_argument("--key", help="of this key; return_value is what a task returned")


def _add_asset(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--asset", metavar="ASSET", help="a version of this asset, by its name or URI, in place of an XCom"
    )
    text = "of the asset: the number that `versions` lists, or a tag (default: the latest)"
    parser.add_argument("--version", metavar="VERSION", help=text)
    parser.add_argument("--partition", metavar="KEY", help="of the asset: the key of a partition")


def _add_source(parser: ArgumentParser) -> None:
    """Declare one XCom, one version of an asset, or a blob."""
    parser.add_argument("blob", nargs="?", metavar="BLOB", help="a file, or a URL within a configured store")
    _add_coordinate(parser)
    _add_asset(parser)


def _add_payload(parser: ArgumentParser) -> None:
    parser.add_argument("--store", metavar="NAME", help="whose payload is in the store of this name; 'row' for none")
    parser.add_argument("--tag", help="of this tag, such as pandas.DataFrame")


def _add_store(parser: ArgumentParser) -> None:
    parser.add_argument("--store", metavar="NAME", help="only this one of [xcom_codecs] stores ('default': of path)")


def _add_output(parser: ArgumentParser, what: str, for_people: str = "table") -> None:
    text = f"{what} (default: {for_people})"
    parser.add_argument("--output", choices=(for_people, "json"), default=for_people, help=text)


def _add_apply(parser: ArgumentParser, what: str = "do it") -> None:
    parser.add_argument("--apply", action="store_true", help=what)


def _add_rest(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rest",
        metavar="WHERE",
        help="read through Airflow's REST API: its URL, or an Airflow connection with its URL as host and a token as "
        f"password (or login and password).  The token for a URL is in --token-file or in ${TOKEN}",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token for --rest")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("give a number, 0 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError("give seconds, 0 or more")
    return number

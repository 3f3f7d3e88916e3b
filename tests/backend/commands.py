"""A metadata database with rows of every kind, and what each command says of it: ``docs/COMMANDS.md``.

``python3 dev.py docs COMMANDS`` writes the page; tests/backend/test_cli.py compares it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import sqlalchemy

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "COMMANDS.md"
RUN = "manual__2024-01-01T00:00:00+00:00"
FRAME = pd.DataFrame(
    {
        "carrier": pd.Categorical(["AA", "UA", "DL", "B6"] * 2000),
        "delay": pd.array([3, None, 15, -2] * 2000, "Int64"),
        "seconds": np.arange(8000) / 8,
    },
    index=pd.date_range("2024-01-01", periods=8000, freq="min", name="when"),
)
FEATURES = {"weights": np.arange(24_000.0).reshape(200, 120), "names": ["a", "b"], "made": dt.datetime(2024, 1, 1)}
INVOICE = {"total": Decimal("10.10"), "due": dt.date(2024, 2, 1)}
COUNT = {"rows": 8000}
ARRAY = np.arange(12, dtype=">i4").reshape(3, 4, order="F")
POINT = {
    "version": 1,
    "tag": "class.dataclass",
    "summary": {"type": "acme.geo.Point", "bytes": 24},
    "of": ["flights", RUN, "locate", -1, "return_value"],
    "data": {"$": ["class.dataclass", 1, ["acme.geo:Point", {"x": 1, "y": 2}]]},
}
ROGUE = "\x1b[2J\x1b]0;owned\x07\u202e"


def migrate_database(url: str, home: Path) -> None:
    """Let Airflow set its metadata database up."""
    variables = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env=variables, capture_output=True, check=True)


class Metadata:
    """A metadata database, with rows as Airflow's API server writes them."""

    def __init__(self, url: str) -> None:
        from airflow.models.xcom import XComModel

        self.engine = sqlalchemy.create_engine(url)
        self._table = XComModel.__table__
        self._numbers: dict[str, int] = {}

    def put(self, task: str, value: Any, **coordinate: Any) -> None:
        at = {"dag_id": "flights", "run_id": RUN, "map_index": -1, "key": "return_value", **coordinate}
        number = self._number(f"{at['dag_id']} {at['run_id']}")
        identity = {"dag_run_id": number, "task_id": task, "map_index": at["map_index"], "key": at["key"]}
        rest = {"dag_id": at["dag_id"], "run_id": at["run_id"], "timestamp": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}
        same = [self._table.c[name] == part for name, part in identity.items()]
        with self.engine.begin() as connection:
            connection.execute(self._table.delete().where(*same))
            connection.execute(self._table.insert().values(**identity, **rest, value=value))

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def clear(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(self._table.delete())


def push(value: Any, task: str, **coordinate: Any) -> Any:
    from airflow_xcom.backend import CodecXComBackend

    where = {"dag_id": "flights", "run_id": RUN, "task_id": task, "map_index": -1, "key": "return_value"}
    return CodecXComBackend.serialize_value(value, **{**where, **coordinate})


def fill(metadata: Metadata) -> None:
    """What tasks push, each value readable."""
    for task, value in (("clean", FRAME), ("count", COUNT), ("features", FEATURES), ("invoice", INVOICE)):
        metadata.put(task, push(value, task))
    metadata.put("locate", {"airflow_xcom": POINT})
    metadata.put("matrix", push(ARRAY, "matrix", map_index=3), map_index=3)


def fill_with_faults(metadata: Metadata, folder: Path) -> None:
    """What is left when something went wrong, a row of each kind."""
    for task in ("lost", "damaged", "shortened"):
        metadata.put(task, push(FRAME, task))
    for found in folder.rglob("*lost*/**/*.arrow"):
        found.unlink()
    for found in folder.rglob("*damaged*/**/*.arrow"):
        found.write_bytes(found.read_bytes()[:-1] + b"x")
    for found in folder.rglob("*shortened*/**/*.arrow"):
        found.write_bytes(found.read_bytes()[:-1])
    base = {"store": "default", "url": folder.as_uri(), "size": 5, "format": "arrow", "digest": "xxh3-128:0"}
    gone = {**base, "path": f"_/_/_/-1/_.{'f' * 32}.arrow"}
    metadata.put("expired", envelope(ref={**gone, "expires": 1_700_000_000}))
    metadata.put("elsewhere", envelope(ref={**gone, "store": "old", "url": "s3://old/xcom"}))
    metadata.put("other_host", envelope(ref={**gone, "host": "worker-9"}))
    metadata.put("forged", envelope(ref={**base, "path": "../../etc/passwd"}))
    metadata.put("newer", envelope(data=1, version=99))
    metadata.put("malformed", {"airflow_xcom": {"version": 1, "tag": 5}})


def envelope(*, tag: str = "pandas.DataFrame", version: int = 1, **content: Any) -> Any:
    facts = {"version": version, "tag": tag, "summary": {"type": "DataFrame"}, "of": [None] * 5}
    return {"airflow_xcom": {**facts, **content}}


@contextlib.contextmanager
def scenery(metadata: Metadata) -> Iterator[None]:
    """Have the commands read this database, and name everything as they would elsewhere."""
    from airflow_xcom.backend import envelope as reference
    from airflow_xcom.backend.database import xcom_rows as rows

    database = rows.Rows(metadata.engine)
    with (
        mock.patch.object(rows, "metadata_rows", return_value=database),
        mock.patch.object(reference, "urandom", side_effect=(number.to_bytes(16, "big") for number in count(1))),
        mock.patch.object(socket, "gethostname", return_value="worker-1"),
        mock.patch.dict(os.environ, {"COLUMNS": "110"}),
    ):
        yield


def run(*arguments: str) -> tuple[int, str, str]:
    """What a command line gives: its exit code, its output, and what it says on standard error."""
    from airflow_xcom.backend import cli

    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), errors.getvalue()


INTRODUCTION = """# The command line

Run `airflow-xcom COMMAND` or, from Airflow 3.2 on, `airflow xcom-codecs COMMAND`; both are the same commands. They
run wherever `airflow db` works: they read the metadata database by Airflow's own settings, and the stores in
`[xcom_codecs]`.

- Without options, the output is for people, in columns that fit the terminal (in a pipe, columns are as wide as
  needed). With `--output json` it is for scripts: commands that list, and `verify`, print one JSON object a line,
  others one object.
- Names and texts from rows never reach the terminal raw: control characters are shown as `\\x1b`.
- The exit code is 0 if all went well, 1 if something is wrong or failed, with the reason on standard error, and 2
  if the arguments are wrong.
- Rows are read page by page, each page in its own transaction. `list` reads no payload, `inspect` neither the
  rest of a table nor arrays, and no tree of more than 2 MiB. `verify` and `export` read a whole payload as a pull
  does; a local file is mapped.

The rest of this page is what the commands print. `python3 dev.py docs COMMANDS` makes the page, and a test compares
it.
"""

SHOWN = """
## list

Lists the values that this package encoded. Their place is the name of a store, `row`, or `retired`, if
[retention](RETENTION.md) took the value away. Plain JSON values are left out.

$ airflow-xcom list
$ airflow-xcom list --tag numpy.ndarray --output json

`bytes` is the size of the blob or, for a value in the row, of the payload before it became JSON.

## inspect

Shows one XCom. Give as many of Dag, run, task, map index and key as are needed to select it. Of a table, only the
parts of the file with the first rows are read, by pyarrow alone:

$ airflow-xcom inspect --task clean --rows 3

Any other value is shown as a tree of tags, with the first items of each level:

$ airflow-xcom inspect --task features
$ airflow-xcom inspect --task locate

`&0` is an object that the value contains several times; `*0` is where it occurs again. You can also name a blob
without its row, as a file or as a URL within a configured store:

$ airflow-xcom inspect file:///srv/xcom/{invoice}

## verify

$ airflow-xcom verify

If a task replaces a row while its payload is read, the row counts as changed meanwhile, not as missing. For scripts:

$ airflow-xcom verify --task lost --output json

## export

$ airflow-xcom export --task clean --to delays.parquet
$ airflow-xcom export --task clean --to delays.parquet
$ airflow-xcom export --task matrix --to matrix.npy
$ airflow-xcom export --task count --to count.json
$ airflow-xcom export --task invoice --to invoice.json
$ airflow-xcom export --task locate --to point.json

| format | holds | refuses |
| --- | --- | --- |
| parquet | tables | durations, intervals, unions, extension types, objects of Python |
| arrow | tables | periods, intervals of pandas, objects of Python |
| csv | tables of numbers, text and times; no types | nested and binary columns, rows that would be blank lines |
| json | values of JSON's types; tables of them as a list of objects | NaN, times, tuples, keys that are not text |
| npy | NumPy arrays | arrays of objects, masked arrays, everything else |

In CSV, a null is an empty field and an empty text is `""`. The index of a frame becomes the last columns of its
table.

## copy

Gives another XCom the value of one, with a payload of its own: what people do by hand, as by the REST API, when a task
cannot run again. The task instance must exist. The payload of a value that `--force` replaces is left to a sweep.

$ airflow-xcom copy --task clean

## The options
"""


def document(folder: Path) -> str:
    """The page; the files that the commands write go to the folder."""
    with contextlib.chdir(folder):
        lines = [INTRODUCTION, *map(_shown, SHOWN.strip("\n").split("\n"))]
        lines += _helps()
    page = re.sub(r"\n```\n```text\n", "\n", "\n".join(lines)).replace("\n\n\n", "\n\n")
    return page.rstrip() + "\n"


def _shown(line: str) -> str:
    if not line.startswith("$ airflow-xcom "):
        return line
    line = line.format(invoice=_path_of("features"))
    where = Path.cwd() / "xcom"
    arguments = shlex.split(line.removeprefix("$ airflow-xcom ").replace("file:///srv/xcom", where.as_uri()))
    code, out, errors = run(*arguments)
    text = _neutral(out + errors, where) + ("" if code == 0 else f"$ echo $?\n{code}\n")
    return f"```text\n{line}\n{text}```"


def _path_of(task: str) -> str:
    where = Path.cwd() / "xcom"
    return next(found for found in where.rglob("*") if found.parts[-3] == task).relative_to(where).as_posix()


def _neutral(text: str, where: Path) -> str:
    text = text.replace(where.as_uri(), "file:///srv/xcom").replace(f"{Path.cwd()}/", "")
    return re.sub(r"xxh3-128:[0-9a-f]{32}", "xxh3-128:…", text)


def _helps() -> Iterator[str]:
    from airflow_xcom.backend.cli import COMMANDS

    for name in ("", *COMMANDS):
        arguments = [name] * bool(name) + ["--help"]
        _, out, _ = run(*arguments)
        yield f"```text\n$ airflow-xcom {' '.join(arguments)}\n{out}```\n"


def main() -> None:
    """Write the page."""
    import tempfile

    import conftest  # noqa: F401 - sets Airflow up

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/airflow.db"
        migrate_database(url, folder)
        os.environ["AIRFLOW__XCOM_CODECS__PATH"] = (folder / "xcom").as_uri()
        DOCUMENT.write_text(made(Metadata(url), folder), encoding="utf-8")


def made(metadata: Metadata, folder: Path) -> str:
    with scenery(metadata):
        fill(metadata)
        fill_with_faults(metadata, folder / "xcom")
        return document(folder)


if __name__ == "__main__":
    main()

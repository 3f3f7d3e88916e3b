"""Every XCom of a run of the Dag ``flights``: what was stored, what comes back, and whether that is exact."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.testing import difference

if TYPE_CHECKING:
    from collections.abc import Iterable

DAGS = Path(__file__).resolve().parents[3] / "example_dags"
_PUSHED = re.compile(r"^pushed .* task=(?P<task>\S+) .*key=(?P<key>\S+) .*ms=(?P<ms>[\d.]+)")


@dataclass(frozen=True)
class Row:
    """One XCom, as the table shows it."""

    task: str
    key: str
    type: str
    codec: str
    where: str
    bytes: str
    push_ms: str
    pull_ms: str
    exact: str


def judge(stored: Iterable[tuple[str, str, str]], logs: Iterable[list[dict[str, Any]]]) -> tuple[str, int, bool]:
    """A table for people, how many XComs are exact, and whether that is all of them and no other is there.

    Args:
        stored: task, key and JSON text of every row of the run.
        logs: the events in the logs of its tasks.
    """
    expected, pushes = expected_values(), push_times(logs)
    rows = [examine(*row, expected, pushes) for row in stored]
    exact = sum(row.exact == "yes" for row in rows)
    text = f"{table(rows)}\n\n{expected['report', 'return_value']}\n\n{exact} of {len(expected)} XComs exact"
    return text, exact, exact == len(rows) == len(expected)


def expected_values() -> dict[tuple[str, str], Any]:
    """Task and key -> what the task returned, from the functions alone."""
    sys.path.insert(0, str(DAGS))
    import flights as dag

    raw = dag.extract.function()
    cleaned = dag.clean.function(raw)
    summary = dag.summarise.function(cleaned)
    busiest = dag.busiest_hour.function(cleaned)
    returned = {"extract": raw, "clean": cleaned, "summarise": summary, "busiest_hour": busiest}
    returned["report"] = dag.report.function(summary, busiest)
    values = {(task, "return_value"): value for task, value in returned.items()}
    return values | {("summarise", key): value for key, value in summary.items()}


def push_times(logs: Iterable[list[dict[str, Any]]]) -> dict[tuple[str, str], str]:
    """Task and key -> milliseconds, from what the backend logged in the task."""
    found = (_PUSHED.match(event["event"]) for log in logs for event in log)
    return {(match["task"], match["key"]): match["ms"] for match in found if match}


def examine(
    task: str, key: str, text: str, expected: dict[tuple[str, str], Any], pushes: dict[tuple[str, str], str]
) -> Row:
    """Pull the value of a row, and compare it with the one expected."""
    from airflow_xcom.backend import CodecXComBackend

    stored = json.loads(text)
    envelope = stored.get("airflow_xcom", {}) if isinstance(stored, dict) else {}
    reference = envelope.get("ref")
    began = time.perf_counter()
    value = CodecXComBackend.deserialize_value(SimpleNamespace(key=key, value=stored))
    took = (time.perf_counter() - began) * 1e3
    kind = type(value)
    found = difference(expected[task, key], value) if (task, key) in expected else "no such XCom is expected"
    return Row(
        task=task,
        key=key,
        type=f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        codec=envelope.get("tag", "plain JSON"),
        where="blob" if reference else "row",
        bytes=f"{reference['size'] if reference else len(text.encode()):,}",
        push_ms=pushes.get((task, key), "-"),
        pull_ms=f"{took:.2f}",
        exact="yes" if found is None else f"NO: {found}",
    )


def table(rows: list[Row]) -> str:
    """Aligned columns: numbers to the right, everything else to the left."""
    names = [field.name for field in fields(Row)]
    lines = [[name.replace("_ms", " ms") for name in names], *(list(astuple(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_right = [name.endswith("ms") or name == "bytes" for name in names]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    )

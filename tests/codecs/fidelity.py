"""What becomes of every value of the catalogue; ``python3 dev.py docs FIDELITY`` writes docs/FIDELITY.md.

A value is *exact* if it comes back with the same type, dtypes, index, order, fold, … down to the last bit
(``airflow_xcom.codecs.testing.difference``); *refused* if pushing it raises; *changed* if it comes back as anything
else, or if pulling raises.
"""

from __future__ import annotations

import json
import logging
import os
import pickle  # noqa: TID251 - one of the ways compared
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_xcom.codecs.testing import difference

DOCUMENT = Path(__file__).parents[2] / "docs" / "FIDELITY.md"
AT = {"key": "k", "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
WAYS = (
    "ours, in the row",
    "ours, offloaded",
    "ours, PostgreSQL",
    "the same, `preserve_key_order`",
    "stock Airflow",
    "object storage",
    "pickle",
)
INTRODUCTION = """# Fidelity

What becomes of {count} values that tasks return. Made by `python3 dev.py docs FIDELITY`; the values are the cases of
the tests. *Exact*: the same type, dtypes, index, order and fold, in every bit. *Refused*: an error at push.
*Changed*: another value comes back, or the pull fails. [REFUSED.md](REFUSED.md) lists what this package refuses.
With the default options, PostgreSQL changes one thing: the order of keys in a dict of plain JSON, which is stored
as it is so that others can read it.
"""
Way = Callable[[Any], Callable[[], Any]]
"""Pushes a value, and gives what pulls it."""


def ours(threshold: int, through: Callable[[Any], Any], *, preserve_key_order: bool = False) -> Way:
    """This distribution's backend; ``through`` takes the row to the database and back."""
    from airflow_xcom.backend import CodecXComBackend
    from airflow_xcom.backend.settings import settings

    def push(value: Any) -> Callable[[], Any]:
        os.environ["AIRFLOW__XCOM_CODECS__THRESHOLD"] = str(threshold)
        os.environ["AIRFLOW__XCOM_CODECS__PRESERVE_KEY_ORDER"] = str(preserve_key_order)
        settings.cache_clear()
        row = through(CodecXComBackend.serialize_value(value, **AT))
        return lambda: CodecXComBackend.deserialize_value(SimpleNamespace(value=row))

    return push


def other(backend: Any) -> Way:
    """A backend of Airflow's own, whose row is strict JSON as in the API server."""

    def push(value: Any) -> Callable[[], Any]:
        row = as_json(backend.serialize_value(value, **AT))
        return lambda: backend.deserialize_value(SimpleNamespace(value=row))

    return push


def pickled(value: Any) -> Callable[[], Any]:
    """Protocol 5, in memory."""
    data = pickle.dumps(value, protocol=5)
    return lambda: pickle.loads(data)


def as_json(row: Any) -> Any:
    """A row as the API server takes it."""
    return json.loads(json.dumps(row, allow_nan=False))


def outcome(make: Callable[[], Any], way: Way) -> str:
    """What becomes of one value."""
    try:
        pull = way(make())
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return "refused"
    try:
        return "exact" if difference(make(), pull()) is None else "changed"
    except Exception:  # noqa: BLE001
        return "changed"


def document(results: dict[str, dict[str, list[str]]]) -> str:
    """The page: totals, then a table a family."""
    totals = [Counter(row[place] for rows in results.values() for row in rows.values()) for place in range(len(WAYS))]
    count = sum(map(len, results.values()))
    lines = [
        *INTRODUCTION.format(count=count).splitlines(),
        "",
        *_head(""),
        *(_row(f"**{kind}**", [str(total[kind]) for total in totals]) for kind in ("exact", "refused", "changed")),
    ]
    for family, rows in results.items():
        lines += ["", f"## {family}", "", *_head("value"), *(_row(name, row) for name, row in rows.items())]
    return "\n".join(lines) + "\n"


def _head(first: str) -> list[str]:
    return [_row(first, list(WAYS)), _row("---", ["---"] * len(WAYS))]


def _row(name: str, cells: list[str]) -> str:
    return " | ".join(["| " + name.replace("|", "&#124;"), *cells]) + " |"


def main() -> None:
    """Take every value every way, and write the page."""
    from catalogue import CATALOGUE  # sets Airflow's folder, which must be before Airflow is imported

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES"] = "airflow.* test_classes.*"
        os.environ["AIRFLOW__XCOM_CODECS__PATH"] = Path(folder, "ours").as_uri()
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"] = Path(folder, "storage").as_uri()
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD"] = "0"
        import database
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
        from airflow.sdk.bases.xcom import BaseXCom

        logging.disable(logging.WARNING)
        with database.postgres() as url, database.jsonb(url) as jsonb:
            ways = (
                ours(-1, as_json),
                ours(0, as_json),
                ours(49152, jsonb),
                ours(49152, jsonb, preserve_key_order=True),
                other(BaseXCom),
                other(XComObjectStorageBackend),
                pickled,
            )
            results = {
                family: {name: [outcome(make, way) for way in ways] for name, make in values.items()}
                for family, values in CATALOGUE.items()
            }
    DOCUMENT.write_text(document(results))
    sys.stdout.write(document(results).partition("\n## ")[0])


if __name__ == "__main__":
    main()

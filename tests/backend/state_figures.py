"""What becomes of the catalogue as state, with our state store and with Airflow's own over object storage.

``python3 dev.py docs STATE`` writes the figures into docs/STATE.md.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: written by python3 dev.py docs STATE -->", "<!-- end of these figures -->"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "STATE.md"
BACKENDS = {
    "`CodecStateStore`": "airflow_xcom.backend.CodecStateStore",
    "Airflow's over object storage": "airflow.providers.common.io.state_store.backend.StateStoreObjectStorageBackend",
}
OUTCOMES = ("exact", "refused", "changed")


def outcomes(accessor: Any) -> Iterator[str]:
    """What becomes of each value that may be set and got; None is left out, which Airflow itself refuses."""
    from catalogue import CATALOGUE

    for family, values in CATALOGUE.items():
        for name, make in values.items():
            if (family, name) == ("JSON natives", "none"):
                continue
            try:
                accessor.set("k", make())
            except Exception:  # noqa: BLE001 - whatever JSON's encoder raises
                yield "refused"
                continue
            yield "exact" if is_exact(accessor, make()) else "changed"


def is_exact(accessor: Any, value: Any) -> bool:
    """Whether the key gives the value; what can be set and not got is not."""
    from airflow_xcom.codecs.testing import difference

    try:
        return difference(value, accessor.get("k")) is None
    except Exception:  # noqa: BLE001 - whatever JSON's decoder raises
        return False


def figures(supervisor: Any) -> dict[str, Counter[str]]:
    """How many values become what, over both tables."""
    import state_tables
    from airflow.sdk.execution_time import context

    found = {}
    for name, backend in BACKENDS.items():
        os.environ["AIRFLOW__WORKERS__STATE_STORE_BACKEND"] = backend
        context._get_worker_state_store_backend.cache_clear()
        accessors = state_tables.of_task(supervisor), state_tables.of_asset()
        found[name] = Counter(outcome for accessor in accessors for outcome in outcomes(accessor))
    return found


def main() -> None:
    """Write the figures."""
    import conftest  # noqa: F401 - sets Airflow up
    import pytest
    import sqlalchemy
    import state_tables
    from commands import migrate_database

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        url = f"sqlite:///{folder}/airflow.db"
        migrate_database(url, Path(folder))
        os.environ["AIRFLOW__XCOM_CODECS__PATH"] = Path(folder, "xcom").as_uri()
        os.environ["AIRFLOW__COMMON_IO__STATE_STORE_OBJECTSTORAGE_PATH"] = Path(folder, "state").as_uri()
        os.environ["AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES"] = "airflow.* test_classes.*"
        engine = sqlalchemy.create_engine(url)
        with state_tables.supervised(engine, patch) as supervisor:
            found = figures(supervisor)
        engine.dispose()
    lines = [["", *OUTCOMES], ["---"] * 4]
    lines += [[name, *(f"{counts[outcome]:,}" for outcome in OUTCOMES)] for name, counts in found.items()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()

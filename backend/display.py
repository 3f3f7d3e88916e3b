"""What Airflow 2 shows of a row: the API server of Airflow 3 asks no backend, and shows the row itself."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.airflow import from_row
from airflow_xcom.backend.reference import ENVELOPE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["shown"]

log = logging.getLogger("airflow_xcom.backend")

_LARGEST_DATA = 2048  # bytes of JSON


def shown(row: Any, stock: Callable[[], Any]) -> Any:
    """The envelope of a row without a payload that is too long to read; of any other row, what Airflow shows itself.

    Args:
        row: its ``value`` is what the database holds.
        stock: shows a row of Airflow's own.
    """
    try:
        stored = from_row(row.value)
        if type(stored) is dict and ENVELOPE_KEY in stored:
            return {**stored, ENVELOPE_KEY: _without_payload(stored[ENVELOPE_KEY])}
        return stock()
    except Exception as error:
        log.warning("cannot show the XCom %s", getattr(row, "key", None), exc_info=True)
        return f"cannot be shown: {type(error).__name__}: {error}"


def _without_payload(content: Any) -> Any:
    if type(content) is not dict or "data" not in content:
        return content
    size = len(json.dumps(content["data"]))
    return content if size <= _LARGEST_DATA else {**content, "data": f"{size} bytes of JSON, which are not shown"}

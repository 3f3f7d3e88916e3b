"""What people see of a row: the envelope of a value, without a payload that is too long to read.

Airflow 2 asks the backend; in Airflow 3, where the API server gives the row itself,
:mod:`airflow_xcom.backend.ui.api_server` does.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import from_row
from airflow_xcom.backend.envelope import ENVELOPE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LARGEST_DATA", "is_shortened", "shortened", "shown"]

log = logging.getLogger("airflow_xcom.backend")

LARGEST_DATA = 2048  # bytes of JSON
_NOT_SHOWN = "{} bytes of JSON, which are not shown"
_PATTERN = re.compile(_NOT_SHOWN.format(r"\d+"))


def shown(row: Any, stock: Callable[[], Any]) -> Any:
    """The envelope of a row, shortened; of any other row, what Airflow shows itself.

    Args:
        row: its ``value`` is what the database holds.
        stock: shows a row of Airflow's own.
    """
    try:
        stored = from_row(row.value)
        return shortened(stored) if _content(stored) is not None else stock()
    except Exception as error:
        log.warning("cannot show the XCom %s", getattr(row, "key", None), exc_info=True)
        return f"cannot be shown: {type(error).__name__}: {error}"


def shortened(value: Any) -> Any:
    """The value of a row; of an envelope with a payload of more than 2 KiB of JSON, one with its size in its place."""
    content = _content(value)
    if type(content) is not dict or "data" not in content:
        return value
    size = len(json.dumps(content["data"]))
    if size <= LARGEST_DATA:
        return value
    return {**value, ENVELOPE_KEY: {**content, "data": _NOT_SHOWN.format(size)}}


def is_shortened(value: Any) -> bool:
    """Whether this is an envelope whose payload :func:`shortened` took away."""
    content = _content(value)
    data = content.get("data") if type(content) is dict else None
    return type(data) is str and _PATTERN.fullmatch(data) is not None


def _content(value: Any) -> Any:
    return value[ENVELOPE_KEY] if type(value) is dict and ENVELOPE_KEY in value else None

"""What people see of a row: the envelope of a value, without a payload that is too long to read.

Airflow 2 asks the backend; in Airflow 3, where the API server gives the row itself,
:mod:`airflow_xcom.backend.ui.api_server` does.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

from airflow_xcom.backend.compat import from_row
from airflow_xcom.backend.envelope import ENVELOPE_KEY
from airflow_xcom.codecs.quoting import described

log = logging.getLogger("airflow_xcom.backend")

LARGEST_DATA = 2048  # bytes of JSON
NOT_SHOWN = "{} bytes of JSON, which are not shown"
_PATTERN = re.compile(NOT_SHOWN.format(r"\d+"))


def display(row: Any, stock: Callable[[], Any]) -> Any:
    """Return the envelope of a row, shortened; for any other row, what Airflow's own method ``stock`` shows."""
    try:
        stored = from_row(row.value)
        return shortened(stored) if _content(stored) is not None else stock()
    except Exception as error:
        log.warning("cannot show the XCom %s", getattr(row, "key", None), exc_info=True)
        return f"cannot be shown: {described(error)}"


def shortened(value: Any) -> Any:
    """Return the value of a row; an envelope with more than 2 KiB of JSON as payload has its size in place of it."""
    content = _content(value)
    if type(content) is not dict or "data" not in content:
        return value
    size = len(json.dumps(content["data"]))
    if size <= LARGEST_DATA:
        return value
    return {**value, ENVELOPE_KEY: {**content, "data": NOT_SHOWN.format(size)}}


def is_shortened(value: Any) -> bool:
    """Return whether this is an envelope whose payload :func:`shortened` took away."""
    content = _content(value)
    data = content.get("data") if type(content) is dict else None
    return type(data) is str and _PATTERN.fullmatch(data) is not None


def _content(value: Any) -> Any:
    return value[ENVELOPE_KEY] if type(value) is dict and ENVELOPE_KEY in value else None

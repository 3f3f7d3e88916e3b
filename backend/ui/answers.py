"""Answers that a browser can read, whatever a payload has: JSON, and errors that say what happened."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from airflow_xcom.codecs import CodecError, SelectionError
from airflow_xcom.codecs.quoting import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["any_error_typed", "typed", "written"]

log = logging.getLogger("airflow_xcom.backend")


def written(content: Any) -> str:
    """Return JSON as browsers read it, who know no NaN and no infinity: these are null."""
    try:
        return json.dumps(content, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(content), parse_constant=lambda _: None))


@contextmanager
def any_error_typed() -> Iterator[None]:
    """Turn whatever is raised over a payload into an error that says so to people; the log says where it was."""
    try:
        yield
    except (CodecError, MemoryError, SQLAlchemyError):
        raise
    except Exception as error:
        log.warning("a value cannot be shown", exc_info=True)
        raise SelectionError(f"this value cannot be shown: {described(error)}; pull it in a task") from error


def typed(act: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``act`` does.

    Raises:
        SelectionError: It raised an error that nobody foresaw.
    """
    with any_error_typed():
        return act(*arguments)

"""The ``[xcom_codecs]`` options of retention, which no push or pull reads.

Each function raises SettingsError for an option whose value is not allowed.
"""

from __future__ import annotations

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.retention_policy import STATES, Term
from airflow_xcom.backend.settings import text_of


def keep() -> dict[str, tuple[Term, ...]]:
    """Return how long the values of runs are kept, by their state; without one, as under ``""``."""
    return {"": _terms("keep")} | {state: _terms(f"keep_{state}") for state in STATES if text_of(f"keep_{state}")}


def keep_published() -> tuple[Term, ...]:
    """Return how long versions of assets are kept, of which nothing else says so."""
    return _terms("keep_published", "versions")


def sweep_after_run() -> int | None:
    """Return after how many seconds the sweep that follows a run begins; None for no such sweep."""
    text = text_of("sweep_after_run")
    try:
        seconds = Term.parse(text).seconds if text else None
    except ValueError:
        seconds = None
    if text and seconds is None:
        raise SettingsError("sweep_after_run", text, "give an age such as 1d, or nothing")
    return seconds


def _terms(option: str, counted: str = "runs") -> tuple[Term, ...]:
    text = text_of(option)
    try:
        return tuple(Term.parse(part.strip(), counted) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(option, text, str(error)) from error

"""What people see of pandas data in a row: shape, dtypes, and the first cells as short texts."""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import Any

from airflow_xcom.codecs.builtin.pandas.labels import text_of, unique

__all__ = ["summarize_array", "summarize_frame", "summarize_series"]

_ROWS, _COLUMNS, _DTYPES, _CHARACTERS = 3, 10, 20, 40


def summarize_frame(frame: Any) -> dict[str, Any]:
    """The shape, the dtypes of the first columns and the first rows."""
    arrays = list(islice(frame._iter_column_arrays(), _DTYPES))  # noqa: SLF001 - iloc takes a millisecond
    names = unique(map(_brief, frame.columns[: len(arrays)]), set())
    dtypes = {name: str(array.dtype) for name, array in zip(names, arrays, strict=True)}
    cells = [_shown(array[:_ROWS]) for array in arrays[:_COLUMNS]]
    return {"shape": list(frame.shape), "dtypes": dtypes, "head": [list(row) for row in zip(*cells, strict=True)]}


def summarize_series(series: Any) -> dict[str, Any]:
    """The length, the dtype and the first values."""
    head = [[cell] for cell in _shown(series.array[:_ROWS])]
    return {"shape": [len(series)], "dtypes": {_brief(series.name): str(series.dtype)}, "head": head}


def summarize_array(values: Any) -> dict[str, Any]:
    """The length and the dtype of an array or Index."""
    return {"shape": [len(values)], "dtypes": {"values": str(getattr(values, "dtype", "object"))}}


def _shown(values: Any) -> list[str]:
    try:
        return [_brief(value) for value in values]
    except Exception:  # noqa: BLE001 - pandas fails at times that it can hold and not convert, in zones of dateutil 4
        return ["…"] * len(values)


def _says(value: Any) -> Any:
    """What gives a short text and leaves the value as it is: ``str`` has a sparse array note what it finds out."""
    if isinstance(value, list | tuple | dict | set | bytes):
        return reprlib.repr
    return repr if type(value).__module__.startswith("scipy.sparse") else str


def _brief(value: Any) -> str:
    """A few characters for people; never raises."""
    try:
        text = _says(value)(value)
    except Exception:  # noqa: BLE001 - an object of the user's may raise anything
        text = f"<{type(value).__qualname__}>"
    text = text_of(text[: _CHARACTERS + 1])
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"

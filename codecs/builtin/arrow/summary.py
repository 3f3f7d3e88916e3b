"""What people see of Arrow and polars data in a row: shape, dtypes, and the first cells as short texts."""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["summarize_columns", "text_of"]

_ROWS, _COLUMNS, _DTYPES, _CHARACTERS = 3, 10, 20, 40


def summarize_columns(shape: list[int], columns: Iterable[tuple[str, Any, Iterable[Any]]]) -> dict[str, Any]:
    """The shape, the dtypes of the first columns and the first rows.

    Args:
        shape: rows, and columns if there may be several.
        columns: the name, the dtype and the cells of each, read only as far as they are shown.
    """
    dtypes: dict[str, str] = {}
    cells: list[list[str]] = []
    for name, dtype, column in islice(columns, _DTYPES):
        dtypes[_brief(name)] = _brief(dtype)
        if len(cells) < _COLUMNS:
            cells.append([_brief(cell) for cell in islice(column, _ROWS)])
    return {"shape": shape, "dtypes": dtypes, "head": [list(row) for row in zip(*cells, strict=True)]}


def text_of(name: str) -> str:
    """A name as every Arrow library and every JSON column takes it: Arrow's C interface ends a name at U+0000."""
    return name.replace("\0", "\\0")


def _brief(value: Any) -> str:
    """A few characters for people; never raises."""
    try:
        text = reprlib.repr(value) if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - not every value that Arrow can hold can be a Python object
        text = f"<{type(value).__qualname__}>"
    text = text_of(text[: _CHARACTERS + 1]).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"

"""What people see of a value in a row: its text, or shape, dtypes and the first cells as short texts."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

ROWS, DTYPES = 3, 20  # that are shown
_COLUMNS, _CHARACTERS = 10, 40
_TEXTS = {str}
_SHORT = frozenset({bool, float, int, str})  # most cells, whose text needs no closer look


def summarize_text(value: Any) -> dict[str, Any]:
    """Return a value as text."""
    return {"value": str(value)[:100]}


def summarize_columns(shape: list[int], columns: Iterable[tuple[Any, Any, Iterable[Any]]]) -> dict[str, Any]:
    """Return the shape, the dtypes of the first columns, and a function that returns the first rows.

    Rows that nobody asks for, as of a value in a store, are not made: they take longer than all else.

    Args:
        shape: rows, and columns if there may be several.
        columns: the name, the dtype and the cells of each, read only as far as they are shown.
    """
    shown = list(islice(columns, DTYPES))
    names = _briefs([name for name, _, _ in shown])
    if len(set(names)) < len(names):
        names = unique(names, set())
    dtypes = dict(zip(names, _briefs([dtype for _, dtype, _ in shown]), strict=True))
    return {"shape": shape, "dtypes": dtypes, "head": partial(_rows, [cells for _, _, cells in shown[:_COLUMNS]])}


def _rows(columns: list[Iterable[Any]]) -> list[list[str]]:
    """Return the first rows; none where a library fails at their cells: no reason to refuse a value."""
    try:
        cells = [[_brief(cell) for cell in islice(column, ROWS)] for column in columns]
    except Exception:  # noqa: BLE001 - see above
        return []
    return [list(row) for row in zip(*cells, strict=False)]


def _briefs(values: list[Any]) -> list[str]:
    """Return a few characters of each value; short texts, as nearly all names are, are looked at together."""
    if set(map(type, values)) == _TEXTS and max(map(len, values)) <= _CHARACTERS:
        together = "".join(values)
        if together.isascii() and "\0" not in together:
            return values
    return list(map(_brief, values))


def _brief(value: Any) -> str:
    """Return a few characters for people; never raise."""
    try:
        text = str(value) if type(value) in _SHORT else _text_maker(value)(value)
        if type(text) is str and len(text) <= _CHARACTERS and text.isascii() and "\0" not in text:  # as nearly all are
            return text
    except Exception:  # noqa: BLE001 - an object of the user's may raise anything
        text = f"<{type(value).__qualname__}>"
    text = escaped(text[: _CHARACTERS + 1])
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"


def _text_maker(value: Any) -> Any:
    """Return what gives a short text and leaves the value as it is: ``str`` changes a sparse array."""
    if isinstance(value, list | tuple | dict | set | bytes):
        return reprlib.repr
    return repr if type(value).__module__.startswith("scipy.sparse") else str


def escaped(text: str) -> str:
    """Return text as every Arrow library and every JSON column takes it: Arrow's C interface ends a name at U+0000."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def unique(names: Iterable[str], taken: set[str]) -> list[str]:
    """Return each name, with a number behind it where it is taken; add them to ``taken``."""
    counts: dict[str, int] = {}
    result = []
    for name in names:
        candidate = name
        while candidate in taken:
            counts[name] = counts.get(name, 0) + 1
            candidate = f"{name}_{counts[name]}"
        taken.add(candidate)
        result.append(candidate)
    return result

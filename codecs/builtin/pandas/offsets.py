"""pandas offsets: the class by its name and its arguments, because the aliases differ between pandas 2 and 3."""

from __future__ import annotations

from datetime import timedelta
from operator import index
from typing import Any

import pandas as pd
from pandas.tseries import offsets

from airflow_xcom.codecs.builtin.kinds import text_codec
from airflow_xcom.codecs.errors import LibraryVersionError, UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list
from airflow_xcom.codecs.quoting import quoted

_OFFSETS: dict[str, Any] = {
    offset.__name__: offset
    for name in vars(offsets)["__all__"]
    if (offset := getattr(offsets, name)) not in (offsets.BaseOffset, offsets.Tick)
}

# What came with pandas 3.0: classes, and an argument of an older one.
_SINCE_3 = frozenset({"HalfYearBegin", "HalfYearEnd", "BHalfYearBegin", "BHalfYearEnd", "Easter"})

# Defaults that are the same in every pandas; pandas 2 does not know the second by name.
_UNSAID = frozenset({("offset", repr(timedelta())), ("method", "3")})


def _encode_offset(value: Any) -> list[Any]:
    """Return ``[class name, n]``, or ``[class name, n, normalize, arguments]``."""
    arguments = {name: part for name, part in _arguments(value) if (name, repr(part)) not in _UNSAID}
    if holidays := arguments.pop("holidays", ()):
        arguments["holidays"] = [str(day) for day in holidays]  # datetime64[D] each
    node = [type(value).__name__, value.n]
    if arguments or value.normalize:
        node += [value.normalize, arguments]
    if not _same_offset(value, _decode_offset(node, 1)):
        raise UnsupportedValueError(
            f"pandas does not build the offset {value!r} again from its arguments; give it weekmask= and holidays= "
            "in place of calendar="
        )
    return node


def _arguments(value: Any) -> list[tuple[str, Any]]:
    """Return the arguments beside n and normalize, in the order that a JSON column keeps."""
    named = [(name, part) for name, part in value.kwds.items() if name != "calendar"]  # made from the others
    if type(value) is pd.DateOffset:  # which keeps an argument that is None, and is not equal to one without it
        named += [(name, None) for name, part in vars(value).items() if part is None and not name.startswith("_")]
    return sorted(named, key=lambda item: (len(item[0]), item[0]))


def _same_offset(one: Any, other: Any) -> bool:
    same = (one.n, one.normalize, repr(_arguments(one))) == (other.n, other.normalize, repr(_arguments(other)))
    return same and _business_days(one) == _business_days(other)  # == leaves the calendar out


def _business_days(value: Any) -> Any:
    calendar = value.kwds.get("calendar")
    return calendar if calendar is None else (calendar.weekmask.tolist(), calendar.holidays.tolist())


def _decode_offset(node: list[Any], _version: int) -> Any:
    name, n, *more = as_list(node)
    normalize, arguments = more or (False, {})
    n = index(n)
    as_list(as_dict(arguments).get("holidays", []))
    try:
        return _OFFSETS[name](n, normalize, **arguments)
    except (KeyError, TypeError) as error:
        what = f"the offset {quoted(name)} with the arguments {quoted(list(arguments))}"
        needed = "3.0 or newer" if name in _SINCE_3 and pd.__version__ < "3" else f"newer than {pd.__version__}"
        raise LibraryVersionError(what, "pandas", pd.__version__, needed) from error


def checked_offset(freq: Any) -> Any:
    """Return a freq from a payload, which must be an offset: pandas would take text too."""
    if type(freq) not in _OFFSETS.values():
        raise TypeError(f"{quoted(freq)} is not an offset")
    return freq


_UNITS = (
    *("years", "months", "weeks", "days", "hours", "minutes", "seconds"),
    *("milliseconds", "microseconds", "nanoseconds"),
)
# What a DateOffset has in its __dict__.
_STATE = ("_offset", "_use_relativedelta", "weekday", *_UNITS, *(unit[:-1] for unit in _UNITS))
CODECS = (text_codec("pandas.offsets", tuple(_OFFSETS.values()), _encode_offset, _decode_offset, attributes=_STATE),)

"""Values that are not exact: what Airflow itself would have given the next task stands in place of what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.advice import explain_context
from airflow_xcom.backend.compat import serde, stock_json
from airflow_xcom.backend.envelope import Inexact
from airflow_xcom.backend.placement import Placement, decide
from airflow_xcom.backend.serde import SERDE_TAG
from airflow_xcom.backend.settings import AS_AIRFLOW
from airflow_xcom.codecs import EncodeError, Tagged
from airflow_xcom.codecs.formats.msgpack.substitution import Substitutions
from airflow_xcom.codecs.plain_json import is_exact_text

if TYPE_CHECKING:
    from airflow_xcom.backend.envelope import Coordinate
    from airflow_xcom.backend.settings import Settings
    from airflow_xcom.codecs.formats.msgpack.substitution import Substitution

log = logging.getLogger("airflow_xcom.backend")


def decide_inexactly(value: Any, at: Coordinate, options: Settings, error: EncodeError) -> tuple[Placement, Inexact]:
    """Decide where a value goes that is not exact, and say in the log what of it is stored otherwise.

    Raises:
        EncodeError: `error`, if the options ask for it, or if Airflow itself would refuse what is not exact.
    """
    explain_context(error, value)
    if options.inexact != AS_AIRFLOW:
        raise error
    for leaves_classes in (False, True):
        substitutions = Substitutions(value, partial(substitutes, leaves_classes=leaves_classes))
        try:
            placement = decide(value, options, substitutions)
            break
        except EncodeError:
            continue
    else:
        raise error
    places = "\n".join(map(_described, substitutions.first))
    log.warning(
        "what cannot come back exactly is stored as Airflow itself would store it (inexact = %s); places: %d, first:"
        "\n%s\n[%s]",
        *(AS_AIRFLOW, substitutions.count, places, at),
    )
    preview = options.preview or ("rows" if placement.in_row else "columns")
    # A place has labels and keys of the value, which stand in the row only where its first cells may, too.
    shown = substitutions.first if preview == "rows" else []
    return placement, Inexact(substitutions.count, tuple(_plain(found.path) for found in shown))


def _described(found: Substitution) -> str:
    stored = "what Airflow makes of it" if found.stored is Tagged else f"a {found.stored.__qualname__}"
    return f"  {_plain(found.path)} is stored as {stored}: {found.error.reason}"


def _plain(path: str) -> str:
    """Return a place as text that any database takes."""
    return path if is_exact_text(path) else ascii(path)[1:-1]


def substitutes(part: Any, *, leaves_classes: bool) -> Iterator[Any]:
    """Yield what may be stored in place of a part; nothing where Airflow itself refuses it, or could not bring it back.

    A list, dict or tuple keeps its own items, since they may be exact.

    Args:
        part: of a value.
        leaves_classes: whether a class that this process may not restore is left to the process that pulls; it is,
            unless Airflow makes something else of what holds the object: a frame loses its attrs.
    """
    try:
        stored = stock_json(part)
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return
    try:
        given = serde().deserialize(stored)
    except ImportError:
        if not leaves_classes:
            return
        given = part
    except Exception:  # noqa: BLE001 - as it would where the value is pulled
        return
    if given is not part:
        yield from _with_own_items(part, type(given))
        yield given
    yield Tagged(SERDE_TAG, 1, stored)


def _with_own_items(part: Any, given: type) -> Iterator[Any]:
    """Yield a container of the class that Airflow gives, with the items of a part of a subclass."""
    if given is dict and isinstance(part, dict) and type(part) is not dict:
        yield dict(part.items())
    elif given in {list, tuple} and isinstance(part, list | tuple) and type(part) is not given:
        yield given(item for item in part)  # whatever its length is said to be

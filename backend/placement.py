"""Where a value goes: into the row as itself, into the row in an envelope, or into a blob.  Nothing here acts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import orjson

from airflow_xcom import codecs
from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.envelope import ENVELOPE_KEY
from airflow_xcom.backend.pull import prepare
from airflow_xcom.codecs.plain_json import exact_json
from airflow_xcom.codecs.quoting import class_name

if TYPE_CHECKING:
    from airflow_xcom.backend.settings import Settings
    from airflow_xcom.codecs.formats.msgpack.substitution import Substitutions
    from airflow_xcom.codecs.payload import Payload

# Keys that Airflow's own readers give a meaning to (airflow/serialization/stringify.py, airflow/sdk/serde).
_RESERVED = frozenset({ENVELOPE_KEY, "__classname__", "__id__", "__type"})
# How Airflow names the module of a Dag file (airflow/dag_processing/importers, "unusual_prefix").
_DAG_FILE = "unusual_prefix_"
_ALWAYS_IN_ROW = 1024  # bytes of JSON that Airflow's own readers (skipmixin_key, links) may always have as themselves
_LARGEST_SUMMARY = 2048  # bytes
_SHORT = 200  # characters, which JSON escapes to no more than 1,200
_NO_LIMIT = -1
_CELLS = {"head", "value"}  # facts that codecs take from a value itself
_MASK = "***"  # as Airflow's


class Placement:
    """Where a value goes that the row does not hold as itself.

    Attributes:
        payload: the encoded value.
        in_row: whether the row holds the payload, or else a blob.
        data: the payload in the JSON syntax, for the row.
        size: bytes of ``data``.
    """

    __slots__ = ("data", "in_row", "payload", "size")

    def __init__(self, payload: Payload, *, in_row: bool = False, data: Any = None, size: int = 0) -> None:
        self.payload = payload
        self.in_row = in_row
        self.data = data
        self.size = size


def decide(value: Any, options: Settings, substitutions: Substitutions | None = None) -> Placement:
    """Encode a value that the row does not hold as itself, and decide where it goes.

    Raises:
        EncodeError: The value cannot be stored exactly; for ``substitutions`` see :func:`airflow_xcom.codecs.encode`.
    """
    prepare()
    limit = options.threshold
    compression = options.compression_for(options.name)
    payload = codecs.encode(value, stream=limit != _NO_LIMIT, compression=compression, substitutions=substitutions)
    if limit == _NO_LIMIT or (not payload.is_stream and payload.least_size <= limit):
        data = payload.to_json()
        size = len(orjson.dumps(data))
        if limit == _NO_LIMIT or size <= limit:
            return Placement(payload, in_row=True, data=data, size=size)
    return Placement(payload)


def is_exact(value: Any, options: Settings) -> bool:
    """Return whether the row holds a value as itself: JSON that comes back exactly from anywhere, and is small enough.

    A former backend reads URLs as references, so while one is configured no such text is left for it to find.
    """
    limit = None if options.threshold == _NO_LIMIT else max(options.threshold, _ALWAYS_IN_ROW)
    if options.legacy_backend is not None and isinstance(value, str) and "://" in value:
        return False
    return exact_json(value, limit=limit, ordered=options.preserve_key_order, reserved=_RESERVED) is not None


def summarize(value: Any, payload: Payload, size: int, preview: str, *, nulls: bool = False) -> dict[str, Any]:
    """Return what people see of a value in the UI: its type, its ``size`` in bytes, and what its codec adds.

    What would not be safe and small in a JSON column is left out, and what ``preview`` does not ask for: one of
    :data:`PREVIEWS`.  What has a name that Airflow masks is masked.  With ``nulls``, those of the columns of a table,
    which the writer of a blob has counted.
    """
    cls: Any = type(value)
    facts = {"type": _type_name(cls), "bytes": size}
    shown = _shown(payload.facts, preview)
    if not shown or (len(shown) == 1 and _is_short_text(shown.get("value"))):
        return facts | shown
    counted = payload.nulls if nulls and payload.tag not in payload.suppliers else ()
    for extra in (_with_nulls(shown, counted), shown) if counted else (shown,):
        told = {**facts, **extra}
        if exact_json(told, limit=_LARGEST_SUMMARY, ordered=False, reserved=_RESERVED) is not None:
            return told
    return facts


def _is_short_text(fact: Any) -> bool:
    """Return whether a fact is text such as most have of which text tells all; any other takes a closer look."""
    return type(fact) is str and len(fact) <= _SHORT and fact.isascii() and "\0" not in fact


def _with_nulls(shown: dict[str, Any], nulls: Sequence[int | None]) -> dict[str, Any]:
    """Return what is shown with the nulls of the columns whose dtypes are, up to the last that has some."""
    names = shown.get("dtypes")
    is_index = type(names) is dict and list(names) == ["values"] and len(nulls) > 1  # whose levels are the columns
    if type(names) is not dict or is_index or not 0 < len(names) <= len(nulls):
        return shown
    pairs = zip(names, nulls, strict=False)
    found = [None if name.endswith("…") or hides_value_of(name) else many for name, many in pairs]
    while found and not found[-1]:
        found.pop()
    return {**shown, "nulls": found}


@lru_cache(maxsize=256)  # a task pushes values of few classes
def _type_name(cls: type) -> str:
    name = class_name(cls)
    if name.startswith(_DAG_FILE):
        name = re.sub(rf"^{_DAG_FILE}[0-9a-f]{{40}}_", "", name)
    return name.removeprefix("builtins.")


def _shown(facts: dict[str, Any], preview: str) -> dict[str, Any]:
    """Return what people may see of what a codec tells."""
    if preview == "none" or not facts:
        return {}
    if preview == "columns":
        facts = {name: fact for name, fact in facts.items() if name not in _CELLS}
    shown = {name: _MASK if hides_value_of(name) else fact for name, fact in facts.items()}
    if type(rows := shown.get("head")) is partial:
        rows = shown["head"] = rows()
    if isinstance(rows, list):
        # A name that was shortened may have had a part that tells a secret.
        hidden = [name.endswith("…") or hides_value_of(name) for name in shown.get("dtypes", {})]
        shown["head"] = [[_MASK if mask else cell for cell, mask in zip(row, hidden, strict=False)] for row in rows]
    return shown

"""Coordinate reference systems of pyproj: ``[the text it was made from, PROJJSON]``.

The text, such as ``"EPSG:4326"``, is part of the value.  The reader makes the value from the text if its PROJ database
defines it as the writer's does.  If not, it uses the PROJJSON, because coordinates depend on the definition.
"""

from __future__ import annotations

from typing import Any

from pyproj import CRS
from pyproj.exceptions import CRSError

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError


def _encode(crs: Any) -> list[str]:
    try:
        node = [crs.srs, crs.to_json()]
        made = _decode(node, 1)
        same = made.srs == crs.srs and made.to_json() == crs.to_json()
    except (CRSError, CorruptPayloadError) as error:
        msg = f"PROJ cannot read the JSON that it writes for the CRS {crs.srs!r:.80} ({error}); return value.to_wkt()"
        raise UnsupportedValueError(msg) from error
    if not same:
        msg = f"PROJ makes another CRS from {crs.srs!r:.80}; return pyproj.CRS.from_json(value.to_json())"
        raise UnsupportedValueError(msg)
    return node


def _decode(node: Any, _version: int) -> Any:
    text, definition = node
    if type(text) is not str or type(definition) is not str:
        msg = f"a CRS is stored as {type(text).__name__} and {type(definition).__name__}, not as two texts"
        raise CorruptPayloadError(msg)
    defined = CRS.from_json(definition)
    if "init=" in text.lower():  # would open a file
        return defined
    try:
        made = CRS.from_user_input(text)
    except CRSError:
        return defined
    return made if made.to_json() == definition or made == defined else defined


def _summarize(crs: Any) -> dict[str, Any]:
    return {"crs": crs.srs[:100]}


CODECS = (Codec("pyproj.CRS", (CRS,), _encode, _decode, summarize=_summarize, attributes=("_", "srs", "type_name")),)

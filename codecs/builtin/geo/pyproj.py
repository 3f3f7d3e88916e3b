"""Coordinate reference systems of pyproj: ``[the text it was made from, PROJJSON]``.

The text, such as ``"EPSG:4326"``, is part of the value.  It gives the value back where the database of the reader's
PROJ agrees with the writer's; else the definition does, which is what coordinates depend on.
"""

from __future__ import annotations

from typing import Any

from pyproj import CRS
from pyproj.exceptions import CRSError

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError

__all__ = ["CODECS"]


def _encode(crs: Any) -> list[str]:
    try:
        node = [crs.srs, crs.to_json()]
        made = _decode(node, 1)
        same = made.srs == crs.srs and made.to_json() == crs.to_json()
    except (CRSError, CorruptPayloadError) as error:
        msg = f"PROJ does not write the CRS {crs.srs!r:.80} as JSON that it reads ({error}); return value.to_wkt()"
        raise UnsupportedValueError(msg) from error
    if not same:
        msg = f"PROJ does not build the CRS {crs.srs!r:.80} again; return pyproj.CRS.from_json(value.to_json())"
        raise UnsupportedValueError(msg)
    return node


def _decode(node: Any, _version: int) -> Any:
    text, definition = node
    if type(text) is not str or type(definition) is not str:
        msg = f"a CRS is made of {type(text).__name__} and {type(definition).__name__}"
        raise CorruptPayloadError(msg)
    defined = CRS.from_json(definition)
    if "init=" in text.lower():  # names a file
        return defined
    try:
        made = CRS.from_user_input(text)
    except CRSError:
        return defined
    return made if made.to_json() == definition or made == defined else defined


def _summarize(crs: Any) -> dict[str, Any]:
    return {"crs": crs.srs[:100]}


CODECS = (Codec("pyproj.CRS", (CRS,), _encode, _decode, summarize=_summarize),)

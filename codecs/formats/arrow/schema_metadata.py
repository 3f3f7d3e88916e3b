"""What the metadata of an Arrow file's schema say of the value that the file stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from airflow_xcom.codecs.errors import CorruptPayloadError, NewerFormatError

_KEY = b"airflow_xcom"  # of the schema's metadata
_NEWEST = 2  # version 2 adds the types


class Note(NamedTuple):
    """What rebuilds a value from its table.

    Attributes:
        tag: of the value.
        version: of the tag.
        meta: what Arrow cannot say, in the JSON syntax.
        types: by the position of a column, as text: the type that it had before it was downcast.
    """

    tag: str
    version: int
    meta: Any
    types: dict[str, Any]

    def metadata(self) -> dict[bytes, bytes]:
        """Return the metadata of the schema."""
        note = {"version": 1, "tag": self.tag, "tag_version": self.version, "meta": self.meta}
        return {_KEY: orjson.dumps(note | ({"version": 2, "types": self.types} if self.types else {}))}


def read_note(schema: Any) -> Note:
    """Return what the metadata of a schema say."""
    try:
        note = orjson.loads((schema.metadata or {}).get(_KEY, b""))
    except orjson.JSONDecodeError:
        note = None
    match note:
        case {"version": int(newer)} if newer > _NEWEST:
            raise NewerFormatError("the Arrow body", newer, _NEWEST)
        case {"version": 1, "tag": str(tag), "tag_version": int(version), "meta": meta}:
            return Note(tag, version, meta, {})
        case {"version": 2, "tag": str(tag), "tag_version": int(version), "meta": meta, "types": dict(types)}:
            return Note(tag, version, meta, types)
    raise CorruptPayloadError("the Arrow file in the payload does not say how to rebuild the value")

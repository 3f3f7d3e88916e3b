"""Values that only Airflow's own serializer knows, such as Kubernetes or Iceberg objects, under one tag."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_xcom.backend.compat import serde
from airflow_xcom.codecs import Codec, UnsupportedValueError, registry
from airflow_xcom.codecs.quoting import class_name, module_of

SERDE_TAG = "airflow.serde"


def _matches(cls: type) -> bool:
    """Return whether serde restores this class as it was.

    Data classes and attrs classes outside Airflow are not left to it: it flattens what is nested in them.  Nor are
    subclasses of what a codec handles, which may have ``serialize`` methods of their own, as the frames of polars do.
    """
    name = class_name(cls)
    if name in serde()._serializers:  # noqa: SLF001 - serde has no public way to ask
        return True
    from airflow_xcom.codecs.refusal_advice import is_advised

    if is_advised(cls):
        return False
    if hasattr(cls, "serialize") and hasattr(cls, "deserialize"):
        codecs = [registry.for_type(base) for base in cls.__mro__[1:-1]]
        return all(codec is None or codec.tag == SERDE_TAG for codec in codecs)
    has_fields = dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__")
    return has_fields and module_of(cls).partition(".")[0] == "airflow"


def _encode(value: Any) -> Any:
    """Return what serde makes of a value, once serde has shown here and now that it can bring it back."""
    cls = type(value)
    name = class_name(cls)
    try:
        stored = serde().serialize(value)
        back = serde().deserialize(stored)
        again = serde().serialize(back)
    except Exception as error:
        raise UnsupportedValueError(
            f"Airflow's serializer cannot bring back {name}: {error}; add {name} to [core] "
            "allowed_deserialization_classes, or register a codec for it with @airflow_xcom.codecs.codec"
        ) from error
    if type(back) is not cls or again != stored:
        msg = f"Airflow's serializer changes {name}; register a codec for it with @airflow_xcom.codecs.codec"
        raise UnsupportedValueError(msg)
    return stored


SERDE_CODEC = Codec(SERDE_TAG, (), _encode, lambda node, _version: serde().deserialize(node), matches=_matches)

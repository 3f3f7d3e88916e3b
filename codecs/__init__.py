"""Typed, tagged encodings of Python values, never pickle: the codec registry of airflow-xcom-codecs.

Importing this package loads no third-party library; the codec of a type is imported with its first object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.codec import Codec, CodecClass
from airflow_xcom.codecs.decorator import codec
from airflow_xcom.codecs.discovery import ENTRY_POINT_GROUP
from airflow_xcom.codecs.errors import (
    CircularReferenceError,
    ClassNotAllowedError,
    CodecError,
    CorruptPayloadError,
    DecodeError,
    EncodeError,
    LibraryVersionError,
    MissingClassError,
    MissingLibraryError,
    NestingError,
    NewerFormatError,
    RegistrationError,
    SelectionError,
    UnknownColumnError,
    UnknownTagError,
    UnsupportedTypeError,
    UnsupportedValueError,
    UnusableLibraryError,
)
from airflow_xcom.codecs.nodes import Buffer, Table, Tagged
from airflow_xcom.codecs.registry import Registry, registry

if TYPE_CHECKING:
    from airflow_xcom.codecs.formats.compression import Compression
    from airflow_xcom.codecs.inspection import outline, outline_json, refused_classes
    from airflow_xcom.codecs.payload import FORMATS, Payload, arrow_file, decode, decode_json, decode_part, encode
    from airflow_xcom.codecs.plain_json import exact_json

__all__ = [
    "ENTRY_POINT_GROUP",
    "FORMATS",
    "Buffer",
    "CircularReferenceError",
    "ClassNotAllowedError",
    "Codec",
    "CodecClass",
    "CodecError",
    "Compression",
    "CorruptPayloadError",
    "DecodeError",
    "EncodeError",
    "LibraryVersionError",
    "MissingClassError",
    "MissingLibraryError",
    "NestingError",
    "NewerFormatError",
    "Payload",
    "RegistrationError",
    "Registry",
    "SelectionError",
    "Table",
    "Tagged",
    "UnknownColumnError",
    "UnknownTagError",
    "UnsupportedTypeError",
    "UnsupportedValueError",
    "UnusableLibraryError",
    "arrow_file",
    "codec",
    "decode",
    "decode_json",
    "decode_part",
    "encode",
    "exact_json",
    "outline",
    "outline_json",
    "refused_classes",
    "registry",
]

_LAZY = {
    "Compression": "formats.compression",
    "FORMATS": "payload",
    "Payload": "payload",
    "arrow_file": "payload",
    "decode": "payload",
    "decode_json": "payload",
    "decode_part": "payload",
    "encode": "payload",
    "exact_json": "plain_json",
    "outline": "inspection",
    "outline_json": "inspection",
    "refused_classes": "inspection",
}


def __getattr__(name: str) -> Any:
    """Import what not every Dag file needs, third-party libraries above all, when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value

"""Typed, tagged encodings of Python values, never pickle: the codec registry of airflow-xcom-codecs.

The names here are those that authors of codecs need.  What an XCom backend needs besides, such as parts of payloads, is
in the modules below.  Importing this package loads no third-party library; the codec of a type is imported with its
first object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.codec import Codec, CodecClass
from airflow_xcom.codecs.decorator import codec
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
    RepetitionError,
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
    from airflow_xcom.codecs.payload import decode, encode

__all__ = [
    "Buffer",
    "CircularReferenceError",
    "ClassNotAllowedError",
    "Codec",
    "CodecClass",
    "CodecError",
    "CorruptPayloadError",
    "DecodeError",
    "EncodeError",
    "LibraryVersionError",
    "MissingClassError",
    "MissingLibraryError",
    "NestingError",
    "NewerFormatError",
    "RegistrationError",
    "Registry",
    "RepetitionError",
    "SelectionError",
    "Table",
    "Tagged",
    "UnknownColumnError",
    "UnknownTagError",
    "UnsupportedTypeError",
    "UnsupportedValueError",
    "UnusableLibraryError",
    "codec",
    "decode",
    "encode",
    "registry",
]


def __getattr__(name: str) -> Any:
    """Import what encodes and decodes, and with it third-party libraries, when it is first asked for (PEP 562)."""
    if name not in {"decode", "encode"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_xcom.codecs import payload

    value = globals()[name] = getattr(payload, name)
    return value

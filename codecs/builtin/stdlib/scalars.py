"""Numbers, identifiers, addresses and paths of the standard library.

``str`` and ``int`` are here for the values that no format carries: lone surrogates, and integers beyond 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID, SafeUUID

from airflow_xcom.codecs.builtin.kinds import attributes_of, text_codec
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_text

_MAX_FRACTION_BITS = 1 << 18
_MAX_DIGITS = 1 << 27  # bounds the memory that an integer of a forged payload takes


def _encode_text(value: str) -> bytes:
    """Return text with lone surrogates as UTF-8 in which each of them takes three bytes.

    Version 1 wrote JSON escapes, of which every reader joins a high and a low surrogate to one character.
    """
    return value.encode("utf-8", "surrogatepass")


def _decode_text(node: Any, version: int) -> Any:
    return json.loads(f'"{node}"') if version == 1 else str(node, "utf-8", "surrogatepass")


def _decode_integer(node: str, _version: int) -> int:
    if len(node) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(node)} digits")
    return int(node, 16)


def _decode_complex(node: list[float], _version: int) -> complex:
    real, imag = node
    return complex(real, imag)


def _encode_fraction(value: Fraction) -> list[int]:
    if _is_long(value.numerator, value.denominator):
        msg = f"the fraction has more than {_MAX_FRACTION_BITS} bits; return its numerator and denominator as a tuple"
        raise UnsupportedValueError(msg)
    return [value.numerator, value.denominator]


def _is_long(numerator: int, denominator: int) -> bool:
    """Return whether the greatest common divisor would take seconds: its cost grows with the square of the length."""
    return max(numerator.bit_length(), denominator.bit_length()) > _MAX_FRACTION_BITS


def _decode_fraction(node: list[int], _version: int) -> Fraction:
    numerator, denominator = node
    if _is_long(numerator, denominator):
        raise ValueError(f"a fraction of more than {_MAX_FRACTION_BITS} bits")
    return Fraction(numerator, denominator)


_UNKNOWN = SafeUUID.unknown  # Python 3.11 looks a member up in more time than all the rest takes
_UUID_DIGITS = 32
_set_int, _set_safe = (vars(UUID)[slot].__set__ for slot in ("int", "is_safe"))


def _encode_uuid(value: UUID) -> str | list[str]:
    if value.is_safe is _UNKNOWN:
        return str(value)
    return [str(value), value.is_safe.name]


def _decode_uuid(node: str | list[str], _version: int) -> UUID:
    if isinstance(node, str):
        return _uuid(node)
    text, safe = node
    return UUID(text, is_safe=SafeUUID[safe])


def _uuid(text: str) -> UUID:
    """Return ``UUID(text)`` in half of the time: UUID() spends the other half on checking which arguments it got."""
    digits = text.replace("-", "")
    if len(digits) != _UUID_DIGITS:
        return UUID(text)
    made = object.__new__(UUID)
    _set_int(made, int(digits, 16))
    _set_safe(made, _UNKNOWN)
    return made


_ADDRESSES = (IPv4Address, IPv4Network, IPv4Interface, IPv6Address, IPv6Network, IPv6Interface)
_OF_ADDRESSES = ("_prefixlen", "netmask", "network", "network_address")  # attributes
_PATHS = (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)


def _encode_text_of(value: Any) -> list[str]:
    return [type(value).__name__, str(value)]


def _decoder_of(classes: tuple[type, ...]) -> Callable[[list[str], int], Any]:
    """Return what decodes the name of one of these classes, and the text that makes its value."""
    by_name = {cls.__name__: cls for cls in classes}

    def decode(node: list[str], _version: int) -> Any:
        name, text = node
        return by_name[name](text)

    return decode


CODECS = (
    Codec("str", (str,), _encode_text, _decode_text, version=2),
    # In hexadecimal: decimal digits take quadratic time, and are limited by sys.set_int_max_str_digits.
    Codec("int", (int,), hex, _decode_integer),
    text_codec("complex", (complex,), attributes_of("real", "imag"), _decode_complex),
    text_codec("decimal", (Decimal,), str, lambda node, _version: Decimal(as_text(node))),
    text_codec("fraction", (Fraction,), _encode_fraction, _decode_fraction),
    text_codec("uuid", (UUID,), _encode_uuid, _decode_uuid),
    text_codec("ipaddress", _ADDRESSES, _encode_text_of, _decoder_of(_ADDRESSES), attributes=_OF_ADDRESSES),
    text_codec("path", (*_PATHS, Path), _encode_text_of, _decoder_of(_PATHS)),
)

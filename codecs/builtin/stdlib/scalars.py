"""Numbers, identifiers, addresses and paths of the standard library, and the natives that no format carries."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID, SafeUUID

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError

_FRACTION_BITS = 1 << 18
_INTEGER_BYTES = 1 << 27  # a bound on what a forged payload can make an integer cost


def _encode_text(value: str) -> str:
    """Text with lone surrogates, which UTF-8 cannot hold, as the inside of an ASCII JSON literal."""
    return json.dumps(value)[1:-1]


def _decode_text(node: str, _version: int) -> Any:
    return json.loads(f'"{node}"')


def _encode_integer(value: int) -> str:
    """Hexadecimal, because decimal digits cost quadratic time and Python bounds them (sys.set_int_max_str_digits)."""
    return hex(value)


def _decode_integer(node: str, _version: int) -> int:
    if len(node) > _INTEGER_BYTES:
        msg = f"an integer of {len(node)} digits"
        raise ValueError(msg)
    return int(node, 16)


def _encode_complex(value: complex) -> list[float]:
    return [value.real, value.imag]


def _decode_complex(node: list[float], _version: int) -> complex:
    real, imag = node
    return complex(real, imag)


def _decode_decimal(node: str, _version: int) -> Decimal:
    if type(node) is not str:
        msg = f"a decimal is stored as a {type(node).__name__}"
        raise TypeError(msg)
    return Decimal(node)


def _encode_fraction(value: Fraction) -> list[int]:
    if _is_long(value.numerator, value.denominator):
        msg = f"the fraction has more than {_FRACTION_BITS} bits; return its numerator and denominator as a tuple"
        raise UnsupportedValueError(msg)
    return [value.numerator, value.denominator]


def _is_long(numerator: int, denominator: int) -> bool:
    """Whether the greatest common divisor, whose cost grows with the square of the length, would take seconds."""
    return max(numerator.bit_length(), denominator.bit_length()) > _FRACTION_BITS


def _decode_fraction(node: list[int], _version: int) -> Fraction:
    numerator, denominator = node
    if _is_long(numerator, denominator):
        msg = f"a fraction of more than {_FRACTION_BITS} bits"
        raise ValueError(msg)
    return Fraction(numerator, denominator)


_UNKNOWN = SafeUUID.unknown  # to get a member from its class takes Python 3.11 longer than the rest
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
    """``UUID(text)`` in half of the time; its arguments may be given in many ways, which it counts each time."""
    digits = text.replace("-", "")
    if len(digits) != _UUID_DIGITS:
        return UUID(text)
    made = object.__new__(UUID)
    _set_int(made, int(digits, 16))
    _set_safe(made, _UNKNOWN)
    return made


_ADDRESSES = {
    kind.__name__: kind for kind in (IPv4Address, IPv4Network, IPv4Interface, IPv6Address, IPv6Network, IPv6Interface)
}


def _encode_address(value: Any) -> list[str]:
    return [type(value).__name__, str(value)]


def _decode_address(node: list[str], _version: int) -> Any:
    name, text = node
    return _ADDRESSES[name](text)


_PATHS: dict[str, type[PurePath]] = {
    kind.__name__: kind for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)
}


def _encode_path(value: PurePath) -> list[str]:
    return [type(value).__name__, str(value)]


def _decode_path(node: list[str], _version: int) -> PurePath:
    name, text = node
    return _PATHS[name](text)


def _refuse_view(_value: memoryview) -> Any:
    msg = "a memoryview does not own its memory; return bytes(view) or bytearray(view)"
    raise UnsupportedValueError(msg)


def _unreadable(_node: Any, _version: int) -> Any:
    msg = "nothing is ever written under this tag"
    raise ValueError(msg)


def _shown(value: Any) -> dict[str, Any]:
    return {"value": str(value)[:100]}


CODECS = (
    Codec("str", (str,), _encode_text, _decode_text),
    Codec("int", (int,), _encode_integer, _decode_integer),
    Codec("complex", (complex,), _encode_complex, _decode_complex, summarize=_shown),
    Codec("decimal", (Decimal,), str, _decode_decimal, summarize=_shown),
    Codec("fraction", (Fraction,), _encode_fraction, _decode_fraction, summarize=_shown),
    Codec("uuid", (UUID,), _encode_uuid, _decode_uuid, summarize=_shown),
    Codec("ipaddress", tuple(_ADDRESSES.values()), _encode_address, _decode_address, summarize=_shown),
    Codec("path", (*_PATHS.values(), Path), _encode_path, _decode_path, summarize=_shown),
    Codec("memoryview", (memoryview,), _refuse_view, _unreadable),
)

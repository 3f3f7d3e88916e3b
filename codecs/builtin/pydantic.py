"""Values that pydantic 2 makes when it validates: its fixed offsets, URLs, and e-mail addresses with a name.

A URL is stored as its text, and refused unless pydantic makes the same one from that text.
"""

from __future__ import annotations

from typing import Any

import pydantic.networks
from pydantic_core import MultiHostUrl, TzInfo, Url

from airflow_xcom.codecs.builtin.kinds import attributes_of, text_codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_int, as_text

_BASES = tuple(
    getattr(pydantic.networks, name)
    for name in ("_BaseUrl", "_BaseMultiHostUrl")  # before pydantic 2.10, all URLs are those of pydantic_core
    if hasattr(pydantic.networks, name)
)
_URLS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (getattr(pydantic.networks, name) for name in pydantic.networks.__all__)
    if isinstance(cls, type) and issubclass(cls, _BASES)
} | {"Url": Url, "MultiHostUrl": MultiHostUrl}


def _encode_url(value: Any) -> list[str]:
    node = [type(value).__name__, str(value)]
    try:
        again = _decode_url(node, 1)
    except ValueError:
        again = None
    if again != value or str(again) != str(value):
        msg = f"pydantic does not make this {type(value).__name__} again from its text; return str(value)"
        raise UnsupportedValueError(msg)
    return node


def _decode_url(node: list[str], _version: int) -> Any:
    name, text = node
    return _URLS[as_text(name)](as_text(text))


def _decode_email(node: list[str], _version: int) -> Any:
    name, email = node
    return pydantic.networks.NameEmail(as_text(name), as_text(email))


def _encode_offset(value: Any) -> int:
    offset: Any = value.utcoffset(None)
    return int(offset.total_seconds())


CODECS = (
    text_codec(
        "pydantic.TzInfo", (TzInfo,), _encode_offset, lambda node, _version: TzInfo(as_int(node)), attributes=()
    ),
    text_codec("pydantic.url", tuple(_URLS.values()), _encode_url, _decode_url, attributes=("_url",)),
    text_codec(
        "pydantic.NameEmail",
        (pydantic.networks.NameEmail,),
        attributes_of("name", "email"),
        _decode_email,
        attributes=("name", "email"),
    ),
    text_codec(
        "pydantic.ByteSize",
        (pydantic.ByteSize,),
        int,
        lambda node, _version: pydantic.ByteSize(as_int(node)),
        attributes=(),
    ),
)

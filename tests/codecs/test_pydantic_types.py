"""What pydantic makes when it validates comes back exact: offsets, URLs, and addresses with a name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pandas as pd
import pendulum
import pydantic
import pydantic_core
import pytest
from pydantic import networks

from airflow_xcom.codecs import CodecError, EncodeError, UnsupportedTypeError, encode
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.testing import assert_identical, check_codec


class Order(pydantic.BaseModel):
    at: dt.datetime
    size: pydantic.ByteSize = pydantic.ByteSize(0)


def _at(text: str = "2024-01-01T00:00:00Z") -> dt.datetime:
    return Order(at=text).at  # type: ignore[arg-type]


MADE: dict[str, Callable[[], Any]] = {
    "time in UTC": _at,
    "time at an offset": lambda: _at("2024-07-01T12:00:00.000005-03:30"),
    "offset": lambda: pydantic_core.TzInfo(5400),
    "times in a dump": lambda: [Order(at="2024-01-01T00:00:00Z").model_dump() for _ in range(40)],  # type: ignore[arg-type]
    "clock": lambda: dt.time(1, 2, tzinfo=pydantic_core.TzInfo(-60)),
    "times in a frame": lambda: pd.DataFrame({"at": [_at(), _at("2024-07-01T12:00:00Z")]}),
    "times of several offsets in a column": lambda: pd.Series([_at(), _at("2024-07-01T12:00:00+01:00")], dtype=object),
    "timestamp": lambda: pd.Timestamp(_at()),
    "DateTime": lambda: pendulum.instance(_at()).replace(tzinfo=pydantic_core.TzInfo(60)),
    "URL": lambda: networks.AnyUrl("HTTPS://User:p%20w@Exämple.org:443/x?y=1#f"),
    "URL of HTTP": lambda: networks.HttpUrl("http://example.org"),
    "URL without a host": lambda: networks.AnyUrl("foo:bar"),
    "URL of a file": lambda: networks.FileUrl("file:///a/b"),
    "URL of several hosts": lambda: networks.PostgresDsn("postgres://u:p@h1:1,h2/db"),
    "URLs as keys": lambda: {networks.RedisDsn("redis://h"): [networks.AnyUrl("ftp://h/x")] * 3},
    "URLs of the core": lambda: [pydantic_core.Url("http://h"), pydantic_core.MultiHostUrl("mongodb://a,b")],
    "sizes": lambda: [
        Order(at="2024-01-01T00:00:00Z", size="1.5 MiB").size,
        {pydantic.ByteSize(1): pydantic.ByteSize(2**70)},
    ],  # type: ignore[arg-type]
    "address with a name": lambda: networks.NameEmail("Ann", "ann@example.org"),
}


@pytest.mark.parametrize("name", MADE)
def test_values(name: str) -> None:
    check_codec(None, [MADE[name]()])
    assert_identical(MADE[name](), decode_json(encode(MADE[name]()).to_json()))


def test_secrets_are_refused() -> None:
    for secret in (pydantic.SecretStr("hidden"), pydantic.SecretBytes(b"hidden")):
        with pytest.raises(
            UnsupportedTypeError, match=r'value\["a"\]\[0\].*a secret is not stored.*connection'
        ) as caught:
            encode({"a": [secret]})
        assert "hidden" not in str(caught.value)


def test_a_url_that_its_text_does_not_give_is_refused() -> None:
    class Sub(networks.AnyUrl):
        pass

    with pytest.raises(UnsupportedTypeError, match=r"return str\(value\)"):
        encode(Sub("http://a"))
    odd = networks.HttpUrl("http://a")
    odd._url = pydantic_core.Url("ftp://a")
    with pytest.raises(EncodeError, match=r"from its text; return str\(value\)"):
        encode(odd)


@pytest.mark.parametrize(
    ("tag", "node"),
    [
        ("url", ["AnyUrl", "no URL"]),
        ("url", ["UrlConstraints", "http://a"]),
        ("url", [["AnyUrl"], "http://a"]),
        ("url", ["AnyUrl", 5]),
        ("TzInfo", 10**6),
        ("TzInfo", "5"),
        ("TzInfo", True),
        ("ByteSize", "1kb"),
        ("ByteSize", 1.5),
        ("NameEmail", ["a"]),
        ("NameEmail", [1, "b"]),
    ],
)
def test_forged_nodes_are_refused(tag: str, node: Any) -> None:
    with pytest.raises(CodecError):
        decode_json({"$": [f"pydantic.{tag}", 1, node]})

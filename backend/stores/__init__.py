"""Where blobs are kept."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.settings import settings

if TYPE_CHECKING:
    from airflow_xcom.backend.stores.base import Store

__all__ = ["open_store", "with_ttl"]

_EXPIRING = {"redis", "rediss"}
_SCHEMES = "file://, s3://, gs://, abfs:// and redis://"
_EXTRAS = {"s3": "s3", "gs": "gcs", "abfs": "azure"}  # scheme -> the extra that brings its client


def open_store(url: str) -> Store:
    """The store at ``url``; nothing is read or written yet.

    Raises:
        SettingsError: no store of this release has the URL's scheme.
    """
    return _open(url, settings().store_timeout)


def with_ttl(url: str, ttl: int) -> str | None:
    """The URL of the same store with another time to live; None if what it keeps does not expire."""
    parts = urlsplit(url)
    if parts.scheme not in _EXPIRING:
        return None
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), "ttl": ttl})).geturl()


@cache
def _open(url: str, timeout: float) -> Store:
    scheme = url.partition("://")[0]
    if scheme == "file":
        from airflow_xcom.backend.stores.files import FileStore

        return FileStore(url)
    if scheme in _EXTRAS:
        try:
            from airflow_xcom.backend.stores.object_store import ObjectStore
        except ImportError as error:
            advice = f"{scheme}:// needs {error.name}: pip install 'airflow-xcom-codecs[{_EXTRAS[scheme]}]'"
            raise SettingsError("path", url, advice) from error
        return ObjectStore(url, timeout)
    if scheme in _EXPIRING:
        from airflow_xcom.backend.stores.redis import RedisStore

        return RedisStore(url, timeout)
    raise SettingsError("path", url, f"there is no store for {scheme}:// in this release; use one of {_SCHEMES}")

"""Stores of blobs, each opened by its URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.settings import settings

if TYPE_CHECKING:
    from airflow_xcom.backend.stores.base import Store

__all__ = ["ENTRY_POINTS", "open_lasting", "open_store", "with_ttl"]

ENTRY_POINTS = "airflow_xcom.stores"  # the group in which packages name their stores, by the scheme of the URLs

_OBJECTS = "airflow_xcom.backend.stores.object_store:ObjectStore"
_REDIS = "airflow_xcom.backend.stores.redis:RedisStore"
# scheme -> class, and the extra that installs its client
_STORES = {
    "file": ("airflow_xcom.backend.stores.files:FileStore", ""),
    "s3": (_OBJECTS, "s3"),
    "gs": (_OBJECTS, "gcs"),
    "abfs": (_OBJECTS, "azure"),
    "redis": (_REDIS, "redis"),
    "rediss": (_REDIS, "redis"),
}


def open_store(url: str) -> Store:
    """Return the store at ``url``; nothing is read or written yet.

    Raises:
        SettingsError: No store has the URL's scheme, its package cannot be imported, or the URL is malformed.
    """
    return _open(url, settings().store_timeout, durable=settings().durable)


def with_ttl(url: str, ttl: int) -> str | None:
    """Return the URL of the same store with another time to live, or None if its blobs do not expire."""
    if not _store_class(url).accepts_ttl:
        return None
    return _with_options(url, {**dict(_options(url)), "ttl": ttl})


def open_lasting(url: str) -> Store:
    """Return the store at ``url``, without the time to live that its blobs have."""
    return open_store(_with_options(url, [option for option in _options(url) if option[0] != "ttl"]))


def _options(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query)


def _with_options(url: str, options: Mapping[str, object] | Sequence[tuple[str, str]]) -> str:
    """Return a URL with other options; ``urlunsplit`` makes ``a:/b`` of ``a:///b`` if it does not know the scheme."""
    base = url.partition("?")[0]
    return f"{base}?{urlencode(options)}" if options else base


@cache
def _open(url: str, timeout: float, *, durable: bool) -> Store:
    store = _store_class(url)(url, timeout)
    store.durable = durable
    return store


def _store_class(url: str) -> type[Store]:
    """Return the class for the scheme: one of this distribution, else of an entry point, else fsspec's."""
    scheme = url.partition("://")[0]
    if scheme in _STORES:
        return _built_in(scheme, url)
    return _from_entry_point(scheme, url) or _of_fsspec(scheme, url)


def _built_in(scheme: str, url: str) -> type[Store]:
    name, extra = _STORES[scheme]
    module, _, attribute = name.partition(":")
    try:
        found: type[Store] = getattr(import_module(module), attribute)
    except ImportError as error:
        advice = f"{scheme}:// needs {error.name}: pip install 'airflow-xcom-codecs[{extra}]'"
        raise SettingsError("path", url, advice) from error
    return found


def _from_entry_point(scheme: str, url: str) -> type[Store] | None:
    from importlib.metadata import entry_points

    from airflow_xcom.backend.stores.base import Store

    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        name = f"the entry point {scheme} = {point.value} in the group {ENTRY_POINTS}"
        try:
            found = point.load()
        except Exception as error:  # of another package's import
            raise SettingsError("path", url, f"{name} fails: {type(error).__name__}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Store)):
            raise SettingsError("path", url, f"{name} is no class derived from airflow_xcom.backend.stores.base.Store")
        return found
    return None


def _of_fsspec(scheme: str, url: str) -> type[Store]:
    from airflow_xcom.backend.compat import filesystem
    from airflow_xcom.backend.stores.fsspec import FsspecStore

    try:
        filesystem(scheme)
    except ImportError as error:
        raise SettingsError("path", url, f"{scheme}:// needs a package: {error}") from error
    except ValueError as error:
        extras = ", ".join(f"{name}:// ({extra or 'no extra'})" for name, (_, extra) in _STORES.items())
        raise SettingsError(
            "path",
            url,
            f"there is no store for {scheme}://; use {extras}, install a package with an entry point {scheme!r} in the "
            f"group {ENTRY_POINTS}, or a file system that Airflow's ObjectStoragePath knows",
        ) from error
    return FsspecStore
